/*
 * What is read after the start.
 *
 * A file may be on another machine that has gone away, and whoever looks at it
 * then waits for as long as that takes.  So the keeper, which makes and ends
 * the others, looks at none: a process of its own does, with all the keeper's
 * rights, and leaves what it has read in memory that both see.  Of a reader
 * that hangs nothing is awaited: helpers are made with the settings that are
 * known, and ask again if they find other files.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "auth/file_watch.h"
#include "auth/keeper_impl.h"
#include "auth/table_watch.h"
#include "base/clock.h"
#include "base/log.h"
#include "server/ipc/msg.h"

enum {
	READ_MS = 10 * 1000, /* a reader that takes longer is ended */
	HELPER_MS = 1000,    /* that long a helper is kept waiting for it */
	/* Exit status: a sum of these. */
	READ_NEW = 1,	  /* the image has other settings */
	READ_BAD = 2,	  /* there was an error: it has those of before */
	READ_WATCHED = 4, /* the table is watched */
	READ_DONE = 64,
};

/* --- the reader ----------------------------------------------------------- */

static int
read_settings(struct keeper *k)
{
	const struct reader *r = &k->reader;
	int status = 0;

	if (r->does.reload || settings_changed(&k->settings))
		status = settings_reload(&k->settings, k->o.dir) ? READ_NEW
								 : READ_BAD;
	if (status != 0 && !settings_write(&k->settings, r->image)) {
		log_error("configuration: can't be passed on");
		return READ_BAD;
	}
	/* As a helper does, which reads the table by settings that are the
	 * files' own. */
	if (r->watch >= 0 && table_watch_add(r->watch, &k->settings) &&
	    !settings_changed(&k->settings))
		status |= READ_WATCHED;
	return status;
}

static void
reader_run(struct keeper *k)
{
	keeper_be_child(k, "authd-reader");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* Nobody is kept waiting by a socket that is open here still. */
	for (int i = 0; i < k->n_bound; i++)
		(void)close(k->bound[i].fd);
	if (k->front >= 0)
		(void)close(k->front);
	_exit(READ_DONE | read_settings(k));
}

/* --- the keeper ------------------------------------------------------------
 */

static void
spawn_helpers(struct keeper *k)
{
	for (int slow = 0; slow < 2; slow++)
		for (; k->wants.helpers[slow] > 0; k->wants.helpers[slow]--)
			keeper_spawn_helper(k, slow != 0);
}

static void
close_reader(struct reader *r)
{
	if (r->image >= 0)
		(void)close(r->image);
	if (r->watch >= 0)
		(void)close(r->watch);
	r->image = -1;
	r->watch = -1;
	r->pid = 0;
}

static void
begin(struct keeper *k)
{
	struct reader *r = &k->reader;

	if (r->pid != 0)
		return;
	*r = (struct reader){ .does = k->wants, .begun = clock_now() };
	k->wants.reload = false;
	k->wants.watch = false;
	r->watch = r->does.watch ? file_watch_new() : -1;
	r->image = memfd_create("settings", MFD_CLOEXEC);
	r->pid = r->image >= 0 ? fork() : -1;
	if (r->pid == 0)
		reader_run(k);
	if (r->pid > 0)
		return;
	log_error("configuration: can't be read: %s", strerrordesc_np(errno));
	close_reader(r);
	spawn_helpers(k);
}

void
keeper_want_reload(struct keeper *k)
{
	if (k->stopping)
		return;
	k->wants.reload = true;
	begin(k);
}

void
keeper_want_watch(struct keeper *k)
{
	k->wants.watch = true;
	begin(k);
}

void
keeper_want_helper(struct keeper *k, bool slow)
{
	if (k->wants.helpers[0] + k->wants.helpers[1] == 0)
		k->wants.since = clock_now();
	if (k->wants.helpers[slow] < HELPERS_MAX)
		k->wants.helpers[slow]++;
	begin(k);
}

void
keeper_want_no_helpers(struct keeper *k)
{
	k->wants.helpers[0] = 0;
	k->wants.helpers[1] = 0;
}

static void
send_watch(struct keeper *k)
{
	struct msg_out m;

	if (k->front < 0)
		return;
	msg_begin(&m, MSG_AUTHD_WATCH, 0);
	m.fd = k->reader.watch;
	if (msg_send(k->front, &m) != 0)
		log_error("the front doesn't take its watch");
}

static void
take(struct keeper *k, int done)
{
	const struct reader *r = &k->reader;

	if ((done & (READ_NEW | READ_BAD)) != 0 &&
	    !settings_take(&k->settings, r->image))
		done = READ_BAD;
	if ((done & READ_BAD) != 0)
		log_error("configuration: the one before stays in force");
	else if (r->does.reload)
		keeper_apply_reload(k);
	if ((done & READ_WATCHED) != 0)
		send_watch(k);
}

void
keeper_take_read(struct keeper *k, int status)
{
	struct reader *r = &k->reader;

	if (WIFEXITED(status) && (WEXITSTATUS(status) & READ_DONE) != 0)
		take(k, WEXITSTATUS(status) & ~READ_DONE);
	else if (!r->killed)
		log_error(
		    "configuration: its reader has died (status %d)", status);
	close_reader(r);
	spawn_helpers(k);
	if (k->wants.reload || k->wants.watch)
		begin(k);
}

int64_t
keeper_check_read(struct keeper *k)
{
	struct reader *r = &k->reader;
	int64_t now = clock_now(), left;

	if (r->pid == 0)
		return -1;
	if (!r->killed && now - r->begun >= READ_MS) {
		log_error("configuration: can't be read within %d s: the one "
			  "before stays in force",
		    READ_MS / 1000);
		(void)kill(r->pid, SIGKILL);
		r->killed = true;
	}
	if (r->killed || now - k->wants.since >= HELPER_MS)
		spawn_helpers(k);
	left = r->killed ? -1 : r->begun + READ_MS - now;
	if (k->wants.helpers[0] + k->wants.helpers[1] != 0 &&
	    (left < 0 || k->wants.since + HELPER_MS - now < left))
		left = k->wants.since + HELPER_MS - now;
	return left;
}

void
keeper_end_read(struct keeper *k)
{
	if (k->reader.pid > 0)
		(void)kill(k->reader.pid, SIGKILL);
	close_reader(&k->reader);
}
