/* SPDX-License-Identifier: BSD-3-Clause */
/* Which vendor drivers there are: files umdev-driver-<name>.so in one directory. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "broker/parent.h"

#define DRIVER_PREFIX "umdev-driver-"
#define DRIVER_SUFFIX ".so"

/* Takes the driver's name out of that of a file. False when it is no driver's. */
static bool driver_file_name(const char *file, char name[IDENT_DRIVER_NAME_MAX + 1])
{
	size_t len = strlen(file);
	size_t prefix = strlen(DRIVER_PREFIX);
	size_t suffix = strlen(DRIVER_SUFFIX);

	if (len <= prefix + suffix || len > prefix + suffix + IDENT_DRIVER_NAME_MAX ||
	    strncmp(file, DRIVER_PREFIX, prefix) != 0 ||
	    strcmp(file + len - suffix, DRIVER_SUFFIX) != 0)
		return false;
	memcpy(name, file + prefix, len - prefix - suffix);
	name[len - prefix - suffix] = '\0';
	return ident_driver_name_ok(name);
}

json_t *drivers_list(const struct broker *broker)
{
	struct dirent **files = NULL;
	int n = scandir(broker->config.driver_dir, &files, NULL, alphasort);
	json_t *list = json_array();

	for (int i = 0; i < n; i++) {
		char name[IDENT_DRIVER_NAME_MAX + 1];

		if (driver_file_name(files[i]->d_name, name))
			json_array_append_new(
				list, json_pack("{s:s,s:o}", "name", name, "path",
						json_sprintf("%s/%s", broker->config.driver_dir,
							     files[i]->d_name)));
		free(files[i]);
	}
	free(files);
	return list;
}

int drivers_check(const struct broker *broker, const char *driver, struct umdev_error *err)
{
	char known[200] = "";
	json_t *list = drivers_list(broker);
	bool found = false;
	size_t i;
	json_t *entry;

	json_array_foreach (list, i, entry) {
		const char *name = json_string_value(json_object_get(entry, "name"));
		size_t used = strlen(known);

		found = found || strcmp(name, driver) == 0;
		snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", name);
	}
	json_decref(list);
	if (found)
		return 0;
	return error_set_key(err, ERROR_UNKNOWN_DRIVER, "driver",
			     "there is no driver '%.32s' in %s; there are: %s", driver,
			     broker->config.driver_dir, known[0] ? known : "none");
}
