/*
 * Which of the messages in doubt are gone.
 *
 * That a file isn't where it was last is no proof: it may have been renamed
 * since the events were taken, while others were looked at.  So, of those not
 * there, the events of the time up to now are asked once more: whoever has a
 * new name in them stays, and is dealt with when they are taken.
 *
 * Without a watch a message is gone when a reading missed it during which the
 * directories can't have changed: their mtime is what it was after the reading
 * before, which missed it too, and was old enough then to change with the
 * next rename.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/scan.h"
#include "maildir/young.h"

enum { LOOK_SLICE = 1000, TICKS_MS = 20 };

enum presence
scan_presence(struct mailbox *m, bool in_new, const char *name)
{
	int fd = mailbox_dir_fd(m, in_new ? DIR_NEW : DIR_CUR);
	struct stat st;

	if (fd >= 0 && fsx_stat(fd, name, &st) == 0)
		return PRESENT;
	return errno == ENOENT ? ABSENT : UNSEEN;
}

enum presence
scan_place_presence(struct mailbox *m, const struct chunk *c, uint32_t i)
{
	struct buf name;
	enum presence result;

	if (young_waits(m, chunk_uid(c, i)))
		return PRESENT;
	buf_init(&name, 1024);
	result = scan_presence(
	    m, (chunk_place(c, i) & PLACE_NEW) != 0, message_name(&name, c, i));
	buf_fini(&name);
	return result;
}

static int
order_uids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Put UIDs in order, each once. */
static void
tidy_uids(uint32_t *v, size_t *n)
{
	size_t kept = 0;

	if (*n == 0)
		return;
	qsort(v, *n, sizeof(*v), order_uids);
	for (size_t i = 0; i < *n; i++)
		if (kept == 0 || v[kept - 1] != v[i])
			v[kept++] = v[i];
	*n = kept;
}

void
scan_note_still(struct mailbox *m, int64_t wall_ms, int64_t mtime_ns[2])
{
	int64_t grain_ms = m->account->remote ? GRANULARITY_MS : TICKS_MS;
	struct stat st;

	for (int d = 0; d < 2; d++) {
		mtime_ns[d] = -1;
		if (scan_stat_dir(m, d, &st) == 0 &&
		    scan_mtime(&st) / 1000000 + grain_ms <= wall_ms)
			mtime_ns[d] = scan_mtime(&st);
	}
}

bool
scan_is_still(struct mailbox *m, const int64_t mtime_ns[2])
{
	struct stat st;

	for (int d = 0; d < 2; d++)
		if (mtime_ns[d] < 0 || scan_stat_dir(m, d, &st) < 0 ||
		    scan_mtime(&st) != mtime_ns[d])
			return false;
	return true;
}

struct look {
	struct edit ed;
	struct {
		uint32_t uid;
		bool renamed; /* events tell of a new name */
	} absent[LOOK_SLICE]; /* ascending */
	size_t n;
};

/* Note which of the absent have another name by now. */
static void
spare_renamed(struct look *l, const struct watched_dir *w)
{
	for (size_t i = 0; i < w->n_events; i++) {
		struct file_name f;
		uint32_t uid, *found;

		if (!w->events[i].present)
			continue;
		file_name_parse(slice_str(w->events[i].name), w->is_new, &f);
		uid = mailbox_find_base(w->m, f.base);
		/* a struct begins with its first member */
		found = bsearch(
		    &uid, l->absent, l->n, sizeof(l->absent[0]), order_uids);
		if (found != NULL)
			l->absent[(size_t)((char *)found - (char *)l->absent) /
			     sizeof(l->absent[0])]
			    .renamed = true;
	}
}

/* Whether the directories must be read before it is known that this message has
 * no file: one that is as old as the known one is told by no event. */
static bool
may_have_twin(const struct mailbox *m, const struct scan *s, uint32_t uid)
{
	return !(s->read[DIR_NEW] && s->read[DIR_CUR]) &&
	    scan_has_uid(m->twins, m->n_twins, uid);
}

/* Remove what is surely gone of the absent. */
static int
judge(struct look *l, struct scan *s)
{
	struct mailbox *m = l->ed.m;
	bool sure, still;
	uint32_t i;
	size_t at;
	int rc = scan_settle(m);

	if (rc != 0)
		return rc;
	sure = m->dirs[DIR_NEW].complete && m->dirs[DIR_CUR].complete;
	/* without a watch: the reading just done missed nothing */
	still = !sure && scan_is_still(m, m->suspects_mtime);
	for (int d = 0; d < 2 && sure; d++)
		spare_renamed(l, &m->dirs[d]);
	for (size_t k = 0; k < l->n; k++) {
		uint32_t uid = l->absent[k].uid;

		rc = young_help(m, uid, uid < s->log_uidnext, NULL);
		if (rc < 0)
			return rc;
		if (rc == 1)
			continue;
		if (may_have_twin(m, s, uid))
			s->reread = true;
		else if (!l->absent[k].renamed &&
		    !scan_has_uid(s->heard, s->n_heard, uid) &&
		    (sure ||
			(still &&
			    scan_has_uid(m->suspects, m->n_suspects, uid))) &&
		    edit_find(&l->ed, uid, &at, &i)) {
			edit_remove(&l->ed, at, i);
			continue;
		}
		scan_add_uid(
		    &s->unsure_uids, &s->n_unsure, &s->cap_unsure, uid);
	}
	return 0;
}

/* The disk doesn't say whether it is there. */
static void
doubt_still(struct mailbox *m, struct scan *s, uint32_t uid)
{
	if (scan_has_uid(s->listed, s->n_listed, uid))
		return;
	scan_add_uid(&s->unsure_uids, &s->n_unsure, &s->cap_unsure, uid);
	s->reread = s->reread || may_have_twin(m, s, uid);
}

/* The doubts up to end, which aren't all where they were. */
static int
look_at(struct mailbox *m, struct scan *s, size_t end)
{
	struct look *l = MEM_NEW(struct look);
	size_t n_unsure = s->n_unsure, at;
	uint32_t i;
	int rc = edit_begin(&l->ed, m, NULL);

	if (rc != 0)
		goto out;
	for (size_t k = s->looked; k < end; k++) {
		enum presence p = edit_find(&l->ed, s->doubts[k], &at, &i)
		    ? scan_place_presence(m, l->ed.v[at], i)
		    : PRESENT;

		if (p == ABSENT)
			l->absent[l->n++].uid = s->doubts[k];
		else if (p == UNSEEN)
			doubt_still(m, s, s->doubts[k]);
	}
	if ((rc = judge(l, s)) != 0) {
		edit_abort(&l->ed);
	} else if ((rc = scan_commit(&l->ed, s)) == 0) {
		mailbox_publish(m);
	}
	if (rc != 0)
		s->n_unsure = n_unsure;
out:
	free(l);
	return rc;
}

/* Whether any of the doubts up to end is worth a transaction. */
static bool
any_missing(struct mailbox *m, const struct scan *s, size_t end)
{
	struct chunk *c;
	uint32_t i;

	for (size_t k = s->looked; k < end; k++)
		if (mailbox_find(m, s->doubts[k], &c, &i) &&
		    scan_place_presence(m, c, i) != PRESENT)
			return true;
	return false;
}

/* What stays in doubt is asked for again by the next scan. */
static void
remember_suspects(struct mailbox *m, struct scan *s, int64_t wall_ms)
{
	tidy_uids(s->unsure_uids, &s->n_unsure);
	free(m->suspects);
	m->suspects = s->unsure_uids;
	m->n_suspects = s->n_unsure;
	s->unsure_uids = NULL;
	s->n_unsure = s->cap_unsure = 0;
	m->suspects_mtime[0] = m->suspects_mtime[1] = -1;
	if (m->n_suspects != 0)
		scan_note_still(m, wall_ms, m->suspects_mtime);
}

void
scan_note_twins(struct mailbox *m, const struct scan *s)
{
	bool any = m->n_twins != 0;

	/* all there are were seen */
	if (s->read[DIR_NEW] && s->read[DIR_CUR])
		m->n_twins = 0;
	if (s->n_twins != 0) {
		m->twins = mem_realloc(
		    m->twins, m->n_twins + s->n_twins, sizeof(*m->twins));
		memcpy(m->twins + m->n_twins, s->twins,
		    s->n_twins * sizeof(*m->twins));
		m->n_twins += s->n_twins;
		tidy_uids(m->twins, &m->n_twins);
	}
	if (any != (m->n_twins != 0))
		m->meta_dirty = true;
}

int
scan_step_missing(struct mailbox *m, struct scan *s, int64_t wall_ms)
{
	size_t end;
	int rc = 0;

	if (s->looked == 0) {
		tidy_uids(s->heard, &s->n_heard);
		tidy_uids(s->listed, &s->n_listed);
		tidy_uids(s->doubts, &s->n_doubts);
		scan_note_twins(m, s);
	}
	end = s->looked + LOOK_SLICE;
	if (end > s->n_doubts)
		end = s->n_doubts;
	if (any_missing(m, s, end))
		rc = look_at(m, s, end);
	if (rc != 0)
		return rc;
	s->looked = end;
	if (end < s->n_doubts)
		return 0;
	s->unsure = s->n_unsure != 0;
	remember_suspects(m, s, wall_ms);
	s->state = SCAN_ADD;
	s->added = 0;
	return 0;
}
