/*
 * A packet between processes.  The first byte says from whom and to whom (three
 * bits each) and how many descriptors come with it (the fourth bit of each:
 * one, and four or five), the rest is the packet.
 *
 * Checked: what is accepted has the fields of messages.def, within the packet,
 * and is written again as the same bytes; it comes through a socket as through
 * memory.
 */
#include "config.h"

#include <sys/socket.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "server/ipc/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FDS_MAX = 5 };

static const char *const fields[MSG_N_TYPES] = {
	[MSG_NONE] = "",
#define MSG(name, from, to, fd, letters) [MSG_##name] = letters,
#include "server/ipc/messages.def"
#undef MSG
};

/* Field by field, into another packet; every second string as a C string. */
static void
copy_fields(struct msg_in in, struct msg_out *out)
{
	unsigned n = 0;

	msg_begin(out, in.type, in.id);
	for (const char *f = fields[in.type]; *f != '\0'; f++) {
		if (*f == 'u') {
			msg_put_u32(out, msg_get_u32(&in));
		} else if (*f == 'U') {
			msg_put_u64(out, msg_get_u64(&in));
		} else {
			struct msg_in again = in;
			struct slice s = msg_get_bytes(&in);

			if (n++ % 2 == 0 && !slice_has(s, '\0'))
				msg_put_str(out, msg_get_str(&again));
			else
				msg_put_bytes(out, s);
		}
	}
	assert(msg_get_end(&in));
	(void)msg_get_bytes(&in);
	assert(!msg_get_end(&in));
}

/* A packet with so many descriptors. */
static bool
send_with(int sock, struct slice packet, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { 0 };
	char *bytes = slice_dup(packet);
	struct iovec iov = { bytes, packet.n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	bool ok;

	if (n_fds != 0) {
		struct cmsghdr *c;

		mh.msg_control = control.space;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (size_t i = 0; i < n_fds; i++)
			memcpy(
			    CMSG_DATA(c) + i * sizeof(int), &sock, sizeof(int));
	}
	ok = sendmsg(sock, &mh, MSG_DONTWAIT) == (ssize_t)packet.n;
	free(bytes);
	return ok;
}

/* Through a socket: the same, if it has as many descriptors as it must. */
static void
send_it(struct slice packet, size_t n_fds, enum msg_role from, enum msg_role to,
    int want)
{
	static uint8_t space[MSG_SIZE_MAX];
	struct msg_in m;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
		return;
	/* nothing at all is what an end looks like */
	if ((packet.n != 0 || n_fds == 1) &&
	    send_with(ends[0], packet, n_fds)) {
		int rc = msg_recv(ends[1], from, to, space, &m);

		assert(rc == want || (want == 1 && rc == ERR_FORMAT));
		assert(rc != 1 || (m.fd >= 0) == (n_fds == 1));
		if (rc == 1 && m.fd >= 0)
			(void)close(m.fd);
	}
	assert(msg_recv(ends[1], from, to, space, &m) == ERR_BUSY);
	(void)close(ends[0]);
	assert(msg_recv(ends[1], from, to, space, &m) == 0);
	(void)close(ends[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum msg_role from, to;
	struct slice packet;
	struct msg_in in = { .fd = -1 };
	struct msg_out out;
	size_t n_fds;
	int rc;

	if (size == 0 || size > MSG_SIZE_MAX)
		return 0;
	from = (enum msg_role)(data[0] & 7);
	to = (enum msg_role)(data[0] >> 4 & 7);
	n_fds = (data[0] & 8 ? 1 : 0) + (data[0] & 128 ? FDS_MAX - 1 : 0);
	packet = slice_of(data + 1, size - 1);
	rc = msg_parse(packet, from, to, &in);
	assert(rc == 1 || rc == ERR_FORMAT);
	send_it(packet, n_fds, from, to, rc);
	if (rc != 1)
		return 0;
	assert(msg_name(in.type)[0] != '?' && in.len == packet.n);
	copy_fields(in, &out);
	assert(slice_eq(msg_finish(&out), packet));
	msg_out_fini(&out);
	return 0;
}
