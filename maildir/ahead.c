/*
 * Reading ahead.
 *
 * Messages stand in a ring of slots, their bytes in another.  The store's
 * thread writes a slot, then counts it as asked for; the syncer's thread fills
 * it, then counts it as read.  A slot belongs to one of them at a time, by
 * these counters alone, and its name is looked up in a directory whose
 * descriptor is our own: the mailbox may be closed while the thread is at work.
 *
 * A job reads what was asked for until then, as far as there is room, and ends,
 * as threads are few, and others wait for them.  The next one begins when half
 * of that is taken: the other half lasts until the thread is awake, which on a
 * busy machine takes longer than reading some messages.  What is read twice, as
 * the thread was overtaken, costs more than all else that reading ahead does.
 */
#include "maildir/ahead.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/internal.h"

enum {
	NAME_BYTES = 256,
	WORTH_A_JOB = 8, /* messages that wait to be read */
	/* messages left to whoever takes them, by a thread that came too late:
	 * side by side both would read each of them */
	LEAD = 2,
};

struct slot {
	/* what is asked for */
	uint32_t uid;
	int which; /* DIR_* */
	char name[NAME_BYTES];
	/* what was read */
	bool ok;
	int fd;
	struct stat st;
	/* the thread's alone; others look, once it is counted as read */
	size_t at, n;
};

struct ahead {
	struct sync_job job;
	bool running;	   /* the job is the syncer's */
	struct mailbox *m; /* NULL: given up, ends with its job */
	int dirs[2];
	/* slots from the first: taken or passed over; the same without the one
	 * that is borrowed */
	uint32_t taken;
	_Atomic uint32_t asked, read, passed, left;
	_Atomic bool given_up;
	uint32_t resume; /* how many must be left before the next job */
	size_t end;	 /* of what was read last; the thread's */
	struct slot slots[AHEAD_MESSAGES];
	uint8_t space[AHEAD_SPACE]; /* a ring, too */
};

static struct slot *
slot_at(struct ahead *a, uint32_t k)
{
	return &a->slots[k % AHEAD_MESSAGES];
}

/* Whether slot k comes before another; both count on beyond UINT32_MAX. */
static bool
is_before(uint32_t k, uint32_t other)
{
	return (int32_t)(k - other) < 0;
}

/* --- in the thread -------------------------------------------------------- */

/*
 * Where AHEAD_BYTES fit, behind what was read before slot k and is still
 * wanted; false: nowhere.
 */
static bool
find_room(struct ahead *a, uint32_t k, size_t *at)
{
	size_t start, end = a->end;
	uint32_t oldest = a->left;

	while (is_before(oldest, k) && slot_at(a, oldest)->n == 0)
		oldest++;
	*at = 0;
	if (!is_before(oldest, k))
		return true; /* nothing is */
	start = slot_at(a, oldest)->at;
	if (end > start && sizeof(a->space) - end < AHEAD_BYTES)
		return start >= AHEAD_BYTES;
	*at = end;
	return end > start || start - end >= AHEAD_BYTES;
}

static void
fill_slot(struct ahead *a, struct slot *s, size_t at)
{
	ssize_t got;

	s->fd = fsx_open_read(a->dirs[s->which], s->name, &s->st);
	if (s->fd < 0)
		return;
	got = fsx_pread(s->fd, a->space + at, AHEAD_BYTES, 0);
	s->ok = got >= 0;
	s->at = at;
	s->n = s->ok ? (size_t)got : 0;
	a->end = at + s->n;
	if (!s->ok || s->n == (uint64_t)s->st.st_size) {
		(void)close(s->fd);
		s->fd = -1;
	}
}

static int
run(struct sync_job *job)
{
	struct ahead *a = job->arg;
	uint32_t from = 0;

	for (unsigned n = 0; n < AHEAD_MESSAGES && !a->given_up; n++) {
		uint32_t k = a->read;
		size_t at;

		if (k == a->asked || !find_room(a, k, &at))
			break;
		slot_at(a, k)->n = 0;
		if (a->passed > k)
			from = a->passed + LEAD;
		if (k >= from)
			fill_slot(a, slot_at(a, k), at);
		if (a->passed > k)
			from = a->passed + LEAD;
		a->read = k + 1;
	}
	return 0;
}

/* --- in the store's thread ------------------------------------------------ */

static void
close_slot(struct slot *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
}

static void
ahead_free(struct ahead *a)
{
	for (size_t k = 0; k < AHEAD_MESSAGES; k++)
		close_slot(&a->slots[k]);
	for (size_t d = 0; d < NELEMS(a->dirs); d++)
		if (a->dirs[d] >= 0)
			(void)close(a->dirs[d]);
	free(a);
}

static void
on_done(struct sync_job *job)
{
	struct ahead *a = job->arg;
	uint32_t read = a->read, left = a->left;

	a->running = false;
	a->resume = is_before(left, read) ? left + (read - left) / 2 : left;
	if (a->m == NULL)
		ahead_free(a);
}

struct ahead *
ahead_begin(struct mailbox *m)
{
	struct store *store = m->account->store;
	struct ahead *a;

	if (store->opt.syncer == NULL || store->n_ahead == AHEAD_MAX)
		return NULL;
	store->n_ahead++;
	a = MEM_NEW(struct ahead);
	a->m = m;
	a->job = (struct sync_job){
		.run = run, .done = on_done, .arg = a, .owner = m->account
	};
	a->dirs[DIR_NEW] = a->dirs[DIR_CUR] = -1;
	for (size_t k = 0; k < AHEAD_MESSAGES; k++)
		a->slots[k].fd = -1;
	return a;
}

void
ahead_end(struct ahead **ap)
{
	struct ahead *a = *ap;
	struct store *store;

	if (a == NULL)
		return;
	*ap = NULL;
	store = a->m->account->store;
	store->n_ahead--;
	a->given_up = true;
	if (a->running)
		(void)syncer_collect(store->opt.syncer, &a->job);
	a->m = NULL;
	if (!a->running)
		ahead_free(a);
}

/*
 * Some wait to be read, and of what the last job read half is taken: the next
 * one, unless that's being done.  The other half lasts until it has begun.
 */
static void
have_read(struct ahead *a)
{
	struct syncer *syncer = a->m->account->store->opt.syncer;

	if (a->asked - a->read < WORTH_A_JOB ||
	    (a->running && !syncer_collect(syncer, &a->job)) ||
	    is_before(a->left, a->resume))
		return;
	a->running = true;
	syncer_submit(syncer, &a->job);
}

static bool
has_dir(struct ahead *a, int which)
{
	int fd;

	if (a->dirs[which] < 0 && (fd = mailbox_dir_fd(a->m, which)) >= 0)
		a->dirs[which] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return a->dirs[which] >= 0;
}

bool
ahead_ask(struct ahead *a, uint32_t uid)
{
	uint32_t k = a->asked, read = a->read;
	struct slot *s = slot_at(a, k);
	struct buf *name = &a->m->account->store->name;
	struct chunk *c;
	uint32_t i;
	bool fits;

	if (k - (read < a->left ? read : a->left) == AHEAD_MESSAGES)
		return false;
	/* what can't be told here is told when the message is opened */
	if (a->m->gone || mailbox_find_named(a->m, uid, &c, &i) != 0)
		return true;
	close_slot(s);
	s->uid = uid;
	s->which = chunk_place(c, i) & PLACE_NEW ? DIR_NEW : DIR_CUR;
	s->ok = false;
	if (!has_dir(a, s->which))
		return false;
	(void)message_name(name, c, i);
	fits = buf_len(name) < sizeof(s->name);
	if (fits) {
		memcpy(s->name, buf_cstr(name), buf_len(name) + 1);
		a->asked = k + 1;
	}
	have_read(a);
	return true;
}

bool
ahead_take(struct ahead *a, uint32_t uid, struct ahead_message *out)
{
	uint32_t k = a->taken, n = a->asked;
	struct slot *s;

	while (k != n && slot_at(a, k)->uid < uid)
		k++;
	a->passed = a->left = a->taken = k;
	have_read(a);
	s = slot_at(a, k);
	if (k == n || s->uid != uid)
		return false;
	a->passed = a->taken = k + 1;
	if (a->read <= k || !s->ok || !message_seen(a->m, uid, &s->st))
		return false;
	*out = (struct ahead_message){ s->fd, (uint64_t)s->st.st_size,
		slice_of(a->space + s->at, s->n) };
	s->fd = -1;
	return true;
}
