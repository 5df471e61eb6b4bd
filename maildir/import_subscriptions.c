/* Dovecot's subscriptions, taken over before an account gets its database. */
#include <errno.h>

#include "base/fsx.h"
#include "maildir/foreign.h"
#include "maildir/import.h"
#include "maildir/internal.h"
#include "maildir/name.h"
#include "maildir/subscription.h"

enum { NAMES_BYTES = 64 * 1024 * 1024 };

/* The name here of one of Dovecot's, which knows nothing of "INBOX." unless
 * its namespace is so called. */
static void
put_name(int root_fd, struct buf *out, struct slice name)
{
	struct buf dir;

	buf_init(&dir, 1024);
	if (name_is_inbox(name)) {
		buf_puts(out, "INBOX");
	} else {
		if (!slice_starts(name, SLICE("INBOX.")) ||
		    name_to_dir(root_fd, name, &dir) != 0)
			buf_puts(out, "INBOX.");
		buf_put(out, name);
	}
	buf_fini(&dir);
}

static int
replace(struct account *a, struct slice names, struct err *e)
{
	struct file_unique u = store_unique(a->store, store_wall(a->store));
	struct slice name;
	struct buf ours;
	int rc;

	buf_init(&ours, NAMES_BYTES);
	while (slice_split(&names, '\n', &name))
		if (name.n != 0) {
			put_name(a->root_fd, &ours, name);
			buf_putc(&ours, '\n');
		}
	rc = subscription_replace(a->root_fd, buf_slice(&ours), &u, e);
	buf_fini(&ours);
	return rc;
}

int
import_subscriptions(struct account *a, struct err *e)
{
	struct stat dovecot, courier;
	struct buf names;
	int rc;

	if (fsx_stat(a->root_fd, "subscriptions", &dovecot) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat subscriptions");
	if (fsx_stat(a->root_fd, "courierimapsubscribed", &courier) == 0 &&
	    courier.st_mtim.tv_sec >= dovecot.st_mtim.tv_sec)
		return 0;
	buf_init(&names, NAMES_BYTES);
	rc = dovecot_subscriptions_read(a->root_fd, &names);
	if (rc < 0)
		rc = err_sys(e, "read subscriptions");
	else if (rc == 1)
		rc = replace(a, buf_slice(&names), e);
	buf_fini(&names);
	return rc;
}
