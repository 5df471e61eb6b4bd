/*
 * account_change: CREATE, DELETE and RENAME of mailboxes, SUBSCRIBE and SETACL,
 * as resumable steps.
 *
 * Layer:  maildir, uses base.
 * What waits for the disk is done by the store's syncer; what another process
 * holds is tried again when the caller says so.  Changes of one account are
 * made one after the other, in the order of their first steps.  A change that
 * ends well is durable (DELETE isn't); one that fails, or is freed before its
 * end, is undone as far as that can be.
 * Memory: names are copied; the account stays as long as the struct.
 *
 * Results besides 0: ERR_INVALID (no such name can be: outside INBOX, empty or
 * doubled separators, '/', control characters, too long), ERR_EXISTS,
 * ERR_NOT_FOUND, ERR_DENIED, ERR_SPACE, ERR_SYS, ….
 */
#ifndef MAILDIR_ACCOUNT_CHANGE_H
#define MAILDIR_ACCOUNT_CHANGE_H

#include "base/step.h"
#include "maildir/acl.h"
#include "maildir/store.h"

struct account_change;
struct shared_options;

struct account_change *account_create(
    struct account *a, struct slice name) MUST_USE;
/* Its messages and its UIDs go; children stay (it then is \Noselect). */
struct account_change *account_delete(
    struct account *a, struct slice name) MUST_USE;
/*
 * UIDs and UIDVALIDITY go along, and so do the children.  Renaming INBOX
 * moves its messages into the new mailbox (RFC 3501 6.3.5).
 */
struct account_change *account_rename(
    struct account *a, struct slice from, struct slice to) MUST_USE;
struct account_change *account_subscribe(
    struct account *a, struct slice name, bool on) MUST_USE;
/* The same for "shared.NICK.FOLDER", which must be there to be subscribed to:
 * ERR_NOT_FOUND, as for one that isn't subscribed.  What o points to must live
 * as long as the change. */
struct account_change *account_subscribe_link(struct account *a,
    const struct shared_options *o, struct slice name, bool on) MUST_USE;

/*
 * Change the access control list of a mailbox, or of a name which is only a
 * parent of mailboxes.  read is called when it is this change's turn, so that
 * no other one of the process comes in between: it reads the list
 * (account_acl()), sees whether it may be changed, and changes it; ERR_*: the
 * change ends with that.  What another process renames meanwhile has the list
 * under its new name; what it removes is ERR_NOT_FOUND, as is a name that is
 * neither.  out is an empty list; arg must live as long as the change.
 */
typedef int acl_reader(void *arg, struct acl *out, struct err *e);
struct account_change *account_acl_change(
    struct account *a, struct slice name, acl_reader *read, void *arg) MUST_USE;

/*
 * Ask this when it is the change's turn, and once more just before mailboxes go
 * or get other names: whether the user may do so (still).  ERR_*: the change
 * ends with that; ERR_BUSY: it is asked again.  arg must live as long as the
 * change.
 */
typedef int change_guard(void *arg, struct err *e);
void account_change_guard(
    struct account_change *c, change_guard *may, void *arg);

/*
 * STEP_DONE, with 0 or ERR_* in *rc (then e, which may be NULL, is filled);
 * STEP_WAIT_SYNC: waker will be called; STEP_WAIT_PEER: another process holds
 * the database, call again after a while, or give up.
 */
enum step account_change_step(struct account_change *c, struct waker waker,
    int *rc, struct err *e) MUST_USE;
/* NULL is no change. */
void account_change_free(struct account_change **c);

#endif
