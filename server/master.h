/*
 * master: binds, spawns, counts; reads no byte that a client sent.
 *
 * Layer:  server.
 * One struct master is the whole state; the files master_*.c each hold one of
 * its relations: to login processes, workers, services, authdaemond, control.
 */
#ifndef SERVER_MASTER_H
#define SERVER_MASTER_H

#include <sys/queue.h>

#include <event2/event.h>

#include "base/err.h"
#include "server/conf/conf.h"
#include "server/conf/conf_client.h"
#include "server/conf/conf_words.h"
#include "server/net/access.h"
#include "server/net/addr.h"
#include "server/net/limits.h"
#include "server/peer.h"
#include "server/service.h"
#include "server/tickets.h"

enum {
	LOGINS_MAX = 64,
	LISTENERS_MAX = 64,
	TRUSTED_MAX = 256, /* networks of PROXY_TRUSTED */
	/* Connections whose handover a login process is told of at once. */
	HANDED_MAX = 32,
};

struct master_options {
	const char *confdir;
	bool foreground;   /* log on standard error, no detaching */
	bool keep;	   /* go on without any service */
	unsigned services; /* bit per service to switch on; 0: as configured */
};

struct master;

/* --- children ------------------------------------------------------------- */

enum child_kind {
	CHILD_LOGIN,
	CHILD_WORKER,
	CHILD_HOLDER,
	CHILD_HOOK,
	CHILD_OUTBOX
};

struct child {
	LIST_ENTRY(child) link;
	struct master *master;
	enum child_kind kind;
	pid_t pid;
	struct peer *peer;
	bool ready, stopping;
	int64_t end_by_ms; /* its socket has closed: it must end by then */
	unsigned index;	   /* a login process's slot; a holder's service */
	/* of a login process: */
	unsigned n_conns;	     /* that it has, and may keep */
	uint64_t handed[HANDED_MAX]; /* ids: it is still to be told of */
	unsigned n_handed;
	/* of a worker: */
	uid_t uid;
	gid_t gid;
	unsigned n_sessions;
	char *page;	    /* shared with it: the account at work */
	char *only_account; /* a worker made for one troublesome account */
	unsigned slot;	    /* which of the workers of its uid */
	char *hook_path;    /* of a hook: the Maildir */
	uint64_t conn_id;   /* of an outbox's: the session that waits for it */
	int report;	    /* and what it says: a pipe's end */
};

/* --- connections --------------------------------------------------------- */

/* One client connection, counted from the time it is known whose it is. */
struct conn_record {
	struct conn_record *next; /* in its bucket */
	uint64_t id;
	enum service service;
	struct addr addr;
	const char *client_addr, *local_addr; /* both in texts */
	uint32_t client_port, local_port;
	enum conn_verdict verdict; /* CONN_OK: it is counted */
	struct child *login;	   /* who has it, NULL when that is gone */
	struct child *worker;	   /* who serves it after the handover */
	char *user;
	char *vars; /* what the access file has for the address, or NULL */
	int64_t since_ms;
	/* A handover that waits for its ticket's push, or for a hook: */
	struct handover *waiting;
	struct child *hook;
	LIST_ENTRY(conn_record) by_waiting;
	char texts[];
};

enum { CONN_BUCKETS = 16384 };

struct listener {
	struct master *master;
	enum service service;
	int fd;
	struct event *on_accept;
	unsigned alone; /* turns until it is looked for a second client */
	struct addr local;
	uint16_t local_port;
	bool everywhere; /* each connection has a local address of its own */
};

struct service_state {
	bool on;
	struct listener listeners[LISTENERS_MAX];
	int n_listeners;
	struct child *holder;
	struct conf_tcpdopts opts;  /* as of the last conns_set_limits() */
	struct access *access;	    /* NULL: not yet loaded */
	uint64_t access_seen;	    /* fingerprint of its file */
	bool access_said;	    /* that it can't be read was logged */
	uint32_t warn_at;	    /* connections from which on to warn */
	int64_t warned_ms, full_ms; /* when that was logged last */
};

struct master {
	struct event_base *base;
	struct master_options opt;
	struct conf *conf;
	struct conf_clients clients; /* made of it */
	struct child *logins[LOGINS_MAX];
	unsigned n_logins;
	LIST_HEAD(, child) children; /* all kinds */
	unsigned n_workers;
	struct service_state services[N_SERVICES];
	struct conn_record *conns[CONN_BUCKETS];
	uint64_t last_conn_id;
	unsigned login_conns_max; /* that one login process may have */
	bool accept_paused;
	struct event *accept_resume;
	struct addr_net trusted[TRUSTED_MAX]; /* PROXY_TRUSTED */
	size_t n_trusted;
	LIST_HEAD(, conn_record) waiting; /* handovers without a ticket yet */
	struct limits *limits;
	struct tickets *tickets;
	struct peer *auth; /* ticket socket of authdaemond */
	struct event *auth_retry, *tick, *on_sigchld, *on_sigterm, *on_sigint,
	    *on_sighup;
	struct event *on_control;
	int control_fd;
	int lock_fd;
	bool stopping;
	int64_t stop_by_ms, access_look_ms, certs_look_ms;
	uint64_t certs_sent, certs_seen; /* fingerprints of certificates */
	/* Crashes lately: for back-off and for accounts that crash workers. */
	struct crash {
		char account[256];
		int64_t at_ms;
	} crashes[64];
	unsigned n_crashes;
	unsigned login_crashes;
};

/* Run the master until it is told to stop.  Returns the exit status. */
int master_main(
    const struct master_options *opt, struct conf *conf, int ready_fd);
/* Begin to stop everything; the loop ends when the children are gone. */
void master_stop(struct master *m);
/* Read the configuration again; keeps the running one if there is an error,
 * which is logged.  0 or ERR_FORMAT. */
int master_reload(struct master *m);

/* master_spawn.c */
/*
 * The path of a program that only the master starts, until the next call; a
 * build tree and tests name another folder.
 */
const char *master_program(const char *name);
/* The program that runs, whatever has its path by now; it is called
 * argv[0], "posternd", in ps and by name (main.c). */
#define MASTER_SELF "/proc/self/exe"
struct child *master_spawn(struct master *m, enum child_kind kind,
    const char *program, const char *const argv[], int extra_fd) MUST_USE;
void child_release(struct child *c);
/* A message of any child (master.c). */
void master_child_message(struct child *c, struct msg_in *in);
struct child *master_child_by_pid(struct master *m, pid_t pid);

/* master_login.c */
int master_logins_start(struct master *m);
/* Processors of this machine when it was first asked. */
unsigned master_cpus(void);
/* Configuration, TLS material, START: at start, when it gets a socket to
 * authdaemond, too, and at reload. */
void master_login_configure(struct child *c, bool first);
/* Of session tickets: what was sealed with those of before is none any more. */
void master_login_renew_keys(void);
void master_login_died(struct child *c);
/* Now and then: send certificates again whose files have changed. */
void master_certificates_tick(struct master *m, int64_t now_ms);
void master_login_send_auth(struct child *c);

/* master_accept.c */
/* Once the configuration is known, before a service is switched on. */
void master_accept_init(struct master *m);
void master_accept_fini(struct master *m);
/* Accept what comes by this socket, which is the service's from now on. */
void master_listen(struct master *m, enum service s, int fd);
/* Close a service's listening sockets. */
void master_unlisten(struct master *m, enum service s);
/* There is room again: a login process is ready. */
void master_accept_resume(struct master *m);

/* master_proxied.c */
/* Read PROXY_TRUSTED: at start and reload. */
void master_proxied_configure(struct master *m);
/* Whether the connection begins with a PROXY header. */
bool master_conn_is_proxied(
    const struct master *m, const struct conn_record *r);

/* master_access.c */
/* The access file of a service, "": none; valid until the next call. */
const char *master_access_path(const struct conf *c, enum service s);
/* For struct access_reader; arg: the enum service. */
const char *master_access_check(
    void *arg, struct slice name, struct slice value, bool *bad);
/* Read a service's access file if it has changed; 0 or ERR_SYS, when the rules
 * of before stay. */
int master_access_load(
    struct master *m, enum service s, struct err *e) MUST_USE;
/* The same for all, now and then; what fails is logged. */
void master_access_tick(struct master *m, int64_t now_ms);
/* Whether a client may connect; *rule: what its address has, or NULL. */
bool master_access_allows(const struct master *m, const struct conn_record *r,
    const struct access_rule **rule);
/* The variables that the access file has for it, and with -accesslocal for
 * where it connected to; NULL: none.  The caller frees. */
char *master_access_vars(const struct master *m, const struct conn_record *r,
    const struct access_rule *rule);

/* master_outbox.c: SEND of a worker, answered with SENT */
void master_outbox_send(struct child *worker, struct msg_in *in);
/* The answer that it can't be sent, which takes no descriptor. */
void master_outbox_refuse(struct child *worker, uint64_t id);
void master_outbox_died(struct child *c, int status);

/* master_conns.c */
struct conn_record *conn_find(struct master *m, uint64_t id);
void conn_drop(struct master *m, struct conn_record *r);
void conns_drop_child(struct master *m, const struct child *c);
void conns_set_limits(struct master *m);
/* The two ends of a connection. */
struct conn_ends {
	struct addr client, local;
	uint16_t client_port, local_port;
};
/* Give a client's socket, which stays the caller's, to a login process. */
void master_conn_accepted(
    struct child *login, enum service s, int fd, const struct conn_ends *ends);
void master_conn_open(struct child *c, struct msg_in *in);
/* A connection that waits for the hook, or NULL. */
struct conn_record *conn_of_hook(struct master *m, const struct child *hook);

/* master_handover.c */
/* What CONNECTION and SESSION begin with: its id, service and two ends. */
void conn_put(struct msg_out *out, const struct conn_record *r);
/* A HANDOVER of a login process; takes in->fd. */
void master_handover(struct child *c, struct msg_in *in);
/* Tell a login process which connections are workers' now. */
void master_handed_tell(struct child *login);
/* A ticket came or time passed: try the handovers that wait. */
void master_handovers_retry(struct master *m, int64_t now_ms);
/* A hook has ended: go on with those that waited for it. */
void master_handovers_hooked(struct master *m, const struct child *hook);
/* Its service stops: a handover that waits is refused. */
void master_handover_stop(struct conn_record *r);
/* The connection is gone, and with it its handover. */
void handover_forget(struct conn_record *r);

/* master_home.c */
/*
 * AUTH_MKHOMEDIR_SKEL: make a home directory as root, of mode 0700, for the
 * user.  0, or ERR_* when it can't be made; ERR_DENIED: a directory on the way
 * could be changed by others than root, who might lead us astray.
 */
int master_home_make(
    const char *home, uid_t uid, gid_t gid, struct err *e) MUST_USE;

/* master_hook.c */
/*
 * The process that runs the Maildir's loginexec, started if need be, for the
 * session to wait for; NULL: there is none to run.
 */
struct child *master_hook(struct master *m, const struct conn_record *r,
    const struct account_record *a, const char *path, const struct conf *conf);
void master_hook_died(struct child *c, int status);
/* Main function of that process. */
int hook_main(char *argv[]);

/* master_conns.c */
/* How many connections a service has, for its end. */
unsigned conns_of_service(const struct master *m, enum service s);
void conns_end_service(struct master *m, enum service s, unsigned why);
void conns_report(struct master *m, struct buf *out);
bool conns_kick(struct master *m, uint64_t id);

/* master_worker.c */
/* A worker for the account, started if need be; NULL, with a reason. */
struct child *master_worker_for(struct master *m,
    const struct account_record *r, const char *path, const char **why);
/* Why this uid may have no process at all, or NULL. */
const char *master_ids_refused(
    const struct master *m, const struct account_record *r);
/* End one that has no session. */
void master_worker_idle(struct child *c);
void master_worker_died(struct child *c, int status);

/* master_service.c */
int master_service_on(struct master *m, enum service s, struct err *e);
void master_service_off(struct master *m, enum service s);
void master_holder_died(struct child *c);
int master_service_tcpdopts(const struct master *m, enum service s,
    struct conf_tcpdopts *out, struct err *e);
const char *master_service_pidfile(const struct master *m, enum service s);
/* Whether it is to be switched on at start. */
bool master_service_wanted(const struct master *m, enum service s);

/* master_auth.c */
void master_auth_connect(struct master *m);
/*
 * Tickets are read when a handover wants one, and by the tick: one that is
 * pushed wakes nobody.  Only while a handover waits are they listened for.
 */
void master_auth_poll(struct master *m);
/* Read them up to this one, as far as they are there. */
void master_auth_fetch(struct master *m, struct slice ticket);
void master_auth_listen(struct master *m, bool on);
/* A new connection to authdaemond's login socket, or -1 with errno. */
int master_auth_dial(const struct master *m) MUST_USE;

/* master_control.c */
int master_control_open(struct master *m, struct err *e);

#endif
