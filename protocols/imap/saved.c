#include "protocols/imap/saved.h"

/* --- numbers of seven bits a byte, the lowest first ----------------------- */

static void
put_number(struct buf *b, uint32_t n)
{
	for (; n >= 0x80; n >>= 7)
		buf_putc(b, (uint8_t)(n | 0x80));
	buf_putc(b, (uint8_t)n);
}

static uint32_t
take_number(struct slice *s)
{
	uint32_t n = 0;
	unsigned shift = 0;
	uint8_t c;

	do {
		assert(s->n != 0 && shift < 32);
		c = s->p[0];
		*s = slice_skip(*s, 1);
		n |= (uint32_t)(c & 0x7f) << shift;
		shift += 7;
	} while (c >= 0x80);
	return n;
}

/* -------------------------------------------------------------------------- */

void
imap_saved_init(struct imap_saved *s)
{
	*s = (struct imap_saved){ .n = 0 };
	buf_init(&s->runs, IMAP_SAVED_MAX);
}

void
imap_saved_fini(struct imap_saved *s)
{
	buf_fini(&s->runs);
}

void
imap_saved_clear(struct imap_saved *s)
{
	buf_fini(&s->runs);
	imap_saved_init(s);
}

bool
imap_saved_add(struct imap_saved *s, uint32_t first, uint32_t last)
{
	assert(first > s->last && last >= first);
	put_number(&s->runs, first - s->last - 1);
	put_number(&s->runs, last - first);
	s->last = last;
	s->n++;
	return buf_ok(&s->runs);
}

bool
imap_saved_resolve(const struct imap_saved *s, const struct view *v,
    struct arena *a, struct imap_set *out)
{
	struct slice rest = buf_slice(&s->runs);
	struct imap_set set = { .n = 0 };
	uint32_t uid = 0;

	assert(buf_ok(&s->runs));
	set.v = arena_zalloc(a, s->n + 1, sizeof(*set.v));
	if (set.v == NULL)
		return false;
	while (rest.n != 0) {
		struct imap_range r;

		uid += take_number(&rest) + 1;
		r.lo = view_lower_bound(v, uid);
		uid += take_number(&rest);
		r.hi = uid == UINT32_MAX ? view_count(v)
					 : view_lower_bound(v, uid + 1) - 1;
		if (r.lo > r.hi)
			continue;
		if (set.n != 0 && set.v[set.n - 1].hi + 1 == r.lo)
			set.v[set.n - 1].hi = r.hi;
		else
			set.v[set.n++] = r;
	}
	*out = set;
	return true;
}
