#include "auth/sql.h"

#include "auth/app_password.h"
#include "base/ascii.h"
#include "base/num.h"

void
sql_options_mysql(struct sql_options *o, const struct conf *c)
{
#define GET(name) conf_str(c, CONF_AUTHMYSQLRC_##name)
	*o = (struct sql_options){
		.table = GET(MYSQL_USER_TABLE),
		.login = GET(MYSQL_LOGIN_FIELD),
		.crypt = GET(MYSQL_CRYPT_PWFIELD),
		.clear = GET(MYSQL_CLEAR_PWFIELD),
		.uid = GET(MYSQL_UID_FIELD),
		.gid = GET(MYSQL_GID_FIELD),
		.home = GET(MYSQL_HOME_FIELD),
		.name = GET(MYSQL_NAME_FIELD),
		.maildir = GET(MYSQL_MAILDIR_FIELD),
		.defaultdelivery = GET(MYSQL_DEFAULTDELIVERY_FIELD),
		.quota = GET(MYSQL_QUOTA_FIELD),
		.auxoptions = GET(MYSQL_AUXOPTIONS_FIELD),
		.where = GET(MYSQL_WHERE_CLAUSE),
		.default_domain = GET(DEFAULT_DOMAIN),
		.select_clause = GET(MYSQL_SELECT_CLAUSE),
		.enumerate_clause = GET(MYSQL_ENUMERATE_CLAUSE),
		.chpass_clause = GET(MYSQL_CHPASS_CLAUSE),
		.app_table = GET(MYSQL_APP_PASSWORD_TABLE),
		.now = "NOW()",
		.minute_ago = "NOW() - INTERVAL 1 MINUTE",
	};
#undef GET
}

void
sql_options_sqlite(struct sql_options *o, const struct conf *c)
{
#define GET(name) conf_str(c, CONF_AUTHSQLITERC_##name)
	*o = (struct sql_options){
		.table = GET(SQLITE_USER_TABLE),
		.login = GET(SQLITE_LOGIN_FIELD),
		.crypt = GET(SQLITE_CRYPT_PWFIELD),
		.clear = GET(SQLITE_CLEAR_PWFIELD),
		.uid = GET(SQLITE_UID_FIELD),
		.gid = GET(SQLITE_GID_FIELD),
		.home = GET(SQLITE_HOME_FIELD),
		.name = GET(SQLITE_NAME_FIELD),
		.maildir = GET(SQLITE_MAILDIR_FIELD),
		.defaultdelivery = GET(SQLITE_DEFAULTDELIVERY_FIELD),
		.quota = GET(SQLITE_QUOTA_FIELD),
		.auxoptions = GET(SQLITE_AUXOPTIONS_FIELD),
		.where = GET(SQLITE_WHERE_CLAUSE),
		.default_domain = GET(DEFAULT_DOMAIN),
		.select_clause = GET(SQLITE_SELECT_CLAUSE),
		.enumerate_clause = GET(SQLITE_ENUMERATE_CLAUSE),
		.chpass_clause = GET(SQLITE_CHPASS_CLAUSE),
		.app_table = GET(SQLITE_APP_PASSWORD_TABLE),
		.now = "datetime('now')",
		.minute_ago = "datetime('now', '-1 minute')",
	};
#undef GET
}

static bool
is_empty(const char *s)
{
	return s == NULL || s[0] == '\0';
}

/* A password field that is left out or the literal '' holds nothing. */
static bool
is_nothing(const char *s)
{
	return is_empty(s) || strcmp(s, "''") == 0;
}

bool
sql_options_check(const struct sql_options *o, const char **why)
{
	if (!is_empty(o->select_clause))
		return true;
	if (is_empty(o->table)) {
		*why = "a user table";
		return false;
	}
	if (is_nothing(o->crypt) && is_nothing(o->clear)) {
		*why = "a password field, crypted or clear";
		return false;
	}
	return true;
}

static void
put_field(struct buf *out, const char *field, const char *fallback)
{
	buf_puts(out, is_empty(field) ? fallback : field);
}

static void
put_escaped(struct buf *out, struct sql_escaper esc, struct slice text)
{
	esc.fn(esc.arg, text, out);
}

/* The login name, escaped, with the default domain if it has none. */
static void
put_user(struct buf *out, const struct sql_options *o, struct sql_escaper esc,
    struct slice user)
{
	put_escaped(out, esc, user);
	if (!is_empty(o->default_domain) && !slice_has(user, '@')) {
		buf_putc(out, '@');
		put_escaped(out, esc, slice_str(o->default_domain));
	}
}

/* --- clauses with $(name) ----------------------------------------------- */

struct variable {
	struct slice name;
	struct slice value; /* escaped already */
};

/*
 * Expand $(name); an unknown name gives nothing, a $ that no ( follows stays,
 * and so does one whose ) is missing.
 */
static void
put_clause(
    struct buf *out, const char *clause, const struct variable *v, size_t n)
{
	struct slice rest = slice_str(clause), name;
	size_t at;

	while (rest.n != 0) {
		at = slice_find(rest, '$');
		buf_put(out, slice_first(rest, at));
		rest = slice_skip(rest, at);
		at = slice_find(rest, ')');
		if (rest.n < 2 || rest.p[1] != '(' || at == rest.n) {
			buf_put(out, slice_first(rest, 1));
			rest = slice_skip(rest, 1);
			continue;
		}
		name = slice_of(rest.p + 2, at - 2);
		for (size_t i = 0; i < n; i++)
			if (slice_eq(v[i].name, name))
				buf_put(out, v[i].value);
		rest = slice_skip(rest, at + 1);
	}
}

/* local_part and domain: the escaped name, split at its first @. */
static void
split_user(struct slice user, struct variable *local, struct variable *domain)
{
	size_t at = slice_find(user, '@');

	*local =
	    (struct variable){ SLICE("local_part"), slice_first(user, at) };
	*domain =
	    (struct variable){ SLICE("domain"), slice_skip(user, at + 1) };
}

static void
put_select_clause(const struct sql_options *o, const struct query *q,
    struct sql_escaper esc, struct buf *out)
{
	struct variable v[3];
	struct buf user, service;

	buf_init(&user, SQL_STATEMENT_MAX);
	buf_init(&service, SQL_STATEMENT_MAX);
	put_user(&user, o, esc, q->user);
	put_escaped(&service, esc, q->service);
	split_user(buf_slice(&user), &v[0], &v[1]);
	v[2] = (struct variable){ SLICE("service"), buf_slice(&service) };
	put_clause(out, o->select_clause, v, NELEMS(v));
	buf_fini(&user);
	buf_fini(&service);
}

/* Up to what the login name is compared with. */
static void
put_lookup_start(
    const struct sql_options *o, struct slice service, struct buf *out)
{
	bool courier = slice_eq(service, SLICE("courier")) &&
	    !is_nothing(o->defaultdelivery);

	buf_puts(out, "SELECT ");
	put_field(out, o->login, "id");
	buf_puts(out, ", ");
	put_field(out, o->crypt, "''");
	buf_puts(out, ", ");
	put_field(out, o->clear, "''");
	buf_puts(out, ", ");
	put_field(out, o->uid, "uid");
	buf_puts(out, ", ");
	put_field(out, o->gid, "gid");
	buf_puts(out, ", ");
	put_field(out, o->home, "home");
	buf_puts(out, ", ");
	put_field(out, courier ? o->defaultdelivery : o->maildir, "''");
	buf_puts(out, ", ");
	put_field(out, o->quota, "''");
	buf_puts(out, ", ");
	put_field(out, o->name, "''");
	buf_puts(out, ", ");
	put_field(out, o->auxoptions, "''");
	buf_puts(out, " FROM ");
	buf_puts(out, o->table);
	buf_puts(out, " WHERE ");
	put_field(out, o->login, "id");
	buf_puts(out, " = ");
}

static void
put_lookup_end(const struct sql_options *o, struct buf *out)
{
	buf_puts(out, " AND (");
	put_field(out, o->where, "1=1");
	buf_putc(out, ')');
}

void
sql_put_lookup(const struct sql_options *o, const struct query *q,
    struct sql_escaper esc, struct buf *out)
{
	if (!is_empty(o->select_clause)) {
		put_select_clause(o, q, esc, out);
		return;
	}
	put_lookup_start(o, q->service, out);
	buf_putc(out, '\'');
	put_user(out, o, esc, q->user);
	buf_putc(out, '\'');
	put_lookup_end(o, out);
}

static void
as_it_is(void *arg, struct slice text, struct buf *out)
{
	(void)arg;
	buf_put(out, text);
}

bool
sql_put_lookup_of(const struct sql_options *o, const struct query *q,
    struct buf *out, struct buf *name)
{
	if (!is_empty(o->select_clause))
		return false;
	put_lookup_start(o, q->service, out);
	buf_puts(out, "?1");
	put_lookup_end(o, out);
	put_user(name, o, (struct sql_escaper){ as_it_is, NULL }, q->user);
	return true;
}

void
sql_put_enumerate(const struct sql_options *o, struct buf *out)
{
	if (!is_empty(o->enumerate_clause)) {
		put_clause(out, o->enumerate_clause, NULL, 0);
		return;
	}
	buf_puts(out, "SELECT ");
	put_field(out, o->login, "id");
	buf_puts(out, ", ");
	put_field(out, o->uid, "uid");
	buf_puts(out, ", ");
	put_field(out, o->gid, "gid");
	buf_puts(out, ", ");
	put_field(out, o->home, "home");
	buf_puts(out, ", ");
	put_field(out, o->maildir, "''");
	buf_puts(out, ", ");
	put_field(out, o->auxoptions, "''");
	buf_puts(out, " FROM ");
	buf_puts(out, o->table);
	buf_puts(out, " WHERE ");
	put_field(out, o->where, "1=1");
}

static void
put_chpass_clause(const struct sql_options *o, const struct query *q,
    struct slice crypted, struct sql_escaper esc, struct buf *out)
{
	struct variable v[4];
	struct buf user, clear, hash;

	buf_init(&user, SQL_STATEMENT_MAX);
	buf_init(&clear, SQL_STATEMENT_MAX);
	buf_init(&hash, SQL_STATEMENT_MAX);
	put_user(&user, o, esc, q->user);
	put_escaped(&clear, esc, q->extra);
	put_escaped(&hash, esc, crypted);
	split_user(buf_slice(&user), &v[0], &v[1]);
	v[2] = (struct variable){ SLICE("newpass"), buf_slice(&clear) };
	v[3] = (struct variable){ SLICE("newpass_crypt"), buf_slice(&hash) };
	put_clause(out, o->chpass_clause, v, NELEMS(v));
	secret_wipe(clear.p, clear.n);
	buf_fini(&user);
	buf_fini(&clear);
	buf_fini(&hash);
}

void
sql_put_change(const struct sql_options *o, const struct query *q,
    struct slice login, struct slice crypted, struct sql_escaper esc,
    struct buf *out)
{
	bool has_clear = !is_nothing(o->clear);

	if (!is_empty(o->chpass_clause)) {
		put_chpass_clause(o, q, crypted, esc, out);
		return;
	}
	buf_putf(out, "UPDATE %s SET ", o->table);
	if (has_clear) {
		buf_putf(out, "%s='", o->clear);
		put_escaped(out, esc, q->extra);
		buf_putc(out, '\'');
	}
	if (!is_nothing(o->crypt)) {
		buf_putf(out, "%s%s='", has_clear ? ", " : "", o->crypt);
		put_escaped(out, esc, crypted);
		buf_putc(out, '\'');
	}
	buf_puts(out, " WHERE ");
	put_field(out, o->login, "id");
	buf_puts(out, "='");
	put_escaped(out, esc, login);
	buf_puts(out, "' AND (");
	put_field(out, o->where, "1=1");
	buf_putc(out, ')');
}

/* --- app passwords ------------------------------------------------------- */

void
sql_put_app_lookup(const struct sql_options *o, struct slice address,
    struct sql_escaper esc, struct buf *out)
{
	buf_putf(out,
	    "SELECT id, label, hash, scope, networks, "
	    "last_used IS NULL OR last_used < %s FROM %s WHERE email = '",
	    o->minute_ago, o->app_table);
	put_escaped(out, esc, address);
	buf_putf(out,
	    "' AND (expires IS NULL OR expires > %s) ORDER BY id LIMIT %d",
	    o->now, APP_PASSWORDS_MAX);
}

void
sql_put_app_used(const struct sql_options *o, struct slice id, struct buf *out)
{
	uint64_t n = 0;

	/* Not a number: no row has it. */
	if (!num_u64(id, &n))
		n = 0;
	buf_putf(out,
	    "UPDATE %s SET last_used = %s, first_used = COALESCE(first_used, "
	    "%s) WHERE id = %llu",
	    o->app_table, o->now, o->now, (unsigned long long)n);
}

/* --- rows ---------------------------------------------------------------- */

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (ascii_is_control(s.p[i]))
			return true;
	return false;
}

void
sql_row_account(const struct slice row[SQL_N_COLUMNS], struct account *out)
{
	/* 0 is what no account may have: account_check() refuses it. */
	if (!num_u32(slice_trim(row[SQL_UID]), &out->uid))
		out->uid = 0;
	if (!num_u32(slice_trim(row[SQL_GID]), &out->gid))
		out->gid = 0;
	account_set(out, ACCOUNT_ADDRESS, row[SQL_LOGIN]);
	account_set(out, ACCOUNT_PASSWD, row[SQL_CRYPT]);
	account_set(out, ACCOUNT_PASSWD2, row[SQL_CLEAR]);
	account_set(out, ACCOUNT_HOME, row[SQL_HOME]);
	account_set(out, ACCOUNT_MAILDIR, row[SQL_MAILDIR]);
	account_set(out, ACCOUNT_QUOTA, row[SQL_QUOTA]);
	/* The full name is decoration: an odd one is left out. */
	if (!has_control(row[SQL_NAME]))
		account_set(out, ACCOUNT_NAME, row[SQL_NAME]);
	account_set(out, ACCOUNT_OPTIONS, row[SQL_OPTIONS]);
}

static bool
has_separator(struct slice s)
{
	return slice_has(s, '\t') || slice_has(s, '\n');
}

void
sql_put_enumerated(const struct slice row[6], struct buf *out)
{
	for (size_t i = 0; i < 6; i++)
		if (has_separator(row[i]))
			return;
	for (size_t i = 0; i < 6; i++) {
		buf_put(out, row[i]);
		buf_putc(out, i < 5 ? '\t' : '\n');
	}
}
