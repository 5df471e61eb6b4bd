#include "protocols/pop3/maildrop.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void
pop3_maildrop_set(struct pop3_maildrop *d, struct pop3_entry *entries, size_t n)
{
	size_t len = 0, at = 0;

	pop3_maildrop_fini(d);
	for (size_t i = 0; i < n; i++)
		len += strlen(entries[i].unique_id) + 1;
	d->v = mem_zalloc(n + 1, sizeof(d->v[0]));
	d->ids = mem_alloc(len + 1);
	d->n = n;
	for (size_t i = 0; i < n; i++) {
		size_t id_len = strlen(entries[i].unique_id) + 1;

		d->v[i] = (struct pop3_item){ .size = entries[i].size,
			.unique_id = at,
			.uid = entries[i].uid,
			.header = (uint8_t)entries[i].header };
		memcpy(d->ids + at, entries[i].unique_id, id_len);
		at += id_len;
		d->size += entries[i].size;
	}
	free(entries);
}

void
pop3_maildrop_fini(struct pop3_maildrop *d)
{
	free(d->v);
	free(d->ids);
	*d = (struct pop3_maildrop){ .v = NULL };
}

bool
pop3_maildrop_wraps(const struct pop3_maildrop *d, const struct pop3_item *item)
{
	return d->surrogate != 0 && item->header == HEADER_8BIT;
}

uint64_t
pop3_maildrop_octets(
    const struct pop3_maildrop *d, const struct pop3_item *item)
{
	return item->size + (pop3_maildrop_wraps(d, item) ? d->surrogate : 0);
}

static void
count_size(struct pop3_maildrop *d)
{
	d->size = 0;
	for (size_t i = 0; i < d->n; i++)
		if (!d->v[i].deleted)
			d->size += pop3_maildrop_octets(d, &d->v[i]);
}

void
pop3_maildrop_set_surrogate(struct pop3_maildrop *d, uint64_t octets)
{
	d->surrogate = octets;
	count_size(d);
}

struct pop3_item *
pop3_maildrop_get(const struct pop3_maildrop *d, uint64_t number)
{
	if (number == 0 || number > d->n || d->v[number - 1].deleted)
		return NULL;
	return &d->v[number - 1];
}

struct slice
pop3_maildrop_unique_id(
    const struct pop3_maildrop *d, const struct pop3_item *item)
{
	return slice_str(d->ids + item->unique_id);
}

void
pop3_maildrop_delete(struct pop3_maildrop *d, struct pop3_item *item)
{
	assert(!item->deleted);
	item->deleted = true;
	d->n_deleted++;
	d->size -= pop3_maildrop_octets(d, item);
}

void
pop3_maildrop_reset(struct pop3_maildrop *d)
{
	for (size_t i = 0; i < d->n && d->n_deleted != 0; i++) {
		if (!d->v[i].deleted)
			continue;
		d->v[i].deleted = false;
		d->n_deleted--;
		d->size += pop3_maildrop_octets(d, &d->v[i]);
	}
}

size_t
pop3_maildrop_count(const struct pop3_maildrop *d)
{
	return d->n - d->n_deleted;
}

uint32_t *
pop3_maildrop_deleted(const struct pop3_maildrop *d)
{
	uint32_t *uids = mem_zalloc(d->n_deleted + 1, sizeof(uids[0]));
	size_t n = 0;

	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].deleted)
			uids[n++] = d->v[i].uid;
	assert(n == d->n_deleted);
	return uids;
}
