/* POP3 sessions whose mailbox fails, and how sessions end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "tests/support/fake_mailbox.h"
#include "tests/unit/pop3_fixture.h"

/* --- what goes wrong ----------------------------------------------------- */

static void
check_open(int *rc_at, int rc, const char *want)
{
	struct worker w;

	*rc_at = rc;
	worker_begin(&w);
	worker_serve(&w);
	assert_int_equal(w.last, STEP_DONE);
	if (!slice_eq(buf_slice(&w.out), slice_str(want)))
		fail_msg("%d gave %.*s", rc, SLICE_ARG(buf_slice(&w.out)));
	worker_fini(&w);
	assert_non_null(strstr(log_text,
	    "pop3: cannot open the mailbox "
	    "session=7 user=alice@example.com: "));
	*rc_at = 0;
}

static void
test_open_fails(void **state)
{
	static const char temp[] = "-ERR [SYS/TEMP] Mailbox is unavailable, "
				   "please try again later.\r\n";

	(void)state;
	fill_maildrop();
	check_open(&fake.open_rc, ERR_SYS, temp);
	check_open(&fake.open_rc, ERR_BUSY,
	    "-ERR [IN-USE] Mailbox is in "
	    "use.\r\n");
	check_open(&fake.open_rc, ERR_DENIED,
	    "-ERR [SYS/PERM] Mailbox cannot be opened.\r\n");
	check_open(&fake.refresh_rc, ERR_SPACE, temp);
	check_open(&fake.list_rc, ERR_DAMAGED, temp);
}

static void
test_busy(void **state)
{
	struct worker w;

	(void)state;
	fill_maildrop();
	fake.busy = 3;
	worker_begin(&w);
	worker_serve(&w);
	worker_expect(&w, "STAT\r\n", "+OK 3 43\r\n");
	fake.busy = 2;
	worker_expect(&w, "RETR 3\r\n",
	    "+OK 11 octets follow.\r\nE: f\r\n\r\nx\r\n.\r\n");
	assert_true(fake.v[2].seen);
	fake.busy = 2;
	worker_expect(&w, "DELE 1\r\nQUIT\r\n", "+OK Deleted.\r\n+OK Bye.\r\n");
	assert_true(fake.v[0].gone);
	worker_fini(&w);
}

static void
test_message_fails(void **state)
{
	struct worker w;

	(void)state;
	fill_maildrop();
	fake.seen_rc = ERR_SPACE;
	worker_begin(&w);
	worker_serve(&w);
	fake.v[0].gone = true;
	fake.v[1].unreadable = true;
	worker_expect(&w, "RETR 1\r\nTOP 1 0\r\n",
	    "-ERR Message is no longer there.\r\n"
	    "-ERR Message is no longer there.\r\n");
	worker_expect(&w, "RETR 2\r\nSTAT\r\n",
	    "-ERR [SYS/TEMP] Message cannot be read.\r\n+OK 3 43\r\n");
	worker_expect(&w, "RETR 3\r\n",
	    "+OK 11 octets follow.\r\nE: f\r\n\r\nx\r\n.\r\n");
	assert_false(fake.v[2].seen);
	assert_non_null(strstr(log_text, "cannot mark a message as seen"));
	/* somebody else removed it: DELE is done with all the same */
	worker_expect(&w, "DELE 1\r\nQUIT\r\n", "+OK Deleted.\r\n+OK Bye.\r\n");
	worker_fini(&w);
}

/* Half a message must not look like a whole one. */
static void
test_read_breaks(void **state)
{
	struct worker w;

	(void)state;
	worker_greet(&w);
	fake.v[1].read_breaks = true;
	worker_expect(&w, "DELE 1\r\nRETR 2\r\nQUIT\r\n",
	    "+OK Deleted.\r\n+OK 14 octets follow.\r\n");
	assert_int_equal(w.last, STEP_DONE);
	assert_false(fake.v[0].gone);
	assert_false(fake.v[1].seen);
	worker_fini(&w);
	assert_non_null(strstr(log_text, "cannot read a message"));
	assert_non_null(strstr(log_text, "DISCONNECTED, user="));
}

static void
test_removal_fails(void **state)
{
	struct worker w;

	(void)state;
	fill_maildrop();
	fake.remove_rc = ERR_SYS;
	worker_begin(&w);
	worker_serve(&w);
	worker_expect(&w, "DELE 1\r\nQUIT\r\n",
	    "+OK Deleted.\r\n-ERR [SYS/TEMP] Some deleted messages were not "
	    "removed.\r\n");
	assert_int_equal(w.last, STEP_DONE);
	worker_fini(&w);
	assert_non_null(strstr(log_text, "LOGOUT, user="));
}

/* --- ends ---------------------------------------------------------------- */

static void
test_autologout(void **state)
{
	struct worker w;

	(void)state;
	worker_greet(&w);
	worker_expect(&w, "DELE 1\r\n", "+OK Deleted.\r\n");
	w.now += TIMEOUT_MS - 1;
	worker_expect(&w, "NO", "");
	assert_int_equal(w.last, STEP_WAIT_INPUT);
	/* half a command doesn't put it off */
	assert_int_equal(w.s->ops->deadline(w.s), w.now + 1);
	w.now++;
	worker_serve(&w);
	assert_int_equal(w.last, STEP_DONE);
	assert_int_equal(buf_len(&w.out), 0);
	assert_false(fake.v[0].gone);
	worker_fini(&w);
	assert_non_null(strstr(log_text,
	    "TIMEOUT, user=alice@example.com, ip=[::ffff:192.0.2.7], "
	    "port=[4711], top=0, retr=0, rcvd=110, sent=230, time=600\n"));
}

static void
test_bad_commands(void **state)
{
	struct worker w;

	(void)state;
	worker_greet(&w);
	for (int i = 0; i < 8; i++)
		worker_expect(&w, "X\r\n", INVALID);
	worker_expect(&w, X250 X10 "\r\n", "-ERR Line too long.\r\n");
	worker_expect(&w, "DELE 1\r\n", "+OK Deleted.\r\n");
	for (int i = 0; i < 9; i++)
		worker_expect(&w, "NOOP 1\r\n", INVALID);
	worker_expect(&w, "X\r\nQUIT\r\n", "-ERR Too many bad commands.\r\n");
	assert_int_equal(w.last, STEP_DONE);
	assert_false(fake.v[0].gone);
	worker_fini(&w);
}

static void
test_ended_from_outside(void **state)
{
	struct worker w;

	(void)state;
	worker_greet(&w);
	worker_expect(&w, "DELE 1\r\n", "+OK Deleted.\r\n");
	buf_drain(&w.out, buf_len(&w.out));
	w.s->ops->end(w.s, SESSION_SHUTDOWN);
	worker_serve(&w);
	assert_true(slice_eq(buf_slice(&w.out),
	    SLICE("-ERR [SYS/TEMP] Server is shutting down.\r\n")));
	assert_false(fake.v[0].gone);
	worker_fini(&w);
	assert_non_null(strstr(
	    log_text, "NOTICE: Disconnected during shutdown by signal, user="));
}

/* UPDATE, once entered, is carried through. */
static void
test_ended_in_update(void **state)
{
	struct worker w;

	(void)state;
	worker_greet(&w);
	fake.waits = true;
	buf_puts(&w.s->in, "DELE 1\r\nQUIT\r\n");
	w.last = w.s->ops->run(w.s, w.now, w.now);
	assert_int_equal(w.last, STEP_WAIT_SYNC);
	w.s->ops->end(w.s, SESSION_SHUTDOWN);
	w.s->ops->eof(w.s);
	worker_serve(&w);
	assert_int_equal(w.last, STEP_DONE);
	assert_true(fake.v[0].gone);
	assert_true(slice_ends(buf_slice(&w.out), SLICE("+OK Bye.\r\n")));
	worker_fini(&w);
	assert_non_null(strstr(log_text, "LOGOUT, user="));
}

/* The worker gives up (nothing can be written) in the middle of work. */
static void
test_freed_at_work(void **state)
{
	struct worker w;

	(void)state;
	worker_greet(&w);
	fake.waits = true;
	buf_puts(&w.s->in, "RETR 1\r\n");
	assert_int_equal(w.s->ops->run(w.s, w.now, w.now), STEP_WAIT_SYNC);
	worker_fini(&w);

	fill_maildrop();
	fake.waits = true;
	worker_begin(&w);
	assert_int_equal(w.s->ops->run(w.s, w.now, w.now), STEP_YIELD);
	worker_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_fails),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_message_fails),
		cmocka_unit_test(test_read_breaks),
		cmocka_unit_test(test_removal_fails),
		cmocka_unit_test(test_autologout),
		cmocka_unit_test(test_bad_commands),
		cmocka_unit_test(test_ended_from_outside),
		cmocka_unit_test(test_ended_in_update),
		cmocka_unit_test(test_freed_at_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
