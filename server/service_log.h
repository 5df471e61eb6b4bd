/*
 * service_log: how the lines about clients look, as the configuration wants
 * them: Courier's idents, its form of addresses.
 *
 * Layer:  server, uses conf.
 * Memory: one state for the process; idents stay valid, their text changes
 *         with service_log_setup().
 */
#ifndef SERVER_SERVICE_LOG_H
#define SERVER_SERVICE_LOG_H

#include "server/conf/conf.h"
#include "server/service.h"

/* Take LOGGEROPTS, SSLLOGGEROPTS, LOG_IP_MAPPED, LOG_LEVEL and DEBUG_LOGIN:
 * at start, and again when they have changed. */
void service_log_setup(const struct conf *c);
/* The log ident: -name= of the service's options, else its name. */
const char *service_ident(enum service s);
/* An address, IPv4 as IPv4-mapped IPv6, as the log shall have it: text, or a
 * part of it. */
const char *service_log_addr(const char *text);

#endif
