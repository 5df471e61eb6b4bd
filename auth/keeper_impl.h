/*
 * keeper_impl: what the files keeper*.c share.
 *
 * Layer:  auth, of keeper.
 * keeper.c has the signals and the loop, keeper_sockets.c the listening
 * sockets, keeper_spawn.c the other processes.
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
	pid_t helper[HELPERS_MAX];
	int n_helpers;
	int signals;
	sigset_t old_mask;
	struct secret secret;
	uint8_t *space;
	bool stopping;
};

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
void keeper_kill_helper(struct keeper *k, pid_t pid);

/* --- keeper.c ----------------------------------------------------------- */

/* Tell the front its settings; false: it doesn't take them. */
bool keeper_send_config(struct keeper *k);

#endif
