#include "protocols/pop3/stuff.h"

void
pop3_stuff_init(struct pop3_stuff *s, uint64_t body_lines)
{
	*s = (struct pop3_stuff){ .body_lines = body_lines, .header = true };
}

/* A line has ended; blank: there was nothing in it. */
static void
line_ended(struct pop3_stuff *s, bool blank)
{
	s->line_len = 0;
	s->cr = false;
	if (s->header)
		s->header = !blank;
	else if (s->body_lines != UINT64_MAX)
		s->body_lines--;
	/* RFC 1939 7, TOP: the blank line goes out, then so many lines */
	s->done = !s->header && s->body_lines == 0;
}

size_t
pop3_stuff_feed(struct pop3_stuff *s, struct slice in, struct buf *out)
{
	size_t had = in.n;

	while (in.n != 0 && !s->done) {
		size_t lf = slice_find(in, '\n');
		struct slice piece = slice_first(in, lf);

		/* RFC 1939 3: also on the very first line */
		if (s->line_len == 0 && in.p[0] == '.')
			buf_putc(out, '.');
		buf_put(out, piece);
		s->line_len += piece.n;
		if (piece.n != 0)
			s->cr = piece.p[piece.n - 1] == '\r';
		if (lf < in.n) {
			buf_puts(out, s->cr ? "\n" : "\r\n");
			line_ended(s, s->line_len == (s->cr ? 1 : 0));
			lf++;
		}
		in = slice_skip(in, lf);
	}
	return had - in.n;
}

void
pop3_stuff_end(struct pop3_stuff *s, struct buf *out)
{
	if (s->line_len != 0)
		buf_puts(out, "\r\n");
	buf_puts(out, ".\r\n");
	s->line_len = 0;
	s->done = true;
}
