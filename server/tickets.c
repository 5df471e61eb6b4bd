#include "server/tickets.h"

#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"

enum { N_BUCKETS = 1024 };

struct ticket {
	TAILQ_ENTRY(ticket) by_age;
	struct ticket *next; /* in its bucket */
	uint8_t bytes[TICKET_SIZE];
	char *service, *client_addr;
	int64_t born_ms;
	struct account_record record;
};

struct tickets {
	/* Tickets are random, so any of their bits make a good hash. */
	struct ticket *bucket[N_BUCKETS];
	TAILQ_HEAD(, ticket) by_age;
	size_t n;
};

void
account_record_fini(struct account_record *r)
{
	free(r->user);
	free(r->home);
	free(r->maildir);
	free(r->quota);
	free(r->options);
	*r = (struct account_record){ 0 };
}

struct tickets *
tickets_new(void)
{
	struct tickets *t = MEM_NEW(struct tickets);

	TAILQ_INIT(&t->by_age);
	return t;
}

static unsigned
bucket_of(const uint8_t *bytes)
{
	unsigned at;

	memcpy(&at, bytes, sizeof(at));
	return at % N_BUCKETS;
}

static struct ticket **
place_of(struct tickets *t, const uint8_t *bytes)
{
	return &t->bucket[bucket_of(bytes)];
}

static struct ticket *
find(const struct tickets *t, struct slice ticket)
{
	struct ticket *k;

	if (ticket.n != TICKET_SIZE)
		return NULL;
	for (k = t->bucket[bucket_of(ticket.p)]; k != NULL; k = k->next)
		if (secret_eq(slice_of(k->bytes, TICKET_SIZE), ticket))
			break;
	return k;
}

/* Take it out of the table; its memory stays. */
static void
unlink_ticket(struct tickets *t, struct ticket *k)
{
	struct ticket **pp = place_of(t, k->bytes);

	while (*pp != k)
		pp = &(*pp)->next;
	*pp = k->next;
	TAILQ_REMOVE(&t->by_age, k, by_age);
	t->n--;
}

static void
ticket_free(struct ticket *k)
{
	secret_wipe(k->bytes, sizeof(k->bytes));
	account_record_fini(&k->record);
	free(k->service);
	free(k->client_addr);
	free(k);
}

void
tickets_free(struct tickets **tt)
{
	struct tickets *t = *tt;
	struct ticket *k;

	if (t == NULL)
		return;
	while ((k = TAILQ_FIRST(&t->by_age)) != NULL) {
		unlink_ticket(t, k);
		ticket_free(k);
	}
	free(t);
	*tt = NULL;
}

void
tickets_add(struct tickets *t, struct slice ticket, const char *service,
    const char *client_addr, struct account_record *r, int64_t now_ms)
{
	struct ticket *k, **pp;

	assert(ticket.n == TICKET_SIZE);
	if (t->n >= TICKETS_MAX) {
		k = TAILQ_FIRST(&t->by_age);
		unlink_ticket(t, k);
		ticket_free(k);
	}
	k = MEM_NEW(struct ticket);
	memcpy(k->bytes, ticket.p, TICKET_SIZE);
	k->service = mem_strdup(service);
	k->client_addr = mem_strdup(client_addr);
	k->born_ms = now_ms;
	k->record = *r;
	*r = (struct account_record){ 0 };
	pp = place_of(t, k->bytes);
	k->next = *pp;
	*pp = k;
	TAILQ_INSERT_TAIL(&t->by_age, k, by_age);
	t->n++;
}

bool
tickets_have(const struct tickets *t, struct slice ticket)
{
	return find(t, ticket) != NULL;
}

bool
tickets_take(struct tickets *t, struct slice ticket, const char *service,
    const char *client_addr, int64_t now_ms, struct account_record *out,
    bool *found)
{
	struct ticket *k = find(t, ticket);
	bool fits;

	if (found != NULL)
		*found = k != NULL;
	if (k == NULL)
		return false;
	unlink_ticket(t, k);
	fits = now_ms - k->born_ms <= TICKET_LIFE_MS &&
	    strcmp(k->service, service) == 0 &&
	    strcmp(k->client_addr, client_addr) == 0;
	if (fits) {
		*out = k->record;
		k->record = (struct account_record){ 0 };
	}
	ticket_free(k);
	return fits;
}

void
tickets_expire(struct tickets *t, int64_t now_ms)
{
	struct ticket *k;

	while ((k = TAILQ_FIRST(&t->by_age)) != NULL &&
	    now_ms - k->born_ms > TICKET_LIFE_MS) {
		unlink_ticket(t, k);
		ticket_free(k);
	}
}
