#include "auth/mech.h"

static const struct mech *const all[] = {
	&mech_scram_sha256_plus,
	&mech_scram_sha1_plus,
	&mech_scram_sha256,
	&mech_scram_sha1,
	&mech_cram_sha256,
	&mech_cram_sha1,
	&mech_cram_md5,
	&mech_plain,
	&mech_login,
	&mech_external,
};

const struct mech *const *
mech_all(size_t *n)
{
	*n = NELEMS(all);
	return all;
}

const struct mech *
mech_find(struct slice name)
{
	for (size_t i = 0; i < NELEMS(all); i++)
		if (slice_ieq(all[i]->name, name))
			return all[i];
	return NULL;
}

void
mech_state_init(struct mech_state *st, const struct mech *m)
{
	*st = (struct mech_state){ .mech = m, .op = QUERY_LOGIN };
	buf_init(&st->challenge, MECH_MESSAGE_MAX);
}

void
mech_state_fini(struct mech_state *st)
{
	if (st->mech->fini != NULL)
		st->mech->fini(st);
	buf_fini(&st->challenge);
	secret_fini(&st->user);
	secret_fini(&st->password);
	secret_fini(&st->extra);
	secret_fini(&st->tls_exporter);
	secret_fini(&st->tls_server_end_point);
	secret_fini(&st->certified);
	defdomain_fini(&st->defdomain);
}

bool
mech_take_user(struct mech_state *st, struct slice name)
{
	return user_name_ok(name) &&
	    defdomain_complete(&st->defdomain, name, &st->user);
}
