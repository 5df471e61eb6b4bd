/*
 * Keywords.
 *
 * courierimapkeywords/: ":list" has the names of keywords, a line each; an
 * empty line; then "BASENAME:i j k" with indexes into the names.  The other
 * files there are updates of it: import_update_files.c.
 *
 * dovecot-keywords: "INDEX NAME\n", index 0 … 25 for the letters a … z in the
 * info part of file names; what has no letter is in Dovecot's index only.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/num.h"
#include "maildir/file_name.h"
#include "maildir/foreign_impl.h"

/* --- courierimapkeywords -------------------------------------------------- */

/* "BASENAME:i j k"; the base name may have colons itself. */
static void
parse_set(struct foreign_keywords_reader *r, struct slice line)
{
	struct foreign_keywords *k = &r->k;
	size_t colon = slice_rfind(line, ':');
	struct foreign_keyword_set set = { .at = k->n_indexes };
	struct slice rest = slice_skip(line, colon + 1), word;

	if (colon == line.n ||
	    !foreign_base(slice_first(line, colon), &set.base))
		return;
	while (slice_split(&rest, ' ', &word)) {
		uint32_t i;

		if (num_u32(word, &i) && i < r->n_map)
			foreign_keyword_member(k, r->map[i]);
	}
	set.n = k->n_indexes - set.at;
	foreign_keywords_add(k, &set);
}

/* The names, up to an empty line. */
static void
parse_names(struct foreign_keywords_reader *r)
{
	struct slice line;

	while (foreign_line(&r->file.rest, &line) && line.n != 0) {
		if (r->n_map == FOREIGN_KEYWORDS_MAX)
			break;
		if (r->n_map == r->cap_map) {
			r->cap_map = r->cap_map * 2 + 32;
			r->map =
			    mem_realloc(r->map, r->cap_map, sizeof(*r->map));
		}
		/* Each line has a number, but one name may stand twice. */
		if (!foreign_keyword_add(&r->k, line, &r->map[r->n_map]))
			break;
		r->n_map++;
	}
}

void
courier_keywords_parse(struct slice bytes, struct foreign_keywords *out)
{
	struct foreign_keywords_reader r = { .k = *out };
	struct slice line;

	foreign_file_of(&r.file, bytes);
	parse_names(&r);
	while (foreign_line(&r.file.rest, &line))
		parse_set(&r, line);
	free(r.map);
	*out = r.k;
}

/* --- dovecot-keywords ----------------------------------------------------- */

void
dovecot_keywords_parse(
    struct slice bytes, struct slice names[DOVECOT_LETTERS], bool *too_many)
{
	struct slice line, word;
	uint32_t i;

	for (i = 0; i < DOVECOT_LETTERS; i++)
		names[i] = slice_of(NULL, 0);
	*too_many = false;
	while (foreign_line(&bytes, &line)) {
		if (!slice_split(&line, ' ', &word) || !num_u32(word, &i) ||
		    line.n == 0 || line.n > FOREIGN_KEYWORD_BYTES)
			continue;
		if (i < DOVECOT_LETTERS)
			names[i] = line;
		else
			*too_many = true;
	}
	/* Dovecot 2.3 doesn't list those without a letter. */
	for (i = 0; i < DOVECOT_LETTERS && names[i].n != 0; i++)
		;
	*too_many = *too_many || i == DOVECOT_LETTERS;
}

static void
read_letters(struct foreign_keywords *k, struct slice name,
    const uint16_t letters[DOVECOT_LETTERS])
{
	struct foreign_keyword_set set = { .at = k->n_indexes };
	struct file_name f;

	file_name_parse(name, false, &f);
	if (!foreign_base(f.base, &set.base))
		return;
	for (unsigned i = 0; i < DOVECOT_LETTERS; i++)
		if (f.place & place_letter((uint8_t)('a' + i)) &&
		    letters[i] != UINT16_MAX)
			foreign_keyword_member(k, letters[i]);
	set.n = k->n_indexes - set.at;
	if (set.n == 0)
		return;
	set.base = arena_dup(&k->arena, set.base);
	foreign_keywords_add(k, &set);
}

static void
name_letters(struct foreign_keywords_reader *r)
{
	struct slice names[DOVECOT_LETTERS];

	dovecot_keywords_parse(r->file.rest, names, &r->k.too_many);
	for (unsigned i = 0; i < DOVECOT_LETTERS; i++)
		if (names[i].n == 0 ||
		    !foreign_keyword_name(&r->k, names[i], &r->letters[i]))
			r->letters[i] = UINT16_MAX;
}

/* --- reading -------------------------------------------------------------- */

enum {
	READ_LIST, /* ":list" or dovecot-keywords */
	TAKE_LIST,
	LIST_NAMES, /* of the directory: updates, or messages */
	READ_UPDATES,
	ALL_READ,
};

enum { AGAIN_MAX = 3 };

static bool
open_dovecot(struct foreign_keywords_reader *r, int root_fd, const char *dir)
{
	struct buf path;

	if (!foreign_file_open(&r->file, root_fd, dir, "dovecot-keywords",
		FOREIGN_KEYWORD_FILE_BYTES))
		return false;
	buf_init(&path, 2048);
	buf_puts(&path, dir);
	buf_puts(&path, dir[0] != '\0' ? "/cur" : "cur");
	if (dir_reader_open(&r->dir, root_fd, buf_cstr(&path)) < 0) {
		foreign_file_note(&r->file, errno);
		r->dir.d = NULL;
	}
	buf_fini(&path);
	return r->file.error == 0;
}

bool
foreign_keywords_open(struct foreign_keywords_reader *r, int root_fd,
    const char *dir, bool dovecot)
{
	*r = (struct foreign_keywords_reader){ .dovecot = dovecot,
		.file.fd = -1 };
	foreign_keywords_init(&r->k);
	if (dovecot)
		return open_dovecot(r, root_fd, dir);
	if (foreign_updates_open(root_fd, dir, &r->dir) < 0) {
		foreign_file_note(&r->file, errno);
		return false;
	}
	/* The list first: an update that is merged meanwhile is still there
	 * under its other name. */
	if (!foreign_file_open(&r->file, dir_reader_fd(&r->dir), "", ":list",
		FOREIGN_KEYWORD_FILE_BYTES))
		r->phase = LIST_NAMES;
	return r->file.error == 0;
}

static enum foreign_step
read_list(struct foreign_keywords_reader *r, int *work)
{
	enum foreign_step step = foreign_file_step(&r->file, work);

	if (step == FOREIGN_MORE ||
	    (step == FOREIGN_NONE && (r->dovecot || r->file.error != 0)))
		return step;
	r->phase = r->dovecot || step == FOREIGN_NONE ? LIST_NAMES : TAKE_LIST;
	if (r->dovecot)
		name_letters(r);
	else if (step == FOREIGN_DONE)
		parse_names(r);
	return FOREIGN_DONE;
}

/* False: there may be more. */
static bool
take_list(struct foreign_keywords_reader *r, int *work)
{
	struct slice line;

	while (foreign_file_line(&r->file, work, &line))
		parse_set(r, line);
	return *work > 0;
}

static enum foreign_step
list_messages(struct foreign_keywords_reader *r, int *work)
{
	struct slice name;

	while (r->dir.d != NULL) {
		if (*work <= 0)
			return FOREIGN_MORE;
		(*work)--;
		if (!dir_reader_next(&r->dir, &name))
			break;
		read_letters(&r->k, name, r->letters);
	}
	if (r->dir.failed)
		foreign_file_note(&r->file, EIO);
	return r->file.error != 0 ? FOREIGN_NONE : FOREIGN_DONE;
}

static enum foreign_step
list_names(struct foreign_keywords_reader *r, int *work)
{
	return r->dovecot
	    ? list_messages(r, work)
	    : foreign_updates_list(&r->dir, &r->file, &r->updates, work);
}

static enum foreign_step
read_updates(struct foreign_keywords_reader *r, int *work)
{
	return foreign_updates_read(
	    r->dir.d != NULL ? dir_reader_fd(&r->dir) : -1, &r->file,
	    &r->updates, &r->k, work);
}

/*
 * Somebody merged an update after it was listed: without it, the list, which
 * is older, would have the last word.  So they are listed and read once more;
 * one that is merged each time isn't worth more than that.
 */
static bool
list_again(struct foreign_keywords_reader *r)
{
	struct dir_reader d;

	if (!r->updates.gone || r->n_again == AGAIN_MAX)
		return false;
	if (dir_reader_open(&d, dir_reader_fd(&r->dir), ".") < 0) {
		foreign_file_note(&r->file, errno);
		return false;
	}
	dir_reader_close(&r->dir);
	r->dir = d;
	r->n_again++;
	foreign_updates_fini(&r->updates);
	return true;
}

enum foreign_step
foreign_keywords_step(struct foreign_keywords_reader *r, int *work)
{
	enum foreign_step step;

	if (r->phase == READ_LIST &&
	    (step = read_list(r, work)) != FOREIGN_DONE)
		return step;
	if (r->phase == TAKE_LIST) {
		if (!take_list(r, work))
			return FOREIGN_MORE;
		r->phase = LIST_NAMES;
	}
	while (r->phase != ALL_READ) {
		step = r->phase == LIST_NAMES ? list_names(r, work)
					      : read_updates(r, work);
		if (step != FOREIGN_DONE)
			return step;
		r->phase = r->phase == LIST_NAMES ? READ_UPDATES
		    : list_again(r)		  ? LIST_NAMES
						  : ALL_READ;
	}
	return r->file.error != 0 ? FOREIGN_NONE : FOREIGN_DONE;
}

void
foreign_keywords_close(struct foreign_keywords_reader *r)
{
	if (r->dir.d != NULL)
		dir_reader_close(&r->dir);
	r->dir.d = NULL;
	foreign_file_close(&r->file);
	foreign_updates_fini(&r->updates);
	free(r->map);
	r->map = NULL;
	foreign_keywords_fini(&r->k);
}

static int
order_sets(const void *a, const void *b)
{
	const struct foreign_keyword_set *x = a, *y = b;

	return slice_cmp(x->base, y->base);
}

int
courier_keywords_read(
    int root_fd, const char *dir, struct foreign_keywords *out, struct err *e)
{
	struct foreign_keywords_reader r;
	int work = INT_MAX, rc;
	bool ok = foreign_keywords_open(&r, root_fd, dir, false) &&
	    foreign_keywords_step(&r, &work) == FOREIGN_DONE;

	if (ok) {
		*out = r.k;
		out->bytes = r.file.bytes;
		r.k = (struct foreign_keywords){ 0 };
		buf_init(&r.file.bytes, 0);
		name_table_fini(&out->sets); /* they move */
		if (out->n != 0)
			qsort(out->v, out->n, sizeof(*out->v), order_sets);
	}
	rc = ok ? 1 : foreign_file_failed(&r.file, e);
	foreign_keywords_close(&r);
	return rc;
}
