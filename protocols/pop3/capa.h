/*
 * pop3_capa: the answer to CAPA (RFC 2449 section 5), before and after login.
 *
 * Layer:  protocols/pop3, uses base.
 */
#ifndef PROTOCOLS_POP3_CAPA_H
#define PROTOCOLS_POP3_CAPA_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

struct pop3_capa {
	struct slice sasl; /* mechanisms, blank separated; empty: no AUTH */
	bool user;	   /* USER and PASS may be used */
	bool stls;	   /* STLS may be used */
};

/*
 * Append the complete multi-line response.  RFC 2449 5: what can be used
 * before login is announced in both states.
 */
void pop3_capa_put(const struct pop3_capa *capa, struct buf *out);

#endif
