#include "base/ascii.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

enum { FLAGS_MAX = 1000, KEYWORD_MAX = 200 };

/* clang-format off */
static const struct {
	struct slice name;
	uint32_t flag;
} system_flags[] = {
	/* RFC 3501 2.3.2; in Courier's order */
	{ SLICE_INIT("\\Draft"),    MESSAGE_DRAFT },
	{ SLICE_INIT("\\Answered"), MESSAGE_ANSWERED },
	{ SLICE_INIT("\\Flagged"),  MESSAGE_FLAGGED },
	{ SLICE_INIT("\\Deleted"),  MESSAGE_DELETED },
	{ SLICE_INIT("\\Seen"),	    MESSAGE_SEEN },
	/* a keyword for clients, a letter in file names */
	{ SLICE_INIT("$Forwarded"), MESSAGE_FORWARDED },
};
/* clang-format on */

/* --- reading ------------------------------------------------------------- */

static uint32_t
system_flag(struct slice name)
{
	for (size_t k = 0; k < NELEMS(system_flags); k++)
		if (slice_ieq(system_flags[k].name, name))
			return system_flags[k].flag;
	return 0;
}

static bool
add_keyword(struct imap_session *i, struct imap_flags *f, struct slice name)
{
	if (!i->opt->keywords)
		return true; /* not permanent: passed over */
	if (f->keywords == NULL)
		f->keywords =
		    arena_zalloc(&i->arena, FLAGS_MAX, sizeof(struct slice));
	for (size_t k = 0; k < f->n_keywords; k++)
		if (slice_ieq(f->keywords[k], name))
			return true;
	if (f->keywords == NULL || f->n_keywords == FLAGS_MAX)
		return false;
	f->keywords[f->n_keywords++] = name;
	return true;
}

static enum parse
one_flag(struct imap_session *i, struct imap_lex *lx, struct imap_flags *f)
{
	struct slice name;
	uint32_t flag;
	enum parse r = imap_lex_flag(lx, &name);

	if (r != PARSE_OK)
		return r;
	flag = system_flag(name);
	if (flag != 0) {
		f->flags |= flag;
		return PARSE_OK;
	}
	/* RFC 3501 2.3.2: \Recent can't be set; clients send it all the same
	 * with flags they have fetched */
	if (slice_ieq(name, SLICE("\\Recent")))
		return PARSE_OK;
	if (name.p[0] == '\\') {
		lx->why = "unknown system flag";
		return PARSE_BAD;
	}
	if (name.n > KEYWORD_MAX) {
		lx->why = "keyword too long";
		return PARSE_LIMIT;
	}
	if (!add_keyword(i, f, name)) {
		lx->why = "too many keywords";
		return PARSE_LIMIT;
	}
	return PARSE_OK;
}

enum parse
imap_parse_flags(struct imap_session *i, struct imap_lex *lx, bool bare,
    struct imap_flags *out)
{
	struct imap_flags f = { .flags = 0 };
	enum parse r;
	bool list = imap_lex_take(lx, '(');

	if (!list && !bare) {
		r = imap_lex_open(lx);
		assert(r != PARSE_OK);
		return r;
	}
	if (list && imap_lex_take(lx, ')')) {
		*out = f;
		return PARSE_OK;
	}
	do {
		r = one_flag(i, lx, &f);
		if (r != PARSE_OK)
			return r;
	} while (imap_lex_take(lx, ' '));
	if (list && (r = imap_lex_close(lx)) != PARSE_OK)
		return r;
	*out = f;
	return PARSE_OK;
}

/* --- writing ------------------------------------------------------------- */

bool
imap_is_recent(const struct imap_session *i, uint32_t uid)
{
	for (size_t k = 0; k < i->recent.n; k++)
		if (uid >= i->recent.v[k].from && uid < i->recent.v[k].to)
			return true;
	return false;
}

static void
put_flag(struct buf *out, bool *first, struct slice name)
{
	if (!*first)
		buf_putc(out, ' ');
	*first = false;
	buf_put(out, name);
}

void
imap_put_flags(struct imap_session *i, struct buf *out, const struct message *m)
{
	bool first = true;
	size_t n = 0;
	const uint16_t *set;

	buf_putc(out, '(');
	for (size_t k = 0; k < NELEMS(system_flags); k++)
		if ((m->flags & system_flags[k].flag) != 0)
			put_flag(out, &first, system_flags[k].name);
	if (imap_is_recent(i, m->uid))
		put_flag(out, &first, SLICE("\\Recent"));
	set = m->keywords == 0
	    ? NULL
	    : mailbox_keyword_set(i->mailbox, m->keywords, &n);
	for (size_t k = 0; k < n; k++)
		put_flag(out, &first, mailbox_keyword(i->mailbox, set[k]));
	buf_putc(out, ')');
}

/* Of the system's flags those of the mask. */
static void
put_all(struct imap_session *i, struct buf *out, uint32_t mask, bool keywords,
    bool star)
{
	bool first = true;
	size_t n = keywords ? mailbox_n_keywords(i->mailbox) : 0;

	buf_putc(out, '(');
	for (size_t k = 0; k < NELEMS(system_flags); k++)
		if ((system_flags[k].flag & mask) != 0)
			put_flag(out, &first, system_flags[k].name);
	for (size_t k = 0; k < n; k++)
		put_flag(out, &first, mailbox_keyword(i->mailbox, k));
	if (star)
		put_flag(out, &first, SLICE("\\*"));
	buf_putc(out, ')');
}

void
imap_put_known_flags(struct imap_session *i, struct buf *out)
{
	put_all(i, out, MESSAGE_FLAGS_ALL, true, false);
}

void
imap_put_permanent_flags(struct imap_session *i, struct buf *out)
{
	bool w = !i->read_only && (i->rights & ACL_WRITE) != 0;

	/* RFC 4314 5.1.1 */
	put_all(i, out,
	    i->read_only ? 0
			 : MESSAGE_FLAGS_ALL & ~imap_flags_denied(i->rights),
	    w, w && i->opt->keywords);
}

const struct message *
imap_newest(const struct view *newest, const struct message *m)
{
	uint32_t seq = view_find(newest, m->uid);

	return seq != 0 ? view_get(newest, seq) : m;
}
