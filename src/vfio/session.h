/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vfio-user server of one virtual device: listener, one client at a time, its requests, guest
 * memory and interrupts.
 *
 * Everything a successor process would need stands in the session's part of the state page
 * (page.h): the bytes of a request already read, the reply not yet sent, the DMA table, the
 * interrupt table. This object holds caches that it rebuilds from there. Descriptors are numbered
 * by slots (link/protocol.h numbers) and reach the keeper through ops->keep before the request that
 * brought them is answered.
 *
 * All functions belong to the reactor's thread. Protocol facts: the vfio-user specification of
 * QEMU's documentation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "util/error.h"
#include "util/reactor.h"
#include "vfio/slots.h"

#define VFIO_REGION_COUNT    9 /* BAR 0-5, ROM, config, VGA: VFIO's PCI indices */
#define VFIO_REGION_ROM	     6
#define VFIO_REGION_CONFIG   7
#define VFIO_IRQ_INTX	     0
#define VFIO_IRQ_MSI	     1
#define VFIO_IRQ_MSIX	     2
#define VFIO_IRQ_ERR	     3
#define VFIO_IRQ_REQ	     4
#define VFIO_AREA_COUNT	     2
#define VFIO_SESSIONS_MAX    4096u /* in a process: so many share what it has */

#define VFIO_REGION_READABLE 1u
#define VFIO_REGION_WRITABLE 2u
#define VFIO_REGION_MAPPABLE 4u

struct vfio_session;
struct vfio_page;

struct vfio_area {
	uint64_t offset; /* in the region; the same offset in the region's fd */
	uint64_t size;
};

/* One region as the client is told of it. Size 0: absent. */
struct vfio_region {
	uint64_t size;
	uint32_t flags;
	uint32_t area_count;
	struct vfio_area areas[VFIO_AREA_COUNT];
	int fd; /* behind the areas; borrowed, -1 without any */
};

/* What a session serves. Copied by vfio_session_new(). */
struct vfio_device_info {
	const char *name; /* for log lines: the uuid */
	struct vfio_region regions[VFIO_REGION_COUNT];
	uint32_t irq_counts[VFIO_IRQ_COUNT];
	uint64_t stream_max; /* the longest that its state can be; 0: clients cannot move it */
};

/* The device behind a session. All calls are made on the reactor's thread; none may block. */
struct vfio_session_ops {
	/*
	 * @count bytes (1..max transfer) at @offset of @region, already checked against the region.
	 * Returns 0; or -errno (the read yields all ones, the write is dropped, the client gets an
	 * error reply); or -EINPROGRESS for a write whose effect takes time (function level reset):
	 * no further command is served until vfio_session_complete().
	 */
	int (*region_access)(void *device, uint32_t region, bool write, uint64_t offset, void *buf,
			     uint32_t count);
	/* DEVICE_RESET. Returns 0, -errno, or -EINPROGRESS as above. */
	int (*reset)(void *device);
	/*
	 * Descriptor @fd is now known as @slot (borrowed; to be handed to the keeper at once), or
	 * slot is free again. A failed keep fails the request that brought the fd. A connection is
	 * kept before admit() is asked about it.
	 */
	int (*keep)(void *device, uint32_t slot, int fd);
	void (*drop)(void *device, uint32_t slot);
	/* May this peer use the device? Returns 0; -errno with the reason in @err; or -EINPROGRESS,
	 * after which nothing is read from it until vfio_session_admit(). */
	int (*admit)(void *device, const struct ucred *peer, struct umdev_error *err);
	/* The peer that admit() last let pass, or was asked about, has left, and nothing of it is
	 * in use any more. The next one may come. Optional. */
	void (*left)(void *device);
	/* The client of an earlier process, which admit() had let pass, is served on; with @joined,
	 * it had agreed on the version. Comes once the loop runs. */
	void (*resumed)(void *device, const struct ucred *peer, bool joined);
	/* A client is connected and agreed on the protocol version. */
	void (*joined)(void *device, const struct ucred *peer);
	/*
	 * The client that joined is gone or was thrown out (@reason, one line). The device stops
	 * using guest memory and returns 0, or -EINPROGRESS and ends with vfio_session_complete();
	 * mappings and descriptors live until then and until every hold is released. When a command
	 * is in progress, its completion is awaited first.
	 */
	int (*lost)(void *device, const char *reason);
	/*
	 * For a device with a stream_max. rest() has it change nothing any more, neither its state
	 * nor guest memory, and leave its state in the page; wake() has it go on from there; save()
	 * makes a memfd with its state as a stream; load() replaces the state by such a stream, and
	 * the device goes on resting. 0 or -errno with nothing changed, but that after load() only
	 * reset() leads on; rest() and load() may be -EINPROGRESS as above. check() looks at the
	 * first @size bytes of a stream that is still coming: -errno when load() would refuse it
	 * whatever follows, 1 when nothing more can be told before it is there, else 0.
	 */
	int (*rest)(void *device);
	int (*wake)(void *device);
	int (*save)(void *device, int *ret_fd, uint64_t *ret_size);
	int (*load)(void *device, int fd, uint64_t size);
	int (*check)(void *device, int fd, uint64_t size);
	/* A connection was turned away, or a client thrown out for what it did (@reason, one line,
	 * for the operator). */
	void (*refused)(void *device, const char *reason);
};

/* A descriptor that an earlier process had kept. */
struct vfio_kept {
	uint32_t slot;
	int fd;
};

/* Bytes of the session's part of a state page. */
size_t vfio_page_size(void);

/*
 * Serves on @listener (taken over, also on failure) with @page zeroed or left by an earlier process
 * of the same layout. With what that one had kept, its client is served on, in the middle of
 * whatever it was doing; a page that breaks a rule, or lacks a descriptor, costs the client. Of
 * @kept what is used is set to -1; the rest may be closed and dropped. Whether there is a client
 * says vfio_session_client(). Returns 0 or -errno.
 */
int vfio_session_new(struct reactor *reactor, const struct vfio_device_info *info,
		     const struct vfio_session_ops *ops, void *device, struct vfio_page *page,
		     int listener, struct vfio_kept *kept, size_t kept_count,
		     struct vfio_session **ret_session) umdev_warn_unused;

/*
 * Ends the service, closes every descriptor and mapping; the page and the kept slots stay as they
 * are, no ops are called, transfers in progress are forgotten. The device must hold no guest
 * memory. Not from within ops. NULL is fine.
 */
void vfio_session_free(struct vfio_session *session);

/* Nothing more is read, accepted, or done about what is under way: another process will go on.
 * Guest memory can be used until vfio_session_free(), which alone may follow, but for these: */
void vfio_session_pause(struct vfio_session *session);

/* Ends transfers by message with -ECANCELED. */
void vfio_session_cancel(struct vfio_session *session);

/* Ends what returned -EINPROGRESS, with its outcome. What follows happens before the loop sleeps
 * again, not within the call. */
void vfio_session_complete(struct vfio_session *session, int status);

/* The answer for the peer that admit() returned -EINPROGRESS for: NULL, or why it is turned away.
 * Nothing when that one has left since. */
void vfio_session_admit(struct vfio_session *session, const char *refusal);

/* Throws the present client out with a reason (told through ops->lost and ops->refused): at once,
 * or, from within ops, as soon as they have returned. Nothing when there is none. */
void vfio_session_expel(struct vfio_session *session, const char *reason);

/* Whether a client that an earlier process had just accepted will be one as soon as the loop runs.
 */
bool vfio_session_arriving(const struct vfio_session *session);

/* Whether a client is connected, or memory of one that left is still in use; if so and @ret_peer is
 * not NULL, who. */
bool vfio_session_client(const struct vfio_session *session, struct ucred *ret_peer);

/* Whether a client is connected that has not hung up. One that has is gone in a while. */
bool vfio_session_in_use(const struct vfio_session *session);

/*
 * The number of the access that region_access() is being called for: the same when an access is
 * repeated because the process that had begun it died, another one for every other; 0 outside of
 * such calls. Its low bits are 0, for the pieces of one access.
 */
uint64_t vfio_session_access_id(const struct vfio_session *session);
#define VFIO_ACCESS_SHIFT 20

typedef void vfio_session_fd(void *arg, uint32_t slot, int fd);

/* Calls @each with every descriptor that the session had kept and did not drop since, and the slot
 * it was kept under. */
void vfio_session_each_fd(const struct vfio_session *session, vfio_session_fd *each, void *arg);

/* The listening socket; it stays the session's. */
int vfio_session_listener(const struct vfio_session *session);

/* ---- Interrupts */

/* Signals @vector of @index (MSI, MSI-X, ERR, REQ). A vector without eventfd, or one out of range,
 * is ignored. */
void vfio_irq_signal(struct vfio_session *session, uint32_t index, uint32_t vector);

/* Sets the INTx level. The session automasks on trigger and fires again on unmask while the level
 * is high. */
void vfio_irq_intx(struct vfio_session *session, bool level);

/* ---- Guest memory (contract of umdev_host_ops in umdev/driver.h) */

/* As dma_map(): the number of pieces, or -EFAULT, -EREMOTE, -E2BIG. @len 0 is no pieces. */
int vfio_dma_translate(struct vfio_session *session, uint64_t iova, uint64_t len, uint32_t access,
		       struct iovec *iov, uint32_t max) umdev_warn_unused;

/* Keeps what was translated valid until vfio_dma_release() of the token that is returned. */
uint32_t vfio_dma_hold(struct vfio_session *session);

/* Ends a hold. An unmap that waited for it is answered before the loop sleeps. */
void vfio_dma_release(struct vfio_session *session, uint32_t token);

/* The end of a transfer that was in progress; @status 0 or -errno. */
typedef void vfio_dma_done(void *arg, int status);

/*
 * Copies from or to guest memory. 0 when done; -EINPROGRESS: @done is called from the loop, @buf
 * stays until then; or -EFAULT, -EAGAIN (too many in progress), -ENOMEM, -ECANCELED. Besides the
 * client's leaving, a reset or function level reset that returned -EINPROGRESS ends transfers with
 * -ECANCELED and lets none begin until it is over: the client may answer them only after its
 * command is answered.
 */
int vfio_dma_read(struct vfio_session *session, uint64_t iova, void *buf, uint64_t len,
		  vfio_dma_done *done, void *arg) umdev_warn_unused;

/* The other way. */
int vfio_dma_write(struct vfio_session *session, uint64_t iova, const void *buf, uint64_t len,
		   vfio_dma_done *done, void *arg) umdev_warn_unused;

/* Counters of a session, for statistics. */
struct vfio_session_stats {
	uint64_t requests;
	uint64_t bad_requests;
	uint64_t dma_maps;
	uint64_t dma_bytes_by_message;
	uint64_t irqs;
};

/* The counters since vfio_session_new(). */
void vfio_session_stats(const struct vfio_session *session, struct vfio_session_stats *ret_stats);
