/* Wire form and partial reading, transfer encodings, texts, base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/err.h"
#include "protocols/mime/parser.h"
#include "protocols/mime/text.h"
#include "protocols/mime/transfer.h"
#include "protocols/mime/wire.h"

/* --- wire form ----------------------------------------------------------- */

static const struct slice wire_inputs[] = {
	SLICE_INIT(""),
	SLICE_INIT("a"),
	SLICE_INIT("\n"),
	SLICE_INIT("\r"),
	SLICE_INIT("\r\n"),
	SLICE_INIT("a\nb\n"),
	SLICE_INIT("a\r\nb\r\n"),
	SLICE_INIT("a\r\nb\n\n\r\nc\r\r\n\rd\n\r"),
	SLICE_INIT("nul\0nul\n\0\n"),
	SLICE_INIT("\n\n\n\r\r\r\n\n"),
};

/* Byte by byte, for comparison. */
static void
convert_plainly(struct slice in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '\n' && (i == 0 || in.p[i - 1] != '\r'))
			buf_putc(out, '\r');
		buf_putc(out, in.p[i]);
	}
}

/* Byte by byte, at every length around those of vectors, up to where their
 * counters are full. */
static void
test_lines(void **state)
{
	static uint8_t text[255 * 16 * 2 + 40];
	static const uint8_t bytes[] = { 'a', '\n', '\r', '-' };
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		size_t n = round % 100 == 0 ? sizeof(text) : (size_t)round % 70;
		uint8_t before = bytes[round % 4], last = before;
		struct slice_lines plain = { 0, 0 }, got;
		size_t pair = n;

		for (size_t k = 0; k < n; k++) {
			seed = seed * 1664525 + 1013904223;
			text[k] = round % 200 == 0 ? '\n' : bytes[seed >> 30];
			plain.all += text[k] == '\n';
			plain.bare += text[k] == '\n' && last != '\r';
			if (pair == n && k != 0 && last == '\n' &&
			    text[k] == '-')
				pair = k - 1;
			last = text[k];
		}
		got = slice_count_lines(slice_of(text, n), before);
		assert_int_equal(got.all, plain.all);
		assert_int_equal(got.bare, plain.bare);
		assert_int_equal(
		    slice_find_pair(slice_of(text, n), '\n', '-'), pair);
	}
}

/* Read <from.n> in steps of max, optionally from a mark; the mark reached. */
static struct mime_wire_mark
wire_read(struct slice in, uint64_t from, uint64_t n, size_t max,
    const struct mime_wire_mark *resume, struct buf *out)
{
	struct mime_source src = mime_source_bytes(in);
	struct mime_count c = { .len = 0 };
	struct mime_span span;
	struct mime_wire w;
	uint64_t announced;
	int result;

	mime_count_feed(&c, in);
	span = (struct mime_span){ 0, c.len, c.wire, c.lines };
	mime_wire_init(&w, &src, &span, from, n);
	if (resume != NULL)
		mime_wire_resume(&w, resume);
	announced = mime_wire_left(&w);
	do {
		size_t before = buf_len(out);
		result = mime_wire_step(&w, out, max);
		assert_true(buf_len(out) - before <= max);
	} while (result == MIME_WIRE_MORE);
	assert_int_equal(result, MIME_WIRE_END);
	assert_int_equal(buf_len(out), announced);
	return mime_wire_mark(&w);
}

static void
test_wire_partial(void **state)
{
	struct buf want, have;

	(void)state;
	buf_init(&want, 1000);
	buf_init(&have, 1000);
	for (size_t i = 0; i < NELEMS(wire_inputs); i++) {
		struct slice in = wire_inputs[i];
		buf_reset(&want);
		convert_plainly(in, &want);
		for (size_t from = 0; from <= buf_len(&want) + 1; from++) {
			for (size_t n = 0; n <= buf_len(&want) + 1; n++) {
				struct slice part = slice_first(
				    slice_skip(buf_slice(&want), from), n);
				size_t max[] = { 1 + (from + n) % 3,
					4 + (from + n) % 9, 400 };

				for (size_t k = 0; k < NELEMS(max); k++) {
					buf_reset(&have);
					(void)wire_read(
					    in, from, n, max[k], NULL, &have);
					assert_true(
					    slice_eq(buf_slice(&have), part));
				}
			}
		}
	}
	buf_fini(&want);
	buf_fini(&have);
}

static void
test_wire_resume(void **state)
{
	struct buf want, have;

	(void)state;
	buf_init(&want, 1000);
	buf_init(&have, 1000);
	for (size_t i = 0; i < NELEMS(wire_inputs); i++) {
		struct slice in = wire_inputs[i];
		struct mime_wire_mark mark = { .off = 0 };
		buf_reset(&want);
		buf_reset(&have);
		convert_plainly(in, &want);
		for (size_t piece = 1; piece < 4; piece++) {
			for (size_t at = 0; at < buf_len(&want); at += piece) {
				buf_reset(&have);
				mark =
				    wire_read(in, at, piece, 10, &mark, &have);
				assert_true(slice_eq(buf_slice(&have),
				    slice_first(
					slice_skip(buf_slice(&want), at),
					piece)));
			}
		}
	}
	buf_fini(&want);
	buf_fini(&have);
}

static void
test_wire_file(void **state)
{
	char path[] = "/tmp/test_mime_wire.XXXXXX";
	int fd = mkstemp(path);
	struct mime_source src = mime_source_fd(fd);
	const struct mime_span span = { 0, 220000, 240000, 20000 };
	struct mime_wire w;
	struct buf out;
	int result;

	(void)state;
	assert_true(fd >= 0);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(write(fd, "0123456789\n", 11), 11);
	buf_init(&out, 300000);
	mime_wire_init(&w, &src, &span, 239990, UINT64_MAX);
	assert_int_equal(mime_wire_left(&w), 10);
	while ((result = mime_wire_step(&w, &out, 65536)) == MIME_WIRE_MORE)
		;
	assert_int_equal(result, MIME_WIRE_END);
	assert_string_equal(buf_cstr(&out), "23456789\r\n");
	/* a file that has become shorter is told from the end */
	assert_int_equal(ftruncate(fd, 1000), 0);
	mime_wire_init(&w, &src, &span, 0, UINT64_MAX);
	while ((result = mime_wire_step(&w, &out, 65536)) == MIME_WIRE_MORE)
		;
	assert_int_equal(result, ERR_STALE);
	/* a buffer that is too small is no end either */
	buf_fini(&out);
	buf_init(&out, 100);
	mime_wire_init(&w, &src, &span, 0, UINT64_MAX);
	assert_int_equal(mime_wire_step(&w, &out, 65536), ERR_LIMIT);
	buf_fini(&out);
	assert_int_equal(close(fd), 0);
	mime_wire_init(&w, &src, &span, 0, UINT64_MAX);
	assert_int_equal(mime_wire_step(&w, &out, 10), ERR_SYS);
	(void)unlink(path);
}

/* --- transfer encodings -------------------------------------------------- */

struct decode_case {
	enum mime_encoding encoding;
	const char *in;
	const char *want;
	bool damaged;
};

static const struct decode_case decode_cases[] = {
	{ MIME_7BIT, "a=41\n", "a=41\n", false },
	{ MIME_ENCODING_UNKNOWN, "x\r", "x\r", false },
	{ MIME_BASE64, "", "", false },
	{ MIME_BASE64, "Zm9v\r\nYmFy", "foobar", false },
	{ MIME_BASE64, "Zm9vYg==", "foob", false },
	{ MIME_BASE64, "Zm9vYmE=", "fooba", false },
	{ MIME_BASE64, "Zm9vYg==Zm9v", "foobfoo", false },
	{ MIME_BASE64, "Zm 9v\n-!Yg", "foob", true },
	{ MIME_BASE64, "Zm9vY", "foo", true },
	{ MIME_BASE64, "====", "", false },
	{ MIME_QUOTED_PRINTABLE, "a=41b=3db", "aAb=b", false },
	/* RFC 2045 6.7 */
	{ MIME_QUOTED_PRINTABLE,
	    "Now's the time =\r\nfor all folk to come=\r\n to the aid of "
	    "their country.",
	    "Now's the time for all folk to come to the aid of their country.",
	    false },
	{ MIME_QUOTED_PRINTABLE, "a \t\r\nb ", "a\r\nb", false },
	{ MIME_QUOTED_PRINTABLE, "a= \t\nb", "ab", false },
	{ MIME_QUOTED_PRINTABLE, "a\nb\r\n", "a\nb\r\n", false },
	{ MIME_QUOTED_PRINTABLE, "a=", "a", false },
	{ MIME_QUOTED_PRINTABLE, "a =\n", "a ", false },
	{ MIME_QUOTED_PRINTABLE, "=zz=4z=4", "=zz=4z=4", true },
	{ MIME_QUOTED_PRINTABLE, "a=\rb", "a=\rb", true },
	{ MIME_QUOTED_PRINTABLE, "a \rb \r", "a \rb \r", false },
	{ MIME_QUOTED_PRINTABLE, "==41", "=A", true },
	{ MIME_QUOTED_PRINTABLE, "= =41", "= A", true },
	{ MIME_QUOTED_PRINTABLE, "=4=41", "=4A", true },
};

static void
test_decode(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEMS(decode_cases); i++) {
		const struct decode_case *c = &decode_cases[i];
		struct slice in = slice_str(c->in);
		for (size_t cut = 0; cut <= in.n; cut++) {
			struct mime_decoder d;
			buf_reset(&out);
			mime_decoder_init(&d, c->encoding);
			mime_decoder_feed(&d, slice_first(in, cut), &out);
			mime_decoder_feed(&d, slice_skip(in, cut), &out);
			mime_decoder_finish(&d, &out);
			if (!slice_eq(buf_slice(&out), slice_str(c->want)) ||
			    mime_decoder_damaged(&d) != c->damaged)
				fail_msg("%s, cut at %zu: %s, %d", c->in, cut,
				    buf_cstr(&out), mime_decoder_damaged(&d));
		}
	}
	buf_fini(&out);
}

static void
test_decode_many_blanks(void **state)
{
	static uint8_t in[3 * MIME_BLANKS_MAX + 2];
	struct mime_decoder d;
	struct buf out;

	(void)state;
	memset(in, ' ', sizeof(in));
	in[sizeof(in) - 1] = 'x';
	buf_init(&out, sizeof(in));
	mime_decoder_init(&d, MIME_QUOTED_PRINTABLE);
	mime_decoder_feed(&d, slice_of(in, sizeof(in)), &out);
	mime_decoder_finish(&d, &out);
	assert_true(slice_eq(buf_slice(&out), slice_of(in, sizeof(in))));
	buf_fini(&out);
}

/* Encode, check the lines, decode; n bytes of a simple generator. */
static void
roundtrip(size_t n, struct buf *text, struct buf *back)
{
	uint8_t in[400];
	struct mime_decoder d;
	struct slice rest, line;

	for (size_t i = 0; i < n; i++)
		in[i] = (uint8_t)(i % 7 == 0 ? ' ' : i * 37 + n);
	buf_reset(text);
	buf_reset(back);
	mime_base64_encode(slice_of(in, n), text);
	assert_int_equal(mime_base64_size(n), buf_len(text));
	rest = buf_slice(text);
	while (slice_split(&rest, '\n', &line))
		assert_true(line.n <= 77);
	mime_decoder_init(&d, MIME_BASE64);
	mime_decoder_feed(&d, buf_slice(text), back);
	mime_decoder_finish(&d, back);
	assert_false(mime_decoder_damaged(&d));
	assert_true(slice_eq(buf_slice(back), slice_of(in, n)));
}

static void
test_encode(void **state)
{
	struct buf text, back;

	(void)state;
	buf_init(&text, 4096);
	buf_init(&back, 4096);
	for (size_t n = 0; n < 400; n++)
		roundtrip(n, &text, &back);
	buf_fini(&text);
	buf_fini(&back);
}

/* --- texts --------------------------------------------------------------- */

static void
test_text(void **state)
{
	struct slice in =
	    SLICE("Content-Type: text/plain; charset=\"Iso-8859-1\"\n"
		  "Content-Transfer-Encoding: Quoted-Printable\n"
		  "\n=E4 =\n=\nb\n");
	struct mime_message m;
	struct mime_text t;
	struct slice body;
	struct buf charset, out;

	(void)state;
	buf_init(&charset, 100);
	buf_init(&out, 4096);
	mime_message_init(&m);
	mime_parse(&m, in, NULL);
	mime_part_charset(&m, 0, &charset);
	assert_string_equal(buf_cstr(&charset), "Iso-8859-1");
	body = slice_skip(in, (size_t)m.parts[0].body.off);
	assert_true(mime_text_init(
	    &t, (enum mime_encoding)m.parts[0].encoding, buf_slice(&charset)));
	for (size_t i = 0; i < body.n; i++)
		mime_text_feed(&t, slice_of(body.p + i, 1), &out);
	mime_text_finish(&t, &out);
	mime_text_fini(&t);
	assert_string_equal(buf_cstr(&out), "\xc3\xa4 b\n");
	mime_message_fini(&m);
	buf_fini(&charset);
	buf_fini(&out);
}

/* --- strict base64 ------------------------------------------------------- */

static void
test_base64_strict(void **state)
{
	/* RFC 4648 10, and what its section 3 forbids */
	static const struct {
		const char *plain; /* NULL: to be refused */
		const char *encoded;
	} cases[] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ NULL, "Zg" },
		{ NULL, "Zg=" },
		{ NULL, "Zh==" },
		{ NULL, "Zm9=" },
		{ NULL, "Zg==Zg==" },
		{ NULL, "Zm9v\n" },
		{ NULL, "Zm 9v" },
		{ NULL, "====" },
		{ NULL, "Z===" },
		{ NULL, "=" },
		{ NULL, "Zm=v" },
		{ NULL, "Zm9-" },
		{ NULL, "Zm9\xe4" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct slice encoded = slice_str(cases[i].encoded);
		buf_reset(&out);
		assert_int_equal(
		    base64_decode(encoded, &out), cases[i].plain != NULL);
		if (cases[i].plain == NULL) {
			assert_int_equal(buf_len(&out), 0);
			continue;
		}
		assert_string_equal(buf_cstr(&out), cases[i].plain);
		buf_reset(&out);
		base64_encode(slice_str(cases[i].plain), &out);
		assert_string_equal(buf_cstr(&out), cases[i].encoded);
		assert_int_equal(
		    base64_encoded_len(strlen(cases[i].plain)), encoded.n);
	}
	buf_fini(&out);
	buf_init(&out, 5);
	assert_false(base64_decode(SLICE("Zm9vYmFy"), &out));
	assert_false(buf_ok(&out));
	buf_reset(&out);
	base64_encode(SLICE("foo1"), &out);
	assert_false(buf_ok(&out));
	assert_true(base64_encoded_len(SIZE_MAX) == SIZE_MAX);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_wire_partial),
		cmocka_unit_test(test_wire_resume),
		cmocka_unit_test(test_wire_file),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_decode_many_blanks),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_base64_strict),
	};

	return cmocka_run_group_tests_name("mime_wire", tests, NULL, NULL);
}
