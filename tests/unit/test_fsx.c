/* fsx: what the calls of the store promise beyond those of the system. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fsx.h"
#include "base/mem.h"

static int
setup(void **state)
{
	char path[] = "/tmp/test_fsx.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	*state = (void *)(intptr_t)fd;
	return 0;
}

static int
teardown(void **state)
{
	return close((int)(intptr_t)*state);
}

/* A file that is as long as may be is taken, and no longer one. */
static void
reads_up_to_the_maximum(void **state)
{
	static const size_t sizes[] = { 1, 1000, 16384, 16385, 40000 };
	int fd = (int)(intptr_t)*state;
	struct buf out;

	for (size_t k = 0; k < NELEMS(sizes); k++)
		for (size_t more = 0; more < 2; more++) {
			size_t n = sizes[k] + more;

			assert_int_equal(ftruncate(fd, (off_t)n), 0);
			assert_true(lseek(fd, 0, SEEK_SET) == 0);
			buf_init(&out, sizes[k]);
			errno = 0;
			assert_int_equal(
			    fsx_read_all(fd, &out), more == 0 ? 0 : -1);
			assert_int_equal(errno, more == 0 ? 0 : EFBIG);
			assert_int_equal(buf_ok(&out), more == 0);
			assert_int_equal(buf_len(&out), sizes[k]);
			buf_fini(&out);
		}
}

/* A new file has the mode that it was asked for; one that replaces another
 * minds the umask. */
static void
modes(void **state)
{
	static const mode_t wanted[] = { 0600, 0640, 0644, 0666 };
	char dir[] = "/tmp/test_fsx.XXXXXX";
	mode_t mask = umask(077);
	struct stat st;
	int dirfd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	dirfd = fsx_open_dir(AT_FDCWD, dir);
	assert_true(dirfd >= 0);
	for (size_t k = 0; k < NELEMS(wanted); k++) {
		int fd = fsx_create(dirfd, "x", wanted[k]);

		assert_true(fd >= 0);
		assert_int_equal(fsx_create(dirfd, "x", wanted[k]), -1);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_mode & 07777, wanted[k]);
		assert_int_equal(fsx_close(fd), 0);
		assert_int_equal(fsx_replace(dirfd, "y", "x", SLICE("text"),
				     wanted[k], false),
		    0);
		assert_int_equal(fsx_stat(dirfd, "x", &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(fsx_unlink(dirfd, "x"), 0);
	}
	(void)umask(mask);
	assert_int_equal(close(dirfd), 0);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    reads_up_to_the_maximum, setup, teardown),
		cmocka_unit_test(modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
