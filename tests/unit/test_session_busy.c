/*
 * Sessions of a store whose database another process holds: they wait, ask
 * rarely, answer as soon as it is free, and give up in the end.  Time is made
 * up here, so that waiting costs none.
 */
#include <unistd.h>

#include "base/log.h"
#include "protocols/imap/session.h"
#include "protocols/pop3/session.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"

enum {
	RUNS_MAX = 10000,
	HELD_MS = 3000,
	GIVEN_UP_MS = 60000,
	/* while it is held: the way there, then a run in 64 ms at most */
	TURNS_MAX = 100,
};

static int64_t now_ms;
static struct buf output;

/* Run s as the worker does until it wants input, or so much time has gone;
 * returns how many runs that took. */
static unsigned
run_for(struct fixture *f, struct session *s, int64_t ms, enum step *last)
{
	int64_t until = now_ms + ms;
	unsigned n = 0;

	for (; n < RUNS_MAX; n++) {
		*last = s->ops->run(s, now_ms, f->wall_ms);
		buf_put(&output, buf_slice(&s->out));
		buf_drain(&s->out, buf_len(&s->out));
		if (*last == STEP_WAIT_INPUT || *last == STEP_DONE)
			return n;
		if (*last == STEP_WAIT_PEER) {
			int64_t at = s->ops->deadline(s);

			assert_true(at > now_ms && at <= now_ms + 1000);
			now_ms = at;
		}
		if (now_ms > until)
			return n;
	}
	fail_msg("the session goes in circles");
	return n;
}

static void
say(struct session *s, const char *text)
{
	buf_reset(&output);
	buf_put(&s->in, slice_str(text));
}

static void
assert_said(const char *text)
{
	if (strstr(buf_cstr(&output), text) == NULL)
		fail_msg("no \"%s\" in:\n%s", text, buf_cstr(&output));
}

static void
talk(struct fixture *f, struct session *s, const char *text, const char *reply)
{
	enum step last;

	say(s, text);
	(void)run_for(f, s, GIVEN_UP_MS, &last);
	assert_said(reply);
}

static const struct session_peer peer = { .user = "alice@example.com",
	.client_addr = "::ffff:192.0.2.7",
	.local_addr = "::1",
	.tls = "",
	.ident = "imapd" };

static int
setup(void **state)
{
	struct fixture *f;
	int rc = fixture_setup(state);

	quiet_log();
	buf_init(&output, 1 << 20);
	now_ms = 5000;
	f = *state;
	if (rc == 0)
		rc = account_open(f->account, NULL);
	if (rc == 0)
		for (int k = 0; k < 4; k++)
			(void)deliver(f, "", "Subject: a\n\ntext\n");
	return rc;
}

static int
teardown(void **state)
{
	buf_fini(&output);
	log_set_sink(NULL, NULL);
	return fixture_teardown(state);
}

static struct session *
log_in(struct fixture *f)
{
	struct session *s = imap_session_new(&imap_options_default, &peer,
	    account_get(f->store, f->path, ""), "L", "LOGIN", now_ms);

	talk(f, s, "", "L OK");
	return s;
}

static struct session *
new_imap(struct fixture *f)
{
	struct session *s = log_in(f);

	talk(f, s, "b CREATE INBOX.b\r\n", "b OK");
	talk(f, s, "s SELECT INBOX\r\n", "s OK");
	return s;
}

/* What is held up by the database, told and then carried out. */
static const struct {
	const char *text, *ok;
	bool found; /* what changes is found in the directory */
} commands[] = {
	{ "a STORE 1 +FLAGS (\\Flagged)\r\n", "a OK", false },
	{ "a COPY 1:2 INBOX.b\r\n", "a OK [COPYUID", false },
	{ "a MOVE 1 INBOX.b\r\n", "a OK", false },
	{ "a APPEND INBOX {4+}\r\ntext\r\n", "a OK [APPENDUID", false },
	{ "a APPEND INBOX {3+}\r\none {3+}\r\ntwo\r\n", "a OK [APPENDUID",
	    false },
	{ "a NOOP\r\n", " EXISTS", true },
	{ "a STATUS INBOX (MESSAGES)\r\n", "a OK", true },
	{ "a CREATE INBOX.c\r\n", "a OK", false },
	{ "a UID EXPUNGE 2\r\n", " EXPUNGE", false },
	{ "a STORE 1:* +FLAGS (\\Deleted)\r\n", "a OK", false },
	{ "a EXPUNGE\r\n", " EXPUNGE", false },
};

static void
test_imap(void **state)
{
	struct fixture *f = *state;
	struct session *s = new_imap(f);

	talk(f, s, "d STORE 2 +FLAGS (\\Deleted)\r\n", "d OK");
	for (size_t k = 0; k < NELEMS(commands); k++) {
		struct sqlite3 *h;
		enum step last;
		unsigned n;

		if (commands[k].found)
			(void)deliver(f, "", "Subject: b\n\ntext\n");
		h = fixture_take_database(f);
		say(s, commands[k].text);
		n = run_for(f, s, HELD_MS, &last);
		fixture_give_back(h);
		if (n > TURNS_MAX)
			fail_msg("%s: %u turns", commands[k].text, n);
		if (last != STEP_WAIT_PEER || buf_len(&output) != 0)
			fail_msg("%s: didn't wait", commands[k].text);
		(void)run_for(f, s, GIVEN_UP_MS, &last);
		assert_int_equal(last, STEP_WAIT_INPUT);
		assert_said(commands[k].ok);
	}
	s->ops->free(s);
}

/* Whoever holds it doesn't let go of it. */
static void
test_imap_given_up(void **state)
{
	struct fixture *f = *state;
	struct session *s = new_imap(f);
	struct sqlite3 *h = fixture_take_database(f);

	talk(f, s, "a STORE 1 +FLAGS (\\Flagged)\r\n", "a NO [INUSE]");
	talk(f, s, "a COPY 1:2 INBOX.b\r\n", "a NO [INUSE]");
	talk(f, s, "a APPEND INBOX {4+}\r\ntext\r\n", "a NO [INUSE]");
	fixture_give_back(h);
	talk(f, s, "a STORE 1 +FLAGS (\\Flagged)\r\n", "a OK");
	s->ops->free(s);
}

/* What only looks, where mail that came can't be taken up: it is given up after
 * ten seconds, and only this once.  All the while others are answered. */
static void
test_looks_given_up(void **state)
{
	static const struct {
		const char *text, *reply;
	} looks[] = {
		/* the mail is told another time */
		{ "a NOOP\r\n", "a OK" },
		{ "a STATUS INBOX (MESSAGES)\r\n", "a NO [INUSE]" },
		{ "a SELECT INBOX\r\n", "a NO [INUSE]" },
	};
	struct fixture *f = *state;
	struct session *s = new_imap(f), *other = log_in(f);
	struct sqlite3 *h;

	talk(f, other, "s SELECT INBOX.b\r\n", "s OK");
	(void)deliver(f, "", "Subject: b\n\ntext\n");
	h = fixture_take_database(f);
	for (size_t k = 0; k < NELEMS(looks); k++) {
		int64_t began = now_ms;
		enum step last;

		say(s, looks[k].text);
		(void)run_for(f, s, HELD_MS, &last);
		assert_int_equal(last, STEP_WAIT_PEER);
		assert_null(strstr(buf_cstr(&output), looks[k].reply));
		say(other, "o NOOP\r\n");
		assert_int_equal(run_for(f, other, 0, &last), 0);
		assert_said("o OK");
		buf_reset(&output);
		(void)run_for(f, s, GIVEN_UP_MS, &last);
		assert_said(looks[k].reply);
		assert_in_range(now_ms - began, 9000, 12000);
	}
	fixture_give_back(h);
	talk(f, s, "a SELECT INBOX\r\n", "* 5 EXISTS");
	other->ops->free(other);
	s->ops->free(s);
}

/* A command that waits for its turn looks at rights again: another process took
 * them away meanwhile. */
static void
test_rights_go_while_it_waits(void **state)
{
	static const char *const texts[] = { "a DELETE INBOX.b\r\n",
		"a RENAME INBOX.b INBOX.c\r\n" };
	struct fixture *f = *state;
	struct session *s = new_imap(f);

	for (size_t k = 0; k < NELEMS(texts); k++) {
		struct sqlite3 *h = fixture_take_database(f);
		enum step last;

		say(s, texts[k]);
		(void)run_for(f, s, HELD_MS, &last);
		assert_int_equal(last, STEP_WAIT_PEER);
		write_file(
		    fixture_path(f, ".b/courierimapacl"), "owner lrswi\n");
		fixture_give_back(h);
		(void)run_for(f, s, GIVEN_UP_MS, &last);
		assert_said("a NO [NOPERM]");
		talk(f, s, "b STATUS INBOX.b (MESSAGES)\r\n", "b OK");
		assert_int_equal(
		    unlink(fixture_path(f, ".b/courierimapacl")), 0);
	}
	talk(f, s, texts[1], "a OK");
	talk(f, s, "a DELETE INBOX.c\r\n", "a OK");
	s->ops->free(s);
}

static struct session *
new_pop3(struct fixture *f)
{
	static const struct pop3_options opt = {
		.user = true,
		.timeout_ms = 600000,
		.line_max = 255,
		.bad_max = 10,
		.mime = { .max_depth = 10,
		    .max_parts = 100,
		    .max_field = 65536,
		    .max_text = 65536 },
	};

	return pop3_session_new(
	    &opt, &peer, account_get(f->store, f->path, ""), now_ms);
}

static void
test_pop3(void **state)
{
	struct fixture *f = *state;
	struct session *s;
	struct sqlite3 *h;
	enum step last;

	assert_int_equal(account_open(f->account, NULL), 0);
	h = fixture_take_database(f);
	s = new_pop3(f);
	say(s, "");
	assert_in_range(run_for(f, s, HELD_MS, &last), 1, TURNS_MAX);
	assert_int_equal(last, STEP_WAIT_PEER);
	fixture_give_back(h);
	(void)run_for(f, s, GIVEN_UP_MS, &last);
	assert_said("+OK logged in.");
	talk(f, s, "DELE 1\r\n", "+OK");
	h = fixture_take_database(f);
	say(s, "QUIT\r\n");
	assert_in_range(run_for(f, s, HELD_MS, &last), 1, TURNS_MAX);
	assert_int_equal(last, STEP_WAIT_PEER);
	fixture_give_back(h);
	(void)run_for(f, s, GIVEN_UP_MS, &last);
	assert_int_equal(last, STEP_DONE);
	assert_said("+OK Bye.");
	s->ops->free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_imap, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_imap_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_looks_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_rights_go_while_it_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pop3, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
