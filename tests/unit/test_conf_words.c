/* Places to listen at, and the values that are lists of words. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/conf/conf_addrs.h"
#include "server/conf/conf_words.h"
#include "tests/unit/conf_fixture.h"

static const struct {
	const char *address;
	const char *ports;
	const char *want; /* "addr/port …", NULL: an error */
} addr_cases[] = {
	{ "0", "143", "/143" },
	{ "", "143", "/143" },
	{ "*", "imap, pop3s", "/143 /995" },
	{ "0", "", "" },
	{ "127.0.0.1", "143", "127.0.0.1/143" },
	{ "0", "143,1143", "/143 /1143" },
	{ "0", "143 , 1143", "/143 /1143" },
	{ "0", "127.0.0.1.900,192.168.0.1.900",
	    "127.0.0.1/900 192.168.0.1/900" },
	{ "10.0.0.1", "143,127.0.0.1.900", "10.0.0.1/143 127.0.0.1/900" },
	{ "10.0.0.1", "0.143", "/143" },
	{ "10.0.0.1,10.0.0.2", "1,2",
	    "10.0.0.1/1 10.0.0.2/1 10.0.0.1/2 10.0.0.2/2" },
	{ "::1", "143", "::1/143" },
	{ "[::1]", "143", "::1/143" },
	{ "0", "::1.143", "::1/143" },
	{ "0", "[2001:DB8::1].993", "2001:db8::1/993" },
	{ "::ffff:192.0.2.1", "143", "::ffff:192.0.2.1/143" },
	{ "0", "143,143,0.143", "/143" },
	{ "0", "0,0", "/0 /0" },
	{ "0", "65535", "/65535" },
	{ "0", "65536", NULL },
	{ "0", "-1", NULL },
	{ "0", "127.0.0.1:143", NULL },
	{ "0", "127.0.0.1", NULL },
	{ "0", "127.0.0.1.", NULL },
	{ "0", ".143", NULL },
	{ "0", "1.2.3.143", NULL },
	{ "0", "smtp", NULL },
	{ "localhost", "143", NULL },
	{ "1.2.3", "143", NULL },
	{ "300.1.1.1", "143", NULL },
};

static void
test_addrs(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(addr_cases); i++) {
		struct conf_addrs a;
		struct err e = { .text = "" };
		struct buf out;
		int rc = conf_addrs_parse(
		    &a, addr_cases[i].address, addr_cases[i].ports, &e);

		if (addr_cases[i].want == NULL) {
			assert_int_equal(rc, ERR_FORMAT);
			assert_true(e.text[0] != '\0');
			continue;
		}
		assert_int_equal(rc, 0);
		buf_init(&out, 4096);
		for (size_t j = 0; j < a.n; j++)
			buf_putf(&out, "%s%s/%u", j != 0 ? " " : "",
			    a.item[j].addr, (unsigned)a.item[j].port);
		assert_string_equal(buf_cstr(&out), addr_cases[i].want);
		buf_fini(&out);
	}
}

static void
test_too_many_addrs(void **state)
{
	struct conf_addrs a;
	struct err e;
	struct buf ports;

	(void)state;
	buf_init(&ports, 4096);
	for (int i = 1; i <= CONF_ADDRS_MAX + 1; i++)
		buf_putf(&ports, "%d,", i);
	assert_int_equal(
	    conf_addrs_parse(&a, "0", buf_cstr(&ports), &e), ERR_LIMIT);
	buf_fini(&ports);
}

static const struct {
	const char *value;
	int want; /* 0: refused */
} tls_cases[] = {
	{ "", CONF_TLS_1_2 },
	{ "TLSv1.2", CONF_TLS_1_2 },
	{ "TLSv1.2++", CONF_TLS_1_2 },
	{ "TLSv1.1+", CONF_TLS_1_1 },
	{ "TLSv1.3", CONF_TLS_1_3 },
	{ "TLSv1", CONF_TLS_1_0 },
	{ "TLS1", CONF_TLS_1_0 },
	{ "SSL23", CONF_TLS_1_0 },
	{ "SSL3", CONF_TLS_1_0 },
	{ "tlsv1.2", CONF_TLS_1_2 },
	{ "TLSv1.3:TLSv1.1:TLSv1.2", CONF_TLS_1_1 },
	{ "TLSv1.2 TLSv1.3", CONF_TLS_1_2 },
	{ "TLSv1.4", 0 },
	{ "yes", 0 },
	{ "+", 0 },
};

static void
test_tls(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(tls_cases); i++) {
		enum conf_tls_version v;
		bool good = conf_tls_parse(tls_cases[i].value, &v);

		assert_int_equal(good, tls_cases[i].want != 0);
		if (good)
			assert_int_equal((int)v, tls_cases[i].want);
	}
}

static void
test_tls_minimum(void **state)
{
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "imapd-ssl",
	    "TLS_PROTOCOL=TLSv1.3\nTLS_STARTTLS_PROTOCOL=TLSv1.1\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	assert_int_equal(
	    conf_tls_minimum(f.conf, CONF_FILE_IMAPD_SSL), CONF_TLS_1_3);
	/* below the floor */
	assert_int_equal(
	    conf_tls_minimum(f.conf, CONF_FILE_IMAPD), CONF_TLS_1_2);
	assert_int_equal(
	    conf_tls_minimum(f.conf, CONF_FILE_POP3D), CONF_TLS_1_2);
	assert_true(fixture_said(&f, "W imapd-ssl:2 TLS_STARTTLS_PROTOCOL"));

	fixture_write(&f, "postern", "TLS_ALLOW_OLD=1\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	assert_int_equal(
	    conf_tls_minimum(f.conf, CONF_FILE_IMAPD), CONF_TLS_1_1);
	assert_false(fixture_said(&f, "W imapd-ssl:2"));
	fixture_end(&f);
}

static void
count_remark(void *arg, struct slice word, const char *text)
{
	int *n = arg;

	assert_true(word.n != 0);
	assert_true(text[0] != '\0');
	++*n;
}

static void
test_tcpdopts(void **state)
{
	struct conf_tcpdopts o;
	struct err e;
	int remarks = 0;

	(void)state;
	assert_int_equal(conf_tcpdopts_parse(&o, "-nodnslookup -noidentlookup",
			     count_remark, &remarks, &e),
	    0);
	assert_int_equal(remarks, 0);
	assert_int_equal(
	    conf_tcpdopts_parse(&o,
		"-access=/etc/x.dat -accesslocal -maxperc=7 -denymsg=No. "
		"-listen=50 -warn=30 -user=x -stderr=/dev/null -bogus",
		count_remark, &remarks, &e),
	    0);
	assert_int_equal(remarks, 3);
	assert_string_equal(o.access, "/etc/x.dat");
	assert_true(o.access_local);
	assert_int_equal(o.max_per_c, 7);
	assert_string_equal(o.deny_msg, "No.");
	assert_int_equal(o.backlog, 50);
	assert_int_equal(o.warn, 30);
	assert_false(o.haproxy);

	assert_int_equal(
	    conf_tcpdopts_parse(&o, "-block=zen.example", NULL, NULL, &e),
	    ERR_DENIED);
	assert_int_equal(
	    conf_tcpdopts_parse(&o, "-maxperc=x", NULL, NULL, &e), ERR_FORMAT);
	assert_int_equal(
	    conf_tcpdopts_parse(&o, "-access=", NULL, NULL, &e), ERR_FORMAT);
}

static void
test_haproxy(void **state)
{
	struct conf_tcpdopts o;
	struct err e;

	(void)state;
	assert_int_equal(
	    conf_tcpdopts_parse(&o, "-haproxy", NULL, NULL, &e), 0);
	assert_true(o.haproxy);
	assert_int_equal(o.n_haproxy, 0);
	assert_int_equal(
	    conf_tcpdopts_parse(
		&o, "-haproxy=15/port=1143,127.0.0.1.1993", NULL, NULL, &e),
	    0);
	assert_int_equal(o.haproxy_timeout, 15);
	assert_int_equal(o.n_haproxy, 2);
	assert_string_equal(o.haproxy_at[0].addr, "");
	assert_int_equal(o.haproxy_at[0].port, 1143);
	assert_string_equal(o.haproxy_at[1].addr, "127.0.0.1");
	assert_int_equal(o.haproxy_at[1].port, 1993);
	assert_int_equal(
	    conf_tcpdopts_parse(&o, "-haproxy=a", NULL, NULL, &e), ERR_FORMAT);
	assert_int_equal(
	    conf_tcpdopts_parse(&o, "-haproxy=port=x", NULL, NULL, &e),
	    ERR_FORMAT);
}

static void
test_loggeropts(void **state)
{
	(void)state;
	assert_true(
	    slice_eq(conf_loggeropt("-name=imapd -facility=local0", "-name"),
		SLICE("imapd")));
	assert_true(slice_eq(
	    conf_loggeropt("-name=imapd -facility=local0", "-facility"),
	    SLICE("local0")));
	assert_int_equal(conf_loggeropt("-name=x", "-facility").n, 0);
	assert_int_equal(conf_loggeropt("", "-name").n, 0);
	assert_int_equal(conf_loggeropt("-names=x", "-name").n, 0);
}

static const struct {
	const char *conf;
	bool tls;
	const char *word;
	bool allowed;
} capability_cases[] = {
	{ "", false, "SORT", true },
	{ "", false, "AUTH=PLAIN", true },
	{ "IMAP_CAPABILITY=\"IMAP4rev1 IDLE\"\n", false, "IMAP4rev1", true },
	{ "IMAP_CAPABILITY=\"IMAP4rev1 IDLE\"\n", false, "IDLE", true },
	{ "IMAP_CAPABILITY=\"IMAP4rev1 IDLE\"\n", false, "SORT", false },
	{ "IMAP_CAPABILITY=\"IMAP4rev1 IDLE\"\n", true, "SORT", false },
	{ "IMAP_CAPABILITY=\"IMAP4rev1 IDLE\"\n", false, "MOVE", true },
	{ "IMAP_CAPABILITY=IDLE\n", false, "IMAP4rev1", true },
	{ "IMAP_CAPABILITY=\"IMAP4rev1 sort\"\n", false, "SORT", true },
	{ "IMAP_CAPABILITY=IMAP4rev1\n", false, "AUTH=PLAIN", false },
	{ "IMAP_CAPABILITY=\"A AUTH=PLAIN\"\n", false, "AUTH=PLAIN", true },
	{ "IMAP_CAPABILITY=IDLE\n"
	  "IMAP_CAPABILITY_TLS=\"$IMAP_CAPABILITY AUTH=PLAIN\"\n",
	    true, "AUTH=PLAIN", true },
	{ "IMAP_CAPABILITY=IDLE\n"
	  "IMAP_CAPABILITY_TLS=\"$IMAP_CAPABILITY AUTH=PLAIN\"\n",
	    false, "AUTH=PLAIN", false },
	{ "IMAP_CAPABILITY_TLS=AUTH=PLAIN\n", false, "SORT", true },
	{ "IMAP_CAPABILITY_TLS=AUTH=PLAIN\n", true, "SORT", false },
};

static void
test_capability(void **state)
{
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	for (size_t i = 0; i < NELEMS(capability_cases); i++) {
		struct slice word = slice_str(capability_cases[i].word);

		fixture_write(&f, "imapd", capability_cases[i].conf);
		assert_true(fixture_load(&f, CONF_SERVER_FILES));
		assert_int_equal(
		    conf_capability_allowed(
			f.conf, CONF_FILE_IMAPD, capability_cases[i].tls, word),
		    capability_cases[i].allowed);
	}
	fixture_write(&f, "imapd", "IMAP_CAPABILITY=\"IMAP4rev1 X-FOO\"\n");
	assert_true(fixture_load(&f, CONF_SERVER_FILES));
	assert_true(fixture_said(&f, "W imapd:1 X-FOO"));
	fixture_end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addrs),
		cmocka_unit_test(test_too_many_addrs),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_tls_minimum),
		cmocka_unit_test(test_tcpdopts),
		cmocka_unit_test(test_haproxy),
		cmocka_unit_test(test_loggeropts),
		cmocka_unit_test(test_capability),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
