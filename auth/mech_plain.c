/* RFC 4616: [authzid] NUL authcid NUL passwd. */
#include "auth/mech.h"

static enum mech_next
step(struct mech_state *st, const struct slice *response)
{
	struct slice authzid, authcid, passwd;

	if (response == NULL) {
		/* No initial response: an empty challenge asks for it. */
		if (st->stage++ != 0)
			return MECH_REJECT;
		return MECH_CHALLENGE;
	}
	passwd = *response;
	if (!slice_split(&passwd, '\0', &authzid) ||
	    !slice_split(&passwd, '\0', &authcid) || passwd.p == NULL)
		return MECH_REJECT;
	if (!mech_take_user(st, authcid) || passwd.n == 0 ||
	    passwd.n > PASSWORD_MAX || slice_has(passwd, '\0'))
		return MECH_REJECT;
	/* RFC 4616 2: an authorisation identity is honoured or refused, and
	 * nobody here may act for somebody else. */
	if (authzid.n != 0 && !slice_eq(authzid, authcid) &&
	    !slice_eq(authzid, secret_slice(&st->user)))
		return MECH_REJECT_AUTHZ;
	secret_set(&st->password, passwd);
	return MECH_ASK;
}

const struct mech mech_plain = {
	.name = SLICE_INIT("PLAIN"),
	.flags = "plaintext",
	.step = step,
};
