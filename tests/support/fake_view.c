/* The fake store's messages, and the views that sessions have of them. */
#include <sys/mman.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/ahead.h"
#include "tests/support/fake_impl.h"

/* --- messages ------------------------------------------------------------ */

int
mailbox_message_info(struct mailbox *m, uint32_t uid, struct message_info *out)
{
	const struct fake_message *f = fake_find(m, uid);

	if (f == NULL)
		return ERR_NOT_FOUND;
	*out = (struct message_info){ .internal_ms = 1700000000000,
		.file_size = f->bytes.n,
		.wire_size = UINT64_MAX };
	return 0;
}

void
mailbox_set_wire_size(struct mailbox *m, uint32_t uid, uint64_t size)
{
	(void)m;
	(void)uid;
	(void)size;
}

int
mailbox_open_message(struct mailbox *m, uint32_t uid, int *fd,
    uint64_t *file_size, struct err *e)
{
	const struct fake_message *f = fake_find(m, uid);
	size_t n;

	if (f == NULL)
		return ERR_NOT_FOUND;
	if (fake_store.open_message_rc != 0)
		return err_set(e, fake_store.open_message_rc, "ordered");
	*fd = memfd_create("message", MFD_CLOEXEC);
	n = fake_store.read_breaks ? f->bytes.n / 2 : f->bytes.n;
	if (*fd < 0 || write(*fd, f->bytes.p, n) != (ssize_t)n)
		abort();
	*file_size = f->bytes.n;
	return 0;
}

struct ahead {
	struct mailbox *m;
};

struct ahead *
ahead_begin(struct mailbox *m)
{
	struct ahead *a = MEM_NEW(struct ahead);

	a->m = m;
	return a;
}

void
ahead_end(struct ahead **a)
{
	free(*a);
	*a = NULL;
}

/* All was read already. */
bool
ahead_ask(struct ahead *a, uint32_t uid)
{
	(void)a;
	(void)uid;
	return false;
}

bool
ahead_take(struct ahead *a, uint32_t uid, struct ahead_message *out)
{
	const struct fake_message *f = fake_find(a->m, uid);
	struct err e;

	if (f == NULL || fake_store.read_breaks ||
	    mailbox_open_message(a->m, uid, &out->fd, &out->file_size, &e) != 0)
		return false;
	out->bytes = slice_first(f->bytes, AHEAD_BYTES);
	if (out->bytes.n == f->bytes.n) {
		(void)close(out->fd);
		out->fd = -1;
	}
	return true;
}

int
mailbox_counts(
    struct mailbox *m, bool sizes, struct mailbox_counts *out, struct err *e)
{
	(void)sizes;
	(void)e;
	*out = (struct mailbox_counts){ .messages = (uint32_t)m->n,
		.uidnext = m->uidnext,
		.highest_modseq = m->modseq };
	return 0;
}

/* --- views --------------------------------------------------------------- */

struct view *
mailbox_view(struct mailbox *m)
{
	if (m->newest == NULL) {
		m->newest = MEM_NEW(struct view);
		m->newest->refs = 1;
		m->newest->uidnext = m->uidnext;
		m->newest->modseq = m->modseq;
		m->newest->n = (uint32_t)m->n;
		for (size_t k = 0; k < m->n; k++)
			m->newest->v[k] = m->v[k].m;
		fake_store.views++;
	}
	return view_ref(m->newest);
}

struct view *
view_ref(struct view *v)
{
	v->refs++;
	return v;
}

void
view_unref(struct view **v)
{
	if (--(*v)->refs == 0) {
		free(*v);
		fake_store.views--;
	}
	*v = NULL;
}

uint32_t
view_count(const struct view *v)
{
	return v->n;
}

const struct message *
view_get(const struct view *v, uint32_t seq)
{
	assert(seq >= 1 && seq <= v->n);
	return &v->v[seq - 1];
}

uint32_t
view_lower_bound(const struct view *v, uint32_t uid)
{
	uint32_t seq = 1;

	while (seq <= v->n && v->v[seq - 1].uid < uid)
		seq++;
	return seq;
}

uint32_t
view_find(const struct view *v, uint32_t uid)
{
	uint32_t seq = view_lower_bound(v, uid);

	return seq <= v->n && v->v[seq - 1].uid == uid ? seq : 0;
}

uint32_t
view_find_unseen(const struct view *v)
{
	for (uint32_t seq = 1; seq <= v->n; seq++)
		if (!(v->v[seq - 1].flags & MESSAGE_SEEN))
			return seq;
	return 0;
}

uint32_t
view_uidnext(const struct view *v)
{
	return v->uidnext;
}

uint64_t
view_highest_modseq(const struct view *v)
{
	return v->modseq;
}

void
view_diff_init(
    struct view_diff *d, const struct view *from, const struct view *to)
{
	*d = (struct view_diff){
		.from = from, .to = to, .at_from = 1, .at_to = 1
	};
}

enum view_change
view_diff_next(struct view_diff *d, uint32_t *seq, const struct message **m)
{
	while (d->at_from <= d->from->n || d->at_to <= d->to->n) {
		const struct message *a = d->at_from <= d->from->n
		    ? view_get(d->from, d->at_from)
		    : NULL;
		const struct message *b =
		    d->at_to <= d->to->n ? view_get(d->to, d->at_to) : NULL;

		if (b == NULL || (a != NULL && a->uid < b->uid)) {
			*seq = d->at_from++;
			*m = a;
			return VIEW_EXPUNGED;
		}
		*seq = d->at_to++;
		*m = b;
		if (a == NULL || b->uid < a->uid)
			return VIEW_ADDED;
		d->at_from++;
		if (a->modseq != b->modseq)
			return VIEW_FLAGS;
	}
	return VIEW_SAME_END;
}
