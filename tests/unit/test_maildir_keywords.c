/*
 * Mailboxes whose messages have had thousands of sets of keywords: each is
 * found by its members, and what no message has is given back, without anybody
 * having others than before.
 */
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "maildir/account_lock.h"
#include "maildir/internal.h"
#include "maildir/keywords.h"
#include "tests/support/maildir_fixture.h"

enum { SETS = 4200, MANY = 50000 };

/* So often the next calls fail. */
static int n_busy, n_unlocked;

int __real_mailbox_reload(struct mailbox *m, struct err *e);
int __wrap_mailbox_reload(struct mailbox *m, struct err *e);
int __real_account_lock(struct account *a, enum account_lock which, short type);
int __wrap_account_lock(struct account *a, enum account_lock which, short type);

int
__wrap_mailbox_reload(struct mailbox *m, struct err *e)
{
	if (n_busy == 0)
		return __real_mailbox_reload(m, e);
	n_busy--;
	return err_set(e, ERR_BUSY, "others hold it");
}

/* To give the lock back; it is. */
int
__wrap_account_lock(struct account *a, enum account_lock which, short type)
{
	int rc = __real_account_lock(a, which, type);

	if (n_unlocked == 0 || type != F_RDLCK)
		return rc;
	n_unlocked--;
	errno = ENOSPC;
	return -1;
}

static void
set(struct fixture *f, struct mailbox *m, uint32_t uid, enum flags_how how,
    const char *keyword)
{
	assert_int_equal(run_flags(f, m, &uid, 1, how, 0, keyword), 0);
}

/* The number of one of very many sets, from 1. */
static uint32_t
intern(struct mailbox *m, unsigned i)
{
	const uint16_t v[] = { (uint16_t)(i / 256), (uint16_t)(256 + i % 256) };
	uint32_t set;

	assert_int_equal(keyword_set_intern(m, v, NELEMS(v), &set, NULL), 0);
	return set;
}

/* Let nobody look at any of the sets but those beside one, or at all again. */
static void
guard_sets(const struct mailbox *m, uint32_t but, int others)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n, at;

	n = (m->n_sets * sizeof(*m->sets) + page - 1) / page;
	at = but * sizeof(*m->sets) / page;
	for (size_t i = 0; i < n; i++)
		if (i != at)
			assert_int_equal(mprotect((uint8_t *)m->sets + i * page,
					     page, others),
			    0);
}

/* However many there are, one is found without a look at the others. */
static void
finds_one_set_of_many(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m = open_mailbox(f, "INBOX");
	struct keyword_set *own;
	size_t size;

	refresh(f, m);
	assert_int_equal(db_begin(&f->account->db, NULL), 0);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(intern(m, i), i + 1);
	(void)intern(m, 0); /* the last one is known then, too */
	size = m->n_sets * sizeof(*m->sets);
	own = m->sets;
	m->sets = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(m->sets != MAP_FAILED);
	memcpy(m->sets, own, size);
	for (unsigned i = 0; i < MANY; i += MANY / 50) {
		guard_sets(m, i + 1, PROT_NONE);
		assert_int_equal(intern(m, i), i + 1);
		guard_sets(m, i + 1, PROT_READ | PROT_WRITE);
	}
	assert_int_equal(munmap(m->sets, size), 0);
	m->sets = own;
	/* what is taken back is found no more, the others are */
	keywords_truncate(m, 0, MANY / 2 + 1);
	for (unsigned i = 0; i < MANY / 2; i += 7)
		assert_int_equal(intern(m, i), i + 1);
	for (unsigned i = MANY; --i >= MANY / 2;)
		assert_int_equal(intern(m, i), MANY / 2 + MANY - i);
	db_rollback(&f->account->db);
	keywords_truncate(m, 0, 1);
	assert_int_equal(m->set_numbers.n, 1);
	mailbox_close(&m);
}

/* "1(last) 2(early)(kept)", after thousands of others that 1 had. */
static void
have_had_many(struct fixture *f)
{
	struct mailbox *m = open_mailbox(f, "INBOX");
	char keyword[16];

	put_cur(f, "1.M1:2,", "one\n");
	put_cur(f, "2.M1:2,", "two\n");
	refresh(f, m);
	set(f, m, 2, FLAGS_ADD, "early");
	for (int k = 0; k < SETS; k++) {
		(void)snprintf(keyword, sizeof(keyword), "k%d", k);
		set(f, m, 1, FLAGS_REPLACE, keyword);
		if (k == SETS / 2)
			set(f, m, 2, FLAGS_ADD, "kept");
	}
	set(f, m, 1, FLAGS_REPLACE, "last");
	mailbox_close(&m);
}

static uint64_t
highest(struct mailbox *m)
{
	struct view *v = mailbox_view(m);
	uint64_t modseq = view_highest_modseq(v);

	view_unref(&v);
	return modseq;
}

static void
gives_back_sets(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	uint64_t modseq;

	have_had_many(f);
	m = open_again(f, "INBOX");
	modseq = highest(m);
	assert_true(m->n_sets > SETS);
	mailbox_close(&m);
	for (int i = 0; i < 2; i++) {
		fixture_reopen(f);
		m = open_again(f, "INBOX");
		assert_listing(m, "1(last) 2(early)(kept)");
		assert_int_equal(highest(m), modseq);
		assert_int_equal(m->n_sets, 3);
		assert_int_equal(mailbox_n_keywords(m), 3);
		mailbox_close(&m);
	}
	m = open_again(f, "INBOX");
	set(f, m, 1, FLAGS_ADD, "kept");
	set(f, m, 2, FLAGS_REMOVE, "early");
	mailbox_close(&m);
	fixture_reopen(f);
	m = open_again(f, "INBOX");
	assert_listing(m, "1(kept)(last) 2(kept)");
	mailbox_close(&m);
}

/* The mailbox as it is opened while another process has the database open. */
static struct mailbox *
open_beside(struct fixture *f, struct fixture *other)
{
	struct mailbox *m;

	have_had_many(f);
	fixture_close(f);
	fixture_open(other);
	assert_int_equal(account_open(other->account, NULL), 0);
	fixture_open(f);
	m = open_again(f, "INBOX");
	assert_true(m->n_sets > SETS);
	return m;
}

/* As long as another process has the database open all stays. */
static void
others_have_it_open(void **state)
{
	struct fixture *f = *state, other = *f;
	struct mailbox *m, *theirs;

	m = open_beside(f, &other);
	assert_listing(m, "1(last) 2(early)(kept)");
	theirs = open_again(&other, "INBOX");
	set(&other, theirs, 1, FLAGS_ADD, "more");
	mailbox_close(&theirs);
	refresh(f, m);
	assert_listing(m, "1(last)(more) 2(early)(kept)");
	mailbox_close(&m);
	fixture_close(&other);
}

/* One that has closed the database has the numbers still in memory. */
static void
others_know_numbers(void **state)
{
	struct fixture *f = *state, other = *f;
	struct mailbox *m, *theirs;

	m = open_beside(f, &other);
	account_close_db(f->account);
	fixture_reopen(&other);
	theirs = open_again(&other, "INBOX");
	assert_int_equal(theirs->n_sets, 3);
	set(&other, theirs, 1, FLAGS_ADD, "new");
	assert_listing(m, "1(last) 2(early)(kept)");
	assert_int_equal(try_refresh(f, m, true), ERR_STALE);
	assert_true(mailbox_gone(m));
	mailbox_close(&m);
	m = open_again(f, "INBOX");
	assert_listing(m, "1(last)(new) 2(early)(kept)");
	set(f, m, 2, FLAGS_ADD, "newer");
	mailbox_close(&m);
	refresh(&other, theirs);
	assert_listing(theirs, "1(last)(new) 2(early)(kept)(newer)");
	mailbox_close(&theirs);
	fixture_close(&other);
}

/* What fails then is tried again, and reads the mailbox anew. */
static void
fails_to_give_back(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	int rc;

	have_had_many(f);
	fixture_reopen(f);
	n_busy = 2;
	for (int i = 0; i < 2; i++) {
		m = try_open(f, "INBOX", &rc);
		assert_null(m);
		assert_int_equal(rc, ERR_BUSY);
	}
	assert_int_equal(n_busy, 0);
	/* room is made for it */
	n_unlocked = 1;
	m = open_mailbox(f, "INBOX");
	assert_int_equal(n_unlocked, 0);
	refresh(f, m);
	assert_listing(m, "1(last) 2(early)(kept)");
	assert_int_equal(m->n_sets, 3);
	mailbox_close(&m);
}

#define CASE(name)                                                             \
 cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(finds_one_set_of_many),
		CASE(gives_back_sets),
		CASE(others_have_it_open),
		CASE(others_know_numbers),
		CASE(fails_to_give_back),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
