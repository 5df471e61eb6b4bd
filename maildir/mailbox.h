/*
 * mailbox: one open mailbox, shared by the sessions of a worker.
 *
 * Layer:  maildir, uses base.
 * The Maildir is the truth for messages and system flags, postern.db for
 * UIDs, keywords and mod-sequences (docs/storage.md).  Other programs deliver,
 * rename and remove at any time: a file that isn't where it was is looked for
 * again, and only then gone.
 */
#ifndef MAILDIR_MAILBOX_H
#define MAILDIR_MAILBOX_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/step.h"
#include "maildir/store.h"
#include "maildir/view.h"

struct mailbox;

/*
 * Open by name, or share the open one.  ERR_MORE: a piece of it is done (what
 * another server had is taken over, the messages are read): call again next
 * turn, or go away, as others may who want the same.  ERR_BUSY, ERR_NOT_FOUND,
 * ERR_INVALID, ….
 */
int mailbox_open(struct account *a, struct slice name, struct mailbox **out,
    struct err *e) MUST_USE;
void mailbox_close(struct mailbox **m);

uint32_t mailbox_uidvalidity(const struct mailbox *m);
/* What identifies it whatever it is called (RFC 8474 4); never 0. */
uint64_t mailbox_object_id(const struct mailbox *m);
/* The complete name (UTF-8). */
struct slice mailbox_name(const struct mailbox *m);
/* A rename or removal by anybody made the struct stale: nothing works. */
bool mailbox_gone(const struct mailbox *m);
/* What is to be seen now of the list that says who may do what (acl.h): some
 * stat() calls. */
struct acl_print;
void mailbox_acl_print(const struct mailbox *m, struct acl_print *out);

/*
 * Bring the mailbox up to what is on disk.  Call again after STEP_YIELD,
 * after waker was called on STEP_WAIT_SYNC, and after a while on
 * STEP_WAIT_PEER, when another process holds the database; STEP_DONE: *result
 * is 0 or an ERR_* (ERR_BUSY: somebody had it for 10 s).  Costs two stat()
 * calls when nothing changed.
 * move_new: messages in new/ go to cur/ (a read-write SELECT does; EXAMINE
 * and STATUS must not move anything: their messages are listed all the same).
 */
enum step mailbox_refresh(struct mailbox *m, bool move_new, struct waker waker,
    int64_t now_ms, int64_t wall_ms, int *result);

/*
 * What is committed by now, an APPEND's that still waits for the disk, say, is
 * to be seen after the next mailbox_refresh(), which has it synced if need be:
 * another process may have done so, and told of it, and a client that selects
 * the mailbox here as well must not find a lower UIDNEXT or mod-sequence.
 */
void mailbox_want_committed(struct mailbox *m);

/*
 * Whoever gave a waker with this arg to mailbox_refresh() or
 * mailbox_pop3_list() and goes away before it was called must say so.
 */
void mailbox_forget_waker(struct mailbox *m, void *arg);

/* The newest view, with a reference for the caller. */
struct view *mailbox_view(struct mailbox *m) MUST_USE;

/*
 * Be called whenever mailbox_view() would give another view than before, or
 * (a watch saw something) would do so after a mailbox_refresh().
 */
struct mailbox_listener {
	struct waker waker;
	/* Where the owner keeps the view it works on; NULL: it keeps none, and
	 * the mailbox can't be hibernated. */
	struct view **view;
	struct waker asleep; /* called when that has been taken away */
	/* the mailbox's: */
	struct mailbox *m;
	struct record *record; /* instead of the view, while hibernated */
	bool resting;
	struct mailbox_listener *next, **prev;
};
void mailbox_listen(struct mailbox *m, struct mailbox_listener *l);
void mailbox_unlisten(struct mailbox_listener *l);

/*
 * Hibernation: when all that use a mailbox are listeners at rest, for so long
 * as the store's quiet_ms says, what it holds of messages is dropped; *view of
 * each listener becomes NULL.  Watches stay, so that wakers are called as
 * ever.
 *
 * mailbox_rest(): the owner has nothing under way, and will call
 * mailbox_rouse() before anything but mailbox_unlisten() and mailbox_close().
 * That gives *view back, with the same sequence numbers (maildir/record.h).
 * 0; ERR_MORE: call again next turn; ERR_BUSY: later; ERR_STALE: the mailbox is
 * gone; ….
 */
void mailbox_rest(struct mailbox_listener *l);
int mailbox_rouse(struct mailbox_listener *l, struct err *e) MUST_USE;

/*
 * \Recent (RFC 3501 2.3.2): the lowest UID that no session has been told of
 * as recent; all from it up to UIDNEXT are recent to the caller.  With claim
 * no later caller gets them.
 */
uint32_t mailbox_recent_from(struct mailbox *m, bool claim);

/* --- keywords ------------------------------------------------------------ */

/* Number of keywords known here, and the name of one (0 … n-1). */
size_t mailbox_n_keywords(const struct mailbox *m);
struct slice mailbox_keyword(const struct mailbox *m, size_t i);
/* The keywords of a set (struct message.keywords): indexes, ascending. */
const uint16_t *mailbox_keyword_set(
    const struct mailbox *m, uint32_t set, size_t *n);
/* Index of a keyword by name (ASCII case folded), or SIZE_MAX. */
size_t mailbox_keyword_find(const struct mailbox *m, struct slice name);

/* --- one message --------------------------------------------------------- */

struct message_info {
	int64_t internal_ms; /* INTERNALDATE: mtime, ms since 1970 */
	int64_t save_ms;     /* when it came into this mailbox */
	uint64_t file_size;  /* bytes on disk */
	uint64_t wire_size;  /* RFC822.SIZE; UINT64_MAX: not yet known */
	bool synced; /* its bytes were on the disk before it had its UID */
	bool asked;  /* the index didn't know it: its file was asked */
};
/* ERR_NOT_FOUND: no such message any more. */
int mailbox_message_info(
    struct mailbox *m, uint32_t uid, struct message_info *out) MUST_USE;
/* What identifies its content (RFC 8474 5.1), never 0, without a look at the
 * file.  ERR_NOT_FOUND: no such message any more; ERR_*: not known now. */
int mailbox_email_id(struct mailbox *m, uint32_t uid, uint64_t *out) MUST_USE;
/* Keep a computed wire size. */
void mailbox_set_wire_size(struct mailbox *m, uint32_t uid, uint64_t size);
/*
 * Open the file for reading, wherever it is called now; *fd is the caller's.
 * ERR_NOT_FOUND: expunged; ERR_SYS, ERR_DENIED: the file can't be read.
 */
int mailbox_open_message(struct mailbox *m, uint32_t uid, int *fd,
    uint64_t *file_size, struct err *e) MUST_USE;
/* Its present file name, relative to the mailbox ("cur/…"), for logs. */
int mailbox_message_path(
    struct mailbox *m, uint32_t uid, struct buf *out) MUST_USE;

/*
 * How what is kept is computed from a message: to be raised, by one, whenever
 * any of it comes out otherwise for the same bytes (a mended parser of MIME,
 * charsets, dates or addresses, another form of what is kept).  What has
 * another number is forgotten; else users would go on seeing the old readings.
 * tests/unit/test_imap_computed.c fails if that was missed.
 */
enum { CACHE_REVISION = 1 };

/* What is computed from a message is kept as opaque bytes, lost at will. */
enum cache_kind {
	CACHE_ENVELOPE,
	CACHE_BODY,
	CACHE_BODYSTRUCTURE,
	CACHE_PARTS,   /* where they lie in the file, of large messages */
	CACHE_FIELDS,  /* header fields that clients ask for */
	CACHE_SUBJECT, /* text of fields, for SEARCH */
	CACHE_FROM,
	CACHE_TO,
	CACHE_CC,
	CACHE_BCC,
	CACHE_DATE, /* keys for SORT and THREAD */
	CACHE_BASE,
	CACHE_ADDRESSES,
	CACHE_THREAD,
	CACHE_PREVIEW,
	/* of all messages together, see mailbox_cache_get_whole() */
	CACHE_ORDER_SUBJECT,
	CACHE_ORDER_FROM,
	CACHE_ORDER_TO,
	CACHE_ORDER_CC,
	CACHE_ORDER_DISPLAYFROM,
	CACHE_ORDER_DISPLAYTO,
	/* numbers stand in files: new ones go to the end */
	CACHE_HEADER, /* all of it as in the file, where it was asked for */
	CACHE_N_KINDS,
};
/*
 * False when it isn't there, else *out, which is borrowed until the next call
 * for this store.
 */
bool mailbox_cache_get(struct mailbox *m, uint32_t uid, enum cache_kind kind,
    struct slice *out) MUST_USE;
/* Keep it; what is larger than 16 KiB is not kept. */
void mailbox_cache_put(
    struct mailbox *m, uint32_t uid, enum cache_kind kind, struct slice bytes);

/* One value for the mailbox, CACHE_ORDER_…, of any size; appended to out. */
bool mailbox_cache_get_whole(
    struct mailbox *m, enum cache_kind kind, struct buf *out) MUST_USE;
void mailbox_cache_put_whole(
    struct mailbox *m, enum cache_kind kind, struct slice bytes);

/* --- expunged messages --------------------------------------------------- */

struct uid_range {
	uint32_t first, last;
};
/*
 * The UIDs expunged after the mod-sequence: ascending ranges that don't touch;
 * *v is the caller's to free().  *complete is false when that is too long ago
 * for all of them to be known: then any UID that isn't there may be one.
 * ERR_BUSY, ERR_STALE, ….
 */
int mailbox_vanished(struct mailbox *m, uint64_t since, struct uid_range **v,
    size_t *n, bool *complete, struct err *e) MUST_USE;

/* --- STATUS --------------------------------------------------------------- */

struct mailbox_counts {
	uint32_t messages, recent, unseen, deleted, uidnext;
	uint64_t deleted_size; /* of those with \Deleted */
	uint64_t highest_modseq;
};
/* From the newest view: call mailbox_refresh first.  sizes: deleted_size, too.
 * ERR_MORE: call again; ERR_*: they can't be known now. */
int mailbox_counts(struct mailbox *m, bool sizes, struct mailbox_counts *out,
    struct err *e) MUST_USE;

/* --- POP3 ---------------------------------------------------------------- */

/* Whether a header, of the message or of one of its parts, has bytes that
 * aren't ASCII. */
enum header_bytes { HEADER_UNKNOWN, HEADER_ASCII, HEADER_8BIT };

struct pop3_entry {
	uint32_t uid;
	enum header_bytes header;
	uint64_t size; /* octets that RETR sends, but for doubled dots */
	const char *unique_id; /* RFC 1939 7; taken over ones may be longer */
};
/*
 * The drop listing of INBOX in Courier's order, unique-ids kept in the
 * database.  *out is the caller's to free(), and the ids end with it.  Steps
 * are those of mailbox_refresh().
 */
enum step mailbox_pop3_list(struct mailbox *m, struct waker waker,
    int64_t now_ms, struct pop3_entry **out, size_t *n, int *result);
/* Keep what was found out of a message's headers. */
void mailbox_set_header(
    struct mailbox *m, uint32_t uid, enum header_bytes header);

#endif
