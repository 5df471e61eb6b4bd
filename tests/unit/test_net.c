/* Addresses, networks, and the counts of open connections. */
#include "config.h"

#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/net/addr.h"
#include "server/net/limits.h"

static struct addr
addr_of(const char *text)
{
	struct addr a;

	if (!addr_parse(&a, slice_str(text)))
		fail_msg("%s: no address", text);
	return a;
}

static const struct {
	const char *text;
	const char *plain; /* NULL: no address */
	const char *mapped;
} addr_cases[] = {
	{ "192.0.2.7", "192.0.2.7", "::ffff:192.0.2.7" },
	{ "::ffff:192.0.2.7", "192.0.2.7", "::ffff:192.0.2.7" },
	{ "::ffff:c000:207", "192.0.2.7", "::ffff:192.0.2.7" },
	{ "2001:DB8:0:0::7", "2001:db8::7", "2001:db8::7" },
	{ "fe80::1%eth0", "fe80::1", "fe80::1" },
	{ "::", "::", "::" },
	{ "0.0.0.0", "0.0.0.0", "::ffff:0.0.0.0" },
	{ "", NULL, NULL },
	{ "192.0.2", NULL, NULL },
	{ "192.0.2.256", NULL, NULL },
	{ "192.0.2.7 ", NULL, NULL },
	{ "localhost", NULL, NULL },
	{ "1:2", NULL, NULL },
};

static void
test_addr(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(addr_cases); i++) {
		struct addr a;
		char out[ADDR_TEXT];
		bool good = addr_parse(&a, slice_str(addr_cases[i].text));

		assert_int_equal(good, addr_cases[i].plain != NULL);
		if (!good)
			continue;
		assert_string_equal(addr_text(&a, out), addr_cases[i].plain);
		assert_string_equal(
		    addr_text_mapped(&a, out), addr_cases[i].mapped);
	}
	assert_false(
	    addr_parse(&(struct addr){ .b = { 0 } }, SLICE("1.2.3.4\0junk")));
}

static const struct {
	const char *net;
	const char *in; /* NULL: no network */
	const char *out;
} net_cases[] = {
	{ "192.0.2.0/24", "192.0.2.255", "192.0.3.0" },
	{ "192.0.2.77/24", "192.0.2.1", "192.0.1.77" },
	{ "10.0.0.0/9", "10.127.0.1", "10.128.0.1" },
	{ "192.0.2.7", "::ffff:192.0.2.7", "192.0.2.6" },
	{ "0.0.0.0/0", "255.1.1.1", "2001:db8::1" },
	{ "::/0", "192.0.2.1", NULL },
	{ "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1" },
	{ "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1" },
	{ "::1", "::1", "::2" },
	{ "192.0.2.0/33", NULL, NULL },
	{ "2001:db8::/129", NULL, NULL },
	{ "192.0.2.0/", NULL, NULL },
	{ "192.0.2.0/x", NULL, NULL },
	{ "/24", NULL, NULL },
};

static void
test_nets(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(net_cases); i++) {
		struct addr_net n;
		struct addr a;
		bool good = addr_net_parse(&n, slice_str(net_cases[i].net));

		assert_int_equal(good, net_cases[i].in != NULL);
		if (!good)
			continue;
		a = addr_of(net_cases[i].in);
		assert_true(addr_in_net(&a, &n));
		if (net_cases[i].out == NULL)
			continue;
		a = addr_of(net_cases[i].out);
		assert_false(addr_in_net(&a, &n));
	}
}

static void
test_loopback(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} cases[] = { { "127.0.0.1", true }, { "127.9.9.9", true },
		{ "::ffff:127.0.0.1", true }, { "::1", true },
		{ "128.0.0.1", false }, { "::2", false }, { "::", false } };

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		struct addr a = addr_of(cases[i].text);

		assert_int_equal(addr_is_loopback(&a), cases[i].is);
	}
}

/* --- limits -------------------------------------------------------------- */

static void
test_per_address(void **state)
{
	struct limits *l = limits_new(1);
	struct limits_rule rule = { .per_address = 2 };
	struct addr v4 = addr_of("192.0.2.7");
	struct addr mapped = addr_of("::ffff:192.0.2.7");
	struct addr next = addr_of("192.0.2.8");

	(void)state;
	limits_set(l, 0, &rule);
	assert_int_equal(limits_open(l, 0, &v4), LIMITS_OK);
	assert_int_equal(limits_open(l, 0, &mapped), LIMITS_OK);
	assert_int_equal(limits_open(l, 0, &v4), LIMITS_PER_ADDRESS);
	/* another address, another service, an exception */
	assert_int_equal(limits_open(l, 0, &next), LIMITS_OK);
	assert_int_equal(limits_open(l, 1, &v4), LIMITS_OK);
	assert_int_equal(limits_open_max(l, 0, &v4, 3), LIMITS_OK);
	assert_int_equal(limits_count_address(l, 0, &v4), 3);
	assert_int_equal(limits_count(l, 0), 4);
	assert_int_equal(limits_count_all(l), 5);
	limits_close(l, 0, &v4);
	limits_close(l, 0, &v4);
	assert_int_equal(limits_open(l, 0, &v4), LIMITS_OK);
	assert_int_equal(limits_open(l, 0, &v4), LIMITS_PER_ADDRESS);
	limits_free(&l);
	assert_null(l);
}

static void
test_v6_by_64(void **state)
{
	struct limits *l = limits_new(2);
	struct limits_rule rule = { .per_address = 1 };
	struct addr a = addr_of("2001:db8:1:2::1");
	struct addr b = addr_of("2001:db8:1:2:ffff::9");
	struct addr c = addr_of("2001:db8:1:3::1");

	(void)state;
	limits_set(l, 0, &rule);
	assert_int_equal(limits_open(l, 0, &a), LIMITS_OK);
	assert_int_equal(limits_open(l, 0, &b), LIMITS_PER_ADDRESS);
	assert_int_equal(limits_open(l, 0, &c), LIMITS_OK);
	limits_free(&l);
}

static void
test_per_network_and_total(void **state)
{
	struct limits *l = limits_new(3);
	struct limits_rule rule = { .per_network = 2, .total = 3 };
	struct addr a = addr_of("192.0.2.1");
	struct addr b = addr_of("192.0.2.2");
	struct addr c = addr_of("192.0.2.3");
	struct addr d = addr_of("192.0.3.3");

	(void)state;
	limits_set(l, 3, &rule);
	assert_int_equal(limits_open(l, 3, &a), LIMITS_OK);
	assert_int_equal(limits_open(l, 3, &b), LIMITS_OK);
	assert_int_equal(limits_open(l, 3, &c), LIMITS_PER_NETWORK);
	assert_int_equal(limits_open(l, 3, &d), LIMITS_OK);
	assert_int_equal(limits_open(l, 3, &d), LIMITS_TOTAL);
	/* a lower limit ends nobody */
	rule.total = 1;
	limits_set(l, 3, &rule);
	assert_int_equal(limits_count(l, 3), 3);
	limits_close(l, 3, &a);
	limits_close(l, 3, &b);
	limits_close(l, 3, &d);
	assert_int_equal(limits_open(l, 3, &d), LIMITS_OK);
	limits_free(&l);
}

/* Against a plain array, through growing and shrinking. */
static void
test_limits_model(void **state)
{
	enum { N = 3000, STEPS = 60000 };
	struct limits *l = limits_new(0x1234567);
	uint32_t *model = calloc(N, sizeof(*model));
	uint32_t all = 0;
	uint64_t x = 88172645463325252u;

	(void)state;
	assert_non_null(model);
	for (int i = 0; i < STEPS; i++) {
		bool growing = i < STEPS / 2;
		uint32_t which;
		uint8_t b[4];
		struct addr a;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		which = (uint32_t)(x % N);
		b[0] = 10;
		b[1] = (uint8_t)(which / 3);
		b[2] = (uint8_t)(which >> 8);
		b[3] = (uint8_t)which;
		a = addr_of_v4(b);
		if (growing ? (x >> 40) % 4 != 0 : (x >> 40) % 8 == 0) {
			assert_int_equal(limits_open(l, 1, &a), LIMITS_OK);
			model[which]++;
			all++;
		} else if (model[which] != 0) {
			limits_close(l, 1, &a);
			model[which]--;
			all--;
		}
		assert_int_equal(limits_count_address(l, 1, &a), model[which]);
	}
	assert_int_equal(limits_count_all(l), all);
	for (uint32_t which = 0; which < N; which++) {
		uint8_t b[4] = { 10, (uint8_t)(which / 3),
			(uint8_t)(which >> 8), (uint8_t)which };
		struct addr a = addr_of_v4(b);

		for (; model[which] != 0; model[which]--)
			limits_close(l, 1, &a);
	}
	assert_int_equal(limits_count_all(l), 0);
	assert_int_equal(limits_entries(l), 0);
	free(model);
	limits_free(&l);
}

/* server/master_service.c sets them once, for the sockets that listen. */
static void
connections_inherit_options(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(a), len = sizeof(int);
	int at = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1, unsent = 131072, fd;

	(void)state;
	assert_int_equal(setsockopt(at, IPPROTO_TCP, TCP_NODELAY, &on, len), 0);
	assert_int_equal(
	    setsockopt(at, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, len), 0);
	assert_int_equal(bind(at, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(at, 1), 0);
	assert_int_equal(getsockname(at, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&a, n), 0);
	assert_true((fd = accept(at, NULL, NULL)) >= 0);
	on = unsent = 0;
	assert_int_equal(
	    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	assert_int_equal(
	    getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, &len), 0);
	assert_int_not_equal(on, 0);
	assert_int_equal(unsent, 131072);
	(void)close(fd);
	(void)close(client);
	(void)close(at);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_inherit_options),
		cmocka_unit_test(test_addr),
		cmocka_unit_test(test_nets),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_per_address),
		cmocka_unit_test(test_v6_by_64),
		cmocka_unit_test(test_per_network_and_total),
		cmocka_unit_test(test_limits_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
