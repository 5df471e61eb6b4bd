/* Sequence sets of the selected mailbox. */
#include "protocols/imap/session_impl.h"

enum parse
imap_parse_set_as(
    struct imap_session *i, struct imap_lex *lx, bool uid, struct imap_set *out)
{
	struct imap_set set;
	enum parse r;

	/* RFC 5182 2.1: what the last search saved, numbers or UIDs */
	if (imap_lex_take(lx, '$')) {
		if (imap_saved_resolve(&i->saved, i->view, &i->arena, out))
			return PARSE_OK;
		lx->why = "too many messages";
		return PARSE_LIMIT;
	}
	r = imap_lex_set(lx, &i->arena, i->opt->set_max, &set);
	if (r != PARSE_OK)
		return r;
	if (!imap_set_resolve(&set, i->view, uid)) {
		lx->why = "no such message";
		return PARSE_BAD;
	}
	*out = set;
	return PARSE_OK;
}

enum parse
imap_parse_set(
    struct imap_session *i, struct imap_lex *lx, struct imap_set *out)
{
	return imap_parse_set_as(i, lx, i->uid, out);
}

size_t
imap_set_uids(const struct imap_session *i, const struct imap_set *set,
    uint32_t *next, uint32_t *uids, size_t max)
{
	size_t n = 0;
	uint32_t seq = *next == 0 ? 0 : imap_set_next(set, *next);

	while (seq != 0 && n < max) {
		uids[n++] = view_get(i->view, seq)->uid;
		seq = imap_set_next(set, seq + 1);
	}
	*next = seq;
	return n;
}

uint32_t *
imap_set_all_uids(struct imap_session *i, const struct imap_set *set, size_t *n)
{
	size_t count = imap_set_count(set);
	uint32_t *uids, next = 1;

	*n = 0;
	if (count == 0)
		return NULL;
	uids = arena_zalloc(&i->arena, count, sizeof(*uids));
	assert(uids != NULL); /* four bytes for each message of a view */
	*n = imap_set_uids(i, set, &next, uids, count);
	return uids;
}
