#include <sys/stat.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/maildir_fixture.h"

static void
new_mail_gets_uids_in_order(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *text;

	refresh(f, m);
	assert_listing(m, "");
	deliver(f, "", "one\n");
	deliver(f, "", "two\n");
	refresh(f, m);
	assert_listing(m, "1 2");
	text = message_text(m, 2);
	assert_string_equal(text, "two\n");
	free(text);
	assert_int_equal(count_files(fixture_path(f, "new")), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), 2);
	deliver(f, "", "three\n");
	refresh(f, m);
	assert_listing(m, "1 2 3");
	mailbox_close(&m);
}

static void
uids_survive_reopening(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t validity, uids[] = { 1 };

	deliver(f, "", "one\n");
	deliver(f, "", "two\n");
	refresh(f, m);
	validity = mailbox_uidvalidity(m);
	assert_int_equal(
	    run_flags(f, m, uids, 1, FLAGS_ADD, MESSAGE_SEEN, "$Label1"), 0);
	assert_listing(m, "1:S($Label1) 2");
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "inbox");
	assert_int_equal(mailbox_uidvalidity(m), validity);
	refresh(f, m);
	assert_listing(m, "1:S($Label1) 2");
	mailbox_close(&m);
}

static void
everything_once(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX"), *sent;
	uint32_t uid, to[2], all[] = { 1, 2 };
	char *text;

	refresh(f, m);
	assert_int_equal(
	    run_append(f, "INBOX", "a\r\nb", MESSAGE_SEEN, "kw", &uid), 0);
	assert_int_equal(uid, 1);
	assert_listing(m, "1:S(kw)");
	text = message_text(m, 1);
	assert_string_equal(text, "a\nb\n");
	free(text);
	assert_int_equal(create_now(f->account, SLICE("INBOX.Sent")), 0);
	deliver(f, "", "two\n");
	refresh(f, m);
	assert_int_equal(run_copy(f, m, all, 2, "INBOX.Sent", false, to), 0);
	assert_int_equal(to[1], 2);
	sent = open_mailbox(f, "INBOX.Sent");
	refresh(f, sent);
	assert_listing(sent, "1:S(kw) 2");
	assert_int_equal(run_copy(f, sent, all, 1, "INBOX", true, to), 0);
	assert_listing(sent, "2");
	assert_listing(m, "1:S(kw) 2 3:S(kw)");
	assert_int_equal(
	    run_flags(f, m, all, 2, FLAGS_ADD, MESSAGE_DELETED, NULL), 0);
	assert_int_equal(run_expunge(f, m, NULL, 0), 2);
	assert_listing(m, "3:S(kw)");
	refresh(f, m);
	assert_listing(m, "3:S(kw)");
	assert_int_equal(count_files(fixture_path(f, "cur")), 1);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	mailbox_close(&sent);
	mailbox_close(&m);
}

/* --- scanning ------------------------------------------------------------- */

static void
examine_moves_nothing(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	deliver(f, "", "one\n");
	assert_int_equal(try_refresh(f, m, false), 0);
	assert_listing(m, "1");
	assert_int_equal(count_files(fixture_path(f, "new")), 1);
	assert_memory_equal(message_path(m, 1), "new/", 4);
	refresh(f, m);
	assert_listing(m, "1");
	assert_int_equal(count_files(fixture_path(f, "new")), 0);
	assert_memory_equal(message_path(m, 1), "cur/", 4);
	mailbox_close(&m);
}

static void
order_is_that_of_arrival(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *text;

	put_cur(f, "1000.z:2,", "third");
	put_cur(f, "999.a:2,S", "second");
	put_cur(f, "20.x", "first");
	write_file(fixture_path(f, "new/5000.x"), "fourth");
	put_cur(f, ".hidden", "never");
	refresh(f, m);
	assert_listing(m, "1 2:S 3 4");
	for (uint32_t uid = 1; uid <= 4; uid++) {
		static const char *const texts[] = { "first", "second", "third",
			"fourth" };

		text = message_text(m, uid);
		assert_string_equal(text, texts[uid - 1]);
		free(text);
	}
	mailbox_close(&m);
}

static void
foreign_changes_are_seen(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	char *text;

	put_cur(f, "1.a:2,", "one");
	put_cur(f, "2.a:2,", "two");
	put_cur(f, "3.a:2,", "three");
	refresh(f, m);
	assert_int_equal(rename(fixture_path(f, "cur/1.a:2,"),
			     fixture_path(f, "cur/1.a:2,FSx")),
	    0);
	assert_int_equal(unlink(fixture_path(f, "cur/2.a:2,")), 0);
	/* before a refresh the file is found all the same */
	text = message_text(m, 1);
	assert_string_equal(text, "one");
	free(text);
	assert_null(message_text(m, 2));
	assert_listing(m, "1 2 3");
	refresh(f, m);
	assert_listing(m, "1:FS 3");
	assert_string_equal(message_path(m, 1), "cur/1.a:2,FSx");
	mailbox_close(&m);
}

/* The same without watches: everything by reading, and twice to believe. */
static void
foreign_changes_without_watches(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	f->no_watches = true;
	fixture_reopen(f);
	assert_int_equal(store_watch_fd(f->store), -1);
	m = open_mailbox(f, "INBOX");
	put_cur(f, "1.a:2,", "one");
	put_cur(f, "2.a:2,", "two");
	refresh(f, m);
	assert_listing(m, "1 2");
	assert_int_equal(rename(fixture_path(f, "cur/1.a:2,"),
			     fixture_path(f, "cur/1.a:2,S")),
	    0);
	assert_int_equal(unlink(fixture_path(f, "cur/2.a:2,")), 0);
	/* a rename in the same tick would leave the mtime as it is */
	refresh(f, m);
	assert_listing(m, "1:S 2");
	f->wall_ms += 1000;
	refresh(f, m);
	assert_listing(m, "1:S");
	deliver(f, "", "x");
	refresh(f, m);
	assert_listing(m, "1:S 3");
	mailbox_close(&m);
}

static void
doubled_base_name_is_one_message(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");

	put_cur(f, "1.a:2,", "one");
	put_cur(f, "1.a:2,S", "again");
	refresh(f, m);
	assert_int_equal(strchr(listing(m), ' ') == NULL, 1);
	put_cur(f, "2.a:2,", "two");
	refresh(f, m);
	assert_non_null(strstr(listing(m), " 2"));
	put_cur(f, "2.a:2,T", "again");
	refresh(f, m);
	assert_non_null(strstr(listing(m), " 2"));
	assert_null(strstr(listing(m), "2:T"));
	mailbox_close(&m);
}

static void
odd_info_parts_are_kept(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t uid = 1;

	put_cur(f, "1.a:2,SFF", "one");
	refresh(f, m);
	assert_listing(m, "1:FS");
	assert_string_equal(message_path(m, 1), "cur/1.a:2,SFF");
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_string_equal(message_path(m, 1), "cur/1.a:2,SFF");
	assert_int_equal(
	    run_flags(f, m, &uid, 1, FLAGS_ADD, MESSAGE_DRAFT, NULL), 0);
	assert_string_equal(message_path(m, 1), "cur/1.a:2,DFS");
	mailbox_close(&m);
}

static void
unsafe_files_are_not_followed(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct message_info info;
	uint64_t size;
	int fd;

	write_file(fixture_path(f, "secret"), "secret");
	assert_int_equal(
	    symlink("../secret", fixture_path(f, "cur/1.link")), 0);
	assert_int_equal(mkfifo(fixture_path(f, "cur/2.fifo"), 0600), 0);
	refresh(f, m);
	assert_listing(m, "1 2");
	for (uint32_t uid = 1; uid <= 2; uid++)
		assert_int_not_equal(
		    mailbox_open_message(m, uid, &fd, &size, NULL), 0);
	assert_int_equal(mailbox_message_info(m, 3, &info), ERR_NOT_FOUND);
	mailbox_close(&m);
}

/* --- what a message is ---------------------------------------------------- */

static void
info_and_sizes(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	const struct timespec t[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
	struct message_info info;
	uint32_t uid;

	put_cur(f, "1.a:2,", "a\nb\n");
	assert_int_equal(
	    utimensat(AT_FDCWD, fixture_path(f, "cur/1.a:2,"), t, 0), 0);
	refresh(f, m);
	assert_int_equal(mailbox_message_info(m, 1, &info), 0);
	assert_int_equal(info.internal_ms, 1000000000000);
	assert_int_equal(info.file_size, 4);
	assert_true(info.wire_size == UINT64_MAX);
	mailbox_set_wire_size(m, 1, 6);
	assert_int_equal(mailbox_message_info(m, 2, &info), ERR_NOT_FOUND);
	assert_int_equal(
	    run_append(f, "INBOX", "a\r\r\nb\n\rc", 0, NULL, &uid), 0);
	assert_int_equal(mailbox_message_info(m, uid, &info), 0);
	/* a CR CR LF -> CR LF on disk; b LF; CR c LF */
	assert_int_equal(info.file_size, 8);
	assert_int_equal(info.wire_size, 10);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(mailbox_message_info(m, 1, &info), 0);
	assert_int_equal(info.wire_size, 6);
	assert_int_equal(info.internal_ms, 1000000000000);
	mailbox_close(&m);
}

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

/* --- changes -------------------------------------------------------------- */

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

static unsigned woken;

static void
wake(void *arg)
{
	(void)arg;
	woken++;
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

static void
listeners_are_told(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct mailbox_listener l = { .waker = { wake, NULL } };
	const uint32_t uid[] = { 1 };

	refresh(f, m);
	mailbox_listen(m, &l);
	woken = 0;
	deliver(f, "", "x");
	store_on_watch(f->store, 1);
	assert_true(woken > 0);
	refresh(f, m);
	woken = 0;
	/* what is known wakes nobody */
	store_on_watch(f->store, 1);
	assert_int_equal(woken, 0);
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_SEEN, NULL), 0);
	assert_int_equal(woken, 1);
	store_on_watch(f->store, 1);
	assert_int_equal(woken, 1);
	mailbox_unlisten(&l);
	mailbox_unlisten(&l);
	deliver(f, "", "x");
	store_on_watch(f->store, 1);
	assert_int_equal(woken, 1);
	mailbox_close(&m);
}

static void
recent_is_claimed_once(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct mailbox_counts counts;

	deliver(f, "", "x");
	deliver(f, "", "y");
	refresh(f, m);
	mailbox_counts(m, &counts);
	assert_int_equal(counts.messages, 2);
	assert_int_equal(counts.recent, 2);
	assert_int_equal(counts.unseen, 2);
	assert_int_equal(counts.uidnext, 3);
	assert_int_equal(counts.size, 2);
	assert_int_equal(mailbox_recent_from(m, false), 1);
	assert_int_equal(mailbox_recent_from(m, true), 1);
	assert_int_equal(mailbox_recent_from(m, true), 3);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(mailbox_recent_from(m, true), 3);
	mailbox_close(&m);
}

static void
ticks_close_and_tidy(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	int64_t now = 1;

	deliver(f, "", "x");
	refresh(f, m);
	write_file(fixture_path(f, "tmp/old"), "left over");
	/* mailboxes that nobody opens are tidied, too, a few at a time */
	for (int i = 0; i < 45; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "INBOX.a%d", i);
		assert_int_equal(create_now(f->account, slice_str(name)), 0);
		(void)snprintf(name, sizeof(name), ".a%d/tmp/old", i);
		write_file(fixture_path(f, name), "left over");
	}
	store_tick(f->store, now, f->wall_ms);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 1);
	f->wall_ms += 37 * 3600 * INT64_C(1000);
	for (int i = 0; i < 100; i++)
		store_tick(f->store, now += 1000, f->wall_ms);
	assert_int_equal(count_files(fixture_path(f, "tmp")), 0);
	for (int i = 0; i < 45; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), ".a%d/tmp", i);
		assert_int_equal(count_files(fixture_path(f, name)), 0);
	}
	/* closed meanwhile; it opens again by itself */
	deliver(f, "", "y");
	refresh(f, m);
	assert_listing(m, "1 2");
	mailbox_close(&m);
	for (int i = 0; i < 100; i++)
		store_tick(f->store, now += 1000, f->wall_ms);
	m = open_mailbox(f, "INBOX");
	assert_listing(m, "1 2");
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(new_mail_gets_uids_in_order),
		CASE(uids_survive_reopening),
		CASE(everything_once),
		CASE(examine_moves_nothing),
		CASE(order_is_that_of_arrival),
		CASE(foreign_changes_are_seen),
		CASE(foreign_changes_without_watches),
		CASE(doubled_base_name_is_one_message),
		CASE(odd_info_parts_are_kept),
		CASE(unsafe_files_are_not_followed),
		CASE(info_and_sizes),
		CASE(cache_keeps_and_forgets),
		CASE(cache_after_a_miss),
		CASE(cache_outgrows_memory),
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
		CASE(listeners_are_told),
		CASE(recent_is_claimed_once),
		CASE(ticks_close_and_tidy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
