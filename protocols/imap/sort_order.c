/*
 * Texts are not compared if it is known what that came to (order.h).  If all
 * messages but some new ones have their place in the order that is kept, those
 * are put into it; else all texts are sorted, and if they were those of the
 * whole mailbox, their order is kept.
 */
#include "protocols/imap/kept.h"
#include "protocols/imap/sort.h"

enum { INSERT_MAX = 64 };

static const struct imap_step step_inserting, step_ranking, step_keeping;

/* --- the order that is kept ----------------------------------------------- */

static enum cache_kind
order_kind(enum sort_key key)
{
	switch (key) {
	case SORT_SUBJECT:
		return CACHE_ORDER_SUBJECT;
	case SORT_FROM:
		return CACHE_ORDER_FROM;
	case SORT_TO:
		return CACHE_ORDER_TO;
	case SORT_CC:
		return CACHE_ORDER_CC;
	case SORT_DISPLAYFROM:
		return CACHE_ORDER_DISPLAYFROM;
	case SORT_DISPLAYTO:
	case SORT_ARRIVAL:
	case SORT_DATE:
	case SORT_SIZE:
		break;
	}
	return CACHE_ORDER_DISPLAYTO;
}

static uint32_t
uid_at(const struct imap_session *i, const struct sort_args *a, size_t at)
{
	return view_get(i->view, a->found.v[at])->uid;
}

/* How many of the messages to be sorted have no place in the order. */
static size_t
count_missing(const struct imap_session *i, const struct sort_args *a)
{
	size_t n = 0, at = 0;
	bool found;

	if (a->order.n == 0)
		return a->found.n;
	for (size_t k = 0; k < a->found.n; k++) {
		at = imap_order_find(&a->order, at, uid_at(i, a, k), &found);
		n += !found;
	}
	return n;
}

/* The text that a new message is to be put into the order by. */
struct inserting {
	struct imap_session *i;
	struct slice text;
};

static int
compare_text(void *arg, uint32_t uid)
{
	const struct inserting *n = arg;
	struct sort_args *a = n->i->args;
	const struct message *own = a->search.m;
	const struct message other = { .uid = uid };
	int d;

	a->search.m = &other;
	d = slice_cmp(imap_sort_text(n->i), n->text);
	a->search.m = own;
	(void)imap_spend(n->i, 1024);
	return d;
}

/* Put the message under way between those in the order. */
static bool
insert(struct imap_session *i, struct sort_args *a)
{
	struct inserting n = { .i = i };
	struct buf text;
	bool ok;

	buf_init(&text, IMAP_HEADER_MAX * 8);
	buf_put(&text, imap_sort_text(i));
	n.text = buf_slice(&text);
	ok = imap_order_insert(&a->order, a->search.m->uid, compare_text, &n);
	buf_fini(&text);
	return ok;
}

static enum step
begin_ranking(struct imap_session *i, struct sort_args *a)
{
	a->at = a->hint = 0;
	if (!imap_sorter_begin(&a->sorter, false, false))
		return imap_sort_too_much(i);
	return imap_goto(i, &step_ranking);
}

static enum step
inserting_fn(struct imap_session *i)
{
	struct sort_args *a = i->args;
	bool found, ok = true;

	for (; a->at < a->found.n && !a->unread; a->at++) {
		if (imap_spend(i, 64)) {
			imap_progress(i, 0, 0);
			return STEP_YIELD;
		}
		a->search.m = view_get(i->view, a->found.v[a->at]);
		a->hint = imap_order_find(
		    &a->order, a->hint, a->search.m->uid, &found);
		if (!found)
			ok = insert(i, a);
		imap_search_close(i);
		if (!ok)
			return imap_sort_too_much(i);
	}
	if (a->unread) /* gone: without it, nothing can be said of its place */
		return imap_sort_begin_texts(i);
	imap_order_save(i, order_kind(a->keys[a->key].key), &a->order);
	return begin_ranking(i, a);
}

static const struct imap_step step_inserting = { "SORT new", inserting_fn,
	false };

/* The ranks of the messages are the keys. */
static enum step
ranking_fn(struct imap_session *i)
{
	struct sort_args *a = i->args;
	uint32_t rank;
	bool found;

	for (; a->at < a->found.n; a->at++) {
		if (imap_spend(i, 32)) {
			imap_progress(i, 0, 0);
			return STEP_YIELD;
		}
		a->hint = imap_order_find(
		    &a->order, a->hint, uid_at(i, a, a->at), &found);
		assert(found);
		rank = a->order.rank[a->hint];
		if (a->keys[a->key].reverse)
			rank = a->order.n_ranks - 1 - rank;
		if (!imap_sorter_number(&a->sorter, rank))
			return imap_sort_too_much(i);
	}
	return imap_sort_loaded(i);
}

static const struct imap_step step_ranking = { "SORT ranks", ranking_fn,
	false };

/* Texts were sorted: what that came to becomes the order. */
static enum step
keeping_fn(struct imap_session *i)
{
	struct sort_args *a = i->args;
	struct imap_order *o = &a->order;
	uint32_t item;

	if (a->at == 0) {
		imap_order_fini(o);
		for (size_t k = 0; k < a->found.n; k++)
			if (!imap_order_append(o, uid_at(i, a, k), 0))
				return imap_sort_too_much(i);
		a->rank = 0;
	}
	for (; a->at < a->found.n; a->at++) {
		if (imap_spend(i, 64))
			return STEP_YIELD;
		if (a->at != 0 && !imap_sorter_same(&a->sorter, a->at))
			a->rank++;
		item = imap_sorter_item(&a->sorter, a->at);
		o->rank[item] = a->rank;
	}
	o->n_ranks = a->rank + 1;
	if (a->keys[a->key].reverse)
		for (size_t k = 0; k < o->n; k++)
			o->rank[k] = a->rank - o->rank[k];
	imap_order_save(i, order_kind(a->keys[a->key].key), o);
	imap_order_fini(o);
	return imap_sort_next_key(i);
}

static const struct imap_step step_keeping = { "SORT order", keeping_fn,
	false };

enum step
imap_sort_keep(struct imap_session *i)
{
	struct sort_args *a = i->args;

	if (a->unread || a->found.n == 0 || a->found.n != view_count(i->view))
		return imap_sort_next_key(i);
	a->at = 0;
	return imap_goto(i, &step_keeping);
}

enum step
imap_sort_begin_order(struct imap_session *i)
{
	struct sort_args *a = i->args;
	size_t missing;

	a->at = a->hint = 0;
	a->unread = false;
	if (imap_order_load(i, order_kind(a->keys[a->key].key), &a->order) != 0)
		return imap_sort_too_much(i);
	missing = count_missing(i, a);
	if (missing == 0 && a->found.n != 0)
		return begin_ranking(i, a);
	return missing <= INSERT_MAX && a->order.n != 0
	    ? imap_goto(i, &step_inserting)
	    : imap_sort_begin_texts(i);
}
