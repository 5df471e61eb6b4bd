#include "tests/crash/power.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/crash/script.h"

enum { NODES_MAX = 4096 };

struct loss {
	const struct calls_log *log;
	unsigned upto;
	enum power_loss what;
	uint64_t random;
	bool keep[CALLS_MAX];
	unsigned cut[NODES_MAX]; /* entries of a directory: kept before this */
};

static bool
chance(struct loss *l)
{
	/* xorshift64 */
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return (l->random >> 32 & 1) != 0;
}

/* What a sync has made sure of. */
static void
keep_synced(struct loss *l)
{
	const struct op *op = l->log->op;

	for (unsigned i = 0; i < l->upto; i++) {
		if (i < l->log->n_old)
			l->keep[i] = true;
		for (unsigned k = 0; op[i].kind == OP_SYNC_ALL && k < i; k++)
			l->keep[k] = true;
		if (op[i].kind != OP_SYNC)
			continue;
		for (unsigned k = 0; k < i; k++)
			if (op[k].kind == OP_ENTRY ? op[k].dir == op[i].node
						   : op[k].kind != OP_SYNC &&
				    op[k].node == op[i].node)
				l->keep[k] = true;
	}
}

/* And what happens to be there besides. */
static void
keep_more(struct loss *l)
{
	const struct op *op = l->log->op;
	bool stopped[NODES_MAX] = { false };

	for (unsigned i = 0; i < l->upto; i++) {
		bool entry = op[i].kind == OP_ENTRY;

		if (l->keep[i] || l->what == POWER_NOTHING ||
		    (entry && l->what == POWER_BYTES) ||
		    (!entry && l->what == POWER_ENTRIES))
			l->keep[i] = true;
		else if (l->what != POWER_RANDOM)
			continue;
		else if (!entry)
			l->keep[i] = chance(l);
		else if (!stopped[op[i].dir])
			stopped[op[i].dir] =
			    !(l->keep[i] = chance(l) || chance(l) || chance(l));
	}
}

/* Calls are done whole, and each directory's in their order. */
static void
keep_whole(struct loss *l)
{
	const struct op *op = l->log->op;
	bool again = true;

	while (again) {
		again = false;
		for (unsigned i = 0; i < l->upto; i++)
			if (op[i].kind == OP_ENTRY && l->keep[i])
				l->cut[op[i].dir] = i + 1;
		for (unsigned i = 0; i < l->upto; i++) {
			bool sibling = (i > 0 && l->keep[i - 1] &&
					   op[i - 1].kind == OP_ENTRY &&
					   op[i - 1].call == op[i].call) ||
			    (i + 1 < l->upto && l->keep[i + 1] &&
				op[i + 1].kind == OP_ENTRY &&
				op[i + 1].call == op[i].call);

			if (op[i].kind != OP_ENTRY || l->keep[i] ||
			    !(sibling || i < l->cut[op[i].dir]))
				continue;
			l->keep[i] = again = true;
		}
	}
}

/* --- making it ------------------------------------------------------------ */

static void
write_node(const struct loss *l, int node, int fd)
{
	for (unsigned i = 0; i < l->upto; i++) {
		const struct op *op = &l->log->op[i];

		if (!l->keep[i] || op->kind == OP_ENTRY || op->node != node)
			continue;
		if (op->kind == OP_TRUNCATE && ftruncate(fd, (off_t)op->n) != 0)
			abort();
		if (op->kind == OP_WRITE &&
		    pwrite(fd, l->log->bytes + op->data, (size_t)op->n,
			(off_t)op->off) != (ssize_t)op->n)
			abort();
	}
}

/* Whether this is the last that was done to its name. */
static bool
is_last(const struct loss *l, unsigned at)
{
	const struct op *op = l->log->op;

	for (unsigned i = at + 1; i < l->upto; i++)
		if (l->keep[i] && op[i].kind == OP_ENTRY &&
		    op[i].dir == op[at].dir &&
		    strcmp(op[i].name, op[at].name) == 0)
			return false;
	return true;
}

static void
make_file(const struct loss *l, int node, const char *path, const char *kept)
{
	char from[600];
	struct stat st;
	struct timespec t[2];
	int fd;

	(void)snprintf(from, sizeof(from), "%s/%d", kept, node);
	if (stat(from, &st) != 0 || link(from, path) != 0)
		abort();
	fd = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		abort();
	write_node(l, node, fd);
	t[0] = st.st_atim;
	t[1] = st.st_mtim;
	if (futimens(fd, t) != 0)
		abort();
	(void)close(fd);
}

/* A directory, then those in it: no deeper than a mailbox's cur/. */
static void
make_dir(const struct loss *l, int dir, const char *root, const char *kept)
{
	struct {
		int node;
		char path[600];
	} todo[200];
	int n = 1;

	todo[0].node = dir;
	(void)snprintf(todo[0].path, sizeof(todo[0].path), "%s", root);
	for (int at = 0; at < n; at++) {
		if (mkdir(todo[at].path, 0700) != 0)
			abort();
		for (unsigned i = 0; i < l->upto; i++) {
			const struct op *op = &l->log->op[i];
			char path[sizeof(todo[0].path)];

			if (!l->keep[i] || op->kind != OP_ENTRY ||
			    op->dir != todo[at].node || op->node < 0 ||
			    !is_last(l, i))
				continue;
			(void)snprintf(path, sizeof(path), "%.460s/%s",
			    todo[at].path, op->name);
			if (!op->is_dir) {
				make_file(l, op->node, path, kept);
				continue;
			}
			if (n == (int)NELEMS(todo))
				abort();
			todo[n].node = op->node;
			strcpy(todo[n++].path, path);
		}
	}
}

void
power_restore(const struct calls_log *log, unsigned upto, enum power_loss what,
    uint64_t seed, const char *root, const char *kept)
{
	struct loss *l = MEM_NEW(struct loss);

	l->log = log;
	l->upto = upto;
	l->what = what;
	l->random = seed * 0x9e3779b97f4a7c15u + 1;
	keep_synced(l);
	keep_more(l);
	keep_whole(l);
	remove_tree(root);
	make_dir(l, 0, root, kept);
	free(l);
}
