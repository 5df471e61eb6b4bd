/* THREAD, RFC 5256 3 (BASE.6.4.THREAD). */
#include "protocols/imap/kept.h"
#include "protocols/imap/keys.h"
#include "protocols/imap/search.h"
#include "protocols/imap/shared.h"
#include "protocols/imap/thread.h"

enum {
	READ_WORK = 16 * 1024,
	ID_WORK = 64, /* to find one of a message's ids, and link it */
	BASE_MAX = 1000,
};

static const struct {
	struct slice name;
	enum imap_thread_kind kind;
} names[] = {
	{ SLICE_INIT("ORDEREDSUBJECT"), IMAP_THREAD_ORDEREDSUBJECT },
	{ SLICE_INIT("REFERENCES"), IMAP_THREAD_REFERENCES },
	{ SLICE_INIT("REFS"), IMAP_THREAD_REFS },
};

struct thread_args {
	struct search_args search; /* must be first */
	enum imap_thread_kind kind;
	struct search_found found;
	struct imap_thread thread;
	size_t at;
	struct buf base; /* of one message */
};

enum parse
imap_parse_thread(struct imap_session *i, struct imap_lex *lx)
{
	struct thread_args *a = IMAP_ARGS(i, struct thread_args);
	struct slice name;
	size_t k;
	enum parse r;

	a->search.fd = -1;
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_atom(lx, &name)) != PARSE_OK)
		return r;
	for (k = 0; k < NELEMS(names); k++)
		if (slice_ieq(names[k].name, name))
			break;
	if (k == NELEMS(names)) {
		lx->why = "unknown threading algorithm";
		return PARSE_BAD;
	}
	a->kind = names[k].kind;
	if ((r = imap_lex_space(lx)) != PARSE_OK)
		return r;
	return imap_search_criteria(i, lx, &a->search);
}

static void
thread_cleanup(struct imap_session *i)
{
	struct thread_args *a = i->args;

	imap_search_end(i);
	imap_search_found_fini(&a->found);
	imap_thread_fini(&a->thread);
	buf_fini(&a->base);
}

static enum step
too_much(struct imap_session *i)
{
	return imap_finish(i, "NO", "[LIMIT] Too many messages to thread.");
}

/* --- the response --------------------------------------------------------- */

static enum step
telling_fn(struct imap_session *i)
{
	struct thread_args *a = i->args;

	while (!imap_thread_put(&a->thread, &i->s.out, 4096))
		if (imap_output_full(i))
			return STEP_WAIT_OUTPUT;
	buf_puts(&i->s.out, "\r\n");
	i->half = false;
	return imap_finish(i, "OK", "THREAD completed.");
}

static const struct imap_step step_telling = { "THREAD response", telling_fn,
	false };

static enum step
running_fn(struct imap_session *i)
{
	struct thread_args *a = i->args;
	int rc = imap_thread_run(&a->thread, i->budget / 32 + 1);

	if (rc < 0)
		return too_much(i);
	if (rc == 0) {
		(void)imap_spend(i, i->budget);
		return STEP_YIELD;
	}
	buf_puts(&i->s.out, "* THREAD");
	if (a->found.n != 0)
		buf_putc(&i->s.out, ' ');
	i->half = true;
	return imap_goto(i, &step_telling);
}

static const struct imap_step step_running = { "THREAD", running_fn, false };

/* --- keys ----------------------------------------------------------------- */

/* What is kept of a message; nothing if it is gone. */
static struct slice
kept_of(struct imap_session *i, uint32_t uid, enum cache_kind kind)
{
	struct slice kept;
	bool read;
	int rc = imap_kept(i, uid, kind, &kept, &read);

	if (read)
		(void)imap_spend(i, READ_WORK);
	return rc == 0 || rc == ERR_LIMIT ? kept : slice_of(NULL, 0);
}

static int64_t
seconds(int64_t ms)
{
	return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

static bool
load(struct imap_session *i, struct thread_args *a, uint32_t seq)
{
	uint32_t uid = view_get(i->view, seq)->uid;
	struct imap_thread_message m = { .number = i->uid ? uid : seq };
	struct message_info info = { .internal_ms = 0 };
	struct slice base;
	int32_t days;
	bool dated =
	    imap_key_date_get(kept_of(i, uid, CACHE_DATE), &m.sent, &days);

	if (!dated || a->kind == IMAP_THREAD_REFS) {
		if (imap_message_info(i, uid, &info) != 0)
			info.internal_ms = 0;
		m.internal = info.internal_ms;
		if (!dated)
			m.sent = seconds(info.internal_ms);
	}
	if (a->kind != IMAP_THREAD_REFS) {
		base = kept_of(i, uid, CACHE_BASE);
		m.reply = base.n != 0 && base.p[0] != 0;
		buf_reset(&a->base);
		buf_put(&a->base, slice_first(slice_skip(base, 1), BASE_MAX));
		m.base = buf_slice(&a->base);
	}
	if (a->kind != IMAP_THREAD_ORDEREDSUBJECT)
		m.ids = kept_of(i, uid, CACHE_THREAD);
	(void)imap_spend(i, m.ids.n / sizeof(uint64_t) * ID_WORK);
	return imap_thread_add(&a->thread, &m);
}

static enum step
loading_fn(struct imap_session *i)
{
	struct thread_args *a = i->args;

	for (; a->at < a->found.n; a->at++) {
		if (imap_spend(i, 128))
			return STEP_YIELD;
		if (!load(i, a, a->found.v[a->at]))
			return too_much(i);
	}
	return imap_goto(i, &step_running);
}

static const struct imap_step step_loading = { "THREAD keys", loading_fn,
	false };

static enum step
finding_fn(struct imap_session *i)
{
	struct thread_args *a = i->args;
	int rc;
	enum step st = imap_search_find(i, &a->found, &rc);

	if (st != STEP_DONE)
		return st;
	if (rc != 0 || !imap_thread_expect(&a->thread, a->found.n))
		return too_much(i);
	return imap_goto(i, &step_loading);
}

static const struct imap_step step_finding = { "THREAD search", finding_fn,
	false };

static enum step
thread_fn(struct imap_session *i)
{
	struct thread_args *a = i->args;

	if (i->opt->no_thread_sort)
		return imap_finish(i, "NO", IMAP_NO_THREAD_SORT);
	if (a->search.bad_charset)
		return imap_finish(
		    i, "NO", "[BADCHARSET (US-ASCII UTF-8)] Unknown charset.");
	if (imap_shared_busy() && imap_retry(i, ERR_BUSY))
		return STEP_WAIT_PEER;
	i->cleanup = thread_cleanup;
	imap_thread_init(&a->thread, a->kind);
	buf_init(&a->base, BASE_MAX);
	imap_search_begin(i);
	return imap_goto(i, &step_finding);
}

const struct imap_step imap_step_thread = { "THREAD begin", thread_fn, false };
