/*
 * maildirkw: set, add, remove and list keywords of messages, by Courier's
 * files, with Courier's options and exit codes.
 *
 * Layer:  ctl, uses base and what of maildir needs no account.
 *
 * A change is a file courierimapkeywords/BASENAME with the whole new set, a
 * keyword a line, made in tmp/ and renamed there (maildir/foreign.h).  The
 * server takes it over as soon as it looks at the mailbox, whether a session
 * has it open or not.  -a and -r begin with what Postern knows of the message,
 * as Courier's files may be a minute old.
 *
 * Root becomes the owner of the Maildir first: files of root's in it would be
 * of no use to anybody.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fsx.h"
#include "base/help.h"
#include "base/mem.h"
#include "ctl/owner.h"
#include "ctl/present_keywords.h"
#include "maildir/courier_lock.h"
#include "maildir/file_name.h"
#include "maildir/foreign.h"

#define KEYWORD_DIR "courierimapkeywords"

enum {
	SET_MAX = 64 * 1024,	   /* bytes of one message's keywords */
	LOCK_PAUSE_NS = 100000000, /* between two tries */
	LOCK_TRIES = 1500, /* a lock of elsewhere is stale after 120 s */
};

enum how { REPLACE, ADD, REMOVE };

struct arguments {
	bool case_sensitive, lock, list;
	enum how how;
	const char *maildir, *message;
	char **keywords;
	int n_keywords;
};

static const char usage_text[] =
    "Usage: maildirkw [-c] [-l] [-a | -r] maildir message [keyword...]\n"
    "       maildirkw [-c] [-l] -L maildir\n";

static int
usage(void)
{
	(void)fputs(usage_text, stderr);
	return 1;
}

static int
failed(const char *path)
{
	(void)fprintf(stderr, "maildirkw: %s: %s\n", path, strerror(errno));
	return 1;
}

/* --- the set of a message ------------------------------------------------- */

static bool
same(const struct arguments *a, struct slice x, struct slice y)
{
	return a->case_sensitive ? slice_eq(x, y) : slice_ieq(x, y);
}

static bool
is_argument(const struct arguments *a, struct slice name)
{
	for (int i = 0; i < a->n_keywords; i++)
		if (same(a, slice_str(a->keywords[i]), name))
			return true;
	return false;
}

/* Whether a line of it has the keyword. */
static bool
has_line(const struct arguments *a, struct slice set, struct slice name)
{
	struct slice line;

	while (set.n != 0 && slice_split(&set, '\n', &line))
		if (same(a, line, name))
			return true;
	return false;
}

static void
put_once(const struct arguments *a, struct buf *out, struct slice name)
{
	if (name.n == 0 || has_line(a, buf_slice(out), name))
		return;
	buf_put(out, name);
	buf_putc(out, '\n');
}

/* What the message has now, but for what goes. */
static void
put_present(const struct arguments *a, const struct foreign_keywords *k,
    struct slice base, struct buf *out)
{
	for (size_t i = 0; i < k->n; i++) {
		if (!slice_eq(k->v[i].base, base))
			continue;
		for (size_t j = 0; j < k->v[i].n; j++) {
			struct slice name =
			    k->names[k->indexes[k->v[i].at + j]];

			if (a->how == ADD || !is_argument(a, name))
				put_once(a, out, name);
		}
	}
}

/* The Maildir of a folder, and the folder's directory in it; the caller
 * frees. */
static char *
find_root(const struct arguments *a, int fd, const char **dir)
{
	struct stat st;
	char *path = realpath(a->maildir, NULL), *slash;

	*dir = "";
	if (path == NULL || fsx_stat(fd, "maildirfolder", &st) < 0)
		return path;
	slash = strrchr(path, '/');
	if (slash != NULL && slash != path) {
		*slash = '\0';
		*dir = slash + 1;
	}
	return path;
}

/* By Postern's index if the message is in it: 1; 0: it isn't; ERR_*. */
static int
put_known(const struct arguments *a, int fd, struct slice base, struct buf *out,
    struct err *e)
{
	const char *dir;
	char *root = find_root(a, fd, &dir);
	struct buf known;
	struct slice rest, name;
	int rc;

	if (root == NULL)
		return err_sys(e, "%s", a->maildir);
	buf_init(&known, SET_MAX);
	rc = present_keywords(root, dir, base, &known, e);
	rest = buf_slice(&known);
	while (rc == 1 && rest.n != 0 && slice_split(&rest, '\n', &name))
		if (a->how == ADD || !is_argument(a, name))
			put_once(a, out, name);
	buf_fini(&known);
	free(root);
	return rc;
}

static int
make_set(const struct arguments *a, int fd, struct slice base, struct buf *out,
    struct err *e)
{
	struct foreign_keywords k;
	int rc = a->how == REPLACE ? 1 : put_known(a, fd, base, out, e);

	if (rc < 0)
		return rc;
	if (rc == 0 && (rc = courier_keywords_read(fd, "", &k, e)) == 1) {
		put_present(a, &k, base, out);
		foreign_keywords_fini(&k);
	}
	if (rc < 0)
		return rc;
	for (int i = 0; i < a->n_keywords && a->how != REMOVE; i++)
		put_once(a, out, slice_str(a->keywords[i]));
	return buf_ok(out) ? 0 : err_set(e, ERR_LIMIT, "too many keywords");
}

/* --- changing ------------------------------------------------------------- */

/* Its mode is that of the Maildir. */
static int
make_dir(int fd)
{
	struct stat st;

	if (fsx_mkdir(fd, KEYWORD_DIR, 0700) < 0)
		return errno == EEXIST ? 0 : -1;
	return fstat(fd, &st) < 0 ||
		fchmodat(fd, KEYWORD_DIR, st.st_mode & 0777, 0) < 0
	    ? -1
	    : 0;
}

static int
write_set(const struct arguments *a, int fd, struct slice base,
    struct slice set, const struct file_unique *u)
{
	struct buf tmp, path;
	int status = 0;

	buf_init(&tmp, 1024);
	buf_puts(&tmp, "tmp/");
	file_name_tmp(&tmp, u);
	buf_init(&path, 1024);
	buf_puts(&path, KEYWORD_DIR "/");
	buf_put(&path, base);
	if (make_dir(fd) < 0)
		status = failed(a->maildir);
	else if (fsx_replace(
		     fd, buf_cstr(&tmp), buf_cstr(&path), set, 0644, false) < 0)
		status = failed(buf_cstr(&path));
	buf_fini(&path);
	buf_fini(&tmp);
	return status;
}

static int
change(const struct arguments *a, int fd, const struct file_unique *u)
{
	struct file_name f;
	struct err e = { .code = 0 };
	struct buf set;
	int status;

	file_name_parse(slice_str(a->message), false, &f);
	if (f.base.n == 0 || f.base.p[0] == '.' || f.base.p[0] == ':' ||
	    slice_has(f.base, '/')) {
		errno = ENOENT;
		return failed(a->message);
	}
	buf_init(&set, SET_MAX);
	if (make_set(a, fd, f.base, &set, &e) == 0) {
		status = write_set(a, fd, f.base, buf_slice(&set), u);
	} else {
		(void)fprintf(
		    stderr, "maildirkw: %s: %s\n", a->message, e.text);
		status = 1;
	}
	buf_fini(&set);
	return status;
}

/* --- listing -------------------------------------------------------------- */

static int
list(int fd)
{
	struct foreign_keywords k;
	struct err e = { .code = 0 };
	int rc;

	if ((rc = courier_keywords_read(fd, "", &k, &e)) != 1) {
		if (rc < 0)
			(void)fprintf(stderr, "maildirkw: %s\n", e.text);
		return rc < 0;
	}
	for (size_t i = 0; i < k.n; i++) {
		(void)printf("%.*s", SLICE_ARG(k.v[i].base));
		for (size_t j = 0; j < k.v[i].n; j++)
			(void)printf(" %.*s",
			    SLICE_ARG(k.names[k.indexes[k.v[i].at + j]]));
		(void)putchar('\n');
	}
	foreign_keywords_fini(&k);
	return fflush(stdout) == 0 ? 0 : failed("standard output");
}

/* --- main ----------------------------------------------------------------- */

static int
take_lock(int fd, struct file_unique *u, const char *maildir)
{
	const struct timespec pause = { 0, LOCK_PAUSE_NS };
	struct err e = { .code = 0 };
	int rc = courier_lock_take(fd, "", u, &e);

	for (int i = 0; rc == ERR_BUSY && i < LOCK_TRIES; i++) {
		(void)nanosleep(&pause, NULL);
		u->wall_ms = clock_wall();
		rc = courier_lock_take(fd, "", u, &e);
	}
	if (rc != 0)
		(void)fprintf(stderr, "maildirkw: %s: %s\n", maildir, e.text);
	return rc;
}

static int
run(const struct arguments *a)
{
	char name[256] = "localhost";
	struct file_unique u = { .wall_ms = clock_wall() };
	int fd = owner_open(a->maildir), status;
	char *host;

	if (fd < 0)
		return a->list && errno == ENOENT ? 0 : failed(a->maildir);
	if (gethostname(name, sizeof(name) - 1) < 0)
		(void)snprintf(name, sizeof(name), "localhost");
	host = file_name_host(name);
	u.host = host;
	if (a->lock && take_lock(fd, &u, a->maildir) != 0) {
		status = 1;
	} else {
		status = a->list ? list(fd) : change(a, fd, &u);
		if (a->lock)
			courier_lock_release(fd, "");
	}
	free(host);
	(void)close(fd);
	return status;
}

static bool
arguments_parse(int argc, char *argv[], struct arguments *a)
{
	int c;

	while ((c = getopt(argc, argv, "+clarL")) != -1) {
		switch (c) {
		case 'c':
			a->case_sensitive = true;
			break;
		case 'l':
			a->lock = true;
			break;
		case 'a':
			a->how = ADD;
			break;
		case 'r':
			a->how = REMOVE;
			break;
		case 'L':
			a->list = true;
			break;
		default:
			return false;
		}
	}
	if (argc - optind < (a->list ? 1 : 2))
		return false;
	a->maildir = argv[optind];
	if (a->list)
		return true;
	a->message = argv[optind + 1];
	a->keywords = argv + optind + 2;
	a->n_keywords = argc - optind - 2;
	for (int i = 0; i < a->n_keywords; i++)
		if (strchr(a->keywords[i], '\n') != NULL)
			return false;
	return true;
}

int
main(int argc, char *argv[])
{
	struct arguments a = { .how = REPLACE };

	if (help_asked(argc, argv, usage_text))
		return 0;
	if (!arguments_parse(argc, argv, &a))
		return usage();
	return run(&a);
}
