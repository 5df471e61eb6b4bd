/*
 * What a stranger sends before login, IMAP or POP3.  The first byte chooses
 * protocol and circumstances, the second one how the rest is cut; authdaemond
 * decides by the last byte of what it is given.  Where
 * TLS begins, the bytes up to the next 0xff have come too early.
 *
 * Checked: the same output and events however the input is cut; output of
 * whole lines, each beginning as the protocol wants it, printable throughout;
 * no more output than a bound that the number of commands sets.
 */
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/defs.h"
#include "protocols/imap/preauth.h"
#include "protocols/pop3/preauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { POP3 = 1, TLS = 2, CLEAR = 4, STARTTLS = 8, SECURE = 16 };
enum { CONFIGURED = 32, REQUIRED = 64, ENDED = 128 };
enum { COMMANDS = 20, RECORD_MAX = 1024 * 1024 };

static const struct preauth_options options = {
	.greeting_name = "Postern",
	.offer_starttls = false,
	.line_max = 300,
	.literal_max = 100,
	.commands_max = COMMANDS,
};

struct run {
	struct preauth *p;
	struct buf record; /* output, and a byte below 0x20 for each event */
	bool over, begins_tls;
};

static void
check(bool ok)
{
	if (!ok)
		abort();
}

/* authdaemond's word on a response. */
static void
decide(struct run *r)
{
	struct preauth *p = r->p;
	struct slice s = secret_slice(&p->response);
	unsigned last = s.n != 0 ? s.p[s.n - 1] : 0;

	check(p->mech[0] != '\0' && p->command[0] != '\0');
	check(memchr(p->user, '\0', sizeof(p->user)) != NULL);
	check(memchr(p->tag, '\0', sizeof(p->tag)) != NULL);
	if (!p->has_response)
		p->ops->challenge(p, SLICE(""));
	else if (last % 8 == 0)
		r->over = true; /* handed over */
	else if (last % 8 == 1)
		p->ops->challenge(p, SLICE("Y2hhbGxlbmdl"));
	else
		p->ops->failed(p, (enum preauth_failure)(last % 4), NULL);
}

static void
serve(struct run *r)
{
	struct preauth *p = r->p;

	while (!r->over) {
		enum preauth_event e = p->ops->run(p);

		check(buf_ok(&p->out));
		buf_put(&r->record, buf_slice(&p->out));
		buf_reset(&p->out);
		if (e == PREAUTH_WAIT)
			return;
		buf_putc(&r->record, (uint8_t)e);
		if (e == PREAUTH_AUTH || e == PREAUTH_RESPONSE)
			decide(r);
		if (e == PREAUTH_STARTTLS) {
			check(buf_len(&p->in) == 0);
			p->tls = true;
			p->ops->tls_started(p);
			r->begins_tls = true;
		}
		if (e == PREAUTH_CLOSE)
			r->over = true;
		buf_put(&r->record, buf_slice(&p->out));
		buf_reset(&p->out);
	}
}

/* What comes before TLS does, or the end. */
static void
feed(struct run *r, struct slice in, size_t piece)
{
	r->begins_tls = false;
	while (in.n != 0 && !r->over && !r->begins_tls) {
		size_t room = r->p->in.max - buf_len(&r->p->in);
		struct slice next;

		check(room != 0);
		next = slice_first(in, piece < room ? piece : room);
		buf_put(&r->p->in, next);
		in = slice_skip(in, next.n);
		serve(r);
	}
}

static void
play(struct run *r, unsigned how, struct slice in, size_t piece)
{
	static struct preauth_options opt;

	opt = options;
	opt.offer_starttls = (how & STARTTLS) != 0;
	opt.tls_required = (how & REQUIRED) != 0;
	opt.capability = opt.capability_tls = "";
	if ((how & CONFIGURED) != 0) {
		opt.capability = "IMAP4rev1 X-OWN AUTH=PLAIN LOGIN";
		opt.capability_tls = "IMAP4rev1 AUTH=PLAIN CRAM-MD5 SORT";
	}
	*r = (struct run){ .over = false };
	buf_init(&r->record, RECORD_MAX);
	r->p = how & POP3 ? pop3_preauth_new(&opt) : imap_preauth_new(&opt);
	r->p->tls = (how & TLS) != 0;
	r->p->clear_allowed = (how & CLEAR) != 0;
	r->p->mechanisms = how & SECURE ? "SCRAM-SHA-256 PLAIN" : "PLAIN LOGIN";
	r->p->ops->greet(r->p,
	    (how & ~(unsigned)(POP3 | TLS)) == ENDED ? "Not now." : NULL,
	    (how & TLS) != 0);
	while (in.n != 0 && !r->over) {
		struct slice part;

		(void)slice_split(&in, 0xff, &part);
		feed(r, part, piece);
	}
	if ((how & ENDED) != 0 && !r->over) {
		r->p->ops->end(
		    r->p, how & CLEAR ? PREAUTH_TIMEOUT : PREAUTH_STOPPING);
		serve(r);
	}
	check(buf_ok(&r->record));
}

static bool
is_reply(unsigned how, struct slice line)
{
	size_t blank = slice_find(line, ' ');

	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] >= 0x7f || line.p[i] < 0x20)
			return false;
	if (how & POP3) /* anything may stand in a list */
		return true;
	if (slice_starts(line, SLICE("* ")) || slice_starts(line, SLICE("+ ")))
		return true;
	line = slice_skip(line, blank + 1);
	return slice_starts(line, SLICE("OK ")) ||
	    slice_starts(line, SLICE("NO ")) ||
	    slice_starts(line, SLICE("BAD "));
}

static void
check_output(unsigned how, struct slice record)
{
	struct slice line;
	size_t n = 0;

	while (record.n != 0) {
		if (record.p[0] < PREAUTH_CLOSE + 1) { /* an event */
			record = slice_skip(record, 1);
			continue;
		}
		check(slice_split(&record, '\n', &line) && record.p != NULL);
		check(slice_ends(line, SLICE("\r")));
		line.n--;
		check(is_reply(how, line));
		n++;
	}
	/* the longest answer is CAPA's; SASL doubles the number of lines */
	check(n <= 16 * (COMMANDS + 4));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_skip(slice_of(data, size), 2);
	struct run whole, cut;

	if (size < 2 || size > 64 * 1024)
		return 0;
	play(&whole, data[0], in, SIZE_MAX);
	play(&cut, data[0], in, (size_t)data[1] % 16 + 1);
	check(slice_eq(buf_slice(&whole.record), buf_slice(&cut.record)));
	check(strcmp(whole.p->tag, cut.p->tag) == 0);
	check(strcmp(whole.p->user, cut.p->user) == 0);
	check_output(data[0], buf_slice(&whole.record));
	buf_fini(&whole.record);
	buf_fini(&cut.record);
	whole.p->ops->free(whole.p);
	cut.p->ops->free(cut.p);
	return 0;
}
