/*
 * RFC 4422 appendix A: the client was authenticated by other means, here by
 * its TLS certificate; the response is an authorisation identity or nothing.
 *
 * Who the certificate stands for is what the login process says of its
 * connection.  Only that process's socket offers this mechanism.
 */
#include "auth/mech.h"

static enum mech_next
step(struct mech_state *st, const struct slice *response)
{
	struct slice certified = secret_slice(&st->certified);

	if (response == NULL) {
		/* No initial response: an empty challenge asks for it. */
		if (st->stage++ != 0)
			return MECH_REJECT;
		return MECH_CHALLENGE;
	}
	if (!user_name_ok(certified))
		return MECH_REJECT;
	secret_set(&st->user, certified);
	/* Nobody here may act for somebody else. */
	if (response->n != 0 && !slice_eq(*response, certified))
		return MECH_REJECT_AUTHZ;
	st->op = QUERY_LOOKUP;
	return MECH_ASK;
}

const struct mech mech_external = {
	.name = SLICE_INIT("EXTERNAL"),
	.flags = "plaintext",
	.certified = true,
	.step = step,
};
