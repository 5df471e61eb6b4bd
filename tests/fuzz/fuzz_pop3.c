/*
 * Commands of a POP3 session over a mailbox in memory.  The first byte says
 * what goes wrong, the second one how the input is cut; if that has its
 * highest bit, a third one says what else goes wrong, and when somebody ends
 * the session.  Up to the first 0xff the bytes are a message, then come the
 * commands.
 *
 * Checked: each line is answered once, by a whole response, and what was
 * deleted is no more; the same output however the input is cut; the message
 * can be read back from its dot-stuffed form, to the byte and with nothing
 * left over; a session that ends without QUIT removes nothing.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/num.h"
#include "protocols/pop3/session.h"
#include "protocols/pop3/stuff.h"
#include "tests/support/fake_mailbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUTPUT_MAX = 16 * 1024 * 1024, RUNS_MAX = 1000 * 1000 };

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
	(void)line;
}

/* --- dot-stuffing -------------------------------------------------------- */

/* What a client makes of a multi-line response; false: not all of it is. */
static bool
read_back(struct slice wire, struct buf *message)
{
	struct slice line;

	while (slice_split(&wire, '\n', &line) && wire.p != NULL) {
		if (!slice_ends(line, SLICE("\r")))
			return false;
		if (slice_eq(line, SLICE(".\r")))
			return wire.n == 0;
		buf_put(message, slice_skip(line, line.p[0] == '.'));
		buf_putc(message, '\n');
	}
	return false;
}

static void
check_stuffing(struct slice message, size_t piece)
{
	struct buf wire, back, want;
	struct slice rest = message;
	struct pop3_stuff s;

	buf_init(&wire, OUTPUT_MAX);
	buf_init(&back, OUTPUT_MAX);
	buf_init(&want, OUTPUT_MAX);
	pop3_stuff_init(&s, UINT64_MAX);
	while (rest.n != 0) {
		struct slice next = slice_first(rest, piece);
		check(pop3_stuff_feed(&s, next, &wire) == next.n && !s.done);
		rest = slice_skip(rest, next.n);
	}
	pop3_stuff_end(&s, &wire);
	check(read_back(buf_slice(&wire), &back));
	for (size_t i = 0; i < message.n; i++) {
		if (message.p[i] == '\n' &&
		    (i == 0 || message.p[i - 1] != '\r'))
			buf_putc(&want, '\r');
		buf_putc(&want, message.p[i]);
	}
	if (message.n != 0 && message.p[message.n - 1] != '\n')
		buf_puts(&want, "\r\n");
	check(slice_eq(buf_slice(&back), buf_slice(&want)));
	buf_fini(&wire);
	buf_fini(&back);
	buf_fini(&want);
}

/* --- what a client makes of the output ----------------------------------- */

enum { LINE_MAX = 255, BAD_MAX = 10 };

static struct slice
take_line(struct slice *out)
{
	struct slice line;

	check(slice_split(out, '\n', &line) && out->p != NULL);
	check(slice_ends(line, SLICE("\r")));
	line.n--;
	return line;
}

static bool
is_word(struct slice *line, const char *word)
{
	struct slice rest = *line, first;

	if (!slice_split(&rest, ' ', &first) ||
	    !slice_ieq(first, slice_str(word)))
		return false;
	while (slice_starts(rest, SLICE(" ")))
		rest = slice_skip(rest, 1);
	*line = rest;
	return true;
}

/* Whether +OK begins a multi-line response (RFC 1939 3). */
static bool
is_multi_line(struct slice line)
{
	if (is_word(&line, "RETR") || is_word(&line, "TOP") ||
	    is_word(&line, "CAPA"))
		return true;
	return (is_word(&line, "LIST") || is_word(&line, "UIDL")) &&
	    line.p == NULL;
}

/* marked: of message k + 1, whether it was deleted. */
static void
check_deleted(struct slice line, bool ok, bool marked[2])
{
	static const char *const words[] = { "RETR", "TOP", "LIST", "UIDL" };
	struct slice number;
	uint64_t n;

	if (is_word(&line, "RSET") && ok)
		marked[0] = marked[1] = false;
	else if (is_word(&line, "DELE") && ok) {
		check(num_u64(line, &n) && n >= 1 && n <= 2 && !marked[n - 1]);
		marked[n - 1] = true;
	}
	for (size_t k = 0; k < NELEMS(words); k++)
		if (ok && is_word(&line, words[k]) &&
		    slice_split(&line, ' ', &number)) {
			check(num_u64(number, &n) && n >= 1 && n <= 2);
			check(!marked[n - 1]);
			return;
		}
}

/* broken: a message was cut off, or the session was. */
static void
check_replies(struct slice in, struct slice out, bool broken)
{
	bool marked[2] = { false, false }, login = true;

	while (out.n != 0) {
		struct slice line = SLICE("login"), reply = take_line(&out);
		bool ok = slice_starts(reply, SLICE("+OK"));
		/* a line that is too long is answered before its end */
		bool is_last =
		    in.p == NULL || (!slice_has(in, '\n') && in.n < LINE_MAX);

		check(ok || slice_starts(reply, SLICE("-ERR")));
		if (!login && is_last) {
			/* nobody asked: it says why it ends */
			check(!ok && broken && out.n == 0);
			return;
		}
		if (!login)
			check(slice_split(&in, '\n', &line));
		login = false;
		if (slice_ends(line, SLICE("\r")))
			line.n--;
		while (slice_ends(line, SLICE(" ")))
			line.n--;
		check_deleted(line, ok, marked);
		while (ok && is_multi_line(line)) {
			if (broken && !slice_has(out, '\n'))
				return;
			if (slice_eq(take_line(&out), SLICE(".")))
				break;
		}
	}
}

/* --- sessions ------------------------------------------------------------ */

/* What the third byte says: why the session is ended, before which run, and
 * what fails. */
enum { WHY = 3, AT_SHIFT = 2, AT = 7, FAILS_SHIFT = 5 };
enum { OPEN_DENIED = 1, OPEN_LAYOUT, REFRESH, LIST, BUSY, SEEN, OPEN_MORE };
enum { MORE = 128, STAYS_BUSY = 1000 };

struct run {
	struct session *s;
	struct buf *out;
	uint8_t more;
	unsigned runs;
	int64_t now;
	enum step last;
};

/* Somebody ends the session, or its time is over. */
static void
end(struct run *r, int64_t timeout_ms)
{
	static const enum session_end ends[] = { SESSION_SHUTDOWN,
		SESSION_KICKED, SESSION_ERROR };
	unsigned why = r->more & WHY;

	if (why == WHY)
		r->now += timeout_ms;
	else
		r->s->ops->end(r->s, ends[why]);
}

static void
serve(struct run *r, int64_t timeout_ms)
{
	do {
		check(r->runs++ < RUNS_MAX);
		if (r->runs == (r->more >> AT_SHIFT & AT))
			end(r, timeout_ms);
		r->last = r->s->ops->run(r->s, r->now, r->now);
		buf_put(r->out, buf_slice(&r->s->out));
		buf_reset(&r->s->out);
		if (r->last == STEP_WAIT_PEER)
			r->now = r->s->ops->deadline(r->s);
	} while (r->last != STEP_DONE && r->last != STEP_WAIT_INPUT);
}

static void
set_mailbox(unsigned how, uint8_t more, struct slice message)
{
	fake_mailbox_reset();
	fake_mailbox_add(message, "UID1-1");
	fake_mailbox_add(SLICE("A: b\n\n.\n"), "UID2-1");
	fake.v[0].gone = (how & 7) == 1;
	fake.v[0].unreadable = (how & 7) == 2;
	fake.v[0].read_breaks = (how & 7) == 3;
	fake.v[0].header = (how & 7) == 4 ? HEADER_8BIT : HEADER_UNKNOWN;
	fake.waits = (how & 8) != 0;
	fake.busy = how & 16 ? 2 : 0;
	fake.remove_rc = how & 32 ? ERR_SYS : 0;
	switch (more >> FAILS_SHIFT) {
	case OPEN_DENIED:
		fake.open_rc = ERR_DENIED;
		break;
	case OPEN_LAYOUT:
		fake.open_rc = ERR_LAYOUT;
		break;
	case REFRESH:
		fake.refresh_rc = ERR_SYS;
		break;
	case LIST:
		fake.list_rc = ERR_SYS;
		break;
	case BUSY:
		fake.busy = STAYS_BUSY;
		break;
	case SEEN:
		fake.seen_rc = ERR_SYS;
		break;
	case OPEN_MORE:
		fake.more = 2;
		break;
	default:
		break;
	}
}

static void
play(unsigned how, uint8_t more, struct slice message, struct slice in,
    size_t piece, struct buf *out)
{
	const bool tls = (how & 128) != 0;
	const struct pop3_options options = { .sasl = "",
		.bad_max = BAD_MAX,
		.timeout_ms = 600 * 1000,
		.line_max = LINE_MAX,
		.sasl_tls = tls && (more & WHY) != 1 ? " PLAIN CRAM-MD5" : "",
		.user = tls,
		.stls = tls,
		.log_deletions = tls,
		.unicode_type = !tls	? "message/global"
		    : (more & WHY) == 1 ? NULL
					: "",
		.mime = { .max_depth = 10,
		    .max_parts = 100,
		    .max_field = 1024,
		    .max_text = 65536 } };
	const struct session_peer peer = { .user = "u",
		.client_addr = "::1",
		.tls = tls ? "TLSv1.3 X" : "",
		.utf8 = (how & 64) != 0,
		.ident = "pop3d" };
	struct run r = { .out = out, .more = more, .now = 1 };
	bool removed = false;

	set_mailbox(how, more, message);
	r.s = pop3_session_new(&options, &peer, fake_account(), r.now);
	serve(&r, options.timeout_ms);
	while (in.n != 0 && r.last != STEP_DONE) {
		size_t room = session_input_room(r.s);
		struct slice next;

		check(room != 0);
		next = slice_first(in, piece < room ? piece : room);
		buf_put(&r.s->in, next);
		in = slice_skip(in, next.n);
		serve(&r, options.timeout_ms);
	}
	r.s->ops->eof(r.s);
	if (r.last != STEP_DONE)
		serve(&r, options.timeout_ms);
	check(r.last == STEP_DONE && buf_ok(out));
	for (size_t i = 0; i < fake.n; i++)
		removed |= fake.v[i].gone && (i != 0 || (how & 7) != 1);
	check(!removed || slice_ends(buf_slice(out), SLICE("+OK Bye.\r\n")));
	r.s->ops->free(r.s);
	check(fake.accounts == 0 && !fake.is_open);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_skip(slice_of(data, size), 2), message;
	struct buf whole, cut;
	uint8_t more = 0;
	bool ends;

	if (size < 2 || size > 64 * 1024)
		return 0;
	log_set_sink(no_log, NULL);
	if ((data[1] & MORE) != 0 && in.n != 0) {
		more = in.p[0];
		in = slice_skip(in, 1);
	}
	ends = (more >> AT_SHIFT & AT) != 0;
	(void)slice_split(&in, 0xff, &message);
	check_stuffing(message, (size_t)(data[1] & ~MORE) + 1);
	buf_init(&whole, OUTPUT_MAX);
	buf_init(&cut, OUTPUT_MAX);
	/* of many RETRs of a large message little is learnt */
	if (in.n * message.n < OUTPUT_MAX / 4) {
		bool broken = ends || (data[0] & 7) == 3;

		play(data[0], more, message, in, SIZE_MAX, &whole);
		play(data[0], more, message, in, (size_t)(data[1] & ~MORE) + 1,
		    &cut);
		check_replies(in, buf_slice(&whole), broken);
		/* what is received before the n-th run depends on the cuts */
		check(ends || slice_eq(buf_slice(&whole), buf_slice(&cut)));
	}
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
