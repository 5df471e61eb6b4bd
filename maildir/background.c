#include "maildir/background.h"

#include "maildir/export.h"
#include "maildir/trash.h"

enum {
	EXPORT_QUIET_TICKS = 60,
	STEP_COST = 10, /* one step of an export is about 1 ms */
};

/* Whether there may be something to export: use alone is no change. */
static bool
export_due(const struct account *a)
{
	return a->store->opt.export_courier && !a->in_memory &&
	    a->exported_at != a->worked && !(a->all_exported && !a->db.changed);
}

void
background_close(struct account *a)
{
	sqlite3_stmt *s;
	int rc;

	if (!a->store->opt.export_courier ||
	    (a->all_exported && !a->db.changed))
		return;
	s = db_stmt(&a->db, DB_EXPORTED_NOT);
	db_bind_i64(s, 1, 0);
	rc = db_step(&a->db, s, NULL);
	if (rc == 1)
		(void)sqlite3_reset(s);
	a->all_exported = rc == 0;
}

/* What a step took: one that waits still took nothing. */
static void
charge(struct account *a, enum step step, int *budget)
{
	bool waits = step == STEP_WAIT_SYNC || step == STEP_WAIT_PEER;

	if (!waits || !a->background_waits)
		*budget -= STEP_COST;
	a->background_waits = waits;
}

/* Go on with the trash, which is no use of the account either. */
static enum step
trash_on(struct account *a, int *budget, int64_t now_ms, int64_t wall_ms)
{
	uint64_t used = a->used, worked = a->worked;
	enum step step = STEP_YIELD;

	if (a->trash == NULL)
		a->trash = trash_new(a);
	a->refs++;
	while (*budget > 0 && step == STEP_YIELD) {
		step =
		    trash_step(a->trash, (struct waker){ 0 }, now_ms, wall_ms);
		charge(a, step, budget);
	}
	a->refs--;
	a->used = used;
	a->worked = worked;
	if (step != STEP_DONE)
		return step;
	trash_free(&a->trash);
	/* what has been removed is to be exported */
	a->exported_at = 0;
	return step;
}

/* Go on with the export.  The account doesn't count as used by it. */
static enum step
export_on(struct account *a, int *budget, int64_t now_ms, int64_t wall_ms)
{
	uint64_t used = a->used, worked = a->worked;
	enum step step = STEP_YIELD;

	if (a->export == NULL) {
		a->export = export_new(a, false);
		/* what is committed from here on isn't in it */
		a->db.changed = a->all_exported = false;
	}
	a->refs++;
	while (*budget > 0 && step == STEP_YIELD) {
		step = export_step(
		    a->export, (struct waker){ 0 }, now_ms, wall_ms);
		charge(a, step, budget);
	}
	a->refs--;
	a->used = used;
	a->worked = worked;
	if (step == STEP_DONE) {
		a->all_exported = export_result(a->export, NULL) == 0;
		export_free(&a->export);
		a->exported_at = worked;
	}
	return step;
}

enum step
background_work(struct account *a, int *budget, int64_t now_ms, int64_t wall_ms)
{
	uint64_t quiet = (uint64_t)(a->store->opt.quiet_ms / 1000);
	bool clears = a->trash != NULL, exports = a->export != NULL;
	enum step step = STEP_DONE;

	if (quiet > EXPORT_QUIET_TICKS)
		quiet = EXPORT_QUIET_TICKS;
	if (!clears && !exports &&
	    (a->worked == 0 || a->worked + quiet > a->store->tick))
		return export_due(a) ? STEP_WAIT_PEER : STEP_DONE;
	clears = clears || (!exports && trash_due(a, wall_ms));
	if (*budget <= 0)
		return clears || exports || export_due(a) ? STEP_YIELD
							  : STEP_DONE;
	if (clears)
		step = trash_on(a, budget, now_ms, wall_ms);
	if (a->trash == NULL && (exports || export_due(a)))
		step = export_on(a, budget, now_ms, wall_ms);
	return step;
}

bool
background_finish(
    struct account *a, int *budget, int64_t now_ms, int64_t wall_ms)
{
	if (export_due(a) || a->export != NULL)
		(void)export_on(a, budget, now_ms, wall_ms);
	return export_due(a) || a->export != NULL;
}

void
background_stop(struct account *a)
{
	trash_free(&a->trash);
	export_free(&a->export);
}
