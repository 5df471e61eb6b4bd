/* Requests and replies of Courier's socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/protocol_courier.h"
#include "base/mem.h"

struct request_case {
	const char *name;
	const char *in;
	enum parse want;
	bool refused;
	enum query_op op;
	const char *module, *service, *user, *password, *extra, *rip;
};

/* clang-format off */
static const struct request_case requests[] = {
	{ "login", "AUTH 34\nimap\nlogin\njoe@example.com\nsecret\n",
	  PARSE_OK, false, QUERY_LOGIN, "", "imap", "joe@example.com", "secret",
	  "", "" },
	{ "login with address",
	  "TCPREMOTEIP=::ffff:192.0.2.7\nAUTH 34\nimap\nlogin\n"
	  "joe@example.com\nsecret\n",
	  PARSE_OK, false, QUERY_LOGIN, "", "imap", "joe@example.com", "secret",
	  "", "::ffff:192.0.2.7" },
	{ "Cyrus's surplus newline",
	  "AUTH 34\nsmtp\nlogin\njoe@example.com\nsecret\n\n",
	  PARSE_OK, false, QUERY_LOGIN, "", "smtp", "joe@example.com", "secret",
	  "", "" },
	{ "no newline after the password",
	  "AUTH 16\nimap\nlogin\njoe\ns",
	  PARSE_OK, false, QUERY_LOGIN, "", "imap", "joe", "s", "", "" },
	{ "other metadata is ignored", "X=1 2\nPRE . imap joe\n",
	  PARSE_OK, false, QUERY_LOOKUP, "", "imap", "joe", "", "", "" },
	{ "empty password", "AUTH 16\nimap\nlogin\njoe\n\n",
	  PARSE_OK, true, QUERY_LOGIN, "", "imap", "joe", "", "", "" },
	{ "empty user isn't the password's line",
	  "AUTH 15\nimap\nlogin\n\npw\n",
	  PARSE_OK, true, QUERY_LOGIN, "", "imap", "", "pw", "", "" },
	{ "cram-md5", "AUTH 148\nimap\ncram-md5\n"
	  "PDAxMjM0NTY3ODlBQkNERUYwMTIzNDU2Nzg5QUJDREVGQG1haWwuZXhhbXBsZS5jb20+"
	  "\n"
	  "am9lQGV4YW1wbGUuY29tIGZiN2RmODhjNDY5YjAwMmQ3MzM3Yzc3YjkyMzRlOWE1\n",
	  PARSE_OK, false, QUERY_CRAM, "", "imap", "joe@example.com",
	  "fb7df88c469b002d7337c77b9234e9a5",
	  "<0123456789ABCDEF0123456789ABCDEF@mail.example.com>", "" },
	{ "cram with a digest of nothing", "AUTH 23\nimap\ncram-md5\nYQ==\nYQ==\n",
	  PARSE_OK, true, QUERY_CRAM, "", "", "", "", "", "" },
	{ "cram with an unknown hash", "AUTH 24\nimap\ncram-md4\nYQ==\nYSBi\n",
	  PARSE_OK, true, QUERY_CRAM, "", "", "", "", "", "" },
	{ "unknown authtype", "AUTH 14\nimap\nkerberos\nx",
	  PARSE_OK, true, QUERY_LOGIN, "", "imap", "", "", "", "" },
	{ .name = "length is negative", .in = "AUTH -1\nimap\nlogin\n",
	  .want = PARSE_BAD },
	{ .name = "length too large", .in = "AUTH 8192\n",
	  .want = PARSE_LIMIT },
	{ .name = "length isn't a number", .in = "AUTH x\n",
	  .want = PARSE_BAD },
	{ .name = "service without end", .in = "AUTH 4\nimap",
	  .want = PARSE_BAD },
	{ .name = "authtype without end", .in = "AUTH 10\nimap\nlogin",
	  .want = PARSE_BAD },
	{ "lookup", "PRE . smtp joe@example.com\n",
	  PARSE_OK, false, QUERY_LOOKUP, "", "smtp", "joe@example.com", "", "",
	  "" },
	{ "lookup in a module", "PRE authmysql  smtp   joe of ours\n",
	  PARSE_OK, false, QUERY_LOOKUP, "authmysql", "smtp", "joe of ours",
	  "", "", "" },
	{ .name = "lookup with too few words", .in = "PRE . smtp\n",
	  .want = PARSE_BAD },
	{ "password change", "PASSWD imap\tjoe\told\tnew\n",
	  PARSE_OK, false, QUERY_PASSWD, "", "imap", "joe", "old", "new", "" },
	{ "a fourth tab", "PASSWD imap\tjoe\told\tnew\tmore\n",
	  PARSE_OK, false, QUERY_PASSWD, "", "imap", "joe", "old", "new", "" },
	{ .name = "too few tabs", .in = "PASSWD imap\tjoe\told\n",
	  .want = PARSE_BAD },
	{ "control character", "PASSWD imap\tj\roe\told\tnew\n",
	  PARSE_OK, true, QUERY_PASSWD, "", "", "", "", "", "" },
	{ "enumeration", "ENUMERATE\n",
	  PARSE_OK, false, QUERY_ENUMERATE, "", "", "", "", "", "" },
	{ .name = "unknown command", .in = "HELO there\n",
	  .want = PARSE_BAD },
	{ .name = "lower case", .in = "auth 34\n",
	  .want = PARSE_BAD },
	{ .name = "empty line", .in = "\n",
	  .want = PARSE_BAD },
};
/* clang-format on */

static void
assert_slice(struct slice got, const char *want)
{
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

/* Every beginning of a request asks for more, or is a request already. */
static void
cut_everywhere(struct slice in, enum parse want)
{
	for (size_t n = 0; n < in.n; n++) {
		struct courier_request req;
		uint8_t *exact = mem_alloc(n + 1);
		enum parse got;

		memcpy(exact, in.p, n);
		got = courier_parse(slice_of(exact, n), &req);
		assert_true(got == PARSE_MORE || got == want);
		free(exact);
	}
}

static void
test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(requests); i++) {
		const struct request_case *t = &requests[i];
		struct slice in = slice_str(t->in);
		struct courier_request req;
		enum parse got = courier_parse(in, &req);

		if (got != t->want)
			fail_msg("%s: %d, not %d", t->name, got, t->want);
		cut_everywhere(in, t->want);
		if (got != PARSE_OK)
			continue;
		if (req.refused != t->refused)
			fail_msg("%s: refused", t->name);
		if (t->refused)
			continue;
		assert_int_equal(req.query.op, t->op);
		assert_slice(req.query.module, t->module);
		assert_slice(req.query.service, t->service);
		assert_slice(req.query.user, t->user);
		assert_slice(req.query.password, t->password);
		assert_slice(req.query.extra, t->extra);
		assert_slice(req.query.rip, t->rip);
	}
}

static void
test_nul_in_name(void **state)
{
	static const char in[] = "AUTH 18\nimap\nlogin\nj\0e\npw\n";
	struct courier_request req;

	(void)state;
	assert_int_equal(
	    courier_parse(slice_of(in, sizeof(in) - 1), &req), PARSE_OK);
	assert_true(req.refused);
}

static void
test_limits(void **state)
{
	struct courier_request req;
	uint8_t line[COURIER_LINE_MAX + 2];
	struct buf many;

	(void)state;
	memset(line, 'x', sizeof(line));
	assert_int_equal(
	    courier_parse(slice_of(line, COURIER_LINE_MAX), &req), PARSE_MORE);
	assert_int_equal(
	    courier_parse(slice_of(line, COURIER_LINE_MAX + 1), &req),
	    PARSE_LIMIT);
	/* The longest line that is allowed. */
	memcpy(line, "PRE . imap ", 11);
	line[COURIER_LINE_MAX] = '\n';
	assert_int_equal(
	    courier_parse(slice_of(line, COURIER_LINE_MAX + 1), &req),
	    PARSE_OK);
	assert_true(req.refused);
	/* Metadata without end. */
	buf_init(&many, 1000);
	for (int i = 0; i <= COURIER_META_MAX; i++)
		buf_puts(&many, "A=1\n");
	assert_int_equal(courier_parse(buf_slice(&many), &req), PARSE_LIMIT);
	buf_fini(&many);
}

static void
assert_reply(enum query_op op, const struct answer *a, const char *want)
{
	struct buf out;

	buf_init(&out, COURIER_REPLY_MAX);
	courier_reply(op, a, &out);
	assert_slice(buf_slice(&out), want);
	buf_fini(&out);
}

static void
test_replies(void **state)
{
	struct answer a = { .verdict = VERDICT_OK, .uid = 5000, .gid = 5001 };
	static const struct answer rejected = { .verdict = VERDICT_REJECTED };
	static const struct answer temporary = { .verdict = VERDICT_TEMPORARY };

	(void)state;
	a.field[ACCOUNT_HOME] = SLICE("/home/vmail");
	a.field[ACCOUNT_ADDRESS] = SLICE("joe@example.com");
	assert_reply(QUERY_LOGIN, &a,
	    "UID=5000\nGID=5001\nHOME=/home/vmail\nADDRESS=joe@example.com\n"
	    ".\n");
	a.field[ACCOUNT_USERNAME] = SLICE("joe");
	a.field[ACCOUNT_NAME] = SLICE("Joe, the plumber");
	a.field[ACCOUNT_MAILDIR] = SLICE("example.com/joe/");
	a.field[ACCOUNT_QUOTA] = SLICE("10000000S");
	a.field[ACCOUNT_PASSWD] = SLICE("$1$x");
	a.field[ACCOUNT_PASSWD2] = SLICE("secret");
	a.field[ACCOUNT_OPTIONS] = SLICE("disableimap=1,group=x");
	assert_reply(QUERY_LOOKUP, &a,
	    "USERNAME=joe\nGID=5001\nHOME=/home/vmail\n"
	    "ADDRESS=joe@example.com\nNAME=Joe\nMAILDIR=example.com/joe/\n"
	    "QUOTA=10000000S\nPASSWD=$1$x\nPASSWD2=secret\n"
	    "OPTIONS=disableimap=1,group=x\n.\n");
	assert_reply(QUERY_PASSWD, &a, "OK\n");
	assert_reply(QUERY_LOGIN, &rejected, "FAIL\n");
	assert_reply(QUERY_PASSWD, &rejected, "FAIL\n");
	assert_reply(QUERY_LOGIN, &temporary, "");
	assert_reply(QUERY_LOOKUP, &temporary, "");
}

/* A record that clients couldn't read whole isn't sent at all. */
static void
test_long_record(void **state)
{
	static const uint8_t x[COURIER_REPLY_MAX];
	struct answer a = { .verdict = VERDICT_OK, .uid = 1, .gid = 1 };

	(void)state;
	a.field[ACCOUNT_HOME] = slice_of(x, sizeof(x));
	assert_reply(QUERY_LOGIN, &a, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_nul_in_name),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_long_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
