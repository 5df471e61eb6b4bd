#include "server/login_name.h"

#include "base/buf.h"

enum { RESPONSE_MAX = 64 * 1024 };

bool
defdomain_wanted(const struct defdomain *d, struct slice user)
{
	struct slice seps =
	    d->separators.n != 0 ? d->separators : slice_first(d->domain, 1);

	if (d->domain.n == 0 || user.n == 0)
		return false;
	for (size_t i = 0; i < seps.n; i++)
		if (slice_has(user, seps.p[i]))
			return false;
	return true;
}

/* The response with the domain put in at a place. */
static void
insert(const struct defdomain *d, struct secret *response, size_t at)
{
	struct slice old = secret_slice(response);
	struct secret fresh = { 0 };
	struct buf b;

	buf_init(&b, RESPONSE_MAX);
	/* No growing, which would leave a password in freed memory. */
	if (old.n + d->domain.n > RESPONSE_MAX ||
	    buf_reserve(&b, old.n + d->domain.n) == NULL)
		return;
	buf_put(&b, slice_first(old, at));
	buf_put(&b, d->domain);
	buf_put(&b, slice_skip(old, at));
	secret_set(&fresh, buf_slice(&b));
	secret_wipe(b.p, b.cap);
	buf_fini(&b);
	secret_fini(response);
	*response = fresh;
}

void
defdomain_plain(const struct defdomain *d, struct secret *response)
{
	struct slice all = secret_slice(response), user;
	size_t from = slice_find(all, '\0') + 1, n;

	if (from > all.n)
		return;
	user = slice_skip(all, from);
	if ((n = slice_find(user, '\0')) == user.n)
		return;
	if (defdomain_wanted(d, slice_first(user, n)))
		insert(d, response, from + n);
}

void
defdomain_name(const struct defdomain *d, struct secret *response)
{
	if (defdomain_wanted(d, secret_slice(response)))
		insert(d, response, secret_slice(response).n);
}
