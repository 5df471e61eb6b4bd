#include "auth/scram.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/ascii.h"
#include "base/base64.h"
#include "base/num.h"
#include "base/secret.h"

static const struct slice names[SCRAM_N_HASHES] = {
	SLICE_INIT("SCRAM-SHA-1"),
	SLICE_INIT("SCRAM-SHA-256"),
};

struct slice
scram_hash_name(enum scram_hash h)
{
	return names[h];
}

bool
scram_hash_find(struct slice name, enum scram_hash *h)
{
	for (enum scram_hash i = 0; i < SCRAM_N_HASHES; i++)
		if (slice_ieq(names[i], name)) {
			*h = i;
			return true;
		}
	return false;
}

static const EVP_MD *
md_of(enum scram_hash h)
{
	return h == SCRAM_SHA1 ? EVP_sha1() : EVP_sha256();
}

size_t
scram_hash_len(enum scram_hash h)
{
	return h == SCRAM_SHA1 ? 20 : 32;
}

static bool
hmac(enum scram_hash h, struct slice key, struct slice text,
    uint8_t out[SCRAM_KEY_MAX])
{
	unsigned n = 0;

	return HMAC(md_of(h), key.n != 0 ? key.p : (const uint8_t *)"",
		   (int)key.n, text.p, text.n, out, &n) != NULL &&
	    n == scram_hash_len(h);
}

static bool
hash(enum scram_hash h, struct slice in, uint8_t out[SCRAM_KEY_MAX])
{
	unsigned n = 0;

	return EVP_Digest(in.p, in.n, out, &n, md_of(h), NULL) == 1 &&
	    n == scram_hash_len(h);
}

/* --- keys --------------------------------------------------------------- */

/*
 * RFC 5802 3: SaltedPassword := Hi(Normalize(password), salt, i).  Passwords
 * are taken as they are stored: SASLprep leaves ASCII as it is, and for
 * others an administrator stores what the clients send.
 */
bool
scram_keys_make(struct scram_keys *k, struct slice password)
{
	uint8_t salted[SCRAM_KEY_MAX], client[SCRAM_KEY_MAX];
	size_t n = scram_hash_len(k->hash);
	bool ok;

	ok = password.n <= INT32_MAX &&
	    PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n,
		k->salt, (int)k->salt_len, (int)k->iterations, md_of(k->hash),
		(int)n, salted) == 1 &&
	    hmac(k->hash, slice_of(salted, n), SLICE("Client Key"), client) &&
	    hash(k->hash, slice_of(client, n), k->stored) &&
	    hmac(k->hash, slice_of(salted, n), SLICE("Server Key"), k->server);
	secret_wipe(salted, sizeof(salted));
	secret_wipe(client, sizeof(client));
	return ok;
}

void
scram_keys_put(const struct scram_keys *k, struct buf *out)
{
	size_t n = scram_hash_len(k->hash);

	buf_putu(out, k->iterations);
	buf_putc(out, ',');
	base64_encode(slice_of(k->salt, k->salt_len), out);
	buf_putc(out, ',');
	base64_encode(slice_of(k->stored, n), out);
	buf_putc(out, ',');
	base64_encode(slice_of(k->server, n), out);
}

/* base64 of min to max bytes; false for anything else. */
static bool
take_base64(struct slice text, uint8_t *out, size_t min, size_t max, size_t *n)
{
	struct buf raw;
	bool ok;

	buf_init_secret(&raw, max + 3); /* the decoder asks for whole groups */
	ok = base64_decode(text, &raw) && buf_len(&raw) >= min &&
	    buf_len(&raw) <= max;
	if (ok) {
		*n = buf_len(&raw);
		memcpy(out, buf_slice(&raw).p, *n);
	}
	buf_fini(&raw);
	return ok;
}

bool
scram_keys_parse(struct slice text, enum scram_hash h, struct scram_keys *out)
{
	struct scram_keys k = { .hash = h };
	size_t n = scram_hash_len(h), got;
	struct slice rest = text, part;
	bool ok;

	ok = slice_split(&rest, ',', &part) && num_u32(part, &k.iterations) &&
	    k.iterations != 0 && k.iterations <= SCRAM_ITERATIONS_MAX &&
	    slice_split(&rest, ',', &part) &&
	    take_base64(part, k.salt, 1, SCRAM_SALT_MAX, &k.salt_len) &&
	    slice_split(&rest, ',', &part) &&
	    take_base64(part, k.stored, n, n, &got) &&
	    slice_split(&rest, ',', &part) && rest.p == NULL &&
	    take_base64(part, k.server, n, n, &got);
	if (ok)
		*out = k;
	secret_wipe(&k, sizeof(k));
	return ok;
}

void
scram_salt_for(
    struct slice secret, struct slice user, uint8_t salt[SCRAM_SALT_LEN])
{
	uint8_t lower[1024], mac[SCRAM_KEY_MAX] = { 0 };

	/* The table finds a name in any case, and so must the salt. */
	user = slice_first(user, sizeof(lower));
	for (size_t i = 0; i < user.n; i++)
		lower[i] = ascii_lower(user.p[i]);
	(void)!hmac(SCRAM_SHA256, secret, slice_of(lower, user.n), mac);
	memcpy(salt, mac, SCRAM_SALT_LEN);
}

/* --- messages ------------------------------------------------------------ */

/* Take "c=value" with its comma off the front; false for another letter. */
static bool
take_attribute(struct slice *in, char letter, struct slice *value)
{
	struct slice piece;

	if (!slice_split(in, ',', &piece) || piece.n < 2 ||
	    piece.p[0] != (uint8_t)letter || piece.p[1] != '=')
		return false;
	*value = slice_skip(piece, 2);
	return true;
}

/* RFC 5802 7: printable = %x21-2B / %x2D-7E */
static bool
is_nonce(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == ',')
			return false;
	return s.n != 0 && s.n <= SCRAM_NONCE_MAX;
}

static bool
parse_gs2_flag(struct slice piece, struct scram_client_first *out)
{
	if (slice_eq(piece, SLICE("n"))) {
		out->binding = SCRAM_NO_BINDING;
	} else if (slice_eq(piece, SLICE("y"))) {
		out->binding = SCRAM_BINDING_MISSED;
	} else if (slice_starts(piece, SLICE("p=")) && piece.n > 2) {
		out->binding = SCRAM_BINDING;
		out->binding_name = slice_skip(piece, 2);
	} else {
		return false;
	}
	return true;
}

bool
scram_parse_client_first(struct slice in, struct scram_client_first *out)
{
	struct scram_client_first r = { .authzid = slice_of("", 0) };
	struct slice rest = in, piece;

	if (!slice_split(&rest, ',', &piece) || !parse_gs2_flag(piece, &r) ||
	    !slice_split(&rest, ',', &piece) || rest.p == NULL)
		return false;
	if (piece.n != 0) {
		if (!slice_starts(piece, SLICE("a=")) || piece.n == 2)
			return false;
		r.authzid = slice_skip(piece, 2);
	}
	r.gs2_header = slice_first(in, in.n - rest.n);
	r.bare = rest;
	/* RFC 5802 5.1: "m=" first would be an extension that is mandatory;
	 * none is known, and take_attribute() refuses it. */
	if (!take_attribute(&rest, 'n', &r.user) || r.user.n == 0 ||
	    !take_attribute(&rest, 'r', &r.nonce) || !is_nonce(r.nonce))
		return false;
	*out = r;
	return true;
}

bool
scram_parse_client_final(struct slice in, struct scram_client_final *out)
{
	struct scram_client_final r;
	struct slice rest = in;
	size_t at = slice_rfind(in, ',');

	if (at == in.n || !take_attribute(&rest, 'c', &r.binding) ||
	    !take_attribute(&rest, 'r', &r.nonce))
		return false;
	/* Extensions may stand in between; the proof is the last. */
	r.without_proof = slice_first(in, at);
	rest = slice_skip(in, at + 1);
	if (!take_attribute(&rest, 'p', &r.proof) || rest.p != NULL)
		return false;
	*out = r;
	return true;
}

bool
scram_put_saslname(struct slice in, struct buf *out)
{
	while (in.n != 0) {
		if (in.p[0] != '=') {
			buf_putc(out, in.p[0]);
			in = slice_skip(in, 1);
			continue;
		}
		if (slice_istarts(in, SLICE("=2C")))
			buf_putc(out, ',');
		else if (slice_istarts(in, SLICE("=3D")))
			buf_putc(out, '=');
		else
			return false;
		in = slice_skip(in, 3);
	}
	return true;
}

bool
scram_check_proof(const struct scram_keys *k, struct slice auth_message,
    struct slice proof, struct buf *signature)
{
	uint8_t mac[SCRAM_KEY_MAX], client[SCRAM_KEY_MAX];
	uint8_t stored[SCRAM_KEY_MAX];
	size_t n = scram_hash_len(k->hash), got = 0;
	bool ok;

	/* RFC 5802 3: ClientProof := ClientKey XOR ClientSignature, and
	 * H(ClientKey) must be StoredKey. */
	ok = take_base64(proof, client, n, n, &got) &&
	    hmac(k->hash, slice_of(k->stored, n), auth_message, mac);
	if (ok)
		for (size_t i = 0; i < n; i++)
			client[i] ^= mac[i];
	ok = ok && hash(k->hash, slice_of(client, n), stored) &&
	    secret_eq(slice_of(stored, n), slice_of(k->stored, n)) &&
	    hmac(k->hash, slice_of(k->server, n), auth_message, mac);
	if (ok)
		buf_put(signature, slice_of(mac, n));
	secret_wipe(client, sizeof(client));
	secret_wipe(mac, sizeof(mac));
	return ok;
}
