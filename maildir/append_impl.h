/*
 * append_impl: what the halves of append share, writing messages (append.c)
 * and bringing them into the mailbox (append_commit.c).
 *
 * Layer:  maildir.  Not for anybody outside.
 */
#ifndef MAILDIR_APPEND_IMPL_H
#define MAILDIR_APPEND_IMPL_H

#include "maildir/append.h"
#include "maildir/group.h"

enum {
	APPEND_MAGIC = 0x41707064,
	/* a command's only message is kept in memory until it is complete */
	APPEND_IN_MEMORY = 64 * 1024,
};

struct new_message {
	int fd; /* -1: closed, or not yet made */
	char *tmp;
	bool made;	 /* its file in tmp/ */
	char *base;	 /* without info part; NULL: not yet known */
	char *committed; /* name in cur/, once it is there */
	bool young;	 /* its bytes go into the database, see young.h */
	bool adopt;	 /* since an earlier transaction, which failed */
	uint32_t flags, uid;
	struct slice *keywords;
	size_t n_keywords;
	uint32_t keyword_set;
	bool ends_line;
	bool dated; /* with a date of the client's */
	int64_t internal_ms, wall_ms;
	uint64_t announced, file_size, wire_size;
	struct file_unique unique;
};

enum append_state {
	APPEND_WRITING,
	APPEND_WRITE_FILE, /* a sync thread writes the only message */
	APPEND_SYNC_FILES,
	APPEND_INTENT, /* of several: see intent.h */
	APPEND_INTENT_SYNC,
	APPEND_COMMIT,
	APPEND_UNDO,
	APPEND_DONE,
};

struct append_file;

struct append {
	unsigned magic;
	struct mailbox *m;
	int tmp_fd;
	enum append_state state;
	struct new_message *v;
	size_t n;
	uint64_t announced; /* bytes of all */
	size_t n_open;	    /* files that are */
	bool open;	    /* the last one is being written */
	bool raw;	    /* as it comes */
	bool cr;	    /* a CR was read, and not yet what follows it */
	uint8_t last;
	struct buf out; /* not yet in the file, or for the database */
	size_t n_synced, n_syncing;
	struct sync sync;
	struct append_file *file;
	struct young_file *young; /* committed */
	unsigned young_errors;
	int64_t intent;		/* 0: none */
	struct durable durable; /* of the intent */
	struct group_member group;
	int64_t busy_since_ms;
	uint32_t *uids;
	int result;
};

/* The name that the file will have, from its device and inode. */
void append_name(struct new_message *msg, uint64_t dev, uint64_t ino);
/* Files that came into place go again; they were never shown. */
void append_unlink_committed(struct append *p);
/* What is under way has no owner any more. */
void append_commit_fini(struct append *p);

#endif
