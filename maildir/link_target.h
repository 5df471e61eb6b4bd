/*
 * link_target: whether a Maildir may be reached by link (shared_link.h).
 *
 * Layer:  maildir, uses base.
 */
#ifndef MAILDIR_LINK_TARGET_H
#define MAILDIR_LINK_TARGET_H

#include <sys/types.h>

#include "base/defs.h"

enum link_state {
	LINK_OK,
	LINK_ABSENT,
	LINK_FOREIGN,  /* another user's */
	LINK_INDIRECT, /* by way of a symbolic link, "..", or not clean */
	LINK_NO_DIRECTORY,
	LINK_FOLDER, /* of a Maildir */
};

/* What an absolute path leads to, for a user. */
enum link_state link_target_check(const char *path, uid_t uid) MUST_USE;

#endif
