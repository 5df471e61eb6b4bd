/* The keys of a search as a tree, and the program made of it. */
#include "protocols/imap/search_tree.h"

enum { DEPTH_MAX = 2000, COST_MAX = 5 };
#define NONE UINT32_MAX

struct search_node {
	enum search_node_kind kind;
	unsigned cost;	/* 0: none … COST_MAX - 1: the whole body */
	uint32_t test;	/* NODE_TEST */
	uint32_t child; /* the last one to be evaluated, or NONE */
	uint32_t next;	/* the sibling to be evaluated before this one */
};

/* A list, OR or NOT that is open. */
struct search_frame {
	uint32_t node;
	uint32_t due; /* children still to come; 0: until ")" */
};

/* Twice as many elements of an array in the arena. */
static void *
grow(struct search_tree *t, const void *old, size_t *cap, size_t size)
{
	size_t more = *cap == 0 ? 16 : *cap * 2;
	void *p = arena_zalloc(&t->i->arena, more, size);

	if (p == NULL)
		return NULL;
	if (*cap != 0)
		memcpy(p, old, *cap * size);
	*cap = more;
	return p;
}

static uint32_t
new_node(struct search_tree *t, enum search_node_kind kind)
{
	if (t->n == t->cap) {
		struct search_node *v = grow(t, t->v, &t->cap, sizeof(*v));

		if (v == NULL)
			return NONE;
		t->v = v;
	}
	t->v[t->n] =
	    (struct search_node){ .kind = kind, .child = NONE, .next = NONE };
	return (uint32_t)t->n++;
}

static struct search_test *
new_test(struct search_tree *t)
{
	struct search_args *a = t->a;

	if (a->n_tests == t->cap_tests) {
		struct search_test *v =
		    grow(t, a->tests, &t->cap_tests, sizeof(*v));

		if (v == NULL)
			return NULL;
		a->tests = v;
	}
	return &a->tests[a->n_tests++];
}

static unsigned
cost_of(enum search_op op)
{
	switch (op) {
	case SEARCH_ALL:
	case SEARCH_FLAG:
	case SEARCH_KEYWORD:
	case SEARCH_RECENT:
	case SEARCH_SET:
	case SEARCH_EMAILID:
	case SEARCH_MODSEQ:
		return 0;
	case SEARCH_BEFORE:
	case SEARCH_ON:
	case SEARCH_SINCE:
	case SEARCH_SAVEDBEFORE:
	case SEARCH_SAVEDON:
	case SEARCH_SAVEDSINCE:
	case SEARCH_OLDER:
	case SEARCH_YOUNGER:
	case SEARCH_LARGER:
	case SEARCH_SMALLER:
		return 1;
	case SEARCH_SENTBEFORE:
	case SEARCH_SENTON:
	case SEARCH_SENTSINCE:
	case SEARCH_HEADER:
		return 2;
	case SEARCH_BODY:
		return 3;
	case SEARCH_TEXT:
		break;
	}
	return 4;
}

/*
 * The children of a complete node in order of cost.  The list runs backwards,
 * from the dearest, as the program is made from its end.
 */
static void
close_node(struct search_tree *t, uint32_t at)
{
	struct search_node *n = &t->v[at];
	uint32_t all = n->child, sorted = NONE;

	for (unsigned cost = 0; cost < COST_MAX; cost++) {
		uint32_t *from = &all;

		while (*from != NONE) {
			uint32_t c = *from;

			if (t->v[c].cost != cost) {
				from = &t->v[c].next;
				continue;
			}
			*from = t->v[c].next;
			t->v[c].next = sorted;
			sorted = c;
			n->cost = cost;
		}
	}
	n->child = sorted;
}

/* Hang a complete node into what is open, and close what that completes. */
static void
attach(struct search_tree *t, uint32_t node)
{
	for (;;) {
		struct search_frame *f = &t->stack[t->depth - 1];
		struct search_node *parent = &t->v[f->node];

		t->v[node].next = parent->child;
		parent->child = node;
		if (f->due == 0 || --f->due != 0)
			return;
		node = f->node;
		close_node(t, node);
		t->depth--;
	}
}

enum parse
search_limit(struct imap_lex *lx, const char *why)
{
	lx->why = why;
	return PARSE_LIMIT;
}

void
search_tree_begin(
    struct search_tree *t, struct imap_session *i, struct search_args *a)
{
	*t = (struct search_tree){ .i = i, .a = a };
	t->stack = arena_zalloc(&i->arena, DEPTH_MAX, sizeof(*t->stack));
	assert(t->stack != NULL);
}

enum parse
search_tree_open(struct search_tree *t, struct imap_lex *lx,
    enum search_node_kind kind, uint32_t due)
{
	uint32_t node;

	if (t->depth == DEPTH_MAX)
		return search_limit(lx, "keys nested too deeply");
	node = new_node(t, kind);
	if (node == NONE)
		return search_limit(lx, "too many keys");
	t->stack[t->depth].node = node;
	t->stack[t->depth].due = due;
	t->depth++;
	return PARSE_OK;
}

enum parse
search_tree_add(struct search_tree *t, struct imap_lex *lx,
    const struct search_test *test, bool not )
{
	struct search_test *place = new_test(t);
	uint32_t node = new_node(t, NODE_TEST);
	enum parse r;

	if (place == NULL || node == NONE)
		return search_limit(lx, "too many keys");
	*place = *test;
	t->v[node].test = (uint32_t)(t->a->n_tests - 1);
	t->v[node].cost = cost_of(test->op);
	if (not &&(r = search_tree_open(t, lx, NODE_NOT, 1)) != PARSE_OK)
		return r;
	attach(t, node);
	return PARSE_OK;
}

bool
search_tree_in_list(const struct search_tree *t)
{
	return t->depth > 1 && t->stack[t->depth - 1].due == 0;
}

bool
search_tree_is_whole(const struct search_tree *t)
{
	return t->depth == 1;
}

void
search_tree_close(struct search_tree *t)
{
	uint32_t node = t->stack[--t->depth].node;

	close_node(t, node);
	attach(t, node);
}

/* --- the program --------------------------------------------------------- */

/* A node being made: what comes after it, and what its children have come to
 * so far. */
struct making {
	uint32_t node, child;
	int32_t yes, no;
	int32_t entry; /* of the children made so far */
};

static struct making
begin_making(
    const struct search_tree *t, uint32_t node, int32_t yes, int32_t no)
{
	const struct search_node *n = &t->v[node];

	return (struct making){ .node = node,
		.child = n->child,
		.yes = yes,
		.no = no,
		/* the end of a list: AND has held, OR has failed */
		.entry = n->kind == NODE_OR ? no : yes };
}

/* The making of the next child of m. */
static struct making
next_child(const struct search_tree *t, struct making *m)
{
	uint32_t c = m->child;
	enum search_node_kind kind = t->v[m->node].kind;

	m->child = t->v[c].next;
	if (kind == NODE_NOT)
		return begin_making(t, c, m->no, m->yes);
	if (kind == NODE_OR)
		return begin_making(t, c, m->yes, m->entry);
	return begin_making(t, c, m->entry, m->no);
}

/*
 * Give every test its successors, from the end of the tree to its front: a
 * child's entry is where the one before it goes on.
 */
static bool
make_program(struct search_tree *t)
{
	struct making *stack =
	    arena_zalloc(&t->i->arena, DEPTH_MAX + 2, sizeof(*stack));
	size_t depth = 0;

	if (stack == NULL)
		return false;
	stack[depth++] =
	    begin_making(t, t->stack[0].node, SEARCH_MATCH, SEARCH_NO_MATCH);
	while (depth != 0) {
		struct making *m = &stack[depth - 1];
		const struct search_node *n = &t->v[m->node];

		if (n->kind == NODE_TEST) {
			t->a->tests[n->test].yes = m->yes;
			t->a->tests[n->test].no = m->no;
			m->entry = (int32_t)n->test;
		} else if (m->child != NONE) {
			assert(depth < DEPTH_MAX + 2);
			stack[depth] = next_child(t, m);
			depth++;
			continue;
		}
		t->a->start = m->entry;
		if (--depth != 0)
			stack[depth - 1].entry = t->a->start;
	}
	return true;
}

enum parse
search_tree_finish(struct search_tree *t, struct imap_lex *lx)
{
	close_node(t, t->stack[0].node);
	return make_program(t) ? PARSE_OK : search_limit(lx, "too many keys");
}
