/*
 * The disk is synced, and the bytes of messages whose files it has then leave
 * the database.
 */
#include <sys/utsname.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/young_impl.h"

enum {
	TICKS = 2,
	FORGOTTEN = 32, /* accounts in a tick */
};

/* One syncfs() at a time for each disk, by a descriptor that was opened before
 * the files were written: so it is told of all errors since. */
struct young_disk {
	struct store *store;
	uint64_t device;
	int fd; /* -1: unused */
	struct sync sync;
	uint64_t begun_tick, used_tick;
};

/* --- disks ---------------------------------------------------------------- */

/* Linux tells the caller of syncfs() of failed writes from 5.8 on. */
static bool
errors_are_told(void)
{
	static int known;
	struct utsname u;
	int major = 0, minor = 0;
	char *end;

	if (known == 0 && uname(&u) == 0) {
		major = (int)strtol(u.release, &end, 10);
		if (*end == '.')
			minor = (int)strtol(end + 1, NULL, 10);
		known = major > 5 || (major == 5 && minor >= 8) ? 1 : -1;
	}
	return known > 0;
}

static struct young_disk *
disk_of(struct store *s, uint64_t device)
{
	for (size_t i = 0; i < NELEMS(s->disks); i++)
		if (s->disks[i] != NULL && s->disks[i]->device == device)
			return s->disks[i];
	return NULL;
}

static bool
disk_open(struct account *a)
{
	struct store *s = a->store;
	uint64_t device = a->device;
	struct young_disk *d = disk_of(s, device);

	if (d != NULL)
		d->used_tick = s->tick;
	if (device == 0 || d != NULL)
		return device != 0;
	for (size_t i = 0; i < NELEMS(s->disks); i++) {
		if (s->disks[i] != NULL)
			continue;
		d = MEM_NEW(struct young_disk);
		d->store = s;
		d->device = device;
		d->used_tick = s->tick;
		d->fd = fsx_open_dir(a->root_fd, ".");
		if (d->fd < 0) {
			free(d);
			return false;
		}
		s->disks[i] = d;
		return true;
	}
	return false;
}

/* --- leaving the database ------------------------------------------------- */

static void
young_free(struct account *a)
{
	struct young *y = a->young;

	free(y->v);
	free(y);
	a->young = NULL;
}

/* Delete the rows of those that are synced.  0, or ERR_*: they stay. */
static int
forget(struct account *a)
{
	struct young *y = a->young;
	int rc = db_begin(&a->db, NULL);

	for (size_t i = 0; i < y->n_syncing && rc == 0; i++)
		rc = young_row_delete(a, y->v[i].first, y->v[i].last);
	if (rc == 0)
		rc = db_commit(&a->db, NULL);
	else
		db_rollback(&a->db);
	if (rc != 0)
		return rc;
	account_log_grown(a);
	for (size_t i = 0; i < y->n_syncing; i++)
		y->bytes -= y->v[i].bytes;
	y->n -= y->n_syncing;
	memmove(y->v, y->v + y->n_syncing, y->n * sizeof(*y->v));
	y->n_syncing = 0;
	y->synced = false;
	return 0;
}

/* What is left to do of it, if there is anything; *budget: transactions. */
static void
try_forget(struct account *a, int *budget)
{
	struct young *y = a->young;

	if (y->synced && a->db.h != NULL && !a->db.in_txn && *budget > 0) {
		--*budget;
		(void)!forget(a);
	}
	if (y->n == 0 && y->files == NULL)
		young_free(a);
}

/* Those of a bucket; the one that had the last of the budget, or NULL. */
static struct account *
forget_bucket(struct account *first, int *budget)
{
	struct account *last = NULL;

	for (struct account *a = first; a != NULL; a = a->next) {
		bool any = *budget > 0;

		if (a->young == NULL || a->young_doubt)
			continue;
		try_forget(a, budget);
		if (any && *budget <= 0)
			last = a;
	}
	return last;
}

/* Some accounts at a time, in turn: those that are ready again before others
 * have been don't come before these. */
static void
forget_some(struct store *s)
{
	size_t from = s->young_from;
	int budget = FORGOTTEN;

	for (size_t k = 0; k < ACCOUNT_BUCKETS; k++) {
		size_t i = (from + k) % ACCOUNT_BUCKETS;
		struct account *last = forget_bucket(s->accounts[i], &budget);

		if (last != NULL)
			s->young_from = store_turn_behind(s, i, last);
	}
}

/*
 * After a syncfs() that failed nothing is known of any file: each is written
 * anew and synced by itself, as those of a process that is gone, and until all
 * are through the account's messages aren't young any more.
 */
void
young_doubt(struct account *a)
{
	struct young *y = a->young;

	/* or nothing would take it back */
	if (y == NULL)
		return;
	a->young_doubt = true;
	for (size_t i = 0; i < y->n; i++)
		y->bytes -= y->v[i].bytes;
	y->n = y->n_syncing = 0;
	y->synced = false;
	young_mend_now(a);
}

/* Some file of that disk couldn't be written, perhaps one of ours: also one
 * that is on its way into the database, see young_errors(). */
static void
disk_failed(struct young_disk *d, int error)
{
	log_error("maildir: sync of a disk failed error=\"%s\"",
	    strerrordesc_np(error));
	d->store->young_errors++;
	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (struct account *a = d->store->accounts[i]; a != NULL;
		     a = a->next)
			if (a->young != NULL && a->young->device == d->device)
				young_doubt(a);
}

static void
disk_free(struct young_disk *d)
{
	struct store *s = d->store;

	for (size_t i = 0; i < NELEMS(s->disks); i++)
		if (s->disks[i] == d)
			s->disks[i] = NULL;
	sync_forget(&d->sync);
	(void)close(d->fd);
	free(d);
}

static void
on_disk_synced(void *arg)
{
	struct young_disk *d = arg;

	if (d->sync.error != 0) {
		disk_failed(d, d->sync.error);
		return;
	}
	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (struct account *a = d->store->accounts[i]; a != NULL;
		     a = a->next) {
			struct young *y = a->young;

			if (y == NULL || y->device != d->device ||
			    y->n_syncing == 0 || y->synced)
				continue;
			y->synced = true;
		}
	forget_some(d->store);
}

static void
disk_sync(struct young_disk *d)
{
	struct sync_fds fds = { 0 };
	bool any = false;

	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (struct account *a = d->store->accounts[i]; a != NULL;
		     a = a->next) {
			struct young *y = a->young;

			if (y == NULL || y->device != d->device ||
			    a->young_doubt || y->n_syncing != 0 || y->n == 0)
				continue;
			y->n_syncing = y->n;
			any = true;
		}
	if (!any)
		return;
	d->begun_tick = d->store->tick;
	sync_fds_add(&fds, d->fd, SYNC_FS);
	sync_start(&d->sync, d->store->opt.syncer, d, &fds,
	    (struct waker){ on_disk_synced, d });
}

bool
young_disk_ready(struct account *a)
{
	return errors_are_told() && disk_open(a);
}

void
young_disk_haste(struct account *a)
{
	struct young_disk *d = disk_of(a->store, a->young->device);

	if (d != NULL && !sync_busy(&d->sync))
		disk_sync(d);
}

static bool
disk_needed(const struct young_disk *d)
{
	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (const struct account *a = d->store->accounts[i]; a != NULL;
		     a = a->next)
			if (a->young != NULL && a->young->device == d->device)
				return true;
	return false;
}

/* Keep no disk open for nothing: somebody may want to unmount it. */
static void
disks_tick(struct store *s)
{
	for (size_t i = 0; i < NELEMS(s->disks); i++) {
		struct young_disk *d = s->disks[i];

		if (d == NULL || sync_busy(&d->sync))
			continue;
		if (s->tick >= d->begun_tick + TICKS)
			disk_sync(d);
		if (!sync_busy(&d->sync) &&
		    s->tick >= d->used_tick + LEFT_TICKS && !disk_needed(d))
			disk_free(d);
	}
}

void
young_tick(struct store *s)
{
	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (struct account *a = s->accounts[i]; a != NULL; a = a->next)
			young_mend_tick(a);
	forget_some(s);
	disks_tick(s);
}

/* Sync the log, and give all files their names. */
static void
name_all(struct account *a)
{
	int fd;

	if (a->young->files == NULL)
		return;
	fd = young_log_copy(a);
	if (fd >= 0 && fsx_fdatasync(fd) == 0) {
		young_synced(a, young_mark(a));
	} else {
		young_failed(a, 0, young_mark(a), ERR_SYS);
		young_log_failed(a);
	}
	if (fd >= 0)
		(void)close(fd);
}

/*
 * What has no name yet gets none, and is answered NO.  The rows of all else may
 * be there when the database is opened again, and are mended then; if they are
 * gone with it, the sync of the disk is what is left to do.
 */
void
young_abandon(struct account *a)
{
	struct sync_fds fds = { 0 };
	struct sync s = { 0 };

	if (a->young == NULL || a->store->opt.syncer == NULL)
		return; /* young_close() */
	db_rollback(&a->db);
	young_failed(a, 0, young_mark(a), ERR_SYS);
	sync_fds_add(&fds, a->root_fd, SYNC_FS);
	sync_start(&s, a->store->opt.syncer, a, &fds, (struct waker){ 0 });
	sync_forget(&s);
	a->young_doubt = false;
	young_free(a);
}

/*
 * By the account's own descriptor, which was opened before its files were
 * written: so an error that it is told of is nobody else's to hear of, and the
 * other way round.  What isn't sure stays in the table.
 */
void
young_close(struct account *a)
{
	if (a->young != NULL) {
		db_rollback(&a->db);
		name_all(a);
		a->young->n_syncing = a->young->n;
		if (a->young_doubt || fsx_syncfs(a->root_fd) < 0 ||
		    forget(a) != 0)
			log_warn("maildir: bytes of messages stay in the "
				 "database path=%s",
			    a->path);
		a->young_doubt = false;
		young_free(a);
	}
	young_mend_free(a);
}

void
young_stop(struct store *s)
{
	for (size_t i = 0; i < NELEMS(s->disks); i++)
		if (s->disks[i] != NULL)
			disk_free(s->disks[i]);
}
