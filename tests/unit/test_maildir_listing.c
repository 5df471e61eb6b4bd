/*
 * What a drop listing is made of, in pieces: the sort, unique-ids that are
 * given or read, and Courier's files written from it; with others at it, and
 * cut short.
 */
#include <sys/resource.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "maildir/export_files.h"
#include "maildir/listing.h"
#include "tests/support/maildir_fixture.h"

enum {
	MANY = 20000,
	CALLS_MAX = 1000,
	VALIDITY = 77,
};

/* --- the sort ------------------------------------------------------------- */

struct element {
	uint32_t key, at;
};

static int
order_keys(const void *a, const void *b, void *arg)
{
	const struct element *x = a, *y = b;

	assert_string_equal(arg, "argument");
	return x->key < y->key ? -1 : x->key > y->key;
}

static void
sorts_any_number(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 4095, 4096, 4097, 8192, 8193,
		12289, 40000 };
	char arg[] = "argument";

	(void)state;
	for (size_t k = 0; k < NELEMS(sizes); k++) {
		size_t n = sizes[k], steps = 1;
		struct element *v = mem_alloc((n + 1) * sizeof(*v));
		struct piece_sort s;

		for (size_t i = 0; i < n; i++)
			v[i] =
			    (struct element){ (uint32_t)(i * 2654435761u) >> 20,
				    (uint32_t)i };
		piece_sort_begin(&s, v, n, sizeof(*v), order_keys, arg);
		while (piece_sort_step(&s))
			steps++;
		v = piece_sort_take(&s);
		assert_true(steps >= n / 4096);
		for (size_t i = 1; i < n; i++)
			assert_true(v[i - 1].key < v[i].key ||
			    (v[i - 1].key == v[i].key &&
				v[i - 1].at < v[i].at));
		free(v);
	}
}

static void
sort_ends_anywhere(void **state)
{
	char arg[] = "argument";

	(void)state;
	for (unsigned k = 0; k < 12; k++) {
		struct element *v = mem_zalloc(12289, sizeof(*v));
		struct piece_sort s;

		piece_sort_begin(&s, v, 12289, sizeof(*v), order_keys, arg);
		for (unsigned i = 0; i < k && piece_sort_step(&s); i++)
			;
		piece_sort_fini(&s);
	}
}

/* --- unique-ids ----------------------------------------------------------- */

/* The place of a message in the listing: its UIDs aren't in that order. */
static unsigned
place_of(unsigned i)
{
	return i * 7919 % MANY;
}

/* A mailbox with as many messages as the database knows sizes of. */
static struct mailbox *
open_many(struct fixture *f)
{
	FILE *out;
	struct mailbox *m;

	fresh_tree(f, "INBOX");
	out = fopen(fixture_path(f, "courierimapuiddb"), "w");
	assert_non_null(out);
	(void)fprintf(out, "1 %u %u\n", VALIDITY, MANY + 1);
	for (unsigned i = 0; i < MANY; i++)
		(void)fprintf(out, "%u %u.M1P1.host,S=40\n", i + 1,
		    1000000 + place_of(i));
	assert_int_equal(fclose(out), 0);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	return m;
}

static void
know_sizes(struct mailbox *m)
{
	for (uint32_t seq = 1; seq <= m->shown->count; seq++) {
		uint32_t i;
		const struct chunk *c = view_at(m->shown, seq, &i);

		chunk_fixed(c, i)->wire_size = 40;
		chunk_fixed(c, i)->ending = ENDING_LINE;
	}
}

static char names[2];
static const struct waker one = { NULL, &names[0] }, two = { NULL, &names[1] };

static enum step
step(struct mailbox *m, struct waker w, struct pop3_entry **v)
{
	size_t n = 0;
	int result = 0;
	enum step st = mailbox_pop3_list(m, w, 1, v, &n, &result);

	assert_true(st == STEP_YIELD || st == STEP_DONE);
	if (st == STEP_DONE) {
		assert_int_equal(result, 0);
		assert_int_equal(n, MANY);
	}
	return st;
}

/* All in the order of their names, each with an id of its own. */
static void
assert_all(const struct pop3_entry *v)
{
	bool *seen = mem_zalloc(8 * MANY, sizeof(*seen));

	for (unsigned i = 0; i < MANY; i++) {
		unsigned n, validity;

		assert_int_equal(place_of(v[i].uid - 1), i);
		assert_int_equal(
		    sscanf(v[i].unique_id, "UID%u-%u", &n, &validity), 2);
		assert_int_equal(validity, VALIDITY);
		assert_true(n < 8 * MANY && !seen[n]);
		seen[n] = true;
	}
	free(seen);
}

static void
assert_same(const struct pop3_entry *a, const struct pop3_entry *b)
{
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(a[i].uid, b[i].uid);
		assert_string_equal(a[i].unique_id, b[i].unique_id);
	}
}

/* Each message is looked at four times, or sorted, in a listing, and more often
 * if it gets an id: no call does more than PIECE_WORK of that. */
static void
lists_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_many(f);
	struct pop3_entry *first = NULL, *again = NULL;
	unsigned n = 1;

	know_sizes(m);
	for (; step(m, one, &first) != STEP_DONE; n++)
		assert_true(n < CALLS_MAX);
	assert_true(n > 8 * MANY / PIECE_WORK);
	assert_all(first);
	for (unsigned i = 0; i < MANY; i++) {
		char id[64];

		(void)snprintf(id, sizeof(id), "UID%u-%u", i + 1, VALIDITY);
		assert_string_equal(first[i].unique_id, id);
	}
	for (n = 1; step(m, one, &again) != STEP_DONE; n++)
		assert_true(n < CALLS_MAX);
	assert_in_range(n, 4 * MANY / PIECE_WORK, 12 * MANY / PIECE_WORK);
	assert_same(first, again);
	assert_null(m->pop3_jobs);
	free(first);
	free(again);
	mailbox_close(&m);
}

/* Two sessions that come at the same time are shown the same. */
static void
sessions_list_side_by_side(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_many(f);
	struct pop3_entry *v[2] = { NULL, NULL };

	know_sizes(m);
	while (v[0] == NULL || v[1] == NULL) {
		if (v[0] == NULL)
			(void)step(m, one, &v[0]);
		if (v[1] == NULL)
			(void)step(m, two, &v[1]);
	}
	assert_all(v[0]);
	assert_same(v[0], v[1]);
	free(v[0]);
	free(v[1]);
	/* one that goes away leaves nothing behind */
	assert_int_equal(step(m, one, &v[0]), STEP_YIELD);
	assert_non_null(m->pop3_jobs);
	mailbox_forget_waker(m, one.arg);
	assert_null(m->pop3_jobs);
	mailbox_close(&m);
}

/* Another process gives ids while this one does: both tell the same. */
static void
processes_give_at_a_time(void **state)
{
	struct fixture *f = *state, other;
	struct mailbox *m = open_many(f), *theirs;
	struct pop3_entry *v[2] = { NULL, NULL };

	know_sizes(m);
	other = *f;
	fixture_open(&other);
	theirs = open_mailbox(&other, "INBOX");
	know_sizes(theirs);
	while (v[0] == NULL || v[1] == NULL) {
		if (v[0] == NULL)
			(void)step(m, one, &v[0]);
		if (v[1] == NULL)
			(void)step(theirs, one, &v[1]);
	}
	assert_all(v[0]);
	assert_same(v[0], v[1]);
	free(v[0]);
	free(v[1]);
	mailbox_close(&m);
	mailbox_close(&theirs);
	fixture_close(&other);
}

/* Ended after each so many pieces: what was written stays, and the rest gets
 * numbers that nobody has. */
static void
goes_on_after_an_end(void **state)
{
	struct fixture *f = *state;
	bool through = false;

	for (unsigned k = 9; !through; k += 5) {
		struct mailbox *m = open_many(f);
		struct pop3_entry *v = NULL;
		struct pop3_ids before, after;

		know_sizes(m);
		for (unsigned n = 0; !through && n < k; n++)
			through = step(m, one, &v) == STEP_DONE;
		free(v);
		v = NULL;
		mailbox_close(&m);
		fixture_reopen(f);
		m = open_mailbox(f, "INBOX");
		know_sizes(m);
		pop3_ids_init(&before);
		pop3_ids_init(&after);
		assert_int_equal(pop3_ids_load(m, &before, NULL), 0);
		while (step(m, one, &v) != STEP_DONE)
			;
		assert_all(v);
		assert_int_equal(pop3_ids_load(m, &after, NULL), 0);
		for (size_t i = 0; i < before.n; i++)
			assert_int_equal(before.v[i].n,
			    pop3_ids_find(&after, before.v[i].uid)->n);
		pop3_ids_fini(&before);
		pop3_ids_fini(&after);
		free(v);
		mailbox_close(&m);
	}
}

/* --- Courier's files ------------------------------------------------------ */

/* The way back reads ids, and the order of its list, in pieces. */
static void
prepares_an_export_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_many(f);
	struct export_files x;
	struct pop3_entry *v = NULL;
	unsigned n = 1;
	int rc;

	know_sizes(m);
	while (step(m, one, &v) != STEP_DONE)
		;
	free(v);
	export_files_begin(&x, m);
	while ((rc = export_files_prepare(&x, NULL)) == 1)
		assert_true(++n < CALLS_MAX);
	assert_int_equal(rc, 0);
	assert_true(n >= 3 * MANY / PIECE_WORK);
	assert_int_equal(x.list.n, MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(place_of(x.list.v[i].seq - 1), i);
	assert_int_equal(x.pop3_next, MANY + 1);
	export_files_fini(&x);
	/* nor does it matter where it ends */
	for (unsigned k = 0; k < n; k++) {
		export_files_begin(&x, m);
		for (unsigned i = 0; i < k; i++)
			(void)!export_files_prepare(&x, NULL);
		export_files_fini(&x);
	}
	mailbox_close(&m);
}

/* A large message is read in pieces for its size. */
static void
reads_a_large_message_in_pieces(void **state)
{
	enum { BYTES = 4 * 1024 * 1024 };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *text = mem_alloc(BYTES + 1);
	struct pop3_entry *v = NULL;
	unsigned pieces = 0;
	size_t n = 0;
	int rc = 0;

	memset(text, 'x', BYTES);
	for (size_t i = 79; i < BYTES; i += 80)
		text[i] = '\n';
	text[BYTES - 1] = '\n';
	text[BYTES] = '\0';
	put_cur(f, "1.M1:2,", "one\n");
	put_cur(f, "2.M2:2,", text);
	refresh(f, m);
	while (mailbox_pop3_list(m, (struct waker){ 0 }, 1, &v, &n, &rc) !=
	    STEP_DONE)
		pieces++;
	assert_int_equal(rc, 0);
	assert_int_equal(n, 2);
	assert_int_equal(v[1].size, BYTES + BYTES / 80 + 1);
	assert_true(pieces >= 8);
	free(v);
	free(text);
	mailbox_close(&m);
}

/* None is left out because its file can't be opened just then: to the client it
 * would be new the next time. */
static void
leaves_nothing_out(void **state)
{
	enum { N = 200 };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct rlimit before, low;
	struct pop3_entry *v = NULL;
	enum step step;
	int rc = 0, fd;
	size_t n = 0;

	put_many(f, "cur/", N, ".M1:2,", "one\n");
	refresh(f, m);
	fd = dup(0);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = (rlim_t)fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	step = mailbox_pop3_list(m, (struct waker){ 0 }, 1, &v, &n, &rc);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	if (step != STEP_DONE)
		rc = run_pop3(m, &v, &n);
	if (rc == 0)
		assert_int_equal(n, N);
	else
		assert_int_equal(rc, ERR_TEMPORARY);
	free(v);
	assert_int_equal(run_pop3(m, &v, &n), 0);
	assert_int_equal(n, N);
	free(v);
	mailbox_close(&m);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorts_any_number),
		cmocka_unit_test(sort_ends_anywhere),
		CASE(lists_in_pieces),
		CASE(reads_a_large_message_in_pieces),
		CASE(leaves_nothing_out),
		CASE(sessions_list_side_by_side),
		CASE(processes_give_at_a_time),
		CASE(goes_on_after_an_end),
		CASE(prepares_an_export_in_pieces),
	};

	return cmocka_run_group_tests_name("listing", tests, NULL, NULL);
}
