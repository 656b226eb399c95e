/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host that outlives its broker.
 *
 *   linked      a broker is there; what follows does nothing
 *   orphan      the link ended without LINK_STOP: the host serves on and waits at its listening
 *               socket; what it wants kept it keeps itself, questions wait
 *   taken over  a new link: hello, takeover, next, ... (link/protocol.h), then linked again
 *
 * All functions are safe on a parent without handover, which ends with its link.
 */
#pragma once

#include "host/host.h"

/* A part of the parent's pool. */
struct host_piece {
	uint64_t start;
	uint64_t size;
};

/* Has the driver discard a piece, and answers request @id when that is done. In parent.c. */
void host_discard(struct umdev_parent *parent, uint64_t id, const struct host_piece *piece);

/* How long an orphan stays that nobody uses and nobody takes over. */
#define HOST_ORPHAN_NS (60 * NS_PER_S)

/* Waits for links at the bound socket @listen_fd (taken over). Returns 0 or -errno. Who connects
 * while it does not listen waits. */
int host_handover_init(struct umdev_parent *parent, int listen_fd,
		       uint64_t orphan_ns) umdev_warn_unused;
void host_handover_listen(struct umdev_parent *parent, bool on);
void host_handover_done(struct umdev_parent *parent);

/* Says hello on the present link. Returns 0 or -errno. */
int host_hello(struct umdev_parent *parent);

/* Remembers what @params of an open say, and the broker's record (NULL: none), which is taken. */
void host_handover_opened(struct umdev_parent *parent, json_t *params, int *record);

/* The link is gone. Returns whether the parent stays, as an orphan. */
bool host_handover_begin(struct umdev_parent *parent);

/* Nobody is waited for any more: the host ends. */
void host_handover_end(struct umdev_parent *parent);

/* Whether a question that cannot be asked now is to wait for the next broker. */
bool host_handover_waits(const struct umdev_parent *parent);

/* Whether what could not be handed to the broker, for reason @error, is kept all the same. */
bool host_handover_keeps(const struct umdev_parent *parent, int error);

/* An mdev is gone: a takeover may have waited for that. */
void host_handover_removed(struct umdev_parent *parent);

/* Puts a request off while the driver discards for a broker that is gone. False when it does not.
 */
bool host_handover_discard_later(struct umdev_parent *parent, uint64_t id,
				 const struct host_piece *piece);

/* A discard has ended. True when it was one for a broker that is gone: nobody is to be answered. */
bool host_handover_discarded(struct umdev_parent *parent);

/* Calls @each with every descriptor of @mdev that a broker keeps, and its slot. */
void host_handover_each_fd(struct umdev_mdev *mdev, vfio_session_fd *each, void *arg);

/* Requests LINK_TAKEOVER and LINK_NEXT. */
void host_handover_on_takeover(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			       size_t nfds);
void host_handover_on_next(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			   size_t nfds);
