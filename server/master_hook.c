/*
 * master_hook: loginexec of a Maildir, which Courier runs once after a login.
 *
 * The workers' sandbox lets nothing be executed, so a process of its own
 * (hook.c) becomes the user and does it; the session begins when that has
 * ended.  Whoever can write into a Maildir can have a program run by it, a
 * worker that was taken over among them: so it happens only with LOGINEXEC.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/master.h"

enum {
	HOOKS_MAX = 16,
	ENV_MAX = 400,
	/* After its own limit, in which it ends what it runs. */
	END_MS = 5 * 1000,
};

/* --- the environment ------------------------------------------------------ */

struct environment {
	char *v[ENV_MAX + 1];
	size_t n;
};

static bool
has_name(const struct environment *env, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], name, len) == 0 && env->v[i][len] == '=')
			return true;
	return false;
}

/* What is there already stays. */
static void
put(void *arg, const char *name, const char *value)
{
	struct environment *env = arg;

	if (env->n < ENV_MAX && !has_name(env, name) &&
	    strncmp(name, "LD_", 3) != 0)
		env->v[env->n++] = mem_printf("%s=%s", name, value);
}

static void
put_number(struct environment *env, const char *name, uint32_t n)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", n);
	put(env, name, text);
}

/* As Courier's programs have it after a login. */
static void
fill(struct environment *env, const struct conn_record *r,
    const struct account_record *a, const char *path, const struct conf *conf)
{
	put(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
	put(env, "HOME", a->home);
	put(env, "MAILDIR", path);
	put(env, "AUTHENTICATED", a->user);
	put(env, "OPTIONS", a->options);
	put(env, "PROTOCOL", service_is_pop3(r->service) ? "POP3" : "IMAP");
	put(env, "TCPREMOTEIP", r->client_addr);
	put_number(env, "TCPREMOTEPORT", r->client_port);
	put(env, "TCPLOCALIP", r->local_addr);
	put_number(env, "TCPLOCALPORT", r->local_port);
	conf_each(conf, (enum conf_file)r->service, put, env);
}

/* --- the process ---------------------------------------------------------- */

/* In the child: only async-signal-safe calls. */
static NORETURN void
exec_hook(const char *const argv[], char *const envp[])
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* 0 is /dev/null (main.c). */
	if (dup2(STDIN_FILENO, STDOUT_FILENO) < 0 ||
	    dup2(STDIN_FILENO, STDERR_FILENO) < 0 ||
	    close_range(STDERR_FILENO + 1, ~0u, 0) < 0)
		_exit(127);
	(void)execve(MASTER_SELF, (char *const *)(const void *)argv, envp);
	_exit(127);
}

static struct child *
start(struct master *m, const struct conn_record *r,
    const struct account_record *a, const char *path, const struct conf *conf)
{
	int64_t seconds = conf_num(conf, CONF_POSTERN_LOGINEXEC_TIMEOUT);
	char uid[16], gid[16], limit[32];
	const char *argv[] = { "posternd", "--loginexec", uid, gid, path, limit,
		NULL };
	struct environment env = { .n = 0 };
	struct child *c;
	pid_t pid;

	(void)snprintf(uid, sizeof(uid), "%u", a->uid);
	(void)snprintf(gid, sizeof(gid), "%u", a->gid);
	(void)snprintf(limit, sizeof(limit), "%lld", (long long)seconds);
	fill(&env, r, a, path, conf);
	if ((pid = fork()) == 0)
		exec_hook(argv, env.v);
	for (size_t i = 0; i < env.n; i++)
		free(env.v[i]);
	if (pid < 0) {
		log_error("loginexec: fork failed");
		return NULL;
	}
	c = MEM_NEW(struct child);
	c->master = m;
	c->kind = CHILD_HOOK;
	c->pid = pid;
	c->ready = true;
	c->uid = a->uid;
	c->hook_path = mem_strdup(path);
	c->end_by_ms = clock_now() + 1000 * seconds + END_MS;
	LIST_INSERT_HEAD(&m->children, c, link);
	return c;
}

static bool
is_there(const char *path)
{
	char *name = mem_printf("%s/loginexec", path);
	struct stat st;
	bool there = lstat(name, &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & 0111) != 0;

	free(name);
	return there;
}

struct child *
master_hook(struct master *m, const struct conn_record *r,
    const struct account_record *a, const char *path, const struct conf *conf)
{
	struct child *c;
	unsigned n = 0;

	if (!conf_bool(conf, CONF_POSTERN_LOGINEXEC) || !is_there(path) ||
	    master_ids_refused(m, a) != NULL)
		return NULL;
	LIST_FOREACH(c, &m->children, link) {
		if (c->kind != CHILD_HOOK)
			continue;
		if (strcmp(c->hook_path, path) == 0)
			return c;
		n++;
	}
	if (n < HOOKS_MAX)
		return start(m, r, a, path, conf);
	log_warn(
	    "loginexec: %u run already; this one waits for another login", n);
	return NULL;
}

void
master_hook_died(struct child *c, int status)
{
	char safe[300];
	const char *path =
	    log_safe(slice_str(c->hook_path), safe, sizeof(safe));

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		log_info("loginexec: done, path=%s uid=%u", path, c->uid);
	else
		log_warn("loginexec: %s %d, path=%s uid=%u",
		    WIFSIGNALED(status) ? "signal" : "exit status",
		    WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status),
		    path, c->uid);
	master_handovers_hooked(c->master, c);
}
