/*
 * Names of messages are read when they are first needed.
 */
#include <sqlite3.h>
#include <unistd.h>

#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"
#include "tests/support/syncs.h"

enum { MANY = 30000 }; /* more than some pieces */

/* Messages with known sizes; all of it clean in the database, and opened by
 * another process than knew it. */
static struct mailbox *
open_clean(struct fixture *f, uint32_t n)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	char text[16];

	for (uint32_t i = 0; i < n; i++) {
		(void)snprintf(text, sizeof(text), "%u\n", i + 1);
		deliver(f, "", text);
		refresh(f, m);
	}
	f->wall_ms += 3 * GRANULARITY_MS;
	refresh(f, m);
	for (uint32_t uid = 1; uid <= n; uid++) {
		struct message_info info;

		assert_int_equal(mailbox_message_info(m, uid, &info), 0);
	}
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_false(m->named);
	return m;
}

static void
assert_text(struct mailbox *m, uint32_t uid, const char *expected)
{
	char *text = message_text(m, uid);

	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

/* A database that others have. */
static void
exec_elsewhere(struct fixture *f, const char *sql)
{
	sqlite3 *h = NULL;

	assert_int_equal(sqlite3_open(fixture_path(f, DB_NAME), &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(h);
}

static void
looking_needs_none(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_clean(f, 5);
	struct mailbox_counts counts;
	struct message_info info;
	struct view *v;

	assert_int_equal(mailbox_counts(m, false, &counts, NULL), 0);
	assert_int_equal(counts.messages, 5);
	assert_int_equal(counts.unseen, 5);
	assert_int_equal(mailbox_message_info(m, 3, &info), 0);
	assert_int_equal(info.file_size, 2);
	v = mailbox_view(m);
	assert_int_equal(view_get(v, 4)->uid, 4);
	view_unref(&v);
	assert_false(m->named);
	assert_false(chunk_has_names(m->head->v[0]));
	assert_text(m, 2, "2\n");
	assert_true(chunk_has_names(m->head->v[0]));
	mailbox_close(&m);
}

/* Each of what needs names has them read. */
static void
doing_reads_them(void **state)
{
	struct fixture *f = *state;
	const uint32_t uid = 2;
	struct mailbox_counts counts;
	struct pop3_entry *v = NULL;
	struct mailbox *m, *t;
	uint64_t id = 0;
	uint32_t to;
	size_t n;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	m = open_clean(f, 3);
	assert_int_equal(mailbox_email_id(m, 1, &id), 0);
	assert_true(id != 0 && chunk_has_names(m->head->v[0]));
	mailbox_close(&m);

	m = open_clean(f, 0);
	assert_int_equal(mailbox_counts(m, true, &counts, NULL), 0);
	assert_true(m->named);
	mailbox_close(&m);

	m = open_clean(f, 0);
	assert_int_equal(
	    run_flags(f, m, &uid, 1, FLAGS_ADD, MESSAGE_FLAGGED, NULL), 0);
	assert_listing(m, "1 2:F 3");
	mailbox_close(&m);

	m = open_clean(f, 0);
	assert_int_equal(run_pop3(m, &v, &n), 0);
	assert_int_equal(n, 3);
	free(v);
	mailbox_close(&m);

	m = open_clean(f, 0);
	assert_int_equal(run_copy(f, m, &uid, 1, "INBOX.t", false, &to), 0);
	t = open_mailbox(f, "INBOX.t");
	refresh(f, t);
	assert_text(t, to, "2\n");
	mailbox_close(&t);
	mailbox_close(&m);

	m = open_clean(f, 0);
	assert_int_equal(run_remove(f, m, &uid, 1), 1);
	mailbox_close(&m);

	m = open_clean(f, 0);
	deliver(f, "", "4\n");
	refresh(f, m);
	assert_text(m, 4, "4\n");
	mailbox_close(&m);

	m = open_clean(f, 0);
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX"), SLICE("INBOX.u")), 0);
	mailbox_close(&m);
	m = open_mailbox(f, "INBOX.u");
	refresh(f, m);
	assert_text(m, 4, "4\n");
	mailbox_close(&m);
}

static void
flag_and_remove(struct fixture *f)
{
	const uint32_t flagged = 1, removed = 2;
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	assert_int_equal(
	    run_flags(f, m, &flagged, 1, FLAGS_ADD, MESSAGE_SEEN, NULL), 0);
	assert_int_equal(run_remove(f, m, &removed, 1), 1);
	mailbox_close(&m);
}

/* What others have changed in between is read anew, and the names of that. */
static void
others_change_it(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_clean(f, 3);
	struct pop3_entry *v = NULL;
	size_t n;

	fixture_elsewhere(f, flag_and_remove);
	assert_text(m, 1, "1\n");
	assert_null(message_text(m, 2));
	assert_text(m, 3, "3\n");
	/* what is shown is older still, and is shown anew */
	assert_int_equal(view_count(m->shown), 3);
	assert_int_equal(run_pop3(m, &v, &n), 0);
	assert_int_equal(n, 2);
	free(v);
	refresh(f, m);
	assert_listing(m, "1:S 3");
	mailbox_close(&m);
}

/* One that went is like a message that went. */
static void
mailbox_went(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_clean(f, 1);
	uint64_t id, size;
	int fd;

	exec_elsewhere(f, "DELETE FROM mailbox");
	assert_int_equal(mailbox_email_id(m, 1, &id), ERR_NOT_FOUND);
	assert_true(mailbox_gone(m));
	assert_int_equal(
	    mailbox_open_message(m, 1, &fd, &size, NULL), ERR_NOT_FOUND);
	mailbox_close(&m);
}

/* Damage is found when they are read: a client is told that a message can't be
 * read, nothing is taken for gone, and the database is made anew. */
static void
damaged(void **state)
{
	static const char *const how[] = {
		"UPDATE chunk_names SET names = substr(names, 1, 30)",
		"DELETE FROM chunk_names",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < NELEMS(how); i++) {
		struct mailbox *m = open_clean(f, i == 0 ? 3 : 0);
		uint32_t validity = mailbox_uidvalidity(m);
		uint64_t size;
		int fd;

		exec_elsewhere(f, how[i]);
		assert_int_equal(
		    mailbox_open_message(m, 1, &fd, &size, NULL), ERR_DAMAGED);
		assert_false(m->named);
		mailbox_close(&m);
		m = open_mailbox(f, "INBOX");
		refresh(f, m);
		assert_listing(m, "1 2 3");
		assert_text(m, 3, "3\n");
		assert_true(mailbox_uidvalidity(m) > validity);
		mailbox_close(&m);
	}
}

static void
give_keyword(struct fixture *f)
{
	const uint32_t uid = 2;
	struct mailbox *m = open_mailbox(f, "INBOX");

	refresh(f, m);
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "$Label1"), 0);
	mailbox_close(&m);
}

/* So it is when a COPY, in the transaction of its target, reads those that
 * others have changed since it looked at them. */
static void
damaged_in_a_copy(void **state)
{
	const struct waker nobody = { NULL, NULL };
	const uint32_t uid = 1;
	struct fixture *f = *state;
	struct change_copy *c;
	struct mailbox *m;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	fixture_close(f);
	f->syncer = &syncs_holder;
	fixture_open(f);
	m = open_clean(f, 3);
	assert_int_equal(change_copy_begin(m, f->account, SLICE("INBOX.t"),
			     &uid, 1, false, &c, NULL),
	    0);
	assert_int_equal(
	    change_copy_step(c, nobody, 0, clock_wall()), STEP_WAIT_SYNC);
	fixture_elsewhere(f, give_keyword);
	exec_elsewhere(f, "DELETE FROM chunk_names");
	assert_int_equal(mailbox_check(m, NULL), 0);
	syncs_do_all();
	while (change_copy_step(c, nobody, 0, clock_wall()) != STEP_DONE)
		syncs_do_all();
	assert_int_equal(change_copy_result(c)->result, ERR_DAMAGED);
	change_copy_free(&c);
	assert_true(mailbox_gone(m));
	assert_null(f->account->db.h);
	mailbox_close(&m);
	assert_int_equal(count_files(fixture_path(f, ".t/cur")), 0);
}

/* An APPEND finds the damage before it has a transaction: it tells that, not
 * that the mailbox is another one, and leaves nothing behind. */
static void
damaged_in_an_append(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_clean(f, 3);

	exec_elsewhere(f, "DELETE FROM chunk_names");
	assert_int_equal(
	    run_append(f, "INBOX", "4\n", 0, NULL, NULL), ERR_DAMAGED);
	assert_true(mailbox_gone(m));
	mailbox_close(&m);
	assert_int_equal(count_files(fixture_path(f, "cur")), 3);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_listing(m, "1 2 3");
	mailbox_close(&m);
}

/* --- of many -------------------------------------------------------------- */

/* As another server leaves it; of no files. */
static void
fresh_list(struct fixture *f)
{
	fresh_tree(f, "INBOX");
	write_uid_list(f, "courierimapuiddb", 77, MANY);
	fixture_open(f);
}

/* Open it with none of them read. */
static struct mailbox *
open_nameless(struct fixture *f)
{
	struct mailbox *m;

	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_false(m->named);
	return m;
}

static unsigned
count_named(const struct mailbox *m)
{
	unsigned n = 0;

	for (size_t k = 0; k < m->head->n_chunks; k++)
		n += chunk_has_names(m->head->v[k]);
	return n;
}

/* A file needs the names of a few. */
static void
reads_few_names_for_one(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct stat st;
	uint64_t id;

	fresh_list(f);
	m = open_nameless(f);
	assert_int_equal(mailbox_email_id(m, 1, &id), 0);
	assert_int_equal(count_named(m), 1);
	assert_int_equal(
	    mailbox_message_stat(m, MANY + 1, true, &st), ERR_NOT_FOUND);
	assert_int_equal(count_named(m), 2);
	mailbox_close(&m);
}

struct changing {
	struct fixture *f;
	struct mailbox *m;
	struct change_flags *flags;
	struct change_expunge *removal;
	struct change_copy *copy;
	struct append *append;
};

static void
step_any(struct changing *c)
{
	const struct waker nobody = { NULL, NULL };
	struct mailbox_counts counts;
	int64_t wall = c->f->wall_ms;

	if (c->flags != NULL)
		(void)change_flags_step(c->flags, nobody, 0, wall);
	else if (c->removal != NULL)
		(void)change_expunge_step(c->removal, nobody, 0, wall);
	else if (c->copy != NULL)
		(void)change_copy_step(c->copy, nobody, 0, wall);
	else if (c->append != NULL)
		(void)append_commit(c->append, nobody, 0, wall);
	else
		(void)!mailbox_counts(c->m, true, &counts, NULL);
}

/* Step it until all are read, which must not be at once. */
static void
assert_in_pieces(struct changing *c)
{
	unsigned n = 0;

	for (; !c->m->named; n++) {
		assert_in_range(n, 0, MANY);
		step_any(c);
	}
	assert_in_range(n, MANY / PIECE_WORK, MANY / PIECE_WORK + 3);
	change_flags_free(&c->flags);
	change_expunge_free(&c->removal);
	change_copy_free(&c->copy);
	append_free(&c->append);
	mailbox_close(&c->m);
}

/* A change of messages needs the names of all. */
static void
reads_names_for_changes_in_pieces(void **state)
{
	struct fixture *f = *state;
	const struct flags_change what = { .how = FLAGS_ADD,
		.flags = MESSAGE_SEEN,
		.unchanged_since = UINT64_MAX };
	const uint32_t uid = 1;
	struct changing c = { .f = f };
	struct mailbox *from;

	fresh_list(f);
	assert_int_equal(create_now(f->account, SLICE("INBOX.s")), 0);
	assert_int_equal(run_append(f, "INBOX.s", "x\n", 0, NULL, NULL), 0);

	c.m = open_nameless(f);
	assert_int_equal(
	    change_flags_begin(c.m, &uid, 1, &what, &c.flags, NULL), 0);
	assert_in_pieces(&c);

	c.m = open_nameless(f);
	assert_int_equal(
	    change_remove_begin(c.m, &uid, 1, &c.removal, NULL), 0);
	assert_in_pieces(&c);

	c.m = open_nameless(f);
	from = open_mailbox(f, "INBOX.s");
	assert_int_equal(change_copy_begin(from, f->account, SLICE("INBOX"),
			     &uid, 1, false, &c.copy, NULL),
	    0);
	assert_in_pieces(&c);
	mailbox_close(&from);

	c.m = open_nameless(f);
	assert_int_equal(
	    append_begin(f->account, SLICE("INBOX"), &c.append, NULL), 0);
	assert_int_equal(append_message(c.append, 0, NULL, 0, INT64_MIN, 2,
			     f->wall_ms, NULL),
	    0);
	assert_int_equal(append_write(c.append, SLICE("x\n"), NULL), 0);
	assert_int_equal(append_message_end(c.append, NULL), 0);
	assert_in_pieces(&c);

	c.m = open_nameless(f);
	assert_in_pieces(&c); /* counting */

	c.m = open_nameless(f);
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX"), SLICE("INBOX.u")), 0);
	assert_false(c.m->named); /* nor does it need any */
	mailbox_close(&c.m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(looking_needs_none),
		CASE(doing_reads_them),
		CASE(others_change_it),
		CASE(mailbox_went),
		CASE(damaged),
		CASE(damaged_in_a_copy),
		CASE(damaged_in_an_append),
		CASE(reads_few_names_for_one),
		CASE(reads_names_for_changes_in_pieces),
	};

	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
