/*
 * What may lie about in a Maildir: each is served or passed over, with a line
 * in the log at most, and nothing outside of the Maildir is ever read.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/crash/client.h"

#define SECRET "outside of the Maildir"

static unsigned n_lines;
static char *outside; /* a file with the secret */

static void
count_line(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	(void)ident;
	if (level > LOG_LEVEL_WARN)
		return;
	n_lines++;
	/* one line, whatever the name has in it */
	for (; *line != '\0'; line++)
		assert_true((unsigned char)*line >= ' ' && *line != 0x7f);
}

static int
setup(void **state)
{
	struct fixture *f;

	if (fixture_setup(state) != 0)
		return -1;
	f = *state;
	outside = mem_printf("%s/secret", f->root);
	write_file(outside, SECRET "\n");
	assert_int_equal(account_open(f->account, NULL), 0);
	n_lines = 0;
	return 0;
}

static int
teardown(void **state)
{
	free(outside);
	return fixture_teardown(state);
}

static bool
said(struct client *c, const char *text)
{
	return strstr(buf_cstr(&c->said), text) != NULL;
}

/* Go through all that a client may ask of the messages. */
static void
ask_all(struct client *c)
{
	static const char *const commands[] = {
		"FETCH 1:* (UID FLAGS INTERNALDATE)",
		"FETCH 1:* (RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
		"FETCH 1:* BODY.PEEK[]", "SEARCH TEXT \"moat\"",
		"STORE 1:* +FLAGS (\\Seen)", "COPY 1:* INBOX.t",
		"STATUS INBOX (MESSAGES UNSEEN)", "NOOP"
	};

	for (size_t i = 0; i < NELEMS(commands); i++) {
		int rc = client_say(c, commands[i]);

		/* a NO has its code; the session lives */
		assert_int_not_equal(rc, ERR_FORMAT);
		assert_non_null(c->s);
		assert_false(said(c, SECRET));
		if (strstr(commands[i], "BODY.PEEK") != NULL)
			assert_true(said(c, "as it should be"));
	}
}

static void
put_whole(struct fixture *f, const char *name)
{
	put_cur(f, name, "Subject: whole\n\nas it should be\n");
}

/* A session over what is there, with one whole message besides. */
static void
serve(struct fixture *f, unsigned lines_max)
{
	struct client c;

	put_whole(f, "1800000000.M9P9.host:2,");
	client_begin(&c, f);
	(void)client_say(&c, "CREATE INBOX.t");
	assert_int_equal(client_say(&c, "SELECT INBOX"), 0);
	ask_all(&c);
	assert_true(n_lines <= lines_max);
	client_end(&c);
}

/* --- no regular files ----------------------------------------------------- */

static void
symbolic_link(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    symlink(outside, fixture_path(f, "cur/1700000000.M1P1.host:2,")),
	    0);
	assert_int_equal(
	    symlink(outside, fixture_path(f, "new/1700000000.M2P1.host")), 0);
	serve(f, 16);
}

static void
fifo(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    mkfifo(fixture_path(f, "cur/1700000000.M1P1.host:2,"), 0600), 0);
	serve(f, 8);
}

static void
local_socket(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s",
	    fixture_path(f, "cur/1700000000.M1P1.host:2,"));
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	serve(f, 8);
	(void)close(fd);
}

static void
directory(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    mkdir(fixture_path(f, "cur/1700000000.M1P1.host:2,"), 0700), 0);
	serve(f, 8);
}

static void
unreadable(void **state)
{
	struct fixture *f = *state;

	put_cur(f, "1700000000.M1P1.host:2,", "x\n");
	assert_int_equal(
	    chmod(fixture_path(f, "cur/1700000000.M1P1.host:2,"), 0), 0);
	serve(f, 8);
}

static void
empty_file(void **state)
{
	put_cur(*state, "1700000000.M1P1.host:2,", "");
	serve(*state, 0);
}

/* --- names ---------------------------------------------------------------- */

static void
names_of_any_bytes(void **state)
{
	static const char *const names[] = { "1700000000.M1P1.host",
		"1700000000.M2P1.host:1,S", "1700000000.M3P1.host:2",
		"1700000000.M4P1.host:2,SRTaz9", "no-number", ":2,S", ":",
		"a:2,S:2,T", "new\nline:2,", "cr\rlf:2,S", "%s%n:2,",
		"\xff\xfe\x80:2,F", "blank in it:2,", "tab\t:2,",
		"esc\x1b[31m:2,", "1700000000.M5P1.host,S=-1:2,",
		"1700000000.M6P1.host,S=99999999999999999999999:2,",
		"1700000000.M7P1.host,S=18446744073709551615:2,",
		"99999999999999999999.M8P1.host:2,", "\"quote\\:2,", "~:2,",
		"..x:2,", "-rf:2," };
	struct fixture *f = *state;
	char longest[260], path[300];

	for (size_t i = 0; i < NELEMS(names); i++)
		put_cur(f, names[i], "x\n");
	memset(longest, 'l', 255);
	longest[255] = '\0';
	put_cur(f, longest, "x\n");
	/* the same in new/, whose names get longer when they move */
	longest[0] = 'm';
	(void)snprintf(path, sizeof(path), "new/%s", longest);
	write_file(fixture_path(f, path), "x\n");
	serve(f, 8);
}

static void
base_name_twice(void **state)
{
	struct fixture *f = *state;
	struct client c;

	put_cur(f, "1700000000.M1P1.host:2,", "one\n");
	put_cur(f, "1700000000.M1P1.host:2,S", "two\n");
	write_file(fixture_path(f, "new/1700000000.M1P1.host"), "three\n");
	serve(f, 1);
	/* one message: two UIDs for one base name would be two for one file */
	client_begin(&c, f);
	assert_int_equal(client_say(&c, "SELECT INBOX"), 0);
	assert_true(said(&c, "* 2 EXISTS"));
	client_end(&c);
}

/* --- directories ---------------------------------------------------------- */

static void
mailboxes_that_are_none(void **state)
{
	struct fixture *f = *state;
	struct client c;
	char *elsewhere = mem_printf("%s/elsewhere", f->root), *cur;

	assert_int_equal(mkdir(elsewhere, 0700), 0);
	cur = mem_printf("%s/cur", elsewhere);
	assert_int_equal(mkdir(cur, 0700), 0);
	free(cur);
	cur = mem_printf("%s/cur/1700000000.M1P1.host:2,", elsewhere);
	write_file(cur, SECRET "\n");
	free(cur);
	/* a link to a Maildir outside; a file; one whose cur/ is a link */
	assert_int_equal(symlink(elsewhere, fixture_path(f, ".Link")), 0);
	write_file(fixture_path(f, ".File"), "x");
	assert_int_equal(mkdir(fixture_path(f, ".Half"), 0700), 0);
	cur = mem_printf("%s/cur", elsewhere);
	assert_int_equal(symlink(cur, fixture_path(f, ".Half/cur")), 0);
	free(cur);
	serve(f, 4);
	client_begin(&c, f);
	assert_int_equal(client_say(&c, "LIST \"\" *"), 0);
	assert_false(said(&c, "Link") || said(&c, "File"));
	assert_int_equal(client_say(&c, "SELECT INBOX.Link"), ERR_NOT_FOUND);
	assert_int_equal(client_say(&c, "SELECT INBOX.File"), ERR_NOT_FOUND);
	assert_int_equal(client_say(&c, "SELECT INBOX.Half"), ERR_NOT_FOUND);
	assert_int_not_equal(client_say(&c, "APPEND INBOX.Link {1+}\r\nx"), 0);
	assert_int_equal(client_say(&c, "SELECT INBOX"), 0);
	assert_int_not_equal(client_say(&c, "COPY 1 INBOX.Link"), 0);
	client_end(&c);
	free(elsewhere);
}

/* Our own files are links, FIFOs or directories. */
static void
own_files_replaced(void **state)
{
	static const char *const files[] = { "maildirsize",
		"courierimapsubscribed", "courierimapuiddb",
		"courierimapkeywords", "dovecot-uidlist", "postern.cache",
		"postern.uidvalidity", "courierpop3dsizelist" };
	struct fixture *f = *state;

	fixture_close(f);
	for (size_t i = 0; i < NELEMS(files); i++) {
		const char *path = fixture_path(f, files[i]);

		(void)unlink(path);
		if (i % 3 == 0)
			assert_int_equal(symlink(outside, path), 0);
		else if (i % 3 == 1)
			assert_int_equal(mkfifo(path, 0600), 0);
		else
			assert_int_equal(mkdir(path, 0700), 0);
	}
	fixture_open(f);
	serve(f, 40);
	/* and what a link led to is as it was */
	{
		char *text = read_file(outside);

		assert_string_equal(text, SECRET "\n");
		free(text);
	}
}

/* --- folders that others make, rename and remove -------------------------- */

static void
make_folder(struct fixture *f, const char *dir)
{
	static const char *const subs[] = { "", "/tmp", "/new", "/cur" };
	char path[64];

	for (size_t i = 0; i < NELEMS(subs); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", dir, subs[i]);
		assert_int_equal(mkdir(fixture_path(f, path), 0700), 0);
	}
	(void)snprintf(
	    path, sizeof(path), "%s/cur/1700000000.M1P1.host:2,", dir);
	write_file(fixture_path(f, path), "Subject: there\n\nx\n");
}

static void
begin_in_folder(struct client *c, struct fixture *f)
{
	make_folder(f, ".a");
	client_begin(c, f);
	assert_int_equal(client_say(c, "SELECT INBOX.a"), 0);
	assert_true(said(c, "* 1 EXISTS"));
}

/* The session has lost its mailbox: it is told so, or ended with a BYE; and
 * nothing that it asks meanwhile is answered by something else. */
static void
end_in_folder(struct client *c, struct fixture *f)
{
	for (int i = 0; i < 3; i++) {
		f->wall_ms += 5000;
		store_tick(f->store, clock_now(), f->wall_ms);
		(void)client_say(c, "NOOP");
		(void)client_say(c, "UID FETCH 1 BODY.PEEK[]");
		assert_false(said(c, SECRET));
	}
	client_end(c);
}

static void
folder_renamed_under_session(void **state)
{
	struct fixture *f = *state;
	struct client c, d;

	begin_in_folder(&c, f);
	assert_int_equal(
	    rename(fixture_path(f, ".a"), fixture_path(f, ".b")), 0);
	client_begin(&d, f);
	assert_int_equal(client_say(&d, "LIST \"\" *"), 0);
	assert_true(said(&d, "INBOX.b") && !said(&d, "INBOX.a"));
	assert_int_equal(client_say(&d, "SELECT INBOX.b"), 0);
	assert_true(said(&d, "* 1 EXISTS"));
	assert_int_equal(client_say(&d, "SELECT INBOX.a"), ERR_NOT_FOUND);
	/* another under the old name is another mailbox */
	make_folder(f, ".a");
	write_file(
	    fixture_path(f, ".a/cur/1700000001.M2P1.host:2,"), SECRET "\n");
	end_in_folder(&c, f);
	assert_int_equal(client_say(&d, "SELECT INBOX.a"), 0);
	assert_true(said(&d, "* 2 EXISTS"));
	client_end(&d);
}

static void
folder_removed_under_session(void **state)
{
	struct fixture *f = *state;
	struct client c;

	begin_in_folder(&c, f);
	assert_int_equal(
	    unlink(fixture_path(f, ".a/cur/1700000000.M1P1.host:2,")), 0);
	assert_int_equal(rmdir(fixture_path(f, ".a/cur")), 0);
	assert_int_equal(rmdir(fixture_path(f, ".a/new")), 0);
	assert_int_equal(rmdir(fixture_path(f, ".a/tmp")), 0);
	assert_int_equal(rmdir(fixture_path(f, ".a")), 0);
	end_in_folder(&c, f);
	client_begin(&c, f);
	assert_int_equal(client_say(&c, "SELECT INBOX.a"), ERR_NOT_FOUND);
	assert_int_equal(client_say(&c, "SELECT INBOX"), 0);
	client_end(&c);
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(symbolic_link),
		CASE(fifo),
		CASE(local_socket),
		CASE(directory),
		CASE(unreadable),
		CASE(empty_file),
		CASE(names_of_any_bytes),
		CASE(base_name_twice),
		CASE(mailboxes_that_are_none),
		CASE(own_files_replaced),
		CASE(folder_renamed_under_session),
		CASE(folder_removed_under_session),
	};

	log_set_sink(count_line, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
