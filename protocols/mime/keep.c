#include "protocols/mime/keep.h"

#include "base/ascii.h"
#include "base/mem.h"
#include "protocols/mime/lex.h"

enum { MAX_REPEATED = 64 }; /* address fields kept of one header */

static const struct slice field_names[MIME_N_FIELDS] = {
	[MIME_F_CONTENT_TYPE] = SLICE_INIT("content-type"),
	[MIME_F_CONTENT_TRANSFER_ENCODING] =
	    SLICE_INIT("content-transfer-encoding"),
	[MIME_F_CONTENT_ID] = SLICE_INIT("content-id"),
	[MIME_F_CONTENT_DESCRIPTION] = SLICE_INIT("content-description"),
	[MIME_F_CONTENT_DISPOSITION] = SLICE_INIT("content-disposition"),
	[MIME_F_CONTENT_LANGUAGE] = SLICE_INIT("content-language"),
	[MIME_F_CONTENT_LOCATION] = SLICE_INIT("content-location"),
	[MIME_F_CONTENT_MD5] = SLICE_INIT("content-md5"),
	[MIME_F_DATE] = SLICE_INIT("date"),
	[MIME_F_SUBJECT] = SLICE_INIT("subject"),
	[MIME_F_IN_REPLY_TO] = SLICE_INIT("in-reply-to"),
	[MIME_F_MESSAGE_ID] = SLICE_INIT("message-id"),
	[MIME_F_REFERENCES] = SLICE_INIT("references"),
	[MIME_F_FROM] = SLICE_INIT("from"),
	[MIME_F_SENDER] = SLICE_INIT("sender"),
	[MIME_F_REPLY_TO] = SLICE_INIT("reply-to"),
	[MIME_F_TO] = SLICE_INIT("to"),
	[MIME_F_CC] = SLICE_INIT("cc"),
	[MIME_F_BCC] = SLICE_INIT("bcc"),
};

void
mime_keep_begin(struct mime_keep *k, uint32_t part, bool is_message)
{
	k->part = part;
	k->is_message = is_message;
	k->keeping = false;
	k->seen = 0;
	k->n_repeated = 0;
}

void
mime_keep_end(struct mime_keep *k)
{
	k->keeping = false;
}

static bool
is_repeatable(enum mime_field id)
{
	return id >= MIME_F_FROM;
}

/* Whether the field of this name is to be kept; its id to *id. */
static bool
is_wanted(struct mime_keep *k, struct slice name, enum mime_field *id)
{
	int n = k->is_message ? MIME_N_FIELDS : MIME_F_DATE, i;

	for (i = 0; i < n; i++)
		if (ascii_lower(name.p[0]) == field_names[i].p[0] &&
		    slice_ieq(name, field_names[i]))
			break;
	if (i == n)
		return false;
	*id = (enum mime_field)i;
	if (is_repeatable(*id))
		return k->n_repeated++ < MAX_REPEATED;
	/* of what may stand once (RFC 5322 3.6) the first counts */
	if ((k->seen & 1U << i) != 0)
		return false;
	k->seen |= 1U << i;
	return true;
}

void
mime_keep_more(struct mime_keep *k, struct slice more)
{
	struct mime_message *m = k->msg;
	struct mime_kept *f = &m->kept[m->n_kept - 1];
	bool structural = f->id == MIME_F_CONTENT_TYPE ||
	    f->id == MIME_F_CONTENT_TRANSFER_ENCODING;
	size_t max = structural ? m->text.max : k->max_text;
	size_t room = max > m->text.n ? max - m->text.n : 0;

	if (room > k->max_field - f->n)
		room = k->max_field - f->n;
	if (more.n > room) {
		f->cut = true;
		more.n = room;
	}
	buf_put(&m->text, more);
	f->n += (uint32_t)more.n;
}

static void
field_begin(struct mime_keep *k, enum mime_field id)
{
	struct mime_message *m = k->msg;

	if (m->n_kept == m->cap_kept) {
		m->cap_kept = m->cap_kept == 0 ? 16 : m->cap_kept * 2;
		m->kept = mem_realloc(m->kept, m->cap_kept, sizeof(*m->kept));
	}
	m->kept[m->n_kept++] =
	    (struct mime_kept){ .off = (uint32_t)m->text.n, .id = (uint8_t)id };
	m->parts[k->part].n_fields++;
	m->parts[k->part].have |= 1U << id;
	k->keeping = true;
}

void
mime_keep_chop(struct mime_keep *k)
{
	struct mime_message *m = k->msg;
	struct mime_kept *f = &m->kept[m->n_kept - 1];

	if (!f->cut && f->n != 0) {
		f->n--;
		buf_truncate(&m->text, m->text.n - 1);
	}
}

void
mime_keep_line(struct mime_keep *k, struct slice line)
{
	enum mime_field id;
	size_t n, colon;

	if (line.n != 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
		/* RFC 5322 2.2.3: unfolding takes only the line break away */
		if (k->keeping)
			mime_keep_more(k, line);
		return;
	}
	k->keeping = false;
	n = mime_lex_field_name(line, &colon);
	if (n == 0 || !is_wanted(k, slice_first(line, n), &id))
		return;
	field_begin(k, id);
	mime_keep_more(k, slice_skip(line, colon + 1));
}
