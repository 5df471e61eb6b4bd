/* Messages whose headers aren't ASCII, in POP3: which they are, and what a
 * client gets for them that didn't say UTF8. */
#include <sys/mman.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/num.h"
#include "protocols/pop3/headers.h"
#include "protocols/pop3/session.h"
#include "protocols/pop3/stuff.h"
#include "protocols/pop3/surrogate.h"
#include "tests/support/fake_mailbox.h"

#define OE   "\303\266"
#define PART "Content-Type: multipart/mixed; boundary=b\n\n--b\n"

/* --- which headers ------------------------------------------------------- */

static const struct header_case {
	const char *name, *message;
	int want;
} header_cases[] = {
	{ "nothing", "", 0 },
	{ "ascii", "Subject: x\n\nx\n", 0 },
	{ "body", "Subject: x\n\n" OE "\n", 0 },
	{ "field", "Subject: " OE "\n\nx\n", 1 },
	{ "latin-1", "Subject: \366\n\nx\n", 1 },
	{ "name of a field", "S" OE ": x\n\nx\n", 1 },
	{ "last byte", "Subject: x" OE, 1 },
	{ "body of a part", PART "\n" OE "\n--b--\n", 0 },
	{ "header of a part", PART "X: " OE "\n\nx\n--b--\n", 1 },
	{ "epilogue", PART "\nx\n--b--\n" OE "\n", 0 },
	{ "encapsulated", "Content-Type: message/rfc822\n\nX: " OE "\n\nx\n",
	    1 },
	{ "encapsulated, body", "Content-Type: message/rfc822\n\nX: y\n\n" OE,
	    0 },
	{ "second part", PART "\nx\n--b\nX: " OE "\n\nx\n--b--\n", 1 },
};

static int
result_of(struct slice message, int64_t slice)
{
	struct pop3_headers h;
	int64_t budget = slice;
	int fd = memfd_create("message", MFD_CLOEXEC), result = -1;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, message.p, message.n), message.n);
	pop3_headers_begin(&h, fd, &mime_options_default);
	for (int turns = 0;
	     pop3_headers_step(&h, &budget, &result) != STEP_DONE; turns++) {
		assert_true(turns < 100);
		budget = slice;
	}
	pop3_headers_end(&h);
	return result;
}

static void
test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(header_cases); i++) {
		const struct header_case *c = &header_cases[i];

		for (int64_t slice = 1; slice < 10000000; slice *= 1000)
			if (result_of(slice_str(c->message), slice) != c->want)
				fail_msg("%s: not %d", c->name, c->want);
	}
}

/* What is read is bounded, and a header far behind is found. */
static void
test_large(void **state)
{
	struct buf b;
	struct pop3_headers h;
	int64_t budget = 100000;
	int fd = memfd_create("message", MFD_CLOEXEC), result = -1;

	(void)state;
	buf_init(&b, 4 << 20);
	buf_puts(&b, PART "\n" OE "\n");
	while (buf_len(&b) < 1 << 20)
		buf_puts(&b, "a line of the first part\n");
	buf_puts(&b, "--b\nX: " OE "\n\nx\n--b--\n");
	assert_int_equal(result_of(buf_slice(&b), 1 << 20), 1);
	assert_int_equal(write(fd, buf_slice(&b).p, buf_len(&b)), buf_len(&b));
	pop3_headers_begin(&h, fd, &mime_options_default);
	assert_int_equal(pop3_headers_step(&h, &budget, &result), STEP_YIELD);
	assert_true(budget > -40000);
	pop3_headers_end(&h); /* given up halfway */
	buf_fini(&b);
}

static void
test_unreadable(void **state)
{
	struct pop3_headers h;
	int64_t budget = 1000;
	int pipe_fds[2], result = 0;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	(void)close(pipe_fds[1]);
	pop3_headers_begin(&h, pipe_fds[0], &mime_options_default);
	assert_int_equal(pop3_headers_step(&h, &budget, &result), STEP_DONE);
	assert_int_equal(result, ERR_SYS);
	pop3_headers_end(&h);
}

/* --- the surrogate ------------------------------------------------------- */

static void
test_octets(void **state)
{
	static const char *const types[] = { "message/global", "a/b",
		"message/rfc822" };
	static const int64_t dates[] = { INT64_MIN, -1, 0, 1700000000000,
		INT64_MAX };
	struct pop3_stuff s;
	struct buf text, wire;

	(void)state;
	buf_init(&text, 2 * POP3_SURROGATE_MAX);
	buf_init(&wire, 4 * POP3_SURROGATE_MAX);
	for (size_t i = 0; i < NELEMS(types) * NELEMS(dates); i++) {
		const char *type = types[i % NELEMS(types)];

		buf_reset(&text);
		buf_reset(&wire);
		pop3_surrogate_head(&text, type, dates[i / NELEMS(types)], i);
		pop3_surrogate_tail(&text, i);
		pop3_stuff_init(&s, UINT64_MAX);
		(void)pop3_stuff_feed(&s, buf_slice(&text), &wire);
		assert_true(buf_ok(&wire));
		assert_int_equal(buf_len(&wire), pop3_surrogate_octets(type));
	}
	buf_fini(&text);
	buf_fini(&wire);
}

/* --- sessions ------------------------------------------------------------ */

static const struct slice plain = SLICE_INIT("A: b\n\nlast");
static const struct slice wrapped =
    SLICE_INIT("Subject: " OE "\n\n.dot\nno end");

struct client {
	struct pop3_options options;
	struct session *s;
	struct buf out; /* since the last command */
};

static void
run(struct client *c)
{
	enum step st;

	do {
		st = c->s->ops->run(c->s, 1, 1);
		buf_put(&c->out, buf_slice(&c->s->out));
		buf_reset(&c->s->out);
	} while (st != STEP_WAIT_INPUT && st != STEP_DONE);
}

static void
begin(struct client *c, const char *type, bool utf8)
{
	struct session_peer peer = { .user = "alice@example.com",
		.client_addr = "::1",
		.tls = "",
		.ident = "pop3d",
		.utf8 = utf8 };

	c->options = (struct pop3_options){ .sasl = "",
		.sasl_tls = "",
		.bad_max = 10,
		.timeout_ms = 600000,
		.line_max = 255,
		.unicode_type = type,
		.mime = mime_options_default };
	buf_init(&c->out, 1 << 20);
	c->s = pop3_session_new(&c->options, &peer, fake_account(), 1);
	run(c);
	assert_true(slice_eq(buf_slice(&c->out), SLICE("+OK logged in.\r\n")));
}

static struct slice
say(struct client *c, const char *line)
{
	buf_reset(&c->out);
	buf_puts(&c->s->in, line);
	run(c);
	return buf_slice(&c->out);
}

static void
end(struct client *c)
{
	c->s->ops->free(c->s);
	buf_fini(&c->out);
}

static void
mailbox(void)
{
	fake_mailbox_reset();
	fake_mailbox_add(plain, "UID1-1");
	fake_mailbox_add(wrapped, "UID2-1");
}

/* The number before the blank or line end at s, behind a prefix. */
static uint64_t
number_after(struct slice s, const char *prefix)
{
	struct slice word;
	uint64_t n;

	assert_true(slice_starts(s, slice_str(prefix)));
	s = slice_skip(s, strlen(prefix));
	assert_true(slice_split(&s,
	    s.n > slice_find(s, ' ') && slice_find(s, ' ') < slice_find(s, '\r')
		? ' '
		: '\r',
	    &word));
	assert_true(num_u64(word, &n));
	return n;
}

/* The octets of RETR's answer, its dots not doubled, without its last line. */
static uint64_t
octets_of(struct slice answer)
{
	uint64_t n = 0;
	size_t lf = slice_find(answer, '\n');

	for (struct slice s = slice_skip(answer, lf + 1); s.n != 0;
	     s = slice_skip(s, lf + 1)) {
		lf = slice_find(s, '\n');
		assert_true(lf < s.n);
		n += lf + 1 - (s.p[0] == '.');
	}
	return n - 2; /* ".\r\n" counted as 2 */
}

static void
check_sizes(struct client *c)
{
	uint64_t one = number_after(say(c, "LIST 1\r\n"), "+OK 1 ");
	uint64_t two = number_after(say(c, "LIST 2\r\n"), "+OK 2 ");

	assert_int_equal(number_after(say(c, "STAT\r\n"), "+OK 2 "), one + two);
	assert_int_equal(number_after(say(c, "RETR 1\r\n"), "+OK "), one);
	assert_int_equal(octets_of(buf_slice(&c->out)), one);
	assert_int_equal(number_after(say(c, "RETR 2\r\n"), "+OK "), two);
	assert_int_equal(octets_of(buf_slice(&c->out)), two);
	assert_true(number_after(say(c, "DELE 2\r\nSTAT\r\n"),
			"+OK Deleted.\r\n+OK 1 ") == one);
	(void)say(c, "RSET\r\n");
	assert_int_equal(number_after(say(c, "STAT\r\n"), "+OK 2 "), one + two);
}

static void
test_wrapped(void **state)
{
	struct client c;
	struct slice said;

	(void)state;
	mailbox();
	begin(&c, "message/x-own", false);
	assert_int_equal(fake.v[0].header, HEADER_ASCII);
	assert_int_equal(fake.v[1].header, HEADER_8BIT);
	check_sizes(&c);
	said = say(&c, "RETR 2\r\n");
	assert_true(slice_contains(said,
	    SLICE("\r\nContent-Type: message/x-own\r\n\r\nSubject: " OE
		  "\r\n\r\n..dot\r\nno end\r\n\r\n--=_feed000000000066--\r\n"
		  ".\r\n")));
	assert_true(slice_contains(
	    said, SLICE("\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n")));
	assert_true(fake.v[1].seen);
	/* UTF8 changes what goes out, and the sizes that are told. */
	assert_true(slice_eq(
	    say(&c, "UTF8 x\r\n"), SLICE("-ERR Invalid command.\r\n")));
	assert_true(
	    slice_eq(say(&c, "UTF8\r\n"), SLICE("+OK UTF8 enabled\r\n")));
	check_sizes(&c);
	assert_true(slice_eq(say(&c, "RETR 2\r\n"),
	    SLICE("+OK 29 octets follow.\r\nSubject: " OE
		  "\r\n\r\n..dot\r\nno end\r\n.\r\n")));
	end(&c);
}

/* TOP counts the lines of what is sent. */
static void
test_top(void **state)
{
	struct client c;
	struct slice none, all, more;

	(void)state;
	mailbox();
	begin(&c, "message/global", false);
	none = say(&c, "TOP 2 0\r\n");
	assert_true(slice_ends(
	    none, SLICE("boundary=\"=_feed000000000066\"\r\n\r\n.\r\n")));
	assert_true(slice_ends(say(&c, "TOP 2 1\r\n"),
	    SLICE("\r\n\r\n--=_feed000000000066\r\n.\r\n")));
	assert_true(slice_ends(say(&c, "TOP 2 14\r\n"),
	    SLICE("Content-Type: message/global\r\n\r\n.\r\n")));
	assert_true(slice_ends(
	    say(&c, "TOP 2 15\r\n"), SLICE("\r\nSubject: " OE "\r\n.\r\n")));
	all = say(&c, "TOP 2 1000\r\n");
	assert_true(slice_ends(all, SLICE("--=_feed000000000066--\r\n.\r\n")));
	more = say(&c, "TOP 1 0\r\n");
	assert_true(slice_ends(more, SLICE("follows.\r\nA: b\r\n\r\n.\r\n")));
	assert_false(fake.v[1].seen);
	end(&c);
}

static void
check_as_it_is(const char *type, bool utf8)
{
	struct client c;

	mailbox();
	begin(&c, type, utf8);
	check_sizes(&c);
	assert_true(slice_starts(say(&c, "RETR 2\r\n"),
	    SLICE("+OK 29 octets follow.\r\nSubject: " OE "\r\n")));
	end(&c);
}

static void
test_as_it_is(void **state)
{
	(void)state;
	check_as_it_is("message/global", true);
	check_as_it_is("", false);
	check_as_it_is(NULL, false);
	/* nothing was read for nothing */
	assert_int_equal(fake.v[1].header, HEADER_UNKNOWN);
}

/* What is known isn't read again; what can't be read is sent as it is. */
static void
test_known(void **state)
{
	struct client c;

	(void)state;
	mailbox();
	fake.v[1].header = HEADER_ASCII;
	begin(&c, "message/global", false);
	assert_int_equal(number_after(say(&c, "LIST 2\r\n"), "+OK 2 "), 29);
	end(&c);
	mailbox();
	fake.v[1].unreadable = true;
	fake.v[0].read_breaks = true;
	begin(&c, "message/global", false);
	assert_int_equal(number_after(say(&c, "LIST 2\r\n"), "+OK 2 "), 29);
	assert_int_equal(fake.v[0].header, HEADER_UNKNOWN);
	assert_int_equal(fake.v[1].header, HEADER_UNKNOWN);
	end(&c);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_octets),
		cmocka_unit_test(test_wrapped),
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_as_it_is),
		cmocka_unit_test(test_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
