/*
 * imap_base_subject: the subject without "Re:", "Fwd:" and the like.
 * RFC 5256 section 2.1.
 *
 * Layer:  protocols/imap, uses base.
 * Time:   linear.
 */
#ifndef IMAP_BASE_SUBJECT_H
#define IMAP_BASE_SUBJECT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/* Step 1 after decoding: tabs and line breaks are blanks, and one is enough. */
void imap_subject_blanks(struct slice utf8, struct buf *out);

/*
 * Steps 2 to 6, on a subject with single blanks; *reply: what went shows that
 * it is a reply or a forward.  Borrowed from subject.
 */
struct slice imap_base_subject(struct slice subject, bool *reply);

#endif
