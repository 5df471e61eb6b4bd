/*
 * The tables of the database, made, or brought up from an older version.
 */
#include "maildir/db.h"

enum { SCHEMA_VERSION = 11 };

/*
 * Keys of chunks and of pop3 are (mailbox id << 32 | first uid).  Blobs are
 * described in chunk.h and pop3.c.  dir is the name of the directory, as
 * bytes; used keeps the UIDVALIDITY that a name had when it was given up.
 * vanished has all expunges after the mod-sequence vanished_from; messages
 * have at least the mod-sequence modseq_floor, and came into the mailbox at
 * save_floor or later, whatever their chunk says.
 */
static const char schema[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE mailbox (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " dir BLOB NOT NULL UNIQUE, uidvalidity INTEGER NOT NULL,"
    " uidnext INTEGER NOT NULL, modseq INTEGER NOT NULL,"
    " modseq_bound INTEGER NOT NULL, change INTEGER NOT NULL,"
    " recent_uid INTEGER NOT NULL, n_keywords INTEGER NOT NULL,"
    " n_sets INTEGER NOT NULL, new_ino INTEGER NOT NULL,"
    " new_mtime INTEGER NOT NULL, cur_ino INTEGER NOT NULL,"
    " cur_mtime INTEGER NOT NULL, pop3_next INTEGER NOT NULL,"
    " pop3_uidvalidity INTEGER NOT NULL,"
    " object_id INTEGER NOT NULL DEFAULT 0,"
    " vanished_from INTEGER NOT NULL DEFAULT 0,"
    " modseq_floor INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE used (dir BLOB PRIMARY KEY, uidvalidity INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE chunk_fixed (key INTEGER PRIMARY KEY, fixed BLOB NOT NULL);"
    "CREATE TABLE chunk_names (key INTEGER PRIMARY KEY, names BLOB NOT NULL);"
    "CREATE TABLE chunk_state (key INTEGER PRIMARY KEY,"
    " change INTEGER NOT NULL, state BLOB NOT NULL);"
    "CREATE TABLE keyword (mailbox INTEGER, no INTEGER, name BLOB NOT NULL,"
    " PRIMARY KEY (mailbox, no)) WITHOUT ROWID;"
    "CREATE TABLE keyword_set (mailbox INTEGER, no INTEGER,"
    " members BLOB NOT NULL, PRIMARY KEY (mailbox, no)) WITHOUT ROWID;"
    "CREATE TABLE vanished (mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL,"
    " first INTEGER NOT NULL, last INTEGER NOT NULL);"
    "CREATE INDEX vanished_by_modseq ON vanished (mailbox, modseq);"
    "CREATE TABLE pop3 (key INTEGER PRIMARY KEY, ids BLOB NOT NULL);"
    "CREATE TRIGGER mailbox_gone AFTER DELETE ON mailbox BEGIN"
    " DELETE FROM chunk_fixed WHERE key BETWEEN old.id << 32"
    "  AND (old.id << 32) + 4294967295;"
    " DELETE FROM chunk_names WHERE key BETWEEN old.id << 32"
    "  AND (old.id << 32) + 4294967295;"
    " DELETE FROM chunk_state WHERE key BETWEEN old.id << 32"
    "  AND (old.id << 32) + 4294967295;"
    " DELETE FROM pop3 WHERE key BETWEEN old.id << 32"
    "  AND (old.id << 32) + 4294967295;"
    " DELETE FROM keyword WHERE mailbox = old.id;"
    " DELETE FROM keyword_set WHERE mailbox = old.id;"
    " DELETE FROM vanished WHERE mailbox = old.id;"
    "END;"
    "PRAGMA user_version = 2;";

/* From version i + 1 to the next; a new database goes all the way, too. */
static const char *const migrations[SCHEMA_VERSION - 1] = {
	"ALTER TABLE mailbox ADD COLUMN object_id INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE mailbox ADD COLUMN vanished_from INTEGER NOT NULL"
	" DEFAULT 0;"
	"ALTER TABLE mailbox ADD COLUMN modseq_floor INTEGER NOT NULL"
	" DEFAULT 0;"
	"UPDATE mailbox SET object_id = random() | 1;"
	"PRAGMA user_version = 2;",
	/* texts of unique-ids, prints of foreign files, what was exported */
	"CREATE TABLE pop3_text (key INTEGER PRIMARY KEY, texts BLOB NOT NULL);"
	"CREATE TABLE print (mailbox INTEGER NOT NULL, kind INTEGER NOT NULL,"
	" dev INTEGER NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL,"
	" mtime INTEGER NOT NULL, PRIMARY KEY (mailbox, kind)) WITHOUT ROWID;"
	"CREATE TABLE exported (mailbox INTEGER PRIMARY KEY,"
	" change INTEGER NOT NULL, modseq INTEGER NOT NULL);"
	"CREATE TRIGGER mailbox_gone_foreign AFTER DELETE ON mailbox BEGIN"
	" DELETE FROM pop3_text WHERE key BETWEEN old.id << 32"
	"  AND (old.id << 32) + 4294967295;"
	" DELETE FROM print WHERE mailbox = old.id;"
	" DELETE FROM exported WHERE mailbox = old.id;"
	"END;"
	"PRAGMA user_version = 3;",
	/* what is being added, all or nothing: intent.h */
	"CREATE TABLE intent (id INTEGER PRIMARY KEY,"
	" mailbox INTEGER NOT NULL, names BLOB NOT NULL);"
	"PRAGMA user_version = 4;",
	/* nothing but that chunks may be packed from now on: chunk.h */
	"PRAGMA user_version = 5;",
	/* what was to be added to a mailbox goes with it */
	"DELETE FROM intent WHERE mailbox NOT IN (SELECT id FROM mailbox);"
	"CREATE TRIGGER IF NOT EXISTS mailbox_gone_intent"
	" AFTER DELETE ON mailbox BEGIN"
	" DELETE FROM intent WHERE mailbox = old.id;"
	"END;"
	"PRAGMA user_version = 6;",
	/* chunks may say what a message's headers are like: chunk.h */
	"PRAGMA user_version = 7;",
	/* what a mailbox has many of goes later, in pieces: tidy.c */
	"CREATE TABLE IF NOT EXISTS gone (mailbox INTEGER PRIMARY KEY);"
	"DROP TRIGGER IF EXISTS mailbox_gone;"
	"DROP TRIGGER IF EXISTS mailbox_gone_foreign;"
	"CREATE TRIGGER mailbox_gone AFTER DELETE ON mailbox BEGIN"
	" INSERT INTO gone (mailbox) VALUES (old.id);"
	" DELETE FROM print WHERE mailbox = old.id;"
	" DELETE FROM exported WHERE mailbox = old.id;"
	"END;"
	"PRAGMA user_version = 8;",
	/* messages whose files the disk may not have yet: young.h */
	"CREATE TABLE IF NOT EXISTS young (key INTEGER PRIMARY KEY,"
	" boot INTEGER NOT NULL, tmp BLOB NOT NULL, base BLOB NOT NULL,"
	" bytes BLOB NOT NULL);"
	"CREATE TRIGGER IF NOT EXISTS mailbox_gone_young"
	" AFTER DELETE ON mailbox BEGIN"
	" DELETE FROM young WHERE key BETWEEN old.id << 32"
	"  AND (old.id << 32) + 4294967295;"
	"END;"
	"PRAGMA user_version = 9;",
	/* a loss of power may bring a mailbox back, and young messages in it */
	"DROP TRIGGER IF EXISTS mailbox_gone_young;PRAGMA user_version = 10;",
	/* INBOX's messages come into another mailbox all at once: rename.c */
	"ALTER TABLE mailbox ADD COLUMN save_floor INTEGER NOT NULL"
	" DEFAULT 0;"
	"PRAGMA user_version = 11;",
};

static const char cache_schema[] =
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS cached (key INTEGER PRIMARY KEY,"
    " bytes BLOB NOT NULL);";

/* A number that a PRAGMA gives; <0: ERR_*. */
static int
pragma_number(struct db *db, const char *sql, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db->h, sql, -1, &s, NULL), v = 0;

	if (rc != SQLITE_OK)
		return db_error(db, sqlite3_extended_errcode(db->h), e);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		v = sqlite3_column_int(s, 0);
	else if (rc != SQLITE_DONE)
		v = db_error(db, sqlite3_extended_errcode(db->h), e);
	(void)sqlite3_finalize(s);
	return v;
}

/* From that version, or what somebody else has made of it, to ours. */
static int
migrate(struct db *db, int version, struct err *e)
{
	int rc = version < 0 ? version : 0;

	for (; version < SCHEMA_VERSION && rc == 0; version++)
		rc = db_exec(db, migrations[version - 1], e);
	return rc;
}

int
db_schema_is_ours(struct db *db, struct err *e)
{
	int rc = pragma_number(db, "PRAGMA user_version", e);

	return rc < 0 ? rc : rc == SCHEMA_VERSION;
}

int
db_schema(struct db *db, struct err *e)
{
	int rc = pragma_number(db, "PRAGMA user_version", e);

	if (rc < 0 || rc == SCHEMA_VERSION)
		return rc < 0 ? rc : 0;
	if (rc > SCHEMA_VERSION)
		return err_set(e, ERR_INVALID,
		    "database: made by a newer version (%d)", rc);
	if ((rc = db_begin(db, e)) != 0)
		return rc;
	/* somebody else may have made it meanwhile */
	rc = pragma_number(db, "PRAGMA user_version", e);
	if (rc == 0 && (rc = db_exec(db, schema, e)) == 0)
		rc = pragma_number(db, "PRAGMA user_version", e);
	rc = migrate(db, rc, e);
	if (rc < 0) {
		db_rollback(db);
		return rc;
	}
	return db_commit(db, e);
}

int
db_cache_schema(struct db *db, struct err *e)
{
	return db_exec(db, cache_schema, e);
}
