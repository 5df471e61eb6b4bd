/*
 * slice: borrowed bytes.  Wire data is never NUL-terminated and never goes
 * through the str* functions, ctype or the locale; it travels as a slice.
 *
 * Layer:  base.  No allocation.
 * Memory: a slice owns nothing; it ends with what it points into.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *p; /* may be NULL when n is 0 */
	size_t n;
};

/* A slice of a string literal, without its NUL; also as an initialiser. */
#define SLICE(lit) ((struct slice){ (const uint8_t *)(lit), sizeof(lit) - 1 })
#define SLICE_INIT(lit)                                                        \
 {                                                                             \
  (const uint8_t *)(lit), sizeof(lit) - 1                                      \
 }
/* printf("%.*s") arguments; only for bytes known to be printable. */
#define SLICE_ARG(s) (int)(s).n, (const char *)(s).p

static inline struct slice
slice_of(const void *p, size_t n)
{
	return (struct slice){ (const uint8_t *)p, n };
}

/* The bytes of a C string (NULL gives the empty slice). */
static inline struct slice
slice_str(const char *s)
{
	return slice_of(s, s != NULL ? strlen(s) : 0);
}

/* s without its first n bytes (all of them when n is larger). */
static inline struct slice
slice_skip(struct slice s, size_t n)
{
	if (n > s.n)
		n = s.n;
	return slice_of(s.n != 0 ? s.p + n : s.p, s.n - n);
}

/* At most the first n bytes of s. */
static inline struct slice
slice_first(struct slice s, size_t n)
{
	return slice_of(s.p, n < s.n ? n : s.n);
}

/* Byte-wise equality. */
bool slice_eq(struct slice a, struct slice b);
/* memcmp order, a shorter prefix first. */
int slice_cmp(struct slice a, struct slice b);
/* slice_cmp after folding ASCII letters. */
int slice_icmp(struct slice a, struct slice b);
/* Equality that folds ASCII letters only. */
static inline bool
slice_ieq(struct slice a, struct slice b)
{
	return a.n == b.n && slice_icmp(a, b) == 0;
}
/* Whether s begins with prefix; the i form folds ASCII letters. */
bool slice_starts(struct slice s, struct slice prefix);
bool slice_istarts(struct slice s, struct slice prefix);
/* Whether s ends with suffix. */
bool slice_ends(struct slice s, struct slice suffix);
/* Index of the first byte c in s, or s.n. */
size_t slice_find(struct slice s, uint8_t c);
/* Index of the last byte c in s, or s.n. */
size_t slice_rfind(struct slice s, uint8_t c);
/* Whether s holds the byte c. */
bool slice_has(struct slice s, uint8_t c);
/* Whether what stands anywhere in s; several times faster than memmem(). */
bool slice_contains(struct slice s, struct slice what);
/* Index of the first place where a and then b stand, or s.n. */
size_t slice_find_pair(struct slice s, uint8_t a, uint8_t b);
/* How many LF s has, and how many of these have no CR before them. */
struct slice_lines {
	size_t all, bare;
};
/* before: the byte that stands before s. */
struct slice_lines slice_count_lines(struct slice s, uint8_t before);
/* s without leading and trailing blanks, tabs, CR and LF. */
struct slice slice_trim(struct slice s);
/*
 * Take what stands before the first byte sep off the front of *rest, and sep
 * itself.  Without a sep all of *rest is taken.  Returns false when *rest had
 * ended before (its p is then NULL), so that a loop sees "a,,b," as 4 pieces.
 */
bool slice_split(struct slice *rest, uint8_t sep, struct slice *piece);
/* A NUL-terminated copy on the heap; the caller frees.  Never NULL. */
char *slice_dup(struct slice s);

#endif
