/*
 * adopt: another server's UIDs and keywords, merged into a mailbox.
 *
 * Layer:  maildir, uses base.
 *
 * UIDs.  Messages that only the other server knew keep its UIDs.  A UID that
 * both gave to different messages is burnt: both get new ones.  A message that
 * both gave UIDs keeps ours.  So no UID ever names two messages to anybody,
 * whichever server showed it.
 *
 * Keywords.  What the other server says of a message counts if it had our last
 * state of it: then that is also how it removes some.  If a message changed
 * here since, the keywords of both are put together, so that none is lost.
 * What a message got or lost here after they were read counts in any case.
 */
#ifndef MAILDIR_ADOPT_H
#define MAILDIR_ADOPT_H

#include "maildir/edit.h"
#include "maildir/foreign.h"

/*
 * Drop from the list, whose next entry is *at, those that the mailbox has: they
 * need no adopting, whatever happens to it until then.  True: that are all, of
 * which *n are left.  The list can't be searched any more.
 */
bool adopt_skip_known(struct mailbox *m, struct foreign_uids *u, size_t *at,
    size_t *n, int *work) MUST_USE;

/*
 * A list that is gone through in several edits.  The first one takes all UIDs
 * of the list for its messages, so that nobody gives one of them meanwhile:
 * from … end - 1 are those not yet reached.  Should somebody have added a
 * message in between, the rest of them is given up, and named for nobody.
 */
struct adopting {
	uint32_t from, end; /* end 0: not begun */
	size_t at;	    /* of the list, the next */
	uint32_t *twice;    /* UIDs that two messages had */
	size_t n_twice, cap_twice, renumbered;
};

void adopting_fini(struct adopting *a);
/*
 * As many as there is work for; 1: there are more; 0: that was all; ERR_*.
 * What *a says of the edit counts only if that is committed, so whoever may
 * have to abort it keeps a copy of at, n_twice and renumbered. wall_ms: the
 * date of saving of messages that weren't known.
 */
int adopt_uids(struct edit *ed, const struct foreign_uids *u,
    struct adopting *a, int64_t wall_ms, int *work, struct err *e) MUST_USE;

struct adopted_keywords {
	struct foreign_keywords *k;
	uint64_t modseq; /* the highest the other server had; 0: none */
	/* the messages before they were read: what changed later is newer */
	const struct view *before;
	uint32_t list_from; /* messages of lower UIDs have what the list says */
	/* Asked of an update that waits.  1: it counts; 0: it doesn't; ERR_* */
	int (*take)(void *arg, struct foreign_keyword_set *s, struct err *e);
	void *arg;
};

/*
 * Of the messages from the UID *from on, which moves on, as many as there is
 * work for; 0: that are all.  Updates that wait to be merged count in any case,
 * and replace what a message had before they were read.
 */
int adopt_keywords(struct edit *ed, const struct adopted_keywords *a,
    uint32_t *from, int *work, struct err *e) MUST_USE;

#endif
