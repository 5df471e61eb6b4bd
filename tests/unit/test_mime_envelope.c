/* ENVELOPE, written from a message's table of parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "protocols/imap/envelope.h"
#include "protocols/mime/message.h"
#include "protocols/mime/parser.h"
#include "tests/support/mime_check.h"

/* clang-format off */
static const struct envelope_case {
	const char *name, *message, *envelope;
} envelope_cases[] = {
	{ "RFC 3501 8",
	    "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\n"
	    "From: Terry Gray <gray@cac.washington.edu>\n"
	    "Subject: IMAP4rev1 WG mtg summary and minutes\n"
	    "To: imap@cac.washington.edu\n"
	    "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\n"
	    "Message-Id: <B27397-0100000@cac.washington.edu>\n\n",
	    "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" "
	    "\"IMAP4rev1 WG mtg summary and minutes\" "
	    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	    "((NIL NIL \"imap\" \"cac.washington.edu\")) "
	    "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")"
	    "(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL "
	    "\"<B27397-0100000@cac.washington.edu>\")" },
	{ "nothing", "", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)" },
	{ "present but empty",
	    "Date:\nSubject: \nFrom:\nSender:\nReply-To:\nTo:\nCc:\nBcc:\n"
	    "In-Reply-To:\nMessage-ID:\n\n",
	    "(\"\" \"\" NIL NIL NIL NIL NIL NIL \"\" \"\")" },
	{ "sender and reply-to of their own",
	    "From: a@b\nSender: c@d\nReply-To: e@f\nBcc: g@h\n"
	    "In-Reply-To: <i@j>\n\n",
	    "(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"c\" \"d\")) "
	    "((NIL NIL \"e\" \"f\")) NIL NIL ((NIL NIL \"g\" \"h\")) "
	    "\"<i@j>\" NIL)" },
	{ "group", "To: A Group:Ed <e@x>, j@y;\nCc: Undisclosed:;\n\n",
	    "(NIL NIL NIL NIL NIL ((NIL NIL \"A Group\" NIL)"
	    "(\"Ed\" NIL \"e\" \"x\")(NIL NIL \"j\" \"y\")(NIL NIL NIL NIL)) "
	    "((NIL NIL \"Undisclosed\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL)" },
	{ "two fields of one name", "To: a@b\nX: y\nTo: c@d\n\n",
	    "(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")) "
	    "NIL NIL NIL NIL)" },
	{ "folded subject, quotes, the first counts",
	    "Subject: a\n\t\"b\"\\\nSubject: no\n\n",
	    "(NIL \"a\t\\\"b\\\"\\\\\" NIL NIL NIL NIL NIL NIL NIL NIL)" },
	{ "8 bit is a literal", "Subject: \xe4\r\n\r\n",
	    "(NIL {1}\r\n\xe4 NIL NIL NIL NIL NIL NIL NIL NIL)" },
	{ "CR in a subject is a literal", "Subject: a\rb\n\n",
	    "(NIL {3}\r\na\rb NIL NIL NIL NIL NIL NIL NIL NIL)" },
	{ "no host, no mailbox", "To: root, Two Words, <@x>\n\n",
	    "(NIL NIL NIL NIL NIL ((NIL NIL \"root\" \"\")"
	    "(\"Two Words\" NIL \"\" \"\")(NIL NIL \"\" \"x\")) "
	    "NIL NIL NIL NIL)" },
};
/* clang-format on */

static void
test_envelope(void **state)
{
	static const struct mime_options header_only = { .max_depth = 100,
		.max_parts = 10000,
		.max_field = 64 * 1024,
		.max_text = 1024 * 1024,
		.header_only = true };

	(void)state;
	for (size_t i = 0; i < NELEMS(envelope_cases); i++) {
		const struct envelope_case *c = &envelope_cases[i];
		struct slice in = slice_str(c->message), have;
		struct mime_message m;
		struct mime_parser p;
		struct buf out;
		buf_init(&out, 1 << 20);
		for (size_t cut = 0; cut <= in.n; cut++) {
			buf_reset(&out);
			mime_message_init(&m);
			mime_parser_init(&p, &m, &header_only);
			mime_parser_feed(&p, slice_first(in, cut));
			mime_parser_feed(&p, slice_skip(in, cut));
			assert_int_equal(mime_parser_done(&p), in.n != 0);
			mime_parser_finish(&p);
			imap_envelope_put(&out, &m, 0);
			have = buf_slice(&out);
			mime_check_list(have);
			if (!slice_eq(have, slice_str(c->envelope)))
				fail_msg(
				    "%s, cut at %zu:\n have %.*s\n want %s",
				    c->name, cut, SLICE_ARG(have), c->envelope);
			mime_message_fini(&m);
		}
		buf_fini(&out);
	}
}

static void
test_nul_left_out(void **state)
{
	static const uint8_t bytes[] = "Subject: a\0b\nFrom: \xe4\0 <x@y>\n\n";
	struct slice in = slice_of(bytes, sizeof(bytes) - 1);
	struct slice want =
	    SLICE("(NIL \"ab\" (({1}\r\n\xe4 NIL \"x\" \"y\")) (({1}\r\n\xe4 "
		  "NIL \"x\" \"y\")) (({1}\r\n\xe4 NIL \"x\" \"y\")) NIL NIL "
		  "NIL NIL NIL)");
	struct mime_message m;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	mime_message_init(&m);
	mime_parse(&m, in, NULL);
	imap_envelope_put(&out, &m, 0);
	assert_true(slice_eq(buf_slice(&out), want));
	buf_reset(&out);
	imap_envelope_put_empty(&out);
	mime_check_list(buf_slice(&out));
	mime_message_fini(&m);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_nul_left_out),
	};

	return cmocka_run_group_tests_name("mime_envelope", tests, NULL, NULL);
}
