#include "protocols/mime/message.h"

#include <stdlib.h>

enum { MESSAGE_MAGIC = 0x6d696d65, PARTS_KEEP = 16, FIELDS_KEEP = 64 };

void
mime_message_init(struct mime_message *m)
{
	*m = (struct mime_message){ .magic = MESSAGE_MAGIC };
	buf_init(&m->text, 0);
}

void
mime_message_fini(struct mime_message *m)
{
	MAGIC_CHECK(m, MESSAGE_MAGIC);
	free(m->parts);
	free(m->kept);
	buf_fini(&m->text);
	mime_message_init(m);
}

void
mime_message_reset(struct mime_message *m)
{
	MAGIC_CHECK(m, MESSAGE_MAGIC);
	if (m->cap_parts > PARTS_KEEP || m->cap_kept > FIELDS_KEEP ||
	    m->text.cap > MIME_TEXT_KEEP) {
		mime_message_fini(m);
		return;
	}
	m->n_parts = m->n_kept = 0;
	m->all = (struct mime_span){ 0 };
	m->capped = false;
	buf_reset(&m->text);
}

static struct slice
text_of(const struct mime_message *m, uint32_t off, uint32_t n)
{
	return slice_first(slice_skip(buf_slice(&m->text), off), n);
}

void
mime_part_type(const struct mime_message *m, uint32_t part, struct slice *type,
    struct slice *subtype)
{
	const struct mime_part *p;

	MAGIC_CHECK(m, MESSAGE_MAGIC);
	assert(part < m->n_parts);
	p = &m->parts[part];
	if (p->type_n != 0) {
		*type = text_of(m, p->type, p->type_n);
		*subtype = text_of(m, p->subtype, p->subtype_n);
	} else if (p->in_digest) {
		/* RFC 2046 5.1.5 */
		*type = SLICE("message");
		*subtype = SLICE("rfc822");
	} else {
		/* RFC 2045 5.2 */
		*type = SLICE("text");
		*subtype = SLICE("plain");
	}
}

bool
mime_part_is(const struct mime_message *m, uint32_t part, struct slice type)
{
	struct slice have, subtype;

	mime_part_type(m, part, &have, &subtype);
	return slice_ieq(have, type);
}

bool
mime_message_field(const struct mime_message *m, uint32_t part,
    enum mime_field id, uint32_t nth, struct slice *value)
{
	const struct mime_part *p;

	MAGIC_CHECK(m, MESSAGE_MAGIC);
	assert(part < m->n_parts);
	p = &m->parts[part];
	if ((p->have >> id & 1) == 0)
		return false;
	for (uint32_t i = 0; i < p->n_fields; i++) {
		const struct mime_kept *k = &m->kept[p->field + i];
		if (k->id != id)
			continue;
		if (nth-- != 0)
			continue;
		*value = slice_trim(text_of(m, k->off, k->n));
		return true;
	}
	return false;
}

struct slice
mime_message_value(
    const struct mime_message *m, uint32_t part, enum mime_field id)
{
	struct slice value;

	if (!mime_message_field(m, part, id, 0, &value))
		return slice_of(NULL, 0);
	return value;
}
