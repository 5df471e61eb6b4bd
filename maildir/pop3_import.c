#include "maildir/pop3_import.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
	IDS_LOAD,
	IDS_USED,
	IDS_SORT_USED,
	IDS_TAKE,
	IDS_SORT,
	IDS_RAISE,
	IDS_WRITE,
};

void
pop3_import_begin(struct pop3_import *p, const struct foreign_uids *dovecot,
    const struct foreign_sizelist *courier, const uint32_t *uids)
{
	*p = (struct pop3_import){
		.dovecot = dovecot, .courier = courier, .uids = uids
	};
	pop3_ids_init(&p->known);
	pop3_ids_init(&p->taken);
}

void
pop3_import_fini(struct pop3_import *p)
{
	pop3_ids_fini(&p->known);
	pop3_ids_fini(&p->taken);
	piece_sort_fini(&p->sort);
	free(p->used);
	*p = (struct pop3_import){ 0 };
}

/* Somebody gave ids meanwhile: all is looked at once more. */
static void
start_over(struct pop3_import *p)
{
	const struct pop3_import before = *p;

	pop3_import_fini(p);
	pop3_import_begin(p, before.dovecot, before.courier, before.uids);
}

/* Sort n elements at *v; true: there is more to be done. */
static bool
sort(struct pop3_import *p, void **v, size_t n, size_t size, piece_order *order,
    int *work)
{
	if (!p->sorting) {
		piece_sort_begin(&p->sort, *v, n, size, order, NULL);
		*v = NULL;
		p->sorting = true;
	}
	if (piece_sort_some(&p->sort, work))
		return true;
	*v = piece_sort_take(&p->sort);
	p->sorting = false;
	return false;
}

/* --- numbers that are in use ---------------------------------------------- */

static int
order_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int
order_used(const void *a, const void *b, void *arg)
{
	(void)arg;
	return order_u64(a, b);
}

static bool
list_used(struct pop3_import *p, int *work)
{
	const struct pop3_ids *l = &p->known;

	if (p->used == NULL)
		p->used = mem_alloc((l->n + 1) * sizeof(*p->used));
	for (; p->at<l->n && * work> 0; p->at++, (*work)--)
		if (l->v[p->at].n != 0)
			p->used[p->n_used++] = (uint64_t)l->v[p->at].uidvalidity
				<< 32 |
			    l->v[p->at].n;
	return p->at < l->n;
}

static bool
sort_used(struct pop3_import *p, int *work)
{
	void *v = p->used;
	bool more = sort(p, &v, p->n_used, sizeof(*p->used), order_used, work);

	p->used = v;
	return more;
}

static bool
is_used(const struct pop3_import *p, const struct pop3_id *id)
{
	uint64_t key = (uint64_t)id->uidvalidity << 32 | id->n;

	return id->n != 0 && p->n_used != 0 &&
	    bsearch(&key, p->used, p->n_used, sizeof(key), order_u64) != NULL;
}

/* --- the entries ---------------------------------------------------------- */

/* Numbers given from now on are above all that were taken over. */
static void
raise_next(struct pop3_import *p, const struct pop3_id *id)
{
	if (id->n >= p->next && id->n < UINT32_MAX &&
	    id->uidvalidity == p->uidvalidity)
		p->next = id->n + 1;
}

static void
begin_courier(struct pop3_import *p, const struct mailbox *m)
{
	const struct foreign_sizelist *c = p->courier;

	if (p->next == 0)
		p->uidvalidity =
		    c->uidvalidity != 0 ? c->uidvalidity : m->uidvalidity;
	if (p->next == 0)
		p->next = 1;
	if (c->next > p->next &&
	    (c->uidvalidity == p->uidvalidity || c->uidvalidity == 0))
		p->next = c->next;
}

static void
take_courier(struct pop3_import *p, size_t i)
{
	const struct foreign_pop3 *f = &p->courier->v[i];
	struct pop3_id id = { .uid = p->uids[i],
		.n = f->n,
		.uidvalidity = f->n != 0 ? f->uidvalidity : 0,
		.size = f->size,
		.utf8 = f->utf8 };

	raise_next(p, &id);
	if (id.uid != 0 && pop3_ids_find(&p->known, id.uid) == NULL &&
	    !is_used(p, &id))
		pop3_ids_add(&p->taken, &id);
}

/* Dovecot lists those with an order first, the others by UID, which needn't be
 * the order of their names. */
static void
begin_dovecot(struct pop3_import *p, const struct mailbox *m)
{
	const struct foreign_uids *d = p->dovecot;

	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].order > p->order)
			p->order = d->v[i].order;
	if (p->order > UINT32_MAX - d->n)
		p->order = UINT32_MAX;
	if (p->next == 0) {
		p->next = 1;
		p->uidvalidity = m->uidvalidity;
	}
}

static void
take_dovecot(struct pop3_import *p, const struct mailbox *m, size_t i)
{
	const struct foreign_uids *d = p->dovecot;
	struct slice format = d->uidl_format, text;
	struct buf *texts = &p->taken.texts;
	struct pop3_id id = { .uid = p->uids[i],
		.order = d->v[i].order != 0  ? d->v[i].order
		    : p->order != UINT32_MAX ? ++p->order
					     : 0,
		.size = SIZE_UNKNOWN,
		.text_at = buf_len(texts) };

	if (id.uid == 0 || pop3_ids_find(&p->known, id.uid) != NULL)
		return;
	if (format.n == 0)
		format = slice_str(m->account->store->opt.dovecot_uidl_format);
	if (!dovecot_uidl_format(texts, format, &d->v[i], d->uidvalidity) &&
	    !dovecot_uidl_format(
		texts, SLICE("%08Xu%08Xv"), &d->v[i], d->uidvalidity))
		return;
	text = slice_skip(buf_slice(texts), id.text_at);
	if (courier_uidl_parse(text, &id.n, &id.uidvalidity)) {
		buf_truncate(texts, id.text_at);
		raise_next(p, &id);
	} else {
		id.text_n = text.n;
	}
	pop3_ids_add(&p->taken, &id);
}

static bool
take(struct pop3_import *p, const struct mailbox *m, int *work)
{
	size_t n = p->dovecot != NULL ? p->dovecot->n : p->courier->n;

	if (p->at == 0) {
		p->old_next = p->next = m->pop3_next;
		p->old_uidvalidity = p->uidvalidity = m->pop3_uidvalidity;
		if (p->dovecot != NULL)
			begin_dovecot(p, m);
		else
			begin_courier(p, m);
	}
	for (; p->at<n && * work> 0; p->at++, (*work)--)
		if (p->dovecot != NULL)
			take_dovecot(p, m, p->at);
		else
			take_courier(p, p->at);
	return p->at < n;
}

static int
order_taken(const void *a, const void *b, void *arg)
{
	(void)arg;
	return pop3_id_order(a, b);
}

/* Ascending UIDs, each once. */
static bool
sort_taken(struct pop3_import *p, int *work)
{
	struct pop3_ids *l = &p->taken;
	void *v = l->v;
	bool more = sort(p, &v, l->n, sizeof(*l->v), order_taken, work);
	size_t n = 0;

	l->v = v;
	l->cap = l->n;
	for (size_t i = 0; !more && i < l->n; i++)
		if (n == 0 || l->v[n - 1].uid != l->v[i].uid)
			l->v[n++] = l->v[i];
	if (!more)
		l->n = n;
	return more;
}

/* --- writing -------------------------------------------------------------- */

/* The numbers that the list has are given to nobody from here on.  1: those
 * that were looked at aren't all that are in use. */
static int
raise_row(struct pop3_import *p, struct mailbox *m, struct err *e)
{
	int rc;

	if (p->next == p->old_next && p->uidvalidity == p->old_uidvalidity)
		return 0;
	if ((rc = pop3_ids_begin(m, e)) != 0)
		return rc;
	if (m->pop3_next != p->old_next ||
	    m->pop3_uidvalidity != p->old_uidvalidity) {
		db_rollback(&m->account->db);
		return 1;
	}
	m->pop3_next = p->next;
	m->pop3_uidvalidity = p->uidvalidity;
	if ((rc = pop3_ids_commit(m, 0, e)) == 0)
		return 0;
	m->pop3_next = p->old_next;
	m->pop3_uidvalidity = p->old_uidvalidity;
	return rc;
}

/* The phase that follows one with pieces. */
static int
next(struct pop3_import *p, int rc)
{
	if (rc == 0) {
		p->phase++;
		p->at = 0;
	}
	return rc == 1 ? 0 : rc;
}

static int
advance(struct pop3_import *p, struct mailbox *m, int *work, struct err *e)
{
	int rc;

	switch (p->phase) {
	case IDS_LOAD:
		return next(
		    p, pop3_ids_load_some(m, &p->known, &p->loader, work, e));
	case IDS_USED:
		return next(p, list_used(p, work));
	case IDS_SORT_USED:
		return next(p, sort_used(p, work));
	case IDS_TAKE:
		return next(p, take(p, m, work));
	case IDS_SORT:
		return next(p, sort_taken(p, work));
	case IDS_RAISE:
		if ((rc = raise_row(p, m, e)) == 1)
			start_over(p);
		return next(p, rc);
	default:
		return pop3_ids_write_some(m, &p->taken, &p->at, work, e);
	}
}

int
pop3_import_step(
    struct pop3_import *p, struct mailbox *m, int *work, struct err *e)
{
	while (*work > 0) {
		bool last = p->phase == IDS_WRITE;
		int rc = account_open(m->account, e);

		if (rc == 0)
			rc = advance(p, m, work, e);
		if (rc < 0 || (last && rc == 0))
			return rc;
	}
	return 1;
}
