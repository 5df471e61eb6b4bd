#include "config.h"

#include "auth/passwd.h"

#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#ifdef WITH_ARGON2
# include <argon2.h>
#endif
#include <crypt.h>
#include <openssl/evp.h>

#include "auth/answer.h"
#include "base/ascii.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"

enum { SSHA_SALT_LEN = 4, SLOW_ITERATIONS = 10000 };

/* Digest of a ‖ b; returns its length. */
static size_t
digest(const EVP_MD *md, struct slice a, struct slice b,
    uint8_t out[EVP_MAX_MD_SIZE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned n = 0;

	if (ctx == NULL || EVP_DigestInit_ex(ctx, md, NULL) != 1 ||
	    EVP_DigestUpdate(ctx, a.p, a.n) != 1 ||
	    EVP_DigestUpdate(ctx, b.p, b.n) != 1 ||
	    EVP_DigestFinal_ex(ctx, out, &n) != 1)
		n = 0;
	EVP_MD_CTX_free(ctx);
	return n;
}

static bool
check_base64(const EVP_MD *md, struct slice text, struct slice given)
{
	uint8_t got[EVP_MAX_MD_SIZE];
	struct buf want;
	size_t n;
	bool ok;

	buf_init(&want, 256);
	n = digest(md, given, slice_of("", 0), got);
	ok = base64_decode(slice_trim(text), &want) && n != 0 &&
	    secret_eq(buf_slice(&want), slice_of(got, n));
	buf_fini(&want);
	secret_wipe(got, sizeof(got));
	return ok;
}

static bool
check_md5(struct slice text, struct slice given)
{
	return check_base64(EVP_md5(), text, given);
}

static bool
check_sha1(struct slice text, struct slice given)
{
	return check_base64(EVP_sha1(), text, given);
}

static bool
check_sha256(struct slice text, struct slice given)
{
	return check_base64(EVP_sha256(), text, given);
}

static bool
check_sha512(struct slice text, struct slice given)
{
	return check_base64(EVP_sha512(), text, given);
}

/* {MD5RAW}: hex digits instead of base64. */
static bool
check_md5raw(struct slice text, struct slice given)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t got[EVP_MAX_MD_SIZE], hex[2 * EVP_MAX_MD_SIZE], lower[64];
	size_t n = digest(EVP_md5(), given, slice_of("", 0), got);
	bool ok;

	text = slice_first(slice_trim(text), sizeof(lower));
	for (size_t i = 0; i < text.n; i++)
		lower[i] = ascii_lower(text.p[i]);
	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = (uint8_t)digits[got[i] >> 4];
		hex[2 * i + 1] = (uint8_t)digits[got[i] & 15];
	}
	ok = n != 0 && secret_eq(slice_of(lower, text.n), slice_of(hex, 2 * n));
	secret_wipe(got, sizeof(got));
	return ok;
}

/* Digest of password and salt, followed by the salt. */
static bool
check_salted(const EVP_MD *md, struct slice text, struct slice given)
{
	size_t n = (size_t)EVP_MD_get_size(md);
	uint8_t got[EVP_MAX_MD_SIZE];
	struct slice whole;
	struct buf want;
	bool ok = false;

	buf_init(&want, 256);
	if (base64_decode(slice_trim(text), &want)) {
		whole = buf_slice(&want);
		/* Courier writes four bytes of salt; others write more. */
		ok = whole.n >= n + SSHA_SALT_LEN &&
		    digest(md, given, slice_skip(whole, n), got) == n &&
		    secret_eq(slice_first(whole, n), slice_of(got, n));
	}
	buf_fini(&want);
	secret_wipe(got, sizeof(got));
	return ok;
}

static bool
check_ssha(struct slice text, struct slice given)
{
	return check_salted(EVP_sha1(), text, given);
}

static bool
check_ssha256(struct slice text, struct slice given)
{
	return check_salted(EVP_sha256(), text, given);
}

static bool
check_ssha512(struct slice text, struct slice given)
{
	return check_salted(EVP_sha512(), text, given);
}

/* The result of crypt(3), or NULL; data is the caller's to wipe. */
static const char *
crypt_text(const char *setting, struct slice given, struct crypt_data *data)
{
	struct secret key = { 0 };
	const char *got;

	secret_set(&key, given);
	got = crypt_rn(secret_cstr(&key), setting, data, sizeof(*data));
	secret_fini(&key);
	return got;
}

static bool
check_libcrypt(struct slice text, struct slice given)
{
	struct crypt_data *data;
	const char *got;
	char *setting;
	bool ok;

	/* crypt(3) would stop at a NUL and accept what only begins right. */
	if (slice_has(given, '\0') || slice_has(text, '\0') || text.n == 0)
		return false;
	data = MEM_NEW(struct crypt_data);
	setting = slice_dup(text);
	got = crypt_text(setting, given, data);
	ok = got != NULL && secret_eq(text, slice_str(got));
	secret_wipe(data, sizeof(*data));
	free(data);
	free(setting);
	return ok;
}

/* The password by the keys that SCRAM would use. */
static bool
check_scram(struct slice text, struct slice given, enum scram_hash h)
{
	struct scram_keys want, got;
	size_t n = scram_hash_len(h);
	bool ok;

	if (!scram_keys_parse(text, h, &want))
		return false;
	got = want;
	ok = scram_keys_make(&got, given) &&
	    secret_eq(slice_of(got.stored, n), slice_of(want.stored, n));
	secret_wipe(&got, sizeof(got));
	secret_wipe(&want, sizeof(want));
	return ok;
}

static bool
check_scram_sha1(struct slice text, struct slice given)
{
	return check_scram(text, given, SCRAM_SHA1);
}

static bool
check_scram_sha256(struct slice text, struct slice given)
{
	return check_scram(text, given, SCRAM_SHA256);
}

#ifdef WITH_ARGON2
/* The text of the reference implementation: $argon2id$v=19$m=…,t=…,p=…$…$… */
static bool
check_argon2id(struct slice text, struct slice given)
{
	char *encoded;
	bool ok;

	if (slice_has(text, '\0') || given.n > PASSWORD_MAX)
		return false;
	encoded = slice_dup(text);
	ok = argon2id_verify(encoded, given.p, given.n) == ARGON2_OK;
	free(encoded);
	return ok;
}

static bool make_argon2id(struct slice password, struct buf *out);
#endif

static bool make_md5(struct slice password, struct buf *out);
static bool make_md5raw(struct slice password, struct buf *out);
static bool make_sha1(struct slice password, struct buf *out);
static bool make_ssha(struct slice password, struct buf *out);
static bool make_ssha256(struct slice password, struct buf *out);
static bool make_ssha512(struct slice password, struct buf *out);
static bool make_sha256(struct slice password, struct buf *out);
static bool make_sha512(struct slice password, struct buf *out);
static bool make_scram_sha1(struct slice password, struct buf *out);
static bool make_scram_sha256(struct slice password, struct buf *out);

static const struct form {
	struct slice prefix;
	bool (*check)(struct slice text, struct slice given);
	bool (*make)(struct slice password, struct buf *out);
} forms[] = {
	{ SLICE_INIT("{MD5}"), check_md5, make_md5 },
	{ SLICE_INIT("{MD5RAW}"), check_md5raw, make_md5raw },
	{ SLICE_INIT("{SHA}"), check_sha1, make_sha1 },
	{ SLICE_INIT("{SSHA}"), check_ssha, make_ssha },
	{ SLICE_INIT("{SHA256}"), check_sha256, make_sha256 },
	{ SLICE_INIT("{SHA512}"), check_sha512, make_sha512 },
	{ SLICE_INIT("{SCRAM-SHA-1}"), check_scram_sha1, make_scram_sha1 },
	{ SLICE_INIT("{SCRAM-SHA-256}"), check_scram_sha256,
	    make_scram_sha256 },
#ifdef WITH_ARGON2
	{ SLICE_INIT("{ARGON2ID}"), check_argon2id, make_argon2id },
#endif
	{ SLICE_INIT("{CRYPT}"), check_libcrypt, NULL },
	/* Dovecot's own names */
	{ SLICE_INIT("{SSHA256}"), check_ssha256, make_ssha256 },
	{ SLICE_INIT("{SSHA512}"), check_ssha512, make_ssha512 },
	{ SLICE_INIT("{SHA512-CRYPT}"), check_libcrypt, NULL },
	{ SLICE_INIT("{SHA256-CRYPT}"), check_libcrypt, NULL },
	{ SLICE_INIT("{MD5-CRYPT}"), check_libcrypt, NULL },
	{ SLICE_INIT("{BLF-CRYPT}"), check_libcrypt, NULL },
	{ SLICE_INIT("{DES-CRYPT}"), check_libcrypt, NULL },
};

static const struct form *
form_of(struct slice stored)
{
	for (size_t i = 0; i < NELEMS(forms); i++)
		if (slice_istarts(stored, forms[i].prefix))
			return &forms[i];
	return NULL;
}

bool
passwd_check_crypt(struct slice stored, struct slice given)
{
	const struct form *form = form_of(stored);

	return form == NULL
	    ? check_libcrypt(stored, given)
	    : form->check(slice_skip(stored, form->prefix.n), given);
}

bool
passwd_check(struct slice crypted, struct slice clear, struct slice given)
{
	if (crypted.n != 0)
		return passwd_check_crypt(crypted, given);
	return clear.n != 0 && secret_eq(given, clear);
}

/* --- making ------------------------------------------------------------- */

static bool
make_base64(const EVP_MD *md, struct slice password, struct buf *out)
{
	uint8_t got[EVP_MAX_MD_SIZE];
	size_t n = digest(md, password, slice_of("", 0), got);

	base64_encode(slice_of(got, n), out);
	return n != 0;
}

static bool
make_md5(struct slice password, struct buf *out)
{
	return make_base64(EVP_md5(), password, out);
}

static bool
make_sha1(struct slice password, struct buf *out)
{
	return make_base64(EVP_sha1(), password, out);
}

static bool
make_sha256(struct slice password, struct buf *out)
{
	return make_base64(EVP_sha256(), password, out);
}

static bool
make_sha512(struct slice password, struct buf *out)
{
	return make_base64(EVP_sha512(), password, out);
}

static bool
make_md5raw(struct slice password, struct buf *out)
{
	uint8_t got[EVP_MAX_MD_SIZE];
	size_t n = digest(EVP_md5(), password, slice_of("", 0), got);

	buf_put_hex(out, slice_of(got, n));
	return n != 0;
}

static bool
make_salted(const EVP_MD *md, struct slice password, struct buf *out)
{
	uint8_t got[EVP_MAX_MD_SIZE + SSHA_SALT_LEN], salt[SSHA_SALT_LEN];
	size_t n;

	if (getrandom(salt, sizeof(salt), 0) != (ssize_t)sizeof(salt))
		return false;
	n = digest(md, password, slice_of(salt, sizeof(salt)), got);
	memcpy(got + n, salt, sizeof(salt));
	base64_encode(slice_of(got, n + SSHA_SALT_LEN), out);
	return n != 0;
}

static bool
make_ssha(struct slice password, struct buf *out)
{
	return make_salted(EVP_sha1(), password, out);
}

static bool
make_ssha256(struct slice password, struct buf *out)
{
	return make_salted(EVP_sha256(), password, out);
}

static bool
make_ssha512(struct slice password, struct buf *out)
{
	return make_salted(EVP_sha512(), password, out);
}

static bool
make_scram(enum scram_hash h, struct slice password, struct buf *out)
{
	struct scram_keys k = { .hash = h,
		.iterations = SCRAM_ITERATIONS,
		.salt_len = SCRAM_SALT_LEN };

	if (getrandom(k.salt, k.salt_len, 0) != (ssize_t)k.salt_len ||
	    !scram_keys_make(&k, password))
		return false;
	scram_keys_put(&k, out);
	secret_wipe(&k, sizeof(k));
	return true;
}

static bool
make_scram_sha1(struct slice password, struct buf *out)
{
	return make_scram(SCRAM_SHA1, password, out);
}

static bool
make_scram_sha256(struct slice password, struct buf *out)
{
	return make_scram(SCRAM_SHA256, password, out);
}

#ifdef WITH_ARGON2
static bool
make_argon2id(struct slice password, struct buf *out)
{
	/* RFC 9106 4: the second recommended option. */
	enum { TIME = 3, MEMORY_KIB = 64 * 1024, LANES = 4, HASH_LEN = 32 };
	uint8_t salt[16];
	char encoded[256];

	if (getrandom(salt, sizeof(salt), 0) != (ssize_t)sizeof(salt) ||
	    argon2id_hash_encoded(TIME, MEMORY_KIB, LANES, password.p,
		password.n, salt, sizeof(salt), HASH_LEN, encoded,
		sizeof(encoded)) != ARGON2_OK)
		return false;
	buf_puts(out, encoded);
	return true;
}
#endif

bool
passwd_scram_keys(
    struct slice stored, enum scram_hash h, struct scram_keys *out)
{
	struct slice name = scram_hash_name(h);
	struct slice rest = slice_skip(stored, 1);

	if (stored.n == 0 || stored.p[0] != '{' || !slice_istarts(rest, name) ||
	    rest.n == name.n || rest.p[name.n] != '}')
		return false;
	return scram_keys_parse(slice_skip(rest, name.n + 1), h, out);
}

/* The method of a crypt(3) hash, as crypt_gensalt() takes it: "$6$". */
static bool
crypt_method(struct slice old, char method[16])
{
	const struct form *form = form_of(old);
	size_t end;

	if (form != NULL && form->check == check_libcrypt)
		old = slice_skip(old, form->prefix.n);
	if (old.n == 0 || old.p[0] != '$')
		return false;
	end = slice_find(slice_skip(old, 1), '$') + 2;
	if (end > old.n || end >= 16)
		return false;
	memcpy(method, old.p, end);
	method[end] = '\0';
	return true;
}

static bool
make_libcrypt(const char *method, struct slice password, struct buf *out)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	struct crypt_data *data = MEM_NEW(struct crypt_data);
	const char *got = NULL;

	if (crypt_gensalt_rn(
		method, 0, NULL, 0, setting, (int)sizeof(setting)) != NULL)
		got = crypt_text(setting, password, data);
	if (got != NULL)
		buf_puts(out, got);
	secret_wipe(data, sizeof(*data));
	free(data);
	return got != NULL;
}

bool
passwd_make_crypt(struct slice old, struct slice password, struct secret *out)
{
	const struct form *form = form_of(old);
	char method[16];
	struct buf text;
	bool ok;

	buf_init(&text, CRYPT_OUTPUT_SIZE + 16);
	if (crypt_method(old, method)) {
		if (form != NULL)
			buf_put(&text, form->prefix);
		ok = make_libcrypt(method, password, &text);
	} else if (form != NULL && form->make != NULL) {
		buf_put(&text, form->prefix);
		ok = form->make(password, &text);
	} else {
		buf_puts(&text, "{SSHA}");
		ok = make_ssha(password, &text);
	}
	if (ok && buf_ok(&text))
		secret_set(out, buf_slice(&text));
	ok = ok && buf_ok(&text);
	buf_fini(&text);
	return ok;
}

/* RFC 5802's iterations in the first field of {SCRAM-…}. */
static bool
is_slow_scram(struct slice stored)
{
	struct scram_keys k;
	bool slow = false;

	for (enum scram_hash h = 0; h < SCRAM_N_HASHES; h++)
		if (passwd_scram_keys(stored, h, &k)) {
			slow = k.iterations > SLOW_ITERATIONS;
			secret_wipe(&k, sizeof(k));
		}
	return slow;
}

bool
passwd_is_slow(struct slice crypted)
{
	const struct form *form = form_of(crypted);

	if (slice_istarts(crypted, SLICE("{ARGON2ID}")))
		return true;
	if (form != NULL && form->check != check_libcrypt)
		return is_slow_scram(crypted);
	if (form != NULL)
		crypted = slice_skip(crypted, form->prefix.n);
	/* Of crypt(3) only DES and MD5 are quick. */
	return crypted.n != 0 && crypted.p[0] == '$' &&
	    !slice_starts(crypted, SLICE("$1$"));
}

bool
passwd_model_is_slow(const struct passwd_model *m)
{
	return passwd_is_slow(slice_str(m->setting));
}

void
passwd_model_see(struct passwd_model *m, struct slice crypted)
{
	if (crypted.n == 0 || crypted.n >= sizeof(m->setting) ||
	    slice_has(crypted, '\0'))
		return;
	memcpy(m->setting, crypted.p, crypted.n);
	m->setting[crypted.n] = '\0';
}

void
passwd_model_burn(const struct passwd_model *m, struct slice given)
{
	if (m->setting[0] != '\0')
		(void)!passwd_check_crypt(slice_str(m->setting), given);
}
