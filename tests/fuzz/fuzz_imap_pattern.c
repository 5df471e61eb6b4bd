/*
 * Patterns of LIST: the input is a pattern up to a NUL, and a name after it.
 *
 * Checked: the answer is that of a matcher which fills a table from the end of
 * both, the way RFC 3501 6.3.8 defines wildcards.
 */
#include <stdlib.h>

#include "base/ascii.h"
#include "protocols/imap/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NAME_MAX_HERE = 300 };

/* Whether a byte of the pattern, no wildcard, stands for that of the name. */
static bool
stands_for(uint8_t c, struct slice name, size_t at)
{
	struct slice first = slice_first(name, slice_find(name, '.'));

	if (at < 5 && slice_ieq(first, SLICE("INBOX")))
		return ascii_lower(c) == ascii_lower(name.p[at]);
	return c == name.p[at];
}

/* from[k] on entry and return: whether the pattern from its k-th byte on
 * matches the name from byte at + 1, and from byte at. */
static void
step_back(struct slice pattern, struct slice name, size_t at, bool *from)
{
	bool end = at == name.n, next = false;

	for (size_t k = pattern.n + 1; k-- > 0;) {
		bool after = !end && from[k], after_next = next;
		uint8_t c;

		next = after;
		if (k == pattern.n) {
			from[k] = end;
			continue;
		}
		c = pattern.p[k];
		if (c == '*' || c == '%')
			from[k] = from[k + 1] ||
			    (after && (c == '*' || name.p[at] != '.'));
		else
			from[k] = !end && after_next && stands_for(c, name, at);
	}
}

static bool
matches(struct slice pattern, struct slice name)
{
	bool from[IMAP_PATTERN_MAX + 1] = { false };

	if (pattern.n > IMAP_PATTERN_MAX)
		return false;
	for (size_t at = name.n + 1; at-- > 0;)
		step_back(pattern, name, at, from);
	return from[0];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_of(data, size), pattern, name;

	pattern = slice_first(all, slice_find(all, '\0'));
	name = slice_skip(all, pattern.n < all.n ? pattern.n + 1 : all.n);
	name =
	    slice_first(name, name.n < NAME_MAX_HERE ? name.n : NAME_MAX_HERE);
	if (imap_pattern_match(pattern, name) != matches(pattern, name))
		abort();
	return 0;
}
