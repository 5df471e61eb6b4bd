/* Every form a stored password may have. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
