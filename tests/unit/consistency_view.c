#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/consistency.h"

enum { TRACE_LINES = 1000 };

struct checker ck;

static char email_ids[UIDS_MAX][24];
static bool gone[UIDS_MAX];
static uint64_t modseqs[UIDS_MAX];
static char trace[TRACE_LINES][300];
static unsigned n_trace;

uint32_t
dice(uint32_t n)
{
	ck.random = ck.random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((ck.random >> 33) % n);
}

void
note(const struct client *c, char who, struct slice line)
{
	(void)snprintf(trace[n_trace++ % TRACE_LINES], sizeof(trace[0]),
	    "%d%c %.*s", (int)(c - ck.clients), who,
	    SLICE_ARG(slice_first(line, 250)));
}

void
fail(const struct client *c, const char *what, struct slice line)
{
	for (unsigned k = n_trace < TRACE_LINES ? 0 : n_trace - TRACE_LINES;
	     k < n_trace; k++)
		printf("  %s\n", trace[k % TRACE_LINES]);
	printf("not ok: seed %u turn %u client %d: %s: %.*s\n", ck.seed,
	    ck.turn, c != NULL ? (int)(c - ck.clients) : -1, what,
	    SLICE_ARG(line));
	exit(1);
}

void
forget_all(void)
{
	memset(email_ids, 0, sizeof(email_ids));
	memset(gone, 0, sizeof(gone));
	memset(modseqs, 0, sizeof(modseqs));
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
uint32_t
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

void
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
