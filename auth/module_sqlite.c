/*
 * authsqlite: the user table in an SQLite file.
 *
 * The file is opened when it is first needed and again when another file has
 * taken its place.  A database that is missing, locked or broken is a
 * temporary failure.
 */
#include <sys/stat.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/app_password.h"
#include "auth/module.h"
#include "auth/sql.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
	MAGIC = 0x5911e000,
	/* Between two looks at the clock while a statement runs. */
	PROGRESS_STEPS = 10000,
};

struct sqlite_module {
	uint32_t magic;
	struct sql_options options;
	const char *path;
	sqlite3 *db;
	dev_t dev; /* of the open file */
	ino_t ino;
	int64_t deadline; /* of the running statement */
	/* The statement that finds a user, kept while the file is open, and its
	 * text; whether it asks for something that isn't in the file. */
	sqlite3_stmt *lookup;
	struct buf lookup_sql;
	bool looks_elsewhere;
	bool in_lookup;
	bool slow_allowed;
};

static void *
module_open(const struct settings *settings)
{
	const struct conf *conf = settings->conf;
	struct sqlite_module *m = MEM_NEW(struct sqlite_module);

	m->magic = MAGIC;
	m->slow_allowed = settings->slow;
	m->path = conf_str(conf, CONF_AUTHSQLITERC_SQLITE_DATABASE);
	sql_options_sqlite(&m->options, conf);
	buf_init(&m->lookup_sql, SQL_STATEMENT_MAX);
	return m;
}

static void
disconnect(struct sqlite_module *m)
{
	(void)sqlite3_finalize(m->lookup);
	m->lookup = NULL;
	(void)sqlite3_close(m->db);
	m->db = NULL;
}

static void
module_close(void *self)
{
	struct sqlite_module *m = self;

	MAGIC_CHECK(m, MAGIC);
	disconnect(m);
	buf_fini(&m->lookup_sql);
	m->magic = 0;
	free(m);
}

/* --- whether the file alone decides --------------------------------------- */

/* A function that gives the same for the same; of others, like date(), that
 * isn't asked. */
static bool
is_pure(struct slice function)
{
	static const char *const pure[] = { "char", "coalesce", "format",
		"glob", "hex", "ifnull", "iif", "instr", "length", "like",
		"lower", "ltrim", "max", "min", "nullif", "printf", "quote",
		"replace", "rtrim", "substr", "substring", "trim", "typeof",
		"unicode", "upper" };

	for (size_t i = 0; i < NELEMS(pure); i++)
		if (slice_ieq(function, slice_str(pure[i])))
			return true;
	return false;
}

/* Everything that a statement asks for, in views too; also when SQLite
 * prepares it anew because the schema has changed. */
static int
on_authorize(void *arg, int action, const char *a, const char *b,
    const char *database, const char *view)
{
	struct sqlite_module *m = arg;
	bool in_file;

	(void)a;
	(void)view;
	if (action == SQLITE_READ)
		in_file = database == NULL || strcmp(database, "main") == 0;
	else if (action == SQLITE_FUNCTION)
		in_file = b != NULL && is_pure(slice_str(b));
	else
		in_file = action == SQLITE_SELECT || action == SQLITE_RECURSIVE;
	if (m->in_lookup && !in_file)
		m->looks_elsewhere = true;
	return SQLITE_OK;
}

/* A write-ahead log is there, whose readers follow shared memory. */
static bool
has_log(const struct sqlite_module *m)
{
	char *path = mem_printf("%s-wal", m->path);
	bool there = access(path, F_OK) == 0 || errno != ENOENT;

	free(path);
	return there;
}

/* --- the connection ------------------------------------------------------- */

static int
on_progress(void *arg)
{
	const struct sqlite_module *m = arg;

	return clock_now() > m->deadline;
}

/* How long to wait for whoever holds a lock. */
static void
set_busy_timeout(struct sqlite_module *m)
{
	int64_t left = m->deadline - clock_now();

	(void)sqlite3_busy_timeout(m->db, left > 0 ? (int)left : 0);
}

static bool
connect_db(struct sqlite_module *m)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
	struct stat st;

	if (stat(m->path, &st) != 0) {
		log_error(
		    "authsqlite: %s: %s", m->path, strerrordesc_np(errno));
		disconnect(m);
		return false;
	}
	if (m->db != NULL && st.st_dev == m->dev && st.st_ino == m->ino)
		return true;
	disconnect(m);
	/* Where the file may not be written, SQLite opens it for reading. */
	if (sqlite3_open_v2(m->path, &m->db, flags, NULL) != SQLITE_OK) {
		log_error("authsqlite: %s: %s", m->path,
		    m->db != NULL ? sqlite3_errmsg(m->db) : "no memory");
		disconnect(m);
		return false;
	}
	sqlite3_progress_handler(m->db, PROGRESS_STEPS, on_progress, m);
	(void)sqlite3_set_authorizer(m->db, on_authorize, m);
	m->dev = st.st_dev;
	m->ino = st.st_ino;
	return true;
}

/* Connected and with options that can work; else it is logged. */
static bool
is_ready(struct sqlite_module *m, const struct module_call *call)
{
	const char *why;

	MAGIC_CHECK(m, MAGIC);
	if (!sql_options_check(&m->options, &why)) {
		log_error("authsqlite: authsqliterc doesn't name %s", why);
		return false;
	}
	m->deadline = call->deadline;
	if (!connect_db(m))
		return false;
	set_busy_timeout(m);
	return true;
}

static void
escape(void *arg, struct slice text, struct buf *out)
{
	(void)arg;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\'')
			buf_putc(out, '\'');
		buf_putc(out, text.p[i]);
	}
}

/* NULL: it can't be run, and sqlite3_errmsg() says why. */
static sqlite3_stmt *
prepare_quietly(struct sqlite_module *m, const struct buf *sql)
{
	struct slice text = buf_slice(sql);
	sqlite3_stmt *stmt = NULL;

	if (!buf_ok(sql) || text.n > SQL_STATEMENT_MAX ||
	    sqlite3_prepare_v2(m->db, (const char *)text.p, (int)text.n, &stmt,
		NULL) != SQLITE_OK)
		return NULL;
	return stmt;
}

static sqlite3_stmt *
prepare(struct sqlite_module *m, const struct buf *sql)
{
	sqlite3_stmt *stmt = prepare_quietly(m, sql);

	if (stmt == NULL)
		log_error("authsqlite: %s: %s", m->path, sqlite3_errmsg(m->db));
	return stmt;
}

/* Columns of the row the statement stands on, NULL ones empty. */
static void
take_row(sqlite3_stmt *stmt, struct slice *row, int n)
{
	int have = sqlite3_column_count(stmt);

	for (int i = 0; i < n; i++) {
		const void *p = i < have ? sqlite3_column_text(stmt, i) : NULL;

		row[i] = p != NULL
		    ? slice_of(p, (size_t)sqlite3_column_bytes(stmt, i))
		    : slice_of("", 0);
	}
}

static enum verdict
take_account(struct sqlite_module *m, sqlite3_stmt *stmt, struct account *out)
{
	struct slice row[SQL_N_COLUMNS];

	if (sqlite3_column_count(stmt) < SQL_N_NEEDED) {
		log_error("authsqlite: SQLITE_SELECT_CLAUSE gives fewer than "
			  "%d columns",
		    SQL_N_NEEDED);
		return VERDICT_TEMPORARY;
	}
	switch (sqlite3_step(stmt)) {
	case SQLITE_ROW:
		take_row(stmt, row, SQL_N_COLUMNS);
		sql_row_account(row, out);
		return VERDICT_OK;
	case SQLITE_DONE:
		return VERDICT_REJECTED;
	default:
		log_error("authsqlite: %s: %s", m->path, sqlite3_errmsg(m->db));
		return VERDICT_TEMPORARY;
	}
}

/* The statement kept, if it is this one, else this one instead of it. */
static sqlite3_stmt *
prepare_kept(struct sqlite_module *m, const struct buf *sql)
{
	if (m->lookup != NULL &&
	    slice_eq(buf_slice(sql), buf_slice(&m->lookup_sql)))
		return m->lookup;
	(void)sqlite3_finalize(m->lookup);
	m->looks_elsewhere = false;
	m->lookup = prepare(m, sql);
	buf_reset(&m->lookup_sql);
	buf_put(&m->lookup_sql, buf_slice(sql));
	return m->lookup;
}

/* By a statement that needn't be parsed each time. */
static enum verdict
lookup_kept(struct sqlite_module *m, const struct buf *sql,
    const struct buf *name, struct account *out)
{
	sqlite3_stmt *stmt = prepare_kept(m, sql);
	struct slice value = buf_slice(name);
	enum verdict result = VERDICT_TEMPORARY;

	if (stmt == NULL || !buf_ok(name))
		return VERDICT_TEMPORARY;
	if (sqlite3_bind_text(stmt, 1, (const char *)value.p, (int)value.n,
		SQLITE_STATIC) == SQLITE_OK)
		result = take_account(m, stmt, out);
	/* What it has failed of was told by take_account(). */
	(void)sqlite3_reset(stmt);
	(void)sqlite3_clear_bindings(stmt);
	return result;
}

static enum verdict
lookup(void *self, const struct module_call *call, struct account *out)
{
	struct sqlite_module *m = self;
	enum verdict result = VERDICT_TEMPORARY;
	sqlite3_stmt *stmt;
	struct buf sql, name;

	if (!is_ready(m, call))
		return VERDICT_TEMPORARY;
	buf_init(&sql, SQL_STATEMENT_MAX);
	buf_init(&name, SQL_STATEMENT_MAX);
	if (sql_put_lookup_of(&m->options, call->query, &sql, &name)) {
		m->in_lookup = true;
		result = lookup_kept(m, &sql, &name, out);
		m->in_lookup = false;
		out->by_file = !m->looks_elsewhere && !has_log(m);
	} else {
		sql_put_lookup(&m->options, call->query,
		    (struct sql_escaper){ escape, NULL }, &sql);
		stmt = prepare(m, &sql);
		if (stmt != NULL)
			result = take_account(m, stmt, out);
		(void)sqlite3_finalize(stmt);
	}
	buf_fini(&sql);
	buf_fini(&name);
	return result;
}

/* Note the use; that it can't be written is no reason to refuse. */
static void
note_app_use(struct sqlite_module *m, struct slice id)
{
	sqlite3_stmt *stmt;
	struct buf sql;

	buf_init(&sql, SQL_STATEMENT_MAX);
	sql_put_app_used(&m->options, id, &sql);
	stmt = prepare(m, &sql);
	if (stmt != NULL && sqlite3_step(stmt) != SQLITE_DONE)
		log_warn("authsqlite: last use isn't noted: %s",
		    sqlite3_errmsg(m->db));
	(void)sqlite3_finalize(stmt);
	buf_fini(&sql);
}

/* Walk the rows of a user's app passwords. */
static enum verdict
try_app_rows(struct sqlite_module *m, sqlite3_stmt *stmt,
    const struct module_call *call, struct account *account, struct secret *id)
{
	enum verdict v = VERDICT_REJECTED;
	int step = SQLITE_DONE;

	while (v == VERDICT_REJECTED &&
	    (step = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct slice row[APP_N_COLUMNS];

		take_row(stmt, row, APP_N_COLUMNS);
		v = app_password_check(
		    row, call->query, m->slow_allowed, account);
		if (v == VERDICT_OK) {
			app_password_used(account, call->query, row[APP_LABEL]);
			if (slice_eq(row[APP_STALE], SLICE("1")))
				secret_set(id, row[APP_ID]);
		}
	}
	if (step == SQLITE_ROW || step == SQLITE_DONE)
		return v;
	log_error("authsqlite: %s: %s", m->path, sqlite3_errmsg(m->db));
	return VERDICT_TEMPORARY;
}

static enum verdict
app_password(
    void *self, const struct module_call *call, struct account *account)
{
	struct sqlite_module *m = self;
	enum verdict v = VERDICT_TEMPORARY;
	struct secret id = { 0 };
	sqlite3_stmt *stmt;
	struct buf sql;

	if (m->options.app_table[0] == '\0')
		return VERDICT_REJECTED;
	if (!is_ready(m, call))
		return VERDICT_TEMPORARY;
	buf_init(&sql, SQL_STATEMENT_MAX);
	sql_put_app_lookup(&m->options, account_get(account, ACCOUNT_ADDRESS),
	    (struct sql_escaper){ escape, NULL }, &sql);
	stmt = prepare(m, &sql);
	if (stmt != NULL)
		v = try_app_rows(m, stmt, call, account, &id);
	(void)sqlite3_finalize(stmt);
	if (id.n != 0)
		note_app_use(m, secret_slice(&id));
	secret_fini(&id);
	buf_fini(&sql);
	return v;
}

static enum verdict
enumerate(
    void *self, const struct module_call *call, module_sink *sink, void *arg)
{
	struct sqlite_module *m = self;
	sqlite3_stmt *stmt;
	struct buf sql, line;
	int step = SQLITE_ERROR;
	bool heard = true;

	if (!is_ready(m, call))
		return VERDICT_TEMPORARY;
	buf_init(&sql, SQL_STATEMENT_MAX);
	buf_init(&line, SQL_STATEMENT_MAX);
	sql_put_enumerate(&m->options, &sql);
	stmt = prepare(m, &sql);
	while (stmt != NULL && heard &&
	    (step = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct slice row[6];

		take_row(stmt, row, 6);
		buf_reset(&line);
		sql_put_enumerated(row, &line);
		heard = sink(arg, buf_slice(&line));
		m->deadline = clock_now() + 1000;
	}
	if (step != SQLITE_DONE)
		log_error("authsqlite: %s: %s", m->path, sqlite3_errmsg(m->db));
	(void)sqlite3_finalize(stmt);
	buf_fini(&sql);
	buf_fini(&line);
	return step == SQLITE_DONE ? VERDICT_OK : VERDICT_TEMPORARY;
}

/* sqlite3_errmsg() would quote the new password. */
static enum verdict
run_change(struct sqlite_module *m, const struct buf *sql)
{
	sqlite3_stmt *stmt = prepare_quietly(m, sql);
	enum verdict result = VERDICT_TEMPORARY;

	if (stmt != NULL && sqlite3_step(stmt) == SQLITE_DONE)
		result =
		    sqlite3_changes(m->db) > 0 ? VERDICT_OK : VERDICT_REJECTED;
	else
		log_error("authsqlite: %s: the password isn't changed: %s",
		    m->path, sqlite3_errstr(sqlite3_errcode(m->db)));
	(void)sqlite3_finalize(stmt);
	return result;
}

static enum verdict
change(
    void *self, const struct module_call *call, const struct account *account)
{
	struct sqlite_module *m = self;
	enum verdict result = VERDICT_TEMPORARY;
	struct secret crypted = { 0 };
	struct buf sql;

	if (!is_ready(m, call))
		return VERDICT_TEMPORARY;
	buf_init(&sql, SQL_STATEMENT_MAX);
	if (passwd_make_crypt(account_get(account, ACCOUNT_PASSWD),
		call->query->extra, &crypted)) {
		sql_put_change(&m->options, call->query,
		    account_get(account, ACCOUNT_ADDRESS),
		    secret_slice(&crypted),
		    (struct sql_escaper){ escape, NULL }, &sql);
		result = run_change(m, &sql);
	}
	secret_wipe(sql.p, sql.n);
	buf_fini(&sql);
	secret_fini(&crypted);
	return result;
}

const struct auth_module module_sqlite = {
	.name = "authsqlite",
	.open = module_open,
	.close = module_close,
	.lookup = lookup,
	.enumerate = enumerate,
	.change = change,
	.app_password = app_password,
};
