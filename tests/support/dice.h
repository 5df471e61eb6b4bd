/*
 * dice: numbers by chance that are the same in each run.
 *
 * Layer:  tests.
 */
#ifndef TESTS_SUPPORT_DICE_H
#define TESTS_SUPPORT_DICE_H

#include <stdint.h>

/* Another start gives other numbers; never 0. */
static uint64_t dice_seed = 0x2545f4914f6cdd1du;

/* One of 0 … sides - 1. */
static inline uint32_t
dice(uint32_t sides)
{
	dice_seed ^= dice_seed << 13;
	dice_seed ^= dice_seed >> 7;
	dice_seed ^= dice_seed << 17;
	return (uint32_t)(dice_seed >> 33) % sides;
}

#endif
