/* EXPUNGE, RFC 3501 6.4.3; UID EXPUNGE, RFC 4315 2.1. */
#include "maildir/change.h"
#include "protocols/imap/session_impl.h"

struct expunge_args {
	struct imap_set set; /* UID EXPUNGE */
	struct change_expunge *change;
};

enum parse
imap_parse_uid_expunge(struct imap_session *i, struct imap_lex *lx)
{
	struct expunge_args *a = IMAP_ARGS(i, struct expunge_args);
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_set(i, lx, &a->set)) != PARSE_OK)
		return r;
	return imap_lex_crlf(lx);
}

static void
expunge_cleanup(struct imap_session *i)
{
	struct expunge_args *a = i->args;

	change_expunge_free(&a->change);
}

static enum step
expunging_fn(struct imap_session *i)
{
	struct expunge_args *a = i->args;
	size_t n = 0;
	int rc;
	enum step st =
	    change_expunge_step(a->change, i->s.waker, i->now, i->wall);

	if (st != STEP_DONE) {
		imap_progress(i, 0, 0);
		return st;
	}
	rc = change_expunge_result(a->change, &n);
	if (rc != 0)
		return imap_fail(i, "EXPUNGE", rc, NULL);
	/* the end of the command tells what is gone */
	return imap_finish(i, "OK", "EXPUNGE completed.");
}

static const struct imap_step step_expunging = { "expunging", expunging_fn,
	true };

static enum step
begin(struct imap_session *i, struct expunge_args *a, const uint32_t *uids,
    size_t n)
{
	struct err e = { .code = 0 };
	/* RFC 4314 4 */
	int rc = (i->rights & ACL_EXPUNGE) == 0
	    ? ERR_NO_RIGHT
	    : imap_expunge_begin(i, uids, n, &a->change, &e);

	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0)
		return imap_fail(i, "EXPUNGE", rc, &e);
	i->cleanup = expunge_cleanup;
	return imap_goto(i, &step_expunging);
}

static enum step
expunge_fn(struct imap_session *i)
{
	return begin(i, IMAP_ARGS(i, struct expunge_args), NULL, 0);
}

const struct imap_step imap_step_expunge = { "EXPUNGE", expunge_fn, false };

static enum step
uid_expunge_fn(struct imap_session *i)
{
	struct expunge_args *a = i->args;
	size_t n;
	uint32_t *uids = imap_set_all_uids(i, &a->set, &n);

	if (n == 0)
		return imap_finish(i, "OK", "EXPUNGE completed.");
	return begin(i, a, uids, n);
}

const struct imap_step imap_step_uid_expunge = { "UID EXPUNGE", uid_expunge_fn,
	false };
