/*
 * adopt.c: see adopt.h for what counts when two servers differ.
 */
#include "maildir/adopt.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

/* --- UIDs ----------------------------------------------------------------- */

struct renumber {
	uint32_t *v; /* UIDs that two messages had */
	size_t n, cap;
};

static void
renumber_add(struct renumber *r, uint32_t uid)
{
	if (r->n == r->cap) {
		r->cap = r->cap * 2 + 16;
		r->v = mem_realloc(r->v, r->cap, sizeof(*r->v));
	}
	r->v[r->n++] = uid;
}

/* One message of the foreign list. */
static int
adopt_uid(struct edit *ed, const struct foreign_uid *f,
    const struct fixed *fixed, struct renumber *twice, struct err *e)
{
	uint32_t ours = mailbox_find_base(ed->m, f->base), i, uid;
	const struct file_name name = { .base = f->base, .place = PLACE_INFO };
	size_t at;

	if (ours == f->uid)
		return 0;
	if (edit_find(ed, f->uid, &at, &i)) {
		renumber_add(twice, f->uid);
		return 0;
	}
	/* Given by us and gone again, or the file has a UID of ours: what it
	 * had there is not used any more. */
	if (ours != 0 || f->uid < ed->uidnext)
		return 0;
	ed->uidnext = f->uid;
	return edit_append(ed, &name, 0, fixed, &uid, e);
}

/* A message gets a new UID instead of one that another one has, too. */
static int
renumber_one(struct edit *ed, uint32_t uid, struct err *e)
{
	struct file_name name;
	struct fixed fixed;
	struct chunk *c;
	uint32_t i, keywords, fresh;
	size_t at;
	char *base, *odd;
	int rc;

	if (!edit_find(ed, uid, &at, &i))
		return 0;
	c = ed->v[at];
	base = slice_dup(chunk_base(c, i));
	odd = slice_dup(chunk_odd(c, i));
	name = (struct file_name){ slice_of(base, chunk_base(c, i).n),
		slice_of(odd, chunk_odd(c, i).n), c->place[i] };
	fixed = *chunk_fixed(c, i);
	keywords = c->m[i].keywords;
	log_warn("maildir: UID given twice while another server was here, "
		 "renumbered path=%s mailbox=%s uid=%u",
	    ed->m->account->path, ed->m->name, uid);
	edit_remove(ed, at, i);
	rc = edit_append(ed, &name, keywords, &fixed, &fresh, e);
	free(base);
	free(odd);
	return rc;
}

bool
adopt_skip_known(
    struct mailbox *m, struct foreign_uids *u, size_t *at, size_t *n, int *work)
{
	name_table_fini(&u->names);
	for (; *at<u->n && * work> 0; (*at)++, (*work)--)
		if (mailbox_find_base(m, u->v[*at].base) != u->v[*at].uid)
			u->v[(*n)++] = u->v[*at];
	if (*at < u->n)
		return false;
	u->n = *n;
	return true;
}

int
adopt_uids(struct edit *ed, const struct foreign_uids *u, int64_t wall_ms,
    struct err *e)
{
	const struct fixed fixed = { .internal_ms = TIME_UNKNOWN,
		.save_ms = wall_ms,
		.file_size = SIZE_UNKNOWN,
		.wire_size = SIZE_UNKNOWN };
	struct renumber twice = { 0 };
	int rc = 0;

	for (size_t i = 0; i < u->n && rc == 0; i++)
		rc = adopt_uid(ed, &u->v[i], &fixed, &twice, e);
	if (ed->uidnext < u->uidnext) {
		ed->uidnext = u->uidnext;
		ed->changed = true;
	}
	for (size_t i = 0; i < twice.n && rc == 0; i++)
		rc = renumber_one(ed, twice.v[i], e);
	free(twice.v);
	if (ed->changed)
		scan_distrust(ed->m);
	return rc;
}

/* --- keywords ------------------------------------------------------------- */

static int
order_numbers(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* The mailbox's set for a foreign one, with what it has itself if more. */
static int
set_of(struct mailbox *m, const struct foreign_keywords *k,
    const struct foreign_keyword_set *s, uint32_t more, uint32_t *out,
    struct err *e)
{
	size_t n_more, n = 0, n_all = 0;
	const uint16_t *ours = mailbox_keyword_set(m, more, &n_more);
	uint16_t *v = mem_alloc((s->n + n_more + 1) * sizeof(*v));
	int rc = 0;

	for (size_t i = 0; i < n_more; i++)
		v[n_all++] = ours[i];
	for (size_t i = 0; i < s->n && rc == 0; i++)
		rc = keywords_intern(
		    m, k->names[k->indexes[s->at + i]], &v[n_all++], e);
	if (rc == 0 && n_all != 0)
		qsort(v, n_all, sizeof(*v), order_numbers);
	for (size_t i = 0; i < n_all && rc == 0; i++)
		if (n == 0 || v[n - 1] != v[i])
			v[n++] = v[i];
	if (rc == 0 && n != 0)
		rc = keyword_set_intern(m, v, n, out, e);
	else if (rc == 0)
		*out = 0;
	free(v);
	return rc;
}

/* What it has of its own is left out if the other server, or whoever made an
 * update, knew of it. */
static int
adopt_set(struct edit *ed, size_t at, uint32_t i,
    const struct adopted_keywords *a, struct err *e)
{
	const struct chunk *c = ed->v[at];
	const struct message *msg = &c->m[i];
	struct foreign_keyword_set *s =
	    foreign_keywords_find(a->k, chunk_base(c, i));
	bool known = a->modseq != 0 && msg->modseq <= a->modseq;
	uint32_t set = 0;
	int rc;

	if (s != NULL && s->state != UPDATE_NONE) {
		if ((rc = a->take(a->arg, s, e)) != 1)
			return rc;
		known = true;
	} else if (msg->uid < a->list_from || (s == NULL && !known)) {
		return 0;
	}
	rc = s == NULL
	    ? 0
	    : set_of(ed->m, a->k, s, known ? 0 : msg->keywords, &set, e);
	if (rc == 0 && set != msg->keywords)
		edit_set(ed, at, i, c->place[i], chunk_odd(c, i), set);
	/* more than there can be: those of this message stay as they are */
	return rc == ERR_LIMIT ? 0 : rc;
}

int
adopt_keywords(struct edit *ed, const struct adopted_keywords *a,
    uint32_t *from, int *work, struct err *e)
{
	size_t at = ed->n != 0 ? chunks_find(ed->v, ed->n, *from) : 0;
	int rc = 0;

	for (; at < ed->n && rc == 0 && *work > 0; at++) {
		uint32_t last = 0;

		for (uint32_t i = 0; i < ed->v[at]->n && rc == 0; i++) {
			last = ed->v[at]->m[i].uid;
			if (last >= *from)
				rc = adopt_set(ed, at, i, a, e);
		}
		*work -= (int)ed->v[at]->n;
		*from = last + 1;
	}
	if (at == ed->n)
		*from = 0;
	return rc;
}
