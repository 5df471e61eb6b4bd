/*
 * Keywords of Courier and of Dovecot in one Maildir, and power that goes while
 * changes of flags aren't synced.
 *
 * What is on the disk for sure, here or with another server that put it into a
 * file of its own, isn't lost; what a client has just set may be.  What was
 * removed, here or there, may be there again unless the removal is on the disk.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/export.h"
#include "tests/crash/losses.h"

#define KEYWORDS "courierimapkeywords"

static struct world world;

/* A keyword each. */
#define KEPT	1u
#define NOW	2u
#define COURIER 4u
#define DOVE	8u
#define UPDATE	16u
static const char *const words[] = { "kept", "now", "courier", "dove",
	"update" };

/* Which ones the message has for sure, and which it may have.  In shared
 * memory, as it was when so many operations were recorded. */
enum { TELLS_MAX = 64 };
static struct tells {
	unsigned n;
	struct tell {
		unsigned at, must, may;
	} v[TELLS_MAX];
} * tells;
static struct tell told;

static void
tell(unsigned must, unsigned may)
{
	assert_true(tells->n < TELLS_MAX);
	told = (struct tell){ world.calls->n_ops, must, must | may };
	tells->v[tells->n++] = told;
}

/* --- what is done --------------------------------------------------------- */

static unsigned
keywords_of(struct mailbox *m)
{
	const char *text = listing(m);
	unsigned mask = 0;
	char word[16];

	assert_int_equal(text[0], '1');
	assert_null(strchr(text, ' '));
	for (unsigned i = 0; i < NELEMS(words); i++) {
		(void)snprintf(word, sizeof(word), "(%s)", words[i]);
		if (strstr(text, word) != NULL)
			mask |= 1u << i;
	}
	return mask;
}

static void
assert_has(struct mailbox *m, unsigned expected)
{
	if (keywords_of(m) != expected)
		fail_msg("%s, not %x", listing(m), expected);
}

static const char *
name_of(unsigned keyword)
{
	return words[(unsigned)__builtin_ctz(keyword)];
}

/* Until it is synced it may or may not be there. */
static void
set(struct mailbox *m, unsigned keyword)
{
	const uint32_t uid = 1;

	tell(told.must, told.may | keyword);
	assert_int_equal(
	    run_flags(world.f, m, &uid, 1, FLAGS_ADD, 0, name_of(keyword)), 0);
}

static void
take(struct mailbox *m, unsigned keyword)
{
	const uint32_t uid = 1;

	tell(told.must & ~keyword, told.may);
	assert_int_equal(
	    run_flags(world.f, m, &uid, 1, FLAGS_REMOVE, 0, name_of(keyword)),
	    0);
}

/* What is placed has to change the time that its directory had when a file
 * wasn't there. */
static void
export_all(struct fixture *f)
{
	struct export *x;

	next_tick();
	x = export_new(f->account, false);
	while (export_step(x, (struct waker){ 0 }, 1, f->wall_ms) != STEP_DONE)
		;
	assert_int_equal(export_result(x, NULL), 0);
	export_free(&x);
}

/* All is on the disk after that. */
static void
export_synced(struct mailbox *m)
{
	unsigned now = keywords_of(m);

	export_all(world.f);
	tell(now, now);
}

/* Another server's file, or another name of one, and on the disk. */
static void
put(const char *dir, const char *name, const char *text)
{
	struct fixture *f = world.f;
	char path[64];

	calls_pause(true);
	next_tick();
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	write_file(fixture_path(f, "theirs"), text);
	sync_path(fixture_path(f, "theirs"));
	assert_int_equal(
	    rename(fixture_path(f, "theirs"), fixture_path(f, path)), 0);
	sync_path(fixture_path(f, dir));
	calls_pause(false);
}

/* Dovecot gives a message letters. */
static void
rename_message(const char *from, const char *to)
{
	struct fixture *f = world.f;

	calls_pause(true);
	next_tick();
	assert_int_equal(rename(fixture_path(f, from), fixture_path(f, to)), 0);
	sync_path(fixture_path(f, "cur"));
	calls_pause(false);
}

/* A while later, as who has come since must have, whatever else. */
static void
look(struct mailbox *m, unsigned expected)
{
	later(world.f);
	refresh(world.f, m);
	assert_has(m, expected);
}

static void
make_dirs(struct fixture *f)
{
	static const char *const dirs[] = { "tmp", "new", "cur", KEYWORDS };

	for (size_t i = 0; i < NELEMS(dirs); i++)
		assert_int_equal(mkdir(fixture_path(f, dirs[i]), 0700), 0);
}

/* --- scripts -------------------------------------------------------------- */

/* Both were here before, Courier last. */
static void
both_before(struct world *w)
{
	struct fixture *f = w->f;

	make_dirs(f);
	write_file(fixture_path(f, "cur/1.M1:2,a"), "one\n");
	write_file(
	    fixture_path(f, "dovecot-uidlist"), "3 V77 N2 Gx\n1 :1.M1\n");
	write_file(fixture_path(f, "dovecot-keywords"), "0 dove\n");
	write_file(fixture_path(f, KEYWORDS "/:list"), "courier\n\n1.M1:0\n");
	next_tick();
	write_file(fixture_path(f, "courierimapuiddb"), "1 77 2\n1 1.M1\n");
	tell(COURIER | DOVE, 0);
}

static void
run_both_before(struct world *w)
{
	struct mailbox *m = open_again(w->f, "INBOX");

	assert_has(m, COURIER | DOVE);
	set(m, NOW);
	take(m, DOVE);
	take(m, COURIER);
	assert_has(m, NOW);
	mailbox_close(&m);
	fixture_reopen(w->f);
	m = open_again(w->f, "INBOX");
	assert_has(m, NOW);
	set(m, KEPT);
	export_synced(m);
	take(m, NOW);
	mailbox_close(&m);
}

/* Dovecot comes as soon as Courier's keywords are shown. */
static void
run_dovecot_last(struct world *w)
{
	struct mailbox *m = open_again(w->f, "INBOX");

	assert_has(m, COURIER | DOVE);
	put(".", "dovecot-uidlist", "3 V77 N2 Gx\n1 :1.M1\n");
	look(m, COURIER | DOVE);
	mailbox_close(&m);
}

/* A message with a keyword, as Courier was told. */
static void
one_message(struct world *w)
{
	struct fixture *f = w->f;
	struct mailbox *m;

	make_dirs(f);
	write_file(fixture_path(f, "cur/1.M1:2,"), "one\n");
	m = open_again(f, "INBOX");
	tell(0, 0);
	set(m, KEPT);
	export_synced(m);
	mailbox_close(&m);
}

/* Dovecot comes, then Courier, while a client is here. */
static void
run_one_by_one(struct world *w)
{
	struct mailbox *m = open_again(w->f, "INBOX");

	set(m, NOW);
	tell(told.must, told.may | DOVE);
	put(".", "dovecot-keywords", "0 dove\n1 more\n");
	rename_message("cur/1.M1:2,", "cur/1.M1:2,a");
	tell(told.must | DOVE, told.may);
	look(m, KEPT | NOW | DOVE);
	take(m, KEPT);
	/* that knew of what was exported */
	tell(told.must, told.may | COURIER);
	put(KEYWORDS, ":list", "kept\ncourier\n\n1.M1:0 1\n");
	tell(told.must | COURIER, told.may);
	look(m, KEPT | NOW | DOVE | COURIER);
	export_synced(m);
	take(m, DOVE);
	take(m, COURIER);
	set(m, NOW);
	mailbox_close(&m);
	export_all(w->f);
	tell(KEPT | NOW, 0);
}

/* They come once more, and remove what is theirs. */
static void
run_removals(struct world *w)
{
	struct mailbox *m = open_again(w->f, "INBOX");

	tell(told.must & ~KEPT, told.may | COURIER);
	put(KEYWORDS, ":list", "courier\n\n1.M1:0\n");
	tell(told.must | COURIER, told.may);
	look(m, COURIER);
	tell(told.must, told.may | DOVE);
	put(".", "dovecot-keywords", "0 dove\n");
	rename_message("cur/1.M1:2,", "cur/1.M1:2,a");
	tell(told.must | DOVE, told.may);
	look(m, COURIER | DOVE);
	export_synced(m);
	set(m, KEPT);
	tell(told.must & ~COURIER, told.may);
	put(KEYWORDS, ":list", "dove\n\n1.M1:0\n");
	look(m, COURIER | DOVE | KEPT);
	mailbox_close(&m);
	export_all(w->f);
}

/* An update for a message that has Dovecot's. */
static void
run_update(struct world *w)
{
	struct mailbox *m = open_again(w->f, "INBOX");

	tell(told.must, told.may | DOVE);
	put(".", "dovecot-keywords", "0 dove\n");
	rename_message("cur/1.M1:2,", "cur/1.M1:2,a");
	tell(told.must | DOVE, told.may);
	look(m, KEPT | DOVE);
	tell(told.must & ~(KEPT | DOVE), told.may | UPDATE);
	put(KEYWORDS, "1.M1", "update\n");
	tell(told.must | UPDATE, told.may);
	look(m, UPDATE);
	set(m, NOW);
	take(m, UPDATE);
	assert_has(m, NOW);
	mailbox_close(&m);
	fixture_reopen(w->f);
	m = open_again(w->f, "INBOX");
	assert_has(m, NOW);
	export_synced(m);
	mailbox_close(&m);
}

static const struct script scripts[] = {
	{ "both before", both_before, run_both_before, NULL, false },
	{ "dovecot last", both_before, run_dovecot_last, NULL, false },
	{ "one by one", one_message, run_one_by_one, NULL, false },
	{ "remove", one_message, run_removals, NULL, false },
	{ "update", one_message, run_update, NULL, false },
};

/* --- what must hold ------------------------------------------------------- */

static void
forget(void)
{
	tells->n = 0;
}

static void
tell_until(unsigned upto)
{
	for (unsigned i = 0; i < tells->n && tells->v[i].at <= upto; i++)
		told = tells->v[i];
}

static void
check(const char *where)
{
	struct fixture *f = world.f;
	struct mailbox *m;
	unsigned has;

	fixture_open(f);
	m = open_again(f, "INBOX");
	has = keywords_of(m);
	if ((has & told.must) != told.must || (has & ~told.may) != 0)
		fail_msg("%s: %s, must have %x, may have %x", where, listing(m),
		    told.must, told.may);
	for (int i = 0; i < 2; i++) {
		later(f);
		refresh(f, m);
		assert_has(m, has);
		export_all(f);
	}
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_again(f, "INBOX");
	assert_has(m, has);
	mailbox_close(&m);
	fixture_close(f);
}

static void
power_goes(void **state)
{
	const struct loss_test t = { .world = &world,
		.stride = 7,
		.begin = forget,
		.tell = tell_until,
		.check = check };

	lose_at_each_call(&t, *state);
}

int
main(void)
{
	struct CMUnitTest tests[NELEMS(scripts)];
	int rc;

	fixture_in_memory();
	log_set_level(LOG_LEVEL_ERROR);
	tells = mmap(NULL, sizeof(*tells), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tells == MAP_FAILED)
		return 1;
	world_init(&world);
	losses_init(&world);
	for (size_t i = 0; i < NELEMS(scripts); i++) {
		union {
			const struct script *in;
			void *out;
		} s = { &scripts[i] };

		tests[i] = (struct CMUnitTest){ scripts[i].name, power_goes,
			NULL, NULL, s.out };
	}
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	losses_fini();
	world_fini(&world);
	return rc;
}
