#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "maildir/account_change_impl.h"
#include "maildir/collect.h"
#include "maildir/name.h"
#include "maildir/shared_link.h"
#include "maildir/subscription.h"

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
