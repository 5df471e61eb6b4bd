/*
 * Files as they are found: Courier's of several ages, the howto's, and the
 * samples that we install ourselves.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/conf/conf_key.h"
#include "server/conf/conf_words.h"
#include "tests/unit/conf_fixture.h"

enum { CONF_NAME_LONGEST = 64 };
#define ALL_FILES (CONF_SERVER_FILES | CONF_AUTH_FILES)

static void
copy_all(struct fixture *f, const char *from, const char *const *names)
{
	for (; *names != NULL; names++)
		fixture_copy(f, from, *names);
}

static void
test_debian(void **state)
{
	static const char *const names[] = { "imapd", "imapd-ssl", "pop3d",
		"pop3d-ssl", "authdaemonrc", "authmysqlrc", NULL };
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	copy_all(&f, "debian", names);
	if (!fixture_load(&f, ALL_FILES))
		fail_msg("%s", buf_cstr(&f.remarks));
	if (fixture_complained(&f))
		fail_msg("%s", buf_cstr(&f.remarks));
	assert_string_equal(conf_str(f.conf, CONF_IMAPD_IMAP_CAPABILITY_TLS),
	    "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT "
	    "THREAD=REFERENCES SORT QUOTA IDLE AUTH=PLAIN");
	assert_int_equal(conf_num(f.conf, CONF_IMAPD_MAXPERIP), 20);
	assert_true(conf_bool(f.conf, CONF_IMAPD_IMAPDSTART));
	assert_true(conf_bool(f.conf, CONF_POP3D_SSL_POP3DSSLSTART));
	assert_true(conf_is_set(f.conf, CONF_IMAPD_SSL_IMAP_TLS_REQUIRED));
	assert_int_equal(
	    conf_tls_minimum(f.conf, CONF_FILE_IMAPD), CONF_TLS_1_2);
	assert_string_equal(
	    conf_str(f.conf, CONF_AUTHDAEMONRC_authmodulelist), "authpam");
	assert_string_equal(
	    conf_str(f.conf, CONF_AUTHMYSQLRC_MYSQL_DATABASE), "mysql");
	fixture_end(&f);
}

static void
test_courier_4_14(void **state)
{
	static const char *const names[] = { "imapd", "imapd-ssl", NULL };
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	copy_all(&f, "courier-4.14", names);
	if (!fixture_load(&f, ALL_FILES))
		fail_msg("%s", buf_cstr(&f.remarks));
	assert_false(fixture_said(&f, "unknown name"));
	assert_int_equal(conf_num(f.conf, CONF_IMAPD_MAXPERIP), 4);
	assert_true(conf_capability_allowed(
	    f.conf, CONF_FILE_IMAPD, true, SLICE("AUTH=PLAIN")));
	assert_true(fixture_said(&f, "TLS_PROTOCOL=SSL3"));
	assert_int_equal(
	    conf_tls_minimum(f.conf, CONF_FILE_IMAPD_SSL), CONF_TLS_1_2);
	fixture_end(&f);
}

/* No marker line, blanks at the ends, lines from another system. */
static void
test_howto(void **state)
{
	static const char *const names[] = { "authdaemonrc", "authmysqlrc",
		NULL };
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	copy_all(&f, "howto", names);
	if (!fixture_load(&f, ALL_FILES))
		fail_msg("%s", buf_cstr(&f.remarks));
	assert_string_equal(
	    conf_str(f.conf, CONF_AUTHMYSQLRC_MYSQL_USERNAME), "postfix");
	assert_string_equal(
	    conf_str(f.conf, CONF_AUTHMYSQLRC_MYSQL_PASSWORD), "postfix");
	assert_string_equal(conf_str(f.conf, CONF_AUTHMYSQLRC_MYSQL_USER_TABLE),
	    "postfix_users");
	assert_string_equal(
	    conf_str(f.conf, CONF_AUTHMYSQLRC_MYSQL_WHERE_CLAUSE),
	    "access='y'");
	assert_int_equal(conf_num(f.conf, CONF_AUTHMYSQLRC_MYSQL_PORT), 0);
	assert_true(fixture_said(&f, "W authmysqlrc:1 lines end in CR LF"));
	assert_true(fixture_said(&f, "W authmysqlrc:2 white space"));
	assert_true(fixture_said(&f, "W authmysqlrc:3 white space"));
	assert_true(fixture_said(&f, "W authmysqlrc:6 white space"));
	assert_false(fixture_said(&f, "W authmysqlrc:5 "));
	assert_string_equal(conf_str(f.conf, CONF_AUTHDAEMONRC_authmodulelist),
	    "authmysql authpam");
	fixture_end(&f);
}

/* --- our own samples ----------------------------------------------------- */

static char *
read_sample(enum conf_file file)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "etc/%s.dist", conf_file_name(file));
	return fixture_source(path);
}

/* Installed as they are they load without a word. */
static void
test_samples_load(void **state)
{
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	for (int i = 0; i < CONF_N_FILES; i++) {
		char *text = read_sample((enum conf_file)i);

		fixture_write(&f, conf_file_name((enum conf_file)i), text);
		free(text);
	}
	if (!fixture_load(&f, ALL_FILES) || fixture_complained(&f))
		fail_msg("%s", buf_cstr(&f.remarks));
	assert_true(conf_bool(f.conf, CONF_IMAPD_IMAPDSTART));
	assert_false(conf_is_set(f.conf, CONF_IMAPD_SSL_IMAP_TLS_REQUIRED));
	fixture_end(&f);
}

/* "\nNAME=", "\nNAME<blank>", with or without "# " before it. */
static bool
sample_holds(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; (p = strstr(p, name)) != NULL; p += n) {
		bool starts = p[-1] == '\n' ||
		    (p[-1] == ' ' && p[-2] == '#' && p[-3] == '\n');

		if (starts && (p[n] == '=' || p[n] == '\t' || p[n] == ' '))
			return true;
	}
	return false;
}

static bool
is_other_name(enum conf_key key)
{
	for (unsigned i = 0; i < CONF_N_KEYS; i++) {
		if (conf_key_alias((enum conf_key)i) == key)
			return true;
	}
	return false;
}

static void
test_samples_hold_all_keys(void **state)
{
	(void)state;
	for (int i = 0; i < CONF_N_FILES; i++) {
		char *text = read_sample((enum conf_file)i);

		for (unsigned j = 0; j < CONF_N_KEYS; j++) {
			enum conf_key key = (enum conf_key)j;
			const struct conf_key_info *info = conf_key_info(key);

			if (info->file != (enum conf_file)i ||
			    (info->flags & CONF_HONOUR) == 0 ||
			    is_other_name(key))
				continue;
			if (!sample_holds(text, info->name))
				fail_msg("etc/%s.dist lacks %s",
				    conf_file_name(info->file), info->name);
		}
		free(text);
	}
}

/* Every active line's name is known, and its section has the same name. */
static void
test_samples_have_sections(void **state)
{
	(void)state;
	for (int i = 0; i < CONF_N_FILES; i++) {
		char *text = read_sample((enum conf_file)i);
		struct slice rest = slice_str(text);
		struct slice section = { NULL, 0 };
		struct slice line;

		assert_true(slice_starts(rest, SLICE("##VERSION:")));
		while (slice_split(&rest, '\n', &line)) {
			struct slice mark = SLICE("##NAME: ");

			if (slice_starts(line, mark)) {
				section = slice_skip(line, mark.n);
				section = slice_first(
				    section, slice_find(section, ':'));
			} else if (line.n != 0 && line.p[0] != '#') {
				assert_true(slice_starts(line, section));
			}
		}
		free(text);
	}
}

/* --- documents ----------------------------------------------------------- */

/* `NAME` in a document, `NAME=…` as well. */
static bool
doc_names(const char *text, const char *name)
{
	char quoted[CONF_NAME_LONGEST];

	(void)snprintf(quoted, sizeof(quoted), "`%s`", name);
	return strstr(text, quoted) != NULL;
}

static void
test_documents(void **state)
{
	char *configuration = fixture_source("docs/configuration.md");
	char *limits = fixture_source("docs/limits.md");

	(void)state;
	for (unsigned i = 0; i < CONF_N_KEYS; i++) {
		const struct conf_key_info *info =
		    conf_key_info((enum conf_key)i);
		bool is_limit = strstr(info->name, "_MAX") != NULL &&
		    info->file == CONF_FILE_POSTERN;

		if (!doc_names(configuration, info->name))
			fail_msg("docs/configuration.md lacks %s", info->name);
		if (is_limit && !doc_names(limits, info->name))
			fail_msg("docs/limits.md lacks %s", info->name);
	}
	free(configuration);
	free(limits);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_debian),
		cmocka_unit_test(test_courier_4_14),
		cmocka_unit_test(test_howto),
		cmocka_unit_test(test_samples_load),
		cmocka_unit_test(test_samples_hold_all_keys),
		cmocka_unit_test(test_samples_have_sections),
		cmocka_unit_test(test_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
