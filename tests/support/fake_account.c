/* CREATE, DELETE, RENAME and SUBSCRIBE of the fake store. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "maildir/account_change.h"
#include "tests/support/fake_impl.h"

struct account_change {
	bool waited;
	int rc;
	struct err e;
	acl_reader *read;
	void *read_arg;
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
	c = change_new(ERR_DENIED);
	(void)err_set(&c->e, ERR_DENIED, "not in memory");
	return c;
}

struct account_change *
account_delete(struct account *a, struct slice name)
{
	(void)a;
	return change_new(fake_named(name) == NULL ? ERR_NOT_FOUND : ERR_BUSY);
}

struct account_change *
account_rename(struct account *a, struct slice from, struct slice to)
{
	static char name[64];
	struct mailbox *m = fake_named(from);

	if (m == NULL || !fake_store.renames || to.n > sizeof(name))
		return account_delete(a, from);
	memcpy(name, to.p, to.n);
	m->name = slice_of(name, to.n);
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
account_acl_change(
    struct account *a, struct slice name, acl_reader *read, void *arg)
{
	struct account_change *c = change_new(0);

	(void)a;
	(void)name;
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
	acl_fini(&list);
}

enum step
account_change_step(
    struct account_change *c, struct waker waker, int *rc, struct err *e)
{
	(void)waker;
	if (fake_waits(&c->waited))
		return STEP_YIELD;
	if (fake_busy() != 0 || c->rc == ERR_BUSY)
		return STEP_WAIT_PEER;
	if (c->read != NULL)
		read_list(c);
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
