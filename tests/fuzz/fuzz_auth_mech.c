/*
 * Any bytes as the responses of a client to each mechanism.  The first byte
 * chooses it, a 0xff ends a response; the user table knows everybody, with
 * the keys of "pencil", or nobody.
 */
#include <stdlib.h>
#include <string.h>

#include "auth/cram.h"
#include "auth/mech.h"
#include "auth/passwd.h"
#include "auth/scram.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 8, END = 0xff };

/* Keys are made once: they take a millisecond. */
static struct slice
keys(struct slice name)
{
	static char text[SCRAM_N_HASHES][256];
	enum scram_hash h;

	if (!scram_hash_find(name, &h))
		return slice_of("", 0);
	if (text[h][0] == '\0') {
		struct scram_keys k = { .hash = h,
			.iterations = SCRAM_ITERATIONS,
			.salt_len = SCRAM_SALT_LEN };
		struct buf b;

		buf_init(&b, sizeof(text[h]) - 1);
		if (!scram_keys_make(&k, SLICE("pencil")))
			abort();
		scram_keys_put(&k, &b);
		memcpy(text[h], buf_slice(&b).p, buf_len(&b));
		buf_fini(&b);
	}
	return slice_str(text[h]);
}

static enum mech_next
answer(struct mech_state *st, bool known)
{
	struct answer a = { .verdict = known ? VERDICT_OK : VERDICT_REJECTED,
		.uid = 1000,
		.gid = 1000 };

	if (!user_name_ok(secret_slice(&st->user)))
		abort();
	if (st->op == QUERY_LOGIN &&
	    slice_has(secret_slice(&st->password), '\0'))
		abort();
	if (st->mech->answered == NULL)
		return known ? MECH_ACCEPT : MECH_REJECT;
	a.extra = keys(st->mech->hash);
	return st->mech->answered(st, &a);
}

/* One exchange; nobody gets in by SCRAM without the password. */
static void
exchange(const struct mech *m, struct slice in, bool known)
{
	struct mech_state st;
	enum mech_next next = MECH_CHALLENGE;

	mech_state_init(&st, m);
	secret_set(&st.tls_exporter, SLICE("EKM"));
	for (int i = 0; i < STEPS_MAX && next == MECH_CHALLENGE; i++) {
		struct slice response;
		bool there = slice_split(&in, END, &response);

		if (!there && i != 0)
			break;
		buf_reset(&st.challenge);
		next = m->step(&st, there ? &response : NULL);
		if (next == MECH_ASK)
			next = answer(&st, known);
		if (!buf_ok(&st.challenge))
			abort();
	}
	if (next == MECH_ACCEPT && m->answered != NULL)
		abort();
	mech_state_fini(&st);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	const struct mech *const *all;
	struct scram_keys k;
	size_t n;

	if (size == 0)
		return 0;
	all = mech_all(&n);
	exchange(all[data[0] % n], slice_skip(in, 1), (data[0] & 0x80) != 0);
	/* What stands in a user table isn't ours either. */
	if (scram_keys_parse(in, SCRAM_SHA256, &k) &&
	    k.iterations > SCRAM_ITERATIONS_MAX)
		abort();
	(void)!cram_check_contexts(
	    SLICE("md5"), slice_skip(in, 1), SLICE("<c>"), SLICE("00"));
	(void)!passwd_is_slow(in);
	return 0;
}
