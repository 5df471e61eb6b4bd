#include "tests/support/transcript_pattern.h"

#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/mem.h"
#include "base/num.h"

static bool
is_name_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || ascii_is_digit(c);
}

static bool
is_word_char(uint8_t c)
{
	return c > 0x20 && c < 0x7f && c != '(' && c != ')' && c != '[' &&
	    c != ']' && c != '"';
}

/* The name after a '$', or the empty slice. */
static struct slice
var_name(struct slice after)
{
	size_t n = 0;

	while (n < after.n && is_name_char(after.p[n]))
		n++;
	return slice_first(after, n);
}

static struct transcript_var *
var_find(struct transcript_vars *t, struct slice name)
{
	for (size_t i = 0; i < t->n; i++)
		if (slice_eq(t->v[i].name, name))
			return &t->v[i];
	return NULL;
}

static void
var_set(struct transcript_vars *t, struct slice name, struct slice value)
{
	struct transcript_var *v = &t->v[t->n++];

	assert(t->n <= TRANSCRIPT_VARS_MAX);
	v->name = name;
	v->copy = slice_dup(value);
	v->value = slice_of(v->copy, value.n);
}

/* "<0d 0a>": append the bytes; how much of s that was, 0 if it isn't one. */
static size_t
put_hex(struct slice s, struct buf *out)
{
	size_t close = slice_find(s, '>'), i = 1;
	size_t had = buf_len(out);

	if (close == s.n || close < 3)
		return 0;
	while (i + 1 < close && ascii_hex(s.p[i]) >= 0 &&
	    ascii_hex(s.p[i + 1]) >= 0) {
		buf_putc(out,
		    (uint8_t)(ascii_hex(s.p[i]) * 16 + ascii_hex(s.p[i + 1])));
		i += 2;
		if (i == close)
			return close + 1;
		if (s.p[i] != ' ')
			break;
		i++;
	}
	buf_truncate(out, had);
	return 0;
}

/* "<x*9000>" likewise. */
static size_t
put_repeat(struct slice s, struct buf *out)
{
	size_t close = slice_find(s, '>');
	uint32_t n;

	if (close == s.n || close < 4 || s.p[2] != '*' ||
	    !num_u32(slice_of(s.p + 3, close - 3), &n) ||
	    n > TRANSCRIPT_BYTES_MAX)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		buf_putc(out, s.p[1]);
	return close + 1;
}

static size_t
put_special(struct slice s, struct buf *out)
{
	size_t n = put_hex(s, out);

	return n != 0 ? n : put_repeat(s, out);
}

/* What a C line sends. */
void
transcript_write_out(struct transcript_vars *t, struct slice s, struct buf *out)
{
	while (s.n != 0) {
		const struct transcript_var *v;
		struct slice name;
		size_t n = 0;

		if (s.p[0] == '<')
			n = put_special(s, out);
		if (s.p[0] == '$') {
			name = var_name(slice_skip(s, 1));
			v = var_find(t, name);
			if (name.n != 0 && v != NULL) {
				buf_put(out, v->value);
				n = name.n + 1;
			}
		}
		if (n == 0) {
			buf_putc(out, s.p[0]);
			n = 1;
		}
		s = slice_skip(s, n);
	}
}

/* --- matching ------------------------------------------------------------ */

/* Take one element of the pattern off the front of both; false: no match. */
static bool
match_one(struct transcript_vars *t, struct slice *pattern, struct slice *line)
{
	struct slice name;
	const struct transcript_var *v;
	size_t n;

	if (pattern->p[0] == '<') {
		struct buf b;
		bool ok;

		buf_init(&b, TRANSCRIPT_BYTES_MAX);
		n = put_special(*pattern, &b);
		ok = n == 0 || slice_starts(*line, buf_slice(&b));
		if (n != 0 && ok) {
			*line = slice_skip(*line, buf_len(&b));
			*pattern = slice_skip(*pattern, n);
		}
		buf_fini(&b);
		if (n != 0)
			return ok;
	}
	name = var_name(slice_skip(*pattern, 1));
	if (pattern->p[0] == '$' && name.n != 0) {
		for (n = 0; n < line->n && is_word_char(line->p[n]);)
			n++;
		v = var_find(t, name);
		if (v != NULL && !slice_starts(*line, v->value))
			return false;
		if (v != NULL)
			n = v->value.n;
		else if (n == 0)
			return false;
		else
			var_set(t, name, slice_first(*line, n));
		*line = slice_skip(*line, n);
		*pattern = slice_skip(*pattern, name.n + 1);
		return true;
	}
	if (line->n == 0 || line->p[0] != pattern->p[0])
		return false;
	*line = slice_skip(*line, 1);
	*pattern = slice_skip(*pattern, 1);
	return true;
}

/* Forget variables set by an attempt that failed. */
void
transcript_vars_cut(struct transcript_vars *t, size_t n)
{
	while (t->n > n)
		free(t->v[--t->n].copy);
}

/*
 * Whether the line is what the pattern says.  <any> is a star: after a
 * mismatch the last one is made to take a byte more.
 */
bool
transcript_matches(
    struct transcript_vars *t, struct slice pattern, struct slice line)
{
	static const struct slice any = SLICE_INIT("<any>");
	struct slice star = { NULL, 0 }, star_line = { NULL, 0 };
	size_t vars = t->n, star_vars = vars;

	while (pattern.n != 0 || line.n != 0) {
		if (slice_starts(pattern, any)) {
			pattern = star = slice_skip(pattern, any.n);
			star_line = line;
			star_vars = t->n;
			continue;
		}
		if (pattern.n != 0 && match_one(t, &pattern, &line))
			continue;
		transcript_vars_cut(t, star_vars);
		if (star.p == NULL || star_line.n == 0) {
			transcript_vars_cut(t, vars);
			return false;
		}
		star_line = slice_skip(star_line, 1);
		line = star_line;
		pattern = star;
	}
	return true;
}
