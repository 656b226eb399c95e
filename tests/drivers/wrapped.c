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
 *
 * Or it is a later driver, whose state has a head before that of the real one:
 *   newer        its state_version is one more, and it converts the one before
 *   newest       its state_version is two more, and it converts the one before
 *   picky        as newer, but of states that are converted it takes the first only
 *   dies         as newer, but dies in the midst of the second conversion
 *   hangs        as newer, but the second conversion never ends
 *   unwilling    as newer, but does not go on from what it converted
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <umdev/driver.h>

#define LATER_JOBS 200

#define HEAD_SIZE  8192u
#define HEAD_MAGIC 0x6461656877656eULL

/* The first bytes of a later driver's state. */
struct head {
	uint64_t magic;
	uint64_t converted; /* not 0: it was of the version before */
};

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

static const char *later; /* which later driver it is, or NULL */

static int later_create(void *priv, struct umdev_mdev *mdev, const struct umdev_mdev_args *args,
			struct umdev_device *ret_device, void **ret_priv)
{
	struct umdev_mdev_args inner = *args;
	struct head *head = args->state;

	if (args->state_origin == UMDEV_STATE_NEW)
		*head = (struct head){.magic = HEAD_MAGIC};
	if (head->magic != HEAD_MAGIC)
		return host->fail(EBADMSG, "this state has no head");
	if (head->converted && strcmp(later, "unwilling") == 0)
		return host->fail(EBADMSG, "this state was another driver's");
	inner.state = (char *)args->state + HEAD_SIZE;
	inner.state_size = real.state_size;
	return real.mdev_create(priv, mdev, &inner, ret_device, ret_priv);
}

static int later_convert(const struct umdev_old_state *old)
{
	static unsigned calls;
	struct head *head = old->to;

	if (old->state_size != real.state_size)
		return host->fail(EBADMSG, "a state of version %u has %llu bytes", old->version,
				  (unsigned long long)real.state_size);
	/* The new one is left half done. */
	head->magic = HEAD_MAGIC;
	if (++calls == 2 && strcmp(later, "picky") == 0)
		return host->fail(EBADMSG, "this state is nothing for me");
	if (calls == 2 && strcmp(later, "dies") == 0)
		raise(SIGKILL);
	while (calls == 2 && strcmp(later, "hangs") == 0)
		sleep(1);
	head->converted = 1;
	memcpy((char *)old->to + HEAD_SIZE, old->state, old->state_size);
	return 0;
}

/* Whether @name is that of a later driver, which @table then is. */
static int later_apply(struct umdev_driver *table, const char *name)
{
	static const char *const names[] = {"newer", "newest", "picky",
					    "dies",  "hangs",  "unwilling"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		later = names[i];
		table->state_version += strcmp(name, "newest") == 0 ? 2 : 1;
		table->state_from = table->state_version - 1;
		table->state_size += HEAD_SIZE;
		table->mdev_create = later_create;
		table->convert = later_convert;
		return 1;
	}
	return 0;
}

static void apply(struct umdev_driver *table, const char *fault)
{
	if (later_apply(table, fault))
		return;
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
