#include "ctl/export.h"

#include <sys/wait.h>

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ctl/accounts.h"
#include "maildir/export.h"

enum { PAUSE_NS = 1000000 };

struct exporting {
	const struct conf *conf;
	int status;
	unsigned n_accounts;
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
run(const struct conf *c, const struct ctl_account *who)
{
	const struct timespec pause = { 0, PAUSE_NS };
	char host[256] = "localhost";
	const struct store_options opt = { .hostname = host,
		.quiet_ms = 60000,
		.no_watches = true,
		.dovecot_uidl_format =
		    conf_str(c, CONF_POSTERN_DOVECOT_UIDL_FORMAT) };
	struct account *a;
	struct export *x;
	struct store *s;
	unsigned n;
	int rc;

	if (access(who->maildir, F_OK) < 0) {
		(void)printf("%s: no Maildir yet\n", who->name);
		return errno == ENOENT ? 0 : 1;
	}
	if (gethostname(host, sizeof(host) - 1) < 0)
		(void)snprintf(host, sizeof(host), "localhost");
	s = store_new(&opt);
	a = account_get(s, who->maildir, who->quota);
	x = export_new(a, true);
	while (export_step(x, (struct waker){ 0 }, clock_now(), clock_wall()) !=
	    STEP_DONE)
		(void)nanosleep(&pause, NULL);
	rc = export_result(x, &n);
	export_free(&x);
	account_release(&a);
	store_free(&s);
	(void)printf("%s: %u mailboxes%s%s\n", who->name, n,
	    rc != 0 ? ", failed: " : "", rc != 0 ? err_name(rc) : "");
	return rc != 0;
}

static void
export_account(void *arg, const struct ctl_account *who)
{
	struct exporting *x = arg;
	int status = 1;
	pid_t pid;

	x->n_accounts++;
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (become(who->uid, who->gid) < 0)
			(void)fprintf(stderr,
			    "posternctl: %s: can't be uid %u gid %u\n",
			    who->name, (unsigned)who->uid, (unsigned)who->gid);
		else
			status = run(x->conf, who);
		(void)fflush(stdout);
		_exit(status);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0)
		x->status = 1;
}

int
ctl_export(const struct conf *c, char *words[])
{
	struct exporting x = { .conf = c };
	struct err e = { 0 };
	int rc;

	if (words[0] == NULL || words[1] != NULL) {
		(void)fputs("usage: posternctl export ACCOUNT|--all\n", stderr);
		return 1;
	}
	log_set_ident("posternctl");
	if (strcmp(words[0], "--all") == 0)
		rc = accounts_all(c, export_account, &x, &e);
	else
		rc = accounts_one(c, words[0], export_account, &x, &e);
	if (rc != 0)
		(void)fprintf(stderr, "posternctl: %s\n", e.text);
	return rc != 0 ? 1 : x.status;
}
