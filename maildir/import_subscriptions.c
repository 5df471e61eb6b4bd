/* Dovecot's subscriptions, taken over when an account is opened for the first
 * time. */
#include "base/fsx.h"
#include "base/log.h"
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

void
import_subscriptions(struct account *a)
{
	struct file_unique u = store_unique(a->store, store_wall(a->store));
	struct stat dovecot, courier;
	struct buf names, ours;
	struct slice rest, name;
	struct err e;

	if (fsx_stat(a->root_fd, "subscriptions", &dovecot) < 0 ||
	    (fsx_stat(a->root_fd, "courierimapsubscribed", &courier) == 0 &&
		courier.st_mtim.tv_sec >= dovecot.st_mtim.tv_sec))
		return;
	buf_init(&names, NAMES_BYTES);
	buf_init(&ours, NAMES_BYTES);
	if (dovecot_subscriptions_read(a->root_fd, &names)) {
		rest = buf_slice(&names);
		while (slice_split(&rest, '\n', &name))
			if (name.n != 0) {
				put_name(a->root_fd, &ours, name);
				buf_putc(&ours, '\n');
			}
		if (subscription_replace(
			a->root_fd, buf_slice(&ours), &u, &e) != 0)
			log_warn("maildir: Dovecot's subscriptions not taken "
				 "over path=%s: %s",
			    a->path, e.text);
	}
	buf_fini(&names);
	buf_fini(&ours);
}
