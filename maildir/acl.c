#include "maildir/acl.h"

#include <stdlib.h>

#include "base/ascii.h"
#include "base/mem.h"
#include "maildir/foreign.h"

#define FILE_NAME "courierimapacl"
#define HIER_DIR  "courierimaphieracl"

enum { FILE_MAX = 512 * 1024 };

static const char letters[] = "aceilrstwx";

static const struct slice owner = SLICE_INIT("owner");

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

bool
acl_rights_parse(struct slice s, unsigned *rights)
{
	unsigned all = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned k = 0;

		/* RFC 4314 2.1.1: d stands for e, t and x */
		if (s.p[i] == 'd') {
			all |= ACL_EXPUNGE | ACL_DELETE_MESSAGES |
			    ACL_DELETE_MAILBOX;
			continue;
		}
		while (letters[k] != '\0' && (uint8_t)letters[k] != s.p[i])
			k++;
		if (letters[k] == '\0')
			return false;
		all |= 1u << k;
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

void
acl_parse(struct slice bytes, struct acl *out)
{
	struct slice line, identifier;
	unsigned rights;

	while (slice_split(&bytes, '\n', &line))
		if (slice_split(&line, ' ', &identifier) &&
		    is_identifier(identifier) &&
		    acl_rights_parse(slice_trim(line), &rights) &&
		    !acl_set(out, identifier, rights))
			return;
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

static bool
is_about(struct slice identifier, struct slice user, bool is_owner)
{
	if (slice_starts(identifier, SLICE("user=")))
		return slice_eq(slice_skip(identifier, 5), user);
	if (slice_eq(identifier, owner))
		return is_owner;
	return slice_eq(identifier, SLICE("anyone")) ||
	    slice_eq(identifier, SLICE("anonymous"));
}

unsigned
acl_effective(const struct acl *a, struct slice user, bool is_owner)
{
	unsigned plus = 0, minus = 0;

	for (size_t i = 0; i < a->n; i++) {
		struct slice id = a->v[i].identifier;

		if (id.p[0] != '-' && is_about(id, user, is_owner))
			plus |= a->v[i].rights;
		else if (id.p[0] == '-' &&
		    is_about(slice_skip(id, 1), user, is_owner))
			minus |= a->v[i].rights;
	}
	plus &= ~minus;
	/* else nobody could ever give the rights back */
	return is_owner ? plus | ACL_LOOKUP | ACL_ADMINISTER : plus;
}

/* --- files ---------------------------------------------------------------- */

static bool
read_file(int root_fd, const char *dir, const char *name, struct acl *out)
{
	struct buf bytes;
	bool found;

	buf_init(&bytes, FILE_MAX);
	found = foreign_file_read(root_fd, dir, name, &bytes);
	if (found)
		acl_parse(buf_slice(&bytes), out);
	buf_fini(&bytes);
	return found;
}

void
acl_read(int root_fd, const char *dir, struct acl *out)
{
	struct slice rest = slice_str(dir);
	struct buf path;
	bool found = false;

	buf_init(&path, 1024);
	/* ".a.b", then ".a", then "" */
	while (!found) {
		buf_reset(&path);
		buf_put(&path, rest);
		found = read_file(root_fd, buf_cstr(&path), FILE_NAME, out) ||
		    (rest.n > 1 &&
			read_file(root_fd, HIER_DIR, buf_cstr(&path) + 1, out));
		if (rest.n == 0)
			break;
		rest = slice_first(rest, slice_rfind(rest, '.'));
	}
	buf_fini(&path);
	if (!found)
		(void)!acl_set(out, owner, ACL_ALL);
}
