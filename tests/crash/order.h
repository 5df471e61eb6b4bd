/*
 * order: a Maildir whose changing calls are noted, and whose syncs can be held
 * back, for tests of what comes before what.
 *
 * Layer:  tests, uses calls, maildir_fixture.
 */
#ifndef TESTS_CRASH_ORDER_H
#define TESTS_CRASH_ORDER_H

#include "tests/crash/calls.h"
#include "tests/support/maildir_fixture.h"

/* Once, before any test. */
void order_init(void);
/* cmocka's setup and teardown; *state is a struct fixture. */
int order_setup(void **state);
int order_teardown(void **state);

/* Open it anew so that no message is young: files are synced first. */
void sync_files_first(struct fixture *f);

/* --- the calls ------------------------------------------------------------ */

/* WAL: the database's log; DIR_OF_MAIL: cur/; MAIL: a message's file; BOX: a
 * mailbox's own directory, but INBOX's; LIST: its access control list; DISK:
 * all that is on it. */
enum what { WAL, DIR_OF_MAIL, MAIL, BOX, LIST, DISK, ANY };

/* Index among those noted since forget_calls() of the first or last such call;
 * -1: there is none. */
int first_call(enum call call, enum what what);
int last_call(enum call call, enum what what);
int count_calls(enum call call, enum what what);
void forget_calls(void);

/* --- the syncs ------------------------------------------------------------ */

/* Whether those that come from now on wait for release_syncs(). */
void hold_syncs(bool hold);
/* Whether those that are of no account, but of a disk, wait in any case. */
void hold_disk_syncs(bool hold);
size_t held_syncs(void);
/* They are done; if error isn't 0, they aren't, and fail with it. */
void release_syncs(int error);

/* How often the waker below was called. */
extern unsigned woken;
struct waker order_waker(void);
/* The append of a small message is begun. */
struct append *begin_append(
    struct fixture *f, const char *mailbox, const char *text);
/* Up to where it is done, or waits for a sync. */
enum step step_append(struct fixture *f, struct append *p, struct waker waker);

#endif
