#include "server/net/tls_record.h"

enum {
	HEAD = 5,
	CHANGE_CIPHER_SPEC = 20,
	HANDSHAKE = 22,
	APPLICATION_DATA = 23,
	CLIENT_HELLO = 1,
	SSL2 = 0x80,
};

/* p: the head of a record in clear, and 4 bytes of what is in it. */
static bool
good_hello(const uint8_t *p)
{
	return p[HEAD] != CLIENT_HELLO ||
	    ((size_t)p[HEAD + 1] << 16 | (size_t)p[HEAD + 2] << 8 |
		p[HEAD + 3]) <= TLS_HELLO_MAX;
}

enum parse
tls_records_whole(struct slice seen, bool hello, size_t *needed)
{
	size_t at = 0;

	do {
		const uint8_t *p = seen.p + at;
		size_t left = seen.n - at, body;

		*needed = at + HEAD;
		if (left == 0)
			return PARSE_MORE;
		if (at == 0 && (p[0] & SSL2) != 0)
			return PARSE_BAD;
		if (p[0] < CHANGE_CIPHER_SPEC || p[0] > APPLICATION_DATA)
			return PARSE_OK;
		if (left < HEAD)
			return PARSE_MORE;
		body = (size_t)p[3] << 8 | p[4];
		*needed = at + HEAD + body;
		if (HEAD + body > TLS_RECORD_MAX)
			return PARSE_OK;
		if (hello && p[0] == HANDSHAKE) {
			if (HEAD + body < TLS_HELLO_HEAD)
				return PARSE_BAD;
			if (left >= TLS_HELLO_HEAD && !good_hello(p))
				return PARSE_BAD;
			if (left < TLS_HELLO_HEAD) {
				*needed = at + TLS_HELLO_HEAD;
				return PARSE_MORE;
			}
			hello = false; /* what follows may go on with it */
		}
		at = *needed;
	} while (at < seen.n);
	return at == seen.n ? PARSE_OK : PARSE_MORE;
}
