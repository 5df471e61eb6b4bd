#include "tests/support/maildir_worker.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

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
static char *root; /* temporary directory; the Maildir is root/Maildir */
static struct store *store;
static char *quota; /* NULL: none */
static bool sharing, linking;
static struct user {
	char *name, *options; /* NULL: alice, without */
} users[TRANSCRIPT_CONNS];
static int64_t offset_ms;
static bool awake; /* this transcript can't have mailboxes hibernated */
static struct sync_job *jobs; /* held back, the oldest first */

static void
die(const char *what, const char *name)
{
	(void)fprintf(
	    stderr, "maildir_worker: %s %s: %s\n", what, name, strerror(errno));
	abort();
}

static int64_t
now(void)
{
	return clock_now() + offset_ms;
}

/* Dates that a transcript was told are still those of today at its end: close
 * to midnight the next day begins early. */
static int64_t
past_midnight(void)
{
	enum { DAY_MS = 86400 * 1000, CLOSE_MS = 60 * 1000 };
	int64_t left_ms = DAY_MS - clock_wall() % DAY_MS;

	return left_ms < CLOSE_MS ? left_ms + 1000 : 0;
}

static int64_t
wall(void)
{
	return clock_wall() + offset_ms;
}

/* --- the disk ------------------------------------------------------------ */

static void
hold_back(struct syncer *self, struct sync_job *job)
{
	struct sync_job **end = &jobs;

	(void)self;
	while (*end != NULL)
		end = &(*end)->next;
	job->next = NULL;
	*end = job;
}

static struct syncer syncer = { .submit = hold_back };

static bool
sync_one(void)
{
	struct sync_job *job = jobs;

	if (job == NULL)
		return false;
	jobs = job->next;
	sync_job_do(job);
	return true;
}

/* A path below the Maildir; the caller frees. */
static char *
path_of(struct slice name)
{
	char *copy = slice_dup(name), *path;

	path = mem_printf("%s/Maildir/%s", root, copy);
	free(copy);
	return path;
}

static void
make_dir(const char *path)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		die("mkdir", path);
}

static void
make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		die("open", path);
	(void)close(fd);
}

/* The mailbox that a message's path is in: "cur/x", ".Sent/cur/x". */
static void
make_mailbox(struct slice path)
{
	static const char *const parts[] = { "cur", "new", "tmp" };
	size_t slash = slice_find(path, '/');
	struct slice dir = slice_first(path, slash);
	char *base, *part;

	if (path.n == 0 || path.p[0] != '.')
		dir.n = 0;
	base = path_of(dir);
	make_dir(base);
	for (size_t i = 0; i < NELEMS(parts); i++) {
		part = mem_printf("%s/%s", base, parts[i]);
		make_dir(part);
		free(part);
	}
	if (dir.n != 0) {
		part = mem_printf("%s/maildirfolder", base);
		make_file(part);
		free(part);
	}
	free(base);
}

static void
write_file(const char *path, struct slice bytes)
{
	FILE *f = fopen(path, "wb");

	if (f == NULL ||
	    (bytes.n != 0 && fwrite(bytes.p, 1, bytes.n, f) != bytes.n) ||
	    fclose(f) != 0)
		die("write", path);
}

static void
message(struct slice path, struct slice bytes)
{
	char *file = path_of(path);

	make_mailbox(path);
	write_file(file, bytes);
	free(file);
}

/* As a delivery agent does it. */
static bool
deliver(struct slice path)
{
	char *file = path_of(path), *tmp = path_of(SLICE("tmp/delivery"));
	struct buf b;

	buf_init(&b, 4096);
	buf_puts(&b, "Subject: ");
	buf_put(&b, path);
	buf_puts(&b, "\n\nDelivered.\n");
	make_mailbox(path);
	write_file(tmp, buf_slice(&b));
	if (rename(tmp, file) != 0)
		die("rename", file);
	buf_fini(&b);
	free(file);
	free(tmp);
	return true;
}

static int
remove_entry(
    const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
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
	} while (again || watch() || sync_one() || pass_time());
	if (worker->hibernates && !awake)
		store_hibernate(store);
}

/* --- the engine's calls -------------------------------------------------- */

static void
begin(const char *path)
{
	static char template[] = "/tmp/postern-transcript.XXXXXX";
	struct store_options opt = { .hostname = "test.example",
		.syncer = &syncer,
		.quiet_ms = 60 * 1000,
		.poll_ms = 30 * 1000,
		.open_max = 10,
		.umask = 077 };
	char *maildir;

	(void)path;
	root = mem_strdup(template);
	if (mkdtemp(root) == NULL)
		die("mkdtemp", root);
	maildir = path_of(SLICE(""));
	make_dir(maildir);
	free(maildir);
	offset_ms = past_midnight();
	awake = false;
	jobs = NULL;
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

/* So many messages in INBOX, one as the other. */
static void
messages(uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		char *path =
		    mem_printf("cur/%u.M%uP1.host:2,", 1700000000 + i, i);
		char *text = mem_printf("From: s%u@example.org\n"
					"Subject: message %u\n"
					"\n"
					"%u\n",
		    i, i, i);

		message(slice_str(path), slice_str(text));
		free(path);
		free(text);
	}
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
	(void)snprintf(path, sizeof(path), "%s/index", root);
	f = fopen(path, "w");
	if (f == NULL)
		die("fopen", path);
	(void)fprintf(f, "%s\t%u\t%u\t%s\n", ALICE, geteuid(), getegid(), root);
	for (int i = 0; i < TRANSCRIPT_CONNS; i++)
		if (has_own_maildir(&users[i]))
			(void)fprintf(f, "%s\t%u\t%u\t%s/%s\tMaildir\n",
			    users[i].name, geteuid(), getegid(), root,
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
	(void)snprintf(path, sizeof(path), "%s/maildirshared", root);
	f = fopen(path, "w");
	if (f == NULL)
		die("fopen", path);
	(void)fprintf(f, "alice\t%s/Maildir\n", root);
	for (int i = 0; i < TRANSCRIPT_CONNS; i++)
		if (has_own_maildir(&users[i]))
			(void)fprintf(f, "%.*s\t%s/%s/Maildir\n",
			    (int)strcspn(users[i].name, "@"), users[i].name,
			    root, users[i].name);
	(void)fclose(f);
	return path;
}

/* "OCTAL PATH" below the Maildir */
static bool
set_mode(struct slice value)
{
	struct slice octal;
	char *path;
	mode_t mode = 0;

	if (!slice_split(&value, ' ', &octal))
		return false;
	for (size_t i = 0; i < octal.n; i++)
		mode = mode * 8 + (mode_t)(octal.p[i] - '0');
	path = path_of(value);
	if (chmod(path, mode) != 0)
		die("chmod", path);
	free(path);
	return true;
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
		return set_mode(value);
	if (slice_eq(word, SLICE("messages")) && num_u32(value, &n)) {
		messages(n);
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
	    ? mem_printf("%s/%s/Maildir", root, u->name)
	    : mem_printf("%s/Maildir", root);

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
rename_file(struct slice names)
{
	struct slice from, to = names;
	char *a, *b;
	bool ok;

	if (!slice_split(&to, ' ', &from) || to.p == NULL)
		return false;
	a = path_of(from);
	b = path_of(to);
	ok = rename(a, b) == 0;
	free(a);
	free(b);
	return ok;
}

static bool
remove_file(struct slice name)
{
	char *path = path_of(name);
	bool ok = unlink(path) == 0;

	free(path);
	return ok;
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
		ok = remove_file(arg);
	else if (slice_eq(verb, SLICE("rename")))
		ok = rename_file(arg);
	else if (slice_eq(verb, SLICE("deliver")))
		ok = deliver(arg);
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
	path = path_of(arg);
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
	while (sync_one())
		continue;
	store_free(&store);
	if (nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
		die("remove", root);
	free(root);
}

static void
quiet(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	if (level <= LOG_LEVEL_ERROR)
		(void)fprintf(stderr, "%s: %s\n", ident, line);
}

int
maildir_worker_main(int argc, char **argv, const struct maildir_worker *w)
{
	const struct transcript_driver driver = {
		.directories = w->directories,
		.begin = begin,
		.fixture = fixture,
		.message = message,
		.open = open_conn,
		.send = send_bytes,
		.act = act,
		.output = output,
		.state = state,
		.end = end,
	};

	worker = w;
	log_set_sink(quiet, NULL);
	return transcript_main(argc, argv, &driver);
}
