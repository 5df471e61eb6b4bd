/* ipc: messages round trip, and foreign bytes end the sender. */
#include <sys/socket.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "server/ipc/msg.h"

static uint8_t space[MSG_SIZE_MAX];

static int
setup(void **state)
{
	static int pair[2];

	*state = pair;
	return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
}

static int
teardown(void **state)
{
	int *pair = *state;

	(void)close(pair[0]);
	return close(pair[1]);
}

static void
round_trip(void **state)
{
	int *pair = *state;
	struct msg_out out;
	struct msg_in in;

	msg_begin(&out, MSG_CONN_OPEN, 7);
	msg_put_u64(&out, UINT64_MAX);
	msg_put_str(&out, "::ffff:192.0.2.7");
	msg_put_u32(&out, 4711);
	msg_put_str(&out, "");
	msg_put_u32(&out, 143);
	assert_int_equal(msg_send(pair[0], &out), 0);
	assert_int_equal(
	    msg_recv(pair[1], ROLE_LOGIN, ROLE_MASTER, space, &in), 1);
	assert_int_equal(in.type, MSG_CONN_OPEN);
	assert_int_equal(in.id, 7);
	assert_true(msg_get_u64(&in) == UINT64_MAX);
	assert_string_equal(msg_get_str(&in), "::ffff:192.0.2.7");
	assert_int_equal(msg_get_u32(&in), 4711);
	assert_string_equal(msg_get_str(&in), "");
	assert_false(msg_get_end(&in));
	assert_int_equal(msg_get_u32(&in), 143);
	assert_true(msg_get_end(&in));
}

static void
descriptor_goes_along(void **state)
{
	int *pair = *state, pipe_fds[2];
	struct msg_out out;
	struct msg_in in;
	char byte = 0;

	assert_int_equal(pipe(pipe_fds), 0);
	msg_begin(&out, MSG_AUTH_SOCKET, 0);
	out.fd = pipe_fds[1];
	assert_int_equal(msg_send(pair[0], &out), 0);
	assert_int_equal(
	    msg_recv(pair[1], ROLE_MASTER, ROLE_LOGIN, space, &in), 1);
	assert_true(in.fd >= 0);
	assert_int_equal(fcntl(in.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(in.fd, "x", 1), 1);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	(void)close(in.fd);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

/* A type is refused in a direction that messages.def doesn't give it. */
static void
wrong_direction(void **state)
{
	int *pair = *state;
	struct msg_out out;
	struct msg_in in;

	msg_begin(&out, MSG_SHUTDOWN, 0);
	assert_int_equal(msg_send(pair[0], &out), 0);
	assert_int_equal(
	    msg_recv(pair[1], ROLE_LOGIN, ROLE_MASTER, space, &in), ERR_FORMAT);
}

static void
every_cut_is_refused(void **state)
{
	struct slice packet;
	struct msg_out out;
	struct msg_in in;

	(void)state;
	msg_begin(&out, MSG_CONN_CLOSE, 0);
	msg_put_u64(&out, 1);
	packet = msg_finish(&out);
	assert_int_equal(msg_parse(packet, ROLE_LOGIN, ROLE_MASTER, &in), 1);
	for (size_t n = 0; n < packet.n; n++)
		assert_int_equal(msg_parse(slice_first(packet, n), ROLE_LOGIN,
				     ROLE_MASTER, &in),
		    ERR_FORMAT);
	msg_put_u32(&out, 0);
	assert_int_equal(
	    msg_parse(msg_finish(&out), ROLE_LOGIN, ROLE_MASTER, &in),
	    ERR_FORMAT);
	msg_out_fini(&out);
}

static void
string_with_nul_is_bad(void **state)
{
	struct msg_out out;
	struct msg_in in;

	(void)state;
	msg_begin(&out, MSG_TICKET_HELLO, 0);
	msg_put_bytes(&out, SLICE("a\0b"));
	assert_int_equal(
	    msg_parse(msg_finish(&out), ROLE_MASTER, ROLE_AUTH, &in), 1);
	assert_string_equal(msg_get_str(&in), "");
	assert_false(msg_get_end(&in));
	msg_out_fini(&out);
}

static void
too_long_is_not_sent(void **state)
{
	static uint8_t big[MSG_SIZE_MAX];
	int *pair = *state;
	struct msg_out out;

	msg_begin(&out, MSG_TICKET_HELLO, 0);
	msg_put_bytes(&out, slice_of(big, sizeof(big)));
	assert_int_equal(msg_send(pair[0], &out), ERR_LIMIT);
}

static void
end_of_file(void **state)
{
	int *pair = *state;
	struct msg_in in;

	assert_int_equal(
	    msg_recv(pair[1], ROLE_LOGIN, ROLE_MASTER, space, &in), ERR_BUSY);
	(void)shutdown(pair[0], SHUT_WR);
	assert_int_equal(
	    msg_recv(pair[1], ROLE_LOGIN, ROLE_MASTER, space, &in), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    descriptor_goes_along, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    wrong_direction, setup, teardown),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(string_with_nul_is_bad),
		cmocka_unit_test_setup_teardown(
		    too_long_is_not_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(end_of_file, setup, teardown),
	};

	return cmocka_run_group_tests_name("ipc", tests, NULL, NULL);
}
