/*
 * conf_key: the table of keys.def, and what a value of each type may be.
 *
 * Layer:  server/conf, uses base.  Constants and pure functions.
 * Memory: the table is static; nothing is allocated.
 */
#ifndef CONF_CONF_KEY_H
#define CONF_CONF_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"
#include "server/conf/conf.h"

enum conf_type {
	CONF_TYPE_STRING, /* any text of one line */
	CONF_TYPE_WORD,	  /* no blanks */
	CONF_TYPE_PATH,
	CONF_TYPE_LIST,	      /* words; the line may be broken */
	CONF_TYPE_CAPABILITY, /* a list of capability names */
	CONF_TYPE_NUM,
	CONF_TYPE_BOOL,
	CONF_TYPE_TIME, /* seconds */
	CONF_TYPE_SIZE, /* bytes */
	CONF_TYPE_MODE, /* octal */
	CONF_TYPE_ADDRESS,
	CONF_TYPE_PORTS,
	CONF_TYPE_TLS_PROTOCOL,
	CONF_TYPE_TCPDOPTS,
	CONF_TYPE_AUTHMODULES, /* "authdaemon" or something long gone */
	/* one word of a list */
	CONF_TYPE_VERIFYPEER,
	CONF_TYPE_LOG_LEVEL,
	CONF_TYPE_FACILITY,
	CONF_TYPE_FSYNC,
	CONF_TYPE_PREFIX,
};

enum conf_flag {
	CONF_HONOUR = 1 << 0,
	CONF_IGNORE = 1 << 1,
	CONF_WARN = 1 << 2,
	CONF_REFUSE = 1 << 3,
	CONF_RELOAD = 1 << 4,
};

struct conf_key_info {
	enum conf_file file;
	enum conf_type type;
	const char *name;
	int64_t min;
	int64_t max;
	const char *def;
	unsigned flags; /* enum conf_flag */
	const char *text;
};

/* The row of a key. */
const struct conf_key_info *conf_key_info(enum conf_key key);

/* "imapd-ssl" */
const char *conf_file_name(enum conf_file file);

/*
 * The file that Courier reads along with this one: imapd and imapd-ssl, pop3d
 * and pop3d-ssl; any other is its own partner.
 */
enum conf_file conf_file_partner(enum conf_file file);

/*
 * The key that this name means in this file: a key of the file itself, else
 * of its partner.  False when there is none.
 */
bool conf_key_find(
    enum conf_file file, const char *name, enum conf_key *key) MUST_USE;

/* All keys of this name, whatever their file; returns how many. */
size_t conf_keys_named(const char *name, const enum conf_key **out);

/*
 * Names without a row that are no mistake either: AUTHSERVICE<port>, and the
 * directory variables that configure left in Courier's files (prefix, …).
 */
bool conf_name_is_free(enum conf_file file, const char *name);

/* AUTHSERVICE<port>, and the words that may be its value: they reach PAM and
 * SQL as they are. */
bool conf_is_auth_service(struct slice name);
bool conf_is_service_word(struct slice value);
#define CONF_SERVICE_WORD "a word of letters, digits, '-', '_' and '.'"

/*
 * The known name of this file that is nearest to name by edit distance, or
 * NULL if none is near.
 */
const char *conf_name_nearest(enum conf_file file, const char *name);

/* The other name under which a key may be given, or CONF_N_KEYS. */
enum conf_key conf_key_alias(enum conf_key key);

/*
 * Check a value and give it as a number (lists and texts: 0; a word of a
 * list: its index).  False when it is bad; why then holds what was expected
 * (why may be NULL).
 */
bool conf_value_check(enum conf_key key, const char *value, int64_t *num,
    struct buf *why) MUST_USE;

/* A type whose values may hold line breaks. */
bool conf_type_is_list(enum conf_type type);

#endif
