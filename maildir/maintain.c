#include "maildir/maintain.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "maildir/dir.h"
#include "maildir/internal.h"
#include "maildir/name.h"
#include "maildir/quota.h"
#include "maildir/quota_file.h"
#include "maildir/row.h"

struct compare {
	struct mailbox *m; /* NULL: not indexed */
	uint8_t *seen;	   /* a byte for each message of the view */
	struct maintain_diff *out;
};

static void
compare_file(struct compare *c, struct slice name, bool in_new)
{
	struct file_name f;
	struct chunk *chunk;
	uint32_t uid, i, seq;

	if (name.p[0] == '.')
		return;
	c->out->files++;
	if (c->m == NULL)
		return;
	file_name_parse(name, in_new, &f);
	uid = mailbox_find_base(c->m, f.base);
	if (uid == 0 || !mailbox_find(c->m, uid, &chunk, &i)) {
		c->out->unknown++;
		return;
	}
	c->out->changed += chunk_place(chunk, i) != f.place;
	if ((seq = view_find(c->m->head, uid)) != 0)
		c->seen[seq - 1] = 1;
}

static int
compare_dir(struct compare *c, int root_fd, const char *dir, const char *sub,
    struct err *e)
{
	struct dir_reader r;
	struct slice name;
	char *path = mem_printf("%s%s%s", dir, dir[0] != '\0' ? "/" : "", sub);
	int rc = 0;

	if (dir_reader_open(&r, root_fd, path) < 0) {
		rc = err_sys(e, "read %s", path);
	} else {
		while (dir_reader_next(&r, &name))
			compare_file(c, name, sub[0] == 'n');
		if (r.failed)
			rc = err_set(e, ERR_SYS, "read %s", path);
		dir_reader_close(&r);
	}
	free(path);
	return rc;
}

static int
compare(struct account *a, struct slice name, const char *dir,
    struct maintain_diff *out, struct err *e)
{
	struct compare c = { .out = out };
	int64_t id;
	int rc = mailbox_row_find(a, slice_str(dir), &id, NULL, e);

	if (rc < 0 || (rc == 1 && (rc = mailbox_open(a, name, &c.m, e)) != 0))
		return rc;
	if (c.m != NULL && (rc = mailbox_need_names(c.m, NULL, e)) != 0) {
		mailbox_close(&c.m);
		return rc;
	}
	if (c.m != NULL) {
		out->indexed = true;
		out->uidvalidity = c.m->uidvalidity;
		out->uidnext = c.m->uidnext;
		out->messages = c.m->head->count;
		out->highest_modseq = c.m->modseq;
		c.seen = mem_zalloc(out->messages + 1, 1);
	}
	if ((rc = compare_dir(&c, a->root_fd, dir, "new", e)) == 0)
		rc = compare_dir(&c, a->root_fd, dir, "cur", e);
	for (uint32_t i = 0; i < out->messages; i++)
		out->missing += c.seen[i] == 0;
	free(c.seen);
	mailbox_close(&c.m);
	return rc;
}

int
maintain_compare(struct account *a, struct slice name,
    struct maintain_diff *out, struct err *e)
{
	struct buf dir;
	int rc;

	*out = (struct maintain_diff){ 0 };
	if ((rc = account_open(a, e)) != 0)
		return rc;
	buf_init(&dir, 1024);
	rc = name_to_dir(a->root_fd, name, &dir);
	if (rc != 0)
		(void)err_set(e, rc, "no such mailbox");
	else
		rc = compare(a, name, buf_cstr(&dir), out, e);
	buf_fini(&dir);
	return rc;
}

void
maintain_distrust(struct mailbox *m)
{
	MAGIC_CHECK(m, MAILBOX_MAGIC);
	scan_distrust(m);
}

static void
give_quota(const struct quota_usage *u, struct account_quota *out)
{
	*out = (struct account_quota){ (uint64_t)u->bytes, u->bytes_max,
		(uint64_t)u->messages, u->messages_max };
}

int
maintain_quota(struct account *a, bool write, struct account_quota *was,
    struct account_quota *now, struct err *e)
{
	struct quota_usage u;
	int rc;

	*was = *now = (struct account_quota){ 0 };
	if ((rc = account_open(a, e)) != 0)
		return rc;
	if (!quota_active(a))
		return err_set(e, ERR_NOT_FOUND, "no quota");
	if (quota_file_read(a->root_fd, &u) == 0)
		give_quota(&u, was);
	if ((rc = quota_count(a, write, &u, e)) == 0)
		give_quota(&u, now);
	return rc;
}
