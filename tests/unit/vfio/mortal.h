/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session in a process of its own that is killed at some instruction, and another that
 * goes on from the page and the descriptors it had kept, while the client in this process notices
 * nothing.
 *
 * The device keeps, with its state, the number of the access that led to it, as a driver does whose
 * registers have side effects: two copies and an index.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/types.h>

#include "vfio/page.h"
#include "vfio/session.h"
#include "vfio/wire.h"

#define MORTAL_KEPT_MAX 64
#define MORTAL_BAR_SIZE 0x4000u

/* Offsets in BAR 0. */
#define MORTAL_COUNT  0x10u /* reads 1, 2, 3, ...: every read is one more */
#define MORTAL_DATA   0x20u /* counts writes */
#define MORTAL_COPY   0x40u /* writes the value to guest memory at MORTAL_IOVA */
#define MORTAL_SIGNAL 0x50u /* signals MSI-X vector 1 */

#define MORTAL_IOVA   0x10000u

struct mortal_state {
	uint64_t access; /* the number of the last one */
	uint64_t result;
	uint64_t reads;
	uint64_t writes;
	uint64_t last_written;
};

/* What outlives the servers, besides the page. */
struct mortal_shared {
	struct mortal_state states[2];
	uint32_t current;
	uint32_t resets;
	uint32_t joined;
	uint32_t resumed;
	uint32_t lost;
	uint32_t refused;
	char reason[256];
};

struct mortal {
	struct vfio_page *page;
	struct mortal_shared *shared;
	struct vfio_device_info info;
	char path[96];
	char dir[64];
	int listener;
	int keeper[2]; /* the servers' end, ours */
	struct vfio_kept kept[MORTAL_KEPT_MAX];
	size_t kept_count;
	pid_t server; /* 0: none */
	int client;
	uint16_t next_id;
};

int mortal_setup(void **state);
int mortal_teardown(void **state);

/* Starts a server that goes on by itself. */
void mortal_run(struct mortal *m);

/* Starts one that stands still, at its first instruction of going on (@resuming), or when it waits
 * for the client. */
void mortal_hold(struct mortal *m, bool resuming);

/* Lets the held server go on through @stops borders of system calls (in, out, in, ...) and then for
 * @count instructions. Returns false when it had less to do. */
bool mortal_step(struct mortal *m, unsigned stops, unsigned count);

/* Kills the server, if there is one, and takes in what it had kept or dropped. */
void mortal_kill(struct mortal *m);

/* What the device is now. */
const struct mortal_state *mortal_state(const struct mortal *m);

/* Connects; and waits until it is the client. */
void mortal_dial(struct mortal *m);
void mortal_connect(struct mortal *m);

/* Waits for an answer, of which nothing is taken: false when the connection was closed instead. */
bool mortal_answers(struct mortal *m);

/* Hangs up, and waits until the server that runs has done with the client. */
void mortal_leave(struct mortal *m);

/* Sends a message: @fd -1 for none. Returns its id. */
uint16_t mortal_send(struct mortal *m, uint16_t command, uint32_t flags, const void *body,
		     size_t len, int fd);

/* Receives a reply, within some seconds: to @id, without error. Returns the length of its body. */
size_t mortal_receive(struct mortal *m, uint16_t id, void *body, size_t size, int *ret_fd);
