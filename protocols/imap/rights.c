/*
 * Where mailboxes are, and who may do what there (RFC 4314).
 *
 * A name is that of a mailbox of the session's own account, or begins with
 * "#shared." and leads through the index of shared mailboxes to somebody
 * else's, or with "shared." and leads to another Maildir by link.  Each command
 * that is about a mailbox comes through imap_reach(), the one place that looks
 * at access control lists.  Commands that are about the selected mailbox look
 * at i->rights: imap_rights_check() sees before each of them whether the file
 * that they came from is still the same.
 */
#include "protocols/imap/rights.h"

#include "base/account_option.h"
#include "protocols/imap/names.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum { GROUPS_MAX = 100, NAME_BYTES = 8192 };

/* Whoever has one of these may know that a mailbox exists. */
enum {
	KNOWING = ACL_LOOKUP | ACL_READ | ACL_INSERT | ACL_CREATE |
	    ACL_DELETE_MAILBOX | ACL_ADMINISTER,
};

static struct slice
options(const struct imap_session *i)
{
	return slice_str(i->options);
}

static bool
is_disabled(const struct imap_session *i)
{
	return account_option_is_on(options(i), SLICE("disableshared"));
}

/* --- the user ------------------------------------------------------------ */

struct acl_who
imap_who(struct imap_session *i, bool own)
{
	struct slice rest = options(i), name, value;
	struct slice *v =
	    arena_zalloc(&i->arena, GROUPS_MAX + 2, sizeof(struct slice));
	size_t n = 0;

	assert(v != NULL);
	if (own)
		v[n++] = SLICE("owner");
	v[n++] = imap_join(i, SLICE("user="), slice_str(i->identity));
	while (n < GROUPS_MAX + 2 && account_option_next(&rest, &name, &value))
		if (slice_eq(name, SLICE("group")) && value.n != 0)
			v[n++] = imap_join(i, SLICE("group="), value);
	return (struct acl_who){ v, n };
}

/* --- shared mailboxes ---------------------------------------------------- */

bool
imap_has_shared(const struct imap_session *i)
{
	return i->opt->shared_index != NULL &&
	    i->opt->shared_index[0] != '\0' && !is_disabled(i);
}

struct shared_options
imap_shared(struct imap_session *i)
{
	struct shared_options o = { NULL, i->opt->shared_munge,
		is_disabled(i) ? NULL : i->opt->shared_links };
	struct slice group = SLICE(""), path;

	if (!imap_has_shared(i))
		return o;
	(void)!account_option_get(options(i), SLICE("sharedgroup"), &group);
	/* an index beside the others, nowhere else */
	if (slice_has(group, '/'))
		return o;
	path = imap_join(i, slice_str(i->opt->shared_index), group);
	o.index = (const char *)imap_join(i, path, slice_of("", 1)).p;
	return o;
}

bool
imap_has_links(struct imap_session *i)
{
	struct shared_options o = imap_shared(i);

	return shared_links_exist(i->account, &o);
}

/* --- rights -------------------------------------------------------------- */

/* *no_list, unless NULL: whether they come from no list at all. */
static int
rights_at(struct imap_session *i, const struct imap_place *p, struct slice name,
    unsigned *rights, bool *no_list, struct err *e)
{
	struct acl a;
	int rc;

	acl_init(&a);
	rc = account_acl(p->account, name, &a, e);
	/* a list that can't take the entry is full: then it alone counts */
	if (rc == 0 && p->link)
		(void)!acl_add(
		    &a, SLICE("anyone"), account_link_rights(p->account, name));
	if (rc == 0)
		*rights = acl_effective(&a, imap_who(i, p->own));
	if (no_list != NULL)
		*no_list = a.by_default;
	acl_fini(&a);
	/* as Courier: who has no part in sharing changes no lists, either */
	if (rc == 0 && is_disabled(i))
		*rights &= ~(unsigned)ACL_ADMINISTER;
	return rc;
}

static int
visit(struct imap_session *i, struct slice name, struct imap_place *out,
    struct err *e)
{
	struct shared_options o = imap_shared(i);
	struct buf path, mailbox;
	int rc;

	assert(i->n_visited < NELEMS(i->visited));
	buf_init(&path, NAME_BYTES);
	buf_init(&mailbox, NAME_BYTES);
	rc = out->link
	    ? shared_link_find(i->account, &o, name, &path, &mailbox, e)
	    : shared_find(i->account, &o, name, &path, &mailbox, e);
	if (rc == 0) {
		rc = account_visit(
		    i->account, buf_cstr(&path), &out->account, e);
		/* it isn't on this machine, or not ours to serve */
		if (rc == ERR_DENIED)
			imap_log_error(i, "a shared account", rc, e);
		if (rc != 0)
			rc = ERR_NOT_FOUND;
	}
	if (rc == 0) {
		i->visited[i->n_visited++] = out->account;
		out->name = arena_dup(&i->arena, buf_slice(&mailbox));
	}
	buf_fini(&mailbox);
	buf_fini(&path);
	return rc;
}

static int
find(struct imap_session *i, struct slice name, struct imap_place *out,
    struct err *e)
{
	*out = (struct imap_place){
		.account = i->account, .name = name, .own = true
	};
	out->link = slice_starts(name, SLICE(SHARED_LINK_ROOT "."));
	if (!out->link && !slice_starts(name, SLICE(SHARED_ROOT ".")))
		return 0;
	out->own = false;
	return visit(i, name, out, e);
}

void
imap_leave(struct imap_session *i)
{
	while (i->n_visited != 0)
		account_release(&i->visited[--i->n_visited]);
}

/* What is answered to who lacks a right. */
static int
refusal(const struct imap_place *p, struct err *e)
{
	if (!p->own && (p->rights & KNOWING) == 0)
		return err_set(e, ERR_NOT_FOUND, "no such mailbox");
	/* what doesn't exist inherits rights, but that isn't what matters */
	if (account_exists(p->account, p->name, NULL) == ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND, "no such mailbox");
	return err_set(e, ERR_NO_RIGHT, "a right is missing");
}

int
imap_reach(struct imap_session *i, struct slice name, unsigned need,
    struct imap_place *out, struct err *e)
{
	int rc = find(i, name, out, e);

	if (rc == 0)
		rc = rights_at(
		    i, out, out->name, &out->rights, &out->no_list, e);
	if (rc != 0)
		return rc;
	return (out->rights & need) == need ? 0 : refusal(out, e);
}

int
imap_reach_any(struct imap_session *i, struct slice name,
    struct imap_place *out, struct err *e)
{
	int rc = imap_reach(i, name, 0, out, e);

	if (rc == 0 && (out->rights & KNOWING) == 0)
		return err_set(e, ERR_NOT_FOUND, "no such mailbox");
	return rc != 0 ? rc : account_acl_known(out->account, out->name, e);
}

int
imap_reach_parent(struct imap_session *i, struct slice name, unsigned need,
    struct imap_place *out, struct err *e)
{
	struct slice parent;
	int rc = find(i, name, out, e);

	if (rc != 0)
		return rc;
	parent = slice_first(out->name, slice_rfind(out->name, '.'));
	rc = rights_at(i, out, parent, &out->rights, NULL, e);
	if (rc != 0 || (out->rights & need) == need)
		return rc;
	if (!out->own && (out->rights & KNOWING) == 0)
		return err_set(e, ERR_NOT_FOUND, "no such mailbox");
	return err_set(e, ERR_NO_RIGHT, "a right is missing");
}

bool
imap_may_tell_uids(const struct imap_place *p)
{
	return (p->rights & ACL_READ) != 0;
}

uint32_t
imap_flags_denied(unsigned rights)
{
	uint32_t denied = 0;

	if ((rights & ACL_SEEN) == 0)
		denied |= MESSAGE_SEEN;
	if ((rights & ACL_DELETE_MESSAGES) == 0)
		denied |= MESSAGE_DELETED;
	if ((rights & ACL_WRITE) == 0)
		denied |= MESSAGE_FLAGS_ALL &
		    ~(uint32_t)(MESSAGE_SEEN | MESSAGE_DELETED);
	return denied;
}

void
imap_put_rights(struct buf *out, unsigned rights)
{
	static const struct {
		char letter;
		unsigned any; /* of these */
	} letters[] = {
		/* RFC 4314 2.1.1: c and d for clients of RFC 2086 */
		{ 'a', ACL_ADMINISTER },
		{ 'c', ACL_CREATE },
		{ 'd', ACL_EXPUNGE | ACL_DELETE_MESSAGES | ACL_DELETE_MAILBOX },
		{ 'e', ACL_EXPUNGE },
		{ 'i', ACL_INSERT },
		{ 'k', ACL_CREATE },
		{ 'l', ACL_LOOKUP },
		{ 'r', ACL_READ },
		{ 's', ACL_SEEN },
		{ 't', ACL_DELETE_MESSAGES },
		{ 'w', ACL_WRITE },
		{ 'x', ACL_DELETE_MAILBOX },
	};

	buf_putc(out, '"');
	for (size_t k = 0; k < NELEMS(letters); k++)
		if ((rights & letters[k].any) != 0)
			buf_putc(out, (uint8_t)letters[k].letter);
	buf_putc(out, '"');
}

bool
imap_may_write(unsigned rights)
{
	return (rights &
		   (ACL_INSERT | ACL_EXPUNGE | ACL_SEEN | ACL_WRITE |
		       ACL_DELETE_MESSAGES)) != 0;
}

/* --- the selected mailbox ------------------------------------------------ */

/* RFC 4314 5.1.1; RFC 3501 7.1: READ-ONLY, READ-WRITE */
static void
tell_rights(struct imap_session *i, unsigned rights)
{
	struct buf *out = &i->s.out;
	bool read_only = i->examined || !imap_may_write(rights);

	i->rights = rights;
	if (read_only != i->read_only)
		imap_put_untagged(out, "OK [READ-%s] Rights were changed.",
		    read_only ? "ONLY" : "WRITE");
	i->read_only = read_only;
	imap_sync_flags(i);
	buf_puts(out, "* OK [MYRIGHTS ");
	imap_put_rights(out, rights);
	buf_puts(out, "] ACL\r\n");
}

int
imap_rights_check(struct imap_session *i, struct err *e)
{
	struct imap_place p = {
		.account = i->selected_in, .own = i->own, .link = i->link
	};
	struct acl_print seen;
	unsigned rights = i->rights;
	int rc = 0;

	if (i->mailbox == NULL || mailbox_gone(i->mailbox))
		return 0;
	mailbox_acl_print(i->mailbox, &seen);
	/* of a link the modes count as well */
	if (i->link || !acl_print_same(&seen, &i->acl_seen)) {
		/* an IDLE comes here again and again, and keeps nothing */
		struct arena_mark mark = arena_mark(&i->arena);

		rc = rights_at(
		    i, &p, mailbox_name(i->mailbox), &rights, NULL, e);
		arena_rewind(&i->arena, mark);
	}
	if (rc != 0)
		return rc;
	/* not all who look end the session: it is looked again then */
	if ((rights & ACL_READ) == 0)
		return err_set(e, ERR_NO_RIGHT, "the right to read is gone");
	i->acl_seen = seen;
	if (rights != i->rights)
		tell_rights(i, rights);
	return 0;
}

enum step
imap_rights_lost(struct imap_session *i)
{
	return imap_bye(i, SESSION_ERROR,
	    "The right to read the selected mailbox was taken away.");
}
