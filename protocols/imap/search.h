/*
 * imap_search: the keys of SEARCH, and the engine behind them.
 * RFC 3501 6.4.4; RFC 4731 (ESEARCH), 5032 (WITHIN), 5182 (SEARCHRES), 7162
 * (MODSEQ), 8474 (EMAILID), 8514 (SAVEDATE), 9394 (PARTIAL).
 *
 * Layer:  protocols/imap.
 *
 *   search_keys.c  the arguments
 *   search_tree.c  the program made of them
 *   search_eval.c  one message against the program
 *   search_text.c  header and body text of one message
 *   search_raw.c   the same, told from its bytes alone
 *   search_find.c  from message to message, for SORT and THREAD
 *   search_return.c  the result options
 *   cmd_search.c   from message to message, and the results
 *
 * The program is a list of tests.  Each names the test that follows when it
 * is true, and the one when it is false; NOT, OR and lists are in these
 * references only.  So the state of an evaluation is the number of a test,
 * and a search may pause anywhere.  Tests that cost nothing come before those
 * that need the file, wherever the keys leave the order open.
 */
#ifndef IMAP_SEARCH_H
#define IMAP_SEARCH_H

#include "protocols/imap/casemap.h"
#include "protocols/imap/hits.h"
#include "protocols/imap/session_impl.h"
#include "protocols/imap/writer.h"
#include "protocols/mime/text.h"

enum search_op {
	SEARCH_ALL,
	SEARCH_FLAG,	/* has the flag */
	SEARCH_KEYWORD, /* has the keyword */
	SEARCH_RECENT,
	SEARCH_SET,	/* its number is in the set */
	SEARCH_EMAILID, /* RFC 8474 */
	SEARCH_MODSEQ,	/* RFC 7162 */
	SEARCH_BEFORE,
	SEARCH_ON,
	SEARCH_SINCE,
	SEARCH_SAVEDBEFORE, /* RFC 8514 */
	SEARCH_SAVEDON,
	SEARCH_SAVEDSINCE,
	SEARCH_OLDER, /* RFC 5032 */
	SEARCH_YOUNGER,
	SEARCH_LARGER,
	SEARCH_SMALLER,
	SEARCH_SENTBEFORE,
	SEARCH_SENTON,
	SEARCH_SENTSINCE,
	SEARCH_HEADER,
	SEARCH_BODY,
	SEARCH_TEXT,
};

enum { SEARCH_MATCH = -1, SEARCH_NO_MATCH = -2 };

struct search_test {
	enum search_op op;
	uint32_t flag;
	struct slice name; /* keyword; header field; objectid */
	struct imap_set set;
	int64_t days; /* or the second that OLDER and YOUNGER ask about */
	uint64_t modseq;
	uint32_t size;
	struct imap_needle needle;
	int32_t yes, no; /* the next test, or SEARCH_… */
};

/* Text of a message, on its way (search_text.c). */
struct search_text {
	bool begun, in_body;
	uint32_t part; /* of the table of parts */
	uint64_t at;   /* bytes of the part's header or body seen */
	struct imap_finder finder;
	struct mime_text text; /* while in_body */
	struct buf held;       /* header bytes not yet looked at */
};

/* Result options (RFC 4731 3.1, RFC 5182 2.1, RFC 9394 3.1). */
enum search_return_option {
	SEARCH_RETURN_MIN = 1,
	SEARCH_RETURN_MAX = 2,
	SEARCH_RETURN_ALL = 4,
	SEARCH_RETURN_COUNT = 8,
	SEARCH_RETURN_SAVE = 16,
	SEARCH_RETURN_PARTIAL = 32,
};
struct search_return {
	bool given;    /* there was a RETURN: ESEARCH is the response */
	unsigned what; /* enum search_return_option */
	struct imap_partial partial;
};
/*
 * "RETURN (…) " if it stands here; what is SEARCH_RETURN_ALL where there are no
 * options in it (RFC 4731 3.1).
 */
enum parse imap_parse_return(
    struct imap_lex *lx, struct search_return *out) MUST_USE;

struct search_args {
	bool bad_charset;
	struct slice charset;
	struct search_test *tests;
	size_t n_tests;
	int32_t start;
	bool by_modseq; /* MODSEQ is among the keys */

	struct view *newest;
	uint32_t seq; /* of the message under way */
	/* one message */
	const struct message *m; /* NULL: none under way */
	int32_t at;		 /* its next test */
	bool has_info;
	struct message_info info;
	int fd;
	uint64_t file_size;
	struct search_text text;
};

/* What SEARCH has found, and how it is told (cmd_search.c). */
struct search_command {
	struct search_args search; /* must be first */
	struct search_return ret;
	uint32_t from_front, from_end; /* so many must be found there */
	uint32_t front, end; /* still to be looked at: from front up to end */
	bool backwards;	     /* from the end */
	uint32_t n_front;    /* hits when it turned */
	struct imap_hits hits;
	uint64_t modseq;			   /* the highest of them */
	uint32_t min, max, partial_lo, partial_hi; /* of them; 0: none */
	/* while telling */
	uint32_t at, last; /* the next hit to be told; the last one, or 0 */
	uint64_t partial_modseq; /* the highest of those told */
	struct imap_put_set set;
};

/*
 * The keys of a search, up to the end of the command, made into a program;
 * a->charset is set.
 */
enum parse imap_search_program(struct imap_session *i, struct imap_lex *lx,
    struct search_args *a) MUST_USE;
/* search-criteria of RFC 5256 5: a charset, and the keys. */
enum parse imap_search_criteria(struct imap_session *i, struct imap_lex *lx,
    struct search_args *a) MUST_USE;

/* Sequence numbers that were found, ascending; in shared memory. */
struct search_found {
	uint32_t *v;
	size_t n, cap;
	uint64_t modseq; /* the highest of them */
};
/*
 * Find all messages that match, for a command whose args begin with a struct
 * search_args.  Begin by imap_search_begin(); STEP_YIELD, or STEP_DONE: *rc is
 * 0 or ERR_LIMIT.
 */
void imap_search_begin(struct imap_session *i);
enum step imap_search_find(
    struct imap_session *i, struct search_found *f, int *rc);
/* Release what a search holds. */
void imap_search_end(struct imap_session *i);
void imap_search_found_fini(struct search_found *f);

/* The wire size of the message under way, into info, counted if it must be. */
enum step imap_search_size(struct imap_session *i, bool *ok);

/*
 * Evaluate the message under way further: STEP_YIELD, or STEP_DONE and
 * *match.
 */
enum step imap_search_eval(struct imap_session *i, bool *match);
/* Release what one message holds. */
void imap_search_close(struct imap_session *i);

/*
 * A test of the header by what is kept of it; false: it needs the file.  *ok:
 * the message can be read.
 */
bool imap_search_kept(
    struct imap_session *i, const struct search_test *t, bool *ok, bool *match);

/*
 * The tests that need the file, which is open: STEP_DONE and *match, or
 * STEP_YIELD.  What can't be read doesn't match.
 */
enum step imap_search_header(
    struct imap_session *i, const struct search_test *t, bool *match);
enum step imap_search_text(
    struct imap_session *i, const struct search_test *t, bool *match);
void imap_search_text_close(struct imap_session *i);

/*
 * Whether a look at the bytes of the file, which is open, shows that a BODY or
 * TEXT test can't match; false says nothing.
 */
bool imap_search_ruled_out(
    struct imap_session *i, const struct search_test *t);

#endif
