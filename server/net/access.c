/*
 * Rules are sorted by the number of bits, most first, then by address, so the
 * most specific rule is found by one binary search for each number of bits
 * that occurs.
 */
#include "config.h"

#include "server/net/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/ascii.h"
#include "base/mem.h"
#include "base/num.h"

enum { ACCESS_MAGIC = 0x61636365 };

struct rules {
	struct access_rule *v;
	size_t n;
	size_t cap;
};

struct access {
	uint32_t magic;
	bool sealed;
	struct arena mem;
	struct rules remote;
	struct rules local;
	/* where the rules of each number of bits begin in remote */
	size_t first[ADDR_BITS + 2];
};

struct access *
access_new(void)
{
	struct access *a = MEM_NEW(struct access);

	a->magic = ACCESS_MAGIC;
	arena_init(&a->mem, 0);
	return a;
}

void
access_free(struct access **ap)
{
	struct access *a = *ap;

	if (a == NULL)
		return;
	MAGIC_CHECK(a, ACCESS_MAGIC);
	free(a->remote.v);
	free(a->local.v);
	arena_fini(&a->mem);
	a->magic = 0;
	free(a);
	*ap = NULL;
}

/* --- addresses ----------------------------------------------------------- */

/* 10, 192.168, 192.168.0: one to three octets. */
static bool
parse_octets(struct slice s, struct addr_net *net)
{
	uint8_t b[4] = { 0 };
	struct slice piece;
	unsigned n = 0;
	uint32_t v;

	while (slice_split(&s, '.', &piece)) {
		if (n == 3 || !num_u32(piece, &v) || v > 255)
			return false;
		b[n++] = (uint8_t)v;
	}
	if (n == 0)
		return false;
	net->addr = addr_of_v4(b);
	net->bits = ADDR_V4_BITS + 8 * n;
	return true;
}

/* :2001:0db8, up to eight words of exactly four digits. */
static bool
parse_words(struct slice s, struct addr_net *net)
{
	uint8_t b[16] = { 0 };
	struct slice piece;
	unsigned n = 0;
	uint64_t v;

	s = slice_skip(s, 1);
	while (slice_split(&s, ':', &piece)) {
		if (n == 8 || piece.n != 4 || !num_hex64(piece, &v))
			return false;
		b[2 * n] = (uint8_t)(v >> 8);
		b[2 * n + 1] = (uint8_t)v;
		n++;
	}
	if (n == 0)
		return false;
	net->addr = addr_of_v6(b);
	net->bits = 16 * n;
	return true;
}

/* Leading octets with their bits: 10.1/16, as makedat -cidr takes them. */
static bool
parse_short_cidr(struct slice s, struct addr_net *net)
{
	size_t slash = slice_find(s, '/');
	uint32_t bits;

	if (slash == s.n || !parse_octets(slice_first(s, slash), net) ||
	    !num_u32(slice_skip(s, slash + 1), &bits) || bits > 32)
		return false;
	*net = addr_net_of(&net->addr, ADDR_V4_BITS + bits);
	return true;
}

/* The last dot ends an address: what is behind it is a port. */
static bool
parse_local(struct slice s, struct access_rule *r)
{
	size_t dot = slice_rfind(s, '.');
	struct slice host = slice_first(s, dot);
	uint32_t port;

	if (dot == s.n || !num_u32(slice_skip(s, dot + 1), &port) ||
	    port == 0 || port > 65535)
		return false;
	r->port = (uint16_t)port;
	if (slice_eq(host, SLICE("*"))) {
		r->net = (struct addr_net){ .bits = 0 };
		return true;
	}
	if (host.n != 0 && host.p[0] == ':' && parse_words(host, &r->net))
		return r->net.bits == ADDR_BITS;
	return !slice_has(host, '/') && addr_net_parse(&r->net, host);
}

static bool
parse_where(struct slice s, struct access_rule *r)
{
	struct addr_net *net = &r->net;

	if (slice_eq(s, SLICE("*"))) {
		*net = (struct addr_net){ .bits = 0 };
		return true;
	}
	if (s.n > 1 && s.p[0] == ':' && s.p[1] != ':')
		return parse_words(s, net) || parse_local(s, r);
	return addr_net_parse(net, s) || parse_octets(s, net) ||
	    parse_short_cidr(s, net) || parse_local(s, r);
}

/* --- lines --------------------------------------------------------------- */

static bool
find_var(struct slice vars, struct slice name, struct slice *value)
{
	struct slice piece;

	while (slice_split(&vars, ',', &piece)) {
		size_t eq = slice_find(piece, '=');

		if (eq < piece.n && slice_eq(slice_first(piece, eq), name)) {
			*value = slice_skip(piece, eq + 1);
			return true;
		}
	}
	return false;
}

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (ascii_is_control(s.p[i]))
			return true;
	}
	return false;
}

/* "deny", "allow" or "allow,NAME=value,…". */
static const char *
parse_what(struct access *a, struct slice s, struct access_rule *r)
{
	struct slice allow = SLICE("allow");
	struct slice value;

	r->vars = "";
	if (slice_eq(s, SLICE("deny"))) {
		r->deny = true;
		return NULL;
	}
	if (!slice_starts(s, allow) || (s.n > allow.n && s.p[allow.n] != ','))
		return "expected deny, allow or allow,NAME=value,...";
	s = slice_skip(s, allow.n + 1);
	if (s.n > ACCESS_VARS_MAX || has_control(s))
		return "expected at most 1000 printable bytes after allow,";
	if (find_var(s, SLICE("MAXCPERIP"), &value) &&
	    !num_u32(value, &r->max_per_address))
		return "expected a number after MAXCPERIP=";
	if (s.n != 0)
		r->vars = (const char *)arena_dup(&a->mem, s).p;
	return NULL;
}

static void
append(struct rules *rules, const struct access_rule *r)
{
	if (rules->n == rules->cap) {
		rules->cap = rules->cap != 0 ? rules->cap * 2 : 64;
		rules->v = mem_realloc(rules->v, rules->cap, sizeof(*rules->v));
	}
	rules->v[rules->n++] = *r;
}

struct lines {
	struct access *a;
	const struct access_reader *reader;
	const char *file;
	int number;
};

static void
tell(const struct lines *l, bool left_out, const char *text)
{
	const struct access_reader *r = l->reader;

	if (r != NULL && r->report != NULL)
		r->report(r->arg, l->file, l->number, left_out, text);
}

/* Each NAME=value of the line; NULL, or why the line can't count. */
static const char *
check_vars(const struct lines *l, struct slice vars)
{
	struct slice piece;

	if (l->reader == NULL || l->reader->check == NULL)
		return NULL;
	while (slice_split(&vars, ',', &piece)) {
		size_t eq = slice_find(piece, '=');
		bool bad = false;
		const char *wrong;

		if (slice_eq(slice_first(piece, eq), SLICE("MAXCPERIP")))
			continue;
		wrong = l->reader->check(l->reader->arg, slice_first(piece, eq),
		    slice_skip(piece, eq + 1), &bad);
		if (wrong != NULL && bad)
			/* cppcheck-suppress returnDanglingLifetime; a text */
			return wrong;
		if (wrong != NULL)
			tell(l, false, wrong);
	}
	return NULL;
}

/* NULL, or what is wrong with the line. */
static const char *
add_line(const struct lines *l, struct slice line)
{
	struct access *a = l->a;
	struct access_rule r = { .port = 0 };
	struct slice what;
	const char *wrong;
	size_t n = 0;

	while (n < line.n && line.p[n] != '\t' && line.p[n] != ' ')
		n++;
	what = slice_trim(slice_skip(line, n));
	if (!parse_where(slice_first(line, n), &r))
		return "expected an address, a network, leading octets or *";
	wrong = parse_what(a, what, &r);
	if (wrong == NULL)
		wrong = check_vars(l, slice_str(r.vars));
	if (wrong != NULL)
		return wrong;
	if (a->remote.n + a->local.n >= ACCESS_RULES_MAX)
		return "expected at most 200000 rules";
	append(r.port != 0 ? &a->local : &a->remote, &r);
	return NULL;
}

void
access_add_text(struct access *a, const char *file, struct slice text,
    const struct access_reader *reader)
{
	struct lines l = { .a = a, .reader = reader, .file = file };
	struct slice line;

	MAGIC_CHECK(a, ACCESS_MAGIC);
	assert(!a->sealed);
	while (slice_split(&text, '\n', &line)) {
		const char *wrong;

		l.number++;
		line = slice_trim(line);
		if (line.n == 0 || line.p[0] == '#')
			continue;
		wrong = add_line(&l, line);
		if (wrong != NULL)
			tell(&l, true, wrong);
	}
}

/* --- order --------------------------------------------------------------- */

static int
compare(const void *pa, const void *pb)
{
	const struct access_rule *a = pa;
	const struct access_rule *b = pb;

	if (a->net.bits != b->net.bits)
		return a->net.bits > b->net.bits ? -1 : 1;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return memcmp(a->net.addr.b, b->net.addr.b, sizeof(a->net.addr.b));
}

/*
 * Sort, keeping the last of equal ones: a merge sort from below, as qsort()
 * doesn't keep the order of equals.
 */
static void
sort(struct rules *rules)
{
	struct access_rule *from = rules->v;
	struct access_rule *to = mem_zalloc(rules->n + 1, sizeof(*to));
	size_t n = rules->n;

	for (size_t width = 1; width < n; width *= 2) {
		struct access_rule *swap = from;

		for (size_t lo = 0; lo < n; lo += 2 * width) {
			size_t mid = lo + width < n ? lo + width : n;
			size_t hi = lo + 2 * width < n ? lo + 2 * width : n;
			size_t i = lo;
			size_t j = mid;

			for (size_t k = lo; k < hi; k++) {
				if (i < mid &&
				    (j >= hi ||
					compare(&from[i], &from[j]) <= 0))
					to[k] = from[i++];
				else
					to[k] = from[j++];
			}
		}
		from = to;
		to = swap;
	}
	rules->v = from;
	rules->cap = n;
	free(to);
}

static void
drop_doubles(struct rules *rules)
{
	size_t kept = 0;

	for (size_t i = 0; i < rules->n; i++) {
		if (kept != 0 &&
		    compare(&rules->v[kept - 1], &rules->v[i]) == 0)
			kept--;
		rules->v[kept++] = rules->v[i];
	}
	rules->n = kept;
}

void
access_seal(struct access *a)
{
	MAGIC_CHECK(a, ACCESS_MAGIC);
	assert(!a->sealed);
	a->sealed = true;
	sort(&a->remote);
	drop_doubles(&a->remote);
	sort(&a->local);
	drop_doubles(&a->local);
	/* first[i] to first[i + 1]: the rules of ADDR_BITS - i bits */
	for (unsigned i = 0; i <= ADDR_BITS; i++) {
		size_t at = a->first[i];

		while (at < a->remote.n &&
		    a->remote.v[at].net.bits == ADDR_BITS - i)
			at++;
		a->first[i + 1] = at;
	}
}

/* --- questions ----------------------------------------------------------- */

static const struct access_rule *
search(const struct rules *rules, size_t lo, size_t hi,
    const struct access_rule *want)
{
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int order = compare(&rules->v[mid], want);

		if (order == 0)
			return &rules->v[mid];
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct access_rule *
access_find(const struct access *a, const struct addr *client)
{
	MAGIC_CHECK(a, ACCESS_MAGIC);
	assert(a->sealed);
	for (unsigned i = 0; i <= ADDR_BITS; i++) {
		struct access_rule want = { .port = 0 };
		const struct access_rule *found;

		if (a->first[i] == a->first[i + 1])
			continue;
		want.net = addr_net_of(client, ADDR_BITS - i);
		found = search(&a->remote, a->first[i], a->first[i + 1], &want);
		if (found != NULL)
			return found;
	}
	return NULL;
}

const struct access_rule *
access_find_local(
    const struct access *a, const struct addr *local, uint16_t port)
{
	struct access_rule want = { .port = port };
	const struct access_rule *found;

	MAGIC_CHECK(a, ACCESS_MAGIC);
	assert(a->sealed);
	want.net = addr_net_of(local, ADDR_BITS);
	found = search(&a->local, 0, a->local.n, &want);
	if (found == NULL) {
		want.net = (struct addr_net){ .bits = 0 };
		found = search(&a->local, 0, a->local.n, &want);
	}
	return found;
}

bool
access_var(const struct access_rule *r, const char *name, struct slice *value)
{
	return find_var(slice_str(r->vars), slice_str(name), value);
}

size_t
access_count(const struct access *a)
{
	MAGIC_CHECK(a, ACCESS_MAGIC);
	return a->remote.n + a->local.n;
}
