/*
 * What is kept of a header, base subjects, keys, previews.
 *
 * Checked: kept fields are what choosing them from the header gives; a base
 * subject is part of the subject and its own base subject; keys can be read,
 * whatever they are; a preview is not longer than it may be.
 */
#include <stdlib.h>

#include "base/defs.h"
#include "protocols/imap/base_subject.h"
#include "protocols/imap/casemap.h"
#include "protocols/imap/fields.h"
#include "protocols/imap/keys.h"
#include "protocols/imap/preview.h"
#include "protocols/mime/header.h"
#include "protocols/mime/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

/* The header at the front of a mail; *ended: by an empty line. */
static struct slice
header_of(struct slice mail, bool *ended)
{
	struct slice rest = mail;
	struct mime_header_field f;
	size_t n;

	while (mime_header_next(&rest, &f))
		;
	*ended = rest.n != 0;
	n = mail.n - rest.n;
	if (*ended)
		n += slice_find(rest, '\n') < rest.n
		    ? slice_find(rest, '\n') + 1
		    : rest.n;
	return slice_first(mail, n);
}

static void
kept_fields(struct slice mail)
{
	static const struct slice names[] = { SLICE_INIT("subject"),
		SLICE_INIT("References"), SLICE_INIT("X-TUID"),
		SLICE_INIT("To") };
	bool ended;
	struct slice header = header_of(mail, &ended);
	struct buf kept, want, got;
	struct mime_filter f;

	buf_init(&kept, 4 * mail.n + 1000);
	buf_init(&want, 4 * mail.n + 1000);
	buf_init(&got, 4 * mail.n + 1000);
	mime_filter_init(&f, names, NELEMS(names), false);
	mime_filter_feed(&f, header, &want);
	mime_filter_finish(&f, &want);
	mime_filter_fini(&f);
	if (imap_fields_make(header, ended, &kept)) {
		uint64_t set = imap_fields_set(names, NELEMS(names));

		imap_fields_put(buf_slice(&kept), set, &got);
		check(slice_eq(buf_slice(&got), buf_slice(&want)));
		check(imap_fields_len(buf_slice(&kept), set) == buf_len(&got));
	}
	buf_fini(&got);
	buf_fini(&want);
	buf_fini(&kept);
}

/* All keys, from any bytes instead of kept fields. */
static void
keys(struct slice kept)
{
	struct buf key;
	int64_t s;
	int32_t days;

	buf_init(&key, 1 << 20);
	imap_key_text(kept, IMAP_F_SUBJECT, &key);
	buf_reset(&key);
	imap_key_date(kept, &key);
	check(buf_len(&key) == 0 ||
	    imap_key_date_get(buf_slice(&key), &s, &days));
	buf_reset(&key);
	imap_key_base(kept, &key);
	check(!buf_ok(&key) || buf_len(&key) != 0);
	buf_reset(&key);
	imap_key_addresses(kept, &key);
	for (unsigned k = 0; k < IMAP_KEY_N_ADDRESSES; k++)
		(void)imap_key_address(
		    buf_slice(&key), (enum imap_key_address)k);
	buf_reset(&key);
	imap_key_thread(kept, &key);
	check(buf_len(&key) % 8 == 0 && buf_len(&key) != 0);
	(void)imap_key_date_get(kept, &s, &days);
	for (unsigned k = 0; k < IMAP_KEY_N_ADDRESSES; k++)
		(void)imap_key_address(kept, (enum imap_key_address)k);
	(void)imap_key_id(kept, 1000);
	buf_fini(&key);
}

static void
subject(struct slice in)
{
	struct buf blanks;
	struct slice base;
	bool reply, again;

	buf_init(&blanks, in.n + 1);
	imap_subject_blanks(in, &blanks);
	base = imap_base_subject(buf_slice(&blanks), &reply);
	check(base.n <= in.n);
	check(reply || base.n != 0 || buf_len(&blanks) <= 1);
	check(slice_eq(imap_base_subject(base, &again), base));
	buf_fini(&blanks);
}

/* In pieces or whole, a text is found or not. */
static void
finder(struct slice in)
{
	struct slice text = slice_skip(in, 2);
	size_t cut = in.n > 2 ? in.p[0] % (text.n + 1) : 0;
	size_t n = in.n > 2 ? in.p[1] % 16 : 0;
	struct slice what = slice_first(slice_skip(text, cut / 2), n);
	struct imap_needle needle;
	struct imap_finder f;
	struct arena a;
	struct buf prepared;

	arena_init(&a, 0);
	buf_init(&prepared, 100 * in.n + 100);
	imap_casemap(text, &prepared);
	check(buf_ok(&prepared));
	if (imap_needle_make(&needle, what, &a)) {
		imap_finder_init(&f, &needle);
		(void)imap_finder_feed(&f, slice_first(text, cut));
		(void)imap_finder_feed(&f, slice_skip(text, cut));
		/* a cut may fall into bytes that aren't UTF-8 */
		if (f.found)
			(void)imap_needle_in(&needle, buf_slice(&prepared));
		imap_finder_fini(&f);
	}
	buf_fini(&prepared);
	arena_fini(&a);
}

static void
preview(struct slice mail)
{
	struct mime_message m;
	struct buf out;
	uint32_t part;

	mime_message_init(&m);
	mime_parse(&m, mail, NULL);
	part = imap_preview_part(&m);
	buf_init(&out, 8 * IMAP_PREVIEW_CHARS);
	if (part != MIME_NONE)
		imap_preview_make(&m, part,
		    slice_first(
			slice_skip(mail, (size_t)m.parts[part].body.off),
			(size_t)m.parts[part].body.len),
		    &out);
	check(buf_ok(&out) && buf_len(&out) <= 4 * IMAP_PREVIEW_CHARS);
	mime_message_fini(&m);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);

	kept_fields(in);
	keys(in);
	subject(in);
	finder(in);
	preview(in);
	return 0;
}
