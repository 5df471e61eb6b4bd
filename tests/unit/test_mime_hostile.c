/*
 * Messages made to cost time, memory or stack.  Each must be parsed, its
 * structure and envelope written, within a bound of CPU time that leaves a
 * sanitizer build room but not a quadratic algorithm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "protocols/imap/bodystructure.h"
#include "protocols/imap/envelope.h"
#include "protocols/mime/header.h"
#include "protocols/mime/msgid.h"
#include "protocols/mime/parser.h"
#include "protocols/mime/words.h"
#include "tests/support/mime_check.h"

#if defined(__SANITIZE_ADDRESS__)
# define SLOW 4
#elif defined(__has_feature)
# if __has_feature(address_sanitizer)
#  define SLOW 4
# endif
#endif
#ifndef SLOW
# define SLOW 1
#endif

enum { MESSAGE_MAX = 128 << 20, CPU_MS_MAX = 5000 * SLOW };

static double
cpu_ms(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Parse and write everything; check it; the table is the caller's. */
static void
work(const char *name, struct slice in, struct mime_message *m)
{
	struct buf structure, envelope;
	double before = cpu_ms(), after;

	buf_init(&structure, 64 << 20);
	buf_init(&envelope, 64 << 20);
	mime_message_init(m);
	mime_parse(m, in, NULL);
	imap_bodystructure_put(&structure, m, true);
	imap_envelope_put(&envelope, m, 0);
	after = cpu_ms();
	print_message("%s: %zu bytes, %u parts, %.0f ms\n", name, in.n,
	    m->n_parts, after - before);
	assert_true(buf_ok(&structure) && buf_ok(&envelope));
	assert_true(after - before < CPU_MS_MAX);
	mime_check_list(buf_slice(&structure));
	mime_check_list(buf_slice(&envelope));
	mime_check_table(m, in);
	buf_fini(&structure);
	buf_fini(&envelope);
}

static void
test_levels(void **state)
{
	struct mime_message m;
	struct buf in;

	(void)state;
	buf_init(&in, MESSAGE_MAX);
	for (int i = 0; i < 10000; i++)
		buf_putf(&in,
		    "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i,
		    i);
	buf_puts(&in, "\nx\n");
	for (int i = 9999; i >= 0; i--)
		buf_putf(&in, "--b%d--\n", i);
	work("10 000 multiparts within each other", buf_slice(&in), &m);
	assert_int_equal(m.n_parts, 101);
	assert_true(m.capped && m.parts[100].capped);
	/* closing delimiters beyond the cap are content, those below work */
	assert_true(m.parts[0].body.off + m.parts[0].body.len == in.n);
	mime_message_fini(&m);
	buf_fini(&in);
}

static void
test_message_levels(void **state)
{
	struct mime_message m;
	struct buf in;

	(void)state;
	buf_init(&in, MESSAGE_MAX);
	for (int i = 0; i < 10000; i++)
		buf_puts(&in, "Content-Type: message/rfc822\n\n");
	work("10 000 messages within each other", buf_slice(&in), &m);
	assert_int_equal(m.n_parts, 101);
	assert_true(m.parts[100].capped);
	mime_message_fini(&m);
	buf_fini(&in);
}

static void
test_parts(void **state)
{
	struct mime_message m;
	const struct mime_part *last;
	struct buf in;

	(void)state;
	buf_init(&in, MESSAGE_MAX);
	buf_puts(&in, "Content-Type: multipart/mixed; boundary=b\n\n");
	for (int i = 0; i < 100000; i++)
		buf_puts(&in, "--b\nContent-Type: a/b; c=d\n\nx\n");
	work("100 000 parts", buf_slice(&in), &m);
	assert_int_equal(m.n_parts, 10000);
	last = &m.parts[m.n_parts - 1];
	/* the rest is there, in one piece */
	assert_true(m.capped && last->capped);
	assert_true(last->body.off + last->body.len == in.n);
	assert_true(last->body.len > 90000 * 20);
	mime_message_fini(&m);
	buf_fini(&in);
}

static void
test_digest_parts(void **state)
{
	struct mime_message m;
	struct buf in;

	(void)state;
	buf_init(&in, MESSAGE_MAX);
	buf_puts(&in, "Content-Type: multipart/digest; boundary=b\n\n");
	for (int i = 0; i < 100000; i++)
		buf_puts(&in, "--b\n\nSubject: s\n\nx\n");
	work("100 000 messages in a digest", buf_slice(&in), &m);
	assert_int_equal(m.n_parts, 10000);
	mime_message_fini(&m);
	buf_fini(&in);
}

/* n lines under 100 open multiparts whose boundaries begin alike. */
static void
delimiters(const char *name, const char *line, int n)
{
	struct mime_message m;
	struct buf in;

	buf_init(&in, MESSAGE_MAX);
	for (int i = 0; i < 100; i++)
		buf_putf(&in,
		    "Content-Type: multipart/mixed; boundary=%0200d\n\n"
		    "--%0200d\n",
		    i, i);
	buf_putc(&in, '\n');
	for (int i = 0; i < n; i++)
		buf_puts(&in, line);
	work(name, buf_slice(&in), &m);
	mime_message_fini(&m);
	buf_fini(&in);
}

static void
test_delimiters(void **state)
{
	char line[220];

	(void)state;
	delimiters("5 000 000 short lines of dashes", "--x\n", 5000000);
	(void)snprintf(line, sizeof(line), "--%0199dx\n", 0);
	delimiters("100 000 lines that are nearly delimiters", line, 100000);
}

static void
test_header_lines(void **state)
{
	static const char *const lines[] = { "X-Foo: bar\n", "To: a@b\n",
		"Content-Type: a/b\n", "rubbish\n", ":\n", "Subject:\n" };
	struct mime_message m;
	struct buf in;

	(void)state;
	buf_init(&in, MESSAGE_MAX);
	for (size_t k = 0; k < NELEMS(lines); k++) {
		buf_reset(&in);
		for (int i = 0; i < 1000000; i++)
			buf_puts(&in, lines[k]);
		buf_puts(&in, "\nx\n");
		work("1 000 000 header lines", buf_slice(&in), &m);
		assert_int_equal(m.parts[0].header.lines, 1000001);
		assert_int_equal(m.parts[0].body.wire, 3);
		assert_true(m.n_kept <= 100);
		mime_message_fini(&m);
	}
	buf_fini(&in);
}

static void
test_long_lines(void **state)
{
	static const char *const starts[] = { "Subject: ", "\n",
		"X: ", "From: ", "Content-Type: a/b; c=",
		"Content-Type: a/b\nContent-Type:",
		"Content-Type: multipart/x;boundary=b\n\n--b\n\n--b", "\n--",
		"(", "Date: (((((" };
	struct mime_message m;
	struct slice value;
	struct buf in;

	(void)state;
	buf_init(&in, MESSAGE_MAX);
	for (size_t k = 0; k < NELEMS(starts); k++) {
		buf_reset(&in);
		buf_puts(&in, starts[k]);
		for (int i = 0; i < 10 << 20; i++)
			buf_putc(&in, ' ' + (uint8_t)(i % 90));
		buf_puts(&in, "\r\n");
		work("a line of 10 MiB", buf_slice(&in), &m);
		assert_int_equal(m.all.len, in.n);
		for (int id = 0; id < MIME_N_FIELDS; id++)
			if (mime_message_field(
				&m, 0, (enum mime_field)id, 0, &value))
				assert_true(value.n <= 64 * 1024);
		mime_message_fini(&m);
	}
	buf_fini(&in);
}

static void
test_parameters(void **state)
{
	static const char *const forms[] = { "; p*%d=x", "; p*%d*=%%41",
		"; p%d=x", "; p=%d", "; p*0=%d" };
	struct mime_message m;
	struct mime_options wide = mime_options_default;
	struct buf in, out;
	double before;

	(void)state;
	buf_init(&in, MESSAGE_MAX);
	buf_init(&out, MESSAGE_MAX);
	for (size_t k = 0; k < NELEMS(forms); k++) {
		buf_reset(&in);
		buf_reset(&out);
		buf_puts(&in, "Content-Type: a/b");
		for (int i = 19999; i >= 0; i--) {
			char one[40];
			int n = i;
			const char *at = strstr(forms[k], "%d");
			buf_put(
			    &in, slice_of(forms[k], (size_t)(at - forms[k])));
			(void)snprintf(one, sizeof(one), "%d", n);
			buf_puts(&in, one);
			buf_puts(&in, at + 2);
		}
		buf_puts(&in, "\n\n");
		work("20 000 parameters", buf_slice(&in), &m);
		mime_message_fini(&m);
		/* and without the cap on the length of a field */
		wide.max_field = 1 << 20;
		mime_message_init(&m);
		before = cpu_ms();
		mime_parse(&m, buf_slice(&in), &wide);
		imap_bodystructure_put(&out, &m, true);
		assert_true(cpu_ms() - before < CPU_MS_MAX);
		mime_check_list(buf_slice(&out));
		mime_message_fini(&m);
	}
	buf_fini(&in);
	buf_fini(&out);
}

static void
test_values(void **state)
{
	static const char *const pieces[] = { "a@b,", "(", "\"", "<", "@", "[",
		"a@", ":", ";", "<a@b>", "\\", "=?", "=?utf-8?q?a?= ", "<@a,",
		"a:b;", "G:", "(a) ", "<a@[" };
	struct buf in, out, id;
	struct slice rest;
	struct mime_message m;
	double before;

	(void)state;
	buf_init(&in, MESSAGE_MAX);
	buf_init(&out, MESSAGE_MAX);
	buf_init(&id, MESSAGE_MAX);
	for (size_t k = 0; k < NELEMS(pieces); k++) {
		size_t from, n;
		buf_reset(&in);
		buf_puts(&in, "From: ");
		from = in.n;
		for (int i = 0; i < 200000; i++)
			buf_puts(&in, pieces[k]);
		n = in.n - from;
		buf_puts(&in, "\nDate: ");
		for (int i = 0; i < 20000; i++)
			buf_puts(&in, pieces[k]);
		buf_puts(&in, "\n\n");
		work(pieces[k], buf_slice(&in), &m);
		mime_message_fini(&m);
		before = cpu_ms();
		rest = slice_first(slice_skip(buf_slice(&in), from), n);
		buf_reset(&out);
		mime_words_decode(rest, &out);
		while (mime_msgid_next(&rest, &id))
			;
		assert_true(cpu_ms() - before < CPU_MS_MAX);
	}
	buf_fini(&in);
	buf_fini(&out);
	buf_fini(&id);
}

static void
test_filter_names(void **state)
{
	enum { N = 10000 };
	static char names[N][12];
	static struct slice list[N];
	struct mime_filter f;
	double before = cpu_ms();

	(void)state;
	for (int i = 0; i < N; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "X-%d", i);
		list[i] = slice_str(names[i]);
	}
	mime_filter_init(&f, list, N, false);
	for (int i = 0; i < 1000000; i++)
		mime_filter_feed(&f, SLICE("X-99999: y\n"), NULL);
	mime_filter_feed(&f, SLICE("x-77: y\n\n"), NULL);
	mime_filter_finish(&f, NULL);
	assert_int_equal(mime_filter_len(&f), 11);
	mime_filter_fini(&f);
	assert_true(cpu_ms() - before < CPU_MS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_message_levels),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_digest_parts),
		cmocka_unit_test(test_delimiters),
		cmocka_unit_test(test_header_lines),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_filter_names),
	};

	return cmocka_run_group_tests_name("mime_hostile", tests, NULL, NULL);
}
