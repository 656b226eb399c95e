/* SPDX-License-Identifier: BSD-3-Clause */
/* Where things are. See paths.h. */
#include "broker/paths.h"

#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

/* The directory that this program was started from, or "". */
static void paths_own_dir(char dir[PATH_MAX])
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	dir[0] = '\0';
	if (n <= 0)
		return;
	exe[n] = '\0';
	snprintf(dir, PATH_MAX, "%s", dirname(exe));
}

/* The program @name beside this one, else at @installed. */
static char *paths_program(const char *name, const char *installed)
{
	char dir[PATH_MAX];
	char *path;

	paths_own_dir(dir);
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return NULL;
	if (dir[0] && access(path, X_OK) == 0)
		return path;
	free(path);
	return strdup(installed);
}

char *paths_host(void)
{
	return paths_program("umdev-host", UMDEV_HOST_PATH);
}

char *paths_sysfs(void)
{
	return paths_program("umdev-sysfs", UMDEV_SYSFS_PATH);
}

char *paths_driver_dir(void)
{
	char dir[PATH_MAX];
	umdev_autofree char *pattern = NULL;
	glob_t found = {0};
	bool here;

	paths_own_dir(dir);
	if (asprintf(&pattern, "%s/umdev-driver-*.so", dir) < 0) {
		pattern = NULL;
		return NULL;
	}
	here = dir[0] && glob(pattern, GLOB_NOSORT, NULL, &found) == 0;
	globfree(&found);
	return strdup(here ? dir : UMDEV_DRIVER_DIR);
}
