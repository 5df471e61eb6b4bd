/*
 * import: taking over what another server keeps of a mailbox.
 *
 * Layer:  maildir, uses base.
 * The files of Courier and Dovecot are read when a mailbox is first opened,
 * and again when one of them is no longer the one that was last read or
 * written here: then the other server was here meanwhile.  What is known of
 * each is its print: device, inode, size and mtime.
 */
#ifndef MAILDIR_IMPORT_H
#define MAILDIR_IMPORT_H

#include <sys/stat.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum print_kind {
	PRINT_COURIER_UIDS,
	PRINT_DOVECOT_UIDS,
	PRINT_N_UIDS,
	PRINT_COURIER_KEYWORDS = PRINT_N_UIDS, /* the directory */
	PRINT_COURIER_SIZELIST,		       /* INBOX only */
	PRINT_DOVECOT_KEYWORDS,
	PRINT_COURIER_LIST, /* the file ":list" in that directory */
	PRINT_DOVECOT_IDS,  /* the list of UIDs again, for what else it has */
	PRINT_N_KINDS,
	/* added to a kind: of a file that is about to be put there */
	PRINT_PLACING = 200,
};

struct print {
	uint64_t dev, ino, size; /* ino 0: no such file */
	int64_t mtime_ns;
};

struct import;
struct renaming;

/*
 * How the mailbox's directory was when files weren't in it.  Until that is
 * another they needn't be looked for.
 */
struct absence {
	uint64_t dev, ino;
	int64_t ctime_ns;
	unsigned kinds; /* bits by enum print_kind */
};

/* What a mailbox remembers of its foreign files. */
struct imported {
	bool loaded, rest;		   /* something is left for later */
	struct print known[PRINT_N_KINDS]; /* as the database has it */
	/* announced, by an export that is under way or was cut short */
	struct print placing[PRINT_N_KINDS];
	uint64_t tick;	     /* of the store, when looked at */
	struct print looked; /* the directory of keywords was so then */
	struct absence absent;
	/* messages of UIDs below have the keywords of the list of this print */
	struct print list;
	uint32_t list_below;
	/* under way, of import_check() and import_finish() */
	struct import *check, *finish;
	/* import_updates.c: files of updates that were taken over, and of which
	 * time (of the wall) rows are of no use any more */
	struct renaming *renaming;
	int64_t forget_ms;
};

struct mailbox;
struct account;

/*
 * Compare the prints, and take over what must be before a scan: UIDs, and
 * keywords of messages already known.  Some stat() calls when nothing changed;
 * at most once in a tick of the store unless now.  What is under way is the
 * mailbox's: whoever calls goes on with it.
 * 0; ERR_MORE, ERR_BUSY: call again; ERR_STALE: the other server gave another
 * UIDVALIDITY, and the mailbox must be opened anew; ….
 */
int import_check(struct mailbox *m, bool now, struct err *e) MUST_USE;
/* Whether keywords may have been changed by files, as far as one stat() tells:
 * an import_check() is due. */
bool import_keywords_waiting(const struct mailbox *m);
/* Take over the rest; after a scan.  0; ERR_MORE, ERR_BUSY: call again; …. */
int import_finish(struct mailbox *m, struct err *e) MUST_USE;
/*
 * A client is about to change messages: what others left until now is older,
 * and comes first; so does the rest of what was begun.  It costs a stat() if
 * nothing has come.  Returns as import_check(); or 1: mailbox_refresh() takes
 * over the rest, which may be of messages that have no UID yet.
 */
int import_older(struct mailbox *m, struct err *e) MUST_USE;
/* What is under way ends; with left, if nobody has gone on with it for a
 * while.  Nothing of it is lost: it is begun again. */
void import_stop(struct mailbox *m, bool left);

/* The prints as the database has them: of what was last read or written. */
int import_known(
    struct mailbox *m, struct print out[PRINT_N_KINDS], struct err *e) MUST_USE;
/* Whether Courier's lists of UIDs, keywords and unique-ids still have these.
 * If not, the next import_check() looks, whatever the tick. */
bool import_courier_has(struct mailbox *m, const struct print known[]) MUST_USE;

/* The print of a file; that of a mailbox's, as it is now. */
struct print import_print(const struct stat *st);
/* 0, *out with ino 0: there is none that could be read; else the disk doesn't
 * say, and what the file has must not be taken for lost. */
int import_look(const struct account *a, const char *dir, enum print_kind kind,
    struct print *out, struct err *e) MUST_USE;
/*
 * Note one that was written here; within a transaction.  Before it is put into
 * its place the same with kind + PRINT_PLACING: whoever finds it there, but not
 * noted yet, knows that it isn't another server's.  That is taken back with an
 * empty print.
 */
int import_note(struct mailbox *m, unsigned kind, const struct print *p,
    struct err *e) MUST_USE;

/*
 * An export is about to announce what it will place; within the transaction
 * that does so.  What an earlier one placed without having noted it is noted.
 */
int import_settle(struct mailbox *m, struct err *e) MUST_USE;
/* The path of the list of keywords of this print before it is placed; then
 * that of the one that was there (import_placing.c). */
void import_put_aside(
    const struct mailbox *m, const struct print *list, struct buf *path);

/*
 * What is under way with a mailbox's row, kept as a print of a kind of its own:
 * a number, whose meaning is that of whoever sets it.  Within a transaction.
 */
enum import_mark {
	MARK_TAKEOVER = 100, /* takeover.c */
	MARK_ADOPTING,	     /* import_check.c */
	MARK_PLACING,	     /* the mod-sequence up to which an export is */
	MARK_NUMBERED,	     /* keywords_unused.c */
};

/* 1: *value; 0: there is none; or ERR_*. */
int import_mark_get(struct account *a, int64_t id, enum import_mark mark,
    uint64_t *value, struct err *e) MUST_USE;
int import_mark_set(struct account *a, int64_t id, enum import_mark mark,
    uint64_t value, struct err *e) MUST_USE;
int import_mark_remove(struct account *a, int64_t id, enum import_mark mark,
    struct err *e) MUST_USE;

/* Dovecot's subscriptions of an account that has no database yet.  ERR_*: they
 * can't be, now. */
int import_subscriptions(struct account *a, struct err *e) MUST_USE;

#endif
