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

/* Go on with the trash, which is no use of the account either. */
static void
trash_on(struct account *a, int *budget, int64_t now_ms, int64_t wall_ms)
{
	uint64_t used = a->used, worked = a->worked;
	enum step step = STEP_YIELD;

	if (a->trash == NULL)
		a->trash = trash_new(a);
	a->refs++;
	while (*budget > 0 && step == STEP_YIELD) {
		*budget -= STEP_COST;
		step =
		    trash_step(a->trash, (struct waker){ 0 }, now_ms, wall_ms);
	}
	a->refs--;
	a->used = used;
	a->worked = worked;
	if (step != STEP_DONE)
		return;
	trash_free(&a->trash);
	/* what has been removed is to be exported */
	a->exported_at = 0;
}

/* Go on with the export.  The account doesn't count as used by it. */
static void
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
		*budget -= STEP_COST;
		step = export_step(
		    a->export, (struct waker){ 0 }, now_ms, wall_ms);
	}
	a->refs--;
	a->used = used;
	a->worked = worked;
	if (step == STEP_DONE) {
		a->all_exported = export_result(a->export, NULL) == 0;
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
	if (a->trash == NULL && a->export == NULL &&
	    (a->worked == 0 || a->worked + quiet > a->store->tick))
		return export_due(a);
	if (a->trash != NULL || (a->export == NULL && trash_due(a, wall_ms)))
		trash_on(a, budget, now_ms, wall_ms);
	if (a->trash == NULL && (a->export != NULL || export_due(a)))
		export_on(a, budget, now_ms, wall_ms);
	return a->trash != NULL || a->export != NULL || export_due(a);
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
	trash_free(&a->trash);
	export_free(&a->export);
}
