/* SPDX-License-Identifier: BSD-3-Clause */
/* Which command comes next, how it is written down, and what its completion means. See load.h. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "load-internal.h"
#include "prp.h"
#include "random.h"

#define LOAD_TRIES	    16u
#define LOAD_COMPLAINTS_MAX 16u
#define LOAD_RANGES_MAX	    4u

/* Out of 100 commands of --mixed; the rest reads and writes. */
#define LOAD_MIXED_ZEROES     8u
#define LOAD_MIXED_DEALLOCATE 8u
#define LOAD_MIXED_FLUSH      4u

static const char *const load_op_names[] = {
	[LOAD_READ] = "read",		[LOAD_WRITE] = "write",
	[LOAD_ZEROES] = "write zeroes", [LOAD_DEALLOCATE] = "deallocate",
	[LOAD_FLUSH] = "flush",
};
static_assert(ARRAY_SIZE(load_op_names) == LOAD_OP_COUNT, "every operation has a name");

const char *load_op_name(enum load_op op)
{
	return load_op_names[op];
}

static enum load_op load_pick_op(struct load *l)
{
	uint32_t dice;

	if (l->options->mixed) {
		dice = (uint32_t)random_below(&l->rng, 100);
		if (dice < LOAD_MIXED_ZEROES)
			return l->ctrl->id.oncs & NVME_ONCS_WRITE_ZEROES ? LOAD_ZEROES : LOAD_WRITE;
		dice -= LOAD_MIXED_ZEROES;
		if (dice < LOAD_MIXED_DEALLOCATE)
			return l->ctrl->id.oncs & NVME_ONCS_DATASET ? LOAD_DEALLOCATE : LOAD_WRITE;
		if (dice < LOAD_MIXED_DEALLOCATE + LOAD_MIXED_FLUSH)
			return LOAD_FLUSH;
	}
	if (l->options->read_percent == 100)
		return LOAD_READ;
	if (l->options->read_percent == 0)
		return LOAD_WRITE;
	return random_below(&l->rng, 100) < l->options->read_percent ? LOAD_READ : LOAD_WRITE;
}

/* Where the next command of @count blocks goes. Sequential ones move on by load_advance(). */
static uint64_t load_pick_block(struct load *l, uint32_t count)
{
	if (!l->random) {
		if (l->cursor + count > l->blocks)
			l->cursor = 0;
		return l->cursor;
	}
	if (l->options->mixed)
		return random_below(&l->rng, l->blocks - count + 1);
	return random_below(&l->rng, l->blocks / count) * count;
}

/* A read of what is not known would check nothing, so it becomes a write where writing is allowed.
 */
static bool load_lock(struct load *l, struct load_slot *slot)
{
	if (!l->model)
		return true;
	if (slot->op == LOAD_READ && l->may_write &&
	    !verify_known(l->model, slot->block, slot->count))
		slot->op = LOAD_WRITE;
	return verify_lock(l->model, slot->block, slot->count, load_op_changes(slot->op));
}

/* The next piece of the final sweep. */
static bool load_pick_sweep(struct load *l, struct load_slot *slot)
{
	uint64_t block = verify_next_known(l->model, l->cursor);

	if (block >= l->blocks) {
		l->stopping = true;
		return false;
	}
	slot->op = LOAD_READ;
	slot->block = block;
	slot->count = (uint32_t)MIN((uint64_t)l->command_blocks, l->blocks - block);
	slot->shift = 0;
	l->cursor = block + slot->count;
	return verify_lock(l->model, slot->block, slot->count, false);
}

/* Decides on the next command. False: none can be started now. */
static bool load_pick(struct load *l, struct load_slot *slot)
{
	enum load_op op;

	if (l->sweeping)
		return load_pick_sweep(l, slot);
	op = load_pick_op(l);
	slot->shift = 0;
	slot->block = 0;
	slot->count = 0;
	slot->op = op;
	if (op == LOAD_FLUSH)
		return true;
	slot->count = l->command_blocks;
	if (l->options->mixed) {
		if (random_next(&l->rng) & 1)
			slot->count = 1 + (uint32_t)random_below(&l->rng, l->command_blocks);
		slot->shift = (uint32_t)random_below(&l->rng, ARENA_PAGE / 4) * 4;
	}
	for (unsigned i = 0; i < LOAD_TRIES; i++) {
		slot->op = op;
		slot->block = load_pick_block(l, slot->count);
		if (load_lock(l, slot)) {
			l->cursor = slot->block + slot->count;
			return true;
		}
		if (!l->random)
			break;
	}
	return false;
}

/* Says where the data is, or what the ranges to deallocate are. */
static void load_describe_data(struct load *l, struct load_slot *slot, uint32_t bytes,
			       struct nvme_command *command)
{
	uint64_t iova = slot->buffer_iova + slot->shift;

	if (l->options->sgl && slot->op != LOAD_DEALLOCATE) {
		command->flags = NVME_COMMAND_SGL;
		command->data[0] = iova;
		command->data[1] = bytes;
		return;
	}
	if (slot->shift == 0 && bytes == l->options->block_bytes) {
		command->data[0] = slot->prp[0];
		command->data[1] = slot->prp[1];
		return;
	}
	/* One page of entries holds any transfer that options allow. */
	(void)prp_build(iova, bytes, slot->list, slot->list_iova, command->data);
}

/* Splits the blocks of @slot into one to four ranges, as a guest's discard would have them. */
static void load_describe_ranges(struct load *l, struct load_slot *slot,
				 struct nvme_command *command)
{
	struct nvme_dataset_range range = {0};
	uint32_t ranges = 1 + (uint32_t)random_below(&l->rng, MIN(slot->count, LOAD_RANGES_MAX));
	uint32_t done = 0;

	for (uint32_t i = 0; i < ranges; i++) {
		range.lba = l->first_lba + slot->block + done;
		range.blocks = i + 1 == ranges ? slot->count - done : slot->count / ranges;
		memcpy(slot->buffer + slot->shift + i * sizeof(range), &range, sizeof(range));
		done += range.blocks;
	}
	command->cdw10 = ranges - 1;
	command->cdw11 = NVME_DATASET_DEALLOCATE;
	load_describe_data(l, slot, ranges * (uint32_t)sizeof(range), command);
}

static void load_write_command(struct load *l, struct load_queue *lq, uint16_t cid)
{
	static const uint8_t opcodes[LOAD_OP_COUNT] = {
		[LOAD_READ] = NVME_IO_READ,	      [LOAD_WRITE] = NVME_IO_WRITE,
		[LOAD_ZEROES] = NVME_IO_WRITE_ZEROES, [LOAD_DEALLOCATE] = NVME_IO_DATASET,
		[LOAD_FLUSH] = NVME_IO_FLUSH,
	};
	struct load_slot *slot = &lq->slots[cid];
	uint64_t lba = l->first_lba + slot->block;
	struct nvme_command command = {
		.opcode = opcodes[slot->op], .cid = cid, .nsid = l->options->nsid};

	if (slot->op == LOAD_READ || slot->op == LOAD_WRITE || slot->op == LOAD_ZEROES) {
		command.cdw10 = (uint32_t)lba;
		command.cdw11 = (uint32_t)(lba >> 32);
		command.cdw12 = slot->count - 1;
		if (slot->op != LOAD_ZEROES)
			load_describe_data(l, slot, slot->count * l->block_bytes, &command);
		if (l->options->mixed && slot->op == LOAD_WRITE && random_next(&l->rng) % 16 == 0)
			command.cdw12 |= NVME_FORCE_UNIT_ACCESS;
	} else if (slot->op == LOAD_DEALLOCATE) {
		load_describe_ranges(l, slot, &command);
	}
	*nvme_queue_slot(lq->q) = command;
	nvme_queue_push(lq->q);
}

struct load_slot *load_start(struct load *l, struct load_queue *lq, uint64_t now_ns)
{
	uint16_t cid = lq->free[lq->free_count - 1];
	struct load_slot *slot = &lq->slots[cid];

	if (!load_pick(l, slot))
		return NULL;
	if (l->model && slot->op == LOAD_WRITE)
		slot->generation =
			verify_fill(l->model, slot->block, slot->count, slot->buffer + slot->shift);
	load_write_command(l, lq, cid);
	slot->start_ns = now_ns;
	slot->busy = true;
	lq->free_count--;
	l->issued++;
	/* A time without commands is no stall. */
	if (l->in_flight++ == 0)
		l->progress_ns = now_ns;
	return slot;
}

void load_fill(struct load *l, struct load_queue *lq, uint64_t now_ns)
{
	lq->starved = !l->open;
	while (l->open && lq->free_count > 0 && !l->stopping && l->issued < l->limit) {
		if (!load_start(l, lq, now_ns)) {
			lq->starved = true;
			return;
		}
	}
}

static bool load_may_complain(struct load *l)
{
	if (l->complaints == LOAD_COMPLAINTS_MAX)
		fputs("umdev-perf: more of the same is counted only\n", stderr);
	return l->complaints++ < LOAD_COMPLAINTS_MAX;
}

static void load_failed(struct load *l, const struct load_queue *lq, const struct load_slot *slot,
			uint16_t status)
{
	l->result->errors++;
	if (load_may_complain(l))
		fprintf(stderr,
			"umdev-perf: %s failed: queue %u, id %u, LBA %llu, %u blocks: "
			"status 0x%03x, %s\n",
			load_op_name(slot->op), lq->q->id, (unsigned)(slot - lq->slots),
			(unsigned long long)(l->first_lba + slot->block), slot->count,
			status & 0x7ff, nvme_status_name(status));
}

static void load_check_read(struct load *l, struct load_slot *slot)
{
	struct verify_mismatch mismatch;
	char text[256];
	uint32_t bad = verify_check(l->model, slot->block, slot->count, slot->buffer + slot->shift,
				    &l->result->verified_blocks, &mismatch);

	if (bad == 0)
		return;
	l->result->mismatches += bad;
	if (!load_may_complain(l))
		return;
	verify_describe(&mismatch, text, sizeof(text));
	fprintf(stderr, "umdev-perf: mismatch: %s (%u of %u blocks read from LBA %llu)\n", text,
		bad, slot->count, (unsigned long long)(l->first_lba + slot->block));
}

void load_settle(struct load *l, const struct load_queue *lq, struct load_slot *slot,
		 uint16_t status)
{
	bool changes = load_op_changes(slot->op);

	if (status)
		load_failed(l, lq, slot, status);
	if (!l->model || slot->op == LOAD_FLUSH)
		return;
	if (status && changes)
		verify_forget(l->model, slot->block, slot->count);
	else if (slot->op == LOAD_WRITE)
		verify_wrote(l->model, slot->block, slot->count, slot->generation);
	else if (slot->op == LOAD_ZEROES)
		verify_zeroed(l->model, slot->block, slot->count);
	else if (slot->op == LOAD_DEALLOCATE && l->ctrl->id.zero_after_deallocate)
		verify_deallocated(l->model, slot->block, slot->count);
	else if (slot->op == LOAD_DEALLOCATE)
		verify_forget(l->model, slot->block, slot->count);
	else if (!status)
		load_check_read(l, slot);
	verify_unlock(l->model, slot->block, slot->count, changes);
}
