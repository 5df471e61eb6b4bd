/*
 * Accounts: mailboxes by name, and subscriptions.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"

static int
create(struct fixture *f, const char *name)
{
	return create_now(f->account, slice_str(name));
}

static int
rename_mailbox(struct fixture *f, const char *from, const char *to)
{
	return rename_now(f->account, slice_str(from), slice_str(to));
}

static const char *
list(struct fixture *f)
{
	static char text[4096];
	struct mailbox_list l;
	size_t at = 0;

	assert_int_equal(account_list(f->account, &l, NULL), 0);
	text[0] = '\0';
	for (size_t i = 0; i < l.n; i++) {
		unsigned a = l.v[i].attrs;

		at += (size_t)sprintf(text + at, "%s%.*s%s%s%s",
		    at != 0 ? " " : "", SLICE_ARG(l.v[i].name),
		    a & MAILBOX_NOSELECT ? "-" : "",
		    a & MAILBOX_HAS_CHILDREN ? "+" : "",
		    a & MAILBOX_MARKED ? "!" : "");
	}
	mailbox_list_fini(&l);
	return text;
}

static void
listed_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct account_listing *l;
	struct mailbox_list list;
	struct err e;
	int rc, n_steps = 0;

	for (int i = 0; i < 100; i++) {
		char name[32];

		(void)sprintf(name, "INBOX.m%d", i);
		assert_int_equal(create(f, name), 0);
	}
	deliver(f, "", "x");
	deliver(f, ".m7/", "x");
	l = account_listing_new(f->account, false);
	while ((rc = account_listing_step(l, &e)) == 1)
		n_steps++;
	assert_int_equal(rc, 0);
	assert_true(n_steps > 5);
	account_listing_take(l, &list);
	account_listing_free(&l);
	assert_int_equal(list.n, 101);
	/* not looked for: only INBOX's is told */
	assert_int_equal(list.v[0].attrs & MAILBOX_MARKED, MAILBOX_MARKED);
	for (size_t i = 1; i < list.n; i++)
		assert_int_equal(list.v[i].attrs, 0);
	mailbox_list_fini(&list);
	/* a session may end in between */
	l = account_listing_new(f->account, true);
	assert_int_equal(account_listing_step(l, &e), 1);
	account_listing_free(&l);
	/* and so may the database: what is no mailbox doesn't become one */
	assert_int_equal(mkdir(fixture_path(f, ".none"), 0700), 0);
	l = account_listing_new(f->account, true);
	assert_int_equal(account_listing_step(l, &e), 1);
	assert_int_equal(
	    account_db_failed(f->account, ERR_DAMAGED), ERR_DAMAGED);
	while ((rc = account_listing_step(l, &e)) == 1)
		;
	assert_int_equal(rc, 0);
	account_listing_take(l, &list);
	account_listing_free(&l);
	assert_int_equal(list.n, 101);
	for (size_t i = 1; i < list.n; i++)
		assert_int_equal(list.v[i].attrs,
		    slice_eq(list.v[i].name, SLICE("INBOX.m7"))
			? MAILBOX_MARKED
			: MAILBOX_UNMARKED);
	mailbox_list_fini(&list);
}

/* --- names ---------------------------------------------------------------- */

static void
create_list_delete(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(list(f), "INBOX");
	assert_int_equal(create(f, "INBOX.a"), 0);
	assert_int_equal(create(f, "INBOX.a"), ERR_EXISTS);
	assert_int_equal(create(f, "inbox"), ERR_EXISTS);
	assert_int_equal(create(f, "INBOX.x.y.z"), 0);
	assert_int_equal(create(f, "INBOX.a-b"), 0);
	assert_int_equal(create(f, "INBOX.a.b"), 0);
	assert_int_equal(create(f, "INBOX.a/b"), ERR_INVALID);
	assert_int_equal(create(f, "Other"), ERR_INVALID);
	assert_string_equal(list(f),
	    "INBOX+ INBOX.a+ INBOX.a-b INBOX.a.b INBOX.x-+ INBOX.x.y-+ "
	    "INBOX.x.y.z");
	assert_int_equal(access(fixture_path(f, ".a/maildirfolder"), F_OK), 0);
	deliver(f, "", "x");
	deliver(f, ".a.b/", "x");
	assert_int_equal(delete_now(f->account, SLICE("INBOX.a")), 0);
	assert_int_equal(
	    delete_now(f->account, SLICE("INBOX.a")), ERR_NOT_FOUND);
	assert_int_equal(delete_now(f->account, SLICE("INBOX")), ERR_INVALID);
	assert_string_equal(list(f),
	    "INBOX+! INBOX.a-+ INBOX.a-b INBOX.a.b! INBOX.x-+ INBOX.x.y-+ "
	    "INBOX.x.y.z");
	assert_int_equal(
	    account_exists(f->account, SLICE("INBOX.a"), NULL), ERR_NOT_FOUND);
	assert_int_equal(
	    account_exists(f->account, SLICE("INBOX.a.b"), NULL), 0);
	assert_int_equal(account_exists(f->account, SLICE("INBOX"), NULL), 0);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
}

static void
deleted_mailbox_is_gone_and_new_again(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	uint32_t validity;

	assert_int_equal(create(f, "INBOX.a"), 0);
	m = open_mailbox(f, "INBOX.a");
	deliver(f, ".a/", "x");
	refresh(f, m);
	validity = mailbox_uidvalidity(m);
	assert_int_equal(delete_now(f->account, SLICE("INBOX.a")), 0);
	assert_true(mailbox_gone(m));
	assert_int_equal(try_refresh(f, m, true), ERR_STALE);
	assert_null(message_text(m, 1));
	mailbox_close(&m);
	assert_int_equal(create(f, "INBOX.a"), 0);
	m = open_mailbox(f, "INBOX.a");
	refresh(f, m);
	assert_listing(m, "");
	assert_true(mailbox_uidvalidity(m) > validity);
	mailbox_close(&m);
}

static void
rename_keeps_uids(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m, *child;
	uint32_t validity, child_validity, uid;

	assert_int_equal(create(f, "INBOX.a"), 0);
	assert_int_equal(create(f, "INBOX.a.b"), 0);
	assert_int_equal(
	    run_append(f, "INBOX.a", "x", MESSAGE_SEEN, "kw", &uid), 0);
	assert_int_equal(run_append(f, "INBOX.a.b", "y", 0, NULL, &uid), 0);
	m = open_mailbox(f, "INBOX.a");
	child = open_mailbox(f, "INBOX.a.b");
	validity = mailbox_uidvalidity(m);
	child_validity = mailbox_uidvalidity(child);
	assert_int_equal(rename_mailbox(f, "INBOX.a", "INBOX.c"), 0);
	assert_true(mailbox_gone(m));
	assert_true(mailbox_gone(child));
	mailbox_close(&m);
	mailbox_close(&child);
	assert_string_equal(list(f), "INBOX+ INBOX.c+ INBOX.c.b");
	m = open_mailbox(f, "INBOX.c");
	child = open_mailbox(f, "INBOX.c.b");
	refresh(f, m);
	refresh(f, child);
	assert_listing(m, "1:S(kw)");
	assert_listing(child, "1");
	assert_int_equal(mailbox_uidvalidity(m), validity);
	assert_int_equal(mailbox_uidvalidity(child), child_validity);
	mailbox_close(&m);
	mailbox_close(&child);
	assert_int_equal(
	    rename_mailbox(f, "INBOX.c", "INBOX.c.d"), ERR_INVALID);
	assert_int_equal(
	    rename_mailbox(f, "INBOX.no", "INBOX.d"), ERR_NOT_FOUND);
	assert_int_equal(create(f, "INBOX.d"), 0);
	assert_int_equal(rename_mailbox(f, "INBOX.c", "INBOX.d"), ERR_EXISTS);
	/* back to a name that has had this very UIDVALIDITY */
	assert_int_equal(rename_mailbox(f, "INBOX.c", "INBOX.a"), 0);
	m = open_mailbox(f, "INBOX.a");
	assert_true(mailbox_uidvalidity(m) > child_validity);
	refresh(f, m);
	assert_listing(m, "1:S(kw)");
	mailbox_close(&m);
}

static void
rename_inbox_moves_messages(void **state)
{
	struct fixture *f = *state;
	struct mailbox *inbox = open_mailbox(f, "INBOX"), *old;
	uint32_t validity, uid;

	assert_int_equal(
	    run_append(f, "INBOX", "x", MESSAGE_SEEN, "kw", NULL), 0);
	assert_int_equal(create(f, "INBOX.child"), 0);
	deliver(f, "", "y");
	refresh(f, inbox);
	validity = mailbox_uidvalidity(inbox);
	assert_int_equal(rename_mailbox(f, "INBOX", "INBOX.old"), 0);
	assert_false(mailbox_gone(inbox));
	deliver(f, "", "z");
	refresh(f, inbox);
	assert_listing(inbox, "3");
	assert_int_equal(mailbox_uidvalidity(inbox), validity);
	old = open_mailbox(f, "INBOX.old");
	refresh(f, old);
	assert_listing(old, "1:S(kw) 2");
	assert_int_not_equal(mailbox_uidvalidity(old), validity);
	assert_int_equal(run_append(f, "INBOX", "x", 0, "other", &uid), 0);
	assert_int_equal(uid, 4);
	mailbox_close(&inbox);
	mailbox_close(&old);
	fixture_reopen(f);
	inbox = open_mailbox(f, "INBOX");
	refresh(f, inbox);
	assert_listing(inbox, "3 4(other)");
	mailbox_close(&inbox);
	assert_string_equal(list(f), "INBOX+ INBOX.child INBOX.old");
}

static void
subscriptions(void **state)
{
	struct fixture *f = *state;
	struct mailbox_list l;
	char *text;

	assert_int_equal(create(f, "INBOX.a"), 0);
	assert_int_equal(subscribe_now(f->account, SLICE("INBOX.a"), true), 0);
	assert_int_equal(
	    subscribe_now(f->account, SLICE("INBOX.gone.b"), true), 0);
	assert_int_equal(
	    subscribe_now(f->account, SLICE("INBOX.Test\xc3\xa9"), true), 0);
	assert_int_equal(subscribe_now(f->account, SLICE("INBOX.a"), true), 0);
	text = read_file(fixture_path(f, "courierimapsubscribed"));
	assert_string_equal(
	    text, "INBOX.a\nINBOX.gone.b\nINBOX.Test\xc3\xa9\n");
	free(text);
	/* only what is there */
	assert_string_equal(list(f), "INBOX+ INBOX.a");
	assert_int_equal(
	    subscribe_now(f->account, SLICE("INBOX.gone.b"), false), 0);
	assert_int_equal(
	    subscribe_now(f->account, SLICE("INBOX.gone.b"), false),
	    ERR_NOT_FOUND);
	/* an older Courier's */
	write_file(fixture_path(f, "courierimapsubscribed"),
	    "Inbox\nINBOX.R&AOk-\nINBOX.a\n");
	assert_int_equal(account_subscriptions(f->account, &l, NULL), 0);
	assert_int_equal(l.n, 3);
	assert_true(slice_eq(l.v[0].name, SLICE("INBOX")));
	assert_true(slice_eq(l.v[1].name, SLICE("INBOX.R\xc3\xa9")));
	mailbox_list_fini(&l);
}

/* In a tree in modified UTF-7 a name with '&' stays what it is, however often
 * the list is written. */
static void
subscriptions_with_ampersands(void **state)
{
	static const char *const names[] = { "INBOX.R&D", "INBOX.a&-b",
		"INBOX.\xc3\xa9&", "INBOX.a" };
	struct fixture *f = *state;
	struct mailbox_list l;

	assert_int_equal(account_open(f->account, NULL), 0);
	assert_int_equal(mkdir(fixture_path(f, ".&AOk-"), 0700), 0);
	for (size_t i = 0; i < NELEMS(names); i++)
		assert_int_equal(
		    subscribe_now(f->account, slice_str(names[i]), true), 0);
	assert_file(f, "courierimapsubscribed",
	    "INBOX.R&D\nINBOX.a&-b\nINBOX.&AOk-&-\nINBOX.a\n");
	assert_int_equal(account_subscriptions(f->account, &l, NULL), 0);
	assert_int_equal(l.n, NELEMS(names));
	mailbox_list_fini(&l);
	for (size_t i = 0; i < NELEMS(names); i++)
		assert_int_equal(
		    subscribe_now(f->account, slice_str(names[i]), false), 0);
}

/* --- guards --------------------------------------------------------------- */

struct guard {
	unsigned n, no; /* calls, and the one that says no; 0: none */
};

static int
ask(void *arg, struct err *e)
{
	struct guard *g = arg;

	return ++g->n == g->no ? err_set(e, ERR_NO_RIGHT, "not any more") : 0;
}

/* DELETE and RENAME ask when it is their turn, and again before they act. */
static void
changes_ask_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	for (unsigned no = 1; no <= 3; no++)
		for (int rename = 1; rename >= 0; rename--) {
			struct guard g = { .no = no };
			struct account_change *c = rename
			    ? account_rename(f->account, SLICE("INBOX.a"),
				  SLICE("INBOX.b"))
			    : account_delete(f->account,
				  no < 3 ? SLICE("INBOX.a") : SLICE("INBOX.b"));
			int rc = 0;

			account_change_guard(c, ask, &g);
			while (account_change_step(c, (struct waker){ 0 }, &rc,
				   NULL) != STEP_DONE)
				;
			account_change_free(&c);
			assert_int_equal(rc, no < 3 ? ERR_NO_RIGHT : 0);
			assert_int_equal(g.n, no < 3 ? no : 2);
		}
	assert_int_equal(
	    account_exists(f->account, SLICE("INBOX.b"), NULL), ERR_NOT_FOUND);
}

/* --- busy ----------------------------------------------------------------- */

/* Who finds the database taken says so at once, with nothing changed: its
 * command tries again, and the other sessions go on meanwhile. */
static void
busy_is_told_without_waiting(void **state)
{
	struct fixture *f = *state, other = *f;
	struct mailbox *m = NULL;

	assert_int_equal(create(f, "INBOX.a"), 0);
	assert_int_equal(mkdir(fixture_path(f, ".b"), 0700), 0);
	assert_int_equal(mkdir(fixture_path(f, ".b/cur"), 0700), 0);
	fixture_open(&other);
	assert_int_equal(account_open(other.account, NULL), 0);
	assert_int_equal(db_begin(&other.account->db, NULL), 0);
	fixture_sleeps = 0;
	assert_int_equal(
	    mailbox_open(f->account, SLICE("INBOX.b"), &m, NULL), ERR_BUSY);
	assert_int_equal(rename_mailbox(f, "INBOX.a", "INBOX.c"), ERR_BUSY);
	assert_int_equal(fixture_sleeps, 0);
	assert_string_equal(list(f), "INBOX+ INBOX.a INBOX.b");
	db_rollback(&other.account->db);
	assert_int_equal(
	    mailbox_open(f->account, SLICE("INBOX.b"), &m, NULL), 0);
	assert_int_equal(rename_mailbox(f, "INBOX.a", "INBOX.c"), 0);
	mailbox_close(&m);
	fixture_close(&other);
}

/* One that another process removed and made anew, while this one kept it. */
static void
another_of_the_name_is_opened(void **state)
{
	struct fixture *f = *state, other = *f;
	struct mailbox *m, *theirs;
	uint32_t validity;

	assert_int_equal(create(f, "INBOX.a"), 0);
	m = open_mailbox(f, "INBOX.a");
	validity = mailbox_uidvalidity(m);
	mailbox_close(&m);
	fixture_open(&other);
	assert_int_equal(delete_now(other.account, SLICE("INBOX.a")), 0);
	assert_int_equal(create(&other, "INBOX.a"), 0);
	theirs = open_mailbox(&other, "INBOX.a");
	m = open_mailbox(f, "INBOX.a");
	assert_true(mailbox_uidvalidity(m) > validity);
	assert_int_equal(mailbox_uidvalidity(m), mailbox_uidvalidity(theirs));
	mailbox_close(&m);
	mailbox_close(&theirs);
	fixture_close(&other);
}

/* What is there is followed, what isn't stays as it was given. */
static void
paths_lead_to_one_maildir(void **state)
{
	struct fixture *f = *state;
	char *dir, *link, *loop, *got;
	const struct {
		const char *below, *want;
	} cases[] = {
		{ "", "" },
		{ "/cur", "/cur" },
		{ "/new/new/user", "/new/new/user" },
		{ "/cur/../new/.", "/new" },
		{ "//cur//", "/cur" },
	};

	assert_int_equal(account_open(f->account, NULL), 0);
	dir = realpath(f->path, NULL);
	assert_non_null(dir);
	link = mem_printf("%s/tmp/link", f->path);
	assert_int_equal(symlink(dir, link), 0);
	for (size_t i = 0; i < NELEMS(cases); i++)
		for (int linked = 0; linked < 2; linked++) {
			char *path = mem_printf(
			    "%s%s", linked ? link : f->path, cases[i].below);
			char *want = mem_printf("%s%s", dir, cases[i].want);

			got = fsx_real_path(path);
			assert_string_equal(got, want);
			free(got);
			free(path);
			free(want);
		}
	loop = mem_printf("%s/tmp/loop", f->path);
	assert_int_equal(symlink(loop, loop), 0);
	got = fsx_real_path(loop);
	assert_string_equal(got, loop);
	free(got);
	got = fsx_real_path("/nowhere-at-all/x");
	assert_string_equal(got, "/nowhere-at-all/x");
	free(got);
	free(loop);
	free(link);
	free(dir);
}

static struct account *
get_open(struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	return account_get_open(f->store, f->path, "", &st);
}

/* Its path isn't followed again, unless it leads elsewhere by now. */
static void
open_account_is_found(void **state)
{
	struct fixture *f = *state;
	char *other = mem_printf("%s/other", f->root);
	char *aside = mem_printf("%s/aside", f->root);
	struct account *a;

	/* nothing is open of it, perhaps not even there */
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_null(get_open(f));
	assert_int_equal(account_open(f->account, NULL), 0);
	a = get_open(f);
	assert_ptr_equal(a, f->account);
	account_release(&a);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(rename(f->path, aside), 0);
	assert_int_equal(symlink(other, f->path), 0);
	assert_null(get_open(f));
	/* by a link to the same directory it is the same account */
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(symlink(aside, f->path), 0);
	a = get_open(f);
	assert_ptr_equal(a, f->account);
	account_release(&a);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(rename(aside, f->path), 0);
	free(aside);
	free(other);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(create_list_delete),
		CASE(listed_in_pieces),
		CASE(deleted_mailbox_is_gone_and_new_again),
		CASE(rename_keeps_uids),
		CASE(rename_inbox_moves_messages),
		CASE(subscriptions),
		CASE(subscriptions_with_ampersands),
		CASE(changes_ask_again),
		CASE(busy_is_told_without_waiting),
		CASE(another_of_the_name_is_opened),
		CASE(paths_lead_to_one_maildir),
		CASE(open_account_is_found),
	};

	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
