/* Lines and sessions of the SASL protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/protocol_sasl.h"
#include "base/mem.h"

enum { FAILURE_MS = 2000 };

/* The user table of these tests: answers when told to. */
struct table {
	struct sasl_request *asked;
	int n_asked, n_forgotten;
	char user[64], password[64], service[64], rip[64];
	bool has_master;
};

static void
copy(char out[64], struct slice s)
{
	assert_true(s.n < 64);
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

static void
on_ask(void *arg, struct sasl_request *r, const struct query *q)
{
	struct table *t = arg;

	t->asked = r;
	t->n_asked++;
	copy(t->user, q->user);
	copy(t->password, q->password);
	copy(t->service, q->service);
	copy(t->rip, q->rip);
}

static void
on_forget(void *arg, struct sasl_request *r)
{
	struct table *t = arg;

	(void)r;
	t->n_forgotten++;
}

static bool
on_ticket(void *arg, struct sasl_request *r, const struct answer *a,
    uint8_t ticket[TICKET_LEN])
{
	struct table *t = arg;

	(void)r;
	(void)a;
	memset(ticket, 0xab, TICKET_LEN);
	return t->has_master;
}

static const struct sasl_host login_host = {
	.ask = on_ask, .forget = on_forget, .ticket = on_ticket
};
static const struct sasl_host postfix_host = { .ask = on_ask,
	.forget = on_forget };

struct fixture {
	struct table table;
	struct sasl_session s;
	int64_t now;
	int64_t begun; /* the last line came */
};

static void
begin(struct fixture *f, bool login)
{
	struct sasl_options o = { .pid = 678,
		.cuid = 1,
		.failure_ms = FAILURE_MS,
		.close_on_temporary = !login };

	*f = (struct fixture){ .now = 1000 };
	f->table.has_master = true;
	sasl_session_init(
	    &f->s, &o, login ? &login_host : &postfix_host, &f->table);
}

static bool
say(struct fixture *f, const char *text)
{
	uint8_t *line = mem_alloc(strlen(text) + 1);
	bool ok;

	f->begun = f->now;
	memcpy(line, text, strlen(text) + 1);
	ok = sasl_session_line(&f->s, line, strlen(text), f->now);
	free(line);
	return ok;
}

/* What it has said since the last time. */
static void
hear(struct fixture *f, const char *want)
{
	char got[1024];
	struct slice out = buf_slice(&f->s.out);

	assert_true(out.n < sizeof(got));
	memcpy(got, out.p != NULL ? out.p : (const uint8_t *)"", out.n);
	got[out.n] = '\0';
	assert_string_equal(got, want);
	buf_reset(&f->s.out);
}

static void
shake_hands(struct fixture *f)
{
	assert_true(say(f, "VERSION\t1\t0"));
	assert_true(say(f, "CPID\t12345"));
	buf_reset(&f->s.out);
}

static void
answer(struct fixture *f, enum verdict v)
{
	struct answer a = { .verdict = v, .uid = 5000, .gid = 5000 };

	a.field[ACCOUNT_ADDRESS] = SLICE("joe@example.com");
	assert_non_null(f->table.asked);
	sasl_session_answer(f->table.asked, &a, f->begun);
	f->table.asked = NULL;
}

#define PLAIN_JOE                                                              \
 "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\trip=192.0.2.7\t"       \
 "secured\tresp=AGpvZUBleGFtcGxlLmNvbQBzZWNyZXQ="

static void
test_handshake(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	/* Exim waits for it. */
	hear(&f,
	    "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n"
	    "SPID\t678\nCUID\t1\n"
	    "COOKIE\t00000000000000000000000000000000\nDONE\n");
	assert_true(say(&f, "VERSION\t1\t0"));
	assert_true(say(&f, "CPID\t12345"));
	hear(&f, "");
	sasl_session_fini(&f.s);
}

/* Of a client before 1.2, as Exim, "resp=" means that there is none. */
static void
test_empty_initial_response(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	shake_hands(&f);
	assert_true(say(&f, "AUTH\t1\tPLAIN\tservice=smtp\tresp="));
	hear(&f, "CONT\t1\t\n");
	assert_true(say(&f, "CONT\t1\tAGpvZUBleGFtcGxlLmNvbQBzZWNyZXQ="));
	assert_string_equal(f.table.password, "secret");
	answer(&f, VERDICT_OK);
	hear(&f, "OK\t1\tuser=joe@example.com\n");
	assert_true(say(&f, "AUTH\t2\tPLAIN\tservice=smtp\tresp=="));
	hear(&f, "");
	sasl_session_fini(&f.s);

	begin(&f, false);
	assert_true(say(&f, "VERSION\t1\t2"));
	assert_true(say(&f, "CPID\t12345"));
	buf_reset(&f.s.out);
	assert_true(say(&f, "AUTH\t1\tPLAIN\tservice=smtp\tresp="));
	hear(&f, "");
	sasl_session_fini(&f.s);
}

static void
test_bad_handshakes(void **state)
{
	static const char *const firsts[] = { "CPID\t1", "VERSION\t2\t0",
		"VERSION\t1", "VERSION\t1\tx", "", "\t", "AUTH" };
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < NELEMS(firsts); i++) {
		begin(&f, false);
		assert_false(say(&f, firsts[i]));
		sasl_session_fini(&f.s);
	}
	begin(&f, false);
	assert_true(say(&f, "VERSION\t1\t1"));
	assert_false(say(&f, PLAIN_JOE));
	sasl_session_fini(&f.s);
}

static void
test_plain(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	shake_hands(&f);
	assert_true(say(&f, PLAIN_JOE));
	hear(&f, "");
	assert_string_equal(f.table.user, "joe@example.com");
	assert_string_equal(f.table.password, "secret");
	assert_string_equal(f.table.service, "smtp");
	assert_string_equal(f.table.rip, "192.0.2.7");
	answer(&f, VERDICT_OK);
	hear(&f, "OK\t1\tuser=joe@example.com\n");
	assert_int_equal(f.s.n_requests, 0);
	sasl_session_fini(&f.s);
}

static void
test_ticket(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, true);
	shake_hands(&f);
	assert_true(say(
	    &f, "AUTH\t1\tPLAIN\tservice=imap\trip=192.0.2.7\tresp=AGEAYg=="));
	answer(&f, VERDICT_OK);
	hear(&f,
	    "OK\t1\tuser=joe@example.com\t"
	    "ticket=abababababababababababababababab\n");
	/* None for who doesn't log in. */
	assert_true(say(&f, PLAIN_JOE));
	answer(&f, VERDICT_OK);
	hear(&f, "OK\t1\tuser=joe@example.com\n");
	/* No master is there. */
	f.table.has_master = false;
	assert_true(say(&f, "AUTH\t2\tPLAIN\tservice=imap\tresp=AGEAYg=="));
	answer(&f, VERDICT_OK);
	hear(&f, "FAIL\t2\tuser=a\ttemp\tcode=temp_fail\n");
	sasl_session_fini(&f.s);
}

static void
test_failure_waits(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	shake_hands(&f);
	assert_true(say(&f, PLAIN_JOE));
	f.now += 700;
	answer(&f, VERDICT_REJECTED);
	hear(&f, "");
	assert_int_equal(sasl_session_tick(&f.s, f.now), 1000 + FAILURE_MS);
	f.now = 1000 + FAILURE_MS - 1;
	(void)sasl_session_tick(&f.s, f.now);
	hear(&f, "");
	(void)sasl_session_tick(&f.s, f.now + 1);
	hear(&f, "FAIL\t1\tuser=joe@example.com\n");
	assert_int_equal(f.s.n_requests, 0);
	sasl_session_fini(&f.s);
}

/* A malformed response costs as much time as a wrong one. */
static void
test_bad_response_waits(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	shake_hands(&f);
	assert_true(say(&f, "AUTH\t1\tPLAIN\tservice=smtp\tresp=!!"));
	assert_true(say(&f, "AUTH\t2\tPLAIN\tservice=smtp\tresp=AGEA"));
	assert_true(say(&f, "AUTH\t3\tPLAIN\tservice=smtp\tresp=YgBhAGM="));
	hear(&f, "");
	(void)sasl_session_tick(&f.s, f.now + FAILURE_MS);
	hear(&f, "FAIL\t1\nFAIL\t2\tuser=a\nFAIL\t3\tuser=a\tauthz\n");
	assert_int_equal(f.table.n_asked, 0);
	sasl_session_fini(&f.s);
}

static void
test_temporary(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, true);
	shake_hands(&f);
	assert_true(say(&f, PLAIN_JOE));
	answer(&f, VERDICT_TEMPORARY);
	hear(&f, "FAIL\t1\tuser=joe@example.com\ttemp\tcode=temp_fail\n");
	assert_false(f.s.closing);
	sasl_session_fini(&f.s);
	/* Postfix says 454 only when the connection ends. */
	begin(&f, false);
	shake_hands(&f);
	assert_true(say(&f, PLAIN_JOE));
	answer(&f, VERDICT_TEMPORARY);
	hear(&f, "");
	assert_true(f.s.closing);
	sasl_session_fini(&f.s);
}

static void
test_login(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	shake_hands(&f);
	assert_true(say(&f, "AUTH\t2\tLOGIN\tservice=smtp\tnologin"));
	hear(&f, "CONT\t2\tVXNlcm5hbWU6\n");
	assert_true(say(&f, "CONT\t2\tam9lQGV4YW1wbGUuY29t"));
	hear(&f, "CONT\t2\tUGFzc3dvcmQ6\n");
	assert_true(say(&f, "CONT\t2\td3Jvbmc="));
	assert_string_equal(f.table.user, "joe@example.com");
	assert_string_equal(f.table.password, "wrong");
	answer(&f, VERDICT_REJECTED);
	(void)sasl_session_tick(&f.s, f.now + FAILURE_MS);
	hear(&f, "FAIL\t2\tuser=joe@example.com\n");
	/* The name with the request. */
	assert_true(
	    say(&f, "AUTH\t3\tLOGIN\tservice=smtp\tresp=am9lQGV4YW1wbGUuY29t"));
	hear(&f, "CONT\t3\tUGFzc3dvcmQ6\n");
	assert_true(say(&f, "CANCEL\t3"));
	assert_int_equal(f.s.n_requests, 0);
	sasl_session_fini(&f.s);
}

static void
test_plain_without_initial_response(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	shake_hands(&f);
	assert_true(say(&f, "AUTH\t7\tPLAIN\tservice=smtp"));
	hear(&f, "CONT\t7\t\n");
	assert_true(say(&f, "CONT\t7\tAGEAYg=="));
	assert_string_equal(f.table.user, "a");
	assert_string_equal(f.table.password, "b");
	answer(&f, VERDICT_OK);
	sasl_session_fini(&f.s);
}

static void
test_side_by_side(void **state)
{
	struct fixture f;
	struct sasl_request *first;

	(void)state;
	begin(&f, false);
	shake_hands(&f);
	assert_true(say(&f, "AUTH\t1\tPLAIN\tservice=smtp\tresp=AGEAYg=="));
	first = f.table.asked;
	assert_true(say(&f, "AUTH\t65\tPLAIN\tservice=smtp\tresp=AGEAYg=="));
	answer(&f, VERDICT_OK);
	hear(&f, "OK\t65\tuser=joe@example.com\n");
	f.table.asked = first;
	answer(&f, VERDICT_OK);
	hear(&f, "OK\t1\tuser=joe@example.com\n");
	/* An id that is in use, a CONT that nobody asked for. */
	assert_true(say(&f, PLAIN_JOE));
	assert_false(say(&f, PLAIN_JOE));
	assert_false(say(&f, "CONT\t1\tAAAA"));
	sasl_session_fini(&f.s);
	assert_int_equal(f.table.n_forgotten, 1);
}

static void
test_forgotten_requests(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	shake_hands(&f);
	assert_true(say(&f, "AUTH\t1\tLOGIN\tservice=smtp"));
	buf_reset(&f.s.out);
	assert_int_equal(
	    sasl_session_tick(&f.s, f.now + 1), f.now + SASL_REQUEST_MS);
	assert_int_equal(sasl_session_tick(&f.s, f.now + SASL_REQUEST_MS), -1);
	assert_int_equal(f.s.n_requests, 0);
	assert_true(say(&f, "CONT\t1\tAAAA"));
	hear(&f, "FAIL\t1\n");
	sasl_session_fini(&f.s);
}

static void
test_bad_lines(void **state)
{
	static const char *const bad[] = {
		"AUTH\t1\tPLAIN",	    /* no service */
		"AUTH\t1\tPLAIN\tservice=", /* an empty one */
		"AUTH\tx\tPLAIN\tservice=imap",
		"AUTH\t4294967296\tPLAIN\tservice=imap",
		"AUTH\t-1\tPLAIN\tservice=imap",
		"AUTH\t1\t\tservice=imap",
		"AUTH",
		"CONT\t1", /* no data field */
		"CONT",
		"CANCEL",
		"CPID\t2",
		"VERSION\t1\t1",
		"",
		"AUTH\t1\tPLAIN\tservice=a\001x", /* no such escape */
		"AUTH\t1\tPLAIN\tservice=a\001",
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(bad); i++) {
		struct fixture f;

		begin(&f, false);
		shake_hands(&f);
		if (say(&f, bad[i]))
			fail_msg("taken: %s", bad[i]);
		sasl_session_fini(&f.s);
	}
}

static void
test_ignored(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	shake_hands(&f);
	assert_true(say(&f, "NEWS\tof\tlater\tversions"));
	hear(&f, "");
	assert_true(say(&f, "AUTH\t1\tGSSAPI\tservice=smtp"));
	hear(&f, "FAIL\t1\treason=Unsupported authentication mechanism.\n");
	sasl_session_fini(&f.s);
}

/* resp= takes the rest of the line, and escapes are undone elsewhere. */
static void
test_fields(void **state)
{
	uint8_t line[] = "AUTH\t5\tPLAIN\tservice=a\001tb\0010\0011\trip=\001n"
			 "\tunknown=1\tsecured=tls\tresp=AA\tBB";
	struct sasl_line out;

	(void)state;
	assert_int_equal(
	    sasl_parse_line(line, sizeof(line) - 1, &out), PARSE_OK);
	assert_int_equal(out.id, 5);
	assert_true(slice_eq(out.mechanism, SLICE("PLAIN")));
	assert_true(slice_eq(out.service, SLICE("a\tb\0\1")));
	assert_true(slice_eq(out.rip, SLICE("\n")));
	assert_true(out.secured && !out.nologin && out.has_resp);
	assert_true(slice_eq(out.resp, SLICE("AA\tBB")));
}

static void
test_every_cut(void **state)
{
	static const char whole[] =
	    "AUTH\t1\tPLAIN\tservice=s\001tp\tnologin\trip=192.0.2.7\t"
	    "resp=AGEAYg==";

	(void)state;
	for (size_t n = 0; n < sizeof(whole); n++) {
		uint8_t *line = mem_alloc(n + 1);
		struct sasl_line out;
		enum parse got;

		memcpy(line, whole, n);
		got = sasl_parse_line(line, n, &out);
		assert_true(got == PARSE_OK || got == PARSE_BAD);
		free(line);
	}
}

static void
test_values(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	sasl_put_value(&out, SLICE("a\tb\nc\rd\1e\0f"));
	assert_true(
	    slice_eq(buf_slice(&out), SLICE("a\1tb\1nc\1rd\0011e\0010f")));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_bad_handshakes),
		cmocka_unit_test(test_empty_initial_response),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_ticket),
		cmocka_unit_test(test_failure_waits),
		cmocka_unit_test(test_bad_response_waits),
		cmocka_unit_test(test_temporary),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_plain_without_initial_response),
		cmocka_unit_test(test_side_by_side),
		cmocka_unit_test(test_forgotten_requests),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_ignored),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
