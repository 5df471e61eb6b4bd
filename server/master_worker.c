/*
 * master_worker: one set of workers per (uid, gid), accounts spread over the
 * set by a hash of the Maildir path, so that all sessions of an account meet
 * in one process.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/child.h"
#include "server/master.h"

enum {
	/* An account at work in this many crashes within CRASH_WINDOW_MS gets
	 * a worker of its own. */
	CRASHES_TO_ISOLATE = 2,
	CRASH_WINDOW_MS = 60 * 1000,
	/* Descriptors of a worker that are no session's and no account's. */
	FDS_OWN = 32,
};

static uint32_t
path_hash(const char *path)
{
	uint32_t h = 2166136261u;

	for (; *path != '\0'; path++)
		h = (h ^ (uint8_t)*path) * 16777619u;
	return h;
}

/* How often workers crashed lately while this account was at work. */
static unsigned
crashes_of(const struct master *m, const char *path, int64_t now_ms)
{
	unsigned n = 0;

	for (size_t i = 0; i < NELEMS(m->crashes); i++)
		if (m->crashes[i].at_ms != 0 &&
		    now_ms - m->crashes[i].at_ms < CRASH_WINDOW_MS &&
		    strcmp(m->crashes[i].account, path) == 0)
			n++;
	return n;
}

static unsigned
workers_per_uid(const struct master *m)
{
	int64_t n = conf_num(m->conf, CONF_POSTERN_WORKERS);

	if (n == 0)
		n = 2 * (int64_t)master_cpus();
	return n < 1 ? 1 : (unsigned)n;
}

static struct child *
find_worker(struct master *m, const struct account_record *r, unsigned slot,
    const char *only_account)
{
	struct child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (c->kind != CHILD_WORKER || c->uid != r->uid ||
		    c->gid != r->gid || c->stopping || c->peer == NULL)
			continue;
		if (only_account != NULL
			? (c->only_account != NULL &&
			      strcmp(c->only_account, only_account) == 0)
			: (c->only_account == NULL && c->slot == slot))
			return c;
	}
	return NULL;
}

/* The page that a worker publishes the account at work in. */
static char *
page_make(int *fd)
{
	char *page;

	*fd = memfd_create("postern-page", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, CHILD_PAGE_SIZE) < 0)
		return NULL;
	page = mmap(NULL, CHILD_PAGE_SIZE, PROT_READ, MAP_SHARED, *fd, 0);
	return page == MAP_FAILED ? NULL : page;
}

static void
send_configuration(struct child *c)
{
	struct msg_out out;
	struct buf packed;

	buf_init(&packed, MSG_SIZE_MAX - 64);
	conf_pack(c->master->conf, &packed);
	assert(buf_ok(&packed));
	msg_begin(&out, MSG_CONFIG, 0);
	msg_put_bytes(&out, buf_slice(&packed));
	peer_send(c->peer, &out);
	buf_fini(&packed);
	msg_begin(&out, MSG_START, 0);
	peer_send(c->peer, &out);
}

void
master_worker_idle(struct child *c)
{
	struct msg_out out;

	if (c->n_sessions != 0 || c->stopping)
		return;
	c->stopping = true;
	msg_begin(&out, MSG_SHUTDOWN, 0);
	peer_send(c->peer, &out);
}

/*
 * Whether one more may be started.  At the limit one without a session makes
 * room; those that end still, which writes no more than an export, are not
 * counted, but in all there are at most twice as many as the limit says.
 */
static bool
make_room(struct master *m)
{
	unsigned max = (unsigned)conf_num(m->conf, CONF_POSTERN_WORKERS_TOTAL);
	struct child *c, *idle = NULL;
	unsigned n = 0;

	if (m->n_workers < max)
		return true;
	LIST_FOREACH(c, &m->children, link) {
		if (c->kind != CHILD_WORKER || c->stopping)
			continue;
		n++;
		if (c->n_sessions == 0 && c->peer != NULL)
			idle = c; /* the last one: started first */
	}
	if (m->n_workers >= 2 * max || (n >= max && idle == NULL))
		return false;
	if (n >= max)
		master_worker_idle(idle);
	return true;
}

static struct child *
start_worker(struct master *m, const struct account_record *r, unsigned slot,
    const char *only_account, const char **why)
{
	char uid[16], gid[16];
	const char *argv[] = { master_program("worker"), uid, gid, NULL };
	struct child *c = NULL;
	char *page;
	int fd;

	if (!make_room(m)) {
		*why = "all workers are busy";
		return NULL;
	}
	(void)snprintf(uid, sizeof(uid), "%u", r->uid);
	(void)snprintf(gid, sizeof(gid), "%u", r->gid);
	page = page_make(&fd);
	if (page != NULL)
		c = master_spawn(m, CHILD_WORKER, argv[0], argv, fd);
	if (fd >= 0)
		(void)close(fd);
	if (c == NULL) {
		if (page != NULL)
			(void)munmap(page, CHILD_PAGE_SIZE);
		*why = "no worker can be started";
		return NULL;
	}
	m->n_workers++;
	c->uid = r->uid;
	c->gid = r->gid;
	c->slot = slot;
	c->page = page;
	c->only_account =
	    only_account != NULL ? mem_strdup(only_account) : NULL;
	send_configuration(c);
	return c;
}

const char *
master_ids_refused(const struct master *m, const struct account_record *r)
{
	if (geteuid() != 0)
		return r->uid == geteuid() && r->gid == getegid()
		    ? NULL
		    : "the account's uid and gid are not those of the server";
	if (r->uid == 0 || r->gid == 0)
		return "the account's uid or gid is 0";
	if ((int64_t)r->uid < conf_num(m->conf, CONF_POSTERN_UID_MIN) ||
	    (int64_t)r->gid < conf_num(m->conf, CONF_POSTERN_GID_MIN))
		return "the account's uid or gid is below the minimum";
	return NULL;
}

/* As many sessions as a worker has descriptors for: half of them are for
 * accounts (worker.c).  Asked once, as it is the same for all. */
static rlim_t
sessions_fit(void)
{
	static struct rlimit files;

	if (files.rlim_max == 0 && getrlimit(RLIMIT_NOFILE, &files) < 0)
		files.rlim_max = RLIM_INFINITY;
	return files.rlim_max / 2 > FDS_OWN ? files.rlim_max / 2 - FDS_OWN : 1;
}

static bool
is_full(const struct child *c)
{
	return c->n_sessions >=
	    conf_num(c->master->conf, CONF_POSTERN_SESSIONS_PER_WORKER) ||
	    c->n_sessions >= sessions_fit();
}

struct child *
master_worker_for(struct master *m, const struct account_record *r,
    const char *path, const char **why)
{
	unsigned slot = path_hash(path) % workers_per_uid(m);
	const char *only = NULL;
	struct child *c;

	if ((*why = master_ids_refused(m, r)) != NULL)
		return NULL;
	if (crashes_of(m, path, clock_now()) >= CRASHES_TO_ISOLATE)
		only = path;
	c = find_worker(m, r, slot, only);
	if (c == NULL)
		return start_worker(m, r, slot, only, why);
	if (is_full(c)) {
		*why = "too many sessions";
		return NULL;
	}
	return c;
}

void
master_worker_died(struct child *c, int status)
{
	struct master *m = c->master;
	char account[256], safe[256];

	m->n_workers--;
	if (WIFSIGNALED(status) && c->page != NULL) {
		/* The page is what a dying process left: take it with care. */
		memcpy(account, c->page, sizeof(account));
		account[sizeof(account) - 1] = '\0';
		log_error("worker: pid=%d uid=%u died by signal %d (%s), "
			  "sessions=%u, at work on %s",
		    (int)c->pid, c->uid, WTERMSIG(status),
		    sigabbrev_np(WTERMSIG(status)), c->n_sessions,
		    log_safe(slice_str(account), safe, sizeof(safe)));
		if (account[0] != '\0') {
			struct crash *k =
			    &m->crashes[m->n_crashes++ % NELEMS(m->crashes)];

			memcpy(k->account, account, sizeof(k->account));
			k->at_ms = clock_now();
		}
	} else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		log_error("worker: pid=%d uid=%u exited with status %d",
		    (int)c->pid, c->uid, WEXITSTATUS(status));
	conns_drop_child(m, c);
}
