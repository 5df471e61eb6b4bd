/*
 * Reading ahead: what is given is the message asked for or nothing, whatever
 * others do to its file meanwhile, and nothing stays open.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/mem.h"
#include "maildir/ahead.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

enum {
	MESSAGES = 3 * AHEAD_MESSAGES,
	LARGE = 5,    /* it and its multiples are longer than AHEAD_BYTES */
	FULL = 7,     /* as long */
	NOTHING = 11, /* empty */
	LARGE_BYTES = AHEAD_BYTES + 1000,
	RACES = 40,
};

/* --- syncers ------------------------------------------------------------- */

static bool holding, was_run;
static struct sync_job *held;

/* False: it needn't be, and is done already. */
static bool
hold(struct sync_job *job)
{
	if (!holding) {
		sync_job_do(job);
		return false;
	}
	assert_null(held);
	held = job;
	was_run = false;
	return true;
}

static void
submit(struct syncer *self, struct sync_job *job)
{
	(void)self;
	(void)hold(job);
}

static bool
collect(struct syncer *self, struct sync_job *job)
{
	(void)self;
	if (job != held || !was_run)
		return false;
	held = NULL;
	job->done(job);
	return true;
}

static struct syncer syncer = { submit, collect };

/* What the thread does; the loop doesn't come to it. */
static void
run_held(void)
{
	assert_non_null(held);
	held->error = held->run(held);
	was_run = true;
}

static void
done_held(void)
{
	struct sync_job *job = held;

	held = NULL;
	job->done(job);
}

/* --- messages ------------------------------------------------------------ */

static size_t
length_of(uint32_t uid)
{
	if (uid % LARGE == 0)
		return LARGE_BYTES + uid;
	if (uid % FULL == 0)
		return AHEAD_BYTES;
	return uid % NOTHING == 0 ? 0 : 100 + uid;
}

/* Its number, all over. */
static char *
text_of(uint32_t uid)
{
	size_t n = length_of(uid);
	char *text = mem_zalloc(1, n + 1);

	for (size_t at = 0; at < n; at++)
		text[at] = (char)(at % 8 == 7 ? '\n' : '0' + uid % 64);
	return text;
}

static const char *
file_of(uint32_t uid, const char *flags)
{
	static char name[100];

	(void)snprintf(
	    name, sizeof(name), "17%08u.M1P1.host:2,%s", (unsigned)uid, flags);
	return name;
}

static struct mailbox *
open_inbox(struct fixture *f, struct syncer *s)
{
	holding = false;
	held = NULL;
	f->syncer = s;
	fixture_reopen(f);
	return open_mailbox(f, "INBOX");
}

static struct mailbox *
fill(struct fixture *f, struct syncer *s)
{
	struct mailbox *m = open_inbox(f, s);

	for (uint32_t uid = 1; uid <= MESSAGES; uid++) {
		char *text = text_of(uid);

		put_cur(f, file_of(uid, ""), text);
		free(text);
	}
	refresh(f, m);
	assert_int_equal(view_count(m->head), MESSAGES);
	/* those that stay open are */
	assert_true(mailbox_dir_fd(m, DIR_CUR) >= 0);
	assert_true(mailbox_dir_fd(m, DIR_NEW) >= 0);
	holding = true;
	return m;
}

/* Take it, and see that it is what it must be; false: it isn't there. */
static bool
take(struct ahead *a, uint32_t uid)
{
	struct ahead_message got;
	char *text;
	size_t n = length_of(uid);

	if (!ahead_take(a, uid, &got))
		return false;
	text = text_of(uid);
	assert_int_equal(got.file_size, n);
	assert_int_equal(got.bytes.n, n < AHEAD_BYTES ? n : AHEAD_BYTES);
	assert_memory_equal(got.bytes.p, text, got.bytes.n);
	free(text);
	assert_true((got.fd >= 0) == (n > AHEAD_BYTES));
	if (got.fd >= 0)
		(void)close(got.fd);
	return true;
}

static uint32_t
ask_from(struct ahead *a, uint32_t uid)
{
	while (uid <= MESSAGES && ahead_ask(a, uid))
		uid++;
	return uid;
}

static unsigned
open_fds(void)
{
	return count_files("/proc/self/fd");
}

static void
end(struct ahead *a, struct mailbox *m)
{
	ahead_end(&a);
	assert_null(a);
	if (held != NULL)
		done_held();
	mailbox_close(&m);
}

/* Another program gives it other flags. */
static void
flag(const struct fixture *f, uint32_t uid, const char *from, const char *to)
{
	char *was = mem_printf("cur/%s", file_of(uid, from));
	char *is = mem_printf("cur/%s", file_of(uid, to));

	assert_int_equal(rename(fixture_path(f, was), fixture_path(f, is)), 0);
	free(was);
	free(is);
}

static const char *
path_of(const struct fixture *f, uint32_t uid)
{
	char *name = mem_printf("cur/%s", file_of(uid, ""));
	const char *path = fixture_path(f, name);

	free(name);
	return path;
}

/* --- tests --------------------------------------------------------------- */

static void
all_are_read(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = fill(f, &syncer);
	unsigned before = open_fds(), n = 0;
	struct ahead *a = ahead_begin(m);
	struct message_info info;
	uint32_t next = ask_from(a, 1);

	assert_int_equal(next, 1 + AHEAD_MESSAGES);
	for (uint32_t uid = 1; uid <= MESSAGES; uid++) {
		if (held != NULL && !was_run)
			run_held();
		n += take(a, uid);
		next = ask_from(a, next);
	}
	assert_int_equal(next, MESSAGES + 1);
	/* the last few aren't worth a job */
	assert_in_range(n, MESSAGES - 8, MESSAGES);
	/* as good as a look of one's own */
	assert_int_equal(mailbox_message_info(m, LARGE, &info), 0);
	assert_int_equal(info.file_size, LARGE_BYTES + LARGE);
	end(a, m);
	assert_true(open_fds() <= before);
}

static void
late_ones_are_left_out(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = fill(f, &syncer);
	struct ahead *a = ahead_begin(m);
	uint32_t next = ask_from(a, 1);

	assert_false(take(a, 1));
	assert_false(take(a, 2));
	/* the thread has all slots still */
	assert_int_equal(ask_from(a, next), next);
	run_held();
	assert_false(take(a, 2));
	/* left to who is about to read them */
	assert_false(take(a, 3));
	assert_false(take(a, 4));
	assert_true(take(a, 5));
	/* passed over */
	assert_true(take(a, 6));
	/* 6 is borrowed still */
	assert_int_equal(ask_from(a, next), AHEAD_MESSAGES + 6);
	assert_false(take(a, 5));
	assert_int_equal(ask_from(a, AHEAD_MESSAGES + 6), AHEAD_MESSAGES + 7);
	assert_false(take(a, MESSAGES));
	end(a, m);
}

/* What others did since the message was asked for. */
static void
changed_files_are_left_out(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = fill(f, &syncer);
	struct ahead *a = ahead_begin(m);
	uint32_t gone = 6;
	char *text;

	(void)ask_from(a, 1);
	flag(f, 2, "", "S");
	assert_int_equal(unlink(path_of(f, 3)), 0);
	assert_int_equal(unlink(path_of(f, 4)), 0);
	assert_int_equal(mkfifo(path_of(f, 4), 0600), 0);
	run_held();
	assert_true(take(a, 1));
	assert_false(take(a, 2));
	text = message_text(m, 2);
	assert_non_null(text);
	free(text);
	assert_false(take(a, 3));
	assert_false(take(a, 4));
	/* its file was there in time, but now we know better */
	holding = false;
	assert_int_equal(run_remove(f, m, &gone, 1), 1);
	refresh(f, m);
	assert_true(take(a, 5));
	assert_false(take(a, gone));
	assert_true(take(a, 7));
	end(a, m);
}

static void
new_mail_is_read(void **state)
{
	struct fixture *f = *state;
	struct ahead_message got;
	struct mailbox *m;
	struct ahead *a;

	m = open_inbox(f, &syncer);
	for (int n = 0; n < AHEAD_MESSAGES; n++)
		(void)deliver(f, "", "new\n");
	assert_int_equal(try_refresh(f, m, false), 0);
	holding = true;
	a = ahead_begin(m);
	(void)ask_from(a, 1);
	run_held();
	for (uint32_t uid = 1; uid <= AHEAD_MESSAGES; uid++) {
		assert_true(ahead_take(a, uid, &got));
		assert_true(slice_eq(got.bytes, SLICE("new\n")));
	}
	end(a, m);
}

/* The job is under way, or read and not collected, when nobody wants it more;
 * files that were opened are closed whenever it comes back. */
static void
ends_at_any_time(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = fill(f, &syncer);
	struct mailbox *again = open_mailbox(f, "INBOX");
	unsigned before = open_fds();

	for (int when = 0; when < 3; when++) {
		struct ahead *a = ahead_begin(m);

		(void)ask_from(a, 1);
		if (when == 1) /* before the thread comes to it */
			ahead_end(&a);
		run_held();
		if (when == 2)
			assert_true(take(a, 2));
		ahead_end(&a);
		if (held != NULL)
			done_held();
		assert_true(open_fds() <= before);
	}
	mailbox_close(&again);
	mailbox_close(&m);
}

static void
only_some_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = fill(f, &syncer);
	struct ahead *a[AHEAD_MAX];

	for (size_t k = 0; k < AHEAD_MAX; k++) {
		a[k] = ahead_begin(m);
		assert_non_null(a[k]);
	}
	assert_null(ahead_begin(m));
	ahead_end(&a[0]);
	a[0] = ahead_begin(m);
	assert_non_null(a[0]);
	for (size_t k = 0; k < AHEAD_MAX; k++)
		ahead_end(&a[k]);
	mailbox_close(&m);
}

/* --- with real threads --------------------------------------------------- */

static pthread_t thread;

static void *
run_job(void *arg)
{
	struct sync_job *job = arg;

	job->error = job->run(job);
	return NULL;
}

static void
start_thread(struct syncer *self, struct sync_job *job)
{
	(void)self;
	if (hold(job))
		assert_int_equal(
		    pthread_create(&thread, NULL, run_job, job), 0);
}

static bool
join_thread(struct syncer *self, struct sync_job *job)
{
	(void)self;
	assert_ptr_equal(job, held);
	if (pthread_tryjoin_np(thread, NULL) != 0)
		return false;
	done_held();
	return true;
}

static struct syncer threads = { start_thread, join_thread };
static _Atomic bool stop;

/* Renames all the time, as programs do that set flags. */
static void *
rename_all(void *arg)
{
	const struct fixture *f = arg;
	char from[500], to[500];

	for (unsigned n = 0; !stop; n++) {
		unsigned uid = n % MESSAGES + 1, odd = n / MESSAGES % 2;

		(void)snprintf(from, sizeof(from),
		    "%s/cur/17%08u.M1P1.host:2,%s", f->path, uid,
		    odd ? "S" : "");
		(void)snprintf(to, sizeof(to), "%s/cur/17%08u.M1P1.host:2,%s",
		    f->path, uid, odd ? "" : "S");
		(void)rename(from, to);
	}
	return NULL;
}

static void
race(struct fixture *f, struct mailbox *m)
{
	struct ahead *a = ahead_begin(m);
	uint32_t next = ask_from(a, 1);

	for (uint32_t uid = 1; uid <= MESSAGES; uid++) {
		if (!take(a, uid)) {
			char *text = message_text(m, uid);

			/* it may be missed while it is renamed */
			if (text != NULL)
				assert_int_equal(strlen(text), length_of(uid));
			free(text);
		}
		next = ask_from(a, next);
	}
	ahead_end(&a);
	if (held != NULL) {
		assert_int_equal(pthread_join(thread, NULL), 0);
		done_held();
	}
	holding = false;
	refresh(f, m);
	holding = true;
}

static void
races_renames(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = fill(f, &threads);
	unsigned before = open_fds();
	pthread_t renamer;

	stop = false;
	assert_int_equal(pthread_create(&renamer, NULL, rename_all, f), 0);
	for (int n = 0; n < RACES; n++)
		race(f, m);
	stop = true;
	assert_int_equal(pthread_join(renamer, NULL), 0);
	assert_true(open_fds() <= before);
	mailbox_close(&m);
}

/* Of a mailbox that another process knew. */
static void
reads_names_first(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = fill(f, &syncer);
	struct ahead *a;

	f->wall_ms += 3 * GRANULARITY_MS;
	refresh(f, m);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_false(m->named);
	a = ahead_begin(m);
	assert_int_equal(ask_from(a, 1), 1 + AHEAD_MESSAGES);
	assert_true(chunk_has_names(m->head->v[0]));
	run_held();
	assert_true(take(a, 1));
	end(a, m);
}

#define TEST(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_are_read),
		TEST(late_ones_are_left_out),
		TEST(changed_files_are_left_out),
		TEST(new_mail_is_read),
		TEST(ends_at_any_time),
		TEST(only_some_at_a_time),
		TEST(races_renames),
		TEST(reads_names_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
