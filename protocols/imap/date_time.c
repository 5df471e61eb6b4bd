#include "protocols/imap/date_time.h"

#include "base/ascii.h"
#include "protocols/mime/date.h"

static const char month_names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

/* A cursor over a date in memory; each part returns whether it was there. */
struct cursor {
	struct slice s;
	bool ok;
};

static int
digits(struct cursor *c, size_t n)
{
	int v = 0;

	if (c->s.n < n)
		c->ok = false;
	for (size_t k = 0; c->ok && k < n; k++) {
		if (!ascii_is_digit(c->s.p[k]))
			c->ok = false;
		v = v * 10 + (c->s.p[k] - '0');
	}
	if (c->ok)
		c->s = slice_skip(c->s, n);
	return v;
}

static void
expect(struct cursor *c, uint8_t byte)
{
	if (!c->ok || c->s.n == 0 || c->s.p[0] != byte) {
		c->ok = false;
		return;
	}
	c->s = slice_skip(c->s, 1);
}

static int
month(struct cursor *c)
{
	for (size_t k = 0; c->ok && k < 12; k++) {
		if (slice_istarts(c->s, slice_of(month_names + 3 * k, 3))) {
			c->s = slice_skip(c->s, 3);
			return (int)k + 1;
		}
	}
	c->ok = false;
	return 1;
}

static int
days_of(int year, int m)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30,
		31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[m - 1] + (m == 2 && leap);
}

/* "dd-Mon-yyyy", the day of one or two digits already known. */
static int64_t
rest_of_date(struct cursor *c, int day)
{
	int m, year;

	expect(c, '-');
	m = month(c);
	expect(c, '-');
	year = digits(c, 4);
	if (!c->ok || day < 1 || day > days_of(year, m)) {
		c->ok = false;
		return 0;
	}
	return mime_date_days(year, m, day);
}

static bool
is_date_char(uint8_t b)
{
	return ascii_is_alnum(b) || b == '-';
}

/* The bytes of a date, with or without quotes. */
static enum parse
date_text(struct imap_lex *lx, struct slice *out)
{
	struct slice rest;
	size_t n = 0;

	if (imap_lex_peek(lx) == '"')
		return imap_lex_string(lx, out);
	rest = slice_skip(lx->in, lx->pos);
	while (n < rest.n && is_date_char(rest.p[n]))
		n++;
	if (n == rest.n)
		return PARSE_MORE;
	*out = slice_first(rest, n);
	lx->pos += n;
	return PARSE_OK;
}

enum parse
imap_lex_date(struct imap_lex *lx, int64_t *days)
{
	struct cursor c = { .ok = true };
	size_t start = lx->pos;
	int day;
	int64_t v;
	enum parse r = date_text(lx, &c.s);

	if (r != PARSE_OK)
		return r;
	/* RFC 3501 9 date-day: 1*2DIGIT */
	day = digits(&c, c.s.n > 1 && ascii_is_digit(c.s.p[1]) ? 2 : 1);
	v = rest_of_date(&c, day);
	if (!c.ok || c.s.n != 0) {
		lx->pos = start;
		lx->why = "invalid date";
		return PARSE_BAD;
	}
	*days = v;
	return PARSE_OK;
}

/* "hh:mm:ss +zzzz" as seconds of UTC's day, perhaps below 0 or beyond. */
static int64_t
time_and_zone(struct cursor *c)
{
	int hour, minute, second, zone;
	bool west;

	hour = digits(c, 2);
	expect(c, ':');
	minute = digits(c, 2);
	expect(c, ':');
	second = digits(c, 2);
	expect(c, ' ');
	west = c->ok && c->s.n != 0 && c->s.p[0] == '-';
	expect(c, west ? '-' : '+');
	zone = digits(c, 4);
	if (hour > 23 || minute > 59 || second > 60 || zone % 100 > 59)
		c->ok = false;
	zone = (zone / 100 * 60 + zone % 100) * (west ? -1 : 1);
	return hour * 3600 + minute * 60 + second - zone * (int64_t)60;
}

enum parse
imap_lex_date_time(struct imap_lex *lx, int64_t *ms)
{
	struct cursor c = { .ok = true };
	size_t start = lx->pos;
	int64_t days, seconds;
	int day;
	enum parse r = imap_lex_string(lx, &c.s);

	if (r != PARSE_OK)
		return r;
	/* RFC 3501 9 date-day-fixed: (SP DIGIT) / 2DIGIT */
	if (c.s.n != 0 && c.s.p[0] == ' ') {
		expect(&c, ' ');
		day = digits(&c, 1);
	} else {
		day = digits(&c, 2);
	}
	days = rest_of_date(&c, day);
	expect(&c, ' ');
	seconds = time_and_zone(&c);
	if (!c.ok || c.s.n != 0) {
		lx->pos = start;
		lx->why = "invalid date-time";
		return PARSE_BAD;
	}
	*ms = (days * 86400 + seconds) * 1000;
	return PARSE_OK;
}
