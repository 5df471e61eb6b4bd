/*
 * err: how the environment's failures are reported.
 *
 * Layer:  base.
 * A function returns 0 or one of the negative ERR_* below.  Where a person
 * will read of the failure, a struct err goes along and says what was being
 * done to which object; it is logged once, where it is decided upon.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/defs.h"

enum err_code {
	ERR_NONE = 0,
	ERR_SYS = -1,	     /* a system call failed: err.sys has errno */
	ERR_NOT_FOUND = -2,  /* the named object isn't there */
	ERR_EXISTS = -3,     /* it is there already */
	ERR_LIMIT = -4,	     /* larger or more than a limit allows */
	ERR_FORMAT = -5,     /* foreign bytes that follow no known form */
	ERR_BUSY = -6,	     /* somebody else holds it: try again later */
	ERR_SPACE = -7,	     /* disk full */
	ERR_QUOTA = -8,	     /* the account's mail quota, or the disk's */
	ERR_DENIED = -9,     /* no right to do so */
	ERR_INVALID = -10,   /* the arguments make no sense together */
	ERR_TEMPORARY = -11, /* a service is away: try again later */
	ERR_DAMAGED = -12,   /* our own data is not what was written */
	ERR_STALE = -13,     /* the object changed meanwhile: look again */
	ERR_NO_RIGHT = -14,  /* an access control list doesn't allow it */
	ERR_LAYOUT = -15,    /* mail lies there in a way that isn't served */
	ERR_MORE = -16,	     /* a piece of it is done: call again next turn */
};

struct err {
	int code;	/* enum err_code */
	int sys;	/* errno, or 0 */
	char text[240]; /* one line for the log, never for a client */
};

/* Fill e (which may be NULL); returns code, so `return err_set(e, …)`. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/*
 * The same from errno, which is appended as text; the code is the one that
 * fits errno (ENOENT: ERR_NOT_FOUND, ENOSPC: ERR_SPACE, EMFILE: ERR_TEMPORARY,
 * …).
 */
int err_sys(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The ERR_* that fits an errno value. */
int err_of_errno(int sys);

/* A constant name of the code, for logs: "not found". */
const char *err_name(int code);

#endif
