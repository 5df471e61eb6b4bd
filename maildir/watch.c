/*
 * Watches on new/ and cur/ of the open mailboxes, all of them on one inotify
 * descriptor.
 *
 * While a watch is unbroken since its directory was fully known ("complete"),
 * the events say all that a reading would, so nothing need be read.  What we
 * do ourselves comes back as events too; those fit what is known already and
 * are dropped, so they neither wake anybody nor lead to a reading.
 *
 * Whether one fits is asked of the index of names.  There is none until
 * somebody looks for a name, and what we do is no reason to make it, which in
 * a large mailbox takes more than the change: so the names that we change
 * meanwhile are noted, and their events known by that.  The kernel queues them
 * before the call returns: so when the queue is empty, none of them is still to
 * come.  Those of others may look the same, and be taken for ours; but once one
 * doesn't all that follow are kept, the last of each name among them that they
 * had a hand in.
 */
#include <sys/inotify.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/blob.h"
#include "maildir/internal.h"

enum {
	READ_BYTES = 16384,
	/* an event with the longest name fits into what a read left free only
	 * if there is none */
	EVENT_MAX = sizeof(struct inotify_event) + NAME_MAX + 1,
	OWN_MAX = 1024, /* noted; the others count as those of others */
};

#define NAME_EVENTS (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define SELF_EVENTS (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)

void
watch_init(struct store *s)
{
	s->watch_fd = -1;
	if (s->opt.no_watches)
		return;
	s->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->watch_fd < 0)
		log_warn("maildir: no watches, polling instead error=\"%s\"",
		    strerrordesc_np(errno));
}

void
watch_fini(struct store *s)
{
	if (s->watch_fd >= 0)
		(void)close(s->watch_fd);
	s->watch_fd = -1;
	free(s->own_events);
	s->own_events = NULL;
}

static struct watched_dir **
bucket_of(struct store *s, int wd)
{
	return &s->watches[(unsigned)wd % WATCH_BUCKETS];
}

void
watch_add(struct watched_dir *d)
{
	struct account *a = d->m->account;
	struct store *s = a->store;
	struct watched_dir **bucket;
	struct buf path;

	/* A remote file system tells nothing of what other hosts do. */
	if (d->wd >= 0 || s->watch_fd < 0 || a->remote)
		return;
	buf_init(&path, 8192);
	buf_puts(&path, a->path);
	buf_putc(&path, '/');
	mailbox_put_path(d->m, &path, d->is_new ? "new" : "cur");
	d->wd = inotify_add_watch(s->watch_fd, buf_cstr(&path),
	    NAME_EVENTS | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR |
		IN_DONT_FOLLOW);
	buf_fini(&path);
	d->complete = false;
	if (d->wd < 0) {
		if (errno == ENOSPC && !s->watch_full) {
			log_warn("maildir: out of watches, polling instead "
				 "(fs.inotify.max_user_watches)");
			s->watch_full = true;
		}
		return;
	}
	bucket = bucket_of(s, d->wd);
	d->quiet = 0;
	d->next = *bucket;
	d->prev = bucket;
	if (d->next != NULL)
		d->next->prev = &d->next;
	*bucket = d;
}

static struct watched_dir *
find(struct watched_dir *d, int wd)
{
	while (d != NULL && d->wd != wd)
		d = d->next;
	return d;
}

static void
unlink_dir(struct watched_dir *d)
{
	*d->prev = d->next;
	if (d->next != NULL)
		d->next->prev = d->prev;
	d->wd = -1;
	d->complete = false;
}

void
watch_remove(struct watched_dir *d)
{
	struct store *s = d->m->account->store;
	int wd = d->wd;

	if (wd < 0)
		return;
	unlink_dir(d);
	/* One inode has one watch, however many paths lead to it. */
	if (find(*bucket_of(s, wd), wd) == NULL)
		(void)inotify_rm_watch(s->watch_fd, wd);
}

void
watch_drop_events(struct watched_dir *d)
{
	for (size_t i = 0; i < d->n_events; i++)
		free(d->events[i].name);
	free(d->events);
	d->events = NULL;
	d->n_events = d->cap_events = 0;
}

/* Whether an event tells nothing that isn't known; false if that would take
 * more than a moment to find out. */
static bool
is_known(struct watched_dir *d, struct slice name, bool present)
{
	struct file_name f;
	struct chunk *c;
	uint32_t uid, i;
	bool same;

	if (!mailbox_finds_at_once(d->m))
		return false;
	file_name_parse(name, d->is_new, &f);
	uid = mailbox_find_base(d->m, f.base);
	if (uid == 0 || !mailbox_find(d->m, uid, &c, &i))
		return !present;
	same = chunk_place(c, i) == f.place && slice_eq(chunk_odd(c, i), f.odd);
	return same == present;
}

static uint64_t
own_event(const struct watched_dir *d, struct slice name, bool present)
{
	return blob_sum(name) + ((uint64_t)(unsigned)d->wd << 1 | present);
}

void
watch_own(struct watched_dir *d, struct slice name, bool present)
{
	struct store *s = d->m->account->store;

	if (!d->complete || s->n_own == OWN_MAX ||
	    (d->m->index != NULL && index_is_whole(d->m->index)))
		return;
	if (s->own_events == NULL)
		s->own_events = mem_alloc(OWN_MAX * sizeof(*s->own_events));
	s->own_events[s->n_own++] = own_event(d, name, present);
}

/* Whether we did it ourselves, so that it is known. */
static bool
is_own(const struct watched_dir *d, struct slice name, bool present)
{
	struct store *s = d->m->account->store;
	uint64_t event;

	if (s->own_at == s->n_own)
		return false;
	event = own_event(d, name, present);
	for (unsigned i = s->own_at; i < s->n_own; i++) {
		if (s->own_events[i] == event) {
			s->own_events[i] = s->own_events[s->own_at++];
			return true;
		}
	}
	return false;
}

static void
broken(struct watched_dir *d)
{
	d->complete = false;
	watch_drop_events(d);
	mailbox_wake(d->m);
}

static void
note(struct watched_dir *d, const char *name, bool present)
{
	if (name[0] == '.' || name[0] == '\0')
		return;
	if (!d->complete) {
		mailbox_wake(d->m);
		return;
	}
	if (d->n_events == 0 && d->m->scan == NULL && d->m->n_suspects == 0 &&
	    !d->m->asleep &&
	    (is_own(d, slice_str(name), present) ||
		is_known(d, slice_str(name), present)))
		return;
	if (d->n_events >= (d->m->asleep ? EVENTS_MAX_ASLEEP : EVENTS_MAX)) {
		broken(d);
		return;
	}
	if (d->n_events == d->cap_events) {
		d->cap_events = d->cap_events * 2 + 8;
		d->events =
		    mem_realloc(d->events, d->cap_events, sizeof(*d->events));
	}
	d->events[d->n_events++] =
	    (struct dir_event){ mem_strdup(name), present };
	mailbox_wake(d->m);
}

static void
all_broken(struct store *s)
{
	log_debug("maildir: watch events were lost");
	for (size_t i = 0; i < WATCH_BUCKETS; i++)
		for (struct watched_dir *d = s->watches[i]; d != NULL;
		     d = d->next)
			broken(d);
}

static void
on_event(struct store *s, const struct inotify_event *ev, const char *name)
{
	struct watched_dir *d, *next;

	if (ev->mask & IN_Q_OVERFLOW) {
		all_broken(s);
		return;
	}
	for (d = find(*bucket_of(s, ev->wd), ev->wd); d != NULL;
	     d = find(next, ev->wd)) {
		next = d->next;
		d->quiet = 0;
		if (ev->mask & SELF_EVENTS) {
			if (ev->mask & IN_IGNORED)
				unlink_dir(d);
			broken(d);
		} else if (ev->len != 0 && !(ev->mask & IN_ISDIR)) {
			note(d, name,
			    (ev->mask & (IN_CREATE | IN_MOVED_TO)) != 0);
		}
	}
}

void
watch_drain(struct store *s)
{
	_Alignas(struct inotify_event) char bytes[READ_BYTES];
	ssize_t n;

	if (s->watch_fd < 0)
		return;
	do {
		n = TEMP_FAILURE_RETRY(read(s->watch_fd, bytes, sizeof(bytes)));
		for (size_t at = 0; n > 0 && at < (size_t)n;) {
			struct inotify_event ev;

			memcpy(&ev, bytes + at, sizeof(ev));
			on_event(s, &ev, bytes + at + sizeof(ev));
			at += sizeof(ev) + ev.len;
		}
	} while (n > (ssize_t)(sizeof(bytes) - EVENT_MAX));
	s->n_own = s->own_at = 0;
}

static bool
is_quiet(const struct watched_dir *d)
{
	return d->wd >= 0 && d->complete && d->clean &&
	    d->quiet == d->m->account->store->tick;
}

/*
 * Only of INBOX: a directory that is renamed says so itself, but of what
 * happens to one above it nothing is heard, and INBOX has none above but the
 * account's, which is open.  And only until the next tick, a second or so: one
 * that is removed says so when nobody has it open any more, be it this process
 * or another, and what is mounted on it never does.
 */
bool
watch_is_quiet(const struct mailbox *m)
{
	const struct watched_dir *d = m->dirs;

	if (m->dir[0] != '\0' || !is_quiet(&d[DIR_NEW]) ||
	    !is_quiet(&d[DIR_CUR]))
		return false;
	watch_drain(m->account->store);
	return is_quiet(&d[DIR_NEW]) && is_quiet(&d[DIR_CUR]);
}
