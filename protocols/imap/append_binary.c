/*
 * Messages that came as literal8 (RFC 3516 4.4).
 *
 * Lines end in LF on disk and in CRLF on the wire, so a part in the encoding
 * "binary" that holds a bare LF would not come out as it went in; nor may a
 * NUL stand in what BODY[] answers (RFC 3501 9, CHAR8).  RFC 3516 4.4 and 6
 * allow to change the encoding of such parts, and of no others: they become
 * base64, and the entities around them, which are no longer binary, 8bit.
 *
 * The message is written down as it came while a parser finds its parts.
 * Then it is taken back from the store and written again, in slices: from the
 * table of parts it is known where each header and body lies, and both come
 * out of the file in one pass from front to back.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "protocols/imap/append.h"
#include "protocols/mime/header.h"
#include "protocols/mime/transfer.h"

/* A multiple of 57, which makes a line of base64. */
enum { CHUNK = 57 * 512, ENCODED_MAX = 2 * CHUNK };

enum phase {
	COPY_BEGIN,  /* it is still the store's */
	COPY_GAP,    /* up to the next header that changes */
	COPY_HEADER, /* which goes through the filter */
	COPY_BODY,   /* which becomes base64 */
};

struct append_binary {
	struct mime_message msg;
	struct mime_parser parser;
	bool parsing, nul, filtering;
	enum phase phase;
	int fd;	       /* the message as it came; -1: not yet ours */
	uint64_t at;   /* bytes of it that are copied */
	uint32_t part; /* the next one to look at */
	struct mime_filter filter;
	struct buf out;
};

static const struct slice field = SLICE_INIT("content-transfer-encoding");

void
imap_append_binary_begin(struct imap_session *i, struct append_args *a)
{
	struct append_binary *b = MEM_NEW(struct append_binary);

	assert(a->binary == NULL);
	mime_message_init(&b->msg);
	mime_parser_init(&b->parser, &b->msg, &i->opt->mime);
	buf_init(&b->out, ENCODED_MAX);
	b->parsing = true;
	b->fd = -1;
	a->binary = b;
	append_keep_raw(a->append);
}

void
imap_append_binary_feed(struct append_args *a, struct slice in)
{
	struct append_binary *b = a->binary;

	mime_parser_feed(&b->parser, in);
	b->nul = b->nul || slice_has(in, '\0');
}

void
imap_append_binary_fini(struct append_args *a)
{
	struct append_binary *b = a->binary;

	a->binary = NULL;
	if (b == NULL)
		return;
	if (b->parsing)
		mime_parser_abort(&b->parser);
	mime_message_fini(&b->msg);
	if (b->filtering)
		mime_filter_fini(&b->filter);
	if (b->fd >= 0)
		(void)close(b->fd);
	buf_fini(&b->out);
	free(b);
}

/* Whether the part can't be kept under the encoding it has. */
static bool
must_change(const struct append_binary *b, const struct mime_part *p)
{
	if (p->encoding != MIME_BINARY || p->capped)
		return false;
	/* bare LFs are what makes the wire form longer */
	return b->nul || p->body.wire != p->body.len;
}

/*
 * Bytes of the message as it will be kept, on the wire: what becomes base64
 * grows.  The header fields that are put in are no longer than those that say
 * "binary".
 */
static uint64_t
kept_size(const struct append_binary *b)
{
	uint64_t n = b->msg.all.wire;

	for (uint32_t k = 0; k < b->msg.n_parts; k++) {
		const struct mime_part *p = &b->msg.parts[k];

		if (must_change(b, p) && p->kind == MIME_LEAF)
			n += mime_base64_size(p->body.len) - p->body.wire;
	}
	return n;
}

/* Take the message back, and begin it anew with what will be kept of it. */
static int
begin_copy(struct imap_session *i, struct append_args *a)
{
	struct append_binary *b = a->binary;
	int rc;

	if (b->parsing) {
		mime_parser_finish(&b->parser);
		b->parsing = false;
		a->too_big = kept_size(b) > i->opt->message_max;
		if (a->too_big)
			return ERR_INVALID;
		rc = append_take_back(a->append, &b->fd, &a->e);
		if (rc != 0)
			return rc;
	}
	rc = imap_append_message(i, a, b->msg.all.len, &a->e);
	if (rc == 0)
		b->phase = COPY_GAP;
	return rc;
}

/* Read on, at most up to end; *in is empty at end. */
static int
read_on(struct append_binary *b, uint8_t *chunk, uint64_t end, struct slice *in)
{
	uint64_t want = end - b->at < CHUNK ? end - b->at : CHUNK;
	size_t n = 0;

	/* whole chunks, for base64 */
	while (n < want) {
		ssize_t got = fsx_pread(
		    b->fd, chunk + n, (size_t)want - n, (off_t)(b->at + n));

		if (got <= 0)
			return got < 0 ? ERR_SYS : ERR_STALE;
		n += (size_t)got;
	}
	b->at += n;
	*in = slice_of(chunk, n);
	return 0;
}

/* Bytes that stay, up to the header of the next part that changes. */
static int
copy_gap(struct append_args *a, uint8_t *chunk)
{
	struct append_binary *b = a->binary;
	uint64_t end = b->msg.all.len;
	struct slice in;
	int rc;

	while (
	    b->part < b->msg.n_parts && !must_change(b, &b->msg.parts[b->part]))
		b->part++;
	if (b->part < b->msg.n_parts)
		end = b->msg.parts[b->part].header.off;
	rc = read_on(b, chunk, end, &in);
	if (rc != 0)
		return rc;
	if (in.n != 0)
		return append_write(a->append, in, &a->e);
	assert(b->part < b->msg.n_parts); /* or it would be all */
	mime_filter_init(&b->filter, &field, 1, true);
	b->filtering = true;
	b->phase = COPY_HEADER;
	return append_write(a->append,
	    b->msg.parts[b->part].kind == MIME_LEAF
		? SLICE("Content-Transfer-Encoding: base64\r\n")
		: SLICE("Content-Transfer-Encoding: 8bit\r\n"),
	    &a->e);
}

static int
put_out(struct append_args *a)
{
	struct append_binary *b = a->binary;
	int rc = append_write(a->append, buf_slice(&b->out), &a->e);

	assert(buf_ok(&b->out));
	buf_reset(&b->out);
	return rc;
}

/* The header without the field that was put before it. */
static int
copy_header(struct append_args *a, uint8_t *chunk)
{
	struct append_binary *b = a->binary;
	const struct mime_part *p = &b->msg.parts[b->part];
	struct slice in;
	int rc = read_on(b, chunk, p->header.off + p->header.len, &in);

	if (rc != 0)
		return rc;
	if (in.n != 0) {
		mime_filter_feed(&b->filter, in, &b->out);
		return put_out(a);
	}
	mime_filter_finish(&b->filter, &b->out);
	mime_filter_fini(&b->filter);
	b->filtering = false;
	b->phase = p->kind == MIME_LEAF ? COPY_BODY : COPY_GAP;
	b->part += p->kind != MIME_LEAF;
	return put_out(a);
}

static int
copy_body(struct append_args *a, uint8_t *chunk)
{
	struct append_binary *b = a->binary;
	const struct mime_part *p = &b->msg.parts[b->part];
	struct slice in;
	int rc = read_on(b, chunk, p->body.off + p->body.len, &in);

	if (rc != 0)
		return rc;
	if (in.n == 0) {
		b->part++;
		b->phase = COPY_GAP;
		return 0;
	}
	mime_base64_encode(in, &b->out);
	return put_out(a);
}

static int
copy_some(struct imap_session *i, struct append_args *a)
{
	uint8_t chunk[CHUNK];

	switch (a->binary->phase) {
	case COPY_BEGIN:
		return begin_copy(i, a);
	case COPY_GAP:
		return copy_gap(a, chunk);
	case COPY_HEADER:
		return copy_header(a, chunk);
	case COPY_BODY:
		return copy_body(a, chunk);
	}
	assert(false);
	return ERR_SYS;
}

enum step
imap_append_binary_copy(struct imap_session *i, struct append_args *a)
{
	struct append_binary *b = a->binary;
	bool more = true;

	while (more) {
		a->rc = copy_some(i, a);
		if (b->phase == COPY_BEGIN && imap_retry(i, a->rc)) {
			a->rc = 0;
			return imap_retry_step(i);
		}
		more = a->rc == 0 &&
		    (b->at < b->msg.all.len || b->phase != COPY_GAP);
		if (more && imap_spend(i, CHUNK))
			return STEP_YIELD;
	}
	if (a->rc == 0)
		a->rc = append_message_end(a->append, &a->e);
	imap_append_binary_fini(a);
	return STEP_DONE;
}
