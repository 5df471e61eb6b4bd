/*
 * The configuration as bytes: for the master's children, and for `posternd
 * -n`.  Packed form: the directory, then for each variable of each view one
 * byte with the view, the name and the value; every text ends in a NUL.
 */
#include "config.h"

#include <string.h>

#include "server/conf/conf_impl.h"
#include "server/conf/conf_key.h"

/* --- -n ------------------------------------------------------------------ */

static bool
is_plain(const char *value)
{
	struct slice s = slice_str(value);

	for (size_t i = 0; i < s.n; i++) {
		if (slice_has(SLICE(" \t\n;&|<>()$`\\\"'*?[]#~!{}"), s.p[i]))
			return false;
	}
	return s.n != 0;
}

/* A value as the shell files want it. */
static void
put_quoted(struct buf *out, const char *value)
{
	if (is_plain(value)) {
		buf_puts(out, value);
		return;
	}
	buf_putc(out, '"');
	for (const char *p = value; *p != '\0'; p++) {
		if (slice_has(SLICE("$`\\\""), (uint8_t)*p))
			buf_putc(out, '\\');
		buf_putc(out, (uint8_t)*p);
	}
	buf_putc(out, '"');
}

static void
put_setting(
    struct buf *out, enum conf_file file, const char *name, const char *value)
{
	bool rc =
	    file == CONF_FILE_AUTHMYSQLRC || file == CONF_FILE_AUTHSQLITERC;

	buf_puts(out, name);
	buf_putc(out, rc ? ' ' : '=');
	/* The one value that isn't for eyes. */
	if (strcmp(name, "MYSQL_PASSWORD") == 0)
		buf_puts(out, "********");
	else if (rc)
		buf_puts(out, value);
	else
		put_quoted(out, value);
	buf_putc(out, '\n');
}

/* Whether a variable of a view is worth a line: set there, and different. */
static bool
is_changed(enum conf_file file, const struct conf_var *var)
{
	enum conf_key key;
	int64_t num;
	int64_t def;
	const struct conf_key_info *info;

	if (var->from != file)
		return false; /* has its line under its own file */
	if (!conf_key_find(file, var->name, &key))
		return true;
	info = conf_key_info(key);
	if (strcmp(var->value, info->def) == 0)
		return false;
	if (info->type < CONF_TYPE_NUM || info->type > CONF_TYPE_MODE)
		return true;
	return !conf_value_check(key, var->value, &num, NULL) ||
	    !conf_value_check(key, info->def, &def, NULL) || num != def;
}

void
conf_dump_changed(const struct conf *c, struct buf *out)
{
	MAGIC_CHECK(c, CONF_MAGIC);
	for (int i = 0; i < CONF_N_FILES; i++) {
		enum conf_file file = (enum conf_file)i;
		bool first = true;

		for (size_t j = 0; j < c->view[i].n; j++) {
			const struct conf_var *var = &c->view[i].v[j];

			if (!is_changed(file, var))
				continue;
			if (first)
				buf_putf(out, "# %s/%s\n", c->dir,
				    conf_file_name(file));
			first = false;
			put_setting(out, file, var->name, var->value);
		}
	}
}

/* --- the wire form ------------------------------------------------------- */

static const char pack_magic[] = "conf1";

static void
put_text(struct buf *out, const char *s)
{
	buf_put(out, slice_of(s, strlen(s) + 1));
}

void
conf_pack(const struct conf *c, struct buf *out)
{
	MAGIC_CHECK(c, CONF_MAGIC);
	put_text(out, pack_magic);
	put_text(out, c->dir);
	for (int i = 0; i < CONF_N_FILES; i++) {
		for (size_t j = 0; j < c->view[i].n; j++) {
			const struct conf_var *var = &c->view[i].v[j];

			buf_putc(out, (uint8_t)i);
			buf_putc(out, (uint8_t)var->from);
			put_text(out, var->name);
			put_text(out, var->value);
		}
	}
}

size_t
conf_pack_size(const struct conf *c)
{
	size_t n = sizeof(pack_magic) + strlen(c->dir) + 1;

	for (int i = 0; i < CONF_N_FILES; i++)
		for (size_t j = 0; j < c->view[i].n; j++)
			n += 2 + strlen(c->view[i].v[j].name) + 1 +
			    strlen(c->view[i].v[j].value) + 1;
	return n;
}

/* The next text of the packed form; NULL if there is none. */
static const char *
take_text(struct slice *in)
{
	size_t end = slice_find(*in, '\0');
	const char *s = (const char *)in->p;

	if (end == in->n)
		return NULL;
	*in = slice_skip(*in, end + 1);
	return s;
}

static bool
take_var(struct slice *in, enum conf_file *view, struct conf_var *var)
{
	if (in->n < 2 || in->p[0] >= CONF_N_FILES || in->p[1] >= CONF_N_FILES)
		return false;
	*view = (enum conf_file)in->p[0];
	var->from = (enum conf_file)in->p[1];
	var->line = 0;
	*in = slice_skip(*in, 2);
	var->name = take_text(in);
	if (var->name == NULL || !conf_is_name(slice_str(var->name)))
		return false;
	var->value = take_text(in);
	return var->value != NULL && strlen(var->value) <= CONF_VALUE_MAX;
}

struct conf *
conf_unpack(struct slice packed)
{
	const char *magic = take_text(&packed);
	const char *dir;
	struct conf *c;
	size_t n = 0;

	if (magic == NULL || strcmp(magic, pack_magic) != 0)
		return NULL;
	dir = take_text(&packed);
	if (dir == NULL)
		return NULL;
	c = conf_new(dir);
	while (packed.n != 0) {
		struct conf_var var;
		enum conf_file view;

		if (++n > (size_t)CONF_ASSIGN_MAX * CONF_N_FILES ||
		    !take_var(&packed, &view, &var)) {
			conf_free(&c);
			return NULL;
		}
		conf_view_set(c, view, &var);
	}
	if (!conf_settle(c))
		conf_free(&c);
	return c;
}
