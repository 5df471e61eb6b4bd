/*
 * What the index alone knows of messages and mailboxes: EMAILID, MAILBOXID,
 * save dates, expunged UIDs; and databases of an older schema.
 */
#include <sqlite3.h>

#include "base/le.h"
#include "maildir/blob.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"

static uint64_t
email_id(struct mailbox *m, uint32_t uid)
{
	uint64_t id = 0;

	assert_int_equal(mailbox_email_id(m, uid, &id), 0);
	assert_true(id != 0);
	return id;
}

static int64_t
saved(struct mailbox *m, uint32_t uid)
{
	struct message_info info;

	assert_int_equal(mailbox_message_info(m, uid, &info), 0);
	return info.save_ms;
}

static uint64_t
highest(struct mailbox *m)
{
	struct view *v = mailbox_view(m);
	uint64_t modseq = view_highest_modseq(v);

	view_unref(&v);
	return modseq;
}

/* "1 3:7 …", with "?" behind it if that isn't all. */
static const char *
vanished(struct mailbox *m, uint64_t since)
{
	static char text[65536];
	struct uid_range *v;
	size_t n, at = 0;
	bool complete;

	assert_int_equal(
	    mailbox_vanished(m, since, &v, &n, &complete, NULL), 0);
	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u",
		    i != 0 ? " " : "", v[i].first);
		if (v[i].last != v[i].first)
			at += (size_t)snprintf(
			    text + at, sizeof(text) - at, ":%u", v[i].last);
		assert_true(at < sizeof(text) - 30);
	}
	(void)snprintf(text + at, sizeof(text) - at, "%s", complete ? "" : "?");
	free(v);
	return text;
}

/* --- EMAILID -------------------------------------------------------------- */

static void
email_ids_follow_copies(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *t;
	const uint32_t uids[] = { 1, 2 };
	uint32_t to[2];
	uint64_t one, two;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	deliver(f, "", "one");
	deliver(f, "", "one");
	refresh(f, m);
	one = email_id(m, 1);
	two = email_id(m, 2);
	assert_true(one != two);
	assert_int_equal(run_copy(f, m, uids, 2, "INBOX.t", false, to), 0);
	t = open_mailbox(f, "INBOX.t");
	assert_true(email_id(t, to[0]) == one);
	assert_true(email_id(t, to[1]) == two);
	/* the copy of a copy, and back again */
	assert_int_equal(run_copy(f, t, to, 1, "INBOX", true, to), 0);
	refresh(f, m);
	assert_true(email_id(m, to[0]) == one);
	mailbox_close(&t);
	/* flags, a restart and a folder's new name change nothing */
	assert_int_equal(
	    run_flags(f, m, uids, 1, FLAGS_ADD, MESSAGE_SEEN, "kw"), 0);
	assert_true(email_id(m, 1) == one);
	mailbox_close(&m);
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX.t"), SLICE("INBOX.u")), 0);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	t = open_mailbox(f, "INBOX.u");
	refresh(f, m);
	refresh(f, t);
	assert_true(email_id(m, 1) == one);
	assert_true(email_id(m, to[0]) == one);
	assert_true(email_id(t, 2) == two);
	assert_int_equal(mailbox_email_id(t, 1, &two), ERR_NOT_FOUND);
	mailbox_close(&t);
	mailbox_close(&m);
}

static void
email_ids_survive_the_database(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint64_t one;

	deliver(f, "", "one");
	refresh(f, m);
	one = email_id(m, 1);
	mailbox_close(&m);
	fixture_close(f);
	assert_int_equal(remove(fixture_path(f, "postern.db")), 0);
	(void)remove(fixture_path(f, "postern.db-wal"));
	(void)remove(fixture_path(f, "postern.db-shm"));
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_true(email_id(m, 1) == one);
	mailbox_close(&m);
}

/* --- MAILBOXID ------------------------------------------------------------ */

static uint64_t
object_id(struct fixture *f, const char *name)
{
	struct mailbox *m = open_mailbox(f, name);
	uint64_t id = mailbox_object_id(m);

	mailbox_close(&m);
	assert_true(id != 0);
	return id;
}

static void
mailbox_ids_follow_names(void **state)
{
	struct fixture *f = *state;
	uint64_t inbox = object_id(f, "INBOX"), a, b;

	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	assert_int_equal(create_now(f->account, SLICE("INBOX.a.b")), 0);
	a = object_id(f, "INBOX.a");
	b = object_id(f, "INBOX.a.b");
	assert_true(a != b && a != inbox && b != inbox);
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX.a"), SLICE("INBOX.z")), 0);
	fixture_reopen(f);
	assert_true(object_id(f, "INBOX") == inbox);
	assert_true(object_id(f, "INBOX.z") == a);
	assert_true(object_id(f, "INBOX.z.b") == b);
	/* made again, it's another */
	assert_int_equal(delete_now(f->account, SLICE("INBOX.z.b")), 0);
	assert_int_equal(create_now(f->account, SLICE("INBOX.z.b")), 0);
	assert_true(object_id(f, "INBOX.z.b") != b);
}

/* RFC 8474 4: the new mailbox is a new one, INBOX stays what it was. */
static void
renamed_inbox_keeps_its_id(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint64_t inbox = mailbox_object_id(m), one;
	int64_t before;

	deliver(f, "", "one");
	refresh(f, m);
	one = email_id(m, 1);
	before = saved(m, 1);
	f->wall_ms += 86400000;
	refresh(f, m);
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX"), SLICE("INBOX.old")), 0);
	refresh(f, m);
	assert_listing(m, "");
	assert_true(mailbox_object_id(m) == inbox);
	mailbox_close(&m);
	for (int i = 0; i < 2; i++) {
		m = open_mailbox(f, "INBOX.old");
		refresh(f, m);
		assert_true(mailbox_object_id(m) != inbox);
		assert_true(email_id(m, 1) == one);
		/* RFC 8514 3 */
		assert_true(saved(m, 1) == before + 86400000);
		mailbox_close(&m);
		assert_true(object_id(f, "INBOX") == inbox);
		fixture_reopen(f);
	}
}

/* Nothing is written for its messages, so that it takes no longer than that of
 * an empty one. */
static void
renamed_inbox_is_not_rewritten(void **state)
{
	enum { MANY = 10000, ROWS = MANY / CHUNK_MAX / 2 };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	int rows;

	put_many(f, "cur/", MANY, ".n:2,", "");
	refresh(f, m);
	f->wall_ms += 86400000;
	refresh(f, m);
	rows = sqlite3_total_changes(f->account->db.h);
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX"), SLICE("INBOX.old")), 0);
	rows = sqlite3_total_changes(f->account->db.h) - rows;
	assert_in_range(rows, 1, ROWS);
	mailbox_close(&m);
	m = open_mailbox(f, "INBOX.old");
	refresh(f, m);
	assert_int_equal(m->head->count, MANY);
	assert_true(saved(m, 1) == f->wall_ms);
	assert_true(saved(m, MANY) == f->wall_ms);
	mailbox_close(&m);
}

/* --- save dates ----------------------------------------------------------- */

static void
save_dates(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *t;
	const uint32_t uid[] = { 1 };
	uint32_t to[1], appended;
	int64_t first = f->wall_ms;

	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	deliver(f, "", "one");
	refresh(f, m);
	f->wall_ms += 1000000;
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, &appended), 0);
	refresh(f, m);
	assert_true(saved(m, 1) == first);
	assert_true(saved(m, appended) == first + 1000000);
	f->wall_ms += 1000000;
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_SEEN, NULL), 0);
	assert_int_equal(run_copy(f, m, uid, 1, "INBOX.t", false, to), 0);
	t = open_mailbox(f, "INBOX.t");
	assert_true(saved(m, 1) == first);
	assert_true(saved(t, to[0]) == first + 2000000);
	mailbox_close(&m);
	mailbox_close(&t);
	f->wall_ms += 1000000;
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_true(saved(m, 1) == first);
	mailbox_close(&m);
}

/* --- expunged UIDs -------------------------------------------------------- */

static void
vanished_are_told(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t some[] = { 2, 3, 5 }, one[] = { 4 };
	uint64_t start, middle;

	for (int i = 0; i < 6; i++)
		deliver(f, "", "x");
	refresh(f, m);
	start = highest(m);
	assert_string_equal(vanished(m, 0), "");
	assert_int_equal(run_remove(f, m, some, 3), 3);
	middle = highest(m);
	assert_true(middle > start);
	assert_string_equal(vanished(m, start), "2:3 5");
	assert_string_equal(vanished(m, middle), "");
	assert_int_equal(run_remove(f, m, one, 1), 1);
	assert_string_equal(vanished(m, middle), "4");
	assert_string_equal(vanished(m, 0), "2:5");
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_string_equal(vanished(m, start), "2:5");
	/* removed by somebody else: it has a mod-sequence all the same */
	start = highest(m);
	assert_int_equal(remove(fixture_path(f, message_path(m, 6))), 0);
	refresh(f, m);
	assert_string_equal(vanished(m, start), "6");
	mailbox_close(&m);
}

static void
old_vanished_are_forgotten(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct db *db = &f->account->db;
	const uint32_t one[] = { 1 };
	struct uid_range *ranges;
	size_t n_ranges;
	uint64_t before;
	char sql[200];
	bool complete;

	deliver(f, "", "x");
	refresh(f, m);
	before = highest(m);
	/* 9000 expunges of old */
	(void)snprintf(sql, sizeof(sql),
	    "WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c "
	    "WHERE n < 9000) INSERT INTO vanished SELECT %lld, n, 10 * n, "
	    "10 * n FROM c",
	    (long long)m->id);
	assert_int_equal(db_exec(db, sql, NULL), 0);
	(void)snprintf(sql, sizeof(sql),
	    "UPDATE mailbox SET modseq = 10000, modseq_bound = 90000, "
	    "uidnext = 100000, change = change + 1 WHERE id = %lld",
	    (long long)m->id);
	assert_int_equal(db_exec(db, sql, NULL), 0);
	assert_true(before < 10000);
	assert_int_equal(run_remove(f, m, one, 1), 1);
	assert_string_equal(vanished(m, 10000), "1");
	assert_string_equal(vanished(m, 8999), "1 90000");
	assert_non_null(strchr(vanished(m, 4000), '?'));
	assert_null(strchr(vanished(m, 6000), '?'));
	/* another process forgets more: memory knows nothing of that */
	(void)snprintf(sql, sizeof(sql),
	    "DELETE FROM vanished WHERE modseq <= 8000; "
	    "UPDATE mailbox SET vanished_from = 8000 WHERE id = %lld",
	    (long long)m->id);
	assert_int_equal(db_exec(db, sql, NULL), 0);
	assert_non_null(strchr(vanished(m, 7999), '?'));
	assert_null(strchr(vanished(m, 8000), '?'));
	(void)snprintf(sql, sizeof(sql), "DELETE FROM mailbox WHERE id = %lld",
	    (long long)m->id);
	assert_int_equal(db_exec(db, sql, NULL), 0);
	assert_int_equal(
	    mailbox_vanished(m, 0, &ranges, &n_ranges, &complete, NULL),
	    ERR_STALE);
	mailbox_close(&m);
}

/* --- older databases ------------------------------------------------------ */

static void
exec(sqlite3 *h, const char *sql)
{
	assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* The fixed parts of a chunk as they were before schema 5, or 2. */
static void
put_old_fixed(struct buf *out, const struct chunk *c, int version)
{
	for (uint32_t i = 0; i < c->n; i++) {
		const struct fixed *f = chunk_fixed(c, i);

		le_put(out, chunk_uid(c, i), 4);
		le_put(out, (uint64_t)f->internal_ms, 8);
		le_put(out, (uint64_t)f->save_ms, 8);
		le_put(out, f->file_size, 8);
		le_put(out,
		    f->wire_size == SIZE_UNKNOWN
			? SIZE_UNKNOWN
			: f->wire_size | (uint64_t)f->ending << 62,
		    8);
		if (version > 1)
			le_put(out, f->email_id, 8);
	}
	blob_seal(out);
}

static void
put_old_text(struct buf *out, struct slice text)
{
	le_put(out, text.n, 2);
	buf_put(out, text);
}

static void
put_old_names(struct buf *out, const struct chunk *c)
{
	for (uint32_t i = 0; i < c->n; i++) {
		put_old_text(out, chunk_base(c, i));
		put_old_text(out, chunk_odd(c, i));
	}
	blob_seal(out);
}

static void
put_old_state(struct buf *out, const struct chunk *c)
{
	for (uint32_t i = 0; i < c->n; i++) {
		le_put(out, chunk_place(c, i), 8);
		le_put(out, chunk_message(c, i)->keywords, 4);
		le_put(out, chunk_message(c, i)->modseq, 8);
	}
	blob_seal(out);
}

static void
update_blob(sqlite3 *h, const char *sql, int64_t key, struct buf *b)
{
	sqlite3_stmt *put;

	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &put, NULL), SQLITE_OK);
	(void)sqlite3_bind_int64(put, 1, key);
	db_bind_blob(put, 2, buf_slice(b));
	assert_int_equal(sqlite3_step(put), SQLITE_DONE);
	(void)sqlite3_finalize(put);
	buf_fini(b);
}

static void
downgrade_chunk(sqlite3 *h, sqlite3_stmt *get, int version)
{
	int64_t key = sqlite3_column_int64(get, 0);
	struct chunk *c = chunk_decode((uint32_t)key, db_column_blob(get, 1),
	    db_column_blob(get, 2), db_column_blob(get, 3));
	struct buf b;

	assert_non_null(c);
	buf_init(&b, CHUNK_BLOB_MAX);
	put_old_fixed(&b, c, version);
	update_blob(
	    h, "UPDATE chunk_fixed SET fixed = ?2 WHERE key = ?1", key, &b);
	buf_init(&b, CHUNK_BLOB_MAX);
	put_old_names(&b, c);
	update_blob(
	    h, "UPDATE chunk_names SET names = ?2 WHERE key = ?1", key, &b);
	buf_init(&b, CHUNK_BLOB_MAX);
	put_old_state(&b, c);
	update_blob(
	    h, "UPDATE chunk_state SET state = ?2 WHERE key = ?1", key, &b);
	chunk_unref(&c);
}

static void
downgrade_to_1(sqlite3 *h)
{
	exec(h, "DROP TABLE gone");
	exec(h, "DROP TRIGGER mailbox_gone");
	exec(h, "DROP TABLE pop3_text");
	exec(h, "DROP TABLE print");
	exec(h, "DROP TABLE exported");
	exec(h, "DROP TRIGGER mailbox_gone_intent");
	exec(h, "DROP TABLE intent");
	exec(h, "ALTER TABLE mailbox DROP COLUMN object_id");
	exec(h, "ALTER TABLE mailbox DROP COLUMN vanished_from");
	exec(h, "ALTER TABLE mailbox DROP COLUMN modseq_floor");
	exec(h, "PRAGMA user_version = 1");
}

/* Have the database look as version 1 or 4 made it. */
static void
downgrade(struct fixture *f, int version)
{
	sqlite3 *h;
	sqlite3_stmt *get;

	assert_int_equal(sqlite3_open(fixture_path(f, "postern.db"), &h), 0);
	assert_int_equal(
	    sqlite3_prepare_v2(h,
		"SELECT s.key, fixed, names, state FROM chunk_state s "
		"JOIN chunk_fixed f ON f.key = s.key "
		"JOIN chunk_names n ON n.key = s.key",
		-1, &get, NULL),
	    SQLITE_OK);
	while (sqlite3_step(get) == SQLITE_ROW)
		downgrade_chunk(h, get, version);
	(void)sqlite3_finalize(get);
	exec(h, "ALTER TABLE mailbox DROP COLUMN save_floor");
	if (version == 1)
		downgrade_to_1(h);
	else
		exec(h, "PRAGMA user_version = 4");
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

static void
old_version_opens(struct fixture *f, int version)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uids[] = { 2 };
	uint32_t to[1];
	uint64_t one, modseq;
	int64_t date;

	for (int i = 0; i < 300; i++)
		deliver(f, "", "x");
	refresh(f, m);
	assert_int_equal(run_copy(f, m, uids, 1, "INBOX", false, to), 0);
	assert_int_equal(run_remove(f, m, uids, 1), 1);
	one = email_id(m, 1);
	date = saved(m, 1);
	modseq = highest(m);
	mailbox_close(&m);
	fixture_close(f);
	downgrade(f, version);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_true(mailbox_object_id(m) != 0);
	assert_true(email_id(m, 1) == one);
	assert_true(email_id(m, to[0]) != 0);
	assert_true(saved(m, 1) == date);
	assert_true(highest(m) == modseq);
	assert_string_equal(vanished(m, 0), "2");
	one = mailbox_object_id(m);
	assert_int_equal(
	    run_flags(f, m, to, 1, FLAGS_ADD, MESSAGE_SEEN, "kw"), 0);
	deliver(f, "", "x"); /* its chunk gets written anew */
	refresh(f, m);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_true(mailbox_object_id(m) == one);
	assert_true(saved(m, 300) == date);
	mailbox_close(&m);
}

static void
version_1_opens(void **state)
{
	old_version_opens(*state, 1);
}

static void
version_4_opens(void **state)
{
	old_version_opens(*state, 4);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(email_ids_follow_copies),
		CASE(email_ids_survive_the_database),
		CASE(mailbox_ids_follow_names),
		CASE(renamed_inbox_keeps_its_id),
		CASE(renamed_inbox_is_not_rewritten),
		CASE(save_dates),
		CASE(vanished_are_told),
		CASE(old_vanished_are_forgotten),
		CASE(version_1_opens),
		CASE(version_4_opens),
	};

	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
