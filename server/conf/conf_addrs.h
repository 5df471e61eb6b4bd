/*
 * conf_addrs: ADDRESS and PORT (SSLADDRESS and SSLPORT) as a list of places
 * to listen at.
 *
 * Layer:  server/conf, uses base.  No I/O: no name is looked up.
 * Memory: the struct is the caller's.
 *
 * PORT is a list, separated by commas or blanks, of
 *   port          at the addresses of ADDRESS
 *   address.port  at that address: 192.0.2.1.143, ::1.143, [::1].143, 0.143
 * where port is a number or one of imap, imaps, pop3, pop3s; 0 lets the
 * system choose a free one.  ADDRESS is one address or a list of them; 0, *
 * and nothing mean all.
 */
#ifndef CONF_CONF_ADDRS_H
#define CONF_CONF_ADDRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/slice.h"

enum { CONF_ADDRS_MAX = 64, CONF_ADDR_TEXT = 46 };

struct conf_addr {
	char addr[CONF_ADDR_TEXT]; /* numeric, canonical; "": all addresses */
	uint16_t port;
};

struct conf_addrs {
	size_t n;
	struct conf_addr item[CONF_ADDRS_MAX];
};

/*
 * Parse both values; the same place named twice counts once.  0; ERR_FORMAT
 * (e->text says what was expected) or ERR_LIMIT (more than CONF_ADDRS_MAX).
 */
int conf_addrs_parse(struct conf_addrs *a, const char *address,
    const char *ports, struct err *e) MUST_USE;

/*
 * One item of a PORT list, into *item; addr is "" both for all addresses and
 * for an item without one, has_addr tells.  False if it is malformed.
 */
bool conf_addr_parse_item(
    struct conf_addr *item, bool *has_addr, struct slice word) MUST_USE;

#endif
