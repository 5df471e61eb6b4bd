/*
 * Chunks as they are in the database: chunk.h has their form.
 *
 * A SELECT needs the state and the UIDs, and opens a mailbox in the time that
 * they take.  So what else there is of a chunk is checked when it is read, but
 * stays packed until somebody asks for it.
 *
 * Most of what a chunk says is the same for all its messages, or nearly: it is
 * written column by column, each with the least of its values and so many
 * bytes of what the others are more.  100 000 messages of a first scan are some
 * 3 MB so, where plain records were 12 MB, and it is these bytes that have to
 * be summed, copied to the log and synced before a client may be shown its
 * UIDs.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "base/mem.h"
#include "maildir/blob.h"
#include "maildir/chunk_impl.h"
#include "maildir/file_name.h"

enum { COUNT_BYTES = 2, COLUMN_HEAD = 9 };

/* Beside enum ending. */
#define SYNCED UINT64_C(4)
enum { ENDING_MASK = 3, HEADER_SHIFT = 3 };

/* Turns TIME_UNKNOWN to 0, and keeps the order. */
#define TIME_BIAS (UINT64_C(1) << 63)

/* --- sums ----------------------------------------------------------------- */

/* The sum of a packed blob is inverted: so it tells the form, too. */
void
chunk_seal(struct buf *b)
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

void
column_put(struct buf *out, const uint64_t *v, uint32_t n)
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

/* The values of a column of so many bytes each, one at least. */
static void
values_take(
    struct slice in, unsigned width, uint64_t low, uint64_t *v, uint32_t n)
{
	const uint64_t mask = UINT64_MAX >> (64 - 8 * width);
	uint32_t i = 0;

	/* eight bytes at once, as long as there are so many */
	for (; i < n && (size_t)i * width + 8 <= in.n; i++)
		v[i] = low + (le_get64(in.p + (size_t)i * width) & mask);
	for (; i < n; i++)
		v[i] = low + le_get(in.p + (size_t)i * width, width);
}

bool
column_take(struct slice *in, uint64_t *v, uint32_t n)
{
	uint64_t low;
	unsigned width;
	size_t size;

	if (in->n < COLUMN_HEAD || in->p[0] > 8)
		return false;
	width = in->p[0];
	low = le_get64(in->p + 1);
	*in = slice_skip(*in, COLUMN_HEAD);
	size = (size_t)n * width;
	if (in->n < size)
		return false;
	/* mostly all values are the same */
	if (v != NULL && width == 0)
		for (uint32_t i = 0; i < n; i++)
			v[i] = low;
	else if (v != NULL)
		values_take(*in, width, low, v, n);
	*in = slice_skip(*in, size);
	return true;
}

void
count_put(struct buf *out, uint32_t n)
{
	le_put(out, n, COUNT_BYTES);
}

/* A blob says first for how many messages it is. */
static bool
count_take(struct slice *in, uint32_t *n)
{
	if (in->n < COUNT_BYTES)
		return false;
	*n = (uint32_t)le_get(in->p, COUNT_BYTES);
	*in = slice_skip(*in, COUNT_BYTES);
	return *n != 0 && *n <= CHUNK_MAX;
}

bool
count_is(struct slice *in, uint32_t wanted)
{
	uint32_t n;

	return count_take(in, &n) && n == wanted;
}

/* --- parts that stay packed ----------------------------------------------- */

void
packed_set(struct packed *to, struct slice blob)
{
	to->p = mem_alloc(blob.n);
	memcpy(to->p, blob.p, blob.n);
	to->n = blob.n;
}

void
packed_fini(struct packed *of)
{
	free(of->p);
	*of = (struct packed){ NULL, 0 };
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
		return chunk_uid(c, i) - i;
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

	count_put(out, c->n);
	for (unsigned k = 0; k < N_FIXED_COLUMNS; k++) {
		for (uint32_t i = 0; i < c->n; i++)
			v[i] = fixed_value(c, i, (enum fixed_column)k);
		column_put(out, v, c->n);
	}
	chunk_seal(out);
}

/* The columns that have a place in v. */
static bool
take_fixed(struct slice in, uint64_t *const v[N_FIXED_COLUMNS], uint32_t n)
{
	if (!count_is(&in, n))
		return false;
	for (unsigned k = 0; k < N_FIXED_COLUMNS; k++)
		if (!column_take(&in, v[k], n))
			return false;
	return in.n == 0;
}

/* The UIDs; all else is looked at only. */
static bool
open_fixed(struct chunk *c, struct slice in, uint32_t *uids)
{
	uint64_t column[CHUNK_MAX], endings[CHUNK_MAX];
	uint64_t *const v[N_FIXED_COLUMNS] = {
		[COLUMN_UID] = column, [COLUMN_ENDING] = endings
	};

	if (!take_fixed(in, v, c->n))
		return false;
	for (uint32_t i = 0; i < c->n; i++) {
		if (column[i] > UINT32_MAX - i ||
		    (endings[i] & ENDING_MASK) > ENDING_NO_LINE ||
		    endings[i] >> HEADER_SHIFT > HEADER_8BIT)
			return false;
		uids[i] = (uint32_t)column[i] + i;
	}
	packed_set(&c->body->packed_fixed, in);
	return true;
}

void
body_unpack_fixed(struct body *b)
{
	uint64_t columns[N_FIXED_COLUMNS][CHUNK_MAX], *v[N_FIXED_COLUMNS];
	bool ok;

	for (unsigned k = 0; k < N_FIXED_COLUMNS; k++)
		v[k] = columns[k];
	v[COLUMN_UID] = NULL;
	ok =
	    take_fixed(slice_of(b->packed_fixed.p, b->packed_fixed.n), v, b->n);
	assert(ok);
	body_make_fixed(b);
	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t known = v[COLUMN_ENDING][i];
		int64_t saved = (int64_t)(v[COLUMN_SAVE][i] ^ TIME_BIAS);

		b->fixed[i] = (struct fixed){
			.internal_ms =
			    (int64_t)(v[COLUMN_INTERNAL][i] ^ TIME_BIAS),
			.save_ms =
			    saved < b->save_floor ? b->save_floor : saved,
			.file_size = v[COLUMN_FILE_SIZE][i] - 1,
			.wire_size = v[COLUMN_WIRE_SIZE][i] - 1,
			.ending = (enum ending)(known & ENDING_MASK),
			.header = (enum header_bytes)(known >> HEADER_SHIFT),
			.email_id = v[COLUMN_EMAIL_ID][i],
			.synced = (known & SYNCED) != 0,
		};
	}
	packed_fini(&b->packed_fixed);
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

	count_put(out, c->n);
	for (uint32_t i = 0; i < c->n; i++)
		v[i] = place_folded(chunk_place(c, i));
	column_put(out, v, c->n);
	for (uint32_t i = 0; i < c->n; i++)
		v[i] = chunk_message(c, i)->keywords;
	column_put(out, v, c->n);
	for (uint32_t i = 0; i < c->n; i++)
		v[i] = chunk_message(c, i)->modseq;
	column_put(out, v, c->n);
	chunk_seal(out);
}

struct state_columns {
	uint64_t places[CHUNK_MAX], keywords[CHUNK_MAX], modseqs[CHUNK_MAX];
};

static bool
take_state(struct slice in, struct state_columns *v, uint32_t n)
{
	return count_is(&in, n) && column_take(&in, v->places, n) &&
	    column_take(&in, v->keywords, n) &&
	    column_take(&in, v->modseqs, n) && in.n == 0;
}

static void
keep_uids(struct chunk_facts *f, const uint32_t *uids, uint32_t n)
{
	f->first_uid = uids[0];
	f->last_uid = uids[n - 1];
	if (f->last_uid - f->first_uid == n - 1)
		return;
	f->uids = mem_alloc(n * sizeof(*uids));
	memcpy(f->uids, uids, n * sizeof(*uids));
}

/* What is wanted of all messages together; the UIDs ascend. */
static bool
open_state(struct chunk *c, struct slice in, const uint32_t *uids)
{
	const uint64_t seen = place_letter('S');
	struct chunk_facts *f = &c->facts;
	struct state_columns v;

	if (!take_state(in, &v, c->n))
		return false;
	f->all_seen = true;
	for (uint32_t i = 0; i < c->n; i++) {
		uint64_t place = place_unfolded(v.places[i]);

		if (v.keywords[i] > UINT32_MAX)
			return false;
		f->n_new += (place & PLACE_NEW) != 0;
		f->all_seen = f->all_seen && (place & seen) != 0;
		if (v.modseqs[i] > f->highest_modseq)
			f->highest_modseq = v.modseqs[i];
	}
	keep_uids(f, uids, c->n);
	packed_set(&c->packed_state, in);
	return true;
}

void
chunk_unpack_state(struct chunk *c)
{
	const struct chunk_facts *f = &c->facts;
	struct state_columns v;
	bool ok = take_state(
	    slice_of(c->packed_state.p, c->packed_state.n), &v, c->n);

	assert(ok);
	chunk_reserve(c, c->n);
	for (uint32_t i = 0; i < c->n; i++) {
		uint64_t place = place_unfolded(v.places[i]);

		c->places[i] = place;
		c->messages[i] = (struct message){
			.uid = f->uids != NULL ? f->uids[i] : f->first_uid + i,
			.flags = place_flags(place),
			.keywords = (uint32_t)v.keywords[i],
			.modseq = v.modseqs[i] < f->modseq_floor
			    ? f->modseq_floor
			    : v.modseqs[i],
		};
	}
	packed_fini(&c->packed_state);
	free(c->facts.uids);
	c->facts.uids = NULL;
}

/* --- either --------------------------------------------------------------- */

/* How many messages the state says there are; 0: it is no state. */
static uint32_t
count_state(struct slice state, bool packed)
{
	uint32_t n;

	if (!packed)
		return chunk_count_state(state);
	return count_take(&state, &n) ? n : 0;
}

static bool
uids_ascend(const struct chunk *c, const uint32_t *uids)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		if (uids[i] <= last || uids[i] < c->first)
			return false;
		last = uids[i];
	}
	return true;
}

struct chunk *
chunk_decode_nameless(uint32_t first, struct slice fixed, struct slice state)
{
	bool fixed_packed, state_packed;
	uint32_t n, uids[CHUNK_MAX];
	struct chunk *c;

	if (!open_either(&fixed, &fixed_packed) ||
	    !open_either(&state, &state_packed) ||
	    (n = count_state(state, state_packed)) == 0)
		return NULL;
	c = chunk_sized(first, n);
	if ((fixed_packed ? open_fixed(c, fixed, uids)
			  : chunk_read_fixed(c, fixed, uids)) &&
	    uids_ascend(c, uids) &&
	    (state_packed ? open_state(c, state, uids)
			  : chunk_read_state(c, state, uids)))
		return c;
	chunk_unref(&c);
	return NULL;
}

bool
chunk_set_names(struct chunk *c, struct slice names)
{
	bool packed;

	assert(c->body->nameless);
	if (!open_either(&names, &packed) ||
	    !(packed ? chunk_open_names(c, names) : chunk_read_names(c, names)))
		return false;
	c->body->nameless = false;
	return true;
}

struct chunk *
chunk_decode(
    uint32_t first, struct slice fixed, struct slice names, struct slice state)
{
	struct chunk *c = chunk_decode_nameless(first, fixed, state);

	if (c != NULL && !chunk_set_names(c, names))
		chunk_unref(&c);
	return c;
}
