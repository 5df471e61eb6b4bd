#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/scan.h"

enum { READ_SLICE = 2000 }; /* names in a step */

int64_t
scan_mtime(const struct stat *st)
{
	return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
}

int
scan_stat_dir(struct mailbox *m, int which, struct stat *st)
{
	const char *name = which == DIR_NEW ? "new" : "cur";
	struct buf path;
	int rc;

	if (m->dir[0] == '\0')
		return fsx_stat(m->account->root_fd, name, st);
	buf_init(&path, 1024);
	mailbox_put_path(m, &path, name);
	rc = fsx_stat(m->account->root_fd, buf_cstr(&path), st);
	buf_fini(&path);
	return rc;
}

void
scan_look_at(struct scan *s, int which, const struct stat *st, int64_t wall_ms)
{
	s->mtime_ns[which] = scan_mtime(st);
	s->ino[which] = st->st_ino;
	s->looked_ms[which] = wall_ms;
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

struct slice
scan_name(const struct scan *s, const struct found *f)
{
	return slice_of(buf_slice(&s->names).p + f->at, f->n);
}

static void
add_name(struct scan *s, struct found **v, size_t *n, size_t *cap,
    struct slice name, bool in_new)
{
	size_t at = buf_len(&s->names);
	struct file_name f;

	file_name_parse(name, in_new, &f);
	if (*n == *cap) {
		*cap = *cap * 2 + 64;
		*v = mem_realloc(*v, *cap, sizeof(**v));
	}
	buf_put(&s->names, name);
	buf_putc(&s->names, '\0');
	if (buf_ok(&s->names))
		(*v)[(*n)++] = (struct found){ .key = file_name_key(f.base),
			.at = (uint32_t)at,
			.n = (uint16_t)name.n,
			.n_base = (uint16_t)f.base.n,
			.in_new = in_new };
}

void
scan_add_found(struct scan *s, struct slice name, bool in_new)
{
	add_name(s, &s->found, &s->n_found, &s->cap_found, name, in_new);
}

bool
scan_is_place(const struct chunk *c, uint32_t i, const struct file_name *f)
{
	return chunk_place(c, i) == f->place &&
	    slice_eq(chunk_odd(c, i), f->odd);
}

bool
scan_has_uid(const uint32_t *uids, size_t n, uint32_t uid)
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
	if (uid != 0 && mailbox_find(m, uid, &c, &i) &&
	    scan_is_place(c, i, &f) &&
	    !scan_has_uid(m->suspects, m->n_suspects, uid) &&
	    (seq = view_find(s->base, uid)) != 0)
		bit_set(s->seen, seq, true);
	else
		scan_add_found(s, name, in_new);
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
	if (scan_stat_dir(m, s->which, &st) < 0)
		return -1;
	scan_look_at(s, s->which, &st, wall_ms);
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
	if (scan_stat_dir(m, s->which, &st) < 0)
		return -1;
	if (d->complete || (d->clean && d->mtime_ns == scan_mtime(&st)))
		return 0;
	s->read[s->which] = true;
	scan_look_at(s, s->which, &st, wall_ms);
	return 0;
}

int
scan_step_read(
    struct mailbox *m, struct scan *s, int64_t wall_ms, enum step *step)
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
			scan_add_found(s, name, d->is_new);
		else
			add_name(s, &s->absent, &s->n_absent, &s->cap_absent,
			    name, d->is_new);
	}
	free(v);
	watch_drop_events(d);
}

void
scan_add_uid(uint32_t **v, size_t *n, size_t *cap, uint32_t uid)
{
	if (*n == *cap) {
		*cap = *cap * 2 + 64;
		*v = mem_realloc(*v, *cap, sizeof(**v));
	}
	(*v)[(*n)++] = uid;
}

void
scan_add_doubt(struct scan *s, uint32_t uid)
{
	scan_add_uid(&s->doubts, &s->n_doubts, &s->cap_doubts, uid);
}

/* A name went away: was it the file of a message? */
static void
doubt_absent(struct mailbox *m, struct scan *s, const struct found *f)
{
	struct file_name name;
	struct chunk *c;
	uint32_t uid, i;

	file_name_parse(scan_name(s, f), f->in_new, &name);
	uid = mailbox_find_base(m, name.base);
	if (uid != 0 && mailbox_find(m, uid, &c, &i) &&
	    scan_is_place(c, i, &name))
		scan_add_doubt(s, uid);
}

/* Messages of the directories that were read whose files weren't seen. */
static void
doubt_unseen(struct mailbox *m, struct scan *s)
{
	uint32_t seq = 1;

	for (size_t k = 0; k < m->head->n_chunks; k++) {
		const struct chunk *c = m->head->v[k];

		for (uint32_t i = 0; i < c->n; i++) {
			int which =
			    chunk_place(c, i) & PLACE_NEW ? DIR_NEW : DIR_CUR;

			while (seq <= s->base->count &&
			    view_uid(s->base, seq) < chunk_uid(c, i))
				seq++;
			if (seq > s->base->count)
				return;
			if (view_uid(s->base, seq) == chunk_uid(c, i) &&
			    s->read[which] && !bit_get(s->seen, seq))
				scan_add_doubt(s, chunk_uid(c, i));
		}
	}
}

int
scan_settle(struct mailbox *m)
{
	struct dir_reader r;
	struct slice name;

	for (int d = 0; d < 2; d++) {
		int fd = mailbox_dir_fd(m, d);

		if (fd < 0 || dir_reader_open(&r, fd, ".") < 0)
			return err_of_errno(errno);
		(void)dir_reader_next(&r, &name);
		dir_reader_close(&r);
	}
	watch_drain(m->account->store);
	return 0;
}

/* Whether any name will be looked for, as far as is known. */
static bool
needs_index(const struct mailbox *m, const struct scan *s)
{
	return m->dirs[DIR_NEW].n_events != 0 ||
	    m->dirs[DIR_CUR].n_events != 0 || m->n_suspects != 0 ||
	    m->n_unnamed != 0 || (s->move_new && m->n_new != 0);
}

int
scan_step_take(
    struct mailbox *m, struct scan *s, int64_t wall_ms, enum step *step)
{
	watch_drain(m->account->store);
	if (needs_index(m, s) && !mailbox_index_step(m)) {
		*step = STEP_YIELD;
		return 0;
	}
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
		if (!s->read[d] && scan_stat_dir(m, d, &st) == 0 &&
		    st.st_ino == w->ino) {
			scan_look_at(s, d, &st, wall_ms);
			s->events[d] = true;
			watch_drain(m->account->store);
		}
		take_events(s, w);
	}
	for (size_t i = 0; i < s->n_absent; i++)
		doubt_absent(m, s, &s->absent[i]);
	for (size_t i = 0; i < m->n_suspects; i++)
		scan_add_doubt(s, m->suspects[i]);
	for (size_t i = 0; i < m->n_unnamed; i++)
		scan_add_doubt(s, m->unnamed[i]);
	free(m->unnamed);
	m->unnamed = NULL;
	m->n_unnamed = 0;
	if (s->read[0] || s->read[1])
		doubt_unseen(m, s);
	if (s->n_doubts != 0 && !s->settled) {
		s->settled = true;
		return scan_settle(m);
	}
	s->moved = 0;
	s->state = SCAN_MOVE;
	if (!s->move_new) {
		scan_sort_begin(s);
		s->state = SCAN_SORT;
	}
	return 0;
}
