#include "tests/crash/order.h"

#include "base/fsx.h"
#include "base/syncer.h"
#include "tests/support/quiet.h"
#include "tests/support/syncs.h"

/* --- the calls ------------------------------------------------------------ */

enum { NOTED_MAX = 2048 };

static struct {
	enum call call;
	char name[CALLS_NAME];
} noted[NOTED_MAX];
static int n_noted;
static struct calls_log *calls;

static void
note(enum call call, const char *name)
{
	if (!call_changes(call) || n_noted == NOTED_MAX)
		return;
	noted[n_noted].call = call;
	(void)snprintf(noted[n_noted].name, sizeof(noted[0].name), "%s", name);
	n_noted++;
}

static bool
is_what(const char *name, enum what what)
{
	bool wal = strcmp(name, "postern.db-wal") == 0;
	bool dir = strcmp(name, "cur") == 0;
	bool mail = name[0] >= '0' && name[0] <= '9';

	switch (what) {
	case WAL:
		return wal;
	case DIR_OF_MAIL:
		return dir;
	case MAIL:
		return mail;
	case BOX:
		return name[0] == '.' && name[1] != '\0';
	case LIST:
		return strcmp(name, "courierimapacl") == 0;
	case DISK:
		return strcmp(name, "(disk)") == 0;
	case ANY:
		return true;
	}
	return false;
}

/* Index of the first or last such call; -1: none. */
int
first_call(enum call call, enum what what)
{
	for (int i = 0; i < n_noted; i++)
		if (noted[i].call == call && is_what(noted[i].name, what))
			return i;
	return -1;
}

int
last_call(enum call call, enum what what)
{
	for (int i = n_noted; i-- > 0;)
		if (noted[i].call == call && is_what(noted[i].name, what))
			return i;
	return -1;
}

int
count_calls(enum call call, enum what what)
{
	int n = 0;

	for (int i = 0; i < n_noted; i++)
		n += noted[i].call == call && is_what(noted[i].name, what);
	return n;
}

void
forget_calls(void)
{
	n_noted = 0;
}

/* --- the syncs ------------------------------------------------------------ */

static bool hold, hold_disks;
static const struct fixture *fixture;
unsigned woken;

static bool
is_held(const struct sync_job *job)
{
	return hold || (hold_disks && job->owner != fixture->account);
}

void
hold_syncs(bool on)
{
	hold = on;
}

void
hold_disk_syncs(bool on)
{
	hold_disks = on;
}

size_t
held_syncs(void)
{
	return syncs_count_held();
}

void
release_syncs(int error)
{
	syncs_release(error);
}

static void
wake(void *arg)
{
	(void)arg;
	woken++;
}

struct waker
order_waker(void)
{
	return (struct waker){ wake, &woken };
}

struct append *
begin_append(struct fixture *f, const char *mailbox, const char *text)
{
	struct append *p;

	assert_int_equal(
	    append_begin(f->account, slice_str(mailbox), &p, NULL), 0);
	assert_int_equal(
	    append_message(p, 0, NULL, 0, 1, 1, f->wall_ms, NULL), 0);
	assert_int_equal(append_write(p, slice_str(text), NULL), 0);
	assert_int_equal(append_message_end(p, NULL), 0);
	return p;
}

enum step
step_append(struct fixture *f, struct append *p, struct waker waker)
{
	enum step step;

	do
		step = append_commit(p, waker, 1, f->wall_ms);
	while (step == STEP_YIELD);
	return step;
}

/* --- the Maildir ---------------------------------------------------------- */

void
order_init(void)
{
	quiet_log();
	calls = calls_log_new();
}

int
order_setup(void **state)
{
	struct fixture *f;
	int rc = fixture_setup(state);

	if (rc != 0)
		return rc;
	f = *state;
	calls_begin(f->path, calls);
	f->syncer = &syncs_holder;
	syncs_holds = is_held;
	fixture = f;
	hold = hold_disks = false;
	syncs_held = NULL;
	fixture_reopen(f);
	n_noted = 0;
	calls_set_watcher(note);
	return 0;
}

void
sync_files_first(struct fixture *f)
{
	f->fsync_always = true;
	fixture_reopen(f);
}

int
order_teardown(void **state)
{
	fsx_set_fault(NULL);
	calls_set_watcher(NULL);
	calls_set_hider(NULL);
	calls_set_birth(0);
	calls_end();
	hold = hold_disks = false;
	release_syncs(0);
	return fixture_teardown(state);
}
