/* POP3 before login: each case whole, byte by byte, and cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/pop3/preauth.h"
#include "tests/unit/preauth_fixture.h"

#define X10  "xxxxxxxxxx"
#define X50  X10 X10 X10 X10 X10
#define X200 X50 X50 X50 X50
#define CAPA(before)                                                           \
 "+OK Capability list follows.\r\n" before "PIPELINING\r\nUIDL\r\n"            \
 "UTF8 USER\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nIMPLEMENTATION Postern\r\n.\r\n"
#define INVALID	 "-ERR Invalid command.\r\n"
#define TLS_ONLY "-ERR TLS required to log in.\r\n"

/* clang-format off */
static const struct preauth_case cases[] = {
	{ .name = "capa", .in = BYTES("CAPA\r\n"),
	  .want = CAPA("SASL PLAIN LOGIN\r\nSTLS\r\nTOP\r\nUSER\r\n") },
	{ .name = "capa without clear passwords", .in = BYTES("capa\r\n"),
	  .no_clear = true, .want = CAPA("STLS\r\nTOP\r\n") },
	{ .name = "capa without certificate", .in = BYTES("capa\n"),
	  .no_starttls = true, .mechs = "",
	  .want = CAPA("TOP\r\nUSER\r\n") },
	{ .name = "capa under tls", .in = BYTES("CAPA\r\n"),
	  .tls = true, .no_clear = true, .mechs = "SCRAM-SHA-1 PLAIN",
	  .want = CAPA("SASL SCRAM-SHA-1 PLAIN\r\nTOP\r\nUSER\r\n") },
	{ .name = "only secure mechanisms in the clear",
	  .in = BYTES("CAPA\r\nAUTH\r\n"),
	  .no_clear = true, .mechs = "SCRAM-SHA-1 PLAIN",
	  .want = CAPA("SASL SCRAM-SHA-1\r\nSTLS\r\nTOP\r\n")
	    "+OK Mechanisms follow.\r\nSCRAM-SHA-1\r\n.\r\n" },
	{ .name = "login",
	  .in = BYTES("USER alice\r\nPASS secret word\r\nSTAT\r\nQUIT\r\n"),
	  .want = "+OK Password required.\r\n<AUTH PLAIN alice>"
	    "<OK |STAT\r\nQUIT\r\n>" },
	{ .name = "blanks belong to the password",
	  .in = BYTES("USER alice\r\nPASS  secret word\r\n"),
	  .want = "+OK Password required.\r\n<AUTH PLAIN alice>"
	    "-ERR [AUTH] Login failed.\r\n" },
	{ .name = "a failed login forgets the name",
	  .in = BYTES("user bob\r\npass x\r\npass secret word\r\nquit\r\n"),
	  .want = "+OK Password required.\r\n<AUTH PLAIN bob>"
	    "-ERR [AUTH] Login failed.\r\n-ERR USER comes first.\r\n"
	    "+OK Bye.\r\n<LOGOUT>" },
	{ .name = "temporary failure", .in = BYTES("USER down\r\nPASS x\r\n"),
	  .want = "+OK Password required.\r\n<AUTH PLAIN down>"
	    "-ERR [SYS/TEMP] Temporary problem, please try again later\r\n" },
	{ .name = "limit", .in = BYTES("USER limit\r\nPASS x\r\n"),
	  .want = "+OK Password required.\r\n<AUTH PLAIN limit>"
	    "-ERR [SYS/TEMP] Too many for you.\r\n" },
	{ .name = "disabled", .in = BYTES("USER disabled\r\nPASS x\r\n"),
	  .want = "+OK Password required.\r\n<AUTH PLAIN disabled>"
	    "-ERR [AUTH] This account may not use POP3.\r\n" },
	{ .name = "empty arguments",
	  .in = BYTES("USER\r\nUSER \r\nPASS\r\nUSER alice\r\nPASS\r\n"),
	  .want = INVALID INVALID "-ERR USER comes first.\r\n"
	    "+OK Password required.\r\n" INVALID },
	{ .name = "empty password",
	  .in = BYTES("USER alice\r\nPASS \r\n"),
	  .want = "+OK Password required.\r\n<AUTH PLAIN alice>"
	    "-ERR [AUTH] Login failed.\r\n" },
	{ .name = "control characters of a name are not for the log",
	  .in = BYTES("USER a\tb\xc3\xa9\r\nPASS x\r\n"),
	  .want = "+OK Password required.\r\n<AUTH PLAIN a.b..>"
	    "-ERR [AUTH] Login failed.\r\n" },
	{ .name = "clear password refused",
	  .in = BYTES("USER alice\r\nPASS secret word\r\nAUTH PLAIN\r\n"),
	  .no_clear = true, .want = TLS_ONLY TLS_ONLY TLS_ONLY },
	{ .name = "auth with initial response",
	  .in = BYTES("AUTH PLAIN AGFsaWNlAHNlY3JldCB3b3Jk\r\nLIST\r\n"),
	  .want = "<AUTH PLAIN alice><OK |LIST\r\n>" },
	{ .name = "auth without initial response",
	  .in = BYTES("auth plain\r\nAGFsaWNlAHNlY3JldCB3b3Jk\r\nLIST\r\n"),
	  .want = "<AUTH PLAIN >+ \r\n<RESPONSE PLAIN alice><OK |LIST\r\n>" },
	{ .name = "auth login",
	  .in = BYTES("AUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0IHdvcmQ=\r\n"),
	  .want = "<AUTH LOGIN >+ VXNlcm5hbWU6\r\n<RESPONSE LOGIN alice>"
	    "+ UGFzc3dvcmQ6\r\n<RESPONSE LOGIN alice><OK |>" },
	{ .name = "auth cancelled",
	  .in = BYTES("AUTH LOGIN\r\nYWxpY2U=\r\n*\r\nNOOP\r\n"),
	  .want = "<AUTH LOGIN >+ VXNlcm5hbWU6\r\n<RESPONSE LOGIN alice>"
	    "+ UGFzc3dvcmQ6\r\n-ERR Authentication cancelled.\r\n<ABORT>"
	    "-ERR Please log in first.\r\n" },
	{ .name = "auth not base64",
	  .in = BYTES("AUTH PLAIN\r\nA===\r\nAUTH PLAIN A\r\n"
	    "AUTH PLAIN A= =\r\n"),
	  .want = "<AUTH PLAIN >+ \r\n-ERR Invalid base64.\r\n<ABORT>"
	    "-ERR Invalid base64.\r\n-ERR Invalid base64.\r\n" },
	{ .name = "auth with blanks",
	  .in = BYTES("AUTH PLAIN \r\n*\r\n"
	    "AUTH  PLAIN  AGFsaWNlAHNlY3JldCB3b3Jk \r\n"),
	  .want = "<AUTH PLAIN >+ \r\n-ERR Authentication cancelled.\r\n"
	    "<ABORT><AUTH PLAIN alice><OK |>" },
	{ .name = "auth empty responses",
	  .in = BYTES("AUTH PLAIN =\r\nAUTH PLAIN\r\n\r\n"),
	  .want = "<AUTH PLAIN >-ERR [AUTH] Login failed.\r\n"
	    "<AUTH PLAIN >+ \r\n<RESPONSE PLAIN >"
	    "-ERR [AUTH] Login failed.\r\n" },
	{ .name = "auth unknown mechanism",
	  .in = BYTES("AUTH NTLM\r\nAUTH " X50 "\r\nAUTH PL\\IN\r\n"),
	  .want = "-ERR Unsupported mechanism.\r\n"
	    "-ERR Unsupported mechanism.\r\n-ERR Unsupported mechanism.\r\n" },
	{ .name = "auth list", .in = BYTES("AUTH\r\n"),
	  .want = "+OK Mechanisms follow.\r\nPLAIN\r\nLOGIN\r\n.\r\n" },
	{ .name = "auth list empty", .in = BYTES("AUTH\r\n"), .mechs = "",
	  .want = "+OK Mechanisms follow.\r\n.\r\n" },
	{ .name = "stls", .in = BYTES("STLS\r\n"),
	  .in_tls = BYTES("STLS\r\nUSER alice\r\nPASS secret word\r\n"),
	  .no_clear = true,
	  .want = "+OK Begin TLS negotiation now.\r\n<TLS>"
	    "-ERR TLS is in use already.\r\n+OK Password required.\r\n"
	    "<AUTH PLAIN alice><OK |>" },
	{ .name = "commands behind stls are discarded",
	  .in = BYTES("STLS\r\nUSER mallory\r\nCAPA\r\nPASS "),
	  .in_tls = BYTES("PASS x\r\nQUIT\r\n"),
	  .want = "+OK Begin TLS negotiation now.\r\n<TLS>"
	    "-ERR USER comes first.\r\n+OK Bye.\r\n<LOGOUT>" },
	{ .name = "a name given before tls is forgotten",
	  .in = BYTES("USER mallory\r\nSTLS\r\n"),
	  .in_tls = BYTES("PASS x\r\n"),
	  .want = "+OK Password required.\r\n"
	    "+OK Begin TLS negotiation now.\r\n<TLS>"
	    "-ERR USER comes first.\r\n" },
	{ .name = "stls without certificate", .in = BYTES("STLS\r\n"),
	  .no_starttls = true, .want = "-ERR TLS is not available.\r\n" },
	{ .name = "stls with an argument", .in = BYTES("STLS now\r\n"),
	  .want = INVALID },
	{ .name = "commands of the next state",
	  .in = BYTES("STAT\r\nRETR 1\r\nTOP 1 0\r\nUIDL\r\n"),
	  .want = "-ERR Please log in first.\r\n-ERR Please log in first.\r\n"
	    "-ERR Please log in first.\r\n-ERR Please log in first.\r\n" },
	{ .name = "blanks behind a command",
	  .in = BYTES("CAPA \r\nUTF8 \r\nSTLS x\r\nQUIT  \r\n"),
	  .want = CAPA("SASL PLAIN LOGIN\r\nSTLS\r\nTOP\r\nUSER\r\n")
	    "+OK UTF8 enabled\r\n" INVALID "+OK Bye.\r\n<LOGOUT>" },
	{ .name = "unknown", .in = BYTES("\r\nXYZZY\r\nQUITS\r\nQUIT 1\r\n"),
	  .want = INVALID INVALID INVALID INVALID },
	{ .name = "nul", .in = BYTES("USER a\0b\r\nNOOP\0\r\nQUIT\r\n"),
	  .want = INVALID INVALID "+OK Bye.\r\n<LOGOUT>" },
	{ .name = "line at the limit",
	  .in = BYTES("USER " X50 X50 X50 X10 X10 X10 X10 "123\r\n"),
	  .want = "+OK Password required.\r\n" },
	{ .name = "line over the limit",
	  .in = BYTES("USER " X50 X50 X50 X10 X10 X10 X10 "1234\r\nQUIT\r\n"),
	  .want = "-ERR Line too long.\r\n<CLOSE>" },
	{ .name = "endless line", .in = BYTES(X200 X200 X200),
	  .want = "-ERR Line too long.\r\n<CLOSE>" },
	{ .name = "endless response", .in = BYTES("AUTH PLAIN\r\n" X200 X10),
	  .want = "<AUTH PLAIN >+ \r\n-ERR Line too long.\r\n<CLOSE>" },
	{ .name = "tls on a plain port",
	  .in = BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	  .want = "-ERR TLS is not spoken here.\r\n<CLOSE>" },
	{ .name = "too many commands",
	  .in = BYTES("NOOP\r\nX\r\nNOOP\r\nX\r\nNOOP\r\nUSER x\r\nQUIT\r\n"),
	  .want = "-ERR Please log in first.\r\n" INVALID
	    "-ERR Please log in first.\r\n" INVALID
	    "-ERR Please log in first.\r\n"
	    "-ERR Too many commands without a login.\r\n<CLOSE>" },
};
/* clang-format on */

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++)
		preauth_fixture_check(pop3_preauth_new, &cases[i]);
}

static void
test_greeting(void **state)
{
	struct preauth *p = pop3_preauth_new(&preauth_fixture_options);

	(void)state;
	p->mechanisms = "PLAIN";
	p->ops->greet(p, NULL, false);
	assert_true(
	    slice_eq(buf_slice(&p->out), SLICE("+OK Postern ready.\r\n")));
	assert_int_equal(p->ops->run(p), PREAUTH_WAIT);
	p->ops->free(p);

	p = pop3_preauth_new(&preauth_fixture_options);
	p->mechanisms = "";
	p->ops->greet(p, "Too many connections.", false);
	assert_true(slice_eq(buf_slice(&p->out),
	    SLICE("-ERR [SYS/TEMP] Too many connections.\r\n")));
	assert_int_equal(p->ops->run(p), PREAUTH_CLOSE);
	assert_int_equal(p->ops->run(p), PREAUTH_CLOSE);
	p->ops->free(p);
}

static void
check_end(enum preauth_failure why, const char *before, const char *want)
{
	struct preauth *p = pop3_preauth_new(&preauth_fixture_options);

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
	check_end(PREAUTH_TIMEOUT, "", "");
	check_end(PREAUTH_STOPPING, "USER x\r\n",
	    "-ERR [SYS/TEMP] Server is shutting down.\r\n");
	check_end(PREAUTH_STOPPING, "USER x\r\nPASS y\r\n",
	    "-ERR [SYS/TEMP] Server is shutting down.\r\n");
	check_end(PREAUTH_STOPPING, "STLS\r\n", "");
}

/* What a password leaves in the input buffer, also where it was moved from. */
static void
test_wiped(void **state)
{
	static const char begin[] = "USER bob\r\nPASS hunt";
	struct preauth *p = pop3_preauth_new(&preauth_fixture_options);

	(void)state;
	p->mechanisms = "PLAIN";
	p->clear_allowed = true;
	buf_puts(&p->in, begin);
	assert_int_equal(p->ops->run(p), PREAUTH_WAIT);
	assert_true(p->in.secret); /* a larger block leaves nothing behind */
	assert_non_null(buf_reserve(&p->in, p->in.cap - strlen("PASS hunt")));
	buf_puts(&p->in, "er\r\n");
	assert_int_equal(p->ops->run(p), PREAUTH_AUTH);
	for (size_t i = 0; i < strlen(begin); i++)
		assert_int_equal(p->in.p[i], 0);
	p->ops->failed(p, PREAUTH_BAD_CREDENTIALS, NULL);
	assert_null(p->response.p);
	p->ops->free(p);
}

/* POP3AUTH names what is announced; it makes nothing work that doesn't. */
static void
test_configured_mechanisms(void **state)
{
	struct preauth_options opt = preauth_fixture_options;
	struct preauth *p;

	(void)state;
	opt.capability = "LOGIN CRAM-MD5";
	opt.capability_tls = " ";
	p = pop3_preauth_new(&opt);
	p->mechanisms = "PLAIN LOGIN";
	p->tls = true;
	buf_puts(&p->in, "AUTH\r\n");
	assert_int_equal(p->ops->run(p), PREAUTH_WAIT);
	assert_true(slice_eq(buf_slice(&p->out),
	    SLICE("+OK Mechanisms follow.\r\nLOGIN\r\n.\r\n")));
	p->ops->free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_greeting),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_wiped),
		cmocka_unit_test(test_configured_mechanisms),
	};

	/* For POP3 they are the words behind SASL: all that work. */
	preauth_fixture_options.capability = "";
	preauth_fixture_options.capability_tls = "";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
