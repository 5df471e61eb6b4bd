/*
 * What changed in the selected mailbox, told where it is allowed.
 *
 * i->view is what the client has been told: it gives each sequence number its
 * meaning, and commands work on it.  It changes here and nowhere else
 * (RFC 3501 7.4.1), in one pass over the differences between it and the
 * newest view:
 *
 *   1. EXPUNGE for what is gone, from the front, each number counted after
 *      the expunges told before it; or VANISHED with the UIDs (RFC 7162);
 *   2. EXISTS and RECENT, after which the numbers are those of the new view;
 *   3. FLAGS, if there are new keywords;
 *   4. FETCH with FLAGS for what is otherwise than it was.
 *
 * Where EXPUNGE isn't allowed and there are some, nothing at all is told:
 * numbers of the two views would mix.  Any of it may be cut into slices, as
 * numbers are right after each response.
 */
#include "base/pool.h"
#include "protocols/imap/condstore.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum { SYNC_EXPUNGES, SYNC_EXISTS, SYNC_FLAGS };

/* --- \Recent ------------------------------------------------------------- */

static void
add_recent(struct imap_session *i, uint32_t from, uint32_t to)
{
	struct imap_recent *r = &i->recent;

	if (from >= to)
		return;
	if (r->n != 0 && r->v[r->n - 1].to >= from) {
		r->v[r->n - 1].to = to;
		return;
	}
	if (r->n == IMAP_RECENT_MAX) { /* forget what is least recent */
		memmove(&r->v[0], &r->v[1],
		    (IMAP_RECENT_MAX - 1) * sizeof(r->v[0]));
		r->n--;
	} else {
		r->v = pool_realloc(r->v, (r->n + 1) * sizeof(r->v[0]));
	}
	r->v[r->n].from = from;
	r->v[r->n].to = to;
	r->n++;
}

/* Messages that came between the two views are recent to somebody: to us? */
static void
claim_recent(struct imap_session *i, uint32_t from, const struct view *to)
{
	/* RFC 3501 6.3.2: EXAMINE must not take \Recent away from others */
	uint32_t first = mailbox_recent_from(i->mailbox, !i->read_only);

	add_recent(i, first > from ? first : from, view_uidnext(to));
}

static uint32_t
count_recent(const struct imap_session *i, const struct view *v)
{
	uint32_t n = 0;

	for (size_t k = 0; k < i->recent.n; k++)
		n += view_lower_bound(v, i->recent.v[k].to) -
		    view_lower_bound(v, i->recent.v[k].from);
	return n;
}

/* --- selecting ----------------------------------------------------------- */

static void
on_mailbox_changed(void *arg)
{
	struct imap_session *i = arg;

	MAGIC_CHECK(i, IMAP_MAGIC);
	i->changed = true;
	if (i->idling)
		waker_call(i->s.waker);
}

/* The mailbox hibernates: so do we. */
static void
on_mailbox_asleep(void *arg)
{
	struct imap_session *i = arg;

	MAGIC_CHECK(i, IMAP_MAGIC);
	imap_work_end(i);
}

void
imap_deselect(struct imap_session *i)
{
	if (i->work != NULL) {
		imap_look_forget(i);
		i->work->mark.uid = 0;
		i->work->counted.uid = 0;
	}
	if (i->mailbox == NULL)
		return;
	if (i->work != NULL && i->work->sync.to != NULL)
		view_unref(&i->work->sync.to);
	mailbox_unlisten(&i->listener);
	if (i->view != NULL)
		view_unref(&i->view);
	/* what this session waits for there may end after it */
	mailbox_forget_waker(i->mailbox, i->s.waker.arg);
	mailbox_close(&i->mailbox);
	pool_free(i->recent.v);
	i->recent.v = NULL;
	i->recent.n = 0;
	imap_trash_forget(i);
	imap_saved_clear(&i->saved); /* RFC 5182 2.1 */
	i->changed = false;
	i->selected_in = NULL;
	i->rights = 0;
}

void
imap_selected(struct imap_session *i, struct mailbox *m,
    const struct imap_place *p, bool examined)
{
	assert(i->mailbox == NULL);
	i->mailbox = m;
	i->selected_in = p->account;
	i->rights = p->rights;
	/* a list is read once more before the next command */
	i->acl_seen = p->no_list ? acl_print_none : (struct acl_print){ 0 };
	i->own = p->own;
	i->link = p->link;
	i->examined = examined;
	i->read_only = examined || !imap_may_write(p->rights);
	i->changed = false;
	i->listener.waker.fn = on_mailbox_changed;
	i->listener.waker.arg = i;
	i->listener.view = &i->view;
	i->listener.asleep.fn = on_mailbox_asleep;
	i->listener.asleep.arg = i;
	mailbox_listen(m, &i->listener);
}

void
imap_sync_flags(struct imap_session *i)
{
	struct buf *out = &i->s.out;

	i->n_keywords = mailbox_n_keywords(i->mailbox);
	buf_puts(out, "* FLAGS ");
	imap_put_known_flags(i, out);
	buf_puts(out, "\r\n* OK [PERMANENTFLAGS ");
	imap_put_permanent_flags(i, out);
	buf_puts(out, "] Limited\r\n");
}

void
imap_sync_keywords(struct imap_session *i)
{
	if (mailbox_n_keywords(i->mailbox) > i->n_keywords)
		imap_sync_flags(i);
}

/* A line of each SELECT, without the cost of a format. */
static void
put_number(
    struct buf *out, const char *before, uint32_t number, const char *behind)
{
	buf_puts(out, before);
	buf_putu(out, number);
	buf_puts(out, behind);
}

/* RFC 3501 6.3.1 */
void
imap_sync_select(struct imap_session *i)
{
	struct buf *out = &i->s.out;
	uint32_t unseen;

	assert(i->view == NULL);
	i->view = mailbox_view(i->mailbox);
	claim_recent(i, 0, i->view);
	i->recent_told = count_recent(i, i->view);
	imap_sync_flags(i);
	put_number(out, "* ", view_count(i->view), " EXISTS\r\n");
	put_number(out, "* ", i->recent_told, " RECENT\r\n");
	unseen = view_find_unseen(i->view);
	if (unseen != 0)
		put_number(out, "* OK [UNSEEN ", unseen,
		    "] First unseen message.\r\n");
	put_number(out, "* OK [UIDVALIDITY ", mailbox_uidvalidity(i->mailbox),
	    "] Ok\r\n");
	put_number(out, "* OK [UIDNEXT ", view_uidnext(i->view),
	    "] Predicted next UID.\r\n");
	imap_condstore_selected(i); /* RFC 7162 3.1.2.1 */
	/* RFC 8474 4.2 */
	buf_puts(out, "* OK [MAILBOXID ");
	imap_put_object_id(out, 'F', mailbox_object_id(i->mailbox));
	buf_puts(out, "] Ok\r\n");
	if (i->opt->acl) { /* as Courier does */
		buf_puts(out, "* OK [MYRIGHTS ");
		imap_put_rights(out, i->rights);
		buf_puts(out, "] ACL\r\n");
	}
}

/* --- changes ------------------------------------------------------------- */

static bool
has_expunges(const struct view *from, const struct view *to)
{
	struct view_diff d;
	uint32_t seq;
	const struct message *m;
	enum view_change c;

	view_diff_init(&d, from, to);
	while ((c = view_diff_next(&d, &seq, &m)) != VIEW_SAME_END)
		if (c == VIEW_EXPUNGED)
			return true;
	return false;
}

void
imap_sync_begin(
    struct imap_session *i, bool may_expunge, const struct imap_set *skip)
{
	struct imap_sync *s = &i->work->sync;

	assert(s->to == NULL);
	if (i->mailbox == NULL)
		return;
	s->to = mailbox_view(i->mailbox);
	if (s->to == i->view ||
	    (!may_expunge && has_expunges(i->view, s->to))) {
		view_unref(&s->to);
		return;
	}
	s->skip = skip;
	s->n_expunged = 0;
	s->phase = SYNC_EXPUNGES;
	view_diff_init(&s->diff, i->view, s->to);
}

static enum step
go_on(struct imap_session *i)
{
	if (imap_output_full(i))
		return STEP_WAIT_OUTPUT;
	return imap_spend(i, 64) ? STEP_YIELD : STEP_NEXT;
}

/* RFC 7162 3.2.10 */
static void
tell_vanished(struct imap_session *i, uint32_t uid)
{
	struct imap_sync *s = &i->work->sync;

	if (!s->vanishing) {
		buf_puts(&i->s.out, "* VANISHED ");
		imap_put_set_begin(&s->vanished, &i->s.out);
		s->vanishing = true;
	}
	imap_put_set_add(&s->vanished, uid);
}

static enum step
tell_expunges(struct imap_session *i)
{
	struct imap_sync *s = &i->work->sync;
	enum view_change c;
	uint32_t seq;
	const struct message *m;
	enum step st;

	while ((st = go_on(i)) == STEP_NEXT) {
		c = view_diff_next(&s->diff, &seq, &m);
		if (c == VIEW_SAME_END) {
			s->phase = SYNC_EXISTS;
			break;
		}
		if (c != VIEW_EXPUNGED)
			continue;
		if (i->qresync)
			tell_vanished(i, m->uid);
		else
			imap_put_untagged(
			    &i->s.out, "%u EXPUNGE", seq - s->n_expunged);
		s->n_expunged++;
	}
	/* each slice is a line of its own */
	if (s->vanishing) {
		imap_put_set_end(&s->vanished);
		buf_puts(&i->s.out, "\r\n");
		s->vanishing = false;
	}
	return st;
}

static enum step
tell_exists(struct imap_session *i)
{
	struct imap_sync *s = &i->work->sync;
	uint32_t count = view_count(s->to);
	uint32_t left = view_count(i->view) - s->n_expunged, recent;

	assert(count >= left);
	if (view_uidnext(s->to) != view_uidnext(i->view))
		claim_recent(i, view_uidnext(i->view), s->to);
	recent = count_recent(i, s->to);
	if (count != left)
		imap_put_untagged(&i->s.out, "%u EXISTS", count);
	if (recent != i->recent_told)
		imap_put_untagged(&i->s.out, "%u RECENT", recent);
	i->recent_told = recent;
	imap_sync_keywords(i);
	view_diff_init(&s->diff, i->view, s->to);
	s->phase = SYNC_FLAGS;
	return STEP_NEXT;
}

static enum step
tell_changed_flags(struct imap_session *i)
{
	struct imap_sync *s = &i->work->sync;
	struct buf *out = &i->s.out;
	enum view_change c;
	uint32_t seq;
	const struct message *m;
	enum step st;

	while ((st = go_on(i)) == STEP_NEXT) {
		c = view_diff_next(&s->diff, &seq, &m);
		if (c == VIEW_SAME_END)
			return STEP_DONE;
		if (c != VIEW_FLAGS ||
		    (s->skip != NULL && imap_set_has(s->skip, seq)))
			continue;
		buf_putf(out, "* %u FETCH (UID %u FLAGS ", seq, m->uid);
		imap_put_flags(i, out, m);
		if (i->condstore) { /* RFC 7162 3.2.4 */
			buf_putc(out, ' ');
			imap_put_modseq(i, out, m->modseq);
		}
		buf_puts(out, ")\r\n");
	}
	return st;
}

enum step
imap_sync_step(struct imap_session *i)
{
	struct imap_sync *s = &i->work->sync;
	enum step st = STEP_NEXT;

	if (s->to == NULL)
		return STEP_DONE;
	while (st == STEP_NEXT) {
		if (s->phase == SYNC_EXPUNGES)
			st = tell_expunges(i);
		else if (s->phase == SYNC_EXISTS)
			st = tell_exists(i);
		else
			st = tell_changed_flags(i);
	}
	if (st == STEP_DONE) {
		view_unref(&i->view);
		i->view = s->to;
		s->to = NULL;
	}
	return st;
}
