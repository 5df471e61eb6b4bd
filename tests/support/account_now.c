#include "tests/support/account_now.h"

#include <assert.h>
#include <poll.h>

enum { TRIES = 50, PAUSE_MS = 2 };

static int
drive(struct account_change *c)
{
	int rc = ERR_BUSY;
	enum step step;

	for (int k = 0; k < TRIES; k++) {
		step = account_change_step(c, (struct waker){ 0 }, &rc, NULL);
		assert(step == STEP_DONE || step == STEP_WAIT_PEER);
		if (step == STEP_DONE)
			break;
		(void)poll(NULL, 0, PAUSE_MS);
	}
	account_change_free(&c);
	return rc;
}

static int
read_lines(void *arg, struct acl *out, struct err *e)
{
	const struct slice *lines = arg;

	(void)e;
	acl_parse(*lines, out);
	return 0;
}

int
set_acl_now(struct account *a, struct slice name, struct slice lines)
{
	return drive(account_acl_change(a, name, read_lines, &lines));
}

int
create_now(struct account *a, struct slice name)
{
	return drive(account_create(a, name));
}

int
delete_now(struct account *a, struct slice name)
{
	return drive(account_delete(a, name));
}

int
rename_now(struct account *a, struct slice from, struct slice to)
{
	return drive(account_rename(a, from, to));
}

int
subscribe_now(struct account *a, struct slice name, bool on)
{
	return drive(account_subscribe(a, name, on));
}

int
subscribe_link_now(struct account *a, const struct shared_options *o,
    struct slice name, bool on)
{
	return drive(account_subscribe_link(a, o, name, on));
}
