/*
 * The master's part of a handover, with what is around it played by the test:
 * a login process and a worker at the other ends of their sockets, the table of
 * connections with one in it, and a loginexec.
 */
#include <sys/socket.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/master.h"
#include "tests/unit/conf_fixture.h"

enum { CONN_ID = 77 };

static struct master m;
static struct child login, worker, hook;
static struct conn_record record;
static bool hooked; /* there is a loginexec to wait for */
static int login_fd, worker_fd;
static uint8_t space[MSG_SIZE_MAX];

/* --- what is around it ---------------------------------------------------- */

struct conn_record *
conn_find(struct master *master, uint64_t id)
{
	(void)master;
	return id == CONN_ID ? &record : NULL;
}

struct conn_record *
conn_of_hook(struct master *master, const struct child *of)
{
	(void)master;
	return record.hook == of ? &record : NULL;
}

void
master_auth_fetch(struct master *master, struct slice ticket)
{
	(void)master;
	(void)ticket;
}

void
master_auth_listen(struct master *master, bool on)
{
	(void)master;
	(void)on;
}

struct child *
master_worker_for(struct master *master, const struct account_record *a,
    const char *path, const char **why)
{
	(void)master;
	(void)a;
	(void)path;
	(void)why;
	return &worker;
}

struct child *
master_hook(struct master *master, const struct conn_record *r,
    const struct account_record *a, const char *path, const struct conf *conf)
{
	(void)master;
	(void)r;
	(void)a;
	(void)path;
	(void)conf;
	return hooked ? &hook : NULL;
}

int
master_home_make(const char *home, uid_t uid, gid_t gid, struct err *e)
{
	(void)home;
	(void)uid;
	(void)gid;
	(void)e;
	return 0;
}

static void
on_message(struct peer *p, struct msg_in *in, void *arg)
{
	(void)p;
	(void)in;
	(void)arg;
}

static void
on_end(struct peer *p, const char *why, void *arg)
{
	(void)p;
	(void)why;
	(void)arg;
}

/* A child and the other end of its socket. */
static int
child_begin(struct child *c, enum child_kind kind, enum msg_role role)
{
	static const struct peer_handler handler = { on_message, on_end };
	int pair[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	*c = (struct child){ .master = &m, .kind = kind };
	c->peer = peer_new(m.base, pair[0], ROLE_MASTER, role, &handler, c);
	return pair[1];
}

static int
begin(void **state)
{
	static struct fixture f;

	*state = &f;
	fixture_begin(&f);
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	m = (struct master){ .base = event_base_new(),
		.conf = f.conf,
		.tickets = tickets_new() };
	m.services[SERVICE_IMAPD].on = true;
	login_fd = child_begin(&login, CHILD_LOGIN, ROLE_LOGIN);
	worker_fd = child_begin(&worker, CHILD_WORKER, ROLE_WORKER);
	record = (struct conn_record){ .id = CONN_ID,
		.service = SERVICE_IMAPD,
		.client_addr = "192.0.2.1",
		.local_addr = "192.0.2.2",
		.verdict = CONN_OK,
		.login = &login };
	hooked = false;
	return 0;
}

static int
end(void **state)
{
	handover_forget(&record);
	free(record.user);
	peer_free(&login.peer);
	peer_free(&worker.peer);
	(void)close(login_fd);
	(void)close(worker_fd);
	tickets_free(&m.tickets);
	event_base_free(m.base);
	fixture_end(*state);
	return 0;
}

/* --- what is said --------------------------------------------------------- */

static const uint8_t ticket[TICKET_SIZE] = { 1 };

static char *
word(size_t n)
{
	char *s = mem_alloc(n + 1);

	memset(s, 'x', n);
	s[n] = '\0';
	return s;
}

/* authdaemond vouches for an account with such a home. */
static void
vouch(size_t home_n)
{
	struct account_record a = { .uid = 1000,
		.gid = 1000,
		.user = mem_strdup("joe"),
		.home = word(home_n),
		.maildir = mem_strdup("Maildir"),
		.quota = mem_strdup(""),
		.options = mem_strdup("") };

	a.home[0] = '/';
	tickets_add(m.tickets, slice_of(ticket, TICKET_SIZE), "imap",
	    record.client_addr, &a, clock_now());
}

struct said {
	size_t ticket, tag, ahead, tls, command, mechs;
};
static const struct said usual = { TICKET_SIZE, 2, 8, 0, 5, 12 };

/* The login process hands it over; the client's end of its socket. */
static int
hand_over(const struct said *s)
{
	char *tag = word(s->tag), *ahead = word(s->ahead), *tls = word(s->tls),
	     *command = word(s->command), *mechs = word(s->mechs);
	struct msg_out out;
	struct msg_in in;
	int pair[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	msg_begin(&out, MSG_HANDOVER, 0);
	msg_put_u64(&out, CONN_ID);
	msg_put_bytes(&out, slice_of(ticket, s->ticket));
	msg_put_str(&out, tag);
	msg_put_str(&out, ahead);
	msg_put_str(&out, tls);
	msg_put_str(&out, command);
	msg_put_u32(&out, 0);
	msg_put_str(&out, mechs);
	msg_put_u32(&out, 1);
	msg_put_u64(&out, 100);
	msg_put_u64(&out, 200);
	assert_int_equal(
	    msg_parse(msg_finish(&out), ROLE_LOGIN, ROLE_MASTER, &in), 1);
	in.fd = pair[0];
	master_handover(&login, &in);
	assert_int_equal(in.fd, -1);
	msg_out_fini(&out);
	free(tag);
	free(ahead);
	free(tls);
	free(command);
	free(mechs);
	return pair[1];
}

/* --- what becomes of it --------------------------------------------------- */

static void
assert_silence(int fd, enum msg_role to)
{
	struct msg_in in;

	assert_int_equal(msg_recv(fd, ROLE_MASTER, to, space, &in), ERR_BUSY);
}

static void
assert_session(const struct said *s)
{
	struct msg_in in;

	assert_int_equal(
	    msg_recv(worker_fd, ROLE_MASTER, ROLE_WORKER, space, &in), 1);
	assert_int_equal(in.type, MSG_SESSION);
	assert_true(in.fd >= 0);
	(void)close(in.fd);
	assert_true(msg_get_u64(&in) == CONN_ID);
	assert_int_equal(msg_get_u32(&in), SERVICE_IMAPD);
	for (int i = 0; i < 2; i++) {
		(void)msg_get_str(&in);
		(void)msg_get_u32(&in);
	}
	assert_int_equal(msg_get_bytes(&in).n, s->tls);
	assert_int_equal(msg_get_bytes(&in).n, s->tag);
	assert_int_equal(msg_get_bytes(&in).n, s->ahead);
	assert_int_equal(msg_get_bytes(&in).n, s->command);
	assert_int_equal(msg_get_u32(&in), 0);
	assert_int_equal(msg_get_bytes(&in).n, s->mechs);
	assert_int_equal(msg_get_u32(&in), 1);
	assert_ptr_equal(record.worker, &worker);
	assert_null(record.waiting);
}

/* No session, and nobody has the client's socket any more but the login
 * process, which is told so. */
static void
assert_refused(int client, enum conn_verdict v)
{
	struct msg_in in;
	char c;

	assert_int_equal(
	    msg_recv(login_fd, ROLE_MASTER, ROLE_LOGIN, space, &in), 1);
	assert_int_equal(in.type, MSG_HANDOVER_DONE);
	assert_true(msg_get_u64(&in) == CONN_ID);
	assert_int_equal(msg_get_u32(&in), v);
	assert_silence(worker_fd, ROLE_WORKER);
	assert_int_equal(recv(client, &c, 1, MSG_DONTWAIT), 0);
	assert_null(record.waiting);
	assert_null(record.worker);
	(void)close(client);
}

static void
takes_what_a_login_process_may_say(void **state)
{
	static const struct said most = { TICKET_SIZE, HANDOVER_WORD_MAX,
		HANDOVER_AHEAD_MAX, HANDOVER_WORD_MAX, HANDOVER_WORD_MAX,
		HANDOVER_MECHS_MAX };

	(void)state;
	vouch(10);
	(void)close(hand_over(&most));
	assert_session(&most);
}

/* One that strangers have taken over says more, for each of its clients, while
 * their tickets are waited for. */
static void
keeps_nothing_that_is_too_long(void **state)
{
	static const struct said cases[] = {
		{ TICKET_SIZE - 1, 2, 8, 0, 5, 12 },
		{ TICKET_SIZE, HANDOVER_WORD_MAX + 1, 8, 0, 5, 12 },
		{ TICKET_SIZE, 2, HANDOVER_AHEAD_MAX + 1, 0, 5, 12 },
		{ TICKET_SIZE, 2, 100 * 1024, 0, 5, 12 },
		{ TICKET_SIZE, 2, 8, HANDOVER_WORD_MAX + 1, 5, 12 },
		{ TICKET_SIZE, 2, 8, 0, HANDOVER_WORD_MAX + 1, 12 },
		{ TICKET_SIZE, 2, 8, 0, 5, HANDOVER_MECHS_MAX + 1 },
	};
	char c;

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		int client = hand_over(&cases[i]);

		assert_null(record.waiting);
		assert_int_equal(recv(client, &c, 1, MSG_DONTWAIT), 0);
		(void)close(client);
		assert_silence(login_fd, ROLE_LOGIN);
		assert_silence(worker_fd, ROLE_WORKER);
	}
}

static void
waits_for_its_ticket(void **state)
{
	int client;

	(void)state;
	client = hand_over(&usual);
	assert_non_null(record.waiting);
	master_handovers_retry(&m, clock_now());
	assert_silence(worker_fd, ROLE_WORKER);
	vouch(10);
	master_handovers_retry(&m, clock_now());
	assert_session(&usual);
	(void)close(client);
}

static void
waits_for_no_ticket_for_ever(void **state)
{
	int client;

	(void)state;
	client = hand_over(&usual);
	master_handovers_retry(&m, clock_now() + 60000);
	assert_refused(client, CONN_REFUSED);
}

static void
waits_for_a_hook(void **state)
{
	int client;

	(void)state;
	hooked = true;
	vouch(10);
	client = hand_over(&usual);
	assert_ptr_equal(record.hook, &hook);
	assert_silence(worker_fd, ROLE_WORKER);
	master_handovers_hooked(&m, &hook);
	assert_session(&usual);
	(void)close(client);
}

/* When the service stops, whatever it waits for, and in one that has. */
static void
begins_nothing_in_a_service_that_stops(void **state)
{
	int client;

	(void)state;
	client = hand_over(&usual);
	master_handover_stop(&record);
	assert_refused(client, CONN_STOPPING);
	hooked = true;
	vouch(10);
	client = hand_over(&usual);
	assert_ptr_equal(record.hook, &hook);
	master_handover_stop(&record);
	assert_refused(client, CONN_STOPPING);
	master_handovers_hooked(&m, &hook);
	assert_silence(worker_fd, ROLE_WORKER);
	vouch(10);
	m.services[SERVICE_IMAPD].on = false;
	assert_refused(hand_over(&usual), CONN_STOPPING);
	master_handover_stop(&record);
	assert_silence(login_fd, ROLE_LOGIN);
}

/* The home is in the path of the Maildir, too. */
static void
refuses_an_account_longer_than_a_message(void **state)
{
	(void)state;
	vouch(70 * 1024);
	assert_refused(hand_over(&usual), CONN_UNAVAILABLE);
	assert_int_equal(worker.n_sessions, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(takes_what_a_login_process_may_say),
		CASE(keeps_nothing_that_is_too_long),
		CASE(waits_for_its_ticket),
		CASE(waits_for_no_ticket_for_ever),
		CASE(waits_for_a_hook),
		CASE(begins_nothing_in_a_service_that_stops),
		CASE(refuses_an_account_longer_than_a_message),
	};

	log_set_level(LOG_LEVEL_ALERT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
