/*
 * The database: bits that flip, a disk that is full, and others that have it
 * open.
 */
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "tests/crash/child.h"
#include "tests/crash/client.h"
#include "tests/support/quiet.h"

enum { MESSAGES = 40, FLIPS = 60 };

static unsigned n_errors;

static void
count_errors(
    void *arg, enum log_level level, const char *ident, const char *line)
{
	n_errors += level <= LOG_LEVEL_ERROR;
	quiet_line(arg, level, ident, line);
}

static void
in_child(void (*fn)(void *arg), void *arg, const char *where)
{
	if (!child_run(fn, arg))
		fail_msg("%s", where);
}

/* --- flipped bits --------------------------------------------------------- */

struct saved {
	const char *name;
	uint8_t *bytes;
	size_t n;
};

static struct saved
save(struct fixture *f, const char *name)
{
	struct saved s = { .name = name };
	struct stat st;
	int fd = open(fixture_path(f, name), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return s;
	assert_int_equal(fstat(fd, &st), 0);
	s.n = (size_t)st.st_size;
	s.bytes = mem_alloc(s.n + 1);
	assert_int_equal(read(fd, s.bytes, s.n), s.n);
	(void)close(fd);
	return s;
}

/* In place: the inode must stay. */
static void
restore(struct fixture *f, const struct saved *s)
{
	int fd;

	if (s->bytes == NULL)
		return;
	fd = open(fixture_path(f, s->name),
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, s->bytes, s->n), s->n);
	(void)close(fd);
}

static void
fill(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	char text[64];

	for (uint32_t i = 1; i <= MESSAGES; i++) {
		uint32_t uid = 0;

		(void)snprintf(text, sizeof(text), "Subject: %u\n\nx\n", i);
		assert_int_equal(
		    run_append(f, "INBOX", text, 0, "kw", &uid), 0);
		assert_int_equal(uid, i);
		mailbox_cache_put(m, uid, CACHE_ENVELOPE, slice_str(text));
	}
	mailbox_close(&m);
}

struct look {
	struct fixture *f;
	uint32_t validity;
};

/* All mail is there, and no UID means another message than it did. */
static void
look(void *arg)
{
	struct look *l = arg;
	struct fixture *f = l->f;
	struct mailbox *m;
	struct view *v;

	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	if (try_refresh(f, m, true) != 0) {
		/* it was seen to be damaged under way: once more */
		mailbox_close(&m);
		m = open_mailbox(f, "INBOX");
		refresh(f, m);
	}
	v = mailbox_view(m);
	assert_int_equal(view_count(v), MESSAGES);
	for (uint32_t seq = 1; seq <= MESSAGES; seq++) {
		uint32_t uid = view_get(v, seq)->uid;
		char *text = message_text(m, uid);
		unsigned n = 0;
		struct slice cached;

		assert_non_null(text);
		assert_int_equal(sscanf(text, "Subject: %u", &n), 1);
		if (mailbox_uidvalidity(m) == l->validity && uid <= MESSAGES)
			assert_int_equal(uid, n);
		if (mailbox_uidvalidity(m) == l->validity &&
		    mailbox_cache_get(m, uid, CACHE_ENVELOPE, &cached))
			assert_true(slice_eq(cached, slice_str(text)));
		free(text);
	}
	assert_int_equal(run_append(f, "INBOX", "x\n", 0, NULL, NULL), 0);
	view_unref(&v);
	mailbox_close(&m);
	fixture_close(f);
}

static void
run_there(const struct fixture *f, const char *commands)
{
	char *line = mem_printf("cd '%s' && %s", f->path, commands);

	assert_int_equal(system(line), 0);
	free(line);
}

/* The files of Postern's are gone but for those saved, which are whole; mail is
 * as it was, whatever was added or written anew. */
static void
begin_anew(struct fixture *f, const struct saved *s, size_t n)
{
	run_there(f,
	    "find . -name 'postern.*damaged*' -delete -o -name "
	    "'postern.*-shm' -delete; rm -rf cur new && cp -a ../kept/* .");
	for (size_t i = 0; i < n; i++)
		restore(f, &s[i]);
}

static void
flipped_bits(void **state)
{
	struct fixture *f = *state;
	struct saved files[4];
	struct look l = { .f = f };
	struct mailbox *m;
	uint64_t random = 1;

	fill(f);
	m = open_mailbox(f, "INBOX");
	l.validity = mailbox_uidvalidity(m);
	mailbox_close(&m);
	fixture_close(f);
	run_there(f, "mkdir ../kept && cp -a cur new ../kept");
	files[0] = save(f, "postern.db");
	files[1] = save(f, "postern.db-wal");
	files[2] = save(f, "postern.cache");
	files[3] = save(f, "postern.cache-wal");
	for (unsigned i = 0; i < FLIPS; i++) {
		struct saved *s = &files[i % NELEMS(files)];
		char where[96];
		size_t at;

		if (s->n == 0)
			continue;
		random = random * 6364136223846793005u + 1442695040888963407u;
		/* every other one in the head, where it hurts */
		at = (size_t)(random >> 20) %
		    (i % 8 < 4		 ? s->n
			    : s->n < 200 ? s->n
					 : 200);
		begin_anew(f, files, NELEMS(files));
		s->bytes[at] ^= (uint8_t)(1u << (random >> 60 & 7));
		restore(f, s);
		(void)snprintf(
		    where, sizeof(where), "bit of byte %zu of %s", at, s->name);
		in_child(look, &l, where);
		s->bytes[at] ^= (uint8_t)(1u << (random >> 60 & 7));
	}
	for (size_t i = 0; i < NELEMS(files); i++)
		free(files[i].bytes);
	fixture_open(f);
}

/* --- a full disk ---------------------------------------------------------- */

static void
fill_disk(struct fixture *f)
{
	static char bytes[65536];
	int fd = open(
	    fixture_path(f, "filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	for (size_t n = sizeof(bytes); n != 0; n /= 2)
		while (write(fd, bytes, n) == (ssize_t)n)
			;
	assert_int_equal(errno, ENOSPC);
	(void)close(fd);
}

static bool
mount_small_disk(struct fixture *f)
{
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    (mkdir(f->path, 0700) < 0 && errno != EEXIST) ||
	    mount("tmpfs", f->path, "tmpfs", 0, "size=1536k") < 0) {
		print_message("skipped: no right to mount (%s)\n",
		    strerrordesc_np(errno));
		return false;
	}
	return true;
}

static void
on_small_disk(void *arg)
{
	struct fixture *f = arg;
	struct client c;

	if (!mount_small_disk(f))
		return;
	fixture_open(f);
	fill(f);
	client_begin(&c, f);
	assert_int_equal(client_say(&c, "SELECT INBOX"), 0);
	assert_int_equal(client_say(&c, "STORE 1:20 +FLAGS (\\Deleted)"), 0);
	fill_disk(f);
	assert_int_equal(
	    client_say(&c, "APPEND INBOX {5+}\r\nx\r\ny\n"), ERR_SPACE);
	/* what makes room must work where there is none */
	assert_int_equal(client_say(&c, "UID EXPUNGE 1"), 0);
	assert_int_equal(client_say(&c, "UID EXPUNGE 2"), 0);
	assert_int_equal(client_say(&c, "EXPUNGE"), 0);
	assert_int_equal(count_files(fixture_path(f, "cur")), MESSAGES - 20);
	assert_int_equal(client_say(&c, "SELECT INBOX"), 0);
	assert_non_null(strstr(buf_cstr(&c.said), "* 20 EXISTS"));
	/* and all goes on at once when there is room again */
	assert_int_equal(unlink(fixture_path(f, "filler")), 0);
	assert_int_equal(client_say(&c, "APPEND INBOX {5+}\r\nx\r\ny\n"), 0);
	client_end(&c);
	fixture_close(f);
}

static void
full_disk(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	in_child(on_small_disk, f, "full disk");
	fixture_open(f);
}

/* The drop listing, as POP3 has it: how many messages. */
static size_t
n_listed(struct fixture *f, struct mailbox *m)
{
	const struct waker none = { 0 };
	struct pop3_entry *v = NULL;
	size_t n = 0;
	int rc = 0;

	while (mailbox_pop3_list(m, none, f->wall_ms, &v, &n, &rc) != STEP_DONE)
		continue;
	assert_int_equal(rc, 0);
	free(v);
	return n;
}

/* Mail came, and nobody has looked since before the disk was full. */
static void
on_a_disk_that_filled_up(void *arg)
{
	struct fixture *f = arg;
	const uint32_t first[] = { MESSAGES + 1 };
	struct mailbox *m;

	if (!mount_small_disk(f))
		return;
	fixture_open(f);
	fill(f);
	fixture_close(f);
	for (int k = 0; k < 30; k++)
		(void)deliver(f, "", "text");
	fill_disk(f);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(n_listed(f, m), MESSAGES + 30);
	assert_int_equal(run_remove(f, m, first, 1), 1);
	mailbox_close(&m);
	fixture_close(f);
}

static void
deliver_six(struct fixture *f)
{
	static const char *const dirs[] = { "tmp", "new", "cur" };

	for (size_t k = 0; k < NELEMS(dirs); k++)
		assert_int_equal(mkdir(fixture_path(f, dirs[k]), 0700), 0);
	for (int k = 0; k < 6; k++)
		(void)deliver(f, "", "text");
}

/* And nobody has ever looked. */
static void
on_a_disk_that_was_full(void *arg)
{
	struct fixture *f = arg;
	const uint32_t first[] = { 1 };
	struct mailbox *m;
	uint32_t validity;
	struct client c;

	if (!mount_small_disk(f))
		return;
	deliver_six(f);
	write_file(fixture_path(f, "courierimapuiddb"), "1 77 5\n");
	fill_disk(f);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	/* its UIDs are given to others later */
	validity = mailbox_uidvalidity(m);
	assert_true(validity != 77);
	refresh(f, m);
	assert_int_equal(n_listed(f, m), 6);
	assert_int_equal(run_remove(f, m, first, 1), 1);
	client_begin(&c, f);
	assert_int_equal(client_say(&c, "SELECT INBOX"), 0);
	assert_non_null(strstr(buf_cstr(&c.said), "* 5 EXISTS"));
	assert_int_equal(client_say(&c, "STORE 1 +FLAGS (\\Deleted)"), 0);
	assert_int_equal(client_say(&c, "EXPUNGE"), 0);
	client_end(&c);
	/* as long as somebody uses it, it stays */
	(void)store_tick(f->store, f->wall_ms, f->wall_ms);
	assert_int_equal(try_refresh(f, m, false), 0);
	assert_int_equal(mailbox_uidvalidity(m), validity);
	mailbox_close(&m);
	assert_int_equal(access(fixture_path(f, "postern.db"), F_OK), -1);
	/* what was given out then means nothing any more */
	assert_int_equal(unlink(fixture_path(f, "filler")), 0);
	(void)store_tick(f->store, f->wall_ms, f->wall_ms);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(mailbox_uidvalidity(m), 77);
	assert_int_equal(n_listed(f, m), 4);
	assert_int_equal(access(fixture_path(f, "postern.db"), F_OK), 0);
	mailbox_close(&m);
	fixture_close(f);
}

static void
full_disk_at_first(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	in_child(on_a_disk_that_filled_up, f, "disk filled up");
	in_child(on_a_disk_that_was_full, f, "disk was full");
	fixture_open(f);
}

/* The next process begins within the second, and finds room. */
static void
on_a_disk_with_room_again(void *arg)
{
	struct fixture *f = arg;
	struct mailbox *m;
	uint32_t validity;

	if (!mount_small_disk(f))
		return;
	deliver_six(f);
	fill_disk(f);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	validity = mailbox_uidvalidity(m);
	mailbox_close(&m);
	fixture_close(f);
	assert_int_equal(access(fixture_path(f, "postern.db"), F_OK), -1);
	assert_int_equal(unlink(fixture_path(f, "filler")), 0);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(access(fixture_path(f, "postern.db"), F_OK), 0);
	assert_true(mailbox_uidvalidity(m) > validity);
	mailbox_close(&m);
	fixture_close(f);
}

static void
full_disk_and_room_again(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	in_child(on_a_disk_with_room_again, f, "room again");
	fixture_open(f);
}

/* --- others --------------------------------------------------------------- */

/* Another process that has the account open until it is told to end. */
static pid_t
holder(struct fixture *f, int *go)
{
	int up[2], down[2];
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe(up), 0);
	assert_int_equal(pipe(down), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fixture_open(f);
		if (account_open(f->account, NULL) != 0)
			_exit(1);
		(void)close(down[1]);
		(void)!write(up[1], "x", 1);
		(void)!read(down[0], &c, 1);
		_exit(0);
	}
	(void)close(down[0]);
	assert_int_equal(read(up[0], &c, 1), 1);
	(void)close(up[0]);
	(void)close(up[1]);
	*go = down[1];
	return pid;
}

/* A database that another process has open isn't moved away under it. */
static void
held_database_stays(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = NULL;
	struct stat before, after;
	int go, status, fd;
	pid_t pid;

	fill(f);
	fixture_close(f);
	pid = holder(f, &go);
	assert_int_equal(stat(fixture_path(f, "postern.db"), &before), 0);
	fd = open(fixture_path(f, "postern.db"), O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "not a database, no", 18, 0), 18);
	(void)close(fd);
	(void)unlink(fixture_path(f, "postern.db-wal"));
	fixture_open(f);
	assert_int_equal(
	    mailbox_open(f->account, SLICE("INBOX"), &m, NULL), ERR_BUSY);
	assert_int_equal(stat(fixture_path(f, "postern.db"), &after), 0);
	assert_true(before.st_ino == after.st_ino);
	/* when that one has gone it is */
	(void)close(go);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(stat(fixture_path(f, "postern.db"), &after), 0);
	assert_true(before.st_ino != after.st_ino);
	mailbox_close(&m);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(flipped_bits),
		CASE(full_disk),
		CASE(full_disk_at_first),
		CASE(full_disk_and_room_again),
		CASE(held_database_stays),
	};

	fixture_in_memory();
	log_set_sink(count_errors, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
