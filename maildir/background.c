#include "maildir/background.h"

#include "base/log.h"
#include "maildir/export.h"

enum {
	EXPORT_QUIET_TICKS = 60,
	STEP_COST = 10, /* one step of an export is about 1 ms */
};

/* Whether the account was used since it was last exported. */
static bool
export_due(const struct account *a)
{
	return a->store->opt.export_courier && a->exported_at != a->worked;
}

/* Go on with the export.  The account doesn't count as used by it. */
static void
export_on(struct account *a, int *budget, int64_t now_ms, int64_t wall_ms)
{
	uint64_t used = a->used, worked = a->worked;
	enum step step = STEP_YIELD;

	if (a->export == NULL)
		a->export = export_new(a, false);
	a->refs++;
	while (*budget > 0 && step == STEP_YIELD) {
		*budget -= STEP_COST;
		step = export_step(
		    a->export, (struct waker){ 0 }, now_ms, wall_ms);
	}
	a->refs--;
	a->used = used;
	a->worked = worked;
	if (step == STEP_DONE) {
		export_free(&a->export);
		a->exported_at = worked;
	}
}

bool
background_tick(struct account *a, int *budget, int64_t now_ms, int64_t wall_ms)
{
	uint64_t quiet = (uint64_t)(a->store->opt.quiet_ms / 1000);

	if (quiet > EXPORT_QUIET_TICKS)
		quiet = EXPORT_QUIET_TICKS;
	if (a->export != NULL ||
	    (export_due(a) && a->worked + quiet <= a->store->tick))
		export_on(a, budget, now_ms, wall_ms);
	return export_due(a);
}

bool
background_finish(
    struct account *a, int *budget, int64_t now_ms, int64_t wall_ms)
{
	if (export_due(a) || a->export != NULL)
		export_on(a, budget, now_ms, wall_ms);
	return export_due(a) || a->export != NULL;
}

void
background_stop(struct account *a)
{
	export_free(&a->export);
}
