/*
 * What a database knows of itself: the file and the boot it was last used in,
 * and whether clients were told of changes that may not be on the disk yet.
 * Where that isn't as it was, open.c tells what follows.
 */
#include <sys/random.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/log.h"
#include "base/num.h"
#include "maildir/blob.h"
#include "maildir/internal.h"

/* In meta: what clients were told last may not be on the disk yet. */
#define CHANGING "changing"

int64_t
account_boot_number(void)
{
	static int64_t known;
	char text[64];
	ssize_t n;
	int fd;

	if (known != 0)
		return known;
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text));
	(void)close(fd);
	if (n > 0)
		known = (int64_t)(blob_sum(slice_of(text, (size_t)n)) >> 1 | 1);
	return known;
}

static int64_t
random_number(void)
{
	uint64_t v = 0;

	if (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v))
		v = (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
	return (int64_t)(v >> 1 | 1);
}

/* What the second file says of the last UIDVALIDITY given. */
static int64_t
last_uidvalidity(const struct account *a)
{
	char text[32];
	int fd = fsx_open_read(a->root_fd, LAST_NAME, NULL);
	ssize_t n;
	uint64_t v = 0;

	if (fd < 0)
		return 0;
	n = fsx_pread(fd, text, sizeof(text), 0);
	(void)close(fd);
	if (n > 0 && num_u64(slice_trim(slice_of(text, (size_t)n)), &v) &&
	    v < UINT32_MAX)
		return (int64_t)v;
	return 0;
}

struct facts {
	int64_t ino, boot, identity, changing, rebuilt;
	bool has; /* all but changing and rebuilt */
};

/* Of one query: the account waits for it at each opening. */
static int
read_facts(struct db *db, struct facts *out, struct err *e)
{
	struct facts f = { 0 };
	const struct {
		const char *key;
		int64_t *value;
	} wanted[] = {
		{ "inode", &f.ino },
		{ "boot", &f.boot },
		{ "identity", &f.identity },
		{ CHANGING, &f.changing },
		{ "rebuilt", &f.rebuilt },
	};
	sqlite3_stmt *s = db_stmt(db, DB_META_LIST);
	int rc;

	while ((rc = db_step(db, s, e)) == 1) {
		struct slice key = db_column_blob(s, 0);

		for (size_t i = 0; i < NELEMS(wanted); i++)
			if (slice_eq(key, slice_str(wanted[i].key)))
				*wanted[i].value = sqlite3_column_int64(s, 1);
		f.has = f.has || slice_eq(key, slice_str("inode"));
	}
	if (rc == 0)
		*out = f;
	return rc;
}

/* Whether it is the file that was used last, in the same boot. */
static bool
is_as_left(const struct account *a, const struct facts *f)
{
	int64_t boot = account_boot_number();

	return f->has && f->ino == (int64_t)a->db_ino &&
	    (f->boot == boot || boot == 0);
}

/* To clients everything has changed since whatever they know. */
static int
doubt(struct account *a, struct err *e)
{
	return db_run(&a->db, db_stmt(&a->db, DB_MAILBOX_DOUBT), e);
}

int
account_note_change(struct account *a, bool *noted, struct err *e)
{
	int64_t changing = 0;
	int rc = db_meta_get(&a->db, CHANGING, &changing, e);

	if (rc < 0)
		return rc;
	a->changing = true;
	*noted = changing != 0;
	return *noted ? 0 : db_meta_set(&a->db, CHANGING, 1, e);
}

void
account_note_rest(struct account *a)
{
	/* should this fail, all is doubted after a loss of power, no more */
	if (a->changing && !a->db.in_txn)
		(void)!db_meta_set(&a->db, CHANGING, 0, NULL);
	a->changing = false;
	for (struct mailbox *m = a->mailboxes; m != NULL; m = m->next)
		m->change_noted = false;
}

static int
jump(struct account *a, int64_t uids, int64_t modseqs, struct err *e)
{
	sqlite3_stmt *s = db_stmt(&a->db, DB_MAILBOX_JUMP);

	db_bind_i64(s, 1, uids);
	db_bind_i64(s, 2, modseqs);
	return db_run(&a->db, s, e);
}

static int
note_facts(struct account *a, const struct facts *f, struct err *e)
{
	struct db *db = &a->db;
	int rc;

	if ((rc = db_meta_set(db, "inode", f->ino, e)) != 0 ||
	    (rc = db_meta_set(db, "boot", f->boot, e)) != 0 ||
	    (rc = db_meta_set(db, "identity", f->identity, e)) != 0)
		return rc;
	if (f->has)
		return 0;
	if ((rc = db_meta_set(db, "rebuilt", f->rebuilt, e)) != 0)
		return rc;
	return db_meta_set(db, "uidvalidity", last_uidvalidity(a), e);
}

/* See to it that nothing is ever given out twice. */
static int
mend_facts(struct account *a, struct facts *f, struct err *e)
{
	struct facts was = *f;
	int rc = 0;

	f->ino = (int64_t)a->db_ino;
	f->boot = account_boot_number();
	/* what was noted in maildirsize was never synced */
	a->quota_stale = was.has;
	if (!was.has) {
		f->identity = random_number();
		/* A second file without a database: there was one. */
		f->rebuilt = last_uidvalidity(a) != 0;
	} else if (was.ino != f->ino) {
		log_warn(
		    "maildir: database restored from a copy path=%s", a->path);
		f->identity = random_number();
		rc = jump(a, UIDNEXT_JUMP_RESTORED, UIDNEXT_JUMP_RESTORED, e);
		if (rc == 0)
			rc = doubt(a, e);
	} else {
		rc = jump(a, UIDNEXT_JUMP_BOOT, MODSEQ_BLOCK, e);
		if (rc == 0 && was.changing != 0)
			rc = doubt(a, e);
	}
	if (rc == 0 && was.changing != 0)
		rc = db_meta_set(&a->db, CHANGING, 0, e);
	return rc < 0 ? rc : note_facts(a, f, e);
}

int
account_check_facts(struct account *a, struct err *e)
{
	struct facts f;
	bool good;
	int rc = read_facts(&a->db, &f, e);

	if (rc != 0)
		return rc;
	good = is_as_left(a, &f);
	if (!good && (rc = mend_facts(a, &f, e)) != 0)
		return rc;
	a->identity = (uint64_t)f.identity;
	a->rebuilt = f.rebuilt != 0;
	return good ? 0 : 1;
}
