/*
 * The line of an account's changes, and the phases of each.
 *
 * A change whose owner has gone away (the client did) while the syncer works
 * for it is freed at once; its job goes on alone, and the line waits for it.
 */
#include "maildir/account_change.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/account_change_impl.h"

enum {
	CHANGE_MAGIC = 0x41636863,
	/* names for temporary files that a job may use */
	JOB_NAMES = 65536,
};

struct account_change *
change_new(struct account *a, const struct change_phase *phases,
    struct slice name, const struct slice *to)
{
	struct account_change *c = MEM_NEW(struct account_change);

	MAGIC_CHECK(a, ACCOUNT_MAGIC);
	c->magic = CHANGE_MAGIC;
	c->a = a;
	a->refs++;
	c->phase = phases;
	c->name = slice_dup(name);
	c->to_name = to != NULL ? slice_dup(*to) : NULL;
	buf_init(&c->dir, 1024);
	buf_init(&c->to_dir, 1024);
	buf_init(&c->job_dir, 1024);
	return c;
}

void
account_change_guard(struct account_change *c, change_guard *may, void *arg)
{
	MAGIC_CHECK(c, CHANGE_MAGIC);
	c->guard = may;
	c->guard_arg = arg;
}

int
change_bad_name(struct err *e, int rc)
{
	return rc == 0 ? 0 : err_set(e, rc, "mailbox name: %s", err_name(rc));
}

static char *
tree_name(struct account *a, const char *prefix)
{
	struct file_unique u = store_unique(a->store, store_wall(a->store));
	struct buf path;
	char *copy;

	buf_init(&path, 1024);
	buf_puts(&path, "tmp/");
	buf_puts(&path, prefix);
	file_name_tmp(&path, &u);
	copy = mem_strdup(buf_cstr(&path));
	buf_fini(&path);
	return copy;
}

char *
tree_name_work(struct account *a)
{
	return tree_name(a, TREE_WORK);
}

char *
tree_name_gone(struct account *a)
{
	return tree_name(a, TREE_GONE);
}

void
tree_give_up(struct account *a, const char *work)
{
	char *gone = tree_name_gone(a);

	/* else it is swept up when it is old */
	if (fsx_rename(a->root_fd, work, a->root_fd, gone) == 0)
		a->sweep = true;
	free(gone);
}

/* --- the line ------------------------------------------------------------- */

static void
wake_first(struct account *a)
{
	if (a->changes != NULL && a->change_job == NULL)
		waker_call(a->changes->waker);
}

static void
leave_line(struct account_change *c)
{
	struct account_change **at = &c->a->changes;

	if (!c->in_line)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->in_line = false;
	wake_first(c->a);
}

static bool
is_first(struct account_change *c)
{
	struct account_change **end = &c->a->changes;

	if (!c->in_line) {
		while (*end != NULL)
			end = &(*end)->next;
		c->next = NULL;
		*end = c;
		c->in_line = true;
	}
	return c->a->changes == c &&
	    (c->a->change_job == NULL || c->a->change_job == c->job);
}

/* --- jobs ----------------------------------------------------------------- */

static void
list_free(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static void
job_free(struct change_job *j)
{
	if (j->a != NULL)
		j->a->change_job = NULL;
	if (j->root_fd >= 0)
		(void)close(j->root_fd);
	list_free(j->list, j->n);
	free(j->dir);
	free(j->work);
	free(j->gone);
	free(j->name);
	change_acl_free(&j->acl);
	free(j);
}

/* It has ended without its owner. */
static void
job_drop(void *arg)
{
	struct change_job *j = arg;
	struct account *a = j->a;

	if (a != NULL && (j->rc != 0 || j->made))
		a->sweep = true;
	job_free(j);
	if (a != NULL)
		wake_first(a);
}

void
account_change_abandon(struct account *a)
{
	assert(a->changes == NULL);
	if (a->change_job != NULL)
		a->change_job->a = NULL;
	a->change_job = NULL;
}

static struct change_job *
job_new(struct account_change *c)
{
	struct change_job *j = MEM_NEW(struct change_job);
	struct store *s = c->a->store;

	j->a = c->a;
	j->root_fd = fcntl(c->a->root_fd, F_DUPFD_CLOEXEC, 0);
	if (j->root_fd < 0)
		j->rc = err_sys(&j->e, "open %s", c->a->path);
	j->dir = mem_strdup(buf_cstr(&c->job_dir));
	j->work = tree_name_work(c->a);
	j->gone = tree_name_gone(c->a);
	j->name = mem_strdup(c->name);
	j->list = c->list;
	j->n = c->n_list;
	c->list = NULL;
	c->n_list = 0;
	j->fill = c->fill;
	j->on = c->on;
	j->acl = c->acl;
	c->acl = NULL;
	j->ino = c->ino;
	j->unique = store_unique(s, store_wall(s));
	s->unique += JOB_NAMES;
	return j;
}

static int
run_job(void *arg)
{
	struct change_job *j = arg;

	if (j->rc == 0 && (j->rc = j->run(j, &j->e)) != 0 && !j->made)
		(void)!fsx_rename(j->root_fd, j->work, j->root_fd, j->gone);
	return 0;
}

/* Start it, or take its result. */
static enum step
step_job(struct account_change *c)
{
	struct change_job *j = c->job;

	if (j == NULL) {
		c->sync.done = false;
		j = c->job = c->a->change_job = job_new(c);
		j->run = c->phase->job;
		sync_call(&c->sync, c->a->store->opt.syncer, c->a, run_job,
		    job_drop, j, c->waker);
	}
	if (!c->sync.done) {
		sync_rewake(&c->sync, c->waker);
		return STEP_WAIT_SYNC;
	}
	c->job = NULL;
	c->result = j->rc;
	c->e = j->e;
	if (j->made)
		c->made = mem_strdup(j->dir);
	else if (j->rc != 0)
		c->a->sweep = true;
	job_free(j);
	return STEP_NEXT;
}

/* --- steps ---------------------------------------------------------------- */

static enum step
step_durable(struct account_change *c)
{
	if (!c->durable.started) {
		c->a->root_changes++;
		durable_join_account(&c->durable, c->a);
		durable_start(c->a);
	}
	if (!c->durable.done) {
		c->durable.waker = c->waker;
		return STEP_WAIT_SYNC;
	}
	c->result = c->durable.result;
	if (c->result != 0)
		(void)err_set(&c->e, c->result, "sync %s", c->a->path);
	durable_fini(&c->durable);
	return STEP_NEXT;
}

static enum step
step_phase(struct account_change *c)
{
	if (c->phase->job != NULL)
		return step_job(c);
	if (c->phase->durable)
		return step_durable(c);
	c->result = c->phase->guarded && c->guard != NULL
	    ? c->guard(c->guard_arg, &c->e)
	    : 0;
	if (c->result == 0)
		c->result = c->phase->run(c, &c->e);
	return c->result == ERR_MORE ? STEP_YIELD
	    : c->result == ERR_BUSY  ? STEP_WAIT_PEER
				     : STEP_NEXT;
}

static void
undo(struct account_change *c)
{
	if (c->made != NULL && c->a->root_fd >= 0)
		create_unmake(c->a, c->made);
	free(c->made);
	c->made = NULL;
}

static bool
is_last(const struct change_phase *p)
{
	return p->run == NULL && p->job == NULL && !p->durable;
}

enum step
account_change_step(
    struct account_change *c, struct waker waker, int *rc, struct err *e)
{
	MAGIC_CHECK(c, CHANGE_MAGIC);
	c->waker = waker;
	while (!c->over) {
		enum step step;

		if (!is_first(c))
			return STEP_WAIT_SYNC;
		if ((step = step_phase(c)) != STEP_NEXT)
			return step;
		c->phase++;
		c->over = c->result != 0 || is_last(c->phase);
	}
	if (c->result != 0)
		undo(c);
	free(c->made);
	c->made = NULL;
	leave_line(c);
	*rc = c->result;
	if (e != NULL && c->result != 0)
		*e = c->e;
	return STEP_DONE;
}

void
account_change_free(struct account_change **pc)
{
	struct account_change *c = *pc;

	*pc = NULL;
	if (c == NULL)
		return;
	MAGIC_CHECK(c, CHANGE_MAGIC);
	if (c->job != NULL && c->sync.done)
		job_free(c->job);
	else if (c->job != NULL)
		sync_forget(&c->sync);
	durable_fini(&c->durable);
	undo(c);
	c->waker = (struct waker){ 0 };
	leave_line(c);
	list_free(c->list, c->n_list);
	change_acl_free(&c->acl);
	buf_fini(&c->dir);
	buf_fini(&c->to_dir);
	buf_fini(&c->job_dir);
	free(c->name);
	free(c->to_name);
	account_release(&c->a);
	c->magic = 0;
	free(c);
}
