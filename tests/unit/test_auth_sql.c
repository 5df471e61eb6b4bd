/* Statements, rows, and what makes an account usable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/sql.h"

static void
escape(void *arg, struct slice text, struct buf *out)
{
	(void)arg;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\'' || text.p[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, text.p[i]);
	}
}

static const struct sql_escaper escaper = { escape, NULL };

/* The howto's authmysqlrc. */
static struct sql_options
howto(void)
{
	return (struct sql_options){ .table = "postfix_users",
		.login = "email",
		.crypt = "''",
		.clear = "clear",
		.uid = "uid",
		.gid = "gid",
		.home = "'/home/vmail'",
		.maildir = "maildir",
		.quota = "quota",
		.name = "",
		.where = "access='Y'" };
}

static void
assert_lookup(const struct sql_options *o, const char *service,
    const char *user, const char *want)
{
	struct query q = { .service = slice_str(service),
		.user = slice_str(user) };
	struct buf out;

	buf_init(&out, SQL_STATEMENT_MAX);
	sql_put_lookup(o, &q, escaper, &out);
	assert_string_equal(buf_cstr(&out), want);
	buf_fini(&out);
}

static void
test_lookup(void **state)
{
	struct sql_options o = howto();

	(void)state;
	assert_lookup(&o, "imap", "joe@example.com",
	    "SELECT email, '', clear, uid, gid, '/home/vmail', maildir, "
	    "quota, '', '' FROM postfix_users WHERE email = "
	    "'joe@example.com' AND (access='Y')");
	assert_lookup(&o, "imap", "x' OR '1'='1",
	    "SELECT email, '', clear, uid, gid, '/home/vmail', maildir, "
	    "quota, '', '' FROM postfix_users WHERE email = "
	    "'x\\' OR \\'1\\'=\\'1' AND (access='Y')");
	o.default_domain = "example.org";
	o.where = "";
	o.defaultdelivery = "delivery";
	assert_lookup(&o, "courier", "joe",
	    "SELECT email, '', clear, uid, gid, '/home/vmail', delivery, "
	    "quota, '', '' FROM postfix_users WHERE email = "
	    "'joe@example.org' AND (1=1)");
}

static void
test_lookup_of_a_parameter(void **state)
{
	struct sql_options o = howto();
	struct query q = { .service = SLICE("imap"), .user = SLICE("o'joe") };
	struct buf out, name;

	(void)state;
	buf_init(&out, SQL_STATEMENT_MAX);
	buf_init(&name, SQL_STATEMENT_MAX);
	o.default_domain = "example.org";
	assert_true(sql_put_lookup_of(&o, &q, &out, &name));
	assert_string_equal(buf_cstr(&out),
	    "SELECT email, '', clear, uid, gid, '/home/vmail', maildir, "
	    "quota, '', '' FROM postfix_users WHERE email = ?1 AND "
	    "(access='Y')");
	assert_string_equal(buf_cstr(&name), "o'joe@example.org");
	buf_reset(&out);
	buf_reset(&name);
	/* The administrator's clause has the name in pieces. */
	o.select_clause = "SELECT a FROM t WHERE l='$(local_part)'";
	assert_false(sql_put_lookup_of(&o, &q, &out, &name));
	assert_int_equal(buf_len(&out) + buf_len(&name), 0);
	buf_fini(&out);
	buf_fini(&name);
}

static void
test_defaults(void **state)
{
	const struct sql_options o = { .table = "passwd" };

	(void)state;
	assert_lookup(&o, "imap", "joe",
	    "SELECT id, '', '', uid, gid, home, '', '', '', '' FROM passwd "
	    "WHERE id = 'joe' AND (1=1)");
}

static void
test_select_clause(void **state)
{
	struct sql_options o = howto();

	(void)state;
	o.select_clause = "SELECT a FROM t WHERE l='$(local_part)' AND "
			  "d='$(domain)' AND s='$(service)' $(nothing)$1 $(";
	assert_lookup(&o, "imap", "o'joe@example.com@more",
	    "SELECT a FROM t WHERE l='o\\'joe' AND d='example.com@more' AND "
	    "s='imap' $1 $(");
	o.default_domain = "example.org";
	assert_lookup(&o, "pop3", "joe",
	    "SELECT a FROM t WHERE l='joe' AND d='example.org' AND "
	    "s='pop3' $1 $(");
	/* What was put in isn't looked at again. */
	assert_lookup(&o, "pop3", "$(domain)@x",
	    "SELECT a FROM t WHERE l='$(domain)' AND d='x' AND s='pop3' $1 "
	    "$(");
}

static void
test_change(void **state)
{
	struct sql_options o = howto();
	struct query q = { .user = SLICE("joe@example.com"),
		.extra = SLICE("n'w") };
	struct buf out;

	(void)state;
	buf_init(&out, SQL_STATEMENT_MAX);
	sql_put_change(
	    &o, &q, SLICE("Joe@example.com"), SLICE("$6$x"), escaper, &out);
	assert_string_equal(buf_cstr(&out),
	    "UPDATE postfix_users SET clear='n\\'w' WHERE "
	    "email='Joe@example.com' AND (access='Y')");
	buf_reset(&out);
	o.crypt = "crypt";
	sql_put_change(
	    &o, &q, SLICE("Joe@example.com"), SLICE("$6$x"), escaper, &out);
	assert_string_equal(buf_cstr(&out),
	    "UPDATE postfix_users SET clear='n\\'w', crypt='$6$x' WHERE "
	    "email='Joe@example.com' AND (access='Y')");
	buf_reset(&out);
	o.chpass_clause = "UPDATE t SET c='$(newpass)', h='$(newpass_crypt)' "
			  "WHERE l='$(local_part)' AND d='$(domain)'";
	sql_put_change(&o, &q, SLICE("x"), SLICE("$6$x"), escaper, &out);
	assert_string_equal(buf_cstr(&out),
	    "UPDATE t SET c='n\\'w', h='$6$x' WHERE l='joe' AND "
	    "d='example.com'");
	buf_fini(&out);
}

static void
test_enumerate(void **state)
{
	const struct sql_options o = howto();
	const struct slice row[6] = { SLICE("joe"), SLICE("5000"),
		SLICE("5001"), SLICE("/h"), SLICE("m/"), SLICE("") };
	struct buf out;

	(void)state;
	buf_init(&out, SQL_STATEMENT_MAX);
	sql_put_enumerate(&o, &out);
	assert_string_equal(buf_cstr(&out),
	    "SELECT email, uid, gid, '/home/vmail', maildir, '' FROM "
	    "postfix_users WHERE access='Y'");
	buf_reset(&out);
	sql_put_enumerated(row, &out);
	assert_string_equal(buf_cstr(&out), "joe\t5000\t5001\t/h\tm/\t\n");
	buf_fini(&out);
}

static void
test_options_check(void **state)
{
	struct sql_options o = howto();
	const char *why = NULL;

	(void)state;
	assert_true(sql_options_check(&o, &why));
	o.clear = "";
	assert_false(sql_options_check(&o, &why));
	o.crypt = "crypt";
	assert_true(sql_options_check(&o, &why));
	o.table = "";
	assert_false(sql_options_check(&o, &why));
	o.select_clause = "SELECT 1";
	assert_true(sql_options_check(&o, &why));
}

static const struct row_case {
	const char *uid, *gid, *home, *maildir, *name;
	bool ok;
} rows[] = {
	{ "5000", "5000", "/home/vmail", "example.com/joe/", "Joe", true },
	{ " 5000 ", "5000", "/home/vmail", "", "", true },
	{ "0", "5000", "/home/vmail", "", "", false },
	{ "5000", "0", "/home/vmail", "", "", false },
	{ "", "5000", "/home/vmail", "", "", false },
	{ "x", "5000", "/home/vmail", "", "", false },
	{ "-1", "5000", "/home/vmail", "", "", false },
	{ "5000.5", "5000", "/home/vmail", "", "", false },
	{ "4294967296", "5000", "/home/vmail", "", "", false },
	{ "99", "5000", "/home/vmail", "", "", false },
	{ "5000", "99", "/home/vmail", "", "", false },
	{ "5000", "5000", "", "", "", false },
	{ "5000", "5000", "/home/vmail", "a\nUID=0", "", false },
	/* Only decoration: left out, and no reason to refuse anybody. */
	{ "5000", "5000", "/home/vmail", "", "a\nb", true },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(rows); i++) {
		struct slice row[SQL_N_COLUMNS] = { 0 };
		struct account a;
		const char *why = NULL;

		row[SQL_LOGIN] = SLICE("joe");
		row[SQL_UID] = slice_str(rows[i].uid);
		row[SQL_GID] = slice_str(rows[i].gid);
		row[SQL_HOME] = slice_str(rows[i].home);
		row[SQL_MAILDIR] = slice_str(rows[i].maildir);
		row[SQL_NAME] = slice_str(rows[i].name);
		account_init(&a);
		sql_row_account(row, &a);
		if (account_check(&a, 100, 100, &why) != rows[i].ok)
			fail_msg("row %zu: %s", i, why != NULL ? why : "ok");
		account_fini(&a);
	}
}

static void
test_merge_options(void **state)
{
	static const struct {
		const char *own, *defaults, *want;
	} cases[] = {
		{ "", "a=1,b=2", "a=1,b=2" },
		{ "a=0", "a=1,b=2", "a=0,b=2" },
		{ "b", "a=1,b=2", "b,a=1" },
		{ "a=1", "", "a=1" },
		{ "", "", "" },
		{ "group=x,group=y", "group=z, c", "group=x,group=y,c" },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct account a;

		account_init(&a);
		account_set(&a, ACCOUNT_OPTIONS, slice_str(cases[i].own));
		account_merge_options(&a, slice_str(cases[i].defaults));
		assert_string_equal(
		    secret_cstr(&a.field[ACCOUNT_OPTIONS]), cases[i].want);
		account_fini(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_lookup_of_a_parameter),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_select_clause),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_enumerate),
		cmocka_unit_test(test_options_check),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_merge_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
