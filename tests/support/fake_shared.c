/* What the fake store has of rights, of mailboxes of others, and of messages
 * that are gone. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "maildir/shared_index.h"
#include "maildir/shared_link.h"
#include "tests/support/fake_impl.h"

/* --- rights --------------------------------------------------------------- */

int
account_acl(
    struct account *a, struct slice name, struct acl *out, struct err *e)
{
	const struct mailbox *m = fake_named(name);
	int rc = fake_busy();

	(void)a;
	(void)e;
	if (rc == 0 && m != NULL && m->n_acl != 0)
		acl_parse(m->acl, out);
	else if (rc == 0)
		acl_default(out);
	return rc;
}

void
mailbox_acl_print(const struct mailbox *m, struct acl_print *out)
{
	*out = (struct acl_print){ .ctime_ns = m->n_acl != 0 ? m->n_acl : -1 };
}

int
account_acl_known(struct account *a, struct slice name, struct err *e)
{
	return account_exists(a, name, e);
}

/* --- mailboxes of others -------------------------------------------------- */

static const struct slice root = SLICE_INIT(SHARED_ROOT "."),
			  link_root = SLICE_INIT(SHARED_LINK_ROOT ".");

int
account_visit(
    struct account *near, const char *path, struct account **out, struct err *e)
{
	if (!slice_eq(slice_str(path), SLICE("/u")))
		return err_set(e, ERR_DENIED, "another user's");
	fake_store.accounts++;
	*out = near;
	return 0;
}

static bool
is_valid(struct slice name, struct slice begin)
{
	return fake_store.shares && slice_starts(name, begin) &&
	    name.n > begin.n && name.n < sizeof(((struct mailbox *)0)->text) &&
	    !slice_has(name, '/');
}

bool
shared_name_valid(struct slice name)
{
	return is_valid(name, root);
}

bool
shared_link_name_valid(struct slice name)
{
	return is_valid(name, link_root);
}

bool
shared_exists(struct account *near, const struct shared_options *o)
{
	(void)near;
	return fake_store.shares && o->index != NULL;
}

bool
shared_links_exist(struct account *near, const struct shared_options *o)
{
	(void)near;
	return fake_store.shares && o->links != NULL;
}

/* "#shared.u.a" leads to INBOX.a of "/u". */
static int
lead(struct slice name, struct buf *path, struct buf *mailbox, struct err *e)
{
	struct slice user;

	if (!slice_split(&name, '.', &user) || user.n != 1)
		return err_set(e, ERR_NOT_FOUND, "no such");
	buf_putf(path, "/%c", user.p[0]);
	buf_puts(mailbox, "INBOX");
	if (name.p != NULL) {
		buf_putc(mailbox, '.');
		buf_put(mailbox, name);
	}
	return 0;
}

int
shared_find(struct account *near, const struct shared_options *o,
    struct slice name, struct buf *path, struct buf *mailbox, struct err *e)
{
	(void)near;
	(void)o;
	return lead(slice_skip(name, root.n), path, mailbox, e);
}

int
shared_link_find(struct account *near, const struct shared_options *o,
    struct slice name, struct buf *path, struct buf *mailbox, struct err *e)
{
	(void)near;
	(void)o;
	return lead(slice_skip(name, link_root.n), path, mailbox, e);
}

unsigned
account_link_rights(struct account *a, struct slice name)
{
	(void)a;
	return slice_eq(name, SLICE("INBOX")) ? 0 : ACL_LOOKUP | ACL_READ;
}

struct shared_listing {
	bool links;
	int left; /* calls, until it is done */
};

struct shared_listing *
shared_listing_new(struct account *near, const struct shared_options *o,
    struct acl_who who, struct slice prefix)
{
	struct shared_listing *l;

	(void)near;
	(void)o;
	(void)who;
	if (!fake_store.shares)
		return NULL;
	l = MEM_NEW(struct shared_listing);
	l->links = slice_starts(prefix, link_root);
	l->left = 20;
	return l;
}

int
shared_listing_step(struct shared_listing *l, struct err *e)
{
	(void)e;
	return l != NULL && l->left-- > 0;
}

void
shared_listing_take(struct shared_listing *l, struct mailbox_list *out)
{
	static const struct mailbox_entry listed[2][3] = {
		{ { SLICE_INIT("#shared"), MAILBOX_NOSELECT },
		    { SLICE_INIT("#shared.u"), MAILBOX_HAS_CHILDREN },
		    { SLICE_INIT("#shared.u.a"), 0 } },
		{ { SLICE_INIT("shared"), MAILBOX_NOSELECT },
		    { SLICE_INIT("shared.u"), MAILBOX_NOSELECT },
		    { SLICE_INIT("shared.u.a"), 0 } },
	};

	*out = (struct mailbox_list){ .n = 0 };
	if (l == NULL)
		return;
	out->n = NELEMS(listed[0]);
	out->v = mem_zalloc(out->n, sizeof(out->v[0]));
	memcpy(out->v, listed[l->links], sizeof(listed[0]));
}

void
shared_listing_free(struct shared_listing **l)
{
	free(*l);
	*l = NULL;
}

/* --- messages that are gone ----------------------------------------------- */

void
fake_note_vanished(struct mailbox *m, uint32_t uid)
{
	if (m->n_vanished == FAKE_MESSAGES_MAX)
		return;
	m->vanished[m->n_vanished++] =
	    (struct fake_vanished){ .uid = uid, .modseq = m->modseq };
}

static const struct fake_vanished *
find_vanished(const struct mailbox *m, uint32_t uid)
{
	for (size_t k = 0; k < m->n_vanished; k++)
		if (m->vanished[k].uid == uid)
			return &m->vanished[k];
	return NULL;
}

int
mailbox_vanished(struct mailbox *m, uint64_t since, struct uid_range **v,
    size_t *n, bool *complete, struct err *e)
{
	struct uid_range *to;
	int rc = fake_busy();

	(void)e;
	if (rc != 0)
		return rc;
	to = mem_zalloc(FAKE_MESSAGES_MAX, sizeof(*to));
	*v = to;
	*n = 0;
	*complete = fake_store.remembers && m->n_vanished < FAKE_MESSAGES_MAX;
	for (uint32_t uid = 1; uid < m->uidnext; uid++) {
		const struct fake_vanished *gone = find_vanished(m, uid);

		if (!fake_store.remembers || gone == NULL ||
		    gone->modseq <= since)
			continue;
		if (*n != 0 && to[*n - 1].last == uid - 1)
			to[*n - 1].last = uid;
		else
			to[(*n)++] = (struct uid_range){ uid, uid };
	}
	return 0;
}
