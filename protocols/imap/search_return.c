/* Result options of SEARCH. */
#include "protocols/imap/search.h"

/* clang-format off */
static const struct {
	struct slice name;
	enum search_return_option option;
} options[] = {
	{ SLICE_INIT("MIN"),	 SEARCH_RETURN_MIN },	  /* RFC 4731 3.1 */
	{ SLICE_INIT("MAX"),	 SEARCH_RETURN_MAX },
	{ SLICE_INIT("ALL"),	 SEARCH_RETURN_ALL },
	{ SLICE_INIT("COUNT"),	 SEARCH_RETURN_COUNT },
	{ SLICE_INIT("SAVE"),	 SEARCH_RETURN_SAVE },	  /* RFC 5182 2.1 */
	{ SLICE_INIT("PARTIAL"), SEARCH_RETURN_PARTIAL }, /* RFC 9394 3.1 */
};
/* clang-format on */

static enum parse
bad(struct imap_lex *lx, const char *why)
{
	lx->why = why;
	return PARSE_BAD;
}

static enum parse
one_option(struct imap_lex *lx, struct search_return *out)
{
	struct slice name;
	unsigned option = 0;
	enum parse r = imap_lex_atom(lx, &name);

	if (r != PARSE_OK)
		return r;
	for (size_t k = 0; k < NELEMS(options); k++)
		if (slice_ieq(options[k].name, name))
			option = options[k].option;
	if (option == 0)
		return bad(lx, "unknown result option");
	/* RFC 9394 3.1: one of the two, once */
	if ((option == SEARCH_RETURN_PARTIAL &&
		(out->what & (SEARCH_RETURN_PARTIAL | SEARCH_RETURN_ALL))) ||
	    (option == SEARCH_RETURN_ALL &&
		(out->what & SEARCH_RETURN_PARTIAL)))
		return bad(lx, "more than one of PARTIAL and ALL");
	out->what |= option;
	if (option != SEARCH_RETURN_PARTIAL)
		return PARSE_OK;
	r = imap_lex_space(lx);
	return r == PARSE_OK ? imap_lex_partial(lx, &out->partial) : r;
}

enum parse
imap_parse_return(struct imap_lex *lx, struct search_return *out)
{
	struct search_return ret = { .given = true };
	enum parse r;

	*out = (struct search_return){ .given = false };
	if (!imap_lex_word(lx, SLICE("RETURN")))
		return PARSE_OK;
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_open(lx)) != PARSE_OK)
		return r;
	if (!imap_lex_take(lx, ')')) {
		do {
			if ((r = one_option(lx, &ret)) != PARSE_OK)
				return r;
		} while (imap_lex_take(lx, ' '));
		if ((r = imap_lex_close(lx)) != PARSE_OK)
			return r;
	}
	if (ret.what == 0)
		ret.what = SEARCH_RETURN_ALL;
	*out = ret;
	return imap_lex_space(lx);
}
