/*
 * From bytes to one whole command.
 *
 * A command is a line, or, where a line ends with the announcement of a
 * literal, that line, the literal's bytes and what follows.  All of it is
 * gathered in i->line.  At each announcement what is there is parsed: if the
 * command can't be right, or the literal is too large, it is refused before
 * the client gets its continuation (RFC 3501 4.3, 7.5).  A client that
 * doesn't wait for one (RFC 7888) sends the rest whatever we say, so that is
 * passed over.
 */
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum {
	LITERALS_MAX = 200, /* of one command: each is a look at all of it */
	TAIL = 40,	    /* enough for the announcement of a literal */
};

static void
reset(struct imap_session *i)
{
	buf_reset(&i->line);
	i->n_line = i->line_at = i->n_literal = i->n_literals = 0;
	i->scanned = 0;
	i->want = 0;
}

/* Pass over a literal whose announcement was refused, and what follows. */
static void
skip_literal(struct imap_session *i, const struct imap_literal *lit)
{
	reset(i);
	if (lit->sync)
		return; /* it won't be sent */
	i->skip = lit->size;
	i->skipping = true;
}

void
imap_input_done(struct imap_session *i)
{
	enum imap_left left = i->left;

	i->left = IMAP_LEFT_NONE;
	reset(i);
	if (left == IMAP_LEFT_LINE)
		i->skipping = true;
	if (left == IMAP_LEFT_LITERAL)
		skip_literal(i, &i->literal);
}

/* Take n bytes of the input away and tell how much work that was. */
static enum step
drop(struct imap_session *i, size_t n)
{
	buf_drain(&i->s.in, n);
	return imap_spend(i, n) ? STEP_YIELD : STEP_NEXT;
}

/* --- passing over -------------------------------------------------------- */

/*
 * The end of a line that is passed over: if it announces a literal that
 * comes without being asked for, that belongs to the command as well.
 */
static void
skipped_line(struct imap_session *i)
{
	struct imap_literal lit;

	if (!imap_line_literal(buf_slice(&i->line), &lit)) {
		i->skipping = false;
		reset(i);
	} else {
		i->skipping = false;
		skip_literal(i, &lit);
	}
}

static enum step
skip_some(struct imap_session *i)
{
	struct slice in = buf_slice(&i->s.in);
	size_t n;

	if (in.n == 0)
		return imap_wait_input(i);
	if (i->skip != 0) {
		n = i->skip < in.n ? (size_t)i->skip : in.n;
		i->skip -= n;
		return drop(i, n);
	}
	n = slice_find(in, '\n');
	n += n < in.n;
	/* keep the end of the line, to see what it announces */
	buf_put(
	    &i->line, slice_skip(slice_first(in, n), n > TAIL ? n - TAIL : 0));
	if (buf_len(&i->line) > TAIL)
		buf_drain(&i->line, buf_len(&i->line) - TAIL);
	if (in.p[n - 1] == '\n')
		skipped_line(i);
	return drop(i, n);
}

/* --- gathering ----------------------------------------------------------- */

static void
want_literal(struct imap_session *i)
{
	const struct imap_literal *lit = &i->literal;

	/* RFC 7888 4, 5: what is too large is refused before it is sent */
	if ((!lit->sync && lit->size > IMAP_LITERAL_MINUS_MAX &&
		imap_literal_minus(i)) ||
	    lit->size > i->opt->literals_max - i->n_literal ||
	    i->n_literals >= LITERALS_MAX) {
		imap_bad(i, "[TOOBIG] Literal too large.");
		skip_literal(i, lit);
		return;
	}
	if (lit->sync)
		buf_puts(&i->s.out, "+ OK\r\n");
	i->want = lit->size;
	i->n_literal += (size_t)lit->size;
	i->n_literals++;
}

/* i->line ends with a line break. */
static enum step
line_is_here(struct imap_session *i)
{
	struct imap_literal lit;
	bool literal;

	switch (imap_command_parse(i)) {
	case IMAP_RUN:
		return imap_goto(i, &imap_step_begin);
	case IMAP_WANT:
		want_literal(i);
		return STEP_NEXT;
	case IMAP_REFUSED:
		literal = imap_line_literal(
		    slice_skip(buf_slice(&i->line), i->line_at), &lit);
		imap_command_clear(i);
		reset(i);
		if (literal)
			skip_literal(i, &lit);
		break;
	}
	return STEP_NEXT;
}

static enum step
too_long(struct imap_session *i)
{
	struct imap_lex lx = imap_lex_of(buf_slice(&i->line));

	/* the answer needs the tag, if there is one */
	if (imap_lex_tag(&lx, &i->tag) != PARSE_OK)
		i->tag = slice_of(NULL, 0);
	imap_bad(i, "Command line too long.");
	imap_command_clear(i);
	reset(i);
	i->skipping = true;
	return STEP_NEXT;
}

static enum step
gather(struct imap_session *i)
{
	struct slice in = buf_slice(&i->s.in);
	size_t n, room = i->opt->line_max - i->n_line;

	if (i->want != 0) {
		if (in.n == 0)
			return imap_wait_input(i);
		n = i->want < in.n ? (size_t)i->want : in.n;
		buf_put(&i->line, slice_first(in, n));
		i->want -= n;
		i->line_at = buf_len(&i->line);
		return drop(i, n);
	}
	n = slice_find(slice_skip(in, i->scanned), '\n') + i->scanned;
	if (n == in.n && n < room && n < i->s.in.max) {
		i->scanned = n;
		return imap_wait_input(i);
	}
	i->scanned = 0;
	if (n >= room) {
		buf_put(&i->line, slice_first(in, room));
		buf_drain(&i->s.in, room);
		return too_long(i);
	}
	n += n < in.n;
	buf_put(&i->line, slice_first(in, n));
	buf_drain(&i->s.in, n);
	i->n_line += n;
	if (!slice_ends(buf_slice(&i->line), SLICE("\n")))
		return STEP_NEXT; /* the input was full: go on */
	return line_is_here(i);
}

static enum step
command_fn(struct imap_session *i)
{
	if (i->n_bad >= i->opt->bad_max)
		return imap_bye(
		    i, SESSION_ERROR, "[CLIENTBUG] Too many bad commands.");
	if (i->s.deflate == SESSION_DEFLATE_SAID)
		i->s.deflate = SESSION_DEFLATE_ASKED;
	if (i->s.deflate == SESSION_DEFLATE_ASKED)
		return STEP_YIELD;
	return i->skipping ? skip_some(i) : gather(i);
}

const struct imap_step imap_step_command = { "command", command_fn, false };
