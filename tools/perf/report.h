/* SPDX-License-Identifier: BSD-3-Clause */
/* What a run was and what came of it, for a person or a program. */
#pragma once

#include <stdio.h>

#include "load.h"
#include "nvme.h"
#include "options.h"
#include "stats.h"

/* Prints a run as text, or as one JSON object when options->json. Returns 0 or -ENOMEM. */
int report_load(FILE *out, const struct perf_options *options, const struct nvme_ctrl *ctrl,
		const struct load_result *result);

/* Prints the memcpy baseline: @copies of options->block_bytes in @window_ns. */
int report_memcpy(FILE *out, const struct perf_options *options, uint64_t copies,
		  uint64_t window_ns);
