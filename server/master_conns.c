/*
 * master_conns: the one table of client connections.
 *
 * A connection is counted from the time it is accepted, or its PROXY header
 * came, until the login process closes it or, once a worker has it, until the
 * worker says SESSION_CLOSED or dies.
 * A relayed TLS connection is reported by both; the worker's word counts.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocols/session.h"
#include "server/master.h"
#include "server/service_log.h"

enum { FULL_SAID_MS = 60 * 1000, ADDR_TEXT_MAX = 63 };

static struct conn_record **
bucket_of(struct master *m, uint64_t id)
{
	return &m->conns[id % CONN_BUCKETS];
}

struct conn_record *
conn_find(struct master *m, uint64_t id)
{
	struct conn_record *r = *bucket_of(m, id);

	while (r != NULL && r->id != id)
		r = r->next;
	return r;
}

void
conn_drop(struct master *m, struct conn_record *r)
{
	struct conn_record **pp = bucket_of(m, r->id);

	while (*pp != r)
		pp = &(*pp)->next;
	*pp = r->next;
	if (r->verdict == CONN_OK)
		limits_close(m->limits, r->service, &r->addr);
	if (r->worker != NULL && r->worker->n_sessions > 0)
		r->worker->n_sessions--;
	handover_forget(r);
	free(r->vars);
	free(r->user);
	free(r);
}

struct conn_record *
conn_of_hook(struct master *m, const struct child *hook)
{
	struct conn_record *r;

	for (size_t i = 0; i < CONN_BUCKETS; i++)
		for (r = m->conns[i]; r != NULL; r = r->next)
			if (r->hook == hook && r->waiting != NULL)
				return r;
	return NULL;
}

/* Call fn for each; fn may drop the one it is given. */
static void
each_conn(struct master *m,
    void (*fn)(struct master *, struct conn_record *, void *), void *arg)
{
	struct conn_record *r, *next;

	for (size_t i = 0; i < CONN_BUCKETS; i++)
		for (r = m->conns[i]; r != NULL; r = next) {
			next = r->next;
			fn(m, r, arg);
		}
}

struct died {
	const struct child *child;
};

static void
drop_if_of_child(struct master *m, struct conn_record *r, void *arg)
{
	const struct died *d = arg;

	if (r->worker == d->child)
		conn_drop(m, r);
	else if (r->login == d->child) {
		/* A worker's session outlives the login process if it is
		 * plain; if it is relayed the worker sees the end itself. */
		r->login = NULL;
		if (r->worker == NULL)
			conn_drop(m, r);
	}
}

void
conns_drop_child(struct master *m, const struct child *c)
{
	struct died d = { c };

	each_conn(m, drop_if_of_child, &d);
}

void
conns_set_limits(struct master *m)
{
	for (int s = 0; s < N_SERVICES; s++) {
		bool pop3 = service_is_pop3((enum service)s);
		struct service_state *state = &m->services[s];
		struct err e;
		struct limits_rule rule = {
			.per_address = (uint32_t)conf_service_num(m->conf,
			    (enum conf_file)s,
			    pop3 ? CONF_POP3D_MAXPERIP : CONF_IMAPD_MAXPERIP),
			.total = (uint32_t)conf_service_num(m->conf,
			    (enum conf_file)s,
			    pop3 ? CONF_POP3D_MAXDAEMONS
				 : CONF_IMAPD_MAXDAEMONS),
		};

		if (master_service_tcpdopts(
			m, (enum service)s, &state->opts, &e) != 0)
			log_error("%s", e.text); /* conf_load() checked it */
		rule.per_network = state->opts.max_per_c;
		limits_set(m->limits, (unsigned)s, &rule);
		state->warn_at = state->opts.warn != 0
		    ? state->opts.warn
		    : rule.total - rule.total / 10;
	}
}

/* Courier's alerts about a service that fills up: once a minute. */
static void
warn_full(struct master *m, enum service s, bool full)
{
	struct service_state *state = &m->services[s];
	int64_t *said = full ? &state->full_ms : &state->warned_ms;
	unsigned n = limits_count(m->limits, s);
	int64_t now = clock_now();

	if ((!full && n < state->warn_at) ||
	    (*said != 0 && now - *said < FULL_SAID_MS))
		return;
	*said = now;
	if (full)
		log_line_as(service_ident(s), LOG_LEVEL_ALERT,
		    "%u maximum active connections.", n);
	else
		log_line_as(service_ident(s), LOG_LEVEL_WARN,
		    "%u active connections.", n);
}

/*
 * *rule: of the access file, for a client that is let in.  Who comes again at
 * once may find his own last connection counted still, as the login process
 * that has it hasn't seen its end: so a limit refuses at the second look only.
 */
static enum conn_verdict
admit(struct master *m, const struct conn_record *r,
    const struct access_rule **rule, bool first)
{
	const char *ident = service_ident(r->service);
	enum limits_verdict v;

	if (m->stopping || !m->services[r->service].on)
		return CONN_STOPPING;
	if (!master_access_allows(m, r, rule)) {
		log_line_as(ident, LOG_LEVEL_INFO,
		    "access denied, ip=[%s], port=[%u]",
		    service_log_addr(r->client_addr), r->client_port);
		return CONN_NO_ACCESS;
	}
	v = *rule != NULL && (*rule)->max_per_address != 0
	    ? limits_open_max(
		  m->limits, r->service, &r->addr, (*rule)->max_per_address)
	    : limits_open(m->limits, r->service, &r->addr);
	if (v != LIMITS_OK && first)
		return CONN_FULL;
	switch (v) {
	case LIMITS_OK:
		warn_full(m, r->service, false);
		return CONN_OK;
	case LIMITS_PER_ADDRESS:
	case LIMITS_PER_NETWORK:
		log_line_as(ident, LOG_LEVEL_ALERT,
		    "Maximum connection limit reached for %s",
		    service_log_addr(r->client_addr));
		return CONN_PER_ADDRESS;
	case LIMITS_TOTAL:
		break;
	}
	warn_full(m, r->service, true);
	return CONN_TOTAL;
}

/* A record with the two addresses behind it, cut to what one may have. */
static struct conn_record *
record_new(const char *client_addr, const char *local_addr)
{
	size_t n = strnlen(client_addr, ADDR_TEXT_MAX);
	size_t n_local = strnlen(local_addr, ADDR_TEXT_MAX);
	struct conn_record *r = mem_zalloc(1, sizeof(*r) + n + 1 + n_local + 1);

	r->client_addr = memcpy(r->texts, client_addr, n);
	r->local_addr = memcpy(r->texts + n + 1, local_addr, n_local);
	return r;
}

/* The login process will ask about it. */
static bool
is_open_question(const struct conn_record *r)
{
	return r->verdict == CONN_PROXIED || r->verdict == CONN_FULL;
}

/* Count it, if it may be, and see what the access file has for it. */
static void
count_in(struct master *m, struct conn_record *r, bool first)
{
	const struct access_rule *rule = NULL;

	r->verdict = admit(m, r, &rule, first);
	if (r->verdict == CONN_OK)
		r->vars = master_access_vars(m, r, rule);
}

static void
put_verdict(struct msg_out *out, const struct conn_record *r)
{
	msg_put_u32(out, r->verdict);
	msg_put_str(out, r->vars != NULL ? r->vars : "");
}

/* Into the table, or away with it. */
static void
keep(struct master *m, struct conn_record *r)
{
	struct conn_record **pp = bucket_of(m, r->id);

	if (r->verdict != CONN_OK && !is_open_question(r)) {
		free(r);
		return;
	}
	r->next = *pp;
	*pp = r;
}

void
master_conn_accepted(
    struct child *login, enum service s, int fd, const struct conn_ends *ends)
{
	char client_addr[ADDR_TEXT], local_addr[ADDR_TEXT];
	struct master *m = login->master;
	struct conn_record *r =
	    record_new(addr_text_mapped(&ends->client, client_addr),
		addr_text_mapped(&ends->local, local_addr));
	struct msg_out out;

	r->id = ++m->last_conn_id;
	r->service = s;
	r->addr = ends->client;
	r->client_port = ends->client_port;
	r->local_port = ends->local_port;
	r->login = login;
	r->since_ms = clock_now();
	if (master_conn_is_proxied(m, r))
		r->verdict = CONN_PROXIED;
	else
		count_in(m, r, true);
	msg_begin(&out, MSG_CONNECTION, 0);
	conn_put(&out, r);
	put_verdict(&out, r);
	out.fd = fd;
	keep(m, r);
	login->n_conns++;
	peer_send(login->peer, &out);
}

/* A login process asks about those only that were given to it as open
 * questions, and knows better only of what is proxied. */
void
master_conn_open(struct child *c, struct msg_in *in)
{
	struct master *m = c->master;
	struct conn_record *was = conn_find(m, msg_get_u64(in)), *r;
	const char *client_addr = msg_get_str(in), *local_addr;
	uint32_t client_port = msg_get_u32(in), local_port;
	bool proxied = was != NULL && was->verdict == CONN_PROXIED;
	struct msg_out out;

	local_addr = msg_get_str(in);
	local_port = msg_get_u32(in);
	if (!msg_get_end(in) || was == NULL || was->login != c ||
	    !is_open_question(was)) {
		log_error("master: bad CONN_OPEN of pid %d", (int)c->pid);
		return;
	}
	r = proxied ? record_new(client_addr, local_addr)
		    : record_new(was->client_addr, was->local_addr);
	r->id = was->id;
	r->service = was->service;
	r->client_port = proxied ? client_port : was->client_port;
	r->local_port = proxied ? local_port : was->local_port;
	r->login = c;
	r->since_ms = was->since_ms;
	conn_drop(m, was);
	if (!addr_parse(&r->addr, slice_str(r->client_addr))) {
		log_error("master: bad CONN_OPEN of pid %d", (int)c->pid);
		free(r);
		return;
	}
	count_in(m, r, false);
	msg_begin(&out, MSG_CONN_VERDICT, 0);
	msg_put_u64(&out, r->id);
	put_verdict(&out, r);
	keep(m, r);
	peer_send(c->peer, &out);
}

/* --- the end of a service, reports --------------------------------------- */

struct ending {
	enum service service;
	unsigned why, count;
};

static void
end_if_of_service(struct master *m, struct conn_record *r, void *arg)
{
	struct ending *e = arg;
	struct msg_out out;

	(void)m;
	if (r->service != e->service)
		return;
	e->count++;
	master_handover_stop(r);
	if (r->worker == NULL || r->worker->peer == NULL)
		return;
	msg_begin(&out, MSG_SESSION_END, 0);
	msg_put_u64(&out, r->id);
	msg_put_u32(&out, e->why);
	peer_send(r->worker->peer, &out);
}

void
conns_end_service(struct master *m, enum service s, unsigned why)
{
	struct ending e = { s, why, 0 };

	each_conn(m, end_if_of_service, &e);
}

unsigned
conns_of_service(const struct master *m, enum service s)
{
	return limits_count(m->limits, s);
}

static void
report_one(struct master *m, struct conn_record *r, void *arg)
{
	struct buf *out = arg;
	char safe[300];

	(void)m;
	if (r->verdict != CONN_OK)
		return;
	buf_putf(out, "%016llx %s %s %s %u %lld\n", (unsigned long long)r->id,
	    service_name(r->service),
	    r->user != NULL ? log_safe(slice_str(r->user), safe, sizeof(safe))
			    : "-",
	    r->client_addr, r->client_port,
	    (long long)((clock_now() - r->since_ms) / 1000));
}

void
conns_report(struct master *m, struct buf *out)
{
	each_conn(m, report_one, out);
}

bool
conns_kick(struct master *m, uint64_t id)
{
	struct conn_record *r = conn_find(m, id);
	struct msg_out out;

	if (r == NULL || r->worker == NULL || r->worker->peer == NULL)
		return false;
	msg_begin(&out, MSG_SESSION_END, 0);
	msg_put_u64(&out, id);
	msg_put_u32(&out, SESSION_KICKED);
	peer_send(r->worker->peer, &out);
	return true;
}
