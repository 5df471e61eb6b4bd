/*
 * The text of userdb, as authuserdb takes it: every address that it lists can
 * be looked up, and what is found stands in the text.  A line that is told to
 * be well has an address that is found.
 */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "auth/module.h"
#include "auth/userdb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	void *module;
	struct slice text;
	unsigned n;
};

static void
look_up(const struct run *r, struct slice user)
{
	static const enum query_op ops[] = { QUERY_LOGIN, QUERY_CRAM };

	for (size_t i = 0; i < NELEMS(ops); i++) {
		const struct query q = { .op = ops[i],
			.service = SLICE("imap"),
			.mechanism = SLICE("md5"),
			.user = user };
		const struct module_call call = { .query = &q };
		struct account a;

		account_init(&a);
		assert(
		    module_userdb.lookup(r->module, &call, &a) == VERDICT_OK);
		account_fini(&a);
	}
}

static bool
sink(void *arg, struct slice line)
{
	struct run *r = arg;
	size_t tab = slice_find(line, '\t');

	assert(tab != 0 && tab < line.n);
	assert(memmem(r->text.p, r->text.n, line.p, tab + 1) != NULL);
	look_up(r, slice_first(line, tab));
	return ++r->n < 50;
}

static void
check_lines(void *module, struct slice text)
{
	struct slice line;

	while (slice_split(&text, '\n', &line)) {
		const struct query q = { .op = QUERY_LOGIN,
			.user = slice_first(line, slice_find(line, '\t')) };
		const struct module_call call = { .query = &q };
		struct account a;

		if (userdb_line_error(line) != NULL || line.n == 0 ||
		    line.p[0] == '#')
			continue;
		account_init(&a);
		assert(module_userdb.lookup(module, &call, &a) == VERDICT_OK);
		account_fini(&a);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings s = { .userdb = { .there = true } };
	const struct query q = { .op = QUERY_ENUMERATE };
	const struct module_call call = { .query = &q };
	char dir[] = "/";
	struct run r;

	s.dir = dir;
	buf_init(&s.userdb.text, size + 1);
	buf_put(&s.userdb.text, slice_of(data, size));
	r = (struct run){ module_userdb.open(&s), buf_slice(&s.userdb.text),
		0 };
	/* each is looked up in all of them */
	check_lines(r.module, slice_first(r.text, 4096));
	(void)module_userdb.enumerate(r.module, &call, sink, &r);
	module_userdb.close(r.module);
	buf_fini(&s.userdb.text);
	return 0;
}
