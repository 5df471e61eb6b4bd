/*
 * ledger_impl: what the files of the ledger share: the sum of its notes.
 *
 * Layer:  tests.
 */
#ifndef TESTS_CRASH_LEDGER_IMPL_H
#define TESTS_CRASH_LEDGER_IMPL_H

#include "tests/crash/ledger.h"

enum { SHOWN_MAX = 300 };

enum fate { FATE_THERE, FATE_LEAVING, FATE_GONE };

struct shown {
	char mailbox[WORD_MAX], word[WORD_MAX];
	uint32_t validity, uid, flags, maybe;
	enum fate fate;
	bool memory;
	bool free; /* its mailbox is being, or has been, deleted */
};

struct unique {
	uint32_t validity, uid;
	char word[WORD_MAX];
};

struct state {
	struct unique unique[SHOWN_MAX], keyword[SHOWN_MAX];
	unsigned n_unique, n_keywords;
	struct shown v[SHOWN_MAX];
	unsigned n;
	char words[SHOWN_MAX][WORD_MAX]; /* of deliveries */
	unsigned n_words;
	char moving[WORD_MAX], renaming[WORD_MAX], renaming_to[WORD_MAX];
	char boxes[8][WORD_MAX]; /* created, still there */
	unsigned n_boxes;
	char subscribed[WORD_MAX], subscribing[WORD_MAX];
	char refused[WORD_MAX], refused_from[WORD_MAX];
	uint64_t modseq; /* of INBOX */
	uint32_t modseq_validity;
	char together[WORD_MAX], together_in[WORD_MAX];
	unsigned n_together;
	unsigned flight;
};

/* All that is noted of a mailbox goes to another name. */
void ledger_rename_all(struct state *s, const char *from, const char *to);
/* Add a note to the sum. */
void ledger_take(struct state *s, const struct note *n);

#endif
