/*
 * imap_session_impl: the session's struct and its steps, for the files of
 * this folder.
 *
 * Layer:  protocols/imap.
 *
 *   session.c     the runner, the worker's calls, log lines
 *   input.c       from bytes to one whole command
 *   command.c     the table of commands, the end of a command, its reply
 *   sync.c        what changed in the mailbox, told where it is allowed
 *   names.h       names of mailboxes, on the wire and in the store
 *   rights.h      where mailboxes are, and what may be done there
 *   condstore.h   mod-sequences, and what a client missed
 *   cmd_*.c       commands; fetch_*.c and search_*.c are their engines
 *
 * The life of a command: input.c gathers it in line and has it parsed by the
 * row's parse function, which must take all of it and change nothing; then
 * its step runs, as often as it asks for, and ends with imap_finish().  That
 * tells what changed, writes the tagged reply, calls cleanup and resets the
 * arena, in which all that belongs to the command lives.
 */
#ifndef IMAP_SESSION_IMPL_H
#define IMAP_SESSION_IMPL_H

#include "base/arena.h"
#include "base/err.h"
#include "maildir/acl.h"
#include "maildir/mailbox.h"
#include "maildir/shared_link.h"
#include "protocols/imap/lex.h"
#include "protocols/imap/saved.h"
#include "protocols/imap/seqset.h"
#include "protocols/imap/session.h"
#include "protocols/imap/writer.h"
#include "protocols/mime/address.h"
#include "protocols/mime/message.h"
#include "protocols/mime/wire.h"

struct imap_session;
struct imap_place;

/*
 * A step calls imap_goto() or imap_finish() and returns STEP_NEXT, or returns
 * why it must be called again.
 */
struct imap_step {
	const char *name;
	enum step (*fn)(struct imap_session *i);
	/* An end from outside waits for it: something is half done. */
	bool critical;
};

enum imap_state {
	IMAP_AUTHENTICATED = 1,
	IMAP_SELECTED = 2,
	IMAP_ANY = 3,
	IMAP_NOT_AUTHENTICATED = 4, /* never, here: BAD */
};

enum imap_command_flag {
	IMAP_USES_SEQ = 1,	  /* its arguments are sequence numbers */
	IMAP_MAY_EXPUNGE = 2,	  /* EXPUNGE may be told at its end */
	IMAP_CHANGES_MAILBOX = 4, /* not in a mailbox opened by EXAMINE */
	IMAP_HAS_UID = 8,	  /* also as UID command */
	IMAP_ONLY_UID = 16,	  /* only as UID command (UID EXPUNGE) */
	IMAP_REFRESH = 32,	  /* look at the disk before its reply */
	IMAP_LEAVES = 64,	  /* the selected mailbox, whatever it was */
};

struct imap_command {
	struct slice name;
	/* The arguments, with their CRLF; sets i->args. */
	enum parse (*parse)(struct imap_session *i, struct imap_lex *lx);
	const struct imap_step *step;
	unsigned states; /* enum imap_state */
	unsigned flags;	 /* enum imap_command_flag */
	const char *rfc; /* where it is specified */
};

/* \Recent of this session (RFC 3501 2.3.2): UIDs from … below to. */
enum { IMAP_RECENT_MAX = 64 };
struct imap_recent {
	struct imap_recent_uids {
		uint32_t from, to;
	} * v;
	size_t n;
};

/* The telling of changes, half way (sync.c). */
struct imap_sync {
	struct view *to; /* NULL: none is under way */
	struct view_diff diff;
	const struct imap_set *skip;
	uint32_t n_expunged;
	uint8_t phase;
	bool may_expunge;
	bool vanishing; /* a VANISHED response is being written */
	struct imap_put_set vanished;
};

/* The message looked into last: clients ask for it part by part. */
struct imap_parsed {
	uint32_t uid; /* 0: none */
	bool whole;   /* not only its header */
	bool table;   /* only its parts, from the cache: no fields, no types */
	uint64_t print; /* of its file (fetch_parts.c), or 0 */
	bool counted;	/* what isn't kept yet: parts[].decoded */
	struct mime_message msg;
	struct mime_parser *parser; /* while it is being looked into */
	struct mime_parser *spare;  /* for the next message, or NULL */
	int fd;			    /* borrowed, as long as parser */
	uint64_t at, size;	    /* bytes looked at, and to look at */
};

/* What of a command is still to come when it's over. */
enum imap_left {
	IMAP_LEFT_NONE,
	IMAP_LEFT_LINE,	   /* the rest of a line */
	IMAP_LEFT_LITERAL, /* i->literal, if it comes unasked, and a line */
};

/* Where the last partial fetch ended, for the next one. */
struct imap_mark {
	uint32_t uid; /* 0: none */
	uint64_t off, len;
	struct mime_wire_mark mark;
};

/* IMAP_DISABLETHREADSORT */
#define IMAP_NO_THREAD_SORT "[CANNOT] Disabled by the administrator."

/* RFC 7888 5: of a literal that isn't waited for, with LITERAL- */
enum { IMAP_LITERAL_MINUS_MAX = 4096 };

/* The part that BINARY counted last. */
struct imap_counted {
	uint32_t uid; /* 0: none */
	uint64_t off, len, total;
	bool has_nul;
};

enum { IMAP_MAGIC = 0x696d6170, IMAP_ID_MAX = 30 };

/*
 * What a session that does something has besides: made by the first run, gone
 * while its mailbox hibernates, and never NULL within a run.
 */
struct imap_work {
	struct imap_sync sync;
	struct imap_parsed parsed;
	struct imap_mark mark;
	struct imap_counted counted;
	/* of the message at hand: kept.c, fetch_look.c */
	struct buf kept_fields, kept_key;
	struct mime_addresses addresses; /* for envelopes */
};

struct imap_session {
	struct session s; /* must be first */
	unsigned magic;
	const struct imap_options *opt;
	const struct imap_step *step;

	/* who: copies */
	char *user, *client_addr, *login_tag, *login_command;
	const char *ident;
	uint32_t client_port;
	bool tls;
	uint64_t id, rcvd_before, sent_before;
	char *identity; /* the user as lists of rights name him */
	char *options;	/* of the account; NULL: none */
	struct account *account;
	/* others that the command in progress is about */
	struct account *visited[2];
	unsigned n_visited;

	int64_t now, wall;   /* of this run */
	int64_t started;     /* when the session began */
	int64_t idle_since;  /* good while waiting */
	int64_t retry_until; /* somebody holds the store: when to give up */
	size_t budget;	     /* of work, in this run */
	bool waiting;	     /* for the client */
	bool eof;	     /* no more input will come */
	bool ending;	     /* an end from outside is to be obeyed */
	bool half; /* a response is half out: nothing may come between */
	enum session_end why;
	uint64_t headers, bodies; /* bytes fetched, for the log */

	/* the selected mailbox; NULL: none */
	struct mailbox *mailbox;
	struct account *selected_in; /* its account; held by the mailbox */
	unsigned rights;	     /* enum acl_right, there */
	uint32_t recent_told;
	struct acl_print acl_seen; /* when the rights were looked at */
	bool rights_checked;	   /* in this turn, when a command began */
	bool own, link;		   /* as in struct imap_place */
	bool examined;		   /* by EXAMINE */
	bool read_only;		   /* or no right to write anything */
	bool changed;		   /* the store says so */
	bool idling;		   /* and it may be told at any time */
	bool condstore, qresync; /* enabled, for the whole session (RFC 7162) */
	bool utf8;		 /* UTF8=ACCEPT is enabled (RFC 6855) */
	bool modseq_lowered;	 /* it was told to hold less than modseq_told */
	bool modseq_code;	 /* HIGHESTMODSEQ is due before the reply */
	uint64_t modseq_held;	 /* what the client holds for the highest */
	uint64_t modseq_told;	 /* highest in a FETCH since its last command */
	struct mailbox_listener listener;
	struct view *view; /* what the client has been told */
	size_t n_keywords; /* told in FLAGS */
	struct imap_recent recent;
	struct imap_saved saved; /* "$" */
	struct imap_work *work;

	struct imap_trashed {
		uint32_t *v;
		size_t n, cap;
	} trashed; /* UIDs copied to the trash in this session */

	/* the command as it comes (input.c) */
	struct buf line;
	size_t n_line;	   /* bytes of lines, without literals */
	size_t line_at;	   /* where the line under way begins */
	size_t n_literal;  /* bytes of literals */
	size_t n_literals; /* number of them */
	size_t scanned;	   /* bytes of the input without a line break */
	uint64_t want;	   /* bytes of a literal still to come */
	uint64_t skip;	   /* bytes of a refused literal still to come */
	bool skipping;	   /* up to the end of a refused command's line */
	unsigned n_bad;

	/* the command in progress */
	struct arena arena;
	const struct imap_command *cmd;
	struct slice tag;
	char *kept_tag; /* the tag's bytes, if they aren't in line */
	bool uid;	/* as UID command */
	/* its mailbox was named with "INBOX.", and so is it in the answer */
	bool names_complete;
	/* sequence numbers are among the arguments of a UID command */
	bool by_numbers;
	uint32_t logged; /* sum of the last line of imap_log_error() */
	int64_t progress_told; /* when it began, or when that was told last */
	void *args;
	bool stream; /* its literal goes to the step, not to line */
	struct imap_literal literal;
	enum imap_left left;
	void (*cleanup)(struct imap_session *i);
	struct buf reply; /* text of the tagged reply */
	const char *reply_state;
	uint8_t finish_phase;
	bool modified; /* before that text, imap_put_modified() */
};
/* Ten thousand may be idle; the next size of pieces in base/pool.c is 1024. */
_Static_assert(sizeof(struct imap_session) <= 960, "one size of pieces less");

/* --- session.c ----------------------------------------------------------- */

enum step imap_goto(struct imap_session *i, const struct imap_step *step);
/* Over: BYE with this text (NULL: without), then the end. */
enum step imap_bye(
    struct imap_session *i, enum session_end why, const char *text);
/* Wait for the client; ends at eof and at autologout. */
enum step imap_wait_input(struct imap_session *i);
/*
 * Account for work done (bytes looked at); true when the slice is used up
 * and STEP_YIELD is due.
 */
bool imap_spend(struct imap_session *i, size_t work);
/* The work of finding a message's file, whatever is then done with it. */
enum { IMAP_FILE_WORK = 8192 };
/* mailbox_message_info(), accounted for. */
int imap_message_info(
    struct imap_session *i, uint32_t uid, struct message_info *out) MUST_USE;
/* Whether so much output waits that a step should pause. */
bool imap_output_full(const struct imap_session *i);
/* Log a failure of the environment; of a command that meets the same with each
 * message, once. */
void imap_log_error(
    struct imap_session *i, const char *what, int rc, const struct err *e);
/*
 * After ERR_MORE, and after ERR_BUSY until it has gone on for too long: true,
 * and the same step is to be tried again; return imap_retry_step().
 */
bool imap_retry(struct imap_session *i, int rc) MUST_USE;
enum step imap_retry_step(const struct imap_session *i);
void imap_log_line(struct imap_session *i, const char *event, const char *fmt,
    ...) PRINTF_LIKE(3, 4);
/* Whether LITERAL- is told in place of LITERAL+ (RFC 7888 5). */
bool imap_literal_minus(const struct imap_session *i);
/* Append "CAPABILITY IMAP4rev1 …". */
void imap_put_capability(const struct imap_session *i, struct buf *out);

/* --- cmd_store.c --------------------------------------------------------- */

/* A piece of "[MODIFIED …] ", which may be as long as the mailbox has messages;
 * true: there is more. */
bool imap_put_modified(struct imap_session *i);

/* --- progress.c ---------------------------------------------------------- */

/*
 * A command goes on for long: tell that, every opt->progress_ms, where a
 * response may stand (RFC 9585).  goal 0: how much is to be done isn't known.
 */
void imap_progress(struct imap_session *i, uint64_t done, uint64_t goal);

/* --- input.c ------------------------------------------------------------- */

extern const struct imap_step imap_step_command;

/* The command is over; what is left of it (i->left) is passed over. */
void imap_input_done(struct imap_session *i);

/* --- command.c ----------------------------------------------------------- */

/* What the parse of a whole command comes to. */
enum imap_verdict {
	IMAP_RUN,     /* go to imap_step_begin */
	IMAP_WANT,    /* gather the literal i->literal */
	IMAP_REFUSED, /* replied; pass over what is left of it */
};
/* Parse what is in i->line and check it against the table. */
enum imap_verdict imap_command_parse(struct imap_session *i);
/* Look whether it may be done in the selected mailbox, then go to its step. */
extern const struct imap_step imap_step_begin;
/* The tagged BAD for it, counted; text is a constant. */
void imap_bad(struct imap_session *i, const char *text);
/*
 * The command is over: tell what changed, then "tag state text".  state:
 * "OK", "NO", "BAD".
 */
enum step imap_finish(struct imap_session *i, const char *state,
    const char *fmt, ...) PRINTF_LIKE(3, 4);
/*
 * The command failed with ERR_*: NO with what a client can know of it
 * (RFC 5530), and a log line if it's ours.
 */
enum step imap_fail(
    struct imap_session *i, const char *what, int rc, const struct err *e);
/*
 * The command came to 0 or ERR_*, and its name says what it did: OK or
 * imap_fail(); or, as long as it's worth trying again, STEP_WAIT_PEER.
 */
enum step imap_finish_rc(struct imap_session *i, int rc, const struct err *e);
/* Release what belongs to the command in progress. */
void imap_command_clear(struct imap_session *i);
/* The command's args: zeroed, in the arena. */
void *imap_args(struct imap_session *i, size_t size);
#define IMAP_ARGS(i, type) ((type *)imap_args((i), sizeof(type)))

/* --- sync.c -------------------------------------------------------------- */

/*
 * Begin to tell what changed since the client was told last.  Without
 * may_expunge, nothing is told if that included an expunge (RFC 3501 7.4.1).
 * skip: sequence numbers whose flags are told elsewhere, or NULL.
 */
void imap_sync_begin(
    struct imap_session *i, bool may_expunge, const struct imap_set *skip);
/* STEP_DONE, STEP_YIELD, STEP_WAIT_OUTPUT. */
enum step imap_sync_step(struct imap_session *i);
/* The untagged responses of SELECT: FLAGS, EXISTS, RECENT, …  */
void imap_sync_select(struct imap_session *i);
/* FLAGS and PERMANENTFLAGS. */
void imap_sync_flags(struct imap_session *i);
/* FLAGS again if there are new keywords (RFC 3501 7.2.6). */
void imap_sync_keywords(struct imap_session *i);
/* No mailbox is selected any more. */
void imap_deselect(struct imap_session *i);
/* Listen to the mailbox; its view is told by imap_sync_select. */
void imap_selected(struct imap_session *i, struct mailbox *m,
    const struct imap_place *p, bool examined);

/* --- sets.c -------------------------------------------------------------- */

/* A sequence-set (or UIDs), or "$", resolved; PARSE_BAD for numbers beyond the
 * end. */
enum parse imap_parse_set(
    struct imap_session *i, struct imap_lex *lx, struct imap_set *out) MUST_USE;
/* The same, of UIDs whether it's a UID command or not. */
enum parse imap_parse_set_as(struct imap_session *i, struct imap_lex *lx,
    bool uid, struct imap_set *out) MUST_USE;
/*
 * UIDs of the messages of a resolved set from *next on, at most max, into
 * uids; moves *next on (0 at the end).  Returns how many.
 */
size_t imap_set_uids(const struct imap_session *i, const struct imap_set *set,
    uint32_t *next, uint32_t *uids, size_t max);
/* All of them, in the arena; NULL (and *n 0) if there are none. */
uint32_t *imap_set_all_uids(
    struct imap_session *i, const struct imap_set *set, size_t *n);

/* --- look.c -------------------------------------------------------------- */

/*
 * Begin to look into a message (whole: not only its header), unless that was
 * the last thing done; fd, a file of size bytes, must stay open meanwhile.
 */
void imap_look_begin(
    struct imap_session *i, uint32_t uid, int fd, uint64_t size, bool whole);
/* The message's first bytes, if they are at hand. */
void imap_look_feed(struct imap_session *i, struct slice head);
/*
 * Go on; STEP_YIELD, or STEP_DONE: i->work->parsed is complete, or *rc is
 * ERR_SYS (logged).  Done at once when nothing is under way.
 */
enum step imap_look_step(struct imap_session *i, int *rc);
/* Give up what is under way. */
void imap_look_drop(struct imap_session *i);
/* Forget the message. */
void imap_look_forget(struct imap_session *i);
/* Give back what was kept for the next message; nothing is under way. */
void imap_look_trim(struct imap_session *i);
/* Have i->work, or do without it. */
void imap_work_begin(struct imap_session *i);
void imap_work_end(struct imap_session *i);

/* --- flags.c ------------------------------------------------------------- */

struct imap_flags {
	uint32_t flags; /* enum message_flag */
	struct slice *keywords;
	size_t n_keywords;
};
/* flag-list in parentheses, or (bare) flags without. */
enum parse imap_parse_flags(struct imap_session *i, struct imap_lex *lx,
    bool bare, struct imap_flags *out) MUST_USE;
/* Append "(\Seen …)" of a message. */
void imap_put_flags(
    struct imap_session *i, struct buf *out, const struct message *m);
/* Append all flags known in the mailbox. */
void imap_put_known_flags(struct imap_session *i, struct buf *out);
/* Append those that may be changed, and "\*" if that is so of new ones. */
void imap_put_permanent_flags(struct imap_session *i, struct buf *out);
bool imap_is_recent(const struct imap_session *i, uint32_t uid);
/* The message's newest state, or what the client knows of it. */
const struct message *imap_newest(
    const struct view *newest, const struct message *m);

/* --- cmd_mailbox.c ------------------------------------------------------- */

struct account_change;
/* As account_change_step(), which a busy database keeps waiting until it has
 * gone on for too long; STEP_DONE: the change is freed. */
enum step imap_change_step(struct imap_session *i,
    struct account_change **change, int *rc, struct err *e) MUST_USE;

/* --- outbox.c ------------------------------------------------------------ */

/* Whether a message for that mailbox is to be sent. */
bool imap_is_outbox(
    const struct imap_session *i, const struct imap_place *place);
/* The capability that tells of OUTBOX, if there is one. */
void imap_put_outbox(const struct imap_session *i, struct buf *out);
/* Have a message sent; takes the open file. */
void imap_send_begin(struct imap_session *i, int fd);
/*
 * STEP_WAIT_PEER, or STEP_DONE: *rc is 0 when it was sent, else ERR_TEMPORARY
 * with the reason in *e, which is logged.
 */
enum step imap_send_step(struct imap_session *i, int *rc, struct err *e);

/* --- the commands -------------------------------------------------------- */

enum parse imap_parse_none(struct imap_session *i, struct imap_lex *lx);

#define IMAP_COMMAND_FUNCTIONS(name)                                           \
 enum parse imap_parse_##name(struct imap_session *i, struct imap_lex *lx);    \
 extern const struct imap_step imap_step_##name

extern const struct imap_step imap_step_capability, imap_step_noop,
    imap_step_logout, imap_step_namespace, imap_step_close, imap_step_unselect,
    imap_step_idle, imap_step_expunge;
IMAP_COMMAND_FUNCTIONS(id);
IMAP_COMMAND_FUNCTIONS(enable);
IMAP_COMMAND_FUNCTIONS(getquota);
IMAP_COMMAND_FUNCTIONS(getquotaroot);
IMAP_COMMAND_FUNCTIONS(setquota);
IMAP_COMMAND_FUNCTIONS(select);
IMAP_COMMAND_FUNCTIONS(create);
IMAP_COMMAND_FUNCTIONS(delete);
IMAP_COMMAND_FUNCTIONS(rename);
IMAP_COMMAND_FUNCTIONS(subscribe);
IMAP_COMMAND_FUNCTIONS(list);
IMAP_COMMAND_FUNCTIONS(status);
IMAP_COMMAND_FUNCTIONS(append);
IMAP_COMMAND_FUNCTIONS(search);
IMAP_COMMAND_FUNCTIONS(sort);
IMAP_COMMAND_FUNCTIONS(compress);
IMAP_COMMAND_FUNCTIONS(thread);
IMAP_COMMAND_FUNCTIONS(fetch);
IMAP_COMMAND_FUNCTIONS(store);
IMAP_COMMAND_FUNCTIONS(copy);
IMAP_COMMAND_FUNCTIONS(uid_expunge);
IMAP_COMMAND_FUNCTIONS(acl);
IMAP_COMMAND_FUNCTIONS(setacl);
IMAP_COMMAND_FUNCTIONS(deleteacl);
IMAP_COMMAND_FUNCTIONS(getacl);
IMAP_COMMAND_FUNCTIONS(listrights);
IMAP_COMMAND_FUNCTIONS(myrights);

/* --- trash.c -------------------------------------------------------------- */

struct change_expunge;
/* UIDs of the selected mailbox were copied to target. */
void imap_trash_copied(struct imap_session *i, struct slice target,
    const uint32_t *uids, size_t n);
void imap_trash_forget(struct imap_session *i);
/* change_expunge_begin(), or into the trash if that is configured. */
int imap_expunge_begin(struct imap_session *i, const uint32_t *uids, size_t n,
    struct change_expunge **out, struct err *e) MUST_USE;

#endif
