/*
 * Where the parts of a message are, kept in the cache: a client that fetches
 * the tenth attachment, or the next piece of one, doesn't have all of the
 * message parsed for it.
 *
 * Another program may put another file in the place of a message.  So a table
 * is that of a file with a certain inode, size and mtime, and of no other;
 * the same holds for what a session remembers of the message it looked into
 * last.
 */
#include <sys/stat.h>

#include "protocols/imap/fetch.h"
#include "protocols/mime/table.h"

enum { TABLE_MAX = 16 * 1024 }; /* of what the cache takes */

static uint64_t
mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

/* What tells the open file from others; 0: it can't be told. */
static uint64_t
print_of(const struct fetch_args *a)
{
	struct stat st;
	uint64_t h;

	if (fstat(a->fd, &st) < 0 || (uint64_t)st.st_size != a->file_size)
		return 0;
	h = mix(0, (uint64_t)st.st_ino);
	h = mix(h, (uint64_t)st.st_size);
	h = mix(h, (uint64_t)st.st_mtim.tv_sec);
	h = mix(h, (uint64_t)st.st_mtim.tv_nsec);
	return h != 0 ? h : 1;
}

bool
imap_parts_take(struct imap_session *i)
{
	struct fetch_args *a = i->args;
	struct imap_parsed *p = &i->work->parsed;
	struct mime_message m;
	struct slice kept;
	uint64_t print;

	if (a->file_size <= IMAP_PARTS_MIN || (print = print_of(a)) == 0)
		return false;
	assert(p->parser == NULL);
	if (p->uid == a->uid && p->whole && p->print == print)
		return true;
	imap_look_forget(i);
	if (!mailbox_cache_get(i->mailbox, a->uid, CACHE_PARTS, &kept))
		return false;
	mime_message_init(&m);
	if (!mime_table_get(kept, print, a->file_size, &m))
		return false;
	mime_message_fini(&p->msg);
	*p = (struct imap_parsed){ .uid = a->uid,
		.whole = true,
		.table = true,
		.print = print,
		.msg = m,
		.fd = -1,
		.size = a->file_size };
	return true;
}

void
imap_parts_keep(struct imap_session *i)
{
	struct fetch_args *a = i->args;
	struct imap_parsed *p = &i->work->parsed;
	struct buf table;

	if (a->fd < 0 || a->file_size <= IMAP_PARTS_MIN || p->uid != a->uid ||
	    !p->whole || p->msg.all.len != a->file_size ||
	    (p->print != 0 && !p->counted))
		return;
	if (p->print == 0)
		p->print = print_of(a);
	if (p->print == 0)
		return;
	p->counted = false;
	buf_init(&table, TABLE_MAX);
	mime_table_put(&p->msg, p->print, &table);
	if (buf_ok(&table))
		mailbox_cache_put(
		    i->mailbox, a->uid, CACHE_PARTS, buf_slice(&table));
	buf_fini(&table);
}
