#include "protocols/imap/kept.h"

#include <unistd.h>

#include "base/fsx.h"
#include "protocols/imap/fields.h"
#include "protocols/imap/keys.h"

enum { FIRST_READ = 8 * 1024 };

size_t
imap_header_len(struct slice head)
{
	size_t at = 0;

	while (at < head.n) {
		struct slice rest = slice_skip(head, at);

		if (rest.p[0] == '\n')
			return at + 1;
		if (rest.p[0] == '\r' && rest.n > 1 && rest.p[1] == '\n')
			return at + 2;
		at += slice_find(rest, '\n') + 1;
	}
	return 0;
}

bool
imap_kept_make(struct imap_session *i, uint32_t uid, struct slice head,
    bool all, struct buf *out)
{
	size_t n = imap_header_len(head), at = buf_len(out);
	struct slice header = n != 0 ? slice_first(head, n) : head;

	if (n == 0 && !all)
		return false;
	if (!imap_fields_make(header, n != 0, out))
		return false;
	mailbox_cache_put(
	    i->mailbox, uid, CACHE_FIELDS, slice_skip(buf_slice(out), at));
	return true;
}

/* Read the beginning of a file until its header is complete. */
static int
read_head(struct imap_session *i, int fd, uint32_t uid, struct buf *out)
{
	uint8_t head[IMAP_HEADER_MAX];
	size_t n = 0, want = FIRST_READ;
	struct err e = { .code = 0 };

	for (;;) {
		ssize_t got = fsx_pread(fd, head + n, want - n, (off_t)n);

		if (got < 0) {
			(void)err_sys(&e, "reading message %u", uid);
			imap_log_error(i, "reading a message", ERR_SYS, &e);
			return ERR_SYS;
		}
		n += (size_t)got;
		if (imap_kept_make(i, uid, slice_of(head, n), got == 0, out))
			return 0;
		if (got == 0 || n == sizeof(head))
			break;
		want = sizeof(head);
	}
	/* what there is of it */
	while (n != 0 && !imap_fields_make(slice_of(head, n), false, out))
		n /= 2;
	return ERR_LIMIT;
}

static int
make_fields(struct imap_session *i, uint32_t uid, struct buf *out)
{
	struct err e = { .code = 0 };
	uint64_t size;
	int fd, rc = mailbox_open_message(i->mailbox, uid, &fd, &size, &e);

	if (rc != 0) {
		if (rc != ERR_NOT_FOUND)
			imap_log_error(i, "opening a message", rc, &e);
		return rc;
	}
	rc = read_head(i, fd, uid, out);
	(void)close(fd);
	return rc;
}

int
imap_kept(struct imap_session *i, uint32_t uid, enum cache_kind kind,
    struct slice *out, bool *read)
{
	struct slice fields;
	int rc = 0;

	if (read != NULL)
		*read = false;
	if (mailbox_cache_get(i->mailbox, uid, kind, out))
		return 0;
	if (kind == CACHE_FIELDS ||
	    !mailbox_cache_get(i->mailbox, uid, CACHE_FIELDS, &fields)) {
		if (read != NULL)
			*read = true;
		buf_reset(&i->work->kept_fields);
		rc = make_fields(i, uid, &i->work->kept_fields);
		if (rc != 0 && rc != ERR_LIMIT)
			return rc;
		fields = buf_slice(&i->work->kept_fields);
	}
	if (kind == CACHE_FIELDS) {
		*out = fields;
		return rc;
	}
	buf_reset(&i->work->kept_key);
	imap_key_make(kind, fields, &i->work->kept_key);
	*out = buf_slice(&i->work->kept_key);
	if (rc == 0)
		mailbox_cache_put(i->mailbox, uid, kind, *out);
	return rc;
}
