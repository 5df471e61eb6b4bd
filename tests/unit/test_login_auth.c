/* login: what is said between a client and authdaemond. */
#include <string.h>
#include <unistd.h>

#include "tests/unit/login_fixture.h"

static void
tells_failures_apart(void **state)
{
	struct login_fixture f;
	struct client c;
	const char *line;
	unsigned id;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	client_say(&c,
	    "a LOGIN joe wrong\r\nb LOGIN joe wrong\r\n"
	    "c LOGIN joe wrong\r\n");
	id = auth_expect(&f, &line);
	auth_say(&f, "FAIL\t%u\tuser=joe", id);
	client_expect(&c, "a NO [AUTHENTICATIONFAILED]");
	master_expect_log(&f,
	    "imapd: LOGIN FAILED, user=joe, "
	    "ip=[::ffff:127.0.0.1], port=[");
	id = auth_expect(&f, &line);
	auth_say(&f, "FAIL\t%u\tuser=joe\ttemp\tcode=temp_fail", id);
	client_expect(&c, "b NO [UNAVAILABLE]");
	master_expect_log(&f, "authentication error: Input/output error");
	id = auth_expect(&f, &line);
	auth_say(&f, "FAIL\t%u\tuser=joe\ttemp\tcode=unusable", id);
	client_expect(&c, "c NO [CONTACTADMIN]");
	master_expect_log(&f, "authentication error: account can't be used");
	client_close(&c);
	login_end(&f);
}

/* A name must not pass for a field that fail2ban reads. */
static void
keeps_names_out_of_log_fields(void **state)
{
	struct login_fixture f;
	struct client c;
	const char *line;
	unsigned id;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	client_say(&c, "a LOGIN \"x, ip=[192.0.2.9], port=[1]\" wrong\r\n");
	id = auth_expect(&f, &line);
	auth_say(&f, "FAIL\t%u", id);
	client_expect(&c, "a NO");
	master_expect_log(&f,
	    "LOGIN FAILED, user=x. ip=.192.0.2.9.. port=.1., "
	    "ip=[::ffff:127.0.0.1], port=[");
	client_close(&c);
	login_end(&f);
}

static void
carries_an_exchange(void **state)
{
	struct login_fixture f;
	struct handover h;
	struct client c;
	const char *line;
	unsigned id;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	client_say(&c, "a AUTHENTICATE LOGIN\r\n");
	id = auth_expect(&f, &line);
	assert_null(strstr(line, "resp="));
	auth_say(&f, "CONT\t%u\tVXNlcm5hbWU6", id);
	client_expect(&c, "+ VXNlcm5hbWU6");
	client_say(&c, "*\r\n");
	client_expect(&c, "a BAD");
	assert_int_equal(strncmp(auth_line(&f), "CANCEL\t", 7), 0);
	master_expect_log(&f, "LOGIN FAILED, ");
	client_say(&c, "b AUTHENTICATE LOGIN\r\n");
	id = auth_expect(&f, &line);
	auth_say(&f, "CONT\t%u\tVXNlcm5hbWU6", id);
	client_expect(&c, "+ VXNlcm5hbWU6");
	client_say(&c, "am9l\r\n");
	assert_contains(auth_line(&f), "\tam9l");
	auth_say(&f,
	    "OK\t%u\tuser=joe\tticket=00000000000000000000000000000000", id);
	master_expect_handover(&f, &h);
	assert_string_equal(h.tag, "b");
	assert_string_equal(h.command, "AUTHENTICATE");
	(void)close(h.fd);
	client_close(&c);
	login_end(&f);
}

static void
holds_logins_while_authdaemond_restarts(void **state)
{
	struct login_fixture f;
	struct client c[2];
	const char *line;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&c[0], &f, SERVICE_IMAPD);
	(void)client_greeted(&c[1], &f, SERVICE_IMAPD);
	client_say(&c[0], "a LOGIN joe secret\r\n");
	(void)auth_expect(&f, &line);
	(void)close(f.auth);
	f.auth = -1;
	(void)master_expect(&f, MSG_AUTH_WANTED);
	/* one that begins while there is none */
	client_say(&c[1], "b NOOP\r\nc LOGIN joe secret\r\n");
	client_expect(&c[1], "b OK");
	auth_connect(&f, "PLAIN");
	for (int k = 0; k < 2; k++) {
		auth_accept(&f, 7);
		(void)master_expect(&f, MSG_HANDOVER);
	}
	client_close(&c[0]);
	client_close(&c[1]);
	login_end(&f);
}

/* A new client must hear of a mechanism, and not of a word. */
static void
expect_greeting(struct login_fixture *f, const char *with, const char *without)
{
	struct client c;
	const char *line;

	client_connect(&c, f, SERVICE_IMAPD);
	(void)master_admit(f, SERVICE_IMAPD);
	line = client_line(&c);
	assert_contains(line, with);
	assert_null(strstr(line, without));
	client_close(&c);
}

/* Greetings are kept: not for longer than they are true. */
static void
greets_by_what_is_offered_now(void **state)
{
	struct login_fixture f;
	struct client c;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	for (int k = 0; k < 2; k++)
		expect_greeting(&f, " SORT ", "AUTH=CRAM-MD5");
	(void)close(f.auth);
	f.auth = -1;
	(void)master_expect(&f, MSG_AUTH_WANTED);
	auth_connect(&f, "PLAIN CRAM-MD5");
	client_say(&c, "a LOGIN joe secret\r\n");
	auth_accept(&f, 7);
	(void)master_expect(&f, MSG_HANDOVER);
	for (int k = 0; k < 2; k++)
		expect_greeting(&f, "AUTH=CRAM-MD5", "LOGINDISABLED");
	fixture_write(&f.conf, "imapd", "IMAP_CAPABILITY=\"IMAP4rev1 IDLE\"\n");
	master_send_config(&f);
	master_send_empty(&f, MSG_START);
	for (int k = 0; k < 2; k++)
		expect_greeting(&f, "AUTH=CRAM-MD5", " SORT ");
	client_close(&c);
	login_end(&f);
}

static void
survives_without_authdaemond(void **state)
{
	struct login_fixture f;
	struct client c;
	const char *line;

	(void)state;
	login_begin(&f, "", "TIMEOUT_READ=1\n");
	login_start(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	/* It goes in the middle of a request … */
	client_say(&c, "a LOGIN joe secret\r\n");
	(void)auth_expect(&f, &line);
	(void)close(f.auth);
	f.auth = -1;
	client_expect(&c, "a NO [UNAVAILABLE]");
	(void)master_expect(&f, MSG_AUTH_WANTED);
	/* … can't be reached … */
	master_send_u32(&f, MSG_AUTH_DOWN, 111);
	client_say(&c, "b LOGIN joe secret\r\n");
	client_expect(&c, "b NO [UNAVAILABLE]");
	(void)master_expect(&f, MSG_AUTH_WANTED);
	/* … and comes back. */
	auth_connect(&f, "PLAIN");
	client_say(&c, "c NOOP\r\n");
	client_expect(&c, "c OK");
	client_say(&c, "d LOGIN joe secret\r\n");
	auth_accept(&f, 7);
	(void)master_expect(&f, MSG_HANDOVER);
	client_close(&c);
	login_end(&f);
}

static void
ends_a_socket_that_breaks_the_protocol(void **state)
{
	static const char *const bad[] = { "OK\tx\tuser=joe", "CONT\t",
		"FAIL\t99999999999" };
	struct login_fixture f;
	struct client c;
	const char *line;

	(void)state;
	login_up(&f, false);
	for (size_t i = 0; i < NELEMS(bad); i++) {
		(void)client_greeted(&c, &f, SERVICE_IMAPD);
		client_say(&c, "a LOGIN joe secret\r\n");
		(void)auth_expect(&f, &line);
		auth_say(&f, "%s", bad[i]);
		client_expect(&c, "a NO [UNAVAILABLE]");
		(void)master_expect(&f, MSG_AUTH_WANTED);
		client_close(&c);
		auth_connect(&f, "PLAIN");
	}
	login_end(&f);
}

static void
guards_passwords(void **state)
{
	struct login_fixture f;
	struct client c;
	const char *line;

	(void)state;
	login_begin(&f, "", "IMAP_TLS_REQUIRED=1\n");
	login_start(&f, true);
	client_connect(&c, &f, SERVICE_IMAPD);
	(void)master_admit(&f, SERVICE_IMAPD);
	line = client_line(&c);
	assert_contains(line, " LOGINDISABLED");
	assert_contains(line, " STARTTLS");
	client_say(&c, "a LOGIN joe secret\r\n");
	client_expect(&c, "a NO [PRIVACYREQUIRED]");
	client_close(&c);
	login_end(&f);
}

/* What a handshake that broke off has named counts for nothing. */
static void
forgets_half_a_handshake(void **state)
{
	struct login_fixture f;
	struct client c;
	const char *line;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	(void)close(f.auth);
	f.auth = -1;
	(void)master_expect(&f, MSG_AUTH_WANTED);
	auth_give_socket(&f);
	auth_say(&f, "VERSION\t1\t2\nMECH\tSCRAM-SHA-1\nMECH\tPLAIN");
	(void)close(f.auth);
	f.auth = -1;
	(void)master_expect(&f, MSG_AUTH_WANTED);
	auth_connect(&f, "PLAIN");
	client_say(&c, "a LOGIN joe wrong\r\n");
	auth_say(&f, "FAIL\t%u", auth_expect(&f, &line));
	client_expect(&c, "a NO");
	client_close(&c);
	expect_greeting(&f, "AUTH=PLAIN", "SCRAM");
	expect_greeting(&f, "AUTH=PLAIN", "AUTH=PLAIN AUTH=PLAIN");
	login_end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_failures_apart),
		cmocka_unit_test(keeps_names_out_of_log_fields),
		cmocka_unit_test(forgets_half_a_handshake),
		cmocka_unit_test(carries_an_exchange),
		cmocka_unit_test(holds_logins_while_authdaemond_restarts),
		cmocka_unit_test(greets_by_what_is_offered_now),
		cmocka_unit_test(survives_without_authdaemond),
		cmocka_unit_test(ends_a_socket_that_breaks_the_protocol),
		cmocka_unit_test(guards_passwords),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
