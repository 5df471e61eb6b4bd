/*
 * SORT, RFC 5256 3 (BASE.6.4.SORT); DISPLAYFROM and DISPLAYTO, RFC 5957;
 * ESORT, RFC 5267 3; PARTIAL, RFC 9394 3.1.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "protocols/imap/shared.h"
#include "protocols/imap/sort.h"
#include "protocols/imap/writer.h"

/* clang-format off */
static const struct {
	struct slice name;
	enum sort_key key;
} names[] = {
	{ SLICE_INIT("ARRIVAL"),     SORT_ARRIVAL },
	{ SLICE_INIT("CC"),	     SORT_CC },
	{ SLICE_INIT("DATE"),	     SORT_DATE },
	{ SLICE_INIT("FROM"),	     SORT_FROM },
	{ SLICE_INIT("SIZE"),	     SORT_SIZE },
	{ SLICE_INIT("SUBJECT"),     SORT_SUBJECT },
	{ SLICE_INIT("TO"),	     SORT_TO },
	{ SLICE_INIT("DISPLAYFROM"), SORT_DISPLAYFROM },
	{ SLICE_INIT("DISPLAYTO"),   SORT_DISPLAYTO },
};
/* clang-format on */

static const struct imap_step step_finding, step_telling;

/* --- the arguments -------------------------------------------------------- */

static enum parse
criterion(struct imap_lex *lx, struct sort_args *a)
{
	struct slice name;
	bool reverse = imap_lex_word(lx, SLICE("REVERSE"));
	enum parse r;

	if (reverse && (r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	if ((r = imap_lex_atom(lx, &name)) != PARSE_OK)
		return r;
	if (a->n_keys == SORT_KEYS_MAX) {
		lx->why = "too many sort criteria";
		return PARSE_LIMIT;
	}
	for (size_t k = 0; k < NELEMS(names); k++) {
		if (!slice_ieq(names[k].name, name))
			continue;
		a->keys[a->n_keys].key = names[k].key;
		a->keys[a->n_keys++].reverse = reverse;
		return PARSE_OK;
	}
	lx->why = "unknown sort criterion";
	return PARSE_BAD;
}

enum parse
imap_parse_sort(struct imap_session *i, struct imap_lex *lx)
{
	struct sort_args *a = IMAP_ARGS(i, struct sort_args);
	enum parse r;

	a->search.fd = -1;
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_return(lx, &a->ret)) != PARSE_OK)
		return r;
	if ((r = imap_lex_open(lx)) != PARSE_OK)
		return r;
	do {
		if ((r = criterion(lx, a)) != PARSE_OK)
			return r;
	} while (imap_lex_take(lx, ' '));
	if ((r = imap_lex_close(lx)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	return imap_search_criteria(i, lx, &a->search);
}

static void
sort_cleanup(struct imap_session *i)
{
	struct sort_args *a = i->args;

	imap_search_end(i);
	imap_search_found_fini(&a->found);
	imap_sorter_fini(&a->sorter);
	imap_order_fini(&a->order);
}

enum step
imap_sort_too_much(struct imap_session *i)
{
	return imap_finish(i, "NO", "[LIMIT] Too many messages to sort.");
}

/* --- the result ----------------------------------------------------------- */

static uint32_t
seq_at(const struct sort_args *a, size_t place)
{
	return a->found.v[imap_sorter_item(&a->sorter, place)];
}

static uint32_t
number_at(const struct imap_session *i, const struct sort_args *a, size_t place)
{
	uint32_t seq = seq_at(a, place);

	return i->uid ? view_get(i->view, seq)->uid : seq;
}

/* RFC 5267 4.4, RFC 9394 3.1: which places are listed. */
static void
plan_listing(struct sort_args *a)
{
	const struct imap_partial *p = &a->ret.partial;
	size_t n = a->found.n, last = p->last < n ? p->last : n;

	a->first = 0;
	a->end = n;
	if ((a->ret.what & SEARCH_RETURN_PARTIAL) == 0) {
		if (a->ret.given && (a->ret.what & SEARCH_RETURN_ALL) == 0)
			a->end = 0;
	} else if (p->first > n) {
		a->end = 0;
	} else {
		a->first = p->from_end ? n - last : p->first - 1;
		a->end = p->from_end ? n - p->first + 1 : last;
	}
}

/* RFC 5182 2.4, RFC 4731 3.2: whether the result as a whole counts, not only
 * what is told of it. */
static bool
wants_all(const struct sort_args *a)
{
	return !a->ret.given || a->ret.what == SEARCH_RETURN_SAVE ||
	    (a->ret.what & (SEARCH_RETURN_ALL | SEARCH_RETURN_COUNT)) != 0;
}

/* Whether the message at a place in the order is told of. */
static bool
is_told(const struct sort_args *a, size_t place)
{
	return wants_all(a) || (place >= a->first && place < a->end) ||
	    ((a->ret.what & SEARCH_RETURN_MIN) != 0 && place == 0) ||
	    ((a->ret.what & SEARCH_RETURN_MAX) != 0 && place == a->found.n - 1);
}

static int
order_seqs(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Ascending sequence numbers; false: too many gaps. */
static bool
save_seqs(struct imap_session *i, const uint32_t *seqs, size_t n)
{
	imap_saved_clear(&i->saved);
	for (size_t k = 0; k < n; k++) {
		uint32_t uid = view_get(i->view, seqs[k])->uid;

		if (!imap_saved_add(&i->saved, uid, uid)) {
			imap_saved_clear(&i->saved);
			return false;
		}
	}
	return true;
}

/* RFC 5182 2.4, RFC 9394 3.2: what is told, or all, which is as it was found;
 * false: too many gaps. */
static bool
save(struct imap_session *i, struct sort_args *a)
{
	uint32_t *seqs;
	size_t n = 0;
	bool ok;

	if (wants_all(a))
		return save_seqs(i, a->found.v, a->found.n);
	seqs = mem_alloc((a->found.n + 1) * sizeof(*seqs));
	for (size_t k = 0; k < a->found.n; k++)
		if (is_told(a, k))
			seqs[n++] = seq_at(a, k);
	if (n != 0)
		qsort(seqs, n, sizeof(*seqs), order_seqs);
	ok = save_seqs(i, seqs, n);
	free(seqs);
	return ok;
}

/* RFC 4731 3.2: the highest mod-sequence of what is told. */
static uint64_t
told_modseq(struct imap_session *i, const struct sort_args *a)
{
	uint64_t modseq = 0;

	if (wants_all(a))
		return a->found.modseq;
	for (size_t k = 0; k < a->found.n; k++) {
		const struct message *m;

		if (!is_told(a, k))
			continue;
		m = imap_newest(
		    a->search.newest, view_get(i->view, seq_at(a, k)));
		if (m->modseq > modseq)
			modseq = m->modseq;
	}
	return modseq;
}

/* RFC 5267 3.1: MIN and MAX are the first and the last in the order. */
static void
tell_begin(struct imap_session *i, struct sort_args *a)
{
	struct buf *out = &i->s.out;
	unsigned what = a->ret.what;
	size_t n = a->found.n;

	if (!a->ret.given) {
		buf_puts(out, "* SORT");
		return;
	}
	buf_puts(out, "* ESEARCH (TAG \"");
	buf_put(out, i->tag);
	buf_puts(out, i->uid ? "\") UID" : "\")");
	if ((what & SEARCH_RETURN_MIN) != 0 && n != 0)
		buf_putf(out, " MIN %" PRIu32, number_at(i, a, 0));
	if ((what & SEARCH_RETURN_MAX) != 0 && n != 0)
		buf_putf(out, " MAX %" PRIu32, number_at(i, a, n - 1));
	if ((what & SEARCH_RETURN_COUNT) != 0)
		buf_putf(out, " COUNT %zu", n);
	if ((what & SEARCH_RETURN_PARTIAL) != 0) {
		const struct imap_partial *p = &a->ret.partial;
		const char *minus = p->from_end ? "-" : "";

		buf_putf(out, " PARTIAL (%s%" PRIu32 ":%s%" PRIu32 " %s", minus,
		    p->first, minus, p->last, a->at == a->end ? "NIL" : "");
	} else if (a->at != a->end) {
		buf_puts(out, " ALL ");
	}
	imap_put_set_begin(&a->set, out);
}

static enum step
result_fn(struct imap_session *i)
{
	struct sort_args *a = i->args;

	plan_listing(a);
	a->at = a->first;
	if ((a->ret.what & SEARCH_RETURN_SAVE) != 0 && !save(i, a))
		return imap_finish(i, "NO",
		    "[NOTSAVED] Too many messages with gaps between them.");
	if (a->ret.what == SEARCH_RETURN_SAVE)
		return imap_finish(i, "OK", "SORT completed, result saved.");
	tell_begin(i, a);
	i->half = true;
	return imap_goto(i, &step_telling);
}

const struct imap_step imap_step_sort_result = { "SORT result", result_fn,
	false };

static enum step
telling_fn(struct imap_session *i)
{
	struct sort_args *a = i->args;

	for (; a->at < a->end; a->at++) {
		if (imap_output_full(i))
			return STEP_WAIT_OUTPUT;
		if (a->ret.given) {
			/* RFC 5267 3.2: ranges ascend */
			imap_put_set_add(&a->set, number_at(i, a, a->at));
			continue;
		}
		buf_putc(&i->s.out, ' ');
		buf_putu(&i->s.out, number_at(i, a, a->at));
	}
	if (a->ret.given)
		imap_put_set_end(&a->set);
	if ((a->ret.what & SEARCH_RETURN_PARTIAL) != 0)
		buf_putc(&i->s.out, ')');
	/* RFC 7162 3.1.9 */
	if (a->search.by_modseq && a->found.n != 0)
		buf_putf(&i->s.out,
		    a->ret.given ? " MODSEQ %" PRIu64 : " (MODSEQ %" PRIu64 ")",
		    told_modseq(i, a));
	buf_puts(&i->s.out, "\r\n");
	i->half = false;
	return imap_finish(i, "OK", "SORT completed.");
}

static const struct imap_step step_telling = { "SORT response", telling_fn,
	false };

static enum step
finding_fn(struct imap_session *i)
{
	struct sort_args *a = i->args;
	int rc;
	enum step st = imap_search_find(i, &a->found, &rc);

	if (st != STEP_DONE)
		return st;
	if (rc != 0)
		return imap_sort_too_much(i);
	return imap_sort_begin(i);
}

static const struct imap_step step_finding = { "SORT search", finding_fn,
	false };

static enum step
sort_fn(struct imap_session *i)
{
	struct sort_args *a = i->args;

	if (i->opt->no_thread_sort)
		return imap_finish(i, "NO", IMAP_NO_THREAD_SORT);
	if (a->search.bad_charset)
		return imap_finish(
		    i, "NO", "[BADCHARSET (US-ASCII UTF-8)] Unknown charset.");
	if (imap_shared_busy() && imap_retry(i, ERR_BUSY))
		return STEP_WAIT_PEER;
	i->cleanup = sort_cleanup;
	imap_sorter_init(&a->sorter);
	imap_order_init(&a->order);
	imap_search_begin(i);
	return imap_goto(i, &step_finding);
}

const struct imap_step imap_step_sort = { "SORT begin", sort_fn, false };
