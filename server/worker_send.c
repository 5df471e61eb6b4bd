/*
 * worker_send: messages that a session has sent by sendmail, which the master
 * runs (master_outbox.c).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/outbox.h"
#include "server/worker.h"

void
stream_send(struct stream *st)
{
	struct session *s = st->session;
	struct msg_out out;

	if (s->send != SESSION_SEND_ASKED)
		return;
	msg_begin(&out, MSG_SEND, 0);
	msg_put_u64(&out, st->id);
	out.fd = s->send_fd;
	peer_send(st->worker->master, &out);
	(void)close(s->send_fd);
	s->send = SESSION_SEND_WAITING;
}

void
stream_sent(struct worker *w, struct msg_in *in)
{
	uint64_t id = msg_get_u64(in);
	uint32_t status = msg_get_u32(in);
	char said[OUTBOX_REPORT_MAX], why[OUTBOX_REPORT_MAX + 100];
	struct session *s;
	struct stream *st;
	ssize_t n;

	if (!msg_get_end(in))
		return;
	TAILQ_FOREACH(st, &w->streams, link)
		if (st->id == id)
			break;
	if (st == NULL || st->session->send != SESSION_SEND_WAITING)
		return;
	s = st->session;
	s->send =
	    status == OUTBOX_SENT ? SESSION_SEND_SENT : SESSION_SEND_FAILED;
	if (s->send == SESSION_SEND_FAILED) {
		/* its writer has ended; nobody is waited for, even so */
		n = fcntl(in->fd, F_SETFL, O_RDONLY | O_NONBLOCK) == 0
		    ? read(in->fd, said, sizeof(said))
		    : 0;
		s->send_why = mem_strdup(outbox_why(status,
		    slice_of(said, n > 0 ? (size_t)n : 0), why, sizeof(why)));
	}
	stream_wake(st);
}
