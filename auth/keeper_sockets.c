/* The listening sockets of authdaemond. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/keeper_impl.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/ipc/msg.h"

static struct bound *
find_bound(struct keeper *k, const char *path)
{
	for (int i = 0; i < k->n_bound; i++)
		if (strcmp(k->bound[i].path, path) == 0)
			return &k->bound[i];
	return NULL;
}

bool
keeper_send_listener(struct keeper *k, const struct bound *b)
{
	struct msg_out m;

	if (k->front < 0)
		return true;
	msg_begin(&m, MSG_AUTHD_LISTENER, 0);
	msg_put_u32(&m, b->kind);
	msg_put_str(&m, b->path);
	m.fd = b->fd;
	return msg_send(k->front, &m) == 0;
}

static bool
want_socket(struct keeper *k, const char *path, enum socket_kind kind,
    mode_t mode, uid_t uid, gid_t gid)
{
	struct bound *b = find_bound(k, path);
	struct err e;
	int fd;

	if (b != NULL) {
		b->wanted = true;
		return true;
	}
	if (k->n_bound == SOCKETS_MAX) {
		log_error("%s: too many sockets", path);
		return false;
	}
	fd = socket_listen(path, kind, mode, uid, gid, &e);
	if (fd < 0) {
		log_error("%s", e.text);
		return false;
	}
	b = &k->bound[k->n_bound++];
	*b = (struct bound){ fd, kind, mem_strdup(path), true };
	return keeper_send_listener(k, b);
}

/* The sockets of authdaemonvar. */
static bool
want_own_sockets(struct keeper *k)
{
	static const struct {
		const char *name;
		enum socket_kind kind;
		mode_t mode;
	} own[] = {
		{ "socket", SOCKET_COURIER, 0777 },
		{ "login", SOCKET_LOGIN, 0666 },
		{ "tickets", SOCKET_TICKETS, 0600 },
	};
	bool ok = true;

	for (size_t i = 0; i < NELEMS(own); i++) {
		char *path = mem_printf("%s/%s", k->var, own[i].name);

		ok = want_socket(
			 k, path, own[i].kind, own[i].mode, k->uid, k->gid) &&
		    ok;
		free(path);
	}
	return ok;
}

/* Those of AUTH_SASL_SOCKETS; one that can't be had doesn't stop the rest. */
static void
want_sasl_sockets(struct keeper *k)
{
	struct sasl_socket s;
	struct err e;
	int r;

	for (int n = 0;
	     (r = settings_sasl_socket(&k->settings, n, &s, &e)) != 0; n++) {
		if (r < 0)
			log_error("%s", e.text);
		else
			(void)want_socket(
			    k, s.path, SOCKET_SASL, s.mode, s.uid, s.gid);
	}
}

static void
drop_bound(struct keeper *k, int i)
{
	struct bound *b = &k->bound[i];
	struct msg_out m;

	if (k->front >= 0) {
		msg_begin(&m, MSG_AUTHD_UNLISTEN, 0);
		msg_put_str(&m, b->path);
		if (msg_send(k->front, &m) != 0)
			log_error("%s: can't be given up", b->path);
	}
	(void)unlink(b->path);
	(void)close(b->fd);
	free(b->path);
	*b = k->bound[--k->n_bound];
}

bool
keeper_make_sockets(struct keeper *k)
{
	bool ok;

	for (int i = 0; i < k->n_bound; i++)
		k->bound[i].wanted = false;
	ok = want_own_sockets(k);
	want_sasl_sockets(k);
	for (int i = k->n_bound - 1; i >= 0; i--)
		if (!k->bound[i].wanted)
			drop_bound(k, i);
	return ok;
}

void
keeper_drop_sockets(struct keeper *k)
{
	while (k->n_bound > 0)
		drop_bound(k, k->n_bound - 1);
}
