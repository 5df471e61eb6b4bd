/* CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE. */
#include "maildir/account_change.h"
#include "protocols/imap/names.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

struct name_args {
	struct slice name, to;
	struct slice selected; /* RENAME: name of the selected mailbox then */
	bool bad_name;
	struct imap_place place, target;
	struct account_change *change;
	/* what comes after it; NULL: the end */
	const struct imap_step *then;
	/* look (again) where the mailboxes are, and whether it may be done */
	struct imap_session *session;
	int (*reach)(struct imap_session *i, struct name_args *a,
	    struct imap_place *place, struct imap_place *target, struct err *e);
};

static enum parse
parse_names(struct imap_session *i, struct imap_lex *lx, bool two)
{
	struct name_args *a = IMAP_ARGS(i, struct name_args);
	bool bad_to = false;
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_mailbox(i, lx, &a->name, &a->bad_name)) != PARSE_OK)
		return r;
	if (two &&
	    ((r = imap_lex_space(lx)) != PARSE_OK ||
		(r = imap_parse_mailbox(i, lx, &a->to, &bad_to)) != PARSE_OK))
		return r;
	a->bad_name = a->bad_name || bad_to;
	return imap_lex_crlf(lx);
}

static void
names_cleanup(struct imap_session *i)
{
	struct name_args *a = i->args;

	account_change_free(&a->change);
}

enum step
imap_change_step(struct imap_session *i, struct account_change **change,
    int *rc, struct err *e)
{
	enum step st = account_change_step(*change, i->s.waker, rc, e);

	if (st == STEP_WAIT_PEER) {
		if (imap_retry(i, ERR_BUSY))
			return STEP_WAIT_PEER;
		*rc = ERR_BUSY;
	} else if (st != STEP_DONE) {
		return st;
	}
	account_change_free(change);
	return STEP_DONE;
}

static enum step
changing_fn(struct imap_session *i)
{
	struct name_args *a = i->args;
	struct err e = { .code = 0 };
	int rc = 0;
	enum step st = imap_change_step(i, &a->change, &rc, &e);

	if (st != STEP_DONE)
		return st;
	if (rc == 0 && a->then != NULL)
		return imap_goto(i, a->then);
	return rc == 0 ? imap_finish_rc(i, 0, NULL)
		       : imap_fail(i, (const char *)i->cmd->name.p, rc, &e);
}

static const struct imap_step step_changing = { "changing", changing_fn, true };

static bool
same_place(const struct imap_place *a, const struct imap_place *b)
{
	return a->account == b->account && slice_eq(a->name, b->name);
}

/* It is the change's turn (maildir/account_change.h): others may have changed
 * the lists since the command began. */
static int
still_may(void *arg, struct err *e)
{
	struct name_args *a = arg;
	struct imap_session *i = a->session;
	struct arena_mark mark = arena_mark(&i->arena);
	struct imap_place place = { .account = NULL }, target = { .own = true };
	int rc;

	imap_leave(i);
	rc = a->reach(i, a, &place, &target, e);
	/* an index or a link leads elsewhere now */
	if (rc == 0 &&
	    (!same_place(&place, &a->place) ||
		!same_place(&target, &a->target)))
		rc = err_set(e, ERR_NOT_FOUND, "no such mailbox");
	arena_rewind(&i->arena, mark);
	return rc;
}

static int
reach_first(struct imap_session *i,
    int (*reach)(struct imap_session *i, struct name_args *a,
	struct imap_place *place, struct imap_place *target, struct err *e),
    struct err *e)
{
	struct name_args *a = i->args;

	a->session = i;
	a->reach = reach;
	a->place = (struct imap_place){ .account = NULL };
	a->target = (struct imap_place){ .own = true };
	imap_leave(i);
	return reach(i, a, &a->place, &a->target, e);
}

static enum step
begin_change(struct imap_session *i, struct account_change *change,
    const struct imap_step *then)
{
	struct name_args *a = i->args;

	if (a->reach != NULL)
		account_change_guard(change, still_may, a);
	a->change = change;
	a->then = then;
	i->cleanup = names_cleanup;
	return imap_goto(i, &step_changing);
}

/* A name without the separator that may end it. */
static struct slice
without_separator(struct slice name)
{
	if (slice_ends(name, SLICE(".")))
		name.n--;
	return name;
}

/* --- CREATE, RFC 3501 6.3.3 ---------------------------------------------- */

enum parse
imap_parse_create(struct imap_session *i, struct imap_lex *lx)
{
	return parse_names(i, lx, false);
}

/* RFC 8474 4.1: the OK tells its id. */
static enum step
created_fn(struct imap_session *i)
{
	struct name_args *a = i->args;
	struct err e = { .code = 0 };
	struct mailbox *m = NULL;
	struct buf id;
	enum step st;
	int rc = mailbox_open(a->place.account, a->place.name, &m, &e);

	if (rc != 0)
		return imap_finish_rc(i, rc, &e);
	buf_init(&id, 64);
	imap_put_object_id(&id, 'F', mailbox_object_id(m));
	mailbox_close(&m);
	st = imap_finish(
	    i, "OK", "[MAILBOXID %s] CREATE completed.", buf_cstr(&id));
	buf_fini(&id);
	return st;
}

static const struct imap_step step_created = { "CREATE id", created_fn, false };

static int
reach_create(struct imap_session *i, struct name_args *a,
    struct imap_place *place, struct imap_place *target, struct err *e)
{
	(void)target;
	return imap_reach_parent(i, a->name, ACL_CREATE, place, e);
}

static enum step
create_fn(struct imap_session *i)
{
	struct name_args *a = i->args;
	struct err e = { .code = 0 };
	int rc;

	if (a->bad_name || !imap_name_is_net_unicode(a->name))
		return imap_bad_name(i);
	/* RFC 3501 6.3.3: a trailing separator says that children will be
	 * made; the name created is without it */
	a->name = without_separator(a->name);
	rc = reach_first(i, reach_create, &e);
	if (rc != 0)
		return imap_finish_rc(i, rc, &e);
	return begin_change(
	    i, account_create(a->place.account, a->place.name), &step_created);
}

const struct imap_step imap_step_create = { "CREATE", create_fn, false };

/* --- DELETE, RFC 3501 6.3.4 ---------------------------------------------- */

enum parse
imap_parse_delete(struct imap_session *i, struct imap_lex *lx)
{
	return parse_names(i, lx, false);
}

/* Courier's: the trash stays where it is. */
static bool
is_trash(struct imap_session *i, const struct imap_place *p)
{
	return i->opt->trash != NULL &&
	    slice_eq(p->name, slice_str(i->opt->trash));
}

static bool
is_inbox(const struct imap_place *p)
{
	return slice_eq(p->name, SLICE("INBOX"));
}

static int
reach_delete(struct imap_session *i, struct name_args *a,
    struct imap_place *place, struct imap_place *target, struct err *e)
{
	(void)target;
	return imap_reach(i, a->name, ACL_DELETE_MAILBOX, place, e);
}

static enum step
delete_fn(struct imap_session *i)
{
	struct name_args *a = i->args;
	struct err e = { .code = 0 };
	int rc;

	if (a->bad_name)
		return imap_fail(i, "DELETE", ERR_NOT_FOUND, NULL);
	rc = reach_first(i, reach_delete, &e);
	if (rc != 0)
		return imap_finish_rc(i, rc, &e);
	if (is_inbox(&a->place))
		return imap_finish(
		    i, "NO", "[CANNOT] INBOX cannot be deleted.");
	if (is_trash(i, &a->place))
		return imap_finish(
		    i, "NO", "[CANNOT] The trash cannot be deleted.");
	if (i->mailbox != NULL && i->selected_in == a->place.account &&
	    slice_eq(a->place.name, mailbox_name(i->mailbox)))
		return imap_finish(
		    i, "NO", "[INUSE] The selected mailbox cannot be deleted.");
	return begin_change(
	    i, account_delete(a->place.account, a->place.name), NULL);
}

const struct imap_step imap_step_delete = { "DELETE", delete_fn, false };

/* --- RENAME, RFC 3501 6.3.5 ---------------------------------------------- */

enum parse
imap_parse_rename(struct imap_session *i, struct imap_lex *lx)
{
	return parse_names(i, lx, true);
}

/*
 * The name that the selected mailbox has after the renaming, in the arena;
 * false if it keeps its own.  INBOX and its children keep theirs: only its
 * messages move.
 */
static bool
selected_name(
    struct imap_session *i, const struct name_args *a, struct slice *name)
{
	struct slice own, rest, from = a->place.name, to = a->target.name;
	uint8_t *p;

	if (i->mailbox == NULL || i->selected_in != a->place.account ||
	    is_inbox(&a->place))
		return false;
	own = mailbox_name(i->mailbox);
	rest = slice_skip(own, from.n);
	if (!slice_starts(own, from) || (rest.n != 0 && rest.p[0] != '.'))
		return false;
	p = arena_alloc(&i->arena, to.n + rest.n + 1);
	assert(p != NULL);
	memcpy(p, to.p, to.n);
	if (rest.n != 0)
		memcpy(p + to.n, rest.p, rest.n);
	*name = slice_of(p, to.n + rest.n);
	return true;
}

/*
 * The selected mailbox under its new name.  UIDs went along with it, so the
 * view that the client knows still is good; what changed is told as ever.
 */
static enum step
reselect_fn(struct imap_session *i)
{
	struct name_args *a = i->args;
	struct imap_place here = { .account = i->selected_in,
		.name = a->selected,
		.rights = i->rights,
		.own = i->own,
		.link = i->link };
	struct mailbox *m = NULL;
	struct err e = { .code = 0 };
	int rc = 0;

	if (mailbox_gone(i->mailbox))
		rc = mailbox_open(here.account, here.name, &m, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0) /* the end of the command sees to it */
		imap_log_error(i, "RENAME", rc, &e);
	if (m != NULL) {
		mailbox_unlisten(&i->listener);
		mailbox_close(&i->mailbox);
		imap_selected(i, m, &here, i->examined);
		i->changed = true;
	}
	return imap_finish_rc(i, 0, NULL);
}

static const struct imap_step step_reselect = { "RENAME selected", reselect_fn,
	false };

/* RFC 4314 4: x for the mailbox, k (here c) for its new parent. */
static int
reach_both(struct imap_session *i, struct name_args *a,
    struct imap_place *place, struct imap_place *target, struct err *e)
{
	int rc = imap_reach(i, a->name, ACL_DELETE_MAILBOX, place, e);

	if (rc != 0)
		return rc;
	return imap_reach_parent(i, a->to, ACL_CREATE, target, e);
}

static enum step
rename_fn(struct imap_session *i)
{
	struct name_args *a = i->args;
	struct err e = { .code = 0 };
	bool is_selected;
	int rc;

	if (a->bad_name || !imap_name_is_net_unicode(a->to))
		return imap_bad_name(i);
	a->to = without_separator(a->to);
	rc = reach_first(i, reach_both, &e);
	if (rc != 0)
		return imap_finish_rc(i, rc, &e);
	if (is_trash(i, &a->place) || (is_inbox(&a->place) && !a->place.own) ||
	    a->place.account != a->target.account)
		return imap_finish(
		    i, "NO", "[CANNOT] That can't be renamed so.");
	is_selected = selected_name(i, a, &a->selected);
	return begin_change(i,
	    account_rename(a->place.account, a->place.name, a->target.name),
	    is_selected ? &step_reselect : NULL);
}

const struct imap_step imap_step_rename = { "RENAME", rename_fn, false };

/* --- SUBSCRIBE and UNSUBSCRIBE, RFC 3501 6.3.6, 6.3.7 --------------------- */

enum parse
imap_parse_subscribe(struct imap_session *i, struct imap_lex *lx)
{
	return parse_names(i, lx, false);
}

/* As Courier: only a folder that is there can be subscribed to, for there will
 * be a link to it. */
static int
reach_link(struct imap_session *i, struct name_args *a, struct err *e)
{
	int rc;

	imap_leave(i);
	rc = imap_reach(i, a->name, ACL_LOOKUP, &a->place, e);
	return rc != 0 ? rc
		       : account_exists(a->place.account, a->place.name, e);
}

static enum step
subscribe_fn(struct imap_session *i)
{
	struct name_args *a = i->args;
	struct err e = { .code = 0 };
	bool on = slice_eq(i->cmd->name, SLICE("SUBSCRIBE"));
	struct shared_options o;
	int rc;

	if (a->bad_name)
		return imap_bad_name(i);
	a->name = without_separator(a->name);
	if (!slice_starts(a->name, SLICE(SHARED_LINK_ROOT ".")))
		return begin_change(
		    i, account_subscribe(i->account, a->name, on), NULL);
	if (on && (rc = reach_link(i, a, &e)) != 0)
		return imap_finish_rc(i, rc, &e);
	o = imap_shared(i);
	return begin_change(
	    i, account_subscribe_link(i->account, &o, a->name, on), NULL);
}

const struct imap_step imap_step_subscribe = { "SUBSCRIBE", subscribe_fn,
	false };
