/*
 * authpasswd [md5|md5raw|sha|ssha|sha256|sha512]: hash a password as the user
 * table takes it.  It is read from standard input, from a terminal twice.
 * Without a word the hash is MD5-crypt, with an unknown one {SSHA}, as with
 * Courier; beyond Courier, the words yescrypt, bcrypt, sha512crypt, argon2id
 * and scram-sha-256 give the slower forms that one should prefer.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "auth/passwd.h"
#include "base/help.h"
#include "base/secret.h"
#include "ctl/read_password.h"

/* One of which the new one takes its form; passwd_make_crypt(). */
static const struct {
	const char *word, *model;
} models[] = {
	{ "md5", "{MD5}" },
	{ "md5raw", "{MD5RAW}" },
	{ "sha", "{SHA}" },
	{ "ssha", "{SSHA}" },
	{ "sha256", "{SHA256}" },
	{ "sha512", "{SHA512}" },
	{ "yescrypt", "$y$j9T$" },
	{ "bcrypt", "$2b$10$" },
	{ "sha512crypt", "$6$" },
#ifdef WITH_ARGON2
	{ "argon2id", "{ARGON2ID}" },
#endif
	{ "scram-sha-256", "{SCRAM-SHA-256}" },
};

static const char *
model_of(const char *word)
{
	for (size_t i = 0; i < NELEMS(models); i++)
		if (strcasecmp(word, models[i].word) == 0)
			return models[i].model;
	return "{SSHA}";
}

int
main(int argc, char *argv[])
{
	const char *model = argc > 1 ? model_of(argv[1]) : "$1$";
	char line[PASSWORD_LINE], again[PASSWORD_LINE];
	struct secret made = { 0 };
	bool ok;

	if (help_asked(argc, argv,
		"Usage: authpasswd [form]\n"
		"Form: md5, md5raw, sha, ssha, sha256, sha512, yescrypt, "
		"bcrypt, sha512crypt,\n"
		"      argon2id, scram-sha-256; without one MD5-crypt.\n"
		"The password is read from standard input.\n"))
		return 0;
	ok = read_password("Password: ", line);
	if (ok && isatty(STDIN_FILENO) != 0) {
		ok = read_password("Reenter password: ", again) &&
		    strcmp(line, again) == 0;
		secret_wipe(again, sizeof(again));
	}
	ok = ok && line[0] != '\0' &&
	    passwd_make_crypt(slice_str(model), slice_str(line), &made);
	secret_wipe(line, sizeof(line));
	if (ok)
		(void)puts(secret_cstr(&made));
	secret_fini(&made);
	return ok ? 0 : 1;
}
