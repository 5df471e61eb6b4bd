#include "tests/unit/preauth_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct preauth_options preauth_fixture_options = {
	.capability = "IMAP4rev1 IDLE",
	.capability_tls = "IMAP4rev1 IDLE AUTH=PLAIN",
	.greeting_name = "Postern",
	.offer_starttls = true,
	.line_max = PREAUTH_LINE_MAX,
	.literal_max = PREAUTH_LITERAL_MAX,
	.commands_max = PREAUTH_COMMANDS,
};

struct login {
	struct preauth *p;
	struct buf record;
	bool handed, tls_begun, closed;
	bool asked_password; /* mechanism LOGIN */
	struct secret name;  /* mechanism LOGIN */
};

static void
drain(struct login *l)
{
	buf_put(&l->record, buf_slice(&l->p->out));
	buf_drain(&l->p->out, buf_len(&l->p->out));
}

static void
decide(struct login *l, struct slice user, struct slice password)
{
	struct preauth *p = l->p;

	l->asked_password = false;
	if (slice_eq(user, SLICE("alice")) &&
	    slice_eq(password, SLICE("secret word"))) {
		l->handed = true;
		buf_putf(&l->record, "<OK %s|", p->tag);
	} else if (slice_eq(user, SLICE("down"))) {
		p->ops->failed(p, PREAUTH_UNAVAILABLE, NULL);
	} else if (slice_eq(user, SLICE("limit"))) {
		p->ops->failed(p, PREAUTH_LIMIT, "Too many for you.");
	} else if (slice_eq(user, SLICE("disabled"))) {
		p->ops->failed(p, PREAUTH_DISABLED, NULL);
	} else {
		p->ops->failed(p, PREAUTH_BAD_CREDENTIALS, NULL);
	}
}

/* What authdaemond's mechanisms do, as far as they are of interest here. */
static void
step_mech(struct login *l)
{
	struct preauth *p = l->p;
	struct slice rest = secret_slice(&p->response), user;
	bool plain = strcmp(p->mech, "PLAIN") == 0;

	if (!p->has_response) {
		p->ops->challenge(p, plain ? SLICE("") : SLICE("VXNlcm5hbWU6"));
	} else if (plain) {
		struct slice authzid;
		if (slice_split(&rest, '\0', &authzid) &&
		    slice_split(&rest, '\0', &user))
			decide(l, user, rest);
		else
			p->ops->failed(p, PREAUTH_BAD_CREDENTIALS, NULL);
	} else if (!l->asked_password) {
		l->asked_password = true;
		secret_set(&l->name, rest);
		p->ops->challenge(p, SLICE("UGFzc3dvcmQ6"));
	} else {
		decide(l, secret_slice(&l->name), rest);
	}
}

/* Everything the login process does until more bytes must come. */
static void
serve(struct login *l)
{
	struct preauth *p = l->p;

	while (!l->handed && !l->closed) {
		enum preauth_event e = p->ops->run(p);
		drain(l);
		switch (e) {
		case PREAUTH_WAIT:
			return;
		case PREAUTH_AUTH:
			assert_true(p->command[0] != '\0');
			buf_putf(&l->record, "<AUTH %s %s>", p->mech, p->user);
			step_mech(l);
			break;
		case PREAUTH_RESPONSE:
			buf_putf(
			    &l->record, "<RESPONSE %s %s>", p->mech, p->user);
			step_mech(l);
			break;
		case PREAUTH_ABORT:
			l->asked_password = false;
			buf_puts(&l->record, "<ABORT>");
			break;
		case PREAUTH_STARTTLS:
			assert_int_equal(buf_len(&p->in), 0);
			buf_puts(&l->record, "<TLS>");
			l->tls_begun = true;
			return;
		case PREAUTH_CLOSE:
			buf_puts(
			    &l->record, p->logged_out ? "<LOGOUT>" : "<CLOSE>");
			l->closed = true;
			break;
		}
		drain(l);
	}
}

static void
feed(struct login *l, struct slice in)
{
	while (in.n != 0 && !l->closed && !l->tls_begun) {
		struct buf *b = &l->p->in;
		struct slice piece = slice_first(in, b->max - buf_len(b));

		if (piece.n == 0)
			break; /* handed over and full */
		buf_put(b, piece);
		assert_true(buf_ok(b));
		in = slice_skip(in, piece.n);
		serve(l);
	}
}

static void
feed_cut(struct login *l, struct slice in, size_t cut)
{
	if (cut == SIZE_MAX) {
		for (size_t i = 0; i < in.n; i++)
			feed(l, slice_of(in.p + i, 1));
	} else {
		feed(l, slice_first(in, cut));
		feed(l, slice_skip(in, cut));
	}
}

/* One run; cut SIZE_MAX: byte by byte. */
static void
run_case(preauth_fixture_new *make, const struct preauth_case *c, size_t cut)
{
	struct preauth_options opt = preauth_fixture_options;
	struct login l = { .p = NULL };

	opt.offer_starttls = !c->no_starttls;
	buf_init(&l.record, 64 * 1024);
	l.p = make(&opt);
	l.p->tls = c->tls;
	l.p->clear_allowed = !c->no_clear;
	l.p->mechanisms = c->mechs != NULL ? c->mechs : "PLAIN LOGIN";
	l.p->ops->greet(l.p, NULL);
	buf_drain(&l.p->out, buf_len(&l.p->out));
	feed_cut(&l, c->in, cut);
	if (l.tls_begun) {
		l.tls_begun = false;
		l.p->ops->tls_started(l.p);
		assert_true(l.p->tls);
		assert_string_equal(l.p->user, "");
		assert_string_equal(l.p->tag, "");
		serve(&l);
		feed_cut(&l, c->in_tls, cut);
	}
	if (l.handed) {
		buf_put(&l.record, buf_slice(&l.p->in));
		buf_putc(&l.record, '>');
	}
	if (!slice_eq(buf_slice(&l.record), slice_str(c->want)))
		fail_msg("%s, cut at %zu:\n%.*s\ninstead of\n%s", c->name, cut,
		    SLICE_ARG(buf_slice(&l.record)), c->want);
	secret_fini(&l.name);
	buf_fini(&l.record);
	l.p->ops->free(l.p);
}

void
preauth_fixture_check(preauth_fixture_new *make, const struct preauth_case *c)
{
	size_t n = c->in.n > c->in_tls.n ? c->in.n : c->in_tls.n;

	for (size_t cut = 0; cut <= n; cut++)
		run_case(make, c, cut);
	run_case(make, c, SIZE_MAX);
}
