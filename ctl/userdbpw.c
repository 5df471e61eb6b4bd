/*
 * userdbpw [-md5 | -hmac-md5 | -hmac-sha1 | -hmac-sha256]: make of a password,
 * a line of standard input, what a field of Courier's userdb holds: a crypt(3)
 * hash, or what CRAM needs of it.
 *
 * Layer:  ctl, uses base, auth.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "auth/cram.h"
#include "auth/passwd.h"
#include "base/help.h"
#include "base/secret.h"
#include "ctl/read_password.h"

static bool
print_crypt(const char *model, struct slice password)
{
	struct secret made = { 0 };
	bool ok = passwd_make_crypt(slice_str(model), password, &made);

	if (ok)
		(void)puts(secret_cstr(&made));
	secret_fini(&made);
	return ok;
}

static bool
print_contexts(const char *hash, struct slice password)
{
	struct buf out;
	bool ok;

	buf_init(&out, CRAM_CONTEXTS_MAX + 1);
	ok = cram_make_contexts(slice_str(hash), password, &out);
	if (ok)
		(void)puts(buf_cstr(&out));
	if (out.p != NULL)
		secret_wipe(out.p, out.cap);
	buf_fini(&out);
	return ok;
}

int
main(int argc, char *argv[])
{
	const char *hash = NULL, *model = "$6$";
	char line[PASSWORD_LINE];
	bool ok = argc < 3;

	if (help_asked(argc, argv,
		"Usage: userdbpw [-md5 | -hmac-md5 | -hmac-sha1 | "
		"-hmac-sha256]\n"
		"The password is read from standard input.\n"))
		return 0;
	if (argc == 2 && strncmp(argv[1], "-hmac-", 6) == 0)
		hash = argv[1] + 6;
	else if (argc == 2 && strcmp(argv[1], "-md5") == 0)
		model = "$1$";
	else if (argc == 2)
		ok = false;
	if (!ok || (hash != NULL && !cram_knows(slice_str(hash)))) {
		(void)fputs("userdbpw: invalid argument.\n", stderr);
		return 1;
	}
	if (!read_password("Password: ", line))
		return 1;
	ok = hash != NULL ? print_contexts(hash, slice_str(line))
			  : print_crypt(model, slice_str(line));
	secret_wipe(line, sizeof(line));
	return ok ? 0 : 1;
}
