/*
 * change_fixture: changes of an account's mailboxes (maildir/account_change.h)
 * step by step: the syncs are done when the test says so (syncs_holder).
 *
 * Layer:  tests, uses maildir_fixture.
 */
#ifndef TESTS_CHANGE_FIXTURE_H
#define TESTS_CHANGE_FIXTURE_H

#include "maildir/internal.h"
#include "tests/support/maildir_fixture.h"
#include "tests/support/syncs.h"

/* How often a change that waited was woken. */
extern unsigned change_n_woken;

/* A fixture with INBOX.a. */
int change_setup(void **state);
int change_teardown(void **state);
/* One step. */
enum step change_step(struct account_change *c);
/* To its end, with the syncs it waits for; its result. */
int change_finish(struct account_change **c);

#endif
