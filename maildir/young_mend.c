/*
 * Rows of the table young whose process is gone, or whose files are in doubt,
 * and what becomes of them.
 *
 * Such rows are of a process that was killed, of one before a loss of power, or
 * our own after a sync of the disk that failed.  They are mended in passes over
 * those there are, in rounds of a few, as young_row.c says: the disk is waited
 * for by a sync thread alone.  A row goes when its file and the file's name are
 * durable.  One whose file can't be written (the disk is full, say) stays, and
 * has its turn again in the next pass.
 *
 * After a loss of power files may be anything.  So nobody may use the account
 * before the first pass is through (young_ready()); from then on a message
 * whose row is still there has no file, or a whole one: it isn't expunged for
 * having none, and is read from its row (young_kept()).
 *
 * Who owns a row isn't known.  But whoever lives deletes his within seconds: so
 * one of this boot that is still there after ten is taken over.  Should its
 * process live nevertheless, the file is written twice, no more.
 */
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/edit.h"
#include "maildir/young_impl.h"

enum { TAKE_OVER_TICKS = 10, AGAIN_TICKS = 30 };

struct young_mend {
	struct account *a;
	int64_t *keys; /* of the pass */
	size_t n, at;
	uint64_t due; /* the tick at which it may go on */
	bool old;     /* there may be rows of another boot */
	bool first;   /* and nobody has seen to those yet */
	bool looked;
	bool settled; /* when it did all files had names */
	bool going;
	struct young_round *round; /* sync, if busy, has it */
	struct sync sync;
};

/* --- a round -------------------------------------------------------------- */

/* Which of its directories is the row's. */
static size_t
dir_of(struct young_round *rd, const char *path)
{
	/* they come by mailbox */
	if (rd->n_dirs == 0 || strcmp(rd->dir[rd->n_dirs - 1].path, path) != 0)
		rd->dir[rd->n_dirs++] = (struct young_dir){
			.path = mem_strdup(path), .tmp_fd = -1, .cur_fd = -1
		};
	return rd->n_dirs - 1;
}

/* The next rows of the pass, looked up. */
static int
round_fill(struct young_mend *md, struct young_round *rd)
{
	size_t bytes = 0, from = md->at;
	int rc;

	while (md->at < md->n && rd->n < ROUND_ROWS && bytes < ROUND_BYTES) {
		struct young_row *r = &rd->row[rd->n];

		rc = young_row_read(md->a, md->keys[md->at], r, NULL);
		if (rc == ERR_BUSY) {
			md->at = from;
			return rc;
		}
		md->at++;
		if (rc < 0)
			log_error("maildir: a row of young can't be read "
				  "path=%s uid=%u",
			    md->a->path, (unsigned)md->keys[md->at - 1]);
		if (rc != 1)
			continue;
		bytes += r->bytes.n;
		rd->n++;
		if (r->dir != NULL)
			r->at = dir_of(rd, r->dir);
		if (!r->rebooted && rd->log_fd < 0)
			rd->log_unsure =
			    (rd->log_fd = young_log_copy(md->a)) < 0;
	}
	return 0;
}

/* --- a pass --------------------------------------------------------------- */

/* The rows there are, without our own that the next sync of the disk will see
 * to, and those that have no name yet.  Whether that can be told. */
static bool
look(struct young_mend *md)
{
	struct account *a = md->a;
	sqlite3_stmt *s = db_stmt(&a->db, DB_YOUNG_KEYS);
	size_t cap = 0;
	int rc;

	md->n = md->at = 0;
	md->settled = a->young == NULL || a->young->files == NULL;
	db_bind_i64(s, 1, 0);
	db_bind_i64(s, 2, INT64_MAX);
	while ((rc = db_step(&a->db, s, NULL)) == 1) {
		int64_t key = sqlite3_column_int64(s, 0);

		if (young_is_own(a, key))
			continue;
		if (md->n == cap) {
			cap = cap * 2 + 16;
			md->keys =
			    mem_realloc(md->keys, cap, sizeof(*md->keys));
		}
		md->keys[md->n++] = key;
	}
	(void)sqlite3_reset(s);
	return md->looked = rc == 0;
}

static void start(struct young_mend *md, struct young_round *rd);

/* A transaction, in which the copies get their names. */
static bool
place(struct young_mend *md)
{
	struct young_round *rd = md->round;
	struct account *a = md->a;
	int rc = db_begin(&a->db, NULL);

	if (rc == ERR_BUSY)
		return false;
	if (rd->log_failed)
		young_log_failed(a);
	for (size_t i = 0; i < rd->n; i++) {
		struct young_row *r = &rd->row[i];

		if (r->rc != 0 || !r->copied)
			continue;
		r->rc = rc != 0 ? rc : young_row_place(a, r, &rd->dir[r->at]);
		if (r->rc != 0)
			(void)!fsx_unlink(rd->dir[r->at].tmp_fd, r->copy);
	}
	if (rc == 0)
		db_rollback(&a->db);
	rd->names = true;
	start(md, rd);
	return true;
}

/* Those that are durable leave the database. */
static bool
forget(struct young_mend *md)
{
	struct young_round *rd = md->round;
	struct account *a = md->a;
	unsigned left = 0;
	int rc = db_begin(&a->db, NULL);

	if (rc == ERR_BUSY)
		return false;
	for (size_t i = 0; i < rd->n && rc == 0; i++) {
		const struct young_row *r = &rd->row[i];

		/* these have their turn again in the next pass */
		if (r->rc == ERR_BUSY ||
		    (!r->is_there && young_row_moved(a, r)))
			continue;
		if (r->rc == 0 &&
		    (r->at == ROW_NOWHERE || rd->dir[r->at].rc == 0))
			rc = young_row_delete(a, r->key, r->key);
		else
			left++;
	}
	if (rc == 0)
		rc = db_commit(&a->db, NULL);
	else
		db_rollback(&a->db);
	if (rc == 0)
		account_log_grown(a);
	if (rc != 0 || left != 0)
		log_error("maildir: messages can't be written anew yet "
			  "path=%s n=%u",
		    a->path, rc != 0 ? (unsigned)rd->n : left);
	md->round = NULL;
	young_round_free(rd);
	return true;
}

static bool
next_round(struct young_mend *md)
{
	struct young_round *rd = MEM_NEW(struct young_round);
	const struct account *a = md->a;

	rd->log_fd = -1;
	rd->mode = 0666 & ~(mode_t)a->store->opt.umask;
	rd->root_fd = fcntl(a->root_fd, F_DUPFD_CLOEXEC, 0);
	if (rd->root_fd < 0 || round_fill(md, rd) != 0) {
		young_round_free(rd);
		return false;
	}
	if (rd->n == 0)
		young_round_free(rd);
	else
		start(md, rd);
	return true;
}

/* Look for more; none: there is nothing to mend. */
static bool
end_pass(struct young_mend *md)
{
	struct account *a = md->a;
	bool settled = md->settled;

	md->first = false;
	md->due = a->store->tick + (settled ? AGAIN_TICKS : 1);
	if (settled)
		a->young_doubt = false;
	if (look(md) && md->n == 0 && settled)
		young_mend_free(a);
	return false;
}

/* False: not now, or it is gone. */
static bool
step(struct young_mend *md)
{
	const struct account *a = md->a;

	if (sync_busy(&md->sync) || a->db.h == NULL || a->db.in_txn ||
	    md->due > a->store->tick)
		return false;
	if (!md->looked && !look(md))
		return false;
	if (md->round != NULL)
		return md->round->names ? forget(md) : place(md);
	return md->at < md->n ? next_round(md) : end_pass(md);
}

static void
go(struct young_mend *md)
{
	struct account *a = md->a;

	md->going = true;
	while (step(md))
		;
	if (a->young_mend != NULL)
		a->young_mend->going = false;
}

static void
on_run(void *arg)
{
	struct young_mend *md = arg;

	if (!md->going)
		go(md);
}

static void
start(struct young_mend *md, struct young_round *rd)
{
	md->round = rd;
	sync_call(&md->sync, md->a->store->opt.syncer, md->a, young_round_run,
	    young_round_drop, rd, (struct waker){ on_run, md });
}

/* --- when ----------------------------------------------------------------- */

static struct young_mend *
mend_of(struct account *a, uint64_t due)
{
	struct young_mend *md = a->young_mend;

	if (md != NULL) {
		if (md->due > due)
			md->due = due;
		return md;
	}
	a->young_mend = md = MEM_NEW(struct young_mend);
	md->a = a;
	md->due = due;
	(void)look(md);
	return md;
}

void
young_opened(struct account *a, int left, bool alone)
{
	uint64_t now = a->store->tick;
	struct young_mend *md;

	if (left == 0)
		return;
	md = mend_of(a, left == 2 || alone ? now : now + TAKE_OVER_TICKS);
	md->old = md->first = left == 2;
	go(md);
}

void
young_mend_later(struct account *a)
{
	if (a->young_mend == NULL)
		(void)mend_of(a, a->store->tick + TAKE_OVER_TICKS);
}

void
young_mend_now(struct account *a)
{
	struct young_mend *md;

	if (a->db.h == NULL)
		return;
	md = mend_of(a, a->store->tick + 1);
	/* what has been mended counts, but for all else it begins anew */
	if (md->round == NULL)
		md->looked = false;
	else
		md->settled = false;
}

void
young_mend_tick(struct account *a)
{
	if (a->young_mend != NULL && !a->young_mend->going)
		go(a->young_mend);
}

bool
young_ready(const struct account *a)
{
	return a->young_mend == NULL || !a->young_mend->first;
}

bool
young_mending(const struct account *a)
{
	const struct young_mend *md = a->young_mend;

	return md != NULL && (md->round != NULL || md->at != 0 || md->first);
}

void
young_mend_free(struct account *a)
{
	struct young_mend *md = a->young_mend;

	a->young_mend = NULL;
	if (md == NULL)
		return;
	if (sync_busy(&md->sync))
		sync_forget(&md->sync);
	else if (md->round != NULL)
		young_round_drop(md->round);
	free(md->keys);
	free(md);
}

/* --- messages that are in their rows alone -------------------------------- */

bool
young_kept(struct mailbox *m, uint32_t uid)
{
	struct account *a = m->account;
	sqlite3_stmt *s;
	bool kept;

	if (a->young_mend == NULL || !a->young_mend->old || a->db.h == NULL)
		return false;
	s = db_stmt(&a->db, DB_YOUNG_GET);
	db_bind_i64(s, 1, chunk_key(m, uid));
	if (db_step(&a->db, s, NULL) != 1)
		return false;
	kept = sqlite3_column_int64(s, 1) != account_boot_number();
	(void)sqlite3_reset(s);
	return kept;
}

int
young_open_kept(struct mailbox *m, uint32_t uid, int *fd)
{
	struct account *a = m->account;
	struct young_row r;
	int rc = young_row_read(a, chunk_key(m, uid), &r, NULL);

	if (rc != 1)
		return rc < 0 ? rc : ERR_BUSY;
	*fd = memfd_create("message", MFD_CLOEXEC);
	if (*fd < 0) {
		rc = err_of_errno(errno);
	} else if (fsx_write_all(*fd, r.bytes) < 0 ||
	    lseek(*fd, 0, SEEK_SET) < 0) {
		rc = err_of_errno(errno);
		(void)close(*fd);
	} else {
		rc = 0;
	}
	young_row_fini(&r);
	return rc;
}
