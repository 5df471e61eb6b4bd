/* The fake store's changes: STORE, COPY, EXPUNGE, APPEND, each at once or after
 * as many steps as a test wants. */
#include <sys/mman.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/append.h"
#include "maildir/change.h"
#include "tests/support/fake_impl.h"

enum { BYTES_MAX = 16 * 1024 * 1024 };

/* --- changes ------------------------------------------------------------- */

struct fake_change {
	struct mailbox *m, *target;
	uint32_t *uids, *from, *to;
	size_t n, n_done;
	bool all, waited, move;
	enum flags_how how;
	uint32_t flags, set;
	uint64_t unchanged_since;
	uint32_t *modified;
	size_t missing, n_modified;
	change_observer *observer;
	void *observer_arg;
	int rc;
	struct copy_result result;
};

struct change_flags {
	struct fake_change c;
};
struct change_copy {
	struct fake_change c;
};
struct change_expunge {
	struct fake_change c;
};

static void
change_begin(
    struct fake_change *c, struct mailbox *m, const uint32_t *uids, size_t n)
{
	c->m = m;
	c->n = n;
	c->all = uids == NULL;
	c->uids = mem_zalloc(n + 1, sizeof(*uids));
	if (n != 0)
		memcpy(c->uids, uids, n * sizeof(*uids));
	fake_store.changes++;
}

static void
change_end(struct fake_change *c)
{
	free(c->uids);
	free(c->modified);
	free(c->from);
	free(c->to);
	fake_store.changes--;
}

int
change_flags_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    const struct flags_change *what, struct change_flags **out, struct err *e)
{
	int rc = fake_busy();

	(void)e;
	if (rc != 0)
		return rc;
	*out = MEM_NEW(struct change_flags);
	change_begin(&(*out)->c, m, uids, n);
	(*out)->c.how = what->how;
	(*out)->c.flags = what->flags;
	(*out)->c.unchanged_since = what->unchanged_since;
	(*out)->c.modified = mem_zalloc(n + 1, sizeof(*uids));
	(*out)->c.set = fake_keyword_bits(what->keywords, what->n_keywords);
	return 0;
}

static void
apply(struct fake_change *c, struct fake_message *f)
{
	uint32_t flags = f->m.flags, set = f->m.keywords;

	switch (c->how) {
	case FLAGS_REPLACE:
		f->m.flags = c->flags;
		f->m.keywords = c->set;
		break;
	case FLAGS_ADD:
		f->m.flags |= c->flags;
		f->m.keywords |= c->set;
		break;
	case FLAGS_REMOVE:
		f->m.flags &= ~c->flags;
		f->m.keywords &= ~c->set;
		break;
	}
	if (f->m.flags == flags && f->m.keywords == set)
		return;
	f->m.modseq = ++c->m->modseq;
	fake_changed(c->m);
}

enum step
change_flags_step(struct change_flags *change, struct waker waker,
    int64_t now_ms, int64_t wall_ms)
{
	struct fake_change *c = &change->c;

	(void)waker;
	(void)now_ms;
	(void)wall_ms;
	if (fake_waits(&c->waited))
		return STEP_YIELD;
	c->rc = fake_store.change_rc;
	for (size_t k = 0; k < c->n && c->rc == 0; k++) {
		struct fake_message *f = fake_find(c->m, c->uids[k]);

		if (f == NULL)
			c->missing++;
		else if (f->m.modseq > c->unchanged_since)
			c->modified[c->n_modified++] = f->m.uid;
		else
			apply(c, f);
	}
	return STEP_DONE;
}

int
change_flags_result(const struct change_flags *c, const uint32_t **modified,
    size_t *n_modified, size_t *missing)
{
	*modified = c->c.modified;
	*n_modified = c->c.n_modified;
	*missing = c->c.missing;
	return c->c.rc;
}

void
change_flags_free(struct change_flags **c)
{
	if (*c == NULL)
		return;
	change_end(&(*c)->c);
	free(*c);
	*c = NULL;
}

void
change_copy_drop(struct change_copy *c, uint32_t flags, bool words)
{
	(void)c;
	(void)flags;
	(void)words;
}

int
change_copy_begin(struct mailbox *from, struct account *to, struct slice target,
    const uint32_t *uids, size_t n, bool move, struct change_copy **out,
    struct err *e)
{
	int rc = fake_busy();

	(void)to;
	(void)e;
	if (rc != 0)
		return rc;
	if (fake_named(target) == NULL)
		return ERR_NOT_FOUND;
	*out = MEM_NEW(struct change_copy);
	change_begin(&(*out)->c, from, uids, n);
	(*out)->c.target = fake_named(target);
	(*out)->c.move = move;
	(*out)->c.from = mem_zalloc(n, sizeof(*uids));
	(*out)->c.to = mem_zalloc(n, sizeof(*uids));
	return 0;
}

enum step
change_copy_step(struct change_copy *change, struct waker waker, int64_t now_ms,
    int64_t wall_ms)
{
	struct fake_change *c = &change->c;

	(void)waker;
	(void)now_ms;
	(void)wall_ms;
	if (fake_waits(&c->waited))
		return STEP_YIELD;
	c->result.result = fake_store.change_rc;
	for (size_t k = 0; k < c->n && c->result.result == 0; k++) {
		struct fake_message *f = fake_find(c->m, c->uids[k]);
		struct fake_message copy;

		if (f == NULL)
			continue;
		copy = *f;
		copy.bytes = slice_of(slice_dup(f->bytes), f->bytes.n);
		c->from[c->n_done] = copy.m.uid;
		c->to[c->n_done++] = fake_add(
		    c->target, copy.bytes, copy.m.flags, copy.m.keywords);
		free((void *)(uintptr_t)copy.bytes.p);
		f = fake_find(c->m, copy.m.uid);
		if (c->move && f != NULL)
			fake_remove_at(c->m, (size_t)(f - c->m->v));
	}
	c->result.uidvalidity = mailbox_uidvalidity(c->target);
	c->result.from = c->from;
	c->result.to = c->to;
	c->result.n = c->n_done;
	return STEP_DONE;
}

void
change_copy_progress(
    const struct change_copy *c, uint64_t *done, uint64_t *goal)
{
	(void)c;
	*done = 0;
	*goal = 1;
}

const struct copy_result *
change_copy_result(const struct change_copy *c)
{
	return &c->c.result;
}

void
change_copy_free(struct change_copy **c)
{
	if (*c == NULL)
		return;
	change_end(&(*c)->c);
	free(*c);
	*c = NULL;
}

int
change_expunge_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    struct change_expunge **out, struct err *e)
{
	int rc = fake_busy();

	(void)e;
	if (rc != 0)
		return rc;
	*out = MEM_NEW(struct change_expunge);
	change_begin(&(*out)->c, m, uids, n);
	return 0;
}

/* There is no trash here. */
int
change_expunge_to_trash_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    const uint32_t *skip, size_t n_skip, struct change_expunge **out,
    struct err *e)
{
	(void)skip;
	(void)n_skip;
	return change_expunge_begin(m, uids, n, out, e);
}

static bool
has_uid(const struct fake_change *c, uint32_t uid)
{
	for (size_t k = 0; k < c->n; k++)
		if (c->uids[k] == uid)
			return true;
	return c->all;
}

enum step
change_expunge_step(struct change_expunge *change, struct waker waker,
    int64_t now_ms, int64_t wall_ms)
{
	struct fake_change *c = &change->c;
	size_t k = 0;

	(void)waker;
	(void)now_ms;
	(void)wall_ms;
	if (fake_waits(&c->waited))
		return STEP_YIELD;
	c->rc = fake_store.change_rc;
	while (k < c->m->n && c->rc == 0) {
		const struct message *m = &c->m->v[k].m;

		if ((m->flags & MESSAGE_DELETED) != 0 && has_uid(c, m->uid)) {
			if (c->observer != NULL)
				c->observer(c->observer_arg, m->uid,
				    SLICE("/x"), SLICE(""));
			fake_remove_at(c->m, k);
			c->n_done++;
		} else {
			k++;
		}
	}
	return STEP_DONE;
}

int
change_expunge_result(const struct change_expunge *c, size_t *n_removed)
{
	*n_removed = c->c.n_done;
	return c->c.rc;
}

void
change_expunge_observe(struct change_expunge *c, change_observer *fn, void *arg)
{
	c->c.observer = fn;
	c->c.observer_arg = arg;
}

void
change_expunge_free(struct change_expunge **c)
{
	if (*c == NULL)
		return;
	change_end(&(*c)->c);
	free(*c);
	*c = NULL;
}

/* --- append -------------------------------------------------------------- */

struct append {
	struct mailbox *m;
	struct fake_append {
		size_t from, n; /* of bytes */
		uint32_t flags, set;
	} v[FAKE_MESSAGES_MAX];
	uint32_t uids[FAKE_MESSAGES_MAX];
	size_t n;
	struct buf bytes;
	bool waited;
};

int
append_begin(
    struct account *a, struct slice mailbox, struct append **out, struct err *e)
{
	int rc = fake_busy();

	(void)a;
	(void)e;
	if (rc != 0)
		return rc;
	if (fake_named(mailbox) == NULL)
		return ERR_NOT_FOUND;
	*out = MEM_NEW(struct append);
	(*out)->m = fake_named(mailbox);
	buf_init(&(*out)->bytes, BYTES_MAX);
	fake_store.changes++;
	return 0;
}

int
append_message(struct append *p, uint32_t flags, const struct slice *names,
    size_t n_names, int64_t internal_ms, uint64_t size, int64_t wall_ms,
    struct err *e)
{
	(void)internal_ms;
	(void)wall_ms;
	(void)e;
	if (size > BYTES_MAX / 2 || p->n == NELEMS(p->v))
		return ERR_QUOTA;
	p->v[p->n++] = (struct fake_append){ .from = buf_len(&p->bytes),
		.flags = flags,
		.set = fake_keyword_bits(names, n_names) };
	return 0;
}

int
append_write(struct append *p, struct slice bytes, struct err *e)
{
	if (fake_store.append_rc != 0)
		return err_set(e, fake_store.append_rc, "ordered");
	buf_put(&p->bytes, bytes);
	return buf_ok(&p->bytes) ? 0 : ERR_SPACE;
}

int
append_message_end(struct append *p, struct err *e)
{
	struct fake_append *v = &p->v[p->n - 1];

	(void)e;
	v->n = buf_len(&p->bytes) - v->from;
	return 0;
}

void
append_keep_raw(struct append *p)
{
	(void)p;
}

int
append_open_file(struct append *p, size_t k, int *fd, struct err *e)
{
	(void)p;
	(void)k;
	(void)fd;
	return err_set(e, ERR_DENIED, "there are no files");
}

int
append_take_back(struct append *p, int *fd, struct err *e)
{
	const struct fake_append *v = &p->v[--p->n];

	*fd = memfd_create("append", MFD_CLOEXEC);
	if (*fd < 0 ||
	    fsx_write_all(*fd, slice_skip(buf_slice(&p->bytes), v->from)) < 0)
		return err_sys(e, "a file in memory");
	buf_truncate(&p->bytes, v->from);
	return 0;
}

enum step
append_commit(
    struct append *p, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	(void)waker;
	(void)now_ms;
	(void)wall_ms;
	if (fake_waits(&p->waited))
		return STEP_YIELD;
	for (size_t i = 0; i < p->n; i++)
		p->uids[i] = fake_add(p->m,
		    slice_first(slice_skip(buf_slice(&p->bytes), p->v[i].from),
			p->v[i].n),
		    p->v[i].flags, p->v[i].set);
	return STEP_DONE;
}

int
append_result(const struct append *p, uint32_t *uidvalidity,
    const uint32_t **uids, size_t *n)
{
	*uidvalidity = mailbox_uidvalidity(p->m);
	*uids = p->uids;
	*n = p->n;
	return 0;
}

void
append_free(struct append **p)
{
	if (*p == NULL)
		return;
	buf_fini(&(*p)->bytes);
	free(*p);
	*p = NULL;
	fake_store.changes--;
}
