#include "server/auth_client.h"

#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/secret.h"
#include "server/auth_line.h"

enum {
	LINE_MAX_IN = 16384,
	OUT_MAX = 4 * 1024 * 1024,
	NAMES_MAX = 1024,
	RETRY_MS = 200,
	N_BUCKETS = 256,
	CHECK_MS = 1000,
};

struct auth_request {
	struct auth_client *client;
	LIST_ENTRY(auth_request) link;
	uint32_t id;
	int64_t timeout_ms;
	int64_t until_ms;
	auth_done *done;
	void *arg;
	struct buf line; /* "AUTH …", until the first answer; secret */
	bool waits;	 /* for a socket that the line can be sent to */
	bool again;	 /* the line was lost with its socket once */
	bool lost;	 /* the socket broke before it was answered */
};

LIST_HEAD(request_list, auth_request);

struct auth_client {
	struct event_base *base;
	struct auth_client_hooks hooks;
	int64_t timeout_ms;
	int fd; /* -1: none */
	struct event *on_read, *on_write, *on_retry, *on_check;
	struct buf in, out;
	bool ready;		 /* DONE was received */
	char names[NAMES_MAX];	 /* mechanisms in force */
	struct buf names_coming; /* those of the handshake under way */
	struct request_list bucket[N_BUCKETS];
	uint32_t next_id;
};

static struct auth_request *
find(struct auth_client *c, uint32_t id)
{
	struct auth_request *r;

	LIST_FOREACH(r, &c->bucket[id % N_BUCKETS], link)
		if (r->id == id)
			return r;
	return NULL;
}

static void
request_free(struct auth_request *r)
{
	LIST_REMOVE(r, link);
	buf_fini(&r->line);
	free(r);
}

/* Give a verdict; the request ends with any but AUTH_CONTINUE. */
static void
finish(struct auth_request *r, const struct auth_result *result)
{
	auth_done *done = r->done;
	void *arg = r->arg;

	if (result->verdict != AUTH_CONTINUE)
		request_free(r);
	else
		buf_fini(&r->line);
	done(arg, result);
}

/* End those that are lost, or that have waited for too long. */
static void
end_overdue(struct auth_client *c)
{
	const struct auth_result away = { .verdict = AUTH_UNAVAILABLE };
	int64_t now = clock_now();
	struct auth_request *r, *next;

	for (size_t i = 0; i < N_BUCKETS; i++)
		for (r = LIST_FIRST(&c->bucket[i]); r != NULL; r = next) {
			next = LIST_NEXT(r, link);
			if (r->lost || now >= r->until_ms)
				finish(r, &away);
		}
}

static void
ask_later(struct auth_client *c)
{
	const struct timeval t = { 0, RETRY_MS * 1000 };

	(void)event_add(c->on_retry, &t);
}

/* Its socket is gone, or was never there: wait for another, or be lost. */
static void
hold(struct auth_request *r)
{
	if (buf_len(&r->line) == 0 || r->again) {
		r->lost = true;
		return;
	}
	r->waits = true;
	r->until_ms = clock_now() +
	    (r->timeout_ms < AUTH_HOLD_MS ? r->timeout_ms : AUTH_HOLD_MS);
}

static void
send_line(struct auth_client *c, struct auth_request *r)
{
	r->waits = false;
	r->until_ms = clock_now() + r->timeout_ms;
	buf_put(&c->out, buf_slice(&r->line));
}

/* again: what waits for an answer may be asked of the next socket. */
static void
disconnect(struct auth_client *c, const char *why, bool again)
{
	struct auth_request *r;

	if (c->fd < 0)
		return;
	log_warn("authdaemond: connection lost: %s", why);
	event_free(c->on_read);
	event_free(c->on_write);
	c->on_read = c->on_write = NULL;
	(void)close(c->fd);
	c->fd = -1;
	c->ready = false;
	buf_fini(&c->in);
	buf_fini(&c->out);
	for (size_t i = 0; i < N_BUCKETS; i++)
		LIST_FOREACH(r, &c->bucket[i], link) {
			if (r->waits)
				continue;
			r->again = r->again || !again;
			hold(r);
			r->again = true;
		}
	event_active(c->on_check, EV_TIMEOUT, 1);
	ask_later(c);
}

static void
flush(struct auth_client *c)
{
	/* A line was cut short, and nothing more would ever be queued. */
	if (c->fd >= 0 && !buf_ok(&c->out)) {
		disconnect(c, "does not read", true);
		return;
	}
	while (c->fd >= 0 && c->ready && buf_len(&c->out) != 0) {
		struct slice s = buf_slice(&c->out);
		ssize_t n = TEMP_FAILURE_RETRY(
		    send(c->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT));

		if (n < 0 && errno == EAGAIN) {
			(void)event_add(c->on_write, NULL);
			return;
		}
		if (n < 0) {
			disconnect(c, strerrordesc_np(errno), true);
			return;
		}
		buf_drain(&c->out, (size_t)n);
		if (buf_len(&c->out) == 0)
			buf_reset(&c->out);
	}
}

/* --- lines of authdaemond ------------------------------------------------ */

static void
take_ok(struct auth_request *r, struct slice fields)
{
	struct auth_result result = { .verdict = AUTH_OK };
	uint8_t ticket[AUTH_TICKET_SIZE];
	struct slice hex;

	if (!auth_line_field(fields, SLICE("ticket="), &hex) ||
	    !auth_line_hex(hex, ticket, sizeof(ticket)))
		result.verdict = AUTH_UNAVAILABLE;
	(void)auth_line_field(fields, SLICE("user="), &result.user);
	result.ticket = slice_of(ticket, sizeof(ticket));
	finish(r, &result);
	secret_wipe(ticket, sizeof(ticket));
}

static void
take_fail(struct auth_request *r, struct slice fields)
{
	struct auth_result result = { .verdict = AUTH_FAILED };
	struct slice one, rest = fields;

	(void)auth_line_field(fields, SLICE("user="), &result.user);
	while (slice_split(&rest, '\t', &one))
		if (slice_eq(one, SLICE("code=unusable")))
			result.verdict = AUTH_UNUSABLE;
		else if (result.verdict == AUTH_FAILED &&
		    (slice_eq(one, SLICE("temp")) ||
			slice_eq(one, SLICE("code=temp_fail"))))
			result.verdict = AUTH_UNAVAILABLE;
	finish(r, &result);
}

static void
take_mech(struct auth_client *c, struct slice name)
{
	if (buf_len(&c->names_coming) != 0)
		buf_putc(&c->names_coming, ' ');
	buf_put(&c->names_coming, name);
}

static void
take_done(struct auth_client *c)
{
	struct slice s = buf_slice(&c->names_coming);
	struct auth_request *r;

	c->ready = true;
	if (buf_ok(&c->names_coming) && s.n < sizeof(c->names)) {
		memcpy(c->names, s.p, s.n);
		c->names[s.n] = '\0';
	}
	buf_reset(&c->names_coming);
	for (size_t i = 0; i < N_BUCKETS; i++)
		LIST_FOREACH(r, &c->bucket[i], link)
			if (r->waits)
				send_line(c, r);
	c->hooks.mechanisms(c->hooks.arg, c->names);
}

/* One line; false for one that breaks the protocol. */
static bool
take_line(struct auth_client *c, struct slice line)
{
	struct slice rest = line, verb, word = slice_of("", 0);
	struct auth_request *r;
	uint32_t id;

	(void)slice_split(&rest, '\t', &verb);
	(void)slice_split(&rest, '\t', &word);
	if (slice_eq(verb, SLICE("VERSION")))
		return slice_eq(word, SLICE("1"));
	if (slice_eq(verb, SLICE("MECH"))) {
		take_mech(c, word);
		return true;
	}
	if (slice_eq(verb, SLICE("DONE"))) {
		take_done(c);
		return true;
	}
	if (!slice_eq(verb, SLICE("OK")) && !slice_eq(verb, SLICE("FAIL")) &&
	    !slice_eq(verb, SLICE("CONT")))
		return true; /* of a later minor version */
	if (!num_u32(word, &id))
		return false;
	if ((r = find(c, id)) == NULL)
		return true; /* cancelled meanwhile */
	if (slice_eq(verb, SLICE("OK"))) {
		take_ok(r, rest);
	} else if (slice_eq(verb, SLICE("FAIL"))) {
		take_fail(r, rest);
	} else {
		const struct auth_result result = { .verdict = AUTH_CONTINUE,
			.challenge = rest };

		r->until_ms = INT64_MAX; /* now the client's turn */
		finish(r, &result);
	}
	return true;
}

static void
take_lines(struct auth_client *c)
{
	while (c->fd >= 0) {
		struct slice s = buf_slice(&c->in);
		size_t at = slice_find(s, '\n');

		if (at == s.n) {
			if (s.n >= LINE_MAX_IN)
				disconnect(c, "line too long", false);
			return;
		}
		if (!take_line(c, slice_first(s, at))) {
			disconnect(c, "bad line", false);
			return;
		}
		/* A callback may have led to a disconnect. */
		if (c->fd >= 0)
			buf_drain(&c->in, at + 1);
	}
}

static void
on_auth_readable(evutil_socket_t fd, short what, void *arg)
{
	struct auth_client *c = arg;
	uint8_t *to = buf_reserve(&c->in, 4096);
	ssize_t n;

	(void)what;
	if (to == NULL) {
		disconnect(c, "line too long", false);
		return;
	}
	n = TEMP_FAILURE_RETRY(recv(fd, to, 4096, MSG_DONTWAIT));
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		disconnect(c, n == 0 ? "closed" : strerrordesc_np(errno), true);
		return;
	}
	buf_advance(&c->in, (size_t)n);
	take_lines(c);
	flush(c);
}

static void
on_auth_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush(arg);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct auth_client *c = arg;

	(void)fd;
	(void)what;
	if (c->fd < 0)
		c->hooks.want_socket(c->hooks.arg);
}

static void
on_check(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval t = { CHECK_MS / 1000, 0 };
	struct auth_client *c = arg;

	(void)fd;
	(void)what;
	end_overdue(c);
	(void)event_add(c->on_check, &t);
}

/* --- requests ------------------------------------------------------------ */

struct auth_request *
auth_begin(struct auth_client *c, const struct auth_start *s, auth_done *done,
    void *arg)
{
	struct auth_request *r = MEM_NEW(struct auth_request);

	r->client = c;
	r->id = ++c->next_id;
	r->done = done;
	r->arg = arg;
	r->timeout_ms = s->timeout_ms != 0 ? s->timeout_ms : c->timeout_ms;
	LIST_INSERT_HEAD(&c->bucket[r->id % N_BUCKETS], r, link);
	auth_line_request(&r->line, r->id, s);
	if (!buf_ok(&r->line)) {
		r->lost = true;
		event_active(c->on_check, EV_TIMEOUT, 1);
	} else if (!c->ready) {
		hold(r);
	} else {
		send_line(c, r);
		flush(c);
	}
	return r;
}

void
auth_continue(struct auth_request *r, struct slice response)
{
	struct auth_client *c = r->client;

	r->until_ms = clock_now() + r->timeout_ms;
	if (r->lost || c->fd < 0)
		return;
	buf_putf(&c->out, "CONT\t%u\t", r->id);
	base64_encode(response, &c->out);
	buf_putc(&c->out, '\n');
	flush(c);
}

void
auth_cancel(struct auth_request **rr)
{
	struct auth_request *r = *rr;

	if (r == NULL)
		return;
	*rr = NULL;
	if (!r->lost && !r->waits && r->client->fd >= 0) {
		buf_putf(&r->client->out, "CANCEL\t%u\n", r->id);
		flush(r->client);
	}
	request_free(r);
}

/* --- the client ---------------------------------------------------------- */

struct auth_client *
auth_client_new(struct event_base *base, const struct auth_client_hooks *hooks,
    int64_t timeout_ms)
{
	const struct timeval t = { CHECK_MS / 1000, 0 };
	struct auth_client *c = MEM_NEW(struct auth_client);

	c->base = base;
	c->hooks = *hooks;
	c->timeout_ms = timeout_ms;
	c->fd = -1;
	buf_init(&c->in, LINE_MAX_IN + 4096);
	buf_init_secret(&c->out, OUT_MAX);
	buf_init(&c->names_coming, NAMES_MAX);
	c->on_retry = event_new(base, -1, 0, on_retry, c);
	c->on_check = event_new(base, -1, 0, on_check, c);
	(void)event_add(c->on_check, &t);
	return c;
}

void
auth_client_free(struct auth_client **cc)
{
	struct auth_client *c = *cc;

	if (c == NULL)
		return;
	*cc = NULL;
	if (c->fd >= 0) {
		event_free(c->on_read);
		event_free(c->on_write);
		(void)close(c->fd);
	}
	for (size_t i = 0; i < N_BUCKETS; i++)
		while (!LIST_EMPTY(&c->bucket[i]))
			request_free(LIST_FIRST(&c->bucket[i]));
	event_free(c->on_retry);
	event_free(c->on_check);
	buf_fini(&c->in);
	buf_fini(&c->out);
	buf_fini(&c->names_coming);
	free(c);
}

void
auth_client_socket(struct auth_client *c, int fd)
{
	static const char hello[] = "VERSION\t1\t2\nCPID\t";
	struct buf line;

	if (c->fd >= 0) {
		/* The old one works still: one is enough. */
		(void)close(fd);
		return;
	}
	c->fd = fd;
	/* The one before may have gone in the middle of its handshake. */
	buf_reset(&c->names_coming);
	(void)event_del(c->on_retry);
	c->on_read =
	    event_new(c->base, fd, EV_READ | EV_PERSIST, on_auth_readable, c);
	c->on_write = event_new(c->base, fd, EV_WRITE, on_auth_writable, c);
	(void)event_add(c->on_read, NULL);
	buf_init(&line, 128);
	buf_puts(&line, hello);
	buf_putf(&line, "%d\n", (int)getpid());
	/* A fresh socket takes that much at once. */
	if (send(fd, buf_slice(&line).p, buf_len(&line), MSG_NOSIGNAL) !=
	    (ssize_t)buf_len(&line))
		disconnect(c, "handshake", true);
	buf_fini(&line);
}

bool
auth_client_is_greeting(const struct auth_client *c)
{
	return c->fd >= 0 && !c->ready;
}

void
auth_client_down(struct auth_client *c)
{
	if (c->fd < 0)
		ask_later(c);
}
