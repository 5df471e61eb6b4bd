/*
 * foreign: what Courier and Dovecot keep beside the messages.
 *
 * Layer:  maildir, uses base.
 * The parsers take any bytes and end in O(n log n); lines that make no sense
 * are passed over.  The x_read functions find the files below the root of a
 * Maildir; only regular files are read, no symbolic link is followed, and
 * none beyond a limit.
 * Memory: slices of a result point into the bytes that were parsed, or end
 *         with the x_close of its reader; x_fini may be called on a zeroed
 *         struct too, x_close after an x_open that failed.
 */
#ifndef MAILDIR_FOREIGN_H
#define MAILDIR_FOREIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "maildir/dir.h"
#include "maildir/name_table.h"

/* --- piece by piece ------------------------------------------------------- */

/*
 * What may be long has a reader.  A step of it gets how much work it may do,
 * about a line or a file name each, and takes off what it did; it ends with
 * the work or with the file.
 */
enum foreign_step {
	FOREIGN_MORE, /* the work is used up: call again */
	FOREIGN_DONE,
	FOREIGN_NONE, /* no file, or not in its form: there is no result */
};

/* A file that is read whole, and then taken line by line. */
struct foreign_file {
	int fd;	   /* -1: all is read */
	int error; /* errno: it is there, but couldn't be opened or read */
	struct buf bytes;
	struct slice rest; /* lines not yet taken, when all is read */
};

/*
 * For whoever found no file: 0 if there is none, or what is there isn't in its
 * form; ERR_* if that isn't known, and what it says would be lost.
 */
int foreign_file_failed(const struct foreign_file *f, struct err *e) MUST_USE;

/* --- UIDs: courierimapuiddb, dovecot-uidlist ------------------------------ */

struct foreign_uid {
	uint32_t uid;
	uint32_t order;	   /* Dovecot's O: place in the drop listing; 0: none */
	struct slice base; /* name of the file without its info part */
	struct slice uidl; /* Dovecot's P: unique-id of POP3 */
	struct slice guid; /* Dovecot's G */
	uint64_t place;	   /* of its file, if somebody has looked; else 0 */
};

struct foreign_uids {
	uint32_t uidvalidity, uidnext;
	struct slice uidl_format; /* of Dovecot's header */
	bool dovecot;
	struct foreign_uid *v; /* ascending UIDs below uidnext, no name twice */
	size_t n, cap;
	struct name_table names; /* of v */
};

struct foreign_uids_reader {
	struct foreign_file file;
	unsigned version; /* 0: the header is still to come */
	uint32_t last;
	bool twice; /* some have UID 0: their name came again */
	struct foreign_uids u;
};

/* False: not in the form of this file; then there is nothing to free. */
bool courier_uids_parse(struct slice bytes, struct foreign_uids *out) MUST_USE;
bool dovecot_uids_parse(struct slice bytes, struct foreign_uids *out) MUST_USE;
/*
 * The list of the mailbox in the directory dir ("" is INBOX).  False: there is
 * none.  Done, r->u is the result, and ends with the reader.
 */
bool foreign_uids_open(struct foreign_uids_reader *r, int root_fd,
    const char *dir, bool dovecot) MUST_USE;
enum foreign_step foreign_uids_step(
    struct foreign_uids_reader *r, int *work) MUST_USE;
void foreign_uids_close(struct foreign_uids_reader *r);
/* The UIDVALIDITY of Courier's list, without reading it: 1; 0: there is none;
 * ERR_*. */
int courier_uidvalidity(
    int root_fd, const char *dir, uint32_t *out, struct err *e) MUST_USE;
/* The one with the name, or NULL. */
struct foreign_uid *foreign_uids_find(
    const struct foreign_uids *u, struct slice base);
void foreign_uids_fini(struct foreign_uids *u);

/* --- keywords: courierimapkeywords/, dovecot-keywords --------------------- */

enum update_state {
	UPDATE_NONE,	/* of the list, or merged into it before */
	UPDATE_WAITS,	/* its file is there */
	UPDATE_TAKING,	/* taken over by the transaction that is open */
	UPDATE_TAKEN,	/* by one that was committed */
	UPDATE_RENAMED, /* nor is its file there any more */
	UPDATE_GONE,	/* another process has it, or a newer one came */
};

struct foreign_keyword_set {
	struct slice base;
	size_t at, n; /* members: names[indexes[at … at+n)] */
	enum update_state state;
	int64_t mtime_ns; /* of the file of an update that isn't NONE */
	uint64_t ino;
};

struct foreign_keywords {
	struct slice *names;
	size_t n_names, cap_names;
	uint16_t *indexes;
	size_t n_indexes, cap_indexes;
	struct foreign_keyword_set *v; /* no base name twice */
	size_t n, cap;
	struct name_table sets; /* of v */
	size_t n_pending;	/* updates, in any state but NONE */
	int64_t unread_ns;	/* mtime of the last that may not be read */
	bool too_many; /* Dovecot: names that have no letter were lost */
	struct buf bytes;
	struct arena arena; /* names from other files */
};

enum {
	FOREIGN_KEYWORDS_MAX = 4096,
	FOREIGN_KEYWORD_BYTES = 1024,
	FOREIGN_PENDING_S = 15 * 60, /* how long an update may wait */
};

void foreign_keywords_init(struct foreign_keywords *k);
/* The file ":list". */
void courier_keywords_parse(struct slice bytes, struct foreign_keywords *out);
/*
 * The whole directory, as Courier reads it, in the order of the names: updates
 * that wait there replace what the list says.  1: *out is the result; 0: there
 * is no such directory; ERR_*.
 */
int courier_keywords_read(int root_fd, const char *dir,
    struct foreign_keywords *out, struct err *e) MUST_USE;
/* Whether the file of an update is still there as it was read (1): else (0)
 * another process has taken it over, and what it says may be old by now; or
 * ERR_*. */
int courier_update_waits(int root_fd, const char *dir,
    const struct foreign_keyword_set *s, struct err *e) MUST_USE;
/* So many are renamed, or removed, in a piece; on a disk that has much to do
 * each may take a ms. */
enum { COURIER_UPDATES_PIECE = 64 };
/*
 * Rename a piece of the updates that are TAKEN, from *at on, in their directory
 * fd, as Courier does: RENAMED.  One that came in the place of such is left
 * where it is.  True: there may be more.
 */
bool courier_keywords_merged(
    int fd, int64_t wall_s, struct foreign_keywords *k, size_t *at) MUST_USE;

/*
 * To remove, when the list has been written anew, the updates that are in it,
 * and those that wait for a message that never came: first list them, then have
 * a thread remove them.  NULL: there is no such directory.
 */
struct courier_tidying;
struct courier_tidying *courier_tidying_new(
    int root_fd, const char *dir, int64_t wall_s) MUST_USE;
/* True: there are more to list. */
bool courier_tidying_list(struct courier_tidying *t, int *work) MUST_USE;
/* Whether there are some to remove; a piece of them; for sync_call(), with the
 * struct as arg. */
bool courier_tidying_left(const struct courier_tidying *t) MUST_USE;
int courier_tidying_run(void *arg);
void courier_tidying_free(void *arg);

/* The file dovecot-keywords: names[i] is that of the i-th letter from 'a'. */
enum { DOVECOT_LETTERS = 26 };
void dovecot_keywords_parse(
    struct slice bytes, struct slice names[DOVECOT_LETTERS], bool *too_many);

/*
 * A mailbox's keywords: what courier_keywords_read() gives but for the order,
 * or Dovecot's, by the letters of the file names in cur/.  Done, r->k is the
 * result, and ends with the reader.
 */
struct foreign_updates {
	struct foreign_update *v;
	size_t n, cap;
	size_t at, bytes; /* so many are read */
	bool gone;	  /* one wasn't there any more: it has another name */
};
struct foreign_keywords_reader {
	bool dovecot;
	int phase;
	/* with the error of whatever it is that couldn't be read */
	struct foreign_file file;
	struct dir_reader dir;
	uint16_t *map; /* numbers of the list to indexes */
	size_t n_map, cap_map;
	uint16_t letters[DOVECOT_LETTERS]; /* UINT16_MAX: none */
	struct foreign_updates updates;
	unsigned n_again; /* times these were listed anew */
	struct foreign_keywords k;
};
/* False, or FOREIGN_NONE later: there are none, unless foreign_file_failed()
 * says that they can't be read. */
bool foreign_keywords_open(struct foreign_keywords_reader *r, int root_fd,
    const char *dir, bool dovecot) MUST_USE;
enum foreign_step foreign_keywords_step(
    struct foreign_keywords_reader *r, int *work) MUST_USE;
void foreign_keywords_close(struct foreign_keywords_reader *r);

/* The set of a message, or NULL. */
struct foreign_keyword_set *foreign_keywords_find(
    const struct foreign_keywords *k, struct slice base);
/* Drop what is in the state NONE. */
void foreign_keywords_keep_pending(struct foreign_keywords *k);
void foreign_keywords_fini(struct foreign_keywords *k);

/* --- POP3: courierpop3dsizelist ------------------------------------------- */

enum foreign_utf8 { UTF8_UNKNOWN, UTF8_NO, UTF8_YES };

struct foreign_pop3 {
	struct slice base;
	uint32_t n, uidvalidity; /* "UIDn-uidvalidity"; n 0: the base name */
	uint64_t size;
	enum foreign_utf8 utf8; /* 8-bit header fields? */
};

struct foreign_sizelist {
	unsigned version; /* 0 … 3 */
	uint32_t next, uidvalidity;
	struct foreign_pop3 *v; /* in the order of the file */
	size_t n, cap;
};

struct foreign_sizelist_reader {
	struct foreign_file file;
	bool begun; /* the header is read */
	struct foreign_sizelist l;
};

bool courier_sizelist_parse(
    struct slice bytes, struct foreign_sizelist *out) MUST_USE;
/* INBOX has one, or none; done, r->l is the result. */
bool foreign_sizelist_open(
    struct foreign_sizelist_reader *r, int root_fd) MUST_USE;
enum foreign_step foreign_sizelist_step(
    struct foreign_sizelist_reader *r, int *work) MUST_USE;
void foreign_sizelist_close(struct foreign_sizelist_reader *r);
void foreign_sizelist_fini(struct foreign_sizelist *s);

/* Take "UIDn-uidvalidity" or "UIDn" apart. */
bool courier_uidl_parse(
    struct slice uidl, uint32_t *n, uint32_t *uidvalidity) MUST_USE;
/*
 * Append the unique-id that Dovecot would make of its pop3_uidl_format, for
 * example "%08Xu%08Xv" or "%{uid | hex(8)}".  False: the format has something
 * that isn't known here, or the result is no unique-id.
 */
bool dovecot_uidl_format(struct buf *out, struct slice format,
    const struct foreign_uid *u, uint32_t uidvalidity) MUST_USE;

/* --- subscriptions -------------------------------------------------------- */

/* Dovecot's subscriptions, both forms: append each name in UTF-8 with '.'
 * between its parts and a newline behind it. */
void dovecot_subscriptions_parse(struct slice bytes, struct buf *out);
/* 1; 0: there is no such file; -1 with errno. */
int dovecot_subscriptions_read(int root_fd, struct buf *out) MUST_USE;

/* --- files ---------------------------------------------------------------- */

/* Read DIR/NAME below the root into out, whose max is the limit.  1; 0: it
 * isn't there, isn't a regular file, or is too large; -1 with errno: that isn't
 * known. */
int foreign_file_read(
    int root_fd, const char *dir, const char *name, struct buf *out) MUST_USE;

#endif
