#include "base/account_option.h"

#include <string.h>

bool
account_option_next(
    struct slice *options, struct slice *name, struct slice *value)
{
	struct slice one;
	size_t eq;

	if (!slice_split(options, ',', &one))
		return false;
	eq = slice_find(one, '=');
	*name = slice_first(one, eq);
	*value = slice_skip(one, eq + 1);
	return true;
}

bool
account_option_get(struct slice options, struct slice want, struct slice *value)
{
	struct slice name, v;

	while (account_option_next(&options, &name, &v))
		if (slice_eq(name, want)) {
			*value = v;
			return true;
		}
	return false;
}

bool
account_option_is_on(struct slice options, struct slice name)
{
	struct slice v;

	if (!account_option_get(options, name, &v) || v.n == 0)
		return false;
	if (memchr("tTyY", v.p[0], 4) != NULL)
		return true;
	/* else a number, which ends where its digits do */
	for (size_t i = 0; i < v.n && v.p[i] >= '0' && v.p[i] <= '9'; i++)
		if (v.p[i] != '0')
			return true;
	return false;
}
