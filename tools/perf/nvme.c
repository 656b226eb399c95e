/* SPDX-License-Identifier: BSD-3-Clause */
/* Controller bring-up, queues and shutdown. See nvme.h. */
#include "nvme.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "nvme-internal.h"
#include "util/clock.h"
#include "util/fd.h"

#define NVME_ADMIN_ENTRIES 32u
#define NVME_WAIT_NS	   (200 * NS_PER_US)

static const char *const nvme_interrupt_names[] = {
	[NVME_INTERRUPTS_NONE] = "polling",
	[NVME_INTERRUPTS_MSIX] = "msix",
	[NVME_INTERRUPTS_MSI] = "msi",
	[NVME_INTERRUPTS_INTX] = "intx",
};
static_assert(ARRAY_SIZE(nvme_interrupt_names) == NVME_INTERRUPTS_COUNT,
	      "every kind of interrupt has a name");

/* Status code type << 8 | status code. */
static const struct {
	uint16_t status;
	const char *name;
} nvme_statuses[] = {
	{0x000, "success"},
	{0x001, "invalid command opcode"},
	{0x002, "invalid field in command"},
	{0x003, "command id conflict"},
	{0x004, "data transfer error"},
	{0x005, "aborted: power loss"},
	{0x006, "internal error"},
	{0x007, "abort requested"},
	{0x008, "aborted: queue deleted"},
	{0x00b, "invalid namespace or format"},
	{0x00c, "command sequence error"},
	{0x00d, "invalid SGL segment descriptor"},
	{0x00e, "invalid number of SGL descriptors"},
	{0x00f, "data SGL length invalid"},
	{0x011, "SGL descriptor type invalid"},
	{0x013, "PRP offset invalid"},
	{0x080, "LBA out of range"},
	{0x081, "capacity exceeded"},
	{0x082, "namespace not ready"},
	{0x100, "completion queue invalid"},
	{0x101, "invalid queue identifier"},
	{0x102, "invalid queue size"},
	{0x108, "invalid interrupt vector"},
	{0x280, "write fault"},
	{0x281, "unrecovered read error"},
	{0x286, "access denied"},
	{0x287, "deallocated or unwritten block"},
};

const char *nvme_interrupts_name(enum nvme_interrupts interrupts)
{
	return nvme_interrupt_names[interrupts];
}

const char *nvme_status_name(uint16_t status)
{
	for (unsigned i = 0; i < ARRAY_SIZE(nvme_statuses); i++) {
		if (nvme_statuses[i].status == (status & 0x7ff))
			return nvme_statuses[i].name;
	}
	return "unknown status";
}

uint64_t nvme_ctrl_arena_bytes(uint32_t queues, uint32_t entries)
{
	uint64_t ring = ((uint64_t)entries * sizeof(struct nvme_command) + ARENA_PAGE) +
			((uint64_t)entries * sizeof(struct nvme_completion) + ARENA_PAGE);

	/* Admin queues, the page for data, two pages of shadow doorbells. */
	return 8 * ARENA_PAGE + queues * ring;
}

/* Waits until CSTS & @mask is @value. */
static int nvme_wait_status(struct nvme_ctrl *ctrl, uint32_t mask, uint32_t value, const char *what,
			    struct umdev_error *err)
{
	uint64_t deadline_ns = clock_now_ns() + ctrl->ready_timeout_ns;
	uint32_t csts;
	int r;

	for (;;) {
		r = client_read(ctrl->client, PROTO_REGION_BAR0, NVME_REG_CSTS, &csts, sizeof(csts),
				err);
		if (r < 0)
			return r;
		if (csts == UINT32_MAX || csts & NVME_CSTS_FATAL)
			return error_set(err, ERROR_DRIVER_FAILED,
					 "the controller failed while it should %s (CSTS 0x%x)",
					 what, csts);
		if ((csts & mask) == value)
			return 0;
		if (clock_now_ns() >= deadline_ns)
			return error_set(err, ERROR_TIMEOUT,
					 "the controller did not %s within %llu ms (CSTS 0x%x)",
					 what,
					 (unsigned long long)(ctrl->ready_timeout_ns / NS_PER_MS),
					 csts);
		poll(NULL, 0, 1);
	}
}

static int nvme_set_register(struct nvme_ctrl *ctrl, uint32_t reg, uint64_t value, uint32_t size,
			     struct umdev_error *err)
{
	return client_write(ctrl->client, PROTO_REGION_BAR0, reg, &value, size, err);
}

static int nvme_enable(struct nvme_ctrl *ctrl, struct umdev_error *err)
{
	uint64_t sq_iova;
	uint64_t cq_iova;
	void *sq = arena_alloc(ctrl->arena, NVME_ADMIN_ENTRIES * sizeof(struct nvme_command),
			       &sq_iova);
	void *cq = arena_alloc(ctrl->arena, NVME_ADMIN_ENTRIES * sizeof(struct nvme_completion),
			       &cq_iova);
	uint32_t cc;
	int r;

	if (!sq || !cq)
		return error_set(err, ERROR_INTERNAL, "the arena is too small");
	nvme_queue_setup(ctrl, &ctrl->admin, 0, sq, cq);
	ctrl->admin.sq_entries = NVME_ADMIN_ENTRIES;
	ctrl->admin.cq_entries = NVME_ADMIN_ENTRIES;
	r = client_read(ctrl->client, PROTO_REGION_BAR0, NVME_REG_CC, &cc, sizeof(cc), err);
	if (r == 0 && cc & NVME_CC_ENABLE)
		r = nvme_set_register(ctrl, NVME_REG_CC, cc & ~NVME_CC_ENABLE, 4, err);
	if (r == 0)
		r = nvme_wait_status(ctrl, NVME_CSTS_READY, 0, "stop", err);
	if (r == 0)
		r = nvme_set_register(ctrl, NVME_REG_AQA,
				      (NVME_ADMIN_ENTRIES - 1) << 16 | (NVME_ADMIN_ENTRIES - 1), 4,
				      err);
	if (r == 0)
		r = nvme_set_register(ctrl, NVME_REG_ASQ, sq_iova, 8, err);
	if (r == 0)
		r = nvme_set_register(ctrl, NVME_REG_ACQ, cq_iova, 8, err);
	if (r == 0)
		r = nvme_set_register(ctrl, NVME_REG_CC, NVME_CC_ENTRY_SIZES | NVME_CC_ENABLE, 4,
				      err);
	if (r == 0)
		r = nvme_wait_status(ctrl, NVME_CSTS_READY, NVME_CSTS_READY, "become ready", err);
	ctrl->enabled = r == 0;
	return r;
}

/* Waits a moment for an interrupt of the admin queue or a message. */
static void nvme_admin_wait(const struct nvme_ctrl *ctrl)
{
	struct timespec wait = {.tv_nsec = NVME_WAIT_NS};
	uint64_t drained;
	struct pollfd p[2] = {
		{.fd = ctrl->client->sock, .events = POLLIN},
		{.fd = ctrl->interrupts ? ctrl->eventfds[0] : -1, .events = POLLIN},
	};

	if (ppoll(p, 2, &wait, NULL) > 0 && p[1].revents & POLLIN &&
	    read(ctrl->eventfds[0], &drained, sizeof(drained)) < 0)
		return;
}

int nvme_admin(struct nvme_ctrl *ctrl, struct nvme_command *command, const char *what,
	       uint32_t *ret_result, struct umdev_error *err)
{
	uint64_t deadline_ns = clock_now_ns() + ctrl->client->timeout_ns;
	struct nvme_completion done;
	int r;

	command->cid = ctrl->next_cid++;
	*nvme_queue_slot(&ctrl->admin) = *command;
	nvme_queue_push(&ctrl->admin);
	r = nvme_queue_ring(&ctrl->admin);
	if (r < 0)
		return error_set(err, ERROR_UNREACHABLE, "%s: the server hung up: %s", what,
				 strerror(-r));
	while (!nvme_queue_pop(&ctrl->admin, &done)) {
		r = client_service(ctrl->client, err);
		if (r < 0)
			return r;
		if (clock_now_ns() >= deadline_ns)
			return error_set(err, ERROR_TIMEOUT, "%s: no completion within %llu s",
					 what,
					 (unsigned long long)(ctrl->client->timeout_ns / NS_PER_S));
		nvme_admin_wait(ctrl);
	}
	r = nvme_queue_ring(&ctrl->admin);
	if (r == 0 && ctrl->interrupts == NVME_INTERRUPTS_INTX)
		r = client_unmask_intx(ctrl->client);
	if (r < 0)
		return error_set(err, ERROR_UNREACHABLE, "%s: the server hung up: %s", what,
				 strerror(-r));
	if (done.cid != command->cid || done.sq_id != 0)
		return error_set(
			err, ERROR_DRIVER_FAILED,
			"%s: a completion for a command that was not sent (queue %u, id %u)", what,
			done.sq_id, done.cid);
	if (done.status >> 1)
		return error_set(err, ERROR_DRIVER_FAILED, "%s: status 0x%03x, %s", what,
				 (done.status >> 1) & 0x7ff, nvme_status_name(done.status >> 1));
	if (ret_result)
		*ret_result = done.result;
	return 0;
}

int nvme_ctrl_init(struct nvme_ctrl *ctrl, struct client *client, struct arena *arena,
		   const struct perf_options *options, struct umdev_error *err)
{
	uint32_t version;
	int r;

	memset(ctrl, 0, sizeof(*ctrl));
	for (unsigned i = 0; i < NVME_VECTORS_MAX; i++)
		ctrl->eventfds[i] = -1;
	ctrl->client = client;
	ctrl->arena = arena;
	ctrl->page = arena_alloc(arena, ARENA_PAGE, &ctrl->page_iova);
	if (!ctrl->page)
		return error_set(err, ERROR_INTERNAL, "the arena is too small");
	r = client_read(client, PROTO_REGION_BAR0, NVME_REG_CAP, &ctrl->cap, 8, err);
	if (r == 0)
		r = client_read(client, PROTO_REGION_BAR0, NVME_REG_VS, &version, 4, err);
	if (r < 0)
		return r;
	if (version < 0x10000 || version == UINT32_MAX || !(ctrl->cap >> 37 & 1) ||
	    (ctrl->cap >> 48 & 0xf) != 0)
		return error_set(err, ERROR_INVALID,
				 "this is no NVMe controller with pages of 4096 bytes "
				 "(CAP 0x%llx, VS 0x%x)",
				 (unsigned long long)ctrl->cap, version);
	ctrl->stride = 4u << (ctrl->cap >> 32 & 0xf);
	ctrl->ready_timeout_ns = MAX(ctrl->cap >> 24 & 0xff, 2ULL) * 500 * NS_PER_MS;
	r = nvme_map_doorbells(ctrl, options->doorbells, err);
	if (r == 0)
		r = nvme_setup_interrupts(ctrl, options->poll, options->queues, err);
	if (r == 0)
		r = nvme_enable(ctrl, err);
	if (r == 0)
		r = nvme_identify(ctrl, options->nsid, err);
	if (r == 0)
		r = nvme_choose_doorbells(ctrl, options->doorbells, err);
	return r;
}

static int nvme_create_pair(struct nvme_ctrl *ctrl, uint16_t id, uint32_t entries,
			    struct umdev_error *err)
{
	struct nvme_queue *q = &ctrl->queues[id - 1];
	struct nvme_command command = {.opcode = NVME_ADMIN_CREATE_CQ};
	uint64_t sq_iova;
	uint64_t cq_iova;
	void *sq = arena_alloc(ctrl->arena, entries * sizeof(struct nvme_command), &sq_iova);
	void *cq = arena_alloc(ctrl->arena, entries * sizeof(struct nvme_completion), &cq_iova);
	int r;

	if (!sq || !cq)
		return error_set(err, ERROR_INTERNAL, "the arena is too small");
	nvme_queue_setup(ctrl, q, id, sq, cq);
	q->sq_entries = entries;
	q->cq_entries = entries;
	q->vector = ctrl->vectors > 1 ? 1 + (id - 1u) % (ctrl->vectors - 1) : 0;
	command.data[0] = cq_iova;
	command.cdw10 = (entries - 1) << 16 | id;
	command.cdw11 = 1 | (ctrl->interrupts ? 2 | q->vector << 16 : 0);
	r = nvme_admin(ctrl, &command, "Create I/O Completion Queue", NULL, err);
	if (r < 0)
		return r;
	ctrl->cq_count++;
	command = (struct nvme_command){.opcode = NVME_ADMIN_CREATE_SQ};
	command.data[0] = sq_iova;
	command.cdw10 = (entries - 1) << 16 | id;
	command.cdw11 = 1 | (uint32_t)id << 16;
	r = nvme_admin(ctrl, &command, "Create I/O Submission Queue", NULL, err);
	if (r == 0)
		ctrl->queue_count++;
	return r;
}

int nvme_ctrl_create_queues(struct nvme_ctrl *ctrl, const struct perf_options *options,
			    struct umdev_error *err)
{
	uint32_t count = options->queues;
	uint32_t entries = options->entries;
	struct nvme_command command = {
		.opcode = NVME_ADMIN_SET_FEATURES,
		.cdw10 = NVME_FEATURE_QUEUES,
		.cdw11 = (count - 1) << 16 | (count - 1),
	};
	uint32_t granted;
	uint32_t entries_max = (uint32_t)(ctrl->cap & 0xffff) + 1;
	int r = nvme_admin(ctrl, &command, "Set Features, number of queues", &granted, err);

	if (r < 0)
		return r;
	granted = MIN(granted & 0xffff, granted >> 16) + 1;
	if (granted < count)
		return error_set_key(err, ERROR_LIMIT, "queues",
				     "--queues %u: the controller grants %u", count, granted);
	if (options->depth + 1 > entries_max || entries > entries_max)
		return error_set_key(err, ERROR_LIMIT, "depth",
				     "--depth %u: the controller's queues hold %u commands",
				     options->depth, entries_max - 1);
	if (!entries)
		entries = MIN(entries_max, OPTIONS_ENTRIES);
	for (uint32_t i = 0; i < count && r == 0; i++)
		r = nvme_create_pair(ctrl, (uint16_t)(i + 1), entries, err);
	return r;
}

static int nvme_delete_queue(struct nvme_ctrl *ctrl, uint8_t opcode, uint32_t id,
			     struct umdev_error *err)
{
	struct nvme_command command = {.opcode = opcode, .cdw10 = id};

	return nvme_admin(ctrl, &command,
			  opcode == NVME_ADMIN_DELETE_SQ ? "Delete I/O Submission Queue"
							 : "Delete I/O Completion Queue",
			  NULL, err);
}

int nvme_ctrl_shutdown(struct nvme_ctrl *ctrl, struct umdev_error *err)
{
	int r = 0;

	if (!ctrl->enabled)
		return 0;
	for (; ctrl->queue_count > 0 && r == 0; ctrl->queue_count -= r == 0)
		r = nvme_delete_queue(ctrl, NVME_ADMIN_DELETE_SQ, ctrl->queue_count, err);
	for (; ctrl->cq_count > 0 && r == 0; ctrl->cq_count -= r == 0)
		r = nvme_delete_queue(ctrl, NVME_ADMIN_DELETE_CQ, ctrl->cq_count, err);
	if (r == 0)
		r = nvme_set_register(ctrl, NVME_REG_CC,
				      NVME_CC_ENTRY_SIZES | NVME_CC_ENABLE | NVME_CC_SHUTDOWN, 4,
				      err);
	if (r == 0)
		r = nvme_wait_status(ctrl, NVME_CSTS_SHUTDOWN_MASK, NVME_CSTS_SHUTDOWN_DONE,
				     "shut down", err);
	if (r == 0)
		r = nvme_set_register(ctrl, NVME_REG_CC, NVME_CC_ENTRY_SIZES, 4, err);
	ctrl->enabled = false;
	return r;
}

void nvme_ctrl_done(struct nvme_ctrl *ctrl)
{
	if (ctrl->bar_map)
		munmap(ctrl->bar_map, ctrl->bar_map_size);
	ctrl->bar_map = NULL;
	fd_close_all(ctrl->eventfds, NVME_VECTORS_MAX);
}
