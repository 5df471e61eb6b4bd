#include "tests/support/maildir_fixture.h"

#include <sys/stat.h>

#include <ftw.h>
#include <sqlite3.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "maildir/export.h"
#include "maildir/internal.h"
#include "tests/support/syncs.h"

unsigned fixture_sleeps;

int
usleep(useconds_t us)
{
	const struct timespec t = { (time_t)(us / 1000000),
		(long)(us % 1000000) * 1000 };

	fixture_sleeps++;
	return nanosleep(&t, NULL);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
fixture_in_memory(void)
{
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0);
}

int
fixture_setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	const char *tmp = getenv("TMPDIR");

	f->root =
	    mem_printf("%s/postern-test.XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(f->root) == NULL)
		return -1;
	f->path = mem_printf("%s/Maildir", f->root);
	f->wall_ms = clock_wall();
	f->quota = "";
	fixture_open(f);
	*state = f;
	return 0;
}

void
fixture_open(struct fixture *f)
{
	struct store_options opt = { .hostname = "host.test",
		.fsync_always = f->fsync_always,
		.no_watches = f->no_watches,
		.export_courier = f->export_courier,
		.no_courier_lock = f->no_courier_lock,
		.empty_trash = f->empty_trash,
		.trash_name = f->trash_name,
		.trash_quota = f->trash_quota,
		.quota_warn_percent = f->quota_warn != NULL ? 90 : 0,
		.quota_warn_text =
		    slice_str(f->quota_warn != NULL ? f->quota_warn : ""),
		.syncer = f->syncer,
		.quiet_ms = 60000,
		.poll_ms = 1000,
		.open_max = 16,
		.dovecot_uidl_format = "%08Xu%08Xv",
		.umask = 077 };

	f->store = store_new(&opt);
	/* a process has one store only, and may leave files in tmp/ */
	f->store->unique = f->unique;
	f->account = account_get(f->store, f->path, f->quota);
}

void
fixture_close(struct fixture *f)
{
	account_release(&f->account);
	f->unique = f->store->unique;
	store_free(&f->store);
}

void
fixture_reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

int
fixture_teardown(void **state)
{
	struct fixture *f = *state;

	/* A failed test has left mailboxes open: its message matters more. */
	if (f->store != NULL && f->account->refs == 1)
		fixture_close(f);
	(void)nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f->root);
	free(f->path);
	free(f);
	return 0;
}

/* --- another process ------------------------------------------------------ */

void
fixture_elsewhere(struct fixture *f, void (*act)(struct fixture *f))
{
	struct store_options opt = { .hostname = "other" };
	struct store *own = f->store, *other = store_new(&opt);
	struct account *mine = f->account;

	(void)store_tick(other, 1, f->wall_ms);
	f->store = other;
	f->account = account_get(other, f->path, "");
	act(f);
	account_release(&f->account);
	store_free(&other);
	f->store = own;
	f->account = mine;
}

sqlite3 *
fixture_take_database(const struct fixture *f)
{
	sqlite3 *h = NULL;

	assert_int_equal(
	    sqlite3_open(fixture_path(f, "postern.db"), &h), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	return h;
}

void
fixture_give_back(sqlite3 *h)
{
	assert_int_equal(
	    sqlite3_exec(h, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

/* --- mailboxes ------------------------------------------------------------ */

static struct mailbox *
open_all(struct fixture *f, const char *name, int *rc, struct err *e)
{
	struct mailbox *m = NULL;

	do
		*rc = mailbox_open(f->account, slice_str(name), &m, e);
	while (*rc == ERR_MORE);
	return m;
}

struct mailbox *
try_open(struct fixture *f, const char *name, int *rc)
{
	return open_all(f, name, rc, NULL);
}

struct mailbox *
open_mailbox(struct fixture *f, const char *name)
{
	struct err e = { 0 };
	int rc;
	struct mailbox *m = open_all(f, name, &rc, &e);

	if (rc != 0)
		fail_msg("open %s: %s", name, e.text);
	return m;
}

static const struct waker nobody;

int
try_refresh(struct fixture *f, struct mailbox *m, bool move_new)
{
	int result = 0;

	while (mailbox_refresh(m, move_new, nobody, clock_now(), f->wall_ms,
		   &result) != STEP_DONE)
		syncs_do_all();
	return result;
}

enum step
refresh_some(struct fixture *f, struct mailbox *m)
{
	enum step step;
	int rc = 0;

	do
		step = mailbox_refresh(
		    m, true, nobody, clock_now(), f->wall_ms, &rc);
	while (step == STEP_YIELD);
	assert_int_equal(rc, 0);
	return step;
}

void
refresh(struct fixture *f, struct mailbox *m)
{
	assert_int_equal(try_refresh(f, m, true), 0);
}

const char *
listing(struct mailbox *m)
{
	static const struct {
		uint32_t flag;
		char letter;
	} letters[] = { { MESSAGE_DRAFT, 'D' }, { MESSAGE_FLAGGED, 'F' },
		{ MESSAGE_FORWARDED, 'P' }, { MESSAGE_ANSWERED, 'R' },
		{ MESSAGE_SEEN, 'S' }, { MESSAGE_DELETED, 'T' } };
	static char text[65536];
	struct view *v = mailbox_view(m);
	size_t at = 0, n;

	text[0] = '\0';
	for (uint32_t seq = 1; seq <= view_count(v) && at < 60000; seq++) {
		const struct message *msg = view_get(v, seq);
		const uint16_t *set = mailbox_keyword_set(m, msg->keywords, &n);

		at += (size_t)sprintf(
		    text + at, "%s%u", at != 0 ? " " : "", msg->uid);
		if (msg->flags != 0)
			text[at++] = ':';
		for (size_t i = 0; i < NELEMS(letters); i++)
			if (msg->flags & letters[i].flag)
				text[at++] = letters[i].letter;
		text[at] = '\0';
		for (size_t i = 0; i < n; i++) {
			struct slice k = mailbox_keyword(m, set[i]);

			at +=
			    (size_t)sprintf(text + at, "(%.*s)", SLICE_ARG(k));
		}
	}
	view_unref(&v);
	return text;
}

void
assert_listing(struct mailbox *m, const char *expected)
{
	assert_string_equal(listing(m), expected);
}

char *
message_text(struct mailbox *m, uint32_t uid)
{
	struct err e = { 0 };
	uint64_t size;
	ssize_t n;
	char *text;
	int fd;

	if (mailbox_open_message(m, uid, &fd, &size, &e) != 0)
		return NULL;
	text = mem_zalloc(1, (size_t)size + 1);
	for (size_t at = 0; at < size; at += (size_t)n) {
		n = read(fd, text + at, (size_t)size - at);
		if (n <= 0) {
			free(text);
			text = NULL;
			break;
		}
	}
	(void)close(fd);
	return text;
}

const char *
message_path(struct mailbox *m, uint32_t uid)
{
	static char text[1024];
	struct buf b;

	buf_init(&b, sizeof(text) - 1);
	assert_int_equal(mailbox_message_path(m, uid, &b), 0);
	(void)snprintf(text, sizeof(text), "%.*s", SLICE_ARG(buf_slice(&b)));
	buf_fini(&b);
	return text;
}

/* --- changes -------------------------------------------------------------- */

int
run_append(struct fixture *f, const char *mailbox, const char *text,
    uint32_t flags, const char *keyword, uint32_t *uid)
{
	struct slice k = slice_str(keyword);
	struct append *p = NULL;
	struct err e = { 0 };
	uint32_t validity;
	const uint32_t *uids = NULL;
	size_t n = 0;
	int rc = append_begin(f->account, slice_str(mailbox), &p, &e);

	if (rc != 0)
		return rc;
	rc = append_message(p, flags, &k, keyword != NULL, INT64_MIN,
	    strlen(text), f->wall_ms, &e);
	if (rc == 0)
		rc = append_write(p, slice_str(text), &e);
	if (rc == 0)
		rc = append_message_end(p, &e);
	if (rc == 0) {
		while (append_commit(p, nobody, clock_now(), f->wall_ms) !=
		    STEP_DONE)
			;
		rc = append_result(p, &validity, &uids, &n);
	}
	if (rc == 0) {
		assert_int_equal(n, 1);
		if (uid != NULL)
			*uid = uids[0];
	}
	append_free(&p);
	return rc;
}

int
run_flags(struct fixture *f, struct mailbox *m, const uint32_t *uids, size_t n,
    enum flags_how how, uint32_t flags, const char *keyword)
{
	struct slice k = slice_str(keyword);
	struct flags_change what = { how, flags, &k, keyword != NULL,
		UINT64_MAX, NULL, 0, false };
	struct change_flags *c;
	const uint32_t *modified;
	size_t n_modified, missing;
	int rc = change_flags_begin(m, uids, n, &what, &c, NULL);

	if (rc != 0)
		return rc;
	while (
	    change_flags_step(c, nobody, clock_now(), f->wall_ms) != STEP_DONE)
		syncs_do_all();
	rc = change_flags_result(c, &modified, &n_modified, &missing);
	change_flags_free(&c);
	return rc;
}

int
run_copy(struct fixture *f, struct mailbox *m, const uint32_t *uids, size_t n,
    const char *target, bool move, uint32_t *to)
{
	struct change_copy *c;
	const struct copy_result *r;
	int rc = change_copy_begin(
	    m, f->account, slice_str(target), uids, n, move, &c, NULL);

	if (rc != 0)
		return rc;
	while (
	    change_copy_step(c, nobody, clock_now(), f->wall_ms) != STEP_DONE)
		;
	r = change_copy_result(c);
	rc = r->result;
	for (size_t i = 0; rc == 0 && to != NULL && i < r->n; i++)
		to[i] = r->to[i];
	change_copy_free(&c);
	return rc;
}

static int
finish_expunge(struct fixture *f, struct change_expunge *c)
{
	size_t n_removed;
	int rc;

	while (change_expunge_step(c, nobody, clock_now(), f->wall_ms) !=
	    STEP_DONE)
		;
	rc = change_expunge_result(c, &n_removed);
	change_expunge_free(&c);
	return rc != 0 ? rc : (int)n_removed;
}

int
run_expunge(
    struct fixture *f, struct mailbox *m, const uint32_t *uids, size_t n)
{
	struct change_expunge *c;
	int rc = change_expunge_begin(m, uids, n, &c, NULL);

	return rc != 0 ? rc : finish_expunge(f, c);
}

int
run_remove(struct fixture *f, struct mailbox *m, const uint32_t *uids, size_t n)
{
	struct change_expunge *c;
	int rc = change_remove_begin(m, uids, n, &c, NULL);

	return rc != 0 ? rc : finish_expunge(f, c);
}

/* --- taking over, and back ------------------------------------------------ */

void
fresh_tree(struct fixture *f, const char *mailbox)
{
	struct mailbox *m;

	if (strcmp(mailbox, "INBOX") != 0)
		assert_int_equal(create_now(f->account, slice_str(mailbox)), 0);
	m = open_mailbox(f, mailbox);
	mailbox_close(&m);
	fixture_close(f);
	(void)unlink(fixture_path(f, "postern.db"));
	(void)unlink(fixture_path(f, "postern.db-wal"));
	(void)unlink(fixture_path(f, "postern.db-shm"));
	(void)unlink(fixture_path(f, "postern.uidvalidity"));
}

void
make_maildir(const char *path, mode_t mode, mode_t below)
{
	static const char *const parts[] = { "", "/cur", "/new", "/tmp" };

	for (size_t i = 0; i < NELEMS(parts); i++) {
		char *part = mem_printf("%s%s", path, parts[i]);

		assert_int_equal(mkdir(part, 0700), 0);
		assert_int_equal(chmod(part, i == 0 ? mode : below), 0);
		free(part);
	}
}

void
next_tick(void)
{
	const struct timespec nap = { .tv_nsec = 100 * 1000 };
	struct timespec from, now;

	assert_int_equal(clock_gettime(CLOCK_REALTIME_COARSE, &from), 0);
	do {
		/* other tests run beside this one */
		(void)nanosleep(&nap, NULL);
		assert_int_equal(clock_gettime(CLOCK_REALTIME_COARSE, &now), 0);
	} while (now.tv_sec == from.tv_sec && now.tv_nsec == from.tv_nsec);
}

void
later(struct fixture *f)
{
	next_tick();
	f->wall_ms += 60000;
	store_tick(f->store, 1, f->wall_ms);
}

struct mailbox *
open_again(struct fixture *f, const char *name)
{
	struct mailbox *m;

	later(f);
	m = open_mailbox(f, name);
	refresh(f, m);
	return m;
}

int
run_pop3(struct mailbox *m, struct pop3_entry **v, size_t *n)
{
	int result = 0;

	*v = NULL;
	*n = 0;
	while (mailbox_pop3_list(m, (struct waker){ 0 }, clock_now(), v, n,
		   &result) != STEP_DONE)
		;
	return result;
}

static char *
pop3_text(struct mailbox *m)
{
	struct pop3_entry *v;
	struct buf out;
	char *text;
	size_t n;

	assert_int_equal(run_pop3(m, &v, &n), 0);
	buf_init(&out, 65536);
	for (size_t i = 0; i < n; i++)
		buf_putf(&out, "%s%u=%s", i != 0 ? " " : "", v[i].uid,
		    v[i].unique_id);
	text = mem_strdup(buf_cstr(&out));
	buf_fini(&out);
	free(v);
	return text;
}

void
assert_pop3(struct mailbox *m, const char *expected)
{
	char *text = pop3_text(m);

	assert_string_equal(text, expected);
	free(text);
}

void
fixture_tick(struct fixture *f, unsigned n)
{
	while (n-- > 0) {
		f->wall_ms += 1000;
		(void)store_tick(f->store, clock_now(), f->wall_ms);
	}
}

void
run_export(struct fixture *f, bool again, unsigned expected)
{
	struct export *x = export_new(f->account, again);

	assert_int_equal(finish_export(f, &x), expected);
}

unsigned
finish_export(struct fixture *f, struct export **x)
{
	unsigned n;

	while (export_step(*x, nobody, 1, f->wall_ms) != STEP_DONE)
		syncs_do_all();
	assert_int_equal(export_result(*x, &n), 0);
	export_free(x);
	return n;
}
