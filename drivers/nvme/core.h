/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the driver's files call of each other.
 */
#pragma once

#include "ctrl.h"

/* ---- device.c, regs.c, reset.c: the callbacks of umdev/driver.h ---- */

int nvme_mdev_create(void *parent_priv, struct umdev_mdev *mdev, const struct umdev_mdev_args *args,
		     struct umdev_device *ret_device, void **ret_priv);
void nvme_mdev_remove(void *mdev_priv);
void nvme_stats_get(void *mdev_priv, uint64_t *values);
int nvme_region_read(void *mdev_priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len);
int nvme_region_write(void *mdev_priv, uint32_t bar, uint64_t offset, const void *buf,
		      uint32_t len);
int nvme_reset(void *mdev_priv, uint32_t kind);
int nvme_quiesce(void *mdev_priv);
uint32_t nvme_poll(void *mdev_priv);
void nvme_job_start(void *mdev_priv, struct umdev_job *job);
void nvme_jobs_flush(void *parent_priv);

/* Sets the state to that of a controller that was just powered on. */
void nvme_state_init(struct nvme_ctrl *ctrl);

/* ---- resume.c ---- */

/* Checks a state page of an earlier process. Returns 0, or -EBADMSG after saying what is wrong. */
int nvme_state_check(const struct nvme_ctrl *ctrl);
/* Rebuilds the caches from a checked state and arranges for what was in flight to go on. */
void nvme_state_resume(struct nvme_ctrl *ctrl);
/* Goes on, once: by a timer, or before the guest's first access. */
void nvme_state_go(struct nvme_ctrl *ctrl, bool by_timer);

/* ---- replay.c ---- */

/* The process works on @req until nvme_suspect_end(), which is given what this returned. They nest.
 */
uint32_t nvme_suspect_begin(struct nvme_request *req);
void nvme_suspect_end(struct nvme_request *req, uint32_t before);
/* Counts a death against the command that the process before worked on. */
void nvme_suspect_count(struct nvme_ctrl *ctrl);
/* Begins anew what is parked since nvme_state_resume(); not @now: from the loop. */
void nvme_replay(struct nvme_ctrl *ctrl, bool now);
/* Begins the next command of those that begin one after the other, if the last has ended. */
void nvme_replay_step(struct nvme_ctrl *ctrl);
/* @req has ended, or waits for something else to happen. */
void nvme_replay_ended(struct nvme_request *req);
/* Everything in flight is given up. */
void nvme_replay_stop(struct nvme_ctrl *ctrl);

/* ---- reset.c ---- */

/* Ends everything in flight without telling the guest; nvme_drained() follows at once or later. */
void nvme_drain(struct nvme_ctrl *ctrl);
/* Something outstanding has ended: finishes a drain when it was the last. */
void nvme_drain_check(struct nvme_ctrl *ctrl);
/* Controller fatal status: the guest has to reset the controller. @what is for the log. */
void nvme_fatal(struct nvme_ctrl *ctrl, const char *what);
/* Begins CC.EN or shutdown processing after a change of CC. */
void nvme_cc_changed(struct nvme_ctrl *ctrl, uint32_t old);

/* ---- queue.c: submission ---- */

/* Fetches and starts commands, fairly, within a budget. Returns how many. */
uint32_t nvme_service(struct nvme_ctrl *ctrl);
/* Posts completions, goes on with submissions, decides about polling. The end of every entry into
 * the driver. */
void nvme_turn(struct nvme_ctrl *ctrl);
/* Whether nvme_service() would find something to do. */
bool nvme_can_fetch(const struct nvme_ctrl *ctrl);
/* A free request bound to a fresh slot, or NULL. @admin may use the reserve. */
struct nvme_request *nvme_request_get(struct nvme_ctrl *ctrl, bool admin);
/* Forgets a request without completion; its buffers, hold and slot become free. */
void nvme_request_release(struct nvme_request *req);
/* Runs a command that was fetched into its slot. */
void nvme_dispatch(struct nvme_request *req);

/* ---- completion.c ---- */

/* The command has ended with @status; a completion entry follows. */
void nvme_finish(struct nvme_request *req, uint32_t status);
/* Sees to it that nvme_turn() is called. */
void nvme_mark_dirty(struct nvme_ctrl *ctrl);
/* Writes the completion entries of all queues that have any, as far as there is room, and
 * interrupts. */
void nvme_completions_post(struct nvme_ctrl *ctrl);
/* Drops pending completions of submission queue @sqid, or of all with NVME_QUEUES. */
void nvme_completions_drop(struct nvme_ctrl *ctrl, uint32_t cqid, uint32_t sqid);
/* Re-evaluates interrupts that depend on masks and levels. */
void nvme_irq_update(struct nvme_ctrl *ctrl);
/* Raises the interrupt of @cqid if it has one. */
void nvme_irq_raise(struct nvme_ctrl *ctrl, uint32_t cqid);
/* Puts an error into the log page; returns the status with the More bit. */
uint32_t nvme_error_log(struct nvme_ctrl *ctrl, const struct nvme_request *req, uint32_t status);

/* ---- doorbell.c ---- */

/* A doorbell register was written. */
void nvme_doorbell_write(struct nvme_ctrl *ctrl, uint64_t offset, uint32_t value);
/* Looks at the doorbells in memory. Returns how many moved. */
uint32_t nvme_doorbell_scan(struct nvme_ctrl *ctrl);
/* Brings the head of completion queue @cqid up to date from memory. */
void nvme_doorbell_head(struct nvme_ctrl *ctrl, uint32_t cqid);
/* Asks to be told when the head of @cqid moves, then looks again. */
void nvme_doorbell_arm_head(struct nvme_ctrl *ctrl, uint32_t cqid);
/* A queue was created or the controller enabled: its doorbells begin at zero. */
void nvme_doorbell_clear(struct nvme_ctrl *ctrl, uint32_t qid, bool cq);
/* The page of doorbells=shared outlives a process: finds it again, with what the guest rang. */
void nvme_doorbell_resume(struct nvme_ctrl *ctrl);
/* Doorbell Buffer Config: takes new addresses. Returns a status. */
uint32_t nvme_doorbell_config(struct nvme_ctrl *ctrl, uint64_t shadow, uint64_t eventidx);
/* Polls, sleeps or sets a timer as the load asks for. @worked: something moved. */
void nvme_polling_update(struct nvme_ctrl *ctrl, bool worked);

/* ---- dptr.c: PRP and SGL ---- */

/*
 * Finds out where the data of @req (req->length bytes) is in guest memory, into req->ranges; calls
 * req->next with a status, at once or later.
 */
void nvme_dptr_read(struct nvme_request *req, void (*next)(struct nvme_request *, uint32_t));
/*
 * Translates req->ranges to req->io.iov. Returns 0 or -errno of dma_map().
 */
int nvme_dptr_map(struct nvme_request *req, uint32_t access);

/* ---- copy.c: bounce buffers ---- */

/* Gives @req a buffer (large or small), at once or when one is free, then calls @next with 0. */
void nvme_buffer_get(struct nvme_request *req, bool large,
		     void (*next)(struct nvme_request *, uint32_t));
/* Takes the buffer back. */
void nvme_buffer_put(struct nvme_request *req);
/* Gives free buffers to those who wait. */
void nvme_buffers_serve(struct nvme_ctrl *ctrl);
/* Copies req->length bytes between the buffer and req->ranges, then calls @next with a status. */
void nvme_copy(struct nvme_request *req, bool out, void (*next)(struct nvme_request *, uint32_t));

/* ---- service.c: jobs that take service_us ---- */

/* Begins the modelled time of a job that starts. Only with parent->service, as all below. */
void nvme_service_begin(struct nvme_request *req);
/* The work of @req has ended with @error. Returns whether its time is not over: then
 * nvme_io_ended() follows later. */
bool nvme_service_keeps(struct nvme_request *req, int error);
/* Makes @req end with its work. Returns whether that was over, so that it has ended within. */
bool nvme_service_cancel(struct nvme_request *req);
/* Ends the jobs that are due. Returns how many. */
uint32_t nvme_service_run(struct nvme_parent *parent);
/* Whether @ctrl has to be polled because a job of it is due soon. Without parent->service: no. */
bool nvme_service_looks(const struct nvme_ctrl *ctrl);

/* ---- io.c ---- */

/* Checks and begins a command of an I/O queue; nvme_finish() follows. */
void nvme_io_command(struct nvme_request *req);
/* The job of @req is over, since @ended_ns (0: since now), with 0 or -errno of the storage. */
void nvme_io_ended(struct nvme_request *req, int error, uint64_t ended_ns);
/* Flushes the namespace for an admin command, which then ends. */
void nvme_flush_for(struct nvme_request *req);
/* Flushes the namespace for a shutdown; nvme_shutdown_flushed() follows. */
void nvme_flush_begin(struct nvme_ctrl *ctrl);
void nvme_shutdown_flushed(struct nvme_ctrl *ctrl);
/* Hands @req to the host as a job of @engine (NVME_ENGINE_*): it is QUEUED until nvme_job_start().
 */
void nvme_job_submit(struct nvme_request *req, uint32_t engine);
/* Takes a queued job back. Returns whether the request is the caller's again. */
bool nvme_job_withdraw(struct nvme_request *req);

/* ---- admin.c and its parts ---- */

/* Begins a command of the admin queue, most as a job; nvme_finish() follows, for events perhaps
 * never. */
void nvme_admin_begin(struct nvme_request *req);
/* Its job has started: checks and does the command. */
void nvme_admin_start(struct nvme_request *req);
/* Ends the job of an admin command if it still lasts. */
void nvme_admin_job_end(struct nvme_request *req);
/*
 * Finds the guest's buffer of @length bytes, gets one of ours, and lets @fill put the reply into
 * it; @fill ends with nvme_admin_reply() or nvme_finish().
 */
void nvme_admin_send(struct nvme_request *req, uint32_t length,
		     void (*fill)(struct nvme_request *req));
/* Sends @length bytes of req->buffer to the guest and finishes the command. req->length bounds it.
 */
void nvme_admin_reply(struct nvme_request *req, uint32_t length);
/* Completes the deletion of a queue with which nothing is in progress any more. */
void nvme_sq_deleted(struct nvme_ctrl *ctrl, uint32_t sqid);
void nvme_cq_deleted(struct nvme_ctrl *ctrl, uint32_t cqid);
/* Text as NVMe has it: ASCII, filled up with spaces. */
void nvme_text(char *to, size_t size, const char *text);
void nvme_identify(struct nvme_request *req);
void nvme_get_log(struct nvme_request *req);
void nvme_get_features(struct nvme_request *req);
void nvme_set_features(struct nvme_request *req);
void nvme_features_init(struct nvme_ctrl *ctrl);
/* SMART critical warnings as they stand. */
uint32_t nvme_smart_warnings(const struct nvme_ctrl *ctrl);

/* ---- event.c ---- */

/* Keeps an Asynchronous Event Request until there is an event, or ends it at the limit. */
void nvme_event_request(struct nvme_request *req);
/* Tells the guest of an event as soon as it has asked. */
void nvme_event_raise(struct nvme_ctrl *ctrl, uint32_t type, uint32_t info, uint32_t log);
/* The guest has read log page @log: its events may come again. */
void nvme_event_clear(struct nvme_ctrl *ctrl, uint32_t log);
/* Takes @req off the list of outstanding requests. */
void nvme_event_forget(struct nvme_request *req);
/* Announces SMART warnings that are new. */
void nvme_event_smart(struct nvme_ctrl *ctrl);
