/*
 * Many sessions change one mailbox at random, beside a delivering MTA and a
 * program that renames and removes files; each session's view is checked
 * against the rules, and at times against what is there.
 *
 * A client here is a model of what RFC 3501 and RFC 7162 let a client know: it
 * keeps for each sequence number the UID and the flags it was told of, applies
 * its own STORE .SILENT, holds HIGHESTMODSEQ as section 6 says, and at times
 * loses its connection in the middle of everything and comes back by SELECT
 * (QRESYNC …) or with a full FETCH.
 *
 * Checked with each response: EXPUNGE and VANISHED only where they may come and
 * of what is there; EXISTS never shrinks; a FETCH has the UID that its number
 * had; a UID has one EMAILID for ever, and never comes back; mod-sequences
 * never fall, and grow with each change of flags.  Checked when all is quiet:
 * what each client believes is what a FETCH of all says, what all the others
 * see, and what the files' names say.
 *
 * Sessions run slice by slice in an order that a seed gives, and so do the
 * syncs they wait for.  POSTERN_LONG: for an hour.  Arguments: a seed, for a
 * long run; or the first and the last of many short ones.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/syncer.h"
#include "maildir/account_change.h"
#include "protocols/imap/session.h"

enum {
	N_CLIENTS = 5,
	MESSAGES_MAX = 400,
	UIDS_MAX = 100000,
	FLAGS_TEXT = 200,
	OUTPUT = 8 * 1024 * 1024,
	TRACE_LINES = 1000,
	SHORT_TURNS = 12000,
};

struct known {
	uint32_t uid;		/* 0: not known */
	char flags[FLAGS_TEXT]; /* "": not known */
	uint64_t modseq;
	bool told; /* in the command under way */
};

enum kind { PLAIN, CONDSTORE, QRESYNC };

struct client {
	struct session *s;
	struct buf to, from;
	enum step last;
	bool woken;
	enum kind kind;
	unsigned tag, n_commands;
	bool busy, idling, quiet;
	/* the command under way */
	char name[32];
	bool uid_command, silent, selecting, listing;
	int op; /* '+', '-', '=' of a STORE */
	char op_flags[FLAGS_TEXT];
	uint32_t *targets;
	size_t n_targets;
	/* what it knows */
	bool selected;
	struct known v[MESSAGES_MAX];
	uint32_t n, exists;
	uint32_t uidvalidity;
	uint64_t held, told; /* HIGHESTMODSEQ */
	bool lost;	     /* reconnecting with what it knew */
};

static struct client clients[N_CLIENTS];
static struct store *store;
static struct sync_job *jobs;
static char *root;
static uint64_t random_state;
static unsigned seed, turn_no, serial;
static char email_ids[UIDS_MAX][24];
static bool gone[UIDS_MAX];
static uint64_t modseqs[UIDS_MAX];
static char trace[TRACE_LINES][300];
static unsigned n_trace;

static uint32_t
dice(uint32_t n)
{
	random_state =
	    random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((random_state >> 33) % n);
}

static void
note(const struct client *c, char who, struct slice line)
{
	(void)snprintf(trace[n_trace++ % TRACE_LINES], sizeof(trace[0]),
	    "%d%c %.*s", (int)(c - clients), who,
	    SLICE_ARG(slice_first(line, 250)));
}

static void
fail(const struct client *c, const char *what, struct slice line)
{
	for (unsigned k = n_trace < TRACE_LINES ? 0 : n_trace - TRACE_LINES;
	     k < n_trace; k++)
		printf("  %s\n", trace[k % TRACE_LINES]);
	printf("not ok: seed %u turn %u client %d: %s: %.*s\n", seed, turn_no,
	    c != NULL ? (int)(c - clients) : -1, what, SLICE_ARG(line));
	exit(1);
}

/* --- flags ---------------------------------------------------------------- */

static int
order_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Words in order, each once, without \Recent; the words of drop are left out.
 * "()" stands for none, as "" is unknown. */
static void
put_flags(char *out, const char *a, const char *b, const char *drop)
{
	char copy[3 * FLAGS_TEXT], *words[64], *save, *w;
	char dropped[FLAGS_TEXT + 2];
	size_t n = 0, at = 0;

	(void)snprintf(copy, sizeof(copy), "%s %s", a, b);
	(void)snprintf(dropped, sizeof(dropped), " %s ", drop);
	for (w = strtok_r(copy, " ()", &save); w != NULL && n < 64;
	     w = strtok_r(NULL, " ()", &save)) {
		char find[FLAGS_TEXT];

		(void)snprintf(find, sizeof(find), " %s ", w);
		if (strcmp(w, "\\Recent") != 0 && strstr(dropped, find) == NULL)
			words[n++] = w;
	}
	qsort(words, n, sizeof(words[0]), order_words);
	at = (size_t)snprintf(out, FLAGS_TEXT, "(");
	for (size_t k = 0; k < n; k++)
		if (k == 0 || strcmp(words[k], words[k - 1]) != 0)
			at += (size_t)snprintf(out + at, FLAGS_TEXT - at,
			    "%s%s", at > 1 ? " " : "", words[k]);
	(void)snprintf(out + at, FLAGS_TEXT - at, ")");
}

/* --- what a client is told ----------------------------------------------- */

static void
remove_at(struct client *c, uint32_t seq, struct slice line)
{
	if (seq == 0 || seq > c->n)
		fail(c, "EXPUNGE of what isn't there", line);
	if (c->v[seq - 1].uid != 0)
		gone[c->v[seq - 1].uid] = true;
	c->n--;
	memmove(&c->v[seq - 1], &c->v[seq], (c->n - seq + 1) * sizeof(c->v[0]));
}

static void
check_may_expunge(struct client *c, struct slice line)
{
	bool may = c->busy &&
	    (c->uid_command ||
		(strcmp(c->name, "FETCH") != 0 &&
		    strcmp(c->name, "STORE") != 0 &&
		    strcmp(c->name, "SEARCH") != 0));

	if (!may)
		fail(c, "EXPUNGE where it may not come", line);
}

static uint32_t
find_uid(const struct client *c, uint32_t uid)
{
	for (uint32_t k = 0; k < c->n; k++)
		if (c->v[k].uid == uid)
			return k + 1;
	return 0;
}

/* A message whose UID the client hasn't been told, where that UID must be; of
 * several it is the same which. */
static uint32_t
find_unknown(const struct client *c, uint32_t uid)
{
	uint32_t unknown = 0;

	for (uint32_t k = 0; k < c->n; k++) {
		if (c->v[k].uid == 0)
			unknown = k + 1;
		else if (c->v[k].uid > uid)
			break;
		else
			unknown = 0;
	}
	return unknown;
}

static void
on_vanished(struct client *c, const char *text, struct slice line)
{
	bool earlier = strncmp(text, "(EARLIER) ", 10) == 0;
	char *end;

	if (c->kind != QRESYNC)
		fail(c, "VANISHED isn't enabled", line);
	text += earlier ? 10 : 0;
	if (!earlier)
		check_may_expunge(c, line);
	while (*text != '\0') {
		uint32_t from = (uint32_t)strtoul(text, &end, 10), to = from;

		if (*end == ':')
			to = (uint32_t)strtoul(end + 1, &end, 10);
		for (uint32_t uid = from; uid <= to && uid < UIDS_MAX; uid++) {
			uint32_t seq = find_uid(c, uid);

			if (seq == 0 && !earlier)
				seq = find_unknown(c, uid);
			if (seq == 0 && !earlier)
				fail(c, "VANISHED of what isn't there", line);
			if (seq != 0 && (!earlier || c->lost))
				remove_at(c, seq, line);
		}
		text = *end == ',' ? end + 1 : end;
		if (*end != ',' && *end != '\0')
			fail(c, "VANISHED with what", line);
	}
}

static void
on_exists(struct client *c, uint32_t n, struct slice line)
{
	c->exists = n;
	if (c->lost) /* it knows UIDs only */
		return;
	if (n < c->n || n > MESSAGES_MAX)
		fail(c, "EXISTS shrinks", line);
	for (; c->n < n; c->n++)
		c->v[c->n] = (struct known){ .uid = 0 };
}

static void
learn_uid(struct client *c, struct known *k, uint32_t uid, struct slice line)
{
	if (uid == 0 || uid >= UIDS_MAX)
		fail(c, "a strange UID", line);
	if (k->uid != 0 && k->uid != uid)
		fail(c, "the number is another message's", line);
	k->uid = uid;
}

static void
on_fetch(struct client *c, uint32_t seq, const char *text, struct slice line)
{
	const char *at = strstr(text, "UID ");
	uint32_t uid = at != NULL ? (uint32_t)strtoul(at + 4, NULL, 10) : 0;
	struct known *k;
	char flags[FLAGS_TEXT];
	uint64_t modseq = 0;

	/* until it has resynchronised it knows UIDs only */
	if (c->lost) {
		seq = find_uid(c, uid);
		if (seq == 0)
			return; /* new to it */
	}
	if (seq == 0 || seq > c->n)
		fail(c, "FETCH of what isn't there", line);
	k = &c->v[seq - 1];
	if (at != NULL)
		learn_uid(c, k, uid, line);
	if ((at = strstr(text, "EMAILID (")) != NULL && k->uid != 0) {
		char *known = email_ids[k->uid];

		if (known[0] == '\0')
			(void)snprintf(known, 18, "%.17s", at + 9);
		if (strncmp(known, at + 9, 17) != 0)
			fail(c, "the UID is another message's", line);
		if (gone[k->uid] && c->quiet)
			fail(c, "an expunged UID is back", line);
	}
	if ((at = strstr(text, "MODSEQ (")) != NULL) {
		modseq = strtoull(at + 8, NULL, 10);
		if (modseq > c->told)
			c->told = modseq;
		if (k->uid != 0 && modseq < modseqs[k->uid] && c->quiet)
			fail(c, "the mod-sequence has fallen", line);
		if (k->uid != 0 && modseq > modseqs[k->uid])
			modseqs[k->uid] = modseq;
	} else if (c->kind != PLAIN && !c->listing &&
	    strcmp(c->name, "FETCH") != 0) {
		fail(c, "no MODSEQ", line);
	}
	if ((at = strstr(text, "FLAGS (")) == NULL) {
		k->modseq = modseq != 0 ? modseq : k->modseq;
		return;
	}
	{
		char list[FLAGS_TEXT];
		const char *end = strchr(at, ')');

		(void)snprintf(
		    list, sizeof(list), "%.*s", (int)(end - at - 7), at + 7);
		put_flags(flags, list, "", "");
	}
	/* the same mod-sequence can't mean other flags */
	if (modseq != 0 && modseq == k->modseq && k->flags[0] != '\0' &&
	    !(c->busy && strcmp(c->name, "STORE") == 0) &&
	    strcmp(k->flags, flags) != 0)
		fail(c, k->flags, line);
	if (c->quiet && k->flags[0] != '\0' && strcmp(k->flags, flags) != 0)
		fail(c, k->flags, line);
	(void)snprintf(k->flags, sizeof(k->flags), "%s", flags);
	k->modseq = modseq != 0 ? modseq : k->modseq;
	k->told = true;
}

/* What a STORE that was OK has made of the flags, as the client must think;
 * those that failed UNCHANGEDSINCE have been told. */
static void
apply_store(struct client *c)
{
	for (size_t t = 0; t < c->n_targets; t++) {
		uint32_t seq = find_uid(c, c->targets[t]);
		struct known *k;

		if (seq == 0)
			continue;
		k = &c->v[seq - 1];
		if (k->told || k->flags[0] == '\0')
			continue;
		if (c->op == '+')
			put_flags(k->flags, k->flags, c->op_flags, "");
		else if (c->op == '-')
			put_flags(k->flags, k->flags, "", c->op_flags);
		else
			put_flags(k->flags, c->op_flags, "", "");
	}
}

static void
on_tagged(struct client *c, const char *text, struct slice line)
{
	const char *code = strstr(text, "[HIGHESTMODSEQ ");

	if (strncmp(text, "BAD", 3) == 0)
		fail(c, "BAD", line);
	if (strcmp(c->name, "STORE") == 0 && c->silent &&
	    strncmp(text, "OK", 2) == 0)
		apply_store(c);
	if (code != NULL)
		c->held = strtoull(code + 15, NULL, 10);
	else if (c->told > c->held)
		c->held = c->told;
	c->told = 0;
	if (strcmp(c->name, "SELECT") == 0) {
		if (strncmp(text, "OK", 2) != 0)
			fail(c, "SELECT", line);
		c->selected = true;
		c->selecting = false;
	}
	c->busy = c->idling = c->listing = false;
}

static void
on_line(struct client *c, struct slice line)
{
	char text[4096], tag[16], *end;
	unsigned long n;

	note(c, 'S', line);
	(void)snprintf(text, sizeof(text), "%.*s", SLICE_ARG(line));
	(void)snprintf(tag, sizeof(tag), "a%u ", c->tag);
	if (strncmp(text, tag, strlen(tag)) == 0) {
		on_tagged(c, text + strlen(tag), line);
		return;
	}
	if (text[0] == '+') {
		c->idling = true;
		return;
	}
	if (strncmp(text, "* ", 2) != 0) {
		if (strncmp(text, "L OK", 4) != 0)
			fail(c, "what is this", line);
		return;
	}
	if (strncmp(text, "* BYE", 5) == 0)
		fail(c, "BYE", line);
	if (strncmp(text, "* OK [HIGHESTMODSEQ ", 20) == 0) {
		c->held = strtoull(text + 20, NULL, 10);
		c->told = 0;
	}
	if (strncmp(text, "* OK [UIDVALIDITY ", 18) == 0)
		c->uidvalidity = (uint32_t)strtoul(text + 18, NULL, 10);
	if (strncmp(text, "* VANISHED ", 11) == 0)
		on_vanished(c, text + 11, line);
	n = strtoul(text + 2, &end, 10);
	if (end == text + 2)
		return;
	if (strcmp(end, " EXPUNGE") == 0) {
		if (c->kind == QRESYNC)
			fail(c, "EXPUNGE instead of VANISHED", line);
		check_may_expunge(c, line);
		remove_at(c, (uint32_t)n, line);
	} else if (strcmp(end, " EXISTS") == 0) {
		on_exists(c, (uint32_t)n, line);
	} else if (strncmp(end, " FETCH (", 8) == 0) {
		on_fetch(c, (uint32_t)n, end + 7, line);
	}
}

static void
take_output(struct client *c)
{
	struct slice out, line;

	buf_put(&c->from, buf_slice(&c->s->out));
	buf_drain(&c->s->out, buf_len(&c->s->out));
	for (;;) {
		size_t lf;

		out = buf_slice(&c->from);
		lf = slice_find(out, '\n');
		if (lf == out.n)
			return;
		line = slice_first(out, lf);
		if (slice_ends(line, SLICE("\r")))
			line.n--;
		on_line(c, line);
		buf_drain(&c->from, lf + 1);
	}
}

/* --- the machine --------------------------------------------------------- */

static void
hold_back(struct syncer *self, struct sync_job *job)
{
	struct sync_job **end = &jobs;

	(void)self;
	while (*end != NULL)
		end = &(*end)->next;
	job->next = NULL;
	*end = job;
}

static struct syncer syncer = { hold_back };

/* One of those that wait, whichever. */
static void
sync_one(void)
{
	struct sync_job **at = &jobs, *job;
	uint32_t n = 0;

	for (job = jobs; job != NULL; job = job->next)
		n++;
	if (n == 0)
		return;
	for (n = dice(n); n > 0; n--)
		at = &(*at)->next;
	job = *at;
	*at = job->next;
	sync_job_do(job);
}

static void
wake(void *arg)
{
	struct client *c = arg;

	c->woken = true;
}

static const struct imap_options *options;

static void
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
	char *path = mem_printf("%s/Maildir", root);

	buf_init(&c->to, OUTPUT);
	buf_init(&c->from, OUTPUT);
	c->s = imap_session_new(options, &peer, account_get(store, path, ""),
	    "L", "LOGIN", clock_now());
	c->s->waker = (struct waker){ wake, c };
	c->last = STEP_YIELD;
	c->busy = c->idling = c->selected = c->woken = false;
	free(path);
}

static void
close_client(struct client *c)
{
	if (c->s != NULL)
		c->s->ops->free(c->s);
	c->s = NULL;
	buf_fini(&c->to);
	buf_fini(&c->from);
}

static void
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

static void
watch(void)
{
	struct pollfd p = { .fd = store_watch_fd(store), .events = POLLIN };

	if (p.fd >= 0 && poll(&p, 1, 0) > 0)
		store_on_watch(store, clock_now());
}

/* --- commands ------------------------------------------------------------ */

static void say(struct client *c, const char *name, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

static void
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

/* All that is there; what the client knows must be part of it. */
static void
say_list(struct client *c)
{
	c->listing = true;
	c->uid_command = false;
	say(c, "FETCH", "FETCH 1:* (UID FLAGS EMAILID%s)",
	    c->kind != PLAIN ? " MODSEQ" : "");
}

/* The connection is lost; what a client with a cache does then. */
static void
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

static void
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

/* After SELECT (QRESYNC): compare with a full list, by UID.  Others may have
 * been at work since: what they did has a higher mod-sequence than the one that
 * SELECT gave, and of what they removed the list may have nothing. */
static void
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
		sync_one();
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

/* --- other programs ------------------------------------------------------ */

static void
deliver(void)
{
	char *tmp = mem_printf("%s/Maildir/tmp/d", root);
	char *to = mem_printf(
	    "%s/Maildir/new/%u.M%uP9.mta", root, 1700000000 + serial, serial);
	FILE *f = fopen(tmp, "w");

	serial++;
	if (f == NULL || fprintf(f, "Subject: %u\n\nx\n", serial) < 0 ||
	    fclose(f) != 0 || rename(tmp, to) != 0)
		fail(NULL, "deliver", slice_str(to));
	free(tmp);
	free(to);
}

/* Another program changes flags, or removes. */
static void
meddle(void)
{
	char *dir = mem_printf("%s/Maildir/cur", root), *from, *to, *info;
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort), at;

	if (n <= 2) {
		for (int k = 0; k < n; k++)
			free(names[k]);
		free(names);
		free(dir);
		return;
	}
	at = 2 + (int)dice((uint32_t)n - 2);
	from = mem_printf("%s/%s", dir, names[at]->d_name);
	to = mem_strdup(from);
	info = strstr(to, ":2,");
	if (dice(6) == 0) {
		(void)unlink(from);
	} else if (info != NULL) {
		static const char *const sets[] = { "", "S", "F", "RS", "DF" };

		char *target;

		info[3] = '\0';
		target = mem_printf("%s%s", to, sets[dice(NELEMS(sets))]);
		(void)rename(from, target);
		free(target);
	}
	for (int k = 0; k < n; k++)
		free(names[k]);
	free(names);
	free(from);
	free(to);
	free(dir);
}

/* --- the checks ---------------------------------------------------------- */

static void
finish_all(void)
{
	for (unsigned k = 0, busy = 1; busy != 0; k++) {
		busy = 0;
		if (k > 1000000)
			fail(NULL, "a command never ends", SLICE(""));
		for (struct client *c = clients; c < clients + N_CLIENTS; c++) {
			if (c->idling) {
				c->idling = false;
				note(c, 'C', SLICE("DONE"));
				buf_puts(&c->to, "DONE\r\n");
			}
			busy += c->busy;
			run_client(c);
		}
		watch();
		sync_one();
	}
}

static void
each(void (*fn)(struct client *))
{
	for (struct client *c = clients; c < clients + N_CLIENTS; c++)
		if (c->selected && !c->lost)
			fn(c);
	finish_all();
}

static void
say_noop(struct client *c)
{
	c->uid_command = false;
	say(c, "NOOP", "NOOP");
}

static unsigned
count_files(const char *sub)
{
	char *dir = mem_printf("%s/Maildir/%s", root, sub);
	struct dirent **names;
	int n = scandir(dir, &names, NULL, NULL);

	for (int k = 0; k < n; k++)
		free(names[k]);
	free(names);
	free(dir);
	return (unsigned)n - 2;
}

static void
check_all(void)
{
	const struct client *first = NULL;

	finish_all();
	for (int k = 0; k < 3; k++)
		each(say_noop);
	for (struct client *c = clients; c < clients + N_CLIENTS; c++)
		c->quiet = true;
	each(say_list);
	for (struct client *c = clients; c < clients + N_CLIENTS; c++) {
		c->quiet = false;
		if (!c->selected || c->lost)
			continue;
		if (first == NULL)
			first = c;
		if (c->n != count_files("cur") + count_files("new"))
			fail(c, "not what is on disk", SLICE(""));
		if (c->n != first->n)
			fail(c, "another number of messages", SLICE(""));
		for (uint32_t k = 0; k < c->n; k++)
			if (c->v[k].uid != first->v[k].uid ||
			    strcmp(c->v[k].flags, first->v[k].flags) != 0)
				fail(c, "another message", SLICE(""));
		if (c->kind != PLAIN && c->held != first->held &&
		    first->kind != PLAIN && c->held < first->held &&
		    c->kind == QRESYNC)
			fail(c, "another HIGHESTMODSEQ", SLICE(""));
	}
}

static void
one_turn(void)
{
	struct client *c = &clients[dice(N_CLIENTS)];

	run_client(c);
	if (dice(3) == 0)
		sync_one();
	if (dice(20) == 0)
		watch();
	if (dice(60) == 0 && count_files("cur") < MESSAGES_MAX / 3)
		deliver();
	if (dice(80) == 0)
		meddle();
	if (dice(700) == 0)
		lose(c);
	if (c->idling && dice(10) == 0) {
		c->idling = false;
		note(c, 'C', SLICE("DONE"));
		buf_puts(&c->to, "DONE\r\n");
	} else if (!c->busy && c->lost && c->selected) {
		finish_resync(c);
	} else if (!c->busy) {
		next_command(c);
	}
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *w)
{
	(void)st;
	(void)type;
	(void)w;
	return remove(path);
}

static void
make_mailbox(struct account *a)
{
	struct account_change *c = account_create(a, SLICE("INBOX.t"));
	int rc = 0;

	while (
	    account_change_step(c, (struct waker){ 0 }, &rc, NULL) != STEP_DONE)
		sync_one();
	account_change_free(&c);
	if (rc != 0)
		exit(1);
}

static void
run_seed(unsigned number, unsigned turns)
{
	char template[] = "/tmp/postern-consistency.XXXXXX";
	struct store_options opt = { .hostname = "test.example",
		.syncer = &syncer,
		.quiet_ms = 60 * 1000,
		.poll_ms = 30 * 1000,
		.open_max = 10,
		.umask = 077 };
	struct account *a;
	char *path;

	seed = number;
	random_state = number * 7919u + 1;
	memset(email_ids, 0, sizeof(email_ids));
	memset(gone, 0, sizeof(gone));
	memset(modseqs, 0, sizeof(modseqs));
	if (mkdtemp(template) == NULL)
		exit(1);
	root = template;
	store = store_new(&opt);
	path = mem_printf("%s/Maildir", root);
	a = account_get(store, path, "");
	make_mailbox(a);
	account_release(&a);
	free(path);
	for (int k = 0; k < 20; k++)
		deliver();
	for (size_t k = 0; k < N_CLIENTS; k++) {
		clients[k] = (struct client){ .kind = (enum kind)(k % 3) };
		clients[k].targets = mem_alloc(16 * sizeof(uint32_t));
		open_client(&clients[k]);
	}
	for (turn_no = 0; turn_no < turns; turn_no++) {
		one_turn();
		if (turn_no % 1500 == 1499)
			check_all();
	}
	finish_all();
	for (size_t k = 0; k < N_CLIENTS; k++) {
		close_client(&clients[k]);
		free(clients[k].targets);
	}
	while (jobs != NULL)
		sync_one();
	store_free(&store);
	(void)nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void
quiet(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	if (level <= LOG_LEVEL_ERROR)
		printf("# %s: %s\n", ident, line);
}

int
main(int argc, char **argv)
{
	const int64_t hour = INT64_C(3600) * 1000;
	int64_t end = clock_now() + hour;
	unsigned n = 0;

	options = &imap_options_default;
	log_set_sink(quiet, NULL);
	if (argc > 2) {
		n = (unsigned)strtoul(argv[1], NULL, 10);
		for (; n <= strtoul(argv[2], NULL, 10); n++)
			run_seed(n, SHORT_TURNS);
	} else if (argc > 1) {
		run_seed(
		    (unsigned)strtoul(argv[1], NULL, 10), 10 * SHORT_TURNS);
	} else if (getenv("POSTERN_LONG") != NULL) {
		for (; clock_now() < end; n++)
			run_seed((unsigned)time(NULL) + n, 10 * SHORT_TURNS);
	} else {
		for (; n < 3; n++)
			run_seed(n + 1, SHORT_TURNS);
	}
	printf("ok: %u seeds\n", n);
	return 0;
}
