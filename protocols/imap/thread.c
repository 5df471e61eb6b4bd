/*
 * The steps of RFC 5256 section 3, REFERENCES, and how they are done here:
 *
 * (1) links come into being in imap_thread_add, in a forest that tells loops
 *     (forest.c).
 * (4), (6) All messages are sorted by date once.  Whoever then hangs them to
 *     their parents in this order has every set of siblings sorted, and a
 *     dummy stands where its first child does.
 * (2), (3) Only roots may be dummies in the end.  So the parent of a message
 *     is the nearest message above it or, if there is none, the topmost dummy,
 *     which stays if it gets more than one child.
 * (5) Joining by subject changes parents of roots only; then (4) is done
 *     again.
 *
 * ORDEREDSUBJECT is the same with other parents: the first message, by date,
 * of its subject.
 */
#include "protocols/imap/thread.h"

#include "base/err.h"
#include "protocols/imap/keys.h"
#include "protocols/imap/shared.h"

enum {
	PHASE_DATES,
	PHASE_SORT,
	PHASE_SUBJECTS, /* ORDEREDSUBJECT */
	PHASE_PRUNE,
	PHASE_LINK,
	PHASE_TABLE, /* REFERENCES: by subject */
	PHASE_MERGE,
	PHASE_CLEAR,
	PHASE_RELINK,
	PHASE_LATEST, /* REFS: by the latest message */
	PHASE_ROOTS,
	PHASE_SORT_ROOTS,
	PHASE_CHAIN,
	PHASE_DONE,
};

static uint64_t
id_of(const void *arg, uint32_t node)
{
	const struct imap_thread *t = arg;

	return t->v[node].id;
}

static uint64_t
base_of(const void *arg, uint32_t node)
{
	const struct imap_thread *t = arg;

	return t->v[node].base;
}

void
imap_thread_init(struct imap_thread *t, enum imap_thread_kind kind)
{
	*t = (struct imap_thread){ .kind = kind };
	imap_node_table_init(&t->ids, id_of, t);
	imap_node_table_init(&t->subjects, base_of, t);
	imap_forest_init(&t->forest);
	imap_sorter_init(&t->sorter);
}

void
imap_thread_fini(struct imap_thread *t)
{
	imap_forest_fini(&t->forest);
	imap_sorter_fini(&t->sorter);
	imap_shared_free(t->v, t->cap, sizeof(*t->v));
	imap_node_table_fini(&t->ids);
	imap_node_table_fini(&t->subjects);
	imap_shared_free(t->messages, t->cap_messages, sizeof(*t->messages));
	imap_thread_init(t, t->kind);
}

/*
 * The tables are sized ahead for what most mailboxes need: growing them costs
 * time, if not all of it at once.
 */
bool
imap_thread_expect(struct imap_thread *t, size_t n)
{
	assert(t->n == 0);
	return t->kind == IMAP_THREAD_ORDEREDSUBJECT ||
	    imap_node_table_expect(&t->ids, 2 * n);
}

/* --- step 1: links -------------------------------------------------------- */

static uint32_t
new_node(struct imap_thread *t)
{
	uint32_t node = imap_forest_add(&t->forest);
	struct imap_thread_node *v;

	if (node == 0)
		return 0;
	v = imap_shared_grow(t->v, &t->cap, (size_t)node + 1, sizeof(*v));
	if (v == NULL)
		return 0;
	t->v = v;
	t->v[node] = (struct imap_thread_node){ .id = 0 };
	return node;
}

/* The node of an id, made if there is none. */
static uint32_t
node_of(struct imap_thread *t, uint64_t id)
{
	uint32_t *place, node;

	place = imap_node_table_place(&t->ids, id);
	if (place == NULL || *place != 0)
		return place == NULL ? 0 : *place;
	node = new_node(t);
	if (node == 0)
		return 0;
	t->v[node].id = id;
	*place = node;
	imap_node_table_added(&t->ids);
	return node;
}

/* RFC 5256: the first message of an id has it, others get one of their own. */
static uint32_t
message_node(struct imap_thread *t, uint64_t id)
{
	uint32_t node = 0;

	if (id != 0) {
		node = node_of(t, id);
		if (node == 0)
			return 0;
	}
	return node == 0 || t->v[node].number != 0 ? new_node(t) : node;
}

static bool
link_references(struct imap_thread *t, uint32_t node, struct slice ids)
{
	struct imap_forest *f = &t->forest;
	uint32_t before = 0;

	for (size_t k = 1; k < ids.n / 8; k++) {
		uint32_t at = node_of(t, imap_key_id(ids, k));

		if (at == 0)
			return false;
		/* (1) (A): an existing link is not changed */
		if (before != 0 && imap_forest_parent(f, at) == 0)
			(void)imap_forest_join(f, at, before);
		before = at;
	}
	/* (1) (B): the last reference is the parent */
	if (imap_forest_parent(f, node) != before || before == 0) {
		imap_forest_cut(f, node);
		if (before != 0)
			(void)imap_forest_join(f, node, before);
	}
	return true;
}

bool
imap_thread_add(struct imap_thread *t, const struct imap_thread_message *m)
{
	bool linked = t->kind != IMAP_THREAD_ORDEREDSUBJECT;
	uint32_t node, *messages;

	node = message_node(t, linked ? imap_key_id(m->ids, 0) : 0);
	messages = imap_shared_grow(
	    t->messages, &t->cap_messages, t->n + 1, sizeof(*messages));
	if (node == 0 || messages == NULL)
		return false;
	t->messages = messages;
	t->messages[t->n++] = node;
	t->v[node].number = m->number;
	t->v[node].sent = m->sent;
	t->v[node].internal = m->internal;
	t->v[node].reply = m->reply;
	t->v[node].base = m->base.n != 0 ? imap_key_hash(m->base) : 0;
	return !linked || link_references(t, node, m->ids);
}

/* --- order ---------------------------------------------------------------- */

static bool
is_dummy(const struct imap_thread *t, uint32_t node)
{
	return t->v[node].number == 0;
}

/* The message at a place of the order by date. */
static uint32_t
by_date(const struct imap_thread *t, size_t place)
{
	return t->messages[imap_sorter_item(&t->sorter, place)];
}

static int
step_dates(struct imap_thread *t)
{
	if (t->at == 0 && !imap_sorter_begin(&t->sorter, false, false))
		return ERR_LIMIT;
	return imap_sorter_number(&t->sorter, t->v[t->messages[t->at]].sent)
	    ? 0
	    : ERR_LIMIT;
}

/* ORDEREDSUBJECT: the first of a subject is the parent of the others. */
static int
step_subject(struct imap_thread *t)
{
	uint32_t node = by_date(t, t->at), *place;

	if (t->v[node].base == 0)
		t->v[node].base = 1; /* no subject is a subject as well */
	place = imap_node_table_place(&t->subjects, t->v[node].base);
	if (place == NULL)
		return ERR_LIMIT;
	if (*place == 0) {
		*place = node;
		imap_node_table_added(&t->subjects);
	} else {
		t->v[node].parent = *place;
	}
	return 0;
}

/* --- steps 2 and 3: pruning ----------------------------------------------- */

/* The parent that is left of a message; dummies on the way are passed over
 * for good. */
static uint32_t
nearest(struct imap_thread *t, uint32_t node)
{
	struct imap_forest_node *f = t->forest.v;
	uint32_t p = f[node].parent;

	while (p != 0 && is_dummy(t, p) && f[p].parent != 0) {
		uint32_t above = f[p].parent;

		if (is_dummy(t, above) && f[above].parent != 0)
			f[p].parent = f[above].parent;
		p = f[p].parent;
		t->hops++;
	}
	return p;
}

static int
step_prune(struct imap_thread *t)
{
	uint32_t node = t->messages[t->at];

	if (t->kind != IMAP_THREAD_ORDEREDSUBJECT)
		t->v[node].parent = nearest(t, node);
	if (t->v[node].parent != 0)
		t->v[t->v[node].parent].n_children++;
	return 0;
}

/* --- step 4: hanging ------------------------------------------------------ */

static void
append_root(struct imap_thread *t, uint32_t node)
{
	if (t->root_last != 0)
		t->v[t->root_last].next = node;
	else
		t->root_first = node;
	t->root_last = node;
}

static void
append_child(struct imap_thread *t, uint32_t parent, uint32_t node)
{
	struct imap_thread_node *p = &t->v[parent];

	if (p->last != 0)
		t->v[p->last].next = node;
	else
		p->first = node;
	p->last = node;
}

static int
step_link(struct imap_thread *t)
{
	uint32_t node = by_date(t, t->at), p = t->v[node].parent;

	if (p != 0 && is_dummy(t, p) && t->phase == PHASE_LINK &&
	    t->v[p].n_children == 1)
		p = t->v[node].parent = 0;
	if (p != 0 && is_dummy(t, p)) {
		/* (5): a dummy that was joined to another one */
		if (t->v[p].parent != 0)
			p = t->v[node].parent = t->v[p].parent;
		if (t->v[p].first == 0)
			append_root(t, p);
	}
	if (p == 0)
		append_root(t, node);
	else
		append_child(t, p, node);
	return 0;
}

/* --- step 5: subjects ----------------------------------------------------- */

static uint64_t
thread_subject(const struct imap_thread *t, uint32_t root)
{
	return t->v[is_dummy(t, root) ? t->v[root].first : root].base;
}

/* (5) (B) */
static int
step_table(struct imap_thread *t)
{
	uint32_t root = t->cursor, *place, had;
	uint64_t subject = thread_subject(t, root);

	t->cursor = t->v[root].next;
	if (subject == 0)
		return 0;
	place = imap_node_table_place(&t->subjects, subject);
	if (place == NULL)
		return ERR_LIMIT;
	t->v[root].base = subject; /* a dummy has none of its own */
	had = *place;
	if (had == 0) {
		*place = root;
		imap_node_table_added(&t->subjects);
	} else if (!is_dummy(t, had) &&
	    (is_dummy(t, root) || (t->v[had].reply && !t->v[root].reply))) {
		*place = root;
	}
	return 0;
}

/* (5) (C) */
static int
step_merge(struct imap_thread *t)
{
	uint32_t root = t->cursor, *place, had, dummy;
	uint64_t subject = t->v[root].base;

	t->cursor = t->v[root].next;
	if (subject == 0)
		return 0;
	place = imap_node_table_place(&t->subjects, subject);
	if (place == NULL)
		return ERR_LIMIT;
	had = *place;
	if (had == root)
		return 0;
	if (is_dummy(t, had) || (t->v[root].reply && !t->v[had].reply)) {
		/* of two dummies, the children go along when they are hung */
		t->v[root].parent = had;
		return 0;
	}
	dummy = new_node(t);
	if (dummy == 0)
		return ERR_LIMIT;
	t->v[dummy].base = subject;
	t->v[root].parent = t->v[had].parent = dummy;
	*place = dummy;
	return 0;
}

static int
step_clear(struct imap_thread *t)
{
	struct imap_thread_node *n = &t->v[t->at + 1];

	n->first = n->last = n->next = 0;
	return 0;
}

/* --- REFS: the latest message --------------------------------------------- */

/* Through all nodes, each after its parent. */
static int
step_latest(struct imap_thread *t)
{
	uint32_t at = t->cursor;

	if (t->climbing) {
		uint32_t parent = t->v[at].parent;

		t->climbing = t->v[at].next == 0 && parent != 0;
		t->cursor = t->v[at].next != 0 ? t->v[at].next : parent;
		return 0;
	}
	if (t->v[at].parent == 0) {
		t->root = at;
		if (is_dummy(t, at))
			t->v[at].internal = INT64_MIN;
	} else if (t->v[at].internal > t->v[t->root].internal) {
		t->v[t->root].internal = t->v[at].internal;
	}
	if (t->v[at].first != 0)
		t->cursor = t->v[at].first;
	else
		t->climbing = true;
	return 0;
}

/* From the list to an array, with the keys of the sort. */
static int
step_roots(struct imap_thread *t)
{
	uint32_t root = t->cursor;

	if (t->n_roots == 0) {
		imap_sorter_fini(&t->sorter);
		if (!imap_sorter_begin(&t->sorter, false, false))
			return ERR_LIMIT;
	}
	t->messages[t->n_roots++] = root;
	t->cursor = t->v[root].next;
	return imap_sorter_number(&t->sorter, t->v[root].internal) ? 0
								   : ERR_LIMIT;
}

static int
step_chain(struct imap_thread *t)
{
	uint32_t root = by_date(t, t->at);

	if (t->at == 0)
		t->root_first = t->root_last = 0;
	t->v[root].next = 0;
	append_root(t, root);
	return 0;
}

/* --- the run -------------------------------------------------------------- */

/* A phase takes a step for each of so many, or goes along the cursor. */
struct phase {
	int (*step)(struct imap_thread *t);
	bool by_cursor;
};

static const struct phase phases[] = {
	[PHASE_DATES] = { step_dates, false },
	[PHASE_SUBJECTS] = { step_subject, false },
	[PHASE_PRUNE] = { step_prune, false },
	[PHASE_LINK] = { step_link, false },
	[PHASE_TABLE] = { step_table, true },
	[PHASE_MERGE] = { step_merge, true },
	[PHASE_CLEAR] = { step_clear, false },
	[PHASE_RELINK] = { step_link, false },
	[PHASE_LATEST] = { step_latest, true },
	[PHASE_ROOTS] = { step_roots, true },
	[PHASE_CHAIN] = { step_chain, false },
	[PHASE_DONE] = { NULL, false },
};

static size_t
steps_of(const struct imap_thread *t)
{
	if (t->phase == PHASE_CLEAR)
		return t->forest.n - 1;
	return t->phase == PHASE_CHAIN ? t->n_roots : t->n;
}

/* Whether the algorithm has this phase. */
static bool
has_phase(const struct imap_thread *t, unsigned phase)
{
	if (phase == PHASE_SUBJECTS)
		return t->kind == IMAP_THREAD_ORDEREDSUBJECT;
	if (phase >= PHASE_TABLE && phase <= PHASE_RELINK)
		return t->kind == IMAP_THREAD_REFERENCES;
	if (phase >= PHASE_LATEST && phase < PHASE_DONE)
		return t->kind == IMAP_THREAD_REFS;
	return true;
}

static void
next_phase(struct imap_thread *t)
{
	do
		t->phase++;
	while (!has_phase(t, t->phase));
	t->at = 0;
	t->cursor = t->root_first;
	t->climbing = false;
	if (t->phase == PHASE_RELINK)
		t->root_first = t->root_last = 0;
}

int
imap_thread_run(struct imap_thread *t, size_t work)
{
	if (t->n == 0)
		t->phase = PHASE_DONE;
	while (t->phase != PHASE_DONE) {
		const struct phase *p = &phases[t->phase];
		int rc;

		if (t->phase == PHASE_SORT || t->phase == PHASE_SORT_ROOTS) {
			rc = imap_sorter_run(&t->sorter, work);
			if (rc <= 0)
				return rc;
			next_phase(t);
			continue;
		}
		if (p->by_cursor ? t->cursor == 0 : t->at == steps_of(t)) {
			next_phase(t);
			continue;
		}
		if (work-- == 0)
			return 0;
		t->hops = 0;
		rc = p->step(t);
		if (rc != 0)
			return rc;
		t->at++;
		work -= t->hops < work ? t->hops : work;
	}
	return 1;
}

/* --- the response --------------------------------------------------------- */

/* A node, and on to its first child; else back up begins. */
static void
put_node(struct imap_thread *t, struct buf *out)
{
	const struct imap_thread_node *n = &t->v[t->cursor];

	if (n->parent == 0)
		buf_putc(out, '(');
	if (n->number != 0)
		buf_putu(out, n->number);
	t->climbing = n->first == 0;
	if (t->climbing)
		return;
	if (n->number != 0)
		buf_putc(out, ' ');
	if (n->first != n->last)
		buf_putc(out, '(');
	t->cursor = n->first;
}

/* Back from a node that is done: to its sibling, or up to its parent. */
static void
climb(struct imap_thread *t, struct buf *out)
{
	const struct imap_thread_node *n = &t->v[t->cursor];

	if (n->parent == 0) {
		buf_putc(out, ')');
		t->cursor = n->next;
		t->climbing = false;
		return;
	}
	if (t->v[n->parent].first != t->v[n->parent].last)
		buf_putc(out, ')');
	t->climbing = n->next == 0;
	if (!t->climbing)
		buf_putc(out, '(');
	t->cursor = t->climbing ? n->parent : n->next;
}

bool
imap_thread_put(struct imap_thread *t, struct buf *out, size_t max)
{
	size_t before = buf_len(out);

	while (t->cursor != 0 && buf_len(out) - before < max) {
		if (t->climbing)
			climb(t, out);
		else
			put_node(t, out);
	}
	return t->cursor == 0;
}
