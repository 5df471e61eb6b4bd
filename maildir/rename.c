/*
 * RENAME.
 *
 * The rows take the new names in one transaction, with the directories renamed
 * inside of it and renamed back if it fails.  A crash in between leaves
 * directories under the new names and rows under the old ones: those get new
 * rows, with new UIDVALIDITYs, so no UID ever names something else.
 *
 * INBOX stays when it is renamed: its messages go.  Its row does too, and with
 * it the UIDs, under a new UIDVALIDITY; INBOX gets a new row that goes on
 * where the old one was.  So nothing is written for a message, however many
 * there are: that all of them are saved anew stands in the row.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/account_change_impl.h"
#include "maildir/acl_file.h"
#include "maildir/dir.h"
#include "maildir/edit.h"
#include "maildir/keywords.h"
#include "maildir/name.h"
#include "maildir/row.h"

struct pair {
	char *from, *to; /* directories */
	bool done;
};

struct rename_call {
	struct account *a;
	struct slice from, to; /* directories */
	struct pair *v;
	size_t n;
};

static void
pairs_free(struct rename_call *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].from);
		free(c->v[i].to);
	}
	free(c->v);
	c->v = NULL;
	c->n = 0;
}

/* The directory itself, and those of its children. */
static int
collect(struct rename_call *c, struct err *e)
{
	struct dir_reader r;
	struct slice dir;

	if (dir_reader_open(&r, c->a->root_fd, ".") < 0)
		return err_sys(e, "read %s", c->a->path);
	while (dir_reader_next(&r, &dir)) {
		bool self = slice_eq(dir, c->from);

		if (!self &&
		    !(dir.n > c->from.n && dir.p[c->from.n] == '.' &&
			slice_starts(dir, c->from)))
			continue;
		c->v = mem_realloc(c->v, c->n + 1, sizeof(*c->v));
		c->v[c->n] = (struct pair){ slice_dup(dir), NULL, false };
		c->v[c->n++].to = mem_printf("%.*s%.*s", SLICE_ARG(c->to),
		    SLICE_ARG(slice_skip(dir, c->from.n)));
	}
	dir_reader_close(&r);
	if (r.failed)
		return err_set(e, ERR_SYS, "read %s", c->a->path);
	return 0;
}

static int
check_targets(struct rename_call *c, struct err *e)
{
	struct stat st;

	for (size_t i = 0; i < c->n; i++) {
		if (strlen(c->v[i].to) > NAME_DIR_MAX)
			return err_set(e, ERR_INVALID, "name is too long");
		if (fsx_stat(c->a->root_fd, c->v[i].to, &st) == 0)
			return err_set(e, ERR_EXISTS, "%s exists", c->v[i].to);
	}
	return 0;
}

static void
undo_dirs(struct rename_call *c)
{
	for (size_t i = c->n; i-- > 0;) {
		if (c->v[i].done &&
		    fsx_rename(c->a->root_fd, c->v[i].to, c->a->root_fd,
			c->v[i].from) < 0)
			continue;
		c->v[i].done = false;
	}
}

static int
rename_dirs(struct rename_call *c, struct err *e)
{
	for (size_t i = 0; i < c->n; i++) {
		if (fsx_rename(c->a->root_fd, c->v[i].from, c->a->root_fd,
			c->v[i].to) < 0) {
			int rc = err_sys(e, "rename %s", c->v[i].from);

			undo_dirs(c);
			return rc;
		}
		c->v[i].done = true;
	}
	return 0;
}

/* The UIDVALIDITY that a directory's name last had; 0: never used. */
static int
used_validity(struct account *a, struct slice dir, uint32_t *out, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_USED_GET);
	int rc;

	*out = 0;
	db_bind_blob(s, 1, dir);
	if ((rc = db_step(&a->db, s, e)) == 1) {
		*out = db_column_u32(s, 0);
		(void)sqlite3_reset(s);
	}
	return rc < 0 ? rc : 0;
}

static int
set_validity(struct account *a, int64_t id, struct err *e)
{
	sqlite3_stmt *s;
	uint32_t validity;
	int rc = account_next_uidvalidity(a, 0, &validity, e);

	if (rc != 0)
		return rc;
	s = db_stmt(&a->db, DB_MAILBOX_SET_VALIDITY);
	db_bind_i64(s, 1, id);
	db_bind_i64(s, 2, validity);
	return db_run(&a->db, s, e);
}

/* Drop a row that a directory removed by somebody else left. */
static int
drop_stale_row(struct account *a, struct slice dir, struct err *e)
{
	int64_t id;
	int rc = mailbox_row_find(a, dir, &id, NULL, e);

	return rc == 1 ? mailbox_row_delete(a, id, e) : rc;
}

static int
rename_row(struct account *a, const struct pair *p, struct err *e)
{
	struct slice from = slice_str(p->from), to = slice_str(p->to);
	sqlite3_stmt *s;
	uint32_t validity, used;
	int64_t id;
	int rc;

	if ((rc = drop_stale_row(a, to, e)) != 0 ||
	    (rc = mailbox_row_find(a, from, &id, &validity, e)) != 1)
		return rc;
	if ((rc = used_validity(a, to, &used, e)) != 0 ||
	    (rc = mailbox_row_note_used(a, from, validity, e)) != 0)
		return rc;
	s = db_stmt(&a->db, DB_MAILBOX_RENAME);
	db_bind_i64(s, 1, id);
	db_bind_blob(s, 2, to);
	if ((rc = db_run(&a->db, s, e)) != 0)
		return rc;
	/* RFC 3501 6.3.5: a name that was used before must not bring UIDs
	 * back that a client may remember. */
	return used >= validity ? set_validity(a, id, e) : 0;
}

static int
rename_rows(struct rename_call *c, struct err *e)
{
	int rc = account_open(c->a, e);

	if (rc != 0 || (rc = db_begin(&c->a->db, e)) != 0)
		return account_db_failed(c->a, rc);
	for (size_t i = 0; i < c->n && rc == 0; i++)
		rc = rename_row(c->a, &c->v[i], e);
	if (rc == 0)
		rc = rename_dirs(c, e);
	if (rc != 0) {
		db_rollback(&c->a->db);
	} else if ((rc = db_commit(&c->a->db, e)) != 0) {
		undo_dirs(c);
	}
	return account_db_failed(c->a, rc);
}

static int
rename_tree(struct account_change *ch, struct err *e)
{
	struct rename_call c = { .a = ch->a,
		.from = buf_slice(&ch->dir),
		.to = buf_slice(&ch->to_dir) };
	int rc;

	if ((rc = account_open(c.a, e)) == 0 && (rc = collect(&c, e)) == 0 &&
	    (rc = check_targets(&c, e)) == 0)
		rc = c.n == 0 ? err_set(e, ERR_NOT_FOUND, "no such mailbox")
			      : rename_rows(&c, e);
	for (size_t i = 0; i < c.n && rc == 0; i++) {
		struct mailbox *m =
		    mailbox_find_dir(c.a, slice_str(c.v[i].from));

		if (m != NULL)
			mailbox_set_gone(m);
	}
	if (rc == 0)
		acl_renamed(
		    c.a->root_fd, buf_cstr(&ch->dir), buf_cstr(&ch->to_dir));
	pairs_free(&c);
	return rc;
}

/* RFC 4314 4: lists don't change. */
static int
before_rename(struct change_job *j, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < j->n && rc == 0; i++)
		rc = acl_before_rename(
		    j->root_fd, j->list[i], j->dir, &j->unique, e);
	return rc;
}

/* --- INBOX ---------------------------------------------------------------- */

/* Swap new/ or cur/ of INBOX with the empty one of a mailbox. */
static int
swap_dir(struct account *a, struct slice dir, const char *sub, struct err *e)
{
	char *other = mem_printf("%.*s/%s", SLICE_ARG(dir), sub);
	int rc = 0;

	/* In one step, so that a delivery always finds a directory. */
	if (fsx_exchange(a->root_fd, sub, a->root_fd, other) < 0)
		rc = err_sys(e, "exchange %s", other);
	free(other);
	return rc;
}

static int
swap_dirs(struct account *a, struct slice dir, struct err *e)
{
	int rc = swap_dir(a, dir, "new", e);

	if (rc != 0)
		return rc;
	rc = swap_dir(a, dir, "cur", e);
	if (rc != 0 && swap_dir(a, dir, "new", NULL) != 0)
		return rc;
	return rc;
}

/* NULL: a new one. */
static int
set_object(struct account *a, int64_t id, const uint64_t *object, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_MAILBOX_SET_OBJECT);

	db_bind_i64(s, 1, id);
	if (object != NULL)
		db_bind_u64(s, 2, *object);
	return db_run(&a->db, s, e);
}

/* RFC 8514 3: for its messages it's another mailbox. */
static int
save_anew(const struct mailbox *inbox, struct err *e)
{
	struct account *a = inbox->account;
	sqlite3_stmt *s = db_stmt(&a->db, DB_MAILBOX_SET_SAVED);

	db_bind_i64(s, 1, inbox->id);
	db_bind_i64(s, 2, store_wall(a->store));
	return db_run(&a->db, s, e);
}

/* INBOX's row goes to the directory; INBOX gets one that goes on with its
 * UIDVALIDITY, UIDNEXT and mod-sequence, and keeps its object id: RFC 8474 4,
 * the other is a new mailbox. */
static int
move_inbox_row(
    struct rename_call *c, struct mailbox *inbox, int64_t *id, struct err *e)
{
	struct db *db = &c->a->db;
	struct pair p = { mem_strdup(""), slice_dup(c->to), false };
	sqlite3_stmt *s;
	int at = 1, rc = rename_row(c->a, &p, e);

	free(p.from);
	free(p.to);
	if (rc != 0 || (rc = set_validity(c->a, inbox->id, e)) != 0 ||
	    (rc = set_object(c->a, inbox->id, NULL, e)) != 0 ||
	    (rc = save_anew(inbox, e)) != 0)
		return rc;
	s = db_stmt(db, DB_MAILBOX_INSERT);
	db_bind_blob(s, at++, slice_of(NULL, 0));
	db_bind_i64(s, at++, inbox->uidvalidity);
	db_bind_i64(s, at++, inbox->uidnext);
	db_bind_u64(s, at++, inbox->modseq + 1);
	db_bind_u64(s, at++, inbox->modseq_bound + MODSEQ_BLOCK);
	db_bind_i64(s, at++, inbox->recent_uid);
	if ((rc = db_run(db, s, e)) != 0)
		return rc;
	*id = sqlite3_last_insert_rowid(db->h);
	rc = set_object(c->a, *id, &inbox->object_id, e);
	if (rc != 0 || inbox->uidnext == 1)
		return rc;
	s = db_stmt(db, DB_VANISHED_PUT);
	db_bind_i64(s, 1, *id);
	db_bind_u64(s, 2, inbox->modseq + 1);
	db_bind_i64(s, 3, 1);
	db_bind_i64(s, 4, (int64_t)inbox->uidnext - 1);
	return db_run(db, s, e);
}

static int
rename_inbox_rows(struct rename_call *c, struct mailbox *inbox, struct err *e)
{
	struct account *a = c->a;
	int64_t id = 0;
	int rc = account_open(a, e);

	if (rc != 0 || (rc = db_begin(&a->db, e)) != 0)
		return account_db_failed(a, rc);
	if ((rc = mailbox_reload(inbox, e)) != 0 ||
	    (rc = move_inbox_row(c, inbox, &id, e)) != 0 ||
	    (rc = swap_dirs(a, c->to, e)) != 0) {
		db_rollback(&a->db);
		return account_db_failed(a, rc);
	}
	if ((rc = db_commit(&a->db, e)) != 0) {
		if (swap_dirs(a, c->to, NULL) != 0)
			scan_distrust(inbox);
		return account_db_failed(a, rc);
	}
	import_stop(inbox, false); /* it was the other row's */
	inbox->id = id;
	inbox->version = 0;
	inbox->change = 0;
	keywords_fini(inbox); /* the new row has none */
	mailbox_close_fds(inbox);
	scan_distrust(inbox);
	return 0;
}

static int
rename_inbox(struct account_change *ch, struct err *e)
{
	struct rename_call c = { .a = ch->a, .to = buf_slice(&ch->to_dir) };
	struct mailbox *inbox;
	int rc = mailbox_open(c.a, SLICE("INBOX"), &inbox, e);

	if (rc != 0)
		return rc;
	/* what has been learnt of the messages goes along */
	mailbox_flush(inbox);
	rc = rename_inbox_rows(&c, inbox, e);
	mailbox_close(&inbox);
	if (rc == 0) {
		/* it is INBOX's mail now, and whatever comes it stays */
		free(ch->made);
		ch->made = NULL;
	}
	return rc;
}

/* The names that new/ and cur/ have there now; those of INBOX are the root's.
 */
static int
sync_target(struct change_job *j, struct err *e)
{
	int fd = fsx_open_dir(j->root_fd, j->dir);
	int rc =
	    fd < 0 || fsx_fsync(fd) < 0 ? err_sys(e, "sync %s", j->dir) : 0;

	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* --- phases --------------------------------------------------------------- */

static int
check_names(struct account_change *ch, struct err *e)
{
	struct slice from, to;
	int rc = account_exists(ch->a, slice_str(ch->name), e), rc_to;

	/* opens the account; a mere parent may be renamed as well */
	if (rc != 0 && rc != ERR_NOT_FOUND)
		return rc;
	buf_reset(&ch->dir);
	buf_reset(&ch->to_dir);
	rc = name_to_dir(ch->a->root_fd, slice_str(ch->name), &ch->dir);
	rc_to =
	    name_to_dir(ch->a->root_fd, slice_str(ch->to_name), &ch->to_dir);
	from = buf_slice(&ch->dir);
	to = buf_slice(&ch->to_dir);
	if (rc == ERR_INVALID || rc_to == ERR_INVALID ||
	    (from.n != 0 && slice_starts(to, from) && to.n > from.n &&
		to.p[from.n] == '.'))
		return err_set(e, ERR_INVALID, "no such name can be");
	if (rc_to == 0)
		return err_set(e, ERR_EXISTS, "target exists");
	return 0;
}

static int
check_tree(struct account_change *ch, struct err *e)
{
	struct rename_call c = { .a = ch->a };
	int rc = check_names(ch, e);

	if (rc != 0)
		return rc;
	c.from = buf_slice(&ch->dir);
	c.to = buf_slice(&ch->to_dir);
	if ((rc = collect(&c, e)) == 0 && (rc = check_targets(&c, e)) == 0 &&
	    c.n == 0)
		rc = err_set(e, ERR_NOT_FOUND, "no such mailbox");
	if (rc == 0) {
		buf_reset(&ch->job_dir);
		buf_put(&ch->job_dir, c.to);
		ch->list = mem_alloc(c.n * sizeof(*ch->list));
		for (; ch->n_list < c.n; ch->n_list++)
			ch->list[ch->n_list] = mem_strdup(c.v[ch->n_list].from);
	}
	pairs_free(&c);
	return rc;
}

static const struct change_phase tree_phases[] = { { .run = check_tree,
						       .guarded = true },
	{ .job = before_rename }, { .run = rename_tree, .guarded = true },
	/* What is delivered under the new name must be found there. */
	{ .durable = true }, { .run = NULL } };

/* The new mailbox is made, empty, and without a row. */
static int
check_inbox(struct account_change *ch, struct err *e)
{
	int rc = check_names(ch, e);

	if (rc != 0)
		return rc;
	buf_reset(&ch->job_dir);
	buf_put(&ch->job_dir, buf_slice(&ch->to_dir));
	return create_drop_row(ch->a, buf_slice(&ch->to_dir), e);
}

static const struct change_phase inbox_phases[] = { { .run = check_inbox,
							.guarded = true },
	{ .job = create_job }, { .run = rename_inbox, .guarded = true },
	{ .job = sync_target }, { .durable = true }, { .run = NULL } };

struct account_change *
account_rename(struct account *a, struct slice from, struct slice to)
{
	return change_new(
	    a, name_is_inbox(from) ? inbox_phases : tree_phases, from, &to);
}
