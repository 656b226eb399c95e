/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The objects of one umdev-host: its parent and the mdevs on it. What drivers know as opaque
 * handles.
 *
 * One process serves one parent on one reactor thread; nothing here is locked. The parent outlives
 * its mdevs.
 */
#pragma once

#include <umdev/driver.h>

#include "host/driver.h"
#include "host/page.h"
#include "host/sandbox.h"
#include "link/link.h"
#include "link/protocol.h"
#include "pci/pci.h"
#include "qos/qos.h"
#include "util/reactor.h"
#include "vfio/session.h"

#define HOST_ENGINES_MAX      16
#define HOST_TIMERS	      4
#define HOST_MDEVS_MAX	      4096
#define HOST_SHUTDOWN_LIMIT_S 8
#define HOST_CREATE_FDS	      (3 + UMDEV_ENDPOINTS_MAX) /* page, listener, endpoints, record */

/* One engine of the parent. */
struct host_engine {
	struct qos_engine *qos;
	bool round; /* takes part in the present round of starts */
};

/* What an mdev asks of one engine. Aligned, so that what jobs touch is two cache lines. */
#define HOST_FLOW_ALIGN 64
struct host_flow {
	struct qos_flow qos;
	struct umdev_mdev *mdev;
} __attribute__((aligned(HOST_FLOW_ALIGN)));

/* How the parent outlives its broker (handover.c), and the members of a group here (group.c). */
struct host_handover;
struct host_group;
struct host_join;

/* What an earlier host had kept (given.c). */
struct host_given;

struct umdev_parent {
	struct reactor *reactor;
	struct link link;
	struct host_handover *handover; /* NULL: it ends with its link */
	struct host_driver driver;
	struct umdev_parent_info info;
	void *priv; /* the driver's; NULL is a fine value, see opened */
	bool opened;
	struct sandbox sandbox;
	bool closing;
	char name[64];
	struct umdev_value *values; /* of the options; owns their text and fds */
	struct list mdevs;
	uint32_t mdev_count;
	struct list groups;
	struct list given; /* for devices to come (given.c) */
	struct list watches;
	struct host_engine engines[HOST_ENGINES_MAX];
	uint32_t engine_count;
	struct reactor_task dispatch;
	struct reactor_timer cap_timer; /* the next cap that opens */
	uint64_t jobs_ns;		/* the time as jobs.c knows it */
	bool dispatching;		/* in a round of starts */
	uint64_t discard_id;		/* the request that waits for discard_done(), or 0 */
	bool waits;			/* another host may own the parent (baton.c) */
	int baton;			/* ... and whoever takes this does; -1: none */
	bool unstaged;			/* something could not be staged */
	bool releasing;			/* mdevs are being let go */
	bool stages;			/* ... and are staged here */
	uint64_t release_id;		/* the request that waits for the end of that, or 0 */
};

/* What an mdev is waiting for its driver to finish. */
enum host_pending {
	HOST_PENDING_NONE,
	HOST_PENDING_RESET, /* a command of the client waits: DEVICE_RESET or FLR */
	HOST_PENDING_LOST,  /* the client left, guest memory waits */
	HOST_PENDING_COUNT
};

/* Whether the driver's instance was taken down, with all of the device in the page (rest.h). */
enum host_rest { HOST_REST_NO, HOST_REST_GOING, HOST_REST_YES };

/* A save that is under way (save.c). */
struct host_save;

struct host_timer {
	struct reactor_timer timer;
	struct umdev_mdev *mdev;
	umdev_timer_expired *expired;
	void *arg;
};

struct umdev_mdev {
	struct list link;
	struct umdev_parent *parent;
	char uuid[UMDEV_UUID_STRING];
	void *priv; /* the driver's; only while created */
	uint32_t type_index;
	uint64_t piece_start;
	uint64_t piece_size;
	json_t *attrs; /* of the driver, as text; NULL: defaults */
	struct page page;
	struct pci_function pci;
	struct vfio_session *session;
	int bar_fds[UMDEV_BAR_COUNT];
	int kept_fds[VFIO_SLOT_DRIVER_MAX]; /* by the driver */
	int32_t endpoints[UMDEV_ENDPOINTS_MAX];
	uint32_t endpoint_count;
	int record_fd; /* the broker's, or -1 */
	void *bar_memory[UMDEV_BAR_COUNT];
	struct reactor_poller poller;
	struct host_timer timers[HOST_TIMERS];
	enum host_pending pending;
	struct qos_knobs knobs;
	struct host_group *group; /* NULL: in none */
	struct host_join *join;	  /* the question about the present client, not answered yet */
	bool asked;		  /* the broker counts the present client as one of the group */
	bool ask_again;		  /* ... or will be asked about it when there is one */
	struct host_flow *flows;  /* one for each engine */
	uint32_t flow_count;
	json_t *drops; /* slots that the broker is not told of yet, or NULL */
	struct reactor_task drop;
	uint32_t piece; /* of the present access that the driver is called for */
	bool created;	/* the driver knows it */
	enum host_rest rest;
	void (*rested)(struct umdev_mdev *mdev);
	struct reactor_timer rest_timer;
	bool blank;	/* at rest with nothing to go on from */
	bool join_owed; /* a client has come while it was at rest */
	struct host_save *save;
	bool level; /* what the driver last said of INTx */
	bool in_use;
	uint64_t remove_id; /* the request that waits for the removal, or 0 */
	bool removing;
	bool releasing;		     /* another process will go on */
	struct reactor_timer finish; /* of a removal */
	uint64_t client_since_ns;
	uint64_t jobs_done;
	uint64_t events_window_ns; /* rate limit of events */
	uint32_t events_in_window;
};

/* ---- parent.c ---- */

/* Reports an event about @mdev (NULL: the parent) to the broker. @peer may be NULL. */
void host_event(struct umdev_parent *parent, struct umdev_mdev *mdev, int level, const char *event,
		const struct ucred *peer, const char *message);

/* Requests of the broker, answered now or later. */
extern const struct link_ops host_link_ops;

/* Creates an mdev as LINK_CREATE says; descriptors that are used are taken. */
int host_parent_create(struct umdev_parent *parent, json_t *params, int *fds, size_t nfds,
		       struct umdev_error *err) umdev_warn_unused;

/* Begins to take everything down; the reactor stops when it is done. */
void host_shutdown(struct umdev_parent *parent);

/* An mdev is gone: goes on with a shutdown that waits for it. */
void host_mdev_gone(struct umdev_parent *parent);

/* ---- mdev.c ---- */

struct host_create {
	const char *uuid;
	uint32_t type_index;
	uint64_t piece_start;
	uint64_t piece_size;
	const struct umdev_value *values;
	json_t *attrs; /* the texts that they were read from; borrowed */
	struct qos_knobs knobs;
	const char *group; /* NULL: none */
	struct qos_knobs group_knobs;
	bool resume;
	bool doubt;    /* hosts died one after another */
	bool stored;   /* what was kept lay with a service manager: only what belongs to the page */
	uint64_t kept; /* the number of the last message of an earlier host about what is kept */
	bool restore;  /* from the stream that was given; it rests until its client comes */
	int *page_fd;  /* these are taken when used */
	int *listener;
	int *endpoints;
	uint32_t endpoint_count;
	struct host_given *given; /* NULL: nothing; what is used is taken */
	int *record;		  /* NULL: none */
};

/* Builds an mdev whole or not at all. */
int host_mdev_create(struct umdev_parent *parent, const struct host_create *create,
		     struct umdev_error *err) umdev_warn_unused;

/* Removes an mdev, answering request @id (0: none) when it is gone. -EBUSY with a client connected
 * and @force false; then the caller answers. */
int host_mdev_remove(struct umdev_mdev *mdev, uint64_t id, bool force,
		     struct umdev_error *err) umdev_warn_unused;

/* The mdev of that name (lower case), or NULL. */
struct umdev_mdev *host_mdev_find(struct umdev_parent *parent, const char *uuid);

/* Has the broker keep @fd (borrowed) as @slot, before anybody rests on it. */
int host_mdev_keep(struct umdev_mdev *mdev, uint32_t slot, int fd) umdev_warn_unused;

/* The driver finished a reset that took time. */
void host_mdev_reset_done(struct umdev_mdev *mdev);

/* Frees it at once, telling nobody; it is in no list any more. For release.c. */
void host_mdev_free(struct umdev_mdev *mdev);

/* ---- region.c ---- */

/* A client's access to a region (vfio_session_ops.region_access). */
int host_region_access(void *device, uint32_t region, bool write, uint64_t offset, void *buf,
		       uint32_t count);

/* Resets PCI and driver. Returns 0, -EINPROGRESS or -errno. */
int host_mdev_reset(struct umdev_mdev *mdev, uint32_t kind);

/* Drives the INTx line from what driver, command register and interrupt kind say. */
void host_intx_update(struct umdev_mdev *mdev);

/* ---- services.c ---- */

extern const struct umdev_host_ops host_ops;

/* Whether one more event about @mdev may be told: the rate of those of outsiders is bounded. */
bool host_event_allowed(struct umdev_mdev *mdev);

/* Forgets all watches of a parent. */
void host_watches_free(struct umdev_parent *parent);

/* Forgets timers and poller of an mdev. */
void host_mdev_quiet(struct umdev_mdev *mdev);
