#include "protocols/mime/msgid.h"

#include "protocols/mime/lex.h"

/* Pass over words, strings and comments up to a "<", and over it. */
static bool
skip_to_angle(struct slice *in)
{
	while (in->n != 0) {
		if (in->p[0] == '<') {
			*in = slice_skip(*in, 1);
			return true;
		}
		if (!mime_lex_comment(in, NULL) && !mime_lex_quoted(in, NULL))
			*in = slice_skip(*in, 1);
	}
	return false;
}

/*
 * Read up to ">" (or the end).  False if it's no id after all: without an
 * "@", or cut by another "<", which is then left in *in.
 */
static bool
id_take(struct slice *in, struct buf *id)
{
	bool at = false;

	while (in->n != 0 && in->p[0] != '<') {
		uint8_t c = in->p[0];
		if (mime_lex_cfws(in) || mime_lex_quoted(in, id))
			continue;
		*in = slice_skip(*in, 1);
		if (c == '>')
			return at;
		at = at || c == '@';
		buf_putc(id, c);
	}
	return false;
}

bool
mime_msgid_next(struct slice *rest, struct buf *id)
{
	while (skip_to_angle(rest)) {
		buf_reset(id);
		if (id_take(rest, id) && buf_ok(id))
			return true;
	}
	buf_reset(id);
	return false;
}
