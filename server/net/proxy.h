/*
 * proxy: the header of HAProxy's PROXY protocol, versions 1 and 2.
 *
 * Layer:  server/net, uses base.  No I/O: who may send one, and how long it
 *         may take, is the caller's business.
 * Memory: nothing is allocated; the result holds no reference to the input.
 *
 * The header is what a connection begins with, before TLS.  Exactly its bytes
 * are taken, for the client's first bytes may follow in the same segment.
 */
#ifndef NET_PROXY_H
#define NET_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/parse.h"
#include "base/slice.h"
#include "server/net/addr.h"

enum {
	PROXY_V1_MAX = 107, /* bytes of a version 1 line with its CRLF */
	PROXY_V2_MAX =
	    16 + 4096, /* bytes of a version 2 header with all TLVs */
};

struct proxy_header {
	size_t n;	    /* bytes of the input that it took */
	unsigned version;   /* 1 or 2 */
	bool local;	    /* v2 LOCAL: a check by the proxy itself */
	bool has_addresses; /* else the connection's own ones count */
	struct addr src;    /* the client */
	struct addr dst;    /* where it connected to */
	uint16_t src_port;
	uint16_t dst_port;
};

/*
 * Parse the header at the start of in.
 *
 * PARSE_OK: *h is filled.  PARSE_MORE: not complete, and nothing wrong so
 * far.  PARSE_BAD: no header, or an unknown version or command: close.
 * PARSE_LIMIT: longer than PROXY_V2_MAX: close.  *h is untouched then.
 */
enum parse proxy_parse(struct slice in, struct proxy_header *h) MUST_USE;

#endif
