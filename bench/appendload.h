/*
 * appendload: what its two files share, clients that append (appendload.c) and
 * what their appends come down to (appendfloor.c).
 *
 * Layer:  bench, uses libc.
 */
#ifndef BENCH_APPENDLOAD_H
#define BENCH_APPENDLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIZE = 4000, WIRE_MAX = 8192, CLIENTS_MAX = 64, LINE_SIZE = 4096 };

/* The message; wire: the same with CRLF. */
extern char message[SIZE], wire[WIRE_MAX];
extern size_t n_wire;
/* Literals don't wait for the server. */
extern bool plus;

/* End the program, with errno's words. */
_Noreturn void fail(const char *what);

#define MUST(x)                                                                \
 do {                                                                          \
  if ((x) < 0)                                                                 \
   fail(#x);                                                                   \
 } while (0)

/* What is measured is between these. */
void begin(void);
void end(void);

void send_all(int fd, const char *p, size_t n);
/* One client, without a login, appends so many. */
void append_by_one(uint16_t port, unsigned each);

/* --- appendfloor.c -------------------------------------------------------- */

/*
 * Each layer has what those before it have.  The frames of the log are those of
 * SQLite: a header and a page each, in two calls, over again from its start
 * when it has a thousand of them.
 */
enum layer {
	LAYER_BARE,	/* the calls of do_bare() */
	LAYER_LOG,	/* a log, written and synced beside the directory */
	LAYER_SOCKET,	/* a client, one round trip */
	LAYER_CONTINUE, /* another round trip for the literal */
	LAYER_THREADS,	/* one thread has the socket, others sync; one trip */
	LAYER_THREADS_CONTINUE,
	LAYER_THREADS_UNSYNCED, /* one trip; the log is written, not synced */
};

void do_bare(unsigned each, char **dirs, unsigned n);
void do_floor(enum layer layer, unsigned each, const char *dir);

#endif
