#include "base/num.h"

#include "base/ascii.h"

bool
num_u64(struct slice s, uint64_t *v)
{
	uint64_t sum = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.p[i]) ||
		    __builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, s.p[i] - '0', &sum))
			return false;
	}
	*v = sum;
	return true;
}

bool
num_u32(struct slice s, uint32_t *v)
{
	uint64_t wide;

	if (!num_u64(s, &wide) || wide > UINT32_MAX)
		return false;
	*v = (uint32_t)wide;
	return true;
}

bool
num_i64(struct slice s, int64_t *v)
{
	bool minus = s.n > 0 && s.p[0] == '-';
	uint64_t wide;

	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
		s = slice_skip(s, 1);
	if (!num_u64(s, &wide) || wide > INT64_MAX)
		return false;
	*v = minus ? -(int64_t)wide : (int64_t)wide;
	return true;
}

bool
num_hex64(struct slice s, uint64_t *v)
{
	uint64_t sum = 0;

	if (s.n == 0 || s.n > 16)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int digit = ascii_hex(s.p[i]);
		if (digit < 0)
			return false;
		sum = sum << 4 | (unsigned)digit;
	}
	*v = sum;
	return true;
}
