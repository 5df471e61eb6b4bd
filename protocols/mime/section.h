/*
 * section: from the numbers of BODY[1.2.3] to a stretch of the file.
 * RFC 3501 6.4.5, RFC 9051 6.4.5.1.
 *
 * Layer:  protocols/mime, uses base.  No allocation.
 */
#ifndef MIME_SECTION_H
#define MIME_SECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "protocols/mime/message.h"

/* section-spec without its part numbers */
enum mime_section {
	MIME_SECTION_ALL,    /* BODY[] or BODY[1.2] */
	MIME_SECTION_HEADER, /* HEADER, and HEADER.FIELDS before the filter */
	MIME_SECTION_TEXT,
	MIME_SECTION_MIME,
};

/*
 * Find the part that n section numbers (from 1) name.  No numbers name the
 * message itself.  Part 1 of a message that isn't multipart is that message's
 * own body; numbers go on through message/rfc822 parts.
 *
 * Returns false if there is no such part, which is no error in IMAP: FETCH
 * then gives NIL.
 */
bool mime_section_find(const struct mime_message *m, const uint32_t *path,
    size_t n, uint32_t *part) MUST_USE;

/*
 * The stretch of the file that a section is.  The path as above.
 *
 * HEADER and TEXT of a part exist only for message/rfc822 (and /global), of
 * which they are the encapsulated message's; MIME needs a part number.
 * Returns false if there's no such thing.
 */
bool mime_section_span(const struct mime_message *m, const uint32_t *path,
    size_t n, enum mime_section what, struct mime_span *span) MUST_USE;

#endif
