/*
 * The three grammars: tables of a text and the assignments, or the error, that
 * it gives.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/conf/conf_script.h"

typedef void parser(struct slice, struct conf_script *, struct conf_source *);

struct script_case {
	const char *name;
	const char *text;
	/* "NAME=value|NAME=value"; <X> is a reference */
	const char *want;
	/* line and part of the first error or warning, 0 for none */
	int line;
	const char *said;
};

struct first_remark {
	int line;
	int severity;
	char text[512];
};

static void
on_report(void *arg, int severity, const char *file, int line, const char *text)
{
	struct first_remark *r = arg;

	assert_string_equal(file, "FILE");
	if (r->line != 0)
		return;
	r->line = line;
	r->severity = severity;
	(void)strncpy(r->text, text, sizeof(r->text) - 1);
}

static void
render(const struct conf_script *s, struct buf *out)
{
	for (size_t i = 0; i < s->n; i++) {
		bool open = true;

		if (i != 0)
			buf_putc(out, '|');
		buf_putf(out, "%s=", s->v[i].name);
		for (const char *p = s->v[i].value; *p != '\0'; p++) {
			if (*p == CONF_VAR_MARK) {
				buf_putc(out, open ? '<' : '>');
				open = !open;
			} else {
				buf_putc(out, (uint8_t)*p);
			}
		}
	}
}

static void
run(parser *parse, const struct script_case *c)
{
	struct first_remark remark = { .line = 0 };
	struct conf_source src = { "FILE", on_report, &remark, 0 };
	struct conf_script script;
	struct buf out;

	conf_script_init(&script);
	buf_init(&out, 1 << 20);
	parse(slice_str(c->text), &script, &src);
	render(&script, &out);
	if (strcmp(buf_cstr(&out), c->want) != 0)
		fail_msg(
		    "%s: got %s, wanted %s", c->name, buf_cstr(&out), c->want);
	if (remark.line != c->line)
		fail_msg("%s: remark in line %d (%s), wanted line %d", c->name,
		    remark.line, remark.text, c->line);
	if (c->said != NULL && strstr(remark.text, c->said) == NULL)
		fail_msg("%s: remark \"%s\", wanted \"%s\"", c->name,
		    remark.text, c->said);
	buf_fini(&out);
	conf_script_fini(&script);
}

/* Every beginning of a text ends, without a fault, in some result. */
static void
run_cut(parser *parse, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i <= n; i++) {
		struct first_remark remark = { .line = 0 };
		struct conf_source src = { "FILE", on_report, &remark, 0 };
		struct conf_script script;
		/* of exactly this size, for the sanitizer */
		uint8_t *copy = malloc(i + 1);

		assert_non_null(copy);
		memcpy(copy, text, i);
		conf_script_init(&script);
		parse(slice_of(copy, i), &script, &src);
		conf_script_fini(&script);
		free(copy);
	}
}

static const struct script_case sh_cases[] = {
	{ "plain", "A=1\nB=two\n", "A=1|B=two", 0, NULL },
	{ "no newline at the end", "A=1", "A=1", 0, NULL },
	{ "empty", "", "", 0, NULL },
	{ "empty value", "A=\nB=\"\"\n", "A=|B=", 0, NULL },
	{ "comments", "# x\n  # y\nA=1 # z\n##NAME: A:0\n", "A=1", 0, NULL },
	{ "hash inside a word", "A=a#b\n", "A=a#b", 0, NULL },
	{ "trailing blanks vanish", "A=1  \t\nB=2\n", "A=1|B=2", 0, NULL },
	{ "indented", "\t A=1\n", "A=1", 0, NULL },
	{ "single quotes", "A='$X \"y\" \\n `z`'\n", "A=$X \"y\" \\n `z`", 0,
	    NULL },
	{ "double quotes", "A=\"b  c # d\"\n", "A=b  c # d", 0, NULL },
	{ "escapes in double quotes", "A=\"\\$ \\` \\\" \\\\ \\n\"\n",
	    "A=$ ` \" \\ \\n", 0, NULL },
	{ "escapes outside", "A=a\\ b\\$c\\\\\n", "A=a b$c\\", 0, NULL },
	{ "variables", "A=$X/${Y}z\"$Z\"\n", "A=<X>/<Y>z<Z>", 0, NULL },
	{ "no variables in single quotes", "A='${X}'\n", "A=${X}", 0, NULL },
	{ "adjacent pieces", "A=a\"b c\"'d'$E\n", "A=ab cd<E>", 0, NULL },
	{ "dollar alone", "A=\"5$ a$\"\nB=$\n", "A=5$ a$|B=$", 0, NULL },
	{ "line break in quotes", "A=\"b\nc\"\nD=1\n", "A=b\nc|D=1", 0, NULL },
	{ "continued line", "A=ab\\\ncd\nB=\"x\\\ny\"\n", "A=abcd|B=xy", 0,
	    NULL },
	{ "two on a line", "A=1 B=2; C=3\n", "A=1|B=2|C=3", 0, NULL },
	{ "export", "export A=1 B=2\nexport C\n", "A=1|B=2", 0, NULL },
	{ "a name that begins with export", "exported=1\n", "exported=1", 0,
	    NULL },
	{ "twice", "A=1\nA=2\n", "A=1|A=2", 0, NULL },
	{ "8-bit text", "A=\xc3\xa4\n", "A=\xc3\xa4", 0, NULL },
	{ "CR LF", "A=1\r\nB=\"x\"\r\n", "A=1|B=x", 1, "CR LF" },

	{ "command substitution", "A=1\nB=$(id)\nC=3\n", "A=1|C=3", 2,
	    "$(...)" },
	{ "the same in quotes", "B=\"x $(id) y\"\n", "", 1, "$(...)" },
	{ "arithmetic", "B=$((1+1))\n", "", 1, "$(...)" },
	{ "backquotes", "A=1\n\nB=`id`\n", "A=1", 3, "`...`" },
	{ "backquotes in quotes", "B=\"`id`\"\n", "", 1, "`...`" },
	{ "if", "if [ -f /x ]; then\nA=1\nfi\n", "A=1", 1, "NAME=value" },
	{ "function", "f() {\nA=1\n}\n", "A=1", 1, "NAME=value" },
	{ "source", ". /etc/x\n", "", 1, "NAME=value" },
	{ "command behind an assignment", "A=1 id\n", "A=1", 1, "NAME=value" },
	{ "blanks round =", "A = 1\n", "", 1, "found \"A\"" },
	{ "default value", "A=${B:-1}\n", "", 1, "${NAME}" },
	{ "unended braces", "A=${B\n", "", 1, "${NAME}" },
	{ "positional", "A=$1\n", "", 1, "name after $" },
	{ "process id", "A=\"$$\"\n", "", 1, "name after $" },
	{ "unended double quote", "A=1\nB=\"x\nC=2\n", "A=1", 2, "a \" to" },
	{ "unended single quote", "A=1\nB='x\nC=2\n", "A=1", 2, "a ' to" },
	{ "background", "A=1&\n", "", 1, "& must be quoted" },
	{ "pipe", "A=1|B\n", "", 1, "| must be quoted" },
	{ "redirection", "A=<x\n", "", 1, "< must be quoted" },
	{ "array", "A=(1 2)\n", "", 1, "( must be quoted" },
	{ "tilde", "A=~/x\n", "", 1, "~ must be quoted" },
	{ "tilde inside", "A=b~\n", "A=b~", 0, NULL },
	{ "bad name", "1A=2\n", "", 1, "NAME=value" },
	{ "name with a dash", "A-B=2\n", "", 1, "NAME=value" },
	{ "control byte", "A=1\nB=\x01X\x01\n", "", 2, "0x01" },
	{ "escape byte", "A=\x1b[1m\n", "", 1, "0x1b" },
};

static const struct script_case daemonrc_cases[] = {
	{ "quoted", "authmodulelist=\"authmysql authpam\"\ndaemons=5\n",
	    "authmodulelist=authmysql authpam|daemons=5", 0, NULL },
	{ "blanks round =", "  authmodulelist = authpam  \n",
	    "authmodulelist=authpam", 0, NULL },
	{ "unquoted with blanks", "authmodulelist=authmysql authpam\n",
	    "authmodulelist=authmysql authpam", 0, NULL },
	{ "comment behind", "daemons=5 # five\n", "daemons=5", 0, NULL },
	{ "hash in quotes", "A=\"b#c\" # d\n", "A=b#c", 0, NULL },
	{ "single quotes", "A='b $c'\n", "A=b $c", 0, NULL },
	{ "variable", "A=$B/c\n", "A=<B>/c", 0, NULL },
	{ "empty", "A=\nB=\"\"\n", "A=|B=", 0, NULL },
	{ "no =", "# x\ndaemons 5\n", "", 2, "NAME=value" },
	{ "unended quote", "A=\"b\nC=d\n", "C=d", 1, "to end the value" },
	{ "text behind the quotes", "A=\"b\"c\n", "", 1, "nothing behind" },
	{ "command", "A=\"$(id)\"\n", "", 1, "$(...)" },
	{ "backquote", "A=`id`\n", "", 1, "`...`" },
	{ "CR LF", "A=\"b\"\r\nC=d\r\n", "A=b|C=d", 1, "CR LF" },
};

static const struct script_case mysqlrc_cases[] = {
	{ "plain", "MYSQL_SERVER\t\tlocalhost\nMYSQL_PORT 0\n",
	    "MYSQL_SERVER=localhost|MYSQL_PORT=0", 0, NULL },
	{ "indented", "  A b\n", "A=b", 0, NULL },
	{ "comments", "#A b\n  # c\nD e # f\n", "D=e # f", 0, NULL },
	{ "quotes stay", "A '/home/vmail'\n", "A='/home/vmail'", 0, NULL },
	{ "dollars stay", "A WHERE x='$(local_part)'\n",
	    "A=WHERE x='$(local_part)'", 0, NULL },
	{ "no value", "A\nB \n", "A=|B=", 2, "white space at the end" },
	{ "trailing blanks", "A b\nC d \t\nE f\n", "A=b|C=d|E=f", 2,
	    "white space at the end" },
	{ "CR LF", "A b\r\nC d\r\n", "A=b|C=d", 1, "CR LF" },
	{ "CR at the end of the file", "A b\nC d\r", "A=b|C=d", 2,
	    "white space at the end" },
	{ "joined", "A SELECT x, \\\n    y \\\n  FROM z\nB c\n",
	    "A=SELECT x,  y  FROM z|B=c", 0, NULL },
	{ "joined with blanks behind the backslash", "A b\\ \n c\n", "A=b c", 1,
	    "white space at the end" },
	{ "joined at the end", "A b\\", "A=b ", 0, NULL },
	{ "first counts", "A b\nC d\nA e\n", "A=b|C=d", 3, "line 1 already" },
	{ "shell form", "A=b\n", "", 1, "without =" },
	{ "not a name", "-- x\nA b\n", "A=b", 1, "separated by blanks" },
	{ "nothing but blanks", " \t \n\nA b\n", "A=b", 0, NULL },
};

static void
test_sh(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(sh_cases); i++) {
		run(conf_parse_sh, &sh_cases[i]);
		run_cut(conf_parse_sh, sh_cases[i].text);
	}
}

static void
test_authdaemonrc(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(daemonrc_cases); i++) {
		run(conf_parse_authdaemonrc, &daemonrc_cases[i]);
		run_cut(conf_parse_authdaemonrc, daemonrc_cases[i].text);
	}
}

static void
test_authmysqlrc(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(mysqlrc_cases); i++) {
		run(conf_parse_authmysqlrc, &mysqlrc_cases[i]);
		run_cut(conf_parse_authmysqlrc, mysqlrc_cases[i].text);
	}
}

/* Too many assignments, too long names and values: one error, no more. */
static void
test_bounds(void **state)
{
	static const struct {
		const char *unit;
		size_t times;
		const char *said;
	} cases[] = {
		{ "A=1\n", CONF_ASSIGN_MAX + 10, "at most 4096 assignments" },
		{ "x", CONF_VALUE_MAX + 1, "at most 65536 bytes" },
	};
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct first_remark remark = { .line = 0 };
		struct conf_source src = { "FILE", on_report, &remark, 0 };
		struct conf_script script;
		struct buf text;

		buf_init(&text, CONF_FILE_MAX);
		if (cases[i].unit[0] == 'x')
			buf_puts(&text, "A=");
		for (size_t j = 0; j < cases[i].times; j++)
			buf_puts(&text, cases[i].unit);
		conf_script_init(&script);
		conf_parse_sh(buf_slice(&text), &script, &src);
		assert_non_null(strstr(remark.text, cases[i].said));
		assert_true(src.errors > 0);
		conf_script_fini(&script);
		buf_fini(&text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sh),
		cmocka_unit_test(test_authdaemonrc),
		cmocka_unit_test(test_authmysqlrc),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
