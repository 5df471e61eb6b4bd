/*
 * Courier's OUTBOX: an APPEND to that mailbox sends the message, and stores it
 * only when sendmail has taken it.  The worker has it sent (session.h).
 */
#include <stdlib.h>

#include "base/log.h"
#include "protocols/imap/append.h"

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

static enum step
failed(struct imap_session *i, struct append_args *a)
{
	char safe[600];

	(void)log_safe(slice_str(i->s.send_why), safe, sizeof(safe));
	log_line_as(i->ident, LOG_LEVEL_ERROR,
	    "error sending a message, user=%s: %s", i->user, safe);
	a->unsent = true;
	a->rc = err_set(&a->e, ERR_TEMPORARY, "%s", safe);
	free(i->s.send_why);
	i->s.send_why = NULL;
	append_free(&a->append);
	return STEP_DONE;
}

enum step
imap_append_outbox(struct imap_session *i, struct append_args *a)
{
	enum session_send state = i->s.send;

	switch (state) {
	case SESSION_SEND_NONE:
		a->rc = append_open_file(a->append, &i->s.send_fd, &a->e);
		if (a->rc != 0)
			return STEP_DONE;
		i->s.send = SESSION_SEND_ASKED;
		return STEP_WAIT_PEER;
	case SESSION_SEND_ASKED:
	case SESSION_SEND_WAITING:
		return STEP_WAIT_PEER;
	case SESSION_SEND_SENT:
	case SESSION_SEND_FAILED:
		break;
	}
	i->s.send = SESSION_SEND_NONE;
	if (state == SESSION_SEND_FAILED)
		return failed(i, a);
	a->sent = true;
	imap_log_line(i, "SENT", ", mailbox=%s", i->opt->outbox);
	return STEP_DONE;
}
