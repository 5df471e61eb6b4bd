/*
 * conf_script: the three grammars of configuration files, each read into a
 * list of assignments in the order of the file.
 *
 * Layer:  server/conf, uses base.  No I/O; nothing is ever run.
 * Memory: a script owns its names and values until conf_script_fini().
 *
 * Whatever the files say, time and memory are linear in their size, which
 * CONF_FILE_MAX bounds.
 */
#ifndef CONF_CONF_SCRIPT_H
#define CONF_CONF_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"
#include "server/conf/conf.h"

enum {
	CONF_FILE_MAX = 1 << 20, /* bytes of a file */
	CONF_ASSIGN_MAX = 4096,	 /* assignments in a file */
	CONF_NAME_MAX = 100,	 /* bytes of a name */
	CONF_VALUE_MAX = 65536,	 /* bytes of a value, expanded */
	CONF_ERRORS_MAX = 20,	 /* errors reported for a file */
};

/*
 * In a value of a script, a reference to another variable stands as this
 * byte, the name, and this byte again.  It can't come from a file: control
 * bytes are refused there.
 */
enum { CONF_VAR_MARK = 0x01 };

struct conf_assign {
	const char *name;
	const char *value; /* with marked references */
	int line;
};

struct conf_script {
	struct arena mem;
	struct conf_assign *v;
	size_t n;
	size_t cap;
};

/* Where remarks on a file go. */
struct conf_source {
	const char *path;
	conf_report *report; /* may be NULL */
	void *arg;
	int errors; /* counted up */
};

void conf_script_init(struct conf_script *s);
void conf_script_fini(struct conf_script *s);

/* Report on a line of the source (0: on the file). */
void conf_say(struct conf_source *src, int severity, int line, const char *fmt,
    ...) PRINTF_LIKE(4, 5);

/*
 * imapd, imapd-ssl, pop3d, pop3d-ssl, postern: the subset of sh(1) that
 * docs/configuration.md describes.  Command substitution and commands are
 * errors.  Errors are reported and counted; what is good is still read.
 */
void conf_parse_sh(
    struct slice text, struct conf_script *out, struct conf_source *src);

/*
 * authdaemonrc: NAME=VALUE on one line, blanks round "=" allowed, the value
 * in quotes or up to the first "#".
 */
void conf_parse_authdaemonrc(
    struct slice text, struct conf_script *out, struct conf_source *src);

/*
 * authmysqlrc, authsqliterc: NAME blanks VALUE, quotes are part of the value,
 * a "\" at the end joins the next line.  Of two lines with one name only the
 * first becomes an assignment.
 */
void conf_parse_authmysqlrc(
    struct slice text, struct conf_script *out, struct conf_source *src);

/* --- for the grammars ---------------------------------------------------- */

/* Whether s is [A-Za-z_][A-Za-z0-9_]*, not longer than CONF_NAME_MAX. */
bool conf_is_name(struct slice s);

/*
 * Append an assignment; reports and drops it when there are too many or the
 * value (a buf that may have failed) is too long.
 */
void conf_script_add(struct conf_script *s, struct slice name,
    struct buf *value, int line, struct conf_source *src);

/*
 * At text.p[*pos], just behind a "$": take a variable's name, with or without
 * braces, and append its reference to value.  A "$" that starts nothing is
 * itself.  False, after a report, for everything that a shell would run or
 * compute.
 */
bool conf_take_dollar(struct slice text, size_t *pos, int line,
    struct buf *value, struct conf_source *src) MUST_USE;

/*
 * A copy of text without the CR before a line's end (warned of once), in out;
 * false, after a report, if it holds other control bytes.  A lone CR stays.
 */
bool conf_clean_text(
    struct slice text, struct buf *out, struct conf_source *src) MUST_USE;

#endif
