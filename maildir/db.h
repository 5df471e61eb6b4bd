/*
 * db: one SQLite database, opened the way the store needs it.
 *
 * Layer:  maildir, uses base and SQLite.
 * Nothing here waits: a database that somebody else holds gives ERR_BUSY, and
 * the caller tries again in a later step.  No statement and no transaction is
 * left open when the caller yields.
 */
#ifndef MAILDIR_DB_H
#define MAILDIR_DB_H

#include <sys/types.h>

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { LOG_HEADER = 48 }; /* of the log's index */

/* Every statement there is; its text stands in db.c. */
enum db_sql {
	DB_BEGIN,
	DB_BEGIN_READ,
	DB_COMMIT,
	DB_ROLLBACK,
	DB_DATA_VERSION,
	DB_META_GET,
	DB_META_LIST,
	DB_META_SET,
	DB_MAILBOX_GET,
	DB_MAILBOX_INSERT,
	DB_MAILBOX_UPDATE,
	DB_MAILBOX_RENAME,
	DB_MAILBOX_DELETE,
	DB_MAILBOX_JUMP,
	DB_MAILBOX_RAISE,
	DB_MAILBOX_DOUBT,
	DB_MAILBOX_SET_VALIDITY,
	DB_MAILBOX_SET_SAVED,
	DB_MAILBOX_SET_OBJECT,
	DB_NAMES_BELOW,
	DB_USED_GET,
	DB_USED_SET,
	DB_CHUNK_LIST,
	DB_CHUNK_LOAD,
	DB_CHUNK_NAMES,
	DB_CHUNK_GET,
	DB_CHUNK_BEFORE,
	DB_CHUNK_PUT_FIXED,
	DB_CHUNK_PUT_NAMES,
	DB_CHUNK_PUT_STATE,
	DB_CHUNK_DEL_FIXED,
	DB_CHUNK_DEL_NAMES,
	DB_CHUNK_DEL_STATE,
	DB_KEYWORD_LIST,
	DB_KEYWORD_PUT,
	DB_SET_LIST,
	DB_SET_PUT,
	DB_VANISHED_PUT,
	DB_VANISHED_LIST,
	DB_VANISHED_COUNT,
	DB_VANISHED_NTH,
	DB_VANISHED_FORGET,
	DB_VANISHED_FROM,
	DB_POP3_LIST,
	DB_POP3_PUT,
	DB_POP3_DEL,
	DB_POP3_TEXT_LIST,
	DB_POP3_TEXT_PUT,
	DB_PRINT_LIST,
	DB_PRINT_PUT,
	DB_PRINT_DEL,
	DB_PRINT_FORGET,
	DB_EXPORTED_GET,
	DB_EXPORTED_PUT,
	DB_EXPORTED_NOT,
	DB_MAILBOX_NEXT,
	DB_YOUNG_PUT,
	DB_YOUNG_GET,
	DB_YOUNG_KEYS,
	DB_YOUNG_ROW,
	DB_YOUNG_DIR,
	DB_YOUNG_BOOTS,
	DB_YOUNG_DEL,
	DB_INTENT_PUT,
	DB_INTENT_LIST,
	DB_INTENT_DEL,
	DB_LEFT,
	DB_GONE_NEXT,
	DB_GONE_DEL,
	DB_GONE_FIXED,
	DB_GONE_NAMES,
	DB_GONE_STATE,
	DB_GONE_POP3,
	DB_GONE_POP3_TEXT,
	DB_GONE_KEYWORD,
	DB_GONE_SET,
	DB_GONE_VANISHED,
	DB_CACHE_SWEEP,
	DB_CACHE_GET,
	DB_CACHE_NEXT,
	DB_CACHE_PUT,
	DB_CACHE_DEL,
	DB_N_STATEMENTS,
};

struct db {
	sqlite3 *h;
	/* DB_N_STATEMENTS, as they were needed; NULL while it is closed, as
	 * most of the databases of a worker are */
	sqlite3_stmt **stmt;
	bool wal; /* else a rollback journal, synced by SQLite itself */
	const void *index; /* of the log, where it is mapped; NULL: ask */
	bool in_txn;
	bool changed; /* something was committed since that was last asked */
	bool refused; /* it gave ERR_DENIED or ERR_TEMPORARY itself */
	/* pages in the log; counted if db_count_log() was called */
	unsigned n_log;
	unsigned n_frames;	    /* the same, not set back by a checkpoint */
	int64_t log_size;	    /* of its file, as last seen */
	int64_t version;	    /* as it was last asked for; 0: ask */
	uint8_t header[LOG_HEADER]; /* then */
	uint8_t opened[LOG_HEADER]; /* when it was opened */
};

/*
 * Open or create the file at an absolute path.  disposable: nothing is synced.
 * 0, or ERR_BUSY, ERR_DAMAGED (not a database), ERR_SPACE, ERR_DENIED, ….
 */
int db_open(struct db *db, const char *path, bool remote, bool disposable,
    struct err *e) MUST_USE;
/* Idempotent; the log is not checkpointed. */
void db_close(struct db *db);

/*
 * Leave checkpoints to db_checkpoint(), which another thread may run at the
 * same time: it opens the file anew, copies what nobody reads any more, and
 * syncs; empty: then cuts the log to nothing.  0, or errno if that couldn't be
 * done; EBUSY: somebody is at it.  Until it is called for a log of LOG_PAGES
 * pages; one that has grown to LOG_PAGES_MAX is copied by the commit itself.
 */
enum { LOG_PAGES = 1000, LOG_PAGES_MAX = 16000 };
void db_count_log(struct db *db);
int db_checkpoint(const char *path, bool empty);
/* How the log's index begins, which each commit changes; false: there is none,
 * or nothing has been read yet. */
bool db_log_header(const struct db *db, uint8_t out[LOG_HEADER]) MUST_USE;
/*
 * Whether nobody has committed since db_log_opened(), after the first
 * statement, was called; and the pages of such a log, else 0.
 */
void db_log_opened(struct db *db);
bool db_log_as_opened(const struct db *db) MUST_USE;
uint32_t db_log_unwritten(const struct db *db);

/* A prepared statement, reset and unbound; NULL when it can't be prepared,
 * which db_step reports. */
sqlite3_stmt *db_stmt(struct db *db, enum db_sql which);
/* 1: a row; 0: the end; else ERR_*.  Unless it is 1 the statement is reset. */
int db_step(struct db *db, sqlite3_stmt *s, struct err *e) MUST_USE;
/* Step to the end and reset. */
int db_run(struct db *db, sqlite3_stmt *s, struct err *e) MUST_USE;
/* Run statements that need no arguments. */
int db_exec(struct db *db, const char *sql, struct err *e) MUST_USE;
/* The ERR_* of an SQLite result. */
int db_error(struct db *db, int rc, struct err *e);

/* A transaction that only reads, until db_rollback(). */
int db_begin_read(struct db *db, struct err *e) MUST_USE;
/* BEGIN IMMEDIATE, COMMIT; a commit that fails has been rolled back. */
int db_begin(struct db *db, struct err *e) MUST_USE;
int db_commit(struct db *db, struct err *e) MUST_USE;
void db_rollback(struct db *db);

/* A number that changes when another connection commits. */
int db_version(struct db *db, int64_t *version, struct err *e) MUST_USE;

void db_bind_blob(sqlite3_stmt *s, int at, struct slice v);
void db_bind_i64(sqlite3_stmt *s, int at, int64_t v);
void db_bind_u64(sqlite3_stmt *s, int at, uint64_t v);
struct slice db_column_blob(sqlite3_stmt *s, int at);
uint64_t db_column_u64(sqlite3_stmt *s, int at);
uint32_t db_column_u32(sqlite3_stmt *s, int at);

/* Account-wide values by name. */
int db_meta_get(struct db *db, const char *key, int64_t *v,
    struct err *e) MUST_USE; /* 1: there; 0: not */
int db_meta_set(
    struct db *db, const char *key, int64_t v, struct err *e) MUST_USE;

/* 1: the tables are of this version; 0: they aren't. */
int db_schema_is_ours(struct db *db, struct err *e) MUST_USE;
/* Make or migrate the tables; ERR_INVALID: made by a newer version. */
int db_schema(struct db *db, struct err *e) MUST_USE;
int db_cache_schema(struct db *db, struct err *e) MUST_USE;

/* The file number tells whether path is still the file that is open. */
bool db_file(const char *path, uint64_t *ino);

#endif
