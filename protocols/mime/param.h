/*
 * param: media types, dispositions and their parameters.
 * RFC 2045 5.1, RFC 2183, RFC 2231.
 *
 * Layer:  protocols/mime, uses base.
 * Memory: a mime_params owns its table and texts; its slices end with it.
 * Time:   O(n log n) in the length of the field, whatever it holds.
 *
 * The values come from the wild: parameters without "=", file names without
 * quotes around blanks, with comments or rubbish between them are all passed
 * over or taken for what they must have meant; nothing is an error.
 */
#ifndef MIME_PARAM_H
#define MIME_PARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

enum { MIME_PARAMS_MAX = 4096 }; /* of one field; the rest is left out */

struct mime_param {
	/*
	 * As written, without the "*0" of RFC 2231 continuations.  It ends in
	 * "*" if the value is extended.
	 */
	struct slice name;
	/*
	 * Quotes and escapes resolved, continuations joined.  An extended
	 * value is charset'language'percent-encoded all over, however the
	 * single continuations were written.
	 */
	struct slice value;
	bool extended;
	uint32_t seq;
};

enum { MIME_PARAMS_FEW = 4 }; /* mostly there aren't more */

struct mime_params {
	struct mime_param *v; /* in the order of the field, no name twice */
	size_t n;
	struct buf text;
	struct mime_param few[MIME_PARAMS_FEW]; /* where v points to if so */
};

/*
 * Split the value of a Content-Type field; *rest is what follows the subtype.
 * False, with nothing set, if it's malformed (RFC 2045 5.2: take the default).
 */
bool mime_content_type_parse(struct slice value, struct slice *type,
    struct slice *subtype, struct slice *rest) MUST_USE;

/* Split Content-Disposition (or a like field): a token, then parameters. */
bool mime_disposition_parse(
    struct slice value, struct slice *token, struct slice *rest) MUST_USE;

/*
 * What a Content-Transfer-Encoding names (RFC 2045 6.1: a token; some programs
 * put it in quotes).  The empty slice if that is nothing.
 */
struct slice mime_encoding_name(struct slice value);

/*
 * Parse *( ";" parameter ).  params need not be initialised, and is always
 * valid afterwards; mime_params_fini() releases it.
 */
void mime_params_parse(struct mime_params *params, struct slice rest);
void mime_params_fini(struct mime_params *params);

/*
 * The value of the parameter name (lower case, without "*"; any case in the
 * field), if it was given in its plain form.
 */
bool mime_params_get(
    const struct mime_params *params, struct slice name, struct slice *value);

/*
 * The value of the parameter name as UTF-8, appended to out: of its extended
 * form (RFC 2231) if there is one, else of its plain form, in which encoded
 * words (RFC 2047), though forbidden there, are decoded.  False if there's
 * none.
 */
bool mime_params_text(
    const struct mime_params *params, struct slice name, struct buf *out);

#endif
