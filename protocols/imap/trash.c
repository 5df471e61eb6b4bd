/* EXPUNGE into the trash mailbox: Courier's IMAP_MOVE_EXPUNGE_TO_TRASH. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "maildir/change.h"
#include "protocols/imap/session_impl.h"

enum { TRASHED_MAX = 100000 };

void
imap_trash_copied(
    struct imap_session *i, struct slice target, const uint32_t *uids, size_t n)
{
	struct imap_trashed *t = &i->trashed;

	/* one more copy of a message in the trash does no harm */
	if (i->opt->trash_mailbox == NULL || i->selected_in != i->account ||
	    !slice_eq(target, slice_str(i->opt->trash_mailbox)) ||
	    n > TRASHED_MAX - t->n)
		return;
	for (size_t k = 0; k < n; k++) {
		if (t->n == t->cap) {
			t->cap = t->cap * 2 + 16;
			t->v = mem_realloc(t->v, t->cap, sizeof(*t->v));
		}
		t->v[t->n++] = uids[k];
	}
}

void
imap_trash_forget(struct imap_session *i)
{
	free(i->trashed.v);
	i->trashed = (struct imap_trashed){ 0 };
}

/* Courier's IMAP_LOG_DELETIONS, and its words. */
static void
log_removed(void *arg, uint32_t uid, struct slice path, struct slice kept)
{
	char safe[1024], safe_kept[1024];

	(void)uid;
	if (kept.n == 0)
		imap_log_line(arg, "EXPUNGED", ", old_name=%s",
		    log_safe(path, safe, sizeof(safe)));
	else
		imap_log_line(arg, "EXPUNGED",
		    ", old_name=%s, new_name=%s: only new_name will be left",
		    log_safe(path, safe, sizeof(safe)),
		    log_safe(kept, safe_kept, sizeof(safe_kept)));
}

int
imap_expunge_begin(struct imap_session *i, const uint32_t *uids, size_t n,
    struct change_expunge **out, struct err *e)
{
	/* as Courier: what others share isn't moved to their trash */
	int rc = i->opt->trash_mailbox == NULL || i->selected_in != i->account
	    ? change_expunge_begin(i->mailbox, uids, n, out, e)
	    : change_expunge_to_trash_begin(
		  i->mailbox, uids, n, i->trashed.v, i->trashed.n, out, e);

	if (rc == 0 && i->opt->log_deletions)
		change_expunge_observe(*out, log_removed, i);
	return rc;
}
