/*
 * imap_thread: messages put into threads, in steps.
 * RFC 5256 section 3 (ORDEREDSUBJECT, REFERENCES); REFS of the draft
 * draft-ietf-morg-inthread.
 *
 * Layer:  protocols/imap, uses base.  Knows no mailbox: it gets keys.
 * Memory: shared.h, some hundred bytes a message; released by
 *         imap_thread_fini().  It stays where imap_thread_init() was told.
 * Time:   O(n log n), no recursion; references in circles are harmless.
 */
#ifndef IMAP_THREAD_H
#define IMAP_THREAD_H

#include "base/buf.h"
#include "protocols/imap/forest.h"
#include "protocols/imap/node_table.h"
#include "protocols/imap/sorter.h"

enum imap_thread_kind {
	IMAP_THREAD_ORDEREDSUBJECT,
	IMAP_THREAD_REFERENCES,
	IMAP_THREAD_REFS,
};

/* What is told of a message, in the order of sequence numbers. */
struct imap_thread_message {
	uint32_t number;   /* in the response */
	int64_t sent;	   /* seconds; RFC 5256 2.2 */
	int64_t internal;  /* REFS: INTERNALDATE */
	bool reply;	   /* or forward */
	struct slice base; /* base subject, prepared; REFS: not needed */
	struct slice ids;  /* as imap_key_thread gives it */
};

struct imap_thread_node {
	uint64_t id;   /* of its Message-ID, or 0 */
	uint64_t base; /* hash of its base subject; 0: empty */
	int64_t sent;
	int64_t internal; /* of a root of REFS: the latest of its thread */
	uint32_t number;  /* of the message; 0: a dummy */
	uint32_t parent;  /* what forest says, after pruning */
	uint32_t n_children;
	uint32_t first, last, next; /* children in their order, sibling */
	bool reply;
};

struct imap_thread { /* private */
	enum imap_thread_kind kind;
	struct imap_forest forest;
	struct imap_thread_node *v; /* by number of the forest */
	size_t cap;
	struct imap_node_table ids, subjects;
	struct imap_sorter sorter;
	uint32_t *messages; /* nodes of messages as they came, then roots */
	size_t n, cap_messages, n_roots;
	unsigned phase;
	size_t at;
	uint32_t root_first, root_last; /* the roots, in their order */
	uint32_t cursor;		/* where the run or the output is */
	uint32_t root;
	bool climbing;
	size_t hops; /* of a step of the run: links it went along */
};

void imap_thread_init(struct imap_thread *t, enum imap_thread_kind kind);
void imap_thread_fini(struct imap_thread *t);

/* Before the first one: there will be so many messages, each of which mostly
 * names one that isn't among them.  False: too much for the shared memory. */
bool imap_thread_expect(struct imap_thread *t, size_t n) MUST_USE;
/* The next message; false: too much for the shared memory. */
bool imap_thread_add(
    struct imap_thread *t, const struct imap_thread_message *m) MUST_USE;
/*
 * All are there: go on, about so much work: 1 when it's done, 0 when there is
 * more to do, ERR_LIMIT.
 */
int imap_thread_run(struct imap_thread *t, size_t work) MUST_USE;
/*
 * Append about so many bytes of the threads, "(1)(2 3)…"; true when that was
 * the end.
 */
bool imap_thread_put(struct imap_thread *t, struct buf *out, size_t max);

#endif
