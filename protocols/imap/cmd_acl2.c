/*
 * ACL STORE, ACL SET, ACL DELETE: what is left in Courier of
 * draft-ietf-imapext-acl 2, which ACL2=UNION tells of: several mailboxes at
 * once, identifiers as in the files.  Each list is told in a LIST response,
 * each mailbox whose list stays as it was in an ACLFAILED or RIGHTS-INFO
 * response.
 */
#include "protocols/imap/acl.h"
#include "protocols/imap/names.h"
#include "protocols/imap/nstring.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/writer.h"

enum { ACL2_MAILBOXES_MAX = 100, ACL2_ENTRIES_MAX = 200 };
enum acl2_verb { ACL2_STORE, ACL2_SET, ACL2_DELETE };

struct acl2_args {
	enum acl2_verb verb;
	struct acl_args at[ACL2_MAILBOXES_MAX];
	size_t n, at_now, failed;
	struct arena_mark mark; /* before the one at_now */
	struct acl_args entry[ACL2_ENTRIES_MAX];
	size_t n_entries;
};

static const struct slice acl2_verbs[] = { SLICE_INIT("STORE"),
	SLICE_INIT("SET"), SLICE_INIT("DELETE") };

static enum parse
parse_verb(struct imap_lex *lx, enum acl2_verb *out)
{
	struct slice word;
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_atom(lx, &word)) != PARSE_OK)
		return r;
	for (size_t k = 0; k < NELEMS(acl2_verbs); k++)
		if (slice_ieq(word, acl2_verbs[k])) {
			*out = (enum acl2_verb)k;
			return PARSE_OK;
		}
	lx->why = "STORE, SET or DELETE is expected";
	return PARSE_BAD;
}

static enum parse
parse_one_mailbox(
    struct imap_session *i, struct imap_lex *lx, struct acl2_args *a)
{
	enum parse r;

	if (a->n == ACL2_MAILBOXES_MAX) {
		lx->why = "too many mailboxes";
		return PARSE_LIMIT;
	}
	r = imap_parse_mailbox(i, lx, &a->at[a->n].name, &a->at[a->n].bad_name);
	if (r == PARSE_OK)
		a->n++;
	return r;
}

static enum parse
parse_mailboxes(
    struct imap_session *i, struct imap_lex *lx, struct acl2_args *a)
{
	enum parse r = imap_lex_space(lx);

	if (r != PARSE_OK)
		return r;
	if (imap_lex_peek(lx) != '(')
		return parse_one_mailbox(i, lx, a);
	if ((r = imap_lex_open(lx)) != PARSE_OK)
		return r;
	while ((r = parse_one_mailbox(i, lx, a)) == PARSE_OK &&
	    imap_lex_peek(lx) == ' ')
		if ((r = imap_lex_space(lx)) != PARSE_OK)
			return r;
	return r == PARSE_OK ? imap_lex_close(lx) : r;
}

/* SP identifier [SP rights] */
static enum parse
parse_entry(struct imap_session *i, struct imap_lex *lx, struct acl2_args *a)
{
	struct acl_args *e = &a->entry[a->n_entries];
	enum parse r;

	if (a->n_entries == ACL2_ENTRIES_MAX) {
		lx->why = "too many entries";
		return PARSE_LIMIT;
	}
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_astring(i, lx, &e->identifier)) != PARSE_OK)
		return r;
	if (!imap_acl_identifier(i, e)) {
		lx->why = "no such identifier can be";
		return PARSE_BAD;
	}
	a->n_entries++;
	if (a->verb == ACL2_DELETE)
		return PARSE_OK;
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_astring(i, lx, &e->rights)) != PARSE_OK)
		return r;
	if (a->verb == ACL2_STORE && e->rights.n != 0 &&
	    (e->rights.p[0] == '+' || e->rights.p[0] == '-')) {
		e->how = e->rights.p[0];
		e->rights = slice_skip(e->rights, 1);
	}
	if (!acl_rights_parse(e->rights, &e->mask)) {
		lx->why = "unknown right";
		return PARSE_BAD;
	}
	return PARSE_OK;
}

enum parse
imap_parse_acl(struct imap_session *i, struct imap_lex *lx)
{
	struct acl2_args *a = IMAP_ARGS(i, struct acl2_args);
	enum parse r;

	if ((r = parse_verb(lx, &a->verb)) != PARSE_OK ||
	    (r = parse_mailboxes(i, lx, a)) != PARSE_OK ||
	    (r = parse_entry(i, lx, a)) != PARSE_OK)
		return r;
	while (a->verb == ACL2_SET && imap_lex_peek(lx) == ' ')
		if ((r = parse_entry(i, lx, a)) != PARSE_OK)
			return r;
	return imap_lex_crlf(lx);
}

static int
acl2_edit(void *arg, struct acl *list)
{
	const struct acl2_args *a = arg;

	if (a->verb == ACL2_SET) {
		acl_fini(list);
		acl_init(list);
	}
	for (size_t k = 0; k < a->n_entries; k++) {
		const struct acl_args *e = &a->entry[k];
		unsigned rights = e->mask,
			 old = imap_acl_rights_of(list, e->who);

		if (e->how == '+')
			rights = old | e->mask;
		else if (e->how == '-')
			rights = old & ~e->mask;
		if (!acl_set(list, e->who, rights))
			return ERR_LIMIT;
	}
	return 0;
}

static void
put_entries(struct buf *out, const struct acl *list)
{
	buf_puts(out, "(\"ACL\" (");
	for (size_t k = 0; k < list->n; k++) {
		buf_putc(out, '(');
		imap_put_string(out, list->v[k].identifier);
		buf_putc(out, ' ');
		imap_put_rights(out, list->v[k].rights);
		buf_putc(out, ')');
	}
	buf_puts(out, "))");
}

static void
acl2_put(struct imap_session *i, struct slice name, const struct acl *list)
{
	struct buf *out = &i->s.out;

	buf_puts(out, "* LIST () \".\" ");
	imap_put_mailbox(i, out, name);
	buf_puts(out, " (");
	put_entries(out, list);
	buf_puts(out, ")\r\n");
}

static void
put_listed(struct imap_session *i, const struct imap_place *p, unsigned what)
{
	struct buf *out = &i->s.out;
	struct acl list;

	acl_init(&list);
	if ((what & ACL_LIST_LISTS) != 0 &&
	    ((p->rights & ACL_ADMINISTER) == 0 ||
		account_acl(p->account, p->name, &list, NULL) != 0))
		what &= ~(unsigned)ACL_LIST_LISTS;
	if (what != 0) {
		buf_puts(out, " (");
		if ((what & ACL_LIST_LISTS) != 0)
			put_entries(out, &list);
		if ((what & ACL_LIST_RIGHTS) != 0) {
			buf_puts(out, "(\"MYRIGHTS\" ");
			imap_put_rights(out, p->rights);
			buf_putc(out, ')');
		}
		buf_putc(out, ')');
	}
	acl_fini(&list);
}

void
imap_acl_put_listed(struct imap_session *i, struct slice shown, unsigned what)
{
	/* there may be very many mailboxes */
	struct arena_mark mark = arena_mark(&i->arena);
	struct imap_place p;
	struct slice name;

	imap_leave(i);
	if (imap_name_complete(i, shown, &name) &&
	    imap_reach_any(i, name, &p, NULL) == 0)
		put_listed(i, &p, what);
	imap_leave(i);
	arena_rewind(&i->arena, mark);
}

/* What went wrong, told for this mailbox; the others go on. */
static void
acl2_failed(struct imap_session *i, struct acl2_args *a, struct slice name,
    int rc, struct slice loser)
{
	struct buf *out = &i->s.out;
	const char *why = rc == ERR_NOT_FOUND ? "No such mailbox"
	    : rc == ERR_NO_RIGHT	      ? "Access denied"
	    : rc == ERR_LIMIT ? "There can't be such an entry, or no more"
			      : "The list can't be read or written";

	a->failed++;
	buf_puts(out, loser.n != 0 ? "* RIGHTS-INFO " : "* ACLFAILED ");
	imap_put_mailbox(i, out, name);
	buf_putc(out, ' ');
	if (loser.n == 0) {
		buf_puts(out, why);
	} else {
		imap_put_string(out, loser);
		buf_puts(out,
		    slice_eq(loser, SLICE("owner")) ? " al c e i k r s t w x"
						    : " aceiklrstwx");
	}
	buf_puts(out, "\r\n");
}

static void
acl2_log(struct imap_session *i, const struct acl2_args *a,
    const struct acl_args *at, const struct acl *list)
{
	for (size_t k = 0; k < a->n_entries; k++) {
		struct acl_args one = *at;

		one.who = a->entry[k].who;
		imap_acl_log(i, &one, imap_acl_rights_of(list, one.who));
	}
}

static void
acl2_changed(struct imap_session *i, const struct acl2_args *a,
    const struct acl_args *at)
{
	struct acl list;

	acl_init(&list);
	acl_parse(at->lines, &list);
	acl2_log(i, a, at, &list);
	(void)!imap_rights_check(i, NULL);
	acl2_put(i, at->name, &list);
	acl_fini(&list);
}

static enum step
changing_fn(struct imap_session *i)
{
	struct acl2_args *a = i->args;
	struct acl_args *at = &a->at[a->at_now];
	struct err e = { .code = 0 };
	int rc = 0;
	enum step st = imap_acl_change(i, at, acl2_edit, a, &rc, &e);

	if (st != STEP_DONE)
		return st;
	a->at_now++;
	if (rc == 0)
		acl2_changed(i, a, at);
	else
		acl2_failed(i, a, at->name, rc, at->loser);
	arena_rewind(&i->arena, a->mark);
	return imap_goto(i, &imap_step_acl);
}

static const struct imap_step step_changing = { "ACL changing", changing_fn,
	true };

static void
acl2_cleanup(struct imap_session *i)
{
	struct acl2_args *a = i->args;

	if (a->at_now < a->n)
		account_change_free(&a->at[a->at_now].change);
}

static enum step
acl_fn(struct imap_session *i)
{
	struct acl2_args *a = i->args;
	const char *verb = (const char *)acl2_verbs[a->verb].p;

	/* each waits for the disk, and tells a whole list */
	if (a->at_now < a->n) {
		i->cleanup = acl2_cleanup;
		a->mark = arena_mark(&i->arena);
		return imap_output_full(i) ? STEP_WAIT_OUTPUT
					   : imap_goto(i, &step_changing);
	}
	if (a->failed != 0)
		return imap_finish(
		    i, "NO", "ACL %s failed for a mailbox.", verb);
	return imap_finish(i, "OK", "ACL %s completed.", verb);
}

const struct imap_step imap_step_acl = { "ACL", acl_fn, false };
