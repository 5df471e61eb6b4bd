/*
 * imap_preview: the beginning of a message's text, to be shown in a list.
 * RFC 8970 section 3.3.
 *
 * Layer:  protocols/imap, uses base and mime.
 */
#ifndef IMAP_PREVIEW_H
#define IMAP_PREVIEW_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "protocols/mime/message.h"

enum {
	IMAP_PREVIEW_CHARS = 200,
	IMAP_PREVIEW_READ = 32 * 1024, /* of a body are looked at */
};

/* The part whose text is shown: the first plain text or, for want of one, the
 * first HTML; MIME_NONE: there is neither. */
uint32_t imap_preview_part(const struct mime_message *m);

/*
 * Append the preview of a part whose body begins with these bytes of the file:
 * UTF-8 without line breaks or markup, of at most IMAP_PREVIEW_CHARS
 * characters.
 */
void imap_preview_make(const struct mime_message *m, uint32_t part,
    struct slice body, struct buf *out);

#endif
