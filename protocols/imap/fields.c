#include "protocols/imap/fields.h"

#include "base/ascii.h"
#include "base/defs.h"
#include "protocols/mime/header.h"

enum { RECORD = 3, FIELD_MAX = 65535 };

/*
 * From what Thunderbird, mutt and neomutt, mbsync, Apple Mail, Outlook, K-9,
 * Delta Chat, alpine, Evolution and Roundcube ask for.  The numbers are kept
 * in files: new names go to the end.
 */
/* clang-format off */
static const struct slice names[] = {
	[IMAP_F_BCC] = SLICE_INIT("bcc"),
	[IMAP_F_CC] = SLICE_INIT("cc"),
	[IMAP_F_DATE] = SLICE_INIT("date"),
	[IMAP_F_FROM] = SLICE_INIT("from"),
	[IMAP_F_IN_REPLY_TO] = SLICE_INIT("in-reply-to"),
	[IMAP_F_MESSAGE_ID] = SLICE_INIT("message-id"),
	[IMAP_F_REFERENCES] = SLICE_INIT("references"),
	[IMAP_F_SUBJECT] = SLICE_INIT("subject"),
	[IMAP_F_TO] = SLICE_INIT("to"),
	[IMAP_F_OTHERS] = SLICE_INIT("auto-submitted"),
	SLICE_INIT("chat-version"),
	SLICE_INIT("content-description"),
	SLICE_INIT("content-disposition"),
	SLICE_INIT("content-language"),
	SLICE_INIT("content-location"),
	SLICE_INIT("content-md5"),
	SLICE_INIT("content-transfer-encoding"),
	SLICE_INIT("content-type"),
	SLICE_INIT("delivered-to"),
	SLICE_INIT("disposition-notification-to"),
	SLICE_INIT("followup-to"),
	SLICE_INIT("importance"),
	SLICE_INIT("keywords"),
	SLICE_INIT("lines"),
	SLICE_INIT("list-id"),
	SLICE_INIT("list-post"),
	SLICE_INIT("list-subscribe"),
	SLICE_INIT("list-unsubscribe"),
	SLICE_INIT("list-unsubscribe-post"),
	SLICE_INIT("mail-followup-to"),
	SLICE_INIT("mail-reply-to"),
	SLICE_INIT("mime-version"),
	SLICE_INIT("newsgroups"),
	SLICE_INIT("organization"),
	SLICE_INIT("path"),
	SLICE_INIT("precedence"),
	SLICE_INIT("priority"),
	SLICE_INIT("reply-to"),
	SLICE_INIT("resent-date"),
	SLICE_INIT("resent-from"),
	SLICE_INIT("resent-message-id"),
	SLICE_INIT("resent-to"),
	SLICE_INIT("return-path"),
	SLICE_INIT("return-receipt-to"),
	SLICE_INIT("sender"),
	SLICE_INIT("user-agent"),
	SLICE_INIT("x-draft-info"),
	SLICE_INIT("x-forwarded-message-id"),
	SLICE_INIT("x-k9mail-identity"),
	SLICE_INIT("x-keywords"),
	SLICE_INIT("x-label"),
	SLICE_INIT("x-mailer"),
	SLICE_INIT("x-msmail-priority"),
	SLICE_INIT("x-msoesrec"),
	SLICE_INIT("x-original-to"),
	SLICE_INIT("x-priority"),
	SLICE_INIT("x-ref"),
	SLICE_INIT("x-spam-flag"),
	SLICE_INIT("x-spam-status"),
	SLICE_INIT("x-status"),
	SLICE_INIT("x-tuid"),
	SLICE_INIT("x-uniform-type-identifier"),
	SLICE_INIT("x-universally-unique-identifier"),
	SLICE_INIT("xref"),
};
/* clang-format on */

_Static_assert(NELEMS(names) <= 64, "a set has 64 bits");

int
imap_fields_number(struct slice name)
{
	uint8_t first;

	if (name.n == 0)
		return -1;
	first = ascii_lower(name.p[0]);
	for (size_t i = 0; i < NELEMS(names); i++)
		if (names[i].n == name.n && names[i].p[0] == first &&
		    slice_ieq(names[i], name))
			return (int)i;
	return -1;
}

uint64_t
imap_fields_set(const struct slice *v, size_t n)
{
	uint64_t set = 0;

	for (size_t i = 0; i < n; i++) {
		int number = imap_fields_number(v[i]);

		if (number < 0)
			return 0;
		set |= UINT64_C(1) << number;
	}
	return set;
}

/* --- making --------------------------------------------------------------- */

/* Append bytes with every bare LF as CRLF, and a CRLF at the end. */
static void
put_wire(struct slice raw, struct buf *out)
{
	while (raw.n != 0) {
		size_t lf = slice_find(raw, '\n');
		struct slice line = slice_first(raw, lf);

		buf_put(out, line);
		if (lf == 0 || raw.p[lf - 1] != '\r')
			buf_putc(out, '\r');
		buf_putc(out, '\n');
		raw = slice_skip(raw, lf + 1);
	}
}

bool
imap_fields_make(struct slice header, bool ended, struct buf *out)
{
	size_t before = buf_len(out);
	struct mime_header_field f;

	buf_putc(out, ended);
	while (mime_header_next(&header, &f)) {
		/* a name and its colon stand in one line */
		bool split = slice_find(f.raw, ':') > slice_find(f.raw, '\n');
		int number = split ? -1 : imap_fields_number(f.name);
		size_t at = buf_len(out), n;
		uint8_t *p;

		if (number < 0)
			continue;
		buf_put(out, slice_of("\0\0\0", RECORD));
		put_wire(f.raw, out);
		n = buf_len(out) - at - RECORD;
		if (n > FIELD_MAX || !buf_ok(out)) {
			if (buf_ok(out))
				buf_truncate(out, before);
			return false;
		}
		p = out->p + out->off + at;
		p[0] = (uint8_t)number;
		p[1] = (uint8_t)(n & 0xff);
		p[2] = (uint8_t)(n >> 8);
	}
	return buf_ok(out);
}

/* --- reading -------------------------------------------------------------- */

struct slice
imap_fields_begin(struct slice kept)
{
	return slice_skip(kept, 1);
}

bool
imap_fields_next(struct slice *rest, struct imap_kept_field *f)
{
	const uint8_t *p = rest->p;
	size_t n;

	if (rest->n < RECORD)
		return false;
	n = (size_t)p[1] | (size_t)p[2] << 8;
	if (rest->n - RECORD < n || p[0] >= 64)
		return false;
	f->number = p[0];
	f->raw = slice_of(p + RECORD, n);
	*rest = slice_of(p + RECORD + n, rest->n - RECORD - n);
	return true;
}

struct slice
imap_fields_value(const struct imap_kept_field *f)
{
	struct slice v = slice_skip(f->raw, slice_find(f->raw, ':') + 1);

	return slice_first(v, v.n < 2 ? 0 : v.n - 2);
}

size_t
imap_fields_len(struct slice kept, uint64_t set)
{
	struct slice rest = imap_fields_begin(kept);
	struct imap_kept_field f;
	size_t n = kept.n != 0 && kept.p[0] != 0 ? 2 : 0;

	while (imap_fields_next(&rest, &f))
		if ((set >> f.number & 1) != 0)
			n += f.raw.n;
	return n;
}

void
imap_fields_put(struct slice kept, uint64_t set, struct buf *out)
{
	struct slice rest = imap_fields_begin(kept);
	struct imap_kept_field f;

	while (imap_fields_next(&rest, &f))
		if ((set >> f.number & 1) != 0)
			buf_put(out, f.raw);
	if (kept.n != 0 && kept.p[0] != 0)
		buf_puts(out, "\r\n");
}
