#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/quota.h"
#include "maildir/scan.h"

/* Of messages in a step; a change costs as much as looking up so many. */
enum {
	MOVE_SLICE = 200,
	ADD_SLICE = 4096,
	CHANGE_SLICE = 8192,
	CHANGE_COST = 16,
	AHEAD = 8, /* names fetched before they are looked at */
};

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
			if (!(chunk_place(c, i) & PLACE_NEW))
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
	scan_sort_begin(s);
	s->state = SCAN_SORT;
	return STEP_NEXT;
}

/* --- changes -------------------------------------------------------------- */

/* Of several names with one base name: */
struct choice {
	const struct found *f; /* one that is there, else one that may be */
	enum presence presence;
	unsigned n; /* that are there, or may be: one, or more than one */
	int error;  /* UNSEEN: why */
};

/* Of the names found[from … to); but for message i's known one, unless c is
 * NULL. */
static struct choice
choose(struct mailbox *m, const struct scan *s, size_t from, size_t to,
    const struct chunk *c, uint32_t i)
{
	struct choice ch = { .presence = ABSENT };

	for (size_t k = from; k < to; k++) {
		const struct found *f = &s->found[k];
		struct slice text = scan_name(s, f);
		struct file_name name;
		enum presence p;

		file_name_parse(text, f->in_new, &name);
		if (c != NULL && scan_is_place(c, i, &name))
			continue;
		p = scan_presence(m, f->in_new, (const char *)text.p);
		if (p == UNSEEN)
			ch.error = errno;
		if (p == ABSENT)
			continue;
		ch.n++;
		if (ch.f == NULL || p == PRESENT) {
			ch.f = f;
			ch.presence = p;
		}
		if (ch.presence == PRESENT && ch.n > 1)
			break;
	}
	return ch;
}

static void
add_twin(struct scan *s, uint32_t uid)
{
	scan_add_uid(&s->twins, &s->n_twins, &s->cap_twins, uid);
}

/*
 * Of several names the disk doesn't say which is the file's.  One that is
 * passed over is told by no event again: so for now all stays as it is, and the
 * directories are read once more.  If it still doesn't say it of one that was
 * listed then, that is taken: a damaged file keeps nobody from other messages.
 */
static bool
put_off(struct mailbox *m, struct scan *s, const struct choice *ch)
{
	char text[256];

	if (!s->again || !s->read[DIR_NEW] || !s->read[DIR_CUR]) {
		s->reread = true;
		return true;
	}
	if (!s->told)
		log_warn("maildir: a message of several files can't be looked "
			 "at path=%s mailbox=%s file=%s: %s",
		    m->account->path, m->name,
		    log_safe(scan_name(s, ch->f), text, sizeof(text)),
		    strerror(ch->error));
	s->told = true;
	return false;
}

/* Whether any of the names is the one that message i is known by. */
static bool
is_listed(const struct scan *s, size_t from, size_t to, const struct chunk *c,
    uint32_t i)
{
	struct file_name name;

	for (size_t k = from; k < to; k++) {
		const struct found *f = &s->found[k];

		file_name_parse(scan_name(s, f), f->in_new, &name);
		if (scan_is_place(c, i, &name))
			return true;
	}
	return false;
}

/*
 * Nothing is known to be there under any of a message's names: not under the
 * known one (ABSENT or UNSEEN; listed: by this look), nor under those of ch.
 * Which it has from now on; NULL: the one it had.
 */
static const struct found *
guess(struct mailbox *m, struct scan *s, uint32_t uid, enum presence known,
    bool listed, const struct choice *ch)
{
	bool only_one = ch->n == 0 ? listed : ch->n == 1 && known == ABSENT;

	/* nothing new */
	if (!only_one && known == UNSEEN && ch->n != 0 &&
	    scan_has_uid(m->twins, m->n_twins, uid) &&
	    !scan_has_uid(m->suspects, m->n_suspects, uid))
		return NULL;
	if (!only_one && (ch->n == 0 || put_off(m, s, ch))) {
		/* Should all have gone again by now, then what tells why is
		 * still to come: it isn't forgotten. */
		scan_add_doubt(s, uid);
		return NULL;
	}
	scan_add_uid(&s->listed, &s->n_listed, &s->cap_listed, uid);
	return known == UNSEEN && listed ? NULL : ch->f;
}

/* A message that was seen under another name, or more than once. */
static void
change_one(
    struct edit *ed, struct scan *s, uint32_t uid, size_t from, size_t to)
{
	struct mailbox *m = ed->m;
	struct file_name name;
	struct choice ch;
	size_t at;
	uint32_t i;
	enum presence known;

	if (!edit_find(ed, uid, &at, &i))
		return;
	scan_add_uid(&s->heard, &s->n_heard, &s->cap_heard, uid);
	known = scan_place_presence(m, ed->v[at], i);
	ch = choose(m, s, from, to, ed->v[at], i);
	if (ch.n > (known == ABSENT ? 1 : 0))
		add_twin(s, uid);
	/* Of two files with one base name the known one stays. */
	if (known == PRESENT)
		return;
	if (ch.presence != PRESENT)
		ch.f = guess(m, s, uid, known,
		    is_listed(s, from, to, ed->v[at], i), &ch);
	if (ch.f == NULL)
		return;
	file_name_parse(scan_name(s, ch.f), ch.f->in_new, &name);
	edit_set(ed, at, i, name.place, name.odd,
	    chunk_message(ed->v[at], i)->keywords);
}

/* One that isn't known: it is to be added, if it is still there. */
static void
add_one(struct mailbox *m, struct scan *s, size_t from, size_t to)
{
	struct choice ch = { &s->found[from], PRESENT, 1, 0 };

	if (to != from + 1)
		ch = choose(m, s, from, to, NULL, 0);
	if (ch.f == NULL || (ch.presence == UNSEEN && put_off(m, s, &ch)))
		return;
	if (s->n_adds == s->cap_adds) {
		s->cap_adds = s->cap_adds == 0 ? s->n_found : s->cap_adds * 2;
		s->adds = mem_realloc(s->adds, s->cap_adds, sizeof(*s->adds));
	}
	s->adds[s->n_adds] = *ch.f;
	s->adds[s->n_adds++].twin = ch.n > 1;
}

/* The end of those with the same base name. */
static size_t
group_end(const struct scan *s, size_t from)
{
	const struct found *f = &s->found[from];
	size_t to = from + 1;

	while (to < s->n_found && s->found[to].key == f->key &&
	    slice_eq(scan_base(s, &s->found[to]), scan_base(s, f)))
		to++;
	return to;
}

/* Go on with what was found: changes are made in ed, begun with the first one;
 * the rest goes to adds. */
static int
change_found(struct edit *ed, struct mailbox *m, struct scan *s)
{
	int work = 0, rc;

	while (s->changed < s->n_found && work < CHANGE_SLICE) {
		size_t from = s->changed, to = group_end(s, from);
		uint32_t uid =
		    mailbox_find_base(m, scan_base(s, &s->found[from]));

		if (uid != 0 && ed->m == NULL) {
			if ((rc = edit_begin(ed, m, NULL)) != 0) {
				ed->m = NULL;
				return rc;
			}
			/* others may have changed the mailbox */
			continue;
		}
		if (uid != 0)
			change_one(ed, s, uid, from, to);
		else
			add_one(m, s, from, to);
		work += uid != 0 ? CHANGE_COST : (int)(to - from);
		s->changed = to;
	}
	return 0;
}

int
scan_commit(struct edit *ed, struct scan *s)
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
	size_t changed = s->changed, n_adds = s->n_adds, n_heard = s->n_heard;
	size_t n_doubts = s->n_doubts, n_twins = s->n_twins;
	size_t n_listed = s->n_listed;
	struct edit ed = { .m = NULL };
	int rc;

	if (!buf_ok(&s->names))
		return ERR_LIMIT;
	if (changed == s->n_found) {
		s->state = SCAN_MISSING;
		return 0;
	}
	rc = change_found(&ed, m, s);
	if (ed.m == NULL)
		return rc;
	if ((rc = scan_commit(&ed, s)) == 0) {
		mailbox_publish(m);
		return 0;
	}
	/* not done: to be gone through again */
	s->changed = changed;
	s->n_adds = n_adds;
	s->n_heard = n_heard;
	s->n_doubts = n_doubts;
	s->n_twins = n_twins;
	s->n_listed = n_listed;
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

/* Somebody else has changed the mailbox: has it given this one its UID, or even
 * expunged it again? */
static bool
came_or_went(struct mailbox *m, struct scan *s, size_t i, struct slice base)
{
	const struct found *f = &s->adds[i];
	uint32_t uid = mailbox_find_base(m, base);

	if (uid == 0 &&
	    scan_presence(m, f->in_new, (const char *)scan_name(s, f).p) !=
		ABSENT)
		return false;
	if (uid == 0)
		s->unsure = true;
	else if (f->twin)
		add_twin(s, uid);
	return true;
}

int
scan_step_add(struct mailbox *m, struct scan *s, int64_t wall_ms)
{
	const struct fixed fixed = { .internal_ms = TIME_UNKNOWN,
		.save_ms = wall_ms,
		.file_size = SIZE_UNKNOWN,
		.wire_size = SIZE_UNKNOWN };
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

		/* names lie in the order of the directory, which is none */
		if (i + AHEAD < end)
			__builtin_prefetch(scan_name(s, &s->adds[i + AHEAD]).p);
		file_name_parse(name, s->adds[i].in_new, &f);
		if (m->change != s->change && came_or_went(m, s, i, f.base))
			continue;
		rc = edit_append(&ed, &f, 0, &fixed, &uid, NULL);
		if (rc == 0 && s->adds[i].twin)
			add_twin(s, uid);
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
	if ((rc = scan_commit(&ed, s)) != 0)
		return rc;
	s->added = end;
	if (messages != 0)
		quota_note(m->account, bytes, messages);
	return 0;
}
