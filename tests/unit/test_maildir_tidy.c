/*
 * What the database and the cache have of a mailbox that goes: its rows go
 * later, so many at a time.
 */
#include <sqlite3.h>

#include "maildir/edit.h"
#include "tests/support/maildir_fixture.h"

enum {
	MANY = 30000, /* messages */
	VALIDITY = 77,
};

/* What a query of one number says; ?1 is the id. */
static unsigned
number(sqlite3 *h, const char *text, int64_t id)
{
	sqlite3_stmt *s;
	unsigned n;

	assert_int_equal(sqlite3_prepare_v2(h, text, -1, &s, NULL), SQLITE_OK);
	(void)sqlite3_bind_int64(s, 1, id);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = (unsigned)sqlite3_column_int(s, 0);
	(void)sqlite3_finalize(s);
	return n;
}

#define COUNT(table, where) "SELECT count(*) FROM " table " WHERE " where

/* Rows that the database has of a mailbox. */
static unsigned
rows_of(struct fixture *f, int64_t id)
{
	static const char *const all[] = { COUNT(
					       "chunk_fixed", "key >> 32 = ?1"),
		COUNT("chunk_names", "key >> 32 = ?1"),
		COUNT("chunk_state", "key >> 32 = ?1"),
		COUNT("pop3", "key >> 32 = ?1"),
		COUNT("pop3_text", "key >> 32 = ?1"),
		COUNT("keyword", "mailbox = ?1"),
		COUNT("keyword_set", "mailbox = ?1"),
		COUNT("vanished", "mailbox = ?1") };
	unsigned n = 0;

	assert_int_equal(account_open(f->account, NULL), 0);
	for (size_t i = 0; i < NELEMS(all); i++)
		n += number(f->account->db.h, all[i], id);
	return n;
}

static struct mailbox *
open_big(struct fixture *f)
{
	struct mailbox *m;
	uint32_t uid = 1;
	struct edit ed;
	uint32_t i;
	size_t at;

	fresh_tree(f, "INBOX.big");
	write_uid_list(f, ".big/courierimapuiddb", VALIDITY, MANY);
	fixture_open(f);
	m = open_mailbox(f, "INBOX.big");
	assert_int_equal(edit_begin(&ed, m, NULL), 0);
	assert_true(edit_find(&ed, uid, &at, &i));
	edit_remove(&ed, at, i);
	assert_int_equal(edit_commit(&ed, NULL), 0);
	mailbox_cache_put(m, 3, CACHE_ENVELOPE, SLICE("what is kept"));
	mailbox_cache_put(m, 5003, CACHE_ENVELOPE, SLICE("what is kept"));
	return m;
}

/* DELETE takes the mailbox away, and the ticks that follow take its rows, so
 * many at a time, whenever the process ends. */
static void
rows_go_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_big(f);
	int64_t id = m->id;
	unsigned before = rows_of(f, id), n = 0, now;

	assert_true(before >= 3 * MANY / CHUNK_MAX);
	mailbox_close(&m);
	assert_int_equal(delete_now(f->account, SLICE("INBOX.big")), 0);
	assert_int_equal(rows_of(f, id), before);
	assert_int_equal(create_now(f->account, SLICE("INBOX.big")), 0);
	m = open_mailbox(f, "INBOX.big");
	assert_int_not_equal(m->id, id);
	assert_int_equal(view_count(m->head), 0);
	mailbox_close(&m);
	for (; before != 0; before = now) {
		assert_true(++n < 100);
		fixture_tick(f, 1);
		now = rows_of(f, id);
		assert_in_range(before - now, 0, 200);
		if (n % 2 == 0)
			fixture_reopen(f);
	}
	assert_true(n > 2);
	assert_int_equal(rows_of(f, id), 0); /* opens the account */
	fixture_tick(f, 2);
	assert_int_equal(
	    number(f->account->db.h, "SELECT count(*) FROM gone", 0), 0);
	assert_false(f->account->rows_left);
}

/* What was computed of its messages goes before. */
static void
cached_rows_go(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_big(f);
	struct slice kept;

	fixture_tick(f, 1);
	assert_int_equal(
	    number(f->account->cache.h, "SELECT count(*) FROM cached", 0), 2);
	assert_true(mailbox_cache_get(m, 3, CACHE_ENVELOPE, &kept));
	mailbox_close(&m);
	assert_int_equal(delete_now(f->account, SLICE("INBOX.big")), 0);
	fixture_tick(f, 2);
	assert_int_equal(
	    number(f->account->cache.h, "SELECT count(*) FROM cached", 0), 0);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(rows_go_in_pieces),
		CASE(cached_rows_go),
	};

	return cmocka_run_group_tests_name("pieces", tests, NULL, NULL);
}
