/* The index of shared mailboxes. */
#include <sys/stat.h>

#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "maildir/shared_index.h"
#include "tests/support/kept_log.h"
#include "tests/support/maildir_fixture.h"

#define DEFAULT "owner aceilrstwx\nadministrators aceilrstwx\n"

static void
parses_indexes(void **state)
{
	static const struct {
		const char *line, *name, *target; /* NULL: left out */
		bool group;
	} cases[] = {
		{ "joe\t7\t8\t/home/joe", "joe", "/home/joe/Maildir", false },
		{ "a.b/c\t7\t8\t/h\t./Maildir/", "a b c", "/h/Maildir", false },
		{ "x\t7\t8\t/h\t/abs//dir\topts", "x", "/abs/dir", false },
		{ "g\t*\tsub/file", "g", "/etc/shared/sub/file", true },
		{ "g\t*\t../file", NULL, NULL, true },
		{ "g\t*\t./", NULL, NULL, true },
		{ "g\t*\t/etc/passwd", NULL, NULL, true },
		{ "x\t7\t8\t/h\t../other", NULL, NULL, false },
		{ "x\t7\t8\t/h/../r", NULL, NULL, false },
		{ "x\t7\t8\thome", NULL, NULL, false },
		{ "x\t8\t8\t/h", NULL, NULL, false },
		{ "x\t7", NULL, NULL, false },
		{ "\t7\t8\t/h", NULL, NULL, false },
		{ "\xff\t7\t8\t/h", NULL, NULL, false },
		{ "# x\t7\t8\t/h", NULL, NULL, false },
	};
	struct shared_index x;

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		shared_index_parse(
		    slice_str(cases[i].line), "/etc/shared", 7, false, &x);
		assert_int_equal(x.n, cases[i].name != NULL);
		if (cases[i].name != NULL) {
			assert_true(
			    slice_eq(x.v[0].name, slice_str(cases[i].name)));
			assert_string_equal(x.v[0].target, cases[i].target);
			assert_int_equal(x.v[0].group, cases[i].group);
		}
		shared_index_fini(&x);
	}
	shared_index_parse(SLICE("a.b/c\\\t7\t8\t/h\nq\t9\t9\t/h\nbad\n"
				 "z\t7\t7\t/1\nz\t7\t7\t/2\r\n"),
	    "/", 7, true, &x);
	assert_int_equal(x.n, 2);
	assert_non_null(shared_index_find(&x, SLICE("a\\:b\\;c\\\\")));
	assert_int_equal(x.n_foreign, 1);
	assert_int_equal(x.n_bad, 1);
	assert_int_equal(x.first_bad, 3);
	assert_int_equal(x.n_double, 1);
	shared_index_fini(&x);
}

/* Alice (the fixture's), Bob with .Sent, and an index below shared/. */
struct world {
	struct fixture *f;
	char *bob, *index, *team;
};

static char *
sub_path(struct fixture *f, const char *name)
{
	return mem_printf("%s/%s", f->root, name);
}

static void
write_at(const char *base, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", base, name);

	write_file(path, text);
	free(path);
}

static void
world_make(struct world *w, struct fixture *f)
{
	char *shared = sub_path(f, "shared"), *home = sub_path(f, "bob");
	char *sent, *text;

	assert_int_equal(account_open(f->account, NULL), 0);
	w->f = f;
	w->bob = sub_path(f, "bob/Maildir");
	w->index = sub_path(f, "shared/index");
	w->team = sub_path(f, "shared/team");
	assert_int_equal(mkdir(shared, 0700), 0);
	assert_int_equal(mkdir(home, 0700), 0);
	make_maildir(w->bob, 0700, 0700);
	sent = mem_printf("%s/.Sent", w->bob);
	make_maildir(sent, 0700, 0700);
	write_at(w->bob, ".Sent/courierimapacl", DEFAULT "anyone lr\n");
	text = mem_printf(
	    "team\t*\tteam\nme\t%u\t0\t/\t%s\n", geteuid(), f->account->path);
	write_file(w->index, text);
	free(text);
	text = mem_printf(
	    "bob@x.org\t%u\t0\t%s\nloop\t*\tindex\n", geteuid(), home);
	write_file(w->team, text);
	free(text);
	free(sent);
	free(home);
	free(shared);
	kept_log_begin();
}

static void
world_end(struct world *w)
{
	log_set_sink(NULL, NULL);
	free(w->bob);
	free(w->index);
	free(w->team);
}

static int
look_up(struct world *w, const char *name, struct buf *path, struct buf *box)
{
	struct shared_options o = { .index = w->index };

	buf_reset(path);
	buf_reset(box);
	return shared_find(w->f->account, &o, slice_str(name), path, box, NULL);
}

static void
finds_shared_mailboxes(void **state)
{
	static const char *const nowhere[] = { "#shared.team", "#shared.x",
		"#shared.me", "#shared.me.Sent", "#shared.team.bob",
		"#shared.team.loop", "#shared.", "#shared", "INBOX" };
	struct world w;
	struct buf path, box;

	world_make(&w, *state);
	buf_init(&path, 4096);
	buf_init(&box, 4096);
	assert_int_equal(look_up(&w, "#shared.team.bob@x org", &path, &box), 0);
	assert_string_equal(buf_cstr(&path), w.bob);
	assert_string_equal(buf_cstr(&box), "INBOX");
	assert_int_equal(
	    look_up(&w, "#shared.team.bob@x org.Sent.y", &path, &box), 0);
	assert_string_equal(buf_cstr(&box), "INBOX.Sent.y");
	/* round in a circle, as far as the name goes */
	assert_int_equal(
	    look_up(&w, "#shared.team.loop.team.bob@x org", &path, &box), 0);
	for (size_t i = 0; i < NELEMS(nowhere); i++)
		assert_int_equal(
		    look_up(&w, nowhere[i], &path, &box), ERR_NOT_FOUND);
	/* another version of the file is another index */
	write_file(w.index, "team\t*\tgone\n");
	assert_int_equal(
	    look_up(&w, "#shared.team.bob@x org", &path, &box), ERR_NOT_FOUND);
	buf_fini(&box);
	buf_fini(&path);
	world_end(&w);
}

/* However many mailboxes an account has, or however long its lists are, a step
 * looks at a few of them. */
static void
lists_in_pieces(void **state)
{
	enum { BOXES = 200, ENTRIES = 300 };
	static const struct slice joe[] = { SLICE_INIT("user=joe") };
	struct world w;
	struct mailbox_list list;
	struct buf text;

	world_make(&w, *state);
	buf_init(&text, 1 << 20);
	buf_puts(&text, DEFAULT "anyone lr\n");
	for (int k = 0; k < ENTRIES; k++)
		buf_putf(&text, "user=%d lr\n", k);
	for (int k = 0; k < BOXES; k++) {
		char *path = mem_printf("%s/.Sent.%d", w.bob, k);

		make_maildir(path, 0700, 0700);
		free(path);
	}
	for (int with_lists = 0; with_lists < 2; with_lists++) {
		struct shared_options o = { .index = w.index };
		struct shared_listing *l;
		unsigned n = 0;
		int rc;

		if (with_lists)
			write_at(
			    w.bob, ".Sent/courierimapacl", buf_cstr(&text));
		l = shared_listing_new(w.f->account, &o,
		    (struct acl_who){ joe, 1 }, SLICE("#shared."));
		while ((rc = shared_listing_step(l, NULL)) == 1)
			n++;
		assert_int_equal(rc, 0);
		assert_in_range(n, with_lists ? BOXES : BOXES / 20, BOXES + 20);
		shared_listing_take(l, &list);
		/* and "#shared.team", "#shared.team.bob", Sent */
		assert_int_equal(list.n, BOXES + 3);
		mailbox_list_fini(&list);
		shared_listing_free(&l);
	}
	buf_fini(&text);
	world_end(&w);
}

static const char *
shared_names(struct world *w, const char *prefix)
{
	static char text[1000];
	static const struct slice joe[] = { SLICE_INIT("user=joe") };
	struct shared_options o = { .index = w->index };
	struct shared_listing *l = shared_listing_new(
	    w->f->account, &o, (struct acl_who){ joe, 1 }, slice_str(prefix));
	struct mailbox_list list;
	int rc;

	while ((rc = shared_listing_step(l, NULL)) == 1)
		continue;
	assert_int_equal(rc, 0);
	shared_listing_take(l, &list);
	text[0] = '\0';
	for (size_t i = 0; i < list.n; i++) {
		size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n, "%.*s%s\n",
		    SLICE_ARG(list.v[i].name),
		    list.v[i].attrs & MAILBOX_NOSELECT ? " -" : "");
	}
	mailbox_list_fini(&list);
	shared_listing_free(&l);
	return text;
}

static void
lists_shared_mailboxes(void **state)
{
	struct world w;

	world_make(&w, *state);
	assert_string_equal(shared_names(&w, "#shared."),
	    "#shared.team -\n#shared.team.bob@x org -\n"
	    "#shared.team.bob@x org.Sent\n");
	assert_string_equal(shared_names(&w, "#shared.other"), "");
	/* a circle is told of once */
	(void)shared_names(&w, "#shared.");
	assert_int_equal(times_logged("group file"), 1);
	write_at(w.bob, "courierimapacl", DEFAULT "user=joe l\n");
	assert_string_equal(shared_names(&w, "#shared.team"),
	    "#shared.team -\n#shared.team.bob@x org\n"
	    "#shared.team.bob@x org.Sent\n");
	world_end(&w);
}

static void
says_what_it_leaves_out(void **state)
{
	struct world w;

	world_make(&w, *state);
	write_file(w.index,
	    "a\t99999\t1\t/x\nb\t*\t../../etc/passwd\nteam\t*\tteam\n");
	(void)shared_names(&w, "#shared.");
	assert_int_equal(times_logged("1 accounts have another uid"), 1);
	assert_int_equal(times_logged("the first is line 2"), 1);
	world_end(&w);
}

static void
visits_only_our_own(void **state)
{
	struct fixture *f = *state;
	struct account *a = NULL;
	struct err e = { .code = 0 };
	struct world w;

	world_make(&w, f);
	assert_int_equal(account_visit(f->account, w.bob, &a, &e), 0);
	account_release(&a);
	/* a visit makes no Maildir */
	assert_int_equal(
	    account_visit(f->account, w.index, &a, &e), err_of_errno(ENOTDIR));
	assert_int_equal(
	    account_visit(f->account, f->root, &a, &e), ERR_NOT_FOUND);
	if (geteuid() == 0) {
		assert_int_equal(chown(w.bob, 4242, 4242), 0);
		assert_int_equal(
		    account_visit(f->account, w.bob, &a, &e), ERR_DENIED);
		assert_string_equal(shared_names(&w, "#shared."), "");
	}
	world_end(&w);
}

#define WITH(test)                                                             \
 cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_indexes),
		WITH(finds_shared_mailboxes),
		WITH(lists_shared_mailboxes),
		WITH(lists_in_pieces),
		WITH(says_what_it_leaves_out),
		WITH(visits_only_our_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
