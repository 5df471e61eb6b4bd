/*
 * authdaemonrc, and the form that authmysqlrc and authsqliterc share.  What
 * Courier's releases disagree upon is read the way that loses nothing: white
 * space at a line's end never belongs to a value (it was the trap of the
 * old parser), and no marker line is asked for.
 */
#include "config.h"

#include <string.h>

#include "server/conf/conf_script.h"

struct lines {
	struct slice rest;
	struct slice line;
	int number;
};

static bool
next_line(struct lines *l)
{
	if (l->rest.n == 0)
		return false;
	l->number++;
	return slice_split(&l->rest, '\n', &l->line);
}

typedef void take_line_fn(
    struct lines *l, struct conf_script *out, struct conf_source *src);

static void
each_line(struct slice text, take_line_fn *take, struct conf_script *out,
    struct conf_source *src)
{
	struct buf clean;
	struct lines l = { .number = 0 };

	buf_init(&clean, CONF_FILE_MAX);
	if (conf_clean_text(text, &clean, src)) {
		l.rest = buf_slice(&clean);
		while (next_line(&l))
			take(&l, out, src);
	}
	buf_fini(&clean);
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct slice
skip_blanks(struct slice s)
{
	size_t n = 0;

	while (n < s.n && is_blank(s.p[n]))
		n++;
	return slice_skip(s, n);
}

/* --- authdaemonrc -------------------------------------------------------- */

struct daemonrc {
	struct slice text; /* of the value */
	int line;
	struct buf *value;
	struct conf_source *src;
};

static bool
take_char(struct daemonrc *d, size_t *pos)
{
	uint8_t c = d->text.p[*pos];

	*pos += 1;
	if (c == '$')
		return conf_take_dollar(
		    d->text, pos, d->line, d->value, d->src);
	if (c == '`') {
		conf_say(d->src, CONF_ERROR, d->line,
		    "expected a plain value: `...` is a command, and "
		    "configuration files are never run");
		return false;
	}
	buf_putc(d->value, c);
	return true;
}

/* A value in quotes; only blanks or a comment may follow. */
static bool
take_quoted(struct daemonrc *d)
{
	uint8_t quote = d->text.p[0];
	struct slice inner = slice_skip(d->text, 1);
	size_t end = slice_find(inner, quote);
	struct slice after = skip_blanks(slice_skip(inner, end + 1));

	if (end == inner.n) {
		conf_say(d->src, CONF_ERROR, d->line,
		    "expected a %c to end the value", quote);
		return false;
	}
	if (after.n != 0 && after.p[0] != '#') {
		conf_say(d->src, CONF_ERROR, d->line,
		    "expected nothing behind the quoted value");
		return false;
	}
	d->text = slice_first(inner, end);
	if (quote == '\'') {
		buf_put(d->value, d->text);
		return true;
	}
	for (size_t pos = 0; pos < d->text.n;) {
		if (!take_char(d, &pos))
			return false;
	}
	return true;
}

static bool
take_daemonrc_value(struct daemonrc *d)
{
	d->text = slice_trim(d->text);
	if (d->text.n != 0 && (d->text.p[0] == '"' || d->text.p[0] == '\''))
		return take_quoted(d);
	d->text = slice_trim(slice_first(d->text, slice_find(d->text, '#')));
	for (size_t pos = 0; pos < d->text.n;) {
		if (!take_char(d, &pos))
			return false;
	}
	return true;
}

static void
take_daemonrc_line(
    struct lines *l, struct conf_script *out, struct conf_source *src)
{
	struct slice line = slice_trim(l->line);
	struct slice export = SLICE("export ");
	struct daemonrc d = { .line = l->number, .src = src };
	struct buf value;
	struct slice name;
	size_t eq;

	if (line.n == 0 || line.p[0] == '#')
		return;
	if (slice_starts(line, export))
		line = slice_skip(line, export.n);
	eq = slice_find(line, '=');
	name = slice_trim(slice_first(line, eq));
	if (eq == line.n || !conf_is_name(name)) {
		conf_say(src, CONF_ERROR, l->number, "expected NAME=value");
		return;
	}
	buf_init(&value, CONF_VALUE_MAX);
	d.text = slice_skip(line, eq + 1);
	d.value = &value;
	if (take_daemonrc_value(&d))
		conf_script_add(out, name, &value, l->number, src);
	buf_fini(&value);
}

void
conf_parse_authdaemonrc(
    struct slice text, struct conf_script *out, struct conf_source *src)
{
	each_line(text, take_daemonrc_line, out, src);
}

/* --- authmysqlrc --------------------------------------------------------- */

/* The line without the white space at its end, which is warned of. */
static struct slice
trim_end(struct slice s, int line, struct conf_source *src)
{
	size_t n = s.n;

	while (n != 0 && (is_blank(s.p[n - 1]) || s.p[n - 1] == '\r'))
		n--;
	if (n != 0 && n < s.n)
		conf_say(src, CONF_WARNING, line,
		    "white space at the end of the line is not taken into the "
		    "value");
	return slice_first(s, n);
}

static const struct conf_assign *
find_assign(const struct conf_script *s, struct slice name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (slice_eq(slice_str(s->v[i].name), name))
			return &s->v[i];
	}
	return NULL;
}

/* Append a value and the lines that a "\" at the end joins to it. */
static void
take_joined(struct lines *l, struct slice part, struct buf *value,
    struct conf_source *src)
{
	while (part.n != 0 && part.p[part.n - 1] == '\\') {
		buf_put(value, slice_first(part, part.n - 1));
		buf_putc(value, ' ');
		part.n = 0;
		if (next_line(l))
			part = skip_blanks(trim_end(l->line, l->number, src));
	}
	buf_put(value, part);
}

static void
take_mysqlrc_line(
    struct lines *l, struct conf_script *out, struct conf_source *src)
{
	struct slice line = skip_blanks(l->line);
	const struct conf_assign *old;
	int number = l->number;
	struct slice name;
	struct buf value;
	size_t n = 0;

	if (line.n == 0 || line.p[0] == '#')
		return;
	line = trim_end(line, number, src);
	while (n < line.n && !is_blank(line.p[n]))
		n++;
	name = slice_first(line, n);
	if (n == 0)
		return;
	buf_init(&value, CONF_VALUE_MAX);
	take_joined(l, skip_blanks(slice_skip(line, n)), &value, src);
	old = find_assign(out, name);
	if (!conf_is_name(name))
		conf_say(src, slice_has(name, '=') ? CONF_ERROR : CONF_WARNING,
		    number,
		    "expected NAME value, separated by blanks, without =");
	else if (old != NULL)
		conf_say(src, CONF_WARNING, number,
		    "%s is set in line %d already, and the first one counts",
		    old->name, old->line);
	else
		conf_script_add(out, name, &value, number, src);
	buf_fini(&value);
}

void
conf_parse_authmysqlrc(
    struct slice text, struct conf_script *out, struct conf_source *src)
{
	each_line(text, take_mysqlrc_line, out, src);
}
