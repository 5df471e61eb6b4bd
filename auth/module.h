/*
 * module: where accounts come from, and the chain that asks them in turn.
 *
 * Layer:  auth, uses base, conf, answer, passwd.
 * Runs in a helper: every call may block for a few seconds, none for ever.
 * Memory: a module's state is made by open() and ended by close(); the chain
 *         owns the states, and borrows the configuration.
 */
#ifndef AUTH_MODULE_H
#define AUTH_MODULE_H

#include <stdint.h>

#include "auth/answer.h"
#include "auth/passwd.h"
#include "auth/settings.h"
#include "base/defs.h"
#include "server/conf/conf.h"

/* Takes one piece of the text of ENUMERATE; false: nobody listens. */
typedef bool module_sink(void *arg, struct slice text);

/*
 * What a module is asked.  The lookup ends before the deadline (ms of
 * clock_now()) with whatever result; several waits in it share the time.
 */
struct module_call {
	const struct query *query;
	int64_t deadline;
};

struct auth_module {
	const char *name; /* as in authmodulelist */
	/* Take the options; connects to nothing yet. */
	void *(*open)(const struct settings *settings);
	void (*close)(void *self);
	/*
	 * Find the user's account.  Returns VERDICT_OK with *out (initialised
	 * by the caller) filled, PASSWD and PASSWD2 being the stored ones;
	 * VERDICT_REJECTED, no such user; VERDICT_TEMPORARY, logged.
	 * out->by_file: until the file that table_watch.h is about changes,
	 * the same would be found.
	 */
	enum verdict (*lookup)(
	    void *self, const struct module_call *call, struct account *out);
	/*
	 * Instead of lookup, for a module that compares passwords itself: the
	 * same verdicts, for the whole question.
	 */
	enum verdict (*check)(
	    void *self, const struct module_call *call, struct account *out);
	/* Each account as a line of Courier's ENUMERATE; may be NULL. */
	enum verdict (*enumerate)(void *self, const struct module_call *call,
	    module_sink *sink, void *arg);
	/* Store another password for an account that was found with the old
	 * one; may be NULL. */
	enum verdict (*change)(void *self, const struct module_call *call,
	    const struct account *account);
	/*
	 * Whether the password is one of the account's app passwords; if so
	 * the account is marked so, and the use noted.  May be NULL.
	 */
	enum verdict (*app_password)(void *self, const struct module_call *call,
	    struct account *account);
	/* Called when there has been nothing to do; may be NULL. */
	void (*idle)(void *self);
};

/* By its name in authmodulelist; NULL if there is none. */
const struct auth_module *module_find(struct slice name);

struct chain;

/* The modules that authmodulelist names, opened. */
struct chain *chain_new(const struct settings *settings) MUST_USE;
void chain_free(struct chain **c);

/*
 * Ask the modules in their order.  "No such user" and "wrong password" go on
 * to the next; a temporary failure ends the search.  *out, initialised by
 * the caller, is the account when VERDICT_OK.  For QUERY_SCRAM a rejected
 * user has keys too, of chance, for a failure that looks like any other.
 * VERDICT_SLOW: nothing was decided, a chain of slow settings has to.
 */
enum verdict chain_ask(
    struct chain *c, const struct query *q, struct account *out) MUST_USE;

/* All accounts of all modules that can tell. */
enum verdict chain_enumerate(struct chain *c, const struct query *q,
    module_sink *sink, void *arg) MUST_USE;

void chain_idle(struct chain *c);

extern const struct auth_module module_mysql, module_sqlite, module_pam,
    module_userdb;

#endif
