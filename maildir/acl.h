/*
 * acl: access control lists (RFC 4314) in the words of Courier's files.
 *
 * Layer:  maildir, uses base.  No I/O: acl_file.h finds and writes the files.
 * A line is "IDENTIFIER RIGHTS", for example "owner aceilrstwx" or
 * "-user=joe w".  Identifiers: owner, anyone, anonymous (the same), user=ID,
 * group=NAME, administrators (= group=administrators); a leading '-' takes
 * rights away.
 * Memory: the entries are the struct's own.
 */
#ifndef MAILDIR_ACL_H
#define MAILDIR_ACL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

/* RFC 4314 2.1; bits in the order of their letters in the files. */
enum acl_right {
	ACL_ADMINISTER = 1,	   /* a */
	ACL_CREATE = 2,		   /* c, in RFC 4314 also k */
	ACL_EXPUNGE = 4,	   /* e */
	ACL_INSERT = 8,		   /* i */
	ACL_LOOKUP = 16,	   /* l */
	ACL_READ = 32,		   /* r */
	ACL_SEEN = 64,		   /* s */
	ACL_DELETE_MESSAGES = 128, /* t */
	ACL_WRITE = 256,	   /* w */
	ACL_DELETE_MAILBOX = 512,  /* x */
	ACL_ALL = 1023,
};

enum { ACL_ENTRIES_MAX = 1000, ACL_IDENTIFIER_MAX = 255 };

struct acl_entry {
	struct slice identifier; /* with its '-' */
	unsigned rights;	 /* enum acl_right */
};

struct acl {
	struct acl_entry *v; /* in the order of the file, none twice */
	size_t n, cap;
	bool by_default; /* it is acl_default(): no list stood anywhere */
	struct arena arena;
};

void acl_init(struct acl *a);
void acl_fini(struct acl *a);

/* What is to be seen of the file that a mailbox's list was read from: as long
 * as that is the same, so is the list. */
struct acl_print {
	uint64_t ino;	  /* 0: no list stood anywhere */
	int64_t ctime_ns; /* 0: not known, unlike any other */
	uint64_t size;
};
/* There was none to be seen. */
extern const struct acl_print acl_print_none;
bool acl_print_same(const struct acl_print *a, const struct acl_print *b);

/* Letters to rights; false: an unknown letter.  RFC 2086's d stands for e, t
 * and x (RFC 4314 2.1.1), k for c. */
bool acl_rights_parse(struct slice letters, unsigned *rights) MUST_USE;
/* Append the letters of the files, in alphabetical order. */
void acl_rights_put(struct buf *out, unsigned rights);

/* Add what the lines of a file say; bad ones are passed over, and so are
 * letters that are no right.  Of several lines with one identifier the last
 * one counts. */
void acl_parse(struct slice bytes, struct acl *out);
/* Append the lines. */
void acl_put(struct buf *out, const struct acl *a);
/* The list of a mailbox that has none: all rights for the owner and for
 * administrators. */
void acl_default(struct acl *out);
/* Set an identifier's rights; 0 removes it.  False: too many entries, or no
 * identifier. */
bool acl_set(struct acl *a, struct slice identifier, unsigned rights) MUST_USE;
/* Give an identifier rights besides those it has. */
bool acl_add(struct acl *a, struct slice identifier, unsigned rights) MUST_USE;
/* The entry of an identifier, or NULL. */
const struct acl_entry *acl_find(const struct acl *a, struct slice identifier);

/* Somebody, as all the identifiers that name him but anyone. */
struct acl_who {
	const struct slice *v; /* "owner", "user=joe", "group=sales" */
	size_t n;
};

/*
 * The rights of somebody: the union of the entries for him less the union of
 * the negative ones (ACL2=UNION).  The owner keeps l and a in any case,
 * administrators all.
 */
unsigned acl_effective(const struct acl *a, struct acl_who who);

/*
 * Whether a list leaves the owner l and a, and administrators all; if not,
 * *loser is the one.  What takes these away must not be written.
 */
bool acl_is_sound(const struct acl *a, struct slice *loser) MUST_USE;

#endif
