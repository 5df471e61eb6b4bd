/*
 * Sessions that the master hands over.  One whose user has no home yet waits,
 * while a few files of the skeleton at a time are copied into it, and others
 * are served; so does whoever comes to the same home meanwhile, here or in
 * another worker.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/service_log.h"
#include "server/worker.h"
#include "server/worker_home.h"
#include "server/worker_refuse.h"

enum { HOME_PAUSE_MS = 50 };

struct session_message {
	uint64_t id;
	enum service service;
	struct session_peer peer;
	const char *tag, *command, *home, *path, *quota, *options;
	const char *vars, *skeleton;
	struct slice unparsed;
};

static bool
session_message_get(struct msg_in *in, struct session_message *m)
{
	m->id = msg_get_u64(in);
	m->service = (enum service)msg_get_u32(in);
	m->peer.client_addr = msg_get_str(in);
	m->peer.client_port = msg_get_u32(in);
	m->peer.local_addr = msg_get_str(in);
	m->peer.local_port = msg_get_u32(in);
	m->peer.tls = msg_get_str(in);
	m->tag = msg_get_str(in);
	m->unparsed = msg_get_bytes(in);
	m->command = msg_get_str(in);
	m->peer.utf8 = msg_get_u32(in) != 0;
	m->peer.mechs = msg_get_str(in);
	m->peer.password = msg_get_u32(in) != 0;
	m->peer.user = msg_get_str(in);
	m->home = msg_get_str(in);
	m->path = msg_get_str(in);
	m->quota = msg_get_str(in);
	m->peer.options = m->options = msg_get_str(in);
	m->peer.rcvd = msg_get_u64(in);
	m->peer.sent = msg_get_u64(in);
	m->vars = msg_get_str(in);
	m->skeleton = msg_get_str(in);
	m->peer.id = m->id;
	m->peer.client_addr = service_log_addr(m->peer.client_addr);
	if (m->service < N_SERVICES)
		m->peer.ident = service_ident(m->service);
	return msg_get_end(in) && m->service < N_SERVICES;
}

/* What Courier would run, and the master only with LOGINEXEC.  dir: the Maildir
 * if it is open, else -1. */
static void
note_loginexec(const struct worker *w, int dir, const char *path)
{
	char *name, safe[300];

	/* there is seldom one, and its path is a longer way */
	if (conf_bool(w->conf, CONF_POSTERN_LOGINEXEC) ||
	    (dir >= 0 && faccessat(dir, "loginexec", X_OK, 0) < 0))
		return;
	name = mem_printf("%s/loginexec", path);
	if (access(name, X_OK) == 0)
		log_info("%s is not run: LOGINEXEC is off",
		    log_safe(slice_str(name), safe, sizeof(safe)));
	free(name);
}

/* A Maildir to which several paths lead has one account here; found is what
 * stat() said of the path. */
static struct account *
account_of(
    struct worker *w, const struct session_message *m, const struct stat *found)
{
	struct account *a =
	    account_get_open(w->store, m->path, m->quota, found);
	char *path;

	note_loginexec(w, a != NULL ? account_dir(a) : -1, m->path);
	if (a != NULL)
		return a;
	path = fsx_real_path(m->path);
	a = account_get(w->store, path, m->quota);
	free(path);
	return a;
}

static void
begin_session(
    struct worker *w, const struct session_message *m, struct msg_in *in)
{
	struct refusal no;
	struct account *a;
	struct session *s;
	struct stream *st;
	struct stat found;

	no = account_refusal(m->home, m->path,
	    protocol_checks_owner(w, m->service, m->vars), &found);
	a = account_of(w, m, &found);
	if (no.why != NULL) {
		s = refusal_session_new(m->service, &m->peer, m->tag, a, &no);
	} else {
		s = protocol_session_new(
		    w, m->service, m->vars, &m->peer, m->tag, m->command, a);
		buf_put(&s->in, m->unparsed);
	}
	st = stream_new(w, m->id, m->service, in->fd, s, account_path(a));
	/* the master counts crashes by what it calls the account */
	if (strcmp(account_path(a), m->path) != 0)
		stream_call_account(st, m->path);
	in->fd = -1;
	stream_begin(st);
}

static void
end_session(struct worker *w, uint64_t id, enum session_end why)
{
	struct stream *st;

	TAILQ_FOREACH(st, &w->streams, link)
		if (st->id == id) {
			stream_end(st, why);
			return;
		}
}

/* --- those that wait for a home ------------------------------------------- */

struct arrival {
	TAILQ_ENTRY(arrival) link;
	struct msg_in in; /* of bytes */
	uint8_t *bytes;
	uint64_t id;
	char *home;
	struct home_copy *copy; /* NULL: another one's */
	int64_t due_ms;		/* whose is least has the next turn, then */
	bool ended;
	enum session_end why;
};

/* Whether one of those that wait makes this home. */
static bool
is_being_made(const struct worker *w, const char *home)
{
	const struct arrival *r;

	TAILQ_FOREACH(r, &w->arrivals, link)
		if (r->copy != NULL && strcmp(r->home, home) == 0)
			return true;
	return false;
}

static void
wait_for_home(
    struct worker *w, const struct session_message *m, struct msg_in *in)
{
	struct arrival *r = MEM_NEW(struct arrival);

	r->in = *in;
	r->bytes = mem_zalloc(in->rest.n + 1, 1);
	memcpy(r->bytes, in->rest.p, in->rest.n);
	r->in.rest = slice_of(r->bytes, in->rest.n);
	in->fd = -1;
	r->id = m->id;
	r->home = mem_strdup(m->home);
	r->due_ms = clock_now();
	if (!is_being_made(w, m->home))
		r->copy = home_copy_new(m->home, m->skeleton);
	TAILQ_INSERT_TAIL(&w->arrivals, r, link);
	event_active(w->on_arrival, 0, 0);
}

static void
arrival_free(struct worker *w, struct arrival *r)
{
	TAILQ_REMOVE(&w->arrivals, r, link);
	if (r->in.fd >= 0)
		(void)close(r->in.fd);
	home_copy_free(&r->copy);
	free(r->bytes);
	free(r->home);
	free(r);
}

/*
 * Who has the next turn; NULL: nobody waits.  A copy is finished before another
 * begins, as each has some twenty descriptors; one that is left to another
 * process has none, and nobody waits for it but who needs it.
 */
static struct arrival *
next_arrival(const struct worker *w)
{
	struct arrival *r, *next = NULL;

	TAILQ_FOREACH(r, &w->arrivals, link)
		if ((next == NULL || r->due_ms < next->due_ms) &&
		    (r->copy != NULL || !is_being_made(w, r->home)))
			next = r;
	return next;
}

/* A step towards its home, and its session when that is there. */
static void
arrival_step(struct worker *w, struct arrival *r, int64_t now_ms)
{
	struct session_message m = { 0 };
	enum home_step step = HOME_DONE;

	if (r->copy != NULL)
		step = home_copy_step(r->copy, now_ms);
	/* who ends waits for nobody */
	if (step == HOME_DONE || (step == HOME_WAITS && w->stopping)) {
		if (session_message_get(&r->in, &m))
			begin_session(w, &m, &r->in);
		if (r->ended || w->stopping)
			end_session(
			    w, r->id, r->ended ? r->why : SESSION_SHUTDOWN);
		arrival_free(w, r);
		return;
	}
	if (step == HOME_WAITS)
		r->due_ms = now_ms + HOME_PAUSE_MS;
}

void
on_session_arrival(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct arrival *r = next_arrival(w);
	int64_t now_ms = clock_now(), left_ms = 0;

	(void)fd;
	(void)what;
	if (r != NULL && (r->due_ms <= now_ms || w->stopping)) {
		arrival_step(w, r, now_ms);
		r = next_arrival(w);
	}
	if (r == NULL)
		return;
	if (r->due_ms > now_ms)
		left_ms = r->due_ms - now_ms;
	(void)event_add(w->on_arrival,
	    &(struct timeval){ .tv_usec = (suseconds_t)left_ms * 1000 });
}

void
sessions_hurry(struct worker *w)
{
	while (!TAILQ_EMPTY(&w->arrivals))
		on_session_arrival(-1, 0, w);
}

void
sessions_forget(struct worker *w)
{
	while (!TAILQ_EMPTY(&w->arrivals))
		arrival_free(w, TAILQ_FIRST(&w->arrivals));
}

/* --- messages of the master ----------------------------------------------- */

void
session_arrives(struct worker *w, struct msg_in *in)
{
	struct session_message m = { 0 };
	struct msg_in all = *in;

	if (!session_message_get(&all, &m))
		log_error("worker: bad SESSION message");
	else if (*m.skeleton != '\0' || is_being_made(w, m.home))
		wait_for_home(w, &m, in);
	else
		begin_session(w, &m, in);
}

void
session_ends(struct worker *w, struct msg_in *in)
{
	uint64_t id = msg_get_u64(in);
	uint32_t why = msg_get_u32(in);
	struct arrival *r;

	if (!msg_get_end(in) || why > SESSION_ERROR)
		return;
	TAILQ_FOREACH(r, &w->arrivals, link)
		if (r->id == id) {
			r->ended = true;
			r->why = (enum session_end)why;
			return;
		}
	end_session(w, id, (enum session_end)why);
}
