#include "auth/settings.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/file_watch.h"
#include "auth/userdb.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/paths.h"
#include "base/siphash.h"
#include "server/conf/conf_words.h"

/* The files that are looked at again, and which module reads each. */
static const struct {
	const char *module;
	enum conf_file file; /* CONF_N_FILES: userdb */
} watched[SETTINGS_N_WATCHED] = {
	{ "authmysql", CONF_FILE_AUTHMYSQLRC },
	{ "authsqlite", CONF_FILE_AUTHSQLITERC },
	{ "authuserdb", CONF_N_FILES },
};

static void
on_report(void *arg, int severity, const char *file, int line, const char *text)
{
	enum log_level level = severity == CONF_ERROR ? LOG_LEVEL_ERROR
	    : severity == CONF_WARNING		      ? LOG_LEVEL_WARN
						      : LOG_LEVEL_DEBUG;

	(void)arg;
	if (line != 0)
		log_line(level, "%s:%d: %s", file, line, text);
	else
		log_line(level, "%s: %s", file, text);
}

/* The n-th place of a watched file; the caller frees; NULL after the last. */
static char *
place(const char *dir, enum conf_file file, unsigned n)
{
	if (file != CONF_N_FILES)
		return conf_place(dir, file, n);
	return n == 0 ? mem_printf("%s/userdb", dir) : NULL;
}

/* They are looked at with each login, so they are put together once. */
static void
keep_places(struct settings *s)
{
	for (int i = 0; i < SETTINGS_N_WATCHED; i++) {
		char **to = s->place[i];
		unsigned n = 0;

		while ((to[n] = place(s->dir, watched[i].file, n)) != NULL) {
			n++;
			assert(n < SETTINGS_PLACES);
		}
	}
}

static uint64_t
hash_of(const char *name, const struct stat *st)
{
	static const uint8_t no_secret[SIPHASH_KEY_LEN];
	const int64_t what[] = { (int64_t)st->st_dev, (int64_t)st->st_ino,
		(int64_t)st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		st->st_ctim.tv_sec, st->st_ctim.tv_nsec };

	return siphash(no_secret, slice_of(what, sizeof(what))) ^
	    siphash(no_secret, slice_str(name));
}

/* Of a directory of files, what they are, in whatever order. */
static bool
stamp_within(const char *path, uint64_t *out)
{
	DIR *d = opendir(path);
	struct dirent *e;
	struct stat st;

	if (d == NULL)
		return false;
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' &&
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			*out += hash_of(e->d_name, &st);
	(void)closedir(d);
	return true;
}

/* False if the file can't be looked at, so that nothing is known of it, or only
 * that it is there, or the files in it can't. */
static bool
stamp(char *const place[SETTINGS_PLACES], struct file_stamp *out)
{
	struct stat st;
	unsigned n;
	int r = -1;

	*out = (struct file_stamp){ 0 };
	for (n = 0; r != 0 && place[n] != NULL; n++) {
		r = stat(place[n], &st);
		if (r != 0 && errno != ENOENT && errno != ENOTDIR)
			return false;
	}
	if (r == 0)
		*out = (struct file_stamp){ .there = true,
			.dev = st.st_dev,
			.ino = st.st_ino,
			.size = st.st_size,
			.mtime = st.st_mtim,
			.ctime = st.st_ctim };
	return r != 0 || !S_ISDIR(st.st_mode) ||
	    stamp_within(place[n - 1], &out->within);
}

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool
same_stamp(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->there == b->there && a->dev == b->dev && a->ino == b->ino &&
	    a->size == b->size && same_time(a->mtime, b->mtime) &&
	    same_time(a->ctime, b->ctime) && a->within == b->within;
}

static void
stamp_all(struct settings *s)
{
	for (int i = 0; i < SETTINGS_N_WATCHED; i++)
		(void)stamp(s->place[i], &s->stamp[i]);
}

static bool
has_shown(const struct settings *s)
{
	return s->outdated || (s->watch >= 0 && !file_watch_is_quiet(s->watch));
}

static bool
has_changed(const struct settings *s, int i)
{
	struct file_stamp now;
	bool seen = stamp(s->place[i], &now);

	if (seen || now.there) {
		/* A directory that may not be read is seen from outside. */
		if (!seen)
			now.within = s->stamp[i].within;
		if (!same_stamp(&s->stamp[i], &now))
			return true;
	}
	return !seen && has_shown(s);
}

bool
settings_changed(const struct settings *s)
{
	for (int i = 0; i < SETTINGS_N_WATCHED; i++)
		if (s->watched[i] && has_changed(s, i))
			return true;
	return false;
}

bool
settings_can_look(const struct settings *s)
{
	struct file_stamp now;

	for (int i = 0; i < SETTINGS_N_WATCHED; i++)
		if (s->watched[i] && !stamp(s->place[i], &now))
			return false;
	return true;
}

void
settings_watch(struct settings *s)
{
	bool ok;

	s->watch = file_watch_new();
	ok = s->watch >= 0;
	for (int i = 0; i < SETTINGS_N_WATCHED; i++)
		for (int n = 0; s->watched[i] && s->place[i][n] != NULL; n++)
			ok = ok && file_watch_add(s->watch, s->place[i][n]);
	if (!ok)
		settings_end_watch(s);
	s->outdated = settings_changed(s);
}

void
settings_end_watch(struct settings *s)
{
	if (s->watch >= 0)
		(void)close(s->watch);
	s->watch = -1;
}

/* --- userdb ------------------------------------------------------------- */

/* A line that can be no account is told once, when its file is read; the others
 * count. */
static void
check_userdb_text(const char *path, struct slice text)
{
	struct slice line;

	for (unsigned n = 1; slice_split(&text, '\n', &line); n++) {
		const char *why = userdb_line_error(line);

		if (why != NULL)
			log_warn("%s:%u: %s; nobody can log in by this line",
			    path, n, why);
	}
}

/* Append a file; one that others may read holds no secrets any more. */
static bool
read_userdb_file(int dirfd, const char *name, const char *path, struct buf *out)
{
	struct stat st;
	ssize_t n = -1;
	uint8_t *to;
	int fd = fsx_open_read(dirfd, name, &st);

	if (fd < 0)
		return false;
	if ((st.st_mode & 077) != 0)
		log_warn("userdb: %s can be read by others", name);
	if (st.st_size >= 0 && st.st_size <= USERDB_MAX &&
	    (to = buf_reserve(out, (size_t)st.st_size + 1)) != NULL)
		n = fsx_pread(fd, to, (size_t)st.st_size, 0);
	if (n >= 0) {
		check_userdb_text(path, slice_of(to, (size_t)n));
		buf_advance(out, (size_t)n);
		buf_putc(out, '\n');
	}
	(void)close(fd);
	return n >= 0;
}

/* Every file of the directory userdb, hidden ones left out. */
static bool
read_userdb_dir(int dirfd, const char *dir, struct buf *out)
{
	DIR *d = fdopendir(dirfd);
	struct dirent *e;
	bool ok = d != NULL;

	while (ok && (e = readdir(d)) != NULL) {
		char *path;

		if (e->d_name[0] == '.')
			continue;
		path = mem_printf("%s/%s", dir, e->d_name);
		ok = read_userdb_file(dirfd, e->d_name, path, out);
		free(path);
	}
	if (d != NULL)
		(void)closedir(d);
	else
		(void)close(dirfd);
	return ok;
}

static void
load_userdb(struct settings *s)
{
	char *path = mem_printf("%s/userdb", s->dir);
	int dirfd;

	buf_init_secret(&s->userdb.text, 2 * (size_t)USERDB_MAX);
	if (settings_lists(s, "authuserdb")) {
		dirfd = fsx_open_dir(AT_FDCWD, path);
		s->userdb.there = dirfd >= 0
		    ? read_userdb_dir(dirfd, path, &s->userdb.text)
		    : read_userdb_file(AT_FDCWD, path, path, &s->userdb.text);
		if (!s->userdb.there)
			log_error("%s: %s", path, strerrordesc_np(errno));
	}
	free(path);
}

/* *s, which is empty, is to be freed in any case. */
static bool
load(struct settings *s, const char *dir)
{
	bool split =
	    dir == NULL && strcmp(POSTERN_SYSCONFDIR, POSTERN_PKGCONFDIR) != 0;

	s->dir = mem_strdup(dir != NULL ? dir : POSTERN_PKGCONFDIR);
	keep_places(s);
	/* Before they are read: a change meanwhile is seen as one. */
	stamp_all(s);
	s->conf = conf_load(s->dir, CONF_AUTH_FILES, on_report, NULL);
	s->postern = s->conf;
	if (split)
		s->postern = conf_load(POSTERN_SYSCONFDIR,
		    CONF_BIT(CONF_FILE_POSTERN), on_report, NULL);
	if (s->conf == NULL || s->postern == NULL)
		return false;
	for (int i = 0; i < SETTINGS_N_WATCHED; i++)
		s->watched[i] = settings_lists(s, watched[i].module);
	load_userdb(s);
	return true;
}

bool
settings_load(struct settings *s, const char *dir)
{
	struct settings n = { .watch = -1, .pam_sock = -1 };

	if (!load(&n, dir)) {
		settings_free(&n);
		return false;
	}
	*s = n;
	return true;
}

bool
settings_reload(struct settings *s, const char *dir)
{
	struct settings n = {
		.watch = -1, .pam_sock = s->pam_sock, .slow = s->slow
	};

	if (!load(&n, dir)) {
		/* Not what the files are by now: what they became since they
		 * were read was not read. */
		memcpy(s->stamp, n.stamp, sizeof(s->stamp));
		settings_free(&n);
		return false;
	}
	n.salt_secret = s->salt_secret;
	s->salt_secret = (struct secret){ 0 };
	settings_free(s);
	*s = n;
	return true;
}

void
settings_free(struct settings *s)
{
	if (s->postern != NULL && s->postern != s->conf)
		conf_free(&s->postern);
	if (s->conf != NULL)
		conf_free(&s->conf);
	free(s->dir);
	for (int i = 0; i < SETTINGS_N_WATCHED; i++)
		for (int n = 0; n < SETTINGS_PLACES; n++)
			free(s->place[i][n]);
	secret_fini(&s->salt_secret);
	buf_fini(&s->userdb.text);
	settings_end_watch(s);
	*s = (struct settings){ .watch = -1, .pam_sock = -1 };
}

const char *
settings_var(const struct settings *s)
{
	return conf_str(s->conf, CONF_AUTHDAEMONRC_authdaemonvar);
}

uint32_t
settings_helpers(const struct settings *s)
{
	int64_t n = conf_num(s->conf, CONF_AUTHDAEMONRC_daemons);

	return n < 1 ? 1 : (uint32_t)n;
}

const char *
settings_user(const struct settings *s)
{
	return conf_str(s->postern, CONF_POSTERN_AUTH_USER);
}

static bool
is_field(const char *value)
{
	return value[0] != '\0' && strcmp(value, "''") != 0;
}

static bool
is_module(struct slice word, const char *name)
{
	return slice_eq(word, slice_str(name)) ||
	    (strcmp(name, "authpam") == 0 &&
		(slice_eq(word, SLICE("authpwd")) ||
		    slice_eq(word, SLICE("authshadow"))));
}

bool
settings_lists(const struct settings *s, const char *module)
{
	struct slice rest =
	    slice_str(conf_str(s->conf, CONF_AUTHDAEMONRC_authmodulelist));
	struct slice word;

	while (conf_word_next(&rest, &word))
		if (is_module(word, module))
			return true;
	return false;
}

bool
settings_has_clear(const struct settings *s)
{
#define IS_FIELD(key) is_field(conf_str(s->conf, CONF_##key))
	return (settings_lists(s, "authmysql") &&
		   (IS_FIELD(AUTHMYSQLRC_MYSQL_CLEAR_PWFIELD) ||
		       IS_FIELD(AUTHMYSQLRC_MYSQL_SELECT_CLAUSE))) ||
	    settings_lists(s, "authuserdb") ||
	    (settings_lists(s, "authsqlite") &&
		(IS_FIELD(AUTHSQLITERC_SQLITE_CLEAR_PWFIELD) ||
		    IS_FIELD(AUTHSQLITERC_SQLITE_SELECT_CLAUSE)));
#undef IS_FIELD
}

/* --- AUTH_SASL_SOCKETS --------------------------------------------------- */

static int
take_owner(
    struct slice field, int n_names, struct sasl_socket *out, struct err *e)
{
	char *name = slice_dup(field);
	struct passwd *pw;
	struct group *gr;
	int result = 0;

	if (n_names == 0) {
		pw = getpwnam(name);
		if (pw != NULL)
			out->uid = pw->pw_uid;
		else
			result = err_set(e, ERR_FORMAT,
			    "AUTH_SASL_SOCKETS: no user named %s", name);
	} else {
		gr = getgrnam(name);
		if (gr != NULL)
			out->gid = gr->gr_gid;
		else
			result = err_set(e, ERR_FORMAT,
			    "AUTH_SASL_SOCKETS: no group named %s", name);
	}
	free(name);
	return result;
}

static bool
take_mode(struct slice field, mode_t *mode)
{
	mode_t v = 0;

	if (field.n == 0 || field.n > 4)
		return false;
	for (size_t i = 0; i < field.n; i++) {
		if (field.p[i] < '0' || field.p[i] > '7')
			return false;
		v = v * 8 + (mode_t)(field.p[i] - '0');
	}
	*mode = v & 0777;
	return true;
}

static int
parse_socket(struct slice word, struct sasl_socket *out, struct err *e)
{
	struct slice rest = word, field;
	int n_names = 0;

	(void)slice_split(&rest, ':', &field);
	/* Room for the ".tmp" that it is made under. */
	if (field.n == 0 || field.p[0] != '/' ||
	    field.n + sizeof(".tmp") > sizeof(out->path))
		return err_set(e, ERR_FORMAT,
		    "AUTH_SASL_SOCKETS: expected an absolute path of at most "
		    "%zu bytes",
		    sizeof(out->path) - sizeof(".tmp"));
	memcpy(out->path, field.p, field.n);
	/* A number is the mode; of the names the first is the owner. */
	while (slice_split(&rest, ':', &field)) {
		if (take_mode(field, &out->mode) || field.n == 0)
			continue;
		if (n_names == 2)
			return err_set(e, ERR_FORMAT,
			    "AUTH_SASL_SOCKETS: expected "
			    "path:mode:user:group");
		if (take_owner(field, n_names++, out, e) != 0)
			return ERR_FORMAT;
	}
	return 1;
}

int
settings_sasl_socket(
    const struct settings *s, int n, struct sasl_socket *out, struct err *e)
{
	struct slice rest =
	    slice_str(conf_str(s->postern, CONF_POSTERN_AUTH_SASL_SOCKETS));
	struct slice word;

	while (conf_word_next(&rest, &word)) {
		if (n-- != 0)
			continue;
		*out = (struct sasl_socket){
			.mode = 0660, .uid = (uid_t)-1, .gid = (gid_t)-1
		};
		return parse_socket(word, out, e);
	}
	return 0;
}
