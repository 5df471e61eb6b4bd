/*
 * login: whom it lets in, what it hands over and how it ends, as a client and
 * the master see it, in the clear.
 */
#include <sys/socket.h>

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/login_fixture.h"

static void
greets_when_admitted(void **state)
{
	struct login_fixture f;
	struct client c;
	uint64_t id;
	struct msg_in m;

	(void)state;
	login_up(&f, false);
	client_connect(&c, &f, SERVICE_IMAPD);
	id = master_admit(&f, SERVICE_IMAPD);
	assert_contains(client_line(&c), "AUTH=PLAIN");
	client_say(&c, "a LOGOUT\r\n");
	client_expect(&c, "* BYE");
	client_expect(&c, "a OK");
	client_expect_end(&c);
	client_close(&c);
	m = master_expect(&f, MSG_CONN_CLOSE);
	assert_true(msg_get_u64(&m) == id);
	master_expect_log(&f, "imapd: LOGOUT, ip=[::ffff:127.0.0.1], port=[");
	login_end(&f);
}

/* Whose it is the master can't know. */
static void
asks_whose_a_proxied_one_is(void **state)
{
	struct login_fixture f;
	struct client c;
	uint64_t id;
	struct msg_in m;

	(void)state;
	login_up(&f, false);
	client_connect(&c, &f, SERVICE_IMAPD);
	id = master_give(&f, SERVICE_IMAPD, CONN_PROXIED);
	client_say(&c, "PROXY TCP4 198.51.100.7 192.0.2.1 40001 143\r\n");
	m = master_expect(&f, MSG_CONN_OPEN);
	assert_true(msg_get_u64(&m) == id);
	assert_string_equal(msg_get_str(&m), "::ffff:198.51.100.7");
	assert_int_equal(msg_get_u32(&m), 40001);
	assert_string_equal(msg_get_str(&m), "::ffff:192.0.2.1");
	assert_int_equal(msg_get_u32(&m), 143);
	assert_true(msg_get_end(&m));
	master_send_verdict(&f, id, CONN_OK);
	client_expect(&c, "* OK [CAPABILITY ");
	client_close(&c);
	login_end(&f);
}

/* Somebody may have gone meanwhile. */
static void
asks_again_at_a_limit(void **state)
{
	static const enum conn_verdict verdicts[] = { CONN_OK, CONN_TOTAL };
	struct login_fixture f;
	struct client c;

	(void)state;
	login_up(&f, false);
	for (size_t i = 0; i < NELEMS(verdicts); i++) {
		uint64_t id;
		struct msg_in m;

		client_connect(&c, &f, SERVICE_IMAPD);
		id = master_give(&f, SERVICE_IMAPD, CONN_FULL);
		m = master_expect(&f, MSG_CONN_OPEN);
		assert_true(msg_get_u64(&m) == id);
		master_send_verdict(&f, id, verdicts[i]);
		client_expect(&c,
		    verdicts[i] == CONN_OK ? "* OK" : "* BYE [UNAVAILABLE]");
		client_close(&c);
	}
	login_end(&f);
}

static void
tells_of_one_it_has_no_room_for(void **state)
{
	struct login_fixture f;
	struct client c[16];
	struct msg_in m;
	uint64_t first = 0, id;

	(void)state;
	login_files_max = NELEMS(c);
	login_begin(&f, "", "");
	login_files_max = 0;
	login_start(&f, false);
	for (size_t i = 0; i < NELEMS(c); i++) {
		client_connect(&c[i], &f, SERVICE_IMAPD);
		id = master_give(&f, SERVICE_IMAPD, CONN_OK);
		first = i == 0 ? id : first;
	}
	m = master_expect(&f, MSG_CONN_CLOSE);
	id = msg_get_u64(&m);
	assert_true(id > first && id < first + NELEMS(c));
	client_expect_end(&c[id - first]);
	client_expect(&c[0], "* OK");
	for (size_t i = 0; i < NELEMS(c); i++)
		client_close(&c[i]);
	login_end(&f);
}

/* The worker's end is the last one then: its close is the client's end. */
static void
closes_what_was_handed_over(void **state)
{
	struct login_fixture f;
	struct client c[3];
	uint64_t ids[3];

	(void)state;
	login_up(&f, false);
	for (size_t i = 0; i < NELEMS(c); i++) {
		struct handover h;

		ids[i] = client_greeted(&c[i], &f, SERVICE_IMAPD);
		client_say(&c[i], "a LOGIN joe@example.com secret\r\n");
		auth_accept(&f, 1);
		master_expect_handover(&f, &h);
		assert_true(h.id == ids[i]);
		(void)close(h.fd);
	}
	/* one that it doesn't know is none of its business */
	ids[1] = ids[2] + 1;
	master_send_handed_over(&f, ids, NELEMS(ids));
	client_expect_end(&c[0]);
	client_expect_end(&c[2]);
	for (size_t i = 0; i < NELEMS(c); i++)
		client_close(&c[i]);
	login_end(&f);
}

static void
tells_why_it_refuses(void **state)
{
	static const struct {
		enum service service;
		enum conn_verdict verdict;
		const char *words;
	} cases[] = {
		{ SERVICE_IMAPD, CONN_PER_ADDRESS,
		    "* BYE [UNAVAILABLE] Too many connections from your "
		    "address" },
		{ SERVICE_IMAPD, CONN_TOTAL,
		    "* BYE [UNAVAILABLE] Too many connections" },
		{ SERVICE_POP3D, CONN_PER_ADDRESS,
		    "-ERR [SYS/TEMP] Too many connections from your address" },
		{ SERVICE_POP3D, CONN_STOPPING, "-ERR [SYS/TEMP] " },
	};
	struct login_fixture f;
	struct client c;

	(void)state;
	login_up(&f, false);
	for (size_t i = 0; i < NELEMS(cases); i++) {
		client_connect(&c, &f, cases[i].service);
		(void)master_give(&f, cases[i].service, cases[i].verdict);
		client_expect(&c, cases[i].words);
		client_expect_end(&c);
		client_close(&c);
	}
	login_end(&f);
}

static void
hands_the_socket_over(void **state)
{
	static const char said[] =
	    "a1 LOGIN joe@example.com secret\r\na2 SELECT INBOX\r\na3 NO";
	struct login_fixture f;
	struct handover h;
	struct client c;
	const char *line;
	uint64_t id;
	unsigned auth_id;

	(void)state;
	login_up(&f, false);
	id = client_greeted(&c, &f, SERVICE_IMAPD);
	client_say(&c, said);
	auth_id = auth_expect(&f, &line);
	assert_contains(line,
	    "\tPLAIN\tservice=imap\tlip=::ffff:127.0.0.1"
	    "\trip=::ffff:127.0.0.1\tlport=");
	assert_contains(line, "\trport=");
	/* resp= is the last field: NUL joe@example.com NUL secret */
	assert_contains(line, "\tresp=AGpvZUBleGFtcGxlLmNvbQBzZWNyZXQ=");
	auth_say(&f,
	    "OK\t%u\tuser=joe@example.com\t"
	    "ticket=000102030405060708090a0b0c0d0e0f",
	    auth_id);
	master_expect_handover(&f, &h);
	assert_true(h.id == id);
	for (int i = 0; i < TEST_TICKET_SIZE; i++)
		assert_int_equal(h.ticket[i], i);
	assert_string_equal(h.tag, "a1");
	assert_string_equal(h.command, "LOGIN");
	assert_string_equal(h.facts, "");
	assert_string_equal(h.unparsed, "a2 SELECT INBOX\r\na3 NO");
	assert_int_equal(h.rcvd, sizeof(said) - 1);
	assert_true(h.sent > 0);
	/* Not a byte more is read by the login process. */
	client_say(&c, "OP\r\n");
	master_send_handover_done(&f, id, CONN_OK, "");
	assert_int_equal(recv(h.fd, h.unparsed, sizeof(h.unparsed), 0), 4);
	assert_int_equal(send(h.fd, "a1 OK\r\n", 7, 0), 7);
	client_expect(&c, "a1 OK");
	(void)close(h.fd);
	/* Now the login process has let go of it, too. */
	client_expect_end(&c);
	client_close(&c);
	/* No CONN_CLOSE of that one: the next one's is the first. */
	id = client_greeted(&c, &f, SERVICE_IMAPD);
	client_close(&c);
	{
		struct msg_in m = master_expect(&f, MSG_CONN_CLOSE);

		assert_true(msg_get_u64(&m) == id);
	}
	login_end(&f);
}

/* However much is sent ahead: the worker reads the rest itself. */
static void
hands_no_more_over_than_it_read(void **state)
{
	static const char before[] = "a NOOP\r\n",
			  login[] = "b LOGIN joe secret\r\n";
	struct login_fixture f;
	struct handover h;
	struct client c;
	char ahead[20001], got[sizeof(ahead)];
	size_t n;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(ahead); i++)
		ahead[i] = "x NOOP\r\n"[i % 8];
	ahead[sizeof(ahead) - 1] = '\0';
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	client_say(&c, before);
	client_expect(&c, "a OK");
	client_say(&c, login);
	client_say(&c, ahead);
	auth_accept(&f, 1);
	master_expect_handover(&f, &h);
	n = strlen(h.unparsed);
	assert_true(n <= HANDOVER_AHEAD_MAX);
	assert_true(h.rcvd == sizeof(before) + sizeof(login) - 2 + n);
	memcpy(got, h.unparsed, n);
	while (n < sizeof(ahead) - 1) {
		struct pollfd wait = { .fd = h.fd, .events = POLLIN };
		ssize_t r;

		assert_int_equal(poll(&wait, 1, LOGIN_WAIT_MS), 1);
		r = recv(h.fd, got + n, sizeof(got) - 1 - n, 0);
		assert_true(r > 0);
		n += (size_t)r;
	}
	got[n] = '\0';
	assert_string_equal(got, ahead);
	(void)close(h.fd);
	client_close(&c);
	login_end(&f);
}

static void
hands_pop3_over(void **state)
{
	struct login_fixture f;
	struct handover h;
	struct client c;
	const char *line;
	unsigned id;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_POP3D);
	client_say(&c, "USER joe\r\nPASS a b\r\nSTAT\r\n");
	client_expect(&c, "+OK");
	id = auth_expect(&f, &line);
	assert_contains(line, "\tPLAIN\tservice=pop3\t");
	auth_say(&f,
	    "OK\t%u\tuser=joe\tticket=00000000000000000000000000000000", id);
	master_expect_handover(&f, &h);
	assert_string_equal(h.tag, "");
	assert_string_equal(h.command, "PASS");
	assert_string_equal(h.unparsed, "STAT\r\n");
	/* what CAPA says after login, too */
	assert_string_equal(h.mechs, " PLAIN LOGIN");
	assert_true(h.password);
	(void)close(h.fd);
	client_close(&c);
	login_end(&f);
}

static void
goes_on_when_a_handover_is_refused(void **state)
{
	struct login_fixture f;
	struct handover h;
	struct client c;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	client_say(&c, "a LOGIN joe secret\r\nb NOOP\r\n");
	auth_accept(&f, 1);
	master_expect_handover(&f, &h);
	(void)close(h.fd);
	master_send_handover_done(
	    &f, h.id, CONN_DENIED, "IMAP access disabled for this account.");
	client_expect(&c, "a NO [ALERT] IMAP access disabled");
	client_expect(&c, "b OK");
	client_say(&c, "c LOGIN joe secret\r\n");
	auth_accept(&f, 2);
	master_expect_handover(&f, &h);
	(void)close(h.fd);
	master_send_handover_done(&f, h.id, CONN_UNAVAILABLE, "no worker");
	client_expect(&c, "c NO [UNAVAILABLE]");
	client_close(&c);
	login_end(&f);
}

static void
bounds_the_time_to_log_in(void **state)
{
	struct login_fixture f;
	struct client imap, pop3;

	(void)state;
	login_begin(&f, "LOGIN_TIMEOUT=1\n", "");
	login_start(&f, false);
	(void)client_greeted(&imap, &f, SERVICE_IMAPD);
	(void)client_greeted(&pop3, &f, SERVICE_POP3D);
	client_say(&imap, "a LOG"); /* dripping doesn't help */
	client_expect(&imap, "* BYE");
	client_expect_end(&imap);
	/* RFC 1939 3: POP3 closes without a word. */
	client_expect_end(&pop3);
	client_close(&imap);
	client_close(&pop3);
	login_end(&f);
}

static void
stops_one_service(void **state)
{
	struct login_fixture f;
	struct client imap, pop3, late;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&imap, &f, SERVICE_IMAPD);
	(void)client_greeted(&pop3, &f, SERVICE_POP3D);
	master_send_u32(&f, MSG_SERVICE_STOP, SERVICE_IMAPD);
	client_expect(&imap, "* BYE [UNAVAILABLE]");
	client_expect_end(&imap);
	client_say(&pop3, "CAPA\r\n");
	client_expect(&pop3, "+OK");
	client_connect(&late, &f, SERVICE_POP3D);
	(void)master_admit(&f, SERVICE_POP3D);
	client_expect(&late, "+OK");
	client_close(&imap);
	client_close(&pop3);
	client_close(&late);
	login_end(&f);
}

/* Its login was good, and the master has it, when the service stops. */
static void
ends_a_handover_when_the_service_stops(void **state)
{
	static const struct {
		enum service service;
		const char *login, *answer;
	} cases[] = {
		{ SERVICE_IMAPD, "a LOGIN joe secret\r\nb NOOP\r\n",
		    "* BYE [UNAVAILABLE] Server is shutting down." },
		{ SERVICE_POP3D, "USER joe\r\nPASS secret\r\nNOOP\r\n",
		    "-ERR [SYS/TEMP] Server is shutting down." },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct login_fixture f;
		struct handover h;
		struct client c;

		login_up(&f, false);
		(void)client_greeted(&c, &f, cases[i].service);
		client_say(&c, cases[i].login);
		if (cases[i].service == SERVICE_POP3D)
			client_expect(&c, "+OK");
		auth_accept(&f, 1);
		master_expect_handover(&f, &h);
		(void)close(h.fd);
		master_send_handover_done(&f, h.id, CONN_STOPPING, "");
		master_send_u32(&f, MSG_SERVICE_STOP, cases[i].service);
		client_expect(&c, cases[i].answer);
		client_expect_end(&c);
		client_close(&c);
		login_end(&f);
	}
}

static void
shuts_down(void **state)
{
	struct login_fixture f;
	struct client c;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	master_send_empty(&f, MSG_SHUTDOWN);
	client_expect(&c, "* BYE");
	client_expect_end(&c);
	client_close(&c);
	assert_int_equal(login_wait(&f), 0);
	login_end(&f);
}

/* Signals that reach every process of a terminal or of a service unit. */
static void
ends_cleanly_by_signal(void **state)
{
	struct login_fixture f;
	struct client c;

	(void)state;
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	assert_int_equal(kill(f.pid, SIGINT), 0);
	assert_int_equal(kill(f.pid, SIGHUP), 0);
	client_say(&c, "a NOOP\r\n");
	client_expect(&c, "a OK");
	assert_int_equal(kill(f.pid, SIGTERM), 0);
	client_expect(&c, "* BYE");
	client_expect_end(&c);
	client_close(&c);
	assert_int_equal(login_wait(&f), 0);
	login_end(&f);
}

/* What the client still sends must not take our last words away. */
static void
closes_without_a_reset(void **state)
{
	struct login_fixture f;
	struct client c;
	char more[8192];

	(void)state;
	memset(more, 'x', sizeof(more));
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	client_say(&c, "a LOGOUT\r\n");
	for (int i = 0; i < 64; i++)
		client_write(&c, slice_of(more, sizeof(more)));
	client_expect(&c, "* BYE");
	client_expect(&c, "a OK");
	assert_int_equal(client_read(&c, more, sizeof(more)), 0);
	client_close(&c);
	login_end(&f);
}

static void
answers_nonsense(void **state)
{
	struct login_fixture f;
	struct client c;
	char *line = malloc(20001);

	(void)state;
	assert_non_null(line);
	memset(line, 'x', 20000);
	line[20000] = '\0';
	login_up(&f, false);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	client_say(&c, line);
	client_expect(&c, "* BAD");
	client_expect(&c, "* BYE");
	client_close(&c);
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	client_say(&c, "a LOGIN {99999999}\r\n");
	client_expect(&c, "a BAD [TOOBIG]");
	client_close(&c);
	(void)client_greeted(&c, &f, SERVICE_POP3D);
	client_write(&c, slice_of("\x16\x03\x01\x02\x00\x01\x00\x01", 8));
	client_expect(&c, "-ERR");
	client_close(&c);
	/* Another one is served all the same. */
	(void)client_greeted(&c, &f, SERVICE_IMAPD);
	client_close(&c);
	free(line);
	login_end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greets_when_admitted),
		cmocka_unit_test(asks_whose_a_proxied_one_is),
		cmocka_unit_test(asks_again_at_a_limit),
		cmocka_unit_test(tells_of_one_it_has_no_room_for),
		cmocka_unit_test(closes_what_was_handed_over),
		cmocka_unit_test(tells_why_it_refuses),
		cmocka_unit_test(hands_the_socket_over),
		cmocka_unit_test(hands_no_more_over_than_it_read),
		cmocka_unit_test(hands_pop3_over),
		cmocka_unit_test(goes_on_when_a_handover_is_refused),
		cmocka_unit_test(bounds_the_time_to_log_in),
		cmocka_unit_test(stops_one_service),
		cmocka_unit_test(ends_a_handover_when_the_service_stops),
		cmocka_unit_test(shuts_down),
		cmocka_unit_test(ends_cleanly_by_signal),
		cmocka_unit_test(closes_without_a_reset),
		cmocka_unit_test(answers_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
