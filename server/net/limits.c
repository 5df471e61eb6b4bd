/*
 * One open-addressing table with linear probing holds the counts of addresses
 * and of networks alike.  Entries that fall to zero leave at once, and what
 * stood behind them moves up, so there are no tombstones and the table
 * shrinks again after a flood.
 */
#include "config.h"

#include "server/net/limits.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { LIMITS_MAGIC = 0x6c696d73, SLOTS_MIN = 64 };

struct entry {
	struct addr addr; /* first address of what is counted */
	uint8_t bits;	  /* of it */
	uint8_t service;
	uint32_t count; /* 0: the slot is free */
};

struct counted {
	struct limits_rule rule;
	uint32_t count;
};

struct limits {
	uint32_t magic;
	uint64_t seed;
	struct entry *slot;
	size_t n_slots; /* a power of two */
	size_t used;
	struct counted service[LIMITS_SERVICES];
};

struct limits *
limits_new(uint64_t seed)
{
	struct limits *l = MEM_NEW(struct limits);

	l->magic = LIMITS_MAGIC;
	l->seed = seed;
	l->n_slots = SLOTS_MIN;
	l->slot = mem_zalloc(l->n_slots, sizeof(*l->slot));
	return l;
}

void
limits_free(struct limits **lp)
{
	struct limits *l = *lp;

	if (l == NULL)
		return;
	MAGIC_CHECK(l, LIMITS_MAGIC);
	free(l->slot);
	l->magic = 0;
	free(l);
	*lp = NULL;
}

/* --- the table ----------------------------------------------------------- */

static uint64_t
mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	return x;
}

static size_t
home_slot(const struct limits *l, const struct entry *e)
{
	uint64_t high;
	uint64_t low;
	uint64_t h;

	memcpy(&high, e->addr.b, 8);
	memcpy(&low, e->addr.b + 8, 8);
	h = mix(l->seed ^ ((uint64_t)e->service << 8) ^ e->bits);
	h = mix(h ^ high);
	h = mix(h ^ low);
	return (size_t)h & (l->n_slots - 1);
}

/* The slot of this entry, or the free one where it would go. */
static struct entry *
find_slot(const struct limits *l, const struct entry *e)
{
	size_t i = home_slot(l, e);

	while (l->slot[i].count != 0) {
		const struct entry *s = &l->slot[i];

		if (s->service == e->service && s->bits == e->bits &&
		    addr_eq(&s->addr, &e->addr))
			break;
		i = (i + 1) & (l->n_slots - 1);
	}
	return &l->slot[i];
}

static void
resize(struct limits *l, size_t n_slots)
{
	struct entry *old = l->slot;
	size_t n_old = l->n_slots;

	l->slot = mem_zalloc(n_slots, sizeof(*l->slot));
	l->n_slots = n_slots;
	for (size_t i = 0; i < n_old; i++) {
		if (old[i].count != 0)
			*find_slot(l, &old[i]) = old[i];
	}
	free(old);
}

/* Free a slot and move up those that were pushed behind it. */
static void
remove_slot(struct limits *l, struct entry *e)
{
	size_t mask = l->n_slots - 1;
	size_t hole = (size_t)(e - l->slot);
	size_t i = hole;

	for (;;) {
		size_t home;

		i = (i + 1) & mask;
		if (l->slot[i].count == 0)
			break;
		home = home_slot(l, &l->slot[i]);
		/* it may move if its home isn't between the hole and it */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			l->slot[hole] = l->slot[i];
			hole = i;
		}
	}
	l->slot[hole] = (struct entry){ .count = 0 };
	l->used--;
}

/* --- counting ------------------------------------------------------------ */

static struct entry
entry_of(unsigned service, const struct addr *a, unsigned bits)
{
	return (struct entry){ .addr = addr_net_of(a, bits).addr,
		.bits = (uint8_t)bits,
		.service = (uint8_t)service };
}

static struct entry
address_entry(unsigned service, const struct addr *a)
{
	return entry_of(service, a, addr_is_v4(a) ? 128 : 64);
}

static struct entry
network_entry(unsigned service, const struct addr *a)
{
	return entry_of(service, a, addr_is_v4(a) ? ADDR_V4_BITS + 24 : 48);
}

static uint32_t
count_of(const struct limits *l, struct entry e)
{
	return find_slot(l, &e)->count;
}

static void
count_up(struct limits *l, struct entry e)
{
	struct entry *slot = find_slot(l, &e);

	if (slot->count == 0) {
		if ((l->used + 1) * 4 > l->n_slots * 3) {
			resize(l, l->n_slots * 2);
			slot = find_slot(l, &e);
		}
		*slot = e;
		l->used++;
	}
	slot->count++;
}

static void
count_down(struct limits *l, struct entry e)
{
	struct entry *slot = find_slot(l, &e);

	assert(slot->count != 0);
	if (slot->count > 1) {
		slot->count--;
		return;
	}
	remove_slot(l, slot);
	if (l->n_slots > SLOTS_MIN && l->used * 8 < l->n_slots)
		resize(l, l->n_slots / 2);
}

void
limits_set(struct limits *l, unsigned service, const struct limits_rule *rule)
{
	MAGIC_CHECK(l, LIMITS_MAGIC);
	assert(service < LIMITS_SERVICES);
	l->service[service].rule = *rule;
}

static bool
is_full(uint32_t limit, uint32_t count)
{
	return limit != 0 && count >= limit;
}

enum limits_verdict
limits_open_max(struct limits *l, unsigned service, const struct addr *a,
    uint32_t per_address)
{
	struct counted *s;

	MAGIC_CHECK(l, LIMITS_MAGIC);
	assert(service < LIMITS_SERVICES);
	s = &l->service[service];
	if (is_full(s->rule.total, s->count))
		return LIMITS_TOTAL;
	if (is_full(per_address, count_of(l, address_entry(service, a))))
		return LIMITS_PER_ADDRESS;
	if (is_full(
		s->rule.per_network, count_of(l, network_entry(service, a))))
		return LIMITS_PER_NETWORK;
	count_up(l, address_entry(service, a));
	count_up(l, network_entry(service, a));
	s->count++;
	return LIMITS_OK;
}

enum limits_verdict
limits_open(struct limits *l, unsigned service, const struct addr *a)
{
	MAGIC_CHECK(l, LIMITS_MAGIC);
	assert(service < LIMITS_SERVICES);
	return limits_open_max(
	    l, service, a, l->service[service].rule.per_address);
}

void
limits_close(struct limits *l, unsigned service, const struct addr *a)
{
	MAGIC_CHECK(l, LIMITS_MAGIC);
	assert(service < LIMITS_SERVICES);
	assert(l->service[service].count != 0);
	count_down(l, address_entry(service, a));
	count_down(l, network_entry(service, a));
	l->service[service].count--;
}

uint32_t
limits_count(const struct limits *l, unsigned service)
{
	MAGIC_CHECK(l, LIMITS_MAGIC);
	assert(service < LIMITS_SERVICES);
	return l->service[service].count;
}

uint32_t
limits_count_address(
    const struct limits *l, unsigned service, const struct addr *a)
{
	MAGIC_CHECK(l, LIMITS_MAGIC);
	assert(service < LIMITS_SERVICES);
	return count_of(l, address_entry(service, a));
}

uint32_t
limits_count_all(const struct limits *l)
{
	uint32_t n = 0;

	MAGIC_CHECK(l, LIMITS_MAGIC);
	for (unsigned i = 0; i < LIMITS_SERVICES; i++)
		n += l->service[i].count;
	return n;
}

size_t
limits_entries(const struct limits *l)
{
	MAGIC_CHECK(l, LIMITS_MAGIC);
	return l->used;
}
