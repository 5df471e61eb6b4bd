#include "protocols/imap/capability.h"

#include "base/defs.h"

/*
 * What is implemented, Courier's words first and in Courier's order; those
 * an admin may have taken out of IMAP_CAPABILITY are marked.
 */
/* clang-format off */
static const struct {
	const char *word;
	bool filtered;
} words[] = {
	{ "IMAP4rev1", false }, /* RFC 3501 */
	{ "UIDPLUS", true }, /* RFC 4315 */
	{ "CHILDREN", true }, /* RFC 3348 */
	{ "NAMESPACE", true }, /* RFC 2342 */
	{ "THREAD=ORDEREDSUBJECT", true }, /* RFC 5256 3 */
	{ "THREAD=REFERENCES", true }, /* RFC 5256 3 */
	{ "SORT", true }, /* RFC 5256 3 */
	{ "QUOTA", true }, /* RFC 9208 3.1 */
	{ "IDLE", true }, /* RFC 2177 */
	{ "ACL", false }, /* RFC 4314 */
	{ "ACL2=UNION", false }, /* how Courier sums up rights */
	{ "ID", false }, /* RFC 2971 */
	{ "ENABLE", false }, /* RFC 5161 */
	{ "UTF8=ACCEPT", false }, /* RFC 6855 */
	{ "LITERAL+", false }, /* RFC 7888 */
	{ "SASL-IR", false }, /* RFC 4959 */
	{ "UNSELECT", false }, /* RFC 3691 */
	{ "MOVE", false }, /* RFC 6851 */
	{ "SORT=DISPLAY", false }, /* RFC 5957 */
	{ "THREAD=REFS", false }, /* draft-ietf-morg-inthread */
	{ "I18NLEVEL=1", false }, /* RFC 5255 */
	{ "ESORT", false }, /* RFC 5267 */
	{ "COMPRESS=DEFLATE", false }, /* RFC 4978 */
	{ "QUOTA=RES-STORAGE", false }, /* RFC 9208 5.1 */
	{ "QUOTA=RES-MESSAGE", false }, /* RFC 9208 5.2 */
	{ "BINARY", false }, /* RFC 3516 */
	{ "PREVIEW", false }, /* RFC 8970 */
	{ "MULTIAPPEND", false }, /* RFC 3502 */
	{ "OBJECTID", false }, /* RFC 8474 */
	{ "CONDSTORE", false }, /* RFC 7162 3.1 */
	{ "QRESYNC", false }, /* RFC 7162 3.2 */
	{ "INPROGRESS", false }, /* RFC 9585 */
	{ "PARTIAL", false }, /* RFC 9394 */
	{ "ESEARCH", false }, /* RFC 4731 */
	{ "SEARCHRES", false }, /* RFC 5182 */
	{ "WITHIN", false }, /* RFC 5032 */
	{ "SAVEDATE", false }, /* RFC 8514 */
	{ "RIGHTS=ektx", false }, /* RFC 4314 2.2, 5.1.1 */
};
/* clang-format on */

bool
imap_capability_asked(const char *filter, const char *word)
{
	struct slice rest = slice_str(filter != NULL ? filter : ""), one;

	while (slice_split(&rest, ' ', &one))
		if (slice_ieq(one, slice_str(word)))
			return true;
	return false;
}

static bool
is_about_acl(struct slice word)
{
	return slice_starts(word, SLICE("ACL")) ||
	    slice_starts(word, SLICE("RIGHTS="));
}

void
imap_capability_words(const char *filter, bool acl, struct buf *out)
{
	bool all = filter == NULL || filter[0] == '\0';

	for (size_t k = 0; k < NELEMS(words); k++) {
		const char *word = words[k].word;

		if (!all && words[k].filtered &&
		    !imap_capability_asked(filter, word))
			continue;
		if (!acl && is_about_acl(slice_str(word)))
			continue;
		/* RFC 5957 1: they say that there is SORT, too */
		if (!all &&
		    (slice_eq(slice_str(word), SLICE("SORT=DISPLAY")) ||
			slice_eq(slice_str(word), SLICE("ESORT"))) &&
		    !imap_capability_asked(filter, "SORT"))
			continue;
		/* of the same engine, which the admin took away */
		if (!all && slice_eq(slice_str(word), SLICE("THREAD=REFS")) &&
		    !imap_capability_asked(filter, "THREAD=REFERENCES"))
			continue;
		/* RFC 9208 3.1.1: resources of QUOTA */
		if (!all && slice_starts(slice_str(word), SLICE("QUOTA=")) &&
		    !imap_capability_asked(filter, "QUOTA"))
			continue;
		buf_putc(out, ' ');
		/* RFC 7888 5: never both */
		if (slice_eq(slice_str(word), SLICE("LITERAL+")) &&
		    imap_capability_asked(filter, "LITERAL-"))
			word = "LITERAL-";
		buf_puts(out, word);
	}
}
