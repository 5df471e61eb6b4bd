/*
 * SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677), each also with channel
 * binding (-PLUS) by tls-exporter (RFC 9266) and tls-server-end-point
 * (RFC 5929).
 *
 *	client-first    n,,n=user,r=CNONCE
 *	                                 → the user table is asked for the keys
 *	server-first    r=CNONCESNONCE,s=SALT,i=N
 *	client-final    c=BINDING,r=CNONCESNONCE,p=PROOF
 *	server-final    v=SIGNATURE
 *
 * A user who isn't there gets keys of chance and a salt that is always the
 * same, and fails at the end like somebody with a wrong password.
 */
#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#include "auth/mech.h"
#include "auth/scram.h"
#include "base/base64.h"
#include "base/mem.h"

enum { NONCE_BYTES = 18 };

enum { STAGE_BEGIN, STAGE_ASKED, STAGE_SERVER_FIRST, STAGE_DONE };

struct scram {
	struct scram_keys keys;
	bool fake;     /* no such user: nothing will do */
	bool unusable; /* there is one, but nobody gets in */
	bool hearsay;
	struct account account;
	struct buf binding; /* what c= must hold */
	struct buf message; /* AuthMessage, as it grows */
	struct buf nonce;
	size_t bare_len; /* of client-first-bare in message */
};

static void
scram_fini(struct mech_state *st)
{
	struct scram *s = st->more;

	if (s == NULL)
		return;
	account_fini(&s->account);
	buf_fini(&s->binding);
	buf_fini(&s->message);
	buf_fini(&s->nonce);
	secret_wipe(&s->keys, sizeof(s->keys));
	free(s);
	st->more = NULL;
}

static struct scram *
scram_of(struct mech_state *st)
{
	struct scram *s = st->more;

	if (s == NULL) {
		s = MEM_NEW(struct scram);
		account_init(&s->account);
		buf_init(&s->binding, MECH_MESSAGE_MAX);
		buf_init(&s->message, 3 * MECH_MESSAGE_MAX);
		buf_init(&s->nonce, 2 * SCRAM_NONCE_MAX);
		st->more = s;
	}
	return s;
}

/* The data that belongs to p=name; false if the connection has none. */
static bool
binding_data(const struct mech_state *st, struct slice name, struct slice *data)
{
	if (slice_eq(name, SLICE("tls-exporter")))
		*data = secret_slice(&st->tls_exporter);
	else if (slice_eq(name, SLICE("tls-server-end-point")))
		*data = secret_slice(&st->tls_server_end_point);
	else
		return false;
	return data->n != 0;
}

/*
 * RFC 5802 6: p= only with -PLUS, and then always; y says that the client
 * was told of no -PLUS, so where one was offered somebody took it away.
 */
static bool
take_binding(struct mech_state *st, const struct scram_client_first *first)
{
	struct scram *s = st->more;
	bool offered =
	    st->tls_exporter.n != 0 || st->tls_server_end_point.n != 0;
	struct slice data = slice_of("", 0);

	if (st->mech->plus != (first->binding == SCRAM_BINDING))
		return false;
	if (first->binding == SCRAM_BINDING_MISSED && offered)
		return false;
	if (first->binding == SCRAM_BINDING &&
	    !binding_data(st, first->binding_name, &data))
		return false;
	buf_put(&s->binding, first->gs2_header);
	buf_put(&s->binding, data);
	return buf_ok(&s->binding);
}

static bool
make_nonce(struct scram *s, struct slice client)
{
	uint8_t raw[NONCE_BYTES];

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return false;
	buf_put(&s->nonce, client);
	base64_encode(slice_of(raw, sizeof(raw)), &s->nonce);
	return buf_ok(&s->nonce);
}

static bool
take_user(struct mech_state *st, struct slice saslname)
{
	struct buf user;
	bool ok;

	buf_init(&user, USER_NAME_MAX);
	ok = scram_put_saslname(saslname, &user) && buf_ok(&user) &&
	    mech_take_user(st, buf_slice(&user));
	buf_fini(&user);
	return ok;
}

static enum mech_next
on_client_first(struct mech_state *st, struct slice in)
{
	struct scram *s = scram_of(st);
	struct scram_client_first first;

	if (!scram_parse_client_first(in, &first) ||
	    !take_user(st, first.user) || !take_binding(st, &first) ||
	    !make_nonce(s, first.nonce))
		return MECH_REJECT;
	if (first.authzid.n != 0 && !slice_eq(first.authzid, first.user))
		return MECH_REJECT_AUTHZ;
	buf_put(&s->message, first.bare);
	s->bare_len = first.bare.n;
	st->op = QUERY_SCRAM;
	st->stage = STAGE_ASKED;
	return MECH_ASK;
}

static void
put_server_first(struct mech_state *st)
{
	struct scram *s = st->more;
	struct buf *out = &st->challenge;

	buf_reset(out);
	buf_puts(out, "r=");
	buf_put(out, buf_slice(&s->nonce));
	buf_puts(out, ",s=");
	base64_encode(slice_of(s->keys.salt, s->keys.salt_len), out);
	buf_puts(out, ",i=");
	buf_putu(out, s->keys.iterations);
	buf_putc(&s->message, ',');
	buf_put(&s->message, buf_slice(out));
}

/* The keys came; those of a user who isn't there came as well. */
static enum mech_next
answered(struct mech_state *st, const struct answer *a)
{
	struct scram *s = st->more;
	enum scram_hash hash;

	if (!scram_hash_find(st->mech->hash, &hash) ||
	    !scram_keys_parse(a->extra, hash, &s->keys))
		return MECH_REJECT;
	s->unusable = a->verdict == VERDICT_UNUSABLE;
	s->fake = a->verdict != VERDICT_OK && !s->unusable;
	s->hearsay = a->hearsay;
	s->account.uid = a->uid;
	s->account.gid = a->gid;
	for (enum account_field f = 0; f < ACCOUNT_N_FIELDS; f++)
		account_set(&s->account, f, a->field[f]);
	put_server_first(st);
	st->stage = STAGE_SERVER_FIRST;
	return MECH_CHALLENGE;
}

/* c= must be the header and the data that were seen at the beginning. */
static bool
same_binding(const struct scram *s, struct slice text)
{
	struct buf given;
	bool ok;

	buf_init(&given, MECH_MESSAGE_MAX);
	ok = base64_decode(text, &given) &&
	    secret_eq(buf_slice(&given), buf_slice(&s->binding));
	buf_fini(&given);
	return ok;
}

static enum mech_next
on_client_final(struct mech_state *st, struct slice in)
{
	struct scram *s = st->more;
	struct scram_client_final last;
	struct buf signature;
	bool ok;

	if (!scram_parse_client_final(in, &last) ||
	    !same_binding(s, last.binding) ||
	    !slice_eq(last.nonce, buf_slice(&s->nonce)))
		return MECH_REJECT;
	buf_putc(&s->message, ',');
	buf_put(&s->message, last.without_proof);
	buf_init(&signature, SCRAM_KEY_MAX);
	ok = buf_ok(&s->message) &&
	    scram_check_proof(
		&s->keys, buf_slice(&s->message), last.proof, &signature) &&
	    !s->fake;
	if (ok) {
		buf_reset(&st->challenge);
		buf_puts(&st->challenge, "v=");
		base64_encode(buf_slice(&signature), &st->challenge);
	}
	buf_fini(&signature);
	st->stage = STAGE_DONE;
	if (ok && s->unusable)
		return MECH_UNUSABLE;
	/* The password may have been changed while the table was away. */
	return ok ? MECH_ACCEPT : s->hearsay ? MECH_UNSURE : MECH_REJECT;
}

static enum mech_next
step(struct mech_state *st, const struct slice *response)
{
	if (st->stage == STAGE_BEGIN) {
		/* No initial response: an empty challenge asks for it. */
		if (response == NULL || response->n == 0)
			return MECH_CHALLENGE;
		return on_client_first(st, *response);
	}
	if (st->stage != STAGE_SERVER_FIRST || response == NULL)
		return MECH_REJECT;
	return on_client_final(st, *response);
}

static struct answer
account(struct mech_state *st)
{
	struct scram *s = st->more;

	return answer_of_account(&s->account);
}

#define SCRAM_MECH(NAME, HASH, PLUS)                                           \
 {                                                                             \
  .name = SLICE_INIT(NAME), .flags = "mutual-auth", .needs = MECH_NEEDS_CLEAR, \
  .hash = SLICE_INIT(HASH), .plus = (PLUS), .step = step,                      \
  .answered = answered, .account = account, .fini = scram_fini,                \
 }

const struct mech mech_scram_sha1 =
    SCRAM_MECH("SCRAM-SHA-1", "SCRAM-SHA-1", false);
const struct mech mech_scram_sha1_plus =
    SCRAM_MECH("SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", true);
const struct mech mech_scram_sha256 =
    SCRAM_MECH("SCRAM-SHA-256", "SCRAM-SHA-256", false);
const struct mech mech_scram_sha256_plus =
    SCRAM_MECH("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", true);
