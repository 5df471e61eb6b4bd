#include "config.h"

#include "auth/module.h"

#include <sys/random.h>

#include <stdio.h>
#include <stdlib.h>

#include "auth/cram.h"
#include "auth/scram.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/conf/conf_words.h"

static const struct auth_module *const all[] = {
#ifdef WITH_AUTHMYSQL
	&module_mysql,
#endif
	&module_sqlite,
#ifdef WITH_AUTHPAM
	&module_pam,
#endif
	&module_userdb,
};

enum { LINKS_MAX = 16, UID_NOBODY = 65534 };

struct chain {
	uint32_t magic;
	int n;
	struct {
		const struct auth_module *module;
		void *self;
	} link[LINKS_MAX];
	struct passwd_model model;
	const char *default_options;
	uint32_t uid_min, gid_min;
	struct slice salt_secret;
	bool warned_of_nobody;
	bool slow; /* this helper may work on slow hashes */
};

enum { CHAIN_MAGIC = 0x0c4a1215 };

const struct auth_module *
module_find(struct slice name)
{
	for (size_t i = 0; i < NELEMS(all); i++)
		if (slice_eq(slice_str(all[i]->name), name))
			return all[i];
	return NULL;
}

static void
add_link(struct chain *c, struct slice name, const struct settings *settings)
{
	const struct auth_module *m;
	char safe[64];

	/* What they did PAM does. */
	if (slice_eq(name, SLICE("authpwd")) ||
	    slice_eq(name, SLICE("authshadow"))) {
		log_warn("authmodulelist: %s: authpam is asked instead",
		    log_safe(name, safe, sizeof(safe)));
		name = SLICE("authpam");
	}
	m = module_find(name);

	if (m == NULL) {
		log_warn("authmodulelist: no module named %s",
		    log_safe(name, safe, sizeof(safe)));
		return;
	}
	if (c->n == LINKS_MAX)
		return;
	c->link[c->n].module = m;
	c->link[c->n].self = m->open(settings);
	c->n++;
}

struct chain *
chain_new(const struct settings *settings)
{
	const struct conf *conf = settings->conf;
	struct chain *c = MEM_NEW(struct chain);
	struct slice rest =
	    slice_str(conf_str(conf, CONF_AUTHDAEMONRC_authmodulelist));
	struct slice word;

	c->magic = CHAIN_MAGIC;
	c->uid_min =
	    (uint32_t)conf_num(settings->postern, CONF_POSTERN_UID_MIN);
	c->slow = settings->slow;
	c->salt_secret = secret_slice(&settings->salt_secret);
	c->gid_min =
	    (uint32_t)conf_num(settings->postern, CONF_POSTERN_GID_MIN);
	c->default_options = conf_str(conf, CONF_AUTHDAEMONRC_DEFAULTOPTIONS);
	while (conf_word_next(&rest, &word))
		add_link(c, word, settings);
	if (c->n == 0)
		log_error("authmodulelist names no module that there is: "
			  "nobody can log in");
	return c;
}

void
chain_free(struct chain **c)
{
	if (*c == NULL)
		return;
	MAGIC_CHECK(*c, CHAIN_MAGIC);
	for (int i = 0; i < (*c)->n; i++)
		(*c)->link[i].module->close((*c)->link[i].self);
	(*c)->magic = 0;
	free(*c);
	*c = NULL;
}

/* Courier's debug lines; the password is never among them. */
static void
log_account(const struct account *a)
{
	char address[128], home[128], maildir[128];

	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	log_debug("Authenticated: sysusername=%s, sysuserid=%u, "
		  "sysgroupid=%u, homedirectory=%s, address=%s, maildir=%s",
	    a->field[ACCOUNT_USERNAME].n != 0
		? secret_cstr(&a->field[ACCOUNT_USERNAME])
		: "<null>",
	    a->uid, a->gid,
	    log_safe(account_get(a, ACCOUNT_HOME), home, sizeof(home)),
	    log_safe(account_get(a, ACCOUNT_ADDRESS), address, sizeof(address)),
	    log_safe(
		account_get(a, ACCOUNT_MAILDIR), maildir, sizeof(maildir)));
}

/* --- what is asked of an account that was found -------------------------- */

static enum verdict
judge_password(struct chain *c, const struct query *q, struct account *a)
{
	passwd_model_see(&c->model, account_get(a, ACCOUNT_PASSWD));
	if (!c->slow && passwd_is_slow(account_get(a, ACCOUNT_PASSWD)))
		return VERDICT_SLOW;
	if (!passwd_check(account_get(a, ACCOUNT_PASSWD),
		account_get(a, ACCOUNT_PASSWD2), q->password))
		return VERDICT_REJECTED;
	account_set(a, ACCOUNT_PASSWD2, q->password);
	return VERDICT_OK;
}

/* What the front may remember of somebody who got in by CRAM. */
static void
set_contexts(const struct query *q, struct account *a)
{
	struct buf text;

	if (a->hmac.n != 0) {
		secret_set(&a->extra, secret_slice(&a->hmac));
		return;
	}
	buf_init_secret(&text, CRAM_CONTEXTS_MAX);
	if (cram_make_contexts(
		q->mechanism, account_get(a, ACCOUNT_PASSWD2), &text))
		secret_set(&a->extra, buf_slice(&text));
	buf_fini(&text);
}

/* The clear column counts here even beside a hash, as with Courier. */
static enum verdict
judge_cram(const struct query *q, struct account *a)
{
	bool ok = a->hmac.n != 0
	    ? cram_check_contexts(
		  q->mechanism, secret_slice(&a->hmac), q->extra, q->password)
	    : cram_check(q->mechanism, account_get(a, ACCOUNT_PASSWD2),
		  q->extra, q->password);

	if (ok)
		set_contexts(q, a);
	return ok ? VERDICT_OK : VERDICT_REJECTED;
}

static void
set_keys(struct account *a, struct scram_keys *k)
{
	struct buf text;

	buf_init_secret(&text, 1024);
	scram_keys_put(k, &text);
	secret_set(&a->extra, buf_slice(&text));
	buf_fini(&text);
	secret_wipe(k, sizeof(*k));
}

/* Keys of a password, with the salt that always belongs to the name. */
static bool
make_keys(const struct chain *c, const struct query *q, enum scram_hash h,
    struct slice password, struct account *a)
{
	struct scram_keys k = { .hash = h,
		.iterations = SCRAM_ITERATIONS,
		.salt_len = SCRAM_SALT_LEN };

	scram_salt_for(c->salt_secret, q->user, k.salt);
	if (!scram_keys_make(&k, password))
		return false;
	set_keys(a, &k);
	return true;
}

static enum verdict
judge_scram(const struct chain *c, const struct query *q, struct account *a)
{
	struct slice clear = account_get(a, ACCOUNT_PASSWD2);
	struct scram_keys k;
	enum scram_hash h;
	bool ok = false;

	if (!scram_hash_find(q->mechanism, &h))
		return VERDICT_UNSUPPORTED;
	if (passwd_scram_keys(account_get(a, ACCOUNT_PASSWD), h, &k)) {
		set_keys(a, &k);
		ok = true;
	} else if (clear.n != 0) {
		ok = make_keys(c, q, h, clear, a);
	}
	/* The front has no use for them. */
	account_set(a, ACCOUNT_PASSWD, slice_of("", 0));
	account_set(a, ACCOUNT_PASSWD2, slice_of("", 0));
	return ok ? VERDICT_OK : VERDICT_REJECTED;
}

/* Keys for somebody who isn't there, by the same work. */
static void
fake_keys(const struct chain *c, const struct query *q, struct account *a)
{
	uint8_t password[16];
	enum scram_hash h;

	if (scram_hash_find(q->mechanism, &h) &&
	    getrandom(password, sizeof(password), 0) ==
		(ssize_t)sizeof(password))
		(void)!make_keys(
		    c, q, h, slice_of(password, sizeof(password)), a);
}

static enum verdict
judge_op(struct chain *c, const struct query *q, struct account *a)
{
	switch (q->op) {
	case QUERY_LOGIN:
	case QUERY_PASSWD:
		return judge_password(c, q, a);
	case QUERY_CRAM:
		return judge_cram(q, a);
	case QUERY_SCRAM:
		return judge_scram(c, q, a);
	case QUERY_LOOKUP:
		return VERDICT_OK;
	case QUERY_ENUMERATE:
	case QUERY_N_OPS:
		break;
	}
	return VERDICT_UNSUPPORTED;
}

/* A component .. in a path. */
static bool
has_dotdot(struct slice path)
{
	struct slice piece;

	while (slice_split(&path, '/', &piece))
		if (slice_eq(piece, SLICE("..")))
			return true;
	return false;
}

/* For service courier the maildir is an instruction for delivery. */
static bool
check_paths(const struct query *q, const struct account *a, const char **why)
{
	struct slice home = account_get(a, ACCOUNT_HOME);

	if (home.p[0] != '/')
		*why = "the home directory isn't an absolute path";
	else if (has_dotdot(home))
		*why = ".. in the home directory";
	else if (!slice_eq(q->service, SLICE("courier")) &&
	    has_dotdot(account_get(a, ACCOUNT_MAILDIR)))
		*why = ".. in the maildir";
	else
		return true;
	return false;
}

/* The default of old schemas: it works, but every mailbox has one owner whom
 * the system uses for what has none. */
static void
warn_of_nobody(struct chain *c, const struct query *q, const struct account *a)
{
	char safe[128];

	if (a->uid != UID_NOBODY || c->warned_of_nobody)
		return;
	c->warned_of_nobody = true;
	log_warn("account %s has uid %u, the system's nobody",
	    log_safe(q->user, safe, sizeof(safe)), UID_NOBODY);
}

/* Why the account can't be used; NULL: it can. */
static const char *
find_fault(
    const struct chain *c, const struct query *q, const struct account *a)
{
	const char *why;

	return account_check(a, c->uid_min, c->gid_min, &why) &&
		check_paths(q, a, &why)
	    ? NULL
	    : why;
}

static void
log_fault(const struct query *q, const char *why)
{
	char safe[128];

	log_error("account %s can't be used: %s",
	    log_safe(q->user, safe, sizeof(safe)), why);
}

/*
 * Only who has the password is told of the fault: to all others the account is
 * as any other.  With SCRAM that is known when the keys have been used.
 */
static enum verdict
refuse_account(const struct query *q, struct account *a)
{
	struct secret keys = { 0 };

	if (q->op == QUERY_SCRAM)
		secret_set(&keys, secret_slice(&a->extra));
	account_fini(a); /* it may be longer than a message */
	a->extra = keys;
	return VERDICT_UNUSABLE;
}

/* Does what was asked agree with the account?  compare: the module hasn't done
 * that itself. */
static enum verdict
judge(struct chain *c, const struct query *q, struct account *a, bool compare)
{
	enum verdict v;

	warn_of_nobody(c, q, a);
	v = compare ? judge_op(c, q, a) : VERDICT_OK;
	if (v == VERDICT_OK)
		account_merge_options(a, slice_str(c->default_options));
	return v;
}

/* Somebody who isn't there costs what somebody who is would. */
static enum verdict
burn(const struct chain *c, const struct query *q)
{
	if (!c->slow && passwd_model_is_slow(&c->model))
		return VERDICT_SLOW;
	passwd_model_burn(&c->model, q->password);
	return VERDICT_REJECTED;
}

static void
log_verdict(
    const struct auth_module *m, enum verdict v, const struct account *a)
{
	if (v == VERDICT_OK)
		log_account(a);
	else if (v == VERDICT_TEMPORARY || v == VERDICT_UNUSABLE)
		log_debug(
		    "%s: TEMPFAIL - no more modules will be tried", m->name);
	else
		log_debug("%s: REJECT - try next module", m->name);
}

/* Not the account's own password: one of those for single programs? */
static enum verdict
try_app_password(struct chain *c, const struct auth_module *m, void *self,
    const struct module_call *call, struct account *out)
{
	enum verdict v;

	if (call->query->op != QUERY_LOGIN || m->app_password == NULL)
		return VERDICT_REJECTED;
	v = m->app_password(self, call, out);
	if (v != VERDICT_OK)
		return v;
	account_set(out, ACCOUNT_PASSWD, slice_of("", 0));
	account_set(out, ACCOUNT_PASSWD2, call->query->password);
	account_merge_options(out, slice_str(c->default_options));
	out->by_file = false; /* each use is noted */
	return VERDICT_OK;
}

static enum verdict
ask_module(
    struct chain *c, int i, const struct module_call *call, struct account *out)
{
	const struct auth_module *m = c->link[i].module;
	void *self = c->link[i].self;
	const char *fault = NULL;
	enum verdict v;

	log_debug("%s: trying this module", m->name);
	/* PAM takes as long as its modules like. */
	if (m->check != NULL && !c->slow && call->query->op != QUERY_LOOKUP)
		return VERDICT_SLOW;
	v = m->check != NULL ? m->check(self, call, out)
			     : m->lookup(self, call, out);
	if (v == VERDICT_OK) {
		fault = find_fault(c, call->query, out);
		v = judge(c, call->query, out, m->check == NULL);
		if (v == VERDICT_REJECTED)
			v = try_app_password(c, m, self, call, out);
	} else if (v == VERDICT_REJECTED && call->query->op == QUERY_LOGIN &&
	    m->check == NULL)
		v = burn(c, call->query);
	if (fault != NULL && v != VERDICT_SLOW)
		log_fault(call->query, fault);
	if (fault != NULL && v == VERDICT_OK)
		v = refuse_account(call->query, out);
	if (v == VERDICT_OK && call->query->op == QUERY_PASSWD &&
	    m->check == NULL)
		v = m->change != NULL ? m->change(self, call, out)
				      : VERDICT_UNSUPPORTED;
	log_verdict(m, v, out);
	return v;
}

static bool
is_asked(const struct auth_module *m, const struct query *q)
{
	return q->module.n == 0 || slice_eq(q->module, slice_str(m->name));
}

/* For the front, which may remember the verdict. */
static void
note_address(const struct query *q, bool by_address, struct account *out)
{
	if (by_address && q->op == QUERY_LOGIN)
		secret_set(&out->extra, SLICE("rip"));
}

enum verdict
chain_ask(struct chain *c, const struct query *q, struct account *out)
{
	struct module_call call = { q, clock_now() + q->budget_ms };
	bool by_address = false;

	MAGIC_CHECK(c, CHAIN_MAGIC);
	/* Without any module nothing can be known of anybody. */
	if (c->n == 0)
		return VERDICT_TEMPORARY;
	for (int i = 0; i < c->n; i++) {
		enum verdict v;

		if (!is_asked(c->link[i].module, q))
			continue;
		v = ask_module(c, i, &call, out);
		/* What the modules before it refused was their word too, and
		 * one that was named isn't all of them. */
		out->by_file = out->by_file && i == 0 && q->module.n == 0;
		by_address = by_address || out->by_address;
		if (v == VERDICT_OK)
			note_address(q, by_address, out);
		if (v == VERDICT_OK || v == VERDICT_TEMPORARY ||
		    v == VERDICT_UNUSABLE || v == VERDICT_SLOW)
			return v;
		account_fini(out);
	}
	log_debug("FAIL, all modules rejected");
	note_address(q, by_address, out);
	if (q->op == QUERY_SCRAM)
		fake_keys(c, q, out);
	return VERDICT_REJECTED;
}

enum verdict
chain_enumerate(
    struct chain *c, const struct query *q, module_sink *sink, void *arg)
{
	struct module_call call = { q, clock_now() + q->budget_ms };
	enum verdict result = VERDICT_OK;

	MAGIC_CHECK(c, CHAIN_MAGIC);
	for (int i = 0; i < c->n; i++) {
		const struct auth_module *m = c->link[i].module;
		char head[64];

		if (m->enumerate == NULL)
			continue;
		(void)snprintf(head, sizeof(head), "# %s\n\n", m->name);
		if (!sink(arg, slice_str(head)))
			return VERDICT_TEMPORARY;
		if (m->enumerate(c->link[i].self, &call, sink, arg) !=
		    VERDICT_OK)
			result = VERDICT_TEMPORARY;
	}
	/* The dot says that every module finished. */
	if (result == VERDICT_OK && !sink(arg, SLICE(".\n")))
		result = VERDICT_TEMPORARY;
	return result;
}

void
chain_idle(struct chain *c)
{
	MAGIC_CHECK(c, CHAIN_MAGIC);
	for (int i = 0; i < c->n; i++)
		if (c->link[i].module->idle != NULL)
			c->link[i].module->idle(c->link[i].self);
}
