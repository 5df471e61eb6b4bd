/*
 * Any bytes as the responses of a client to each mechanism.  The first line
 * names it (anything else stands for one of them), behind a '!' if the user
 * table knows nobody, a '?' if it is away and what it said is hearsay; else it
 * knows everybody, with the keys of "pencil".  A 0xff ends a response, a 0xfe
 * stands for the nonce that the server has sent, which nobody could guess.
 */
#include <stdlib.h>
#include <string.h>

#include "auth/cram.h"
#include "auth/mech.h"
#include "auth/passwd.h"
#include "auth/scram.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 8, END = 0xff, NONCE = 0xfe, RESPONSE_MAX = 16384 };

enum table { KNOWS_ALL, KNOWS_NOBODY, IS_AWAY };

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
answer(struct mech_state *st, enum table table)
{
	struct answer a = { .verdict = table == KNOWS_NOBODY ? VERDICT_REJECTED
							     : VERDICT_OK,
		.uid = 1000,
		.gid = 1000,
		.hearsay = table == IS_AWAY };

	if (!user_name_ok(secret_slice(&st->user)))
		abort();
	if (st->op == QUERY_LOGIN &&
	    slice_has(secret_slice(&st->password), '\0'))
		abort();
	if (st->mech->answered == NULL)
		return table == KNOWS_NOBODY ? MECH_REJECT : MECH_ACCEPT;
	a.extra = keys(st->mech->hash);
	return st->mech->answered(st, &a);
}

/* The server's nonce in "r=NONCE,s=…". */
static struct slice
nonce_of(const struct buf *challenge)
{
	struct slice s = buf_slice(challenge);

	return slice_starts(s, SLICE("r="))
	    ? slice_skip(slice_first(s, slice_find(s, ',')), 2)
	    : slice_of("", 0);
}

static void
put_response(struct buf *out, struct slice text, struct slice nonce)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == NONCE)
			buf_put(out, nonce);
		else
			buf_putc(out, text.p[i]);
}

static enum mech_next
respond(struct mech_state *st, const struct slice *text)
{
	enum mech_next next;
	struct slice whole;
	struct buf response;

	buf_init(&response, RESPONSE_MAX);
	if (text != NULL)
		put_response(&response, *text, nonce_of(&st->challenge));
	whole = buf_slice(&response);
	if (whole.p == NULL)
		whole = slice_of("", 0);
	buf_reset(&st->challenge);
	next = st->mech->step(st, text != NULL ? &whole : NULL);
	buf_fini(&response);
	return next;
}

/* One exchange; nobody gets in by SCRAM without the password, and hearsay
 * refuses nobody who is known by it. */
static void
exchange(const struct mech *m, struct slice in, enum table table)
{
	struct mech_state st;
	enum mech_next next = MECH_CHALLENGE;

	mech_state_init(&st, m);
	if (table != KNOWS_NOBODY) /* which has no TLS */
		secret_set(&st.tls_exporter, SLICE("EKM"));
	if (table == IS_AWAY)
		secret_set(&st.tls_server_end_point, SLICE("END"));
	secret_set(&st.certified, SLICE("joe"));
	for (int i = 0; i < STEPS_MAX && next == MECH_CHALLENGE; i++) {
		struct slice response;
		bool there = slice_split(&in, END, &response);

		if (!there && i != 0)
			break;
		next = respond(&st, there ? &response : NULL);
		if (next == MECH_ASK)
			next = answer(&st, table);
		if (!buf_ok(&st.challenge))
			abort();
	}
	if (next == MECH_ACCEPT && m->answered != NULL)
		abort();
	if (next == MECH_UNSURE && table != IS_AWAY)
		abort();
	mech_state_fini(&st);
}

/* Contexts stand for the password: both say the same of a digest. */
static void
check_cram(struct slice in)
{
	static const char *const hashes[] = { "md5", "sha1", "sha256" };
	struct slice password, digest = in;
	const bool there = slice_split(&digest, END, &password);

	for (size_t i = 0; i < NELEMS(hashes) && there; i++) {
		struct slice hash = slice_str(hashes[i]);
		struct buf contexts;
		bool good;

		buf_init(&contexts, 2 * CRAM_CONTEXTS_MAX);
		good = cram_check(hash, password, SLICE("<c>"), digest);
		if (cram_make_contexts(hash, password, &contexts) &&
		    cram_check_contexts(hash, buf_slice(&contexts),
			SLICE("<c>"), digest) != good)
			abort();
		buf_fini(&contexts);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size), rest = in, name;
	enum table table = KNOWS_ALL;
	const struct mech *const *all;
	const struct mech *mech;
	struct scram_keys k;
	size_t n;

	if (size == 0)
		return 0;
	all = mech_all(&n);
	(void)slice_split(&rest, '\n', &name);
	if (data[0] == '!' || data[0] == '?') {
		table = data[0] == '!' ? KNOWS_NOBODY : IS_AWAY;
		name = slice_skip(name, 1);
	}
	mech = mech_find(name);
	exchange(mech != NULL ? mech : all[data[0] % n], rest, table);
	check_cram(rest);
	/* What stands in a user table isn't ours either. */
	if (scram_keys_parse(in, SCRAM_SHA256, &k) &&
	    k.iterations > SCRAM_ITERATIONS_MAX)
		abort();
	(void)!cram_check_contexts(
	    SLICE("md5"), slice_skip(in, 1), SLICE("<c>"), SLICE("00"));
	(void)!passwd_is_slow(in);
	return 0;
}
