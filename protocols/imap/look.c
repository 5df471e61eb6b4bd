/* Looking into a message, in slices. */
#include <stdlib.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/pool.h"
#include "protocols/imap/envelope.h"
#include "protocols/imap/session_impl.h"

enum {
	CHUNK = 32 * 1024,
	KEPT_MAX = 512 * 1024, /* made of IMAP_HEADER_MAX */
};

/* The parser isn't needed for this message any more. */
static void
put_away(struct imap_parsed *p)
{
	if (p->parser != NULL)
		p->spare = p->parser;
	p->parser = NULL;
}

void
imap_look_forget(struct imap_session *i)
{
	struct imap_parsed *p = &i->work->parsed;

	if (p->parser != NULL)
		mime_parser_abort(p->parser);
	put_away(p);
	mime_message_reset(&p->msg);
	p->uid = 0;
}

void
imap_look_trim(struct imap_session *i)
{
	free(i->work->parsed.spare);
	i->work->parsed.spare = NULL;
	mime_addresses_fini(&i->work->addresses);
}

void
imap_work_begin(struct imap_session *i)
{
	if (i->work != NULL)
		return;
	i->work = POOL_NEW(struct imap_work);
	buf_init(&i->work->kept_fields, KEPT_MAX);
	buf_init(&i->work->kept_key, KEPT_MAX);
	mime_message_init(&i->work->parsed.msg);
	mime_addresses_init(&i->work->addresses, IMAP_ENVELOPE_ADDRESSES);
}

void
imap_work_end(struct imap_session *i)
{
	if (i->work == NULL)
		return;
	imap_look_forget(i);
	imap_look_trim(i);
	mime_message_fini(&i->work->parsed.msg);
	assert(i->work->sync.to == NULL);
	buf_fini(&i->work->kept_fields);
	buf_fini(&i->work->kept_key);
	pool_free(i->work);
	i->work = NULL;
}

void
imap_look_drop(struct imap_session *i)
{
	if (i->work->parsed.parser != NULL)
		imap_look_forget(i);
}

void
imap_look_begin(
    struct imap_session *i, uint32_t uid, int fd, uint64_t size, bool whole)
{
	struct imap_parsed *p = &i->work->parsed;
	struct mime_options opt = i->opt->mime;

	assert(p->parser == NULL);
	if (p->uid == uid && p->size == size && !p->table &&
	    (p->whole || !whole))
		return;
	imap_look_forget(i);
	opt.header_only = !whole;
	p->uid = uid;
	p->whole = whole;
	p->table = false;
	p->print = 0;
	p->counted = false;
	p->parser = p->spare;
	p->spare = NULL;
	if (p->parser == NULL)
		p->parser = mem_alloc(sizeof(*p->parser));
	mime_parser_init(p->parser, &p->msg, &opt);
	p->fd = fd;
	p->at = 0;
	p->size = size;
}

static void
finish(struct imap_session *i)
{
	struct imap_parsed *p = &i->work->parsed;

	mime_parser_finish(p->parser);
	put_away(p);
	if (p->whole)
		mailbox_set_wire_size(i->mailbox, p->uid, p->msg.all.wire);
}

/* Whether nothing that is still to come matters. */
static bool
is_seen(const struct imap_parsed *p)
{
	return p->at >= p->size || mime_parser_done(p->parser);
}

void
imap_look_feed(struct imap_session *i, struct slice head)
{
	struct imap_parsed *p = &i->work->parsed;

	if (p->parser == NULL || p->at != 0)
		return;
	p->at = head.n;
	mime_parser_feed(p->parser, head);
	if (is_seen(p))
		finish(i);
}

/* Feed it; 0, ERR_SYS, or 1 when it has seen enough. */
static int
feed(struct imap_parsed *p)
{
	uint8_t chunk[CHUNK];
	ssize_t got = fsx_pread(p->fd, chunk, sizeof(chunk), (off_t)p->at);

	if (got < 0)
		return ERR_SYS;
	if (got == 0)
		return 1;
	p->at += (uint64_t)got;
	mime_parser_feed(p->parser, slice_of(chunk, (size_t)got));
	return is_seen(p) ? 1 : 0;
}

enum step
imap_look_step(struct imap_session *i, int *rc)
{
	struct imap_parsed *p = &i->work->parsed;
	struct err e = { .code = 0 };

	*rc = 0;
	while (p->parser != NULL) {
		int r = feed(p);

		if (r < 0) {
			*rc = err_sys(&e, "reading message %u", p->uid);
			imap_log_error(i, "reading a message", *rc, &e);
			imap_look_forget(i);
		} else if (r == 1) {
			finish(i);
		} else if (imap_spend(i, CHUNK)) {
			return STEP_YIELD;
		}
	}
	return STEP_DONE;
}
