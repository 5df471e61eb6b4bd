/*
 * maildiracl: read and change access control lists, with Courier's options
 * and exit codes.
 *
 * Layer:  ctl, uses base and what of maildir needs no account.
 *
 * Identifiers are those of the files: user=joe, not joe.  Root becomes the
 * owner of the Maildir first: files of root's in it would be of no use to
 * anybody.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/help.h"
#include "base/mem.h"
#include "base/utf7.h"
#include "ctl/owner.h"
#include "maildir/acl_file.h"
#include "maildir/name.h"

enum { WHO_MAX = 1000 };

/* What a command works on. */
struct job {
	int root_fd;
	const char *mailbox;
	char **words; /* what follows it */
	int n_words;
	struct buf dir; /* of the mailbox */
	struct file_unique u;
};

static const char usage_text[] =
    "Usage: maildiracl -reset maildir\n"
    "       maildiracl -list maildir INBOX[.folder]\n"
    "       maildiracl -set maildir INBOX[.folder] [-]identifier "
    "[+/-]rights\n"
    "       maildiracl -delete maildir INBOX[.folder] [-]identifier\n"
    "       maildiracl -compute maildir INBOX[.folder] identifier...\n";

static int
usage(void)
{
	(void)fputs(usage_text, stderr);
	return 1;
}

static int
failed(const struct err *e)
{
	(void)fprintf(stderr, "maildiracl: %s\n", e->text);
	return 1;
}

static int
complain(const char *what, const char *about)
{
	(void)fprintf(stderr, "maildiracl: %s: %s\n", about, what);
	return 1;
}

static int
load(struct job *j, struct acl *a)
{
	struct err e = { .code = 0 };

	acl_init(a);
	return acl_read(j->root_fd, buf_cstr(&j->dir), a, NULL, &e) == 0
	    ? 0
	    : failed(&e);
}

static void
print_rights(unsigned rights)
{
	struct buf out;

	buf_init(&out, 32);
	acl_rights_put(&out, rights);
	(void)puts(buf_cstr(&out));
	buf_fini(&out);
}

/* --- the commands --------------------------------------------------------- */

static int
list(struct job *j, struct acl *a)
{
	(void)j;
	for (size_t i = 0; i < a->n; i++) {
		(void)printf("%.*s\t", SLICE_ARG(a->v[i].identifier));
		print_rights(a->v[i].rights);
	}
	return 0;
}

static int
compute(struct job *j, struct acl *a)
{
	struct slice v[WHO_MAX];
	size_t n = 0;

	while (n < WHO_MAX && n < (size_t)j->n_words) {
		v[n] = slice_str(j->words[n]);
		n++;
	}
	print_rights(acl_effective(a, (struct acl_who){ v, n }));
	return 0;
}

/* Give an identifier these rights, and write the list. */
static int
write_list(struct job *j, struct acl *a, struct slice who, unsigned rights)
{
	struct err e = { .code = 0 };
	const char *dir = buf_cstr(&j->dir);
	struct slice loser;

	if (!acl_set(a, who, rights))
		return complain("no such identifier can be", j->words[0]);
	if (!acl_is_sound(a, &loser)) {
		(void)fprintf(stderr,
		    "Trying to set invalid access rights for %.*s\n",
		    SLICE_ARG(loser));
		return 1;
	}
	if (acl_settle(j->root_fd, dir, &j->u, &e) != 0 ||
	    acl_write(j->root_fd, dir, 0, a, &j->u, &e) != 0)
		return failed(&e);
	return 0;
}

static int
set(struct job *j, struct acl *a)
{
	struct slice who = slice_str(j->words[0]);
	struct slice letters = slice_str(j->words[1]);
	const struct acl_entry *entry = acl_find(a, who);
	unsigned old = entry != NULL ? entry->rights : 0, mask;
	uint8_t how = letters.n != 0 ? letters.p[0] : 0;

	if (how == '+' || how == '-')
		letters = slice_skip(letters, 1);
	if (!acl_rights_parse(letters, &mask))
		return complain("unknown right", j->words[1]);
	return write_list(j, a, who,
	    how == '+'	     ? old | mask
		: how == '-' ? old & ~mask
			     : mask);
}

static int delete (struct job *j, struct acl *a)
{
	return write_list(j, a, slice_str(j->words[0]), 0);
}

static const struct command {
	const char *name;
	int (*fn)(struct job *j, struct acl *a);
	int n_min, n_max; /* words behind the mailbox */
} commands[] = {
	{ "-list", list, 0, 0 },
	{ "-set", set, 2, 2 },
	{ "-delete", delete, 1, 1 },
	{ "-compute", compute, 1, WHO_MAX },
};

/* --- the Maildir --------------------------------------------------------- */

/* The mailbox's directory, from its name in modified UTF-7 or UTF-8. */
static int
find_dir(struct job *j)
{
	struct buf name;
	int rc;

	buf_init(&name, 4096);
	if (!utf7_to_utf8(slice_str(j->mailbox), &name)) {
		buf_reset(&name);
		buf_puts(&name, j->mailbox);
	}
	rc = name_to_dir(j->root_fd, buf_slice(&name), &j->dir);
	buf_fini(&name);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int
run(const struct command *c, struct job *j)
{
	struct acl a;
	int status;

	if (find_dir(j) != 0) {
		(void)fprintf(stderr, "%s: Invalid argument\n", j->mailbox);
		return 1;
	}
	status = load(j, &a);
	if (status == 0)
		status = c->fn(j, &a);
	acl_fini(&a);
	return status;
}

static int
reset(const struct job *j)
{
	struct err e = { .code = 0 };

	return acl_tidy(j->root_fd, clock_wall() / 1000, &e) == 0 ? 0
								  : failed(&e);
}

static const struct command *
find_command(const char *name, int n_words)
{
	for (size_t i = 0; i < NELEMS(commands); i++)
		if (strcmp(commands[i].name, name) == 0 &&
		    n_words >= commands[i].n_min &&
		    n_words <= commands[i].n_max)
			return &commands[i];
	return NULL;
}

int
main(int argc, char *argv[])
{
	const struct command *c =
	    argc > 3 ? find_command(argv[1], argc - 4) : NULL;
	bool is_reset = argc == 3 && strcmp(argv[1], "-reset") == 0;
	struct job j = { .u = {
			     .wall_ms = clock_wall(), .host = "maildiracl" } };
	int status;

	if (help_asked(argc, argv, usage_text))
		return 0;
	if (c == NULL && !is_reset)
		return usage();
	j.root_fd = owner_open(argv[2]);
	if (j.root_fd < 0)
		return complain(strerror(errno), argv[2]);
	j.mailbox = argv[3];
	j.words = argv + 4;
	j.n_words = argc - 4;
	buf_init(&j.dir, 4096);
	status = is_reset ? reset(&j) : run(c, &j);
	buf_fini(&j.dir);
	(void)close(j.root_fd);
	return status;
}
