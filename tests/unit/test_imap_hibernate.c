/*
 * Sessions of mailboxes that hibernate at any time, beside sessions of ones
 * that never do: the same commands and the same foreign changes must get the
 * same answers, byte for byte.
 *
 * One thing is let pass: flags of a message that is gone, but not yet told to
 * be, are forgotten (maildir/record.h), so flags are only asked for where
 * nothing is left to be told.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "maildir/internal.h"
#include "protocols/imap/session.h"
#include "tests/support/dice.h"
#include "tests/support/quiet.h"
#include "tests/support/syncs.h"

enum { SESSIONS = 3, STEPS = 250, RUNS_MAX = 100000, TEXT_MAX = 1 << 24 };

static int64_t now_ms = 5000, wall_ms;

/* The worker that hibernates, and the one that doesn't. */
static struct side {
	char *root;
	struct store *store;
	struct {
		struct session *s;
		bool woken, idle;
		struct buf out;
	} v[SESSIONS];
} sides[2];

/* --- the workers ---------------------------------------------------------- */

static void
wake(void *arg)
{
	*(bool *)arg = true;
}

static void
run_one(struct side *side, int k)
{
	struct session *s = side->v[k].s;

	for (int n = 0; n < RUNS_MAX; n++) {
		enum step last;

		side->v[k].woken = false;
		last = s->ops->run(s, now_ms, wall_ms);
		buf_put(&side->v[k].out, buf_slice(&s->out));
		buf_drain(&s->out, buf_len(&s->out));
		assert_int_not_equal(last, STEP_DONE);
		if (last == STEP_WAIT_INPUT)
			return;
	}
	fail_msg("the session goes in circles");
}

static void
settle(struct side *side)
{
	bool again = true;

	while (again) {
		again = false;
		store_on_watch(side->store, now_ms);
		for (int k = 0; k < SESSIONS; k++)
			if (side->v[k].woken) {
				run_one(side, k);
				again = true;
			}
	}
}

static void
side_begin(struct side *side)
{
	static const char template[] = "/tmp/postern-hibernate.XXXXXX";
	struct store_options opt = { .hostname = "test.example",
		.syncer = &syncs_at_once,
		.quiet_ms = (int64_t)1 << 40,
		.poll_ms = (int64_t)1 << 40,
		.open_max = 10,
		.umask = 077 };
	struct session_peer peer = { .user = "alice@example.com",
		.client_addr = "::ffff:192.0.2.7",
		.local_addr = "::1",
		.tls = "",
		.ident = "imapd" };
	char *path;

	side->root = mem_strdup(template);
	assert_non_null(mkdtemp(side->root));
	path = mem_printf("%s/Maildir", side->root);
	side->store = store_new(&opt);
	(void)store_tick(side->store, now_ms, wall_ms);
	for (int k = 0; k < SESSIONS; k++) {
		buf_init(&side->v[k].out, TEXT_MAX);
		side->v[k].idle = false;
		side->v[k].s = imap_session_new(&imap_options_default, &peer,
		    account_get(side->store, path, ""), "L", "LOGIN", now_ms);
		side->v[k].s->waker = (struct waker){ wake, &side->v[k].woken };
		side->v[k].woken = true;
	}
	free(path);
	settle(side);
}

static int
remove_entry(
    const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static void
side_end(struct side *side)
{
	for (int k = 0; k < SESSIONS; k++) {
		side->v[k].s->ops->free(side->v[k].s);
		buf_fini(&side->v[k].out);
	}
	store_free(&side->store);
	assert_int_equal(
	    nftw(side->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(side->root);
}

/* How many mailboxes sleep now. */
static unsigned
count_asleep(const struct side *side)
{
	unsigned n = 0;

	for (size_t i = 0; i < ACCOUNT_BUCKETS; i++)
		for (struct account *a = side->store->accounts[i]; a != NULL;
		     a = a->next)
			for (struct mailbox *m = a->mailboxes; m != NULL;
			     m = m->next)
				n += m->asleep;
	return n;
}

/* --- what happens --------------------------------------------------------- */

/* The same bytes to both workers' session. */
static void
say(int k, const char *text)
{
	for (int i = 0; i < 2; i++) {
		struct side *side = &sides[i];

		buf_put(&side->v[k].s->in, slice_str(text));
		side->v[k].woken = true;
		settle(side);
	}
}

/* Each mailbox has an id of its own. */
static void
hide_id(struct buf *b)
{
	char *at = strstr(buf_cstr(b), "MAILBOXID (");
	uint8_t *p = at == NULL
	    ? NULL
	    : b->p + b->off + (at + strlen("MAILBOXID (") - buf_cstr(b));

	for (; p != NULL && *p != ')'; p++)
		*p = 'x';
}

static void
compare(int step, const char *what)
{
	for (int k = 0; k < SESSIONS; k++) {
		struct buf *a = &sides[0].v[k].out, *b = &sides[1].v[k].out;

		hide_id(a);
		hide_id(b);
		if (!slice_eq(buf_slice(a), buf_slice(b)))
			fail_msg("step %d, session %d, %s:\n%s\ninstead of\n%s",
			    step, k, what, buf_cstr(a), buf_cstr(b));
		buf_reset(a);
		buf_reset(b);
	}
}

/* Another program delivers a message. */
static void
deliver(unsigned n)
{
	for (int i = 0; i < 2; i++) {
		char *tmp = mem_printf("%s/Maildir/tmp/x", sides[i].root);
		char *file = mem_printf("%s/Maildir/new/%u.M%uP1.host",
		    sides[i].root, 1700000000 + n, n);
		FILE *f = fopen(tmp, "w");

		assert_non_null(f);
		assert_true(fputs("Subject: x\n\nx\n", f) >= 0);
		assert_int_equal(fclose(f), 0);
		assert_int_equal(rename(tmp, file), 0);
		free(tmp);
		free(file);
		settle(&sides[i]);
	}
}

/* Another program gives a delivered message other flags, or removes it. */
static void
change_file(unsigned n, const char *letters)
{
	char *start = mem_printf("%u.M%uP1.host", 1700000000 + n, n);

	for (int i = 0; i < 2; i++) {
		char *dir = mem_printf("%s/Maildir/cur", sides[i].root);
		DIR *d = opendir(dir);
		struct dirent *e;

		assert_non_null(d);
		while ((e = readdir(d)) != NULL) {
			char *from, *to;

			if (strncmp(e->d_name, start, strlen(start)) != 0)
				continue;
			from = mem_printf("%s/%s", dir, e->d_name);
			to = mem_printf("%s/%s:2,%s", dir, start,
			    letters != NULL ? letters : "");
			assert_int_equal(
			    letters != NULL ? rename(from, to) : unlink(from),
			    0);
			free(from);
			free(to);
			break;
		}
		(void)closedir(d);
		free(dir);
		settle(&sides[i]);
	}
	free(start);
}

static char *
random_set(void)
{
	uint32_t from = 1 + dice(12), to = 1 + dice(12);

	return dice(4) == 0 ? mem_printf("%u:*", from)
			    : mem_printf("%u:%u", from, to);
}

static void
random_command(int k)
{
	static const char *const items[] = { "+FLAGS (\\Deleted)",
		"-FLAGS (\\Deleted)", "+FLAGS (\\Seen word)",
		"FLAGS.SILENT (\\Flagged)", "-FLAGS (other)",
		"+FLAGS (other \\Answered)" };
	bool uid = dice(2) == 0;
	const char *prefix = uid ? "UID " : "";
	char *set = random_set(), *text;

	switch (dice(12)) {
	case 0:
		text = mem_strdup("a NOOP\r\nb FETCH 1:* (UID FLAGS)\r\n"
				  "c SEARCH DELETED\r\n");
		break;
	case 1:
	case 2:
		text = mem_printf("a %sFETCH %s (UID)\r\n", prefix, set);
		break;
	case 3:
	case 4:
	case 5:
		text = mem_printf("a NOOP\r\nb %sSTORE %s %s\r\n", prefix, set,
		    items[dice(NELEMS(items))]);
		break;
	case 6:
		text =
		    mem_strdup(dice(3) == 0 ? "a EXPUNGE\r\n" : "a CHECK\r\n");
		break;
	case 7:
		text = mem_printf("a %sCOPY %s INBOX\r\n", prefix, set);
		break;
	case 8:
		text = mem_printf("a APPEND INBOX (\\Seen) {5+}\r\nA: b\n\r\n"
				  "b %sSEARCH ALL\r\n",
		    prefix);
		break;
	case 9:
		text = mem_strdup("a STATUS INBOX (MESSAGES UIDNEXT)\r\n");
		break;
	case 10:
		text = mem_strdup("a SELECT INBOX\r\n");
		break;
	default:
		for (int i = 0; i < 2; i++)
			sides[i].v[k].idle = true;
		text = mem_strdup("i IDLE\r\n");
	}
	say(k, text);
	free(text);
	free(set);
}

static void
hibernation_is_not_noticed(void **state)
{
	unsigned delivered = 0, slept = 0;

	(void)state;
	wall_ms = (int64_t)1700000000 * 1000;
	for (int i = 0; i < 2; i++)
		side_begin(&sides[i]);
	compare(-1, "login");
	for (int k = 0; k < SESSIONS; k++)
		say(k, "s SELECT INBOX\r\n");
	for (int step = 0; step < STEPS; step++) {
		int k = (int)dice(SESSIONS);

		/* all at rest often enough for a sleep */
		if (dice(2) == 0)
			store_hibernate(sides[0].store);
		slept += count_asleep(&sides[0]);
		wall_ms += dice(5000);
		now_ms += dice(5000);
		switch (dice(5)) {
		case 0:
			deliver(delivered++);
			compare(step, "a delivery");
			break;
		case 1:
			if (delivered != 0)
				change_file(dice(delivered),
				    dice(2) == 0       ? NULL
					: dice(2) == 0 ? "FS"
						       : "");
			compare(step, "a foreign change");
			break;
		default:
			if (sides[0].v[k].idle) {
				sides[0].v[k].idle = sides[1].v[k].idle = false;
				say(k, "DONE\r\n");
			} else {
				random_command(k);
			}
			compare(step, "a command");
		}
	}
	assert_true(slept > STEPS / 5);
	assert_int_equal(count_asleep(&sides[1]), 0);
	for (int i = 0; i < 2; i++)
		side_end(&sides[i]);
}

static void
other_seeds(void **state)
{
	const char *more = getenv("POSTERN_LONG");

	for (uint64_t i = 1; i <= (more != NULL ? 100 : 2); i++) {
		dice_seed = i * 0x9e3779b97f4a7c15u;
		hibernation_is_not_noticed(state);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_seeds),
	};

	quiet_log_but_errors();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
