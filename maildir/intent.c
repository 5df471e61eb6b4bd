#include "maildir/intent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/dir.h"
#include "maildir/sync.h"

int
intent_put(struct mailbox *m, struct slice names, int64_t *id, struct err *e)
{
	struct account *a = m->account;
	sqlite3_stmt *s;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	if ((rc = db_begin(&a->db, e)) != 0)
		return account_db_failed(a, rc);
	s = db_stmt(&a->db, DB_INTENT_PUT);
	db_bind_i64(s, 1, m->id);
	db_bind_blob(s, 2, names);
	rc = db_run(&a->db, s, e);
	if (rc == 0)
		rc = db_commit(&a->db, e);
	else
		db_rollback(&a->db);
	if (rc != 0)
		return account_db_failed(a, rc);
	*id = sqlite3_last_insert_rowid(a->db.h);
	a->n_intents++;
	return 0;
}

void
intent_leave(struct account *a)
{
	assert(a->n_intents != 0);
	a->n_intents--;
}

void
intent_drop(struct account *a, int64_t id)
{
	sqlite3_stmt *s;

	intent_leave(a);
	/* One that stays is carried out once more, which changes nothing. */
	if (a->db.h == NULL || a->db.in_txn)
		return;
	s = db_stmt(&a->db, DB_INTENT_DEL);
	db_bind_i64(s, 1, id);
	db_bind_i64(s, 2, id);
	if (db_run(&a->db, s, NULL) != 0)
		log_debug("maildir: intent stays path=%s", a->path);
}

int
intent_pending(struct account *a, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_INTENT_LIST);
	int rc;

	db_bind_i64(s, 1, 0);
	rc = db_step(&a->db, s, e);
	if (rc == 1)
		(void)sqlite3_reset(s);
	return rc;
}

/* The next name, which is ended by a NUL; NULL: none is left. */
static const char *
take_name(struct slice *names)
{
	const char *name = (const char *)names->p;
	size_t n = slice_find(*names, '\0');

	/* a name alone: it can't lead anywhere else */
	if (n == names->n || n == 0 || slice_has(slice_first(*names, n), '/'))
		return NULL;
	*names = slice_skip(*names, n + 1);
	return name;
}

/* What is carried out, as a thread needs it. */
struct redo_job {
	int root_fd;
	struct {
		char *dir, *store;
		struct slice names; /* of store */
	} * v;
	size_t n;
	int64_t last; /* id */
	int rc;
	struct err e;
};

struct intent_redo {
	struct account *a;
	struct sync sync;
	struct redo_job *job;
	int (*then)(struct account *a, struct err *e);
	int rc; /* when it has ended */
	struct err e;
};

static void
job_free(void *arg)
{
	struct redo_job *j = arg;

	for (size_t i = 0; i < j->n; i++) {
		free(j->v[i].dir);
		free(j->v[i].store);
	}
	free(j->v);
	if (j->root_fd >= 0)
		(void)close(j->root_fd);
	free(j);
}

static int
redo_one(int root_fd, struct slice dir, struct slice names, struct err *e)
{
	int tmp = dir_open_sub(root_fd, dir, "tmp");
	int cur = dir_open_sub(root_fd, dir, "cur");
	const char *from, *to;
	int rc = 0;

	if (tmp < 0 || cur < 0)
		rc = errno == ENOENT ? 0 : err_sys(e, "open tmp, cur");
	while (tmp >= 0 && cur >= 0 && rc == 0 &&
	    (from = take_name(&names)) != NULL &&
	    (to = take_name(&names)) != NULL)
		if (fsx_rename_new(tmp, from, cur, to) < 0 && errno != ENOENT &&
		    errno != EEXIST)
			rc = err_sys(e, "rename %s", from);
	if (rc == 0 && cur >= 0 && fsx_fsync(cur) < 0)
		rc = err_sys(e, "sync cur");
	if (tmp >= 0)
		(void)close(tmp);
	if (cur >= 0)
		(void)close(cur);
	return rc;
}

static int
job_run(void *arg)
{
	struct redo_job *j = arg;

	for (size_t i = 0; i < j->n && j->rc == 0; i++)
		j->rc = redo_one(
		    j->root_fd, slice_str(j->v[i].dir), j->v[i].names, &j->e);
	return 0;
}

/* All there are. */
static int
job_fill(struct redo_job *j, struct account *a, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_INTENT_LIST);
	int rc;

	db_bind_i64(s, 1, 0);
	while ((rc = db_step(&a->db, s, e)) == 1) {
		struct slice names = db_column_blob(s, 2);

		j->v = mem_realloc(j->v, j->n + 1, sizeof(*j->v));
		j->v[j->n].dir = slice_dup(db_column_blob(s, 1));
		j->v[j->n].store = slice_dup(names);
		j->v[j->n].names = slice_of(j->v[j->n].store, names.n);
		j->n++;
		j->last = sqlite3_column_int64(s, 0);
	}
	(void)sqlite3_reset(s);
	j->root_fd = fcntl(a->root_fd, F_DUPFD_CLOEXEC, 0);
	return rc == 0 && j->root_fd < 0 ? err_sys(e, "dup") : rc;
}

static int
forget(struct account *a, int64_t last, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_INTENT_DEL);

	log_warn("maildir: carried out an interrupted APPEND path=%s", a->path);
	db_bind_i64(s, 1, 0);
	db_bind_i64(s, 2, last);
	return db_run(&a->db, s, e);
}

static void
on_run(void *arg)
{
	struct intent_redo *r = arg;
	struct account *a = r->a;

	r->e = r->job->e;
	r->rc = r->job->rc;
	if (r->rc == 0)
		r->rc = forget(a, r->job->last, &r->e);
	job_free(r->job);
	r->job = NULL;
	if (r->rc == 0)
		r->rc = r->then(a, &r->e);
	/* a failure is for who asks next */
	if (r->rc == 0)
		intent_redo_free(a);
}

int
intent_redo(struct account *a, int (*then)(struct account *a, struct err *e),
    struct err *e)
{
	struct redo_job *j = MEM_NEW(struct redo_job);
	struct intent_redo *r;
	int rc = job_fill(j, a, e);

	if (rc != 0) {
		job_free(j);
		return rc;
	}
	a->intent_redo = r = MEM_NEW(struct intent_redo);
	r->a = a;
	r->job = j;
	r->then = then;
	sync_call(&r->sync, a->store->opt.syncer, a, job_run, job_free, j,
	    (struct waker){ on_run, r });
	return 0;
}

int
intent_redone(const struct account *a, struct err *e)
{
	const struct intent_redo *r = a->intent_redo;

	if (r == NULL)
		return 0;
	if (r->job != NULL)
		return err_set(e, ERR_BUSY, "an APPEND is being carried out");
	if (e != NULL)
		*e = r->e;
	return r->rc;
}

void
intent_redo_free(struct account *a)
{
	struct intent_redo *r = a->intent_redo;

	a->intent_redo = NULL;
	if (r == NULL)
		return;
	if (r->job != NULL)
		sync_forget(&r->sync);
	free(r);
}
