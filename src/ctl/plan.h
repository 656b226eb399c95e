/* SPDX-License-Identifier: BSD-3-Clause */
/* The words of umdevctl plan, and of where an mdev was placed. */
#pragma once

#include "ctl/ctl.h"

/* Prints the answer of the RPC's plan for a person. */
void plan_print(const json_t *plan);

/* Tells on standard error where an mdev that was just made went and why, when a parent was chosen.
 * In mdevctl's place nothing is told. */
void plan_tell_placement(const struct ctl *ctl, const json_t *mdev);
