/*
 * Nothing is told before it is durable: the syncs are held back.
 */
#include <errno.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "protocols/imap/session.h"
#include "tests/crash/order.h"

static enum step
step_refresh(
    struct fixture *f, struct mailbox *m, struct waker waker, int *result)
{
	enum step step;

	do
		step = mailbox_refresh(m, true, waker, 1, f->wall_ms, result);
	while (step == STEP_YIELD);
	return step;
}

static void
new_mail_waits_for_its_uid(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *again;
	const struct waker waker = order_waker();
	int result = 77;

	refresh(f, m);
	hold_syncs(true);
	woken = 0;
	deliver(f, "", "one");
	assert_int_equal(step_refresh(f, m, waker, &result), STEP_WAIT_SYNC);
	assert_int_equal(held_syncs(), 1);
	assert_listing(m, "");
	/* a second session comes in between, and waits as well */
	again = open_mailbox(f, "INBOX");
	assert_ptr_equal(again, m);
	assert_int_equal(
	    step_refresh(f, again, (struct waker){ waker.fn, again }, &result),
	    STEP_WAIT_SYNC);
	assert_listing(again, "");
	/* and leaves */
	mailbox_forget_waker(again, again);
	mailbox_close(&again);
	release_syncs(0);
	assert_int_equal(woken, 1);
	assert_int_equal(step_refresh(f, m, waker, &result), STEP_DONE);
	assert_int_equal(result, 0);
	assert_listing(m, "1");
	mailbox_close(&m);
}

static void
append_waits_for_its_syncs(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct waker waker = order_waker();
	struct append *p;
	const uint32_t *uids;
	uint32_t validity;
	size_t n;

	refresh(f, m);
	hold_syncs(true);
	assert_int_equal(append_begin(f->account, SLICE("INBOX"), &p, NULL), 0);
	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1, 1, f->wall_ms, NULL), 0);
	assert_int_equal(append_write(p, SLICE("x"), NULL), 0);
	assert_int_equal(append_message_end(p, NULL), 0);
	forget_calls();
	assert_int_equal(step_append(f, p, waker), STEP_WAIT_SYNC);
	assert_int_equal(count_calls(CALL_RENAME, MAIL), 0);
	release_syncs(0);
	assert_int_equal(step_append(f, p, waker), STEP_WAIT_SYNC);
	assert_int_equal(count_calls(CALL_RENAME, MAIL), 0);
	assert_listing(m, "");
	release_syncs(0);
	assert_int_equal(count_calls(CALL_RENAME, MAIL), 1);
	assert_int_equal(step_append(f, p, waker), STEP_DONE);
	assert_int_equal(append_result(p, &validity, &uids, &n), 0);
	assert_listing(m, "1");
	append_free(&p);

	/* its session goes away while a sync is under way */
	assert_int_equal(append_begin(f->account, SLICE("INBOX"), &p, NULL), 0);
	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1, 1, f->wall_ms, NULL), 0);
	assert_int_equal(append_message_end(p, NULL), 0);
	assert_int_equal(step_append(f, p, waker), STEP_WAIT_SYNC);
	append_free(&p);
	release_syncs(0);
	hold_syncs(false);
	refresh(f, m);
	assert_listing(m, "1");
	mailbox_close(&m);
}

/* One step of a new STORE; freed at once if it is done. */
static enum step
step_store(struct fixture *f, struct mailbox *m, uint32_t flags,
    struct change_flags **out)
{
	const struct flags_change what = {
		.how = FLAGS_ADD, .flags = flags, .unchanged_since = UINT64_MAX
	};
	const uint32_t uid[] = { 1 };
	struct change_flags *c;
	enum step step;

	assert_int_equal(change_flags_begin(m, uid, 1, &what, &c, NULL), 0);
	do
		step = change_flags_step(c, order_waker(), 1, f->wall_ms);
	while (step == STEP_YIELD);
	*out = c;
	return step;
}

/* The first change of a mailbox is synced; those that come meanwhile wait for
 * the same, whoever of them goes away and whatever becomes of the sync. */
static void
changes_wait_for_the_first(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct change_flags *c, *other;

	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), 0);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	hold_syncs(true);
	assert_int_equal(step_store(f, m, MESSAGE_SEEN, &c), STEP_WAIT_SYNC);
	assert_int_equal(
	    step_store(f, m, MESSAGE_FLAGGED, &other), STEP_WAIT_SYNC);
	change_flags_free(&c);
	change_flags_free(&other);
	/* that sync fails, and nobody is there to hear of it */
	release_syncs(EIO);
	assert_int_equal(step_store(f, m, MESSAGE_DELETED, &c), STEP_WAIT_SYNC);
	release_syncs(0);
	assert_int_equal(
	    change_flags_step(c, order_waker(), 1, f->wall_ms), STEP_DONE);
	change_flags_free(&c);
	/* from then on they needn't */
	assert_int_equal(step_store(f, m, MESSAGE_DRAFT, &c), STEP_DONE);
	change_flags_free(&c);
	mailbox_close(&m);
}

static void
unique_ids_wait(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct waker waker = order_waker();
	struct pop3_entry *v = NULL;
	size_t n = 0;
	int result = 0;

	deliver(f, "", "one");
	refresh(f, m);
	hold_syncs(true);
	woken = 0;
	assert_int_equal(
	    mailbox_pop3_list(m, waker, 1, &v, &n, &result), STEP_WAIT_SYNC);
	assert_null(v);
	release_syncs(0);
	assert_int_equal(woken, 1);
	assert_int_equal(
	    mailbox_pop3_list(m, waker, 1, &v, &n, &result), STEP_DONE);
	assert_int_equal(result, 0);
	assert_int_equal(n, 1);
	free(v);
	mailbox_close(&m);
}

/* A session that goes away while a sync is under way isn't called any more:
 * neither one that was selecting, nor one that had selected. */
static void
session_goes_while_it_waits(void **state)
{
	static const char *const commands[] = { "A SELECT INBOX\r\n",
		"A STATUS INBOX (MESSAGES)\r\n",
		"A SELECT INBOX\r\nB NOOP\r\n" };
	static const struct session_peer peer = { .user = "alice",
		.client_addr = "",
		.local_addr = "",
		.tls = "",
		.ident = "imapd" };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	for (size_t i = 0; i < NELEMS(commands); i++) {
		struct session *s = imap_session_new(&imap_options_default,
		    &peer, account_get(f->store, f->path, ""), "L", "LOGIN", 1);
		enum step step;

		s->waker = order_waker();
		hold_syncs(i < 2);
		if (i < 2)
			(void)deliver(f, "", "one");
		buf_puts(&s->in, commands[i]);
		if (i == 2) {
			/* the first of the two, and then new mail */
			while (s->ops->run(s, 1, f->wall_ms) != STEP_WAIT_INPUT)
				;
			(void)deliver(f, "", "two");
			hold_syncs(true);
			buf_puts(&s->in, "C NOOP\r\n");
		}
		do
			step = s->ops->run(s, 1, f->wall_ms);
		while (step != STEP_WAIT_SYNC && step != STEP_WAIT_INPUT);
		assert_int_equal(step, STEP_WAIT_SYNC);
		s->ops->free(s);
		woken = 0;
		release_syncs(0);
		assert_int_equal(woken, 0);
		hold_syncs(false);
		refresh(f, m);
	}
	mailbox_close(&m);
}

static int
fail_fdatasync(const char *call, const char *path)
{
	(void)path;
	return strcmp(call, "fdatasync") == 0 ? EIO : 0;
}

/* A failed sync is never believed, nor tried again on the same file. */
static void
failed_sync_is_no(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t uid = 0;

	refresh(f, m);
	fsx_set_fault(fail_fdatasync);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, NULL), ERR_SYS);
	assert_int_equal(count_files(fixture_path(f, "cur")), 0);
	deliver(f, "", "one");
	assert_int_not_equal(try_refresh(f, m, true), 0);
	assert_listing(m, "");
	fsx_set_fault(NULL);
	refresh(f, m);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, &uid), 0);
	assert_true(uid > 2);
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, order_setup, order_teardown)
	const struct CMUnitTest tests[] = {
		CASE(new_mail_waits_for_its_uid),
		CASE(append_waits_for_its_syncs),
		CASE(changes_wait_for_the_first),
		CASE(unique_ids_wait),
		CASE(session_goes_while_it_waits),
		CASE(failed_sync_is_no),
	};

	order_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
