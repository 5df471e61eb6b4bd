/*
 * consistency: the clients of test_imap_consistency.c.
 *
 *   consistency_view.c    what a client is told, and whether it may be
 *   consistency_client.c  its session, and what it says
 */
#ifndef TESTS_CONSISTENCY_H
#define TESTS_CONSISTENCY_H

#include "maildir/account_change.h"
#include "protocols/imap/session.h"
#include "tests/support/syncs.h"

enum {
	N_CLIENTS = 5,
	MESSAGES_MAX = 400,
	UIDS_MAX = 100000,
	FLAGS_TEXT = 200,
};

struct known {
	uint32_t uid;		/* 0: not known */
	char flags[FLAGS_TEXT]; /* "": not known */
	uint64_t modseq;
	bool told; /* in the command under way */
};

enum kind { PLAIN, CONDSTORE, QRESYNC };

struct client {
	struct session *s;
	struct buf to, from;
	enum step last;
	bool woken;
	enum kind kind;
	unsigned tag, n_commands;
	bool busy, idling, quiet;
	/* the command under way */
	char name[32];
	bool uid_command, silent, selecting, listing;
	int op; /* '+', '-', '=' of a STORE */
	char op_flags[FLAGS_TEXT];
	uint32_t *targets;
	size_t n_targets;
	/* what it knows */
	bool selected;
	struct known v[MESSAGES_MAX];
	uint32_t n, exists;
	uint32_t uidvalidity;
	uint64_t held, told; /* HIGHESTMODSEQ */
	bool lost;	     /* reconnecting with what it knew */
};

/* All of one run. */
struct checker {
	struct client clients[N_CLIENTS];
	struct store *store;
	char *root; /* which has the Maildir */
	uint64_t random;
	unsigned seed, turn;
};

extern struct checker ck;

/* --- consistency_view.c --------------------------------------------------- */

/* A number below n, by the seed. */
uint32_t dice(uint32_t n);
/* Keep a line of a client (who: 'C') or to it ('S') for fail(). */
void note(const struct client *c, char who, struct slice line);
/* Print what was said, and end the program. */
void fail(const struct client *c, const char *what, struct slice line);
/* Nothing is known of any UID. */
void forget_all(void);
/* The number of a message of unknown UID, where that UID must be; 0: none. */
uint32_t find_unknown(const struct client *c, uint32_t uid);
/* Take what the session has written, line by line. */
void take_output(struct client *c);

/* --- consistency_client.c ------------------------------------------------- */

/* Do one of the syncs that wait, whichever; false: there is none. */
bool sync_one(void);
void open_client(struct client *c);
void close_client(struct client *c);
/* A slice of its session, if that has something to do. */
void run_client(struct client *c);
/* Take events of the directories, if there are some. */
void watch(void);
/* Begin a command, called name. */
void say(struct client *c, const char *name, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* FETCH of all that is there. */
void say_list(struct client *c);
/* Begin one, whichever. */
void next_command(struct client *c);
/* The connection is lost; what a client with a cache does then. */
void lose(struct client *c);
/*
 * After SELECT (QRESYNC): compare with a full list, by UID.  Others may have
 * been at work since: what they did has a higher mod-sequence than the one that
 * SELECT gave, and of what they removed the list may have nothing.
 */
void finish_resync(struct client *c);

#endif
