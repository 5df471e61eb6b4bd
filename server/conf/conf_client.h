/*
 * conf_client: what an access file sets for the clients of an address,
 * "allow,NAME=value,…".
 *
 * Layer:  server/conf, uses base.  Pure.
 * Memory: a struct conf_clients owns what it gives.
 * Courier puts every such name into the environment of the client's own
 * process.  Postern's processes serve many, so only what is looked at for
 * each connection can be another for one.
 */
#ifndef CONF_CONF_CLIENT_H
#define CONF_CONF_CLIENT_H

#include "server/conf/conf.h"

/*
 * What is wrong with a variable for a service, CONF_FILE_IMAPD and so on:
 * false and why; *bad tells an impossible value from a name that has no
 * effect.
 */
bool conf_client_check(enum conf_file service, struct slice name,
    struct slice value, bool *bad, struct buf *why) MUST_USE;

/*
 * The configuration with those variables of the list that have an effect.
 * The caller frees by conf_free().
 */
struct conf *conf_client_with(
    const struct conf *c, enum conf_file service, const char *vars) MUST_USE;

/*
 * Configurations of conf_client_with() that are kept, as most clients have the
 * variables of one of a few lines.  Zeroed: none.  Clear it when the
 * configuration that they are of goes, and at the end.
 */
enum { CONF_CLIENTS_MAX = 16 };
struct conf_client {
	enum conf_file service;
	char *vars;
	struct conf *conf;
};
struct conf_clients {
	struct conf_client kept[CONF_CLIENTS_MAX]; /* the last used first */
	size_t n;
};
/* That for these variables, c itself if there are none (NULL or "").  It is the
 * table's, until the next call. */
const struct conf *conf_clients_get(struct conf_clients *t,
    const struct conf *c, enum conf_file service, const char *vars);
void conf_clients_clear(struct conf_clients *t);

/*
 * authdaemond's service word for a connection to that port: AUTHSERVICE<port>
 * where it is set, else otherwise.
 */
const char *conf_auth_service(const struct conf *c, enum conf_file service,
    uint32_t port, const char *otherwise);

#endif
