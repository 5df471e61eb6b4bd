#include "auth/throttle.h"

#include <stdlib.h>
#include <string.h>

#include "auth/network.h"
#include "base/ascii.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/siphash.h"
#include "server/conf/conf_words.h"

enum {
	MAGIC = 0x7440771e,
	WAYS = 4,      /* places that a key may be in */
	PASSWORDS = 4, /* wrong ones that are remembered for a key */
	TRUSTED_MAX = 64,
};

struct entry {
	uint64_t key;  /* 0: free */
	int64_t since; /* when score was what it is */
	uint32_t score;
	uint32_t next; /* place in tried[] */
	uint64_t tried[PASSWORDS];
};

/* A pair of name and network that is known to be good: by far the most, so
 * without what only failures need. */
struct good {
	uint64_t key; /* 0: free */
	int64_t since;
};

struct throttle {
	uint32_t magic;
	uint8_t secret[SIPHASH_KEY_LEN];
	int64_t max_ms;
	struct network trusted[TRUSTED_MAX];
	size_t n_trusted;
	struct entry *networks, *names;
	struct good *known;
};

struct throttle *
throttle_new(const uint8_t key[32])
{
	struct throttle *t = MEM_NEW(struct throttle);

	t->magic = MAGIC;
	memcpy(t->secret, key, sizeof(t->secret));
	t->networks = mem_zalloc(THROTTLE_ENTRIES, sizeof(struct entry));
	t->names = mem_zalloc(THROTTLE_ENTRIES, sizeof(struct entry));
	t->known = mem_zalloc(THROTTLE_ENTRIES, sizeof(struct good));
	return t;
}

void
throttle_free(struct throttle **t)
{
	if (*t == NULL)
		return;
	MAGIC_CHECK(*t, MAGIC);
	free((*t)->networks);
	free((*t)->names);
	free((*t)->known);
	secret_wipe(*t, sizeof(**t));
	free(*t);
	*t = NULL;
}

void
throttle_configure(struct throttle *t, int64_t max_ms, struct slice trusted)
{
	struct slice word;
	char safe[64];

	MAGIC_CHECK(t, MAGIC);
	t->max_ms = max_ms;
	t->n_trusted = 0;
	while (t->n_trusted < TRUSTED_MAX && conf_word_next(&trusted, &word))
		if (network_parse(word, &t->trusted[t->n_trusted]))
			t->n_trusted++;
		else
			log_warn("AUTH_TRUSTED: %s is no network",
			    log_safe(word, safe, sizeof(safe)));
}

static bool
is_trusted(const struct throttle *t, const uint8_t address[16])
{
	for (size_t i = 0; i < t->n_trusted; i++)
		if (network_has(&t->trusted[i], address))
			return true;
	return false;
}

/* --- keys --------------------------------------------------------------- */

/* A keyed hash of two pieces; never 0. */
static uint64_t
hash(const struct throttle *t, char kind, struct slice a, struct slice b)
{
	uint8_t text[1024];
	size_t n = 0;
	uint64_t v;

	a = slice_first(a, sizeof(text) / 2 - 2);
	b = slice_first(b, sizeof(text) / 2 - 2);
	text[n++] = (uint8_t)kind;
	for (size_t i = 0; i < a.n; i++)
		text[n++] = ascii_lower(a.p[i]);
	text[n++] = '\0';
	if (b.n != 0)
		memcpy(text + n, b.p, b.n);
	n += b.n;
	v = siphash(t->secret, slice_of(text, n));
	secret_wipe(text, n);
	return v != 0 ? v : 1;
}

struct keys {
	bool trusted;
	uint64_t network; /* 0: not known */
	uint64_t name;
	uint64_t pair;	   /* 0: the network isn't known */
	uint64_t password; /* with the name; 0: not sent */
};

static struct keys
keys_of(const struct throttle *t, const struct attempt *a)
{
	struct keys k = { .name = hash(t, 'n', a->user, slice_of("", 0)) };
	uint8_t b[16];

	if (a->password.n != 0)
		k.password = hash(t, 'p', a->user, a->password);
	if (network_address(a->rip, b)) {
		k.trusted = is_trusted(t, b);
		network_mask(b, network_is_v4(b) ? NETWORK_V4_BITS + 24 : 64);
		k.network = hash(t, 'a', slice_of("", 0), slice_of(b, 16));
		k.pair = hash(t, 'b', a->user, slice_of(b, 16));
	}
	return k;
}

/* --- the tables --------------------------------------------------------- */

static uint32_t
score_at(const struct entry *e, int64_t now)
{
	int64_t forgiven = (now - e->since) / THROTTLE_FORGIVE_MS;

	return forgiven >= e->score ? 0 : e->score - (uint32_t)forgiven;
}

static struct entry *
find(struct entry *table, uint64_t key)
{
	struct entry *e = &table[key % (THROTTLE_ENTRIES / WAYS) * WAYS];

	for (int i = 0; i < WAYS; i++)
		if (e[i].key == key)
			return &e[i];
	return NULL;
}

/* Found, or put in the place of the one that matters least. */
static struct entry *
obtain(struct entry *table, uint64_t key, int64_t now)
{
	struct entry *set = &table[key % (THROTTLE_ENTRIES / WAYS) * WAYS];
	struct entry *e = find(table, key), *least = &set[0];

	if (e != NULL)
		return e;
	for (int i = 1; i < WAYS; i++) {
		uint32_t a = score_at(&set[i], now), b = score_at(least, now);

		if (set[i].key == 0 || a < b ||
		    (a == b && set[i].since < least->since))
			least = &set[i];
	}
	*least = (struct entry){ .key = key, .since = now };
	return least;
}

static bool
was_tried(struct entry *e, uint64_t password)
{
	if (password == 0)
		return false;
	for (int i = 0; i < PASSWORDS; i++)
		if (e->tried[i] == password)
			return true;
	e->tried[e->next++ % PASSWORDS] = password;
	return false;
}

static void
count(struct entry *table, uint64_t key, uint64_t password, int64_t now)
{
	struct entry *e;

	if (key == 0)
		return;
	e = obtain(table, key, now);
	e->score = score_at(e, now);
	e->since = now;
	if (!was_tried(e, password) && e->score < THROTTLE_SCORE_MAX)
		e->score++;
}

static int64_t
wait_of(struct entry *table, uint64_t key, int64_t max_ms, int64_t now)
{
	const struct entry *e = key != 0 ? find(table, key) : NULL;
	uint32_t score = e != NULL ? score_at(e, now) : 0;
	int64_t ms = THROTTLE_FIRST_MS;

	if (score < THROTTLE_FREE)
		return 0;
	while (--score >= THROTTLE_FREE && ms < max_ms)
		ms *= 2;
	return ms < max_ms ? ms : max_ms;
}

static struct good *
set_of(struct throttle *t, uint64_t pair)
{
	return &t->known[pair % (THROTTLE_ENTRIES / WAYS) * WAYS];
}

static bool
is_known(struct throttle *t, const struct keys *k, int64_t now)
{
	const struct good *set = set_of(t, k->pair);

	for (int i = 0; i < WAYS && k->pair != 0; i++)
		if (set[i].key == k->pair)
			return now - set[i].since < THROTTLE_KNOWN_MS;
	return false;
}

/* In its place, else in a free one, else in that of the oldest. */
static void
note_known(struct throttle *t, uint64_t pair, int64_t now)
{
	struct good *set = set_of(t, pair), *at = &set[0];

	for (int i = 0; i < WAYS; i++) {
		if (set[i].key == pair) {
			at = &set[i];
			break;
		}
		if (at->key != 0 &&
		    (set[i].key == 0 || set[i].since < at->since))
			at = &set[i];
	}
	*at = (struct good){ .key = pair, .since = now };
}

int64_t
throttle_wait(struct throttle *t, const struct attempt *a, int64_t now)
{
	struct keys k;
	int64_t network, name, name_max;

	MAGIC_CHECK(t, MAGIC);
	if (t->max_ms == 0)
		return 0;
	k = keys_of(t, a);
	if (k.trusted || is_known(t, &k, now))
		return 0;
	name_max =
	    t->max_ms < THROTTLE_NAME_MAX_MS ? t->max_ms : THROTTLE_NAME_MAX_MS;
	network = wait_of(t->networks, k.network, t->max_ms, now);
	name = wait_of(t->names, k.name, name_max, now);
	return network > name ? network : name;
}

void
throttle_failed(struct throttle *t, const struct attempt *a, int64_t now)
{
	struct keys k;

	MAGIC_CHECK(t, MAGIC);
	if (t->max_ms == 0)
		return;
	k = keys_of(t, a);
	if (k.trusted)
		return;
	count(t->networks, k.network, k.password, now);
	count(t->names, k.name, k.password, now);
}

void
throttle_succeeded(struct throttle *t, const struct attempt *a, int64_t now)
{
	struct keys k;

	MAGIC_CHECK(t, MAGIC);
	if (t->max_ms == 0)
		return;
	k = keys_of(t, a);
	/* One success doesn't clear what a network did to other names: the
	 * owner of one mailbox could go on guessing at the rest. */
	if (k.pair != 0 && !k.trusted)
		note_known(t, k.pair, now);
}
