#include "ctl/export.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/as_user.h"
#include "maildir/export.h"

enum { PAUSE_NS = 1000000 };

static int
export_account(void *arg, const struct ctl_account *who, struct account *a)
{
	const struct timespec pause = { 0, PAUSE_NS };
	struct export *x = export_new(a, true);
	unsigned n;
	int rc;

	(void)arg;
	while (export_step(x, (struct waker){ 0 }, clock_now(), clock_wall()) !=
	    STEP_DONE)
		(void)nanosleep(&pause, NULL);
	rc = export_result(x, &n);
	export_free(&x);
	(void)printf("%s: %u mailboxes%s%s\n", who->name, n,
	    rc != 0 ? ", failed: " : "", rc != 0 ? err_name(rc) : "");
	return rc != 0;
}

int
ctl_export(const struct conf *c, char *words[])
{
	if (words[0] == NULL || words[1] != NULL) {
		(void)fputs("usage: posternctl export ACCOUNT|--all\n", stderr);
		return 1;
	}
	return for_accounts(c, words[0], export_account, NULL);
}
