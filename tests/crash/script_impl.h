/*
 * script_impl: what the scripts are made of.
 *
 * Layer:  tests.
 *
 *   script.c       scripts, and the list of all
 *   script_imap.c  the one that a session of IMAP carries out
 *   script_do.c    what they do, noted in the ledger
 *   world.c        where they do it
 */
#ifndef TESTS_CRASH_SCRIPT_IMPL_H
#define TESTS_CRASH_SCRIPT_IMPL_H

#include "tests/crash/script.h"

void world_note(struct world *w, enum note_kind kind, const char *mailbox,
    const char *word, uint32_t uid, uint32_t flags);
/* True: it was done (rc >= 0); else the refusal is noted. */
bool world_done(struct world *w, int rc);
/* NULL: refused, which was noted. */
struct mailbox *world_open(struct world *w, const char *name);
/* tmp, new and cur of INBOX. */
void world_make_dirs(struct world *w);
/* Let the clock of files go on: what is counted from now on is later. */
void world_wait_tick(struct world *w);
/* Make a file, synced. */
void world_put_file(struct world *w, const char *name, const char *text);
/* As a program does it that syncs nothing: what becomes of its file is no
 * promise of ours, but for a copy of it. */
void world_deliver_loosely(struct world *w, const char *word);
/* As Postfix does it, which isn't what is tested here. */
void world_deliver_durably(struct world *w, const char *dir, const char *word);

/* The commands of a session; what was done or refused is noted. */
void world_look(struct world *w, const char *name);
void world_look_by_pop3(struct world *w);
void world_append(struct world *w, const char *name, const char *word);
void world_multiappend(
    struct world *w, const char *const *words, size_t n_words);

/* One session of several that append at the same time. */
struct appender {
	struct append *p;
	const char *mailbox, *word;
	int rc;
	bool ended;
};

/* They take turns, as sessions do. */
void world_append_together(struct world *w, struct appender *v, size_t n);
void world_store(
    struct world *w, const char *name, uint32_t uid, uint32_t flag);
void world_copy(struct world *w, const char *name, uint32_t uid,
    const char *target, bool move, uint32_t flags);
/* Note that uid of target is a copy of word. */
void world_copied(struct world *w, const char *target, uint32_t uid,
    const char *word, uint32_t flags);
void world_expunge(struct world *w, const char *name, uint32_t uid);
void world_create(struct world *w, const char *name);
void world_rename(struct world *w, const char *from, const char *to);
void world_delete(struct world *w, const char *name);
void world_subscribe(struct world *w, const char *name);
/* Cached of each message: what ledger_check() knows to be right. */
void world_cache_all(struct world *w, const char *name);
/* INBOX with two messages of UIDs 1 and 2, and INBOX.T. */
void world_some_mail(struct world *w);

extern const struct script script_imap;

#endif
