/* SELECT, EXAMINE, CLOSE, UNSELECT; the parameters of RFC 7162. */
#include "maildir/change.h"
#include "protocols/imap/condstore.h"
#include "protocols/imap/names.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

/* --- SELECT and EXAMINE, RFC 3501 6.3.1, 6.3.2 --------------------------- */

struct select_args {
	struct slice name;
	bool bad_name, examine;
	bool condstore; /* RFC 7162 3.1.8 */
	struct imap_resync resync;
	struct imap_place place;
	struct mailbox *mailbox; /* while it isn't the selected one */
};

/* select-params, RFC 4466 2.1. */
static enum parse
parse_params(struct imap_session *i, struct imap_lex *lx, struct select_args *a)
{
	enum parse r = imap_lex_space(lx);

	if (r != PARSE_OK || (r = imap_lex_open(lx)) != PARSE_OK)
		return r;
	do {
		if (imap_lex_word(lx, SLICE("CONDSTORE"))) {
			a->condstore = true;
			continue;
		}
		if (!imap_lex_word(lx, SLICE("QRESYNC")) || a->resync.given) {
			lx->why = "unknown parameter";
			return PARSE_BAD;
		}
		if ((r = imap_parse_resync(i, lx, &a->resync)) != PARSE_OK)
			return r;
	} while (imap_lex_take(lx, ' '));
	return imap_lex_close(lx);
}

enum parse
imap_parse_select(struct imap_session *i, struct imap_lex *lx)
{
	struct select_args *a = IMAP_ARGS(i, struct select_args);
	enum parse r;

	a->examine = slice_eq(i->cmd->name, SLICE("EXAMINE"));
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_mailbox(i, lx, &a->name, &a->bad_name)) != PARSE_OK)
		return r;
	if (slice_starts(slice_skip(lx->in, lx->pos), SLICE(" (")) &&
	    (r = parse_params(i, lx, a)) != PARSE_OK)
		return r;
	return imap_lex_crlf(lx);
}

static void
select_cleanup(struct imap_session *i)
{
	struct select_args *a = i->args;

	imap_vanished_fini(&a->resync.vanished);
	if (a->mailbox == NULL)
		return;
	mailbox_forget_waker(a->mailbox, i->s.waker.arg);
	mailbox_close(&a->mailbox);
}

static enum step
selected(struct imap_session *i)
{
	return imap_finish(
	    i, "OK", "[READ-%s] Ok", i->read_only ? "ONLY" : "WRITE");
}

static enum step
resync_fn(struct imap_session *i)
{
	struct select_args *a = i->args;
	enum step st = imap_resync_step(i, &a->resync);

	return st == STEP_DONE ? selected(i) : st;
}

static const struct imap_step step_resync = { "SELECT resync", resync_fn,
	false };

/* RFC 7162 3.2.5: what the client has missed, after all that SELECT tells. */
static enum step
begin_resync(struct imap_session *i)
{
	struct select_args *a = i->args;
	struct err e = { .code = 0 };
	int rc;

	if (!a->resync.given ||
	    a->resync.uidvalidity != mailbox_uidvalidity(i->mailbox))
		return selected(i);
	rc = imap_resync_begin(i, &a->resync, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0) {
		imap_log_error(i, "QRESYNC", rc, &e);
		imap_deselect(i);
		return imap_fail(i, "QRESYNC", rc, NULL);
	}
	return imap_goto(i, &step_resync);
}

static const struct imap_step step_begin_resync = { "SELECT begin resync",
	begin_resync, false };

static enum step
refresh_fn(struct imap_session *i)
{
	struct select_args *a = i->args;
	int rc = 0;
	enum step st = mailbox_refresh(a->mailbox,
	    !a->examine && imap_may_write(a->place.rights), i->s.waker, i->now,
	    i->wall, &rc);

	if (st != STEP_DONE) {
		imap_progress(i, 0, 0);
		return st;
	}
	/* a busy database was waited for */
	if (rc != 0)
		return imap_fail(i, "reading a mailbox", rc, NULL);
	imap_selected(i, a->mailbox, &a->place, a->examine);
	a->mailbox = NULL;
	i->condstore = i->condstore || a->condstore;
	imap_sync_select(i);
	return imap_goto(i, &step_begin_resync);
}

static const struct imap_step step_refresh = { "SELECT refresh", refresh_fn,
	false };

static enum step
select_fn(struct imap_session *i)
{
	struct select_args *a = i->args;
	struct err e = { .code = 0 };
	int rc;

	/* RFC 3501 6.3.1: if it fails, no mailbox is selected */
	if (i->mailbox != NULL) /* RFC 7162 3.2.11 */
		imap_put_untagged(&i->s.out, "OK [CLOSED] Closed.");
	imap_deselect(i);
	if (a->bad_name)
		return imap_fail(i, "SELECT", ERR_NOT_FOUND, NULL);
	imap_leave(i);
	rc = imap_reach(i, a->name, ACL_READ, &a->place, &e);
	if (rc == 0)
		rc = mailbox_open(
		    a->place.account, a->place.name, &a->mailbox, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc == ERR_INVALID)
		rc = ERR_NOT_FOUND;
	if (rc != 0)
		return imap_fail(i, "opening a mailbox", rc, &e);
	i->cleanup = select_cleanup;
	mailbox_want_committed(a->mailbox);
	return imap_goto(i, &step_refresh);
}

const struct imap_step imap_step_select = { "SELECT", select_fn, false };

/* --- CLOSE, RFC 3501 6.4.2; UNSELECT, RFC 3691 2 ------------------------- */

struct close_args {
	struct change_expunge *expunge;
};

static void
close_cleanup(struct imap_session *i)
{
	struct close_args *a = i->args;

	change_expunge_free(&a->expunge);
}

static enum step
closed(struct imap_session *i)
{
	const char *name = (const char *)i->cmd->name.p;

	if (i->cleanup != NULL)
		i->cleanup(i);
	i->cleanup = NULL;
	imap_deselect(i);
	return imap_finish(i, "OK", "%s completed.", name);
}

static enum step
closing_fn(struct imap_session *i)
{
	struct close_args *a = i->args;
	size_t n = 0;
	int rc;
	enum step st =
	    change_expunge_step(a->expunge, i->s.waker, i->now, i->wall);

	if (st != STEP_DONE)
		return st;
	rc = change_expunge_result(a->expunge, &n);
	/* it is closed whatever came of that: CLOSE has no NO */
	if (rc != 0)
		imap_log_error(i, "EXPUNGE of CLOSE", rc, NULL);
	return closed(i);
}

static const struct imap_step step_closing = { "CLOSE expunge", closing_fn,
	true };

static enum step
close_fn(struct imap_session *i)
{
	struct close_args *a = IMAP_ARGS(i, struct close_args);
	struct err e = { .code = 0 };
	int rc;

	/* RFC 4314 4: without the right it is closed all the same */
	if (i->read_only || (i->rights & ACL_EXPUNGE) == 0)
		return closed(i);
	rc = imap_expunge_begin(i, NULL, 0, &a->expunge, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0) {
		imap_log_error(i, "EXPUNGE of CLOSE", rc, &e);
		return closed(i);
	}
	i->cleanup = close_cleanup;
	return imap_goto(i, &step_closing);
}

const struct imap_step imap_step_close = { "CLOSE", close_fn, false };

static enum step
unselect_fn(struct imap_session *i)
{
	return closed(i);
}

const struct imap_step imap_step_unselect = { "UNSELECT", unselect_fn, false };
