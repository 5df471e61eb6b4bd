#include "tests/support/preauth_login.h"

#include <stdlib.h>
#include <string.h>

static void
drain(struct preauth_login *l)
{
	buf_put(&l->record, buf_slice(&l->p->out));
	buf_drain(&l->p->out, buf_len(&l->p->out));
}

static void
decide(struct preauth_login *l, struct slice user, struct slice password)
{
	struct preauth *p = l->p;

	l->asked_password = false;
	if (slice_eq(user, SLICE("alice")) &&
	    slice_eq(password, SLICE("secret word"))) {
		l->handed = true;
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
step_mech(struct preauth_login *l)
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

static void
note(struct preauth_login *l, const char *what, bool with_user)
{
	const struct preauth *p = l->p;

	drain(l);
	if (!l->events)
		return;
	if (with_user)
		buf_putf(&l->record, "<%s %s %s>", what, p->mech, p->user);
	else
		buf_putf(&l->record, "<%s>", what);
}

/* Everything the login process does until more bytes must come. */
static void
serve(struct preauth_login *l)
{
	struct preauth *p = l->p;

	while (!l->handed && !l->closed && !l->tls_begun) {
		enum preauth_event e = p->ops->run(p);
		drain(l);
		switch (e) {
		case PREAUTH_WAIT:
			return;
		case PREAUTH_AUTH:
			assert(p->command[0] != '\0');
			note(l, "AUTH", true);
			step_mech(l);
			break;
		case PREAUTH_RESPONSE:
			note(l, "RESPONSE", true);
			step_mech(l);
			break;
		case PREAUTH_ABORT:
			l->asked_password = false;
			note(l, "ABORT", false);
			break;
		case PREAUTH_STARTTLS:
			assert(buf_len(&p->in) == 0);
			note(l, "TLS", false);
			l->tls_begun = true;
			break;
		case PREAUTH_CLOSE:
			note(l, p->logged_out ? "LOGOUT" : "CLOSE", false);
			l->closed = true;
			break;
		}
		drain(l);
	}
}

void
preauth_login_init(struct preauth_login *l, preauth_login_new *make,
    const struct preauth_options *opt, bool tls, bool clear_allowed,
    const char *mechanisms)
{
	*l = (struct preauth_login){ .p = make(opt) };
	buf_init(&l->record, 1024 * 1024);
	l->p->tls = tls;
	l->p->clear_allowed = clear_allowed;
	l->p->mechanisms = mechanisms;
	l->p->ops->greet(l->p, NULL, false);
	drain(l);
}

void
preauth_login_fini(struct preauth_login *l)
{
	if (l->p == NULL)
		return;
	secret_fini(&l->name);
	buf_fini(&l->record);
	l->p->ops->free(l->p);
	l->p = NULL;
}

void
preauth_login_feed(struct preauth_login *l, struct slice in)
{
	while (in.n != 0 && !l->closed && !l->tls_begun) {
		struct buf *b = &l->p->in;
		struct slice piece = slice_first(in, b->max - buf_len(b));

		if (piece.n == 0)
			return; /* handed over and full */
		buf_put(b, piece);
		assert(buf_ok(b));
		in = slice_skip(in, piece.n);
		serve(l);
	}
}

void
preauth_login_tls(struct preauth_login *l)
{
	assert(l->tls_begun);
	l->tls_begun = false;
	l->p->ops->tls_started(l->p);
	assert(l->p->tls && l->p->user[0] == '\0' && l->p->tag[0] == '\0');
	serve(l);
}

void
preauth_login_end(struct preauth_login *l, enum preauth_failure why)
{
	l->p->ops->end(l->p, why);
	serve(l);
}
