/*
 * What is said about the variables of a configuration: bad values, unknown
 * names, and what has no effect here.  Each line of a file is spoken of once,
 * in the view of its own file; in the partner's view only if $NAME made
 * another value of it there.
 */
#include "config.h"

#include <string.h>

#include "server/conf/conf_impl.h"
#include "server/conf/conf_key.h"
#include "server/conf/conf_words.h"

struct check {
	const struct conf *c;
	const struct conf_var *var;
	const struct conf_key_info *info; /* NULL: unknown name */
	enum conf_key key;
	struct conf_source *src;
};

static void
unknown_name(struct check *k)
{
	const char *near = conf_name_nearest(k->var->from, k->var->name);

	if (conf_is_auth_service(slice_str(k->var->name)) &&
	    *k->var->value != '\0' &&
	    !conf_is_service_word(slice_str(k->var->value))) {
		conf_say(k->src, CONF_ERROR, k->var->line,
		    "%s: expected " CONF_SERVICE_WORD, k->var->name);
		return;
	}
	if (conf_name_is_free(k->var->from, k->var->name))
		return;
	if (near != NULL)
		conf_say(k->src, CONF_WARNING, k->var->line,
		    "unknown name %s; the nearest known one is %s",
		    k->var->name, near);
	else
		conf_say(k->src, CONF_WARNING, k->var->line, "unknown name %s",
		    k->var->name);
}

/* Neither nothing nor "no". */
static bool
is_wanted(const struct check *k)
{
	int64_t num;

	if (k->info->type == CONF_TYPE_BOOL)
		return conf_value_check(k->key, k->var->value, &num, NULL) &&
		    num != 0;
	return *k->var->value != '\0';
}

static void
check_class(struct check *k)
{
	unsigned flags = k->info->flags;
	const char *name = k->info->name;
	const char *text = k->info->text;
	int line = k->var->line;

	if ((flags & CONF_REFUSE) != 0 && is_wanted(k))
		conf_say(k->src, CONF_ERROR, line, "expected %s to be off: %s",
		    name, text);
	else if ((flags & CONF_WARN) != 0 && is_wanted(k))
		conf_say(k->src, CONF_WARNING, line, "%s has no effect: %s",
		    name, text);
	else if ((flags & CONF_IGNORE) != 0)
		conf_say(k->src, CONF_NOTE, line,
		    "%s is accepted and not used: %s", name, text);
}

static void
remark_tcpdopt(void *arg, struct slice word, const char *text)
{
	struct check *k = arg;

	conf_say(k->src, CONF_WARNING, k->var->line, "%.*s in %s %s",
	    SLICE_ARG(slice_first(word, 100)), k->info->name, text);
}

static void
check_capability(struct check *k)
{
	struct slice rest = slice_str(k->var->value);
	struct slice word;

	while (conf_word_next(&rest, &word)) {
		if (!conf_capability_known(word))
			conf_say(k->src, CONF_WARNING, k->var->line,
			    "%.*s in %s is not a capability of this server",
			    SLICE_ARG(slice_first(word, 100)), k->info->name);
	}
}

/* RFC 5322 2.2: printable, no colon; or nothing. */
static bool
is_field_name(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~' || *p == ':')
			return false;
	return true;
}

/* RFC 2045 5.1: two tokens; or nothing. */
static bool
is_media_type(const char *value)
{
	size_t slashes = 0;

	for (const char *p = value; *p != '\0'; p++) {
		if (*p == '/' && (slashes++ != 0 || p == value || p[1] == '\0'))
			return false;
		if (*p <= ' ' || *p > '~' ||
		    strchr("()<>@,;:\\\"[]?=", *p) != NULL)
			return false;
	}
	return slashes == 1 || value[0] == '\0';
}

/* A value of the right form that still is not what it seems. */
static void
check_meaning(struct check *k)
{
	struct conf_tcpdopts opts;
	enum conf_tls_version v;
	const char *value = k->var->value;
	const struct conf_var *old =
	    conf_view_find(&k->c->view[CONF_FILE_POSTERN], "TLS_ALLOW_OLD");

	if (k->info->type == CONF_TYPE_TCPDOPTS)
		(void)!conf_tcpdopts_parse(
		    &opts, value, remark_tcpdopt, k, NULL);
	if (k->key == CONF_IMAPD_HEADERFROM && !is_field_name(value))
		conf_say(k->src, CONF_ERROR, k->var->line,
		    "HEADERFROM: expected the name of a header field");
	if (k->key == CONF_POP3D_MIME_UNICODE_MESSAGE_TYPE &&
	    !is_media_type(value))
		conf_say(k->src, CONF_ERROR, k->var->line,
		    "MIME_UNICODE_MESSAGE_TYPE: expected a media type, as "
		    "message/global, or nothing");
	if (k->info->type == CONF_TYPE_CAPABILITY)
		check_capability(k);
	if (k->info->type == CONF_TYPE_AUTHMODULES &&
	    strcmp(value, "authdaemon") != 0)
		conf_say(k->src, CONF_WARNING, k->var->line,
		    "expected authdaemon: authdaemond is always asked");
	if (k->info->type == CONF_TYPE_TLS_PROTOCOL &&
	    conf_tls_parse(value, &v) && v < CONF_TLS_1_2 && old == NULL)
		conf_say(k->src, CONF_WARNING, k->var->line,
		    "%s=%s: TLS 1.2 is the lowest version used", k->info->name,
		    value);
	if (strcmp(k->info->name, "DEBUG_LOGIN") == 0 &&
	    strcmp(value, "2") == 0)
		conf_say(k->src, CONF_WARNING, k->var->line,
		    "DEBUG_LOGIN=2: passwords are not logged");
}

static void
check_value(struct check *k)
{
	struct buf why;
	int64_t num;

	buf_init(&why, 400);
	if (!conf_value_check(k->key, k->var->value, &num, &why)) {
		conf_say(k->src, CONF_ERROR, k->var->line, "%s: expected %s",
		    k->info->name, buf_cstr(&why));
	} else {
		check_class(k);
		check_meaning(k);
	}
	buf_fini(&why);
}

/* Whether the partner's own view says the same, so that it is told there. */
static bool
is_told_elsewhere(
    const struct conf *c, enum conf_file view, const struct conf_var *var)
{
	const struct conf_var *own;

	if (var->from == view)
		return false;
	own = conf_view_find(&c->view[var->from], var->name);
	return own != NULL && strcmp(own->value, var->value) == 0;
}

/*
 * Defaults are good but for one thing: configure may have been told paths
 * that are too long for a socket.  That matters where no file sets another.
 */
static void
check_defaults(const struct conf *c, struct conf_source *src)
{
	struct buf why;
	int64_t num;

	buf_init(&why, 400);
	for (unsigned i = 0; i < CONF_N_KEYS; i++) {
		const struct conf_key_info *info =
		    conf_key_info((enum conf_key)i);

		if (conf_view_find(&c->view[info->file], info->name) != NULL ||
		    conf_value_check((enum conf_key)i, info->def, &num, &why))
			continue;
		conf_say(&src[info->file], CONF_ERROR, 0,
		    "%s must be set, as its default %s is not %s", info->name,
		    info->def, buf_cstr(&why));
		buf_reset(&why);
	}
	buf_fini(&why);
}

int
conf_check(const struct conf *c, const char *const paths[CONF_N_FILES],
    conf_report *report, void *arg)
{
	struct conf_source src[CONF_N_FILES];
	int errors = 0;

	for (int i = 0; i < CONF_N_FILES; i++)
		src[i] = (struct conf_source){
			.path = paths[i], .report = report, .arg = arg
		};
	for (int i = 0; i < CONF_N_FILES; i++) {
		const struct conf_view *view = &c->view[i];

		for (size_t j = 0; j < view->n; j++) {
			struct check k = { .c = c, .var = &view->v[j] };

			if (is_told_elsewhere(c, (enum conf_file)i, k.var))
				continue;
			k.src = &src[k.var->from];
			if (conf_key_find(k.var->from, k.var->name, &k.key)) {
				k.info = conf_key_info(k.key);
				check_value(&k);
			} else {
				unknown_name(&k);
			}
		}
	}
	check_defaults(c, src);
	for (int i = 0; i < CONF_N_FILES; i++)
		errors += src[i].errors;
	return errors;
}
