/*
 * The files for Courier, written beside a Courier that does so, too.
 */
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "maildir/export.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

static void
export_respects_the_lock(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct export *x;
	char text[64];

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	mailbox_close(&m);
	/* somebody of this host who lives, for as long as it takes */
	(void)snprintf(text, sizeof(text), "%ld:host.test", (long)getppid());
	write_file(fixture_path(f, "tmp/courier.lock"), text);
	x = export_new(f->account, false);
	for (int64_t now = 1;
	     export_step(x, (struct waker){ 0 }, now, f->wall_ms) != STEP_DONE;
	     now += 500)
		;
	assert_int_equal(export_result(x, NULL), ERR_BUSY);
	export_free(&x);
	assert_int_not_equal(
	    access(fixture_path(f, "courierimapuiddb"), F_OK), 0);
	/* somebody who has gone */
	write_file(fixture_path(f, "tmp/courier.lock"), "4194305:host.test");
	run_export(f, false, 1);
	assert_int_not_equal(
	    access(fixture_path(f, "tmp/courier.lock"), F_OK), 0);
	/* somebody elsewhere, long ago */
	m = open_again(f, "INBOX");
	put_cur(f, "2.M1:2,", "two\n");
	refresh(f, m);
	mailbox_close(&m);
	write_file(fixture_path(f, "tmp/courier.lock"), "77:elsewhere");
	f->wall_ms += 180000;
	run_export(f, false, 1);
	/* IMAP_USELOCKS=0: whoever has it, it is neither waited for nor gone */
	f->no_courier_lock = true;
	fixture_reopen(f);
	m = open_again(f, "INBOX");
	put_cur(f, "3.M1:2,", "three\n");
	refresh(f, m);
	mailbox_close(&m);
	write_file(fixture_path(f, "tmp/courier.lock"), text);
	run_export(f, false, 1);
	assert_int_equal(access(fixture_path(f, "tmp/courier.lock"), F_OK), 0);
}

/* Courier at the worst of times: it gives a new message a UID, at the call of
 * an export that is made for the path. */
static struct fixture *courier_at;
static const char *courier_call, *courier_path;

static int
courier_comes(const char *call, const char *path)
{
	char text[128];

	if (courier_at == NULL || strcmp(call, courier_call) != 0 ||
	    strstr(path, courier_path) == NULL)
		return 0;
	put_cur(courier_at, "2.M1:2,", "two\n");
	(void)snprintf(text, sizeof(text), "1 %u 51\n1 1.M1\n50 2.M1\n",
	    (unsigned)courier_at->account->mailboxes->uidvalidity);
	write_file(fixture_path(courier_at, "tmp/uids"), text);
	assert_int_equal(rename(fixture_path(courier_at, "tmp/uids"),
			     fixture_path(courier_at, "courierimapuiddb")),
	    0);
	courier_at = NULL;
	return 0;
}

/* What Courier writes between the files' being placed and noted is Courier's:
 * at the end of the lock. */
static void
export_notes_its_own_files(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	mailbox_close(&m);
	courier_at = f;
	courier_call = "unlink";
	courier_path = "courier.lock";
	fsx_set_fault(courier_comes);
	run_export(f, false, 1);
	fsx_set_fault(NULL);
	assert_null(courier_at);
	m = open_again(f, "INBOX");
	assert_listing(m, "1 50");
	mailbox_close(&m);
}

/* What Courier writes while the export does is taken over first. */
static void
export_keeps_what_courier_wrote(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char text[128];

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	courier_at = f;
	courier_call = "link";
	courier_path = "tmp/";
	fsx_set_fault(courier_comes);
	run_export(f, false, 1);
	fsx_set_fault(NULL);
	assert_null(courier_at);
	(void)snprintf(text, sizeof(text), "1 %u 51\n1 1.M1\n50 2.M1\n",
	    (unsigned)mailbox_uidvalidity(m));
	assert_file(f, "courierimapuiddb", text);
	mailbox_close(&m);
	m = open_again(f, "INBOX");
	assert_listing(m, "1 50");
	mailbox_close(&m);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
}

/* One that begins again for Courier's sake keeps no other process waiting. */
static void
export_begins_again_beside_another(void **state)
{
	struct fixture *f = *state, other = *f;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct export *x, *y;
	enum step step;

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	mailbox_close(&m);
	fixture_open(&other);
	x = export_new(f->account, false);
	courier_at = f;
	courier_call = "link";
	courier_path = "tmp/";
	fsx_set_fault(courier_comes);
	while (export_step(x, (struct waker){ 0 }, 1, f->wall_ms) !=
	    STEP_WAIT_PEER)
		;
	fsx_set_fault(NULL);
	assert_null(courier_at);
	y = export_new(other.account, false);
	do {
		step = export_step(y, (struct waker){ 0 }, 1, f->wall_ms);
		assert_int_not_equal(step, STEP_WAIT_PEER);
	} while (step != STEP_DONE);
	assert_int_equal(export_result(y, NULL), 0);
	export_free(&y);
	fixture_close(&other);
	while (export_step(x, (struct waker){ 0 }, 1, f->wall_ms) != STEP_DONE)
		;
	assert_int_equal(export_result(x, NULL), 0);
	export_free(&x);
	m = open_again(f, "INBOX");
	assert_listing(m, "1 50");
	mailbox_close(&m);
	run_export(f, false, 0);
}

static int
courier_always_comes(const char *call, const char *path)
{
	if (strcmp(call, "link") == 0) {
		next_tick();
		write_file(fixture_path(courier_at, "courierimapuiddb"), path);
	}
	return 0;
}

/* If Courier doesn't end it, the export does; the next one is in time. */
static void
export_gives_way_to_courier(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct export *x = export_new(f->account, false);

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	mailbox_close(&m);
	courier_at = f;
	fsx_set_fault(courier_always_comes);
	for (int64_t now = 1;
	     export_step(x, (struct waker){ 0 }, now, f->wall_ms) != STEP_DONE;
	     now += 100)
		;
	fsx_set_fault(NULL);
	courier_at = NULL;
	assert_int_equal(export_result(x, NULL), ERR_BUSY);
	export_free(&x);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	run_export(f, false, 1);
	m = open_again(f, "INBOX");
	assert_listing(m, "1");
	mailbox_close(&m);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(export_respects_the_lock),
		CASE(export_notes_its_own_files),
		CASE(export_keeps_what_courier_wrote),
		CASE(export_begins_again_beside_another),
		CASE(export_gives_way_to_courier),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
