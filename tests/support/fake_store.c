#include "tests/support/fake_store.h"

#include <sys/mman.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/append.h"
#include "maildir/change.h"
#include "maildir/mailbox.h"
#include "maildir/shared_index.h"
#include "maildir/shared_link.h"

enum { KEYWORDS_MAX = 30, BYTES_MAX = 16 * 1024 * 1024 };

struct account {
	int refs;
};

struct fake_message {
	struct message m;
	struct slice bytes; /* heap */
};

struct mailbox {
	struct slice name;
	int refs;
	bool gone;
	struct fake_message v[FAKE_MESSAGES_MAX];
	size_t n;
	uint32_t uidnext, recent_from;
	uint64_t modseq;
	struct view *newest; /* NULL: to be made */
	struct mailbox_listener *listeners;
};

struct view {
	int refs;
	uint32_t uidnext;
	uint64_t modseq;
	uint32_t n;
	struct message v[FAKE_MESSAGES_MAX];
};

struct fake_store fake_store;

static struct account account;
static struct mailbox mailboxes[FAKE_MAILBOXES];
static char *keywords[KEYWORDS_MAX];
static size_t n_keywords;

/* --- the world ----------------------------------------------------------- */

static void
changed(struct mailbox *m)
{
	if (m->newest != NULL)
		view_unref(&m->newest);
	for (struct mailbox_listener *l = m->listeners; l != NULL; l = l->next)
		waker_call(l->waker);
}

static void
remove_at(struct mailbox *m, size_t k)
{
	free((void *)(uintptr_t)m->v[k].bytes.p);
	m->n--;
	memmove(&m->v[k], &m->v[k + 1], (m->n - k) * sizeof(m->v[0]));
	m->modseq++;
	changed(m);
}

static struct fake_message *
find(struct mailbox *m, uint32_t uid)
{
	for (size_t k = 0; k < m->n; k++)
		if (m->v[k].m.uid == uid)
			return &m->v[k];
	return NULL;
}

static uint32_t
add(struct mailbox *m, struct slice bytes, uint32_t flags, uint32_t set)
{
	struct fake_message *f;

	if (m->n == FAKE_MESSAGES_MAX)
		remove_at(m, 0);
	f = &m->v[m->n++];
	f->bytes = slice_of(slice_dup(bytes), bytes.n);
	f->m = (struct message){ .uid = m->uidnext++,
		.flags = flags,
		.keywords = set,
		.modseq = ++m->modseq };
	changed(m);
	return f->m.uid;
}

void
fake_store_clear(void)
{
	for (size_t k = 0; k < FAKE_MAILBOXES; k++) {
		assert(mailboxes[k].refs == 0);
		while (mailboxes[k].n != 0)
			remove_at(&mailboxes[k], 0);
		if (mailboxes[k].newest != NULL)
			view_unref(&mailboxes[k].newest);
	}
	while (n_keywords != 0)
		free(keywords[--n_keywords]);
}

void
fake_store_reset(void)
{
	static const struct slice names[] = { SLICE_INIT("INBOX"),
		SLICE_INIT("INBOX.a") };

	fake_store_clear();
	fake_store = (struct fake_store){ .busy = 0 };
	for (size_t k = 0; k < FAKE_MAILBOXES; k++)
		mailboxes[k] = (struct mailbox){ .name = names[k],
			.uidnext = 1,
			.recent_from = 1,
			.modseq = 1 };
}

void
fake_store_deliver(size_t mailbox, struct slice bytes)
{
	(void)add(&mailboxes[mailbox], bytes, 0, 0);
}

void
fake_store_set_flags(size_t mailbox, uint32_t uid, uint32_t flags)
{
	struct fake_message *f = find(&mailboxes[mailbox], uid);

	if (f == NULL)
		return;
	f->m.flags = flags;
	f->m.modseq = ++mailboxes[mailbox].modseq;
	changed(&mailboxes[mailbox]);
}

void
fake_store_remove(size_t mailbox, uint32_t uid)
{
	struct fake_message *f = find(&mailboxes[mailbox], uid);

	if (f != NULL)
		remove_at(
		    &mailboxes[mailbox], (size_t)(f - mailboxes[mailbox].v));
}

/* 0 or ERR_BUSY, as it was ordered. */
static int
busy(void)
{
	if (fake_store.busy == 0)
		return 0;
	fake_store.busy--;
	return ERR_BUSY;
}

/* Whether a step is to be called again. */
static bool
waits(bool *waited)
{
	if (!fake_store.waits || *waited)
		return false;
	*waited = true;
	return true;
}

/* --- account ------------------------------------------------------------- */

struct account *
fake_store_account(void)
{
	fake_store.accounts++;
	return &account;
}

void
account_release(struct account **a)
{
	assert(*a == &account);
	fake_store.accounts--;
	*a = NULL;
}

static struct mailbox *
named(struct slice name)
{
	for (size_t k = 0; k < FAKE_MAILBOXES; k++)
		if (slice_eq(mailboxes[k].name, name))
			return &mailboxes[k];
	return NULL;
}

int
account_list(struct account *a, struct mailbox_list *out, struct err *e)
{
	int rc = busy();

	(void)a;
	(void)e;
	if (rc != 0)
		return rc;
	out->n = FAKE_MAILBOXES;
	out->v = mem_zalloc(FAKE_MAILBOXES, sizeof(out->v[0]));
	for (size_t k = 0; k < FAKE_MAILBOXES; k++)
		out->v[k].name = mailboxes[k].name;
	return 0;
}

int
account_subscriptions(
    struct account *a, struct mailbox_list *out, struct err *e)
{
	return account_list(a, out, e);
}

void
mailbox_list_fini(struct mailbox_list *l)
{
	free(l->v);
	*l = (struct mailbox_list){ .n = 0 };
}

int
account_exists(struct account *a, struct slice name, struct err *e)
{
	(void)a;
	return named(name) != NULL ? 0 : err_set(e, ERR_NOT_FOUND, "no such");
}

/* Nobody shares anything here. */
int
account_acl(
    struct account *a, struct slice name, struct acl *out, struct err *e)
{
	int rc = busy();

	(void)a;
	(void)name;
	(void)e;
	if (rc == 0)
		acl_default(out);
	return rc;
}

int
account_acl_known(struct account *a, struct slice name, struct err *e)
{
	return account_exists(a, name, e);
}

int
account_acl_set(
    struct account *a, struct slice name, const struct acl *acl, struct err *e)
{
	(void)acl;
	return account_exists(a, name, e);
}

int
account_visit(
    struct account *near, const char *path, struct account **out, struct err *e)
{
	(void)near;
	(void)path;
	(void)out;
	return err_set(e, ERR_NOT_FOUND, "no such");
}

bool
shared_name_valid(struct slice name)
{
	(void)name;
	return false;
}

bool
shared_exists(struct account *near, const struct shared_options *o)
{
	(void)near;
	(void)o;
	return false;
}

int
shared_find(struct account *near, const struct shared_options *o,
    struct slice name, struct buf *path, struct buf *mailbox, struct err *e)
{
	(void)near;
	(void)o;
	(void)name;
	(void)path;
	(void)mailbox;
	return err_set(e, ERR_NOT_FOUND, "no such");
}

bool
shared_link_name_valid(struct slice name)
{
	(void)name;
	return false;
}

bool
shared_links_exist(struct account *near, const struct shared_options *o)
{
	(void)near;
	(void)o;
	return false;
}

int
shared_link_find(struct account *near, const struct shared_options *o,
    struct slice name, struct buf *path, struct buf *mailbox, struct err *e)
{
	return shared_find(near, o, name, path, mailbox, e);
}

unsigned
account_link_rights(struct account *a, struct slice name)
{
	(void)a;
	(void)name;
	return 0;
}

int
shared_link_subscribe(struct account *near, const struct shared_options *o,
    struct slice name, bool on, struct err *e)
{
	(void)near;
	(void)o;
	(void)name;
	(void)on;
	return err_set(e, ERR_NOT_FOUND, "no such");
}

struct shared_listing *
shared_listing_new(struct account *near, const struct shared_options *o,
    struct acl_who who, struct slice prefix)
{
	(void)near;
	(void)o;
	(void)who;
	(void)prefix;
	return NULL;
}

int
shared_listing_step(struct shared_listing *l, struct err *e)
{
	(void)l;
	(void)e;
	return 0;
}

void
shared_listing_take(struct shared_listing *l, struct mailbox_list *out)
{
	(void)l;
	*out = (struct mailbox_list){ .n = 0 };
}

void
shared_listing_free(struct shared_listing **l)
{
	*l = NULL;
}

int
account_quota(struct account *a, struct account_quota *out, struct err *e)
{
	(void)a;
	(void)e;
	*out = (struct account_quota){ 0 };
	return 0;
}

int
account_create(struct account *a, struct slice name, struct err *e)
{
	(void)a;
	if (named(name) != NULL)
		return ERR_EXISTS;
	return err_set(e, ERR_DENIED, "not in memory");
}

int
account_delete(struct account *a, struct slice name, struct err *e)
{
	(void)a;
	(void)e;
	return named(name) == NULL ? ERR_NOT_FOUND : ERR_BUSY;
}

int
account_rename(
    struct account *a, struct slice from, struct slice to, struct err *e)
{
	static char name[64];
	struct mailbox *m = named(from);

	if (m == NULL || !fake_store.renames || to.n > sizeof(name))
		return account_delete(a, from, e);
	memcpy(name, to.p, to.n);
	m->name = slice_of(name, to.n);
	m->gone = true;
	return 0;
}

int
account_subscribe(struct account *a, struct slice name, bool on, struct err *e)
{
	(void)a;
	(void)name;
	(void)on;
	(void)e;
	return busy();
}

/* --- mailbox ------------------------------------------------------------- */

int
mailbox_open(
    struct account *a, struct slice name, struct mailbox **out, struct err *e)
{
	struct mailbox *m = named(name);
	int rc = busy();

	(void)a;
	(void)e;
	if (rc != 0 || m == NULL)
		return rc != 0 ? rc : ERR_NOT_FOUND;
	m->gone = false;
	m->refs++;
	fake_store.mailboxes++;
	*out = m;
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
	if (*m == NULL)
		return;
	assert((*m)->refs > 0);
	(*m)->refs--;
	fake_store.mailboxes--;
	*m = NULL;
}

uint32_t
mailbox_uidvalidity(const struct mailbox *m)
{
	return m == &mailboxes[0] ? 1000 : 2000;
}

uint64_t
mailbox_object_id(const struct mailbox *m)
{
	return mailbox_uidvalidity(m);
}

int
mailbox_vanished(struct mailbox *m, uint64_t since, struct uid_range **v,
    size_t *n, bool *complete, struct err *e)
{
	int rc = busy();

	(void)m;
	(void)since;
	(void)e;
	if (rc != 0)
		return rc;
	*v = NULL;
	*n = 0;
	*complete = false;
	return 0;
}

uint64_t
mailbox_email_id(struct mailbox *m, uint32_t uid)
{
	return find(m, uid) != NULL ? uid : 0;
}

struct slice
mailbox_name(const struct mailbox *m)
{
	return m->name;
}

bool
mailbox_gone(const struct mailbox *m)
{
	return m->gone;
}

enum step
mailbox_refresh(struct mailbox *m, bool move_new, struct waker waker,
    int64_t now_ms, int64_t wall_ms, int *result)
{
	static bool waited;

	(void)m;
	(void)move_new;
	(void)waker;
	(void)now_ms;
	(void)wall_ms;
	if (waits(&waited))
		return STEP_YIELD;
	waited = false;
	*result = busy();
	return STEP_DONE;
}

/* A hibernated session's view; the real thing is something else. */
struct record {
	struct view *view;
};

void
mailbox_listen(struct mailbox *m, struct mailbox_listener *l)
{
	l->m = m;
	l->next = m->listeners;
	l->prev = &m->listeners;
	if (l->next != NULL)
		l->next->prev = &l->next;
	m->listeners = l;
	fake_store.listeners++;
}

void
mailbox_unlisten(struct mailbox_listener *l)
{
	*l->prev = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	if (l->record != NULL)
		view_unref(&l->record->view);
	free(l->record);
	l->record = NULL;
	fake_store.listeners--;
}

uint32_t
mailbox_recent_from(struct mailbox *m, bool claim)
{
	uint32_t from = m->recent_from;

	if (claim)
		m->recent_from = m->uidnext;
	return from;
}

void
mailbox_rest(struct mailbox_listener *l)
{
	l->resting = true;
	if (!fake_store.hibernates || l->record != NULL)
		return;
	l->record = MEM_NEW(struct record);
	l->record->view = *l->view;
	*l->view = NULL;
	waker_call(l->asleep);
}

int
mailbox_rouse(struct mailbox_listener *l, struct err *e)
{
	int rc;

	(void)e;
	if (l->record != NULL) {
		if ((rc = busy()) != 0)
			return rc;
		*l->view = l->record->view;
		free(l->record);
		l->record = NULL;
	}
	l->resting = false;
	return 0;
}

size_t
mailbox_n_keywords(const struct mailbox *m)
{
	(void)m;
	return n_keywords;
}

struct slice
mailbox_keyword(const struct mailbox *m, size_t i)
{
	(void)m;
	assert(i < n_keywords);
	return slice_str(keywords[i]);
}

/* A set is the bits of its keywords. */
const uint16_t *
mailbox_keyword_set(const struct mailbox *m, uint32_t set, size_t *n)
{
	static uint16_t turns[2][KEYWORDS_MAX];
	static unsigned turn;
	uint16_t *v = turns[turn++ % 2];

	(void)m;
	*n = 0;
	for (uint16_t k = 0; k < n_keywords; k++)
		if ((set & 1U << k) != 0)
			v[(*n)++] = k;
	return v;
}

size_t
mailbox_keyword_find(const struct mailbox *m, struct slice name)
{
	(void)m;
	for (size_t k = 0; k < n_keywords; k++)
		if (slice_ieq(slice_str(keywords[k]), name))
			return k;
	return SIZE_MAX;
}

static uint32_t
keyword_bits(const struct slice *names, size_t n)
{
	uint32_t bits = 0;

	for (size_t k = 0; k < n; k++) {
		size_t at = mailbox_keyword_find(NULL, names[k]);

		if (at == SIZE_MAX && n_keywords < KEYWORDS_MAX) {
			at = n_keywords++;
			keywords[at] = slice_dup(names[k]);
		}
		if (at != SIZE_MAX)
			bits |= 1U << at;
	}
	return bits;
}

/* --- messages ------------------------------------------------------------ */

int
mailbox_message_info(struct mailbox *m, uint32_t uid, struct message_info *out)
{
	const struct fake_message *f = find(m, uid);

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
	const struct fake_message *f = find(m, uid);
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

bool
mailbox_cache_get(
    struct mailbox *m, uint32_t uid, enum cache_kind kind, struct slice *out)
{
	(void)m;
	(void)uid;
	(void)kind;
	(void)out;
	return false;
}

void
mailbox_cache_put(
    struct mailbox *m, uint32_t uid, enum cache_kind kind, struct slice bytes)
{
	(void)m;
	(void)uid;
	(void)kind;
	(void)bytes;
}

bool
mailbox_cache_get_whole(
    struct mailbox *m, enum cache_kind kind, struct buf *out)
{
	(void)m;
	(void)kind;
	(void)out;
	return false;
}

void
mailbox_cache_put_whole(
    struct mailbox *m, enum cache_kind kind, struct slice bytes)
{
	(void)m;
	(void)kind;
	(void)bytes;
}

void
mailbox_counts(struct mailbox *m, struct mailbox_counts *out)
{
	*out = (struct mailbox_counts){ .messages = (uint32_t)m->n,
		.uidnext = m->uidnext,
		.highest_modseq = m->modseq };
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

/* --- changes ------------------------------------------------------------- */

struct fake_change {
	struct mailbox *m, *target;
	uint32_t *uids, *from, *to;
	size_t n, n_done;
	bool all, waited, move;
	enum flags_how how;
	uint32_t flags, set;
	size_t missing;
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
	free(c->from);
	free(c->to);
	fake_store.changes--;
}

int
change_flags_begin(struct mailbox *m, const uint32_t *uids, size_t n,
    const struct flags_change *what, struct change_flags **out, struct err *e)
{
	int rc = busy();

	(void)e;
	if (rc != 0)
		return rc;
	*out = MEM_NEW(struct change_flags);
	change_begin(&(*out)->c, m, uids, n);
	(*out)->c.how = what->how;
	(*out)->c.flags = what->flags;
	(*out)->c.set = keyword_bits(what->keywords, what->n_keywords);
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
	changed(c->m);
}

enum step
change_flags_step(struct change_flags *change, struct waker waker,
    int64_t now_ms, int64_t wall_ms)
{
	struct fake_change *c = &change->c;

	(void)waker;
	(void)now_ms;
	(void)wall_ms;
	if (waits(&c->waited))
		return STEP_YIELD;
	c->rc = fake_store.change_rc;
	for (size_t k = 0; k < c->n && c->rc == 0; k++) {
		struct fake_message *f = find(c->m, c->uids[k]);

		if (f == NULL)
			c->missing++;
		else
			apply(c, f);
	}
	return STEP_DONE;
}

int
change_flags_result(const struct change_flags *c, const uint32_t **modified,
    size_t *n_modified, size_t *missing)
{
	*modified = NULL;
	*n_modified = 0;
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
	int rc = busy();

	(void)to;
	(void)e;
	if (rc != 0)
		return rc;
	if (named(target) == NULL)
		return ERR_NOT_FOUND;
	*out = MEM_NEW(struct change_copy);
	change_begin(&(*out)->c, from, uids, n);
	(*out)->c.target = named(target);
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
	if (waits(&c->waited))
		return STEP_YIELD;
	c->result.result = fake_store.change_rc;
	for (size_t k = 0; k < c->n && c->result.result == 0; k++) {
		struct fake_message *f = find(c->m, c->uids[k]);
		struct fake_message copy;

		if (f == NULL)
			continue;
		copy = *f;
		copy.bytes = slice_of(slice_dup(f->bytes), f->bytes.n);
		c->from[c->n_done] = copy.m.uid;
		c->to[c->n_done++] =
		    add(c->target, copy.bytes, copy.m.flags, copy.m.keywords);
		free((void *)(uintptr_t)copy.bytes.p);
		f = find(c->m, copy.m.uid);
		if (c->move && f != NULL)
			remove_at(c->m, (size_t)(f - c->m->v));
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
	int rc = busy();

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
	if (waits(&c->waited))
		return STEP_YIELD;
	c->rc = fake_store.change_rc;
	while (k < c->m->n && c->rc == 0) {
		const struct message *m = &c->m->v[k].m;

		if ((m->flags & MESSAGE_DELETED) != 0 && has_uid(c, m->uid)) {
			remove_at(c->m, k);
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
	(void)c;
	(void)fn;
	(void)arg;
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
	int rc = busy();

	(void)a;
	(void)e;
	if (rc != 0)
		return rc;
	if (named(mailbox) == NULL)
		return ERR_NOT_FOUND;
	*out = MEM_NEW(struct append);
	(*out)->m = named(mailbox);
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
		.set = keyword_bits(names, n_names) };
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
	if (waits(&p->waited))
		return STEP_YIELD;
	for (size_t i = 0; i < p->n; i++)
		p->uids[i] = add(p->m,
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
