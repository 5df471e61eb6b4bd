/*
 * When what is taken over:
 *
 *   Before a scan, the UIDs, so that it finds the messages known; and the
 *   keywords of those messages, since the scan's own changes would hide which
 *   of them changed here since the last export.
 *   After it, keywords and unique-ids of messages that got their UIDs only
 *   now: a Maildir that was served by POP3 alone has no list of UIDs.
 *
 * The prints are noted in the same transaction: a crash before it means that
 * the same is taken over once more.
 */
#include "maildir/import.h"

#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/adopt.h"
#include "maildir/dir.h"
#include "maildir/pop3_ids.h"

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

static struct print
look(const struct mailbox *m, enum print_kind kind)
{
	struct print p = { 0 };
	struct buf path;
	struct stat st;

	if (kind == PRINT_COURIER_SIZELIST && m->dir[0] != '\0')
		return p;
	buf_init(&path, 2048);
	mailbox_put_path(m, &path, file_names[kind]);
	if (fsx_stat(m->account->root_fd, buf_cstr(&path), &st) == 0 &&
	    (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		p = import_print(&st);
	buf_fini(&path);
	return p;
}

static void
look_at_all(const struct mailbox *m, struct print out[PRINT_N_KINDS])
{
	for (int k = 0; k < PRINT_N_KINDS; k++)
		out[k] = look(m, (enum print_kind)k);
}

static bool
same_print(const struct print *a, const struct print *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    a->mtime_ns == b->mtime_ns;
}

bool
import_keywords_waiting(const struct mailbox *m)
{
	struct print now = look(m, PRINT_COURIER_KEYWORDS);

	return !m->imported.loaded ||
	    !same_print(&m->imported.known[PRINT_COURIER_KEYWORDS], &now);
}

static int
load_prints(struct mailbox *m, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_PRINT_LIST);
	struct imported *im = &m->imported;
	int rc;

	memset(im->known, 0, sizeof(im->known));
	db_bind_i64(s, 1, m->id);
	while ((rc = db_step(db, s, e)) == 1) {
		uint64_t kind = db_column_u64(s, 0);

		if (kind < PRINT_N_KINDS)
			im->known[kind] = (struct print){ db_column_u64(s, 1),
				db_column_u64(s, 2), db_column_u64(s, 3),
				sqlite3_column_int64(s, 4) };
	}
	im->loaded = rc == 0;
	return rc;
}

int
import_known(struct mailbox *m, struct print out[PRINT_N_KINDS], struct err *e)
{
	int rc = m->imported.loaded
	    ? 0
	    : account_db_failed(m->account, load_prints(m, e));

	memcpy(out, m->imported.known, sizeof(m->imported.known));
	return rc;
}

bool
import_courier_has(struct mailbox *m, const struct print known[])
{
	static const enum print_kind kinds[] = { PRINT_COURIER_UIDS,
		PRINT_COURIER_LIST, PRINT_COURIER_SIZELIST };

	for (size_t i = 0; i < NELEMS(kinds); i++) {
		struct print now = look(m, kinds[i]);

		if (!same_print(&known[kinds[i]], &now)) {
			m->imported.tick = 0;
			return false;
		}
	}
	return true;
}

int
import_note(struct mailbox *m, enum print_kind kind, const struct print *p,
    struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s =
	    db_stmt(db, p->ino != 0 ? DB_PRINT_PUT : DB_PRINT_DEL);

	db_bind_i64(s, 1, m->id);
	db_bind_i64(s, 2, kind);
	if (p->ino != 0) {
		db_bind_u64(s, 3, p->dev);
		db_bind_u64(s, 4, p->ino);
		db_bind_u64(s, 5, p->size);
		db_bind_i64(s, 6, p->mtime_ns);
	}
	m->imported.loaded = false;
	return db_run(db, s, e);
}

/* --- what was exported ---------------------------------------------------- */

/* The mod-sequence up to which the other server had our state; 0: never. */
static int
exported_modseq(struct mailbox *m, uint64_t *out, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_EXPORTED_GET);
	int rc;

	*out = 0;
	db_bind_i64(s, 1, m->id);
	if ((rc = db_step(db, s, e)) != 1)
		return rc;
	*out = db_column_u64(s, 1);
	(void)sqlite3_reset(s);
	return 0;
}

/* --- what changed --------------------------------------------------------- */

struct import {
	struct mailbox *m;
	struct print now[PRINT_N_KINDS];
	bool changed[PRINT_N_KINDS]; /* and there */
	bool list_is_new;	     /* Courier's keywords, or it is gone */
	bool any;		     /* changed, come or gone */
	bool waiting; /* an update is for a message that isn't there yet */
	int64_t wall_ms;
};

/* Compare those of kinds [from … to). */
static int
compare(struct import *in, int from, int to, struct err *e)
{
	struct imported *im = &in->m->imported;
	int rc = 0;

	in->wall_ms = store_wall(in->m->account->store);
	look_at_all(in->m, in->now);
	/* twice: another process may have taken it over, or have written it */
	for (int i = 0; i < 2; i++) {
		in->any = false;
		if ((!im->loaded || i == 1) &&
		    (rc = load_prints(in->m, e)) != 0)
			return account_db_failed(in->m->account, rc);
		for (int k = from; k < to; k++) {
			bool same = same_print(&im->known[k], &in->now[k]);

			in->any = in->any || !same;
			in->changed[k] = in->now[k].ino != 0 && !same;
		}
		if (!in->any)
			break;
	}
	in->list_is_new = !same_print(
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

static int
note_prints(struct import *in, int from, int to, struct err *e)
{
	int rc = 0;

	for (int k = from; k < to && rc == 0; k++)
		if (!same_print(&in->m->imported.known[k], &in->now[k]) &&
		    is_settled(in, k))
			rc = import_note(
			    in->m, (enum print_kind)k, &in->now[k], e);
	return rc;
}

/*
 * End an edit.  Prints alone are no change of the mailbox: it would be
 * exported again for it, and that makes new prints.
 */
static int
finish(struct edit *ed, int rc, struct err *e)
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

/* Of two files, whether Dovecot's was written last. */
static bool
dovecot_was_last(const struct import *in, int courier, int dovecot)
{
	return in->changed[dovecot] &&
	    (in->now[courier].ino == 0 ||
		in->now[dovecot].mtime_ns > in->now[courier].mtime_ns);
}

static bool
read_keywords(struct import *in, bool dovecot, struct foreign_keywords *out)
{
	struct mailbox *m = in->m;
	int root_fd = m->account->root_fd;

	if (!dovecot) {
		if (!in->changed[PRINT_COURIER_KEYWORDS] ||
		    !courier_keywords_read(root_fd, m->dir, out))
			return false;
		/* What a known list says was taken over or written before;
		 * since then messages may have changed here. */
		if (!in->list_is_new)
			foreign_keywords_keep_pending(out);
		return true;
	}
	if (!dovecot_keywords_read(root_fd, m->dir, out))
		return false;
	if (out->too_many)
		log_warn("maildir: all 26 letters for keywords are in use, if "
			 "there were more Dovecot had them in its index only "
			 "and they are lost path=%s mailbox=%s",
		    m->account->path, m->name);
	return true;
}

/* --- UIDs, before a scan -------------------------------------------------- */

/* Keywords of the messages that are known: see adopt.h. */
static int
early_keywords(struct import *in, struct err *e)
{
	struct foreign_keywords k = { 0 };
	struct edit ed;
	uint64_t modseq;
	int rc;

	if ((rc = exported_modseq(in->m, &modseq, e)) != 0)
		return account_db_failed(in->m->account, rc);
	/* Without an export there is nothing that could have been removed. */
	if (modseq == 0 || !read_keywords(in, false, &k))
		return 0;
	if ((rc = edit_begin(&ed, in->m, e)) == 0)
		rc = finish(&ed,
		    adopt_keywords(&ed, &k, in->list_is_new ? modseq : 0, e),
		    e);
	foreign_keywords_fini(&k);
	return rc;
}

static int
take_uids(struct import *in, struct err *e)
{
	struct mailbox *m = in->m;
	struct foreign_uids u = { 0 };
	struct edit ed;
	bool has = false;
	int root_fd = m->account->root_fd, rc = 0;

	if (dovecot_was_last(in, PRINT_COURIER_UIDS, PRINT_DOVECOT_UIDS))
		has = dovecot_uids_read(root_fd, m->dir, &u);
	else if (in->changed[PRINT_COURIER_UIDS])
		has = courier_uids_read(root_fd, m->dir, &u);
	if (has && u.uidvalidity != m->uidvalidity) {
		log_warn("maildir: another server gave another UIDVALIDITY, "
			 "taking it path=%s mailbox=%s uidvalidity=%u",
		    m->account->path, m->name, u.uidvalidity);
		rc =
		    account_db_failed(m->account, mailbox_row_remake(m, &u, e));
		if (rc == 0) {
			mailbox_set_gone(m);
			rc = err_set(e, ERR_STALE, "mailbox has other UIDs");
		}
	} else if ((rc = edit_begin(&ed, m, e)) == 0) {
		if (has)
			rc = adopt_uids(&ed, &u, in->wall_ms, e);
		if (rc == 0)
			rc = note_prints(in, 0, PRINT_N_UIDS, e);
		rc = finish(&ed, rc, e);
	}
	foreign_uids_fini(&u);
	return rc;
}

int
import_check(struct mailbox *m, bool now, struct err *e)
{
	struct imported *im = &m->imported;
	struct import in = { .m = m };
	int rc;

	if (!now && im->tick == m->account->store->tick)
		return 0;
	/* keywords and unique-ids only */
	if (m->account->in_memory) {
		im->rest = im->rest || !im->loaded;
		return 0;
	}
	if ((rc = compare(&in, 0, PRINT_N_KINDS, e)) != 0)
		return rc;
	if (in.any) {
		im->rest = true;
		if ((rc = early_keywords(&in, e)) == 0)
			rc = compare(&in, 0, PRINT_N_UIDS, e);
		if (rc == 0 && in.any)
			rc = take_uids(&in, e);
		if (rc != 0)
			return rc;
		mailbox_publish(m);
	}
	im->tick = m->account->store->tick;
	return 0;
}

/* --- the rest, after a scan ----------------------------------------------- */

/* Updates for messages that aren't there stay where they are for a while. */
static void
leave_waiting(struct import *in, struct foreign_keywords *k)
{
	for (size_t i = 0; i < k->n; i++) {
		if (k->v[i].mtime_s == 0 ||
		    mailbox_find_base(in->m, k->v[i].base) != 0)
			continue;
		in->waiting = in->waiting ||
		    k->v[i].mtime_s + FOREIGN_PENDING_S > in->wall_ms / 1000;
		k->v[i].mtime_s = 0;
	}
}

static int
take_rest(struct import *in, struct err *e)
{
	struct mailbox *m = in->m;
	bool dovecot =
	    dovecot_was_last(in, PRINT_COURIER_UIDS, PRINT_DOVECOT_IDS);
	struct foreign_keywords k = { 0 };
	struct foreign_uids u = { 0 };
	struct foreign_sizelist l = { 0 };
	bool has_keywords = read_keywords(
	    in, dovecot || in->changed[PRINT_DOVECOT_KEYWORDS], &k);
	bool has_uids = dovecot && m->dir[0] == '\0' &&
	    dovecot_uids_read(m->account->root_fd, m->dir, &u);
	bool has_list = !dovecot && in->changed[PRINT_COURIER_SIZELIST] &&
	    courier_sizelist_read(m->account->root_fd, &l);
	struct edit ed;
	int rc;

	if ((rc = edit_begin(&ed, m, e)) != 0)
		goto out;
	if (has_keywords) {
		rc = adopt_keywords(&ed, &k, 0, e);
		leave_waiting(in, &k);
	}
	if (rc == 0)
		rc = pop3_ids_import(m, has_uids ? &u : NULL,
		    has_list ? &l : NULL, &ed.changed, e);
	if (rc == 0)
		rc = note_prints(in, PRINT_N_UIDS, PRINT_N_KINDS, e);
	rc = finish(&ed, rc, e);
	/* They count once: what is set here later is newer. */
	if (rc == 0 && k.n_pending != 0)
		courier_keywords_merged(
		    m->account->root_fd, m->dir, in->wall_ms / 1000, &k);
out:
	foreign_keywords_fini(&k);
	foreign_uids_fini(&u);
	foreign_sizelist_fini(&l);
	return rc;
}

int
import_finish(struct mailbox *m, struct err *e)
{
	struct import in = { .m = m };
	int rc;

	if (!m->imported.rest)
		return 0;
	if ((rc = compare(&in, PRINT_N_UIDS, PRINT_N_KINDS, e)) != 0)
		return rc;
	if (in.any)
		rc = take_rest(&in, e);
	if (rc == 0)
		m->imported.rest = false;
	return rc;
}

/* --- the first time ------------------------------------------------------- */

static int64_t
mtime_ns(int root_fd, const char *dir, const char *name)
{
	struct buf path;
	struct stat st;
	int64_t ns = -1;

	buf_init(&path, 2048);
	buf_puts(&path, dir);
	if (dir[0] != '\0')
		buf_putc(&path, '/');
	buf_puts(&path, name);
	if (fsx_stat(root_fd, buf_cstr(&path), &st) == 0)
		ns = st.st_mtim.tv_sec * INT64_C(1000000000) +
		    st.st_mtim.tv_nsec;
	buf_fini(&path);
	return ns;
}

static int
order_bases(const void *a, const void *b)
{
	const struct foreign_uid *const *x = a, *const *y = b;

	return slice_cmp((*x)->base, (*y)->base);
}

static void
note_places(
    struct foreign_uid **by_base, size_t n, struct dir_reader *r, bool in_new)
{
	struct foreign_uid key = { 0 }, *k = &key, **found;
	struct file_name f;
	struct slice name;

	while (dir_reader_next(r, &name)) {
		file_name_parse(name, in_new, &f);
		key.base = f.base;
		found = bsearch(&k, by_base, n, sizeof(*by_base), order_bases);
		/* what is spelled oddly is left to the scan */
		if (found != NULL && !(f.place & PLACE_ODD))
			(*found)->place = f.place;
	}
}

/*
 * Where the files are: a scan that found each of 100 000 elsewhere than
 * expected would look twice for every one.
 */
static void
find_places(int root_fd, const char *dir, struct foreign_uids *u)
{
	struct foreign_uid **by_base = mem_alloc((u->n + 1) * sizeof(*by_base));
	struct dir_reader r;
	struct buf path;

	for (size_t i = 0; i < u->n; i++)
		by_base[i] = &u->v[i];
	if (u->n != 0)
		qsort(by_base, u->n, sizeof(*by_base), order_bases);
	buf_init(&path, 2048);
	for (int i = 0; u->n != 0 && i < 2; i++) {
		buf_reset(&path);
		buf_puts(&path, dir);
		buf_puts(&path, dir[0] != '\0' ? "/" : "");
		buf_puts(&path, i == 0 ? "new" : "cur");
		if (dir_reader_open(&r, root_fd, buf_cstr(&path)) < 0)
			continue;
		note_places(by_base, u->n, &r, i == 0);
		dir_reader_close(&r);
	}
	buf_fini(&path);
	free(by_base);
}

bool
import_uids(const struct account *a, const char *dir, struct foreign_uids *out)
{
	bool dovecot =
	    mtime_ns(a->root_fd, dir, file_names[PRINT_DOVECOT_UIDS]) >
	    mtime_ns(a->root_fd, dir, file_names[PRINT_COURIER_UIDS]);

	for (int i = 0; i < 2; i++, dovecot = !dovecot) {
		if (!(dovecot ? dovecot_uids_read(a->root_fd, dir, out)
			      : courier_uids_read(a->root_fd, dir, out)))
			continue;
		/* UIDs were given since that list was written. */
		if (a->rebuilt &&
		    out->uidnext < UINT32_MAX - UIDNEXT_JUMP_RESTORED)
			out->uidnext += UIDNEXT_JUMP_RESTORED;
		find_places(a->root_fd, dir, out);
		return true;
	}
	return false;
}
