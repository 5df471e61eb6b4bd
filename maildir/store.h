/*
 * store: the accounts that one worker has in hand.
 *
 * Layer:  maildir, uses base.  No event loop: the owner polls store_watch_fd()
 *         and calls store_tick() about once a second, store_work() then.
 *
 * A store holds one inotify descriptor, one syncer and every account opened;
 * an account is one Maildir++ tree with its postern.db (docs/storage.md); all
 * sessions of a worker on one account share its struct.
 */
#ifndef MAILDIR_STORE_H
#define MAILDIR_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/step.h"
#include "base/syncer.h"

struct store_options {
	const char *hostname;  /* for file names; '/' and ':' get escaped */
	struct syncer *syncer; /* outlives the store */
	bool fsync_always;     /* STORE and EXPUNGE are synced too */
	int64_t quiet_ms;      /* close databases and hibernate after so long */
	int64_t poll_ms;   /* look at watched directories at least so often */
	unsigned open_max; /* databases open at a time */
	/* keywords of a mailbox above which STORE and APPEND make no new ones;
	 * 0: any number.  COPY and taking over bring theirs. */
	unsigned keywords_max;
	unsigned umask;		 /* for new message files */
	bool no_watches;	 /* poll only */
	const char *trash_name;	 /* IMAP_TRASHFOLDERNAME, without "INBOX." */
	const char *empty_trash; /* IMAP_EMPTYTRASH; NULL or "": never */
	bool trash_quota; /* the trash, and messages marked \Deleted, count */
	/* a message for accounts whose quota is so full, in percent; borrowed
	 * as long as the store lives; 0 or "": none (deliver.h) */
	unsigned quota_warn_percent;
	struct slice quota_warn_text;
	/* write Courier's files after a minute of quiet and at the end */
	bool export_courier;
	bool no_courier_lock; /* nor take Courier's lock for that */
	/* Dovecot's pop3_uidl_format, for messages without an id of their own
	 * when a Maildir is taken over from it */
	const char *dovecot_uidl_format;
};

struct store;

struct store *store_new(const struct store_options *opt) MUST_USE;
/*
 * From now on these of the options: fsync_always, quiet_ms, poll_ms, open_max,
 * umask.  The others stay as they are, and aren't looked at.
 */
void store_set_options(struct store *s, const struct store_options *opt);
/* All accounts must have been released. */
void store_free(struct store **s);

/* A descriptor that becomes readable when a watched directory changed, or
 * -1 when there is no inotify: then only store_tick() looks. */
int store_watch_fd(const struct store *s);
/* Read and apply the waiting watch events; calls wakers of mailboxes. */
void store_on_watch(struct store *s, int64_t now_ms);
/* Whether anybody listens to a mailbox: if not, it may wait for store_tick(),
 * or whoever looks.  The waker is called when that has changed. */
bool store_watch_wanted(const struct store *s);
void store_on_watch_wanted(struct store *s, struct waker waker);
/* Periodic work: polls, hibernation, tmp/ cleaning, and some of store_work().
 * Whether much memory was released, so that the heap is worth trimming. */
bool store_tick(struct store *s, int64_t now_ms, int64_t wall_ms);
/*
 * What accounts that nobody uses have still to do, the export for Courier say,
 * and then their closing: a piece of about 1 ms.  STEP_YIELD: there is more,
 * when there is time for it; STEP_WAIT_SYNC: there will be, when the disk has
 * done something, so call it again some ms later; STEP_DONE: nothing until the
 * next tick.
 */
enum step store_work(struct store *s, int64_t now_ms, int64_t wall_ms);
/*
 * The process is about to end, no session is left: do a piece of what would
 * have waited for quiet.  True: call it again, some ms later.
 */
bool store_finish(struct store *s, int64_t now_ms, int64_t wall_ms);
/* Hibernate every mailbox whose users rest, and close databases, without
 * waiting for quiet. */
void store_hibernate(struct store *s);

struct account;
struct stat;

/*
 * The account whose Maildir is at the absolute path; no disk is touched yet
 * (neither LOGIN nor LOGOUT may).  quota: Courier's quota string or "".
 * Each call is matched by account_release().
 */
struct account *account_get(
    struct store *s, const char *path, const char *quota) MUST_USE;
/*
 * The same if the store has it under just that path, and its Maildir open,
 * which is the directory that stat() found there: then no symbolic link that
 * leads elsewhere has come into the path since.  Else NULL.
 */
struct account *account_get_open(struct store *s, const char *path,
    const char *quota, const struct stat *found) MUST_USE;
void account_release(struct account **a);
/*
 * The account of somebody else, to be visited by a session on near: in the
 * same store, with whatever quota its own sessions gave it.  ERR_NOT_FOUND:
 * there is no Maildir; ERR_DENIED: it isn't this process's user's.
 */
int account_visit(struct account *near, const char *path, struct account **out,
    struct err *e) MUST_USE;
/* The path; good as long as the account is held. */
const char *account_path(const struct account *a);
/* The Maildir, as long as the account is open; -1: it isn't. */
int account_dir(const struct account *a);

/*
 * Open it: create the Maildir if it is missing (mode 0700; parents too), open
 * or make the database.  Idempotent and cheap when open.  All functions below
 * and in mailbox.h call it themselves.
 */
int account_open(struct account *a, struct err *e) MUST_USE;

/* --- mailboxes by name ---------------------------------------------------
 *
 * A mailbox name here is UTF-8 with '.' as separator, and complete: "INBOX",
 * "INBOX.Sent.2024".  The directory is found through the one mapping of
 * maildir/name.h, which accepts both forms on disk (modified UTF-7, UTF-8).
 */

enum mailbox_attr {
	MAILBOX_NOSELECT = 1, /* only a parent of others */
	MAILBOX_HAS_CHILDREN = 2,
	MAILBOX_MARKED = 4, /* new/ is not empty */
	MAILBOX_UNMARKED = 8,
};

struct mailbox_entry {
	struct slice name;
	unsigned attrs; /* enum mailbox_attr */
};

struct mailbox_list {
	struct mailbox_entry *v; /* sorted: INBOX first, then by bytes */
	size_t n;
	void *store; /* the names' memory */
};

/*
 * All mailboxes, and their missing parents (\Noselect), a few directories a
 * step.  marks: it is told of all whether they are marked, else of INBOX.
 * 1: call again; 0: done, or ERR_*, of which ERR_BUSY may be tried again.
 */
struct account_listing;
struct account_listing *account_listing_new(
    struct account *a, bool marks) MUST_USE;
int account_listing_step(struct account_listing *l, struct err *e) MUST_USE;
/* When done.  Free by mailbox_list_fini(). */
void account_listing_take(struct account_listing *l, struct mailbox_list *out);
void account_listing_free(struct account_listing **l);
/* The same at once, with all marks. */
int account_list(
    struct account *a, struct mailbox_list *out, struct err *e) MUST_USE;
/* The names subscribed to, whether they exist or not. */
int account_subscriptions(
    struct account *a, struct mailbox_list *out, struct err *e) MUST_USE;
void mailbox_list_fini(struct mailbox_list *l);

/* 0 if it can be selected; ERR_NOT_FOUND; ERR_INVALID. */
int account_exists(
    struct account *a, struct slice name, struct err *e) MUST_USE;

/* --- access control lists, acl.h ----------------------------------------- */

struct acl;

/* The list that applies to a mailbox of the account, or to a name that could
 * be one.  ERR_*: it can't be read; then nobody is to be let in. */
int account_acl(struct account *a, struct slice name, struct acl *out,
    struct err *e) MUST_USE;
/* Whether there can be one: the name is a mailbox, or a parent of mailboxes.
 * 0, ERR_NOT_FOUND, …. */
int account_acl_known(
    struct account *a, struct slice name, struct err *e) MUST_USE;

/* Usage and limits of the maildirsize file; a limit of 0: none. */
struct account_quota {
	uint64_t bytes, bytes_max;
	uint64_t messages, messages_max;
};
int account_quota(
    struct account *a, struct account_quota *out, struct err *e) MUST_USE;

#endif
