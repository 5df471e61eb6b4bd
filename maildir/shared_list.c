/*
 * The mailboxes of others that somebody may see.
 *
 * Index after index, depth first, and of each account's Maildir the lists:
 * nothing is opened but directories and files of lists, for there may be
 * thousands of accounts, and of most there's nothing to see.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/acl_file.h"
#include "maildir/collect.h"
#include "maildir/dir.h"
#include "maildir/internal.h"
#include "maildir/name.h"
#include "maildir/shared_link.h"

enum {
	/* of a step: entries of a Maildir, and of lists, which cost less */
	VISIT_SLICE = 16,
	LISTS_SLICE = 256,
};

struct level {
	const struct shared_index *x;
	char *file;
	size_t at;     /* the next line */
	size_t n_name; /* bytes of the name up to here */
};

struct shared_listing {
	struct account *near;
	struct shared_options opt;
	struct acl_who who;
	char *prefix;
	struct level v[SHARED_DEPTH_MAX];
	size_t depth;
	size_t n_lines; /* and mailboxes found */
	bool begun;
	bool links;    /* those in "shared." */
	bool visiting; /* r is of an account's Maildir, and its name in name */
	struct dir_reader r;
	struct buf name; /* "#shared.group" */
	struct collect found;
};

struct shared_listing *
shared_listing_new(struct account *near, const struct shared_options *o,
    struct acl_who who, struct slice prefix)
{
	struct shared_listing *l = MEM_NEW(struct shared_listing);

	MAGIC_CHECK(near, ACCOUNT_MAGIC);
	l->near = near;
	near->refs++;
	l->opt = *o;
	l->who = who;
	l->prefix = slice_dup(prefix);
	buf_init(&l->name, 4096);
	l->links = slice_starts(prefix, SLICE(SHARED_LINK_ROOT "."));
	buf_puts(&l->name, l->links ? SHARED_LINK_ROOT : SHARED_ROOT);
	collect_init(&l->found);
	return l;
}

static void
leave(struct shared_listing *l)
{
	struct level *v = &l->v[--l->depth];

	shared_index_unref(l->near->store->shared, v->x);
	free(v->file);
}

void
shared_listing_free(struct shared_listing **pl)
{
	struct shared_listing *l = *pl;

	*pl = NULL;
	if (l == NULL)
		return;
	while (l->depth != 0)
		leave(l);
	if (l->visiting)
		dir_reader_close(&l->r);
	collect_fini(&l->found);
	buf_fini(&l->name);
	free(l->prefix);
	account_release(&l->near);
	free(l);
}

/* Go into an index, unless that is one on the way here. */
static void
enter(struct shared_listing *l, const char *file)
{
	struct shared_indexes **all = &l->near->store->shared;
	struct level *v = &l->v[l->depth];
	bool circle = l->depth == SHARED_DEPTH_MAX;

	for (size_t i = 0; i < l->depth; i++)
		circle = circle || strcmp(l->v[i].file, file) == 0;
	if (circle) {
		shared_index_circle(*all, l->v[l->depth - 1].x, file);
		return;
	}
	v->x = shared_index_get(all, file,
	    l->links	       ? SHARED_LINKS
		: l->opt.munge ? SHARED_ACCOUNTS_MUNGED
			       : SHARED_ACCOUNTS);
	if (v->x == NULL)
		return;
	v->file = mem_strdup(file);
	v->at = 0;
	v->n_name = buf_len(&l->name);
	l->depth++;
}

static bool
may_match(const struct shared_listing *l)
{
	struct slice name = buf_slice(&l->name), prefix = slice_str(l->prefix);

	return slice_starts(name, prefix) || slice_starts(prefix, name);
}

/* --- one account --------------------------------------------------------- */

/* cost: the entries of the list are added. */
static bool
may_see(
    const struct shared_listing *l, int root_fd, const char *dir, size_t *cost)
{
	struct acl a;
	bool may;

	acl_init(&a);
	may = acl_read(root_fd, dir, &a, NULL, NULL) == 0;
	*cost += a.n;
	if (may && l->links)
		may = acl_add(
		    &a, SLICE("anyone"), shared_link_rights(root_fd, dir));
	may = may && (acl_effective(&a, l->who) & ACL_LOOKUP) != 0;
	acl_fini(&a);
	return may;
}

static bool
is_mailbox(int root_fd, const char *dir)
{
	struct buf path;
	struct stat st;
	bool is;

	buf_init(&path, 1024);
	buf_puts(&path, dir);
	is =
	    fsx_stat(root_fd, buf_cstr(&path), &st) == 0 && S_ISDIR(st.st_mode);
	buf_puts(&path, "/cur");
	is = is && fsx_stat(root_fd, buf_cstr(&path), &st) == 0 &&
	    S_ISDIR(st.st_mode);
	buf_fini(&path);
	return is;
}

static void
look_at(struct shared_listing *l, struct slice dir, size_t *cost)
{
	int root_fd = dir_reader_fd(&l->r);
	const char *path = (const char *)dir.p;
	size_t n = buf_len(&l->name);
	struct buf name;

	if (!name_is_dir(dir) || !is_mailbox(root_fd, path) ||
	    !may_see(l, root_fd, path, cost))
		return;
	buf_init(&name, 4096);
	name_put_from_dir(root_fd, dir, &name);
	buf_put(&l->name, slice_skip(buf_slice(&name), sizeof("INBOX") - 1));
	collect_add(&l->found, buf_slice(&l->name), 0);
	l->n_lines++;
	buf_truncate(&l->name, n);
	buf_fini(&name);
}

/* A piece of the Maildir being visited. */
static void
look_through(struct shared_listing *l)
{
	size_t cost = 0;
	struct slice dir;

	for (int n = 0; n < VISIT_SLICE && cost < LISTS_SLICE; n++) {
		if (!dir_reader_next(&l->r, &dir)) {
			dir_reader_close(&l->r);
			l->visiting = false;
			return;
		}
		look_at(l, dir, &cost);
	}
}

/* Begin with an account.  One that isn't on this machine, or not for us, is
 * none. */
static void
visit(struct shared_listing *l, const char *path)
{
	size_t cost = 0;
	struct stat st;
	int fd;

	if (strcmp(path, l->near->path) == 0 ||
	    dir_reader_open(&l->r, AT_FDCWD, path) < 0)
		return;
	fd = dir_reader_fd(&l->r);
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		dir_reader_close(&l->r);
		return;
	}
	l->visiting = true;
	if (!l->links && is_mailbox(fd, ".") && may_see(l, fd, "", &cost))
		collect_add(&l->found, buf_slice(&l->name), 0);
}

/* --- the walk ------------------------------------------------------------ */

/* The first file, or the user's own links before those for all. */
static void
begin(struct shared_listing *l)
{
	struct buf own;

	l->begun = true;
	if (!l->links) {
		if (l->opt.index != NULL)
			enter(l, l->opt.index);
		return;
	}
	if (l->opt.links == NULL)
		return;
	if (l->opt.links[0] != '\0')
		enter(l, l->opt.links);
	buf_init(&own, 4096);
	shared_link_own_file(l->near, &own);
	enter(l, buf_cstr(&own));
	buf_fini(&own);
}

/* Go to where a link leads, if that is what its name stands for. */
static void
follow(struct shared_listing *l)
{
	struct buf path, mailbox, name;

	buf_init(&path, 4096);
	buf_init(&mailbox, 4096);
	buf_init(&name, 4096);
	buf_put(&name, buf_slice(&l->name));
	buf_puts(&name, ".x");
	if (shared_link_find(
		l->near, &l->opt, buf_slice(&name), &path, &mailbox, NULL) == 0)
		visit(l, buf_cstr(&path));
	buf_fini(&name);
	buf_fini(&mailbox);
	buf_fini(&path);
}

int
shared_listing_step(struct shared_listing *l, struct err *e)
{
	const struct shared_line *line;
	struct level *v;

	if (!l->begun)
		begin(l);
	if (l->visiting) {
		look_through(l);
		return l->n_lines <= SHARED_LINES_MAX
		    ? 1
		    : err_set(e, ERR_LIMIT, "too many shared mailboxes");
	}
	if (l->depth == 0)
		return 0;
	v = &l->v[l->depth - 1];
	buf_truncate(&l->name, v->n_name);
	if (v->at == v->x->n) {
		leave(l);
		return l->depth != 0;
	}
	line = &v->x->v[v->at++];
	if (++l->n_lines > SHARED_LINES_MAX)
		return err_set(e, ERR_LIMIT, "too many shared accounts");
	buf_putc(&l->name, '.');
	buf_put(&l->name, line->name);
	if (!buf_ok(&l->name))
		return err_set(e, ERR_LIMIT, "shared names are too long");
	if (!may_match(l))
		return 1;
	if (l->links)
		follow(l);
	else if (line->group)
		enter(l, line->target);
	else
		visit(l, line->target);
	return 1;
}

void
shared_listing_take(struct shared_listing *l, struct mailbox_list *out)
{
	collect_parents(
	    &l->found, l->links ? SLICE(SHARED_LINK_ROOT) : SLICE(SHARED_ROOT));
	collect_finish(&l->found, out);
}
