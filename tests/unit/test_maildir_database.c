/*
 * The database of an account lost, damaged, restored or shared.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/quiet.h"
#include "tests/support/syncs.h"

static void
imports_courier_uids(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	assert_int_equal(create_now(f->account, SLICE("INBOX.x")), 0);
	fixture_close(f);
	put_cur(f, "1700000000.M1P1.host,S=4:2,S", "one\n");
	put_cur(f, "1700000001.M1P1.host:2,T", "two\n");
	put_cur(f, "1600000001.M1P1.host:2,", "new\n");
	write_file(fixture_path(f, "courierimapuiddb"),
	    "1 795329398 30\n"
	    "7 1700000000.M1P1.host,S=4\n"
	    "8 1500000000.vanished\n"
	    "9 1700000001.M1P1.host\n"
	    "12 unfinished");
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(mailbox_uidvalidity(m), 795329398);
	refresh(f, m);
	assert_listing(m, "7:S 9:T 30");
	mailbox_close(&m);
}

static uint32_t
make_some(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	uint32_t validity;

	deliver(f, "", "one");
	deliver(f, "", "two");
	refresh(f, m);
	assert_int_equal(run_flags(f, m, (const uint32_t[]){ 2 }, 1, FLAGS_ADD,
			     MESSAGE_FLAGGED, "kw"),
	    0);
	validity = mailbox_uidvalidity(m);
	mailbox_close(&m);
	return validity;
}

static void
remove_database(struct fixture *f)
{
	(void)unlink(fixture_path(f, "postern.db"));
	(void)unlink(fixture_path(f, "postern.db-wal"));
	(void)unlink(fixture_path(f, "postern.db-shm"));
}

static void
lost_database_is_rebuilt(void **state)
{
	struct fixture *f = *state;
	uint32_t validity = make_some(f);
	struct mailbox *m;

	fixture_close(f);
	remove_database(f);
	/* even with a clock that went back */
	f->wall_ms -= 1000 * 1000;
	fixture_open(f);
	store_tick(f->store, 1, f->wall_ms);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_listing(m, "1 2:F");
	assert_true(mailbox_uidvalidity(m) > validity);
	mailbox_close(&m);
}

static void
database_lost_while_open(void **state)
{
	struct fixture *f = *state;
	uint32_t validity = make_some(f);
	struct mailbox *m = open_mailbox(f, "INBOX"), *again;

	remove_database(f);
	store_tick(f->store, 1, f->wall_ms);
	assert_int_equal(try_refresh(f, m, true), ERR_STALE);
	assert_true(mailbox_gone(m));
	again = open_mailbox(f, "INBOX");
	refresh(f, again);
	assert_listing(again, "1 2:F");
	assert_true(mailbox_uidvalidity(again) > validity);
	mailbox_close(&m);
	mailbox_close(&again);
}

static void
damaged_database_is_set_aside(void **state)
{
	struct fixture *f = *state;
	uint32_t validity = make_some(f);
	struct mailbox *m;
	struct stat st;
	int fd;

	/* no database at all */
	fixture_close(f);
	remove_database(f);
	write_file(fixture_path(f, "postern.db"),
	    "this was a database, but it was a long time ago, and it is now "
	    "something that nobody can read any more, however hard they try");
	fixture_open(f);
	store_tick(f->store, 1, f->wall_ms);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_listing(m, "1 2:F");
	assert_true(mailbox_uidvalidity(m) > validity);
	validity = mailbox_uidvalidity(m);
	mailbox_close(&m);

	/* pages overwritten in the middle */
	assert_int_equal(sqlite3_wal_checkpoint_v2(f->account->db.h, NULL,
			     SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
	    SQLITE_OK);
	fixture_close(f);
	fd = open(fixture_path(f, "postern.db"), O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 4096; at < st.st_size; at += 512)
		assert_int_equal(pwrite(fd, "rubbish rubbish", 15, at), 15);
	(void)close(fd);
	fixture_open(f);
	store_tick(f->store, 1, f->wall_ms);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_listing(m, "1 2:F");
	assert_true(mailbox_uidvalidity(m) > validity);
	mailbox_close(&m);
	assert_true(count_files(f->path) >= 9);
}

static void
restored_database_jumps(void **state)
{
	struct fixture *f = *state;
	uint32_t validity = make_some(f), uid;
	char command[1024];
	struct mailbox *m;
	struct view *v;
	uint64_t modseq;
	struct uid_range *ranges;
	size_t n_ranges;
	bool complete;

	assert_int_equal(sqlite3_wal_checkpoint_v2(f->account->db.h, NULL,
			     SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
	    SQLITE_OK);
	(void)snprintf(command, sizeof(command), "cp -p %s %s.saved",
	    fixture_path(f, "postern.db"), fixture_path(f, "postern.db"));
	assert_int_equal(system(command), 0);
	assert_int_equal(run_append(f, "INBOX", "lost", 0, NULL, &uid), 0);
	assert_int_equal(uid, 3);
	m = open_mailbox(f, "INBOX");
	v = mailbox_view(m);
	modseq = view_highest_modseq(v);
	view_unref(&v);
	mailbox_close(&m);
	fixture_close(f);
	remove_database(f);
	assert_int_equal(rename(fixture_path(f, "postern.db.saved"),
			     fixture_path(f, "postern.db")),
	    0);
	fixture_open(f);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(mailbox_uidvalidity(m), validity);
	refresh(f, m);
	v = mailbox_view(m);
	assert_int_equal(view_count(v), 3);
	assert_int_equal(view_get(v, 2)->uid, 2);
	assert_true(view_get(v, 3)->uid >= 1 << 20);
	assert_true(view_highest_modseq(v) > modseq);
	/* what a client saw since the copy may be otherwise now */
	assert_true(view_get(v, 1)->modseq > modseq);
	assert_int_equal(
	    mailbox_vanished(m, modseq, &ranges, &n_ranges, &complete, NULL),
	    0);
	assert_false(complete);
	free(ranges);
	assert_int_equal(mailbox_vanished(m, view_highest_modseq(v), &ranges,
			     &n_ranges, &complete, NULL),
	    0);
	assert_true(complete);
	free(ranges);
	view_unref(&v);
	mailbox_close(&m);
}

static void
another_boot_jumps(void **state)
{
	struct fixture *f = *state;
	uint32_t uid;
	struct mailbox *m;
	struct view *v;
	uint64_t modseq;

	(void)make_some(f);
	m = open_mailbox(f, "INBOX");
	v = mailbox_view(m);
	modseq = view_highest_modseq(v);
	view_unref(&v);
	mailbox_close(&m);
	assert_int_equal(db_meta_set(&f->account->db, "boot", 1, NULL), 0);
	fixture_reopen(f);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, &uid), 0);
	assert_int_equal(uid, 1003);
	m = open_mailbox(f, "INBOX");
	assert_non_null(strstr(listing(m), "2:F(kw) 1003"));
	v = mailbox_view(m);
	/* none of those that a lost commit may have had */
	assert_true(view_get(v, 3)->modseq >= modseq + 65536 - 1000);
	view_unref(&v);
	mailbox_close(&m);
	fixture_reopen(f);
	assert_int_equal(run_append(f, "INBOX", "x", 0, NULL, &uid), 0);
	assert_int_equal(uid, 1004);
}

/* The files of the database, as a disk may have them. */
static void
database_files(struct fixture *f, const char *how)
{
	char command[4096];

	(void)snprintf(command, sizeof(command),
	    "cd %s && for i in postern.db postern.db-wal; do %s; done", f->path,
	    how);
	assert_int_equal(system(command), 0);
}

static uint64_t
modseq_of(struct fixture *f, uint64_t *highest)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct view *v;
	uint64_t modseq;

	refresh(f, m);
	v = mailbox_view(m);
	modseq = view_get(v, 1)->modseq;
	*highest = view_highest_modseq(v);
	view_unref(&v);
	mailbox_close(&m);
	return modseq;
}

/* A client was told of a flag that the power took back: that is a change. */
static void
power_undoes_flags(void **state)
{
	struct fixture *f = *state;
	const uint32_t uid[] = { 1 };
	struct mailbox *m;
	uint64_t told, modseq, highest;
	const char *path;

	(void)make_some(f);
	fixture_reopen(f);
	/* the first change after opening is synced, what follows isn't */
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_FLAGGED, NULL), 0);
	assert_false(m->unsynced);
	path = fixture_path(f, message_path(m, 1));
	database_files(f, "cp $i saved-$i");
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_SEEN, NULL), 0);
	told = modseq_of(f, &highest);
	assert_true(told == highest);
	assert_int_equal(rename(fixture_path(f, message_path(m, 1)), path), 0);
	mailbox_close(&m);
	fixture_close(f);
	database_files(f, "cat saved-$i > $i");
	fixture_open(f);
	assert_int_equal(account_open(f->account, NULL), 0);
	assert_int_equal(db_meta_set(&f->account->db, "boot", 1, NULL), 0);
	/* as killed: nobody takes the note back */
	f->account->changing = false;
	fixture_reopen(f);
	modseq = modseq_of(f, &highest);
	assert_true(modseq > told);
	m = open_mailbox(f, "INBOX");
	assert_int_equal(strncmp(listing(m), "1:F", 3), 0);
	mailbox_close(&m);
	/* an orderly end leaves no doubt */
	fixture_reopen(f);
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	assert_int_equal(
	    run_flags(f, m, uid, 1, FLAGS_ADD, MESSAGE_SEEN, NULL), 0);
	mailbox_close(&m);
	told = modseq_of(f, &highest);
	fixture_reopen(f);
	assert_int_equal(account_open(f->account, NULL), 0);
	assert_int_equal(db_meta_set(&f->account->db, "boot", 1, NULL), 0);
	fixture_reopen(f);
	assert_true(modseq_of(f, &highest) == told);
}

/* Two stores on one tree, as two processes have them. */
static void
two_stores_share(void **state)
{
	struct fixture *f = *state, other = *f;
	struct mailbox *a, *b;
	const uint32_t uid[] = { 1 };

	fixture_open(&other);
	a = open_mailbox(f, "INBOX");
	b = open_mailbox(&other, "INBOX");
	refresh(f, a);
	refresh(&other, b);
	assert_int_equal(mailbox_uidvalidity(a), mailbox_uidvalidity(b));
	for (int i = 0; i < 300; i++) {
		deliver(f, "", "x");
		refresh(i % 2 ? f : &other, i % 2 ? a : b);
	}
	refresh(f, a);
	refresh(&other, b);
	{
		char *seen = mem_strdup(listing(a));

		assert_string_equal(seen, listing(b));
		free(seen);
	}
	assert_int_equal(
	    run_flags(f, a, uid, 1, FLAGS_ADD, MESSAGE_SEEN, "one"), 0);
	assert_int_equal(
	    run_flags(&other, b, uid, 1, FLAGS_ADD, MESSAGE_FLAGGED, "two"), 0);
	refresh(f, a);
	assert_memory_equal(listing(a), "1:FS(one)(two) 2 ", 17);
	assert_int_equal(run_remove(&other, b, uid, 1), 1);
	refresh(f, a);
	assert_memory_equal(listing(a), "2 ", 2);
	/* gone for both */
	assert_int_equal(create_now(f->account, SLICE("INBOX.t")), 0);
	mailbox_close(&a);
	mailbox_close(&b);
	b = open_mailbox(&other, "INBOX.t");
	assert_int_equal(delete_now(f->account, SLICE("INBOX.t")), 0);
	assert_int_not_equal(try_refresh(&other, b, false), 0);
	assert_true(mailbox_gone(b));
	mailbox_close(&b);
	fixture_close(&other);
}

static off_t
log_size(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(
	    fsx_stat(f->account->root_fd, "postern.db-wal", &st), 0);
	return st.st_size;
}

static void
copy_file(const struct fixture *f, const char *name, const char *to)
{
	struct buf bytes;
	int in = fsx_open_read(f->account->root_fd, name, NULL);
	int out = fsx_create(f->account->root_fd, to, 0600);

	assert_true(in >= 0 && out >= 0);
	buf_init(&bytes, 8 * 1024 * 1024);
	assert_int_equal(fsx_read_all(in, &bytes), 0);
	assert_int_equal(fsx_write_all(out, buf_slice(&bytes)), 0);
	buf_fini(&bytes);
	(void)close(in);
	(void)close(out);
}

/* UIDNEXT of INBOX, as somebody finds it who has the two files alone. */
static int64_t
uidnext_after_crash(struct fixture *f)
{
	sqlite3 *h = NULL;
	sqlite3_stmt *s = NULL;
	int64_t uidnext;

	copy_file(f, "postern.db", "copy.db");
	copy_file(f, "postern.db-wal", "copy.db-wal");
	assert_int_equal(sqlite3_open(fixture_path(f, "copy.db"), &h), 0);
	assert_int_equal(sqlite3_prepare_v2(h,
			     "SELECT max(uidnext) FROM mailbox, "
			     "pragma_quick_check WHERE quick_check = 'ok'",
			     -1, &s, NULL),
	    0);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	uidnext = sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	(void)sqlite3_close(h);
	return uidnext;
}

/* A sync then has no new size to write (maildir/checkpoint.c). */
static void
log_grows_ahead(void **state)
{
	struct fixture *f = *state, other;
	unsigned n_grown = 0;
	uint32_t uid;
	off_t size;

	/* a worker has one */
	f->syncer = &syncs_at_once;
	fixture_reopen(f);
	other = *f;
	for (int i = 0; i < 8; i++)
		assert_int_equal(
		    run_append(f, "INBOX", "x\n", 0, NULL, &uid), 0);
	size = log_size(f);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(
		    run_append(f, "INBOX", "x\n", 0, NULL, &uid), 0);
		n_grown += log_size(f) != size;
		size = log_size(f);
	}
	assert_in_range(n_grown, 1, 5);
	assert_int_equal(uid, 48);
	assert_int_equal(uidnext_after_crash(f), 49);
	/* zeros are not written over what another process commits */
	fixture_open(&other);
	for (int i = 0; i < 40; i++)
		assert_int_equal(run_append(i % 2 != 0 ? f : &other, "INBOX",
				     "x\n", 0, NULL, &uid),
		    0);
	assert_int_equal(uid, 88);
	fixture_close(&other);
	assert_int_equal(unlink(fixture_path(f, "copy.db")), 0);
	(void)unlink(fixture_path(f, "copy.db-shm"));
	(void)unlink(fixture_path(f, "copy.db-wal"));
	assert_int_equal(uidnext_after_crash(f), 89);
	fixture_close(f);
	f->syncer = NULL;
	fixture_open(f);
}

/*
 * What was left of the log's index, by somebody who was killed, say, is of a
 * log that there may be no more: whoever opens the database alone believes none
 * of it, of whatever size it is.
 */
static void
left_index_is_not_believed(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct stat st;

	(void)make_some(f);
	for (int more = 0; more < 2; more++) {
		m = open_mailbox(f, "INBOX");
		assert_int_equal(
		    run_flags(f, m, (const uint32_t[]){ 1 }, 1,
			more ? FLAGS_REMOVE : FLAGS_ADD, MESSAGE_SEEN, NULL),
		    0);
		mailbox_close(&m);
		copy_file(f, "postern.db-shm", "kept");
		fixture_close(f);
		assert_int_equal(
		    db_checkpoint(fixture_path(f, "postern.db"), true), 0);
		assert_int_equal(truncate(fixture_path(f, "kept"),
				     (off_t)32768 * (1 + more)),
		    0);
		assert_int_equal(rename(fixture_path(f, "kept"),
				     fixture_path(f, "postern.db-shm")),
		    0);
		fixture_open(f);
		m = open_mailbox(f, "INBOX");
		refresh(f, m);
		assert_listing(m, more ? "1 2:F(kw)" : "1:S 2:F(kw)");
		mailbox_close(&m);
		assert_int_equal(
		    stat(fixture_path(f, "postern.db-shm"), &st), 0);
		assert_int_equal(st.st_size, 32768);
	}
}

/* Nor is one with holes left so: there may be no room when they are filled. */
static void
left_index_has_no_holes(void **state)
{
	static const char zeros[32768];
	struct fixture *f = *state;
	struct db db;
	struct err e;
	struct stat st;
	int fd;

	(void)make_some(f);
	fixture_close(f);
	assert_int_equal(db_checkpoint(fixture_path(f, "postern.db"), true), 0);
	fd = open(fixture_path(f, "postern.db-shm"), O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, zeros, sizeof(zeros)), sizeof(zeros));
	assert_int_equal(fstat(fd, &st), 0);
	if (st.st_blocks < 64) { /* the file system writes no zeros */
		assert_int_equal(close(fd), 0);
		fixture_open(f);
		skip();
	}
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(ftruncate(fd, sizeof(zeros)), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(
	    db_open(&db, fixture_path(f, "postern.db"), false, false, &e), 0);
	assert_int_equal(db_exec(&db, "SELECT count(*) FROM mailbox", &e), 0);
	assert_int_equal(stat(fixture_path(f, "postern.db-shm"), &st), 0);
	assert_in_range(st.st_blocks, 64, 1024);
	db_close(&db);
	fixture_open(f);
}

int
main(void)
{
#define CASE(fn)                                                               \
 cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		CASE(imports_courier_uids),
		CASE(lost_database_is_rebuilt),
		CASE(database_lost_while_open),
		CASE(damaged_database_is_set_aside),
		CASE(restored_database_jumps),
		CASE(another_boot_jumps),
		CASE(power_undoes_flags),
		CASE(two_stores_share),
		CASE(log_grows_ahead),
		CASE(left_index_is_not_believed),
		CASE(left_index_has_no_holes),
	};

	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
