/* Folders of other Maildirs by link: the files of links, the rights that modes
 * give, and subscriptions as Courier has them. */
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/acl.h"
#include "maildir/internal.h"
#include "maildir/shared_link.h"
#include "tests/support/kept_log.h"
#include "tests/support/maildir_fixture.h"

/* Alice (the fixture's), and Bob with .News, .Drop and .Own. */
struct world {
	struct fixture *f;
	char *bob, *global;
	struct shared_options o;
	struct buf path, box;
};

/* Of Bob's. */
static void
make_bobs(const struct world *w, const char *name, mode_t mode, mode_t below)
{
	char *path = mem_printf("%s%s", w->bob, name);

	make_maildir(path, mode, below);
	free(path);
}

static void
own_links(struct world *w, const char *text)
{
	char *path = mem_printf("%s/shared-maildirs", w->f->path);

	write_file(path, text);
	free(path);
}

static void
world_make(struct world *w, struct fixture *f)
{
	char *text;

	assert_int_equal(account_open(f->account, NULL), 0);
	w->f = f;
	w->bob = mem_printf("%s/bob", f->root);
	w->global = mem_printf("%s/maildirshared", f->root);
	w->o = (struct shared_options){ .links = w->global };
	make_bobs(w, "", 0755, 0700);
	make_bobs(w, "/.News", 0755, 0755);
	make_bobs(w, "/.Drop", 01755, 01777);
	make_bobs(w, "/.Own", 0700, 0700);
	text = mem_printf("bob\t%s\n", w->bob);
	own_links(w, text);
	free(text);
	buf_init(&w->path, 4096);
	buf_init(&w->box, 4096);
	kept_log_begin();
}

static void
world_end(struct world *w)
{
	log_set_sink(NULL, NULL);
	buf_fini(&w->path);
	buf_fini(&w->box);
	free(w->bob);
	free(w->global);
}

static int
look_up(struct world *w, const char *name)
{
	buf_reset(&w->path);
	buf_reset(&w->box);
	return shared_link_find(
	    w->f->account, &w->o, slice_str(name), &w->path, &w->box, NULL);
}

static const char *
names(struct mailbox_list *list)
{
	static char text[1000];

	text[0] = '\0';
	for (size_t i = 0; i < list->n; i++) {
		size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n, "%.*s%s\n",
		    SLICE_ARG(list->v[i].name),
		    list->v[i].attrs & MAILBOX_NOSELECT ? " -" : "");
	}
	mailbox_list_fini(list);
	return text;
}

static const char *
listed(struct world *w)
{
	static const struct slice joe[] = { SLICE_INIT("user=joe") };
	struct shared_listing *l = shared_listing_new(
	    w->f->account, &w->o, (struct acl_who){ joe, 1 }, SLICE("shared."));
	struct mailbox_list list;
	int rc;

	while ((rc = shared_listing_step(l, NULL)) == 1)
		continue;
	assert_int_equal(rc, 0);
	shared_listing_take(l, &list);
	shared_listing_free(&l);
	return names(&list);
}

static const char *
subscribed(struct world *w)
{
	struct mailbox_list list;

	assert_int_equal(account_subscriptions(w->f->account, &list, NULL), 0);
	return names(&list);
}

static int
subscribe(struct world *w, const char *name, bool on)
{
	return subscribe_link_now(w->f->account, &w->o, slice_str(name), on);
}

/* --- files of links ------------------------------------------------------- */

static void
parses_links(void **state)
{
	static const struct {
		const char *line, *target; /* NULL: it makes no sense */
	} cases[] = {
		{ "x\t/m", "/m" },
		{ "x\t//m/./n/", "/m/n" },
		{ "x\t/m\r", "/m" },
		{ "x\tm", NULL },
		{ "x\t", NULL },
		{ "x", NULL },
		{ "x\t/", NULL },
		{ "x\t/m/../n", NULL },
		{ "x\t/..", NULL },
		{ "a.b\t/m", NULL },
		{ "a/b\t/m", NULL },
		{ "..\t/m", NULL },
		{ "\t/m", NULL },
		{ "\xff\t/m", NULL },
	};
	struct shared_index x;
	struct buf many;

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		shared_links_parse(slice_str(cases[i].line), &x);
		assert_int_equal(x.n, cases[i].target != NULL);
		assert_int_equal(x.n_bad, cases[i].target == NULL);
		if (x.n != 0)
			assert_string_equal(x.v[0].target, cases[i].target);
		shared_index_fini(&x);
	}
	shared_links_parse(SLICE("a\t/1\n# c\n\na\t/2\nbad\n"), &x);
	assert_int_equal(x.n, 1);
	assert_int_equal(x.n_double, 1);
	assert_int_equal(x.first_bad, 5);
	shared_index_fini(&x);
	/* bounded */
	buf_init(&many, 1 << 20);
	for (unsigned i = 0; i < 2 * SHARED_LINKS_MAX; i++)
		buf_putf(&many, "n%u\t/m\n", i);
	shared_links_parse(buf_slice(&many), &x);
	assert_int_equal(x.n, SHARED_LINKS_MAX);
	shared_index_fini(&x);
	buf_fini(&many);
}

static void
finds_folders(void **state)
{
	static const char *const nowhere[] = { "shared.bob", "shared.",
		"shared", "shared.x.News", "INBOX", "#shared.bob.News",
		"shared.bob.", "shared.bob..News", "shared.me.News" };
	struct world w;
	char *text;

	world_make(&w, *state);
	assert_true(shared_links_exist(w.f->account, &w.o));
	assert_int_equal(look_up(&w, "shared.bob.News.y"), 0);
	assert_string_equal(buf_cstr(&w.path), w.bob);
	assert_string_equal(buf_cstr(&w.box), "INBOX.News.y");
	/* one's own Maildir isn't another */
	text = mem_printf("me\t%s\nbob\t/nowhere\n", w.f->path);
	write_file(w.global, text);
	for (size_t i = 0; i < NELEMS(nowhere); i++)
		assert_int_equal(look_up(&w, nowhere[i]), ERR_NOT_FOUND);
	/* one's own line is before that for all */
	assert_int_equal(look_up(&w, "shared.bob.News"), 0);
	own_links(&w, "");
	assert_int_equal(look_up(&w, "shared.bob.News"), ERR_NOT_FOUND);
	/* switched off */
	w.o.links = NULL;
	assert_false(shared_links_exist(w.f->account, &w.o));
	assert_int_equal(look_up(&w, "shared.me.News"), ERR_NOT_FOUND);
	free(text);
	world_end(&w);
}

static void
refuses_hostile_links(void **state)
{
	struct fixture *f = *state;
	struct world w;
	char *text, *own, *link, *loop, *mark;

	world_make(&w, f);
	link = mem_printf("%s/link", f->root);
	loop = mem_printf("%s/loop", f->root);
	assert_int_equal(symlink(w.bob, link), 0);
	assert_int_equal(symlink(loop, loop), 0);
	text = mem_printf("a\t%s\nb\t%s\nc\t%s/.News/../../bob\nd\tbob\n"
			  "e\t%s\nf\t%s/.News\n",
	    link, loop, w.bob, w.global, w.bob);
	write_file(w.global, "");
	mark = mem_printf("%s/.News/maildirfolder", w.bob);
	write_file(mark, "");
	own_links(&w, text);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(look_up(&w, "shared.a.News"), ERR_NOT_FOUND);
		assert_int_equal(look_up(&w, "shared.b.News"), ERR_NOT_FOUND);
		assert_int_equal(look_up(&w, "shared.c.News"), ERR_NOT_FOUND);
		assert_int_equal(look_up(&w, "shared.d.News"), ERR_NOT_FOUND);
		assert_int_equal(look_up(&w, "shared.e.News"), ERR_NOT_FOUND);
		assert_int_equal(look_up(&w, "shared.f.x"), ERR_NOT_FOUND);
		assert_string_equal(listed(&w), "");
	}
	/* said once, as long as the file stays as it is */
	assert_int_equal(times_logged("4 paths lead through symbolic"), 1);
	assert_int_equal(times_logged("2 lines make no sense"), 1);
	assert_int_equal(times_logged("\n"), 2);
	/* a file that is a link itself */
	own = mem_printf("%s/shared-maildirs", f->path);
	free(text);
	text = mem_printf("bob\t%s\n", w.bob);
	write_file(w.global, text);
	assert_int_equal(unlink(own), 0);
	assert_int_equal(symlink(w.global, own), 0);
	w.o.links = "";
	assert_false(shared_links_exist(f->account, &w.o));
	assert_int_equal(look_up(&w, "shared.bob.News"), ERR_NOT_FOUND);
	free(mark);
	free(own);
	free(text);
	free(loop);
	free(link);
	world_end(&w);
}

static void
refuses_other_users(void **state)
{
	struct world w;

	if (geteuid() != 0)
		skip();
	world_make(&w, *state);
	assert_int_equal(chown(w.bob, 4242, 4242), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(look_up(&w, "shared.bob.News"), ERR_NOT_FOUND);
		assert_string_equal(listed(&w), "");
	}
	assert_int_equal(subscribe(&w, "shared.bob.News", true), ERR_NOT_FOUND);
	assert_int_equal(times_logged("have another uid"), 1);
	assert_int_equal(times_logged("\n"), 1);
	world_end(&w);
}

/* --- rights --------------------------------------------------------------- */

static unsigned
rights(struct world *w, const char *dir)
{
	int fd = open(w->bob, O_RDONLY | O_DIRECTORY);
	unsigned r;

	assert_true(fd >= 0);
	r = shared_link_rights(fd, dir);
	(void)close(fd);
	return r;
}

static void
takes_rights_from_modes(void **state)
{
	struct world w;

	world_make(&w, *state);
	assert_int_equal(rights(&w, ".News"), ACL_LOOKUP | ACL_READ);
	assert_int_equal(rights(&w, ".Drop"),
	    ACL_LOOKUP | ACL_READ | ACL_SEEN | ACL_WRITE | ACL_INSERT);
	assert_int_equal(rights(&w, ".Own"), 0);
	assert_int_equal(rights(&w, ".None"), 0);
	assert_int_equal(rights(&w, ""), 0);
	assert_string_equal(
	    listed(&w), "shared.bob -\nshared.bob.Drop\nshared.bob.News\n");
	/* maildirmake -S wasn't asked for */
	assert_int_equal(chmod(w.bob, 0700), 0);
	assert_int_equal(rights(&w, ".News"), 0);
	assert_string_equal(listed(&w), "");
	world_end(&w);
}

/* --- subscriptions -------------------------------------------------------- */

static void
keeps_subscriptions_as_courier(void **state)
{
	struct fixture *f = *state;
	struct world w;
	struct stat st;
	char *dir, *link, *target;
	char to[1000] = "";

	world_make(&w, f);
	dir = mem_printf("%s/shared-folders/bob/News", f->path);
	link = mem_printf("%s/shared", dir);
	target = mem_printf("%s/.News", w.bob);
	assert_int_equal(subscribe(&w, "shared.bob.News", true), 0);
	assert_int_equal(subscribe(&w, "shared.bob.News", true), 0);
	assert_int_equal(count_files(dir), 4);
	assert_true(readlink(link, to, sizeof(to) - 1) > 0);
	assert_string_equal(to, target);
	assert_string_equal(subscribed(&w), "shared.bob.News\n");
	/* what is gone can be unsubscribed from all the same */
	own_links(&w, "");
	assert_int_equal(subscribe(&w, "shared.bob.News", false), 0);
	assert_int_equal(lstat(dir, &st), -1);
	assert_int_equal(
	    subscribe(&w, "shared.bob.News", false), ERR_NOT_FOUND);
	assert_string_equal(subscribed(&w), "");
	/* the folder itself has lost nothing */
	assert_int_equal(lstat(target, &st), 0);
	/* one that Courier made */
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_string_equal(subscribed(&w), "shared.bob.News\n");
	free(target);
	free(link);
	free(dir);
	world_end(&w);
}

static void
follows_no_links_in_subscriptions(void **state)
{
	struct fixture *f = *state;
	struct world w;
	struct stat st;
	char *folders, *nick, *victim, *inside;

	world_make(&w, f);
	victim = mem_printf("%s/victim", f->root);
	inside = mem_printf("%s/News", victim);
	folders = mem_printf("%s/shared-folders", f->path);
	nick = mem_printf("%s/bob", folders);
	assert_int_equal(mkdir(victim, 0700), 0);
	assert_int_equal(mkdir(folders, 0700), 0);
	assert_int_equal(symlink(victim, nick), 0);
	assert_int_equal(subscribe(&w, "shared.bob.News", true), ERR_DENIED);
	assert_int_equal(mkdir(inside, 0700), 0);
	assert_string_equal(subscribed(&w), "");
	assert_int_equal(
	    subscribe(&w, "shared.bob.News", false), ERR_NOT_FOUND);
	assert_int_equal(lstat(inside, &st), 0);
	/* nor for shared-folders itself */
	assert_int_equal(unlink(nick), 0);
	assert_int_equal(rmdir(folders), 0);
	assert_int_equal(symlink(f->root, folders), 0);
	assert_int_equal(
	    subscribe(&w, "shared.victim.News", false), ERR_NOT_FOUND);
	assert_int_equal(subscribe(&w, "shared.bob.News", true), ERR_DENIED);
	assert_string_equal(subscribed(&w), "");
	assert_int_equal(lstat(inside, &st), 0);
	free(nick);
	free(folders);
	free(inside);
	free(victim);
	world_end(&w);
}

#define WITH(test)                                                             \
 cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_links),
		WITH(finds_folders),
		WITH(refuses_hostile_links),
		WITH(refuses_other_users),
		WITH(takes_rights_from_modes),
		WITH(keeps_subscriptions_as_courier),
		WITH(follows_no_links_in_subscriptions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
