/*
 * Opening an account.
 *
 * postern.db may be missing, damaged, restored from a backup, or from before
 * a crash.  In each case mail must be served, and no UID may ever name another
 * message than it did before:
 *
 *   missing   Made anew.  Each mailbox gets a new UIDVALIDITY when it is first
 *             opened (or Courier's, see import_courier.c), larger than any
 *             before: the last one is kept in a second, small file.
 *   damaged   Moved aside with a loud log line, then as above.  Others may
 *             have it open: each opener holds a shared lock on postern.lock,
 *             and it is moved only under the exclusive one.  SQLite also
 *             calls a database malformed of which it couldn't read a page, so
 *             that is believed only when it is found again in a database that
 *             was closed and opened anew, and whose files can be read.
 *   restored  Its inode isn't the one it has noted: UIDs may have been given
 *             out after the copy was made.  UIDNEXT and the mod-sequences
 *             jump far ahead; nothing that a client has seen of flags and
 *             expunges since can be known, so all counts as changed.
 *   rebooted  The last commits may be missing if the disk lied about syncs;
 *             flag changes are never synced at all.  UIDNEXT jumps a little,
 *             and the mod-sequences go on behind the block reserved durably.
 *             If the power went, changes that clients were told of may be
 *             undone.  Whether any can be is noted in the database itself: the
 *             first change of a mailbox after it was opened says so and is
 *             synced, whoever closes the database takes it back.  The
 *             journal keeps the order of commits, so that the note is there
 *             whenever something before its end is missing.  Where it is,
 *             all counts as changed, as after a restore.
 */
#include <sys/random.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/account_lock.h"
#include "maildir/blob.h"
#include "maildir/intent.h"
#include "maildir/internal.h"
#include "maildir/layout.h"
#include "maildir/maintain.h"
#include "maildir/young.h"

static const char *const subdirs[] = { "tmp", "new", "cur" };

int
account_make_dirs(int fd, struct err *e)
{
	for (size_t i = 0; i < NELEMS(subdirs); i++)
		if (fsx_mkdir(fd, subdirs[i], 0700) < 0 && errno != EEXIST)
			return err_sys(e, "mkdir %s", subdirs[i]);
	return 0;
}

/* mkdir -p. */
static int
make_path(const char *path, struct err *e)
{
	char *copy = mem_strdup(path);
	int rc = 0;

	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (fsx_mkdir(AT_FDCWD, copy, 0700) < 0 && errno != EEXIST &&
		    c == '\0')
			rc = err_sys(e, "mkdir %s", copy);
		*p = c;
		if (c == '\0')
			break;
	}
	free(copy);
	return rc;
}

/* Others write to it who aren't of this system: other hosts, or, where it is
 * shared with a virtual machine, the host. */
static bool
is_remote(int fd)
{
	static const unsigned long types[] = {
		0x6969,	    /* NFS */
		0x517b,	    /* SMB */
		0xff534d42, /* CIFS */
		0xfe534d42, /* SMB2 */
		0x65735546, /* FUSE */
		0x01021997, /* 9P */
		0x00c36400, /* Ceph */
		0x0bd00bd0, /* Lustre */
		0x47504653, /* GPFS */
		0x5346414f, /* AFS */
		0x6b414653, /* AFS, as Linux has it */
		0x73757245, /* Coda */
		0x7461636f, /* OCFS2 */
		0x01161970, /* GFS2 */
		0x20030528, /* OrangeFS */
		0x786f4256, /* VirtualBox's shared folders */
		0xbacbacbc, /* VMware's */
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < NELEMS(types); i++)
		if ((unsigned long)fs.f_type == types[i])
			return true;
	return false;
}

/* The Maildir itself may be a symbolic link: the admin made it. */
static int
open_root(const char *path)
{
	return (int)TEMP_FAILURE_RETRY(
	    open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int
open_tree(struct account *a, struct err *e)
{
	struct stat st;
	int fd, rc;

	if (a->root_fd >= 0)
		return 0;
	fd = open_root(a->path);
	if (fd < 0 && errno == ENOENT) {
		if ((rc = make_path(a->path, e)) != 0)
			return rc;
		fd = open_root(a->path);
	}
	if (fd < 0)
		return err_sys(e, "open %s", a->path);
	for (size_t i = 0; i < NELEMS(subdirs); i++)
		if (fsx_stat(fd, subdirs[i], &st) < 0 &&
		    (rc = account_make_dirs(fd, e)) != 0) {
			(void)close(fd);
			return rc;
		}
	a->root_fd = fd;
	if (fstat(fd, &st) < 0)
		st.st_dev = st.st_ino = 0;
	a->device = st.st_dev;
	a->root_ino = st.st_ino;
	a->remote = is_remote(fd);
	return 0;
}

static int
take_lock(struct account *a, struct err *e)
{
	a->lock_fd = (int)TEMP_FAILURE_RETRY(openat(a->root_fd, LOCK_NAME,
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
	if (a->lock_fd < 0)
		return err_sys(e, "open " LOCK_NAME);
	if (account_lock(a, ACCOUNT_LOCK_OPEN, F_RDLCK) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(e, ERR_BUSY, "database is being rebuilt");
	return err_sys(e, "lock " LOCK_NAME);
}

static void
drop_lock(struct account *a)
{
	if (a->lock_fd >= 0)
		(void)close(a->lock_fd);
	a->lock_fd = -1;
}

/* 0 if all bytes of a file can be read, or it isn't there. */
static int
check_readable(struct account *a, const char *name, struct err *e)
{
	static char bytes[65536];
	off_t at = 0;
	ssize_t n;
	int fd = fsx_open_read(a->root_fd, name, NULL), rc = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open %s", name);
	while ((n = fsx_pread(fd, bytes, sizeof(bytes), at)) > 0)
		at += n;
	if (n < 0)
		rc = err_sys(e, "read %s", name);
	(void)close(fd);
	return rc;
}

/* Move a damaged database out of the way. */
static int
set_aside(struct account *a, struct err *e)
{
	static const char *const suffixes[] = { "", "-wal", "-shm",
		"-journal" };
	long long stamp =
	    (long long)((a->store->wall_ms != 0 ? a->store->wall_ms
						: clock_wall()) /
		1000);
	char from[64], to[96];

	if (account_lock(a, ACCOUNT_LOCK_OPEN, F_WRLCK) < 0)
		return err_set(e, ERR_BUSY, "others have the database open");
	log_error("maildir: database set aside path=%s kept=" DB_NAME
		  ".damaged-%lld",
	    a->path, stamp);
	for (size_t i = 0; i < NELEMS(suffixes); i++) {
		(void)snprintf(from, sizeof(from), DB_NAME "%s", suffixes[i]);
		(void)snprintf(to, sizeof(to), DB_NAME ".damaged-%lld%s", stamp,
		    suffixes[i]);
		if (fsx_rename(a->root_fd, from, a->root_fd, to) < 0 &&
		    errno != ENOENT)
			return err_sys(e, "rename %s", from);
	}
	a->damaged = 0;
	if (account_lock(a, ACCOUNT_LOCK_OPEN, F_RDLCK) < 0)
		return err_sys(e, "lock " LOCK_NAME);
	return 0;
}

static int
set_damaged_aside(struct account *a, struct err *e)
{
	int rc;

	/* A disk that can't be read now may be read later. */
	if ((rc = check_readable(a, DB_NAME, e)) != 0 ||
	    (rc = check_readable(a, WAL_NAME, e)) != 0)
		return rc;
	log_error("maildir: database damaged, rebuilding path=%s", a->path);
	return set_aside(a, e);
}

int
maintain_set_aside(struct account *a, struct err *e)
{
	int rc;

	account_close_db(a);
	if ((rc = open_tree(a, e)) != 0 || (rc = take_lock(a, e)) != 0)
		return rc;
	rc = set_aside(a, e);
	drop_lock(a);
	return rc;
}

/* The absolute path of a file of the account without symbolic links. */
static char *
real_path(const struct account *a, const char *file)
{
	char *dir = fsx_real_path(a->path), *path;

	path = mem_printf("%s/%s", dir, file);
	free(dir);
	return path;
}

/* Others may open it again. */
static int
carry_on(struct account *a, struct err *e)
{
	int young = young_left(a, e);

	if (young < 0)
		return young;
	if (account_lock(a, ACCOUNT_LOCK_OPEN, F_RDLCK) < 0)
		return err_sys(e, "lock " LOCK_NAME);
	young_opened(a, young, true);
	return 0;
}

/*
 * What another process left half done, if it is sure to be gone.  What one of
 * before a loss of power left must be seen to before anybody looks for files
 * that it was about: who opens the account waits (young_ready()).
 */
static int
carry_out(struct account *a, struct err *e)
{
	/* those of our own APPENDs aren't left: the database was closed
	 * and opened again under them */
	int intents = a->n_intents == 0 ? intent_pending(a, e) : 0;
	int young = intents < 0 ? intents : young_left(a, e);

	if (young < 0)
		return young;
	if ((intents != 0 || young != 0) &&
	    account_lock(a, ACCOUNT_LOCK_OPEN, F_WRLCK) == 0)
		return intents != 0 ? intent_redo(a, carry_on, e)
				    : carry_on(a, e);
	young_opened(a, young, false);
	return 0;
}

/* Whether there is anything of the kind, and of mailboxes that went. */
static int
look_for_left(struct account *a, bool *left, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_LEFT);
	int rc;

	*left = a->rows_left = false;
	while (!*left && (rc = db_step(&a->db, s, e)) == 1) {
		*left = sqlite3_column_int(s, 0) == 1;
		a->rows_left = true;
	}
	(void)sqlite3_reset(s);
	return *left ? 0 : rc;
}

/* To begin a transaction that may write: whoever can't isn't to find out later.
 */
static int
begin_checks(struct db *db, struct err *e)
{
	int rc = db_begin(db, e);

	if (rc != 0)
		return rc;
	rc = db_schema_is_ours(db, e);
	if (rc != 1)
		db_rollback(db);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = db_schema(db, e);
	return rc != 0 ? rc : db_begin(db, e);
}

/* All in one transaction; most who come find that nothing has happened, and
 * nothing is written then. */
static int
start_db(struct account *a, struct err *e)
{
	struct db *db = &a->db;
	bool left = false;
	int rc = begin_checks(db, e), mended;

	if (rc != 0)
		return rc;
	rc = mended = account_check_facts(a, e);
	if (rc >= 0)
		rc = look_for_left(a, &left, e);
	/* as long as nobody else can commit */
	db_log_opened(db);
	a->none_young = rc == 0 && !left;
	if (rc == 0 && mended == 1) {
		rc = db_commit(db, e);
		db_log_opened(db);
		a->none_young = false;
	} else {
		db_rollback(db);
	}
	return rc == 0 && left ? carry_out(a, e) : rc;
}

static int
open_once(struct account *a, const char *path, struct err *e)
{
	int rc = db_open(&a->db, path, a->remote, false, e);

	if (rc == 0 && !db_file(path, &a->db_ino))
		rc = err_set(e, ERR_STALE, "database vanished");
	if (rc == 0)
		rc = start_db(a, e);
	if (rc != 0)
		db_close(&a->db);
	return rc;
}

/*
 * What is due before there is a database; an account that has one was good.
 * Whose subscriptions couldn't be taken over is still without one then, and
 * the next time they are.
 */
static int
begin_fresh(struct account *a, bool *had, struct err *e)
{
	struct stat st;
	int rc;

	*had = false;
	if (fsx_stat(a->root_fd, DB_NAME, &st) == 0) {
		*had = st.st_size != 0;
		return 0;
	}
	if (errno != ENOENT)
		return err_sys(e, "stat %s/%s", a->path, DB_NAME);
	rc = layout_check(a->root_fd, e);
	return rc == 0 ? import_subscriptions(a, e) : rc;
}

static bool
has_database(struct account *a)
{
	struct stat st;

	return fsx_stat(a->root_fd, DB_NAME, &st) == 0 && st.st_size != 0;
}

/* One that couldn't be made doesn't stay half made. */
static void
unmake(struct account *a)
{
	static const char *const suffixes[] = { "-shm", "-wal", "-journal",
		"" };
	char *path;

	if (a->lock_fd < 0 || account_lock(a, ACCOUNT_LOCK_OPEN, F_WRLCK) < 0)
		return;
	for (size_t i = 0; i < NELEMS(suffixes); i++) {
		path = mem_printf("%s%s", DB_NAME, suffixes[i]);
		(void)!fsx_unlink(a->root_fd, path);
		free(path);
	}
}

static int
open_on_disk(struct account *a, struct err *e)
{
	char *path;
	bool had;
	int rc;

	if ((rc = open_tree(a, e)) != 0 || (rc = begin_fresh(a, &had, e)) != 0)
		return rc;
	path = real_path(a, DB_NAME);
	if ((rc = take_lock(a, e)) != 0)
		goto out;
	if (a->damaged > 1 && (rc = set_damaged_aside(a, e)) != 0)
		goto out;
	rc = open_once(a, path, e);
	if (rc == ERR_DAMAGED)
		rc = open_once(a, path, e);
	if (rc == ERR_DAMAGED) {
		if ((rc = set_damaged_aside(a, e)) != 0)
			goto out;
		rc = open_once(a, path, e);
	}
	if (!had && (rc == ERR_SPACE || rc == ERR_QUOTA))
		unmake(a);
out:
	free(path);
	if (rc != 0)
		drop_lock(a);
	return rc;
}

/* Who has no room for an index must be able to make some. */
static int
open_in_memory(struct account *a, struct err *e)
{
	int rc = db_open(&a->db, ":memory:", true, false, e);

	if (rc == 0 && (rc = start_db(a, e)) != 0)
		db_close(&a->db);
	if (rc != 0)
		return rc;
	log_warn("maildir: disk full, index in memory only path=%s", a->path);
	a->in_memory = true;
	a->db_ino = 0;
	return 0;
}

int
account_open_db(struct account *a, struct err *e)
{
	int rc = open_on_disk(a, e);

	if ((rc == ERR_SPACE || rc == ERR_QUOTA) && a->root_fd >= 0) {
		/* full twice in a row, or there is no room after all */
		(void)room_give(a);
		rc = open_on_disk(a, e);
		if ((rc == ERR_SPACE || rc == ERR_QUOTA) && !has_database(a))
			rc = open_in_memory(a, e);
	}
	if (rc != 0)
		return rc;
	if (a->store->opt.syncer != NULL)
		db_count_log(&a->db);
	a->root_changes++;
	room_keep(a);
	return 0;
}

int
account_ready(struct account *a, struct err *e)
{
	int rc = intent_redone(a, e);

	if (rc != 0 && rc != ERR_BUSY)
		account_close_db(a);
	if (rc == 0 && !young_ready(a))
		rc = err_set(e, ERR_BUSY, "messages are being written anew");
	return rc;
}

bool
account_mending(const struct account *a)
{
	return young_mending(a) || intent_redone(a, NULL) == ERR_BUSY;
}
