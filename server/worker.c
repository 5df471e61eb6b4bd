#include "config.h"

#include "server/worker.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/pool.h"
#include "server/child.h"
#include "server/sandbox.h"
#include "server/service_log.h"
#include "server/zip.h"

#ifdef WITH_TRASHQUOTA
# define TRASH_QUOTA_BUILT true
#else
# define TRASH_QUOTA_BUILT false
#endif

enum {
	TICK_MS = 1000,
	TRIM_TICKS = 8,
	WORK_MS = 4,
	WORK_PAUSE_MS = 50,
	WARNING_MAX = 1024 * 1024,
	OPEN_FDS = 6
};

struct start {
	uid_t uid;
	gid_t gid;
};

/* What would have waited for quiet, then the end; half of the time that the
 * master leaves is for it. */
static void
on_finish(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval soon = { 0, 2000 };
	struct worker *w = arg;

	(void)fd;
	(void)what;
	if (w->store == NULL || clock_now() > w->finish_by_ms ||
	    !store_finish(w->store, clock_now(), clock_wall()))
		(void)event_base_loopexit(w->base, NULL);
	else
		(void)event_add(w->on_finish, &soon);
}

static void
finish(struct worker *w)
{
	if (w->on_finish != NULL)
		return;
	w->finish_by_ms = clock_now() +
	    (w->conf != NULL
		    ? 500 * conf_num(w->conf, CONF_POSTERN_SHUTDOWN_TIMEOUT)
		    : 0);
	w->on_finish = event_new(w->base, -1, 0, on_finish, w);
	on_finish(-1, 0, w);
}

static void
shut_down(struct worker *w)
{
	struct stream *st;

	w->stopping = true;
	TAILQ_FOREACH(st, &w->streams, link)
		stream_end(st, SESSION_SHUTDOWN);
	/* a home isn't left half made: nobody would go on with it */
	sessions_hurry(w);
	if (w->n_streams == 0)
		finish(w);
}

/* --- the store's options -------------------------------------------------- */

static unsigned
file_umask(const struct conf *c)
{
	const char *s = conf_str(c, CONF_IMAPD_IMAP_UMASK);
	unsigned v = 0;

	for (; *s >= '0' && *s <= '7'; s++)
		v = (v << 3 | (unsigned)(*s - '0')) & 0777;
	return v;
}

/* An open account has up to six descriptors: half of what there are. */
static unsigned
open_max(const struct conf *c)
{
	unsigned wanted = (unsigned)conf_num(c, CONF_POSTERN_ACCOUNTS_OPEN_MAX);
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 ||
	    files.rlim_cur / OPEN_FDS / 2 >= wanted)
		return wanted;
	return (unsigned)(files.rlim_cur / OPEN_FDS / 2) + 1;
}

/* Those that count after a reload. */
static struct store_options
changing_options(const struct conf *c)
{
	return (struct store_options){
		.fsync_always =
		    strcmp(conf_str(c, CONF_POSTERN_FSYNC), "always") == 0,
		.quiet_ms = 1000 * conf_num(c, CONF_POSTERN_ACCOUNT_IDLE_TIME),
		.poll_ms = 1000 * conf_num(c, CONF_IMAPD_IMAP_IDLE_TIMEOUT),
		.open_max = open_max(c),
		.umask = file_umask(c),
	};
}

static void
take_configuration(struct worker *w, struct slice packed)
{
	struct conf *c = conf_unpack(packed);

	if (c == NULL) {
		log_error("worker: bad CONFIG message");
		return;
	}
	conf_free(&w->conf);
	w->conf = c;
	service_log_setup(c);
	protocol_options_add(&w->options, c);
	if (w->store != NULL) {
		const struct store_options o = changing_options(c);

		store_set_options(w->store, &o);
	}
}

/* --- start --------------------------------------------------------------- */

static void
on_store_watch(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	store_on_watch(w->store, clock_now());
}

/* What comes by APPEND alone isn't worth being waked for by its own event. */
static void
on_watch_wanted(void *arg)
{
	struct worker *w = arg;

	if (w->store != NULL && store_watch_wanted(w->store))
		(void)event_add(w->on_watch, NULL);
	else
		(void)event_del(w->on_watch);
}

/* Nothing to do for a while: ask whether we may go; give memory back. */
static void
when_idle(struct worker *w, int64_t now)
{
	struct msg_out m;

	if (w->n_streams != 0 || !TAILQ_EMPTY(&w->arrivals))
		return;
	if (w->stopping) {
		finish(w);
	} else if (now - w->idle_since_ms >
	    1000 * conf_num(w->conf, CONF_POSTERN_WORKER_IDLE_TIME)) {
		w->idle_since_ms = now;
		msg_begin(&m, MSG_WORKER_IDLE, 0);
		peer_send(w->master, &m);
	}
}

/* Accounts that nobody uses any more are seen to for some ms at a time: many at
 * once neither keep others waiting nor keep their memory for long. */
static void
on_work(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval soon = { 0, WORK_PAUSE_MS * 1000 };
	struct worker *w = arg;
	int64_t until = clock_now() + WORK_MS;
	enum step step;

	(void)fd;
	(void)what;
	do
		step = store_work(w->store, clock_now(), clock_wall());
	while (step == STEP_YIELD && clock_now() < until);
	if (step != STEP_DONE)
		(void)event_add(w->on_work, &soon);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct zip *z;
	int64_t now = clock_now();

	(void)fd;
	(void)what;
	if (store_tick(w->store, now, clock_wall()))
		w->trim_due = true;
	on_work(-1, 0, w);
	TAILQ_FOREACH(z, &w->zips, link)
		if (zip_tick(z))
			w->trim_due = true;
	when_idle(w, now);
	/* Walking the heap takes a while. */
	if (++w->ticks % TRIM_TICKS == 0 && w->trim_due) {
		w->trim_due = false;
		(void)malloc_trim(0);
	}
}

/* The warning for full accounts, kept until the end; none without a file. */
static struct slice
warning_text(const struct conf *c)
{
	static struct buf text;
	const char *path = conf_str(c, CONF_POSTERN_QUOTA_WARN_FILE);
	struct stat st;
	int fd;
	ssize_t n;

	buf_fini(&text);
	buf_init(&text, WARNING_MAX);
	fd = *path != '\0' ? fsx_open_read(AT_FDCWD, path, &st) : -1;
	if (fd < 0)
		return SLICE("");
	if (st.st_size > 0 && st.st_size < WARNING_MAX) {
		uint8_t *p = buf_reserve(&text, (size_t)st.st_size);

		n = p != NULL ? fsx_pread(fd, p, (size_t)st.st_size, 0) : 0;
		buf_advance(&text, n > 0 ? (size_t)n : 0);
	}
	(void)close(fd);
	return buf_slice(&text);
}

static void
make_store(struct worker *w)
{
	static char host[256];
	const char *set = conf_str(w->conf, CONF_IMAPD_HOSTNAME);
	const struct timeval t = { TICK_MS / 1000, 0 };
	const struct conf *c = w->conf;
	struct store_options o = changing_options(c);

	o.hostname = host;
	o.syncer = syncpool_syncer(w->syncpool);
	o.keywords_max = (unsigned)conf_num(c, CONF_POSTERN_KEYWORDS_MAX);
	o.trash_name = conf_str(c, CONF_IMAPD_IMAP_TRASHFOLDERNAME);
	o.empty_trash = conf_str(c, CONF_IMAPD_IMAP_EMPTYTRASH);
	o.trash_quota =
	    TRASH_QUOTA_BUILT || conf_bool(c, CONF_POSTERN_TRASH_QUOTA);
	o.quota_warn_percent =
	    (unsigned)conf_num(c, CONF_POSTERN_QUOTA_WARN_PERCENT);
	o.quota_warn_text = warning_text(c);
	o.no_courier_lock = !conf_bool(c, CONF_IMAPD_IMAP_USELOCKS);
	o.export_courier = conf_bool(c, CONF_POSTERN_EXPORT_COURIER);
	o.dovecot_uidl_format = conf_str(c, CONF_POSTERN_DOVECOT_UIDL_FORMAT);

	if (*set != '\0')
		(void)log_safe(slice_str(set), host, sizeof(host));
	else if (gethostname(host, sizeof(host) - 1) < 0)
		memcpy(host, "localhost", sizeof("localhost"));
	w->store = store_new(&o);
	if (store_watch_fd(w->store) >= 0) {
		w->on_watch = event_new(w->base, store_watch_fd(w->store),
		    EV_READ | EV_PERSIST, on_store_watch, w);
		store_on_watch_wanted(
		    w->store, (struct waker){ on_watch_wanted, w });
	}
	w->on_tick = event_new(w->base, -1, EV_PERSIST, on_tick, w);
	(void)event_add(w->on_tick, &t);
	w->on_work = event_new(w->base, -1, 0, on_work, w);
}

/* The rest of the start ritual, once everything has been received. */
static void
start(struct worker *w)
{
	struct msg_out m;
	struct err e;

	if (w->store != NULL || w->conf == NULL)
		return;
	w->syncpool = syncpool_new(
	    w->base, (unsigned)conf_num(w->conf, CONF_POSTERN_SYNC_THREADS));
	if (w->syncpool == NULL) {
		log_error("worker: no sync thread can be started");
		exit(1);
	}
	syncpool_after(w->syncpool, (struct waker){ streams_synced, w });
	make_store(w);
	if (sandbox_enter(SANDBOX_WORKER, &e) != 0) {
		log_error("worker: %s", e.text);
		exit(1);
	}
	msg_begin(&m, MSG_READY, 0);
	peer_send(w->master, &m);
}

static void
on_master_message(struct peer *p, struct msg_in *in, void *arg)
{
	struct worker *w = arg;

	(void)p;
	if (in->type == MSG_CONFIG)
		take_configuration(w, msg_get_bytes(in));
	else if (in->type == MSG_START)
		start(w);
	else if (in->type == MSG_SESSION && w->store != NULL)
		session_arrives(w, in);
	else if (in->type == MSG_SESSION_END)
		session_ends(w, in);
	else if (in->type == MSG_SENT)
		stream_sent(w, in);
	else if (in->type == MSG_SHUTDOWN)
		shut_down(w);
	/* SERVICE_STOP: the master ends the sessions one by one. */
}

/* Of a client there is only its socket: it sees the end of that. */
static void
on_master_lost(struct peer *p, struct msg_in *in, void *arg)
{
	struct worker *w = arg;
	struct msg_out m;

	if (in->type == MSG_SENT) {
		stream_sent(w, in); /* what was said is left out */
	} else if (in->type == MSG_SESSION) {
		msg_begin(&m, MSG_SESSION_CLOSED, 0);
		msg_put_u64(&m, msg_get_u64(in));
		peer_send(p, &m);
	}
}

static void
on_master_end(struct peer *p, const char *why, void *arg)
{
	struct worker *w = arg;

	(void)p;
	(void)why;
	/* Without a master nobody counts: end the sessions properly. */
	child_log_to(NULL);
	shut_down(w);
}

static void
on_sigterm(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	shut_down(arg);
}

static struct worker *
worker_new(void)
{
	static const struct peer_handler handler = { on_master_message,
		on_master_end };
	struct worker *w = MEM_NEW(struct worker);
	void *page = mmap(NULL, CHILD_PAGE_SIZE, PROT_READ | PROT_WRITE,
	    MAP_SHARED, CHILD_PAGE_FD, 0);

	TAILQ_INIT(&w->streams);
	TAILQ_INIT(&w->zips);
	TAILQ_INIT(&w->runnable);
	TAILQ_INIT(&w->arrivals);
	w->page = page != MAP_FAILED ? page : NULL;
	(void)close(CHILD_PAGE_FD);
	w->idle_since_ms = clock_now();
	event_set_mem_functions(pool_take, pool_realloc, pool_free);
	w->base = event_base_new();
	w->master = peer_new(
	    w->base, CHILD_CONTROL_FD, ROLE_WORKER, ROLE_MASTER, &handler, w);
	peer_on_lost(w->master, on_master_lost);
	child_log_to(w->master);
	/* A signal to the whole process group is the master's to answer; by
	 * itself SIGTERM ends this worker with BYE. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	w->on_runnable = event_new(w->base, -1, 0, on_streams_runnable, w);
	w->on_arrival = event_new(w->base, -1, 0, on_session_arrival, w);
	w->on_sigterm = evsignal_new(w->base, SIGTERM, on_sigterm, w);
	(void)event_add(w->on_sigterm, NULL);
	return w;
}

static void
worker_free(struct worker *w)
{
	struct stream *st, *next;

	for (st = TAILQ_FIRST(&w->streams); st != NULL; st = next) {
		next = TAILQ_NEXT(st, link);
		stream_free(st);
	}
	store_free(&w->store);
	syncpool_free(&w->syncpool);
	if (w->on_watch != NULL)
		event_free(w->on_watch);
	if (w->on_tick != NULL)
		event_free(w->on_tick);
	if (w->on_work != NULL)
		event_free(w->on_work);
	if (w->on_finish != NULL)
		event_free(w->on_finish);
	sessions_forget(w);
	event_free(w->on_runnable);
	event_free(w->on_arrival);
	event_free(w->on_sigterm);
	peer_flush(w->master, 1000);
	child_log_to(NULL);
	peer_free(&w->master);
	protocol_options_free(&w->options);
	conf_free(&w->conf);
	event_base_free(w->base);
	free(w);
}

int
main(int argc, char *argv[])
{
	uint32_t uid, gid;
	struct worker *w;
	struct err e;

	log_set_ident("worker");
	/* The sync threads allocate next to nothing: no heaps of their own. */
	(void)mallopt(M_ARENA_MAX, 1);
	if (argc != 3 || !num_u32(slice_str(argv[1]), &uid) ||
	    !num_u32(slice_str(argv[2]), &gid)) {
		log_error("this program is run by posternd only");
		return 1;
	}
	child_set_limits();
	(void)umask(077);
	if (child_drop_privileges(uid, gid, &e) != 0) {
		log_error("%s", e.text);
		return 1;
	}
	w = worker_new();
	(void)event_base_dispatch(w->base);
	worker_free(w);
	return 0;
}
