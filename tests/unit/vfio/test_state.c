/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ways between migration states, held against the protocol's rule: the shortest way over the
 * direct steps, with no saving state in the middle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vfio/wire.h"

#define STATES 8

static const struct {
	uint32_t from;
	uint32_t to;
} arcs[] = {
	{WIRE_STATE_RUNNING, WIRE_STATE_STOP},	 {WIRE_STATE_STOP, WIRE_STATE_RUNNING},
	{WIRE_STATE_STOP, WIRE_STATE_STOP_COPY}, {WIRE_STATE_STOP_COPY, WIRE_STATE_STOP},
	{WIRE_STATE_STOP, WIRE_STATE_RESUMING},	 {WIRE_STATE_RESUMING, WIRE_STATE_STOP},
};

static bool is_arc(uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < ARRAY_SIZE(arcs); i++) {
		if (arcs[i].from == from && arcs[i].to == to)
			return true;
	}
	return false;
}

/* The fewest arcs from one state to another without STOP_COPY in the middle; STATES: none. */
static unsigned distance(uint32_t from, uint32_t to)
{
	unsigned best[STATES];

	for (uint32_t i = 0; i < STATES; i++)
		best[i] = i == from ? 0 : STATES;
	for (unsigned round = 0; round < STATES; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(arcs); i++) {
			uint32_t a = arcs[i].from;

			if (a == WIRE_STATE_STOP_COPY && a != from)
				continue;
			best[arcs[i].to] = MIN(best[arcs[i].to], best[a] + 1);
		}
	}
	return best[to];
}

static void test_all_pairs(void **state)
{
	for (uint32_t from = WIRE_STATE_STOP; from <= WIRE_STATE_RESUMING; from++) {
		for (uint32_t to = WIRE_STATE_STOP; to <= WIRE_STATE_RESUMING; to++) {
			unsigned left = distance(from, to);
			uint32_t at = from;

			assert_true(left < STATES);
			for (; at != to; left--) {
				int next = wire_state_step(at, to);

				assert_true(next >= 0 && left > 0);
				assert_true(is_arc(at, (uint32_t)next));
				assert_true(next != WIRE_STATE_STOP_COPY || (uint32_t)next == to);
				at = (uint32_t)next;
			}
			assert_int_equal(left, 0);
			assert_int_equal(wire_state_step(to, to), to);
		}
	}
}

static void test_none(void **state)
{
	static const uint32_t none[] = {WIRE_STATE_ERROR, 5, 6, 7, 8, 255, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		for (uint32_t other = 0; other <= WIRE_STATE_RESUMING; other++) {
			assert_int_equal(wire_state_step(none[i], other), -EINVAL);
			assert_int_equal(wire_state_step(other, none[i]), -EINVAL);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_pairs),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
