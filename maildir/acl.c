#include "maildir/acl.h"

#include <stdlib.h>

#include "base/ascii.h"
#include "base/mem.h"

static const char letters[] = "aceilrstwx";

static const struct slice owner = SLICE_INIT("owner");
static const struct slice administrators = SLICE_INIT("administrators");
static const struct slice administrator_group =
    SLICE_INIT("group=administrators");

void
acl_init(struct acl *a)
{
	*a = (struct acl){ 0 };
	arena_init(&a->arena, 0);
}

void
acl_fini(struct acl *a)
{
	free(a->v);
	arena_fini(&a->arena);
	*a = (struct acl){ 0 };
}

/* --- rights --------------------------------------------------------------- */

/* The right of a letter; 0: none. */
static unsigned
right_of(uint8_t letter)
{
	/* RFC 4314 2.1.1: d stands for e, t and x; c for k */
	if (letter == 'd')
		return ACL_EXPUNGE | ACL_DELETE_MESSAGES | ACL_DELETE_MAILBOX;
	if (letter == 'k')
		return ACL_CREATE;
	for (unsigned k = 0; letters[k] != '\0'; k++)
		if ((uint8_t)letters[k] == letter)
			return 1u << k;
	return 0;
}

bool
acl_rights_parse(struct slice s, unsigned *rights)
{
	unsigned all = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned right = right_of(s.p[i]);

		if (right == 0)
			return false;
		all |= right;
	}
	*rights = all;
	return true;
}

void
acl_rights_put(struct buf *out, unsigned rights)
{
	for (unsigned k = 0; letters[k] != '\0'; k++)
		if (rights >> k & 1)
			buf_putc(out, (uint8_t)letters[k]);
}

/* --- entries -------------------------------------------------------------- */

static bool
is_identifier(struct slice s)
{
	if (s.n == 0 || s.n > ACL_IDENTIFIER_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (ascii_is_control(s.p[i]) || s.p[i] == ' ')
			return false;
	return !slice_eq(s, SLICE("-"));
}

static struct acl_entry *
find(const struct acl *a, struct slice identifier)
{
	for (size_t i = 0; i < a->n; i++)
		if (slice_eq(a->v[i].identifier, identifier))
			return &a->v[i];
	return NULL;
}

const struct acl_entry *
acl_find(const struct acl *a, struct slice identifier)
{
	return find(a, identifier);
}

static void
remove_entry(struct acl *a, struct acl_entry *entry)
{
	for (size_t i = (size_t)(entry - a->v); i + 1 < a->n; i++)
		a->v[i] = a->v[i + 1];
	a->n--;
}

bool
acl_set(struct acl *a, struct slice identifier, unsigned rights)
{
	struct acl_entry *entry = find(a, identifier);

	if (rights == 0) {
		if (entry != NULL)
			remove_entry(a, entry);
		return true;
	}
	if (entry == NULL) {
		if (!is_identifier(identifier) || a->n >= ACL_ENTRIES_MAX)
			return false;
		if (a->n == a->cap) {
			a->cap = a->cap * 2 + 8;
			a->v = mem_realloc(a->v, a->cap, sizeof(*a->v));
		}
		entry = &a->v[a->n++];
		entry->identifier = arena_dup(&a->arena, identifier);
	}
	entry->rights = rights;
	return true;
}

bool
acl_add(struct acl *a, struct slice identifier, unsigned rights)
{
	const struct acl_entry *e = acl_find(a, identifier);

	if (e != NULL)
		rights |= e->rights;
	return rights == 0 || acl_set(a, identifier, rights);
}

void
acl_parse(struct slice bytes, struct acl *out)
{
	struct slice line, identifier;

	while (slice_split(&bytes, '\n', &line)) {
		unsigned rights = 0;

		(void)slice_split(&line, ' ', &identifier);
		if (!is_identifier(identifier))
			continue;
		/* a letter that means nothing here must not make a line that
		 * takes rights away ineffective */
		line = slice_trim(line);
		for (size_t i = 0; i < line.n; i++)
			rights |= right_of(line.p[i]);
		if (!acl_set(out, identifier, rights))
			return;
	}
}

void
acl_put(struct buf *out, const struct acl *a)
{
	for (size_t i = 0; i < a->n; i++) {
		buf_put(out, a->v[i].identifier);
		buf_putc(out, ' ');
		acl_rights_put(out, a->v[i].rights);
		buf_putc(out, '\n');
	}
}

void
acl_default(struct acl *out)
{
	out->by_default = true;
	(void)!acl_set(out, owner, ACL_ALL);
	(void)!acl_set(out, administrators, ACL_ALL);
}

/* --- who may what --------------------------------------------------------- */

/* One name for what has two. */
static struct slice
canonical(struct slice identifier)
{
	return slice_eq(identifier, administrators) ? administrator_group
						    : identifier;
}

static bool
is_called(struct acl_who who, struct slice identifier)
{
	identifier = canonical(identifier);
	for (size_t i = 0; i < who.n; i++)
		if (slice_eq(canonical(who.v[i]), identifier))
			return true;
	return false;
}

static bool
is_about(struct acl_who who, struct slice identifier)
{
	return slice_eq(identifier, SLICE("anyone")) ||
	    slice_eq(identifier, SLICE("anonymous")) ||
	    is_called(who, identifier);
}

/* As the list has it. */
static unsigned
compute(const struct acl *a, struct acl_who who)
{
	unsigned plus = 0, minus = 0;

	for (size_t i = 0; i < a->n; i++) {
		struct slice id = a->v[i].identifier;

		if (id.p[0] != '-' && is_about(who, id))
			plus |= a->v[i].rights;
		else if (id.p[0] == '-' && is_about(who, slice_skip(id, 1)))
			minus |= a->v[i].rights;
	}
	return plus & ~minus;
}

/* What can't be taken from somebody, whatever the list says. */
static unsigned
kept(struct acl_who who)
{
	if (is_called(who, administrators))
		return ACL_ALL;
	/* else nobody could ever give the rights back */
	return is_called(who, owner) ? ACL_LOOKUP | ACL_ADMINISTER : 0;
}

unsigned
acl_effective(const struct acl *a, struct acl_who who)
{
	return compute(a, who) | kept(who);
}

bool
acl_is_sound(const struct acl *a, struct slice *loser)
{
	const struct slice *all[] = { &owner, &administrators };

	for (size_t i = 0; i < NELEMS(all); i++) {
		struct acl_who who = { all[i], 1 };

		if ((kept(who) & ~compute(a, who)) != 0) {
			*loser = *all[i];
			return false;
		}
	}
	return true;
}

const struct acl_print acl_print_none = { 0, -1, 0 };

bool
acl_print_same(const struct acl_print *a, const struct acl_print *b)
{
	return a->ctime_ns != 0 && a->ctime_ns == b->ctime_ns &&
	    a->ino == b->ino && a->size == b->size;
}
