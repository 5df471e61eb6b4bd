#include "tests/crash/client.h"

#include <stdlib.h>

enum { TURNS_MAX = 100000 };

/* Let the session run until it wants to hear something. */
static void
run(struct client *c)
{
	for (int i = 0; c->s != NULL; i++) {
		enum step step =
		    c->s->ops->run(c->s, clock_now(), c->f->wall_ms);

		assert_true(i < TURNS_MAX);
		buf_put(&c->said, buf_slice(&c->s->out));
		buf_drain(&c->s->out, buf_len(&c->s->out));
		if (step == STEP_DONE)
			c->s->ops->free(c->s);
		if (step == STEP_DONE)
			c->s = NULL;
		if (step == STEP_WAIT_INPUT && buf_len(&c->s->in) == 0)
			return;
	}
}

void
client_begin(struct client *c, struct fixture *f)
{
	static const struct session_peer peer = { .user = "alice",
		.client_addr = "::ffff:192.0.2.7",
		.local_addr = "::ffff:192.0.2.1",
		.tls = "",
		.ident = "imapd" };

	*c = (struct client){ .f = f };
	buf_init(&c->said, 1 << 20);
	c->s = imap_session_new(&imap_options_default, &peer,
	    account_get(f->store, f->path, f->quota), "L", "LOGIN",
	    clock_now());
	run(c);
}

void
client_end(struct client *c)
{
	if (c->s != NULL)
		c->s->ops->free(c->s);
	buf_fini(&c->said);
}

/* ERR_* that a reply stands for; 0: OK. */
static int
code_of(const char *reply)
{
	static const struct {
		const char *code;
		int rc;
	} codes[] = { { "[UNAVAILABLE] No space", ERR_SPACE },
		{ "[UNAVAILABLE]", ERR_TEMPORARY },
		{ "[CONTACTADMIN]", ERR_SYS }, { "[LIMIT]", ERR_LIMIT },
		{ "[OVERQUOTA]", ERR_QUOTA }, { "[NOPERM]", ERR_DENIED },
		{ "[INUSE]", ERR_BUSY }, { "[CORRUPTION]", ERR_DAMAGED },
		{ "[NONEXISTENT]", ERR_NOT_FOUND },
		{ "[EXPUNGEISSUED]", ERR_STALE },
		{ "[TRYCREATE]", ERR_NOT_FOUND },
		{ "[ALREADYEXISTS]", ERR_EXISTS } };

	if (strncmp(reply, "OK", 2) == 0)
		return 0;
	for (size_t i = 0; i < NELEMS(codes); i++)
		if (strncmp(reply, "NO ", 3) == 0 &&
		    strncmp(reply + 3, codes[i].code, strlen(codes[i].code)) ==
			0)
			return codes[i].rc;
	/* no code, or one that doesn't fit; BAD; nothing at all */
	return ERR_FORMAT;
}

int
client_say(struct client *c, const char *command)
{
	char tag[16];
	struct slice rest, line;

	(void)snprintf(tag, sizeof(tag), "A%u ", ++c->tag);
	buf_reset(&c->said);
	c->reply[0] = '\0';
	if (c->s != NULL) {
		buf_puts(&c->s->in, tag);
		buf_puts(&c->s->in, command);
		buf_puts(&c->s->in, "\r\n");
	}
	run(c);
	rest = buf_slice(&c->said);
	while (slice_split(&rest, '\n', &line))
		if (slice_starts(line, slice_str(tag)))
			(void)snprintf(c->reply, sizeof(c->reply), "%.*s",
			    SLICE_ARG(slice_skip(line, strlen(tag))));
	if (getenv("CRASH_TRACE") != NULL)
		(void)fprintf(stderr, "C: %.60s\nS: %s\n", command, c->reply);
	return code_of(c->reply);
}
