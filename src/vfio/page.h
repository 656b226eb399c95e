/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The session's part of a state page: all of a session that another process could not find out.
 *
 * Pointer-free, of fixed size, in a memfd that outlives the process. Descriptors stand in it as
 * slot numbers (session.h). What the order of writes promises to a successor:
 *
 * - A request: rx.number is set, then its bytes are taken into rx, counted by rx.take. One that
 * brings descriptors is only copied here (VFIO_RX_PEEKED), acted on, its descriptors kept, and
 * taken off the socket at the end (VFIO_RX_TAKING); to act on such a request twice changes nothing.
 * - Its end: the reply is built in tx and tx.len set, if it wants one; then served passes
 * rx.number; then rx is emptied. So a whole request is to be served (again) exactly if no reply to
 * it stands in tx and served is not beyond its number.
 * - A reply: sent bytes are counted by tx.send. tx.region says which region's descriptor rides on
 *   the first byte.
 * - A DMA row, a memory file: every field, then valid, last. They are taken back by clearing valid,
 *   and the descriptor's slot is dropped after that. A slot is kept before its row is valid.
 * - A request of our own: the fields of its row in messages, then tx.len, then the row's state.
 * - tries is raised before a request is acted on and cleared after served has passed its number:
 * what is left of it counts the processes that died over the request. answer_tries counts those
 * that died over an answer of the client, one after another; such an answer is not looked at again.
 * - While state is VFIO_STATE_BUSY, rx holds the command whose effect is pending. multi_next says
 * how far a REGION_WRITE_MULTI got; the entry there may have been written.
 *
 * Rows at and above a *_used number are zero: none was valid since the client connected. So a page
 * costs memory only for what it holds.
 */
#pragma once

#include <stdint.h>

#include "vfio/move.h"
#include "vfio/session.h"
#include "vfio/wire.h"

#define VFIO_PAGE_MAGIC	   0x70666976u /* "vifp" */
#define VFIO_PAGE_VERSION  3u
#define VFIO_MESSAGE_COUNT 64u /* requests of our own in flight */
#define VFIO_VECTOR_MAX	   4096u
/* A request that so many processes died over is not served again: its client is let go. */
#define VFIO_TRIES_MAX 3u

enum vfio_state {
	VFIO_STATE_IDLE,	/* no client; accepts one */
	VFIO_STATE_NEGOTIATING, /* connected; VERSION is the only command */
	VFIO_STATE_SERVING,	/* commands are served */
	VFIO_STATE_BUSY,	/* the command in rx is in progress; nothing more is read */
	VFIO_STATE_LOSING,	/* the client is gone; the device still lets go of its memory */
	VFIO_STATE_ASKING,	/* connected; whether it may is being asked, nothing is read */
	VFIO_STATE_COUNT
};

/* What the client turned out to be. */
#define VFIO_PEER_MESSAGES	1u /* answers DMA_READ and DMA_WRITE, as far as we know */
#define VFIO_PEER_HEADER_ERRORS 2u /* takes an error reply of a header alone, wherever */
#define VFIO_PEER_PROBED	4u /* how it lays out DMA messages is known */
#define VFIO_PEER_OLD_LAYOUT	8u /* QEMU before 11: reads come 4 bytes early, writes go astray */

struct vfio_page_peer {
	int32_t pid;
	uint32_t uid;
	uint32_t gid;
	uint32_t flags; /* VFIO_PEER_* */
	uint16_t major;
	uint16_t minor;
	uint32_t max_msg_fds;
	uint64_t max_data_xfer;
};

#define VFIO_RX_PEEKED 1u /* a whole message, which still stands in the socket, too */
#define VFIO_RX_TAKING 2u /* that one is being taken off */

struct vfio_page_rx {
	struct vfio_page_move take;
	uint32_t flags;
	uint32_t fd_count;    /* descriptors that came with it */
	uint64_t number;      /* of the message */
	uint64_t multi_next;  /* REGION_WRITE_MULTI: the entry to go on with */
	uint64_t multi_count; /* entries that were written */
	struct wire_header header;
	uint8_t body[WIRE_MESSAGE_MAX - sizeof(struct wire_header)];
};

struct vfio_page_tx {
	struct vfio_page_move send;
	uint32_t len;	 /* 0: nothing to send */
	uint32_t region; /* 1 + the region whose descriptor goes along, or 0 */
	struct wire_header header;
	uint8_t body[WIRE_MESSAGE_MAX - sizeof(struct wire_header)];
};

enum vfio_message_state {
	VFIO_MESSAGE_FREE,
	VFIO_MESSAGE_WAITING,	/* for the client's reply */
	VFIO_MESSAGE_ABANDONED, /* a reply may come and will be ignored */
	VFIO_MESSAGE_STATE_COUNT
};

struct vfio_page_message {
	uint32_t state;
	uint16_t id;
	uint16_t command;
	uint64_t addr;
	uint64_t count;
};

#define VFIO_INTX_BY_CLIENT 1u
#define VFIO_INTX_BY_FIRING 2u /* perhaps without having signalled yet */

struct vfio_page_intx {
	uint32_t level;	 /* as the device wants it */
	uint32_t masked; /* VFIO_INTX_BY_* */
};

/* One file of guest memory, mapped whole. Its slot is VFIO_SLOT_MEMORY + the row's number. */
struct vfio_page_file {
	uint64_t dev;
	uint64_t ino;
	uint64_t size; /* bytes that were mapped */
	uint32_t writable;
	uint32_t checked; /* found to be shared with the client */
	uint32_t reserved;
	uint32_t valid;
};

#define VFIO_MAP_NO_FILE UINT32_MAX

struct vfio_page_map {
	uint64_t addr;
	uint64_t size;
	uint64_t offset; /* in the file */
	uint32_t file;	 /* or VFIO_MAP_NO_FILE: reachable by messages only */
	uint32_t access; /* WIRE_DMA_MAP_READ, WIRE_DMA_MAP_WRITE */
	uint32_t reserved;
	uint32_t valid;
};

#define VFIO_MIGRATION_WAITS                                                                       \
	1u /* restored from a file: the first access to a BAR lets it go on                        \
	    */

/* A device that is moved: migrate.c. */
struct vfio_page_migration {
	uint32_t state; /* WIRE_STATE_* */
	uint32_t flags; /* VFIO_MIGRATION_* */
	uint64_t size;	/* STOP_COPY: of the stream */
	uint64_t pos;	/* bytes of it that were read or written */
	uint64_t from;	/* before the request of that number */
	uint64_t number;
};

/* Pages that the device writes are noted: dirty.c. */
struct vfio_page_logging {
	uint64_t page_size; /* as asked for; 0: off */
	uint64_t number;    /* of the request that turned it on */
};

struct vfio_page {
	uint32_t magic;
	uint32_t version;
	uint64_t size;
	uint32_t state; /* enum vfio_state */
	uint16_t next_id;
	uint16_t answer_tries; /* the same of the client's answers to messages of ours */
	uint32_t files_used;
	uint32_t maps_used;
	uint32_t irqs_used[VFIO_IRQ_COUNT];
	uint32_t tries;	 /* processes that began to serve the request in rx and did not end it */
	uint64_t served; /* messages that were dealt with, since the page was made */
	uint64_t first;	 /* the number of the present client's first message */
	struct vfio_page_migration migration;
	struct vfio_page_logging logging;
	struct vfio_page_peer peer;
	struct vfio_page_intx intx;
	struct vfio_page_message messages[VFIO_MESSAGE_COUNT];
	struct vfio_page_file files[VFIO_SLOT_MEMORY_MAX];
	uint8_t irqs[VFIO_IRQ_COUNT][VFIO_VECTOR_MAX]; /* 1: an eventfd is in the slot */
	struct vfio_page_rx rx;
	struct vfio_page_tx tx;
	struct vfio_page_map maps[WIRE_DMA_MAPS_MAX];
};

/* Bytes of the present message that are in @rx. */
static inline uint32_t vfio_rx_have(const struct vfio_page_rx *rx)
{
	return rx->flags & VFIO_RX_PEEKED ? rx->header.size : move_total(&rx->take);
}

/* Makes @page the page of a session without client. @was_valid: its *_used numbers can be
 * believed, so only what was used is cleared. */
void vfio_page_reset(struct vfio_page *page, bool was_valid);

/* Makes @page, which is zeroed, that of a device that was restored and waits for its client. */
void vfio_page_await(struct vfio_page *page);

/* Whether the device of @page was being loaded, or that had failed: it has no state. */
bool vfio_page_loading(const struct vfio_page *page);

/*
 * Whether @page, as an earlier process left it, keeps every rule of this file for a device of
 * @info. Returns 0, -ENODATA for one never used (all zero), or -EBADMSG.
 */
int vfio_page_check(const struct vfio_page *page,
		    const struct vfio_device_info *info) umdev_warn_unused;
