/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vfio-user client: one connection to one device.
 *
 * Requests are synchronous except the posted ones, which ask for no reply. While a reply is
 * awaited, and whenever client_service() is called, the server's own requests for guest memory are
 * answered from the one arena that was mapped. Every wait ends: after timeout_ns, or when the
 * server hangs up.
 *
 * Single-threaded. Functions that take an error fill it and return -errno; a lost server is
 * -ECONNRESET.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "proto.h"
#include "util/cleanup.h"
#include "util/error.h"

#define CLIENT_TRANSFER_MAX 65536u /* bytes of data in one message, both ways */
#define CLIENT_AREAS_MAX    16u
#define CLIENT_FDS_MAX	    16u
#define CLIENT_IN_MAX	    (sizeof(struct proto_header) + 16 + CLIENT_TRANSFER_MAX)

struct client_region {
	uint64_t size;
	uint64_t fd_offset;
	uint32_t flags;
	uint32_t area_count;
	struct proto_area areas[CLIENT_AREAS_MAX];
	int fd; /* behind the areas, -1 without; the caller's */
};

struct client {
	int sock;
	uint16_t next_id;
	uint32_t server_fds; /* descriptors that the server takes in one message */
	uint64_t timeout_ns;
	uint64_t posted; /* writes sent without asking for a reply */
	const struct arena *memory;
	uint32_t num_regions;
	uint32_t num_irqs;
	uint32_t device_flags;
	size_t in_len;
	size_t fd_count;
	int fds[CLIENT_FDS_MAX]; /* came with the message in @in */
	uint8_t in[CLIENT_IN_MAX];
};

/* Connects to the socket at @path, which may be longer than the kernel's limit for socket names. */
int client_connect(struct client *c, const char *path, uint64_t timeout_ns,
		   struct umdev_error *err) umdev_warn_unused;

/* Hangs up and closes everything. */
void client_close(struct client *c);

/* Agrees on the protocol and asks what the device is; it must be a PCI device. */
int client_negotiate(struct client *c, struct umdev_error *err) umdev_warn_unused;

/* Asks about region @index. */
int client_region_info(struct client *c, uint32_t index, struct client_region *ret_region,
		       struct umdev_error *err) umdev_warn_unused;

/* Asks how many vectors interrupt @index has; 0 for one that the device lacks. */
int client_irq_count(struct client *c, uint32_t index, uint32_t *ret_count,
		     struct umdev_error *err) umdev_warn_unused;

/* Assigns eventfds to the vectors of interrupt @index from 0 on; @count 0 disables it. */
int client_set_irqs(struct client *c, uint32_t index, const int *fds, uint32_t count,
		    struct umdev_error *err) umdev_warn_unused;

/* Lets the INTx line fire again; posted. Returns 0 or -errno. */
int client_unmask_intx(struct client *c) umdev_warn_unused;

/* Makes @arena the memory that the device may reach. It must outlive the connection. */
int client_map(struct client *c, const struct arena *arena,
	       struct umdev_error *err) umdev_warn_unused;

/* Takes it back; the device is no longer using it on return. */
int client_unmap(struct client *c, struct umdev_error *err) umdev_warn_unused;

/* Reads or writes @count bytes (at most 4096) at @offset of @region. */
int client_read(struct client *c, uint32_t region, uint64_t offset, void *buf, uint32_t count,
		struct umdev_error *err) umdev_warn_unused;
int client_write(struct client *c, uint32_t region, uint64_t offset, const void *buf,
		 uint32_t count, struct umdev_error *err) umdev_warn_unused;

/* Writes 32 bits of BAR 0 without waiting for a reply. Returns 0 or -errno. */
int client_post_write32(struct client *c, uint64_t offset, uint32_t value) umdev_warn_unused;

/* Handles what the server has sent; does not wait. */
int client_service(struct client *c, struct umdev_error *err) umdev_warn_unused;
