/* A script that a real IMAP session carries out, command by command. */
#include <stdlib.h>

#include "base/mem.h"
#include "protocols/imap/session.h"
#include "tests/crash/script_impl.h"

enum { TURNS_MAX = 100000 };

struct client {
	struct world *w;
	struct session *s;
	struct buf said; /* by the server, since the last command */
	unsigned tag;
	char reply[200]; /* the tagged one, without its tag */
};

/* Let the session run until it wants to hear something. */
static void
run(struct client *c)
{
	for (int i = 0; c->s != NULL; i++) {
		enum step step =
		    c->s->ops->run(c->s, clock_now(), c->w->f->wall_ms);

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

static void
begin(struct client *c, struct world *w)
{
	static const struct session_peer peer = { .user = "alice",
		.client_addr = "::ffff:192.0.2.7",
		.local_addr = "::ffff:192.0.2.1",
		.tls = "",
		.ident = "imapd" };

	*c = (struct client){ .w = w };
	buf_init(&c->said, 1 << 20);
	c->s = imap_session_new(&imap_options_default, &peer,
	    account_get(w->f->store, w->f->path, w->f->quota), "L", "LOGIN",
	    clock_now());
	run(c);
}

static void
end(struct client *c)
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

/* Say a command; true: OK. */
static bool
say(struct client *c, const char *command)
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
	return world_done(c->w, code_of(c->reply));
}

static void
shown(struct client *c, const char *mailbox, uint32_t validity, uint32_t uid,
    const char *word, uint32_t flags)
{
	struct note n = { .kind = NOTE_SHOWN,
		.validity = validity,
		.uid = uid,
		.flags = flags };

	strcpy(n.mailbox, mailbox);
	strcpy(n.word, word);
	ledger_note(c->w->l, &n);
}

static void
append(
    struct client *c, const char *mailbox, const char *word, const char *second)
{
	char text[MESSAGE_BYTES + 1], *command;
	unsigned validity = 0, uid = 0;

	make_text(text, word);
	world_note(c->w, NOTE_FLIGHT, "", "", second != NULL ? 2 : 1, 0);
	command = mem_printf(
	    "APPEND %s (\\Flagged) {%d+}\r\n%s", mailbox, MESSAGE_BYTES, text);
	if (second != NULL) {
		char *one = command;

		make_text(text, second);
		command = mem_printf(
		    "%s (\\Flagged) {%d+}\r\n%s", one, MESSAGE_BYTES, text);
		free(one);
	}
	if (!say(c, command)) {
		world_note(c->w, NOTE_REFUSED, mailbox, word, 0, 0);
	} else if (sscanf(c->reply, "OK [APPENDUID %u %u", &validity, &uid) ==
	    2) {
		shown(c, mailbox, validity, uid, word, MESSAGE_FLAGGED);
		if (second != NULL)
			shown(c, mailbox, validity, uid + 1, second,
			    MESSAGE_FLAGGED);
		world_note(c->w, NOTE_FLIGHT, "", "", 0, 0);
	} else {
		fail_msg("no APPENDUID: %s", c->reply);
	}
	free(command);
}

/* UID COPY or UID MOVE of one from INBOX to INBOX.T. */
static void
copy(
    struct client *c, uint32_t uid, const char *word, bool move, uint32_t flags)
{
	char command[64];
	unsigned validity = 0, from = 0, to = 0;
	bool ok;

	world_note(c->w, NOTE_FLIGHT, "", "", 1, 0);
	if (move) {
		world_note(c->w, NOTE_MOVING, "", word, 0, 0);
		world_note(c->w, NOTE_LEAVING, "INBOX", "", uid, 0);
	}
	(void)snprintf(command, sizeof(command), "UID %s %u INBOX.T",
	    move ? "MOVE" : "COPY", uid);
	ok = say(c, command);
	if (ok) {
		const char *code = strstr(buf_cstr(&c->said), "[COPYUID ");

		if (code == NULL ||
		    sscanf(code, "[COPYUID %u %u %u", &validity, &from, &to) !=
			3)
			fail_msg("no COPYUID: %s", c->reply);
		shown(c, "INBOX.T", validity, to, word, flags);
		if (move)
			world_note(c->w, NOTE_GONE, "INBOX", "", uid, 0);
		world_note(c->w, NOTE_FLIGHT, "", "", 0, 0);
	} else if (!move) {
		world_note(c->w, NOTE_REFUSED, "INBOX.T", word, 0, 0);
	}
	world_note(c->w, NOTE_MOVED, "", "", 0, 0);
}

static void
run_imap(struct world *w)
{
	struct client c;
	uint32_t flags = 0;

	begin(&c, w);
	/* what follows needs it; the ledger goes on without */
	if (!say(&c, "SELECT INBOX") && !say(&c, "SELECT INBOX"))
		goto out;
	append(&c, "INBOX", "append1", NULL);
	world_note(w, NOTE_STORING, "INBOX", "", 1, MESSAGE_ANSWERED);
	if (say(&c, "UID STORE 1 +FLAGS (\\Answered)")) {
		world_note(w, NOTE_STORED, "INBOX", "", 1, MESSAGE_ANSWERED);
		flags = MESSAGE_ANSWERED;
	}
	copy(&c, 1, "mail1", false, flags);
	copy(&c, 2, "mail2", true, 0);
	append(&c, "INBOX.T", "multi1", "multi2");
	world_note(w, NOTE_STORING, "INBOX", "", 1, MESSAGE_DELETED);
	world_note(w, NOTE_FLIGHT, "", "", 1, 0);
	if (say(&c, "UID STORE 1 +FLAGS.SILENT (\\Deleted)")) {
		world_note(w, NOTE_LEAVING, "INBOX", "", 1, 0);
		if (say(&c, "UID EXPUNGE 1"))
			world_note(w, NOTE_GONE, "INBOX", "", 1, 0);
	}
	if (say(&c, "CREATE INBOX.N"))
		world_note(w, NOTE_CREATED, "INBOX.N", "", 0, 0);
	if (say(&c, "SUBSCRIBE INBOX.T"))
		world_note(w, NOTE_SUBSCRIBED, "INBOX.T", "", 0, 0);
	(void)say(&c, "STATUS INBOX.T (MESSAGES UNSEEN)");
	(void)say(&c, "LOGOUT");
out:
	end(&c);
}

const struct script script_imap = { "imap", world_some_mail, run_imap, NULL,
	false };
