/*
 * Mailbox names between the wire and the store.
 * RFC 3501 5.1: INBOX without regard to case, hierarchy, modified UTF-7; RFC
 * 6855 3: UTF-8, in both directions after ENABLE UTF8=ACCEPT, and before it in
 * arguments.
 *
 * In the store every name is complete: "INBOX", "INBOX.Sent".  A client may
 * leave "INBOX." out of its arguments; what it is told never does, unless the
 * namespace is configured to have no prefix (imap_name_shown()).  Names of
 * other accounts begin with "#shared.": rights.c finds where they lead.
 */
#include "protocols/imap/names.h"

#include "base/ascii.h"
#include "base/utf7.h"
#include "protocols/imap/nstring.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum { NAME_MAX_WIRE = 4096 };

enum parse
imap_parse_astring(
    struct imap_session *i, struct imap_lex *lx, struct slice *out)
{
	struct slice s;
	enum parse r = imap_lex_astring(lx, &s);

	if (r == PARSE_OK)
		*out = imap_unquote(lx, s, &i->arena);
	return r;
}

static bool
has_8bit(struct slice s)
{
	uint8_t all = 0;

	for (size_t k = 0; k < s.n; k++)
		all |= s.p[k];
	return all >= 0x80;
}

bool
imap_name_decode(struct imap_session *i, struct slice wire, struct slice *out)
{
	struct buf utf8;
	bool ok;

	if (wire.n > NAME_MAX_WIRE)
		return false;
	/* in modified UTF-7 all is ASCII; after ENABLE "&" is but a letter */
	if (i->utf8 || has_8bit(wire)) {
		if (!utf8_valid(wire))
			return false;
		*out = arena_dup(&i->arena, wire);
		return true;
	}
	buf_init(&utf8, (size_t)3 * NAME_MAX_WIRE);
	ok = utf7_to_utf8(wire, &utf8);
	if (ok)
		*out = arena_dup(&i->arena, buf_slice(&utf8));
	buf_fini(&utf8);
	return ok;
}

struct slice
imap_join(struct imap_session *i, struct slice before, struct slice after)
{
	uint8_t *p = arena_alloc(&i->arena, before.n + after.n + 1);

	assert(p != NULL);
	memcpy(p, before.p, before.n);
	if (after.n != 0)
		memcpy(p + before.n, after.p, after.n);
	return slice_of(p, before.n + after.n);
}

/* '#' begins the name of a namespace (RFC 3501 5.1.2), '~' and '/' are
 * somebody's idea of our file system. */
static bool
begins_badly(struct slice name)
{
	return name.n == 0 || name.p[0] == '#' || name.p[0] == '~' ||
	    name.p[0] == '/';
}

/* Whether it is INBOX or begins with "INBOX.", in either case. */
static bool
is_in_inbox(struct slice name)
{
	return slice_istarts(name, SLICE("INBOX")) &&
	    (name.n == 5 || name.p[5] == '.');
}

bool
imap_name_is_complete(struct slice name)
{
	return name.n > 5 && is_in_inbox(name);
}

struct slice
imap_name_shown(const struct imap_session *i, struct slice name)
{
	struct slice rest;

	if (!i->opt->no_prefix || !slice_starts(name, SLICE("INBOX.")))
		return name;
	rest = slice_skip(name, SLICE("INBOX.").n);
	return begins_badly(rest) || is_in_inbox(rest) ||
		slice_starts(rest, SLICE(SHARED_LINK_ROOT "."))
	    ? name
	    : rest;
}

bool
imap_name_complete(
    struct imap_session *i, struct slice utf8, struct slice *name)
{
	const struct slice inbox = SLICE("INBOX");

	if (imap_has_shared(i) && slice_starts(utf8, SLICE(SHARED_ROOT "."))) {
		*name = utf8;
		/* a separator at its end says that children will be made */
		return shared_name_valid(slice_ends(utf8, SLICE("."))
			? slice_first(utf8, utf8.n - 1)
			: utf8);
	}
	if (slice_starts(utf8, SLICE(SHARED_LINK_ROOT ".")) &&
	    imap_has_links(i)) {
		*name = utf8;
		return shared_link_name_valid(slice_ends(utf8, SLICE("."))
			? slice_first(utf8, utf8.n - 1)
			: utf8);
	}
	if (begins_badly(utf8))
		return false;
	for (size_t k = 0; k < utf8.n; k++)
		if (ascii_is_control(utf8.p[k]))
			return false;
	if (is_in_inbox(utf8))
		*name = imap_join(i, inbox, slice_skip(utf8, inbox.n));
	else
		*name = imap_join(i, SLICE("INBOX."), utf8);
	return true;
}

enum parse
imap_parse_mailbox(
    struct imap_session *i, struct imap_lex *lx, struct slice *name, bool *bad)
{
	struct slice wire, utf8;
	enum parse r = imap_parse_astring(i, lx, &wire);

	if (r != PARSE_OK)
		return r;
	*name = SLICE("");
	*bad = !imap_name_decode(i, wire, &utf8) ||
	    !imap_name_complete(i, utf8, name);
	i->names_complete = !*bad && imap_name_is_complete(utf8);
	return PARSE_OK;
}

/* Whether a prohibited character begins here: C1, U+2028, U+2029. */
static bool
is_prohibited(struct slice s)
{
	return (s.n >= 2 && s.p[0] == 0xc2 && s.p[1] < 0xa0) ||
	    slice_starts(s, SLICE("\xe2\x80\xa8")) ||
	    slice_starts(s, SLICE("\xe2\x80\xa9"));
}

bool
imap_name_is_net_unicode(struct slice name)
{
	for (size_t k = 0; k < name.n; k++)
		if (ascii_is_control(name.p[k]) ||
		    is_prohibited(slice_skip(name, k)))
			return false;
	return true;
}

void
imap_put_name(const struct imap_session *i, struct buf *out, struct slice name)
{
	struct buf wire;

	if (i->utf8 && utf8_valid(name)) {
		imap_put_utf8(out, name);
		return;
	}
	buf_init(&wire, (size_t)4 * NAME_MAX_WIRE);
	/* a name on disk may be no UTF-8: then no client could name it */
	if (i->utf8 || !utf8_to_utf7(name, &wire))
		imap_put_text(&wire, name);
	imap_put_string(out, buf_slice(&wire));
	buf_fini(&wire);
}

void
imap_put_mailbox(
    const struct imap_session *i, struct buf *out, struct slice name)
{
	imap_put_name(
	    i, out, i->names_complete ? name : imap_name_shown(i, name));
}

enum step
imap_bad_name(struct imap_session *i)
{
	return imap_fail(i, "naming", ERR_INVALID, NULL);
}
