/*
 * Commands of an IMAP session over an account in memory.  The first byte says
 * what goes wrong, the second one how the input is cut; if the first one has
 * its highest bit, another one says how the server is set up, and if the
 * second one has it, yet another one in what world; up to the first 0xff the
 * bytes are a message, then come the commands.  In some worlds 0xfe is no byte
 * of them, but the one behind it says what happens there.
 *
 * Checked: whatever comes, the output is what a client can make sense of
 * (imap_client.h); the same output however the input is cut, and whether what
 * is computed from messages is kept or not; everything is given back.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "protocols/imap/session.h"
#include "tests/fuzz/imap_client.h"
#include "tests/support/fake_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	OUTPUT_MAX = 64 * 1024 * 1024,
	RUNS_MAX = 1000 * 1000,
	INPUT_SIZE_MAX = 64 * 1024,
};

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
no_log(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	(void)level;
	(void)ident;
	check(line != NULL);
}

/* --- running ------------------------------------------------------------- */

static void
never(void *arg)
{
	(void)arg;
}

/* What the first byte says, and those behind the second one. */
enum { WAITS = 1, NO_CHANGE = 2, NO_OPEN = 4, READ_BREAKS = 8, NO_SPACE = 16 };
enum { BUSY = 32, NO_PREFIX = 64, MORE = 128 };
enum { RENAMES = 1, HIBERNATES = 2, SMALL = 4, TRASH = 8, OUTBOX = 16 };
enum { COURIER = 32, PREAUTH = 64, ENDED = 128 };
enum { CREATES = 1, SHARES = 2, OFTEN_BUSY = 4, EVENTS = 8, ASCII = 16 };
enum { GROUPS = 32, MARKED = 64, FORGETS = 128 };
enum { WORLD = 128, EVENT = 0xfe, STAYS_BUSY = 1000 };

struct setup {
	uint8_t faults, more, world;
	size_t piece; /* how many bytes come at once */
	bool caches;
	unsigned n_sent; /* messages by sendmail */
};

static void
set_options(const struct setup *setup, struct imap_options *opt)
{
	const bool small = (setup->more & SMALL) != 0;

	*opt = imap_options_default;
	opt->line_max = small ? 100 : 1000;
	opt->literals_max = small ? 50 : 1000;
	opt->message_max = small ? 200 : 100000;
	opt->no_prefix = (setup->faults & NO_PREFIX) != 0;
	opt->ascii_headers = (setup->world & ASCII) != 0;
	opt->shared_munge = (setup->world & GROUPS) != 0;
	if (small) {
		opt->nesting_max = 2;
		opt->set_max = 3;
		opt->bad_max = 3;
		opt->progress_ms = 2;
		opt->mime = (struct mime_options){ .max_depth = 1,
			.max_parts = 2,
			.max_field = 40,
			.max_text = 40 };
	}
	if ((setup->more & TRASH) != 0) {
		opt->trash_mailbox = opt->trash = "INBOX.a";
		opt->log_deletions = true;
	}
	if ((setup->more & OUTBOX) != 0) {
		opt->outbox = "INBOX.a";
		opt->outbox_multiple = (setup->more & RENAMES) != 0;
	}
	if ((setup->more & COURIER) != 0) {
		opt->keywords = false;
		opt->no_thread_sort = true;
		opt->mark_all = false;
		opt->no_inferiors = true;
		opt->capability_tls = "IMAP4rev1 UIDPLUS ACL2=UNION";
		opt->id_name = NULL;
	} else {
		opt->acl = (setup->faults & MORE) != 0;
		opt->shared_index = opt->acl ? "/x" : NULL;
		opt->shared_links = opt->acl ? "" : NULL;
	}
}

static void
set_store(const struct setup *setup, struct slice message)
{
	uint8_t faults = setup->faults;

	fake_store_reset();
	fake_store_deliver(0, message);
	fake_store_deliver(0, SLICE("Subject: b\n\nfixed\n"));
	fake_store_deliver(1, message);
	fake_store.waits = (faults & WAITS) != 0;
	fake_store.change_rc = (faults & NO_CHANGE) != 0 ? ERR_SYS : 0;
	fake_store.open_message_rc = (faults & NO_OPEN) != 0 ? ERR_SYS : 0;
	fake_store.read_breaks = (faults & READ_BREAKS) != 0;
	fake_store.append_rc = (faults & NO_SPACE) != 0 ? ERR_SPACE : 0;
	fake_store.busy = (faults & BUSY) != 0 ? 2 : 0;
	fake_store.renames = (setup->more & RENAMES) != 0;
	fake_store.hibernates = (setup->more & HIBERNATES) != 0;
	fake_store.creates = (setup->world & CREATES) != 0;
	fake_store.shares = (setup->world & SHARES) != 0;
	fake_store.often_busy = (setup->world & OFTEN_BUSY) != 0;
	/* how often a command says that it works depends on its steps */
	fake_store.caches = setup->caches && (setup->more & SMALL) == 0;
	fake_store.remembers = (setup->world & FORGETS) == 0;
	if ((setup->world & MARKED) != 0)
		fake_store.attrs = MAILBOX_MARKED | MAILBOX_HAS_CHILDREN;
}

/* What the worker does for a session: compresses, has messages sent (none, or
 * every second one, if that is to fail). */
static void
serve(struct session *s, struct setup *setup)
{
	if (s->deflate == SESSION_DEFLATE_ASKED)
		s->deflate = SESSION_DEFLATE_ON;
	if (s->send != SESSION_SEND_ASKED)
		return;
	(void)close(s->send_fd);
	s->send_fd = -1;
	s->send = SESSION_SEND_SENT;
	if ((setup->faults & NO_CHANGE) != 0 &&
	    ((setup->more & RENAMES) == 0 || setup->n_sent++ % 2 != 0)) {
		s->send = SESSION_SEND_FAILED;
		s->send_why = mem_strdup("no\r\nway");
	}
}

/* --- what happens meanwhile ----------------------------------------------- */

static struct {
	size_t mailbox;
	uint32_t uid;
} victim;

/* A message is removed while a command is about to do something with it. */
static void
remove_victim(void)
{
	fake_store.meanwhile = NULL;
	fake_store_remove(victim.mailbox, victim.uid);
}

/* The time that passes. */
static int64_t
happen(struct session *s, uint8_t what)
{
	static const enum session_end ends[] = { SESSION_SHUTDOWN,
		SESSION_KICKED, SESSION_TIMEOUT, SESSION_ERROR };
	const size_t mailbox = (what & 8) != 0;
	const uint32_t n = what >> 4;

	switch (what & 7) {
	case 0:
		fake_store_deliver(mailbox, SLICE("Subject: new\n\nnew\n"));
		break;
	case 1:
		fake_store_remove(mailbox, n + 1);
		break;
	case 2:
		fake_store_set_flags(mailbox, n % 4 + 1, 1U << n / 4);
		break;
	case 3:
		victim.mailbox = mailbox;
		victim.uid = n + 1;
		fake_store.meanwhile = remove_victim;
		break;
	case 4:
		fake_store.busy = n == 15 ? STAYS_BUSY : (int)n;
		break;
	case 5:
		return n == 15 ? imap_options_default.timeout_ms : n;
	case 6:
		fake_store.change_rc = (n & 1) != 0 ? ERR_SYS : 0;
		fake_store.open_message_rc = (n & 2) != 0 ? ERR_SYS : 0;
		fake_store.append_rc = (n & 4) != 0 ? ERR_SPACE : 0;
		break;
	default:
		if (what > 0xf0)
			s->ops->end(s, ends[n % NELEMS(ends)]);
		break;
	}
	return 0;
}

/* --- running -------------------------------------------------------------- */

/* No more input; or somebody ends the session. */
static void
end(struct session *s, const struct setup *setup)
{
	if ((setup->more & ENDED) != 0)
		s->ops->end(s, SESSION_KICKED);
	s->ops->eof(s);
}

static struct session *
begin_session(struct slice message, const struct setup *setup,
    struct imap_options *opt, int64_t now)
{
	const bool preauth = (setup->more & PREAUTH) != 0;
	const struct session_peer peer = { .user = "u",
		.client_addr = "::1",
		.local_addr = "::1",
		.tls = setup->more & COURIER ? "TLSv1.3 X" : "",
		.options = preauth ? "disableshared=1"
		    : (setup->world & GROUPS) != 0
		    ? "group=g,group=administrators,sharedgroup=g"
		    : NULL,
		.ident = "fuzz" };
	struct session *s;

	set_options(setup, opt);
	set_store(setup, message);
	s = imap_session_new(
	    opt, &peer, fake_store_account(), preauth ? "" : "L", "LOGIN", now);
	s->waker = (struct waker){ never, NULL };
	return s;
}

/* One more run; what it says goes to output. */
static enum step
run_once(
    struct session *s, struct setup *setup, int64_t *now, struct buf *output)
{
	enum step st = s->ops->run(s, (*now)++, 1700000000000);

	check(buf_ok(&s->out) && s->ops->deadline(s) > 0);
	buf_put(output, buf_slice(&s->out));
	buf_drain(&s->out, buf_len(&s->out));
	serve(s, setup);
	if (st == STEP_WAIT_PEER)
		*now += 100;
	return st;
}

/* More of the commands comes, or something happens. */
static void
go_on(struct session *s, const struct setup *setup, struct slice *commands,
    int64_t *now, struct buf *sent)
{
	const bool events = (setup->world & EVENTS) != 0;
	size_t room = session_input_room(s), n = setup->piece;

	if (events && commands->n > 1 && commands->p[0] == EVENT) {
		*now += happen(s, commands->p[1]);
		*commands = slice_skip(*commands, 2);
		return;
	}
	check(room > 0);
	if (n > room)
		n = room;
	if (events && n > slice_find(slice_skip(*commands, 1), EVENT) + 1)
		n = slice_find(slice_skip(*commands, 1), EVENT) + 1;
	buf_put(&s->in, slice_first(*commands, n));
	buf_put(sent, slice_first(*commands, n));
	*commands = slice_skip(*commands, n);
}

static bool
run_session(struct slice message, struct slice commands, struct setup *setup,
    struct buf *sent, struct buf *output)
{
	struct imap_options opt;
	int64_t now = 1000;
	struct session *s = begin_session(message, setup, &opt, now);
	bool eof = false;

	setup->n_sent = 0;
	for (int runs = 0;; runs++) {
		enum step st = run_once(s, setup, &now, output);

		check(runs < RUNS_MAX);
		if (st == STEP_DONE)
			break;
		if (st != STEP_WAIT_INPUT)
			continue;
		if (commands.n != 0) {
			go_on(s, setup, &commands, &now, sent);
			continue;
		}
		check(!eof);
		eof = true;
		end(s, setup);
	}
	s->ops->free(s);
	check(fake_store.accounts == 0 && fake_store.mailboxes == 0);
	check(fake_store.changes == 0 && fake_store.listeners == 0);
	fake_store_clear();
	check(fake_store.views == 0);
	return buf_ok(output);
}

/* RFC 8970 3.2: PREVIEW (LAZY) */
static bool
asks_what_is_kept(struct slice commands)
{
	while (commands.n != 0) {
		if (slice_istarts(commands, SLICE("LAZY")))
			return true;
		commands = slice_skip(commands, 1);
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size), message, commands;
	struct buf sent, sent_cut, whole, cut;
	struct setup setup;
	size_t end_of_message;
	bool ok;

	if (size < 2 || size > INPUT_SIZE_MAX)
		return 0;
	log_set_sink(no_log, NULL);
	setup = (struct setup){ .faults = data[0], .piece = SIZE_MAX / 2 };
	in = slice_skip(in, 2);
	if ((setup.faults & MORE) != 0 && in.n != 0) {
		setup.more = in.p[0];
		in = slice_skip(in, 1);
	}
	if ((data[1] & WORLD) != 0 && in.n != 0) {
		setup.world = in.p[0];
		in = slice_skip(in, 1);
	}
	end_of_message = slice_find(in, 0xff);
	message = slice_first(in, end_of_message);
	commands = slice_skip(in, end_of_message + 1);
	buf_init(&sent, OUTPUT_MAX);
	buf_init(&sent_cut, OUTPUT_MAX);
	buf_init(&whole, OUTPUT_MAX);
	buf_init(&cut, OUTPUT_MAX);
	if ((setup.more & PREAUTH) == 0)
		buf_puts(&sent, "L LOGIN\r\n");
	ok = run_session(message, commands, &setup, &sent, &whole);
	setup.piece = (size_t)(data[1] & ~WORLD) + 1;
	setup.caches = !asks_what_is_kept(commands);
	ok = run_session(message, commands, &setup, &sent_cut, &cut) && ok;
	if (ok) {
		imap_client_check(buf_slice(&sent), buf_slice(&whole),
		    (setup.faults & READ_BREAKS) != 0);
		check(slice_eq(buf_slice(&whole), buf_slice(&cut)));
	}
	buf_fini(&sent);
	buf_fini(&sent_cut);
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
