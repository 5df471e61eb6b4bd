/* The arguments of SEARCH, RFC 3501 6.4.4 and 9, and the program of them. */
#include "base/ascii.h"
#include "protocols/imap/date_time.h"
#include "protocols/imap/names.h"
#include "protocols/imap/search_tree.h"

enum { OBJECTID_MAX = 255 };

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

/* --- arguments of keys --------------------------------------------------- */

/* A string in the command's charset, ready to be looked for. */
static enum parse
text_arg(struct search_tree *t, struct imap_lex *lx, struct imap_needle *needle)
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
	return ok ? PARSE_OK : search_limit(lx, "keys too long");
}

static enum parse
set_arg(
    struct search_tree *t, struct imap_lex *lx, bool uid, struct imap_set *out)
{
	if (!uid && imap_lex_peek(lx) != '$')
		t->i->by_numbers = true;
	return imap_parse_set_as(t->i, lx, uid, out);
}

/* RFC 5032 2: so many seconds ago. */
static enum parse
seconds_arg(
    struct search_tree *t, struct imap_lex *lx, struct search_test *test)
{
	uint32_t ago;
	enum parse r = imap_lex_nz_number(lx, &ago);

	if (r == PARSE_OK)
		test->days = t->i->wall / 1000 - ago;
	return r;
}

/* RFC 7162 7, search-modsequence; one mod-sequence for all of a message. */
static enum parse
modseq_arg(struct search_tree *t, struct imap_lex *lx, struct search_test *test)
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
key_arg(struct search_tree *t, struct imap_lex *lx, enum arg arg,
    struct search_test *test)
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
add_test(struct search_tree *t, struct imap_lex *lx,
    const struct search_test *what, enum arg arg, bool not )
{
	struct search_test test = *what;
	enum parse r = key_arg(t, lx, arg, &test);

	return r == PARSE_OK ? search_tree_add(t, lx, &test, not ) : r;
}

/* NEW: RECENT UNSEEN. */
static enum parse
add_new(struct search_tree *t, struct imap_lex *lx)
{
	const struct search_test recent = { .op = SEARCH_RECENT };
	const struct search_test seen = { .op = SEARCH_FLAG,
		.flag = MESSAGE_SEEN };
	enum parse r = search_tree_open(t, lx, NODE_AND, 2);

	if (r == PARSE_OK)
		r = add_test(t, lx, &recent, ARG_NONE, false);
	if (r == PARSE_OK)
		r = add_test(t, lx, &seen, ARG_NONE, true);
	return r;
}

static enum parse
named_key(struct search_tree *t, struct imap_lex *lx, struct slice name)
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
opener(struct search_tree *t, struct imap_lex *lx, bool *opened)
{
	enum parse r;

	*opened = true;
	if (imap_lex_take(lx, '(')) {
		if (++t->parens > t->i->opt->nesting_max)
			return search_limit(
			    lx, "parentheses nested too deeply");
		return search_tree_open(t, lx, NODE_AND, 0);
	}
	if (imap_lex_word(lx, SLICE("NOT")))
		r = search_tree_open(t, lx, NODE_NOT, 1);
	else if (imap_lex_word(lx, SLICE("OR")))
		r = search_tree_open(t, lx, NODE_OR, 2);
	else {
		*opened = false;
		return PARSE_OK;
	}
	return r == PARSE_OK ? imap_lex_space(lx) : r;
}

static enum parse
one_key(struct search_tree *t, struct imap_lex *lx)
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
between(struct search_tree *t, struct imap_lex *lx, bool *more)
{
	bool in_list;

	while ((in_list = search_tree_in_list(t)) && imap_lex_take(lx, ')')) {
		t->parens--;
		search_tree_close(t);
	}
	*more = imap_lex_peek(lx) == ' ';
	if (*more)
		return imap_lex_space(lx);
	if (in_list)
		return imap_lex_close(lx);
	/* an OR or NOT that has not all its keys */
	return search_tree_is_whole(t) ? PARSE_OK : imap_lex_space(lx);
}

static enum parse
all_keys(struct search_tree *t, struct imap_lex *lx)
{
	bool more = true, opened;
	enum parse r = search_tree_open(t, lx, NODE_AND, 0);

	while (r == PARSE_OK && more) {
		r = opener(t, lx, &opened);
		if (r != PARSE_OK || opened)
			continue;
		r = one_key(t, lx);
		if (r == PARSE_OK)
			r = between(t, lx, &more);
	}
	return r;
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
	/* RFC 6855 3: strings are UTF-8 then, and nothing else */
	if (i->utf8) {
		lx->why = "no charset is taken after ENABLE UTF8=ACCEPT";
		return PARSE_BAD;
	}
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
	struct search_tree t;
	enum parse r;

	a->fd = -1;
	search_tree_begin(&t, i, a);
	if ((r = all_keys(&t, lx)) != PARSE_OK ||
	    (r = imap_lex_crlf(lx)) != PARSE_OK)
		return r;
	return search_tree_finish(&t, lx);
}

enum parse
imap_search_criteria(
    struct imap_session *i, struct imap_lex *lx, struct search_args *a)
{
	struct slice name;
	enum parse r = imap_parse_astring(i, lx, &name);

	if (r != PARSE_OK || (r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	/* RFC 6855, erratum 4029 */
	if (i->utf8 && !slice_ieq(name, SLICE("UTF-8"))) {
		lx->why = "the charset is UTF-8 after ENABLE UTF8=ACCEPT";
		return PARSE_BAD;
	}
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
