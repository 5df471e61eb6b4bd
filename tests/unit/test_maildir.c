#include <sys/stat.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/maildir_fixture.h"

static void
new_mail_gets_uids_in_order(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *text;

	refresh(f, m);
	assert_listing(m, "");
	deliver(f, "", "one\n");
	deliver(f, "", "two\n");
	refresh(f, m);
	assert_listing(m, "1 2");
	text = message_text(m, 2);
	assert_string_equal(text, "two\n");
	free(text);
	assert_int_equal(count_files(fixture_path(f, "new")), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	deliver(f, "", "three\n");
	refresh(f, m);
	assert_listing(m, "1 2 3");
	mailbox_close(&m);
}

static void
uids_survive_reopening(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t validity, uids[] = { 1 };

	deliver(f, "", "one\n");
	deliver(f, "", "two\n");
	refresh(f, m);
	validity = mailbox_uidvalidity(m);
	assert_int_equal(
	    run_flags(f, m, uids, 1, FLAGS_ADD, MESSAGE_SEEN, "$Label1"), 0);
	assert_listing(m, "1:S($Label1) 2");
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "inbox");
	assert_int_equal(mailbox_uidvalidity(m), validity);
	refresh(f, m);
	assert_listing(m, "1:S($Label1) 2");
	mailbox_close(&m);
}

static void
everything_once(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *sent;
	uint32_t uid, to[2], all[] = { 1, 2 };
	char *text;

	refresh(f, m);
	assert_int_equal(
	    run_append(f, "INBOX", "a\r\nb", MESSAGE_SEEN, "kw", &uid), 0);
	assert_int_equal(uid, 1);
	assert_listing(m, "1:S(kw)");
	text = message_text(m, 1);
	assert_string_equal(text, "a\nb\n");
	free(text);
	assert_int_equal(create_now(f->account, SLICE("INBOX.Sent")), 0);
	deliver(f, "", "two\n");
	refresh(f, m);
	assert_int_equal(run_copy(f, m, all, 2, "INBOX.Sent", false, to), 0);
	assert_int_equal(to[1], 2);
	sent = open_mailbox(f, "INBOX.Sent");
	refresh(f, sent);
	assert_listing(sent, "1:S(kw) 2");
	assert_int_equal(run_copy(f, sent, all, 1, "INBOX", true, to), 0);
	assert_listing(sent, "2");
	assert_listing(m, "1:S(kw) 2 3:S(kw)");
	assert_int_equal(
	    run_flags(f, m, all, 2, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_int_equal(run_expunge(f, m, NULL, 0), 2);
	assert_listing(m, "3:S(kw)");
	refresh(f, m);
	assert_listing(m, "3:S(kw)");
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	mailbox_close(&sent);
	mailbox_close(&m);
}

/* --- scanning ------------------------------------------------------------- */

static void
examine_moves_nothing(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	deliver(f, "", "one\n");
	assert_int_equal(try_refresh(f, m, false), 0);
	assert_listing(m, "1");
	assert_int_equal(count_files(fixture_path(f, "new")), 1);
	assert_memory_equal(message_path(m, 1), "new/", 4);
	refresh(f, m);
	assert_listing(m, "1");
	assert_int_equal(count_files(fixture_path(f, "new")), 0);
	assert_memory_equal(message_path(m, 1), "cur/", 4);
	mailbox_close(&m);
}

static void
order_is_that_of_arrival(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *text;

	put_cur(f, "1000.z:2,", "third");
	put_cur(f, "999.a:2,S", "second");
	put_cur(f, "20.x", "first");
	write_file(fixture_path(f, "new/5000.x"), "fourth");
	put_cur(f, ".hidden", "never");
	refresh(f, m);
	assert_listing(m, "1 2:S 3 4");
	for (uint32_t uid = 1; uid <= 4; uid++) {
		static const char *const texts[] = { "first", "second", "third",
			"fourth" };

		text = message_text(m, uid);
		assert_string_equal(text, texts[uid - 1]);
		free(text);
	}
	mailbox_close(&m);
}

static void
foreign_changes_are_seen(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *text;

	put_cur(f, "1.a:2,", "one");
	put_cur(f, "2.a:2,", "two");
	put_cur(f, "3.a:2,", "three");
	refresh(f, m);
	assert_int_equal(rename(fixture_path(f, "cur/1.a:2,"),
			     fixture_path(f, "cur/1.a:2,FSx")),
	    0);
	assert_int_equal(unlink(fixture_path(f, "cur/2.a:2,")), 0);
	/* before a refresh the file is found all the same */
	text = message_text(m, 1);
	assert_string_equal(text, "one");
	free(text);
	assert_null(message_text(m, 2));
	assert_listing(m, "1 2 3");
	refresh(f, m);
	assert_listing(m, "1:FS 3");
	assert_string_equal(message_path(m, 1), "cur/1.a:2,FSx");
	mailbox_close(&m);
}

/* The same without watches: everything by reading, and twice to believe. */
static void
foreign_changes_without_watches(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	f->no_watches = true;
	fixture_reopen(f);
	assert_int_equal(store_watch_fd(f->store), -1);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.a:2,", "one");
	put_cur(f, "2.a:2,", "two");
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(rename(fixture_path(f, "cur/1.a:2,"),
			     fixture_path(f, "cur/1.a:2,S")),
	    0);
	assert_int_equal(unlink(fixture_path(f, "cur/2.a:2,")), 0);
	/* a rename in the same tick would leave the mtime as it is */
	refresh(f, m);
	assert_listing(m, "1:S 2");
	f->wall_ms += 1000;
	refresh(f, m);
	assert_listing(m, "1:S");
	deliver(f, "", "x");
	refresh(f, m);
	assert_listing(m, "1:S 3");
	mailbox_close(&m);
}

static void
doubled_base_name_is_one_message(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_cur(f, "1.a:2,", "one");
	put_cur(f, "1.a:2,S", "again");
	refresh(f, m);
	assert_int_equal(strchr(listing(m), ' ') == NULL, 1);
	put_cur(f, "2.a:2,", "two");
	refresh(f, m);
	assert_non_null(strstr(listing(m), " 2"));
	put_cur(f, "2.a:2,T", "again");
	refresh(f, m);
	assert_non_null(strstr(listing(m), " 2"));
	assert_null(strstr(listing(m), "2:T"));
	mailbox_close(&m);
}

static void
odd_info_parts_are_kept(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t uid = 1;

	put_cur(f, "1.a:2,SFF", "one");
	refresh(f, m);
	assert_listing(m, "1:FS");
	assert_string_equal(message_path(m, 1), "cur/1.a:2,SFF");
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_string_equal(message_path(m, 1), "cur/1.a:2,SFF");
	assert_int_equal(
	    run_flags(f, m, &uid, 1, FLAGS_ADD, MESSAGE_DRAFT, NULL), 0);
	assert_string_equal(message_path(m, 1), "cur/1.a:2,DFS");
	mailbox_close(&m);
}

static void
unsafe_files_are_not_followed(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct message_info info;
	uint64_t size;
	int fd;

	write_file(fixture_path(f, "secret"), "secret");
	assert_int_equal(
	    symlink("../secret", fixture_path(f, "cur/1.link")), 0);
	assert_int_equal(mkfifo(fixture_path(f, "cur/2.fifo"), 0600), 0);
	refresh(f, m);
	assert_listing(m, "1 2");
	for (uint32_t uid = 1; uid <= 2; uid++)
		assert_int_not_equal(
		    mailbox_open_message(m, uid, &fd, &size, NULL), 0);
	assert_int_equal(mailbox_message_info(m, 3, &info), ERR_NOT_FOUND);
	mailbox_close(&m);
}

/* --- what a message is ---------------------------------------------------- */

static void
info_and_sizes(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct timespec t[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
	struct message_info info;
	uint32_t uid;

	put_cur(f, "1.a:2,", "a\nb\n");
	assert_int_equal(
	    utimensat(AT_FDCWD, fixture_path(f, "cur/1.a:2,"), t, 0), 0);
	refresh(f, m);
	assert_int_equal(mailbox_message_info(m, 1, &info), 0);
	assert_int_equal(info.internal_ms, 1000000000000);
	assert_int_equal(info.file_size, 4);
	assert_true(info.wire_size == UINT64_MAX);
	mailbox_set_wire_size(m, 1, 6);
	assert_int_equal(mailbox_message_info(m, 2, &info), ERR_NOT_FOUND);
	assert_int_equal(
	    run_append(f, "INBOX", "a\r\r\nb\n\rc", 0, NULL, &uid), 0);
	assert_int_equal(mailbox_message_info(m, uid, &info), 0);
	/* a CR CR LF -> CR LF on disk; b LF; CR c LF */
	assert_int_equal(info.file_size, 8);
	assert_int_equal(info.wire_size, 10);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(mailbox_message_info(m, 1, &info), 0);
	assert_int_equal(info.wire_size, 6);
	assert_int_equal(info.internal_ms, 1000000000000);
	mailbox_close(&m);
}

static unsigned woken;

static void
wake(void *arg)
{
	(void)arg;
	woken++;
}

static void
listeners_are_told(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct mailbox_listener l = { .waker = { wake, NULL } };
	const uint32_t uid[] = { 1 };

	refresh(f, m);
	mailbox_listen(m, &l);
	woken = 0;
	deliver(f, "", "x");
	store_on_watch(f->store, 1);
	assert_true(woken > 0);
	refresh(f, m);
	woken = 0;
	/* what is known wakes nobody */
	store_on_watch(f->store, 1);
	assert_int_equal(woken, 0);
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_SEEN, NULL), 0);
	assert_int_equal(woken, 1);
	store_on_watch(f->store, 1);
	assert_int_equal(woken, 1);
	mailbox_unlisten(&l);
	mailbox_unlisten(&l);
	deliver(f, "", "x");
	store_on_watch(f->store, 1);
	assert_int_equal(woken, 1);
	mailbox_close(&m);
}

static void
recent_is_claimed_once(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct mailbox_counts counts;

	deliver(f, "", "x");
	deliver(f, "", "y");
	refresh(f, m);
	assert_int_equal(mailbox_counts(m, true, &counts, NULL), 0);
	assert_int_equal(counts.messages, 2);
	assert_int_equal(counts.recent, 2);
	assert_int_equal(counts.unseen, 2);
	assert_int_equal(counts.uidnext, 3);
	assert_int_equal(mailbox_recent_from(m, false), 1);
	assert_int_equal(mailbox_recent_from(m, true), 1);
	assert_int_equal(mailbox_recent_from(m, true), 3);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(mailbox_recent_from(m, true), 3);
	mailbox_close(&m);
}

static void
ticks_close_and_tidy(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	int64_t now = 1;

	deliver(f, "", "x");
	refresh(f, m);
	write_file(fixture_path(f, "tmp/old"), "left over");
	/* mailboxes that nobody opens are tidied, too, a few at a time */
	for (int i = 0; i < 45; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "INBOX.a%d", i);
		assert_int_equal(create_now(f->account, slice_str(name)), 0);
		(void)snprintf(name, sizeof(name), ".a%d/tmp/old", i);
		write_file(fixture_path(f, name), "left over");
	}
	store_tick(f->store, now, f->wall_ms);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 1);
	f->wall_ms += 37 * 3600 * INT64_C(1000);
	for (int i = 0; i < 100; i++)
		store_tick(f->store, now += 1000, f->wall_ms);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	for (int i = 0; i < 45; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), ".a%d/tmp", i);
		assert_int_equal(count_files(fixture_path(f, name)), 0);
	}
	/* closed meanwhile; it opens again by itself */
	deliver(f, "", "y");
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
	for (int i = 0; i < 100; i++)
		store_tick(f->store, now += 1000, f->wall_ms);
	m = open_mailbox(f, "INBOX");
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(new_mail_gets_uids_in_order),
		CASE(uids_survive_reopening),
		CASE(everything_once),
		CASE(examine_moves_nothing),
		CASE(order_is_that_of_arrival),
		CASE(foreign_changes_are_seen),
		CASE(foreign_changes_without_watches),
		CASE(doubled_base_name_is_one_message),
		CASE(odd_info_parts_are_kept),
		CASE(unsafe_files_are_not_followed),
		CASE(info_and_sizes),
		CASE(listeners_are_told),
		CASE(recent_is_claimed_once),
		CASE(ticks_close_and_tidy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
