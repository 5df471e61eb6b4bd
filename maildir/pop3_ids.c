#include "maildir/pop3_ids.h"

#include <stdlib.h>

#include "base/mem.h"
#include "maildir/blob.h"
#include "maildir/edit.h"

enum {
	ID_BYTES = 20,
	BUCKET = 1024,
	TEXT_HEAD_BYTES = 9,
	TEXT_MAX = 255, /* as UNIQUE_ID_MAX in import_dovecot.c */
	TEXTS_BYTES = 256 * 1024 * 1024,
	UTF8_SHIFT = 62,
};

#define SIZE_MASK ((UINT64_C(1) << UTF8_SHIFT) - 1)

void
pop3_ids_init(struct pop3_ids *l)
{
	*l = (struct pop3_ids){ 0 };
	buf_init(&l->texts, TEXTS_BYTES);
}

void
pop3_ids_fini(struct pop3_ids *l)
{
	free(l->v);
	buf_fini(&l->texts);
	*l = (struct pop3_ids){ 0 };
}

static void
add(struct pop3_ids *l, const struct pop3_id *id)
{
	if (l->n == l->cap) {
		l->cap = l->cap * 2 + 64;
		l->v = mem_realloc(l->v, l->cap, sizeof(*l->v));
	}
	l->v[l->n++] = *id;
}

/* Among the first n, which are in order. */
static struct pop3_id *
find_first(const struct pop3_ids *l, size_t n, uint32_t uid)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->v[mid].uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && l->v[low].uid == uid ? &l->v[low] : NULL;
}

struct pop3_id *
pop3_ids_find(const struct pop3_ids *l, uint32_t uid)
{
	return find_first(l, l->n, uid);
}

static int
order_ids(const void *a, const void *b)
{
	const struct pop3_id *x = a, *y = b;

	return x->uid < y->uid ? -1 : x->uid > y->uid;
}

static void
sort(struct pop3_ids *l)
{
	if (l->n != 0)
		qsort(l->v, l->n, sizeof(*l->v), order_ids);
}

/* --- reading -------------------------------------------------------------- */

static struct pop3_id
decode(const uint8_t *p)
{
	uint64_t size = le_get(p + 12, 8);
	struct pop3_id id = { .uid = (uint32_t)le_get(p, 4),
		.n = (uint32_t)le_get(p + 4, 4),
		.uidvalidity = (uint32_t)le_get(p + 8, 4),
		.size = size & SIZE_MASK };

	if (size >> UTF8_SHIFT == UTF8_NO || size >> UTF8_SHIFT == UTF8_YES)
		id.utf8 = (enum foreign_utf8)(size >> UTF8_SHIFT);
	if (id.size == SIZE_MASK)
		id.size = SIZE_UNKNOWN;
	return id;
}

static bool
decode_texts(struct pop3_ids *l, struct slice blob)
{
	while (blob.n >= TEXT_HEAD_BYTES) {
		size_t n = blob.p[8];
		struct pop3_id *id =
		    pop3_ids_find(l, (uint32_t)le_get(blob.p, 4));

		if (n > TEXT_MAX || n > blob.n - TEXT_HEAD_BYTES)
			return false;
		if (id != NULL) {
			id->order = (uint32_t)le_get(blob.p + 4, 4);
			id->text_at = buf_len(&l->texts);
			id->text_n = n;
			buf_put(
			    &l->texts, slice_of(blob.p + TEXT_HEAD_BYTES, n));
		}
		blob = slice_skip(blob, TEXT_HEAD_BYTES + n);
	}
	return blob.n == 0 && buf_ok(&l->texts);
}

static bool
decode_ids(struct pop3_ids *l, struct slice blob)
{
	if (blob.n % ID_BYTES != 0)
		return false;
	for (; blob.n != 0; blob = slice_skip(blob, ID_BYTES)) {
		struct pop3_id id = decode(blob.p);

		add(l, &id);
	}
	return true;
}

static int
load(struct mailbox *m, struct pop3_ids *l, enum db_sql which,
    bool (*take)(struct pop3_ids *, struct slice), struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, which);
	int rc;

	db_bind_i64(s, 1, chunk_key(m, 0));
	db_bind_i64(s, 2, chunk_key(m, UINT32_MAX));
	while ((rc = db_step(db, s, e)) == 1) {
		struct slice blob = db_column_blob(s, 1);

		if (blob_open(&blob) && take(l, blob))
			continue;
		(void)sqlite3_reset(s);
		return err_set(e, ERR_DAMAGED, "unique-ids damaged");
	}
	return rc;
}

int
pop3_ids_load(struct mailbox *m, struct pop3_ids *l, struct err *e)
{
	int rc = load(m, l, DB_POP3_LIST, decode_ids, e);

	return rc != 0 ? rc : load(m, l, DB_POP3_TEXT_LIST, decode_texts, e);
}

/* --- writing -------------------------------------------------------------- */

static void
encode(struct buf *b, const struct pop3_id *id)
{
	uint64_t size = id->size < SIZE_MASK ? id->size : SIZE_MASK;

	le_put(b, id->uid, 4);
	le_put(b, id->n, 4);
	le_put(b, id->uidvalidity, 4);
	le_put(b, size | (uint64_t)id->utf8 << UTF8_SHIFT, 8);
}

static struct slice
text_of(const struct pop3_ids *l, const struct pop3_id *id)
{
	return slice_first(
	    slice_skip(buf_slice(&l->texts), id->text_at), id->text_n);
}

static void
encode_text(struct buf *b, const struct pop3_ids *l, const struct pop3_id *id)
{
	if (id->order == 0 && id->text_n == 0)
		return;
	le_put(b, id->uid, 4);
	le_put(b, id->order, 4);
	buf_putc(b, (uint8_t)id->text_n);
	buf_put(b, text_of(l, id));
}

static int
put_blob(struct mailbox *m, enum db_sql which, uint32_t first, struct buf *b,
    struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, which);

	blob_seal(b);
	db_bind_i64(s, 1, chunk_key(m, first));
	db_bind_blob(s, 2, buf_slice(b));
	return db_run(db, s, e);
}

static int
put_bucket(struct mailbox *m, const struct pop3_ids *l, size_t from, size_t to,
    struct err *e)
{
	uint32_t first = l->v[from].uid / BUCKET * BUCKET;
	struct buf ids, texts;
	int rc;

	buf_init(&ids, BUCKET * ID_BYTES + 64);
	buf_init(&texts, BUCKET * (TEXT_HEAD_BYTES + TEXT_MAX) + 64);
	for (size_t i = from; i < to; i++) {
		encode(&ids, &l->v[i]);
		encode_text(&texts, l, &l->v[i]);
	}
	rc = put_blob(m, DB_POP3_PUT, first, &ids, e);
	if (rc == 0 && buf_len(&texts) != 0)
		rc = put_blob(m, DB_POP3_TEXT_PUT, first, &texts, e);
	buf_fini(&ids);
	buf_fini(&texts);
	return rc;
}

/* Write the buckets that got new ids. */
static int
store_ids(struct mailbox *m, const struct pop3_ids *l, struct err *e)
{
	size_t to;
	int rc = 0;

	for (size_t from = 0; from < l->n && rc == 0; from = to) {
		bool fresh = false;

		for (to = from; to < l->n &&
		     l->v[to].uid / BUCKET == l->v[from].uid / BUCKET;
		     to++)
			fresh = fresh || l->v[to].fresh;
		if (fresh)
			rc = put_bucket(m, l, from, to, e);
	}
	return rc;
}

/* --- giving --------------------------------------------------------------- */

struct in_order {
	struct slice base;
	uint32_t uid;
};

static int
order_bases(const void *a, const void *b)
{
	const struct in_order *x = a, *y = b;

	return file_name_order(x->base, y->base);
}

/* Within a transaction: an id for each message that has none. */
static int
give_ids(struct mailbox *m, struct pop3_ids *l, struct err *e)
{
	struct in_order *list =
	    mem_alloc(((size_t)m->head->count + 1) * sizeof(*list));
	size_t n = 0;
	int rc;

	if (m->pop3_next == 0) {
		m->pop3_next = 1;
		m->pop3_uidvalidity = m->uidvalidity;
	}
	/* numbers go on where another server's ended, and will do so again */
	if (m->account->in_memory)
		m->pop3_uidvalidity = m->uidvalidity;
	for (size_t k = 0; k < m->head->n_chunks; k++)
		for (uint32_t i = 0; i < m->head->v[k]->n; i++) {
			const struct chunk *c = m->head->v[k];

			if (pop3_ids_find(l, c->m[i].uid) == NULL)
				list[n++] = (struct in_order){ chunk_base(c, i),
					c->m[i].uid };
		}
	if (n != 0)
		qsort(list, n, sizeof(*list), order_bases);
	for (size_t i = 0; i < n; i++)
		add(l,
		    &(struct pop3_id){ .uid = list[i].uid,
			.n = m->pop3_next++,
			.uidvalidity = m->pop3_uidvalidity,
			.size = SIZE_UNKNOWN,
			.fresh = true });
	free(list);
	sort(l);
	if ((rc = store_ids(m, l, e)) != 0)
		return rc;
	m->change++;
	return mailbox_row_write(m, e);
}

static bool
all_known(const struct view *v, const struct pop3_ids *l)
{
	for (size_t k = 0; k < v->n_chunks; k++)
		for (uint32_t i = 0; i < v->v[k]->n; i++)
			if (pop3_ids_find(l, v->v[k]->m[i].uid) == NULL)
				return false;
	return true;
}

int
pop3_ids_ensure(struct mailbox *m, struct pop3_ids *l, struct err *e)
{
	struct db *db = &m->account->db;
	uint64_t change;
	uint32_t next, validity;
	int rc;

	if ((rc = pop3_ids_load(m, l, e)) != 0 || all_known(m->shown, l))
		return rc;
	if ((rc = db_begin(db, e)) != 0)
		return rc;
	l->n = 0;
	change = m->change;
	if ((rc = mailbox_reload(m, e)) == 0) {
		change = m->change;
		next = m->pop3_next;
		validity = m->pop3_uidvalidity;
		if ((rc = pop3_ids_load(m, l, e)) == 0)
			rc = give_ids(m, l, e);
		if (rc == 0 && (rc = db_commit(db, e)) == 0)
			return 1;
		m->pop3_next = next;
		m->pop3_uidvalidity = validity;
		m->change = change;
	}
	db_rollback(db);
	return rc;
}

/* The base name, with what can't be in a unique-id as +XX, as Courier does;
 * it minds no limit either, and a shorter one would be another one. */
static void
put_base(struct buf *out, struct slice base)
{
	for (size_t i = 0; i < base.n; i++) {
		uint8_t c = base.p[i];

		if (c < 0x21 || c > 0x7e || c == '\'' || c == '"' || c == '+')
			buf_putf(out, "+%02X", c);
		else
			buf_putc(out, c);
	}
}

void
pop3_id_put(struct buf *out, const struct pop3_ids *l, const struct pop3_id *id,
    struct slice base)
{
	if (id->n != 0 && id->uidvalidity != 0)
		buf_putf(out, "UID%u-%u", id->n, id->uidvalidity);
	else if (id->n != 0)
		buf_putf(out, "UID%u", id->n);
	else if (id->text_n != 0)
		buf_put(out, text_of(l, id));
	else
		put_base(out, base);
}

/* --- taking over ---------------------------------------------------------- */

/* The numbers that are in use: uidvalidity << 32 | n. */
struct used {
	uint64_t *v;
	size_t n;
};

static int
order_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static struct used
used_of(const struct pop3_ids *l)
{
	struct used u = { mem_alloc((l->n + 1) * sizeof(*u.v)), 0 };

	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].n != 0)
			u.v[u.n++] =
			    (uint64_t)l->v[i].uidvalidity << 32 | l->v[i].n;
	if (u.n != 0)
		qsort(u.v, u.n, sizeof(*u.v), order_u64);
	return u;
}

/* Numbers given from now on are above all that were taken over. */
static void
raise_next(struct mailbox *m, const struct pop3_id *id)
{
	if (id->n >= m->pop3_next && id->n < UINT32_MAX &&
	    id->uidvalidity == m->pop3_uidvalidity)
		m->pop3_next = id->n + 1;
}

static void
take_courier(struct mailbox *m, struct pop3_ids *l,
    const struct foreign_sizelist *c, const uint32_t *uids, size_t known)
{
	struct used used = used_of(l);

	if (m->pop3_next == 0 && c->uidvalidity != 0)
		m->pop3_uidvalidity = c->uidvalidity;
	else if (m->pop3_next == 0)
		m->pop3_uidvalidity = m->uidvalidity;
	if (m->pop3_next == 0)
		m->pop3_next = 1;
	if (c->next > m->pop3_next &&
	    (c->uidvalidity == m->pop3_uidvalidity || c->uidvalidity == 0))
		m->pop3_next = c->next;
	for (size_t i = 0; i < c->n; i++) {
		const struct foreign_pop3 *f = &c->v[i];
		struct pop3_id id = { .uid = uids != NULL
			    ? uids[i]
			    : mailbox_find_base(m, f->base),
			.n = f->n,
			.uidvalidity = f->n != 0 ? f->uidvalidity : 0,
			.size = f->size,
			.utf8 = f->utf8,
			.fresh = true };
		uint64_t key = (uint64_t)id.uidvalidity << 32 | id.n;

		raise_next(m, &id);
		if (id.uid == 0 || find_first(l, known, id.uid) != NULL ||
		    (id.n != 0 &&
			bsearch(&key, used.v, used.n, sizeof(key), order_u64) !=
			    NULL))
			continue;
		add(l, &id);
	}
	free(used.v);
}

static void
take_dovecot(struct mailbox *m, struct pop3_ids *l,
    const struct foreign_uids *d, const uint32_t *uids, size_t known)
{
	struct slice format = d->uidl_format;
	uint32_t order = 0;

	/* Dovecot lists those with an order first, the others by UID, which
	 * needn't be the order of their names. */
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].order > order)
			order = d->v[i].order;
	if (order > UINT32_MAX - d->n)
		order = UINT32_MAX;
	if (format.n == 0)
		format = slice_str(m->account->store->opt.dovecot_uidl_format);
	if (m->pop3_next == 0) {
		m->pop3_next = 1;
		m->pop3_uidvalidity = m->uidvalidity;
	}
	for (size_t i = 0; i < d->n; i++) {
		struct pop3_id id = { .uid = uids != NULL
			    ? uids[i]
			    : mailbox_find_base(m, d->v[i].base),
			.order = d->v[i].order != 0 ? d->v[i].order
			    : order != UINT32_MAX   ? ++order
						    : 0,
			.size = SIZE_UNKNOWN,
			.text_at = buf_len(&l->texts),
			.fresh = true };
		struct slice text;

		if (id.uid == 0 || find_first(l, known, id.uid) != NULL)
			continue;
		if (!dovecot_uidl_format(
			&l->texts, format, &d->v[i], d->uidvalidity) &&
		    !dovecot_uidl_format(&l->texts, SLICE("%08Xu%08Xv"),
			&d->v[i], d->uidvalidity))
			continue;
		text = slice_skip(buf_slice(&l->texts), id.text_at);
		if (courier_uidl_parse(text, &id.n, &id.uidvalidity)) {
			buf_truncate(&l->texts, id.text_at);
			raise_next(m, &id);
		} else {
			id.text_n = text.n;
		}
		add(l, &id);
	}
}

int
pop3_ids_import(struct mailbox *m, const struct foreign_uids *dovecot,
    const struct foreign_sizelist *courier, const uint32_t *uids, bool *changed,
    struct err *e)
{
	struct pop3_ids l;
	uint32_t next = m->pop3_next;
	size_t known, n = 0;
	int rc;

	if (dovecot == NULL && courier == NULL)
		return 0;
	pop3_ids_init(&l);
	if ((rc = pop3_ids_load(m, &l, e)) != 0)
		goto out;
	known = l.n;
	if (dovecot != NULL)
		take_dovecot(m, &l, dovecot, uids, known);
	if (courier != NULL)
		take_courier(m, &l, courier, uids, known);
	if (l.n == known && m->pop3_next == next)
		goto out;
	sort(&l);
	for (size_t i = 0; i < l.n; i++)
		if (n == 0 || l.v[n - 1].uid != l.v[i].uid)
			l.v[n++] = l.v[i];
	l.n = n;
	rc = store_ids(m, &l, e);
	*changed = true;
out:
	pop3_ids_fini(&l);
	return rc;
}
