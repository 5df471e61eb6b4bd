#include "maildir/layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fsx.h"
#include "maildir/dir.h"

enum {
	NAMES_MAX = 100000, /* looked at in one folder */
	FOLDERS_MAX = 1000, /* looked into */
	PATH_BYTES = 4096,
};

static bool
is_dir(int dirfd, const char *name)
{
	struct stat st;

	return fsx_stat(dirfd, name, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool
is_dovecots(struct slice name)
{
	return slice_starts(name, SLICE("dovecot"));
}

/* Whether Dovecot has written something there. */
static bool
has_dovecots(int dirfd, const char *dir)
{
	struct dir_reader r;
	struct slice name;
	bool found = false;

	if (dir_reader_open(&r, dirfd, dir) < 0)
		return false;
	for (int i = 0; i < NAMES_MAX && !found && dir_reader_next(&r, &name);
	     i++)
		found = is_dovecots(name);
	dir_reader_close(&r);
	return found;
}

/* Courier's own trees, and what is in every Maildir. */
static bool
is_known(struct slice name)
{
	return name.p[0] == '.' || slice_eq(name, SLICE("shared-folders")) ||
	    slice_starts(name, SLICE("courierimap")) ||
	    slice_eq(name, SLICE("cur")) || slice_eq(name, SLICE("new")) ||
	    slice_eq(name, SLICE("tmp"));
}

struct search {
	int root_fd;
	bool root_has;	  /* a file of Dovecot's */
	struct buf found; /* the path of a mailbox, or nothing */
	struct buf todo;  /* paths to look into, each with a NUL */
	unsigned n;	  /* of them so far */
};

/* One entry of the folder dir, "" being the root. */
static void
look_at(struct search *s, int fd, struct slice dir, struct slice name)
{
	struct buf path;
	struct stat st;

	if (is_known(name) || !is_dir(fd, (const char *)name.p))
		return;
	buf_init(&path, PATH_BYTES);
	buf_put(&path, dir);
	if (dir.n != 0)
		buf_putc(&path, '/');
	buf_put(&path, name);
	if (has_dovecots(s->root_fd, buf_cstr(&path)) ||
	    (s->root_has && dir.n == 0)) {
		buf_puts(&path, "/cur");
		if (buf_ok(&path) &&
		    fsx_stat(s->root_fd, buf_cstr(&path), &st) == 0 &&
		    S_ISDIR(st.st_mode))
			buf_put(&s->found,
			    slice_first(buf_slice(&path), buf_len(&path) - 4));
		if (buf_ok(&path))
			buf_truncate(&path, buf_len(&path) - 4);
	}
	if (buf_ok(&path) && s->n < FOLDERS_MAX) {
		s->n++;
		buf_put(&s->todo, buf_slice(&path));
		buf_putc(&s->todo, '\0');
	}
	buf_fini(&path);
}

static void
look_into(struct search *s, struct slice dir)
{
	struct dir_reader r;
	struct slice name;
	char *path = slice_dup(dir);

	if (dir_reader_open(&r, s->root_fd, dir.n != 0 ? path : ".") == 0) {
		for (int i = 0; i < NAMES_MAX && buf_len(&s->found) == 0 &&
		     dir_reader_next(&r, &name);
		     i++)
			look_at(s, dir_reader_fd(&r), dir, name);
		dir_reader_close(&r);
	}
	free(path);
}

int
layout_check(int root_fd, struct err *e)
{
	struct search s = { .root_fd = root_fd,
		.root_has = has_dovecots(root_fd, ".") };
	int rc = 0;

	buf_init(&s.found, PATH_BYTES);
	buf_init(&s.todo, FOLDERS_MAX * PATH_BYTES);
	look_into(&s, slice_of(NULL, 0));
	for (size_t at = 0; at < buf_len(&s.todo) && buf_len(&s.found) == 0;) {
		struct slice rest = slice_skip(buf_slice(&s.todo), at);
		char *dir =
		    slice_dup(slice_first(rest, slice_find(rest, '\0')));

		at += strlen(dir) + 1;
		look_into(&s, slice_str(dir));
		free(dir);
	}
	if (buf_len(&s.found) != 0)
		rc = err_set(e, ERR_LAYOUT,
		    "%s is a mailbox of Dovecot's LAYOUT=fs; only Maildir++ "
		    "is served: see docs/from-dovecot.md",
		    buf_cstr(&s.found));
	buf_fini(&s.todo);
	buf_fini(&s.found);
	return rc;
}
