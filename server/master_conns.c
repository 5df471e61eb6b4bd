/*
 * master_conns: the one table of client connections.
 *
 * A connection is counted from CONN_OPEN until the login process closes it
 * or, once a worker has it, until the worker says SESSION_CLOSED or dies.
 * A relayed TLS connection is reported by both; the worker's word counts.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/account_option.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocols/session.h"
#include "server/master.h"
#include "server/service_log.h"

/* A handover waits this long for the ticket that authdaemond pushed at the
 * same time on another socket. */
enum { TICKET_WAIT_MS = 2000, FULL_SAID_MS = 60 * 1000 };

struct handover {
	uint8_t ticket[TICKET_SIZE];
	char *tag, *tls, *command;
	struct buf unparsed;
	uint64_t rcvd, sent;
	int fd;
	int64_t until_ms;
};

static struct conn_record **
bucket_of(struct master *m, uint64_t id)
{
	return &m->conns[(id ^ id >> 48) % CONN_BUCKETS];
}

struct conn_record *
conn_find(struct master *m, uint64_t id)
{
	struct conn_record *r = *bucket_of(m, id);

	while (r != NULL && r->id != id)
		r = r->next;
	return r;
}

static void
handover_free(struct handover **hh)
{
	struct handover *h = *hh;

	if (h == NULL)
		return;
	*hh = NULL;
	if (h->fd >= 0)
		(void)close(h->fd);
	free(h->tag);
	free(h->tls);
	free(h->command);
	buf_fini(&h->unparsed);
	free(h);
}

static void
stop_waiting(struct conn_record *r)
{
	if (r->waiting == NULL)
		return;
	LIST_REMOVE(r, by_waiting);
	handover_free(&r->waiting);
}

void
conn_drop(struct master *m, struct conn_record *r)
{
	struct conn_record **pp = bucket_of(m, r->id);

	while (*pp != r)
		pp = &(*pp)->next;
	*pp = r->next;
	limits_close(m->limits, r->service, &r->addr);
	if (r->worker != NULL && r->worker->n_sessions > 0)
		r->worker->n_sessions--;
	stop_waiting(r);
	free(r->user);
	free(r);
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

/* *rule: of the access file, for a client that is let in. */
static enum conn_verdict
admit(struct master *m, const struct conn_record *r,
    const struct access_rule **rule)
{
	const char *ident = service_ident(r->service);

	if (m->stopping || !m->services[r->service].on)
		return CONN_STOPPING;
	if (!master_access_allows(m, r, rule)) {
		log_line_as(ident, LOG_LEVEL_INFO,
		    "access denied, ip=[%s], port=[%u]",
		    service_log_addr(r->client_addr), r->client_port);
		return CONN_NO_ACCESS;
	}
	switch (*rule != NULL && (*rule)->max_per_address != 0
		? limits_open_max(
		      m->limits, r->service, &r->addr, (*rule)->max_per_address)
		: limits_open(m->limits, r->service, &r->addr)) {
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

static void
copy_text(char *out, size_t n, const char *s)
{
	size_t len = strlen(s);

	if (len >= n)
		len = n - 1;
	memcpy(out, s, len);
	out[len] = '\0';
}

void
master_conn_open(struct child *c, struct msg_in *in)
{
	struct master *m = c->master;
	struct conn_record *r = MEM_NEW(struct conn_record), **pp;
	const struct access_rule *rule = NULL;
	struct msg_out out;
	enum conn_verdict v;

	r->id = msg_get_u64(in);
	r->service = (enum service)msg_get_u32(in);
	copy_text(r->client_addr, sizeof(r->client_addr), msg_get_str(in));
	r->client_port = msg_get_u32(in);
	copy_text(r->local_addr, sizeof(r->local_addr), msg_get_str(in));
	r->local_port = msg_get_u32(in);
	r->login = c;
	r->since_ms = clock_now();
	if (!msg_get_end(in) || r->service >= N_SERVICES ||
	    conn_find(m, r->id) != NULL ||
	    !addr_parse(&r->addr, slice_str(r->client_addr))) {
		log_error("master: bad CONN_OPEN of pid %d", (int)c->pid);
		free(r);
		return;
	}
	v = admit(m, r, &rule);
	msg_begin(&out, MSG_CONN_VERDICT, 0);
	msg_put_u64(&out, r->id);
	msg_put_u32(&out, v);
	msg_put_str(&out, v == CONN_OK && rule != NULL ? rule->vars : "");
	if (v != CONN_OK)
		free(r);
	else {
		pp = bucket_of(m, r->id);
		r->next = *pp;
		*pp = r;
	}
	peer_send(c->peer, &out);
}

/* --- handover --------------------------------------------------------------
 */

static void
answer(struct conn_record *r, enum conn_verdict v, const char *reason)
{
	struct msg_out out;

	if (v != CONN_OK)
		log_line_as(service_ident(r->service), LOG_LEVEL_WARN,
		    "handover refused, ip=[%s], port=[%u]: %s",
		    service_log_addr(r->client_addr), r->client_port, reason);
	if (r->login == NULL || r->login->peer == NULL)
		return;
	msg_begin(&out, MSG_HANDOVER_DONE, 0);
	msg_put_u64(&out, r->id);
	msg_put_u32(&out, v);
	msg_put_str(&out, reason);
	peer_send(r->login->peer, &out);
}

static void
send_session(struct conn_record *r, const struct handover *h,
    const struct account_record *a, const char *path)
{
	struct msg_out out;

	msg_begin(&out, MSG_SESSION, 0);
	msg_put_u64(&out, r->id);
	msg_put_u32(&out, r->service);
	msg_put_str(&out, r->client_addr);
	msg_put_u32(&out, r->client_port);
	msg_put_str(&out, r->local_addr);
	msg_put_u32(&out, r->local_port);
	msg_put_str(&out, h->tls);
	msg_put_str(&out, h->tag);
	msg_put_bytes(&out, buf_slice(&h->unparsed));
	msg_put_str(&out, h->command);
	msg_put_str(&out, a->user);
	msg_put_str(&out, a->home);
	msg_put_str(&out, path);
	msg_put_str(&out, a->quota);
	msg_put_str(&out, a->options);
	msg_put_u64(&out, h->rcvd);
	msg_put_u64(&out, h->sent);
	out.fd = h->fd;
	peer_send(r->worker->peer, &out);
}

/* Without "//", "/./" and a '/' at its end: one Maildir has one path, which
 * is also what an index of shared mailboxes leads to. */
static void
clean_path(char *path)
{
	char *to = path;

	for (const char *from = path; *from != '\0'; from++) {
		if (from[0] == '/' &&
		    (from[1] == '/' || from[1] == '\0' ||
			(from[1] == '.' && from[2] == '/') ||
			(from[1] == '.' && from[2] == '\0'))) {
			if (from[1] == '.')
				from++;
			continue;
		}
		*to++ = *from;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
}

/* HOME/MAILDIR as Courier joins them; a maildir out of home by ".." is a
 * row that somebody tampered with. */
static char *
account_path(
    const struct conf *conf, enum service s, const struct account_record *a)
{
	const char *maildir = a->maildir;
	char *path;

	if (*maildir == '\0')
		maildir = conf_service_str(conf, (enum conf_file)s,
		    service_is_pop3(s) ? CONF_POP3D_MAILDIRPATH
				       : CONF_IMAPD_MAILDIRPATH);
	path = *maildir == '/' ? mem_strdup(maildir)
			       : mem_printf("%s/%s", a->home, maildir);
	clean_path(path);
	if (*path == '/' && strstr(path, "/../") == NULL &&
	    !slice_ends(slice_str(path), SLICE("/..")))
		return path;
	free(path);
	return NULL;
}

/* Why this service is closed to the account, or NULL. */
static const char *
account_disabled(const struct account_record *a, enum service s, bool tls)
{
	bool pop3 = service_is_pop3(s);
	struct slice options = slice_str(a->options);

	if (account_option_is_on(
		options, pop3 ? SLICE("disablepop3") : SLICE("disableimap")))
		return pop3 ? "POP3 access disabled for this account."
			    : "IMAP access disabled for this account.";
	if (!tls &&
	    account_option_is_on(options,
		pop3 ? SLICE("disableinsecurepop3")
		     : SLICE("disableinsecureimap")))
		return pop3 ? "POP3 access disabled via insecure connection."
			    : "IMAP access disabled via insecure connection.";
	return NULL;
}

static void
deliver(struct master *m, struct conn_record *r, struct handover *h,
    const struct account_record *a)
{
	const char *disabled =
	    account_disabled(a, r->service, h->tls[0] != '\0');
	const char *why = "";
	char *path = account_path(m->conf, r->service, a);

	if (disabled != NULL) {
		answer(r, CONN_DENIED, disabled);
	} else if (path == NULL) {
		answer(r, CONN_UNAVAILABLE,
		    "the account's maildir is not below its home");
	} else if ((r->worker = master_worker_for(m, a, path, &why)) == NULL) {
		answer(r, CONN_UNAVAILABLE, why);
	} else {
		r->user = mem_strdup(a->user);
		r->worker->n_sessions++;
		send_session(r, h, a, path);
		answer(r, CONN_OK, "");
	}
	free(path);
}

/* Try with the ticket; false: it has not come yet. */
static bool
try_handover(
    struct master *m, struct conn_record *r, struct handover *h, int64_t now_ms)
{
	struct account_record a = { 0 };
	bool found;

	if (tickets_take(m->tickets, slice_of(h->ticket, TICKET_SIZE),
		service_is_pop3(r->service) ? "pop3" : "imap", r->client_addr,
		now_ms, &a, &found)) {
		deliver(m, r, h, &a);
		account_record_fini(&a);
		return true;
	}
	if (!found && now_ms < h->until_ms)
		return false;
	answer(r, CONN_REFUSED,
	    found ? "ticket of another connection" : "unknown ticket");
	return true;
}

void
master_handover(struct child *c, struct msg_in *in)
{
	struct master *m = c->master;
	struct conn_record *r = conn_find(m, msg_get_u64(in));
	struct slice ticket = msg_get_bytes(in), unparsed;
	struct handover *h = MEM_NEW(struct handover);

	h->fd = in->fd;
	in->fd = -1;
	h->tag = mem_strdup(msg_get_str(in));
	unparsed = msg_get_bytes(in);
	buf_init(&h->unparsed, unparsed.n);
	buf_put(&h->unparsed, unparsed);
	h->tls = mem_strdup(msg_get_str(in));
	h->command = mem_strdup(msg_get_str(in));
	h->rcvd = msg_get_u64(in);
	h->sent = msg_get_u64(in);
	h->until_ms = clock_now() + TICKET_WAIT_MS;
	if (!msg_get_end(in) || r == NULL || r->login != c ||
	    r->worker != NULL || r->waiting != NULL ||
	    ticket.n != TICKET_SIZE) {
		log_error("master: bad HANDOVER of pid %d", (int)c->pid);
		handover_free(&h);
		return;
	}
	memcpy(h->ticket, ticket.p, TICKET_SIZE);
	/* Most often it is on the socket, where it has waked nobody. */
	if (!try_handover(m, r, h, clock_now())) {
		master_auth_poll(m);
		if (!try_handover(m, r, h, clock_now())) {
			r->waiting = h;
			LIST_INSERT_HEAD(&m->waiting, r, by_waiting);
			master_auth_listen(m, true);
			return;
		}
	}
	handover_free(&h);
}

void
master_handovers_retry(struct master *m, int64_t now_ms)
{
	struct conn_record *r, *next;

	for (r = LIST_FIRST(&m->waiting); r != NULL; r = next) {
		next = LIST_NEXT(r, by_waiting);
		if (try_handover(m, r, r->waiting, now_ms))
			stop_waiting(r);
	}
	master_auth_listen(m, !LIST_EMPTY(&m->waiting));
}

/* --- the end of a service, reports ------------------------------------------
 */

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
