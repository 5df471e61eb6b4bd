/* The vectors of the paper's reference program: key and text count upwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/siphash.h"

static const struct {
	size_t n;
	uint64_t hash;
} vectors[] = {
	{ 0, 0x726fdb47dd0e0e31u },
	{ 1, 0x74f839c593dc67fdu },
	{ 7, 0xab0200f58b01d137u },
	{ 8, 0x93f5f5799a932462u },
	{ 15, 0xa129ca6149be45e5u },
	{ 63, 0x958a324ceb064572u },
};

static void
vectors_of_the_paper(void **state)
{
	uint8_t key[SIPHASH_KEY_LEN], text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_true(siphash(key, slice_of(text, vectors[i].n)) ==
		    vectors[i].hash);
}

static void
another_key_gives_another_value(void **state)
{
	uint8_t a[SIPHASH_KEY_LEN] = { 1 }, b[SIPHASH_KEY_LEN] = { 2 };

	(void)state;
	assert_true(siphash(a, SLICE("text")) != siphash(b, SLICE("text")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_the_paper),
		cmocka_unit_test(another_key_gives_another_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
