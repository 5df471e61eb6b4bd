/*
 * CRAM-MD5 (RFC 2195), CRAM-SHA1 and CRAM-SHA256: the server sends a text
 * that never came before, the client answers with its name and the HMAC of
 * the text under the password.
 */
#include <sys/random.h>

#include <unistd.h>

#include "auth/cram.h"
#include "auth/mech.h"

enum { CHALLENGE_BYTES = 16, STAGE_BEGIN = 0, STAGE_CHALLENGED };

/* RFC 2195 2: the form of a msg-id of RFC 822. */
static enum mech_next
challenge(struct mech_state *st)
{
	uint8_t random[CHALLENGE_BYTES];
	char host[256];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random) ||
	    gethostname(host, sizeof(host)) != 0)
		return MECH_REJECT;
	host[sizeof(host) - 1] = '\0';
	buf_putc(&st->challenge, '<');
	for (size_t i = 0; i < sizeof(random); i++)
		buf_putf(&st->challenge, "%02X", random[i]);
	buf_putf(&st->challenge, "@%s>", host);
	secret_set(&st->extra, buf_slice(&st->challenge));
	st->stage = STAGE_CHALLENGED;
	return MECH_CHALLENGE;
}

static enum mech_next
step(struct mech_state *st, const struct slice *response)
{
	struct slice user, digest;

	/* Only an empty initial response may come before the challenge. */
	if (st->stage == STAGE_BEGIN)
		return response == NULL || response->n == 0 ? challenge(st)
							    : MECH_REJECT;
	if (response == NULL || !cram_split(*response, &user, &digest) ||
	    !mech_take_user(st, user))
		return MECH_REJECT;
	secret_set(&st->password, digest);
	st->op = QUERY_CRAM;
	return MECH_ASK;
}

const struct mech mech_cram_md5 = {
	.name = SLICE_INIT("CRAM-MD5"),
	.flags = "dictionary\tactive",
	.needs = MECH_NEEDS_CLEAR,
	.hash = SLICE_INIT("md5"),
	.step = step,
};

const struct mech mech_cram_sha1 = {
	.name = SLICE_INIT("CRAM-SHA1"),
	.flags = "dictionary\tactive",
	.needs = MECH_NEEDS_CLEAR,
	.hash = SLICE_INIT("sha1"),
	.step = step,
};

const struct mech mech_cram_sha256 = {
	.name = SLICE_INIT("CRAM-SHA256"),
	.flags = "dictionary\tactive",
	.needs = MECH_NEEDS_CLEAR,
	.hash = SLICE_INIT("sha256"),
	.step = step,
};
