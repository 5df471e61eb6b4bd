#include "auth/defdomain.h"

#include "auth/answer.h"
#include "base/buf.h"

void
defdomain_fini(struct defdomain *d)
{
	secret_fini(&d->domain);
	secret_fini(&d->separators);
}

bool
defdomain_wanted(const struct defdomain *d, struct slice user)
{
	struct slice domain = secret_slice(&d->domain);
	struct slice seps = secret_slice(&d->separators);

	if (domain.n == 0 || user.n == 0)
		return false;
	if (seps.n == 0)
		seps = slice_first(domain, 1);
	for (size_t i = 0; i < seps.n; i++)
		if (slice_has(user, seps.p[i]))
			return false;
	return true;
}

bool
defdomain_complete(
    const struct defdomain *d, struct slice user, struct secret *out)
{
	struct buf b;
	bool ok;

	buf_init(&b, USER_NAME_MAX);
	buf_put(&b, user);
	if (defdomain_wanted(d, user))
		buf_put(&b, secret_slice(&d->domain));
	ok = buf_ok(&b) && user_name_ok(buf_slice(&b));
	if (ok)
		secret_set(out, buf_slice(&b));
	buf_fini(&b);
	return ok;
}
