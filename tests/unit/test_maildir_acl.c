/* Access control lists and their files. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/acl_file.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"

#define WHO(...)                                                               \
 ((struct acl_who){ (const struct slice[]){ __VA_ARGS__ },                     \
     sizeof((const struct slice[]){ __VA_ARGS__ }) / sizeof(struct slice) })

static const struct slice owner = SLICE_INIT("owner");

/* --- lists --------------------------------------------------------------- */

static const char *
lines(const struct acl *a)
{
	static struct buf out;

	buf_fini(&out);
	buf_init(&out, 100000);
	acl_put(&out, a);
	return buf_cstr(&out);
}

static void
parses_lists(void **state)
{
	struct acl a;

	(void)state;
	acl_init(&a);
	acl_parse(SLICE("owner aceilrstwx\nadministrators aceilrstwx\n"
			"anyone lr\n-user=other r\nuser=joe wd\n"
			"\n bad\nno-rights\nanyone l\n-group=g lZr"),
	    &a);
	/* the last line of an identifier counts; what is no right is nothing,
	 * but the rest of its line counts */
	assert_string_equal(lines(&a),
	    "owner aceilrstwx\nadministrators aceilrstwx\nanyone l\n"
	    "-user=other r\nuser=joe etwx\n-group=g lr\n");
	assert_true(acl_set(&a, SLICE("anyone"), 0));
	assert_null(acl_find(&a, SLICE("anyone")));
	assert_false(acl_set(&a, SLICE("a b"), ACL_READ));
	assert_false(acl_set(&a, SLICE("-"), ACL_READ));
	acl_fini(&a);
}

static void
computes_rights(void **state)
{
	struct acl a;

	(void)state;
	acl_init(&a);
	acl_parse(SLICE("owner aceilrstwx\nanyone l\n-user=other l\n"
			"user=joe w\ngroup=sales rs\n-group=out s\n"),
	    &a);
	assert_int_equal(
	    acl_effective(&a, WHO(owner, SLICE("user=me"))), ACL_ALL);
	assert_int_equal(
	    acl_effective(&a, WHO(SLICE("user=joe"))), ACL_LOOKUP | ACL_WRITE);
	assert_int_equal(acl_effective(&a, WHO(SLICE("user=other"))), 0);
	assert_int_equal(
	    acl_effective(&a, WHO(SLICE("user=x"), SLICE("group=sales"))),
	    ACL_LOOKUP | ACL_READ | ACL_SEEN);
	assert_int_equal(acl_effective(&a,
			     WHO(SLICE("user=joe"), SLICE("group=sales"),
				 SLICE("group=out"))),
	    ACL_LOOKUP | ACL_READ | ACL_WRITE);
	/* what can't be taken away */
	assert_int_equal(
	    acl_effective(&a, WHO(SLICE("group=administrators"))), ACL_ALL);
	assert_true(acl_set(&a, owner, ACL_READ));
	assert_int_equal(acl_effective(&a, WHO(owner)),
	    ACL_READ | ACL_LOOKUP | ACL_ADMINISTER);
	acl_fini(&a);
}

static void
knows_what_is_sound(void **state)
{
	static const struct {
		const char *text, *loser;
	} cases[] = {
		{ "owner al\nadministrators aceilrstwx\n", NULL },
		{ "owner al\ngroup=administrators aceilrstwx\n", NULL },
		{ "owner l\nadministrators aceilrstwx\n", "owner" },
		{ "owner al\nadministrators aceilrstw\n", "administrators" },
		{ "owner al\nadministrators aceilrstwx\n-anyone w\n",
		    "administrators" },
		{ "owner al\nadministrators aceilrstwx\n-owner a\n", "owner" },
		{ "", "owner" },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct slice loser = SLICE("");
		struct acl a;

		acl_init(&a);
		acl_parse(slice_str(cases[i].text), &a);
		assert_int_equal(
		    acl_is_sound(&a, &loser), cases[i].loser == NULL);
		if (cases[i].loser != NULL)
			assert_true(slice_eq(loser, slice_str(cases[i].loser)));
		acl_fini(&a);
	}
}

/* --- files --------------------------------------------------------------- */

#define DEFAULT "owner aceilrstwx\nadministrators aceilrstwx\n"

static void
assert_acl(struct fixture *f, const char *name, const char *expected)
{
	struct err e = { .code = 0 };
	struct acl a;

	acl_init(&a);
	assert_int_equal(account_acl(f->account, slice_str(name), &a, &e), 0);
	assert_string_equal(lines(&a), expected);
	acl_fini(&a);
}

static int
set_acl(struct fixture *f, const char *name, const char *text)
{
	return set_acl_now(f->account, slice_str(name), slice_str(text));
}

static void
create(struct fixture *f, const char *name)
{
	assert_int_equal(create_now(f->account, slice_str(name)), 0);
}

static bool
exists(struct fixture *f, const char *path)
{
	return access(fixture_path(f, path), F_OK) == 0;
}

static void
finds_lists(void **state)
{
	struct fixture *f = *state;

	create(f, "INBOX.a");
	create(f, "INBOX.a.b.c");
	assert_acl(f, "INBOX", DEFAULT);
	assert_acl(f, "INBOX.a.b.c", DEFAULT);
	write_file(fixture_path(f, "courierimapacl"), "owner al\n");
	assert_acl(f, "INBOX.a.b.c", "owner al\n");
	write_file(fixture_path(f, ".a/courierimapacl"), "owner alr\n");
	assert_acl(f, "INBOX.a.b.c", "owner alr\n");
	assert_acl(f, "INBOX.a.nothing", "owner alr\n");
	assert_int_equal(mkdir(fixture_path(f, "courierimaphieracl"), 0700), 0);
	write_file(fixture_path(f, "courierimaphieracl/a.b"), "owner als\n");
	assert_acl(f, "INBOX.a.b.c", "owner als\n");
	assert_acl(f, "INBOX.a", "owner alr\n");
}

/* A look in some time, when what there is now is old enough to be known. */
static struct acl_print
seen_later(const struct fixture *f, const char *dir)
{
	return acl_print(
	    f->account->root_fd, dir, clock_wall() + 2 * ACL_PRINT_AGE_MS);
}

static void
sees_that_lists_change(void **state)
{
	static const char *const files[] = { "courierimapacl",
		".a/courierimapacl", "courierimaphieracl/\xc3\xa9.b",
		"courierimaphieracl/&AOk-.b", ".\xc3\xa9.b.c/courierimapacl" };
	struct fixture *f = *state;
	const char *dir = ".\xc3\xa9.b.c";
	struct acl_print before, after;
	int fd;

	create(f, "INBOX.a");
	create(f, "INBOX.\xc3\xa9.b.c");
	assert_int_equal(mkdir(fixture_path(f, "courierimaphieracl"), 0700), 0);
	before = seen_later(f, dir);
	assert_true(acl_print_same(&before, &before));
	for (size_t k = 0; k < NELEMS(files); k++) {
		bool ours = k != 1; /* another mailbox's */

		write_file(fixture_path(f, files[k]), "owner al\n");
		after = seen_later(f, dir);
		assert_int_equal(acl_print_same(&before, &after), !ours);
		before = after;
	}
	/* in place */
	fd = open(fixture_path(f, files[4]), O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "anyone r\n", 9), 9);
	assert_int_equal(close(fd), 0);
	after = seen_later(f, dir);
	assert_false(acl_print_same(&before, &after));
	/* what has just changed may do so again and look the same */
	after = acl_print(f->account->root_fd, dir, clock_wall());
	assert_false(acl_print_same(&after, &after));
	for (size_t k = NELEMS(files); k-- != 0;) {
		before = seen_later(f, dir);
		assert_int_equal(unlink(fixture_path(f, files[k])), 0);
		after = seen_later(f, dir);
		assert_int_equal(acl_print_same(&before, &after), k == 1);
	}
}

/* Courier 5 writes these in modified UTF-7, whatever the tree is in. */
static void
finds_lists_in_both_spellings(void **state)
{
	struct fixture *f = *state;

	create(f, "INBOX.\xc3\xa9.x");
	assert_int_equal(mkdir(fixture_path(f, "courierimaphieracl"), 0700), 0);
	write_file(fixture_path(f, "courierimaphieracl/&AOk-"), "owner al\n");
	assert_acl(f, "INBOX.\xc3\xa9.x", "owner al\n");
	assert_int_equal(
	    unlink(fixture_path(f, "courierimaphieracl/&AOk-")), 0);
	write_file(
	    fixture_path(f, "courierimaphieracl/\xc3\xa9"), "owner alr\n");
	assert_acl(f, "INBOX.\xc3\xa9.x", "owner alr\n");
}

static void
lets_nobody_in_if_unreadable(void **state)
{
	struct fixture *f = *state;
	struct acl a;

	create(f, "INBOX.a");
	/* neither a file, nor a reason to take the parent's */
	assert_int_equal(mkdir(fixture_path(f, ".a/courierimapacl"), 0700), 0);
	acl_init(&a);
	assert_true(account_acl(f->account, SLICE("INBOX.a"), &a, NULL) < 0);
	assert_int_equal(a.n, 0);
	acl_fini(&a);
}

static void
writes_lists(void **state)
{
	struct fixture *f = *state;
	char *text;

	create(f, "INBOX.a");
	create(f, "INBOX.p.c");
	assert_int_equal(
	    set_acl(f, "INBOX.a", DEFAULT "user=joe lr\n-anyone x\n"), 0);
	text = read_file(fixture_path(f, ".a/courierimapacl"));
	assert_string_equal(text, DEFAULT "user=joe lr\n-anyone x\n");
	free(text);
	assert_int_equal(set_acl(f, "INBOX.p", DEFAULT "anyone l\n"), 0);
	assert_true(exists(f, "courierimaphieracl/p"));
	assert_acl(f, "INBOX.p", DEFAULT "anyone l\n");
	/* what is below keeps what it had */
	assert_acl(f, "INBOX.p.c", DEFAULT);
	assert_int_equal(set_acl(f, "INBOX.none", DEFAULT), ERR_NOT_FOUND);
}

/* To share INBOX isn't to share everything. */
static void
keeps_lists_of_children(void **state)
{
	struct fixture *f = *state;

	create(f, "INBOX.private");
	assert_false(exists(f, ".private/courierimapacl"));
	assert_int_equal(set_acl(f, "INBOX", DEFAULT "anyone lr\n"), 0);
	assert_acl(f, "INBOX.private", DEFAULT);
	/* what is made later is shared as its parent is */
	create(f, "INBOX.new");
	assert_true(exists(f, ".new/courierimapacl"));
	assert_acl(f, "INBOX.new", DEFAULT "anyone lr\n");
	assert_int_equal(set_acl(f, "INBOX", DEFAULT), 0);
	assert_acl(f, "INBOX.new", DEFAULT "anyone lr\n");
}

static void
carries_lists_along(void **state)
{
	struct fixture *f = *state;

	create(f, "INBOX.a");
	create(f, "INBOX.a.b");
	create(f, "INBOX.q.r");
	assert_int_equal(set_acl(f, "INBOX", DEFAULT "anyone l\n"), 0);
	assert_int_equal(set_acl(f, "INBOX.a", DEFAULT "user=a r\n"), 0);
	assert_int_equal(set_acl(f, "INBOX.q", DEFAULT "user=q r\n"), 0);
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX.a"), SLICE("INBOX.z")), 0);
	assert_acl(f, "INBOX.z", DEFAULT "user=a r\n");
	assert_acl(f, "INBOX.z.b", DEFAULT);
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX.q"), SLICE("INBOX.y")), 0);
	assert_acl(f, "INBOX.y", DEFAULT "user=q r\n");
	assert_false(exists(f, "courierimaphieracl/q"));
	/* RFC 4314 4: DELETE deletes the list */
	assert_int_equal(delete_now(f->account, SLICE("INBOX.z")), 0);
	assert_acl(f, "INBOX.z", DEFAULT "anyone l\n");
	assert_acl(f, "INBOX.z.b", DEFAULT);
}

/* Rights that a file inherits don't change because it moves. */
static void
settles_what_is_renamed(void **state)
{
	struct fixture *f = *state;

	create(f, "INBOX.a");
	write_file(fixture_path(f, "courierimapacl"), "owner al\n");
	create(f, "INBOX.p");
	write_file(fixture_path(f, ".p/courierimapacl"), "owner alr\n");
	assert_int_equal(
	    rename_now(f->account, SLICE("INBOX.a"), SLICE("INBOX.p.a")), 0);
	assert_acl(f, "INBOX.p.a", "owner al\n");
}

/* A name that is only a parent has its list found again, however it is spelt.
 */
static void
spells_parents_one_way(void **state)
{
	static const char *const trees[] = { "a&b", "\xc3\xa9", "\xc3\xa9&" };
	struct fixture *f = *state;

	for (int utf7 = 0; utf7 < 2; utf7++) {
		if (utf7 != 0)
			assert_int_equal(
			    mkdir(fixture_path(f, ".&AOk-z"), 0700), 0);
		for (size_t i = 0; i < NELEMS(trees); i++) {
			char parent[64], child[80], other[64];

			(void)snprintf(parent, sizeof(parent), "INBOX.%d%s",
			    utf7, trees[i]);
			(void)snprintf(
			    child, sizeof(child), "%s.child", parent);
			(void)snprintf(
			    other, sizeof(other), "INBOX.%d%zu", utf7, i);
			create(f, child);
			assert_int_equal(
			    set_acl(f, parent, DEFAULT "anyone l\n"), 0);
			assert_acl(f, parent, DEFAULT "anyone l\n");
			assert_int_equal(
			    set_acl(f, parent, DEFAULT "anyone r\n"), 0);
			assert_acl(f, parent, DEFAULT "anyone r\n");
			assert_int_equal(
			    rename_now(f->account, slice_str(parent),
				slice_str(other)),
			    0);
			assert_acl(f, other, DEFAULT "anyone r\n");
			assert_acl(f, parent, DEFAULT);
			create(f, other);
			assert_acl(f, other, DEFAULT "anyone r\n");
		}
	}
	assert_int_equal(count_files(fixture_path(f, "courierimaphieracl")), 0);
}

/* Nobody gets in because a mailbox moves below one that others see. */
static void
keeps_the_default_when_renamed(void **state)
{
	struct fixture *f = *state;

	create(f, "INBOX.mine");
	create(f, "INBOX.ours");
	write_file(fixture_path(f, ".ours/courierimapacl"),
	    "owner aceilrstwx\nanyone lr\n");
	assert_int_equal(rename_now(f->account, SLICE("INBOX.mine"),
			     SLICE("INBOX.ours.mine")),
	    0);
	assert_acl(f, "INBOX.ours.mine", DEFAULT);
}

static void
tidies(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int64_t later;

	create(f, "INBOX.a.b");
	assert_int_equal(mkdir(fixture_path(f, "courierimaphieracl"), 0700), 0);
	write_file(fixture_path(f, "courierimaphieracl/a"), "owner al\n");
	write_file(fixture_path(f, "courierimaphieracl/gone"), "owner al\n");
	assert_int_equal(
	    stat(fixture_path(f, "courierimaphieracl/gone"), &st), 0);
	later = st.st_ctim.tv_sec;
	assert_int_equal(acl_tidy(f->account->root_fd, later, NULL), 0);
	assert_true(exists(f, "courierimaphieracl/gone"));
	assert_int_equal(acl_tidy(f->account->root_fd, later + 3600, NULL), 0);
	assert_false(exists(f, "courierimaphieracl/gone"));
	assert_true(exists(f, "courierimaphieracl/a"));
}

#define WITH(test)                                                             \
 cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_lists),
		cmocka_unit_test(computes_rights),
		cmocka_unit_test(knows_what_is_sound),
		WITH(finds_lists),
		WITH(sees_that_lists_change),
		WITH(finds_lists_in_both_spellings),
		WITH(lets_nobody_in_if_unreadable),
		WITH(writes_lists),
		WITH(keeps_lists_of_children),
		WITH(carries_lists_along),
		WITH(settles_what_is_renamed),
		WITH(spells_parents_one_way),
		WITH(keeps_the_default_when_renamed),
		WITH(tidies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
