/*
 * conf: the values of the configuration directory.
 *
 * Layer:  server/conf, uses base.
 * keys.def lists every key once: file, name, type, range, default, effect of a
 * reload, text.  The parser, the defaults, `posternd -n` and the lists in the
 * manual pages come from it.  docs/configuration.md tells the forms of the
 * files: Courier's shell files, authdaemonrc, authmysqlrc.
 * Memory: a struct conf owns every string it returns; it is immutable after
 *         conf_load(), and a reload makes a new one.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"

enum conf_file {
	CONF_FILE_IMAPD,
	CONF_FILE_IMAPD_SSL,
	CONF_FILE_POP3D,
	CONF_FILE_POP3D_SSL,
	CONF_FILE_AUTHDAEMONRC,
	CONF_FILE_AUTHMYSQLRC,
	CONF_FILE_AUTHSQLITERC,
	CONF_FILE_POSTERN,
	CONF_N_FILES,
};

#define CONF_BIT(file) (1u << (file))
/*
 * What each daemon reads.  posternd reads authdaemonrc for authdaemonvar, the
 * directory of the sockets between them, and never a file with a password.
 */
#define CONF_SERVER_FILES                                                      \
 (CONF_BIT(CONF_FILE_IMAPD) | CONF_BIT(CONF_FILE_IMAPD_SSL) |                  \
     CONF_BIT(CONF_FILE_POP3D) | CONF_BIT(CONF_FILE_POP3D_SSL) |               \
     CONF_BIT(CONF_FILE_AUTHDAEMONRC) | CONF_BIT(CONF_FILE_POSTERN))
/* What conf_load() takes of these at most, as conf_pack() writes it: the
 * master's children get it in one message. */
enum { CONF_PACKED_MAX = 120 * 1024 };
#define CONF_AUTH_FILES                                                        \
 (CONF_BIT(CONF_FILE_AUTHDAEMONRC) | CONF_BIT(CONF_FILE_AUTHMYSQLRC) |         \
     CONF_BIT(CONF_FILE_AUTHSQLITERC) | CONF_BIT(CONF_FILE_POSTERN))

/* One per row of keys.def: CONF_IMAPD_PORT, CONF_POSTERN_RUNDIR, …: the file
 * as in enum conf_file without CONF_FILE_, then the key. */
enum conf_key {
#define CONF_KEY(file, name, type, min, max, def, flags, text)                 \
 CONF_##file##_##name,
#include "server/conf/keys.def"
#undef CONF_KEY
	CONF_N_KEYS,
};

struct conf;

/*
 * Called for each remark: file and line (0: none), whether it is an error
 * (else a warning or a note), and the text ("expected a number from 1 to …").
 */
typedef void conf_report(
    void *arg, int severity, const char *file, int line, const char *text);
enum { CONF_NOTE, CONF_WARNING, CONF_ERROR };

/*
 * Read the files of the set (CONF_BIT each) below dir.  The files of
 * authdaemond may also be in dir/authlib, or where configure was told when
 * dir is the system's.  A missing file gives its defaults (with a note).
 * report may be NULL; notes tell what has no effect (`posternd -t`).  Returns
 * NULL if there was an error; each has then been reported.  The caller frees
 * by conf_free().
 */
struct conf *conf_load(
    const char *dir, unsigned files, conf_report *report, void *arg) MUST_USE;
void conf_free(struct conf **c);

/*
 * The n-th place, from 0 on, where a file of a directory may be; the first at
 * which there is one is read.  The caller frees; NULL after the last.
 */
char *conf_place(const char *dir, enum conf_file file, unsigned n) MUST_USE;

/* The directory it was read from. */
const char *conf_dir(const struct conf *c);

/* The value as text, its default when the files don't set it; never NULL. */
const char *conf_str(const struct conf *c, enum conf_key key);
/* The value of a number, size or time key, in the unit of keys.def. */
int64_t conf_num(const struct conf *c, enum conf_key key);
/* The value of a yes/no key (1, y…, Y…, t…, T… are yes). */
bool conf_bool(const struct conf *c, enum conf_key key);
/* Whether a file sets it. */
bool conf_is_set(const struct conf *c, enum conf_key key);

/*
 * The same as one service sees it.  Courier reads both files of a pair for
 * each service: for imapd first imapd-ssl, then imapd, so that imapd wins;
 * for imapd-ssl the other way round (likewise pop3d).  The functions above
 * answer for the service of the key's own file; these answer for `service`,
 * CONF_FILE_IMAPD and so on: a key of imapd-ssl (TLS_CERTFILE) asked for
 * service imapd is the one for STARTTLS, and a key of imapd (MAXPERIP) asked
 * for imapd-ssl is the one of port 993.
 */
const char *conf_service_str(
    const struct conf *c, enum conf_file service, enum conf_key key);
int64_t conf_service_num(
    const struct conf *c, enum conf_file service, enum conf_key key);
bool conf_service_bool(
    const struct conf *c, enum conf_file service, enum conf_key key);
bool conf_service_is_set(
    const struct conf *c, enum conf_file service, enum conf_key key);

/*
 * Any name that a file sets, known or not (Courier lets an admin add e.g.
 * AUTHSERVICE993); NULL when it doesn't.
 */
const char *conf_any(
    const struct conf *c, enum conf_file file, const char *name);

/* Call fn for each name that a service's files set. */
void conf_each(const struct conf *c, enum conf_file service,
    void (*fn)(void *arg, const char *name, const char *value), void *arg);

/* `posternd -n`: file by file, each key whose value isn't the default. */
void conf_dump_changed(const struct conf *c, struct buf *out);

/*
 * The wire form that the master hands to its children, and back: NAME=VALUE
 * records of all keys.  conf_unpack returns NULL on foreign bytes.
 */
void conf_pack(const struct conf *c, struct buf *out);
struct conf *conf_unpack(struct slice packed) MUST_USE;

#endif
