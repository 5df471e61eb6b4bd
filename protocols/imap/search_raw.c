/*
 * What isn't in the bytes of a message isn't in its text, if they are its
 * text: all of it is ASCII, no part has a transfer encoding, no charset gives
 * ASCII another meaning, and what is looked for stays in one piece when header
 * fields are unfolded.  Much mail is of that kind, most of it doesn't match,
 * and one look at it costs a tenth of taking it apart.
 */
#include "base/ascii.h"
#include "base/fsx.h"
#include "protocols/imap/search.h"

enum { RAW_MAX = 64 * 1024, VALUE_MAX = 100 };

/* Charsets in which the bytes of ASCII are ASCII, in upper case. */
static bool
is_harmless(struct slice value)
{
	static const struct slice names[] = { SLICE_INIT("UTF-8"),
		SLICE_INIT("US-ASCII"), SLICE_INIT("ISO-8859-"),
		SLICE_INIT("WINDOWS-125"), SLICE_INIT("KOI8-") };

	if (value.n != 0 && value.p[0] == '"')
		value = slice_skip(value, 1);
	for (size_t k = 0; k < NELEMS(names); k++)
		if (slice_starts(value, names[k]))
			return true;
	return false;
}

/* The text before a place, without blanks and the numbers of RFC 2231. */
static struct slice
word_before(struct slice text, size_t at)
{
	struct slice s = slice_first(text, at);

	while (s.n != 0 &&
	    (s.p[s.n - 1] <= ' ' || s.p[s.n - 1] == '*' ||
		ascii_is_digit(s.p[s.n - 1])))
		s.n--;
	return s;
}

/* No encoded word, and every charset that is named a harmless one. */
static bool
has_plain_charsets(struct slice text)
{
	for (size_t at = 0; at < text.n; at++) {
		struct slice before, behind;

		at += slice_find(slice_skip(text, at), '=');
		behind = slice_skip(text, at + 1);
		if (behind.n != 0 && behind.p[0] == '?')
			return false;
		before = word_before(text, at);
		if (slice_ends(before, SLICE(")")) ||
		    (slice_ends(before, SLICE("CHARSET")) &&
			!is_harmless(behind)))
			return false;
	}
	return true;
}

/* Every transfer encoding that is named is none. */
static bool
has_plain_encodings(struct slice text)
{
	for (size_t at = 0; at < text.n; at++) {
		struct slice value;

		at += slice_find(slice_skip(text, at), ':');
		if (!slice_ends(
			word_before(text, at), SLICE("TRANSFER-ENCODING")))
			continue;
		value = slice_trim(
		    slice_first(slice_skip(text, at + 1), VALUE_MAX));
		if (!slice_starts(value, SLICE("7BIT")) &&
		    !slice_starts(value, SLICE("8BIT")) &&
		    !slice_starts(value, SLICE("BINARY")))
			return false;
	}
	return true;
}

/* By folding, or at the colon of a field, which may have blanks around it. */
static bool
may_be_torn(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] == ':')
			return true;
	return false;
}

bool
imap_search_ruled_out(struct imap_session *i, const struct search_test *t)
{
	const struct search_args *a = i->args;
	struct slice needle = t->needle.bytes, text;
	uint8_t raw[RAW_MAX];
	ssize_t got;

	if (a->file_size > sizeof(raw) || needle.n == 0 || may_be_torn(needle))
		return false;
	got = fsx_pread(a->fd, raw, (size_t)a->file_size, 0);
	if (got < 0 || (uint64_t)got != a->file_size)
		return false;
	(void)imap_spend(i, (size_t)got);
	if (!imap_casemap_ascii(raw, (size_t)got))
		return false;
	text = slice_of(raw, (size_t)got);
	return !slice_contains(text, needle) && has_plain_encodings(text) &&
	    has_plain_charsets(text);
}
