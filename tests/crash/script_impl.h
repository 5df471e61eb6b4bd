/*
 * script_impl: what the scripts have in common.
 *
 * Layer:  tests.
 */
#ifndef TESTS_CRASH_SCRIPT_IMPL_H
#define TESTS_CRASH_SCRIPT_IMPL_H

#include "tests/crash/script.h"

void world_note(struct world *w, enum note_kind kind, const char *mailbox,
    const char *word, uint32_t uid, uint32_t flags);
/* True: it was done (rc >= 0); else the refusal is noted. */
bool world_done(struct world *w, int rc);
/* INBOX with two messages of UIDs 1 and 2, and INBOX.T. */
void world_some_mail(struct world *w);

extern const struct script script_imap;

#endif
