#include "protocols/mime/words.h"

#include "base/ascii.h"
#include "protocols/mime/charset.h"
#include "protocols/mime/lex.h"
#include "protocols/mime/transfer.h"

struct word {
	struct slice charset, text, raw;
	bool base64;
};

/* Neighbouring words of one charset. */
struct run {
	struct slice charset, raw;
	struct buf bytes;
};

/* Take "=?charset?B?text?=" at the front; false if it isn't one. */
static bool
word_take(struct slice *in, struct word *w)
{
	struct slice rest = slice_skip(*in, 2), encoding;

	if (!slice_starts(*in, SLICE("=?")))
		return false;
	/* RFC 2047 2; spaces in the text are wrong but seen */
	w->charset = slice_first(rest, slice_find(rest, '?'));
	rest = slice_skip(rest, w->charset.n + 1);
	encoding = slice_first(rest, slice_find(rest, '?'));
	rest = slice_skip(rest, encoding.n + 1);
	w->text = slice_first(rest, slice_find(rest, '?'));
	rest = slice_skip(rest, w->text.n);
	if (w->charset.n == 0 || encoding.n != 1 ||
	    !slice_starts(rest, SLICE("?=")))
		return false;
	w->base64 = ascii_lower(encoding.p[0]) == 'b';
	if (!w->base64 && ascii_lower(encoding.p[0]) != 'q')
		return false;
	/* RFC 2231 5: charset*language */
	w->charset = slice_first(w->charset, slice_find(w->charset, '*'));
	rest = slice_skip(rest, 2);
	w->raw = slice_first(*in, in->n - rest.n);
	*in = rest;
	return true;
}

/* RFC 2047 4.2 */
static void
q_decode(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		int high, low;
		if (s.p[i] == '_') {
			buf_putc(out, ' ');
		} else if (s.p[i] == '=' && s.n - i > 2 &&
		    (high = ascii_hex(s.p[i + 1])) >= 0 &&
		    (low = ascii_hex(s.p[i + 2])) >= 0) {
			buf_putc(out, (uint8_t)(high << 4 | low));
			i += 2;
		} else {
			buf_putc(out, s.p[i]);
		}
	}
}

static void
word_decode(const struct word *w, struct buf *out)
{
	struct mime_decoder d;

	if (!w->base64) {
		q_decode(w->text, out);
		return;
	}
	mime_decoder_init(&d, MIME_BASE64);
	mime_decoder_feed(&d, w->text, out);
	mime_decoder_finish(&d, out);
}

static void
run_end(struct run *run, struct buf *out)
{
	struct mime_charset c;

	if (run->raw.n == 0)
		return;
	if (mime_charset_open(&c, run->charset)) {
		mime_charset_feed(&c, buf_slice(&run->bytes), out);
		mime_charset_finish(&c, out);
	} else {
		(void)mime_charset_decode(SLICE("utf-8"), run->raw, out);
	}
	mime_charset_close(&c);
	buf_reset(&run->bytes);
	run->raw = slice_of(NULL, 0);
}

static void
run_add(struct run *run, const struct word *w, struct buf *out)
{
	if (run->raw.n != 0 && !slice_ieq(run->charset, w->charset))
		run_end(run, out);
	run->charset = w->charset;
	if (run->raw.n == 0)
		run->raw = w->raw;
	else
		run->raw.n = (size_t)(w->raw.p + w->raw.n - run->raw.p);
	word_decode(w, &run->bytes);
}

void
mime_words_decode(struct slice in, struct buf *out)
{
	struct run run = { .raw = { NULL, 0 } };
	struct word w;

	buf_init(&run.bytes, in.n + 16);
	while (in.n != 0) {
		struct slice gap = in;
		size_t n = 0;
		if (word_take(&in, &w)) {
			run_add(&run, &w, out);
			continue;
		}
		if (run.raw.n != 0 && mime_lex_space(&in)) {
			/* dropped if another word follows */
			if (word_take(&in, &w)) {
				run_add(&run, &w, out);
				continue;
			}
			gap.n -= in.n;
			run_end(&run, out);
			buf_put(out, gap);
			continue;
		}
		run_end(&run, out);
		for (n = 1; n < in.n; n++)
			if (in.p[n] == '=' && in.n - n > 1 &&
			    in.p[n + 1] == '?')
				break;
		(void)mime_charset_decode(
		    SLICE("utf-8"), slice_first(in, n), out);
		in = slice_skip(in, n);
	}
	run_end(&run, out);
	buf_fini(&run.bytes);
}
