/* Access files: the most specific rule, and files as Courier has them. */
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

#include "server/net/access.h"

static void
on_report(
    void *arg, const char *file, int line, bool left_out, const char *text)
{
	int *last = arg;

	assert_true(left_out);
	assert_non_null(file);
	assert_non_null(text);
	*last = line;
}

static struct access *
access_of(const char *text, int *bad_line)
{
	const struct access_reader reader = { .report = on_report,
		.arg = bad_line };
	struct access *a = access_new();

	*bad_line = 0;
	access_add_text(a, "FILE", slice_str(text), &reader);
	access_seal(a);
	return a;
}

static const char rules[] = "# Courier's form\n"
			    "192.168\tallow,MAXCPERIP=9\n"
			    "192.168.0\tdeny\n"
			    "192.168.0.7\tallow,DEFDOMAIN=@x.org,A=b\n"
			    "10.0.0.0/9\tdeny\n"
			    "172.16/12 \t deny\n"
			    ":2001:0db8\tdeny\n"
			    ":2001:0db8:0001\tallow\n"
			    "2001:db8:2::/48\tallow\n"
			    "::1\tallow\n"
			    "*\tallow,LAST=1\n"
			    "\n"
			    "192.0.2.1.143\tallow,IMAP_ACL=0\n"
			    "*.143\tdeny\n"
			    "192.168.0.8\tdeny\n"
			    "192.168.0.8\tallow\n";

static const struct {
	const char *addr;
	bool deny;
	const char *vars;
} find_cases[] = {
	{ "192.168.9.9", false, "MAXCPERIP=9" },
	{ "192.168.0.1", true, "" },
	{ "::ffff:192.168.0.1", true, "" },
	{ "192.168.0.7", false, "DEFDOMAIN=@x.org,A=b" },
	{ "192.168.0.8", false, "" },
	{ "10.127.1.1", true, "" },
	{ "10.128.1.1", false, "LAST=1" },
	{ "172.31.0.1", true, "" },
	{ "172.32.0.1", false, "LAST=1" },
	{ "2001:db8:9::1", true, "" },
	{ "2001:db8:1::1", false, "" },
	{ "2001:db8:2:3::1", false, "" },
	{ "::1", false, "" },
	{ "8.8.8.8", false, "LAST=1" },
};

static void
test_find(void **state)
{
	int bad;
	struct access *a = access_of(rules, &bad);

	(void)state;
	assert_int_equal(bad, 0);
	assert_int_equal(access_count(a), 13);
	for (size_t i = 0; i < NELEMS(find_cases); i++) {
		struct addr addr;
		const struct access_rule *r;

		assert_true(addr_parse(&addr, slice_str(find_cases[i].addr)));
		r = access_find(a, &addr);
		assert_non_null(r);
		if (r->deny != find_cases[i].deny ||
		    strcmp(r->vars, find_cases[i].vars) != 0)
			fail_msg("%s: deny %d, vars %s", find_cases[i].addr,
			    r->deny, r->vars);
	}
	access_free(&a);
	assert_null(a);
}

static void
test_local(void **state)
{
	int bad;
	struct access *a = access_of(rules, &bad);
	struct addr addr;
	struct slice value;
	const struct access_rule *r;

	(void)state;
	assert_true(addr_parse(&addr, SLICE("192.0.2.1")));
	r = access_find_local(a, &addr, 143);
	assert_non_null(r);
	assert_false(r->deny);
	assert_true(access_var(r, "IMAP_ACL", &value));
	assert_true(slice_eq(value, SLICE("0")));
	assert_false(access_var(r, "IMAP_AC", &value));
	assert_null(access_find_local(a, &addr, 993));
	assert_true(addr_parse(&addr, SLICE("192.0.2.2")));
	r = access_find_local(a, &addr, 143);
	assert_non_null(r);
	assert_true(r->deny);
	access_free(&a);
}

static void
test_vars(void **state)
{
	int bad;
	struct access *a =
	    access_of("1.2.3.4\tallow,MAXCPERIP=3,X=,Y=a=b\n", &bad);
	struct addr addr;
	struct slice value;
	const struct access_rule *r;

	(void)state;
	assert_true(addr_parse(&addr, SLICE("1.2.3.4")));
	r = access_find(a, &addr);
	assert_non_null(r);
	assert_int_equal(r->max_per_address, 3);
	assert_true(access_var(r, "X", &value));
	assert_int_equal(value.n, 0);
	assert_true(access_var(r, "Y", &value));
	assert_true(slice_eq(value, SLICE("a=b")));
	access_free(&a);
}

static void
test_no_rule(void **state)
{
	int bad;
	struct access *a = access_of("", &bad);
	struct addr addr;

	(void)state;
	assert_true(addr_parse(&addr, SLICE("1.2.3.4")));
	assert_null(access_find(a, &addr));
	assert_null(access_find_local(a, &addr, 143));
	access_free(&a);
}

static const char *const bad_lines[] = {
	"1.2.3.4",
	"1.2.3.4\tpermit",
	"1.2.3.4\tallowed",
	"1.2.3.4\tallow,MAXCPERIP=x",
	"1.2.3.4.99999\tdeny",
	"1.2.3.4.0\tdeny",
	"1.2.3.4/33\tdeny",
	"1.2.3.256\tdeny",
	"example.com\tdeny",
	":2001:db8\tdeny",
	":2001:0db8:\tdeny",
	".\tdeny",
	"1..2\tdeny",
	"*.\tdeny",
	"\tdeny",
	"1.2.3.4\tallow,A=\x1b[1m",
};

static void
test_bad_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(bad_lines); i++) {
		char text[128];
		int bad;
		struct access *a;

		(void)snprintf(
		    text, sizeof(text), "9.9.9.9\tdeny\n%s\n", bad_lines[i]);
		a = access_of(text, &bad);
		if (bad != 2 || access_count(a) != 1)
			fail_msg("%s: taken", bad_lines[i]);
		access_free(&a);
	}
}

static void
write_file(const char *dir, const char *name, const char *text)
{
	char path[160];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void
test_directory(void **state)
{
	static const char *const names[] = { "a", "b", ".hidden", "c.rpmsave",
		"d.dpkg-old", "e~" };
	char dir[] = "/tmp/test_access.XXXXXX";
	char path[160];
	struct access *a;
	uint64_t before;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/none", dir);
	assert_int_equal(access_fingerprint(path), 0);
	a = access_load(path, NULL);
	assert_non_null(a);
	assert_int_equal(access_count(a), 0);
	access_free(&a);

	before = access_fingerprint(dir);
	for (size_t i = 0; i < NELEMS(names); i++)
		write_file(dir, names[i],
		    i == 0 ? "1.1.1.1\tdeny\n2.2.2.2\tdeny\n"
			   : "1.1.1.1\tallow\n3.3.3.3\tdeny\n");
	assert_int_not_equal(access_fingerprint(dir), before);
	(void)snprintf(path, sizeof(path), "%s/sub", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	a = access_load(dir, NULL);
	assert_non_null(a);
	assert_int_equal(access_count(a), 3);
	access_free(&a);
	assert_int_equal(rmdir(path), 0);

	(void)snprintf(path, sizeof(path), "%s/a", dir);
	before = access_fingerprint(path);
	a = access_load(path, NULL);
	assert_non_null(a);
	assert_int_equal(access_count(a), 2);
	access_free(&a);
	(void)snprintf(path, sizeof(path), "%s/a.dat", dir);
	assert_int_equal(access_fingerprint(path), before);
	a = access_load(path, NULL);
	assert_non_null(a);
	assert_int_equal(access_count(a), 2);
	access_free(&a);
	write_file(dir, "a", "1.1.1.1\tdeny\n");
	assert_int_not_equal(access_fingerprint(path), before);

	for (size_t i = 0; i < NELEMS(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(dir), 0);
}

/* Many rules: the same answers as by looking at each. */
static void
test_many(void **state)
{
	struct access *a = access_new();
	struct buf text;

	(void)state;
	buf_init(&text, 1 << 20);
	for (unsigned i = 0; i < 5000; i++)
		buf_putf(&text, "10.%u.%u.0/%u\t%s\n", i % 250, i / 250,
		    16 + i % 9, i % 2 != 0 ? "deny" : "allow");
	access_add_text(a, "FILE", buf_slice(&text), NULL);
	access_seal(a);
	buf_fini(&text);
	for (unsigned i = 0; i < 5000; i += 37) {
		uint8_t b[4] = { 10, (uint8_t)(i % 250), (uint8_t)(i / 250),
			9 };
		struct addr addr = addr_of_v4(b);
		const struct access_rule *r = access_find(a, &addr);

		assert_non_null(r);
		assert_true(addr_in_net(&addr, &r->net));
		assert_true(r->net.bits >= ADDR_V4_BITS + 16 + i % 9);
	}
	access_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_vars),
		cmocka_unit_test(test_no_rule),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
