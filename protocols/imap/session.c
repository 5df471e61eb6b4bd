#include "protocols/imap/session.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "protocols/imap/capability.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum {
	INPUT_MAX = 64 * 1024,
	/* A step adds at most STEP_SLICE_OUTPUT and one line to what is
	 * there; the rest of this room is for lists that come at once. */
	OUTPUT_MAX = 2 * 1024 * 1024,
	REPLY_MAX = 1024 * 1024, /* a COPYUID of every second message */
	ARENA_MAX = 16 * 1024 * 1024,
	WORK_SLICE = 1024 * 1024, /* bytes looked at: well below 5 ms */
	BUSY_MS = 5000,		  /* how long the store may be busy */
	USER_LOG_MAX = 256,
	KEEP_PARTS = 64, /* of the last message, between commands */
};

const struct imap_options imap_options_default = {
	.capability = "",
	.capability_tls = "",
	.timeout_ms = (int64_t)30 * 60 * 1000,
	.line_max = 64 * 1024,
	.literals_max = 64 * 1024,
	.nesting_max = 50,
	.set_max = 10000,
	.bad_max = 10,
	.message_max = (uint64_t)256 * 1024 * 1024,
	/* RFC 9585: every 10 to 15 seconds */
	.progress_ms = (int64_t)10 * 1000,
	.keywords = true,
	.mark_all = true,
	.id_name = "Postern",
	.mime = {
		.max_depth = 100,
		.max_parts = 10000,
		.max_field = 64 * 1024,
		.max_text = 1024 * 1024,
	},
};

static struct imap_session *
of(struct session *s)
{
	struct imap_session *i = CONTAINER_OF(s, struct imap_session, s);

	MAGIC_CHECK(i, IMAP_MAGIC);
	return i;
}

/* --- for the other files ------------------------------------------------- */

enum step
imap_goto(struct imap_session *i, const struct imap_step *step)
{
	i->step = step;
	i->retry_until = 0;
	return STEP_NEXT;
}

static enum step
ended_fn(struct imap_session *i)
{
	(void)i;
	return STEP_DONE;
}

static const struct imap_step step_ended = { "ended", ended_fn, true };

enum step
imap_bye(struct imap_session *i, enum session_end why, const char *text)
{
	if (text != NULL && !i->half)
		imap_put_untagged(&i->s.out, "BYE %s", text);
	i->why = why;
	return imap_goto(i, &step_ended);
}

bool
imap_spend(struct imap_session *i, size_t work)
{
	if (work >= i->budget) {
		i->budget = 0;
		return true;
	}
	i->budget -= work;
	return false;
}

int
imap_message_info(
    struct imap_session *i, uint32_t uid, struct message_info *out)
{
	int rc = mailbox_message_info(i->mailbox, uid, out);

	if (rc == 0 && out->asked)
		(void)imap_spend(i, IMAP_FILE_WORK);
	return rc;
}

bool
imap_output_full(const struct imap_session *i)
{
	return buf_len(&i->s.out) >= session_output_mark(&i->s);
}

bool
imap_retry(struct imap_session *i, int rc)
{
	if (rc == ERR_MORE) {
		i->retry_until = 0;
		return true;
	}
	if (rc != ERR_BUSY ||
	    (i->retry_until != 0 && i->now >= i->retry_until)) {
		i->retry_until = 0;
		return false;
	}
	if (i->retry_until == 0)
		i->retry_until = i->now + BUSY_MS;
	return true;
}

enum step
imap_retry_step(const struct imap_session *i)
{
	return i->retry_until != 0 ? STEP_WAIT_PEER : STEP_YIELD;
}

enum step
imap_wait_input(struct imap_session *i)
{
	if (i->eof)
		return imap_bye(i, SESSION_DISCONNECTED, NULL);
	if (!i->waiting) {
		i->waiting = true;
		i->idle_since = i->now;
	}
	/* RFC 3501 5.4 */
	if (i->now - i->idle_since >= i->opt->timeout_ms)
		return imap_bye(
		    i, SESSION_TIMEOUT, "Disconnected for inactivity.");
	return STEP_WAIT_INPUT;
}

/* --- log lines ----------------------------------------------------------- */

/* FNV-1a; not against those who mean it. */
static uint32_t
add_sum(uint32_t sum, const char *text)
{
	while (*text != '\0')
		sum = (sum ^ (uint8_t)*text++) * 16777619U;
	return sum;
}

void
imap_log_error(
    struct imap_session *i, const char *what, int rc, const struct err *e)
{
	const char *why =
	    e != NULL && e->text[0] != '\0' ? e->text : err_name(rc);
	uint32_t sum = add_sum(add_sum(2166136261U, what), why);

	if (i->logged == sum)
		return;
	i->logged = sum;
	log_line_as(i->ident, LOG_LEVEL_ERROR,
	    "imap: %s failed session=%" PRIu64 " user=%s: %s", what, i->id,
	    i->user, why);
}

void
imap_log_line(struct imap_session *i, const char *event, const char *fmt, ...)
{
	struct buf rest;
	va_list ap;

	buf_init(&rest, 4096);
	va_start(ap, fmt);
	buf_vputf(&rest, fmt, ap);
	va_end(ap);
	log_line_as(i->ident, LOG_LEVEL_INFO,
	    "%s, user=%s, ip=[%s], port=[%" PRIu32 "]%s", event, i->user,
	    i->client_addr, i->client_port, buf_cstr(&rest));
	buf_fini(&rest);
}

static void
log_end(struct imap_session *i)
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

	assert((size_t)i->why < NELEMS(words));
	imap_log_line(i, words[i->why],
	    ", headers=%" PRIu64 ", body=%" PRIu64 ", rcvd=%" PRIu64
	    ", sent=%" PRIu64 ", time=%" PRId64 "%s",
	    i->headers, i->bodies, i->rcvd_before + i->s.rcvd,
	    i->sent_before + i->s.sent, (i->now - i->started) / 1000,
	    i->tls ? ", starttls=1" : "");
}

/* --- the beginning ------------------------------------------------------- */

static enum step
login_fn(struct imap_session *i)
{
	struct buf *out = &i->s.out;
	bool preauth = i->login_tag[0] == '\0';

	imap_log_line(
	    i, "LOGIN", ", protocol=IMAP%s", i->tls ? ", starttls=1" : "");
	/* RFC 3501 7.1.3: PREAUTH; 6.2.2, 6.2.3: CAPABILITY with the OK */
	buf_puts(out, preauth ? "*" : i->login_tag);
	buf_puts(out, preauth ? " PREAUTH [" : " OK [");
	imap_put_capability(i, out);
	buf_puts(out, preauth ? "] Ready.\r\n" : "] LOGIN Ok.\r\n");
	free(i->login_tag);
	free(i->login_command);
	i->login_tag = i->login_command = NULL;
	return imap_goto(i, &imap_step_command);
}

static const struct imap_step step_login = { "login", login_fn, false };

/* --- the worker's calls -------------------------------------------------- */

static enum step
obey_end(struct imap_session *i)
{
	const char *text = i->why == SESSION_SHUTDOWN
	    ? "[UNAVAILABLE] Server is shutting down."
	    : i->why == SESSION_KICKED
	    ? "[UNAVAILABLE] Disconnected by the operator."
	    : i->why == SESSION_TIMEOUT ? "Disconnected for inactivity."
					: NULL;

	return imap_bye(i, i->why, text);
}

/* What a session between two commands need not hold. */
static void
settle(struct imap_session *i, enum step st)
{
	if (st == STEP_WAIT_INPUT && i->step == &imap_step_command &&
	    buf_len(&i->s.in) == 0 && buf_len(&i->line) == 0) {
		i->s.idle = true;
		buf_trim(&i->line);
		buf_trim(&i->reply);
		if (i->work->parsed.uid != 0 &&
		    i->work->parsed.msg.n_parts > KEEP_PARTS)
			imap_look_forget(i);
		imap_look_trim(i);
	}
	if (i->s.idle)
		arena_trim(&i->arena);
	if (i->s.idle && i->mailbox != NULL)
		mailbox_rest(&i->listener);
}

/* Something is to be done: have the mailbox awake. */
static enum step
rouse(struct imap_session *i)
{
	struct err e = { .code = 0 };
	int rc = mailbox_rouse(&i->listener, &e);

	if (rc == 0)
		return STEP_NEXT;
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (mailbox_gone(i->mailbox))
		return imap_bye(
		    i, SESSION_ERROR, "The selected mailbox was removed.");
	imap_log_error(i, "waking a mailbox", rc, &e);
	return imap_bye(
	    i, SESSION_ERROR, "[UNAVAILABLE] The mailbox can't be opened.");
}

/* Whether a session at rest has something to do that needs its mailbox. */
static bool
must_rouse(const struct imap_session *i)
{
	return i->mailbox != NULL && i->listener.resting &&
	    i->step != &step_ended &&
	    (buf_len(&i->s.in) != 0 || (i->idling && i->changed));
}

static enum step
run(struct session *s, int64_t now_ms, int64_t wall_ms)
{
	struct imap_session *i = of(s);
	enum step st = STEP_NEXT;

	i->now = now_ms;
	i->wall = wall_ms;
	i->budget = WORK_SLICE;
	i->rights_checked = false;
	s->idle = false;
	imap_work_begin(i);
	while (st == STEP_NEXT) {
		if (i->ending && !i->step->critical) {
			i->ending = false;
			(void)obey_end(i);
		}
		if (i->step != &step_ended &&
		    buf_len(&s->out) >= 2 * session_output_mark(s))
			st = STEP_WAIT_OUTPUT;
		/* pipelined small commands share the slice, too */
		else if (imap_spend(i, 64))
			st = STEP_YIELD;
		else
			st = must_rouse(i) ? rouse(i) : i->step->fn(i);
		/* steps mind imap_output_full(), far below this maximum */
		assert(buf_ok(&s->out));
		if (st != STEP_WAIT_INPUT)
			i->waiting = false;
	}
	settle(i, st);
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
	struct imap_session *i = of(s);

	if (i->step == &step_ended || i->ending)
		return;
	i->ending = true;
	i->why = why;
}

static int64_t
deadline(const struct session *s)
{
	const struct imap_session *i =
	    (const struct imap_session *)(const void *)s;

	MAGIC_CHECK(i, IMAP_MAGIC);
	if (s->pause_ms != 0)
		return i->now + s->pause_ms;
	return i->waiting ? i->idle_since + i->opt->timeout_ms : INT64_MAX;
}

static void
imap_session_free(struct session *s)
{
	struct imap_session *i = of(s);

	log_end(i);
	imap_command_clear(i);
	imap_deselect(i);
	imap_work_end(i);
	account_release(&i->account);
	arena_fini(&i->arena);
	imap_saved_fini(&i->saved);
	free(i->s.send_why);
	buf_fini(&i->line);
	buf_fini(&i->reply);
	buf_fini(&s->in);
	buf_fini(&s->out);
	pool_free(i->user);
	pool_free(i->client_addr);
	pool_free(i->options);
	pool_free(i->identity);
	free(i->login_tag);
	free(i->login_command);
	i->magic = 0;
	pool_free(i);
}

static const struct session_ops ops = {
	.protocol = "IMAP",
	.run = run,
	.eof = on_eof,
	.end = end,
	.deadline = deadline,
	.free = imap_session_free,
};

struct session *
imap_session_new(const struct imap_options *opt,
    const struct session_peer *peer, struct account *account, const char *tag,
    const char *command, int64_t now_ms)
{
	struct imap_session *i = POOL_NEW(struct imap_session);
	char user[USER_LOG_MAX];

	i->magic = IMAP_MAGIC;
	i->s.ops = &ops;
	buf_init(&i->s.in, INPUT_MAX);
	buf_init(&i->s.out, OUTPUT_MAX);
	buf_init(&i->line, opt->line_max + opt->literals_max + 2);
	buf_init(&i->reply, REPLY_MAX);
	arena_init(&i->arena, ARENA_MAX);
	imap_saved_init(&i->saved);
	i->opt = opt;
	i->step = &step_login;
	i->user =
	    pool_strdup(log_safe(slice_str(peer->user), user, sizeof(user)));
	i->identity = pool_strdup(peer->user);
	if (peer->options != NULL && peer->options[0] != '\0')
		i->options = pool_strdup(peer->options);
	i->client_addr = pool_strdup(peer->client_addr);
	i->client_port = peer->client_port;
	i->ident = peer->ident;
	i->tls = peer->tls[0] != '\0';
	i->id = peer->id;
	i->rcvd_before = peer->rcvd;
	i->sent_before = peer->sent;
	i->login_tag = mem_strdup(tag);
	i->login_command = mem_strdup(command);
	i->account = account;
	i->now = i->started = now_ms;
	i->why = SESSION_DISCONNECTED;
	return &i->s;
}

static const char *
capability_filter(const struct imap_session *i)
{
	return i->tls ? i->opt->capability_tls : i->opt->capability;
}

bool
imap_literal_minus(const struct imap_session *i)
{
	return imap_capability_asked(capability_filter(i), "LITERAL-");
}

void
imap_put_capability(const struct imap_session *i, struct buf *out)
{
	const char *words = i->tls ? i->opt->words_tls : i->opt->words;

	buf_puts(out, "CAPABILITY");
	if (words != NULL)
		buf_puts(out, words);
	else
		imap_capability_words(capability_filter(i), i->opt->acl, out);
	imap_put_outbox(i, out);
	/* Courier's word for EXPUNGE into the trash */
	if (i->opt->trash_mailbox != NULL)
		buf_puts(out, " XMAGICTRASH");
	/* RFC 7889 2: the same for all mailboxes */
	buf_puts(out, " APPENDLIMIT=");
	buf_putu(out, i->opt->message_max);
}
