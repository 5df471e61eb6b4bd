/*
 * APPEND, RFC 3501 6.3.11; several messages at once, RFC 3502; APPENDUID,
 * RFC 4315 3; literal8, RFC 3516 4.4; TOOBIG, RFC 7888 5 and RFC 7889 4; UTF8
 * and headers that aren't ASCII, RFC 6855 4.
 *
 * A message's bytes go from the input to the store as they come.  Whatever
 * can be known against it (no such mailbox, too large, over quota) is said
 * before the client is asked for them; one that sends them unasked has them
 * passed over, and so has one whose message the disk didn't take.  Nothing is
 * in the mailbox before all messages are here: append_commit() brings all of
 * them, or none.
 *
 * A message that comes as a literal8 may hold bytes that no line of the store
 * can: it is kept as it came at first and then copied, append_binary.c.
 */
#include "protocols/imap/append.h"
#include "protocols/imap/date_time.h"
#include "protocols/imap/names.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/writer.h"

static const struct imap_step step_message, step_bytes, step_behind;

/* --- arguments ----------------------------------------------------------- */

/* RFC 6855 4: utf8-literal = "UTF8" SP "(" literal8 ")" */
static enum parse
utf8_literal(struct imap_lex *lx, struct append_args *a)
{
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_open(lx)) != PARSE_OK ||
	    (r = imap_lex_literal(lx)) != PARSE_LITERAL)
		return r;
	if (!lx->literal.binary) {
		lx->why = "expected a literal8";
		return PARSE_BAD;
	}
	a->utf8 = true;
	return PARSE_LITERAL;
}

/* [SP flag-list] [SP date-time] SP literal; the SP before it is taken. */
static enum parse
message_options(
    struct imap_session *i, struct imap_lex *lx, struct append_args *a)
{
	enum parse r;

	a->flags = (struct imap_flags){ .flags = 0 };
	a->internal_ms = INT64_MIN;
	a->utf8 = false;
	if (imap_lex_peek(lx) == '(' &&
	    ((r = imap_parse_flags(i, lx, false, &a->flags)) != PARSE_OK ||
		(r = imap_lex_space(lx)) != PARSE_OK))
		return r;
	if (imap_lex_peek(lx) == '"' &&
	    ((r = imap_lex_date_time(lx, &a->internal_ms)) != PARSE_OK ||
		(r = imap_lex_space(lx)) != PARSE_OK))
		return r;
	return imap_lex_word(lx, SLICE("UTF8")) ? utf8_literal(lx, a)
						: imap_lex_literal(lx);
}

enum parse
imap_parse_append(struct imap_session *i, struct imap_lex *lx)
{
	struct append_args *a = IMAP_ARGS(i, struct append_args);
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_mailbox(i, lx, &a->name, &a->bad_name)) !=
		PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	a->mark = arena_mark(&i->arena);
	r = message_options(i, lx, a);
	i->stream = r == PARSE_LITERAL;
	return r;
}

static void
append_cleanup(struct imap_session *i)
{
	struct append_args *a = i->args;

	imap_append_binary_fini(a);
	append_free(&a->append);
}

/* --- the end ------------------------------------------------------------- */

static enum step
append_fail(struct imap_session *i, int rc, const struct err *e)
{
	const struct append_args *a = i->args;

	/* RFC 6855 4 */
	if (a->refused_8bit)
		return imap_finish(i, "NO",
		    "[CANNOT] The header of the message isn't ASCII, and "
		    "UTF8=ACCEPT isn't enabled.");
	if (a->too_big)
		return imap_finish(i, "NO",
		    "[TOOBIG] Message too large in base64, which it must be "
		    "kept in.");
	/* RFC 3501 6.3.11 */
	if (rc == ERR_NOT_FOUND)
		return imap_finish(
		    i, "NO", "[TRYCREATE] Mailbox does not exist.");
	return imap_fail(i, "APPEND", rc, e);
}

static void
put_appenduid(
    struct buf *out, uint32_t uidvalidity, const uint32_t *uids, size_t n)
{
	struct imap_put_set w;

	buf_putf(out, "[APPENDUID %u ", uidvalidity);
	imap_put_set_begin(&w, out);
	for (size_t k = 0; k < n; k++)
		imap_put_set_add(&w, uids[k]);
	imap_put_set_end(&w);
	buf_puts(out, "] ");
}

static enum step
commit_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	enum step st = append_commit(a->append, i->s.waker, i->now, i->wall);
	uint32_t uidvalidity = 0;
	const uint32_t *uids = NULL;
	struct buf code;
	size_t n = 0;
	int rc;

	if (st != STEP_DONE)
		return st;
	rc = append_result(a->append, &uidvalidity, &uids, &n);
	if (rc != 0 && a->n_sent != 0) {
		imap_log_error(i, "APPEND of a message sent", rc, NULL);
		return imap_finish(i, "NO",
		    "[ALERT] The message%s sent, but can't be stored.",
		    a->n == 1 ? " was" : "s were");
	}
	if (rc != 0)
		return append_fail(i, rc, NULL);
	assert(n == a->n);
	buf_init(&code, i->reply.max);
	if (imap_may_tell_uids(&a->place))
		put_appenduid(&code, uidvalidity, uids, n);
	st = imap_finish(i, "OK", "%sAPPEND Ok.", buf_cstr(&code));
	buf_fini(&code);
	return st;
}

static const struct imap_step step_commit = { "APPEND commit", commit_fn,
	true };

/* --- OUTBOX -------------------------------------------------------------- */

static const struct imap_step step_sending;

static enum step
not_sent(struct imap_session *i, struct append_args *a)
{
	append_free(&a->append);
	if (a->n_sent == 0)
		return imap_finish(
		    i, "NO", "[ALERT] Message was not sent: %s.", a->e.text);
	return imap_finish(i, "NO",
	    "[ALERT] %zu of %zu messages were sent, and nothing was stored: "
	    "%s.",
	    a->n_sent, a->n, a->e.text);
}

/* All messages are here, and are sent before any is stored. */
static enum step
send_next_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	int fd;

	a->rc = append_open_file(a->append, a->n_sent, &fd, &a->e);
	if (a->rc != 0 && a->n_sent == 0)
		return append_fail(i, a->rc, &a->e);
	if (a->rc != 0) {
		imap_log_error(i, "sending a message", a->rc, &a->e);
		(void)err_set(&a->e, a->rc, "it can't be read");
		return not_sent(i, a);
	}
	imap_send_begin(i, fd);
	return imap_goto(i, &step_sending);
}

static const struct imap_step step_send_next = { "APPEND send next",
	send_next_fn, false };

static enum step
sending_fn(struct imap_session *i)
{
	struct append_args *a = i->args;

	if (imap_send_step(i, &a->rc, &a->e) != STEP_DONE)
		return STEP_WAIT_PEER;
	if (a->rc != 0)
		return not_sent(i, a);
	/* An end from outside comes between two, but not before the commit. */
	return imap_goto(
	    i, ++a->n_sent == a->n ? &step_commit : &step_send_next);
}

static const struct imap_step step_sending = { "APPEND send", sending_fn,
	true };

/* --- what stands behind a message ---------------------------------------- */

static enum step
bad_behind(struct imap_session *i, const char *why)
{
	i->n_bad++;
	i->left = IMAP_LEFT_LINE;
	return imap_finish(i, "BAD", "APPEND: %s.", why);
}

/* The next message is announced by a line: its options, and a literal. */
static enum step
next_message(struct imap_session *i, struct append_args *a, size_t n)
{
	struct slice line;
	struct imap_lex lx;

	/* what belonged to the message before has been given on */
	arena_rewind(&i->arena, a->mark);
	line = arena_dup(&i->arena, slice_first(buf_slice(&i->s.in), n));
	assert(line.p != NULL);
	lx = imap_lex_of(slice_skip(line, 1));
	switch (message_options(i, &lx, a)) {
	case PARSE_LITERAL:
		break;
	case PARSE_OK:
	case PARSE_MORE:
		return bad_behind(i, "missing argument");
	case PARSE_BAD:
	case PARSE_LIMIT:
		return bad_behind(i, lx.why);
	}
	if (lx.pos != lx.in.n) /* "{1}" and a line break inside of the line */
		return bad_behind(i, "unexpected argument after the message");
	i->literal = lx.literal;
	buf_drain(&i->s.in, n);
	return imap_goto(i, &step_message);
}

/* The command ends: CRLF, or LF. */
static enum step
all_here(struct imap_session *i, struct append_args *a, size_t n)
{
	buf_drain(&i->s.in, n);
	if (a->rc != 0)
		return append_fail(i, a->rc, &a->e);
	return imap_goto(
	    i, imap_is_outbox(i, &a->place) ? &step_send_next : &step_commit);
}

static enum step
behind_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	struct imap_lex lx = imap_lex_of(buf_slice(&i->s.in));
	size_t n;

	if (a->utf8 && imap_lex_peek(&lx) >= 0) {
		if (!imap_lex_take(&lx, ')'))
			return bad_behind(i, "expected )");
		a->utf8 = false;
		buf_drain(&i->s.in, 1);
		return STEP_NEXT;
	}
	switch (imap_lex_crlf(&lx)) {
	case PARSE_OK:
		return all_here(i, a, lx.pos);
	case PARSE_MORE:
		return imap_wait_input(i);
	case PARSE_BAD:
	case PARSE_LIMIT:
	case PARSE_LITERAL:
		break;
	}
	if (imap_lex_peek(&lx) != ' ')
		return bad_behind(i, "unexpected argument after the message");
	n = slice_find(lx.in, '\n');
	if (n > i->opt->line_max || (n == lx.in.n && n >= i->s.in.max))
		return bad_behind(i, "line too long");
	if (n == lx.in.n)
		return imap_wait_input(i);
	return next_message(i, a, n + 1);
}

static const struct imap_step step_behind = { "APPEND behind", behind_fn,
	false };

/* --- the bytes ----------------------------------------------------------- */

/* What couldn't be written is passed over; nothing of it stays. */
static void
note_failure(struct append_args *a)
{
	if (a->rc == 0)
		return;
	imap_append_binary_fini(a);
	append_free(&a->append);
}

static enum step
copying_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	enum step st = imap_append_binary_copy(i, a);

	if (st != STEP_DONE)
		return st;
	note_failure(a);
	return imap_goto(i, &step_behind);
}

static const struct imap_step step_copying = { "APPEND copy", copying_fn,
	false };

static enum step
message_end(struct imap_session *i, struct append_args *a)
{
	if (a->rc == 0)
		a->rc = append_message_end(a->append, &a->e);
	if (a->rc == 0 && a->binary != NULL)
		return imap_goto(i, &step_copying);
	note_failure(a);
	return imap_goto(i, &step_behind);
}

/*
 * Whether a header of 8-bit bytes goes on or begins in these; the header is
 * that of the message, which ends at an empty line.
 */
static bool
find_8bit(struct append_args *a, struct slice in)
{
	for (size_t k = 0; k < in.n && a->in_header; k++) {
		uint8_t c = in.p[k];

		if (c >= 0x80)
			return true;
		if (c == '\n' && a->line_begins)
			a->in_header = false;
		a->line_begins = c == '\n' || (c == '\r' && a->line_begins);
	}
	return false;
}

static enum step
bytes_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	struct slice in = buf_slice(&i->s.in);

	if (a->left == 0)
		return message_end(i, a);
	if (in.n == 0)
		return imap_wait_input(i);
	if (in.n > a->left)
		in.n = (size_t)a->left;
	if (a->rc == 0 && find_8bit(a, in)) {
		a->refused_8bit = true;
		a->rc = ERR_INVALID;
	}
	if (a->rc == 0)
		a->rc = append_write(a->append, in, &a->e);
	if (a->rc == 0 && a->binary != NULL)
		imap_append_binary_feed(a, in);
	note_failure(a);
	a->left -= in.n;
	buf_drain(&i->s.in, in.n);
	return imap_spend(i, in.n) ? STEP_YIELD : STEP_NEXT;
}

static const struct imap_step step_bytes = { "APPEND bytes", bytes_fn, false };

/* --- the announcement ---------------------------------------------------- */

/* Not wanted; what the client sends unasked is passed over. */
static enum step
refused(struct imap_session *i, int rc, const struct err *e)
{
	i->left = IMAP_LEFT_LITERAL;
	return append_fail(i, rc, e);
}

/* What can be said against a message from its announcement alone. */
static const char *
objection(
    struct imap_session *i, const struct append_args *a, const char **state)
{
	const struct imap_literal *lit = &i->literal;

	*state = "NO";
	/* RFC 3502 6.3.11: an error, and a way to cancel it all */
	if (lit->size == 0)
		return a->n == 0 ? "[CANNOT] Message is empty."
				 : "[CANNOT] APPEND cancelled.";
	if (lit->size > i->opt->message_max)
		return "[TOOBIG] Message too large.";
	/* As Courier has it for COPY */
	if (a->n != 0 && imap_is_outbox(i, &a->place) &&
	    !i->opt->outbox_multiple)
		return "[CANNOT] Only one message at a time can be sent.";
	if (a->n >= IMAP_APPEND_MAX)
		return "[LIMIT] Too many messages at once.";
	if (!lit->sync && lit->size > IMAP_LITERAL_MINUS_MAX &&
	    imap_literal_minus(i)) {
		*state = "BAD";
		return "[TOOBIG] Non-synchronizing literal too large.";
	}
	return NULL;
}

int
imap_append_message(
    struct imap_session *i, struct append_args *a, uint64_t size, struct err *e)
{
	unsigned rights = a->place.rights;

	return append_message(a->append,
	    a->flags.flags & ~imap_flags_denied(rights), a->flags.keywords,
	    (rights & ACL_WRITE) != 0 ? a->flags.n_keywords : 0, a->internal_ms,
	    size, i->wall, e);
}

static enum step
message_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	const char *state, *why = objection(i, a, &state);
	struct err e = { .code = 0 };
	int rc;

	if (why != NULL) {
		i->left = IMAP_LEFT_LITERAL;
		return imap_finish(i, state, "%s", why);
	}
	if (a->rc != 0)
		return refused(i, a->rc, &a->e);
	rc = imap_append_message(i, a, i->literal.size, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0)
		return refused(i, rc, &e);
	if (i->literal.binary)
		imap_append_binary_begin(i, a);
	a->n++;
	a->left = i->literal.size;
	a->in_header = i->opt->ascii_headers && !i->utf8;
	a->line_begins = true;
	if (i->literal.sync)
		buf_puts(&i->s.out, "+ OK\r\n");
	return imap_goto(i, &step_bytes);
}

static const struct imap_step step_message = { "APPEND message", message_fn,
	false };

static enum step
append_fn(struct imap_session *i)
{
	struct append_args *a = i->args;
	struct err e = { .code = 0 };
	int rc;

	if (a->bad_name)
		return refused(i, ERR_INVALID, NULL);
	imap_leave(i);
	rc = imap_reach(i, a->name, ACL_INSERT, &a->place, &e);
	if (rc == 0)
		rc = append_begin(
		    a->place.account, a->place.name, &a->append, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0)
		return refused(i, rc, &e);
	i->cleanup = append_cleanup;
	return imap_goto(i, &step_message);
}

const struct imap_step imap_step_append = { "APPEND", append_fn, false };
