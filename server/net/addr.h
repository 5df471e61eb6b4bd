/*
 * addr: IP addresses as 16 bytes, and networks of them.
 *
 * Layer:  server/net, uses base.  No socket, no name is looked up.
 * Memory: values; nothing is allocated.
 *
 * An IPv4 address is kept in its IPv4-mapped form (RFC 4291 2.5.5.2), so that
 * a client counts as the same whichever kind of socket it came in by.
 */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

enum { ADDR_BITS = 128, ADDR_V4_BITS = 96, ADDR_TEXT = 46 };

struct addr {
	uint8_t b[16];
};

/* A network: the first `bits` bits count, the others are zero. */
struct addr_net {
	struct addr addr;
	unsigned bits; /* 0 to 128; of an IPv4 network 96 and up */
};

/* From 4 or 16 bytes in network order. */
struct addr addr_of_v4(const uint8_t b[4]);
struct addr addr_of_v6(const uint8_t b[16]);

/*
 * From numeric text: IPv4, IPv6, or IPv4-mapped IPv6; a zone ("%eth0") is
 * dropped.  False if it is neither.
 */
bool addr_parse(struct addr *a, struct slice text) MUST_USE;

/*
 * address or address/bits.  For IPv4 the bits are counted as usual, 0 to 32.
 * Bits behind the network's own are cleared.
 */
bool addr_net_parse(struct addr_net *n, struct slice text) MUST_USE;

bool addr_is_v4(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
bool addr_eq(const struct addr *a, const struct addr *b);

/* The network of the first `bits` bits around an address. */
struct addr_net addr_net_of(const struct addr *a, unsigned bits);
bool addr_in_net(const struct addr *a, const struct addr_net *n);

/* Canonical text, IPv4 as 192.0.2.7; returns out. */
const char *addr_text(const struct addr *a, char out[ADDR_TEXT]);
/* The same with IPv4 as Courier logs it, ::ffff:192.0.2.7. */
const char *addr_text_mapped(const struct addr *a, char out[ADDR_TEXT]);

#endif
