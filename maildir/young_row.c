/*
 * The file of one row of the table young, made what the row says it is.
 *
 * A row is read from the database, and the message looked up in the index
 * (young_row_read()); a sync thread looks at the file, and writes another one
 * into tmp/ if that is needed (young_row_write()); within a transaction, so
 * that no process of ours changes the message meanwhile, that one gets the
 * name (young_row_place()).
 * Within a boot nothing is lost but by somebody's removing it; but what is in
 * memory may not be on the disk, and who is told of that only once may have
 * been somebody else: so a file is always written anew.  After a loss of power
 * a file may be short, empty, or not there, and is compared.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/account_change_impl.h"
#include "maildir/dir.h"
#include "maildir/edit.h"
#include "maildir/young_impl.h"

/* --- the database --------------------------------------------------------- */

/* Look the message up: r->known, and what its file is called then. */
static int
find_message(struct account *a, struct young_row *r, struct err *e)
{
	struct db *db = &a->db;
	sqlite3_stmt *s = db_stmt(db, DB_CHUNK_BEFORE);
	uint32_t uid = (uint32_t)r->key, i;
	struct chunk *c;
	int64_t key;
	int rc;

	r->known = false;
	db_bind_i64(s, 1, r->key - uid);
	db_bind_i64(s, 2, r->key);
	if ((rc = db_step(db, s, e)) != 1)
		return rc; /* 0: none */
	key = sqlite3_column_int64(s, 0);
	(void)sqlite3_reset(s);
	s = db_stmt(db, DB_CHUNK_GET);
	db_bind_i64(s, 1, key);
	if ((rc = db_step(db, s, e)) != 1)
		return rc;
	c = chunk_decode((uint32_t)key, db_column_blob(s, 0),
	    db_column_blob(s, 1), db_column_blob(s, 2));
	(void)sqlite3_reset(s);
	if (c == NULL)
		return err_set(e, ERR_DAMAGED, "a chunk is damaged");
	for (i = 0; i < c->n && !r->known; i++)
		r->known = chunk_uid(c, i) == uid &&
		    slice_eq(chunk_base(c, i), slice_str(r->base));
	if (r->known) {
		(void)message_name(&r->name, c, i - 1);
		r->internal_ms = chunk_fixed(c, i - 1)->internal_ms;
	}
	chunk_unref(&c);
	return 0;
}

int
young_row_read(
    struct account *a, int64_t key, struct young_row *r, struct err *e)
{
	int64_t now = account_boot_number();
	sqlite3_stmt *s = db_stmt(&a->db, DB_YOUNG_ROW);
	struct buf copy;
	int rc;

	*r = (struct young_row){ .key = key, .internal_ms = TIME_UNKNOWN };
	db_bind_i64(s, 1, key);
	if ((rc = db_step(&a->db, s, e)) != 1)
		return rc;
	r->rebooted = now == 0 || sqlite3_column_int64(s, 0) != now;
	r->tmp = slice_dup(db_column_blob(s, 1));
	r->base = slice_dup(db_column_blob(s, 2));
	r->bytes = slice_of(NULL, db_column_blob(s, 3).n);
	r->store = slice_dup(db_column_blob(s, 3));
	r->bytes.p = (const uint8_t *)r->store;
	if (strchr(r->tmp, '/') != NULL)
		r->tmp[0] = '\0';
	if (sqlite3_column_type(s, 4) != SQLITE_NULL)
		r->dir = slice_dup(db_column_blob(s, 4));
	r->cur_ino = (uint64_t)sqlite3_column_int64(s, 5);
	r->at = ROW_NOWHERE;
	(void)sqlite3_reset(s);
	r->written_s = strtoll(r->base, NULL, 10);
	buf_init(&r->name, NAME_BYTES_MAX);
	buf_init(&r->found, NAME_BYTES_MAX);
	buf_init(&copy, 1024);
	r->unique = store_unique(a->store, store_wall(a->store));
	file_name_tmp(&copy, &r->unique);
	r->copy = mem_strdup(buf_cstr(&copy));
	buf_fini(&copy);
	if ((rc = find_message(a, r, e)) == 0)
		return 1;
	young_row_fini(r);
	return rc;
}

void
young_row_fini(struct young_row *r)
{
	free(r->tmp);
	free(r->base);
	free(r->store);
	free(r->dir);
	free(r->copy);
	buf_fini(&r->name);
	buf_fini(&r->found);
}

/* --- its file, by a thread ------------------------------------------------ */

bool
young_row_is(const struct young_row *r, struct slice name)
{
	struct file_name f;

	file_name_parse(name, false, &f);
	return slice_eq(f.base, slice_str(r->base));
}

static int
find_in_cur(struct young_row *r, const struct young_dir *d)
{
	struct dir_reader dir;
	struct slice name;
	struct stat st;
	int rc = 0;

	buf_put(&r->found, buf_slice(&r->name));
	r->is_there =
	    r->known && fsx_stat(d->cur_fd, buf_cstr(&r->found), &st) == 0;
	if (r->is_there)
		return 0;
	if (dir_reader_open(&dir, d->cur_fd, ".") < 0)
		return err_of_errno(errno);
	while (!r->is_there && dir_reader_next(&dir, &name)) {
		if (!young_row_is(r, name))
			continue;
		buf_reset(&r->found);
		buf_put(&r->found, name);
		r->is_there = true;
	}
	if (dir.failed)
		rc = ERR_SYS;
	dir_reader_close(&dir);
	return rc;
}

int
young_row_find(struct young_row *r, const struct young_dir *d)
{
	struct stat st;

	/* what was written before a loss of power is nothing to go by */
	if (r->tmp[0] != '\0' && (r->rebooted || !r->known))
		(void)!fsx_unlink(d->tmp_fd, r->tmp);
	else if (r->tmp[0] != '\0')
		r->has_tmp = fsx_stat(d->tmp_fd, r->tmp, &st) == 0;
	/* gone, and nothing can have brought it back: no directory is read */
	return r->rebooted || r->known ? find_in_cur(r, d) : 0;
}

enum { WHOLE, NOT_WHOLE, UNREADABLE };

/* Whether it holds, durably, what it should. */
static int
look_at_file(struct young_row *r, const struct young_dir *d)
{
	struct stat st;
	int fd = fsx_open_read(d->cur_fd, buf_cstr(&r->found), &st);
	struct buf all;
	int state;

	if (fd < 0)
		return UNREADABLE;
	buf_init(&all, r->bytes.n + 1);
	if ((size_t)st.st_size != r->bytes.n)
		state = NOT_WHOLE;
	else if (fsx_read_all(fd, &all) < 0)
		state = UNREADABLE;
	else
		state = slice_eq(buf_slice(&all), r->bytes) ? WHOLE : NOT_WHOLE;
	if (state == WHOLE && fsx_fsync(fd) < 0)
		state = UNREADABLE;
	buf_fini(&all);
	(void)close(fd);
	return state;
}

static int
write_copy(struct young_row *r, const struct young_dir *d, mode_t mode)
{
	int fd = fsx_create(d->tmp_fd, r->copy, mode), rc = 0;

	if (fd < 0)
		return err_of_errno(errno);
	if (fsx_write_all(fd, r->bytes) < 0 ||
	    (r->internal_ms != TIME_UNKNOWN &&
		fsx_set_mtime(fd, r->internal_ms) < 0) ||
	    fsx_fsync(fd) < 0)
		rc = err_of_errno(errno);
	if (fsx_close(fd) < 0 && rc == 0)
		rc = err_of_errno(errno);
	if (rc != 0)
		(void)!fsx_unlink(d->tmp_fd, r->copy);
	r->copied = rc == 0;
	return rc;
}

/*
 * A message that was expunged may have its file back after a loss of power, as
 * that isn't synced: but not half of it.  What can't be written anew isn't
 * there, so that nobody takes it for the message: that is in the row.
 */
int
young_row_write(struct young_row *r, const struct young_dir *d, mode_t mode)
{
	int state = UNREADABLE, rc;

	if (!r->is_there && !(r->known && (r->rebooted || r->has_tmp)))
		return 0;
	if (r->is_there && r->rebooted)
		state = look_at_file(r, d);
	if (state == WHOLE)
		return 0;
	rc = write_copy(r, d, mode);
	if (rc != 0 && state == NOT_WHOLE)
		(void)!fsx_unlink(d->cur_fd, buf_cstr(&r->found));
	return rc;
}

/* --- its name ------------------------------------------------------------- */

/* 0 or errno. */
static int
replace(struct young_row *r, const struct young_dir *d)
{
	const char *name = buf_cstr(&r->found);
	struct stat st;

	/* whoever renames it meanwhile, it never has two names */
	if (fsx_exchange(d->tmp_fd, r->copy, d->cur_fd, name) == 0) {
		(void)!fsx_unlink(d->tmp_fd, r->copy);
		return 0;
	}
	if (errno != EINVAL && errno != ENOSYS)
		return errno;
	if (fsx_stat(d->cur_fd, name, &st) < 0 ||
	    fsx_rename(d->tmp_fd, r->copy, d->cur_fd, name) < 0)
		return errno;
	return 0;
}

bool
young_row_moved(struct account *a, const struct young_row *r)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_YOUNG_DIR);
	bool same;
	int rc;

	db_bind_i64(s, 1, r->key);
	if ((rc = db_step(&a->db, s, NULL)) != 1)
		return rc < 0 || r->dir != NULL;
	same =
	    r->dir != NULL && slice_eq(db_column_blob(s, 0), slice_str(r->dir));
	(void)sqlite3_reset(s);
	return !same;
}

/*
 * It has neither its old name nor its new one.  Whoever renames or deletes the
 * mailbox has the database meanwhile: so it is made here, and synced later.
 */
static int
make_dir(struct account *a, struct young_dir *d)
{
	int rc = create_dirs(a->root_fd, d->path, NULL);

	if (rc != 0)
		return rc;
	d->cur_fd = dir_open_sub(a->root_fd, slice_str(d->path), "cur");
	if (d->cur_fd < 0)
		return err_of_errno(errno);
	d->to_make = false;
	d->made = true;
	return 0;
}

/* Whether d is the directory of its mailbox, still.  0 or ERR_*. */
static int
check_dir(struct account *a, const struct young_row *r, struct young_dir *d)
{
	char *cur = mem_printf("%s%scur", d->path, d->path[0] ? "/" : "");
	struct stat now, st;
	bool there = fsx_stat(a->root_fd, cur, &now) == 0;
	int rc = ERR_BUSY;

	free(cur);
	if (young_row_moved(a, r))
		return rc;
	if (d->to_make && !there)
		rc = make_dir(a, d);
	else if (d->cur_fd >= 0 && there && fstat(d->cur_fd, &st) == 0 &&
	    st.st_dev == now.st_dev && st.st_ino == now.st_ino)
		rc = 0;
	return rc;
}

int
young_row_place(struct account *a, struct young_row *r, struct young_dir *d)
{
	int rc, error = 0;

	if ((rc = find_message(a, r, NULL)) != 0)
		return rc;
	if (r->is_there)
		error = replace(r, d);
	else if (!r->known)
		(void)!fsx_unlink(d->tmp_fd, r->copy);
	else if ((rc = check_dir(a, r, d)) != 0)
		return rc;
	else if (fsx_rename_new(
		     d->tmp_fd, r->copy, d->cur_fd, buf_cstr(&r->name)) < 0)
		error = errno;
	else if (r->tmp[0] != '\0')
		(void)!fsx_unlink(d->tmp_fd, r->tmp);
	r->is_there = r->is_there || (r->known && error == 0);
	if (error == 0 && r->rebooted)
		log_warn("maildir: message written anew path=%s uid=%u",
		    a->path, (unsigned)r->key);
	return error != 0 ? err_of_errno(error) : 0;
}
