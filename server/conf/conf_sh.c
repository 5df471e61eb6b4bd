/*
 * The files that Courier lets /bin/sh source.  Ours reads what such a file
 * really holds, assignments, and refuses the rest with a line number: running
 * a configuration file as root would make every writer of it root, and
 * guessing at shell code would be worse than saying no.
 */
#include "config.h"

#include "server/conf/conf_script.h"

struct sh {
	struct slice in;
	size_t pos;
	int line;
	struct conf_source *src;
	struct conf_script *out;
};

static bool
at_end(const struct sh *sh)
{
	return sh->pos >= sh->in.n;
}

static uint8_t
peek(const struct sh *sh)
{
	return sh->in.p[sh->pos];
}

static void
skip_line(struct sh *sh)
{
	while (!at_end(sh) && peek(sh) != '\n')
		sh->pos++;
}

/* Blanks and continued lines. */
static void
skip_blanks(struct sh *sh)
{
	while (!at_end(sh)) {
		if (peek(sh) == '\\' && sh->pos + 1 < sh->in.n &&
		    sh->in.p[sh->pos + 1] == '\n') {
			sh->pos += 2;
			sh->line++;
		} else if (peek(sh) == ' ' || peek(sh) == '\t' ||
		    peek(sh) == '\r') {
			sh->pos++;
		} else {
			break;
		}
	}
}

static bool
refuse_backquote(struct sh *sh)
{
	conf_say(sh->src, CONF_ERROR, sh->line,
	    "expected a plain value: `...` is a command, and configuration "
	    "files are never run");
	return false;
}

/* '…': everything is itself. */
static bool
take_single(struct sh *sh, struct buf *value)
{
	int start = sh->line;

	for (sh->pos++; !at_end(sh); sh->pos++) {
		if (peek(sh) == '\'') {
			sh->pos++;
			return true;
		}
		if (peek(sh) == '\n')
			sh->line++;
		buf_putc(value, peek(sh));
	}
	conf_say(sh->src, CONF_ERROR, start,
	    "expected a ' to end the quoted text that begins here");
	return false;
}

/* A backslash: unquoted it takes any next byte, in "…" only some. */
static void
take_backslash(struct sh *sh, struct buf *value, bool quoted)
{
	uint8_t c;

	sh->pos++;
	if (at_end(sh)) {
		buf_putc(value, '\\');
		return;
	}
	c = peek(sh);
	sh->pos++;
	if (c == '\n') {
		sh->line++; /* a continued line */
		return;
	}
	if (quoted && !slice_has(SLICE("$`\"\\"), c))
		buf_putc(value, '\\');
	buf_putc(value, c);
}

static bool
take_dollar(struct sh *sh, struct buf *value)
{
	sh->pos++;
	return conf_take_dollar(sh->in, &sh->pos, sh->line, value, sh->src);
}

/* "…": variables, and a backslash before $ ` " \ and a line's end. */
static bool
take_double(struct sh *sh, struct buf *value)
{
	int start = sh->line;

	sh->pos++;
	while (!at_end(sh)) {
		switch (peek(sh)) {
		case '"':
			sh->pos++;
			return true;
		case '\\':
			take_backslash(sh, value, true);
			break;
		case '$':
			if (!take_dollar(sh, value))
				return false;
			break;
		case '`':
			return refuse_backquote(sh);
		default:
			if (peek(sh) == '\n')
				sh->line++;
			buf_putc(value, peek(sh));
			sh->pos++;
			break;
		}
	}
	conf_say(sh->src, CONF_ERROR, start,
	    "expected a \" to end the quoted text that begins here");
	return false;
}

static bool
take_unquoted(struct sh *sh, struct buf *value, bool first)
{
	uint8_t c = peek(sh);

	if (slice_has(SLICE("&|<>()"), c)) {
		conf_say(sh->src, CONF_ERROR, sh->line,
		    "expected a value; %c must be quoted", c);
		return false;
	}
	if (c == '~' && first) {
		conf_say(sh->src, CONF_ERROR, sh->line,
		    "expected a value; ~ must be quoted or the directory "
		    "written out");
		return false;
	}
	buf_putc(value, c);
	sh->pos++;
	return true;
}

/* One value: adjacent pieces, up to a blank, ";" or the line's end. */
static bool
take_value(struct sh *sh, struct buf *value)
{
	size_t start = sh->pos;

	while (!at_end(sh)) {
		bool good = true;

		switch (peek(sh)) {
		case ' ':
		case '\t':
		case '\n':
		case '\r':
		case ';':
			return true;
		case '\'':
			good = take_single(sh, value);
			break;
		case '"':
			good = take_double(sh, value);
			break;
		case '\\':
			take_backslash(sh, value, false);
			break;
		case '$':
			good = take_dollar(sh, value);
			break;
		case '`':
			good = refuse_backquote(sh);
			break;
		default:
			good = take_unquoted(sh, value, sh->pos == start);
			break;
		}
		if (!good)
			return false;
	}
	return true;
}

/* The bytes up to what ends a word, for a message or a name. */
static struct slice
word_at(const struct sh *sh)
{
	struct slice rest = slice_skip(sh->in, sh->pos);
	size_t n = 0;

	while (n < rest.n && !slice_has(SLICE(" \t\r\n;=\"'$`\\"), rest.p[n]))
		n++;
	return slice_first(rest, n);
}

static bool
take_assignment(struct sh *sh, bool export)
{
	struct slice name = word_at(sh);
	int line = sh->line;
	struct buf value;
	bool good;

	if (!conf_is_name(name) || sh->pos + name.n >= sh->in.n ||
	    sh->in.p[sh->pos + name.n] != '=') {
		if (export && conf_is_name(name)) {
			sh->pos += name.n; /* export NAME: nothing to do */
			return true;
		}
		name = slice_first(name, 40);
		conf_say(sh->src, CONF_ERROR, line,
		    "expected NAME=value (no blanks round =, no commands), "
		    "found \"%.*s\"",
		    SLICE_ARG(name));
		return false;
	}
	sh->pos += name.n + 1;
	buf_init(&value, CONF_VALUE_MAX);
	good = take_value(sh, &value);
	if (good)
		conf_script_add(sh->out, name, &value, line, sh->src);
	buf_fini(&value);
	return good;
}

static bool
take_export(struct sh *sh)
{
	struct slice word = word_at(sh);
	struct slice next = slice_skip(sh->in, sh->pos + word.n);

	if (!slice_eq(word, SLICE("export")) || next.n == 0 ||
	    (next.p[0] != ' ' && next.p[0] != '\t'))
		return false;
	sh->pos += word.n;
	return true;
}

/* The assignments of one command, to its line's end or ";". */
static bool
take_command(struct sh *sh)
{
	bool export = take_export(sh);

	for (;;) {
		skip_blanks(sh);
		if (at_end(sh) || peek(sh) == '\n' || peek(sh) == ';')
			return true;
		if (peek(sh) == '#') {
			skip_line(sh);
			return true;
		}
		if (!take_assignment(sh, export))
			return false;
	}
}

void
conf_parse_sh(
    struct slice text, struct conf_script *out, struct conf_source *src)
{
	struct buf clean;
	struct sh sh = { .line = 1, .src = src, .out = out };

	buf_init(&clean, CONF_FILE_MAX);
	if (!conf_clean_text(text, &clean, src))
		goto out;
	sh.in = buf_slice(&clean);
	while (!at_end(&sh)) {
		skip_blanks(&sh);
		if (at_end(&sh))
			break;
		if (peek(&sh) == '\n' || peek(&sh) == ';') {
			if (peek(&sh) == '\n')
				sh.line++;
			sh.pos++;
		} else if (peek(&sh) == '#') {
			skip_line(&sh);
		} else if (!take_command(&sh)) {
			skip_line(&sh);
		}
	}
out:
	buf_fini(&clean);
}
