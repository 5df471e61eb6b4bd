/* What is kept of messages in postern.cache: it comes back, or is made anew. */
#include <sys/stat.h>

#include <sqlite3.h>

#include "maildir/cache_row.h"
#include "tests/support/maildir_fixture.h"

static void
cache_keeps_and_forgets(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct slice out;

	deliver(f, "", "one");
	deliver(f, "", "two");
	refresh(f, m);
	assert_false(mailbox_cache_get(m, 1, CACHE_BODY, &out));
	mailbox_cache_put(m, 1, CACHE_BODY, SLICE("body"));
	mailbox_cache_put(m, 1, CACHE_ENVELOPE, SLICE("envelope"));
	mailbox_cache_put(m, 2, CACHE_BODY, SLICE(""));
	assert_true(mailbox_cache_get(m, 1, CACHE_BODY, &out));
	assert_true(slice_eq(out, SLICE("body")));
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_true(mailbox_cache_get(m, 1, CACHE_ENVELOPE, &out));
	assert_true(slice_eq(out, SLICE("envelope")));
	assert_true(mailbox_cache_get(m, 2, CACHE_BODY, &out));
	assert_int_equal(out.n, 0);
	for (int i = 0; i < 1000; i++)
		mailbox_cache_put(m, 2, CACHE_FIELDS, SLICE("parts"));
	mailbox_close(&m);
	/* damaged: it begins anew */
	fixture_close(f);
	write_file(
	    fixture_path(f, "postern.cache"), "this is no database at all");
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	assert_false(mailbox_cache_get(m, 2, CACHE_FIELDS, &out));
	mailbox_cache_put(m, 2, CACHE_FIELDS, SLICE("new"));
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	/* what others of the row still need stays */
	assert_int_equal(run_remove(f, m, (const uint32_t[]){ 1 }, 1), 1);
	assert_true(mailbox_cache_get(m, 2, CACHE_FIELDS, &out));
	assert_true(slice_eq(out, SLICE("new")));
	assert_int_equal(run_remove(f, m, (const uint32_t[]){ 2 }, 1), 1);
	assert_false(mailbox_cache_get(m, 2, CACHE_FIELDS, &out));
	mailbox_close(&m);
}

/* What isn't there says nothing of what comes behind it, or comes later. */
static void
cache_after_a_miss(void **state)
{
	enum { LAST = 464 };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	static uint8_t bytes[16 * 1024];
	struct slice out;

	for (int i = 0; i < LAST; i++)
		deliver(f, "", "text");
	refresh(f, m);
	mailbox_cache_put(m, LAST, CACHE_BODY, SLICE("last"));
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_false(mailbox_cache_get(m, 1, CACHE_ENVELOPE, &out));
	assert_false(mailbox_cache_get(m, LAST, CACHE_ENVELOPE, &out));
	assert_true(mailbox_cache_get(m, LAST, CACHE_BODY, &out));
	assert_true(slice_eq(out, SLICE("last")));
	/* so much that it is written, and leaves memory */
	assert_false(mailbox_cache_get(m, 1, CACHE_SUBJECT, &out));
	for (unsigned kind = CACHE_SUBJECT; kind < CACHE_N_KINDS; kind++)
		for (uint32_t uid = 1; uid < LAST - 64; uid++)
			mailbox_cache_put(m, uid, (enum cache_kind)kind,
			    slice_of(bytes, 1000 + uid));
	for (uint32_t uid = 1; uid < LAST - 64; uid++) {
		assert_true(mailbox_cache_get(m, uid, CACHE_SUBJECT, &out));
		assert_int_equal(out.n, 1000 + uid);
	}
	mailbox_close(&m);
}

/* Remove all rows behind the store's back. */
static void
forget_cached(const struct fixture *f)
{
	sqlite3 *h;

	assert_int_equal(
	    sqlite3_open(fixture_path(f, "postern.cache"), &h), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(h, "DELETE FROM cached", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

/* Who goes from row to row finds those that follow in memory, up to one that
 * isn't there. */
static void
cache_is_read_in_turn(void **state)
{
	enum { ROW = 64, HOLE = 5, MESSAGES = 8 * ROW };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint8_t bytes[MESSAGES + 1] = { 0 };
	struct slice out;

	for (int i = 0; i < MESSAGES; i++)
		deliver(f, "", "text");
	refresh(f, m);
	for (uint32_t uid = 1; uid <= MESSAGES; uid++)
		if (uid / ROW != HOLE)
			mailbox_cache_put(
			    m, uid, CACHE_DATE, slice_of(bytes, uid));
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	for (uint32_t uid = 1; uid <= MESSAGES; uid++) {
		bool there = mailbox_cache_get(m, uid, CACHE_DATE, &out);

		assert_int_equal(there, uid / ROW != HOLE);
		assert_true(!there || out.n == uid);
		/* after the second row the file isn't asked for the others */
		if (uid == ROW)
			forget_cached(f);
		if (uid == HOLE * ROW - 1)
			break;
	}
	assert_false(mailbox_cache_get(m, HOLE * ROW, CACHE_DATE, &out));
	assert_false(mailbox_cache_get(m, MESSAGES, CACHE_DATE, &out));
	mailbox_cache_put(m, HOLE * ROW, CACHE_DATE, SLICE("new"));
	assert_true(mailbox_cache_get(m, HOLE * ROW, CACHE_DATE, &out));
	mailbox_close(&m);
}

/* More than memory keeps: each entry is there again, from the file. */
static void
cache_outgrows_memory(void **state)
{
	enum { MESSAGES = 130, KINDS = CACHE_N_KINDS };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	static uint8_t bytes[2000];
	struct slice out;

	for (int i = 0; i < MESSAGES; i++)
		deliver(f, "", "text");
	refresh(f, m);
	for (uint32_t uid = 1; uid <= MESSAGES; uid++)
		for (unsigned kind = 0; kind < KINDS; kind++) {
			memset(bytes, (int)(uid + kind), sizeof(bytes));
			mailbox_cache_put(m, uid, (enum cache_kind)kind,
			    slice_of(bytes, 1000 + uid + kind));
		}
	for (unsigned kind = KINDS; kind-- > 0;)
		for (uint32_t uid = MESSAGES; uid > 0; uid--) {
			assert_true(mailbox_cache_get(
			    m, uid, (enum cache_kind)kind, &out));
			assert_int_equal(out.n, 1000 + uid + kind);
			assert_int_equal(out.p[999], (uid + kind) & 0xff);
		}
	/* what is too large is not kept, and nothing else is lost by it */
	for (uint32_t uid = 1; uid <= 20; uid++) {
		static uint8_t large[16 * 1024 + 1];

		mailbox_cache_put(
		    m, uid, CACHE_BODY, slice_of(large, sizeof(large)));
		mailbox_cache_put(
		    m, uid, CACHE_BCC, slice_of(large, sizeof(large) - 1));
	}
	assert_true(mailbox_cache_get(m, 20, CACHE_BODY, &out));
	assert_int_equal(out.n, 1000 + 20 + CACHE_BODY);
	mailbox_close(&m);
}

static sqlite3 *
open_file(const struct fixture *f, const char *name)
{
	sqlite3 *h;

	assert_int_equal(sqlite3_open(fixture_path(f, name), &h), SQLITE_OK);
	return h;
}

static int64_t
number(sqlite3 *h, const char *sql)
{
	sqlite3_stmt *s;
	int64_t v;

	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	v = sqlite3_column_int64(s, 0);
	assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
	return v;
}

/* The number of the database that all of a cache is of, as it is in both if
 * nothing tells how things were computed. */
static int64_t
identity_of(const struct fixture *f, const char *name)
{
	sqlite3 *h = open_file(f, name);
	int64_t v = number(h, "SELECT value FROM meta WHERE key = 'identity'");

	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	return v;
}

static void
put_number(sqlite3 *h, const char *sql, int64_t v)
{
	sqlite3_stmt *s;

	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_bind_int64(s, 1, v), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_DONE);
	assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
}

static uint64_t
file_number(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(fixture_path(f, "postern.cache"), &st), 0);
	return (uint64_t)st.st_ino;
}

/* What was computed otherwise isn't shown; who computes so keeps his file. */
static void
cache_of_another_revision(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct slice out;
	uint64_t was;
	sqlite3 *other;

	deliver(f, "", "one");
	refresh(f, m);
	mailbox_cache_put(m, 1, CACHE_BODY, SLICE("old"));
	mailbox_close(&m);
	fixture_close(f);
	assert_int_not_equal(
	    identity_of(f, "postern.db"), identity_of(f, "postern.cache"));
	other = open_file(f, "postern.cache");
	(void)number(other, "PRAGMA journal_mode = MEMORY"); /* as all have */
	put_number(other, "UPDATE meta SET value = ?1 WHERE key = 'identity'",
	    identity_of(f, "postern.db"));
	was = file_number(f);

	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	assert_false(mailbox_cache_get(m, 1, CACHE_BODY, &out));
	mailbox_cache_put(m, 1, CACHE_BODY, SLICE("new"));
	mailbox_close(&m);
	assert_int_not_equal(file_number(f), was);
	assert_int_equal(number(other, "SELECT count(*) FROM cached"), 1);
	put_number(other, "DELETE FROM cached WHERE key > ?1", INT64_MIN);
	assert_int_equal(sqlite3_close(other), SQLITE_OK);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_true(mailbox_cache_get(m, 1, CACHE_BODY, &out));
	assert_true(slice_eq(out, SLICE("new")));
	mailbox_close(&m);
}

/* As often as this one removes his file, a server of another version that wants
 * the same has made another by the time that one is opened here. */
static const struct fixture *contested;
static unsigned contests;

int __real_fsx_unlink(int dirfd, const char *name);
int __wrap_fsx_unlink(int dirfd, const char *name);

int
__wrap_fsx_unlink(int dirfd, const char *name)
{
	int rc = __real_fsx_unlink(dirfd, name);
	sqlite3 *h;

	if (contests == 0 || strcmp(name, "postern.cache-journal") != 0)
		return rc;
	contests--;
	h = open_file(contested, "postern.cache");
	assert_int_equal(
	    sqlite3_exec(h, "CREATE TABLE meta (key TEXT PRIMARY KEY, value)",
		NULL, NULL, NULL),
	    SQLITE_OK);
	put_number(h, "INSERT INTO meta VALUES ('identity', ?1)", 1);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	return rc;
}

/* Two find the file of a third: neither goes without one for that. */
static void
cache_is_contested(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct slice out;

	deliver(f, "", "one");
	refresh(f, m);
	mailbox_close(&m);
	fixture_close(f);
	write_file(fixture_path(f, "postern.cache"), "none\n");
	fixture_open(f);
	contested = f;
	contests = 3;
	m = open_mailbox(f, "INBOX");
	mailbox_cache_put(m, 1, CACHE_BODY, SLICE("new"));
	assert_int_equal(contests, 0);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_true(mailbox_cache_get(m, 1, CACHE_BODY, &out));
	assert_true(slice_eq(out, SLICE("new")));
	mailbox_close(&m);
}

/* Put a message's body into the file as servers did before there was
 * CACHE_REVISION. */
static void
write_as_before(const struct fixture *f, uint32_t uidvalidity)
{
	sqlite3 *h = open_file(f, "postern.cache");
	int64_t key = number(h, "SELECT key FROM cached");
	uint64_t salt =
	    ((uint64_t)key ^ (uint64_t)identity_of(f, "postern.db")) *
		0x9e3779b97f4a7c15u ^
	    uidvalidity;
	struct cache_row row;
	struct buf packed;
	sqlite3_stmt *s;

	buf_init(&packed, CACHE_ROW_PACKED_MAX);
	cache_row_init(&row);
	assert_true(cache_row_put(&row, 1, SLICE("old")));
	cache_row_pack(&row, salt, &packed);
	assert_int_equal(
	    sqlite3_prepare_v2(h, "UPDATE cached SET bytes = ?1", -1, &s, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_bind_blob(s, 1, buf_slice(&packed).p,
			     (int)buf_len(&packed), SQLITE_STATIC),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_DONE);
	assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	cache_row_fini(&row);
	buf_fini(&packed);
}

/* Another process, of another version, writes into the file that is open. */
static void
row_of_another_revision(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct slice out;

	deliver(f, "", "one");
	refresh(f, m);
	mailbox_cache_put(m, 1, CACHE_BODY, SLICE("new"));
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	write_as_before(f, mailbox_uidvalidity(m));
	assert_false(mailbox_cache_get(m, 1, CACHE_BODY, &out));
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(cache_keeps_and_forgets),
		CASE(cache_after_a_miss),
		CASE(cache_is_read_in_turn),
		CASE(cache_outgrows_memory),
		CASE(cache_of_another_revision),
		CASE(cache_is_contested),
		CASE(row_of_another_revision),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
