/* Loading a directory: whose value counts, what is said, pack and dump. */
#include "config.h"

#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/conf/conf_client.h"
#include "server/conf/conf_key.h"
#include "server/conf/conf_words.h"
#include "tests/unit/conf_fixture.h"

/* Every row's default must be a value that the row allows. */
static void
test_defaults(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CONF_N_KEYS; i++) {
		enum conf_key key = (enum conf_key)i;
		const struct conf_key_info *info = conf_key_info(key);
		unsigned class = info->flags & ~(unsigned)CONF_RELOAD;
		enum conf_key found;
		int64_t num;

		if (!conf_value_check(key, info->def, &num, NULL))
			fail_msg("%s: bad default", info->name);
		if (class == 0 || (class & (class - 1)) != 0)
			fail_msg("%s: not one class", info->name);
		assert_true(info->text[0] != '\0');
		assert_true(conf_key_find(info->file, info->name, &found));
		if (found != key)
			fail_msg("%s: twice in one file", info->name);
	}
}

static void
test_empty_directory(void **state)
{
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	assert_true(fixture_load(&f, CONF_SERVER_FILES | CONF_AUTH_FILES));
	assert_false(fixture_complained(&f));
	assert_true(fixture_said(&f, "N imapd:0 missing"));
	assert_string_equal(conf_dir(f.conf), f.dir);
	assert_string_equal(conf_str(f.conf, CONF_IMAPD_PORT), "143");
	assert_int_equal(conf_num(f.conf, CONF_IMAPD_MAXPERIP), 50);
	assert_int_equal(conf_num(f.conf, CONF_POSTERN_KEYWORDS_MAX), 1000);
	assert_int_equal(conf_num(f.conf, CONF_IMAPD_IMAP_UMASK), 022);
	assert_false(conf_bool(f.conf, CONF_IMAPD_IMAPDSTART));
	assert_true(conf_bool(f.conf, CONF_IMAPD_SSL_IMAPDSTARTTLS));
	assert_false(conf_is_set(f.conf, CONF_IMAPD_SSL_IMAP_TLS_REQUIRED));
	assert_string_equal(
	    conf_str(f.conf, CONF_AUTHMYSQLRC_MYSQL_CRYPT_PWFIELD), "''");
	assert_null(conf_any(f.conf, CONF_FILE_IMAPD, "PORT"));
	fixture_end(&f);
}

/* Keys are found by their names: all of them, and nothing else. */
static void
test_keys_named(void **state)
{
	const enum conf_key *key;

	(void)state;
	for (unsigned i = 0; i < CONF_N_KEYS; i++) {
		size_t n = conf_keys_named(
		    conf_key_info((enum conf_key)i)->name, &key);
		bool found = false;

		for (size_t k = 0; k < n; k++)
			found = found || key[k] == (enum conf_key)i;
		assert_true(found);
	}
	assert_int_equal(conf_keys_named("", &key), 0);
	assert_int_equal(conf_keys_named("MAXPERI", &key), 0);
	assert_int_equal(conf_keys_named("~", &key), 0);
}

/* AUTHSERVICE143 counts for its service and port alone. */
static void
test_auth_service(void **state)
{
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "imapd", "AUTHSERVICE143=mail\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	assert_string_equal(
	    conf_auth_service(f.conf, CONF_FILE_IMAPD, 143, "imap"), "mail");
	assert_string_equal(
	    conf_auth_service(f.conf, CONF_FILE_IMAPD, 144, "imap"), "imap");
	assert_string_equal(
	    conf_auth_service(f.conf, CONF_FILE_POP3D, 143, "pop3"), "pop3");
	fixture_end(&f);
}

/* As Courier reads imapd-ssl then imapd for imapd, and the reverse. */
static void
test_precedence(void **state)
{
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "imapd",
	    "BASE=/a\nMAXPERIP=7\nMAXDAEMONS=8\nTLS_CERTFILE=/plain.pem\n"
	    "MAILDIRPATH=Mail\nMAILDIRPATH=Post\n");
	fixture_write(&f, "imapd-ssl",
	    "MAXPERIP=9\nTLS_CERTFILE=$BASE/ssl.pem\nIMAPDSSLSTART=y\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	assert_int_equal(conf_num(f.conf, CONF_IMAPD_MAXPERIP), 7);
	assert_int_equal(
	    conf_service_num(f.conf, CONF_FILE_IMAPD_SSL, CONF_IMAPD_MAXPERIP),
	    9);
	assert_int_equal(conf_service_num(f.conf, CONF_FILE_IMAPD_SSL,
			     CONF_IMAPD_MAXDAEMONS),
	    8);
	/* imapd wins for STARTTLS, imapd-ssl for its own port */
	assert_string_equal(conf_service_str(f.conf, CONF_FILE_IMAPD,
				CONF_IMAPD_SSL_TLS_CERTFILE),
	    "/plain.pem");
	assert_string_equal(
	    conf_str(f.conf, CONF_IMAPD_SSL_TLS_CERTFILE), "/a/ssl.pem");
	assert_true(conf_service_bool(
	    f.conf, CONF_FILE_IMAPD, CONF_IMAPD_SSL_IMAPDSSLSTART));
	assert_false(conf_service_is_set(
	    f.conf, CONF_FILE_IMAPD, CONF_IMAPD_SSL_SSLPORT));
	/* the later of two in a file */
	assert_string_equal(conf_str(f.conf, CONF_IMAPD_MAILDIRPATH), "Post");
	assert_string_equal(
	    conf_any(f.conf, CONF_FILE_IMAPD_SSL, "BASE"), "/a");
	fixture_end(&f);
}

static void
test_expansion(void **state)
{
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "imapd",
	    "A=1\nDEFDOMAIN=$A${A}x$LATER$A\nLATER=2\nA=3\n"
	    "HOSTNAME=$DEFDOMAIN\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	assert_string_equal(conf_str(f.conf, CONF_IMAPD_DEFDOMAIN), "11x1");
	assert_string_equal(conf_str(f.conf, CONF_IMAPD_HOSTNAME), "11x1");
	assert_true(fixture_said(&f, "W imapd:2 $LATER is not set"));

	/* doubling must end */
	fixture_write(&f, "imapd", "A=xxxxxxxxxxxxxxxx\n");
	{
		struct buf text;

		buf_init(&text, 4096);
		buf_puts(&text, "A=xxxxxxxxxxxxxxxx\n");
		for (int i = 0; i < 60; i++)
			buf_puts(&text, "A=$A$A\n");
		fixture_write(&f, "imapd", buf_cstr(&text));
		buf_fini(&text);
	}
	assert_false(fixture_load(&f, CONF_SERVER_FILES));
	assert_true(fixture_said(&f, "at most 65536 bytes"));
	fixture_end(&f);
}

static const struct {
	const char *file;
	const char *text;
	const char *said; /* NULL: loads without a complaint */
	bool loads;
} remark_cases[] = {
	{ "imapd", "PORT=x\n", "E imapd:1 PORT: expected ports", false },
	{ "imapd", "\n\nMAXPERIP=many\n",
	    "E imapd:3 MAXPERIP: expected a number from 0 to", false },
	{ "imapd", "IMAP_UMASK=088\n", "IMAP_UMASK: expected an octal", false },
	{ "imapd", "IMAP_ACL=perhaps\n", "expected 1 or yes", false },
	{ "imapd", "IMAP_NAMESPACE_PREFIX=\n", NULL, true },
	{ "imapd", "IMAP_NAMESPACE_PREFIX=INBOX.\n", NULL, true },
	{ "imapd", "IMAP_NAMESPACE_PREFIX=Mail.\n",
	    "E imapd:1 IMAP_NAMESPACE_PREFIX: expected one of INBOX. \"\"",
	    false },
	{ "imapd", "IMAP_PROXY=1\n", "E imapd:1 expected IMAP_PROXY to be off",
	    false },
	{ "imapd", "IMAP_PROXY=0\n", NULL, true },
	{ "imapd", "OUTBOX=.Outbox\n", NULL, true },
	{ "imapd", "HEADERFROM=\"X Sender\"\n",
	    "E imapd:1 HEADERFROM: expected the name of a header field",
	    false },
	{ "pop3d", "MIME_UNICODE_MESSAGE_TYPE=\n", NULL, true },
	{ "pop3d", "MIME_UNICODE_MESSAGE_TYPE=message/rfc822\n", NULL, true },
	{ "pop3d", "MIME_UNICODE_MESSAGE_TYPE=\"a/b; c\"\n",
	    "MIME_UNICODE_MESSAGE_TYPE: expected a media type", false },
	{ "pop3d", "MIME_UNICODE_MESSAGE_TYPE=message\n",
	    "E pop3d:1 MIME_UNICODE_MESSAGE_TYPE: expected a media type",
	    false },
	{ "pop3d", "MIME_UNICODE_MESSAGE_TYPE=a/b/c\n",
	    "MIME_UNICODE_MESSAGE_TYPE: expected a media type", false },
	{ "pop3d", "POP3_PROXY=YES\n", "expected POP3_PROXY to be off", false },
	{ "imapd", "SMAP_CAPABILITY=SMAP1\n",
	    "W imapd:1 SMAP_CAPABILITY has no effect", true },
	{ "imapd", "IMAP_ULIMITD=65536\n", "N imapd:1 IMAP_ULIMITD is accepted",
	    true },
	{ "imapd-ssl", "COURIERTLS=/x\n", "N imapd-ssl:1 COURIERTLS", true },
	{ "imapd", "IMAP_CAPABILTY=x\n",
	    "unknown name IMAP_CAPABILTY; the nearest known one is "
	    "IMAP_CAPABILITY",
	    true },
	{ "imapd", "XYZZY=x\n", "W imapd:1 unknown name XYZZY", true },
	{ "imapd", "AUTHSERVICE993=imaps\n", NULL, true },
	{ "imapd", "prefix=/usr\nexec_prefix=${prefix}\n", NULL, true },
	{ "imapd", "AUTHMODULES=authdaemon\n", NULL, true },
	{ "authdaemonrc", "LDAPTLS_CACERT=/x\nversion=\"\"\ndaemons=0\n", NULL,
	    true },
	{ "imapd", "AUTHMODULES=\"authpam authmysql\"\n",
	    "W imapd:1 expected authdaemon", true },
	{ "imapd", "TCPDOPTS=\"-nodnslookup -user=x\"\n",
	    "W imapd:1 -user=x in TCPDOPTS has no effect", true },
	{ "imapd", "TCPDOPTS=-block=x\n", "E imapd:1 TCPDOPTS", false },
	{ "imapd-ssl", "TLS_PROTOCOL=TLSv9\n", "TLS_PROTOCOL: expected TLSv1",
	    false },
	{ "imapd-ssl", "TLS_VERIFYPEER=MAYBE\n",
	    "expected one of NONE PEER REQUIREPEER", false },
	{ "imapd-ssl", "TLS_PRIORITY=NORMAL\n",
	    "W imapd-ssl:1 TLS_PRIORITY has no effect", true },
	{ "pop3d-ssl", "POP3DSTARTTLS=NO\n", NULL, true },
	{ "imapd", "MAILDIRPATH=\n", "not empty", false },
	{ "imapd", "DEFDOMAIN=\"a\nb\"\n", "without a line break", false },
	{ "imapd", "IMAP_CAPABILITY=\"IMAP4rev1\nIDLE\"\n", NULL, true },
	{ "postern", "IMAP_AUTOLOGOUT=30m\n", NULL, true },
	{ "postern", "IMAP_AUTOLOGOUT=30x\n", "expected a number from", false },
	{ "postern", "MESSAGE_SIZE_MAX=10M\n", NULL, true },
	{ "postern", "MESSAGE_SIZE_MAX=99999999999999999999G\n",
	    "expected a number from", false },
	{ "postern", "FSYNC=sometimes\n", "one of normal always", false },
	{ "postern", "LOG_LEVEL=loud\n", "expected one of", false },
	{ "postern", "LOGIN_USER=\"a b\"\n", "expected one word", false },
	{ "postern", "MYSQL_PASSWORD=x\n", "unknown name", true },
	{ "authdaemonrc", "DEBUG_LOGIN=2\n", "passwords are not logged", true },
	{ "authdaemonrc", "daemons=five\n", "E authdaemonrc:1 daemons", false },
	{ "authmysqlrc", "MYSQL_PORT x\n", "E authmysqlrc:1 MYSQL_PORT",
	    false },
	{ "authmysqlrc", "MYSQL_AUXOPTIONS x\n",
	    "W authmysqlrc:1 MYSQL_AUXOPTIONS has no effect", true },
	{ "authmysqlrc", "MYSQL_USERTABLE x\n",
	    "nearest known one is "
	    "MYSQL_USER_TABLE",
	    true },
	{ "authsqliterc", "SQLITE_DATABASE /x/y\n", NULL, true },
};

static void
test_remarks(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(remark_cases); i++) {
		struct fixture f;
		const char *said = remark_cases[i].said;
		bool loads;

		fixture_begin(&f);
		fixture_write(&f, remark_cases[i].file, remark_cases[i].text);
		loads = fixture_load(&f, CONF_SERVER_FILES | CONF_AUTH_FILES);
		if (loads != remark_cases[i].loads)
			fail_msg("%s: loaded %d: %s", remark_cases[i].text,
			    loads, buf_cstr(&f.remarks));
		if (said == NULL ? fixture_complained(&f)
				 : !fixture_said(&f, said))
			fail_msg("%s: said %s", remark_cases[i].text,
			    buf_cstr(&f.remarks));
		fixture_end(&f);
	}
}

/* A line is spoken of once, though two services see it. */
static void
test_said_once(void **state)
{
	struct fixture f;
	const char *first;

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "imapd", "FOO=1\nMAXPERIP=x\n");
	assert_false(fixture_load(&f, CONF_SERVER_FILES));
	first = strstr(buf_cstr(&f.remarks), "imapd:1 unknown");
	assert_non_null(first);
	assert_null(strstr(first + 1, "imapd:1 unknown"));
	first = strstr(buf_cstr(&f.remarks), "imapd:2 MAXPERIP");
	assert_non_null(first);
	assert_null(strstr(first + 1, "imapd:2 MAXPERIP"));

	/* another value in the other view is another matter */
	fixture_write(&f, "imapd", "MAXPERIP=$N\n");
	fixture_write(&f, "imapd-ssl", "N=x\n");
	assert_false(fixture_load(&f, CONF_SERVER_FILES));
	assert_true(fixture_said(&f, "E imapd:1 MAXPERIP"));
	fixture_end(&f);
}

static void
test_aliases(void **state)
{
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "pop3d-ssl", "POP3DSTARTTLS=NO\n");
	fixture_write(&f, "authmysqlrc",
	    "MYSQL_SSL_CIPHERS HIGH\nMYSQL_DEFAULTDELIVERY dd\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES | CONF_AUTH_FILES));
	assert_false(conf_bool(f.conf, CONF_POP3D_SSL_POP3_STARTTLS));
	assert_false(conf_service_bool(
	    f.conf, CONF_FILE_POP3D, CONF_POP3D_SSL_POP3_STARTTLS));
	assert_string_equal(
	    conf_str(f.conf, CONF_AUTHMYSQLRC_MYSQL_SSL_CIPHER), "HIGH");
	assert_string_equal(
	    conf_str(f.conf, CONF_AUTHMYSQLRC_MYSQL_DEFAULTDELIVERY_FIELD),
	    "dd");
	/* the true name counts over the other */
	fixture_write(&f, "pop3d-ssl", "POP3DSTARTTLS=NO\nPOP3_STARTTLS=YES\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	assert_true(conf_bool(f.conf, CONF_POP3D_SSL_POP3_STARTTLS));
	fixture_end(&f);
}

/* The password of the table is nothing for the server's processes. */
static void
test_files_of_the_set(void **state)
{
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "authmysqlrc", "MYSQL_PASSWORD secret\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	assert_string_equal(
	    conf_str(f.conf, CONF_AUTHMYSQLRC_MYSQL_PASSWORD), "");
	assert_true(fixture_load(&f, CONF_AUTH_FILES));
	assert_string_equal(
	    conf_str(f.conf, CONF_AUTHMYSQLRC_MYSQL_PASSWORD), "secret");
	fixture_end(&f);
}

static void
test_authlib_directory(void **state)
{
	struct fixture f;
	char path[128];

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "authlib/authdaemonrc", "daemons=3\n");
	assert_true(fixture_load(&f, CONF_AUTH_FILES));
	assert_int_equal(conf_num(f.conf, CONF_AUTHDAEMONRC_daemons), 3);
	fixture_write(&f, "authdaemonrc", "daemons=4\n");
	assert_true(fixture_load(&f, CONF_AUTH_FILES));
	assert_int_equal(conf_num(f.conf, CONF_AUTHDAEMONRC_daemons), 4);

	fixture_write(&f, "authmysqlrc", "MYSQL_PORT 0\n");
	(void)snprintf(path, sizeof(path), "%s/authmysqlrc", f.dir);
	assert_int_equal(chmod(path, 0644), 0);
	assert_true(fixture_load(&f, CONF_AUTH_FILES));
	assert_true(fixture_said(&f, "W authmysqlrc:0 everybody can read"));
	fixture_end(&f);
}

/* Devices, directories, overlong files: an error, at once. */
static void
test_odd_files(void **state)
{
	struct fixture f;
	char path[128];
	struct buf text;

	(void)state;
	fixture_begin(&f);
	(void)snprintf(path, sizeof(path), "%s/imapd", f.dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(fixture_load(&f, CONF_SERVER_FILES));
	assert_true(fixture_said(&f, "E imapd:0 expected a regular file"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_false(fixture_load(&f, CONF_SERVER_FILES));
	assert_int_equal(rmdir(path), 0);

	buf_init(&text, 4 << 20);
	for (int i = 0; i < 70000; i++)
		buf_puts(&text, "# 0123456789abcdef\n");
	fixture_write(&f, "imapd", buf_cstr(&text));
	buf_fini(&text);
	assert_false(fixture_load(&f, CONF_SERVER_FILES));
	assert_true(fixture_said(&f, "E imapd:0 expected at most"));
	fixture_end(&f);
}

static void
test_dump(void **state)
{
	struct fixture f;
	struct buf out;
	char want[512];

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "imapd",
	    "PORT=143\nMAXPERIP=050\nMAXDAEMONS=7\nDEFDOMAIN='@a b'\n"
	    "FOO='$x'\n");
	fixture_write(&f, "authmysqlrc",
	    "MYSQL_PASSWORD secret\nMYSQL_HOME_FIELD '/home/vmail'\n");
	fixture_write(&f, "postern", "IMAP_AUTOLOGOUT=30m\nLOG=stderr\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES | CONF_AUTH_FILES));
	buf_init(&out, 4096);
	conf_dump_changed(f.conf, &out);
	(void)snprintf(want, sizeof(want),
	    "# %s/imapd\nMAXDAEMONS=7\nDEFDOMAIN=\"@a b\"\nFOO=\"\\$x\"\n"
	    "# %s/authmysqlrc\nMYSQL_PASSWORD ********\n"
	    "MYSQL_HOME_FIELD '/home/vmail'\n"
	    "# %s/postern\nLOG=stderr\n",
	    f.dir, f.dir, f.dir);
	assert_string_equal(buf_cstr(&out), want);
	buf_fini(&out);
	fixture_end(&f);
}

static void
assert_same(const struct conf *a, const struct conf *b)
{
	for (unsigned i = 0; i < CONF_N_KEYS; i++) {
		enum conf_key key = (enum conf_key)i;

		assert_string_equal(conf_str(a, key), conf_str(b, key));
		assert_int_equal(conf_num(a, key), conf_num(b, key));
		assert_int_equal(conf_is_set(a, key), conf_is_set(b, key));
	}
}

static void
test_pack(void **state)
{
	struct fixture f;
	struct conf *copy;
	struct buf packed;
	struct slice all;

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "imapd", "MAXPERIP=7\nAUTHSERVICE143=x\n");
	fixture_write(&f, "imapd-ssl", "MAXPERIP=9\n");
	fixture_write(&f, "pop3d", "POP3DSTART=YES\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	buf_init(&packed, 1 << 20);
	conf_pack(f.conf, &packed);
	all = buf_slice(&packed);
	copy = conf_unpack(all);
	assert_non_null(copy);
	assert_same(f.conf, copy);
	assert_string_equal(
	    conf_any(copy, CONF_FILE_IMAPD, "AUTHSERVICE143"), "x");
	assert_int_equal(
	    conf_service_num(copy, CONF_FILE_IMAPD_SSL, CONF_IMAPD_MAXPERIP),
	    9);
	assert_string_equal(conf_dir(copy), f.dir);
	conf_free(&copy);
	assert_null(copy);

	/* whatever is cut off, it is refused or whole records are missing */
	for (size_t i = 0; i < all.n; i++) {
		char *cut = slice_dup(slice_first(all, i));

		copy = conf_unpack(slice_of(cut, i));
		conf_free(&copy);
		free(cut);
	}
	buf_fini(&packed);
	fixture_end(&f);
	assert_null(conf_unpack(SLICE("")));
	assert_null(conf_unpack(SLICE("conf1")));
	assert_null(conf_unpack(SLICE("conf1\0/x\0\x63\0A\0B\0")));
	assert_null(conf_unpack(SLICE("conf1\0/x\0\0\0PORT\0bad\0")));
}

/* A value of each of two names, as long as one may be. */
static void
write_long(struct fixture *f, size_t n)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	for (int name = 0; name < 2; name++) {
		buf_putf(&text, "LONG%d=", name);
		for (size_t i = 0; i < n; i++)
			buf_putc(&text, 'x');
		buf_putc(&text, '\n');
	}
	fixture_write(f, "postern", buf_cstr(&text));
	buf_fini(&text);
}

/* What is taken fits into the message that it is sent in. */
static void
test_size(void **state)
{
	struct fixture f;
	struct buf packed;

	(void)state;
	fixture_begin(&f);
	write_long(&f, CONF_PACKED_MAX / 2 - 200);
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	buf_init(&packed, CONF_PACKED_MAX);
	conf_pack(f.conf, &packed);
	assert_true(buf_ok(&packed));
	buf_fini(&packed);
	write_long(&f, CONF_PACKED_MAX / 2);
	assert_false(fixture_load(&f, CONF_SERVER_FILES));
	assert_true(fixture_said(&f, "expected at most 122880 bytes"));
	/* nobody sends these */
	assert_true(fixture_load(&f, CONF_BIT(CONF_FILE_POSTERN)));
	fixture_end(&f);
}

static const char *
maildir_of(const struct conf *c)
{
	return conf_str(c, CONF_IMAPD_MAILDIRPATH);
}

/* Clients with the same variables share what is made of them. */
static void
test_clients(void **state)
{
	struct conf_clients t = { 0 };
	const struct conf *a;
	struct fixture f;
	char vars[64];

	(void)state;
	fixture_begin(&f);
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	assert_ptr_equal(
	    conf_clients_get(&t, f.conf, CONF_FILE_IMAPD, NULL), f.conf);
	assert_ptr_equal(
	    conf_clients_get(&t, f.conf, CONF_FILE_IMAPD, ""), f.conf);
	a = conf_clients_get(&t, f.conf, CONF_FILE_IMAPD, "MAILDIRPATH=a");
	assert_string_equal(maildir_of(a), "a");
	assert_ptr_not_equal(
	    conf_clients_get(&t, f.conf, CONF_FILE_POP3D, "MAILDIRPATH=a"), a);
	/* Those that aren't used go. */
	for (int i = 0; i < 3 * CONF_CLIENTS_MAX; i++) {
		(void)snprintf(vars, sizeof(vars), "MAILDIRPATH=n%d", i);
		assert_string_equal(maildir_of(conf_clients_get(
					&t, f.conf, CONF_FILE_IMAPD, vars)),
		    vars + strlen("MAILDIRPATH="));
		assert_ptr_equal(conf_clients_get(&t, f.conf, CONF_FILE_IMAPD,
				     "MAILDIRPATH=a"),
		    a);
		assert_string_equal(maildir_of(a), "a");
	}
	assert_int_equal(t.n, CONF_CLIENTS_MAX);
	conf_clients_clear(&t);
	assert_int_equal(t.n, 0);
	fixture_end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_empty_directory),
		cmocka_unit_test(test_keys_named),
		cmocka_unit_test(test_auth_service),
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_expansion),
		cmocka_unit_test(test_remarks),
		cmocka_unit_test(test_said_once),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_files_of_the_set),
		cmocka_unit_test(test_authlib_directory),
		cmocka_unit_test(test_odd_files),
		cmocka_unit_test(test_dump),
		cmocka_unit_test(test_pack),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
