/*
 * APPEND, RFC 3501 6.3.11; RFC 4315 3 (APPENDUID).
 *
 * The message's bytes go from the input to the store as they come.  Whatever
 * can be known against it (no such mailbox, too large, over quota) is said
 * before the client is asked for them; one that sends them unasked (RFC 7888)
 * has them passed over.
 */
#include "maildir/append.h"
#include "protocols/imap/date_time.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

struct append_args {
	struct slice name;
	bool bad_name;
	struct imap_flags flags;
	int64_t internal_ms;
	struct append *append;
	uint64_t left; /* bytes of the literal still to come */
	int rc;	       /* writing failed: the rest is passed over */
	struct err e;  /* and why */
};

/* --- arguments ----------------------------------------------------------- */

enum parse
imap_parse_append(struct imap_session *i, struct imap_lex *lx)
{
	struct append_args *a = IMAP_ARGS(i, struct append_args);
	enum parse r;

	a->internal_ms = INT64_MIN;
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_mailbox(i, lx, &a->name, &a->bad_name)) !=
		PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	if (imap_lex_peek(lx) == '(' &&
	    ((r = imap_parse_flags(i, lx, false, &a->flags)) != PARSE_OK ||
		(r = imap_lex_space(lx)) != PARSE_OK))
		return r;
	if (imap_lex_peek(lx) == '"' &&
	    ((r = imap_lex_date_time(lx, &a->internal_ms)) != PARSE_OK ||
		(r = imap_lex_space(lx)) != PARSE_OK))
		return r;
	r = imap_lex_literal(lx);
	if (r != PARSE_LITERAL)
		return r;
	if (lx->literal.binary) { /* RFC 3516 4.4 isn't offered */
		lx->why = "literal8 isn't allowed here";
		return PARSE_BAD;
	}
	i->stream = true;
	a->left = lx->literal.size;
	return PARSE_LITERAL;
}

static void
append_cleanup(struct imap_session *i)
{
	struct append_args *a = i->args;

	append_free(&a->append);
}

/* --- the end ------------------------------------------------------------- */

static enum step
append_fail(struct imap_session *i, int rc, const struct err *e)
{
	/* RFC 3501 6.3.11 */
	if (rc == ERR_NOT_FOUND || rc == ERR_INVALID)
		return imap_finish(
		    i, "NO", "[TRYCREATE] Mailbox does not exist.");
	return imap_fail(i, "APPEND", rc, e);
}

static enum step
commit_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	enum step st = append_commit(a->append, i->s.waker, i->now, i->wall);
	uint32_t uidvalidity = 0;
	const uint32_t *uids = NULL;
	size_t n = 0;
	int rc;

	if (st != STEP_DONE)
		return st;
	rc = append_result(a->append, &uidvalidity, &uids, &n);
	if (rc != 0)
		return append_fail(i, rc, NULL);
	assert(n == 1);
	return imap_finish(
	    i, "OK", "[APPENDUID %u %u] APPEND Ok.", uidvalidity, uids[0]);
}

static const struct imap_step step_commit = { "APPEND commit", commit_fn,
	true };

/* The line break behind the literal: the end of the command. */
static enum step
line_end_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	struct imap_lex lx = imap_lex_of(buf_slice(&i->s.in));

	switch (imap_lex_crlf(&lx)) {
	case PARSE_OK:
		break;
	case PARSE_MORE:
		return imap_wait_input(i);
	case PARSE_BAD:
	case PARSE_LIMIT:
	case PARSE_LITERAL:
		i->n_bad++;
		i->left = IMAP_LEFT_LINE;
		return imap_finish(
		    i, "BAD", "APPEND: unexpected argument after the message.");
	}
	buf_drain(&i->s.in, lx.pos);
	if (a->rc == 0)
		a->rc = append_message_end(a->append, &a->e);
	if (a->rc != 0)
		return append_fail(i, a->rc, &a->e);
	return imap_goto(i, &step_commit);
}

static const struct imap_step step_line_end = { "APPEND line end", line_end_fn,
	false };

/* --- the bytes ----------------------------------------------------------- */

static enum step
bytes_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	struct slice in = buf_slice(&i->s.in);

	if (a->left == 0)
		return imap_goto(i, &step_line_end);
	if (in.n == 0)
		return imap_wait_input(i);
	if (in.n > a->left)
		in.n = (size_t)a->left;
	if (a->rc == 0) {
		a->rc = append_write(a->append, in, &a->e);
		if (a->rc != 0)
			append_free(&a->append);
	}
	a->left -= in.n;
	buf_drain(&i->s.in, in.n);
	return imap_spend(i, in.n) ? STEP_YIELD : STEP_NEXT;
}

static const struct imap_step step_bytes = { "APPEND bytes", bytes_fn, false };

/* The message isn't wanted; what the client sends unasked is passed over. */
static enum step
refused(struct imap_session *i, int rc, const struct err *e)
{
	i->left = IMAP_LEFT_LITERAL;
	return append_fail(i, rc, e);
}

static enum step
append_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	struct err e = { .code = 0 };
	int rc = 0;

	if (i->literal.size == 0) {
		i->left = IMAP_LEFT_LITERAL;
		return imap_finish(i, "NO", "[CANNOT] Message is empty.");
	}
	if (i->literal.size > i->opt->message_max) {
		i->left = IMAP_LEFT_LITERAL;
		return imap_finish(i, "NO", "[TOOBIG] Message too large.");
	}
	if (a->bad_name)
		return refused(i, ERR_NOT_FOUND, NULL);
	if (a->append == NULL)
		rc = append_begin(i->account, a->name, &a->append, &e);
	if (rc == 0) {
		i->cleanup = append_cleanup;
		rc = append_message(a->append, a->flags.flags,
		    a->flags.keywords, a->flags.n_keywords, a->internal_ms,
		    i->literal.size, i->wall, &e);
	}
	if (imap_retry(i, rc))
		return STEP_WAIT_PEER;
	if (rc != 0)
		return refused(i, rc, &e);
	if (i->literal.sync)
		buf_puts(&i->s.out, "+ OK\r\n");
	return imap_goto(i, &step_bytes);
}

const struct imap_step imap_step_append = { "APPEND", append_fn, false };
