/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session with a fake device, a hostile client at its socket and a keeper of its descriptors, in
 * one thread and on a made-up clock. The input says what client and device do, step by step.
 */
#pragma once

#include "vfio/page.h"
#include "vfio/session.h"
#include "vfio/wire.h"

#include "fuzz.h"

#define RIG_BAR_SIZE   8192u
#define RIG_REQUESTS   16
#define RIG_KEPT       96
#define RIG_FDS_MAX    192
#define RIG_STREAM_MAX 2048u

/* A request that the session sent to its client. */
struct rig_request {
	struct wire_header header;
	struct wire_dma_access access;
};

/* What the keeper has. */
struct rig_kept {
	uint32_t slot;
	int fd;
};

/* What a device that is moved takes time for. */
enum rig_effect { RIG_NOTHING, RIG_RESTS, RIG_LOADED };

struct rig {
	struct fuzz_input in;
	bool open[RIG_FDS_MAX]; /* descriptors, before */
	struct reactor *reactor;
	struct vfio_session *session;
	struct vfio_page *page;
	struct vfio_device_info info;
	int listener; /* a duplicate, for the next process */
	int client;
	int next; /* another one, who was accepted while the client left; -1: none */
	int memory;
	int event; /* that was passed last; -1: none */
	uint16_t id;
	uint32_t fragment;  /* bytes that the client sends at a time; 0: all */
	bool deaf;	    /* the client does not read */
	bool fresh;	    /* the page was made by this code: it must always keep its rules */
	bool busy;	    /* the device: a command is in progress */
	bool losing;	    /* ... the client's end is */
	bool ask;	    /* admission takes time */
	uint8_t keep_fails; /* the keeps that still succeed; 0: all */
	int access_result;
	bool has_hold;
	uint32_t hold;
	uint32_t transfers;	 /* under way */
	bool rests;		 /* the device ... */
	bool half;		 /* ... has loaded half a state, or one that it refused */
	enum rig_effect pending; /* ... is on its way to that */
	struct rig_kept kept[RIG_KEPT];
	uint32_t kept_count;

	/* What the client received, cut into messages. */
	uint8_t partial[sizeof(struct rig_request)];
	uint32_t have;
	uint32_t skip;
	struct rig_request requests[RIG_REQUESTS];
	uint32_t request_count; /* for ever */

	uint8_t buf[RIG_BAR_SIZE];
};

/* A rig without a session, with a page of zeros. */
void rig_init(struct rig *rig, const uint8_t *data, size_t size);

/* The keeper, also for the session. */
int rig_keep(void *device, uint32_t slot, int fd);

/* A session on the page as it is, with what was kept. Returns what vfio_session_new() returned. */
int rig_start(struct rig *rig);

/* One step of what the input says. */
void rig_step(struct rig *rig);

/* A client connects, and says which version it speaks. */
void rig_join(struct rig *rig);

/* The process dies: the session ends where it is; page, listener, kept descriptors and the client's
 * end stay. */
void rig_die(struct rig *rig);

/* Another client had been accepted while the one before left when the process died. @how: bits, 1:
 * it has hung up, 2: its time has just come. */
void rig_wait_next(struct rig *rig, uint8_t how);

/* The keeper has lost those of the first eight descriptors whose bits are set. */
void rig_lose(struct rig *rig, uint8_t which);

/* The client hangs up and the device lets go; nothing may be left. */
void rig_leave(struct rig *rig);

/* Frees everything, and looks whether descriptors have leaked. */
void rig_done(struct rig *rig);
