/* CREATE, DELETE, RENAME and SUBSCRIBE of the fake store. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "maildir/account_change.h"
#include "tests/support/fake_impl.h"

enum { LINES_MAX = 1024 * 1024 };

struct account_change {
	bool waited;
	struct mailbox *m; /* whose list is changed, or which is removed */
	char name[64];	   /* of what is made */
	size_t name_n;
	int rc;
	struct err e;
	acl_reader *read;
	void *read_arg;
	change_guard *guard;
	void *guard_arg;
};

static struct account_change *
change_new(int rc)
{
	struct account_change *c = MEM_NEW(struct account_change);

	c->rc = rc;
	fake_store.changes++;
	return c;
}

struct account_change *
account_create(struct account *a, struct slice name)
{
	struct account_change *c;

	(void)a;
	if (fake_named(name) != NULL)
		return change_new(ERR_EXISTS);
	if (fake_store.creates && name.n <= sizeof(c->name)) {
		c = change_new(0);
		memcpy(c->name, name.p, name.n);
		c->name_n = name.n;
		return c;
	}
	c = change_new(ERR_DENIED);
	(void)err_set(&c->e, ERR_DENIED, "not in memory");
	return c;
}

struct account_change *
account_delete(struct account *a, struct slice name)
{
	struct mailbox *m = fake_named(name);
	struct account_change *c;

	(void)a;
	if (m == NULL || !fake_store.creates)
		return change_new(m == NULL ? ERR_NOT_FOUND : ERR_BUSY);
	c = change_new(0);
	c->m = m;
	return c;
}

struct account_change *
account_rename(struct account *a, struct slice from, struct slice to)
{
	struct mailbox *m = fake_named(from);

	(void)a;
	if (m == NULL || !fake_store.renames || to.n > sizeof(m->text))
		return change_new(m == NULL ? ERR_NOT_FOUND : ERR_BUSY);
	if (fake_named(to) != NULL)
		return change_new(ERR_EXISTS);
	fake_rename(m, to);
	m->gone = true;
	return change_new(0);
}

struct account_change *
account_subscribe(struct account *a, struct slice name, bool on)
{
	(void)a;
	(void)name;
	(void)on;
	return change_new(0);
}

struct account_change *
account_subscribe_link(struct account *a, const struct shared_options *o,
    struct slice name, bool on)
{
	struct account_change *c;

	(void)a;
	(void)o;
	(void)on;
	c = change_new(name.n % 2 == 0 ? 0 : ERR_NOT_FOUND);
	if (c->rc != 0)
		(void)err_set(&c->e, c->rc, "no such");
	return c;
}

/* A RENAME is done by now. */
void
account_change_guard(struct account_change *c, change_guard *may, void *arg)
{
	bool renamed = c->rc == 0 && c->m == NULL && c->name_n == 0;

	c->guard = renamed ? NULL : may;
	c->guard_arg = arg;
}

struct account_change *
account_acl_change(
    struct account *a, struct slice name, acl_reader *read, void *arg)
{
	struct account_change *c = change_new(0);

	(void)a;
	c->m = fake_named(name);
	c->read = read;
	c->read_arg = arg;
	return c;
}

static void
read_list(struct account_change *c)
{
	struct acl list;

	acl_init(&list);
	c->rc = c->read(c->read_arg, &list, &c->e);
	if (c->rc == 0 && fake_store.shares && c->m != NULL) {
		struct buf lines;

		buf_init(&lines, LINES_MAX);
		acl_put(&lines, &list);
		free((void *)(uintptr_t)c->m->acl.p);
		c->m->acl =
		    slice_of(slice_dup(buf_slice(&lines)), buf_len(&lines));
		c->m->n_acl++;
		buf_fini(&lines);
	}
	acl_fini(&list);
}

/* Whoever has it open finds it gone. */
static void
remove_mailbox(struct mailbox *m)
{
	fake_empty(m);
	m->gone = true;
	fake_rename(m, slice_of(NULL, 0));
}

static int
make_mailbox(struct slice name)
{
	struct mailbox *m = fake_named(name) == NULL ? fake_free() : NULL;

	if (m == NULL)
		return fake_named(name) == NULL ? ERR_LIMIT : ERR_EXISTS;
	if (m->newest != NULL)
		view_unref(&m->newest);
	fake_make(m, name);
	return 0;
}

enum step
account_change_step(
    struct account_change *c, struct waker waker, int *rc, struct err *e)
{
	int may;

	(void)waker;
	if (fake_waits(&c->waited))
		return STEP_YIELD;
	if (fake_busy() != 0 || c->rc == ERR_BUSY)
		return STEP_WAIT_PEER;
	may =
	    c->rc == 0 && c->guard != NULL ? c->guard(c->guard_arg, &c->e) : 0;
	if (may == ERR_BUSY)
		return STEP_WAIT_PEER;
	if (may != 0)
		c->rc = may;
	else if (c->read != NULL)
		read_list(c);
	else if (c->name_n != 0)
		c->rc = make_mailbox(slice_of(c->name, c->name_n));
	else if (c->m != NULL)
		remove_mailbox(c->m);
	if (c->rc == ERR_BUSY)
		return STEP_WAIT_PEER;
	*rc = c->rc;
	if (e != NULL && c->rc != 0)
		*e = c->e;
	return STEP_DONE;
}

void
account_change_free(struct account_change **c)
{
	if (*c == NULL)
		return;
	fake_store.changes--;
	free(*c);
	*c = NULL;
}
