/* The table of parts, the sections and the structures written from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/num.h"
#include "protocols/imap/bodystructure.h"
#include "protocols/imap/envelope.h"
#include "protocols/mime/message.h"
#include "protocols/mime/parser.h"
#include "protocols/mime/section.h"
#include "tests/support/mime_check.h"

struct structure_case {
	const char *name;
	const char *message;
	const char *structure; /* BODYSTRUCTURE */
};

#define ENV_NIL "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
#define TEXT	"\"text\" \"plain\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" "
#define EXT	" NIL NIL NIL NIL)"

/* clang-format off */
static const struct structure_case structure_cases[] = {
	{ "empty file", "", "(" TEXT "0 0" EXT },
	{ "header only, no empty line", "Subject: x\n", "(" TEXT "0 0" EXT },
	{ "no header", "\nhello\n", "(" TEXT "7 1" EXT },
	{ "body without last line break", "A: b\n\nhello", "(" TEXT "5 0" EXT },
	{ "CRLF file", "A: b\r\n\r\nhi\r\nho\r\n", "(" TEXT "8 2" EXT },
	{ "CR is data", "A: b\n\na\rb\r\r\n", "(" TEXT "6 1" EXT },
	{ "RFC 3501 7.4.2: 7bit text",
	    "Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\n\n1234\n",
	    "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL "
	    "\"7BIT\" 6 1" EXT },
	{ "RFC 3501 7.4.2: text and attachment",
	    "Content-Type: multipart/MIXED; boundary=\"=_x\"\n\n"
	    "preamble\n--=_x\n"
	    "Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\n\nhello\n"
	    "--=_x\n"
	    "Content-Type: TEXT/PLAIN; CHARSET=US-ASCII; NAME=cc.diff\n"
	    "Content-ID: <960723163407.20117h@cac.washington.edu>\n"
	    "Content-Description: Compiler diff\n"
	    "Content-Transfer-Encoding: BASE64\n\nQUJD\nREVG\n"
	    "--=_x--\nepilogue\n",
	    "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL "
	    "\"7BIT\" 5 0" EXT
	    "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\" \"NAME\" "
	    "\"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" "
	    "\"Compiler diff\" \"BASE64\" 10 1" EXT
	    " \"MIXED\" (\"boundary\" \"=_x\") NIL NIL NIL)" },
	{ "all extension fields",
	    "Content-Type: image/png\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\n"
	    "Content-Disposition: attachment; filename=\"a b.png\"\n"
	    "Content-Language: en, de\nContent-Location: http://x/y\n\nz",
	    "(\"image\" \"png\" NIL NIL NIL \"7BIT\" 1 "
	    "\"Q2hlY2sgSW50ZWdyaXR5IQ==\" "
	    "(\"attachment\" (\"filename\" \"a b.png\")) "
	    "(\"en\" \"de\") \"http://x/y\")" },
	{ "one language", "Content-Type: a/b\nContent-Language: i-mingo (c)\n\n",
	    "(\"a\" \"b\" NIL NIL NIL \"7BIT\" 0 NIL NIL \"i-mingo\" NIL)" },
	{ "disposition without parameters",
	    "Content-Type: a/b\nContent-Disposition: inline\n\n",
	    "(\"a\" \"b\" NIL NIL NIL \"7BIT\" 0 NIL (\"inline\" NIL) NIL NIL)" },
	{ "text subtype gets a charset",
	    "Content-Type: text/html; x=y\n\n<p>",
	    "(\"text\" \"html\" (\"x\" \"y\" \"CHARSET\" \"US-ASCII\") NIL NIL "
	    "\"7BIT\" 3 0" EXT },
	{ "malformed type is text/plain", "Content-Type: text\n\nx",
	    "(" TEXT "1 0" EXT },
	{ "multipart without boundary is text/plain",
	    "Content-Type: multipart/mixed\n\n--\nx\n", "(" TEXT "7 2" EXT },
	{ "a boundary ends at a blank if it isn't quoted",
	    "Content-Type: multipart/mixed; boundary=b charset=x\n\n"
	    "--b\n\nhello\n--b--\n",
	    "((" TEXT "5 0" EXT
	    " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "multipart without parts",
	    "Content-Type: multipart/mixed; boundary=b\n\nnothing\n",
	    "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" "
	    "0 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "only a close delimiter",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b--\n",
	    "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" "
	    "0 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "missing close delimiter",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n",
	    "((" TEXT "3 0" EXT "(" TEXT "5 1" EXT
	    " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "close delimiter at the end of the file",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--",
	    "((" TEXT "3 0" EXT " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "blanks behind delimiters",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\none\n"
	    "--b-- \n--b\n\nno part\n",
	    "((" TEXT "3 0" EXT " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "rubbish behind a close delimiter",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--x\n",
	    "((" TEXT "3 0" EXT " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "something behind a delimiter",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n"
	    "--b and more\n\nsecond\n--b--\n",
	    "((" TEXT "3 0" EXT "(" TEXT "6 0" EXT
	    " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "an extended boundary",
	    "Content-Type: multipart/mixed; boundary*0*=us-ascii''a%3D;\n"
	    " boundary*1=b\n\n--a=b\n\none\n--a=b--\n",
	    "((" TEXT "3 0" EXT
	    " \"mixed\" (\"boundary*\" \"us-ascii''a%3Db\") NIL NIL NIL)" },
	{ "a longer line is no delimiter",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--bb\n--b--\n",
	    "((" TEXT "4 0" EXT " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "boundary in quotes with blanks and at its end",
	    "Content-Type: multipart/mixed; boundary=\"a b:c \"\n\n"
	    "--a b:c\n\none\n--a b:c--\n",
	    "((" TEXT "3 0" EXT
	    " \"mixed\" (\"boundary\" \"a b:c \") NIL NIL NIL)" },
	{ "inner boundary continues the outer",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
	    "Content-Type: multipart/mixed; boundary=bb\n\n--bb\n\none\n--bb--\n"
	    "--b\n\ntwo\n--b--\n",
	    "(((" TEXT "3 0" EXT " \"mixed\" (\"boundary\" \"bb\") NIL NIL NIL)"
	    "(" TEXT "3 0" EXT " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "outer boundary continues the inner, inner not closed",
	    "Content-Type: multipart/mixed; boundary=bb\n\n--bb\n"
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n"
	    "--bb\n\ntwo\n--bb--\n",
	    "(((" TEXT "3 0" EXT " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"
	    "(" TEXT "3 0" EXT " \"mixed\" (\"boundary\" \"bb\") NIL NIL NIL)" },
	{ "a boundary that ends in hyphens",
	    "Content-Type: multipart/mixed; boundary=\"b--\"\n\n--b--\n\none\n"
	    "--b----\n",
	    "((" TEXT "3 0" EXT " \"mixed\" (\"boundary\" \"b--\") NIL NIL NIL)" },
	{ "empty part", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--b--\n",
	    "((" TEXT "0 0" EXT " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "part without empty line",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
	    "Content-Type: a/b\n--b\n--b--\n",
	    "((\"a\" \"b\" NIL NIL NIL \"7BIT\" 0" EXT "(" TEXT "0 0" EXT
	    " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "part whose text follows the delimiter at once",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
	    "no header here\nat all\n--b--\n",
	    "((" TEXT "22 1" EXT " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "white space before the colon", "Content-Type : a/b\n\n",
	    "(\"a\" \"b\" NIL NIL NIL \"7BIT\" 0" EXT },
	{ "the first of two fields counts",
	    "Content-Type: a/b\nContent-Type: c/d\n\n",
	    "(\"a\" \"b\" NIL NIL NIL \"7BIT\" 0" EXT },
	{ "folded field and a line without colon",
	    "Content-Type:\n a/b;\n\tc=d\nrubbish\n e=f\n\n",
	    "(\"a\" \"b\" (\"c\" \"d\") NIL NIL \"7BIT\" 0" EXT },
	{ "message in a message",
	    "Content-Type: message/rfc822\n\n"
	    "Subject: inner\nFrom: a@b\n\nhi\n",
	    "(\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 33 "
	    "(NIL \"inner\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) "
	    "((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL) "
	    "(" TEXT "4 1" EXT " 4" EXT },
	{ "message/global", "Content-Type: message/global\n\n\nx",
	    "(\"message\" \"global\" NIL NIL NIL \"7BIT\" 3 " ENV_NIL " ("
	    TEXT "1 0" EXT " 1" EXT },
	{ "a message in base64 isn't looked into",
	    "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nYQ==",
	    "(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"base64\" 4" EXT },
	{ "digest: default is message/rfc822",
	    "Content-Type: multipart/digest; boundary=b\n\n--b\n\n"
	    "Subject: s\n\nx\n--b\nContent-Type: text/plain\n\ny\n--b--\n",
	    "((\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 15 "
	    "(NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) (" TEXT "1 0" EXT
	    " 2" EXT "(" TEXT "1 0" EXT
	    " \"digest\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "encapsulated header cut by a delimiter",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
	    "Content-Type: message/rfc822\n\nSubject: s\n--b--\n",
	    "((\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 10 "
	    "(NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) (" TEXT "0 0" EXT
	    " 0" EXT " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "encapsulated header without body before a delimiter",
	    "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
	    "Content-Type: message/rfc822\n\nSubject: s\n\n--b--\n",
	    "((\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 14 "
	    "(NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) (" TEXT "0 0" EXT
	    " 2" EXT " \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)" },
	{ "nothing in an encapsulated message",
	    "Content-Type: message/rfc822\n",
	    "(\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 0 " ENV_NIL " ("
	    TEXT "0 0" EXT " 0" EXT },
	{ "RFC 2231 continuations are joined",
	    "Content-Type: a/b; title*0*=us-ascii'en'This%20is%20;\n"
	    " title*1*=%2A%2A; title*2=\"isn't it!\"; u*0=\"x\"; u*1=y\n\n",
	    "(\"a\" \"b\" (\"title*\" \"us-ascii'en'This%20is%20%2A%2Aisn%27t"
	    "%20it!\" \"u\" \"xy\") NIL NIL \"7BIT\" 0" EXT },
	{ "RFC 2046 5.1.1: implicit and explicit typing",
	    "From: Nathaniel Borenstein <nsb@bellcore.com>\n"
	    "MIME-Version: 1.0\n"
	    "Content-type: multipart/mixed; boundary=\"simple boundary\"\n\n"
	    "This is the preamble.\n\n--simple boundary\n\n"
	    "It does NOT end with a linebreak.\n--simple boundary\n"
	    "Content-type: text/plain; charset=us-ascii\n\n"
	    "It DOES end with a linebreak.\n\n--simple boundary--\n\n"
	    "This is the epilogue.\n",
	    "((" TEXT "33 0" EXT
	    "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL "
	    "\"7BIT\" 31 1" EXT
	    " \"mixed\" (\"boundary\" \"simple boundary\") NIL NIL NIL)" },
	{ "RFC 2049 A: a complex multipart",
	    "MIME-Version: 1.0\nContent-Type: multipart/mixed;\n"
	    "              boundary=unique-boundary-1\n\npreamble\n\n"
	    "--unique-boundary-1\n\n  ... Some text appears here ...\n\n"
	    "--unique-boundary-1\nContent-type: text/plain; "
	    "charset=US-ASCII\n\nparts.\n\n"
	    "--unique-boundary-1\nContent-Type: multipart/parallel; "
	    "boundary=unique-boundary-2\n\n"
	    "--unique-boundary-2\nContent-Type: audio/basic\n"
	    "Content-Transfer-Encoding: base64\n\naudio\n\n"
	    "--unique-boundary-2\nContent-Type: image/jpeg\n"
	    "Content-Transfer-Encoding: base64\n\nimage\n\n"
	    "--unique-boundary-2--\n\n"
	    "--unique-boundary-1\nContent-type: text/enriched\n\n"
	    "<bigger>cool?</bigger>\n\n"
	    "--unique-boundary-1\nContent-Type: message/rfc822\n\n"
	    "From: (mailbox in US-ASCII)\nTo: (address in US-ASCII)\n"
	    "Subject: (subject in US-ASCII)\n"
	    "Content-Type: Text/plain; charset=ISO-8859-1\n"
	    "Content-Transfer-Encoding: Quoted-printable\n\n"
	    "  ... Additional text in ISO-8859-1 goes here ...\n\n"
	    "--unique-boundary-1--\n",
	    "((" TEXT "34 1" EXT
	    "(\"text\" \"plain\" (\"charset\" \"US-ASCII\") NIL NIL "
	    "\"7BIT\" 8 1" EXT
	    "((\"audio\" \"basic\" NIL NIL NIL \"base64\" 7" EXT
	    "(\"image\" \"jpeg\" NIL NIL NIL \"base64\" 7" EXT
	    " \"parallel\" (\"boundary\" \"unique-boundary-2\") NIL NIL NIL)"
	    "(\"text\" \"enriched\" (\"CHARSET\" \"US-ASCII\") NIL NIL "
	    "\"7BIT\" 24 1" EXT
	    "(\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 232 "
	    "(NIL \"(subject in US-ASCII)\" NIL NIL NIL NIL NIL NIL NIL NIL) "
	    "(\"Text\" \"plain\" (\"charset\" \"ISO-8859-1\") NIL NIL "
	    "\"Quoted-printable\" 51 1" EXT " 7" EXT
	    " \"mixed\" (\"boundary\" \"unique-boundary-1\") NIL NIL NIL)" },
	{ "an encoding in quotes",
	    "Content-Type: a/b\nContent-Transfer-Encoding: \"base64\"\n\nYQ==",
	    "(\"a\" \"b\" NIL NIL NIL \"base64\" 4" EXT },
	{ "an encoding that isn't any",
	    "Content-Type: a/b\nContent-Transfer-Encoding: \"\"\n\nYQ==",
	    "(\"a\" \"b\" NIL NIL NIL \"7BIT\" 4" EXT },
	{ "8 bit and quotes in strings",
	    "Content-Type: a/b; n=\"q\\\"\\\\\"\nContent-Description: \xc3\xa4\n\n",
	    "(\"a\" \"b\" (\"n\" \"q\\\"\\\\\") NIL {2}\r\n\xc3\xa4 \"7BIT\" 0"
	    EXT },
};
/* clang-format on */

static void
put_structure(
    struct buf *out, struct slice message, size_t cut, struct mime_message *m)
{
	struct mime_parser p;

	mime_message_init(m);
	mime_parser_init(&p, m, NULL);
	mime_parser_feed(&p, slice_first(message, cut));
	mime_parser_feed(&p, slice_skip(message, cut));
	mime_parser_finish(&p);
	imap_bodystructure_put(out, m, true);
}

static void
test_structure(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(structure_cases); i++) {
		const struct structure_case *c = &structure_cases[i];
		struct slice in = slice_str(c->message), have;
		struct mime_message m;
		struct buf out;
		buf_init(&out, 1 << 20);
		for (size_t cut = 0; cut <= in.n; cut++) {
			buf_reset(&out);
			put_structure(&out, in, cut, &m);
			mime_check_table(&m, in);
			have = buf_slice(&out);
			mime_check_list(have);
			if (!slice_eq(have, slice_str(c->structure)))
				fail_msg(
				    "%s, cut at %zu:\n have %.*s\n want %s",
				    c->name, cut, SLICE_ARG(have),
				    c->structure);
			mime_message_fini(&m);
		}
		buf_fini(&out);
	}
}

static void
test_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(structure_cases); i++) {
		struct slice in = slice_str(structure_cases[i].message);
		struct mime_message whole, bytes;
		struct mime_parser p;
		mime_message_init(&whole);
		mime_message_init(&bytes);
		mime_parse(&whole, in, NULL);
		mime_parser_init(&p, &bytes, NULL);
		for (size_t k = 0; k < in.n; k++)
			mime_parser_feed(&p, slice_of(in.p + k, 1));
		mime_parser_finish(&p);
		mime_check_equal(&whole, &bytes);
		mime_message_fini(&whole);
		mime_message_fini(&bytes);
	}
}

/* --- sections ------------------------------------------------------------ */

/* The example of RFC 3501 6.4.5, with numbers as content. */
static const char sections_message[] =
    "Content-Type: multipart/mixed; boundary=A\n\n"
    "--A\nContent-Type: text/plain\n\none\n"
    "--A\nContent-Type: application/octet-stream\n\ntwo\n"
    "--A\nContent-Type: message/rfc822\nX-Three: y\n\n"
    "Subject: three\nContent-Type: multipart/mixed; boundary=B\n\n"
    "--B\n\nthree-one\n"
    "--B\nContent-Type: application/octet-stream\n\nthree-two\n--B--\n"
    "--A\nContent-Type: multipart/mixed; boundary=C\nX-Four: y\n\n"
    "--C\nContent-Type: image/gif\nX-4.1: y\n\nfour-one\n"
    "--C\nContent-Type: message/rfc822\nX-4.2: y\n\n"
    "Subject: four-two\nContent-Type: multipart/mixed; boundary=D\n\n"
    "--D\nContent-Type: text/plain\nX-4.2.1: y\n\nfour-two-one\n"
    "--D\nContent-Type: multipart/alternative; boundary=E\n\n"
    "--E\nContent-Type: text/plain\n\nfour-two-two-one\n"
    "--E\nContent-Type: text/richtext\n\nfour-two-two-two\n--E--\n--D--\n"
    "--C--\n"
    "--A\nContent-Type: message/rfc822\n\nSubject: five\n\nfive-one\n"
    "--A--\n";

static const char single_message[] = "Subject: s\n\nbody\n";

static const char nested_message[] = "Content-Type: message/rfc822\n\n"
				     "Content-Type: message/rfc822\n\n"
				     "Subject: third\n\nx\n";

static const struct {
	const char *message;
	const char *section;
	const char *want; /* NULL: there's no such section */
} section_cases[] = {
	{ sections_message, "1", "one" },
	{ sections_message, "1.MIME", "Content-Type: text/plain\n\n" },
	{ sections_message, "1.HEADER", NULL },
	{ sections_message, "1.TEXT", NULL },
	{ sections_message, "1.1", NULL },
	{ sections_message, "2", "two" },
	{ sections_message, "3.MIME",
	    "Content-Type: message/rfc822\nX-Three: y\n\n" },
	{ sections_message, "3.HEADER",
	    "Subject: three\nContent-Type: multipart/mixed; boundary=B\n\n" },
	{ sections_message, "3.TEXT",
	    "--B\n\nthree-one\n--B\nContent-Type: application/octet-stream\n\n"
	    "three-two\n--B--" },
	{ sections_message, "3.1", "three-one" },
	{ sections_message, "3.1.MIME", "\n" },
	{ sections_message, "3.2", "three-two" },
	{ sections_message, "3.3", NULL },
	{ sections_message, "4.MIME",
	    "Content-Type: multipart/mixed; boundary=C\nX-Four: y\n\n" },
	{ sections_message, "4.HEADER", NULL },
	{ sections_message, "4.1", "four-one" },
	{ sections_message, "4.1.MIME",
	    "Content-Type: image/gif\nX-4.1: y\n\n" },
	{ sections_message, "4.2.HEADER",
	    "Subject: four-two\nContent-Type: multipart/mixed; "
	    "boundary=D\n\n" },
	{ sections_message, "4.2.1", "four-two-one" },
	{ sections_message, "4.2.1.MIME",
	    "Content-Type: text/plain\nX-4.2.1: y\n\n" },
	{ sections_message, "4.2.2.1", "four-two-two-one" },
	{ sections_message, "4.2.2.2", "four-two-two-two" },
	{ sections_message, "4.2.2.3", NULL },
	{ sections_message, "5.1", "five-one" },
	{ sections_message, "5.1.MIME", "Subject: five\n\n" },
	{ sections_message, "5.2", NULL },
	{ sections_message, "6", NULL },
	{ sections_message, "0", NULL },
	{ sections_message, "4294967295", NULL },
	{ single_message, "", single_message },
	{ single_message, "HEADER", "Subject: s\n\n" },
	{ single_message, "TEXT", "body\n" },
	{ single_message, "MIME", NULL },
	{ single_message, "1", "body\n" },
	{ single_message, "1.MIME", "Subject: s\n\n" },
	{ single_message, "1.1", NULL },
	{ single_message, "2", NULL },
	{ nested_message, "1",
	    "Content-Type: message/rfc822\n\nSubject: third\n\nx\n" },
	{ nested_message, "1.HEADER", "Content-Type: message/rfc822\n\n" },
	{ nested_message, "1.1", "Subject: third\n\nx\n" },
	{ nested_message, "1.1.HEADER", "Subject: third\n\n" },
	{ nested_message, "1.1.1", "x\n" },
	{ nested_message, "1.1.1.1", NULL },
};

/* Split "1.2.MIME" into numbers and what stands behind them. */
static size_t
section_parse(const char *text, uint32_t *path, enum mime_section *what)
{
	struct slice rest = slice_str(text), piece;
	size_t n = 0;

	*what = MIME_SECTION_ALL;
	while (rest.n != 0 && slice_split(&rest, '.', &piece)) {
		if (num_u32(piece, &path[n]))
			n++;
		else if (slice_eq(piece, SLICE("HEADER")))
			*what = MIME_SECTION_HEADER;
		else if (slice_eq(piece, SLICE("TEXT")))
			*what = MIME_SECTION_TEXT;
		else if (slice_eq(piece, SLICE("MIME")))
			*what = MIME_SECTION_MIME;
		else
			fail_msg("no section: %s", text);
	}
	return n;
}

static void
test_sections(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(section_cases); i++) {
		struct slice in = slice_str(section_cases[i].message), have;
		const char *want = section_cases[i].want;
		struct mime_span span = { .off = 0 };
		struct mime_message m;
		enum mime_section what;
		uint32_t path[8];
		size_t n = section_parse(section_cases[i].section, path, &what);
		bool found;
		mime_message_init(&m);
		mime_parse(&m, in, NULL);
		mime_check_table(&m, in);
		found = mime_section_span(&m, path, n, what, &span);
		have = slice_first(
		    slice_skip(in, (size_t)span.off), (size_t)span.len);
		if (found != (want != NULL) ||
		    (found && !slice_eq(have, slice_str(want))))
			fail_msg("BODY[%s]: %.*s", section_cases[i].section,
			    SLICE_ARG(have));
		mime_message_fini(&m);
	}
}

static void
test_body_without_extension(void **state)
{
	struct slice in = slice_str(sections_message);
	struct slice want = SLICE("(\"message\" \"rfc822\" NIL NIL NIL "
				  "\"7BIT\" 25 (NIL \"five\" ");
	struct mime_message m;
	struct buf out;
	bool found = false;

	(void)state;
	buf_init(&out, 1 << 16);
	mime_message_init(&m);
	mime_parse(&m, in, NULL);
	imap_bodystructure_put(&out, &m, false);
	mime_check_list(buf_slice(&out));
	assert_true(slice_ends(buf_slice(&out), SLICE(" 2) \"mixed\")")));
	for (struct slice s = buf_slice(&out); s.n != 0; s = slice_skip(s, 1))
		found = found || slice_starts(s, want);
	assert_true(found);
	mime_message_fini(&m);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_body_without_extension),
	};

	return cmocka_run_group_tests_name("mime_parser", tests, NULL, NULL);
}
