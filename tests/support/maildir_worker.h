/*
 * maildir_worker: a worker process without sockets, for transcripts: sessions
 * over a real Maildir in a temporary directory.
 *
 * Layer:  tests, uses maildir, protocols, transcript.
 *
 * Its syncer holds jobs back until nothing else can be done, so that whatever
 * must wait for the disk is seen to wait.  Time is the real one plus what
 * "C! wait" added.
 */
#ifndef TESTS_SUPPORT_MAILDIR_WORKER_H
#define TESTS_SUPPORT_MAILDIR_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "maildir/store.h"
#include "protocols/session.h"
#include "tests/support/transcript.h"

struct maildir_worker {
	/* Directories below tests/transcripts; ends with NULL. */
	const char *const *directories;
	/* A session that has just been handed over; takes over account. */
	struct session *(*make)(const struct session_peer *peer,
	    struct account *account, int64_t now_ms);
	/* "word: value" besides message:; NULL: there is none. */
	bool (*fixture)(struct slice word, struct slice value);
	/* A file begins: set what fixture may have changed back; or NULL. */
	void (*reset)(void);
	bool hibernates; /* mailboxes, whenever nothing is left to do */
};

/* The index of shared mailboxes with all users of the transcript, if it wants
 * one ("shared: yes"); NULL: none. */
const char *maildir_worker_index(void);
/* The links of all users, one to each Maildir by the name of its user up to the
 * '@' ("links: yes"); NULL: there are none. */
const char *maildir_worker_links(void);

/*
 * Run transcripts with it: main()'s result.  The driver knows the fixture
 * "message: PATH" with PATH below the Maildir ("cur/NAME", ".Sent/new/NAME")
 * "quota: LIMITS" in maildirsize's form, "user: CONNECTION NAME [OPTIONS]"
 * and "shared: yes", and of C!: eof; wait SECONDS; end
 * shutdown, timeout, kick; remove PATH; rename PATH PATH; deliver PATH (a small
 * message, by tmp/); hibernate (all mailboxes whose sessions rest).
 */
int maildir_worker_main(int argc, char **argv, const struct maildir_worker *w);

#endif
