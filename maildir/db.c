#include "maildir/db.h"

#include <sys/stat.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAILBOX_COLUMNS                                                        \
 "uidvalidity, uidnext, modseq, modseq_bound, change, recent_uid, "            \
 "n_keywords, n_sets, new_ino, new_mtime, cur_ino, cur_mtime, pop3_next, "     \
 "pop3_uidvalidity"

/* Some rows of a table, of the keys ?1 to ?2. */
#define DELETE_SOME(table)                                                     \
 "DELETE FROM " table " WHERE key IN (SELECT key FROM " table                  \
 " WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)"
/* The same by the mailbox of those keys. */
#define DELETE_SOME_OF(table, column)                                          \
 "DELETE FROM " table " WHERE mailbox = ?1 >> 32 AND " column                  \
 " IN (SELECT " column " FROM " table " WHERE mailbox = ?1 >> 32 LIMIT ?3)"

/* clang-format off */
static const char *const texts[DB_N_STATEMENTS] = {
[DB_BEGIN] = "BEGIN IMMEDIATE",
[DB_BEGIN_READ] = "BEGIN",
[DB_COMMIT] = "COMMIT",
[DB_ROLLBACK] = "ROLLBACK",
[DB_DATA_VERSION] = "PRAGMA data_version",
[DB_META_GET] = "SELECT value FROM meta WHERE key = ?1",
[DB_META_LIST] = "SELECT key, value FROM meta",
[DB_META_SET] = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
[DB_MAILBOX_GET] =
    "SELECT " MAILBOX_COLUMNS ", id, object_id, modseq_floor, "
    "save_floor "
    "FROM mailbox WHERE dir = ?1",
[DB_MAILBOX_INSERT] =
    "INSERT INTO mailbox (dir, uidvalidity, uidnext, modseq, modseq_bound, "
    "change, recent_uid, n_keywords, n_sets, new_ino, new_mtime, cur_ino, "
    "cur_mtime, pop3_next, pop3_uidvalidity, object_id) "
    "VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, 0, 1, 0, 0, 0, 0, 0, 0, random() | 1)",
[DB_MAILBOX_UPDATE] =
    "UPDATE mailbox SET (" MAILBOX_COLUMNS ") = "
    "(?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) "
    "WHERE id = ?1",
[DB_MAILBOX_RENAME] = "UPDATE mailbox SET dir = ?2 WHERE id = ?1",
[DB_MAILBOX_DELETE] = "DELETE FROM mailbox WHERE id = ?1",
[DB_MAILBOX_JUMP] =
    "UPDATE mailbox SET uidnext = min(uidnext + ?1, 4294967295), "
    "modseq = modseq_bound + ?2, modseq_bound = modseq_bound + ?2, "
    "pop3_next = CASE pop3_next WHEN 0 THEN 0 ELSE pop3_next + ?1 END, "
    "change = change + 1",
[DB_MAILBOX_RAISE] =
    "UPDATE mailbox SET uidnext = max(uidnext, ?2), "
    "recent_uid = max(recent_uid, ?2) WHERE id = ?1",
[DB_MAILBOX_DOUBT] =
    "UPDATE mailbox SET vanished_from = modseq, modseq_floor = modseq",
[DB_MAILBOX_SET_VALIDITY] =
    "UPDATE mailbox SET uidvalidity = ?2, change = change + 1 WHERE id = ?1",
[DB_MAILBOX_SET_SAVED] = "UPDATE mailbox SET save_floor = ?2 WHERE id = ?1",
[DB_MAILBOX_SET_OBJECT] =
    "UPDATE mailbox SET object_id = coalesce(?2, random() | 1) WHERE id = ?1",
[DB_NAMES_BELOW] =
    "SELECT id, dir FROM mailbox WHERE substr(dir, 1, length(?1)) = ?1",
[DB_USED_GET] = "SELECT uidvalidity FROM used WHERE dir = ?1",
[DB_USED_SET] =
    "INSERT INTO used (dir, uidvalidity) VALUES (?1, ?2) ON CONFLICT (dir) "
    "DO UPDATE SET uidvalidity = max(uidvalidity, excluded.uidvalidity)",
[DB_CHUNK_LIST] =
    "SELECT key, change FROM chunk_state WHERE key BETWEEN ?1 AND ?2 "
    "ORDER BY key",
[DB_CHUNK_LOAD] =
    "SELECT s.key, s.change, s.state, f.fixed FROM chunk_state s "
    "LEFT JOIN chunk_fixed f ON f.key = s.key "
    "WHERE s.key BETWEEN ?1 AND ?2 ORDER BY s.key",
[DB_CHUNK_NAMES] = "SELECT names FROM chunk_names WHERE key = ?1",
[DB_CHUNK_GET] =
    "SELECT f.fixed, n.names, s.state FROM chunk_state s "
    "JOIN chunk_names n ON n.key = s.key JOIN chunk_fixed f ON f.key = s.key "
    "WHERE s.key = ?1",
[DB_CHUNK_BEFORE] =
    "SELECT key FROM chunk_state WHERE key BETWEEN ?1 AND ?2 "
    "ORDER BY key DESC LIMIT 1",
[DB_CHUNK_PUT_FIXED] =
    "INSERT OR REPLACE INTO chunk_fixed (key, fixed) VALUES (?1, ?2)",
[DB_CHUNK_PUT_NAMES] =
    "INSERT OR REPLACE INTO chunk_names (key, names) VALUES (?1, ?2)",
[DB_CHUNK_PUT_STATE] =
    "INSERT OR REPLACE INTO chunk_state (key, change, state) "
    "VALUES (?1, ?2, ?3)",
[DB_CHUNK_DEL_FIXED] = "DELETE FROM chunk_fixed WHERE key BETWEEN ?1 AND ?2",
[DB_CHUNK_DEL_NAMES] = "DELETE FROM chunk_names WHERE key BETWEEN ?1 AND ?2",
[DB_CHUNK_DEL_STATE] = "DELETE FROM chunk_state WHERE key BETWEEN ?1 AND ?2",
[DB_KEYWORD_LIST] =
    "SELECT no, name FROM keyword WHERE mailbox = ?1 AND no >= ?2 "
    "ORDER BY no",
[DB_KEYWORD_PUT] =
    "INSERT OR REPLACE INTO keyword (mailbox, no, name) VALUES (?1, ?2, ?3)",
[DB_SET_LIST] =
    "SELECT no, members FROM keyword_set WHERE mailbox = ?1 AND no >= ?2 "
    "ORDER BY no",
[DB_SET_PUT] =
    "INSERT OR REPLACE INTO keyword_set (mailbox, no, members) "
    "VALUES (?1, ?2, ?3)",
[DB_VANISHED_PUT] =
    "INSERT INTO vanished (mailbox, modseq, first, last) "
    "VALUES (?1, ?2, ?3, ?4)",
[DB_VANISHED_LIST] =
    "SELECT vanished_from, 0 FROM mailbox WHERE id = ?1 "
    "UNION ALL "
    "SELECT first, last FROM vanished WHERE mailbox = ?1 AND modseq > ?2",
[DB_VANISHED_COUNT] = "SELECT count(*) FROM vanished WHERE mailbox = ?1",
[DB_VANISHED_NTH] =
    "SELECT modseq FROM vanished WHERE mailbox = ?1 ORDER BY modseq DESC "
    "LIMIT 1 OFFSET ?2",
[DB_VANISHED_FORGET] =
    "DELETE FROM vanished WHERE mailbox = ?1 AND modseq <= ?2",
[DB_VANISHED_FROM] =
    "UPDATE mailbox SET vanished_from = ?2 WHERE id = ?1",
[DB_POP3_LIST] =
    "SELECT key, ids FROM pop3 WHERE key BETWEEN ?1 AND ?2 ORDER BY key",
[DB_POP3_PUT] = "INSERT OR REPLACE INTO pop3 (key, ids) VALUES (?1, ?2)",
[DB_POP3_DEL] = "DELETE FROM pop3 WHERE key BETWEEN ?1 AND ?2",
[DB_POP3_TEXT_LIST] =
    "SELECT key, texts FROM pop3_text WHERE key BETWEEN ?1 AND ?2 "
    "ORDER BY key",
[DB_POP3_TEXT_PUT] =
    "INSERT OR REPLACE INTO pop3_text (key, texts) VALUES (?1, ?2)",
[DB_PRINT_LIST] =
    "SELECT kind, dev, ino, size, mtime FROM print WHERE mailbox = ?1 "
    "AND kind BETWEEN ?2 AND ?3 ORDER BY kind",
[DB_PRINT_PUT] =
    "INSERT OR REPLACE INTO print (mailbox, kind, dev, ino, size, mtime) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
[DB_PRINT_DEL] = "DELETE FROM print WHERE mailbox = ?1 AND kind = ?2",
[DB_PRINT_FORGET] =
    "DELETE FROM print WHERE mailbox = ?1 AND kind < 0 AND size < ?2",
[DB_EXPORTED_GET] = "SELECT change, modseq FROM exported WHERE mailbox = ?1",
[DB_EXPORTED_PUT] =
    "INSERT OR REPLACE INTO exported (mailbox, change, modseq) "
    "VALUES (?1, ?2, ?3)",
[DB_MAILBOX_NEXT] =
    "SELECT id, dir FROM mailbox WHERE id > ?1 ORDER BY id LIMIT 1",
[DB_EXPORTED_NOT] =
    "SELECT m.id, m.dir FROM mailbox m LEFT JOIN exported x "
    "ON x.mailbox = m.id WHERE x.change IS NOT m.change AND m.id > ?1 "
    "ORDER BY m.id LIMIT 1",
[DB_YOUNG_PUT] =
    "INSERT OR REPLACE INTO young (key, boot, tmp, base, bytes) "
    "VALUES (?1, ?2, ?3, ?4, ?5)",
[DB_YOUNG_GET] = "SELECT tmp, boot FROM young WHERE key = ?1",
[DB_YOUNG_KEYS] = "SELECT key FROM young WHERE key BETWEEN ?1 AND ?2",
[DB_YOUNG_ROW] =
    "SELECT y.boot, y.tmp, y.base, y.bytes, m.dir, m.cur_ino FROM young y "
    "LEFT JOIN mailbox m ON m.id = y.key >> 32 WHERE y.key = ?1",
[DB_YOUNG_DIR] = "SELECT dir FROM mailbox WHERE id = ?1 >> 32",
[DB_YOUNG_BOOTS] = "SELECT max(boot <> ?1 OR ?1 = 0) FROM young",
[DB_YOUNG_DEL] = "DELETE FROM young WHERE key BETWEEN ?1 AND ?2",
/* an id that no other ever had, whatever became of the database meanwhile */
[DB_INTENT_PUT] =
    "INSERT INTO intent (id, mailbox, names) "
    "VALUES ((random() >> 2 & 0x1fffffffffffffff) | 1, ?1, ?2)",
[DB_INTENT_LIST] =
    "SELECT i.id, m.dir, i.names FROM intent i JOIN mailbox m "
    "ON m.id = i.mailbox WHERE i.id > ?1 ORDER BY i.id",
[DB_INTENT_DEL] = "DELETE FROM intent WHERE id BETWEEN ?1 AND ?2",
/* 1: to be carried out when the account is opened; 2: later */
[DB_LEFT] =
    "SELECT 2 FROM gone UNION ALL SELECT 1 FROM intent "
    "UNION ALL SELECT 1 FROM young",
[DB_GONE_NEXT] = "SELECT mailbox FROM gone LIMIT 1",
[DB_GONE_DEL] = "DELETE FROM gone WHERE mailbox = ?1",
[DB_GONE_FIXED] = DELETE_SOME("chunk_fixed"),
[DB_GONE_NAMES] = DELETE_SOME("chunk_names"),
[DB_GONE_STATE] = DELETE_SOME("chunk_state"),
[DB_GONE_POP3] = DELETE_SOME("pop3"),
[DB_GONE_POP3_TEXT] = DELETE_SOME("pop3_text"),
[DB_GONE_KEYWORD] = DELETE_SOME_OF("keyword", "no"),
[DB_GONE_SET] = DELETE_SOME_OF("keyword_set", "no"),
[DB_GONE_VANISHED] = DELETE_SOME_OF("vanished", "rowid"),
[DB_CACHE_SWEEP] = DELETE_SOME("cached"),
[DB_CACHE_GET] = "SELECT bytes FROM cached WHERE key = ?1",
[DB_CACHE_NEXT] = "SELECT key FROM cached WHERE key > ?1 ORDER BY key LIMIT 1",
[DB_CACHE_PUT] = "INSERT OR REPLACE INTO cached (key, bytes) VALUES (?1, ?2)",
[DB_CACHE_DEL] = "DELETE FROM cached WHERE key BETWEEN ?1 AND ?2",
};
/* clang-format on */

/* That a file isn't there says nothing about what the caller asked for. */
static int
code_of_errno(int sys)
{
	int code = err_of_errno(sys);

	return code == ERR_NOT_FOUND || code == ERR_EXISTS ? ERR_SYS : code;
}

/* SQLite opens for reading what it can't open for writing, whatever the
 * reason was. */
static int
code_of_readonly(struct db *db)
{
	const char *path =
	    db->h != NULL ? sqlite3_db_filename(db->h, "main") : NULL;

	return path != NULL && access(path, W_OK) == 0 ? ERR_TEMPORARY
						       : ERR_DENIED;
}

int
db_error(struct db *db, int rc, struct err *e)
{
	int sys = db->h != NULL ? sqlite3_system_errno(db->h) : 0;
	int code = ERR_SYS;

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = ERR_BUSY;
		break;
	case SQLITE_FULL:
		code = ERR_SPACE;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		code = ERR_DAMAGED;
		break;
	case SQLITE_READONLY:
		code = rc == SQLITE_READONLY_DBMOVED ? ERR_STALE
						     : code_of_readonly(db);
		break;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		code = ERR_DENIED;
		break;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		code = rc == SQLITE_IOERR_SHORT_READ ? ERR_DAMAGED
						     : code_of_errno(sys);
		break;
	case SQLITE_ERROR:
	case SQLITE_SCHEMA:
		/* a table or column that ought to be there isn't */
		code = ERR_DAMAGED;
		break;
	default:
		break;
	}
	db->refused =
	    db->refused || code == ERR_DENIED || code == ERR_TEMPORARY;
	(void)err_set(e, code, "database: %s",
	    db->h != NULL ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc));
	if (e != NULL)
		e->sys = sys;
	return code;
}

int
db_exec(struct db *db, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : db_error(db, rc, e);
}

sqlite3_stmt *
db_stmt(struct db *db, enum db_sql which)
{
	sqlite3_stmt **s = db->stmt != NULL ? &db->stmt[which] : NULL;

	if (s == NULL)
		return NULL;
	if (*s == NULL &&
	    sqlite3_prepare_v3(db->h, texts[which], -1,
		SQLITE_PREPARE_PERSISTENT, s, NULL) != SQLITE_OK)
		return NULL;
	(void)sqlite3_reset(*s);
	(void)sqlite3_clear_bindings(*s);
	return *s;
}

int
db_step(struct db *db, sqlite3_stmt *s, struct err *e)
{
	int rc = s != NULL ? sqlite3_step(s) : sqlite3_errcode(db->h), code;

	if (rc == SQLITE_ROW)
		return 1;
	code = rc == SQLITE_DONE
	    ? 0
	    : db_error(db, sqlite3_extended_errcode(db->h), e);
	if (s != NULL)
		(void)sqlite3_reset(s);
	return code;
}

int
db_run(struct db *db, sqlite3_stmt *s, struct err *e)
{
	int rc;

	do
		rc = db_step(db, s, e);
	while (rc == 1);
	return rc;
}

int
db_begin_read(struct db *db, struct err *e)
{
	int rc;

	assert(!db->in_txn);
	rc = db_run(db, db_stmt(db, DB_BEGIN_READ), e);
	db->in_txn = rc == 0;
	return rc;
}

int
db_begin(struct db *db, struct err *e)
{
	int rc;

	assert(!db->in_txn);
	rc = db_run(db, db_stmt(db, DB_BEGIN), e);
	db->in_txn = rc == 0;
	return rc;
}

void
db_rollback(struct db *db)
{
	if (db->in_txn && !sqlite3_get_autocommit(db->h) &&
	    db_run(db, db_stmt(db, DB_ROLLBACK), NULL) != 0)
		(void)sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
	db->in_txn = false;
}

int
db_commit(struct db *db, struct err *e)
{
	int rc;

	assert(db->in_txn);
	rc = db_run(db, db_stmt(db, DB_COMMIT), e);
	if (rc != 0)
		db_rollback(db);
	db->changed = true;
	db->in_txn = false;
	return rc;
}

/*
 * Whether nobody has committed since that was last asked.  To ask takes a read
 * lock and two system calls; instead of that the header of the log's index is
 * compared, which each commit changes.  It is noted before the number is asked
 * for, so that what is committed in between is seen the next time.
 */
static bool
log_is_as_noted(struct db *db)
{
	uint8_t now[LOG_HEADER];

	if (!db_log_header(db, now))
		return false;
	if (db->version != 0 && memcmp(db->header, now, sizeof(now)) == 0)
		return true;
	memcpy(db->header, now, sizeof(now));
	return false;
}

int
db_version(struct db *db, int64_t *version, struct err *e)
{
	sqlite3_stmt *s;
	int rc;

	if (!log_is_as_noted(db)) {
		db->version = 0;
		s = db_stmt(db, DB_DATA_VERSION);
		if ((rc = db_step(db, s, e)) <= 0)
			return rc < 0 ? rc : ERR_DAMAGED;
		db->version = sqlite3_column_int64(s, 0);
		(void)sqlite3_reset(s);
	}
	*version = db->version;
	return 0;
}

void
db_bind_blob(sqlite3_stmt *s, int at, struct slice v)
{
	/* An empty blob, not NULL: sqlite3_bind_blob of NULL binds NULL. */
	if (s != NULL)
		(void)sqlite3_bind_blob64(s, at,
		    v.n != 0 ? (const void *)v.p : "", v.n, SQLITE_STATIC);
}

void
db_bind_i64(sqlite3_stmt *s, int at, int64_t v)
{
	if (s != NULL)
		(void)sqlite3_bind_int64(s, at, v);
}

void
db_bind_u64(sqlite3_stmt *s, int at, uint64_t v)
{
	db_bind_i64(s, at, (int64_t)v);
}

struct slice
db_column_blob(sqlite3_stmt *s, int at)
{
	const void *p = sqlite3_column_blob(s, at);

	return slice_of(p, (size_t)sqlite3_column_bytes(s, at));
}

uint64_t
db_column_u64(sqlite3_stmt *s, int at)
{
	return (uint64_t)sqlite3_column_int64(s, at);
}

uint32_t
db_column_u32(sqlite3_stmt *s, int at)
{
	return (uint32_t)sqlite3_column_int64(s, at);
}

int
db_meta_get(struct db *db, const char *key, int64_t *v, struct err *e)
{
	sqlite3_stmt *s = db_stmt(db, DB_META_GET);
	int rc;

	if (s != NULL)
		(void)sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	if ((rc = db_step(db, s, e)) != 1)
		return rc;
	*v = sqlite3_column_int64(s, 0);
	(void)sqlite3_reset(s);
	return 1;
}

int
db_meta_set(struct db *db, const char *key, int64_t v, struct err *e)
{
	sqlite3_stmt *s = db_stmt(db, DB_META_SET);

	if (s != NULL)
		(void)sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	db_bind_i64(s, 2, v);
	return db_run(db, s, e);
}

bool
db_file(const char *path, uint64_t *ino)
{
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	*ino = st.st_ino;
	return true;
}
