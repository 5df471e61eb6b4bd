/*
 * On disk: the UIDs, 4 bytes each, then as many ranks.  All of a mailbox is
 * one value: 100 000 messages are 800 KB, read and written in a fraction of
 * the time that their texts take.
 */
#include "protocols/imap/order.h"

#include <string.h>

#include "base/le.h"
#include "protocols/imap/shared.h"

enum { MESSAGES_MAX = 2 * 1000 * 1000 };

void
imap_order_init(struct imap_order *o)
{
	*o = (struct imap_order){ .n = 0 };
}

void
imap_order_fini(struct imap_order *o)
{
	imap_shared_free(o->uid, o->cap_uid, sizeof(*o->uid));
	imap_shared_free(o->rank, o->cap_rank, sizeof(*o->rank));
	imap_shared_free(o->by_rank, o->cap_by, sizeof(*o->by_rank));
	imap_order_init(o);
}

static bool
grow(uint32_t **v, size_t *cap, size_t n)
{
	uint32_t *p = imap_shared_grow(*v, cap, n, sizeof(*p));

	if (p != NULL)
		*v = p;
	return p != NULL;
}

bool
imap_order_append(struct imap_order *o, uint32_t uid, uint32_t rank)
{
	if (!grow(&o->uid, &o->cap_uid, o->n + 1) ||
	    !grow(&o->rank, &o->cap_rank, o->n + 1))
		return false;
	o->uid[o->n] = uid;
	o->rank[o->n++] = rank;
	if (rank >= o->n_ranks)
		o->n_ranks = rank + 1;
	return true;
}

/* --- the cache ------------------------------------------------------------ */

static uint8_t *
put(uint8_t *p, uint32_t v)
{
	for (unsigned k = 0; k < 4; k++)
		*p++ = (uint8_t)(v >> 8 * k & 0xff);
	return p;
}

/* What is kept, if it can be what was. */
static int
unpack(struct imap_session *i, struct imap_order *o, struct slice kept)
{
	size_t n = kept.n / 8;
	uint32_t seq = 1, count = view_count(i->view), last = 0;

	if (kept.n % 8 != 0)
		return 0;
	for (size_t k = 0; k < n && seq <= count; k++) {
		uint32_t uid = le_get32(kept.p + 4 * k);
		uint32_t rank = le_get32(kept.p + 4 * (n + k));

		if (uid <= last || rank >= n) {
			o->n = 0;
			o->n_ranks = 0;
			return 0;
		}
		last = uid;
		while (seq <= count && view_get(i->view, seq)->uid < uid)
			seq++;
		if (seq > count || view_get(i->view, seq)->uid != uid)
			continue;
		if (!imap_order_append(o, uid, rank))
			return ERR_LIMIT;
	}
	return 0;
}

int
imap_order_load(
    struct imap_session *i, enum cache_kind kind, struct imap_order *o)
{
	struct buf kept;
	int rc = 0;

	imap_order_fini(o);
	/* only for the moment, and of one session at a time */
	buf_init(&kept, (size_t)8 * MESSAGES_MAX + 64);
	if (mailbox_cache_get_whole(i->mailbox, kind, &kept))
		rc = unpack(i, o, buf_slice(&kept));
	buf_fini(&kept);
	return rc;
}

void
imap_order_save(
    struct imap_session *i, enum cache_kind kind, const struct imap_order *o)
{
	struct buf kept;
	uint8_t *to;

	if (o->n == 0 || o->n > MESSAGES_MAX || o->n_ranks > o->n)
		return;
	buf_init(&kept, 8 * o->n);
	to = buf_reserve(&kept, 8 * o->n);
	assert(to != NULL);
	for (size_t k = 0; k < o->n; k++)
		to = put(to, o->uid[k]);
	for (size_t k = 0; k < o->n; k++)
		to = put(to, o->rank[k]);
	buf_advance(&kept, 8 * o->n);
	mailbox_cache_put_whole(i->mailbox, kind, buf_slice(&kept));
	buf_fini(&kept);
}

/* --- places -------------------------------------------------------------- */

size_t
imap_order_find(
    const struct imap_order *o, size_t hint, uint32_t uid, bool *found)
{
	size_t low = hint, high = o->n;

	if (hint < o->n && o->uid[hint] >= uid)
		high = hint;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (o->uid[mid] < uid)
			low = mid + 1;
		else
			high = mid;
	}
	*found = low < o->n && o->uid[low] == uid;
	return low;
}

/*
 * Ranks without gaps, which expunged messages leave, and by_rank: by counting,
 * as ranks are small numbers.
 */
static bool
sort_places(struct imap_order *o)
{
	uint32_t *at, sum = 0, rank = 0;
	size_t cap = 0;

	if (o->n_sorted == o->n)
		return true;
	if (!grow(&o->by_rank, &o->cap_by, o->n))
		return false;
	at = imap_shared_grow(NULL, &cap, (size_t)o->n_ranks + 1, sizeof(*at));
	if (at == NULL)
		return false;
	memset(at, 0, ((size_t)o->n_ranks + 1) * sizeof(*at));
	for (size_t k = 0; k < o->n; k++)
		at[o->rank[k]]++;
	for (uint32_t r = 0; r < o->n_ranks; r++) {
		uint32_t n = at[r];

		at[r] = sum;
		sum += n;
	}
	for (size_t k = 0; k < o->n; k++)
		o->by_rank[at[o->rank[k]]++] = (uint32_t)k;
	imap_shared_free(at, cap, sizeof(*at));
	for (size_t k = 0, was = 0; k < o->n; k++) {
		uint32_t place = o->by_rank[k];

		if (k != 0 && o->rank[place] != was)
			rank++;
		was = o->rank[place];
		o->rank[place] = rank;
	}
	o->n_ranks = rank + (o->n != 0);
	o->n_sorted = o->n;
	return true;
}

/* Make room at a place in UID order, and at one in the order of ranks. */
static bool
open_gap(struct imap_order *o, size_t place, size_t by)
{
	if (!grow(&o->uid, &o->cap_uid, o->n + 1) ||
	    !grow(&o->rank, &o->cap_rank, o->n + 1) ||
	    !grow(&o->by_rank, &o->cap_by, o->n + 1))
		return false;
	memmove(o->uid + place + 1, o->uid + place,
	    (o->n - place) * sizeof(*o->uid));
	memmove(o->rank + place + 1, o->rank + place,
	    (o->n - place) * sizeof(*o->rank));
	memmove(o->by_rank + by + 1, o->by_rank + by,
	    (o->n - by) * sizeof(*o->by_rank));
	o->n++;
	for (size_t k = 0; k < o->n; k++)
		if (k != by && o->by_rank[k] >= place)
			o->by_rank[k]++;
	o->by_rank[by] = (uint32_t)place;
	o->n_sorted = o->n;
	return true;
}

bool
imap_order_insert(struct imap_order *o, uint32_t uid,
    int (*compare)(void *arg, uint32_t uid), void *arg)
{
	size_t low = 0, high, place;
	uint32_t rank;
	bool found, same = false;

	if (!sort_places(o))
		return false;
	high = o->n;
	while (low < high && !same) {
		size_t mid = low + (high - low) / 2;
		int d = compare(arg, o->uid[o->by_rank[mid]]);

		same = d == 0;
		if (d < 0)
			low = mid + 1;
		else
			high = mid;
	}
	/* same: it stands at high; else it goes where low is */
	low = same ? high : low;
	rank = low < o->n ? o->rank[o->by_rank[low]] : o->n_ranks;
	place = imap_order_find(o, 0, uid, &found);
	assert(!found);
	if (!open_gap(o, place, low))
		return false;
	o->uid[place] = uid;
	o->rank[place] = rank;
	if (same)
		return true;
	for (size_t k = low + 1; k < o->n; k++)
		o->rank[o->by_rank[k]]++;
	o->n_ranks++;
	return true;
}
