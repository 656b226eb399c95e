/* SPDX-License-Identifier: BSD-3-Clause */
/* Jobs of mdevs on the engines of their parent, in the order that the scheduler says. */
#pragma once

#include "host/host.h"

/* Makes a scheduler for each engine that the open parent declared; ends them. */
int host_jobs_init(struct umdev_parent *parent, struct umdev_error *err) umdev_warn_unused;
void host_jobs_done(struct umdev_parent *parent);

/* Lets an mdev compete for the engines, and ends that; safe on one that does not. */
int host_mdev_join(struct umdev_mdev *mdev, const struct qos_knobs *knobs,
		   struct umdev_error *err) umdev_warn_unused;
void host_mdev_leave(struct umdev_mdev *mdev);

/* Changes all three knobs, in effect from the next start of a job, or none. */
int host_mdev_set_knobs(struct umdev_mdev *mdev, const struct qos_knobs *knobs,
			struct umdev_error *err) umdev_warn_unused;

/* The job services of umdev/driver.h, which has their contract. */
void host_job_submit(struct umdev_mdev *mdev, struct umdev_job *job);
/* As above. */
int host_job_withdraw(struct umdev_mdev *mdev, struct umdev_job *job);
/* As above. */
void host_job_done(struct umdev_mdev *mdev, struct umdev_job *job);
/* As above. */
void host_job_done_at(struct umdev_mdev *mdev, struct umdev_job *job, uint64_t ended_ns);
