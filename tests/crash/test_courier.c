/*
 * The process is killed at each changing call of what it shares with Courier:
 * an export, with changes while it is made, and with Courier's own, and updates
 * of keywords.  The account is opened again, as another process has it already,
 * and exported: no keyword is lost, none comes back.  Then the same with power
 * that goes, for changes that are synced.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <limits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/export.h"
#include "tests/crash/kill.h"
#include "tests/crash/losses.h"

#define KEYWORDS "courierimapkeywords"

static struct world world;

/* What a client was told last, or is about to be; "": nothing is under
 * way.  In shared memory. */
struct told {
	char was[80], will[80];
};
static struct told *told;

/* What it was when so many operations were recorded. */
enum { TELLS_MAX = 32 };
static struct tells {
	unsigned n;
	struct {
		unsigned at;
		struct told told;
	} v[TELLS_MAX];
} * tells;

static void
tell(void)
{
	assert_true(tells->n < TELLS_MAX);
	tells->v[tells->n].at = world.calls->n_ops;
	tells->v[tells->n++].told = *told;
}

static void
begin(const char *listing)
{
	strcpy(told->will, listing);
	tell();
}

static void
done(void)
{
	strcpy(told->was, told->will);
	told->will[0] = '\0';
	tell();
}

static void
change(struct fixture *f, struct mailbox *m, enum flags_how how,
    const char *keyword, const char *listing)
{
	const uint32_t uid = 1;

	begin(listing);
	assert_int_equal(run_flags(f, m, &uid, 1, how, 0, keyword), 0);
	assert_listing(m, listing);
	done();
}

/* Somebody else's file, put into place by a rename, and on the disk. */
static void
put(struct fixture *f, const char *name, const char *text)
{
	calls_pause(true);
	next_tick();
	write_file(fixture_path(f, "theirs"), text);
	sync_path(fixture_path(f, "theirs"));
	assert_int_equal(
	    rename(fixture_path(f, "theirs"), fixture_path(f, name)), 0);
	sync_path(fixture_path(f, KEYWORDS));
	calls_pause(false);
}

static enum step
go_on(struct fixture *f, struct export *x)
{
	return export_step(x, (struct waker){ 0 }, 1, f->wall_ms);
}

/* What is placed has to change the time that its directory had when a file
 * wasn't there. */
static struct export *
begin_export(struct fixture *f)
{
	next_tick();
	return export_new(f->account, false);
}

static void
export_all(struct fixture *f)
{
	struct export *x = begin_export(f);

	while (go_on(f, x) != STEP_DONE)
		;
	assert_int_equal(export_result(x, NULL), 0);
	export_free(&x);
}

/* --- scripts -------------------------------------------------------------- */

static void
no_keyword(struct world *w)
{
	static const char *const dirs[] = { "tmp", "new", "cur", KEYWORDS };
	struct mailbox *m;

	for (size_t i = 0; i < NELEMS(dirs); i++)
		assert_int_equal(mkdir(fixture_path(w->f, dirs[i]), 0700), 0);
	write_file(fixture_path(w->f, "cur/1.M1:2,"), "one\n");
	m = open_again(w->f, "INBOX");
	mailbox_close(&m);
	begin("1");
	done();
	export_all(w->f);
}

static void
one_message(struct world *w)
{
	struct mailbox *m;

	no_keyword(w);
	m = open_again(w->f, "INBOX");
	change(w->f, m, FLAGS_ADD, "kept", "1(kept)");
	mailbox_close(&m);
	export_all(w->f);
}

/* The files hold what changes before they are in their place. */
static void
run_changes(struct world *w)
{
	struct fixture *f = w->f;
	struct mailbox *m = open_again(f, "INBOX");
	struct export *x;

	change(f, m, FLAGS_ADD, "was", "1(kept)(was)");
	x = begin_export(f);
	while (count_files(fixture_path(f, "tmp")) < 2)
		assert_int_not_equal(go_on(f, x), STEP_DONE);
	change(f, m, FLAGS_REMOVE, "was", "1(kept)");
	while (go_on(f, x) != STEP_DONE)
		;
	export_free(&x);
	change(f, m, FLAGS_ADD, "now", "1(kept)(now)");
	mailbox_close(&m);
	export_all(f);
}

static struct fixture *courier;

/* The lock is given up: Courier writes at once. */
static void
courier_writes(enum call c, const char *name)
{
	struct fixture *f = courier;

	if (f == NULL || c != CALL_UNLINK ||
	    strstr(name, "courier.lock") == NULL)
		return;
	courier = NULL;
	/* Courier knew what we had, whatever is known of that afterwards */
	begin("1(courier)");
	put(f, KEYWORDS "/:list", "courier\n\n1.M1:0\n");
}

static void
courier_after(struct fixture *f, const char *listing)
{
	struct mailbox *m = open_again(f, "INBOX");

	change(f, m, FLAGS_ADD, "was", listing);
	courier = f;
	calls_set_watcher(courier_writes);
	export_all(f);
	calls_set_watcher(NULL);
	assert_null(courier);
	later(f);
	refresh(f, m);
	assert_listing(m, "1(courier)");
	done();
	mailbox_close(&m);
	export_all(f);
}

static void
run_courier(struct world *w)
{
	courier_after(w->f, "1(kept)(was)");
}

/* There was no list. */
static void
run_first(struct world *w)
{
	courier_after(w->f, "1(was)");
}

static void
run_update(struct world *w)
{
	struct fixture *f = w->f;
	struct mailbox *m = open_again(f, "INBOX");

	begin("1(theirs)");
	put(f, KEYWORDS "/1.M1", "theirs\n");
	f->wall_ms = clock_wall();
	store_tick(f->store, 1, f->wall_ms);
	refresh(f, m);
	assert_listing(m, "1(theirs)");
	done();
	change(f, m, FLAGS_REMOVE, "theirs", "1");
	change(f, m, FLAGS_ADD, "now", "1(now)");
	mailbox_close(&m);
	export_all(f);
}

static const struct script scripts[] = {
	{ "changes", one_message, run_changes, NULL, false },
	{ "courier", one_message, run_courier, NULL, false },
	{ "first", no_keyword, run_first, NULL, false },
	{ "update", one_message, run_update, NULL, false },
};

/* --- what must hold ------------------------------------------------------- */

static void
forget_tells(void)
{
	memset(told, 0, sizeof(*told));
	tells->n = 0;
}

static const char *
list_of_courier(const char *listing)
{
	static const struct {
		const char *listing, *list;
	} lists[] = {
		{ "1", NULL },
		{ "1(kept)", "kept\n\n1.M1:0\n" },
		{ "1(kept)(was)", "kept\nwas\n\n1.M1:0 1\n" },
		{ "1(kept)(now)", "kept\nnow\n\n1.M1:0 1\n" },
		{ "1(was)", "was\n\n1.M1:0\n" },
		{ "1(courier)", "courier\n\n1.M1:0\n" },
		{ "1(theirs)", "theirs\n\n1.M1:0\n" },
		{ "1(now)", "now\n\n1.M1:0\n" },
	};

	for (size_t i = 0; i < NELEMS(lists); i++)
		if (strcmp(lists[i].listing, listing) == 0)
			return lists[i].list;
	return "";
}

/* Courier's list says the same. */
static void
assert_exported(struct fixture *f, const char *listing, const char *where)
{
	const char *expected = list_of_courier(listing);
	const char *path = fixture_path(f, KEYWORDS "/:list");
	char *text = access(path, F_OK) == 0 ? read_file(path) : NULL;

	if ((text == NULL) != (expected == NULL) ||
	    (text != NULL && strcmp(text, expected) != 0))
		fail_msg("%s: %s, Courier has: %s", where, listing,
		    text != NULL ? text : "none");
	free(text);
	if (access(fixture_path(f, KEYWORDS "/1.M1"), F_OK) == 0)
		fail_msg("%s: the update is left", where);
}

static void
check(struct fixture *f, const char *where)
{
	struct mailbox *m;
	char first[80];

	fixture_open(f);
	m = open_again(f, "INBOX");
	strcpy(first, listing(m));
	if (strcmp(first, told->was) != 0 && strcmp(first, told->will) != 0)
		fail_msg("%s: %s, was told %s, then %s", where, first,
		    told->was, told->will);
	later(f);
	refresh(f, m);
	assert_listing(m, first);
	export_all(f);
	assert_exported(f, first, where);
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_again(f, "INBOX");
	assert_listing(m, first);
	mailbox_close(&m);
	fixture_close(f);
}

static void
check_killed(const struct script *s, bool ended, const char *where)
{
	(void)s;
	(void)ended;
	check(world.f, where);
}

static void
killed_at_each_call(void **state)
{
	const struct kill_test t = { .world = &world,
		.begin = forget_tells,
		.check = check_killed,
		.stride = 1 };

	kill_at_each_call(&t, *state);
}

/* --- power loss ----------------------------------------------------------- */

enum { STRIDE = 11 };

static void
tell_until(unsigned upto)
{
	for (unsigned i = 0; i < tells->n && tells->v[i].at <= upto; i++)
		*told = tells->v[i].told;
}

static void
check_booted(const char *where)
{
	check(world.f, where);
}

/* Of all that isn't synced some is lost; the changes themselves are synced. */
static void
power_goes(void **state)
{
	const struct loss_test t = { .world = &world,
		.stride = STRIDE,
		.begin = forget_tells,
		.tell = tell_until,
		.check = check_booted };
	struct script s = *(const struct script *)*state;

	s.always = true;
	lose_at_each_call(&t, &s);
}

static void *
shared(size_t n)
{
	void *p = mmap(
	    NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

int
main(void)
{
	struct CMUnitTest tests[2 * NELEMS(scripts)];
	int rc;

	fixture_in_memory();
	log_set_level(LOG_LEVEL_ERROR);
	told = shared(sizeof(*told));
	tells = shared(sizeof(*tells));
	world_init(&world);
	losses_init(&world);
	for (size_t i = 0; i < NELEMS(scripts); i++) {
		union {
			const struct script *in;
			void *out;
		} s = { &scripts[i] };

		tests[2 * i] = (struct CMUnitTest){ scripts[i].name,
			killed_at_each_call, NULL, NULL, s.out };
		tests[2 * i + 1] = (struct CMUnitTest){ scripts[i].name,
			power_goes, NULL, NULL, s.out };
	}
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	losses_fini();
	world_fini(&world);
	return rc;
}
