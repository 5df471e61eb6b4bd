#include "base/num.h"
#include "protocols/pop3/capa.h"
#include "protocols/pop3/session_impl.h"

/* arg: what stands behind the command's blank, p NULL if there is none. */
typedef void command_fn(struct pop3_session *p, struct slice arg);

void
pop3_bad_command(struct pop3_session *p, const char *text)
{
	if (++p->bad < p->opt->bad_max) {
		pop3_reply(p, text);
		return;
	}
	pop3_reply(p, "-ERR Too many bad commands.");
	(void)pop3_end(p, SESSION_DISCONNECTED);
}

static void
invalid(struct pop3_session *p)
{
	pop3_bad_command(p, "-ERR Invalid command.");
}

/* The message that arg names; NULL, and answered, if there is none. */
static struct pop3_item *
item_of(struct pop3_session *p, struct slice arg)
{
	struct pop3_item *item = NULL;
	uint64_t number;

	if (num_u64(arg, &number))
		item = pop3_maildrop_get(&p->drop, number);
	if (item == NULL)
		pop3_reply(p, "-ERR Invalid message number.");
	return item;
}

static size_t
number_of(const struct pop3_session *p, const struct pop3_item *item)
{
	return (size_t)(item - p->drop.v) + 1;
}

/* --- RFC 1939 section 5 -------------------------------------------------- */

static void
do_stat(struct pop3_session *p, struct slice arg)
{
	struct buf *out = &p->s.out;

	if (arg.p != NULL) {
		invalid(p);
		return;
	}
	buf_puts(out, "+OK ");
	buf_putu(out, pop3_maildrop_count(&p->drop));
	buf_putc(out, ' ');
	buf_putu(out, p->drop.size);
	buf_puts(out, "\r\n");
}

static void
do_list(struct pop3_session *p, struct slice arg)
{
	const struct pop3_item *item;

	if (arg.p == NULL) {
		pop3_reply(p, "+OK Scan listing follows.");
		p->at = 0;
		(void)pop3_goto(p, &pop3_step_list);
	} else if ((item = item_of(p, arg)) != NULL) {
		buf_puts(&p->s.out, "+OK ");
		buf_putu(&p->s.out, number_of(p, item));
		buf_putc(&p->s.out, ' ');
		buf_putu(&p->s.out, pop3_maildrop_octets(&p->drop, item));
		buf_puts(&p->s.out, "\r\n");
	}
}

static void
do_retr(struct pop3_session *p, struct slice arg)
{
	const struct pop3_item *item = item_of(p, arg);

	if (item != NULL)
		pop3_message_begin(p, item, false, UINT64_MAX);
}

static void
do_dele(struct pop3_session *p, struct slice arg)
{
	struct pop3_item *item = item_of(p, arg);

	if (item == NULL)
		return;
	pop3_maildrop_delete(&p->drop, item);
	pop3_reply(p, "+OK Deleted.");
}

static void
do_noop(struct pop3_session *p, struct slice arg)
{
	if (arg.p != NULL)
		invalid(p);
	else
		pop3_reply(p, "+OK");
}

/* It looks at every message there is: one of a turn. */
static enum step
rset_fn(struct pop3_session *p)
{
	pop3_maildrop_reset(&p->drop);
	pop3_reply(p, "+OK Nothing is marked as deleted.");
	(void)pop3_goto(p, &pop3_step_command);
	return STEP_YIELD;
}

static const struct pop3_step step_rset = { "RSET", rset_fn, false, false };

static void
do_rset(struct pop3_session *p, struct slice arg)
{
	if (arg.p != NULL)
		invalid(p);
	else
		(void)pop3_goto(p, &step_rset);
}

/* --- RFC 1939 sections 6 and 7, RFC 2449 --------------------------------- */

static void
do_quit(struct pop3_session *p, struct slice arg)
{
	if (arg.p != NULL) {
		invalid(p);
		return;
	}
	p->at = 0;
	p->why = SESSION_LOGOUT;
	(void)pop3_goto(p, &pop3_step_update);
}

static void
do_top(struct pop3_session *p, struct slice arg)
{
	const struct pop3_item *item;
	struct slice lines = arg, number;
	uint64_t n;

	(void)slice_split(&lines, ' ', &number);
	if (lines.p == NULL) {
		invalid(p);
		return;
	}
	if ((item = item_of(p, number)) == NULL)
		return;
	if (!num_u64(slice_trim(lines), &n) || n == UINT64_MAX)
		pop3_reply(p, "-ERR Invalid number of lines.");
	else
		pop3_message_begin(p, item, true, n);
}

static void
do_uidl(struct pop3_session *p, struct slice arg)
{
	const struct pop3_item *item;

	if (arg.p == NULL) {
		pop3_reply(p, "+OK Unique-id listing follows.");
		p->at = 0;
		(void)pop3_goto(p, &pop3_step_uidl);
	} else if ((item = item_of(p, arg)) != NULL) {
		buf_puts(&p->s.out, "+OK ");
		buf_putu(&p->s.out, number_of(p, item));
		buf_putc(&p->s.out, ' ');
		buf_put(&p->s.out, pop3_maildrop_unique_id(&p->drop, item));
		buf_puts(&p->s.out, "\r\n");
	}
}

/* RFC 5034 3: the mechanisms are told after login, too. */
static struct slice
mechanisms(const struct pop3_session *p)
{
	struct slice sasl = slice_str(p->opt->sasl);

	if (p->mechs != NULL)
		return slice_trim(slice_str(p->mechs));
	if (p->tls && slice_trim(slice_str(p->opt->sasl_tls)).n != 0)
		sasl = slice_str(p->opt->sasl_tls);
	return slice_trim(sasl).n == 0 ? SLICE("PLAIN") : slice_trim(sasl);
}

static void
do_capa(struct pop3_session *p, struct slice arg)
{
	if (arg.p != NULL) {
		invalid(p);
		return;
	}
	pop3_capa_put(&(struct pop3_capa){ .sasl = mechanisms(p),
			  .user = p->mechs != NULL ? p->password : p->opt->user,
			  .stls = p->opt->stls && !p->tls },
	    &p->s.out);
}

/*
 * RFC 6856 2.1 has it before login only, where sizes haven't been told yet;
 * here it is taken because clients of Courier may send it.
 */
static void
do_utf8(struct pop3_session *p, struct slice arg)
{
	if (arg.p != NULL) {
		invalid(p);
		return;
	}
	pop3_wrap_nothing(p);
	pop3_reply(p, "+OK UTF8 enabled");
}

static void
do_earlier(struct pop3_session *p, struct slice arg)
{
	(void)arg;
	/* RFC 1939 3: a command of another state. */
	pop3_reply(p, "-ERR You are logged in already.");
}

/* clang-format off */
static const struct {
	struct slice name;
	command_fn *fn;
} commands[] = {
	{ SLICE_INIT("AUTH"), do_earlier },	/* RFC 5034 4 */
	{ SLICE_INIT("CAPA"), do_capa },	/* RFC 2449 5 */
	{ SLICE_INIT("DELE"), do_dele },	/* RFC 1939 5 */
	{ SLICE_INIT("LIST"), do_list },	/* RFC 1939 5 */
	{ SLICE_INIT("NOOP"), do_noop },	/* RFC 1939 5 */
	{ SLICE_INIT("PASS"), do_earlier },
	{ SLICE_INIT("QUIT"), do_quit },	/* RFC 1939 6 */
	{ SLICE_INIT("RETR"), do_retr },	/* RFC 1939 5 */
	{ SLICE_INIT("RSET"), do_rset },	/* RFC 1939 5 */
	{ SLICE_INIT("STAT"), do_stat },	/* RFC 1939 5 */
	{ SLICE_INIT("STLS"), do_earlier },	/* RFC 2595 4 */
	{ SLICE_INIT("TOP"),  do_top },		/* RFC 1939 7 */
	{ SLICE_INIT("UIDL"), do_uidl },	/* RFC 1939 7 */
	{ SLICE_INIT("USER"), do_earlier },
	{ SLICE_INIT("UTF8"), do_utf8 },	/* RFC 6856 2.1 */
};
/* clang-format on */

void
pop3_command(struct pop3_session *p, struct slice line)
{
	struct slice arg, name;
	unsigned bad = p->bad;

	/* Blanks at the end are common, and can't mean anything here. */
	while (slice_ends(line, SLICE(" ")))
		line.n--;
	arg = line;
	(void)slice_split(&arg, ' ', &name);
	/* RFC 1939 3 has one blank there; Courier takes several */
	while (slice_starts(arg, SLICE(" ")))
		arg = slice_skip(arg, 1);
	for (size_t i = 0; i < NELEMS(commands); i++)
		if (slice_ieq(name, commands[i].name)) {
			commands[i].fn(p, arg);
			if (p->bad == bad)
				p->bad = 0;
			return;
		}
	invalid(p);
}
