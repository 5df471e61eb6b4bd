/* Which versions of its files authdaemond knows, and which it has yet to read.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/file_watch.h"
#include "auth/settings.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/unit/conf_fixture.h"

#define RC_GOOD	  "MYSQL_DATABASE one\n"
#define RC_BETTER "MYSQL_DATABASE another\n"

static struct fixture f;
static struct settings s;

/* What a remark of an error does, before the reading has ended. */
static void (*at_error)(void);

static void
on_log(void *arg, enum log_level level, const char *ident, const char *line)
{
	void (*act)(void) = at_error;

	(void)arg;
	(void)ident;
	(void)line;
	if (level > LOG_LEVEL_ERROR || act == NULL)
		return;
	at_error = NULL;
	act();
}

static int
setup(void **state)
{
	(void)state;
	fixture_begin(&f);
	log_set_sink(on_log, NULL);
	fixture_write(&f, "authdaemonrc", "authmodulelist=\"authmysql\"\n");
	fixture_write(&f, "authmysqlrc", RC_GOOD);
	assert_true(settings_load(&s, f.dir));
	return 0;
}

static int
teardown(void **state)
{
	char *userdb = mem_printf("%s/userdb", f.dir);

	(void)state;
	settings_free(&s);
	(void)unlink(userdb);
	free(userdb);
	fixture_end(&f);
	log_set_sink(NULL, NULL);
	return 0;
}

static const char *
database(void)
{
	return conf_str(s.conf, CONF_AUTHMYSQLRC_MYSQL_DATABASE);
}

static void
modules_and_sockets_are_lists(void **state)
{
	struct sasl_socket out;
	struct err e;

	(void)state;
	fixture_write(
	    &f, "authdaemonrc", "authmodulelist=\"authmysql\tauthuserdb\"\n");
	fixture_write(&f, "postern",
	    "AUTH_SASL_SOCKETS=\"/run/a:0600,/run/b\n\t/run/c:0666\"\n");
	assert_true(settings_reload(&s, f.dir));
	assert_true(settings_lists(&s, "authmysql"));
	assert_true(settings_lists(&s, "authuserdb"));
	assert_int_equal(settings_sasl_socket(&s, 2, &out, &e), 1);
	assert_string_equal(out.path, "/run/c");
	assert_int_equal(out.mode, 0666);
	assert_int_equal(settings_sasl_socket(&s, 3, &out, &e), 0);
}

static void
edits_are_seen(void **state)
{
	(void)state;
	assert_false(settings_changed(&s));
	fixture_write(&f, "authmysqlrc", RC_BETTER);
	assert_true(settings_changed(&s));
	assert_true(settings_reload(&s, f.dir));
	assert_false(settings_changed(&s));
	assert_string_equal(database(), "another");
}

static void
mend(void)
{
	fixture_write(&f, "authmysqlrc", RC_BETTER);
}

/* An editor has written half of the file when it is read, and the rest by the
 * time that the reading is found to have failed. */
static void
mended_while_it_is_refused(void **state)
{
	(void)state;
	fixture_write(&f, "authmysqlrc", "MYSQL_PORT ma\n");
	at_error = mend;
	assert_false(settings_reload(&s, f.dir));
	assert_null(at_error);
	assert_string_equal(database(), "one");
	assert_true(settings_changed(&s));
	assert_true(settings_reload(&s, f.dir));
	assert_false(settings_changed(&s));
	assert_string_equal(database(), "another");
}

/* One that stays as it is isn't read for each question. */
static void
a_refused_file_is_read_once(void **state)
{
	(void)state;
	fixture_write(&f, "authmysqlrc", "MYSQL_PORT many\n");
	assert_true(settings_changed(&s));
	assert_false(settings_reload(&s, f.dir));
	assert_false(settings_changed(&s));
	assert_string_equal(database(), "one");
}

static void
reload_keeps_what_isnt_of_the_files(void **state)
{
	(void)state;
	secret_set(&s.salt_secret, SLICE("salt"));
	s.slow = true;
	assert_true(settings_reload(&s, f.dir));
	assert_true(s.slow);
	assert_string_equal(secret_cstr(&s.salt_secret), "salt");
}

/* Files that no module reads can be as they like. */
static void
only_files_of_modules_count(void **state)
{
	(void)state;
	fixture_write(&f, "authsqliterc", "SQLITE_DATABASE /nowhere\n");
	fixture_write(&f, "userdb", "joe\tuid=1000\n");
	assert_false(settings_changed(&s));
	fixture_write(&f, "authdaemonrc", "authmodulelist=\"authuserdb\"\n");
	assert_true(settings_reload(&s, f.dir));
	assert_false(settings_changed(&s));
	fixture_write(&f, "authmysqlrc", RC_BETTER);
	assert_false(settings_changed(&s));
	fixture_write(&f, "userdb", "joe\tuid=1000|gid=1000\n");
	assert_true(settings_changed(&s));
}

/* Courier's second place counts while there is no file at the first. */
static void
both_places_are_looked_at(void **state)
{
	char *path = mem_printf("%s/authmysqlrc", f.dir);

	(void)state;
	assert_int_equal(unlink(path), 0);
	fixture_write(&f, "authlib/authmysqlrc", RC_GOOD);
	assert_true(settings_changed(&s));
	assert_true(settings_reload(&s, f.dir));
	assert_false(settings_changed(&s));
	fixture_write(&f, "authlib/authmysqlrc", RC_BETTER);
	assert_true(settings_changed(&s));
	assert_true(settings_reload(&s, f.dir));
	assert_string_equal(database(), "another");
	fixture_write(&f, "authmysqlrc", RC_GOOD);
	assert_true(settings_changed(&s));
	free(path);
}

/* A directory userdb: what is written to a file of it is a change, too. */
static void
files_of_a_directory_count(void **state)
{
	char *dir = mem_printf("%s/userdb", f.dir);
	char *path = mem_printf("%s/a", dir);

	(void)state;
	fixture_write(&f, "authdaemonrc", "authmodulelist=\"authuserdb\"\n");
	assert_int_equal(mkdir(dir, 0700), 0);
	fixture_write(&f, "userdb/a", "joe\tuid=1\n");
	fixture_write(&f, "userdb/b", "ann\tuid=1\n");
	assert_true(settings_reload(&s, f.dir));
	assert_false(settings_changed(&s));
	fixture_write(&f, "userdb/a", "joe\tuid=1000\n");
	assert_true(settings_changed(&s));
	assert_true(settings_reload(&s, f.dir));
	assert_false(settings_changed(&s));
	assert_int_equal(unlink(path), 0);
	assert_true(settings_changed(&s));
	free(path);
	path = mem_printf("%s/b", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	free(path);
	free(dir);
}

/* Nothing is known of a file in a directory that may not be searched. */
static void
unsearchable_is_unchanged(void **state)
{
	bool root = geteuid() == 0;
	bool changed;

	(void)state;
	assert_int_equal(chmod(f.dir, root ? 0700 : 0000), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	changed = settings_changed(&s);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(f.dir, 0700), 0);
	assert_false(changed);
}

/* A link to a directory could be given another meaning unseen, also while the
 * file isn't there. */
static void
nothing_below_a_link_is_watched(void **state)
{
	char *there = mem_printf("%s/authlib", f.dir);
	char *link = mem_printf("%s/link", f.dir);
	char *path = mem_printf("%s/missing", link);
	int fd = file_watch_new();

	(void)state;
	fixture_write(&f, "authlib/authmysqlrc", RC_GOOD);
	assert_true(fd >= 0);
	assert_int_equal(symlink(there, link), 0);
	assert_false(file_watch_add(fd, path));
	assert_int_equal(unlink(link), 0);
	/* Nor what is itself a link, to nothing as yet. */
	assert_int_equal(symlink(path, link), 0);
	assert_false(file_watch_add(fd, link));
	assert_int_equal(unlink(link), 0);
	(void)close(fd);
	free(there);
	free(link);
	free(path);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Settings as one process reads them, and another runs with them. */
static void
go_from_hand_to_hand(void **state)
{
	struct settings other;
	int fd = memfd_create("settings", MFD_CLOEXEC);
	struct stat st;

	(void)state;
	assert_true(fd >= 0);
	secret_set(&s.salt_secret, SLICE("salt"));
	fixture_write(&f, "authmysqlrc", RC_BETTER);
	fixture_write(
	    &f, "authdaemonrc", "authmodulelist=\"authmysql authuserdb\"\n");
	fixture_write(&f, "postern", "UID_MIN=77\n");
	fixture_write(&f, "userdb", "joe\tuid=1|gid=1|home=/h\n");
	assert_true(settings_load(&other, f.dir));
	assert_true(settings_write(&other, fd));
	assert_true(settings_changed(&s));
	assert_true(settings_take(&s, fd));
	assert_false(settings_changed(&s));
	assert_string_equal(database(), "another");
	assert_int_equal(conf_num(s.postern, CONF_POSTERN_UID_MIN), 77);
	assert_true(s.userdb.there);
	assert_true(slice_eq(
	    buf_slice(&s.userdb.text), SLICE("joe\tuid=1|gid=1|home=/h\n\n")));
	assert_true(slice_eq(secret_slice(&s.salt_secret), SLICE("salt")));
	fixture_write(&f, "userdb", "");
	assert_true(settings_changed(&s));
	/* Half of them are none. */
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t n = st.st_size - 1; n >= 0; n--) {
		assert_int_equal(ftruncate(fd, n), 0);
		assert_false(settings_take(&s, fd));
		assert_string_equal(database(), "another");
	}
	settings_free(&other);
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(modules_and_sockets_are_lists),
		T(edits_are_seen),
		T(mended_while_it_is_refused),
		T(a_refused_file_is_read_once),
		T(reload_keeps_what_isnt_of_the_files),
		T(only_files_of_modules_count),
		T(both_places_are_looked_at),
		T(files_of_a_directory_count),
		T(unsearchable_is_unchanged),
		T(nothing_below_a_link_is_watched),
		T(go_from_hand_to_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
