/* GETQUOTA, GETQUOTAROOT, SETQUOTA: RFC 9208 4.1, RFC 2087. */
#include <inttypes.h>

#include "protocols/imap/names.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

/* Courier's only quota root, of all mailboxes. */
static const struct slice root = SLICE_INIT("ROOT");

enum { STORAGE_UNIT = 1024 };

struct quota_args {
	struct slice root, mailbox;
	bool bad_name;
};

enum parse
imap_parse_getquota(struct imap_session *i, struct imap_lex *lx)
{
	struct quota_args *a = IMAP_ARGS(i, struct quota_args);
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_astring(i, lx, &a->root)) != PARSE_OK)
		return r;
	return imap_lex_crlf(lx);
}

enum parse
imap_parse_getquotaroot(struct imap_session *i, struct imap_lex *lx)
{
	struct quota_args *a = IMAP_ARGS(i, struct quota_args);
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_mailbox(i, lx, &a->mailbox, &a->bad_name)) !=
		PARSE_OK)
		return r;
	return imap_lex_crlf(lx);
}

/* RFC 9208 4.1.3: setquota-list = "(" [setquota-resource *(SP …)] ")" */
enum parse
imap_parse_setquota(struct imap_session *i, struct imap_lex *lx)
{
	struct quota_args *a = IMAP_ARGS(i, struct quota_args);
	struct slice name;
	uint64_t limit;
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_astring(i, lx, &a->root)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_open(lx)) != PARSE_OK)
		return r;
	if (imap_lex_take(lx, ')'))
		return imap_lex_crlf(lx);
	do {
		if ((r = imap_lex_atom(lx, &name)) != PARSE_OK ||
		    (r = imap_lex_space(lx)) != PARSE_OK ||
		    (r = imap_lex_number64(lx, &limit)) != PARSE_OK)
			return r;
	} while (imap_lex_take(lx, ' '));
	if ((r = imap_lex_close(lx)) != PARSE_OK)
		return r;
	return imap_lex_crlf(lx);
}

static void
put_resource(struct buf *out, const char *name, uint64_t used, uint64_t max,
    uint64_t unit, bool *first)
{
	if (max == 0)
		return;
	/* RFC 9208 5.1: units of 1024 octets; what is used is rounded up */
	buf_putf(out, "%s%s %" PRIu64 " %" PRIu64, *first ? "" : " ", name,
	    (used + unit - 1) / unit, (max + unit - 1) / unit);
	*first = false;
}

static int
put_quota(struct imap_session *i, struct err *e)
{
	struct buf *out = &i->s.out;
	struct account_quota q;
	bool first = true;
	int rc = account_quota(i->account, &q, e);

	if (rc != 0)
		return rc;
	buf_puts(out, "* QUOTA \"ROOT\" (");
	put_resource(
	    out, "STORAGE", q.bytes, q.bytes_max, STORAGE_UNIT, &first);
	put_resource(out, "MESSAGE", q.messages, q.messages_max, 1, &first);
	buf_puts(out, ")\r\n");
	return 0;
}

static enum step
getquota_fn(struct imap_session *i)
{
	const struct quota_args *a = i->args;
	struct err e = { .code = 0 };

	if ((imap_has_shared(i) || imap_has_links(i)) &&
	    slice_eq(a->root, SLICE("PUBLIC"))) {
		buf_puts(&i->s.out, "* QUOTA \"PUBLIC\" ()\r\n");
		return imap_finish_rc(i, 0, NULL);
	}
	if (!slice_eq(a->root, root))
		return imap_finish(
		    i, "NO", "[NONEXISTENT] No such quota root.");
	return imap_finish_rc(i, put_quota(i, &e), &e);
}

const struct imap_step imap_step_getquota = { "GETQUOTA", getquota_fn, false };

static enum step
getquotaroot_fn(struct imap_session *i)
{
	const struct quota_args *a = i->args;
	struct imap_place place;
	struct err e = { .code = 0 };
	int rc;

	if (a->bad_name)
		return imap_bad_name(i);
	imap_leave(i);
	rc = imap_reach(i, a->mailbox, 0, &place, &e);
	if (rc == 0 && !place.own && (place.rights & ACL_READ) == 0)
		rc = ERR_NOT_FOUND;
	if (rc == 0) {
		/* one that will be made has its quota root already */
		rc = account_exists(place.account, place.name, &e);
		if (rc == ERR_NOT_FOUND && place.own)
			rc = 0;
	}
	if (rc != 0)
		return imap_finish_rc(i, rc, &e);
	if (!place.own) {
		/* as Courier: its owner's quota is nobody else's business */
		buf_puts(&i->s.out, "* QUOTAROOT ");
		imap_put_mailbox(i, &i->s.out, a->mailbox);
		buf_puts(&i->s.out, " \"PUBLIC\"\r\n* QUOTA \"PUBLIC\" ()\r\n");
		return imap_finish_rc(i, 0, NULL);
	}
	buf_puts(&i->s.out, "* QUOTAROOT ");
	imap_put_mailbox(i, &i->s.out, a->mailbox);
	buf_puts(&i->s.out, " \"ROOT\"\r\n");
	return imap_finish_rc(i, put_quota(i, &e), &e);
}

const struct imap_step imap_step_getquotaroot = { "GETQUOTAROOT",
	getquotaroot_fn, false };

static enum step
setquota_fn(struct imap_session *i)
{
	/* limits are the user table's and the administrator's */
	return imap_finish(i, "NO", "[NOPERM] Quotas can't be changed here.");
}

const struct imap_step imap_step_setquota = { "SETQUOTA", setquota_fn, false };
