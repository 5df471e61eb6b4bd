/*
 * Taking over a list of UIDs: courierimapuiddb, dovecot-uidlist.
 *
 * A list of 100 000 is read, parsed, compared with the directories and written
 * in pieces, so that others in the worker needn't wait.  In the database:
 *
 *   1. The row comes into being with the list's UIDVALIDITY and UIDNEXT, and
 *      with a mark (a print of a kind of its own) of how far its messages are
 *      written: up to which UID.
 *   2. Each further transaction looks whether the mark is where it left it,
 *      writes some messages behind it, and moves it on.
 *   3. The last one removes the mark and notes the prints of the lists, as they
 *      were before they were read.
 *
 * Nobody opens a mailbox whose row has a mark without coming here first.  So
 * whoever finds one (after a crash, or while another process is at it) goes on
 * behind it, by the list as it is then: a UID that a list names stays with its
 * message, and UIDNEXT is above all of them from the beginning, even if the
 * list should be gone by then.  If its UIDVALIDITY is another one by then, all
 * begins anew.
 *
 * Refused: one transaction for all, since it would hold up the worker; a row
 * under another name until all is there, since a crash would leave it behind.
 */
#include "maildir/takeover.h"

#include <stdlib.h>

#include "base/mem.h"
#include "maildir/dir.h"
#include "maildir/edit.h"
#include "maildir/row.h"

enum {
	WRITE_SLICE = 4096,
	WRITE_COST = 2, /* to write a message, to parse a line: 1 */
};

enum takeover_phase {
	TAKEOVER_LOOK,
	TAKEOVER_READ,
	TAKEOVER_PLACES,
	TAKEOVER_WRITE,
	TAKEOVER_DONE,
};

struct takeover {
	struct account *a;
	const char *dir;
	enum takeover_phase phase;
	int64_t id;
	struct print now[PRINT_N_UIDS];
	bool dovecot;	  /* which list is being read */
	unsigned n_tried; /* that aren't there, or are none */
	bool has;	  /* there is one */
	struct foreign_uids_reader r;
	int which; /* DIR_*, being read */
	bool reading;
	struct dir_reader files;
	size_t at; /* of the list, the next to be written */
};

struct takeover *
takeover_new(struct account *a, const char *dir)
{
	struct takeover *t = MEM_NEW(struct takeover);

	t->a = a;
	t->dir = dir;
	t->r.file.fd = -1;
	return t;
}

static void
stop(struct takeover *t)
{
	foreign_uids_close(&t->r);
	if (t->reading)
		dir_reader_close(&t->files);
	t->reading = false;
}

void
takeover_free(struct takeover **pt)
{
	struct takeover *t = *pt;

	*pt = NULL;
	if (t == NULL)
		return;
	stop(t);
	free(t);
}

/* --- the mark ------------------------------------------------------------- */

int
takeover_begin_row(struct account *a, int64_t id, struct err *e)
{
	return import_mark_set(a, id, MARK_TAKEOVER, 0, e);
}

/* All is written. */
static int
mark_remove(struct takeover *t, struct err *e)
{
	/* a stub for import_note(), which wants no more of it */
	struct mailbox m = { .account = t->a, .id = t->id };
	int rc = import_mark_remove(t->a, t->id, MARK_TAKEOVER, e);

	/* without a list the first look at the files notes them */
	for (int k = 0; k < PRINT_N_UIDS && t->has && rc == 0; k++)
		if (t->now[k].ino != 0)
			rc = import_note(&m, (enum print_kind)k, &t->now[k], e);
	return rc;
}

/* --- reading -------------------------------------------------------------- */

/* The list that was written last, else the other one, else none. */
static int
open_list(struct takeover *t, struct err *e)
{
	int rc = 0;

	for (; t->n_tried < PRINT_N_UIDS && rc == 0; t->n_tried++) {
		if (foreign_uids_open(
			&t->r, t->a->root_fd, t->dir, t->dovecot)) {
			t->phase = TAKEOVER_READ;
			return 0;
		}
		rc = foreign_file_failed(&t->r.file, e);
		foreign_uids_close(&t->r);
		t->dovecot = !t->dovecot;
	}
	t->phase = TAKEOVER_WRITE;
	return rc;
}

static int
look(struct takeover *t, struct err *e)
{
	uint64_t uid;
	int rc = mailbox_row_find(t->a, slice_str(t->dir), &t->id, NULL, e);

	if (rc == 1 &&
	    (rc = import_mark_get(t->a, t->id, MARK_TAKEOVER, &uid, e)) == 0) {
		t->phase = TAKEOVER_DONE;
		return 0;
	}
	if (rc < 0)
		return rc;
	for (int k = 0; k < PRINT_N_UIDS; k++)
		if ((rc = import_look(
			 t->a, t->dir, (enum print_kind)k, &t->now[k], e)) != 0)
			return rc;
	t->dovecot = t->now[PRINT_DOVECOT_UIDS].ino != 0 &&
	    (t->now[PRINT_COURIER_UIDS].ino == 0 ||
		t->now[PRINT_DOVECOT_UIDS].mtime_ns >
		    t->now[PRINT_COURIER_UIDS].mtime_ns);
	/* UIDs given from memory are to be nobody else's */
	if (t->a->in_memory)
		t->phase = TAKEOVER_WRITE;
	else
		rc = open_list(t, e);
	return rc;
}

static int
read_list(struct takeover *t, int *work, struct err *e)
{
	int rc;

	switch (foreign_uids_step(&t->r, work)) {
	case FOREIGN_MORE:
		return 0;
	case FOREIGN_NONE:
		rc = foreign_file_failed(&t->r.file, e);
		foreign_uids_close(&t->r);
		t->dovecot = !t->dovecot;
		t->n_tried++;
		return rc != 0 ? rc : open_list(t, e);
	case FOREIGN_DONE:
		break;
	}
	t->has = true;
	t->phase = TAKEOVER_PLACES;
	/* UIDs were given since that list was written. */
	if (t->a->rebuilt &&
	    t->r.u.uidnext < UINT32_MAX - UIDNEXT_JUMP_RESTORED)
		t->r.u.uidnext += UIDNEXT_JUMP_RESTORED;
	return 0;
}

static void
note_place(struct takeover *t, struct slice name)
{
	struct foreign_uid *found;
	struct file_name f;

	file_name_parse(name, t->which == DIR_NEW, &f);
	found = foreign_uids_find(&t->r.u, f.base);
	/* what is spelled oddly is left to the scan */
	if (found != NULL && !(f.place & PLACE_ODD))
		found->place = f.place;
}

static void
open_files(struct takeover *t)
{
	struct buf path;

	buf_init(&path, 2048);
	buf_puts(&path, t->dir);
	buf_puts(&path, t->dir[0] != '\0' ? "/" : "");
	buf_puts(&path, t->which == DIR_NEW ? "new" : "cur");
	t->reading =
	    dir_reader_open(&t->files, t->a->root_fd, buf_cstr(&path)) == 0;
	buf_fini(&path);
}

/*
 * Where the files are: a scan that found each of 100 000 elsewhere than
 * expected would look twice for every one.
 */
static void
find_places(struct takeover *t, int *work)
{
	struct slice name;

	while (t->which <= DIR_CUR && *work > 0) {
		if (!t->reading)
			open_files(t);
		while (t->reading && (*work)-- > 0) {
			if (dir_reader_next(&t->files, &name)) {
				note_place(t, name);
				continue;
			}
			dir_reader_close(&t->files);
			t->reading = false;
		}
		if (!t->reading)
			t->which++;
	}
	if (t->which > DIR_CUR)
		t->phase = TAKEOVER_WRITE;
}

/* --- writing -------------------------------------------------------------- */

/* Make the row, instead of one with another UIDVALIDITY. */
static int
make_row(struct takeover *t, uint32_t validity, struct err *e)
{
	const struct foreign_uids none = { .uidnext = 1 };
	struct slice dir = slice_str(t->dir);
	int rc = 0;

	if (validity != 0)
		rc = mailbox_row_note_used(t->a, dir, validity, e);
	if (validity != 0 && rc == 0)
		rc = mailbox_row_delete(t->a, t->id, e);
	t->at = 0;
	if (rc == 0)
		rc = mailbox_row_insert(
		    t->a, dir, t->has ? &t->r.u : &none, &t->id, e);
	return rc;
}

/* Within a transaction: see that there is a row, and where it is at.  1: it has
 * no mark, as another process is through with it. */
static int
find_row(struct takeover *t, struct err *e)
{
	const struct foreign_uids *u = &t->r.u;
	uint32_t validity = 0;
	uint64_t uid = 0;
	int rc =
	    mailbox_row_find(t->a, slice_str(t->dir), &t->id, &validity, e);

	if (rc == 1 &&
	    (rc = import_mark_get(t->a, t->id, MARK_TAKEOVER, &uid, e)) != 1)
		return rc == 0 ? 1 : rc;
	if (rc < 0)
		return rc;
	if (validity == 0 || (t->has && validity != u->uidvalidity))
		return make_row(t, validity, e);
	while (t->at > 0 && u->v[t->at - 1].uid > uid)
		t->at--;
	while (t->at < u->n && u->v[t->at].uid <= uid)
		t->at++;
	return t->has ? mailbox_row_raise(t->a, t->id, u->uidnext, e) : 0;
}

/* Some messages, and how far that is. */
static int
write_some(struct takeover *t, size_t *to, struct err *e)
{
	const struct foreign_uids *u = &t->r.u;
	int rc;

	*to = u->n - t->at > WRITE_SLICE ? t->at + WRITE_SLICE : u->n;
	rc = mailbox_row_fill(t->a, t->id, u, t->at, *to, e);
	if (rc != 0)
		return rc;
	return *to < u->n
	    ? import_mark_set(t->a, t->id, MARK_TAKEOVER, u->v[*to - 1].uid, e)
	    : mark_remove(t, e);
}

static int
write_list(struct takeover *t, int *work, struct err *e)
{
	struct db *db = &t->a->db;
	size_t before = t->at, to = 0;
	int rc = db_begin(db, e);

	if (rc != 0)
		return rc;
	if ((rc = find_row(t, e)) == 0)
		rc = write_some(t, &to, e);
	if (rc != 0) {
		db_rollback(db);
		t->at = before;
		if (rc == 1)
			t->phase = TAKEOVER_DONE;
		return rc == 1 ? 0 : rc;
	}
	if ((rc = db_commit(db, e)) != 0) {
		t->at = before;
		return rc;
	}
	account_log_grown(t->a);
	*work -= (int)(to - t->at) * WRITE_COST;
	t->at = to;
	if (to == t->r.u.n)
		t->phase = TAKEOVER_DONE;
	return 0;
}

int
takeover_step(struct takeover *t, int *work, int64_t *id, struct err *e)
{
	while (t->phase != TAKEOVER_DONE) {
		int rc = account_open(t->a, e);

		if (rc == 0 && *work <= 0)
			rc = err_set(e, ERR_MORE, "UIDs are being taken over");
		if (rc == 0 && t->phase == TAKEOVER_LOOK)
			rc = look(t, e);
		else if (rc == 0 && t->phase == TAKEOVER_READ)
			rc = read_list(t, work, e);
		else if (rc == 0 && t->phase == TAKEOVER_PLACES)
			find_places(t, work);
		else if (rc == 0)
			rc = write_list(t, work, e);
		if (rc != 0)
			return rc;
	}
	stop(t);
	*id = t->id;
	return 0;
}
