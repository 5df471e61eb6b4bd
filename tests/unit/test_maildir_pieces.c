/*
 * Opening a large mailbox in pieces: that of another server, one that the
 * database has, one that hibernates; with others at it, and cut short.
 */
#include <sys/stat.h>

#include <unistd.h>

#include "maildir/edit.h"
#include "maildir/pop3_ids.h"
#include "maildir/row.h"
#include "tests/support/maildir_fixture.h"

enum {
	MANY = 30000, /* entries of a list */
	VALIDITY = 77,
	CALLS_MAX = 1000,
};

/* Messages with each second UID, of no files. */
static void
write_list(struct fixture *f, unsigned validity, unsigned n)
{
	write_uid_list(f, "courierimapuiddb", validity, n);
}

static void
fresh_list(struct fixture *f, unsigned n)
{
	fresh_tree(f, "INBOX");
	write_list(f, VALIDITY, n);
	fixture_open(f);
}

static int
open_once(struct fixture *f, struct mailbox **m)
{
	return mailbox_open(f->account, SLICE("INBOX"), m, NULL);
}

/* Open it; in so many calls. */
static unsigned
count_calls(struct fixture *f, struct mailbox **m)
{
	unsigned n = 1;
	int rc;

	while ((rc = open_once(f, m)) == ERR_MORE)
		assert_true(++n < CALLS_MAX);
	assert_int_equal(rc, 0);
	return n;
}

static void
assert_taken_over(struct mailbox *m, unsigned n)
{
	struct view *v = m->head;

	assert_int_equal(mailbox_uidvalidity(m), VALIDITY);
	assert_int_equal(view_count(v), n);
	assert_true(view_uidnext(v) >= 2 * n + 1);
	for (uint32_t seq = 1; seq <= n; seq++)
		assert_int_equal(view_get(v, seq)->uid, 2 * seq - 1);
}

/* No call does more than PIECE_WORK of what there is to do of each message: to
 * read its line, to write it and to read it again. */
static void
takes_over_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	fresh_list(f, 100);
	assert_int_equal(count_calls(f, &m), 1);
	mailbox_close(&m);
	fresh_list(f, MANY);
	assert_true(count_calls(f, &m) >= 4 * MANY / PIECE_WORK);
	assert_taken_over(m, MANY);
	/* and that was all of it */
	assert_int_equal(import_check(m, true, NULL), 0);
	assert_null(m->imported.check);
	mailbox_close(&m);
}

static void
loads_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	unsigned n;

	fresh_list(f, MANY);
	(void)count_calls(f, &m);
	mailbox_close(&m);
	fixture_reopen(f);
	n = count_calls(f, &m);
	assert_in_range(n, MANY / PIECE_WORK, 2 * MANY / PIECE_WORK + 2);
	assert_taken_over(m, MANY);
	mailbox_close(&m);
}

/* The names are read, then taken in, before a scan looks for the first. */
static void
indexes_names_in_pieces(void **state)
{
	struct fixture *f = *state;
	const struct waker nobody = { NULL, NULL };
	struct mailbox *m;
	unsigned n = 0, n_named = 0;
	int rc;

	fresh_list(f, MANY);
	(void)count_calls(f, &m);
	assert_false(m->named);
	assert_false(mailbox_finds_at_once(m));
	while (!mailbox_finds_at_once(m)) {
		assert_int_equal(
		    mailbox_refresh(m, false, nobody, 0, f->wall_ms, &rc),
		    STEP_YIELD);
		if (m->named)
			n++;
		else
			n_named++;
	}
	assert_in_range(n_named, MANY / PIECE_WORK, MANY / PIECE_WORK + 1);
	assert_in_range(n, MANY / PIECE_WORK, MANY / PIECE_WORK + 1);
	mailbox_close(&m);
}

/* Flag a message, or take the flag away. */
static void
flag(struct mailbox *m, uint32_t uid, bool on)
{
	struct file_name name;
	struct edit ed;
	uint32_t i;
	size_t at;

	assert_int_equal(edit_begin(&ed, m, NULL), 0);
	assert_true(edit_find(&ed, uid, &at, &i));
	file_name_parse(on ? SLICE("x:2,F") : SLICE("x:2,"), false, &name);
	edit_set(&ed, at, i, name.place, slice_of(NULL, 0), 0);
	assert_int_equal(edit_commit(&ed, NULL), 0);
}

/* Another process that changes the mailbox all the time makes what there is of
 * the index worth nothing; it is made all the same. */
static void
indexes_names_beside_others(void **state)
{
	struct fixture *f = *state, other;
	const struct waker nobody = { NULL, NULL };
	struct mailbox *m, *theirs;
	unsigned n = 0;
	int rc;

	fresh_list(f, MANY);
	other = *f;
	(void)count_calls(f, &m);
	fixture_open(&other);
	(void)count_calls(&other, &theirs);
	for (;;) {
		(void)mailbox_refresh(m, false, nobody, 0, f->wall_ms, &rc);
		if (mailbox_finds_at_once(m))
			break;
		flag(theirs, 1, n % 2 == 0);
		assert_in_range(n++, 0, 3);
	}
	mailbox_close(&theirs);
	fixture_close(&other);
	mailbox_close(&m);
}

static void
sessions_share_the_work(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m[2] = { NULL, NULL };
	unsigned alone, n = 0;

	fresh_list(f, MANY);
	alone = count_calls(f, &m[0]);
	mailbox_close(&m[0]);
	fresh_list(f, MANY);
	while (m[0] == NULL || m[1] == NULL)
		for (int i = 0; i < 2; i++) {
			int rc = m[i] == NULL ? open_once(f, &m[i]) : ERR_MORE;

			n += m[i] == NULL || rc == 0;
			assert_true(rc == 0 || rc == ERR_MORE);
		}
	assert_ptr_equal(m[0], m[1]);
	assert_int_equal(n, alone + 1);
	assert_taken_over(m[0], MANY);
	mailbox_close(&m[0]);
	mailbox_close(&m[1]);
}

/* Whoever goes away leaves it to others; if there are none, nothing stays. */
static void
goes_away_without_a_trace(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = NULL;

	fresh_list(f, MANY);
	assert_int_equal(open_once(f, &m), ERR_MORE);
	fixture_tick(f, 2);
	assert_non_null(f->account->openings);
	fixture_tick(f, LEFT_TICKS);
	assert_null(f->account->openings);
	assert_null(f->account->mailboxes);
	(void)count_calls(f, &m);
	assert_taken_over(m, MANY);
	mailbox_close(&m);
	/* nor does the end of the process mind one */
	fixture_reopen(f);
	assert_int_equal(open_once(f, &m), ERR_MORE);
}

/* Ended after each call in turn, it goes on at the next start. */
static void
goes_on_after_an_end(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = NULL;
	bool through = false;

	for (unsigned k = 1; !through; k++) {
		unsigned n = 0;
		int rc = ERR_MORE;

		fresh_list(f, MANY);
		for (; rc == ERR_MORE && n < k; n++)
			rc = open_once(f, &m);
		through = rc == 0;
		if (through)
			mailbox_close(&m);
		fixture_reopen(f);
		(void)count_calls(f, &m);
		assert_taken_over(m, MANY);
		mailbox_close(&m);
	}
}

/* So many calls after which the row is there, but not all of its messages. */
static void
begin_to_write(struct fixture *f)
{
	struct mailbox *m = NULL;
	int64_t id;

	fresh_list(f, MANY);
	do
		assert_int_equal(open_once(f, &m), ERR_MORE);
	while (mailbox_row_find(f->account, SLICE(""), &id, NULL, NULL) != 1);
}

/* The list as it is counts, whenever somebody goes on. */
static void
list_changes_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	/* longer */
	begin_to_write(f);
	write_list(f, VALIDITY, MANY + 500);
	fixture_reopen(f);
	(void)count_calls(f, &m);
	assert_taken_over(m, MANY + 500);
	mailbox_close(&m);

	/* other UIDs */
	begin_to_write(f);
	write_list(f, VALIDITY + 1, 10);
	fixture_reopen(f);
	(void)count_calls(f, &m);
	assert_int_equal(mailbox_uidvalidity(m), VALIDITY + 1);
	assert_int_equal(view_count(m->head), 10);
	mailbox_close(&m);

	/* gone: what it gave is given to nobody else */
	begin_to_write(f);
	assert_int_equal(unlink(fixture_path(f, "courierimapuiddb")), 0);
	fixture_reopen(f);
	(void)count_calls(f, &m);
	assert_int_equal(mailbox_uidvalidity(m), VALIDITY);
	assert_in_range(view_count(m->head), 1, MANY - 1);
	assert_true(m->uidnext >= 2 * MANY + 1);
	mailbox_close(&m);
}

/* Two processes take it over at a time. */
static void
processes_share_the_work(void **state)
{
	struct fixture *f = *state, other;
	struct mailbox *m[2] = { NULL, NULL };

	fresh_list(f, MANY);
	other = *f;
	fixture_open(&other);
	while (m[0] == NULL || m[1] == NULL) {
		if (m[0] == NULL)
			(void)!open_once(f, &m[0]);
		if (m[1] == NULL)
			(void)!open_once(&other, &m[1]);
	}
	for (int i = 0; i < 2; i++) {
		assert_taken_over(m[i], MANY);
		mailbox_close(&m[i]);
	}
	fixture_close(&other);
}

/* What others write between two pieces is seen. */
static void
changes_while_loading_are_seen(void **state)
{
	struct fixture *f = *state, other;
	struct mailbox *m = NULL, *theirs;

	fresh_list(f, MANY);
	other = *f;
	(void)count_calls(f, &m);
	mailbox_close(&m);
	fixture_reopen(f);
	fixture_open(&other);
	(void)count_calls(&other, &theirs);
	assert_int_equal(open_once(f, &m), ERR_MORE);
	/* the first message is read by now, the last is not */
	flag(theirs, 1, true);
	flag(theirs, 2 * MANY - 1, true);
	(void)count_calls(f, &m);
	assert_taken_over(m, MANY);
	assert_int_equal(view_get(m->head, 1)->flags, MESSAGE_FLAGGED);
	assert_int_equal(view_get(m->head, MANY)->flags, MESSAGE_FLAGGED);
	assert_int_equal(view_get(m->head, 2)->flags, 0);
	mailbox_close(&m);
	mailbox_close(&theirs);
	fixture_close(&other);
}

static void
note(void *arg)
{
	(*(unsigned *)arg)++;
}

/* A hibernated mailbox wakes up in pieces, for all its sessions. */
static void
wakes_up_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v;
	unsigned told = 0, n = 1;
	struct mailbox_listener l = { .waker = { note, &told }, .view = &v };

	fresh_list(f, MANY);
	(void)count_calls(f, &m);
	m->unsynced = false;
	v = mailbox_view(m);
	mailbox_listen(m, &l);
	mailbox_rest(&l);
	assert_true(mailbox_hibernate(m));
	assert_null(v);
	/* one that goes away meanwhile leaves it asleep */
	assert_int_equal(mailbox_rouse(&l, NULL), ERR_MORE);
	fixture_tick(f, LEFT_TICKS + 2);
	assert_null(m->loading);
	while (mailbox_rouse(&l, NULL) == ERR_MORE)
		assert_true(++n < CALLS_MAX);
	assert_in_range(n, MANY / PIECE_WORK, 2 * MANY / PIECE_WORK + 2);
	assert_int_equal(view_count(v), MANY);
	mailbox_unlisten(&l);
	view_unref(&v);
	mailbox_close(&m);
}

/* --- once more, and the rest ---------------------------------------------- */

static unsigned
count_checks(struct mailbox *m)
{
	unsigned n = 1;
	int rc;

	while ((rc = import_check(m, true, NULL)) == ERR_MORE)
		assert_true(++n < CALLS_MAX);
	assert_int_equal(rc, 0);
	return n;
}

/* Courier was here again: its list is gone through in pieces. */
static void
imports_again_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m, *anew;

	fresh_list(f, MANY);
	(void)count_calls(f, &m);
	write_list(f, VALIDITY, MANY + 3);
	assert_int_equal(import_check(m, true, NULL), ERR_MORE);
	/* who went away in the middle of it has done nothing */
	fixture_tick(f, LEFT_TICKS + 2);
	assert_null(m->imported.check);
	assert_taken_over(m, MANY);
	assert_true(count_checks(m) >= 2 * MANY / PIECE_WORK);
	assert_taken_over(m, MANY + 3);
	/* others, which are taken over by opening it anew */
	write_list(f, VALIDITY + 1, MANY);
	(void)count_calls(f, &anew);
	assert_true(mailbox_gone(m));
	mailbox_close(&m);
	m = anew;
	assert_int_equal(mailbox_uidvalidity(m), VALIDITY + 1);
	assert_int_equal(view_count(m->head), MANY);
	mailbox_close(&m);
}

static void
write_keywords_and_sizes(struct fixture *f)
{
	FILE *list, *sizes;

	assert_int_equal(
	    mkdir(fixture_path(f, "courierimapkeywords"), 0700), 0);
	list = fopen(fixture_path(f, "courierimapkeywords/:list"), "w");
	sizes = fopen(fixture_path(f, "courierpop3dsizelist"), "w");
	assert_non_null(list);
	assert_non_null(sizes);
	(void)fprintf(list, "one\ntwo\n\n");
	(void)fprintf(sizes, "/3 %u %u\n", MANY + 1, VALIDITY);
	for (unsigned i = 0; i < MANY; i++) {
		(void)fprintf(
		    list, "%u.M1P1.host,S=40:%u\n", 1000000 + i, i % 2);
		(void)fprintf(sizes, "%u.M1P1.host,S=40:2, 40 %u:%u:0\n",
		    1000000 + i, MANY - i, VALIDITY);
	}
	assert_int_equal(fclose(list), 0);
	assert_int_equal(fclose(sizes), 0);
}

static void
takes_over_the_rest_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct pop3_ids ids;
	unsigned n = 1;
	int rc;

	fresh_list(f, MANY);
	write_keywords_and_sizes(f);
	(void)count_calls(f, &m);
	assert_true(m->imported.rest);
	while ((rc = import_finish(m, NULL)) == ERR_MORE) {
		assert_true(++n < CALLS_MAX);
		/* one that stopped in the middle begins again */
		if (n == 5)
			import_stop(m, false);
	}
	assert_int_equal(rc, 0);
	/* lines of both files, and messages, and lines looked up */
	assert_true(n >= 4 * MANY / PIECE_WORK);
	assert_false(m->imported.rest);
	pop3_ids_init(&ids);
	assert_int_equal(pop3_ids_load(m, &ids, NULL), 0);
	assert_int_equal(ids.n, MANY);
	for (uint32_t seq = 1; seq <= MANY; seq++) {
		const struct message *msg = view_get(m->head, seq);
		size_t n_set;
		const uint16_t *set =
		    mailbox_keyword_set(m, msg->keywords, &n_set);

		assert_int_equal(n_set, 1);
		assert_true(slice_eq(mailbox_keyword(m, set[0]),
		    seq % 2 == 1 ? SLICE("one") : SLICE("two")));
		assert_int_equal(ids.v[seq - 1].uid, msg->uid);
		assert_int_equal(ids.v[seq - 1].n, MANY + 1 - seq);
	}
	pop3_ids_fini(&ids);
	mailbox_close(&m);
}

/* Dovecot's letters, too: a piece of the directory at a time. */
static void
reads_letters_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct foreign_keywords_reader r;
	unsigned n = 0;
	char name[64];
	int fd, work = 7;

	fresh_tree(f, "INBOX");
	write_file(fixture_path(f, "dovecot-keywords"), "0 one\n1 two\n");
	for (unsigned i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "%u.M1P1.host:2,%s",
		    1000000 + i, i % 2 == 0 ? "a" : "bS");
		put_cur(f, name, "x\n");
	}
	fixture_open(f);
	assert_int_equal(account_open(f->account, NULL), 0);
	fd = f->account->root_fd;
	assert_true(foreign_keywords_open(&r, fd, "", true));
	while (foreign_keywords_step(&r, &work) == FOREIGN_MORE) {
		assert_true(++n < CALLS_MAX);
		work = 7;
	}
	assert_true(n >= 50 / 7);
	assert_int_equal(r.k.n, 50);
	assert_int_equal(
	    foreign_keywords_find(&r.k, SLICE("1000003.M1P1.host"))->n, 1);
	assert_null(foreign_keywords_find(&r.k, SLICE("1000050.M1P1.host")));
	foreign_keywords_close(&r);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(takes_over_in_pieces),
		CASE(loads_in_pieces),
		CASE(indexes_names_in_pieces),
		CASE(indexes_names_beside_others),
		CASE(sessions_share_the_work),
		CASE(goes_away_without_a_trace),
		CASE(goes_on_after_an_end),
		CASE(list_changes_meanwhile),
		CASE(processes_share_the_work),
		CASE(changes_while_loading_are_seen),
		CASE(wakes_up_in_pieces),
		CASE(imports_again_in_pieces),
		CASE(takes_over_the_rest_in_pieces),
		CASE(reads_letters_in_pieces),
	};

	return cmocka_run_group_tests_name("pieces", tests, NULL, NULL);
}
