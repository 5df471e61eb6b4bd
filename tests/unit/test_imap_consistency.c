/*
 * Many sessions change one mailbox at random, beside a delivering MTA and a
 * program that renames and removes files; each session's view is checked
 * against the rules, and at times against what is there.
 *
 * A client here is a model of what RFC 3501 and RFC 7162 let a client know: it
 * keeps for each sequence number the UID and the flags it was told of, applies
 * its own STORE .SILENT, holds HIGHESTMODSEQ as section 6 says, and at times
 * loses its connection in the middle of everything and comes back by SELECT
 * (QRESYNC …) or with a full FETCH.
 *
 * Checked with each response: EXPUNGE and VANISHED only where they may come and
 * of what is there; EXISTS never shrinks; a FETCH has the UID that its number
 * had; a UID has one EMAILID for ever, and never comes back; mod-sequences
 * never fall, and grow with each change of flags.  Checked when all is quiet:
 * what each client believes is what a FETCH of all says, what all the others
 * see, and what the files' names say.
 *
 * Sessions run slice by slice in an order that a seed gives, and so do the
 * syncs they wait for.  POSTERN_LONG: for an hour.  Arguments: a seed, for a
 * long run; or the first and the last of many short ones.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/support/quiet.h"
#include "tests/unit/consistency.h"

enum { SHORT_TURNS = 12000 };

static unsigned serial; /* of what is delivered */

/* --- other programs ------------------------------------------------------ */

static void
deliver(void)
{
	char *tmp = mem_printf("%s/Maildir/tmp/d", ck.root);
	char *to = mem_printf("%s/Maildir/new/%u.M%uP9.mta", ck.root,
	    1700000000 + serial, serial);
	FILE *f = fopen(tmp, "w");

	serial++;
	if (f == NULL || fprintf(f, "Subject: %u\n\nx\n", serial) < 0 ||
	    fclose(f) != 0 || rename(tmp, to) != 0)
		fail(NULL, "deliver", slice_str(to));
	free(tmp);
	free(to);
}

/* Another program changes flags, or removes. */
static void
meddle(void)
{
	char *dir = mem_printf("%s/Maildir/cur", ck.root), *from, *to, *info;
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort), at;

	if (n <= 2) {
		for (int k = 0; k < n; k++)
			free(names[k]);
		free(names);
		free(dir);
		return;
	}
	at = 2 + (int)dice((uint32_t)n - 2);
	from = mem_printf("%s/%s", dir, names[at]->d_name);
	to = mem_strdup(from);
	info = strstr(to, ":2,");
	if (dice(6) == 0) {
		(void)unlink(from);
	} else if (info != NULL) {
		static const char *const sets[] = { "", "S", "F", "RS", "DF" };

		char *target;

		info[3] = '\0';
		target = mem_printf("%s%s", to, sets[dice(NELEMS(sets))]);
		(void)rename(from, target);
		free(target);
	}
	for (int k = 0; k < n; k++)
		free(names[k]);
	free(names);
	free(from);
	free(to);
	free(dir);
}

/* --- the checks ---------------------------------------------------------- */

static void
finish_all(void)
{
	for (unsigned k = 0, busy = 1; busy != 0; k++) {
		busy = 0;
		if (k > 1000000)
			fail(NULL, "a command never ends", SLICE(""));
		for (struct client *c = ck.clients; c < ck.clients + N_CLIENTS;
		     c++) {
			if (c->idling) {
				c->idling = false;
				note(c, 'C', SLICE("DONE"));
				buf_puts(&c->to, "DONE\r\n");
			}
			busy += c->busy;
			run_client(c);
		}
		watch();
		(void)sync_one();
	}
}

static void
each(void (*fn)(struct client *))
{
	for (struct client *c = ck.clients; c < ck.clients + N_CLIENTS; c++)
		if (c->selected && !c->lost)
			fn(c);
	finish_all();
}

static void
say_noop(struct client *c)
{
	c->uid_command = false;
	say(c, "NOOP", "NOOP");
}

static unsigned
count_files(const char *sub)
{
	char *dir = mem_printf("%s/Maildir/%s", ck.root, sub);
	struct dirent **names;
	int n = scandir(dir, &names, NULL, NULL);

	for (int k = 0; k < n; k++)
		free(names[k]);
	free(names);
	free(dir);
	return (unsigned)n - 2;
}

static void
check_all(void)
{
	const struct client *first = NULL;

	finish_all();
	for (int k = 0; k < 3; k++)
		each(say_noop);
	for (struct client *c = ck.clients; c < ck.clients + N_CLIENTS; c++)
		c->quiet = true;
	each(say_list);
	for (struct client *c = ck.clients; c < ck.clients + N_CLIENTS; c++) {
		c->quiet = false;
		if (!c->selected || c->lost)
			continue;
		if (first == NULL)
			first = c;
		if (c->n != count_files("cur") + count_files("new"))
			fail(c, "not what is on disk", SLICE(""));
		if (c->n != first->n)
			fail(c, "another number of messages", SLICE(""));
		for (uint32_t k = 0; k < c->n; k++)
			if (c->v[k].uid != first->v[k].uid ||
			    strcmp(c->v[k].flags, first->v[k].flags) != 0)
				fail(c, "another message", SLICE(""));
		if (c->kind != PLAIN && c->held != first->held &&
		    first->kind != PLAIN && c->held < first->held &&
		    c->kind == QRESYNC)
			fail(c, "another HIGHESTMODSEQ", SLICE(""));
	}
}

static void
one_turn(void)
{
	struct client *c = &ck.clients[dice(N_CLIENTS)];

	run_client(c);
	if (dice(3) == 0)
		(void)sync_one();
	if (dice(20) == 0)
		watch();
	if (dice(60) == 0 && count_files("cur") < MESSAGES_MAX / 3)
		deliver();
	if (dice(80) == 0)
		meddle();
	if (dice(700) == 0)
		lose(c);
	if (c->idling && dice(10) == 0) {
		c->idling = false;
		note(c, 'C', SLICE("DONE"));
		buf_puts(&c->to, "DONE\r\n");
	} else if (!c->busy && c->lost && c->selected) {
		finish_resync(c);
	} else if (!c->busy) {
		next_command(c);
	}
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *w)
{
	(void)st;
	(void)type;
	(void)w;
	return remove(path);
}

static void
make_mailbox(struct account *a)
{
	struct account_change *c = account_create(a, SLICE("INBOX.t"));
	int rc = 0;

	while (
	    account_change_step(c, (struct waker){ 0 }, &rc, NULL) != STEP_DONE)
		(void)sync_one();
	account_change_free(&c);
	if (rc != 0)
		exit(1);
}

static void
run_seed(unsigned number, unsigned turns)
{
	char template[] = "/tmp/postern-consistency.XXXXXX";
	struct store_options opt = { .hostname = "test.example",
		.syncer = &syncs_holder,
		.quiet_ms = 60 * 1000,
		.poll_ms = 30 * 1000,
		.open_max = 10,
		.umask = 077 };
	struct account *a;
	char *path;

	ck.seed = number;
	ck.random = number * 7919u + 1;
	forget_all();
	if (mkdtemp(template) == NULL)
		exit(1);
	ck.root = template;
	ck.store = store_new(&opt);
	path = mem_printf("%s/Maildir", ck.root);
	a = account_get(ck.store, path, "");
	make_mailbox(a);
	account_release(&a);
	free(path);
	for (int k = 0; k < 20; k++)
		deliver();
	for (size_t k = 0; k < N_CLIENTS; k++) {
		ck.clients[k] = (struct client){ .kind = (enum kind)(k % 3) };
		ck.clients[k].targets = mem_alloc(16 * sizeof(uint32_t));
		open_client(&ck.clients[k]);
	}
	for (ck.turn = 0; ck.turn < turns; ck.turn++) {
		one_turn();
		if (ck.turn % 1500 == 1499)
			check_all();
	}
	finish_all();
	for (size_t k = 0; k < N_CLIENTS; k++) {
		close_client(&ck.clients[k]);
		free(ck.clients[k].targets);
	}
	while (sync_one())
		;
	store_free(&ck.store);
	(void)nftw(ck.root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int
main(int argc, char **argv)
{
	const int64_t hour = INT64_C(3600) * 1000;
	int64_t end = clock_now() + hour;
	unsigned n = 0;

	quiet_log_but_errors();
	if (argc > 2) {
		n = (unsigned)strtoul(argv[1], NULL, 10);
		for (; n <= strtoul(argv[2], NULL, 10); n++)
			run_seed(n, SHORT_TURNS);
	} else if (argc > 1) {
		run_seed(
		    (unsigned)strtoul(argv[1], NULL, 10), 10 * SHORT_TURNS);
	} else if (getenv("POSTERN_LONG") != NULL) {
		for (; clock_now() < end; n++)
			run_seed((unsigned)time(NULL) + n, 10 * SHORT_TURNS);
	} else {
		for (; n < 3; n++)
			run_seed(n + 1, SHORT_TURNS);
	}
	printf("ok: %u seeds\n", n);
	return 0;
}
