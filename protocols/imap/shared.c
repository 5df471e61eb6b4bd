#include "protocols/imap/shared.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

static size_t in_use; /* of the process, which has one thread */

bool
imap_shared_take(size_t n)
{
	if (n > IMAP_SHARED_MAX - in_use)
		return false;
	in_use += n;
	return true;
}

void
imap_shared_give(size_t n)
{
	assert(n <= in_use);
	in_use -= n;
}

size_t
imap_shared_in_use(void)
{
	return in_use;
}

bool
imap_shared_busy(void)
{
	return in_use > IMAP_SHARED_MAX / 4;
}

void *
imap_shared_grow(void *p, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap == 0 ? 64 : *cap + *cap / 2;

	if (n <= *cap)
		return p;
	if (more < n)
		more = n;
	if (more > SIZE_MAX / size || !imap_shared_take((more - *cap) * size))
		return NULL;
	*cap = more;
	return mem_realloc(p, more, size);
}

void
imap_shared_free(void *p, size_t cap, size_t size)
{
	imap_shared_give(cap * size);
	free(p);
}
