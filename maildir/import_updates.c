/*
 * Keywords, and the updates of them that other programs leave as files.
 *
 * An update replaces the keywords that its message had before it was read, and
 * counts once: what is set or removed here later is newer.  The file gets
 * another name when it has been taken over, but that is no part of the
 * transaction which did so: others may look between the two, or this process
 * may end.  So the transaction also notes the file's inode and mtime, as a row
 * of `print` with a kind below zero.  Who has read an update asks, within his
 * own transaction, whether the file is still there, and whether there is such a
 * row: then all that is left to do is to rename it.
 *
 * It is renamed, by a thread, only when what was taken over is on the disk:
 * else the power could go and leave the file with its new name, which says that
 * it counts no more, and the keywords nowhere.  Until then it waits, and so
 * does the print of the directory: who looks again finds file and row.
 *
 * The row may go when the file isn't there any more, even if the power goes.
 * Whoever has read the whole directory, and not found it, knows that of rows
 * which were there before: those of more than ROW_MS ago, which is longer than
 * a reading takes; when it has been synced since, they may go.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/import_impl.h"

enum {
	ROW_MS = 60 * 1000,
	TAKE_WORK = 8, /* a look at the file, and the row */
};

int
import_open_keywords(struct import *in, bool dovecot, struct err *e)
{
	struct mailbox *m = in->m;

	if (!dovecot && !in->changed[PRINT_COURIER_KEYWORDS])
		return 0;
	if (in->before == NULL)
		in->before = view_ref(m->head);
	in->has_keywords = foreign_keywords_open(
	    &in->keywords, m->account->root_fd, m->dir, dovecot);
	return in->has_keywords ? 0
				: foreign_file_failed(&in->keywords.file, e);
}

int
import_read_keywords(struct import *in, int *work, struct err *e)
{
	struct mailbox *m = in->m;

	switch (foreign_keywords_step(&in->keywords, work)) {
	case FOREIGN_MORE:
		return 1;
	case FOREIGN_NONE:
		in->has_keywords = false;
		return foreign_file_failed(&in->keywords.file, e);
	case FOREIGN_DONE:
		break;
	}
	/* What a known list says was taken over or written before; since then
	 * messages may have changed here. */
	if (!in->keywords.dovecot && !in->list_is_new)
		foreign_keywords_keep_pending(&in->keywords.k);
	if (in->keywords.k.too_many)
		log_warn("maildir: all 26 letters for keywords are in use, if "
			 "there were more Dovecot had them in its index only "
			 "and they are lost path=%s mailbox=%s",
		    m->account->path, m->name);
	return 0;
}

/* --- rows ----------------------------------------------------------------- */

static int64_t
row_kind(const struct foreign_keyword_set *s)
{
	return -1 - (int64_t)(s->ino & INT64_MAX);
}

/* 1: there is one; 0: none; ERR_*. */
static int
find_row(
    const struct import *in, const struct foreign_keyword_set *s, struct err *e)
{
	struct db *db = &in->m->account->db;
	sqlite3_stmt *q =
	    import_prints(db, in->m->id, row_kind(s), row_kind(s));
	int rc;

	if ((rc = db_step(db, q, e)) != 1)
		return rc;
	rc = sqlite3_column_int64(q, 4) == s->mtime_ns;
	(void)sqlite3_reset(q);
	return rc;
}

/* Its size is the time of now. */
static int
put_row(
    const struct import *in, const struct foreign_keyword_set *s, struct err *e)
{
	struct db *db = &in->m->account->db;
	sqlite3_stmt *q = db_stmt(db, DB_PRINT_PUT);

	db_bind_i64(q, 1, in->m->id);
	db_bind_i64(q, 2, row_kind(s));
	db_bind_u64(q, 3, 0);
	db_bind_u64(q, 4, s->ino);
	db_bind_i64(q, 5, store_wall(in->m->account->store));
	db_bind_i64(q, 6, s->mtime_ns);
	return db_run(db, q, e);
}

/* --- renaming ------------------------------------------------------------- */

/* What a thread works on. */
struct merging {
	struct foreign_keywords k; /* those that were taken over */
	size_t at;		   /* so many are looked at */
	bool more;
	int fd; /* of their directory, or -1 */
	int64_t wall_s;
};

struct renaming {
	struct mailbox *m;
	struct sync sync; /* of the log, then what the thread does */
	struct merging *merging;
	bool handed_over; /* merging is the thread's while that is busy */
	int64_t read_ms;  /* the directory was read after that */
};

static void
merging_free(void *arg)
{
	struct merging *g = arg;

	if (g->fd >= 0)
		(void)close(g->fd);
	foreign_keywords_fini(&g->k);
	free(g);
}

void
import_drop_renaming(struct mailbox *m)
{
	struct renaming *r = m->imported.renaming;

	m->imported.renaming = NULL;
	if (r == NULL)
		return;
	if (!r->handed_over || !sync_busy(&r->sync))
		merging_free(r->merging);
	sync_forget(&r->sync);
	free(r);
}

/* A piece of them; those that were renamed are synced with the last. */
static int
run_merging(void *arg)
{
	struct merging *g = arg;

	g->more = courier_keywords_merged(g->fd, g->wall_s, &g->k, &g->at);
	return g->more || fsx_fsync(g->fd) == 0 ? 0 : errno;
}

static void
on_renamed(void *arg)
{
	struct renaming *r = arg;
	struct imported *im = &r->m->imported;
	struct account *a = r->m->account;

	if (r->merging->more && !r->m->gone) {
		sync_call(&r->sync, a->store->opt.syncer, a, run_merging,
		    merging_free, r->merging, (struct waker){ on_renamed, r });
		return;
	}
	if (!r->merging->more && r->sync.error == 0 &&
	    im->forget_ms < r->read_ms - ROW_MS)
		im->forget_ms = r->read_ms - ROW_MS;
	import_drop_renaming(r->m);
}

static void
on_taken_durable(void *arg)
{
	struct renaming *r = arg;
	struct merging *g = r->merging;
	struct account *a = r->m->account;

	if (account_synced(a, &r->sync) == 0 && !r->m->gone)
		g->fd = dir_open_sub(
		    a->root_fd, slice_str(r->m->dir), "courierimapkeywords");
	if (g->fd < 0) {
		import_drop_renaming(r->m);
		return;
	}
	g->wall_s = store_wall(a->store) / 1000;
	r->handed_over = true;
	sync_call(&r->sync, a->store->opt.syncer, a, run_merging, merging_free,
	    g, (struct waker){ on_renamed, r });
}

/* Those of them that were taken over, or NULL. */
static struct merging *
merging_new(const struct foreign_keywords *k)
{
	struct merging *g = NULL;

	for (size_t i = 0; i < k->n; i++) {
		struct foreign_keyword_set s = k->v[i];

		if (s.state != UPDATE_TAKEN)
			continue;
		if (g == NULL) {
			g = MEM_NEW(struct merging);
			g->fd = -1;
			foreign_keywords_init(&g->k);
		}
		s.base = arena_dup(&g->k.arena, s.base);
		s.at = s.n = 0;
		foreign_keywords_add(&g->k, &s);
	}
	return g;
}

/* What was taken over is committed.  There may be nothing: others only wait,
 * which is no reason to sync. */
static void
rename_when_durable(struct import *in)
{
	struct mailbox *m = in->m;
	struct merging *g;
	struct sync_fds fds = { 0 };
	struct renaming *r;

	/* what comes meanwhile is found again */
	if (m->imported.renaming != NULL ||
	    (g = merging_new(&in->keywords.k)) == NULL)
		return;
	if (account_sync_fds(m->account, &fds, NULL) != 0) {
		merging_free(g);
		return;
	}
	r = MEM_NEW(struct renaming);
	r->m = m;
	r->merging = g;
	r->read_ms = in->wall_ms;
	m->imported.renaming = r;
	sync_start(&r->sync, m->account->store->opt.syncer, m->account, &fds,
	    (struct waker){ on_taken_durable, r });
}

/* --- adopting ------------------------------------------------------------- */

struct taking {
	struct import *in;
	int *work;
};

static int
take(void *arg, struct foreign_keyword_set *s, struct err *e)
{
	const struct taking *t = arg;
	struct mailbox *m = t->in->m;
	int rc;

	if (s->state != UPDATE_WAITS)
		return 0;
	*t->work -= TAKE_WORK;
	rc = courier_update_waits(m->account->root_fd, m->dir, s, e);
	if (rc == 0)
		s->state = UPDATE_GONE;
	if (rc != 1)
		return rc;
	if ((rc = find_row(t->in, s, e)) == 1) {
		s->state = UPDATE_TAKEN;
		return 0;
	}
	if (rc == 0 && (rc = put_row(t->in, s, e)) == 0) {
		s->state = UPDATE_TAKING;
		rc = 1;
	}
	return rc;
}

/* The transaction is over. */
static void
end_taking(struct import *in, bool ok)
{
	struct foreign_keywords *k = &in->keywords.k;

	for (size_t i = 0; i < k->n && k->n_pending != 0; i++)
		if (k->v[i].state == UPDATE_TAKING)
			k->v[i].state = ok ? UPDATE_TAKEN : UPDATE_WAITS;
	if (ok && k->n_pending != 0)
		rename_when_durable(in);
}

/* Another process may have taken over the list meanwhile, and here some of it
 * may have changed since. */
static int
look_at_list(struct import *in, struct err *e)
{
	struct imported *im = &in->m->imported;
	const struct print *now = &in->now[PRINT_COURIER_LIST];
	int rc;

	if (in->keywords.dovecot || !in->list_is_new)
		return 0;
	if ((rc = import_load_prints(in->m, e)) != 0)
		return account_db_failed(in->m->account, rc);
	if (import_same_print(&im->known[PRINT_COURIER_LIST], now)) {
		in->list_is_new = false;
		foreign_keywords_keep_pending(&in->keywords.k);
	}
	return 0;
}

static void
note_list(struct import *in, uint32_t uidnext)
{
	struct imported *im = &in->m->imported;

	if (in->keywords.dovecot || !in->list_is_new)
		return;
	im->list = in->now[PRINT_COURIER_LIST];
	im->list_below = uidnext;
}

int
import_adopt_keywords(
    struct import *in, uint64_t modseq, int *work, struct err *e)
{
	struct imported *im = &in->m->imported;
	struct taking t = { in, work };
	struct adopted_keywords a = {
		.k = &in->keywords.k, .take = take, .arg = &t
	};
	struct edit ed;
	uint32_t from = in->from, uidnext;
	int rc = edit_begin_some(&ed, in->m, e);

	if (rc != 0)
		return rc;
	rc = look_at_list(in, e);
	a.modseq = in->list_is_new ? modseq : 0;
	a.before = in->before;
	if (!in->keywords.dovecot && in->list_is_new &&
	    import_same_print(&im->list, &in->now[PRINT_COURIER_LIST]))
		a.list_from = im->list_below;
	if (rc == 0)
		rc = adopt_keywords(&ed, &a, &from, work, e);
	uidnext = ed.uidnext;
	rc = import_commit(&ed, rc, e);
	end_taking(in, rc == 0);
	if (rc != 0)
		return rc;
	in->from = from;
	if (from != 0)
		return 1;
	note_list(in, uidnext);
	/* What a list says is told when it is durable: once another server has
	 * written its own, it may count no more (courier_counts()), or not say
	 * that something was removed. */
	if (in->keywords.dovecot || in->list_is_new)
		mailbox_set_unsynced(in->m);
	return 0;
}

/* Whether an update may still wait. */
static bool
is_young(const struct import *in, int64_t mtime_ns)
{
	return mtime_ns / 1000000 + FOREIGN_PENDING_S * 1000 > in->wall_ms;
}

/*
 * What waits for a message that isn't there is left for a while, and so is what
 * is for one that came after those before it had been looked at.
 */
int
import_end_keywords(struct import *in, struct err *e)
{
	struct db *db = &in->m->account->db;
	const struct foreign_keywords *k = &in->keywords.k;
	sqlite3_stmt *q;
	int rc;

	if (in->keywords.dovecot)
		return 0;
	q = db_stmt(db, DB_PRINT_FORGET);
	db_bind_i64(q, 1, in->m->id);
	db_bind_i64(q, 2, in->m->imported.forget_ms);
	rc = db_run(db, q, e);
	in->waiting = in->waiting || is_young(in, k->unread_ns) ||
	    in->m->imported.renaming != NULL;
	for (size_t i = 0; i < k->n && k->n_pending != 0 && rc == 0; i++) {
		const struct foreign_keyword_set *s = &k->v[i];

		if (s->state == UPDATE_TAKEN)
			rc = put_row(in, s, e);
		else if (s->state == UPDATE_WAITS)
			in->waiting = in->waiting ||
			    mailbox_find_base(in->m, s->base) != 0 ||
			    is_young(in, s->mtime_ns);
	}
	return rc;
}
