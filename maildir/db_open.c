/*
 * Opening and closing a database.
 *
 * An account's database is opened for each client that looks for new mail, if
 * no other is there, so this is made to take little: a path that is known to
 * have no symbolic links isn't walked once more, nothing is asked or set that
 * a file made by us already has, and memory is that which malloc() has ready.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "maildir/db.h"

/* SQLite would ask lstat() of each directory; our callers did (fsx_real_path),
 * and of the file itself SQLITE_OPEN_NOFOLLOW takes care. */
static int
full_path(sqlite3_vfs *v, const char *path, int size, char *out)
{
	size_t n = strlen(path) + 1;

	(void)v;
	if (path[0] != '/' || n > (size_t)size)
		return SQLITE_CANTOPEN;
	memcpy(out, path, n);
	return SQLITE_OK;
}

/* Of the log's index (https://sqlite.org/walformat.html 2.1): its first region,
 * more than which a log as short as ours doesn't have. */
enum { REGION = 32768, HEADER_PAGE = 4096 };

/*
 * SQLite's ftruncate().  Who opens a database that nobody else has open cuts
 * the log's index to three bytes, that nothing of it is believed, and writes
 * zeros behind them.  For the file system that is blocks to be given back and
 * found anew, a third of what opening took.  But it is the header that says
 * whether the rest counts: with zeros there the index is made anew, and each
 * table in it is emptied before its first entry, as in a log that begins again
 * from its front.  One with holes, as a backup may bring it back, is cut: where
 * the disk is full, to write to a hole of a file in memory ends the process.
 */
static int
cut(int fd, off_t size)
{
	static const uint8_t zeros[HEADER_PAGE];
	enum { INDEX_CUT = 3, BLOCK = 512 };
	struct stat st;

	if (size == INDEX_CUT && fstat(fd, &st) == 0 && st.st_size == REGION &&
	    st.st_blocks >= REGION / BLOCK &&
	    pwrite(fd, zeros, HEADER_PAGE, 0) == HEADER_PAGE)
		return 0;
	return ftruncate(fd, size);
}

/*
 * For all connections, before the first.  What SQLite sets aside for each of
 * them (48 KiB for small pieces, 88 KiB for 20 pages) is touched when it is
 * opened, and was most of what an open account cost; statistics of memory are
 * asked for by nobody, and cost a lock for each piece.
 */
static const char *
configure(void)
{
	static sqlite3_vfs vfs;

	if (vfs.zName != NULL)
		return vfs.zName;
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	(void)sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
	(void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	vfs = *sqlite3_vfs_find(NULL);
	vfs.zName = "postern";
	vfs.pNext = NULL;
	vfs.xFullPathname = full_path;
	(void)sqlite3_vfs_register(&vfs, 0);
	if (vfs.iVersion >= 3 && vfs.xSetSystemCall != NULL)
		(void)vfs.xSetSystemCall(
		    &vfs, "ftruncate", (sqlite3_syscall_ptr)cut);
	return vfs.zName;
}

/* Whether the database is open with a log beside it. */
static bool
has_log(struct db *db)
{
	sqlite3_file *f = NULL;

	/* between transactions there is no other file of the kind */
	return sqlite3_file_control(db->h, "main", SQLITE_FCNTL_JOURNAL_POINTER,
		   &f) == SQLITE_OK &&
	    f != NULL && f->pMethods != NULL;
}

static int
set_journal(struct db *db, const char *sql, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db->h, sql, -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc != SQLITE_ROW) {
		rc = db_error(db, sqlite3_extended_errcode(db->h), e);
		(void)sqlite3_finalize(s);
		return rc != 0 ? rc : ERR_SYS;
	}
	db->wal = sqlite3_stricmp(
		      (const char *)sqlite3_column_text(s, 0), "wal") == 0;
	/* the header is written behind the row */
	(void)sqlite3_step(s);
	rc = sqlite3_finalize(s);
	return rc != SQLITE_OK ? db_error(db, rc, e) : 0;
}

static int
set_up_disposable(struct db *db, struct err *e)
{
	int rc = db_exec(db, "PRAGMA page_size = 8192", e);

	/* What is disposable may be broken by a crash: it needs no journal
	 * on the disk, and is written once only. */
	if (rc == 0)
		rc = set_journal(db, "PRAGMA journal_mode = MEMORY", e);
	return rc != 0 ? rc
		       : db_exec(db,
			     "PRAGMA synchronous = OFF;"
			     "PRAGMA cache_size = -256;"
			     "PRAGMA max_page_count = 524288" /* 4 GiB */,
			     e);
}

/*
 * Debian's SQLite overwrites by zeros what is deleted.  Files of messages
 * aren't overwritten either, and each message that leaves `young' would cost a
 * page.
 */
static int
set_up(struct db *db, bool remote, struct err *e)
{
	int rc = db_exec(db,
	    remote ? "PRAGMA cache_size = -512"
		   : "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -512;"
		     "PRAGMA secure_delete = OFF",
	    e);

	if (rc != 0)
		return rc;
	if (!remote && has_log(db)) {
		db->wal = true;
		return 0;
	}
	rc = set_journal(db,
	    remote ? "PRAGMA journal_mode = TRUNCATE"
		   : "PRAGMA journal_mode = WAL",
	    e);
	return rc != 0 || db->wal ? rc
				  : db_exec(db, "PRAGMA synchronous = FULL", e);
}

int
db_open(struct db *db, const char *path, bool remote, bool disposable,
    struct err *e)
{
	const char *vfs = configure();
	int rc;

	*db = (struct db){ 0 };
	db->stmt = mem_zalloc(DB_N_STATEMENTS, sizeof(sqlite3_stmt *));
	rc = sqlite3_open_v2(path, &db->h,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		SQLITE_OPEN_NOFOLLOW,
	    vfs);
	if (rc != SQLITE_OK) {
		rc = db_error(db, sqlite3_extended_errcode(db->h), e);
		goto out;
	}
	if (sqlite3_db_readonly(db->h, "main") == 1) {
		rc = db_error(db, SQLITE_READONLY, e);
		goto out;
	}
	(void)sqlite3_extended_result_codes(db->h, 1);
	(void)sqlite3_busy_timeout(db->h, 0);
	(void)sqlite3_db_config(
	    db->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	rc = disposable ? set_up_disposable(db, e) : set_up(db, remote, e);
out:
	if (rc != 0)
		db_close(db);
	return rc;
}

void
db_close(struct db *db)
{
	db_rollback(db);
	for (size_t i = 0; db->stmt != NULL && i < DB_N_STATEMENTS; i++)
		(void)sqlite3_finalize(db->stmt[i]);
	free(db->stmt);
	(void)sqlite3_close(db->h);
	*db = (struct db){ 0 };
}

/* --- the log -------------------------------------------------------------- */

/*
 * The index has its place in memory that all share who have the database open,
 * as long as one of them has (https://sqlite.org/walformat.html 2.1); SQLite
 * looks there itself at the beginning of each transaction.  Its first region
 * stays where it is until the connection is closed, or leaves the mode with a
 * log, which ours don't.
 */
static const void *
map_index(const struct db *db)
{
	volatile void *at = NULL;
	sqlite3_file *f = NULL;

	if (!db->wal ||
	    sqlite3_file_control(
		db->h, "main", SQLITE_FCNTL_FILE_POINTER, &f) != SQLITE_OK ||
	    f->pMethods == NULL || f->pMethods->iVersion < 2 ||
	    f->pMethods->xShmMap(f, 0, REGION, 0, &at) != SQLITE_OK)
		return NULL;
	return (const void *)(uintptr_t)at;
}

bool
db_log_header(const struct db *db, uint8_t out[LOG_HEADER])
{
	const void *index = db->index != NULL ? db->index : map_index(db);

	if (index == NULL)
		return false;
	atomic_thread_fence(memory_order_acquire);
	memcpy(out, index, LOG_HEADER);
	return true;
}

void
db_log_opened(struct db *db)
{
	db->index = map_index(db);
	if (!db_log_header(db, db->opened))
		memset(db->opened, 0, sizeof(db->opened));
}

bool
db_log_as_opened(const struct db *db)
{
	uint8_t now[LOG_HEADER];

	return db_log_header(db, now) &&
	    memcmp(db->opened, now, sizeof(now)) == 0;
}

uint32_t
db_log_unwritten(const struct db *db)
{
	enum { HEADER_PAGES = 16 };
	uint32_t n;

	if (!db_log_as_opened(db))
		return 0;
	memcpy(&n, db->opened + HEADER_PAGES, sizeof(n)); /* as the machine */
	return n;
}

static int
on_commit(void *arg, sqlite3 *h, const char *name, int n_pages)
{
	struct db *db = arg;

	db->n_log = db->n_frames = (unsigned)n_pages;
	if (n_pages >= LOG_PAGES_MAX)
		(void)sqlite3_wal_checkpoint_v2(
		    h, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return SQLITE_OK;
}

void
db_count_log(struct db *db)
{
	/* instead of the automatic checkpoint, which is such a hook, too */
	if (db->wal)
		(void)sqlite3_wal_hook(db->h, on_commit, db);
}

/* What fails is tried again later, and nothing is lost until it works. */
int
db_checkpoint(const char *path, bool empty)
{
	sqlite3 *h = NULL;
	int rc = sqlite3_open_v2(path, &h,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
	    configure());
	int error;

	if (rc == SQLITE_OK)
		(void)sqlite3_db_config(
		    h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	/* a connection that hasn't read anything knows of no log, and copies
	 * none */
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(h, "PRAGMA schema_version", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_wal_checkpoint_v2(
		    h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	/* nobody can write during this one, so it has nothing left to copy or
	 * to sync */
	if (rc == SQLITE_OK && empty)
		rc = sqlite3_wal_checkpoint_v2(
		    h, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	error = rc == SQLITE_OK		   ? 0
	    : (rc & 0xff) == SQLITE_BUSY   ? EBUSY
	    : sqlite3_system_errno(h) != 0 ? sqlite3_system_errno(h)
					   : EIO;
	(void)sqlite3_close(h);
	return error;
}
