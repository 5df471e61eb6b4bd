#include "config.h"

#include "server/conf/conf_script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/ascii.h"
#include "base/mem.h"

void
conf_script_init(struct conf_script *s)
{
	*s = (struct conf_script){ .v = NULL };
	arena_init(&s->mem, 0);
}

void
conf_script_fini(struct conf_script *s)
{
	arena_fini(&s->mem);
	free(s->v);
	s->v = NULL;
	s->n = s->cap = 0;
}

void
conf_say(struct conf_source *src, int severity, int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (severity == CONF_ERROR && ++src->errors > CONF_ERRORS_MAX)
		return;
	if (src->report == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	src->report(src->arg, severity, src->path, line, text);
}

static bool
is_name_start(uint8_t c)
{
	return ascii_is_alpha(c) || c == '_';
}

static size_t
name_length(struct slice s)
{
	size_t n = 0;

	if (s.n == 0 || !is_name_start(s.p[0]))
		return 0;
	while (n < s.n && (is_name_start(s.p[n]) || ascii_is_digit(s.p[n])))
		n++;
	return n;
}

bool
conf_is_name(struct slice s)
{
	return s.n != 0 && s.n <= CONF_NAME_MAX && name_length(s) == s.n;
}

void
conf_script_add(struct conf_script *s, struct slice name, struct buf *value,
    int line, struct conf_source *src)
{
	const char *text = buf_cstr(value);
	struct conf_assign *a;

	if (!buf_ok(value)) {
		conf_say(src, CONF_ERROR, line,
		    "expected a value of at most %d bytes", CONF_VALUE_MAX);
		return;
	}
	if (s->n == CONF_ASSIGN_MAX) {
		conf_say(src, CONF_ERROR, line,
		    "expected at most %d assignments", CONF_ASSIGN_MAX);
		return;
	}
	if (s->n == s->cap) {
		s->cap = s->cap != 0 ? s->cap * 2 : 64;
		s->v = mem_realloc(s->v, s->cap, sizeof(*s->v));
	}
	a = &s->v[s->n++];
	a->name = (const char *)arena_dup(&s->mem, name).p;
	a->value = (const char *)arena_dup(&s->mem, slice_str(text)).p;
	a->line = line;
}

static void
put_reference(struct buf *value, struct slice name)
{
	buf_putc(value, CONF_VAR_MARK);
	buf_put(value, name);
	buf_putc(value, CONF_VAR_MARK);
}

static bool
take_braces(struct slice rest, size_t *used, int line, struct buf *value,
    struct conf_source *src)
{
	struct slice inner = slice_skip(rest, 1);
	size_t n = name_length(inner);

	if (n == 0 || n > CONF_NAME_MAX || n == inner.n || inner.p[n] != '}') {
		conf_say(src, CONF_ERROR, line,
		    "expected ${NAME}; no other form of ${...} is understood");
		return false;
	}
	put_reference(value, slice_first(inner, n));
	*used = n + 2;
	return true;
}

bool
conf_take_dollar(struct slice text, size_t *pos, int line, struct buf *value,
    struct conf_source *src)
{
	struct slice rest = slice_skip(text, *pos);
	size_t used = name_length(rest);

	if (used > CONF_NAME_MAX) {
		conf_say(src, CONF_ERROR, line,
		    "expected a name of at most %d bytes after $",
		    CONF_NAME_MAX);
		return false;
	}
	if (used != 0) {
		put_reference(value, slice_first(rest, used));
	} else if (rest.n != 0 && rest.p[0] == '{') {
		if (!take_braces(rest, &used, line, value, src))
			return false;
	} else if (rest.n != 0 && rest.p[0] == '(') {
		conf_say(src, CONF_ERROR, line,
		    "expected a plain value: $(...) is a command, and "
		    "configuration files are never run");
		return false;
	} else if (rest.n != 0 &&
	    slice_has(SLICE("0123456789@*#?-$!"), rest.p[0])) {
		conf_say(src, CONF_ERROR, line,
		    "expected a name after $, or \\$ for the character");
		return false;
	} else {
		buf_putc(value, '$');
	}
	*pos += used;
	return true;
}

bool
conf_clean_text(struct slice text, struct buf *out, struct conf_source *src)
{
	int line = 1;
	bool warned = false;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c == '\r' && i + 1 < text.n && text.p[i + 1] == '\n') {
			if (!warned)
				conf_say(src, CONF_WARNING, line,
				    "lines end in CR LF; the CR is dropped");
			warned = true;
			continue;
		}
		if (ascii_is_control(c) && c != '\t' && c != '\n' &&
		    c != '\r') {
			conf_say(src, CONF_ERROR, line,
			    "expected text, found the control character "
			    "0x%02x",
			    (unsigned)c);
			return false;
		}
		if (c == '\n')
			line++;
		buf_putc(out, c);
	}
	return true;
}
