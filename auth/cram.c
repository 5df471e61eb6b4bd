/* A hash that begins in the middle: only the old interface can do that. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "auth/cram.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

#include "base/ascii.h"
#include "base/secret.h"

static const EVP_MD *
md_of(struct slice hash)
{
	if (slice_eq(hash, SLICE("md5")))
		return EVP_md5();
	if (slice_eq(hash, SLICE("sha1")))
		return EVP_sha1();
	if (slice_eq(hash, SLICE("sha256")))
		return EVP_sha256();
	return NULL;
}

bool
cram_knows(struct slice hash)
{
	return md_of(hash) != NULL;
}

bool
cram_split(struct slice response, struct slice *user, struct slice *digest)
{
	size_t at = slice_rfind(response, ' ');

	if (at == response.n)
		return false;
	*user = slice_first(response, at);
	*digest = slice_skip(response, at + 1);
	for (size_t i = 0; i < digest->n; i++)
		if (ascii_hex(digest->p[i]) < 0)
			return false;
	return digest->n != 0;
}

/* Whether hex (in either case) is the MAC. */
static bool
same_hex(const uint8_t *mac, size_t n, struct slice hex)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t want[2 * EVP_MAX_MD_SIZE], given[2 * EVP_MAX_MD_SIZE];
	bool ok;

	if (hex.n > sizeof(given))
		return false;
	for (size_t i = 0; i < hex.n; i++)
		given[i] = ascii_lower(hex.p[i]);
	for (size_t i = 0; i < n; i++) {
		want[2 * i] = (uint8_t)digits[mac[i] >> 4];
		want[2 * i + 1] = (uint8_t)digits[mac[i] & 15];
	}
	ok = secret_eq(slice_of(given, hex.n), slice_of(want, 2 * n));
	secret_wipe(want, sizeof(want));
	return ok;
}

bool
cram_check(struct slice hash, struct slice password, struct slice challenge,
    struct slice digest)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	const EVP_MD *md = md_of(hash);
	unsigned n = 0;
	bool ok;

	if (md == NULL || password.n == 0 || password.n > INT32_MAX ||
	    HMAC(md, password.p, (int)password.n, challenge.p, challenge.n, mac,
		&n) == NULL)
		return false;
	ok = same_hex(mac, n, digest);
	secret_wipe(mac, sizeof(mac));
	return ok;
}

/* --- from the states of the hash ----------------------------------------- */

enum { BLOCK = 64 }; /* of each of the three */

static uint32_t
word_le(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[3] << 24;
}

static uint32_t
word_be(const uint8_t *p)
{
	return (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[0] << 24;
}

/* Each goes on from a state after one block, whose bytes are as a digest's. */
static void
resume_md5(const uint8_t *state, struct slice text, uint8_t *out)
{
	MD5_CTX c;

	(void)MD5_Init(&c);
	c.A = word_le(state);
	c.B = word_le(state + 4);
	c.C = word_le(state + 8);
	c.D = word_le(state + 12);
	c.Nl = BLOCK * 8;
	(void)MD5_Update(&c, text.p, text.n);
	(void)MD5_Final(out, &c);
}

static void
resume_sha1(const uint8_t *state, struct slice text, uint8_t *out)
{
	SHA_CTX c;

	(void)SHA1_Init(&c);
	c.h0 = word_be(state);
	c.h1 = word_be(state + 4);
	c.h2 = word_be(state + 8);
	c.h3 = word_be(state + 12);
	c.h4 = word_be(state + 16);
	c.Nl = BLOCK * 8;
	(void)SHA1_Update(&c, text.p, text.n);
	(void)SHA1_Final(out, &c);
}

static void
resume_sha256(const uint8_t *state, struct slice text, uint8_t *out)
{
	SHA256_CTX c;

	(void)SHA256_Init(&c);
	for (size_t i = 0; i < 8; i++)
		c.h[i] = word_be(state + 4 * i);
	c.Nl = BLOCK * 8;
	(void)SHA256_Update(&c, text.p, text.n);
	(void)SHA256_Final(out, &c);
}

static void
put_word_le(uint32_t w, uint8_t *p)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(w >> 8 * i);
}

static void
put_word_be(uint32_t w, uint8_t *p)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(w >> (24 - 8 * i));
}

/* And each begins: the state after this one block. */
static void
begin_md5(const uint8_t block[BLOCK], uint8_t *state)
{
	MD5_CTX c;

	(void)MD5_Init(&c);
	(void)MD5_Update(&c, block, BLOCK);
	put_word_le(c.A, state);
	put_word_le(c.B, state + 4);
	put_word_le(c.C, state + 8);
	put_word_le(c.D, state + 12);
	secret_wipe(&c, sizeof(c));
}

static void
begin_sha1(const uint8_t block[BLOCK], uint8_t *state)
{
	SHA_CTX c;

	(void)SHA1_Init(&c);
	(void)SHA1_Update(&c, block, BLOCK);
	put_word_be(c.h0, state);
	put_word_be(c.h1, state + 4);
	put_word_be(c.h2, state + 8);
	put_word_be(c.h3, state + 12);
	put_word_be(c.h4, state + 16);
	secret_wipe(&c, sizeof(c));
}

static void
begin_sha256(const uint8_t block[BLOCK], uint8_t *state)
{
	SHA256_CTX c;

	(void)SHA256_Init(&c);
	(void)SHA256_Update(&c, block, BLOCK);
	for (size_t i = 0; i < 8; i++)
		put_word_be(c.h[i], state + 4 * i);
	secret_wipe(&c, sizeof(c));
}

static const struct {
	struct slice hash;
	size_t len;
	void (*resume)(const uint8_t *state, struct slice text, uint8_t *out);
	void (*begin)(const uint8_t block[BLOCK], uint8_t *state);
} resumable[] = {
	{ SLICE_INIT("md5"), 16, resume_md5, begin_md5 },
	{ SLICE_INIT("sha1"), 20, resume_sha1, begin_sha1 },
	{ SLICE_INIT("sha256"), 32, resume_sha256, begin_sha256 },
};

/* RFC 2104 2: the key, or its hash if it is longer than a block, padded. */
static void
pad_key(const EVP_MD *md, struct slice password, uint8_t key[BLOCK])
{
	memset(key, 0, BLOCK);
	if (password.n > BLOCK)
		(void)EVP_Digest(password.p, password.n, key, NULL, md, NULL);
	else
		memcpy(key, password.p, password.n);
}

bool
cram_make_contexts(struct slice hash, struct slice password, struct buf *out)
{
	static const uint8_t pads[] = { 0x5c, 0x36 }; /* outer, inner */
	uint8_t key[BLOCK], block[BLOCK], state[32];
	bool ok = false;

	for (size_t i = 0; i < NELEMS(resumable); i++) {
		if (!slice_eq(resumable[i].hash, hash) || password.n == 0)
			continue;
		pad_key(md_of(hash), password, key);
		for (size_t p = 0; p < sizeof(pads); p++) {
			for (size_t k = 0; k < BLOCK; k++)
				block[k] = key[k] ^ pads[p];
			resumable[i].begin(block, state);
			buf_put_hex(out, slice_of(state, resumable[i].len));
		}
		ok = buf_ok(out);
		secret_wipe(key, sizeof(key));
		secret_wipe(block, sizeof(block));
		secret_wipe(state, sizeof(state));
	}
	return ok;
}

static bool
unhex(struct slice hex, uint8_t *out, size_t n)
{
	if (hex.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = ascii_hex(hex.p[2 * i]);
		int low = ascii_hex(hex.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool
cram_check_contexts(struct slice hash, struct slice contexts,
    struct slice challenge, struct slice digest)
{
	uint8_t states[2 * 32], inner[32], mac[32];
	bool ok = false;

	for (size_t i = 0; i < NELEMS(resumable); i++) {
		size_t n = resumable[i].len;

		if (!slice_eq(resumable[i].hash, hash) ||
		    !unhex(contexts, states, 2 * n))
			continue;
		resumable[i].resume(states + n, challenge, inner);
		resumable[i].resume(states, slice_of(inner, n), mac);
		ok = same_hex(mac, n, digest);
	}
	secret_wipe(states, sizeof(states));
	secret_wipe(mac, sizeof(mac));
	return ok;
}
