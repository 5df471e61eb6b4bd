#include "protocols/pop3/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "protocols/pop3/session_impl.h"

enum {
	INPUT_AHEAD = 4096, /* room for commands sent ahead (RFC 2449 6.6) */
	OUTPUT_MAX = 4 * STEP_OUTPUT_HIGH,
	BUSY_MS = 5000, /* how long a mailbox may be busy at a time */
	USER_LOG_MAX = 256,
};

static struct pop3_session *
of(struct session *s)
{
	struct pop3_session *p = CONTAINER_OF(s, struct pop3_session, s);

	MAGIC_CHECK(p, POP3_MAGIC);
	return p;
}

/* --- for the other files ------------------------------------------------- */

void
pop3_reply(struct pop3_session *p, const char *text)
{
	buf_puts(&p->s.out, text);
	buf_puts(&p->s.out, "\r\n");
}

enum step
pop3_goto(struct pop3_session *p, const struct pop3_step *step)
{
	p->step = step;
	p->retry_until = 0;
	return STEP_NEXT;
}

enum step
pop3_end(struct pop3_session *p, enum session_end why)
{
	p->why = why;
	return pop3_goto(p, &pop3_step_ended);
}

void
pop3_log_error(
    struct pop3_session *p, const char *what, int rc, const struct err *e)
{
	log_line_as(p->ident, LOG_LEVEL_ERROR,
	    "pop3: %s session=%" PRIu64 " user=%s: %s", what, p->id, p->user,
	    e->text[0] != '\0' ? e->text : err_name(rc));
}

bool
pop3_retry(struct pop3_session *p, int rc)
{
	if (rc == ERR_MORE) {
		p->retry_until = 0;
		return true;
	}
	if (rc != ERR_BUSY ||
	    (p->retry_until != 0 && p->now >= p->retry_until)) {
		p->retry_until = 0;
		return false;
	}
	if (p->retry_until == 0)
		p->retry_until = p->now + BUSY_MS;
	return true;
}

enum step
pop3_retry_step(const struct pop3_session *p)
{
	return p->retry_until != 0 ? STEP_WAIT_PEER : STEP_YIELD;
}

/* --- log lines ----------------------------------------------------------- */

static void
log_login(struct pop3_session *p)
{
	log_line_as(p->ident, LOG_LEVEL_INFO,
	    "LOGIN, user=%s, ip=[%s], port=[%" PRIu32 "]%s", p->user,
	    p->client_addr, p->client_port, p->tls ? ", stls=1" : "");
}

static void
log_end(struct pop3_session *p)
{
	static const char *const words[] = {
		[SESSION_LOGOUT] = "LOGOUT",
		[SESSION_DISCONNECTED] = "DISCONNECTED",
		[SESSION_TIMEOUT] = "TIMEOUT",
		[SESSION_SHUTDOWN] =
		    "NOTICE: Disconnected during shutdown by signal",
		[SESSION_KICKED] = "DISCONNECTED",
		[SESSION_ERROR] = "DISCONNECTED",
	};

	assert((size_t)p->why < NELEMS(words));
	log_line_as(p->ident, LOG_LEVEL_INFO,
	    "%s, user=%s, ip=[%s], port=[%" PRIu32 "], top=%" PRIu64
	    ", retr=%" PRIu64 ", rcvd=%" PRIu64 ", sent=%" PRIu64
	    ", time=%" PRId64 "%s",
	    words[p->why], p->user, p->client_addr, p->client_port, p->top,
	    p->retr, p->rcvd_before + p->s.rcvd, p->sent_before + p->s.sent,
	    (p->now - p->started) / 1000, p->tls ? ", stls=1" : "");
}

/* --- opening the mailbox ------------------------------------------------- */

static enum step
open_failed(struct pop3_session *p, int rc, const struct err *e)
{
	pop3_log_error(p, "cannot open the mailbox", rc, e);
	/* RFC 2449 8.1.2, RFC 3206 4 */
	pop3_reply(p,
	    rc == ERR_BUSY	   ? "-ERR [IN-USE] Mailbox is in use."
		: rc == ERR_DENIED ? "-ERR [SYS/PERM] Mailbox cannot be opened."
		: rc == ERR_LAYOUT ? "-ERR [SYS/PERM] Mail is stored in a "
				     "layout that is not Maildir++."
				   : "-ERR [SYS/TEMP] Mailbox is unavailable, "
				     "please try again later.");
	return pop3_end(p, SESSION_ERROR);
}

static enum step
list_fn(struct pop3_session *p)
{
	struct err e = { .code = 0 };
	struct pop3_entry *entries = NULL;
	enum step st;
	size_t n = 0;
	int rc = 0;

	st = mailbox_pop3_list(
	    p->mailbox, p->s.waker, p->now, &entries, &n, &rc);
	if (st != STEP_DONE)
		return st;
	if (rc != 0)
		return open_failed(p, rc, &e);
	pop3_maildrop_set(&p->drop, entries, n);
	p->at = 0;
	return pop3_goto(p, &pop3_step_headers);
}

static const struct pop3_step step_drop_listing = { "drop listing", list_fn,
	false, false };

static enum step
refresh_fn(struct pop3_session *p)
{
	struct err e = { .code = 0 };
	int rc = 0;
	enum step st =
	    mailbox_refresh(p->mailbox, true, p->s.waker, p->now, p->wall, &rc);

	if (st != STEP_DONE)
		return st;
	if (rc != 0)
		return open_failed(p, rc, &e);
	return pop3_goto(p, &step_drop_listing);
}

static const struct pop3_step step_refresh = { "refresh", refresh_fn, false,
	false };

static enum step
open_fn(struct pop3_session *p)
{
	struct err e = { .code = 0 };
	int rc = mailbox_open(p->account, SLICE("INBOX"), &p->mailbox, &e);

	if (pop3_retry(p, rc))
		return pop3_retry_step(p);
	if (rc != 0)
		return open_failed(p, rc, &e);
	return pop3_goto(p, &step_refresh);
}

static const struct pop3_step step_open = { "open", open_fn, false, false };

static enum step
login_fn(struct pop3_session *p)
{
	log_login(p);
	return pop3_goto(p, &step_open);
}

static const struct pop3_step step_login = { "login", login_fn, false, false };

/* --- commands ------------------------------------------------------------ */

/* Drop the rest of a line that was too long. */
static void
skip_line(struct pop3_session *p)
{
	struct slice in = buf_slice(&p->s.in);
	size_t lf = slice_find(in, '\n');

	p->skipping = lf == in.n;
	buf_drain(&p->s.in, lf + (lf < in.n));
}

static enum step
wait_command(struct pop3_session *p)
{
	if (p->eof)
		return pop3_end(p, SESSION_DISCONNECTED);
	if (!p->waiting) {
		p->waiting = true;
		p->idle_since = p->now;
	}
	/* RFC 1939 3: no response, and nothing is removed. */
	if (p->now - p->idle_since >= p->opt->timeout_ms)
		return pop3_end(p, SESSION_TIMEOUT);
	p->s.idle = buf_len(&p->s.in) == 0;
	return STEP_WAIT_INPUT;
}

static enum step
command_fn(struct pop3_session *p)
{
	struct slice in, line;
	size_t lf;

	if (p->skipping)
		skip_line(p);
	in = slice_first(buf_slice(&p->s.in), p->opt->line_max);
	lf = slice_find(in, '\n');
	if (lf == in.n && in.n < p->opt->line_max)
		return wait_command(p);
	p->waiting = false;
	if (lf == in.n) {
		p->skipping = true;
		pop3_bad_command(p, "-ERR Line too long.");
		return STEP_NEXT;
	}
	line = slice_first(in, lf);
	if (slice_ends(line, SLICE("\r")))
		line.n--;
	pop3_command(p, line);
	buf_drain(&p->s.in, lf + 1);
	return STEP_NEXT;
}

const struct pop3_step pop3_step_command = { "command", command_fn, false,
	false };

static enum step
ended_fn(struct pop3_session *p)
{
	(void)p;
	return STEP_DONE;
}

const struct pop3_step pop3_step_ended = { "ended", ended_fn, true, false };

/* --- the worker's calls -------------------------------------------------- */

/* Obey an end from outside, unless the present step must be finished. */
static void
obey_end(struct pop3_session *p)
{
	if (p->step->critical)
		return;
	if (!p->step->mute && p->why == SESSION_SHUTDOWN)
		pop3_reply(p, "-ERR [SYS/TEMP] Server is shutting down.");
	else if (!p->step->mute && p->why == SESSION_KICKED)
		pop3_reply(p, "-ERR [SYS/TEMP] Disconnected by the operator.");
	(void)pop3_end(p, p->why);
}

static enum step
run(struct session *s, int64_t now_ms, int64_t wall_ms)
{
	struct pop3_session *p = of(s);
	enum step st = STEP_NEXT;

	p->now = now_ms;
	p->wall = wall_ms;
	s->idle = false;
	while (st == STEP_NEXT) {
		if (p->ending)
			obey_end(p);
		if (!p->step->critical && buf_len(&s->out) >= STEP_OUTPUT_HIGH)
			st = STEP_WAIT_OUTPUT;
		else
			st = p->step->fn(p);
		/* steps mind STEP_OUTPUT_HIGH, far below this maximum */
		assert(buf_ok(&s->out));
	}
	session_pause(s, st);
	return st;
}

static void
on_eof(struct session *s)
{
	of(s)->eof = true;
}

static void
end(struct session *s, enum session_end why)
{
	struct pop3_session *p = of(s);

	if (p->step == &pop3_step_ended || p->ending)
		return;
	p->ending = true;
	/* A QUIT that is being carried out stays one. */
	if (!p->step->critical)
		p->why = why;
}

static int64_t
deadline(const struct session *s)
{
	const struct pop3_session *p =
	    (const struct pop3_session *)(const void *)s;

	MAGIC_CHECK(p, POP3_MAGIC);
	if (s->pause_ms != 0)
		return p->now + s->pause_ms;
	return p->waiting ? p->idle_since + p->opt->timeout_ms : INT64_MAX;
}

static void
pop3_session_free(struct session *s)
{
	struct pop3_session *p = of(s);

	log_end(p);
	change_flags_free(&p->flags);
	change_expunge_free(&p->removal);
	if (p->fd >= 0)
		(void)close(p->fd);
	if (p->headers != NULL)
		pop3_headers_end(p->headers);
	free(p->headers);
	pop3_maildrop_fini(&p->drop);
	if (p->mailbox != NULL) {
		mailbox_forget_waker(p->mailbox, p->s.waker.arg);
		mailbox_close(&p->mailbox);
	}
	account_release(&p->account);
	buf_fini(&s->in);
	buf_fini(&s->out);
	free(p->user);
	free(p->client_addr);
	free(p->mechs);
	p->magic = 0;
	free(p);
}

static const struct session_ops ops = {
	.protocol = "POP3",
	.run = run,
	.eof = on_eof,
	.end = end,
	.deadline = deadline,
	.free = pop3_session_free,
};

struct session *
pop3_session_new(const struct pop3_options *opt,
    const struct session_peer *peer, struct account *account, int64_t now_ms)
{
	struct pop3_session *p = MEM_NEW(struct pop3_session);
	char user[USER_LOG_MAX];

	assert(opt->line_max >= 255); /* RFC 2449 4 */
	p->magic = POP3_MAGIC;
	p->s.ops = &ops;
	buf_init(&p->s.in, opt->line_max + INPUT_AHEAD);
	buf_init(&p->s.out, OUTPUT_MAX);
	p->opt = opt;
	p->step = &step_login;
	p->user =
	    mem_strdup(log_safe(slice_str(peer->user), user, sizeof(user)));
	p->client_addr = mem_strdup(peer->client_addr);
	p->client_port = peer->client_port;
	if (peer->mechs != NULL && *peer->mechs != '\0')
		p->mechs = mem_strdup(peer->mechs);
	p->password = peer->password;
	p->ident = peer->ident;
	p->tls = peer->tls[0] != '\0';
	p->utf8 = peer->utf8;
	p->id = peer->id;
	p->rcvd_before = peer->rcvd;
	p->sent_before = peer->sent;
	p->account = account;
	p->now = p->started = now_ms;
	p->why = SESSION_DISCONNECTED;
	p->fd = -1;
	return &p->s;
}
