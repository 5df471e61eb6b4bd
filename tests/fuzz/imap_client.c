#include "tests/fuzz/imap_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "protocols/imap/lex.h"

enum { KNOWN_MAX = 1024 };

struct client {
	struct slice sent; /* behind the last command that was answered */
	uint32_t exists;
	/* of the first messages, 0: not told; ascending but for that */
	uint32_t uid[KNOWN_MAX];
	bool shrunk;   /* EXISTS fell: a mailbox is being selected */
	bool expunged; /* since the last tagged response */
	bool qresync, bye;
};

static void
check(bool ok)
{
	if (!ok)
		abort();
}

/* --- which messages there are -------------------------------------------- */

static uint32_t
n_known(const struct client *c)
{
	return c->exists < KNOWN_MAX ? c->exists : KNOWN_MAX;
}

/* The k-th message is gone; the one behind the last known isn't known. */
static void
drop(struct client *c, uint32_t k)
{
	uint32_t n = n_known(c);

	check(k < c->exists);
	if (k < n) {
		memmove(&c->uid[k], &c->uid[k + 1],
		    (n - k - 1) * sizeof(c->uid[0]));
		c->uid[n - 1] = 0;
	}
	c->exists--;
	c->expunged = true;
}

static void
exists(struct client *c, uint32_t n)
{
	c->shrunk = n < c->exists;
	for (uint32_t k = n_known(c); k < n && k < KNOWN_MAX; k++)
		c->uid[k] = 0;
	c->exists = n;
}

/* "* 5 FETCH (UID 7": the k-th message has this UID, and had no other. */
static void
has_uid(struct client *c, uint32_t k, uint32_t uid)
{
	uint32_t n = n_known(c);

	check(uid != 0);
	if (k >= n)
		return;
	check(c->uid[k] == 0 || c->uid[k] == uid);
	c->uid[k] = uid;
	for (uint32_t j = 0; j < n; j++)
		check(c->uid[j] == 0 || j == k || (c->uid[j] < uid) == (j < k));
}

/* A message with this UID, which must be there, is gone. */
static void
vanished(struct client *c, uint32_t uid)
{
	uint32_t n = n_known(c), k = 0, last = 0;

	while (k < n && c->uid[k] < uid) {
		if (c->uid[k] != 0)
			last = k + 1;
		k++;
	}
	if (k < n && c->uid[k] == uid) {
		drop(c, k);
		return;
	}
	/* not told yet: one of those between two that were */
	check(last < k || n < c->exists);
	drop(c, last < k ? last : n);
}

static bool
is_known(const struct client *c, uint32_t lo, uint32_t hi)
{
	for (uint32_t k = 0; k < n_known(c); k++)
		if (c->uid[k] != 0 && c->uid[k] >= lo && c->uid[k] <= hi)
			return true;
	return false;
}

/* "1:3,7" of "* VANISHED 1:3,7" (RFC 7162 3.2.10), or of (EARLIER). */
static void
check_vanished(struct client *c, struct slice uids, bool earlier)
{
	struct slice range, from;
	uint32_t lo, hi;

	check(c->qresync);
	while (slice_split(&uids, ',', &range)) {
		check(slice_split(&range, ':', &from) && num_u32(from, &lo));
		hi = lo;
		check(range.p == NULL || num_u32(range, &hi));
		check(lo >= 1 && hi >= lo);
		if (earlier) {
			check(!is_known(c, lo, hi));
			continue;
		}
		check(hi - lo < c->exists);
		for (uint32_t uid = lo; uid <= hi && uid >= lo; uid++)
			vanished(c, uid);
	}
}

/* "* 5 EXPUNGE" and the like. */
static void
check_numbered(struct client *c, uint32_t n, struct slice rest)
{
	static const struct slice fetch = SLICE_INIT("FETCH (UID ");
	uint32_t uid;

	if (slice_starts(rest, SLICE("EXISTS"))) {
		exists(c, n);
		return;
	}
	if (slice_starts(rest, SLICE("RECENT"))) {
		check(n <= c->exists);
		return;
	}
	check(n >= 1 && n <= c->exists);
	if (slice_starts(rest, SLICE("EXPUNGE"))) {
		check(!c->qresync);
		drop(c, n - 1);
		return;
	}
	check(slice_starts(rest, SLICE("FETCH (")));
	if (!slice_starts(rest, fetch))
		return;
	rest = slice_skip(rest, fetch.n);
	rest = slice_first(rest, slice_find(rest, ' '));
	check(num_u32(slice_first(rest, slice_find(rest, ')')), &uid));
	has_uid(c, n - 1, uid);
}

/* --- responses ------------------------------------------------------------ */

static void
check_untagged(struct client *c, struct slice line)
{
	static const struct slice gone = SLICE_INIT("VANISHED ");
	static const struct slice earlier = SLICE_INIT("(EARLIER) ");
	struct slice rest = slice_skip(line, 2), word, after = rest;
	uint32_t n;

	check(!c->bye);
	if (slice_starts(rest, SLICE("OK [UIDVALIDITY "))) {
		/* a mailbox was selected */
		c->shrunk = false;
		memset(c->uid, 0, sizeof(c->uid));
	}
	check(!c->shrunk || slice_ends(rest, SLICE(" RECENT")) ||
	    slice_starts(rest, SLICE("OK [UNSEEN ")));
	if (slice_starts(rest, SLICE("OK [CLOSED]")))
		c->exists = 0;
	else if (slice_starts(rest, SLICE("BYE ")))
		c->bye = true;
	else if (slice_starts(rest, SLICE("ENABLED")))
		while (slice_split(&rest, ' ', &word))
			c->qresync |= slice_eq(word, SLICE("QRESYNC"));
	else if (slice_starts(rest, gone)) {
		rest = slice_skip(rest, gone.n);
		if (slice_starts(rest, earlier))
			check_vanished(c, slice_skip(rest, earlier.n), true);
		else
			check_vanished(c, rest, false);
	} else if (slice_split(&after, ' ', &word) && num_u32(word, &n))
		check_numbered(c, n, after);
}

/* Whether messages may go while a command is answered: RFC 3501 7.4.1, RFC
 * 5256 4, RFC 7162 3.2.10.  args: what stands behind its tag. */
static bool
may_expunge(struct slice args)
{
	static const struct slice never[] = { SLICE_INIT(" FETCH "),
		SLICE_INIT(" STORE "), SLICE_INIT(" SEARCH "),
		SLICE_INIT(" SORT "), SLICE_INIT(" THREAD ") };

	for (size_t k = 0; k < NELEMS(never); k++)
		if (slice_istarts(args, never[k]))
			return false;
	return true;
}

/* The next line that may be the command with this tag; what looks like one in
 * a literal may be taken for it. */
static void
answered(struct client *c, struct slice tag)
{
	struct slice line;

	do {
		check(c->sent.p != NULL && slice_split(&c->sent, '\n', &line));
	} while (!slice_starts(line, tag) ||
	    (c->expunged && !may_expunge(slice_skip(line, tag.n))));
	c->expunged = false;
}

static void
check_tagged(struct client *c, struct slice line)
{
	struct imap_lex lx = imap_lex_of(line);
	struct slice tag;

	check(imap_lex_tag(&lx, &tag) == PARSE_OK);
	check(imap_lex_space(&lx) == PARSE_OK);
	check(imap_lex_word(&lx, SLICE("OK")) ||
	    imap_lex_word(&lx, SLICE("NO")) ||
	    imap_lex_word(&lx, SLICE("BAD")));
	check(!c->shrunk);
	answered(c, tag);
	/* after that of LOGOUT there is none */
	if (c->bye)
		c->sent = slice_of(NULL, 0);
}

static void
check_response(struct client *c, struct slice line)
{
	if (slice_starts(line, SLICE("* ")))
		check_untagged(c, line);
	else if (!slice_starts(line, SLICE("+ ")))
		check_tagged(c, line);
}

/*
 * The end of a line: CRLF, without CR, LF or NUL before it.  What a message
 * holds comes in literals only.
 */
static struct slice
take_line(struct slice *out)
{
	struct slice line;

	check(slice_split(out, '\n', &line) && out->p != NULL);
	check(slice_ends(line, SLICE("\r")));
	line.n--;
	check(!slice_has(line, '\r') && !slice_has(line, '\0'));
	return line;
}

void
imap_client_check(struct slice sent, struct slice out, bool broken)
{
	struct client c = { .sent = sent };
	struct imap_literal lit;

	while (out.n != 0) {
		struct slice line;

		if (broken && !slice_has(out, '\n'))
			return;
		line = take_line(&out);
		check_response(&c, line);
		while (imap_line_literal(line, &lit) &&
		    !slice_starts(line, SLICE("+ "))) {
			if (lit.size > out.n) {
				check(broken);
				return;
			}
			out = slice_skip(out, (size_t)lit.size);
			if (broken && !slice_has(out, '\n'))
				return;
			line = take_line(&out);
		}
	}
}
