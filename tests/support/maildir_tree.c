#include "tests/support/maildir_tree.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

char *tree_root;

void
tree_die(const char *what, const char *name)
{
	(void)fprintf(
	    stderr, "maildir_tree: %s %s: %s\n", what, name, strerror(errno));
	abort();
}

/* A path below the Maildir; the caller frees. */
char *
tree_path(struct slice name)
{
	char *copy = slice_dup(name), *path;

	path = mem_printf("%s/Maildir/%s", tree_root, copy);
	free(copy);
	return path;
}

static void
make_dir(const char *path)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		tree_die("mkdir", path);
}

void
tree_begin(void)
{
	static char template[] = "/tmp/postern-transcript.XXXXXX";
	char *maildir;

	tree_root = mem_strdup(template);
	if (mkdtemp(tree_root) == NULL)
		tree_die("mkdtemp", tree_root);
	maildir = tree_path(SLICE(""));
	make_dir(maildir);
	free(maildir);
}

static void
make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		tree_die("open", path);
	(void)close(fd);
}

/* The mailbox that a message's path is in: "cur/x", ".Sent/cur/x". */
static void
make_mailbox(struct slice path)
{
	static const char *const parts[] = { "cur", "new", "tmp" };
	size_t slash = slice_find(path, '/');
	struct slice dir = slice_first(path, slash);
	char *base, *part;

	if (path.n == 0 || path.p[0] != '.')
		dir.n = 0;
	base = tree_path(dir);
	make_dir(base);
	for (size_t i = 0; i < NELEMS(parts); i++) {
		part = mem_printf("%s/%s", base, parts[i]);
		make_dir(part);
		free(part);
	}
	if (dir.n != 0) {
		part = mem_printf("%s/maildirfolder", base);
		make_file(part);
		free(part);
	}
	free(base);
}

static void
write_file(const char *path, struct slice bytes)
{
	FILE *f = fopen(path, "wb");

	if (f == NULL ||
	    (bytes.n != 0 && fwrite(bytes.p, 1, bytes.n, f) != bytes.n) ||
	    fclose(f) != 0)
		tree_die("write", path);
}

void
tree_message(struct slice path, struct slice bytes)
{
	char *file = tree_path(path);

	make_mailbox(path);
	write_file(file, bytes);
	free(file);
}

/* So many messages in INBOX, one as the other. */
void
tree_messages(uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		char *path =
		    mem_printf("cur/%u.M%uP1.host:2,", 1700000000 + i, i);
		char *text = mem_printf("From: s%u@example.org\n"
					"Subject: message %u\n"
					"\n"
					"%u\n",
		    i, i, i);

		tree_message(slice_str(path), slice_str(text));
		free(path);
		free(text);
	}
}

/* As a delivery agent does it. */
bool
tree_deliver(struct slice path)
{
	char *file = tree_path(path), *tmp = tree_path(SLICE("tmp/delivery"));
	struct buf b;

	buf_init(&b, 4096);
	buf_puts(&b, "Subject: ");
	buf_put(&b, path);
	buf_puts(&b, "\n\nDelivered.\n");
	make_mailbox(path);
	write_file(tmp, buf_slice(&b));
	if (rename(tmp, file) != 0)
		tree_die("rename", file);
	buf_fini(&b);
	free(file);
	free(tmp);
	return true;
}

/* "OCTAL PATH" below the Maildir */
bool
tree_set_mode(struct slice value)
{
	struct slice octal;
	char *path;
	mode_t mode = 0;

	if (!slice_split(&value, ' ', &octal))
		return false;
	for (size_t i = 0; i < octal.n; i++)
		mode = mode * 8 + (mode_t)(octal.p[i] - '0');
	path = tree_path(value);
	if (chmod(path, mode) != 0)
		tree_die("chmod", path);
	free(path);
	return true;
}

bool
tree_rename(struct slice names)
{
	struct slice from, to = names;
	char *a, *b;
	bool ok;

	if (!slice_split(&to, ' ', &from) || to.p == NULL)
		return false;
	a = tree_path(from);
	b = tree_path(to);
	ok = rename(a, b) == 0;
	free(a);
	free(b);
	return ok;
}

bool
tree_remove(struct slice name)
{
	char *path = tree_path(name);
	bool ok = unlink(path) == 0;

	free(path);
	return ok;
}

static int
remove_entry(
    const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

void
tree_end(void)
{
	if (nftw(tree_root, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
		tree_die("remove", tree_root);
	free(tree_root);
}
