/* authdaemond's listening sockets, in directories of others. */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/sockets.h"
#include "base/defs.h"

static char dir[64], path[96], victim[96];
static bool swapped; /* what is bound by somebody else's file */

int __real_bind(int fd, const struct sockaddr *to, socklen_t n);
int __wrap_bind(int fd, const struct sockaddr *to, socklen_t n);

int
__wrap_bind(int fd, const struct sockaddr *to, socklen_t n)
{
	const struct sockaddr_un *sun = (const void *)to;
	int r = __real_bind(fd, to, n);

	if (swapped) {
		assert_int_equal(unlink(sun->sun_path), 0);
		assert_int_equal(link(victim, sun->sun_path), 0);
	}
	return r;
}

static int
setup(void **state)
{
	int fd;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/auth-sockets-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	(void)snprintf(victim, sizeof(victim), "%s/victim", dir);
	fd = open(victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	swapped = false;
	(void)unlink(path);
	(void)unlink(victim);
	return rmdir(dir);
}

static void
belong_to_whom_they_are_for(void **state)
{
	uid_t uid = geteuid() == 0 ? 65534 : geteuid();
	struct stat st;
	struct err e;
	int fd;

	(void)state;
	fd = socket_listen(path, SOCKET_COURIER, 0620, uid, (gid_t)-1, &e);
	assert_true(fd >= 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0620);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, getegid());
	(void)close(fd);
}

/* Whoever may write to the directory gets nothing but our socket. */
static void
give_no_other_away(void)
{
	struct stat st;
	struct err e;

	if (geteuid() != 0)
		skip();
	swapped = true;
	assert_true(
	    socket_listen(path, SOCKET_LOGIN, 0666, 65534, 65534, &e) < 0);
	assert_int_equal(lstat(victim, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void
give_no_other_file_away(void **state)
{
	(void)state;
	give_no_other_away();
}

static void
give_no_other_socket_away(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(unlink(victim), 0);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", victim);
	assert_int_equal(
	    __real_bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	(void)close(fd);
	give_no_other_away();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(belong_to_whom_they_are_for),
		T(give_no_other_file_away),
		T(give_no_other_socket_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
