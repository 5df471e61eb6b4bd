/*
 * master_proxied: which connections begin with a PROXY header, and so are
 * counted only when a login process has read it (login_proxy.c).
 */
#include "base/log.h"
#include "server/master.h"

void
master_proxied_configure(struct master *m)
{
	struct slice rest =
	    slice_str(conf_str(m->conf, CONF_POSTERN_PROXY_TRUSTED));
	struct slice word;

	m->n_trusted = 0;
	while (conf_word_next(&rest, &word))
		if (m->n_trusted == TRUSTED_MAX ||
		    !addr_net_parse(&m->trusted[m->n_trusted], word))
			log_error("PROXY_TRUSTED: %.*s is left out",
			    SLICE_ARG(slice_first(word, 100)));
		else
			m->n_trusted++;
}

static bool
is_trusted(const struct master *m, const struct addr *a)
{
	for (size_t i = 0; i < m->n_trusted; i++)
		if (addr_in_net(a, &m->trusted[i]))
			return true;
	return false;
}

/* Whether the port that was connected to is one for proxies. */
static bool
is_proxy_port(const struct conf_tcpdopts *o, const struct conn_record *r)
{
	struct addr local, at;

	if (o->n_haproxy == 0)
		return true;
	for (size_t i = 0; i < o->n_haproxy; i++) {
		const struct conf_addr *k = &o->haproxy_at[i];

		if (k->port == r->local_port &&
		    (k->addr[0] == '\0' ||
			(addr_parse(&local, slice_str(r->local_addr)) &&
			    addr_parse(&at, slice_str(k->addr)) &&
			    addr_eq(&local, &at))))
			return true;
	}
	return false;
}

bool
master_conn_is_proxied(const struct master *m, const struct conn_record *r)
{
	const struct conf_tcpdopts *o = &m->services[r->service].opts;

	return o->haproxy && is_trusted(m, &r->addr) && is_proxy_port(o, r);
}
