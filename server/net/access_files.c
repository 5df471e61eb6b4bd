/*
 * access_files: the rules of a file or of a directory of files.
 *
 * Courier's *.dat files are not read: they are made from these texts.
 */
#include "config.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "server/net/access.h"

/* Names that are nobody's rules. */
static bool
is_left_over(struct slice name)
{
	return name.p[0] == '.' || slice_ends(name, SLICE("~")) ||
	    slice_ends(name, SLICE(".dpkg-old")) ||
	    slice_ends(name, SLICE(".dpkg-new")) ||
	    slice_ends(name, SLICE(".dpkg-dist")) ||
	    slice_ends(name, SLICE(".dpkg-tmp")) ||
	    slice_ends(name, SLICE(".dpkg-bak")) ||
	    slice_ends(name, SLICE(".rpmsave")) ||
	    slice_ends(name, SLICE(".rpmnew")) ||
	    slice_ends(name, SLICE(".rpmorig"));
}

static int
wanted(const struct dirent *d)
{
	return !is_left_over(slice_str(d->d_name));
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool
load_file(
    struct access *a, const char *path, const struct access_reader *reader)
{
	struct buf text;
	struct stat st;
	bool good = false;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return errno == ENOENT; /* removed meanwhile */
	buf_init(&text, ACCESS_FILE_MAX);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		good = true; /* a directory in the directory is left alone */
	else if (fsx_read_all(fd, &text) == 0) {
		access_add_text(a, path, buf_slice(&text), reader);
		good = true;
	}
	buf_fini(&text);
	(void)close(fd);
	return good;
}

static bool
load_dir(struct access *a, const char *path, const struct access_reader *reader)
{
	struct dirent **names;
	int n = scandir(path, &names, wanted, by_name);
	bool good = n >= 0;

	for (int i = 0; i < n; i++) {
		char *file = mem_printf("%s/%s", path, names[i]->d_name);

		good = good && load_file(a, file, reader);
		free(file);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return good;
}

static struct access *
load_path(const char *path, const struct access_reader *reader)
{
	struct access *a = access_new();
	struct stat st;
	bool good;

	if (stat(path, &st) != 0)
		good = errno == ENOENT;
	else if (S_ISDIR(st.st_mode))
		good = load_dir(a, path, reader);
	else
		good = load_file(a, path, reader);
	if (good)
		access_seal(a);
	else
		access_free(&a);
	return a;
}

/* Where the text is that "F.dat" was made from; the caller frees. */
static char *
text_path(const char *path)
{
	struct slice s = slice_str(path);
	struct slice dat = SLICE(".dat");

	if (slice_ends(s, dat))
		s = slice_first(s, s.n - dat.n);
	return slice_dup(s);
}

struct access *
access_load(const char *path, const struct access_reader *reader)
{
	char *text = text_path(path);
	struct access *a = load_path(text, reader);
	int saved = errno;

	free(text);
	errno = saved;
	return a;
}

bool
access_text_is_missing(const char *path)
{
	char *text = text_path(path), *dat = mem_printf("%s.dat", text);
	bool missing = *text != '\0' && access(text, F_OK) != 0 &&
	    access(dat, F_OK) == 0;

	free(dat);
	free(text);
	return missing;
}

static uint64_t
stir(uint64_t h, uint64_t v)
{
	h ^= v;
	h *= 0x100000001b3u;
	return h ^ (h >> 29);
}

static uint64_t
stir_stat(uint64_t h, const struct stat *st)
{
	h = stir(h, (uint64_t)st->st_dev);
	h = stir(h, (uint64_t)st->st_ino);
	h = stir(h, (uint64_t)st->st_size);
	h = stir(h, (uint64_t)st->st_mtim.tv_sec);
	h = stir(h, (uint64_t)st->st_mtim.tv_nsec);
	h = stir(h, (uint64_t)st->st_ctim.tv_sec);
	return stir(h, (uint64_t)st->st_ctim.tv_nsec);
}

static uint64_t
fingerprint(const char *path)
{
	uint64_t h = 0xcbf29ce484222325u;
	struct dirent **names;
	struct stat st;
	int n;

	if (stat(path, &st) != 0)
		return 0;
	h = stir_stat(h, &st);
	if (!S_ISDIR(st.st_mode))
		return h | 1;
	n = scandir(path, &names, wanted, by_name);
	for (int i = 0; i < n; i++) {
		char *file = mem_printf("%s/%s", path, names[i]->d_name);

		if (stat(file, &st) == 0)
			h = stir_stat(h, &st);
		free(file);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return h | 1;
}

uint64_t
access_fingerprint(const char *path)
{
	char *text = text_path(path);
	uint64_t h = fingerprint(text);

	free(text);
	return h;
}
