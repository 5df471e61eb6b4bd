/*
 * The session over an account in memory: what a transcript can't show, log
 * lines, faults of the store, output that waits, deadlines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/mailbox.h"
#include "protocols/imap/session.h"
#include "tests/support/fake_store.h"

enum { TEXT_MAX = 8 * 1024 * 1024, RUNS_MAX = 100000 };

static struct session *s;
static struct buf output, logged;
static int64_t now;
static enum step last;
static bool woken;

/* --- helpers ------------------------------------------------------------- */

static void
keep_log(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	(void)level;
	buf_putf(&logged, "%s: %s\n", ident, line);
}

static void
wake(void *arg)
{
	(void)arg;
	woken = true;
}

static void
begin_as(const char *tag, const char *tls)
{
	struct session_peer peer = { .user = "alice@example.com",
		.client_addr = "::ffff:192.0.2.7",
		.client_port = 4711,
		.local_addr = "::1",
		.tls = tls,
		.ident = "imapd",
		.id = 7,
		.rcvd = 10,
		.sent = 20 };

	s = imap_session_new(&imap_options_default, &peer, fake_store_account(),
	    tag, "LOGIN", now);
	s->waker = (struct waker){ wake, NULL };
}

static int
setup(void **state)
{
	(void)state;
	buf_init(&output, TEXT_MAX);
	buf_init(&logged, TEXT_MAX);
	log_set_sink(keep_log, NULL);
	fake_store_reset();
	fake_store_deliver(0, SLICE("Subject: one\n\nbody\n"));
	fake_store_deliver(0, SLICE("Subject: two\n\nbody\n"));
	now = 5000;
	begin_as("L", "");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (s != NULL)
		s->ops->free(s);
	s = NULL;
	assert_int_equal(fake_store.accounts, 0);
	assert_int_equal(fake_store.mailboxes, 0);
	assert_int_equal(fake_store.changes, 0);
	assert_int_equal(fake_store.listeners, 0);
	fake_store_clear();
	assert_int_equal(fake_store.views, 0);
	buf_fini(&output);
	buf_fini(&logged);
	return 0;
}

static void
drain(void)
{
	buf_put(&output, buf_slice(&s->out));
	buf_drain(&s->out, buf_len(&s->out));
}

/* Run until it waits for the client or ends. */
static void
settle(void)
{
	for (int n = 0; n < RUNS_MAX; n++) {
		last = s->ops->run(s, now, now);
		drain();
		if (last == STEP_DONE || last == STEP_WAIT_INPUT)
			return;
		if (last == STEP_WAIT_PEER)
			now = s->ops->deadline(s);
	}
	fail_msg("the session goes in circles");
}

static void
send(const char *text)
{
	buf_reset(&output);
	buf_puts(&s->in, text);
	settle();
}

static void
expect(const char *text)
{
	if (strstr(buf_cstr(&output), text) == NULL)
		fail_msg("no \"%s\" in:\n%s", text, buf_cstr(&output));
}

static void
end_session(void)
{
	s->ops->free(s);
	s = NULL;
}

/* --- log lines ----------------------------------------------------------- */

static void
test_logout_line(void **state)
{
	(void)state;
	settle();
	assert_string_equal(buf_cstr(&logged),
	    "imapd: LOGIN, user=alice@example.com, ip=[::ffff:192.0.2.7], "
	    "port=[4711], protocol=IMAP\n");
	buf_reset(&logged);
	send("1 SELECT INBOX\r\n2 FETCH 1 BODY.PEEK[HEADER]\r\n"
	     "3 FETCH 1 BODY.PEEK[TEXT]\r\n4 LOGOUT\r\n");
	assert_int_equal(last, STEP_DONE);
	s->rcvd = 100;
	s->sent = 200;
	now += 3500;
	end_session();
	assert_string_equal(buf_cstr(&logged),
	    "imapd: LOGOUT, user=alice@example.com, ip=[::ffff:192.0.2.7], "
	    "port=[4711], headers=16, body=6, rcvd=110, sent=220, time=0\n");
}

static void
test_tls_lines(void **state)
{
	(void)state;
	end_session();
	buf_reset(&logged);
	begin_as("L", "TLSv1.3 X");
	settle();
	s->ops->eof(s);
	settle();
	assert_int_equal(last, STEP_DONE);
	end_session();
	assert_string_equal(buf_cstr(&logged),
	    "imapd: LOGIN, user=alice@example.com, ip=[::ffff:192.0.2.7], "
	    "port=[4711], protocol=IMAP, starttls=1\n"
	    "imapd: DISCONNECTED, user=alice@example.com, "
	    "ip=[::ffff:192.0.2.7], port=[4711], headers=0, body=0, rcvd=10, "
	    "sent=20, time=0, starttls=1\n");
}

static void
test_timeout_line(void **state)
{
	(void)state;
	settle();
	buf_reset(&logged);
	assert_int_equal(s->ops->deadline(s), now + 1800 * 1000);
	now = s->ops->deadline(s);
	buf_reset(&output);
	settle();
	assert_int_equal(last, STEP_DONE);
	expect("* BYE Disconnected for inactivity.");
	end_session();
	assert_true(slice_starts(
	    buf_slice(&logged), SLICE("imapd: TIMEOUT, user=alice")));
	assert_non_null(strstr(buf_cstr(&logged), "time=1800\n"));
}

static void
test_shutdown_line(void **state)
{
	(void)state;
	settle();
	buf_reset(&logged);
	s->ops->end(s, SESSION_SHUTDOWN);
	settle();
	expect("* BYE [UNAVAILABLE]");
	end_session();
	assert_true(slice_starts(buf_slice(&logged),
	    SLICE("imapd: NOTICE: Disconnected during shutdown by signal, ")));
}

static void
test_id_line(void **state)
{
	(void)state;
	settle();
	buf_reset(&logged);
	send("1 ID (\"name\" \"a\\\"b\" \"x\" {3+}\r\na\nb)\r\n");
	expect("1 OK");
	assert_string_equal(buf_cstr(&logged),
	    "imapd: ID, user=alice@example.com, ip=[::ffff:192.0.2.7], "
	    "port=[4711], name=a\"b, x=a.b\n");
}

/* --- greetings ----------------------------------------------------------- */

static void
test_preauth(void **state)
{
	(void)state;
	end_session();
	begin_as("", "");
	settle();
	expect("* PREAUTH [CAPABILITY IMAP4rev1 ");
}

/* --- faults -------------------------------------------------------------- */

static void
test_busy_then_free(void **state)
{
	(void)state;
	settle();
	fake_store.busy = 5;
	send("1 SELECT INBOX\r\n");
	expect("1 OK [READ-WRITE]");
	fake_store.busy = 5;
	send("2 STORE 1 +FLAGS (\\Seen)\r\n");
	expect("2 OK");
}

/* The selected mailbox is found again under its new name. */
static void
test_busy_after_rename(void **state)
{
	(void)state;
	settle();
	send("1 SELECT INBOX.a\r\n");
	expect("1 OK");
	fake_store.renames = true;
	fake_store.busy = 5;
	send("2 RENAME INBOX.a INBOX.b\r\n");
	expect("2 OK RENAME completed.");
	assert_int_equal(fake_store.busy, 0);
	send("3 NOOP\r\n");
	expect("3 OK");
}

static void
test_busy_for_long(void **state)
{
	(void)state;
	settle();
	fake_store.busy = 1000;
	send("1 SELECT INBOX\r\n");
	expect("1 NO [INUSE]");
	fake_store.busy = 1000;
	send("2 SETACL INBOX anyone lr\r\n");
	expect("2 NO [INUSE]");
	fake_store.busy = 1000;
	send("3 DELETEACL INBOX anyone\r\n");
	expect("3 NO [INUSE]");
	fake_store.busy = 0;
	send("4 SELECT INBOX\r\n");
	expect("4 OK");
}

/* A mailbox that sleeps at every rest: commands find it, or wait for it. */
static void
test_hibernated(void **state)
{
	(void)state;
	settle();
	fake_store.hibernates = true;
	send("1 SELECT INBOX\r\n");
	expect("1 OK [READ-WRITE]");
	assert_true(s->idle);
	fake_store.busy = 5;
	send("2 FETCH 1:* UID\r\n");
	expect("* 2 FETCH (UID 2)\r\n2 OK");
	send("3 IDLE\r\n");
	expect("+ ");
	fake_store.busy = 5;
	fake_store_deliver(0, SLICE("Subject: three\n\nbody\n"));
	assert_true(woken);
	buf_reset(&output);
	settle();
	expect("* 3 EXISTS");
	send("DONE\r\n");
	expect("3 OK");
	/* its end needs nothing */
	fake_store.busy = 1000;
	s->ops->end(s, SESSION_SHUTDOWN);
	buf_reset(&output);
	settle();
	expect("* BYE");
	assert_int_equal(last, STEP_DONE);
	fake_store.busy = 0;
}

/* One that can't be woken can't be served. */
static void
test_hibernated_for_ever(void **state)
{
	(void)state;
	settle();
	fake_store.hibernates = true;
	send("1 SELECT INBOX\r\n");
	fake_store.busy = 1000;
	send("2 NOOP\r\n");
	expect("* BYE [UNAVAILABLE]");
	assert_int_equal(last, STEP_DONE);
	fake_store.busy = 0;
}

static void
test_unreadable(void **state)
{
	(void)state;
	settle();
	send("1 SELECT INBOX\r\n");
	fake_store.open_message_rc = ERR_SYS;
	send("2 FETCH 1:2 (FLAGS)\r\n3 FETCH 1:2 BODY[]\r\n");
	expect("* 1 FETCH (FLAGS (\\Recent))\r\n");
	expect("2 OK");
	/* RFC 2180 4.1: no response that isn't true */
	expect("3 NO [CONTACTADMIN]");
	assert_null(strstr(buf_cstr(&output), "BODY[]"));
}

static void
test_broken_file(void **state)
{
	(void)state;
	settle();
	send("1 SELECT INBOX\r\n2 FETCH 1 BODY\r\n");
	/* its size is known from the first reading now */
	fake_store.read_breaks = true;
	send("3 FETCH 1 BODY.PEEK[]\r\n4 NOOP\r\n");
	/* nothing can follow a literal that came up short */
	assert_int_equal(last, STEP_DONE);
	assert_null(strstr(buf_cstr(&output), "BYE"));
	assert_null(strstr(buf_cstr(&output), "4 OK"));
}

static void
test_change_fails(void **state)
{
	(void)state;
	settle();
	send("1 SELECT INBOX\r\n");
	fake_store.change_rc = ERR_SPACE;
	send("2 STORE 1 +FLAGS (\\Seen)\r\n3 COPY 1 INBOX.a\r\n"
	     "4 EXPUNGE\r\n5 FETCH 1 BODY[TEXT]\r\n6 CLOSE\r\n");
	expect("2 NO [UNAVAILABLE]");
	expect("3 NO [UNAVAILABLE]");
	expect("4 NO [UNAVAILABLE]");
	/* a mark that couldn't be made keeps nobody from reading */
	expect("* 1 FETCH (BODY[TEXT] {6}\r\nbody\r\n)\r\n5 OK");
	expect("6 OK");
}

static void
test_codes(void **state)
{
	static const struct {
		int rc;
		const char *code;
	} codes[] = {
		/* RFC 5530 3 */
		{ ERR_SYS, "[CONTACTADMIN]" },
		{ ERR_DAMAGED, "[CORRUPTION]" },
		{ ERR_FORMAT, "[CORRUPTION]" },
		{ ERR_DENIED, "[NOPERM]" },
		{ ERR_SPACE, "[UNAVAILABLE]" },
		{ ERR_QUOTA, "[OVERQUOTA]" },
		{ ERR_LIMIT, "[LIMIT]" },
		{ ERR_TEMPORARY, "[UNAVAILABLE]" },
		{ ERR_STALE, "[UNAVAILABLE]" },
		{ ERR_EXISTS, "[ALREADYEXISTS]" },
		{ ERR_NOT_FOUND, "[TRYCREATE]" },
		{ -99, "[SERVERBUG]" },
	};
	char want[64];

	(void)state;
	settle();
	for (size_t k = 0; k < NELEMS(codes); k++) {
		fake_store.append_rc = codes[k].rc;
		send("1 APPEND INBOX {5+}\r\nhello\r\n");
		(void)snprintf(want, sizeof(want), "1 NO %s", codes[k].code);
		expect(want);
	}
	fake_store.append_rc = 0;
}

static void
test_append_fails(void **state)
{
	(void)state;
	settle();
	fake_store.append_rc = ERR_SPACE;
	send("1 APPEND INBOX {5+}\r\nhello\r\n2 NOOP\r\n");
	expect("1 NO [UNAVAILABLE]");
	expect("2 OK");
	fake_store.append_rc = 0;
	send("3 APPEND INBOX {9000000}\r\n4 NOOP\r\n");
	expect("3 NO [OVERQUOTA]");
	expect("4 OK");
}

/* --- output and time ----------------------------------------------------- */

/* A client that doesn't read: the session stops, and holds little. */
static void
test_never_reads(void **state)
{
	uint8_t *big = mem_alloc(1024 * 1024);
	size_t most = 0;

	(void)state;
	memset(big, 'x', 1024 * 1024);
	fake_store_deliver(0, slice_of(big, 1024 * 1024));
	free(big);
	settle();
	send("1 SELECT INBOX\r\n");
	buf_puts(&s->in, "2 FETCH 3 BODY.PEEK[]\r\n");
	for (int n = 0; n < 1000; n++) {
		last = s->ops->run(s, now, now);
		most = buf_len(&s->out) > most ? buf_len(&s->out) : most;
	}
	assert_int_equal(last, STEP_WAIT_OUTPUT);
	assert_true(most < STEP_OUTPUT_HIGH + STEP_SLICE_OUTPUT + 1000);
	/* and goes on where it stopped */
	buf_reset(&output);
	drain();
	settle();
	expect("2 OK FETCH completed.");
	assert_true(buf_len(&output) > 1024 * 1024);
}

static void
test_slices(void **state)
{
	(void)state;
	settle();
	fake_store.waits = true;
	send("1 SELECT INBOX\r\n2 STORE 1:2 +FLAGS (\\Deleted)\r\n"
	     "3 COPY 1 INBOX.a\r\n4 EXPUNGE\r\n5 NOOP\r\n");
	expect("2 OK");
	expect("3 OK [COPYUID 2000 1 1]");
	expect("* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n");
	expect("5 OK");
}

/* An end from outside waits for what must not be cut. */
static void
test_end_while_changing(void **state)
{
	(void)state;
	settle();
	send("1 SELECT INBOX\r\n");
	fake_store.waits = true;
	buf_reset(&output);
	buf_puts(&s->in, "2 COPY 1 INBOX.a\r\n");
	last = s->ops->run(s, now, now);
	assert_int_equal(last, STEP_YIELD);
	s->ops->end(s, SESSION_SHUTDOWN);
	settle();
	expect("2 OK [COPYUID 2000 1 1]");
	expect("* BYE [UNAVAILABLE]");
	assert_int_equal(last, STEP_DONE);
}

/* A change wakes a session that idles, and no other. */
static void
test_wakes(void **state)
{
	(void)state;
	settle();
	send("1 SELECT INBOX\r\n");
	woken = false;
	fake_store_set_flags(0, 1, MESSAGE_SEEN);
	assert_false(woken);
	send("2 NOOP\r\n");
	expect("* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))\r\n2 OK");
	send("3 IDLE\r\n");
	assert_true(s->idle);
	fake_store_remove(0, 1);
	assert_true(woken);
	buf_reset(&output);
	settle();
	expect("* 1 EXPUNGE\r\n");
	send("DONE\r\n");
	expect("3 OK");
}

/* What FETCH and STORE mustn't tell waits, and is told then. */
static void
test_no_expunge_in_fetch(void **state)
{
	(void)state;
	settle();
	send("1 SELECT INBOX\r\n");
	fake_store_remove(0, 1);
	fake_store_deliver(0, SLICE("Subject: three\n\nx\n"));
	send(
	    "2 FETCH 2 (UID)\r\n3 STORE 2 +FLAGS (\\Seen)\r\n4 SEARCH ALL\r\n");
	expect("* 2 FETCH (UID 2)\r\n2 OK");
	expect("* 2 FETCH (FLAGS (\\Seen \\Recent))\r\n3 OK");
	expect("* SEARCH 1 2\r\n4 OK");
	assert_null(strstr(buf_cstr(&output), "EXPUNGE"));
	assert_null(strstr(buf_cstr(&output), "EXISTS"));
	send("5 UID FETCH 2 (UID)\r\n");
	expect("* 2 FETCH (UID 2)\r\n* 1 EXPUNGE\r\n* 2 EXISTS\r\n");
	expect("5 OK");
}

int
main(void)
{
	/* clang-format off */
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_logout_line),
		T(test_tls_lines),
		T(test_timeout_line),
		T(test_shutdown_line),
		T(test_id_line),
		T(test_preauth),
		T(test_busy_then_free),
		T(test_busy_after_rename),
		T(test_busy_for_long),
		T(test_hibernated),
		T(test_hibernated_for_ever),
		T(test_unreadable),
		T(test_broken_file),
		T(test_change_fails),
		T(test_append_fails),
		T(test_codes),
		T(test_never_reads),
		T(test_slices),
		T(test_end_while_changing),
		T(test_wakes),
		T(test_no_expunge_in_fetch),
	};
	/* clang-format on */

	return cmocka_run_group_tests(tests, NULL, NULL);
}
