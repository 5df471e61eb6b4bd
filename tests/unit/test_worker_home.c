/* A home directory is made from a skeleton, a few files at a time. */
#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/worker_home.h"

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

static void
copies_a_few_at_a_time(void **state)
{
	char dir[] = "/tmp/postern-home.XXXXXX", path[64], *remove;
	struct home_copy *c;
	unsigned steps = 1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mkdir("skel", 0700), 0);
	assert_int_equal(mkdir("skel/sub", 0700), 0);
	put("skel/large", LARGE);
	for (int i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "skel/sub/%d", i);
		put(path, 1);
	}
	c = home_copy_new("parent/home", "skel");
	for (; home_copy_step(c); steps++)
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
	/* one that is given up leaves nothing open; what is there stays */
	put("skel/another", 1);
	c = home_copy_new("parent/home", "skel");
	assert_true(home_copy_step(c));
	home_copy_free(&c);
	assert_int_equal(chdir("/"), 0);
	remove = mem_printf("rm -r %s", dir);
	assert_int_equal(system(remove), 0);
	free(remove);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_a_few_at_a_time),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
