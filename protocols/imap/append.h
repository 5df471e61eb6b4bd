/*
 * imap_append: the arguments of APPEND, and the copying of messages that
 * came as literal8.
 *
 * Layer:  protocols/imap.
 *
 *   cmd_append.c     the command
 *   append_binary.c  literal8
 */
#ifndef IMAP_APPEND_H
#define IMAP_APPEND_H

#include "base/arena.h"
#include "maildir/append.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"

enum { IMAP_APPEND_MAX = 1000 }; /* messages of one command */

struct append_binary;

struct append_args {
	struct imap_place place;
	struct slice name;
	bool bad_name;
	struct append *append;
	size_t n;      /* messages begun */
	size_t n_sent; /* of them, given to sendmail: then told what fails */
	int rc;	       /* writing failed: the rest is passed over */
	struct err e;

	/* the message under way */
	struct arena_mark mark; /* its options end at arena_rewind() to it */
	struct imap_flags flags;
	int64_t internal_ms;
	bool utf8;	   /* "UTF8 (" came before the literal */
	bool in_header;	   /* its bytes are looked at until it ends */
	bool line_begins;  /* nothing but CR of the line came yet */
	bool refused_8bit; /* some message's header is not ASCII */
	bool too_big;	   /* some message is, in what it must be kept in */
	uint64_t left;	   /* bytes of the literal still to come */
	struct append_binary *binary; /* NULL: a literal */
};

/* --- cmd_append.c -------------------------------------------------------- */

/* Begin a message of so many bytes in the store, with those of its flags that
 * one may set there (RFC 4314 4). */
int imap_append_message(struct imap_session *i, struct append_args *a,
    uint64_t size, struct err *e) MUST_USE;

/* --- append_binary.c ----------------------------------------------------- */

/* The message begun last by append_message() comes as a literal8. */
void imap_append_binary_begin(struct imap_session *i, struct append_args *a);
/* Its bytes, which also go to append_write(). */
void imap_append_binary_feed(struct append_args *a, struct slice in);
/*
 * All bytes were given, and append_message_end() called: copy the message
 * into the form that is kept.  STEP_YIELD, STEP_WAIT_PEER, or STEP_DONE: a->rc
 * tells, and a->binary is NULL.
 */
enum step imap_append_binary_copy(
    struct imap_session *i, struct append_args *a);
/* Give up, or nothing to do. */
void imap_append_binary_fini(struct append_args *a);

#endif
