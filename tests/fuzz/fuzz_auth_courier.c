/*
 * Any bytes on Courier's socket; what is taken for a request must lie inside
 * of them, and a request that is one stays one when more follows.  The answer
 * to it, with what the request holds as the account's fields, is a line each.
 */
#include <stdlib.h>
#include <string.h>

#include "auth/protocol_courier.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct slice s, struct slice in)
{
	if (s.n != 0 && (s.p < in.p || s.p + s.n > in.p + in.n))
		abort();
}

static void
check_reply(const struct courier_request *req)
{
	struct answer a = { .verdict =
				req->refused ? VERDICT_REJECTED : VERDICT_OK,
		.uid = 1,
		.gid = 1 };
	struct slice rest, line;
	struct buf out;

	/* but a challenge, which may hold anything and is never said back */
	if (req->query.op != QUERY_CRAM)
		a.field[ACCOUNT_USERNAME] = req->query.extra;
	a.field[ACCOUNT_ADDRESS] = req->query.user;
	a.field[ACCOUNT_HOME] = req->query.password;
	a.field[ACCOUNT_MAILDIR] = req->query.service;
	buf_init(&out, COURIER_REPLY_MAX);
	courier_reply(req->query.op, &a, &out);
	rest = buf_slice(&out);
	if (rest.n != 0 && rest.p[rest.n - 1] != '\n')
		abort();
	while (req->query.op != QUERY_ENUMERATE && rest.n != 0) {
		(void)slice_split(&rest, '\n', &line);
		if (!slice_eq(line, SLICE("FAIL")) &&
		    !slice_eq(line, SLICE("OK")) &&
		    !slice_eq(line, SLICE(".")) && !slice_has(line, '='))
			abort();
	}
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size), decoded;
	struct courier_request req, again;
	uint8_t *longer;
	bool cram;

	if (courier_parse(in, &req) != PARSE_OK)
		return 0;
	decoded = slice_of(req.decoded, sizeof(req.decoded));
	cram = req.query.op == QUERY_CRAM;
	check_inside(req.query.service, in);
	check_inside(req.query.user, cram ? decoded : in);
	check_inside(req.query.password, cram ? decoded : in);
	check_inside(req.query.extra, cram ? decoded : in);
	check_inside(req.query.rip, in);
	check_inside(req.query.module, in);
	/* What is refused anyway may point anywhere inside. */
	if (!req.refused && req.query.op != QUERY_ENUMERATE &&
	    !user_name_ok(req.query.user))
		abort();
	check_reply(&req);
	longer = mem_alloc(size + 1);
	memcpy(longer, data, size);
	longer[size] = '\n';
	if (courier_parse(slice_of(longer, size + 1), &again) != PARSE_OK ||
	    again.refused != req.refused ||
	    !slice_eq(again.query.user, req.query.user) ||
	    !slice_eq(again.query.password, req.query.password))
		abort();
	free(longer);
	return 0;
}
