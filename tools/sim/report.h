/* SPDX-License-Identifier: BSD-3-Clause */
/* The result of a simulation, as JSON: members in a fixed order, numbers with fixed decimals, so
 * that the same result gives the same bytes. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "scenario.h"
#include "sim.h"
#include "util/cleanup.h"

/* Prints @result of @scenario to @out, in one line or, @pretty, in many. Returns 0 or -EIO. */
int report_result(FILE *out, const struct scenario *scenario, const struct sim_result *result,
		  bool pretty) umdev_warn_unused;
