/*
 * settings: the configuration that authdaemond runs with.
 *
 * Layer:  auth, uses base, conf.
 * Memory: owns the configuration; what it returns lives as long.
 *
 * authdaemonrc, authmysqlrc and authsqliterc may be in a directory of their
 * own (configure's --with-authdaemonrc); postern is always beside imapd.
 */
#ifndef AUTH_SETTINGS_H
#define AUTH_SETTINGS_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/secret.h"
#include "server/conf/conf.h"

/* What tells one version of a file from the next. */
struct file_stamp {
	bool there;
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
	uint64_t within; /* of a directory: its files */
};

enum {
	SETTINGS_N_WATCHED = 3,
	SETTINGS_PLACES = 4, /* of a file, with the NULL behind them */
	USERDB_MAX = 64 * 1024 * 1024,
};

struct settings {
	struct conf *conf;
	struct conf *postern; /* the same one, or another directory's */
	char *dir;
	/* of authmysqlrc, authsqliterc and userdb where they may be, what they
	 * were before they were read, and whether a module of authmodulelist
	 * reads them */
	char *place[SETTINGS_N_WATCHED][SETTINGS_PLACES];
	struct file_stamp stamp[SETTINGS_N_WATCHED];
	bool watched[SETTINGS_N_WATCHED];
	/* what salts of SCRAM are made from; the keeper sets it */
	struct secret salt_secret;
	/* userdb, when authuserdb is among the modules */
	struct {
		bool there;
		struct buf text;
	} userdb;
	/* of a helper that may not look at the files: where a change of them
	 * shows, or -1; whether there was one before it */
	int watch;
	bool outdated;
	int pam_sock; /* of a helper: its process for PAM, or -1 */
	bool slow;    /* of a helper: slow hashes are its work */
};

/*
 * Read everything from dir (NULL: the directories configure was told);
 * remarks go to the log.  False, *s untouched, if there was an error.
 */
bool settings_load(struct settings *s, const char *dir) MUST_USE;
void settings_free(struct settings *s);

/*
 * The same for settings that are in force; the secret for salts and what a
 * helper knows of itself stay.  False, if there was an error: then *s is what
 * it was, but settings_changed() tells of files other than those now read.
 */
bool settings_reload(struct settings *s, const char *dir) MUST_USE;

/*
 * What was read, to a file and from it: for who may not wait for files that
 * may be another machine's.  settings_take() leaves alone what
 * settings_reload() does; false: so it does with all.
 */
bool settings_write(const struct settings *s, int fd) MUST_USE;
bool settings_take(struct settings *s, int fd) MUST_USE;

/*
 * Whether authmysqlrc, authsqliterc or userdb is another file than was read
 * last, if its module is in authmodulelist.  Of a file whose directory may not
 * be searched the watch tells; without one it counts as unchanged.
 */
bool settings_changed(const struct settings *s) MUST_USE;
/* Whether this process may look at the files. */
bool settings_can_look(const struct settings *s) MUST_USE;
/* Watch the files, for a process that won't be able to look at them. */
void settings_watch(struct settings *s);
void settings_end_watch(struct settings *s);

/* Directory of sockets and pid file. */
const char *settings_var(const struct settings *s);
/* How many questions may be worked on at once; at least 1. */
uint32_t settings_helpers(const struct settings *s);
/* Who to be when started as root. */
const char *settings_user(const struct settings *s);

/* Whether authmodulelist names the module; "authpam" also by the names of
 * Courier's modules that it stands for. */
bool settings_lists(const struct settings *s, const char *module);

/* Whether a module may know clear passwords, so that mechanisms that need
 * them can work. */
bool settings_has_clear(const struct settings *s);

/* A socket of AUTH_SASL_SOCKETS. */
struct sasl_socket {
	char path[108];
	mode_t mode;
	uid_t uid; /* (uid_t)-1: as it comes */
	gid_t gid;
};

/*
 * The n-th socket of AUTH_SASL_SOCKETS: path[:mode[:user[:group]]].
 * Returns 1; 0, there are no more; ERR_FORMAT, with e filled.
 */
int settings_sasl_socket(const struct settings *s, int n,
    struct sasl_socket *out, struct err *e) MUST_USE;

#endif
