/*
 * maildir_fixture: a Maildir in a temporary directory, and the store's steps
 * driven to their end, for tests.
 *
 * Everything asserts with cmocka; a failure ends the test.
 */
#ifndef TESTS_MAILDIR_FIXTURE_H
#define TESTS_MAILDIR_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "maildir/append.h"
#include "maildir/change.h"
#include "maildir/mailbox.h"
#include "tests/support/account_now.h"

struct export;

struct fixture {
	char *root; /* removed at the end */
	char *path; /* the Maildir, not yet made */
	struct store *store;
	struct account *account;
	int64_t wall_ms; /* handed to all calls; starts as now */
	bool fsync_always, no_watches, export_courier, trash_quota;
	bool no_courier_lock;
	struct syncer *syncer; /* NULL: syncs are done at once */
	uint64_t unique;       /* of the store before: names of files go on */
	const char *quota, *empty_trash, *trash_name, *quota_warn;
};

/* Have what follows in memory if that can be, which is faster: a kill leaves
 * what was written there, synced or not. */
void fixture_in_memory(void);
/* cmocka's setup and teardown; *state is a struct fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Close everything, and open it again as a new process would. */
void fixture_reopen(struct fixture *f);
void fixture_close(struct fixture *f);
void fixture_open(struct fixture *f);

/* Another process, with a store of its own, while it does act(f). */
void fixture_elsewhere(struct fixture *f, void (*act)(struct fixture *f));
/* Another process holds the database, until it gives it back. */
struct sqlite3 *fixture_take_database(const struct fixture *f);
/* How often anybody waited by usleep(), as SQLite does for another. */
extern unsigned fixture_sleeps;
void fixture_give_back(struct sqlite3 *h);

/* --- maildir_fixture_files.c ---------------------------------------------- */

/* "PATH/NAME", in a few buffers that take turns. */
const char *fixture_path(const struct fixture *f, const char *name);
/* After next_tick(). */
void write_file(const char *path, const char *text);
/* The whole file, to be freed. */
char *read_file(const char *path);
/* A file of the Maildir, whose bytes must be those. */
void assert_file(struct fixture *f, const char *name, const char *expected);
/* After next_tick(). */
void put_dir(struct fixture *f, const char *name);
/* How many files a directory has. */
unsigned count_files(const char *dir);
/* Have a directory's mtime look old. */
void age_dir(const struct fixture *f, const char *dir);

/* Deliver as Postfix does: tmp/, then new/; returns the name. */
const char *deliver(struct fixture *f, const char *dir, const char *text);
/* Another program puts a message into cur/. */
void put_cur(struct fixture *f, const char *name, const char *text);

/* Lines of courierimapuiddb: messages from, from + 1, … with the UIDs first,
 * first + 2, …. */
void put_uid_lines(FILE *out, unsigned first, unsigned from, unsigned n);
/* All of it, for n messages; none of them has a file. */
void write_uid_list(
    struct fixture *f, const char *name, unsigned validity, unsigned n);

/* --- mailboxes ------------------------------------------------------------ */

/* In all the pieces it takes; NULL, and *rc. */
struct mailbox *try_open(struct fixture *f, const char *name, int *rc);
struct mailbox *open_mailbox(struct fixture *f, const char *name);
int try_refresh(struct fixture *f, struct mailbox *m, bool move_new);
void refresh(struct fixture *f, struct mailbox *m);
/* Until it waits, for what syncs_holder has or another process, or is through.
 * The others do what is held. */
enum step refresh_some(struct fixture *f, struct mailbox *m);
/* UIDs with flag letters, blank-separated: "1 2:S 4:FS(kw)". */
const char *listing(struct mailbox *m);
void assert_listing(struct mailbox *m, const char *expected);
/* UID of the message whose text it is, or 0. */
char *message_text(struct mailbox *m, uint32_t uid);
/* Name relative to the mailbox. */
const char *message_path(struct mailbox *m, uint32_t uid);

int run_append(struct fixture *f, const char *mailbox, const char *text,
    uint32_t flags, const char *keyword, uint32_t *uid);
int run_flags(struct fixture *f, struct mailbox *m, const uint32_t *uids,
    size_t n, enum flags_how how, uint32_t flags, const char *keyword);
int run_copy(struct fixture *f, struct mailbox *m, const uint32_t *uids,
    size_t n, const char *target, bool move, uint32_t *to);
int run_expunge(
    struct fixture *f, struct mailbox *m, const uint32_t *uids, size_t n);
int run_remove(
    struct fixture *f, struct mailbox *m, const uint32_t *uids, size_t n);

/* The same n times, into the directory "DIR/", named by a number and rest: all
 * in no more ticks than that takes. */
void put_many(struct fixture *f, const char *dir, unsigned n, const char *rest,
    const char *text);
/* Make a mailbox that the index knows nothing of, and close the account. */
void fresh_tree(struct fixture *f, const char *mailbox);
/* A Maildir of this mode, and three empty directories of that in it. */
void make_maildir(const char *path, mode_t mode, mode_t below);
/*
 * Wait until files that are written get another time: before Linux 6.13 all
 * that are written within a tick, 4 ms or so, have the same.  The store waits
 * for two seconds until it trusts a time, but by a clock that tests set.
 */
void next_tick(void);
/* As if the other server had had the mailbox for a while. */
void later(struct fixture *f);
/* The same; open and refresh it. */
struct mailbox *open_again(struct fixture *f, const char *name);
/* Its listing for POP3, in all the pieces it takes; *v to be freed. */
int run_pop3(struct mailbox *m, struct pop3_entry **v, size_t *n);
/* That in text: "UID=UNIQUE-ID ...". */
void assert_pop3(struct mailbox *m, const char *expected);

/* So many seconds go by, with a tick of the store each. */
void fixture_tick(struct fixture *f, unsigned n);
/* All files for Courier, of so many mailboxes as are expected. */
void run_export(struct fixture *f, bool again, unsigned expected);
/* One that was begun, to its end; how many mailboxes it had. */
unsigned finish_export(struct fixture *f, struct export **x);

#endif
