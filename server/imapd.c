/*
 * imapd: IMAP on standard input and output: `ssh host imapd`, the tunnel of
 * mutt and mbsync.  The session begins with PREAUTH (RFC 3501 7.1.4).
 *
 * Layer:  server.
 */
#include "config.h"

#include "server/piped.h"

int
main(int argc, char *argv[])
{
	static const struct piped imapd = { "imapd", SERVICE_IMAPD,
		"* BYE [CONTACTADMIN]" };

	return piped_main(&imapd, argc, argv);
}
