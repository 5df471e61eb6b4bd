/*
 * The drop listing and its unique-ids.
 *
 * Ids are kept in blobs, one for each 1024 UIDs, as records of 20 bytes:
 * uid 4, n 4, uidvalidity 4, size 8 (as Courier counted it, or unknown).
 * n != 0 is shown as "UIDn-uidvalidity" ("UIDn" without one); n == 0 is
 * Courier's oldest form, the base name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/edit.h"

enum {
	ID_BYTES = 20,
	BUCKET = 1024,
	READ_BYTES = 65536,
	SIZE_SLICE = 512 * 1024, /* bytes read in a step */
	OPEN_COST = 4096,
	LIST_FILE_MAX = 64 * 1024 * 1024,
};

struct pop3_id {
	uint32_t uid, n, uidvalidity;
	uint64_t size;
	bool fresh; /* given now */
};

struct ids {
	struct pop3_id *v; /* ascending UIDs */
	size_t n, cap;
};

/* --- sizes ---------------------------------------------------------------- */

/* Octets on the wire: each line end counts two.  RFC 1939 11.  What RETR adds
 * to a last line without its end isn't among them, for this is RFC822.SIZE,
 * and the length of BODY[]'s literal, too. */
static int
count_wire(int fd, uint64_t file_size, struct fixed *f)
{
	static uint8_t bytes[READ_BYTES];
	uint64_t at = 0, size = 0;
	uint8_t last = 0;
	ssize_t n;

	while ((n = fsx_pread(fd, bytes, sizeof(bytes), (off_t)at)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			size += bytes[i] == '\n' && last != '\r' ? 2 : 1;
			last = bytes[i];
		}
		at += (uint64_t)n;
	}
	if (n < 0 || at < file_size)
		return -1;
	f->wire_size = size;
	f->ending = size == 0 || last == '\n' ? ENDING_LINE : ENDING_NO_LINE;
	return 0;
}

/* The same when only the file's last byte is unknown. */
static int
look_at_end(int fd, uint64_t file_size, struct fixed *f)
{
	uint8_t last = '\n';

	if (file_size != 0 &&
	    fsx_pread(fd, &last, 1, (off_t)file_size - 1) != 1)
		return -1;
	f->ending = last == '\n' ? ENDING_LINE : ENDING_NO_LINE;
	return 0;
}

/* What it costs, in bytes read. */
static int64_t
fill_size(struct mailbox *m, uint32_t uid, struct fixed *f)
{
	bool known = f->wire_size != SIZE_UNKNOWN;
	struct fixed full = *f;
	uint64_t file_size;
	int fd, rc;

	if (mailbox_open_message(m, uid, &fd, &file_size, NULL) != 0)
		return OPEN_COST;
	rc = known ? look_at_end(fd, file_size, &full)
		   : count_wire(fd, file_size, &full);
	(void)close(fd);
	if (rc == 0) {
		/* the newest version of the chunk, then this one */
		mailbox_set_size(m, uid, full.wire_size, full.ending);
		*f = full;
	}
	return OPEN_COST + (known ? 0 : (int64_t)file_size);
}

/* Fill in unknown sizes; true: there are more. */
static bool
fill_sizes(struct mailbox *m)
{
	int64_t budget = SIZE_SLICE;

	for (uint32_t seq = 1; seq <= m->shown->count; seq++) {
		uint32_t i;
		const struct chunk *c = view_at(m->shown, seq, &i);
		struct fixed *f = chunk_fixed(c, i);

		if (f->wire_size != SIZE_UNKNOWN && f->ending != ENDING_UNKNOWN)
			continue;
		if (budget <= 0)
			return true;
		budget -= fill_size(m, c->m[i].uid, f);
	}
	return false;
}

/* --- ids in the database -------------------------------------------------- */

static void
ids_add(struct ids *l, const struct pop3_id *id)
{
	if (l->n == l->cap) {
		l->cap = l->cap * 2 + 64;
		l->v = mem_realloc(l->v, l->cap, sizeof(*l->v));
	}
	l->v[l->n++] = *id;
}

static struct pop3_id *
ids_find(const struct ids *l, uint32_t uid)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->v[mid].uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < l->n && l->v[low].uid == uid ? &l->v[low] : NULL;
}

static int
load_ids(struct mailbox *m, struct ids *out, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_POP3_LIST);
	int rc;

	db_bind_i64(s, 1, chunk_key(m, 0));
	db_bind_i64(s, 2, chunk_key(m, UINT32_MAX));
	while ((rc = db_step(db, s, e)) == 1) {
		struct slice blob = db_column_blob(s, 1);

		if (!blob_open(&blob) || blob.n % ID_BYTES != 0) {
			(void)sqlite3_reset(s);
			return err_set(e, ERR_DAMAGED, "unique-ids damaged");
		}
		for (; blob.n != 0; blob = slice_skip(blob, ID_BYTES))
			ids_add(out,
			    &(struct pop3_id){ (uint32_t)le_get(blob.p, 4),
				(uint32_t)le_get(blob.p + 4, 4),
				(uint32_t)le_get(blob.p + 8, 4),
				le_get(blob.p + 12, 8), false });
	}
	return rc;
}

static int
put_bucket(struct mailbox *m, const struct ids *l, size_t from, size_t to,
    struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_POP3_PUT);
	struct buf b;
	int rc;

	buf_init(&b, BUCKET * ID_BYTES + 64);
	for (size_t i = from; i < to; i++) {
		le_put(&b, l->v[i].uid, 4);
		le_put(&b, l->v[i].n, 4);
		le_put(&b, l->v[i].uidvalidity, 4);
		le_put(&b, l->v[i].size, 8);
	}
	blob_seal(&b);
	db_bind_i64(s, 1, chunk_key(m, l->v[from].uid / BUCKET * BUCKET));
	db_bind_blob(s, 2, buf_slice(&b));
	rc = db_run(db, s, e);
	buf_fini(&b);
	return rc;
}

/* Write the buckets that got new ids. */
static int
store_ids(struct mailbox *m, const struct ids *l, struct err *e)
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

/* --- Courier's list ------------------------------------------------------- */

struct sizelist {
	struct buf bytes;
	unsigned version;
	uint32_t next, uidvalidity;
};

static bool
read_sizelist(struct mailbox *m, struct sizelist *out)
{
	struct slice rest, line, word;
	struct stat st;
	uint8_t *to;
	ssize_t n;
	int fd =
	    fsx_open_read(m->account->root_fd, "courierpop3dsizelist", &st);

	*out = (struct sizelist){ 0 };
	buf_init(&out->bytes, LIST_FILE_MAX);
	if (fd < 0)
		return false;
	if (st.st_size > 0 &&
	    (to = buf_reserve(&out->bytes, (size_t)st.st_size)) != NULL &&
	    (n = fsx_pread(fd, to, (size_t)st.st_size, 0)) > 0)
		buf_advance(&out->bytes, (size_t)n);
	(void)close(fd);
	rest = buf_slice(&out->bytes);
	if (rest.n == 0)
		return false;
	if (rest.p[0] != '/')
		return true;
	if (!slice_split(&rest, '\n', &line) ||
	    !slice_split(&line, ' ', &word) || word.n != 2)
		return false;
	out->version = (unsigned)(word.p[1] - '0');
	if (out->version < 1 || out->version > 3 ||
	    !slice_split(&line, ' ', &word) || !num_u32(word, &out->next))
		return false;
	return out->version == 1 ||
	    (slice_split(&line, ' ', &word) &&
		num_u32(word, &out->uidvalidity));
}

/* Take the last word off a line. */
static bool
take_last(struct slice *line, struct slice *word)
{
	size_t at = slice_rfind(*line, ' ');

	if (at == line->n)
		return false;
	*word = slice_skip(*line, at + 1);
	*line = slice_first(*line, at);
	return true;
}

/* "filename size [n[:uidvalidity[:utf8]]]" */
static bool
parse_entry(
    struct slice line, unsigned version, struct slice *base, struct pop3_id *id)
{
	struct slice word, part;

	*id = (struct pop3_id){ .fresh = true };
	if (version > 0) {
		if (!take_last(&line, &word) ||
		    !slice_split(&word, ':', &part) || !num_u32(part, &id->n))
			return false;
		if (version > 1 &&
		    (!slice_split(&word, ':', &part) ||
			!num_u32(part, &id->uidvalidity)))
			return false;
	}
	if (!take_last(&line, &word) || !num_u64(word, &id->size))
		return false;
	*base = slice_first(line, slice_find(line, ':'));
	return base->n != 0;
}

static int
order_ids(const void *a, const void *b)
{
	const struct pop3_id *x = a, *y = b;

	return x->uid < y->uid ? -1 : x->uid > y->uid;
}

/* The ids that Courier gave to messages that are still there. */
static void
import_sizelist(struct mailbox *m, struct ids *l)
{
	struct sizelist list;
	struct slice rest, line, base;
	struct pop3_id id;
	size_t n = 0;

	m->pop3_next = 1;
	m->pop3_uidvalidity = m->uidvalidity;
	if (read_sizelist(m, &list)) {
		if (list.next > 1)
			m->pop3_next = list.next;
		if (list.uidvalidity != 0)
			m->pop3_uidvalidity = list.uidvalidity;
		rest = buf_slice(&list.bytes);
		while (slice_split(&rest, '\n', &line)) {
			if (line.n == 0 || line.p[0] == '/' ||
			    !parse_entry(line, list.version, &base, &id) ||
			    (id.uid = mailbox_find_base(m, base)) == 0)
				continue;
			if (id.n >= m->pop3_next && id.n < UINT32_MAX)
				m->pop3_next = id.n + 1;
			ids_add(l, &id);
		}
	}
	buf_fini(&list.bytes);
	if (l->n != 0)
		qsort(l->v, l->n, sizeof(*l->v), order_ids);
	for (size_t i = 0; i < l->n; i++)
		if (n == 0 || l->v[n - 1].uid != l->v[i].uid)
			l->v[n++] = l->v[i];
	l->n = n;
}

/* --- listing -------------------------------------------------------------- */

/* A message of the view, in the order of the listing. */
struct place_in_list {
	struct slice base;
	uint32_t uid;
	uint64_t octets; /* as RETR sends them */
};

static int
order_places(const void *a, const void *b)
{
	const struct place_in_list *x = a, *y = b;

	return file_name_order(x->base, y->base);
}

/* RFC 1939 11: the message as it goes out, with an end to its last line. */
static uint64_t
octets(const struct fixed *f)
{
	return f->wire_size == SIZE_UNKNOWN || f->ending != ENDING_NO_LINE
	    ? f->wire_size
	    : f->wire_size + 2;
}

static struct place_in_list *
ordered(const struct view *v)
{
	struct place_in_list *list =
	    mem_alloc(((size_t)v->count + 1) * sizeof(*list));
	size_t n = 0;

	for (size_t k = 0; k < v->n_chunks; k++)
		for (uint32_t i = 0; i < v->v[k]->n; i++)
			list[n++] =
			    (struct place_in_list){ chunk_base(v->v[k], i),
				    v->v[k]->m[i].uid,
				    octets(chunk_fixed(v->v[k], i)) };
	if (n != 0)
		qsort(list, n, sizeof(*list), order_places);
	return list;
}

/* Within a transaction: give an id to each message that has none. */
static int
give_ids(struct mailbox *m, struct ids *l, struct err *e)
{
	struct place_in_list *list;
	size_t known;
	int rc = 0;

	if (m->pop3_next == 0)
		import_sizelist(m, l);
	known = l->n;
	list = ordered(m->head);
	for (uint32_t i = 0; i < m->head->count; i++) {
		struct ids before = { l->v, known, 0 };

		if (ids_find(&before, list[i].uid) == NULL)
			ids_add(l,
			    &(struct pop3_id){ list[i].uid, m->pop3_next++,
				m->pop3_uidvalidity, SIZE_UNKNOWN, true });
	}
	free(list);
	if (l->n != 0)
		qsort(l->v, l->n, sizeof(*l->v), order_ids);
	if ((rc = store_ids(m, l, e)) != 0)
		return rc;
	m->change++;
	return mailbox_row_write(m, e);
}

static bool
all_known(const struct view *v, const struct ids *l)
{
	for (size_t k = 0; k < v->n_chunks; k++)
		for (uint32_t i = 0; i < v->v[k]->n; i++)
			if (ids_find(l, v->v[k]->m[i].uid) == NULL)
				return false;
	return true;
}

/* 0: all have ids; 1: some were given just now, and must be synced. */
static int
ensure_ids(struct mailbox *m, struct ids *l, struct err *e)
{
	struct db *db = &m->account->db;
	uint64_t change;
	uint32_t next, validity;
	int rc;

	if ((rc = load_ids(m, l, e)) != 0 || all_known(m->shown, l))
		return rc;
	if ((rc = db_begin(db, e)) != 0)
		return rc;
	l->n = 0;
	change = m->change;
	if ((rc = mailbox_reload(m, e)) == 0) {
		change = m->change;
		next = m->pop3_next;
		validity = m->pop3_uidvalidity;
		if ((rc = load_ids(m, l, e)) == 0)
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

/* compat: the base name, with what can't be in a unique-id as +XX. */
static void
put_name_id(char *out, size_t size, struct slice base)
{
	size_t at = 0;

	for (size_t i = 0; i < base.n && at + 4 < size; i++) {
		uint8_t c = base.p[i];

		if (c < 0x21 || c > 0x7e || c == '\'' || c == '"' || c == '+')
			at += (size_t)snprintf(out + at, 4, "+%02X", c);
		else
			out[at++] = (char)c;
	}
	out[at] = '\0';
}

static void
build(
    struct mailbox *m, const struct ids *l, struct pop3_entry **out, size_t *n)
{
	struct place_in_list *list = ordered(m->shown);
	struct pop3_entry *v =
	    mem_zalloc((size_t)m->shown->count + 1, sizeof(*v));
	size_t done = 0;

	for (uint32_t i = 0; i < m->shown->count; i++) {
		const struct pop3_id *id = ids_find(l, list[i].uid);
		struct pop3_entry *p = &v[done];

		/* no size: the file went away meanwhile */
		if (id == NULL || list[i].octets == SIZE_UNKNOWN)
			continue;
		p->uid = id->uid;
		p->size = list[i].octets;
		if (id->n == 0)
			put_name_id(
			    p->unique_id, sizeof(p->unique_id), list[i].base);
		else if (id->uidvalidity == 0)
			(void)snprintf(
			    p->unique_id, sizeof(p->unique_id), "UID%u", id->n);
		else
			(void)snprintf(p->unique_id, sizeof(p->unique_id),
			    "UID%u-%u", id->n, id->uidvalidity);
		done++;
	}
	free(list);
	*out = v;
	*n = done;
}

static void
on_synced(void *arg)
{
	struct mailbox *m = arg;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	waker_list_call(&m->pop3_wakers);
}

/* Ids are durable before anybody sees them. */
static int
start_sync(struct mailbox *m)
{
	struct sync_fds fds = { 0 };
	int rc = account_sync_fds(m->account, &fds, NULL);

	if (rc == 0)
		sync_start(&m->pop3_sync, m->account->store->opt.syncer, &fds,
		    (struct waker){ on_synced, m });
	return rc;
}

static int
list_now(struct mailbox *m, struct pop3_entry **out, size_t *n, bool *wait)
{
	struct ids l = { 0 };
	int rc;

	*wait = false;
	if ((rc = account_open(m->account, NULL)) != 0)
		return rc;
	if (m->gone)
		return ERR_STALE;
	rc = account_db_failed(m->account, ensure_ids(m, &l, NULL));
	if (rc == 1) {
		*wait = true;
		rc = start_sync(m);
	} else if (rc == 0) {
		build(m, &l, out, n);
	}
	free(l.v);
	return rc;
}

enum step
mailbox_pop3_list(struct mailbox *m, struct waker waker, int64_t now_ms,
    struct pop3_entry **out, size_t *n, int *result)
{
	bool wait;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	for (;;) {
		if (sync_busy(&m->pop3_sync)) {
			waker_list_add(&m->pop3_wakers, waker);
			return STEP_WAIT_SYNC;
		}
		if (m->pop3_sync.done) {
			m->pop3_sync.done = false;
			*result =
			    account_synced(m->account, m->pop3_sync.error);
			if (*result != 0)
				return STEP_DONE;
		}
		if (!m->gone && fill_sizes(m))
			return STEP_YIELD;
		*result = list_now(m, out, n, &wait);
		if (*result == ERR_BUSY) {
			if (m->busy_since_ms == 0)
				m->busy_since_ms = now_ms;
			if (now_ms - m->busy_since_ms <= BUSY_MAX_MS)
				return STEP_YIELD;
		}
		m->busy_since_ms = 0;
		if (*result != 0 || !wait)
			return STEP_DONE;
	}
}
