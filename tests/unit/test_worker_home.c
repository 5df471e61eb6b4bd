/* A home directory is made from a skeleton, a few files at a time. */
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/worker_home.h"

/* The file system has none. */
static bool no_locks;

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

int
__wrap_flock(int fd, int operation)
{
	if (no_locks) {
		errno = ENOLCK;
		return -1;
	}
	return __real_flock(fd, operation);
}

enum { FILES = 100, LARGE = 2 * 1024 * 1024 };

static void
put(const char *path, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	char *bytes = mem_zalloc(n, 1);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(close(fd), 0);
	free(bytes);
}

static off_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static char dir[32];

/* An empty skeleton, in a directory that is the current one. */
static int
set_up(void **state)
{
	(void)state;
	(void)strcpy(dir, "/tmp/postern-home.XXXXXX");
	return mkdtemp(dir) == NULL || chdir(dir) < 0 ||
	    mkdir("skel", 0700) < 0;
}

static int
tear_down(void **state)
{
	char *remove = mem_printf("rm -r %s", dir);
	int rc = chdir("/");

	(void)state;
	rc = rc != 0 ? rc : system(remove);
	free(remove);
	return rc;
}

static void
copies_a_few_at_a_time(void **state)
{
	char path[64];
	struct home_copy *c;
	unsigned steps = 1;

	(void)state;
	assert_int_equal(mkdir("skel/sub", 0700), 0);
	put("skel/large", LARGE);
	for (int i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "skel/sub/%d", i);
		put(path, 1);
	}
	c = home_copy_new("parent/home", "skel");
	for (; home_copy_step(c, 1) == HOME_MORE; steps++)
		assert_true(size_of("parent/home/large") <=
		    (off_t)(steps * 300 * 1024));
	home_copy_free(&c);
	/* of files, and of their bytes */
	assert_true(steps >= FILES / 10 + LARGE / (300 * 1024));
	assert_int_equal(size_of("parent/home/large"), LARGE);
	for (int i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "parent/home/sub/%d", i);
		assert_int_equal(size_of(path), 1);
	}
	assert_int_equal(mode_of("parent/home"), 0700);
}

static enum home_step
step_until(struct home_copy *c, int64_t now_ms)
{
	enum home_step step;

	while ((step = home_copy_step(c, now_ms)) == HOME_MORE)
		;
	return step;
}

/* Two copies of a skeleton that takes some steps; the first has begun. */
static void
begin_two(struct home_copy **a, struct home_copy **b)
{
	put("skel/large", LARGE);
	*a = home_copy_new("home", "skel");
	*b = home_copy_new("home", "skel");
	assert_int_equal(home_copy_step(*a, 1), HOME_MORE);
}

/* Another process has it: that is waited for, and nothing is left to do. */
static void
waits_for_another(void **state)
{
	struct home_copy *a, *b;

	(void)state;
	begin_two(&a, &b);
	assert_int_equal(mode_of("home"), 04700);
	assert_int_equal(home_copy_step(b, 1), HOME_WAITS);
	assert_int_equal(step_until(a, 1), HOME_DONE);
	assert_int_equal(mode_of("home"), 0700);
	home_copy_free(&a);
	/* the user may do with it what he likes by now */
	assert_int_equal(unlink("home/large"), 0);
	assert_int_equal(home_copy_step(b, 1), HOME_DONE);
	home_copy_free(&b);
	assert_int_equal(size_of("home/large"), -1);
}

/* Not for ever. */
static void
waits_so_long(void **state)
{
	struct home_copy *a, *b;

	(void)state;
	begin_two(&a, &b);
	assert_int_equal(home_copy_step(b, 1), HOME_WAITS);
	assert_int_equal(home_copy_step(b, HOME_WAIT_MS), HOME_WAITS);
	assert_int_equal(home_copy_step(b, 1 + HOME_WAIT_MS), HOME_DONE);
	home_copy_free(&b);
	home_copy_free(&a);
}

/* Another process dies, or gives up, within the file of the first step. */
static void
ends_within_a_file(bool dies)
{
	struct home_copy *c;
	int status = 0;
	pid_t pid = dies ? fork() : 0;

	assert_true(pid >= 0);
	if (pid != 0) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		return;
	}
	c = home_copy_new("home", "skel");
	if (home_copy_step(c, 1) != HOME_MORE)
		status = 1;
	if (dies)
		_exit(status);
	assert_int_equal(status, 0);
	home_copy_free(&c);
	assert_int_equal(size_of("home/sub/.postern-home.tmp"), -1);
}

/* Nothing is left open, locked or cut short; what is there stays, and the next
 * one does the rest. */
static void
goes_on_after(bool dies)
{
	struct home_copy *c;

	assert_int_equal(mkdir("skel/sub", 0700), 0);
	put("skel/sub/large", LARGE);
	ends_within_a_file(dies);
	assert_int_equal(size_of("home/sub/large"), -1);
	put("home/own", 2);
	put("skel/own", 1);
	put("skel/another", 1);
	c = home_copy_new("home", "skel");
	assert_int_equal(step_until(c, 1), HOME_DONE);
	home_copy_free(&c);
	assert_int_equal(size_of("home/own"), 2);
	assert_int_equal(size_of("home/another"), 1);
	assert_int_equal(size_of("home/sub/large"), LARGE);
	assert_int_equal(mode_of("home/sub/large"), 0640);
	assert_int_equal(size_of("home/sub/.postern-home.tmp"), -1);
	assert_int_equal(mode_of("home"), 0700);
}

static void
goes_on_after_the_dead(void **state)
{
	(void)state;
	goes_on_after(true);
}

static void
goes_on_after_another(void **state)
{
	(void)state;
	goes_on_after(false);
}

static unsigned
count_entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	assert_int_equal(closedir(d), 0);
	return n - 2;
}

/* Both make it then, and neither takes the other's files for its own. */
static void
two_without_locks(void **state)
{
	struct home_copy *a, *b;

	(void)state;
	no_locks = true;
	begin_two(&a, &b);
	assert_int_equal(home_copy_step(b, 1), HOME_MORE);
	assert_int_equal(step_until(a, 1), HOME_DONE);
	assert_int_equal(size_of("home/large"), LARGE);
	assert_int_equal(step_until(b, 1), HOME_DONE);
	home_copy_free(&a);
	home_copy_free(&b);
	no_locks = false;
	assert_int_equal(size_of("home/large"), LARGE);
	assert_int_equal(count_entries("home"), 1);
}

static int
no_rename(const char *call, const char *path)
{
	(void)path;
	return strcmp(call, "rename") == 0 ? EIO : 0;
}

/* Whoever has such a home has no part of a file in it. */
static void
leaves_nothing_of_what_fails(void **state)
{
	struct home_copy *c = home_copy_new("home", "skel");

	(void)state;
	put("skel/file", 1);
	fsx_set_fault(no_rename);
	assert_int_equal(step_until(c, 1), HOME_DONE);
	fsx_set_fault(NULL);
	home_copy_free(&c);
	assert_int_equal(mode_of("home"), 0700);
	assert_int_equal(size_of("home/file"), -1);
	assert_int_equal(size_of("home/.postern-home.tmp"), -1);
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(copies_a_few_at_a_time),
		CASE(waits_for_another),
		CASE(waits_so_long),
		CASE(goes_on_after_another),
		CASE(goes_on_after_the_dead),
		CASE(two_without_locks),
		CASE(leaves_nothing_of_what_fails),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
