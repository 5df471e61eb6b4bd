/*
 * Step 3 takes "*subj-blob subj-refwd" and step 4 a single blob, in turn,
 * until neither is there.  If no refwd follows a row of blobs, none follows
 * after one of them went: so the row is looked at once, and taken as a whole
 * or, where it would leave nothing, but for its last blob.
 */
#include "protocols/imap/base_subject.h"

static bool
is_wsp(uint8_t c)
{
	return c == ' ' || c == '\t';
}

void
imap_subject_blanks(struct slice utf8, struct buf *out)
{
	while (utf8.n != 0) {
		size_t n = 0;

		while (n < utf8.n && !is_wsp(utf8.p[n]) && utf8.p[n] != '\r' &&
		    utf8.p[n] != '\n')
			n++;
		buf_put(out, slice_first(utf8, n));
		utf8 = slice_skip(utf8, n);
		if (utf8.n == 0)
			break;
		buf_putc(out, ' ');
		for (n = 0; n < utf8.n &&
		     (is_wsp(utf8.p[n]) || utf8.p[n] == '\r' ||
			 utf8.p[n] == '\n');)
			n++;
		utf8 = slice_skip(utf8, n);
	}
}

static struct slice
skip_wsp(struct slice s)
{
	while (s.n != 0 && is_wsp(s.p[0]))
		s = slice_skip(s, 1);
	return s;
}

/* subj-blob at the front; returns its bytes, or 0. */
static size_t
blob_len(struct slice s)
{
	size_t n = 1;

	if (s.n == 0 || s.p[0] != '[')
		return 0;
	while (n < s.n && s.p[n] != '[' && s.p[n] != ']')
		n++;
	if (n == s.n || s.p[n] != ']')
		return 0;
	n++;
	while (n < s.n && is_wsp(s.p[n]))
		n++;
	return n;
}

/* subj-refwd at the front; returns its bytes, or 0. */
static size_t
refwd_len(struct slice s)
{
	struct slice rest;

	if (slice_istarts(s, SLICE("re")))
		rest = slice_skip(s, 2);
	else if (slice_istarts(s, SLICE("fwd")))
		rest = slice_skip(s, 3);
	else if (slice_istarts(s, SLICE("fw")))
		rest = slice_skip(s, 2);
	else
		return 0;
	rest = skip_wsp(rest);
	rest = slice_skip(rest, blob_len(rest));
	return rest.n != 0 && rest.p[0] == ':' ? s.n - rest.n + 1 : 0;
}

/* Step 2: subj-trailer, as often as it is there. */
static struct slice
cut_trailers(struct slice s, bool *reply)
{
	for (;;) {
		if (s.n != 0 && is_wsp(s.p[s.n - 1])) {
			s.n--;
		} else if (s.n >= 5 &&
		    slice_ieq(slice_skip(s, s.n - 5), SLICE("(fwd)"))) {
			s.n -= 5;
			*reply = true;
		} else {
			return s;
		}
	}
}

/* Steps 3 to 5: subj-leader and subj-blob, as often as they are there. */
static struct slice
cut_leaders(struct slice s, bool *reply)
{
	for (;;) {
		struct slice rest, last;
		size_t n;

		s = skip_wsp(s);
		rest = last = s;
		while ((n = blob_len(rest)) != 0) {
			last = rest;
			rest = slice_skip(rest, n);
		}
		n = refwd_len(rest);
		if (n == 0)
			return rest.n != 0 ? rest : last;
		*reply = true;
		s = slice_skip(rest, n);
	}
}

struct slice
imap_base_subject(struct slice s, bool *reply)
{
	*reply = false;
	for (;;) {
		s = cut_leaders(cut_trailers(s, reply), reply);
		/* step 6 */
		if (!slice_istarts(s, SLICE("[fwd:")) || s.p[s.n - 1] != ']')
			return s;
		*reply = true;
		s = slice_skip(slice_first(s, s.n - 1), 5);
	}
}
