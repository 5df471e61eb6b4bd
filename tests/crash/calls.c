/* The functions below are those of the C library, so no checked variants. */
#undef _FORTIFY_SOURCE
/* With 64 bits both names of a function are here, and none may become the
 * other. */
#ifdef __LP64__
# undef _FILE_OFFSET_BITS
#endif
#include "tests/crash/calls.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FDS_MAX = 4096, NODES_MAX = 4096, ENTRIES_MAX = 4096 };

static struct calls_plan plan;
static struct calls_log *calls;
static char root[512];
static size_t root_n;
static bool active, paused;
static int trace;
static enum call struck;
static const char *boot_id;
static int64_t birth_s;
static calls_watcher *watcher;

/* The descriptors of the tree: node + 1; 0: not of the tree. */
static int fd_node[FDS_MAX];
static bool fd_append[FDS_MAX];

/* The tree as it is now. */
static struct live_entry {
	int dir, node;
	bool is_dir;
	char name[CALLS_NAME];
} entries[ENTRIES_MAX];
static int n_entries, n_nodes;

#define REAL(ret, fn, ...)                                                     \
 static ret (*real_##fn)(__VA_ARGS__);                                         \
 if (real_##fn == NULL)                                                        \
 *(void **)(&real_##fn) = dlsym(RTLD_NEXT, #fn)

/* Those that have another name where an off_t is longer than a long. */
#ifdef __LP64__
# define REAL64(ret, fn, ...) REAL(ret, fn, __VA_ARGS__)
#else
# define REAL64(ret, fn, ...)                                                  \
  static ret (*real_##fn)(__VA_ARGS__);                                        \
  if (real_##fn == NULL)                                                       \
  *(void **)(&real_##fn) = dlsym(RTLD_NEXT, #fn "64")
#endif

const char *
call_name(enum call c)
{
	static const char *const names[CALL_N] = { "none", "create", "write",
		"truncate", "sync", "rename", "link", "unlink", "mkdir",
		"times", "open", "read", "readdir", "stat", "fstat", "dup",
		"close" };

	return names[c];
}

bool
call_changes(enum call c)
{
	return c >= CALL_CREATE && c <= CALL_TIMES;
}

bool
call_may_fail(enum call c, int error)
{
	switch (error) {
	case SHORT_COUNT:
		return c == CALL_WRITE || c == CALL_READ;
	case EINTR:
		/* SQLite takes an fsync() that was interrupted as failed */
		return c == CALL_WRITE || c == CALL_READ || c == CALL_CREATE ||
		    c == CALL_OPEN || c == CALL_CLOSE;
	case ENOSPC:
	case EDQUOT:
		return c == CALL_WRITE || c == CALL_CREATE ||
		    c == CALL_RENAME || c == CALL_LINK || c == CALL_MKDIR;
	case EMFILE:
		return c == CALL_OPEN || c == CALL_CREATE || c == CALL_DUP;
	case EACCES:
		return c == CALL_OPEN || c == CALL_CREATE || c == CALL_RENAME ||
		    c == CALL_LINK || c == CALL_UNLINK || c == CALL_MKDIR ||
		    c == CALL_STAT;
	default:
		return c != CALL_DUP;
	}
}

struct calls_log *
calls_log_new(void)
{
	void *p = mmap(NULL, sizeof(struct calls_log), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

void
calls_begin(const char *path, struct calls_log *log)
{
	(void)snprintf(root, sizeof(root), "%s", path);
	root_n = strlen(root);
	calls = log;
	calls->n_calls = calls->n_changes = calls->n_ops = calls->n_old = 0;
	calls->n_bytes = 0;
	calls_heal();
	n_entries = 0;
	n_nodes = 1;
	memset(fd_node, 0, sizeof(fd_node));
	struck = CALL_NONE;
	active = true;
}

void
calls_arm(const struct calls_plan *p)
{
	/* to look at one failure: 1, what fails; 2, all calls */
	trace = getenv("CRASH_TRACE") != NULL ? atoi(getenv("CRASH_TRACE")) : 0;
	plan = *p;
	calls->n_calls = calls->n_changes = 0;
	calls->n_old = calls->n_ops;
}

void
calls_pause(bool on)
{
	paused = on;
}

void
calls_heal(void)
{
	plan = (struct calls_plan){ 0 };
}

void
calls_end(void)
{
	calls_heal();
	active = false;
}

enum call
calls_struck(void)
{
	return struck;
}

void
calls_set_boot_id(const char *path)
{
	boot_id = path;
}

void
calls_set_watcher(calls_watcher *w)
{
	watcher = w;
}

/* --- the plan ------------------------------------------------------------- */

/* 0: go on; SHORT_COUNT; else errno, which is set. */
static int
gate(enum call c, const char *name)
{
	int error = 0;

	if (paused)
		return 0;
	if (watcher != NULL)
		watcher(c, name);
	if (calls->n_calls < CALLS_MAX)
		calls->kind[calls->n_calls] = (uint8_t)c;
	calls->n_calls++;
	if (trace > 1)
		(void)fprintf(stderr, "call %u: %s %s\n", calls->n_calls,
		    call_name(c), name);
	if (call_changes(c)) {
		calls->n_changes++;
		if (plan.mode == CALLS_KILL && calls->n_changes == plan.at)
			(void)kill(getpid(), SIGKILL);
	}
	if ((plan.mode == CALLS_FAIL && calls->n_calls == plan.at) ||
	    (plan.mode == CALLS_BROKEN && calls->n_calls >= plan.at))
		error = call_may_fail(c, plan.error) ? plan.error : 0;
	if (error != 0) {
		if (struck == CALL_NONE)
			struck = c;
		if (trace > 0)
			(void)fprintf(stderr, "call %u fails: %s %s\n",
			    calls->n_calls, call_name(c), name);
	}
	if (error > 0)
		errno = error;
	return error;
}

/* --- what is where -------------------------------------------------------- */

static bool
has_fd(int fd)
{
	return active && fd >= 0 && fd < FDS_MAX && fd_node[fd] != 0;
}

static int
find_entry(int dir, const char *name, size_t n)
{
	for (int i = 0; i < n_entries; i++)
		if (entries[i].dir == dir && strlen(entries[i].name) == n &&
		    memcmp(entries[i].name, name, n) == 0)
			return i;
	return -1;
}

struct spot {
	int dir;
	const char *name; /* within dir; "" for the root itself */
	int node;	  /* -1: nothing there */
};

/* Where a path leads; false: out of the tree. */
static bool
locate(int dirfd, const char *path, struct spot *out)
{
	int node = 0, at;
	const char *end;

	if (!active)
		return false;
	if (path[0] == '/') {
		if (strncmp(path, root, root_n) != 0 ||
		    (path[root_n] != '/' && path[root_n] != '\0'))
			return false;
		path += root_n;
	} else if (has_fd(dirfd)) {
		node = fd_node[dirfd] - 1;
	} else {
		return false;
	}
	*out = (struct spot){ node, "", node };
	for (;; path = end) {
		path += strspn(path, "/");
		if (*path == '\0')
			return true;
		end = path + strcspn(path, "/");
		if (end - path == 1 && *path == '.')
			continue;
		out->dir = out->node;
		out->name = path;
		at = out->dir < 0
		    ? -1
		    : find_entry(out->dir, path, (size_t)(end - path));
		out->node = at < 0 ? -1 : entries[at].node;
	}
}

/* A name that the file of a descriptor has. */
static const char *
fd_name(int fd)
{
	for (int i = 0; i < n_entries; i++)
		if (entries[i].node == fd_node[fd] - 1)
			return entries[i].name;
	return "";
}

static struct op *
new_op(enum op_kind kind)
{
	struct op *op = &calls->op[calls->n_ops];

	if (calls->n_ops == CALLS_MAX)
		abort();
	*op = (struct op){ .kind = kind, .call = calls->n_calls };
	return op;
}

/* dir/name becomes node; -1: it goes. */
static void
set_entry(const struct spot *s, int node, bool is_dir)
{
	int at = find_entry(s->dir, s->name, strlen(s->name));

	if (node < 0 && at >= 0) {
		entries[at] = entries[--n_entries];
	} else if (node >= 0) {
		if (at < 0)
			at = n_entries++;
		if (at >= ENTRIES_MAX || strlen(s->name) >= CALLS_NAME)
			abort();
		entries[at] = (struct live_entry){ s->dir, node, is_dir, "" };
		strcpy(entries[at].name, s->name);
	}
	if (calls->record) {
		struct op *op = new_op(OP_ENTRY);

		op->dir = s->dir;
		op->node = node;
		op->is_dir = is_dir;
		strcpy(op->name, s->name);
		calls->n_ops++;
	}
}

static bool
node_is_dir(int node)
{
	for (int i = 0; i < n_entries; i++)
		if (entries[i].node == node)
			return entries[i].is_dir;
	return node == 0;
}

static void
note_data(enum op_kind kind, int fd, const void *p, uint64_t n, uint64_t off)
{
	struct op *op;

	if (!calls->record)
		return;
	op = new_op(kind);
	op->node = fd_node[fd] - 1;
	op->off = off;
	op->n = n;
	op->data = calls->n_bytes;
	if (kind == OP_WRITE) {
		if (calls->n_bytes + n > CALLS_BYTES)
			abort();
		memcpy(calls->bytes + calls->n_bytes, p, (size_t)n);
		calls->n_bytes += (size_t)n;
	}
	calls->n_ops++;
}

void
calls_written_back(void)
{
	for (int i = 0; calls->record && i < n_entries; i++) {
		const char *name = entries[i].name;

		/* of the database's log nothing is assumed */
		if (entries[i].is_dir || name[0] < '0' || name[0] > '9')
			continue;
		new_op(OP_SYNC)->node = entries[i].node;
		calls->n_ops++;
	}
}

/* --- descriptors ---------------------------------------------------------- */

static int
do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	bool creates = (flags & O_CREAT) != 0;
	struct spot s;
	int fd;

	REAL64(int, openat, int, const char *, int, ...);
	if (boot_id != NULL &&
	    strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
		path = boot_id;
	if (!locate(dirfd, path, &s))
		return real_openat(dirfd, path, flags, mode);
	creates = creates && s.node < 0;
	if (gate(creates ? CALL_CREATE : CALL_OPEN, path) != 0)
		return -1;
	fd = real_openat(dirfd, path, flags, mode);
	if (fd < 0)
		return -1;
	if (fd >= FDS_MAX)
		abort();
	if (creates) {
		s.node = n_nodes++;
		set_entry(&s, s.node, false);
	}
	fd_node[fd] = s.node + 1;
	fd_append[fd] = (flags & O_APPEND) != 0;
	if ((flags & O_TRUNC) != 0)
		note_data(OP_TRUNCATE, fd, NULL, 0, 0);
	return fd;
}

#define MODE_ARG(flags, mode)                                                  \
 mode_t mode = 0;                                                              \
 if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                 \
  va_list ap;                                                                  \
  va_start(ap, flags);                                                         \
  mode = va_arg(ap, mode_t);                                                   \
  va_end(ap);                                                                  \
 }

int
open(const char *path, int flags, ...)
{
	MODE_ARG(flags, mode)
	return do_open(AT_FDCWD, path, flags, mode);
}

int
openat(int dirfd, const char *path, int flags, ...)
{
	MODE_ARG(flags, mode)
	return do_open(dirfd, path, flags, mode);
}

int
close(int fd)
{
	int failed = 0, rc, keep;

	REAL(int, close, int);
	if (has_fd(fd)) {
		failed = gate(CALL_CLOSE, "");
		fd_node[fd] = 0;
	}
	keep = errno;
	rc = real_close(fd);
	if (failed == 0)
		return rc;
	errno = keep;
	return -1;
}

static int
do_fcntl(int fd, int cmd, long arg)
{
	bool dup = cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC;
	int rc;

	REAL64(int, fcntl, int, int, ...);
	if (dup && has_fd(fd) && gate(CALL_DUP, "") != 0)
		return -1;
	rc = real_fcntl(fd, cmd, arg);
	if (dup && rc >= 0 && has_fd(fd)) {
		fd_node[rc] = fd_node[fd];
		fd_append[rc] = fd_append[fd];
	}
	return rc;
}

int
fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return do_fcntl(fd, cmd, arg);
}

/* --- bytes ---------------------------------------------------------------- */

static size_t
part(size_t n, int failed)
{
	return failed == SHORT_COUNT && n > 1 ? n / 2 : n;
}

ssize_t
read(int fd, void *p, size_t n)
{
	int failed = has_fd(fd) ? gate(CALL_READ, "") : 0;

	REAL(ssize_t, read, int, void *, size_t);
	return failed > 0 ? -1 : real_read(fd, p, part(n, failed));
}

ssize_t
pread(int fd, void *p, size_t n, off_t off)
{
	int failed = has_fd(fd) ? gate(CALL_READ, "") : 0;

	REAL64(ssize_t, pread, int, void *, size_t, off_t);
	/* of a file, only its end makes a count short: SQLite knows that */
	return failed > 0 ? -1 : real_pread(fd, p, n, off);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	int failed = has_fd(fd) ? gate(CALL_WRITE, fd_name(fd)) : 0;
	off_t off = 0;
	ssize_t rc;

	REAL(ssize_t, write, int, const void *, size_t);
	if (failed > 0)
		return -1;
	if (has_fd(fd))
		off = lseek(fd, 0, fd_append[fd] ? SEEK_END : SEEK_CUR);
	rc = real_write(fd, p, part(n, failed));
	if (rc > 0 && has_fd(fd))
		note_data(OP_WRITE, fd, p, (uint64_t)rc, (uint64_t)off);
	return rc;
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t off)
{
	int failed = has_fd(fd) ? gate(CALL_WRITE, fd_name(fd)) : 0;
	ssize_t rc;

	REAL64(ssize_t, pwrite, int, const void *, size_t, off_t);
	if (failed > 0)
		return -1;
	rc = real_pwrite(fd, p, part(n, failed), off);
	if (rc > 0 && has_fd(fd))
		note_data(OP_WRITE, fd, p, (uint64_t)rc, (uint64_t)off);
	return rc;
}

int
ftruncate(int fd, off_t size)
{
	int rc;

	REAL64(int, ftruncate, int, off_t);
	if (has_fd(fd) && gate(CALL_TRUNCATE, fd_name(fd)) != 0)
		return -1;
	rc = real_ftruncate(fd, size);
	if (rc == 0 && has_fd(fd))
		note_data(OP_TRUNCATE, fd, NULL, (uint64_t)size, 0);
	return rc;
}

static int
do_sync(int fd, int (*real)(int))
{
	int rc;

	if (has_fd(fd) && gate(CALL_SYNC, fd_name(fd)) != 0)
		return -1;
	rc = real(fd);
	if (rc == 0 && has_fd(fd))
		note_data(OP_SYNC, fd, NULL, 0, 0);
	return rc;
}

int
fsync(int fd)
{
	REAL(int, fsync, int);
	return do_sync(fd, real_fsync);
}

int
fdatasync(int fd)
{
	REAL(int, fdatasync, int);
	return do_sync(fd, real_fdatasync);
}

int
futimens(int fd, const struct timespec t[2])
{
	REAL(int, futimens, int, const struct timespec[2]);
	if (has_fd(fd) && gate(CALL_TIMES, "") != 0)
		return -1;
	return real_futimens(fd, t);
}

/* --- names ---------------------------------------------------------------- */

static int
do_rename(
    int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	struct spot a, b;
	bool watched = locate(from_fd, from, &a), a_dir, b_dir;
	int rc;

	REAL(int, renameat2, int, const char *, int, const char *, unsigned);
	watched = locate(to_fd, to, &b) && watched;
	if (watched && gate(CALL_RENAME, from) != 0)
		return -1;
	rc = real_renameat2(from_fd, from, to_fd, to, flags);
	if (rc < 0 || !watched)
		return rc;
	a_dir = node_is_dir(a.node);
	b_dir = b.node >= 0 && node_is_dir(b.node);
	if ((flags & RENAME_EXCHANGE) != 0)
		set_entry(&a, b.node, b_dir);
	else
		set_entry(&a, -1, false);
	set_entry(&b, a.node, a_dir);
	return 0;
}

int
rename(const char *from, const char *to)
{
	return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return do_rename(from_fd, from, to_fd, to, 0);
}

int
renameat2(
    int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	return do_rename(from_fd, from, to_fd, to, flags);
}

int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	struct spot a, b;
	bool watched = locate(from_fd, from, &a);
	int rc;

	REAL(int, linkat, int, const char *, int, const char *, int);
	watched = locate(to_fd, to, &b) && watched;
	if (watched && gate(CALL_LINK, from) != 0)
		return -1;
	rc = real_linkat(from_fd, from, to_fd, to, flags);
	if (rc == 0 && watched)
		set_entry(&b, a.node, false);
	return rc;
}

int
unlinkat(int dirfd, const char *path, int flags)
{
	struct spot s;
	bool watched = locate(dirfd, path, &s);
	int rc;

	REAL(int, unlinkat, int, const char *, int);
	if (watched && gate(CALL_UNLINK, path) != 0)
		return -1;
	rc = real_unlinkat(dirfd, path, flags);
	if (rc == 0 && watched)
		set_entry(&s, -1, false);
	return rc;
}

int
unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int
rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int
mkdirat(int dirfd, const char *path, mode_t mode)
{
	struct spot s;
	bool watched = locate(dirfd, path, &s);
	int rc;

	REAL(int, mkdirat, int, const char *, mode_t);
	if (watched && gate(CALL_MKDIR, path) != 0)
		return -1;
	rc = real_mkdirat(dirfd, path, mode);
	if (rc == 0 && watched)
		set_entry(&s, n_nodes++, true);
	return rc;
}

int
mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* --- looking -------------------------------------------------------------- */

int
fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	struct spot s;

	REAL64(int, fstatat, int, const char *, struct stat *, int);
	if (locate(dirfd, path, &s) && gate(CALL_STAT, path) != 0)
		return -1;
	return real_fstatat(dirfd, path, st, flags);
}

int
fstat(int fd, struct stat *st)
{
	REAL64(int, fstat, int, struct stat *);
	if (has_fd(fd) && gate(CALL_FSTAT, "") != 0)
		return -1;
	return real_fstat(fd, st);
}

int
statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx)
{
	struct spot s;
	int rc;

	REAL(int, statx, int, const char *, int, unsigned, struct statx *);
	if (locate(dirfd, path, &s) && gate(CALL_STAT, path) != 0)
		return -1;
	rc = real_statx(dirfd, path, flags, mask, stx);
	if (rc == 0 && birth_s != 0)
		stx->stx_btime.tv_sec = birth_s;
	return rc;
}

void
calls_set_birth(int64_t wall_s)
{
	birth_s = wall_s;
}

struct dirent *
readdir(DIR *d)
{
	int fd = dirfd(d);

	REAL64(struct dirent *, readdir, DIR *);
	if (has_fd(fd) && gate(CALL_READDIR, "") != 0)
		return NULL;
	return real_readdir(d);
}

int
closedir(DIR *d)
{
	int fd = dirfd(d);

	REAL(int, closedir, DIR *);
	if (has_fd(fd))
		fd_node[fd] = 0;
	return real_closedir(d);
}

/* --- the other names of the same functions -------------------------------- */

#ifdef __LP64__
int
open64(const char *path, int flags, ...)
{
	MODE_ARG(flags, mode)
	return do_open(AT_FDCWD, path, flags, mode);
}

int
openat64(int dirfd, const char *path, int flags, ...)
{
	MODE_ARG(flags, mode)
	return do_open(dirfd, path, flags, mode);
}

int
fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return do_fcntl(fd, cmd, arg);
}

ssize_t
pread64(int fd, void *p, size_t n, off_t off)
{
	return pread(fd, p, n, off);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off_t off)
{
	return pwrite(fd, p, n, off);
}

int
ftruncate64(int fd, off_t size)
{
	return ftruncate(fd, size);
}
#endif
