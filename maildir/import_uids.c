/*
 * Lists of UIDs.
 *
 * courierimapuiddb: "1 UIDVALIDITY UIDNEXT\n", then "UID BASENAME\n" with
 * ascending UIDs.
 *
 * dovecot-uidlist, version 3: "3 Vuidvalidity Nuidnext Gguid[ Pformat]\n",
 * then "UID [Kvalue ]...:FILENAME\n".  It is appended to, so a later line
 * with the same file counts.  Version 1 is Courier's courierimapuiddb.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/foreign_impl.h"

enum { HEADER_BYTES = 64 }; /* Courier's has three numbers */

/* --- headers -------------------------------------------------------------- */

static bool
courier_header(struct slice line, struct foreign_uids *out)
{
	return foreign_u32(&line, &out->uidvalidity) &&
	    foreign_u32(&line, &out->uidnext);
}

static bool
dovecot_header(struct slice line, struct foreign_uids *out)
{
	struct slice word;

	while (slice_split(&line, ' ', &word)) {
		struct slice value = slice_skip(word, 1);

		if (word.n == 0)
			continue;
		if (word.p[0] == 'V' && !num_u32(value, &out->uidvalidity))
			return false;
		if (word.p[0] == 'N' && !num_u32(value, &out->uidnext))
			return false;
		if (word.p[0] == 'P')
			out->uidl_format = value;
	}
	return true;
}

static bool
take_header(struct foreign_uids_reader *r)
{
	struct slice line;
	uint32_t version;

	if (!foreign_line(&r->file.rest, &line) ||
	    !foreign_u32(&line, &version))
		return false;
	r->version = version;
	if (version == 1)
		return courier_header(line, &r->u) && r->u.uidvalidity != 0 &&
		    r->u.uidnext != 0;
	return version == 3 && r->u.dovecot && dovecot_header(line, &r->u) &&
	    r->u.uidvalidity != 0 && r->u.uidnext != 0;
}

/* --- entries -------------------------------------------------------------- */

static bool
courier_entry(struct slice line, struct foreign_uid *out)
{
	return foreign_u32(&line, &out->uid) && foreign_base(line, &out->base);
}

/* "UID [Kvalue ]...:FILENAME" */
static bool
dovecot_entry(struct slice line, struct foreign_uid *out)
{
	struct slice word;
	bool by_name = false;

	if (!foreign_u32(&line, &out->uid))
		return false;
	while (
	    line.n != 0 && line.p[0] != ':' && slice_split(&line, ' ', &word)) {
		struct slice value = slice_skip(word, 1);

		if (word.n == 0)
			continue;
		if (word.p[0] == 'P') {
			out->uidl = value;
			by_name = value.n == 0;
		} else if (word.p[0] == 'G') {
			out->guid = value;
		} else if (word.p[0] == 'O' && !num_u32(value, &out->order)) {
			out->order = 0;
		}
	}
	if (line.n == 0 || line.p[0] != ':' ||
	    !foreign_base(slice_skip(line, 1), &out->base))
		return false;
	/* saved, and the same as the name: pop3_uidl_format = %f, %g */
	if (by_name)
		out->uidl = out->base;
	return true;
}

static struct slice
uid_name(const void *array, size_t i)
{
	return ((const struct foreign_uid *)array)[i].base;
}

struct foreign_uid *
foreign_uids_find(const struct foreign_uids *u, struct slice base)
{
	size_t i = name_table_find(&u->names, base, uid_name, u->v);

	return i != SIZE_MAX ? &u->v[i] : NULL;
}

/* A file that has two UIDs got the later one. */
static void
add(struct foreign_uids_reader *r, const struct foreign_uid *one)
{
	struct foreign_uids *u = &r->u;
	size_t before =
	    name_table_put(&u->names, one->base, uid_name, u->v, u->n);

	if (before != SIZE_MAX) {
		u->v[before].uid = 0;
		r->twice = true;
	}
	if (u->n == u->cap) {
		u->cap = u->cap * 2 + 64;
		u->v = mem_realloc(u->v, u->cap, sizeof(*u->v));
	}
	u->v[u->n++] = *one;
}

/* Drop those whose name came again. */
static void
drop_twice(struct foreign_uids *u)
{
	size_t n = 0;

	name_table_fini(&u->names);
	for (size_t i = 0; i < u->n; i++)
		if (u->v[i].uid != 0) {
			name_table_add(&u->names, u->v[i].base, n);
			u->v[n++] = u->v[i];
		}
	u->n = n;
}

/* --- reading -------------------------------------------------------------- */

bool
foreign_uids_open(
    struct foreign_uids_reader *r, int root_fd, const char *dir, bool dovecot)
{
	*r = (struct foreign_uids_reader){ .u.dovecot = dovecot };
	return foreign_file_open(&r->file, root_fd, dir,
	    dovecot ? "dovecot-uidlist" : "courierimapuiddb",
	    FOREIGN_UIDS_BYTES);
}

int
courier_uidvalidity(int root_fd, const char *dir, uint32_t *out, struct err *e)
{
	struct foreign_uids_reader r;
	uint8_t bytes[HEADER_BYTES];
	ssize_t n = 0;
	int rc = 0;

	if (foreign_uids_open(&r, root_fd, dir, false) &&
	    (n = fsx_pread(r.file.fd, bytes, sizeof(bytes), 0)) < 0)
		foreign_file_note(&r.file, errno);
	r.file.rest = slice_of(bytes, n > 0 ? (size_t)n : 0);
	if (r.file.error != 0) {
		rc = foreign_file_failed(&r.file, e);
	} else if (take_header(&r)) {
		*out = r.u.uidvalidity;
		rc = 1;
	}
	foreign_uids_close(&r);
	return rc;
}

enum foreign_step
foreign_uids_step(struct foreign_uids_reader *r, int *work)
{
	enum foreign_step step = foreign_file_step(&r->file, work);
	struct slice line;

	if (step != FOREIGN_DONE)
		return step;
	if (r->version == 0 && !take_header(r))
		return FOREIGN_NONE;
	while (foreign_file_line(&r->file, work, &line)) {
		struct foreign_uid one = { 0 };

		if (!(r->version == 1 ? courier_entry(line, &one)
				      : dovecot_entry(line, &one)) ||
		    one.uid <= r->last || one.uid == UINT32_MAX ||
		    (r->version == 1 && one.uid >= r->u.uidnext))
			continue;
		r->last = one.uid;
		add(r, &one);
	}
	if (*work <= 0)
		return FOREIGN_MORE;
	/* lines were appended since the header was written */
	if (r->u.uidnext <= r->last)
		r->u.uidnext = r->last + 1;
	if (r->twice)
		drop_twice(&r->u);
	r->twice = false;
	return FOREIGN_DONE;
}

void
foreign_uids_close(struct foreign_uids_reader *r)
{
	foreign_file_close(&r->file);
	foreign_uids_fini(&r->u);
}

static bool
parse_all(struct slice bytes, bool dovecot, struct foreign_uids *out)
{
	struct foreign_uids_reader r = { .u.dovecot = dovecot };
	int work = INT_MAX;

	foreign_file_of(&r.file, bytes);
	if (foreign_uids_step(&r, &work) != FOREIGN_DONE) {
		foreign_uids_close(&r);
		return false;
	}
	*out = r.u;
	return true;
}

bool
courier_uids_parse(struct slice bytes, struct foreign_uids *out)
{
	return parse_all(bytes, false, out);
}

bool
dovecot_uids_parse(struct slice bytes, struct foreign_uids *out)
{
	return parse_all(bytes, true, out);
}

void
foreign_uids_fini(struct foreign_uids *u)
{
	free(u->v);
	name_table_fini(&u->names);
	*u = (struct foreign_uids){ 0 };
}
