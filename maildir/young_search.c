/*
 * Files of young messages that aren't where they should be, looked for by the
 * thread of a round.
 *
 * A loss of power may leave the index and the directories of different minds:
 * a RENAME or a DELETE is in the one, and not in the others.  What the index
 * has in one mailbox then lies in another, or in one that it doesn't have; so a
 * file that isn't where it should be is looked for everywhere, lest half of it
 * be taken for new mail.  One that has none, and whose mailbox's directory has
 * another name, gets its file there: else that mailbox would have two names.
 *
 * While other programs rename files, readdir() may miss them.  A message that
 * has a file under a name nobody has seen must not be written anew, or it is
 * there twice; nor may its row go before that file is synced.  So it is missing
 * only if no mailbox changed while all were read: their mtimes are the same
 * after it, and were old enough before to show a change.  Otherwise they are
 * read again, and after some times the rows stay for the next pass.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/dir.h"
#include "maildir/young_impl.h"

enum {
	CLOCKS_DIFFER_S = 300,
	TICKS_MS = 20, /* of time stamps; changes within one look like one */
	TRIES = 5,
};

/* --- the mailboxes -------------------------------------------------------- */

struct place {
	char *path;
	uint64_t ino; /* of its cur/ */
	int64_t mtime_ns;
};

struct places {
	struct place *v;
	size_t n, cap;
	bool fresh; /* another change might not be seen */
};

static void
places_free(struct places *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i].path);
	free(p->v);
	*p = (struct places){ 0 };
}

static void
add_place(struct places *p, int root_fd, const char *path)
{
	char *cur = mem_printf("%s%scur", path, path[0] != '\0' ? "/" : "");
	struct stat st;
	int64_t age_ms;

	if (fsx_stat(root_fd, cur, &st) == 0) {
		if (p->n == p->cap) {
			p->cap = p->cap * 2 + 16;
			p->v = mem_realloc(p->v, p->cap, sizeof(*p->v));
		}
		p->v[p->n++] = (struct place){ mem_strdup(path), st.st_ino,
			st.st_mtim.tv_sec * INT64_C(1000000000) +
			    st.st_mtim.tv_nsec };
		age_ms = clock_wall() - p->v[p->n - 1].mtime_ns / 1000000;
		/* one to come is of a clock that was set back: no harm */
		p->fresh =
		    p->fresh || (age_ms <= TICKS_MS && age_ms >= -TICKS_MS);
	}
	free(cur);
}

/* All there are.  0 or ERR_*. */
static int
places_read(struct places *p, int root_fd)
{
	struct dir_reader r;
	struct slice name;

	places_free(p);
	add_place(p, root_fd, "");
	if (dir_reader_open(&r, root_fd, ".") < 0)
		return ERR_SYS;
	while (dir_reader_next(&r, &name))
		if (name.p[0] == '.')
			add_place(p, root_fd, (const char *)name.p);
	dir_reader_close(&r);
	return r.failed ? ERR_SYS : 0;
}

/* Wait until they are old enough, if nobody goes on changing them. */
static int
places_read_old(struct places *p, int root_fd)
{
	const struct timespec pause = { 0, TICKS_MS * 1000000L };
	int rc = places_read(p, root_fd);

	for (int i = 0; i < TRIES && rc == 0 && p->fresh; i++) {
		(void)nanosleep(&pause, NULL);
		rc = places_read(p, root_fd);
	}
	return rc;
}

static bool
same_places(const struct places *a, const struct places *b)
{
	bool same = !a->fresh && a->n == b->n;

	for (size_t i = 0; i < a->n && same; i++)
		same = a->v[i].ino == b->v[i].ino &&
		    a->v[i].mtime_ns == b->v[i].mtime_ns &&
		    strcmp(a->v[i].path, b->v[i].path) == 0;
	return same;
}

/* --- the files ------------------------------------------------------------ */

/* Rows that have their files there are of that directory then. */
static int
search_dir(struct young_round *rd, struct young_dir *d, size_t at, bool *any)
{
	struct dir_reader r;
	struct slice name;

	if (d->cur_fd < 0 || dir_reader_open(&r, d->cur_fd, ".") < 0)
		return d->gone ? 0 : ERR_SYS;
	while (dir_reader_next(&r, &name))
		for (size_t i = 0; i < rd->n; i++) {
			struct young_row *row = &rd->row[i];

			if (!row->lost || !young_row_is(row, name))
				continue;
			row->lost = false;
			row->is_there = *any = true;
			row->at = at;
			buf_reset(&row->found);
			buf_put(&row->found, name);
		}
	dir_reader_close(&r);
	return r.failed ? ERR_SYS : 0;
}

static int
search_path(struct young_round *rd, const char *path)
{
	struct young_dir *d = &rd->dir[rd->n_dirs];
	bool any = false;
	size_t at = 0;
	int rc;

	while (at < rd->n_dirs && strcmp(rd->dir[at].path, path) != 0)
		at++;
	if (at < rd->n_dirs)
		return search_dir(rd, &rd->dir[at], at, &any);
	*d = (struct young_dir){
		.path = mem_strdup(path), .tmp_fd = -1, .cur_fd = -1
	};
	young_dir_open(rd, d);
	rc = search_dir(rd, d, at, &any);
	if (any)
		rd->n_dirs++;
	else
		young_dir_close(d);
	return rc;
}

/* Since when the oldest of those that are lost may have been anywhere. */
static int64_t
lost_since(const struct young_round *rd)
{
	int64_t since = INT64_MAX;

	for (size_t i = 0; i < rd->n; i++)
		if (rd->row[i].lost && rd->row[i].written_s < since)
			since = rd->row[i].written_s;
	return since;
}

/* No more than a file of the last seconds can be elsewhere: so it is in a
 * directory that was changed since it was written. */
static int
search_places(struct young_round *rd, const struct places *p)
{
	int64_t since = lost_since(rd) - CLOCKS_DIFFER_S;
	int rc = 0;

	for (size_t i = 0; i < p->n && rc == 0; i++)
		if (p->v[i].mtime_ns / 1000000000 >= since)
			rc = search_path(rd, p->v[i].path);
	return rc;
}

/* Where its mailbox's directory is under another name. */
static void
find_home(struct young_round *rd, struct young_row *row, const struct places *p)
{
	struct young_dir *d = &rd->dir[rd->n_dirs];
	size_t i = 0, at = 0;

	while (i < p->n && p->v[i].ino != row->cur_ino)
		i++;
	if (i == p->n)
		return;
	while (at < rd->n_dirs && strcmp(rd->dir[at].path, p->v[i].path) != 0)
		at++;
	if (at == rd->n_dirs) {
		*d = (struct young_dir){ .path = mem_strdup(p->v[i].path),
			.tmp_fd = -1,
			.cur_fd = -1 };
		young_dir_open(rd, d);
		rd->n_dirs++;
	}
	if (rd->dir[at].cur_fd >= 0)
		row->at = at;
}

/* Messages that have no file, and whose mailbox has no directory, as far as the
 * index knows. */
static void
find_homes(struct young_round *rd, const struct places *p)
{
	for (size_t i = 0; i < rd->n; i++) {
		struct young_row *row = &rd->row[i];

		if (row->lost && row->rebooted && row->known &&
		    row->at != ROW_NOWHERE && rd->dir[row->at].gone &&
		    row->cur_ino != 0)
			find_home(rd, row, p);
	}
}

int
young_search(struct young_round *rd)
{
	struct places before = { 0 }, after = { 0 };
	bool still = false;
	int rc = 0;

	for (int i = 0;
	     i < TRIES && rc == 0 && !still && lost_since(rd) != INT64_MAX;
	     i++) {
		if ((rc = places_read_old(&before, rd->root_fd)) == 0 &&
		    (rc = search_places(rd, &before)) == 0)
			rc = places_read(&after, rd->root_fd);
		still = rc == 0 && same_places(&before, &after);
	}
	if (still)
		find_homes(rd, &after);
	places_free(&before);
	places_free(&after);
	if (rc == 0 && !still && lost_since(rd) != INT64_MAX)
		rc = ERR_BUSY;
	return rc;
}
