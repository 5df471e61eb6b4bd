#include "auth/answer.h"

#include "base/ascii.h"

/* What numbers and the lengths of strings take in a message. */
enum { FIELDS_ROOM = 256 };

void
account_init(struct account *a)
{
	*a = (struct account){ 0 };
}

void
account_fini(struct account *a)
{
	for (size_t i = 0; i < ACCOUNT_N_FIELDS; i++)
		secret_fini(&a->field[i]);
	secret_fini(&a->extra);
	secret_fini(&a->hmac);
	account_init(a);
}

void
account_set(struct account *a, enum account_field f, struct slice value)
{
	secret_set(&a->field[f], value);
}

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (ascii_is_control(s.p[i]))
			return true;
	return false;
}

static size_t
account_length(const struct account *a)
{
	size_t n = 0;

	for (enum account_field f = 0; f < ACCOUNT_N_FIELDS; f++)
		n += a->field[f].n;
	return n;
}

bool
account_check(const struct account *a, uint32_t uid_min, uint32_t gid_min,
    const char **why)
{
	static const char *const bad_field[ACCOUNT_N_FIELDS] = {
		"control character in the system account",
		"control character in the home directory",
		"control character in the login name",
		"control character in the full name",
		"control character in the maildir",
		"control character in the quota",
		"control character in the crypted password",
		"newline in the clear password",
		"control character in the options",
	};

	/* The largest number is no id: to the system it says "as it is". */
	if (a->uid == 0 || a->uid == UINT32_MAX) {
		*why = "uid is 0 or not a number";
		return false;
	}
	if (a->gid == 0 || a->gid == UINT32_MAX) {
		*why = "gid is 0 or not a number";
		return false;
	}
	if (a->uid < uid_min) {
		*why = "uid is below UID_MIN";
		return false;
	}
	if (a->gid < gid_min) {
		*why = "gid is below GID_MIN";
		return false;
	}
	if (a->field[ACCOUNT_HOME].n == 0) {
		*why = "no home directory";
		return false;
	}
	if (account_length(a) > ACCOUNT_LENGTH_MAX) {
		*why = "its fields are longer than 32 KiB together";
		return false;
	}
	for (enum account_field f = 0; f < ACCOUNT_N_FIELDS; f++) {
		struct slice s = account_get(a, f);

		if (f == ACCOUNT_PASSWD2
			? slice_has(s, '\n') || slice_has(s, '\0')
			: has_control(s)) {
			*why = bad_field[f];
			return false;
		}
	}
	return true;
}

static struct slice
option_name(struct slice option)
{
	return slice_first(option, slice_find(option, '='));
}

static bool
has_option(struct slice options, struct slice name)
{
	struct slice rest = options, piece;

	while (slice_split(&rest, ',', &piece))
		if (slice_eq(option_name(piece), name))
			return true;
	return false;
}

bool
answer_option(const struct answer *a, struct slice name, struct slice *value)
{
	struct slice rest = a->field[ACCOUNT_OPTIONS], piece;

	while (slice_split(&rest, ',', &piece))
		if (slice_eq(option_name(piece), name)) {
			*value = slice_skip(piece, name.n + 1);
			return true;
		}
	return false;
}

void
account_merge_options(struct account *a, struct slice defaults)
{
	struct slice own = account_get(a, ACCOUNT_OPTIONS), rest, piece;
	struct buf merged;

	buf_init(&merged, own.n + defaults.n + 1);
	buf_put(&merged, own);
	rest = defaults;
	while (slice_split(&rest, ',', &piece)) {
		piece = slice_trim(piece);
		if (piece.n == 0 || has_option(own, option_name(piece)))
			continue;
		if (buf_len(&merged) != 0)
			buf_putc(&merged, ',');
		buf_put(&merged, piece);
	}
	if (buf_ok(&merged))
		account_set(a, ACCOUNT_OPTIONS, buf_slice(&merged));
	buf_fini(&merged);
}

bool
user_name_ok(struct slice name)
{
	return name.n != 0 && name.n <= USER_NAME_MAX && !has_control(name);
}

struct answer
answer_of_account(const struct account *a)
{
	struct answer out = {
		.verdict = VERDICT_OK, .uid = a->uid, .gid = a->gid
	};

	for (enum account_field f = 0; f < ACCOUNT_N_FIELDS; f++)
		out.field[f] = account_get(a, f);
	out.extra = secret_slice(&a->extra);
	out.by_file = a->by_file;
	return out;
}

/* Room for n bytes at once: growing would leave copies of what is secret. */
static void
make_room(struct msg_out *m, size_t n)
{
	if (n < MSG_SIZE_MAX / 2)
		(void)!buf_reserve(&m->b, n);
}

void
query_pack(const struct query *q, uint32_t id, struct msg_out *m)
{
	msg_begin(m, MSG_AUTHD_QUERY, id);
	make_room(m,
	    q->module.n + q->service.n + q->mechanism.n + q->user.n +
		q->password.n + q->extra.n + q->rip.n + FIELDS_ROOM);
	msg_put_u32(m, q->op);
	msg_put_u32(m, q->budget_ms);
	msg_put_bytes(m, q->module);
	msg_put_bytes(m, q->service);
	msg_put_bytes(m, q->mechanism);
	msg_put_bytes(m, q->user);
	msg_put_bytes(m, q->password);
	msg_put_bytes(m, q->extra);
	msg_put_bytes(m, q->rip);
}

bool
query_unpack(struct msg_in *m, struct query *q)
{
	uint32_t op = msg_get_u32(m);

	*q = (struct query){ .op = op < QUERY_N_OPS ? (enum query_op)op
						    : QUERY_LOGIN };
	q->budget_ms = msg_get_u32(m);
	q->module = msg_get_bytes(m);
	q->service = msg_get_bytes(m);
	q->mechanism = msg_get_bytes(m);
	q->user = msg_get_bytes(m);
	q->password = msg_get_bytes(m);
	q->extra = msg_get_bytes(m);
	q->rip = msg_get_bytes(m);
	return msg_get_end(m) && op < QUERY_N_OPS;
}

void
answer_pack(const struct answer *a, uint32_t id, struct msg_out *m)
{
	size_t n = a->extra.n + FIELDS_ROOM;

	for (size_t f = 0; f < ACCOUNT_N_FIELDS; f++)
		n += a->field[f].n;
	msg_begin(m, MSG_AUTHD_ANSWER, id);
	make_room(m, n);
	msg_put_u32(m, a->verdict);
	msg_put_u32(m, a->uid);
	msg_put_u32(m, a->gid);
	for (size_t f = 0; f < ACCOUNT_N_FIELDS; f++)
		msg_put_bytes(m, a->field[f]);
	msg_put_bytes(m, a->extra);
	msg_put_u32(m, a->by_file);
}

bool
answer_unpack(struct msg_in *m, struct answer *a)
{
	uint32_t verdict = msg_get_u32(m);

	*a = (struct answer){ .verdict = VERDICT_TEMPORARY };
	a->uid = msg_get_u32(m);
	a->gid = msg_get_u32(m);
	for (size_t f = 0; f < ACCOUNT_N_FIELDS; f++)
		a->field[f] = msg_get_bytes(m);
	a->extra = msg_get_bytes(m);
	a->by_file = msg_get_u32(m) != 0;
	if (!msg_get_end(m) || verdict >= VERDICT_N)
		return false;
	a->verdict = (enum verdict)verdict;
	return true;
}

const char *
verdict_name(enum verdict v)
{
	static const char *const names[VERDICT_N] = { "ok", "rejected",
		"temporary failure", "unsupported", "more", "stale", "slow",
		"unusable account" };

	return names[v];
}
