#include "auth/cache.h"

#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "auth/cram.h"
#include "base/ascii.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/siphash.h"

enum {
	MAGIC = 0x0cac4e00,
	WAYS = 8,
	KEY_LEN = 32,
	SETS = CACHE_ENTRIES / WAYS,
};

/* The sets are chosen by the user, so that all of one are found together; those
 * that say who it is, by his account's address, too. */
struct entry {
	uint64_t user;
	uint8_t key[KEY_LEN];
	uint64_t password; /* of a login: a keyed hash; else 0 */
	enum verdict verdict;
	int64_t learned;
	int64_t since;	/* of a success: first known with this password */
	bool doubted;	/* says nothing until the table has said it again */
	uint32_t watch; /* believed while it is the present one; or 0 */
	bool by_rip;	/* counts at this address only */
	struct secret rip;
	bool by_app; /* entered by an app password */
	struct account account;
	bool listed; /* there is an address */
	LIST_ENTRY(entry) by_address;
};
LIST_HEAD(entries, entry);

struct cache {
	uint32_t magic;
	uint8_t secret[32];
	EVP_MAC_CTX *hmac; /* which has that key already */
	struct cache_times times;
	uint32_t watch;
	struct entry **entries; /* NULL: free */
	struct entries by_address[SETS];
};

/* What is looked for and set up once: for a key as short as ours that takes
 * several times what the hash does. */
static EVP_MAC_CTX *
new_hmac(const uint8_t key[32])
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(
		    OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	bool ok = ctx != NULL && EVP_MAC_init(ctx, key, 32, params) == 1;

	assert(ok);
	EVP_MAC_free(mac);
	return ctx;
}

struct cache *
cache_new(const uint8_t key[32])
{
	struct cache *c = MEM_NEW(struct cache);

	c->magic = MAGIC;
	memcpy(c->secret, key, sizeof(c->secret));
	c->hmac = new_hmac(key);
	c->entries = mem_zalloc(CACHE_ENTRIES, sizeof(struct entry *));
	return c;
}

static void
drop(struct entry **pe)
{
	struct entry *e = *pe;

	*pe = NULL;
	if (e == NULL)
		return;
	if (e->listed)
		LIST_REMOVE(e, by_address);
	account_fini(&e->account);
	secret_fini(&e->rip);
	secret_wipe(e, sizeof(*e));
	free(e);
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
	EVP_MAC_CTX_free((*c)->hmac);
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

void
cache_set_watch(struct cache *c, uint32_t watch)
{
	MAGIC_CHECK(c, MAGIC);
	c->watch = watch;
}

/* --- keys ---------------------------------------------------------------- */

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
	size_t n = 0;
	/* without a key: begin anew with the one that is there */
	bool ok = EVP_MAC_init(c->hmac, NULL, 0, NULL) == 1 &&
	    EVP_MAC_update(c->hmac, s.p, s.n) == 1 &&
	    EVP_MAC_final(c->hmac, out, &n, KEY_LEN) == 1;

	assert(ok && n == KEY_LEN);
}

static uint64_t
short_mac(const struct cache *c, const struct buf *text)
{
	uint8_t out[KEY_LEN] = { 0 };
	uint64_t v;

	mac(c, text, out);
	memcpy(&v, out, sizeof(v));
	return v;
}

static uint64_t
user_key(const struct cache *c, struct slice user)
{
	uint8_t lower[USER_NAME_MAX];

	user = slice_first(user, sizeof(lower));
	for (size_t i = 0; i < user.n; i++)
		lower[i] = ascii_lower(user.p[i]);
	return siphash(c->secret, slice_of(lower, user.n));
}

static uint64_t
password_key(const struct cache *c, struct slice password)
{
	struct buf text;
	uint64_t v;

	buf_init_secret(&text, 64 * 1024);
	buf_putc(&text, 'p');
	put_piece(&text, password);
	v = short_mac(c, &text);
	buf_fini(&text);
	return v;
}

/* Whether verdicts of the question may be kept. */
static bool
is_cacheable(const struct query *q)
{
	return q->op == QUERY_LOGIN || q->op == QUERY_CRAM ||
	    q->op == QUERY_SCRAM;
}

/* By what they are found: the password, or the mechanism that shows it in
 * another way each time. */
static void
query_key(const struct cache *c, const struct query *q, uint8_t out[KEY_LEN])
{
	struct buf text;

	buf_init_secret(&text, 64 * 1024);
	buf_putc(&text, (uint8_t)q->op);
	put_piece(&text, q->user);
	put_piece(&text, q->service);
	put_piece(&text, q->op == QUERY_LOGIN ? q->password : q->mechanism);
	mac(c, &text, out);
	buf_fini(&text);
}

static struct entry **
set_of(struct cache *c, uint64_t user)
{
	return &c->entries[user % SETS * WAYS];
}

static struct entries *
list_of(struct cache *c, struct slice address)
{
	return &c->by_address[siphash(c->secret, address) % SETS];
}

/* Whether there is anything of this user: most of the time there isn't, and
 * then the costly key needn't be made. */
static bool
knows(struct cache *c, uint64_t user)
{
	struct entry **set = set_of(c, user);

	for (int i = 0; i < WAYS; i++)
		if (set[i] != NULL && set[i]->user == user)
			return true;
	return false;
}

/* --- use ---------------------------------------------------------------- */

/* A success that the table's file alone decided, which is as it was. */
static bool
is_by_file(const struct cache *c, const struct entry *e, int64_t now)
{
	return e->watch != 0 && e->watch == c->watch &&
	    now - e->learned < CACHE_BY_FILE_MS;
}

static bool
is_fresh(const struct cache *c, const struct entry *e, bool outage, int64_t now)
{
	int64_t age = now - e->learned;

	if (e->doubted || ((e->by_app || e->password == 0) && !outage))
		return false;
	if (e->verdict == VERDICT_OK)
		return age < (outage ? c->times.outage_ms : c->times.good_ms) ||
		    (!outage && is_by_file(c, e, now));
	return !outage && age < c->times.bad_ms;
}

/* Whether it says something to this question. */
static bool
fits(const struct entry *e, const struct query *q)
{
	if (q->op == QUERY_CRAM)
		return cram_check_contexts(q->mechanism,
		    secret_slice(&e->account.extra), q->extra, q->password);
	return !e->by_rip || slice_eq(secret_slice(&e->rip), q->rip);
}

bool
cache_find(struct cache *c, const struct query *q, bool outage, int64_t now,
    struct answer *a)
{
	uint64_t user = user_key(c, q->user);
	struct entry **set = set_of(c, user);
	uint8_t key[KEY_LEN] = { 0 };

	MAGIC_CHECK(c, MAGIC);
	if (!is_cacheable(q) || !knows(c, user))
		return false;
	query_key(c, q, key);
	for (int i = 0; i < WAYS; i++) {
		const struct entry *e = set[i];

		if (e == NULL || e->user != user ||
		    memcmp(e->key, key, sizeof(key)) != 0 ||
		    !is_fresh(c, e, outage, now) || !fits(e, q))
			continue;
		*a = answer_of_account(&e->account);
		a->verdict = e->verdict;
		a->hearsay = outage;
		if (q->op == QUERY_LOGIN && a->verdict == VERDICT_OK)
			a->field[ACCOUNT_PASSWD2] = q->password;
		return true;
	}
	return false;
}

static struct entry **
entry_of(struct cache *c, uint64_t user, const uint8_t key[KEY_LEN])
{
	struct entry **set = set_of(c, user);

	for (int i = 0; i < WAYS; i++)
		if (set[i] != NULL && set[i]->user == user &&
		    memcmp(set[i]->key, key, KEY_LEN) == 0)
			return &set[i];
	return NULL;
}

/* Whether it may still say something: of keys, that they have changed. */
static bool
is_alive(const struct cache *c, const struct entry *e, int64_t now)
{
	int64_t good = c->times.good_ms > c->times.outage_ms
	    ? c->times.good_ms
	    : c->times.outage_ms;

	return now - e->learned <
	    (e->verdict == VERDICT_OK ? good : c->times.bad_ms) ||
	    is_by_file(c, e, now);
}

/* A free one, else one that says nothing any more, else the oldest. */
static struct entry **
place_for(struct cache *c, uint64_t user, int64_t now)
{
	struct entry **set = set_of(c, user), **oldest = &set[0];

	for (int i = 0; i < WAYS; i++)
		if (set[i] == NULL || !is_alive(c, set[i], now))
			return &set[i];
	for (int i = 1; i < WAYS; i++)
		if (set[i]->learned < (*oldest)->learned)
			oldest = &set[i];
	return oldest;
}

/* --- forgetting ---------------------------------------------------------- */

/* Whose entries: a name's, and those of its account whatever name it was found
 * by, unless the address is empty. */
struct whose {
	uint64_t user;
	struct slice address;
};

/* What the account's own password is said to be now. */
struct news {
	uint64_t user;
	uint64_t password; /* 0: one that isn't known here */
	int64_t since;	   /* this name is known with it since then */
	bool sure;	   /* and that was not in doubt */
	bool changed;	   /* that may be another one than before */
};

typedef bool goes_fn(struct entry *e, struct news *n);

/* Drop those that are said to go. */
static void
drop_some(struct cache *c, struct whose w, goes_fn *goes, struct news *n)
{
	struct entry **set = set_of(c, w.user), *e, *next;

	for (int i = 0; i < WAYS; i++)
		if (set[i] != NULL && set[i]->user == w.user && goes(set[i], n))
			drop(&set[i]);
	e = w.address.n != 0 ? LIST_FIRST(list_of(c, w.address)) : NULL;
	for (; e != NULL; e = next) {
		next = LIST_NEXT(e, by_address);
		if (!slice_eq(
			account_get(&e->account, ACCOUNT_ADDRESS), w.address) ||
		    !goes(e, n))
			continue;
		for (set = set_of(c, e->user); *set != e; set++)
			;
		drop(set);
	}
}

/* Whether it got in by the account's own password, and by which. */
static bool
is_own(const struct entry *e)
{
	return e->password != 0 && e->verdict == VERDICT_OK && !e->by_app;
}

/*
 * What another password got is over.  Under another name it may be of a row of
 * its own that gives the same address (SELECT_CLAUSE): that is known when each
 * was right again after the other.  Until then it is in doubt, as one that was
 * changed and changed back was right again, but what it was meanwhile wasn't.
 */
static bool
is_over(struct entry *e, struct news *n)
{
	if (!is_own(e) || e->password == n->password)
		return false;
	if (n->password == 0 || e->user == n->user) {
		n->changed = true;
		return true;
	}
	if (e->learned <= e->since || e->learned <= n->since ||
	    (!n->sure && e->since > n->since)) {
		n->changed = n->changed || !e->doubted || !n->sure;
		e->doubted = true;
	}
	return false;
}

static bool
is_of_keys(struct entry *e, struct news *n)
{
	(void)n;
	return e->password == 0;
}

static bool
is_any(struct entry *e, struct news *n)
{
	(void)e;
	(void)n;
	return true;
}

/* That a name has a password now, and what is known of that. */
static struct news
news_of(struct cache *c, uint64_t user, uint64_t password, int64_t now)
{
	struct news n = { .user = user, .password = password, .since = now };
	struct entry **set = set_of(c, user);

	for (int i = 0; i < WAYS; i++) {
		const struct entry *e = set[i];

		if (e == NULL || e->user != user || !is_own(e) ||
		    e->password != password)
			continue;
		n.sure = n.sure || !e->doubted;
		if (e->since < n.since)
			n.since = e->since;
	}
	return n;
}

/*
 * The account's own password is this one now: what another one got, and what
 * was made of another one, is over.  App passwords come and go beside it.
 * Since when it is known.
 */
static int64_t
drop_older(struct cache *c, struct whose w, uint64_t password, int64_t now)
{
	struct news n = news_of(c, w.user, password, now);

	drop_some(c, w, is_over, &n);
	if (n.changed && password != 0)
		drop_some(c, w, is_of_keys, &n);
	return n.since;
}

/* Keys for a mechanism: others than before are of another password. */
static bool
keys_changed(
    const struct entry *e, const struct query *q, const struct answer *a)
{
	return q->op != QUERY_LOGIN &&
	    !secret_eq(secret_slice(&e->account.extra), a->extra);
}

static void
fill(struct cache *c, struct entry *e, const struct query *q,
    const struct answer *a)
{
	account_init(&e->account);
	secret_set(&e->rip, q->rip);
	if (a->verdict != VERDICT_OK)
		return;
	e->account.uid = a->uid;
	e->account.gid = a->gid;
	for (enum account_field f = 0; f < ACCOUNT_N_FIELDS; f++)
		if (f != ACCOUNT_PASSWD2)
			account_set(&e->account, f, a->field[f]);
	if (q->op != QUERY_LOGIN)
		secret_set(&e->account.extra, a->extra);
	e->listed = a->field[ACCOUNT_ADDRESS].n != 0;
	if (e->listed)
		LIST_INSERT_HEAD(
		    list_of(c, a->field[ACCOUNT_ADDRESS]), e, by_address);
}

void
cache_learn(
    struct cache *c, const struct query *q, const struct answer *a, int64_t now)
{
	bool is_login = q->op == QUERY_LOGIN, by_app;
	uint32_t watch = is_login && a->by_file ? c->watch : 0;
	bool keeps_good =
	    c->times.good_ms != 0 || c->times.outage_ms != 0 || watch != 0;
	uint64_t user = user_key(c, q->user), password = 0;
	int64_t since = now;
	uint8_t key[KEY_LEN] = { 0 };
	const struct whose w = { user, a->field[ACCOUNT_ADDRESS] };
	struct slice label;
	struct entry **at, *e;

	MAGIC_CHECK(c, MAGIC);
	if (!is_cacheable(q) ||
	    (a->verdict != VERDICT_OK && a->verdict != VERDICT_REJECTED))
		return;
	if (!keeps_good &&
	    (!is_login || (a->verdict == VERDICT_OK && !knows(c, user))))
		return;
	query_key(c, q, key);
	at = entry_of(c, user, key);
	if (!is_login && a->verdict != VERDICT_OK) {
		/* Of CRAM it was the digest, of SCRAM there are no keys. */
		if (at != NULL && q->op == QUERY_SCRAM)
			drop(at);
		return;
	}
	if (a->verdict == VERDICT_OK && !keeps_good) {
		/* not kept; it may have been called wrong a moment ago */
		if (at != NULL)
			drop(at);
		return;
	}
	by_app = a->verdict == VERDICT_OK &&
	    answer_option(a, SLICE("apppassword"), &label);
	if (is_login)
		password = password_key(c, q->password);
	if (a->verdict == VERDICT_OK && is_login && !by_app)
		since = drop_older(c, w, password, now);
	else if (at != NULL && keys_changed(*at, q, a))
		(void)drop_older(c, w, 0, now);
	if (at == NULL)
		at = place_for(c, user, now);
	drop(at);
	*at = e = MEM_NEW(struct entry);
	*e = (struct entry){ .user = user,
		.password = password,
		.verdict = a->verdict,
		.learned = now,
		.since = since,
		.watch = watch,
		.by_rip = is_login && a->extra.n != 0,
		.by_app = by_app };
	memcpy(e->key, key, sizeof(key));
	fill(c, e, q, a);
}

void
cache_forget(struct cache *c, struct slice name, struct slice address)
{
	const struct whose w = { user_key(c, name), address };

	MAGIC_CHECK(c, MAGIC);
	drop_some(c, w, is_any, NULL);
}

bool
cache_sweep(struct cache *c, int64_t now)
{
	bool any = false;

	MAGIC_CHECK(c, MAGIC);
	for (size_t i = 0; i < CACHE_ENTRIES; i++) {
		if (c->entries[i] != NULL && !is_alive(c, c->entries[i], now))
			drop(&c->entries[i]);
		any = any || c->entries[i] != NULL;
	}
	return any;
}
