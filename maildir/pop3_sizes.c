#include "maildir/pop3_sizes.h"

#include <unistd.h>

#include "base/fsx.h"
#include "maildir/view.h"

enum {
	READ_BYTES = 65536,
	SIZE_SLICE = 512 * 1024, /* bytes read in a step */
	OPEN_COST = 4096,
};

/* Octets on the wire: each line end counts two.  RFC 1939 11.  What RETR adds
 * to a last line without its end isn't among them, for this is RFC822.SIZE,
 * and the length of BODY[]'s literal, too.  1: there is more to read; 0: *f is
 * filled in; -1: it can't be. */
static int
count_wire(struct sizing *z, int64_t *budget, struct fixed *f)
{
	static uint8_t bytes[READ_BYTES];
	ssize_t n = 1;

	while (*budget > 0 &&
	    (n = fsx_pread(z->fd, bytes, sizeof(bytes), (off_t)z->at)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			z->size += bytes[i] == '\n' && z->last != '\r' ? 2 : 1;
			z->last = bytes[i];
			z->seen |= z->last;
		}
		z->at += (uint64_t)n;
		*budget -= n;
	}
	if (n > 0)
		return 1;
	if (n < 0 || z->at < z->file_size)
		return -1;
	f->wire_size = z->size;
	f->ending =
	    z->size == 0 || z->last == '\n' ? ENDING_LINE : ENDING_NO_LINE;
	if (z->seen < 0x80)
		f->header = HEADER_ASCII;
	return 0;
}

/* The same when only the file's last byte is unknown. */
static int
look_at_end(const struct sizing *z, struct fixed *f)
{
	uint8_t last = '\n';

	if (z->file_size != 0 &&
	    fsx_pread(z->fd, &last, 1, (off_t)z->file_size - 1) != 1)
		return -1;
	f->ending = last == '\n' ? ENDING_LINE : ENDING_NO_LINE;
	return 0;
}

static void
sizing_end(struct sizing *z)
{
	if (z->fd >= 0)
		(void)close(z->fd);
	*z = (struct sizing){ .fd = -1 };
}

/* Of one message, some of it.  1: there is more; 0: that was all, or it can't
 * be known; ERR_*: not now. */
static int
fill_size(struct mailbox *m, uint32_t uid, struct sizing *z, struct fixed *f,
    int64_t *budget)
{
	struct fixed full = *f;
	int rc;

	if (z->fd < 0) {
		*budget -= OPEN_COST;
		rc = mailbox_open_message(m, uid, &z->fd, &z->file_size, NULL);
		/* to a client that isn't told of it, it would be new the next
		 * time */
		if (rc == ERR_BUSY || rc == ERR_TEMPORARY)
			return rc;
		if (rc != 0)
			return 0;
	}
	rc = f->wire_size != SIZE_UNKNOWN ? look_at_end(z, &full)
					  : count_wire(z, budget, &full);
	if (rc == 1)
		return 1;
	sizing_end(z);
	if (rc == 0) {
		/* the newest version of the chunk, then this one */
		mailbox_set_size(m, uid, full.wire_size, full.ending);
		if (full.header != HEADER_UNKNOWN)
			mailbox_set_header(m, uid, full.header);
		*f = full;
	}
	return 0;
}

void
pop3_sizes_begin(struct pop3_sizes *s, struct view *v)
{
	*s = (struct pop3_sizes){ .v = v, .seq = 1, .now.fd = -1 };
}

void
pop3_sizes_fini(struct pop3_sizes *s)
{
	sizing_end(&s->now);
}

int
pop3_sizes_fill(struct mailbox *m, struct pop3_sizes *s, int *work)
{
	int64_t budget = SIZE_SLICE;

	while (s->seq <= s->v->count && *work > 0) {
		uint32_t i;
		const struct chunk *c = view_at(s->v, s->seq, &i);
		struct fixed *f = chunk_fixed(c, i);

		if (f->wire_size == SIZE_UNKNOWN ||
		    f->ending == ENDING_UNKNOWN) {
			int rc = budget > 0
			    ? fill_size(m, chunk_uid(c, i), &s->now, f, &budget)
			    : 1;

			if (rc == 1)
				*work = 0;
			if (rc != 0)
				return rc;
		}
		s->seq++;
		(*work)--;
	}
	return s->seq <= s->v->count;
}
