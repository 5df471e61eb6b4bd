/*
 * Dovecot's unique-ids, and its list of subscriptions.
 *
 * subscriptions: a name a line; or "V\t2", an empty line, then names whose
 * parts are separated by TABs and escaped (\001 and t, n, r, 0 or 1).
 */
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/utf7.h"
#include "maildir/dir.h"
#include "maildir/file_name.h"
#include "maildir/foreign_impl.h"
#include "maildir/name.h"

/* RFC 1939 7 has 70; a file's name can be longer, and clients know it so. */
enum { UNIQUE_ID_MAX = 255, NUMBER_WIDTH_MAX = 20 };

/* --- unique-ids ----------------------------------------------------------- */

static void
put_number(struct buf *out, uint32_t v, unsigned width, bool zeros, bool hex)
{
	char digits[NUMBER_WIDTH_MAX + 1];
	size_t n = 0;

	do {
		unsigned base = hex ? 16 : 10;

		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v != 0);
	for (size_t i = n; i < width; i++)
		buf_putc(out, zeros ? '0' : ' ');
	while (n > 0)
		buf_putc(out, (uint8_t)digits[--n]);
}

/* "u", "08Xv" behind a '%'; taken off the front of *rest. */
static bool
put_short(struct buf *out, struct slice *rest, const struct foreign_uid *u,
    uint32_t uidvalidity)
{
	unsigned width = 0;
	bool zeros = false, hex = false;
	uint8_t c;

	if (rest->n != 0 && rest->p[0] == '0') {
		zeros = true;
		*rest = slice_skip(*rest, 1);
	}
	while (rest->n != 0 && ascii_is_digit(rest->p[0])) {
		width = width * 10 + (unsigned)(rest->p[0] - '0');
		if (width > NUMBER_WIDTH_MAX)
			return false;
		*rest = slice_skip(*rest, 1);
	}
	if (rest->n != 0 && rest->p[0] == 'X') {
		hex = true;
		*rest = slice_skip(*rest, 1);
	}
	if (rest->n == 0)
		return false;
	c = rest->p[0];
	*rest = slice_skip(*rest, 1);
	switch (c) {
	case 'u':
		put_number(out, u->uid, width, zeros, hex);
		return true;
	case 'v':
		put_number(out, uidvalidity, width, zeros, hex);
		return true;
	case 'f':
		buf_put(out, u->base);
		return true;
	case 'g':
		buf_put(out, u->guid.n != 0 ? u->guid : u->base);
		return true;
	case '%':
		buf_putc(out, '%');
		return true;
	default:
		return false;
	}
}

/* "uid | hex(8)" between "%{" and "}". */
static bool
put_long(struct buf *out, struct slice what, const struct foreign_uid *u,
    uint32_t uidvalidity)
{
	struct slice name, filter = what;
	uint32_t width = 0;
	bool hex = false;

	(void)slice_split(&filter, '|', &name);
	name = slice_trim(name);
	filter = slice_trim(filter);
	if (filter.n != 0) {
		hex = true;
		if (!slice_starts(filter, SLICE("hex")))
			return false;
		filter = slice_skip(filter, 3);
		if (filter.n != 0 &&
		    (filter.n < 3 || filter.p[0] != '(' ||
			filter.p[filter.n - 1] != ')' ||
			!num_u32(
			    slice_of(filter.p + 1, filter.n - 2), &width) ||
			width > NUMBER_WIDTH_MAX))
			return false;
	}
	if (slice_eq(name, SLICE("uid")))
		put_number(out, u->uid, width, true, hex);
	else if (slice_eq(name, SLICE("uidvalidity")))
		put_number(out, uidvalidity, width, true, hex);
	else if (slice_eq(name, SLICE("filename")) && !hex)
		buf_put(out, u->base);
	else if (slice_eq(name, SLICE("guid")) && !hex)
		buf_put(out, u->guid.n != 0 ? u->guid : u->base);
	else
		return false;
	return true;
}

static bool
is_unique_id(struct slice s)
{
	/* RFC 1939 7: characters in the range 0x21 to 0x7e */
	if (s.n == 0 || s.n > UNIQUE_ID_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x21 || s.p[i] > 0x7e)
			return false;
	return true;
}

bool
dovecot_uidl_format(struct buf *out, struct slice format,
    const struct foreign_uid *u, uint32_t uidvalidity)
{
	size_t before = buf_len(out);
	struct slice rest = format, what;
	bool ok = true;

	if (u->uidl.n != 0) {
		buf_put(out, u->uidl);
		rest = slice_of(NULL, 0);
	}
	while (ok && rest.n != 0) {
		uint8_t c = rest.p[0];

		rest = slice_skip(rest, 1);
		if (c != '%') {
			buf_putc(out, c);
		} else if (rest.n != 0 && rest.p[0] == '{') {
			rest = slice_skip(rest, 1);
			ok = slice_has(rest, '}') &&
			    slice_split(&rest, '}', &what) &&
			    put_long(out, what, u, uidvalidity);
		} else {
			ok = put_short(out, &rest, u, uidvalidity);
		}
	}
	if (ok && buf_ok(out) &&
	    is_unique_id(slice_skip(buf_slice(out), before)))
		return true;
	if (buf_ok(out))
		buf_truncate(out, before);
	return false;
}

/* --- subscriptions -------------------------------------------------------- */

/* A part of a name, with its escapes undone. */
static void
put_part(struct buf *out, struct slice part)
{
	static const char from[] = "tnr01", to[] = "\t\n\r\0\001";
	struct buf raw;

	buf_init(&raw, 4096);
	for (size_t i = 0; i < part.n; i++) {
		const char *p;

		if (part.p[i] == '\001' && i + 1 < part.n &&
		    (p = strchr(from, part.p[i + 1])) != NULL && *p != '\0') {
			buf_putc(&raw, (uint8_t)to[p - from]);
			i++;
		} else {
			buf_putc(&raw, part.p[i]);
		}
	}
	name_put_decoded(out, buf_slice(&raw));
	buf_fini(&raw);
}

void
dovecot_subscriptions_parse(struct slice bytes, struct buf *out)
{
	struct slice line, part;
	static const struct slice header = SLICE_INIT("V\t2\n");
	bool tabs = slice_starts(bytes, header);

	if (tabs)
		bytes = slice_skip(bytes, header.n);
	while (foreign_line(&bytes, &line)) {
		size_t before = buf_len(out);

		if (line.n == 0)
			continue;
		if (!tabs) {
			name_put_decoded(out, line);
		} else {
			for (bool first = true; slice_split(&line, '\t', &part);
			     first = false) {
				if (!first)
					buf_putc(out, '.');
				put_part(out, part);
			}
		}
		if (!buf_ok(out))
			return;
		/* what can't be a line, or a name */
		if (slice_has(slice_skip(buf_slice(out), before), '\n'))
			buf_truncate(out, before);
		else
			buf_putc(out, '\n');
	}
}

int
dovecot_subscriptions_read(int root_fd, struct buf *out)
{
	struct buf bytes;
	int found;

	buf_init(&bytes, FOREIGN_SUBSCRIPTION_BYTES);
	found = foreign_file_read(root_fd, "", "subscriptions", &bytes);
	if (found == 1)
		dovecot_subscriptions_parse(buf_slice(&bytes), out);
	buf_fini(&bytes);
	return found;
}
