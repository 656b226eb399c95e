/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdev vendor-driver ABI.
 *
 * A vendor driver is a shared object "umdev-driver-<name>.so" that exports one symbol,
 * umdev_driver_entry(), made by UMDEV_REGISTER_DRIVER(). It is loaded by umdev-host, one process
 * per parent device, and mediates one physical device: it says which types of virtual device the
 * parent offers, creates them, and answers their guests. umdev does the rest: PCI configuration
 * space, vfio-user, interrupts, guest memory, scheduling.
 *
 * Life:  entry -> parent_open -> ( mdev_create -> region_*, reset, poll, job_* ... -> mdev_remove
 * )* -> parent_close
 *
 * Threads: every callback is made on the host's one reactor thread and must not block; every
 * service in struct umdev_host_ops may be called on that thread only, unless its comment says
 * otherwise. SIGRTMIN is the host's, and comes to that thread while interrupts are raised: calls
 * that sleep may return EINTR.
 *
 * Errors: callbacks return 0 or a negative errno; call ops->fail() first to say why, in one line
 * for a person.
 *
 * Sizes and versions: structs that cross by pointer begin with struct_size and grow at their end
 * only; tables carry the size of one row in struct umdev_driver. While the ABI version is 0 the
 * versions must match exactly.
 *
 * Units: bytes, nanoseconds. All structs are free of holes. Strings are UTF-8, static or alive as
 * long as said.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMDEV_ABI_VERSION 0u

#define UMDEV_BAR_COUNT	  6
#define UMDEV_MMAP_COUNT  2
#define UMDEV_NO_BAR	  0xffu
#define UMDEV_UUID_STRING 37 /* with its NUL */

/* Opaque handles of the host. */
struct umdev_parent;
struct umdev_mdev;

/* ---- Tables that a driver declares
 * ------------------------------------------------------------------------ */

/* Kinds of value. */
#define UMDEV_KIND_STRING 0u
#define UMDEV_KIND_U64	  1u /* decimal or 0x..., within min..max */
#define UMDEV_KIND_BYTES  2u /* U64 with an optional suffix K M G T (powers of 1024) */
#define UMDEV_KIND_BOOL	  3u /* 0, 1, false, true, no, yes, off, on */
#define UMDEV_KIND_ENUM                                                                            \
	4u /* one of the words in choices, which are separated by spaces; number = its index */
/* Parent options only. Both give the driver an open fd, so that it needs no right of its own: */
#define UMDEV_KIND_BACKING                                                                         \
	5u /* path of a regular file or block device, opened read-write and exclusively locked by  \
	      the broker; a file that does not exist is created when the option named by `choices` \
	      gives its size */
#define UMDEV_KIND_MEMORY                                                                          \
	6u /* BYTES; the broker makes a memfd of that size, which outlives the host process */

/* When an mdev attribute may change. */
#define UMDEV_WHEN_CREATE 0u /* only in the definition; in effect from the next start */
#define UMDEV_WHEN_IDLE	  1u /* while no client is connected, else EBUSY */
#define UMDEV_WHEN_LIVE	  2u

/* An option of a parent, given by the operator when the parent is added. */
struct umdev_option {
	const char *name; /* [a-z][a-z0-9_]* */
	const char *description;
	const char *default_value; /* or NULL: absent unless given */
	const char *choices;	   /* ENUM: words; BACKING: name of the size option; else NULL */
	uint64_t min;
	uint64_t max; /* U64, BYTES, MEMORY; for STRING the longest length */
	uint32_t kind;
	uint32_t reserved;
};

/* An attribute of an mdev. Its full name is "<driver>/<name>", such as "nvme/doorbells". */
struct umdev_attr {
	const char *name;
	const char *description;
	const char *default_value; /* never NULL */
	const char *choices;
	uint64_t min;
	uint64_t max;
	uint32_t kind;
	uint32_t when;
};

/* A counter or gauge of an mdev, read by stats(). */
struct umdev_stat {
	const char *name; /* [a-z][a-z0-9_]* */
	const char *description;
};

/* A class attribute of a type, such as { "block_size", "512" }. */
struct umdev_type_attr {
	const char *name;
	const char *value; /* NULL: the cost of one instance in pool units (for a size-like
			      attribute) */
};

#define UMDEV_TYPE_REST                                                                            \
	1u /* takes the largest free piece of the pool, whatever its size; cost is the smallest */

#define UMDEV_GROUP_NONE   0u
#define UMDEV_GROUP_DEVICE 1u
#define UMDEV_GROUP_DRIVER 2u

/* Ends of an mdev on this machine, for programs beside the guest: what a line is plugged into. */
#define UMDEV_ENDPOINT_NONE 0u
#define UMDEV_ENDPOINT_PTY  1u /* the master of a pseudo terminal in raw mode */
#define UMDEV_ENDPOINT_UNIX 2u /* a listening Unix stream socket */
#define UMDEV_ENDPOINTS_MAX 8

#define UMDEV_QOS_CAP	    1u
#define UMDEV_QOS_WEIGHT    2u
#define UMDEV_QOS_PRIORITY  4u

/* A kind of virtual device. Strings and arrays live until parent_close(). */
struct umdev_type {
	const char
		*id; /* local part of the type id: [a-z0-9][a-z0-9_.-]*; full id "<driver>-<id>" */
	const char *name;	 /* unique in the driver, stable for ever: the contract */
	const char *description; /* or NULL */
	const char *class_name;	 /* storage, serial, display, crypto, network, compute */
	const struct umdev_type_attr *attrs; /* ends with a row whose name is NULL; or NULL */
	uint64_t cost;			     /* pool units one instance takes, contiguous */
	uint64_t flags;			     /* UMDEV_TYPE_* */
	uint32_t group_scope;
	uint32_t requires_group;
	uint32_t group_hotplug;
	uint32_t qos; /* UMDEV_QOS_* that the driver honours */
	/*
	 * Endpoints that the broker makes beside the vfio-user socket of each instance, with the
	 * owner and mode of that: <name>0, <name>1, ... The name is [a-z]{1,15}, NULL without
	 * endpoints. A pseudo terminal's is a link to its device. Names and descriptors outlive the
	 * host process, and so does what a pseudo terminal holds.
	 */
	const char *endpoint_name;
	uint32_t endpoint_kind;	 /* UMDEV_ENDPOINT_* */
	uint32_t endpoint_count; /* at most UMDEV_ENDPOINTS_MAX; 0 with, and only with, kind NONE */
};

/* One engine of the parent: K jobs may be in flight on it. */
struct umdev_engine {
	const char *name;
	uint32_t parallelism;
	uint32_t reserved_slots; /* of them, kept for jobs of mdevs with a priority above 0 */
};

/* One mdev of a group, as group_check() sees it. Texts live until the callback returns. */
struct umdev_group_member {
	const char *uuid;    /* lower-case text */
	const char *parent;  /* the operator's name of its parent */
	const char *type_id; /* local part, as in struct umdev_type */
	const char *type_name;
	uint32_t flags; /* UMDEV_MEMBER_* */
	uint32_t reserved;
};
#define UMDEV_MEMBER_HERE 1u /* on the parent that is asked */
#define UMDEV_MEMBER_NEW  2u /* about to be created; the others are there already */

/* The knobs of an mdev, for a driver that has QoS in hardware. */
struct umdev_qos {
	uint32_t struct_size;
	uint32_t cap;	   /* most of the parent's time, in hundredths of a percent; 10000: all */
	uint32_t weight;   /* 1..10000 */
	uint32_t priority; /* 0..7, higher first */
};

/* ---- What passes at open and create
 * ----------------------------------------------------------------------- */

/* The value of an option or attribute, validated against its row. */
struct umdev_value {
	const char *text; /* NULL when absent; else lives until the callback returns */
	uint64_t number;  /* U64, BYTES, MEMORY, BOOL, ENUM */
	int32_t fd; /* BACKING, MEMORY: the host's; valid until parent_close(); -1 when absent */
	uint32_t flags; /* BACKING: UMDEV_BACKING_* */
};
#define UMDEV_BACKING_BLOCK_DEVICE 1u
#define UMDEV_BACKING_CREATED	   2u /* made just now, all zeros */

struct umdev_parent_args {
	uint32_t struct_size;
	uint32_t value_count;
	const char *name;		  /* the operator's name of the parent */
	const struct umdev_value *values; /* one per row of umdev_driver.options */
	/* What an earlier process declared as the parallelism of each engine, so that what was
	 * measured once need not be again while guests wait; NULL the first time. */
	const uint32_t *parallelism;
	uint32_t engine_count;
	uint32_t reserved;
};

/* Filled by parent_open(); zeroed before, struct_size set. What it points to lives until
 * parent_close(). */
struct umdev_parent_info {
	uint32_t struct_size;
	uint32_t type_count;
	const struct umdev_type *types;
	const struct umdev_engine *engines; /* NULL: one engine of parallelism 1 */
	uint64_t pool_units; /* what the parent has to share out, in units of the driver's choice */
	uint64_t pool_align; /* pieces begin at multiples of this; 0 is 1 */
	const char *pool_unit;	 /* "bytes", "ports", ... */
	const char *description; /* one line about the device, or NULL */
	uint32_t engine_count;
	uint32_t reserved;
};

#define UMDEV_BAR_IO	   1u /* port I/O instead of memory */
#define UMDEV_BAR_64	   2u /* 64-bit memory; takes two slots */
#define UMDEV_BAR_PREFETCH 4u

/* A part of a BAR that clients may map and access without a message. Page-aligned in a BAR of at
 * least a page. */
struct umdev_mmap_area {
	uint64_t offset;
	uint64_t size; /* 0: unused */
};

struct umdev_bar {
	uint64_t size; /* power of two; 0: no such BAR. At least 16 (memory) or 4 (I/O) */
	uint32_t flags;
	uint32_t reserved;
	struct umdev_mmap_area mmap[UMDEV_MMAP_COUNT];
};

#define UMDEV_PCI_EXPRESS 1u /* a PCI Express endpoint with 4096 bytes of configuration space */
#define UMDEV_PCI_FLR	  2u /* function level reset; needs reset() and UMDEV_PCI_EXPRESS */

/* What the guest sees, filled by mdev_create(); zeroed before, struct_size set, msix_bar
 * UMDEV_NO_BAR. */
struct umdev_device {
	uint32_t struct_size;
	uint32_t flags;
	uint16_t vendor_id;
	uint16_t device_id;
	uint16_t subsystem_vendor_id;
	uint16_t subsystem_id;
	uint32_t class_code; /* base class << 16 | sub class << 8 | programming interface */
	uint8_t revision_id;
	uint8_t interrupt_pin; /* 0: none, 1: INTA */
	uint8_t msix_bar;      /* which BAR holds table and PBA, which the host serves itself */
	uint8_t reserved;
	uint16_t msi_vectors;  /* 0, or a power of two up to 32 */
	uint16_t msix_vectors; /* 0..2048 */
	uint32_t msix_table_offset;
	uint32_t msix_pba_offset;
	uint32_t reserved2;
	uint64_t serial_number; /* device serial number capability; 0: none (Express only) */
	struct umdev_bar bars[UMDEV_BAR_COUNT];
};

/* How the state handed to mdev_create() came about. */
#define UMDEV_STATE_NEW 0u /* all zero */
#define UMDEV_STATE_RESUME                                                                         \
	1u /* written by an earlier process of this state_version, or made by convert() of what    \
	      another one wrote: go on from there */

/* A state of an older layout, for convert(). */
struct umdev_old_state {
	uint32_t struct_size;
	uint32_t version; /* its state_version: at least state_from, below that of the driver */
	const void *state;
	uint64_t state_size; /* as the driver of that version declared it, or anything else */
	void *to; /* umdev_driver.state_size bytes, all zero; the new layout belongs here */
	uint64_t to_size;
};

struct umdev_mdev_args {
	uint32_t struct_size;
	uint32_t type_index;  /* into umdev_parent_info.types */
	const char *uuid;     /* lower-case text; lives as long as the mdev */
	uint64_t piece_start; /* the part of the pool that is this mdev's, in pool units */
	uint64_t piece_size;
	const struct umdev_value *values; /* one per row of umdev_driver.attrs */
	void *state; /* state_size bytes in the state page; all a guest can see belongs here */
	uint64_t state_size;
	uint32_t value_count;
	uint32_t state_origin; /* UMDEV_STATE_* */
	/* Descriptors of the type's endpoints, non-blocking. They and the array are the host's, and
	 * live as long as the mdev. */
	const int32_t *endpoints;
	uint32_t endpoint_count;
	uint32_t reserved;
};

/* ---- Jobs
 * --------------------------------------------------------------------------------------------------
 */

/*
 * One unit of work that an mdev asks of its parent. Embedded in the driver's own request, zero
 * before its first submit, owned by the host from job_submit() until job_start() and by the driver
 * again from then on; job_done() ends it, after which it may be submitted anew.
 */
struct umdev_job {
	uint64_t host[8]; /* the host's */
	uint32_t engine;  /* index into umdev_parent_info.engines */
	uint32_t reserved;
};

/* ---- The host's services
 * ------------------------------------------------------------------------------------ */

#define UMDEV_DMA_READ	  1u /* the device reads guest memory */
#define UMDEV_DMA_WRITE	  2u /* the device writes guest memory */

#define UMDEV_LOG_ERROR	  3
#define UMDEV_LOG_WARNING 4
#define UMDEV_LOG_INFO	  6
#define UMDEV_LOG_DEBUG	  7

/* Called once a transfer that was in progress has ended; @status 0 or a negative errno. */
typedef void umdev_dma_done(void *arg, int status);

/* Called when a watched fd is ready; @events as in poll(2). */
typedef void umdev_fd_ready(void *arg, uint32_t events);

/* Called when a timer expires. */
typedef void umdev_timer_expired(void *arg);

/*
 * Valid from the entry call until the process ends. All functions are present.
 */
struct umdev_host_ops {
	uint32_t struct_size;
	uint32_t abi_version;

	/* Says why the present callback is about to fail: one line for a person. Returns -@error.
	 */
	int (*fail)(int error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
	/* Logs one line in the scope of the driver. Rate-limited; never on the data path. Any
	 * thread. */
	void (*log)(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
	uint64_t (*now_ns)(void);

	/* Watches @fd for @events (poll(2)). At most one watch per fd: another call for the same fd
	 * changes it. Unwatch before the fd is closed. Returns 0 or -errno. */
	int (*fd_watch)(struct umdev_parent *parent, int fd, uint32_t events, umdev_fd_ready *ready,
			void *arg);
	void (*fd_unwatch)(struct umdev_parent *parent, int fd);
	/* A one-shot timer of an mdev, identified by @id 0..3; arming again moves it; deadline 0
	 * cancels. */
	void (*timer)(struct umdev_mdev *mdev, uint32_t id, uint64_t deadline_ns,
		      umdev_timer_expired *expired, void *arg);
	/* Asks for poll() in every turn of the loop, which then never sleeps (on), or for none at
	 * all (off, the default). */
	void (*poll_mode)(struct umdev_mdev *mdev, uint32_t on);

	/*
	 * Interrupts. Raises @vector as the guest chose: MSI-X or MSI message, or the INTx level.
	 * irq_lower() takes the INTx level back and does nothing under MSI and MSI-X.
	 */
	void (*irq_raise)(struct umdev_mdev *mdev, uint32_t vector);
	void (*irq_lower)(struct umdev_mdev *mdev);
	/* Non-zero when the guest has neither MSI nor MSI-X enabled. */
	uint32_t (*irq_is_level)(struct umdev_mdev *mdev);

	/*
	 * Guest memory. dma_map() translates @len bytes at @iova (@access: UMDEV_DMA_*) into at
	 * most @max pieces of directly accessible memory and returns their number, or: -EFAULT not
	 * (wholly) mapped by the client or without the right; -EREMOTE reachable by dma_read() and
	 * dma_write() only; -E2BIG more than @max pieces. The pieces stay valid until the callback
	 * returns, and beyond it as long as a hold taken in the same callback lasts.
	 */
	int (*dma_map)(struct umdev_mdev *mdev, uint64_t iova, uint64_t len, uint32_t access,
		       struct iovec *iov, uint32_t max);
	/*
	 * Keeps what dma_map() returned valid after the callback. Every hold is released with the
	 * token it gave; unmap, reset and the client's leaving wait for that, so release soon.
	 */
	uint32_t (*dma_hold)(struct umdev_mdev *mdev);
	void (*dma_release)(struct umdev_mdev *mdev, uint32_t token);
	/*
	 * Copies from or to guest memory by whatever way there is. Returns 0 when it is done,
	 * -EINPROGRESS when @done will be called (never from within the call; @buf must stay), or
	 * another -errno. Transfers in progress end with -ECANCELED when the client leaves.
	 */
	int (*dma_read)(struct umdev_mdev *mdev, uint64_t iova, void *buf, uint64_t len,
			umdev_dma_done *done, void *arg);
	int (*dma_write)(struct umdev_mdev *mdev, uint64_t iova, const void *buf, uint64_t len,
			 umdev_dma_done *done, void *arg);

	/* The memory behind mmap area @area of BAR @bar, shared with clients; NULL when there is
	 * none. */
	void *(*bar_memory)(struct umdev_mdev *mdev, uint32_t bar, uint32_t area);

	/*
	 * Hands a job over; job_start() will be called for it, never from within this call. One
	 * that is queued or started already stays as it is.
	 */
	void (*job_submit)(struct umdev_mdev *mdev, struct umdev_job *job);
	/* Takes a submitted job back. Returns 1 when it will not be started, 0 when it was started
	 * already. */
	int (*job_withdraw)(struct umdev_mdev *mdev, struct umdev_job *job);
	/* Ends a started job. */
	void (*job_done)(struct umdev_mdev *mdev, struct umdev_job *job);

	/* Ends a reset() that returned -EINPROGRESS, or a discard() that did. */
	void (*reset_done)(struct umdev_mdev *mdev);
	void (*discard_done)(struct umdev_parent *parent, int status);
	/* Tells the operator's event log about @mdev: one line, rate-limited. */
	void (*event)(struct umdev_mdev *mdev, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));

	/* As job_done(), for a device that tells when the job ended: @ended_ns of now_ns(), not in
	 * the future. The mdev is charged up to then, however late it is noticed. */
	void (*job_done_at)(struct umdev_mdev *mdev, struct umdev_job *job, uint64_t ended_ns);

	/*
	 * The number of the access that region_read() or region_write() is being called for: the
	 * same again when an access is repeated because the process that had begun it died, another
	 * one for every other access. 0 outside of these calls. An access that must not happen
	 * twice is told apart by it: keep it in the state, together with what the access led to.
	 */
	uint64_t (*access_id)(struct umdev_mdev *mdev);
	/* Has @fd kept outside of the process as number @index (0..7) of the mdev's, for a
	 * successor to find. It stays the caller's. Returns 0 or -errno. */
	int (*keep)(struct umdev_mdev *mdev, uint32_t index, int fd);
	/* A duplicate, the caller's to close, of what was kept as @index; -ENOENT without. */
	int (*kept)(struct umdev_mdev *mdev, uint32_t index);
	/* Ends a quiesce() that returned -EINPROGRESS. */
	void (*quiesce_done)(struct umdev_mdev *mdev);
};

/* ---- What a driver needs of the kernel
 * ------------------------------------------------------------------------------------------------
 */

/*
 * A host opens nothing, starts nothing and reaches no network: it works on the descriptors that it
 * was given, with memory, eventfds, timers and polling. A system call beyond that ends it. A driver
 * that needs more says so, in words that the host knows; the operator is shown them with the
 * reasons. A word that the host does not know makes it refuse the driver.
 */
#define UMDEV_NEED_FILES    "files" /* pread, pwrite, fallocate, fdatasync, ftruncate and the like */
#define UMDEV_NEED_DISKS    "disks"    /* ioctls of block devices: sizes, discarding, zeroing */
#define UMDEV_NEED_IO_URING "io_uring" /* made in parent_open() */
#define UMDEV_NEED_THREADS                                                                         \
	"threads" /* started in parent_open(), never before; they may call what the host may */
#define UMDEV_NEED_STREAMS   "streams"	 /* pipe2, splice, tee */
#define UMDEV_NEED_TERMINALS "terminals" /* ioctls of terminals, inotify; sees /dev/pts */

struct umdev_need {
	const char *name;   /* UMDEV_NEED_* */
	const char *reason; /* one line for the operator: what for */
};

/* ---- The driver
 * --------------------------------------------------------------------------------------------- */

#define UMDEV_RESET_DEVICE  0u /* DEVICE_RESET of the client: machine or bus reset */
#define UMDEV_RESET_FLR	    1u /* function level reset by the guest */
#define UMDEV_RESET_LOST    2u /* the client left; guest memory is about to go */

#define UMDEV_THREAD_DEVICE 0u /* callbacks of one mdev never overlap (and today none do) */

#define UMDEV_DRIVER_RESET_ON_RESTART                                                              \
	1u /* state cannot be resumed: the guest sees a device reset */

struct umdev_driver {
	uint32_t struct_size;
	uint32_t abi_version;
	uint64_t flags;	  /* UMDEV_DRIVER_* */
	const char *name; /* [a-z][a-z0-9]*, at most 15; equals the name of the file */
	const char *description;
	const char *version;

	const struct umdev_option *
		options; /* each table ends with a row whose name is NULL; NULL is an empty table */
	const struct umdev_attr *attrs;
	const struct umdev_stat *stats;
	uint32_t option_size; /* sizes of one row, set by UMDEV_REGISTER_DRIVER() */
	uint32_t attr_size;
	uint32_t stat_size;
	uint32_t type_size;
	uint32_t engine_size;
	uint32_t thread_model;

	uint32_t state_version; /* of the layout of the driver's state */
	uint32_t reserved;
	uint64_t state_size; /* bytes of state per mdev, at most 1 MiB; untouched parts cost no
				memory */

	/* Opens the parent. Mandatory. */
	int (*parent_open)(struct umdev_parent *parent, const struct umdev_parent_args *args,
			   struct umdev_parent_info *ret_info, void **ret_priv);
	/* Closes it; every mdev was removed before. Mandatory. */
	void (*parent_close)(void *parent_priv);

	/* Builds one mdev; on failure nothing is left. Mandatory. */
	int (*mdev_create)(void *parent_priv, struct umdev_mdev *mdev,
			   const struct umdev_mdev_args *args, struct umdev_device *ret_device,
			   void **ret_priv);
	/* Takes it down. No client is connected, no job of it is queued or started, its timers and
	 * poll_mode are off. Mandatory. */
	void (*mdev_remove)(void *mdev_priv);

	/*
	 * Access of the guest to a BAR, naturally aligned, 1, 2, 4 or 8 bytes, inside the BAR and
	 * outside of the MSI-X structures. An error makes the access read all ones or be dropped.
	 * Mandatory when there is a BAR.
	 */
	int (*region_read)(void *mdev_priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len);
	int (*region_write)(void *mdev_priv, uint32_t bar, uint64_t offset, const void *buf,
			    uint32_t len);

	/*
	 * Brings the device to its power-on state, with no transfer, hold or job left. Returns 0,
	 * or -EINPROGRESS and calls ops->reset_done() later (within 4 s: VMMs give up after 5).
	 * Mandatory.
	 */
	int (*reset)(void *mdev_priv, uint32_t kind);

	/* A client has connected. Optional. */
	void (*client_joined)(void *mdev_priv);

	/* Looks for work that memory, not a message, announces (shadow doorbells). Returns how much
	 * it found. Optional. */
	uint32_t (*poll)(void *mdev_priv);

	/* Starts a job on the device; it cannot refuse: a job that fails ends with job_done() too.
	 * Mandatory with jobs. */
	void (*job_start)(void *mdev_priv, struct umdev_job *job);
	/* All jobs of this round were started: the moment for one batched submission. Optional. */
	void (*jobs_flush)(void *parent_priv);

	/* Sets attribute @index of umdev_driver.attrs (IDLE or LIVE) to a validated value.
	 * Mandatory with such attributes. */
	int (*attr_set)(void *mdev_priv, uint32_t index, const struct umdev_value *value);
	/* Fills one value per row of umdev_driver.stats. Mandatory with stats. */
	void (*stats_get)(void *mdev_priv, uint64_t *values);

	/*
	 * Wipes a piece of the pool before another mdev gets it: afterwards it reads as if never
	 * used. Returns 0, or -EINPROGRESS and calls ops->discard_done(). One at a time. Optional:
	 * without it pieces hold no data.
	 */
	int (*discard)(void *parent_priv, uint64_t piece_start, uint64_t piece_size);

	/*
	 * Takes the knobs of an mdev in hardware: after its creation and at each change. All of
	 * them are in effect with a return of 0, none otherwise. Optional: with it the host shares
	 * its slots out evenly, leaves the knobs to the device and still counts what each owned.
	 */
	int (*qos_set)(void *mdev_priv, const struct umdev_qos *qos);

	/*
	 * Whether these mdevs may be one group. @members are all that would be in it, on every
	 * parent, each of this driver and allowed by the group_scope of its type; each parent that
	 * has one of them is asked, before any of the new ones is created. Changes nothing: whether
	 * they are created is decided after all have agreed. Optional: any will do.
	 */
	int (*group_check)(void *parent_priv, const char *group,
			   const struct umdev_group_member *members, uint32_t count);

	/*
	 * Comes to rest, because another instance will go on from the state, in another process or
	 * in this one (upgrade, save, migration): begins nothing, takes
	 * back what was not started, lets what was started end, and leaves in the state whatever
	 * has to be done again, untold to the guest. Transfers end with -ECANCELED right after this
	 * call. Returns 0 with no transfer, hold or job left, or -EINPROGRESS and calls
	 * ops->quiesce_done() then, within 2 s. Only mdev_remove() follows. Optional for a driver
	 * without jobs; one with jobs that lacks it is ended as if it had crashed.
	 */
	int (*quiesce)(void *mdev_priv);

	/* What it needs beyond what every host may do; ends with a row whose name is NULL. */
	const struct umdev_need *needs;
	uint32_t need_size; /* of one row, set by UMDEV_REGISTER_DRIVER() */
	uint32_t reserved2;

	/*
	 * Makes a state of state_version out of one that a driver of an older state_version left,
	 * from state_from on, so that mdevs outlive a change of the layout: at an upgrade, after a
	 * crash, from a saved state. A pure function: no service but fail() and log(), no mdev, the
	 * same answer for the same bytes. The old state is untrusted, and may have been left by a
	 * process that ended at any instruction. What it returns 0 for, mdev_create() takes: once
	 * all mdevs are converted there is no way back to the old driver. Returns 0 or -errno.
	 * Optional: without it, and with state_from 0, mdevs of another layout are not taken over.
	 */
	int (*convert)(const struct umdev_old_state *old);
	uint32_t state_from; /* the oldest state_version that convert() takes */
	uint32_t reserved3;
};

/*
 * The one exported symbol. Called once, before anything else; @ops stays valid. Returns the
 * driver's table, or NULL when the driver cannot work with this host.
 */
const struct umdev_driver *umdev_driver_entry(uint32_t host_abi, const struct umdev_host_ops *ops);

/*
 * Defines the entry symbol: UMDEV_REGISTER_DRIVER(ops_pointer, .name = "null", ..., .parent_open =
 * ...);
 * @ops_pointer is a variable of type const struct umdev_host_ops * that the entry fills.
 */
#define UMDEV_REGISTER_DRIVER(ops_pointer, ...)                                                    \
	__attribute__((visibility("default"))) const struct umdev_driver *umdev_driver_entry(      \
		uint32_t host_abi, const struct umdev_host_ops *host_ops)                          \
	{                                                                                          \
		static const struct umdev_driver registered_driver = {                             \
			.struct_size = sizeof(struct umdev_driver),                                \
			.abi_version = UMDEV_ABI_VERSION,                                          \
			.option_size = sizeof(struct umdev_option),                                \
			.attr_size = sizeof(struct umdev_attr),                                    \
			.stat_size = sizeof(struct umdev_stat),                                    \
			.type_size = sizeof(struct umdev_type),                                    \
			.engine_size = sizeof(struct umdev_engine),                                \
			.need_size = sizeof(struct umdev_need),                                    \
			__VA_ARGS__};                                                              \
		if (host_abi != UMDEV_ABI_VERSION ||                                               \
		    host_ops->struct_size < sizeof(struct umdev_host_ops))                         \
			return NULL;                                                               \
		(ops_pointer) = host_ops;                                                          \
		return &registered_driver;                                                         \
	}

#ifdef __cplusplus
}
#endif
