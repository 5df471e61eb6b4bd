/*
 * imap_fetch: the arguments of FETCH, and the engine behind them.
 * RFC 3501 6.4.5; RFC 7162 3.1.4 and 3.2.6 (CHANGEDSINCE, VANISHED), RFC 9394
 * 3.3 (PARTIAL).
 *
 * Layer:  protocols/imap.
 *
 *   fetch_items.c  the arguments
 *   cmd_fetch.c    from message to message; \Seen
 *   fetch_plain.c  responses that need no look at the message
 *   fetch_look.c   what must be known of a message before its response
 *   fetch_parts.c  where its parts are, from the cache
 *   fetch_body.c   sections, streamed from the file
 *   fetch_binary.c the same, decoded
 */
#ifndef IMAP_FETCH_H
#define IMAP_FETCH_H

#include "maildir/ahead.h"
#include "maildir/change.h"
#include "protocols/imap/condstore.h"
#include "protocols/imap/session_impl.h"
#include "protocols/mime/header.h"
#include "protocols/mime/section.h"
#include "protocols/mime/transfer.h"
#include "protocols/mime/wire.h"

enum fetch_kind {
	FETCH_UID,
	FETCH_FLAGS,
	FETCH_INTERNALDATE,
	FETCH_SIZE,
	FETCH_ENVELOPE,
	FETCH_BODY,
	FETCH_BODYSTRUCTURE,
	FETCH_SECTION,
	FETCH_SAVEDATE, /* RFC 8514 */
	FETCH_EMAILID,	/* RFC 8474 */
	FETCH_THREADID,
	FETCH_BINARY, /* RFC 3516 */
	FETCH_BINARY_SIZE,
	FETCH_PREVIEW, /* RFC 8970 */
	FETCH_MODSEQ,  /* RFC 7162 3.1.4.2 */
};

struct fetch_item {
	enum fetch_kind kind;
	struct slice name; /* as it is told in the response */
	/* of a section: */
	enum mime_section what;
	uint32_t *path;
	size_t n_path;
	bool fields, not ; /* HEADER.FIELDS, HEADER.FIELDS.NOT */
	bool partial;
	uint64_t from, count; /* 0 and UINT64_MAX: all */
	struct slice *names;
	size_t n_names;
	uint64_t set; /* of HEADER.FIELDS that are kept (fields.h), or 0 */
	/* of BINARY, for the message at hand: */
	uint64_t total;
	bool has_nul, missing;
};

enum {
	FETCH_ITEMS_MAX = 1000,
	FETCH_NAMES_MAX = 10000, /* of one list of header fields */
	FETCH_BATCH = 32,	 /* messages marked \Seen at a time */
	FETCH_TEXT_MAX = 16 * 1024 * 1024,
};

/* Texts that the cache holds. */
enum { FETCH_N_TEXTS = CACHE_BODYSTRUCTURE + 1 };

/* The text of a combination of flags. */
enum { FETCH_KNOWN_FLAGS = MESSAGE_FLAGS_ALL + 1, FETCH_FLAGS_TEXT = 111 };
struct fetch_flags {
	uint32_t flags, keywords;
	bool recent;
	uint8_t n; /* 0: none yet */
	uint8_t text[FETCH_FLAGS_TEXT];
};

struct fetch_args {
	struct imap_set set;
	struct fetch_item *items;
	size_t n_items, cap_items;
	bool plain;			 /* fetch_plain.c */
	struct fetch_flags *known_flags; /* FETCH_KNOWN_FLAGS of them, if so */
	bool seen;			 /* sets \Seen */
	bool flags;			 /* FLAGS is among the items */
	bool has_uid, has_modseq;
	/* modifiers */
	bool changed, vanished, partial;
	uint64_t changed_since;
	struct imap_partial range;
	struct imap_set wanted; /* UIDs as asked for, for VANISHED */
	struct imap_vanished telling;
	bool needs_info, needs_file, needs_size, needs_email_id;
	bool needs_text[FETCH_N_TEXTS]; /* ENVELOPE, BODY, BODYSTRUCTURE */
	bool needs_header, needs_parts; /* of the message, for sections */
	bool needs_fields;		/* those that are kept */
	bool needs_head;		/* all of the header */
	bool needs_binary;
	bool preview, preview_lazy; /* PREVIEW, PREVIEW (LAZY) */

	/* reading ahead */
	struct ahead *ahead; /* or NULL */
	uint32_t asked;	     /* the last message that it was asked for */
	unsigned n_opened;   /* messages in a row whose file was needed */

	/* a batch */
	uint32_t next; /* where to look for its next message */
	uint32_t end;  /* its first message that isn't; 0: all are */
	struct view *newest;
	struct change_flags *change;
	struct imap_range marked_v[FETCH_BATCH];
	struct imap_set marked; /* \Seen was set on these */

	/* a message */
	uint32_t seq, uid;
	struct message_info info;
	bool opened;	/* its file was: fd, or all of it is in begin */
	int fd;		/* or -1 */
	bool has_begin; /* its beginning was read ahead */
	struct slice begin;
	uint64_t file_size, wire_size, email_id;
	struct mime_source source;
	struct buf texts[FETCH_N_TEXTS];
	bool has_fields; /* in i->work->kept_fields */
	bool has_head;	 /* in i->work->kept_key, and that's the source */
	bool has_preview;
	struct buf preview_text;
	size_t counted; /* items looked at for BINARY */
	bool counting;
	struct mime_decoder decoder;
	size_t n_unknown_cte;
	size_t n_missing, n_unread;

	/* an item */
	size_t item;
	bool named; /* its name is out */
	size_t text_at;
	bool streaming;
	struct mime_wire wire;
	struct mime_span span;
	struct mime_filter filter;
	bool filtering, overflow;
	uint64_t filter_at;		   /* bytes of the header read */
	uint64_t window_skip, window_left; /* second pass */
	struct buf scratch;
};

/* --- fetch_plain.c ------------------------------------------------------- */

/* Whether the responses can be written by imap_fetch_put_plain(). */
bool imap_fetch_is_plain(const struct fetch_args *a);
/* The whole response to the message a->seq, which is m. */
void imap_fetch_put_plain(struct imap_session *i, const struct message *m);

/* --- fetch_look.c -------------------------------------------------------- */

/*
 * Get hold of all that the response to one message needs.  STEP_DONE: *rc is
 * 0, or why there can be no response.
 */
enum step imap_fetch_look(struct imap_session *i, int *rc);
/* Close the message. */
void imap_fetch_close(struct imap_session *i);

/* --- fetch_parts.c ------------------------------------------------------- */

/*
 * The table of parts is kept of messages that are larger: one that isn't is
 * read at once, and its parts are found as fast as the table would be.
 */
enum { IMAP_PARTS_MIN = 32 * 1024 };

/*
 * Have the parts of the open message in i->work->parsed without reading it;
 * false: they must be looked for.  What is kept counts only for the file it
 * was made of.
 */
bool imap_parts_take(struct imap_session *i);
/* Keep the parts of the message just looked into, if that's worth it. */
void imap_parts_keep(struct imap_session *i);

/* --- fetch_body.c -------------------------------------------------------- */

/*
 * Put out a section, in pieces: STEP_DONE when it's complete, STEP_NEXT (call
 * again), STEP_YIELD, STEP_WAIT_OUTPUT.  *rc other than 0: it can't be
 * completed, and the literal is half out.
 */
enum step imap_fetch_section(
    struct imap_session *i, const struct fetch_item *it, int *rc);

/* The stretch of the file that an item is, to a->span; false: none. */
bool imap_fetch_span(struct imap_session *i, const struct fetch_item *it);
/* The window of a partial fetch on so many bytes. */
void imap_fetch_set_window(
    struct fetch_args *a, const struct fetch_item *it, uint64_t total);
/* What of the bytes in scratch is in the window goes out. */
void imap_fetch_put_window(struct imap_session *i);

/* --- fetch_binary.c ------------------------------------------------------ */

/*
 * Count what BINARY items come to, before the response begins.  STEP_DONE:
 * *rc is 0; ERR_FORMAT: one can't be decoded; other ERR_*.  STEP_YIELD.
 */
enum step imap_fetch_count(struct imap_session *i, int *rc);
/* As imap_fetch_section(). */
enum step imap_fetch_binary(
    struct imap_session *i, const struct fetch_item *it, int *rc);

#endif
