#include "maildir/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "maildir/background.h"
#include "maildir/blob.h"
#include "maildir/cache.h"
#include "maildir/durable.h"
#include "maildir/intent.h"
#include "maildir/quota_file.h"
#include "maildir/shared_index.h"
#include "maildir/young.h"

struct store *
store_new(const struct store_options *opt)
{
	struct store *s = MEM_NEW(struct store);

	s->magic = STORE_MAGIC;
	s->opt = *opt;
	s->cache_pool = cache_pool_new();
	buf_init(&s->name, NAME_BYTES_MAX);
	s->host = file_name_host(opt->hostname);
	s->opt.hostname = s->host;
	s->uidl_format = mem_strdup(opt->dovecot_uidl_format != NULL
		? opt->dovecot_uidl_format
		: "%08Xu%08Xv");
	s->opt.dovecot_uidl_format = s->uidl_format;
	s->trash_name =
	    mem_strdup(opt->trash_name != NULL && opt->trash_name[0] != '\0'
		    ? opt->trash_name
		    : "Trash");
	s->opt.trash_name = s->trash_name;
	s->trash_dir = mem_printf(".%s", s->trash_name);
	s->empty_trash =
	    mem_strdup(opt->empty_trash != NULL ? opt->empty_trash : "");
	s->opt.empty_trash = s->empty_trash;
	s->tick = 1;
	watch_init(s);
	return s;
}

void
store_set_options(struct store *s, const struct store_options *opt)
{
	MAGIC_CHECK(s, STORE_MAGIC);
	s->opt.fsync_always = opt->fsync_always;
	s->opt.quiet_ms = opt->quiet_ms;
	s->opt.poll_ms = opt->poll_ms;
	s->opt.open_max = opt->open_max;
	s->opt.umask = opt->umask;
}

void
account_free(struct account *a)
{
	openings_give_up(a, true);
	while (a->mailboxes != NULL)
		mailbox_free(a->mailboxes);
	durable_cancel(a);
	account_change_abandon(a);
	tidy_stop(a);
	account_close_db(a);
	quota_count_free(&a->counting);
	if (a->root_fd >= 0)
		(void)close(a->root_fd);
	pool_free(a->path);
	pool_free(a->quota);
	a->magic = 0;
	pool_free(a);
}

void
store_free(struct store **ps)
{
	struct store *s = *ps;

	*ps = NULL;
	if (s == NULL)
		return;
	MAGIC_CHECK(s, STORE_MAGIC);
	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		while (s->accounts[i] != NULL) {
			struct account *a = s->accounts[i];

			background_stop(a);
			assert(a->refs == 0);
			s->accounts[i] = a->next;
			account_free(a);
		}
	young_stop(s);
	checkpoints_forget(s);
	cache_pool_free(&s->cache_pool);
	buf_fini(&s->name);
	shared_indexes_free(&s->shared);
	watch_fini(s);
	free(s->host);
	free(s->uidl_format);
	free(s->trash_name);
	free(s->trash_dir);
	free(s->empty_trash);
	s->magic = 0;
	free(s);
}

int
store_watch_fd(const struct store *s)
{
	return s->watch_fd;
}

void
store_on_watch(struct store *s, int64_t now_ms)
{
	MAGIC_CHECK(s, STORE_MAGIC);
	s->now_ms = now_ms;
	watch_drain(s);
}

bool
store_watch_wanted(const struct store *s)
{
	return s->n_listeners != 0;
}

void
store_on_watch_wanted(struct store *s, struct waker waker)
{
	MAGIC_CHECK(s, STORE_MAGIC);
	s->on_wanted = waker;
}

/* --- accounts ------------------------------------------------------------- */

static size_t
bucket_of(const char *path)
{
	return blob_sum(slice_str(path)) % ACCOUNT_BUCKETS;
}

static struct account *
find_account(const struct store *s, const char *path)
{
	struct account *a = s->accounts[bucket_of(path)];

	while (a != NULL && strcmp(a->path, path) != 0)
		a = a->next;
	return a;
}

size_t
store_turn_behind(struct store *s, size_t bucket, struct account *a)
{
	struct account *end = a;

	if (a->next == NULL)
		return (bucket + 1) % ACCOUNT_BUCKETS;
	while (end->next != NULL)
		end = end->next;
	end->next = s->accounts[bucket];
	s->accounts[bucket] = a->next;
	a->next = NULL;
	return bucket;
}

static struct account *
new_account(struct store *s, const char *path)
{
	struct account *a = POOL_NEW(struct account);
	struct account **bucket = &s->accounts[bucket_of(path)];

	a->magic = ACCOUNT_MAGIC;
	a->store = s;
	a->path = pool_strdup(path);
	a->quota = pool_strdup("");
	a->root_fd = a->lock_fd = a->wal_fd = -1;
	a->next = *bucket;
	*bucket = a;
	return a;
}

static struct account *
take_account(struct account *a, const char *quota)
{
	if (quota != NULL && strcmp(a->quota, quota) != 0) {
		pool_free(a->quota);
		a->quota = pool_strdup(quota);
		a->quota_warned = false;
	}
	a->refs++;
	account_touch(a);
	return a;
}

struct account *
account_get(struct store *s, const char *path, const char *quota)
{
	struct account *a;

	MAGIC_CHECK(s, STORE_MAGIC);
	a = find_account(s, path);
	return take_account(a != NULL ? a : new_account(s, path), quota);
}

struct account *
account_get_open(struct store *s, const char *path, const char *quota,
    const struct stat *found)
{
	struct account *a;

	MAGIC_CHECK(s, STORE_MAGIC);
	a = find_account(s, path);
	if (a == NULL || a->root_fd < 0 ||
	    a->device != (uint64_t)found->st_dev ||
	    a->root_ino != (uint64_t)found->st_ino)
		return NULL;
	return take_account(a, quota);
}

void
account_release(struct account **pa)
{
	struct account *a = *pa;

	*pa = NULL;
	if (a == NULL)
		return;
	MAGIC_CHECK(a, ACCOUNT_MAGIC);
	assert(a->refs > 0);
	a->refs--;
}

const char *
account_path(const struct account *a)
{
	MAGIC_CHECK(a, ACCOUNT_MAGIC);
	return a->path;
}

int
account_dir(const struct account *a)
{
	MAGIC_CHECK(a, ACCOUNT_MAGIC);
	return a->root_fd;
}

void
account_touch(struct account *a)
{
	a->used = a->store->tick;
}

int64_t
store_wall(const struct store *s)
{
	return s->wall_ms != 0 ? s->wall_ms : clock_wall();
}

struct file_unique
store_unique(struct store *s, int64_t wall_ms)
{
	return (struct file_unique){ wall_ms, s->unique++, s->host };
}

/* --- the database --------------------------------------------------------- */

void
account_close_db(struct account *a)
{
	if (a->db.h == NULL)
		return;
	for (struct mailbox *m = a->mailboxes; m != NULL; m = m->next) {
		mailbox_flush(m);
		if (a->in_memory)
			mailbox_set_gone(m);
	}
	intent_redo_free(a);
	young_close(a);
	checkpoint_forget(a);
	background_close(a);
	cache_flush(a);
	cache_close(a);
	account_note_rest(a);
	db_close(&a->db);
	if (a->wal_fd >= 0)
		(void)close(a->wal_fd);
	if (a->lock_fd >= 0)
		(void)close(a->lock_fd);
	a->wal_fd = a->lock_fd = -1;
	a->in_memory = false;
	a->store->n_open--;
}

/* What was known came from a database that isn't there any more. */
static void
abandon_db(struct account *a)
{
	for (struct mailbox *m = a->mailboxes; m != NULL; m = m->next)
		mailbox_set_gone(m);
	cache_close(a);
	young_abandon(a);
	account_close_db(a);
	quota_count_free(&a->counting);
	if (a->root_fd >= 0)
		(void)close(a->root_fd);
	a->root_fd = -1;
}

int
account_db_failed(struct account *a, int rc)
{
	if (a->db.h == NULL)
		return rc;
	if (rc == ERR_DAMAGED) {
		a->damaged++;
		abandon_db(a);
	} else if ((rc == ERR_DENIED || rc == ERR_TEMPORARY) && a->db.refused) {
		/* a connection that can't write will never be able to; what
		 * other files are refused says nothing of it */
		young_abandon(a);
		account_close_db(a);
	}
	return rc;
}

/* Once per tick: is the file still the one we have open? */
static bool
still_there(struct account *a)
{
	struct stat st;

	if (a->file_tick == a->store->tick || a->in_memory)
		return true;
	a->file_tick = a->store->tick;
	return fsx_stat(a->root_fd, DB_NAME, &st) == 0 &&
	    st.st_ino == a->db_ino;
}

/* Close the one unused for longest if there are too many. */
static void
make_room(struct store *s)
{
	struct account *oldest = NULL;

	if (s->opt.open_max == 0 || s->n_open < s->opt.open_max)
		return;
	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (struct account *a = s->accounts[i]; a != NULL; a = a->next)
			if (a->db.h != NULL && !a->db.in_txn && !a->in_memory &&
			    a->young == NULL && !account_mending(a) &&
			    (oldest == NULL || a->used < oldest->used))
				oldest = a;
	if (oldest != NULL)
		account_close_idle(oldest);
}

int
account_open(struct account *a, struct err *e)
{
	int rc;

	MAGIC_CHECK(a, ACCOUNT_MAGIC);
	account_touch(a);
	a->worked = a->used;
	if (a->db.h != NULL) {
		if (a->db.in_txn || still_there(a))
			return account_ready(a, e);
		log_error(
		    "maildir: database vanished, rebuilding path=%s", a->path);
		abandon_db(a);
	}
	make_room(a->store);
	if ((rc = account_open_db(a, e)) != 0)
		return rc;
	a->store->n_open++;
	a->n_opened++;
	a->file_tick = a->store->tick;
	return account_ready(a, e);
}

int
account_next_uidvalidity(
    struct account *a, uint32_t at_least, uint32_t *out, struct err *e)
{
	int64_t wall = store_wall(a->store);
	/* Nothing on the disk tells the next process what one gave that had no
	 * room there: so within a second the disk's are the higher ones. */
	int64_t last = 0, v = wall / 1000 + !a->in_memory;
	struct buf name;
	char text[32];
	int rc;

	if ((rc = db_meta_get(&a->db, "uidvalidity", &last, e)) < 0)
		return rc;
	if (last < a->last_validity)
		last = a->last_validity;
	if (at_least != 0)
		v = at_least;
	else if (v <= last)
		v = last + 1;
	if (v > (int64_t)UINT32_MAX)
		return err_set(e, ERR_LIMIT, "no UIDVALIDITY is left");
	*out = (uint32_t)v;
	if (v <= last)
		return 0;
	if ((rc = db_meta_set(&a->db, "uidvalidity", v, e)) != 0)
		return rc;
	if (a->in_memory) {
		a->last_validity = *out;
		return 0;
	}
	/* The second copy, for when the database is lost. */
	buf_init(&name, 512);
	buf_puts(&name, "tmp/");
	file_name_tmp(&name,
	    &(struct file_unique){ wall, a->store->unique++, a->store->host });
	(void)snprintf(text, sizeof(text), "%lld\n", (long long)v);
	rc = fsx_replace(a->root_fd, buf_cstr(&name), LAST_NAME,
	    slice_str(text), 0600, false);
	if (rc < 0)
		rc = err_sys(e, "write " LAST_NAME);
	buf_fini(&name);
	return rc;
}

int
account_sync_fds(struct account *a, struct sync_fds *f, struct err *e)
{
	int rc;

	if (a->db.h == NULL && (rc = account_open(a, e)) != 0)
		return rc;
	if (a->db.wal && a->wal_fd < 0) {
		a->wal_fd = fsx_open_change(a->root_fd, WAL_NAME);
		if (a->wal_fd < 0)
			return err_sys(e, "open " WAL_NAME);
	}
	if (!a->db.wal)
		a->wal_failed = false;
	else if (a->wal_failed && (rc = checkpoint_before(a, f, e)) != 0)
		return rc;
	sync_fds_add(f, a->wal_fd, SYNC_DATA);
	if (a->root_changes != a->root_synced)
		sync_fds_add(f, a->root_fd, SYNC_FILE);
	f->epoch = a->sync_epoch;
	f->root_changes = a->root_changes;
	return 0;
}

int
account_synced(struct account *a, const struct sync *s)
{
	if (s->error == 0 && s->epoch == a->sync_epoch) {
		a->root_synced = s->root_changes;
		if (s->had_first)
			a->wal_failed = false;
		return 0;
	}
	a->wal_failed = true;
	/* The kernel tells of an error once: whoever syncs the same at the
	 * time doesn't hear of it. */
	if (s->error == 0)
		return ERR_SYS;
	a->sync_epoch++;
	log_error("maildir: sync failed path=%s error=\"%s\"", a->path,
	    strerrordesc_np(s->error));
	return err_of_errno(s->error);
}
