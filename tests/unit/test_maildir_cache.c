/* What is kept of messages in postern.cache: it comes back, or is made anew. */
#include <sqlite3.h>

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
