/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files that read a scenario share; nobody else includes it. */
#pragma once

#include <jansson.h>

#include "field.h"
#include "scenario.h"

/* A name, and whose it is. */
struct scenario_name {
	const char *name;
	uint32_t index;
};

/* What is known while a scenario is read; the context of its field_reader. */
struct scenario_parser {
	struct scenario *scenario;
	const json_t *groups;
	const json_t *mdevs;
	struct scenario_name *group_names; /* sorted */
	bool idle;			   /* the mdev being read has no jobs */
	uint64_t depth_sum;
	uint64_t changes;
	uint64_t phases;
};

/* Read one group, one mdev. Groups and duration come before mdevs. */
int scenario_group_read(struct field_reader *reader, const json_t *value,
			struct scenario_group *group) umdev_warn_unused;
int scenario_mdev_read(struct field_reader *reader, const json_t *value,
		       struct scenario_mdev *mdev) umdev_warn_unused;
