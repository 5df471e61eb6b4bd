#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/account_change_impl.h"
#include "maildir/collect.h"
#include "maildir/dir.h"
#include "maildir/edit.h"
#include "maildir/name.h"
#include "maildir/shared_index.h"
#include "maildir/shared_link.h"
#include "maildir/subscription.h"

/* --- listing -------------------------------------------------------------- */

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
collect_dirs(struct account *a, struct collect *c, struct err *e)
{
	struct dir_reader r;
	struct slice dir;
	struct buf name;

	if (dir_reader_open(&r, a->root_fd, ".") < 0)
		return err_sys(e, "read %s", a->path);
	buf_init(&name, 4096);
	while (dir_reader_next(&r, &dir)) {
		const char *path = (const char *)dir.p;

		/* of what can't be told the listing keeps what was there */
		if (!name_is_dir(dir) ||
		    account_is_mailbox(a->root_fd, path) == 0)
			continue;
		buf_reset(&name);
		name_put_from_dir(a->root_fd, dir, &name);
		collect_add(c, buf_slice(&name), marked(a->root_fd, path));
	}
	buf_fini(&name);
	dir_reader_close(&r);
	if (r.failed)
		return err_set(e, ERR_SYS, "read %s", a->path);
	return 0;
}

int
account_list(struct account *a, struct mailbox_list *out, struct err *e)
{
	struct collect c = { 0 };
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	collect_init(&c);
	collect_add(&c, SLICE("INBOX"), marked(a->root_fd, ""));
	if ((rc = collect_dirs(a, &c, e)) != 0) {
		collect_fini(&c);
		return rc;
	}
	collect_parents(&c, SLICE("INBOX"));
	collect_finish(&c, out);
	return 0;
}

int
account_subscriptions(
    struct account *a, struct mailbox_list *out, struct err *e)
{
	struct collect c = { 0 };
	struct buf file;
	struct slice rest, name;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	buf_init(&file, COLLECT_MAX);
	if ((rc = subscription_read(a->root_fd, &file, e)) != 0)
		goto out;
	collect_init(&c);
	rest = buf_slice(&file);
	while (slice_split(&rest, '\n', &name))
		if (name_valid(name) || shared_name_valid(name))
			collect_add(&c, name, 0);
	shared_link_subscriptions(a, &c);
	collect_finish(&c, out);
out:
	buf_fini(&file);
	return rc;
}

int
account_exists(struct account *a, struct slice name, struct err *e)
{
	struct buf dir;
	int rc;

	if ((rc = account_open(a, e)) != 0)
		return rc;
	buf_init(&dir, 1024);
	rc = name_to_dir(a->root_fd, name, &dir);
	if (rc == 0 && buf_len(&dir) != 0) {
		rc = account_is_mailbox(a->root_fd, buf_cstr(&dir));
		rc = rc == 1 ? 0 : rc == 0 ? ERR_NOT_FOUND : rc;
	}
	buf_fini(&dir);
	return change_bad_name(e, rc);
}
