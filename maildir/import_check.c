/*
 * Before a scan: keywords of the messages that are known, then UIDs.
 *
 * A list that has many UIDs which aren't ours is adopted in several
 * transactions.  The first raises UIDNEXT above all of them; each leaves a mark
 * of which UIDs are still kept for the list's messages, and the last removes it
 * and notes the prints.  So whoever comes after a crash begins with the list
 * again and goes on behind the mark, and if the list is gone by then, its UIDs
 * name nothing else.  Nobody looks at the mailbox, opens it or ends a refresh
 * before all is there, so that UIDNEXT is told only then.
 */
#include "base/log.h"
#include "maildir/import_impl.h"
#include "maildir/row.h"
#include "maildir/takeover.h"

enum {
	CHECK_BEGIN,
	CHECK_READ_KEYWORDS,
	CHECK_ADOPT_KEYWORDS,
	CHECK_COMPARE,
	CHECK_READ_UIDS,
	CHECK_SKIP_KNOWN,
	CHECK_ADOPT_UIDS,
	CHECK_DONE,
};

static int
begin(struct import *in, struct err *e)
{
	int rc = import_exported(in->m, &in->modseq, e);

	if (rc != 0)
		return account_db_failed(in->m->account, rc);
	/* Without an export there is nothing that could have been removed. */
	if (in->modseq != 0)
		rc = import_open_keywords(in, false, e);
	in->phase = in->has_keywords ? CHECK_READ_KEYWORDS : CHECK_COMPARE;
	return rc;
}

/* What another process took over meanwhile needs no look any more. */
static int
compare(struct import *in, struct err *e)
{
	struct mailbox *m = in->m;
	int rc = import_compare(in, 0, PRINT_N_UIDS, e);
	bool dovecot;

	if (rc != 0)
		return rc;
	in->phase = CHECK_DONE;
	if (!in->any)
		return 0;
	in->phase = CHECK_ADOPT_UIDS;
	dovecot =
	    import_dovecot_last(in, PRINT_COURIER_UIDS, PRINT_DOVECOT_UIDS);
	if (!dovecot && !in->changed[PRINT_COURIER_UIDS])
		return 0;
	if (!foreign_uids_open(&in->uids, m->account->root_fd, m->dir, dovecot))
		return foreign_file_failed(&in->uids.file, e);
	in->phase = CHECK_READ_UIDS;
	return 0;
}

/* The other server gave all messages other UIDs. */
static int
remake(struct mailbox *m, const struct foreign_uids *u, struct err *e)
{
	struct account *a = m->account;
	struct slice dir = slice_str(m->dir);
	int64_t id = 0;
	int rc;

	log_warn("maildir: another server gave another UIDVALIDITY, taking it "
		 "path=%s mailbox=%s uidvalidity=%u",
	    a->path, m->name, u->uidvalidity);
	if ((rc = db_begin(&a->db, e)) != 0)
		return rc;
	rc = mailbox_row_note_used(a, dir, m->uidvalidity, e);
	if (rc == 0)
		rc = mailbox_row_delete(a, m->id, e);
	if (rc == 0)
		rc = mailbox_row_insert(a, dir, u, &id, e);
	if (rc == 0)
		rc = takeover_begin_row(a, id, e);
	if (rc != 0)
		db_rollback(&a->db);
	else
		rc = db_commit(&a->db, e);
	if (rc != 0)
		return account_db_failed(a, rc);
	mailbox_set_gone(m);
	return err_set(e, ERR_STALE, "mailbox has other UIDs");
}

static int
read_uids(struct import *in, int *work, struct err *e)
{
	switch (foreign_uids_step(&in->uids, work)) {
	case FOREIGN_MORE:
		return 0;
	case FOREIGN_NONE:
		in->phase = CHECK_ADOPT_UIDS;
		return foreign_file_failed(&in->uids.file, e);
	case FOREIGN_DONE:
		break;
	}
	in->has_uids = true;
	in->phase = CHECK_SKIP_KNOWN;
	return in->uids.u.uidvalidity != in->m->uidvalidity
	    ? remake(in->m, &in->uids.u, e)
	    : 0;
}

/*
 * How far somebody has come with a list, perhaps before the end of a process:
 * the end of the range, then from where on, in one number.  No mark: nobody has
 * begun, or another process is through with it.
 */
static int
find_mark(struct import *in, struct err *e)
{
	struct mailbox *m = in->m;
	uint64_t value;
	int rc = import_mark_get(m->account, m->id, MARK_ADOPTING, &value, e);

	in->adopting.end = 0;
	if (rc == 1) {
		in->adopting.end = (uint32_t)(value >> 32);
		in->adopting.from = (uint32_t)value;
	}
	return rc < 0 ? rc : 0;
}

static int
set_mark(struct import *in, struct err *e)
{
	const struct adopting *a = &in->adopting;

	return import_mark_set(in->m->account, in->m->id, MARK_ADOPTING,
	    (uint64_t)a->end << 32 | a->from, e);
}

/* Within a transaction: it is all there. */
static int
adopted(struct import *in, struct err *e)
{
	int rc = import_note_changed(in, 0, PRINT_N_UIDS, e);

	if (rc == 0)
		rc = import_mark_remove(
		    in->m->account, in->m->id, MARK_ADOPTING, e);
	return rc;
}

static void
log_twice(const struct import *in)
{
	if (in->adopting.n_twice != 0)
		log_warn("maildir: UIDs given twice while another server was "
			 "here, renumbered path=%s mailbox=%s n=%zu first=%u",
		    in->m->account->path, in->m->name, in->adopting.n_twice,
		    in->adopting.twice[0]);
}

/* A transaction of it. */
static int
adopt(struct import *in, int *work, struct err *e)
{
	struct adopting *a = &in->adopting, before = *a;
	uint64_t change;
	struct edit ed;
	bool more = false;
	int rc = edit_begin_some(&ed, in->m, e);

	if (rc != 0)
		return rc;
	change = in->m->change;
	if ((rc = find_mark(in, e)) == 0 && in->has_uids)
		rc = adopt_uids(&ed, &in->uids.u, a, in->wall_ms, work, e);
	more = rc == 1;
	if (rc >= 0)
		rc = more ? set_mark(in, e) : adopted(in, e);
	if ((rc = import_commit(&ed, rc, e)) != 0) {
		a->at = before.at;
		a->n_twice = before.n_twice;
		a->renumbered = before.renumbered;
		return rc;
	}
	/* UIDNEXT was raised in the first one, and may be durable by now */
	if (in->m->change != change)
		mailbox_set_unsynced(in->m);
	if (more)
		return 0;
	log_twice(in);
	in->phase = CHECK_DONE;
	return 0;
}

static int
advance(struct import *in, int *work, struct err *e)
{
	int rc = 0;

	switch (in->phase) {
	case CHECK_BEGIN:
		return begin(in, e);
	case CHECK_READ_KEYWORDS:
		rc = import_read_keywords(in, work, e);
		if (rc == 0)
			in->phase = in->has_keywords ? CHECK_ADOPT_KEYWORDS
						     : CHECK_COMPARE;
		return rc == 1 ? 0 : rc;
	case CHECK_ADOPT_KEYWORDS:
		rc = import_adopt_keywords(in, in->modseq, work, e);
		if (rc == 0)
			in->phase = CHECK_COMPARE;
		return rc == 1 ? 0 : rc;
	case CHECK_COMPARE:
		return compare(in, e);
	case CHECK_READ_UIDS:
		return read_uids(in, work, e);
	case CHECK_SKIP_KNOWN:
		if ((rc = mailbox_need_names(in->m, work, e)) != 0)
			return rc;
		if (adopt_skip_known(in->m, &in->uids.u, &in->at, &in->n, work))
			in->phase = CHECK_ADOPT_UIDS;
		return 0;
	case CHECK_ADOPT_UIDS:
		return adopt(in, work, e);
	default:
		break;
	}
	return 0;
}

static int
go_on(struct import *in, struct err *e)
{
	int work = PIECE_WORK, rc = 0;

	in->tick = in->m->account->store->tick;
	while (rc == 0 && in->phase != CHECK_DONE) {
		if (work <= 0)
			return err_set(e, ERR_MORE, "it is being taken over");
		if ((rc = account_open(in->m->account, e)) == 0)
			rc = advance(in, &work, e);
	}
	return rc;
}

int
import_check(struct mailbox *m, bool now, struct err *e)
{
	struct imported *im = &m->imported;
	struct import look;
	int rc;

	if (im->check == NULL) {
		if (!now && im->tick == m->account->store->tick)
			return 0;
		/* keywords and unique-ids only */
		if (m->account->in_memory) {
			im->rest = im->rest || !im->loaded;
			return 0;
		}
		import_init(&look, m);
		if ((rc = import_compare(&look, 0, PRINT_N_KINDS, e)) != 0)
			return rc;
		if (!look.any) {
			im->tick = m->account->store->tick;
			return 0;
		}
		im->rest = true;
		im->check = import_new(m);
		*im->check = look;
	}
	rc = go_on(im->check, e);
	if (rc == ERR_MORE || rc == ERR_BUSY)
		return rc;
	import_free(&im->check);
	if (rc != 0)
		return rc;
	mailbox_publish(m);
	im->tick = m->account->store->tick;
	return 0;
}
