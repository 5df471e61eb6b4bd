#include "maildir/file_name.h"

#include <unistd.h>

#include "base/ascii.h"
#include "base/num.h"

enum { HOST_MAX = 64 };

/* Of a message, in bytes: sums of that many fit into 64 bits. */
#define SIZE_MOST (UINT64_C(1) << 48)

static const struct {
	uint8_t letter;
	uint32_t flag;
} flag_letters[] = {
	{ 'D', MESSAGE_DRAFT },
	{ 'F', MESSAGE_FLAGGED },
	{ 'P', MESSAGE_FORWARDED },
	{ 'R', MESSAGE_ANSWERED },
	{ 'S', MESSAGE_SEEN },
	{ 'T', MESSAGE_DELETED },
};

uint64_t
place_letter(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return UINT64_C(1) << (c - 'A');
	if (c >= 'a' && c <= 'z')
		return UINT64_C(1) << (c - 'a' + 26);
	return 0;
}

uint32_t
place_flags(uint64_t place)
{
	uint32_t flags = 0;

	for (size_t i = 0; i < NELEMS(flag_letters); i++)
		if (place & place_letter(flag_letters[i].letter))
			flags |= flag_letters[i].flag;
	return flags;
}

uint64_t
place_with_flags(uint64_t place, uint32_t flags)
{
	place = (place & PLACE_LETTERS) | PLACE_INFO;
	for (size_t i = 0; i < NELEMS(flag_letters); i++) {
		place &= ~place_letter(flag_letters[i].letter);
		if (flags & flag_letters[i].flag)
			place |= place_letter(flag_letters[i].letter);
	}
	return place;
}

/* The letters of an info part; false: not spelled as we would. */
static bool
letters_of(struct slice s, uint64_t *place)
{
	bool plain = true;
	uint64_t last = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint64_t bit = place_letter(s.p[i]);

		if (bit <= last)
			plain = false;
		last = bit;
		*place |= bit;
	}
	return plain;
}

void
file_name_parse(struct slice name, bool in_new, struct file_name *out)
{
	size_t colon = slice_rfind(name, ':');
	struct slice info = slice_skip(name, colon);

	*out = (struct file_name){ .base = name };
	if (in_new)
		out->place |= PLACE_NEW;
	/* Other text behind a colon is not an info part but the name itself. */
	if (!slice_starts(info, SLICE(":2,")))
		return;
	out->base = slice_first(name, colon);
	out->place |= PLACE_INFO;
	if (!letters_of(slice_skip(info, 3), &out->place)) {
		out->place |= PLACE_ODD;
		out->odd = info;
	}
}

void
file_name_put(
    struct buf *out, struct slice base, uint64_t place, struct slice odd)
{
	buf_put(out, base);
	if (place & PLACE_ODD)
		buf_put(out, odd);
	else if (place & PLACE_INFO) {
		buf_put(out, SLICE(":2,"));
		for (int i = 0; i < 52; i++)
			if (place >> i & 1)
				buf_putc(out,
				    (uint8_t)(i < 26 ? 'A' + i : 'a' + i - 26));
	}
	(void)buf_cstr(out);
}

bool
file_name_size(struct slice base, uint64_t *size)
{
	struct slice rest = base;
	uint64_t value;

	while (rest.n != 0) {
		size_t n = 0;

		rest = slice_skip(rest, slice_find(rest, ','));
		if (!slice_starts(rest, SLICE(",S="))) {
			rest = slice_skip(rest, 1);
			continue;
		}
		rest = slice_skip(rest, 3);
		while (n < rest.n && ascii_is_digit(rest.p[n]))
			n++;
		if (!num_u64(slice_first(rest, n), &value) || value > SIZE_MOST)
			return false;
		*size = value;
		return true;
	}
	return false;
}

/* The digits a name begins with, without leading zeros. */
static struct slice
leading_number(struct slice s)
{
	size_t n = 0, zeros = 0;

	while (n < s.n && ascii_is_digit(s.p[n]))
		n++;
	while (zeros < n && s.p[zeros] == '0')
		zeros++;
	return slice_of(s.p + zeros, n - zeros);
}

int
file_name_order(struct slice a, struct slice b)
{
	struct slice na = leading_number(a), nb = leading_number(b);
	int order;

	if (na.n != nb.n)
		return na.n < nb.n ? -1 : 1;
	order = slice_cmp(na, nb);
	return order != 0 ? order : slice_cmp(a, b);
}

uint64_t
file_name_key(struct slice base)
{
	uint64_t key = 0;

	for (size_t i = 0; i < base.n && ascii_is_digit(base.p[i]); i++) {
		if (key >= UINT64_MAX / 10 - 1)
			return UINT64_MAX;
		key = key * 10 + (uint64_t)(base.p[i] - '0');
	}
	return key;
}

static void
put_stamp(struct buf *out, const struct file_unique *u)
{
	int64_t ms = u->wall_ms > 0 ? u->wall_ms : 0;

	/* The clock gives milliseconds; the counter fills them up, so that
	 * names of one process sort in the order they were made. */
	buf_putf(out, "%lld.M%lldP%ld", (long long)(ms / 1000),
	    (long long)(ms % 1000 * 1000 + (int64_t)(u->counter % 1000)),
	    (long)getpid());
}

void
file_name_tmp(struct buf *out, const struct file_unique *u)
{
	put_stamp(out, u);
	buf_putf(out, "_%llu.%s", (unsigned long long)u->counter, u->host);
	(void)buf_cstr(out);
}

void
file_name_final(struct buf *out, const struct file_unique *u, uint64_t dev,
    uint64_t ino, uint64_t size)
{
	put_stamp(out, u);
	buf_putf(out, "V%016llXI%016llX_%llu.%s,S=%llu",
	    (unsigned long long)dev, (unsigned long long)ino,
	    (unsigned long long)u->counter, u->host, (unsigned long long)size);
	(void)buf_cstr(out);
}

char *
file_name_host(const char *host)
{
	struct buf b;
	struct slice s = slice_first(slice_str(host), HOST_MAX);
	char *out;

	buf_init(&b, HOST_MAX * 4 + 1);
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '/' || c == ':' || c == ',' || c <= 0x20 || c >= 0x7f)
			buf_putf(&b, "\\%03o", c);
		else
			buf_putc(&b, c);
	}
	if (s.n == 0)
		buf_puts(&b, "localhost");
	out = slice_dup(buf_slice(&b));
	buf_fini(&b);
	return out;
}
