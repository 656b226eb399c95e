/* SPDX-License-Identifier: BSD-3-Clause */
/* What mdevs own of the parent and what they wait for, in JSON for the broker. Shapes:
 * link/protocol.h. */
#include <string.h>

#include "host/host.h"
#include "host/usage.h"
#include "util/clock.h"

/* As many as fit into one message. */
#define USAGE_MDEVS_MAX 128

static json_t *usage_engines(const struct umdev_parent *parent, uint64_t now_ns)
{
	json_t *engines = json_array();

	for (uint32_t i = 0; i < parent->engine_count; i++) {
		const struct umdev_engine *row = driver_engine(&parent->driver, &parent->info, i);
		struct qos_engine_stats s;

		qos_engine_stats(parent->engines[i].qos, now_ns, &s);
		json_array_append_new(
			engines,
			json_pack("{s:s,s:I,s:I,s:I,s:I}", "name", row ? row->name : "jobs",
				  "parallelism", (json_int_t)(row ? row->parallelism : 1),
				  "reserved_slots", (json_int_t)(row ? row->reserved_slots : 0),
				  "busy_ns", (json_int_t)s.busy_ns, "in_flight",
				  (json_int_t)s.in_flight));
	}
	return engines;
}

/* The sums over all engines. Estimate and debt are those of the first engine that has any. */
static struct qos_flow_stats usage_sum(const struct umdev_mdev *mdev, uint64_t now_ns)
{
	struct qos_flow_stats sum = {0};

	for (uint32_t i = 0; i < mdev->flow_count; i++) {
		struct qos_flow_stats s;

		qos_flow_stats(&mdev->flows[i].qos, now_ns, &s);
		sum.jobs += s.jobs;
		sum.owned_ns += s.owned_ns;
		sum.queued += s.queued;
		sum.in_flight += s.in_flight;
		sum.wait_ns += s.wait_ns;
		for (uint32_t c = 0; c < QOS_CAUSE_COUNT; c++)
			sum.wait_by_cause_ns[c] += s.wait_by_cause_ns[c];
		if (sum.estimate_ns == 0)
			sum.estimate_ns = s.estimate_ns;
		if (sum.cap_debt_ns == 0)
			sum.cap_debt_ns = s.cap_debt_ns;
	}
	return sum;
}

static json_t *usage_mdev(const struct umdev_mdev *mdev, uint64_t now_ns)
{
	struct qos_flow_stats s = usage_sum(mdev, now_ns);
	json_t *causes = json_object();

	for (uint32_t c = 0; c < QOS_CAUSE_COUNT; c++)
		json_object_set_new(causes, qos_cause_name(c),
				    json_integer((json_int_t)s.wait_by_cause_ns[c]));
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "cap",
			 (json_int_t)mdev->knobs.cap, "weight", (json_int_t)mdev->knobs.weight,
			 "priority", (json_int_t)mdev->knobs.priority, "jobs", (json_int_t)s.jobs,
			 "queued", (json_int_t)s.queued, "in_flight", (json_int_t)s.in_flight,
			 "owned_ns", (json_int_t)s.owned_ns, "estimate_ns",
			 (json_int_t)s.estimate_ns, "cap_debt_ns", (json_int_t)s.cap_debt_ns,
			 "wait_ns", (json_int_t)s.wait_ns, "wait_by_cause_ns", causes);
}

/* One mdev among those that own most. */
struct usage_row {
	const struct umdev_mdev *mdev;
	uint64_t owned_ns;
};

/* Keeps the rows that own most, in no order; the least of a full table gives way. */
static void usage_keep(struct usage_row *rows, uint32_t *count, struct usage_row row)
{
	uint32_t least = 0;

	if (*count < USAGE_MDEVS_MAX) {
		rows[(*count)++] = row;
		return;
	}
	for (uint32_t i = 1; i < *count; i++) {
		if (rows[i].owned_ns < rows[least].owned_ns)
			least = i;
	}
	if (rows[least].owned_ns < row.owned_ns)
		rows[least] = row;
}

json_t *host_usage_print(const struct umdev_parent *parent, const char *uuid, bool peers)
{
	struct usage_row rows[USAGE_MDEVS_MAX];
	uint64_t now_ns = clock_now_ns();
	json_t *mdevs = json_object();
	const struct umdev_mdev *mdev;
	uint32_t count = 0;

	list_for_each (mdev, &parent->mdevs, link) {
		if (uuid && strcmp(mdev->uuid, uuid) == 0)
			json_object_set_new(mdevs, mdev->uuid, usage_mdev(mdev, now_ns));
		else if (peers)
			usage_keep(rows, &count,
				   (struct usage_row){mdev, usage_sum(mdev, now_ns).owned_ns});
	}
	for (uint32_t i = 0; i < count; i++)
		json_object_set_new(mdevs, rows[i].mdev->uuid, usage_mdev(rows[i].mdev, now_ns));
	return json_pack("{s:I,s:o,s:b,s:o}", "time_ns", (json_int_t)now_ns, "engines",
			 usage_engines(parent, now_ns), "hardware",
			 parent->driver.table.qos_set != NULL, "mdevs", mdevs);
}

int host_knobs_parse(json_t *object, struct qos_knobs *ret_knobs, struct umdev_error *err)
{
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;
	json_int_t cap = -1;
	json_int_t weight = -1;
	json_int_t priority = -1;

	if (json_unpack(object, "{s:I,s:I,s:I}", "cap", &cap, "weight", &weight, "priority",
			&priority) < 0 ||
	    cap < 0 || cap > UINT32_MAX || weight < 0 || weight > UINT32_MAX || priority < 0 ||
	    priority > UINT32_MAX)
		return error_set(err, ERROR_INVALID, "malformed knobs");
	knobs.cap = (uint32_t)cap;
	knobs.weight = (uint32_t)weight;
	knobs.priority = (uint32_t)priority;
	if (!qos_knobs_ok(&knobs))
		return error_set(err, ERROR_INVALID,
				 "a knob is out of range: cap %u..%u, weight %u..%u, priority "
				 "0..%u",
				 QOS_CAP_MIN, QOS_CAP_NONE, QOS_WEIGHT_MIN, QOS_WEIGHT_MAX,
				 QOS_PRIORITY_MAX);
	*ret_knobs = knobs;
	return 0;
}
