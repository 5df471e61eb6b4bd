#include "tests/support/maildir_worker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "tests/support/maildir_tree.h"
#include "tests/support/quiet.h"
#include "tests/support/syncs.h"

enum {
	OUTPUT_MAX = 64 * 1024 * 1024,
	TURNS_MAX = 1000 * 1000, /* then something turns in circles */
	SOON_MS = 100,		 /* a deadline so near is waited for */
};

#define ALICE "alice@example.com"

struct conn {
	struct session *s; /* NULL: not opened, or ended */
	struct buf to_session, from_session;
	bool woken, closed, eof_due, eof_told;
	enum step last;
};

static const struct maildir_worker *worker;
static struct conn conns[TRANSCRIPT_CONNS];
static struct store *store;
static char *quota; /* NULL: none */
static bool sharing, linking;
static struct user {
	char *name, *options; /* NULL: alice, without */
} users[TRANSCRIPT_CONNS];
static int64_t offset_ms;
static bool awake; /* this transcript can't have mailboxes hibernated */

static int64_t
now(void)
{
	return clock_now() + offset_ms;
}

/*
 * Dates that a transcript was told are still those of today at its end: close
 * to midnight the next day begins early.  The files of the fixture are made
 * before: by so much they seem to be older, but not by the minute after which
 * no copy of them is synced.
 */
static int64_t
past_midnight(void)
{
	enum { DAY_MS = 86400 * 1000, CLOSE_MS = 30 * 1000 };
	int64_t left_ms = DAY_MS - clock_wall() % DAY_MS;

	return left_ms < CLOSE_MS ? left_ms + 1000 : 0;
}

static int64_t
wall(void)
{
	return clock_wall() + offset_ms;
}

/* --- the loop ------------------------------------------------------------ */

static void
wake(void *arg)
{
	struct conn *c = arg;

	c->woken = true;
}

/* Move bytes, and say whether the session may go on. */
static bool
may_run(struct conn *c)
{
	struct session *s = c->s;
	struct slice in = buf_slice(&c->to_session);

	buf_put(&c->from_session, buf_slice(&s->out));
	s->sent += buf_len(&s->out);
	buf_drain(&s->out, buf_len(&s->out));
	if (c->woken || s->ops->deadline(s) <= now())
		return true;
	switch (c->last) {
	case STEP_WAIT_INPUT:
		in = slice_first(in, session_input_room(s));
		if (in.n != 0) {
			buf_put(&s->in, in);
			s->rcvd += in.n;
			buf_drain(&c->to_session, in.n);
			return true;
		}
		if (!c->eof_due || c->eof_told)
			return false;
		c->eof_told = true;
		s->ops->eof(s);
		return true;
	case STEP_WAIT_PEER:
		return false;
	case STEP_WAIT_SYNC:
		return false;
	case STEP_NEXT:
	case STEP_WAIT_OUTPUT:
	case STEP_YIELD:
		return true;
	case STEP_DONE:
		break;
	}
	abort();
}

/* As sendmail would: it takes what isn't for nobody. */
static void
pretend_to_send(struct conn *c, struct session *s)
{
	char text[4096];
	ssize_t n;

	if (s->send != SESSION_SEND_ASKED)
		return;
	n = read(s->send_fd, text, sizeof(text) - 1);
	(void)close(s->send_fd);
	text[n > 0 ? n : 0] = '\0';
	s->send = n > 0 && strstr(text, "To: nobody\n") == NULL
	    ? SESSION_SEND_SENT
	    : SESSION_SEND_FAILED;
	if (s->send == SESSION_SEND_FAILED)
		s->send_why = slice_dup(SLICE("No recipient: nobody"));
	c->woken = true;
}

static bool
turn(struct conn *c)
{
	struct session *s = c->s;

	if (s == NULL || !may_run(c))
		return false;
	c->woken = false;
	c->last = s->ops->run(s, now(), wall());
	pretend_to_send(c, s);
	if (c->last != STEP_DONE)
		return true;
	c->last = STEP_YIELD;
	(void)buf_ok(&s->out);
	buf_put(&c->from_session, buf_slice(&s->out));
	s->ops->free(s);
	c->s = NULL;
	c->closed = true;
	return true;
}

static bool
watch(void)
{
	struct pollfd p = { .fd = store_watch_fd(store), .events = POLLIN };

	if (p.fd < 0 || poll(&p, 1, 0) <= 0)
		return false;
	store_on_watch(store, now());
	return true;
}

/* Let time pass up to a deadline that is near. */
static bool
pass_time(void)
{
	int64_t next = INT64_MAX, at = now();

	for (int i = 0; i < TRANSCRIPT_CONNS; i++) {
		struct session *s = conns[i].s;
		if (s != NULL && s->ops->deadline(s) < next)
			next = s->ops->deadline(s);
	}
	if (next - at > SOON_MS)
		return false;
	offset_ms += next > at ? next - at : 0;
	return true;
}

/* Everything that can be done until somebody says something. */
static void
settle(void)
{
	int turns = 0;
	bool again;

	do {
		if (turns++ > TURNS_MAX)
			abort();
		again = false;
		for (int i = 0; i < TRANSCRIPT_CONNS; i++)
			again = turn(&conns[i]) || again;
	} while (again || watch() || syncs_do_one() || pass_time());
	if (worker->hibernates && !awake)
		store_hibernate(store);
}

/* --- the engine's calls -------------------------------------------------- */

static void
begin(const char *path)
{
	struct store_options opt = { .hostname = "test.example",
		.syncer = &syncs_holder,
		.quiet_ms = 60 * 1000,
		.poll_ms = 30 * 1000,
		.open_max = 10,
		.umask = 077 };

	(void)path;
	tree_begin();
	offset_ms = past_midnight();
	awake = false;
	free(quota);
	quota = NULL;
	sharing = false;
	linking = false;
	memset(users, 0, sizeof(users));
	memset(conns, 0, sizeof(conns));
	store = store_new(&opt);
	if (worker->reset != NULL)
		worker->reset();
}

/* "CONNECTION NAME [OPTIONS]" */
static bool
set_user(struct slice value)
{
	struct slice number, name;
	uint32_t conn;

	if (!slice_split(&value, ' ', &number) || !num_u32(number, &conn) ||
	    conn >= TRANSCRIPT_CONNS || !slice_split(&value, ' ', &name))
		return false;
	users[conn].name = slice_dup(name);
	users[conn].options = slice_dup(value);
	return true;
}

static bool
has_own_maildir(const struct user *u)
{
	return u->name != NULL && strcmp(u->name, ALICE) != 0;
}

const char *
maildir_worker_index(void)
{
	static char path[1000];
	FILE *f;

	if (!sharing)
		return NULL;
	(void)snprintf(path, sizeof(path), "%s/index", tree_root);
	f = fopen(path, "w");
	if (f == NULL)
		tree_die("fopen", path);
	(void)fprintf(
	    f, "%s\t%u\t%u\t%s\n", ALICE, geteuid(), getegid(), tree_root);
	for (int i = 0; i < TRANSCRIPT_CONNS; i++)
		if (has_own_maildir(&users[i]))
			(void)fprintf(f, "%s\t%u\t%u\t%s/%s\tMaildir\n",
			    users[i].name, geteuid(), getegid(), tree_root,
			    users[i].name);
	(void)fclose(f);
	return path;
}

const char *
maildir_worker_links(void)
{
	static char path[1000];
	FILE *f;

	if (!linking)
		return NULL;
	(void)snprintf(path, sizeof(path), "%s/maildirshared", tree_root);
	f = fopen(path, "w");
	if (f == NULL)
		tree_die("fopen", path);
	(void)fprintf(f, "alice\t%s/Maildir\n", tree_root);
	for (int i = 0; i < TRANSCRIPT_CONNS; i++)
		if (has_own_maildir(&users[i]))
			(void)fprintf(f, "%.*s\t%s/%s/Maildir\n",
			    (int)strcspn(users[i].name, "@"), users[i].name,
			    tree_root, users[i].name);
	(void)fclose(f);
	return path;
}

static bool
fixture(struct slice word, struct slice value)
{
	if (slice_eq(word, SLICE("hibernate"))) {
		awake = slice_eq(value, SLICE("no"));
		return true;
	}
	uint32_t n;

	if (slice_eq(word, SLICE("quota"))) {
		free(quota);
		quota = slice_dup(value);
		return true;
	}
	if (slice_eq(word, SLICE("user")))
		return set_user(value);
	if (slice_eq(word, SLICE("shared"))) {
		sharing = slice_eq(value, SLICE("yes"));
		return true;
	}
	if (slice_eq(word, SLICE("links"))) {
		linking = slice_eq(value, SLICE("yes"));
		return true;
	}
	if (slice_eq(word, SLICE("mode")))
		return tree_set_mode(value);
	if (slice_eq(word, SLICE("messages")) && num_u32(value, &n)) {
		tree_messages(n);
		return true;
	}
	return worker->fixture != NULL && worker->fixture(word, value);
}

static void
open_conn(int conn)
{
	const struct user *u = &users[conn];
	struct session_peer peer = { .user = u->name != NULL ? u->name : ALICE,
		.options = u->options,
		.client_addr = "::ffff:192.0.2.7",
		.client_port = 4000 + (uint32_t)conn,
		.local_addr = "::ffff:192.0.2.1",
		.local_port = 1,
		.tls = "",
		.ident = "transcript",
		.id = (uint64_t)conn };
	struct conn *c = &conns[conn];
	char *maildir = has_own_maildir(u)
	    ? mem_printf("%s/%s/Maildir", tree_root, u->name)
	    : mem_printf("%s/Maildir", tree_root);

	buf_init(&c->to_session, OUTPUT_MAX);
	buf_init(&c->from_session, OUTPUT_MAX);
	c->s = worker->make(&peer,
	    account_get(store, maildir, quota != NULL ? quota : ""), now());
	c->s->waker = (struct waker){ wake, c };
	c->last = STEP_YIELD;
	free(maildir);
	settle();
}

static void
send_bytes(int conn, struct slice bytes)
{
	buf_put(&conns[conn].to_session, bytes);
	settle();
}

static bool
end_session(struct conn *c, struct slice why)
{
	enum session_end end;

	if (slice_eq(why, SLICE("shutdown")))
		end = SESSION_SHUTDOWN;
	else if (slice_eq(why, SLICE("kick")))
		end = SESSION_KICKED;
	else
		return false;
	if (c->s == NULL)
		return false;
	c->s->ops->end(c->s, end);
	c->woken = true;
	return true;
}

static bool
act(int conn, struct slice words)
{
	struct conn *c = &conns[conn];
	struct slice arg = words, verb;
	uint32_t seconds;
	bool ok = true;

	(void)slice_split(&arg, ' ', &verb);
	if (slice_eq(verb, SLICE("eof")))
		c->eof_due = true;
	else if (slice_eq(verb, SLICE("wait")) && num_u32(arg, &seconds))
		offset_ms += (int64_t)seconds * 1000;
	else if (slice_eq(verb, SLICE("hibernate")))
		store_hibernate(store);
	else if (slice_eq(verb, SLICE("end")))
		ok = end_session(c, arg);
	else if (slice_eq(verb, SLICE("remove")))
		ok = tree_remove(arg);
	else if (slice_eq(verb, SLICE("rename")))
		ok = tree_rename(arg);
	else if (slice_eq(verb, SLICE("deliver")))
		ok = tree_deliver(arg);
	else
		ok = false;
	(void)store_tick(store, now(), wall());
	settle();
	return ok;
}

static struct buf *
output(int conn)
{
	return &conns[conn].from_session;
}

/* "close", and of the Maildir: "file PATH", "nofile PATH". */
static bool
state(int conn, struct slice word)
{
	struct slice arg = word, verb;
	char *path;
	bool there;

	if (slice_eq(word, SLICE("close")))
		return conns[conn].closed;
	if (!slice_split(&arg, ' ', &verb) || arg.p == NULL)
		return false;
	path = tree_path(arg);
	there = access(path, F_OK) == 0;
	free(path);
	if (slice_eq(verb, SLICE("file")))
		return there;
	return slice_eq(verb, SLICE("nofile")) && !there;
}

static void
end(void)
{
	for (int i = 0; i < TRANSCRIPT_CONNS; i++) {
		struct conn *c = &conns[i];
		if (c->s != NULL)
			c->s->ops->free(c->s);
		c->s = NULL;
		buf_fini(&c->to_session);
		buf_fini(&c->from_session);
		free(users[i].name);
		free(users[i].options);
	}
	syncs_do_all();
	store_free(&store);
	tree_end();
}

int
maildir_worker_main(int argc, char **argv, const struct maildir_worker *w)
{
	const struct transcript_driver driver = {
		.directories = w->directories,
		.begin = begin,
		.fixture = fixture,
		.message = tree_message,
		.open = open_conn,
		.send = send_bytes,
		.act = act,
		.output = output,
		.state = state,
		.end = end,
	};

	worker = w;
	quiet_log_but_errors();
	return transcript_main(argc, argv, &driver);
}
