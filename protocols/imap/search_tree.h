/*
 * search_tree: the keys of a search as they nest, until they are a program.
 *
 * Layer:  protocols/imap, within search.
 *
 * Keys are added in the order they stand in the command; all memory is the
 * command's arena.  A list is open until it is closed, NOT and OR until they
 * have their keys.
 */
#ifndef IMAP_SEARCH_TREE_H
#define IMAP_SEARCH_TREE_H

#include "protocols/imap/search.h"

enum search_node_kind { NODE_TEST, NODE_AND, NODE_OR, NODE_NOT };

struct search_tree {
	struct imap_session *i;
	struct search_args *a; /* takes the tests */
	size_t parens;	       /* that are open; the parser's */
	/* the module's own */
	size_t cap_tests;
	struct search_node *v;
	size_t n, cap;
	struct search_frame *stack;
	size_t depth;
};

void search_tree_begin(
    struct search_tree *t, struct imap_session *i, struct search_args *a);
/* What follows belongs to a new node: so many keys, or (0) until it's closed.
 * The first one is the whole search.  PARSE_LIMIT: nested too deeply, or too
 * many. */
enum parse search_tree_open(struct search_tree *t, struct imap_lex *lx,
    enum search_node_kind kind, uint32_t due) MUST_USE;
/* A key: its test, or (not) the contrary.  PARSE_LIMIT: too many. */
enum parse search_tree_add(struct search_tree *t, struct imap_lex *lx,
    const struct search_test *test, bool not ) MUST_USE;
/* Whether the innermost that is open is a list, other than the whole search. */
bool search_tree_in_list(const struct search_tree *t);
/* Whether nothing is open but the whole search. */
bool search_tree_is_whole(const struct search_tree *t);
/* Close that list. */
void search_tree_close(struct search_tree *t);
/* Make the program: each test's successors, and where it starts.  PARSE_LIMIT:
 * too many. */
enum parse search_tree_finish(
    struct search_tree *t, struct imap_lex *lx) MUST_USE;

/* PARSE_LIMIT, with the reason. */
enum parse search_limit(struct imap_lex *lx, const char *why) MUST_USE;

#endif
