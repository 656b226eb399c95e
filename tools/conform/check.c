/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of checks, in the order in which they run: what others stand on comes first, and the
 * rules of the harness last, as every check may break them. */
#include "check.h"

#include <string.h>

const struct check check_table[] = {
	{"load.entry", "the file exports umdev_driver_entry and returns a table of this ABI",
	 check_load_entry, 20, CHECK_NO_RULE},
	{"load.name", "the table calls itself what the file is named after", check_load_name, 20,
	 CHECK_NO_RULE},
	{"load.accepted", "umdev-host accepts the table: callbacks, sizes, rows",
	 check_load_accepted, 20, CHECK_NO_RULE},
	{"load.tables", "umdevd accepts the rows of options, attributes and statistics",
	 check_load_tables, 20, CHECK_NO_RULE},
	{"load.defaults", "every default is a legal value of its own row", check_load_defaults, 20,
	 CHECK_NO_RULE},
	{"load.unload", "it can be unloaded and loaded again, and leaves nothing",
	 check_load_unload, 20, CHECK_NO_RULE},
	{"parent.open", "the parent opens with the options given, closes, and opens again",
	 check_parent_open, 60, CHECK_NO_RULE},
	{"types.legal", "each type has a legal id, name, description and numbers",
	 check_types_legal, 30, CHECK_NO_RULE},
	{"types.class", "each type has a known class and the attributes that it demands",
	 check_types_class, 30, CHECK_NO_RULE},
	{"types.unique", "no id and no name stands there twice", check_types_unique, 30,
	 CHECK_NO_RULE},
	{"types.stable", "opened again, the parent offers the same types", check_types_stable, 60,
	 CHECK_NO_RULE},
	{"pool.fit", "the pool is possible, and a type fits into it", check_pool_fit, 30,
	 CHECK_NO_RULE},
	{"pool.fill", "all instances that the pool has room for can be made", check_pool_fill, 60,
	 CHECK_NO_RULE},
	{"pool.orders", "mdevs can be removed in every order", check_pool_orders, 60,
	 CHECK_NO_RULE},
	{"pool.random", "mixed types come and go at random, and pieces add up to the pool",
	 check_pool_random, 60, CHECK_NO_RULE},
	{"pool.given-back", "an mdev leaves no descriptor, watch, thread or memory",
	 check_pool_given_back, 60, CHECK_NO_RULE},
	{"pool.discard", "a piece is wiped when it is given to another", check_pool_discard, 60,
	 CHECK_NO_RULE},
	{"device.declared", "the device can be shown to a guest, the same each time",
	 check_device_declared, 30, CHECK_NO_RULE},
	{"device.stats", "every statistic is filled, and nothing beyond", check_device_stats, 30,
	 CHECK_NO_RULE},
	{"attrs.bounds", "rows take values at their bounds, and none one past them",
	 check_attrs_bounds, 30, CHECK_NO_RULE},
	{"attrs.create", "mdevs are made with every attribute at its bounds", check_attrs_create,
	 60, CHECK_NO_RULE},
	{"attrs.set", "attributes that may change take their bounds", check_attrs_set, 60,
	 CHECK_NO_RULE},
	{"attrs.refusal", "a refused change changes nothing, and what cannot change is refused",
	 check_attrs_refusal, 60, CHECK_NO_RULE},
	{"group.answer", "group_check answers by the set of members alone", check_group_answer, 60,
	 CHECK_NO_RULE},
	{"group.pure", "group_check changes nothing", check_group_pure, 60, RULE_PURE},
	{"jobs.run", "work makes jobs, and every job ends", check_jobs_run, 60, CHECK_NO_RULE},
	{"qos.weights", "two mdevs of weights 1:3 with work enough own their parent 1:3",
	 check_qos_weights, 60, CHECK_NO_RULE},
	{"qos.cap", "an mdev with work enough stays below its cap", check_qos_cap, 60,
	 CHECK_NO_RULE},
	{"reset.device", "a device reset brings the power-on state", check_reset_device, 60,
	 CHECK_NO_RULE},
	{"reset.flr", "a function level reset brings the power-on state", check_reset_flr, 60,
	 CHECK_NO_RULE},
	{"reset.lost", "the next client finds the power-on state", check_reset_lost, 60,
	 CHECK_NO_RULE},
	{"reset.quiet", "a reset leaves no job, hold or transfer, and tells its end once",
	 check_calls, 60, RULE_RESET},
	{"state.resume", "a fresh process goes on from the state page: registers are the same",
	 check_state_resume, 120, CHECK_NO_RULE},
	{"state.damaged", "a damaged state page is refused or survived", check_state_damaged, 120,
	 CHECK_NO_RULE},
	{"hostile.access", "a guest that accesses at random brings nothing down", check_hostile, 60,
	 CHECK_NO_RULE},
	{"daemon.instances", "under umdevd, available instances add up after each start and stop",
	 check_daemon_instances, 90, CHECK_DAEMON},
	{"daemon.groups", "under umdevd, types join groups as they declare", check_daemon_group, 90,
	 CHECK_DAEMON},
	{"daemon.shares", "under umdevd, two guests of weights 1:3 own their parent 1:3",
	 check_daemon_shares, 90, CHECK_DAEMON},
	{"client.lost", "under umdevd, the client after one that was lost finds the power-on state",
	 check_client_lost, 90, CHECK_DAEMON},
	{"host.restart", "under umdevd, a host that dies is replaced, and its mdevs serve again",
	 check_host_restart, 120, CHECK_DAEMON},
	{"calls.answers", "callbacks answer what the contract knows", check_calls, 60, RULE_ANSWER},
	{"calls.time", "callbacks do not block", check_calls, 60, RULE_TIME},
	{"calls.threads", "services are called on the host's thread, for mdevs that are there",
	 check_calls, 60, RULE_THREAD},
	{"calls.watches", "watches are of open descriptors, one each, and ended", check_calls, 60,
	 RULE_WATCH},
	{"calls.timers", "timers are 0 to 3, have a callback, and end with their mdev", check_calls,
	 60, RULE_TIMER},
	{"calls.interrupts", "interrupts are raised on vectors that the device has", check_calls,
	 60, RULE_IRQ},
	{"calls.memory", "guest memory and the state page are used within bounds, holds released",
	 check_calls, 60, RULE_MEMORY},
	{"calls.jobs", "each job started is ended exactly once, and no other", check_calls, 60,
	 RULE_JOB},
};

const size_t check_count = ARRAY_SIZE(check_table);

bool check_wanted(const struct conform_options *options, const struct check *check)
{
	if (check->rule == CHECK_DAEMON && options->no_daemon)
		return false;
	for (uint32_t i = 0; i < options->only_count; i++) {
		if (strncmp(check->name, options->only[i], strlen(options->only[i])) == 0)
			return true;
	}
	return options->only_count == 0;
}
