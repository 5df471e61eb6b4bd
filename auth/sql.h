/*
 * sql: what the SQL modules share: the statements and the rules for rows.
 *
 * Layer:  auth, uses base, conf, answer.  No I/O.
 * Memory: options borrow from the configuration; statements are appended to
 *         the caller's buf.
 *
 * The names of fields are pieces of SQL that the administrator wrote (a
 * column, an expression, a constant like '/home/vmail') and go into the
 * statement as they are.  What a client sent goes in escaped, always.
 */
#ifndef AUTH_SQL_H
#define AUTH_SQL_H

#include <stdbool.h>

#include "auth/answer.h"
#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"
#include "server/conf/conf.h"

enum { SQL_STATEMENT_MAX = 64 * 1024 };

/* The values of authmysqlrc or authsqliterc that shape statements; "" when
 * unset. */
struct sql_options {
	const char *table;
	const char *login, *crypt, *clear, *uid, *gid, *home, *name;
	const char *maildir, *defaultdelivery, *quota, *auxoptions;
	const char *where;
	const char *default_domain;
	const char *select_clause, *enumerate_clause, *chpass_clause;
	const char *app_table; /* of app passwords; "": there are none */
	/* The time, and one minute before it, in this database's words. */
	const char *now, *minute_ago;
};

/* Append text as it may stand between single quotes. */
typedef void sql_escape(void *arg, struct slice text, struct buf *out);
struct sql_escaper {
	sql_escape *fn;
	void *arg;
};

void sql_options_mysql(struct sql_options *o, const struct conf *c);
void sql_options_sqlite(struct sql_options *o, const struct conf *c);

/*
 * Whether a user could be looked up with these; why names what is missing
 * ("a table").
 */
bool sql_options_check(const struct sql_options *o, const char **why) MUST_USE;

/* The statement that finds a user; the columns are those of enum below. */
void sql_put_lookup(const struct sql_options *o, const struct query *q,
    struct sql_escaper esc, struct buf *out);
/*
 * The same with the name as a parameter, "?1", for a statement that is kept:
 * its value, with the default domain, goes to name.  false: the
 * administrator's own clause takes the name apart; out and name are as before.
 */
bool sql_put_lookup_of(const struct sql_options *o, const struct query *q,
    struct buf *out, struct buf *name) MUST_USE;
/* The statement that lists all: name, uid, gid, home, maildir, options. */
void sql_put_enumerate(const struct sql_options *o, struct buf *out);
/*
 * The statement that stores a new password (q->extra), crypted being its
 * hashed form.
 */
void sql_put_change(const struct sql_options *o, const struct query *q,
    struct slice login, struct slice crypted, struct sql_escaper esc,
    struct buf *out);

/* The statement that finds a user's app passwords (enum app_column). */
void sql_put_app_lookup(const struct sql_options *o, struct slice address,
    struct sql_escaper esc, struct buf *out);
/* The statement that notes the use of one; id: as it came, a number. */
void sql_put_app_used(
    const struct sql_options *o, struct slice id, struct buf *out);

enum sql_column {
	SQL_LOGIN,
	SQL_CRYPT,
	SQL_CLEAR,
	SQL_UID,
	SQL_GID,
	SQL_HOME,
	SQL_MAILDIR,
	SQL_QUOTA,
	SQL_NAME,
	SQL_OPTIONS,
	SQL_N_COLUMNS,
	SQL_N_NEEDED = SQL_HOME + 1, /* a SELECT_CLAUSE may end here */
};

/* Fill the account from a row; NULL columns are empty slices. */
void sql_row_account(
    const struct slice row[SQL_N_COLUMNS], struct account *out);

/* A row of the enumeration as Courier's line. */
void sql_put_enumerated(const struct slice row[6], struct buf *out);

#endif
