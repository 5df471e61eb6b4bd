/* STORE, EXPUNGE, APPEND and COPY: what they leave in the Maildir and the
 * index. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/syncs.h"

static void
store_in_all_ways(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uid[] = { 1 };
	struct view *before, *after;

	deliver(f, "", "one");
	refresh(f, m);
	before = mailbox_view(m);
	assert_int_equal(run_flags(f, m, uid, 1, FLAGS_REPLACE,
			     MESSAGE_SEEN | MESSAGE_FLAGGED, "Foo"),
	    0);
	assert_listing(m, "1:FS(Foo)");
	after = mailbox_view(m);
	assert_true(view_highest_modseq(after) > view_highest_modseq(before));
	assert_true(view_get(after, 1)->modseq > view_get(before, 1)->modseq);
	assert_int_equal(view_get(before, 1)->flags, 0);
	view_unref(&before);
	view_unref(&after);
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_DRAFT, "bar"), 0);
	assert_listing(m, "1:DFS(Foo)(bar)");
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_REMOVE, MESSAGE_SEEN, "FOO"), 0);
	assert_listing(m, "1:DF(bar)");
	assert_non_null(strstr(message_path(m, 1), ":2,DF"));
	before = mailbox_view(m);
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_DRAFT, "BAR"), 0);
	after = mailbox_view(m);
	assert_true(view_highest_modseq(after) == view_highest_modseq(before));
	view_unref(&before);
	view_unref(&after);
	assert_int_equal(run_flags(f, m, uid, 1, FLAGS_REPLACE, 0, NULL), 0);
	assert_listing(m, "1");
	assert_int_equal(mailbox_n_keywords(m), 2);
	mailbox_close(&m);
}

static void
unchanged_since(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uids[] = { 1, 2, 77 };
	struct flags_change what = { FLAGS_ADD, MESSAGE_SEEN, NULL, 0, 0, NULL,
		0, false };
	const uint32_t *modified;
	size_t n_modified, missing;
	struct change_flags *c;
	struct view *v;

	deliver(f, "", "one");
	deliver(f, "", "two");
	refresh(f, m);
	v = mailbox_view(m);
	what.unchanged_since = view_highest_modseq(v);
	view_unref(&v);
	assert_int_equal(
	    run_flags(f, m, uids, 1, FLAGS_ADD, MESSAGE_FLAGGED, NULL), 0);
	assert_int_equal(change_flags_begin(m, uids, 3, &what, &c, NULL), 0);
	while (change_flags_step(c, (struct waker){ 0 }, 1, f->wall_ms) !=
	    STEP_DONE)
		;
	assert_int_equal(
	    change_flags_result(c, &modified, &n_modified, &missing), 0);
	assert_int_equal(n_modified, 1);
	assert_int_equal(modified[0], 1);
	assert_int_equal(missing, 1);
	change_flags_free(&c);
	assert_listing(m, "1:F 2:S");
	mailbox_close(&m);
}

static void
store_follows_foreign_renames(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t uids[] = { 1, 2, 3 };

	put_cur(f, "1.a:2,", "one");
	put_cur(f, "2.a:2,", "two");
	put_cur(f, "3.a:2,", "three");
	refresh(f, m);
	assert_int_equal(rename(fixture_path(f, "cur/1.a:2,"),
			     fixture_path(f, "cur/1.a:2,F")),
	    0);
	assert_int_equal(unlink(fixture_path(f, "cur/2.a:2,")), 0);
	assert_int_equal(
	    run_flags(f, m, uids, 3, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_listing(m, "1:FT 3:T");
	/* taken back behind our back: it must not be expunged */
	assert_int_equal(rename(fixture_path(f, "cur/3.a:2,T"),
			     fixture_path(f, "cur/3.a:2,")),
	    0);
	assert_int_equal(run_expunge(f, m, NULL, 0), 1);
	assert_listing(m, "3");
	mailbox_close(&m);
}

static void
expunge_only_what_is_named_and_deleted(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const uint32_t two[] = { 1, 3 }, one[] = { 1, 2 };

	for (int i = 0; i < 4; i++)
		deliver(f, "", "x");
	refresh(f, m);
	assert_int_equal(
	    run_flags(f, m, two, 2, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_int_equal(run_expunge(f, m, one, 2), 1);
	assert_listing(m, "2 3:T 4");
	assert_int_equal(run_remove(f, m, one, 2), 1);
	assert_listing(m, "3:T 4");
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	mailbox_close(&m);
}

/* What is stored of given bytes: CRLF is LF, the last line is whole. */
static size_t
stored(const char *in, size_t n, char *out)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (in[i] != '\r' || i + 1 == n || in[i + 1] != '\n')
			out[k++] = in[i];
	if (k == 0 || out[k - 1] != '\n')
		out[k++] = '\n';
	return k;
}

static void
append_line_ends(void **state)
{
	enum { N = 243, LEN = 5 };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct append *p;
	char in[N][LEN], out[LEN + 1];

	refresh(f, m);
	assert_int_equal(append_begin(f->account, SLICE("INBOX"), &p, NULL), 0);
	for (unsigned i = 0; i < N; i++) {
		for (unsigned k = 0, v = i; k < LEN; k++, v /= 3)
			in[i][k] = "a\r\n"[v % 3];
		assert_int_equal(
		    append_message(p, 0, NULL, 0, 1000, LEN, f->wall_ms, NULL),
		    0);
		for (unsigned k = 0; k < LEN; k += 1 + i % LEN)
			assert_int_equal(
			    append_write(p,
				slice_first(
				    slice_of(in[i] + k, LEN - k), 1 + i % LEN),
				NULL),
			    0);
		assert_int_equal(append_message_end(p, NULL), 0);
	}
	while (
	    append_commit(p, (struct waker){ 0 }, 1, f->wall_ms) != STEP_DONE)
		;
	append_free(&p);
	for (unsigned i = 0; i < N; i++) {
		struct message_info info;
		size_t n = stored(in[i], LEN, out), wire = n;

		for (size_t k = 0; k < n; k++)
			wire +=
			    out[k] == '\n' && (k == 0 || out[k - 1] != '\r');
		assert_int_equal(mailbox_message_info(m, i + 1, &info), 0);
		assert_int_equal(info.file_size, n);
		assert_int_equal(info.wire_size, wire);
	}
	mailbox_close(&m);
}

static void
append_takes_back(void **state)
{
	struct fixture *f = *state;
	struct append *p;
	const uint32_t *uids;
	uint32_t validity;
	uint8_t bytes[16];
	size_t n;
	int fd = -1;

	assert_int_equal(append_begin(f->account, SLICE("INBOX"), &p, NULL), 0);
	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1000, 4, f->wall_ms, NULL), 0);
	append_keep_raw(p);
	assert_int_equal(append_write(p, SLICE("a\r\n\nb\r"), NULL), 0);
	assert_int_equal(append_message_end(p, NULL), 0);
	assert_int_equal(append_take_back(p, &fd, NULL), 0);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 6);
	assert_memory_equal(bytes, "a\r\n\nb\r", 6);
	assert_int_equal(close(fd), 0);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	/* what comes next isn't raw, and it's the only one */
	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1000, 4, f->wall_ms, NULL), 0);
	assert_int_equal(append_write(p, SLICE("a\r\n"), NULL), 0);
	assert_int_equal(append_message_end(p, NULL), 0);
	while (
	    append_commit(p, (struct waker){ 0 }, 1, f->wall_ms) != STEP_DONE)
		;
	assert_int_equal(append_result(p, &validity, &uids, &n), 0);
	assert_int_equal(n, 1);
	append_free(&p);
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
}

static void
multiappend_is_one(void **state)
{
	enum { N_MANY = 50 };
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct append *p;
	const uint32_t *uids;
	uint32_t validity;
	size_t n;

	refresh(f, m);
	assert_int_equal(append_begin(f->account, SLICE("INBOX"), &p, NULL), 0);
	/* more than are kept open */
	for (int i = 0; i < N_MANY; i++) {
		assert_int_equal(
		    append_message(p, 0, NULL, 0, 1000, 4, f->wall_ms, NULL),
		    0);
		assert_int_equal(append_write(p, SLICE("mess"), NULL), 0);
		assert_int_equal(append_write(p, SLICE("age\r"), NULL), 0);
		assert_int_equal(append_write(p, SLICE("\n"), NULL), 0);
		assert_int_equal(append_message_end(p, NULL), 0);
	}
	assert_listing(m, "");
	while (
	    append_commit(p, (struct waker){ 0 }, 1, f->wall_ms) != STEP_DONE)
		;
	assert_int_equal(append_result(p, &validity, &uids, &n), 0);
	assert_int_equal(n, N_MANY);
	assert_int_equal(validity, mailbox_uidvalidity(m));
	for (uint32_t i = 0; i < N_MANY; i++)
		assert_int_equal(uids[i], i + 1);
	append_free(&p);
	assert_int_equal(count_files(fixture_path(f, "cur")), N_MANY);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	/* given up before the commit: nothing is left */
	assert_int_equal(append_begin(f->account, SLICE("INBOX"), &p, NULL), 0);
	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1000, 4, f->wall_ms, NULL), 0);
	assert_int_equal(append_write(p, SLICE("mess"), NULL), 0);
	append_free(&p);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	assert_int_equal(append_begin(f->account, SLICE("INBOX.no"), &p, NULL),
	    ERR_NOT_FOUND);
	mailbox_close(&m);
}

static void
copy_onto_itself_and_of_the_missing(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t uids[] = { 2, 1, 9 }, to[3] = { 0 };
	struct message_info a, b;

	put_cur(f, "1.a:2,Fq", "one");
	put_cur(f, "2.a:2,", "two");
	refresh(f, m);
	assert_int_equal(run_copy(f, m, uids, 3, "INBOX", false, to), 0);
	assert_int_equal(to[0], 3);
	assert_int_equal(to[1], 4);
	assert_listing(m, "1:F 2 3:F 4");
	assert_non_null(strstr(message_path(m, 3), ",S=3:2,Fq"));
	assert_int_equal(mailbox_message_info(m, 1, &a), 0);
	assert_int_equal(mailbox_message_info(m, 3, &b), 0);
	assert_int_equal(a.internal_ms, b.internal_ms);
	assert_int_equal(
	    run_copy(f, m, uids, 3, "INBOX.no", false, to), ERR_NOT_FOUND);
	assert_int_equal(run_copy(f, m, uids, 3, "INBOX", true, to), 0);
	assert_listing(m, "3:F 4 5:F 6");
	mailbox_close(&m);
}

/* A folder was removed, and made anew, by another program. */
static void
copy_into_what_took_its_place(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	const uint32_t uid[] = { 1 };
	uint32_t to;

	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	assert_int_equal(run_append(f, "INBOX", "one\n", 0, NULL, NULL), 0);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(run_copy(f, m, uid, 1, "INBOX.a", false, &to), 0);
	assert_int_equal(
	    rename(fixture_path(f, ".a"), fixture_path(f, ".b")), 0);
	assert_int_equal(
	    rename(fixture_path(f, ".b/tmp"), fixture_path(f, "aside")), 0);
	assert_int_equal(mkdir(fixture_path(f, ".a"), 0700), 0);
	assert_int_equal(mkdir(fixture_path(f, ".a/new"), 0700), 0);
	assert_int_equal(mkdir(fixture_path(f, ".a/cur"), 0700), 0);
	assert_int_equal(mkdir(fixture_path(f, ".a/tmp"), 0700), 0);
	assert_int_equal(run_copy(f, m, uid, 1, "INBOX.a", false, &to), 0);
	assert_int_equal(count_files(fixture_path(f, ".a/cur")), 1);
	assert_int_equal(count_files(fixture_path(f, ".b/cur")), 1);
	mailbox_close(&m);
}

/* Removed, and made anew, more than once: the number of the directory that was
 * last read may come again (on ext4 it does). */
static void
copy_into_what_was_made_anew(void **state)
{
	static const char *const dirs[] = { ".a", ".a/new", ".a/cur",
		".a/tmp" };
	struct fixture *f = *state;
	struct mailbox *m, *t;
	const uint32_t uid[] = { 1 };
	uint32_t to;

	assert_int_equal(create_now(f->account, SLICE("INBOX.a")), 0);
	assert_int_equal(run_append(f, "INBOX", "one\n", 0, NULL, NULL), 0);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	for (int i = 0; i < 10; i++) {
		char *name;

		assert_int_equal(
		    run_copy(f, m, uid, 1, "INBOX.a", false, &to), 0);
		assert_int_equal(count_files(fixture_path(f, ".a/cur")), 1);
		if (i == 0) {
			t = open_mailbox(f, "INBOX.a");
			refresh(f, t);
			mailbox_close(&t);
		}
		name = mem_printf("rm -r '%s'", fixture_path(f, ".a"));
		assert_int_equal(system(name), 0);
		free(name);
		for (size_t k = 0; k < NELEMS(dirs); k++)
			assert_int_equal(
			    mkdir(fixture_path(f, dirs[k]), 0700), 0);
	}
	mailbox_close(&m);
}

enum {
	LARGE = 9 * 1024 * 1024 + 17,
	PIECE = 4 * 1024 * 1024,
	WRITE = 64 * 1024,
};

static unsigned n_written;

/* No links, as between file systems; and how often bytes are written. */
static int
fail_links(const char *call, const char *path)
{
	(void)path;
	n_written += strcmp(call, "write") == 0;
	return strcmp(call, "link") == 0 ? EXDEV : 0;
}

static const struct waker nobody;

/* A large message and a small one, to be copied by links that fail. */
static struct mailbox *
deliver_large(struct fixture *f)
{
	char *text = mem_zalloc(1, LARGE + 1);
	struct mailbox *m = open_mailbox(f, "INBOX");

	for (size_t i = 0; i < LARGE; i++)
		text[i] = (char)('a' + i * i % 23);
	deliver(f, "", text);
	free(text);
	refresh(f, m);
	deliver(f, "", "small");
	mailbox_close(&m);
	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	f->syncer = &syncs_holder;
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	return m;
}

static struct change_copy *
begin_copy(struct fixture *f, struct mailbox *m)
{
	struct change_copy *c;

	assert_int_equal(change_copy_begin(m, f->account, SLICE("INBOX.t"),
			     (const uint32_t[]){ 1, 2 }, 2, false, &c, NULL),
	    0);
	n_written = 0;
	fsx_set_fault(fail_links);
	return c;
}

static enum step
copy_step(struct fixture *f, struct change_copy *c)
{
	return change_copy_step(c, nobody, clock_now(), f->wall_ms);
}

static void
read_large(struct mailbox *m, uint8_t *out)
{
	uint64_t size;
	int fd;

	assert_int_equal(mailbox_open_message(m, 1, &fd, &size, NULL), 0);
	assert_int_equal(size, LARGE);
	assert_int_equal(fsx_pread(fd, out, LARGE, 0), LARGE);
	(void)close(fd);
}

/* No step copies much itself, nor does a thread at once. */
static void
copy_of_large_files(void **state)
{
	static uint8_t from[LARGE], to[LARGE];
	struct fixture *f = *state;
	struct mailbox *m = deliver_large(f), *t;
	struct change_copy *c = begin_copy(f, m);
	unsigned before, pieces = 0;

	for (;;) {
		before = n_written;
		if (copy_step(f, c) == STEP_DONE)
			break;
		assert_true(n_written - before <= 4);
		before = n_written;
		(void)syncs_do_one();
		assert_true((n_written - before) * WRITE <= PIECE);
		pieces += n_written != before;
	}
	fsx_set_fault(NULL);
	assert_int_equal(pieces, 3);
	assert_int_equal(change_copy_result(c)->result, 0);
	change_copy_free(&c);
	t = open_mailbox(f, "INBOX.t");
	assert_listing(t, "1 2");
	read_large(m, from);
	read_large(t, to);
	assert_memory_equal(from, to, LARGE);
	mailbox_close(&t);
	mailbox_close(&m);
	syncs_do_all();
}

/* A thread has it just then, and lets it go. */
static void
copy_of_a_large_file_given_up(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = deliver_large(f);
	struct change_copy *c = begin_copy(f, m);

	while (n_written == 0) {
		assert_int_not_equal(copy_step(f, c), STEP_DONE);
		(void)syncs_do_one();
	}
	assert_int_equal(copy_step(f, c), STEP_WAIT_SYNC);
	assert_int_equal(count_files(fixture_path(f, ".t/tmp")), 1);
	change_copy_free(&c);
	assert_int_equal(count_files(fixture_path(f, ".t/tmp")), 0);
	syncs_do_all();
	fsx_set_fault(NULL);
	assert_int_equal(count_files(fixture_path(f, ".t/tmp")), 0);
	assert_int_equal(count_files(fixture_path(f, ".t/cur")), 0);
	mailbox_close(&m);
}

/* Its disk is full in the midst. */
static int
fail_late(const char *call, const char *path)
{
	int error = fail_links(call, path);

	return n_written * WRITE > PIECE + WRITE ? ENOSPC : error;
}

static void
copy_of_a_large_file_fails(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = deliver_large(f);
	struct change_copy *c = begin_copy(f, m);

	fsx_set_fault(fail_late);
	while (n_written * WRITE <= PIECE + WRITE) {
		assert_int_not_equal(copy_step(f, c), STEP_DONE);
		(void)syncs_do_one();
	}
	fsx_set_fault(NULL);
	while (copy_step(f, c) != STEP_DONE)
		syncs_do_all();
	assert_int_equal(change_copy_result(c)->result, ERR_SPACE);
	change_copy_free(&c);
	assert_int_equal(count_files(fixture_path(f, ".t/tmp")), 0);
	assert_int_equal(count_files(fixture_path(f, ".t/cur")), 0);
	mailbox_close(&m);
}

/* Where it would go has gone: that isn't a message that isn't there. */
static int
fail_creates(const char *call, const char *path)
{
	return strcmp(call, "create") == 0 ? ENOENT : fail_links(call, path);
}

static void
copy_without_a_place(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = deliver_large(f);
	struct change_copy *c = begin_copy(f, m);

	fsx_set_fault(fail_creates);
	while (copy_step(f, c) != STEP_DONE)
		syncs_do_all();
	fsx_set_fault(NULL);
	assert_int_equal(change_copy_result(c)->result, ERR_SYS);
	change_copy_free(&c);
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(store_in_all_ways),
		CASE(unchanged_since),
		CASE(store_follows_foreign_renames),
		CASE(expunge_only_what_is_named_and_deleted),
		CASE(append_line_ends),
		CASE(append_takes_back),
		CASE(multiappend_is_one),
		CASE(copy_onto_itself_and_of_the_missing),
		CASE(copy_into_what_took_its_place),
		CASE(copy_into_what_was_made_anew),
		CASE(copy_of_large_files),
		CASE(copy_of_a_large_file_given_up),
		CASE(copy_of_a_large_file_fails),
		CASE(copy_without_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
