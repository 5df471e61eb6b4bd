#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/scan.h"

enum { MOVE_SLICE = 200, ADD_SLICE = 1024 };

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
		scan_add_found(s, buf_slice(&to), false);
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
			scan_add_found(s, buf_slice(&name), true);
		}
	}
	buf_fini(&name);
}

enum step
scan_step_move(struct mailbox *m, struct scan *s)
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
		copy = slice_dup(scan_name(s, &f));
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

	file_name_parse(scan_name(s, x), x->in_new, &f);
	file_name_parse(scan_name(s, y), y->in_new, &g);
	rc = slice_cmp(f.base, g.base);
	if (rc != 0)
		return rc;
	if (x->in_new != y->in_new)
		return x->in_new ? 1 : -1;
	return slice_cmp(scan_name(s, x), scan_name(s, y));
}

static int
order_adds(const void *a, const void *b, void *arg)
{
	const struct scan *s = arg;

	return file_name_order(scan_name(s, a), scan_name(s, b));
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

		if (exists(m, f->in_new, (const char *)scan_name(s, f).p))
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
		    scan_name(s, &s->found[k]), s->found[k].in_new, &name);
		if (scan_is_place(ed->v[at], i, &name) &&
		    place_exists(m, ed->v[at], i))
			return;
	}
	/* Of two files with one base name the known one stays. */
	f = choose(m, s, from, to);
	if (f == NULL || place_exists(m, ed->v[at], i))
		return;
	file_name_parse(scan_name(s, f), f->in_new, &name);
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
		    scan_name(s, &s->found[from]), s->found[from].in_new, &f);
		for (to = from + 1; to < s->n_found; to++) {
			file_name_parse(scan_name(s, &s->found[to]),
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

	if (!scan_has_uid(m->suspects, m->n_suspects, uid))
		return false;
	for (int d = 0; d < 2; d++)
		if (scan_stat_dir(m, d, &st) < 0 ||
		    scan_mtime(&st) != m->suspects_mtime[d])
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
		    scan_stat_dir(m, d, &st) == 0 ? scan_mtime(&st) : -1;
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
		scan_add_doubt(s, s->heard[k]);
	if (s->n_doubts != 0)
		qsort(s->doubts, s->n_doubts, sizeof(*s->doubts), order_uids);
	for (size_t k = 0; k < s->n_doubts; k++) {
		uint32_t uid = s->doubts[k];

		if ((k != 0 && uid == s->doubts[k - 1]) ||
		    !edit_find(ed, uid, &at, &i) ||
		    place_exists(m, ed->v[at], i))
			continue;
		if (!scan_has_uid(s->heard, s->n_heard, uid) &&
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

int
scan_step_change(struct mailbox *m, struct scan *s)
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

/* Mail of a deliverer that keeps no account of the quota is added by us, unless
 * it was there already when all was counted. */
static int64_t
uncounted_size(struct mailbox *m, const struct found *f, struct slice name,
    int64_t counted_ns)
{
	uint64_t size;
	struct stat st;
	int fd;

	if (file_name_size(name, &size))
		return 0;
	fd = mailbox_dir_fd(m, f->in_new ? DIR_NEW : DIR_CUR);
	if (fd < 0 || fsx_stat(fd, (const char *)name.p, &st) < 0) {
		/* it may be there all the same, and count */
		if (errno != ENOENT)
			quota_distrust(m->account);
		return 0;
	}
	if (st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec <
	    counted_ns)
		return 0;
	return st.st_size;
}

int
scan_step_add(struct mailbox *m, struct scan *s, int64_t wall_ms)
{
	const struct fixed fixed = { TIME_UNKNOWN, wall_ms, SIZE_UNKNOWN,
		SIZE_UNKNOWN, ENDING_UNKNOWN, 0 };
	bool quota = quota_active(m->account);
	int64_t counted_ns = quota ? quota_counted_ns(m->account) : 0;
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
		struct slice name = scan_name(s, &s->adds[i]);
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
		    (size = uncounted_size(m, &s->adds[i], name, counted_ns)) !=
			0) {
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
