/*
 * Passing over wire bytes needs no reading at all where the stretch has no
 * bare LF (then its two lengths are equal), and none of what a mark covers.
 * Otherwise the file is read, but nothing is copied.
 */
#include "protocols/mime/wire.h"

#include <errno.h>
#include <unistd.h>

#include "base/err.h"

/* --- where the bytes come from ------------------------------------------- */

static ssize_t
read_fd(const struct mime_source *src, void *to, size_t n, uint64_t off)
{
	ssize_t got;

	if (off > INT64_MAX) {
		errno = EINVAL;
		return -1;
	}
	do
		got = pread(src->fd, to, n, (off_t)off);
	while (got < 0 && errno == EINTR);
	return got;
}

static ssize_t
read_bytes(const struct mime_source *src, void *to, size_t n, uint64_t off)
{
	struct slice rest;

	if (off >= src->bytes.n)
		return 0;
	rest = slice_first(slice_skip(src->bytes, (size_t)off), n);
	memcpy(to, rest.p, rest.n);
	return (ssize_t)rest.n;
}

struct mime_source
mime_source_fd(int fd)
{
	return (struct mime_source){ .read = read_fd, .fd = fd };
}

struct mime_source
mime_source_bytes(struct slice bytes)
{
	return (
	    struct mime_source){ .read = read_bytes, .fd = -1, .bytes = bytes };
}

/* --- counting ------------------------------------------------------------ */

void
mime_count_feed(struct mime_count *c, struct slice in)
{
	struct slice_lines lines;

	if (in.n == 0)
		return;
	lines = slice_count_lines(in, c->last);
	c->len += in.n;
	c->wire += in.n + lines.bare;
	c->lines += lines.all;
	c->last = in.p[in.n - 1];
}

/* --- conversion ---------------------------------------------------------- */

void
mime_wire_init(struct mime_wire *w, const struct mime_source *src,
    const struct mime_span *span, uint64_t from, uint64_t n)
{
	if (from > span->wire)
		from = span->wire;
	if (n > span->wire - from)
		n = span->wire - from;
	*w = (struct mime_wire){ .src = src,
		.at = span->off,
		.end = span->off + span->len,
		.skip = from,
		.left = n };
	if (span->wire == span->len && from != 0) {
		/* every LF has its CR: wire and file offsets are the same */
		w->at += from;
		w->wire = from;
		w->skip = 0;
		w->cr = true; /* an LF at once would have its CR before */
	}
}

uint64_t
mime_wire_left(const struct mime_wire *w)
{
	return w->left;
}

void
mime_wire_resume(struct mime_wire *w, const struct mime_wire_mark *mark)
{
	if (w->skip == 0 || mark->wire > w->wire + w->skip ||
	    mark->wire < w->wire || mark->off < w->at || mark->off > w->end)
		return;
	w->skip -= mark->wire - w->wire;
	w->wire = mark->wire;
	w->at = mark->off;
	w->cr = mark->cr;
	w->lf = mark->lf;
}

struct mime_wire_mark
mime_wire_mark(const struct mime_wire *w)
{
	return (struct mime_wire_mark){ w->at, w->wire, w->cr, w->lf };
}

/*
 * Where wire bytes go: passed over first, then put out.  Returns how many of
 * s were taken, which is all unless max or left ended it.
 */
static size_t
emit(struct mime_wire *w, struct slice s, struct buf *out, size_t *max)
{
	size_t skipped = s.n, n;

	if (skipped > w->skip)
		skipped = (size_t)w->skip;
	w->skip -= skipped;
	w->wire += skipped;
	n = s.n - skipped;
	if (n > *max)
		n = *max;
	if (n > w->left)
		n = (size_t)w->left;
	if (n != 0)
		buf_put(out, slice_of(s.p + skipped, n));
	w->left -= n;
	w->wire += n;
	*max -= n;
	return skipped + n;
}

/*
 * Whole lines, written to where they stay, as long as there is room for them;
 * returns how many file bytes are done.  Nothing is to be passed over, and no
 * LF is due.
 */
static size_t
lines_emit(struct mime_wire *w, struct slice in, struct buf *out, size_t *max)
{
	size_t room = w->left < *max ? (size_t)w->left : *max;
	size_t most = in.n > room / 2 ? room : 2 * in.n, n;
	const uint8_t *at = in.p, *end = in.p + in.n, *lf;
	uint8_t *start, *to;
	bool cr = w->cr;

	if (!buf_ok(out) || most > out->max - buf_len(out))
		return 0;
	start = to = buf_reserve(out, most);
	if (to == NULL)
		return 0;
	while (
	    at < end && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		n = (size_t)(lf - at);
		if (n + 2 > most - (size_t)(to - start))
			break;
		memcpy(to, at, n);
		to += n;
		if (n != 0 ? lf[-1] != '\r' : !cr)
			*to++ = '\r';
		*to++ = '\n';
		cr = false;
		at = lf + 1;
	}
	n = (size_t)(to - start);
	buf_advance(out, n);
	w->cr = cr;
	w->at += (size_t)(at - in.p);
	w->wire += n;
	w->left -= n;
	*max -= n;
	return (size_t)(at - in.p);
}

/* Pass on one line or a piece of it; returns how many file bytes are done. */
static size_t
line_emit(struct mime_wire *w, struct slice in, struct buf *out, size_t *max)
{
	size_t lf = slice_find(in, '\n'), done;
	bool cr;

	if (lf == in.n || w->lf || (lf == 0 && w->cr) ||
	    (lf > 0 && in.p[lf - 1] == '\r')) {
		/* nothing to insert in this piece */
		struct slice piece = slice_first(in, lf + (lf < in.n));
		if (w->lf)
			piece = slice_first(in, 1);
		done = emit(w, piece, out, max);
		w->lf = w->lf && done == 0;
	} else {
		done = emit(w, slice_first(in, lf), out, max);
		if (done == lf) {
			cr = emit(w, SLICE("\r"), out, max) == 1;
			w->lf = cr;
			if (cr && emit(w, SLICE("\n"), out, max) == 1) {
				w->lf = false;
				done++;
			}
		}
	}
	if (done != 0)
		w->cr = in.p[done - 1] == '\r';
	w->at += done;
	return done;
}

int
mime_wire_step(struct mime_wire *w, struct buf *out, size_t max)
{
	uint8_t chunk[MIME_READ_SIZE];
	struct slice in;
	uint64_t want = w->end - w->at;
	ssize_t got;

	assert(max > 0);
	if (w->left == 0)
		return MIME_WIRE_END;
	if (want > sizeof(chunk))
		want = sizeof(chunk);
	/* without skipping, more than max file bytes would be read in vain */
	if (w->skip == 0 && want > max)
		want = max;
	got = want != 0 ? w->src->read(w->src, chunk, (size_t)want, w->at) : 0;
	if (got < 0)
		return ERR_SYS;
	if (got == 0)
		return ERR_STALE;
	in = slice_of(chunk, (size_t)got);
	if (w->skip == 0 && !w->lf)
		in = slice_skip(in, lines_emit(w, in, out, &max));
	while (in.n != 0 && max != 0 && w->left != 0)
		in = slice_skip(in, line_emit(w, in, out, &max));
	if (!buf_ok(out))
		return ERR_LIMIT;
	return w->left != 0 ? MIME_WIRE_MORE : MIME_WIRE_END;
}
