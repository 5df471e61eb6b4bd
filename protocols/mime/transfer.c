#include "protocols/mime/transfer.h"

#include "base/ascii.h"
#include "base/base64.h"
#include "protocols/mime/lex.h"

enum qp_state {
	QP_TEXT,
	QP_BLANKS, /* blanks that count unless the line ends */
	QP_EQUALS, /* "=", perhaps with blanks behind it */
	QP_HEX,	   /* "=" and one hex digit */
	QP_CR,	   /* a CR behind blanks or "=" */
};

void
mime_decoder_init(struct mime_decoder *d, enum mime_encoding encoding)
{
	d->encoding = encoding;
	d->bits = 0;
	d->n = 0;
	d->state = QP_TEXT;
	d->damaged = false;
}

bool
mime_decoder_damaged(const struct mime_decoder *d)
{
	return d->damaged;
}

/* --- base64 -------------------------------------------------------------- */

/* Give out what a group that ended early stands for. */
static void
base64_flush(struct mime_decoder *d, struct buf *out)
{
	if (d->n == 1)
		d->damaged = true;
	if (d->n == 2)
		buf_putc(out, (uint8_t)(d->bits >> 4));
	if (d->n == 3) {
		buf_putc(out, (uint8_t)(d->bits >> 10));
		buf_putc(out, (uint8_t)(d->bits >> 2));
	}
	d->n = 0;
	d->bits = 0;
}

static void
base64_feed(struct mime_decoder *d, struct slice in, struct buf *out)
{
	uint8_t *to = buf_reserve(out, in.n / 4 * 3 + 3);
	size_t n = 0;

	if (to == NULL)
		return;
	for (size_t i = 0; i < in.n; i++) {
		int v = base64_value(in.p[i]);
		if (v >= 0) {
			d->bits = d->bits << 6 | (uint32_t)v;
			if (++d->n < 4)
				continue;
			to[n++] = (uint8_t)(d->bits >> 16);
			to[n++] = (uint8_t)(d->bits >> 8);
			to[n++] = (uint8_t)d->bits;
			d->n = 0;
			d->bits = 0;
		} else if (in.p[i] == '=') {
			/* padding; another encoding may follow it */
			buf_advance(out, n);
			n = 0;
			base64_flush(d, out);
			to = buf_reserve(out, (in.n - i) / 4 * 3 + 3);
			if (to == NULL)
				return;
		} else if (!mime_is_space(in.p[i])) {
			d->damaged = true; /* RFC 2045 6.8: ignore it */
		}
	}
	buf_advance(out, n);
}

void
mime_base64_encode(struct slice in, struct buf *out)
{
	while (in.n != 0) {
		base64_encode(slice_first(in, 57), out);
		buf_put(out, SLICE("\r\n"));
		in = slice_skip(in, 57);
	}
}

uint64_t
mime_base64_size(uint64_t n)
{
	return (n + 2) / 3 * 4 + (n + 56) / 57 * 2;
}

/* --- quoted-printable ---------------------------------------------------- */

/* What was held back was data after all. */
static void
qp_release(struct mime_decoder *d, struct buf *out)
{
	buf_put(out, slice_of(d->held, d->n));
	d->n = 0;
	d->state = QP_TEXT;
}

static void
qp_hold(struct mime_decoder *d, uint8_t c, struct buf *out)
{
	if (d->n == sizeof(d->held))
		qp_release(d, out);
	d->held[d->n++] = c;
}

/* A byte that isn't held back by anything. */
static void
qp_text(struct mime_decoder *d, uint8_t c, struct buf *out)
{
	if (c == '=' || c == ' ' || c == '\t') {
		qp_hold(d, c, out);
		d->state = c == '=' ? QP_EQUALS : QP_BLANKS;
	} else {
		buf_putc(out, c);
	}
}

/*
 * A line break, or a CR that probably begins one, behind what is held: blanks
 * at the end of a line were added on the way and a "=" there joins lines
 * (RFC 2045 6.7 rules 3 and 5).  Returns whether c was dealt with.
 */
static bool
qp_line_end(struct mime_decoder *d, uint8_t c, struct buf *out)
{
	bool soft = d->n != 0 && d->held[0] == '=';

	if (c == '\r' && d->state != QP_CR) {
		qp_hold(d, c, out);
		d->state = QP_CR;
		return true;
	}
	if (c != '\n')
		return false;
	if (!soft)
		buf_put(out, d->state == QP_CR ? SLICE("\r\n") : SLICE("\n"));
	d->n = 0;
	d->state = QP_TEXT;
	return true;
}

/* The byte behind "=" or "=X"; false if it doesn't fit there. */
static bool
qp_escape(struct mime_decoder *d, uint8_t c, struct buf *out)
{
	int digit = ascii_hex(c);

	if (d->n == 1 && digit >= 0) {
		qp_hold(d, c, out);
		d->state = QP_HEX;
		return true;
	}
	if (d->state == QP_HEX && digit >= 0) {
		int high = ascii_hex(d->held[1]);
		d->n = 0;
		d->state = QP_TEXT;
		buf_putc(out, (uint8_t)(high * 16 + digit));
		return true;
	}
	if (d->state == QP_EQUALS && (c == ' ' || c == '\t') &&
	    d->n < sizeof(d->held)) {
		qp_hold(d, c, out);
		return true;
	}
	return false;
}

static void
qp_byte(struct mime_decoder *d, uint8_t c, struct buf *out)
{
	bool done = false;

	if (d->state == QP_BLANKS && (c == ' ' || c == '\t')) {
		qp_hold(d, c, out);
		d->state = QP_BLANKS;
		return;
	}
	if (d->state == QP_EQUALS || d->state == QP_HEX)
		done = qp_escape(d, c, out);
	if (!done && d->state != QP_TEXT && d->state != QP_HEX)
		done = qp_line_end(d, c, out);
	if (done)
		return;
	if (d->state != QP_TEXT) {
		d->damaged = d->damaged || d->held[0] == '=';
		qp_release(d, out);
	}
	qp_text(d, c, out);
}

static void
qp_feed(struct mime_decoder *d, struct slice in, struct buf *out)
{
	size_t n;

	while (in.n != 0) {
		/* mostly plain text, which goes in runs */
		for (n = 0; d->state == QP_TEXT && n < in.n; n++)
			if (in.p[n] == '=' || in.p[n] == ' ' || in.p[n] == '\t')
				break;
		if (n == 0)
			qp_byte(d, in.p[n++], out);
		else
			buf_put(out, slice_first(in, n));
		in = slice_skip(in, n);
	}
}

static void
qp_finish(struct mime_decoder *d, struct buf *out)
{
	/* blanks or a soft line break at the very end mean nothing */
	if (d->state == QP_HEX || (d->state == QP_CR && d->held[0] != '='))
		qp_release(d, out);
	d->n = 0;
	d->state = QP_TEXT;
}

/* --- interface ----------------------------------------------------------- */

void
mime_decoder_feed(struct mime_decoder *d, struct slice in, struct buf *out)
{
	switch (d->encoding) {
	case MIME_BASE64:
		base64_feed(d, in, out);
		break;
	case MIME_QUOTED_PRINTABLE:
		qp_feed(d, in, out);
		break;
	case MIME_7BIT:
	case MIME_8BIT:
	case MIME_BINARY:
	case MIME_ENCODING_UNKNOWN:
		buf_put(out, in);
		break;
	}
}

void
mime_decoder_finish(struct mime_decoder *d, struct buf *out)
{
	if (d->encoding == MIME_BASE64)
		base64_flush(d, out);
	else if (d->encoding == MIME_QUOTED_PRINTABLE)
		qp_finish(d, out);
}
