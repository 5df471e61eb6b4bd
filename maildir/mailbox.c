#include "maildir/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "maildir/edit.h"
#include "maildir/import.h"
#include "maildir/name.h"
#include "maildir/record.h"

#define KEY_UIDS UINT32_MAX

/* --- small lists ---------------------------------------------------------- */

void
waker_list_add(struct waker_list *l, struct waker w)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].fn == w.fn && l->v[i].arg == w.arg)
			return;
	if (l->n == l->cap) {
		l->cap = l->cap * 2 + 4;
		l->v = mem_realloc(l->v, l->cap, sizeof(*l->v));
	}
	l->v[l->n++] = w;
}

void
waker_list_forget(struct waker_list *l, void *arg)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].arg != arg)
			l->v[n++] = l->v[i];
	l->n = n;
}

void
waker_list_call(struct waker_list *l)
{
	struct waker_list calls = *l;

	*l = (struct waker_list){ 0 };
	for (size_t i = 0; i < calls.n; i++)
		waker_call(calls.v[i]);
	free(calls.v);
}

/* --- rows ----------------------------------------------------------------- */

/* Put imported UIDs into the chunk tables of a new row. */
static int
write_imported(struct account *a, int64_t id, const struct foreign_uids *u,
    int64_t wall_ms, struct err *e)
{
	const struct fixed fixed = { TIME_UNKNOWN, wall_ms, SIZE_UNKNOWN,
		SIZE_UNKNOWN, ENDING_UNKNOWN, 0 };
	struct mailbox m = { .account = a, .id = id };
	struct chunk *c = NULL;
	int rc = 0;

	for (size_t i = 0; i < u->n && rc == 0; i++) {
		uint64_t place =
		    u->v[i].place != 0 ? u->v[i].place : PLACE_INFO;
		struct message msg = { .uid = u->v[i].uid,
			.flags = place_flags(place),
			.modseq = 1 };

		if (c == NULL)
			c = chunk_new(msg.uid);
		chunk_append(
		    c, &msg, place, u->v[i].base, slice_of(NULL, 0), &fixed);
		if (c->n < CHUNK_MAX && i + 1 < u->n)
			continue;
		c->change = 1;
		rc = chunk_write(&m, c, e);
		chunk_unref(&c);
	}
	chunk_unref(&c);
	return rc;
}

static int
insert_row(struct account *a, struct slice dir, const struct foreign_uids *u,
    int64_t *id, struct err *e)
{
	struct db *db = &a->db;
	sqlite3_stmt *s;
	uint32_t validity = 0;
	int at = 1, rc;

	rc = account_next_uidvalidity(a, u->uidvalidity, &validity, e);
	if (rc != 0)
		return rc;
	s = db_stmt(db, DB_MAILBOX_INSERT);
	db_bind_blob(s, at++, dir);
	db_bind_i64(s, at++, validity);
	db_bind_i64(s, at++, u->uidnext);
	db_bind_i64(s, at++, 1);	    /* modseq */
	db_bind_i64(s, at++, MODSEQ_BLOCK); /* modseq_bound */
	db_bind_i64(s, at++, u->uidnext);   /* none of them is recent */
	if ((rc = db_run(db, s, e)) != 0)
		return rc;
	*id = sqlite3_last_insert_rowid(db->h);
	return write_imported(a, *id, u, a->store->wall_ms, e);
}

static int
find_row(struct account *a, struct slice dir, int64_t *id, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_MAILBOX_FIND);
	int rc;

	db_bind_blob(s, 1, dir);
	if ((rc = db_step(&a->db, s, e)) == 1) {
		*id = sqlite3_column_int64(s, 0);
		(void)sqlite3_reset(s);
	}
	return rc;
}

int
mailbox_row(struct account *a, struct slice dir, int64_t *id, struct err *e)
{
	struct foreign_uids u;
	char *name;
	int rc = find_row(a, dir, id, e);

	if (rc != 0)
		return rc == 1 ? 0 : rc;
	name = slice_dup(dir);
	if (!import_uids(a, name, &u))
		u = (struct foreign_uids){ .uidnext = 1 };
	free(name);
	if ((rc = db_begin(&a->db, e)) != 0)
		goto out;
	/* another process may have made it meanwhile */
	if ((rc = find_row(a, dir, id, e)) == 0)
		rc = insert_row(a, dir, &u, id, e);
	if (rc < 0)
		db_rollback(&a->db);
	else
		rc = db_commit(&a->db, e);
out:
	foreign_uids_fini(&u);
	return rc;
}

int
mailbox_row_remake(
    struct mailbox *m, const struct foreign_uids *u, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s;
	int64_t id;
	int rc;

	if ((rc = db_begin(db, e)) != 0)
		return rc;
	s = db_stmt(db, DB_USED_SET);
	db_bind_blob(s, 1, slice_str(m->dir));
	db_bind_i64(s, 2, m->uidvalidity);
	if ((rc = db_run(db, s, e)) == 0) {
		s = db_stmt(db, DB_MAILBOX_DELETE);
		db_bind_i64(s, 1, m->id);
		rc = db_run(db, s, e);
	}
	if (rc == 0)
		rc = insert_row(m->account, slice_str(m->dir), u, &id, e);
	if (rc == 0)
		return db_commit(db, e);
	db_rollback(db);
	return rc;
}

/* --- memory from the database --------------------------------------------- */

static struct chunk *
load_chunk(struct mailbox *m, int64_t key, struct err *e, int *rc)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_CHUNK_GET);
	struct chunk *c;

	db_bind_i64(s, 1, key);
	if ((*rc = db_step(db, s, e)) != 1) {
		if (*rc == 0)
			*rc = err_set(e, ERR_DAMAGED, "a chunk is missing");
		return NULL;
	}
	c = chunk_decode((uint32_t)key, db_column_blob(s, 0),
	    db_column_blob(s, 1), db_column_blob(s, 2));
	(void)sqlite3_reset(s);
	*rc = c != NULL ? 0 : err_set(e, ERR_DAMAGED, "a chunk is damaged");
	for (uint32_t i = 0; c != NULL && i < c->n; i++)
		if (c->m[i].modseq < m->modseq_floor)
			c->m[i].modseq = m->modseq_floor;
	return c;
}

/* The chunk in memory if it is the one that the database has. */
static struct chunk *
known_chunk(const struct mailbox *m, uint32_t first, uint64_t change)
{
	struct chunk *c;

	if (m->head == NULL || m->head->n_chunks == 0)
		return NULL;
	c = m->head->v[chunks_find(m->head->v, m->head->n_chunks, first)];
	return c->first == first && c->change == change ? chunk_ref(c) : NULL;
}

struct chunk_list {
	struct chunk **v;
	size_t n, cap;
};

static void
chunk_list_fini(struct chunk_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		chunk_unref(&l->v[i]);
	free(l->v);
}

static int
load_chunks(struct mailbox *m, struct chunk_list *l, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_CHUNK_LIST);
	uint32_t last = 0;
	int rc;

	db_bind_i64(s, 1, chunk_key(m, 0));
	db_bind_i64(s, 2, chunk_key(m, KEY_UIDS));
	while ((rc = db_step(db, s, e)) == 1) {
		int64_t key = sqlite3_column_int64(s, 0);
		uint64_t change = db_column_u64(s, 1);
		struct chunk *c = known_chunk(m, (uint32_t)key, change);

		if (c == NULL && (c = load_chunk(m, key, e, &rc)) == NULL)
			break;
		c->change = change;
		if (l->n == l->cap) {
			l->cap = l->cap * 2 + 16;
			l->v =
			    mem_realloc(l->v, l->cap, sizeof(struct chunk *));
		}
		l->v[l->n++] = c;
		if (c->m[0].uid <= last) {
			rc = err_set(e, ERR_DAMAGED, "chunks overlap");
			break;
		}
		last = c->m[c->n - 1].uid;
	}
	(void)sqlite3_reset(s);
	if (rc == 0 && last >= m->uidnext)
		rc = err_set(e, ERR_DAMAGED, "a UID is beyond UIDNEXT");
	return rc;
}

static void
count_new(struct mailbox *m)
{
	m->n_new = 0;
	for (size_t k = 0; k < m->head->n_chunks; k++) {
		const struct chunk *c = m->head->v[k];

		for (uint32_t i = 0; i < c->n; i++)
			m->n_new += (c->place[i] & PLACE_NEW) != 0;
	}
}

static void
take_row(struct mailbox *m, sqlite3_stmt *s)
{
	bool first = !m->known;

	m->uidvalidity = db_column_u32(s, 0);
	m->uidnext = db_column_u32(s, 1);
	m->modseq = db_column_u64(s, 2);
	m->modseq_bound = db_column_u64(s, 3);
	m->change = db_column_u64(s, 4);
	m->recent_uid = db_column_u32(s, 5);
	m->pop3_next = db_column_u32(s, 12);
	m->pop3_uidvalidity = db_column_u32(s, 13);
	m->object_id = db_column_u64(s, 15);
	m->modseq_floor = db_column_u64(s, 16);
	m->known = true;
	if (!first)
		return;
	m->durable_uidnext = m->uidnext;
	/* A row that nobody has changed yet may be a moment old. */
	m->unsynced = m->change == 1;
	for (int d = 0; d < 2; d++) {
		m->dirs[d].ino = db_column_u64(s, 8 + 2 * d);
		m->dirs[d].mtime_ns = sqlite3_column_int64(s, 9 + 2 * d);
		m->dirs[d].clean = m->dirs[d].mtime_ns != 0;
	}
}

static int
reload_messages(struct mailbox *m, struct err *e)
{
	struct chunk_list l = { 0 };
	int rc = load_chunks(m, &l, e);

	if (rc != 0) {
		chunk_list_fini(&l);
		return rc;
	}
	view_unref(&m->head);
	m->head = view_new(l.v, l.n, m->uidnext, m->modseq);
	index_free(&m->index);
	count_new(m);
	return 0;
}

int
mailbox_reload(struct mailbox *m, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_MAILBOX_GET);
	uint64_t n_keywords, n_sets;
	uint32_t validity = m->uidvalidity;
	int rc;

	db_bind_i64(s, 1, m->id);
	if ((rc = db_step(db, s, e)) < 0)
		return rc;
	if (rc == 0 || !slice_eq(db_column_blob(s, 14), slice_str(m->dir)) ||
	    (m->known && db_column_u32(s, 0) != validity)) {
		(void)sqlite3_reset(s);
		mailbox_set_gone(m);
		return err_set(e, ERR_STALE, "mailbox is gone");
	}
	if (m->head != NULL && db_column_u64(s, 4) == m->change) {
		(void)sqlite3_reset(s);
		return 0;
	}
	take_row(m, s);
	n_keywords = db_column_u64(s, 6);
	n_sets = db_column_u64(s, 7);
	(void)sqlite3_reset(s);
	if ((rc = keywords_load(m, (size_t)n_keywords, (size_t)n_sets, e)) !=
		0 ||
	    (rc = reload_messages(m, e)) != 0)
		m->change = 0; /* what memory has fits nothing any more */
	return rc;
}

/* --- opening -------------------------------------------------------------- */

struct mailbox *
mailbox_find_dir(struct account *a, struct slice dir)
{
	for (struct mailbox *m = a->mailboxes; m != NULL; m = m->next)
		if (!m->gone && slice_eq(slice_str(m->dir), dir))
			return m;
	return NULL;
}

static int
load(struct mailbox *m, struct err *e)
{
	struct db *db = &m->account->db;
	int rc = db_run(db, db_stmt(db, DB_BEGIN_READ), e);

	if (rc != 0)
		return rc;
	db->in_txn = true;
	rc = mailbox_reload(m, e);
	db_rollback(db);
	return rc;
}

/* Make room among those kept without users. */
static void
limit_kept(struct account *a)
{
	struct mailbox *oldest = NULL;
	size_t n = 0;

	for (struct mailbox *m = a->mailboxes; m != NULL; m = m->next) {
		if (m->refs != 0)
			continue;
		n++;
		if (oldest == NULL || m->gone || m->used <= oldest->used)
			oldest = m;
	}
	if (n > MAILBOX_KEEP)
		mailbox_free(oldest);
}

struct open_call {
	struct account *a;
	struct slice name, dir;
	struct mailbox *m;
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
	m->next = a->mailboxes;
	a->mailboxes = m;
	return m;
}

static int
open_new(struct open_call *c, struct err *e)
{
	struct mailbox *m;
	int64_t id = 0;
	int rc;

	if ((rc = account_open(c->a, e)) != 0)
		return rc;
	if ((rc = mailbox_row(c->a, c->dir, &id, e)) != 0)
		return account_db_failed(c->a, rc);
	m = mailbox_new(c->a, c->name, c->dir);
	m->id = id;
	if ((rc = load(m, e)) != 0) {
		mailbox_free(m);
		return account_db_failed(c->a, rc);
	}
	c->a->damaged = 0;
	mailbox_publish(m);
	if ((rc = import_check(m, true, e)) != 0) {
		mailbox_free(m);
		return rc;
	}
	c->m = m;
	return 0;
}

static int
open_or_share(struct open_call *c, struct err *e)
{
	int rc = 0;

	c->m = mailbox_find_dir(c->a, c->dir);
	if (c->m != NULL && c->m->asleep)
		rc = mailbox_check(c->m, e);
	if (c->m != NULL && rc == 0)
		rc = import_check(c->m, true, e);
	if (c->m != NULL && rc != ERR_STALE)
		return rc;
	rc = open_new(c, e);
	/* damaged: looked at again, set aside, and made anew; stale: another
	 * server has given other UIDs, which are taken over now */
	for (int i = 0; (rc == ERR_DAMAGED || rc == ERR_STALE) && i < 2; i++)
		rc = open_new(c, e);
	return rc;
}

static int
check_selectable(
    struct account *a, struct slice dir, uint64_t *ino, struct err *e)
{
	struct buf path;
	struct stat st;
	int rc = 0;

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

int
mailbox_open(
    struct account *a, struct slice name, struct mailbox **out, struct err *e)
{
	struct open_call c = { .a = a, .name = name };
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
	c.dir = buf_slice(&dir);
	if ((rc = open_or_share(&c, e)) != 0)
		goto out;
	/* Another directory of that name: what is open leads to the one that
	 * went, where nothing can be put any more. */
	if (c.m->dirs[DIR_CUR].ino != ino)
		mailbox_close_fds(c.m);
	c.m->refs++;
	c.m->used = a->store->tick;
	a->refs++;
	*out = c.m;
out:
	buf_fini(&dir);
	return rc;
}

void
mailbox_close(struct mailbox **pm)
{
	struct mailbox *m = *pm;
	struct account *a;

	*pm = NULL;
	if (m == NULL)
		return;
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	assert(m->refs > 0);
	a = m->account;
	m->used = a->store->tick;
	if (--m->refs == 0) {
		if (m->gone)
			mailbox_free(m);
		else
			limit_kept(a);
	}
	account_release(&a);
}

void
mailbox_free(struct mailbox *m)
{
	struct mailbox **at = &m->account->mailboxes;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	assert(m->refs == 0);
	mailbox_flush(m);
	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	while (m->listeners != NULL)
		mailbox_unlisten(m->listeners);
	scan_free(m);
	sync_forget(&m->pop3_sync);
	free(m->pop3_wakers.v);
	for (int d = 0; d < 2; d++) {
		watch_remove(&m->dirs[d]);
		watch_drop_events(&m->dirs[d]);
	}
	mailbox_close_fds(m);
	view_unref(&m->head);
	view_unref(&m->shown);
	index_free(&m->index);
	keywords_fini(m);
	free(m->suspects);
	pool_free(m->name);
	pool_free(m->dir);
	m->magic = 0;
	pool_free(m);
}

void
mailbox_set_gone(struct mailbox *m)
{
	if (m->gone)
		return;
	m->gone = true;
	m->meta_dirty = false;
	for (int d = 0; d < 2; d++) {
		watch_remove(&m->dirs[d]);
		watch_drop_events(&m->dirs[d]);
	}
	mailbox_wake(m);
}

/* --- looking -------------------------------------------------------------- */

uint32_t
mailbox_uidvalidity(const struct mailbox *m)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	return m->uidvalidity;
}

uint64_t
mailbox_object_id(const struct mailbox *m)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	return m->object_id;
}

struct slice
mailbox_name(const struct mailbox *m)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	return slice_str(m->name);
}

bool
mailbox_gone(const struct mailbox *m)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	return m->gone;
}

struct view *
mailbox_view(struct mailbox *m)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	assert(!m->asleep);
	return view_ref(m->shown);
}

void
mailbox_wake(struct mailbox *m)
{
	struct mailbox_listener *l, *next;

	for (l = m->listeners; l != NULL; l = next) {
		next = l->next;
		waker_call(l->waker);
	}
}

static bool
same_view(const struct view *a, const struct view *b)
{
	if (a->count != b->count || a->n_chunks != b->n_chunks ||
	    a->highest_modseq != b->highest_modseq || a->uidnext != b->uidnext)
		return false;
	for (size_t i = 0; i < a->n_chunks; i++)
		if (a->v[i] != b->v[i])
			return false;
	return true;
}

void
mailbox_publish(struct mailbox *m)
{
	struct view *v = view_below(m->head, m->durable_uidnext);
	bool wake;

	if (m->shown != NULL && same_view(m->shown, v)) {
		view_unref(&v);
		return;
	}
	/* New places of files are nothing that a session is told. */
	wake = m->shown == NULL ||
	    m->shown->highest_modseq != v->highest_modseq ||
	    m->shown->count != v->count || m->shown->uidnext != v->uidnext;
	view_unref(&m->shown);
	m->shown = v;
	if (wake)
		mailbox_wake(m);
}

void
mailbox_forget_waker(struct mailbox *m, void *arg)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	scan_forget_waker(m, arg);
	waker_list_forget(&m->pop3_wakers, arg);
}

void
mailbox_listen(struct mailbox *m, struct mailbox_listener *l)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	l->m = m;
	l->resting = false;
	l->next = m->listeners;
	l->prev = &m->listeners;
	if (l->next != NULL)
		l->next->prev = &l->next;
	m->listeners = l;
}

void
mailbox_unlisten(struct mailbox_listener *l)
{
	if (l->prev == NULL)
		return;
	*l->prev = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	l->next = NULL;
	l->prev = NULL;
	record_unref(&l->record);
}

uint32_t
mailbox_recent_from(struct mailbox *m, bool claim)
{
	uint32_t from = m->recent_uid;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (claim && from < m->shown->uidnext) {
		m->recent_uid = m->shown->uidnext;
		m->meta_dirty = true;
	}
	return from;
}

void
mailbox_counts(struct mailbox *m, struct mailbox_counts *out)
{
	const struct view *v = m->shown;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	*out = (struct mailbox_counts){ .messages = v->count,
		.uidnext = v->uidnext,
		.highest_modseq = v->highest_modseq };
	for (size_t k = 0; k < v->n_chunks; k++) {
		const struct chunk *c = v->v[k];

		for (uint32_t i = 0; i < c->n; i++) {
			const struct message *msg = &c->m[i];
			const struct fixed *f = chunk_fixed(c, i);
			uint64_t size;

			out->unseen += (msg->flags & MESSAGE_SEEN) == 0;
			out->deleted += (msg->flags & MESSAGE_DELETED) != 0;
			out->recent += msg->uid >= m->recent_uid;
			size = f->wire_size != SIZE_UNKNOWN
			    ? f->wire_size
			    : quota_size(m, c, i);
			out->size += size;
			if (msg->flags & MESSAGE_DELETED)
				out->deleted_size += size;
		}
	}
}

bool
mailbox_find(struct mailbox *m, uint32_t uid, struct chunk **c, uint32_t *i)
{
	uint32_t seq = view_find(m->head, uid);

	if (seq == 0)
		return false;
	*c = view_at(m->head, seq, i);
	return true;
}

uint32_t
mailbox_find_base(struct mailbox *m, struct slice base)
{
	/* a first scan finds all of them new */
	if (m->index == NULL && m->head->count == 0)
		return 0;
	if (m->index == NULL)
		m->index = index_new(m->head);
	return index_find(m->index, m->head, base);
}

/* --- directories ---------------------------------------------------------- */

void
mailbox_put_path(const struct mailbox *m, struct buf *out, const char *sub)
{
	if (m->dir[0] != '\0') {
		buf_puts(out, m->dir);
		buf_putc(out, '/');
	}
	buf_puts(out, sub);
}

int
mailbox_dir_fd(struct mailbox *m, int which)
{
	struct watched_dir *d = &m->dirs[which];
	struct buf path;

	if (d->fd >= 0)
		return d->fd;
	buf_init(&path, 1024);
	mailbox_put_path(m, &path, which == DIR_NEW ? "new" : "cur");
	d->fd = fsx_open_dir(m->account->root_fd, buf_cstr(&path));
	buf_fini(&path);
	return d->fd;
}

void
mailbox_close_fds(struct mailbox *m)
{
	for (int d = 0; d < 2; d++) {
		if (m->dirs[d].fd >= 0)
			(void)close(m->dirs[d].fd);
		m->dirs[d].fd = -1;
	}
}

/* --- writing back --------------------------------------------------------- */

static int
flush_bodies(struct mailbox *m, struct err *e)
{
	int rc = 0;

	for (size_t k = 0; k < m->head->n_chunks && rc == 0; k++) {
		struct chunk *c = m->head->v[k];

		if (c->body->dirty)
			rc = chunk_write_fixed(m, c, e);
		if (rc == 0)
			c->body->dirty = false;
	}
	return rc;
}

void
mailbox_flush(struct mailbox *m)
{
	struct db *db = &m->account->db;
	struct err e = { 0 };
	uint32_t recent = m->recent_uid;
	int rc;

	/* Nothing here is needed by anybody: what can't be written now is
	 * computed again. */
	if (!m->meta_dirty || m->gone || db->h == NULL || db->in_txn ||
	    db_begin(db, &e) != 0)
		return;
	if ((rc = mailbox_reload(m, &e)) != 0)
		goto fail;
	if (m->recent_uid < recent)
		m->recent_uid = recent;
	if ((rc = flush_bodies(m, &e)) != 0 ||
	    (rc = mailbox_row_write(m, &e)) != 0)
		goto fail;
	m->meta_dirty = false;
	if (db_commit(db, &e) != 0)
		log_warn("maildir: not written back path=%s: %s",
		    m->account->path, e.text);
	return;
fail:
	db_rollback(db);
	log_warn(
	    "maildir: not written back path=%s: %s", m->account->path, e.text);
}
