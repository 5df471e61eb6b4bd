/*
 * Courier's OUTBOX: an APPEND or a COPY to that mailbox sends messages, and
 * stores them only when sendmail has taken them all.  The worker has each of
 * them sent (session.h), one after the other.
 */
#include <stdlib.h>

#include "base/log.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"

bool
imap_is_outbox(const struct imap_session *i, const struct imap_place *place)
{
	return i->opt->outbox != NULL && place->own &&
	    slice_eq(place->name, slice_str(i->opt->outbox));
}

void
imap_put_outbox(const struct imap_session *i, struct buf *out)
{
	struct slice name;

	if (i->opt->outbox == NULL)
		return;
	/* a capability is an atom: one that can't be stays untold */
	name = slice_str(i->opt->outbox);
	for (size_t k = 0; k < name.n; k++)
		if (!imap_is_atom_char(name.p[k]))
			return;
	buf_puts(out, " XCOURIEROUTBOX=");
	buf_put(out, name);
}

void
imap_send_begin(struct imap_session *i, int fd)
{
	assert(i->s.send == SESSION_SEND_NONE);
	i->s.send_fd = fd;
	i->s.send = SESSION_SEND_ASKED;
}

static int
not_sent(struct imap_session *i, struct err *e)
{
	char safe[600];

	(void)log_safe(slice_str(i->s.send_why), safe, sizeof(safe));
	log_line_as(i->ident, LOG_LEVEL_ERROR,
	    "error sending a message, user=%s: %s", i->user, safe);
	free(i->s.send_why);
	i->s.send_why = NULL;
	return err_set(e, ERR_TEMPORARY, "%s", safe);
}

enum step
imap_send_step(struct imap_session *i, int *rc, struct err *e)
{
	enum session_send state = i->s.send;

	if (state == SESSION_SEND_ASKED || state == SESSION_SEND_WAITING)
		return STEP_WAIT_PEER;
	i->s.send = SESSION_SEND_NONE;
	if (state == SESSION_SEND_FAILED) {
		*rc = not_sent(i, e);
		return STEP_DONE;
	}
	assert(state == SESSION_SEND_SENT);
	*rc = 0;
	imap_log_line(i, "SENT", ", mailbox=%s", i->opt->outbox);
	return STEP_DONE;
}
