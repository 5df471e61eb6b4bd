/*
 * The files of Courier and Dovecot beside a Maildir.  The first byte chooses
 * the format; what comes out must keep what the header promises.  With its
 * highest bit the rest is a directory of files, each behind an 0xff but the
 * first: where it is (k: courierimapkeywords, c: cur, else the Maildir), its
 * name, a newline, its bytes.
 */
#include "config.h"

#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/defs.h"
#include "base/fsx.h"
#include "base/utf7.h"
#include "maildir/acl.h"
#include "maildir/dir.h"
#include "maildir/foreign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_uids(struct foreign_uids *u)
{
	uint32_t last = 0;

	assert(u->uidvalidity != 0 && u->uidnext != 0);
	for (size_t i = 0; i < u->n; i++) {
		struct slice base = u->v[i].base;

		assert(u->v[i].uid > last && u->v[i].uid < u->uidnext);
		last = u->v[i].uid;
		assert(base.n > 0 && base.n <= 255 && !slice_has(base, '/') &&
		    !slice_has(base, '\0') && base.p[0] != '.');
	}
}

static void
run_uids(struct slice bytes, bool dovecot)
{
	struct foreign_uids u;
	struct buf id;

	if (!(dovecot ? dovecot_uids_parse(bytes, &u)
		      : courier_uids_parse(bytes, &u)))
		return;
	check_uids(&u);
	buf_init(&id, 4096);
	for (size_t i = 0; i < u.n && i < 100; i++) {
		uint32_t n, validity;

		buf_reset(&id);
		if (dovecot_uidl_format(
			&id, u.uidl_format, &u.v[i], u.uidvalidity))
			assert(buf_len(&id) >= 1 && buf_len(&id) <= 255);
		(void)!courier_uidl_parse(buf_slice(&id), &n, &validity);
	}
	buf_fini(&id);
	foreign_uids_fini(&u);
}

static void
check_keywords(const struct foreign_keywords *k)
{
	assert(k->n_names <= FOREIGN_KEYWORDS_MAX);
	for (size_t i = 0; i < k->n; i++) {
		assert(k->v[i].at + k->v[i].n <= k->n_indexes);
		for (size_t j = 0; j < k->v[i].n; j++)
			assert(k->indexes[k->v[i].at + j] < k->n_names);
	}
}

static void
run_keywords(struct slice bytes)
{
	struct foreign_keywords k;

	foreign_keywords_init(&k);
	courier_keywords_parse(bytes, &k);
	check_keywords(&k);
	foreign_keywords_fini(&k);
}

static void
check_sizelist(const struct foreign_sizelist *l)
{
	assert(l->version <= 3);
	for (size_t i = 0; i < l->n; i++)
		assert(l->v[i].base.n > 0 && !slice_has(l->v[i].base, '/'));
}

static void
run_sizelist(struct slice bytes)
{
	struct foreign_sizelist l;

	if (!courier_sizelist_parse(bytes, &l))
		return;
	check_sizelist(&l);
	foreign_sizelist_fini(&l);
}

static void
run_dovecot_keywords(struct slice bytes)
{
	struct slice names[DOVECOT_LETTERS];
	bool too_many;

	dovecot_keywords_parse(bytes, names, &too_many);
	for (unsigned i = 0; i < DOVECOT_LETTERS; i++)
		assert(names[i].n <= FOREIGN_KEYWORD_BYTES);
}

static void
run_subscriptions(struct slice bytes)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	dovecot_subscriptions_parse(bytes, &out);
	assert(!buf_ok(&out) || buf_len(&out) == 0 ||
	    buf_slice(&out).p[buf_len(&out) - 1] == '\n');
	buf_fini(&out);
}

static void
run_format(struct slice bytes)
{
	const struct foreign_uid u = { .uid = 4711,
		.base = SLICE_INIT("17.M1.host"),
		.guid = SLICE_INIT("abc") };
	uint32_t n, uidvalidity;
	struct buf id;

	buf_init(&id, 4096);
	if (dovecot_uidl_format(&id, bytes, &u, 123456789))
		assert(buf_len(&id) >= 1 && buf_len(&id) <= 255);
	if (courier_uidl_parse(bytes, &n, &uidvalidity)) {
		buf_reset(&id);
		buf_putf(&id, uidvalidity != 0 ? "UID%u-%u" : "UID%u",
		    (unsigned)n, (unsigned)uidvalidity);
		assert(n != 0 && slice_eq(buf_slice(&id), bytes));
	}
	buf_fini(&id);
}

static void
run_acl(struct slice bytes)
{
	struct acl a, again;
	struct buf out, twice;

	acl_init(&a);
	acl_init(&again);
	acl_parse(bytes, &a);
	buf_init(&out, 1 << 22);
	buf_init(&twice, 1 << 22);
	acl_put(&out, &a);
	acl_parse(buf_slice(&out), &again);
	acl_put(&twice, &again);
	assert(slice_eq(buf_slice(&out), buf_slice(&twice)));
	buf_fini(&out);
	buf_fini(&twice);
	acl_fini(&a);
	acl_fini(&again);
}

/* --- a directory ---------------------------------------------------------- */

enum { FILES_MAX = 40, WORK = 50 };

static const char *const folders[] = { "courierimapkeywords", "cur", "" };

/* "kNAME\nBYTES" */
static void
put_file(int root_fd, struct slice in)
{
	const size_t folder = in.n == 0 ? 2
	    : in.p[0] == 'k'		? 0
	    : in.p[0] == 'c'		? 1
					: 2;
	struct slice name;
	struct buf path;
	int fd;

	in = slice_skip(in, 1);
	if (!slice_split(&in, '\n', &name) || name.n == 0 || name.n > 255 ||
	    slice_has(name, '/') || slice_has(name, '\0'))
		return;
	buf_init(&path, 300);
	buf_putf(&path, "./%s/", folders[folder]);
	buf_put(&path, name);
	fd =
	    openat(root_fd, buf_cstr(&path), O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd >= 0) {
		assert(fsx_write_all(fd, in) == 0);
		(void)close(fd);
	}
	buf_fini(&path);
}

static void
remove_files(int root_fd, const char *folder)
{
	struct dir_reader r;
	struct slice name;

	if (dir_reader_open(&r, root_fd, folder) < 0)
		return;
	while (dir_reader_next(&r, &name))
		(void)unlinkat(dir_reader_fd(&r), (const char *)name.p, 0);
	dir_reader_close(&r);
}

static void
read_keywords(int root_fd, bool dovecot)
{
	struct foreign_keywords_reader r;
	enum foreign_step step = FOREIGN_NONE;

	if (foreign_keywords_open(&r, root_fd, "", dovecot))
		do {
			int work = WORK;

			step = foreign_keywords_step(&r, &work);
		} while (step == FOREIGN_MORE);
	if (step == FOREIGN_DONE)
		check_keywords(&r.k);
	foreign_keywords_close(&r);
}

static void
read_lists(int root_fd)
{
	struct foreign_sizelist_reader sizes;
	enum foreign_step step = FOREIGN_NONE;
	struct buf names;

	if (foreign_sizelist_open(&sizes, root_fd))
		do {
			int work = WORK;

			step = foreign_sizelist_step(&sizes, &work);
		} while (step == FOREIGN_MORE);
	if (step == FOREIGN_DONE)
		check_sizelist(&sizes.l);
	foreign_sizelist_close(&sizes);
	for (int dovecot = 0; dovecot < 2; dovecot++) {
		struct foreign_uids_reader r;

		step = FOREIGN_NONE;
		if (foreign_uids_open(&r, root_fd, "", dovecot != 0))
			do {
				int work = WORK;

				step = foreign_uids_step(&r, &work);
			} while (step == FOREIGN_MORE);
		if (step == FOREIGN_DONE)
			check_uids(&r.u);
		foreign_uids_close(&r);
	}
	buf_init(&names, 1 << 20);
	(void)!dovecot_subscriptions_read(root_fd, &names);
	buf_fini(&names);
}

/* Updates that wait are read once: merged, or tidied away, they are gone. */
static void
take_updates(int root_fd)
{
	struct foreign_keywords k, again;
	struct courier_tidying *t;
	size_t at = 0;
	int fd, work = WORK;

	if (courier_keywords_read(root_fd, "", &k, NULL) != 1)
		return;
	fd = fsx_open_dir(root_fd, "courierimapkeywords");
	assert(fd >= 0);
	check_keywords(&k);
	for (size_t i = 0; i < k.n; i++)
		if (k.v[i].state == UPDATE_WAITS)
			k.v[i].state = UPDATE_TAKEN;
	while (courier_keywords_merged(fd, 1700000000, &k, &at))
		continue;
	(void)close(fd);
	if (courier_keywords_read(root_fd, "", &again, NULL) == 1) {
		check_keywords(&again);
		assert(again.n_pending == 0 && again.n >= k.n);
		foreign_keywords_keep_pending(&again);
		foreign_keywords_fini(&again);
	}
	foreign_keywords_fini(&k);
	t = courier_tidying_new(root_fd, "", INT64_MAX / 2);
	assert(t != NULL);
	while (courier_tidying_list(t, &work))
		work = WORK;
	while (courier_tidying_left(t))
		(void)courier_tidying_run(t);
	courier_tidying_free(t);
}

static void
run_directory(struct slice in)
{
	char path[] = "/tmp/fuzz_foreign.XXXXXX";
	struct slice file;
	int fd = mkdtemp(path) == NULL ? -1 : fsx_open_dir(AT_FDCWD, path);

	if (fd < 0)
		return;
	for (size_t i = 0; folders[i][0] != '\0'; i++)
		assert(mkdirat(fd, folders[i], 0700) == 0);
	for (int n = 0; n < FILES_MAX && slice_split(&in, 0xff, &file); n++)
		put_file(fd, file);
	read_lists(fd);
	read_keywords(fd, true);
	read_keywords(fd, false);
	take_updates(fd);
	for (size_t i = 0; folders[i][0] != '\0'; i++) {
		remove_files(fd, folders[i]);
		(void)unlinkat(fd, folders[i], AT_REMOVEDIR);
	}
	remove_files(fd, ".");
	(void)close(fd);
	(void)rmdir(path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest;

	if (size == 0)
		return 0;
	rest = slice_of(data + 1, size - 1);
	if ((data[0] & 0x80) != 0) {
		run_directory(rest);
		return 0;
	}
	switch (data[0] % 8) {
	case 0:
		run_uids(rest, false);
		break;
	case 1:
		run_uids(rest, true);
		break;
	case 2:
		run_keywords(rest);
		break;
	case 3:
		run_sizelist(rest);
		break;
	case 4:
		run_dovecot_keywords(rest);
		break;
	case 5:
		run_subscriptions(rest);
		break;
	case 6:
		run_format(rest);
		break;
	default:
		run_acl(rest);
		break;
	}
	return 0;
}
