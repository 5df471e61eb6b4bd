/*
 * deliverquota: deliver a message into a Maildir that has a quota, with
 * Courier's options and exit codes.
 *
 * Layer:  ctl, uses base, conf and what of maildir needs no account.
 *
 * It is run by mail servers and filters, as the user whose mail it is; run by
 * root it becomes the owner of the Maildir.  What
 * the quota doesn't count is as the server's configuration says; a user who
 * may not read that gets what configure was told.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/help.h"
#include "base/mem.h"
#include "base/paths.h"
#include "ctl/owner.h"
#include "ctl/what_counts.h"
#include "maildir/deliver.h"

enum { PIECE = 65536, WARNING_MAX = 1024 * 1024 };

struct arguments {
	bool create;
	unsigned warn_percent; /* 0: no warning */
	const char *warn_file;
	int full_status; /* exit status when there is no room */
	const char *maildir, *quota;
};

static int
failed(const char *path, const struct err *e)
{
	(void)fprintf(stderr, "deliverquota: %s: %s\n", path,
	    e != NULL ? e->text : strerror(errno));
	return EX_TEMPFAIL;
}

/* --- the Maildir ---------------------------------------------------------- */

/* mkdir -p, as nobody else's. */
static int
make_parents(const char *path)
{
	char *copy = mem_strdup(path);
	int rc = 0;

	for (char *p = copy + 1; *p != '\0' && rc == 0; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		rc = mkdir(copy, 0700);
		*p = '/';
		rc = rc < 0 && errno != EEXIST ? -1 : 0;
	}
	if (rc == 0 && mkdir(copy, 0700) < 0 && errno != EEXIST)
		rc = -1;
	free(copy);
	return rc;
}

/* Root goes on as the owner of what is there of the path already. */
static int
become_owner(const char *path)
{
	const char *start = path[0] == '/' ? "/" : ".";
	char *there = mem_strdup(path), *slash;
	int fd;

	while ((fd = owner_open(*there != '\0' ? there : start)) < 0 &&
	    errno == ENOENT && *there != '\0') {
		slash = strrchr(there, '/');
		*(slash != NULL ? slash : there) = '\0';
	}
	free(there);
	return fd < 0 ? -1 : close(fd);
}

static int
make_maildir(const char *path)
{
	static const char *const parts[] = { "tmp", "new", "cur" };
	int fd, rc = 0;

	if (*path == '\0' || (geteuid() == 0 && become_owner(path) < 0) ||
	    make_parents(path) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	for (size_t i = 0; i < NELEMS(parts) && rc == 0; i++)
		rc = fsx_mkdir(fd, parts[i], 0700) < 0 && errno != EEXIST ? -1
									  : 0;
	(void)close(fd);
	return rc;
}

/* The directory that maildirsize is in: the Maildir of a folder. */
static int
open_root(int dir_fd)
{
	struct stat st;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), up;

	while (fd >= 0 && fsx_stat(fd, "maildirfolder", &st) == 0) {
		up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)close(fd);
		fd = up;
	}
	return fd;
}

static bool
is_trash(const char *maildir, const char *trash_dir)
{
	struct slice path = slice_str(maildir);

	while (path.n != 0 && path.p[path.n - 1] == '/')
		path.n--;
	return slice_ends(path, slice_str(trash_dir)) &&
	    (path.n == strlen(trash_dir) ||
		path.p[path.n - strlen(trash_dir) - 1] == '/');
}

/* --- delivery ------------------------------------------------------------- */

static int
copy_input(struct delivery *d, struct err *e)
{
	uint8_t bytes[PIECE];
	ssize_t n;

	while ((n = TEMP_FAILURE_RETRY(
		    read(STDIN_FILENO, bytes, sizeof(bytes)))) > 0) {
		int rc = delivery_write(d, slice_of(bytes, (size_t)n), e);

		if (rc != 0)
			return rc;
	}
	return n == 0 ? 0 : err_sys(e, "read standard input");
}

/* There is no warning without its text; and a message that was delivered
 * remains so whatever comes of the warning. */
static void
warn(const struct arguments *a, struct deliver_to to,
    const struct quota_usage *u)
{
	struct buf text;
	struct err e = { .code = 0 };
	int fd, rc;

	if (a->warn_percent == 0 ||
	    (u->bytes_max == 0 && u->messages_max == 0) ||
	    quota_percent(u) < a->warn_percent)
		return;
	fd = open(a->warn_file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	buf_init(&text, WARNING_MAX);
	rc = fsx_read_all(fd, &text);
	(void)close(fd);
	to.unique.counter += 2;
	if (rc == 0 && deliver_warning(&to, buf_slice(&text), &e) < 0)
		(void)failed(a->maildir, &e);
	buf_fini(&text);
}

static int
deliver(const struct arguments *a, const struct deliver_to *to,
    const struct quota_usage *how)
{
	struct delivery d = { .fd = -1 };
	struct err e = { .code = 0 };
	int rc = 0;

	if (a->quota != NULL)
		rc = quota_file_limit(
		    to->root_fd, &to->unique, slice_str(a->quota), how, &e);
	if (rc == 0)
		rc = delivery_begin(&d, to, &e);
	if (rc == 0)
		rc = copy_input(&d, &e);
	if (rc == 0)
		rc = delivery_commit(&d, &e);
	if (rc == 0)
		warn(a, *to, &d.usage);
	delivery_fini(&d);
	if (rc == 0)
		return EX_OK;
	/* the disk's own quota too is full, but for its owner to see to */
	if (rc != ERR_QUOTA || e.sys != 0)
		return failed(a->maildir, &e);
	(void)puts("Mail quota exceeded.");
	return a->full_status;
}

/* That of whoever runs us. */
static mode_t
file_umask(void)
{
	mode_t mask = umask(077);

	(void)umask(mask);
	return mask;
}

static int
deliver_into(const struct arguments *a)
{
	char name[256] = "localhost";
	struct deliver_to to = { .mode = 0666 & ~file_umask(), .sync = true };
	struct quota_usage how = { 0 };
	char *host;
	struct quota_usage limits;
	int status;

	if (gethostname(name, sizeof(name) - 1) < 0)
		(void)snprintf(name, sizeof(name), "localhost");
	host = file_name_host(name);
	to.unique = (struct file_unique){ clock_wall(), 0, host };
	what_counts(&how);
	to.trash_dir = how.trash_dir;
	to.count_all = how.all;
	to.counts = how.all || !is_trash(a->maildir, how.trash_dir);
	to.given = a->quota != NULL &&
	    quota_limits_parse(slice_str(a->quota), &limits);
	to.dir_fd = owner_open(a->maildir);
	to.root_fd = to.dir_fd < 0 ? -1 : open_root(to.dir_fd);
	status =
	    to.root_fd < 0 ? failed(a->maildir, NULL) : deliver(a, &to, &how);
	if (to.root_fd >= 0)
		(void)close(to.root_fd);
	if (to.dir_fd >= 0)
		(void)close(to.dir_fd);
	free(host);
	return status;
}

/* --- main ----------------------------------------------------------------- */

static const char usage_text[] =
    "Usage: deliverquota [-c] [-w percent] [-W file] "
    "[-x status] maildir [quota]\n";

static int
usage(void)
{
	(void)fputs(usage_text, stderr);
	return EX_CANTCREAT;
}

/* Courier's takes an option only when more follows. */
static bool
arguments_parse(int argc, char *argv[], struct arguments *a)
{
	int i = 1;

	for (; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "-c") == 0) {
			a->create = true;
			continue;
		}
		if (next == NULL)
			break;
		if (strcmp(argv[i], "-w") == 0)
			a->warn_percent = (unsigned)strtoul(next, NULL, 10);
		else if (strcmp(argv[i], "-W") == 0)
			a->warn_file = next;
		else if (strcmp(argv[i], "-x") == 0)
			a->full_status = (int)strtol(next, NULL, 10);
		else
			break;
		i++;
	}
	a->maildir = i < argc ? argv[i] : NULL;
	a->quota = i + 1 < argc ? argv[i + 1] : NULL;
	return a->maildir != NULL && a->full_status > 0 && a->full_status < 126;
}

int
main(int argc, char *argv[])
{
	struct arguments a = { .warn_file = POSTERN_SYSCONFDIR "/quotawarnmsg",
		.full_status = DELIVERQUOTA_FULL };

	if (help_asked(argc, argv, usage_text))
		return 0;
	if (!arguments_parse(argc, argv, &a))
		return usage();
	if (a.create && make_maildir(a.maildir) < 0)
		return failed(a.maildir, NULL);
	return deliver_into(&a);
}
