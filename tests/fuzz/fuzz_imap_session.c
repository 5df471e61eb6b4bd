/*
 * Commands of an IMAP session over an account in memory.  The first byte says
 * what goes wrong, the second one how the input is cut; up to the first 0xff
 * the bytes are a message, then come the commands.
 *
 * Checked: whatever comes, the output is a sequence of whole responses, with
 * literals as long as they were announced; sequence numbers told make sense;
 * the same output however the input is cut; everything is given back.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/num.h"
#include "protocols/imap/lex.h"
#include "protocols/imap/session.h"
#include "tests/support/fake_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	OUTPUT_MAX = 64 * 1024 * 1024,
	RUNS_MAX = 1000 * 1000,
	INPUT_SIZE_MAX = 64 * 1024,
};

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
no_log(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	(void)level;
	(void)ident;
	check(line != NULL);
}

/* --- what a client makes of the output ----------------------------------- */

struct client {
	uint32_t exists;
	bool selected;
};

/* "* 5 EXPUNGE" and the like: a number that the client can know. */
static void
check_numbered(struct client *c, struct slice line)
{
	struct slice rest = slice_skip(line, 2), word;
	uint32_t n;

	if (!slice_split(&rest, ' ', &word) || !num_u32(word, &n))
		return;
	if (slice_starts(rest, SLICE("EXISTS"))) {
		check(!c->selected || n >= c->exists);
		c->exists = n;
	} else if (slice_starts(rest, SLICE("EXPUNGE"))) {
		check(n >= 1 && n <= c->exists);
		c->exists--;
	} else if (slice_starts(rest, SLICE("FETCH"))) {
		check(n >= 1 && n <= c->exists);
	} else {
		check(slice_starts(rest, SLICE("RECENT")) && n <= c->exists);
	}
}

static void
check_response(struct client *c, struct slice line)
{
	struct imap_lex lx = imap_lex_of(line);
	struct slice tag;

	if (slice_starts(line, SLICE("+ ")))
		return;
	if (slice_starts(line, SLICE("* "))) {
		/* a mailbox is told of with its FLAGS first */
		if (slice_starts(line, SLICE("* OK [UIDNEXT")))
			c->selected = true;
		check_numbered(c, line);
		return;
	}
	check(imap_lex_tag(&lx, &tag) == PARSE_OK);
	check(imap_lex_space(&lx) == PARSE_OK);
	check(imap_lex_word(&lx, SLICE("OK")) ||
	    imap_lex_word(&lx, SLICE("NO")) ||
	    imap_lex_word(&lx, SLICE("BAD")));
}

/*
 * The end of a line: CRLF, without CR, LF or NUL before it.  What a message
 * holds comes in literals only.
 */
static struct slice
take_line(struct slice *out)
{
	struct slice line;

	check(slice_split(out, '\n', &line) && out->p != NULL);
	check(slice_ends(line, SLICE("\r")));
	line.n--;
	check(!slice_has(line, '\r') && !slice_has(line, '\0'));
	return line;
}

/* broken: the session gave up in the middle of a literal. */
static void
check_output(struct slice out, bool broken)
{
	struct client c = { .exists = 0 };
	struct imap_literal lit;

	while (out.n != 0) {
		struct slice line;

		if (broken && !slice_has(out, '\n'))
			return;
		/* every SELECT begins anew */
		if (slice_starts(out, SLICE("* FLAGS")))
			c.selected = c.selected && c.exists != 0;
		line = take_line(&out);
		if (slice_starts(line, SLICE("* OK [PERMANENTFLAGS")))
			c.selected = false;
		check_response(&c, line);
		c.selected =
		    c.selected || slice_starts(line, SLICE("* OK [UIDNEXT"));
		while (imap_line_literal(line, &lit) &&
		    slice_starts(line, SLICE("+ ")) == false) {
			if (lit.size > out.n) {
				check(broken);
				return;
			}
			out = slice_skip(out, (size_t)lit.size);
			if (broken && !slice_has(out, '\n'))
				return;
			line = take_line(&out);
		}
	}
}

/* --- running ------------------------------------------------------------- */

static void
never(void *arg)
{
	(void)arg;
}

static bool
run_session(struct slice message, struct slice commands, uint8_t faults,
    size_t piece, struct buf *output)
{
	struct imap_options opt = imap_options_default;
	struct session_peer peer = { .user = "u",
		.client_addr = "::1",
		.local_addr = "::1",
		.tls = "",
		.ident = "fuzz" };
	struct session *s;
	enum step st;
	int64_t now = 1000;
	bool eof = false;

	opt.line_max = 1000;
	opt.literals_max = 1000;
	opt.message_max = 100000;
	fake_store_reset();
	fake_store_deliver(0, message);
	fake_store_deliver(0, SLICE("Subject: b\n\nfixed\n"));
	fake_store_deliver(1, message);
	opt.no_prefix = (faults & 64) != 0;
	fake_store.waits = (faults & 1) != 0;
	fake_store.change_rc = (faults & 2) != 0 ? ERR_SYS : 0;
	fake_store.open_message_rc = (faults & 4) != 0 ? ERR_SYS : 0;
	fake_store.read_breaks = (faults & 8) != 0;
	fake_store.append_rc = (faults & 16) != 0 ? ERR_SPACE : 0;
	fake_store.busy = (faults & 32) != 0 ? 2 : 0;
	s = imap_session_new(
	    &opt, &peer, fake_store_account(), "L", "LOGIN", now);
	s->waker = (struct waker){ never, NULL };
	for (int runs = 0;; runs++) {
		check(runs < RUNS_MAX);
		st = s->ops->run(s, now++, 1700000000000);
		check(buf_ok(&s->out));
		buf_put(output, buf_slice(&s->out));
		buf_drain(&s->out, buf_len(&s->out));
		if (st == STEP_DONE)
			break;
		if (st == STEP_WAIT_PEER)
			now += 100;
		if (st != STEP_WAIT_INPUT)
			continue;
		if (commands.n == 0) {
			check(!eof);
			eof = true;
			s->ops->eof(s);
			continue;
		}
		check(session_input_room(s) > 0);
		piece = piece < session_input_room(s) ? piece
						      : session_input_room(s);
		buf_put(&s->in, slice_first(commands, piece));
		commands = slice_skip(commands, piece);
	}
	s->ops->free(s);
	check(fake_store.accounts == 0 && fake_store.mailboxes == 0);
	check(fake_store.changes == 0 && fake_store.listeners == 0);
	fake_store_clear();
	check(fake_store.views == 0);
	return buf_ok(output);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size), message, commands;
	struct buf whole, cut;
	uint8_t faults;
	size_t piece, end;
	bool ok;

	if (size < 2 || size > INPUT_SIZE_MAX)
		return 0;
	log_set_sink(no_log, NULL);
	faults = data[0];
	piece = (size_t)data[1] + 1;
	in = slice_skip(in, 2);
	end = slice_find(in, 0xff);
	message = slice_first(in, end);
	commands = slice_skip(in, end + 1);
	buf_init(&whole, OUTPUT_MAX);
	buf_init(&cut, OUTPUT_MAX);
	ok = run_session(message, commands, faults, SIZE_MAX / 2, &whole);
	ok = run_session(message, commands, faults, piece, &cut) && ok;
	if (ok) {
		check_output(buf_slice(&whole), (faults & 8) != 0);
		check(slice_eq(buf_slice(&whole), buf_slice(&cut)));
	}
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
