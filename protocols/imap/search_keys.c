/* The arguments of SEARCH, RFC 3501 6.4.4 and 9, and the program of them. */
#include "base/ascii.h"
#include "protocols/imap/date_time.h"
#include "protocols/imap/search.h"

enum { DEPTH_MAX = 2000, OBJECTID_MAX = 255 };
#define NONE UINT32_MAX

enum arg {
	ARG_NONE,
	ARG_TEXT,
	ARG_DATE,
	ARG_SIZE,
	ARG_KEYWORD,
	ARG_HEADER,
	ARG_OBJECTID,
	ARG_SECONDS,
	ARG_MODSEQ,
	ARG_SET
};

/* clang-format off */
static const struct {
	struct slice name;
	enum search_op op;
	bool not;
	enum arg arg;
	uint32_t flag;
	struct slice field;
} keys[] = {
	{ SLICE_INIT("ALL"),	    SEARCH_ALL,	   false, ARG_NONE, 0, { 0 } },
	{ SLICE_INIT("ANSWERED"),   SEARCH_FLAG,   false, ARG_NONE, MESSAGE_ANSWERED, { 0 } },
	{ SLICE_INIT("DELETED"),    SEARCH_FLAG,   false, ARG_NONE, MESSAGE_DELETED, { 0 } },
	{ SLICE_INIT("DRAFT"),	    SEARCH_FLAG,   false, ARG_NONE, MESSAGE_DRAFT, { 0 } },
	{ SLICE_INIT("FLAGGED"),    SEARCH_FLAG,   false, ARG_NONE, MESSAGE_FLAGGED, { 0 } },
	{ SLICE_INIT("SEEN"),	    SEARCH_FLAG,   false, ARG_NONE, MESSAGE_SEEN, { 0 } },
	{ SLICE_INIT("UNANSWERED"), SEARCH_FLAG,   true,  ARG_NONE, MESSAGE_ANSWERED, { 0 } },
	{ SLICE_INIT("UNDELETED"),  SEARCH_FLAG,   true,  ARG_NONE, MESSAGE_DELETED, { 0 } },
	{ SLICE_INIT("UNDRAFT"),    SEARCH_FLAG,   true,  ARG_NONE, MESSAGE_DRAFT, { 0 } },
	{ SLICE_INIT("UNFLAGGED"),  SEARCH_FLAG,   true,  ARG_NONE, MESSAGE_FLAGGED, { 0 } },
	{ SLICE_INIT("UNSEEN"),	    SEARCH_FLAG,   true,  ARG_NONE, MESSAGE_SEEN, { 0 } },
	{ SLICE_INIT("RECENT"),	    SEARCH_RECENT, false, ARG_NONE, 0, { 0 } },
	{ SLICE_INIT("OLD"),	    SEARCH_RECENT, true,  ARG_NONE, 0, { 0 } },
	{ SLICE_INIT("KEYWORD"),    SEARCH_KEYWORD, false, ARG_KEYWORD, 0, { 0 } },
	{ SLICE_INIT("UNKEYWORD"),  SEARCH_KEYWORD, true, ARG_KEYWORD, 0, { 0 } },
	{ SLICE_INIT("BEFORE"),	    SEARCH_BEFORE, false, ARG_DATE, 0, { 0 } },
	{ SLICE_INIT("ON"),	    SEARCH_ON,	   false, ARG_DATE, 0, { 0 } },
	{ SLICE_INIT("SINCE"),	    SEARCH_SINCE,  false, ARG_DATE, 0, { 0 } },
	{ SLICE_INIT("SENTBEFORE"), SEARCH_SENTBEFORE, false, ARG_DATE, 0, { 0 } },
	{ SLICE_INIT("SENTON"),	    SEARCH_SENTON, false, ARG_DATE, 0, { 0 } },
	{ SLICE_INIT("SENTSINCE"),  SEARCH_SENTSINCE, false, ARG_DATE, 0, { 0 } },
	{ SLICE_INIT("OLDER"),	    SEARCH_OLDER,  false, ARG_SECONDS, 0, { 0 } },
	{ SLICE_INIT("YOUNGER"),    SEARCH_YOUNGER, false, ARG_SECONDS, 0, { 0 } },
	{ SLICE_INIT("MODSEQ"),	    SEARCH_MODSEQ, false, ARG_MODSEQ, 0, { 0 } },
	/* RFC 8514: saved dates are known everywhere */
	{ SLICE_INIT("SAVEDBEFORE"), SEARCH_SAVEDBEFORE, false, ARG_DATE, 0, { 0 } },
	{ SLICE_INIT("SAVEDON"),    SEARCH_SAVEDON, false, ARG_DATE, 0, { 0 } },
	{ SLICE_INIT("SAVEDSINCE"), SEARCH_SAVEDSINCE, false, ARG_DATE, 0, { 0 } },
	{ SLICE_INIT("SAVEDATESUPPORTED"), SEARCH_ALL, false, ARG_NONE, 0, { 0 } },
	/* RFC 8474: there are no thread ids, so none matches */
	{ SLICE_INIT("EMAILID"),    SEARCH_EMAILID, false, ARG_OBJECTID, 0, { 0 } },
	{ SLICE_INIT("THREADID"),   SEARCH_ALL,	   true,  ARG_OBJECTID, 0, { 0 } },
	{ SLICE_INIT("LARGER"),	    SEARCH_LARGER, false, ARG_SIZE, 0, { 0 } },
	{ SLICE_INIT("SMALLER"),    SEARCH_SMALLER, false, ARG_SIZE, 0, { 0 } },
	{ SLICE_INIT("UID"),	    SEARCH_SET,	   false, ARG_SET, 0, { 0 } },
	{ SLICE_INIT("BCC"),	    SEARCH_HEADER, false, ARG_TEXT, 0, SLICE_INIT("Bcc") },
	{ SLICE_INIT("CC"),	    SEARCH_HEADER, false, ARG_TEXT, 0, SLICE_INIT("Cc") },
	{ SLICE_INIT("FROM"),	    SEARCH_HEADER, false, ARG_TEXT, 0, SLICE_INIT("From") },
	{ SLICE_INIT("SUBJECT"),    SEARCH_HEADER, false, ARG_TEXT, 0, SLICE_INIT("Subject") },
	{ SLICE_INIT("TO"),	    SEARCH_HEADER, false, ARG_TEXT, 0, SLICE_INIT("To") },
	{ SLICE_INIT("HEADER"),	    SEARCH_HEADER, false, ARG_HEADER, 0, { 0 } },
	{ SLICE_INIT("BODY"),	    SEARCH_BODY,   false, ARG_TEXT, 0, { 0 } },
	{ SLICE_INIT("TEXT"),	    SEARCH_TEXT,   false, ARG_TEXT, 0, { 0 } },
};
/* clang-format on */

/* --- the tree ------------------------------------------------------------ */

enum node_kind { NODE_TEST, NODE_AND, NODE_OR, NODE_NOT };

struct node {
	enum node_kind kind;
	unsigned cost;	/* 0: none … COST_MAX - 1: the whole body */
	uint32_t test;	/* NODE_TEST */
	uint32_t child; /* the last one to be evaluated, or NONE */
	uint32_t next;	/* the sibling to be evaluated before this one */
};

enum { COST_MAX = 5 };

struct tree {
	struct imap_session *i;
	struct search_args *a;
	size_t cap_tests;
	struct node *v;
	size_t n, cap;
	/* open lists, ORs and NOTs: node and number of children still due
	 * (0: until ")") */
	struct frame {
		uint32_t node;
		uint32_t due;
	} * stack;
	size_t depth, parens;
};

/* Twice as many elements of an array in the arena. */
static void *
grow(struct tree *t, const void *old, size_t *cap, size_t size)
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
new_node(struct tree *t, enum node_kind kind)
{
	if (t->n == t->cap) {
		struct node *v = grow(t, t->v, &t->cap, sizeof(*v));

		if (v == NULL)
			return NONE;
		t->v = v;
	}
	t->v[t->n] = (struct node){ .kind = kind, .child = NONE, .next = NONE };
	return (uint32_t)t->n++;
}

static struct search_test *
new_test(struct tree *t)
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
close_node(struct tree *t, uint32_t at)
{
	struct node *n = &t->v[at];
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
attach(struct tree *t, uint32_t node)
{
	for (;;) {
		struct frame *f = &t->stack[t->depth - 1];
		struct node *parent = &t->v[f->node];

		t->v[node].next = parent->child;
		parent->child = node;
		if (f->due == 0 || --f->due != 0)
			return;
		node = f->node;
		close_node(t, node);
		t->depth--;
	}
}

static enum parse
limit(struct imap_lex *lx, const char *why)
{
	lx->why = why;
	return PARSE_LIMIT;
}

static enum parse
open_node(
    struct tree *t, struct imap_lex *lx, enum node_kind kind, uint32_t due)
{
	uint32_t node;

	if (t->depth == DEPTH_MAX)
		return limit(lx, "keys nested too deeply");
	node = new_node(t, kind);
	if (node == NONE)
		return limit(lx, "too many keys");
	t->stack[t->depth].node = node;
	t->stack[t->depth].due = due;
	t->depth++;
	return PARSE_OK;
}

/* --- arguments of keys --------------------------------------------------- */

/* A string in the command's charset, ready to be looked for. */
static enum parse
text_arg(struct tree *t, struct imap_lex *lx, struct imap_needle *needle)
{
	struct slice s;
	struct buf utf8;
	bool ok;
	enum parse r = imap_parse_astring(t->i, lx, &s);

	if (r != PARSE_OK)
		return r;
	buf_init(&utf8, 4 * s.n + 64);
	(void)mime_charset_decode(t->a->charset, s, &utf8);
	ok = imap_needle_make(needle, buf_slice(&utf8), &t->i->arena);
	buf_fini(&utf8);
	return ok ? PARSE_OK : limit(lx, "keys too long");
}

static enum parse
set_arg(struct tree *t, struct imap_lex *lx, bool uid, struct imap_set *out)
{
	if (!uid && imap_lex_peek(lx) != '$')
		t->i->by_numbers = true;
	return imap_parse_set_as(t->i, lx, uid, out);
}

/* RFC 5032 2: so many seconds ago. */
static enum parse
seconds_arg(struct tree *t, struct imap_lex *lx, struct search_test *test)
{
	uint32_t ago;
	enum parse r = imap_lex_nz_number(lx, &ago);

	if (r == PARSE_OK)
		test->days = t->i->wall / 1000 - ago;
	return r;
}

/* RFC 7162 7, search-modsequence; one mod-sequence for all of a message. */
static enum parse
modseq_arg(struct tree *t, struct imap_lex *lx, struct search_test *test)
{
	struct slice entry, type;
	enum parse r;

	t->a->by_modseq = true;
	if (imap_lex_peek(lx) == '"') {
		if ((r = imap_lex_string(lx, &entry)) != PARSE_OK)
			return r;
		if (!slice_istarts(entry, SLICE("/flags/"))) {
			lx->why = "no such metadata item";
			return PARSE_BAD;
		}
		if ((r = imap_lex_space(lx)) != PARSE_OK ||
		    (r = imap_lex_atom(lx, &type)) != PARSE_OK ||
		    (r = imap_lex_space(lx)) != PARSE_OK)
			return r;
		if (!slice_ieq(type, SLICE("priv")) &&
		    !slice_ieq(type, SLICE("shared")) &&
		    !slice_ieq(type, SLICE("all"))) {
			lx->why = "no such kind of metadata item";
			return PARSE_BAD;
		}
	}
	return imap_lex_modseq(lx, &test->modseq);
}

static enum parse
keyword_arg(struct imap_lex *lx, struct search_test *test)
{
	struct slice name;
	enum parse r = imap_lex_atom(lx, &name);

	if (r != PARSE_OK)
		return r;
	if (slice_ieq(name, SLICE("$Forwarded"))) {
		test->op = SEARCH_FLAG;
		test->flag = MESSAGE_FORWARDED;
	}
	test->name = name;
	return PARSE_OK;
}

/* objectid, RFC 8474 7. */
static enum parse
objectid_arg(struct imap_lex *lx, struct search_test *test)
{
	size_t start = lx->pos;
	enum parse r = imap_lex_atom(lx, &test->name);

	if (r != PARSE_OK)
		return r;
	for (size_t k = 0; k < test->name.n; k++) {
		uint8_t c = test->name.p[k];

		if (!ascii_is_alnum(c) && c != '_' && c != '-')
			test->name.n = 0;
	}
	if (test->name.n != 0 && test->name.n <= OBJECTID_MAX)
		return PARSE_OK;
	lx->pos = start;
	lx->why = "not an objectid";
	return PARSE_BAD;
}

static enum parse
key_arg(
    struct tree *t, struct imap_lex *lx, enum arg arg, struct search_test *test)
{
	enum parse r = arg == ARG_NONE ? PARSE_OK : imap_lex_space(lx);

	if (r != PARSE_OK)
		return r;
	switch (arg) {
	case ARG_NONE:
		return PARSE_OK;
	case ARG_DATE:
		return imap_lex_date(lx, &test->days);
	case ARG_SIZE:
		return imap_lex_number(lx, &test->size);
	case ARG_KEYWORD:
		return keyword_arg(lx, test);
	case ARG_OBJECTID:
		return objectid_arg(lx, test);
	case ARG_SECONDS:
		return seconds_arg(t, lx, test);
	case ARG_MODSEQ:
		return modseq_arg(t, lx, test);
	case ARG_SET:
		return set_arg(t, lx, true, &test->set);
	case ARG_HEADER:
		if ((r = imap_parse_astring(t->i, lx, &test->name)) !=
			PARSE_OK ||
		    (r = imap_lex_space(lx)) != PARSE_OK)
			return r;
		break;
	case ARG_TEXT:
		break;
	}
	return text_arg(t, lx, &test->needle);
}

/* --- keys ---------------------------------------------------------------- */

/* A test with its argument, below a NOT if the key is one. */
static enum parse
add_test(struct tree *t, struct imap_lex *lx, const struct search_test *what,
    enum arg arg, bool not )
{
	struct search_test test = *what, *place;
	uint32_t node;
	enum parse r = key_arg(t, lx, arg, &test);

	if (r != PARSE_OK)
		return r;
	place = new_test(t);
	node = new_node(t, NODE_TEST);
	if (place == NULL || node == NONE)
		return limit(lx, "too many keys");
	*place = test;
	t->v[node].test = (uint32_t)(t->a->n_tests - 1);
	t->v[node].cost = cost_of(test.op);
	if (not &&(r = open_node(t, lx, NODE_NOT, 1)) != PARSE_OK)
		return r;
	attach(t, node);
	return PARSE_OK;
}

/* NEW: RECENT UNSEEN. */
static enum parse
add_new(struct tree *t, struct imap_lex *lx)
{
	const struct search_test recent = { .op = SEARCH_RECENT };
	const struct search_test seen = { .op = SEARCH_FLAG,
		.flag = MESSAGE_SEEN };
	enum parse r = open_node(t, lx, NODE_AND, 2);

	if (r == PARSE_OK)
		r = add_test(t, lx, &recent, ARG_NONE, false);
	if (r == PARSE_OK)
		r = add_test(t, lx, &seen, ARG_NONE, true);
	return r;
}

static enum parse
named_key(struct tree *t, struct imap_lex *lx, struct slice name)
{
	for (size_t k = 0; k < NELEMS(keys); k++) {
		const struct search_test what = { .op = keys[k].op,
			.flag = keys[k].flag,
			.name = keys[k].field };

		if (slice_ieq(keys[k].name, name))
			return add_test(
			    t, lx, &what, keys[k].arg, keys[k].not );
	}
	lx->why = "unknown search key";
	return PARSE_BAD;
}

/* Something that must be followed by another key: NOT, OR, "(". */
static enum parse
opener(struct tree *t, struct imap_lex *lx, bool *opened)
{
	enum parse r;

	*opened = true;
	if (imap_lex_take(lx, '(')) {
		if (++t->parens > t->i->opt->nesting_max)
			return limit(lx, "parentheses nested too deeply");
		return open_node(t, lx, NODE_AND, 0);
	}
	if (imap_lex_word(lx, SLICE("NOT")))
		r = open_node(t, lx, NODE_NOT, 1);
	else if (imap_lex_word(lx, SLICE("OR")))
		r = open_node(t, lx, NODE_OR, 2);
	else {
		*opened = false;
		return PARSE_OK;
	}
	return r == PARSE_OK ? imap_lex_space(lx) : r;
}

static enum parse
one_key(struct tree *t, struct imap_lex *lx)
{
	const struct search_test set = { .op = SEARCH_SET };
	struct search_test numbers = set;
	struct slice name;
	int c = imap_lex_peek(lx);
	enum parse r;

	if (c == '*' || c == '$' || (c >= '0' && c <= '9')) {
		r = set_arg(t, lx, false, &numbers.set);
		return r == PARSE_OK
		    ? add_test(t, lx, &numbers, ARG_NONE, false)
		    : r;
	}
	r = imap_lex_atom(lx, &name);
	if (r != PARSE_OK)
		return r;
	if (slice_ieq(name, SLICE("NEW")))
		return add_new(t, lx);
	return named_key(t, lx, name);
}

/* What stands between two keys: ")" as often as it comes, then SP. */
static enum parse
between(struct tree *t, struct imap_lex *lx, bool *more)
{
	while (t->depth > 1 && t->stack[t->depth - 1].due == 0 &&
	    imap_lex_take(lx, ')')) {
		uint32_t node = t->stack[t->depth - 1].node;

		t->depth--;
		t->parens--;
		close_node(t, node);
		attach(t, node);
	}
	*more = imap_lex_peek(lx) == ' ';
	if (!*more && t->depth > 1)
		return t->stack[t->depth - 1].due == 0 ? imap_lex_close(lx)
						       : imap_lex_space(lx);
	return *more ? imap_lex_space(lx) : PARSE_OK;
}

static enum parse
all_keys(struct tree *t, struct imap_lex *lx)
{
	bool more = true, opened;
	enum parse r = open_node(t, lx, NODE_AND, 0);

	while (r == PARSE_OK && more) {
		r = opener(t, lx, &opened);
		if (r != PARSE_OK || opened)
			continue;
		r = one_key(t, lx);
		if (r == PARSE_OK)
			r = between(t, lx, &more);
	}
	if (r == PARSE_OK)
		close_node(t, t->stack[0].node);
	return r;
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
begin_making(const struct tree *t, uint32_t node, int32_t yes, int32_t no)
{
	const struct node *n = &t->v[node];

	return (struct making){ .node = node,
		.child = n->child,
		.yes = yes,
		.no = no,
		/* the end of a list: AND has held, OR has failed */
		.entry = n->kind == NODE_OR ? no : yes };
}

/* The making of the next child of m. */
static struct making
next_child(const struct tree *t, struct making *m)
{
	uint32_t c = m->child;
	enum node_kind kind = t->v[m->node].kind;

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
make_program(struct tree *t)
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
		const struct node *n = &t->v[m->node];

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

/* --- the command --------------------------------------------------------- */

static void
set_charset(struct search_args *a, struct slice name)
{
	a->bad_charset = !mime_charset_known(name);
	a->charset = a->bad_charset ? SLICE("UTF-8") : name;
}

static enum parse
charset_arg(struct imap_session *i, struct imap_lex *lx, struct search_args *a)
{
	struct slice name;
	enum parse r;

	if (!imap_lex_word(lx, SLICE("CHARSET")))
		return PARSE_OK;
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_astring(i, lx, &name)) != PARSE_OK)
		return r;
	set_charset(a, name);
	return imap_lex_space(lx);
}

enum parse
imap_search_program(
    struct imap_session *i, struct imap_lex *lx, struct search_args *a)
{
	struct tree t = { .i = i, .a = a };
	enum parse r;

	a->fd = -1;
	t.stack = arena_zalloc(&i->arena, DEPTH_MAX, sizeof(*t.stack));
	assert(t.stack != NULL);
	if ((r = all_keys(&t, lx)) != PARSE_OK ||
	    (r = imap_lex_crlf(lx)) != PARSE_OK)
		return r;
	return make_program(&t) ? PARSE_OK : limit(lx, "too many keys");
}

enum parse
imap_search_criteria(
    struct imap_session *i, struct imap_lex *lx, struct search_args *a)
{
	struct slice name;
	enum parse r = imap_parse_astring(i, lx, &name);

	if (r != PARSE_OK || (r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	set_charset(a, name);
	return imap_search_program(i, lx, a);
}

enum parse
imap_parse_search(struct imap_session *i, struct imap_lex *lx)
{
	struct search_command *c = IMAP_ARGS(i, struct search_command);
	struct search_args *a = &c->search;
	enum parse r;

	a->charset = SLICE("UTF-8");
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_return(lx, &c->ret)) != PARSE_OK ||
	    (r = charset_arg(i, lx, a)) != PARSE_OK)
		return r;
	return imap_search_program(i, lx, a);
}
