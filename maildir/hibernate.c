/*
 * Hibernation: a mailbox whose sessions all wait keeps what makes their
 * sequence numbers (maildir/record.h) and what is known of its directories;
 * views, names, index and keywords go, and the database may be closed.
 *
 * Waking up reads the row and the chunks, as opening does, in pieces, and gives
 * each session a view made of its record.  Changes of the time in between are
 * then told like any others: what other processes wrote is in the database,
 * what happened to files is in the watches' events or found by a reading.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "maildir/internal.h"
#include "maildir/keywords.h"
#include "maildir/record.h"

void
mailbox_rest(struct mailbox_listener *l)
{
	MAGIC_CHECK(l->m, MAILBOX_MAGIC);
	l->resting = true;
}

/* Whether nothing is under way that memory is needed for. */
static bool
may_sleep(const struct mailbox *m)
{
	unsigned n = 0;

	if (m->asleep || m->gone || m->head == NULL || m->scan != NULL ||
	    m->unsynced || m->meta_dirty || m->n_suspects != 0 ||
	    m->n_unnamed != 0 || m->durable_uidnext < m->head->uidnext ||
	    m->pop3_jobs != NULL || sync_busy(&m->pop3_sync) ||
	    m->imported.check != NULL || m->imported.finish != NULL ||
	    m->imported.renaming != NULL || m->account->db.in_txn)
		return false;
	for (struct mailbox_listener *l = m->listeners; l != NULL;
	     l = l->next) {
		if (!l->resting || l->view == NULL || *l->view == NULL)
			return false;
		n++;
	}
	return n != 0 && n == m->refs;
}

bool
mailbox_hibernate(struct mailbox *m)
{
	struct record *record = NULL;
	struct view *of = NULL; /* what the record was made of */

	if (!may_sleep(m))
		return false;
	for (struct mailbox_listener *l = m->listeners; l != NULL;
	     l = l->next) {
		if (record == NULL || *l->view != of) {
			record_unref(&record);
			view_unref(&of);
			of = view_ref(*l->view);
			record = record_new(of);
		}
		l->record = record_ref(record);
		view_unref(l->view);
		waker_call(l->asleep);
	}
	record_unref(&record);
	view_unref(&of);
	view_unref(&m->head);
	view_unref(&m->shown);
	index_free(&m->index);
	keywords_fini(m);
	free(m->suspects);
	m->suspects = NULL;
	mailbox_close_fds(m);
	m->named = false;
	m->asleep = true;
	return true;
}

/* Give the views back. */
static void
wake_up(struct mailbox *m)
{
	struct record *last = NULL;
	struct view *v = NULL; /* of that record */

	m->asleep = false;
	m->shown = view_below(m->head, m->durable_uidnext);
	for (struct mailbox_listener *l = m->listeners; l != NULL;
	     l = l->next) {
		if (last == NULL || l->record != last) {
			record_unref(&last);
			view_unref(&v);
			last = record_ref(l->record);
			v = record_view(last, m->shown);
		}
		*l->view = view_ref(v);
		if (!record_is(l->record, m->shown))
			waker_call(l->waker);
		record_unref(&l->record);
	}
	record_unref(&last);
	view_unref(&v);
}

int
account_version(struct account *a, int64_t *version, struct err *e)
{
	int64_t n;
	int rc = db_version(&a->db, &n, e);

	/* the number counts within one connection */
	if (rc == 0)
		*version = n + ((int64_t)a->n_opened << 32);
	return rc;
}

int
mailbox_check(struct mailbox *m, struct err *e)
{
	struct account *a = m->account;
	int64_t version;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	if (m->gone)
		return err_set(e, ERR_STALE, "mailbox is gone");
	if (m->asleep) {
		int work = PIECE_WORK;

		/* others may wait for it to wake up, and go on with it */
		if ((rc = mailbox_load(m, &work, e)) != 0)
			return account_db_failed(a, rc);
		wake_up(m);
		return 0;
	}
	if ((rc = account_version(a, &version, e)) != 0)
		return account_db_failed(a, rc);
	if (version == m->version)
		return 0;
	if ((rc = db_begin_read(&a->db, e)) != 0)
		return account_db_failed(a, rc);
	rc = mailbox_reload(m, e);
	db_rollback(&a->db);
	if (rc != 0)
		return account_db_failed(a, rc);
	m->version = version;
	mailbox_publish(m);
	return 0;
}

int
mailbox_rouse(struct mailbox_listener *l, struct err *e)
{
	int rc = 0;

	MAGIC_CHECK(l->m, MAILBOX_MAGIC);
	if (l->m->asleep && (rc = mailbox_check(l->m, e)) != 0)
		return rc;
	l->resting = false;
	l->m->used = l->m->account->store->tick;
	return 0;
}
