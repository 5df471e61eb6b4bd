/*
 * Transcripts of IMAP sessions, over a Maildir.  The login command that waits
 * is "L LOGIN"; of the fixture are also line-max, literals-max, message-max,
 * nesting-max, set-max, keywords (yes, no), acl (yes), trash (yes: INBOX.Trash
 * stays) and capability.
 *
 * Built twice: as run_imap_hibernated it hibernates the mailboxes whenever
 * nothing is left to do, which no client may notice.
 */
#include <stdlib.h>

#include "base/num.h"
#include "protocols/imap/session.h"
#include "tests/support/maildir_worker.h"

#ifndef TRANSCRIPT_HIBERNATES
# define TRANSCRIPT_HIBERNATES false
#endif

static struct imap_options options;
static char *capability;

static struct session *
make(const struct session_peer *peer, struct account *account, int64_t now_ms)
{
	options.shared_index = maildir_worker_index();
	options.shared_links = maildir_worker_links();
	return imap_session_new(&options, peer, account, "L", "LOGIN", now_ms);
}

static void
reset(void)
{
	options = imap_options_default;
	free(capability);
	capability = NULL;
}

static bool
fixture(struct slice word, struct slice value)
{
	uint32_t n = 0;

	if (slice_eq(word, SLICE("capability"))) {
		capability = slice_dup(value);
		options.capability = capability;
		return true;
	}
	if (slice_eq(word, SLICE("magic-trash"))) {
		options.trash_mailbox = "INBOX.Trash";
		return slice_eq(value, SLICE("yes"));
	}
	if (slice_eq(word, SLICE("outbox"))) {
		options.outbox = "INBOX.Outbox";
		options.outbox_multiple = slice_eq(value, SLICE("multiple"));
		return options.outbox_multiple || slice_eq(value, SLICE("yes"));
	}
	if (slice_eq(word, SLICE("acl"))) {
		options.acl = slice_eq(value, SLICE("yes"));
		return true;
	}
	if (slice_eq(word, SLICE("trash"))) {
		options.trash = "INBOX.Trash";
		return slice_eq(value, SLICE("yes"));
	}
	if (slice_eq(word, SLICE("thread-sort"))) {
		options.no_thread_sort = slice_eq(value, SLICE("no"));
		return true;
	}
	if (slice_eq(word, SLICE("mark-all"))) {
		options.mark_all = slice_eq(value, SLICE("yes"));
		return true;
	}
	if (slice_eq(word, SLICE("no-inferiors"))) {
		options.no_inferiors = slice_eq(value, SLICE("yes"));
		return true;
	}
	if (slice_eq(word, SLICE("ascii-headers"))) {
		options.ascii_headers = slice_eq(value, SLICE("yes"));
		return true;
	}
	if (slice_eq(word, SLICE("prefix"))) {
		options.no_prefix = slice_eq(value, SLICE("no"));
		return true;
	}
	if (slice_eq(word, SLICE("keywords"))) {
		options.keywords = slice_eq(value, SLICE("yes"));
		return true;
	}
	if (!num_u32(value, &n))
		return false;
	if (slice_eq(word, SLICE("line-max")))
		options.line_max = n;
	else if (slice_eq(word, SLICE("literals-max")))
		options.literals_max = n;
	else if (slice_eq(word, SLICE("message-max")))
		options.message_max = n;
	else if (slice_eq(word, SLICE("nesting-max")))
		options.nesting_max = n;
	else if (slice_eq(word, SLICE("progress")))
		options.progress_ms = n;
	else if (slice_eq(word, SLICE("set-max")))
		options.set_max = n;
	else
		return false;
	return true;
}

int
main(int argc, char **argv)
{
	static const char *const directories[] = { "imap", NULL };
	static const struct maildir_worker w = { .directories = directories,
		.make = make,
		.fixture = fixture,
		.reset = reset,
		.hibernates = TRANSCRIPT_HIBERNATES };
	int status = maildir_worker_main(argc, argv, &w);

	free(capability);
	return status;
}
