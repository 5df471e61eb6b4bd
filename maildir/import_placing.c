/*
 * What becomes of an export that didn't come to its end.
 *
 * It announces, durably, the prints of the files that it is about to place, and
 * up to which mod-sequence they are; what it has placed is noted afterwards.
 * Who finds an announcement, and another list of keywords than the one that was
 * announced, must know which came first: if ours was there before Courier wrote
 * its own, then Courier knew what we had, and a keyword that it left out was
 * removed; if ours never got there, Courier didn't know, and it must stay.
 *
 * The disk tells.  The list gets a name in tmp/ that follows from its print,
 * and is put into place by changing places with the list that is there: so one
 * look at that name says whether it happened.  What has the name then is
 * removed when the note is durable.  If nothing has it, because the file system
 * can't do that, or all is older than what is left in tmp/, nothing is known:
 * then the keywords of both count.
 */
#include <errno.h>

#include "base/fsx.h"
#include "maildir/import_impl.h"

void
import_put_aside(
    const struct mailbox *m, const struct print *list, struct buf *path)
{
	mailbox_put_path(m, path, "tmp/postern-list.");
	/* an inode may come again, but not with that time */
	buf_putf(path, "%llu.%lld", (unsigned long long)list->ino,
	    (long long)list->mtime_ns);
}

/* Whether the list that was announced was in its place: 1, 0, or ERR_*. */
static int
was_placed(const struct mailbox *m, struct err *e)
{
	const struct imported *im = &m->imported;
	const struct print *list = &im->placing[PRINT_COURIER_LIST];
	struct print now;
	struct buf path;
	struct stat st;
	int placed = 0;

	if (list->ino == 0)
		return 0;
	if (import_same_print(list, &im->known[PRINT_COURIER_LIST]))
		return 1;
	buf_init(&path, 2048);
	import_put_aside(m, list, &path);
	if (fsx_stat(m->account->root_fd, buf_cstr(&path), &st) == 0) {
		now = import_print(&st);
		placed = !import_same_print(&now, list);
	} else if (!foreign_is_absence(errno)) {
		placed = err_sys(e, "stat %s", buf_cstr(&path));
	}
	buf_fini(&path);
	return placed;
}

int
import_exported(struct mailbox *m, uint64_t *modseq, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_EXPORTED_GET);
	uint64_t placed = 0;
	int rc;

	*modseq = 0;
	db_bind_i64(s, 1, m->id);
	if ((rc = db_step(db, s, e)) < 0)
		return rc;
	if (rc == 1) {
		*modseq = db_column_u64(s, 1);
		(void)sqlite3_reset(s);
	}
	if ((rc = was_placed(m, e)) != 1)
		return rc;
	rc = import_mark_get(m->account, m->id, MARK_PLACING, &placed, e);
	if (rc == 1 && placed > *modseq)
		*modseq = placed;
	return rc < 0 ? rc : 0;
}

/* Note that it was; the mailbox is still to be exported. */
static int
put_exported(struct mailbox *m, struct err *e)
{
	struct db *db = &m->account->db;
	uint64_t modseq;
	sqlite3_stmt *s;
	int rc = import_exported(m, &modseq, e);

	if (rc != 0)
		return rc;
	s = db_stmt(db, DB_EXPORTED_PUT);
	db_bind_i64(s, 1, m->id);
	db_bind_i64(s, 2, -1); /* no change has that number */
	db_bind_u64(s, 3, modseq);
	return db_run(db, s, e);
}

int
import_settle(struct mailbox *m, struct err *e)
{
	struct imported *im = &m->imported;
	int rc = import_load_prints(m, e);

	if (rc == 0 && (rc = was_placed(m, e)) == 1)
		rc = put_exported(m, e);
	for (unsigned k = 0; k < PRINT_N_KINDS && rc == 0; k++)
		if (im->placing[k].ino != 0 &&
		    import_same_print(&im->placing[k], &im->known[k]))
			rc = import_note(m, k, &im->known[k], e);
	return rc;
}
