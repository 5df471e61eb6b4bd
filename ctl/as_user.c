#include "ctl/as_user.h"

#include <sys/wait.h>

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

struct each {
	const struct conf *conf;
	user_fn *fn;
	void *arg;
	int status;
};

static int
become(uid_t uid, gid_t gid)
{
	if (geteuid() != 0)
		return geteuid() == uid ? 0 : -1;
	if (uid == 0 || setgroups(0, NULL) < 0 ||
	    setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -1;
	return setuid(0) == 0 ? -1 : 0;
}

/* In the child, as the user. */
static int
run(const struct each *x, const struct ctl_account *who)
{
	char host[256] = "localhost";
	const struct store_options opt = { .hostname = host,
		.quiet_ms = 60000,
		.no_watches = true,
		.dovecot_uidl_format =
		    conf_str(x->conf, CONF_POSTERN_DOVECOT_UIDL_FORMAT) };
	struct account *a;
	struct store *s;
	int status;

	if (access(who->maildir, R_OK | X_OK) < 0) {
		if (errno == ENOENT) {
			(void)printf("%s: no Maildir yet\n", who->name);
			return 0;
		}
		(void)fprintf(stderr, "posternctl: %s: %s: %s\n", who->name,
		    who->maildir, strerrordesc_np(errno));
		return 1;
	}
	if (gethostname(host, sizeof(host) - 1) < 0)
		(void)snprintf(host, sizeof(host), "localhost");
	s = store_new(&opt);
	a = account_get(s, who->maildir, who->quota);
	status = x->fn(x->arg, who, a);
	account_release(&a);
	store_free(&s);
	return status;
}

static void
on_account(void *arg, const struct ctl_account *who)
{
	struct each *x = arg;
	int status = 1;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (become(who->uid, who->gid) < 0)
			(void)fprintf(stderr,
			    "posternctl: %s: can't be uid %u gid %u\n",
			    who->name, (unsigned)who->uid, (unsigned)who->gid);
		else
			status = run(x, who);
		(void)fflush(stdout);
		_exit(status);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0)
		x->status = 1;
}

int
for_accounts(const struct conf *c, const char *name, user_fn *fn, void *arg)
{
	struct each x = { c, fn, arg, 0 };
	struct err e = { 0 };
	int rc;

	log_set_ident("posternctl");
	if (strcmp(name, "--all") == 0)
		rc = accounts_all(c, on_account, &x, &e);
	else
		rc = accounts_one(c, name, on_account, &x, &e);
	if (rc != 0)
		(void)fprintf(stderr, "posternctl: %s\n", e.text);
	return rc != 0 ? 1 : x.status;
}
