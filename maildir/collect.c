#include "maildir/collect.h"

#include <stdlib.h>

#include "base/mem.h"
#include "maildir/name.h"

void
collect_init(struct collect *c)
{
	*c = (struct collect){ 0 };
	buf_init(&c->names, COLLECT_MAX);
}

void
collect_fini(struct collect *c)
{
	buf_fini(&c->names);
	free(c->v);
	c->v = NULL;
	c->n = c->cap = 0;
}

void
collect_add(struct collect *c, struct slice name, unsigned attrs)
{
	size_t at = buf_len(&c->names);

	buf_put(&c->names, name);
	if (!buf_ok(&c->names))
		return;
	if (c->n == c->cap) {
		c->cap = c->cap * 2 + 16;
		c->v = mem_realloc(c->v, c->cap, sizeof(*c->v));
	}
	c->v[c->n++] = (struct entry_at){ at, name.n, attrs };
}

static int
order_entries(const void *a, const void *b)
{
	const struct mailbox_entry *x = a, *y = b;
	bool ix = name_is_inbox(x->name), iy = name_is_inbox(y->name);

	if (ix != iy)
		return ix ? -1 : 1;
	return slice_cmp(x->name, y->name);
}

static bool
is_below(struct slice name, struct slice parent)
{
	return name.n > parent.n && name.p[parent.n] == '.' &&
	    slice_starts(name, parent);
}

void
collect_finish(struct collect *c, struct mailbox_list *out)
{
	size_t n = 0;

	out->v = mem_alloc((c->n + 1) * sizeof(*out->v));
	for (size_t i = 0; i < c->n; i++)
		out->v[i] = (struct mailbox_entry){
			slice_of(
			    buf_slice(&c->names).p + c->v[i].at, c->v[i].n),
			c->v[i].attrs
		};
	if (c->n != 0)
		qsort(out->v, c->n, sizeof(*out->v), order_entries);
	for (size_t i = 0; i < c->n; i++) {
		if (n != 0 && slice_eq(out->v[n - 1].name, out->v[i].name)) {
			unsigned both = out->v[n - 1].attrs | out->v[i].attrs;

			/* \Noselect only if nobody knows better */
			if (!(out->v[n - 1].attrs & out->v[i].attrs &
				MAILBOX_NOSELECT))
				both &= ~(unsigned)MAILBOX_NOSELECT;
			out->v[n - 1].attrs = both;
		} else {
			out->v[n++] = out->v[i];
		}
	}
	/* Bytes below '.' sort between a parent and its children, so the
	 * entry behind isn't always a child: look as far as the prefix goes. */
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1;
		     k < n && slice_starts(out->v[k].name, out->v[i].name); k++)
			if (is_below(out->v[k].name, out->v[i].name)) {
				out->v[i].attrs |= MAILBOX_HAS_CHILDREN;
				break;
			}
	out->n = n;
	out->store = c->names.p;
	c->names = (struct buf){ 0 };
	collect_fini(c);
}

void
collect_parents(struct collect *c, struct slice root)
{
	size_t n = c->n;

	for (size_t i = 0; i < n; i++) {
		size_t at = c->v[i].at;

		for (size_t k = root.n + 1; k < c->v[i].n; k++) {
			struct slice all = buf_slice(&c->names);
			char *parent;

			if (all.p[at + k] != '.')
				continue;
			parent = slice_dup(slice_of(all.p + at, k));
			collect_add(c, slice_str(parent), MAILBOX_NOSELECT);
			free(parent);
		}
	}
}

void
mailbox_list_fini(struct mailbox_list *l)
{
	free(l->v);
	free(l->store);
	*l = (struct mailbox_list){ 0 };
}
