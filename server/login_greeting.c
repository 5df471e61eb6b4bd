/*
 * login_greeting: what a connection hears first.
 *
 * A greeting depends on nothing but the options, authdaemond's mechanisms and
 * what TLS makes of them: so it is put together once for each of these, and
 * kept until one of them may have changed.
 */
#include "server/login_impl.h"

static bool
fits(const struct login_greeting *g, const struct preauth *p)
{
	return g->opt == p->opt && g->mechanisms == p->mechanisms &&
	    g->tls == p->tls && g->clear_allowed == p->clear_allowed;
}

static void
keep(struct login *l, const struct preauth *p)
{
	struct login_greeting *g =
	    &l->greetings[l->n_greetings++ % LOGIN_GREETINGS];

	buf_fini(&g->text);
	*g = (struct login_greeting){ .opt = p->opt,
		.mechanisms = p->mechanisms,
		.tls = p->tls,
		.clear_allowed = p->clear_allowed };
	buf_init(&g->text, p->out.max);
	buf_put(&g->text, buf_slice(&p->out));
}

static void
welcome(struct login *l, struct preauth *p)
{
	assert(buf_len(&p->out) == 0);
	for (unsigned i = 0; i < LOGIN_GREETINGS; i++)
		if (fits(&l->greetings[i], p)) {
			buf_put(&p->out, buf_slice(&l->greetings[i].text));
			return;
		}
	p->ops->greet(p, NULL, false);
	if (buf_ok(&p->out))
		keep(l, p);
}

void
conn_greet(struct conn *c)
{
	if (c->refusal == NULL)
		welcome(c->login, c->pre);
	else
		c->pre->ops->greet(c->pre, c->refusal, c->denied);
	conn_set_state(c, CONN_TALK);
}

void
login_greetings_forget(struct login *l)
{
	for (unsigned i = 0; i < LOGIN_GREETINGS; i++) {
		buf_fini(&l->greetings[i].text);
		l->greetings[i] = (struct login_greeting){ 0 };
	}
}
