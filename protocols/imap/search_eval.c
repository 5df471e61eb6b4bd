/* One message against the program of a SEARCH. */
#include <unistd.h>

#include "protocols/imap/search.h"
#include "protocols/imap/writer.h"

void
imap_search_close(struct imap_session *i)
{
	struct search_args *a = i->args;

	imap_search_text_close(i);
	imap_look_drop(i);
	if (a->fd >= 0)
		(void)close(a->fd);
	a->fd = -1;
	a->m = NULL;
	a->has_info = false;
}

static bool
has_keyword(struct imap_session *i, const struct message *m, struct slice name)
{
	const uint16_t *set;
	size_t n, index;

	if (m->keywords == 0)
		return false;
	/* all names and all members may have to be looked at */
	(void)imap_spend(i, 8 * mailbox_n_keywords(i->mailbox));
	index = mailbox_keyword_find(i->mailbox, name);
	if (index == SIZE_MAX)
		return false;
	set = mailbox_keyword_set(i->mailbox, m->keywords, &n);
	for (size_t k = 0; k < n; k++)
		if (set[k] == index)
			return true;
	return false;
}

/* RFC 8474 7: objectids are compared with case.  False: it can't be known. */
static bool
email_id_test(struct imap_session *i, const struct message *m, struct slice id,
    bool *match)
{
	struct buf own;
	uint64_t email_id;
	int rc = mailbox_email_id(i->mailbox, m->uid, &email_id);

	if (rc != 0) {
		if (rc != ERR_NOT_FOUND)
			imap_log_error(i, "reading names", rc, NULL);
		return false;
	}
	buf_init(&own, 64);
	imap_put_object_id(&own, 'M', email_id);
	*match = id.n + 2 == buf_len(&own) &&
	    memcmp(buf_slice(&own).p + 1, id.p, id.n) == 0;
	buf_fini(&own);
	return true;
}

static int64_t
floor_div(int64_t n, int64_t by)
{
	return n >= 0 ? n / by : -((-n + by - 1) / by);
}

/* Tests on what the index knows; a->info is there. */
static bool
info_test(const struct search_args *a, const struct search_test *t)
{
	/* RFC 3501 6.4.4: disregarding time and timezone; UTC, as FETCH
	 * shows INTERNALDATE */
	int64_t days = floor_div(
	    t->op >= SEARCH_SAVEDBEFORE ? a->info.save_ms : a->info.internal_ms,
	    86400000);

	if (t->op == SEARCH_BEFORE || t->op == SEARCH_SAVEDBEFORE)
		return days < t->days;
	if (t->op == SEARCH_ON || t->op == SEARCH_SAVEDON)
		return days == t->days;
	if (t->op == SEARCH_SINCE || t->op == SEARCH_SAVEDSINCE)
		return days >= t->days;
	if (t->op == SEARCH_OLDER)
		return floor_div(a->info.internal_ms, 1000) <= t->days;
	if (t->op == SEARCH_YOUNGER)
		return floor_div(a->info.internal_ms, 1000) >= t->days;
	if (t->op == SEARCH_LARGER)
		return a->info.wire_size > t->size;
	assert(t->op == SEARCH_SMALLER);
	return a->info.wire_size < t->size;
}

static bool
plain_test(struct imap_session *i, const struct search_test *t)
{
	const struct search_args *a = i->args;

	if (t->op == SEARCH_FLAG)
		return (a->m->flags & t->flag) != 0;
	if (t->op == SEARCH_KEYWORD)
		return has_keyword(i, a->m, t->name);
	if (t->op == SEARCH_RECENT)
		return imap_is_recent(i, a->m->uid);
	if (t->op == SEARCH_SET)
		return imap_set_has(&t->set, a->seq);
	if (t->op == SEARCH_MODSEQ)
		return a->m->modseq >= t->modseq;
	assert(t->op == SEARCH_ALL);
	return true;
}

static bool
open_file(struct imap_session *i, struct search_args *a)
{
	struct err e = { .code = 0 };
	int rc;

	if (a->fd >= 0)
		return true;
	(void)imap_spend(i, IMAP_FILE_WORK);
	rc = mailbox_open_message(
	    i->mailbox, a->m->uid, &a->fd, &a->file_size, &e);
	if (rc == 0)
		return true;
	a->fd = -1;
	if (rc != ERR_NOT_FOUND)
		imap_log_error(i, "opening a message", rc, &e);
	return false;
}

/* The wire size, counted if nobody has done so before. */
enum step
imap_search_size(struct imap_session *i, bool *ok)
{
	struct search_args *a = i->args;
	enum step st;
	int rc = 0;

	*ok = true;
	if (a->info.wire_size != UINT64_MAX)
		return STEP_DONE;
	if (!open_file(i, a)) {
		*ok = false;
		return STEP_DONE;
	}
	if (i->work->parsed.parser == NULL)
		imap_look_begin(i, a->m->uid, a->fd, a->file_size, true);
	st = imap_look_step(i, &rc);
	if (st != STEP_DONE)
		return st;
	*ok = rc == 0;
	if (rc == 0)
		a->info.wire_size = i->work->parsed.msg.all.wire;
	return STEP_DONE;
}

/* STEP_DONE: *ok, the message is there, and *match. */
static enum step
run_test(
    struct imap_session *i, const struct search_test *t, bool *ok, bool *match)
{
	struct search_args *a = i->args;
	enum step st = STEP_DONE;

	*ok = true;
	if (t->op == SEARCH_EMAILID) {
		*ok = email_id_test(i, a->m, t->name, match);
		return STEP_DONE;
	}
	if (t->op < SEARCH_BEFORE) {
		*match = plain_test(i, t);
		return STEP_DONE;
	}
	if (t->op >= SEARCH_SENTBEFORE && t->op < SEARCH_BODY &&
	    !a->text.begun && imap_search_kept(i, t, ok, match))
		return STEP_DONE;
	if (t->op >= SEARCH_SENTBEFORE) {
		*ok = open_file(i, a);
		if (!*ok)
			return STEP_DONE;
		return t->op >= SEARCH_BODY ? imap_search_text(i, t, match)
					    : imap_search_header(i, t, match);
	}
	if (!a->has_info) {
		*ok = imap_message_info(i, a->m->uid, &a->info) == 0;
		a->has_info = *ok;
	}
	if (*ok && (t->op == SEARCH_LARGER || t->op == SEARCH_SMALLER))
		st = imap_search_size(i, ok);
	if (st == STEP_DONE && *ok)
		*match = info_test(a, t);
	return st;
}

enum step
imap_search_eval(struct imap_session *i, bool *match)
{
	struct search_args *a = i->args;
	bool ok, yes = false;

	while (a->at >= 0) {
		const struct search_test *t = &a->tests[a->at];
		enum step st = run_test(i, t, &ok, &yes);

		if (st != STEP_DONE)
			return st;
		if (!ok) /* gone: it matches nothing, NOT included */
			a->at = SEARCH_NO_MATCH;
		else
			a->at = yes ? t->yes : t->no;
		if (imap_spend(i, 32) && a->at >= 0)
			return STEP_YIELD;
	}
	*match = a->at == SEARCH_MATCH;
	return STEP_DONE;
}
