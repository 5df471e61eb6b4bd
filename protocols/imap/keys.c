#include "protocols/imap/keys.h"

#include <string.h>

#include "base/defs.h"
#include "base/le.h"
#include "protocols/imap/base_subject.h"
#include "protocols/imap/casemap.h"
#include "protocols/imap/fields.h"
#include "protocols/mime/address.h"
#include "protocols/mime/date.h"
#include "protocols/mime/header.h"
#include "protocols/mime/msgid.h"
#include "protocols/mime/words.h"

enum {
	TEXT_MAX = 1024 * 1024,
	DATE_BYTES = 12,
	ADDRESS_MAX = 1000, /* bytes of an address that count for its place */
};

/* --- texts ---------------------------------------------------------------- */

/* Whether decoding would leave it as it is. */
static bool
is_plain(struct slice v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] >= 0x80 || v.p[i] == '\n' ||
		    (v.p[i] == '=' && i + 1 < v.n && v.p[i + 1] == '?'))
			return false;
	return true;
}

void
imap_key_decode(struct slice value, struct buf *out)
{
	struct buf plain;

	if (is_plain(value)) {
		buf_put(out, value);
		return;
	}
	buf_init(&plain, TEXT_MAX);
	mime_unfold(value, &plain);
	mime_words_decode(buf_slice(&plain), out);
	buf_fini(&plain);
}

static void
put_prepared(struct slice value, struct buf *out)
{
	struct buf text;

	if (is_plain(value)) {
		imap_casemap(value, out);
		return;
	}
	buf_init(&text, TEXT_MAX);
	imap_key_decode(value, &text);
	imap_casemap(buf_slice(&text), out);
	buf_fini(&text);
}

void
imap_key_text(struct slice kept, unsigned number, struct buf *out)
{
	struct slice rest = imap_fields_begin(kept);
	struct imap_kept_field f;

	while (imap_fields_next(&rest, &f)) {
		if (f.number != number)
			continue;
		put_prepared(imap_fields_value(&f), out);
		buf_putc(out, 0);
	}
}

/* The value of the first field with a number; false if there is none. */
static bool
first_value(struct slice kept, unsigned number, struct slice *value)
{
	struct slice rest = imap_fields_begin(kept);
	struct imap_kept_field f;

	while (imap_fields_next(&rest, &f))
		if (f.number == number) {
			*value = imap_fields_value(&f);
			return true;
		}
	return false;
}

/* --- the date ------------------------------------------------------------- */

void
imap_key_date(struct slice kept, struct buf *out)
{
	struct slice value;
	struct mime_date d;
	struct buf plain;
	bool ok;

	if (!first_value(kept, IMAP_F_DATE, &value))
		return;
	buf_init(&plain, TEXT_MAX);
	mime_unfold(value, &plain);
	ok = mime_date_parse(buf_slice(&plain), &d);
	buf_fini(&plain);
	if (!ok)
		return;
	le_put(out, (uint64_t)d.epoch, 8);
	le_put(out,
	    (uint64_t)mime_date_days(d.year, d.month, d.day) & 0xffffffff, 4);
}

bool
imap_key_date_get(struct slice key, int64_t *epoch_s, int32_t *days)
{
	if (key.n != DATE_BYTES)
		return false;
	*epoch_s = (int64_t)le_get64(key.p);
	*days = (int32_t)le_get32(key.p + 8);
	return true;
}

/* --- the base subject ----------------------------------------------------- */

void
imap_key_base(struct slice kept, struct buf *out)
{
	struct slice value, base;
	struct buf text, blanks;
	bool reply;

	if (!first_value(kept, IMAP_F_SUBJECT, &value)) {
		buf_putc(out, 0);
		return;
	}
	buf_init(&text, TEXT_MAX);
	buf_init(&blanks, TEXT_MAX);
	imap_key_decode(value, &text);
	imap_subject_blanks(buf_slice(&text), &blanks);
	base = imap_base_subject(buf_slice(&blanks), &reply);
	buf_putc(out, reply);
	imap_casemap(base, out);
	buf_fini(&blanks);
	buf_fini(&text);
}

/* --- addresses ------------------------------------------------------------ */

/* One of the strings: its length in two bytes, and what counts of it. */
static void
put_counted(struct slice s, struct buf *out)
{
	struct buf prepared;

	buf_init(&prepared, TEXT_MAX);
	put_prepared(s, &prepared);
	s = slice_first(buf_slice(&prepared), ADDRESS_MAX);
	le_put(out, s.n, 2);
	buf_put(out, s);
	buf_fini(&prepared);
}

/* The first address of a list; false if there is none. */
static bool
first_address(struct slice kept, unsigned number, struct mime_addresses *list)
{
	struct slice value;

	mime_addresses_init(list, 1);
	if (first_value(kept, number, &value))
		mime_addresses_add(list, value);
	return list->n != 0;
}

static void
put_mailbox(struct slice kept, unsigned number, struct buf *out)
{
	struct mime_addresses list;

	if (first_address(kept, number, &list))
		put_counted(mime_address_text(&list, list.v[0].mailbox), out);
	else
		le_put(out, 0, 2);
	mime_addresses_fini(&list);
}

/* RFC 5957 3 */
static void
put_display(struct slice kept, unsigned number, struct buf *out)
{
	struct mime_addresses list;
	struct buf text;

	if (!first_address(kept, number, &list)) {
		le_put(out, 0, 2);
	} else if (list.v[0].name.n != 0) {
		put_counted(mime_address_text(&list, list.v[0].name), out);
	} else {
		buf_init(&text, TEXT_MAX);
		buf_put(&text, mime_address_text(&list, list.v[0].mailbox));
		if (list.v[0].kind == MIME_ADDRESS_MAILBOX) {
			buf_putc(&text, '@');
			buf_put(
			    &text, mime_address_text(&list, list.v[0].host));
		}
		put_counted(buf_slice(&text), out);
		buf_fini(&text);
	}
	mime_addresses_fini(&list);
}

void
imap_key_addresses(struct slice kept, struct buf *out)
{
	put_mailbox(kept, IMAP_F_FROM, out);
	put_mailbox(kept, IMAP_F_TO, out);
	put_mailbox(kept, IMAP_F_CC, out);
	put_display(kept, IMAP_F_FROM, out);
	put_display(kept, IMAP_F_TO, out);
}

struct slice
imap_key_address(struct slice key, enum imap_key_address which)
{
	for (unsigned i = 0;; i++) {
		size_t n;

		if (key.n < 2)
			return slice_of(NULL, 0);
		n = (size_t)le_get(key.p, 2);
		key = slice_skip(key, 2);
		if (i == (unsigned)which)
			return slice_first(key, n);
		key = slice_skip(key, n);
	}
}

/* --- message ids ---------------------------------------------------------- */

uint64_t
imap_key_hash(struct slice id)
{
	uint64_t h = 0x2545f4914f6cdd1du ^ id.n;

	while (id.n != 0) {
		uint64_t v =
		    id.n < 8 ? le_get(id.p, (unsigned)id.n) : le_get64(id.p);

		h = (h ^ v) * 0xd6e8feb86659fd93u;
		h ^= h >> 32;
		id = slice_skip(id, 8);
	}
	h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
	h ^= h >> 32;
	return h != 0 ? h : 1;
}

/* Append the numbers of the ids in a value, at most max, the last ones. */
static size_t
put_ids(struct slice value, size_t max, struct buf *out)
{
	size_t at = buf_len(out), n = 0;
	struct slice rest = value;
	struct buf id;

	buf_init(&id, TEXT_MAX);
	while (mime_msgid_next(&rest, &id)) {
		if (n == max && max == 1)
			break; /* RFC 5256: the first of In-Reply-To */
		if (n == max) {
			uint8_t *p = out->p + out->off + at;

			memmove(p, p + 8, (n - 1) * 8);
			buf_truncate(out, at + (n - 1) * 8);
			n--;
		}
		le_put(out, imap_key_hash(buf_slice(&id)), 8);
		n++;
		buf_reset(&id);
	}
	buf_fini(&id);
	return n;
}

void
imap_key_thread(struct slice kept, struct buf *out)
{
	struct slice value;

	if (!first_value(kept, IMAP_F_MESSAGE_ID, &value) ||
	    put_ids(value, 1, out) == 0)
		le_put(out, 0, 8);
	if (first_value(kept, IMAP_F_REFERENCES, &value) &&
	    put_ids(value, IMAP_KEY_REFERENCES_MAX, out) != 0)
		return;
	if (first_value(kept, IMAP_F_IN_REPLY_TO, &value))
		(void)put_ids(value, 1, out);
}

uint64_t
imap_key_id(struct slice key, size_t n)
{
	return key.n / 8 > n ? le_get64(key.p + 8 * n) : 0;
}

/* --- by their kind -------------------------------------------------------- */

void
imap_key_make(enum cache_kind kind, struct slice kept, struct buf *out)
{
	switch (kind) {
	case CACHE_SUBJECT:
		imap_key_text(kept, IMAP_F_SUBJECT, out);
		break;
	case CACHE_FROM:
		imap_key_text(kept, IMAP_F_FROM, out);
		break;
	case CACHE_TO:
		imap_key_text(kept, IMAP_F_TO, out);
		break;
	case CACHE_CC:
		imap_key_text(kept, IMAP_F_CC, out);
		break;
	case CACHE_BCC:
		imap_key_text(kept, IMAP_F_BCC, out);
		break;
	case CACHE_DATE:
		imap_key_date(kept, out);
		break;
	case CACHE_BASE:
		imap_key_base(kept, out);
		break;
	case CACHE_ADDRESSES:
		imap_key_addresses(kept, out);
		break;
	case CACHE_THREAD:
		imap_key_thread(kept, out);
		break;
	case CACHE_ENVELOPE:
	case CACHE_BODY:
	case CACHE_BODYSTRUCTURE:
	case CACHE_PARTS:
	case CACHE_FIELDS:
	case CACHE_PREVIEW:
	case CACHE_ORDER_SUBJECT:
	case CACHE_ORDER_FROM:
	case CACHE_ORDER_TO:
	case CACHE_ORDER_CC:
	case CACHE_ORDER_DISPLAYFROM:
	case CACHE_ORDER_DISPLAYTO:
	case CACHE_HEADER:
	case CACHE_N_KINDS:
		assert(kind == CACHE_SUBJECT);
	}
}
