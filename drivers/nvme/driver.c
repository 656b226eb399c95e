/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe vendor driver: a file, a block device or memory becomes NVMe 1.4 controllers with one
 * namespace each.
 *
 * This file is the driver's face: its tables and its entry. The parent is in parent.c, types.c and
 * the backends; a controller in device.c (making), regs.c (registers), reset.c, queue.c and
 * completion.c (rings), doorbell.c, admin.c with identify.c, features.c, log_page.c and event.c,
 * io.c with dptr.c and copy.c (data), resume.c.
 */
#include <assert.h>

#include "core.h"

const struct umdev_host_ops *nvme_host;

static const struct umdev_option nvme_options[] = {
	[NVME_OPT_PATH] = {.name = "path",
			   .description = "file or block device to share",
			   .choices = "size",
			   .kind = UMDEV_KIND_BACKING},
	[NVME_OPT_SIZE] = {.name = "size",
			   .description = "makes the file of path, with this size",
			   .min = NVME_POOL_ALIGN,
			   .max = INT64_MAX,
			   .kind = UMDEV_KIND_BYTES},
	[NVME_OPT_RAM] = {.name = "ram",
			  .description = "memory of this size to share, instead of path",
			  .min = NVME_POOL_ALIGN,
			  .max = INT64_MAX,
			  .kind = UMDEV_KIND_MEMORY},
	[NVME_OPT_TYPES] = {.name = "types",
			    .description = "sizes of the drives it offers, and rest",
			    .default_value = "1g,4g,16g,rest",
			    .max = 400,
			    .kind = UMDEV_KIND_STRING},
	[NVME_OPT_BLOCK_SIZE] = {.name = "block_size",
				 .description = "bytes of a block that guests see",
				 .default_value = "512",
				 .choices = "512 4096",
				 .kind = UMDEV_KIND_ENUM},
	[NVME_OPT_IO] = {.name = "io",
			 .description = "how path is read and written",
			 .default_value = "auto",
			 .choices = "auto io_uring threads",
			 .kind = UMDEV_KIND_ENUM},
	[NVME_OPT_PARALLELISM] = {.name = "parallelism",
				  .description = "most commands in progress at once; 0: measured",
				  .default_value = "0",
				  .max = NVME_PARALLELISM_MAX,
				  .kind = UMDEV_KIND_U64},
	[NVME_OPT_POLL_US] = {.name = "poll_us",
			      .description = "microseconds of polling after the last work",
			      .default_value = "0",
			      .max = 1000000,
			      .kind = UMDEV_KIND_U64},
	[NVME_OPT_RESERVED_SLOTS] = {.name = "reserved_slots",
				     .description = "of them, kept for drives with a priority",
				     .default_value = "0",
				     .max = NVME_PARALLELISM_MAX - 1,
				     .kind = UMDEV_KIND_U64},
	[NVME_OPT_COUNT] = {.name = NULL},
};

static const struct umdev_attr nvme_attrs[] = {
	[NVME_ATTR_DOORBELLS] = {.name = "doorbells",
				 .description = "trapped, with shadow doorbells; or a shared page "
						"that is polled",
				 .default_value = "trapped",
				 .choices = "trapped shared",
				 .kind = UMDEV_KIND_ENUM,
				 .when = UMDEV_WHEN_CREATE},
	[NVME_ATTR_INTERRUPTS] = {.name = "interrupts",
				  .description = "what the device offers besides INTx",
				  .default_value = "msix",
				  .choices = "msix msi intx",
				  .kind = UMDEV_KIND_ENUM,
				  .when = UMDEV_WHEN_CREATE},
	[NVME_ATTR_QUEUES] = {.name = "queues",
			      .description = "I/O queue pairs offered",
			      .default_value = "64",
			      .min = 1,
			      .max = NVME_IO_QUEUES,
			      .kind = UMDEV_KIND_U64,
			      .when = UMDEV_WHEN_CREATE},
	[NVME_ATTR_SERIAL] = {.name = "serial",
			      .description = "serial number; empty: from the UUID",
			      .default_value = "",
			      .max = 20,
			      .kind = UMDEV_KIND_STRING,
			      .when = UMDEV_WHEN_CREATE},
	[NVME_ATTR_MODEL] = {.name = "model",
			     .description = "model number",
			     .default_value = "umdev NVMe",
			     .max = 40,
			     .kind = UMDEV_KIND_STRING,
			     .when = UMDEV_WHEN_CREATE},
	[NVME_ATTR_COUNT] = {.name = NULL},
};

static const struct umdev_stat nvme_stats[] = {
	[NVME_STAT_READS] = {"reads", "Read commands that succeeded"},
	[NVME_STAT_WRITES] = {"writes", "Write commands that succeeded"},
	[NVME_STAT_READ_BYTES] = {"read_bytes", "bytes they read"},
	[NVME_STAT_WRITE_BYTES] = {"write_bytes", "bytes they wrote"},
	[NVME_STAT_FLUSHES] = {"flushes", "Flush commands that succeeded"},
	[NVME_STAT_OTHER] = {"other", "other I/O commands that succeeded"},
	[NVME_STAT_ERRORS] = {"errors", "commands that ended with an error"},
	[NVME_STAT_IN_FLIGHT] = {"in_flight", "commands in progress now"},
	[NVME_STAT_INTERRUPTS] = {"interrupts", "interrupts raised"},
	[NVME_STAT_TRAPPED] = {"doorbells_trapped", "doorbell writes that came as messages"},
	[NVME_STAT_SHADOW] = {"shadow_doorbells", "1 while the guest uses shadow doorbells"},
	[NVME_STAT_POLL_MODE] = {"poll_mode", "1 while the host polls for this device"},
	[NVME_STAT_POLLS] = {"polls", "looks at doorbells in memory"},
	[NVME_STAT_SLEEPS] = {"sleeps", "times polling ended"},
	[NVME_STAT_COPIED_BYTES] = {"copied_bytes", "bytes that went through bounce buffers"},
	[NVME_STAT_FATAL] = {"fatal", "controller fatal states"},
	[NVME_STAT_COUNT] = {NULL, NULL},
};

UMDEV_REGISTER_DRIVER(nvme_host, .name = "nvme",
		      .description = "NVMe drives in a file, a block device or memory",
		      .version = UMDEV_VERSION, .options = nvme_options, .attrs = nvme_attrs,
		      .stats = nvme_stats, .thread_model = UMDEV_THREAD_DEVICE,
		      .state_version = NVME_STATE_VERSION, .state_size = sizeof(struct nvme_state),
		      .parent_open = nvme_parent_open, .parent_close = nvme_parent_close,
		      .mdev_create = nvme_mdev_create, .mdev_remove = nvme_mdev_remove,
		      .region_read = nvme_region_read, .region_write = nvme_region_write,
		      .reset = nvme_reset, .poll = nvme_poll, .job_start = nvme_job_start,
		      .jobs_flush = nvme_jobs_flush, .stats_get = nvme_stats_get,
		      .discard = nvme_parent_discard)
