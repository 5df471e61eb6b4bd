/*
 * pop3_headers: whether the headers of a message, and of its parts, are ASCII.
 * RFC 6856 2.1, RFC 6532 3.
 *
 * Layer:  protocols/pop3, uses base, mime.  Reads a file; no clock.
 * Memory: one at a time is looked at; the struct, some 3 KiB and the table of
 *         the message's parts, is the caller's from begin to end.
 *
 * A message without a byte beyond ASCII, which is most of them, is only read;
 * of the others the parts are found, and their headers read once more.
 */
#ifndef PROTOCOLS_POP3_HEADERS_H
#define PROTOCOLS_POP3_HEADERS_H

#include <stdint.h>

#include "base/step.h"
#include "protocols/mime/message.h"
#include "protocols/mime/parser.h"

struct pop3_headers { /* private */
	int fd;
	enum { POP3_HEADERS_READ, POP3_HEADERS_PARSE, POP3_HEADERS_LOOK } phase;
	uint64_t at; /* in the file, or in the header of the part */
	uint32_t part;
	struct mime_parser parser;
	struct mime_message msg;
};

/* Begin with a file; takes the descriptor. */
void pop3_headers_begin(
    struct pop3_headers *h, int fd, const struct mime_options *opt);
/*
 * Go on until *budget bytes are read, which is reduced by what was.
 * STEP_DONE: *result is 1 when a header has bytes that aren't ASCII, 0 when
 * none has, ERR_SYS (errno) when the file can't be read; else STEP_YIELD.
 */
enum step pop3_headers_step(
    struct pop3_headers *h, int64_t *budget, int *result);
/* Release what begin took, whatever step has said. */
void pop3_headers_end(struct pop3_headers *h);

#endif
