/*
 * COMPRESS, RFC 4978.  Bytes are compressed where they are sent and received
 * (protocols/session.h, server/worker_stream.c); this says when it begins.
 */
#include "protocols/imap/session_impl.h"

enum parse
imap_parse_compress(struct imap_session *i, struct imap_lex *lx)
{
	struct slice name;
	enum parse r;

	(void)IMAP_ARGS(i, uint8_t);
	if ((r = imap_lex_space(lx)) != PARSE_OK ||
	    (r = imap_lex_atom(lx, &name)) != PARSE_OK)
		return r;
	if (!slice_ieq(name, SLICE("DEFLATE"))) {
		lx->why = "unknown compression mechanism";
		return PARSE_BAD;
	}
	return imap_lex_crlf(lx);
}

static enum step
compress_fn(struct imap_session *i)
{
	/* RFC 4978 3: BAD when COMPRESS is active already */
	if (i->s.deflate != SESSION_PLAIN)
		return imap_finish(
		    i, "BAD", "[COMPRESSIONACTIVE] DEFLATE is active already.");
	i->s.deflate = SESSION_DEFLATE_SAID;
	return imap_finish(i, "OK", "DEFLATE active.");
}

const struct imap_step imap_step_compress = { "COMPRESS", compress_fn, false };
