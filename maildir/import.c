/*
 * When what is taken over:
 *
 *   Before a scan, the UIDs, so that it finds the messages known; and the
 *   keywords of those messages, since the scan's own changes would hide which
 *   of them changed here since the last export.
 *   After it, keywords and unique-ids of messages that got their UIDs only
 *   now: a Maildir that was served by POP3 alone has no list of UIDs.
 *   Before a client's change, both, with a scan if there is anything: what was
 *   left here until then is older, and must not have the last word, nor bring
 *   back what the client removes.
 *
 * All go on in pieces (import_check.c, import_finish.c), which belong to the
 * mailbox: of several sessions that want it, whoever has his turn does the next
 * one.  Files are read, and their lines looked up, without a transaction.
 *
 * The prints are noted in the transaction that takes over the last of it: a
 * crash before it, or that nobody went on, means that the same is taken over
 * once more.
 */
#include "maildir/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/import_impl.h"

static const char *const file_names[PRINT_N_KINDS] = {
	[PRINT_COURIER_UIDS] = "courierimapuiddb",
	[PRINT_COURIER_KEYWORDS] = "courierimapkeywords",
	[PRINT_COURIER_SIZELIST] = "courierpop3dsizelist",
	[PRINT_DOVECOT_UIDS] = "dovecot-uidlist",
	[PRINT_DOVECOT_KEYWORDS] = "dovecot-keywords",
	[PRINT_COURIER_LIST] = "courierimapkeywords/:list",
	[PRINT_DOVECOT_IDS] = "dovecot-uidlist",
};

/* --- prints --------------------------------------------------------------- */

struct print
import_print(const struct stat *st)
{
	return (struct print){ st->st_dev, st->st_ino,
		S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
		st->st_mtim.tv_sec * INT64_C(1000000000) +
		    st->st_mtim.tv_nsec };
}

/* missing: there is nothing of that name. */
static int
look_at(const struct account *a, const char *dir, enum print_kind kind,
    struct print *out, bool *missing, struct err *e)
{
	struct buf path;
	struct stat st;
	int rc = 0;

	*out = (struct print){ 0 };
	*missing = false;
	if (kind == PRINT_COURIER_SIZELIST && dir[0] != '\0')
		return 0;
	buf_init(&path, 2048);
	buf_puts(&path, dir);
	buf_puts(&path, dir[0] != '\0' ? "/" : "");
	buf_puts(&path, file_names[kind]);
	if (fsx_stat(a->root_fd, buf_cstr(&path), &st) < 0) {
		*missing = errno == ENOENT;
		rc = foreign_is_absence(errno)
		    ? 0
		    : err_sys(e, "stat %s", buf_cstr(&path));
	} else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		*out = import_print(&st);
	}
	buf_fini(&path);
	return rc;
}

int
import_look(const struct account *a, const char *dir, enum print_kind kind,
    struct print *out, struct err *e)
{
	bool missing;

	return look_at(a, dir, kind, out, &missing, e);
}

/* Whether it is there, or isn't, as the print has it: 1, 0, or ERR_*. */
static int
is_as(const struct mailbox *m, enum print_kind kind, const struct print *p,
    struct err *e)
{
	struct print now;
	int rc = import_look(m->account, m->dir, kind, &now, e);

	return rc != 0 ? rc : import_same_print(p, &now);
}

/* How the directory is now, without kinds. */
static struct absence
look_at_dir(const struct mailbox *m)
{
	const char *dir = m->dir[0] != '\0' ? m->dir : ".";
	struct stat st;

	if (fsx_stat(m->account->root_fd, dir, &st) < 0)
		return (struct absence){ 0 };
	return (struct absence){ .dev = st.st_dev,
		.ino = st.st_ino,
		.ctime_ns = st.st_ctim.tv_sec * INT64_C(1000000000) +
		    st.st_ctim.tv_nsec };
}

/*
 * Most of the files aren't there, and a directory says by its time whether one
 * has come, unless it changed so recently that it may change again unseen.  It
 * is looked at before them.
 */
static int
look_at_all(struct mailbox *m, struct print out[PRINT_N_KINDS], int64_t wall_ms,
    struct err *e)
{
	struct absence now = look_at_dir(m), *then = &m->imported.absent;
	unsigned known = now.ino != 0 && now.ino == then->ino &&
		now.dev == then->dev && now.ctime_ns == then->ctime_ns
	    ? then->kinds
	    : 0;
	int rc = 0;

	for (int k = 0; k < PRINT_N_KINDS && rc == 0; k++) {
		bool missing = false;

		if (k == PRINT_DOVECOT_IDS)
			out[k] = out[PRINT_DOVECOT_UIDS]; /* the same file */
		else if ((known >> k & 1) != 0 ||
		    (k == PRINT_COURIER_LIST && /* it would be in there */
			out[PRINT_COURIER_KEYWORDS].ino == 0))
			out[k] = (struct print){ 0 };
		else
			rc = look_at(m->account, m->dir, (enum print_kind)k,
			    &out[k], &missing, e);
		/* that one isn't in the mailbox's directory itself */
		if (missing && k != PRINT_COURIER_LIST)
			now.kinds |= 1u << k;
	}
	now.kinds |= known;
	if (now.ctime_ns / 1000000 + GRANULARITY_MS > wall_ms)
		now.kinds = 0;
	*then = now;
	return rc;
}

bool
import_same_print(const struct print *a, const struct print *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    a->mtime_ns == b->mtime_ns;
}

bool
import_keywords_waiting(const struct mailbox *m)
{
	return !m->imported.loaded ||
	    is_as(m, PRINT_COURIER_KEYWORDS,
		&m->imported.known[PRINT_COURIER_KEYWORDS], NULL) != 1;
}

int
import_older(struct mailbox *m, struct err *e)
{
	const struct imported *im = &m->imported;
	bool same = is_as(m, PRINT_COURIER_KEYWORDS, &im->looked, NULL) == 1;
	int rc;

	if (same && im->check == NULL && !im->rest &&
	    im->tick == m->account->store->tick)
		return 0;
	rc = mailbox_check(m, e);
	if (rc == 0)
		rc = import_check(m, !same, e);
	return rc == 0 ? im->rest : rc;
}

/* One statement for all who ask: each that is prepared costs who opens the
 * mailbox more than what it finds. */
sqlite3_stmt *
import_prints(struct db *db, int64_t mailbox, int64_t from, int64_t to)
{
	sqlite3_stmt *s = db_stmt(db, DB_PRINT_LIST);

	db_bind_i64(s, 1, mailbox);
	db_bind_i64(s, 2, from);
	db_bind_i64(s, 3, to);
	return s;
}

int
import_load_prints(struct mailbox *m, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s =
	    import_prints(db, m->id, 0, PRINT_PLACING + PRINT_N_KINDS - 1);
	struct imported *im = &m->imported;
	int rc;

	memset(im->known, 0, sizeof(im->known));
	memset(im->placing, 0, sizeof(im->placing));
	/* by their kind: what is being placed comes last */
	while ((rc = db_step(db, s, e)) == 1) {
		uint64_t kind = db_column_u64(s, 0);
		struct print p = { db_column_u64(s, 1), db_column_u64(s, 2),
			db_column_u64(s, 3), sqlite3_column_int64(s, 4) };

		if (kind < PRINT_N_KINDS) {
			im->known[kind] = p;
		} else if (kind >= PRINT_PLACING) {
			kind -= PRINT_PLACING;
			im->placing[kind] = p;
			rc = is_as(m, (enum print_kind)kind, &p, e);
			if (rc == 1)
				im->known[kind] = p;
			if (rc < 0) {
				(void)sqlite3_reset(s);
				break;
			}
		}
	}
	im->loaded = rc == 0;
	return rc;
}

int
import_known(struct mailbox *m, struct print out[PRINT_N_KINDS], struct err *e)
{
	int rc = m->imported.loaded
	    ? 0
	    : account_db_failed(m->account, import_load_prints(m, e));

	memcpy(out, m->imported.known, sizeof(m->imported.known));
	return rc;
}

bool
import_courier_has(struct mailbox *m, const struct print known[])
{
	static const enum print_kind kinds[] = { PRINT_COURIER_UIDS,
		PRINT_COURIER_LIST, PRINT_COURIER_SIZELIST };

	for (size_t i = 0; i < NELEMS(kinds); i++) {
		if (is_as(m, kinds[i], &known[kinds[i]], NULL) != 1) {
			m->imported.tick = 0;
			return false;
		}
	}
	return true;
}

/* ino 0: there is none. */
static int
put_print(struct account *a, int64_t id, int kind, const struct print *p,
    struct err *e)
{
	struct db *db = &a->db;
	sqlite3_stmt *s =
	    db_stmt(db, p->ino != 0 ? DB_PRINT_PUT : DB_PRINT_DEL);

	db_bind_i64(s, 1, id);
	db_bind_i64(s, 2, kind);
	if (p->ino != 0) {
		db_bind_u64(s, 3, p->dev);
		db_bind_u64(s, 4, p->ino);
		db_bind_u64(s, 5, p->size);
		db_bind_i64(s, 6, p->mtime_ns);
	}
	return db_run(db, s, e);
}

int
import_note(
    struct mailbox *m, unsigned kind, const struct print *p, struct err *e)
{
	m->imported.loaded = false;
	return put_print(m->account, m->id, (int)kind, p, e);
}

/* --- marks ---------------------------------------------------------------- */

int
import_mark_get(struct account *a, int64_t id, enum import_mark mark,
    uint64_t *value, struct err *e)
{
	struct db *db = &a->db;
	sqlite3_stmt *s = import_prints(db, id, mark, mark);
	int rc;

	if ((rc = db_step(db, s, e)) != 1)
		return rc;
	*value = db_column_u64(s, 3);
	(void)sqlite3_reset(s);
	return 1;
}

int
import_mark_set(struct account *a, int64_t id, enum import_mark mark,
    uint64_t value, struct err *e)
{
	const struct print p = { .ino = 1, .size = value };

	return put_print(a, id, (int)mark, &p, e);
}

int
import_mark_remove(
    struct account *a, int64_t id, enum import_mark mark, struct err *e)
{
	const struct print none = { 0 };

	return put_print(a, id, (int)mark, &none, e);
}

/* --- what changed --------------------------------------------------------- */

int
import_compare(struct import *in, int from, int to, struct err *e)
{
	struct imported *im = &in->m->imported;
	int rc = 0;

	in->wall_ms = store_wall(in->m->account->store);
	rc = look_at_all(in->m, in->now, in->wall_ms, e);
	if (rc != 0)
		return rc;
	im->looked = in->now[PRINT_COURIER_KEYWORDS];
	/* twice: another process may have taken it over, or have written it */
	for (int i = 0; i < 2; i++) {
		in->any = false;
		if ((!im->loaded || i == 1) &&
		    (rc = import_load_prints(in->m, e)) != 0)
			return account_db_failed(in->m->account, rc);
		for (int k = from; k < to; k++) {
			bool same =
			    import_same_print(&im->known[k], &in->now[k]);

			in->any = in->any || !same;
			in->changed[k] = in->now[k].ino != 0 && !same;
		}
		if (!in->any)
			break;
	}
	in->list_is_new = !import_same_print(
	    &im->known[PRINT_COURIER_LIST], &in->now[PRINT_COURIER_LIST]);
	return 0;
}

/* What changed so recently that it may change again unseen isn't noted. */
static bool
is_settled(const struct import *in, int kind)
{
	return kind != PRINT_COURIER_KEYWORDS ||
	    (!in->waiting &&
		in->now[kind].mtime_ns / 1000000 + GRANULARITY_MS <=
		    in->wall_ms);
}

int
import_note_changed(struct import *in, int from, int to, struct err *e)
{
	int rc = 0;

	for (int k = from; k < to && rc == 0; k++)
		if (!import_same_print(
			&in->m->imported.known[k], &in->now[k]) &&
		    is_settled(in, k))
			rc = import_note(in->m, (unsigned)k, &in->now[k], e);
	return rc;
}

int
import_commit(struct edit *ed, int rc, struct err *e)
{
	struct mailbox *m = ed->m;

	if (rc != 0) {
		edit_abort(ed);
		return rc;
	}
	if (ed->changed || m->n_keywords != ed->n_keywords ||
	    m->n_sets != ed->n_sets)
		return edit_commit(ed, e);
	rc = db_commit(&m->account->db, e);
	edit_abort(ed);
	return account_db_failed(m->account, rc);
}

bool
import_dovecot_last(const struct import *in, int courier, int dovecot)
{
	return in->changed[dovecot] &&
	    (in->now[courier].ino == 0 ||
		in->now[dovecot].mtime_ns > in->now[courier].mtime_ns);
}

/* --- what is under way ---------------------------------------------------- */

void
import_init(struct import *in, struct mailbox *m)
{
	*in = (struct import){ .m = m };
	in->uids.file.fd = in->keywords.file.fd = in->list.file.fd = -1;
}

struct import *
import_new(struct mailbox *m)
{
	struct import *in = MEM_NEW(struct import);

	import_init(in, m);
	return in;
}

void
import_free(struct import **pin)
{
	struct import *in = *pin;

	*pin = NULL;
	if (in == NULL)
		return;
	foreign_uids_close(&in->uids);
	foreign_keywords_close(&in->keywords);
	foreign_sizelist_close(&in->list);
	view_unref(&in->before);
	adopting_fini(&in->adopting);
	pop3_import_fini(&in->pop3);
	free(in->ids);
	free(in);
}

static bool
is_left(const struct import *in)
{
	return in != NULL &&
	    in->tick + LEFT_TICKS < in->m->account->store->tick;
}

void
import_stop(struct mailbox *m, bool left)
{
	if (!left || is_left(m->imported.check))
		import_free(&m->imported.check);
	if (!left || is_left(m->imported.finish))
		import_free(&m->imported.finish);
	if (!left)
		import_drop_renaming(m);
}
