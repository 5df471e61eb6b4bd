/* Transcripts of IMAP and POP3 before login, within the login process. */
#include <stdlib.h>
#include <string.h>

#include "protocols/imap/preauth.h"
#include "protocols/pop3/preauth.h"
#include "tests/support/preauth_login.h"
#include "tests/support/transcript.h"

/* The limits of docs/limits.md. */
static const struct preauth_options defaults = {
	.capability = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE",
	.capability_tls =
	    "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE AUTH=PLAIN",
	.greeting_name = "Postern",
	.offer_starttls = true,
	.line_max = 8192,
	.literal_max = 4096,
	.commands_max = 20,
};

static struct preauth_options options;
static bool is_pop3, tls, clear;
static struct preauth_login conns[TRANSCRIPT_CONNS];

static void
begin(const char *path)
{
	options = defaults;
	is_pop3 = strstr(path, "pop3") != NULL;
	if (is_pop3)
		options.capability = options.capability_tls = "";
	tls = false;
	clear = true;
}

static bool
fixture(struct slice word, struct slice value)
{
	bool yes = slice_eq(value, SLICE("yes"));

	if (!yes && !slice_eq(value, SLICE("no")))
		return false;
	if (slice_eq(word, SLICE("tls")))
		tls = yes;
	else if (slice_eq(word, SLICE("clear")))
		clear = yes;
	else if (slice_eq(word, SLICE("starttls")))
		options.offer_starttls = yes;
	else
		return false;
	return true;
}

static void
message(struct slice path, struct slice bytes)
{
	(void)path;
	(void)bytes;
	abort(); /* there is no mailbox before login */
}

static void
open_conn(int conn)
{
	preauth_login_init(&conns[conn],
	    is_pop3 ? pop3_preauth_new : imap_preauth_new, &options, tls, clear,
	    "PLAIN LOGIN");
}

static void
send_bytes(int conn, struct slice bytes)
{
	preauth_login_feed(&conns[conn], bytes);
}

static bool
act(int conn, struct slice words)
{
	struct preauth_login *l = &conns[conn];

	if (slice_eq(words, SLICE("tls")) && l->tls_begun)
		preauth_login_tls(l);
	else if (slice_eq(words, SLICE("end timeout")))
		preauth_login_end(l, PREAUTH_TIMEOUT);
	else if (slice_eq(words, SLICE("end shutdown")))
		preauth_login_end(l, PREAUTH_STOPPING);
	else
		return false;
	return true;
}

static struct buf *
output(int conn)
{
	return &conns[conn].record;
}

static bool
state(int conn, struct slice word)
{
	const struct preauth_login *l = &conns[conn];

	if (slice_eq(word, SLICE("close")))
		return l->closed;
	if (slice_eq(word, SLICE("tls")))
		return l->tls_begun;
	return slice_eq(word, SLICE("login")) && l->handed;
}

static void
end(void)
{
	for (int i = 0; i < TRANSCRIPT_CONNS; i++)
		preauth_login_fini(&conns[i]);
}

static const char *const directories[] = { "preauth-imap", "preauth-pop3",
	NULL };

static const struct transcript_driver driver = {
	.directories = directories,
	.begin = begin,
	.fixture = fixture,
	.message = message,
	.open = open_conn,
	.send = send_bytes,
	.act = act,
	.output = output,
	.state = state,
	.end = end,
};

int
main(int argc, char **argv)
{
	return transcript_main(argc, argv, &driver);
}
