/*
 * transcript_pattern: what <…> and $name mean in a line of a transcript.
 *
 * Layer:  tests, uses base.
 * Memory: names are borrowed from the file, values are owned.
 */
#ifndef TESTS_SUPPORT_TRANSCRIPT_PATTERN_H
#define TESTS_SUPPORT_TRANSCRIPT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

enum {
	TRANSCRIPT_VARS_MAX = 32,
	/* of one C line, repeats written out */
	TRANSCRIPT_BYTES_MAX = 64 * 1024 * 1024,
};

/* What has been captured; zeroed: nothing. */
struct transcript_vars {
	struct transcript_var {
		struct slice name; /* in the file */
		struct slice value;
		char *copy;
	} v[TRANSCRIPT_VARS_MAX];
	size_t n;
};

/* What a C line sends. */
void transcript_write_out(
    struct transcript_vars *t, struct slice s, struct buf *out);
/* Whether the line is what the pattern says; what that captures is kept. */
bool transcript_matches(
    struct transcript_vars *t, struct slice pattern, struct slice line);
/* Forget all but the first n. */
void transcript_vars_cut(struct transcript_vars *t, size_t n);

#endif
