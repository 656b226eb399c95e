/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Objects of the RPC for tests of the tree, as the daemon makes them: the place of a parent comes
 * from the code that the daemon has it from.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "sysfs/node.h"

#define MIRROR_A "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define MIRROR_B "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"
#define MIRROR_C "83b8f4f2-509f-382f-3c1e-e6bfe0fa1003"
#define MIRROR_G "0c5b5ba6-2f0c-4a33-b3c6-3c1ee6bfe0fa"
#define MIRROR_H "0c5b5ba6-2f0c-4a33-b3c6-3c1ee6bfe0fb"

/* JSON in which a ' stands for a ". Fails the test when it is none. */
json_t *mirror_json(const char *text);

/* A PARENT in the state "ready" with attributes mdev/weight (default 100), mdev/note (no default)
 * and DRIVER/queues (default 4). */
json_t *mirror_parent(const char *name, const char *driver);

/* A list of TYPE, one for every word of @ids. */
json_t *mirror_types(const char *ids);

/* An active MDEV; @attrs as mirror_json() takes it. */
json_t *mirror_mdev(const char *uuid, const char *parent, const char *type, unsigned group,
		    const char *attrs);

/* Puts one of these and gives it back; @types may be NULL. What must not fail. */
struct tree_parent *mirror_put_parent(struct tree *tree, const char *name, const char *driver,
				      const char *types);
struct tree_mdev *mirror_put_mdev(struct tree *tree, const char *uuid, const char *parent,
				  const char *type, unsigned group);

/* The same with a member of @group. */
json_t *mirror_member(const char *uuid, const char *parent, const char *type, unsigned iommu_group,
		      const char *group);
struct tree_mdev *mirror_put_member(struct tree *tree, const char *uuid, const char *parent,
				    const char *type, unsigned iommu_group, const char *group);

/* The next number of a sequence that @seed stands for. */
uint64_t mirror_random(uint64_t *seed);

/* The first seed of a test: SYSFS_SEED of the environment, or one that is always the same. It is
 * printed. */
uint64_t mirror_seed(void);
