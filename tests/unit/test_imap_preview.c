/* Previews: what of a text is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/defs.h"
#include "protocols/imap/preview.h"
#include "protocols/mime/parser.h"

/* clang-format off */
static const struct {
	const char *type, *body, *preview;
} cases[] = {
	{ "plain", "", "" },
	{ "plain", "\n \t\n", "" },
	{ "plain", "one\r\ntwo\n\n three ", "one two three" },
	{ "plain", "> all\n>quoted\n", "" },
	{ "plain", "text\n-- \nsignature", "text" },
	{ "plain", "<b> & &amp;", "<b> & &amp;" },
	{ "html", "<b>", "" },
	{ "html", "a<b>c</b>d", "a c d" },
	{ "html", "<", "" },
	{ "html", "x<unclosed", "x" },
	{ "html", "x<!-- <b> -->y", "x y" },
	{ "html", "x<!-- never", "x" },
	{ "html", "<script>a < b</script>c", "c" },
	{ "html", "<STYLE >x</Style>c", "c" },
	{ "html", "<style>never ends", "" },
	{ "html", "<header>c</header>", "c" },
	{ "html", "&lt;&#65;&#x42;&#0;&#xffffffffff;&;&bad;&amp",
	    "<AB\xef\xbf\xbd&#xffffffffff;&;&bad;&amp" },
	{ "html", "&#128512;&nbsp;&nbsp;&#xe4;", "\xf0\x9f\x98\x80 \xc3\xa4" },
	{ "html", "a\xc2\xa0\xc2\xa0" "b", "a b" },
};
/* clang-format on */

static void
test_preview(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct mime_message m;
		struct buf mail, out;

		print_message("  %s\n", cases[i].body);
		buf_init(&mail, 10000);
		buf_init(&out, 8 * IMAP_PREVIEW_CHARS);
		buf_putf(&mail,
		    "MIME-Version: 1.0\nContent-Type: text/%s; "
		    "charset=utf-8\n\n%s",
		    cases[i].type, cases[i].body);
		mime_message_init(&m);
		mime_parse(&m, buf_slice(&mail), NULL);
		assert_int_equal(imap_preview_part(&m), 0);
		imap_preview_make(&m, 0, slice_str(cases[i].body), &out);
		assert_string_equal(buf_cstr(&out), cases[i].preview);
		mime_message_fini(&m);
		buf_fini(&out);
		buf_fini(&mail);
	}
}

/* RFC 8970 3.3: characters are counted, not bytes, and none is cut. */
static void
test_length(void **state)
{
	struct mime_message m;
	struct buf body, out;

	(void)state;
	buf_init(&body, 10000);
	buf_init(&out, 8 * IMAP_PREVIEW_CHARS);
	for (int i = 0; i < 300; i++)
		buf_puts(&body, "\xf0\x9f\x98\x80");
	mime_message_init(&m);
	mime_parse(
	    &m, SLICE("Content-Type: text/plain; charset=utf-8\n\n"), NULL);
	imap_preview_make(&m, 0, buf_slice(&body), &out);
	assert_int_equal(buf_len(&out), 4 * IMAP_PREVIEW_CHARS);
	mime_message_fini(&m);
	buf_fini(&out);
	buf_fini(&body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_preview),
		cmocka_unit_test(test_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
