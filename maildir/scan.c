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
 *
 * A rename is one event that the old name went and another that the new one
 * came, and the first may be read before the second is there.  The kernel
 * queues both while it holds the directory's lock, and takes that lock for
 * readdir() too: so whenever a message seems to be missing, a piece of each
 * directory is read, and what comes then are all events of that time.
 *
 * Order of the states: READ new/, READ cur/ → TAKE the events → MOVE from
 * new/ to cur/ if wanted → CHANGE what is known, in one transaction → ADD what
 * is new, some thousand at a time → SYNC, then show.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/dir.h"
#include "maildir/edit.h"

enum {
	READ_SLICE = 2000, /* names in a step */
	MOVE_SLICE = 200,
	ADD_SLICE = 1024,
	NAMES_MAX_BYTES = 1 << 30,
};

enum scan_state {
	SCAN_READ,
	SCAN_TAKE,
	SCAN_MOVE,
	SCAN_CHANGE,
	SCAN_ADD,
	SCAN_FINISH,
	SCAN_SYNC,
	SCAN_DONE,
};

/* A name that isn't just what was known. */
struct found {
	size_t at, n; /* in names */
	bool in_new;
};

struct scan {
	enum scan_state state;
	bool move_new, again, unsure, settled;
	uint64_t change; /* of the mailbox, as far as this scan knows it */
	int which;	 /* DIR_* being read */
	bool reading;
	struct dir_reader r;
	bool read[2], events[2]; /* how each was looked at */
	int64_t mtime_ns[2];
	uint64_t ino[2];
	int64_t looked_ms[2]; /* wall time at which that began */

	struct view *base; /* when the reading began */
	uint8_t *seen;	   /* bit for each sequence number of base */
	struct buf names;
	struct found *found;
	size_t n_found, cap_found;
	size_t moved; /* found up to here are moved */
	struct found *absent;
	size_t n_absent, cap_absent;
	uint32_t *doubts;
	size_t n_doubts, cap_doubts;
	uint32_t *heard; /* ascending once all are there */
	size_t n_heard, cap_heard;
	struct found *adds;
	size_t n_adds, added;

	struct sync sync;
	uint32_t sync_uidnext;
	struct waker_list wakers;
};

static int64_t
mtime_of(const struct stat *st)
{
	return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
}

static int
stat_dir(struct mailbox *m, int which, struct stat *st)
{
	struct buf path;
	int rc;

	buf_init(&path, 1024);
	mailbox_put_path(m, &path, which == DIR_NEW ? "new" : "cur");
	rc = fsx_stat(m->account->root_fd, buf_cstr(&path), st);
	buf_fini(&path);
	return rc;
}

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
	free(s->adds);
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
	unchanged = d->clean && d->mtime_ns == mtime_of(st);
	if (unchanged && d->n_events == 0)
		return NEED_NOTHING;
	return d->complete ? NEED_EVENTS : NEED_READ;
}

/* Begin to watch; what was known and is unchanged since is complete. */
static int
watch_dirs(struct mailbox *m)
{
	struct stat st;

	for (int d = 0; d < 2; d++) {
		struct watched_dir *w = &m->dirs[d];

		if (w->wd >= 0)
			continue;
		watch_add(w);
		if (w->wd < 0 || !w->clean)
			continue;
		if (stat_dir(m, d, &st) < 0)
			return -1;
		w->complete =
		    w->ino == st.st_ino && w->mtime_ns == mtime_of(&st);
	}
	return 0;
}

static int
check_database(struct mailbox *m, struct err *e)
{
	struct account *a = m->account;
	int64_t version;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	if ((rc = db_version(&a->db, &version, e)) != 0)
		return account_db_failed(a, rc);
	/* the number counts within one connection */
	version += (int64_t)a->n_opened << 32;
	if (version == m->version)
		return 0;
	if ((rc = db_run(&a->db, db_stmt(&a->db, DB_BEGIN_READ), e)) != 0)
		return account_db_failed(a, rc);
	a->db.in_txn = true;
	rc = mailbox_reload(m, e);
	db_rollback(&a->db);
	if (rc != 0)
		return account_db_failed(a, rc);
	m->version = version;
	mailbox_publish(m);
	return 0;
}

static void
look_at(struct scan *s, int which, const struct stat *st, int64_t wall_ms)
{
	s->mtime_ns[which] = mtime_of(st);
	s->ino[which] = st->st_ino;
	s->looked_ms[which] = wall_ms;
}

/* 0: nothing to be done; 1: m->scan has been made; else ERR_*. */
static int
begin(struct mailbox *m, bool move_new, int64_t wall_ms)
{
	struct stat st[2];
	enum need need[2];
	struct scan *s;
	int rc = check_database(m, NULL);

	if (rc != 0)
		return rc;
	for (int d = 0; d < 2; d++) {
		if ((d == 0 && watch_dirs(m) < 0) ||
		    stat_dir(m, d, &st[d]) < 0) {
			rc = err_of_errno(errno);
			if (rc == ERR_NOT_FOUND)
				mailbox_set_gone(m);
			return rc;
		}
		need[d] = needs(&m->dirs[d], &st[d]);
	}
	if (need[0] == NEED_NOTHING && need[1] == NEED_NOTHING &&
	    !(move_new && m->n_new != 0) && !m->unsynced &&
	    m->durable_uidnext >= m->head->uidnext)
		return 0;
	m->scan = s = MEM_NEW(struct scan);
	s->move_new = move_new;
	s->change = m->change;
	s->base = view_ref(m->head);
	s->seen = mem_zalloc(s->base->count / 8 + 1, 1);
	buf_init(&s->names, NAMES_MAX_BYTES);
	for (int d = 0; d < 2; d++) {
		s->read[d] = need[d] == NEED_READ;
		s->events[d] = need[d] == NEED_EVENTS;
		look_at(s, d, &st[d], wall_ms);
	}
	s->state = SCAN_READ;
	return 1;
}

/* --- reading -------------------------------------------------------------- */

static bool
bit_get(const uint8_t *bits, uint32_t at)
{
	return bits[at / 8] >> (at % 8) & 1;
}

static void
bit_set(uint8_t *bits, uint32_t at, bool on)
{
	if (on)
		bits[at / 8] |= (uint8_t)(1u << (at % 8));
	else
		bits[at / 8] &= (uint8_t) ~(1u << (at % 8));
}

static struct slice
found_name(const struct scan *s, const struct found *f)
{
	return slice_of(buf_slice(&s->names).p + f->at, f->n);
}

static void
add_name(struct scan *s, struct found **v, size_t *n, size_t *cap,
    struct slice name, bool in_new)
{
	size_t at = buf_len(&s->names);

	if (*n == *cap) {
		*cap = *cap * 2 + 64;
		*v = mem_realloc(*v, *cap, sizeof(**v));
	}
	buf_put(&s->names, name);
	buf_putc(&s->names, '\0');
	if (buf_ok(&s->names))
		(*v)[(*n)++] = (struct found){ at, name.n, in_new };
}

static void
add_found(struct scan *s, struct slice name, bool in_new)
{
	add_name(s, &s->found, &s->n_found, &s->cap_found, name, in_new);
}

static bool
is_place(const struct chunk *c, uint32_t i, const struct file_name *f)
{
	return c->place[i] == f->place && slice_eq(chunk_odd(c, i), f->odd);
}

static bool
has_uid(const uint32_t *uids, size_t n, uint32_t uid)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (uids[mid] < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && uids[low] == uid;
}

static void
on_name(struct mailbox *m, struct scan *s, struct slice name, bool in_new)
{
	struct file_name f;
	struct chunk *c;
	uint32_t uid, i, seq;

	if (name.p[0] == '.')
		return;
	file_name_parse(name, in_new, &f);
	uid = mailbox_find_base(m, f.base);
	/* of a suspect every sign of life is wanted */
	if (uid != 0 && mailbox_find(m, uid, &c, &i) && is_place(c, i, &f) &&
	    !has_uid(m->suspects, m->n_suspects, uid) &&
	    (seq = view_find(s->base, uid)) != 0)
		bit_set(s->seen, seq, true);
	else
		add_found(s, name, in_new);
}

static int
open_dir(struct mailbox *m, struct scan *s, int64_t wall_ms)
{
	struct watched_dir *d = &m->dirs[s->which];
	struct stat st;
	struct buf path;
	int rc;

	/* From here on every event counts. */
	watch_drain(m->account->store);
	watch_drop_events(d);
	d->complete = d->wd >= 0;
	d->clean = false;
	if (stat_dir(m, s->which, &st) < 0)
		return -1;
	look_at(s, s->which, &st, wall_ms);
	buf_init(&path, 1024);
	mailbox_put_path(m, &path, s->which == DIR_NEW ? "new" : "cur");
	rc = dir_reader_open(&s->r, m->account->root_fd, buf_cstr(&path));
	buf_fini(&path);
	s->reading = rc == 0;
	return rc;
}

/* Whether cur/ needs reading is asked anew when new/ has been read. */
static int
next_dir(struct mailbox *m, struct scan *s, int64_t wall_ms)
{
	struct watched_dir *d;
	struct stat st;

	if (++s->which > DIR_CUR)
		return 0;
	d = &m->dirs[s->which];
	if (s->read[s->which] || s->again)
		return 0;
	if (stat_dir(m, s->which, &st) < 0)
		return -1;
	if (d->complete || (d->clean && d->mtime_ns == mtime_of(&st)))
		return 0;
	s->read[s->which] = true;
	look_at(s, s->which, &st, wall_ms);
	return 0;
}

static int
step_read(struct mailbox *m, struct scan *s, int64_t wall_ms, enum step *step)
{
	struct slice name;

	*step = STEP_NEXT;
	if (s->which > DIR_CUR) {
		s->state = SCAN_TAKE;
		return 0;
	}
	if (!s->read[s->which])
		return next_dir(m, s, wall_ms) < 0 ? err_of_errno(errno) : 0;
	if (!s->reading && open_dir(m, s, wall_ms) < 0)
		return err_of_errno(errno);
	for (int i = 0; i < READ_SLICE; i++) {
		if (dir_reader_next(&s->r, &name)) {
			on_name(m, s, name, s->which == DIR_NEW);
			continue;
		}
		s->reading = false;
		dir_reader_close(&s->r);
		if (s->r.failed)
			return ERR_SYS;
		return next_dir(m, s, wall_ms) < 0 ? err_of_errno(errno) : 0;
	}
	*step = STEP_YIELD;
	return 0;
}

/* --- events --------------------------------------------------------------- */

struct ordered_event {
	struct dir_event ev;
	size_t order;
};

static int
order_events(const void *a, const void *b)
{
	const struct ordered_event *x = a, *y = b;
	int rc = strcmp(x->ev.name, y->ev.name);

	return rc != 0 ? rc : x->order < y->order ? -1 : x->order > y->order;
}

/* The last event of each name says whether it is there. */
static void
take_events(struct scan *s, struct watched_dir *d)
{
	size_t n = d->n_events;
	struct ordered_event *v = mem_alloc((n + 1) * sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = (struct ordered_event){ d->events[i], i };
	qsort(v, n, sizeof(*v), order_events);
	for (size_t i = 0; i < n; i++) {
		struct slice name = slice_str(v[i].ev.name);

		if (i + 1 < n && strcmp(v[i].ev.name, v[i + 1].ev.name) == 0)
			continue;
		if (v[i].ev.present)
			add_found(s, name, d->is_new);
		else
			add_name(s, &s->absent, &s->n_absent, &s->cap_absent,
			    name, d->is_new);
	}
	free(v);
	watch_drop_events(d);
}

static void
add_doubt(struct scan *s, uint32_t uid)
{
	if (s->n_doubts == s->cap_doubts) {
		s->cap_doubts = s->cap_doubts * 2 + 64;
		s->doubts =
		    mem_realloc(s->doubts, s->cap_doubts, sizeof(*s->doubts));
	}
	s->doubts[s->n_doubts++] = uid;
}

/* A name went away: was it the file of a message? */
static void
doubt_absent(struct mailbox *m, struct scan *s, const struct found *f)
{
	struct file_name name;
	struct chunk *c;
	uint32_t uid, i;

	file_name_parse(found_name(s, f), f->in_new, &name);
	uid = mailbox_find_base(m, name.base);
	if (uid != 0 && mailbox_find(m, uid, &c, &i) && is_place(c, i, &name))
		add_doubt(s, uid);
}

/* Messages of the directories that were read whose files weren't seen. */
static void
doubt_unseen(struct mailbox *m, struct scan *s)
{
	uint32_t seq = 1;

	for (size_t k = 0; k < m->head->n_chunks; k++) {
		const struct chunk *c = m->head->v[k];

		for (uint32_t i = 0; i < c->n; i++) {
			int which = c->place[i] & PLACE_NEW ? DIR_NEW : DIR_CUR;

			while (seq <= s->base->count &&
			    view_get(s->base, seq)->uid < c->m[i].uid)
				seq++;
			if (seq > s->base->count)
				return;
			if (view_get(s->base, seq)->uid == c->m[i].uid &&
			    s->read[which] && !bit_get(s->seen, seq))
				add_doubt(s, c->m[i].uid);
		}
	}
}

/* Wait for renames under way, and for their events (see above). */
static void
wait_for_renames(struct mailbox *m)
{
	struct dir_reader r;
	struct slice name;

	for (int d = 0; d < 2; d++) {
		int fd = mailbox_dir_fd(m, d);

		if (fd < 0 || dir_reader_open(&r, fd, ".") < 0)
			continue;
		(void)dir_reader_next(&r, &name);
		dir_reader_close(&r);
	}
}

static void
step_take(struct mailbox *m, struct scan *s, int64_t wall_ms)
{
	watch_drain(m->account->store);
	for (int d = 0; d < 2; d++) {
		struct watched_dir *w = &m->dirs[d];
		struct stat st;

		if (!w->complete) {
			watch_drop_events(w);
			/* it broke after begin() had counted on it */
			if (s->events[d])
				s->events[d] = w->clean = false;
			continue;
		}
		/* All changes until this stat() have been drained or come as
		 * further events. */
		if (!s->read[d] && stat_dir(m, d, &st) == 0 &&
		    st.st_ino == w->ino) {
			look_at(s, d, &st, wall_ms);
			s->events[d] = true;
			watch_drain(m->account->store);
		}
		take_events(s, w);
	}
	for (size_t i = 0; i < s->n_absent; i++)
		doubt_absent(m, s, &s->absent[i]);
	for (size_t i = 0; i < m->n_suspects; i++)
		add_doubt(s, m->suspects[i]);
	if (s->read[0] || s->read[1])
		doubt_unseen(m, s);
	if (s->n_doubts != 0 && !s->settled) {
		s->settled = true;
		wait_for_renames(m);
		return;
	}
	s->state = s->move_new ? SCAN_MOVE : SCAN_CHANGE;
	s->moved = 0;
}

/* --- new/ to cur/ --------------------------------------------------------- */

/* Rename one; its name in cur/ is appended to found. */
static void
move_one(struct mailbox *m, struct scan *s, struct slice name,
    const struct file_name *f)
{
	struct buf to;
	char *from = slice_dup(name);
	int new_fd = mailbox_dir_fd(m, DIR_NEW);
	int cur_fd = mailbox_dir_fd(m, DIR_CUR);

	buf_init(&to, 1024);
	file_name_put(&to, f->base, (f->place & PLACE_LETTERS) | PLACE_INFO,
	    slice_of(NULL, 0));
	/* Somebody else may have been faster, or the name be too long: it
	 * stays where it is, and is listed from there. */
	if (new_fd >= 0 && cur_fd >= 0 &&
	    fsx_rename_new(new_fd, from, cur_fd, buf_cstr(&to)) == 0)
		add_found(s, buf_slice(&to), false);
	buf_fini(&to);
	free(from);
}

/* Messages that were listed in new/ by an earlier session. */
static void
collect_known_new(struct mailbox *m, struct scan *s)
{
	struct buf name;

	if (m->n_new == 0)
		return;
	buf_init(&name, 1024);
	for (size_t k = 0; k < m->head->n_chunks; k++) {
		const struct chunk *c = m->head->v[k];

		for (uint32_t i = 0; i < c->n; i++) {
			if (!(c->place[i] & PLACE_NEW))
				continue;
			(void)message_name(&name, c, i);
			add_found(s, buf_slice(&name), true);
		}
	}
	buf_fini(&name);
}

static enum step
step_move(struct mailbox *m, struct scan *s)
{
	if (s->moved == 0)
		collect_known_new(m, s);
	for (int n = 0; n < MOVE_SLICE && s->moved < s->n_found; s->moved++) {
		struct found f = s->found[s->moved];
		struct file_name name;
		char *copy;

		if (!f.in_new)
			continue;
		/* names may move as it grows */
		copy = slice_dup(found_name(s, &f));
		file_name_parse(slice_of(copy, f.n), true, &name);
		move_one(m, s, slice_of(copy, f.n), &name);
		free(copy);
		n++;
	}
	if (s->moved < s->n_found)
		return STEP_YIELD;
	s->state = SCAN_CHANGE;
	return STEP_NEXT;
}

/* --- changes -------------------------------------------------------------- */

static int
order_found(const void *a, const void *b, void *arg)
{
	const struct scan *s = arg;
	const struct found *x = a, *y = b;
	struct file_name f, g;
	int rc;

	file_name_parse(found_name(s, x), x->in_new, &f);
	file_name_parse(found_name(s, y), y->in_new, &g);
	rc = slice_cmp(f.base, g.base);
	if (rc != 0)
		return rc;
	if (x->in_new != y->in_new)
		return x->in_new ? 1 : -1;
	return slice_cmp(found_name(s, x), found_name(s, y));
}

static int
order_adds(const void *a, const void *b, void *arg)
{
	const struct scan *s = arg;

	return file_name_order(found_name(s, a), found_name(s, b));
}

static bool
exists(struct mailbox *m, bool in_new, const char *name)
{
	int fd = mailbox_dir_fd(m, in_new ? DIR_NEW : DIR_CUR);
	struct stat st;

	return fd >= 0 && (fsx_stat(fd, name, &st) == 0 || errno != ENOENT);
}

static bool
place_exists(struct mailbox *m, const struct chunk *c, uint32_t i)
{
	struct buf name;
	bool result;

	buf_init(&name, 1024);
	result = exists(
	    m, (c->place[i] & PLACE_NEW) != 0, message_name(&name, c, i));
	buf_fini(&name);
	return result;
}

/* Of the names found[from … to) with one base name, one that is there. */
static const struct found *
choose(struct mailbox *m, const struct scan *s, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct found *f = &s->found[i];

		if (exists(m, f->in_new, (const char *)found_name(s, f).p))
			return f;
	}
	return NULL;
}

/* A name of it was seen: should that have gone again by now, then what tells
 * why is still to come. */
static void
add_heard(struct scan *s, uint32_t uid)
{
	if (s->n_heard == s->cap_heard) {
		s->cap_heard = s->cap_heard * 2 + 64;
		s->heard =
		    mem_realloc(s->heard, s->cap_heard, sizeof(*s->heard));
	}
	s->heard[s->n_heard++] = uid;
}

static void
change_one(
    struct edit *ed, struct scan *s, uint32_t uid, size_t from, size_t to)
{
	struct mailbox *m = ed->m;
	const struct found *f;
	struct file_name name;
	size_t at;
	uint32_t i;

	if (!edit_find(ed, uid, &at, &i))
		return;
	add_heard(s, uid);
	for (size_t k = from; k < to; k++) {
		file_name_parse(
		    found_name(s, &s->found[k]), s->found[k].in_new, &name);
		if (is_place(ed->v[at], i, &name) &&
		    place_exists(m, ed->v[at], i))
			return;
	}
	/* Of two files with one base name the known one stays. */
	f = choose(m, s, from, to);
	if (f == NULL || place_exists(m, ed->v[at], i))
		return;
	file_name_parse(found_name(s, f), f->in_new, &name);
	edit_set(ed, at, i, name.place, name.odd, ed->v[at]->m[i].keywords);
}

/* Go through what was found: changes are made, the rest goes to adds. */
static void
change_found(struct edit *ed, struct scan *s)
{
	struct file_name f, g;
	size_t to;

	s->n_adds = 0;
	for (size_t from = 0; from < s->n_found; from = to) {
		uint32_t uid;

		file_name_parse(
		    found_name(s, &s->found[from]), s->found[from].in_new, &f);
		for (to = from + 1; to < s->n_found; to++) {
			file_name_parse(found_name(s, &s->found[to]),
			    s->found[to].in_new, &g);
			if (!slice_eq(f.base, g.base))
				break;
		}
		uid = mailbox_find_base(ed->m, f.base);
		if (uid != 0)
			change_one(ed, s, uid, from, to);
		else if (to == from + 1)
			s->adds[s->n_adds++] = s->found[from];
		else {
			const struct found *one = choose(ed->m, s, from, to);

			if (one != NULL)
				s->adds[s->n_adds++] = *one;
		}
	}
}

static int
order_uids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Whether an absence can be believed, for want of a watch: the last reading
 * missed it as well, and nothing changed in between. */
static bool
missed_before(struct mailbox *m, uint32_t uid)
{
	struct stat st;

	if (!has_uid(m->suspects, m->n_suspects, uid))
		return false;
	for (int d = 0; d < 2; d++)
		if (stat_dir(m, d, &st) < 0 ||
		    mtime_of(&st) != m->suspects_mtime[d])
			return false;
	return true;
}

static void
remember_suspects(struct mailbox *m, const uint32_t *uids, size_t n)
{
	struct stat st;

	m->suspects = mem_realloc(m->suspects, n + 1, sizeof(*m->suspects));
	if (n != 0)
		memcpy(m->suspects, uids, n * sizeof(*uids));
	m->n_suspects = n;
	for (int d = 0; d < 2; d++)
		m->suspects_mtime[d] =
		    stat_dir(m, d, &st) == 0 ? mtime_of(&st) : -1;
}

static void
change_missing(struct edit *ed, struct scan *s)
{
	struct mailbox *m = ed->m;
	bool sure = m->dirs[DIR_NEW].complete && m->dirs[DIR_CUR].complete;
	uint32_t *unsure = mem_alloc((s->n_doubts + 1) * sizeof(*unsure)), i;
	size_t n = 0, at;

	if (s->n_heard != 0)
		qsort(s->heard, s->n_heard, sizeof(*s->heard), order_uids);
	/* a doubt itself, so that it isn't forgotten */
	for (size_t k = 0; k < s->n_heard; k++)
		add_doubt(s, s->heard[k]);
	if (s->n_doubts != 0)
		qsort(s->doubts, s->n_doubts, sizeof(*s->doubts), order_uids);
	for (size_t k = 0; k < s->n_doubts; k++) {
		uint32_t uid = s->doubts[k];

		if ((k != 0 && uid == s->doubts[k - 1]) ||
		    !edit_find(ed, uid, &at, &i) ||
		    place_exists(m, ed->v[at], i))
			continue;
		if (!has_uid(s->heard, s->n_heard, uid) &&
		    (sure || missed_before(m, uid)))
			edit_remove(ed, at, i);
		else
			unsure[n++] = uid;
	}
	s->unsure = n != 0;
	remember_suspects(m, unsure, n);
	free(unsure);
}

/* Commit; what this scan changes itself is no surprise to it. */
static int
finish_edit(struct edit *ed, struct scan *s)
{
	struct mailbox *m = ed->m;
	bool alone = m->change == s->change;
	int rc = edit_commit(ed, NULL);

	if (rc == 0 && alone)
		s->change = m->change;
	return rc;
}

static int
step_change(struct mailbox *m, struct scan *s)
{
	struct edit ed;
	int rc;

	if (!buf_ok(&s->names))
		return ERR_LIMIT;
	s->unsure = false;
	s->state = SCAN_ADD;
	s->added = s->n_adds = 0;
	if (s->n_found == 0 && s->n_doubts == 0)
		return 0;
	if ((rc = edit_begin(&ed, m, NULL)) != 0) {
		s->state = SCAN_CHANGE;
		return rc;
	}
	if (s->n_found != 0)
		qsort_r(
		    s->found, s->n_found, sizeof(*s->found), order_found, s);
	s->adds = mem_realloc(s->adds, s->n_found + 1, sizeof(*s->adds));
	change_found(&ed, s);
	change_missing(&ed, s);
	if (s->n_adds != 0)
		qsort_r(s->adds, s->n_adds, sizeof(*s->adds), order_adds, s);
	if ((rc = finish_edit(&ed, s)) != 0)
		s->state = SCAN_CHANGE;
	else
		mailbox_publish(m);
	return rc;
}

/* Mail of a deliverer that keeps no account of the quota is added by us. */
static int64_t
uncounted_size(struct mailbox *m, const struct found *f, struct slice name)
{
	uint64_t size;
	struct stat st;
	int fd;

	if (file_name_size(name, &size))
		return 0;
	fd = mailbox_dir_fd(m, f->in_new ? DIR_NEW : DIR_CUR);
	if (fd < 0 || fsx_stat(fd, (const char *)name.p, &st) < 0)
		return 0;
	return st.st_size;
}

static int
step_add(struct mailbox *m, struct scan *s, int64_t wall_ms)
{
	const struct fixed fixed = { TIME_UNKNOWN, wall_ms, SIZE_UNKNOWN,
		SIZE_UNKNOWN };
	bool quota = quota_active(m->account);
	int64_t bytes = 0, messages = 0;
	struct edit ed;
	size_t end = s->added + ADD_SLICE;
	int rc = 0;

	if (end > s->n_adds)
		end = s->n_adds;
	if (s->added == s->n_adds) {
		s->state = SCAN_FINISH;
		return 0;
	}
	if ((rc = edit_begin(&ed, m, NULL)) != 0)
		return rc;
	for (size_t i = s->added; i < end && rc == 0; i++) {
		struct slice name = found_name(s, &s->adds[i]);
		struct file_name f;
		uint32_t uid;
		int64_t size;

		file_name_parse(name, s->adds[i].in_new, &f);
		/* Somebody else may have given it its UID meanwhile, or even
		 * have expunged it again. */
		if (mailbox_find_base(m, f.base) != 0)
			continue;
		if (m->change != s->change &&
		    !exists(m, s->adds[i].in_new, (const char *)name.p)) {
			s->unsure = true;
			continue;
		}
		rc = edit_append(&ed, &f, 0, &fixed, &uid, NULL);
		if (quota && quota_counts(m, f.place) &&
		    (size = uncounted_size(m, &s->adds[i], name)) != 0) {
			bytes += size;
			messages++;
		}
	}
	if (rc != 0) {
		edit_abort(&ed);
		return rc;
	}
	if ((rc = finish_edit(&ed, s)) != 0)
		return rc;
	s->added = end;
	if (messages != 0)
		quota_note(m->account, bytes, messages);
	return 0;
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
	    !s->unsure && (s->read[which] || d->complete) &&
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
	s->n_heard = 0;
	s->settled = false;
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
	/* A client waits: the second reading at once. */
	if (s->unsure && !s->again) {
		restart(m, s);
		return;
	}
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
		if ((rc = account_synced(a, s->sync.error)) != 0) {
			m->unsynced = true;
			return rc;
		}
		if (m->durable_uidnext < s->sync_uidnext)
			m->durable_uidnext = s->sync_uidnext;
	}
	if (!m->unsynced && m->durable_uidnext >= m->head->uidnext) {
		s->state = SCAN_DONE;
		return 0;
	}
	if ((rc = account_sync_fds(a, &fds, NULL)) != 0)
		return rc;
	s->sync_uidnext = m->head->uidnext;
	m->unsynced = false;
	sync_start(&s->sync, a->store->opt.syncer, &fds,
	    (struct waker){ on_synced, m });
	return 0;
}

static int
advance(struct mailbox *m, struct scan *s, int64_t wall_ms, enum step *step)
{
	*step = STEP_NEXT;
	switch (s->state) {
	case SCAN_READ:
		return step_read(m, s, wall_ms, step);
	case SCAN_TAKE:
		step_take(m, s, wall_ms);
		return 0;
	case SCAN_MOVE:
		*step = step_move(m, s);
		return 0;
	case SCAN_CHANGE:
		return step_change(m, s);
	case SCAN_ADD:
		return step_add(m, s, wall_ms);
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

static enum step
busy(struct mailbox *m, int64_t now_ms, int *result)
{
	if (m->busy_since_ms == 0)
		m->busy_since_ms = now_ms;
	if (now_ms - m->busy_since_ms > BUSY_MAX_MS)
		return end(m, ERR_BUSY, result);
	return STEP_YIELD;
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
		if (rc == ERR_BUSY)
			return busy(m, now_ms, result);
		if (rc <= 0)
			return end(m, rc, result);
	}
	m->scan->move_new |= move_new;
	while (m->scan->state != SCAN_DONE) {
		enum scan_state before = m->scan->state;
		enum step step;

		rc = advance(m, m->scan, wall_ms, &step);
		if (rc == ERR_BUSY)
			return busy(m, now_ms, result);
		if (rc != 0 || m->scan == NULL)
			return end(m, rc != 0 ? rc : ERR_STALE, result);
		if (step == STEP_WAIT_SYNC)
			waker_list_add(&m->scan->wakers, waker);
		if (step != STEP_NEXT)
			return step;
		if (before == SCAN_ADD && m->scan->state == SCAN_ADD)
			return STEP_YIELD;
	}
	return end(m, 0, result);
}
