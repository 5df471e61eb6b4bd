/*
 * check: what posternd -t looks at besides the configuration itself: the
 * files that it names.
 *
 * Layer:  server, uses server/conf, server/net.  Reads files.
 */
#ifndef SERVER_CHECK_H
#define SERVER_CHECK_H

#include <stdbool.h>

#include "server/conf/conf.h"

/*
 * Look at access files alone.  Each finding is reported.  False: one is an
 * error.
 */
bool check_access_files(
    const struct conf *conf, conf_report *report, void *arg) MUST_USE;

/*
 * Look at access files, certificates with their keys, authorities, and the
 * skeleton of homes.  Each finding is reported.  False: one is an error, with
 * which a part of the server would not work.
 */
bool check_files(
    const struct conf *conf, conf_report *report, void *arg) MUST_USE;

#endif
