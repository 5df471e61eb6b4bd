#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/cache.h"
#include "maildir/dir.h"
#include "maildir/edit.h"
#include "maildir/name.h"

enum {
	TIDY_FILES = 200,
	TIDY_DIRS = 20,
	SWEEP_FILES = 1000,
	/* rows, of some KiB each */
	SWEEP_ROWS = 128,
	SWEEP_CACHED = 256,
};

/* Whether there may be anything but files that are gone or new. */
static bool
tidy_tmp(struct account *a, const char *dir, int64_t wall_ms)
{
	struct dir_reader r;
	struct buf path;
	struct slice name;
	struct stat st;
	bool others = false;
	int rc, n;

	buf_init(&path, 1024);
	buf_puts(&path, dir);
	buf_puts(&path, dir[0] != '\0' ? "/tmp" : "tmp");
	rc = dir_reader_open(&r, a->root_fd, buf_cstr(&path));
	buf_fini(&path);
	if (rc < 0)
		return true;
	for (n = 0; n < TIDY_FILES && dir_reader_next(&r, &name); n++) {
		const char *file = (const char *)name.p;

		if (fsx_stat(dir_reader_fd(&r), file, &st) < 0 ||
		    !S_ISREG(st.st_mode)) {
			others = true;
		} else if (st.st_ctim.tv_sec + TMP_AGE_S < wall_ms / 1000 &&
		    fsx_unlink(dir_reader_fd(&r), file) < 0) {
			others = true;
			break;
		}
	}
	others = others || n == TIDY_FILES || r.failed;
	dir_reader_close(&r);
	return others;
}

unsigned
tidy_tmps(struct account *a, unsigned at, int64_t wall_ms)
{
	struct dir_reader r;
	struct slice dir;
	unsigned n = 0, end = at + TIDY_DIRS;

	/* there alone deleted mailboxes lie */
	if (at == 0 && tidy_tmp(a, "", wall_ms))
		a->sweep = true;
	if (dir_reader_open(&r, a->root_fd, ".") < 0)
		return 0;
	/* a directory that comes or goes meanwhile may have another miss its
	 * turn, until the next time */
	while (n < end && dir_reader_next(&r, &dir))
		if (name_is_dir(dir) && n++ >= at)
			(void)tidy_tmp(a, (const char *)dir.p, wall_ms);
	dir_reader_close(&r);
	return n == end ? end : 0;
}

/* Empty a directory of its files; true: there may be more. */
static bool
remove_files(int dirfd, const char *name, int *budget)
{
	struct dir_reader r;
	struct slice file;

	if (dir_reader_open(&r, dirfd, name) < 0)
		return false;
	while (*budget > 0 && dir_reader_next(&r, &file)) {
		(*budget)--;
		if (fsx_unlink(dir_reader_fd(&r), (const char *)file.p) < 0)
			continue;
	}
	dir_reader_close(&r);
	return *budget == 0;
}

/* One deleted mailbox: its directories, then itself. */
static bool
remove_tree(int tmp_fd, const char *name, int *budget)
{
	int fd = fsx_open_dir(tmp_fd, name);
	struct dir_reader r;
	struct slice entry;
	bool more = false;

	if (fd < 0)
		return false;
	if (dir_reader_open(&r, fd, ".") == 0) {
		while (!more && dir_reader_next(&r, &entry)) {
			const char *sub = (const char *)entry.p;

			if (fsx_unlink(fd, sub) == 0)
				continue;
			more = remove_files(fd, sub, budget);
			if (!more && fsx_rmdir(fd, sub) < 0)
				continue;
		}
		dir_reader_close(&r);
	}
	(void)close(fd);
	if (!more && fsx_rmdir(tmp_fd, name) < 0)
		return false;
	return more;
}

enum { SWEEP_NAMES = 64 * 1024 };

/*
 * What a thread works on: an unlink of a file may take a tenth of a ms.  Trees
 * that come meanwhile are for the next time.
 */
struct sweep {
	int tmp_fd;
	struct buf names; /* of trees, each with a NUL */
	bool more;	  /* is left */
};

struct sweeping {
	struct sync sync;
	struct sweep *sweep;
};

/*
 * A tree that is being made, or that a change may yet put back, is left alone,
 * whichever process does so; unless it is so old that its process must have
 * ended.  Its name tells: not all file systems note when it was renamed.
 */
static bool
is_nobodys(struct slice name, int64_t wall_ms)
{
	const struct slice gone = SLICE(TREE_GONE), work = SLICE(TREE_WORK);
	struct slice word;
	uint64_t made_s;

	if (slice_starts(name, gone))
		return true;
	if (!slice_starts(name, work))
		return false;
	name = slice_skip(name, work.n);
	return slice_split(&name, '.', &word) && num_u64(word, &made_s) &&
	    made_s < INT64_MAX / 1000 - TMP_AGE_S &&
	    (int64_t)made_s + TMP_AGE_S < wall_ms / 1000;
}

static void
find_trees(struct sweep *s, int64_t wall_ms)
{
	struct dir_reader r;
	struct slice name;

	if (dir_reader_open(&r, s->tmp_fd, ".") < 0)
		return;
	while (dir_reader_next(&r, &name) &&
	    buf_len(&s->names) + name.n < SWEEP_NAMES)
		if (is_nobodys(name, wall_ms))
			buf_put(&s->names, slice_of(name.p, name.n + 1));
	dir_reader_close(&r);
}

static int
run_sweep(void *arg)
{
	struct sweep *s = arg;
	struct slice rest = buf_slice(&s->names), name;
	int budget = SWEEP_FILES;

	while (!s->more && rest.n != 0 && slice_split(&rest, '\0', &name))
		s->more = remove_tree(s->tmp_fd, (const char *)name.p, &budget);
	return 0;
}

static void
sweep_drop(void *arg)
{
	struct sweep *s = arg;

	(void)close(s->tmp_fd);
	buf_fini(&s->names);
	free(s);
}

static void
start_sweep(struct account *a)
{
	struct sweep *s;
	int fd = fsx_open_dir(a->root_fd, "tmp");

	/* whoever leaves a tree meanwhile says so anew */
	a->sweep = false;
	if (fd < 0)
		return;
	s = MEM_NEW(struct sweep);
	s->tmp_fd = fd;
	buf_init(&s->names, SWEEP_NAMES + NAME_MAX);
	find_trees(s, store_wall(a->store));
	if (buf_len(&s->names) == 0) {
		sweep_drop(s);
		return;
	}
	a->sweeping = MEM_NEW(struct sweeping);
	a->sweeping->sweep = s;
	sync_call(&a->sweeping->sync, a->store->opt.syncer, a, run_sweep,
	    sweep_drop, s, (struct waker){ 0 });
}

/* Whether it has ended, or there was none. */
static bool
end_sweep(struct account *a)
{
	struct sweeping *w = a->sweeping;

	if (w == NULL)
		return true;
	if (!w->sync.done)
		return false;
	a->sweep = a->sweep || w->sweep->more;
	sweep_drop(w->sweep);
	free(w);
	a->sweeping = NULL;
	return true;
}

void
tidy_sweep(struct account *a)
{
	if (!end_sweep(a) || !a->sweep)
		return;
	start_sweep(a);
	(void)end_sweep(a);
}

void
tidy_stop(struct account *a)
{
	if (end_sweep(a))
		return;
	sync_forget(&a->sweeping->sync);
	free(a->sweeping);
	a->sweeping = NULL;
}

/* --- rows ----------------------------------------------------------------- */

/* 1: there is a mailbox that went and has left some; 0; or ERR_*. */
static int
next_gone(struct account *a, int64_t *id)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_GONE_NEXT);
	int rc = db_step(&a->db, s, NULL);

	if (rc != 1)
		return rc;
	*id = sqlite3_column_int64(s, 0);
	(void)sqlite3_reset(s);
	return 1;
}

/* Within a transaction. */
static int
remove_rows(struct account *a, int64_t id)
{
	static const enum db_sql all[] = { DB_GONE_FIXED, DB_GONE_NAMES,
		DB_GONE_STATE, DB_GONE_POP3, DB_GONE_POP3_TEXT, DB_GONE_KEYWORD,
		DB_GONE_SET, DB_GONE_VANISHED };
	struct db *db = &a->db;
	const struct mailbox m = { .account = a, .id = id };
	sqlite3_stmt *s;
	int left = SWEEP_ROWS, rc = 0;

	for (size_t k = 0; k < NELEMS(all) && left > 0 && rc == 0; k++) {
		s = db_stmt(db, all[k]);
		db_bind_i64(s, 1, chunk_key(&m, 0));
		db_bind_i64(s, 2, chunk_key(&m, UINT32_MAX));
		db_bind_i64(s, 3, left);
		if ((rc = db_run(db, s, NULL)) == 0)
			left -= sqlite3_changes(db->h);
	}
	if (rc != 0 || left <= 0)
		return rc;
	s = db_stmt(db, DB_GONE_DEL);
	db_bind_i64(s, 1, id);
	return db_run(db, s, NULL);
}

bool
tidy_rows(struct account *a)
{
	struct db *db = &a->db;
	bool changed = db->changed;
	int64_t id;
	int rc;

	if (db->h == NULL || db->in_txn)
		return true;
	if ((rc = next_gone(a, &id)) != 1) {
		(void)!account_db_failed(a, rc);
		return rc != 0;
	}
	if (cache_sweep(a, id, SWEEP_CACHED) != 0)
		return true;
	if ((rc = db_begin(db, NULL)) == 0) {
		rc = remove_rows(a, id);
		if (rc == 0)
			rc = db_commit(db, NULL);
		else
			db_rollback(db);
	}
	/* nobody has done anything that is to be exported */
	db->changed = changed;
	if (rc == 0)
		account_log_grown(a);
	else
		(void)!account_db_failed(a, rc);
	return true;
}
