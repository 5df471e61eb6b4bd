/* server: tickets work once, sync threads report. */
#include <sys/socket.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/syncpool.h"
#include "server/tickets.h"

/* --- tickets ------------------------------------------------------------ */

static struct slice
ticket_bytes(unsigned i)
{
	static uint8_t b[TICKET_SIZE];

	memset(b, 0, sizeof(b));
	memcpy(b, &i, sizeof(i));
	return slice_of(b, sizeof(b));
}

static void
add(struct tickets *t, unsigned i, int64_t now_ms)
{
	struct account_record r = { .uid = 1000 + i,
		.gid = 7,
		.user = mem_strdup("joe@example.com"),
		.home = mem_strdup("/home/vmail"),
		.maildir = mem_strdup("example.com/joe/"),
		.quota = mem_strdup(""),
		.options = mem_strdup("") };

	tickets_add(t, ticket_bytes(i), "imap", "::1", &r, now_ms);
	assert_null(r.user);
}

static bool
take(struct tickets *t, unsigned i, const char *service, const char *addr,
    int64_t now_ms, bool *found)
{
	struct account_record r;

	if (!tickets_take(t, ticket_bytes(i), service, addr, now_ms, &r, found))
		return false;
	assert_int_equal(r.uid, 1000 + i);
	assert_string_equal(r.user, "joe@example.com");
	account_record_fini(&r);
	return true;
}

static void
ticket_works_once(void **state)
{
	struct tickets *t = tickets_new();
	bool found;

	(void)state;
	add(t, 1, 0);
	add(t, 2, 0);
	assert_true(tickets_have(t, ticket_bytes(1)));
	assert_true(take(t, 1, "imap", "::1", 10, &found));
	assert_true(found);
	assert_false(tickets_have(t, ticket_bytes(1)));
	assert_false(take(t, 1, "imap", "::1", 10, &found));
	assert_false(found);
	assert_true(take(t, 2, "imap", "::1", 10, NULL));
	tickets_free(&t);
	assert_null(t);
}

static void
ticket_of_another_is_used_up(void **state)
{
	struct tickets *t = tickets_new();
	bool found;

	(void)state;
	add(t, 1, 0);
	add(t, 2, 0);
	add(t, 3, 0);
	assert_false(take(t, 1, "pop3", "::1", 1, &found));
	assert_true(found);
	assert_false(take(t, 1, "imap", "::1", 1, NULL));
	assert_false(take(t, 2, "imap", "::2", 1, NULL));
	assert_false(take(t, 2, "imap", "::1", 1, NULL));
	assert_false(take(t, 3, "imap", "::1", TICKET_LIFE_MS + 1, NULL));
	tickets_free(&t);
}

static void
tickets_are_bounded(void **state)
{
	struct tickets *t = tickets_new();

	(void)state;
	for (unsigned i = 0; i < TICKETS_MAX + 10; i++)
		add(t, i, 0);
	assert_false(take(t, 9, "imap", "::1", 1, NULL));
	assert_true(take(t, 10, "imap", "::1", 1, NULL));
	tickets_expire(t, TICKET_LIFE_MS + 1);
	assert_false(take(t, 11, "imap", "::1", 1, NULL));
	tickets_free(&t);
}

struct seen {
	unsigned messages;
	struct event_base *base;
	unsigned want;
};

/* --- sync threads -------------------------------------------------------- */

struct one_job {
	struct sync_job job;
	int fd;
};

static int
sync_one(struct sync_job *job)
{
	const struct one_job *one = CONTAINER_OF(job, struct one_job, job);

	return fsync(one->fd) < 0 ? errno : 0;
}

static void
on_synced(struct sync_job *job)
{
	struct seen *s = job->arg;

	if (++s->messages == s->want)
		(void)event_base_loopbreak(s->base);
}

static void
syncpool_reports_each_job(void **state)
{
	char path[] = "/tmp/postern-sync-XXXXXX";
	struct event_base *base = event_base_new();
	struct syncpool *pool = syncpool_new(base, 3);
	struct seen s = { .base = base, .want = 20 };
	struct one_job jobs[20];
	int fd = mkstemp(path), pipe_fds[2];

	(void)state;
	assert_non_null(pool);
	assert_int_equal(pipe(pipe_fds), 0);
	for (size_t i = 0; i < NELEMS(jobs); i++) {
		/* every other one has a descriptor that can't be synced */
		jobs[i] = (struct one_job){
			{ .run = sync_one, .done = on_synced, .arg = &s },
			i % 2 == 0 ? fd : pipe_fds[0]
		};
		syncer_submit(syncpool_syncer(pool), &jobs[i].job);
	}
	assert_int_equal(syncpool_pending(pool), 20);
	(void)event_base_dispatch(base);
	for (size_t i = 0; i < NELEMS(jobs); i++)
		assert_int_equal(jobs[i].job.error != 0, i % 2);
	assert_int_equal(syncpool_pending(pool), 0);
	syncpool_free(&pool);
	event_base_free(base);
	(void)close(fd);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	(void)unlink(path);
}

/* --- a disk that hangs for one owner -------------------------------------- */

static int hung_fds[2];

/* Until the other end is closed. */
static int
hang(struct sync_job *job)
{
	char byte;

	(void)job;
	return read(hung_fds[0], &byte, 1) == 0 ? 0 : EIO;
}

static int
nothing(struct sync_job *job)
{
	(void)job;
	return 0;
}

static void
submit_all(struct syncpool *pool, struct sync_job *jobs, size_t n,
    int (*run)(struct sync_job *job), struct seen *seen)
{
	for (size_t i = 0; i < n; i++) {
		jobs[i] = (struct sync_job){ .run = run,
			.done = on_synced,
			.arg = seen,
			.owner = seen };
		syncer_submit(syncpool_syncer(pool), &jobs[i]);
	}
}

static void
one_owner_leaves_threads_to_others(void **state)
{
	struct event_base *base = event_base_new();
	struct syncpool *pool = syncpool_new(base, 4);
	struct seen own = { .base = base, .want = 20 };
	struct seen other = { .base = base, .want = 5 };
	struct sync_job hung[20], quick[5];

	(void)state;
	assert_non_null(pool);
	assert_int_equal(pipe(hung_fds), 0);
	submit_all(pool, hung, NELEMS(hung), hang, &own);
	submit_all(pool, quick, NELEMS(quick), nothing, &other);
	(void)event_base_dispatch(base);
	assert_int_equal(other.messages, 5);
	assert_int_equal(own.messages, 0);
	/* late, not lost */
	(void)close(hung_fds[1]);
	(void)event_base_dispatch(base);
	assert_int_equal(own.messages, 20);
	syncpool_free(&pool);
	(void)close(hung_fds[0]);
	event_base_free(base);
}

/* --- none is left lying --------------------------------------------------- */

enum { CROWD = 12, CROWD_JOBS = 20000 };

struct crowd {
	struct syncpool *pool;
	struct event_base *base;
	unsigned begun, done;
};

static void
go_on(struct sync_job *job)
{
	struct crowd *c = job->arg;

	if (++c->done == CROWD_JOBS)
		(void)event_base_loopbreak(c->base);
	if (c->begun < CROWD_JOBS) {
		c->begun++;
		syncer_submit(syncpool_syncer(c->pool), job);
	}
}

/* Whoever is at work, waits, or is being woken when a job comes: it is done,
 * even if there is none after it. */
static void
every_job_is_taken(void **state)
{
	struct crowd c = { .base = event_base_new() };
	struct sync_job jobs[CROWD];
	int owners[2];

	(void)state;
	for (unsigned n_owners = 0; n_owners <= 2; n_owners++) {
		c.pool = syncpool_new(c.base, 4);
		assert_non_null(c.pool);
		c.done = c.begun = 0;
		for (size_t i = 0; i < NELEMS(jobs); i++) {
			jobs[i] = (struct sync_job){ .run = nothing,
				.done = go_on,
				.arg = &c,
				.brief = i % 4 != 0,
				.owner = n_owners == 0
				    ? NULL
				    : &owners[i % n_owners] };
			c.begun++;
			syncer_submit(syncpool_syncer(c.pool), &jobs[i]);
		}
		(void)event_base_dispatch(c.base);
		assert_int_equal(c.done, CROWD_JOBS);
		assert_int_equal(syncpool_pending(c.pool), 0);
		syncpool_free(&c.pool);
	}
	event_base_free(c.base);
}

/* --- jobs that belong together -------------------------------------------- */

static int begun_fds[2];

static int
hang_loudly(struct sync_job *job)
{
	return write(begun_fds[1], "x", 1) == 1 ? hang(job) : EIO;
}

static void
count(void *arg)
{
	++*(unsigned *)arg;
}

static int gate_fds[2];

static int
pass_gate(struct sync_job *job)
{
	char byte;

	(void)job;
	return read(gate_fds[0], &byte, 1) == 1 ? 0 : EIO;
}

/* It has a thread for itself: others are at work, too. */
static int
arrive(struct sync_job *job)
{
	return write(begun_fds[1], "x", 1) == 1 ? pass_gate(job) : EIO;
}

static void
open_pipes(void)
{
	assert_int_equal(pipe(hung_fds), 0);
	assert_int_equal(pipe(begun_fds), 0);
	assert_int_equal(pipe(gate_fds), 0);
}

static void
close_pipes(void)
{
	(void)close(hung_fds[0]);
	for (size_t i = 0; i < 2; i++) {
		(void)close(begun_fds[i]);
		(void)close(gate_fds[i]);
	}
}

/* The loop isn't told of the second of three jobs, which one thread does, one
 * after the other, before the third is done. */
static void
come_back_together(bool brief)
{
	struct event_base *base = event_base_new();
	struct syncpool *pool = syncpool_new(base, 1);
	struct seen s = { .base = base, .want = 3 };
	unsigned unfinished = 2, n_after = 0;
	int (*const run[])(
	    struct sync_job * job) = { pass_gate, pass_gate, hang_loudly };
	struct sync_job jobs[3];
	char byte;

	assert_non_null(pool);
	open_pipes();
	syncpool_after(pool, (struct waker){ count, &n_after });
	for (size_t i = 0; i < NELEMS(jobs); i++) {
		jobs[i] = (struct sync_job){ .run = run[i],
			.done = on_synced,
			.arg = &s,
			.owner = &s,
			.brief = brief && i > 0,
			.unfinished = !brief && i > 0 ? &unfinished : NULL };
		syncer_submit(syncpool_syncer(pool), &jobs[i]);
	}
	assert_int_equal(write(gate_fds[1], "x", 1), 1);
	(void)event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(s.messages, 1);
	assert_int_equal(write(gate_fds[1], "x", 1), 1);
	assert_int_equal(read(begun_fds[0], &byte, 1), 1);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(s.messages, 1);
	(void)close(hung_fds[1]);
	(void)event_base_dispatch(base);
	assert_int_equal(s.messages, 3);
	assert_int_equal(n_after, 2);
	assert_int_equal(syncpool_pending(pool), 0);
	syncpool_free(&pool);
	close_pipes();
	event_base_free(base);
}

static void
siblings_come_back_together(void **state)
{
	(void)state;
	come_back_together(false);
}

static void
brief_jobs_come_back_together(void **state)
{
	(void)state;
	come_back_together(true);
}

/* All wait for a job. */
static void
have_all_wait(struct syncpool *pool, struct event_base *base)
{
	struct seen all = { .base = base, .want = 8 };
	struct sync_job idle[8];
	char byte;

	for (size_t i = 0; i < NELEMS(idle); i++) {
		idle[i] = (struct sync_job){
			.run = arrive, .done = on_synced, .arg = &all
		};
		syncer_submit(syncpool_syncer(pool), &idle[i]);
	}
	for (size_t i = 0; i < NELEMS(idle); i++)
		assert_int_equal(read(begun_fds[0], &byte, 1), 1);
	assert_int_equal(write(gate_fds[1], "xxxxxxxx", 8), 8);
	(void)event_base_dispatch(base);
}

/* Brief jobs that aren't keep no other waiting that came behind them, though no
 * thread was woken but for the first. */
static void
brief_jobs_leave_threads_to_others(void **state)
{
	struct event_base *base = event_base_new();
	struct sync_job hung[5], quick[1];

	(void)state;
	/* often enough that the first isn't begun before the others come */
	for (unsigned n = 0; n < 30; n++) {
		struct syncpool *pool = syncpool_new(base, 8);
		struct seen own = { .base = base, .want = 5 };
		struct seen other = { .base = base, .want = 1 };

		assert_non_null(pool);
		open_pipes();
		have_all_wait(pool, base);
		for (size_t i = 0; i < NELEMS(hung); i++) {
			hung[i] = (struct sync_job){ .run = hang,
				.done = on_synced,
				.arg = &own,
				.owner = &own,
				.brief = true };
			syncer_submit(syncpool_syncer(pool), &hung[i]);
		}
		submit_all(pool, quick, NELEMS(quick), nothing, &other);
		(void)event_base_dispatch(base);
		assert_int_equal(other.messages, 1);
		assert_int_equal(own.messages, 0);
		(void)close(hung_fds[1]);
		(void)event_base_dispatch(base);
		assert_int_equal(own.messages, 5);
		syncpool_free(&pool);
		close_pipes();
	}
	event_base_free(base);
}

/* --- a job that is fetched before the loop comes round -------------------- */

static void
collects_what_was_run(void **state)
{
	struct event_base *base = event_base_new();
	struct syncpool *pool = syncpool_new(base, 1);
	struct syncer *syncer = syncpool_syncer(pool);
	struct seen s = { .base = base, .want = 4 };
	struct sync_job quick[3], hung[1];
	char byte;

	(void)state;
	assert_int_equal(pipe(hung_fds), 0);
	assert_int_equal(pipe(begun_fds), 0);
	submit_all(pool, quick, NELEMS(quick), nothing, &s);
	submit_all(pool, hung, NELEMS(hung), hang_loudly, &s);
	assert_int_equal(read(begun_fds[0], &byte, 1), 1);
	assert_true(syncer_collect(syncer, &quick[2]));
	assert_true(syncer_collect(syncer, &quick[0]));
	assert_int_equal(s.messages, 2);
	assert_int_equal(syncpool_pending(pool), 2);
	assert_false(syncer_collect(syncer, &quick[0]));
	assert_false(syncer_collect(syncer, &hung[0]));
	(void)close(hung_fds[1]);
	(void)event_base_dispatch(base);
	assert_int_equal(s.messages, 4);
	assert_int_equal(syncpool_pending(pool), 0);
	syncpool_free(&pool);
	for (size_t i = 0; i < 2; i++)
		(void)close(begun_fds[i]);
	(void)close(hung_fds[0]);
	event_base_free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ticket_works_once),
		cmocka_unit_test(ticket_of_another_is_used_up),
		cmocka_unit_test(tickets_are_bounded),
		cmocka_unit_test(syncpool_reports_each_job),
		cmocka_unit_test(collects_what_was_run),
		cmocka_unit_test(one_owner_leaves_threads_to_others),
		cmocka_unit_test(every_job_is_taken),
		cmocka_unit_test(siblings_come_back_together),
		cmocka_unit_test(brief_jobs_come_back_together),
		cmocka_unit_test(brief_jobs_leave_threads_to_others),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
