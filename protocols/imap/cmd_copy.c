/* COPY, RFC 3501 6.4.7; MOVE, RFC 6851; COPYUID, RFC 4315 3. */
#include "maildir/change.h"
#include "protocols/imap/names.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum { REMOVING = ACL_DELETE_MESSAGES | ACL_EXPUNGE };

struct copy_args {
	struct imap_set set;
	struct slice target;
	bool bad_name, move, tell_uids;
	struct change_copy *change;

	/* into OUTBOX */
	const uint32_t *uids; /* n of them, at: the one being sent */
	size_t n, at, n_sent;
};

enum parse
imap_parse_copy(struct imap_session *i, struct imap_lex *lx)
{
	struct copy_args *a = IMAP_ARGS(i, struct copy_args);
	enum parse r;

	a->move = slice_eq(i->cmd->name, SLICE("MOVE"));
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_set(i, lx, &a->set)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_mailbox(i, lx, &a->target, &a->bad_name)) !=
		PARSE_OK)
		return r;
	return imap_lex_crlf(lx);
}

static void
copy_cleanup(struct imap_session *i)
{
	struct copy_args *a = i->args;

	change_copy_free(&a->change);
}

static enum step
copy_fail(struct imap_session *i, int rc, const struct err *e)
{
	/* RFC 3501 6.4.7 */
	if (rc == ERR_NOT_FOUND)
		return imap_finish(
		    i, "NO", "[TRYCREATE] Mailbox does not exist.");
	return imap_fail(i, "copying", rc, e);
}

static void
put_copyuid(struct buf *out, const struct copy_result *r)
{
	struct imap_put_set w;

	buf_putf(out, "[COPYUID %u ", r->uidvalidity);
	imap_put_set_begin(&w, out);
	for (size_t k = 0; k < r->n; k++)
		imap_put_set_add(&w, r->from[k]);
	imap_put_set_end(&w);
	buf_putc(out, ' ');
	imap_put_set_begin(&w, out);
	for (size_t k = 0; k < r->n; k++)
		imap_put_set_add(&w, r->to[k]);
	imap_put_set_end(&w);
	buf_puts(out, "] ");
}

static enum step
copied(struct imap_session *i, const struct copy_result *r)
{
	const struct copy_args *a = i->args;
	struct buf code;
	enum step st;

	if (r->n == 0) {
		/* RFC 2180 4.4.1 */
		return imap_finish(
		    i, "NO", "[EXPUNGEISSUED] The messages no longer exist.");
	}
	imap_trash_copied(i, a->target, r->from, r->n);
	buf_init(&code, i->reply.max);
	if (a->tell_uids)
		put_copyuid(&code, r);
	/* a list that long has more gaps than any client will look at */
	if (!buf_ok(&code))
		buf_reset(&code);
	if (a->move && buf_len(&code) != 0) {
		/* RFC 6851 4.3: before the EXPUNGE responses */
		buf_puts(&i->s.out, "* OK ");
		buf_put(&i->s.out, buf_slice(&code));
		buf_puts(&i->s.out, "Moved.\r\n");
		buf_reset(&code);
	}
	st = imap_finish(i, "OK", "%s%s completed.", buf_cstr(&code),
	    (const char *)i->cmd->name.p);
	buf_fini(&code);
	return st;
}

static enum step
copying_fn(struct imap_session *i)
{
	struct copy_args *a = i->args;
	const struct copy_result *r;
	enum step st = change_copy_step(a->change, i->s.waker, i->now, i->wall);

	if (st != STEP_DONE) {
		uint64_t done, goal;

		change_copy_progress(a->change, &done, &goal);
		imap_progress(i, done, goal);
		return st;
	}
	r = change_copy_result(a->change);
	if (a->n_sent != 0 && (r->result != 0 || r->n == 0)) {
		imap_log_error(i, "copying what was sent",
		    r->result != 0 ? r->result : ERR_NOT_FOUND, NULL);
		return imap_finish(i, "NO",
		    "[ALERT] What was to be sent was sent, but can't be "
		    "copied.");
	}
	if (r->result != 0)
		return copy_fail(i, r->result, NULL);
	return copied(i, r);
}

static const struct imap_step step_copying = { "copying", copying_fn, true };

/* --- OUTBOX -------------------------------------------------------------- */

static const struct imap_step step_sending;

static enum step
not_sent(struct imap_session *i, const struct copy_args *a, const char *why)
{
	if (a->n_sent == 0)
		return imap_finish(
		    i, "NO", "[ALERT] Message was not sent: %s.", why);
	return imap_finish(i, "NO",
	    "[ALERT] %zu of %zu messages were sent, and nothing was copied: "
	    "%s.",
	    a->n_sent, a->n, why);
}

static enum step
send_next_fn(struct imap_session *i)
{
	struct copy_args *a = i->args;
	struct err e = { .code = 0 };
	uint64_t file_size;
	int fd, rc;

	if (a->at == a->n)
		return imap_goto(i, &step_copying);
	rc = mailbox_open_message(
	    i->mailbox, a->uids[a->at], &fd, &file_size, &e);
	if (rc == ERR_NOT_FOUND) {
		/* RFC 2180 4.4: it won't be copied either */
		a->at++;
		return STEP_NEXT;
	}
	if (rc != 0) {
		imap_log_error(i, "sending a message", rc, &e);
		return not_sent(i, a, "it can't be read");
	}
	imap_send_begin(i, fd);
	return imap_goto(i, &step_sending);
}

static const struct imap_step step_send_next = { "COPY send next", send_next_fn,
	false };

static enum step
sending_fn(struct imap_session *i)
{
	struct copy_args *a = i->args;
	struct err e = { .code = 0 };
	int rc;

	if (imap_send_step(i, &rc, &e) != STEP_DONE)
		return STEP_WAIT_PEER;
	if (rc != 0)
		return not_sent(i, a, e.text);
	a->n_sent++;
	/* An end from outside comes between two, but not before the copying. */
	return imap_goto(i, ++a->at == a->n ? &step_copying : &step_send_next);
}

static const struct imap_step step_sending = { "COPY send", sending_fn, true };

/* As Courier: only one, unless it is allowed; all are sent, then copied. */
static enum step
begin_sending(struct imap_session *i, const uint32_t *uids, size_t n)
{
	struct copy_args *a = i->args;

	if (n > 1 && !i->opt->outbox_multiple)
		return imap_finish(
		    i, "NO", "[ALERT] Only one message may be sent at a time.");
	a->uids = uids;
	a->n = n;
	return imap_goto(i, &step_send_next);
}

static enum step
copy_fn(struct imap_session *i)
{
	struct copy_args *a = i->args;
	struct imap_place place;
	struct err e = { .code = 0 };
	uint32_t *uids;
	size_t n;
	int rc;

	if (a->bad_name)
		return copy_fail(i, ERR_INVALID, NULL);
	/* RFC 6851 4.2: those for STORE, COPY and EXPUNGE */
	if (a->move && (i->rights & REMOVING) != REMOVING)
		return copy_fail(i, ERR_NO_RIGHT, NULL);
	uids = imap_set_all_uids(i, &a->set, &n);
	if (n == 0)
		return imap_finish(i, "OK", "%s completed, no messages.",
		    (const char *)i->cmd->name.p);
	imap_leave(i);
	rc = imap_reach(i, a->target, ACL_INSERT, &place, &e);
	if (rc == 0)
		rc = change_copy_begin(i->mailbox, place.account, place.name,
		    uids, n, a->move, &a->change, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0)
		return copy_fail(i, rc, &e);
	a->tell_uids = imap_may_tell_uids(&place);
	/* RFC 4314 4: what one may not set isn't set on the copies */
	change_copy_drop(a->change, imap_flags_denied(place.rights),
	    (place.rights & ACL_WRITE) == 0);
	i->cleanup = copy_cleanup;
	if (imap_is_outbox(i, &place))
		return begin_sending(i, uids, n);
	return imap_goto(i, &step_copying);
}

const struct imap_step imap_step_copy = { "COPY", copy_fn, false };
