/*
 * answer: what is asked of a helper, and what it says.
 *
 * Layer:  auth, uses base, ipc.
 * Memory: struct query and struct answer borrow every byte; struct account
 *         owns its bytes and wipes them, since some of them are passwords.
 */
#ifndef AUTH_ANSWER_H
#define AUTH_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/slice.h"
#include "server/ipc/msg.h"

enum {
	/* A login name longer than this is nobody's. */
	USER_NAME_MAX = 512,
	PASSWORD_MAX = 4096,
	/* All fields of an account: they must fit into a message, to the
	 * worker with the path of the Maildir, which has the home in it. */
	ACCOUNT_LENGTH_MAX = 32 * 1024,
};

enum query_op {
	QUERY_LOGIN,	 /* is this the user's password? */
	QUERY_LOOKUP,	 /* the account, without a password (PRE) */
	QUERY_PASSWD,	 /* change the password to extra */
	QUERY_ENUMERATE, /* all accounts, as text in extra */
	QUERY_CRAM,	 /* extra: challenge, password: the hex response */
	QUERY_SCRAM,	 /* the keys of RFC 5802 for a user */
	QUERY_N_OPS,
};

struct query {
	enum query_op op;
	uint32_t budget_ms;	/* the answer is of no use after it */
	struct slice module;	/* only this module; "" all in their order */
	struct slice service;	/* "imap", "pop3", "smtp", … */
	struct slice mechanism; /* hash name of QUERY_CRAM and QUERY_SCRAM */
	struct slice user;
	struct slice password;
	struct slice extra;
	struct slice rip; /* the client's address, or "" */
};

enum verdict {
	VERDICT_OK,
	VERDICT_REJECTED,    /* no such user, wrong password: permanent */
	VERDICT_TEMPORARY,   /* a back end is away */
	VERDICT_UNSUPPORTED, /* this module can't do that */
	VERDICT_MORE,	     /* part of a long answer, more follows */
	VERDICT_STALE,	     /* not tried: the helper must be made anew */
	VERDICT_SLOW,	     /* not tried: work for a helper for slow work */
	/* the password is right, or with SCRAM yet to be shown, but the row is
	 * wrong: until the admin mends it */
	VERDICT_UNUSABLE,
	VERDICT_N,
};

/* The text fields of an account, in the order of Courier's record. */
enum account_field {
	ACCOUNT_USERNAME, /* system account, or "": uid counts */
	ACCOUNT_HOME,
	ACCOUNT_ADDRESS, /* canonical user id */
	ACCOUNT_NAME,
	ACCOUNT_MAILDIR,
	ACCOUNT_QUOTA,
	ACCOUNT_PASSWD,	 /* crypted */
	ACCOUNT_PASSWD2, /* clear */
	ACCOUNT_OPTIONS,
	ACCOUNT_N_FIELDS,
};

/* An account found by a module; owns its fields. */
struct account {
	uint32_t uid, gid;
	struct secret field[ACCOUNT_N_FIELDS];
	struct secret extra; /* of the answer: SCRAM keys */
	struct secret hmac;  /* states of CRAM's hash instead of a password */
	bool by_address;     /* from another one the verdict may be another */
	bool by_file;	     /* as it is until the user table's file changes */
};

/* What comes back for a query; borrowed from the packet it came in. */
struct answer {
	enum verdict verdict;
	uint32_t uid, gid;
	struct slice field[ACCOUNT_N_FIELDS];
	/* of SCRAM: keys; of CRAM: what cram_check_contexts() takes; of an
	 * enumeration: text; of a login: not empty, if the verdict is right for
	 * this client address only */
	struct slice extra;
	/* nothing decided but the user table's file, which can be watched */
	bool by_file;
	/* what was known while the user table is away; no helper says it */
	bool hearsay;
};

void account_init(struct account *a);
/* Wipe and release every field. */
void account_fini(struct account *a);
void account_set(struct account *a, enum account_field f, struct slice value);
static inline struct slice
account_get(const struct account *a, enum account_field f)
{
	return secret_slice(&a->field[f]);
}

/*
 * Whether the account may be handed out: uid and gid not 0, not (uid_t)-1
 * and not below the minimum, a home, no control character in any field but
 * the passwords, no newline there, and all of it not too long.
 * why: what is wrong, for the log.
 */
bool account_check(const struct account *a, uint32_t uid_min, uint32_t gid_min,
    const char **why) MUST_USE;

/*
 * Append each option of defaults ("a=1,b=2") whose name the account lacks
 * (DEFAULTOPTIONS).
 */
void account_merge_options(struct account *a, struct slice defaults);

/* Whether the account has the option; *value is "" where it has none. */
bool answer_option(
    const struct answer *a, struct slice name, struct slice *value) MUST_USE;

/* Whether name is fit to be looked up: not empty, not too long, no control
 * character (a NUL or a newline would mean something to somebody else). */
bool user_name_ok(struct slice name) MUST_USE;

/* The answer that shows an account; borrows from it. */
struct answer answer_of_account(const struct account *a);

/* Queries and answers as messages; false: bytes that aren't one. */
void query_pack(const struct query *q, uint32_t id, struct msg_out *m);
bool query_unpack(struct msg_in *m, struct query *q) MUST_USE;
void answer_pack(const struct answer *a, uint32_t id, struct msg_out *m);
bool answer_unpack(struct msg_in *m, struct answer *a) MUST_USE;

/* "ok", "rejected", …; for logs. */
const char *verdict_name(enum verdict v);

#endif
