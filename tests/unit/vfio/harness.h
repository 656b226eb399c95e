/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session on a reactor with a fake device, and a client that speaks to it in raw bytes, all in
 * one thread: waiting for a reply turns the loop. The clock can be moved.
 */
#pragma once

/* cmocka wants these four before itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/open-fds.h"
#include "vfio/page.h"
#include "vfio/session.h"
#include "vfio/wire.h"

#define FIXTURE_BAR0_SIZE 0x4000u
#define FIXTURE_SLOTS	  VFIO_SLOT_COUNT

/* What QEMU 11 says of itself, to the byte. */
#define QEMU_JSON                                                                                  \
	"{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \"max_dma_maps\": 65535, "    \
	"\"max_data_xfer_size\": 1048576, \"migration\": {\"max_bitmap_size\": 268435456, "        \
	"\"pgsize\": 4096}, \"write_multiple\": true}}"
#define CRATE_JSON                                                                                 \
	"{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":1048576,\"migration\":"       \
	"{\"pgsize\":4096}}}"

struct device_access {
	uint32_t region;
	bool write;
	uint64_t offset;
	uint32_t count;
};

struct fixture {
	char dir[64];
	char path[96];
	struct reactor *reactor;
	struct vfio_session *session;
	struct vfio_page *page;
	struct vfio_device_info info;
	int client;
	int fds_before;
	uint16_t next_id;

	/* the device */
	uint8_t bar0[FIXTURE_BAR0_SIZE];
	uint8_t config[256];
	struct device_access last;
	uint32_t accesses;
	uint32_t resets;
	int reset_result;
	int write_result; /* of writes to the configuration space */
	int read_result;
	int lost_result;
	int keep_result;
	uint32_t keep_fails_at; /* the call of keep that fails; 0: none */
	uint32_t keeps;
	int admit_result;
	uint32_t joined;
	uint32_t lost;
	uint32_t left;
	uint32_t refused;
	char lost_reason[256];
	char refused_reason[256];
	uint32_t rests;
	uint32_t wakes;
	uint32_t loads;
	uint32_t checks;
	int rest_result;
	int load_result;
	bool kept[FIXTURE_SLOTS];
	uint32_t kept_count;
	bool reply_seen_before_keep;
	void (*on_access)(struct fixture *fx, uint32_t region, bool write, uint64_t offset);
};

/* Setup and teardown of each test; the teardown fails when descriptors leaked. */
int fixture_setup(void **state);
/* A device that can be moved: its state is a stream of FIXTURE_STREAM bytes. */
int fixture_setup_moved(void **state);
#define FIXTURE_STREAM 100000u
#define FIXTURE_HEAD   1000u
/* Byte @at of the stream. */
uint8_t fixture_stream(uint32_t at);
int fixture_teardown(void **state);

/* Moves the clock of the session on. */
void fixture_advance(uint64_t ns);

/* Turns the loop until there is nothing to do. */
void fixture_turn(struct fixture *fx);

/* Another connection to the session. */
int client_connect(struct fixture *fx);

/* Connects fx->client and negotiates, as QEMU or with another VERSION body. */
void client_join_qemu(struct fixture *fx);
void client_join_crate(struct fixture *fx);

/* Closes fx->client and lets the session notice. */
void client_leave(struct fixture *fx);

/* What goes along in a message. */
struct payload {
	const void *body;
	size_t len;
	const int *fds;
	size_t nfds;
};

#define NOTHING			       ((struct payload){0})
#define BODY(body, len)		       ((struct payload){body, len, NULL, 0})
#define BODY_FDS(body, len, fds, nfds) ((struct payload){body, len, fds, nfds})

/* Sends one message; returns its id. */
uint16_t client_send(struct fixture *fx, uint16_t command, uint32_t flags, struct payload payload);

/* Sends raw bytes with descriptors. */
void client_send_raw(struct fixture *fx, const void *data, size_t len, const int *fds, size_t nfds);

/*
 * Receives one message with at most @size bytes of body, and at most one descriptor into *@ret_fd
 * (may be NULL). Returns the length of the body. Fails the test when none comes.
 */
size_t client_recv(struct fixture *fx, struct wire_header *ret_header, void *body, size_t size,
		   int *ret_fd);

/* Whether the session has closed fx->client (after turning the loop). */
bool client_closed(struct fixture *fx);

/* Whether something has come; whether nothing has, not even the end. */
bool client_pending(struct fixture *fx);
bool client_silent(struct fixture *fx);

/* Sends a command and takes its reply. Returns 0 or the errno of the reply. The length of the
 * body goes to *@ret_len (may be NULL). */
int client_call(struct fixture *fx, uint16_t command, struct payload payload, void *reply,
		size_t size, size_t *ret_len);

#define IRQS(flags, index, start, count)                                                           \
	((struct wire_set_irqs){sizeof(struct wire_set_irqs), flags, index, start, count})

/* Shorthands; they return the errno. */
int client_map(struct fixture *fx, uint64_t addr, uint64_t size, uint64_t offset, uint32_t flags,
	       int fd);
int client_unmap(struct fixture *fx, uint64_t addr, uint64_t size);
int client_irqs(struct fixture *fx, struct wire_set_irqs irqs, const int *fds, size_t nfds);

/* A memfd of @size bytes, each page filled with @fill + its number. */
int memory_new(uint64_t size, uint8_t fill);
/* An eventfd, and the count in it (0 when none). */
int event_new(void);
uint64_t event_take(int fd);
