#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/unit/consistency.h"

enum { OUTPUT = 8 * 1024 * 1024 };

bool
sync_one(void)
{
	struct sync_job **at = &syncs_held, *job;
	uint32_t n = 0;

	for (job = syncs_held; job != NULL; job = job->next)
		n++;
	if (n == 0)
		return false;
	for (n = dice(n); n > 0; n--)
		at = &(*at)->next;
	job = *at;
	*at = job->next;
	sync_job_do(job);
	return true;
}

static void
wake(void *arg)
{
	struct client *c = arg;

	c->woken = true;
}

void
open_client(struct client *c)
{
	struct session_peer peer = { .user = "alice",
		.client_addr = "::1",
		.client_port = 1,
		.local_addr = "::1",
		.local_port = 1,
		.tls = "",
		.ident = "consistency",
		.id = 1 };
	char *path = mem_printf("%s/Maildir", ck.root);

	buf_init(&c->to, OUTPUT);
	buf_init(&c->from, OUTPUT);
	c->s = imap_session_new(&imap_options_default, &peer,
	    account_get(ck.store, path, ""), "L", "LOGIN", clock_now());
	c->s->waker = (struct waker){ wake, c };
	c->last = STEP_YIELD;
	c->busy = c->idling = c->selected = c->woken = false;
	free(path);
}

void
close_client(struct client *c)
{
	if (c->s != NULL)
		c->s->ops->free(c->s);
	c->s = NULL;
	buf_fini(&c->to);
	buf_fini(&c->from);
}

void
run_client(struct client *c)
{
	struct session *s = c->s;
	bool run = c->woken || s->ops->deadline(s) <= clock_now();

	if (c->last == STEP_WAIT_INPUT && buf_len(&c->to) != 0) {
		struct slice in =
		    slice_first(buf_slice(&c->to), session_input_room(s));

		/* in pieces */
		if (dice(4) == 0)
			in = slice_first(in, 1 + dice(20));
		buf_put(&s->in, in);
		buf_drain(&c->to, in.n);
		run = true;
	}
	run = run || c->last == STEP_YIELD || c->last == STEP_NEXT ||
	    c->last == STEP_WAIT_OUTPUT;
	if (!run)
		return;
	c->woken = false;
	c->last = s->ops->run(s, clock_now(), clock_wall());
	take_output(c);
	if (c->last == STEP_DONE)
		fail(c, "the session has ended", SLICE(""));
}

void
watch(void)
{
	struct pollfd p = { .fd = store_watch_fd(ck.store), .events = POLLIN };

	if (p.fd >= 0 && poll(&p, 1, 0) > 0)
		store_on_watch(ck.store, clock_now());
}

/* --- commands ------------------------------------------------------------ */

void
say(struct client *c, const char *name, const char *fmt, ...)
{
	struct buf b;
	va_list ap;

	c->tag++;
	c->n_commands++;
	c->busy = true;
	for (uint32_t k = 0; k < c->n; k++)
		c->v[k].told = false;
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	buf_init(&b, 65536);
	buf_putf(&b, "a%u ", c->tag);
	va_start(ap, fmt);
	buf_vputf(&b, fmt, ap);
	va_end(ap);
	note(c, 'C', buf_slice(&b));
	buf_puts(&b, "\r\n");
	buf_put(&c->to, buf_slice(&b));
	buf_fini(&b);
}

static const char *const flag_words[] = { "\\Seen", "\\Flagged", "\\Answered",
	"\\Draft", "one", "two", "$Three" };

/* Some messages of the client's: as a set of numbers or UIDs, and their UIDs;
 * all must be known. */
static bool
some(struct client *c, bool uids, char *set, size_t size)
{
	uint32_t first, n;
	size_t at = 0;

	if (c->n == 0)
		return false;
	first = dice(c->n);
	n = 1 + dice(6);
	c->n_targets = 0;
	for (uint32_t k = first; k < c->n && k < first + n; k++) {
		if (c->v[k].uid == 0)
			break;
		if (dice(4) == 0 && k != first)
			continue;
		at += (size_t)snprintf(set + at, size - at, "%s%u",
		    at != 0 ? "," : "", uids ? c->v[k].uid : k + 1);
		c->targets[c->n_targets++] = c->v[k].uid;
	}
	return at != 0;
}

static void
say_store(struct client *c)
{
	char set[200], condition[64] = "";
	bool uids = dice(2) == 0;
	const char *a = flag_words[dice(7)], *b = flag_words[dice(7)];

	if (!some(c, uids, set, sizeof(set)))
		return;
	c->silent = dice(2) == 0;
	c->op = "+-="[dice(3)];
	c->uid_command = uids;
	(void)snprintf(c->op_flags, sizeof(c->op_flags), "%s %s", a, b);
	if (c->kind != PLAIN && dice(3) == 0)
		(void)snprintf(condition, sizeof(condition),
		    "(UNCHANGEDSINCE %llu) ", (unsigned long long)c->held);
	say(c, "STORE", "%sSTORE %s %s%sFLAGS%s (%s %s)", uids ? "UID " : "",
	    set, condition,
	    c->op == '+'       ? "+"
		: c->op == '-' ? "-"
			       : "",
	    c->silent ? ".SILENT" : "", a, b);
}

static void
say_expunge(struct client *c)
{
	char set[200];
	bool uids = dice(2) == 0;

	/* some first get \Deleted, and go with the next EXPUNGE */
	if (dice(2) == 0 || !some(c, true, set, sizeof(set))) {
		c->uid_command = false;
		say(c, "EXPUNGE", "EXPUNGE");
	} else if (uids) {
		c->uid_command = true;
		say(c, "EXPUNGE", "UID EXPUNGE %s", set);
	} else {
		c->silent = dice(2) == 0;
		c->op = '+';
		c->uid_command = true;
		(void)snprintf(c->op_flags, sizeof(c->op_flags), "\\Deleted");
		say(c, "STORE", "UID STORE %s +FLAGS%s (\\Deleted)", set,
		    c->silent ? ".SILENT" : "");
	}
}

static void
say_other(struct client *c)
{
	char set[200];
	bool uids = dice(2) == 0;

	c->uid_command = uids;
	switch (dice(10)) {
	case 0:
		c->uid_command = false;
		say(c, "IDLE", "IDLE");
		return;
	case 1:
	case 2:
		if (c->n < MESSAGES_MAX / 2 && some(c, uids, set, sizeof(set)))
			say(c, "COPY", "%sCOPY %s %s", uids ? "UID " : "", set,
			    dice(2) ? "INBOX" : "t");
		return;
	case 3:
		if (some(c, uids, set, sizeof(set)))
			say(c, "MOVE", "%sMOVE %s t", uids ? "UID " : "", set);
		return;
	case 4:
		say(c, "SEARCH", "%sSEARCH UNSEEN", uids ? "UID " : "");
		return;
	case 5:
		say(c, "SEARCH", "%sSEARCH RETURN (SAVE COUNT) NOT DELETED",
		    uids ? "UID " : "");
		return;
	case 6:
		say(c, "FETCH", "%sFETCH $ (UID FLAGS)", uids ? "UID " : "");
		return;
	case 7:
		if (c->n < MESSAGES_MAX / 2)
			say(c, "APPEND",
			    "APPEND INBOX (\\Seen) {6+}\r\nhello!");
		return;
	default:
		if (some(c, uids, set, sizeof(set)))
			say(c, "FETCH", "%sFETCH %s (UID FLAGS EMAILID)",
			    uids ? "UID " : "", set);
	}
}

static void
say_select(struct client *c)
{
	c->uid_command = false;
	c->selecting = true;
	c->told = 0;
	if (!c->lost) {
		c->n = 0;
		say(c, "SELECT", "SELECT INBOX%s",
		    c->kind == PLAIN ? "" : " (CONDSTORE)");
		return;
	}
	say(c, "SELECT", "SELECT INBOX (QRESYNC (%u %llu))", c->uidvalidity,
	    (unsigned long long)c->held);
}

void
say_list(struct client *c)
{
	c->listing = true;
	c->uid_command = false;
	say(c, "FETCH", "FETCH 1:* (UID FLAGS EMAILID%s)",
	    c->kind != PLAIN ? " MODSEQ" : "");
}

void
lose(struct client *c)
{
	uint32_t n = 0;

	close_client(c);
	c->told = 0; /* RFC 7162 6: it counts once a tagged response came */
	c->lost = c->kind == QRESYNC && c->selected;
	/* it has no cache of what it knows no UID or flags of */
	for (uint32_t k = 0; k < c->n && c->lost; k++)
		if (c->v[k].uid != 0 && c->v[k].flags[0] != '\0') {
			c->v[n] = c->v[k];
			/* of a STORE under way only that may be known */
			c->v[n++].modseq = 0;
		}
	c->n = n;
	open_client(c);
}

void
next_command(struct client *c)
{
	if (c->kind == QRESYNC && c->s->rcvd == 0) {
		c->s->rcvd = 1; /* nobody else counts */
		say(c, "ENABLE", "ENABLE QRESYNC");
		return;
	}
	if (!c->selected) {
		say_select(c);
		return;
	}
	if (c->lost) {
		/* resynchronised: numbers are those of a new FETCH */
		for (uint32_t k = 0; k < c->n; k++)
			c->v[k].told = false;
		return;
	}
	switch (dice(8)) {
	case 0:
	case 1:
	case 2:
		say_store(c);
		break;
	case 3:
		say_expunge(c);
		break;
	case 4:
		c->uid_command = false;
		say(c, "NOOP", "NOOP");
		break;
	case 5:
		say_list(c);
		break;
	default:
		say_other(c);
	}
}

void
finish_resync(struct client *c)
{
	static struct known before[MESSAGES_MAX];
	uint32_t n = c->n, at = 0;
	uint64_t held = c->held;

	memcpy(before, c->v, n * sizeof(before[0]));
	c->lost = false;
	for (c->n = 0; c->n < c->exists; c->n++)
		c->v[c->n] = (struct known){ .uid = 0 };
	say_list(c);
	while (c->busy) {
		run_client(c);
		(void)sync_one();
	}
	for (uint32_t k = 0; k < n; k++) {
		while (at < c->n && c->v[at].uid < before[k].uid)
			at++;
		if (at == c->n || c->v[at].uid != before[k].uid) {
			if (find_unknown(c, before[k].uid) != 0)
				continue;
			fail(c, "QRESYNC didn't tell of an expunge",
			    slice_str(before[k].flags));
		}
		if (c->v[at].modseq <= held &&
		    strcmp(c->v[at].flags, before[k].flags) != 0) {
			printf("UID %u is %s\n", before[k].uid, c->v[at].flags);
			fail(c, "QRESYNC didn't tell of flags",
			    slice_str(before[k].flags));
		}
	}
}
