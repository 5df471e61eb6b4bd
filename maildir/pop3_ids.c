#include "maildir/pop3_ids.h"

#include <limits.h>
#include <stdlib.h>

#include "base/le.h"
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

void
pop3_ids_add(struct pop3_ids *l, const struct pop3_id *id)
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

int
pop3_id_order(const void *a, const void *b)
{
	const struct pop3_id *x = a, *y = b;

	return x->uid < y->uid ? -1 : x->uid > y->uid;
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

		pop3_ids_add(l, &id);
	}
	return true;
}

/* Rows of one table from a key on; 1: there are more; 0: that was all. */
static int
load(struct mailbox *m, struct pop3_ids *l, enum db_sql which,
    bool (*take)(struct pop3_ids *, struct slice), uint64_t *next,
    uint32_t last, int *work, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s;
	int rc = 1;

	if (*next > last)
		return 0;
	s = db_stmt(db, which);
	db_bind_i64(s, 1, chunk_key(m, (uint32_t)*next));
	db_bind_i64(s, 2, chunk_key(m, last));
	while (*work > 0 && (rc = db_step(db, s, e)) == 1) {
		uint32_t first = (uint32_t)sqlite3_column_int64(s, 0);
		struct slice blob = db_column_blob(s, 1);

		if (!blob_open(&blob) || !take(l, blob)) {
			rc = err_set(e, ERR_DAMAGED, "unique-ids damaged");
			break;
		}
		*next = (uint64_t)first + 1;
		*work -= BUCKET;
	}
	(void)sqlite3_reset(s);
	return rc;
}

int
pop3_ids_load_some(struct mailbox *m, struct pop3_ids *l,
    struct pop3_ids_loader *r, int *work, struct err *e)
{
	int rc;

	if (!r->texts) {
		rc = load(m, l, DB_POP3_LIST, decode_ids, &r->next, UINT32_MAX,
		    work, e);
		if (rc != 0)
			return rc;
		*r = (struct pop3_ids_loader){ .texts = true };
	}
	return load(m, l, DB_POP3_TEXT_LIST, decode_texts, &r->next, UINT32_MAX,
	    work, e);
}

int
pop3_ids_load(struct mailbox *m, struct pop3_ids *l, struct err *e)
{
	struct pop3_ids_loader r = { .next = 0 };
	int work = INT_MAX;

	return pop3_ids_load_some(m, l, &r, &work, e);
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

/* What the database has of a bucket, and those of l that have none there yet:
 * from … to are all of it.  *changed: there were some. */
static int
write_bucket(struct mailbox *m, const struct pop3_ids *l, size_t from,
    size_t to, bool *changed, struct err *e)
{
	uint32_t first = l->v[from].uid / BUCKET * BUCKET;
	uint64_t next = first;
	struct pop3_ids b;
	int work = INT_MAX, rc;
	size_t known;

	pop3_ids_init(&b);
	rc = load(m, &b, DB_POP3_LIST, decode_ids, &next, first, &work, e);
	next = first;
	if (rc == 0)
		rc = load(m, &b, DB_POP3_TEXT_LIST, decode_texts, &next, first,
		    &work, e);
	known = b.n;
	for (size_t i = from; i < to && rc == 0; i++) {
		struct pop3_id id = l->v[i];

		if (find_first(&b, known, id.uid) != NULL)
			continue;
		id.text_at = buf_len(&b.texts);
		buf_put(&b.texts, text_of(l, &l->v[i]));
		pop3_ids_add(&b, &id);
	}
	*changed = rc == 0 && b.n != known;
	if (*changed) {
		qsort(b.v, b.n, sizeof(*b.v), pop3_id_order);
		rc = put_bucket(m, &b, 0, b.n, e);
	}
	pop3_ids_fini(&b);
	return rc;
}

static int
write_buckets(struct mailbox *m, const struct pop3_ids *l, size_t *at,
    bool *changed, int *work, struct err *e)
{
	int rc = 0;

	while (*at < l->n && rc == 0 && *work > 0) {
		size_t to = *at;
		bool new = false;

		while (to < l->n &&
		    l->v[to].uid / BUCKET == l->v[*at].uid / BUCKET)
			to++;
		rc = write_bucket(m, l, *at, to, &new, e);
		*changed = *changed || new;
		*at = to;
		*work -= BUCKET;
	}
	return rc;
}

int
pop3_ids_begin(struct mailbox *m, struct err *e)
{
	struct db *db = &m->account->db;
	int rc = account_open(m->account, e);

	if (rc != 0 || (rc = db_begin(db, e)) != 0)
		return rc;
	if ((rc = mailbox_reload(m, e)) != 0)
		db_rollback(db);
	return rc;
}

int
pop3_ids_commit(struct mailbox *m, int rc, struct err *e)
{
	struct db *db = &m->account->db;
	uint64_t change = m->change;

	if (rc == 0) {
		m->change++;
		rc = mailbox_row_write(m, e);
	}
	if (rc == 0 && (rc = db_commit(db, e)) == 0) {
		m->pop3_changes++;
		account_log_grown(m->account);
		return 0;
	}
	db_rollback(db);
	m->change = change;
	return rc;
}

int
pop3_ids_write_some(struct mailbox *m, const struct pop3_ids *l, size_t *at,
    int *work, struct err *e)
{
	size_t before = *at;
	bool changed = false;
	int rc;

	if (*at == l->n)
		return 0;
	if ((rc = pop3_ids_begin(m, e)) != 0)
		return rc;
	rc = write_buckets(m, l, at, &changed, work, e);
	if (rc == 0 && !changed)
		db_rollback(&m->account->db);
	else
		rc = pop3_ids_commit(m, rc, e);
	if (rc != 0) {
		*at = before;
		return rc;
	}
	return *at < l->n;
}

/* --- as clients see them -------------------------------------------------- */

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
