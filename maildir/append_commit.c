/*
 * The second half of APPEND: what was written comes into the mailbox.
 *
 * Creating a file waits for whatever the file system's journal is writing, as
 * syncing does, so the one message of an ordinary APPEND is written by a sync
 * thread, too; a larger one, or several, went into files as they came.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/append_impl.h"
#include "maildir/intent.h"
#include "maildir/keywords.h"
#include "maildir/quota.h"
#include "maildir/work.h"
#include "maildir/young.h"

/* Of a command with several; descriptors are few. */
enum { FILES_AT_ONCE = 16 };

static enum step
fail(struct append *p, int rc)
{
	p->result = rc;
	p->state = APPEND_DONE;
	return STEP_NEXT;
}

/* --- the file of one message ---------------------------------------------- */

/* All that a sync thread needs to know of it. */
struct append_file {
	int dir_fd;
	char *name;
	struct buf bytes;
	mode_t mode;
	bool dated, made;
	bool young; /* it needn't be synced if it is on that device */
	uint64_t device;
	unsigned errors; /* young_errors() by then */
	int64_t internal_ms;
	struct stat st;
};

/* In a sync thread: steps 1 and, unless it is young, 2.  0 or errno. */
static int
write_file(void *arg)
{
	struct append_file *f = arg;
	int fd = fsx_create(f->dir_fd, f->name, f->mode), error = 0;

	if (fd < 0)
		return errno;
	f->made = true;
	if (fsx_write_all(fd, buf_slice(&f->bytes)) < 0 ||
	    (f->dated && fsx_set_mtime(fd, f->internal_ms) < 0) ||
	    fstat(fd, &f->st) < 0)
		error = errno;
	f->young = f->young && (uint64_t)f->st.st_dev == f->device;
	if (error == 0 && !f->young && fsx_fsync(fd) < 0)
		error = errno;
	if (fsx_close(fd) < 0 && error == 0)
		error = errno;
	return error;
}

static void
file_free(struct append_file *f)
{
	if (f->dir_fd >= 0)
		(void)close(f->dir_fd);
	buf_fini(&f->bytes);
	free(f->name);
	free(f);
}

/* The thread is through. */
static void
take_file_back(struct append *p)
{
	p->tmp_fd = p->file->dir_fd;
	p->file->dir_fd = -1;
	file_free(p->file);
	p->file = NULL;
}

/* Its session went away while it was written. */
static void
drop_file(void *arg)
{
	struct append_file *f = arg;

	/* what stays is removed by tidy.c one day */
	if (f->made)
		(void)!fsx_unlink(f->dir_fd, f->name);
	file_free(f);
}

static enum step
start_file(struct append *p, struct waker waker)
{
	struct new_message *msg = &p->v[0];
	struct append_file *f = MEM_NEW(struct append_file);

	/* lent: back when the thread is through */
	f->dir_fd = p->tmp_fd;
	p->tmp_fd = -1;
	f->name = mem_strdup(msg->tmp);
	f->bytes = p->out;
	buf_init(&p->out, p->out.max);
	f->mode = 0666 & ~(mode_t)p->m->account->store->opt.umask;
	f->dated = msg->dated;
	f->internal_ms = msg->internal_ms;
	f->young = young_may(p->m->account, f->bytes.n);
	f->errors = young_errors(p->m->account);
	f->device = p->m->account->device;
	p->file = f;
	sync_call_brief(&p->sync, p->m->account->store->opt.syncer,
	    p->m->account, write_file, drop_file, f, waker);
	return STEP_NEXT;
}

static enum step
step_write_file(struct append *p, struct waker waker)
{
	struct new_message *msg = &p->v[0];
	struct append_file *f;

	if (p->file == NULL)
		return start_file(p, waker);
	if (sync_busy(&p->sync)) {
		sync_rewake(&p->sync, waker);
		return STEP_WAIT_SYNC;
	}
	f = p->file;
	msg->made = f->made;
	msg->young = f->young;
	if (f->young) {
		p->young_errors = f->errors;
		p->out = f->bytes;
		buf_init(&f->bytes, 0);
	}
	if (p->sync.error == 0)
		append_name(msg, f->st.st_dev, f->st.st_ino);
	take_file_back(p);
	if (p->sync.error != 0)
		return fail(p, err_of_errno(p->sync.error));
	p->group.no_dir = msg->young;
	p->state = APPEND_COMMIT;
	return STEP_NEXT;
}

/* --- files ---------------------------------------------------------------- */

/* Step 2, of files that are there: some at a time. */
static enum step
step_sync_files(struct append *p, struct waker waker)
{
	struct sync_fds fds = { 0 };

	if (sync_busy(&p->sync)) {
		sync_rewake(&p->sync, waker);
		return STEP_WAIT_SYNC;
	}
	if (p->n_syncing != 0) {
		if (p->sync.error != 0)
			return fail(p, err_of_errno(p->sync.error));
		for (size_t i = 0; i < p->n_syncing; i++) {
			struct new_message *msg = &p->v[p->n_synced++];
			int rc = fsx_close(msg->fd);

			msg->fd = -1;
			if (rc < 0)
				return fail(p, err_of_errno(errno));
		}
		p->n_syncing = 0;
	}
	if (p->n_synced == p->n) {
		p->state = p->n > 1 ? APPEND_INTENT : APPEND_COMMIT;
		return STEP_NEXT;
	}
	for (size_t i = p->n_synced; i < p->n && fds.n < FILES_AT_ONCE; i++) {
		struct new_message *msg = &p->v[i];

		if (msg->fd < 0)
			msg->fd = fsx_open_read(p->tmp_fd, msg->tmp, NULL);
		if (msg->fd < 0)
			return fail(p, err_of_errno(errno));
		sync_fds_add(&fds, msg->fd, SYNC_FILE);
	}
	p->n_syncing = (size_t)fds.n;
	/* what is intended must be found after a crash */
	if (p->n > 1 && p->n_synced + p->n_syncing == p->n)
		sync_fds_add(&fds, p->tmp_fd, SYNC_FILE);
	sync_start(&p->sync, p->m->account->store->opt.syncer, p->m->account,
	    &fds, waker);
	return STEP_NEXT;
}

/* Files that came into place go again; they were never shown. */
void
append_unlink_committed(struct append *p)
{
	int fd = mailbox_dir_fd(p->m, DIR_CUR);

	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].committed == NULL)
			continue;
		if (fd >= 0 && fsx_unlink(fd, p->v[i].committed) < 0)
			scan_distrust(p->m);
		free(p->v[i].committed);
		p->v[i].committed = NULL;
	}
}

/* --- what is intended ----------------------------------------------------- */

static void
put_final(struct buf *out, const struct new_message *msg)
{
	file_name_put(out, slice_str(msg->base),
	    place_with_flags(PLACE_INFO, msg->flags), slice_of(NULL, 0));
}

static enum step
step_intent(struct append *p, int64_t now_ms)
{
	struct buf names;
	int rc;

	buf_init(&names, 1024 * p->n);
	for (size_t i = 0; i < p->n; i++) {
		buf_puts(&names, p->v[i].tmp);
		buf_putc(&names, '\0');
		put_final(&names, &p->v[i]);
		buf_putc(&names, '\0');
	}
	rc = buf_ok(&names)
	    ? intent_put(p->m, buf_slice(&names), &p->intent, NULL)
	    : ERR_LIMIT;
	buf_fini(&names);
	if (rc == ERR_BUSY && work_still_busy(&p->busy_since_ms, now_ms))
		return STEP_WAIT_PEER;
	if (rc != 0)
		return fail(p, rc);
	p->state = APPEND_INTENT_SYNC;
	return STEP_NEXT;
}

static enum step
step_intent_sync(struct append *p, struct waker waker)
{
	int rc;
	enum step step = durable_step(&p->durable, p->m, false, waker, &rc);

	if (step != STEP_DONE)
		return step;
	if (rc != 0)
		return fail(p, rc);
	p->state = APPEND_COMMIT;
	return STEP_NEXT;
}

/* --- the mailbox ---------------------------------------------------------- */

/* Step 4.  Done before if the transaction is tried again. */
static int
move_into_place(struct append *p, struct new_message *msg)
{
	struct buf file;
	int fd = mailbox_dir_fd(p->m, DIR_CUR), rc = 0;

	if (msg->committed != NULL)
		return 0;
	if (fd < 0)
		return err_of_errno(errno);
	buf_init(&file, 1024);
	put_final(&file, msg);
	if (fsx_rename_new(p->tmp_fd, msg->tmp, fd, buf_cstr(&file)) < 0)
		rc = err_of_errno(errno);
	else
		msg->committed = slice_dup(buf_slice(&file));
	buf_fini(&file);
	return rc;
}

/* It was in place before the transaction began, so that a scan may have given
 * it a UID since. */
static bool
adopt(struct edit *ed, struct new_message *msg)
{
	size_t at;
	uint32_t i;

	msg->uid = mailbox_find_base(ed->m, slice_str(msg->base));
	if (msg->uid == 0 || !edit_find(ed, msg->uid, &at, &i))
		return false;
	if (!(chunk_place(ed->v[at], i) & PLACE_ODD))
		edit_set(ed, at, i, chunk_place(ed->v[at], i),
		    slice_of(NULL, 0), msg->keyword_set);
	return true;
}

/* Step 5. */
static int
insert(struct edit *ed, struct new_message *msg)
{
	struct file_name name = { .base = slice_str(msg->base),
		.place = place_with_flags(PLACE_INFO, msg->flags) };
	struct fixed fixed = { .internal_ms = msg->internal_ms,
		.save_ms = msg->wall_ms,
		.file_size = msg->file_size,
		.wire_size = msg->wire_size,
		.ending = msg->ends_line ? ENDING_LINE : ENDING_NO_LINE,
		.synced = !msg->young };

	return edit_append(
	    ed, &name, msg->keyword_set, &fixed, &msg->uid, NULL);
}

static int
apply(struct group_member *g, struct edit *ed)
{
	struct append *p = CONTAINER_OF(g, struct append, group);
	int rc = 0;

	/* What may fail comes first: ed takes nothing back. */
	if (UINT32_MAX - ed->uidnext < p->n)
		rc = ERR_LIMIT;
	for (size_t i = 0; i < p->n && rc == 0; i++)
		rc = keyword_set_of_names(p->m, p->v[i].keywords,
		    p->v[i].n_keywords, &p->v[i].keyword_set, NULL);
	for (size_t i = 0; i < p->n && rc == 0; i++) {
		p->v[i].adopt = p->v[i].committed != NULL;
		if (!p->v[i].young)
			rc = move_into_place(p, &p->v[i]);
	}
	/* the database may be another one since the file was written */
	if (rc == 0 && p->v[0].young &&
	    (!p->m->account->db.wal || p->m->account->in_memory))
		rc = ERR_TEMPORARY;
	if (rc == 0 && p->v[0].young)
		rc = young_put(p->m, ed->uidnext, p->v[0].tmp, p->v[0].base,
		    buf_slice(&p->out), NULL);
	for (size_t i = 0; i < p->n && rc == 0; i++)
		if (!p->v[i].adopt || !adopt(ed, &p->v[i]))
			rc = insert(ed, &p->v[i]);
	return rc;
}

/* Its file gets its name when the log is synced. */
static void
on_commit(struct group_member *g)
{
	struct append *p = CONTAINER_OF(g, struct append, group);
	struct new_message *msg = &p->v[0];
	struct buf name;

	if (!msg->young)
		return;
	buf_init(&name, 1024);
	put_final(&name, msg);
	p->young = young_committed(p->m, msg->uid, p->tmp_fd, msg->tmp,
	    buf_cstr(&name), (size_t)msg->file_size, p->young_errors);
	buf_fini(&name);
	p->tmp_fd = -1;
	msg->made = false;
	buf_fini(&p->out);
}

static void
note_quota(struct append *p, int sign)
{
	int64_t bytes = 0, messages = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (!quota_counts(
			p->m, place_with_flags(PLACE_INFO, p->v[i].flags)))
			continue;
		bytes += (int64_t)p->v[i].file_size;
		messages++;
	}
	quota_note(p->m->account, sign * bytes, sign * messages);
}

static enum step
step_commit(struct append *p, struct waker waker, int64_t now_ms)
{
	enum step step = group_step(&p->group, waker, now_ms);

	if (step != STEP_DONE)
		return step;
	p->result = p->group.result;
	if (p->young != NULL && p->result == 0)
		p->result = young_result(p->young);
	if (p->group.committed) {
		note_quota(p, 1);
		p->state = p->result == 0 ? APPEND_DONE : APPEND_UNDO;
		p->uids = mem_alloc(p->n * sizeof(*p->uids));
		for (size_t i = 0; i < p->n; i++)
			p->uids[i] = p->v[i].uid;
		return STEP_NEXT;
	}
	append_unlink_committed(p);
	return fail(p, p->result);
}

/* The sync failed: what can't be promised must not stay. */
static enum step
step_undo(struct append *p, int64_t now_ms)
{
	struct edit ed;
	int rc = edit_begin(&ed, p->m, NULL);

	if (rc == ERR_BUSY && work_still_busy(&p->busy_since_ms, now_ms))
		return STEP_WAIT_PEER;
	append_unlink_committed(p);
	if (p->young != NULL)
		young_undo(p->young);
	note_quota(p, -1);
	p->state = APPEND_DONE;
	if (rc != 0)
		return STEP_NEXT;
	for (size_t i = 0; i < p->n; i++) {
		size_t at;
		uint32_t k;

		if (edit_find(&ed, p->v[i].uid, &at, &k))
			edit_remove(&ed, at, k);
	}
	if (edit_commit(&ed, NULL) != 0)
		scan_distrust(p->m);
	return STEP_NEXT;
}

static enum step
advance(struct append *p, struct waker waker, int64_t now_ms)
{
	switch (p->state) {
	case APPEND_WRITING:
		p->group = (struct group_member){
			.m = p->m,
			.n_messages = p->n,
			.apply = apply,
			.on_commit = on_commit,
		};
		if (p->n != 0)
			group_expect(&p->group);
		p->state = p->n == 0	   ? APPEND_DONE
		    : p->v[0].base == NULL ? APPEND_WRITE_FILE
					   : APPEND_SYNC_FILES;
		return STEP_NEXT;
	case APPEND_WRITE_FILE:
		return step_write_file(p, waker);
	case APPEND_SYNC_FILES:
		return step_sync_files(p, waker);
	case APPEND_INTENT:
		return step_intent(p, now_ms);
	case APPEND_INTENT_SYNC:
		return step_intent_sync(p, waker);
	case APPEND_COMMIT:
		return step_commit(p, waker, now_ms);
	case APPEND_UNDO:
		return step_undo(p, now_ms);
	case APPEND_DONE:
		break;
	}
	return STEP_DONE;
}

enum step
append_commit(
    struct append *p, struct waker waker, int64_t now_ms, int64_t wall_ms)
{
	enum step step = STEP_NEXT;

	MAGIC_CHECK(p, APPEND_MAGIC);
	assert(!p->open);
	p->m->account->store->now_ms = now_ms;
	p->m->account->store->wall_ms = wall_ms;
	while (step == STEP_NEXT)
		step = advance(p, waker, now_ms);
	return step;
}

int
append_result(const struct append *p, uint32_t *uidvalidity,
    const uint32_t **uids, size_t *n)
{
	MAGIC_CHECK(p, APPEND_MAGIC);
	if (p->result != 0)
		return p->result;
	*uidvalidity = p->m->uidvalidity;
	*uids = p->uids;
	*n = p->n;
	return 0;
}

void
append_commit_fini(struct append *p)
{
	bool waits = p->state == APPEND_COMMIT && !p->group.committed;

	young_leave(&p->young);
	durable_fini(&p->durable);
	if (p->group.m != NULL)
		group_leave(&p->group);
	/* a transaction that is to be tried again may have moved them */
	if (waits)
		append_unlink_committed(p);
	/* they stay, although nobody will be told */
	else if (p->state == APPEND_COMMIT)
		note_quota(p, 1);
	if (p->file != NULL && !sync_busy(&p->sync)) {
		p->v[0].made = p->file->made;
		take_file_back(p);
	}
	p->file = NULL;
	sync_forget(&p->sync);
}
