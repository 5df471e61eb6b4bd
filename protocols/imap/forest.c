/*
 * A link-cut tree (Sleator and Tarjan): each tree is divided into paths, each
 * path is a splay tree ordered by depth, and a splay tree's root knows by up
 * where its path hangs.  Walking from a node to its root would do for any
 * honest mailbox, and takes time without end for one that was made for it.
 *
 * Mostly there is nothing to ask: what has no children can't have the new
 * parent among them, and a parent that is a root is nobody's descendant.
 */
#include "protocols/imap/forest.h"

#include "protocols/imap/shared.h"

void
imap_forest_init(struct imap_forest *f)
{
	*f = (struct imap_forest){ .n = 0 };
}

void
imap_forest_fini(struct imap_forest *f)
{
	imap_shared_free(f->v, f->cap, sizeof(*f->v));
	imap_forest_init(f);
}

uint32_t
imap_forest_add(struct imap_forest *f)
{
	struct imap_forest_node *v;

	if (f->n == UINT32_MAX)
		return 0;
	v = imap_shared_grow(f->v, &f->cap, f->n + 2, sizeof(*v));
	if (v == NULL)
		return 0;
	f->v = v;
	if (f->n == 0)
		f->v[f->n++] = (struct imap_forest_node){ .parent = 0 };
	f->v[f->n] = (struct imap_forest_node){ .parent = 0 };
	return (uint32_t)f->n++;
}

uint32_t
imap_forest_parent(const struct imap_forest *f, uint32_t node)
{
	return f->v[node].parent;
}

/* --- splay trees ---------------------------------------------------------- */

static bool
is_splay_root(const struct imap_forest *f, uint32_t x)
{
	uint32_t up = f->v[x].up;

	return up == 0 || (f->v[up].child[0] != x && f->v[up].child[1] != x);
}

static void
rotate(struct imap_forest *f, uint32_t x)
{
	uint32_t p = f->v[x].up, g = f->v[p].up;
	unsigned side = f->v[p].child[1] == x;
	uint32_t inner = f->v[x].child[!side];

	if (!is_splay_root(f, p))
		f->v[g].child[f->v[g].child[1] == p] = x;
	f->v[x].up = g;
	f->v[p].child[side] = inner;
	if (inner != 0)
		f->v[inner].up = p;
	f->v[x].child[!side] = p;
	f->v[p].up = x;
}

static void
splay(struct imap_forest *f, uint32_t x)
{
	while (!is_splay_root(f, x)) {
		uint32_t p = f->v[x].up, g = f->v[p].up;

		if (!is_splay_root(f, p))
			rotate(f,
			    (f->v[g].child[1] == p) == (f->v[p].child[1] == x)
				? p
				: x);
		rotate(f, x);
	}
}

/* Make the path from the root to x one splay tree with x on top. */
static void
expose(struct imap_forest *f, uint32_t x)
{
	uint32_t below = 0;

	for (uint32_t at = x; at != 0; at = f->v[at].up) {
		splay(f, at);
		f->v[at].child[1] = below;
		below = at;
	}
	splay(f, x);
}

static uint32_t
root_of(struct imap_forest *f, uint32_t x)
{
	expose(f, x);
	while (f->v[x].child[0] != 0)
		x = f->v[x].child[0];
	splay(f, x);
	return x;
}

/* --- trees ---------------------------------------------------------------- */

bool
imap_forest_join(struct imap_forest *f, uint32_t root, uint32_t parent)
{
	if (root == parent)
		return false;
	if (f->v[root].has_children && f->v[parent].parent != 0 &&
	    root_of(f, parent) == root)
		return false;
	expose(f, root);
	f->v[root].up = parent;
	f->v[root].parent = parent;
	f->v[parent].has_children = true;
	return true;
}

void
imap_forest_cut(struct imap_forest *f, uint32_t node)
{
	uint32_t above;

	if (f->v[node].parent == 0)
		return;
	expose(f, node);
	above = f->v[node].child[0];
	f->v[node].child[0] = 0;
	f->v[above].up = 0;
	f->v[node].parent = 0;
}
