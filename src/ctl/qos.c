/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl qos: how much of its parent an mdev may get and got; or changes that while it runs. */
#include <stdio.h>
#include <string.h>

#include "ctl/causes.h"
#include "ctl/ctl.h"

static int qos_fill(const struct ctl *ctl, json_t *params)
{
	char uuid[CTL_UUID_STRING] = "";
	int r;

	if (!ctl_uuid_parse(ctl->operands[0], uuid))
		return ctl_usage(ctl, "'%s' is not a UUID", ctl->operands[0]);
	ctl_put_text(params, "uuid", uuid);
	ctl_put_text(params, "parent", ctl_get(ctl, "parent"));
	ctl_put_flag(params, "defined", ctl_has(ctl, "defined"));
	ctl_put_flag(params, "force", ctl_has(ctl, "force"));
	r = ctl_put_percent(ctl, "cap", "cap", 1, params);
	if (r == CTL_OK)
		r = ctl_put_number(ctl, "weight", "weight", 1, 10000, params);
	if (r == CTL_OK)
		r = ctl_put_number(ctl, "priority", "priority", 0, 7, params);
	return r;
}

static json_int_t qos_number(const json_t *qos, const char *key)
{
	return json_integer_value(json_object_get(qos, key));
}

static void qos_print_usage(const json_t *qos)
{
	json_int_t wall_ns = qos_number(qos, "time_ns") - qos_number(qos, "since_ns");
	json_int_t owned_ns = qos_number(qos, "owned_ns");
	struct causes causes;
	char text[CAUSES_TEXT_SIZE];
	char wall[CAUSES_TEXT_SIZE];

	if (!causes_read(qos, &causes)) {
		printf("Usage:    unknown, its host does not tell\n");
		return;
	}
	causes_time(owned_ns, text);
	causes_time(wall_ns, wall);
	printf("Owned:    %s", text);
	if (wall_ns > 0)
		printf(" of %s (%.1f %%)", wall, 100.0 * (double)owned_ns / (double)wall_ns);
	printf("\nJobs:     %lld started, %lld on the device, %lld waiting\n",
	       (long long)qos_number(qos, "jobs"), (long long)qos_number(qos, "in_flight"),
	       (long long)qos_number(qos, "queued"));
	causes_time(causes.sum, text);
	printf("Waited:   %s in all\n", text);
	if (causes.sum > 0)
		causes_print(&causes);
}

static void qos_print(const json_t *qos, bool defined)
{
	bool active = json_is_true(json_object_get(qos, "active"));
	char cap[CAUSES_TEXT_SIZE];

	causes_cap(json_object_get(qos, "cap"), cap);
	printf("Mdev:     %s on %s%s\n", ctl_text(qos, "uuid"), ctl_text(qos, "parent"),
	       active ? "" : ", not active");
	printf("Cap:      %s\nWeight:   %lld\nPriority: %lld\n", cap,
	       (long long)qos_number(qos, "weight"), (long long)qos_number(qos, "priority"));
	if (active && !defined)
		qos_print_usage(qos);
}

int ctl_qos(struct ctl *ctl)
{
	bool change = ctl_has(ctl, "cap") || ctl_has(ctl, "weight") || ctl_has(ctl, "priority");
	json_t *params = json_object();
	json_t *qos = NULL;
	int r = qos_fill(ctl, params);

	if (r != CTL_OK) {
		json_decref(params);
		return r;
	}
	r = ctl_call(ctl, "mdev.qos", params, &qos);
	if (r == CTL_OK && ctl->json)
		ctl_print_json(qos, "\n");
	else if (r == CTL_OK && !change)
		qos_print(qos, ctl_has(ctl, "defined"));
	json_decref(qos);
	return r;
}
