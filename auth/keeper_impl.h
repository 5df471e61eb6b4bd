/*
 * keeper_impl: what the files keeper*.c share.
 *
 * Layer:  auth, of keeper.
 * keeper.c has the signals and the loop, keeper_read.c what is read after the
 * start, keeper_sockets.c the listening sockets, keeper_spawn.c the other
 * processes.
 */
#ifndef AUTH_KEEPER_IMPL_H
#define AUTH_KEEPER_IMPL_H

#include <sys/types.h>

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/keeper.h"
#include "auth/settings.h"
#include "auth/sockets.h"
#include "base/defs.h"
#include "base/secret.h"

enum {
	SOCKETS_MAX = 32,
	HELPERS_MAX = 4096,
	FRONT_PAUSE_MS = 1000, /* after one that died */
};

struct bound {
	int fd;
	enum socket_kind kind;
	char *path;
	bool wanted; /* while reloading */
};

/* What is to be read, or waits for it. */
struct read_wants {
	bool reload;	/* all, for SIGHUP */
	bool watch;	/* a watch of the table, for the front */
	int helpers[2]; /* so many, for slow hashes or not, that come after it
			 */
	int64_t since;	/* of the first of the helpers */
};

/* The process that reads. */
struct reader {
	pid_t pid; /* 0: none */
	int64_t begun;
	bool killed;
	struct read_wants does;
	int image; /* settings_write() */
	int watch; /* or -1 */
};

struct keeper {
	struct keeper_options o;
	struct settings settings;
	/* Of the start: what a reload changes in these counts at the next. */
	char *var;
	uid_t uid; /* of the other processes; (uid_t)-1: as we are */
	gid_t gid;
	char *user; /* NULL: as we are */
	struct bound bound[SOCKETS_MAX];
	int n_bound;
	pid_t front_pid; /* 0: none */
	int front;	 /* socket, or -1 */
	int64_t front_after;
	unsigned n_fronts; /* since the start */
	pid_t helper[HELPERS_MAX];
	int n_helpers;
	int signals;
	sigset_t old_mask;
	struct read_wants wants;
	struct reader reader;
	struct secret secret;
	uint8_t *space;
	bool stopping;
};

/* --- keeper_read.c ------------------------------------------------------- */

void keeper_want_reload(struct keeper *k);
void keeper_want_watch(struct keeper *k);
void keeper_want_helper(struct keeper *k, bool slow);
/* Those were wanted by a front that is gone. */
void keeper_want_no_helpers(struct keeper *k);
/* The reader has ended with this status of waitpid(). */
void keeper_take_read(struct keeper *k, int status);
/* What has waited long enough; how many ms the next may wait, -1: nothing. */
int64_t keeper_check_read(struct keeper *k);
void keeper_end_read(struct keeper *k);

/* --- keeper_sockets.c ---------------------------------------------------- */

/* Make the sockets that are wanted now, drop the others; false: not all. */
bool keeper_make_sockets(struct keeper *k);
/* Stop listening on all. */
void keeper_drop_sockets(struct keeper *k);
/* Give the front a listening socket. */
bool keeper_send_listener(struct keeper *k, const struct bound *b);

/* --- keeper_spawn.c ------------------------------------------------------ */

/* Who the other processes will be; false: there is no such user. */
bool keeper_find_user(struct keeper *k);
/* Tell of another AUTH_USER. */
void keeper_check_user(const struct keeper *k);
/* Make a front; if that fails it isn't tried again for a moment. */
void keeper_spawn_front(struct keeper *k);
/* The front has ended, or won't be spoken with any more. */
void keeper_lose_front(struct keeper *k);
/* Make a helper, with its process for PAM if need be, for the front. */
void keeper_spawn_helper(struct keeper *k, bool slow);
/* What any child does first with the signals and its name. */
void keeper_be_child(const struct keeper *k, const char *name);
void keeper_kill_helper(struct keeper *k, pid_t pid);

/* --- keeper.c ----------------------------------------------------------- */

/* Tell the front its settings; false: it doesn't take them. */
bool keeper_send_config(struct keeper *k);
/* The settings were read anew on SIGHUP: let all go by them. */
void keeper_apply_reload(struct keeper *k);

#endif
