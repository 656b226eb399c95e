/* SPDX-License-Identifier: BSD-3-Clause */
/* The method table and the check of parameters by it. See methods.h. */
#include "rpc/methods.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static const char *const rpc_kind_names[] = {
	[RPC_STRING] = "text",		 [RPC_BOOL] = "true or false",
	[RPC_INT] = "whole number",	 [RPC_NUMBER] = "number",
	[RPC_OBJECT] = "object",	 [RPC_ARRAY] = "array",
	[RPC_TEXTS] = "object of texts", [RPC_PAIRS] = "array of one-key objects with a text",
};
static_assert(sizeof(rpc_kind_names) / sizeof(rpc_kind_names[0]) == RPC_KIND_COUNT,
	      "every kind has a name");

const struct rpc_method rpc_methods[] = {
	{
		.name = "version",
		.summary = "Says which daemon answers.",
		.returns = "`{name: \"umdevd\", version, abi, pid, root, uid}`: `abi` is the "
			   "version of the vendor-driver ABI, `uid` that of the caller.",
	},
	{
		.name = "parent.add",
		.summary = "Adds a parent and starts its host. The configuration is kept.",
		.params = {{"name", RPC_STRING, true, "the parent's name"},
			   {"driver", RPC_STRING, true, "the vendor driver, such as `nvme`"},
			   {"options", RPC_TEXTS, false, "the driver's options"}},
		.returns =
			"PARENT, once it is ready. A parent that cannot be started is not added.",
	},
	{
		.name = "parent.remove",
		.summary = "Stops a parent's host and forgets its configuration.",
		.params = {{"name", RPC_STRING, true, "the parent's name"},
			   {"force", RPC_BOOL, false,
			    "stop its active mdevs first, even those in use and, as root, those of "
			    "other users"}},
		.returns = "`{}`. Definitions of mdevs are kept.",
	},
	{
		.name = "parent.upgrade",
		.summary =
			"Replaces a parent's host by one of the program and the driver that lie on "
			"the disk now, while its mdevs are in use. Answers when the new one has "
			"served them for two seconds; one that fails until then is replaced by the "
			"old one. States of an older version are converted before the first mdev "
			"goes on; after that there is no way back, and it answers at once.",
		.params = {{"name", RPC_STRING, true, "the parent's name"}},
		.returns =
			"`{name, from_pid, pid, mdevs: [{uuid, in_use, pause_ns}]}`: how long each "
			"mdev was not served",
	},
	{
		.name = "parent.list",
		.summary = "Lists the parents by name.",
		.params = {{"name", RPC_STRING, false, "only this one; it must exist"}},
		.returns = "`{parents: [PARENT]}`",
	},
	{
		.name = "driver.list",
		.summary = "Lists the vendor drivers found in the driver directory.",
		.returns = "`{drivers: [{name, path}]}`",
	},
	{
		.name = "type.list",
		.summary = "Lists the types of ready parents, by parent and id.",
		.params = {{"parent", RPC_STRING, false, "only this parent's"},
			   {"class", RPC_STRING, false,
			    "only those of this class, such as `storage`"}},
		.returns = "`{types: [TYPE]}`",
	},
	{
		.name = "mdev.list",
		.summary =
			"Lists mdevs, by parent and UUID: the active ones unless asked otherwise.",
		.params = {{"uuid", RPC_STRING, false, "only this one"},
			   {"parent", RPC_STRING, false, "only those of this parent"},
			   {"defined", RPC_BOOL, false,
			    "the definitions instead of the active ones"},
			   {"all", RPC_BOOL, false, "both the active ones and the definitions"},
			   {"statistics", RPC_BOOL, false,
			    "false: without the numbers that only hosts know"}},
		.returns = "`{mdevs: [MDEV]}`; empty when nothing matches.",
	},
	{
		.name = "mdev.define",
		.summary = "Writes a definition.",
		.params =
			{{"uuid", RPC_STRING, false, "generated when absent"},
			 {"parent", RPC_STRING, false,
			  "the parent's name; it need not exist yet. With the UUID of an active "
			  "mdev, parent and type may be absent and are copied from it; without one, "
			  "a type is placed on one of the ready parents that offer it"},
			 {"type", RPC_STRING, false, "the type's id"},
			 {"type_name", RPC_STRING, false,
			  "the type's name; the parent must be ready"},
			 {"start", RPC_STRING, false, "`auto` or `manual` (default)"},
			 {"attrs", RPC_PAIRS, false, "attributes in the order of their setting"},
			 {"owner", RPC_STRING, false, "a free text that says whose it is"},
			 {"group", RPC_STRING, false,
			  "the group it belongs to: short for the attribute `mdev/group`"},
			 {"min_share", RPC_NUMBER, false,
			  "percent of the parent that it is promised: the attribute `mdev/min_share`"},
			 {"placement", RPC_STRING, false,
			  "without a parent: `spread` (default) or `pack`"},
			 {"definition", RPC_OBJECT, false,
			  "the content of a definition file, instead of `type`, `type_name`, `start` "
			  "and `attrs`"},
			 {"force", RPC_BOOL, false,
			  "as root, also where another user made an mdev of that UUID"}},
		.returns = "MDEV; with `placement` where a parent was chosen.",
	},
	{
		.name = "mdev.undefine",
		.summary = "Removes a definition. An active mdev stays active, as a transient one.",
		.params = {{"uuid", RPC_STRING, true, "the mdev"},
			   {"parent", RPC_STRING, false, "only the definition under this parent"},
			   {"force", RPC_BOOL, false,
			    "also a definition that cannot be read and, as root, that of another "
			    "user"}},
		.returns =
			"`{}`. Without `parent` all definitions of the UUID are removed, or none.",
	},
	{
		.name = "mdev.modify",
		.summary = "Changes a definition, an active mdev, or both.",
		.params = {{"uuid", RPC_STRING, true, "the mdev"},
			   {"parent", RPC_STRING, false, "needed when several parents define it"},
			   {"type", RPC_STRING, false, "the new type's id"},
			   {"type_name", RPC_STRING, false,
			    "the new type's name, instead of its id"},
			   {"start", RPC_STRING, false, "`auto` or `manual`"},
			   {"attrs", RPC_PAIRS, false,
			    "attributes to set: in place of what was said of them, or at the end"},
			   {"group", RPC_STRING, false,
			    "the new group: short for the attribute `mdev/group`"},
			   {"owner", RPC_STRING, false, "the new text that says whose it is"},
			   {"addattr", RPC_TEXTS, false, "`{name, value}` to add or insert"},
			   {"delattr", RPC_BOOL, false, "remove an attribute, the last by default"},
			   {"index", RPC_INT, false, "where to insert or what to remove"},
			   {"definition", RPC_OBJECT, false,
			    "the new content of the definition, or attributes to change live"},
			   {"live", RPC_BOOL, false,
			    "change the active mdev; needs `definition` or `attrs`"},
			   {"defined", RPC_BOOL, false,
			    "change the definition; the default without `live`"},
			   {"force", RPC_BOOL, false, "as root, also that of another user"}},
		.returns = "MDEV",
	},
	{
		.name = "mdev.start",
		.summary = "Creates an mdev: one that is defined, or a transient one.",
		.params =
			{{"uuid", RPC_STRING, false, "generated when absent"},
			 {"parent", RPC_STRING, false,
			  "needed when several parents define the mdev; without one, an mdev that "
			  "is not defined is placed on one of the ready parents that offer the "
			  "type"},
			 {"type", RPC_STRING, false,
			  "the type's id; must agree with the definition"},
			 {"type_name", RPC_STRING, false, "the type's name, instead of its id"},
			 {"attrs", RPC_PAIRS, false, "attributes in the order of their setting"},
			 {"owner", RPC_STRING, false, "a free text that says whose it is"},
			 {"group", RPC_STRING, false,
			  "the group it belongs to: short for the attribute `mdev/group`"},
			 {"min_share", RPC_NUMBER, false,
			  "percent of the parent that it is promised: the attribute "
			  "`mdev/min_share`"},
			 {"placement", RPC_STRING, false,
			  "without a parent: `spread` (default), the largest share left, then the "
			  "most instances left, then the first name; or `pack`, the fewest "
			  "instances left that are enough, then the first name"},
			 {"definition", RPC_OBJECT, false,
			  "the content of a definition file, instead of type and attributes"},
			 {"force", RPC_BOOL, false, "as root, also that of another user"}},
		.returns = "MDEV; its socket accepts a client. With `placement` where a parent was "
			   "chosen. `NO_SHARE` where it would not get what it is promised, or an "
			   "mdev that is admitted would no longer.",
	},
	{
		.name = "plan",
		.summary =
			"Tells what would happen if mdevs were started, one after the other, and "
			"why. Nothing is touched.",
		.params = {{"mdevs", RPC_ARRAY, true,
			    "`{type?, type_name?, parent?, group?, weight?, cap?, priority?, "
			    "min_share?, count?, uuid?}` for each kind of mdev that is wanted, 256 "
			    "mdevs at most; one whose `uuid` is defined starts as its definition "
			    "says"},
			   {"placement", RPC_STRING, false, "`spread` (default) or `pack`"}},
		.returns = "PLAN",
	},
	{
		.name = "mdev.stop",
		.summary = "Removes an active mdev. Its definition stays. One in use is refused "
			   "without `force`; while its client has ended and the kernel has not "
			   "closed its connection yet, that is waited for, five seconds at most, "
			   "as by other methods that a client is in the way of.",
		.params = {{"uuid", RPC_STRING, true, "the mdev"},
			   {"force", RPC_BOOL, false,
			    "disconnect the client of one in use and, as root, stop also that of "
			    "another user"}},
		.returns = "`{}`",
	},
	{
		.name = "mdev.save",
		.summary = "Copies the state of a device whose guest is paused, or which has no "
			   "client, or which its client has stopped. It stays as it is.",
		.params = {{"uuid", RPC_STRING, true, "the mdev"},
			   {"force", RPC_BOOL, false, "as root, also that of another user"}},
		.returns =
			"`{uuid, size, data}`: `data` is the state in base64, `size` its bytes "
			"before that. Neither guest memory nor what the parent holds is in it. "
			"`DEVICE_BUSY` when for 2 s its client did not leave it alone for 0.1 s.",
	},
	{
		.name = "mdev.restore",
		.summary = "Starts an mdev with a state that was saved: one that is defined, or a "
			   "transient one like the one that was saved.",
		.params = {{"data", RPC_STRING, true, "what `mdev.save` gave"},
			   {"uuid", RPC_STRING, false, "the mdev; the one that was saved"},
			   {"parent", RPC_STRING, false,
			    "its parent; that of the definition, or of the one that was saved"},
			   {"force", RPC_BOOL, false, "as root, also that of another user"}},
		.returns = "MDEV. It rests until its client comes and accesses a BAR, or sets its "
			   "migration state. `TYPE_MISMATCH` when the state is of another type, of "
			   "other attributes or of another version of the driver.",
	},
	{
		.name = "mdev.set",
		.summary = "Sets one attribute of an active mdev, as a write into the tree does.",
		.params = {{"uuid", RPC_STRING, true, "the mdev"},
			   {"name", RPC_STRING, true, "the attribute, such as `mdev/weight`"},
			   {"value", RPC_STRING, true, "its value as text"},
			   {"force", RPC_BOOL, false, "as root, also that of another user"}},
		.returns = "MDEV. What may change live changes at once. What takes effect at "
			   "creation does so by making the device anew, with its data, as long as "
			   "no client uses it; then it is `DEVICE_BUSY`. The definition stays.",
	},
	{
		.name = "mdev.qos",
		.summary = "Shows how much of its parent an mdev may get and got, or changes that.",
		.params = {{"uuid", RPC_STRING, true, "the mdev"},
			   {"parent", RPC_STRING, false, "needed when several parents define it"},
			   {"cap", RPC_NUMBER, false,
			    "percent of the parent's time, 0.01 to 100 with at most two decimals; "
			    "100 is no bound"},
			   {"weight", RPC_INT, false, "1 to 10000"},
			   {"priority", RPC_INT, false, "0 to 7, higher first"},
			   {"defined", RPC_BOOL, false,
			    "change the definition as well, or only that when the mdev is not "
			    "active; without knobs, show the definition"},
			   {"force", RPC_BOOL, false, "as root, also that of another user"}},
		.returns = "QOS, as it is after the change. The active mdev is changed while it "
			   "runs, all of it or nothing; one that is not active and has no "
			   "`defined` gives `NOT_ACTIVE`.",
	},
	{
		.name = "mdev.blame",
		.summary = "Gives one snapshot of all mdevs on the parent of an active mdev.",
		.params = {{"uuid", RPC_STRING, true, "the mdev"}},
		.returns = "`{time_ns, parent, engines, hardware, mdev: QOS, peers: [PEER]}`, "
			   "peers that own most first; `hardware`: the device schedules by "
			   "itself. What held an mdev back in a time is the difference of two.",
	},
	{
		.name = "group.list",
		.summary = "Lists groups, in the order of their first members.",
		.params = {{"group", RPC_STRING, false, "only this one; it must have a member"}},
		.returns = "`{groups: [GROUP]}`",
	},
	{
		.name = "group.start",
		.summary =
			"Starts the defined members of a group that are not active: all or none.",
		.params = {{"group", RPC_STRING, true, "the group"},
			   {"force", RPC_BOOL, false, "also members that others made"}},
		.returns =
			"GROUP; the sockets of all accept a client. No client can connect to one "
			"before all are there.",
	},
	{
		.name = "group.stop",
		.summary = "Stops the active members of a group.",
		.params = {{"group", RPC_STRING, true, "the group"},
			   {"force", RPC_BOOL, false,
			    "disconnect clients; also members that others made"}},
		.returns =
			"GROUP. Without `force` nothing is stopped while one is in use. Once begun "
			"it is completed, by the next daemon if need be.",
	},
	{
		.name = "group.qos",
		.summary = "Shows or changes what a group as a whole may get of each parent.",
		.params = {{"group", RPC_STRING, true, "the group"},
			   {"cap", RPC_NUMBER, false,
			    "percent of the parent's time, 0.01 to 100 with at most two decimals; "
			    "100 is no bound"},
			   {"weight", RPC_INT, false, "1 to 10000; 100 by default"},
			   {"force", RPC_BOOL, false, "also with members that others made"}},
		.returns = "GROUP. On each parent the group competes as one, and its members share "
			   "what it gets by their own weights and caps. Both knobs are changed, or "
			   "neither; they are kept as long as the group has a member.",
	},
	{
		.name = "event.list",
		.summary = "Gives the events of the past, oldest first. The last 4096 are kept.",
		.params = {{"since", RPC_INT, false, "only events with this or a later number"},
			   {"uuid", RPC_STRING, false, "only those of this mdev"},
			   {"limit", RPC_INT, false, "at most so many, the latest"}},
		.returns = "`{events: [EVENT], next}`: `next` is the number of the event to come.",
	},
	{
		.name = "event.watch",
		.summary = "Sends events on this connection from now on.",
		.params = {{"since", RPC_INT, false,
			    "first send those kept from this number on; by default none"}},
		.returns = "`{next}`; then notifications with the method `event` and an EVENT as "
			   "parameters.",
	},
	{
		.name = "doctor",
		.summary = "Checks the daemon's surroundings.",
		.returns = "`{checks: [{name, status, detail, hint?}]}`, `status` being `ok`, "
			   "`warning` or `failed`.",
	},
	{.name = NULL},
};

const struct rpc_object rpc_objects[] = {
	{
		.name = "PARENT",
		.summary = "A physical device and the vendor driver it is bound to.",
		.fields =
			{{"name", "text", "the operator's name for it"},
			 {"driver", "text", "the vendor driver"},
			 {"options", "object of texts", "the driver's options as given"},
			 {"state", "text", "`starting`, `ready`, `failed` or `restarting`"},
			 {"error", "text, optional", "why it failed"},
			 {"host", "object or null", "`{pid, restarts, started_ns}` of its process"},
			 {"sandbox", "object or null",
			  "what its process runs in: `{user, filesystem, network, capabilities, "
			  "seccomp, user_namespace, needs: [{name, reason}], missing: [text]}`; "
			  "`needs` are the driver's, `missing` is what the kernel did not allow"},
			 {"description", "text, optional", "what the driver says about the device"},
			 {"restart", "text, optional",
			  "what the death of its host is to guests: `seamless`, a pause, or `reset`, the "
			  "device begins anew"},
			 {"pool", "object or null", "`{units, free, unit}` of what types draw on"},
			 {"types", "whole number", "how many types it offers"},
			 {"path", "text", "where it is in the tree: `/sys/devices/...`"},
			 {"subsystem", "text", "`pci` if its name is a PCI address, else `mtty`"},
			 {"pci", "object",
			  "`{address, domain, bus, slot, function, class, vendor, device}`: as what "
			  "it shows itself; made up from the name where that is no address"},
			 {"attributes", "array",
			  "`{name, description, default?, when}` of each attribute that its mdevs "
			  "have; `when` it may change: `create`, `idle`, `live` or `never` "
			  "(with its definition only)"},
			 {"admission", "text",
			  "`lend` or `reserve`: whether mdevs that are only defined count when "
			  "shares are promised"},
			 {"mdevs", "object", "`{active, defined}`: how many"}},
	},
	{
		.name = "TYPE",
		.summary = "A kind of virtual device that a parent can create.",
		.fields = {{"parent", "text", "the parent's name"},
			   {"id", "text", "`<driver>-<local>`, unique on its parent"},
			   {"name", "text", "stable for ever: same name, same characteristics"},
			   {"description", "text, optional", ""},
			   {"device_api", "text", "always `vfio-pci`"},
			   {"class", "text",
			    "`storage`, `serial`, `display`, `crypto`, `network` or "
			    "`compute`"},
			   {"available_instances", "whole number",
			    "how many more can be created now"},
			   {"max_instances", "whole number", "how many on an empty parent"},
			   {"group_scope", "text", "`none`, `device` or `driver`"},
			   {"requires_group", "true or false", ""},
			   {"group_hotplug", "true or false", ""},
			   {"qos", "array of texts", "the knobs it honours"},
			   {"attributes", "object of texts", "the attributes of its class"}},
	},
	{
		.name = "MDEV",
		.summary = "A virtual device: active, defined, or both.",
		.fields =
			{{"uuid", "text", "lower case"},
			 {"parent", "text", "the parent's name"},
			 {"type", "text", "the type's id; empty if its definition cannot be read"},
			 {"type_name", "text", "the type's name"},
			 {"class", "text, optional", "the type's class"},
			 {"start", "text", "`auto` or `manual`"},
			 {"defined", "true or false", "there is a definition under this parent"},
			 {"active", "true or false", "its socket exists"},
			 {"in_use", "true or false", "a client is connected"},
			 {"state", "text", "`defined`, `active`, `in-use` or `failed`"},
			 {"attrs", "array of one-key objects", "the definition's list, in order"},
			 {"group", "text, optional", "the group it belongs to, lower case"},
			 {"socket", "text, optional", "path of the vfio-user socket"},
			 {"endpoints", "array of texts, optional",
			  "of an active mdev whose type has such: paths of its pseudo terminals "
			  "or sockets on this machine"},
			 {"iommu_group", "whole number, optional",
			  "its IOMMU group in the tree; no other active mdev has it"},
			 {"owner", "text, optional", "as given at its creation"},
			 {"uid", "whole number",
			  "the user who made it: nobody else may change or remove it, but root "
			  "with `force`"},
			 {"client", "object, optional", "`{pid, uid, since_ns}` of who uses it"},
			 {"last_refusal", "text, optional", "why a client was last refused"},
			 {"error", "text, optional", "what is wrong with it"},
			 {"statistics", "object of numbers, optional", "only when active"},
			 {"piece", "object, optional", "`{start, size}` of the parent's pool"},
			 {"placement", "object, optional",
			  "`{policy, parent, share, arithmetic, candidates: [CANDIDATE]}`: how its "
			  "parent was chosen just now"}},
	},
	{
		.name = "CANDIDATE",
		.summary = "A parent that was looked at for an mdev. Shares are percent of the "
			   "parent, and what each is owed when all who are admitted have work.",
		.fields = {{"parent", "text", "the parent's name"},
			   {"fits", "true or false", ""},
			   {"word", "text, optional", "why not, as in errors"},
			   {"message", "text, optional", "why not, for a person"},
			   {"type", "text, optional", "the id of the type there"},
			   {"instances", "whole number, optional",
			    "of the type that are left before"},
			   {"share", "number, optional", "that it would get"},
			   {"arithmetic", "text, optional",
			    "how that comes about, such as `100 / (100 + 300) = 25 %`"},
			   {"mdevs", "array, optional", "ADMITTED of all who are there then"},
			   {"left_out", "whole number, optional",
			    "how many of them are not listed, for want of room"}},
	},
	{
		.name = "ADMITTED",
		.summary = "An mdev that counts in the division of its parent.",
		.fields = {{"uuid", "text", "or `new#1` and so on"},
			   {"group", "text, optional", ""},
			   {"weight", "whole number", ""},
			   {"cap", "number", "percent"},
			   {"min_share", "number", "percent that it is promised; 0 is none"},
			   {"state", "text",
			    "`active`, `reserved` (defined on a parent that reserves) or `new`"},
			   {"share_now", "number", "percent; 0 of one that is new"},
			   {"share_then", "number", "percent"}},
	},
	{
		.name = "PLAN",
		.summary = "What would happen.",
		.fields =
			{{"fits", "true or false", "all of it"},
			 {"placement", "text", "`spread` or `pack`"},
			 {"mdevs", "array",
			  "`{uuid, entry, type, type_name?, group?, weight, cap, priority, min_share, "
			  "parent, share?, arithmetic?, word?, message?, candidates: [CANDIDATE]}` of "
			  "each in turn; `entry` counts the request's from 0, `parent` is null where "
			  "none fits"},
			 {"shares", "array",
			  "`{parent, admission, mdevs: [ADMITTED], left_out?}` of each parent that "
			  "was looked at, after all of it"},
			 {"change", "CHANGE, optional",
			  "it does not fit: the smallest change with which it does"},
			 {"other_changes", "array, optional", "CHANGE of the other single ones"},
			 {"searched", "true or false, optional",
			  "false: the search ended early, as there was too much to try"}},
	},
	{
		.name = "CHANGE",
		.summary = "A single change with which a plan fits, found by planning with it.",
		.fields = {{"kind", "text",
			    "`min_share`, `weight`, `cap`, `count`, `type`, `parent` or `remove`"},
			   {"entry", "whole number, optional",
			    "which of the request's it is about"},
			   {"from", "optional", "the value that was asked for"},
			   {"to", "optional",
			    "the value that fits; null for `parent`: several are needed"},
			   {"mdevs", "array, optional",
			    "of `remove`: `{uuid, parent, action}`, the action being `stop`, "
			    "`undefine` or `stop and undefine`"},
			   {"relative", "number",
			    "how large it is, 1 being all of what was asked for; above 1 it costs "
			    "others something"},
			   {"message", "text", "the change in words"}},
	},
	{
		.name = "GROUP",
		.summary = "Mdevs whose resources are committed together for one consumer. It is "
			   "there while an mdev names it.",
		.fields = {{"group", "text", "lower case"},
			   {"state", "text",
			    "`defined`, `partial` (some are active), `active` or `in-use`"},
			   {"scope", "text",
			    "`device` or `driver`: how far it may reach; `none`: not known, for "
			    "its parents are not there"},
			   {"cap", "number", "of the whole, in percent; 100 is no bound"},
			   {"weight", "whole number", "of the whole"},
			   {"client", "object, optional", "`{pid, uid}` of who uses it"},
			   {"mdevs", "array of MDEV", "the members, defined or active"}},
	},
	{
		.name = "QOS",
		.summary = "The knobs of an mdev, and what it used. Numbers are there when it is "
			   "active and its host answers in time; they count from `since_ns`.",
		.fields = {{"uuid", "text", ""},
			   {"parent", "text", "the parent's name"},
			   {"cap", "number", "percent of the parent's time; 100 is no bound"},
			   {"weight", "whole number", ""},
			   {"priority", "whole number", ""},
			   {"active", "true or false", ""},
			   {"time_ns", "whole number", "when this was so, by the monotonic clock"},
			   {"since_ns", "whole number, optional",
			    "when its present host created it: the beginning of all sums"},
			   {"jobs", "whole number, optional", "started so far"},
			   {"queued", "whole number, optional", "jobs that wait"},
			   {"in_flight", "whole number, optional", "jobs on the device"},
			   {"owned_ns", "whole number, optional",
			    "time of the device that was its own: with N jobs in flight each is "
			    "charged 1/N of it"},
			   {"wait_ns", "whole number, optional",
			    "sum over its jobs, those that still wait included"},
			   {"wait_by_cause_ns", "object, optional",
			    "`{cap, turn, priority, engine}`, which add up to `wait_ns`: its own "
			    "cap, others of the same or lower priority, others of higher priority, "
			    "the device full of its own jobs"},
			   {"estimate_ns", "whole number, optional", "what its next job may own"},
			   {"cap_debt_ns", "whole number, optional",
			    "what it owned beyond its cap and waits for"},
			   {"engines", "array, optional",
			    "`{name, parallelism, reserved_slots, busy_ns, in_flight}` of the "
			    "parent"}},
	},
	{
		.name = "PEER",
		.summary = "Another active mdev of the same parent.",
		.fields = {{"uuid", "text", ""},
			   {"owner", "text, optional", "as given at its creation"},
			   {"cap", "number", "as in QOS"},
			   {"weight", "whole number", ""},
			   {"priority", "whole number", ""},
			   {"since_ns", "whole number", "as in QOS"},
			   {"jobs", "whole number, optional", "as in QOS"},
			   {"queued", "whole number, optional", ""},
			   {"in_flight", "whole number, optional", ""},
			   {"owned_ns", "whole number, optional", ""}},
	},
	{
		.name = "EVENT",
		.summary = "Something that happened.",
		.fields = {{"seq", "whole number", "counts up by one"},
			   {"time_ns", "whole number", "nanoseconds since 1970"},
			   {"event", "text",
			    "`mdev.started`, `mdev.stopped`, `mdev.defined`, `mdev.undefined`, "
			    "`mdev.modified`, `mdev.forced`, `group.started`, `group.stopped`, "
			    "`group.modified`, "
			    "`parent.added`, `parent.ready`, `parent.failed`, "
			    "`parent.removed`, `host.died`, `host.started`, `host.replaced`, "
			    "`host.stopped`, `client.connected`, "
			    "`client.disconnected`, `client.refused`, `driver`, `definition.bad`, "
			    "`definition.unwatched`, `tree.mounted`, `tree.died` or `tree.absent`"},
			   {"level", "text", "`info`, `warning` or `error`"},
			   {"parent", "text, optional", ""},
			   {"uuid", "text, optional", ""},
			   {"group", "text, optional", ""},
			   {"message", "text", "one line for a person"},
			   {"pid", "whole number, optional",
			    "of the client, or of who forced something"},
			   {"uid", "whole number, optional", "of the same"}},
	},
	{.name = NULL},
};

const char *rpc_kind_name(enum rpc_kind kind)
{
	if ((unsigned)kind >= RPC_KIND_COUNT)
		return "unknown";
	return rpc_kind_names[kind];
}

const struct rpc_method *rpc_method_find(const char *name)
{
	for (const struct rpc_method *m = rpc_methods; m->name; m++) {
		if (strcmp(m->name, name) == 0)
			return m;
	}
	return NULL;
}

static bool rpc_texts_fit(const json_t *value)
{
	const char *key;
	json_t *text;

	if (!json_is_object(value))
		return false;
	json_object_foreach ((json_t *)(uintptr_t)value, key, text) {
		if (!json_is_string(text))
			return false;
	}
	return true;
}

static bool rpc_pairs_fit(const json_t *value)
{
	size_t i;
	json_t *pair;

	if (!json_is_array(value))
		return false;
	json_array_foreach (value, i, pair) {
		if (json_object_size(pair) != 1 || !rpc_texts_fit(pair))
			return false;
	}
	return true;
}

static bool rpc_kind_fits(enum rpc_kind kind, const json_t *value)
{
	switch (kind) {
	case RPC_STRING:
		return json_is_string(value);
	case RPC_BOOL:
		return json_is_boolean(value);
	case RPC_INT:
		return json_is_integer(value) && json_integer_value(value) >= 0;
	case RPC_NUMBER:
		return json_is_number(value);
	case RPC_OBJECT:
		return json_is_object(value);
	case RPC_ARRAY:
		return json_is_array(value);
	case RPC_TEXTS:
		return rpc_texts_fit(value);
	case RPC_PAIRS:
		return rpc_pairs_fit(value);
	case RPC_KIND_COUNT:
		break;
	}
	return false;
}

static const struct rpc_param *rpc_param_find(const struct rpc_method *method, const char *name)
{
	for (const struct rpc_param *p = method->params; p->name; p++) {
		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

int rpc_method_check(const struct rpc_method *method, const json_t *params, struct umdev_error *err)
{
	const char *key;
	json_t *value;

	if (params && !json_is_object(params))
		return error_set(err, ERROR_INVALID, "%s: parameters must be an object of names",
				 method->name);
	json_object_foreach ((json_t *)(uintptr_t)params, key, value) {
		const struct rpc_param *p = rpc_param_find(method, key);

		if (!p)
			return error_set_key(err, ERROR_INVALID, key,
					     "%s: there is no parameter '%s'", method->name, key);
		if (!rpc_kind_fits(p->kind, value))
			return error_set_key(err, ERROR_INVALID, key,
					     "%s: parameter '%s' must be a %s", method->name, key,
					     rpc_kind_name(p->kind));
	}
	for (const struct rpc_param *p = method->params; p->name; p++) {
		if (p->required && !json_object_get(params, p->name))
			return error_set_key(err, ERROR_INVALID, p->name,
					     "%s: parameter '%s' is missing", method->name,
					     p->name);
	}
	return 0;
}
