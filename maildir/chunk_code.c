/*
 * Chunks as they are in the database: chunk.h has their form.
 *
 * Most of what a chunk says is the same for all its messages, or nearly: it is
 * written column by column, each with the least of its values and so many
 * bytes of what the others are more.  A name repeats the beginning and the end
 * of the one before, but for the size that it may tell.  100 000 messages of a
 * first scan are some 3 MB so, where plain records were 12 MB, and it is these
 * bytes that have to be summed, copied to the log and synced before a client
 * may be shown its UIDs.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/le.h"
#include "base/mem.h"
#include "maildir/blob.h"
#include "maildir/chunk.h"
#include "maildir/file_name.h"

enum {
	COUNT_BYTES = 2,
	COLUMN_HEAD = 9,
	NAME_HEAD = 3,
	TEXT_MAX = 255, /* of a base name, or an odd part */
	DIGITS_MAX = 18,

	/* before schema 5 */
	FIXED_BYTES = 44,
	FIXED_BYTES_1 = 36, /* of schema 1 */
	STATE_BYTES = 20,
	ENDING_SHIFT = 62, /* above any size that a file can have */
};

/* Beside enum ending. */
#define SYNCED UINT64_C(4)
enum { ENDING_MASK = 3, HEADER_SHIFT = 3 };

/* Turns TIME_UNKNOWN to 0, and keeps the order. */
#define TIME_BIAS (UINT64_C(1) << 63)

/* --- sums ------------------------------------------------------------------
 */

/* The sum of a packed blob is inverted: so it tells the form, too. */
static void
seal_packed(struct buf *b)
{
	le_put(b, ~blob_sum(buf_slice(b)), BLOB_SUM_BYTES);
}

/* Check and cut off the sum of a blob in either form. */
static bool
open_either(struct slice *s, bool *packed)
{
	struct slice in = *s;
	uint64_t sum, found;

	if (in.n < BLOB_SUM_BYTES)
		return false;
	in.n -= BLOB_SUM_BYTES;
	sum = blob_sum(in);
	found = le_get(in.p + in.n, BLOB_SUM_BYTES);
	if (found != sum && found != ~sum)
		return false;
	*packed = found != sum;
	*s = in;
	return true;
}

/* --- columns -------------------------------------------------------------- */

static unsigned
bytes_of(uint64_t v)
{
	unsigned n = 0;

	for (; v != 0; v >>= 8)
		n++;
	return n;
}

static void
put_column(struct buf *out, const uint64_t *v, uint32_t n)
{
	uint64_t low = UINT64_MAX, high = 0;
	uint8_t *to;
	unsigned width;

	for (uint32_t i = 0; i < n; i++) {
		low = v[i] < low ? v[i] : low;
		high = v[i] > high ? v[i] : high;
	}
	width = bytes_of(high - low);
	le_put(out, width, 1);
	le_put(out, low, COLUMN_HEAD - 1);
	if (width == 0)
		return;
	/* each is written whole, and its high bytes written over */
	to = buf_reserve(out, (size_t)n * width + 8);
	if (to == NULL)
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t more = htole64(v[i] - low);

		memcpy(to + (size_t)i * width, &more, sizeof(more));
	}
	buf_advance(out, (size_t)n * width);
}

static bool
take_column(struct slice *in, uint64_t *v, uint32_t n)
{
	uint64_t low;
	unsigned width;
	size_t size;

	if (in->n < COLUMN_HEAD || in->p[0] > 8)
		return false;
	width = in->p[0];
	low = le_get(in->p + 1, COLUMN_HEAD - 1);
	*in = slice_skip(*in, COLUMN_HEAD);
	size = (size_t)n * width;
	if (in->n < size)
		return false;
	for (uint32_t i = 0; i < n; i++)
		v[i] = low + le_get(in->p + (size_t)i * width, width);
	*in = slice_skip(*in, size);
	return true;
}

static void
put_count(struct buf *out, uint32_t n)
{
	le_put(out, n, COUNT_BYTES);
}

/* A blob says first for how many messages it is. */
static bool
take_count(struct slice *in, uint32_t *n)
{
	if (in->n < COUNT_BYTES)
		return false;
	*n = (uint32_t)le_get(in->p, COUNT_BYTES);
	*in = slice_skip(*in, COUNT_BYTES);
	return *n != 0 && *n <= CHUNK_MAX;
}

static bool
is_count(struct slice *in, uint32_t wanted)
{
	uint32_t n;

	return take_count(in, &n) && n == wanted;
}

/* --- the fixed part ------------------------------------------------------- */

enum fixed_column {
	COLUMN_UID,
	COLUMN_INTERNAL,
	COLUMN_SAVE,
	COLUMN_FILE_SIZE,
	COLUMN_WIRE_SIZE,
	COLUMN_ENDING,
	COLUMN_EMAIL_ID,
	N_FIXED_COLUMNS
};

static uint64_t
fixed_value(const struct chunk *c, uint32_t i, enum fixed_column which)
{
	const struct fixed *f = chunk_fixed(c, i);

	switch (which) {
	case COLUMN_UID:
		return c->m[i].uid - i;
	case COLUMN_INTERNAL:
		return (uint64_t)f->internal_ms ^ TIME_BIAS;
	case COLUMN_SAVE:
		return (uint64_t)f->save_ms ^ TIME_BIAS;
	case COLUMN_FILE_SIZE:
		return f->file_size + 1;
	case COLUMN_WIRE_SIZE:
		return f->wire_size + 1;
	case COLUMN_ENDING:
		return (uint64_t)f->ending | (f->synced ? SYNCED : 0) |
		    (uint64_t)f->header << HEADER_SHIFT;
	case COLUMN_EMAIL_ID:
		return f->email_id;
	case N_FIXED_COLUMNS:
		break;
	}
	return 0;
}

void
chunk_encode_fixed(const struct chunk *c, struct buf *out)
{
	uint64_t v[CHUNK_MAX];

	put_count(out, c->n);
	for (unsigned k = 0; k < N_FIXED_COLUMNS; k++) {
		for (uint32_t i = 0; i < c->n; i++)
			v[i] = fixed_value(c, i, (enum fixed_column)k);
		put_column(out, v, c->n);
	}
	seal_packed(out);
}

static bool
unpack_fixed(struct chunk *c, struct slice in)
{
	uint64_t v[N_FIXED_COLUMNS][CHUNK_MAX];

	if (!is_count(&in, c->n))
		return false;
	for (unsigned k = 0; k < N_FIXED_COLUMNS; k++)
		if (!take_column(&in, v[k], c->n))
			return false;
	for (uint32_t i = 0; i < c->n; i++) {
		uint64_t known = v[COLUMN_ENDING][i];

		if (v[COLUMN_UID][i] > UINT32_MAX - i ||
		    (known & ENDING_MASK) > ENDING_NO_LINE ||
		    known >> HEADER_SHIFT > HEADER_8BIT)
			return false;
		c->m[i].uid = (uint32_t)v[COLUMN_UID][i] + i;
		c->body->fixed[i] = (struct fixed){
			.internal_ms =
			    (int64_t)(v[COLUMN_INTERNAL][i] ^ TIME_BIAS),
			.save_ms = (int64_t)(v[COLUMN_SAVE][i] ^ TIME_BIAS),
			.file_size = v[COLUMN_FILE_SIZE][i] - 1,
			.wire_size = v[COLUMN_WIRE_SIZE][i] - 1,
			.ending = (enum ending)(known & ENDING_MASK),
			.header = (enum header_bytes)(known >> HEADER_SHIFT),
			.email_id = v[COLUMN_EMAIL_ID][i],
			.synced = (known & SYNCED) != 0,
		};
	}
	return in.n == 0;
}

/* --- the state ------------------------------------------------------------ */

/* A place with its three high bits below the letters. */
static uint64_t
place_folded(uint64_t place)
{
	return place << 3 | place >> 61;
}

static uint64_t
place_unfolded(uint64_t v)
{
	return v >> 3 | v << 61;
}

void
chunk_encode_state(const struct chunk *c, struct buf *out)
{
	uint64_t v[CHUNK_MAX];

	put_count(out, c->n);
	for (uint32_t i = 0; i < c->n; i++)
		v[i] = place_folded(c->place[i]);
	put_column(out, v, c->n);
	for (uint32_t i = 0; i < c->n; i++)
		v[i] = c->m[i].keywords;
	put_column(out, v, c->n);
	for (uint32_t i = 0; i < c->n; i++)
		v[i] = c->m[i].modseq;
	put_column(out, v, c->n);
	seal_packed(out);
}

static bool
unpack_state(struct chunk *c, struct slice in)
{
	uint64_t places[CHUNK_MAX], keywords[CHUNK_MAX], modseqs[CHUNK_MAX];

	if (!is_count(&in, c->n) || !take_column(&in, places, c->n) ||
	    !take_column(&in, keywords, c->n) ||
	    !take_column(&in, modseqs, c->n))
		return false;
	for (uint32_t i = 0; i < c->n; i++) {
		if (keywords[i] > UINT32_MAX)
			return false;
		c->place[i] = place_unfolded(places[i]);
		c->m[i].flags = place_flags(c->place[i]);
		c->m[i].keywords = (uint32_t)keywords[i];
		c->m[i].modseq = modseqs[i];
	}
	return in.n == 0;
}

/* --- names ---------------------------------------------------------------- */

/* Cut ",S=n" from the end of a base name, spelled as put_size() would, and
 * return n + 1; else 0. */
static uint64_t
cut_size(struct slice *base)
{
	size_t at = base->n;
	uint64_t v = 0;

	while (at > 0 && ascii_is_digit(base->p[at - 1]))
		at--;
	if (at == base->n || base->n - at > DIGITS_MAX || at < 3 ||
	    memcmp(base->p + at - 3, ",S=", 3) != 0 ||
	    (base->p[at] == '0' && base->n - at > 1))
		return 0;
	for (size_t i = at; i < base->n; i++)
		v = v * 10 + (uint64_t)(base->p[i] - '0');
	base->n = at - 3;
	return v + 1;
}

/* What cut_size() made n + 1 of; the length. */
static size_t
put_size(uint8_t *to, uint64_t v)
{
	uint8_t digits[20];
	size_t n = 0, at = 3;

	if (v == 0)
		return 0;
	v--;
	do
		digits[n++] = (uint8_t)('0' + v % 10);
	while ((v /= 10) != 0);
	memcpy(to, ",S=", 3);
	while (n > 0)
		to[at++] = digits[--n];
	return at;
}

static size_t
common_prefix(struct slice a, struct slice b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}

static size_t
common_suffix(struct slice a, struct slice b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && a.p[a.n - 1 - n] == b.p[b.n - 1 - n])
		n++;
	return n;
}

void
chunk_encode_names(const struct chunk *c, struct buf *out)
{
	uint64_t sizes[CHUNK_MAX], odds[CHUNK_MAX];
	struct slice stem[CHUNK_MAX], last = { NULL, 0 };

	for (uint32_t i = 0; i < c->n; i++) {
		stem[i] = chunk_base(c, i);
		sizes[i] = cut_size(&stem[i]);
		odds[i] = chunk_odd(c, i).n;
	}
	put_count(out, c->n);
	le_put(out, buf_len(&c->body->names), 4);
	put_column(out, sizes, c->n);
	put_column(out, odds, c->n);
	for (uint32_t i = 0; i < c->n; i++) {
		size_t before = common_prefix(last, stem[i]);
		size_t after = common_suffix(
		    slice_skip(last, before), slice_skip(stem[i], before));
		size_t n = stem[i].n - before - after;

		le_put(out, before | after << 8 | n << 16, NAME_HEAD);
		buf_put(out, slice_first(slice_skip(stem[i], before), n));
		buf_put(out, chunk_odd(c, i));
		last = stem[i];
	}
	seal_packed(out);
}

/* A base name without its size, which the next may repeat parts of. */
struct stem {
	uint8_t p[TEXT_MAX];
	size_t n;
};

static bool
take_stem(struct slice *in, struct stem *s)
{
	size_t before, after, n;

	if (in->n < NAME_HEAD)
		return false;
	before = in->p[0];
	after = in->p[1];
	n = in->p[2];
	*in = slice_skip(*in, NAME_HEAD);
	if (before > s->n || after > s->n - before || n > in->n ||
	    before + n + after > sizeof(s->p))
		return false;
	memmove(s->p + before + n, s->p + s->n - after, after);
	memcpy(s->p + before, in->p, n);
	s->n = before + n + after;
	*in = slice_skip(*in, n);
	return true;
}

static bool
unpack_names(struct chunk *c, struct slice in)
{
	uint64_t sizes[CHUNK_MAX], odds[CHUNK_MAX];
	struct stem stem = { .n = 0 };
	struct body *b = c->body;
	size_t total, at = 0;
	uint8_t *to;

	if (!is_count(&in, c->n) || in.n < 4)
		return false;
	/* it may be none: ":2,S" has an empty base name */
	total = (size_t)le_get(in.p, 4);
	in = slice_skip(in, 4);
	if (!take_column(&in, sizes, c->n) || !take_column(&in, odds, c->n) ||
	    (to = buf_reserve(&b->names, total + 1)) == NULL)
		return false;
	for (uint32_t i = 0; i < c->n; i++) {
		uint8_t text[24];
		size_t n = put_size(text, sizes[i]);

		if (!take_stem(&in, &stem) || stem.n + n > TEXT_MAX ||
		    odds[i] > TEXT_MAX || odds[i] > in.n ||
		    stem.n + n + odds[i] > total - at)
			return false;
		memcpy(to + at, stem.p, stem.n);
		memcpy(to + at + stem.n, text, n);
		at += stem.n + n;
		b->at[2 * i + 1] = (uint32_t)at;
		memcpy(to + at, in.p, (size_t)odds[i]);
		at += (size_t)odds[i];
		b->at[2 * i + 2] = (uint32_t)at;
		in = slice_skip(in, (size_t)odds[i]);
	}
	buf_advance(&b->names, at);
	return in.n == 0 && at == total;
}

/* --- records, as they were before ----------------------------------------- */

static bool
read_fixed(struct chunk *c, struct slice in)
{
	size_t size = FIXED_BYTES;

	if (in.n == c->n * (size_t)FIXED_BYTES_1)
		size = FIXED_BYTES_1;
	else if (in.n != c->n * size)
		return false;
	for (uint32_t i = 0; i < c->n; i++) {
		const uint8_t *p = in.p + i * size;
		struct fixed *f = &c->body->fixed[i];

		c->m[i].uid = (uint32_t)le_get(p, 4);
		f->internal_ms = (int64_t)le_get(p + 4, 8);
		f->save_ms = (int64_t)le_get(p + 12, 8);
		f->file_size = le_get(p + 20, 8);
		f->wire_size = le_get(p + 28, 8);
		f->ending = ENDING_UNKNOWN;
		if (f->wire_size != SIZE_UNKNOWN) {
			f->ending = (enum ending)(f->wire_size >> ENDING_SHIFT);
			f->wire_size &= (UINT64_C(1) << ENDING_SHIFT) - 1;
			if (f->ending > ENDING_NO_LINE)
				return false;
		}
		f->email_id = size == FIXED_BYTES ? le_get(p + 36, 8) : 0;
	}
	return true;
}

static bool
read_state(struct chunk *c, struct slice in)
{
	if (in.n != (size_t)c->n * STATE_BYTES)
		return false;
	for (uint32_t i = 0; i < c->n; i++) {
		const uint8_t *p = in.p + (size_t)i * STATE_BYTES;

		c->place[i] = le_get(p, 8);
		c->m[i].flags = place_flags(c->place[i]);
		c->m[i].keywords = (uint32_t)le_get(p + 8, 4);
		c->m[i].modseq = le_get(p + 12, 8);
	}
	return true;
}

static bool
take_text(struct slice *in, struct slice *out)
{
	size_t n;

	if (in->n < 2 || (n = (size_t)le_get(in->p, 2)) > in->n - 2 ||
	    n > TEXT_MAX)
		return false;
	*out = slice_of(in->p + 2, n);
	*in = slice_skip(*in, 2 + n);
	return true;
}

static bool
read_names(struct chunk *c, struct slice in)
{
	struct body *b = c->body;

	for (uint32_t i = 0; i < 2 * c->n; i++) {
		struct slice text;

		if (!take_text(&in, &text))
			return false;
		buf_put(&b->names, text);
		b->at[i + 1] = (uint32_t)buf_len(&b->names);
	}
	return in.n == 0 && buf_ok(&b->names);
}

/* --- either --------------------------------------------------------------- */

/* How many messages the state says there are; 0: it is no state. */
static uint32_t
count_state(struct slice state, bool packed)
{
	uint32_t n;

	if (packed)
		return take_count(&state, &n) ? n : 0;
	if (state.n % STATE_BYTES != 0 || state.n / STATE_BYTES > CHUNK_MAX)
		return 0;
	return (uint32_t)(state.n / STATE_BYTES);
}

static bool
uids_ascend(const struct chunk *c)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		if (c->m[i].uid <= last || c->m[i].uid < c->first)
			return false;
		last = c->m[i].uid;
	}
	return true;
}

struct chunk *
chunk_decode(
    uint32_t first, struct slice fixed, struct slice names, struct slice state)
{
	struct chunk *c;
	bool packed[3];
	uint32_t n;

	if (!open_either(&fixed, &packed[0]) ||
	    !open_either(&names, &packed[1]) ||
	    !open_either(&state, &packed[2]) ||
	    (n = count_state(state, packed[2])) == 0)
		return NULL;
	c = chunk_sized(first, n);
	if ((packed[0] ? unpack_fixed(c, fixed) : read_fixed(c, fixed)) &&
	    (packed[1] ? unpack_names(c, names) : read_names(c, names)) &&
	    (packed[2] ? unpack_state(c, state) : read_state(c, state)) &&
	    uids_ascend(c))
		return c;
	chunk_unref(&c);
	return NULL;
}
