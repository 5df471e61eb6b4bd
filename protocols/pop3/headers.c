#include "protocols/pop3/headers.h"

#include <unistd.h>

#include "base/err.h"
#include "base/fsx.h"

enum {
	CHUNK = 32 * 1024,
	READ_COST = 512, /* of a call, in bytes */
};

void
pop3_headers_begin(
    struct pop3_headers *h, int fd, const struct mime_options *opt)
{
	h->fd = fd;
	h->phase = POP3_HEADERS_READ;
	h->at = 0;
	h->part = 0;
	mime_message_init(&h->msg);
	mime_parser_init(&h->parser, &h->msg, opt);
}

void
pop3_headers_end(struct pop3_headers *h)
{
	if (h->phase != POP3_HEADERS_LOOK)
		mime_parser_abort(&h->parser);
	mime_message_fini(&h->msg);
	(void)close(h->fd);
	h->fd = -1;
}

static bool
is_ascii(struct slice s)
{
	uint8_t seen = 0;

	for (size_t i = 0; i < s.n; i++)
		seen |= s.p[i];
	return seen < 0x80;
}

/* Up to n bytes from off on; *piece borrows chunk, and is empty at the end. */
static int
read_piece(struct pop3_headers *h, uint64_t off, uint64_t n,
    uint8_t chunk[CHUNK], struct slice *piece)
{
	ssize_t got =
	    fsx_pread(h->fd, chunk, n < CHUNK ? (size_t)n : CHUNK, (off_t)off);

	if (got < 0)
		return ERR_SYS;
	*piece = slice_of(chunk, (size_t)got);
	return 0;
}

/* The three phases: 1 or ERR_SYS: found, failed; 0: go on. */

static int
look(struct pop3_headers *h, uint8_t chunk[CHUNK], struct slice *piece)
{
	const struct mime_span *span = &h->msg.parts[h->part].header;

	*piece = slice_of(NULL, 0);
	if (h->at < span->len &&
	    read_piece(h, span->off + h->at, span->len - h->at, chunk, piece) !=
		0)
		return ERR_SYS;
	h->at += piece->n;
	if (piece->n == 0) {
		h->part++;
		h->at = 0;
	}
	return is_ascii(*piece) ? 0 : 1;
}

static int
parse(struct pop3_headers *h, uint8_t chunk[CHUNK], struct slice *piece)
{
	if (read_piece(h, h->at, CHUNK, chunk, piece) != 0)
		return ERR_SYS;
	h->at += piece->n;
	mime_parser_feed(&h->parser, *piece);
	if (piece->n == 0) {
		mime_parser_finish(&h->parser);
		h->phase = POP3_HEADERS_LOOK;
		h->at = 0;
	}
	return 0;
}

/* Here 1 is the end: all is ASCII. */
static int
read_all(struct pop3_headers *h, uint8_t chunk[CHUNK], struct slice *piece)
{
	if (read_piece(h, h->at, CHUNK, chunk, piece) != 0)
		return ERR_SYS;
	h->at += piece->n;
	if (piece->n == 0)
		return 1;
	if (!is_ascii(*piece)) {
		h->phase = POP3_HEADERS_PARSE;
		h->at = 0;
	}
	return 0;
}

enum step
pop3_headers_step(struct pop3_headers *h, int64_t *budget, int *result)
{
	uint8_t chunk[CHUNK];
	struct slice piece = slice_of(NULL, 0);

	while (*budget > 0) {
		int rc = 0;

		switch (h->phase) {
		case POP3_HEADERS_READ:
			rc = read_all(h, chunk, &piece);
			break;
		case POP3_HEADERS_PARSE:
			rc = parse(h, chunk, &piece);
			break;
		case POP3_HEADERS_LOOK:
			if (h->part == h->msg.n_parts) {
				*result = 0;
				return STEP_DONE;
			}
			rc = look(h, chunk, &piece);
			break;
		}
		*budget -= (int64_t)piece.n + READ_COST;
		if (rc != 0) {
			*result =
			    h->phase == POP3_HEADERS_READ && rc == 1 ? 0 : rc;
			return STEP_DONE;
		}
	}
	return STEP_YIELD;
}
