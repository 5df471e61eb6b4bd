#include "protocols/imap/pattern.h"

#include "base/ascii.h"

static bool
same(struct slice name, size_t at, uint8_t c, bool inbox)
{
	if (inbox && at < 5)
		return ascii_lower(name.p[at]) == ascii_lower(c);
	return name.p[at] == c;
}

/*
 * All ways through the pattern at once: reached[k] says whether its first k
 * bytes can stand for what of the name has been looked at.  A backtracking
 * matcher takes exponential time for "*a*a*a*…".
 */
bool
imap_pattern_match(struct slice pattern, struct slice name)
{
	bool reached[IMAP_PATTERN_MAX + 1];
	bool inbox = slice_istarts(name, SLICE("INBOX")) &&
	    (name.n == 5 || name.p[5] == '.');

	if (pattern.n > IMAP_PATTERN_MAX)
		return false;
	reached[0] = true;
	for (size_t k = 0; k < pattern.n; k++)
		reached[k + 1] =
		    reached[k] && (pattern.p[k] == '*' || pattern.p[k] == '%');
	for (size_t at = 0; at < name.n; at++) {
		/* before: reached[k] for the name up to here */
		bool before = reached[0], any = false;

		reached[0] = false;
		for (size_t k = 0; k < pattern.n; k++) {
			uint8_t c = pattern.p[k];
			bool was = reached[k + 1];

			if (c == '*' || c == '%')
				reached[k + 1] = reached[k] ||
				    (was && (c == '*' || name.p[at] != '.'));
			else
				reached[k + 1] =
				    before && same(name, at, c, inbox);
			any = any || reached[k + 1];
			before = was;
		}
		if (!any)
			return false;
	}
	return reached[pattern.n];
}
