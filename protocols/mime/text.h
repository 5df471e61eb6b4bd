/*
 * text: a body part as UTF-8, as SEARCH wants to look at it.
 *
 * Layer:  protocols/mime, uses base.
 * Memory: a mime_text holds a conversion and a small buffer from
 *         mime_text_init() to mime_text_fini().
 */
#ifndef MIME_TEXT_H
#define MIME_TEXT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"
#include "protocols/mime/charset.h"
#include "protocols/mime/message.h"
#include "protocols/mime/transfer.h"

struct mime_text { /* private */
	struct mime_decoder decoder;
	struct mime_charset charset;
	struct buf bytes;
};

/*
 * Begin: the part's content transfer encoding and charset (empty: US-ASCII).
 * Returns false if the charset is unknown; bytes are then read as UTF-8.
 */
bool mime_text_init(
    struct mime_text *t, enum mime_encoding encoding, struct slice charset);
/* The next bytes of the body; their text is appended to out. */
void mime_text_feed(struct mime_text *t, struct slice in, struct buf *out);
/* The end of the body. */
void mime_text_finish(struct mime_text *t, struct buf *out);
void mime_text_fini(struct mime_text *t);

/*
 * The charset parameter of a part's Content-Type, appended to out; nothing
 * if it has none.
 */
void mime_part_charset(
    const struct mime_message *m, uint32_t part, struct buf *out);

#endif
