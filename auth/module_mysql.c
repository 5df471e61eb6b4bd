/*
 * authmysql: the user table in MySQL or MariaDB.
 *
 * One connection, made when it is first needed.  All waits have time-outs,
 * which share the time of the question, so that a server that hangs costs
 * no more than one that is gone.  After a failed connect nothing is tried
 * for a moment: many waiting users must not each wait for a dead server.
 *
 * MYSQL_SERVER may name several servers, as host or host:port, separated by
 * blanks or commas: they are tried in turn, one that failed is left alone for
 * a while as long as another is there.
 *
 * A statement that failed because the connection was lost is tried once more
 * on a new one, if there is time left; an idle connection is pinged before
 * use, and closed after five minutes.
 */
#include <sys/stat.h>

#include <errmsg.h>
#include <stdlib.h>
#include <string.h>

#include <mysql.h>

#include "auth/app_password.h"
#include "auth/module.h"
#include "auth/sql.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

enum {
	MAGIC = 0x3a5c1000,
	PING_AFTER_MS = 60 * 1000,
	CLOSE_AFTER_MS = 5 * 60 * 1000,
	SERVERS_MAX = 8,
	SERVER_DOWN_MS = 10 * 1000, /* one of several that failed */
	DOWN_MS = 500,	   /* nothing is tried after a failure to connect */
	HANGS_MS = 1000,   /* a connection that failed after that time */
	WAIT_MAX_S = 2,	   /* for one step of connecting, or one answer */
	WAIT_MIN_MS = 500, /* with less time left nothing is begun */
};

struct server {
	char host[256]; /* "": by the socket only */
	unsigned port;
	int64_t down_until;
	int64_t tried; /* for the question of this deadline */
};

struct mysql_module {
	uint32_t magic;
	struct server server[SERVERS_MAX];
	size_t n_servers;
	struct sql_options options;
	const struct conf *conf;
	bool slow_allowed;
	MYSQL *db; /* NULL: not connected */
	int64_t last_used;
	int64_t down_until;
};

static const char *
value(const struct mysql_module *m, enum conf_key key)
{
	const char *s = conf_str(m->conf, key);

	return s[0] != '\0' ? s : NULL;
}

/* host, host:port; an IPv6 address as it is or as [address]:port. */
static void
add_server(struct mysql_module *m, struct slice word)
{
	struct server *server = &m->server[m->n_servers];
	struct slice host = word, port = slice_of("", 0);
	size_t at = slice_rfind(word, ':');
	uint32_t n;

	if (word.n != 0 && word.p[0] == '[') {
		size_t end = slice_find(word, ']');

		host = slice_skip(slice_first(word, end), 1);
		port = slice_skip(word, end + 2);
	} else if (at != word.n && slice_find(word, ':') == at) {
		host = slice_first(word, at);
		port = slice_skip(word, at + 1);
	}
	if (m->n_servers == SERVERS_MAX || host.n >= sizeof(server->host))
		return;
	*server = (struct server){ .port = (unsigned)conf_num(
				       m->conf, CONF_AUTHMYSQLRC_MYSQL_PORT) };
	memcpy(server->host, host.p, host.n);
	if (num_u32(port, &n) && n <= UINT16_MAX)
		server->port = n;
	m->n_servers++;
}

static void
add_servers(struct mysql_module *m)
{
	struct slice rest =
	    slice_str(conf_str(m->conf, CONF_AUTHMYSQLRC_MYSQL_SERVER));

	while (rest.n != 0) {
		size_t at = 0;

		while (at < rest.n && rest.p[at] != ' ' && rest.p[at] != '\t' &&
		    rest.p[at] != ',')
			at++;
		if (at != 0)
			add_server(m, slice_first(rest, at));
		rest = slice_skip(rest, at + 1);
	}
	/* MYSQL_SOCKET alone. */
	if (m->n_servers == 0)
		m->n_servers = 1;
}

static void *
module_open(const struct settings *settings)
{
	struct mysql_module *m = MEM_NEW(struct mysql_module);

	m->magic = MAGIC;
	m->conf = settings->conf;
	m->slow_allowed = settings->slow;
	sql_options_mysql(&m->options, m->conf);
	add_servers(m);
	return m;
}

static void
disconnect(struct mysql_module *m)
{
	if (m->db != NULL)
		mysql_close(m->db);
	m->db = NULL;
}

static void
module_close(void *self)
{
	struct mysql_module *m = self;

	MAGIC_CHECK(m, MAGIC);
	disconnect(m);
	m->magic = 0;
	free(m);
}

static void
module_idle(void *self)
{
	struct mysql_module *m = self;

	MAGIC_CHECK(m, MAGIC);
	if (m->db != NULL && clock_now() - m->last_used > CLOSE_AFTER_MS)
		disconnect(m);
}

/* Whole seconds for the next wait; 0: no time left to begin anything. */
static unsigned
wait_s(int64_t deadline)
{
	int64_t left = deadline - clock_now();

	if (left < WAIT_MIN_MS)
		return 0;
	left = left / 1000;
	return left < 1 ? 1 : left > WAIT_MAX_S ? WAIT_MAX_S : (unsigned)left;
}

static void
set_tls(struct mysql_module *m, MYSQL *db)
{
	const char *ca = value(m, CONF_AUTHMYSQLRC_MYSQL_SSL_CACERT);
	const char *capath = value(m, CONF_AUTHMYSQLRC_MYSQL_SSL_CAPATH);
	const char *cipher = value(m, CONF_AUTHMYSQLRC_MYSQL_SSL_CIPHER);
	my_bool verify = 1;

	if (ca == NULL && capath == NULL)
		return;
	if (cipher == NULL)
		cipher = value(m, CONF_AUTHMYSQLRC_MYSQL_SSL_CIPHERS);
	(void)mysql_ssl_set(db, value(m, CONF_AUTHMYSQLRC_MYSQL_SSL_KEY),
	    value(m, CONF_AUTHMYSQLRC_MYSQL_SSL_CERT), ca, capath, cipher);
	(void)mysql_optionsv(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

static void
set_options(struct mysql_module *m, MYSQL *db, unsigned seconds)
{
	my_bool no = 0;
	unsigned local = 0;

	(void)mysql_optionsv(db, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	(void)mysql_optionsv(db, MYSQL_OPT_READ_TIMEOUT, &seconds);
	(void)mysql_optionsv(db, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	(void)mysql_optionsv(db, MYSQL_OPT_RECONNECT, &no);
	/* A server must not be able to ask this process for its files. */
	(void)mysql_optionsv(db, MYSQL_OPT_LOCAL_INFILE, &local);
	(void)mysql_optionsv(db, MYSQL_SET_CHARSET_NAME,
	    conf_str(m->conf, CONF_AUTHMYSQLRC_MYSQL_CHARACTER_SET));
	set_tls(m, db);
}

static void
log_failure(struct mysql_module *m, const struct server *server, MYSQL *db)
{
	const char *socket = value(m, CONF_AUTHMYSQLRC_MYSQL_SOCKET);
	const char *user = value(m, CONF_AUTHMYSQLRC_MYSQL_USERNAME);

	log_error("failed to connect to mysql server (server=%s, "
		  "userid=%s): %s",
	    server->host[0] != '\0' ? server->host
		: socket != NULL    ? socket
				    : "<null>",
	    user != NULL ? user : "<null>", mysql_error(db));
}

static bool
connect_server(struct mysql_module *m, struct server *server, unsigned seconds)
{
	MYSQL *db = mysql_init(NULL);

	if (db == NULL) {
		log_error("authmysql: no memory for a connection");
		return false;
	}
	set_options(m, db, seconds);
	if (mysql_real_connect(db,
		server->host[0] != '\0' ? server->host : NULL,
		value(m, CONF_AUTHMYSQLRC_MYSQL_USERNAME),
		value(m, CONF_AUTHMYSQLRC_MYSQL_PASSWORD),
		value(m, CONF_AUTHMYSQLRC_MYSQL_DATABASE), server->port,
		value(m, CONF_AUTHMYSQLRC_MYSQL_SOCKET),
		(unsigned long)conf_num(m->conf, CONF_AUTHMYSQLRC_MYSQL_OPT)) ==
	    NULL) {
		log_failure(m, server, db);
		mysql_close(db);
		server->down_until = clock_now() + SERVER_DOWN_MS;
		return false;
	}
	server->down_until = 0;
	m->db = db;
	return true;
}

/* The servers in turn; those known to be down only when no other is left. */
static bool
connect_db(struct mysql_module *m, int64_t deadline)
{
	if (clock_now() < m->down_until)
		return false;
	for (int desperate = 0; desperate < 2; desperate++)
		for (size_t i = 0; i < m->n_servers; i++) {
			struct server *server = &m->server[i];
			bool down = clock_now() < server->down_until;
			unsigned seconds = wait_s(deadline);

			if (down != (desperate != 0) ||
			    (down && server->tried == deadline))
				continue;
			if (seconds == 0) {
				log_error("authmysql: no time left to "
					  "connect");
				return false;
			}
			server->tried = deadline;
			if (connect_server(m, server, seconds))
				return true;
		}
	m->down_until = clock_now() + DOWN_MS;
	return false;
}

/* Configured so that it can work; else it is logged. */
static bool
is_configured(struct mysql_module *m)
{
	const char *why = NULL;

	MAGIC_CHECK(m, MAGIC);
	if (value(m, CONF_AUTHMYSQLRC_MYSQL_SERVER) == NULL &&
	    value(m, CONF_AUTHMYSQLRC_MYSQL_SOCKET) == NULL)
		why = "MYSQL_SERVER or MYSQL_SOCKET";
	else if (value(m, CONF_AUTHMYSQLRC_MYSQL_USERNAME) == NULL)
		why = "MYSQL_USERNAME";
	else if (value(m, CONF_AUTHMYSQLRC_MYSQL_DATABASE) == NULL)
		why = "MYSQL_DATABASE";
	else if (sql_options_check(&m->options, &why))
		return true;
	log_error("authmysql: authmysqlrc doesn't name %s", why);
	return false;
}

/* A CALL gives more than its rows; while that waits nothing can be asked. */
static void
drop_rest(MYSQL *db)
{
	while (mysql_more_results(db) && mysql_next_result(db) == 0)
		mysql_free_result(mysql_store_result(db));
}

/* A connection that is thought to work. */
static bool
is_ready(struct mysql_module *m, int64_t deadline)
{
	if (m->db != NULL)
		drop_rest(m->db);
	if (m->db != NULL && clock_now() - m->last_used > PING_AFTER_MS &&
	    mysql_ping(m->db) != 0)
		disconnect(m);
	return m->db != NULL || connect_db(m, deadline);
}

static void
escape(void *arg, struct slice text, struct buf *out)
{
	MYSQL *db = arg;
	uint8_t *to;

	if (text.n == 0 || (to = buf_reserve(out, 2 * text.n + 1)) == NULL)
		return;
	buf_advance(out,
	    mysql_real_escape_string(
		db, (char *)to, (const char *)text.p, (unsigned long)text.n));
}

/* Whether a statement that failed so may succeed on a new connection. */
static bool
is_lost(MYSQL *db)
{
	unsigned e = mysql_errno(db);

	return e == CR_SERVER_GONE_ERROR || e == CR_SERVER_LOST ||
	    e == CR_SERVER_LOST_EXTENDED;
}

typedef void put_statement(
    struct mysql_module *m, const void *arg, struct buf *sql);

static put_statement put_change;

/* The server's words about a statement quote from it: of the one with the new
 * password only the number is told. */
static void
log_query_failed(const struct mysql_module *m, put_statement *put)
{
	unsigned e = mysql_errno(m->db);

	if (put == put_change && (e < CR_MIN_ERROR || e > CR_MAX_ERROR))
		log_error("mysql_query failed: error %u (SQLSTATE %s)", e,
		    mysql_sqlstate(m->db));
	else
		log_error("mysql_query failed: %s", mysql_error(m->db));
}

/*
 * Make the statement for the present connection (escaping depends on it) and
 * run it; once more on a new connection if the old one was lost.
 */
static bool
run(struct mysql_module *m, int64_t deadline, put_statement *put,
    const void *arg)
{
	int64_t begun = clock_now();
	struct buf sql;
	bool ok = false;

	if (!is_configured(m))
		return false;
	buf_init(&sql, SQL_STATEMENT_MAX);
	for (int attempt = 0; attempt < 2 && !ok; attempt++) {
		bool lost;

		if (!is_ready(m, deadline))
			break;
		buf_reset(&sql);
		put(m, arg, &sql);
		ok = buf_ok(&sql) &&
		    mysql_real_query(m->db, (const char *)buf_slice(&sql).p,
			(unsigned long)buf_len(&sql)) == 0;
		if (ok)
			break;
		/* What was lost only after a long wait hangs: trying again
		 * would wait as long. */
		lost = is_lost(m->db) && clock_now() - begun < HANGS_MS;
		if (!buf_ok(&sql))
			log_error("mysql_query failed: statement too long");
		else if (!lost || attempt != 0)
			log_query_failed(m, put);
		else
			log_debug("mysql_query failed, reconnecting: %s",
			    mysql_error(m->db));
		disconnect(m);
		if (!lost)
			break;
	}
	secret_wipe(sql.p, sql.n);
	buf_fini(&sql);
	m->last_used = clock_now();
	return ok;
}

static void
put_lookup(struct mysql_module *m, const void *arg, struct buf *sql)
{
	sql_put_lookup(
	    &m->options, arg, (struct sql_escaper){ escape, m->db }, sql);
}

/* The columns of the next row; false: there is none. */
static bool
take_row(MYSQL_RES *result, struct slice *row, unsigned n)
{
	unsigned have = mysql_num_fields(result);
	MYSQL_ROW fields = mysql_fetch_row(result);
	unsigned long *len;

	if (fields == NULL)
		return false;
	len = mysql_fetch_lengths(result);
	for (unsigned i = 0; i < n; i++)
		row[i] = i < have && fields[i] != NULL
		    ? slice_of(fields[i], len[i])
		    : slice_of("", 0);
	return true;
}

static enum verdict
lookup(void *self, const struct module_call *call, struct account *out)
{
	struct mysql_module *m = self;
	struct slice row[SQL_N_COLUMNS];
	enum verdict verdict = VERDICT_REJECTED;
	MYSQL_RES *result;

	if (!run(m, call->deadline, put_lookup, call->query))
		return VERDICT_TEMPORARY;
	result = mysql_store_result(m->db);
	if (result == NULL) {
		log_error("authmysql: no result: %s", mysql_error(m->db));
		disconnect(m);
		return VERDICT_TEMPORARY;
	}
	if (mysql_num_fields(result) < SQL_N_NEEDED) {
		log_error("authmysql: MYSQL_SELECT_CLAUSE gives fewer than %d "
			  "columns",
		    SQL_N_NEEDED);
		verdict = VERDICT_TEMPORARY;
	} else if (take_row(result, row, SQL_N_COLUMNS)) {
		sql_row_account(row, out);
		verdict = VERDICT_OK;
	}
	mysql_free_result(result);
	return verdict;
}

static void
put_app_lookup(struct mysql_module *m, const void *arg, struct buf *sql)
{
	const struct account *account = arg;

	sql_put_app_lookup(&m->options, account_get(account, ACCOUNT_ADDRESS),
	    (struct sql_escaper){ escape, m->db }, sql);
}

static void
put_app_used(struct mysql_module *m, const void *arg, struct buf *sql)
{
	const struct secret *id = arg;

	sql_put_app_used(&m->options, secret_slice(id), sql);
}

static enum verdict
app_password(
    void *self, const struct module_call *call, struct account *account)
{
	struct mysql_module *m = self;
	struct slice row[APP_N_COLUMNS];
	enum verdict v = VERDICT_REJECTED;
	struct secret id = { 0 };
	MYSQL_RES *result;

	if (m->options.app_table[0] == '\0')
		return VERDICT_REJECTED;
	if (!run(m, call->deadline, put_app_lookup, account))
		return VERDICT_TEMPORARY;
	result = mysql_store_result(m->db);
	if (result == NULL) {
		log_error("authmysql: no result: %s", mysql_error(m->db));
		disconnect(m);
		return VERDICT_TEMPORARY;
	}
	while (v == VERDICT_REJECTED && take_row(result, row, APP_N_COLUMNS)) {
		v = app_password_check(
		    row, call->query, m->slow_allowed, account);
		if (v != VERDICT_OK)
			continue;
		app_password_used(account, call->query, row[APP_LABEL]);
		if (slice_eq(row[APP_STALE], SLICE("1")))
			secret_set(&id, row[APP_ID]);
	}
	mysql_free_result(result);
	/* That the use can't be noted is no reason to refuse. */
	if (id.n != 0)
		(void)!run(m, call->deadline, put_app_used, &id);
	secret_fini(&id);
	return v;
}

static void
put_enumerate(struct mysql_module *m, const void *arg, struct buf *sql)
{
	(void)arg;
	sql_put_enumerate(&m->options, sql);
}

static enum verdict
enumerate(
    void *self, const struct module_call *call, module_sink *sink, void *arg)
{
	struct mysql_module *m = self;
	struct slice row[6];
	struct buf line;
	MYSQL_RES *result;
	bool heard = true;

	if (!run(m, call->deadline, put_enumerate, NULL))
		return VERDICT_TEMPORARY;
	/* Row by row: the table may be larger than this process should be. */
	result = mysql_use_result(m->db);
	if (result == NULL) {
		log_error("authmysql: no result: %s", mysql_error(m->db));
		disconnect(m);
		return VERDICT_TEMPORARY;
	}
	buf_init(&line, SQL_STATEMENT_MAX);
	while (heard && take_row(result, row, 6)) {
		buf_reset(&line);
		sql_put_enumerated(row, &line);
		heard = sink(arg, buf_slice(&line));
	}
	if (mysql_errno(m->db) != 0) {
		log_error("authmysql: %s", mysql_error(m->db));
		heard = false;
	}
	buf_fini(&line);
	mysql_free_result(result);
	return heard ? VERDICT_OK : VERDICT_TEMPORARY;
}

struct change {
	const struct query *query;
	struct slice login, crypted;
};

static void
put_change(struct mysql_module *m, const void *arg, struct buf *sql)
{
	const struct change *c = arg;

	sql_put_change(&m->options, c->query, c->login, c->crypted,
	    (struct sql_escaper){ escape, m->db }, sql);
}

static enum verdict
change(
    void *self, const struct module_call *call, const struct account *account)
{
	struct mysql_module *m = self;
	struct secret crypted = { 0 };
	enum verdict result = VERDICT_TEMPORARY;
	struct change c = { .query = call->query,
		.login = account_get(account, ACCOUNT_ADDRESS) };

	if (passwd_make_crypt(account_get(account, ACCOUNT_PASSWD),
		call->query->extra, &crypted)) {
		c.crypted = secret_slice(&crypted);
		if (run(m, call->deadline, put_change, &c))
			result = VERDICT_OK;
	}
	secret_fini(&crypted);
	return result;
}

const struct auth_module module_mysql = {
	.name = "authmysql",
	.open = module_open,
	.close = module_close,
	.lookup = lookup,
	.enumerate = enumerate,
	.change = change,
	.app_password = app_password,
	.idle = module_idle,
};
