/*
 * What the table young has of messages whose process is gone, or another's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/dir.h"
#include "maildir/edit.h"
#include "maildir/young_impl.h"

/* A row, and what the index says of its message. */
struct left {
	struct account *a;
	int64_t key;
	bool rebooted; /* what is in the file may be anything */
	struct slice tmp, base, bytes;
	struct chunk *c; /* NULL: there is no such message any more */
	uint32_t i;
	int tmp_fd, cur_fd;
	struct buf name; /* in cur/ */
};

/* --- the index ------------------------------------------------------------ */

/* l->c and l->i are the message, if the index has it.  0 or ERR_*. */
static int
find_message(struct left *l, struct err *e)
{
	struct db *db = &l->a->db;
	sqlite3_stmt *s = db_stmt(db, DB_CHUNK_BEFORE);
	uint32_t uid = (uint32_t)l->key;
	int64_t key;
	int rc;

	db_bind_i64(s, 1, l->key - uid);
	db_bind_i64(s, 2, l->key);
	if ((rc = db_step(db, s, e)) != 1)
		return rc; /* 0: none */
	key = sqlite3_column_int64(s, 0);
	(void)sqlite3_reset(s);
	s = db_stmt(db, DB_CHUNK_GET);
	db_bind_i64(s, 1, key);
	if ((rc = db_step(db, s, e)) != 1)
		return rc;
	l->c = chunk_decode((uint32_t)key, db_column_blob(s, 0),
	    db_column_blob(s, 1), db_column_blob(s, 2));
	(void)sqlite3_reset(s);
	if (l->c == NULL)
		return err_set(e, ERR_DAMAGED, "a chunk is damaged");
	for (l->i = 0; l->i < l->c->n; l->i++)
		if (l->c->m[l->i].uid == uid &&
		    slice_eq(chunk_base(l->c, l->i), l->base))
			return 0;
	chunk_unref(&l->c);
	return 0;
}

/* --- its file ------------------------------------------------------------- */

/* Whether there is one, by whatever flags: l->name is its name then. */
static int
find_file(struct left *l, bool *found, struct err *e)
{
	struct dir_reader r;
	struct slice name;
	struct file_name f;
	struct stat st;
	int rc = 0;

	*found = l->c != NULL &&
	    fsx_stat(l->cur_fd, message_name(&l->name, l->c, l->i), &st) == 0;
	if (*found)
		return 0;
	if (dir_reader_open(&r, l->cur_fd, ".") < 0)
		return err_sys(e, "read cur");
	while (!*found && dir_reader_next(&r, &name)) {
		file_name_parse(name, false, &f);
		if (!slice_eq(f.base, l->base))
			continue;
		buf_reset(&l->name);
		buf_put(&l->name, name);
		*found = true;
	}
	if (r.failed)
		rc = err_set(e, ERR_SYS, "read cur");
	dir_reader_close(&r);
	return rc;
}

/* Whether it holds what it should. */
static bool
is_whole(struct left *l)
{
	struct stat st;
	int fd = fsx_open_read(l->cur_fd, buf_cstr(&l->name), &st);
	struct buf all;
	bool same;

	if (fd < 0)
		return false;
	buf_init(&all, l->bytes.n + 1);
	same = (size_t)st.st_size == l->bytes.n &&
	    fsx_read_all(fd, &all) == 0 && slice_eq(buf_slice(&all), l->bytes);
	buf_fini(&all);
	(void)close(fd);
	return same;
}

static int
write_anew(struct left *l, bool sync, struct err *e)
{
	struct store *s = l->a->store;
	struct file_unique u = store_unique(s, store_wall(s));
	int64_t internal_ms =
	    l->c != NULL ? chunk_fixed(l->c, l->i)->internal_ms : TIME_UNKNOWN;
	struct buf tmp;
	int fd, rc = 0;

	buf_init(&tmp, 1024);
	file_name_tmp(&tmp, &u);
	fd =
	    fsx_create(l->tmp_fd, buf_cstr(&tmp), 0666 & ~(mode_t)s->opt.umask);
	if (fd < 0) {
		rc = err_sys(e, "create %s", buf_cstr(&tmp));
		buf_fini(&tmp);
		return rc;
	}
	if (fsx_write_all(fd, l->bytes) < 0 ||
	    (internal_ms != TIME_UNKNOWN &&
		fsx_set_mtime(fd, internal_ms) < 0) ||
	    (sync && fsx_fsync(fd) < 0))
		rc = err_sys(e, "write %s", buf_cstr(&tmp));
	if (fsx_close(fd) < 0 && rc == 0)
		rc = err_sys(e, "close %s", buf_cstr(&tmp));
	if (rc == 0 &&
	    fsx_rename(
		l->tmp_fd, buf_cstr(&tmp), l->cur_fd, buf_cstr(&l->name)) < 0)
		rc = err_sys(e, "rename %s", buf_cstr(&tmp));
	if (rc != 0)
		(void)!fsx_unlink(l->tmp_fd, buf_cstr(&tmp));
	else if (l->rebooted)
		log_warn("maildir: message written anew path=%s uid=%u",
		    l->a->path, (unsigned)l->key);
	buf_fini(&tmp);
	return rc;
}

/* Give it its name, if it has none yet. */
static int
give_name(struct left *l, struct err *e)
{
	char *tmp = slice_dup(l->tmp);
	int rc = 0;

	/* what was written before a loss of power is nothing to go by */
	if (l->rebooted || l->c == NULL)
		(void)!fsx_unlink(l->tmp_fd, tmp);
	else if (fsx_rename_new(l->tmp_fd, tmp, l->cur_fd,
		     message_name(&l->name, l->c, l->i)) < 0 &&
	    errno != ENOENT && errno != EEXIST)
		rc = err_sys(e, "rename %s", tmp);
	free(tmp);
	return rc;
}

/*
 * Within a boot nothing is lost but by somebody's removing it; but what is in
 * memory may not be on the disk, and who is told of that only once may have
 * been somebody else: so it's written anew.  A message that was expunged may
 * have its file back after a loss of power, as that isn't synced: but not half
 * of it.
 */
static int
mend(struct left *l, bool sync, struct err *e)
{
	bool found;
	int rc = give_name(l, e);

	/* gone, and nothing can have brought it back: no directory is read */
	if (rc != 0 || (!l->rebooted && l->c == NULL) ||
	    (rc = find_file(l, &found, e)) != 0)
		return rc;
	if (!found && l->c != NULL)
		(void)message_name(&l->name, l->c, l->i);
	if (found ? !l->rebooted || !is_whole(l) : l->rebooted && l->c != NULL)
		rc = write_anew(l, sync, e);
	if (rc == 0 && sync && fsx_fsync(l->cur_fd) < 0)
		rc = err_sys(e, "sync cur");
	return rc;
}

static char *
sub_path(struct slice dir, const char *sub)
{
	return mem_printf(
	    "%.*s%s%s", SLICE_ARG(dir), dir.n != 0 ? "/" : "", sub);
}

static int
open_sub(struct account *a, struct slice dir, const char *sub)
{
	char *path = sub_path(dir, sub);
	int fd = fsx_open_dir(a->root_fd, path);

	free(path);
	return fd;
}

static int
make_sub(struct account *a, struct slice dir, const char *sub)
{
	char *path = sub_path(dir, sub);
	int rc = fsx_mkdir(a->root_fd, path, 0700);

	free(path);
	return rc;
}

/* 1: tmp and cur of the mailbox are open; 0: it isn't one any more. */
static int
open_dirs(struct left *l, struct slice dir, struct err *e)
{
	l->cur_fd = open_sub(l->a, dir, "cur");
	if (l->cur_fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
		    ? 0
		    : err_sys(e, "open cur");
	l->tmp_fd = open_sub(l->a, dir, "tmp");
	if (l->tmp_fd < 0 && errno == ENOENT && make_sub(l->a, dir, "tmp") == 0)
		l->tmp_fd = open_sub(l->a, dir, "tmp");
	return l->tmp_fd < 0 ? err_sys(e, "open tmp") : 1;
}

/* See to one row; sync: and to its being on the disk. */
static int
see_to(struct left *l, struct slice dir, bool sync, struct err *e)
{
	int rc;

	buf_init(&l->name, NAME_BYTES_MAX);
	l->tmp_fd = l->cur_fd = -1;
	if ((rc = find_message(l, e)) == 0 && (rc = open_dirs(l, dir, e)) == 1)
		rc = mend(l, sync, e);
	if (l->tmp_fd >= 0)
		(void)close(l->tmp_fd);
	if (l->cur_fd >= 0)
		(void)close(l->cur_fd);
	buf_fini(&l->name);
	if (l->c != NULL)
		chunk_unref(&l->c);
	return rc;
}

/* --- rows ----------------------------------------------------------------- */

/* The first row after *key, up to last.  1: it was seen to; 0: there is none
 * (*key is as it was). */
static int
next_row(
    struct account *a, int64_t *key, int64_t last, bool sync, struct err *e)
{
	int64_t now = account_boot_number();
	sqlite3_stmt *s = db_stmt(&a->db, DB_YOUNG_NEXT);
	struct left l = { .a = a };
	int rc;

	db_bind_i64(s, 1, *key);
	db_bind_i64(s, 2, last);
	if ((rc = db_step(&a->db, s, e)) != 1)
		return rc;
	*key = l.key = sqlite3_column_int64(s, 0);
	l.rebooted = now == 0 || sqlite3_column_int64(s, 1) != now;
	l.tmp = db_column_blob(s, 2);
	l.base = db_column_blob(s, 3);
	l.bytes = db_column_blob(s, 4);
	/* of a mailbox that is gone: nothing is left to do */
	if (sqlite3_column_type(s, 5) != SQLITE_NULL &&
	    !slice_has(l.tmp, '/') && l.tmp.n != 0)
		rc = see_to(&l, db_column_blob(s, 5), sync, e);
	else
		rc = 0;
	(void)sqlite3_reset(s);
	return rc != 0 ? rc : 1;
}

static int
delete_rows(struct account *a, int64_t first, int64_t last, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_YOUNG_DEL);

	db_bind_i64(s, 1, first);
	db_bind_i64(s, 2, last);
	return db_run(&a->db, s, e);
}

int
young_check(struct account *a, int64_t key)
{
	int64_t at = key - 1;
	int rc = next_row(a, &at, key, true, NULL);

	return rc < 0 ? rc : delete_rows(a, key, key, NULL);
}

int
young_left(struct account *a, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_YOUNG_BOOTS);
	int rc;

	db_bind_i64(s, 1, account_boot_number());
	if ((rc = db_step(&a->db, s, e)) != 1)
		return rc;
	if (sqlite3_column_type(s, 0) != SQLITE_NULL)
		rc = sqlite3_column_int(s, 0) != 0 ? 2 : 1;
	else
		rc = 0;
	(void)sqlite3_reset(s);
	return rc;
}

static int
all_rows(struct account *a, bool sync, int64_t *last, struct err *e)
{
	int rc;

	*last = 0;
	do
		rc = next_row(a, last, INT64_MAX, sync, e);
	while (rc == 1);
	return rc;
}

int
young_recover(struct account *a, struct err *e)
{
	int64_t last;
	int rc = all_rows(a, false, &last, e);

	/* it is told of all since it was opened, which was before */
	if (rc == 0 && fsx_syncfs(a->root_fd) < 0)
		rc = all_rows(a, true, &last, e);
	return rc != 0 ? rc : delete_rows(a, 0, last, e);
}

/* --- of another process ----------------------------------------------------
 */

void
young_look_for(struct mailbox *m, uint32_t from)
{
	sqlite3_stmt *s = db_stmt(&m->account->db, DB_YOUNG_KEYS);

	db_bind_i64(s, 1, chunk_key(m, from));
	db_bind_i64(s, 2, chunk_key(m, UINT32_MAX));
	while (db_step(&m->account->db, s, NULL) == 1) {
		int64_t key = sqlite3_column_int64(s, 0);

		if (young_placed(m->account, key) ||
		    young_waits(m, (uint32_t)key))
			continue;
		m->unnamed = mem_realloc(
		    m->unnamed, m->n_unnamed + 1, sizeof(*m->unnamed));
		m->unnamed[m->n_unnamed++] = (uint32_t)key;
	}
	(void)sqlite3_reset(s);
}

static bool
give_name_here(struct mailbox *m, uint32_t uid, const char *tmp)
{
	struct buf path, name;
	struct chunk *c;
	uint32_t i;
	int tmp_fd, cur_fd = mailbox_dir_fd(m, DIR_CUR);
	struct stat st;
	bool there = false;

	if (!mailbox_find(m, uid, &c, &i) || cur_fd < 0)
		return false;
	buf_init(&path, NAME_BYTES_MAX);
	buf_init(&name, NAME_BYTES_MAX);
	mailbox_put_path(m, &path, "tmp");
	tmp_fd = fsx_open_dir(m->account->root_fd, buf_cstr(&path));
	if (tmp_fd >= 0) {
		there = fsx_rename_new(tmp_fd, tmp, cur_fd,
			    message_name(&name, c, i)) == 0 ||
		    fsx_stat(cur_fd, message_name(&name, c, i), &st) == 0;
		(void)close(tmp_fd);
	}
	buf_fini(&path);
	buf_fini(&name);
	return there;
}

bool
young_help(struct mailbox *m, uint32_t uid)
{
	struct account *a = m->account;
	int64_t key = chunk_key(m, uid);
	sqlite3_stmt *s = db_stmt(&a->db, DB_YOUNG_GET);
	bool there = false;
	char *tmp;

	if (young_placed(a, key))
		return false;
	db_bind_i64(s, 1, key);
	if (db_step(&a->db, s, NULL) != 1)
		return false;
	tmp = slice_dup(db_column_blob(s, 0));
	(void)sqlite3_reset(s);
	/* what the log has must not be less than what the name promises */
	if (strchr(tmp, '/') == NULL && young_sync_log(a) == 0)
		there = give_name_here(m, uid, tmp);
	free(tmp);
	return there;
}
