/* SCRAM and CRAM against the examples of their RFCs, and whole exchanges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "auth/cram.h"
#include "auth/mech.h"
#include "auth/passwd.h"
#include "auth/scram.h"
#include "base/base64.h"

static const struct vector {
	enum scram_hash hash;
	const char *salt, *client_first, *server_first, *client_final,
	    *signature;
} vectors[] = {
	/* RFC 5802 5 */
	{ SCRAM_SHA1, "QSXCR+Q6sek8bf92",
	    "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
	    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
	    "s=QSXCR+Q6sek8bf92,i=4096",
	    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
	    "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
	    "rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	/* RFC 7677 3 */
	{ SCRAM_SHA256,
	    "W22ZaJ0SNY7soEsUEjb6gQ==", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
	    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	    "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

static void
keys_of(const struct vector *v, const char *password, struct scram_keys *k)
{
	struct buf salt;

	*k = (struct scram_keys){ .hash = v->hash, .iterations = 4096 };
	buf_init(&salt, SCRAM_SALT_MAX);
	assert_true(base64_decode(slice_str(v->salt), &salt));
	k->salt_len = buf_len(&salt);
	memcpy(k->salt, buf_slice(&salt).p, k->salt_len);
	buf_fini(&salt);
	assert_true(scram_keys_make(k, slice_str(password)));
}

static bool
check(const struct vector *v, const struct scram_keys *k, struct buf *signature)
{
	struct scram_client_first first;
	struct scram_client_final last;
	struct buf message;
	bool ok;

	assert_true(
	    scram_parse_client_first(slice_str(v->client_first), &first));
	assert_true(slice_eq(first.user, SLICE("user")));
	assert_int_equal(first.binding, SCRAM_NO_BINDING);
	assert_true(slice_eq(first.gs2_header, SLICE("n,,")));
	assert_true(
	    scram_parse_client_final(slice_str(v->client_final), &last));
	assert_true(slice_eq(last.binding, SLICE("biws")));
	buf_init(&message, 1000);
	buf_put(&message, first.bare);
	buf_putc(&message, ',');
	buf_puts(&message, v->server_first);
	buf_putc(&message, ',');
	buf_put(&message, last.without_proof);
	ok = scram_check_proof(k, buf_slice(&message), last.proof, signature);
	buf_fini(&message);
	return ok;
}

static void
test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(vectors); i++) {
		struct scram_keys k;
		struct buf raw, text;

		buf_init(&raw, SCRAM_KEY_MAX);
		buf_init(&text, 100);
		keys_of(&vectors[i], "pencil", &k);
		assert_true(check(&vectors[i], &k, &raw));
		base64_encode(buf_slice(&raw), &text);
		assert_string_equal(buf_cstr(&text), vectors[i].signature);
		keys_of(&vectors[i], "Pencil", &k);
		assert_false(check(&vectors[i], &k, &raw));
		buf_fini(&raw);
		buf_fini(&text);
	}
}

static void
test_stored_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(vectors); i++) {
		struct scram_keys k, again;
		struct buf text, column;

		keys_of(&vectors[i], "pencil", &k);
		buf_init(&text, 1000);
		buf_init(&column, 1000);
		scram_keys_put(&k, &text);
		assert_true(scram_keys_parse(
		    buf_slice(&text), vectors[i].hash, &again));
		assert_memory_equal(&k, &again, sizeof(k));
		for (size_t n = 0; n < buf_len(&text); n++)
			assert_false(
			    scram_keys_parse(slice_first(buf_slice(&text), n),
				vectors[i].hash, &again));
		buf_putc(&column, '{');
		buf_put(&column, scram_hash_name(vectors[i].hash));
		buf_putc(&column, '}');
		buf_put(&column, buf_slice(&text));
		assert_true(passwd_scram_keys(
		    buf_slice(&column), vectors[i].hash, &again));
		assert_false(passwd_scram_keys(
		    buf_slice(&column), 1 - vectors[i].hash, &again));
		assert_true(
		    passwd_check_crypt(buf_slice(&column), SLICE("pencil")));
		assert_false(
		    passwd_check_crypt(buf_slice(&column), SLICE("pencils")));
		buf_fini(&text);
		buf_fini(&column);
	}
}

static void
test_bad_messages(void **state)
{
	static const char *const firsts[] = { "", "n", "n,", "n,,",
		"n,,n=", "n,,n=,r=x", "n,,n=u", "n,,n=u,",
		"n,,n=u,r=", "n,,r=x,n=u", "x,,n=u,r=x", "p=,,n=u,r=x",
		"n,a=,n=u,r=x", "n,b=x,n=u,r=x", "n,,m=ext,n=u,r=x",
		"n,,n=u,r=a b", "n,,n=u,r=\x7f" };
	static const char *const finals[] = { "", "c=biws", "c=biws,r=x",
		"c=biws,p=x", "r=x,c=biws,p=x", "c=biws,r=x,p",
		"c=biws,r=x,q=x", "c=biws,r=x,p=x,e=x" };
	struct scram_client_first first;
	struct scram_client_final last;

	(void)state;
	for (size_t i = 0; i < NELEMS(firsts); i++)
		if (scram_parse_client_first(slice_str(firsts[i]), &first))
			fail_msg("taken: %s", firsts[i]);
	for (size_t i = 0; i < NELEMS(finals); i++)
		if (scram_parse_client_final(slice_str(finals[i]), &last))
			fail_msg("taken: %s", finals[i]);
}

static void
test_saslname(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	assert_true(scram_put_saslname(SLICE("a=2Cb=3Dc"), &out));
	assert_string_equal(buf_cstr(&out), "a,b=c");
	assert_false(scram_put_saslname(SLICE("a=2"), &out));
	assert_false(scram_put_saslname(SLICE("a=41"), &out));
	assert_false(scram_put_saslname(SLICE("="), &out));
	buf_fini(&out);
}

/* --- whole exchanges ---------------------------------------------------- */

struct exchange {
	const struct mech *mech;
	const char *exporter; /* what the server's side of the TLS has */
	const char *header;   /* gs2, of the client */
	const char *binding;  /* what the client takes for the exporter */
	const char *password; /* the client's */
	enum verdict verdict;
	enum mech_next first, last;
};

/* clang-format off */
static const struct exchange exchanges[] = {
	{ &mech_scram_sha256, NULL, "n,,", "", "pencil", VERDICT_OK,
	  MECH_ASK, MECH_ACCEPT },
	{ &mech_scram_sha1, NULL, "n,,", "", "pencil", VERDICT_OK,
	  MECH_ASK, MECH_ACCEPT },
	{ &mech_scram_sha256, NULL, "y,,", "", "pencil", VERDICT_OK,
	  MECH_ASK, MECH_ACCEPT },
	{ &mech_scram_sha256, NULL, "n,a=user,", "", "pencil", VERDICT_OK,
	  MECH_ASK, MECH_ACCEPT },
	{ &mech_scram_sha256, NULL, "n,,", "", "wrong", VERDICT_OK,
	  MECH_ASK, MECH_REJECT },
	/* The right password of a user who isn't there. */
	{ &mech_scram_sha256, NULL, "n,,", "", "pencil", VERDICT_REJECTED,
	  MECH_ASK, MECH_REJECT },
	{ &mech_scram_sha256_plus, "EKM", "p=tls-exporter,,", "EKM", "pencil",
	  VERDICT_OK, MECH_ASK, MECH_ACCEPT },
	{ &mech_scram_sha1_plus, "EKM", "p=tls-exporter,,", "EKM", "pencil",
	  VERDICT_OK, MECH_ASK, MECH_ACCEPT },
	/* Somebody in between has two connections. */
	{ &mech_scram_sha256_plus, "EKM", "p=tls-exporter,,", "MITM",
	  "pencil", VERDICT_OK, MECH_ASK, MECH_REJECT },
	/* Somebody in between took -PLUS away. */
	{ &mech_scram_sha256, "EKM", "y,,", "", "pencil", VERDICT_OK,
	  MECH_REJECT, MECH_REJECT },
	{ &mech_scram_sha256, "EKM", "n,,", "", "pencil", VERDICT_OK,
	  MECH_ASK, MECH_ACCEPT },
	{ &mech_scram_sha256, "EKM", "p=tls-exporter,,", "EKM", "pencil",
	  VERDICT_OK, MECH_REJECT, MECH_REJECT },
	{ &mech_scram_sha256_plus, "EKM", "n,,", "", "pencil", VERDICT_OK,
	  MECH_REJECT, MECH_REJECT },
	{ &mech_scram_sha256_plus, NULL, "p=tls-exporter,,", "EKM", "pencil",
	  VERDICT_OK, MECH_REJECT, MECH_REJECT },
	{ &mech_scram_sha256_plus, "EKM", "p=tls-unique,,", "EKM", "pencil",
	  VERDICT_OK, MECH_REJECT, MECH_REJECT },
	{ &mech_scram_sha256, NULL, "n,a=other,", "", "pencil", VERDICT_OK,
	  MECH_REJECT_AUTHZ, MECH_REJECT },
};
/* clang-format on */

static struct slice
attribute(struct slice message, char letter)
{
	struct slice piece;

	while (slice_split(&message, ',', &piece))
		if (piece.n >= 2 && piece.p[0] == (uint8_t)letter)
			return slice_skip(piece, 2);
	fail_msg("no %c=", letter);
	return piece;
}

/* ClientProof = ClientKey XOR HMAC(StoredKey, AuthMessage), in base64. */
static void
client_proof(enum scram_hash h, struct slice password, struct slice salt,
    struct slice auth_message, struct buf *out)
{
	const EVP_MD *md = h == SCRAM_SHA1 ? EVP_sha1() : EVP_sha256();
	uint8_t salted[32], client[32], stored[32], signature[32];
	int n = EVP_MD_get_size(md);

	assert_int_equal(
	    PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, salt.p,
		(int)salt.n, SCRAM_ITERATIONS, md, n, salted),
	    1);
	assert_non_null(HMAC(
	    md, salted, n, (const uint8_t *)"Client Key", 10, client, NULL));
	assert_int_equal(
	    EVP_Digest(client, (size_t)n, stored, NULL, md, NULL), 1);
	assert_non_null(HMAC(
	    md, stored, n, auth_message.p, auth_message.n, signature, NULL));
	for (int i = 0; i < n; i++)
		client[i] ^= signature[i];
	base64_encode(slice_of(client, (size_t)n), out);
}

/* The client's last message. */
static void
put_client_final(
    const struct exchange *x, struct slice server_first, struct buf *out)
{
	struct buf message, gs2, salt;

	buf_init(&message, 4096);
	buf_init(&gs2, 4096);
	buf_init(&salt, SCRAM_SALT_MAX);
	buf_puts(out, "c=");
	buf_puts(&gs2, x->header);
	buf_puts(&gs2, x->binding);
	base64_encode(buf_slice(&gs2), out);
	buf_puts(out, ",r=");
	buf_put(out, attribute(server_first, 'r'));
	buf_puts(&message, "n=user,r=abc,");
	buf_put(&message, server_first);
	buf_putc(&message, ',');
	buf_put(&message, buf_slice(out));
	assert_true(base64_decode(attribute(server_first, 's'), &salt));
	buf_puts(out, ",p=");
	client_proof(slice_starts(x->mech->name, SLICE("SCRAM-SHA-1-"))
		? SCRAM_SHA1
		: slice_eq(x->mech->name, SLICE("SCRAM-SHA-1")) ? SCRAM_SHA1
								: SCRAM_SHA256,
	    slice_str(x->password), buf_slice(&salt), buf_slice(&message), out);
	buf_fini(&message);
	buf_fini(&gs2);
	buf_fini(&salt);
}

/* The helper's answer: keys of "pencil". */
static enum mech_next
answer(struct mech_state *st, const struct exchange *x)
{
	struct scram_keys k = { .iterations = SCRAM_ITERATIONS,
		.salt_len = SCRAM_SALT_LEN };
	struct answer a = { .verdict = x->verdict, .uid = 5000, .gid = 5000 };
	enum mech_next next;
	struct buf text;

	assert_true(scram_hash_find(st->mech->hash, &k.hash));
	assert_true(scram_keys_make(&k, SLICE("pencil")));
	buf_init(&text, 1000);
	scram_keys_put(&k, &text);
	a.extra = buf_slice(&text);
	a.field[ACCOUNT_ADDRESS] = SLICE("user");
	next = st->mech->answered(st, &a);
	buf_fini(&text);
	return next;
}

static void
run(const struct exchange *x)
{
	struct mech_state st;
	struct buf message;
	struct slice in;
	enum mech_next next;

	mech_state_init(&st, x->mech);
	if (x->exporter != NULL)
		secret_set(&st.tls_exporter, slice_str(x->exporter));
	buf_init(&message, 4096);
	buf_puts(&message, x->header);
	buf_puts(&message, "n=user,r=abc");
	in = buf_slice(&message);
	next = x->mech->step(&st, &in);
	assert_int_equal(next, x->first);
	if (next == MECH_ASK) {
		assert_int_equal(st.op, QUERY_SCRAM);
		assert_int_equal(answer(&st, x), MECH_CHALLENGE);
		buf_reset(&message);
		put_client_final(x, buf_slice(&st.challenge), &message);
		in = buf_slice(&message);
		assert_int_equal(x->mech->step(&st, &in), x->last);
		if (x->last == MECH_ACCEPT) {
			assert_true(slice_starts(
			    buf_slice(&st.challenge), SLICE("v=")));
			assert_int_equal(x->mech->account(&st).uid, 5000);
		}
	}
	buf_fini(&message);
	mech_state_fini(&st);
}

static void
test_exchanges(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(exchanges); i++)
		run(&exchanges[i]);
}

static void
test_salts(void **state)
{
	uint8_t a[SCRAM_SALT_LEN], b[SCRAM_SALT_LEN];

	(void)state;
	scram_salt_for(SLICE("k"), SLICE("joe"), a);
	scram_salt_for(SLICE("k"), SLICE("JOE"), b);
	assert_memory_equal(a, b, sizeof(a));
	scram_salt_for(SLICE("k"), SLICE("jo"), b);
	assert_memory_not_equal(a, b, sizeof(a));
	scram_salt_for(SLICE("l"), SLICE("joe"), b);
	assert_memory_not_equal(a, b, sizeof(a));
}

/* RFC 2195 2, and Courier's hashes by the same key and text. */
static void
test_cram(void **state)
{
	static const struct slice challenge =
	    SLICE_INIT("<1896.697170952@postoffice.reston.mci.net>");
	static const struct slice password = SLICE_INIT("tanstaaftanstaaf");
	static const struct slice digest =
	    SLICE_INIT("b913a602c7eda7a495b4e6e7334d3890");
	struct slice user, hex;

	(void)state;
	assert_true(cram_check(SLICE("md5"), password, challenge, digest));
	assert_true(cram_check(SLICE("md5"), password, challenge,
	    SLICE("B913A602C7EDA7A495B4E6E7334D3890")));
	assert_false(cram_check(SLICE("sha1"), password, challenge, digest));
	assert_false(cram_check(SLICE("md4"), password, challenge, digest));
	assert_false(cram_check(SLICE("md5"), SLICE("x"), challenge, digest));
	assert_false(cram_check(SLICE("md5"), SLICE(""), challenge, digest));
	assert_false(cram_check(
	    SLICE("md5"), password, challenge, slice_first(digest, 31)));
	assert_false(cram_check(SLICE("md5"), password, challenge, SLICE("")));
	assert_true(cram_split(SLICE("joe of ours d"), &user, &hex));
	assert_true(slice_eq(user, SLICE("joe of ours")));
	assert_true(slice_eq(hex, SLICE("d")));
	assert_false(cram_split(SLICE("joe"), &user, &hex));
	assert_false(cram_split(SLICE("joe "), &user, &hex));
	assert_false(cram_split(SLICE("joe 0g"), &user, &hex));
	assert_false(cram_split(slice_of("joe 0\0", 6), &user, &hex));
}

/* What is made of a password checks what the password does. */
static void
test_cram_contexts(void **state)
{
	static const struct slice hashes[] = { SLICE_INIT("md5"),
		SLICE_INIT("sha1"), SLICE_INIT("sha256") };
	static const struct slice challenge = SLICE_INIT("<1@example.com>");
	static const size_t lengths[] = { 1, 6, 63, 64, 65, 200 };
	uint8_t password[200], mac[EVP_MAX_MD_SIZE];

	(void)state;
	memset(password, 'p', sizeof(password));
	for (size_t h = 0; h < NELEMS(hashes); h++)
		for (size_t l = 0; l < NELEMS(lengths); l++) {
			struct slice word = slice_of(password, lengths[l]);
			struct buf contexts, hex;
			unsigned n = 0;

			buf_init(&contexts, CRAM_CONTEXTS_MAX);
			buf_init(&hex, 128);
			assert_true(
			    cram_make_contexts(hashes[h], word, &contexts));
			assert_non_null(HMAC(h == 0 ? EVP_md5()
				: h == 1	    ? EVP_sha1()
						    : EVP_sha256(),
			    word.p, (int)word.n, challenge.p, challenge.n, mac,
			    &n));
			for (unsigned i = 0; i < n; i++)
				buf_putf(&hex, "%02x", mac[i]);
			assert_true(cram_check(
			    hashes[h], word, challenge, buf_slice(&hex)));
			assert_true(cram_check_contexts(hashes[h],
			    buf_slice(&contexts), challenge, buf_slice(&hex)));
			assert_false(
			    cram_check_contexts(hashes[h], buf_slice(&contexts),
				SLICE("<2@example.com>"), buf_slice(&hex)));
			buf_fini(&contexts);
			buf_fini(&hex);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_stored_keys),
		cmocka_unit_test(test_bad_messages),
		cmocka_unit_test(test_saslname),
		cmocka_unit_test(test_exchanges),
		cmocka_unit_test(test_salts),
		cmocka_unit_test(test_cram),
		cmocka_unit_test(test_cram_contexts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
