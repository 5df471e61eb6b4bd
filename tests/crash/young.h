/*
 * young: messages whose files the disk may not have yet, for tests of them.
 *
 * Layer:  tests, uses order.
 */
#ifndef TESTS_CRASH_YOUNG_H
#define TESTS_CRASH_YOUNG_H

#include "tests/crash/order.h"

/* Rows of the account's table young. */
int count_rows(struct fixture *f);
/* So many seconds go by. */
void ticks(struct fixture *f, int n);
/* An append up to where its log is being synced; held from here on. */
struct append *begin_commit(
    struct fixture *f, const char *mailbox, const char *text);
/* Its end, and its result. */
int end_append(struct fixture *f, struct append **p);
/* A message that doesn't become young. */
void expect_synced_before(struct fixture *f, const char *text);
/* A sync of the disk comes, and fails. */
void fail_disk_sync(struct fixture *f, int error);

/* --- lives ---------------------------------------------------------------- */

/* A process has the account, and ends as if it was killed. */
void lives(struct fixture *f, void (*live)(struct fixture *f));
/* One after the other, and it is opened again. */
void live_one_by_one(struct fixture *f, void (*first)(struct fixture *f),
    void (*second)(struct fixture *f));
/* Close it so that the calls are noted of who opens it next. */
void close_noted(struct fixture *f);
/* Such ones: three messages in INBOX; */
void append_three(struct fixture *f);
/* and the power went, which spared none of their files; */
void damage_files(struct fixture *f);
/* all are there, and whole, and their rows aren't. */
void expect_texts(struct fixture *f);
/* All rows are of another boot. */
void age_boot(struct fixture *f);

#endif
