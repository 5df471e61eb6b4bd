/* INPROGRESS, RFC 9585. */
#include <inttypes.h>

#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

void
imap_progress(struct imap_session *i, uint64_t done, uint64_t goal)
{
	struct buf *out = &i->s.out;

	if (i->half || i->now - i->progress_told < i->opt->progress_ms ||
	    imap_output_full(i))
		return;
	i->progress_told = i->now;
	buf_puts(out, "* OK [INPROGRESS (");
	/* a "]" would end the code for a simple parser */
	if (slice_has(i->tag, ']'))
		buf_puts(out, "NIL ");
	else
		buf_putf(out, "\"%.*s\" ", SLICE_ARG(i->tag));
	if (goal == 0) {
		buf_puts(out, "NIL NIL)] Still working.\r\n");
		return;
	}
	if (done >= goal)
		done = goal - 1;
	buf_putf(
	    out, "%" PRIu64 " %" PRIu64 ")] Still working.\r\n", done, goal);
}
