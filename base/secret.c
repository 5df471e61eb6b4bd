#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void
secret_wipe(void *p, size_t n)
{
	if (n != 0)
		explicit_bzero(p, n);
}

void
secret_set(struct secret *s, struct slice bytes)
{
	uint8_t *p = mem_alloc(bytes.n + 1);

	if (bytes.n != 0)
		memcpy(p, bytes.p, bytes.n);
	p[bytes.n] = '\0';
	secret_fini(s);
	s->p = p;
	s->n = bytes.n;
}

void
secret_fini(struct secret *s)
{
	if (s->p != NULL)
		secret_wipe(s->p, s->n);
	free(s->p);
	s->p = NULL;
	s->n = 0;
}

bool
secret_eq(struct slice a, struct slice b)
{
	/* One length is the peer's: loop over it, and index into the other. */
	volatile uint8_t diff = a.n != b.n;

	for (size_t i = 0; i < b.n; i++)
		diff =
		    (uint8_t)(diff | (b.p[i] ^ (a.n != 0 ? a.p[i % a.n] : 0)));
	return diff == 0;
}
