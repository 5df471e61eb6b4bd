/*
 * LOGIN, as draft-murchison-sasl-login describes what clients do: the server
 * prompts for the name, then for the password.  A client may send the name
 * with its request.
 */
#include "auth/mech.h"

enum { STAGE_BEGIN, STAGE_USER, STAGE_PASSWORD };

static enum mech_next
prompt(struct mech_state *st, int stage, struct slice text)
{
	st->stage = stage;
	buf_reset(&st->challenge);
	buf_put(&st->challenge, text);
	return MECH_CHALLENGE;
}

static enum mech_next
take_user(struct mech_state *st, struct slice user)
{
	/* A bad name is refused only after the password, as any other. */
	if (!mech_take_user(st, user))
		secret_fini(&st->user);
	return prompt(st, STAGE_PASSWORD, SLICE("Password:"));
}

static enum mech_next
take_password(struct mech_state *st, struct slice passwd)
{
	if (!user_name_ok(secret_slice(&st->user)) || passwd.n == 0 ||
	    passwd.n > PASSWORD_MAX || slice_has(passwd, '\0'))
		return MECH_REJECT;
	secret_set(&st->password, passwd);
	return MECH_ASK;
}

static enum mech_next
step(struct mech_state *st, const struct slice *response)
{
	if (response == NULL)
		return st->stage == STAGE_BEGIN
		    ? prompt(st, STAGE_USER, SLICE("Username:"))
		    : MECH_REJECT;
	/* An empty initial response is a client's way to say "none". */
	if (st->stage == STAGE_BEGIN && response->n == 0)
		return prompt(st, STAGE_USER, SLICE("Username:"));
	if (st->stage != STAGE_PASSWORD)
		return take_user(st, *response);
	return take_password(st, *response);
}

const struct mech mech_login = {
	.name = SLICE_INIT("LOGIN"),
	.flags = "plaintext",
	.step = step,
};
