/*
 * access: Courier's access files, which say who may connect.
 *
 * Layer:  server/net, uses base.  access_load() reads files; the rest is
 *         pure.
 * Memory: a struct access owns its rules; it is immutable after loading, and
 *         a change of the file makes a new one.
 *
 * A line is an address, a TAB, and "deny" or "allow[,NAME=value…]".  The
 * address is
 *   192.0.2.7     192.168.0     10.0.0.0/8     (an address, leading octets,
 *   2001:db8::1   2001:db8::/32                 a network)
 *   :2001:0db8    leading words of IPv6, each of four digits
 *   *             everybody
 *   192.0.2.1.143, *.143   for -accesslocal: where the client connected to
 * Only the most specific rule counts; without one the client may connect.
 * Of two rules for the same address the later counts.
 */
#ifndef NET_ACCESS_H
#define NET_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"
#include "server/net/addr.h"

enum {
	ACCESS_FILE_MAX = 16 << 20, /* bytes of all files together */
	ACCESS_RULES_MAX = 200000,
	ACCESS_VARS_MAX = 1000, /* bytes behind "allow," */
};

struct access_rule {
	struct addr_net net; /* bits 0: everybody */
	uint16_t port;	     /* of a rule for -accesslocal, else 0 */
	bool deny;
	uint32_t max_per_address; /* MAXCPERIP, 0: not given */
	const char *vars;	  /* "NAME=value,NAME=value" or "" */
};

struct access;

struct access_reader {
	/* A line with something wrong, which is left out or counts without
	 * it; NULL: nobody wants to know. */
	void (*report)(void *arg, const char *file, int line, bool left_out,
	    const char *text);
	/* What is wrong with a variable but MAXCPERIP: NULL, or a text that is
	 * good until the next call; *bad: the line can't count.  NULL: all
	 * names will do. */
	const char *(*check)(
	    void *arg, struct slice name, struct slice value, bool *bad);
	void *arg;
};

struct access *access_new(void) MUST_USE;
void access_free(struct access **a);

/* Add the rules of a text; then access_seal() once.  reader may be NULL. */
void access_add_text(struct access *a, const char *file, struct slice text,
    const struct access_reader *reader);
void access_seal(struct access *a);

/*
 * Load a file, or all files of a directory in the order of their names except
 * hidden ones and those that package managers leave (.dpkg-*, .rpmsave,
 * .rpmnew, ~).  For "F.dat", which makeimapaccess would make from it, the text
 * F is read.  A path that isn't there gives no rules.  NULL when something
 * can't be read: errno is set, and the old rules should stay.
 */
struct access *access_load(
    const char *path, const struct access_reader *reader) MUST_USE;

/*
 * Whether there is a .dat, but not the text it was made from: somebody wanted
 * rules, and there are none.
 */
bool access_text_is_missing(const char *path) MUST_USE;

/*
 * A number that changes when the file or directory does (0: not there), to
 * see when to load again.
 */
uint64_t access_fingerprint(const char *path);

/* The rule for a client's address, or NULL. */
const struct access_rule *access_find(
    const struct access *a, const struct addr *client);
/* The rule for the address and port it connected to, or NULL. */
const struct access_rule *access_find_local(
    const struct access *a, const struct addr *local, uint16_t port);

/* The value of a variable of a rule; false if it has none of that name. */
bool access_var(
    const struct access_rule *r, const char *name, struct slice *value);

size_t access_count(const struct access *a);

#endif
