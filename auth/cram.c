#include "auth/cram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

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
	return true;
}

bool
cram_check(struct slice hash, struct slice password, struct slice challenge,
    struct slice digest)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t mac[EVP_MAX_MD_SIZE], want[2 * EVP_MAX_MD_SIZE];
	uint8_t given[2 * EVP_MAX_MD_SIZE];
	const EVP_MD *md = md_of(hash);
	unsigned n = 0;
	bool ok;

	if (md == NULL || password.n == 0 || password.n > INT32_MAX ||
	    digest.n > sizeof(given) ||
	    HMAC(md, password.p, (int)password.n, challenge.p, challenge.n, mac,
		&n) == NULL)
		return false;
	for (size_t i = 0; i < digest.n; i++)
		given[i] = ascii_lower(digest.p[i]);
	for (unsigned i = 0; i < n; i++) {
		want[2 * i] = (uint8_t)digits[mac[i] >> 4];
		want[2 * i + 1] = (uint8_t)digits[mac[i] & 15];
	}
	ok = secret_eq(slice_of(given, digest.n), slice_of(want, 2 * n));
	secret_wipe(mac, sizeof(mac));
	secret_wipe(want, sizeof(want));
	return ok;
}
