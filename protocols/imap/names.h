/*
 * imap_names: names of mailboxes, on the wire and in the store.
 *
 * Layer:  protocols/imap.
 */
#ifndef IMAP_NAMES_H
#define IMAP_NAMES_H

#include "protocols/imap/session_impl.h"

/*
 * A mailbox argument: from the wire to the store's name, in the arena.
 * *bad: no such name can be; then the command is answered NO.
 */
enum parse imap_parse_mailbox(struct imap_session *i, struct imap_lex *lx,
    struct slice *name, bool *bad) MUST_USE;
/* An astring or pattern without its escapes. */
enum parse imap_parse_astring(
    struct imap_session *i, struct imap_lex *lx, struct slice *out) MUST_USE;
/* before + after, in the arena. */
struct slice imap_join(
    struct imap_session *i, struct slice before, struct slice after);
/* From modified UTF-7 to UTF-8, or from UTF-8, which is the only form once
 * UTF8=ACCEPT is enabled (RFC 6855 3); false if it's neither. */
bool imap_name_decode(
    struct imap_session *i, struct slice wire, struct slice *out) MUST_USE;
/* Append any name as an astring in modified UTF-7, or UTF-8 if the client
 * enabled it. */
void imap_put_name(
    const struct imap_session *i, struct buf *out, struct slice name);
/*
 * Whether a mailbox may be given that name: Net-Unicode without controls,
 * LINE and PARAGRAPH SEPARATOR (RFC 6855 3).  One that has it all the same is
 * served.
 */
bool imap_name_is_net_unicode(struct slice name) MUST_USE;
/* The same for the store's name of a mailbox, as imap_name_shown() or as the
 * command in progress has named it. */
void imap_put_mailbox(
    const struct imap_session *i, struct buf *out, struct slice name);
/*
 * What a client is told for the store's name.  Where the namespace has no
 * prefix (RFC 2342 5), that is a part of it: "INBOX." is left out of all that
 * can be named without.  The store's own "INBOX.INBOX" and "INBOX.#x" can't.
 */
struct slice imap_name_shown(
    const struct imap_session *i, struct slice name) MUST_USE;
/* The store's name of what a client names so; false if there can be none. */
bool imap_name_complete(
    struct imap_session *i, struct slice utf8, struct slice *name) MUST_USE;
/* Whether it begins with "INBOX.", in either case. */
bool imap_name_is_complete(struct slice name) MUST_USE;
enum step imap_bad_name(struct imap_session *i);

#endif
