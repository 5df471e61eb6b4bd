/*
 * Messages with hundreds of keywords: STORE, COPY and SEARCH look at each name
 * a few times for a command and not for each message, or one imap_client's
 * command would keep all others of its worker waiting for seconds.  And what
 * STORE tells of thousands.
 */
#include "base/mem.h"
#include "protocols/imap/session_impl.h"
#include "tests/unit/imap_fixture.h"

enum {
	MESSAGES = 60,
	KEYWORDS = 200, /* of a command, all of one length */
	/* Comparisons of two names: to find each of the command's among all is
	 * half the square of their number, and done a few times. */
	ONCE = KEYWORDS * KEYWORDS / 2,
};

/* Every comparison of names of one length comes here: see module.mk. */
static size_t n_compared;
int __real_slice_icmp(struct slice a, struct slice b);
int __wrap_slice_icmp(struct slice a, struct slice b);

int
__wrap_slice_icmp(struct slice a, struct slice b)
{
	n_compared++;
	return __real_slice_icmp(a, b);
}

/* --- a session ------------------------------------------------------------ */

/* Say a line, and run until all of it is done. */
static void
say(struct fixture *f, const char *line)
{
	n_compared = 0;
	(void)imap_say(f, line);
}

/* A command with the keywords from the number on up to the other in its end. */
static void
say_keywords(struct fixture *f, const char *command, unsigned from, unsigned to)
{
	struct buf line;

	buf_init(&line, 16 * KEYWORDS);
	buf_puts(&line, command);
	for (unsigned k = from; k < to; k++)
		buf_putf(&line, "%skey%03u", k == from ? " (" : " ", k);
	buf_putc(&line, ')');
	say(f, buf_cstr(&line));
	buf_fini(&line);
}

/* It is done, in silence, and without so many comparisons. */
static void
assert_quick(const char *end)
{
	struct slice last = SLICE("\r\n");

	if (!slice_ends(buf_slice(&imap_said), last) ||
	    strstr(buf_cstr(&imap_said), end) == NULL ||
	    strstr(buf_cstr(&imap_said), "FETCH (") != NULL)
		fail_msg("%s", buf_cstr(&imap_said));
	if (n_compared > (size_t)8 * ONCE)
		fail_msg("%zu comparisons", n_compared);
}

static int
setup(void **state)
{
	int rc = imap_setup(state);
	struct fixture *f = *state;

	if (rc != 0)
		return rc;
	for (int n = 0; n < MESSAGES; n++)
		(void)deliver(f, "", "text");
	say(f, "a SELECT INBOX");
	return 0;
}

/* --- the cases ------------------------------------------------------------ */

static void
store_of_one_set(void **state)
{
	struct fixture *f = *state;

	say_keywords(f, "b STORE 1:* +FLAGS.SILENT", 0, KEYWORDS);
	assert_quick("b OK STORE completed.");
	say_keywords(f, "c STORE 1:* -FLAGS.SILENT", 0, KEYWORDS / 2);
	assert_quick("c OK STORE completed.");
	say_keywords(f, "d STORE 1:* FLAGS.SILENT", KEYWORDS / 4, KEYWORDS);
	assert_quick("d OK STORE completed.");
	say(f, "e SEARCH KEYWORD KEY050 UNKEYWORD key049");
	assert_quick("* SEARCH 1 2 3");
	say(f, "f SEARCH KEYWORD key049");
	assert_quick("* SEARCH\r\n");
}

/* Each message has keywords that no other has. */
static void
give_each_its_own(struct fixture *f)
{
	for (unsigned n = 1; n <= MESSAGES; n++) {
		char *command = mem_printf("g STORE %u FLAGS.SILENT", n);

		say_keywords(f, command, n, n + KEYWORDS / 2);
		assert_quick("g OK");
		free(command);
	}
}

static void
store_of_many_sets(void **state)
{
	struct fixture *f = *state;

	give_each_its_own(f);
	say_keywords(f, "b STORE 1:* +FLAGS.SILENT", 50, KEYWORDS);
	assert_quick("b OK STORE completed.");
	say(f, "c SEARCH KEYWORD key010");
	assert_quick("* SEARCH 1 2 3 4 5 6 7 8 9 10\r\n");
	say(f, "d SEARCH UNKEYWORD key199");
	assert_quick("* SEARCH\r\n");
	say_keywords(f, "e STORE 1:* -FLAGS.SILENT", 3, KEYWORDS);
	assert_quick("e OK STORE completed.");
	say(f, "f SEARCH KEYWORD key002");
	assert_quick("* SEARCH 1 2\r\n");
	say(f, "g SEARCH KEYWORD key003");
	assert_quick("* SEARCH\r\n");
}

/* RFC 7162 3.1.3: what others changed since, of other keywords, is no hindrance
 * to the change; of the same ones it is. */
static void
store_unchanged_since(void **state)
{
	struct fixture *f = *state;
	uint32_t uids[MESSAGES];
	struct mailbox *m;
	struct view *v;
	char *command;

	give_each_its_own(f);
	m = open_mailbox(f, "INBOX");
	v = mailbox_view(m);
	command = mem_printf("b STORE 1:* (UNCHANGEDSINCE %llu) +FLAGS.SILENT",
	    (unsigned long long)view_highest_modseq(v));
	view_unref(&v);
	for (uint32_t n = 0; n < MESSAGES; n++)
		uids[n] = n + 1;
	assert_int_equal(
	    run_flags(f, m, uids, MESSAGES, FLAGS_ADD, 0, "other"), 0);
	assert_int_equal(
	    run_flags(f, m, uids, 1, FLAGS_REMOVE, 0, "key050"), 0);
	mailbox_close(&m);
	say_keywords(f, command, 0, KEYWORDS);
	free(command);
	assert_non_null(strstr(buf_cstr(&imap_said), "b OK [MODIFIED 1] "));
	if (n_compared > (size_t)8 * ONCE)
		fail_msg("%zu comparisons", n_compared);
}

/* Somebody else has read every second message, or not; STORE leaves those
 * alone. */
static void
store_every_second(struct fixture *f, struct mailbox *m, const char *store,
    enum flags_how how, uint32_t count)
{
	uint32_t *uids = mem_alloc(count * sizeof(*uids));
	struct view *v = mailbox_view(m);
	size_t n = 0;
	char *command = mem_printf("%s 1:* (UNCHANGEDSINCE %llu) "
				   "+FLAGS.SILENT (\\Seen)",
	    store, (unsigned long long)view_highest_modseq(v));

	view_unref(&v);
	for (uint32_t uid = 1; uid <= count; uid += 2)
		uids[n++] = uid;
	assert_int_equal(run_flags(f, m, uids, n, how, MESSAGE_SEEN, NULL), 0);
	say(f, command);
	free(command);
	free(uids);
}

/* The list of those that were left alone is complete. */
static void
assert_modified(uint32_t count)
{
	struct buf want;

	buf_init(&want, 1 << 20);
	buf_puts(&want, " OK [MODIFIED 1");
	for (uint32_t n = 3; n <= count; n += 2)
		buf_putf(&want, ",%u", n);
	buf_puts(&want, "] Conditional STORE failed.\r\n");
	if (strstr(buf_cstr(&imap_said), buf_cstr(&want)) == NULL)
		fail_msg("%s", buf_cstr(&imap_said));
	buf_fini(&want);
}

/* However long the list is, all of it is told; that of UID STORE is one of UIDs
 * even if numbers change before it. */
static void
long_list_of_modified(void **state)
{
	enum { MANY = 9000 };
	struct imap_session *i =
	    CONTAINER_OF(imap_client, struct imap_session, s);
	struct fixture *f = *state;
	struct mailbox *m;
	const uint32_t gone = 2;

	put_many(f, "cur/", MANY - MESSAGES, ".M1:2,", "text");
	say(f, "b SELECT INBOX (CONDSTORE)");
	/* what other replies have, so that there needn't be 200000 messages */
	i->reply.max = 4096;
	m = open_mailbox(f, "INBOX");
	store_every_second(f, m, "c STORE", FLAGS_ADD, MANY);
	assert_modified(MANY);
	assert_int_equal(run_remove(f, m, &gone, 1), 1);
	store_every_second(f, m, "d UID STORE", FLAGS_REMOVE, MANY);
	assert_non_null(strstr(buf_cstr(&imap_said), "* 2 EXPUNGE\r\n"));
	assert_modified(MANY);
	mailbox_close(&m);
}

static void
copy_and_move(void **state)
{
	struct fixture *f = *state;

	give_each_its_own(f);
	say(f, "b CREATE INBOX.a");
	say(f, "c COPY 1:* INBOX.a");
	assert_quick("c OK [COPYUID ");
	say(f, "d MOVE 1:* INBOX.a");
	assert_quick("d OK ");
	say(f, "e SELECT INBOX.a");
	say(f, "f SEARCH KEYWORD key003");
	assert_quick("* SEARCH 1 2 3 61 62 63\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    store_of_one_set, setup, imap_teardown),
		cmocka_unit_test_setup_teardown(
		    store_of_many_sets, setup, imap_teardown),
		cmocka_unit_test_setup_teardown(
		    store_unchanged_since, setup, imap_teardown),
		cmocka_unit_test_setup_teardown(
		    long_list_of_modified, setup, imap_teardown),
		cmocka_unit_test_setup_teardown(
		    copy_and_move, setup, imap_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
