/* Taking over from Courier and from Dovecot: what becomes of a mailbox. */
#include <sys/stat.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/export.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

/* --- Courier -------------------------------------------------------------- */

static void
keywords_of_courier(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	fresh_tree(f, "INBOX");
	put_cur(f, "1.M1P1.host,S=4:2,S", "one\n");
	put_cur(f, "2.M1P1.host:2,T", "two\n");
	put_cur(f, "3.M1P1.host:2,", "three\n");
	put_cur(f, "4.M1P1.host:2,", "four\n");
	put_cur(f, "5.a:b:2,", "five\n");
	put_dir(f, "courierimapkeywords");
	write_file(fixture_path(f, "courierimapkeywords/:list"),
	    "$Bar\nKw2\nFoo\n\n1.M1P1.host,S=4:0 2\n2.M1P1.host:1\n"
	    "gone.host:1\n5.a:b:2\n4.M1P1.host:0 99\n");
	/* waiting, merged of late, and both: the waiting one counts */
	write_file(fixture_path(f, "courierimapkeywords/3.M1P1.host"), "New\n");
	write_file(fixture_path(f, "courierimapkeywords/.5000000.2.M1P1.host"),
	    "Kw2\nFOO\n");
	write_file(fixture_path(f, "courierimapkeywords/.4000000.2.M1P1.host"),
	    "old\n");
	write_file(fixture_path(f, "courierimapkeywords/4.M1P1.host"), "");
	write_file(fixture_path(f, "courierimapkeywords/.tmp.x"), "junk\n");
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_listing(m, "1:S($Bar)(Foo) 2:T(Foo)(Kw2) 3(New) 4 5(Foo)");
	mailbox_close(&m);
}

/* They are looked for again when the directory that they weren't in says so. */
static void
sees_what_comes_later(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m, *again;

	fresh_tree(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	put_cur(f, "2.M1:2,", "two\n");
	put_dir(f, "courierimapkeywords");
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_int_not_equal(m->imported.absent.kinds, 0);
	assert_listing(m, "1 2");
	/* in a directory of its own */
	write_file(
	    fixture_path(f, "courierimapkeywords/:list"), "Kw\n\n2.M1:0\n");
	again = open_again(f, "INBOX");
	mailbox_close(&again);
	assert_listing(m, "1 2(Kw)");
	write_file(
	    fixture_path(f, "dovecot-uidlist"), "3 V66 N9\n5 :1.M1\n8 :2.M1\n");
	again = open_again(f, "INBOX");
	assert_int_equal(mailbox_uidvalidity(again), 66);
	/* a keyword that Dovecot never had */
	assert_listing(again, "5 8(Kw)");
	mailbox_close(&again);
	mailbox_close(&m);
}

/* A directory that changed just now may change again, and not show it. */
static void
forgets_what_is_recent(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	fresh_tree(f, "INBOX");
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(m->imported.absent.kinds, 0);
	mailbox_close(&m);
}

/* The list of UIDs of another mailbox than INBOX; a way out isn't followed. */
static void
uids_below_and_symlinks(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	fresh_tree(f, "INBOX.a");
	write_file(fixture_path(f, ".a/cur/1.M1:2,F"), "one\n");
	write_file(fixture_path(f, ".a/courierimapuiddb"), "1 77 9\n5 1.M1\n");
	put_cur(f, "1.M1:2,", "x\n");
	assert_int_equal(
	    symlink(".a/courierimapuiddb", fixture_path(f, "courierimapuiddb")),
	    0);
	fixture_open(f);
	m = open_again(f, "INBOX.a");
	assert_int_equal(mailbox_uidvalidity(m), 77);
	assert_listing(m, "5:F");
	mailbox_close(&m);
	m = open_again(f, "INBOX");
	assert_int_not_equal(mailbox_uidvalidity(m), 77);
	assert_listing(m, "1");
	mailbox_close(&m);
}

/* Courier gave more UIDs while Postern was away. */
static void
adopts_new_uids(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	fresh_tree(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	put_cur(f, "2.M1:2,", "two\n");
	write_file(
	    fixture_path(f, "courierimapuiddb"), "1 77 9\n3 1.M1\n8 2.M1\n");
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_listing(m, "3 8");
	mailbox_close(&m);
	put_cur(f, "9.M1:2,S", "nine\n");
	put_cur(f, "0.M1:2,S", "zero\n");
	put_cur(f, "unseen.M1:2,S", "unseen\n");
	(void)unlink(fixture_path(f, "courierimapuiddb"));
	write_file(fixture_path(f, "courierimapuiddb"),
	    "1 77 15\n3 1.M1\n8 2.M1\n11 9.M1\n12 0.M1\n");
	m = open_again(f, "INBOX");
	assert_int_equal(mailbox_uidvalidity(m), 77);
	assert_listing(m, "3 8 11:S 12:S 15:S");
	mailbox_close(&m);
}

/* Both gave the same UID, and one message got two. */
static void
burns_uids_given_twice(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	uint32_t uid;

	fresh_tree(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	write_file(fixture_path(f, "courierimapuiddb"), "1 77 9\n3 1.M1\n");
	fixture_open(f);
	m = open_again(f, "INBOX");
	/* never exported: Courier doesn't know of it */
	assert_int_equal(
	    run_append(f, "INBOX", "ours\n", MESSAGE_FLAGGED, "kw", &uid), 0);
	assert_int_equal(uid, 9);
	assert_int_equal(run_append(f, "INBOX", "too\n", 0, NULL, &uid), 0);
	assert_int_equal(uid, 10);
	mailbox_close(&m);
	put_cur(f, "9.M1:2,S", "nine\n");
	(void)unlink(fixture_path(f, "courierimapuiddb"));
	write_file(
	    fixture_path(f, "courierimapuiddb"), "1 77 12\n3 1.M1\n9 9.M1\n");
	m = open_again(f, "INBOX");
	assert_int_equal(mailbox_uidvalidity(m), 77);
	/* 9 names nothing any more */
	assert_listing(m, "3 10 12:F(kw) 13:S");
	mailbox_close(&m);
}

static void
takes_another_uidvalidity(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m, *held;

	fresh_tree(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	write_file(fixture_path(f, "courierimapuiddb"), "1 77 9\n3 1.M1\n");
	fixture_open(f);
	held = open_again(f, "INBOX");
	assert_listing(held, "3");
	(void)unlink(fixture_path(f, "courierimapuiddb"));
	write_file(fixture_path(f, "courierimapuiddb"), "1 66 5\n4 1.M1\n");
	m = open_again(f, "INBOX");
	assert_int_equal(mailbox_uidvalidity(m), 66);
	assert_listing(m, "4");
	/* who had it open is told */
	assert_true(mailbox_gone(held));
	assert_int_equal(try_refresh(f, held, false), ERR_STALE);
	mailbox_close(&held);
	mailbox_close(&m);
}

/* The database is lost, and Courier's list is older than the last UID. */
static void
lost_database_reuses_no_uid(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	uint32_t uid;

	fresh_tree(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	write_file(fixture_path(f, "courierimapuiddb"), "1 77 9\n3 1.M1\n");
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_int_equal(run_append(f, "INBOX", "new\n", 0, NULL, &uid), 0);
	assert_int_equal(uid, 9);
	mailbox_close(&m);
	fixture_close(f);
	(void)unlink(fixture_path(f, "postern.db"));
	(void)unlink(fixture_path(f, "postern.db-wal"));
	(void)unlink(fixture_path(f, "postern.db-shm"));
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_int_equal(mailbox_uidvalidity(m), 77);
	assert_listing(m, "3 1048585");
	mailbox_close(&m);
}

/* --- Dovecot -------------------------------------------------------------- */

static void
all_of_dovecot(void **state)
{
	struct fixture *f = *state;
	struct mailbox_list l;
	struct mailbox *m;
	uint32_t uid;

	fresh_tree(f, "INBOX.Sent");
	put_cur(f, "1.M1,S=4,W=5:2,Sab", "one\n");
	put_cur(f, "2.M1:2,Tz", "two\n");
	put_cur(f, "3.M1:2,c", "three\n");
	put_cur(f, "4.M1:2,", "four\n");
	put_cur(f, "5.M1:2,", "five\n");
	write_file(fixture_path(f, "dovecot-uidlist"),
	    "3 V795329398 N7 Gabcdef\n"
	    "1 W5 :1.M1,S=4,W=5\n"
	    "2 PUID7-99 :2.M1:2,T\n"
	    "3 Psome-id O2 :3.M1\n"
	    "4 O1 :4.M1\n"
	    "6 :1.M1,S=4,W=5\n");
	write_file(fixture_path(f, "dovecot-keywords"),
	    "0 $Forwarded\n1 NonJunk\n25 last\n26 lost\n");
	write_file(fixture_path(f, "subscriptions"),
	    "V\t2\n\nINBOX\nSent\nOld\tR&AOk-\n");
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_int_equal(mailbox_uidvalidity(m), 795329398);
	/* 1 was dropped for 6; what isn't in the list gets the next one */
	assert_listing(m, "2:T(last) 3 4 6:S($Forwarded)(NonJunk) 7");
	/* O first, then by UID; P, else by Dovecot's format */
	assert_pop3(m,
	    "4=000000042f67c376 3=some-id 2=UID7-99 6=000000062f67c376 "
	    "7=UID1-795329398");
	assert_int_equal(run_append(f, "INBOX", "six\n", 0, NULL, &uid), 0);
	assert_int_equal(uid, 8);
	refresh(f, m);
	assert_pop3(m,
	    "4=000000042f67c376 3=some-id 2=UID7-99 6=000000062f67c376 "
	    "7=UID1-795329398 8=UID2-795329398");
	mailbox_close(&m);
	assert_int_equal(account_subscriptions(f->account, &l, NULL), 0);
	assert_int_equal(l.n, 3);
	assert_true(slice_eq(l.v[0].name, SLICE("INBOX")));
	assert_true(slice_eq(l.v[1].name, SLICE("INBOX.Old.R\xc3\xa9")));
	assert_true(slice_eq(l.v[2].name, SLICE("INBOX.Sent")));
	mailbox_list_fini(&l);
	/* and it is all still there without the files */
	fixture_close(f);
	(void)unlink(fixture_path(f, "dovecot-uidlist"));
	(void)unlink(fixture_path(f, "dovecot-keywords"));
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_listing(m, "2:T(last) 3 4 6:S($Forwarded)(NonJunk) 7 8");
	mailbox_close(&m);
}

/* Folders in folders: see layout.h. */
static void
refuses_layout_fs(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct err e;
	char *deep;

	fresh_tree(f, "INBOX.Sent");
	deep = mem_strdup(fixture_path(f, "Archive/cur"));
	assert_int_equal(mkdir(fixture_path(f, "Archive"), 0700), 0);
	assert_int_equal(mkdir(deep, 0700), 0);
	write_file(fixture_path(f, "Archive/dovecot.index.log"), "x");
	fixture_open(f);
	assert_int_equal(
	    mailbox_open(f->account, SLICE("INBOX"), &m, &e), ERR_LAYOUT);
	assert_non_null(strstr(e.text, "Archive is a mailbox of Dovecot's"));
	/* nothing has begun: each time anew, until it is put right */
	assert_int_equal(access(fixture_path(f, "postern.db"), F_OK), -1);
	fixture_reopen(f);
	assert_int_equal(
	    mailbox_open(f->account, SLICE("INBOX"), &m, &e), ERR_LAYOUT);

	/* the same by a file of the root's, as with INDEX= elsewhere */
	(void)unlink(fixture_path(f, "Archive/dovecot.index.log"));
	write_file(fixture_path(f, "dovecot-uidvalidity"), "");
	fixture_reopen(f);
	assert_int_equal(
	    mailbox_open(f->account, SLICE("INBOX"), &m, &e), ERR_LAYOUT);

	/* deeper ones, of which those above are only folders; Courier's
	 * shared folders have a cur, too */
	assert_int_equal(rename(fixture_path(f, "Archive"),
			     fixture_path(f, "shared-folders")),
	    0);
	fixture_reopen(f);
	m = open_again(f, "INBOX");
	mailbox_close(&m);
	fixture_close(f);
	(void)unlink(fixture_path(f, "postern.db"));
	assert_int_equal(mkdir(fixture_path(f, "Archive"), 0700), 0);
	assert_int_equal(rename(fixture_path(f, "shared-folders"),
			     fixture_path(f, "Archive/Old")),
	    0);
	write_file(fixture_path(f, "Archive/Old/dovecot-uidlist"), "");
	fixture_open(f);
	assert_int_equal(
	    mailbox_open(f->account, SLICE("INBOX"), &m, &e), ERR_LAYOUT);
	assert_non_null(strstr(e.text, "Archive/Old is a mailbox"));

	/* no trace of Dovecot: somebody's own folder */
	(void)unlink(fixture_path(f, "Archive/Old/dovecot-uidlist"));
	(void)unlink(fixture_path(f, "dovecot-uidvalidity"));
	fixture_reopen(f);
	m = open_again(f, "INBOX");
	mailbox_close(&m);
	/* and an account that has a database isn't looked at again */
	write_file(fixture_path(f, "Archive/Old/dovecot.index.log"), "x");
	fixture_reopen(f);
	m = open_again(f, "INBOX");
	mailbox_close(&m);
	free(deep);
}

/* Both servers have been there, one after the other. */
static void
keywords_of_both(void **state)
{
	static const struct {
		const char *courier; /* list of UIDs */
		bool dovecot_last;
		const char *listing;
	} cases[] = {
		/* Dovecot knew nothing of Courier's, and removed none */
		{ "1 77 9\n3 1.M1\n4 2.M1\n", true, "1(old) 2(new)(update)" },
		/* nor did Courier know of Dovecot's */
		{ "1 77 9\n3 1.M1\n4 2.M1\n", false, "3(old) 4(new)(update)" },
		/* what had Courier's UIDs had its keywords */
		{ "1 66 9\n1 1.M1\n2 2.M1\n", true, "1 2(new)" },
	};
	const struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	struct fixture *f = *state;

	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct mailbox *m;

		fresh_tree(f, "INBOX");
		put_cur(f, "1.M1:2,", "one\n");
		put_cur(f, "2.M1:2,a", "two\n");
		write_file(
		    fixture_path(f, "courierimapuiddb"), cases[i].courier);
		if (i == 0)
			put_dir(f, "courierimapkeywords");
		write_file(fixture_path(f, "courierimapkeywords/:list"),
		    "old\n\n1.M1:0\n");
		write_file(
		    fixture_path(f, "courierimapkeywords/2.M1"), "update\n");
		write_file(fixture_path(f, "dovecot-uidlist"),
		    "3 V66 N9\n1 :1.M1\n2 :2.M1\n");
		write_file(fixture_path(f, "dovecot-keywords"), "0 new\n");
		assert_int_equal(
		    utimensat(AT_FDCWD,
			fixture_path(f,
			    cases[i].dovecot_last ? "courierimapuiddb"
						  : "dovecot-uidlist"),
			old, 0),
		    0);
		fixture_open(f);
		m = open_again(f, "INBOX");
		assert_listing(m, cases[i].listing);
		mailbox_close(&m);
	}
}

/* An admin who had come from Courier: pop3_uidl_format = UID%u-%v. */
static void
dovecot_after_courier(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	fresh_tree(f, "INBOX");
	put_cur(f, "1.M1:2,", "one\n");
	put_cur(f, "2.M1:2,", "two\n");
	put_cur(f, "3.M1:2,", "three\n");
	write_file(fixture_path(f, "courierimapuiddb"), "1 77 9\n3 1.M1\n");
	write_file(fixture_path(f, "courierpop3dsizelist"),
	    "/2 4 55\n1.M1:2, 4 1:55\n");
	write_file(fixture_path(f, "dovecot-uidlist"),
	    "3 V77 N9 PUID%u-%v\n3 PUID1-55 :1.M1\n8 :2.M1\n");
	{
		const struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };

		assert_int_equal(
		    utimensat(
			AT_FDCWD, fixture_path(f, "courierimapuiddb"), old, 0),
		    0);
	}
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_listing(m, "3 8 9");
	/* 9 must not get UID8-77 */
	assert_pop3(m, "3=UID1-55 8=UID8-77 9=UID9-77");
	mailbox_close(&m);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(keywords_of_courier),
		CASE(sees_what_comes_later),
		CASE(forgets_what_is_recent),
		CASE(uids_below_and_symlinks),
		CASE(adopts_new_uids),
		CASE(burns_uids_given_twice),
		CASE(takes_another_uidvalidity),
		CASE(lost_database_reuses_no_uid),
		CASE(all_of_dovecot),
		CASE(refuses_layout_fs),
		CASE(dovecot_after_courier),
		CASE(keywords_of_both),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
