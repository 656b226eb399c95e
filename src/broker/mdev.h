/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual devices: one object per parent and UUID, there while it is defined or not idle.
 *
 * Starting is a transaction (start.c): claim a piece, discard what is dirty of it, write the map,
 * bind the socket, have the host create the device, and only then announce it; any failure undoes
 * every step. Stopping (stop.c) is its reverse. Which transitions are legal: model/mdev.h.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker/api.h"
#include "broker/broker.h"
#include "broker/keeper.h"
#include "broker/parent.h"
#include "model/definition.h"
#include "model/group.h"
#include "model/knobs.h"
#include "model/mdev.h"

struct mdev {
	struct list link;	 /* of the broker, sorted by parent and uuid */
	struct list return_link; /* of parent->returns */
	struct broker *broker;
	char uuid[IDENT_UUID_SIZE];
	char parent_name[IDENT_PARENT_NAME_MAX + 1];
	struct definition *definition; /* on disk; NULL: none, or unreadable */
	bool file_lacks;	       /* the definition says what its file does not: see
					  definition_adopt() and mdev_learn_name() */
	struct umdev_error unreadable; /* why the definition cannot be read */
	enum mdev_state state;
	struct umdev_error error; /* what went wrong last */

	/* While not idle. */
	struct parent *parent;
	struct definition *running;  /* what it was started with */
	char group[IDENT_UUID_SIZE]; /* the group that it is in; "": none */
	struct group_start *start;   /* starts as one of a group */
	bool built;		     /* ... and its host has created it */
	bool stepping;		     /* ... and a step of it is under way */
	size_t type_index;
	unsigned number; /* of its IOMMU group in the tree; the lowest that was free */
	struct pool_range piece;
	struct pool_range old_piece; /* given up by this start, to be taken back if it fails */
	bool claimed;		     /* the piece was claimed by this start */
	bool mapped;		     /* ... which may stand on disk */
	bool touched;		     /* the host was asked to create it: the piece may be written */
	bool keep_refused;	     /* the host wanted more kept than there is room for */
	bool store_refused;	     /* ... or the service manager's store, at the last try */
	bool from_store;	     /* what is kept comes from there, and no host has it yet */
	uint64_t kept_number;	     /* of its host's last message about what is kept */
	uint64_t counts_since_ns;    /* monotonic: its present host created it, its usage is 0 */
	bool changing;		     /* attributes are being changed live */
	const struct definition *changing_to; /* what it may become then; NULL: it stays */
	struct parent_discard discard;
	struct keeper keeper;
	int restore_fd;	       /* starts from this stream; -1: as a new device */
	struct api_call *call; /* waits for the present transition */
	bool stop_next;	       /* ... for the stop after the present restart */
	bool stop_forced;
	bool autostarted; /* counted in parent->autostarting */

	/* The client. */
	bool in_use;
	pid_t client_pid;
	uid_t client_uid;
	uint64_t client_since_ns;
	struct group_client client; /* who holds its group through it, as far as that is known */
	uint64_t events_window_ns;  /* what its host may still report about it */
	unsigned events_in_window;
	char last_refusal[EVENTS_LINE_MAX];
};

/* The object of that parent and UUID, or NULL; mdev_get() makes it. */
struct mdev *mdev_find(struct broker *broker, const char *parent, const char *uuid);
int mdev_get(struct broker *broker, const char *parent, const char *uuid, struct mdev **ret_mdev,
	     struct umdev_error *err) umdev_warn_unused;

/* The one that is not idle, whatever its parent, or NULL. */
struct mdev *mdev_find_active(struct broker *broker, const char *uuid);

/* Frees an object that is idle and not defined; otherwise nothing happens. */
void mdev_put(struct mdev *mdev);

/* Frees at once. For the end of the broker. */
void mdev_free(struct mdev *mdev);

/* Whether there is a definition file, readable or not. */
bool mdev_is_defined(const struct mdev *mdev);

/* Changes the state; an illegal change is a bug of ours. */
void mdev_set_state(struct mdev *mdev, enum mdev_state state);

/* Whether who asks may change or remove it: its owner, and root with the parameter "force", which
 * is recorded as an event. */
int mdev_may_change(const struct mdev *mdev, const struct api_call *call,
		    struct umdev_error *err) umdev_warn_unused;

/*
 * Starts an idle mdev as @running (stolen) says. @call (may be NULL) is answered when it is active
 * or has failed. The checks that need nobody else are made at once: 0, or a negative errno with
 * nothing done and @call unanswered.
 */
int mdev_start(struct mdev *mdev, struct definition *running, struct api_call *call,
	       struct umdev_error *err) umdev_warn_unused;

/*
 * The parts of a start, for those that start several at once. Prepared, a mdev is STARTING, holds
 * its piece, and nobody was asked; unprepared, it is idle as before. Then mdev_start_next() goes
 * on; mdev_start_failed() takes all of it back, tells mdev->call, and may free @mdev;
 * mdev_start_done() makes it active.
 */
int mdev_start_prepare(struct mdev *mdev, struct definition *running,
		       struct umdev_error *err) umdev_warn_unused;
void mdev_start_unprepare(struct mdev *mdev);
void mdev_start_next(struct mdev *mdev);
void mdev_start_failed(struct mdev *mdev, const struct umdev_error *error);
void mdev_start_done(struct mdev *mdev);

/* Has the host remove the device that a start has made, and goes on with mdev_start_failed(). */
void mdev_unbuild(struct mdev *mdev, const struct umdev_error *why);

/* Starts what is defined to start by itself; parent->autostarting counts those under way. */
void mdev_autostart(struct parent *parent);

/* Stops an mdev that is neither idle nor on its way to another state, whoever uses it and whatever
 * becomes of its host, and answers @call then. */
void mdev_stop_surely(struct mdev *mdev, struct api_call *call);

/* Stops an active mdev and answers @call (may be NULL). Returns as mdev_start(). */
int mdev_stop(struct mdev *mdev, bool force, struct api_call *call,
	      struct umdev_error *err) umdev_warn_unused;

/* The device is gone: releases what it had and goes idle. Frees @mdev when it is not defined. */
void mdev_stopped(struct mdev *mdev, const char *why);

/* The parent's host died, a new one is ready, there will be none. */
void mdev_host_died(struct mdev *mdev);
void mdev_host_back(struct mdev *mdev);
void mdev_host_gone(struct mdev *mdev);

/* Begins to give parent->returns to the new host. */
void mdev_return_task(struct reactor_task *task);

/* What the host said about the mdevs of @parent: keep, drop, event. */
void mdev_host_notify(struct parent *parent, const char *method, json_t *params, int *fds,
		      size_t nfds);

/* Sends create for a mdev whose socket and page are ready; @reply gets @arg. @origin as in
 * umdev/driver.h. */
int mdev_send_create(struct mdev *mdev, int origin, link_reply_fn *reply,
		     void *arg) umdev_warn_unused;

/* The same for one that goes on from its page, in two steps: all that it is created of; the
 * creation, which brings no descriptors. */
int mdev_send_stage(struct mdev *mdev, link_reply_fn *reply, void *arg) umdev_warn_unused;
int mdev_send_staged(struct mdev *mdev, link_reply_fn *reply, void *arg) umdev_warn_unused;

/* The knobs in @definition as a host takes them. NULL when out of memory. */
json_t *mdev_print_knobs(const struct definition *definition);

/* Whether the user and group that @definition wants for the socket exist. */
int mdev_socket_check(const struct definition *definition,
		      struct umdev_error *err) umdev_warn_unused;

/* Makes the listening socket of @mdev, hidden yet, with the owner and mode that @running says, or
 * removes it. */
int mdev_socket_open(struct mdev *mdev, struct umdev_error *err) umdev_warn_unused;
void mdev_socket_close(struct mdev *mdev);

/* Whether the socket of @uuid was opened and is not where clients look for it yet; whether it is.
 */
bool mdev_socket_hidden(const struct broker *broker, const char *uuid);
bool mdev_socket_published(const struct broker *broker, const char *uuid);

/* Puts the socket that was opened where clients look for it. */
int mdev_socket_publish(struct mdev *mdev, struct umdev_error *err) umdev_warn_unused;

/* The path of the socket; cut when it does not fit. */
void mdev_socket_path(const struct mdev *mdev, char *path, size_t size);

/* Writes mdev->definition to disk, or removes it. */
int mdev_store(struct mdev *mdev, struct umdev_error *err) umdev_warn_unused;

/*
 * Notes what its parent, if it is there, calls the type of a definition that gives but an id, as
 * mdevctl writes them: should another card come, the id may be another type. The file is left
 * alone until something is written into it anyway.
 */
void mdev_learn_name(struct mdev *mdev);

/* The same for all definitions under @parent, which has become ready. */
void mdev_learn_names(struct parent *parent);

/* Makes @next (stolen; NULL: nothing) the definition of @mdev, on disk first; on failure it stays
 * as it was. */
int mdev_redefine(struct mdev *mdev, struct definition *next,
		  struct umdev_error *err) umdev_warn_unused;

/* Releases the piece of an idle @mdev that is not defined, and has it wiped before another gets it.
 */
void mdev_drop_piece(struct mdev *mdev);

/* Tells that @mdev is no longer defined and, when it is idle, releases its piece and frees it. */
void mdev_undefined(struct mdev *mdev, const char *how);

/* Goes on with the removal of several definitions that an earlier broker had begun: what is
 * active is known. */
void mdev_undefine_again(struct broker *broker);

/* Changes attributes of the active @mdev to what @next (stolen) says; @then answers @call and, with
 * @redefines, writes the definition before. Returns as mdev_start(). */
int mdev_change_live(struct mdev *mdev, struct definition *next, struct api_call *call,
		     void (*then)(struct mdev *mdev, struct api_call *call), bool redefines,
		     struct umdev_error *err) umdev_warn_unused;

/* Makes the active @mdev anew as @next (stolen) says, unless it is in use, and answers @call.
 * Returns as mdev_start(). */
int mdev_remake(struct mdev *mdev, struct definition *next, struct api_call *call,
		void (*then)(struct mdev *mdev, struct api_call *call),
		struct umdev_error *err) umdev_warn_unused;

/* The mdev as the RPC shows it, without statistics: its definition, or what it runs as. NULL when
 * out of memory. */
json_t *mdev_print(const struct mdev *mdev, bool as_defined);

/* Records an event about the mdev. */
#define mdev_event(mdev, event_name, event_level, ...)                                             \
	broker_event((mdev)->broker,                                                               \
		     &(struct event){.name = (event_name),                                         \
				     .level = (event_level),                                       \
				     .parent = (mdev)->parent_name,                                \
				     .uuid = (mdev)->uuid},                                        \
		     __VA_ARGS__)
