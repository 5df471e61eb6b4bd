#include "auth/pam.h"

#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/answer.h"
#include "base/ascii.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

enum { PART_MAX = 32 * 1024, SERVICE_MAX = 32 };

/* What the child ends with. */
enum { CHILD_OK = 0, CHILD_REJECTED = 10, CHILD_TEMPORARY = 11 };

struct pam_server {
	int sock;
	uint8_t *space;
	uint32_t id;
};

/* --- in the child -------------------------------------------------------- */

struct conversation {
	const char *user;
	const char *password;
};

/* Echo on: the name is asked for; echo off: the password. */
static int
converse(int n, const struct pam_message **messages,
    struct pam_response **responses, void *arg)
{
	const struct conversation *c = arg;
	struct pam_response *out;

	if (n <= 0 || n > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	out = mem_zalloc((size_t)n, sizeof(*out));
	for (int i = 0; i < n; i++) {
		if (messages[i]->msg_style == PAM_PROMPT_ECHO_ON)
			out[i].resp = mem_strdup(c->user);
		else if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF)
			out[i].resp = mem_strdup(c->password);
	}
	*responses = out;
	return PAM_SUCCESS;
}

/* The front delays refusals itself, all by the same time. */
static void
no_delay(int status, unsigned usec, void *arg)
{
	(void)status;
	(void)usec;
	(void)arg;
}

static pam_handle_t *
begin(const char *service, const struct conversation *c, const char *rhost)
{
	const struct pam_conv conv = { converse, (void *)(uintptr_t)c };
	union {
		void (*fn)(int, unsigned, void *);
		const void *item;
	} delay = { .fn = no_delay };
	pam_handle_t *h = NULL;

	if (pam_start(service, c->user, &conv, &h) != PAM_SUCCESS)
		return NULL;
	(void)pam_set_item(h, PAM_FAIL_DELAY, delay.item);
	if (rhost[0] != '\0')
		(void)pam_set_item(h, PAM_RHOST, rhost);
	return h;
}

static int
status_of(int result)
{
	switch (result) {
	case PAM_SUCCESS:
		return CHILD_OK;
	case PAM_AUTHINFO_UNAVAIL:
	case PAM_SYSTEM_ERR:
	case PAM_BUF_ERR:
	case PAM_ABORT:
	case PAM_SERVICE_ERR:
	case PAM_OPEN_ERR:
	case PAM_SYMBOL_ERR:
		return CHILD_TEMPORARY;
	default:
		return CHILD_REJECTED;
	}
}

static int
authenticate(
    const char *service, const struct conversation *c, const char *rhost)
{
	pam_handle_t *h = begin(service, c, rhost);
	int result;

	if (h == NULL)
		return CHILD_TEMPORARY;
	result = pam_authenticate(h, PAM_DISALLOW_NULL_AUTHTOK);
	if (result == PAM_SUCCESS)
		result = pam_acct_mgmt(h, 0);
	(void)pam_end(h, result);
	return status_of(result);
}

/* As root PAM doesn't ask for the old password: it was checked before. */
static int
change_password(const char *user, const char *new_password)
{
	const struct conversation c = { user, new_password };
	pam_handle_t *h = begin("passwd", &c, "");
	int result;

	if (h == NULL)
		return CHILD_TEMPORARY;
	result = pam_chauthtok(h, 0);
	(void)pam_end(h, result);
	return status_of(result);
}

static void NORETURN
run_child(const struct query *q)
{
	char *service = slice_dup(q->service), *user = slice_dup(q->user);
	char *password = slice_dup(q->password), *rhost = slice_dup(q->rip);
	char *fresh = slice_dup(q->extra);
	const struct conversation c = { user, password };
	int status = authenticate(service, &c, rhost);

	if (status == CHILD_OK && q->op == QUERY_PASSWD)
		status = geteuid() == 0 ? change_password(user, fresh)
					: CHILD_REJECTED;
	_exit(status);
}

/* --- in the process ------------------------------------------------------ */

/* The name of a file in /etc/pam.d, and of nothing else. */
static bool
is_service(struct slice s)
{
	if (s.n == 0 || s.n > SERVICE_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return true;
}

/* Wait for the child until the deadline; it may have ended before. */
static enum verdict
wait_child(pid_t pid, int pipe_end, int64_t deadline)
{
	struct pollfd p = { .fd = pipe_end, .events = POLLIN };
	int64_t left = deadline - clock_now();
	int status;

	if (left > 0)
		(void)poll(&p, 1, (int)left);
	if (p.revents == 0) {
		log_error("authpam: a PAM module hangs");
		(void)kill(pid, SIGKILL);
	}
	if (TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) != pid)
		return VERDICT_TEMPORARY;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_OK)
		return VERDICT_OK;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_REJECTED)
		return VERDICT_REJECTED;
	if (p.revents != 0)
		log_error("authpam: PAM can't answer");
	return VERDICT_TEMPORARY;
}

static enum verdict
ask_pam(const struct query *q)
{
	int64_t deadline = clock_now() + q->budget_ms;
	int ends[2];
	enum verdict v;
	pid_t pid;

	if (!is_service(q->service) || slice_has(q->password, '\0'))
		return VERDICT_REJECTED;
	/* Its end tells that the child has ended, whatever that has begun. */
	if (pipe2(ends, O_CLOEXEC) != 0)
		return VERDICT_TEMPORARY;
	pid = fork();
	if (pid == 0) {
		(void)close(ends[0]);
		run_child(q);
	}
	(void)close(ends[1]);
	v = pid > 0 ? wait_child(pid, ends[0], deadline) : VERDICT_TEMPORARY;
	(void)close(ends[0]);
	return v;
}

static bool
send_answer(struct pam_server *s, const struct answer *a)
{
	struct msg_out m;

	answer_pack(a, s->id, &m);
	return msg_send(s->sock, &m) == 0;
}

static void
fill(struct answer *a, const struct query *q, const struct passwd *pw)
{
	struct slice gecos = slice_str(pw->pw_gecos);

	a->uid = pw->pw_uid;
	a->gid = pw->pw_gid;
	a->field[ACCOUNT_USERNAME] = slice_str(pw->pw_name);
	a->field[ACCOUNT_ADDRESS] = q->user;
	a->field[ACCOUNT_HOME] = slice_str(pw->pw_dir);
	a->field[ACCOUNT_NAME] = slice_first(gecos, slice_find(gecos, ','));
	if (q->op == QUERY_LOGIN)
		a->field[ACCOUNT_PASSWD2] = q->password;
}

static bool
answer_user(struct pam_server *s, const struct query *q)
{
	struct answer a = { .verdict = VERDICT_REJECTED };
	char *user = slice_dup(q->user);
	struct passwd *pw = getpwnam(user);

	free(user);
	/* Whom the system doesn't know PAM isn't asked about; nobody reads
	 * root's mail from here. */
	if (pw == NULL || pw->pw_uid == 0)
		return send_answer(s, &a);
	a.verdict = q->op == QUERY_LOOKUP ? VERDICT_OK : ask_pam(q);
	if (a.verdict == VERDICT_OK)
		fill(&a, q, pw);
	return send_answer(s, &a);
}

static bool
answer_enumerate(struct pam_server *s)
{
	struct answer a = { .verdict = VERDICT_MORE };
	struct passwd *pw;
	struct buf part;
	bool ok = true;

	buf_init(&part, PART_MAX);
	setpwent();
	while (ok && (pw = getpwent()) != NULL) {
		if (buf_len(&part) > PART_MAX / 2) {
			a.extra = buf_slice(&part);
			ok = send_answer(s, &a);
			buf_reset(&part);
		}
		buf_putf(&part, "%s\t%u\t%u\t%s\t\t\n", pw->pw_name, pw->pw_uid,
		    pw->pw_gid, pw->pw_dir);
	}
	endpwent();
	a.verdict = VERDICT_OK;
	a.extra = buf_slice(&part);
	ok = ok && buf_ok(&part) && send_answer(s, &a);
	buf_fini(&part);
	return ok;
}

static bool
serve_one(struct pam_server *s)
{
	struct answer unsupported = { .verdict = VERDICT_UNSUPPORTED };
	struct msg_in m;
	struct query q;
	bool ok;
	int r = msg_recv(s->sock, ROLE_AUTH, ROLE_HELPER, s->space, &m);

	if (r == ERR_BUSY)
		return true;
	if (r != 1 || m.type != MSG_AUTHD_QUERY || !query_unpack(&m, &q))
		return false;
	s->id = m.id;
	switch (q.op) {
	case QUERY_LOGIN:
	case QUERY_LOOKUP:
	case QUERY_PASSWD:
		ok = user_name_ok(q.user) ? answer_user(s, &q)
					  : send_answer(s, &unsupported);
		break;
	case QUERY_ENUMERATE:
		ok = answer_enumerate(s);
		break;
	case QUERY_CRAM:
	case QUERY_SCRAM:
	case QUERY_N_OPS:
	default:
		ok = send_answer(s, &unsupported);
		break;
	}
	secret_wipe(s->space, MSG_SIZE_MAX);
	return ok;
}

void
pam_run(int sock)
{
	struct pam_server s = { .sock = sock,
		.space = mem_alloc(MSG_SIZE_MAX) };
	struct pollfd p = { .fd = sock, .events = POLLIN };

	while (poll(&p, 1, -1) < 0 || serve_one(&s))
		continue;
	free(s.space);
	_exit(0);
}
