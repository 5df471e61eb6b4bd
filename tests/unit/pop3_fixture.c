#include "tests/unit/pop3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/support/fake_mailbox.h"

char log_text[4096];

static void
on_log(void *arg, enum log_level level, const char *ident, const char *line)
{
	size_t n = strlen(log_text);

	(void)arg;
	(void)level;
	assert_string_equal(ident, "pop3d");
	assert_true(n + strlen(line) + 2 < sizeof(log_text));
	memcpy(log_text + n, line, strlen(line) + 1);
	memcpy(log_text + n + strlen(line), "\n", 2);
}

struct pop3_options options = {
	.sasl = "",
	.sasl_tls = "",
	.bad_max = 10,
	.user = true,
	.timeout_ms = TIMEOUT_MS,
	.line_max = LINE_MAX,
};

void
worker_begin(struct worker *w)
{
	struct session_peer peer = { .user = "alice@example.com",
		.client_addr = "::ffff:192.0.2.7",
		.client_port = 4711,
		.local_addr = "",
		.tls = "",
		.ident = "pop3d",
		.id = 7,
		.rcvd = 100,
		.sent = 200 };

	log_text[0] = '\0';
	log_set_sink(on_log, NULL);
	*w = (struct worker){ .now = 5000, .last = STEP_YIELD };
	buf_init(&w->out, 4 * 1024 * 1024);
	w->s = pop3_session_new(&options, &peer, fake_account(), w->now);
}

void
worker_serve(struct worker *w)
{
	for (int turns = 0; w->last != STEP_DONE; turns++) {
		struct slice out;

		assert_true(turns < 10000);
		w->last = w->s->ops->run(w->s, w->now, w->now);
		out = buf_slice(&w->s->out);
		/* a slice of work is bounded */
		assert_true(out.n <= STEP_OUTPUT_HIGH + 2 * STEP_SLICE_OUTPUT);
		buf_put(&w->out, out);
		w->s->sent += out.n;
		buf_drain(&w->s->out, out.n);
		if (w->last == STEP_WAIT_INPUT)
			return;
		if (w->last == STEP_WAIT_PEER)
			w->now = w->s->ops->deadline(w->s);
	}
}

void
worker_send(struct worker *w, struct slice in)
{
	while (in.n != 0 && w->last != STEP_DONE) {
		struct slice piece = slice_first(in, session_input_room(w->s));

		assert_true(piece.n != 0);
		buf_put(&w->s->in, piece);
		w->s->rcvd += piece.n;
		in = slice_skip(in, piece.n);
		worker_serve(w);
	}
}

void
worker_eof(struct worker *w)
{
	if (w->last != STEP_DONE)
		w->s->ops->eof(w->s);
	worker_serve(w);
	assert_int_equal(w->last, STEP_DONE);
}

void
worker_fini(struct worker *w)
{
	w->s->ops->free(w->s);
	buf_fini(&w->out);
	assert_int_equal(fake.accounts, 0);
	assert_false(fake.is_open);
}

static const struct slice first = SLICE_INIT(".A: b\n\n.\nlast");
static const struct slice second = SLICE_INIT("C: d\r\n\r\n1\r\n2\r\n");
static const struct slice third = SLICE_INIT("E: f\n\nx\n");

void
fill_maildrop(void)
{
	fake_mailbox_reset();
	fake_mailbox_add(first, "UID1-1000");
	fake_mailbox_add(second, "UID2-1000");
	fake_mailbox_add(third, "1700000000.M1P1.host");
}

void
worker_expect(struct worker *w, const char *in, const char *want)
{
	buf_drain(&w->out, buf_len(&w->out));
	worker_send(w, slice_str(in));
	if (!slice_eq(buf_slice(&w->out), slice_str(want)))
		fail_msg("%s gave %.*s instead of %s", in,
		    SLICE_ARG(buf_slice(&w->out)), want);
}

void
worker_greet(struct worker *w)
{
	fill_maildrop();
	worker_begin(w);
	worker_serve(w);
}
