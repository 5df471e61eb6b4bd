#include "tests/unit/imap_fixture.h"

#include "tests/support/quiet.h"

struct session *imap_client;
struct buf imap_said;

unsigned
imap_say(struct fixture *f, const char *line)
{
	enum step last = STEP_YIELD;
	unsigned n = 0;

	buf_put(&imap_client->in, slice_str(line));
	buf_puts(&imap_client->in, "\r\n");
	buf_reset(&imap_said);
	for (; last != STEP_WAIT_INPUT; n++) {
		last = imap_client->ops->run(imap_client, 5000, f->wall_ms);
		buf_put(&imap_said, buf_slice(&imap_client->out));
		buf_drain(&imap_client->out, buf_len(&imap_client->out));
	}
	return n;
}

int
imap_setup(void **state)
{
	const struct session_peer peer = { .user = "joe",
		.client_addr = "::ffff:192.0.2.7",
		.local_addr = "::1",
		.tls = "",
		.ident = "imapd" };
	int rc = fixture_setup(state);
	struct fixture *f = *state;

	if (rc != 0)
		return rc;
	quiet_log();
	buf_init(&imap_said, 1 << 20);
	assert_int_equal(account_open(f->account, NULL), 0);
	imap_client = imap_session_new(&imap_options_default, &peer,
	    account_get(f->store, f->path, ""), "L", "LOGIN", 5000);
	return 0;
}

int
imap_teardown(void **state)
{
	imap_client->ops->free(imap_client);
	buf_fini(&imap_said);
	log_set_sink(NULL, NULL);
	return fixture_teardown(state);
}
