/* Every form a stored password may have. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <crypt.h>

#include "auth/passwd.h"

/* clang-format off */
static const char sha512_of_secret[] =
	"{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cm"
	"W192CF5bDufKRpayrW/isg==";
static const char *const of_secret[] = {
	"{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
	"{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69",
	"{md5raw}5EBE2294ECD0E0F08EAB7690D2A6EE69",
	"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
	"{sha}5en6G6MezRroT3XKqkdPOmY/BfQ=",
	"{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
	sha512_of_secret,
	"$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
	"{CRYPT}$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
	"{MD5-CRYPT}$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
	"{SSHA256}qGSW+oNILJZzP8XfwAqm8oHb1pUlXul/o4P6T5F9dC5hYmNk",
	"{SSHA512}"
	"aCu7JRc+kLsuEmFs1zTY+AiP7DSGnjjG+dH28Dp+E5usqoAixeTPihKqZmkWal4mUfp63tqvCAkFV1LKTDFH6XNhbHRzYWx0",
};
/* clang-format on */

static void
test_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(of_secret); i++) {
		struct slice stored = slice_str(of_secret[i]);

		if (!passwd_check_crypt(stored, SLICE("secret")))
			fail_msg("refused: %s", of_secret[i]);
		assert_false(passwd_check_crypt(stored, SLICE("Secret")));
		assert_false(passwd_check_crypt(stored, SLICE("secre")));
		assert_false(passwd_check_crypt(stored, SLICE("secrets")));
		assert_false(passwd_check_crypt(stored, SLICE("")));
	}
}

static void
test_every_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(of_secret); i++) {
		struct slice stored = slice_str(of_secret[i]);

		for (size_t n = 0; n < stored.n; n++)
			assert_false(passwd_check_crypt(
			    slice_first(stored, n), SLICE("secret")));
	}
	assert_false(passwd_check_crypt(SLICE("{SSHA}AAAA"), SLICE("")));
	assert_false(passwd_check_crypt(SLICE("{NONE}x"), SLICE("x")));
	assert_false(passwd_check_crypt(SLICE("*"), SLICE("*")));
	assert_false(passwd_check_crypt(SLICE("!"), SLICE("!")));
	assert_false(passwd_check_crypt(SLICE("*0"), SLICE("x")));
}

/* What is made is accepted, in the form of the old one. */
static void
test_make(void **state)
{
	static const struct {
		const char *old, *prefix;
	} cases[] = {
		{ "", "{SSHA}" },
		{ "{MD5}x", "{MD5}" },
		{ "{MD5RAW}x", "{MD5RAW}" },
		{ "{SHA}x", "{SHA}" },
		{ "{SSHA}x", "{SSHA}" },
		{ "{SHA256}x", "{SHA256}" },
		{ "{SHA512}x", "{SHA512}" },
		{ "$1$abcdefgh$x", "$1$" },
		{ "$5$abcdefgh$x", "$5$" },
		{ "$6$abcdefgh$x", "$6$" },
		{ "$2b$05$abcdefgh", "$2b$" },
		{ "$y$j9T$abcdefgh", "$y$" },
		{ "{CRYPT}$6$abcdefgh$x", "{CRYPT}$6$" },
		{ "{SHA512-CRYPT}$6$abcdefgh$x", "{SHA512-CRYPT}$6$" },
		{ "{BLF-CRYPT}$2y$05$x", "{BLF-CRYPT}$2y$" },
		{ "{ssha512}x", "{SSHA512}" },
		{ "{SSHA256}x", "{SSHA256}" },
		{ "abJnggxhB/yWI", "{SSHA}" },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct secret made = { 0 };

		assert_true(passwd_make_crypt(
		    slice_str(cases[i].old), SLICE("n3w"), &made));
		if (!slice_starts(
			secret_slice(&made), slice_str(cases[i].prefix)))
			fail_msg("%s: %s", cases[i].old, secret_cstr(&made));
		assert_true(
		    passwd_check_crypt(secret_slice(&made), SLICE("n3w")));
		assert_false(
		    passwd_check_crypt(secret_slice(&made), SLICE("old")));
		secret_fini(&made);
	}
}

#ifdef WITH_ARGON2
static void
test_argon2id(void **state)
{
	static const struct slice stored =
	    SLICE_INIT("{ARGON2ID}$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$"
		       "TnDEl2tJgYtaYZt0/5f59Jf56vkIG4EtQACv6SLO2cI");
	struct secret made = { 0 };

	(void)state;
	assert_true(passwd_check_crypt(stored, SLICE("secret")));
	assert_false(passwd_check_crypt(stored, SLICE("wrong")));
	assert_false(passwd_check_crypt(
	    slice_first(stored, stored.n - 1), SLICE("secret")));
	assert_true(passwd_is_slow(stored));
	assert_true(passwd_make_crypt(stored, SLICE("n3w"), &made));
	assert_true(passwd_check_crypt(secret_slice(&made), SLICE("n3w")));
	secret_fini(&made);
}
#endif

/* Every method of crypt(3) that this system has, bare and behind {CRYPT}. */
static void
test_every_crypt(void **state)
{
	static const struct {
		const char *prefix;
		unsigned long count; /* as few rounds as it takes */
		bool slow;
	} methods[] = {
		{ "$y$", 1, true },
		{ "$gy$", 1, true },
		{ "$7$", 6, true },
		{ "$2b$", 4, true },
		{ "$2y$", 4, true },
		{ "$2a$", 4, true },
		{ "$6$", 1000, true },
		{ "$5$", 1000, true },
		{ "$sha1", 4, true },
		{ "$md5", 0, true },
		{ "$1$", 0, false },
		{ "$3$", 0, true },
		{ "_", 1, false },
		{ "", 0, false },
	};
	unsigned tried = 0;

	(void)state;
	for (size_t i = 0; i < NELEMS(methods); i++) {
		struct crypt_data data = { 0 };
		char setting[CRYPT_GENSALT_OUTPUT_SIZE], text[512];
		const char *hash;

		if (crypt_gensalt_rn(methods[i].prefix, methods[i].count, NULL,
			0, setting, (int)sizeof(setting)) == NULL)
			continue;
		tried++;
		hash = crypt_rn("secret", setting, &data, (int)sizeof(data));
		assert_non_null(hash);
		for (int braces = 0; braces < 2; braces++) {
			struct slice stored;

			(void)snprintf(text, sizeof(text), "%s%s",
			    braces ? "{CRYPT}" : "", hash);
			stored = slice_str(text);
			/* A slow one only once right and once wrong. */
			if (braces == 0 || !methods[i].slow)
				assert_false(passwd_check_crypt(
				    stored, SLICE("Secret")));
			if ((braces != 0 || !methods[i].slow) &&
			    !passwd_check_crypt(stored, SLICE("secret")))
				fail_msg("refused: %s", text);
			assert_int_equal(
			    passwd_is_slow(stored), methods[i].slow);
		}
	}
	/* yescrypt, bcrypt, SHA-crypt, MD5-crypt at least. */
	assert_true(tried >= 6);
}

static void
test_slow(void **state)
{
	static const char *const slow[] = { "$6$x", "$5$x", "$2b$05$x",
		"$y$j9T$x", "{CRYPT}$6$x" };
	static const char *const quick[] = { "", "{SHA512}x", "$1$x",
		"abJnggxhB/yWI", "{CRYPT}$1$x", "{SCRAM-SHA-1}x" };

	(void)state;
	for (size_t i = 0; i < NELEMS(slow); i++)
		assert_true(passwd_is_slow(slice_str(slow[i])));
	for (size_t i = 0; i < NELEMS(quick); i++)
		assert_false(passwd_is_slow(slice_str(quick[i])));
}

static void
test_columns(void **state)
{
	struct slice hash = slice_str(of_secret[0]);

	(void)state;
	assert_true(passwd_check(SLICE(""), SLICE("clear"), SLICE("clear")));
	assert_false(passwd_check(SLICE(""), SLICE("clear"), SLICE("Clear")));
	/* With a hash the clear column doesn't count. */
	assert_true(passwd_check(hash, SLICE("clear"), SLICE("secret")));
	assert_false(passwd_check(hash, SLICE("clear"), SLICE("clear")));
	/* No password is no way in. */
	assert_false(passwd_check(SLICE(""), SLICE(""), SLICE("")));
	assert_false(passwd_check(SLICE(""), SLICE(""), SLICE("x")));
}

static void
test_nul(void **state)
{
	(void)state;
	/* crypt(3) would see "secret" and nothing of the rest. */
	assert_false(
	    passwd_check_crypt(slice_str(of_secret[7]), SLICE("secret\0more")));
	assert_false(
	    passwd_check(SLICE(""), SLICE("secret"), SLICE("secret\0more")));
}

static void
test_model(void **state)
{
	struct passwd_model m = { 0 };

	(void)state;
	passwd_model_burn(&m, SLICE("x"));
	passwd_model_see(&m, SLICE(""));
	assert_int_equal(m.setting[0], '\0');
	passwd_model_see(&m, slice_str(of_secret[7]));
	assert_string_equal(m.setting, of_secret[7]);
	passwd_model_burn(&m, SLICE("x"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_every_damage),
		cmocka_unit_test(test_make),
#ifdef WITH_ARGON2
		cmocka_unit_test(test_argon2id),
#endif
		cmocka_unit_test(test_every_crypt),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
