/*
 * STORE, RFC 3501 6.4.6; RFC 2180 4.2 for messages that are gone; RFC 7162
 * 3.1.3 for UNCHANGEDSINCE.
 *
 * Told are, batch by batch, the flags of each message; with .SILENT only where
 * they aren't what the client must think they are, since somebody else has
 * changed them meanwhile (RFC 3501 6.4.6).  A client that knows of
 * mod-sequences is told of each in any case (RFC 7162 3.1.3), and of the flags
 * of messages that failed UNCHANGEDSINCE.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "maildir/change.h"
#include "protocols/imap/condstore.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum {
	BATCH = 1000, /* messages changed and told at a time */
	MODIFIED_PIECE = 4096,
};

struct store_args {
	struct imap_set set;
	struct imap_flags flags;
	enum flags_how how;
	bool silent;
	bool partly;		  /* some of it isn't done for lack of rights */
	uint64_t unchanged_since; /* UINT64_MAX: no condition */
	uint32_t first;		  /* of the batch under way */
	uint32_t next;		  /* of the next batch; 0: none */
	uint32_t told;		  /* the batch up to here has been told */
	size_t missing;
	bool too_long; /* some can't have more flags */
	struct change_flags *change;
	struct view *before, *newest; /* while telling */
	uint16_t *numbers; /* of its keywords that are there, ascending */
	size_t n_numbers;
	/* two sets of keywords, and whether the command makes the one the
	 * other */
	uint32_t pair_was, pair_is;
	bool pair_known, pair_expected;
	uint32_t *failed; /* UIDs of the batch that were changed since */
	size_t n_failed;
	/* all of them: a bit for each sequence number, so that a list of any
	 * length can be written */
	uint8_t *modified;
	uint32_t n_modified;   /* bits that there are; 0: none is set */
	struct view *numbered; /* by them, at the end */
	uint32_t modified_at;  /* up to there they are written */
	struct imap_put_set modified_set;
};

static const struct imap_step step_batch;

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

/* store-modifiers, RFC 4466 2.5: UNCHANGEDSINCE is the only one. */
static enum parse
parse_modifiers(struct imap_lex *lx, struct store_args *a)
{
	enum parse r;

	if (!imap_lex_take(lx, '('))
		return PARSE_OK;
	if (!imap_lex_word(lx, SLICE("UNCHANGEDSINCE"))) {
		lx->why = "unknown modifier";
		return PARSE_BAD;
	}
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_modseq(lx, &a->unchanged_since)) != PARSE_OK ||
	    (r = imap_lex_close(lx)) != PARSE_OK)
		return r;
	return imap_lex_space(lx);
}

enum parse
imap_parse_store(struct imap_session *i, struct imap_lex *lx)
{
	struct store_args *a = IMAP_ARGS(i, struct store_args);
	enum parse r;

	a->unchanged_since = UINT64_MAX;
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_parse_set(i, lx, &a->set)) != PARSE_OK ||
	    (r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = parse_modifiers(lx, a)) != PARSE_OK ||
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
	free(a->modified);
	if (a->numbered != NULL)
		view_unref(&a->numbered);
	if (a->before != NULL)
		view_unref(&a->before);
	if (a->newest != NULL)
		view_unref(&a->newest);
}

/* --- telling -------------------------------------------------------------- */

static int
order_uids(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return (a > b) - (a < b);
}

static bool
has_failed(const struct store_args *a, uint32_t uid)
{
	return a->n_failed != 0 &&
	    bsearch(&uid, a->failed, a->n_failed, sizeof(uid), order_uids) !=
	    NULL;
}

static int
order_numbers(const void *x, const void *y)
{
	return *(const uint16_t *)x - *(const uint16_t *)y;
}

/* The numbers of the command's keywords, ascending; it names none twice. */
static void
number_keywords(struct imap_session *i, struct store_args *a)
{
	a->n_numbers = 0;
	a->pair_known = false;
	for (size_t k = 0; k < a->flags.n_keywords; k++) {
		size_t number =
		    mailbox_keyword_find(i->mailbox, a->flags.keywords[k]);

		if (number != SIZE_MAX)
			a->numbers[a->n_numbers++] = (uint16_t)number;
	}
	if (a->n_numbers != 0)
		qsort(a->numbers, a->n_numbers, sizeof(*a->numbers),
		    order_numbers);
}

/* Take the number out of the ascending list, up to which all is taken. */
static bool
take_number(const uint16_t **v, size_t *n, uint16_t number)
{
	if (*n == 0 || **v != number)
		return false;
	(*v)++;
	(*n)--;
	return true;
}

/* Whether the command makes the one set of keywords the other: all three
 * lists are ascending. */
static bool
makes_set(struct imap_session *i, const struct store_args *a, uint32_t from,
    uint32_t to)
{
	const uint16_t *named = a->numbers, *was, *is;
	size_t n_named = a->n_numbers, n_was, n_is;

	/* one that it sets isn't even there */
	if (a->how != FLAGS_REMOVE && n_named != a->flags.n_keywords)
		return false;
	was = mailbox_keyword_set(i->mailbox, from, &n_was);
	is = mailbox_keyword_set(i->mailbox, to, &n_is);
	while (n_named != 0 || n_was != 0 || n_is != 0) {
		uint16_t next = n_named != 0 ? *named : UINT16_MAX;
		bool in_named, in_was, want;

		next = n_was != 0 && *was < next ? *was : next;
		next = n_is != 0 && *is < next ? *is : next;
		in_named = take_number(&named, &n_named, next);
		in_was = take_number(&was, &n_was, next);
		want = a->how == FLAGS_ADD   ? in_was || in_named
		    : a->how == FLAGS_REMOVE ? in_was && !in_named
					     : in_named;
		if (take_number(&is, &n_is, next) != want)
			return false;
	}
	return true;
}

/* The same, remembered: many messages have the same set. */
static bool
keywords_expected(struct imap_session *i, struct store_args *a,
    const struct message *was, const struct message *is)
{
	if (!a->pair_known || a->pair_was != was->keywords ||
	    a->pair_is != is->keywords) {
		a->pair_known = true;
		a->pair_was = was->keywords;
		a->pair_is = is->keywords;
		a->pair_expected = makes_set(i, a, was->keywords, is->keywords);
		/* of a step's time */
		(void)imap_spend(i, 16 * a->n_numbers);
	}
	return a->pair_expected;
}

/* Whether the flags are what the client must think they are. */
static bool
is_expected(
    struct imap_session *i, struct store_args *a, const struct message *is)
{
	uint32_t at = view_find(a->before, is->uid), flags;
	const struct message *was;

	if (at == 0)
		return false;
	was = view_get(a->before, at);
	/* it was hibernated: nobody knows what the client was told */
	if ((was->flags & MESSAGE_FLAGS_UNKNOWN) != 0)
		return false;
	flags = a->how == FLAGS_ADD  ? was->flags | a->flags.flags
	    : a->how == FLAGS_REMOVE ? was->flags & ~a->flags.flags
				     : a->flags.flags;
	return flags == is->flags && keywords_expected(i, a, was, is) &&
	    !a->partly;
}

static enum step
tell_one(struct imap_session *i, struct store_args *a, uint32_t seq)
{
	struct buf *out = &i->s.out;
	uint32_t uid = view_get(i->view, seq)->uid;
	uint32_t at = view_find(a->newest, uid);
	const struct message *m;
	bool flags;

	if (at == 0)
		return STEP_NEXT; /* gone: counted as missing */
	m = view_get(a->newest, at);
	/* While an expunge waits the view stands still, and a FETCH may have
	 * told what it doesn't know: nobody knows what the client thinks. */
	flags = !a->silent || has_failed(a, uid) || !is_expected(i, a, m) ||
	    m->modseq > view_highest_modseq(i->view);
	if (!flags && !i->condstore)
		return imap_spend(i, 64) ? STEP_YIELD : STEP_NEXT;
	buf_putf(out, "* %" PRIu32 " FETCH (", seq);
	if (i->uid || i->condstore) /* RFC 3501 6.4.8, RFC 7162 3.2.4 */
		buf_putf(out, "UID %" PRIu32 " ", uid);
	if (flags) {
		buf_puts(out, "FLAGS ");
		imap_put_flags(i, out, m);
		if (i->condstore)
			buf_putc(out, ' ');
	}
	if (i->condstore)
		imap_put_modseq(i, out, m->modseq);
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

	while (st == STEP_NEXT) {
		uint32_t seq = imap_set_next(&a->set, a->told);

		if (seq == 0 || (a->next != 0 && seq >= a->next))
			break;
		a->told = seq + 1;
		st = tell_one(i, a, seq);
	}
	if (st != STEP_NEXT)
		return st;
	view_unref(&a->newest);
	view_unref(&a->before);
	return imap_goto(i, &step_batch);
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
	if (a->silent)
		number_keywords(i, a);
	a->told = a->first;
	return imap_goto(i, &step_telling);
}

static const struct imap_step step_syncing = { "STORE sync", syncing_fn, true };

/* --- changing ------------------------------------------------------------- */

static void
set_modified(struct imap_session *i, struct store_args *a, uint32_t seq)
{
	uint32_t n = (view_count(i->view) / 8 + 1) * 8;

	assert(seq != 0 && seq < n);
	if (n > a->n_modified) {
		a->modified = mem_realloc(a->modified, n / 8, 1);
		memset(a->modified + a->n_modified / 8, 0,
		    (n - a->n_modified) / 8);
		a->n_modified = n;
	}
	a->modified[seq / 8] |= (uint8_t)(1 << seq % 8);
}

/* Note those that failed UNCHANGEDSINCE, ascending. */
static void
note_failed(struct imap_session *i, struct store_args *a, const uint32_t *uids,
    size_t n)
{
	a->n_failed = n;
	if (n == 0)
		return;
	memcpy(a->failed, uids, n * sizeof(*uids));
	qsort(a->failed, n, sizeof(*a->failed), order_uids);
	for (size_t k = 0; k < n; k++)
		set_modified(i, a, view_find(i->view, a->failed[k]));
}

static enum step
changing_fn(struct imap_session *i)
{
	struct store_args *a = i->args;
	const uint32_t *modified;
	size_t n_modified, missing = 0;
	int rc;
	enum step st =
	    change_flags_step(a->change, i->s.waker, i->now, i->wall);

	if (st != STEP_DONE) {
		imap_progress(i, a->first - 1, view_count(i->view));
		return st;
	}
	rc = change_flags_result(a->change, &modified, &n_modified, &missing);
	note_failed(i, a, modified, n_modified);
	change_flags_free(&a->change);
	if (rc != 0 && rc != ERR_LIMIT)
		return imap_fail(i, "STORE", rc, NULL);
	a->too_long = a->too_long || rc == ERR_LIMIT;
	a->missing += missing;
	/* what others changed is told now; ours below */
	a->before = view_ref(i->view);
	imap_sync_begin(i, false, &a->set);
	return imap_goto(i, &step_syncing);
}

static const struct imap_step step_changing = { "STORE change", changing_fn,
	true };

/* --- the command ---------------------------------------------------------- */

/* RFC 7162 3.1.3 */
bool
imap_put_modified(struct imap_session *i)
{
	struct store_args *a = i->args;
	struct buf *out = &i->s.out;
	uint32_t end = a->modified_at + MODIFIED_PIECE;

	if (a->modified_at == 0) {
		buf_puts(out, "[MODIFIED ");
		imap_put_set_begin(&a->modified_set, out);
	}
	for (; a->modified_at < end && a->modified_at < a->n_modified;
	     a->modified_at++) {
		uint32_t seq = a->modified_at;

		if ((a->modified[seq / 8] & 1 << seq % 8) != 0)
			imap_put_set_add(&a->modified_set,
			    i->uid ? view_get(a->numbered, seq)->uid : seq);
	}
	if (a->modified_at < a->n_modified)
		return true;
	imap_put_set_end(&a->modified_set);
	buf_puts(out, "] ");
	return false;
}

static enum step
store_done(struct imap_session *i, struct store_args *a)
{
	bool modified = a->n_modified != 0;

	if (modified) {
		/* what is told before the reply may renumber them */
		a->numbered = view_ref(i->view);
		i->modified = true;
	}
	if (a->too_long)
		/* RFC 5530 3: "such as number of flags on a single message" */
		return imap_finish(i, "NO",
		    "%sThe files of some messages have names too long for "
		    "more flags.",
		    modified ? "" : "[LIMIT] ");
	if (a->missing != 0 && !a->silent)
		return imap_finish(i, "NO",
		    "%sSome of the messages no longer exist.",
		    modified ? "" : "[EXPUNGEISSUED] ");
	return imap_finish(i, "OK",
	    modified ? "Conditional STORE failed." : "STORE completed.");
}

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
		.unchanged_since = a->unchanged_since,
		.known = i->view,
		.keep = imap_flags_denied(i->rights),
		.keep_keywords = (i->rights & ACL_WRITE) == 0,
	};
	struct err e = { .code = 0 };
	int rc;

	if (n == 0)
		return store_done(i, a);
	rc = change_flags_begin(i->mailbox, uids, n, &what, &a->change, &e);
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0)
		return imap_fail(i, "STORE", rc, &e);
	a->first = a->next;
	a->next = next;
	return imap_goto(i, &step_changing);
}

static const struct imap_step step_batch = { "STORE batch", store_fn, false };

/*
 * RFC 4314 4: of the flags those are changed that one has the rights for; if
 * these are none, the command fails.
 */
static bool
check_rights(struct imap_session *i, struct store_args *a)
{
	uint32_t denied = imap_flags_denied(i->rights);
	bool replace = a->how == FLAGS_REPLACE;
	uint32_t flags = replace ? MESSAGE_FLAGS_ALL : a->flags.flags;
	bool keywords = replace || a->flags.n_keywords != 0;
	bool w = (i->rights & ACL_WRITE) != 0;

	if (flags == 0 && !keywords)
		return true;
	a->partly = (flags & denied) != 0 || (keywords && !w);
	return (flags & ~denied) != 0 || (keywords && w);
}

static enum step
begin_fn(struct imap_session *i)
{
	struct store_args *a = i->args;

	if (!check_rights(i, a))
		return imap_fail(i, "STORE", ERR_NO_RIGHT, NULL);
	if (a->unchanged_since != UINT64_MAX)
		imap_condstore_enable(i);
	a->failed = arena_zalloc(&i->arena, BATCH, sizeof(*a->failed));
	a->numbers = arena_zalloc(
	    &i->arena, a->flags.n_keywords + 1, sizeof(*a->numbers));
	assert(a->failed != NULL && a->numbers != NULL);
	i->cleanup = store_cleanup;
	return imap_goto(i, &step_batch);
}

const struct imap_step imap_step_store = { "STORE", begin_fn, false };
