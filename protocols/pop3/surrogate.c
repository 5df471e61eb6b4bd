#include "protocols/pop3/surrogate.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/defs.h"

/* RFC 5322 3.3; always of the same length. */
static void
put_date(struct buf *out, int64_t date_ms)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu",
		"Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May",
		"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	/* of the year 9999, or where a time_t of 32 bits ends */
	const int64_t last =
	    sizeof(time_t) < sizeof(int64_t) ? INT32_MAX : 253402300799;
	int64_t date_s = date_ms / 1000;
	time_t s = (time_t)(date_s < 0 ? 0 : date_s > last ? last : date_s);
	struct tm tm = { .tm_mday = 1 };

	(void)gmtime_r(&s, &tm);
	buf_putf(out, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\n",
	    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
	    tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void
pop3_surrogate_head(
    struct buf *out, const char *type, int64_t date_ms, uint64_t id)
{
	buf_puts(out,
	    "From: Mail Delivery Subsystem <postmaster@localhost.invalid>\n"
	    "Subject: Cannot display Unicode content\n");
	put_date(out, date_ms);
	buf_putf(out,
	    "MIME-Version: 1.0\n"
	    "Content-Type: multipart/mixed; boundary=\"=_%016" PRIx64 "\"\n"
	    "\n"
	    "--=_%016" PRIx64 "\n"
	    "Content-Type: text/plain\n"
	    "\n"
	    "The header of this message has characters outside of ASCII, and\n"
	    "your mail program did not say that it can take them (the UTF8\n"
	    "command of POP3, RFC 6856).\n"
	    "\n"
	    "So the message is attached to this one, as it came.  It may be\n"
	    "a proper international message, or one that a program sent\n"
	    "without encoding its header.\n"
	    "\n"
	    "--=_%016" PRIx64 "\n"
	    "Content-Type: %s\n"
	    "\n",
	    id, id, id, type);
}

void
pop3_surrogate_tail(struct buf *out, uint64_t id)
{
	buf_putf(out, "\n--=_%016" PRIx64 "--\n", id);
}

uint64_t
pop3_surrogate_octets(const char *type)
{
	struct buf b;
	uint64_t n;

	buf_init(&b, 2 * POP3_SURROGATE_MAX);
	pop3_surrogate_head(&b, type, 0, 0);
	pop3_surrogate_tail(&b, 0);
	assert(buf_ok(&b));
	n = buf_len(&b);
	for (size_t i = 0; i < buf_len(&b); i++)
		n += buf_slice(&b).p[i] == '\n';
	buf_fini(&b);
	return n;
}
