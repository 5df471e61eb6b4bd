/* A script that a real IMAP session carries out, command by command. */
#include <stdlib.h>

#include "base/mem.h"
#include "tests/crash/client.h"
#include "tests/crash/script_impl.h"

struct talk {
	struct world *w;
	struct client c;
};

/* True: OK; else the refusal is noted. */
static bool
say_noted(struct talk *c, const char *command)
{
	return world_done(c->w, client_say(&c->c, command));
}

static void
shown(struct talk *c, const char *mailbox, uint32_t validity, uint32_t uid,
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
    struct talk *c, const char *mailbox, const char *word, const char *second)
{
	char text[MESSAGE_BYTES + 1], *command;
	unsigned validity = 0, uid = 0;

	make_text(text, word);
	world_note(c->w, NOTE_FLIGHT, "", "", second != NULL ? 2 : 1, 0);
	command = mem_printf(
	    "APPEND %s (\\Flagged) {%d+}\r\n%s", mailbox, MESSAGE_BYTES, text);
	if (second != NULL) {
		char *one = command;

		world_note(c->w, NOTE_TOGETHER, mailbox, "multi", 2, 0);
		make_text(text, second);
		command = mem_printf(
		    "%s (\\Flagged) {%d+}\r\n%s", one, MESSAGE_BYTES, text);
		free(one);
	}
	if (!say_noted(c, command)) {
		world_note(c->w, NOTE_REFUSED, mailbox, word, 0, 0);
	} else if (sscanf(c->c.reply, "OK [APPENDUID %u %u", &validity, &uid) ==
	    2) {
		shown(c, mailbox, validity, uid, word, MESSAGE_FLAGGED);
		if (second != NULL)
			shown(c, mailbox, validity, uid + 1, second,
			    MESSAGE_FLAGGED);
		world_note(c->w, NOTE_FLIGHT, "", "", 0, 0);
	} else {
		fail_msg("no APPENDUID: %s", c->c.reply);
	}
	free(command);
}

/* UID COPY or UID MOVE of one from INBOX to INBOX.T; maybe: of these flags,
 * those that its file has got before the STORE failed. */
static void
copy(struct talk *c, uint32_t uid, const char *word, bool move, uint32_t flags,
    uint32_t maybe)
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
	ok = say_noted(c, command);
	if (ok) {
		const char *code = strstr(buf_cstr(&c->c.said), "[COPYUID ");

		if (code == NULL ||
		    sscanf(code, "[COPYUID %u %u %u", &validity, &from, &to) !=
			3)
			fail_msg("no COPYUID: %s", c->c.reply);
		shown(c, "INBOX.T", validity, to, word, flags);
		world_note(c->w, NOTE_STORING, "INBOX.T", "", to, maybe);
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
	struct talk c = { .w = w };
	uint32_t flags = 0;

	client_begin(&c.c, w->f);
	/* what follows needs it; the ledger goes on without */
	if (!say_noted(&c, "SELECT INBOX") && !say_noted(&c, "SELECT INBOX"))
		goto out;
	append(&c, "INBOX", "append1", NULL);
	world_note(w, NOTE_STORING, "INBOX", "", 1, MESSAGE_ANSWERED);
	if (say_noted(&c, "UID STORE 1 +FLAGS (\\Answered)")) {
		world_note(w, NOTE_STORED, "INBOX", "", 1, MESSAGE_ANSWERED);
		flags = MESSAGE_ANSWERED;
	}
	copy(&c, 1, "mail1", false, flags, flags ^ MESSAGE_ANSWERED);
	copy(&c, 2, "mail2", true, 0, 0);
	append(&c, "INBOX.T", "multi1", "multi2");
	world_note(w, NOTE_STORING, "INBOX", "", 1, MESSAGE_DELETED);
	world_note(w, NOTE_FLIGHT, "", "", 1, 0);
	if (say_noted(&c, "UID STORE 1 +FLAGS.SILENT (\\Deleted)")) {
		world_note(w, NOTE_LEAVING, "INBOX", "", 1, 0);
		if (say_noted(&c, "UID EXPUNGE 1"))
			world_note(w, NOTE_GONE, "INBOX", "", 1, 0);
	}
	if (say_noted(&c, "CREATE INBOX.N"))
		world_note(w, NOTE_CREATED, "INBOX.N", "", 0, 0);
	if (say_noted(&c, "SUBSCRIBE INBOX.T"))
		world_note(w, NOTE_SUBSCRIBED, "INBOX.T", "", 0, 0);
	(void)say_noted(&c, "STATUS INBOX.T (MESSAGES UNSEEN)");
	(void)say_noted(&c, "LOGOUT");
out:
	client_end(&c.c);
}

const struct script script_imap = { "imap", world_some_mail, run_imap, NULL,
	false };
