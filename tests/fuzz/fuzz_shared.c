/*
 * Access control lists and the index of shared mailboxes, as foreign bytes.
 *
 * The first byte chooses: even, an index, parsed with (bit 1) and without
 * munge, or as links to other Maildirs (bit 2); odd, a list.  Whatever an index
 * says, no target leads out of its place and no name is more than one part of a
 * mailbox's name; whatever a list says, it is read back as it was written, and
 * takes nothing from those who can't lose it.  With bit 3 it is the name of a
 * mailbox, which is valid only if every part of it could be in an index.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "maildir/acl.h"
#include "maildir/shared_link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_line(const struct shared_index *x, size_t i)
{
	const struct shared_line *l = &x->v[i];
	struct slice target = slice_str(l->target);
	size_t n = target.n;

	assert(l->name.n != 0 && !slice_has(l->name, '.') &&
	    !slice_has(l->name, '/'));
	assert(i == 0 || slice_cmp(x->v[i - 1].name, l->name) < 0);
	assert(shared_index_find(x, l->name) == l);
	assert(n > 1 && target.p[0] == '/' && target.p[n - 1] != '/');
	assert(!slice_contains(target, SLICE("/../")));
	assert(!slice_ends(target, SLICE("/..")));
	assert(!slice_contains(target, SLICE("//")));
	if (l->group)
		assert(slice_starts(target, SLICE("/etc/shared/")));
}

static void
run_index(struct slice bytes, bool munge)
{
	struct shared_index x;

	shared_index_parse(bytes, "/etc/shared", 7, munge, &x);
	for (size_t i = 0; i < x.n; i++)
		check_line(&x, i);
	shared_index_fini(&x);
}

static void
run_links(struct slice bytes)
{
	struct shared_index x;

	shared_links_parse(bytes, &x);
	assert(x.n <= SHARED_LINKS_MAX);
	for (size_t i = 0; i < x.n; i++) {
		assert(!x.v[i].group);
		check_line(&x, i);
	}
	shared_index_fini(&x);
}

static void
run_list(struct slice bytes)
{
	const struct slice owner = SLICE("owner"), joe = SLICE("user=joe"),
			   group = SLICE("group=administrators");
	struct acl a, again;
	struct buf out;
	struct slice loser;

	acl_init(&a);
	acl_init(&again);
	buf_init(&out, 1 << 22);
	acl_parse(bytes, &a);
	acl_put(&out, &a);
	acl_parse(buf_slice(&out), &again);
	assert(a.n == again.n);
	for (size_t i = 0; i < a.n; i++)
		assert(slice_eq(a.v[i].identifier, again.v[i].identifier) &&
		    a.v[i].rights == again.v[i].rights && a.v[i].rights != 0);
	assert((acl_effective(&a, (struct acl_who){ &owner, 1 }) &
		   (ACL_LOOKUP | ACL_ADMINISTER)) ==
	    (ACL_LOOKUP | ACL_ADMINISTER));
	assert(acl_effective(&a, (struct acl_who){ &group, 1 }) == ACL_ALL);
	(void)acl_effective(&a, (struct acl_who){ &joe, 1 });
	if (!acl_is_sound(&a, &loser))
		assert(loser.n != 0);
	buf_fini(&out);
	acl_fini(&a);
	acl_fini(&again);
}

static void
run_name(struct slice name)
{
	const bool valid = shared_name_valid(name);
	struct slice part;

	if (!valid && !shared_link_name_valid(name))
		return;
	assert(!slice_ends(name, SLICE(".")));
	assert(valid != shared_link_name_valid(name));
	assert(
	    slice_starts(name, valid ? SLICE("#shared.") : SLICE("shared.")));
	while (slice_split(&name, '.', &part))
		assert(part.n != 0 && !slice_has(part, '/') &&
		    !slice_has(part, '\0') && !slice_has(part, '\n'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest;

	if (size == 0)
		return 0;
	rest = slice_of(data + 1, size - 1);
	if ((data[0] & 1) != 0)
		run_list(rest);
	else if ((data[0] & 8) != 0)
		run_name(rest);
	else if ((data[0] & 4) != 0)
		run_links(rest);
	else
		run_index(rest, (data[0] & 2) != 0);
	return 0;
}
