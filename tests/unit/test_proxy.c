/* PROXY headers of both versions, whole and cut at every byte. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/net/proxy.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

struct proxy_case {
	const char *name;
	struct slice in;
	enum parse want;
	size_t n;	 /* bytes taken */
	const char *src; /* "": has no addresses */
	unsigned src_port;
	const char *dst;
	unsigned dst_port;
	bool local;
};

static const struct proxy_case cases[] = {
	{ "TCP4", SLICE_INIT("PROXY TCP4 192.0.2.7 192.0.2.1 56324 143\r\n"),
	    PARSE_OK, 42, "192.0.2.7", 56324, "192.0.2.1", 143, false },
	{ "TCP4 with the client's bytes",
	    SLICE_INIT("PROXY TCP4 192.0.2.7 192.0.2.1 1 143\r\na NOOP\r\n"),
	    PARSE_OK, 38, "192.0.2.7", 1, "192.0.2.1", 143, false },
	{ "TCP6",
	    SLICE_INIT("PROXY TCP6 2001:db8::7 2001:db8::1 56324 993\r\n"),
	    PARSE_OK, 46, "2001:db8::7", 56324, "2001:db8::1", 993, false },
	{ "UNKNOWN", SLICE_INIT("PROXY UNKNOWN\r\n"), PARSE_OK, 15, "", 0, "",
	    0, false },
	{ "UNKNOWN and more", SLICE_INIT("PROXY UNKNOWN a b c\r\nx"), PARSE_OK,
	    21, "", 0, "", 0, false },
	{ "UNKNOWN glued", SLICE_INIT("PROXY UNKNOWNX\r\n"), PARSE_BAD, 0, NULL,
	    0, NULL, 0, false },
	{ "LF alone", SLICE_INIT("PROXY TCP4 1.2.3.4 1.2.3.5 1 2\n"), PARSE_BAD,
	    0, NULL, 0, NULL, 0, false },
	{ "two blanks", SLICE_INIT("PROXY TCP4  1.2.3.4 1.2.3.5 1 2\r\n"),
	    PARSE_BAD, 0, NULL, 0, NULL, 0, false },
	{ "a field more", SLICE_INIT("PROXY TCP4 1.2.3.4 1.2.3.5 1 2 3\r\n"),
	    PARSE_BAD, 0, NULL, 0, NULL, 0, false },
	{ "a field less", SLICE_INIT("PROXY TCP4 1.2.3.4 1.2.3.5 1\r\n"),
	    PARSE_BAD, 0, NULL, 0, NULL, 0, false },
	{ "the wrong family", SLICE_INIT("PROXY TCP4 ::1 ::1 1 2\r\n"),
	    PARSE_BAD, 0, NULL, 0, NULL, 0, false },
	{ "the wrong family 6", SLICE_INIT("PROXY TCP6 1.2.3.4 ::1 1 2\r\n"),
	    PARSE_BAD, 0, NULL, 0, NULL, 0, false },
	{ "port too large",
	    SLICE_INIT("PROXY TCP4 1.2.3.4 1.2.3.5 65536 2\r\n"), PARSE_BAD, 0,
	    NULL, 0, NULL, 0, false },
	{ "port with zeros", SLICE_INIT("PROXY TCP4 1.2.3.4 1.2.3.5 01 2\r\n"),
	    PARSE_BAD, 0, NULL, 0, NULL, 0, false },
	{ "a zone", SLICE_INIT("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"),
	    PARSE_BAD, 0, NULL, 0, NULL, 0, false },
	{ "TLS at once", SLICE_INIT("\x16\x03\x01"), PARSE_BAD, 0, NULL, 0,
	    NULL, 0, false },
	{ "a command", SLICE_INIT("a LOGIN x y\r\n"), PARSE_BAD, 0, NULL, 0,
	    NULL, 0, false },
	{ "lower case", SLICE_INIT("proxy UNKNOWN\r\n"), PARSE_BAD, 0, NULL, 0,
	    NULL, 0, false },

	{ "v2 TCP4",
	    SLICE_INIT(V2 "\x21\x11\0\x0c"
			  "\xc0\0\2\7"
			  "\xc0\0\2\1"
			  "\xdc\4\0\x8f"
			  "a"),
	    PARSE_OK, 28, "192.0.2.7", 56324, "192.0.2.1", 143, false },
	{ "v2 TCP6 with a TLV",
	    SLICE_INIT(V2 "\x21\x21\0\x29"
			  "\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\7"
			  "\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
			  "\xdc\4\3\xe1"
			  "\1\0\2ab"),
	    PARSE_OK, 57, "2001:db8::7", 56324, "2001:db8::1", 993, false },
	{ "v2 LOCAL", SLICE_INIT(V2 "\x20\0\0\0"), PARSE_OK, 16, "", 0, "", 0,
	    true },
	{ "v2 LOCAL with addresses",
	    SLICE_INIT(V2 "\x20\x11\0\x0c"
			  "abcdefghijkl"),
	    PARSE_OK, 28, "", 0, "", 0, true },
	{ "v2 unix", SLICE_INIT(V2 "\x21\x31\0\3xyz"), PARSE_OK, 19, "", 0, "",
	    0, false },
	{ "v2 unspecified", SLICE_INIT(V2 "\x21\0\0\0"), PARSE_OK, 16, "", 0,
	    "", 0, false },
	{ "v2 UDP", SLICE_INIT(V2 "\x21\x12\0\0"), PARSE_OK, 16, "", 0, "", 0,
	    false },
	{ "v2 TCP4 too short",
	    SLICE_INIT(V2 "\x21\x11\0\x0b"
			  "abcdefghijk"),
	    PARSE_BAD, 0, NULL, 0, NULL, 0, false },
	{ "v2 unknown command", SLICE_INIT(V2 "\x22\x11\0\0"), PARSE_BAD, 0,
	    NULL, 0, NULL, 0, false },
	{ "version 3", SLICE_INIT(V2 "\x31\x11\0\0"), PARSE_BAD, 0, NULL, 0,
	    NULL, 0, false },
	{ "v2 huge", SLICE_INIT(V2 "\x21\x11\xff\xff"), PARSE_LIMIT, 0, NULL, 0,
	    NULL, 0, false },
	{ "v2 wrong signature", SLICE_INIT("\r\n\r\n\0\r\nQUIX\n"), PARSE_BAD,
	    0, NULL, 0, NULL, 0, false },
};

static void
check(const struct proxy_case *c, const struct proxy_header *h)
{
	char text[ADDR_TEXT];

	assert_int_equal(h->n, c->n);
	assert_int_equal(h->local, c->local);
	assert_int_equal(h->has_addresses, c->src[0] != '\0');
	if (!h->has_addresses)
		return;
	assert_string_equal(addr_text(&h->src, text), c->src);
	assert_string_equal(addr_text(&h->dst, text), c->dst);
	assert_int_equal(h->src_port, c->src_port);
	assert_int_equal(h->dst_port, c->dst_port);
}

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		const struct proxy_case *c = &cases[i];
		struct proxy_header h = { .n = 4711 };
		enum parse got = proxy_parse(c->in, &h);

		if (got != c->want)
			fail_msg("%s: got %d", c->name, (int)got);
		if (got == PARSE_OK)
			check(c, &h);
		else
			assert_int_equal(h.n, 4711);
	}
}

static void
test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		const struct proxy_case *c = &cases[i];

		for (size_t n = 0; n < c->in.n; n++) {
			struct proxy_header h;
			char *copy = slice_dup(slice_first(c->in, n));
			enum parse got = proxy_parse(slice_of(copy, n), &h);

			if (c->want == PARSE_OK)
				assert_int_equal(
				    got, n < c->n ? PARSE_MORE : PARSE_OK);
			else
				assert_int_not_equal(got, PARSE_OK);
			free(copy);
		}
	}
}

static void
test_v1_without_end(void **state)
{
	struct proxy_header h;
	char line[PROXY_V1_MAX + 1];

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	assert_int_equal(
	    proxy_parse(slice_of(line, PROXY_V1_MAX - 1), &h), PARSE_MORE);
	assert_int_equal(
	    proxy_parse(slice_of(line, PROXY_V1_MAX), &h), PARSE_BAD);
	memcpy(line + PROXY_V1_MAX - 2, "\r\n", 2);
	assert_int_equal(
	    proxy_parse(slice_of(line, PROXY_V1_MAX), &h), PARSE_OK);
	assert_int_equal(h.n, PROXY_V1_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_v1_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
