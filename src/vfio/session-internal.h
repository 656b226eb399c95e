/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the session share. Everything here belongs to the reactor's thread.
 *
 * The files: session.c (life and states), resume.c (after another process), rx.c and tx.c (bytes),
 * command.c (one request to one reply), region.c (accesses), irq.c and irq_signal.c, dma.c (the
 * table), dma_file.c (mapped memory), dma_message.c (transfers by message), share.c (is the memory
 * really shared).
 *
 * Reentrancy: the device may call any session function from within any ops call. What could pull
 * the ground from under a caller (losing the client, a callback, a message of our own) therefore
 * never happens at once while depth is not 0: it is noted and done by the task.
 */
#pragma once

#include "vfio/dma.h"
#include "vfio/migrate.h"
#include "vfio/page.h"
#include "vfio/session.h"
#include "vfio/wire.h"

/* A client that stops inside of a message, or does not get to VERSION, is thrown out after this. */
#define VFIO_STALL_NS (10ULL * 1000000000ULL)
/* A DMA_UNMAP that waits for I/O which waits for the client's reply to a DMA message gives that up
 * after this; VMMs wait for the reply to the unmap for 5 s. */
#define VFIO_UNMAP_GRACE_NS (1ULL * 1000000000ULL)
/* A process that has lived so long with a command in progress does not die of it. */
#define VFIO_PROVEN_NS (500ULL * 1000000ULL)
/* Descriptors that no client's interrupts take: connections, memory on its way, the device's. */
#define VFIO_FD_RESERVE 256u
/* Requests served, bytes of them, and time spent on them before other sources of the loop get their
 * turn. */
#define VFIO_TURN_REQUESTS 64
#define VFIO_TURN_NS	   (100ULL * 1000ULL)
#define VFIO_TURN_BYTES	   32768u
#define VFIO_REASON_MAX	   256

/* The request being served. Header and body are read from here, never from the socket again. */
struct vfio_request {
	struct wire_header header;
	const uint8_t *body; /* in the page */
	uint32_t len;
	int fds[WIRE_FDS_MAX]; /* taken ones are set to -1; the rest is closed */
	size_t fd_count;       /* as they came, those above WIRE_FDS_MAX closed and counted */
	bool fds_lost;	       /* some could not be received: no descriptor was free */
};

struct vfio_session {
	struct reactor *reactor;
	struct vfio_device_info info;
	const struct vfio_session_ops *ops;
	void *device;
	struct vfio_page *page;

	struct reactor_fd listener;
	struct reactor_fd connection;
	int arrived;		  /* accepted by an earlier process and no more, or -1 */
	int next;		  /* accepted while the client before it left, or -1 */
	struct reactor_fd wake;	  /* eventfd: the SIGBUS handler has patched a file of ours */
	struct reactor_fd unmask; /* resample eventfd of INTx */
	struct reactor_timer deadline;
	struct reactor_timer grace;
	struct reactor_timer proven;
	struct reactor_timer accept_pause; /* no descriptor was free for a client, or one ends */
	uint64_t ended_ns; /* when the client's process was found to have ended; 0: it was not */
	struct reactor_task task;

	uint32_t depth;	  /* entries into the session that are on the stack */
	bool in_command;  /* tx may be under construction */
	bool joined;	  /* ops->joined was called, ops->lost not yet */
	bool device_busy; /* ops owe a vfio_session_complete() for the command in rx */
	bool unmap_waits; /* the command in rx is an unmap that waits for holds */
	bool lost_waits;  /* ops owe one for lost() */
	bool gone;	  /* the connection ended while device_busy */
	bool completed;	  /* vfio_session_complete() was called, not yet acted upon */
	int completion;
	bool resuming; /* session_resume_go() is still to come */
	bool paused;   /* another process will go on */
	bool doomed;   /* to be thrown out as soon as it is safe */
	bool doom_blames;
	char reason[VFIO_REASON_MAX];

	struct vfio_request request;
	int *irq_fds[VFIO_IRQ_COUNT]; /* irq_counts of them, -1 without */
	uint32_t irq_assigned;	      /* how many there are */
	struct dma_table dma;
	struct list transfers; /* not in flight, in order */
	struct list spare;     /* unused transfer objects */
	uint32_t transfer_count;
	bool probing; /* a message of no bytes asks for the client's layout */
	struct dma_transfer *in_flight[VFIO_MESSAGE_COUNT];
	int stream_fd;	     /* the state on its way, or -1 */
	bool stream_checked; /* what can be told of it before all of it is there */
	struct dirty *dirty; /* pages that were written; NULL: nobody wants to know */
	struct share_check share;
	struct vfio_session_stats stats;
};

/* ---- session.c */

/* Throws the client out, now or as soon as nothing is on the stack. @blame: it did wrong, the
 * operator is told. */
void session_doom(struct vfio_session *s, bool blame, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The connection is readable, writable or over. */
void session_ready(struct reactor_fd *source, uint32_t events);

/* Has the task run what was noted. */
void session_kick(struct vfio_session *s);

/* Enter and leave the session from the loop. */
void session_enter(struct vfio_session *s);
void session_leave(struct vfio_session *s);

/* ---- resume.c */

/* Takes the client of an earlier process over, with its descriptors, as far as that can be done
 * outside of the loop. Returns 0, 1 when there was none, or -errno when it is lost. */
int session_resume(struct vfio_session *s, struct vfio_kept *kept, size_t count) umdev_warn_unused;

/* Nobody goes on with the connection among @kept: hangs up, so that nobody can later. */
void session_resume_none(struct vfio_kept *kept, size_t count);

/* Takes the connection that waited for the client's end, if one did. */
void session_resume_next(struct vfio_session *s, struct vfio_kept *kept, size_t count);

/* The rest of it. */
void session_resume_go(struct vfio_session *s);

/* ---- rx.c */

/*
 * Brings the next message, or more of it, into the page. Returns 1 when a whole one stands in
 * s->request, 0 when not now, -errno when the connection is of no more use and doomed.
 */
int rx_receive(struct vfio_session *s);

/* The present message is done with: takes it off the socket if that was put off, closes its
 * descriptors. */
void rx_finish(struct vfio_session *s);

/* Forgets the present message, with the connection. */
void rx_abort(struct vfio_session *s);

/* Goes on from what an earlier process left of a message. Returns whether a whole one stands in
 * s->request, to be served (again). */
bool rx_resume(struct vfio_session *s);

/* ---- tx.c */

/* The message whose body stands in tx is complete: from here on it will be sent, whatever happens.
 */
void tx_begin(struct vfio_session *s, const struct wire_header *header);

/* Sends what stands in tx, as far as it goes now. */
void tx_send(struct vfio_session *s);

/* Forgets what stands in tx. */
void tx_end(struct vfio_session *s);

/* ---- command.c */

/* Serves the request. Answers it, or leaves the session busy. */
void command_serve(struct vfio_session *s);

/* Ends the command that was busy with the outcome of its effect. */
void command_resume(struct vfio_session *s, int status);

/* ---- region.c: handlers of requests, as in command.c */

int region_info_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);
int region_io_fds_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);
int region_read_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);
int region_write_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);
int region_multi_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);

/* What REGION_WRITE answers once it has @status: fills the body. */
void region_write_reply(struct vfio_session *s, const struct vfio_request *q, int status,
			uint32_t *ret_len);
/* One entry of REGION_WRITE_MULTI has ended with @status: the next ones. */
int region_multi_resume(struct vfio_session *s, struct vfio_request *q, int status,
			uint32_t *ret_len);

/* ---- migrate.c */

/* Handlers of requests, as in command.c; a DEVICE_FEATURE that took time has ended. */
int feature_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);
int feature_resume(struct vfio_session *s, struct vfio_request *q, int status, uint32_t *ret_len);
int migrate_read_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);
int migrate_write_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);

/* Lets a device that waits go on if @q wants it to. 0 or -errno. */
int migrate_before(struct vfio_session *s, const struct vfio_request *q) umdev_warn_unused;

/* The device was reset: it runs. */
void migrate_reset(struct vfio_session *s);

/* The client is gone. A device that waits, waits for the next. */
void migrate_forget(struct vfio_session *s);

/* After another process: drops a stream that nobody speaks of. */
void migrate_resume(struct vfio_session *s);

/* ---- dirty.c */

/* What DEVICE_FEATURE asks of it. 0, -errno or -EINPROGRESS as unmap; a report is answered then. */
int dirty_start_serve(struct vfio_session *s, struct vfio_request *q);
int dirty_report_serve(struct vfio_session *s, struct vfio_request *q);
int dirty_report_answer(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);

/* Notes that @len bytes (not 0) are about to be written. Only while s->dirty is there. */
void dirty_mark(struct vfio_session *s, uint64_t iova, uint64_t len);

/* Nothing is noted any more; after another process; with the session. */
void dirty_stop(struct vfio_session *s);
int dirty_resume(struct vfio_session *s) umdev_warn_unused;
void dirty_free(struct vfio_session *s);

/* ---- irq.c */

/* The handlers of DEVICE_GET_IRQ_INFO and DEVICE_SET_IRQS, as in command.c. */
int irq_info_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);
int irq_set_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);

/* Gets ready what signals need, once for the process. */
void irq_signal_setup(void);

/* Signals an eventfd; never waits. Returns 0 or -errno. In irq_signal.c. */
int irq_signal(int fd) umdev_warn_unused;

/* Allocates the tables; frees them, with every descriptor. */
int irq_init(struct vfio_session *s) umdev_warn_unused;
void irq_done(struct vfio_session *s);

/* After another process: takes the eventfd *@fd if the page has it at @slot, or gives it back (-1:
 * none); whether all have come; fires INTx again. */
bool irq_resume_fd(struct vfio_session *s, uint32_t slot, int *fd);
int irq_give_back_fd(struct vfio_session *s, uint32_t slot);
int irq_resume(struct vfio_session *s) umdev_warn_unused;
void irq_resume_intx(struct vfio_session *s);

/* Unassigns everything, as when the client leaves. */
void irq_clear(struct vfio_session *s);
