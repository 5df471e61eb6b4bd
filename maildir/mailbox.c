#include "maildir/mailbox.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "maildir/edit.h"
#include "maildir/import.h"
#include "maildir/keywords.h"
#include "maildir/quota.h"
#include "maildir/record.h"

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

/* --- opening -------------------------------------------------------------- */

struct mailbox *
mailbox_find_dir(struct account *a, struct slice dir)
{
	for (struct mailbox *m = a->mailboxes; m != NULL; m = m->next)
		if (!m->gone && slice_eq(slice_str(m->dir), dir))
			return m;
	return NULL;
}

/* Make room among those kept without users: more of them if they are small. */
static void
limit_kept(struct account *a)
{
	struct mailbox *oldest = NULL;
	size_t n = 0, messages = 0;

	for (struct mailbox *m = a->mailboxes; m != NULL; m = m->next) {
		if (m->refs != 0)
			continue;
		n++;
		messages += m->head != NULL ? view_count(m->head) : 0;
		if (oldest == NULL || m->gone || m->used <= oldest->used)
			oldest = m;
	}
	if (n > MAILBOX_KEEP_SMALL ||
	    (n > MAILBOX_KEEP && messages > MESSAGES_KEEP))
		mailbox_free(oldest);
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
	mailbox_flush(m);
	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	mailbox_dispose(m);
}

void
mailbox_dispose(struct mailbox *m)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	assert(m->refs == 0);
	import_stop(m, false);
	mailbox_load_stop(m);
	while (m->listeners != NULL)
		mailbox_unlisten(m->listeners);
	scan_free(m);
	pop3_stop(m);
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
	free(m->twins);
	free(m->unnamed);
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
	if (a == b)
		return true;
	if (a->count != b->count || a->n_chunks != b->n_chunks ||
	    a->highest_modseq != b->highest_modseq || a->uidnext != b->uidnext)
		return false;
	for (size_t i = 0; i < a->n_chunks; i++)
		if (a->v[i] != b->v[i])
			return false;
	return true;
}

void
mailbox_set_unsynced(struct mailbox *m)
{
	m->unsynced = m->unsynced_told = true;
	m->unsynced_change = m->change;
}

void
mailbox_set_synced(struct mailbox *m, uint64_t change)
{
	if (m->unsynced_change <= change)
		m->unsynced = false;
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
	pop3_forget(m, arg);
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
	if (m->account->store->n_listeners++ == 0)
		waker_call(m->account->store->on_wanted);
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
	if (--l->m->account->store->n_listeners == 0)
		waker_call(l->m->account->store->on_wanted);
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

/* As it goes out, or else as quota counts it. */
static uint64_t
size_of(struct mailbox *m, const struct chunk *c, uint32_t i)
{
	uint64_t size = chunk_fixed(c, i)->wire_size;

	if (size == SIZE_UNKNOWN)
		(void)quota_size(m, c, i, &size);
	return size;
}

int
mailbox_counts(
    struct mailbox *m, bool sizes, struct mailbox_counts *out, struct err *e)
{
	const struct view *v;
	int work = PIECE_WORK, rc;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (sizes && (rc = mailbox_show_names(m, &work, e)) != 0)
		return rc;
	v = m->shown;
	*out = (struct mailbox_counts){ .messages = v->count,
		.uidnext = v->uidnext,
		.highest_modseq = v->highest_modseq };
	for (size_t k = 0; k < v->n_chunks; k++) {
		const struct chunk *c = v->v[k];

		for (uint32_t i = 0; i < c->n; i++) {
			const struct message *msg = chunk_message(c, i);

			out->unseen += (msg->flags & MESSAGE_SEEN) == 0;
			out->recent += msg->uid >= m->recent_uid;
			if ((msg->flags & MESSAGE_DELETED) == 0)
				continue;
			out->deleted++;
			if (sizes)
				out->deleted_size += size_of(m, c, i);
		}
	}
	return 0;
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

bool
mailbox_index_step(struct mailbox *m)
{
	/* others who change the mailbox all the time don't keep it from ever
	 * being made */
	int work = m->index_lost ? INT_MAX : PIECE_WORK;

	/* a first scan finds all of them new */
	if (m->index == NULL && m->head->count == 0)
		return true;
	if (m->index == NULL)
		m->index = index_new(m->head);
	if (!index_extend(m->index, m->head, &work))
		return false;
	m->index_lost = false;
	return true;
}

bool
mailbox_finds_at_once(const struct mailbox *m)
{
	return m->named &&
	    (m->head->count <= PIECE_WORK ||
		(m->index != NULL && index_is_whole(m->index)));
}

uint32_t
mailbox_find_base(struct mailbox *m, struct slice base)
{
	while (!mailbox_index_step(m))
		;
	return m->index != NULL ? index_find(m->index, m->head, base) : 0;
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

	/* Nothing here is needed by anybody: what can't be written now is
	 * computed again. */
	if (!m->meta_dirty || m->gone || db->h == NULL || db->in_txn ||
	    db_begin(db, &e) != 0)
		return;
	if (mailbox_reload(m, &e) != 0)
		goto fail;
	if (m->recent_uid < recent)
		m->recent_uid = recent;
	if (flush_bodies(m, &e) != 0 || mailbox_row_write(m, &e) != 0)
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
