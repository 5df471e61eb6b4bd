#include "protocols/imap/envelope.h"

#include "protocols/imap/nstring.h"

static void
put_text(struct buf *out, const struct mime_addresses *list,
    struct mime_text_ref ref)
{
	if (ref.n == 0)
		imap_put_nil(out);
	else
		imap_put_string(out, mime_address_text(list, ref));
}

/* "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")" */
static void
put_address(struct buf *out, const struct mime_addresses *list,
    const struct mime_address *a)
{
	if (a->kind == MIME_ADDRESS_GROUP_END) {
		buf_put(out, SLICE("(NIL NIL NIL NIL)"));
		return;
	}
	buf_putc(out, '(');
	put_text(out, list, a->name);
	buf_putc(out, ' ');
	put_text(out, list, a->route);
	buf_putc(out, ' ');
	/* RFC 3501 9: a NIL mailbox would end a group, a NIL host begin one */
	imap_put_string(out, mime_address_text(list, a->mailbox));
	buf_putc(out, ' ');
	if (a->kind == MIME_ADDRESS_GROUP)
		imap_put_nil(out);
	else
		imap_put_string(out, mime_address_text(list, a->host));
	buf_putc(out, ')');
}

/* Append the addresses of all fields of this kind; false if there are none. */
static bool
put_addresses(struct buf *out, const struct mime_message *m, uint32_t part,
    enum mime_field id, struct mime_addresses *list)
{
	struct slice value;

	mime_addresses_reset(list);
	for (uint32_t i = 0; mime_message_field(m, part, id, i, &value); i++)
		mime_addresses_add(list, value);
	if (list->n == 0)
		return false;
	buf_putc(out, '(');
	for (size_t i = 0; i < list->n; i++)
		put_address(out, list, &list->v[i]);
	buf_putc(out, ')');
	return true;
}

/* Append what it has already at such a place. */
static void
put_again(struct buf *out, size_t at, size_t n)
{
	if (buf_reserve(out, n) != NULL) /* so that it stays where it is */
		buf_put(out, slice_first(slice_skip(buf_slice(out), at), n));
}

static void
put_field(struct buf *out, const struct mime_message *m, uint32_t part,
    enum mime_field id)
{
	struct slice value;

	if (mime_message_field(m, part, id, 0, &value))
		imap_put_string(out, value);
	else
		imap_put_nil(out);
}

void
imap_envelope_put(struct buf *out, const struct mime_message *m, uint32_t part)
{
	struct mime_addresses list;

	mime_addresses_init(&list, IMAP_ENVELOPE_ADDRESSES);
	imap_envelope_put_next(out, m, part, &list);
	mime_addresses_fini(&list);
}

void
imap_envelope_put_next(struct buf *out, const struct mime_message *m,
    uint32_t part, struct mime_addresses *list)
{
	static const enum mime_field lists[] = { MIME_F_FROM, MIME_F_SENDER,
		MIME_F_REPLY_TO, MIME_F_TO, MIME_F_CC, MIME_F_BCC };
	size_t from_at = 0, from_n = 0;

	buf_putc(out, '(');
	put_field(out, m, part, MIME_F_DATE);
	buf_putc(out, ' ');
	put_field(out, m, part, MIME_F_SUBJECT);
	for (size_t i = 0; i < NELEMS(lists); i++) {
		size_t at = buf_len(out) + 1;

		buf_putc(out, ' ');
		if (put_addresses(out, m, part, lists[i], list)) {
			if (lists[i] == MIME_F_FROM) {
				from_at = at;
				from_n = buf_len(out) - at;
			}
		} else if (from_n != 0 &&
		    (lists[i] == MIME_F_SENDER ||
			lists[i] == MIME_F_REPLY_TO)) {
			/* RFC 3501 7.4.2: these two default to From */
			put_again(out, from_at, from_n);
		} else {
			imap_put_nil(out);
		}
	}
	buf_putc(out, ' ');
	put_field(out, m, part, MIME_F_IN_REPLY_TO);
	buf_putc(out, ' ');
	put_field(out, m, part, MIME_F_MESSAGE_ID);
	buf_putc(out, ')');
}

void
imap_envelope_put_empty(struct buf *out)
{
	buf_put(out, SLICE("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"));
}
