/*
 * ledger: what a client was told, and whether a store that was opened again
 * still agrees.
 *
 * Layer:  tests, uses maildir_fixture.
 * Entries are made in shared memory while a script runs, each with the number
 * of the operation it follows; the invariants are checked for those up to a
 * given operation, which is where the power went.
 *
 *   I1  no acknowledged APPEND, COPY, MOVE or delivery is lost
 *   I2  a message moved is in the source or the target, never in neither
 *   I3  (UIDVALIDITY, UID) is one message for ever
 *   I4  UIDNEXT is above all UIDs ever shown
 *   I5  an acknowledged STORE holds
 *   I6  mod-sequences never fall, and a change gets a new one
 *   I7  no partial message is visible
 *   I8  an acknowledged EXPUNGE stays
 *   I9  the quota file equals a recount, but for what was under way
 *   I3  holds for POP3's unique-ids, too
 *   I10 nothing is left behind that delays the first SELECT, and what is left
 *       in tmp/ goes after 36 hours
 */
#ifndef TESTS_CRASH_LEDGER_H
#define TESTS_CRASH_LEDGER_H

#include "tests/support/maildir_fixture.h"

enum note_kind {
	NOTE_SHOWN,	/* uid is word, with flags */
	NOTE_MODSEQ,	/* HIGHESTMODSEQ was shown */
	NOTE_DELIVERED, /* an MTA put word there, durably */
	NOTE_STORING,	/* flags are being added to uid */
	NOTE_STORED,
	NOTE_LEAVING, /* uid is being expunged or moved */
	NOTE_GONE,
	NOTE_MOVING, /* word: on its way to another mailbox */
	NOTE_MOVED,
	NOTE_RENAMING, /* mailbox to word */
	NOTE_RENAMED,
	NOTE_DELETING, /* mailbox */
	NOTE_DELETED,
	NOTE_CREATED,
	NOTE_SUBSCRIBING,
	NOTE_SUBSCRIBED,
	NOTE_REFUSED,  /* word isn't added to mailbox */
	NOTE_TOGETHER, /* word1 … worduid are added to mailbox, all or none */
	NOTE_FLIGHT,   /* so many messages are being added: for the quota */
	NOTE_UNIQUE,   /* uid of INBOX was shown by POP3 as word */
	NOTE_KEYWORD,  /* uid of INBOX has the keyword word, for ever */
};

enum { NOTES_MAX = 1000, WORD_MAX = 24 };

struct note {
	enum note_kind kind;
	unsigned at; /* operations done before */
	char mailbox[WORD_MAX], word[WORD_MAX];
	uint32_t validity, uid, flags;
	uint64_t modseq;
	bool memory; /* by an index in memory, for want of room */
};

struct ledger {
	unsigned n;
	unsigned refused; /* operations answered by an error */
	int first_code;	  /* ERR_* of the first of them */
	struct note v[NOTES_MAX];
};

/* What has to hold. */
struct promise_rules {
	bool stores;   /* I5, I8 in full: a kill, or FSYNC=always */
	bool quota;    /* I9 */
	bool modseq;   /* HIGHESTMODSEQ itself, I6 */
	bool refused;  /* a NO leaves nothing behind */
	bool together; /* of several added together all are there, or none */
	unsigned upto; /* operations; UINT_MAX: all */
};

/* In shared memory. */
struct ledger *ledger_new(void);
/* Operations done so far: of the recording, if there is one. */
extern unsigned (*ledger_clock)(void);
void ledger_note(struct ledger *l, const struct note *n);

/* A message that begins with its word, and can't be cut unnoticed. */
enum { MESSAGE_BYTES = 300 };
void make_text(char out[MESSAGE_BYTES + 1], const char *word);
/* The word of a whole message, in a static buffer; NULL: it isn't whole. */
const char *word_of(const char *text);

/* Note what POP3 shows of INBOX. */
void ledger_show_pop3(
    struct ledger *l, struct mailbox *m, const struct pop3_entry *v, size_t n);
/* Note all that a client sees of a mailbox. */
void ledger_show(struct ledger *l, struct mailbox *m, const char *name);

/*
 * Check a store that was opened anew: fails the cmocka test (where says at
 * what), or returns.
 */
void ledger_check(const struct ledger *l, struct fixture *f,
    const struct promise_rules *r, const char *where);

#endif
