/*
 * authtest [-c confdir] [-s service] userid [password [newpassword]]: what
 * authdaemond says of a user, in the words of Courier's program of that name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/help.h"
#include "base/secret.h"
#include "ctl/authd.h"

enum { ANSWER_MAX = 64 * 1024 };

struct task {
	const char *confdir, *service, *user, *password, *fresh;
};

static NORETURN void
usage(void)
{
	(void)fputs("Usage: authtest [-s service] userid [ password [ "
		    "newpassword ] ]\n",
	    stderr);
	exit(1);
}

/* A line end or, for PASSWD, a TAB would say something else. */
static bool
is_plain(const char *word)
{
	return word == NULL || strpbrk(word, "\n\t") == NULL;
}

static void
put_request(const struct task *t, struct buf *out)
{
	int n;

	if (t->fresh != NULL)
		buf_putf(out, "PASSWD %s\t%s\t%s\t%s\n", t->service, t->user,
		    t->password, t->fresh);
	else if (t->password == NULL)
		buf_putf(out, "PRE . %s %s\n", t->service, t->user);
	else {
		n = snprintf(NULL, 0, "%s\nlogin\n%s\n%s\n", t->service,
		    t->user, t->password);
		buf_putf(out, "AUTH %d\n%s\nlogin\n%s\n%s\n", n, t->service,
		    t->user, t->password);
	}
}

/* The last value of a name in the record; "" none. */
static struct slice
field(struct slice record, const char *name)
{
	struct slice line, found = slice_of("", 0);
	size_t n = strlen(name);

	while (slice_split(&record, '\n', &line))
		if (slice_starts(line, slice_str(name)) && line.n > n &&
		    line.p[n] == '=')
			found = slice_skip(line, n + 1);
	return found;
}

static void
print_field(struct slice record, const char *title, const char *name)
{
	struct slice value = field(record, name);

	if (value.n == 0)
		value = SLICE("(none)");
	(void)printf(
	    "%18s: %.*s\n", title, (int)value.n, (const char *)value.p);
}

static void
print_record(struct slice record)
{
	struct slice user = field(record, "ADDRESS"),
		     system = field(record, "USERNAME"),
		     uid = field(record, "UID"), gid = field(record, "GID");

	(void)printf("Authentication succeeded.\n\n%18s: %.*s  ",
	    "Authenticated", (int)user.n, (const char *)user.p);
	if (system.n != 0)
		(void)printf("(system username: %.*s)\n", (int)system.n,
		    (const char *)system.p);
	else
		(void)printf("(uid %.*s, gid %.*s)\n", (int)uid.n,
		    (const char *)uid.p, (int)gid.n, (const char *)gid.p);
	print_field(record, "Home Directory", "HOME");
	print_field(record, "Maildir", "MAILDIR");
	print_field(record, "Quota", "QUOTA");
	print_field(record, "Encrypted Password", "PASSWD");
	print_field(record, "Cleartext Password", "PASSWD2");
	print_field(record, "Options", "OPTIONS");
}

static int
fail(int sys)
{
	(void)fprintf(
	    stderr, "Authentication FAILED: %s\n", strerrordesc_np(sys));
	return 1;
}

static int
run(const struct task *t)
{
	struct buf request, answer;
	struct slice s;
	int status = 0;

	buf_init(&request, AUTHD_REQUEST_MAX);
	buf_init(&answer, ANSWER_MAX);
	put_request(t, &request);
	if (!buf_ok(&request) || !is_plain(t->service) || !is_plain(t->user) ||
	    !is_plain(t->password) || !is_plain(t->fresh)) {
		status = fail(EPERM);
	} else if (authd_ask(t->confdir, &request, &answer) != 0) {
		status = fail(errno);
	} else {
		s = buf_slice(&answer);
		if (slice_eq(s, SLICE("FAIL\n")))
			status = fail(EPERM);
		else if (t->fresh != NULL)
			(void)fputs("Password change succeeded.\n", stderr);
		else
			print_record(s);
		secret_wipe(answer.p, answer.cap);
	}
	if (request.p != NULL)
		secret_wipe(request.p, request.cap);
	buf_fini(&request);
	buf_fini(&answer);
	return status;
}

int
main(int argc, char *argv[])
{
	struct task t = { .service = "login" };
	int c;

	if (help_asked(argc, argv,
		"Usage: authtest [-c confdir] [-s service] "
		"userid [ password [ newpassword ] ]\n"))
		return 0;
	opterr = 0;
	while ((c = getopt(argc, argv, "+c:s:")) != -1)
		if (c == 'c')
			t.confdir = optarg;
		else if (c == 's')
			t.service = optarg;
		else
			usage();
	if (optind >= argc)
		usage();
	t.user = argv[optind];
	if (optind + 1 < argc)
		t.password = argv[optind + 1];
	if (optind + 2 < argc)
		t.fresh = argv[optind + 2];
	return run(&t);
}
