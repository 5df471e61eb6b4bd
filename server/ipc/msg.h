/*
 * msg: what crosses a process boundary.
 *
 * Layer:  server/ipc, uses base.
 * A message is one packet of a SOCK_SEQPACKET socket: a header (type, request
 * id), then fields, each a fixed-size number or length-first bytes, and at
 * most one descriptor.  There is no text protocol that a newline in a user
 * name could split.  A reader must end exactly at the end: a short, long or
 * unexpected message is the sender's fault and ends the sender.
 */
#ifndef IPC_MSG_H
#define IPC_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/slice.h"

enum {
	/* The largest packet; senders cut what is longer into several. */
	MSG_SIZE_MAX = 128 * 1024,
};

enum msg_role {
	ROLE_MASTER,
	ROLE_LOGIN,
	ROLE_WORKER,
	ROLE_AUTH,
	ROLE_CONTROL,
	ROLE_KEEPER, /* of authdaemond: its first process, */
	ROLE_HELPER, /* and those that ask the user tables */
	ROLE_CHILD,  /* in messages.def: LOGIN or WORKER */
};

enum msg_type {
	MSG_NONE,
#define MSG(name, from, to, fd, fields) MSG_##name,
#include "server/ipc/messages.def"
#undef MSG
	MSG_N_TYPES,
};

/* "CONN_OPEN", or "?" for a number that is no type. */
const char *msg_name(uint32_t type);

/* --- writing ------------------------------------------------------------ */

struct msg_out {
	struct buf b;
	int fd; /* borrowed until sent, or -1 */
};

/* Begin a message; id is the request id (0 where none is needed). */
void msg_begin(struct msg_out *m, enum msg_type type, uint32_t id);
void msg_put_u32(struct msg_out *m, uint32_t v);
void msg_put_u64(struct msg_out *m, uint64_t v);
void msg_put_bytes(struct msg_out *m, struct slice s);
void msg_put_str(struct msg_out *m, const char *s);
/*
 * Send it whole, without blocking; asserts that the fields are those of
 * messages.def.  Releases m in every case; the descriptor stays the caller's.
 * Returns 0, ERR_BUSY (the socket is full: begin again later), ERR_LIMIT
 * (larger than a packet may be) or ERR_SYS with errno.
 */
int msg_send(int sock, struct msg_out *m) MUST_USE;
/* The same, but m is kept, for a sender that tries again later. */
int msg_offer(int sock, const struct msg_out *m) MUST_USE;
/* The packet's bytes instead of sending (for queues); then msg_out_fini(). */
struct slice msg_finish(struct msg_out *m);
void msg_out_fini(struct msg_out *m);

/* --- reading ------------------------------------------------------------ */

struct msg_in {
	enum msg_type type;
	uint32_t id;
	int fd; /* the reader's from now on, or -1 */
	struct slice rest;
	size_t len; /* of the packet, from the beginning of its space */
	bool bad;   /* sticky: a getter failed */
};

/*
 * Receive one packet into space (MSG_SIZE_MAX bytes, the message borrows
 * it).  Returns 1; 0 at end of file; ERR_BUSY when there is none now;
 * ERR_FORMAT for bytes that are no message of messages.def sent by `from`
 * to `to` (any descriptor is closed); ERR_SYS.  ERR_LIMIT: a message is there,
 * but not its descriptor, as this process can have no more.
 */
int msg_recv(int sock, enum msg_role from, enum msg_role to, uint8_t *space,
    struct msg_in *m) MUST_USE;
/* Parse a packet held in memory; as msg_recv, without a descriptor. */
int msg_parse(struct slice packet, enum msg_role from, enum msg_role to,
    struct msg_in *m) MUST_USE;

uint32_t msg_get_u32(struct msg_in *m);
uint64_t msg_get_u64(struct msg_in *m);
struct slice msg_get_bytes(struct msg_in *m);
/* Bytes as a string; holds a NUL inside: bad.  Borrowed from the packet. */
const char *msg_get_str(struct msg_in *m);
/* True when no getter failed and nothing is left over. */
bool msg_get_end(struct msg_in *m) MUST_USE;

#endif
