/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the host program and the drivers are: beside this program in the build tree, else where
 * they were installed. */
#pragma once

#include "util/cleanup.h"

/* Both give a new string, freed by the caller, or NULL when out of memory. */
char *paths_host(void);
char *paths_driver_dir(void);
