#include "auth/protocol_courier.h"

#include "auth/cram.h"
#include "base/ascii.h"
#include "base/base64.h"
#include "base/num.h"

/* Take a line without its \n off *in. */
static enum parse
take_line(struct slice *in, struct slice *line)
{
	size_t at = slice_find(*in, '\n');

	if (at > COURIER_LINE_MAX)
		return PARSE_LIMIT;
	if (at == in->n)
		return PARSE_MORE;
	*line = slice_first(*in, at);
	*in = slice_skip(*in, at + 1);
	return PARSE_OK;
}

/* NAME=value: the first of blank and '=' in the line is '='. */
static bool
is_metadata(struct slice line)
{
	size_t eq = slice_find(line, '=');

	return eq < line.n && eq < slice_find(line, ' ');
}

static void
take_metadata(struct slice line, struct query *q)
{
	static const struct slice rip = SLICE_INIT("TCPREMOTEIP=");

	if (slice_starts(line, rip))
		q->rip = slice_first(slice_skip(line, rip.n), COURIER_RIP_MAX);
}

/* Take a word off the line; any number of blanks separates words. */
static struct slice
take_word(struct slice *line)
{
	struct slice word;
	size_t blanks = 0;

	while (blanks < line->n && line->p[blanks] == ' ')
		blanks++;
	*line = slice_skip(*line, blanks);
	word = slice_first(*line, slice_find(*line, ' '));
	*line = slice_skip(*line, word.n);
	return word;
}

/* PRE module service userid; the user id may hold blanks. */
static enum parse
parse_pre(struct slice args, struct courier_request *req)
{
	struct slice module = take_word(&args), service = take_word(&args);
	struct query *q = &req->query;

	while (args.n != 0 && args.p[0] == ' ')
		args = slice_skip(args, 1);
	if (module.n == 0 || service.n == 0 || args.n == 0)
		return PARSE_BAD;
	q->op = QUERY_LOOKUP;
	if (!slice_eq(module, SLICE(".")))
		q->module = module;
	q->service = service;
	q->user = args;
	req->refused = !user_name_ok(args);
	return PARSE_OK;
}

/* PASSWD service TAB userid TAB old TAB new [TAB ignored] */
static enum parse
parse_passwd(struct slice args, struct courier_request *req)
{
	struct query *q = &req->query;

	q->op = QUERY_PASSWD;
	for (size_t i = 0; i < args.n; i++)
		if (ascii_is_control(args.p[i]) && args.p[i] != '\t') {
			req->refused = true;
			return PARSE_OK;
		}
	if (!slice_split(&args, '\t', &q->service) ||
	    !slice_split(&args, '\t', &q->user) ||
	    !slice_split(&args, '\t', &q->password) ||
	    !slice_split(&args, '\t', &q->extra))
		return PARSE_BAD;
	req->refused = !user_name_ok(q->user) || q->password.n == 0 ||
	    q->password.n > PASSWORD_MAX || q->extra.n == 0 ||
	    q->extra.n > PASSWORD_MAX;
	return PARSE_OK;
}

/* The data of authtype "login": user\npassword\n. */
static void
parse_login_data(struct slice data, struct courier_request *req)
{
	struct query *q = &req->query;

	q->op = QUERY_LOGIN;
	if (!slice_split(&data, '\n', &q->user) ||
	    !slice_split(&data, '\n', &q->password))
		q->password = slice_of("", 0);
	/* An empty name or password counts as missing. */
	req->refused = !user_name_ok(q->user) || q->password.n == 0 ||
	    q->password.n > PASSWORD_MAX || slice_has(q->password, '\0');
}

/* Decode base64 behind what decoded holds already. */
static bool
decode(struct slice text, struct courier_request *req, size_t *used,
    struct slice *out)
{
	size_t room = sizeof(req->decoded) - *used;
	struct buf raw;
	bool ok;

	buf_init(&raw, room);
	ok = base64_decode(text, &raw) && buf_len(&raw) != 0;
	if (ok) {
		*out = slice_of(req->decoded + *used, buf_len(&raw));
		memcpy(req->decoded + *used, buf_slice(&raw).p, buf_len(&raw));
		*used += buf_len(&raw);
	}
	buf_fini(&raw);
	return ok;
}

/* The data of authtype "cram-…": base64(challenge)\nbase64(response)\n. */
static void
parse_cram_data(
    struct slice hash, struct slice data, struct courier_request *req)
{
	struct query *q = &req->query;
	struct slice challenge, response, raw;
	size_t used = 0;

	q->op = QUERY_CRAM;
	q->mechanism = hash;
	req->refused = !cram_knows(hash) ||
	    !slice_split(&data, '\n', &challenge) ||
	    !slice_split(&data, '\n', &response) ||
	    !decode(challenge, req, &used, &q->extra) ||
	    !decode(response, req, &used, &raw) ||
	    !cram_split(raw, &q->user, &q->password) || !user_name_ok(q->user);
}

/* AUTH len\n, then len bytes: service\nauthtype\nauthdata */
static enum parse
parse_auth(struct slice args, struct slice rest, struct courier_request *req)
{
	struct slice service, authtype;
	uint32_t len;

	if (!num_u32(slice_trim(args), &len))
		return PARSE_BAD;
	if (len > COURIER_BODY_MAX)
		return PARSE_LIMIT;
	if (rest.n < len)
		return PARSE_MORE;
	rest = slice_first(rest, len);
	if (!slice_split(&rest, '\n', &service) || rest.p == NULL ||
	    !slice_split(&rest, '\n', &authtype) || rest.p == NULL)
		return PARSE_BAD;
	req->query.service = service;
	if (slice_eq(authtype, SLICE("login")))
		parse_login_data(rest, req);
	else if (slice_starts(authtype, SLICE("cram-")))
		parse_cram_data(slice_skip(authtype, 5), rest, req);
	else
		req->refused = true;
	return PARSE_OK;
}

static enum parse
parse_command(struct slice line, struct slice rest, struct courier_request *req)
{
	size_t at = slice_find(line, ' ');
	struct slice word = slice_first(line, at);
	struct slice args = slice_skip(line, at + 1);

	if (slice_eq(word, SLICE("AUTH")))
		return parse_auth(args, rest, req);
	if (slice_eq(word, SLICE("PRE")))
		return parse_pre(args, req);
	if (slice_eq(word, SLICE("PASSWD")))
		return parse_passwd(args, req);
	if (!slice_eq(word, SLICE("ENUMERATE")))
		return PARSE_BAD;
	req->query.op = QUERY_ENUMERATE;
	return PARSE_OK;
}

enum parse
courier_parse(struct slice in, struct courier_request *req)
{
	enum parse result;
	struct slice line;

	req->query = (struct query){ 0 };
	req->refused = false;
	for (int n = 0; n <= COURIER_META_MAX; n++) {
		result = take_line(&in, &line);
		if (result != PARSE_OK)
			return result;
		if (!is_metadata(line))
			return parse_command(line, in, req);
		take_metadata(line, &req->query);
	}
	return PARSE_LIMIT;
}

static void
put_field(struct buf *out, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	buf_puts(out, name);
	buf_putc(out, '=');
	buf_put(out, value);
	buf_putc(out, '\n');
}

/* The lines of an account, in Courier's order, and the dot. */
static void
put_record(struct buf *out, const struct answer *a)
{
	struct slice name = a->field[ACCOUNT_NAME];

	if (a->field[ACCOUNT_USERNAME].n != 0)
		put_field(out, "USERNAME", a->field[ACCOUNT_USERNAME]);
	else
		buf_putf(out, "UID=%u\n", a->uid);
	buf_putf(out, "GID=%u\nHOME=", a->gid);
	buf_put(out, a->field[ACCOUNT_HOME]);
	buf_putc(out, '\n');
	put_field(out, "ADDRESS", a->field[ACCOUNT_ADDRESS]);
	put_field(out, "NAME", slice_first(name, slice_find(name, ',')));
	put_field(out, "MAILDIR", a->field[ACCOUNT_MAILDIR]);
	put_field(out, "QUOTA", a->field[ACCOUNT_QUOTA]);
	put_field(out, "PASSWD", a->field[ACCOUNT_PASSWD]);
	put_field(out, "PASSWD2", a->field[ACCOUNT_PASSWD2]);
	put_field(out, "OPTIONS", a->field[ACCOUNT_OPTIONS]);
	buf_puts(out, ".\n");
}

void
courier_reply(enum query_op op, const struct answer *a, struct buf *out)
{
	struct buf text;

	/* the last part of the list has told its end */
	if (op == QUERY_ENUMERATE)
		return;
	if (a->verdict == VERDICT_REJECTED ||
	    a->verdict == VERDICT_UNSUPPORTED) {
		buf_puts(out, "FAIL\n");
		return;
	}
	if (a->verdict != VERDICT_OK)
		return;
	if (op == QUERY_PASSWD) {
		buf_puts(out, "OK\n");
		return;
	}
	buf_init_secret(&text, COURIER_REPLY_MAX);
	put_record(&text, a);
	/* Too long to be read whole by a client: better a temporary failure
	 * than half an account. */
	if (buf_ok(&text))
		buf_put(out, buf_slice(&text));
	buf_fini(&text);
}
