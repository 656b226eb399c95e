/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The harness: a host of the kit's own around one driver, one parent and its mdevs, in one process
 * that a check may lose.
 *
 * It plays umdev-host's part to the letter of umdev/driver.h, and notes every breach of it by the
 * driver (verdict_broken()). What a check needs and cannot get, such as a parent that does not
 * open, ends the check as skipped: a check of its own says why. One thread; services that a driver
 * calls on another one are a breach, those apart that may be.
 */
#pragma once

#include "kit-types.h"

/* ---- kit.c: life of driver, parent and mdevs ---- */

/* The harness of this process, for services that are told of nothing else. */
extern struct kit *kit_self;

/* Makes the harness: guest memory and tables. Ends the process when that is impossible. */
struct kit *kit_new(const struct conform_options *options);

/* Loads the driver as the host does. Returns 0 or -errno with @err. */
int kit_load(struct kit *kit, struct umdev_error *err);

/* Opens the parent with the options given. Returns 0 or -errno with @err. */
int kit_open(struct kit *kit, struct umdev_error *err);

/* Both, or the check is skipped. */
void kit_up(struct kit *kit);

/* Removes what is left, closes, and notes what the driver left behind. */
void kit_close(struct kit *kit);

/* Closes, and gives back what the options opened, so that another may open it; types stay readable.
 */
void kit_let_go(struct kit *kit);

/* The row of the type that checks use where one is enough: --type, or the first that fits. */
uint32_t kit_type(const struct kit *kit);
const struct umdev_type *kit_type_row(const struct kit *kit, uint32_t index);

/* Builds an mdev. NULL with @err when the driver refuses. */
struct umdev_mdev *kit_create(struct kit *kit, const struct kit_create *create,
			      struct umdev_error *err);

/* Builds one of the usual type with number @number; its piece lies behind those of lower numbers.
 * The check is skipped when that fails. */
struct umdev_mdev *kit_mdev(struct kit *kit, uint32_t number);

/* Takes one down: as the host does, reset first when a guest has used it. */
void kit_remove(struct umdev_mdev *mdev);

/* Makes the endpoints of the type, as the broker does, apart from their names. Returns how many. */
uint32_t kit_endpoints_new(const struct umdev_type *type, int32_t fds[UMDEV_ENDPOINTS_MAX]);

/* ---- kit-kept.c ---- */

/* Around region_read() and region_write(). */
void kit_access_begin(struct umdev_mdev *mdev);
void kit_access_end(struct umdev_mdev *mdev);

/* The services of that name. */
int kit_keep(struct umdev_mdev *mdev, uint32_t index, int fd);
int kit_kept(struct umdev_mdev *mdev, uint32_t index);

/* Forgets what was kept. */
void kit_kept_drop(struct umdev_mdev *mdev);

/* Bytes of the state page of an mdev, shared with children of this process. */
void *kit_state_new(const struct kit *kit);
void kit_state_free(const struct kit *kit, void *state);
/* Each byte behind a state, up to the end of its page. */
#define KIT_FILLER 0xa5

/* ---- kit-access.c: what a guest does ---- */

/* One access as the host makes it: naturally aligned, 1, 2, 4 or 8 bytes, inside BAR @bar and
 * outside of MSI-X structures. A failed read leaves all ones. */
int kit_read(struct umdev_mdev *mdev, uint32_t bar, uint64_t offset, void *buf, uint32_t len);
int kit_write(struct umdev_mdev *mdev, uint32_t bar, uint64_t offset, const void *buf,
	      uint32_t len);

/* Whether such an access is the driver's to answer. */
bool kit_reachable(const struct umdev_mdev *mdev, uint32_t bar, uint64_t offset, uint32_t len);

/* Resets, waits for the end, and notes what was left. Fails the check when it does not end. */
void kit_reset(struct umdev_mdev *mdev, uint32_t kind);

/* A client connects. */
void kit_join(struct umdev_mdev *mdev);

/* Where in this process the guest memory at @iova is, or NULL. */
void *kit_memory_at(struct kit *kit, uint64_t iova, uint64_t len);

/* ---- kit-loop.c: time passes ---- */

/* One turn: descriptors, timers, transfers, polling, jobs. Waits up to @timeout_ns when there is
 * nothing. Returns how much happened. */
uint32_t kit_turn(struct kit *kit, uint64_t timeout_ns);

/* Turns until nothing is in progress, or for @limit_ns. Returns whether nothing is. */
bool kit_settle(struct kit *kit, uint64_t limit_ns);

/* Jobs of @mdev that are queued or started. */
uint32_t kit_jobs_of(const struct umdev_mdev *mdev, bool started);

/* Transfers of @mdev that have not ended. */
uint32_t kit_transfers_of(const struct umdev_mdev *mdev);

/* Ends the transfers of @mdev, which has lost its client. */
void kit_transfers_cancel(struct umdev_mdev *mdev);

/* ---- kit-work.c: guests that ask for jobs ---- */

/* Lets the guest of @mdev make itself ready to ask for jobs. NULL, or why there is no such work. */
const char *kit_work_begin(struct umdev_mdev *mdev);

/* Asks for one more job, if the guest has room for it. */
void kit_work_one(struct umdev_mdev *mdev);

/* From now on each mdev with work has @depth jobs queued or started, as far as it goes; 0: none. */
void kit_work_keep(struct kit *kit, uint32_t depth);

/* ---- kit-services.c, kit-jobs.c ---- */

extern const struct umdev_host_ops kit_ops;

/* The job services, and schedulers that follow the parent's engines. */
void kit_job_submit(struct umdev_mdev *mdev, struct umdev_job *job);
int kit_job_withdraw(struct umdev_mdev *mdev, struct umdev_job *job);
void kit_job_done(struct umdev_mdev *mdev, struct umdev_job *job);
void kit_job_done_at(struct umdev_mdev *mdev, struct umdev_job *job, uint64_t ended_ns);
int kit_engines_new(struct kit *kit, struct umdev_error *err);
void kit_engines_free(struct kit *kit);
void kit_jobs_join(struct umdev_mdev *mdev);
void kit_jobs_leave(struct umdev_mdev *mdev);
/* Starts what may start. Returns how many. */
uint32_t kit_jobs_start(struct kit *kit);

/* Whether the present thread and moment allow a call of service @name. */
bool kit_may_call(const char *name);

/* Begins and ends a callback: notes its name and what it broke. */
#define kit_enter(kit, ...) ((kit)->depth++, verdict_doing(__VA_ARGS__))
/* As above. */
void kit_leave(struct kit *kit, const char *callback);
