/*
 * RFC 1939 section 6: the UPDATE state.  It is entered by QUIT alone, and
 * once entered it is carried through, whatever happens to the stream or the
 * server's wish to stop: the client has said that it has its messages.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "protocols/pop3/session_impl.h"

enum { LOG_SLICE = 200 }; /* DELETED lines of one slice */

static enum step
bye(struct pop3_session *p, int rc, const struct err *e)
{
	change_expunge_free(&p->removal);
	if (rc != 0) {
		pop3_log_error(p, "cannot remove messages", rc, e);
		/* RFC 1939 6: some are still there. */
		pop3_reply(p,
		    "-ERR [SYS/TEMP] Some deleted messages were not removed.");
	} else {
		pop3_reply(p, "+OK Bye.");
	}
	return pop3_end(p, SESSION_LOGOUT);
}

static enum step
remove_fn(struct pop3_session *p)
{
	struct err e = { .code = 0 };
	size_t removed;
	uint32_t *uids;
	enum step st;
	int rc;

	if (p->removal == NULL) {
		uids = pop3_maildrop_deleted(&p->drop);
		rc = change_remove_begin(
		    p->mailbox, uids, p->drop.n_deleted, &p->removal, &e);
		free(uids);
		if (pop3_retry(p, rc))
			return pop3_retry_step(p);
		if (rc != 0)
			return bye(p, rc, &e);
	}
	st = change_expunge_step(p->removal, p->s.waker, p->now, p->wall);
	if (st != STEP_DONE)
		return st;
	rc = change_expunge_result(p->removal, &removed);
	return bye(p, rc, &e);
}

static const struct pop3_step step_remove = { "remove", remove_fn, true,
	false };

static void
log_deleted(struct pop3_session *p, uint32_t uid)
{
	char safe[512];
	struct buf path;

	buf_init(&path, sizeof(safe));
	if (mailbox_message_path(p->mailbox, uid, &path) == 0)
		log_line_as(p->ident, LOG_LEVEL_INFO,
		    "DELETED, user=%s, ip=[%s], port=[%" PRIu32
		    "], filename=%s",
		    p->user, p->client_addr, p->client_port,
		    log_safe(buf_slice(&path), safe, sizeof(safe)));
	buf_fini(&path);
}

static enum step
update_fn(struct pop3_session *p)
{
	struct err none = { .code = 0 };
	int lines = 0;

	if (p->drop.n_deleted == 0)
		return bye(p, 0, &none);
	for (; p->opt->log_deletions && p->at < p->drop.n; p->at++) {
		if (!p->drop.v[p->at].deleted)
			continue;
		if (lines++ == LOG_SLICE)
			return STEP_YIELD;
		log_deleted(p, p->drop.v[p->at].uid);
	}
	return pop3_goto(p, &step_remove);
}

const struct pop3_step pop3_step_update = { "update", update_fn, true, false };
