/*
 * Messages with hundreds of references, subjects of many thousand bytes, files
 * on a disk: what THREAD, SORT and SEARCH do in one piece doesn't grow with
 * them, or one imap_client's command would keep all others of its worker
 * waiting.
 */
#include "base/mem.h"
#include "protocols/imap/sorter.h"
#include "protocols/imap/thread.h"
#include "tests/unit/imap_fixture.h"

enum { REFERENCES = 1000 };

/* --- without a mailbox ---------------------------------------------------- */

static void
put_id(uint8_t *to, uint64_t id)
{
	for (unsigned k = 0; k < sizeof(id); k++)
		to[k] = (uint8_t)(id >> 8 * k & 0xff);
}

/* Each message below a chain of its own, of messages that aren't there. */
static void
chains(void **state)
{
	enum { N = 200, PIECE = 1000 };
	static uint8_t ids[8 * (REFERENCES + 1)];
	struct imap_thread t;
	size_t pieces = 1;

	(void)state;
	imap_thread_init(&t, IMAP_THREAD_REFERENCES);
	assert_true(imap_thread_expect(&t, N));
	for (uint32_t k = 0; k < N; k++) {
		struct imap_thread_message m = { .number = k + 1,
			.sent = k,
			.ids = slice_of(ids, sizeof(ids)) };

		for (uint32_t r = 0; r <= REFERENCES; r++)
			put_id(
			    ids + (size_t)8 * r, (uint64_t)k << 32 | (r + 1));
		assert_true(imap_thread_add(&t, &m));
	}
	while (imap_thread_run(&t, PIECE) == 0)
		pieces++;
	/* once through all of them, and once along half of the links */
	assert_in_range(pieces, N * REFERENCES / PIECE * 5 / 4, N * REFERENCES);
	imap_thread_fini(&t);
}

/* Texts that differ where they end only: twice the work for twice the bytes. */
static size_t
pieces_of_sort(size_t len)
{
	enum { N = 100, PIECE = 100 };
	char *text = mem_zalloc(len + 1, 1);
	struct imap_sorter s;
	size_t pieces = 1;

	memset(text, 'x', len);
	imap_sorter_init(&s);
	assert_true(imap_sorter_begin(&s, true, false));
	for (uint32_t k = 0; k < N; k++) {
		text[len - 1] = (char)(k * 37 % N);
		assert_true(imap_sorter_text(&s, slice_of(text, len)));
	}
	while (imap_sorter_run(&s, PIECE) == 0)
		pieces++;
	for (uint32_t k = 0; k < N; k++)
		assert_int_equal(imap_sorter_item(&s, k) * 37 % N, k);
	imap_sorter_fini(&s);
	free(text);
	return pieces;
}

static void
long_texts(void **state)
{
	(void)state;
	assert_in_range(pieces_of_sort(16), 5, 10);
	assert_in_range(pieces_of_sort(8192), 100, 700);
	assert_in_range(pieces_of_sort(16384), 200, 700);
}

/* --- a session ------------------------------------------------------------ */

static void
deliver_answer(struct fixture *f, unsigned n)
{
	struct buf text;

	buf_init(&text, 64 * 1024);
	buf_putf(&text, "Message-ID: <m%u@x>\nReferences:", n);
	for (unsigned k = 0; k < REFERENCES; k++)
		buf_putf(&text, "\n <%u@x>", k);
	buf_puts(&text, "\n\ntext\n");
	(void)deliver(f, "", buf_cstr(&text));
	buf_fini(&text);
}

/* Once what is known of them is kept, a message costs its references. */
static void
known_messages(void **state)
{
	enum { N = 200 };
	struct fixture *f = *state;
	unsigned pieces;

	for (unsigned n = 0; n < N; n++)
		deliver_answer(f, n);
	(void)imap_say(f, "a SELECT INBOX");
	(void)imap_say(f, "b THREAD REFERENCES UTF-8 ALL");
	pieces = imap_say(f, "c THREAD REFERENCES UTF-8 ALL");
	assert_non_null(strstr(buf_cstr(&imap_said), "c OK THREAD completed."));
	assert_in_range(pieces, N * REFERENCES / 20000, N);
}

/* Files that are looked for, however small they are. */
static void
small_files(void **state)
{
	enum { N = 400 };
	static const char *const commands[] = {
		"SORT (ARRIVAL) UTF-8 ALL", /* asks each for its date */
		"SEARCH LARGER 3",	    /* counts its lines */
		"SEARCH BODY none",
	};
	struct fixture *f = *state;
	char line[100];

	for (unsigned n = 0; n < N; n++)
		(void)deliver(f, "", "Subject: x\n\ntext\n");
	(void)imap_say(f, "a SELECT INBOX");
	for (size_t k = 0; k < NELEMS(commands); k++) {
		(void)snprintf(line, sizeof(line), "b %s", commands[k]);
		assert_in_range(imap_say(f, line), 3, N);
		assert_non_null(strstr(buf_cstr(&imap_said), "b OK"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains),
		cmocka_unit_test(long_texts),
		cmocka_unit_test_setup_teardown(
		    known_messages, imap_setup, imap_teardown),
		cmocka_unit_test_setup_teardown(
		    small_files, imap_setup, imap_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
