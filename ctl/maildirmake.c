/*
 * maildirmake: make Maildirs and folders, with Courier's options.
 *
 * Layer:  ctl, uses base and what of maildir needs no account.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/help.h"
#include "base/mem.h"
#include "base/paths.h"
#include "base/utf7.h"
#include "ctl/what_counts.h"
#include "maildir/dir.h"
#include "maildir/link_target.h"
#include "maildir/quota_file.h"

enum { FILE_MAX = 1024 * 1024, EXIT_EXISTS = 2 };

struct arguments {
	const char *folder, *quota, *add, *del, *mode;
	bool convert; /* the folder's name, -F */
	bool sharable, check_utf8, convert_utf8;
	const char *maildir, *filter;
};

/* Say what a system call left in errno; the exit status. */
static int
failed(const char *path)
{
	(void)fprintf(stderr, "maildirmake: %s: %s\n", path, strerror(errno));
	return 1;
}

static int
usage(void)
{
	(void)puts("Usage: maildirmake [ options ] maildir");
	return 1;
}

/* --- directories --------------------------------------------------------- */

/* Whatever the umask says, and with a sticky bit. */
static int
make_dir(const char *path, mode_t mode)
{
	return mkdir(path, mode & 0777) < 0 || chmod(path, mode) < 0
	    ? failed(path)
	    : 0;
}

static int
make_tree(const char *path, mode_t mode, mode_t below)
{
	static const char *const parts[] = { "tmp", "new", "cur" };
	int status = make_dir(path, mode);

	for (size_t i = 0; i < NELEMS(parts) && status == 0; i++) {
		char *part = mem_printf("%s/%s", path, parts[i]);

		status = make_dir(part, below);
		free(part);
	}
	return status;
}

/* -s: words that begin with r(ead), w(rite), g(roup). */
static void
folder_modes(const char *words, mode_t *mode, mode_t *below)
{
	bool group = false, start = true;

	*mode = *below = 0700;
	if (words == NULL)
		return;
	*mode = *below = 0755;
	for (const char *w = words; *w != '\0'; w++) {
		if (start && *w == 'w') {
			*mode = 01755;
			*below = 01777;
		}
		group = group || (start && *w == 'g');
		start = *w == ' ' || *w == ',';
	}
	if (group) {
		*mode &= ~(mode_t)07;
		*below &= ~(mode_t)07;
	}
}

/* -F: what would be hierarchy, a path or an info part is written in octal. */
static char *
converted(const char *name)
{
	static const struct slice special = SLICE_INIT("./:\\~");
	struct buf out;
	char *text;

	buf_init(&out, 4 * strlen(name) + 1);
	for (; *name != '\0'; name++) {
		if (slice_has(special, (uint8_t)*name))
			buf_putf(&out, "\\%03o", (unsigned)*name);
		else
			buf_putc(&out, (uint8_t)*name);
	}
	text = slice_dup(buf_slice(&out));
	buf_fini(&out);
	return text;
}

static int
make_folder(const struct arguments *a)
{
	char *name = a->convert ? converted(a->folder) : mem_strdup(a->folder);
	char *path = mem_printf("%s/.%s", a->maildir, name);
	char *mark = mem_printf("%s/maildirfolder", path);
	mode_t mode, below;
	int fd, status;

	if (name[0] == '.') {
		(void)printf("Invalid folder name: %s\n", name);
		status = 1;
	} else {
		folder_modes(a->mode != NULL ? a->mode
			: a->sharable	     ? "read"
					     : NULL,
		    &mode, &below);
		status = make_tree(path, mode, below);
	}
	if (status == 0) {
		fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || close(fd) < 0)
			status = failed(mark);
	}
	free(mark);
	free(path);
	free(name);
	return status;
}

/* --- quota --------------------------------------------------------------- */

static int
write_quota(const char *maildir, const char *limits)
{
	struct quota_usage u = { 0 }, given = { 0 };
	struct file_unique unique = { .wall_ms = clock_wall(),
		.host = "localhost" };
	struct err e = { .code = 0 };
	int fd, rc;

	/* as with Courier, no quota at all */
	if (!quota_limits_parse(slice_str(limits), &given))
		return 0;
	fd = fsx_open_dir(AT_FDCWD, maildir);
	if (fd < 0)
		return failed(maildir);
	what_counts(&u);
	u.bytes_max = given.bytes_max;
	u.messages_max = given.messages_max;
	rc = quota_file_remake(fd, &unique, &u, &e);
	(void)close(fd);
	if (rc != 0)
		(void)fprintf(stderr, "maildirmake: %s: %s\n", maildir,
		    e.text[0] != '\0' ? e.text : err_name(rc));
	return rc == 0 ? 0 : 1;
}

static int
set_quota(const struct arguments *a)
{
	mode_t mode = a->sharable ? 0755 : 0700;
	struct stat st;
	int status = 0;

	if (stat(a->maildir, &st) < 0 && errno == ENOENT)
		status = make_tree(a->maildir, mode, mode);
	return status != 0 ? status : write_quota(a->maildir, a->quota);
}

/* --- shared maildirs ----------------------------------------------------- */

/* All of a file; empty if there is none. */
static int
read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int status;

	if (fd < 0)
		return errno == ENOENT ? 0 : failed(path);
	status = fsx_read_all(fd, out) < 0 ? failed(path) : 0;
	(void)close(fd);
	return status;
}

/* By a file beside it, so that readers see the old or the new one. */
static int
replace_file(const char *path, struct slice text)
{
	char *tmp = mem_printf("%s.tmp%ld", path, (long)getpid());
	int rc = fsx_replace(AT_FDCWD, tmp, path, text, 0644, false);
	int status = rc < 0 ? failed(path) : 0;

	free(tmp);
	return status;
}

/* The file without the line of this name; whether there was one. */
static bool
without(struct slice text, struct slice name, struct buf *out)
{
	struct slice line;
	bool found = false;

	while (text.n != 0 && slice_split(&text, '\n', &line)) {
		struct slice rest = line, first;

		if (slice_split(&rest, '\t', &first) && slice_eq(first, name)) {
			found = true;
			continue;
		}
		buf_put(out, line);
		buf_putc(out, '\n');
	}
	return found;
}

static bool
is_listed(const char *path, struct slice name)
{
	struct buf text, rest;
	bool found;

	buf_init(&text, FILE_MAX);
	buf_init(&rest, FILE_MAX + 1);
	found = read_file(path, &text) == 0 &&
	    without(buf_slice(&text), name, &rest);
	buf_fini(&text);
	buf_fini(&rest);
	return found;
}

/* Why the server leaves out a Maildir that is named in a list of another; NULL:
 * it doesn't. */
static const char *
left_out(const char *path, const char *visitor)
{
	struct stat own;

	if (stat(visitor, &own) < 0)
		return NULL;
	switch (link_target_check(path, own.st_uid)) {
	case LINK_INDIRECT:
		return "there is a symbolic link or .. on the way, or a slash "
		       "too much: write what realpath prints";
	case LINK_ABSENT:
	case LINK_NO_DIRECTORY:
		return "it is no directory";
	case LINK_FOLDER:
		return "it is a folder, not a Maildir";
	case LINK_FOREIGN:
		return "it belongs to another user than this Maildir";
	case LINK_OK:
		break;
	}
	return NULL;
}

/* --add NAME=PATH */
static int
add_shared(const struct arguments *a, const char *list)
{
	struct slice path = slice_str(a->add), name;
	const char *why;
	struct stat st;
	struct buf text;
	int status;

	if (!slice_split(&path, '=', &name) || name.n == 0 || path.n == 0 ||
	    path.p[0] != '/')
		return usage();
	if (stat((const char *)path.p, &st) < 0) {
		perror((const char *)path.p);
		return 1;
	}
	if (is_listed(list, name) ||
	    is_listed(POSTERN_SYSCONFDIR "/maildirshared", name)) {
		(void)fprintf(stderr,
		    "%.*s: already defined as a sharable maildir.\n",
		    (int)name.n, (const char *)name.p);
		return EXIT_EXISTS;
	}
	why = left_out((const char *)path.p, a->maildir);
	if (why != NULL)
		(void)fprintf(stderr,
		    "maildirmake: warning: %s: %s; the server leaves it out\n",
		    (const char *)path.p, why);
	buf_init(&text, FILE_MAX);
	status = read_file(list, &text);
	buf_put(&text, name);
	buf_putc(&text, '\t');
	buf_put(&text, path);
	buf_putc(&text, '\n');
	if (status == 0)
		status = replace_file(list, buf_slice(&text));
	buf_fini(&text);
	return status;
}

/* --del NAME */
static int
del_shared(const struct arguments *a, const char *list)
{
	struct buf text, rest;
	int status;

	buf_init(&text, FILE_MAX);
	buf_init(&rest, FILE_MAX + 1);
	status = read_file(list, &text);
	if (status == 0 &&
	    !without(buf_slice(&text), slice_str(a->del), &rest)) {
		(void)fprintf(stderr, "%s: not found.\n", a->del);
		status = 1;
	}
	if (status == 0)
		status = replace_file(list, buf_slice(&rest));
	buf_fini(&text);
	buf_fini(&rest);
	return status;
}

static int
change_shared(const struct arguments *a)
{
	char *list = mem_printf("%s/shared-maildirs", a->maildir);
	int status = a->add != NULL ? add_shared(a, list) : del_shared(a, list);

	free(list);
	return status;
}

/* --- names from modified UTF-7 to UTF-8 ---------------------------------- */

/* The other spelling of a name into out; false: it stays as it is. */
static bool
respelled(struct slice name, struct buf *out, bool *wrong)
{
	buf_reset(out);
	if (!utf7_to_utf8(name, out)) {
		*wrong = true;
		return false;
	}
	return !slice_eq(buf_slice(out), name);
}

static void
complain(struct slice name)
{
	(void)fprintf(stderr,
	    "Error: %.*s: does not appear to be valid modified-UTF7\n",
	    (int)name.n, (const char *)name.p);
}

/* courierimapsubscribed: tell what would change, or change it. */
static int
respell_subscriptions(const char *maildir, bool change)
{
	char *path = mem_printf("%s/courierimapsubscribed", maildir);
	struct slice rest, line;
	struct buf text, out, name;
	bool wrong = false;
	int status;

	buf_init(&text, FILE_MAX);
	buf_init(&out, 3 * FILE_MAX);
	buf_init(&name, 4096);
	status = read_file(path, &text);
	rest = buf_slice(&text);
	while (status == 0 && rest.n != 0 && slice_split(&rest, '\n', &line)) {
		bool other = respelled(line, &name, &wrong);

		if (wrong) {
			complain(line);
			status = 1;
		}
		if (other && !change)
			(void)printf("Subscription to %.*s changed to %s\n",
			    (int)line.n, (const char *)line.p, buf_cstr(&name));
		buf_put(&out, other ? buf_slice(&name) : line);
		buf_putc(&out, '\n');
	}
	if (status == 0 && buf_len(&text) != 0 && change)
		status = replace_file(path, buf_slice(&out));
	buf_fini(&text);
	buf_fini(&out);
	buf_fini(&name);
	free(path);
	return status;
}

static int
rename_one(int fd, struct slice dir, struct buf *name, bool change)
{
	bool wrong = false;
	char *to;
	int status = 0;

	if (!respelled(slice_skip(dir, 1), name, &wrong)) {
		/* while they are renamed, those that were come by again */
		if (!wrong || change)
			return 0;
		complain(slice_skip(dir, 1));
		return 1;
	}
	if (!change)
		(void)printf("Rename INBOX%.*s to INBOX.%s\n", (int)dir.n,
		    (const char *)dir.p, buf_cstr(name));
	to = mem_printf(".%s", buf_cstr(name));
	if (change && fsx_rename_new(fd, (const char *)dir.p, fd, to) < 0)
		status = failed(to);
	free(to);
	return status;
}

/* The folders: first what would go wrong is looked for, then it is done. */
static int
respell_folders(const char *maildir, bool change)
{
	struct dir_reader r;
	struct slice dir;
	struct buf name;
	int status = 0;

	if (dir_reader_open(&r, AT_FDCWD, maildir) < 0)
		return failed(maildir);
	buf_init(&name, 4096);
	while (dir_reader_next(&r, &dir)) {
		struct stat st;

		if (dir.n < 2 || dir.p[0] != '.' ||
		    fsx_stat(dir_reader_fd(&r), (const char *)dir.p, &st) < 0 ||
		    !S_ISDIR(st.st_mode))
			continue;
		status |= rename_one(dir_reader_fd(&r), dir, &name, change);
	}
	dir_reader_close(&r);
	buf_fini(&name);
	return status;
}

static int
respell(const struct arguments *a)
{
	char *list = mem_printf("%s/courierimapsubscribed", a->maildir);
	struct stat st;
	bool listed = stat(list, &st) == 0;
	int status = 0;

	(void)printf("Checking %s:\n", a->maildir);
	if (a->filter != NULL) {
		(void)fprintf(stderr,
		    "maildirmake: %s: filters of maildrop aren't changed: see "
		    "to it by hand\n",
		    a->filter);
		status = 1;
	}
	if (status == 0)
		status = respell_subscriptions(a->maildir, false);
	if (status == 0)
		status = respell_folders(a->maildir, false);
	if (status == 0 && listed)
		(void)printf(
		    "%s %s\n", a->convert_utf8 ? "Updating" : "Verified", list);
	if (status == 0 && a->convert_utf8)
		status = respell_folders(a->maildir, true);
	if (status == 0 && a->convert_utf8)
		status = respell_subscriptions(a->maildir, true);
	free(list);
	return status;
}

/* --- main ---------------------------------------------------------------- */

static bool
arguments_parse(int argc, char *argv[], struct arguments *a)
{
	enum { ADD = 256, DEL, CHECK, CONVERT };
	static const struct option options[] = {
		{ "add", required_argument, NULL, ADD },
		{ "del", required_argument, NULL, DEL },
		{ "checkutf8", no_argument, NULL, CHECK },
		{ "convutf8", no_argument, NULL, CONVERT },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	opterr = 0;
	while (
	    (c = getopt_long(argc, argv, "+f:F:q:s:S", options, NULL)) != -1) {
		switch (c) {
		case 'f':
		case 'F':
			a->folder = optarg;
			a->convert = c == 'F';
			break;
		case 'q':
			a->quota = optarg;
			break;
		case 's':
			a->mode = optarg;
			break;
		case 'S':
			a->sharable = true;
			break;
		case ADD:
			a->add = optarg;
			break;
		case DEL:
			a->del = optarg;
			break;
		case CHECK:
			a->check_utf8 = true;
			break;
		case CONVERT:
			a->convert_utf8 = true;
			break;
		default:
			return false;
		}
	}
	if (optind == argc)
		return false;
	a->maildir = argv[optind++];
	if (optind < argc && (a->check_utf8 || a->convert_utf8))
		a->filter = argv[optind++];
	return optind == argc && (a->mode == NULL || a->folder != NULL);
}

int
main(int argc, char *argv[])
{
	struct arguments a = { .folder = NULL };

	if (help_asked(argc, argv,
		"Usage: maildirmake [-S] [-q quota] maildir\n"
		"       maildirmake [-s mode] -f folder | -F folder maildir\n"
		"       maildirmake --add name=path maildir\n"
		"       maildirmake --del name maildir\n"
		"       maildirmake --checkutf8 | --convutf8 maildir\n"))
		return 0;
	if (!arguments_parse(argc, argv, &a))
		return usage();
	(void)umask(0);
	if (a.check_utf8 || a.convert_utf8)
		return respell(&a);
	if (a.add != NULL || a.del != NULL)
		return change_shared(&a);
	if (a.folder != NULL)
		return make_folder(&a);
	if (a.quota != NULL)
		return set_quota(&a);
	return make_tree(a.maildir, a.sharable ? 0755 : 0700, 0700);
}
