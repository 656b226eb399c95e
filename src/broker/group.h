/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups of the broker: who is in one, what it may get as a whole, and who uses it.
 *
 * A group is there while an mdev names it, in its definition or in what it runs as; only cap and
 * weight of the whole are kept for themselves, in etc/umdev/groups.d, and go with the last member.
 * Starting is in group-start.c. The rules: model/group.h.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "broker/mdev.h"
#include "model/group.h"

/* What was set of a group. */
struct group {
	struct list link; /* of the broker */
	char uuid[IDENT_UUID_SIZE];
	struct definition *settings; /* its knobs, as attributes */
	bool stored;		     /* they were set: the file says so */
	bool stopping;		     /* all members are being stopped; the file says that, too */
	bool down; /* an earlier broker was told to stop it: does not start by itself at boot */
};

/* Loads what is kept of groups. Those without members go once hosts were taken over. */
int group_load(struct broker *broker, struct umdev_error *err) umdev_warn_unused;
void group_free_all(struct broker *broker);

/* Whether @mdev is defined or runs as one of @group. */
bool group_has(const char *group, const struct mdev *mdev);

/* How many are. */
size_t group_count(const struct broker *broker, const char *group);

/* Forgets what was set of @group ("": nothing) when it has no member any more. */
void group_settle(struct broker *broker, const char *group);

/* The same for every group: definitions have changed. */
void group_settle_all(struct broker *broker);

/* Notes, on disk and for those who ask, that all of @group is being stopped, or not any more. What
 * cannot be written is logged: should the broker die, the next one leaves the group half stopped.
 */
void group_mark(struct broker *broker, const char *group, bool stopping);
bool group_is_stopping(const struct broker *broker, const char *group);

/* Cap and weight of the whole. */
void group_knobs(const struct broker *broker, const char *group, struct knobs *ret_knobs);

/* Makes @settings (stolen) those of @group, on disk first. */
int group_set(struct broker *broker, const char *group, struct definition *settings,
	      struct umdev_error *err) umdev_warn_unused;

/* A copy of what was set of it. NULL when out of memory. */
struct definition *group_settings(const struct broker *broker, const char *group);

/* The group as hosts take it, with its knobs. NULL when out of memory. */
json_t *group_print_knobs(const struct broker *broker, const char *group);

/* The group as the RPC shows it. NULL when out of memory. */
json_t *group_print(const struct broker *broker, const char *group);

/* Puts which group it is about before a message that does not say so. Returns err's errno. */
int group_wrap(struct umdev_error *err, const char *group);

/* The rules see @mdev, of @type, as this. */
void group_describe(const struct mdev *mdev, const struct type *type,
		    struct group_member *ret_member);

/*
 * The active members of @group as the rules see them, at most GROUP_MEMBERS_MAX. @but (may be NULL)
 * is left out.
 */
size_t group_list_active(const struct broker *broker, const char *group, const struct mdev *but,
			 struct group_member members[GROUP_MEMBERS_MAX]);

/* Whether an mdev that is defined as @d under @parent may belong to the group that it names, beside
 * those that are defined or active. @uuid is left out of those. */
int group_check_definition(const struct parent *parent, const char *uuid, const struct type *type,
			   const struct definition *d, struct umdev_error *err) umdev_warn_unused;

/* Whether the active @mdev may leave its group, if it is in one. */
int group_check_stop(const struct mdev *mdev, struct umdev_error *err) umdev_warn_unused;

/* Whether who asks may do something with every member of @group: see mdev_may_change(). */
int group_may_change(const struct api_call *call, const char *group,
		     struct umdev_error *err) umdev_warn_unused;

/* A host asks whether a client may connect to a member (refused because of the client of another
 * one: *@ret_holder), or says that it has left. */
int group_client_joins(struct parent *parent, json_t *params, const struct mdev **ret_holder,
		       struct umdev_error *err) umdev_warn_unused;
void group_client_left(struct mdev *mdev);

/* A member whose client is leaving, or NULL. */
struct mdev *group_leaving(const struct broker *broker, const char *group);

/* The client of @mdev had been let in by an earlier broker. */
void group_client_was(struct mdev *mdev);

/* Idle mdevs of one group and what they are to run as. */
struct group_wanted {
	const char *group;
	struct mdev **mdevs;
	struct definition **runnings;
	size_t count;
	bool single;
};
/*
 * Starts the mdevs of @wanted as its definitions (stolen) say: all or none. @call (may be NULL) is
 * answered with the group, or with the one mdev when @single, once all are active or none is.
 * Returns as mdev_start().
 */
int group_start(struct broker *broker, const struct group_wanted *wanted, struct api_call *call,
		struct umdev_error *err) umdev_warn_unused;

/* The UUIDs of the mdevs that are started together. NULL when out of memory. */
json_t *group_start_print(const struct group_start *start);

/* DEVICE_BUSY while members of @group are being started, or all of them stopped: what a second
 * start would join, or a change would meet, is not settled. */
int group_check_quiet(const struct broker *broker, const char *group,
		      struct umdev_error *err) umdev_warn_unused;

/* Stops all active members of @group, which has some; without @force none may be in use. Once begun
 * it goes to the end, under the next broker if need be (group-stop.c). @call is answered with the
 * group. Returns as mdev_start(). */
int group_stop(struct broker *broker, const char *group, bool force, struct api_call *call,
	       struct umdev_error *err) umdev_warn_unused;

/* Goes on with the stops that an earlier broker had begun: hosts were taken over. */
void group_stop_again(struct broker *broker);

/* Whether @group was stopped so, and stays down while the broker boots; the boot is over. */
bool group_is_down(const struct broker *broker, const char *group);
void group_booted(struct broker *broker);

/* Forgets starts that are under way. For the end of the broker. */
void group_start_free_all(struct broker *broker);

/* A step of @mdev, which is starting as one of a group, has ended: well (NULL), or it is idle again
 * and may be freed afterwards. */
void group_start_step(struct mdev *mdev, const struct umdev_error *err);

/* The host of such a one died between two steps. */
void group_start_host_died(struct mdev *mdev, const struct umdev_error *err);

/* Starts the members of groups that shall start by themselves, once all their parents are ready or
 * have failed. Called when @parent has. */
void group_autostart(struct parent *parent);

#define group_event(the_broker, the_group, event_name, event_level, ...)                           \
	broker_event((the_broker),                                                                 \
		     &(struct event){                                                              \
			     .name = (event_name), .level = (event_level), .group = (the_group)},  \
		     __VA_ARGS__)
