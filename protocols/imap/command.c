#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/pool.h"
#include "protocols/imap/condstore.h"
#include "protocols/imap/rights.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"

/* clang-format off */
#define COMMAND(name, parse, step, states, flags, rfc) \
	{ SLICE_INIT(name), imap_parse_##parse, &imap_step_##step, states, \
	    flags, rfc }

static const struct imap_command commands[] = {
	COMMAND("CAPABILITY", none, capability, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 3501 6.1.1"),
	COMMAND("NOOP", none, noop, IMAP_ANY,
	    IMAP_MAY_EXPUNGE | IMAP_REFRESH, "RFC 3501 6.1.2"),
	COMMAND("LOGOUT", none, logout, IMAP_ANY, IMAP_LEAVES,
	    "RFC 3501 6.1.3"),
	COMMAND("STARTTLS", none, noop, IMAP_NOT_AUTHENTICATED, 0,
	    "RFC 3501 6.2.1"),
	COMMAND("AUTHENTICATE", none, noop, IMAP_NOT_AUTHENTICATED, 0,
	    "RFC 3501 6.2.2"),
	COMMAND("LOGIN", none, noop, IMAP_NOT_AUTHENTICATED, 0,
	    "RFC 3501 6.2.3"),
	COMMAND("SELECT", select, select, IMAP_ANY, IMAP_LEAVES,
	    "RFC 3501 6.3.1"),
	COMMAND("EXAMINE", select, select, IMAP_ANY, IMAP_LEAVES,
	    "RFC 3501 6.3.2"),
	COMMAND("CREATE", create, create, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 3501 6.3.3"),
	COMMAND("DELETE", delete, delete, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 3501 6.3.4"),
	COMMAND("RENAME", rename, rename, IMAP_ANY,
	    IMAP_MAY_EXPUNGE | IMAP_REFRESH, "RFC 3501 6.3.5"),
	COMMAND("SUBSCRIBE", subscribe, subscribe, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 3501 6.3.6"),
	COMMAND("UNSUBSCRIBE", subscribe, subscribe, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 3501 6.3.7"),
	COMMAND("LIST", list, list, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 3501 6.3.8"),
	COMMAND("LSUB", list, list, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 3501 6.3.9"),
	COMMAND("STATUS", status, status, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 3501 6.3.10"),
	COMMAND("APPEND", append, append, IMAP_ANY,
	    IMAP_MAY_EXPUNGE | IMAP_REFRESH, "RFC 3501 6.3.11"),
	COMMAND("CHECK", none, noop, IMAP_SELECTED,
	    IMAP_MAY_EXPUNGE | IMAP_REFRESH, "RFC 3501 6.4.1"),
	COMMAND("CLOSE", none, close, IMAP_SELECTED, 0, "RFC 3501 6.4.2"),
	COMMAND("EXPUNGE", none, expunge, IMAP_SELECTED,
	    IMAP_MAY_EXPUNGE | IMAP_CHANGES_MAILBOX | IMAP_REFRESH,
	    "RFC 3501 6.4.3"),
	COMMAND("EXPUNGE", uid_expunge, uid_expunge, IMAP_SELECTED,
	    IMAP_MAY_EXPUNGE | IMAP_CHANGES_MAILBOX | IMAP_REFRESH |
	    IMAP_ONLY_UID, "RFC 4315 2.1"),
	COMMAND("SEARCH", search, search, IMAP_SELECTED,
	    IMAP_USES_SEQ | IMAP_HAS_UID, "RFC 3501 6.4.4"),
	COMMAND("SORT", sort, sort, IMAP_SELECTED,
	    IMAP_USES_SEQ | IMAP_HAS_UID, "RFC 5256 3"),
	COMMAND("THREAD", thread, thread, IMAP_SELECTED,
	    IMAP_USES_SEQ | IMAP_HAS_UID, "RFC 5256 3"),
	COMMAND("FETCH", fetch, fetch, IMAP_SELECTED,
	    IMAP_USES_SEQ | IMAP_HAS_UID, "RFC 3501 6.4.5"),
	COMMAND("STORE", store, store, IMAP_SELECTED,
	    IMAP_USES_SEQ | IMAP_HAS_UID | IMAP_CHANGES_MAILBOX,
	    "RFC 3501 6.4.6"),
	COMMAND("COPY", copy, copy, IMAP_SELECTED,
	    IMAP_USES_SEQ | IMAP_HAS_UID | IMAP_MAY_EXPUNGE,
	    "RFC 3501 6.4.7"),
	COMMAND("MOVE", copy, copy, IMAP_SELECTED,
	    IMAP_USES_SEQ | IMAP_HAS_UID | IMAP_MAY_EXPUNGE |
	    IMAP_CHANGES_MAILBOX | IMAP_REFRESH, "RFC 6851 3.1"),
	COMMAND("IDLE", none, idle, IMAP_ANY,
	    IMAP_MAY_EXPUNGE | IMAP_REFRESH, "RFC 2177 3"),
	COMMAND("NAMESPACE", none, namespace, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 2342 5"),
	COMMAND("ID", id, id, IMAP_ANY, IMAP_MAY_EXPUNGE, "RFC 2971 3.1"),
	COMMAND("UNSELECT", none, unselect, IMAP_SELECTED, IMAP_LEAVES,
	    "RFC 3691 2"),
	COMMAND("GETQUOTA", getquota, getquota, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 9208 4.1.1"),
	COMMAND("GETQUOTAROOT", getquotaroot, getquotaroot, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 9208 4.1.2"),
	COMMAND("SETQUOTA", setquota, setquota, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 9208 4.1.3"),
	COMMAND("ACL", acl, acl, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "ACL2=UNION"),
	COMMAND("SETACL", setacl, setacl, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 4314 3.1"),
	COMMAND("DELETEACL", deleteacl, deleteacl, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 4314 3.2"),
	COMMAND("GETACL", getacl, getacl, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 4314 3.3"),
	COMMAND("LISTRIGHTS", listrights, listrights, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 4314 3.4"),
	COMMAND("MYRIGHTS", myrights, myrights, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 4314 3.5"),
	COMMAND("COMPRESS", compress, compress, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 4978 3"),
	COMMAND("ENABLE", enable, enable, IMAP_ANY,
	    IMAP_MAY_EXPUNGE, "RFC 5161 3.1"),
};
/* clang-format on */

static const struct imap_command *
find(struct slice name, bool uid)
{
	for (size_t k = 0; k < NELEMS(commands); k++) {
		const struct imap_command *c = &commands[k];

		if (slice_ieq(c->name, name) &&
		    (uid ? (c->flags & (IMAP_HAS_UID | IMAP_ONLY_UID)) != 0
			 : (c->flags & IMAP_ONLY_UID) == 0))
			return c;
	}
	return NULL;
}

void *
imap_args(struct imap_session *i, size_t size)
{
	i->args = arena_zalloc(&i->arena, 1, size);
	assert(i->args != NULL);
	return i->args;
}

enum parse
imap_parse_none(struct imap_session *i, struct imap_lex *lx)
{
	(void)i;
	return imap_lex_crlf(lx);
}

/* --- the beginning of a command ------------------------------------------ */

void
imap_bad(struct imap_session *i, const char *text)
{
	i->n_bad++;
	imap_put_tagged(&i->s.out, i->tag, "BAD", "%s", text);
}

static enum imap_verdict
refuse(struct imap_session *i, const char *text)
{
	imap_bad(i, text);
	return IMAP_REFUSED;
}

/* The command's name: a row of the table, or why there is none. */
static const char *
parse_name(struct imap_session *i, struct imap_lex *lx)
{
	struct slice name;

	if (imap_lex_atom(lx, &name) != PARSE_OK)
		return "Missing command.";
	i->uid = slice_ieq(name, SLICE("UID"));
	if (i->uid &&
	    (imap_lex_space(lx) != PARSE_OK ||
		imap_lex_atom(lx, &name) != PARSE_OK))
		return "Missing command after UID.";
	i->cmd = find(name, i->uid);
	if (i->cmd == NULL)
		return "Unknown command.";
	if ((i->cmd->states & IMAP_NOT_AUTHENTICATED) != 0)
		return "Already authenticated.";
	if (i->mailbox == NULL && (i->cmd->states & IMAP_AUTHENTICATED) == 0)
		return "No mailbox is selected.";
	return NULL;
}

static enum imap_verdict
parse_args(struct imap_session *i, struct imap_lex *lx)
{
	enum parse r = i->cmd->parse(i, lx);

	/* why: a constant that names the rule of the grammar */
	switch (r) {
	case PARSE_OK:
		assert(lx->pos == lx->in.n);
		return IMAP_RUN;
	case PARSE_LITERAL:
		i->literal = lx->literal;
		return i->stream ? IMAP_RUN : IMAP_WANT;
	case PARSE_MORE:
		return refuse(i, "Missing argument.");
	case PARSE_BAD:
	case PARSE_LIMIT:
		break;
	}
	assert(lx->why != NULL);
	i->n_bad++;
	imap_put_tagged(&i->s.out, i->tag, "BAD", "%s%s: %s.",
	    r == PARSE_LIMIT ? "[LIMIT] " : "", /* RFC 5530 3 */
	    (const char *)i->cmd->name.p, lx->why);
	return IMAP_REFUSED;
}

enum imap_verdict
imap_command_parse(struct imap_session *i)
{
	struct imap_lex lx = imap_lex_of(buf_slice(&i->line));
	enum imap_verdict v;
	const char *why;

	imap_command_clear(i);
	if (imap_lex_tag(&lx, &i->tag) != PARSE_OK) {
		i->tag = slice_of(NULL, 0);
		return refuse(i, "Invalid tag.");
	}
	if (imap_lex_space(&lx) != PARSE_OK)
		return refuse(i, "Missing command.");
	why = parse_name(i, &lx);
	if (why != NULL)
		return refuse(i, why);
	v = parse_args(i, &lx);
	if (v == IMAP_RUN) {
		i->n_bad = 0;
		i->progress_told = i->now;
	}
	return v;
}

static enum step
begin_fn(struct imap_session *i)
{
	struct err e = { .code = 0 };
	int rc = 0;

	if (i->mailbox != NULL && (i->cmd->flags & IMAP_LEAVES) == 0) {
		rc = imap_rights_check(i, &e);
		i->rights_checked = rc == 0;
	}
	if (rc == ERR_NO_RIGHT)
		return imap_rights_lost(i);
	if (imap_retry(i, rc))
		return STEP_WAIT_PEER;
	/* APPEND, whose message is to be taken in first, finds out itself */
	if (rc != 0 && !i->stream)
		return imap_fail(i, "reading an access control list", rc, &e);
	if (i->mailbox != NULL && i->read_only &&
	    (i->cmd->flags & IMAP_CHANGES_MAILBOX) != 0)
		return imap_finish(
		    i, "NO", "[READ-ONLY] Mailbox is open for reading only.");
	return imap_goto(i, i->cmd->step);
}

const struct imap_step imap_step_begin = { "begin", begin_fn, false };

void
imap_command_clear(struct imap_session *i)
{
	if (i->cleanup != NULL)
		i->cleanup(i);
	i->cleanup = NULL;
	i->modified = false;
	imap_leave(i);
	i->args = NULL;
	i->cmd = NULL;
	i->stream = false;
	i->half = false;
	i->by_numbers = false;
	i->logged = 0;
	i->tag = slice_of(NULL, 0);
	pool_free(i->kept_tag);
	i->kept_tag = NULL;
	buf_reset(&i->reply);
	if (i->work != NULL) {
		buf_fini(&i->work->kept_fields);
		buf_fini(&i->work->kept_key);
	}
	arena_reset(&i->arena);
}

/* --- its end ------------------------------------------------------------- */

enum { FINISH_REFRESH, FINISH_SYNC, FINISH_SYNCING, FINISH_REPLY };

static enum step
refresh(struct imap_session *i)
{
	int rc = 0;
	enum step st;

	if (i->mailbox == NULL ||
	    ((i->cmd->flags & IMAP_REFRESH) == 0 && !i->changed)) {
		i->finish_phase = FINISH_SYNC;
		return STEP_NEXT;
	}
	st = mailbox_refresh(
	    i->mailbox, !i->read_only, i->s.waker, i->now, i->wall, &rc);
	if (st != STEP_DONE)
		return st;
	/* what can't be read now, however long that was tried, is told another
	 * time */
	if (rc != 0 && !mailbox_gone(i->mailbox))
		imap_log_error(i, "refresh", rc, NULL);
	i->changed = false;
	i->finish_phase = FINISH_SYNC;
	return STEP_NEXT;
}

static enum step
end_reply(struct imap_session *i)
{
	buf_put(&i->s.out, buf_slice(&i->reply));
	buf_puts(&i->s.out, "\r\n");
	imap_command_clear(i);
	imap_input_done(i);
	return imap_goto(i, &imap_step_command);
}

static enum step
modified_fn(struct imap_session *i)
{
	while (imap_put_modified(i)) {
		if (imap_output_full(i))
			return STEP_WAIT_OUTPUT;
		if (imap_spend(i, 16 * 1024))
			return STEP_YIELD;
	}
	return end_reply(i);
}

static const struct imap_step step_modified = { "MODIFIED", modified_fn,
	false };

static enum step
reply(struct imap_session *i)
{
	struct buf *out = &i->s.out, code;

	buf_init(&code, 100);
	imap_condstore_reply(i, i->reply_state, &code);
	if (i->modseq_code)
		imap_put_untagged(out,
		    "OK [HIGHESTMODSEQ %" PRIu64 "] Highest.", i->modseq_held);
	i->modseq_code = false;
	buf_put(out, i->tag);
	buf_putc(out, ' ');
	buf_puts(out, i->reply_state);
	buf_putc(out, ' ');
	buf_put(out, buf_slice(&code));
	buf_fini(&code);
	return i->modified ? imap_goto(i, &step_modified) : end_reply(i);
}

static enum step
finish_fn(struct imap_session *i)
{
	enum step st;
	/* RFC 7162 3.2.10.2: not in a UID SEARCH that has numbers, either */
	bool may_expunge = (i->uid && !i->by_numbers) ||
	    (i->cmd->flags & IMAP_MAY_EXPUNGE) != 0;

	if (i->finish_phase == FINISH_REFRESH)
		return refresh(i);
	/* deleted under our feet: nothing true can be said of it any more */
	if (i->mailbox != NULL && mailbox_gone(i->mailbox))
		return imap_bye(
		    i, SESSION_ERROR, "The selected mailbox was removed.");
	if (i->finish_phase == FINISH_SYNC) {
		imap_sync_begin(i, may_expunge, NULL);
		i->finish_phase = FINISH_SYNCING;
	}
	if (i->finish_phase == FINISH_SYNCING) {
		st = imap_sync_step(i);
		if (st != STEP_DONE)
			return st;
	}
	return reply(i);
}

static const struct imap_step step_finish = { "finish", finish_fn, true };

enum step
imap_finish(struct imap_session *i, const char *state, const char *fmt, ...)
{
	va_list ap;

	i->reply_state = state;
	buf_reset(&i->reply);
	va_start(ap, fmt);
	buf_vputf(&i->reply, fmt, ap);
	va_end(ap);
	i->finish_phase = FINISH_REFRESH;
	return imap_goto(i, &step_finish);
}

enum step
imap_fail(struct imap_session *i, const char *what, int rc, const struct err *e)
{
	static const struct {
		int rc;
		const char *text;
	} texts[] = {
		/* RFC 5530 3 */
		{ ERR_NOT_FOUND,
		    "[NONEXISTENT] Mailbox does not exist, or must be "
		    "subscribed to." },
		{ ERR_EXISTS, "[ALREADYEXISTS] Mailbox exists already." },
		{ ERR_INVALID, "[CANNOT] Invalid mailbox name." },
		{ ERR_DENIED, "[NOPERM] Permission denied." },
		{ ERR_NO_RIGHT,
		    "[NOPERM] You don't have the right to do that "
		    "(access control list)." },
		{ ERR_SPACE, "[UNAVAILABLE] No space on the disk." },
		{ ERR_QUOTA, "[OVERQUOTA] You exceeded your mail quota." },
		{ ERR_LIMIT, "[LIMIT] A limit of the server is reached." },
		{ ERR_BUSY, "[INUSE] Mailbox is in use, try again later." },
		{ ERR_TEMPORARY, "[UNAVAILABLE] Try again later." },
		{ ERR_STALE, "[UNAVAILABLE] Mailbox changed meanwhile." },
		{ ERR_DAMAGED, "[CORRUPTION] Mailbox is damaged." },
		{ ERR_FORMAT, "[CORRUPTION] Mailbox is damaged." },
		{ ERR_LAYOUT,
		    "[CONTACTADMIN] Mail is stored in a layout that "
		    "is not Maildir++." },
		{ ERR_SYS, "[CONTACTADMIN] The log tells what went wrong." },
	};

	if (rc == ERR_SYS || rc == ERR_DAMAGED || rc == ERR_SPACE ||
	    rc == ERR_LAYOUT || rc == ERR_FORMAT || rc == ERR_DENIED ||
	    rc == ERR_TEMPORARY)
		imap_log_error(i, what, rc, e);
	for (size_t k = 0; k < NELEMS(texts); k++)
		if (texts[k].rc == rc)
			return imap_finish(i, "NO", "%s", texts[k].text);
	return imap_finish(
	    i, "NO", "[SERVERBUG] Internal error, %s failed.", what);
}

enum step
imap_finish_rc(struct imap_session *i, int rc, const struct err *e)
{
	const char *name = (const char *)i->cmd->name.p;

	if (imap_retry(i, rc))
		return imap_retry_step(i);
	if (rc != 0)
		return imap_fail(i, name, rc, e);
	return imap_finish(i, "OK", "%s completed.", name);
}
