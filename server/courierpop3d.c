/*
 * courierpop3d: POP3 on standard input and output, from the transaction state
 * on, for what starts Courier's program of that name after a login of its own.
 *
 * Layer:  server.
 */
#include "config.h"

#include "server/piped.h"

int
main(int argc, char *argv[])
{
	static const struct piped pop3d = { "pop3d", SERVICE_POP3D,
		"-ERR [SYS/PERM]" };

	return piped_main(&pop3d, argc, argv);
}
