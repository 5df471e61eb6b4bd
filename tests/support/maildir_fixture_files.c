#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/maildir_fixture.h"

static unsigned serial;

const char *
fixture_path(const struct fixture *f, const char *name)
{
	static char text[8][1024];
	static unsigned turn;
	char *to = text[turn++ % 8];

	(void)snprintf(to, sizeof(text[0]), "%s/%s", f->path, name);
	return to;
}

static void
write_now(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

void
write_file(const char *path, const char *text)
{
	next_tick();
	write_now(path, text);
}

char *
read_file(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = mem_zalloc(1, 1 << 20);

	assert_non_null(in);
	text[fread(text, 1, (1 << 20) - 1, in)] = '\0';
	(void)fclose(in);
	return text;
}

void
assert_file(struct fixture *f, const char *name, const char *expected)
{
	char *text = read_file(fixture_path(f, name));

	assert_string_equal(text, expected);
	free(text);
}

void
put_dir(struct fixture *f, const char *name)
{
	next_tick();
	assert_int_equal(mkdir(fixture_path(f, name), 0700), 0);
}

unsigned
count_files(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;
	struct dirent *entry;

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		n += entry->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

void
age_dir(const struct fixture *f, const char *dir)
{
	const time_t then = (time_t)(f->wall_ms / 1000 - 100);
	const struct timespec t[2] = { { then, 0 }, { then, 0 } };

	assert_int_equal(utimensat(AT_FDCWD, fixture_path(f, dir), t, 0), 0);
}

const char *
deliver(struct fixture *f, const char *dir, const char *text)
{
	static char name[256];
	char from[512], to[512];

	(void)snprintf(name, sizeof(name), "%lld.P%ldQ%u.host.test",
	    (long long)(f->wall_ms / 1000), (long)getpid(), serial++);
	(void)snprintf(from, sizeof(from), "%stmp/%s", dir, name);
	(void)snprintf(to, sizeof(to), "%snew/%s", dir, name);
	write_file(fixture_path(f, from), text);
	assert_int_equal(rename(fixture_path(f, from), fixture_path(f, to)), 0);
	return name;
}

void
put_cur(struct fixture *f, const char *name, const char *text)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "cur/%s", name);
	write_file(fixture_path(f, path), text);
}

void
put_many(struct fixture *f, const char *dir, unsigned n, const char *rest,
    const char *text)
{
	char path[512];

	next_tick();
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(
		    path, sizeof(path), "%s%u%s", dir, 1000000 + i, rest);
		write_now(fixture_path(f, path), text);
	}
}

void
put_uid_lines(FILE *out, unsigned first, unsigned from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)fprintf(out, "%u %u.M1P1.host,S=40\n", first + 2 * i,
		    1000000 + from + i);
}

void
write_uid_list(
    struct fixture *f, const char *name, unsigned validity, unsigned n)
{
	FILE *out = fopen(fixture_path(f, name), "w");

	assert_non_null(out);
	(void)fprintf(out, "1 %u %u\n", validity, 2 * n + 1);
	put_uid_lines(out, 1, 0, n);
	assert_int_equal(fclose(out), 0);
}
