/*
 * imap_condstore: mod-sequences, and what a client missed (RFC 7162).
 *
 * Layer:  protocols/imap.
 */
#ifndef IMAP_CONDSTORE_H
#define IMAP_CONDSTORE_H

#include "protocols/imap/session_impl.h"

/* A CONDSTORE enabling command (RFC 7162 3.1); tells HIGHESTMODSEQ if due. */
void imap_condstore_enable(struct imap_session *i);
/* HIGHESTMODSEQ of the mailbox just selected. */
void imap_condstore_selected(struct imap_session *i);
/* Append "MODSEQ (n)" for a FETCH response. */
void imap_put_modseq(struct imap_session *i, struct buf *out, uint64_t modseq);
/*
 * Before the text of a tagged reply: the code HIGHESTMODSEQ if the client is
 * to hold another one than it would.  Where the reply can't have it,
 * i->modseq_code asks for an untagged one.
 */
void imap_condstore_reply(
    struct imap_session *i, const char *state, struct buf *out);

/* The telling of VANISHED (EARLIER). */
struct imap_vanished {
	struct uid_range *known; /* expunged, or (too long ago) any */
	size_t n, at_known;
	struct imap_set wanted; /* UIDs, ascending */
	size_t at_wanted;
	uint32_t uid;	  /* where to go on */
	uint32_t uidnext; /* and where to end */
	bool open;	  /* a line is */
	size_t n_line;	  /* ranges in it */
	struct imap_put_set set;
};
void imap_vanished_init(struct imap_vanished *v);
void imap_vanished_fini(struct imap_vanished *v);
/*
 * Tell those of the wanted UIDs, from the UID from on, that were expunged
 * after the mod-sequence.  wanted must live as long.  0, ERR_BUSY, ….
 */
int imap_vanished_begin(struct imap_session *i, struct imap_vanished *v,
    struct imap_set wanted, uint64_t since, uint32_t from,
    struct err *e) MUST_USE;
/* STEP_DONE, STEP_YIELD, STEP_WAIT_OUTPUT. */
enum step imap_vanished_step(struct imap_session *i, struct imap_vanished *v);

/* --- resync.c ------------------------------------------------------------ */

/* The QRESYNC parameter (RFC 7162 3.2.5), and its answer under way. */
struct imap_resync {
	bool given, has_known;
	uint32_t uidvalidity;
	uint64_t modseq;
	struct imap_set known;	    /* UIDs */
	struct imap_set seqs, uids; /* seq-match-data */
	struct imap_vanished vanished;
	uint32_t at; /* the next message to be looked at */
};
/* What follows "QRESYNC". */
enum parse imap_parse_resync(struct imap_session *i, struct imap_lex *lx,
    struct imap_resync *out) MUST_USE;
/* Begin the answer, once the mailbox is selected; 0, ERR_BUSY, …. */
int imap_resync_begin(
    struct imap_session *i, struct imap_resync *r, struct err *e) MUST_USE;
/* STEP_DONE, STEP_YIELD, STEP_WAIT_OUTPUT. */
enum step imap_resync_step(struct imap_session *i, struct imap_resync *r);

#endif
