#include "protocols/mime/text.h"

#include "protocols/mime/param.h"

enum { PIECE = 16 * 1024 };

bool
mime_text_init(
    struct mime_text *t, enum mime_encoding encoding, struct slice charset)
{
	mime_decoder_init(&t->decoder, encoding);
	buf_init(&t->bytes, PIECE + 2 * MIME_BLANKS_MAX);
	return mime_charset_open(&t->charset, charset);
}

static void
convert(struct mime_text *t, struct buf *out)
{
	mime_charset_feed(&t->charset, buf_slice(&t->bytes), out);
	buf_reset(&t->bytes);
}

void
mime_text_feed(struct mime_text *t, struct slice in, struct buf *out)
{
	while (in.n != 0) {
		mime_decoder_feed(
		    &t->decoder, slice_first(in, PIECE), &t->bytes);
		convert(t, out);
		in = slice_skip(in, PIECE);
	}
}

void
mime_text_finish(struct mime_text *t, struct buf *out)
{
	mime_decoder_finish(&t->decoder, &t->bytes);
	convert(t, out);
	mime_charset_finish(&t->charset, out);
}

void
mime_text_fini(struct mime_text *t)
{
	mime_charset_close(&t->charset);
	buf_fini(&t->bytes);
}

void
mime_part_charset(const struct mime_message *m, uint32_t part, struct buf *out)
{
	struct slice type, subtype, rest, value;
	struct mime_params params;

	value = mime_message_value(m, part, MIME_F_CONTENT_TYPE);
	if (!mime_content_type_parse(value, &type, &subtype, &rest))
		return;
	mime_params_parse(&params, rest);
	if (mime_params_get(&params, SLICE("charset"), &value))
		buf_put(out, slice_trim(value));
	mime_params_fini(&params);
}
