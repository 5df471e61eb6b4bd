/*
 * Where no link can be made, the bytes of a message are copied: few by the
 * caller, more by a sync thread, piece by piece, since another disk may be
 * slow.  A thread may still be at it when nobody wants the copy any more: so
 * what it works with is its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/copy_impl.h"

enum {
	IO_BYTES = 64 * 1024,
	PIECE = 4 * 1024 * 1024, /* of a thread, which others want, too */
};

struct copying {
	int in, out;
	uint64_t size, at;
	int64_t internal_ms;
	bool done;
	struct stat st; /* then */
	uint8_t bytes[IO_BYTES];
};

static void
file_free(void *arg)
{
	struct copying *f = arg;

	(void)close(f->in);
	if (f->out >= 0)
		(void)close(f->out);
	free(f);
}

/* The source; then the file of the copy, noted at once, so that it goes if
 * nothing comes of it. */
static int
begin(struct copy_bytes *b, struct copy_item *it, int tmp_fd)
{
	uint64_t size;
	struct buf name;
	int in, out, rc;

	rc = mailbox_open_message(b->from, it->from, &in, &size, NULL);
	if (rc != 0)
		return rc;
	buf_init(&name, 1024);
	file_name_tmp(&name, &it->unique);
	out = fsx_create(tmp_fd, buf_cstr(&name),
	    0666 & ~(mode_t)b->to->account->store->opt.umask);
	if (out < 0) {
		/* the directory has gone: not the source */
		rc = errno == ENOENT ? ERR_SYS : err_of_errno(errno);
		(void)close(in);
	} else {
		it->tmp = slice_dup(buf_slice(&name));
		b->file = MEM_NEW(struct copying);
		b->file->in = in;
		b->file->out = out;
		b->file->size = size;
		b->file->internal_ms = it->fixed.internal_ms;
	}
	buf_fini(&name);
	return rc;
}

/* 0, or -1 with errno. */
static int
finish(struct copying *f)
{
	int fd = f->out;

	if (fsx_set_mtime(fd, f->internal_ms) < 0 || fstat(fd, &f->st) < 0)
		return -1;
	f->out = -1;
	f->done = true;
	return fsx_close(fd);
}

/* 0, or errno. */
static int
copy_some(void *arg)
{
	struct copying *f = arg;
	uint64_t end = f->at + PIECE;
	ssize_t n;

	while (f->at < f->size) {
		if (f->at >= end)
			return 0;
		n = fsx_pread(f->in, f->bytes, IO_BYTES, (off_t)f->at);
		if (n < 0 ||
		    fsx_write_all(f->out, slice_of(f->bytes, (size_t)n)) < 0)
			return errno;
		if (n == 0)
			break;
		f->at += (uint64_t)n;
	}
	return finish(f) < 0 ? errno : 0;
}

static void
take(struct copy_item *it, const struct copying *f)
{
	it->fixed.file_size = (uint64_t)f->st.st_size;
	it->dev = f->st.st_dev;
	it->ino = f->st.st_ino;
	it->young = true;
	copy_item_name(it, &f->st);
}

enum step
copy_bytes_step(struct copy_bytes *b, struct copy_item *it, int tmp_fd,
    struct waker waker, int *rc)
{
	struct account *a = b->to->account;
	int error = 0;

	if (sync_busy(&b->sync)) {
		sync_rewake(&b->sync, waker);
		return STEP_WAIT_SYNC;
	}
	*rc = 0;
	if (b->file == NULL && (*rc = begin(b, it, tmp_fd)) != 0)
		return *rc == ERR_MORE ? STEP_YIELD : STEP_DONE;
	if (b->sync.done)
		error = b->sync.error;
	else if (b->file->size <= COPY_BYTES_SLICE)
		error = copy_some(b->file);
	b->sync.done = false;
	if (error == 0 && !b->file->done) {
		sync_call(&b->sync, a->store->opt.syncer, a, copy_some,
		    file_free, b->file, waker);
		return STEP_NEXT;
	}
	if (error != 0)
		*rc = err_of_errno(error);
	else
		take(it, b->file);
	copy_bytes_fini(b);
	return STEP_DONE;
}

void
copy_bytes_fini(struct copy_bytes *b)
{
	if (sync_busy(&b->sync))
		sync_forget(&b->sync);
	else if (b->file != NULL)
		file_free(b->file);
	b->file = NULL;
}
