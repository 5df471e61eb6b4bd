/* Addresses of header fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "protocols/mime/address.h"

struct text_case {
	const char *in;
	const char *want;
};

/* name|route|mailbox|host of each, "{name" and "}" for groups */
static const struct text_case address_cases[] = {
	{ "", "" },
	{ "a@b", "||a|b " },
	{ "a@b, c@d", "||a|b ||c|d " },
	{ ",, a@b,,", "||a|b " },
	/* RFC 5322 appendix A */
	{ "John Doe <jdoe@machine.example>",
	    "John Doe||jdoe|machine.example " },
	{ "\"Joe Q. Public\" <john.q.public@example.com>",
	    "Joe Q. Public||john.q.public|example.com " },
	{ "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
	    "Mary Smith||mary|x.test ||jdoe|example.org Who?||one|y.test " },
	{ "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@x.test>",
	    "||boss|nil.test Giant; \"Big\" Box||sysservices|x.test " },
	{ "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
	    "{A Group Ed Jones||c|a.test ||joe|where.test "
	    "John||jdoe|one.test } " },
	{ "Undisclosed recipients:;", "{Undisclosed recipients } " },
	{ "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
	    "Pete||pete|silly.test " },
	{ "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)"
	  "public.example>,\r\n         joe@example.org,\r\n  John "
	  "<jdoe@one.test> (my dear friend); (the end of the group)",
	    "{A Group Chris Jones||c|public.example ||joe|example.org "
	    "John||jdoe|one.test } " },
	{ "(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;",
	    "{Hidden recipients } " },
	{ "Joe Q. Public <john.q.public@example.com>",
	    "Joe Q. Public||john.q.public|example.com " },
	{ "Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
	    "Mary Smith|@node.test|mary|example.net ||jdoe|test.example " },
	{ "John Doe <jdoe@machine(comment).  example>",
	    "John Doe||jdoe|machine.example " },
	/* obsolete forms */
	{ "<@a,@b,,@c:d@e>", "|@a,@b,,@c|d|e " },
	{ "a . b @ c . d", "||a.b|c.d " },
	{ "\"a b\".c@d", "||a b.c|d " },
	{ "user@[IPv6:::1]", "||user|[IPv6:::1] " },
	{ "X <user@[1.2.3.4]>, b@c", "X||user|[1.2.3.4] ||b|c " },
	{ "a@b (Name in (nested) comment)", "Name in (nested) comment||a|b " },
	{ "(before) a@b", "before||a|b " },
	{ "=?utf-8?q?J=C3=B6rg?= <j@x>", "=?utf-8?q?J=C3=B6rg?=||j|x " },
	{ "J\xc3\xb6rg <j@x>", "J\xc3\xb6rg||j|x " },
	/* wrong, but seen */
	{ "root", "||root| " },
	{ "Two Words", "Two Words||| " },
	{ "<>", "||| " },
	{ "Name <>", "Name||| " },
	{ "<a>", "||a| " },
	{ "a@b <c@d>", "a@b||c|d " },
	{ "<a@b> <c@d>", "||a|b ||c|d " },
	{ "a@b; c@d", "||a|b ||c|d " },
	{ "a@b@c", "||a@b|c " },
	{ "<a@b@c>", "||a@b|c " },
	{ "<<a@b>>", "||a|b " },
	{ "X <a@b", "X||a|b " },
	{ "X <a@b, c@d", "X||a|b ||c|d " },
	{ "G: a@b, c@d", "{G ||a|b ||c|d } " },
	{ "G: H: a@b;", "{G ||H: a|b } " },
	{ ":;", "{ } " },
	{ "@x", "|||x " },
	{ "<@x>", "|||x " },
	{ "<@x:>", "|@x|| " },
	{ "\"unclosed <a@b>, c@d", "unclosed <a@b>, c@d||| " },
	{ "(unclosed a@b", "" },
	{ "[x] y <a@b>", "[x] y||a|b " },
	{ "a@[unclosed, b@c", "||a|[unclosed ||b|c " },
	{ "\\", "||\\| " },
	{ ">", "" },
	{ "\"\" <a@b>", "||a|b " },
	{ "\"\"@b",
	    "||"
	    "|b " },
	{ "mailto:a@b", "{mailto ||a|b } " },
};

static void
put_addresses(const struct mime_addresses *list, struct buf *out)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct mime_address *a = &list->v[i];
		switch (a->kind) {
		case MIME_ADDRESS_MAILBOX:
			buf_put(out, mime_address_text(list, a->name));
			buf_putc(out, '|');
			buf_put(out, mime_address_text(list, a->route));
			buf_putc(out, '|');
			buf_put(out, mime_address_text(list, a->mailbox));
			buf_putc(out, '|');
			buf_put(out, mime_address_text(list, a->host));
			break;
		case MIME_ADDRESS_GROUP:
			buf_putc(out, '{');
			buf_put(out, mime_address_text(list, a->mailbox));
			break;
		case MIME_ADDRESS_GROUP_END:
			buf_putc(out, '}');
			break;
		}
		buf_putc(out, ' ');
	}
}

static void
test_address(void **state)
{
	struct mime_addresses list;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEMS(address_cases); i++) {
		const struct text_case *c = &address_cases[i];
		for (size_t n = 0; n <= strlen(c->in); n++) {
			buf_reset(&out);
			mime_addresses_init(&list, 100);
			mime_addresses_add(&list, slice_of(c->in, n));
			put_addresses(&list, &out);
			mime_addresses_fini(&list);
		}
		if (!slice_eq(buf_slice(&out), slice_str(c->want)))
			fail_msg("%s\n have %s\n want %s", c->in,
			    buf_cstr(&out), c->want);
	}
	buf_fini(&out);
}

static void
test_address_cut(void **state)
{
	struct mime_addresses list;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	mime_addresses_init(&list, 3);
	mime_addresses_add(&list, SLICE("G: a@b, c@d, e@f, g@h;"));
	assert_true(list.cut);
	put_addresses(&list, &out);
	assert_string_equal(buf_cstr(&out), "{G ||a|b ||c|d } ");
	mime_addresses_fini(&list);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_address_cut),
	};

	return cmocka_run_group_tests_name("mime_address", tests, NULL, NULL);
}
