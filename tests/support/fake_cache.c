/* What the fake store keeps of messages: all or nothing. */
#include <stdlib.h>

#include "base/mem.h"
#include "tests/support/fake_impl.h"

enum { KEPT_MAX = 2000, KEPT_BYTES_MAX = 16 * 1024 };

static struct kept {
	const struct mailbox *m;
	uint32_t uid; /* 0: of all messages together */
	enum cache_kind kind;
	char *p;
	size_t n;
} kept[KEPT_MAX];
static size_t n_kept;
static char *lent; /* what the last mailbox_cache_get() gave */

static struct kept *
find(const struct mailbox *m, uint32_t uid, enum cache_kind kind)
{
	for (size_t k = 0; k < n_kept; k++)
		if (kept[k].m == m && kept[k].uid == uid &&
		    kept[k].kind == kind)
			return &kept[k];
	return NULL;
}

static void
keep(const struct mailbox *m, uint32_t uid, enum cache_kind kind,
    struct slice bytes)
{
	struct kept *k = find(m, uid, kind);

	if (k == NULL && n_kept == KEPT_MAX)
		return;
	if (k != NULL)
		free(k->p);
	else
		k = &kept[n_kept++];
	*k = (struct kept){ m, uid, kind, slice_dup(bytes), bytes.n };
}

/* What can't be read isn't known, either: so a cache changes nothing. */
static const struct kept *
look(const struct mailbox *m, uint32_t uid, enum cache_kind kind)
{
	if (!fake_store.caches || fake_store.read_breaks ||
	    fake_store.open_message_rc != 0)
		return NULL;
	return find(m, uid, kind);
}

bool
mailbox_cache_get(
    struct mailbox *m, uint32_t uid, enum cache_kind kind, struct slice *out)
{
	const struct kept *k =
	    fake_find(m, uid) != NULL ? look(m, uid, kind) : NULL;

	free(lent);
	lent = NULL;
	if (k == NULL)
		return false;
	lent = slice_dup(slice_of(k->p, k->n));
	*out = slice_of(lent, k->n);
	return true;
}

void
mailbox_cache_put(
    struct mailbox *m, uint32_t uid, enum cache_kind kind, struct slice bytes)
{
	if (bytes.n <= KEPT_BYTES_MAX)
		keep(m, uid, kind, bytes);
	free(lent);
	lent = NULL;
}

bool
mailbox_cache_get_whole(
    struct mailbox *m, enum cache_kind kind, struct buf *out)
{
	const struct kept *k = look(m, 0, kind);

	if (k != NULL)
		buf_put(out, slice_of(k->p, k->n));
	return k != NULL;
}

void
mailbox_cache_put_whole(
    struct mailbox *m, enum cache_kind kind, struct slice bytes)
{
	keep(m, 0, kind, bytes);
}

void
fake_forget(const struct mailbox *m)
{
	size_t n = 0;

	for (size_t k = 0; k < n_kept; k++)
		if (kept[k].m == m)
			free(kept[k].p);
		else
			kept[n++] = kept[k];
	n_kept = n;
	free(lent);
	lent = NULL;
}
