/* Transcripts of POP3 sessions, over a Maildir. */
#include "protocols/pop3/session.h"
#include "tests/support/maildir_worker.h"

static const struct pop3_options options = {
	.sasl = "PLAIN LOGIN",
	.sasl_tls = "",
	.bad_max = 10,
	.user = true,
	.stls = true,
	.timeout_ms = 600 * 1000,
	.line_max = 4096,
};

static struct session *
make(const struct session_peer *peer, struct account *account, int64_t now_ms)
{
	return pop3_session_new(&options, peer, account, now_ms);
}

int
main(int argc, char **argv)
{
	static const char *const directories[] = { "pop3", NULL };
	static const struct maildir_worker w = { .directories = directories,
		.make = make };

	return maildir_worker_main(argc, argv, &w);
}
