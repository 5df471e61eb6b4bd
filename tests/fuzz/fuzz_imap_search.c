/*
 * The search program: keys, up to the end of the input, asked of one message.
 * The first byte chooses the message's flags; up to the first 0xff the bytes
 * are the message, then come the keys.
 *
 * Checked: what is accepted as keys finds the message or doesn't; NOT of it
 * the contrary; OR and AND of it with itself the same; and the same again
 * when what the search looked at is kept.
 */
#include <stdlib.h>

#include "base/log.h"
#include "maildir/view.h"
#include "protocols/imap/session.h"
#include "tests/support/fake_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	OUTPUT_MAX = 1024 * 1024,
	RUNS_MAX = 100 * 1000,
	KEYS_MAX = 8 * 1024,
};

enum answer { REFUSED, NO_MATCH, MATCH };

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

static void
never(void *arg)
{
	(void)arg;
}

/* Run until the session waits for input or ends; false: it has ended. */
static bool
run(struct session *s)
{
	static int64_t now = 1000;

	for (int runs = 0; runs < RUNS_MAX; runs++) {
		enum step st = s->ops->run(s, now++, 1700000000000);

		check(buf_ok(&s->out));
		if (st == STEP_WAIT_INPUT || st == STEP_DONE)
			return st == STEP_WAIT_INPUT;
		check(st == STEP_YIELD || st == STEP_NEXT);
	}
	abort();
}

static bool
has_line(struct slice out, struct slice start)
{
	struct slice line;

	while (slice_split(&out, '\n', &line))
		if (slice_starts(line, start))
			return true;
	return false;
}

/* Ask for what is put together of three pieces. */
static enum answer
ask(struct session *s, struct slice before, struct slice keys,
    struct slice after)
{
	struct slice out;
	enum answer got = REFUSED;

	buf_drain(&s->out, buf_len(&s->out));
	buf_put(&s->in, SLICE("a SEARCH "));
	buf_put(&s->in, before);
	buf_put(&s->in, keys);
	buf_put(&s->in, after);
	buf_put(&s->in, SLICE("\r\n"));
	check(buf_ok(&s->in));
	check(run(s));
	out = buf_slice(&s->out);
	if (has_line(out, SLICE("a OK")) && has_line(out, SLICE("* SEARCH")))
		got = has_line(out, SLICE("* SEARCH 1")) ? MATCH : NO_MATCH;
	return got;
}

/* Whether the keys are one command, with literals only that are not waited
 * for, and nothing behind it. */
static bool
is_one_command(struct slice keys)
{
	return keys.n != 0 && keys.n <= KEYS_MAX && !slice_has(keys, '\n') &&
	    !slice_has(keys, '\r') && !slice_has(keys, '\0');
}

/* The same keys among others; whoever is refused there says nothing. */
static void
compare(struct session *s, struct slice keys, enum answer want)
{
	enum answer not = ask(s, SLICE("NOT ("), keys, SLICE(")"));
	enum answer both;

	check(not != want || not == REFUSED);
	both = ask(s, SLICE("("), keys, SLICE(") ALL"));
	check(both == want || both == REFUSED);
	both = ask(s, SLICE("OR DELETED ("), keys, SLICE(")"));
	check(both == want || both == REFUSED || both == MATCH);
	both = ask(s, SLICE("NOT OR NOT ALL NOT ("), keys, SLICE(")"));
	check(both == want || both == REFUSED);
}

static void
search(struct session *s, struct slice keys)
{
	enum answer first, again;

	check(run(s));
	buf_put(&s->in, SLICE("s EXAMINE INBOX\r\n"));
	check(run(s));
	first = ask(s, SLICE(""), keys, SLICE(""));
	again = ask(s, SLICE(""), keys, SLICE(""));
	check(first == again);
	if (first != REFUSED)
		compare(s, keys, first);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct imap_options opt = imap_options_default;
	struct session_peer peer = { .user = "u",
		.client_addr = "::1",
		.local_addr = "::1",
		.tls = "",
		.ident = "fuzz" };
	struct slice in, keys;
	struct session *s;
	size_t end;

	if (size < 2)
		return 0;
	log_set_sink(no_log, NULL);
	in = slice_of(data + 1, size - 1);
	end = slice_find(in, 0xff);
	keys = slice_skip(in, end + 1);
	if (!is_one_command(keys))
		return 0;
	opt.bad_max = 1000;
	fake_store_reset();
	fake_store_deliver(0, slice_first(in, end));
	fake_store_set_flags(0, 1, data[0] & MESSAGE_FLAGS_ALL);
	s = imap_session_new(
	    &opt, &peer, fake_store_account(), "L", "LOGIN", 1000);
	s->waker = (struct waker){ never, NULL };
	search(s, keys);
	s->ops->free(s);
	fake_store_clear();
	check(fake_store.views == 0 && fake_store.mailboxes == 0);
	return 0;
}
