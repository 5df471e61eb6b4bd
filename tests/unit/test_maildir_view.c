/*
 * Views and the index against plain models, with random changes.
 */
#include "base/mem.h"
#include "maildir/chunk.h"
#include "maildir/edit.h"
#include "maildir/file_name.h"
#include "maildir/index.h"
#include "tests/support/dice.h"
#include "tests/support/maildir_fixture.h"

enum { MODEL_MAX = 3000 };

struct model {
	struct message v[MODEL_MAX];
	uint32_t n;
};

static void
take(struct mailbox *m, struct model *out)
{
	struct view *v = mailbox_view(m);

	out->n = view_count(v);
	for (uint32_t seq = 1; seq <= out->n; seq++)
		out->v[seq - 1] = *view_get(v, seq);
	view_unref(&v);
}

static void
assert_same(const struct model *a, const struct model *b)
{
	assert_int_equal(a->n, b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		assert_int_equal(a->v[i].uid, b->v[i].uid);
		assert_int_equal(a->v[i].flags, b->v[i].flags);
		assert_int_equal(a->v[i].modseq, b->v[i].modseq);
	}
}

/* Apply the differences to what an old view had: it must give the new one. */
static void
check_diff(const struct view *from, const struct view *to)
{
	struct view_diff d;
	const struct message *m;
	enum view_change change;
	struct model got = { .n = 0 }, expected = { .n = 0 };
	uint32_t seq, at = 1;

	view_diff_init(&d, from, to);
	while ((change = view_diff_next(&d, &seq, &m)) != VIEW_SAME_END) {
		uint32_t stop = m->uid;

		while (at <= view_count(from) && view_get(from, at)->uid < stop)
			got.v[got.n++] = *view_get(from, at++);
		if (change == VIEW_EXPUNGED) {
			assert_int_equal(seq, at);
			at++;
			continue;
		}
		assert_ptr_equal(m, view_get(to, seq));
		if (change == VIEW_FLAGS)
			at++;
		got.v[got.n++] = *m;
	}
	while (at <= view_count(from))
		got.v[got.n++] = *view_get(from, at++);
	for (seq = 1; seq <= view_count(to); seq++)
		expected.v[expected.n++] = *view_get(to, seq);
	assert_same(&got, &expected);
}

static void
check_lookups(const struct view *v)
{
	uint32_t before = 0, unseen = 0;

	for (uint32_t seq = 1; seq <= view_count(v); seq++) {
		uint32_t uid = view_get(v, seq)->uid;

		if (unseen == 0 && !(view_get(v, seq)->flags & MESSAGE_SEEN))
			unseen = seq;
		assert_true(uid > before);
		assert_int_equal(view_find(v, uid), seq);
		assert_int_equal(view_lower_bound(v, uid), seq);
		assert_int_equal(view_lower_bound(v, before + 1), seq);
		if (uid != before + 1)
			assert_int_equal(view_find(v, before + 1), 0);
		before = uid;
	}
	assert_int_equal(view_lower_bound(v, before + 1), view_count(v) + 1);
	assert_int_equal(view_find(v, before + 1), 0);
	assert_int_equal(view_find_unseen(v), unseen);
}

static void
add_some(struct edit *ed, struct model *model, uint32_t n)
{
	static unsigned serial;
	const struct fixed fixed = { 1, 2, 3, 4, ENDING_LINE, HEADER_UNKNOWN, 0,
		false };

	for (; n > 0 && model->n < MODEL_MAX; n--) {
		char *name = mem_printf("%u.x", serial++);
		struct file_name f = { .base = slice_str(name),
			.place = PLACE_INFO };
		uint32_t uid;

		assert_int_equal(edit_append(ed, &f, 0, &fixed, &uid, NULL), 0);
		model->v[model->n++] =
		    (struct message){ .uid = uid, .modseq = ed->modseq };
		free(name);
	}
}

static void
flag_some(struct edit *ed, struct model *model, uint32_t n)
{
	for (; n > 0 && model->n > 0; n--) {
		struct message *m = &model->v[dice(model->n)];
		uint32_t flags = dice(64), i;
		size_t at;

		if (!edit_find(ed, m->uid, &at, &i))
			fail();
		edit_set(ed, at, i,
		    place_with_flags(chunk_place(ed->v[at], i), flags),
		    slice_of(NULL, 0), 0);
		if (flags != m->flags)
			m->modseq = ed->modseq;
		m->flags = flags;
	}
}

static void
remove_some(struct edit *ed, struct model *model, uint32_t n)
{
	for (; n > 0 && model->n > 0; n--) {
		uint32_t k = dice(model->n), i;
		size_t at;

		if (!edit_find(ed, model->v[k].uid, &at, &i))
			fail();
		edit_remove(ed, at, i);
		memmove(&model->v[k], &model->v[k + 1],
		    (model->n - k - 1) * sizeof(model->v[0]));
		model->n--;
	}
}

static void
random_changes(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct model *model = MEM_NEW(struct model),
		     *seen = MEM_NEW(struct model),
		     *kept = MEM_NEW(struct model);
	struct view *old = mailbox_view(m);

	for (int round = 0; round < 300; round++) {
		struct edit ed;
		struct view *now;

		assert_int_equal(edit_begin(&ed, m, NULL), 0);
		add_some(&ed, model, dice(40));
		flag_some(&ed, model, dice(10));
		remove_some(&ed, model, dice(round % 50 == 49 ? 2000 : 30));
		add_some(&ed, model, dice(4));
		if (dice(10) == 0) {
			edit_abort(&ed);
			take(m, model);
			continue;
		}
		assert_int_equal(edit_commit(&ed, NULL), 0);
		m->durable_uidnext = m->uidnext;
		mailbox_publish(m);
		take(m, seen);
		assert_same(model, seen);
		now = mailbox_view(m);
		check_diff(old, now);
		check_diff(now, now);
		check_lookups(now);
		if (dice(3) == 0) {
			view_unref(&old);
			old = view_ref(now);
		}
		view_unref(&now);
		if (dice(40) == 0) {
			/* an old view keeps what it had */
			take(m, kept);
			view_unref(&old);
			mailbox_close(&m);
			fixture_reopen(f);
			m = open_mailbox(f, "INBOX");
			take(m, seen);
			assert_same(kept, seen);
			old = mailbox_view(m);
		}
	}
	view_unref(&old);
	mailbox_close(&m);
	free(model);
	free(seen);
	free(kept);
}

static unsigned
rows_of_chunks(struct fixture *f)
{
	sqlite3_stmt *s;
	int n;

	assert_int_equal(sqlite3_prepare_v2(f->account->db.h,
			     "SELECT (SELECT count(*) FROM chunk_fixed) = n"
			     " AND (SELECT count(*) FROM chunk_names) = n, n"
			     " FROM (SELECT count(*) AS n FROM chunk_state)",
			     -1, &s, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	assert_true(sqlite3_column_int(s, 0));
	n = sqlite3_column_int(s, 1);
	(void)sqlite3_finalize(s);
	return (unsigned)n;
}

/* A message alone doesn't have all the chunk before it written anew; chunks
 * are as large in the end as those of messages that come together. */
static void
last_chunk_stays_small(void **state)
{
	struct fixture *f = *state;
	struct fixture other = *f;
	struct mailbox *m = open_mailbox(f, "INBOX"), *theirs;
	struct model *model = MEM_NEW(struct model), *seen;
	struct edit ed;
	struct view *kept = NULL;

	seen = MEM_NEW(struct model);
	fixture_open(&other);
	theirs = open_mailbox(&other, "INBOX");
	for (uint32_t i = 1; i <= 1000; i++) {
		const struct view *v;

		assert_int_equal(edit_begin(&ed, m, NULL), 0);
		add_some(&ed, model, 1);
		assert_int_equal(edit_commit(&ed, NULL), 0);
		v = m->head;
		assert_true(v->v[v->n_chunks - 1]->n <= 32);
		assert_true(v->n_chunks <= 2 + i / 200);
		assert_int_equal(rows_of_chunks(f), v->n_chunks);
		check_lookups(v);
		if (i == 32)
			kept = view_ref(m->head);
		/* by what was merged meanwhile, and what wasn't */
		if (i % 7 == 0 || i % 32 == 0) {
			assert_int_equal(mailbox_check(theirs, NULL), 0);
			theirs->durable_uidnext = theirs->uidnext;
			mailbox_publish(theirs);
			take(theirs, seen);
			assert_same(model, seen);
		}
	}
	assert_int_equal(view_count(kept), 32);
	check_diff(kept, m->head);
	view_unref(&kept);
	mailbox_close(&theirs);
	fixture_close(&other);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	take(m, seen);
	assert_same(model, seen);
	assert_int_equal(mailbox_need_names(m, NULL, NULL), 0);
	for (uint32_t i = 0; i < model->n; i += 100) {
		struct chunk *c;
		uint32_t k;

		assert_true(mailbox_find(m, model->v[i].uid, &c, &k));
		assert_int_equal(
		    mailbox_find_base(m, chunk_base(c, k)), model->v[i].uid);
		assert_int_equal(chunk_fixed(c, k)->file_size, 3);
	}
	mailbox_close(&m);
	free(model);
	free(seen);
}

/* What isn't committed leaves the chunks as they were. */
static void
merge_is_taken_back(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct model *model = MEM_NEW(struct model), *seen;
	struct edit ed;

	seen = MEM_NEW(struct model);
	for (uint32_t i = 0; i < 64; i++) {
		assert_int_equal(edit_begin(&ed, m, NULL), 0);
		add_some(&ed, model, 1);
		assert_int_equal(edit_commit(&ed, NULL), 0);
	}
	assert_int_equal(m->head->n_chunks, 2);
	assert_int_equal(edit_begin(&ed, m, NULL), 0);
	*seen = *model;
	add_some(&ed, seen, 1);
	assert_int_equal(ed.n, 2);
	assert_int_equal(ed.v[0]->n, 64);
	edit_abort(&ed);
	assert_int_equal(m->head->n_chunks, 2);
	m->durable_uidnext = m->uidnext;
	mailbox_publish(m);
	take(m, seen);
	assert_same(model, seen);
	/* all of the chunk before goes at the same time */
	assert_int_equal(edit_begin(&ed, m, NULL), 0);
	for (uint32_t i = 0; i < 32; i++) {
		uint32_t at;
		size_t k;

		assert_true(edit_find(&ed, model->v[i].uid, &k, &at));
		edit_remove(&ed, k, at);
	}
	model->n -= 32;
	memmove(model->v, model->v + 32, model->n * sizeof(model->v[0]));
	add_some(&ed, model, 1);
	assert_int_equal(edit_commit(&ed, NULL), 0);
	assert_int_equal(rows_of_chunks(f), 2);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	take(m, seen);
	assert_same(model, seen);
	mailbox_close(&m);
	free(model);
	free(seen);
}

static void
view_hides_what_is_not_durable(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct model *model = MEM_NEW(struct model);
	struct edit ed;

	assert_int_equal(edit_begin(&ed, m, NULL), 0);
	add_some(&ed, model, 700);
	assert_int_equal(edit_commit(&ed, NULL), 0);
	for (uint32_t durable = 701; durable > 0; durable -= 50) {
		struct view *v;

		m->durable_uidnext = durable;
		mailbox_publish(m);
		v = mailbox_view(m);
		assert_int_equal(view_count(v), durable - 1);
		assert_int_equal(view_uidnext(v), durable);
		check_lookups(v);
		view_unref(&v);
		if (durable < 50)
			break;
	}
	mailbox_close(&m);
	free(model);
}

static void
change_some(struct mailbox *m, struct model *model)
{
	struct edit ed;

	assert_int_equal(edit_begin(&ed, m, NULL), 0);
	add_some(&ed, model, dice(100));
	remove_some(&ed, model, dice(90));
	assert_int_equal(edit_commit(&ed, NULL), 0);
}

static void
assert_finds_all(struct mailbox *m, const struct model *model)
{
	for (uint32_t i = 0; i < model->n; i++) {
		struct chunk *c;
		uint32_t k;

		assert_true(mailbox_find(m, model->v[i].uid, &c, &k));
		assert_int_equal(
		    mailbox_find_base(m, chunk_base(c, k)), model->v[i].uid);
	}
	assert_int_equal(mailbox_find_base(m, SLICE("nobody")), 0);
}

static void
index_finds_names(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct model *model = MEM_NEW(struct model);

	for (int round = 0; round < 60; round++) {
		change_some(m, model);
		/* it is kept up from the first round on */
		assert_finds_all(m, model);
	}
	mailbox_close(&m);
	free(model);
}

/* It is made piece by piece, and messages come and go meanwhile. */
static void
index_grows_beside_changes(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct model *model = MEM_NEW(struct model);
	unsigned pieces = 0, made = 0;

	for (int round = 0; round < 200; round++) {
		int work = (int)dice(200);

		change_some(m, model);
		if (m->index == NULL)
			m->index = index_new(m->head);
		pieces++;
		if (!index_extend(m->index, m->head, &work))
			continue;
		assert_finds_all(m, model);
		index_free(&m->index);
		made++;
	}
	assert_in_range(made, 2, pieces - 2);
	mailbox_close(&m);
	free(model);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(random_changes),
		CASE(last_chunk_stays_small),
		CASE(merge_is_taken_back),
		CASE(view_hides_what_is_not_durable),
		CASE(index_finds_names),
		CASE(index_grows_beside_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
