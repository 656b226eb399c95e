/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The objects of the serial driver: parent, mdev, port. All of it runs on the host's one thread.
 * They are caches, apart from what the mdev's work holds, which goes into the state page.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

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
#define SERIAL_TIMERS	    4u

/* What is kept outside of the process: a connection of each port, and the pipe. */
#define SERIAL_KEPT_PEER(port) (port)
#define SERIAL_KEPT_PIPE       SERIAL_PORTS_MAX /* and the next: its ends */

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
	struct serial_state_port *st; /* in the mdev's work */
	uint32_t index;

	/* Backend. */
	int endpoint; /* the master, or the listening socket; the host's */
	int fd;	      /* of the peer: the master too, or a connection of ours; -1: none */
	int terminal; /* its number, when inotify tells of who opens it; -1: nothing does */
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
	struct serial_image work; /* what becomes the current image next */
	int pipe[2];		  /* of carry.c; -1 with sockets */
	bool pipe_left;		  /* something may lie in it that is worth nothing */
	uint32_t port_count;
	bool level;		   /* of INTx, as the host was told */
	bool told;		   /* it was told */
	struct umdev_job *on_line; /* the one that takes its time, or NULL */
	uint64_t line_end_ns;
	uint64_t idle_armed_ns; /* of the timer; 0: it is not */
	uint64_t service_ns;	/* the guest serves the interrupt, until then; 0: it does not */
	bool gathering;
	uint64_t served_from_ns; /* when it began to serve */
	uint64_t rest_ns;	 /* until then nothing is put into its receivers; 0: no rest */
	struct serial_port ports[SERIAL_PORTS_MAX];
};
