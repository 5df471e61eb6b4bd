/*
 * calls: every system call on the files of one tree passes here, on its way
 * from the store and from SQLite to the kernel.
 *
 * Layer:  tests.
 * calls.c defines open(), write(), rename() and so on; a program that is linked
 * with it (and with -rdynamic) has them called by its libraries as well, since
 * the names of a program come before those of the C library.  That works under
 * the sanitizers, needs no privilege, sees SQLite's writes, and costs nothing:
 * a tracer would stop each call twice, and a hook in the store would miss the
 * calls that don't use it.
 *
 * One layer serves three ends: a plan can end the process at the n-th changing
 * call, have the n-th call fail, or write down what is done in the order in
 * which it is done, for power.h to lose some of it.
 */
#ifndef TESTS_CRASH_CALLS_H
#define TESTS_CRASH_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum call {
	CALL_NONE,
	/* changing ones */
	CALL_CREATE,
	CALL_WRITE,
	CALL_TRUNCATE,
	CALL_SYNC,
	CALL_RENAME,
	CALL_LINK,
	CALL_UNLINK, /* rmdir, too */
	CALL_MKDIR,
	CALL_TIMES,
	/* others */
	CALL_OPEN,
	CALL_READ,
	CALL_READDIR,
	CALL_STAT,
	CALL_FSTAT,
	CALL_DUP,
	CALL_CLOSE,
	CALL_N
};

const char *call_name(enum call c);
bool call_changes(enum call c);
/* Whether a call of this kind can fail so.  SHORT_COUNT: it does a part. */
enum { SHORT_COUNT = -1 };
bool call_may_fail(enum call c, int error);

enum calls_mode {
	CALLS_PASS,   /* count only */
	CALLS_KILL,   /* SIGKILL before the at-th changing call */
	CALLS_FAIL,   /* the at-th call fails with error */
	CALLS_BROKEN, /* and every later one that may */
};

struct calls_plan {
	enum calls_mode mode;
	unsigned at;
	int error;
};

enum { CALLS_MAX = 20000, CALLS_BYTES = 96 << 20, CALLS_NAME = 128 };

/* What a recorded call did; nodes are files and directories, 0 the root. */
enum op_kind {
	OP_ENTRY,    /* dir/name is node (-1: nothing) */
	OP_WRITE,    /* node: n bytes at off, bytes at data */
	OP_TRUNCATE, /* node: to n bytes */
	OP_SYNC,     /* node */
	OP_SYNC_ALL, /* all there is */
};

struct op {
	enum op_kind kind;
	unsigned call; /* ops of one call are done together or not at all */
	int dir, node;
	bool is_dir;
	char name[CALLS_NAME];
	uint64_t off, n;
	size_t data;
};

/* In shared memory: a process that dies leaves it behind. */
struct calls_log {
	bool record; /* ops, too; else calls only */
	unsigned n_calls, n_changes;
	uint8_t kind[CALLS_MAX]; /* enum call of each call */
	unsigned n_ops, n_old;	 /* n_old: before calls_arm() */
	size_t n_bytes;
	struct op op[CALLS_MAX];
	uint8_t bytes[CALLS_BYTES];
};

struct calls_log *calls_log_new(void);
/* Watch the tree at root (absolute, without symbolic links), which is empty. */
void calls_begin(const char *root, struct calls_log *log);
/* From here on the calls are counted, and the plan is carried out; all before
 * is as if it had always been there. */
void calls_arm(const struct calls_plan *plan);
/* A minute passes: the kernel has written all bytes of messages, but no names.
 * (That the disk may still hold them in its cache is no matter: the next sync
 * of anything empties it, and nothing is promised before one.) */
void calls_written_back(void);
/* What statx() says of when each file came into being, unix time; 0: the
 * truth. */
void calls_set_birth(int64_t wall_s);
/* Somebody else's calls: they are recorded, and neither counted nor harmed. */
void calls_pause(bool on);
/* The plan ends; calls pass. */
void calls_heal(void);
/* Heal, and watch no more. */
void calls_end(void);
/* Whether the plan has struck, and at what. */
enum call calls_struck(void);
/* Instead of the machine's boot id the file at path is read; NULL: its own. */
void calls_set_boot_id(const char *path);
/* Each file that is made gets a second name below dir, outside of the tree: its
 * node.  So its inode lives on.  NULL: none. */
void calls_set_keep(const char *dir);
/* Each watched call is told; for tests of order.  NULL: nobody. */
typedef void calls_watcher(enum call c, const char *name);
void calls_set_watcher(calls_watcher *w);
/* readdir() passes over each name of which this says so, as it may over one
 * that changes meanwhile.  NULL: over none. */
typedef bool calls_hider(const char *name);
void calls_set_hider(calls_hider *h);

#endif
