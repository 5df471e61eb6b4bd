#include "protocols/mime/date.h"

#include "base/ascii.h"
#include "protocols/mime/lex.h"

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
days_of_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30,
		31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

int64_t
mime_date_days(int year, int month, int day)
{
	/* Years begin with March here, so the leap day is the last. */
	int64_t y = month <= 2 ? (int64_t)year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year =
	    (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	    of_year - 719468;
}

/* Take a run of letters. */
static struct slice
take_word(struct slice *in)
{
	struct slice word = *in;
	size_t n = 0;

	while (n < in->n && ascii_is_alpha(in->p[n]))
		n++;
	*in = slice_skip(*in, n);
	return slice_first(word, n);
}

/* Take a number of at most max digits; how many to *digits. */
static bool
take_number(struct slice *in, size_t max, int *value, size_t *digits)
{
	size_t n = 0;
	int v = 0;

	while (n < in->n && ascii_is_digit(in->p[n])) {
		if (n == max)
			return false;
		v = v * 10 + (in->p[n++] - '0');
	}
	if (n == 0)
		return false;
	*in = slice_skip(*in, n);
	*value = v;
	*digits = n;
	return true;
}

/* Pass over white space, comments and the separators of dates. */
static void
skip_gap(struct slice *in)
{
	while (mime_lex_cfws(in) ||
	    (in->n != 0 &&
		(in->p[0] == ',' || in->p[0] == '-' || in->p[0] == '.')))
		if (in->n != 0 &&
		    (in->p[0] == ',' || in->p[0] == '-' || in->p[0] == '.'))
			*in = slice_skip(*in, 1);
}

/* 1-12 for a word that begins with the name of a month, else 0. */
static int
month_of(struct slice word)
{
	static const struct slice names[] = { SLICE_INIT("jan"),
		SLICE_INIT("feb"), SLICE_INIT("mar"), SLICE_INIT("apr"),
		SLICE_INIT("may"), SLICE_INIT("jun"), SLICE_INIT("jul"),
		SLICE_INIT("aug"), SLICE_INIT("sep"), SLICE_INIT("oct"),
		SLICE_INIT("nov"), SLICE_INIT("dec") };

	for (size_t i = 0; i < NELEMS(names); i++)
		if (slice_istarts(word, names[i]))
			return (int)i + 1;
	return 0;
}

static bool
take_month(struct slice *in, int *month)
{
	struct slice rest = *in;
	int m = month_of(take_word(&rest));

	if (m == 0)
		return false;
	*in = rest;
	*month = m;
	return true;
}

static bool
take_year(struct slice *in, int *year)
{
	size_t digits;
	int y;

	if (!take_number(in, 4, &y, &digits) || digits < 2)
		return false;
	/* RFC 5322 4.3: obs-year */
	if (digits == 2)
		y += y < 50 ? 2000 : 1900;
	else if (digits == 3)
		y += 1900;
	*year = y;
	return true;
}

/* Pass over a ":" and the white space around it. */
static bool
take_colon(struct slice *in)
{
	struct slice rest = *in;

	(void)mime_lex_cfws(&rest);
	if (rest.n == 0 || rest.p[0] != ':')
		return false;
	*in = slice_skip(rest, 1);
	(void)mime_lex_cfws(in);
	return true;
}

/* Pass over a fraction of a second (RFC 3339 has it, mail hasn't). */
static void
skip_fraction(struct slice *in)
{
	if (in->n < 2 || (in->p[0] != '.' && in->p[0] != ',') ||
	    !ascii_is_digit(in->p[1]))
		return;
	*in = slice_skip(*in, 1);
	while (in->n != 0 && ascii_is_digit(in->p[0]))
		*in = slice_skip(*in, 1);
}

/* Pass over AM or PM, and count the hour of the day. */
static void
take_half(struct slice *in, int *hour)
{
	struct slice rest = *in, word;

	(void)mime_lex_cfws(&rest);
	word = take_word(&rest);
	if (slice_ieq(word, SLICE("PM"))) {
		if (*hour < 12)
			*hour += 12;
	} else if (slice_ieq(word, SLICE("AM"))) {
		if (*hour == 12)
			*hour = 0;
	} else {
		return;
	}
	*in = rest;
}

/* hour ":" minute [ ":" second ], also as programs write it that don't know the
 * form of mail; *d is untouched unless it's there. */
static bool
take_time(struct slice *in, struct mime_date *d)
{
	struct slice rest = *in;
	int hour, minute, second = 0;
	size_t digits;

	if (!take_number(&rest, 2, &hour, &digits) || !take_colon(&rest) ||
	    !take_number(&rest, 2, &minute, &digits))
		return false;
	if (take_colon(&rest) && !take_number(&rest, 2, &second, &digits))
		return false;
	skip_fraction(&rest);
	take_half(&rest, &hour);
	*in = rest;
	d->hour = hour;
	d->minute = minute;
	d->second = second;
	return true;
}

/* The named zones of RFC 5322 4.3; false if the name means nothing. */
static bool
zone_of(struct slice name, int *minutes)
{
	static const struct {
		struct slice name;
		int hours;
	} zones[] = { { SLICE_INIT("ut"), 0 }, { SLICE_INIT("utc"), 0 },
		{ SLICE_INIT("gmt"), 0 }, { SLICE_INIT("z"), 0 },
		{ SLICE_INIT("est"), -5 }, { SLICE_INIT("edt"), -4 },
		{ SLICE_INIT("cst"), -6 }, { SLICE_INIT("cdt"), -5 },
		{ SLICE_INIT("mst"), -7 }, { SLICE_INIT("mdt"), -6 },
		{ SLICE_INIT("pst"), -8 }, { SLICE_INIT("pdt"), -7 } };

	for (size_t i = 0; i < NELEMS(zones); i++) {
		if (slice_ieq(name, zones[i].name)) {
			*minutes = zones[i].hours * 60;
			return true;
		}
	}
	/* RFC 5322 4.3: military letters and unknown names are "-0000" */
	return false;
}

/* ( "+" / "-" ) 4DIGIT, also with a colon; false if it's malformed */
static bool
take_offset(struct slice *in, int *minutes, bool *known)
{
	bool minus = in->p[0] == '-';
	struct slice rest = slice_skip(*in, 1);
	size_t digits;
	int v, m;

	if (!take_number(&rest, 4, &v, &digits))
		return false;
	if (digits <= 2) {
		v *= 100;
		if (rest.n != 0 && rest.p[0] == ':') {
			rest = slice_skip(rest, 1);
			if (!take_number(&rest, 2, &m, &digits))
				return false;
			v += m;
		}
	}
	if (v % 100 > 59)
		return false;
	*in = rest;
	v = v / 100 * 60 + v % 100;
	*minutes = minus ? -v : v;
	/* RFC 5322 3.3: "-0000" says nothing about the local zone */
	*known = !(minus && v == 0);
	return true;
}

static void
take_zone(struct slice *in, struct mime_date *d)
{
	struct slice rest;

	(void)mime_lex_cfws(in);
	if (in->n != 0 && ascii_is_alpha(in->p[0])) {
		d->zone_known = zone_of(take_word(in), &d->zone_min);
		/* "GMT+0200" is seen in the wild */
		rest = *in;
		if (!d->zone_known || rest.n == 0)
			return;
	} else {
		rest = *in;
	}
	if (rest.n != 0 && (rest.p[0] == '+' || rest.p[0] == '-') &&
	    take_offset(&rest, &d->zone_min, &d->zone_known))
		*in = rest;
}

/* RFC 5322 3.3 ranges; a second of 60 is a leap second. */
static bool
is_valid(const struct mime_date *d)
{
	return d->day >= 1 && d->day <= days_of_month(d->year, d->month) &&
	    d->hour <= 23 && d->minute <= 59 && d->second <= 60;
}

/* Day, month, year, time and zone in either order of the two. */
static bool
take_fields(struct slice *in, struct mime_date *d)
{
	bool year_last = false;
	size_t digits;

	if (take_month(in, &d->month)) {
		skip_gap(in);
		if (!take_number(in, 2, &d->day, &digits))
			return false;
		skip_gap(in);
		/* asctime: "Nov 6 08:49:37 1994" */
		year_last = take_time(in, d);
		if (year_last) {
			(void)mime_lex_cfws(in);
			if (in->n != 0 && !ascii_is_digit(in->p[0]))
				take_zone(in, d);
			skip_gap(in);
		}
		return take_year(in, &d->year);
	}
	if (!take_number(in, 2, &d->day, &digits))
		return false;
	skip_gap(in);
	if (!take_month(in, &d->month))
		return false;
	skip_gap(in);
	return take_year(in, &d->year);
}

bool
mime_date_parse(struct slice value, struct mime_date *date)
{
	struct mime_date d = { .epoch = 0 };
	struct slice in = value, rest;

	skip_gap(&in);
	rest = in;
	/* the day of the week, which says nothing new */
	if (month_of(take_word(&rest)) == 0)
		in = rest;
	skip_gap(&in);
	if (!take_fields(&in, &d))
		return false;
	(void)mime_lex_cfws(&in);
	if (d.hour == 0 && d.minute == 0 && d.second == 0)
		(void)take_time(&in, &d);
	if (!d.zone_known && d.zone_min == 0)
		take_zone(&in, &d);
	if (!is_valid(&d))
		return false;
	d.epoch = mime_date_days(d.year, d.month, d.day) * 86400 +
	    (int64_t)d.hour * 3600 + (int64_t)d.minute * 60 + d.second -
	    (int64_t)d.zone_min * 60;
	*date = d;
	return true;
}
