/*
 * Any bytes on Courier's socket; what is taken for a request must lie inside
 * of them, and a request that is one stays one when more follows.
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
