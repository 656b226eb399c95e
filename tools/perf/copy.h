/* SPDX-License-Identifier: BSD-3-Clause */
/* The baseline for devices in memory: what one core can copy. */
#pragma once

#include <signal.h>
#include <stdint.h>

#include "options.h"

#define COPY_SIZE_DEFAULT (1ULL << 30)

/*
 * Copies blocks of options->block_bytes, picked at random from shared memory of options->size_bytes
 * (or COPY_SIZE_DEFAULT), into options->depth buffers in turn, until the runtime or count is over
 * or
 * *@stop is set. Returns 0 or -errno.
 */
int copy_run(const struct perf_options *options, const volatile sig_atomic_t *stop,
	     uint64_t *ret_copies, uint64_t *ret_window_ns,
	     struct umdev_error *err) umdev_warn_unused;
