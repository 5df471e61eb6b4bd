#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "maildir/copy_impl.h"

static void
close_fds(struct copy_sync *y)
{
	for (int i = 0; i < y->n_fds; i++)
		(void)close(y->fds[i]);
	y->n_fds = 0;
}

/* A descriptor of the file, or ERR_*. */
static int
open_item(const struct copy_sync *y, const struct copy_item *it, int *fd)
{
	uint64_t size;

	if (it->tmp == NULL)
		return mailbox_open_message(y->from, it->from, fd, &size, NULL);
	*fd = fsx_open_read(y->tmp_fd, it->tmp, NULL);
	return *fd < 0 ? err_of_errno(errno) : 0;
}

/* The next lot of young files, opened. */
static int
take_young(struct copy_sync *y, struct copy_item *v, struct sync_fds *fds)
{
	while (y->at < y->n && y->n_fds < COPY_SYNC_AT_ONCE) {
		struct copy_item *it = &v[y->young[y->at++]];
		int fd, rc = open_item(y, it, &fd);

		/* its file may be one that others of v are links to */
		if (rc == ERR_NOT_FOUND && it->tmp == NULL) {
			it->gone = true;
			y->again = true;
			continue;
		}
		if (rc != 0)
			return rc;
		y->fds[y->n_fds++] = fd;
		sync_fds_add(fds, fd, SYNC_FILE);
	}
	return 0;
}

/* The lot before is done; the next one is begun, if there is one: 1; 0: there
 * is none; or ERR_*. */
static int
next_lot(struct copy_sync *y, struct copy_item *v, size_t n, struct waker waker)
{
	struct sync_fds fds = { 0 };
	struct account *a = y->to->account;
	int rc;

	if (y->n_fds != 0) {
		close_fds(y);
		if (y->sync.error != 0)
			return err_of_errno(y->sync.error);
	}
	if (y->young == NULL) {
		y->young = copy_items_young(v, n, &y->n);
		y->at = 0;
	}
	if ((rc = take_young(y, v, &fds)) != 0) {
		close_fds(y);
		return rc;
	}
	if (y->n_fds == 0)
		return 0;
	sync_start(&y->sync, a->store->opt.syncer, a, &fds, waker);
	return 1;
}

enum step
copy_sync_step(struct copy_sync *y, struct copy_item *v, size_t n,
    struct waker waker, int *rc)
{
	if (sync_busy(&y->sync)) {
		sync_rewake(&y->sync, waker);
		return STEP_WAIT_SYNC;
	}
	*rc = next_lot(y, v, n, waker);
	if (*rc == 1)
		return STEP_NEXT;
	if (*rc != 0)
		return STEP_DONE;
	free(y->young);
	y->young = NULL;
	if (y->again) {
		y->again = false;
		return STEP_NEXT;
	}
	for (size_t i = 0; i < n; i++)
		v[i].young = false;
	return STEP_DONE;
}

void
copy_sync_fini(struct copy_sync *y)
{
	sync_forget(&y->sync);
	close_fds(y);
	free(y->young);
	y->young = NULL;
}
