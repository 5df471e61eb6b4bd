/*
 * Opening a mailbox.
 *
 * One of 100 000 messages is read from the database in pieces, and one that
 * another server had is taken over in pieces before (takeover.h).  Until all is
 * there the account keeps it as an `opening', apart from its mailboxes: nobody
 * else sees it, and what is done to the mailbox meanwhile (a change by another
 * process, RENAME, DELETE) is found by the last piece, which compares.  The
 * opening is nobody's own: of several sessions that want the mailbox, whoever
 * has his turn does the next piece, and all of them find it open at the end.
 * One that nobody goes on with, since the sessions have gone, is given up.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/pool.h"
#include "maildir/edit.h"
#include "maildir/import.h"
#include "maildir/keywords.h"
#include "maildir/name.h"
#include "maildir/takeover.h"

struct opening {
	struct opening *next; /* of the account */
	struct mailbox *m;    /* whose it isn't yet */
	struct takeover *row; /* NULL: there is the row */
	uint64_t tick;	      /* of the store, when it went on */
};

static struct mailbox *
mailbox_new(struct account *a, struct slice name, struct slice dir)
{
	struct mailbox *m = POOL_NEW(struct mailbox);
	struct buf canonical;

	m->magic = MAILBOX_MAGIC;
	m->account = a;
	buf_init(&canonical, 1024);
	name_put_canonical(&canonical, name);
	m->name = pool_strdup(buf_cstr(&canonical));
	buf_reset(&canonical);
	buf_put(&canonical, dir);
	m->dir = pool_strdup(buf_cstr(&canonical));
	buf_fini(&canonical);
	m->n_vanished = UINT32_MAX;
	for (int d = 0; d < 2; d++) {
		m->dirs[d].m = m;
		m->dirs[d].is_new = d == DIR_NEW;
		m->dirs[d].wd = m->dirs[d].fd = -1;
	}
	return m;
}

/* --- openings ------------------------------------------------------------- */

/* The opening of a directory, begun if there is none. */
static struct opening *
opening_of(struct account *a, struct slice name, struct slice dir)
{
	struct opening *o = a->openings;

	while (o != NULL && !slice_eq(slice_str(o->m->dir), dir))
		o = o->next;
	if (o != NULL)
		return o;
	o = MEM_NEW(struct opening);
	o->m = mailbox_new(a, name, dir);
	o->row = takeover_new(a, o->m->dir);
	o->next = a->openings;
	a->openings = o;
	return o;
}

/* It is over; the mailbox goes too, unless it is the account's by now. */
static void
opening_end(struct account *a, struct opening *o)
{
	struct opening **at = &a->openings;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	takeover_free(&o->row);
	if (o->m != NULL)
		mailbox_dispose(o->m);
	free(o);
}

void
openings_give_up(struct account *a, bool all)
{
	struct opening *next;

	for (struct opening *o = a->openings; o != NULL; o = next) {
		next = o->next;
		if (all || o->tick + LEFT_TICKS < a->store->tick)
			opening_end(a, o);
	}
}

static int
opening_step(struct account *a, struct opening *o, struct err *e)
{
	int work = PIECE_WORK, rc = 0;

	o->tick = a->store->tick;
	if (o->row != NULL) {
		rc = takeover_step(o->row, &work, &o->m->id, e);
		if (rc == 0)
			takeover_free(&o->row);
	}
	if (rc == 0)
		rc = account_open(a, e);
	if (rc == 0)
		rc = mailbox_load(o->m, &work, e);
	return rc == 0 ? keywords_drop_unused(o->m, e) : rc;
}

/* A piece; at its end the mailbox is the account's. */
static int
open_new(struct account *a, struct slice name, struct slice dir,
    struct mailbox **out, struct err *e)
{
	struct opening *o = opening_of(a, name, dir);
	struct mailbox *m = o->m;
	int rc = opening_step(a, o, e);

	if (room_made_for(a, rc))
		rc = opening_step(a, o, e);
	if (rc == ERR_MORE || rc == ERR_BUSY)
		return rc;
	if (rc != 0) {
		opening_end(a, o);
		return account_db_failed(a, rc);
	}
	o->m = NULL;
	opening_end(a, o);
	m->next = a->mailboxes;
	a->mailboxes = m;
	m->used = a->store->tick;
	a->damaged = 0;
	mailbox_publish(m);
	*out = m;
	return 0;
}

/* --- open ones ------------------------------------------------------------ */

static int
open_or_share(struct account *a, struct slice name, struct slice dir,
    struct mailbox **out, struct err *e)
{
	struct mailbox *m = mailbox_find_dir(a, dir);
	bool fresh = m == NULL;
	int rc;

	/* another process may have made another one of that name */
	rc = fresh ? open_new(a, name, dir, &m, e) : mailbox_check(m, e);
	if (rc == 0)
		rc = import_check(m, true, e);
	if (rc == 0)
		*out = m;
	else if (m != NULL && fresh && rc != ERR_MORE)
		mailbox_free(m);
	return rc;
}

static int
check_selectable(
    struct account *a, struct slice dir, uint64_t *ino, struct err *e)
{
	const struct mailbox *m = mailbox_find_dir(a, dir);
	struct buf path;
	struct stat st;
	int rc = 0;

	if (m != NULL && watch_is_quiet(m)) {
		*ino = m->dirs[DIR_CUR].ino;
		return 0;
	}
	buf_init(&path, 1024);
	buf_put(&path, dir);
	buf_puts(&path, dir.n != 0 ? "/cur" : "cur");
	if (fsx_stat(a->root_fd, buf_cstr(&path), &st) < 0)
		rc = err_sys(e, "stat %s", buf_cstr(&path));
	else if (!S_ISDIR(st.st_mode))
		rc = err_set(e, ERR_NOT_FOUND, "not a directory");
	else
		*ino = st.st_ino;
	buf_fini(&path);
	return rc;
}

/* Whether an open directory has been removed; another may have its number. */
static bool
is_removed(const struct mailbox *m)
{
	struct stat st;

	for (int d = 0; d < 2; d++)
		if (m->dirs[d].fd >= 0 &&
		    (fstat(m->dirs[d].fd, &st) < 0 || st.st_nlink == 0))
			return true;
	return false;
}

int
mailbox_open(
    struct account *a, struct slice name, struct mailbox **out, struct err *e)
{
	struct mailbox *m = NULL;
	struct buf dir;
	uint64_t ino = 0;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	buf_init(&dir, 1024);
	rc = name_to_dir(a->root_fd, name, &dir);
	if (rc == 0)
		rc = check_selectable(a, buf_slice(&dir), &ino, e);
	else
		(void)err_set(e, rc, "no such mailbox");
	if (rc != 0)
		goto out;
	rc = open_or_share(a, name, buf_slice(&dir), &m, e);
	/* damaged: looked at again, set aside, and made anew; stale: another
	 * server has given other UIDs, which are taken over now */
	for (int i = 0; (rc == ERR_DAMAGED || rc == ERR_STALE) && i < 2; i++)
		rc = open_or_share(a, name, buf_slice(&dir), &m, e);
	if (rc != 0)
		goto out;
	/* Another directory of that name: what is open leads to the one that
	 * went, where nothing can be put any more. */
	if (m->dirs[DIR_CUR].ino != ino || is_removed(m))
		mailbox_close_fds(m);
	m->refs++;
	m->used = a->store->tick;
	a->refs++;
	*out = m;
out:
	buf_fini(&dir);
	return rc;
}
