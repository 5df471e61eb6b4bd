/*
 * relay: moves bytes between a TLS connection and a plain stream.
 *
 * Layer:  server/net, uses tls, libevent.
 * Back-pressure: at most RELAY_HIGH bytes wait in each direction; a side is
 * read only while the other takes what it gave.  When one side ends, what it
 * sent before is delivered, then both end.
 */
#ifndef NET_RELAY_H
#define NET_RELAY_H

#include <stdint.h>

#include <event2/event.h>

#include "server/net/tls.h"

enum { RELAY_HIGH = 32 * 1024 };

struct relay;

/*
 * ssl stands on tls_fd; plain_fd is the stream to the worker.  All three are
 * borrowed until relay_free.  on_end is called once, from the loop, when both
 * directions are over, or when write_timeout_ms pass without the client
 * taking anything; the relay is then to be freed.
 */
struct relay *relay_new(struct event_base *base, SSL *ssl, int tls_fd,
    int plain_fd, int64_t write_timeout_ms, void (*on_end)(void *arg),
    void *arg) MUST_USE;
void relay_free(struct relay **r);

#endif
