/* IMAP before login: each case whole, byte by byte, and cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/imap/preauth.h"
#include "tests/unit/preauth_fixture.h"

#define X10  "xxxxxxxxxx"
#define X50  X10 X10 X10 X10 X10
#define X200 X50 X50 X50 X50
#define CAPABILITY(words)                                                      \
 "* CAPABILITY IMAP4rev1 IDLE" words " LITERAL+ SASL-IR ID\r\n"                \
 "a OK CAPABILITY completed.\r\n"
#define FAILED	  " NO [AUTHENTICATIONFAILED] Login failed.\r\n"
#define ARGUMENTS " BAD Invalid arguments.\r\n"
#define PRIVATE	  " NO [PRIVACYREQUIRED] STARTTLS required.\r\n"
#define NO_LOGIN  " BAD Please log in first.\r\n"
#define TOO_BIG	  " BAD [TOOBIG] Literal too large.\r\n"

/* clang-format off */
static const struct preauth_case cases[] = {
	{ .name = "capability", .in = BYTES("a CAPABILITY\r\n"),
	  .want = CAPABILITY(" STARTTLS AUTH=PLAIN AUTH=LOGIN") },
	{ .name = "capability without clear passwords",
	  .in = BYTES("a capability\r\n"), .no_clear = true,
	  .want = CAPABILITY(" STARTTLS LOGINDISABLED") },
	{ .name = "capability with secure mechanisms in the clear",
	  .in = BYTES("a capability\r\n"), .no_clear = true,
	  .mechs = "SCRAM-SHA-256 PLAIN",
	  .want = CAPABILITY(" STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-256") },
	{ .name = "capability without certificate",
	  .in = BYTES("a CAPABILITY\n"), .no_starttls = true, .mechs = "",
	  .want = CAPABILITY("") },
	{ .name = "capability under tls names what is configured",
	  .in = BYTES("a CAPABILITY\r\n"), .tls = true, .no_clear = true,
	  .want = CAPABILITY(" AUTH=PLAIN") },
	{ .name = "capability with an argument",
	  .in = BYTES("a CAPABILITY x\r\n"), .want = "a" ARGUMENTS },
	{ .name = "noop, logout",
	  .in = BYTES("a NOOP\r\nb LOGOUT\r\nc NOOP\r\n"),
	  .want = "a OK NOOP completed.\r\n* BYE Logging out.\r\n"
	    "b OK LOGOUT completed.\r\n<LOGOUT>" },
	{ .name = "login atoms", .in = BYTES("a1 LOGIN bob x]y\r\n"),
	  .want = "<AUTH PLAIN bob>a1" FAILED },
	{ .name = "login quoted",
	  .in = BYTES("a LOGIN alice \"secret word\"\r\nb SELECT INBOX\r\n"),
	  .want = "<AUTH PLAIN alice><OK a|b SELECT INBOX\r\n>" },
	{ .name = "login quoted with escapes",
	  .in = BYTES("a LOGIN \"a\\\"b\\\\c\" \"\"\r\n"),
	  .want = "<AUTH PLAIN a\"b\\c>a" FAILED },
	{ .name = "login 8-bit in quotes",
	  .in = BYTES("a LOGIN \"b\xc3\xb6\" \"\xff\"\r\n"),
	  .want = "<AUTH PLAIN b..>a" FAILED },
	{ .name = "login literals",
	  .in = BYTES("a LOGIN {5}\r\nalice {11}\r\nsecret word\r\nb X\r\n"),
	  .want = "+ OK\r\n+ OK\r\n<AUTH PLAIN alice><OK a|b X\r\n>" },
	{ .name = "login non-synchronizing literals",
	  .in = BYTES("a LOGIN {5+}\r\nalice {11+}\r\nsecret word\r\n"),
	  .want = "<AUTH PLAIN alice><OK a|>" },
	{ .name = "login mixed, line ends in literals",
	  .in = BYTES("a login {4+}\r\nb\r\nb \"x\"\r\nc NOOP\r\n"),
	  .want = "<AUTH PLAIN b..b>a" FAILED "c OK NOOP completed.\r\n" },
	{ .name = "login empty literals",
	  .in = BYTES("a LOGIN {0}\r\n {0+}\r\n\r\n"),
	  .want = "+ OK\r\n<AUTH PLAIN >a" FAILED },
	{ .name = "login temporary failure", .in = BYTES("a LOGIN down x\r\n"),
	  .want = "<AUTH PLAIN down>a NO [UNAVAILABLE] "
	    "Temporary problem, please try again later\r\n" },
	{ .name = "login limit", .in = BYTES("a LOGIN limit x\r\n"),
	  .want = "<AUTH PLAIN limit>a NO [LIMIT] Too many for you.\r\n" },
	{ .name = "login disabled", .in = BYTES("a LOGIN disabled x\r\n"),
	  .want = "<AUTH PLAIN disabled>a NO [ALERT] "
	    "This account may not use IMAP.\r\n" },
	{ .name = "login again after failure",
	  .in = BYTES("a LOGIN bob x\r\nb LOGIN alice \"secret word\"\r\n"),
	  .want = "<AUTH PLAIN bob>a" FAILED "<AUTH PLAIN alice><OK b|>" },
	{ .name = "login bad arguments",
	  .in = BYTES("a LOGIN\r\nb LOGIN x\r\nc LOGIN x y z\r\n"
	    "d LOGIN (x) y\r\ne LOGIN \"x y\r\n"),
	  .want = "a" ARGUMENTS "b" ARGUMENTS "c" ARGUMENTS "d" ARGUMENTS
	    "e" ARGUMENTS },
	{ .name = "login bad quoted",
	  .in = BYTES("a LOGIN \"x\\y\" z\r\nb LOGIN \"x\"y z\r\n"
	    "c LOGIN x* \xc3\xb6\r\nd LOGIN ~{1+}\r\nx y\r\n"),
	  .want = "a" ARGUMENTS "b" ARGUMENTS "c" ARGUMENTS "d" ARGUMENTS },
	{ .name = "a brace in quotes announces nothing",
	  .in = BYTES("a LOGIN x \"y {5}\r\nb NOOP\r\n"),
	  .want = "a" ARGUMENTS "b OK NOOP completed.\r\n" },
	{ .name = "braces that are no literal",
	  .in = BYTES("a LOGIN x {}\r\nb LOGIN x {+}\r\nc LOGIN x {5-}\r\n"
	    "d LOGIN x {-5}\r\n"),
	  .want = "a" ARGUMENTS "b" ARGUMENTS "c" ARGUMENTS "d" ARGUMENTS },
	{ .name = "login refused in the clear",
	  .in = BYTES("a LOGIN alice x\r\nb LOGIN {5+}\r\nalice x\r\n"
	    "c AUTHENTICATE PLAIN\r\nd LOGIN {5}\r\ne NOOP\r\n"),
	  .no_clear = true,
	  .want = "a" PRIVATE "b" PRIVATE "c" PRIVATE "d" PRIVATE
	    "e OK NOOP completed.\r\n" },
	{ .name = "literal at the limit",
	  .in = BYTES("a LOGIN {40}\r\n" X10 X10 X10 X10 " {40+}\r\n"
	    X10 X10 X10 X10 "\r\n"),
	  .want = "+ OK\r\n<AUTH PLAIN " X10 X10 X10 X10 ">a" FAILED },
	{ .name = "synchronizing literal over the limit",
	  .in = BYTES("a LOGIN {41}\r\nb LOGIN x {4294967296}\r\n"
	    "c LOGIN x {99999999999999999999999}\r\nd NOOP\r\n"),
	  .want = "a" TOO_BIG "b" TOO_BIG "c" ARGUMENTS
	    "d OK NOOP completed.\r\n" },
	{ .name = "non-synchronizing literal over the limit",
	  .in = BYTES("a LOGIN {41+}\r\nb NOOP\r\n"),
	  .want = "a" TOO_BIG "* BYE Literal too large.\r\n<CLOSE>" },
	{ .name = "huge literal",
	  .in = BYTES("a LOGIN {18446744073709551615+}\r\nb NOOP\r\n"),
	  .want = "a" TOO_BIG "* BYE Literal too large.\r\n<CLOSE>" },
	{ .name = "too many literals",
	  .in = BYTES("a ID ({40+}\r\n" X10 X10 X10 X10 " {40+}\r\n"
	    X10 X10 X10 X10 " {1+}\r\n"),
	  .want = "a" TOO_BIG "* BYE Literal too large.\r\n<CLOSE>" },
	{ .name = "literal of a command without any",
	  .in = BYTES("a SELECT {5}\r\nb NOOP {5}\r\nc XYZZY {5}\r\n"
	    "d SELECT {5+}\r\nINBOX\r\n"),
	  .want = "a" NO_LOGIN "b" ARGUMENTS "c BAD Unknown command.\r\n"
	    "d" NO_LOGIN },
	{ .name = "authenticate with initial response",
	  .in = BYTES("a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldCB3b3Jk\r\n"),
	  .want = "<AUTH PLAIN alice><OK a|>" },
	{ .name = "authenticate without initial response",
	  .in = BYTES("a authenticate plain\r\nAGFsaWNlAHNlY3JldCB3b3Jk\r\nb"),
	  .want = "<AUTH PLAIN >+ \r\n<RESPONSE PLAIN alice><OK a|b>" },
	{ .name = "authenticate login",
	  .in = BYTES("a AUTHENTICATE LOGIN\r\nYWxpY2U=\r\n"
	    "c2VjcmV0IHdvcmQ=\r\n"),
	  .want = "<AUTH LOGIN >+ VXNlcm5hbWU6\r\n<RESPONSE LOGIN alice>"
	    "+ UGFzc3dvcmQ6\r\n<RESPONSE LOGIN alice><OK a|>" },
	{ .name = "authenticate cancelled",
	  .in = BYTES("a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n"),
	  .want = "<AUTH PLAIN >+ \r\na BAD Authentication cancelled.\r\n"
	    "<ABORT>b OK NOOP completed.\r\n" },
	{ .name = "authenticate not base64",
	  .in = BYTES("a AUTHENTICATE PLAIN\r\n=AAA\r\n"
	    "b AUTHENTICATE PLAIN AAA\r\nc AUTHENTICATE PLAIN AAAA B\r\n"
	    "d AUTHENTICATE PLAIN \r\n"),
	  .want = "<AUTH PLAIN >+ \r\na BAD Invalid base64.\r\n<ABORT>"
	    "b BAD Invalid base64.\r\nc" ARGUMENTS "d" ARGUMENTS },
	{ .name = "authenticate empty responses",
	  .in = BYTES("a AUTHENTICATE PLAIN =\r\n"
	    "b AUTHENTICATE PLAIN\r\n\r\n"),
	  .want = "<AUTH PLAIN >a" FAILED
	    "<AUTH PLAIN >+ \r\n<RESPONSE PLAIN >b" FAILED },
	{ .name = "authenticate unknown",
	  .in = BYTES("a AUTHENTICATE\r\nb AUTHENTICATE NTLM\r\n"
	    "c AUTHENTICATE " X50 "\r\n"),
	  .want = "a" ARGUMENTS "b NO Unsupported mechanism.\r\n"
	    "c NO Unsupported mechanism.\r\n" },
	{ .name = "endless response",
	  .in = BYTES("a AUTHENTICATE PLAIN\r\n" X200 X10),
	  .want = "<AUTH PLAIN >+ \r\na BAD Response too long.\r\n"
	    "* BYE Response too long.\r\n<CLOSE>" },
	{ .name = "id",
	  .in = BYTES("a ID NIL\r\nb ID ()\r\nc ID (\"name\" \"x\" \"v\" "
	    "nil)\r\nd id ({4+}\r\nname {3}\r\nabc)\r\n"),
	  .want = "* ID (\"name\" \"Postern\")\r\na OK ID completed.\r\n"
	    "* ID (\"name\" \"Postern\")\r\nb OK ID completed.\r\n"
	    "* ID (\"name\" \"Postern\")\r\nc OK ID completed.\r\n"
	    "+ OK\r\n* ID (\"name\" \"Postern\")\r\nd OK ID completed.\r\n" },
	{ .name = "id nested or broken",
	  .in = BYTES("a ID ((\"x\" NIL))\r\nb ID (\"x\")\r\n"
	    "c ID (\"x\" (\"y\"))\r\nd ID (\"x\" NIL\r\ne ID ((((((\r\n"),
	  .want = "a" ARGUMENTS "b" ARGUMENTS "c" ARGUMENTS "d" ARGUMENTS
	    "e" ARGUMENTS },
	{ .name = "id field too long",
	  .in = BYTES("a ID (\"" X10 X10 X10 "1\" \"x\")\r\n"),
	  .want = "a" ARGUMENTS },
	{ .name = "starttls", .in = BYTES("a STARTTLS\r\n"), .no_clear = true,
	  .in_tls = BYTES("b STARTTLS\r\nc LOGIN alice \"secret word\"\r\n"),
	  .want = "a OK Begin TLS negotiation now.\r\n<TLS>"
	    "b BAD TLS is in use already.\r\n<AUTH PLAIN alice><OK c|>" },
	{ .name = "commands behind starttls are discarded",
	  .in = BYTES("a STARTTLS\r\nb LOGIN mallory x\r\nc LOGIN {3+}\r\na"),
	  .in_tls = BYTES("d NOOP\r\n"),
	  .want = "a OK Begin TLS negotiation now.\r\n<TLS>"
	    "d OK NOOP completed.\r\n" },
	{ .name = "starttls without certificate",
	  .in = BYTES("a STARTTLS\r\nb STARTTLS x\r\n"), .no_starttls = true,
	  .want = "a BAD TLS is not available.\r\nb" ARGUMENTS },
	{ .name = "commands of other states",
	  .in = BYTES("a SELECT INBOX\r\nb UID FETCH 1 ALL\r\nc IDLE\r\n"),
	  .want = "a" NO_LOGIN "b" NO_LOGIN "c" NO_LOGIN },
	{ .name = "no command",
	  .in = BYTES("\r\na\r\nb \r\nc XYZZY\r\n+ NOOP\r\n"),
	  .want = "* BAD Invalid tag.\r\na BAD Missing command.\r\n"
	    "b BAD Missing command.\r\nc BAD Unknown command.\r\n"
	    "* BAD Invalid tag.\r\n" },
	{ .name = "a tag that is too long",
	  .in = BYTES(X50 X50 X10 X10 "12345678 NOOP\r\n"
	    X50 X50 X10 X10 "1234567 NOOP\r\n"),
	  .want = "* BAD Invalid tag.\r\n" X50 X50 X10 X10
	    "1234567 OK NOOP completed.\r\n" },
	{ .name = "nul", .in = BYTES("a NO\0OP\r\n\0 NOOP\r\nb NOOP\r\n"),
	  .want = "a BAD NUL in command.\r\n* BAD NUL in command.\r\n"
	    "b OK NOOP completed.\r\n" },
	{ .name = "nul in a literal",
	  .in = BYTES("a LOGIN {3+}\r\na\0b x\r\nb LOGIN x {1}\r\n\0\r\n"),
	  .want = "a" ARGUMENTS "+ OK\r\nb" ARGUMENTS },
	{ .name = "line at the limit",
	  .in = BYTES("a LOGIN x " X50 X50 X50 X10 X10 X10 "12345678\r\n"),
	  .want = "<AUTH PLAIN x>a" FAILED },
	{ .name = "line over the limit",
	  .in = BYTES("a LOGIN x " X50 X50 X50 X10 X10 X10 "123456789\r\n"),
	  .want = "a BAD Command line too long.\r\n"
	    "* BYE Command line too long.\r\n<CLOSE>" },
	{ .name = "line over the limit in two pieces",
	  .in = BYTES("a LOGIN {1+}\r\nx " X50 X50 X50 X10 X10 X10 "123456"),
	  .want = "a BAD Command line too long.\r\n"
	    "* BYE Command line too long.\r\n<CLOSE>" },
	{ .name = "endless line", .in = BYTES(X200 X200),
	  .want = "* BAD Command line too long.\r\n"
	    "* BYE Command line too long.\r\n<CLOSE>" },
	{ .name = "tls on a plain port",
	  .in = BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	  .want = "* BYE TLS is not spoken here.\r\n<CLOSE>" },
	{ .name = "too many commands",
	  .in = BYTES("a X\r\nb NOOP\r\nc X\r\nd NOOP\r\ne X\r\nf NOOP\r\n"),
	  .want = "a BAD Unknown command.\r\nb OK NOOP completed.\r\n"
	    "c BAD Unknown command.\r\nd OK NOOP completed.\r\n"
	    "e BAD Unknown command.\r\n"
	    "* BYE Too many commands without a login.\r\n<CLOSE>" },
};
/* clang-format on */

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++)
		preauth_fixture_check(imap_preauth_new, &cases[i]);
}

static void
test_greeting(void **state)
{
	struct preauth *p = imap_preauth_new(&preauth_fixture_options);

	(void)state;
	p->mechanisms = "PLAIN";
	p->ops->greet(p, NULL, false);
	assert_true(slice_eq(buf_slice(&p->out),
	    SLICE("* OK [CAPABILITY IMAP4rev1 IDLE STARTTLS LOGINDISABLED "
		  "LITERAL+ SASL-IR ID] Postern ready.\r\n")));
	assert_int_equal(p->ops->run(p), PREAUTH_WAIT);
	p->ops->free(p);

	p = imap_preauth_new(&preauth_fixture_options);
	p->mechanisms = "";
	p->ops->greet(p, "Too many connections.", false);
	assert_true(slice_eq(buf_slice(&p->out),
	    SLICE("* BYE [UNAVAILABLE] Too many connections.\r\n")));
	assert_int_equal(p->ops->run(p), PREAUTH_CLOSE);
	p->ops->free(p);
}

/* Words of the configuration that aren't its to say. */
static void
test_configured_capability(void **state)
{
	struct preauth_options opt = preauth_fixture_options;
	struct preauth *p;

	(void)state;
	opt.capability = "  IMAP4rev1  STARTTLS AUTH=CRAM-MD5 LOGINDISABLED "
			 "auth=login LITERAL+ ";
	opt.offer_starttls = false;
	p = imap_preauth_new(&opt);
	p->mechanisms = "PLAIN LOGIN";
	p->clear_allowed = true;
	p->ops->greet(p, NULL, false);
	assert_true(slice_eq(buf_slice(&p->out),
	    SLICE("* OK [CAPABILITY IMAP4rev1 AUTH=LOGIN LITERAL+ SASL-IR "
		  "ID] Postern ready.\r\n")));
	p->ops->free(p);

	opt.capability = NULL;
	opt.tls_required = true;
	p = imap_preauth_new(&opt);
	p->mechanisms = "PLAIN LOGIN";
	p->clear_allowed = true;
	p->ops->greet(p, NULL, false);
	assert_true(slice_eq(buf_slice(&p->out),
	    SLICE("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED LITERAL+ SASL-IR "
		  "ID] Postern ready.\r\n")));
	p->ops->free(p);
}

static void
check_end(enum preauth_failure why, const char *before, const char *want)
{
	struct preauth *p = imap_preauth_new(&preauth_fixture_options);

	p->mechanisms = "PLAIN";
	p->clear_allowed = true;
	buf_puts(&p->in, before);
	(void)p->ops->run(p);
	buf_drain(&p->out, buf_len(&p->out));
	p->ops->end(p, why);
	assert_true(slice_eq(buf_slice(&p->out), slice_str(want)));
	assert_int_equal(p->ops->run(p), PREAUTH_CLOSE);
	p->ops->free(p);
}

static void
test_end(void **state)
{
	(void)state;
	check_end(
	    PREAUTH_TIMEOUT, "", "* BYE Disconnected for inactivity.\r\n");
	check_end(PREAUTH_STOPPING, "a LOGIN {3+}\r\nx",
	    "* BYE [UNAVAILABLE] Server is shutting down.\r\n");
	check_end(PREAUTH_STOPPING, "a LOGIN x y\r\n",
	    "* BYE [UNAVAILABLE] Server is shutting down.\r\n");
	check_end(PREAUTH_STOPPING, "a STARTTLS\r\n", "");
}

/* What a password leaves in the input buffer. */
static void
test_wiped(void **state)
{
	static const char line[] = "a LOGIN bob hunter2\r\n";
	struct preauth *p = imap_preauth_new(&preauth_fixture_options);
	struct slice all;

	(void)state;
	p->mechanisms = "PLAIN";
	p->clear_allowed = true;
	buf_puts(&p->in, line);
	assert_int_equal(p->ops->run(p), PREAUTH_AUTH);
	all = slice_of(p->in.p, sizeof(line) - 1);
	for (size_t i = 0; i < all.n; i++)
		assert_int_equal(all.p[i], 0);
	p->ops->failed(p, PREAUTH_BAD_CREDENTIALS, NULL);
	assert_null(p->response.p);
	assert_string_equal(p->user, "bob");
	p->ops->free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_greeting),
		cmocka_unit_test(test_configured_capability),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
