/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The broker: all parents and mdevs of one root directory, and the truth about them on disk.
 *
 * Everything runs on one reactor. A request that needs a host becomes a chain of callbacks; while
 * it runs, the mdev or parent is in a state of its own and other requests for it are DEVICE_BUSY.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/events.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/list.h"
#include "util/reactor.h"

#define BROKER_PARENTS_DIR "etc/umdev/parents.d"
#define BROKER_MDEVS_DIR   "etc/umdev/mdevs.d"
#define BROKER_GROUPS_DIR  "etc/umdev/groups.d"
#define BROKER_RUN_DIR	   "run/umdev"
#define BROKER_SOCKETS_DIR "run/umdev/mdevs"
#define BROKER_HOSTS_DIR   "run/umdev/hosts" /* where hosts wait for the next broker */
#define BROKER_LOCK	   "run/umdev/umdevd.lock"
#define BROKER_CONTROL	   "run/umdev/control.sock"
#define BROKER_SOCKET_NAME "vfio-user.sock"
#define BROKER_SOCKET_NEW  ".vfio-user.sock" /* until the mdev is whole */

#define BROKER_PARENTS_MAX 256
#define BROKER_MDEVS_MAX   65536 /* defined or active */

/* Where things are and how long they may take. */
struct broker_config {
	const char *root; /* absolute */
	const char *host_path;
	const char *driver_dir;
	const char *host_user;	     /* UID:GID that hosts become; empty or NULL: as it is */
	bool no_sandbox;	     /* hosts keep what they have, for debugging */
	uint64_t call_timeout_ns;    /* an answer of a host */
	uint64_t discard_timeout_ns; /* ... that wipes a piece */
	uint64_t exit_timeout_ns;    /* the orderly end of a host */
	uint64_t settle_timeout_ns;  /* before a definition that is gone or half written counts */
	uint64_t lock_timeout_ns;    /* at start: for the hosts of a daemon that died to let go */
	uint64_t restart_delay_ns;   /* after the second death in a row; doubles up to ... */
	uint64_t restart_delay_max_ns;
	uint64_t restart_probation_ns; /* a host that lived so long has proven itself */
	unsigned restart_deaths_max;   /* hosts that did not, in a row, end the restarts */
	uint32_t keep_fds_max;	       /* descriptors kept for one mdev */
	uint64_t orphan_ns; /* how long unused hosts outlive the broker; 0: as they see fit */
};

/* The figures that umdevd works with; paths are NULL. */
extern const struct broker_config broker_defaults;

struct broker {
	struct broker_config config;
	struct reactor *reactor;
	int root_fd;
	int lock_fd;
	uid_t uid; /* the daemon's own */
	struct list parents;
	struct list mdevs;
	size_t mdev_count;
	struct list groups;	  /* that have settings (group.h) */
	struct list group_starts; /* under way (group-start.c) */
	struct events events;
	struct tree_server *tree;	       /* NULL: none (tree.h) */
	struct watch *watch;		       /* NULL: none (watch.h) */
	struct fdstore *fdstore;	       /* NULL: none (stored.h) */
	json_t *stored;			       /* parent -> uuid -> record, of an earlier daemon */
	struct list strays;		       /* hosts without a parent (takeover.h) */
	struct list asks;		       /* of hosts (ask.h) */
	struct list put_off;		       /* calls (api_put_off()) */
	unsigned takeovers;		       /* hosts that are being taken over */
	void (*taken)(struct broker *broker);  /* called once, when that is none any more */
	unsigned booting;		       /* parents whose first start is not through yet */
	void (*booted)(struct broker *broker); /* called once, when there is none left */
	void *booted_data;
	struct reactor_task booted_task;
	void (*ended)(struct broker *broker); /* called once, at the end of broker_shutdown() */
	struct reactor_task ended_task;
	void (*again)(
		struct broker *broker); /* starts the daemon anew, hosts left alone; may be NULL */
	bool ending;
	bool leaving;
};

/*
 * Takes possession of the root directory: makes its directories, locks it (LOCKED when another
 * daemon has it). Nothing is started. Freed with broker_free().
 */
int broker_new(const struct broker_config *config, struct reactor *reactor,
	       struct broker **ret_broker, struct umdev_error *err) umdev_warn_unused;

/*
 * Loads definitions and parents, takes over the hosts that an earlier daemon left, starts the other
 * parents and what is defined to start by itself. A parent or definition that cannot be used is
 * reported and skipped. broker->taken is called when what is active is known and what a daemon that
 * died left below run/ is cleared, perhaps from within; broker->booted, never from within, when all
 * of it has succeeded or failed.
 */
int broker_boot(struct broker *broker, struct umdev_error *err) umdev_warn_unused;

/* Stops all mdevs and hosts in order; broker->ended is called, never from within. */
void broker_shutdown(struct broker *broker);

/* Frees everything; hosts that still run are killed. NULL is fine. */
void broker_free(struct broker *broker);

/* The same, but the hosts that serve go on and wait for the next broker. */
void broker_leave(struct broker *broker);

/* Whether nothing is under way that a leave would leave to be undone. */
bool broker_quiet(const struct broker *broker);

/* One of the parents that broker_boot() counted is through. */
void broker_boot_step(struct broker *broker);

/* A takeover that broker->takeovers counted is through. */
void broker_taken_step(struct broker *broker);

/* Part of broker_shutdown(): a parent is gone. */
void broker_end_step(struct broker *broker);
