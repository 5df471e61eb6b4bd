#include "maildir/export_files.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "maildir/keywords.h"
#include "maildir/quota.h"

#define KEYWORD_DIR "courierimapkeywords"

enum {
	WRITE_SLICE = 2000, /* lines in a piece, or: */
	ASKED_COST = 20,    /* files whose size the disk is asked */
	BYTES_MAX = 64 * 1024 * 1024,
	FILE_MODE = 0600,
};

static const char *const names[EXPORT_N_FILES] = {
	[EXPORT_UIDS] = "courierimapuiddb",
	[EXPORT_KEYWORDS] = KEYWORD_DIR "/:list",
	[EXPORT_SIZELIST] = "courierpop3dsizelist",
};

/* --- begin ---------------------------------------------------------------- */

void
export_files_begin(struct export_files *f, struct mailbox *m)
{
	*f = (struct export_files){ .m = m,
		.v = view_ref(m->shown),
		.uidvalidity = m->uidvalidity,
		.uidnext = m->shown->uidnext,
		.pop3_next = m->pop3_next,
		.pop3_uidvalidity = m->pop3_uidvalidity,
		.has_sizelist = m->dir[0] == '\0' && m->pop3_next != 0,
		.n_used = m->n_sets,
		.seq = 1 };
	for (int i = 0; i < EXPORT_N_FILES; i++)
		f->fd[i] = -1;
	f->dir_fd[0] = f->dir_fd[1] = -1;
	pop3_ids_init(&f->ids);
	f->used = mem_zalloc(f->n_used + 1, sizeof(*f->used));
	listing_begin(&f->list, f->v);
	f->loaded = !f->has_sizelist;
}

/* Which keywords they have, and their place in a drop listing; true: there are
 * more of them. */
static bool
look_at_messages(struct export_files *f, int *work)
{
	for (; f->seq <= f->v->count && *work > 0; f->seq++, (*work)--) {
		const struct message *msg = view_get(f->v, f->seq);

		if (msg->keywords < f->n_used)
			f->used[msg->keywords] = true;
		if (f->has_sizelist)
			listing_add(&f->list, f->seq, 0);
	}
	return f->seq <= f->v->count;
}

/* Number the keywords that messages have. */
static void
number_keywords(struct export_files *f)
{
	const struct mailbox *m = f->m;
	uint16_t last = 0;

	f->n_keywords = m->n_keywords;
	f->numbers = mem_zalloc(m->n_keywords + 1, sizeof(*f->numbers));
	for (size_t s = 0; s < f->n_used && s < m->n_sets; s++)
		for (size_t i = 0; f->used[s] && i < m->sets[s].n; i++)
			f->numbers[m->sets[s].v[i]] = 1;
	for (size_t i = 0; i < m->n_keywords; i++)
		if (f->numbers[i] != 0)
			f->numbers[i] = ++last;
	f->has_keywords = last != 0;
}

/* Ids may have been given while they were read: numbers are never given twice,
 * by whomever. */
static void
raise_pop3_next(struct export_files *f)
{
	for (size_t i = 0; i < f->ids.n; i++) {
		const struct pop3_id *id = &f->ids.v[i];

		if (id->uidvalidity == f->pop3_uidvalidity &&
		    id->n >= f->pop3_next && id->n < UINT32_MAX)
			f->pop3_next = id->n + 1;
	}
}

int
export_files_prepare(struct export_files *f, struct err *e)
{
	int work = PIECE_WORK, rc = 0;

	if (!f->loaded) {
		rc = account_db_failed(f->m->account,
		    pop3_ids_load_some(f->m, &f->ids, &f->loader, &work, e));
		f->loaded = rc == 0;
	}
	if (rc != 0)
		return rc;
	if (!f->listed && look_at_messages(f, &work))
		return 1;
	f->listed = true;
	if (work <= 0 || listing_sort(&f->list, &work))
		return 1;
	number_keywords(f);
	raise_pop3_next(f);
	f->seq = 0;
	return 0;
}

void
export_files_noted(struct export_files *f)
{
	f->replaced = false;
}

void
export_files_fini(struct export_files *f)
{
	if (f->m == NULL)
		return;
	for (int i = 0; i < EXPORT_N_FILES; i++) {
		if (f->fd[i] >= 0)
			(void)close(f->fd[i]);
		/* what was replaced tells that it was, until that is noted */
		if (f->tmp[i] != NULL && !(i == EXPORT_KEYWORDS && f->replaced))
			(void)!fsx_unlink(f->m->account->root_fd, f->tmp[i]);
		free(f->tmp[i]);
	}
	for (size_t i = 0; i < NELEMS(f->dir_fd); i++)
		if (f->dir_fd[i] >= 0)
			(void)close(f->dir_fd[i]);
	view_unref(&f->v);
	pop3_ids_fini(&f->ids);
	listing_fini(&f->list);
	free(f->used);
	free(f->numbers);
	*f = (struct export_files){ 0 };
}

/* --- the lines ------------------------------------------------------------ */

static bool
is_line(struct slice s)
{
	return s.n != 0 && !slice_has(s, '\n') && !slice_has(s, '\r');
}

/* Each returns what it took, in lines. */
static int
put_uid(
    struct export_files *f, struct buf *out, const struct chunk *c, uint32_t i)
{
	struct slice base = chunk_base(c, i);

	(void)f;
	if (!is_line(base))
		return 1;
	buf_putf(out, "%u ", chunk_uid(c, i));
	buf_put(out, base);
	buf_putc(out, '\n');
	return 1;
}

static int
put_keywords(
    struct export_files *f, struct buf *out, const struct chunk *c, uint32_t i)
{
	struct slice base = chunk_base(c, i);
	size_t n;
	const uint16_t *v =
	    mailbox_keyword_set(f->m, chunk_message(c, i)->keywords, &n);

	if (n == 0 || !is_line(base))
		return 1;
	buf_put(out, base);
	for (size_t k = 0; k < n; k++)
		if (v[k] < f->n_keywords && f->numbers[v[k]] != 0)
			buf_putf(out, "%c%u", k == 0 ? ':' : ' ',
			    f->numbers[v[k]] - 1u);
	buf_putc(out, '\n');
	return 1;
}

/* As quota_size(); *cost: what it took. */
static uint64_t
size_of(struct export_files *f, const struct chunk *c, uint32_t i, int *cost)
{
	struct message_info info;
	uint64_t size;

	if (file_name_size(chunk_base(c, i), &size))
		return size;
	if (mailbox_message_info(f->m, chunk_uid(c, i), &info) != 0) {
		*cost = ASKED_COST;
		return 0;
	}
	if (info.asked)
		*cost = ASKED_COST;
	return info.file_size;
}

/* Courier takes what stands here for granted, sizes too. */
static int
put_size(
    struct export_files *f, struct buf *out, const struct chunk *c, uint32_t i)
{
	const struct pop3_id *id = pop3_ids_find(&f->ids, chunk_uid(c, i));
	const struct fixed *fixed = chunk_fixed(c, i);
	uint64_t size = fixed->wire_size;
	struct buf name;
	int cost = 1;

	/* a text of Dovecot's can't be said in this file */
	if (id == NULL || (id->n == 0 && id->text_n != 0) ||
	    !is_line(chunk_base(c, i)))
		return cost;
	if (id->size != SIZE_UNKNOWN)
		size = id->size;
	if (size == SIZE_UNKNOWN)
		size = size_of(f, c, i, &cost);
	buf_init(&name, 1024);
	buf_puts(out, message_name(&name, c, i));
	/* Courier moves it to cur/ when it opens the mailbox. */
	if (chunk_place(c, i) & PLACE_NEW && !(chunk_place(c, i) & PLACE_INFO))
		buf_puts(out, ":2,");
	buf_putf(out, " %llu %u:%u:%d\n", (unsigned long long)size, id->n,
	    id->uidvalidity,
	    id->utf8 == UTF8_UNKNOWN ? fixed->header == HEADER_8BIT
				     : id->utf8 == UTF8_YES);
	buf_fini(&name);
	return cost;
}

static void
put_head(struct export_files *f, struct buf *out)
{
	switch (f->which) {
	case EXPORT_UIDS:
		buf_putf(out, "1 %u %u\n", f->uidvalidity, f->uidnext);
		break;
	case EXPORT_KEYWORDS:
		for (size_t i = 0; i < f->n_keywords; i++)
			if (f->numbers[i] != 0) {
				buf_put(out, f->m->keywords[i]);
				buf_putc(out, '\n');
			}
		buf_putc(out, '\n');
		break;
	case EXPORT_SIZELIST:
		buf_putf(out, "/3 %u %u\n", f->pop3_next, f->pop3_uidvalidity);
		break;
	case EXPORT_N_FILES:
		break;
	}
}

/* --- writing -------------------------------------------------------------- */

static int
make_file(struct export_files *f, struct err *e)
{
	struct account *a = f->m->account;
	struct file_unique u = store_unique(a->store, store_wall(a->store));
	struct buf tmp;
	int rc = 0;

	buf_init(&tmp, 2048);
	mailbox_put_path(f->m, &tmp, "tmp/");
	file_name_tmp(&tmp, &u);
	f->fd[f->which] = fsx_create(a->root_fd, buf_cstr(&tmp), FILE_MODE);
	if (f->fd[f->which] < 0)
		rc = err_sys(e, "create %s", buf_cstr(&tmp));
	else
		f->tmp[f->which] = mem_strdup(buf_cstr(&tmp));
	buf_fini(&tmp);
	return rc;
}

static void
put_lines(struct export_files *f, struct buf *out)
{
	static int (*const put[EXPORT_N_FILES])(struct export_files *,
	    struct buf *, const struct chunk *, uint32_t) = {
		[EXPORT_UIDS] = put_uid,
		[EXPORT_KEYWORDS] = put_keywords,
		[EXPORT_SIZELIST] = put_size,
	};

	for (int cost = 0; cost < WRITE_SLICE && f->seq <= f->v->count;) {
		uint32_t i,
		    seq = f->which == EXPORT_SIZELIST
		    ? f->list.v[f->seq - 1].seq
		    : f->seq;
		const struct chunk *c = view_at(f->v, seq, &i);

		cost += put[f->which](f, out, c, i);
		f->seq++;
	}
}

static bool
is_wanted(const struct export_files *f)
{
	return f->which == EXPORT_UIDS ||
	    (f->which == EXPORT_KEYWORDS && f->has_keywords) ||
	    (f->which == EXPORT_SIZELIST && f->has_sizelist);
}

int
export_files_write(struct export_files *f, struct err *e)
{
	struct buf out;
	int rc = 0;

	while (f->which < EXPORT_N_FILES && !is_wanted(f))
		f->which++;
	if (f->which == EXPORT_N_FILES)
		return 0;
	buf_init(&out, BYTES_MAX);
	if (f->seq == 0) {
		rc = make_file(f, e);
		put_head(f, &out);
		f->seq = 1;
	}
	put_lines(f, &out);
	if (rc == 0 && !buf_ok(&out))
		rc = err_set(e, ERR_LIMIT, "too large");
	if (rc == 0 && fsx_write_all(f->fd[f->which], buf_slice(&out)) < 0)
		rc = err_sys(e, "write %s", names[f->which]);
	buf_fini(&out);
	if (f->seq > f->v->count) {
		f->which++;
		f->seq = 0;
	}
	return rc != 0 ? rc : 1;
}

void
export_files_sync_fds(struct export_files *f, struct sync_fds *fds)
{
	for (int i = 0; i < EXPORT_N_FILES; i++)
		sync_fds_add(fds, f->fd[i], SYNC_DATA);
}

/* Give the list the name by which it is found after a crash. */
static int
put_aside(struct export_files *f, struct err *e)
{
	char **tmp = &f->tmp[EXPORT_KEYWORDS];
	int root_fd = f->m->account->root_fd, rc = 0;
	struct buf to;

	buf_init(&to, 2048);
	import_put_aside(f->m, &f->prints[EXPORT_KEYWORDS], &to);
	if (fsx_rename(root_fd, *tmp, root_fd, buf_cstr(&to)) < 0) {
		rc = err_sys(e, "rename %s", *tmp);
	} else {
		free(*tmp);
		*tmp = mem_strdup(buf_cstr(&to));
	}
	buf_fini(&to);
	return rc;
}

int
export_files_look(struct export_files *f, struct err *e)
{
	struct stat st;

	for (int i = 0; i < EXPORT_N_FILES; i++) {
		if (f->tmp[i] == NULL)
			continue;
		if (fstat(f->fd[i], &st) < 0)
			return err_sys(e, "stat %s", f->tmp[i]);
		f->prints[i] = import_print(&st);
	}
	return f->tmp[EXPORT_KEYWORDS] != NULL ? put_aside(f, e) : 0;
}

/*
 * Let the new list and what is there change places (import_placing.c).  An
 * empty list says what none does.  1; 0: they can't; ERR_*.
 */
static int
exchange(struct export_files *f, const char *to, struct err *e)
{
	int root_fd = f->m->account->root_fd, fd;
	struct stat st;

	if (fsx_stat(root_fd, to, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return 0;
	} else {
		fd = fsx_create(root_fd, to, FILE_MODE);
		if (fd < 0 && errno != EEXIST)
			return err_sys(e, "create %s", to);
		if (fd >= 0)
			(void)close(fd);
	}
	if (fsx_exchange(root_fd, f->tmp[EXPORT_KEYWORDS], root_fd, to) < 0)
		return 0;
	f->replaced = true;
	return 1;
}

static int
place_file(struct export_files *f, enum export_file which, const char *to,
    struct err *e)
{
	int root_fd = f->m->account->root_fd, rc = 0;

	if (which == EXPORT_KEYWORDS && (rc = exchange(f, to, e)) != 0)
		return rc < 0 ? rc : 0;
	if (fsx_rename(root_fd, f->tmp[which], root_fd, to) < 0)
		return err_sys(e, "rename %s", names[which]);
	free(f->tmp[which]);
	f->tmp[which] = NULL;
	return 0;
}

static int
place_one(struct export_files *f, enum export_file which, struct err *e)
{
	int root_fd = f->m->account->root_fd, rc = 0;
	struct buf to;

	buf_init(&to, 2048);
	mailbox_put_path(f->m, &to, names[which]);
	if (f->tmp[which] != NULL) {
		rc = place_file(f, which, buf_cstr(&to), e);
	} else if (which == EXPORT_KEYWORDS && !f->has_keywords &&
	    fsx_unlink(root_fd, buf_cstr(&to)) < 0 && errno != ENOENT &&
	    errno != ENOTDIR) {
		rc = err_sys(e, "remove %s", names[which]);
	}
	buf_fini(&to);
	return rc;
}

int
export_files_place(struct export_files *f, struct err *e)
{
	struct account *a = f->m->account;
	struct buf dir;
	struct stat st;
	int rc = 0;

	if (f->has_keywords) {
		buf_init(&dir, 2048);
		mailbox_put_path(f->m, &dir, KEYWORD_DIR);
		if (fsx_mkdir(a->root_fd, buf_cstr(&dir), 0700) < 0 &&
		    errno != EEXIST)
			rc = err_sys(e, "mkdir %s", buf_cstr(&dir));
		else if (fsx_stat(a->root_fd, buf_cstr(&dir), &st) < 0 ||
		    !S_ISDIR(st.st_mode))
			rc = err_set(e, ERR_INVALID, "%s is no directory",
			    buf_cstr(&dir));
		buf_fini(&dir);
	}
	for (int i = 0; i < EXPORT_N_FILES && rc == 0; i++)
		rc = place_one(f, (enum export_file)i, e);
	return rc;
}

int
export_files_sync_dirs(
    struct export_files *f, struct sync_fds *fds, struct err *e)
{
	static const char *const dirs[] = { ".", KEYWORD_DIR };
	struct buf path;
	int rc = 0;

	for (size_t i = 0; i < NELEMS(dirs) && rc == 0; i++) {
		buf_init(&path, 2048);
		mailbox_put_path(f->m, &path, dirs[i]);
		f->dir_fd[i] =
		    fsx_open_dir(f->m->account->root_fd, buf_cstr(&path));
		/* without keywords it needn't be there */
		if (f->dir_fd[i] < 0 && (i == 0 || errno != ENOENT))
			rc = err_sys(e, "open %s", buf_cstr(&path));
		sync_fds_add(fds, f->dir_fd[i], SYNC_FILE);
		buf_fini(&path);
	}
	return rc;
}
