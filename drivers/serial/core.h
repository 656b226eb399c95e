/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The objects of the serial driver: parent, mdev, port. All of it runs on the host's one thread.
 *
 * A guest's access ends in uart.c, which knows registers and FIFOs only. line.c moves bursts
 * between FIFOs and backend, each of them a job of the parent's one engine; backend.c knows what is
 * at the other end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <umdev/driver.h>

#include "state.h"

#define SERIAL_POOL_MAX 256u

enum { SERIAL_OPT_PORTS, SERIAL_OPT_BACKEND, SERIAL_OPT_RATE, SERIAL_OPT_BREAKS, SERIAL_OPT_COUNT };

enum { SERIAL_BACKEND_PTY, SERIAL_BACKEND_UNIX };
enum { SERIAL_BREAKS_DROP, SERIAL_BREAKS_MARKS };

enum {
	SERIAL_STAT_RX_BYTES,
	SERIAL_STAT_TX_BYTES,
	SERIAL_STAT_LOST_BYTES,
	SERIAL_STAT_OVERRUNS,
	SERIAL_STAT_BREAKS_IN,
	SERIAL_STAT_BREAKS_OUT,
	SERIAL_STAT_INTERRUPTS,
	SERIAL_STAT_PEERS,
	SERIAL_STAT_COUNT
};

/* Timers of an mdev, each for all of its ports. */
#define SERIAL_TIMER_LINE   0u /* the end of its burst on the line */
#define SERIAL_TIMER_LOOK   1u /* the look for peers, and the first of them */
#define SERIAL_TIMER_IDLE   2u /* character timeouts, and of a guest that serves an interrupt */
#define SERIAL_TIMER_GATHER 3u /* bursts that do not become full */

struct serial_mdev;

struct serial_parent {
	struct umdev_parent *handle;
	uint32_t backend;
	uint32_t breaks;
	uint64_t rate; /* bytes a second; 0: as fast as can be */
	int inotify;   /* tells of programs that open pseudo terminals; -1: there is none */
	struct serial_mdev *mdevs;
	struct umdev_type types[SERIAL_PORTS_MAX];
	struct umdev_engine engine;
	char description[96];
};

/* What is at the other end of a port's line. */
enum serial_peer {
	SERIAL_PEER_NONE,
	SERIAL_PEER_HERE,
	SERIAL_PEER_LEFT, /* has gone; what it sent before is still to be read */
};

/* The bursts of one direction of a port. The next is handed over before the one that ends is done
 * with: a port that has more to carry never counts as one that has not. */
struct serial_way {
	struct umdev_job jobs[2];
	uint32_t turn; /* the one that was handed over last */
	bool busy;     /* and it has not ended */
};

struct serial_port {
	struct serial_mdev *mdev;
	struct serial_state_port *st;
	uint32_t index;

	/* Backend. */
	int endpoint; /* the master, or the listening socket; the host's */
	int fd;	      /* of the peer: the master too, or a connection of ours; -1: none */
	int watch_id; /* of inotify; -1: none */
	enum serial_peer peer;
	bool no_more;  /* the peer has ended its side and still listens */
	bool watching; /* fd, for watched */
	bool listening;
	short watched;
	uint32_t baud; /* that the backend was told; 0: none yet */

	uint64_t idle_ns; /* when the character timeout comes; 0: not */

	/* Line. */
	struct serial_way rx;
	struct serial_way tx;
	bool tx_ripe; /* what the guest has written is worth a burst */
};

struct serial_mdev {
	struct umdev_mdev *handle;
	struct serial_parent *parent;
	struct serial_mdev *next;
	struct serial_state *state;
	uint32_t port_count;
	bool level;		   /* of INTx, as the host was told */
	struct umdev_job *on_line; /* the one that takes its time, or NULL */
	uint64_t line_end_ns;
	uint64_t idle_armed_ns; /* of the timer; 0: it is not */
	uint64_t service_ns;	/* the guest serves the interrupt, until then; 0: it does not */
	bool gathering;
	uint64_t served_from_ns; /* when it began to serve */
	uint64_t rest_ns;	 /* until then nothing is put into its receivers; 0: no rest */
	struct serial_port ports[SERIAL_PORTS_MAX];
};

extern const struct umdev_host_ops *serial_host;

/* ---- parent.c ---- */

/* The callbacks of a parent, whose contract is in umdev/driver.h. */
int serial_parent_open(struct umdev_parent *handle, const struct umdev_parent_args *args,
		       struct umdev_parent_info *ret_info, void **ret_priv);
/* As above. */
void serial_parent_close(void *parent_priv);

/* ---- device.c: the callbacks of an mdev ---- */

int serial_mdev_create(void *parent_priv, struct umdev_mdev *handle,
		       const struct umdev_mdev_args *args, struct umdev_device *ret_device,
		       void **ret_priv);
void serial_mdev_remove(void *priv);
int serial_region_read(void *priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len);
int serial_region_write(void *priv, uint32_t bar, uint64_t offset, const void *buf, uint32_t len);
int serial_reset(void *priv, uint32_t kind);
void serial_stats_get(void *priv, uint64_t *values);

/*
 * Tells the host the level of INTx where it has changed.
 *
 * The line is the OR of the ports, but for this: it is down while the guest serves the interrupt,
 * which is from its reading of the cause until it reads that there is none, or touches no register
 * for a moment. VMMs that emulate the level take any access as the end of an interrupt and ask anew
 * whether it is still there: with the line up, each character read in a handler would be an
 * interrupt more.
 */
void serial_irq_update(struct serial_mdev *mdev);

/*
 * The guest was told a cause, or that there is none.
 *
 * While it serves, and for half that time after, nothing new moves. On a real line the
 * speed leaves it that time; a handler that finds the next burst there each time it has read one
 * would not end, and what it reads would fill the guest's buffers until they run over.
 */
void serial_irq_served(struct serial_mdev *mdev, bool more);

/* It has served, up to now. */
void serial_rest(struct serial_mdev *mdev, uint64_t now_ns);

/* 0, or -EBADMSG after saying what is wrong with the state that an earlier process left. */
int serial_state_check(const struct serial_state *state);

/* ---- uart.c: registers and FIFOs ---- */

/* Power-on state; the counters stay. */
void uart_reset(struct serial_state_port *st);

/* Takes up timers from a checked state; interrupts follow with the first look at the backend. */
void uart_resume(struct serial_port *port);

/* An access to register @reg, below UART_REGISTERS, with all that follows from it but the
 * interrupt.
 */
uint8_t uart_read(struct serial_port *port, uint32_t reg);
/* As above. */
void uart_write(struct serial_port *port, uint32_t reg, uint8_t value);

/* The interrupt identification of the moment; UART_IIR_NONE in its low bits: no interrupt. */
uint8_t uart_iir(const struct serial_state_port *st);

/* Characters that the receiver can take. */
uint32_t uart_rx_room(const struct serial_state_port *st);

/* Puts one into the receiver's FIFO; in a full one it is an overrun. */
void uart_rx_push(struct serial_state_port *st, uint8_t byte, uint8_t error);

/* Characters have come in, or were read: the timeout begins anew. */
void uart_rx_changed(struct serial_port *port);

/* No timeout. */
void uart_rx_quiet(struct serial_port *port);

/* Sees to it that the timer comes in time for the ports and for service_ns. */
void uart_idle_arm(struct serial_mdev *mdev);

/* Moves what is in the transmitter's FIFO onto the line, which must be free. */
void uart_tx_shift(struct serial_state_port *st);

/* Peer or loopback have changed: the modem's lines follow. */
void uart_lines_update(struct serial_port *port);

/* ---- line.c ---- */

/* The guest has written a character; or it waits for what it has written to be gone. */
void line_gather(struct serial_port *port);
void line_flush(struct serial_port *port);

/* Looks at what is to be done in both directions, and hands over jobs or waits for the backend. */
void line_update(struct serial_port *port);

/* The callback that begins a burst. */
void serial_job_start(void *priv, struct umdev_job *job);

/* Takes back all jobs of the port. */
void line_stop(struct serial_port *port);

/* ---- backend.c ---- */

/* Takes @endpoint into use; and out of it. */
void backend_open(struct serial_port *port, int endpoint);
void backend_close(struct serial_port *port);

/* Which of POLLIN and POLLOUT the peer is ready for, without waiting. It may turn out to be gone.
 */
short backend_ready(struct serial_port *port, short events);

/* Waits for @events (may be 0) of the peer; only the end of the peer is always waited for. */
void backend_watch(struct serial_port *port, short events);

/* Moves bytes. Number, 0 when it cannot take or give any now, -EPIPE when the peer is gone. */
ssize_t backend_read(struct serial_port *port, void *buf, size_t len);
ssize_t backend_write(struct serial_port *port, const void *buf, size_t len);

/* Tells the backend what speed the guest has set. */
void backend_speed(struct serial_port *port);

/* Looks whether anybody is there now, and goes on from that. */
void backend_look(struct serial_port *port);
