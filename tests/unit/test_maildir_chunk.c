/*
 * Chunks: as they are in the database, and as they are used.
 */
#include "base/mem.h"
#include "maildir/chunk.h"
#include "maildir/edit.h"
#include "maildir/file_name.h"
#include "tests/support/maildir_fixture.h"

/* Names that repeat much, little, or nothing of one another, up to the longest
 * there are, and sizes in all spellings. */
static char *
some_name(uint32_t i)
{
	static const char *const sizes[] = { "", ",S=0", ",S=5", ",S=05",
		",S=", ",S=123456789012345678", ",S=1234567890123456789",
		",S=7,W=8", "S=3", "," };

	if (i == 0)
		return mem_strdup(",S=12");
	if (i % 50 == 1)
		return mem_printf("%0*u", 255, i);
	if (i % 50 == 2)
		return mem_printf("%0*u,S=77", 250, i);
	return mem_printf("%u.M%uP1.host%.*s%s", 1700000000 + i / 7, i,
	    (int)(i % 9), "aaaaaaaa", sizes[i % NELEMS(sizes)]);
}

struct blobs {
	struct buf fixed, names, state;
};

static void
encode(const struct chunk *c, struct blobs *b)
{
	buf_init(&b->fixed, CHUNK_BLOB_MAX);
	buf_init(&b->names, CHUNK_BLOB_MAX);
	buf_init(&b->state, CHUNK_BLOB_MAX);
	chunk_encode_fixed(c, &b->fixed);
	chunk_encode_names(c, &b->names);
	chunk_encode_state(c, &b->state);
}

static struct chunk *
decode(uint32_t first, const struct blobs *b)
{
	return chunk_decode(first, buf_slice(&b->fixed), buf_slice(&b->names),
	    buf_slice(&b->state));
}

static void
blobs_fini(struct blobs *b)
{
	buf_fini(&b->fixed);
	buf_fini(&b->names);
	buf_fini(&b->state);
}

/* As it is after it was written and read. */
static struct chunk *
reread(const struct chunk *c)
{
	struct blobs b;
	struct chunk *d;

	encode(c, &b);
	d = decode(c->first, &b);
	assert_non_null(d);
	blobs_fini(&b);
	return d;
}

static void
assert_same(const struct chunk *a, const struct chunk *b)
{
	assert_int_equal(a->n, b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		const struct message *m = chunk_message(a, i);
		const struct message *n = chunk_message(b, i);
		const struct fixed *x = chunk_fixed(a, i);
		const struct fixed *y = chunk_fixed(b, i);

		assert_int_equal(m->uid, n->uid);
		assert_int_equal(m->flags, n->flags);
		assert_int_equal(m->modseq, n->modseq);
		assert_int_equal(m->keywords, n->keywords);
		assert_int_equal(chunk_place(a, i), chunk_place(b, i));
		assert_true(slice_eq(chunk_base(a, i), chunk_base(b, i)));
		assert_true(slice_eq(chunk_odd(a, i), chunk_odd(b, i)));
		assert_int_equal(x->internal_ms, y->internal_ms);
		assert_int_equal(x->save_ms, y->save_ms);
		assert_int_equal(x->file_size, y->file_size);
		assert_int_equal(x->wire_size, y->wire_size);
		assert_int_equal(x->synced, y->synced);
		assert_int_equal(x->header, y->header);
		assert_int_equal(x->ending, y->ending);
		assert_int_equal(x->email_id, y->email_id);
	}
}

/* All kinds of names, sizes and states; UIDs 7, 10, 13 … */
static struct chunk *
odd_chunk(void)
{
	struct chunk *c = chunk_new(7);

	for (uint32_t i = 0; i < CHUNK_MAX; i++) {
		uint64_t place = i % 2 ? PLACE_NEW : PLACE_INFO | PLACE_ODD;
		struct message m = { .uid = 7 + 3 * i,
			.flags = place_flags(place),
			.keywords = i,
			.modseq = UINT64_MAX - i };
		struct fixed x = { -5, TIME_UNKNOWN, SIZE_UNKNOWN, i,
			(enum ending)(i % 3), (enum header_bytes)(i % 3), i,
			i % 2 != 0 };
		char *base = some_name(i);

		chunk_append(c, &m, place, slice_str(base),
		    i % 2 ? SLICE("") : SLICE(":2,SS"), &x);
		free(base);
	}
	return c;
}

/* n messages as of a usual mailbox, that are in cur/ and seen. */
static struct chunk *
plain_chunk(uint32_t first, uint32_t n)
{
	struct chunk *c = chunk_new(first);
	const struct fixed x = { .internal_ms = 1, .file_size = 2 };
	const uint64_t place = PLACE_INFO | place_letter('S');

	for (uint32_t i = 0; i < n; i++) {
		struct message m = { .uid = first + i,
			.flags = MESSAGE_SEEN,
			.modseq = 100 + i };
		char *base = mem_printf("%u.M%uP1.host,S=2", 1700000000 + i, i);

		chunk_append(c, &m, place, slice_str(base), SLICE(""), &x);
		free(base);
	}
	return c;
}

/* --- on disk -------------------------------------------------------------- */

static void
is_read_as_written(void **state)
{
	struct chunk *c = odd_chunk(), *d = reread(c);

	(void)state;
	assert_same(c, d);
	chunk_unref(&d);
	chunk_unref(&c);
}

static void
damage_is_noticed(void **state)
{
	struct chunk *c = odd_chunk();
	struct blobs b;
	struct buf *each[] = { &b.fixed, &b.names, &b.state };

	(void)state;
	encode(c, &b);
	for (size_t which = 0; which < NELEMS(each); which++) {
		const struct slice whole = buf_slice(each[which]);

		for (size_t at = 0; at < whole.n; at += 37) {
			struct slice v[3] = { buf_slice(&b.fixed),
				buf_slice(&b.names), buf_slice(&b.state) };

			each[which]->p[at] ^= 0x10;
			assert_null(decode(7, &b));
			each[which]->p[at] ^= 0x10;
			v[which].n = at;
			assert_null(chunk_decode(7, v[0], v[1], v[2]));
		}
	}
	blobs_fini(&b);
	chunk_unref(&c);
}

/* A file ":2,S" alone: no text at all. */
static void
name_may_be_empty(void **state)
{
	struct chunk *c = chunk_new(1), *d;
	const struct message m = { .uid = 1 };
	const struct fixed x = { 0 };

	(void)state;
	chunk_append(c, &m, PLACE_INFO, SLICE(""), SLICE(""), &x);
	d = reread(c);
	assert_int_equal(d->n, 1);
	assert_int_equal(chunk_base(d, 0).n, 0);
	chunk_unref(&c);
	chunk_unref(&d);
}

/* --- packed --------------------------------------------------------------- */

static bool
is_packed(const struct chunk *c)
{
	return c->packed_state.p != NULL && c->body->packed_fixed.p != NULL &&
	    c->body->packed_names.p != NULL;
}

static void
assert_told_packed(const struct chunk *c)
{
	struct chunk *d = reread(c);

	for (uint32_t i = 0; i < c->n; i++)
		assert_int_equal(chunk_uid(d, i), chunk_uid(c, i));
	assert_int_equal(chunk_count_new(d), chunk_count_new(c));
	assert_int_equal(chunk_highest_modseq(d), chunk_highest_modseq(c));
	assert_true(is_packed(d));
	assert_same(c, d);
	assert_false(is_packed(d));
	for (uint32_t i = 0; i < c->n; i++)
		assert_int_equal(chunk_uid(d, i), chunk_uid(c, i));
	assert_int_equal(chunk_count_new(d), chunk_count_new(c));
	assert_int_equal(chunk_highest_modseq(d), chunk_highest_modseq(c));
	chunk_unref(&d);
}

static void
says_what_select_asks_for(void **state)
{
	struct chunk *odd = odd_chunk(), *plain = plain_chunk(5, 200), *d;

	(void)state;
	assert_told_packed(odd);
	assert_told_packed(plain);
	d = reread(plain);
	assert_true(chunk_all_seen(d));
	chunk_unref(&d);
	d = reread(odd);
	assert_false(chunk_all_seen(d));
	chunk_unref(&d);
	chunk_unref(&odd);
	chunk_unref(&plain);
}

/* Each part by itself. */
static void
unpacks_what_is_asked_for(void **state)
{
	struct chunk *c = plain_chunk(5, 200), *d = reread(c);

	(void)state;
	assert_int_equal(chunk_message(d, 3)->modseq, 103);
	assert_null(d->packed_state.p);
	assert_non_null(d->body->packed_fixed.p);
	assert_int_equal(chunk_fixed(d, 3)->file_size, 2);
	assert_null(d->body->packed_fixed.p);
	assert_non_null(d->body->packed_names.p);
	assert_true(slice_eq(chunk_base(d, 3), chunk_base(c, 3)));
	assert_null(d->body->packed_names.p);
	assert_same(c, d);
	chunk_unref(&d);
	chunk_unref(&c);
}

static void
floor_holds_before_and_after(void **state)
{
	struct chunk *c = plain_chunk(1, 10), *d = reread(c);

	(void)state;
	chunk_set_modseq_floor(d, 105);
	assert_int_equal(chunk_highest_modseq(d), 109);
	assert_int_equal(chunk_message(d, 0)->modseq, 105);
	assert_int_equal(chunk_message(d, 9)->modseq, 109);
	chunk_set_modseq_floor(d, 107);
	assert_int_equal(chunk_message(d, 0)->modseq, 107);
	chunk_unref(&d);
	d = reread(c);
	chunk_set_modseq_floor(d, 500);
	assert_int_equal(chunk_highest_modseq(d), 500);
	assert_int_equal(chunk_message(d, 9)->modseq, 500);
	chunk_unref(&d);
	chunk_unref(&c);
}

static void
was_not_saved_before_the_floor(void **state)
{
	struct chunk *c = plain_chunk(1, 10), *d;

	(void)state;
	chunk_fixed(c, 3)->save_ms = 2000;
	d = reread(c);
	chunk_set_save_floor(d, 1000);
	assert_int_equal(chunk_fixed(d, 2)->save_ms, 1000);
	assert_int_equal(chunk_fixed(d, 3)->save_ms, 2000);
	/* as one that was never packed */
	chunk_set_save_floor(d, 1500);
	assert_int_equal(chunk_fixed(d, 2)->save_ms, 1500);
	assert_int_equal(chunk_fixed(d, 3)->save_ms, 2000);
	chunk_unref(&d);
	chunk_unref(&c);
}

/* A copy, and what is added to one that was read. */
static void
is_changed_as_any_other(void **state)
{
	struct chunk *c = odd_chunk(), *read = reread(c);
	struct chunk *d = chunk_clone(read);
	const struct message m = { .uid = 900, .modseq = 5 };
	const struct fixed x = { .file_size = 3 };

	(void)state;
	assert_same(c, d);
	chunk_set_place(d, 1, PLACE_INFO | PLACE_ODD, SLICE(":2,SS"));
	assert_true(slice_eq(chunk_odd(d, 1), SLICE(":2,SS")));
	assert_same(c, read);
	chunk_unref(&d);
	chunk_unref(&read);
	chunk_unref(&c);
	c = plain_chunk(1, 10);
	read = reread(c);
	d = chunk_clone(read);
	chunk_unref(&read);
	chunk_append(d, &m, PLACE_NEW, SLICE("base"), SLICE(""), &x);
	chunk_append(c, &m, PLACE_NEW, SLICE("base"), SLICE(""), &x);
	assert_same(c, d);
	chunk_unref(&d);
	chunk_unref(&c);
}

/* What SELECT does with a mailbox that nobody has changed meanwhile. */
static void
select_unpacks_nothing(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uids[] = { 1, 2, 3 };
	struct view *v;

	for (int i = 0; i < 3; i++)
		deliver(f, "", "x");
	refresh(f, m);
	assert_int_equal(
	    run_flags(f, m, uids, 3, FLAGS_ADD, MESSAGE_SEEN, NULL), 0);
	f->wall_ms += 3000;
	refresh(f, m);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	v = mailbox_view(m);
	assert_int_equal(view_count(v), 3);
	assert_int_equal(view_find_unseen(v), 0);
	assert_int_equal(view_lower_bound(v, 3), 3);
	assert_int_equal(view_find(v, 2), 2);
	assert_int_equal(m->n_new, 0);
	assert_int_equal(m->head->n_chunks, 1);
	assert_false(chunk_has_names(m->head->v[0]));
	assert_int_equal(mailbox_need_names(m, NULL, NULL), 0);
	assert_true(is_packed(m->head->v[0]));
	assert_listing(m, "1:S 2:S 3:S");
	view_unref(&v);
	mailbox_close(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_read_as_written),
		cmocka_unit_test(damage_is_noticed),
		cmocka_unit_test(name_may_be_empty),
		cmocka_unit_test(says_what_select_asks_for),
		cmocka_unit_test(unpacks_what_is_asked_for),
		cmocka_unit_test(floor_holds_before_and_after),
		cmocka_unit_test(was_not_saved_before_the_floor),
		cmocka_unit_test(is_changed_as_any_other),
		cmocka_unit_test_setup_teardown(
		    select_unpacks_nothing, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
