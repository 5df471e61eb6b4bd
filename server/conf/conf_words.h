/*
 * conf_words: the values that are lists of words with a meaning.
 *
 * Layer:  server/conf, uses base.  Pure functions.
 * Memory: everything is the caller's; slices point into the given text.
 */
#ifndef CONF_CONF_WORDS_H
#define CONF_CONF_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/slice.h"
#include "server/conf/conf.h"
#include "server/conf/conf_addrs.h"

/*
 * Take the next word off *rest; blanks, line breaks and commas separate.
 * False at the end.
 */
bool conf_word_next(struct slice *rest, struct slice *word);

/* --- TLS_PROTOCOL -------------------------------------------------------- */

enum conf_tls_version {
	CONF_TLS_1_0 = 10,
	CONF_TLS_1_1 = 11,
	CONF_TLS_1_2 = 12,
	CONF_TLS_1_3 = 13,
};

/*
 * The lowest version that a TLS_PROTOCOL value names, as written: SSL3 and
 * the like count as 1.0, nothing as 1.2; a list means its lowest.  False if a
 * word is unknown.
 */
bool conf_tls_parse(const char *value, enum conf_tls_version *v) MUST_USE;

/*
 * The lowest version to accept for a service (CONF_FILE_IMAPD, …; a plain
 * one means STARTTLS on it): never below 1.2 unless TLS_ALLOW_OLD is set.
 */
enum conf_tls_version conf_tls_minimum(
    const struct conf *c, enum conf_file service);

/* --- TCPDOPTS ------------------------------------------------------------ */

enum { CONF_HAPROXY_MAX = 16, CONF_TCPDOPT_TEXT = 256 };

struct conf_tcpdopts {
	char access[CONF_TCPDOPT_TEXT];	  /* -access=F; "": none */
	bool access_local;		  /* -accesslocal */
	uint32_t max_per_c;		  /* -maxperc=N; 0: no limit */
	char deny_msg[CONF_TCPDOPT_TEXT]; /* -denymsg=T */
	uint32_t backlog;		  /* -listen=N; 0: ours */
	uint32_t warn;			  /* -warn=N; 0: at nine tenths */
	bool haproxy;			  /* -haproxy… */
	uint32_t haproxy_timeout;	  /* seconds; 0: PROXY_TIMEOUT */
	/* where connections begin with a PROXY header; none: everywhere */
	size_t n_haproxy;
	struct conf_addr haproxy_at[CONF_HAPROXY_MAX];
};

/* A remark on one word: text says what becomes of it. */
typedef void conf_word_remark(void *arg, struct slice word, const char *text);

/*
 * Parse a TCPDOPTS value.  Words that Postern has no use for go to remark
 * (may be NULL).  0, or ERR_FORMAT or ERR_DENIED (a word that must not be
 * dropped silently), with e->text.
 */
int conf_tcpdopts_parse(struct conf_tcpdopts *o, const char *value,
    conf_word_remark *remark, void *arg, struct err *e) MUST_USE;

/* --- LOGGEROPTS ---------------------------------------------------------- */

/*
 * The value of an option of LOGGEROPTS (opt "-name" or "-facility"), the last
 * one given; the empty slice if there is none.
 */
struct slice conf_loggeropt(const char *value, const char *opt);

/* --- IMAP_CAPABILITY ----------------------------------------------------- */

/*
 * Whether a word of our own CAPABILITY answer may be told, before or in TLS,
 * for service CONF_FILE_IMAPD or CONF_FILE_IMAPD_SSL.  The files work as a
 * filter: a word of Courier's default list that the admin left out is left
 * out; AUTH= words are told if listed; words that Courier didn't know are
 * always told.  Without IMAP_CAPABILITY in the files all are.
 */
bool conf_capability_allowed(
    const struct conf *c, enum conf_file service, bool tls, struct slice word);

/* Whether Postern knows a word that stands in IMAP_CAPABILITY. */
bool conf_capability_known(struct slice word);

#endif
