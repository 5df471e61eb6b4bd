#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/edit.h"
#include "maildir/young_impl.h"

enum {
	BYTES_MAX = 4 * 1024 * 1024, /* of an account */
	BYTES_HASTE = 1024 * 1024,   /* no tick is waited for */
	ONE_MAX = 64 * 1024,	     /* of a message */
	RANGES_MAX = 256,
};

struct young_file {
	struct young_file *next; /* of those that wait, in their order */
	bool waits, left;
	unsigned naming; /* threads that may be giving it its name */
	bool named;	 /* one of them has tried, and said: */
	int named_error; /* 0 or errno */
	uint64_t seq;
	int64_t key;
	int tmp_fd, cur_fd; /* -1: error */
	int error;	    /* errno */
	char *tmp, *name;   /* below them */
	size_t size;
	int result;
};

bool
young_may(struct account *a, size_t n)
{
	const struct young *y = a->young;

	return !a->store->opt.fsync_always && a->db.h != NULL && a->db.wal &&
	    !a->in_memory && !a->young_doubt && n <= ONE_MAX &&
	    (y == NULL || (y->bytes + n <= BYTES_MAX && y->n < RANGES_MAX)) &&
	    young_disk_ready(a);
}

/* --- coming into the mailbox ---------------------------------------------- */

int
young_put(struct mailbox *m, uint32_t uid, const char *tmp, const char *base,
    struct slice bytes, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s = db_stmt(db, DB_YOUNG_PUT);

	db_bind_i64(s, 1, chunk_key(m, uid));
	db_bind_i64(s, 2, account_boot_number());
	db_bind_blob(s, 3, slice_str(tmp));
	db_bind_blob(s, 4, slice_str(base));
	db_bind_blob(s, 5, bytes);
	return db_run(db, s, e);
}

static struct young *
young_of(struct account *a)
{
	struct young *y = a->young;

	if (y == NULL) {
		a->young = y = MEM_NEW(struct young);
		y->end = &y->files;
		y->device = a->device;
	}
	return y;
}

struct young_file *
young_committed(struct mailbox *m, uint32_t uid, int tmp_fd, const char *tmp,
    const char *name, size_t size, unsigned errors)
{
	struct young *y = young_of(m->account);
	struct young_file *f = MEM_NEW(struct young_file);

	f->waits = true;
	f->seq = ++m->account->young_seq;
	f->key = chunk_key(m, uid);
	f->tmp_fd = tmp_fd;
	f->cur_fd = mailbox_dir_fd(m, DIR_CUR);
	if (f->cur_fd >= 0)
		f->cur_fd = fcntl(f->cur_fd, F_DUPFD_CLOEXEC, 0);
	f->error = errno;
	f->tmp = mem_strdup(tmp);
	f->name = mem_strdup(name);
	f->size = size;
	*y->end = f;
	y->end = &f->next;
	y->bytes += size;
	if (errors != m->account->store->young_errors)
		young_doubt(m->account);
	return f;
}

unsigned
young_errors(const struct account *a)
{
	return a->store->young_errors;
}

int
young_result(const struct young_file *f)
{
	assert(!f->waits);
	return f->result;
}

void
young_undo(struct young_file *f)
{
	if (fsx_unlink(f->tmp_fd, f->tmp) < 0 && f->cur_fd >= 0)
		(void)!fsx_unlink(f->cur_fd, f->name);
}

static void
file_free(struct young_file *f)
{
	(void)close(f->tmp_fd);
	if (f->cur_fd >= 0)
		(void)close(f->cur_fd);
	free(f->tmp);
	free(f->name);
	free(f);
}

/* Nobody needs it any more, perhaps. */
static void
file_end(struct young_file *f)
{
	if (f->left && !f->waits && f->naming == 0)
		file_free(f);
}

void
young_leave(struct young_file **pf)
{
	struct young_file *f = *pf;

	*pf = NULL;
	if (f == NULL)
		return;
	f->left = true;
	file_end(f);
}

/* The range that it continues, or a new one; those that are being synced
 * stay as they are. */
static void
add_range(struct young *y, int64_t key, size_t bytes)
{
	for (size_t i = y->n; i > y->n_syncing; i--) {
		struct young_range *r = &y->v[i - 1];

		if (r->last + 1 == key) {
			r->last = key;
			r->bytes += bytes;
			return;
		}
	}
	if (y->n == y->cap) {
		y->cap = y->cap * 2 + 4;
		y->v = mem_realloc(y->v, y->cap, sizeof(*y->v));
	}
	y->v[y->n++] = (struct young_range){ key, key, bytes };
}

/* One of those that wait is through. */
static void
file_done(struct account *a, struct young_file **at, int rc)
{
	struct young *y = a->young;
	struct young_file *f = *at;

	*at = f->next;
	if (f->next == NULL)
		y->end = at;
	f->next = NULL;
	f->waits = false;
	f->result = rc;
	/* its row is there in any case, and goes with the others */
	if (a->young_doubt)
		y->bytes -= f->size;
	else
		add_range(y, f->key, f->size);
	file_end(f);
}

/* Whether tmp is but another name of it: where no file system renames without
 * replacing, that is done by a link. */
static bool
is_linked(const struct young_file *f)
{
	struct stat a, b;

	return fsx_stat(f->tmp_fd, f->tmp, &a) == 0 &&
	    fsx_stat(f->cur_fd, f->name, &b) == 0 && a.st_dev == b.st_dev &&
	    a.st_ino == b.st_ino;
}

/* 0 or errno. */
static int
give_name(const struct young_file *f)
{
	if (f->cur_fd < 0)
		return f->error;
	if (fsx_rename_new(f->tmp_fd, f->tmp, f->cur_fd, f->name) == 0)
		return 0;
	if (errno == EEXIST && is_linked(f)) {
		(void)!fsx_unlink(f->tmp_fd, f->tmp);
		return 0;
	}
	/*
	 * If it isn't in tmp/ any more, it has been there: a thread or another
	 * process (young_help()) gave it its name, and somebody may have
	 * flagged or expunged it by now.
	 */
	return errno == ENOENT ? 0 : errno;
}

static int
place(const struct young_file *f)
{
	int error = f->naming == 0 && f->named ? f->named_error : give_name(f);

	return error != 0 ? err_of_errno(error) : 0;
}

/* Files that the thread of a sync gives their names. */
struct naming {
	size_t n;
	struct young_file *v[];
};

static void
naming_run(void *arg)
{
	struct naming *nm = arg;

	for (size_t i = 0; i < nm->n; i++) {
		nm->v[i]->named_error = give_name(nm->v[i]);
		nm->v[i]->named = true;
	}
}

static void
naming_end(void *arg)
{
	struct naming *nm = arg;

	for (size_t i = 0; i < nm->n; i++) {
		nm->v[i]->naming--;
		file_end(nm->v[i]);
	}
	free(nm);
}

void
young_name_after(
    struct account *a, uint64_t from, uint64_t mark, struct sync_fds *fds)
{
	struct young_file *f = a->young != NULL ? a->young->files : NULL;
	struct naming *nm;
	size_t n = 0;

	while (f != NULL && f->seq <= from)
		f = f->next;
	for (const struct young_file *k = f; k != NULL && k->seq <= mark;
	     k = k->next)
		n++;
	if (n == 0 || fds->n == 0)
		return;
	nm = mem_zalloc(1, sizeof(*nm) + n * sizeof(struct young_file *));
	for (; f != NULL && f->seq <= mark; f = f->next) {
		f->naming++;
		nm->v[nm->n++] = f;
	}
	fds->then = (struct sync_then){ naming_run, naming_end, nm };
}

uint64_t
young_mark(const struct account *a)
{
	return a->young_seq;
}

void
young_synced(struct account *a, uint64_t mark)
{
	struct young *y = a->young;

	while (y != NULL && y->files != NULL && y->files->seq <= mark)
		file_done(a, &y->files, place(y->files));
	if (y != NULL && y->bytes > BYTES_HASTE)
		young_disk_haste(a);
}

void
young_failed(struct account *a, uint64_t from, uint64_t mark, int rc)
{
	struct young_file **at = a->young != NULL ? &a->young->files : NULL;

	/* those of a round before wait for its end */
	while (at != NULL && *at != NULL && (*at)->seq <= mark)
		if ((*at)->seq > from)
			file_done(a, at, rc);
		else
			at = &(*at)->next;
}

int
young_log_copy(struct account *a)
{
	if (a->wal_fd < 0)
		a->wal_fd = fsx_open_change(a->root_fd, WAL_NAME);
	return a->wal_failed || a->wal_fd < 0
	    ? -1
	    : fcntl(a->wal_fd, F_DUPFD_CLOEXEC, 0);
}

/* Nobody else is told. */
void
young_log_failed(struct account *a)
{
	a->wal_failed = true;
	a->sync_epoch++;
}

bool
young_waits(const struct mailbox *m, uint32_t uid)
{
	const struct young *y = m->account->young;
	int64_t key = chunk_key(m, uid);

	if (y == NULL)
		return false;
	for (const struct young_file *f = y->files; f != NULL; f = f->next)
		if (f->key == key)
			return true;
	return false;
}

bool
young_all_wait(const struct mailbox *m, uint32_t from, uint32_t to)
{
	const struct young *y = m->account->young;
	uint32_t n = 0;

	if (y == NULL)
		return from >= to;
	for (const struct young_file *f = y->files; f != NULL; f = f->next)
		n += f->key >= chunk_key(m, from) && f->key < chunk_key(m, to);
	return from + n >= to;
}

bool
young_is_own(const struct account *a, int64_t key)
{
	const struct young_file *f = a->young != NULL ? a->young->files : NULL;

	while (f != NULL && f->key != key)
		f = f->next;
	return f != NULL || young_placed(a, key);
}

bool
young_placed(const struct account *a, int64_t key)
{
	const struct young *y = a->young;

	for (size_t i = 0; y != NULL && i < y->n; i++)
		if (y->v[i].first <= key && key <= y->v[i].last)
			return true;
	return false;
}
