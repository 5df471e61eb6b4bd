/* The plan, and the tree as the calls have made it. */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/crash/calls_impl.h"

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
static calls_hider *hider;
static const char *keep_dir;

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
calls_set_birth(int64_t wall_s)
{
	birth_s = wall_s;
}

void
calls_set_keep(const char *dir)
{
	keep_dir = dir;
}

const char *
calls_keep(void)
{
	return keep_dir;
}

const char *
calls_boot_id(void)
{
	return boot_id;
}

int64_t
calls_birth(void)
{
	return birth_s;
}

void
calls_set_watcher(calls_watcher *w)
{
	watcher = w;
}

void
calls_set_hider(calls_hider *h)
{
	hider = h;
}

bool
calls_hides(const char *name)
{
	return hider != NULL && hider(name);
}

/* --- the plan ------------------------------------------------------------- */

int
calls_gate(enum call c, const char *name)
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

bool
calls_has_fd(int fd)
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

bool
calls_locate(int dirfd, const char *path, struct calls_spot *out)
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
	} else if (calls_has_fd(dirfd)) {
		node = fd_node[dirfd] - 1;
	} else {
		return false;
	}
	*out = (struct calls_spot){ node, "", node };
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

const char *
calls_fd_name(int fd)
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

void
calls_set_entry(const struct calls_spot *s, int node, bool is_dir)
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

bool
calls_node_is_dir(int node)
{
	for (int i = 0; i < n_entries; i++)
		if (entries[i].node == node)
			return entries[i].is_dir;
	return node == 0;
}

void
calls_note_data(
    enum op_kind kind, int fd, const void *p, uint64_t n, uint64_t off)
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

int
calls_new_node(void)
{
	return n_nodes++;
}

/* --- descriptors ---------------------------------------------------------- */

void
calls_fd_opened(int fd, int node, bool append)
{
	if (fd >= FDS_MAX)
		abort();
	fd_node[fd] = node + 1;
	fd_append[fd] = append;
}

void
calls_fd_copied(int from, int to)
{
	calls_fd_opened(to, fd_node[from] - 1, fd_append[from]);
}

void
calls_fd_closed(int fd)
{
	fd_node[fd] = 0;
}

bool
calls_fd_appends(int fd)
{
	return fd_append[fd];
}
