#include <sys/stat.h>

#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "tests/crash/script_impl.h"

/* --- noting --------------------------------------------------------------- */

void
world_note(struct world *w, enum note_kind kind, const char *mailbox,
    const char *word, uint32_t uid, uint32_t flags)
{
	struct note n = { .kind = kind, .uid = uid, .flags = flags };

	(void)snprintf(n.mailbox, sizeof(n.mailbox), "%s", mailbox);
	(void)snprintf(n.word, sizeof(n.word), "%s", word);
	ledger_note(w->l, &n);
}

bool
world_done(struct world *w, int rc)
{
	if (rc >= 0)
		return true;
	if (w->l->refused++ == 0)
		w->l->first_code = rc;
	if (getenv("CRASH_TRACE") != NULL)
		(void)fprintf(stderr, "refused: %s\n", err_name(rc));
	return false;
}

static const char *
word_at(struct world *w, const char *mailbox, uint32_t uid)
{
	for (unsigned i = w->l->n; i-- > 0;)
		if (w->l->v[i].kind == NOTE_SHOWN && w->l->v[i].uid == uid &&
		    strcmp(w->l->v[i].mailbox, mailbox) == 0)
			return w->l->v[i].word;
	return "";
}

/* --- doing ---------------------------------------------------------------- */

static struct mailbox *
open_quietly(struct world *w, const char *name)
{
	int rc;
	struct mailbox *m = try_open(w->f, name, &rc);

	return world_done(w, rc) ? m : NULL;
}

static void
look(struct world *w, const char *name)
{
	struct mailbox *m = open_quietly(w, name);

	if (m != NULL && world_done(w, try_refresh(w->f, m, true)))
		ledger_show(w->l, m, name);
	mailbox_close(&m);
}

static void
look_by_pop3(struct world *w)
{
	struct mailbox *m = open_quietly(w, "INBOX");
	struct pop3_entry *v = NULL;
	size_t n;

	if (m != NULL && world_done(w, try_refresh(w->f, m, true)) &&
	    world_done(w, run_pop3(m, &v, &n)))
		ledger_show_pop3(w->l, m, v, n);
	free(v);
	mailbox_close(&m);
}

static void
append(struct world *w, const char *name, const char *word)
{
	char text[MESSAGE_BYTES + 1];
	struct mailbox *m;
	struct note n = { .kind = NOTE_SHOWN, .flags = MESSAGE_FLAGGED };
	uint32_t uid = 0;
	int rc;

	make_text(text, word);
	world_note(w, NOTE_FLIGHT, "", "", 1, 0);
	rc = run_append(w->f, name, text, MESSAGE_FLAGGED, "kw", &uid);
	if (!world_done(w, rc)) {
		world_note(w, NOTE_REFUSED, name, word, 0, 0);
		return;
	}
	if ((m = open_quietly(w, name)) == NULL &&
	    (m = open_quietly(w, name)) == NULL)
		return;
	n.validity = mailbox_uidvalidity(m);
	n.uid = uid;
	strcpy(n.mailbox, name);
	strcpy(n.word, word);
	ledger_note(w->l, &n);
	world_note(w, NOTE_FLIGHT, "", "", 0, 0);
	mailbox_close(&m);
}

static void
store(struct world *w, const char *name, uint32_t uid, uint32_t flag)
{
	struct mailbox *m = open_quietly(w, name);

	world_note(w, NOTE_STORING, name, "", uid, flag);
	if (m != NULL &&
	    world_done(
		w, run_flags(w->f, m, &uid, 1, FLAGS_ADD, flag, "stored"))) {
		world_note(w, NOTE_STORED, name, "", uid, flag);
		ledger_show(w->l, m, name);
	}
	mailbox_close(&m);
}

static void
copied(struct world *w, const char *target, uint32_t uid, const char *word,
    uint32_t flags)
{
	struct mailbox *t = open_quietly(w, target);
	struct note n = { .kind = NOTE_SHOWN, .uid = uid, .flags = flags };

	if (t == NULL)
		return;
	n.validity = mailbox_uidvalidity(t);
	strcpy(n.mailbox, target);
	strcpy(n.word, word);
	ledger_note(w->l, &n);
	mailbox_close(&t);
}

static void
copy(struct world *w, const char *name, uint32_t uid, const char *target,
    bool move, uint32_t flags)
{
	struct mailbox *m = open_quietly(w, name);
	char word[WORD_MAX];
	uint32_t to = 0;

	strcpy(word, word_at(w, name, uid));
	if (m == NULL || word[0] == '\0')
		goto out;
	world_note(w, NOTE_FLIGHT, "", "", 1, 0);
	if (move) {
		world_note(w, NOTE_MOVING, "", word, 0, 0);
		world_note(w, NOTE_LEAVING, name, "", uid, 0);
	}
	if (world_done(w, run_copy(w->f, m, &uid, 1, target, move, &to))) {
		if (to != 0)
			copied(w, target, to, word, flags);
		if (move)
			world_note(w, NOTE_GONE, name, "", uid, 0);
		world_note(w, NOTE_FLIGHT, "", "", 0, 0);
	} else if (!move) {
		world_note(w, NOTE_REFUSED, target, word, 0, 0);
	}
	world_note(w, NOTE_MOVED, "", "", 0, 0);
out:
	mailbox_close(&m);
}

static void
expunge(struct world *w, const char *name, uint32_t uid)
{
	struct mailbox *m = open_quietly(w, name);

	if (m == NULL)
		return;
	world_note(w, NOTE_FLIGHT, "", "", 1, 0);
	world_note(w, NOTE_STORING, name, "", uid, MESSAGE_DELETED);
	if (world_done(w,
		run_flags(
		    w->f, m, &uid, 1, FLAGS_ADD, MESSAGE_DELETED, NULL))) {
		world_note(w, NOTE_LEAVING, name, "", uid, 0);
		if (world_done(w, run_expunge(w->f, m, &uid, 1))) {
			world_note(w, NOTE_GONE, name, "", uid, 0);
			world_note(w, NOTE_FLIGHT, "", "", 0, 0);
			ledger_show(w->l, m, name);
		}
	}
	mailbox_close(&m);
}

static void
multiappend(struct world *w, const char *const *words, size_t n_words)
{
	char text[MESSAGE_BYTES + 1];
	struct append *p = NULL;
	const uint32_t *uids;
	uint32_t validity;
	size_t n = 0;
	int rc = append_begin(w->f->account, SLICE("INBOX"), &p, NULL);

	world_note(w, NOTE_TOGETHER, "INBOX", "multi", (uint32_t)n_words, 0);
	world_note(w, NOTE_FLIGHT, "", "", (uint32_t)n_words, 0);
	for (size_t i = 0; rc == 0 && i < n_words; i++) {
		make_text(text, words[i]);
		rc = append_message(
		    p, 0, NULL, 0, 1000, MESSAGE_BYTES, w->f->wall_ms, NULL);
		if (rc == 0)
			rc = append_write(p, slice_str(text), NULL);
		if (rc == 0)
			rc = append_message_end(p, NULL);
	}
	if (rc == 0) {
		while (append_commit(p, (struct waker){ 0 }, clock_now(),
			   w->f->wall_ms) != STEP_DONE)
			;
		rc = append_result(p, &validity, &uids, &n);
	}
	if (world_done(w, rc)) {
		for (size_t i = 0; i < n; i++) {
			struct note s = { .kind = NOTE_SHOWN,
				.mailbox = "INBOX",
				.validity = validity,
				.uid = uids[i] };
			strcpy(s.word, words[i]);
			ledger_note(w->l, &s);
		}
		world_note(w, NOTE_FLIGHT, "", "", 0, 0);
	} else {
		world_note(w, NOTE_REFUSED, "INBOX", words[0], 0, 0);
	}
	append_free(&p);
}

/* One session of several that append at the same time. */
struct appender {
	struct append *p;
	const char *mailbox, *word;
	int rc;
	bool ended;
};

static void
begin_appending(struct world *w, struct appender *a)
{
	char text[MESSAGE_BYTES + 1];

	make_text(text, a->word);
	a->rc = append_begin(w->f->account, slice_str(a->mailbox), &a->p, NULL);
	if (a->rc == 0)
		a->rc = append_message(
		    a->p, 0, NULL, 0, 1000, MESSAGE_BYTES, w->f->wall_ms, NULL);
	if (a->rc == 0)
		a->rc = append_write(a->p, slice_str(text), NULL);
	if (a->rc == 0)
		a->rc = append_message_end(a->p, NULL);
	a->ended = a->rc != 0;
}

/* What its client was told. */
static void
end_appending(struct world *w, struct appender *a)
{
	struct note s = { .kind = NOTE_SHOWN };
	const uint32_t *uids;
	size_t n;

	if (a->rc == 0)
		a->rc = append_result(a->p, &s.validity, &uids, &n);
	if (world_done(w, a->rc)) {
		s.uid = uids[0];
		strcpy(s.mailbox, a->mailbox);
		strcpy(s.word, a->word);
		ledger_note(w->l, &s);
	} else {
		world_note(w, NOTE_REFUSED, a->mailbox, a->word, 0, 0);
	}
	append_free(&a->p);
}

/* They take turns, as sessions do. */
static void
append_together(struct world *w, struct appender *v, size_t n)
{
	size_t left = n;

	world_note(w, NOTE_FLIGHT, "", "", (uint32_t)n, 0);
	for (size_t i = 0; i < n; i++) {
		begin_appending(w, &v[i]);
		if (v[i].ended) {
			end_appending(w, &v[i]);
			left--;
		}
	}
	for (size_t i = 0; left > 0; i = (i + 1) % n) {
		if (v[i].ended ||
		    append_commit(v[i].p, (struct waker){ 0 }, clock_now(),
			w->f->wall_ms) != STEP_DONE)
			continue;
		v[i].ended = true;
		end_appending(w, &v[i]);
		left--;
	}
	world_note(w, NOTE_FLIGHT, "", "", 0, 0);
}

static void
put_file(struct world *w, const char *name, const char *text)
{
	const char *path = fixture_path(w->f, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(close(fd), 0);
}

static void
sync_dir(struct world *w, const char *name)
{
	int fd =
	    open(fixture_path(w->f, name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(close(fd), 0);
}

/* As a program does it that syncs nothing: what becomes of its file is no
 * promise of ours, but for a copy of it. */
static void
deliver_loosely(struct world *w, const char *word)
{
	char text[MESSAGE_BYTES + 1], from[96], to[96];
	int fd;

	(void)snprintf(from, sizeof(from), "tmp/1700000000.Q%s.host", word);
	(void)snprintf(to, sizeof(to), "new/1700000000.Q%s.host", word);
	make_text(text, word);
	calls_pause(true);
	fd = open(fixture_path(w->f, from), O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
	assert_int_equal(
	    rename(fixture_path(w->f, from), fixture_path(w->f, to)), 0);
	calls_pause(false);
}

/* As Postfix does it, which isn't what is tested here. */
static void
deliver_durably(struct world *w, const char *dir, const char *word)
{
	static unsigned serial;
	char text[MESSAGE_BYTES + 1], from[96], to[96];

	(void)snprintf(from, sizeof(from), "%stmp/1700000000.P%uQ%s.host", dir,
	    serial, word);
	(void)snprintf(to, sizeof(to), "%snew/1700000000.P%uQ%s.host", dir,
	    serial++, word);
	make_text(text, word);
	calls_pause(true);
	put_file(w, from, text);
	world_note(w, NOTE_FLIGHT, "", "", 1, 0);
	assert_int_equal(
	    rename(fixture_path(w->f, from), fixture_path(w->f, to)), 0);
	(void)snprintf(to, sizeof(to), "%snew", dir);
	sync_dir(w, to);
	world_note(w, NOTE_DELIVERED, "", word, 0, 0);
	calls_pause(false);
}

static void
create(struct world *w, const char *name)
{
	if (world_done(w, create_now(w->f->account, slice_str(name))))
		world_note(w, NOTE_CREATED, name, "", 0, 0);
}

static void
rename_box(struct world *w, const char *from, const char *to)
{
	world_note(w, NOTE_RENAMING, from, to, 0, 0);
	if (world_done(
		w, rename_now(w->f->account, slice_str(from), slice_str(to))))
		world_note(w, NOTE_RENAMED, from, to, 0, 0);
}

static void
delete_box(struct world *w, const char *name)
{
	world_note(w, NOTE_FLIGHT, "", "", 3, 0);
	world_note(w, NOTE_DELETING, name, "", 0, 0);
	if (world_done(w, delete_now(w->f->account, slice_str(name)))) {
		world_note(w, NOTE_DELETED, name, "", 0, 0);
		world_note(w, NOTE_FLIGHT, "", "", 0, 0);
	}
}

static void
subscribe(struct world *w, const char *name)
{
	world_note(w, NOTE_SUBSCRIBING, name, "", 0, 0);
	if (world_done(w, subscribe_now(w->f->account, slice_str(name), true)))
		world_note(w, NOTE_SUBSCRIBED, name, "", 0, 0);
}

/* --- scripts -------------------------------------------------------------- */

static void
make_dirs(struct world *w)
{
	static const char *const dirs[] = { "tmp", "new", "cur" };

	for (size_t i = 0; i < NELEMS(dirs); i++)
		assert_int_equal(mkdir(fixture_path(w->f, dirs[i]), 0700), 0);
}

/* Let the clock of files go on: what is counted from now on is later. */
static void
wait_tick(struct world *w)
{
	const char *path = fixture_path(w->f, "tmp/tick");
	struct stat first = { 0 }, st;
	unsigned ticks = 0;
	int fd = -1;

	calls_pause(true);
	do {
		if (fd >= 0)
			(void)close(fd);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_true(fd >= 0 && write(fd, "x", 1) == 1);
		assert_int_equal(fstat(fd, &st), 0);
		if (ticks++ == 0)
			first = st;
	} while (st.st_mtim.tv_nsec == first.st_mtim.tv_nsec);
	(void)close(fd);
	assert_int_equal(unlink(path), 0);
	calls_pause(false);
}

void
world_some_mail(struct world *w)
{
	make_dirs(w);
	deliver_durably(w, "", "mail1");
	deliver_durably(w, "", "mail2");
	wait_tick(w);
	look(w, "INBOX");
	create(w, "INBOX.T");
	look(w, "INBOX.T");
	world_note(w, NOTE_FLIGHT, "", "", 0, 0);
}

static void
run_first(struct world *w)
{
	append(w, "INBOX", "first1");
	look(w, "INBOX");
	append(w, "INBOX", "first2");
}

static void
run_append_store(struct world *w)
{
	append(w, "INBOX", "append1");
	store(w, "INBOX", 1, MESSAGE_SEEN);
	append(w, "INBOX.T", "append2");
	store(w, "INBOX", 3, MESSAGE_ANSWERED);
	look(w, "INBOX");
}

static void
run_multiappend(struct world *w)
{
	static const char *const words[] = { "multi1", "multi2", "multi3",
		"multi4", "multi5" };

	multiappend(w, words, NELEMS(words));
	look(w, "INBOX");
}

static void
run_group(struct world *w)
{
	struct appender first[] = { { .mailbox = "INBOX", .word = "group1" },
		{ .mailbox = "INBOX.T", .word = "group2" },
		{ .mailbox = "INBOX", .word = "group3" } };
	struct appender second[] = { { .mailbox = "INBOX.T", .word = "group4" },
		{ .mailbox = "INBOX.T", .word = "group5" } };

	append_together(w, first, NELEMS(first));
	append_together(w, second, NELEMS(second));
	look(w, "INBOX");
}

static void
run_copy_move(struct world *w)
{
	copy(w, "INBOX", 1, "INBOX.T", false, 0);
	copy(w, "INBOX", 2, "INBOX.T", true, 0);
	look(w, "INBOX");
}

/* A copy of what wasn't told of before; its UID, or 0. */
static uint32_t
copy_loose(struct world *w, const char *name, uint32_t uid, const char *target,
    const char *word, bool move)
{
	struct mailbox *m = open_quietly(w, name);
	uint32_t to = 0;

	if (m != NULL && uid != 0 &&
	    world_done(w, try_refresh(w->f, m, false)) &&
	    world_done(w, run_copy(w->f, m, &uid, 1, target, move, &to)) &&
	    to != 0)
		copied(w, target, to, word, 0);
	mailbox_close(&m);
	return to;
}

/* What others delivered without a sync must survive from COPY's OK on; so must
 * the copy of a copy; and what the kernel has written by itself meanwhile. */
static void
run_copy_young(struct world *w)
{
	uint32_t uid;

	world_note(w, NOTE_FLIGHT, "", "", 9, 0);
	deliver_loosely(w, "loose1");
	uid = copy_loose(w, "INBOX", 3, "INBOX.T", "loose1", false);
	create(w, "INBOX.U");
	copy(w, "INBOX.T", uid, "INBOX.U", true, 0);
	world_note(w, NOTE_FLIGHT, "", "", 9, 0);
	deliver_loosely(w, "loose2");
	(void)copy_loose(w, "INBOX", 4, "INBOX.T", "loose2", true);
	deliver_loosely(w, "loose3");
	calls_written_back();
	w->f->wall_ms += 61 * 1000;
	(void)copy_loose(w, "INBOX", 5, "INBOX.T", "loose3", false);
	look(w, "INBOX.T");
}

static void
run_expunges(struct world *w)
{
	expunge(w, "INBOX", 1);
	append(w, "INBOX", "append1");
	expunge(w, "INBOX", 2);
	look(w, "INBOX");
}

static void
run_mailboxes(struct world *w)
{
	create(w, "INBOX.N");
	append(w, "INBOX.N", "new1");
	copy(w, "INBOX", 1, "INBOX.T", false, 0);
	rename_box(w, "INBOX.T", "INBOX.U");
	append(w, "INBOX.U", "new2");
	delete_box(w, "INBOX.N");
	create(w, "INBOX.N");
	append(w, "INBOX.N", "new3");
}

static void
run_rename_inbox(struct world *w)
{
	rename_box(w, "INBOX", "INBOX.U");
	append(w, "INBOX", "new1");
	look(w, "INBOX");
	look(w, "INBOX.U");
}

static void
prepare_deliveries(struct world *w)
{
	make_dirs(w);
	deliver_durably(w, "", "mail1");
	deliver_durably(w, "", "mail2");
	deliver_durably(w, "", "mail3");
	wait_tick(w);
}

static void
run_deliveries(struct world *w)
{
	look(w, "INBOX");
	deliver_durably(w, "", "mail4");
	look(w, "INBOX");
	deliver_durably(w, "", "mail5");
	deliver_durably(w, "", "mail6");
	look(w, "INBOX");
}

enum { LONG_LIST = 4200, AGAIN = 2000 };

/* courierimapuiddb with two messages, and n before them that went away; then
 * more of both if the server was there again. */
static void
put_list(struct world *w, unsigned n, unsigned later)
{
	struct buf list;

	buf_init(&list, 1 << 20);
	buf_putf(
	    &list, "1 1234567890 %u\n", n + (later != 0 ? later + 70 : 50));
	for (unsigned i = 0; i < n; i++)
		buf_putf(&list, "%u 15%u.M1P1.host\n", i + 1, 10000000 + i);
	for (unsigned i = 1; i <= 2; i++)
		buf_putf(&list, "%u 1600000000.M%uP1.host\n", n + 40 + i, i);
	for (unsigned i = 3; i <= later; i++)
		buf_putf(&list, "%u 1600000000.M%uP1.host\n", n + 60 + i, i);
	put_file(w, "courierimapuiddb", buf_cstr(&list));
	buf_fini(&list);
}

/* Messages that Courier has shown: the first was number from. */
static void
put_old(struct world *w, uint32_t from, uint32_t uid)
{
	struct note n = {
		.kind = NOTE_SHOWN, .mailbox = "INBOX", .validity = 1234567890
	};

	for (uint32_t i = from; i < from + 2; i++) {
		char path[96], text[MESSAGE_BYTES + 1];

		(void)snprintf(n.word, sizeof(n.word), "old%u", i);
		(void)snprintf(
		    path, sizeof(path), "cur/1600000000.M%uP1.host:2,S", i);
		make_text(text, n.word);
		put_file(w, path, text);
		n.uid = uid + i - from;
		n.flags = MESSAGE_SEEN;
		ledger_note(w->l, &n);
	}
}

static void
prepare_list(struct world *w, unsigned gone)
{
	make_dirs(w);
	deliver_durably(w, "", "mail1");
	deliver_durably(w, "", "mail2");
	put_old(w, 1, gone + 41);
	put_list(w, gone, 0);
	wait_tick(w);
}

static void
prepare_import(struct world *w)
{
	prepare_list(w, 0);
}

/* More than one transaction takes over. */
static void
prepare_long_list(struct world *w)
{
	prepare_list(w, LONG_LIST);
}

/* Courier was here again: more than one transaction adopts what it gave. */
static void
prepare_again(struct world *w)
{
	prepare_list(w, 0);
	look(w, "INBOX");
	fixture_reopen(w->f);
	put_old(w, AGAIN - 1, AGAIN + 59);
	(void)unlink(fixture_path(w->f, "courierimapuiddb"));
	put_list(w, 0, AGAIN);
	wait_tick(w);
}

static void
run_long_list(struct world *w)
{
	look(w, "INBOX");
}

static void
run_import(struct world *w)
{
	look(w, "INBOX");
	append(w, "INBOX", "append1");
	look(w, "INBOX");
}

/* Unique-ids are given twice: to what is there, and to what comes. */
static void
run_pop3_ids(struct world *w)
{
	look_by_pop3(w);
	deliver_durably(w, "", "mail3");
	deliver_durably(w, "", "mail4");
	look_by_pop3(w);
	fixture_reopen(w->f);
	append(w, "INBOX", "append1");
	look_by_pop3(w);
}

/* What Courier gave is taken over, while one of the messages is newer. */
static void
prepare_sizelist(struct world *w)
{
	prepare_list(w, 0);
	put_file(w, "courierpop3dsizelist",
	    "/3 9 1234567890\n1600000000.M1P1.host:2,S 300 7:1234567890:0\n"
	    "1600000000.M2P1.host:2,S 300 3:1234567890:0\n");
	for (uint32_t i = 0; i < 2; i++) {
		struct note n = { .kind = NOTE_UNIQUE,
			.mailbox = "INBOX",
			.validity = 1234567890,
			.uid = 41 + i };

		(void)snprintf(n.word, sizeof(n.word), "UID%u-1234567890",
		    i == 0 ? 7u : 3u);
		ledger_note(w->l, &n);
	}
}

static void
run_small_quota(struct world *w)
{
	append(w, "INBOX", "append1");
	copy(w, "INBOX", 1, "INBOX.T", false, 0);
	append(w, "INBOX", "append2"); /* one too many */
	expunge(w, "INBOX", 1);
	append(w, "INBOX", "append3");
}

static void
run_subscriptions(struct world *w)
{
	subscribe(w, "INBOX");
	if (world_done(w, subscribe_now(w->f->account, SLICE("INBOX"), false)))
		subscribe(w, "INBOX.T");
	look(w, "INBOX");
}

/* Cached of each message: what ledger_check() knows to be right. */
static void
cache_all(struct world *w, const char *name)
{
	struct mailbox *m = open_quietly(w, name);
	struct view *v;

	if (m == NULL)
		return;
	v = mailbox_view(m);
	for (uint32_t seq = 1; seq <= view_count(v); seq++) {
		uint32_t uid = view_get(v, seq)->uid;

		mailbox_cache_put(
		    m, uid, CACHE_ENVELOPE, slice_str(word_at(w, name, uid)));
	}
	cache_flush(m->account);
	view_unref(&v);
	mailbox_close(&m);
}

enum { TAIL = 32 }; /* of maildir/edit.c */

/* Two chunks that the next message will make one. */
static void
prepare_tails(struct world *w)
{
	make_dirs(w);
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned i = 0; i < TAIL; i++) {
			char word[WORD_MAX];

			(void)snprintf(
			    word, sizeof(word), "mail%u", TAIL * k + i);
			deliver_durably(w, "", word);
		}
		wait_tick(w);
		look(w, "INBOX");
	}
	world_note(w, NOTE_FLIGHT, "", "", 0, 0);
}

/* Chunks are merged, and in the cache new entries come to those of before. */
static void
run_tails(struct world *w)
{
	struct mailbox *m = open_quietly(w, "INBOX");
	bool merged;

	cache_all(w, "INBOX");
	append(w, "INBOX", "append1");
	merged =
	    m != NULL && m->head->n_chunks == 2 && m->head->v[0]->n == 2 * TAIL;
	assert_true(merged || w->l->refused != 0);
	mailbox_close(&m);
	append(w, "INBOX", "append2");
	cache_all(w, "INBOX");
	store(w, "INBOX", TAIL + 1, MESSAGE_SEEN);
	look(w, "INBOX");
}

/* One life of several sessions, one after the other. */
static void
run_reopen(struct world *w)
{
	append(w, "INBOX", "append1");
	fixture_reopen(w->f);
	store(w, "INBOX", 1, MESSAGE_SEEN);
	deliver_durably(w, "", "mail3");
	fixture_reopen(w->f);
	look(w, "INBOX");
	expunge(w, "INBOX", 2);
	fixture_reopen(w->f);
	look(w, "INBOX");
}

static const struct script own[] = {
	{ "first", NULL, run_first, NULL, false },
	{ "append-store", world_some_mail, run_append_store, NULL, false },
	{ "append-store-always", world_some_mail, run_append_store, NULL,
	    true },
	{ "multiappend", world_some_mail, run_multiappend, NULL, false },
	{ "group", world_some_mail, run_group, NULL, false },
	{ "copy-move", world_some_mail, run_copy_move, NULL, false },
	{ "copy-move-always", world_some_mail, run_copy_move, NULL, true },
	{ "copy-young", world_some_mail, run_copy_young, NULL, false },
	{ "expunge", world_some_mail, run_expunges, NULL, false },
	{ "expunge-always", world_some_mail, run_expunges, NULL, true },
	{ "mailboxes", world_some_mail, run_mailboxes, NULL, false },
	{ "rename-inbox", world_some_mail, run_rename_inbox, NULL, false },
	{ "deliveries", prepare_deliveries, run_deliveries, NULL, false },
	{ "import", prepare_import, run_import, NULL, false },
	{ "import-long", prepare_long_list, run_long_list, NULL, false },
	{ "import-again", prepare_again, run_import, NULL, false },
	{ "pop3", world_some_mail, run_pop3_ids, NULL, false },
	{ "pop3-import", prepare_sizelist, run_pop3_ids, NULL, false },
	{ "quota", world_some_mail, run_small_quota, "1300S,4C", false },
	{ "subscriptions", world_some_mail, run_subscriptions, NULL, false },
	{ "reopen", world_some_mail, run_reopen, NULL, false },
	{ "tails", prepare_tails, run_tails, NULL, false },
};
const struct script *
script_get(size_t i)
{
	return i < NELEMS(own) ? &own[i]
	    : i == NELEMS(own) ? &script_imap
			       : NULL;
}

int
script_run_all(const char *group, void (*fn)(void **state), const char *name)
{
	struct CMUnitTest tests[32];
	size_t n = 0;

	for (; script_get(n) != NULL; n++) {
		union {
			const struct script *in;
			void *out;
		} s = { script_get(n) };

		assert_true(n < NELEMS(tests));
		tests[n] =
		    (struct CMUnitTest){ s.in->name, fn, NULL, NULL, s.out };
	}
	if (name != NULL)
		cmocka_set_test_filter(name);
	return _cmocka_run_group_tests(group, tests, n, NULL, NULL);
}

/* --- worlds --------------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void
world_init(struct world *w)
{
	void *state = NULL;

	assert_int_equal(fixture_setup(&state), 0);
	w->f = state;
	fixture_close(w->f);
	w->l = ledger_new();
	w->calls = calls_log_new();
}

void
world_fini(struct world *w)
{
	void *state = w->f;

	(void)fixture_teardown(&state);
}

void
world_reset(struct world *w, const struct script *s)
{
	remove_tree(w->f->path);
	assert_int_equal(mkdir(w->f->path, 0700), 0);
	memset(w->l, 0, sizeof(*w->l));
	w->f->quota = s->quota != NULL ? s->quota : "1000000S";
	w->f->fsync_always = s->always;
	w->f->wall_ms = clock_wall();
}

void
world_live(
    struct world *w, const struct script *s, const struct calls_plan *plan)
{
	calls_begin(w->f->path, w->calls);
	fixture_open(w->f);
	if (s->prepare != NULL)
		s->prepare(w);
	calls_arm(plan);
	s->run(w);
	calls_heal();
}
