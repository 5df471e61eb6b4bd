#include "protocols/imap/casemap.h"

#include <string.h>
#include <utf8proc.h>

#include "base/ascii.h"

enum {
	DECOMPOSED_MAX = 18, /* U+FDFA, the longest there is */
	PIECE = 4096,	     /* of input, prepared at a time */
};

#define ONES UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)

/* Eight letters of ASCII at a time: every a-z becomes A-Z. */
static uint64_t
upper8(uint64_t w)
{
	uint64_t from_a = w + (0x80 - 'a') * ONES;
	uint64_t past_z = w + (0x7f - 'z') * ONES;

	return w - ((from_a & ~past_z & HIGH) >> 2);
}

/* The ASCII at the front; returns how many bytes. */
static size_t
put_ascii(struct slice s, struct buf *out)
{
	uint8_t *to = buf_reserve(out, s.n);
	size_t n = 0;
	uint64_t w;

	if (to == NULL)
		return s.n;
	for (; s.n - n >= sizeof(w); n += sizeof(w)) {
		memcpy(&w, s.p + n, sizeof(w));
		if ((w & HIGH) != 0)
			break;
		w = upper8(w);
		memcpy(to + n, &w, sizeof(w));
	}
	for (; n < s.n && s.p[n] < 0x80; n++)
		to[n] = ascii_upper(s.p[n]);
	buf_advance(out, n);
	return n;
}

/* Sixteen bytes at a time. */
typedef uint8_t vector __attribute__((vector_size(16)));

bool
imap_casemap_ascii(uint8_t *p, size_t n)
{
	const vector a = (vector){ 0 } + 'a', letters = (vector){ 0 } + 26;
	vector v, all = { 0 };
	uint64_t any[2];
	uint8_t rest = 0;
	size_t i = 0;

	for (; n - i >= sizeof(v); i += sizeof(v)) {
		memcpy(&v, p + i, sizeof(v));
		all |= v;
		v -= (vector)(v - a < letters) & ('a' - 'A');
		memcpy(p + i, &v, sizeof(v));
	}
	for (; i < n; i++) {
		rest |= p[i];
		p[i] = ascii_upper(p[i]);
	}
	memcpy(any, &all, sizeof(any));
	return ((any[0] | any[1]) & HIGH) == 0 && rest < 0x80;
}

/* One character that isn't ASCII; returns its bytes. */
static size_t
put_character(struct slice s, struct buf *out)
{
	utf8proc_int32_t c, parts[DECOMPOSED_MAX];
	utf8proc_ssize_t n =
	    utf8proc_iterate(s.p, s.n < 4 ? (utf8proc_ssize_t)s.n : 4, &c);
	utf8proc_ssize_t n_parts;
	int boundary = 0;

	if (n <= 0) {
		buf_putc(out, s.p[0]);
		return 1;
	}
	n_parts = utf8proc_decompose_char(utf8proc_totitle(c), parts,
	    DECOMPOSED_MAX, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &boundary);
	if (n_parts < 0 || n_parts > DECOMPOSED_MAX) {
		buf_put(out, slice_first(s, (size_t)n));
		return (size_t)n;
	}
	for (utf8proc_ssize_t i = 0; i < n_parts; i++) {
		uint8_t *to = buf_reserve(out, 4);

		if (to == NULL)
			break;
		buf_advance(out, (size_t)utf8proc_encode_char(parts[i], to));
	}
	return (size_t)n;
}

void
imap_casemap(struct slice utf8, struct buf *out)
{
	while (utf8.n != 0 && buf_ok(out)) {
		utf8 = slice_skip(utf8, put_ascii(utf8, out));
		while (utf8.n != 0 && utf8.p[0] >= 0x80 && buf_ok(out))
			utf8 = slice_skip(utf8, put_character(utf8, out));
	}
}

/* --- searching ------------------------------------------------------------ */

bool
imap_needle_make(struct imap_needle *n, struct slice utf8, struct arena *a)
{
	struct buf b;
	bool ok;

	buf_init(&b, IMAP_NEEDLE_MAX);
	imap_casemap(utf8, &b);
	n->bytes = arena_dup(a, buf_slice(&b));
	ok = buf_ok(&b) && (n->bytes.p != NULL || buf_len(&b) == 0);
	buf_fini(&b);
	return ok;
}

bool
imap_needle_in(const struct imap_needle *n, struct slice prepared)
{
	return slice_contains(prepared, n->bytes);
}

void
imap_finder_init(struct imap_finder *f, const struct imap_needle *n)
{
	*f = (struct imap_finder){ .needle = n };
	f->found = n->bytes.n == 0; /* the empty text is everywhere */
	buf_init(&f->held,
	    IMAP_NEEDLE_MAX + (size_t)(PIECE + 4) * DECOMPOSED_MAX * 4);
}

void
imap_finder_fini(struct imap_finder *f)
{
	buf_fini(&f->held);
}

void
imap_finder_restart(struct imap_finder *f)
{
	f->n_part = 0;
	buf_reset(&f->held);
}

/* How many bytes of s are whole characters. */
static size_t
whole(struct slice s)
{
	for (size_t back = 1; back < 4 && back <= s.n; back++) {
		uint8_t c = s.p[s.n - back];

		if (c < 0x80)
			break;
		if (c < 0xc0)
			continue;
		if (back < (c >= 0xf0 ? 4U : c >= 0xe0 ? 3U : 2U))
			return s.n - back;
		break;
	}
	return s.n;
}

static void
look_in(struct imap_finder *f, struct slice utf8)
{
	size_t keep = f->needle->bytes.n - 1;

	imap_casemap(utf8, &f->held);
	f->found = imap_needle_in(f->needle, buf_slice(&f->held));
	if (buf_len(&f->held) > keep)
		buf_drain(&f->held, buf_len(&f->held) - keep);
}

bool
imap_finder_feed(struct imap_finder *f, struct slice utf8)
{
	while (utf8.n != 0 && !f->found) {
		struct slice piece = slice_first(utf8, PIECE);
		size_t n;

		/* what began in the piece before goes on here */
		while (f->n_part != 0 && piece.n != 0 &&
		    f->n_part < sizeof(f->part) && piece.p[0] >= 0x80 &&
		    piece.p[0] < 0xc0 &&
		    whole(slice_of(f->part, f->n_part)) != f->n_part) {
			f->part[f->n_part++] = piece.p[0];
			piece = slice_skip(piece, 1);
			utf8 = slice_skip(utf8, 1);
		}
		if (f->n_part != 0 &&
		    (piece.n != 0 ||
			whole(slice_of(f->part, f->n_part)) == f->n_part)) {
			look_in(f, slice_of(f->part, f->n_part));
			f->n_part = 0;
		}
		n = whole(piece);
		if (n != 0 && !f->found)
			look_in(f, slice_first(piece, n));
		piece = slice_skip(piece, n);
		if (piece.n != 0)
			memcpy(f->part, piece.p, piece.n);
		f->n_part = (uint8_t)(f->n_part + piece.n);
		utf8 = slice_skip(utf8, n + piece.n);
	}
	return f->found;
}
