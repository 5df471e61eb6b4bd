/* What is asked of the user table again, and what isn't. */
#include <sys/inotify.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/asking.h"
#include "base/mem.h"

/* --- a pool that notes what it is asked, and its host --------------------- */

static pool_done *pool_done_fn;
static void *pool_done_arg;
static int n_asked, n_rewatched, n_told;
static enum verdict told;

struct job *
pool_ask(struct pool *p, const struct query *q, pool_done *done, void *arg)
{
	static int job;

	(void)p;
	(void)q;
	n_asked++;
	pool_done_fn = done;
	pool_done_arg = arg;
	return (struct job *)&job;
}

void
pool_hold(struct job *j, bool hold)
{
	(void)j;
	(void)hold;
}

void
pool_cancel(struct job *j)
{
	(void)j;
}

static void
on_rewatch(void *arg)
{
	(void)arg;
	n_rewatched++;
}

static const struct asking_host host = { on_rewatch };

/* --- one of each ---------------------------------------------------------- */

struct fixture {
	struct event_base *base;
	struct asking *asking;
	char path[64];
};

static void
begin(struct fixture *f, bool has_file)
{
	const struct asking_options o = { .trusted = SLICE_INIT(""),
		.has_file = has_file };
	int fd;

	n_asked = n_rewatched = n_told = 0;
	f->base = event_base_new();
	assert_non_null(f->base);
	f->asking = asking_new(f->base, NULL, &host, NULL);
	asking_configure(f->asking, &o);
	strcpy(f->path, "/tmp/test_auth_asking.XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

static void
end(struct fixture *f)
{
	asking_free(&f->asking);
	event_base_free(f->base);
	assert_int_equal(unlink(f->path), 0);
}

static void
give_watch(struct fixture *f)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(inotify_add_watch(fd, f->path, IN_MODIFY) >= 0);
	asking_take_watch(f->asking, fd);
}

static void
change_file(struct fixture *f)
{
	int fd = open(f->path, O_WRONLY | O_APPEND);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(close(fd), 0);
}

static void
on_told(void *arg, const struct answer *a, int64_t begun)
{
	(void)arg;
	(void)begun;
	n_told++;
	told = a->verdict;
}

static void
ask_as(struct fixture *f, const char *user)
{
	const struct query q = { .op = QUERY_LOGIN,
		.service = SLICE_INIT("imap"),
		.user = slice_str(user),
		.password = SLICE_INIT("secret"),
		.rip = SLICE_INIT("192.0.2.1") };

	assert_non_null(asking_ask(f->asking, &q, on_told, NULL));
	assert_true(event_base_loop(f->base, EVLOOP_NONBLOCK) >= 0);
}

static void
ask(struct fixture *f)
{
	ask_as(f, "joe@example.com");
}

/* The table's answer. */
static void
answer(bool by_file)
{
	const struct answer a = { .verdict = VERDICT_OK,
		.uid = 5000,
		.gid = 5000,
		.field = { [ACCOUNT_HOME] = SLICE_INIT("/home/vmail") },
		.by_file = by_file };

	pool_done_fn(pool_done_arg, &a);
}

/* Somebody else asks while a question is with the table, and is told first. */
static void
let_another_ask(struct fixture *f)
{
	pool_done *done = pool_done_fn;
	void *arg = pool_done_arg;

	ask_as(f, "ann@example.com");
	answer(true);
	pool_done_fn = done;
	pool_done_arg = arg;
}

/* Ask and answer; how often the table was asked. */
static int
login(struct fixture *f, bool by_file)
{
	int asked = n_asked, before = n_told;

	ask(f);
	if (n_asked > asked)
		answer(by_file);
	assert_int_equal(n_told, before + 1);
	assert_int_equal(told, VERDICT_OK);
	return n_asked - asked;
}

/* --- the tests ------------------------------------------------------------ */

static void
test_known_while_unchanged(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, true);
	give_watch(&f);
	assert_int_equal(login(&f, true), 1);
	assert_int_equal(login(&f, true), 0);
	assert_int_equal(n_rewatched, 0);
	change_file(&f);
	assert_int_equal(login(&f, true), 1);
	assert_int_equal(n_rewatched, 1);
	/* no watch, no knowledge; one is wanted once in a while only */
	assert_int_equal(login(&f, true), 1);
	assert_int_equal(n_rewatched, 1);
	/* what was learned under the one before counts no more */
	give_watch(&f);
	assert_int_equal(login(&f, true), 1);
	assert_int_equal(login(&f, true), 0);
	end(&f);
}

static void
test_not_what_something_else_decided(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, true);
	give_watch(&f);
	assert_int_equal(login(&f, false), 1);
	assert_int_equal(login(&f, false), 1);
	end(&f);
}

/* The table may have been read before the change, or before the watch. */
static void
test_changes_while_it_is_asked(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, true);
	give_watch(&f);
	ask(&f);
	change_file(&f);
	answer(true);
	give_watch(&f);
	assert_int_equal(login(&f, true), 1);
	end(&f);

	begin(&f, true);
	ask(&f);
	give_watch(&f);
	let_another_ask(&f);
	answer(true);
	assert_int_equal(login(&f, true), 1);
	assert_int_equal(login(&f, true), 0);
	end(&f);

	/* with another watch in between */
	begin(&f, true);
	give_watch(&f);
	ask(&f);
	change_file(&f);
	give_watch(&f);
	let_another_ask(&f);
	answer(true);
	assert_int_equal(login(&f, true), 1);
	end(&f);
}

static void
test_a_reload_begins_anew(void **state)
{
	const struct asking_options none = { .trusted = SLICE_INIT("") };
	struct fixture f;

	(void)state;
	begin(&f, true);
	give_watch(&f);
	assert_int_equal(login(&f, true), 1);
	asking_configure(f.asking, &none);
	assert_int_equal(login(&f, true), 1);
	assert_int_equal(login(&f, true), 1);
	assert_int_equal(n_rewatched, 0);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_while_unchanged),
		cmocka_unit_test(test_not_what_something_else_decided),
		cmocka_unit_test(test_changes_while_it_is_asked),
		cmocka_unit_test(test_a_reload_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
