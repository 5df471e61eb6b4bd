/* Settings as bytes: from the process that reads files to the one that runs
 * with them.  Both are the same program. */
#include <sys/stat.h>

#include <unistd.h>

#include "auth/settings.h"
#include "base/fsx.h"

enum { IMAGE_MAGIC = 0x5e77146e, N_PIECES = 3 };

/* Then come the pieces: the configuration, `postern` if it is another
 * directory's, userdb. */
struct image {
	uint32_t magic;
	bool split;
	bool userdb_there;
	bool watched[SETTINGS_N_WATCHED];
	struct file_stamp stamp[SETTINGS_N_WATCHED];
	uint64_t n[N_PIECES];
};

static const size_t piece_max[N_PIECES] = { CONF_PACKED_MAX, CONF_PACKED_MAX,
	2 * (size_t)USERDB_MAX };

bool
settings_write(const struct settings *s, int fd)
{
	struct image head = { .magic = IMAGE_MAGIC,
		.split = s->postern != s->conf,
		.userdb_there = s->userdb.there };
	struct buf packed[2];
	struct slice piece[N_PIECES];
	bool ok = true;

	for (size_t i = 0; i < NELEMS(packed); i++)
		buf_init_secret(&packed[i], piece_max[i]);
	conf_pack(s->conf, &packed[0]);
	if (head.split)
		conf_pack(s->postern, &packed[1]);
	for (size_t i = 0; i < NELEMS(packed); i++) {
		piece[i] = buf_slice(&packed[i]);
		ok = ok && buf_ok(&packed[i]);
	}
	piece[2] = buf_slice(&s->userdb.text);
	for (int i = 0; i < SETTINGS_N_WATCHED; i++) {
		head.watched[i] = s->watched[i];
		head.stamp[i] = s->stamp[i];
	}
	for (size_t i = 0; i < N_PIECES; i++)
		head.n[i] = piece[i].n;
	ok = ok && fsx_write_all(fd, slice_of(&head, sizeof(head))) == 0;
	for (size_t i = 0; ok && i < N_PIECES; i++)
		ok = fsx_write_all(fd, piece[i]) == 0;
	for (size_t i = 0; i < NELEMS(packed); i++)
		buf_fini(&packed[i]);
	return ok;
}

/* Fill the buf; *at goes on behind the piece. */
static bool
read_piece(int fd, uint64_t n, off_t *at, struct buf *out)
{
	uint8_t *to;

	if (n == 0)
		return true;
	if (n > out->max || (to = buf_reserve(out, (size_t)n)) == NULL ||
	    fsx_pread(fd, to, (size_t)n, *at) != (ssize_t)n)
		return false;
	buf_advance(out, (size_t)n);
	*at += (off_t)n;
	return true;
}

/* What was read takes the place of what there was; false: it stays. */
static bool
take_confs(struct settings *s, struct slice conf, struct slice postern)
{
	struct conf *c = conf_unpack(conf), *p = c;

	if (c != NULL && postern.n != 0)
		p = conf_unpack(postern);
	if (c == NULL || p == NULL) {
		if (c != NULL)
			conf_free(&c);
		return false;
	}
	if (s->postern != s->conf)
		conf_free(&s->postern);
	conf_free(&s->conf);
	s->conf = c;
	s->postern = p;
	return true;
}

bool
settings_take(struct settings *s, int fd)
{
	struct image head;
	struct buf piece[N_PIECES];
	off_t at = sizeof(head);
	bool ok;

	for (size_t i = 0; i < N_PIECES; i++)
		buf_init_secret(&piece[i], piece_max[i]);
	ok = fsx_pread(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	    head.magic == IMAGE_MAGIC;
	for (size_t i = 0; ok && i < N_PIECES; i++)
		ok = read_piece(fd, head.n[i], &at, &piece[i]);
	ok = ok &&
	    take_confs(s, buf_slice(&piece[0]),
		head.split ? buf_slice(&piece[1]) : slice_of("", 0));
	if (ok) {
		for (int i = 0; i < SETTINGS_N_WATCHED; i++) {
			s->watched[i] = head.watched[i];
			s->stamp[i] = head.stamp[i];
		}
		s->userdb.there = head.userdb_there;
		buf_fini(&s->userdb.text);
		s->userdb.text = piece[2];
		buf_init_secret(&piece[2], piece_max[2]);
	}
	for (size_t i = 0; i < N_PIECES; i++)
		buf_fini(&piece[i]);
	return ok;
}
