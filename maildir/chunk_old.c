/* Chunks as they were in the database before schema 5: plain records. */
#include "base/le.h"
#include "maildir/chunk_impl.h"
#include "maildir/file_name.h"

enum {
	FIXED_BYTES = 44,
	FIXED_BYTES_1 = 36, /* of schema 1 */
	STATE_BYTES = 20,
	ENDING_SHIFT = 62, /* above any size that a file can have */
};

uint32_t
chunk_count_state(struct slice state)
{
	if (state.n % STATE_BYTES != 0 || state.n / STATE_BYTES > CHUNK_MAX)
		return 0;
	return (uint32_t)(state.n / STATE_BYTES);
}

bool
chunk_read_fixed(struct chunk *c, struct slice in, uint32_t *uids)
{
	size_t size = FIXED_BYTES;

	if (in.n == c->n * (size_t)FIXED_BYTES_1)
		size = FIXED_BYTES_1;
	else if (in.n != c->n * size)
		return false;
	body_make_fixed(c->body);
	for (uint32_t i = 0; i < c->n; i++) {
		const uint8_t *p = in.p + i * size;
		struct fixed *f = &c->body->fixed[i];

		uids[i] = le_get32(p);
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

bool
chunk_read_state(struct chunk *c, struct slice in, const uint32_t *uids)
{
	if (in.n != (size_t)c->n * STATE_BYTES)
		return false;
	chunk_reserve(c, c->n);
	for (uint32_t i = 0; i < c->n; i++) {
		const uint8_t *p = in.p + (size_t)i * STATE_BYTES;

		c->places[i] = le_get64(p);
		c->messages[i] = (struct message){ .uid = uids[i],
			.flags = place_flags(c->places[i]),
			.keywords = le_get32(p + 8),
			.modseq = le_get64(p + 12) };
	}
	return true;
}

static bool
take_text(struct slice *in, struct slice *out)
{
	size_t n;

	if (in->n < 2 || (n = (size_t)le_get(in->p, 2)) > in->n - 2 ||
	    n > CHUNK_TEXT_MAX)
		return false;
	*out = slice_of(in->p + 2, n);
	*in = slice_skip(*in, 2 + n);
	return true;
}

bool
chunk_read_names(struct chunk *c, struct slice in)
{
	struct body *b = c->body;
	bool ok = true;

	body_make_names(b);
	for (uint32_t i = 0; i < 2 * c->n && ok; i++) {
		struct slice text;

		if ((ok = take_text(&in, &text))) {
			buf_put(&b->names, text);
			b->at[i + 1] = (uint32_t)buf_len(&b->names);
		}
	}
	ok = ok && in.n == 0 && buf_ok(&b->names);
	if (!ok)
		body_drop_names(b);
	return ok;
}
