/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parents: a host each, what its driver declared, and the pool that its types draw on.
 *
 *   state       means                                              next
 *   STARTING    a host is being started for the first time         READY, FAILED, (freed), REMOVING
 *   READY       types are published, mdevs can be started          RESTARTING, REMOVING
 *   RESTARTING  the host died; another is being started            READY, FAILED, REMOVING
 *   FAILED      there is no host; remove and add it to try again   REMOVING
 *   REMOVING    the host is ending                                 (freed)
 *
 * A parent that was added by a request and does not become READY leaves nothing behind. One that
 * was found in the configuration stays, FAILED, with the reason.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker/api.h"
#include "broker/backing.h"
#include "broker/broker.h"
#include "broker/host.h"
#include "broker/sandbox.h"
#include "model/pool.h"
#include "model/spec.h"
#include "model/type.h"

#define PARENT_EVENTS_PER_S 200 /* of a host; the rest is not recorded */

/* So many hosts may still die on probation before the parent is given up when mdevs in whose midst
 * one died are set back, but not before so many have died. */
#define PARENT_DOUBTS	    2
#define PARENT_DOUBTS_AFTER 3

enum parent_state {
	PARENT_STARTING,
	PARENT_READY,
	PARENT_RESTARTING,
	PARENT_FAILED,
	PARENT_REMOVING,
	PARENT_STATE_COUNT
};

/* A part of the pool that waits to be discarded. */
struct parent_discard {
	struct list link;
	struct pool_range range;
	void (*done)(struct parent_discard *discard, const struct umdev_error *err);
};

struct upgrade;

struct parent {
	struct list link; /* of the broker, sorted by name */
	struct broker *broker;
	char name[IDENT_PARENT_NAME_MAX + 1];
	char driver[IDENT_DRIVER_NAME_MAX + 1];
	json_t *options; /* name -> text, as given */
	enum parent_state state;
	struct umdev_error error;     /* why it is FAILED, or last died */
	struct host *host;	      /* NULL: none */
	struct takeover *takeover;    /* of that host, under way; NULL: none */
	int record_fd;		      /* of journal.h; -1: none */
	json_t *remakes;	      /* likewise */
	struct fdstore_owner *stored; /* with the service manager (stored.h); NULL: nothing is */
	struct api_call *call;	      /* waits for the parent to be added or removed */
	bool booting;		      /* counted in broker->booting */
	bool driver_known;	      /* the tables below are filled */

	/* What the driver declared, and what its host said of that. */
	json_t *hello;
	json_t *answer; /* to the open */
	struct spec_table option_specs;
	struct spec_table attr_specs;
	uint64_t page_size;
	uint32_t state_version;
	uint32_t state_from; /* the oldest version that its driver converts; state_version: none */
	bool restart_resets; /* its driver cannot go on from a state */
	json_t *sandbox;     /* what its host runs in (sandbox.h), or NULL */

	/* What was opened and what it offers. */
	struct backings backings;
	bool opened; /* was READY once */
	struct pool pool;
	uint64_t map_changes; /* pool.changes as the map on disk knows them ... */
	bool map_stored;      /* ... if it was written since or had no need of it */
	bool map_later;	      /* it is written after many changes, not after each */
	struct type_table types;
	char *unit;
	char *description;

	struct list discards; /* the first one is at the host when discarding */
	struct reactor_task discard_task;
	bool discarding;
	struct list returns; /* mdevs for the new host, those with a client first (stop.c) */
	unsigned returning;  /* others that it was given and has not answered for */
	struct reactor_task return_task;
	uint64_t event_second; /* how much its host reported in which second */
	unsigned event_count;
	bool failing; /* the host is being killed because of error */
	unsigned autostarting;
	bool autostarted;     /* what starts by itself here was started (journal.h) */
	bool autostart_waits; /* ... and shall be once all hosts were taken over */
	unsigned restarts;
	uint64_t ready_ns;	    /* when the present host became ready */
	unsigned death_count;	    /* of hosts that died on probation, in a row */
	struct upgrade *upgrade;    /* under way, or NULL */
	struct reactor_timer timer; /* the next start of a host, or try of a lock */
	uint64_t lock_deadline_ns;
};

/* The parent of that name, or NULL. */
struct parent *parent_find(struct broker *broker, const char *name);

/* "starting", "ready", ... as the RPC shows it. */
const char *parent_state_name(enum parent_state state);

/*
 * Makes a parent and starts its host. With @call (from a request) the call is answered once the
 * parent is ready and stored, or has failed and is gone; without (from the configuration) the
 * parent stays either way. Returns 0, or a negative errno with @err set, nothing made and @call
 * unanswered.
 */
int parent_add(struct broker *broker, const char *name, const char *driver, const json_t *options,
	       struct api_call *call, struct umdev_error *err) umdev_warn_unused;

/* As found in the configuration: malformed, so FAILED from the start. */
int parent_add_failed(struct broker *broker, const char *name,
		      const struct umdev_error *why) umdev_warn_unused;

/* Ends the host, the mdevs with it, frees the parent and answers @call (may be NULL). */
void parent_remove(struct parent *parent, struct api_call *call);

/* Frees at once, killing the host. For the end of the broker. NULL is fine. */
void parent_free(struct parent *parent);

/* Gives up on the present host: it is killed, and what that means depends on the state. */
void parent_fail(struct parent *parent, const struct umdev_error *err);

/* Sets @err and returns its errno unless the parent is READY. */
int parent_check_ready(const struct parent *parent, struct umdev_error *err) umdev_warn_unused;

/* Asks the host, with the usual time to answer; as host_call(), -ENOTCONN when there is none. */
int parent_call(struct parent *parent, const char *method, json_t *params, link_reply_fn *reply,
		void *arg) umdev_warn_unused;

/* Tells the host something, with descriptors (borrowed). @params is stolen. Returns 0 or -errno. */
int parent_notify(struct parent *parent, const char *method, json_t *params, const int *fds,
		  size_t nfds) umdev_warn_unused;

/* Writes the map of pieces. */
int parent_store_map(struct parent *parent, struct umdev_error *err) umdev_warn_unused;

/* Releases the piece of @uuid in the map on disk of a parent that is not there or was never opened,
 * so that nobody who defines that UUID again finds what was on it. */
int parent_drop_piece(struct broker *broker, const char *name, const char *uuid,
		      struct umdev_error *err) umdev_warn_unused;

/*
 * Has the driver discard discard->range, after those that wait already; drivers take one at a time.
 * done() is called once, not from within, with NULL when the range is clean now.
 */
void parent_discard_add(struct parent *parent, struct parent_discard *discard);

/* The value of an option that every parent has (spec_standard_options()): given, or the default. */
const char *parent_option(const struct parent *parent, const char *name);

/* Whether those that are only defined count as admitted, too. */
bool parent_reserves(const struct parent *parent);

/* How many mdevs of the parent are not idle, and how many definitions there are. */
void parent_count_mdevs(const struct parent *parent, size_t *ret_active, size_t *ret_defined);

/* The parent as the RPC shows it. NULL when out of memory. */
json_t *parent_print(const struct parent *parent);

/* Records an event about the parent. */
#define parent_event(parent, event_name, event_level, ...)                                         \
	broker_event((parent)->broker,                                                             \
		     &(struct event){.name = (event_name),                                         \
				     .level = (event_level),                                       \
				     .parent = (parent)->name},                                    \
		     __VA_ARGS__)

/* The driver files found: [ { "name", "path" } ], sorted. NULL when out of memory. */
json_t *drivers_list(const struct broker *broker);

/* UNKNOWN_DRIVER, listing those that are there, unless there is a file for @driver. */
int drivers_check(const struct broker *broker, const char *driver,
		  struct umdev_error *err) umdev_warn_unused;

/* ---- Between parent.c, parent-open.c, parent-map.c and takeover.c
 * -------------------------------------------------------
 */

/* Whether hosts died one after another and few more are tried. */
bool parent_near_end(const struct parent *parent);

/* Starts another process for the parent, for whoever @ops and @data belong to. */
int parent_spawn_host(struct parent *parent, const struct host_ops *ops, void *data,
		      struct host **ret_host, struct umdev_error *err) umdev_warn_unused;

/* What parent->host says comes to the parent from now on. */
void parent_adopt_host(struct parent *parent);

/* Takes the tables out of a hello; pool, types and description out of the answer to an open. Each
 * all or nothing, and, where the parent was READY before, only what can take the place of what is
 * there. */
int parent_take_hello(struct parent *parent, json_t *hello,
		      struct umdev_error *err) umdev_warn_unused;
int parent_take_answer(struct parent *parent, json_t *answer,
		       struct umdev_error *err) umdev_warn_unused;

/* Asks @host to open the parent, whose backings are open; @reply gets the parent. */
int parent_send_open(struct parent *parent, struct host *host,
		     link_reply_fn *reply) umdev_warn_unused;

/* What starts and adopts its hosts goes by. */
void parent_host_config(const struct parent *parent, struct host_config *ret_config);
extern const struct host_ops parent_host_ops;

/* Starts the first host, or fails the parent. */
void parent_begin(struct parent *parent);

/* Its host was taken over from an earlier broker, with all that it holds: the parent is ready. */
void parent_taken(struct parent *parent);

/* Starts what starts by itself, unless an earlier broker did. */
void parent_autostart(struct parent *parent);

/* The options that are the driver's. NULL when out of memory. */
json_t *parent_driver_options(const struct parent *parent);

/* Takes the driver's tables out of its hello, opens the backings and sends the open. */
void parent_open_begin(struct parent *parent, json_t *hello);

/* Opens the backings and sends the open; tried again while a dying host holds their lock. */
void parent_open_continue(struct parent *parent);

/* Makes the pool with what the map on disk says about it. */
int parent_load_map(struct parent *parent, uint64_t units, uint64_t align,
		    struct umdev_error *err) umdev_warn_unused;

/* The host answered the open and all of it was taken: the parent is ready. */
void parent_now_ready(struct parent *parent);
