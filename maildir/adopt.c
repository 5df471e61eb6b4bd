/*
 * adopt.c: see adopt.h for what counts when two servers differ.
 */
#include "maildir/adopt.h"

#include <stdlib.h>

#include "base/mem.h"
#include "maildir/keywords.h"

/* --- UIDs ----------------------------------------------------------------- */

enum {
	ADOPT_COST = 4, /* to look a name up: 1 */
	RENUMBER_COST = 16,
};

void
adopting_fini(struct adopting *a)
{
	free(a->twice);
	*a = (struct adopting){ 0 };
}

static void
add_twice(struct adopting *a, uint32_t uid)
{
	if (a->n_twice == a->cap_twice) {
		a->cap_twice = a->cap_twice * 2 + 16;
		a->twice =
		    mem_realloc(a->twice, a->cap_twice, sizeof(*a->twice));
	}
	a->twice[a->n_twice++] = uid;
}

/* One message of the foreign list. */
static int
adopt_uid(struct edit *ed, const struct foreign_uid *f,
    const struct fixed *fixed, struct adopting *a, int *work, struct err *e)
{
	uint32_t ours = mailbox_find_base(ed->m, f->base), i;
	const struct file_name name = { .base = f->base, .place = PLACE_INFO };
	uint32_t from = a->from;
	size_t at;

	*work -= 1;
	if (f->uid >= a->from)
		a->from = f->uid + 1;
	if (ours == f->uid)
		return 0;
	if (edit_find(ed, f->uid, &at, &i)) {
		add_twice(a, f->uid);
		return 0;
	}
	/* Given by us and gone again, or the file has a UID of ours: what it
	 * had there is not used any more. */
	if (ours != 0 || f->uid < from || f->uid >= a->end ||
	    f->uid <= edit_last_uid(ed))
		return 0;
	*work -= ADOPT_COST;
	return edit_append_as(ed, &name, fixed, f->uid, e);
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
		slice_of(odd, chunk_odd(c, i).n), chunk_place(c, i) };
	fixed = *chunk_fixed(c, i);
	keywords = chunk_message(c, i)->keywords;
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

/* Keep what the list has from here on for its messages. */
static void
take_range(struct edit *ed, const struct foreign_uids *u, struct adopting *a)
{
	/* the list was longer when somebody else came to look */
	if (a->end == 0)
		a->from = ed->uidnext;
	else if (a->end != ed->uidnext)
		return;
	a->end = ed->uidnext > u->uidnext ? ed->uidnext : u->uidnext;
	if (a->end == ed->uidnext)
		return;
	ed->uidnext = a->end;
	ed->changed = true;
}

int
adopt_uids(struct edit *ed, const struct foreign_uids *u, struct adopting *a,
    int64_t wall_ms, int *work, struct err *e)
{
	const struct fixed fixed = { .internal_ms = TIME_UNKNOWN,
		.save_ms = wall_ms,
		.file_size = SIZE_UNKNOWN,
		.wire_size = SIZE_UNKNOWN };
	int rc = 0;

	take_range(ed, u, a);
	for (; a->at < u->n && rc == 0 && *work > 0; a->at++)
		rc = adopt_uid(ed, &u->v[a->at], &fixed, a, work, e);
	for (; a->at == u->n && a->renumbered < a->n_twice && rc == 0 &&
	     *work > 0;
	     a->renumbered++, *work -= RENUMBER_COST)
		rc = renumber_one(ed, a->twice[a->renumbered], e);
	if (ed->changed)
		scan_distrust(ed->m);
	if (rc != 0)
		return rc;
	return a->at < u->n || a->renumbered < a->n_twice;
}

/* --- keywords ------------------------------------------------------------- */

static int
order_numbers(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* A message's own sets of keywords. */
struct own_sets {
	uint32_t now, before; /* before the others' were read */
	bool known;	      /* the other server had the one of before */
};

static bool
has_number(const uint16_t *v, size_t n, uint16_t number)
{
	return n != 0 &&
	    bsearch(&number, v, n, sizeof(number), order_numbers) != NULL;
}

/* The mailbox's set for a foreign one, or none: with what the message got since
 * that was read, without what it lost, and with all it has unless that was
 * known to the other. */
static int
set_of(struct mailbox *m, const struct foreign_keywords *k,
    const struct foreign_keyword_set *s, const struct own_sets *own,
    uint32_t *out, struct err *e)
{
	size_t n_now, n_before, n = 0, n_all = 0, n_theirs = s ? s->n : 0;
	const uint16_t *now = mailbox_keyword_set(m, own->now, &n_now);
	const uint16_t *before = mailbox_keyword_set(m, own->before, &n_before);
	uint16_t *v = mem_alloc((n_theirs + n_now + 1) * sizeof(*v)), number;
	int rc = 0;

	for (size_t i = 0; i < n_now; i++)
		if (!own->known || !has_number(before, n_before, now[i]))
			v[n_all++] = now[i];
	for (size_t i = 0; i < n_theirs && rc == 0; i++) {
		rc = keywords_intern(
		    m, k->names[k->indexes[s->at + i]], &number, e);
		if (rc == 0 &&
		    (!has_number(before, n_before, number) ||
			has_number(now, n_now, number)))
			v[n_all++] = number;
	}
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

/* How it was then; NULL: it wasn't there. */
static const struct message *
before_reading(const struct adopted_keywords *a, const struct message *msg)
{
	uint32_t seq;

	if (msg->modseq <= view_highest_modseq(a->before))
		return msg;
	seq = view_find(a->before, msg->uid);
	return seq != 0 ? view_get(a->before, seq) : NULL;
}

static int
adopt_set(struct edit *ed, size_t at, uint32_t i,
    const struct adopted_keywords *a, struct err *e)
{
	const struct chunk *c = ed->v[at];
	const struct message *msg = chunk_message(c, i);
	struct foreign_keyword_set *s =
	    foreign_keywords_find(a->k, chunk_base(c, i));
	const struct message *before = before_reading(a, msg);
	struct own_sets own = {
		.now = msg->keywords,
		.before = before != NULL ? before->keywords : 0,
		.known = before != NULL && a->modseq != 0 &&
		    before->modseq <= a->modseq,
	};
	uint32_t set = 0;
	int rc;

	if (s != NULL && s->state != UPDATE_NONE) {
		if ((rc = a->take(a->arg, s, e)) != 1)
			return rc;
		own.known = before != NULL;
	} else if (msg->uid < a->list_from || (s == NULL && !own.known)) {
		return 0;
	}
	rc = set_of(ed->m, a->k, s, &own, &set, e);
	if (rc == 0 && set != msg->keywords)
		edit_set(ed, at, i, chunk_place(c, i), chunk_odd(c, i), set);
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
			last = chunk_uid(ed->v[at], i);
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
