#include "ctl/accounts.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "base/num.h"

enum { ANSWER_MAX = 256 * 1024 * 1024, PIECE = 65536, WAIT_MS = 60 * 1000 };

static int
dial(const struct conf *c, struct err *e)
{
	const char *dir = conf_str(c, CONF_AUTHDAEMONRC_authdaemonvar);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int n, fd;

	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/socket", dir);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return err_set(e, ERR_LIMIT, "%s is too long", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	(void)err_sys(e, "authdaemond (%s)", sun.sun_path);
	if (fd >= 0)
		(void)close(fd);
	return ERR_TEMPORARY;
}

/* Send a request, and append all that is answered. */
static int
ask(const struct conf *c, const char *request, struct buf *answer,
    struct err *e)
{
	int fd = dial(c, e), rc = 0;
	struct pollfd pfd = { fd, POLLIN, 0 };

	if (fd < 0)
		return fd;
	if (fsx_write_all(fd, slice_str(request)) < 0)
		rc = err_sys(e, "write to authdaemond");
	while (rc == 0) {
		uint8_t *to = buf_reserve(answer, PIECE);
		ssize_t n;

		if (to == NULL || poll(&pfd, 1, WAIT_MS) != 1) {
			rc = err_set(e, ERR_TEMPORARY,
			    "authdaemond gave no complete answer");
			break;
		}
		n = read(fd, to, PIECE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_sys(e, "read from authdaemond");
		if (n <= 0)
			break;
		buf_advance(answer, (size_t)n);
	}
	(void)close(fd);
	return rc;
}

/* What a record says; slices of the answer. */
struct record {
	struct slice name, user, uid, gid, home, maildir, quota;
};

static bool
take_ids(const struct record *r, struct ctl_account *a)
{
	uint32_t uid, gid;

	if (r->uid.n != 0) {
		if (!num_u32(r->uid, &uid))
			return false;
	} else {
		char *user = slice_dup(r->user);
		const struct passwd *pw = getpwnam(user);

		free(user);
		if (pw == NULL)
			return false;
		uid = pw->pw_uid;
	}
	if (!num_u32(r->gid, &gid))
		return false;
	a->uid = uid;
	a->gid = gid;
	return true;
}

static bool
hand_on(const struct conf *c, const struct record *r, account_fn *fn, void *arg)
{
	struct ctl_account a = { 0 };
	char *name, *maildir, *quota;

	if (!take_ids(r, &a))
		return false;
	name = slice_dup(r->name);
	quota = slice_dup(r->quota);
	if (r->maildir.n != 0 && r->maildir.p[0] == '/')
		maildir = slice_dup(r->maildir);
	else if (r->maildir.n != 0)
		maildir = mem_printf(
		    "%.*s/%.*s", SLICE_ARG(r->home), SLICE_ARG(r->maildir));
	else
		maildir = mem_printf("%.*s/%s", SLICE_ARG(r->home),
		    conf_str(c, CONF_IMAPD_MAILDIRPATH));
	a.name = name;
	a.maildir = maildir;
	a.quota = quota;
	if (maildir[0] == '/')
		fn(arg, &a);
	free(name);
	free(quota);
	free(maildir);
	return true;
}

int
accounts_one(const struct conf *c, const char *name, account_fn *fn, void *arg,
    struct err *e)
{
	struct record r = { .name = slice_str(name) };
	const struct {
		struct slice key;
		struct slice *value;
	} keys[] = {
		{ SLICE("USERNAME="), &r.user },
		{ SLICE("UID="), &r.uid },
		{ SLICE("GID="), &r.gid },
		{ SLICE("HOME="), &r.home },
		{ SLICE("MAILDIR="), &r.maildir },
		{ SLICE("QUOTA="), &r.quota },
	};
	struct slice rest, line;
	struct buf answer;
	char *request = mem_printf("PRE . imap %s\n", name);
	bool ended = false;
	int rc;

	buf_init(&answer, ANSWER_MAX);
	rc = ask(c, request, &answer, e);
	free(request);
	rest = buf_slice(&answer);
	if (rc == 0 && slice_eq(rest, SLICE("FAIL\n")))
		rc = err_set(e, ERR_NOT_FOUND, "%s: no such account", name);
	while (rc == 0 && slice_split(&rest, '\n', &line)) {
		ended = ended || slice_eq(line, SLICE("."));
		for (size_t i = 0; i < NELEMS(keys); i++)
			if (slice_starts(line, keys[i].key))
				*keys[i].value =
				    slice_skip(line, keys[i].key.n);
	}
	if (rc == 0 && !ended)
		rc = err_set(
		    e, ERR_TEMPORARY, "%s: the user table is away", name);
	if (rc == 0 && !hand_on(c, &r, fn, arg))
		rc = err_set(e, ERR_NOT_FOUND, "%s: no uid and gid", name);
	buf_fini(&answer);
	return rc;
}

int
accounts_all(const struct conf *c, account_fn *fn, void *arg, struct err *e)
{
	struct slice rest, line;
	struct buf answer;
	bool ended = false;
	int rc;

	buf_init(&answer, ANSWER_MAX);
	rc = ask(c, "ENUMERATE\n", &answer, e);
	rest = buf_slice(&answer);
	/* "name uid gid home maildir[ options]", tabs between */
	while (rc == 0 && !ended && slice_split(&rest, '\n', &line)) {
		struct record r = { 0 };

		ended = slice_eq(line, SLICE("."));
		if (slice_split(&line, '\t', &r.name) &&
		    slice_split(&line, '\t', &r.uid) &&
		    slice_split(&line, '\t', &r.gid) &&
		    slice_split(&line, '\t', &r.home)) {
			(void)!slice_split(&line, '\t', &r.maildir);
			(void)!hand_on(c, &r, fn, arg);
		}
	}
	if (rc == 0 && !ended)
		rc = err_set(e, ERR_TEMPORARY, "the list was cut short");
	buf_fini(&answer);
	return rc;
}
