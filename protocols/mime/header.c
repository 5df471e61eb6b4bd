#include "protocols/mime/header.h"

#include <stdlib.h>

#include "base/mem.h"
#include "protocols/mime/lex.h"

/* --- walking ------------------------------------------------------------- */

/* The length of the first line of s, with its LF. */
static size_t
line_len(struct slice s)
{
	size_t lf = slice_find(s, '\n');

	return lf < s.n ? lf + 1 : lf;
}

/* Without the LF or CRLF at the end. */
static struct slice
line_chop(struct slice s)
{
	if (s.n != 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n != 0 && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

/* Split a line into name and value; a name of 0 bytes if it is no field. */
static void
field_split(struct slice line, struct slice *name, struct slice *value)
{
	size_t colon, n = mime_lex_field_name(line, &colon);

	if (n == 0) {
		*name = slice_of(NULL, 0);
		*value = line;
		return;
	}
	*name = slice_first(line, n);
	*value = slice_skip(line, colon + 1);
}

bool
mime_header_next(struct slice *rest, struct mime_header_field *field)
{
	size_t n = line_len(*rest);

	if (n == 0 || line_chop(slice_first(*rest, n)).n == 0)
		return false;
	while (n < rest->n && (rest->p[n] == ' ' || rest->p[n] == '\t'))
		n += line_len(slice_skip(*rest, n));
	field->raw = slice_first(*rest, n);
	field_split(line_chop(field->raw), &field->name, &field->value);
	*rest = slice_skip(*rest, n);
	return true;
}

void
mime_unfold(struct slice raw, struct buf *out)
{
	while (raw.n != 0) {
		size_t n = line_len(raw);
		buf_put(out, line_chop(slice_first(raw, n)));
		raw = slice_skip(raw, n);
	}
}

/* --- HEADER.FIELDS ------------------------------------------------------- */

enum filter_state {
	FILTER_LINE, /* at the first byte of a line */
	FILTER_NAME, /* collecting what may be a name */
	FILTER_COPY, /* decided for this line */
};

static int
name_cmp(const void *a, const void *b)
{
	return slice_icmp(*(const struct slice *)a, *(const struct slice *)b);
}

void
mime_filter_init(
    struct mime_filter *f, const struct slice *names, size_t n, bool except)
{
	*f = (struct mime_filter){ .except = except, .take = except };
	f->names = mem_zalloc(n, sizeof(*f->names));
	for (size_t i = 0; i < n; i++)
		f->names[i] = names[i];
	qsort(f->names, n, sizeof(*f->names), name_cmp);
	for (size_t i = 0; i < n; i++) {
		size_t k = f->n_names;
		if (k == 0 || !slice_ieq(f->names[k - 1], f->names[i]))
			f->names[f->n_names++] = f->names[i];
	}
}

void
mime_filter_fini(struct mime_filter *f)
{
	free(f->names);
	f->names = NULL;
	f->n_names = 0;
}

uint64_t
mime_filter_len(const struct mime_filter *f)
{
	return f->n_out;
}

/* Put bytes out, each bare LF as CRLF. */
static void
filter_put(struct mime_filter *f, struct slice s, struct buf *out)
{
	while (s.n != 0) {
		size_t n = line_len(s);
		uint8_t before = n > 1 ? s.p[n - 2] : f->last;
		bool bare = s.p[n - 1] == '\n' && before != '\r';
		f->last = s.p[n - 1];
		f->n_out += n + bare;
		if (out != NULL) {
			buf_put(out, slice_first(s, n - bare));
			if (bare)
				buf_put(out, SLICE("\r\n"));
		}
		s = slice_skip(s, n);
	}
}

/* Decide by what is known of the line, and put that out. */
static void
filter_decide(struct mime_filter *f, struct buf *out)
{
	struct slice line = slice_of(f->line, f->n_line), name, value;
	bool listed;

	field_split(line, &name, &value);
	listed = name.n != 0 &&
	    bsearch(&name, f->names, f->n_names, sizeof(*f->names), name_cmp) !=
		NULL;
	f->take = listed != f->except;
	/* RFC 3501 6.4.5: the delimiting blank line is always included */
	if (line_chop(line).n == 0)
		f->take = true;
	if (f->take)
		filter_put(f, line, out);
	f->state = FILTER_COPY;
	f->n_line = 0;
}

/* Take bytes of one line; returns how many. */
static size_t
filter_take(struct mime_filter *f, struct slice in, struct buf *out)
{
	size_t n = 0;

	if (f->state == FILTER_LINE) {
		/* a continuation shares the fate of its field */
		if (in.p[0] == ' ' || in.p[0] == '\t')
			f->state = FILTER_COPY;
		else
			f->state = FILTER_NAME;
	}
	if (f->state == FILTER_COPY) {
		n = line_len(in);
		if (f->take)
			filter_put(f, slice_first(in, n), out);
		if (in.p[n - 1] == '\n')
			f->state = FILTER_LINE;
		return n;
	}
	while (n < in.n && f->n_line < sizeof(f->line)) {
		uint8_t c = f->line[f->n_line++] = in.p[n++];
		if (c == ':' || c == '\n')
			break;
	}
	if (f->n_line == sizeof(f->line) || in.p[n - 1] == ':') {
		filter_decide(f, out);
	} else if (in.p[n - 1] == '\n') {
		filter_decide(f, out);
		f->state = FILTER_LINE;
	}
	return n;
}

void
mime_filter_feed(struct mime_filter *f, struct slice in, struct buf *out)
{
	while (in.n != 0)
		in = slice_skip(in, filter_take(f, in, out));
}

void
mime_filter_finish(struct mime_filter *f, struct buf *out)
{
	if (f->state == FILTER_NAME)
		filter_decide(f, out);
	f->state = FILTER_LINE;
	/* A field that ends with the file must not run into what follows. */
	if (f->n_out != 0 && f->last != '\n')
		filter_put(f, SLICE("\n"), out);
}
