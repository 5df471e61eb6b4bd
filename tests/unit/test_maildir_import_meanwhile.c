/*
 * Keywords of another server, and updates of them, are taken over while
 * messages change here: what a client, of whatever process, sets or removes
 * then is newer, and only that.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "maildir/edit.h"
#include "maildir/import_impl.h"
#include "maildir/keywords.h"
#include "tests/support/maildir_fixture.h"

/* --- another process changes them ----------------------------------------- */

/* What it makes of the message: it has seen none of the files. */
static const char *set_to[2];
static bool seen;

static void
change_elsewhere(struct fixture *f)
{
	struct slice names[2];
	struct mailbox *m;
	struct edit ed;
	uint32_t i, set;
	size_t at, n = 0;
	uint64_t place;

	assert_int_equal(mailbox_open(f->account, SLICE("INBOX"), &m, NULL), 0);
	while (n < NELEMS(set_to) && set_to[n] != NULL) {
		names[n] = slice_str(set_to[n]);
		n++;
	}
	assert_int_equal(edit_begin(&ed, m, NULL), 0);
	assert_true(edit_find(&ed, 1, &at, &i));
	assert_int_equal(keyword_set_of_names(m, names, n, &set, NULL), 0);
	place = chunk_place(ed.v[at], i);
	if (seen)
		place = place_with_flags(place, MESSAGE_SEEN);
	edit_set(&ed, at, i, place, slice_of(NULL, 0), set);
	assert_int_equal(edit_commit(&ed, NULL), 0);
	mailbox_close(&m);
}

/* A message that has these keywords, as Courier was told. */
static struct mailbox *
exported(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uid = 1;

	put_cur(f, "1.M1:2,", "one\n");
	refresh(f, m);
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "kept"), 0);
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "was"), 0);
	put_dir(f, "courierimapkeywords");
	run_export(f, true, 1);
	return m;
}

static const struct meanwhile {
	const char *file, *text; /* of the other server */
	const char *set_to[2];	 /* here, from "kept" and "was" */
	bool seen;
	const char *listing;
} cases[] = {
	/* "was" is removed there */
	{ ":list", "kept\n\n1.M1:0\n", { "kept", "was" }, true, "1:S(kept)" },
	{ "1.M1", "kept\n", { "kept", "was" }, true, "1:S(kept)" },
	{ ":list", "\n", { "kept", "was" }, true, "1:S" },
	/* and something is added, or removed, here */
	{ ":list", "new\n\n1.M1:0\n", { "kept", "ours" }, false,
	    "1(new)(ours)" },
	{ "1.M1", "new\n", { "kept", "ours" }, false, "1(new)(ours)" },
	{ ":list", "kept\nwas\nnew\n\n1.M1:0 1 2\n", { "kept" }, false,
	    "1(kept)(new)" },
	{ "1.M1", "kept\nwas\nnew\n", { "kept" }, false, "1(kept)(new)" },
	{ ":list", "kept\n\n1.M1:0\n", { NULL }, false, "1" },
	/* the same there and here */
	{ ":list", "kept\n\n1.M1:0\n", { "kept" }, false, "1(kept)" },
};

/* The keywords, in the order of their names. */
static void
assert_same(struct mailbox *m, const struct meanwhile *c)
{
	const char *got = listing(m), *at = c->listing;

	if (strlen(got) != strlen(at))
		fail_msg("%s: %s, not %s", c->file, got, at);
	for (; (at = strchr(at, '(')) != NULL; at++) {
		char word[16];

		(void)snprintf(
		    word, sizeof(word), "%.*s)", (int)strcspn(at, ")"), at);
		if (strstr(got, word) == NULL)
			fail_msg("%s: %s, not %s", c->file, got, c->listing);
	}
}

static void
one_case(struct fixture *f, const struct meanwhile *c)
{
	struct mailbox *m = exported(f);
	struct sqlite3 *h;
	char name[64];

	(void)snprintf(name, sizeof(name), "courierimapkeywords/%s", c->file);
	write_file(fixture_path(f, name), c->text);
	later(f);
	/* it has read them, and can't write */
	h = fixture_take_database(f);
	assert_int_equal(refresh_some(f, m), STEP_WAIT_PEER);
	fixture_give_back(h);
	memcpy(set_to, c->set_to, sizeof(set_to));
	seen = c->seen;
	/* which does not look at what Courier has */
	assert_int_equal(rename(fixture_path(f, "courierimapkeywords"),
			     fixture_path(f, "hidden")),
	    0);
	fixture_elsewhere(f, change_elsewhere);
	assert_int_equal(rename(fixture_path(f, "hidden"),
			     fixture_path(f, "courierimapkeywords")),
	    0);
	refresh(f, m);
	assert_same(m, c);
	mailbox_close(&m);
}

static void
another_process(void **state)
{
	for (size_t i = 0; i < NELEMS(cases); i++) {
		one_case(*state, &cases[i]);
		if (i + 1 < NELEMS(cases)) {
			(void)fixture_teardown(state);
			(void)fixture_setup(state);
		}
	}
}

/* --- a stop half-way ------------------------------------------------------ */

enum { MANY = 10000, N_UPDATES = 3000, FIRST = 1, LAST = N_UPDATES };

static void
write_list(struct fixture *f)
{
	FILE *out = fopen(fixture_path(f, "courierimapkeywords/:list"), "w");

	assert_non_null(out);
	(void)fprintf(out, "theirs\n\n");
	for (unsigned i = 0; i < MANY; i++)
		(void)fprintf(out, "%u.M1:0\n", 1000000 + i);
	assert_int_equal(fclose(out), 0);
}

/* Messages, as Courier was told, which has changed them since. */
static struct mailbox *
with_theirs(struct fixture *f, bool list)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_many(f, "cur/", MANY, ".M1:2,", "x\n");
	refresh(f, m);
	assert_int_equal(view_count(m->head), MANY);
	run_export(f, true, 1);
	put_dir(f, "courierimapkeywords");
	if (list)
		write_list(f);
	else
		put_many(
		    f, "courierimapkeywords/", N_UPDATES, ".M1", "theirs\n");
	later(f);
	return m;
}

static bool
has(struct mailbox *m, uint32_t uid, const char *keyword)
{
	size_t n, number = mailbox_keyword_find(m, slice_str(keyword));
	uint32_t seq = view_find(m->head, uid);
	const uint16_t *set;

	assert_int_not_equal(seq, 0);
	set = mailbox_keyword_set(m, view_get(m->head, seq)->keywords, &n);
	for (size_t i = 0; i < n; i++)
		if (set[i] == number)
			return true;
	return false;
}

/* Some are taken over, then nobody goes on with it. */
static struct mailbox *
with_half(struct fixture *f, bool list)
{
	struct mailbox *m = with_theirs(f, list);
	int rc;

	while (!has(m, FIRST, "theirs"))
		assert_int_equal(mailbox_refresh(m, false, (struct waker){ 0 },
				     1, f->wall_ms, &rc),
		    STEP_YIELD);
	assert_false(has(m, list ? MANY : LAST, "theirs"));
	import_stop(m, false);
	return m;
}

/* What a client changes then is newer than what is left to be taken over. */
static void
store_half_way(struct fixture *f, bool list)
{
	struct mailbox *m = with_half(f, list);
	const uint32_t last = list ? MANY : LAST;
	const uint32_t removed[] = { FIRST, last - 1 };

	assert_int_equal(run_flags(f, m, &last, 1, FLAGS_ADD, 0, "ours"), 0);
	assert_int_equal(
	    run_flags(f, m, removed, 2, FLAGS_REMOVE, 0, "theirs"), 0);
	for (int i = 0; i < 2; i++) {
		assert_true(has(m, last, "ours"));
		assert_true(has(m, last, "theirs"));
		assert_false(has(m, removed[0], "theirs"));
		assert_false(has(m, removed[1], "theirs"));
		assert_true(has(m, 2, "theirs"));
		later(f);
		refresh(f, m);
	}
	mailbox_close(&m);
}

static void
store_between_updates(void **state)
{
	store_half_way(*state, false);
}

static void
store_between_halves_of_a_list(void **state)
{
	store_half_way(*state, true);
}

/* An update that nobody has looked at yet is older, too. */
static void
store_before_a_look(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uid = 1;

	put_cur(f, "1.M1:2,", "one\n");
	put_dir(f, "courierimapkeywords");
	refresh(f, m);
	write_file(fixture_path(f, "courierimapkeywords/1.M1"), "theirs\n");
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "ours"), 0);
	later(f);
	refresh(f, m);
	assert_true(has(m, uid, "ours"));
	assert_true(has(m, uid, "theirs"));
	mailbox_close(&m);
}

/* What a list says of a message that nobody here has seen yet isn't lost if a
 * client changes another one first. */
static void
store_before_a_scan(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = exported(f);
	const uint32_t uid = 1;

	put_cur(f, "2.M1:2,", "two\n");
	write_file(fixture_path(f, "courierimapkeywords/:list"),
	    "kept\nwas\nnew\n\n1.M1:0 1\n2.M1:2\n");
	assert_int_equal(run_flags(f, m, &uid, 1, FLAGS_ADD, 0, "ours"), 0);
	for (int i = 0; i < 2; i++) {
		refresh(f, m);
		assert_true(has(m, 1, "ours"));
		assert_true(has(m, 2, "new"));
		later(f);
	}
	mailbox_close(&m);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(another_process),
		CASE(store_between_updates),
		CASE(store_between_halves_of_a_list),
		CASE(store_before_a_look),
		CASE(store_before_a_scan),
	};

	fixture_in_memory();
	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
