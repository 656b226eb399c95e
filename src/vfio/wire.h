/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vfio-user wire format: what stands in a message, decoded from and encoded to bytes.
 *
 * Pure: no I/O, no state, so that it can be tested and fuzzed alone. Every decoder takes a body of
 * any length and contents and either fills its result with values that keep the rules of the
 * protocol, or says which errno the client gets. Rules that need the state of a session (does this
 * region exist, does this range overlap) are not checked here.
 */
#pragma once

#include <stddef.h>

#include "util/cleanup.h"
#include "vfio/wire_types.h"

/* -EPROTO: no vfio-user header; -EMSGSIZE: a message longer than WIRE_MESSAGE_MAX. */
int wire_header_check(const struct wire_header *header) umdev_warn_unused;

/* The header of the reply to @command, of @body_len bytes, with @error (0, or a positive errno). */
struct wire_header wire_reply_header(const struct wire_header *command, uint32_t body_len,
				     int error);

/*
 * VERSION. -EINVAL for a body that is no version, JSON that is none, or a member of the wrong type
 * or range; -EPROTONOSUPPORT for a major version other than 0.
 */
int wire_version_decode(const void *body, size_t len,
			struct wire_client *ret_client) umdev_warn_unused;

/* The body of our answer to @client, into @buf of @size bytes. Returns its length or -ENOSPC. */
int wire_version_encode(const struct wire_client *client, void *buf, size_t size) umdev_warn_unused;

/*
 * DMA_MAP with @nfds descriptors. The range is not empty, page-aligned and ends at 2^64 or before;
 * so does the piece of the file. -EINVAL, or -EOPNOTSUPP for memory that is to be accessed by file
 * I/O.
 */
int wire_dma_map_decode(const void *body, size_t len, size_t nfds,
			struct wire_dma_map *ret_map) umdev_warn_unused;

/*
 * DMA_UNMAP. The range is not empty and ends at 2^64 or before, unless the ALL flag stands there
 * (then it is 0, 0). -EINVAL, or -EOPNOTSUPP for a dirty bitmap.
 */
int wire_dma_unmap_decode(const void *body, size_t len,
			  struct wire_dma_unmap *ret_unmap) umdev_warn_unused;

/* The other requests. Each returns 0 or -EINVAL: too short, or an argsz below the fixed part. */
int wire_device_info_decode(const void *body, size_t len) umdev_warn_unused;
int wire_region_info_decode(const void *body, size_t len,
			    struct wire_region_info *ret_info) umdev_warn_unused;
int wire_region_io_fds_decode(const void *body, size_t len,
			      struct wire_region_io_fds *ret_info) umdev_warn_unused;
int wire_irq_info_decode(const void *body, size_t len,
			 struct wire_irq_info *ret_info) umdev_warn_unused;

/*
 * SET_IRQS: exactly one kind of data and one action, as many descriptors and bytes as the kind of
 * data wants. *@ret_bools points into @body for BOOL data, else it is NULL.
 */
int wire_set_irqs_decode(const void *body, size_t len, size_t nfds, struct wire_set_irqs *ret_irqs,
			 const uint8_t **ret_bools) umdev_warn_unused;

/* REGION_READ and, with @write, REGION_WRITE, whose data follow the struct: 1..WIRE_TRANSFER_MAX
 * bytes. */
int wire_region_access_decode(const void *body, size_t len, bool write,
			      struct wire_region_access *ret_access) umdev_warn_unused;

/* REGION_WRITE_MULTI: how many entries follow the count. */
int wire_multi_decode(const void *body, size_t len, uint64_t *ret_count) umdev_warn_unused;

/* Entry @index of those, which exists. The entry is copied, not checked. */
void wire_multi_entry(const void *body, uint64_t index, struct wire_multi_entry *ret_entry);

/* The next state on the way @from a migration state @to another, which may be the same, or -EINVAL
 * where none leads. */
int wire_state_step(uint32_t from, uint32_t to) umdev_warn_unused;

/* DEVICE_FEATURE: 0 for a well-formed request, -EINVAL else. */
int wire_feature_decode(const void *body, size_t len,
			struct wire_feature *ret_feature) umdev_warn_unused;
