/*
 * Sessions of two users change one access control list while the disk takes
 * its time: RFC 4314 3.1.  Who may change it is seen when it's his turn.
 */
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "protocols/imap/session.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"
#include "tests/support/syncs.h"

enum { RUNS_MAX = 1000 };

/* --- two sessions --------------------------------------------------------- */

static struct imap_options opt;
static struct session *owner, *friend;
static struct buf output;

/* Run until it waits; true: for the disk. */
static bool
run(struct fixture *f, struct session *s)
{
	enum step last = STEP_YIELD;

	for (int n = 0; n < RUNS_MAX && last == STEP_YIELD; n++) {
		last = s->ops->run(s, 5000, f->wall_ms);
		buf_put(&output, buf_slice(&s->out));
		buf_drain(&s->out, buf_len(&s->out));
	}
	assert_true(last == STEP_WAIT_INPUT || last == STEP_WAIT_SYNC);
	return last == STEP_WAIT_SYNC;
}

static void
say(struct session *s, const char *text)
{
	buf_put(&s->in, slice_str(text));
}

/* Both, until nothing is left to do. */
static void
settle(struct fixture *f)
{
	bool more = true;

	for (int n = 0; more; n++) {
		assert_true(n < RUNS_MAX);
		more = run(f, owner);
		more = run(f, friend) || more;
		(void)syncs_do_one();
	}
}

static void
assert_said(const char *text)
{
	if (strstr(buf_cstr(&output), text) == NULL)
		fail_msg("no \"%s\" in:\n%s", text, buf_cstr(&output));
}

static struct session *
login(struct fixture *f, const char *user, const char *path)
{
	const struct session_peer peer = { .user = user,
		.client_addr = "::ffff:192.0.2.7",
		.local_addr = "::1",
		.tls = "",
		.ident = "imapd" };

	return imap_session_new(
	    &opt, &peer, account_get(f->store, path, ""), "L", "LOGIN", 5000);
}

static int
setup(void **state)
{
	int rc = fixture_setup(state);
	struct fixture *f = *state;
	char *index, *text, *path;

	if (rc != 0)
		return rc;
	quiet_log();
	buf_init(&output, 1 << 20);
	assert_int_equal(account_open(f->account, NULL), 0);
	fixture_close(f);
	f->syncer = &syncs_holder;
	fixture_open(f);
	index = mem_printf("%s/index", f->root);
	text = mem_printf("alice\t%u\t%u\t%s\tMaildir\n", (unsigned)geteuid(),
	    (unsigned)getegid(), f->root);
	path = mem_printf("%s/bob", f->root);
	write_file(index, text);
	opt = imap_options_default;
	opt.shared_index = index;
	owner = login(f, "alice", f->path);
	friend = login(f, "bob", path);
	free(path);
	free(text);
	say(owner, "a SETACL INBOX bob lra\r\n");
	settle(f);
	assert_said("a OK SETACL");
	return 0;
}

static int
teardown(void **state)
{
	owner->ops->free(owner);
	friend->ops->free(friend);
	syncs_do_all();
	buf_fini(&output);
	log_set_sink(NULL, NULL);
	free((char *)(uintptr_t)opt.shared_index);
	return fixture_teardown(state);
}

/* --- the cases ------------------------------------------------------------ */

static void
loses_no_entry(void **state)
{
	struct fixture *f = *state;

	say(owner, "b SETACL INBOX carol lr\r\n");
	say(friend, "c SETACL #shared.alice dave lr\r\n");
	assert_true(run(f, owner));
	assert_true(run(f, friend));
	settle(f);
	assert_said("b OK");
	assert_said("c OK");
	say(owner, "d GETACL INBOX\r\n");
	settle(f);
	assert_said("\"carol\" \"lr\" \"dave\" \"lr\"");
}

static void
sees_rights_at_its_turn(void **state)
{
	static const char *const commands[] = {
		"c SETACL #shared.alice bob lraswite\r\n",
		"c ACL STORE #shared.alice user=bob lraswite\r\n"
	};
	struct fixture *f = *state;

	for (size_t k = 0; k < NELEMS(commands); k++) {
		say(owner, "b SETACL INBOX bob lra\r\n");
		settle(f);
		say(owner, "b SETACL INBOX bob lr\r\n");
		say(friend, commands[k]);
		/* he may, when he says it */
		assert_true(run(f, owner));
		assert_true(run(f, friend));
		settle(f);
		assert_said("c NO");
		say(owner, "d GETACL INBOX\r\n");
		buf_reset(&output);
		settle(f);
		assert_said("\"bob\" \"lr\"");
	}
}

/* The client of the one that has its turn goes: the next one has it then. */
static void
goes_on_alone(void **state)
{
	struct fixture *f = *state;

	say(owner, "b SETACL INBOX carol lr\r\n");
	say(friend, "c SETACL #shared.alice dave lr\r\n");
	assert_true(run(f, owner));
	assert_true(run(f, friend));
	owner->ops->free(owner);
	owner = login(f, "alice", f->path);
	settle(f);
	assert_said("c OK");
	say(owner, "d GETACL INBOX\r\n");
	settle(f);
	assert_said("\"carol\" \"lr\" \"dave\" \"lr\"");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    loses_no_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    sees_rights_at_its_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_alone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
