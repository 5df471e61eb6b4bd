/*
 * login_proxy: the PROXY header that a trusted proxy sends before everything
 * else, TLS included.
 *
 * While the header is incomplete, all that has come belongs to it and is
 * taken; of its last piece exactly its bytes are, for what the client said
 * may stand in the same segment.
 */
#include <sys/socket.h>

#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "server/login_impl.h"
#include "server/net/proxy.h"
#include "server/service_log.h"

static void
take_addresses(struct conn *c, const struct proxy_header *h)
{
	if (!h->has_addresses)
		return;
	(void)addr_text_mapped(&h->src, c->client_addr);
	(void)addr_text_mapped(&h->dst, c->local_addr);
	c->client_port = h->src_port;
	c->local_port = h->dst_port;
}

enum parse
conn_read_proxy(struct conn *c)
{
	size_t had = buf_len(&c->proxy);
	struct proxy_header h;
	enum parse got;
	uint8_t *to;
	ssize_t n;

	to = buf_reserve(&c->proxy, PROXY_V2_MAX - had);
	if (to == NULL)
		return PARSE_LIMIT;
	n = TEMP_FAILURE_RETRY(
	    recv(c->fd, to, PROXY_V2_MAX - had, MSG_PEEK | MSG_DONTWAIT));
	if (n < 0 && errno == EAGAIN)
		return PARSE_MORE;
	if (n <= 0)
		return PARSE_BAD;
	buf_advance(&c->proxy, (size_t)n);
	got = proxy_parse(buf_slice(&c->proxy), &h);
	if (got == PARSE_OK) {
		assert(h.n > had && h.n <= had + (size_t)n);
		n = (ssize_t)(h.n - had);
		take_addresses(c, &h);
	} else if (got != PARSE_MORE)
		return got;
	if (TEMP_FAILURE_RETRY(recv(c->fd, to, (size_t)n, MSG_DONTWAIT)) != n)
		return PARSE_BAD;
	if (got == PARSE_OK)
		buf_fini(&c->proxy);
	return got;
}
