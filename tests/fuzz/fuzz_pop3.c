/*
 * Commands of a POP3 session over a mailbox in memory.  The first byte says
 * what goes wrong, the second one how the input is cut; up to the first 0xff
 * the bytes are a message, then come the commands.
 *
 * Checked: the same output however the input is cut; the message can be read
 * back from its dot-stuffed form, to the byte and with nothing left over; a
 * session that ends without QUIT removes nothing.
 */
#include <stdlib.h>

#include "base/log.h"
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

/* --- sessions ------------------------------------------------------------ */

static void
serve(struct session *s, struct buf *out, enum step *last, int64_t *now)
{
	int runs = 0;

	do {
		check(runs++ < RUNS_MAX);
		*last = s->ops->run(s, *now, *now);
		buf_put(out, buf_slice(&s->out));
		buf_reset(&s->out);
		if (*last == STEP_WAIT_PEER)
			*now = s->ops->deadline(s);
	} while (*last != STEP_DONE && *last != STEP_WAIT_INPUT);
}

static void
play(unsigned how, struct slice message, struct slice in, size_t piece,
    struct buf *out)
{
	const struct pop3_options options = { .sasl = "",
		.bad_max = 10,
		.timeout_ms = 600 * 1000,
		.line_max = 255,
		.sasl_tls = how & 128 ? " PLAIN CRAM-MD5" : "",
		.user = (how & 128) != 0,
		.stls = (how & 128) != 0,
		.log_deletions = (how & 128) != 0,
		.unicode_type = how & 128 ? "" : "message/global",
		.mime = { .max_depth = 10,
		    .max_parts = 100,
		    .max_field = 1024,
		    .max_text = 65536 } };
	struct session_peer peer = { .user = "u",
		.client_addr = "::1",
		.tls = how & 128 ? "TLSv1.3 X" : "",
		.ident = "pop3d" };
	enum step last;
	int64_t now = 1;
	struct session *s;
	bool removed = false;

	fake_mailbox_reset();
	fake_mailbox_add(message, "UID1-1");
	fake_mailbox_add(SLICE("A: b\n\n.\n"), "UID2-1");
	fake.v[0].gone = (how & 7) == 1;
	fake.v[0].unreadable = (how & 7) == 2;
	fake.v[0].read_breaks = (how & 7) == 3;
	fake.waits = (how & 8) != 0;
	fake.busy = how & 16 ? 2 : 0;
	fake.remove_rc = how & 32 ? ERR_SYS : 0;
	peer.utf8 = (how & 64) != 0;
	s = pop3_session_new(&options, &peer, fake_account(), now);
	serve(s, out, &last, &now);
	while (in.n != 0 && last != STEP_DONE) {
		size_t room = session_input_room(s);
		struct slice next;

		check(room != 0);
		next = slice_first(in, piece < room ? piece : room);
		buf_put(&s->in, next);
		in = slice_skip(in, next.n);
		serve(s, out, &last, &now);
	}
	s->ops->eof(s);
	if (last != STEP_DONE)
		serve(s, out, &last, &now);
	check(last == STEP_DONE && buf_ok(out));
	for (size_t i = 0; i < fake.n; i++)
		removed |= fake.v[i].gone && (i != 0 || (how & 7) != 1);
	check(!removed || slice_ends(buf_slice(out), SLICE("+OK Bye.\r\n")));
	s->ops->free(s);
	check(fake.accounts == 0 && !fake.is_open);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_skip(slice_of(data, size), 2), message;
	struct buf whole, cut;

	if (size < 2 || size > 64 * 1024)
		return 0;
	log_set_sink(no_log, NULL);
	(void)slice_split(&in, 0xff, &message);
	check_stuffing(message, (size_t)data[1] + 1);
	buf_init(&whole, OUTPUT_MAX);
	buf_init(&cut, OUTPUT_MAX);
	/* of many RETRs of a large message little is learnt */
	if (in.n * message.n < OUTPUT_MAX / 4) {
		play(data[0], message, in, SIZE_MAX, &whole);
		play(data[0], message, in, (size_t)data[1] + 1, &cut);
		check(slice_eq(buf_slice(&whole), buf_slice(&cut)));
	}
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
