/* The scripts, but for the one of IMAP. */
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "maildir/internal.h"
#include "tests/crash/script_impl.h"
#include "tests/support/syncs.h"

void
world_some_mail(struct world *w)
{
	world_make_dirs(w);
	world_deliver_durably(w, "", "mail1");
	world_deliver_durably(w, "", "mail2");
	world_wait_tick(w);
	world_look(w, "INBOX");
	world_create(w, "INBOX.T");
	world_look(w, "INBOX.T");
	world_note(w, NOTE_FLIGHT, "", "", 0, 0);
}

static void
run_first(struct world *w)
{
	world_append(w, "INBOX", "first1");
	world_look(w, "INBOX");
	world_append(w, "INBOX", "first2");
}

static void
run_append_store(struct world *w)
{
	world_append(w, "INBOX", "append1");
	world_store(w, "INBOX", 1, MESSAGE_SEEN);
	world_append(w, "INBOX.T", "append2");
	world_store(w, "INBOX", 3, MESSAGE_ANSWERED);
	world_look(w, "INBOX");
}

static void
run_multiappend(struct world *w)
{
	static const char *const words[] = { "multi1", "multi2", "multi3",
		"multi4", "multi5" };

	world_multiappend(w, words, NELEMS(words));
	world_look(w, "INBOX");
}

static void
run_group(struct world *w)
{
	struct appender first[] = { { .mailbox = "INBOX", .word = "group1" },
		{ .mailbox = "INBOX.T", .word = "group2" },
		{ .mailbox = "INBOX", .word = "group3" } };
	struct appender second[] = { { .mailbox = "INBOX.T", .word = "group4" },
		{ .mailbox = "INBOX.T", .word = "group5" } };

	world_append_together(w, first, NELEMS(first));
	world_append_together(w, second, NELEMS(second));
	world_look(w, "INBOX");
}

static void
run_copy_move(struct world *w)
{
	world_copy(w, "INBOX", 1, "INBOX.T", false, 0);
	world_copy(w, "INBOX", 2, "INBOX.T", true, 0);
	world_look(w, "INBOX");
}

/* A copy of what wasn't told of before; its UID, or 0. */
static uint32_t
copy_loose(struct world *w, const char *name, uint32_t uid, const char *target,
    const char *word, bool move)
{
	struct mailbox *m = world_open(w, name);
	uint32_t to = 0;

	if (m != NULL && uid != 0 &&
	    world_done(w, try_refresh(w->f, m, false)) &&
	    world_done(w, run_copy(w->f, m, &uid, 1, target, move, &to)) &&
	    to != 0)
		world_copied(w, target, to, word, 0);
	mailbox_close(&m);
	return to;
}

/* What others delivered without a sync must survive from COPY's OK on; so must
 * the copy of a copy; and what the kernel has written by itself meanwhile. */
static void
run_copy_young(struct world *w)
{
	uint32_t uid;

	world_note(w, NOTE_FLIGHT, "", "", 9, 0);
	world_deliver_loosely(w, "loose1");
	uid = copy_loose(w, "INBOX", 3, "INBOX.T", "loose1", false);
	world_create(w, "INBOX.U");
	world_copy(w, "INBOX.T", uid, "INBOX.U", true, 0);
	world_note(w, NOTE_FLIGHT, "", "", 9, 0);
	world_deliver_loosely(w, "loose2");
	(void)copy_loose(w, "INBOX", 4, "INBOX.T", "loose2", true);
	world_deliver_loosely(w, "loose3");
	calls_written_back();
	w->f->wall_ms += 61 * 1000;
	(void)copy_loose(w, "INBOX", 5, "INBOX.T", "loose3", false);
	world_look(w, "INBOX.T");
}

static void
tick(struct world *w)
{
	(void)store_tick(w->f->store, 1, w->f->wall_ms);
}

/* Changes to messages whose files the disk may not have yet, and a sync of the
 * disk between some of them. */
static void
run_young(struct world *w)
{
	world_append(w, "INBOX", "young1");
	world_append(w, "INBOX.T", "young2");
	tick(w);
	world_append(w, "INBOX", "young3");
	world_append(w, "INBOX", "young4");
	world_store(w, "INBOX", 5, MESSAGE_SEEN);
	world_copy(w, "INBOX", 3, "INBOX.T", true, MESSAGE_FLAGGED);
	world_expunge(w, "INBOX", 4);
	world_append(w, "INBOX.T", "young5");
	world_rename(w, "INBOX.T", "INBOX.R");
	tick(w);
	tick(w);
	world_append(w, "INBOX.R", "young6");
	world_look(w, "INBOX");
	world_create(w, "INBOX.D");
	world_append(w, "INBOX.D", "young7");
	world_delete(w, "INBOX.D");
	world_append(w, "INBOX", "young8");
	tick(w);
	tick(w);
}

static void
run_expunges(struct world *w)
{
	world_expunge(w, "INBOX", 1);
	world_append(w, "INBOX", "append1");
	world_expunge(w, "INBOX", 2);
	world_look(w, "INBOX");
}

static void
run_mailboxes(struct world *w)
{
	world_create(w, "INBOX.N");
	world_append(w, "INBOX.N", "new1");
	world_copy(w, "INBOX", 1, "INBOX.T", false, 0);
	world_rename(w, "INBOX.T", "INBOX.U");
	world_append(w, "INBOX.U", "new2");
	world_delete(w, "INBOX.N");
	world_create(w, "INBOX.N");
	world_append(w, "INBOX.N", "new3");
}

/* More rows than go at a time. */
static void
prepare_sweep(struct world *w)
{
	world_some_mail(w);
	world_append(w, "INBOX.T", "old1");
	world_append(w, "INBOX.T", "old2");
	world_cache_all(w, "INBOX.T");
}

/* What a deleted mailbox has left goes, while one of its name is used. */
static void
run_sweep(struct world *w)
{
	struct account *a = w->f->account;

	world_delete(w, "INBOX.T");
	for (int i = 0; i < 6; i++) {
		(void)store_tick(w->f->store, 1, w->f->wall_ms);
		if (i == 1)
			world_append(w, "INBOX", "new1");
		if (i == 3)
			world_create(w, "INBOX.T");
	}
	assert_true(!a->rows_left || w->l->refused != 0);
	world_append(w, "INBOX.T", "new2");
	world_look(w, "INBOX.T");
}

static void
run_rename_inbox(struct world *w)
{
	world_rename(w, "INBOX", "INBOX.U");
	world_append(w, "INBOX", "new1");
	world_look(w, "INBOX");
	world_look(w, "INBOX.U");
}

static void
prepare_deliveries(struct world *w)
{
	world_make_dirs(w);
	world_deliver_durably(w, "", "mail1");
	world_deliver_durably(w, "", "mail2");
	world_deliver_durably(w, "", "mail3");
	world_wait_tick(w);
}

static void
run_deliveries(struct world *w)
{
	world_look(w, "INBOX");
	world_deliver_durably(w, "", "mail4");
	world_look(w, "INBOX");
	world_deliver_durably(w, "", "mail5");
	world_deliver_durably(w, "", "mail6");
	world_look(w, "INBOX");
}

enum { LONG_LIST = 4200, AGAIN = 2000 };

/* courierimapuiddb with two messages, and n before them that went away; then
 * more of both if the server was there again. */
static void
put_list(struct world *w, unsigned n, unsigned later)
{
	struct buf list;

	buf_init(&list, 1 << 20);
	buf_putf(
	    &list, "1 1234567890 %u\n", n + (later != 0 ? later + 70 : 50));
	for (unsigned i = 0; i < n; i++)
		buf_putf(&list, "%u 15%u.M1P1.host\n", i + 1, 10000000 + i);
	for (unsigned i = 1; i <= 2; i++)
		buf_putf(&list, "%u 1600000000.M%uP1.host\n", n + 40 + i, i);
	for (unsigned i = 3; i <= later; i++)
		buf_putf(&list, "%u 1600000000.M%uP1.host\n", n + 60 + i, i);
	world_put_file(w, "courierimapuiddb", buf_cstr(&list));
	buf_fini(&list);
}

/* Messages that Courier has shown: the first was number from. */
static void
put_old(struct world *w, uint32_t from, uint32_t uid)
{
	struct note n = {
		.kind = NOTE_SHOWN, .mailbox = "INBOX", .validity = 1234567890
	};

	for (uint32_t i = from; i < from + 2; i++) {
		char path[96], text[MESSAGE_BYTES + 1];

		(void)snprintf(n.word, sizeof(n.word), "old%u", i);
		(void)snprintf(
		    path, sizeof(path), "cur/1600000000.M%uP1.host:2,S", i);
		make_text(text, n.word);
		world_put_file(w, path, text);
		n.uid = uid + i - from;
		n.flags = MESSAGE_SEEN;
		ledger_note(w->l, &n);
	}
}

static void
prepare_list(struct world *w, unsigned gone)
{
	world_make_dirs(w);
	world_deliver_durably(w, "", "mail1");
	world_deliver_durably(w, "", "mail2");
	put_old(w, 1, gone + 41);
	put_list(w, gone, 0);
	world_wait_tick(w);
}

static void
prepare_import(struct world *w)
{
	prepare_list(w, 0);
}

/* More than one transaction takes over. */
static void
prepare_long_list(struct world *w)
{
	prepare_list(w, LONG_LIST);
}

/* Courier was here again: more than one transaction adopts what it gave. */
static void
prepare_again(struct world *w)
{
	prepare_list(w, 0);
	world_look(w, "INBOX");
	fixture_reopen(w->f);
	put_old(w, AGAIN - 1, AGAIN + 59);
	(void)unlink(fixture_path(w->f, "courierimapuiddb"));
	put_list(w, 0, AGAIN);
	world_wait_tick(w);
}

static void
run_long_list(struct world *w)
{
	world_look(w, "INBOX");
}

static void
run_import(struct world *w)
{
	world_look(w, "INBOX");
	world_append(w, "INBOX", "append1");
	world_look(w, "INBOX");
}

/* Unique-ids are given twice: to what is there, and to what comes. */
static void
run_pop3_ids(struct world *w)
{
	world_look_by_pop3(w);
	world_deliver_durably(w, "", "mail3");
	world_deliver_durably(w, "", "mail4");
	/* if the look fails the quota is counted with them: by a later time */
	world_wait_tick(w);
	world_look_by_pop3(w);
	fixture_reopen(w->f);
	world_append(w, "INBOX", "append1");
	world_look_by_pop3(w);
}

/* What Courier gave is taken over, while one of the messages is newer. */
static void
prepare_sizelist(struct world *w)
{
	prepare_list(w, 0);
	world_put_file(w, "courierpop3dsizelist",
	    "/3 9 1234567890\n1600000000.M1P1.host:2,S 300 7:1234567890:0\n"
	    "1600000000.M2P1.host:2,S 300 3:1234567890:0\n");
	for (uint32_t i = 0; i < 2; i++) {
		struct note n = { .kind = NOTE_UNIQUE,
			.mailbox = "INBOX",
			.validity = 1234567890,
			.uid = 41 + i };

		(void)snprintf(n.word, sizeof(n.word), "UID%u-1234567890",
		    i == 0 ? 7u : 3u);
		ledger_note(w->l, &n);
	}
}

static void
note_keyword(struct world *w, uint32_t uid, const char *keyword)
{
	struct note n = { .kind = NOTE_KEYWORD,
		.mailbox = "INBOX",
		.validity = 1234567890,
		.uid = uid };

	strcpy(n.word, keyword);
	ledger_note(w->l, &n);
}

/* Courier's list, and an update that waits beside it. */
static void
prepare_keywords(struct world *w)
{
	prepare_list(w, 0);
	assert_int_equal(
	    mkdir(fixture_path(w->f, "courierimapkeywords"), 0700), 0);
	world_put_file(w, "courierimapkeywords/:list",
	    "listed\n\n1600000000.M1P1.host:0\n");
	world_put_file(
	    w, "courierimapkeywords/1600000000.M2P1.host", "updated\n");
	note_keyword(w, 41, "listed");
	note_keyword(w, 42, "updated");
	world_wait_tick(w);
}

/* Dovecot's: a list of names, and letters of files. */
static void
prepare_letters(struct world *w)
{
	world_make_dirs(w);
	world_deliver_durably(w, "", "mail1");
	put_old(w, 1, 41);
	(void)rename(fixture_path(w->f, "cur/1600000000.M1P1.host:2,S"),
	    fixture_path(w->f, "cur/1600000000.M1P1.host:2,Sa"));
	(void)rename(fixture_path(w->f, "cur/1600000000.M2P1.host:2,S"),
	    fixture_path(w->f, "cur/1600000000.M2P1.host:2,Sb"));
	world_put_file(w, "dovecot-uidlist",
	    "3 V1234567890 N50\n41 :1600000000.M1P1.host\n"
	    "42 :1600000000.M2P1.host\n");
	world_put_file(w, "dovecot-keywords", "0 first\n1 second\n");
	world_put_file(w, "subscriptions", "T\n");
	world_note(w, NOTE_SUBSCRIBED, "INBOX.T", "", 0, 0);
	note_keyword(w, 41, "first");
	note_keyword(w, 42, "second");
	world_wait_tick(w);
}

static void
run_small_quota(struct world *w)
{
	world_append(w, "INBOX", "append1");
	world_copy(w, "INBOX", 1, "INBOX.T", false, 0);
	world_append(w, "INBOX", "append2"); /* one too many */
	world_expunge(w, "INBOX", 1);
	world_append(w, "INBOX", "append3");
}

static void
run_subscriptions(struct world *w)
{
	world_subscribe(w, "INBOX");
	if (world_done(w, subscribe_now(w->f->account, SLICE("INBOX"), false)))
		world_subscribe(w, "INBOX.T");
	world_look(w, "INBOX");
}

enum { TAIL = 32 }; /* of maildir/edit.c */

/* Two chunks that the next message will make one. */
static void
prepare_tails(struct world *w)
{
	world_make_dirs(w);
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned i = 0; i < TAIL; i++) {
			char word[WORD_MAX];

			(void)snprintf(
			    word, sizeof(word), "mail%u", TAIL * k + i);
			world_deliver_durably(w, "", word);
		}
		world_wait_tick(w);
		world_look(w, "INBOX");
	}
	world_note(w, NOTE_FLIGHT, "", "", 0, 0);
}

/* Chunks are merged, and in the cache new entries come to those of before. */
static void
run_tails(struct world *w)
{
	struct mailbox *m = world_open(w, "INBOX");
	bool merged;

	world_cache_all(w, "INBOX");
	world_append(w, "INBOX", "append1");
	merged =
	    m != NULL && m->head->n_chunks == 2 && m->head->v[0]->n == 2 * TAIL;
	assert_true(merged || w->l->refused != 0);
	mailbox_close(&m);
	world_append(w, "INBOX", "append2");
	world_cache_all(w, "INBOX");
	world_store(w, "INBOX", TAIL + 1, MESSAGE_SEEN);
	world_look(w, "INBOX");
}

/* One life of several sessions, one after the other. */
static void
run_reopen(struct world *w)
{
	world_append(w, "INBOX", "append1");
	fixture_reopen(w->f);
	world_store(w, "INBOX", 1, MESSAGE_SEEN);
	world_deliver_durably(w, "", "mail3");
	fixture_reopen(w->f);
	world_look(w, "INBOX");
	world_expunge(w, "INBOX", 2);
	fixture_reopen(w->f);
	world_look(w, "INBOX");
}

/* Nobody comes until the account is closed. */
static void
close_idle(struct world *w)
{
	for (int i = 0; i < 62; i++)
		(void)store_tick(w->f->store, 1, w->f->wall_ms);
}

/* A log that is copied into the database by the syncer, and begun anew. */
static void
run_cold(struct world *w)
{
	w->f->syncer = &syncs_at_once;
	fixture_reopen(w->f);
	world_append(w, "INBOX", "append1");
	close_idle(w);
	world_look(w, "INBOX");
	close_idle(w);
	world_store(w, "INBOX", 1, MESSAGE_SEEN);
	world_append(w, "INBOX", "append2");
	close_idle(w);
	world_look(w, "INBOX");
}

static const struct script own[] = {
	{ "first", NULL, run_first, NULL, false },
	{ "append-store", world_some_mail, run_append_store, NULL, false },
	{ "append-store-always", world_some_mail, run_append_store, NULL,
	    true },
	{ "multiappend", world_some_mail, run_multiappend, NULL, false },
	{ "group", world_some_mail, run_group, NULL, false },
	{ "copy-move", world_some_mail, run_copy_move, NULL, false },
	{ "copy-move-always", world_some_mail, run_copy_move, NULL, true },
	{ "copy-young", world_some_mail, run_copy_young, NULL, false },
	{ "young", world_some_mail, run_young, NULL, false },
	{ "expunge", world_some_mail, run_expunges, NULL, false },
	{ "expunge-always", world_some_mail, run_expunges, NULL, true },
	{ "mailboxes", world_some_mail, run_mailboxes, NULL, false },
	{ "sweep", prepare_sweep, run_sweep, NULL, false },
	{ "rename-inbox", world_some_mail, run_rename_inbox, NULL, false },
	{ "deliveries", prepare_deliveries, run_deliveries, NULL, false },
	{ "import", prepare_import, run_import, NULL, false },
	{ "import-long", prepare_long_list, run_long_list, NULL, false },
	{ "import-again", prepare_again, run_import, NULL, false },
	{ "pop3", world_some_mail, run_pop3_ids, NULL, false },
	{ "pop3-import", prepare_sizelist, run_pop3_ids, NULL, false },
	{ "keywords", prepare_keywords, run_import, NULL, false },
	{ "letters", prepare_letters, run_import, NULL, false },
	{ "quota", world_some_mail, run_small_quota, "1300S,4C", false },
	{ "subscriptions", world_some_mail, run_subscriptions, NULL, false },
	{ "reopen", world_some_mail, run_reopen, NULL, false },
	{ "cold", world_some_mail, run_cold, NULL, false },
	{ "tails", prepare_tails, run_tails, NULL, false },
};

const struct script *
script_get(size_t i)
{
	return i < NELEMS(own) ? &own[i]
	    : i == NELEMS(own) ? &script_imap
			       : NULL;
}

int
script_run_all(const char *group, void (*fn)(void **state), const char *name)
{
	struct CMUnitTest tests[32];
	size_t n = 0;

	for (; script_get(n) != NULL; n++) {
		union {
			const struct script *in;
			void *out;
		} s = { script_get(n) };

		assert_true(n < NELEMS(tests));
		tests[n] =
		    (struct CMUnitTest){ s.in->name, fn, NULL, NULL, s.out };
	}
	if (name != NULL)
		cmocka_set_test_filter(name);
	return _cmocka_run_group_tests(group, tests, n, NULL, NULL);
}
