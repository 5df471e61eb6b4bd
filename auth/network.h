/*
 * network: addresses and lists of networks, as far as authentication looks
 * at them.
 *
 * Layer:  auth, uses base.  Values; nothing is allocated or looked up.
 * IPv4 is kept in its mapped form, so that it is the same address whichever
 * kind of socket it came in by.
 */
#ifndef AUTH_NETWORK_H
#define AUTH_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/slice.h"

enum { NETWORK_V4_BITS = 96 };

struct network {
	uint8_t b[16];
	unsigned bits; /* 0 to 128 */
};

/* Numeric IPv4 or IPv6 text; false for anything else. */
bool network_address(struct slice text, uint8_t out[16]) MUST_USE;
bool network_is_v4(const uint8_t address[16]);
/* Clear what stands behind the first bits. */
void network_mask(uint8_t address[16], unsigned bits);
/* address or address/bits, IPv4's bits counted as usual. */
bool network_parse(struct slice text, struct network *out) MUST_USE;
bool network_has(const struct network *n, const uint8_t address[16]);
/* Whether a list of networks, separated by blanks or commas, has it. */
bool network_list_has(struct slice list, const uint8_t address[16]);

#endif
