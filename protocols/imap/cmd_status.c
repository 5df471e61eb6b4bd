/* STATUS, RFC 3501 6.3.10; RFC 7889 3.1 (APPENDLIMIT), RFC 8474 4.3, RFC
 * 9208 4.1.4. */
#include <inttypes.h>

#include "protocols/imap/condstore.h"
#include "protocols/imap/names.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum status_item {
	STATUS_MESSAGES,
	STATUS_RECENT,
	STATUS_UIDNEXT,
	STATUS_UIDVALIDITY,
	STATUS_UNSEEN,
	STATUS_APPENDLIMIT, /* RFC 7889 3.1 */
	STATUS_MAILBOXID,
	STATUS_HIGHESTMODSEQ, /* RFC 7162 3.1.7 */
	STATUS_DELETED,	      /* RFC 9208 4.1.4 */
	STATUS_DELETED_STORAGE,
	STATUS_N_ITEMS,
};

static const struct slice item_names[STATUS_N_ITEMS] = {
	[STATUS_MESSAGES] = SLICE_INIT("MESSAGES"),
	[STATUS_RECENT] = SLICE_INIT("RECENT"),
	[STATUS_UIDNEXT] = SLICE_INIT("UIDNEXT"),
	[STATUS_UIDVALIDITY] = SLICE_INIT("UIDVALIDITY"),
	[STATUS_UNSEEN] = SLICE_INIT("UNSEEN"),
	[STATUS_APPENDLIMIT] = SLICE_INIT("APPENDLIMIT"),
	[STATUS_MAILBOXID] = SLICE_INIT("MAILBOXID"),
	[STATUS_HIGHESTMODSEQ] = SLICE_INIT("HIGHESTMODSEQ"),
	[STATUS_DELETED] = SLICE_INIT("DELETED"),
	[STATUS_DELETED_STORAGE] = SLICE_INIT("DELETED-STORAGE"),
};

struct status_args {
	struct slice name;
	bool bad_name;
	bool want[STATUS_N_ITEMS];
	struct mailbox *mailbox;
};

static enum parse
parse_item(struct imap_lex *lx, struct status_args *a)
{
	struct slice name;
	enum parse r = imap_lex_atom(lx, &name);

	if (r != PARSE_OK)
		return r;
	for (size_t k = 0; k < STATUS_N_ITEMS; k++) {
		if (slice_ieq(item_names[k], name)) {
			a->want[k] = true;
			return PARSE_OK;
		}
	}
	lx->why = "unknown status item";
	return PARSE_BAD;
}

enum parse
imap_parse_status(struct imap_session *i, struct imap_lex *lx)
{
	struct status_args *a = IMAP_ARGS(i, struct status_args);
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_mailbox(i, lx, &a->name, &a->bad_name)) !=
		PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_open(lx)) != PARSE_OK)
		return r;
	do {
		if ((r = parse_item(lx, a)) != PARSE_OK)
			return r;
	} while (imap_lex_take(lx, ' '));
	if ((r = imap_lex_close(lx)) != PARSE_OK)
		return r;
	return imap_lex_crlf(lx);
}

static void
status_cleanup(struct imap_session *i)
{
	struct status_args *a = i->args;

	if (a->mailbox == NULL)
		return;
	mailbox_forget_waker(a->mailbox, i->s.waker.arg);
	mailbox_close(&a->mailbox);
}

static int
put_status(struct imap_session *i, const struct status_args *a, struct err *e)
{
	struct buf *out = &i->s.out;
	struct mailbox_counts c;
	uint64_t values[STATUS_N_ITEMS];
	bool first = true;
	int rc =
	    mailbox_counts(a->mailbox, a->want[STATUS_DELETED_STORAGE], &c, e);

	if (rc != 0)
		return rc;
	values[STATUS_MESSAGES] = c.messages;
	values[STATUS_RECENT] = c.recent;
	values[STATUS_UIDNEXT] = c.uidnext;
	values[STATUS_UIDVALIDITY] = mailbox_uidvalidity(a->mailbox);
	values[STATUS_UNSEEN] = c.unseen;
	values[STATUS_APPENDLIMIT] = i->opt->message_max;
	values[STATUS_DELETED] = c.deleted;
	values[STATUS_DELETED_STORAGE] = c.deleted_size;
	values[STATUS_MAILBOXID] = mailbox_object_id(a->mailbox);
	values[STATUS_HIGHESTMODSEQ] = c.highest_modseq;
	buf_puts(out, "* STATUS ");
	imap_put_mailbox(i, out, a->name);
	buf_puts(out, " (");
	for (size_t k = 0; k < STATUS_N_ITEMS; k++) {
		if (!a->want[k])
			continue;
		buf_putf(out, "%s%s ", first ? "" : " ",
		    (const char *)item_names[k].p);
		if (k == STATUS_MAILBOXID)
			imap_put_object_id(out, 'F', values[k]);
		else
			buf_putf(out, "%" PRIu64, values[k]);
		first = false;
	}
	buf_puts(out, ")\r\n");
	return 0;
}

static enum step
refresh_fn(struct imap_session *i)
{
	struct status_args *a = i->args;
	struct err e = { .code = 0 };
	int rc = 0;
	enum step st = mailbox_refresh(
	    a->mailbox, false, i->s.waker, i->now, i->wall, &rc);

	if (st != STEP_DONE) {
		imap_progress(i, 0, 0);
		return st;
	}
	/* a busy database was waited for */
	if (rc != 0)
		return imap_fail(i, "reading a mailbox", rc, NULL);
	if ((rc = put_status(i, a, &e)) == ERR_MORE)
		return STEP_YIELD;
	if (rc != 0)
		return imap_fail(i, "counting its messages", rc, &e);
	/* RFC 3501 6.3.10: it SHOULD NOT be asked for; RFC 5530 3 */
	if (i->mailbox == a->mailbox)
		return imap_finish(i, "OK", "[CLIENTBUG] STATUS completed.");
	return imap_finish(i, "OK", "STATUS completed.");
}

static const struct imap_step step_refresh = { "STATUS refresh", refresh_fn,
	false };

static enum step
status_fn(struct imap_session *i)
{
	struct status_args *a = i->args;
	struct imap_place place;
	struct err e = { .code = 0 };
	int rc;

	if (a->bad_name)
		return imap_fail(i, "STATUS", ERR_NOT_FOUND, NULL);
	if (a->want[STATUS_HIGHESTMODSEQ])
		imap_condstore_enable(i);
	imap_leave(i);
	rc = imap_reach(i, a->name, ACL_READ, &place, &e);
	if (rc == 0)
		rc = mailbox_open(place.account, place.name, &a->mailbox, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc == ERR_INVALID)
		rc = ERR_NOT_FOUND;
	if (rc != 0)
		return imap_fail(i, "opening a mailbox", rc, &e);
	i->cleanup = status_cleanup;
	mailbox_want_committed(a->mailbox);
	return imap_goto(i, &step_refresh);
}

const struct imap_step imap_step_status = { "STATUS", status_fn, false };
