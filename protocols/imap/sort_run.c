/*
 * The messages are sorted by one key after the other, the last one first: so
 * the keys of one run are in memory at a time.
 */
#include "protocols/imap/kept.h"
#include "protocols/imap/keys.h"
#include "protocols/imap/sort.h"

enum { READ_WORK = 16 * 1024 };

static const struct imap_step step_loading, step_running;

static bool
by_text(enum sort_key key)
{
	return key != SORT_ARRIVAL && key != SORT_DATE && key != SORT_SIZE;
}

/* The information of the message under way; zeros if it is gone. */
static const struct message_info *
info_of(struct imap_session *i, struct sort_args *a)
{
	struct search_args *s = &a->search;

	if (!s->has_info && imap_message_info(i, s->m->uid, &s->info) != 0)
		s->info = (struct message_info){ .wire_size = 0 };
	s->has_info = true;
	return &s->info;
}

/* What is kept of the message under way; nothing if it is gone. */
static struct slice
kept_of(struct imap_session *i, struct sort_args *a, enum cache_kind kind)
{
	struct slice kept;
	bool read;
	int rc = imap_kept(i, a->search.m->uid, kind, &kept, &read);

	if (read)
		(void)imap_spend(i, READ_WORK);
	a->unread = a->unread || (rc != 0 && rc != ERR_LIMIT);
	return rc == 0 || rc == ERR_LIMIT ? kept : slice_of(NULL, 0);
}

/* RFC 5256 2.2: the sent date, for want of one INTERNALDATE. */
static int64_t
date_of(struct imap_session *i, struct sort_args *a)
{
	int64_t epoch_s, ms;
	int32_t days;

	if (imap_key_date_get(kept_of(i, a, CACHE_DATE), &epoch_s, &days))
		return epoch_s;
	ms = info_of(i, a)->internal_ms;
	return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

static struct slice
text_of(struct imap_session *i, struct sort_args *a, enum sort_key key)
{
	enum imap_key_address which;

	switch (key) {
	case SORT_SUBJECT:
		return slice_skip(kept_of(i, a, CACHE_BASE), 1);
	case SORT_CC:
		which = IMAP_KEY_CC;
		break;
	case SORT_FROM:
		which = IMAP_KEY_FROM;
		break;
	case SORT_TO:
		which = IMAP_KEY_TO;
		break;
	case SORT_DISPLAYFROM:
		which = IMAP_KEY_DISPLAYFROM;
		break;
	case SORT_DISPLAYTO:
		which = IMAP_KEY_DISPLAYTO;
		break;
	case SORT_ARRIVAL:
	case SORT_DATE:
	case SORT_SIZE:
	default:
		return slice_of(NULL, 0);
	}
	return imap_key_address(kept_of(i, a, CACHE_ADDRESSES), which);
}

/* Tell the sorter the key of the message under way. */
static enum step
load_key(struct imap_session *i, struct sort_args *a, bool *ok)
{
	enum sort_key key = a->keys[a->key].key;
	struct slice text;
	enum step st;
	bool there;

	if (by_text(key)) {
		text = text_of(i, a, key);
		(void)imap_spend(i, text.n);
		*ok = imap_sorter_text(&a->sorter, text);
		return STEP_DONE;
	}
	if (key == SORT_SIZE) {
		(void)info_of(i, a);
		st = imap_search_size(i, &there);
		if (st != STEP_DONE)
			return st;
		*ok = imap_sorter_number(
		    &a->sorter, there ? (int64_t)a->search.info.wire_size : 0);
		return STEP_DONE;
	}
	*ok = imap_sorter_number(&a->sorter,
	    key == SORT_DATE ? date_of(i, a) : info_of(i, a)->internal_ms);
	return STEP_DONE;
}

static enum step
loading_fn(struct imap_session *i)
{
	struct sort_args *a = i->args;
	struct search_args *s = &a->search;
	bool ok = true;

	for (; a->at < a->found.n; a->at++) {
		enum step st;

		if (s->m == NULL) {
			if (imap_spend(i, 64)) {
				imap_progress(i, 0, 0);
				return STEP_YIELD;
			}
			s->m = view_get(i->view, a->found.v[a->at]);
		}
		st = load_key(i, a, &ok);
		if (st != STEP_DONE)
			return st;
		imap_search_close(i);
		if (!ok)
			return imap_sort_too_much(i);
	}
	return imap_goto(i, &step_running);
}

static const struct imap_step step_loading = { "SORT keys", loading_fn, false };

/* --- runs ---------------------------------------------------------------- */

static enum step
running_fn(struct imap_session *i)
{
	struct sort_args *a = i->args;
	int rc = imap_sorter_run(&a->sorter, i->budget / 16 + 1);

	if (rc < 0)
		return imap_sort_too_much(i);
	if (rc == 0) {
		imap_progress(i, 0, 0);
		(void)imap_spend(i, i->budget);
		return STEP_YIELD;
	}
	return by_text(a->keys[a->key].key) && a->order.n == 0
	    ? imap_sort_keep(i)
	    : imap_sort_next_key(i);
}

static const struct imap_step step_running = { "SORT", running_fn, false };

enum step
imap_sort_loaded(struct imap_session *i)
{
	return imap_goto(i, &step_running);
}

enum step
imap_sort_begin_texts(struct imap_session *i)
{
	struct sort_args *a = i->args;

	imap_order_fini(&a->order);
	a->at = 0;
	a->unread = false;
	if (!imap_sorter_begin(&a->sorter, true, a->keys[a->key].reverse))
		return imap_sort_too_much(i);
	return imap_goto(i, &step_loading);
}

struct slice
imap_sort_text(struct imap_session *i)
{
	struct sort_args *a = i->args;

	return text_of(i, a, a->keys[a->key].key);
}

static enum step
begin_key(struct imap_session *i, struct sort_args *a, size_t key)
{
	a->key = key;
	a->at = 0;
	if (by_text(a->keys[key].key))
		return imap_sort_begin_order(i);
	if (!imap_sorter_begin(&a->sorter, false, a->keys[key].reverse))
		return imap_sort_too_much(i);
	return imap_goto(i, &step_loading);
}

enum step
imap_sort_begin(struct imap_session *i)
{
	struct sort_args *a = i->args;

	return begin_key(i, a, a->n_keys - 1);
}

enum step
imap_sort_next_key(struct imap_session *i)
{
	struct sort_args *a = i->args;

	imap_order_fini(&a->order);
	if (a->key != 0)
		return begin_key(i, a, a->key - 1);
	return imap_goto(i, &imap_step_sort_result);
}
