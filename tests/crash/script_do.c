/* What the scripts do, each told to the ledger before and after. */
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "maildir/cache.h"
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

struct mailbox *
world_open(struct world *w, const char *name)
{
	int rc;
	struct mailbox *m = try_open(w->f, name, &rc);

	return world_done(w, rc) ? m : NULL;
}

void
world_look(struct world *w, const char *name)
{
	struct mailbox *m = world_open(w, name);

	if (m != NULL && world_done(w, try_refresh(w->f, m, true)))
		ledger_show(w->l, m, name);
	mailbox_close(&m);
}

void
world_look_by_pop3(struct world *w)
{
	struct mailbox *m = world_open(w, "INBOX");
	struct pop3_entry *v = NULL;
	size_t n;

	if (m != NULL && world_done(w, try_refresh(w->f, m, true)) &&
	    world_done(w, run_pop3(m, &v, &n)))
		ledger_show_pop3(w->l, m, v, n);
	free(v);
	mailbox_close(&m);
}

void
world_append(struct world *w, const char *name, const char *word)
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
	if ((m = world_open(w, name)) == NULL &&
	    (m = world_open(w, name)) == NULL)
		return;
	n.validity = mailbox_uidvalidity(m);
	n.uid = uid;
	strcpy(n.mailbox, name);
	strcpy(n.word, word);
	ledger_note(w->l, &n);
	world_note(w, NOTE_FLIGHT, "", "", 0, 0);
	mailbox_close(&m);
}

void
world_store(struct world *w, const char *name, uint32_t uid, uint32_t flag)
{
	struct mailbox *m = world_open(w, name);

	world_note(w, NOTE_STORING, name, "", uid, flag);
	if (m != NULL &&
	    world_done(
		w, run_flags(w->f, m, &uid, 1, FLAGS_ADD, flag, "stored"))) {
		world_note(w, NOTE_STORED, name, "", uid, flag);
		ledger_show(w->l, m, name);
	}
	mailbox_close(&m);
}

void
world_copied(struct world *w, const char *target, uint32_t uid,
    const char *word, uint32_t flags)
{
	struct mailbox *t = world_open(w, target);
	struct note n = { .kind = NOTE_SHOWN, .uid = uid, .flags = flags };

	if (t == NULL)
		return;
	n.validity = mailbox_uidvalidity(t);
	strcpy(n.mailbox, target);
	strcpy(n.word, word);
	ledger_note(w->l, &n);
	mailbox_close(&t);
}

void
world_copy(struct world *w, const char *name, uint32_t uid, const char *target,
    bool move, uint32_t flags)
{
	struct mailbox *m = world_open(w, name);
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
			world_copied(w, target, to, word, flags);
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

void
world_expunge(struct world *w, const char *name, uint32_t uid)
{
	struct mailbox *m = world_open(w, name);

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

void
world_multiappend(struct world *w, const char *const *words, size_t n_words)
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

void
world_append_together(struct world *w, struct appender *v, size_t n)
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

void
world_put_file(struct world *w, const char *name, const char *text)
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

void
world_deliver_loosely(struct world *w, const char *word)
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

void
world_deliver_durably(struct world *w, const char *dir, const char *word)
{
	static unsigned serial;
	char text[MESSAGE_BYTES + 1], from[96], to[96];

	(void)snprintf(from, sizeof(from), "%stmp/1700000000.P%uQ%s.host", dir,
	    serial, word);
	(void)snprintf(to, sizeof(to), "%snew/1700000000.P%uQ%s.host", dir,
	    serial++, word);
	make_text(text, word);
	calls_pause(true);
	world_put_file(w, from, text);
	world_note(w, NOTE_FLIGHT, "", "", 1, 0);
	assert_int_equal(
	    rename(fixture_path(w->f, from), fixture_path(w->f, to)), 0);
	(void)snprintf(to, sizeof(to), "%snew", dir);
	sync_dir(w, to);
	world_note(w, NOTE_DELIVERED, "", word, 0, 0);
	calls_pause(false);
}

void
world_create(struct world *w, const char *name)
{
	if (world_done(w, create_now(w->f->account, slice_str(name))))
		world_note(w, NOTE_CREATED, name, "", 0, 0);
}

void
world_rename(struct world *w, const char *from, const char *to)
{
	world_note(w, NOTE_RENAMING, from, to, 0, 0);
	if (world_done(
		w, rename_now(w->f->account, slice_str(from), slice_str(to))))
		world_note(w, NOTE_RENAMED, from, to, 0, 0);
}

void
world_delete(struct world *w, const char *name)
{
	world_note(w, NOTE_FLIGHT, "", "", 3, 0);
	world_note(w, NOTE_DELETING, name, "", 0, 0);
	if (world_done(w, delete_now(w->f->account, slice_str(name)))) {
		world_note(w, NOTE_DELETED, name, "", 0, 0);
		world_note(w, NOTE_FLIGHT, "", "", 0, 0);
	}
}

void
world_subscribe(struct world *w, const char *name)
{
	world_note(w, NOTE_SUBSCRIBING, name, "", 0, 0);
	if (world_done(w, subscribe_now(w->f->account, slice_str(name), true)))
		world_note(w, NOTE_SUBSCRIBED, name, "", 0, 0);
}

void
world_make_dirs(struct world *w)
{
	static const char *const dirs[] = { "tmp", "new", "cur" };

	for (size_t i = 0; i < NELEMS(dirs); i++)
		assert_int_equal(mkdir(fixture_path(w->f, dirs[i]), 0700), 0);
}

void
world_wait_tick(struct world *w)
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
world_cache_all(struct world *w, const char *name)
{
	struct mailbox *m = world_open(w, name);
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
