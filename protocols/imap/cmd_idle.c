/* IDLE, RFC 2177 3. */
#include "base/pool.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum { DONE_MAX = 64 };

static const struct imap_step step_idling, step_telling;

static void
idle_cleanup(struct imap_session *i)
{
	i->idling = false;
}

static enum step
telling_fn(struct imap_session *i)
{
	enum step st = imap_sync_step(i);

	return st == STEP_DONE ? imap_goto(i, &step_idling) : st;
}

static const struct imap_step step_telling = { "IDLE telling", telling_fn,
	false };

static enum step
refresh_fn(struct imap_session *i)
{
	int rc = 0;
	enum step st = mailbox_refresh(
	    i->mailbox, !i->read_only, i->s.waker, i->now, i->wall, &rc);

	if (st != STEP_DONE)
		return st;
	if (imap_retry(i, rc))
		return imap_retry_step(i);
	i->changed = false;
	if (mailbox_gone(i->mailbox))
		return imap_bye(
		    i, SESSION_ERROR, "The selected mailbox was removed.");
	if (rc != 0)
		imap_log_error(i, "refresh", rc, NULL);
	/* the first time IDLE itself has just looked */
	if (!i->rights_checked && imap_rights_check(i, NULL) == ERR_NO_RIGHT)
		return imap_rights_lost(i);
	i->rights_checked = false;
	imap_sync_begin(i, true, NULL);
	return imap_goto(i, &step_telling);
}

static const struct imap_step step_refresh = { "IDLE refresh", refresh_fn,
	false };

/* Something else than DONE: the client isn't idle, and what it sent is lost. */
static enum step
not_done(struct imap_session *i)
{
	i->n_bad++;
	i->left = IMAP_LEFT_LINE;
	return imap_finish(i, "BAD", "Expected DONE.");
}

/* The one line that may come now. */
static enum step
idle_line(struct imap_session *i, struct slice line)
{
	size_t used = line.n + 1;

	if (slice_ends(line, SLICE("\r")))
		line.n--;
	if (!slice_ieq(line, SLICE("DONE")))
		return not_done(i);
	buf_drain(&i->s.in, used);
	if (imap_rights_check(i, NULL) == ERR_NO_RIGHT)
		return imap_rights_lost(i);
	return imap_finish(i, "OK", "IDLE completed.");
}

static enum step
idling_fn(struct imap_session *i)
{
	struct slice in = buf_slice(&i->s.in);
	size_t lf = slice_find(in, '\n');
	enum step st;

	if (lf < in.n)
		return idle_line(i, slice_first(in, lf));
	if (in.n > DONE_MAX)
		return not_done(i);
	if (i->mailbox != NULL && i->changed)
		return imap_goto(i, &step_refresh);
	st = imap_wait_input(i);
	/* nothing is under way but waiting */
	i->s.idle = st == STEP_WAIT_INPUT && in.n == 0;
	return st;
}

static const struct imap_step step_idling = { "IDLE", idling_fn, false };

static enum step
idle_fn(struct imap_session *i)
{
	buf_puts(&i->s.out, "+ entering idle mode\r\n");
	/* all that must be kept of the command for an hour */
	i->kept_tag = memcpy(pool_take(i->tag.n), i->tag.p, i->tag.n);
	i->tag.p = (const uint8_t *)i->kept_tag;
	buf_fini(&i->line);
	i->idling = true;
	i->cleanup = idle_cleanup;
	if (i->mailbox == NULL)
		return imap_goto(i, &step_idling);
	return imap_goto(i, &step_refresh);
}

const struct imap_step imap_step_idle = { "IDLE", idle_fn, false };
