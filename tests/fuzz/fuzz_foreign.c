/*
 * The files of Courier and Dovecot beside a Maildir.  The first byte chooses
 * the format; what comes out must keep what the header promises.
 */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/utf7.h"
#include "maildir/acl.h"
#include "maildir/foreign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_uids(struct foreign_uids *u)
{
	uint32_t last = 0;

	assert(u->uidvalidity != 0 && u->uidnext != 0);
	for (size_t i = 0; i < u->n; i++) {
		struct slice base = u->v[i].base;

		assert(u->v[i].uid > last && u->v[i].uid < u->uidnext);
		last = u->v[i].uid;
		assert(base.n > 0 && base.n <= 255 && !slice_has(base, '/') &&
		    !slice_has(base, '\0') && base.p[0] != '.');
	}
}

static void
run_uids(struct slice bytes, bool dovecot)
{
	struct foreign_uids u;
	struct buf id;

	if (!(dovecot ? dovecot_uids_parse(bytes, &u)
		      : courier_uids_parse(bytes, &u)))
		return;
	check_uids(&u);
	buf_init(&id, 4096);
	for (size_t i = 0; i < u.n && i < 100; i++) {
		uint32_t n, validity;

		buf_reset(&id);
		if (dovecot_uidl_format(
			&id, u.uidl_format, &u.v[i], u.uidvalidity))
			assert(buf_len(&id) >= 1 && buf_len(&id) <= 255);
		(void)!courier_uidl_parse(buf_slice(&id), &n, &validity);
	}
	buf_fini(&id);
	foreign_uids_fini(&u);
}

static void
run_keywords(struct slice bytes)
{
	struct foreign_keywords k;

	foreign_keywords_init(&k);
	courier_keywords_parse(bytes, &k);
	assert(k.n_names <= FOREIGN_KEYWORDS_MAX);
	for (size_t i = 0; i < k.n; i++) {
		assert(k.v[i].at + k.v[i].n <= k.n_indexes);
		for (size_t j = 0; j < k.v[i].n; j++)
			assert(k.indexes[k.v[i].at + j] < k.n_names);
	}
	foreign_keywords_fini(&k);
}

static void
run_sizelist(struct slice bytes)
{
	struct foreign_sizelist l;

	if (!courier_sizelist_parse(bytes, &l))
		return;
	assert(l.version <= 3);
	for (size_t i = 0; i < l.n; i++)
		assert(l.v[i].base.n > 0 && !slice_has(l.v[i].base, '/'));
	foreign_sizelist_fini(&l);
}

static void
run_dovecot_keywords(struct slice bytes)
{
	struct slice names[DOVECOT_LETTERS];
	bool too_many;

	dovecot_keywords_parse(bytes, names, &too_many);
	for (unsigned i = 0; i < DOVECOT_LETTERS; i++)
		assert(names[i].n <= FOREIGN_KEYWORD_BYTES);
}

static void
run_subscriptions(struct slice bytes)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	dovecot_subscriptions_parse(bytes, &out);
	assert(!buf_ok(&out) || buf_len(&out) == 0 ||
	    buf_slice(&out).p[buf_len(&out) - 1] == '\n');
	buf_fini(&out);
}

static void
run_format(struct slice bytes)
{
	const struct foreign_uid u = { .uid = 4711,
		.base = SLICE_INIT("17.M1.host"),
		.guid = SLICE_INIT("abc") };
	struct buf id;

	buf_init(&id, 4096);
	if (dovecot_uidl_format(&id, bytes, &u, 123456789))
		assert(buf_len(&id) >= 1 && buf_len(&id) <= 255);
	buf_fini(&id);
}

static void
run_acl(struct slice bytes)
{
	struct acl a, again;
	struct buf out, twice;

	acl_init(&a);
	acl_init(&again);
	acl_parse(bytes, &a);
	buf_init(&out, 1 << 22);
	buf_init(&twice, 1 << 22);
	acl_put(&out, &a);
	acl_parse(buf_slice(&out), &again);
	acl_put(&twice, &again);
	assert(slice_eq(buf_slice(&out), buf_slice(&twice)));
	buf_fini(&out);
	buf_fini(&twice);
	acl_fini(&a);
	acl_fini(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest;

	if (size == 0)
		return 0;
	rest = slice_of(data + 1, size - 1);
	switch (data[0] % 8) {
	case 0:
		run_uids(rest, false);
		break;
	case 1:
		run_uids(rest, true);
		break;
	case 2:
		run_keywords(rest);
		break;
	case 3:
		run_sizelist(rest);
		break;
	case 4:
		run_dovecot_keywords(rest);
		break;
	case 5:
		run_subscriptions(rest);
		break;
	case 6:
		run_format(rest);
		break;
	default:
		run_acl(rest);
		break;
	}
	return 0;
}
