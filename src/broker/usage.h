/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a host says its mdevs used (LINK_USAGE), checked.
 *
 * The answer comes from the process of a driver: a number that cannot be is not shown, and takes
 * the others of the same mdev or engine with it, for nobody can tell which of them is the wrong
 * one. The knobs in it are not used: those that count are the broker's own. Pure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define USAGE_ENGINES_MAX 64

/*
 * Puts the numbers of mdev @uuid from the answer @usage (may be NULL) into @object: jobs, queued,
 * in_flight, owned_ns, estimate_ns, cap_debt_ns, wait_ns and wait_by_cause_ns, whose causes add up
 * to wait_ns. Returns false, with @object as it was, where the host did not say them or they cannot
 * be true.
 */
bool usage_take(json_t *object, const json_t *usage, const char *uuid);

/* The monotonic time of the answer, or @now_ns where it has none that can be: none after @now_ns.
 */
uint64_t usage_time_ns(const json_t *usage, uint64_t now_ns);

/* The engines: [ { name, parallelism, reserved_slots, busy_ns, in_flight } ]. NULL when out of
 * memory. */
json_t *usage_engines(const json_t *usage);

/* Whether the device schedules by itself. */
bool usage_in_hardware(const json_t *usage);
