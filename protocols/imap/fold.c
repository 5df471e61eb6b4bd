#include "protocols/imap/fold.h"

#include "base/ascii.h"
#include "base/buf.h"

/* --- folding ------------------------------------------------------------- */

/* Blocks in which upper case is a fixed distance from lower case. */
static const struct {
	uint32_t first, last, add;
} shifted[] = {
	{ 0x00c0, 0x00d6, 0x20 }, /* Latin-1 */
	{ 0x00d8, 0x00de, 0x20 },
	{ 0x0388, 0x038a, 0x25 }, /* Greek with tonos */
	{ 0x0391, 0x03a1, 0x20 }, /* Greek */
	{ 0x03a3, 0x03ab, 0x20 }, { 0x0400, 0x040f, 0x50 }, /* Cyrillic */
	{ 0x0410, 0x042f, 0x20 }, { 0x0531, 0x0556, 0x30 }, /* Armenian */
	{ 0xff21, 0xff3a, 0x20 }, /* full-width Latin */
};

/* Blocks in which upper and lower case take turns, the upper one even (or
 * odd) and the lower one behind it. */
static const struct {
	uint32_t first, last, odd;
} paired[] = {
	{ 0x0100, 0x012f, 0 }, /* Latin Extended-A */
	{ 0x0132, 0x0137, 0 },
	{ 0x0139, 0x0148, 1 },
	{ 0x014a, 0x0177, 0 },
	{ 0x0179, 0x017e, 1 },
	{ 0x01cd, 0x01dc, 1 },
	{ 0x01de, 0x01ef, 0 },
	{ 0x01f8, 0x021f, 0 },
	{ 0x0222, 0x0233, 0 },
	{ 0x03d8, 0x03ef, 0 }, /* Coptic letters of the Greek block */
	{ 0x0460, 0x0481, 0 }, /* Cyrillic */
	{ 0x048a, 0x04bf, 0 },
	{ 0x04c1, 0x04ce, 1 },
	{ 0x04d0, 0x052f, 0 },
	{ 0x1e00, 0x1e95, 0 }, /* Latin Extended Additional */
	{ 0x1ea0, 0x1eff, 0 },
};

uint32_t
imap_fold_char(uint32_t c)
{
	if (c < 0x80)
		return ascii_lower((uint8_t)c);
	switch (c) {
	case 0x0178: /* Y with diaeresis */
		return 0xff;
	case 0x0386: /* Greek with tonos */
		return 0x3ac;
	case 0x038c:
		return 0x3cc;
	case 0x038e:
		return 0x3cd;
	case 0x038f:
		return 0x3ce;
	case 0x03c2: /* final sigma */
		return 0x3c3;
	case 0x1e9e: /* capital sharp s */
		return 0xdf;
	default:
		break;
	}
	for (size_t k = 0; k < sizeof(shifted) / sizeof(shifted[0]); k++)
		if (c >= shifted[k].first && c <= shifted[k].last)
			return c + shifted[k].add;
	for (size_t k = 0; k < sizeof(paired) / sizeof(paired[0]); k++)
		if (c >= paired[k].first && c <= paired[k].last)
			return (c & 1) == paired[k].odd ? c + 1 : c;
	return c;
}

/* --- UTF-8 --------------------------------------------------------------- */

/* Bytes of the character that begins with c; 1 for what begins none. */
static size_t
char_len(uint8_t c)
{
	return c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static uint32_t
decode(const uint8_t *p, size_t n)
{
	static const uint8_t masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = p[0];

	if (n == 1)
		return c < 0x80 ? c : 0xfffd;
	c &= masks[n];
	for (size_t k = 1; k < n; k++)
		c = c << 6 | (p[k] & 0x3f);
	return c;
}

static size_t
encode(uint32_t c, uint8_t *out)
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | (c >> 18 & 7));
	out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

/* --- needles ------------------------------------------------------------- */

bool
imap_needle_make(struct imap_needle *n, struct slice utf8, struct arena *a)
{
	/* folding makes no character longer than four bytes */
	uint8_t *bytes = arena_alloc(a, 4 * utf8.n + 1);
	uint32_t *back, k = 0;
	size_t len = 0;

	if (bytes == NULL)
		return false;
	for (size_t at = 0; at < utf8.n;) {
		size_t c = char_len(utf8.p[at]);

		if (c > utf8.n - at)
			c = 1;
		len +=
		    encode(imap_fold_char(decode(utf8.p + at, c)), bytes + len);
		at += c;
	}
	back = arena_zalloc(a, len + 1, sizeof(*back));
	if (back == NULL)
		return false;
	for (size_t at = 1; at < len; at++) {
		while (k != 0 && bytes[at] != bytes[k])
			k = back[k - 1];
		if (bytes[at] == bytes[k])
			k++;
		back[at] = k;
	}
	n->bytes = slice_of(bytes, len);
	n->back = back;
	return true;
}

/* --- finding ------------------------------------------------------------- */

void
imap_finder_init(struct imap_finder *f, const struct imap_needle *n)
{
	*f = (struct imap_finder){ .needle = n, .found = n->bytes.n == 0 };
}

static inline void
one_byte(struct imap_finder *f, uint8_t c)
{
	const struct imap_needle *n = f->needle;

	while (f->at != 0 && n->bytes.p[f->at] != c)
		f->at = n->back[f->at - 1];
	if (n->bytes.p[f->at] == c)
		f->at++;
	if (f->at == n->bytes.n) {
		f->found = true;
		f->at = 0;
	}
}

static void
one_char(struct imap_finder *f, const uint8_t *p, size_t n)
{
	uint8_t folded[4];
	size_t len = encode(imap_fold_char(decode(p, n)), folded);

	for (size_t k = 0; k < len; k++)
		one_byte(f, folded[k]);
}

/* Fill up the character held; returns the bytes taken. */
static size_t
complete_held(struct imap_finder *f, struct slice s)
{
	size_t want = char_len(f->held[0]), taken = 0;

	while (f->n_held < want && taken < s.n)
		f->held[f->n_held++] = s.p[taken++];
	if (f->n_held == want) {
		one_char(f, f->held, want);
		f->n_held = 0;
	}
	return taken;
}

bool
imap_finder_feed(struct imap_finder *f, struct slice s)
{
	size_t at = 0;

	if (f->n_held != 0)
		at = complete_held(f, s);
	while (at < s.n && !f->found) {
		size_t c;

		if (s.p[at] < 0x80) {
			one_byte(f, ascii_lower(s.p[at++]));
			continue;
		}
		c = char_len(s.p[at]);
		if (c > s.n - at) {
			f->n_held = (uint8_t)(s.n - at);
			memcpy(f->held, s.p + at, s.n - at);
			break;
		}
		one_char(f, s.p + at, c);
		at += c;
	}
	return f->found;
}
