/*
 * Courier's list for POP3, and its unique-ids.
 *
 * courierpop3dsizelist: a header from version 1 on, "/V NEXT[ UIDVALIDITY]",
 * then a line for each message: "FILENAME SIZE[ n[:uidvalidity[:utf8]]]".
 */
#include <limits.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "maildir/foreign_impl.h"

/* --- courierpop3dsizelist ------------------------------------------------- */

static bool
parse_header(struct slice line, struct foreign_sizelist *out)
{
	struct slice word;

	if (!slice_split(&line, ' ', &word) || word.n != 2 || word.p[1] < '1' ||
	    word.p[1] > '3' || !foreign_u32(&line, &out->next))
		return false;
	out->version = (unsigned)(word.p[1] - '0');
	return out->version == 1 || foreign_u32(&line, &out->uidvalidity);
}

/* Take the last word off a line. */
static bool
take_last(struct slice *line, struct slice *word)
{
	size_t at = slice_rfind(*line, ' ');

	if (at == line->n)
		return false;
	*word = slice_skip(*line, at + 1);
	*line = slice_first(*line, at);
	return true;
}

/* "n[:uidvalidity[:utf8]]" */
static bool
parse_id(struct slice word, unsigned version, struct foreign_pop3 *out)
{
	struct slice part;

	if (!slice_split(&word, ':', &part) || !num_u32(part, &out->n))
		return false;
	if (version > 1 &&
	    (!slice_split(&word, ':', &part) ||
		!num_u32(part, &out->uidvalidity)))
		return false;
	if (version > 2)
		out->utf8 = slice_eq(word, SLICE("0")) ? UTF8_NO
		    : slice_eq(word, SLICE("1"))       ? UTF8_YES
						       : UTF8_UNKNOWN;
	return true;
}

static bool
parse_entry(struct slice line, unsigned version, struct foreign_pop3 *out)
{
	struct slice word;

	*out = (struct foreign_pop3){ 0 };
	if (version > 0 &&
	    (!take_last(&line, &word) || !parse_id(word, version, out)))
		return false;
	if (!take_last(&line, &word) || !num_u64(word, &out->size))
		return false;
	return foreign_base(
	    slice_first(line, slice_find(line, ':')), &out->base);
}

bool
foreign_sizelist_open(struct foreign_sizelist_reader *r, int root_fd)
{
	*r = (struct foreign_sizelist_reader){ .begun = false };
	return foreign_file_open(&r->file, root_fd, "", "courierpop3dsizelist",
	    FOREIGN_SIZELIST_BYTES);
}

/* Version 0 has no header. */
static bool
take_header(struct foreign_sizelist_reader *r)
{
	struct slice *rest = &r->file.rest, line;

	r->begun = true;
	if (rest->n == 0)
		return false;
	return rest->p[0] != '/' ||
	    (foreign_line(rest, &line) && parse_header(line, &r->l));
}

enum foreign_step
foreign_sizelist_step(struct foreign_sizelist_reader *r, int *work)
{
	enum foreign_step step = foreign_file_step(&r->file, work);
	struct foreign_sizelist *l = &r->l;
	struct slice line;

	if (step != FOREIGN_DONE)
		return step;
	if (!r->begun && !take_header(r))
		return FOREIGN_NONE;
	while (foreign_file_line(&r->file, work, &line)) {
		struct foreign_pop3 one;

		if (!parse_entry(line, l->version, &one))
			continue;
		if (l->n == l->cap) {
			l->cap = l->cap * 2 + 64;
			l->v = mem_realloc(l->v, l->cap, sizeof(*l->v));
		}
		l->v[l->n++] = one;
	}
	return *work <= 0 ? FOREIGN_MORE : FOREIGN_DONE;
}

void
foreign_sizelist_close(struct foreign_sizelist_reader *r)
{
	foreign_file_close(&r->file);
	foreign_sizelist_fini(&r->l);
}

bool
courier_sizelist_parse(struct slice bytes, struct foreign_sizelist *out)
{
	struct foreign_sizelist_reader r = { .begun = false };
	int work = INT_MAX;

	foreign_file_of(&r.file, bytes);
	if (foreign_sizelist_step(&r, &work) != FOREIGN_DONE) {
		foreign_sizelist_close(&r);
		return false;
	}
	*out = r.l;
	return true;
}

void
foreign_sizelist_fini(struct foreign_sizelist *s)
{
	free(s->v);
	*s = (struct foreign_sizelist){ 0 };
}

bool
courier_uidl_parse(struct slice uidl, uint32_t *n, uint32_t *uidvalidity)
{
	struct slice rest = slice_skip(uidl, 3), number;
	uint32_t a, b = 0;

	if (!slice_starts(uidl, SLICE("UID")) ||
	    !slice_split(&rest, '-', &number) || !num_u32(number, &a) ||
	    a == 0 || (number.n > 1 && number.p[0] == '0'))
		return false;
	if (rest.p != NULL &&
	    (!num_u32(rest, &b) || b == 0 || rest.p[0] == '0'))
		return false;
	*n = a;
	*uidvalidity = b;
	return true;
}
