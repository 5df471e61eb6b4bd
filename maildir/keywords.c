#include "maildir/keywords.h"

#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "base/mem.h"
#include "maildir/internal.h"

enum {
	KEYWORDS_MAX = KEYWORD_NONE,
	SET_MEMBERS_MAX = 4096,
	NAME_MAX_BYTES = 4096
};

static const uint16_t no_members[1];

size_t
mailbox_n_keywords(const struct mailbox *m)
{
	return m->n_keywords;
}

struct slice
mailbox_keyword(const struct mailbox *m, size_t i)
{
	assert(i < m->n_keywords);
	return m->keywords[i];
}

const uint16_t *
mailbox_keyword_set(const struct mailbox *m, uint32_t set, size_t *n)
{
	/* A set that isn't known can only come of a damaged record. */
	if (set >= m->n_sets || m->sets[set].n == 0) {
		*n = 0;
		return no_members;
	}
	*n = m->sets[set].n;
	return m->sets[set].v;
}

size_t
mailbox_keyword_find(const struct mailbox *m, struct slice name)
{
	for (size_t i = 0; i < m->n_keywords; i++)
		if (slice_ieq(m->keywords[i], name))
			return i;
	return SIZE_MAX;
}

static void
add_keyword(struct mailbox *m, struct slice name)
{
	m->keywords =
	    mem_realloc(m->keywords, m->n_keywords + 1, sizeof(*m->keywords));
	m->keywords[m->n_keywords++] = slice_of(slice_dup(name), name.n);
}

/* A set's name in the table of their numbers. */
static struct slice
set_members(const void *array, size_t i)
{
	const struct keyword_set *s = (const struct keyword_set *)array + i;

	return slice_of(s->v, s->n * sizeof(*s->v));
}

static void
add_set(struct mailbox *m, const uint16_t *v, size_t n)
{
	struct keyword_set *s;

	m->sets = mem_realloc(m->sets, m->n_sets + 1, sizeof(*m->sets));
	s = &m->sets[m->n_sets++];
	s->n = (uint32_t)n;
	s->v = mem_alloc(n * sizeof(*v));
	if (n != 0)
		memcpy(s->v, v, n * sizeof(*v));
}

void
keywords_truncate(struct mailbox *m, size_t n_keywords, size_t n_sets)
{
	while (m->n_keywords > n_keywords) {
		union {
			const uint8_t *in;
			void *out;
		} p = { m->keywords[--m->n_keywords].p };

		free(p.out);
	}
	while (m->n_sets > n_sets) {
		m->n_sets--;
		if (m->n_numbers > m->n_sets) {
			name_table_remove(&m->set_numbers,
			    set_members(m->sets, m->n_sets), m->n_sets);
			m->n_numbers = m->n_sets;
		}
		free(m->sets[m->n_sets].v);
	}
}

void
keywords_fini(struct mailbox *m)
{
	name_table_fini(&m->set_numbers);
	m->n_numbers = 0;
	keywords_truncate(m, 0, 0);
	free(m->keywords);
	free(m->sets);
	m->keywords = NULL;
	m->sets = NULL;
}

static bool
add_set_blob(struct mailbox *m, struct slice blob)
{
	uint16_t v[SET_MEMBERS_MAX];
	size_t n = blob.n / 2;

	if (blob.n % 2 != 0 || n > NELEMS(v))
		return false;
	for (size_t i = 0; i < n; i++)
		v[i] = (uint16_t)le_get(blob.p + 2 * i, 2);
	add_set(m, v, n);
	return true;
}

int
keywords_load(
    struct mailbox *m, size_t n_keywords, size_t n_sets, struct err *e)
{
	struct db *db = &m->account->db;
	sqlite3_stmt *s;
	int rc;

	if (m->n_sets == 0)
		add_set(m, NULL, 0);
	if (n_keywords > m->n_keywords) {
		s = db_stmt(db, DB_KEYWORD_LIST);
		db_bind_i64(s, 1, m->id);
		db_bind_u64(s, 2, m->n_keywords);
		while ((rc = db_step(db, s, e)) == 1) {
			if (db_column_u64(s, 0) != m->n_keywords)
				break;
			add_keyword(m, db_column_blob(s, 1));
		}
		if (rc < 0)
			return rc;
		(void)sqlite3_reset(s);
	}
	if (n_sets > m->n_sets) {
		s = db_stmt(db, DB_SET_LIST);
		db_bind_i64(s, 1, m->id);
		db_bind_u64(s, 2, m->n_sets);
		while ((rc = db_step(db, s, e)) == 1)
			if (db_column_u64(s, 0) != m->n_sets ||
			    !add_set_blob(m, db_column_blob(s, 1)))
				break;
		if (rc < 0)
			return rc;
		(void)sqlite3_reset(s);
	}
	if (m->n_keywords < n_keywords || m->n_sets < n_sets)
		return err_set(e, ERR_DAMAGED, "keywords are missing");
	return 0;
}

int
keyword_add(struct mailbox *m, struct slice name, uint16_t *out, struct err *e)
{
	sqlite3_stmt *s;
	int rc;

	if (m->n_keywords >= KEYWORDS_MAX || name.n == 0 ||
	    name.n > NAME_MAX_BYTES)
		return err_set(e, ERR_LIMIT, "too many keywords");
	s = db_stmt(&m->account->db, DB_KEYWORD_PUT);
	db_bind_i64(s, 1, m->id);
	db_bind_u64(s, 2, m->n_keywords);
	db_bind_blob(s, 3, name);
	if ((rc = db_run(&m->account->db, s, e)) != 0)
		return rc;
	*out = (uint16_t)m->n_keywords;
	add_keyword(m, name);
	return 0;
}

int
keywords_intern(
    struct mailbox *m, struct slice name, uint16_t *out, struct err *e)
{
	size_t i = mailbox_keyword_find(m, name);

	if (i == SIZE_MAX)
		return keyword_add(m, name, out, e);
	*out = (uint16_t)i;
	return 0;
}

static int
put_set(struct mailbox *m, const uint16_t *v, size_t n, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&m->account->db, DB_SET_PUT);
	struct buf b;
	int rc;

	buf_init(&b, SET_MEMBERS_MAX * 2);
	for (size_t i = 0; i < n; i++)
		le_put(&b, v[i], 2);
	db_bind_i64(s, 1, m->id);
	db_bind_u64(s, 2, m->n_sets);
	db_bind_blob(s, 3, buf_slice(&b));
	rc = db_run(&m->account->db, s, e);
	buf_fini(&b);
	return rc;
}

int
keyword_set_add(struct mailbox *m, const uint16_t *v, size_t n, uint32_t *out,
    struct err *e)
{
	int rc;

	if (n > SET_MEMBERS_MAX || m->n_sets >= UINT32_MAX)
		return err_set(e, ERR_LIMIT, "too many keywords of a message");
	if ((rc = put_set(m, v, n, e)) != 0)
		return rc;
	*out = (uint32_t)m->n_sets;
	add_set(m, v, n);
	return 0;
}

int
keyword_set_intern(struct mailbox *m, const uint16_t *v, size_t n,
    uint32_t *out, struct err *e)
{
	size_t set;

	/* Only who changes keywords needs the table. */
	for (; m->n_numbers < m->n_sets; m->n_numbers++)
		(void)name_table_put(&m->set_numbers,
		    set_members(m->sets, m->n_numbers), set_members, m->sets,
		    m->n_numbers);
	set = name_table_find(
	    &m->set_numbers, slice_of(v, n * sizeof(*v)), set_members, m->sets);
	if (set == SIZE_MAX)
		return keyword_set_add(m, v, n, out, e);
	*out = (uint32_t)set;
	return 0;
}

/* Put v into the ascending list if it isn't there. */
static size_t
insert_sorted(uint16_t *list, size_t n, uint16_t v)
{
	size_t at = n;

	while (at > 0 && list[at - 1] >= v)
		at--;
	if (at < n && list[at] == v)
		return n;
	memmove(list + at + 1, list + at, (n - at) * sizeof(*list));
	list[at] = v;
	return n + 1;
}

size_t
keywords_find_all(
    const struct mailbox *m, const struct slice *names, size_t n, uint16_t *v)
{
	size_t n_v = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = mailbox_keyword_find(m, names[i]);

		if (k != SIZE_MAX)
			n_v = insert_sorted(v, n_v, (uint16_t)k);
	}
	return n_v;
}

int
keywords_intern_all(struct mailbox *m, const struct slice *names, size_t n,
    uint16_t *v, size_t *n_v, struct err *e)
{
	size_t max = m->account->store->opt.keywords_max, n_list = 0;
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		uint16_t k;

		if (max != 0 && m->n_keywords >= max &&
		    mailbox_keyword_find(m, names[i]) == SIZE_MAX)
			rc = err_set(e, ERR_LIMIT, "too many keywords");
		else
			rc = keywords_intern(m, names[i], &k, e);
		if (rc == 0)
			n_list = insert_sorted(v, n_list, k);
	}
	if (rc == 0)
		*n_v = n_list;
	return rc;
}

int
keyword_set_of_names(struct mailbox *m, const struct slice *names, size_t n,
    uint32_t *out, struct err *e)
{
	uint16_t *list = mem_alloc((n + 1) * sizeof(*list));
	size_t n_list = 0;
	int rc = keywords_intern_all(m, names, n, list, &n_list, e);

	if (rc == 0)
		rc = keyword_set_intern(m, list, n_list, out, e);
	free(list);
	return rc;
}

/* --- from one mailbox to another ------------------------------------------ */

void
keyword_map_fini(struct keyword_map *map)
{
	free(map->to);
	*map = (struct keyword_map){ .to = NULL };
}

/* Room for all keywords of the mailbox. */
static void
map_grow(struct keyword_map *map, const struct mailbox *from)
{
	if (map->n >= from->n_keywords)
		return;
	map->to = mem_realloc(map->to, from->n_keywords, sizeof(*map->to));
	while (map->n < from->n_keywords)
		map->to[map->n++] = KEYWORD_NONE;
}

/* What exists already comes along, whatever KEYWORDS_MAX says. */
static int
map_set(struct mailbox *m, const struct mailbox *from, const uint16_t *v,
    size_t n, struct keyword_map *map, uint32_t *out, struct err *e)
{
	uint16_t *list = mem_alloc(n * sizeof(*list));
	size_t n_list = 0;
	int rc = 0;

	map_grow(map, from);
	for (size_t i = 0; i < n && rc == 0; i++) {
		uint16_t *to = &map->to[v[i]];

		if (*to == KEYWORD_NONE)
			rc = keywords_intern(
			    m, mailbox_keyword(from, v[i]), to, e);
		if (rc == 0)
			n_list = insert_sorted(list, n_list, *to);
	}
	if (rc == 0)
		rc = keyword_set_intern(m, list, n_list, out, e);
	free(list);
	return rc;
}

int
keyword_set_copy(struct mailbox *m, const struct mailbox *from, uint32_t set,
    struct keyword_map *map, uint32_t *out, struct err *e)
{
	size_t n;
	const uint16_t *v = mailbox_keyword_set(from, set, &n);
	int rc;

	if (m == from || n == 0) {
		*out = n == 0 ? 0 : set;
		return 0;
	}
	if (!map->has_set || map->from_set != set) {
		rc = map_set(m, from, v, n, map, &map->to_set, e);
		if (rc != 0)
			return rc;
		map->from_set = set;
		map->has_set = true;
	}
	*out = map->to_set;
	return 0;
}
