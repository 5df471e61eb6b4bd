/*
 * fuzz_mime_header: field values through every parser of values, and a
 * header through the choice of fields.  Texts that come out as UTF-8 must be
 * UTF-8; lengths must fit what was announced.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "protocols/mime/address.h"
#include "protocols/mime/charset.h"
#include "protocols/mime/date.h"
#include "protocols/mime/header.h"
#include "protocols/mime/msgid.h"
#include "protocols/mime/param.h"
#include "protocols/mime/transfer.h"
#include "protocols/mime/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool ok)
{
	if (!ok)
		abort();
}

/* What is UTF-8 already isn't changed by reading it as UTF-8. */
static void
require_utf8(const struct buf *text)
{
	struct buf again;

	require(buf_ok(text));
	buf_init(&again, text->max);
	(void)mime_charset_decode(SLICE("utf-8"), buf_slice(text), &again);
	require(slice_eq(buf_slice(text), buf_slice(&again)));
	buf_fini(&again);
}

static void
try_addresses(struct slice in)
{
	struct mime_addresses list;
	bool in_group = false;

	mime_addresses_init(&list, 20);
	mime_addresses_add(&list, in);
	require(list.n <= 21);
	for (size_t i = 0; i < list.n; i++) {
		enum mime_address_kind kind = list.v[i].kind;
		require((kind == MIME_ADDRESS_GROUP) <= !in_group);
		require((kind == MIME_ADDRESS_GROUP_END) <= in_group);
		if (kind != MIME_ADDRESS_MAILBOX)
			in_group = kind == MIME_ADDRESS_GROUP;
		require(mime_address_text(&list, list.v[i].host).n ==
		    list.v[i].host.n);
	}
	require(!in_group);
	mime_addresses_fini(&list);
}

static void
try_params(struct slice in, struct buf *out)
{
	struct mime_params params;
	struct slice type, subtype, rest = in;

	if (mime_content_type_parse(in, &type, &subtype, &rest))
		require(type.n != 0 && subtype.n != 0);
	mime_params_parse(&params, rest);
	require(buf_ok(&params.text));
	for (size_t i = 0; i < params.n; i++) {
		struct slice name = params.v[i].name;
		if (params.v[i].extended)
			name.n--;
		buf_reset(out);
		require(mime_params_text(&params, name, out));
		require_utf8(out);
	}
	mime_params_fini(&params);
}

static void
try_filter(struct slice in, struct buf *out)
{
	const struct slice names[] = { SLICE("to"), SLICE("x"), SLICE("a") };
	struct mime_header_field field;
	struct slice rest = in;
	size_t total = 0;

	while (mime_header_next(&rest, &field)) {
		require(field.raw.n != 0);
		total += field.raw.n;
	}
	require(total + rest.n == in.n);
	for (int except = 0; except < 2; except++) {
		struct mime_filter f;
		buf_reset(out);
		mime_filter_init(&f, names, 3, except != 0);
		mime_filter_feed(&f, slice_first(in, in.n / 2), out);
		mime_filter_feed(&f, slice_skip(in, in.n / 2), out);
		mime_filter_finish(&f, out);
		require(mime_filter_len(&f) == buf_len(out));
		require(buf_len(out) == 0 ||
		    slice_ends(buf_slice(out), SLICE("\r\n")));
		mime_filter_fini(&f);
	}
}

static void
try_transfer(struct slice in, struct buf *out)
{
	struct mime_decoder d;
	struct buf back;

	for (int e = 0; e <= MIME_ENCODING_UNKNOWN; e++) {
		buf_reset(out);
		mime_decoder_init(&d, (enum mime_encoding)e);
		mime_decoder_feed(&d, slice_first(in, in.n / 3), out);
		mime_decoder_feed(&d, slice_skip(in, in.n / 3), out);
		mime_decoder_finish(&d, out);
		require(buf_ok(out) && buf_len(out) <= in.n);
	}
	buf_init(&back, in.n + 4);
	buf_reset(out);
	for (size_t i = 0; i < in.n; i++)
		buf_putf(out, "=%02X%s", in.p[i], i % 25 == 24 ? "=\r\n" : "");
	mime_decoder_init(&d, MIME_QUOTED_PRINTABLE);
	mime_decoder_feed(&d, buf_slice(out), &back);
	mime_decoder_finish(&d, &back);
	require(slice_eq(buf_slice(&back), in));
	buf_fini(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size), rest = in;
	struct mime_date date;
	struct buf out;

	buf_init(&out, 16 * size + 65536);
	if (mime_date_parse(in, &date))
		require(date.month >= 1 && date.month <= 12 && date.day <= 31);
	try_addresses(in);
	try_params(in, &out);
	buf_reset(&out);
	mime_words_decode(in, &out);
	require_utf8(&out);
	while (mime_msgid_next(&rest, &out))
		require(slice_has(buf_slice(&out), '@'));
	try_filter(in, &out);
	try_transfer(in, &out);
	buf_fini(&out);
	return 0;
}
