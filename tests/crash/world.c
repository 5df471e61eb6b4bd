/* The world of a script: a Maildir, the ledger, and what calls there are. */
#include <sys/stat.h>

#include <ftw.h>

#include "tests/crash/script.h"

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void
world_init(struct world *w)
{
	void *state = NULL;

	assert_int_equal(fixture_setup(&state), 0);
	w->f = state;
	fixture_close(w->f);
	w->l = ledger_new();
	w->calls = calls_log_new();
}

void
world_fini(struct world *w)
{
	void *state = w->f;

	(void)fixture_teardown(&state);
}

void
world_reset(struct world *w, const struct script *s)
{
	remove_tree(w->f->path);
	assert_int_equal(mkdir(w->f->path, 0700), 0);
	memset(w->l, 0, sizeof(*w->l));
	w->f->quota = s->quota != NULL ? s->quota : "1000000S";
	w->f->fsync_always = s->always;
	w->f->wall_ms = clock_wall();
}

void
world_live(
    struct world *w, const struct script *s, const struct calls_plan *plan)
{
	calls_begin(w->f->path, w->calls);
	fixture_open(w->f);
	if (s->prepare != NULL)
		s->prepare(w);
	calls_arm(plan);
	s->run(w);
	calls_heal();
}
