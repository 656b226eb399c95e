/* SPDX-License-Identifier: BSD-3-Clause */
/* The verb table of umdevctl: from it come parsing, help, and what completion offers. */
#include <string.h>

#include "ctl/ctl.h"

const struct ctl_option ctl_common_options[] = {
	{"root", 0, "DIR", "the daemon's root; UMDEV_ROOT or / by default", false, false},
	{"json", 0, NULL, "print results and errors as JSON", false, false},
	{"help", 'h', NULL, "show this help", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option no_options[] = {{NULL, 0, NULL, NULL, false, false}};

static const struct ctl_option parent_add_options[] = {
	{"driver", 'd', "DRIVER", "the vendor driver, such as nvme", false, false},
	{"option", 'o', "KEY=VALUE", "an option of the driver", true, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option force_options[] = {
	{"force", 'f', NULL, "stop its active mdevs first, even those in use or of others", false,
	 false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option types_options[] = {
	{"parent", 'p', "PARENT", "show only the types of this parent", false, false},
	{"class", 0, "CLASS", "show only types of this class, such as storage", false, false},
	{"dumpjson", 0, NULL, "print JSON as mdevctl does", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option list_options[] = {
	{"defined", 'd', NULL, "list the definitions, not the active mdevs", false, false},
	{"uuid", 'u', "UUID", "list only this one", false, false},
	{"parent", 'p', "PARENT", "list only those of this parent", false, false},
	{"verbose", 'v', NULL, "show attributes, socket, client and statistics too", false, false},
	{"dumpjson", 0, NULL, "print JSON as mdevctl does", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

/* What define and start take alike. */
#define MDEV_OPTIONS                                                                                 \
	{"uuid", 'u', "UUID", "the mdev's UUID; generated and printed by default", false, false},    \
		{"parent", 'p', "PARENT", "the parent device", false, false},                        \
		{"type", 't', "TYPE", "the type's id", false, false},                                \
		{"type-name", 0, "NAME", "the type's name, instead of its id", false, false},        \
		{"attr", 0, "NAME=VALUE", "an attribute, set in the order given", true, false},      \
		{"owner", 0, "TEXT", "a free text that says whose it is", false, false},             \
		{"jsonfile", 0,	   "FILE", "read type, start and attributes from a definition file", \
		 false,	     false},                                                                 \
		{"force", 'f',	NULL, "also when a callout refuses or, as root, it is another's",    \
		 false,	  false},                                                                    \
		{"group", 0, "UUID", "the group that it belongs to", false, false},                  \
		{"min-share", 0,    "PERCENT", "refuse without such a share of the parent",          \
		 false,	      false},                                                                \
	{                                                                                            \
		"place", 0, "POLICY", "without a parent: spread, the default, or pack", false,       \
			false                                                                        \
	}

static const struct ctl_option define_options[] = {
	MDEV_OPTIONS,
	{"auto", 'a', NULL, "start it when its parent is ready", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option start_options[] = {
	MDEV_OPTIONS,
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option undefine_options[] = {
	{"uuid", 'u', "UUID", "the mdev's UUID", false, false},
	{"parent", 'p', "PARENT", "only its definition under this parent", false, false},
	{"force", 'f', NULL, "also when unreadable, refused by a callout or, as root, another's",
	 false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option modify_options[] = {
	{"uuid", 'u', "UUID", "the mdev's UUID", false, false},
	{"parent", 'p', "PARENT", "needed when several parents define it", false, false},
	{"type", 't', "TYPE", "the new type's id", false, false},
	{"type-name", 0, "NAME", "the new type's name, instead of its id", false, false},
	{"attr", 0, "NAME=VALUE", "set an attribute, in place of what was said of it", true, false},
	{"group", 0, "UUID", "the group that it belongs to", false, false},
	{"owner", 0, "TEXT", "a free text that says whose it is", false, false},
	{"addattr", 0, "NAME", "add an attribute, last or at --index", false, false},
	{"value", 0, "VALUE", "the value of the attribute", false, false},
	{"delattr", 0, NULL, "remove an attribute, the last or the one at --index", false, false},
	{"index", 'i', "INDEX", "where in the list of attributes", false, false},
	{"auto", 'a', NULL, "start it when its parent is ready", false, false},
	{"manual", 'm', NULL, "start it only when asked", false, false},
	{"jsonfile", 0, "FILE", "replace start and attributes by those of the file", false, false},
	{"live", 'l', NULL, "change the active mdev, from --jsonfile or by --attr", false, false},
	{"defined", 'd', NULL, "change the definition; the default without --live", false, false},
	{"force", 'f', NULL, "also when a callout refuses or, as root, it is another's", false,
	 false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option stop_options[] = {
	{"uuid", 'u', "UUID", "the mdev's UUID", false, false},
	{"force", 'f', NULL, "also when in use, refused by a callout or, as root, another's", false,
	 false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option save_options[] = {
	{"force", 'f', NULL, "as root, also when it is another user's", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option restore_options[] = {
	{"uuid", 'u', "UUID", "as this mdev, instead of the one that was saved", false, false},
	{"parent", 'p', "PARENT", "on this parent", false, false},
	{"force", 'f', NULL, "as root, also when it is another user's", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option qos_options[] = {
	{"cap", 0, "PERCENT", "most of the parent's time that it may own; 100 is no bound", false,
	 false},
	{"weight", 0, "NUMBER", "1 to 10000: its part among those that have work", false, false},
	{"priority", 0, "NUMBER", "0 to 7: who goes first, within cap and weight", false, false},
	{"defined", 'd', NULL, "change the definition, too, or show it", false, false},
	{"parent", 'p', "PARENT", "needed when several parents define it", false, false},
	{"force", 'f', NULL, "as root, also when it is another user's", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option group_start_options[] = {
	{"force", 'f', NULL, "also members that another user made", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option group_stop_options[] = {
	{"force", 'f', NULL, "disconnect clients; also members that another user made", false,
	 false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option group_qos_options[] = {
	{"cap", 0, "PERCENT", "most of a parent's time that all may own; 100 is no bound", false,
	 false},
	{"weight", 0, "NUMBER", "1 to 10000: the part of all among those that have work", false,
	 false},
	{"force", 'f', NULL, "also with members that another user made", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option plan_options[] = {
	{"type", 't', "TYPE", "the type's id", false, false},
	{"type-name", 0, "NAME", "the type's name, instead of its id", false, false},
	{"parent", 'p', "PARENT", "this parent, instead of any that offers the type", false, false},
	{"count", 'n', "NUMBER", "so many of them", false, false},
	{"weight", 0, "NUMBER", "1 to 10000", false, false},
	{"cap", 0, "PERCENT", "most of the parent's time that it may own", false, false},
	{"priority", 0, "NUMBER", "0 to 7", false, false},
	{"min-share", 0, "PERCENT", "the share of the parent that it is promised", false, false},
	{"group", 0, "UUID", "in a group", false, false},
	{"place", 0, "POLICY", "spread, the default, or pack", false, false},
	{"file", 0, "FILE", "read what is wanted from a file, - for standard input", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option blame_options[] = {
	{"seconds", 's', "SECONDS", "how long to look, 1 by default; 0: since it was started",
	 false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option qemu_args_options[] = {
	{"memory", 'm', "SIZE", "the guest's memory, 512M by default", false, false},
	{"no-memory", 0, NULL, "only the devices", false, false},
	{"shell", 0, NULL, "on one line, quoted for a shell", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option create_options[] = {
	{"define", 0, NULL, "write a definition instead of starting it", false, false},
	{"auto", 'a', NULL, "with --define: start it when its parent is ready", false, false},
	{"owner", 0, "TEXT", "a free text that says whose it is", false, false},
	{"force", 'f', NULL, "also when a callout refuses or, as root, it is another's", false,
	 false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option xml_options[] = {
	{"parent", 'p', "PARENT", "print a parent and its types", false, false},
	{"domain", 0, NULL, "print a domain that uses the mdevs", false, false},
	{"fragment", 0, NULL, "print what a domain needs to use them", false, false},
	{"name", 0, "NAME", "the domain's name, umdev by default", false, false},
	{"memory", 'm', "SIZE", "the domain's memory, 512M by default", false, false},
	{"virt-type", 0, "TYPE", "kvm, the default, or qemu where there is none", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option events_options[] = {
	{"follow", 'f', NULL, "wait for more", false, false},
	{"since", 's', "NUMBER", "begin with the event of this number", false, false},
	{"uuid", 'u', "UUID", "only those of this mdev", false, false},
	{"limit", 'n', "COUNT", "at most so many of the past, the latest", false, false},
	{NULL, 0, NULL, NULL, false, false},
};

static const struct ctl_option run_options[] = {
	{"parent", 'p', "SPEC", "driver=D[,name=N][,OPTION=VALUE]...", true, false},
	{"mdev", 'm', "SPEC", "type=T[,parent=N][,uuid=U][,group=G][,attr.NAME=VALUE]...", true,
	 false},
	{"memory", 0, "SIZE", "the guest's memory in UMDEV_QEMU_ARGS, 512M by default", false,
	 false},
	{NULL, 0, NULL, NULL, false, false},
};

const struct ctl_verb ctl_verbs[] = {
	{"parent add", "NAME", "add a parent device", 1, 1, false, parent_add_options,
	 ctl_parent_add},
	{"parent remove", "NAME", "remove a parent device", 1, 1, false, force_options,
	 ctl_parent_remove},
	{"parent list", "[NAME]", "list parent devices", 0, 1, false, no_options, ctl_parent_list},
	{"types", "", "list the types that parents offer", 0, 0, false, types_options, ctl_types},
	{"list", "", "list mdevs", 0, 0, false, list_options, ctl_list},
	{"define", "", "define an mdev", 0, 0, false, define_options, ctl_define},
	{"undefine", "", "remove the definition of an mdev", 0, 0, false, undefine_options,
	 ctl_undefine},
	{"modify", "", "change the definition of an mdev", 0, 0, false, modify_options, ctl_modify},
	{"start", "", "start an mdev", 0, 0, false, start_options, ctl_start},
	{"stop", "", "stop an mdev", 0, 0, false, stop_options, ctl_stop},
	{"start-parent-mdevs", "PARENT", "", 1, 1, false, no_options, ctl_start_parent_mdevs},
	{"qos", "UUID", "show or change how much of its parent an mdev gets", 1, 1, false,
	 qos_options, ctl_qos},
	{"plan", "", "tell what starting mdevs would do, and why", 0, 0, false, plan_options,
	 ctl_plan},
	{"blame", "UUID", "tell why the jobs of an mdev wait", 1, 1, false, blame_options,
	 ctl_blame},
	{"group list", "", "list groups", 0, 0, false, no_options, ctl_group_list},
	{"group show", "GROUP", "show a group and its members", 1, 1, false, no_options,
	 ctl_group_show},
	{"group start", "GROUP", "start all members of a group, or none", 1, 1, false,
	 group_start_options, ctl_group_start},
	{"group stop", "GROUP", "stop all members of a group", 1, 1, false, group_stop_options,
	 ctl_group_stop},
	{"group qos", "GROUP", "show or change what a group as a whole gets", 1, 1, false,
	 group_qos_options, ctl_group_qos},
	{"qemu-args", "UUID...", "print the arguments with which QEMU uses mdevs", 1, CTL_MANY,
	 false, qemu_args_options, ctl_qemu_args},
	{"create", "FILE", "make an mdev from libvirt's XML", 1, 1, false, create_options,
	 ctl_create},
	{"xml", "[UUID...]", "print mdevs, parents and domains as libvirt's XML", 0, CTL_MANY,
	 false, xml_options, ctl_xml},
	{"save", "UUID FILE", "save the state of a device whose guest stands still", 2, 2, false,
	 save_options, ctl_save},
	{"restore", "FILE", "start an mdev with a state that was saved", 1, 1, false,
	 restore_options, ctl_restore},
	{"upgrade", "[PARENT]", "replace the hosts of parents while guests run", 0, 1, false,
	 no_options, ctl_upgrade},
	{"events", "", "show what happened", 0, 0, false, events_options, ctl_events},
	{"doctor", "", "check the daemon and its surroundings", 0, 0, false, no_options,
	 ctl_doctor},
	{"run", "-- COMMAND [ARGUMENT]...", "run a command with a private daemon", 1, CTL_MANY,
	 true, run_options, ctl_run},
	{"version", "", "show the versions of umdevctl and of the daemon", 0, 0, false, no_options,
	 ctl_version},
	{"help", "[VERB]", "show help", 0, 2, false, no_options, ctl_help},
	{NULL, NULL, NULL, 0, 0, false, NULL, NULL},
};

const struct ctl_verb *ctl_verb_find(const char *first, const char *second, bool *ret_two)
{
	size_t len = strlen(first);

	if (strchr(first, ' '))
		return NULL;
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		if (strcmp(v->name, first) == 0) {
			*ret_two = false;
			return v;
		}
		if (second && strncmp(v->name, first, len) == 0 && v->name[len] == ' ' &&
		    strcmp(v->name + len + 1, second) == 0) {
			*ret_two = true;
			return v;
		}
	}
	return NULL;
}

bool ctl_verb_has_second(const char *first)
{
	size_t len = strlen(first);

	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		if (strncmp(v->name, first, len) == 0 && v->name[len] == ' ')
			return true;
	}
	return false;
}
