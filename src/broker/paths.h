/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the other programs and the drivers are: beside this program in the build tree, else where
 * they were installed. */
#pragma once

#include "util/cleanup.h"

/* All give a new string, freed by the caller, or NULL when out of memory. */
char *paths_host(void);
char *paths_driver_dir(void);
char *paths_sysfs(void);
