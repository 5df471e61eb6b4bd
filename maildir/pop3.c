/*
 * The drop listing.  Its unique-ids are in pop3_ids.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/pop3_ids.h"
#include "maildir/work.h"

enum {
	READ_BYTES = 65536,
	SIZE_SLICE = 512 * 1024, /* bytes read in a step */
	OPEN_COST = 4096,
	UNIQUE_ID_BYTES = 800, /* a name of 255 bytes, each as +XX */
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
	uint8_t last = 0, seen = 0;
	ssize_t n;

	while ((n = fsx_pread(fd, bytes, sizeof(bytes), (off_t)at)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			size += bytes[i] == '\n' && last != '\r' ? 2 : 1;
			last = bytes[i];
			seen |= last;
		}
		at += (uint64_t)n;
	}
	if (n < 0 || at < file_size)
		return -1;
	f->wire_size = size;
	f->ending = size == 0 || last == '\n' ? ENDING_LINE : ENDING_NO_LINE;
	if (seen < 0x80)
		f->header = HEADER_ASCII;
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
		if (full.header != HEADER_UNKNOWN)
			mailbox_set_header(m, uid, full.header);
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

/* --- listing -------------------------------------------------------------- */

/* A message of the view, in the order of the listing. */
struct place_in_list {
	struct slice base;
	const struct pop3_id *id;
	uint32_t uid;
	uint64_t octets; /* as RETR sends them */
	enum header_bytes header;
};

static int
order_places(const void *a, const void *b)
{
	const struct place_in_list *x = a, *y = b;
	/* Dovecot's order comes first, and 0 is none */
	uint32_t ox = x->id != NULL ? x->id->order - 1 : UINT32_MAX;
	uint32_t oy = y->id != NULL ? y->id->order - 1 : UINT32_MAX;

	return ox != oy ? (ox < oy ? -1 : 1)
			: file_name_order(x->base, y->base);
}

/* RFC 1939 11: the message as it goes out, with an end to its last line. */
static uint64_t
octets(const struct fixed *f)
{
	return f->wire_size == SIZE_UNKNOWN || f->ending != ENDING_NO_LINE
	    ? f->wire_size
	    : f->wire_size + 2;
}

/* As found here, or by Courier. */
static enum header_bytes
header_bytes(const struct fixed *f, const struct pop3_id *id)
{
	if (f->header != HEADER_UNKNOWN || id == NULL)
		return f->header;
	return id->utf8 == UTF8_YES ? HEADER_8BIT
	    : id->utf8 == UTF8_NO   ? HEADER_ASCII
				    : HEADER_UNKNOWN;
}

static struct place_in_list *
ordered(const struct view *v, const struct pop3_ids *ids)
{
	struct place_in_list *list =
	    mem_alloc(((size_t)v->count + 1) * sizeof(*list));
	size_t n = 0;

	for (size_t k = 0; k < v->n_chunks; k++)
		for (uint32_t i = 0; i < v->v[k]->n; i++) {
			uint32_t uid = v->v[k]->m[i].uid;
			const struct fixed *f = chunk_fixed(v->v[k], i);
			const struct pop3_id *id = pop3_ids_find(ids, uid);

			list[n++] =
			    (struct place_in_list){ chunk_base(v->v[k], i), id,
				    uid, octets(f), header_bytes(f, id) };
		}
	if (n != 0)
		qsort(list, n, sizeof(*list), order_places);
	return list;
}

/* The entries, and behind them the text of their unique-ids. */
static struct pop3_entry *
pack(const struct pop3_entry *v, const size_t *at, size_t n, struct slice texts)
{
	uint8_t *all = mem_alloc((n + 1) * sizeof(*v) + texts.n);
	struct pop3_entry *out = (struct pop3_entry *)(void *)all;
	char *text = (char *)(all + (n + 1) * sizeof(*v));

	if (n != 0)
		memcpy(out, v, n * sizeof(*v));
	if (texts.n != 0)
		memcpy(text, texts.p, texts.n);
	for (size_t i = 0; i < n; i++)
		out[i].unique_id = text + at[i];
	return out;
}

static void
build(struct mailbox *m, const struct pop3_ids *l, struct pop3_entry **out,
    size_t *n)
{
	uint32_t count = m->shown->count;
	struct place_in_list *list = ordered(m->shown, l);
	struct pop3_entry *v = mem_zalloc((size_t)count + 1, sizeof(*v));
	size_t *at = mem_alloc(((size_t)count + 1) * sizeof(*at)), done = 0;
	struct buf texts;

	buf_init(&texts, ((size_t)count + 1) * UNIQUE_ID_BYTES);
	for (uint32_t i = 0; i < count; i++) {
		/* no size: the file went away meanwhile */
		if (list[i].id == NULL || list[i].octets == SIZE_UNKNOWN)
			continue;
		v[done].uid = list[i].uid;
		v[done].size = list[i].octets;
		v[done].header = list[i].header;
		at[done++] = buf_len(&texts);
		pop3_id_put(&texts, l, list[i].id, list[i].base);
		buf_putc(&texts, '\0');
	}
	*out = pack(v, at, done, buf_slice(&texts));
	*n = done;
	buf_fini(&texts);
	free(at);
	free(v);
	free(list);
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
		sync_start(&m->pop3_sync, m->account->store->opt.syncer,
		    m->account, &fds, (struct waker){ on_synced, m });
	return rc;
}

static int
list_now(struct mailbox *m, struct pop3_entry **out, size_t *n, bool *wait)
{
	struct pop3_ids l;
	int rc;

	*wait = false;
	if ((rc = account_open(m->account, NULL)) != 0)
		return rc;
	if (m->gone)
		return ERR_STALE;
	pop3_ids_init(&l);
	rc = account_db_failed(m->account, pop3_ids_ensure(m, &l, NULL));
	if (rc == 1) {
		*wait = true;
		rc = start_sync(m);
	} else if (rc == 0) {
		build(m, &l, out, n);
	}
	pop3_ids_fini(&l);
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
			*result = account_synced(m->account, &m->pop3_sync);
			if (*result != 0)
				return STEP_DONE;
		}
		if (!m->gone && fill_sizes(m))
			return STEP_YIELD;
		*result = list_now(m, out, n, &wait);
		if (*result == ERR_BUSY || room_made_for(m->account, *result)) {
			if (work_still_busy(&m->busy_since_ms, now_ms))
				return *result == ERR_BUSY ? STEP_WAIT_PEER
							   : STEP_YIELD;
		}
		m->busy_since_ms = 0;
		if (*result != 0 || !wait)
			return STEP_DONE;
	}
}
