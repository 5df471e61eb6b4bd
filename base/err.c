#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
err_of_errno(int sys)
{
	switch (sys) {
	case ENOENT:
	case ENOTDIR:
		return ERR_NOT_FOUND;
	case EEXIST:
	case ENOTEMPTY:
		return ERR_EXISTS;
	case ENOSPC:
		return ERR_SPACE;
	case EDQUOT:
		return ERR_QUOTA;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return ERR_TEMPORARY;
	case ENAMETOOLONG:
		return ERR_LIMIT;
	case EACCES:
	case EPERM:
	case EROFS:
	case ELOOP:
		return ERR_DENIED;
	default:
		return ERR_SYS;
	}
}

int
err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL)
		return code;
	e->code = code;
	e->sys = 0;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return code;
}

int
err_sys(struct err *e, const char *fmt, ...)
{
	int sys = errno, code = err_of_errno(sys), n;
	va_list ap;

	if (e == NULL)
		return code;
	e->code = code;
	e->sys = sys;
	va_start(ap, fmt);
	n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->text))
		(void)snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s",
		    strerrordesc_np(sys));
	return code;
}

const char *
err_name(int code)
{
	switch ((enum err_code)code) {
	case ERR_NONE:
		return "none";
	case ERR_SYS:
		return "system error";
	case ERR_NOT_FOUND:
		return "not found";
	case ERR_EXISTS:
		return "exists";
	case ERR_LIMIT:
		return "over limit";
	case ERR_FORMAT:
		return "bad format";
	case ERR_BUSY:
		return "busy";
	case ERR_SPACE:
		return "no space";
	case ERR_QUOTA:
		return "over quota";
	case ERR_DENIED:
		return "denied";
	case ERR_INVALID:
		return "invalid";
	case ERR_TEMPORARY:
		return "temporary";
	case ERR_DAMAGED:
		return "damaged";
	case ERR_LAYOUT:
		return "unknown layout";
	case ERR_STALE:
		return "stale";
	case ERR_MORE:
		return "not yet through";
	case ERR_NO_RIGHT:
		return "no right";
	}
	return "unknown";
}
