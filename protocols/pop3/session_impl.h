/*
 * pop3_session_impl: the session's struct and its steps, for the files of
 * this folder.
 *
 * Layer:  protocols/pop3.
 *
 *   session.c   the runner, the worker's calls, opening the mailbox
 *   commands.c  the table of commands, and those that end at once
 *   message.c   LIST and UIDL of everything, RETR, TOP
 *   wrap.c      which messages have headers that aren't ASCII, and what is
 *               sent around those
 *   update.c    QUIT
 */
#ifndef PROTOCOLS_POP3_SESSION_IMPL_H
#define PROTOCOLS_POP3_SESSION_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/step.h"
#include "maildir/change.h"
#include "maildir/mailbox.h"
#include "protocols/pop3/headers.h"
#include "protocols/pop3/maildrop.h"
#include "protocols/pop3/session.h"
#include "protocols/pop3/stuff.h"
#include "protocols/pop3/surrogate.h"

struct pop3_session;

/*
 * A step sets p->step to what comes next and returns STEP_NEXT, or returns
 * why it must be called again.
 */
struct pop3_step {
	const char *name;
	enum step (*fn)(struct pop3_session *p);
	/* An end from outside waits for it (critical), or comes without a
	 * word because a response is half out (mute). */
	bool critical, mute;
};

struct pop3_session {
	struct session s; /* must be first */
	uint32_t magic;
	const struct pop3_options *opt;
	const struct pop3_step *step;

	/* who: copies */
	char *user, *client_addr;
	char *mechs; /* NULL: there was no login */
	bool password;
	const char *ident;
	uint32_t client_port;
	bool tls;
	bool utf8; /* the client said UTF8 */
	uint64_t id, rcvd_before, sent_before;

	struct account *account;
	struct mailbox *mailbox; /* NULL until it is open */
	struct pop3_maildrop drop;

	int64_t now, wall;   /* of this run */
	int64_t started;     /* when the session began */
	int64_t idle_since;  /* good while waiting */
	int64_t retry_until; /* a busy mailbox: when to give up; 0: isn't */
	bool waiting;	     /* for a command */
	bool eof;	     /* no more input will come */
	bool ending;	     /* an end from outside is to be obeyed */
	bool skipping;	     /* inside of a line that was too long */
	enum session_end why;
	uint64_t top, retr; /* bytes of files sent */
	unsigned bad;	    /* bad commands in a row */

	/* the command in progress */
	size_t at;    /* LIST, UIDL, DELETED lines: index of the next */
	int fd;	      /* RETR, TOP: the file, or -1 */
	uint64_t off; /* RETR, TOP: read so far */
	uint32_t uid; /* RETR, TOP: whose file */
	bool is_top;
	uint64_t wrap; /* RETR, TOP: email id, if it goes out within a
			* surrogate; else 0 */
	struct pop3_stuff stuff;
	struct pop3_headers *headers; /* of the message at is looked at */
	struct change_flags *flags;
	struct change_expunge *removal;
};

enum { POP3_MAGIC = 0x706f7033 };

extern const struct pop3_step pop3_step_command, pop3_step_list, pop3_step_uidl,
    pop3_step_send, pop3_step_seen, pop3_step_update, pop3_step_ended,
    pop3_step_headers;

/* Queue a response line; text without its CRLF. */
void pop3_reply(struct pop3_session *p, const char *text);
/* The session is over for this reason once the output is sent. */
enum step pop3_end(struct pop3_session *p, enum session_end why);
/* Go on with another step. */
enum step pop3_goto(struct pop3_session *p, const struct pop3_step *step);
/* Log a failure of the environment, once. */
void pop3_log_error(
    struct pop3_session *p, const char *what, int rc, const struct err *e);
/*
 * After ERR_MORE, and after ERR_BUSY until it has gone on for too long: true,
 * and the same step is to be tried again; return pop3_retry_step().
 */
bool pop3_retry(struct pop3_session *p, int rc);
enum step pop3_retry_step(const struct pop3_session *p);

/* Act on one line of the client. */
void pop3_command(struct pop3_session *p, struct slice line);
/* Answer what is no command; ends the session when there are too many. */
void pop3_bad_command(struct pop3_session *p, const char *text);
/* RETR (UINT64_MAX lines, not top) or TOP: answer, and begin to send. */
void pop3_message_begin(struct pop3_session *p, const struct pop3_item *item,
    bool top, uint64_t lines);

/* The bytes before the message, and behind it, put out as RETR or TOP puts
 * those of the message. */
void pop3_wrap_head(struct pop3_session *p);
void pop3_wrap_tail(struct pop3_session *p);
/* UTF8 was said: from now on messages go out as they are. */
void pop3_wrap_nothing(struct pop3_session *p);

#endif
