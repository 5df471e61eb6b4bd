#include "auth/cache.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/ascii.h"
#include "base/mem.h"
#include "base/secret.h"

enum { MAGIC = 0x0cac4e00, WAYS = 8, KEY_LEN = 32 };

/* The sets are chosen by the user, so that all of one are found together. */
struct entry {
	bool used;
	uint64_t user;
	uint8_t key[KEY_LEN];
	enum verdict verdict;
	int64_t learned;
	bool by_rip; /* counts at this address only */
	struct secret rip;
	bool by_app; /* entered by an app password */
	struct account account;
};

struct cache {
	uint32_t magic;
	uint8_t secret[32];
	struct cache_times times;
	struct entry *entries;
};

struct cache *
cache_new(const uint8_t key[32])
{
	struct cache *c = MEM_NEW(struct cache);

	c->magic = MAGIC;
	memcpy(c->secret, key, sizeof(c->secret));
	c->entries = mem_zalloc(CACHE_ENTRIES, sizeof(struct entry));
	return c;
}

static void
drop(struct entry *e)
{
	if (e->used) {
		account_fini(&e->account);
		secret_fini(&e->rip);
	}
	*e = (struct entry){ .used = false };
}

void
cache_free(struct cache **c)
{
	if (*c == NULL)
		return;
	MAGIC_CHECK(*c, MAGIC);
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		drop(&(*c)->entries[i]);
	free((*c)->entries);
	secret_wipe(*c, sizeof(**c));
	free(*c);
	*c = NULL;
}

void
cache_configure(struct cache *c, const struct cache_times *times)
{
	MAGIC_CHECK(c, MAGIC);
	c->times = *times;
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		drop(&c->entries[i]);
}

/* --- keys ------------------------------------------------------------------
 */

static void
put_piece(struct buf *b, struct slice s)
{
	uint64_t n = s.n;

	buf_put(b, slice_of(&n, sizeof(n)));
	buf_put(b, s);
}

static void
mac(const struct cache *c, const struct buf *text, uint8_t out[KEY_LEN])
{
	struct slice s = buf_slice(text);

	(void)!HMAC(
	    EVP_sha256(), c->secret, sizeof(c->secret), s.p, s.n, out, NULL);
}

static uint64_t
user_key(const struct cache *c, struct slice user)
{
	uint8_t out[KEY_LEN] = { 0 };
	struct buf text;
	uint64_t v;

	buf_init(&text, USER_NAME_MAX);
	for (size_t i = 0; i < user.n; i++)
		buf_putc(&text, ascii_lower(user.p[i]));
	mac(c, &text, out);
	buf_fini(&text);
	memcpy(&v, out, sizeof(v));
	return v;
}

static void
query_key(const struct cache *c, const struct query *q, uint8_t out[KEY_LEN])
{
	struct buf text;

	buf_init(&text, 64 * 1024);
	put_piece(&text, q->user);
	put_piece(&text, q->service);
	put_piece(&text, q->password);
	mac(c, &text, out);
	secret_wipe(text.p, text.cap);
	buf_fini(&text);
}

static struct entry *
set_of(struct cache *c, uint64_t user)
{
	return &c->entries[user % (CACHE_ENTRIES / WAYS) * WAYS];
}

/* --- use ---------------------------------------------------------------- */

static bool
is_fresh(const struct cache *c, const struct entry *e, bool outage, int64_t now)
{
	int64_t age = now - e->learned;

	if (e->by_app && !outage)
		return false;
	if (e->verdict == VERDICT_OK)
		return age < (outage ? c->times.outage_ms : c->times.good_ms);
	return !outage && age < c->times.bad_ms;
}

static bool
counts_at(const struct entry *e, struct slice rip)
{
	return !e->by_rip || slice_eq(secret_slice(&e->rip), rip);
}

bool
cache_find(struct cache *c, const struct query *q, bool outage, int64_t now,
    struct answer *a)
{
	uint64_t user = user_key(c, q->user);
	struct entry *e = set_of(c, user);
	uint8_t key[KEY_LEN] = { 0 };

	MAGIC_CHECK(c, MAGIC);
	if (q->op != QUERY_LOGIN)
		return false;
	query_key(c, q, key);
	for (int i = 0; i < WAYS; i++) {
		if (!e[i].used || e[i].user != user ||
		    memcmp(e[i].key, key, sizeof(key)) != 0 ||
		    !is_fresh(c, &e[i], outage, now) ||
		    !counts_at(&e[i], q->rip))
			continue;
		*a = answer_of_account(&e[i].account);
		a->verdict = e[i].verdict;
		if (a->verdict == VERDICT_OK)
			a->field[ACCOUNT_PASSWD2] = q->password;
		return true;
	}
	return false;
}

static struct entry *
place_for(struct cache *c, uint64_t user, const uint8_t key[KEY_LEN])
{
	struct entry *set = set_of(c, user), *oldest = &set[0];

	for (int i = 0; i < WAYS; i++) {
		if (set[i].used && set[i].user == user &&
		    memcmp(set[i].key, key, KEY_LEN) == 0)
			return &set[i];
		if (!set[i].used ||
		    (oldest->used && set[i].learned < oldest->learned))
			oldest = &set[i];
	}
	return oldest;
}

/* The account has one password of its own: any other that was good before is
 * its old one.  App passwords come and go beside it. */
static void
drop_other_successes(struct cache *c, uint64_t user)
{
	struct entry *e = set_of(c, user);

	for (int i = 0; i < WAYS; i++)
		if (e[i].used && e[i].user == user &&
		    e[i].verdict == VERDICT_OK && !e[i].by_app)
			drop(&e[i]);
}

void
cache_learn(
    struct cache *c, const struct query *q, const struct answer *a, int64_t now)
{
	uint64_t user = user_key(c, q->user);
	uint8_t key[KEY_LEN] = { 0 };
	struct slice label;
	struct entry *e;
	bool by_app;

	MAGIC_CHECK(c, MAGIC);
	if (q->op != QUERY_LOGIN ||
	    (a->verdict != VERDICT_OK && a->verdict != VERDICT_REJECTED))
		return;
	query_key(c, q, key);
	by_app = a->verdict == VERDICT_OK &&
	    answer_option(a, SLICE("apppassword"), &label);
	e = place_for(c, user, key);
	drop(e);
	if (a->verdict == VERDICT_OK && !by_app)
		drop_other_successes(c, user);
	*e = (struct entry){ .used = true,
		.user = user,
		.verdict = a->verdict,
		.learned = now,
		.by_rip = a->extra.n != 0,
		.by_app = by_app };
	memcpy(e->key, key, sizeof(key));
	secret_set(&e->rip, q->rip);
	account_init(&e->account);
	if (a->verdict != VERDICT_OK)
		return;
	e->account.uid = a->uid;
	e->account.gid = a->gid;
	for (enum account_field f = 0; f < ACCOUNT_N_FIELDS; f++)
		if (f != ACCOUNT_PASSWD2)
			account_set(&e->account, f, a->field[f]);
}

void
cache_forget(struct cache *c, struct slice name)
{
	uint64_t user = user_key(c, name);
	struct entry *e = set_of(c, user);

	MAGIC_CHECK(c, MAGIC);
	for (int i = 0; i < WAYS; i++)
		if (e[i].used && e[i].user == user)
			drop(&e[i]);
}
