/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From one request to one reply.
 *
 * A handler reads s->request and writes the body of its reply into the page; it returns 0 with the
 * body's length, or -errno (the reply is then a bare header, unless it set a length), or
 * -EINPROGRESS: the session is busy until command_resume(). Commands are served in the order in
 * which they came, one at a time.
 */
#include <errno.h>
#include <string.h>

#include "util/fault.h"
#include "vfio/session-internal.h"

struct command {
	const char *name;
	int (*serve)(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);
};

static int command_version(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct vfio_page *page = s->page;
	struct wire_client client;
	struct ucred peer;
	int r;

	if (page->state != VFIO_STATE_NEGOTIATING)
		return -EINVAL;
	r = wire_version_decode(q->body, q->len, &client);
	if (r == -EPROTONOSUPPORT)
		session_doom(s, true, "client speaks another vfio-user than major version 0");
	else if (r < 0)
		session_doom(s, true, "client sent a VERSION message that is none");
	if (r < 0)
		return -EINVAL;
	client.migration = client.migration && s->info.stream_max > 0;
	r = wire_version_encode(&client, page->tx.body, sizeof(page->tx.body));
	if (r < 0)
		return r;
	*ret_len = (uint32_t)r;
	page->peer.major = 0;
	page->peer.minor = MIN(client.minor, (uint16_t)WIRE_MINOR);
	page->peer.max_msg_fds = client.max_msg_fds;
	page->peer.max_data_xfer = client.max_data_xfer;
	/* QEMU alone says 0.0 and write_multiple. The other clients that are known do not answer
	 * messages of ours, and read replies at fixed sizes, errors included. */
	page->peer.flags = 0;
	if (client.minor == 0 && client.write_multiple)
		page->peer.flags = VFIO_PEER_MESSAGES | VFIO_PEER_HEADER_ERRORS;
	reactor_timer_cancel(s->reactor, &s->deadline);
	page->state = VFIO_STATE_SERVING;
	s->joined = true;
	peer = (struct ucred){page->peer.pid, page->peer.uid, page->peer.gid};
	s->ops->joined(s->device, &peer);
	return 0;
}

static int command_info(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct wire_device_info info = {
		.argsz = sizeof(info),
		.flags = WIRE_DEVICE_RESETS | WIRE_DEVICE_PCI,
		.num_regions = VFIO_REGION_COUNT,
		.num_irqs = VFIO_IRQ_COUNT,
	};

	if (wire_device_info_decode(q->body, q->len) < 0)
		return -EINVAL;
	memcpy(s->page->tx.body, &info, sizeof(info));
	*ret_len = sizeof(info);
	return 0;
}

static int command_reset(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	int r = s->ops->reset(s->device);

	if (r == -EINPROGRESS)
		s->device_busy = true;
	if (r == 0 || r == -EINPROGRESS)
		migrate_reset(s);
	return r;
}

static const struct command commands[WIRE_COMMAND_COUNT] = {
	[WIRE_VERSION] = {"VERSION", command_version},
	[WIRE_DMA_MAP] = {"DMA_MAP", dma_map_serve},
	[WIRE_DMA_UNMAP] = {"DMA_UNMAP", dma_unmap_serve},
	[WIRE_GET_INFO] = {"DEVICE_GET_INFO", command_info},
	[WIRE_GET_REGION_INFO] = {"DEVICE_GET_REGION_INFO", region_info_serve},
	[WIRE_GET_REGION_IO_FDS] = {"DEVICE_GET_REGION_IO_FDS", region_io_fds_serve},
	[WIRE_GET_IRQ_INFO] = {"DEVICE_GET_IRQ_INFO", irq_info_serve},
	[WIRE_SET_IRQS] = {"DEVICE_SET_IRQS", irq_set_serve},
	[WIRE_REGION_READ] = {"REGION_READ", region_read_serve},
	[WIRE_REGION_WRITE] = {"REGION_WRITE", region_write_serve},
	[WIRE_DEVICE_RESET] = {"DEVICE_RESET", command_reset},
	[WIRE_REGION_WRITE_MULTI] = {"REGION_WRITE_MULTI", region_multi_serve},
	[WIRE_DEVICE_FEATURE] = {"DEVICE_FEATURE", feature_serve},
	[WIRE_MIG_DATA_READ] = {"MIG_DATA_READ", migrate_read_serve},
	[WIRE_MIG_DATA_WRITE] = {"MIG_DATA_WRITE", migrate_write_serve},
};

static int command_call(struct vfio_session *s, uint32_t *ret_len)
{
	struct vfio_request *q = &s->request;
	const struct command *command = NULL;
	int r;

	if (q->header.command < WIRE_COMMAND_COUNT && commands[q->header.command].serve)
		command = &commands[q->header.command];
	if (s->page->state == VFIO_STATE_NEGOTIATING && q->header.command != WIRE_VERSION) {
		session_doom(s, true, "client sent %s (command %u) before VERSION",
			     command ? command->name : "an unknown message", q->header.command);
		return -EINVAL;
	}
	if (!command)
		return -ENOSYS;
	if (q->fds_lost)
		return -EMFILE;
	if (q->fd_count > WIRE_FDS_MAX)
		return -EINVAL;
	r = migrate_before(s, q);
	return r < 0 ? r : command->serve(s, q, ret_len);
}

/* Builds the reply in the page, lets go of the request, sends. */
static void command_answer(struct vfio_session *s, int status, uint32_t len)
{
	struct vfio_page_tx *tx = &s->page->tx;
	const struct wire_header *header = &s->request.header;
	struct wire_header reply;

	if (status < 0)
		s->stats.bad_requests++;
	if (header->flags & WIRE_FLAG_NO_REPLY) {
		tx->region = 0;
		rx_finish(s);
		return;
	}
	if (status < 0)
		tx->region = 0;
	reply = wire_reply_header(header, len, status < 0 ? -status : 0);
	tx_begin(s, &reply);
	rx_finish(s);
	if (s->connection.fd >= 0)
		tx_send(s);
}

/* Answers with @status, or waits for the effect that is in progress. */
static void command_end(struct vfio_session *s, int status, uint32_t len)
{
	if (status != -EINPROGRESS) {
		command_answer(s, status, len);
		return;
	}
	s->page->state = VFIO_STATE_BUSY;
	reactor_timer_set(s->reactor, &s->proven, reactor_now_ns(s->reactor) + VFIO_PROVEN_NS);
	/*
	 * A VMM serves our messages from the loop that now waits for this reply, so the device must
	 * not wait for them. A reset takes them away at once; an unmap, which the I/O that it waits
	 * for may well outlive, after a moment.
	 */
	if (s->device_busy)
		message_cancel(s, -ECANCELED);
	else if (s->transfer_count > 0)
		reactor_timer_set(s->reactor, &s->grace,
				  reactor_now_ns(s->reactor) + VFIO_UNMAP_GRACE_NS);
}

/*
 * Notes that the request is begun. Returns false when too many processes did that and none came to
 * an end: the next one would die, too, and take the clients of other devices along each time.
 */
static bool command_begin(struct vfio_session *s)
{
	uint32_t *tries = &s->page->tries;
	uint16_t number = s->request.header.command;
	const char *name = NULL;

	if (*tries < VFIO_TRIES_MAX) {
		__atomic_store_n(tries, *tries + 1, __ATOMIC_RELEASE);
		if (*tries == VFIO_TRIES_MAX)
			FAULT_SPARE();
		FAULT_POINT("command.begun");
		return true;
	}
	if (number < WIRE_COMMAND_COUNT)
		name = commands[number].name;
	session_doom(s, true,
		     "%u hosts died while they served a request of the client: %s (command %u)",
		     VFIO_TRIES_MAX, name ? name : "unknown", number);
	return false;
}

void command_serve(struct vfio_session *s)
{
	uint32_t len = 0;
	int status;

	if (!command_begin(s))
		return;
	s->stats.requests++;
	s->in_command = true;
	status = command_call(s, &len);
	s->in_command = false;
	FAULT_POINT("command.acted");
	command_end(s, status, len);
}

void command_resume(struct vfio_session *s, int status)
{
	struct vfio_request *q = &s->request;
	uint32_t len = 0;

	reactor_timer_cancel(s->reactor, &s->grace);
	reactor_timer_cancel(s->reactor, &s->proven);
	s->page->state = VFIO_STATE_SERVING;
	s->in_command = true;
	switch (q->header.command) {
	case WIRE_REGION_WRITE:
		region_write_reply(s, q, status, &len);
		break;
	case WIRE_REGION_WRITE_MULTI:
		status = region_multi_resume(s, q, status, &len);
		break;
	case WIRE_DEVICE_FEATURE:
		status = feature_resume(s, q, status, &len);
		break;
	case WIRE_DMA_UNMAP:
		memcpy(s->page->tx.body, q->body, sizeof(struct wire_dma_unmap));
		len = sizeof(struct wire_dma_unmap);
		break;
	default:
		break;
	}
	s->in_command = false;
	command_end(s, status, len);
}
