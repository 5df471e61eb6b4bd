#include "tests/support/fake_mailbox.h"

#include <sys/mman.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "maildir/change.h"
#include "maildir/mailbox.h"

enum { UID_BASE = 101 };

struct fake_mailbox fake;

/* The library's structs are opaque: these stand for them. */
struct mailbox {
	int refreshes, lists;
};
struct account {
	int unused;
};
struct view {
	struct message m;
};
struct change_flags {
	uint32_t uid;
	bool waited;
};
struct change_expunge {
	uint32_t *uids;
	size_t n, removed;
	bool waited;
};

static struct mailbox the_mailbox;
static struct account the_account;

void
fake_mailbox_reset(void)
{
	fake = (struct fake_mailbox){ .n = 0 };
	the_mailbox = (struct mailbox){ 0, 0 };
}

void
fake_mailbox_add(struct slice bytes, const char *unique_id)
{
	assert(fake.n < FAKE_MESSAGES_MAX);
	fake.v[fake.n++] =
	    (struct fake_message){ .bytes = bytes, .unique_id = unique_id };
}

static struct fake_message *
message_of(uint32_t uid)
{
	assert(uid >= UID_BASE && uid - UID_BASE < fake.n);
	return &fake.v[uid - UID_BASE];
}

static bool
is_busy(void)
{
	if (fake.busy == 0)
		return false;
	fake.busy--;
	return true;
}

/* --- store.h ------------------------------------------------------------- */

struct account *
fake_account(void)
{
	fake.accounts++;
	return &the_account;
}

void
account_release(struct account **a)
{
	assert(*a == &the_account && fake.accounts > 0);
	fake.accounts--;
	*a = NULL;
}

/* --- mailbox.h ----------------------------------------------------------- */

int
mailbox_open(
    struct account *a, struct slice name, struct mailbox **out, struct err *e)
{
	assert(a == &the_account && slice_eq(name, SLICE("INBOX")));
	if (is_busy())
		return err_set(e, ERR_BUSY, "busy");
	if (fake.more != 0) {
		fake.more--;
		return ERR_MORE;
	}
	if (fake.open_rc != 0)
		return err_set(e, fake.open_rc, "told to fail");
	assert(!fake.is_open);
	fake.is_open = true;
	*out = &the_mailbox;
	return 0;
}

void
mailbox_forget_waker(struct mailbox *m, void *arg)
{
	(void)m;
	(void)arg;
}

void
mailbox_close(struct mailbox **m)
{
	assert(*m == &the_mailbox && fake.is_open);
	fake.is_open = false;
	*m = NULL;
}

enum step
mailbox_refresh(struct mailbox *m, bool move_new, struct waker waker,
    int64_t now_ms, int64_t wall_ms, int *result)
{
	(void)waker;
	(void)now_ms;
	(void)wall_ms;
	assert(move_new);
	if (fake.waits && m->refreshes++ == 0)
		return STEP_YIELD;
	*result = fake.refresh_rc;
	return STEP_DONE;
}

static uint64_t
wire_size(struct slice s)
{
	uint64_t n = s.n;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r');
	if (s.n != 0 && s.p[s.n - 1] != '\n')
		n += 2; /* as it is sent */
	return n;
}

enum step
mailbox_pop3_list(struct mailbox *m, struct waker waker, int64_t now_ms,
    struct pop3_entry **out, size_t *n, int *result)
{
	struct pop3_entry *v;

	(void)waker;
	(void)now_ms;
	if (fake.waits && m->lists++ == 0)
		return STEP_WAIT_SYNC;
	*result = fake.list_rc;
	if (fake.list_rc != 0)
		return STEP_DONE;
	v = mem_zalloc(fake.n + 1, sizeof(*v));
	for (size_t i = 0; i < fake.n; i++) {
		v[i].uid = (uint32_t)(UID_BASE + i);
		v[i].size = wire_size(fake.v[i].bytes);
		v[i].unique_id = fake.v[i].unique_id;
		v[i].header = fake.v[i].header;
	}
	*out = v;
	*n = fake.n;
	return STEP_DONE;
}

void
mailbox_set_header(struct mailbox *m, uint32_t uid, enum header_bytes header)
{
	(void)m;
	message_of(uid)->header = header;
}

int
mailbox_message_info(struct mailbox *m, uint32_t uid, struct message_info *out)
{
	(void)m;
	(void)message_of(uid);
	*out = (struct message_info){ .internal_ms = 1700000000000 };
	return 0;
}

int
mailbox_email_id(struct mailbox *m, uint32_t uid, uint64_t *out)
{
	(void)m;
	(void)message_of(uid);
	*out = UINT64_C(0xfeed000000000000) | uid;
	return 0;
}

int
mailbox_open_message(struct mailbox *m, uint32_t uid, int *fd,
    uint64_t *file_size, struct err *e)
{
	const struct fake_message *f = message_of(uid);
	ssize_t n;
	int pipe_fds[2];

	assert(m == &the_mailbox && fake.is_open);
	if (f->gone)
		return ERR_NOT_FOUND;
	if (f->unreadable)
		return err_set(e, ERR_DENIED, "told to fail");
	*file_size = f->bytes.n;
	if (f->read_breaks) {
		if (pipe(pipe_fds) != 0) /* pread() gives ESPIPE */
			abort();
		(void)close(pipe_fds[1]);
		*fd = pipe_fds[0];
		return 0;
	}
	*fd = memfd_create("message", MFD_CLOEXEC);
	if (*fd < 0)
		abort();
	for (struct slice s = f->bytes; s.n != 0; s = slice_skip(s, (size_t)n))
		if ((n = write(*fd, s.p, s.n)) <= 0)
			abort();
	return 0;
}

int
mailbox_message_path(struct mailbox *m, uint32_t uid, struct buf *out)
{
	assert(m == &the_mailbox);
	if (message_of(uid)->gone)
		return ERR_NOT_FOUND;
	buf_putf(out, "cur/%u.host", (unsigned)uid);
	return 0;
}

/* --- view.h: of one message ---------------------------------------------- */

struct view *
mailbox_view(struct mailbox *m)
{
	assert(m == &the_mailbox);
	return MEM_NEW(struct view);
}

void
view_unref(struct view **v)
{
	free(*v);
	*v = NULL;
}

uint32_t
view_find(const struct view *v, uint32_t uid)
{
	(void)v;
	return message_of(uid)->gone ? 0 : uid - UID_BASE + 1;
}

const struct message *
view_get(const struct view *v, uint32_t seq)
{
	struct view *w = (struct view *)(uintptr_t)v;

	w->m.flags = fake.v[seq - 1].seen ? MESSAGE_SEEN : 0;
	return &w->m;
}

/* --- change.h ------------------------------------------------------------ */

int
change_flags_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    const struct flags_change *what, struct change_flags **out, struct err *e)
{
	assert(m == &the_mailbox && n == 1 && what->how == FLAGS_ADD &&
	    what->flags == MESSAGE_SEEN);
	if (is_busy())
		return err_set(e, ERR_BUSY, "busy");
	*out = MEM_NEW(struct change_flags);
	(*out)->uid = uids[0];
	return 0;
}

enum step
change_flags_step(
    struct change_flags *c, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	(void)waker;
	(void)now_ms;
	(void)wall_ms;
	if (fake.waits && !c->waited) {
		c->waited = true;
		return STEP_WAIT_SYNC;
	}
	if (fake.seen_rc == 0)
		message_of(c->uid)->seen = true;
	return STEP_DONE;
}

int
change_flags_result(const struct change_flags *c, const uint32_t **modified,
    size_t *n_modified, size_t *missing)
{
	(void)c;
	*modified = NULL;
	*n_modified = *missing = 0;
	return fake.seen_rc;
}

void
change_flags_free(struct change_flags **c)
{
	free(*c);
	*c = NULL;
}

int
change_remove_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    struct change_expunge **out, struct err *e)
{
	struct change_expunge *c;

	assert(m == &the_mailbox && n > 0);
	if (is_busy())
		return err_set(e, ERR_BUSY, "busy");
	fake.removals++;
	c = MEM_NEW(struct change_expunge);
	c->uids = mem_zalloc(n, sizeof(uids[0]));
	memcpy(c->uids, uids, n * sizeof(uids[0]));
	c->n = n;
	*out = c;
	return 0;
}

enum step
change_expunge_step(struct change_expunge *c, struct waker waker,
    int64_t now_ms, int64_t wall_ms)
{
	(void)waker;
	(void)now_ms;
	(void)wall_ms;
	if (fake.waits && !c->waited) {
		c->waited = true;
		return STEP_WAIT_SYNC;
	}
	if (fake.remove_rc != 0)
		return STEP_DONE;
	for (size_t i = 0; i < c->n; i++) {
		struct fake_message *f = message_of(c->uids[i]);
		c->removed += !f->gone;
		f->gone = true;
	}
	return STEP_DONE;
}

int
change_expunge_result(const struct change_expunge *c, size_t *n_removed)
{
	*n_removed = c->removed;
	return fake.remove_rc;
}

void
change_expunge_free(struct change_expunge **c)
{
	if (*c != NULL)
		free((*c)->uids);
	free(*c);
	*c = NULL;
}
