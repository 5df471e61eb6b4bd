/*
 * couriertcpd -pid=FILE -stop | -restart: for scripts that end or reload a
 * service of Courier's so.  Postern listens itself; nothing else is done here.
 *
 * Layer:  ctl, uses base.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/help.h"
#include "ctl/pid_lock.h"

int
main(int argc, char *argv[])
{
	const char *pidfile = NULL;
	bool stop = false, restart = false;

	if (help_asked(
		argc, argv, "Usage: couriertcpd -pid=file -stop | -restart\n"))
		return 0;
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "-pid=", 5) == 0)
			pidfile = argv[i] + 5;
		else if (strcmp(argv[i], "-stop") == 0)
			stop = true;
		else if (strcmp(argv[i], "-restart") == 0)
			restart = true;
	}
	if (!stop && !restart) {
		(void)fputs("couriertcpd: only -pid=FILE -stop and -pid=FILE "
			    "-restart are known here; Postern listens itself\n",
		    stderr);
		return 1;
	}
	if (pidfile == NULL || *pidfile == '\0') {
		(void)fputs(
		    "couriertcpd: -pid argument is required.\n", stderr);
		return 1;
	}
	if ((stop ? pid_lock_stop(pidfile) : pid_lock_restart(pidfile)) == 0)
		return 0;
	(void)fprintf(
	    stderr, "couriertcpd: %s: %s\n", pidfile, strerror(errno));
	return 1;
}
