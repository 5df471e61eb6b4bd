/*
 * SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS: RFC 4314 3.
 *
 * In Courier's files the identifier of a user is "user=NAME"; clients say and
 * are told NAME.  "owner", "anyone", "anonymous", "administrators" and
 * "group=NAME" are the same here and there.
 */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/ascii.h"
#include "base/log.h"
#include "protocols/imap/acl.h"
#include "protocols/imap/names.h"
#include "protocols/imap/nstring.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum { LINES_MAX = 1024 * 1024 };

/* --- identifiers --------------------------------------------------------- */

static const struct slice special[] = { SLICE_INIT("owner"),
	SLICE_INIT("anyone"), SLICE_INIT("anonymous"),
	SLICE_INIT("administrators") };

static bool
is_special(struct slice s)
{
	for (size_t k = 0; k < NELEMS(special); k++)
		if (slice_eq(special[k], s))
			return true;
	return slice_starts(s, SLICE("group=")) ||
	    slice_starts(s, SLICE("user="));
}

/* RFC 4314 3: SASLprep (RFC 4013): normalised, nothing that can't be seen. */
static bool
prepare(struct imap_session *i, struct slice s, struct slice *out)
{
	utf8proc_uint8_t *p = NULL;
	utf8proc_ssize_t n = utf8proc_map(s.p, (utf8proc_ssize_t)s.n, &p,
	    UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT |
		UTF8PROC_IGNORE | UTF8PROC_REJECTNA);
	bool ok = n > 0;

	for (utf8proc_ssize_t k = 0; k < n; k++)
		ok = ok && !ascii_is_control(p[k]);
	if (ok)
		*out = arena_dup(&i->arena, slice_of(p, (size_t)n));
	free(p);
	return ok;
}

bool
imap_acl_identifier(struct imap_session *i, struct acl_args *a)
{
	struct slice s, minus = SLICE(""), user = SLICE("");
	uint8_t *p;

	/* to put combining marks in order takes utf8proc their square */
	if (a->identifier.n == 0 || a->identifier.n > ACL_IDENTIFIER_MAX ||
	    !prepare(i, a->identifier, &s))
		return false;
	if (s.p[0] == '-') {
		minus = SLICE("-");
		s = slice_skip(s, 1);
	}
	if (s.n == 0)
		return false;
	if (!is_special(s))
		user = SLICE("user=");
	p = arena_alloc(&i->arena, minus.n + user.n + s.n);
	assert(p != NULL);
	memcpy(p, minus.p, minus.n);
	memcpy(p + minus.n, user.p, user.n);
	memcpy(p + minus.n + user.n, s.p, s.n);
	a->who = slice_of(p, minus.n + user.n + s.n);
	return true;
}

static void
put_identifier(struct buf *out, struct slice s)
{
	bool minus = s.p[0] == '-';
	struct slice plain = minus ? slice_skip(s, 1) : s;
	struct buf text;

	/* "user=owner" is called Owner, and isn't the owner */
	if (slice_starts(plain, SLICE("user=")) &&
	    !is_special(slice_skip(plain, 5)))
		plain = slice_skip(plain, 5);
	buf_init(&text, ACL_IDENTIFIER_MAX + 1);
	if (minus)
		buf_putc(&text, '-');
	buf_put(&text, plain);
	imap_put_string(out, buf_slice(&text));
	buf_fini(&text);
}

/* --- arguments ----------------------------------------------------------- */

static enum parse
parse_mailbox(struct imap_session *i, struct imap_lex *lx)
{
	struct acl_args *a = IMAP_ARGS(i, struct acl_args);
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	return imap_parse_mailbox(i, lx, &a->name, &a->bad_name);
}

static enum parse
parse_identifier(struct imap_session *i, struct imap_lex *lx)
{
	struct acl_args *a;
	enum parse r = parse_mailbox(i, lx);

	a = i->args;
	if (r != PARSE_OK || (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_astring(i, lx, &a->identifier)) != PARSE_OK)
		return r;
	if (!imap_acl_identifier(i, a)) {
		lx->why = "no such identifier can be";
		return PARSE_BAD;
	}
	return PARSE_OK;
}

static enum parse
parse_end(enum parse r, struct imap_lex *lx)
{
	return r == PARSE_OK ? imap_lex_crlf(lx) : r;
}

enum parse
imap_parse_getacl(struct imap_session *i, struct imap_lex *lx)
{
	return parse_end(parse_mailbox(i, lx), lx);
}

enum parse
imap_parse_myrights(struct imap_session *i, struct imap_lex *lx)
{
	return parse_end(parse_mailbox(i, lx), lx);
}

enum parse
imap_parse_deleteacl(struct imap_session *i, struct imap_lex *lx)
{
	return parse_end(parse_identifier(i, lx), lx);
}

enum parse
imap_parse_listrights(struct imap_session *i, struct imap_lex *lx)
{
	return parse_end(parse_identifier(i, lx), lx);
}

enum parse
imap_parse_setacl(struct imap_session *i, struct imap_lex *lx)
{
	struct acl_args *a;
	enum parse r = parse_identifier(i, lx);

	a = i->args;
	if (r != PARSE_OK || (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_astring(i, lx, &a->rights)) != PARSE_OK)
		return r;
	if (a->rights.n != 0 &&
	    (a->rights.p[0] == '+' || a->rights.p[0] == '-')) {
		a->how = a->rights.p[0];
		a->rights = slice_skip(a->rights, 1);
	}
	/* RFC 4314 3.1 */
	if (!acl_rights_parse(a->rights, &a->mask)) {
		lx->why = "unknown right";
		return PARSE_BAD;
	}
	return imap_lex_crlf(lx);
}

/* --- changing a list ----------------------------------------------------- */

int
imap_acl_load(
    struct imap_session *i, struct acl_args *a, struct acl *list, struct err *e)
{
	int rc;

	imap_leave(i);
	if (a->bad_name)
		return err_set(e, ERR_NOT_FOUND, "no such name can be");
	rc = imap_reach(i, a->name, ACL_ADMINISTER, &a->place, e);
	if (rc == 0)
		rc = account_acl_known(a->place.account, a->place.name, e);
	return rc != 0 ? rc
		       : account_acl(a->place.account, a->place.name, list, e);
}

unsigned
imap_acl_rights_of(const struct acl *list, struct slice identifier)
{
	const struct acl_entry *entry = acl_find(list, identifier);

	return entry != NULL ? entry->rights : 0;
}

void
imap_acl_log(struct imap_session *i, const struct acl_args *a, unsigned rights)
{
	char mailbox[200], who[200];
	struct buf letters;

	buf_init(&letters, 32);
	acl_rights_put(&letters, rights);
	imap_log_line(i, "ACL", ", mailbox=%s, identifier=%s, rights=%s",
	    log_safe(a->name, mailbox, sizeof(mailbox)),
	    log_safe(a->who, who, sizeof(who)), buf_cstr(&letters));
	buf_fini(&letters);
}

/* It is the change's turn (maildir/account_change.h). */
static int
read_list(void *arg, struct acl *list, struct err *e)
{
	struct acl_args *a = arg;
	struct account *account = a->place.account;
	struct slice name = a->place.name;
	struct buf lines;
	int rc = imap_acl_load(a->session, a, list, e);

	if (rc != 0)
		return rc;
	/* an index or a link leads elsewhere now */
	if (a->place.account != account || !slice_eq(a->place.name, name))
		return err_set(e, ERR_NOT_FOUND, "no such mailbox");
	if ((rc = a->edit(a->edit_arg, list)) != 0)
		return err_set(e, rc, "no such entry can be");
	if (!acl_is_sound(list, &a->loser))
		return err_set(e, ERR_INVALID, "rights that always are");
	buf_init(&lines, LINES_MAX);
	acl_put(&lines, list);
	if (buf_ok(&lines))
		a->lines = arena_dup(&a->session->arena, buf_slice(&lines));
	else
		rc = err_set(e, ERR_LIMIT, "the list is too long");
	buf_fini(&lines);
	return rc;
}

static int
begin_change(struct imap_session *i, struct acl_args *a, struct err *e)
{
	struct acl list;
	int rc;

	acl_init(&list);
	rc = imap_acl_load(i, a, &list, e);
	acl_fini(&list);
	if (rc == 0)
		a->change = account_acl_change(
		    a->place.account, a->place.name, read_list, a);
	return rc;
}

enum step
imap_acl_change(struct imap_session *i, struct acl_args *a,
    int (*edit)(void *arg, struct acl *list), void *arg, int *rc, struct err *e)
{
	if (a->change == NULL) {
		a->session = i;
		a->edit = edit;
		a->edit_arg = arg;
		*rc = begin_change(i, a, e);
		if (imap_retry(i, *rc))
			return imap_retry_step(i);
		if (*rc != 0)
			return STEP_DONE;
	}
	return imap_change_step(i, &a->change, rc, e);
}

static void
acl_cleanup(struct imap_session *i)
{
	struct acl_args *a = i->args;

	account_change_free(&a->change);
}

static int
edit_entry(void *arg, struct acl *list)
{
	struct acl_args *a = arg;
	unsigned old = imap_acl_rights_of(list, a->who), rights = a->mask;

	if (a->how == '+')
		rights = old | a->mask;
	else if (a->how == '-')
		rights = old & ~a->mask;
	return acl_set(list, a->who, rights) ? 0 : ERR_LIMIT;
}

static void
changed(struct imap_session *i, struct acl_args *a)
{
	struct acl list;

	acl_init(&list);
	acl_parse(a->lines, &list);
	imap_acl_log(i, a, imap_acl_rights_of(&list, a->who));
	acl_fini(&list);
	/* what can't be seen now is seen by the next command */
	(void)!imap_rights_check(i, NULL);
}

static enum step
changing_fn(struct imap_session *i)
{
	struct acl_args *a = i->args;
	struct err e = { .code = 0 };
	int rc = 0;
	enum step st = imap_acl_change(i, a, edit_entry, a, &rc, &e);

	if (st != STEP_DONE)
		return st;
	if (rc == ERR_LIMIT)
		return imap_finish(i, "NO",
		    "[CANNOT] There can't be such an entry, or no more.");
	if (rc == ERR_INVALID && a->loser.n != 0)
		return imap_finish(i, "NO",
		    "[CANNOT] Rights of \"%s\" that can't be taken away.",
		    (const char *)a->loser.p);
	if (rc != 0)
		return imap_fail(i, (const char *)i->cmd->name.p, rc, &e);
	changed(i, a);
	return imap_finish_rc(i, 0, NULL);
}

static const struct imap_step step_changing = { "SETACL changing", changing_fn,
	true };

static enum step
setacl_fn(struct imap_session *i)
{
	i->cleanup = acl_cleanup;
	return imap_goto(i, &step_changing);
}

const struct imap_step imap_step_setacl = { "SETACL", setacl_fn, false };

static enum step
deleteacl_fn(struct imap_session *i)
{
	struct acl_args *a = i->args;

	a->mask = 0;
	i->cleanup = acl_cleanup;
	return imap_goto(i, &step_changing);
}

const struct imap_step imap_step_deleteacl = { "DELETEACL", deleteacl_fn,
	false };

/* --- telling ------------------------------------------------------------- */

static enum step
getacl_fn(struct imap_session *i)
{
	struct acl_args *a = i->args;
	struct buf *out = &i->s.out;
	struct err e = { .code = 0 };
	struct acl list;
	int rc;

	acl_init(&list);
	rc = imap_acl_load(i, a, &list, &e);
	if (rc == 0) {
		buf_puts(out, "* ACL ");
		imap_put_mailbox(i, out, a->name);
		for (size_t k = 0; k < list.n; k++) {
			buf_putc(out, ' ');
			put_identifier(out, list.v[k].identifier);
			buf_putc(out, ' ');
			imap_put_rights(out, list.v[k].rights);
		}
		buf_puts(out, "\r\n");
	}
	acl_fini(&list);
	return imap_finish_rc(i, rc, &e);
}

const struct imap_step imap_step_getacl = { "GETACL", getacl_fn, false };

/* RFC 4314 3.7: what an identifier always has, and what it can be given; no
 * right is tied to another one. */
static enum step
listrights_fn(struct imap_session *i)
{
	struct acl_args *a = i->args;
	struct buf *out = &i->s.out;
	struct err e = { .code = 0 };
	struct acl list;
	const char *rest = "acdeiklrstwx";
	const char *always = "";
	int rc;

	acl_init(&list);
	rc = imap_acl_load(i, a, &list, &e);
	acl_fini(&list);
	if (rc != 0)
		return imap_finish_rc(i, rc, &e);
	if (slice_eq(a->who, SLICE("owner"))) {
		always = "al";
		rest = "cdeikrstwx";
	} else if (slice_eq(a->who, SLICE("administrators")) ||
	    slice_eq(a->who, SLICE("group=administrators"))) {
		always = rest;
		rest = "";
	}
	buf_puts(out, "* LISTRIGHTS ");
	imap_put_mailbox(i, out, a->name);
	buf_putc(out, ' ');
	/* RFC 4314 3.4: as the client said it */
	imap_put_string(out, a->identifier);
	buf_putf(out, " \"%s\"", always);
	for (; *rest != '\0'; rest++)
		buf_putf(out, " %c", *rest);
	buf_puts(out, "\r\n");
	return imap_finish_rc(i, 0, NULL);
}

const struct imap_step imap_step_listrights = { "LISTRIGHTS", listrights_fn,
	false };

static enum step
myrights_fn(struct imap_session *i)
{
	struct acl_args *a = i->args;
	struct buf *out = &i->s.out;
	struct err e = { .code = 0 };
	int rc = ERR_NOT_FOUND;

	imap_leave(i);
	if (!a->bad_name)
		rc = imap_reach_any(i, a->name, &a->place, &e);
	if (rc == 0) {
		buf_puts(out, "* MYRIGHTS ");
		imap_put_mailbox(i, out, a->name);
		buf_putc(out, ' ');
		imap_put_rights(out, a->place.rights);
		buf_puts(out, "\r\n");
	}
	return imap_finish_rc(i, rc, &e);
}

const struct imap_step imap_step_myrights = { "MYRIGHTS", myrights_fn, false };
