/* POP3 sessions over a mailbox in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/support/fake_mailbox.h"
#include "tests/unit/pop3_fixture.h"

#define NUMBER "-ERR Invalid message number.\r\n"

/* --- cases --------------------------------------------------------------- */

struct session_case {
	const char *name;
	struct slice in;
	const char *want; /* behind "+OK logged in." */
	const char *end;  /* how the last log line begins */
	unsigned gone;	  /* bit i: message i + 1 was removed in the end */
	unsigned seen;	  /* bit i: message i + 1 is seen in the end */
};

/* clang-format off */
static const struct session_case cases[] = {
	{ "nothing", SLICE_INIT(""), "", "DISCONNECTED", 0, 0 },
	{ "stat", SLICE_INIT("STAT\r\nstat \r\nSTAT 1\r\nQUIT\r\n"),
	  "+OK 3 43\r\n+OK 3 43\r\n" INVALID "+OK Bye.\r\n", "LOGOUT", 0, 0 },
	{ "list", SLICE_INIT("LIST\r\nLIST 2\r\nLIST 4\r\nLIST 0\r\n"
	    "LIST x\r\nLIST -1\r\nLIST 4294967297\r\nLIST 1 2\r\n"
	    "LIST 18446744073709551617\r\n"),
	  "+OK Scan listing follows.\r\n1 18\r\n2 14\r\n3 11\r\n.\r\n"
	  "+OK 2 14\r\n" NUMBER NUMBER NUMBER NUMBER NUMBER NUMBER NUMBER,
	  "DISCONNECTED", 0, 0 },
	{ "uidl", SLICE_INIT("UIDL\nuidl 1\nUIDL 9\n"),
	  "+OK Unique-id listing follows.\r\n1 UID1-1000\r\n2 UID2-1000\r\n"
	  "3 1700000000.M1P1.host\r\n.\r\n+OK 1 UID1-1000\r\n" NUMBER,
	  "DISCONNECTED", 0, 0 },
	{ "retr", SLICE_INIT("RETR 1\r\nRETR 2\r\nRETR\r\nRETR 4\r\n"),
	  "+OK 18 octets follow.\r\n..A: b\r\n\r\n..\r\nlast\r\n.\r\n"
	  "+OK 14 octets follow.\r\nC: d\r\n\r\n1\r\n2\r\n.\r\n"
	  NUMBER NUMBER, "DISCONNECTED", 0, 3 },
	{ "top", SLICE_INIT("TOP 2 1\r\nTOP 1 0\r\nTOP 3\r\nTOP 3 -1\r\n"
	    "TOP 3 x\r\nTOP 4 1\r\nTOP\r\nTOP 3 18446744073709551616\r\n"
	    "TOP 3 18446744073709551614\r\n"),
	  "+OK Top of message follows.\r\nC: d\r\n\r\n1\r\n.\r\n"
	  "+OK Top of message follows.\r\n..A: b\r\n\r\n.\r\n" INVALID
	  "-ERR Invalid number of lines.\r\n"
	  "-ERR Invalid number of lines.\r\n" NUMBER INVALID
	  "-ERR Invalid number of lines.\r\n"
	  "+OK Top of message follows.\r\nE: f\r\n\r\nx\r\n.\r\n",
	  "DISCONNECTED", 0, 0 },
	{ "dele and quit", SLICE_INIT("DELE 1\r\nDELE 1\r\nRETR 1\r\nTOP 1 0\r\n"
	    "LIST 1\r\nUIDL 1\r\nSTAT\r\nLIST\r\nDELE 3\r\nQUIT\r\nNOOP\r\n"),
	  "+OK Deleted.\r\n" NUMBER NUMBER NUMBER NUMBER NUMBER
	  "+OK 2 25\r\n+OK Scan listing follows.\r\n2 14\r\n3 11\r\n.\r\n"
	  "+OK Deleted.\r\n+OK Bye.\r\n", "LOGOUT", 5, 0 },
	{ "dele and disconnect", SLICE_INIT("DELE 1\r\nDELE 2\r\nQUIT"),
	  "+OK Deleted.\r\n+OK Deleted.\r\n", "DISCONNECTED", 0, 0 },
	{ "rset", SLICE_INIT("DELE 1\r\nDELE 2\r\nRSET\r\nSTAT\r\nDELE 2\r\n"
	    "RSET 1\r\nQUIT\r\n"),
	  "+OK Deleted.\r\n+OK Deleted.\r\n"
	  "+OK Nothing is marked as deleted.\r\n+OK 3 43\r\n+OK Deleted.\r\n"
	  INVALID "+OK Bye.\r\n", "LOGOUT", 2, 0 },
	{ "retr, dele, quit", SLICE_INIT("RETR 3\r\nDELE 3\r\nQUIT\r\n"),
	  "+OK 11 octets follow.\r\nE: f\r\n\r\nx\r\n.\r\n"
	  "+OK Deleted.\r\n+OK Bye.\r\n", "LOGOUT", 4, 4 },
	{ "capa", SLICE_INIT("CAPA\r\nCAPA 1\r\n"),
	  "+OK Capability list follows.\r\nSASL PLAIN\r\nTOP\r\nUSER\r\n"
	  "PIPELINING\r\nUIDL\r\nUTF8 USER\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n"
	  "IMPLEMENTATION Postern\r\n.\r\n" INVALID, "DISCONNECTED", 0, 0 },
	{ "noop and others", SLICE_INIT("NOOP\r\n\r\nXYZZY\r\nUSER x\r\n"
	    "NOOP 1\r\nno:op\r\nQUIT now\r\nDELE\r\n"),
	  "+OK\r\n" INVALID INVALID "-ERR You are logged in already.\r\n"
	  INVALID INVALID INVALID NUMBER, "DISCONNECTED", 0, 0 },
	{ "nul", SLICE_INIT("NOOP\0\r\nRETR 1\0\r\n\0\r\nNOOP\r\n"),
	  INVALID NUMBER INVALID "+OK\r\n", "DISCONNECTED", 0, 0 },
	{ "overlong line", SLICE_INIT("RETR 1" X250 X250 "\r\nNOOP\r\n"),
	  "-ERR Line too long.\r\n+OK\r\n", "DISCONNECTED", 0, 0 },
	{ "line at the limit", SLICE_INIT("abc" X250 "\r\nNOOP\r\n"),
	  INVALID "+OK\r\n", "DISCONNECTED", 0, 0 },
	{ "line just over the limit", SLICE_INIT("abcd" X250 "\r\nNOOP\r\n"),
	  "-ERR Line too long.\r\n+OK\r\n", "DISCONNECTED", 0, 0 },
};
/* clang-format on */

static void
check_case(const struct session_case *c, struct worker *w, size_t cut)
{
	static const struct slice greeting = SLICE_INIT("+OK logged in.\r\n");
	struct slice out = buf_slice(&w->out);
	unsigned gone = 0, seen = 0;
	const char *last = log_text;

	if (!slice_starts(out, greeting) ||
	    !slice_eq(slice_skip(out, greeting.n), slice_str(c->want)))
		fail_msg("%s, cut at %zu:\n%.*s\ninstead of\n%s", c->name, cut,
		    SLICE_ARG(out), c->want);
	for (size_t i = 0; i < fake.n; i++) {
		gone |= (unsigned)fake.v[i].gone << i;
		seen |= (unsigned)fake.v[i].seen << i;
	}
	if (gone != c->gone || seen != c->seen)
		fail_msg("%s: gone %u, seen %u", c->name, gone, seen);
	worker_fini(w);
	for (const char *p = log_text; (p = strchr(p, '\n')) != NULL;)
		if (*++p != '\0')
			last = p;
	if (strncmp(last, c->end, strlen(c->end)) != 0)
		fail_msg("%s: logged %s", c->name, last);
}

static void
run_case(const struct session_case *c, size_t cut, bool waits)
{
	struct worker w;

	fill_maildrop();
	fake.waits = waits;
	worker_begin(&w);
	worker_serve(&w);
	if (cut == SIZE_MAX)
		for (size_t i = 0; i < c->in.n; i++)
			worker_send(&w, slice_of(c->in.p + i, 1));
	else
		worker_send(&w, slice_first(c->in, cut));
	if (cut != SIZE_MAX)
		worker_send(&w, slice_skip(c->in, cut));
	worker_eof(&w);
	check_case(c, &w, cut);
}

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		for (size_t cut = 0; cut <= cases[i].in.n; cut++)
			run_case(&cases[i], cut, false);
		run_case(&cases[i], cases[i].in.n, true);
		run_case(&cases[i], SIZE_MAX, true);
	}
}

/* Everything has come, and the client has closed, before the first run. */
static void
test_half_closed(void **state)
{
	struct worker w;

	(void)state;
	fill_maildrop();
	fake.waits = true;
	worker_begin(&w);
	buf_puts(&w.s->in, "RETR 3\r\nDELE 3\r\nQUIT\r\n");
	worker_eof(&w);
	assert_true(slice_ends(buf_slice(&w.out),
	    SLICE("x\r\n.\r\n+OK Deleted.\r\n+OK Bye.\r\n")));
	assert_true(fake.v[2].gone);
	worker_fini(&w);
}

/* --- much ---------------------------------------------------------------- */

/* What looks at all messages is done once in a turn, however many are sent. */
static void
test_resets_yield(void **state)
{
	struct worker w;

	(void)state;
	worker_greet(&w);
	buf_puts(&w.s->in, "DELE 1\r\nRSET\r\nDELE 1\r\nRSET\r\n");
	assert_int_equal(w.s->ops->run(w.s, w.now, w.now), STEP_YIELD);
	assert_true(slice_eq(buf_slice(&w.s->out),
	    SLICE("+OK Deleted.\r\n+OK Nothing is marked as deleted.\r\n")));
	assert_int_equal(w.s->ops->run(w.s, w.now, w.now), STEP_YIELD);
	assert_int_equal(w.s->ops->run(w.s, w.now, w.now), STEP_WAIT_INPUT);
	worker_fini(&w);
}

static void
test_large_message(void **state)
{
	enum { LINES = 200 * 1000 };
	static const char line[] = ".2345678\n";
	struct slice big;
	struct worker w;
	uint8_t *p = mem_alloc(LINES * (sizeof(line) - 1));

	(void)state;
	for (size_t i = 0; i < LINES; i++)
		memcpy(p + i * (sizeof(line) - 1), line, sizeof(line) - 1);
	big = slice_of(p, LINES * (sizeof(line) - 1));
	fake_mailbox_reset();
	fake_mailbox_add(big, "UID1-1");
	worker_begin(&w);
	worker_serve(&w);
	buf_drain(&w.out, buf_len(&w.out));
	worker_send(&w, SLICE("RETR 1\r\n"));
	assert_int_equal(buf_len(&w.out),
	    strlen("+OK 2000000 octets follow.\r\n") + LINES * 11 + 3);

	/* a client that doesn't read costs no more than the mark */
	buf_puts(&w.s->in, "RETR 1\r\n");
	do
		w.last = w.s->ops->run(w.s, w.now, w.now);
	while (w.last == STEP_YIELD);
	assert_int_equal(w.last, STEP_WAIT_OUTPUT);
	assert_true(
	    buf_len(&w.s->out) < STEP_OUTPUT_HIGH + 2 * STEP_SLICE_OUTPUT);
	/* nothing may be said into half a message */
	w.s->ops->end(w.s, SESSION_SHUTDOWN);
	buf_drain(&w.out, buf_len(&w.out));
	worker_serve(&w);
	assert_false(slice_ends(buf_slice(&w.out), SLICE("down.\r\n")));
	worker_fini(&w);
	assert_non_null(strstr(log_text, ", retr="));
	free(p);
}

static void
test_log(void **state)
{
	struct worker w;

	(void)state;
	fill_maildrop();
	options.log_deletions = true;
	worker_begin(&w);
	worker_serve(&w);
	w.now += 2999;
	worker_send(
	    &w, SLICE("RETR 1\r\nTOP 2 0\r\nDELE 2\r\nDELE 3\r\nQUIT\r\n"));
	worker_fini(&w);
	options.log_deletions = false;
	assert_string_equal(log_text,
	    "LOGIN, user=alice@example.com, ip=[::ffff:192.0.2.7], "
	    "port=[4711]\n"
	    "DELETED, user=alice@example.com, ip=[::ffff:192.0.2.7], "
	    "port=[4711], filename=cur/102.host\n"
	    "DELETED, user=alice@example.com, ip=[::ffff:192.0.2.7], "
	    "port=[4711], filename=cur/103.host\n"
	    "LOGOUT, user=alice@example.com, ip=[::ffff:192.0.2.7], "
	    "port=[4711], top=8, retr=13, rcvd=139, sent=340, time=2\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_half_closed),
		cmocka_unit_test(test_resets_yield),
		cmocka_unit_test(test_large_message),
		cmocka_unit_test(test_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
