#include "tests/support/fake_store.h"

#include <stdlib.h>

#include "base/mem.h"
#include "maildir/mailbox.h"
#include "tests/support/fake_impl.h"

enum { KEYWORDS_MAX = 30 };

struct fake_store fake_store;

static struct account account;
static struct mailbox mailboxes[FAKE_MAILBOXES];
static char *keywords[KEYWORDS_MAX];
static size_t n_keywords;
static unsigned n_calls; /* of fake_busy() */
static bool refresh_waited;

/* --- the world ----------------------------------------------------------- */

void
fake_changed(struct mailbox *m)
{
	if (m->newest != NULL)
		view_unref(&m->newest);
	for (struct mailbox_listener *l = m->listeners; l != NULL; l = l->next)
		waker_call(l->waker);
}

void
fake_remove_at(struct mailbox *m, size_t k)
{
	free((void *)(uintptr_t)m->v[k].bytes.p);
	m->modseq++;
	fake_note_vanished(m, m->v[k].m.uid);
	m->n--;
	memmove(&m->v[k], &m->v[k + 1], (m->n - k) * sizeof(m->v[0]));
	fake_changed(m);
}

struct fake_message *
fake_find(struct mailbox *m, uint32_t uid)
{
	for (size_t k = 0; k < m->n; k++)
		if (m->v[k].m.uid == uid)
			return &m->v[k];
	return NULL;
}

uint32_t
fake_add(struct mailbox *m, struct slice bytes, uint32_t flags, uint32_t set)
{
	struct fake_message *f;

	if (m->n == FAKE_MESSAGES_MAX)
		fake_remove_at(m, 0);
	f = &m->v[m->n++];
	f->bytes = slice_of(slice_dup(bytes), bytes.n);
	f->m = (struct message){ .uid = m->uidnext++,
		.flags = flags,
		.keywords = set,
		.modseq = ++m->modseq };
	fake_changed(m);
	return f->m.uid;
}

void
fake_empty(struct mailbox *m)
{
	while (m->n != 0)
		fake_remove_at(m, 0);
	free((void *)(uintptr_t)m->acl.p);
	m->acl = slice_of(NULL, 0);
	m->n_vanished = 0;
	fake_forget(m);
}

void
fake_store_clear(void)
{
	for (size_t k = 0; k < FAKE_MAILBOXES; k++) {
		assert(mailboxes[k].refs == 0);
		fake_empty(&mailboxes[k]);
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
	n_calls = 0;
	refresh_waited = false;
	for (size_t k = 0; k < FAKE_MAILBOXES; k++)
		mailboxes[k].uidvalidity = 0;
	for (size_t k = 0; k < FAKE_MAILBOXES; k++)
		fake_make(&mailboxes[k],
		    k < NELEMS(names) ? names[k] : slice_of(NULL, 0));
}

struct mailbox *
fake_free(void)
{
	for (size_t k = 0; k < FAKE_MAILBOXES; k++)
		if (mailboxes[k].name.n == 0 && mailboxes[k].refs == 0)
			return &mailboxes[k];
	return NULL;
}

void
fake_make(struct mailbox *m, struct slice name)
{
	uint32_t uidvalidity = m->uidvalidity + 1;

	if (uidvalidity == 1)
		uidvalidity = 1000 * ((uint32_t)(m - mailboxes) + 1);
	*m = (struct mailbox){ .uidnext = 1,
		.recent_from = 1,
		.modseq = 1,
		.uidvalidity = uidvalidity };
	fake_rename(m, name);
}

void
fake_rename(struct mailbox *m, struct slice name)
{
	assert(name.n <= sizeof(m->text));
	if (name.n != 0)
		memcpy(m->text, name.p, name.n);
	m->name = slice_of(m->text, name.n);
}

void
fake_store_deliver(size_t mailbox, struct slice bytes)
{
	(void)fake_add(&mailboxes[mailbox], bytes, 0, 0);
}

void
fake_store_set_flags(size_t mailbox, uint32_t uid, uint32_t flags)
{
	struct fake_message *f = fake_find(&mailboxes[mailbox], uid);

	if (f == NULL)
		return;
	f->m.flags = flags;
	f->m.modseq = ++mailboxes[mailbox].modseq;
	fake_changed(&mailboxes[mailbox]);
}

void
fake_store_remove(size_t mailbox, uint32_t uid)
{
	struct fake_message *f = fake_find(&mailboxes[mailbox], uid);

	if (f != NULL)
		fake_remove_at(
		    &mailboxes[mailbox], (size_t)(f - mailboxes[mailbox].v));
}

/* 0 or ERR_BUSY, as it was ordered. */
int
fake_busy(void)
{
	if (fake_store.meanwhile != NULL)
		fake_store.meanwhile();
	if (fake_store.busy == 0)
		return fake_store.often_busy && ++n_calls % 3 == 0 ? ERR_BUSY
								   : 0;
	fake_store.busy--;
	return ERR_BUSY;
}

/* Whether a step is to be called again. */
bool
fake_waits(bool *waited)
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

struct mailbox *
fake_named(struct slice name)
{
	for (size_t k = 0; k < FAKE_MAILBOXES; k++)
		if (name.n != 0 && slice_eq(mailboxes[k].name, name))
			return &mailboxes[k];
	return NULL;
}

static void
list_all(struct mailbox_list *out)
{
	out->n = 0;
	out->v = mem_zalloc(FAKE_MAILBOXES, sizeof(out->v[0]));
	for (size_t k = 0; k < FAKE_MAILBOXES; k++)
		if (mailboxes[k].name.n != 0)
			out->v[out->n++] =
			    (struct mailbox_entry){ .name = mailboxes[k].name,
				    .attrs = fake_store.attrs };
}

/* Nothing but the account is needed to know them. */
struct account_listing *
account_listing_new(struct account *a, bool marks)
{
	(void)marks;
	return (struct account_listing *)a;
}

int
account_listing_step(struct account_listing *l, struct err *e)
{
	(void)l;
	(void)e;
	return fake_busy();
}

void
account_listing_take(struct account_listing *l, struct mailbox_list *out)
{
	(void)l;
	list_all(out);
}

void
account_listing_free(struct account_listing **l)
{
	*l = NULL;
}

int
account_subscriptions(
    struct account *a, struct mailbox_list *out, struct err *e)
{
	int rc = fake_busy();

	(void)a;
	(void)e;
	if (rc == 0)
		list_all(out);
	return rc;
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
	return fake_named(name) != NULL ? 0
					: err_set(e, ERR_NOT_FOUND, "no such");
}

int
account_quota(struct account *a, struct account_quota *out, struct err *e)
{
	(void)a;
	(void)e;
	*out = (struct account_quota){ 0 };
	return 0;
}

/* --- mailbox ------------------------------------------------------------- */

int
mailbox_open(
    struct account *a, struct slice name, struct mailbox **out, struct err *e)
{
	struct mailbox *m = fake_named(name);
	int rc = fake_busy();

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
	return m->uidvalidity;
}

uint64_t
mailbox_object_id(const struct mailbox *m)
{
	return m->uidvalidity;
}

int
mailbox_email_id(struct mailbox *m, uint32_t uid, uint64_t *out)
{
	*out = uid;
	return fake_find(m, uid) != NULL ? 0 : ERR_NOT_FOUND;
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

void
mailbox_want_committed(struct mailbox *m)
{
	(void)m;
}

enum step
mailbox_refresh(struct mailbox *m, bool move_new, struct waker waker,
    int64_t now_ms, int64_t wall_ms, int *result)
{
	(void)m;
	(void)move_new;
	(void)waker;
	(void)now_ms;
	(void)wall_ms;
	if (fake_waits(&refresh_waited))
		return STEP_YIELD;
	refresh_waited = false;
	*result = fake_busy();
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
		if ((rc = fake_busy()) != 0)
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

uint32_t
fake_keyword_bits(const struct slice *names, size_t n)
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
