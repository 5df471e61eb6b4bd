#include "protocols/mime/section.h"

/* The nth child (from 1), or MIME_NONE. */
static uint32_t
child_of(const struct mime_message *m, uint32_t part, uint32_t nth)
{
	const struct mime_part *p = &m->parts[part];
	uint32_t child = p->first;

	if (nth == 0 || nth > p->n_children)
		return MIME_NONE;
	while (--nth != 0)
		child = m->parts[child].next;
	return child;
}

bool
mime_section_find(const struct mime_message *m, const uint32_t *path, size_t n,
    uint32_t *part)
{
	/* whole: cur stands for a message, not yet for its body as part 1 */
	bool whole = true;
	uint32_t cur = 0;

	assert(m->n_parts != 0);
	for (size_t i = 0; i < n; i++) {
		if (!whole && m->parts[cur].kind == MIME_MESSAGE) {
			cur = m->parts[cur].first;
			whole = true;
		}
		if (m->parts[cur].kind == MIME_MULTIPART) {
			cur = child_of(m, cur, path[i]);
			if (cur == MIME_NONE)
				return false;
		} else if (!whole || path[i] != 1) {
			return false;
		}
		whole = false;
	}
	*part = cur;
	return true;
}

bool
mime_section_span(const struct mime_message *m, const uint32_t *path, size_t n,
    enum mime_section what, struct mime_span *span)
{
	uint32_t part;

	if (!mime_section_find(m, path, n, &part))
		return false;
	if (what == MIME_SECTION_ALL) {
		*span = n == 0 ? m->all : m->parts[part].body;
		return true;
	}
	if (what == MIME_SECTION_MIME) {
		if (n == 0)
			return false;
		*span = m->parts[part].header;
		return true;
	}
	if (n != 0) {
		if (m->parts[part].kind != MIME_MESSAGE)
			return false;
		part = m->parts[part].first;
	}
	*span = what == MIME_SECTION_HEADER ? m->parts[part].header
					    : m->parts[part].body;
	return true;
}
