#include "protocols/imap/writer.h"

#include <inttypes.h>
#include <stdarg.h>

#include "protocols/imap/lex.h"
#include "protocols/imap/nstring.h"

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static bool
is_astring_atom(struct slice s)
{
	if (s.n == 0 || s.n > IMAP_QUOTED_MAX)
		return false;
	/* a bare NIL would read as no string where nstring is allowed */
	if (slice_ieq(s, SLICE("NIL")))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!imap_is_astring_char(s.p[i]))
			return false;
	return true;
}

void
imap_put_astring(struct buf *out, struct slice s)
{
	if (is_astring_atom(s))
		buf_put(out, s);
	else
		imap_put_string(out, s);
}

void
imap_put_text(struct buf *out, struct slice s)
{
	s = slice_first(s, IMAP_TEXT_MAX);
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c < 0x20 || c > 0x7e)
			c = '?';
		else if (i == 0 && c == '[')
			c = '(';
		buf_putc(out, c);
	}
}

/* Year, month 1-12 and day of a day since 1970 in the Gregorian calendar. */
static void
civil_of_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	int64_t z = days + 719468; /* since 0000-03-01 */
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	*month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	*year = yoe + era * 400 + (*month <= 2);
}

static void
two_digits(char *to, unsigned n)
{
	to[0] = (char)('0' + n / 10);
	to[1] = (char)('0' + n % 10);
}

void
imap_put_date_time(struct buf *out, int64_t wall_ms)
{
	const int64_t max_s = 253402300799; /* 9999-12-31 23:59:59 */
	char text[] = "\"DD-Mon-YYYY hh:mm:ss +0000\"";
	int64_t s = wall_ms / 1000, year;
	unsigned month, day, second;

	if (s < 0)
		s = 0;
	if (s > max_s)
		s = max_s;
	civil_of_days(s / 86400, &year, &month, &day);
	second = (unsigned)(s % 86400);
	two_digits(text + 1, day);
	if (day < 10)
		text[1] = ' ';
	memcpy(text + 4, months[month - 1], 3);
	two_digits(text + 8, (unsigned)(year / 100));
	two_digits(text + 10, (unsigned)(year % 100));
	two_digits(text + 13, second / 3600);
	two_digits(text + 16, second / 60 % 60);
	two_digits(text + 19, second % 60);
	buf_puts(out, text);
}

void
imap_put_object_id(struct buf *out, char letter, uint64_t id)
{
	buf_putf(out, "(%c%016" PRIx64 ")", letter, id);
}

void
imap_put_tagged(
    struct buf *out, struct slice tag, const char *state, const char *fmt, ...)
{
	va_list ap;

	if (tag.n == 0)
		buf_putc(out, '*');
	else
		buf_put(out, tag);
	buf_putf(out, " %s ", state);
	va_start(ap, fmt);
	buf_vputf(out, fmt, ap);
	va_end(ap);
	buf_puts(out, "\r\n");
}

void
imap_put_untagged(struct buf *out, const char *fmt, ...)
{
	va_list ap;

	buf_puts(out, "* ");
	va_start(ap, fmt);
	buf_vputf(out, fmt, ap);
	va_end(ap);
	buf_puts(out, "\r\n");
}

/* --- sets ---------------------------------------------------------------- */

void
imap_put_set_begin(struct imap_put_set *w, struct buf *out)
{
	*w = (struct imap_put_set){ .out = out };
}

static void
set_flush(struct imap_put_set *w)
{
	if (w->first == 0)
		return;
	if (w->any)
		buf_putc(w->out, ',');
	buf_putu(w->out, w->first);
	if (w->last != w->first) {
		buf_putc(w->out, ':');
		buf_putu(w->out, w->last);
	}
	w->any = true;
}

void
imap_put_set_range(struct imap_put_set *w, uint32_t first, uint32_t last)
{
	assert(first != 0 && last >= first);
	if (w->first != 0 && w->last != UINT32_MAX && first == w->last + 1) {
		w->last = last;
		return;
	}
	set_flush(w);
	w->first = first;
	w->last = last;
}

void
imap_put_set_add(struct imap_put_set *w, uint32_t n)
{
	imap_put_set_range(w, n, n);
}

void
imap_put_set_end(struct imap_put_set *w)
{
	set_flush(w);
	w->first = 0;
}
