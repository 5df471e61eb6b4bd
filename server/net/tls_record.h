/*
 * tls_record: how far the records of a TLS handshake have come.  RFC 8446 5.1.
 *
 * Layer:  server/net, uses base.  No I/O.
 * Memory: nothing is allocated.
 *
 * OpenSSL takes in what there is of a record, and as much room as a message
 * announces, up to 171 KiB, for as long as the peer likes to keep it waiting.
 * So what has come is looked at while it is still the kernel's, and OpenSSL is
 * called for whole records only.
 */
#ifndef NET_TLS_RECORD_H
#define NET_TLS_RECORD_H

#include <stdbool.h>

#include "base/parse.h"
#include "base/slice.h"

enum {
	TLS_RECORD_MAX = 5 + 16384 + 256, /* bytes, RFC 8446 5.2 */
	/* What must be there of a ClientHello to judge it. */
	TLS_HELLO_HEAD = 5 + 4,
	/* The longest ClientHello that is taken; browsers' have 2 KiB. */
	TLS_HELLO_MAX = 16384,
};

/*
 * seen: all that has come and was not yet read.  hello: a message in clear
 * can only be a ClientHello.
 * PARSE_OK: OpenSSL may have it: it ends where a record does, or it is none,
 * which OpenSSL refuses in its own words.
 * PARSE_MORE: only when there are *needed bytes.
 * PARSE_BAD: the connection must be closed: a ClientHello that is longer than
 * TLS_HELLO_MAX, is cut into records within its first 4 bytes, or has the
 * form of SSL 2 (RFC 6176 3).
 */
enum parse tls_records_whole(struct slice seen, bool hello, size_t *needed);

#endif
