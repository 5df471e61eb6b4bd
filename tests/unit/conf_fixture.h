/*
 * conf_fixture: a configuration directory of its own for each test, and the
 * remarks of a load as text.
 *
 * Layer:  tests.
 * Memory: fixture_end() releases everything, the directory too.
 */
#ifndef TESTS_CONF_FIXTURE_H
#define TESTS_CONF_FIXTURE_H

#include <stdbool.h>

#include "base/buf.h"
#include "server/conf/conf.h"

struct fixture {
	char dir[64];
	struct buf remarks; /* "E imapd:3 text\n", W and N alike */
	struct conf *conf;  /* of the last fixture_load() */
};

void fixture_begin(struct fixture *f);
void fixture_end(struct fixture *f);
/* Write a file of the directory (name may be "authlib/…"). */
void fixture_write(struct fixture *f, const char *name, const char *text);
/* Copy one from tests/unit/data/conf. */
void fixture_copy(struct fixture *f, const char *from, const char *name);
/* Load; true when there is a configuration. */
bool fixture_load(struct fixture *f, unsigned files);
/* Whether a remark contains this text. */
bool fixture_said(struct fixture *f, const char *text);
/* Whether an error or a warning was remarked. */
bool fixture_complained(struct fixture *f);
/* A file below the source directory, NUL-terminated; the caller frees. */
char *fixture_source(const char *path);

#endif
