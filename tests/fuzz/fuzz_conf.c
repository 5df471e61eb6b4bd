/*
 * Every grammar of the configuration files, and the packed form.  The first
 * byte chooses; a packed form that is accepted must survive packing again.
 */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "server/conf/conf.h"
#include "server/conf/conf_addrs.h"
#include "server/conf/conf_key.h"
#include "server/conf/conf_script.h"
#include "server/conf/conf_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void parser(struct slice, struct conf_script *, struct conf_source *);

static void
on_report(void *arg, int severity, const char *file, int line, const char *text)
{
	(void)arg;
	assert(severity >= CONF_NOTE && severity <= CONF_ERROR);
	assert(file != NULL && line >= 0 && text[0] != '\0');
}

/* A value of every seventh key. */
static void
check_value(size_t first, const char *value)
{
	struct buf why;
	int64_t num;

	buf_init(&why, 1 << 16);
	for (size_t k = first; k < CONF_N_KEYS; k += 7) {
		buf_reset(&why);
		if (!conf_value_check((enum conf_key)k, value, &num, &why))
			assert(buf_len(&why) != 0);
	}
	buf_fini(&why);
}

/* What the grammars give, as the values of each kind of key. */
static void
use_values(const struct conf_script *s)
{
	struct conf_addrs addrs;
	struct conf_tcpdopts opts;
	enum conf_tls_version v;
	struct err e;

	for (size_t i = 0; i < s->n && i < 20; i++) {
		const char *value = s->v[i].value;

		assert(conf_is_name(slice_str(s->v[i].name)));
		assert(strlen(value) <= CONF_VALUE_MAX);
		if (conf_addrs_parse(&addrs, value, value, &e) == 0)
			assert(addrs.n <= CONF_ADDRS_MAX);
		(void)!conf_tcpdopts_parse(&opts, value, NULL, NULL, &e);
		(void)!conf_tls_parse(value, &v);
		(void)conf_loggeropt(value, "-name");
		(void)conf_is_service_word(slice_str(value));
		(void)conf_capability_known(slice_str(value));
		(void)conf_is_auth_service(slice_str(s->v[i].name));
		for (int f = 0; f < CONF_N_FILES; f++) {
			enum conf_file file = (enum conf_file)f;
			enum conf_key key;

			(void)conf_name_is_free(file, s->v[i].name);
			(void)conf_name_nearest(file, s->v[i].name);
			(void)!conf_key_find(file, s->v[i].name, &key);
		}
		check_value(i % 7, value);
	}
}

static void
run_parser(parser *parse, struct slice text)
{
	struct conf_source src = { "FILE", on_report, NULL, 0 };
	struct conf_script script;

	conf_script_init(&script);
	parse(text, &script, &src);
	assert(script.n <= CONF_ASSIGN_MAX);
	use_values(&script);
	conf_script_fini(&script);
}

static void
use_conf(const struct conf *c)
{
	static const enum conf_file services[] = { CONF_FILE_IMAPD,
		CONF_FILE_IMAPD_SSL, CONF_FILE_POP3D, CONF_FILE_POP3D_SSL };

	for (size_t i = 0; i < NELEMS(services); i++)
		assert(conf_tls_minimum(c, services[i]) <= CONF_TLS_1_3);
	for (size_t i = 0; i < 4; i++) {
		(void)conf_capability_allowed(
		    c, services[i % 2], i / 2 != 0, SLICE("SORT"));
		(void)conf_capability_allowed(
		    c, services[i % 2], i / 2 != 0, SLICE("AUTH=PLAIN"));
	}
}

static void
run_unpack(struct slice packed)
{
	struct conf *c = conf_unpack(packed);
	struct conf *again;
	struct buf one;
	struct buf two;

	if (c == NULL)
		return;
	buf_init(&one, 1 << 24);
	buf_init(&two, 1 << 24);
	conf_pack(c, &one);
	again = conf_unpack(buf_slice(&one));
	assert(again != NULL);
	conf_pack(again, &two);
	assert(slice_eq(buf_slice(&one), buf_slice(&two)));
	buf_reset(&two);
	conf_dump_changed(c, &two);
	use_conf(c);
	buf_fini(&one);
	buf_fini(&two);
	conf_free(&again);
	conf_free(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest;

	if (size == 0)
		return 0;
	rest = slice_of(data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		run_parser(conf_parse_sh, rest);
		break;
	case 1:
		run_parser(conf_parse_authdaemonrc, rest);
		break;
	case 2:
		run_parser(conf_parse_authmysqlrc, rest);
		break;
	default:
		run_unpack(rest);
		break;
	}
	return 0;
}
