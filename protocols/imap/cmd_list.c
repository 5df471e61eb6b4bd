/* LIST and LSUB, RFC 3501 6.3.8 and 6.3.9; RFC 3348 (CHILDREN). */
#include <stdlib.h>

#include "protocols/imap/acl.h"
#include "protocols/imap/names.h"
#include "protocols/imap/pattern.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum {
	PIECE_COST = 64 * 1024, /* a piece of a Maildir is looked through */
	TOLD_COST = 32 * 1024,	/* a list is read for it */
};

struct list_args {
	struct slice pattern; /* reference and pattern, UTF-8 */
	bool root;	      /* pattern "": only the separator is asked for */
	bool nothing;	      /* it can match no name */
	bool lsub, percent;
	unsigned tell; /* ACL_LIST_… */
	bool links;    /* all that the pattern matches is in "shared." */
	/* while they are looked for */
	struct account_listing *own;
	struct shared_listing *shared;
	struct mailbox_list list;
	size_t at;
};

/* Courier's, of ACL2=UNION: SP "(" words ")"; others than these are passed
 * over. */
static enum parse
parse_options(struct imap_lex *lx, struct list_args *a)
{
	struct slice word;
	enum parse r;

	if (!slice_starts(slice_skip(lx->in, lx->pos), SLICE(" (")))
		return PARSE_OK;
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_open(lx)) != PARSE_OK)
		return r;
	while (imap_lex_peek(lx) != ')') {
		if ((r = imap_lex_atom(lx, &word)) != PARSE_OK)
			return r;
		if (slice_ieq(word, SLICE("ACL")))
			a->tell |= ACL_LIST_LISTS;
		if (slice_ieq(word, SLICE("MYRIGHTS")))
			a->tell |= ACL_LIST_RIGHTS;
		if (imap_lex_peek(lx) != ')' &&
		    (r = imap_lex_space(lx)) != PARSE_OK)
			return r;
	}
	return imap_lex_close(lx);
}

static enum parse
parse_pattern(struct imap_session *i, struct imap_lex *lx, struct list_args *a)
{
	struct slice reference, pattern;
	enum parse r;

	if ((r = parse_options(lx, a)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_astring(i, lx, &reference)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_list_mailbox(lx, &pattern)) != PARSE_OK)
		return r;
	pattern = imap_unquote(lx, pattern, &i->arena);
	a->root = pattern.n == 0;
	a->percent = slice_has(pattern, '%');
	a->nothing = reference.n + pattern.n > IMAP_PATTERN_MAX ||
	    !imap_name_decode(i, imap_join(i, reference, pattern), &a->pattern);
	return PARSE_OK;
}

enum parse
imap_parse_list(struct imap_session *i, struct imap_lex *lx)
{
	struct list_args *a = IMAP_ARGS(i, struct list_args);
	enum parse r = parse_pattern(i, lx, a);

	if (r != PARSE_OK)
		return r;
	a->lsub = slice_eq(i->cmd->name, SLICE("LSUB"));
	return imap_lex_crlf(lx);
}

static void
list_cleanup(struct imap_session *i)
{
	struct list_args *a = i->args;

	account_listing_free(&a->own);
	shared_listing_free(&a->shared);
	mailbox_list_fini(&a->list);
}

/* Whether a name, or all that a pattern matches, is in "#shared.". */
static bool
is_shared(struct slice s)
{
	return slice_starts(s, SLICE(SHARED_ROOT "."));
}

/* The same for "shared.". */
static bool
is_link(struct slice s)
{
	return slice_starts(s, SLICE(SHARED_LINK_ROOT "."));
}

/* --- one line ------------------------------------------------------------ */

static void
put_attrs(struct buf *out, const struct list_args *a, unsigned attrs,
    bool no_inferiors)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{ MAILBOX_NOSELECT, "\\Noselect" },
		{ MAILBOX_MARKED, "\\Marked" },
		{ MAILBOX_UNMARKED, "\\Unmarked" },
	};
	bool first = true;

	buf_putc(out, '(');
	for (size_t k = 0; k < NELEMS(names); k++) {
		if ((attrs & names[k].bit) == 0)
			continue;
		buf_putf(out, "%s%s", first ? "" : " ", names[k].name);
		first = false;
	}
	/* RFC 3348 3 */
	if (!a->lsub)
		buf_putf(out, "%s\\%s", first ? "" : " ",
		    (attrs & MAILBOX_HAS_CHILDREN) != 0 ? "HasChildren"
			: no_inferiors			? "NoInferiors"
							: "HasNoChildren");
	buf_putc(out, ')');
}

static void
put_line(struct imap_session *i, struct slice name, unsigned attrs)
{
	const struct list_args *a = i->args;
	struct buf *out = &i->s.out;

	buf_puts(out, a->lsub ? "* LSUB " : "* LIST ");
	if (!i->opt->mark_all && !slice_eq(name, SLICE("INBOX")))
		attrs &= ~(unsigned)(MAILBOX_MARKED | MAILBOX_UNMARKED);
	put_attrs(out, a, attrs, i->opt->no_inferiors);
	buf_puts(out, " \".\" ");
	imap_put_name(i, out, name);
	if (a->tell != 0)
		imap_acl_put_listed(i, name, a->tell);
	buf_puts(out, "\r\n");
}

/* --- LSUB ---------------------------------------------------------------- */

/* INBOX first, then by bytes, as the store has them. */
static int
order_entries(const void *x, const void *y)
{
	const struct mailbox_entry *a = x, *b = y;
	bool ia = slice_eq(a->name, SLICE("INBOX"));
	bool ib = slice_eq(b->name, SLICE("INBOX"));

	if (ia != ib)
		return ia ? -1 : 1;
	return slice_cmp(a->name, b->name);
}

static bool
is_subscribed(const struct mailbox_list *l, struct slice name)
{
	const struct mailbox_entry key = { .name = name };

	return bsearch(&key, l->v, l->n, sizeof(*l->v), order_entries) != NULL;
}

/* Whether name is parent or stands below it. */
static bool
is_below(struct slice name, struct slice parent)
{
	return slice_starts(name, parent) &&
	    (name.n == parent.n || name.p[parent.n] == '.');
}

/*
 * RFC 3501 6.3.9: with "%" a name that matches no further than one of its
 * parents is told of by that parent, as \Noselect, once.  Names are sorted,
 * so that those below one parent stand together.
 */
static void
put_parents(struct imap_session *i, const struct list_args *a)
{
	struct slice name = a->list.v[a->at].name;
	struct slice before =
	    a->at != 0 ? a->list.v[a->at - 1].name : SLICE("");

	for (size_t n = 1; n < name.n; n++) {
		struct slice parent = slice_first(name, n);

		if (name.p[n] != '.' || is_below(before, parent) ||
		    !imap_pattern_match(a->pattern, parent) ||
		    is_subscribed(&a->list, parent))
			continue;
		put_line(i, parent, MAILBOX_NOSELECT);
	}
}

/* --- the namespace's prefix ---------------------------------------------- */

/* What is below "INBOX.shared" is told whole (imap_name_shown()), so "shared",
 * if there is such a mailbox, is told as the parent of none. */
static void
show_name(const struct imap_session *i, struct mailbox_entry *e)
{
	struct slice name = imap_name_shown(i, e->name);

	if (slice_eq(name, SLICE(SHARED_LINK_ROOT))) {
		if ((e->attrs & MAILBOX_NOSELECT) != 0)
			return;
		e->attrs &= ~(unsigned)MAILBOX_HAS_CHILDREN;
	}
	e->name = name;
}

/*
 * The store's names become those that the client is told.  Where they lose
 * their prefix, INBOX has no other children than what can't do without it.
 * A pattern that begins with "INBOX." asks for names in that form: so do
 * clients that are set up with this prefix.
 */
static void
show_names(struct imap_session *i, struct list_args *a)
{
	struct mailbox_list *l = &a->list;
	unsigned children = 0;

	if (!i->opt->no_prefix || imap_name_is_complete(a->pattern))
		return;
	for (size_t k = 0; k < l->n; k++) {
		show_name(i, &l->v[k]);
		if (imap_name_is_complete(l->v[k].name))
			children = MAILBOX_HAS_CHILDREN;
	}
	for (size_t k = 0; k < l->n; k++)
		if (slice_eq(l->v[k].name, SLICE("INBOX")))
			l->v[k].attrs = children |
			    (l->v[k].attrs & ~(unsigned)MAILBOX_HAS_CHILDREN);
	if (l->n != 0)
		qsort(l->v, l->n, sizeof(*l->v), order_entries);
}

/* --- the steps ----------------------------------------------------------- */

static enum step
listing_fn(struct imap_session *i)
{
	struct list_args *a = i->args;

	for (; a->at < a->list.n; a->at++) {
		const struct mailbox_entry *e = &a->list.v[a->at];

		if (imap_output_full(i))
			return STEP_WAIT_OUTPUT;
		if (imap_spend(i,
			e->name.n * (a->pattern.n + 1) +
			    (a->tell != 0 ? TOLD_COST : 0)))
			return STEP_YIELD;
		/* as Courier: they are asked for by their namespace */
		if ((is_shared(e->name) && !is_shared(a->pattern)) ||
		    (is_link(e->name) && !a->links))
			continue;
		if (imap_pattern_match(a->pattern, e->name))
			put_line(i, e->name, e->attrs);
		else if (a->lsub && a->percent)
			put_parents(i, a);
	}
	return imap_finish(
	    i, "OK", "%s completed.", (const char *)i->cmd->name.p);
}

static const struct imap_step step_listing = { "listing", listing_fn, false };

static enum step
sharing_fn(struct imap_session *i)
{
	struct list_args *a = i->args;
	struct err e = { .code = 0 };
	int rc;

	while ((rc = shared_listing_step(a->shared, &e)) == 1)
		if (imap_spend(i, PIECE_COST))
			return STEP_YIELD;
	if (rc < 0)
		return imap_fail(i, "listing shared mailboxes", rc, &e);
	shared_listing_take(a->shared, &a->list);
	return imap_goto(i, &step_listing);
}

static const struct imap_step step_sharing = { "listing shared", sharing_fn,
	false };

/* LIST of the mailboxes of others that one may see. */
static enum step
begin_sharing(struct imap_session *i, struct list_args *a)
{
	struct shared_options o = imap_shared(i);
	size_t n = 0;

	while (n < a->pattern.n && a->pattern.p[n] != '*' &&
	    a->pattern.p[n] != '%')
		n++;
	a->shared = shared_listing_new(
	    i->account, &o, imap_who(i, false), slice_first(a->pattern, n));
	i->cleanup = list_cleanup;
	return imap_goto(i, &step_sharing);
}

static enum step
collecting_fn(struct imap_session *i)
{
	struct list_args *a = i->args;
	struct err e = { .code = 0 };
	int rc;

	while ((rc = account_listing_step(a->own, &e)) == 1)
		if (imap_spend(i, PIECE_COST))
			return STEP_YIELD;
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0)
		return imap_fail(i, "listing mailboxes", rc, &e);
	account_listing_take(a->own, &a->list);
	show_names(i, a);
	return imap_goto(i, &step_listing);
}

static const struct imap_step step_collecting = { "listing mailboxes",
	collecting_fn, false };

static enum step
begin_collecting(struct imap_session *i, struct list_args *a)
{
	a->own = account_listing_new(i->account, i->opt->mark_all);
	i->cleanup = list_cleanup;
	return imap_goto(i, &step_collecting);
}

static enum step
list_fn(struct imap_session *i)
{
	struct list_args *a = i->args;
	struct err e = { .code = 0 };
	int rc;

	/* RFC 3501 6.3.8: the separator, and the root of the reference */
	if (a->root) {
		imap_put_untagged(&i->s.out, "%s (\\Noselect) \".\" \"\"",
		    (const char *)i->cmd->name.p);
		a->nothing = true;
	}
	if (a->nothing)
		return imap_finish(
		    i, "OK", "%s completed.", (const char *)i->cmd->name.p);
	a->links = is_link(a->pattern) && imap_has_links(i);
	if (!a->lsub && (is_shared(a->pattern) || a->links))
		return begin_sharing(i, a);
	if (!a->lsub)
		return begin_collecting(i, a);
	rc = account_subscriptions(i->account, &a->list, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0)
		return imap_fail(i, "listing subscriptions", rc, &e);
	i->cleanup = list_cleanup;
	show_names(i, a);
	return imap_goto(i, &step_listing);
}

const struct imap_step imap_step_list = { "LIST", list_fn, false };
