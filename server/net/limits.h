/*
 * limits: how many connections each address has open, and each service.
 *
 * Layer:  server/net, uses base.  Pure logic: no socket, no clock.
 * Memory: one object in the process that counts.  It keeps an entry only for
 *         addresses with an open connection, so it is bounded by the totals:
 *         at most 64 bytes times four for each open connection.
 *
 * MAXPERIP counts an IPv4 address, and an IPv6 /64, for that is what one
 * subscriber has at least; -maxperc of TCPDOPTS counts an IPv4 /24 (IPv6
 * /48); MAXDAEMONS counts all.
 */
#ifndef NET_LIMITS_H
#define NET_LIMITS_H

#include <stdint.h>

#include "base/defs.h"
#include "server/net/addr.h"

enum { LIMITS_SERVICES = 8 };

enum limits_verdict {
	LIMITS_OK,	    /* counted: limits_close() must follow */
	LIMITS_PER_ADDRESS, /* the address has as many as it may */
	LIMITS_PER_NETWORK, /* its /24 has */
	LIMITS_TOTAL,	    /* the service has */
};

/* 0 means no limit in each. */
struct limits_rule {
	uint32_t per_address;
	uint32_t per_network;
	uint32_t total;
};

struct limits;

/* seed: random bits, so that nobody can choose addresses that collide. */
struct limits *limits_new(uint64_t seed) MUST_USE;
void limits_free(struct limits **l);

/* The rule of a service (< LIMITS_SERVICES); connections that are open stay. */
void limits_set(
    struct limits *l, unsigned service, const struct limits_rule *rule);

/*
 * Count one more connection of an address, if its rule allows; otherwise
 * nothing is counted and the verdict names what is full.
 */
enum limits_verdict limits_open(
    struct limits *l, unsigned service, const struct addr *a) MUST_USE;
/* The same with another limit for this address (MAXCPERIP), 0: none. */
enum limits_verdict limits_open_max(struct limits *l, unsigned service,
    const struct addr *a, uint32_t per_address) MUST_USE;

/* Take back one that limits_open() counted; asserts that it did. */
void limits_close(struct limits *l, unsigned service, const struct addr *a);

/* Open connections of a service, of an address, and of everything. */
uint32_t limits_count(const struct limits *l, unsigned service);
uint32_t limits_count_address(
    const struct limits *l, unsigned service, const struct addr *a);
uint32_t limits_count_all(const struct limits *l);

/* Entries held, for tests and reports. */
size_t limits_entries(const struct limits *l);

#endif
