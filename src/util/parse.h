/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and words that people write. All functions take the whole text or refuse it with -EINVAL
 * (-ERANGE: too large). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

/* Decimal, or hexadecimal after 0x. No sign, no blanks. */
int parse_u64(const char *text, uint64_t *ret_value) umdev_warn_unused;

/* As parse_u64(), with an optional suffix K, M, G or T of powers of 1024, optionally followed by iB
 * or B; any case. */
int parse_bytes(const char *text, uint64_t *ret_bytes) umdev_warn_unused;

/* Decimal with at most two decimals behind a point: "60", "12.5", "0.01". The value is the number
 * times 100. */
int parse_hundredths(const char *text, uint64_t *ret_value) umdev_warn_unused;

/* 0, 1, false, true, no, yes, off, on. */
int parse_bool(const char *text, bool *ret_value) umdev_warn_unused;

/* The index of @text among the blank-separated words of @choices. */
int parse_choice(const char *text, const char *choices, uint64_t *ret_index) umdev_warn_unused;
