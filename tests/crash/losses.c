#include "tests/crash/losses.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/crash/child.h"
#include "tests/crash/power.h"

enum { SAMPLES = 4 };

static char *kept, *boots[2];

static void
make_boot(const struct world *w, char **path, const char *text)
{
	*path = mem_printf("%s/boot-%s", w->f->root, text);
	write_file(*path, text);
}

void
sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(close(fd), 0);
}

void
losses_init(const struct world *w)
{
	make_boot(w, &boots[0], "one");
	make_boot(w, &boots[1], "two");
	kept = mem_printf("%s/kept", w->f->root);
}

void
losses_fini(void)
{
	free(kept);
	free(boots[0]);
	free(boots[1]);
}

struct life {
	const struct loss_test *t;
	const struct script *s;
	const char *where;
};

static void
live_recorded(void *arg)
{
	const struct life *l = arg;
	const struct calls_plan plan = { CALLS_PASS, 0, 0 };

	calls_set_boot_id(boots[0]);
	calls_set_keep(kept);
	l->t->world->calls->record = true;
	world_live(l->t->world, l->s, &plan);
}

static void
check_booted(void *arg)
{
	const struct life *l = arg;

	calls_set_boot_id(boots[1]);
	/* one whose bytes were lost counts for two minutes */
	(void)unlink(fixture_path(l->t->world->f, "tmp/courier.lock"));
	l->t->check(l->where);
}

static void
one_loss(const struct life *life, unsigned upto, enum power_loss loss)
{
	const struct world *w = life->t->world;
	struct life l = *life;
	char where[96];

	l.where = where;
	for (uint64_t seed = 0; seed < (loss == POWER_RANDOM ? SAMPLES : 1);
	     seed++) {
		(void)snprintf(where, sizeof(where),
		    "%s: %u of %u, lost: %d %u", l.s->name, upto,
		    w->calls->n_ops, (int)loss, (unsigned)seed);
		power_restore(w->calls, upto, loss, seed, w->f->path, kept);
		l.t->tell(upto);
		(void)child_ended(check_booted, &l, where);
	}
}

/* Within a call nothing is lost. */
static bool
is_within(const struct op *op, unsigned upto, unsigned n)
{
	return upto != 0 && upto < n && op[upto - 1].call == op[upto].call &&
	    op[upto].kind == OP_ENTRY && op[upto - 1].kind == OP_ENTRY;
}

void
lose_at_each_call(const struct loss_test *t, const struct script *s)
{
	struct life l = { t, s, NULL };
	const struct calls_log *calls = t->world->calls;
	const struct op *op = calls->op;
	bool all = getenv("POSTERN_LONG") != NULL;
	unsigned n;

	world_reset(t->world, s);
	t->begin();
	remove_tree(kept);
	assert_int_equal(mkdir(kept, 0700), 0);
	assert_true(child_run(live_recorded, &l));
	n = calls->n_ops;
	for (unsigned upto = calls->n_old; upto <= n; upto++) {
		bool last = upto == n || op[upto].kind == OP_SYNC ||
		    op[upto].kind == OP_ENTRY;

		if (is_within(op, upto, n))
			continue;
		for (int loss = POWER_NOTHING; loss < POWER_N; loss++)
			if (all || upto % t->stride == 0 ||
			    (last &&
				(loss == POWER_ALL || loss == POWER_BYTES)))
				one_loss(&l, upto, (enum power_loss)loss);
	}
	child_all_ended();
}
