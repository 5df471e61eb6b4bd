/*
 * UIDs from a Courier tree: courierimapuiddb, version 1.
 *
 * "1 UIDVALIDITY UIDNEXT\n", then "UID BASENAME\n" with ascending UIDs; a last
 * line without its end was never finished, and doesn't count.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/internal.h"

enum { FILE_MAX = 256 * 1024 * 1024 };

static char *
read_file(int root_fd, const char *dir, size_t *n)
{
	struct buf path;
	struct stat st;
	char *bytes = NULL;
	int fd;

	buf_init(&path, 1024);
	buf_puts(&path, dir);
	if (dir[0] != '\0')
		buf_putc(&path, '/');
	buf_puts(&path, "courierimapuiddb");
	fd = fsx_open_read(root_fd, buf_cstr(&path), &st);
	buf_fini(&path);
	if (fd < 0)
		return NULL;
	if (st.st_size > 0 && st.st_size <= FILE_MAX) {
		size_t done = 0;
		ssize_t got = 1;

		bytes = mem_alloc((size_t)st.st_size);
		while (done < (size_t)st.st_size && got > 0) {
			got = fsx_pread(fd, bytes + done,
			    (size_t)st.st_size - done, (off_t)done);
			done += got > 0 ? (size_t)got : 0;
		}
		*n = done;
	}
	(void)close(fd);
	return bytes;
}

static bool
take_line(struct slice *rest, struct slice *line)
{
	size_t n = slice_find(*rest, '\n');

	if (n == rest->n)
		return false;
	*line = slice_first(*rest, n);
	*rest = slice_skip(*rest, n + 1);
	return true;
}

static bool
take_u32(struct slice *rest, uint32_t *v)
{
	struct slice word;

	return slice_split(rest, ' ', &word) && num_u32(word, v);
}

static bool
read_header(struct slice line, struct courier_uids *out)
{
	uint32_t version;

	return take_u32(&line, &version) && version == 1 &&
	    take_u32(&line, &out->uidvalidity) &&
	    take_u32(&line, &out->uidnext) && out->uidvalidity != 0 &&
	    out->uidnext != 0;
}

static void
read_entries(struct slice rest, struct courier_uids *out)
{
	size_t cap = 0;
	uint32_t last = 0;
	struct slice line;

	while (take_line(&rest, &line)) {
		struct courier_uid u;

		if (!take_u32(&line, &u.uid) || u.uid <= last ||
		    u.uid >= out->uidnext || line.n == 0 || line.n > 255)
			continue;
		u.base = line;
		last = u.uid;
		if (out->n == cap) {
			cap = cap * 2 + 64;
			out->v = mem_realloc(out->v, cap, sizeof(*out->v));
		}
		out->v[out->n++] = u;
	}
}

bool
courier_uids_read(int root_fd, const char *dir, struct courier_uids *out)
{
	struct slice rest, line;
	size_t n = 0;

	*out = (struct courier_uids){ 0 };
	out->bytes = read_file(root_fd, dir, &n);
	rest = slice_of(out->bytes, n);
	if (out->bytes == NULL || !take_line(&rest, &line) ||
	    !read_header(line, out)) {
		courier_uids_fini(out);
		return false;
	}
	read_entries(rest, out);
	return true;
}

void
courier_uids_fini(struct courier_uids *c)
{
	free(c->v);
	free(c->bytes);
	*c = (struct courier_uids){ 0 };
}
