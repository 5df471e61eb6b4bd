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

static void
feed_cut(struct preauth_login *l, struct slice in, size_t cut)
{
	if (cut == SIZE_MAX) {
		for (size_t i = 0; i < in.n; i++)
			preauth_login_feed(l, slice_of(in.p + i, 1));
	} else {
		preauth_login_feed(l, slice_first(in, cut));
		preauth_login_feed(l, slice_skip(in, cut));
	}
}

/* One run; cut SIZE_MAX: byte by byte. */
static void
run_case(preauth_login_new *make, const struct preauth_case *c, size_t cut)
{
	struct preauth_options opt = preauth_fixture_options;
	struct preauth_login l;

	opt.offer_starttls = !c->no_starttls;
	preauth_login_init(&l, make, &opt, c->tls, !c->no_clear,
	    c->mechs != NULL ? c->mechs : "PLAIN LOGIN");
	l.events = true;
	buf_drain(&l.record, buf_len(&l.record));
	feed_cut(&l, c->in, cut);
	if (l.tls_begun) {
		preauth_login_tls(&l);
		feed_cut(&l, c->in_tls, cut);
	}
	if (l.handed) {
		buf_putf(&l.record, "<OK %s|", l.p->tag);
		buf_put(&l.record, buf_slice(&l.p->in));
		buf_putc(&l.record, '>');
	}
	if (!slice_eq(buf_slice(&l.record), slice_str(c->want)))
		fail_msg("%s, cut at %zu:\n%.*s\ninstead of\n%s", c->name, cut,
		    SLICE_ARG(buf_slice(&l.record)), c->want);
	preauth_login_fini(&l);
}

void
preauth_fixture_check(preauth_login_new *make, const struct preauth_case *c)
{
	size_t n = c->in.n > c->in_tls.n ? c->in.n : c->in_tls.n;

	for (size_t cut = 0; cut <= n; cut++)
		run_case(make, c, cut);
	run_case(make, c, SIZE_MAX);
}
