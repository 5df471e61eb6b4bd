/*
 * internal: the structs that the files of maildir/ share.
 *
 * Layer:  maildir.  Not for anybody outside.
 * Memory: a store owns its accounts, an account its mailboxes.  Both are
 *         reference counted by their users and stay for a while after the
 *         last one has left, so that the next one finds them warm.
 */
#ifndef MAILDIR_INTERNAL_H
#define MAILDIR_INTERNAL_H

#include <sys/stat.h>

#include "base/buf.h"
#include "maildir/chunk.h"
#include "maildir/db.h"
#include "maildir/file_name.h"
#include "maildir/foreign.h"
#include "maildir/import.h"
#include "maildir/index.h"
#include "maildir/mailbox.h"
#include "maildir/store.h"
#include "maildir/sync.h"
#include "maildir/watch.h"

enum {
	STORE_MAGIC = 0x53746f72,
	ACCOUNT_MAGIC = 0x41636374,
	MAILBOX_MAGIC = 0x4d626f78,

	ACCOUNT_BUCKETS = 256,
	WATCH_BUCKETS = 256,
	MAILBOX_KEEP = 8,	 /* of an account, without users */
	MAILBOX_KEEP_SMALL = 32, /* as long as they have so few messages: */
	MESSAGES_KEEP = 32768,
	GRANULARITY_MS = 2000, /* G: how wrong a directory's mtime may be */
	NAME_BYTES_MAX = 1024, /* of a message's file */
	EVENTS_MAX = 65536,    /* names waiting at a mailbox */
	EVENTS_MAX_ASLEEP = 64,
	BUSY_MAX_MS = 10000, /* then ERR_BUSY is handed up */
	PIECE_WORK = 8192,   /* of messages, lines, or names, in a step */
	LEFT_TICKS = 10,     /* then who began something is thought gone */
	MODSEQ_BLOCK = 65536,
	UIDNEXT_JUMP_BOOT = 1000,
	UIDNEXT_JUMP_RESTORED = 1 << 20,
	TMP_AGE_S = 36 * 3600,
};

#define DB_NAME	   "postern.db"
#define WAL_NAME   DB_NAME "-wal"
#define LOCK_NAME  "postern.lock"
#define CACHE_NAME "postern.cache"
#define LAST_NAME  "postern.uidvalidity"

struct checkpoint;

struct store {
	unsigned magic;
	struct store_options opt;
	char *host; /* escaped for file names */
	char *uidl_format, *trash_name, *trash_dir, *empty_trash;
	int watch_fd;
	bool watch_full; /* said that watches ran out */
	struct watched_dir *watches[WATCH_BUCKETS]; /* by watch descriptor */
	uint64_t *own_events; /* sums of those of ours not yet read: watch.c */
	unsigned n_own, own_at; /* of them; those before were */
	unsigned n_listeners;	/* to all mailboxes */
	struct waker on_wanted; /* called with the first and the last */
	struct account *accounts[ACCOUNT_BUCKETS];
	unsigned n_open;  /* databases */
	unsigned n_ahead; /* passes that read ahead */
	struct cache_pool *cache_pool;
	struct shared_indexes *shared; /* files read, or NULL */
	struct buf name;	       /* of the message's file at hand */
	uint64_t unique;	       /* counter for file names */
	struct young_disk *disks[8];   /* that are synced for young.h */
	unsigned young_errors;	       /* their syncs that failed */
	size_t young_from;	       /* the first bucket of young_tick() */
	struct checkpoint *cold;       /* under way, of closed accounts */
	unsigned n_cold;	       /* of them */
	bool released;		       /* much memory, since the last tick */
	size_t work_from;	       /* the first bucket of store_work() */
	uint64_t tick;
	int64_t now_ms, wall_ms; /* as last handed in */
};

struct young;
struct young_mend;
struct young_disk;
struct sync_round;
struct group_member;
struct account_change;
struct change_job;

/* Those who wait for one and the same sync (durable.h). */
struct durable_list {
	struct durable *first, **last;
};

struct account {
	unsigned magic, refs;
	struct store *store;
	struct account *next; /* of the bucket */
	char *path, *quota;
	int root_fd;		   /* -1: not opened */
	uint64_t device, root_ino; /* of it */
	int lock_fd;  /* shared lock, as long as the database is open */
	bool remote;  /* file system */
	struct db db; /* db.h NULL: closed */
	/* There was no room for a database on the disk: what is known of the
	 * mailboxes ends with the last who uses one of them. */
	bool in_memory;
	uint32_t last_validity; /* given from there */
	uint64_t db_ino;
	uint64_t identity; /* of the database, for the cache */
	int wal_fd;
	struct checkpoint *checkpoint; /* under way */
	/* How often something of the root's own entries was changed that is to
	 * be durable, and how much of that is. */
	unsigned root_changes, root_synced;
	unsigned damaged;    /* times in a row; the second: set it aside */
	uint32_t n_opened;   /* times the database was opened */
	uint64_t file_tick;  /* when it was last seen to be still there */
	bool wal_failed;     /* a sync failed: only a checkpoint helps */
	unsigned sync_epoch; /* syncs that failed */

	struct sync_round *rounds;	/* under way */
	unsigned n_rounds;		/* of them */
	struct sync_round *begun;	/* one more, for durable_start() */
	unsigned n_expected;		/* will come into the line below */
	struct durable_list undurable;	/* waiting for one */
	struct group_member *group;	/* waiting for a transaction */
	struct account_change *changes; /* one after the other */
	struct change_job *change_job;	/* under way, or its end not seen */
	uint64_t used;			/* store's tick of the last use */
	int64_t tmp_checked_ms;
	unsigned tmp_at; /* directories that have been through; 0: all */
	bool sweep;	 /* there may be deleted trees below tmp/ */
	struct sweeping *sweeping; /* under way, or its end not seen */
	bool rows_left; /* there may be rows of mailboxes that went */
	/* the table young has no row, if it is db_log_as_opened() */
	bool none_young;
	bool quota_warned;
	struct quota_count *counting;  /* under way */
	unsigned n_intents;	       /* of APPENDs that go on; see intent.h */
	struct young *young;	       /* NULL: no messages are, see young.h */
	uint64_t young_seq;	       /* messages that were */
	uint64_t young_marked;	       /* those that a round has */
	bool young_doubt;	       /* a syncfs() failed */
	struct young_mend *young_mend; /* rows to be seen to: young_mend.c */
	struct intent_redo *intent_redo; /* or NULL: intent.c */
	bool changing; /* something was changed since it was opened */
	bool rebuilt; /* the database was lost once: UIDs it gave are unknown */
	bool room_given;  /* room.c: to be taken back when there is some */
	bool quota_grew;  /* since the last look whether to warn */
	bool quota_stale; /* maildirsize is wrong, and couldn't be removed */

	struct db cache;
	bool cache_failed;
	bool cache_dirty; /* something of it waits to be written */
	/* keys of which the file had none when it was looked at last */
	int64_t cache_hole_first, cache_hole_last;

	struct trash *trash; /* under way, in the background */
	int64_t trash_checked_ms;
	struct export *export; /* under way, in the background */
	bool background_waits; /* for the disk, or another process */
	uint64_t worked;      /* store's tick of the last use of the database */
	uint64_t exported_at; /* worked, when the last one was complete */
	/* All was exported when that was last asked, and nothing has been
	 * committed since (db.changed). */
	bool all_exported;

	struct mailbox *mailboxes;
	struct opening *openings; /* that aren't through: mailbox_open.c */
};

struct waker_list {
	struct waker *v;
	size_t n, cap;
};

struct keyword_set;
struct scan;

struct mailbox {
	unsigned magic, refs;
	struct account *account;
	struct mailbox *next; /* of the account */
	char *name;	      /* complete, UTF-8 */
	char *dir;	      /* directory below the root, "" for INBOX */
	bool gone;
	bool known;  /* the row has been read */
	bool asleep; /* hibernated: no views, no index, no keywords */

	int64_t id; /* row */
	uint64_t object_id;
	uint64_t modseq_floor; /* no message has a smaller one */
	int64_t save_floor;    /* nor came here before */
	uint32_t n_vanished;   /* rows; UINT32_MAX: not counted */
	uint32_t uidvalidity, uidnext;
	uint64_t modseq, modseq_bound, change;
	uint32_t recent_uid;
	uint32_t pop3_next, pop3_uidvalidity;
	int64_t version;       /* of the database, when memory was compared */
	int64_t busy_since_ms; /* others hold the database; 0: no */
	bool meta_dirty; /* of the row, something worth writing some time */

	struct loading *loading; /* as long as there is no head */
	struct view *head;	 /* what is committed */
	struct view *shown; /* what sessions may see: UIDs that are durable */
	uint32_t durable_uidnext;
	uint32_t wanted_uidnext; /* up to there by the next refresh's end */
	/* A commit must be durable before the next OK: the one that made this
	 * change.  So it stays until a sync that took it along has ended. */
	bool unsynced;
	bool unsynced_told; /* and more is in it than messages not yet shown */
	uint64_t unsynced_change;
	bool change_noted;   /* account_note_change(), durably or soon */
	bool named;	     /* all of head have their names: message_names.c */
	uint32_t n_new;	     /* messages in new/, or UINT32_MAX: not counted */
	struct index *index; /* base name -> uid; NULL: not made */
	bool index_lost;     /* it was, before all were in it */

	struct slice *keywords;
	size_t n_keywords;
	struct keyword_set *sets;
	size_t n_sets;
	struct name_table set_numbers; /* of the first of sets, by members: */
	size_t n_numbers;	       /* as far as one was asked for */
	uint64_t numbered; /* so many times they were: keywords_unused.c */

	struct watched_dir dirs[2]; /* new/, cur/ */
	struct scan *scan;
	uint32_t *suspects; /* missing in the last reading, ascending */
	size_t n_suspects;
	int64_t suspects_mtime[2];
	/* with more than one file, as far as scans have noticed; ascending */
	uint32_t *twins;
	size_t n_twins;
	/* others' messages whose files may have no name yet, see young.h */
	uint32_t *unnamed;
	size_t n_unnamed;
	struct mailbox_listener *listeners;

	struct imported imported;
	struct pop3_job *pop3_jobs; /* under way: pop3.c */
	unsigned pop3_changes;	    /* of unique-ids, committed here */
	unsigned pop3_synced;	    /* so many are durable */
	unsigned pop3_syncing;	    /* when pop3_sync was started */
	struct sync pop3_sync;
	struct waker_list pop3_wakers;
	uint64_t used;
};

/* --- store.c -------------------------------------------------------------- */

/* Mark a use; databases unused for long get closed. */
void account_touch(struct account *a);
/*
 * It had the last of what was to be done at a time: of its bucket it comes last
 * now.  The bucket to begin with the next time.
 */
size_t store_turn_behind(
    struct store *s, size_t bucket, struct account *a) MUST_USE;
/* Nobody uses it, and nothing goes on in the background. */
void account_free(struct account *a);
/* The tree and the database, closed. */
void account_close_db(struct account *a);
/* The same where nobody is in a hurry: a log that nobody writes to any more is
 * copied into the database afterwards, and emptied. */
void account_close_idle(struct account *a);
/* Whether it had better stay open for that, as many others are at it. */
bool account_waits_cold(const struct account *a);
/* The store goes; what is under way ends without it. */
void checkpoints_forget(struct store *s);
/* What a failed database call, or what was done along with it, means for the
 * account; returns rc.  A damaged or replaced database is closed, so that the
 * next use rebuilds it, and so is one that can't be written. */
int account_db_failed(struct account *a, int rc);
/* A unique name for a file of ours. */
struct file_unique store_unique(struct store *s, int64_t wall_ms);
/* The wall time, as last handed in. */
int64_t store_wall(const struct store *s);
/* Make the UIDVALIDITY of a new mailbox; within a transaction. */
int account_next_uidvalidity(struct account *a, uint32_t at_least,
    uint32_t *out, struct err *e) MUST_USE;
/* Something was committed: have the log copied if it has grown. */
void account_log_grown(struct account *a);
/* Within a transaction that will be synced: see to it that the log needn't
 * grow by it. */
void account_log_lengthen(struct account *a);
/* Have the thread that syncs f, in which the log comes first, empty that before
 * it. */
int checkpoint_before(
    struct account *a, struct sync_fds *f, struct err *e) MUST_USE;
/* The account goes on without the checkpoint under way. */
void checkpoint_forget(struct account *a);
/* Add the descriptors that a durable commit needs to f. */
int account_sync_fds(
    struct account *a, struct sync_fds *f, struct err *e) MUST_USE;
/* A sync of those has ended.  0, or ERR_* when it is not durable. */
int account_synced(struct account *a, const struct sync *s) MUST_USE;

/* --- account_change.c ----------------------------------------------------- */

/* The account goes on its way without what a syncer still does for it. */
void account_change_abandon(struct account *a);

/* --- open.c --------------------------------------------------------------- */

/* Open tree and database, rebuilding what is damaged. */
int account_open_db(struct account *a, struct err *e) MUST_USE;
/* Whether the open database may be used: 0; ERR_BUSY: what others have left is
 * being seen to; ERR_*: it was closed. */
int account_ready(struct account *a, struct err *e) MUST_USE;
/* Whether that is being seen to. */
bool account_mending(const struct account *a);
/* Make new/, cur/ and tmp/ below a directory. */
int account_make_dirs(int fd, struct err *e) MUST_USE;

/* --- facts.c -------------------------------------------------------------- */

/* Within a transaction: compare what the database knows of itself with what is.
 * 1: they differed, and what follows from that is written; 0: they don't. */
int account_check_facts(struct account *a, struct err *e) MUST_USE;
/* Within a transaction that gives a mod-sequence: have the database know that
 * clients may be told of changes that a loss of power undoes.  *noted: it knew;
 * else this commit must be synced before anybody is told. */
int account_note_change(struct account *a, bool *noted, struct err *e) MUST_USE;
/* The database is about to be closed, and holds all that was told. */
void account_note_rest(struct account *a);
/* This boot of the machine as a number; 0: unknown. */
int64_t account_boot_number(void);
/* --- mailbox.c ------------------------------------------------------------ */

/* The open mailbox of a directory, or NULL. */
struct mailbox *mailbox_find_dir(struct account *a, struct slice dir);
/* Free one without users; mailbox_dispose(): that isn't the account's yet. */
void mailbox_free(struct mailbox *m);
void mailbox_dispose(struct mailbox *m);
/* Show what is durable, and tell the listeners. */
void mailbox_publish(struct mailbox *m);
/* What was committed last must be durable before the next OK. */
void mailbox_set_unsynced(struct mailbox *m);
/* All up to that change is durable. */
void mailbox_set_synced(struct mailbox *m, uint64_t change);
/* Call those who wait for a change. */
void mailbox_wake(struct mailbox *m);
/* Mark it stale for everybody. */
void mailbox_set_gone(struct mailbox *m);
/* Write back what isn't urgent: sizes, directory times. */
void mailbox_flush(struct mailbox *m);
/* "cur" or "new" below the root, for *at() calls with the root. */
void mailbox_put_path(
    const struct mailbox *m, struct buf *out, const char *sub);
/* A descriptor of new/ or cur/ (DIR_*), kept open; -1 with errno. */
int mailbox_dir_fd(struct mailbox *m, int which);
void mailbox_close_fds(struct mailbox *m);
/* What was told of a message's file, by whoever opened it: kept, if there is
 * such a message still. */
bool message_seen(struct mailbox *m, uint32_t uid, const struct stat *st);
/* The name of message i of a chunk within its directory. */
const char *message_name(struct buf *b, const struct chunk *c, uint32_t i);
/* Where a message is; false: not there. */
bool mailbox_find(
    struct mailbox *m, uint32_t uid, struct chunk **c, uint32_t *i);
/* Keep what is known of a message's size. */
void mailbox_set_size(
    struct mailbox *m, uint32_t uid, uint64_t size, enum ending ending);
/* For COPY, of the file wherever it is now: a look at it, which also fills in
 * what the mailbox doesn't know yet; when it came into being (fsx_birth()); a
 * link to it.  0 or ERR_*; ERR_NOT_FOUND: expunged, or, without search, renamed
 * by others, which a refresh finds out. */
int mailbox_message_stat(
    struct mailbox *m, uint32_t uid, bool search, struct stat *st) MUST_USE;
int mailbox_message_birth(
    struct mailbox *m, uint32_t uid, int64_t *wall_ms) MUST_USE;
/* *error: the errno of linkat(); ERR_NOT_FOUND without one: expunged. */
int mailbox_message_link(struct mailbox *m, uint32_t uid, int dirfd,
    const char *name, int *error) MUST_USE;
/* The uid of a base name, or 0. */
uint32_t mailbox_find_base(struct mailbox *m, struct slice base);
/* A piece of the index that this needs; true: it is there. */
bool mailbox_index_step(struct mailbox *m);
/* Whether it is, or takes one piece and no look into the database. */
bool mailbox_finds_at_once(const struct mailbox *m);

/* --- message_names.c ------------------------------------------------------ */

/*
 * Have the names of all messages in memory, as whoever looks at one must,
 * message_name() too: a piece of so much work, about a message each, or, if
 * work is NULL, all at once.  What others have changed may be read, too.  An
 * edit sees to it by itself.
 * 0: they are there, and those of later changes will be; ERR_MORE: call again;
 * ERR_BUSY, ERR_STALE, ….
 */
int mailbox_need_names(struct mailbox *m, int *work, struct err *e) MUST_USE;
/* The same of m->shown, which is made as new as memory is. */
int mailbox_show_names(struct mailbox *m, int *work, struct err *e) MUST_USE;
/* Where a message is, and that chunk has its names: 0; ERR_NOT_FOUND: not
 * there; ERR_*, neither ERR_BUSY nor ERR_STALE: not known now. */
int mailbox_find_named(
    struct mailbox *m, uint32_t uid, struct chunk **c, uint32_t *i) MUST_USE;
/* Within a transaction: those of a chunk that the database has so, too. */
int names_load(struct mailbox *m, struct chunk *c, struct err *e) MUST_USE;

/* --- mailbox_open.c ------------------------------------------------------- */

/* Those being opened that nobody has gone on with for a while are given up;
 * with all: all are. */
void openings_give_up(struct account *a, bool all);

/* --- reload.c ------------------------------------------------------------- */

/*
 * Read all, for one that has nothing in memory: a piece of so much work, about
 * a message each, in a transaction of its own.
 * 0: head and all else is there; ERR_MORE: call again; else ERR_*.
 */
int mailbox_load(struct mailbox *m, int *work, struct err *e) MUST_USE;
/* Drop what was read so far. */
void mailbox_load_stop(struct mailbox *m);
/* Whether it was begun and nobody has gone on with it for a while. */
bool mailbox_load_left(const struct mailbox *m, uint64_t tick);
/* Read the row and all chunks that differ from memory.  The caller has a
 * transaction open. */
int mailbox_reload(struct mailbox *m, struct err *e) MUST_USE;

/* --- hibernate.c ---------------------------------------------------------- */

/* Hibernate it if everybody who uses it rests; whether it was done. */
bool mailbox_hibernate(struct mailbox *m);
/* A number that changes when another connection commits, or the account is
 * opened anew. */
int account_version(
    struct account *a, int64_t *version, struct err *e) MUST_USE;
/* See that memory is what the database has; a hibernated one wakes up. */
int mailbox_check(struct mailbox *m, struct err *e) MUST_USE;

/* --- scan.c --------------------------------------------------------------- */

void scan_free(struct mailbox *m);
/* A file wasn't where it should be: the next refresh reads. */
void scan_distrust(struct mailbox *m);
/* Remove a waiting waker. */
void scan_forget_waker(struct mailbox *m, void *arg);

/* --- small lists ---------------------------------------------------------- */

void waker_list_add(struct waker_list *l, struct waker w);
void waker_list_forget(struct waker_list *l, void *arg);
/* Call them all, and empty it. */
void waker_list_call(struct waker_list *l);

/* --- pop3.c --------------------------------------------------------------- */

/* Whoever waits for a drop listing goes away. */
void pop3_forget(struct mailbox *m, void *arg);
/* All that is under way ends. */
void pop3_stop(struct mailbox *m);

/* --- vanished.c ----------------------------------------------------------- */

/* Note expunged UIDs; within a transaction. */
int vanished_put(struct mailbox *m, uint64_t modseq, struct uid_range r,
    struct err *e) MUST_USE;
/* Forget the oldest if there are too many; within a transaction. */
int vanished_limit(struct mailbox *m, struct err *e) MUST_USE;

/* --- room.c --------------------------------------------------------------- */

/* Have some blocks of the disk kept for later, if there are any. */
void room_keep(struct account *a);
/* Give them up, and the cache; true: that made room. */
bool room_give(struct account *a);
/* Whether what failed so is worth another try, room having been made for it. */
bool room_made_for(struct account *a, int rc);

/* --- tidy.c --------------------------------------------------------------- */

/* Remove old files of the tmp/ directories of all mailboxes, open or not, some
 * directories and a bounded number of files of each at a time, and set a->sweep
 * if there may be deleted trees.  at: so many are done; returns what to go on
 * with, 0: that was all. */
unsigned tidy_tmps(struct account *a, unsigned at, int64_t wall_ms);
/* What the names of trees in tmp/ begin with: account_change_impl.h. */
#define TREE_WORK "postern-work."
#define TREE_GONE "postern-deleted."

/* Have some files of deleted trees removed, if a->sweep says that there may be
 * any, by a sync thread; see what the last time left. */
void tidy_sweep(struct account *a);
/* The account goes away: what is under way is not waited for. */
void tidy_stop(struct account *a);
/* Remove some rows of mailboxes that aren't there any more, if the database is
 * open; true: more may be left. */
bool tidy_rows(struct account *a);

#endif
