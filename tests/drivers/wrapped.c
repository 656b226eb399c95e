/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver nvme with a fault, for tests of upgrades: put in its place under its name, it loads
 * the real one (UMDEV_TEST_REAL) and changes what UMDEV_TEST_FAULT says.
 *
 *   none     nothing
 *   version  another layout of the state
 *   types    another type
 *   crash    dies when it is to go on from a state
 *   refuse   does not go on from a state
 *   later    dies at the 200th job
 *   reset    cannot go on from a state, and says so
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <umdev/driver.h>

#define LATER_JOBS 200

static const struct umdev_host_ops *host;
static struct umdev_driver real;
static unsigned jobs;

typedef const struct umdev_driver *entry_function(uint32_t host_abi,
						  const struct umdev_host_ops *ops);

static int with_another_type(struct umdev_parent *parent, const struct umdev_parent_args *args,
			     struct umdev_parent_info *ret_info, void **ret_priv)
{
	static struct umdev_type only;
	int r = real.parent_open(parent, args, ret_info, ret_priv);

	if (r < 0)
		return r;
	only = ret_info->types[0];
	only.id = "other";
	only.name = "another type";
	ret_info->types = &only;
	ret_info->type_count = 1;
	return 0;
}

static int crash_on_resume(void *priv, struct umdev_mdev *mdev, const struct umdev_mdev_args *args,
			   struct umdev_device *ret_device, void **ret_priv)
{
	if (args->state_origin == UMDEV_STATE_RESUME)
		raise(SIGSEGV);
	return real.mdev_create(priv, mdev, args, ret_device, ret_priv);
}

static int refuse_to_resume(void *priv, struct umdev_mdev *mdev, const struct umdev_mdev_args *args,
			    struct umdev_device *ret_device, void **ret_priv)
{
	if (args->state_origin == UMDEV_STATE_RESUME)
		return host->fail(EBADMSG, "this state is nothing for me");
	return real.mdev_create(priv, mdev, args, ret_device, ret_priv);
}

static void die_later(void *mdev_priv, struct umdev_job *job)
{
	if (++jobs == LATER_JOBS)
		raise(SIGSEGV);
	real.job_start(mdev_priv, job);
}

static void apply(struct umdev_driver *table, const char *fault)
{
	if (strcmp(fault, "version") == 0)
		table->state_version++;
	else if (strcmp(fault, "types") == 0)
		table->parent_open = with_another_type;
	else if (strcmp(fault, "crash") == 0)
		table->mdev_create = crash_on_resume;
	else if (strcmp(fault, "refuse") == 0)
		table->mdev_create = refuse_to_resume;
	else if (strcmp(fault, "reset") == 0)
		table->flags |= UMDEV_DRIVER_RESET_ON_RESTART;
	else if (strcmp(fault, "later") == 0)
		table->job_start = die_later;
}

/* As UMDEV_REGISTER_DRIVER() declares it, but made of another one. */
__attribute__((visibility("default"))) const struct umdev_driver *
umdev_driver_entry(uint32_t host_abi, const struct umdev_host_ops *ops)
{
	static struct umdev_driver table;
	const char *path = getenv("UMDEV_TEST_REAL");
	const char *fault = getenv("UMDEV_TEST_FAULT");
	void *handle = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	entry_function *entry =
		handle ? (entry_function *)dlsym(handle, "umdev_driver_entry") : NULL;
	const struct umdev_driver *from = entry ? entry(host_abi, ops) : NULL;

	if (!from || from->struct_size != sizeof(real))
		return NULL;
	host = ops;
	real = *from;
	table = real;
	apply(&table, fault ? fault : "none");
	return &table;
}
