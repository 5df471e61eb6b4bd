/*
 * Commands of an IMAP session over an account in memory.  The first byte says
 * what goes wrong, the second one how the input is cut, and if the first one
 * has its highest bit, a third one how the server is set up; up to the first
 * 0xff the bytes are a message, then come the commands.
 *
 * Checked: whatever comes, the output is a sequence of whole responses, with
 * literals as long as they were announced; sequence numbers told make sense;
 * the same output however the input is cut; everything is given back.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
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

/* "1:3,7" of "* VANISHED 1:3,7" (RFC 7162 3.2.10): messages that were there. */
static void
check_vanished(struct client *c, struct slice uids)
{
	struct slice range, from;
	uint32_t lo, hi;

	while (slice_split(&uids, ',', &range)) {
		check(slice_split(&range, ':', &from) && num_u32(from, &lo));
		hi = lo;
		check(range.p == NULL || num_u32(range, &hi));
		check(lo >= 1 && hi >= lo && hi - lo < c->exists);
		c->exists -= hi - lo + 1;
	}
}

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
	static const struct slice vanished = SLICE_INIT("* VANISHED ");
	struct imap_lex lx = imap_lex_of(line);
	struct slice tag;

	if (slice_starts(line, SLICE("+ ")))
		return;
	if (slice_starts(line, SLICE("* "))) {
		/* a mailbox is told of with its FLAGS first */
		if (slice_starts(line, SLICE("* OK [UIDNEXT")))
			c->selected = true;
		if (slice_starts(line, vanished) && !slice_has(line, '('))
			check_vanished(c, slice_skip(line, vanished.n));
		else
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

/* What the first and the third byte say. */
enum { WAITS = 1, NO_CHANGE = 2, NO_OPEN = 4, READ_BREAKS = 8, NO_SPACE = 16 };
enum { BUSY = 32, NO_PREFIX = 64, MORE = 128 };
enum { RENAMES = 1, HIBERNATES = 2, SMALL = 4, TRASH = 8, OUTBOX = 16 };
enum { COURIER = 32, PREAUTH = 64, ENDED = 128 };

struct setup {
	uint8_t faults, more;
	size_t piece; /* how many bytes come at once */
};

static void
set_options(const struct setup *setup, struct imap_options *opt)
{
	const bool small = (setup->more & SMALL) != 0;

	*opt = imap_options_default;
	opt->line_max = small ? 100 : 1000;
	opt->literals_max = small ? 50 : 1000;
	opt->message_max = small ? 200 : 100000;
	opt->no_prefix = (setup->faults & NO_PREFIX) != 0;
	if (small) {
		opt->nesting_max = 2;
		opt->set_max = 3;
		opt->bad_max = 3;
		opt->progress_ms = 2;
		opt->mime = (struct mime_options){ .max_depth = 1,
			.max_parts = 2,
			.max_field = 40,
			.max_text = 40 };
	}
	if ((setup->more & TRASH) != 0) {
		opt->trash_mailbox = opt->trash = "INBOX.a";
		opt->log_deletions = true;
	}
	if ((setup->more & OUTBOX) != 0) {
		opt->outbox = "INBOX.a";
		opt->outbox_multiple = (setup->more & RENAMES) != 0;
	}
	if ((setup->more & COURIER) != 0) {
		opt->keywords = false;
		opt->no_thread_sort = true;
		opt->mark_all = false;
		opt->no_inferiors = true;
		opt->capability_tls = "IMAP4rev1 UIDPLUS ACL2=UNION";
		opt->id_name = NULL;
	} else {
		opt->acl = (setup->faults & MORE) != 0;
		opt->shared_index = opt->acl ? "/x" : NULL;
		opt->shared_links = opt->acl ? "" : NULL;
	}
}

static void
set_store(const struct setup *setup, struct slice message)
{
	uint8_t faults = setup->faults;

	fake_store_reset();
	fake_store_deliver(0, message);
	fake_store_deliver(0, SLICE("Subject: b\n\nfixed\n"));
	fake_store_deliver(1, message);
	fake_store.waits = (faults & WAITS) != 0;
	fake_store.change_rc = (faults & NO_CHANGE) != 0 ? ERR_SYS : 0;
	fake_store.open_message_rc = (faults & NO_OPEN) != 0 ? ERR_SYS : 0;
	fake_store.read_breaks = (faults & READ_BREAKS) != 0;
	fake_store.append_rc = (faults & NO_SPACE) != 0 ? ERR_SPACE : 0;
	fake_store.busy = (faults & BUSY) != 0 ? 2 : 0;
	fake_store.renames = (setup->more & RENAMES) != 0;
	fake_store.hibernates = (setup->more & HIBERNATES) != 0;
}

/* What the worker does for a session: compresses, has messages sent. */
static void
serve(struct session *s, const struct setup *setup)
{
	if (s->deflate == SESSION_DEFLATE_ASKED)
		s->deflate = SESSION_DEFLATE_ON;
	if (s->send != SESSION_SEND_ASKED)
		return;
	(void)close(s->send_fd);
	s->send_fd = -1;
	s->send = SESSION_SEND_SENT;
	if ((setup->faults & NO_CHANGE) != 0) {
		s->send = SESSION_SEND_FAILED;
		s->send_why = mem_strdup("no\r\nway");
	}
}

/* No more input; or somebody ends the session. */
static void
end(struct session *s, const struct setup *setup)
{
	if ((setup->more & ENDED) != 0)
		s->ops->end(s, SESSION_KICKED);
	s->ops->eof(s);
}

static bool
run_session(struct slice message, struct slice commands,
    const struct setup *setup, struct buf *output)
{
	const bool preauth = (setup->more & PREAUTH) != 0;
	struct imap_options opt;
	struct session_peer peer = { .user = "u",
		.client_addr = "::1",
		.local_addr = "::1",
		.tls = setup->more & COURIER ? "TLSv1.3 X" : "",
		.options = preauth ? "disableshared=1" : NULL,
		.ident = "fuzz" };
	struct session *s;
	enum step st;
	int64_t now = 1000;
	bool eof = false;

	set_options(setup, &opt);
	set_store(setup, message);
	s = imap_session_new(&opt, &peer, fake_store_account(),
	    preauth ? "" : "L", "LOGIN", now);
	s->waker = (struct waker){ never, NULL };
	for (int runs = 0;; runs++) {
		size_t room, n;

		check(runs < RUNS_MAX);
		st = s->ops->run(s, now++, 1700000000000);
		check(buf_ok(&s->out) && s->ops->deadline(s) > 0);
		buf_put(output, buf_slice(&s->out));
		buf_drain(&s->out, buf_len(&s->out));
		serve(s, setup);
		if (st == STEP_DONE)
			break;
		if (st == STEP_WAIT_PEER)
			now += 100;
		if (st != STEP_WAIT_INPUT)
			continue;
		if (commands.n == 0) {
			check(!eof);
			eof = true;
			end(s, setup);
			continue;
		}
		room = session_input_room(s);
		check(room > 0);
		n = setup->piece < room ? setup->piece : room;
		buf_put(&s->in, slice_first(commands, n));
		commands = slice_skip(commands, n);
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
	struct setup setup;
	size_t end_of_message;
	bool ok;

	if (size < 2 || size > INPUT_SIZE_MAX)
		return 0;
	log_set_sink(no_log, NULL);
	setup = (struct setup){ .faults = data[0], .piece = SIZE_MAX / 2 };
	in = slice_skip(in, 2);
	if ((setup.faults & MORE) != 0 && in.n != 0) {
		setup.more = in.p[0];
		in = slice_skip(in, 1);
	}
	end_of_message = slice_find(in, 0xff);
	message = slice_first(in, end_of_message);
	commands = slice_skip(in, end_of_message + 1);
	buf_init(&whole, OUTPUT_MAX);
	buf_init(&cut, OUTPUT_MAX);
	ok = run_session(message, commands, &setup, &whole);
	setup.piece = (size_t)data[1] + 1;
	ok = run_session(message, commands, &setup, &cut) && ok;
	if (ok) {
		check_output(
		    buf_slice(&whole), (setup.faults & READ_BREAKS) != 0);
		check(slice_eq(buf_slice(&whole), buf_slice(&cut)));
	}
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
