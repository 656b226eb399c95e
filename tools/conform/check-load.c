/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of the file: what loading it has to find, before anything is opened. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "model/ident.h"

typedef const struct umdev_driver *load_entry_fn(uint32_t host_abi,
						 const struct umdev_host_ops *ops);

/* The driver's own table, without any judgement of the host; NULL with the reason in @err. */
static const struct umdev_driver *load_raw(struct kit *kit, struct umdev_error *err)
{
	const struct umdev_driver *table;
	load_entry_fn *entry;
	void *handle;

	verdict_doing("dlopen");
	handle = dlopen(kit->options->path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		error_set(err, ERROR_DRIVER_FAILED, "%s", dlerror());
		return NULL;
	}
	entry = (load_entry_fn *)(uintptr_t)dlsym(handle, "umdev_driver_entry");
	if (!entry) {
		error_set(err, ERROR_DRIVER_FAILED, "it exports no umdev_driver_entry");
		return NULL;
	}
	verdict_doing("umdev_driver_entry");
	table = entry(UMDEV_ABI_VERSION, &kit_ops);
	verdict_done();
	if (!table)
		error_set(err, ERROR_DRIVER_FAILED,
			  "its entry returns NULL for ABI %u: it was built for another umdev",
			  UMDEV_ABI_VERSION);
	else if (table->abi_version != UMDEV_ABI_VERSION)
		error_set(err, ERROR_DRIVER_FAILED, "its table is of ABI %u, this is %u",
			  table->abi_version, UMDEV_ABI_VERSION);
	else if (table->struct_size < sizeof(*table))
		error_set(err, ERROR_DRIVER_FAILED, "its table has %u bytes, %zu are needed",
			  table->struct_size, sizeof(*table));
	return err->word == ERROR_NONE ? table : NULL;
}

void check_load_entry(struct kit *kit)
{
	struct umdev_error err = {0};

	if (!load_raw(kit, &err))
		verdict_fail("%s", err.message);
}

/* As above, where another check has the reason. */
static const struct umdev_driver *load_table(struct kit *kit)
{
	struct umdev_error err = {0};
	const struct umdev_driver *table = load_raw(kit, &err);

	if (!table)
		verdict_skip("it has no table: %s", err.message);
	return table;
}

void check_load_name(struct kit *kit)
{
	const struct umdev_driver *table = load_table(kit);

	if (!kit->options->name[0])
		verdict_fail("its file is not named umdev-driver-NAME.so");
	if (!ident_driver_name_ok(kit->options->name))
		verdict_fail("a driver cannot be named '%s'", kit->options->name);
	if (!table->name || strcmp(table->name, kit->options->name) != 0)
		verdict_fail("the file is of driver %s, its table says %s", kit->options->name,
			     table->name ? table->name : "nothing");
}

void check_load_accepted(struct kit *kit)
{
	const struct umdev_driver *table = load_table(kit);
	struct host_driver driver = {0};
	struct umdev_error err = {0};

	/* By its own name: that of the file is another check's. */
	if (!table->name)
		verdict_skip("its table has no name");
	verdict_doing("umdev_driver_entry");
	if (driver_load(kit->options->path, table->name, &kit_ops, &driver, &err) < 0)
		verdict_fail("%s", err.message);
	verdict_done();
	if (table->description[strcspn(table->description, "\r\n")] || !table->description[0])
		verdict_fail("its description is not one line");
}

/* Loads as the host does, or skips. */
static void load_or_skip(struct kit *kit)
{
	struct umdev_error err = {0};

	if (kit_load(kit, &err) < 0)
		verdict_skip("the driver is not loaded: %s", err.message);
}

static void load_check_stats(const struct kit *kit)
{
	const struct umdev_stat *s;

	for (uint32_t i = 0; (s = driver_stat(&kit->driver, i)); i++) {
		if (!ident_word_ok(s->name))
			verdict_fail("statistic '%s' has no legal name", s->name);
		if (!s->description || !s->description[0])
			verdict_fail("statistic %s has no description", s->name);
		for (uint32_t j = 0; j < i; j++) {
			if (strcmp(s->name, driver_stat(&kit->driver, j)->name) == 0)
				verdict_fail("statistic '%s' stands there twice", s->name);
		}
	}
}

void check_load_tables(struct kit *kit)
{
	struct umdev_error err = {0};

	load_or_skip(kit);
	if (bridge_check_rows(&kit->driver, &err) < 0)
		verdict_fail("%s", err.message);
	load_check_stats(kit);
}

void check_load_defaults(struct kit *kit)
{
	struct spec_table options = {0};
	struct spec_table attrs = {0};
	struct umdev_error err = {0};

	load_or_skip(kit);
	if (bridge_check_rows(&kit->driver, &err) < 0)
		verdict_skip("its rows are bad: %s", err.message);
	if (bridge_options(&kit->driver, &options, &err) < 0 ||
	    bridge_attrs(&kit->driver, &attrs, &err) < 0)
		verdict_fail("a default is no value of its row: %s", err.message);
	spec_table_done(&options);
	spec_table_done(&attrs);
}

static unsigned load_count(const char *directory)
{
	DIR *dir = opendir(directory);
	unsigned count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

void check_load_unload(struct kit *kit)
{
	unsigned fds = load_count("/proc/self/fd");
	unsigned threads = load_count("/proc/self/task");

	for (unsigned i = 0; i < 3; i++) {
		load_or_skip(kit);
		if (dlclose(kit->driver.handle) != 0)
			verdict_fail("dlclose: %s", dlerror());
		kit->loaded = false;
		if (load_count("/proc/self/fd") != fds)
			verdict_fail("loading and unloading it leaves a descriptor open");
		if (load_count("/proc/self/task") != threads)
			verdict_fail("loading and unloading it leaves a thread running");
	}
}
