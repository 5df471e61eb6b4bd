/* Transcripts of POP3 sessions, over a Maildir. */
#include <string.h>

#include "protocols/pop3/session.h"
#include "tests/support/maildir_worker.h"

static struct pop3_options options = {
	.sasl = "PLAIN LOGIN",
	.sasl_tls = "",
	.bad_max = 10,
	.user = true,
	.stls = true,
	.timeout_ms = 600 * 1000,
	.line_max = 4096,
};
static char unicode_type[100];
static char mechs[100]; /* of CAPA before login; "": there was none */
static bool utf8;

static struct session *
make(const struct session_peer *peer, struct account *account, int64_t now_ms)
{
	struct session_peer said = *peer;

	said.utf8 = utf8;
	said.mechs = mechs;
	return pop3_session_new(&options, &said, account, now_ms);
}

static void
reset(void)
{
	options.unicode_type = "message/global";
	options.mime = mime_options_default;
	mechs[0] = '\0';
	utf8 = false;
}

static bool
fixture(struct slice word, struct slice value)
{
	if (slice_eq(word, SLICE("utf8"))) {
		utf8 = slice_eq(value, SLICE("yes"));
		return true;
	}
	if (slice_eq(word, SLICE("sasl")) && value.n < sizeof(mechs)) {
		memcpy(mechs, value.p, value.n);
		mechs[value.n] = '\0';
		return true;
	}
	if (slice_eq(word, SLICE("unicode-type")) &&
	    value.n < sizeof(unicode_type)) {
		memcpy(unicode_type, value.p, value.n);
		unicode_type[value.n] = '\0';
		options.unicode_type =
		    slice_eq(value, SLICE("none")) ? "" : unicode_type;
		return true;
	}
	return false;
}

int
main(int argc, char **argv)
{
	static const char *const directories[] = { "pop3", NULL };
	static const struct maildir_worker w = { .directories = directories,
		.make = make,
		.fixture = fixture,
		.reset = reset };

	return maildir_worker_main(argc, argv, &w);
}
