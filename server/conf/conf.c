#include "config.h"

#include "server/conf/conf.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/paths.h"
#include "server/conf/conf_impl.h"
#include "server/conf/conf_key.h"

struct conf *
conf_new(const char *dir)
{
	struct conf *c = MEM_NEW(struct conf);

	c->magic = CONF_MAGIC;
	arena_init(&c->mem, 0);
	c->dir = (const char *)arena_dup(&c->mem, slice_str(dir)).p;
	return c;
}

void
conf_free(struct conf **cp)
{
	struct conf *c = *cp;

	if (c == NULL)
		return;
	MAGIC_CHECK(c, CONF_MAGIC);
	for (int i = 0; i < CONF_N_FILES; i++)
		free(c->view[i].v);
	arena_fini(&c->mem);
	c->magic = 0;
	free(c);
	*cp = NULL;
}

/* --- views --------------------------------------------------------------- */

struct conf_var *
conf_view_find(const struct conf_view *view, const char *name)
{
	for (size_t i = 0; i < view->n; i++) {
		if (strcmp(view->v[i].name, name) == 0)
			return &view->v[i];
	}
	return NULL;
}

void
conf_view_set(struct conf *c, enum conf_file file, const struct conf_var *var)
{
	struct conf_view *view = &c->view[file];
	struct conf_var *slot = conf_view_find(view, var->name);

	c->settled = false;
	if (slot == NULL) {
		if (view->n == view->cap) {
			view->cap = view->cap != 0 ? view->cap * 2 : 32;
			view->v =
			    mem_realloc(view->v, view->cap, sizeof(*view->v));
		}
		slot = &view->v[view->n++];
		slot->name =
		    (const char *)arena_dup(&c->mem, slice_str(var->name)).p;
	}
	slot->value = (const char *)arena_dup(&c->mem, slice_str(var->value)).p;
	slot->from = var->from;
	slot->line = var->line;
}

struct expansion {
	const struct conf *c;
	enum conf_file view;
	int line;
	struct buf *out;
	struct conf_source *src; /* NULL: say nothing */
};

/* Append what a reference stands for; a name not set is nothing, as in sh. */
static void
expand_name(struct expansion *x, struct slice name)
{
	char text[CONF_NAME_MAX + 1];
	const struct conf_var *var;
	enum conf_key key;

	assert(name.n < sizeof(text));
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	var = conf_view_find(&x->c->view[x->view], text);
	if (var != NULL)
		buf_puts(x->out, var->value);
	else if (x->src != NULL && !conf_key_find(x->view, text, &key))
		conf_say(x->src, CONF_WARNING, x->line,
		    "$%s is not set before this line and stands for nothing",
		    text);
}

static void
expand(struct expansion *x, const char *value)
{
	struct slice rest = slice_str(value);
	struct slice piece;
	bool is_name = false;

	while (slice_split(&rest, CONF_VAR_MARK, &piece)) {
		if (is_name)
			expand_name(x, piece);
		else
			buf_put(x->out, piece);
		is_name = !is_name;
	}
}

/*
 * Evaluate one file's assignments into a view.  src is NULL for the partner's
 * file, whose remarks belong to its own view.
 */
static void
evaluate(struct conf *c, enum conf_file view, const struct conf_script *s,
    enum conf_file from, struct conf_source *src)
{
	for (size_t i = 0; i < s->n; i++) {
		struct conf_var var = { .from = from };
		struct buf value;
		struct expansion x = { .c = c,
			.view = view,
			.line = s->v[i].line,
			.out = &value,
			.src = src };

		buf_init(&value, CONF_VALUE_MAX);
		expand(&x, s->v[i].value);
		var.name = s->v[i].name;
		var.line = s->v[i].line;
		var.value = buf_cstr(&value);
		if (buf_ok(&value))
			conf_view_set(c, view, &var);
		else if (src != NULL)
			conf_say(src, CONF_ERROR, var.line,
			    "expected a value of at most %d bytes",
			    CONF_VALUE_MAX);
		buf_fini(&value);
	}
}

/* --- files --------------------------------------------------------------- */

static bool
is_auth_file(enum conf_file file)
{
	return file == CONF_FILE_AUTHDAEMONRC ||
	    file == CONF_FILE_AUTHMYSQLRC || file == CONF_FILE_AUTHSQLITERC;
}

char *
conf_place(const char *dir, enum conf_file file, unsigned n)
{
	const char *name = conf_file_name(file);

	if (n == 0)
		return mem_printf("%s/%s", dir, name);
	/* Courier's two places: one directory for all, or authlib/ below. */
	if (n == 1 && is_auth_file(file))
		return mem_printf("%s/authlib/%s", dir, name);
	if (n == 2 && is_auth_file(file) &&
	    strcmp(dir, POSTERN_SYSCONFDIR) == 0)
		return mem_printf("%s/%s", POSTERN_PKGCONFDIR, name);
	return NULL;
}

/* Where a file is, or would be if it is missing; the caller frees. */
static char *
find_path(const char *dir, enum conf_file file)
{
	char *path = NULL;

	for (unsigned n = 0; (path = conf_place(dir, file, n)) != NULL; n++) {
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	return conf_place(dir, file, 0);
}

/* Others must not read the file that holds the database's password. */
static void
check_mode(enum conf_file file, const struct stat *st, struct conf_source *src)
{
	if (file == CONF_FILE_AUTHMYSQLRC && (st->st_mode & S_IROTH) != 0)
		conf_say(src, CONF_WARNING, 0,
		    "everybody can read it, and it holds a password");
}

/* A missing file is an empty one. */
static bool
read_file(enum conf_file file, struct buf *out, struct conf_source *src)
{
	struct stat st;
	int fd = open(src->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool good;

	if (fd < 0 && errno == ENOENT) {
		conf_say(src, CONF_NOTE, 0, "missing: its defaults are used");
		return true;
	}
	if (fd < 0) {
		conf_say(src, CONF_ERROR, 0, "%s", strerror(errno));
		return false;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		conf_say(src, CONF_ERROR, 0, "expected a regular file");
		(void)close(fd);
		return false;
	}
	check_mode(file, &st, src);
	good = fsx_read_all(fd, out) == 0;
	if (!good && errno == EFBIG)
		conf_say(src, CONF_ERROR, 0, "expected at most %d bytes",
		    CONF_FILE_MAX);
	else if (!good)
		conf_say(src, CONF_ERROR, 0, "%s", strerror(errno));
	(void)close(fd);
	return good;
}

static void
parse(enum conf_file file, struct slice text, struct conf_script *s,
    struct conf_source *src)
{
	switch (file) {
	case CONF_FILE_IMAPD:
	case CONF_FILE_IMAPD_SSL:
	case CONF_FILE_POP3D:
	case CONF_FILE_POP3D_SSL:
	case CONF_FILE_POSTERN:
		conf_parse_sh(text, s, src);
		break;
	case CONF_FILE_AUTHDAEMONRC:
		conf_parse_authdaemonrc(text, s, src);
		break;
	case CONF_FILE_AUTHMYSQLRC:
	case CONF_FILE_AUTHSQLITERC:
		conf_parse_authmysqlrc(text, s, src);
		break;
	case CONF_N_FILES:
		break;
	}
}

static void
load_file(enum conf_file file, struct conf_script *s, struct conf_source *src)
{
	struct buf text;

	buf_init(&text, CONF_FILE_MAX + 16384);
	if (read_file(file, &text, src)) {
		if (buf_len(&text) > CONF_FILE_MAX)
			conf_say(src, CONF_ERROR, 0,
			    "expected at most %d bytes", CONF_FILE_MAX);
		else
			parse(file, buf_slice(&text), s, src);
	}
	buf_fini(&text);
}

/* --- load ---------------------------------------------------------------- */

struct loading {
	struct conf *c;
	unsigned files;
	struct conf_source src[CONF_N_FILES];
	struct conf_script script[CONF_N_FILES];
	char *path[CONF_N_FILES];
	int errors;
};

static void
loading_init(struct loading *l, struct conf *c, conf_report *report, void *arg)
{
	for (int i = 0; i < CONF_N_FILES; i++) {
		l->path[i] = find_path(c->dir, (enum conf_file)i);
		l->src[i] = (struct conf_source){
			.path = l->path[i], .report = report, .arg = arg
		};
		conf_script_init(&l->script[i]);
	}
}

static void
loading_fini(struct loading *l)
{
	for (int i = 0; i < CONF_N_FILES; i++) {
		conf_script_fini(&l->script[i]);
		free(l->path[i]);
	}
}

/* Each view: the partner's file first, so that its own wins. */
static void
evaluate_views(struct loading *l)
{
	for (int i = 0; i < CONF_N_FILES; i++) {
		enum conf_file file = (enum conf_file)i;
		enum conf_file partner = conf_file_partner(file);

		if (partner != file)
			evaluate(
			    l->c, file, &l->script[partner], partner, NULL);
		evaluate(l->c, file, &l->script[i], file, &l->src[i]);
	}
}

static void
check_size(struct loading *l, conf_report *report, void *arg)
{
	struct conf_source src = {
		.path = l->c->dir, .report = report, .arg = arg
	};

	if (l->files != CONF_SERVER_FILES ||
	    conf_pack_size(l->c) <= CONF_PACKED_MAX)
		return;
	conf_say(&src, CONF_ERROR, 0,
	    "expected at most %d bytes of names and values in all files "
	    "together, those of imapd, imapd-ssl, pop3d and pop3d-ssl counted "
	    "for each of the pair",
	    CONF_PACKED_MAX);
	l->errors += src.errors;
}

static void
check_views(struct loading *l, conf_report *report, void *arg)
{
	const char *paths[CONF_N_FILES];

	for (int i = 0; i < CONF_N_FILES; i++) {
		l->errors += l->src[i].errors;
		paths[i] = l->path[i];
	}
	l->errors += conf_check(l->c, paths, report, arg);
	check_size(l, report, arg);
}

struct conf *
conf_load(const char *dir, unsigned files, conf_report *report, void *arg)
{
	struct conf *c = conf_new(dir);
	struct loading l = { .c = c, .files = files };

	loading_init(&l, c, report, arg);
	for (int i = 0; i < CONF_N_FILES; i++) {
		if ((files & CONF_BIT(i)) != 0)
			load_file((enum conf_file)i, &l.script[i], &l.src[i]);
	}
	evaluate_views(&l);
	check_views(&l, report, arg);
	loading_fini(&l);
	if (l.errors != 0 || !conf_settle(c))
		conf_free(&c);
	return c;
}

/* --- values -------------------------------------------------------------- */

/* Whether the key is of the view's file, or of the other one of the pair. */
static bool
is_seen_by(enum conf_key key, enum conf_file view)
{
	enum conf_file file = conf_key_info(key)->file;

	return file == view || file == conf_file_partner(view);
}

/* Settings are asked for with each login: by their place, not by a name. */
static void
index_view(struct conf *c, enum conf_file file)
{
	struct conf_view *view = &c->view[file];

	assert(view->n < UINT16_MAX);
	memset(view->at, 0, sizeof(view->at));
	view->has_auth_service = false;
	for (size_t i = 0; i < view->n; i++) {
		const char *name = view->v[i].name;
		const enum conf_key *key;
		size_t n = conf_keys_named(name, &key);

		for (size_t k = 0; k < n; k++)
			if (is_seen_by(key[k], file))
				view->at[key[k]] = (uint16_t)(i + 1);
		if (n == 0 && conf_is_auth_service(slice_str(name)))
			view->has_auth_service = true;
	}
}

/* The variable that sets a key in a view, by its name or its other name. */
static const struct conf_var *
find_setting(const struct conf *c, enum conf_file view, enum conf_key key)
{
	const struct conf_view *v = &c->view[view];
	enum conf_key other;

	if (v->at[key] != 0)
		return &v->v[v->at[key] - 1];
	other = conf_key_alias(key);
	return other != CONF_N_KEYS && v->at[other] != 0
	    ? &v->v[v->at[other] - 1]
	    : NULL;
}

bool
conf_settle(struct conf *c)
{
	for (int i = 0; i < CONF_N_FILES; i++)
		index_view(c, (enum conf_file)i);
	c->settled = true;
	for (unsigned i = 0; i < CONF_N_KEYS; i++) {
		enum conf_key key = (enum conf_key)i;
		const struct conf_key_info *info = conf_key_info(key);
		const struct conf_var *var = find_setting(c, info->file, key);
		struct conf_value *value = &c->value[i];

		value->set = var != NULL;
		value->text = var != NULL ? var->value : info->def;
		if (!conf_value_check(key, value->text, &value->num, NULL))
			return false;
	}
	return true;
}

const char *
conf_dir(const struct conf *c)
{
	MAGIC_CHECK(c, CONF_MAGIC);
	return c->dir;
}

const char *
conf_str(const struct conf *c, enum conf_key key)
{
	MAGIC_CHECK(c, CONF_MAGIC);
	assert(key < CONF_N_KEYS);
	return c->value[key].text;
}

int64_t
conf_num(const struct conf *c, enum conf_key key)
{
	MAGIC_CHECK(c, CONF_MAGIC);
	assert(key < CONF_N_KEYS);
	return c->value[key].num;
}

bool
conf_bool(const struct conf *c, enum conf_key key)
{
	return conf_num(c, key) != 0;
}

bool
conf_is_set(const struct conf *c, enum conf_key key)
{
	MAGIC_CHECK(c, CONF_MAGIC);
	assert(key < CONF_N_KEYS);
	return c->value[key].set;
}

/* The setting of a key for a service; asserts that it can see the key. */
static const struct conf_var *
service_setting(const struct conf *c, enum conf_file service, enum conf_key key)
{
	MAGIC_CHECK(c, CONF_MAGIC);
	assert(c->settled && is_seen_by(key, service));
	return find_setting(c, service, key);
}

const char *
conf_service_str(
    const struct conf *c, enum conf_file service, enum conf_key key)
{
	const struct conf_var *var = service_setting(c, service, key);

	return var != NULL ? var->value : conf_key_info(key)->def;
}

int64_t
conf_service_num(
    const struct conf *c, enum conf_file service, enum conf_key key)
{
	const char *text = conf_service_str(c, service, key);
	int64_t num;

	/* conf_check() has seen the value in this view, too. */
	if (text == c->value[key].text ||
	    !conf_value_check(key, text, &num, NULL))
		return conf_num(c, key);
	return num;
}

bool
conf_service_bool(
    const struct conf *c, enum conf_file service, enum conf_key key)
{
	return conf_service_num(c, service, key) != 0;
}

bool
conf_service_is_set(
    const struct conf *c, enum conf_file service, enum conf_key key)
{
	return service_setting(c, service, key) != NULL;
}

const char *
conf_any(const struct conf *c, enum conf_file file, const char *name)
{
	const struct conf_var *var;

	MAGIC_CHECK(c, CONF_MAGIC);
	assert(file < CONF_N_FILES);
	var = conf_view_find(&c->view[file], name);
	return var != NULL ? var->value : NULL;
}

void
conf_each(const struct conf *c, enum conf_file service,
    void (*fn)(void *arg, const char *name, const char *value), void *arg)
{
	const struct conf_view *view = &c->view[service];

	MAGIC_CHECK(c, CONF_MAGIC);
	for (size_t i = 0; i < view->n; i++)
		fn(arg, view->v[i].name, view->v[i].value);
}
