#include "tests/crash/alloc.h"

#include <stdbool.h>

unsigned long alloc_calls, alloc_fail_at;
size_t alloc_largest;

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t size);
void *__real_reallocarray(void *p, size_t count, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_reallocarray(void *p, size_t count, size_t size);

static bool
fails(size_t n)
{
	if (n > alloc_largest)
		alloc_largest = n;
	return ++alloc_calls == alloc_fail_at;
}

void *
__wrap_malloc(size_t n)
{
	return fails(n) ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails(count * size) ? NULL : __real_calloc(count, size);
}

void *
__wrap_reallocarray(void *p, size_t count, size_t size)
{
	return fails(count * size) ? NULL : __real_reallocarray(p, count, size);
}
