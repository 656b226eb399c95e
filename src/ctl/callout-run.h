/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Running one script of somebody else's, with bounds on its time and its output.
 *
 * There is no shell in between. The script is in a process group of its own, so that it and what it
 * started end together when it takes too long, or when a signal ends this program meanwhile.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

#define CALLOUT_OUTPUT_MAX    65536 /* bytes kept of what it prints */
#define CALLOUT_COMPLAINT_MAX 4096  /* ... and of what it says on standard error */

struct callout_result {
	int status;			       /* its exit status; -1 when a signal ended it */
	int signal;			       /* that signal, or 0 */
	char output[CALLOUT_OUTPUT_MAX + 1];   /* ends with NUL */
	char complaint[CALLOUT_COMPLAINT_MAX]; /* ends with NUL */
	size_t output_len;
	size_t complaint_len;
};

/*
 * Runs argv[0], a path, with @input (NULL: nothing) on standard input and waits at most @limit_ns
 * for it. Returns 0 when it ended, -ETIMEDOUT when it did not and was killed, -EINTR when a signal
 * came that ends this program once it returns, or another -errno when it could not be started.
 */
int callout_run(const char *const *argv, const char *input, uint64_t limit_ns,
		struct callout_result *ret) umdev_warn_unused;
