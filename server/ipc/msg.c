#include "server/ipc/msg.h"

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"

/* Header: type and request id, both u32.  All numbers are in host order: the
 * two ends are one machine and one build. */
enum {
	HEADER_SIZE = 8,
	/* Most messages fit, a SESSION too: they don't grow step by step. */
	ROOM = 384,
};

enum fd_rule { FD_NONE, FD_ONE };

struct msg_rule {
	const char *name;
	enum msg_role from, to;
	enum fd_rule fd;
	const char *fields;
};

static const struct msg_rule rules[MSG_N_TYPES] = {
	[MSG_NONE] = { "NONE", ROLE_CONTROL, ROLE_CONTROL, FD_NONE, "" },
#define MSG(name, from, to, fd, fields)                                        \
 [MSG_##name] = { #name, ROLE_##from, ROLE_##to, fd, fields },
#include "server/ipc/messages.def"
#undef MSG
};

const char *
msg_name(uint32_t type)
{
	return type < MSG_N_TYPES ? rules[type].name : "?";
}

void
msg_begin(struct msg_out *m, enum msg_type type, uint32_t id)
{
	const uint8_t *room;

	buf_init_secret(&m->b, MSG_SIZE_MAX);
	room = buf_reserve(&m->b, ROOM);
	assert(room != NULL);
	m->fd = -1;
	msg_put_u32(m, type);
	msg_put_u32(m, id);
}

void
msg_put_u32(struct msg_out *m, uint32_t v)
{
	buf_put(&m->b, slice_of(&v, sizeof(v)));
}

void
msg_put_u64(struct msg_out *m, uint64_t v)
{
	buf_put(&m->b, slice_of(&v, sizeof(v)));
}

void
msg_put_bytes(struct msg_out *m, struct slice s)
{
	if (s.n > MSG_SIZE_MAX) {
		m->b.failed = true;
		return;
	}
	msg_put_u32(m, (uint32_t)s.n);
	buf_put(&m->b, s);
	/* A NUL behind each string lets the reader borrow it as it is. */
	buf_putc(&m->b, '\0');
}

void
msg_put_str(struct msg_out *m, const char *s)
{
	msg_put_bytes(m, slice_str(s));
}

struct slice
msg_finish(struct msg_out *m)
{
	return buf_slice(&m->b);
}

void
msg_out_fini(struct msg_out *m)
{
	/* Some carry passwords. */
	buf_fini(&m->b);
	m->fd = -1;
}

/* Take n bytes off the front of the rest; NULL and bad when they lack. */
static const uint8_t *
take(struct msg_in *m, size_t n)
{
	const uint8_t *p = m->rest.p;

	if (m->bad || m->rest.n < n) {
		m->bad = true;
		return NULL;
	}
	m->rest = slice_skip(m->rest, n);
	return p;
}

uint32_t
msg_get_u32(struct msg_in *m)
{
	uint32_t v = 0;
	const uint8_t *p = take(m, sizeof(v));

	if (p != NULL)
		memcpy(&v, p, sizeof(v));
	return v;
}

uint64_t
msg_get_u64(struct msg_in *m)
{
	uint64_t v = 0;
	const uint8_t *p = take(m, sizeof(v));

	if (p != NULL)
		memcpy(&v, p, sizeof(v));
	return v;
}

struct slice
msg_get_bytes(struct msg_in *m)
{
	size_t n = msg_get_u32(m);
	const uint8_t *p = n < MSG_SIZE_MAX ? take(m, n + 1) : NULL;

	if (p == NULL || p[n] != '\0') {
		m->bad = true;
		return slice_of("", 0);
	}
	return slice_of(p, n);
}

const char *
msg_get_str(struct msg_in *m)
{
	struct slice s = msg_get_bytes(m);

	if (slice_has(s, '\0')) {
		m->bad = true;
		return "";
	}
	return (const char *)s.p;
}

bool
msg_get_end(struct msg_in *m)
{
	return !m->bad && m->rest.n == 0;
}

/* Whether the fields are those that messages.def gives for the type. */
static bool
fields_fit(struct msg_in m)
{
	for (const char *f = rules[m.type].fields; *f != '\0'; f++) {
		switch (*f) {
		case 'u':
			(void)msg_get_u32(&m);
			break;
		case 'U':
			(void)msg_get_u64(&m);
			break;
		default:
			assert(*f == 's');
			(void)msg_get_bytes(&m);
			break;
		}
	}
	return msg_get_end(&m);
}

static bool
role_fits(enum msg_role rule, enum msg_role role)
{
	return rule == role ||
	    (rule == ROLE_CHILD && (role == ROLE_LOGIN || role == ROLE_WORKER));
}

int
msg_parse(
    struct slice packet, enum msg_role from, enum msg_role to, struct msg_in *m)
{
	struct msg_in in = { .fd = -1, .rest = packet, .len = packet.n };
	uint32_t type = msg_get_u32(&in);

	in.id = msg_get_u32(&in);
	if (in.bad || type == MSG_NONE || type >= MSG_N_TYPES)
		return ERR_FORMAT;
	in.type = (enum msg_type)type;
	if (!role_fits(rules[type].from, from) ||
	    !role_fits(rules[type].to, to) || !fields_fit(in))
		return ERR_FORMAT;
	*m = in;
	return 1;
}

int
msg_offer(int sock, const struct msg_out *m)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct slice packet = buf_slice(&m->b);
	struct iovec iov;
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd = m->fd;
	struct msg_in check;

	if (!buf_ok(&m->b))
		return ERR_LIMIT;
	memcpy(&check.type, packet.p, sizeof(uint32_t));
	check = (struct msg_in){ .type = check.type,
		.rest = slice_skip(packet, HEADER_SIZE) };
	assert(fields_fit(check));
	assert((fd >= 0) == (rules[check.type].fd == FD_ONE));
	iov = (struct iovec){ m->b.p + m->b.off, packet.n };
	if (fd >= 0) {
		struct cmsghdr *c;

		mh.msg_control = control.space;
		mh.msg_controllen = sizeof(control.space);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	if (TEMP_FAILURE_RETRY(
		sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0)
		return errno == EAGAIN || errno == ENOBUFS ? ERR_BUSY : ERR_SYS;
	return 0;
}

int
msg_send(int sock, struct msg_out *m)
{
	int result = msg_offer(sock, m);

	msg_out_fini(m);
	return result;
}

/* Close every descriptor that came along; returns the one if it is one. */
static int
take_fds(struct msghdr *mh, int *count)
{
	int first = -1;

	*count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL;
	     c = CMSG_NXTHDR(mh, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if ((*count)++ == 0)
				first = fd;
			else
				(void)close(fd);
		}
	}
	return first;
}

int
msg_recv(int sock, enum msg_role from, enum msg_role to, uint8_t *space,
    struct msg_in *m)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { space, MSG_SIZE_MAX };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space) };
	int fd, n_fds;
	bool cut; /* there was one that this process has no room for */
	ssize_t n;

	n = TEMP_FAILURE_RETRY(
	    recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
	if (n < 0)
		return errno == EAGAIN ? ERR_BUSY : ERR_SYS;
	fd = take_fds(&mh, &n_fds);
	if (n == 0 && fd < 0)
		return 0;
	cut = (mh.msg_flags & MSG_CTRUNC) != 0;
	if ((mh.msg_flags & MSG_TRUNC) != 0 || n_fds > 1 ||
	    msg_parse(slice_of(space, (size_t)n), from, to, m) != 1 ||
	    (cut && fd >= 0) ||
	    (fd >= 0 || cut) != (rules[m->type].fd == FD_ONE)) {
		if (fd >= 0)
			(void)close(fd);
		return ERR_FORMAT;
	}
	m->fd = fd;
	return cut ? ERR_LIMIT : 1;
}
