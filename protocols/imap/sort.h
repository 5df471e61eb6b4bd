/*
 * imap_sort: the arguments of SORT, and the engine behind them.
 * RFC 5256 3 (BASE.6.4.SORT); RFC 5957 (DISPLAY), RFC 5267 3 (ESORT).
 *
 * Layer:  protocols/imap.
 *
 *   cmd_sort.c    the arguments, and the result
 *   sort_run.c    one run for each key
 *   sort_order.c  runs by an order that is kept, and the keeping
 */
#ifndef IMAP_SORT_H
#define IMAP_SORT_H

#include "protocols/imap/order.h"
#include "protocols/imap/search.h"
#include "protocols/imap/sorter.h"

enum { SORT_KEYS_MAX = 32 };

enum sort_key {
	SORT_ARRIVAL,
	SORT_CC,
	SORT_DATE,
	SORT_FROM,
	SORT_SIZE,
	SORT_SUBJECT,
	SORT_TO,
	SORT_DISPLAYFROM,
	SORT_DISPLAYTO,
};

struct sort_args {
	struct search_args search; /* must be first */
	struct search_return ret;
	struct {
		enum sort_key key;
		bool reverse;
	} keys[SORT_KEYS_MAX];
	size_t n_keys;

	struct search_found found;
	struct imap_sorter sorter;
	size_t key;	   /* of the run under way */
	size_t at;	   /* of found */
	size_t first, end; /* places in the sorted list: those told */
	struct imap_put_set set;

	struct imap_order order;
	size_t hint;   /* in order: not behind the message at hand */
	uint32_t rank; /* of the last one, while an order is made */
	bool unread;   /* a text of this run could not be had */
};

/* Too many messages: the reply. */
enum step imap_sort_too_much(struct imap_session *i);

/* --- sort_run.c ----------------------------------------------------------- */

/* Sort what was found, by the last key first; then imap_step_sort_result. */
enum step imap_sort_begin(struct imap_session *i);
/* The run of a key is over: on to the key before it. */
enum step imap_sort_next_key(struct imap_session *i);
/* The sorter has its keys: on to the sort. */
enum step imap_sort_loaded(struct imap_session *i);
/* Have the sorter compare the texts of the key. */
enum step imap_sort_begin_texts(struct imap_session *i);
/* The text of the message under way that the key of the run looks at. */
struct slice imap_sort_text(struct imap_session *i);

/* --- sort_order.c -------------------------------------------------------- */

/* Begin the run of a key that is a text. */
enum step imap_sort_begin_order(struct imap_session *i);
/* A run by texts is over: keep what it came to, if that is of use; then
 * imap_sort_next_key(). */
enum step imap_sort_keep(struct imap_session *i);

/* --- cmd_sort.c ---------------------------------------------------------- */

extern const struct imap_step imap_step_sort_result;

#endif
