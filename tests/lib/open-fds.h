/* SPDX-License-Identifier: BSD-3-Clause */
/* How many descriptors the process has open, for tests that must leave as many as they found. */
#pragma once

#include <dirent.h>
#include <stdlib.h>

static inline int count_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		abort();
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ., .., and the directory itself */
}
