/*
 * master_handover: from a login process's HANDOVER to the worker's SESSION.
 *
 * A handover waits for two things: the ticket, which comes by another socket,
 * and the account's hook (master_hook.c), if there is one.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/account_option.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/conf/conf_client.h"
#include "server/master.h"
#include "server/service_log.h"
#include "server/worker_home.h"

/* A handover waits this long for the ticket that authdaemond pushed at the
 * same time on another socket. */
enum { TICKET_WAIT_MS = 2000 };

/* A home that has been so for longer is so for other reasons. */
enum { MAKING_MAX_S = 600 };

struct handover {
	uint8_t ticket[TICKET_SIZE];
	char *tag, *tls, *command, *mechs;
	uint32_t utf8, password;
	struct buf unparsed;
	uint64_t rcvd, sent;
	int fd;
	int64_t until_ms;
	/* Once the ticket was taken, while a hook runs: */
	struct account_record account;
	char *path;
};

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
	free(h->mechs);
	buf_fini(&h->unparsed);
	account_record_fini(&h->account);
	free(h->path);
	free(h);
}

void
handover_forget(struct conn_record *r)
{
	if (r->waiting == NULL)
		return;
	if (r->hook != NULL)
		r->hook = NULL;
	else
		LIST_REMOVE(r, by_waiting);
	handover_free(&r->waiting);
}

static void
put_done(struct msg_out *out, const struct conn_record *r, enum conn_verdict v,
    const char *reason)
{
	msg_begin(out, MSG_HANDOVER_DONE, 0);
	msg_put_u64(out, r->id);
	msg_put_u32(out, v);
	msg_put_str(out, reason);
}

static void
refuse(struct conn_record *r, enum conn_verdict v, const char *reason)
{
	struct msg_out out;

	log_line_as(service_ident(r->service), LOG_LEVEL_WARN,
	    "handover refused, ip=[%s], port=[%u]: %s",
	    service_log_addr(r->client_addr), r->client_port, reason);
	if (r->login == NULL || r->login->peer == NULL)
		return;
	put_done(&out, r, v, reason);
	peer_send(r->login->peer, &out);
}

void
master_handed_tell(struct child *login)
{
	struct msg_out out;

	if (login->n_handed == 0 || login->peer == NULL)
		return;
	msg_begin(&out, MSG_HANDED_OVER, 0);
	msg_put_bytes(
	    &out, slice_of(login->handed, login->n_handed * sizeof(uint64_t)));
	login->n_handed = 0;
	peer_send(login->peer, &out);
}

/*
 * With TLS the login process begins to relay.  Without, the connection is the
 * worker's, and what is left to do is to close a descriptor: it is told of
 * some of these at a time, at the latest by the next tick.
 */
static void
tell_done(struct conn_record *r, const struct handover *h)
{
	struct child *login = r->login;
	struct msg_out out;

	if (login == NULL || login->peer == NULL)
		return;
	if (h->tls[0] != '\0') {
		put_done(&out, r, CONN_OK, "");
		peer_send(login->peer, &out);
		return;
	}
	if (login->n_conns > 0)
		login->n_conns--;
	login->handed[login->n_handed++] = r->id;
	if (login->n_handed == HANDED_MAX)
		master_handed_tell(login);
}

void
conn_put(struct msg_out *out, const struct conn_record *r)
{
	msg_put_u64(out, r->id);
	msg_put_u32(out, r->service);
	msg_put_str(out, r->client_addr);
	msg_put_u32(out, r->client_port);
	msg_put_str(out, r->local_addr);
	msg_put_u32(out, r->local_port);
}

/* False: what the login process or authdaemond has said of it is longer than a
 * message may be. */
static bool
send_session(struct conn_record *r, const struct handover *h,
    const struct account_record *a, const char *path, const char *skeleton)
{
	struct msg_out out;

	msg_begin(&out, MSG_SESSION, 0);
	conn_put(&out, r);
	msg_put_str(&out, h->tls);
	msg_put_str(&out, h->tag);
	msg_put_bytes(&out, buf_slice(&h->unparsed));
	msg_put_str(&out, h->command);
	msg_put_u32(&out, h->utf8);
	msg_put_str(&out, h->mechs);
	msg_put_u32(&out, h->password);
	msg_put_str(&out, a->user);
	msg_put_str(&out, a->home);
	msg_put_str(&out, path);
	msg_put_str(&out, a->quota);
	msg_put_str(&out, a->options);
	msg_put_u64(&out, h->rcvd);
	msg_put_u64(&out, h->sent);
	msg_put_str(&out, r->vars != NULL ? r->vars : "");
	msg_put_str(&out, skeleton);
	if (!buf_ok(&out.b)) {
		msg_out_fini(&out);
		return false;
	}
	out.fd = h->fd;
	peer_send(r->worker->peer, &out);
	return true;
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

/* Whether a worker is at it, or one that was ended before it was through. */
static bool
is_being_made(const struct stat *home)
{
	return S_ISDIR(home->st_mode) && (home->st_mode & HOME_MAKING) != 0 &&
	    home->st_ctim.tv_sec + MAKING_MAX_S > clock_wall() / 1000;
}

/* AUTH_MKHOMEDIR_SKEL for a home that isn't there, or only half, else "". */
static const char *
skeleton_of(
    const struct conf *conf, enum service s, const struct account_record *a)
{
	const char *skeleton = conf_service_str(conf, (enum conf_file)s,
	    service_is_pop3(s) ? CONF_POP3D_AUTH_MKHOMEDIR_SKEL
			       : CONF_IMAPD_AUTH_MKHOMEDIR_SKEL);
	struct stat st;
	struct err e;

	if (*skeleton == '\0' || a->home[0] != '/')
		return "";
	if (stat(a->home, &st) == 0)
		return is_being_made(&st) ? skeleton : "";
	if (errno != ENOENT)
		return "";
	/* Where root may not, the worker tries with its user's rights. */
	if (geteuid() == 0 && master_home_make(a->home, a->uid, a->gid, &e) < 0)
		log_info("%s", e.text);
	return skeleton;
}

/* conf: the connection's, NULL when the home is known to be there. */
static void
begin_session(struct master *m, struct conn_record *r, const struct handover *h,
    const struct account_record *a, const char *path, const struct conf *conf)
{
	const char *why = NULL;

	r->worker = master_worker_for(m, a, path, &why);
	if (r->worker == NULL ||
	    !send_session(r, h, a, path,
		conf != NULL ? skeleton_of(conf, r->service, a) : "")) {
		r->worker = NULL;
		refuse(r, CONN_UNAVAILABLE,
		    why != NULL ? why : "longer than a message");
		return;
	}
	r->user = mem_strdup(a->user);
	r->worker->n_sessions++;
	tell_done(r, h);
}

/* Keep it until the hook has ended. */
static void
wait_for_hook(struct conn_record *r, struct handover *h,
    struct account_record *a, char **path, struct child *hook)
{
	h->account = *a;
	*a = (struct account_record){ 0 };
	h->path = *path;
	*path = NULL;
	r->hook = hook;
}

/* True: done with; false: h waits for a hook. */
static bool
deliver(struct master *m, struct conn_record *r, struct handover *h,
    struct account_record *a)
{
	const char *disabled =
	    account_disabled(a, r->service, h->tls[0] != '\0');
	const struct conf *conf = conf_clients_get(
	    &m->clients, m->conf, (enum conf_file)r->service, r->vars);
	char *path = account_path(conf, r->service, a);
	struct child *hook;
	bool done = true;

	if (disabled != NULL) {
		refuse(r, CONN_DENIED, disabled);
	} else if (path == NULL) {
		refuse(r, CONN_UNAVAILABLE,
		    "the account's maildir is not below its home");
	} else if ((hook = master_hook(m, r, a, path, conf)) != NULL) {
		wait_for_hook(r, h, a, &path, hook);
		done = false;
	} else {
		begin_session(m, r, h, a, path, conf);
	}
	free(path);
	return done;
}

void
master_handovers_hooked(struct master *m, const struct child *hook)
{
	struct conn_record *r;

	while ((r = conn_of_hook(m, hook)) != NULL) {
		struct handover *h = r->waiting;

		begin_session(m, r, h, &h->account, h->path, NULL);
		handover_forget(r);
	}
}

/* The service that authdaemond was asked for, as the login process has it. */
static const char *
auth_service(const struct master *m, const struct conn_record *r)
{
	const struct access_rule rule = { .vars = r->vars };
	const char *general =
	    conf_auth_service(m->conf, (enum conf_file)r->service,
		r->local_port, service_is_pop3(r->service) ? "pop3" : "imap");
	char name[32];
	struct slice set;
	static char word[128];

	if (r->vars == NULL)
		return general;
	(void)snprintf(name, sizeof(name), "AUTHSERVICE%u", r->local_port);
	if (!access_var(&rule, name, &set) || set.n >= sizeof(word))
		return general;
	memcpy(word, set.p, set.n);
	word[set.n] = '\0';
	return word;
}

enum tried { TRIED_DONE, TRIED_NO_TICKET, TRIED_HOOK };

static enum tried
try_handover(
    struct master *m, struct conn_record *r, struct handover *h, int64_t now_ms)
{
	struct account_record a = { 0 };
	bool found;

	if (!m->services[r->service].on) {
		refuse(r, CONN_STOPPING, "the service has stopped");
		return TRIED_DONE;
	}
	if (tickets_take(m->tickets, slice_of(h->ticket, TICKET_SIZE),
		auth_service(m, r), r->client_addr, now_ms, &a, &found)) {
		bool done = deliver(m, r, h, &a);

		account_record_fini(&a);
		return done ? TRIED_DONE : TRIED_HOOK;
	}
	if (!found && now_ms < h->until_ms)
		return TRIED_NO_TICKET;
	refuse(r, CONN_REFUSED,
	    found ? "ticket of another connection" : "unknown ticket");
	return TRIED_DONE;
}

/* A word of it, or NULL: longer than it may be, or with a NUL inside. */
static char *
get_word(struct msg_in *in, size_t max)
{
	const char *word = msg_get_str(in);

	return strlen(word) <= max ? mem_strdup(word) : NULL;
}

/* What a login process says, which speaks with strangers; NULL: it can't be. */
static struct handover *
handover_get(struct msg_in *in)
{
	struct handover *h = MEM_NEW(struct handover);
	struct slice ticket = msg_get_bytes(in), unparsed;

	h->fd = in->fd;
	in->fd = -1;
	h->tag = get_word(in, HANDOVER_WORD_MAX);
	unparsed = msg_get_bytes(in);
	buf_init(&h->unparsed, HANDOVER_AHEAD_MAX);
	buf_put(&h->unparsed, unparsed);
	h->tls = get_word(in, HANDOVER_WORD_MAX);
	h->command = get_word(in, HANDOVER_WORD_MAX);
	h->utf8 = msg_get_u32(in);
	h->mechs = get_word(in, HANDOVER_MECHS_MAX);
	h->password = msg_get_u32(in);
	h->rcvd = msg_get_u64(in);
	h->sent = msg_get_u64(in);
	h->until_ms = clock_now() + TICKET_WAIT_MS;
	if (msg_get_end(in) && ticket.n == TICKET_SIZE &&
	    buf_ok(&h->unparsed) && h->tag != NULL && h->tls != NULL &&
	    h->command != NULL && h->mechs != NULL)
		memcpy(h->ticket, ticket.p, TICKET_SIZE);
	else
		handover_free(&h);
	return h;
}

void
master_handover(struct child *c, struct msg_in *in)
{
	struct master *m = c->master;
	struct conn_record *r = conn_find(m, msg_get_u64(in));
	struct handover *h = handover_get(in);
	enum tried tried;

	if (h == NULL || r == NULL || r->login != c || r->verdict != CONN_OK ||
	    r->worker != NULL || r->waiting != NULL) {
		log_error("master: bad HANDOVER of pid %d", (int)c->pid);
		handover_free(&h);
		return;
	}
	/* Most often it is on the socket, where it has waked nobody. */
	master_auth_fetch(m, slice_of(h->ticket, TICKET_SIZE));
	tried = try_handover(m, r, h, clock_now());
	if (tried == TRIED_DONE) {
		handover_free(&h);
		return;
	}
	r->waiting = h;
	if (tried == TRIED_HOOK)
		return;
	LIST_INSERT_HEAD(&m->waiting, r, by_waiting);
	master_auth_listen(m, true);
}

void
master_handovers_retry(struct master *m, int64_t now_ms)
{
	struct conn_record *r, *next;

	for (r = LIST_FIRST(&m->waiting); r != NULL; r = next) {
		next = LIST_NEXT(r, by_waiting);
		switch (try_handover(m, r, r->waiting, now_ms)) {
		case TRIED_DONE:
			handover_forget(r);
			break;
		case TRIED_HOOK:
			LIST_REMOVE(r, by_waiting);
			break;
		case TRIED_NO_TICKET:
			break;
		}
	}
	master_auth_listen(m, !LIST_EMPTY(&m->waiting));
}

void
master_handover_stop(struct conn_record *r)
{
	if (r->waiting == NULL)
		return;
	refuse(r, CONN_STOPPING, "the service stops");
	handover_forget(r);
}
