#include "protocols/mime/charset.h"

#include <errno.h>

#include "base/ascii.h"
#include "protocols/mime/charset_name.h"

enum { CHUNK = 1024 };

static const struct slice replacement = SLICE_INIT("\xef\xbf\xbd");

/* --- UTF-8 --------------------------------------------------------------- */

/* Bytes of the sequence that c begins, or 0 (RFC 3629 section 4). */
static size_t
utf8_len(uint8_t c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef)
		return 3;
	return c >= 0xf0 && c <= 0xf4 ? 4 : 0;
}

/* Whether b may be the second byte behind a. */
static bool
utf8_second(uint8_t a, uint8_t b)
{
	uint8_t low = 0x80, high = 0xbf;

	if (a == 0xe0)
		low = 0xa0; /* overlong */
	if (a == 0xed)
		high = 0x9f; /* surrogates */
	if (a == 0xf0)
		low = 0x90; /* overlong */
	if (a == 0xf4)
		high = 0x8f; /* beyond U+10FFFF */
	return b >= low && b <= high;
}

/*
 * Take one byte.  A sequence is gathered in carry until it is whole; a byte
 * that doesn't continue it ends it as one U+FFFD and begins anew.
 */
static void
utf8_byte(struct mime_charset *c, uint8_t b, struct buf *out)
{
	bool fits = false;

	if (c->n_carry == 1)
		fits = utf8_second(c->carry[0], b);
	else if (c->n_carry > 1)
		fits = b >= 0x80 && b <= 0xbf;
	if (c->n_carry != 0 && !fits) {
		buf_put(out, replacement);
		c->n_carry = 0;
	}
	if (!fits && utf8_len(b) == 0) {
		buf_put(out, replacement);
		return;
	}
	c->carry[c->n_carry++] = b;
	if (c->n_carry == utf8_len(c->carry[0])) {
		buf_put(out, slice_of(c->carry, c->n_carry));
		c->n_carry = 0;
	}
}

static void
utf8_feed(struct mime_charset *c, struct slice in, struct buf *out)
{
	size_t n;

	while (in.n != 0) {
		n = c->n_carry == 0 ? ascii_run(in.p, in.n) : 0;
		if (n == 0)
			utf8_byte(c, in.p[n++], out);
		else
			buf_put(out, slice_first(in, n));
		in = slice_skip(in, n);
	}
}

/* --- other charsets ------------------------------------------------------ */

/*
 * A descriptor of each charset is kept when it's closed.  To open one takes
 * microseconds as long as any other of its charset is open, and a third of a
 * millisecond if a file has to be loaded first; a header field may name three
 * thousand charsets in turn.
 */
static struct {
	bool open;
	iconv_t cd;
} kept[MIME_CHARSETS];

bool
mime_charset_open(struct mime_charset *c, struct slice name)
{
	*c = (struct mime_charset){ .converts = false };
	switch (mime_charset_find(name, &c->row)) {
	case MIME_CHARSET_UNKNOWN:
		return false;
	case MIME_CHARSET_UTF8:
		return true;
	case MIME_CHARSET_OTHER:
		break;
	}
	if (kept[c->row].open) {
		c->cd = kept[c->row].cd;
		kept[c->row].open = false;
		c->converts = true;
		return true;
	}
	c->cd = iconv_open("UTF-8", mime_charset_iconv(c->row));
	/* (iconv_t)-1 says no; POSIX gives it no name */
	c->converts = (intptr_t)c->cd != -1;
	return c->converts;
}

void
mime_charset_close(struct mime_charset *c)
{
	if (c->converts && !kept[c->row].open) {
		/* as it was at first */
		(void)iconv(c->cd, NULL, NULL, NULL, NULL);
		kept[c->row].cd = c->cd;
		kept[c->row].open = true;
	} else if (c->converts) {
		(void)iconv_close(c->cd);
	}
	c->converts = false;
}

bool
mime_charset_known(struct slice name)
{
	struct mime_charset c;
	bool known = mime_charset_open(&c, name);

	mime_charset_close(&c);
	return known;
}

/*
 * Convert what can be converted of work[0..n); returns the bytes left, which
 * are the beginning of a character.
 */
static size_t
convert(struct mime_charset *c, char *work, size_t n, struct buf *out)
{
	char room[CHUNK];
	char *in = work;
	size_t unit = mime_charset_unit(c->row);

	while (n != 0) {
		char *to = room;
		size_t left = sizeof(room), bad;
		size_t result = iconv(c->cd, &in, &n, &to, &left);
		int why = errno;
		buf_put(out, slice_of(room, sizeof(room) - left));
		if (result != (size_t)-1 || why == E2BIG)
			continue;
		if (why == EINVAL && n <= sizeof(c->carry))
			break;
		buf_put(out, replacement);
		/* what follows must be read from where a character begins */
		bad = unit < n ? unit : n;
		in += bad;
		n -= bad;
	}
	memmove(work, in, n);
	return n;
}

static void
iconv_feed(struct mime_charset *c, struct slice in, struct buf *out)
{
	char work[CHUNK];

	while (in.n != 0) {
		size_t n = sizeof(work) - c->n_carry;
		if (n > in.n)
			n = in.n;
		if (c->n_carry != 0)
			memcpy(work, c->carry, c->n_carry);
		memcpy(work + c->n_carry, in.p, n);
		c->n_carry = convert(c, work, c->n_carry + n, out);
		memcpy(c->carry, work, c->n_carry);
		in = slice_skip(in, n);
	}
}

/* --- interface ----------------------------------------------------------- */

void
mime_charset_feed(struct mime_charset *c, struct slice in, struct buf *out)
{
	if (c->converts)
		iconv_feed(c, in, out);
	else
		utf8_feed(c, in, out);
}

void
mime_charset_finish(struct mime_charset *c, struct buf *out)
{
	char room[CHUNK];
	char *to = room;
	size_t left = sizeof(room);

	if (c->converts) {
		/* some give out their last character only now */
		(void)iconv(c->cd, NULL, NULL, &to, &left);
		buf_put(out, slice_of(room, sizeof(room) - left));
	}
	if (c->n_carry != 0)
		buf_put(out, replacement);
	c->n_carry = 0;
}

bool
mime_charset_decode(struct slice name, struct slice in, struct buf *out)
{
	struct mime_charset c;
	bool known = mime_charset_open(&c, name);

	mime_charset_feed(&c, in, out);
	mime_charset_finish(&c, out);
	mime_charset_close(&c);
	return known;
}
