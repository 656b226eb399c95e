/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A parent: its storage, its types, and the controllers that have something to tell their guests.
 * All of it belongs to the host's thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <umdev/driver.h>

#include "backend.h"

/* Rows of the tables in driver.c, in their order. */
enum {
	NVME_OPT_PATH,
	NVME_OPT_SIZE,
	NVME_OPT_RAM,
	NVME_OPT_TYPES,
	NVME_OPT_BLOCK_SIZE,
	NVME_OPT_IO,
	NVME_OPT_PARALLELISM,
	NVME_OPT_POLL_US,
	NVME_OPT_RESERVED_SLOTS,
	NVME_OPT_SERVICE_US,
	NVME_OPT_COUNT
};
enum {
	NVME_ATTR_DOORBELLS,
	NVME_ATTR_INTERRUPTS,
	NVME_ATTR_QUEUES,
	NVME_ATTR_SERIAL,
	NVME_ATTR_MODEL,
	NVME_ATTR_COUNT
};
enum { NVME_INTERRUPTS_MSIX, NVME_INTERRUPTS_MSI, NVME_INTERRUPTS_INTX };
enum {
	NVME_STAT_READS,
	NVME_STAT_WRITES,
	NVME_STAT_READ_BYTES,
	NVME_STAT_WRITE_BYTES,
	NVME_STAT_FLUSHES,
	NVME_STAT_OTHER,
	NVME_STAT_ERRORS,
	NVME_STAT_IN_FLIGHT,
	NVME_STAT_INTERRUPTS,
	NVME_STAT_TRAPPED,
	NVME_STAT_SHADOW,
	NVME_STAT_POLL_MODE,
	NVME_STAT_POLLS,
	NVME_STAT_SLEEPS,
	NVME_STAT_COPIED_BYTES,
	NVME_STAT_FATAL,
	NVME_STAT_COUNT,
};

/* Engines, in their order. */
enum { NVME_ENGINE_IO, NVME_ENGINE_ADMIN, NVME_ENGINE_COUNT };

#define NVME_POOL_ALIGN (1ull << 20)
#define NVME_TYPES_MAX	32u
#define NVME_TYPE_TEXT	64u

extern const struct umdev_host_ops *nvme_host;

struct nvme_ctrl;
struct nvme_measure;
struct nvme_service;
TAILQ_HEAD(nvme_ctrl_list, nvme_ctrl);

struct nvme_type {
	char id[16];
	char name[NVME_TYPE_TEXT];
	char description[NVME_TYPE_TEXT];
};

struct nvme_parent {
	struct umdev_parent *handle;
	struct nvme_backend *backend;
	uint64_t size; /* bytes, a multiple of NVME_POOL_ALIGN */
	uint64_t poll_ns;
	uint32_t block_size;
	uint32_t type_count;
	struct nvme_ctrl_list dirty; /* controllers with completions to post */
	struct nvme_io discard;	     /* one at a time */
	bool discarding;
	bool measured; /* how many at once */
	struct umdev_engine engines[NVME_ENGINE_COUNT];
	struct nvme_service *service; /* with service_us, else NULL */
	struct nvme_measure *measure; /* whose last reads have not ended, or NULL */
	char description[160];
	char block_size_text[8];
	struct umdev_type_attr type_attrs[3];
	struct nvme_type texts[NVME_TYPES_MAX];
	struct umdev_type types[NVME_TYPES_MAX];
};

/*
 * Fills @parent's types from a list such as "1g,4g,rest" and its block size. Returns 0, or -EINVAL
 * after saying why.
 */
int nvme_types_parse(struct nvme_parent *parent, const char *list);

/* ---- service.c ---- */

/* Makes every job of @parent take @each_ns: sets parent->service. Returns 0 or -errno. */
int nvme_service_new(struct nvme_parent *parent, uint64_t each_ns);
/* NULL is fine. No job may be in progress. */
void nvme_service_free(struct nvme_service *service);

/* ---- measure.c ---- */

#define NVME_PARALLELISM_MAX 4096u
#define NVME_MEASURE_MAX     256u
#define NVME_BATCH	     64u /* at once, on storage that answers within the submission */

/*
 * Reads for a while (0.2 s at most) from a storage of @size bytes on which nothing else is in
 * progress. Returns how many operations it works on at once: 1 .. NVME_MEASURE_MAX, and no more
 * than the backend's most. When reads have not ended by then, sets *@ret_late to what owns them.
 */
uint32_t nvme_measure(struct nvme_backend *backend, uint64_t size, struct nvme_measure **ret_late);
/* Waits for late reads (5 s at most), before the backend is closed. NULL is fine. Returns false
 * when they still have not ended: then their memory stays, and the backend must too. */
bool nvme_measure_end(struct nvme_measure *measure);

/* parent_open, parent_close, discard of umdev/driver.h. */
int nvme_parent_open(struct umdev_parent *handle, const struct umdev_parent_args *args,
		     struct umdev_parent_info *ret_info, void **ret_priv);
void nvme_parent_close(void *parent_priv);
int nvme_parent_discard(void *parent_priv, uint64_t piece_start, uint64_t piece_size);

/* Lets every controller with completions post them and go on. */
void nvme_parent_turn(struct nvme_parent *parent);
