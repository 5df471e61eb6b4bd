/* The mailboxes of an account, which may have very many, found in pieces. */
#include <stdlib.h>

#include "base/mem.h"
#include "maildir/account_change_impl.h"
#include "maildir/collect.h"
#include "maildir/dir.h"
#include "maildir/name.h"

/* entries of the Maildir in a step */
enum { LISTING_SLICE = 16 };

struct account_listing {
	struct account *a;
	bool marks;
	bool begun, done;
	/* when begun, until done; names are looked up in it, as the account
	 * may lose its own descriptor between two steps */
	struct dir_reader r;
	struct collect found;
};

struct account_listing *
account_listing_new(struct account *a, bool marks)
{
	struct account_listing *l = MEM_NEW(struct account_listing);

	MAGIC_CHECK(a, ACCOUNT_MAGIC);
	l->a = a;
	a->refs++;
	l->marks = marks;
	collect_init(&l->found);
	return l;
}

static bool
has_new(int root_fd, const char *dir)
{
	struct dir_reader r;
	struct slice name;
	struct buf path;
	bool found = false;
	int rc;

	buf_init(&path, 1024);
	buf_puts(&path, dir);
	buf_puts(&path, dir[0] != '\0' ? "/new" : "new");
	rc = dir_reader_open(&r, root_fd, buf_cstr(&path));
	buf_fini(&path);
	if (rc < 0)
		return false;
	while (!found && dir_reader_next(&r, &name))
		found = name.p[0] != '.';
	dir_reader_close(&r);
	return found;
}

static unsigned
marked(int root_fd, const char *dir)
{
	return has_new(root_fd, dir) ? MAILBOX_MARKED : MAILBOX_UNMARKED;
}

static int
begin(struct account_listing *l, struct err *e)
{
	struct account *a = l->a;
	int rc = account_open(a, e);

	if (rc != 0)
		return rc;
	if (dir_reader_open(&l->r, a->root_fd, ".") < 0)
		return err_sys(e, "read %s", a->path);
	l->begun = true;
	collect_add(
	    &l->found, SLICE("INBOX"), marked(dir_reader_fd(&l->r), ""));
	return 1;
}

static void
take_entry(struct account_listing *l, struct slice dir)
{
	const char *path = (const char *)dir.p;
	int root_fd = dir_reader_fd(&l->r);
	struct buf name;

	/* of what can't be told the listing keeps what was there */
	if (!name_is_dir(dir) || account_is_mailbox(root_fd, path) == 0)
		return;
	buf_init(&name, 4096);
	name_put_from_dir(root_fd, dir, &name);
	collect_add(
	    &l->found, buf_slice(&name), l->marks ? marked(root_fd, path) : 0);
	buf_fini(&name);
}

static void
end_reading(struct account_listing *l)
{
	if (l->begun && !l->done)
		dir_reader_close(&l->r);
	l->done = true;
}

int
account_listing_step(struct account_listing *l, struct err *e)
{
	struct slice dir;

	if (!l->begun)
		return begin(l, e);
	for (int n = 0; n < LISTING_SLICE && !l->done; n++) {
		if (dir_reader_next(&l->r, &dir))
			take_entry(l, dir);
		else
			end_reading(l);
	}
	if (!l->done)
		return 1;
	return l->r.failed ? err_set(e, ERR_SYS, "read %s", l->a->path) : 0;
}

void
account_listing_take(struct account_listing *l, struct mailbox_list *out)
{
	assert(l->done);
	collect_parents(&l->found, SLICE("INBOX"));
	collect_finish(&l->found, out);
}

void
account_listing_free(struct account_listing **pl)
{
	struct account_listing *l = *pl;

	*pl = NULL;
	if (l == NULL)
		return;
	end_reading(l);
	collect_fini(&l->found);
	account_release(&l->a);
	free(l);
}

int
account_list(struct account *a, struct mailbox_list *out, struct err *e)
{
	struct account_listing *l = account_listing_new(a, true);
	int rc;

	while ((rc = account_listing_step(l, e)) == 1)
		;
	if (rc == 0)
		account_listing_take(l, out);
	account_listing_free(&l);
	return rc;
}
