#include "ctl/maintain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ctl/as_user.h"
#include "maildir/maintain.h"

enum { PAUSE_NS = 2000000, PATIENCE_MS = 5000 };

struct job {
	const char *mailbox; /* NULL: all */
	bool commit;
	int (*fn)(const struct job *j, const char *who, struct account *a,
	    struct slice name);
};

static int
failed(const char *who, struct slice name, const struct err *e)
{
	(void)fflush(stdout);
	if (e->code == ERR_BUSY)
		(void)fprintf(stderr,
		    "posternctl: %s: %.*s: busy: %s; try again later\n", who,
		    SLICE_ARG(name), e->text);
	else
		(void)fprintf(stderr, "posternctl: %s: %.*s: %s\n", who,
		    SLICE_ARG(name), e->text);
	return 1;
}

static void
pause_a_little(void)
{
	const struct timespec pause = { 0, PAUSE_NS };

	(void)nanosleep(&pause, NULL);
}

/* Whether to go on with what has pieces, or to try again what a worker was in
 * the way of: it holds the database for moments only. */
static bool
again(int rc, int64_t since_ms)
{
	if (rc == ERR_MORE)
		return true;
	if (rc != ERR_BUSY || clock_now() - since_ms > PATIENCE_MS)
		return false;
	pause_a_little();
	return true;
}

static int
compare(struct account *a, struct slice name, struct maintain_diff *d,
    struct err *e)
{
	int64_t since_ms = clock_now();
	int rc;

	do
		rc = maintain_compare(a, name, d, e);
	while (again(rc, since_ms));
	return rc;
}

static void
print_diff(const char *who, struct slice name, const struct maintain_diff *d)
{
	(void)printf("%s: %.*s: ", who, SLICE_ARG(name));
	if (!d->indexed) {
		(void)printf(
		    "%" PRIu32 " files, not yet in the index\n", d->files);
		return;
	}
	(void)printf("%" PRIu32 " messages, uidvalidity %" PRIu32
		     ", uidnext %" PRIu32 ", highestmodseq %" PRIu64
		     "; %" PRIu32 " files: %" PRIu32 " new, %" PRIu32
		     " missing, %" PRIu32 " changed\n",
	    d->messages, d->uidvalidity, d->uidnext, d->highest_modseq,
	    d->files, d->unknown, d->missing, d->changed);
}

static int
status(
    const struct job *j, const char *who, struct account *a, struct slice name)
{
	struct maintain_diff d;
	struct err e = { 0 };

	(void)j;
	if (compare(a, name, &d, &e) != 0)
		return failed(who, name, &e);
	print_diff(who, name, &d);
	return 0;
}

static int
refresh(struct account *a, struct slice name, struct err *e)
{
	int64_t since_ms = clock_now();
	struct mailbox *m;
	int rc;

	do
		rc = mailbox_open(a, name, &m, e);
	while (again(rc, since_ms));
	if (rc != 0)
		return rc;
	maintain_distrust(m);
	while (mailbox_refresh(m, false, (struct waker){ 0 }, clock_now(),
		   clock_wall(), &rc) != STEP_DONE)
		pause_a_little();
	mailbox_close(&m);
	return rc != 0 ? err_set(e, rc, "%s", err_name(rc)) : 0;
}

static int
rescan(
    const struct job *j, const char *who, struct account *a, struct slice name)
{
	struct maintain_diff before, after;
	struct err e = { 0 };

	if (compare(a, name, &before, &e) != 0)
		return failed(who, name, &e);
	if (!j->commit) {
		print_diff(who, name, &before);
		return 0;
	}
	if (refresh(a, name, &e) != 0 || compare(a, name, &after, &e) != 0)
		return failed(who, name, &e);
	print_diff(who, name, &after);
	return 0;
}

/* Run it for one mailbox, or all. */
static int
each_mailbox(
    const struct job *j, const struct ctl_account *who, struct account *a)
{
	int64_t since_ms = clock_now();
	struct mailbox_list list;
	struct err e = { 0 };
	int worst = 0, rc;

	if (j->mailbox != NULL)
		return j->fn(j, who->name, a, slice_str(j->mailbox));
	do
		rc = account_list(a, &list, &e);
	while (again(rc, since_ms));
	if (rc != 0)
		return failed(who->name, SLICE("list"), &e);
	for (size_t i = 0; i < list.n; i++)
		if (!(list.v[i].attrs & MAILBOX_NOSELECT) &&
		    j->fn(j, who->name, a, list.v[i].name) != 0)
			worst = 1;
	mailbox_list_fini(&list);
	return worst;
}

static bool
has_index(const struct ctl_account *who)
{
	char *path = mem_printf("%s/postern.db", who->maildir);
	bool has = access(path, F_OK) == 0;

	free(path);
	if (!has)
		(void)printf("%s: no index yet\n", who->name);
	return has;
}

static int
mailboxes(void *arg, const struct ctl_account *who, struct account *a)
{
	return has_index(who) ? each_mailbox(arg, who, a) : 0;
}

static int
rebuild(void *arg, const struct ctl_account *who, struct account *a)
{
	struct job *j = arg;
	struct err e = { 0 };

	if (!has_index(who))
		return 0;
	j->fn = status;
	if (!j->commit) {
		(void)printf("%s: postern.db would be set aside and made "
			     "anew; UIDs and keywords come from the files of "
			     "Courier or Dovecot where they are there, else "
			     "UIDVALIDITY changes:\n",
		    who->name);
		/* damaged as it may be: what can be told */
		(void)each_mailbox(j, who, a);
		return 0;
	}
	/* who has it open may need it for long: that is said at once */
	if (maintain_set_aside(a, &e) != 0)
		return failed(who->name, SLICE("postern.db"), &e);
	j->fn = rescan;
	return each_mailbox(j, who, a);
}

static int
recount(void *arg, const struct ctl_account *who, struct account *a)
{
	const struct job *j = arg;
	struct account_quota was, now;
	int64_t since_ms = clock_now();
	struct err e = { 0 };
	int rc;

	do
		rc = maintain_quota(a, j->commit, &was, &now, &e);
	while (again(rc, since_ms));
	if (rc == ERR_NOT_FOUND) {
		(void)printf("%s: no quota\n", who->name);
		return 0;
	}
	if (rc != 0)
		return failed(who->name, SLICE("maildirsize"), &e);
	(void)printf("%s: %" PRIu64 " bytes in %" PRIu64
		     " messages%s; maildirsize %s %" PRIu64 " in %" PRIu64 "\n",
	    who->name, now.bytes, now.messages, j->commit ? ", written" : "",
	    j->commit ? "said" : "says", was.bytes, was.messages);
	return 0;
}

/* --- words ---------------------------------------------------------------- */

static int
misused(void)
{
	(void)fputs("usage: posternctl mailbox status ACCOUNT|--all [MAILBOX]\n"
		    "       posternctl mailbox rescan ACCOUNT|--all [MAILBOX] "
		    "[--commit]\n"
		    "       posternctl mailbox rebuild ACCOUNT|--all "
		    "[--commit]\n"
		    "       posternctl quota recount ACCOUNT|--all "
		    "[--commit]\n",
	    stderr);
	return 1;
}

/* "ACCOUNT [MAILBOX] [--commit]"; NULL: they aren't. */
static const char *
parse(char *words[], bool mailbox, bool commit, struct job *j)
{
	const char *account = words[0];

	if (account == NULL)
		return NULL;
	for (words++; *words != NULL; words++) {
		if (commit && strcmp(*words, "--commit") == 0)
			j->commit = true;
		else if (mailbox && j->mailbox == NULL && **words != '-')
			j->mailbox = *words;
		else
			return NULL;
	}
	return account;
}

static int
finish(const struct conf *c, const char *account, user_fn *fn, struct job *j,
    bool changes)
{
	int rc;

	if (account == NULL)
		return misused();
	rc = for_accounts(c, account, fn, j);
	if (changes && !j->commit && rc == 0)
		(void)puts("Nothing was changed: --commit does it.");
	return rc;
}

int
ctl_mailbox(const struct conf *c, char *words[])
{
	struct job j = { 0 };
	const char *verb = words[0];

	if (verb == NULL)
		return misused();
	if (strcmp(verb, "status") == 0) {
		j.fn = status;
		return finish(
		    c, parse(words + 1, true, false, &j), mailboxes, &j, false);
	}
	if (strcmp(verb, "rescan") == 0) {
		j.fn = rescan;
		return finish(
		    c, parse(words + 1, true, true, &j), mailboxes, &j, true);
	}
	if (strcmp(verb, "rebuild") == 0)
		return finish(
		    c, parse(words + 1, false, true, &j), rebuild, &j, true);
	return misused();
}

int
ctl_quota(const struct conf *c, char *words[])
{
	struct job j = { 0 };

	if (words[0] == NULL || strcmp(words[0], "recount") != 0)
		return misused();
	return finish(c, parse(words + 1, false, true, &j), recount, &j, true);
}
