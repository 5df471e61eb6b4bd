/*
 * What the cache keeps of messages is what it was when CACHE_REVISION got its
 * number: of each message of tests/messages/corpus, and of the seeds of two
 * fuzz targets, the sum of all that is computed from it stands in
 * tests/unit/data/computed, behind the number; so does that of each file of
 * tests/unit/data/values, which is put into all fields of a message.  Whoever
 * has a value read otherwise adds a file that shows it.
 *
 * `make computed' (COMPUTED_WRITE=1) writes that file anew, but not with other
 * values under the same number.
 *
 * What a byte of another charset is, is the C library's to say, and no two say
 * the same of all.  So text is converted by an iconv() of the test's own, which
 * depends on the same: the charset's name, and each byte that is handed to it.
 */
#include <dirent.h>
#include <errno.h>
#include <iconv.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/defs.h"
#include "base/mem.h"
#include "maildir/mailbox.h"
#include "protocols/imap/bodystructure.h"
#include "protocols/imap/envelope.h"
#include "protocols/imap/fields.h"
#include "protocols/imap/keys.h"
#include "protocols/imap/preview.h"
#include "protocols/mime/parser.h"
#include "protocols/mime/table.h"

enum { FILE_MAX = 1 << 20, VALUE_MAX = 1 << 22, LINE = 300 };

static const char computed[] = "tests/unit/data/computed";
static const char *const folders[] = { "tests/messages/corpus/bounces",
	"tests/messages/corpus/python", "tests/fuzz/corpus/mime",
	"tests/fuzz/corpus/mime_header", "tests/unit/data/values" };

/* --- iconv ---------------------------------------------------------------- */

/* Charsets as numbers; a descriptor points to its own. */
static unsigned charsets[128];

iconv_t __wrap_iconv_open(const char *to, const char *from);
int __wrap_iconv_close(iconv_t cd);
size_t __wrap_iconv(
    iconv_t cd, char **in, size_t *n_in, char **out, size_t *n_out);

iconv_t
__wrap_iconv_open(const char *to, const char *from)
{
	unsigned number = 1;
	size_t i = 0;

	assert_string_equal(to, "UTF-8");
	for (; *from != '\0'; from++)
		number = number * 31 + (uint8_t)*from;
	while (charsets[i] != 0 && charsets[i] != number)
		assert_true(++i < NELEMS(charsets));
	charsets[i] = number;
	return &charsets[i];
}

int
__wrap_iconv_close(iconv_t cd)
{
	(void)cd;
	return 0;
}

/*
 * ASCII is ASCII; 0x80 to 0xef are a character each, 0xf0 to 0xfe one with the
 * byte that follows; 0xff is none.  Characters are U+F0000 to U+FFFFF, four
 * bytes: by charset and bytes.
 */
size_t
__wrap_iconv(iconv_t cd, char **in, size_t *n_in, char **out, size_t *n_out)
{
	enum { CHARACTER = 4 };
	const unsigned *charset = cd;

	while (in != NULL && *n_in != 0) {
		const uint8_t *p = (const uint8_t *)*in;
		size_t n = p[0] < 0xf0 ? 1 : 2;
		unsigned c = p[0];

		if (c == 0xff || n > *n_in || *n_out < CHARACTER) {
			errno = c == 0xff ? EILSEQ : n > *n_in ? EINVAL : E2BIG;
			return (size_t)-1;
		}
		if (c < 0x80) {
			*(*out)++ = (char)c;
			--*n_out;
		} else {
			if (n == 2)
				c = c * 31 + p[1];
			c = (c ^ *charset) * 0x9e3779b1u >> 16;
			*(*out)++ = (char)0xf3;
			*(*out)++ = (char)(0xb0 | c >> 12);
			*(*out)++ = (char)(0x80 | (c >> 6 & 0x3f));
			*(*out)++ = (char)(0x80 | (c & 0x3f));
			*n_out -= CHARACTER;
		}
		*in += n;
		*n_in -= n;
	}
	return 0;
}

/* --- files ---------------------------------------------------------------- */

static FILE *
open_source(const char *path, const char *mode)
{
	const char *top = getenv("srcdir");
	char *full = mem_printf("%s/%s", top != NULL ? top : ".", path);
	FILE *file = fopen(full, mode);

	if (file == NULL)
		fail_msg("%s: can't be opened", full);
	free(full);
	return file;
}

/* --- the values ----------------------------------------------------------- */

static void
put_preview(const struct mime_message *m, struct slice message, struct buf *out)
{
	uint32_t part = imap_preview_part(m);
	struct mime_span body;

	if (part == MIME_NONE)
		return;
	body = m->parts[part].body;
	if (body.len > IMAP_PREVIEW_READ)
		body.len = IMAP_PREVIEW_READ;
	imap_preview_make(m, part,
	    slice_first(
		slice_skip(message, (size_t)body.off), (size_t)body.len),
	    out);
}

/* What is kept of one kind. */
static void
put_value(enum cache_kind kind, const struct mime_message *m,
    struct slice message, struct slice fields, struct buf *out)
{
	switch (kind) {
	case CACHE_ENVELOPE:
		imap_envelope_put(out, m, 0);
		break;
	case CACHE_BODY:
	case CACHE_BODYSTRUCTURE:
		imap_bodystructure_put(out, m, kind == CACHE_BODYSTRUCTURE);
		break;
	case CACHE_PARTS:
		mime_table_put(m, 1, out);
		break;
	case CACHE_FIELDS:
		buf_put(out, fields);
		break;
	case CACHE_SUBJECT:
	case CACHE_FROM:
	case CACHE_TO:
	case CACHE_CC:
	case CACHE_BCC:
	case CACHE_DATE:
	case CACHE_BASE:
	case CACHE_ADDRESSES:
	case CACHE_THREAD:
		imap_key_make(kind, fields, out);
		break;
	case CACHE_PREVIEW:
		put_preview(m, message, out);
		break;
	case CACHE_ORDER_SUBJECT:
	case CACHE_ORDER_FROM:
	case CACHE_ORDER_TO:
	case CACHE_ORDER_CC:
	case CACHE_ORDER_DISPLAYFROM:
	case CACHE_ORDER_DISPLAYTO:
		/* of CACHE_BASE and CACHE_ADDRESSES, byte by byte */
	case CACHE_HEADER:
		/* as it is in the file */
	case CACHE_N_KINDS:
		break;
	}
}

static uint64_t
sum(uint64_t h, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 0x100000001b3u;
	return (h ^ s.n) * 0x100000001b3u;
}

static uint64_t
sum_of(struct slice message)
{
	uint64_t h = 0xcbf29ce484222325u;
	struct mime_message m;
	struct buf fields, value;
	struct slice header;

	mime_message_init(&m);
	mime_parse(&m, message, NULL);
	buf_init(&fields, VALUE_MAX);
	buf_init(&value, VALUE_MAX);
	header = slice_first(message, (size_t)m.parts[0].header.len);
	(void)imap_fields_make(header, true, &fields);
	for (unsigned kind = 0; kind < CACHE_N_KINDS; kind++) {
		buf_reset(&value);
		put_value((enum cache_kind)kind, &m, message,
		    buf_slice(&fields), &value);
		assert_true(buf_ok(&value));
		h = sum(h, buf_slice(&value));
	}
	buf_fini(&value);
	buf_fini(&fields);
	mime_message_fini(&m);
	return h;
}

/* A message that has a value in each field of which values are made. */
static void
put_message_of(struct slice value, struct buf *out)
{
	static const char *const names[] = { "Date", "Subject", "From",
		"Sender", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To",
		"References", "Content-Disposition",
		"Content-Transfer-Encoding", "Content-Type" };

	for (size_t i = 0; i < NELEMS(names); i++) {
		buf_putf(out, "%s: ", names[i]);
		for (size_t k = 0; k < value.n; k++)
			buf_putc(out, value.p[k] == '\n' ? ' ' : value.p[k]);
		buf_puts(out, "\n");
	}
	buf_puts(out, "\nT=E4=F6=FCxt \xe4\xf6\xfc\n");
}

static uint64_t
sum_of_file(const char *path)
{
	static uint8_t bytes[FILE_MAX];
	FILE *file = open_source(path, "r");
	size_t n = fread(bytes, 1, sizeof(bytes), file);
	struct slice all = slice_of(bytes, n);
	struct buf message;
	uint64_t h;

	assert_true(n < sizeof(bytes));
	assert_int_equal(ferror(file), 0);
	(void)fclose(file);
	buf_init(&message, (size_t)16 * FILE_MAX);
	if (strstr(path, "/mime_header/") != NULL ||
	    strstr(path, "/values/") != NULL)
		put_message_of(all, &message);
	else
		buf_put(&message, all);
	h = sum_of(buf_slice(&message));
	buf_fini(&message);
	return h;
}

/* --- the file ------------------------------------------------------------- */

/* A message that is gone from its folder says nothing. */
static bool
is_there(const char *path)
{
	const char *top = getenv("srcdir");
	char *full = mem_printf("%s/%s", top != NULL ? top : ".", path);
	FILE *file = fopen(full, "r");

	free(full);
	if (file == NULL)
		return false;
	(void)fclose(file);
	return true;
}

/* How many messages have another sum than the file says; which is told. */
static unsigned
count_changed(unsigned *revision, unsigned *same)
{
	FILE *file = open_source(computed, "r");
	char line[LINE], path[LINE];
	unsigned changed = 0;
	uint64_t was;

	*same = 0;
	assert_non_null(fgets(line, sizeof(line), file));
	assert_int_equal(sscanf(line, "revision %u", revision), 1);
	while (fgets(line, sizeof(line), file) != NULL) {
		assert_int_equal(
		    sscanf(line, "%16" SCNx64 " %299s", &was, path), 2);
		if (!is_there(path))
			continue;
		if (sum_of_file(path) == was) {
			++*same;
			continue;
		}
		print_message("%s: what is computed has changed\n", path);
		changed++;
	}
	(void)fclose(file);
	return changed;
}

static int
no_dot(const struct dirent *d)
{
	return d->d_name[0] != '.' && strcmp(d->d_name, "README.md") != 0;
}

static void
write_folder(FILE *to, const char *folder)
{
	const char *top = getenv("srcdir");
	char *full = mem_printf("%s/%s", top != NULL ? top : ".", folder);
	struct dirent **names = NULL;
	int n = scandir(full, &names, no_dot, alphasort);

	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		char *path = mem_printf("%s/%s", folder, names[i]->d_name);

		(void)fprintf(
		    to, "%016" PRIx64 " %s\n", sum_of_file(path), path);
		free(path);
		free(names[i]);
	}
	free(names);
	free(full);
}

static void
values_are_of_their_revision(void **state)
{
	unsigned revision, same, changed = count_changed(&revision, &same);
	FILE *to;

	(void)state;
	if (changed != 0 && revision == CACHE_REVISION)
		fail_msg("%u messages have other computed values: raise "
			 "CACHE_REVISION in maildir/mailbox.h, so that no "
			 "cache shows the old ones, then `make computed'",
		    changed);
	if (getenv("COMPUTED_WRITE") != NULL) {
		to = open_source(computed, "w");
		(void)fprintf(to, "revision %d\n", CACHE_REVISION);
		for (size_t i = 0; i < NELEMS(folders); i++)
			write_folder(to, folders[i]);
		assert_int_equal(fclose(to), 0);
		return;
	}
	if (revision != CACHE_REVISION)
		fail_msg("%s is of revision %u, and CACHE_REVISION is %d: "
			 "`make computed'",
		    computed, revision, CACHE_REVISION);
	assert_true(same > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_of_their_revision),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
