#include "tests/support/mime_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/ascii.h"
#include "base/num.h"
#include "protocols/mime/wire.h"

#define CHECK(cond) check((cond), #cond, __LINE__)

static void
check(bool ok, const char *what, int line)
{
	if (ok)
		return;
	(void)fprintf(stderr, "mime_check.c:%d: not so: %s\n", line, what);
	abort();
}

/* The slow way: byte by byte, from what it says in RFC 3501 and 5322. */
static void
check_span(const struct mime_span *s, struct slice in)
{
	uint64_t wire = 0, lines = 0;

	CHECK(s->off <= in.n && s->len <= in.n - s->off);
	for (uint64_t i = s->off; i < s->off + s->len; i++) {
		bool lf = in.p[i] == '\n';
		bool after_cr = i > s->off && in.p[i - 1] == '\r';
		lines += lf;
		wire += lf && !after_cr ? 2 : 1;
	}
	CHECK(s->wire == wire);
	CHECK(s->lines == lines);
}

static void
check_part(const struct mime_message *m, uint32_t i, struct slice in)
{
	const struct mime_part *p = &m->parts[i], *up;
	uint32_t n = 0;

	check_span(&p->header, in);
	check_span(&p->body, in);
	CHECK(p->header.off + p->header.len == p->body.off);
	for (uint32_t c = p->first; c != MIME_NONE; c = m->parts[c].next) {
		CHECK(c > i && c < m->n_parts);
		CHECK(m->parts[c].parent == i);
		n++;
	}
	CHECK(n == p->n_children);
	CHECK(p->kind == MIME_MULTIPART || n == (p->kind == MIME_MESSAGE));
	CHECK(p->field + p->n_fields <= m->n_kept);
	if (i == 0) {
		CHECK(p->parent == MIME_NONE && p->depth == 0);
		CHECK(p->header.off == 0);
		CHECK(p->body.off + p->body.len == in.n);
		return;
	}
	CHECK(p->parent < i);
	up = &m->parts[p->parent];
	CHECK(p->depth == up->depth + 1);
	CHECK(p->header.off >= up->body.off);
	CHECK(p->header.off >= m->parts[i - 1].header.off);
	CHECK(p->body.off + p->body.len <= up->body.off + up->body.len);
	if (up->kind == MIME_MESSAGE) {
		CHECK(p->header.off == up->body.off);
		CHECK(p->header.len + p->body.len == up->body.len);
	}
}

void
mime_check_table(const struct mime_message *m, struct slice in)
{
	struct mime_span all = { 0, in.n, m->all.wire, m->all.lines };
	struct mime_count sized = { .len = 0 };

	CHECK(m->n_parts >= 1);
	CHECK(m->all.off == 0 && m->all.len == in.n);
	check_span(&all, in);
	mime_count_feed(&sized, in);
	CHECK(sized.wire == all.wire && sized.lines == all.lines);
	CHECK(sized.len == in.n);
	for (uint32_t i = 0; i < m->n_parts; i++)
		check_part(m, i, in);
	for (uint32_t i = 0; i < m->n_kept; i++)
		CHECK(m->kept[i].off + m->kept[i].n <= buf_len(&m->text));
}

static void
equal_span(const struct mime_span *a, const struct mime_span *b)
{
	CHECK(a->off == b->off && a->len == b->len);
	CHECK(a->wire == b->wire && a->lines == b->lines);
}

void
mime_check_equal(const struct mime_message *a, const struct mime_message *b)
{
	CHECK(a->n_parts == b->n_parts && a->n_kept == b->n_kept);
	CHECK(slice_eq(buf_slice(&a->text), buf_slice(&b->text)));
	equal_span(&a->all, &b->all);
	for (uint32_t i = 0; i < a->n_parts; i++) {
		const struct mime_part *p = &a->parts[i], *q = &b->parts[i];
		equal_span(&p->header, &q->header);
		equal_span(&p->body, &q->body);
		CHECK(p->parent == q->parent && p->first == q->first);
		CHECK(p->next == q->next && p->kind == q->kind);
		CHECK(p->encoding == q->encoding && p->capped == q->capped);
		CHECK(p->type == q->type && p->type_n == q->type_n);
		CHECK(p->field == q->field && p->n_fields == q->n_fields);
	}
	for (uint32_t i = 0; i < a->n_kept; i++) {
		const struct mime_kept *p = &a->kept[i], *q = &b->kept[i];
		CHECK(p->off == q->off && p->n == q->n);
		CHECK(p->id == q->id && p->cut == q->cut);
	}
}

/* --- lists --------------------------------------------------------------- */

static struct slice
take_quoted(struct slice s)
{
	size_t i;

	for (i = 1; i < s.n && s.p[i] != '"'; i++) {
		CHECK(s.p[i] >= 1 && s.p[i] < 0x80);
		CHECK(s.p[i] != '\r' && s.p[i] != '\n');
		if (s.p[i] != '\\')
			continue;
		i++;
		CHECK(i < s.n && (s.p[i] == '"' || s.p[i] == '\\'));
	}
	CHECK(i < s.n);
	return slice_skip(s, i + 1);
}

static struct slice
take_literal(struct slice s)
{
	size_t close = slice_find(s, '}');
	uint64_t n = 0;

	CHECK(close < s.n);
	CHECK(num_u64(slice_skip(slice_first(s, close), 1), &n));
	s = slice_skip(s, close + 1);
	CHECK(slice_starts(s, SLICE("\r\n")));
	s = slice_skip(s, 2);
	CHECK(n <= s.n);
	CHECK(!slice_has(slice_first(s, (size_t)n), '\0'));
	return slice_skip(s, (size_t)n);
}

static struct slice
take_atom(struct slice s)
{
	size_t n = 0;

	if (slice_starts(s, SLICE("NIL")))
		return slice_skip(s, 3);
	while (n < s.n && ascii_is_digit(s.p[n]))
		n++;
	CHECK(n != 0);
	return slice_skip(s, n);
}

void
mime_check_list(struct slice s)
{
	size_t depth = 0;
	bool may_sp = false;

	do {
		CHECK(s.n != 0);
		if (s.p[0] == '(') {
			CHECK(s.n > 1 && s.p[1] != ')' && s.p[1] != ' ');
			depth++;
			s = slice_skip(s, 1);
			may_sp = false;
			continue;
		}
		if (s.p[0] == ')') {
			depth--;
			s = slice_skip(s, 1);
		} else if (s.p[0] == ' ') {
			CHECK(may_sp);
			s = slice_skip(s, 1);
			CHECK(s.n != 0 && s.p[0] != ' ' && s.p[0] != ')');
			may_sp = false;
			continue;
		} else if (s.p[0] == '"') {
			s = take_quoted(s);
		} else if (s.p[0] == '{') {
			s = take_literal(s);
		} else {
			s = take_atom(s);
		}
		may_sp = true;
	} while (depth != 0);
	CHECK(s.n == 0);
}
