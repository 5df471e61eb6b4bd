/*
 * conf_impl: what a struct conf is made of, for the sources of server/conf.
 *
 * Layer:  server/conf, uses base.
 * Memory: as conf.h says.
 *
 * A view is what one service sees: the variables of both files of its pair,
 * evaluated in Courier's order, so that $NAME has the value it would have
 * there.  A file that belongs to no pair is a view of its own.
 */
#ifndef CONF_CONF_IMPL_H
#define CONF_CONF_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "server/conf/conf.h"
#include "server/conf/conf_script.h"

enum { CONF_MAGIC = 0x636f6e66 };

struct conf_var {
	const char *name;
	const char *value;
	enum conf_file from; /* the file of the assignment that counts */
	int line;
};

struct conf_view {
	struct conf_var *v;
	size_t n;
	size_t cap;
	/* Of a settled configuration: the place in v of what sets a key, from
	 * 1 on, or 0; and whether there is an AUTHSERVICE143 or the like. */
	uint16_t at[CONF_N_KEYS];
	bool has_auth_service;
};

struct conf_value {
	const char *text;
	int64_t num;
	bool set;
};

struct conf {
	uint32_t magic;
	const char *dir;
	struct arena mem;
	struct conf_view view[CONF_N_FILES];
	bool settled; /* the views are as conf_settle() saw them */
	struct conf_value value[CONF_N_KEYS];
};

/* An empty configuration; conf_settle() must follow. */
struct conf *conf_new(const char *dir) MUST_USE;

/* The variable of a view, or NULL. */
struct conf_var *conf_view_find(const struct conf_view *view, const char *name);
/* Set or replace one; the strings are copied. */
void conf_view_set(
    struct conf *c, enum conf_file view, const struct conf_var *var);

/*
 * Fill value[] from the views and the defaults.  False if a value is bad,
 * which has to have been reported before.
 */
bool conf_settle(struct conf *c) MUST_USE;

/* Bytes that conf_pack() writes. */
size_t conf_pack_size(const struct conf *c);

/*
 * Check what the files set (types, classes of keys.def, unknown names), one
 * remark for each.  paths: of each file, for the remarks.  Returns the number
 * of errors.
 */
int conf_check(const struct conf *c, const char *const paths[CONF_N_FILES],
    conf_report *report, void *arg);

#endif
