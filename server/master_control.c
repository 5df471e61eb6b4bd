/*
 * master_control: the control socket that posternctl and the rc scripts talk
 * to, and the words of holder processes.
 *
 * The socket is in the run directory, for root (or our own user) only.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "server/master.h"

enum {
	REPLY_MAX = 16 * 1024 * 1024,
	REPLY_PIECE = 64 * 1024,

};

/* In CONTROL_REPLY: another piece of the same answer follows. */
static const uint32_t MORE_FOLLOWS = UINT32_MAX;

struct control {
	struct master *m;
	struct peer *peer;
};

static void
reply(struct peer *p, uint32_t status, struct slice text)
{
	struct msg_out out;

	do {
		struct slice piece = slice_first(text, REPLY_PIECE);

		text = slice_skip(text, piece.n);
		msg_begin(&out, MSG_CONTROL_REPLY, 0);
		msg_put_u32(&out, text.n != 0 ? MORE_FOLLOWS : status);
		msg_put_bytes(&out, piece);
		peer_send(p, &out);
	} while (text.n != 0);
}

static void
replyf(struct peer *p, uint32_t status, const char *text)
{
	reply(p, status, slice_str(text));
}

/* --- verbs: each answers by itself --------------------------------------- */

static void
verb_service(struct control *c, char *words[], int n)
{
	enum service s = n == 3 ? service_by_name(words[2]) : N_SERVICES;
	struct err e;

	if (s == N_SERVICES) {
		replyf(c->peer, 1,
		    "usage: service start|stop|status "
		    "imapd|imapd-ssl|pop3d|pop3d-ssl\n");
		return;
	}
	if (strcmp(words[1], "start") == 0) {
		if (master_service_on(c->m, s, &e) == 0)
			replyf(c->peer, 0, "");
		else {
			log_error("%s: %s", service_name(s), e.text);
			strncat(
			    e.text, "\n", sizeof(e.text) - strlen(e.text) - 1);
			replyf(c->peer, 1, e.text);
		}
	} else if (strcmp(words[1], "stop") == 0) {
		master_service_off(c->m, s);
		replyf(c->peer, 0, "");
	} else if (strcmp(words[1], "status") == 0) {
		replyf(c->peer, c->m->services[s].on ? 0 : 3,
		    c->m->services[s].on ? "running\n" : "stopped\n");
	} else
		replyf(c->peer, 1, "service: start, stop or status?\n");
}

static void
verb_reload(struct control *c, char *words[], int n)
{
	(void)words;
	(void)n;
	if (master_reload(c->m) == 0)
		replyf(c->peer, 0, "");
	else
		replyf(c->peer, 1,
		    "the configuration has errors (see the "
		    "log); the running one was kept\n");
}

static void
verb_stop(struct control *c, char *words[], int n)
{
	(void)words;
	(void)n;
	master_stop(c->m);
	replyf(c->peer, 0, "");
}

static void
verb_who(struct control *c, char *words[], int n)
{
	struct buf out;

	(void)words;
	(void)n;
	buf_init(&out, REPLY_MAX);
	buf_puts(&out, "# id service user address port seconds\n");
	conns_report(c->m, &out);
	reply(c->peer, 0, buf_slice(&out));
	buf_fini(&out);
}

static void
verb_kick(struct control *c, char *words[], int n)
{
	uint64_t id;

	if (n != 2 || !num_hex64(slice_str(words[1]), &id))
		replyf(c->peer, 1, "usage: kick ID (as who prints it)\n");
	else if (conns_kick(c->m, id))
		replyf(c->peer, 0, "");
	else
		replyf(c->peer, 1, "no such session\n");
}

static void
verb_ping(struct control *c, char *words[], int n)
{
	(void)words;
	(void)n;
	replyf(c->peer, 0, "posternd is running\n");
}

static const struct {
	const char *word;
	void (*fn)(struct control *c, char *words[], int n);
} verbs[] = {
	{ "service", verb_service },
	{ "reload", verb_reload },
	{ "stop", verb_stop },
	{ "who", verb_who },
	{ "kick", verb_kick },
	{ "ping", verb_ping },
};

static int
split(char *text, char *words[], int max)
{
	char *save = NULL, *w;
	int n = 0;

	for (w = strtok_r(text, " ", &save); w != NULL && n < max;
	     w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	return n;
}

static void
on_control_message(struct peer *p, struct msg_in *in, void *arg)
{
	struct control *c = arg;
	char *text = mem_strdup(msg_get_str(in)), *words[8];
	int n = split(text, words, (int)NELEMS(words));
	size_t i;

	for (i = 0; n > 0 && i < NELEMS(verbs); i++)
		if (strcmp(verbs[i].word, words[0]) == 0)
			break;
	if (n == 0 || i == NELEMS(verbs))
		replyf(p, 1, "unknown verb\n");
	else
		verbs[i].fn(c, words, n);
	free(text);
}

static void
on_control_end(struct peer *p, const char *why, void *arg)
{
	struct control *c = arg;

	(void)p;
	(void)why;
	peer_free(&c->peer);
	free(c);
}

static bool
may_control(int fd)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 &&
	    (cred.uid == 0 || cred.uid == geteuid());
}

static void
on_control_connect(evutil_socket_t fd, short what, void *arg)
{
	static const struct peer_handler handler = { on_control_message,
		on_control_end };
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control *c;

	(void)what;
	if (client < 0)
		return;
	if (!may_control(client)) {
		(void)close(client);
		return;
	}
	c = MEM_NEW(struct control);
	c->m = arg;
	c->peer = peer_new(
	    c->m->base, client, ROLE_MASTER, ROLE_CONTROL, &handler, c);
}

int
master_control_open(struct master *m, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *dir = conf_str(m->conf, CONF_POSTERN_RUNDIR);
	mode_t old;
	int n, r;

	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/control", dir);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return err_set(e, ERR_LIMIT, "RUNDIR %s is too long", dir);
	m->control_fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->control_fd < 0)
		return err_sys(e, "socket");
	/* We hold the lock of the run directory: what is there is left over. */
	(void)unlink(sun.sun_path);
	old = umask(0177);
	r = bind(m->control_fd, (const struct sockaddr *)&sun, sizeof(sun));
	(void)umask(old);
	if (r < 0 || listen(m->control_fd, 64) < 0)
		return err_sys(e, "%s", sun.sun_path);
	m->on_control = event_new(m->base, m->control_fd, EV_READ | EV_PERSIST,
	    on_control_connect, m);
	(void)event_add(m->on_control, NULL);
	return 0;
}
