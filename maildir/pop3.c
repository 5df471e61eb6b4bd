/*
 * The drop listing.  Its unique-ids are in pop3_ids.c, its sizes in
 * pop3_sizes.c.
 *
 * It is made in pieces, of the view that was shown when it was begun, for each
 * who wants one on his own.  The ids of messages that have none are given in
 * several transactions: the first takes as many numbers as there are such
 * messages, then come the ids, by UIDs.  Who ends in the middle of it leaves
 * numbers that nobody has, and whoever comes next gives others to the rest.
 * Two who give ids at the same time agree, since an id that is there stays;
 * nobody is shown one before all that were given here are durable.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "maildir/listing.h"
#include "maildir/pop3_ids.h"
#include "maildir/pop3_sizes.h"
#include "maildir/work.h"

enum job_phase {
	JOB_SIZES,
	JOB_LOAD,
	JOB_FIND_NEW,
	JOB_SORT_NEW,
	JOB_TAKE_NUMBERS,
	JOB_SORT_GIVEN,
	JOB_GIVE,
	JOB_SYNC,
	JOB_LIST,
	JOB_SORT,
	JOB_BUILD,
};

struct pop3_job {
	struct pop3_job *next; /* of the mailbox */
	const void *owner;     /* argument of its waker */
	enum job_phase phase;
	struct view *v;
	uint32_t seq; /* the next message, from 1 */
	struct pop3_sizes sizes;
	struct pop3_ids ids, given;
	struct pop3_ids_loader loader;
	struct listing list;
	struct piece_sort sort; /* of given */
	size_t at;
	/* what is handed out in the end */
	struct pop3_entry *entries;
	size_t *text_at, n;
	struct buf texts;
};

enum {
	UNIQUE_ID_BYTES = 800, /* a name of 255 bytes, each as +XX */
};

/* --- jobs ----------------------------------------------------------------- */

static struct pop3_job *
job_of(struct mailbox *m, const void *owner)
{
	struct pop3_job *j = m->pop3_jobs;

	while (j != NULL && j->owner != owner)
		j = j->next;
	return j;
}

static struct pop3_job *
job_begin(struct mailbox *m, const void *owner)
{
	struct pop3_job *j = MEM_NEW(struct pop3_job);

	j->owner = owner;
	j->v = view_ref(m->shown);
	j->seq = 1;
	pop3_sizes_begin(&j->sizes, j->v);
	pop3_ids_init(&j->ids);
	pop3_ids_init(&j->given);
	buf_init(&j->texts, ((size_t)j->v->count + 1) * UNIQUE_ID_BYTES);
	j->next = m->pop3_jobs;
	m->pop3_jobs = j;
	return j;
}

static void
job_end(struct mailbox *m, struct pop3_job *j)
{
	struct pop3_job **at = &m->pop3_jobs;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	pop3_sizes_fini(&j->sizes);
	pop3_ids_fini(&j->ids);
	pop3_ids_fini(&j->given);
	listing_fini(&j->list);
	piece_sort_fini(&j->sort);
	view_unref(&j->v);
	buf_fini(&j->texts);
	free(j->entries);
	free(j->text_at);
	free(j);
}

void
pop3_forget(struct mailbox *m, void *arg)
{
	struct pop3_job *j = job_of(m, arg);

	waker_list_forget(&m->pop3_wakers, arg);
	if (j != NULL)
		job_end(m, j);
}

void
pop3_stop(struct mailbox *m)
{
	while (m->pop3_jobs != NULL)
		job_end(m, m->pop3_jobs);
	sync_forget(&m->pop3_sync);
	free(m->pop3_wakers.v);
	m->pop3_wakers = (struct waker_list){ 0 };
}

/* On to another phase. */
static int
go_to(struct pop3_job *j, enum job_phase phase)
{
	j->phase = phase;
	j->seq = 1;
	j->at = 0;
	return 0;
}

/* --- giving ids ----------------------------------------------------------- */

/* Those without an id; true: there is more to look at. */
static bool
find_new(struct pop3_job *j, int *work)
{
	if (j->seq == 1)
		listing_begin(&j->list, j->v);
	for (; j->seq <= j->v->count && *work > 0; j->seq++, (*work)--)
		if (pop3_ids_find(&j->ids, view_get(j->v, j->seq)->uid) == NULL)
			listing_add(&j->list, j->seq, 0);
	return j->seq <= j->v->count;
}

/* A transaction after which so many numbers are these messages'. */
static int
take_numbers(struct mailbox *m, uint32_t n, uint32_t *first, struct err *e)
{
	uint32_t next, validity;
	int rc = pop3_ids_begin(m, e);

	if (rc != 0)
		return rc;
	next = m->pop3_next;
	validity = m->pop3_uidvalidity;
	if (next == 0) {
		m->pop3_next = 1;
		m->pop3_uidvalidity = m->uidvalidity;
	}
	/* numbers go on where another server's ended, and will do so again */
	if (m->account->in_memory)
		m->pop3_uidvalidity = m->uidvalidity;
	*first = m->pop3_next;
	m->pop3_next += n;
	if ((rc = pop3_ids_commit(m, 0, e)) != 0) {
		m->pop3_next = next;
		m->pop3_uidvalidity = validity;
	}
	return rc;
}

static int
order_given(const void *a, const void *b, void *arg)
{
	(void)arg;
	return pop3_id_order(a, b);
}

/* Numbers in the order of the names; they are written by UIDs. */
static int
number_new(struct mailbox *m, struct pop3_job *j, struct err *e)
{
	uint32_t first;
	int rc = take_numbers(m, (uint32_t)j->list.n, &first, e);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < j->list.n; i++)
		pop3_ids_add(&j->given,
		    &(struct pop3_id){
			.uid = view_get(j->v, j->list.v[i].seq)->uid,
			.n = first + (uint32_t)i,
			.uidvalidity = m->pop3_uidvalidity,
			.size = SIZE_UNKNOWN });
	listing_fini(&j->list);
	piece_sort_begin(&j->sort, j->given.v, j->given.n, sizeof(*j->given.v),
	    order_given, NULL);
	j->given.v = NULL;
	return 0;
}

static bool
sort_given(struct pop3_job *j, int *work)
{
	if (piece_sort_some(&j->sort, work))
		return true;
	j->given.v = piece_sort_take(&j->sort);
	j->given.cap = j->given.n;
	return false;
}

/* All that was given is to be read again: another process may have given some
 * of it before. */
static void
read_again(struct pop3_job *j)
{
	pop3_ids_fini(&j->ids);
	pop3_ids_fini(&j->given);
	pop3_ids_init(&j->ids);
	pop3_ids_init(&j->given);
	j->loader = (struct pop3_ids_loader){ 0 };
}

/* --- listing -------------------------------------------------------------- */

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

static bool
list_all(struct pop3_job *j, int *work)
{
	if (j->seq == 1)
		listing_begin(&j->list, j->v);
	for (; j->seq <= j->v->count && *work > 0; j->seq++, (*work)--) {
		const struct pop3_id *id =
		    pop3_ids_find(&j->ids, view_get(j->v, j->seq)->uid);

		listing_add(&j->list, j->seq, id != NULL ? id->order : 0);
	}
	return j->seq <= j->v->count;
}

static void
build_one(struct pop3_job *j, uint32_t seq)
{
	uint32_t i;
	const struct chunk *c = view_at(j->v, seq, &i);
	const struct fixed *f = chunk_fixed(c, i);
	const struct pop3_id *id = pop3_ids_find(&j->ids, chunk_uid(c, i));
	uint64_t size = octets(f);

	/* no size: the file went away meanwhile */
	if (id == NULL || size == SIZE_UNKNOWN)
		return;
	j->entries[j->n] = (struct pop3_entry){ .uid = chunk_uid(c, i),
		.size = size,
		.header = header_bytes(f, id) };
	j->text_at[j->n++] = buf_len(&j->texts);
	pop3_id_put(&j->texts, &j->ids, id, chunk_base(c, i));
	buf_putc(&j->texts, '\0');
}

static bool
build(struct pop3_job *j, int *work)
{
	if (j->entries == NULL) {
		j->entries = mem_alloc((j->list.n + 1) * sizeof(*j->entries));
		j->text_at = mem_alloc((j->list.n + 1) * sizeof(*j->text_at));
	}
	for (; j->at<j->list.n && * work> 0; j->at++, (*work)--)
		build_one(j, j->list.v[j->at].seq);
	return j->at < j->list.n;
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

/* --- steps ---------------------------------------------------------------- */

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

	if (rc != 0)
		return rc;
	m->pop3_syncing = m->pop3_changes;
	sync_start(&m->pop3_sync, m->account->store->opt.syncer, m->account,
	    &fds, (struct waker){ on_synced, m });
	return 0;
}

/* On to the next phase if that was all of this one. */
static int
then(struct pop3_job *j, bool more, enum job_phase next)
{
	return more ? 0 : go_to(j, next);
}

static int
give(struct mailbox *m, struct pop3_job *j, int *work)
{
	int rc = pop3_ids_write_some(m, &j->given, &j->at, work, NULL);

	if (rc != 0)
		return rc == 1 ? 0 : rc;
	read_again(j);
	return go_to(j, JOB_LOAD);
}

/* 0: go on; 1: it is all there; or ERR_*. */
static int
advance(struct mailbox *m, struct pop3_job *j, int *work)
{
	int rc;

	switch (j->phase) {
	case JOB_SIZES: /* nothing of the database: step_job() */
		break;
	case JOB_LOAD:
		rc = pop3_ids_load_some(m, &j->ids, &j->loader, work, NULL);
		return rc < 0 ? rc : then(j, rc == 1, JOB_FIND_NEW);
	case JOB_FIND_NEW:
		rc = then(j, find_new(j, work), JOB_SORT_NEW);
		return j->phase == JOB_SORT_NEW && j->list.n == 0
		    ? go_to(j, JOB_SYNC)
		    : rc;
	case JOB_SORT_NEW:
		return then(j, listing_sort(&j->list, work), JOB_TAKE_NUMBERS);
	case JOB_TAKE_NUMBERS:
		rc = number_new(m, j, NULL);
		*work -= (int)j->given.n;
		return rc == 0 ? go_to(j, JOB_SORT_GIVEN) : rc;
	case JOB_SORT_GIVEN:
		return then(j, sort_given(j, work), JOB_GIVE);
	case JOB_GIVE:
		return give(m, j, work);
	case JOB_SYNC:
		return m->pop3_synced != m->pop3_changes ? start_sync(m)
							 : go_to(j, JOB_LIST);
	case JOB_LIST:
		return then(j, list_all(j, work), JOB_SORT);
	case JOB_SORT:
		return then(j, listing_sort(&j->list, work), JOB_BUILD);
	case JOB_BUILD:
		break;
	}
	return build(j, work) ? 0 : 1;
}

static int
step_job(struct mailbox *m, struct pop3_job *j)
{
	int work = PIECE_WORK, rc = 0;

	while (rc == 0 && !sync_busy(&m->pop3_sync) && !m->pop3_sync.done) {
		if (work <= 0)
			return ERR_MORE;
		if ((rc = account_open(m->account, NULL)) != 0)
			return rc;
		if (m->gone)
			return ERR_STALE;
		if (j->phase != JOB_SIZES)
			rc =
			    account_db_failed(m->account, advance(m, j, &work));
		else if ((rc = pop3_sizes_fill(m, &j->sizes, &work)) >= 0)
			rc = then(j, rc == 1, JOB_LOAD);
	}
	return rc;
}

static void
hand_out(
    struct mailbox *m, struct pop3_job *j, struct pop3_entry **out, size_t *n)
{
	*out = pack(j->entries, j->text_at, j->n, buf_slice(&j->texts));
	*n = j->n;
	job_end(m, j);
}

/* The sync has ended; 0 or ERR_*. */
static int
take_sync(struct mailbox *m)
{
	int rc;

	if (!m->pop3_sync.done)
		return 0;
	m->pop3_sync.done = false;
	if ((rc = account_synced(m->account, &m->pop3_sync)) == 0)
		m->pop3_synced = m->pop3_syncing;
	return rc;
}

enum step
mailbox_pop3_list(struct mailbox *m, struct waker waker, int64_t now_ms,
    struct pop3_entry **out, size_t *n, int *result)
{
	struct pop3_job *j = job_of(m, waker.arg);
	int work = PIECE_WORK, rc = 0;

	MAGIC_CHECK(m, MAILBOX_MAGIC);
	if (j == NULL && (rc = mailbox_show_names(m, &work, NULL)) == 0)
		j = job_begin(m, waker.arg);
	while (rc == 0) {
		if (sync_busy(&m->pop3_sync)) {
			waker_list_add(&m->pop3_wakers, waker);
			return STEP_WAIT_SYNC;
		}
		if ((rc = take_sync(m)) == 0)
			rc = step_job(m, j);
	}
	if (rc == ERR_MORE)
		return STEP_YIELD;
	if ((rc == ERR_BUSY || room_made_for(m->account, rc)) &&
	    work_still_busy(&m->busy_since_ms, now_ms))
		return rc == ERR_BUSY ? STEP_WAIT_PEER : STEP_YIELD;
	m->busy_since_ms = 0;
	if (rc == 1)
		hand_out(m, j, out, n);
	else if (j != NULL)
		job_end(m, j);
	*result = rc == 1 ? 0 : rc;
	return STEP_DONE;
}
