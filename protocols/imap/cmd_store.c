/* STORE, RFC 3501 6.4.6; RFC 2180 4.2 for messages that are gone. */
#include "maildir/change.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum { BATCH = 1000 }; /* messages changed and told at a time */

struct store_args {
	struct imap_set set;
	struct imap_flags flags;
	enum flags_how how;
	bool silent;
	uint32_t first; /* of the batch under way */
	uint32_t next;	/* of the next batch; 0: none */
	uint32_t told;	/* the batch up to here has been told */
	size_t missing;
	struct change_flags *change;
	struct view *newest; /* while telling */
};

static enum parse
parse_how(struct imap_lex *lx, struct store_args *a)
{
	struct slice name;
	enum parse r;

	a->how = imap_lex_take(lx, '+') ? FLAGS_ADD
	    : imap_lex_take(lx, '-')	? FLAGS_REMOVE
					: FLAGS_REPLACE;
	r = imap_lex_atom(lx, &name);
	if (r != PARSE_OK)
		return r;
	a->silent = slice_ieq(name, SLICE("FLAGS.SILENT"));
	if (!a->silent && !slice_ieq(name, SLICE("FLAGS"))) {
		lx->why = "unknown data item";
		return PARSE_BAD;
	}
	return PARSE_OK;
}

enum parse
imap_parse_store(struct imap_session *i, struct imap_lex *lx)
{
	struct store_args *a = IMAP_ARGS(i, struct store_args);
	enum parse r;

	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_set(i, lx, &a->set)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = parse_how(lx, a)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_flags(i, lx, true, &a->flags)) != PARSE_OK)
		return r;
	a->next = 1;
	return imap_lex_crlf(lx);
}

static void
store_cleanup(struct imap_session *i)
{
	struct store_args *a = i->args;

	change_flags_free(&a->change);
	if (a->newest != NULL)
		view_unref(&a->newest);
}

static enum step
tell_one(struct imap_session *i, struct store_args *a, uint32_t seq)
{
	struct buf *out = &i->s.out;
	uint32_t uid = view_get(i->view, seq)->uid;
	uint32_t at = view_find(a->newest, uid);

	if (at == 0)
		return STEP_NEXT; /* gone: counted as missing */
	buf_putf(out, "* %u FETCH (", seq);
	if (i->uid) /* RFC 3501 6.4.8 */
		buf_putf(out, "UID %u ", uid);
	buf_puts(out, "FLAGS ");
	imap_put_flags(i, out, view_get(a->newest, at));
	buf_puts(out, ")\r\n");
	if (imap_output_full(i))
		return STEP_WAIT_OUTPUT;
	return imap_spend(i, 256) ? STEP_YIELD : STEP_NEXT;
}

static enum step
telling_fn(struct imap_session *i)
{
	struct store_args *a = i->args;
	enum step st = STEP_NEXT;

	while (!a->silent && st == STEP_NEXT) {
		uint32_t seq = imap_set_next(&a->set, a->told);

		if (seq == 0 || (a->next != 0 && seq >= a->next))
			break;
		a->told = seq + 1;
		st = tell_one(i, a, seq);
	}
	if (st != STEP_NEXT)
		return st;
	view_unref(&a->newest);
	return imap_goto(i, &imap_step_store);
}

static const struct imap_step step_telling = { "STORE telling", telling_fn,
	false };

static enum step
syncing_fn(struct imap_session *i)
{
	struct store_args *a = i->args;
	enum step st = imap_sync_step(i);

	if (st != STEP_DONE)
		return st;
	imap_sync_keywords(i);
	a->newest = mailbox_view(i->mailbox);
	a->told = a->first;
	return imap_goto(i, &step_telling);
}

static const struct imap_step step_syncing = { "STORE sync", syncing_fn, true };

static enum step
changing_fn(struct imap_session *i)
{
	struct store_args *a = i->args;
	const uint32_t *modified;
	size_t n_modified, missing = 0;
	int rc;
	enum step st =
	    change_flags_step(a->change, i->s.waker, i->now, i->wall);

	if (st != STEP_DONE)
		return st;
	rc = change_flags_result(a->change, &modified, &n_modified, &missing);
	change_flags_free(&a->change);
	if (rc != 0)
		return imap_fail(i, "STORE", rc, NULL);
	a->missing += missing;
	/* what others changed is told now; ours below */
	imap_sync_begin(i, false, &a->set);
	return imap_goto(i, &step_syncing);
}

static const struct imap_step step_changing = { "STORE change", changing_fn,
	true };

/* Begin the next batch. */
static enum step
store_fn(struct imap_session *i)
{
	struct store_args *a = i->args;
	uint32_t uids[BATCH], next = a->next;
	size_t n = imap_set_uids(i, &a->set, &next, uids, BATCH);
	struct flags_change what = {
		.how = a->how,
		.flags = a->flags.flags,
		.keywords = a->flags.keywords,
		.n_keywords = a->flags.n_keywords,
		.unchanged_since = UINT64_MAX,
	};
	struct err e = { .code = 0 };
	int rc;

	if (n == 0) {
		if (a->missing != 0 && !a->silent)
			return imap_finish(i, "NO",
			    "[EXPUNGEISSUED] Some of the messages no longer "
			    "exist.");
		return imap_finish(i, "OK", "STORE completed.");
	}
	i->cleanup = store_cleanup;
	rc = change_flags_begin(i->mailbox, uids, n, &what, &a->change, &e);
	if (imap_retry(i, rc))
		return STEP_WAIT_PEER;
	if (rc != 0)
		return imap_fail(i, "STORE", rc, &e);
	a->first = a->next;
	a->next = next;
	return imap_goto(i, &step_changing);
}

const struct imap_step imap_step_store = { "STORE", store_fn, false };
