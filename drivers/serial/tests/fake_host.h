/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host for tests of the driver: one mdev, jobs in order and one at a time, a clock that the test
 * moves, and a check of the rules a driver has to keep (jobs end once, nothing is left after a
 * reset, no event that is told for ever).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <umdev/driver.h>

#include "core.h"

struct fake {
	const struct umdev_driver *driver;
	void *parent;
	void *mdev;
	struct umdev_parent_info info;
	struct umdev_device device;
	struct serial_state *state; /* of all processes that a test forks */
	uint64_t now_ns;

	/* What the driver did. */
	char failed[256];
	bool level; /* of INTx */
	uint64_t raised;
	uint32_t queued;
	uint32_t started;
	uint64_t jobs;	     /* started in all */
	uint64_t started_ns; /* when the last one was */
	uint32_t behind;     /* jobs that waited when the last one ended */
	uint64_t ended_ns;   /* what job_done_at() said last; 0: job_done() */
	bool stopped;	     /* jobs stay queued */
	bool no_inotify;

	/* Of the deaths. */
	uint64_t access_id; /* of the access under way; 0: none */
	bool dead;	    /* what the driver does now did not happen */
	uint32_t steps;	    /* until it dies in fake_survives(); 0: it does not */
	const char *died_at;
	int keep_error; /* what keep() and kept() return; 0: they work */
};

/* Zero is the default of each. */
struct fake_options {
	uint32_t ports; /* of the parent; 16 */
	uint32_t type;	/* index */
	uint32_t backend;
	uint32_t breaks;
	uint64_t rate;
};

/* The one fake there is; callbacks have no other way to it. */
extern struct fake fake;

/* A parent and an mdev; they must come up. */
void fake_up(const struct fake_options *options);
/* Creates the mdev with the state as it is. Returns what the driver returned. */
int fake_create(uint32_t state_origin);
/* Lost client, remove, close; checks that nothing was left. */
void fake_down(void);
/* Forgets the mdev as a dead process would: state, endpoints and what was kept stay. */
void fake_crash(void);

/* The image of port @index that is current. */
struct serial_state_port *fake_port(uint32_t index);
/* Nothing is kept any more. */
void fake_lose_kept(void);
/* Calls @act, in which the process may die: then this returns false, and fake_crash() is next. */
bool fake_survives(void (*act)(void *arg), void *arg);
/* A point called @name, at which it may die. */
void fake_step(const char *name);

/* How many are armed. */
uint32_t fake_timers(void);

/* One turn of the loop: descriptors, timers, jobs. Returns how much happened. */
uint32_t fake_turn(void);
/* Turns until nothing happens any more, which must come soon. */
void fake_settle(void);
/* Moves the clock on, timer by timer. */
void fake_pass(uint64_t ns);

/* ---- The guest ---- */

/* One register, one byte. */
uint8_t guest_in(uint32_t port, uint32_t reg);
/* As above. */
void guest_out(uint32_t port, uint32_t reg, uint8_t value);
/* One access with a number of its own that is not new: repeated. Returns what was read. */
uint8_t guest_access(uint64_t id, bool write, uint32_t at, uint8_t value);
/* A number for a new access. */
uint64_t guest_access_id(void);
/* Opens a port as a driver does: 115200 baud, FIFOs, DTR and RTS. */
void guest_open(uint32_t port);
/* Sends or receives as a driver that looks at the line status; returns how much could be. */
uint32_t guest_send(uint32_t port, const void *data, uint32_t len);
uint32_t guest_receive(uint32_t port, void *data, uint32_t len);

/* ---- The program at the other end ---- */

/* Opens the terminal or connects; not blocking. -1: too many wait to be accepted. */
int peer_open(uint32_t port);
/* Where the terminal is. */
const char *peer_path(uint32_t port);
/* What is there to be read, up to @len. */
uint32_t peer_receive(int fd, void *data, uint32_t len);
/* The same, but does not wait for more once something is there. */
uint32_t peer_receive_some(int fd, void *data, uint32_t len);
/* Sends as much as is taken. */
uint32_t peer_send(int fd, const void *data, uint32_t len);
