/*
 * Bringing a mailbox up to what is in its directories.
 *
 * Other programs deliver, rename and remove at any time, and readdir() may
 * miss a name that is being renamed meanwhile.  So:
 *
 *   A directory whose mtime is the one it had when it was last fully known
 *   isn't read again, if that mtime was at least G old then (two changes
 *   within the grain of a time stamp look like one): it is "clean".
 *   A directory under an unbroken watch isn't read either: the events say it
 *   all.
 *   Otherwise it is read; new/ before cur/, since that is the way messages
 *   go.  Events that come during the reading complete it.
 *   A message is missing only if its last known file isn't there, and no
 *   reading and no event showed another one under its base name.  Where there
 *   is no watch it takes two readings without a change in between.
 *   Of two files with one base name ("twins") one is known, and there is no
 *   event that tells of the other when the known one goes: so the directories
 *   are read then.  Who opens the mailbox anew reads them, too, as only memory
 *   knows which messages have twins.
 *
 * A rename is one event that the old name went and another that the new one
 * came, and the first may be read before the second is there.  The kernel
 * queues both while it holds the directory's lock, and takes that lock for
 * readdir() too: so whenever a message seems to be missing, a piece of each
 * directory is read, and what comes then are all events of that time.
 *
 * Order of the states: READ new/, READ cur/ → TAKE the events → MOVE from
 * new/ to cur/ if wanted → SORT what was found → CHANGE what is known → remove
 * what is MISSING → ADD what is new → SYNC, then show.  Each in pieces, with a
 * transaction for each piece that changes something.
 */
#include "maildir/scan.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/work.h"
#include "maildir/young.h"

enum { NAMES_MAX_BYTES = 1 << 30 };

void
scan_free(struct mailbox *m)
{
	struct scan *s = m->scan;

	if (s == NULL)
		return;
	m->scan = NULL;
	if (s->reading)
		dir_reader_close(&s->r);
	sync_forget(&s->sync);
	view_unref(&s->base);
	free(s->seen);
	buf_fini(&s->names);
	free(s->found);
	free(s->absent);
	free(s->doubts);
	free(s->heard);
	free(s->listed);
	free(s->unsure_uids);
	free(s->twins);
	free(s->adds);
	piece_sort_fini(&s->sort);
	free(s->wakers.v);
	free(s);
}

void
scan_distrust(struct mailbox *m)
{
	for (int d = 0; d < 2; d++) {
		m->dirs[d].clean = m->dirs[d].complete = false;
		watch_drop_events(&m->dirs[d]);
	}
}

void
scan_forget_waker(struct mailbox *m, void *arg)
{
	if (m->scan == NULL)
		return;
	waker_list_forget(&m->scan->wakers, arg);
}

/* --- what is to be done --------------------------------------------------- */

enum need { NEED_NOTHING, NEED_EVENTS, NEED_READ };

/* What a directory needs, given its stat(); a replaced one is forgotten. */
static enum need
needs(struct watched_dir *d, const struct stat *st)
{
	bool unchanged;

	if (d->ino != st->st_ino) {
		/* 0: never seen, so the watch is one of this directory */
		if (d->ino != 0) {
			watch_remove(d);
			watch_add(d);
			mailbox_close_fds(d->m);
		}
		watch_drop_events(d);
		d->clean = d->complete = false;
		d->ino = st->st_ino;
	}
	unchanged = d->clean && d->mtime_ns == scan_mtime(st);
	if (unchanged && d->n_events == 0)
		return NEED_NOTHING;
	return d->complete ? NEED_EVENTS : NEED_READ;
}

/*
 * What the directories need; 0, or -1 with errno.  They are watched before they
 * are looked at: what was known and is unchanged then is complete.
 */
static int
look(struct mailbox *m, struct stat st[2], enum need need[2])
{
	bool fresh[2];

	for (int d = 0; d < 2; d++) {
		fresh[d] = m->dirs[d].wd < 0;
		watch_add(&m->dirs[d]);
	}
	for (int d = 0; d < 2; d++) {
		struct watched_dir *w = &m->dirs[d];

		if (scan_stat_dir(m, d, &st[d]) < 0)
			return -1;
		if (fresh[d] && w->wd >= 0 && w->clean)
			w->complete = w->ino == st[d].st_ino &&
			    w->mtime_ns == scan_mtime(&st[d]);
		need[d] = needs(w, &st[d]);
		w->quiet = need[d] == NEED_NOTHING && w->complete
		    ? m->account->store->tick
		    : 0;
	}
	return 0;
}

void
mailbox_want_committed(struct mailbox *m)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	m->wanted_uidnext = m->head->uidnext;
}

/* Whether all that memory has may be shown, or will be by somebody else, and
 * nobody wants it now. */
static bool
is_durable(const struct mailbox *m)
{
	uint32_t from = m->durable_uidnext, to = m->head->uidnext;

	return (from >= m->wanted_uidnext || from >= to) &&
	    young_all_wait(m, from, to) &&
	    (!m->unsynced || (from < to && !m->unsynced_told));
}

/* Whether others' messages have no file: it may be that this scan gives them
 * their names, for which the log must be durable. */
static bool
any_unnamed(struct mailbox *m)
{
	struct chunk *c;
	uint32_t i;

	for (size_t k = 0; k < m->n_unnamed; k++)
		if (mailbox_find(m, m->unnamed[k], &c, &i) &&
		    scan_place_presence(m, c, i) == ABSENT)
			return true;
	return false;
}

static void
sync_log_first(struct scan *s)
{
	s->after_log = s->state;
	s->state = SCAN_LOG;
}

/* 0: nothing to be done; 1: m->scan has been made; else ERR_*, ERR_MORE when
 * a piece of what comes before has been done. */
static int
begin(struct mailbox *m, bool move_new, int64_t wall_ms)
{
	struct stat st[2];
	enum need need[2];
	struct scan *s;
	bool settled;
	int work = PIECE_WORK, rc = mailbox_check(m, NULL);

	if (rc == 0)
		rc = import_check(m, false, NULL);
	if (rc != 0)
		return rc;
	settled =
	    !(move_new && m->n_new != 0) && m->n_unnamed == 0 && is_durable(m);
	if (settled && watch_is_quiet(m))
		return 0;
	if (look(m, st, need) < 0) {
		rc = err_of_errno(errno);
		if (rc == ERR_NOT_FOUND)
			mailbox_set_gone(m);
		return rc;
	}
	if (need[0] == NEED_NOTHING && need[1] == NEED_NOTHING && settled)
		return 0;
	if ((rc = mailbox_need_names(m, &work, NULL)) != 0)
		return rc;
	/* names will be looked for */
	if ((need[0] == NEED_READ || need[1] == NEED_READ) &&
	    !mailbox_index_step(m))
		return ERR_MORE;
	/* what is known of the events is nothing to a scan */
	watch_drain(m->account->store);
	m->scan = s = MEM_NEW(struct scan);
	s->move_new = move_new;
	s->change = m->change;
	s->base = view_ref(m->head);
	s->seen = mem_zalloc(s->base->count / 8 + 1, 1);
	buf_init(&s->names, NAMES_MAX_BYTES);
	for (int d = 0; d < 2; d++) {
		s->read[d] = need[d] == NEED_READ;
		s->events[d] = need[d] == NEED_EVENTS;
		scan_look_at(s, d, &st[d], wall_ms);
	}
	s->state = SCAN_READ;
	if (any_unnamed(m))
		sync_log_first(s);
	return 1;
}

/* --- the end -------------------------------------------------------------- */

static void
settle_dir(struct mailbox *m, struct scan *s, int which)
{
	struct watched_dir *d = &m->dirs[which];
	bool clean;

	if (!s->read[which] && !s->events[which])
		return;
	clean = s->looked_ms[which] * 1000000 >=
		s->mtime_ns[which] + GRANULARITY_MS * INT64_C(1000000) &&
	    !s->unsure && !s->reread && (s->read[which] || d->complete) &&
	    (d->wd < 0 || d->complete);
	if (clean && (!d->clean || d->mtime_ns != s->mtime_ns[which]))
		m->meta_dirty = true;
	d->ino = s->ino[which];
	d->mtime_ns = s->mtime_ns[which];
	d->clean = clean;
}

static void
restart(struct mailbox *m, struct scan *s)
{
	view_unref(&s->base);
	free(s->seen);
	s->base = view_ref(m->head);
	s->seen = mem_zalloc(s->base->count / 8 + 1, 1);
	buf_reset(&s->names);
	s->n_found = s->n_absent = s->n_doubts = s->n_adds = 0;
	s->n_heard = s->n_listed = s->n_unsure = s->n_twins = 0;
	s->changed = s->looked = s->added = 0;
	s->settled = s->reread = false;
	s->again = true;
	/* Under a watch the events that came meanwhile will do. */
	if (m->dirs[DIR_NEW].complete && m->dirs[DIR_CUR].complete) {
		s->read[0] = s->read[1] = false;
		s->state = SCAN_TAKE;
		return;
	}
	s->which = DIR_NEW;
	s->read[0] = s->read[1] = true;
	s->state = SCAN_READ;
}

static void
step_finish(struct mailbox *m, struct scan *s)
{
	if (s->reread)
		scan_distrust(m);
	/* A client waits: the second reading at once. */
	if ((s->unsure || s->reread) && !s->again) {
		restart(m, s);
		return;
	}
	/* nor did others wait for theirs to get a name */
	if (s->log_uidnext == 0 && any_unnamed(m)) {
		restart(m, s);
		sync_log_first(s);
		return;
	}
	scan_note_twins(m, s);
	settle_dir(m, s, DIR_NEW);
	settle_dir(m, s, DIR_CUR);
	s->state = SCAN_SYNC;
}

static void
on_synced(void *arg)
{
	struct mailbox *m = arg;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (m->scan != NULL)
		waker_list_call(&m->scan->wakers);
}

static int
step_log(struct mailbox *m, struct scan *s, enum step *step)
{
	struct account *a = m->account;
	struct sync_fds fds = { 0 };
	int rc;

	*step = STEP_NEXT;
	if (s->sync.done) {
		s->sync.done = false;
		s->log_uidnext = s->sync_uidnext;
		s->state = s->after_log;
		return account_synced(a, &s->sync);
	}
	if (sync_busy(&s->sync)) {
		*step = STEP_WAIT_SYNC;
		return 0;
	}
	if ((rc = account_sync_fds(a, &fds, NULL)) != 0)
		return rc;
	s->sync_uidnext = m->head->uidnext;
	sync_start(&s->sync, a->store->opt.syncer, a, &fds,
	    (struct waker){ on_synced, m });
	return 0;
}

static int
step_sync(struct mailbox *m, struct scan *s, enum step *step)
{
	struct account *a = m->account;
	struct sync_fds fds = { 0 };
	int rc;

	*step = STEP_NEXT;
	if (sync_busy(&s->sync)) {
		*step = STEP_WAIT_SYNC;
		return 0;
	}
	if (s->sync.done) {
		s->sync.done = false;
		if ((rc = account_synced(a, &s->sync)) != 0) {
			mailbox_set_unsynced(m);
			return rc;
		}
		young_synced(a, s->sync_young);
		mailbox_set_synced(m, s->sync_change);
		if (m->durable_uidnext < s->sync_uidnext)
			m->durable_uidnext = s->sync_uidnext;
	}
	if (is_durable(m)) {
		s->state = SCAN_DONE;
		return 0;
	}
	if ((rc = account_sync_fds(a, &fds, NULL)) != 0)
		return rc;
	s->sync_uidnext = m->head->uidnext;
	s->sync_change = m->change;
	s->sync_young = young_mark(a);
	sync_start(&s->sync, a->store->opt.syncer, a, &fds,
	    (struct waker){ on_synced, m });
	return 0;
}

static int
advance(struct mailbox *m, struct scan *s, int64_t wall_ms, enum step *step)
{
	*step = STEP_NEXT;
	switch (s->state) {
	case SCAN_LOG:
		return step_log(m, s, step);
	case SCAN_READ:
		return scan_step_read(m, s, wall_ms, step);
	case SCAN_TAKE:
		return scan_step_take(m, s, wall_ms, step);
	case SCAN_MOVE:
		*step = scan_step_move(m, s);
		return 0;
	case SCAN_SORT:
		if (!scan_sort_step(s))
			s->state = SCAN_CHANGE;
		return 0;
	case SCAN_CHANGE:
		return scan_step_change(m, s);
	case SCAN_MISSING:
		return scan_step_missing(m, s, wall_ms);
	case SCAN_ADD:
		return scan_step_add(m, s, wall_ms);
	case SCAN_FINISH:
		step_finish(m, s);
		return 0;
	case SCAN_SYNC:
		return step_sync(m, s, step);
	case SCAN_DONE:
		break;
	}
	return 0;
}

/* A failed scan leaves nothing believed. */
static enum step
end(struct mailbox *m, int rc, int *result)
{
	struct waker_list wakers = { 0 };

	if (m->scan != NULL) {
		wakers = m->scan->wakers;
		m->scan->wakers = (struct waker_list){ 0 };
		if (rc != 0)
			scan_distrust(m);
		scan_free(m);
	}
	m->busy_since_ms = 0;
	if (rc == 0)
		mailbox_publish(m);
	waker_list_call(&wakers);
	*result = rc;
	return STEP_DONE;
}

/* Others hold the database (ERR_BUSY), or room was made on a full disk. */
static enum step
busy(struct mailbox *m, int rc, int64_t now_ms, int *result)
{
	if (!work_still_busy(&m->busy_since_ms, now_ms))
		return end(m, ERR_BUSY, result);
	return rc == ERR_BUSY ? STEP_WAIT_PEER : STEP_YIELD;
}

/* All messages are known: what another server says of them counts now. */
static enum step
finish(struct mailbox *m, int64_t now_ms, int *result)
{
	/* Somebody else opens the mailbox, and has found a list meanwhile:
	 * nobody is shown a part of it. */
	int rc = m->imported.check != NULL ? import_check(m, true, NULL) : 0;
	bool rest = m->imported.rest;

	if (rc == 0)
		rc = import_finish(m, NULL);
	/* what was taken over is told when it is durable: to be synced */
	if (rc == ERR_MORE || (rc == 0 && rest && m->unsynced))
		return STEP_YIELD;
	if (rc == ERR_BUSY || room_made_for(m->account, rc))
		return busy(m, rc, now_ms, result);
	return end(m, rc, result);
}

enum step
mailbox_refresh(struct mailbox *m, bool move_new, struct waker waker,
    int64_t now_ms, int64_t wall_ms, int *result)
{
	struct store *st;
	int rc;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	st = m->account->store;
	st->now_ms = now_ms;
	st->wall_ms = wall_ms;
	m->used = st->tick;
	if (m->scan == NULL) {
		rc = begin(m, move_new, wall_ms);
		if (rc == ERR_MORE)
			return STEP_YIELD;
		if (rc == ERR_BUSY)
			return busy(m, rc, now_ms, result);
		if (rc < 0)
			return end(m, rc, result);
		if (rc == 0)
			return finish(m, now_ms, result);
	}
	m->scan->move_new |= move_new;
	/* It waited for the database; whoever comes may know more by now. */
	if (m->scan->state == SCAN_DONE && !is_durable(m))
		m->scan->state = SCAN_SYNC;
	while (m->scan->state != SCAN_DONE) {
		enum scan_state before = m->scan->state;
		enum step step;

		rc = advance(m, m->scan, wall_ms, &step);
		if (rc == ERR_BUSY || room_made_for(m->account, rc))
			return busy(m, rc, now_ms, result);
		if (rc != 0 || m->scan == NULL)
			return end(m, rc != 0 ? rc : ERR_STALE, result);
		if (step == STEP_WAIT_SYNC)
			waker_list_add(&m->scan->wakers, waker);
		if (step != STEP_NEXT)
			return step;
		/* what has pieces isn't through with the first */
		if (before == m->scan->state && before >= SCAN_SORT &&
		    before <= SCAN_ADD)
			return STEP_YIELD;
	}
	return finish(m, now_ms, result);
}
