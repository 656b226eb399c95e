/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Controller registers (NVM Express 1.4c, section 3.1) and what a change of CC sets off.
 *
 *   CC.EN 0 -> 1   checks the configuration: ready, or controller fatal status
 *   CC.EN 1 -> 0   drains (reset.c); CSTS.RDY falls when nothing is in flight any more
 *   CC.SHN         flushes, then CSTS.SHST says complete
 */
#include <errno.h>
#include <string.h>

#include "core.h"

static uint64_t regs_cap(void)
{
	return NVME_CAP_MQES(NVME_ENTRIES_MAX - 1) | NVME_CAP_CQR | NVME_CAP_TO(40) |
	       NVME_CAP_CSS_NVM | NVME_CAP_MPSMAX(NVME_MPSMAX);
}

static uint32_t regs_read32(const struct nvme_state *st, uint64_t offset)
{
	switch (offset) {
	case NVME_REG_CAP:
		return (uint32_t)regs_cap();
	case NVME_REG_CAP + 4:
		return (uint32_t)(regs_cap() >> 32);
	case NVME_REG_VS:
		return NVME_VERSION;
	case NVME_REG_INTMS:
	case NVME_REG_INTMC:
		return st->intms;
	case NVME_REG_CC:
		return st->cc;
	case NVME_REG_CSTS:
		return st->csts;
	case NVME_REG_AQA:
		return st->aqa;
	case NVME_REG_ASQ:
		return (uint32_t)st->asq;
	case NVME_REG_ASQ + 4:
		return (uint32_t)(st->asq >> 32);
	case NVME_REG_ACQ:
		return (uint32_t)st->acq;
	case NVME_REG_ACQ + 4:
		return (uint32_t)(st->acq >> 32);
	default:
		return 0;
	}
}

int nvme_region_read(void *mdev_priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	const struct nvme_ctrl *ctrl = mdev_priv;
	uint32_t words[2] = {0, 0};

	if (len > sizeof(words))
		return -EINVAL;
	if (bar == 0) {
		words[0] = regs_read32(ctrl->state, offset & ~3ull);
		if (len == 8)
			words[1] = regs_read32(ctrl->state, offset + 4);
	}
	memcpy(buf, (const uint8_t *)words + (offset & 3u), len);
	return 0;
}

/* Whether the guest configured what we can do. */
static bool regs_config_good(const struct nvme_state *st)
{
	uint32_t mps = NVME_CC_MPS(st->cc);
	uint64_t mask = ((uint64_t)NVME_PAGE_BYTES << mps) - 1;
	uint32_t sq_entries = (st->aqa & 0xfffu) + 1;
	uint32_t cq_entries = (st->aqa >> 16 & 0xfffu) + 1;

	return mps <= NVME_MPSMAX && NVME_CC_CSS(st->cc) == 0 && NVME_CC_AMS(st->cc) == 0 &&
	       (NVME_CC_IOSQES(st->cc) == 0 || NVME_CC_IOSQES(st->cc) == 6) &&
	       (NVME_CC_IOCQES(st->cc) == 0 || NVME_CC_IOCQES(st->cc) == 4) && sq_entries >= 2 &&
	       cq_entries >= 2 && (st->asq & mask) == 0 && (st->acq & mask) == 0;
}

static void regs_enable(struct nvme_ctrl *ctrl)
{
	struct nvme_state *st = ctrl->state;

	if (!regs_config_good(st)) {
		nvme_fatal(ctrl, "CC, AQA, ASQ or ACQ hold what this controller cannot do");
		return;
	}
	ctrl->page_shift = 12 + NVME_CC_MPS(st->cc);
	st->sq[0] = (struct nvme_state_sq){.base = st->asq, .size = (st->aqa & 0xfffu) + 1};
	st->cq[0] = (struct nvme_state_cq){
		.base = st->acq, .size = (st->aqa >> 16 & 0xfffu) + 1, .irq = 1};
	ctrl->sq[0].head = 0;
	ctrl->cq[0].tail = 0;
	ctrl->cq[0].phase = 1;
	ctrl->cq[0].users = 1;
	st->csts = NVME_CSTS_RDY;
	ctrl->running = true;
	ctrl->last_work_ns = 0;
	nvme_doorbell_clear(ctrl, 0, false);
	nvme_doorbell_clear(ctrl, 0, true);
}

static void regs_shutdown(struct nvme_ctrl *ctrl)
{
	struct nvme_state *st = ctrl->state;

	if ((st->csts & NVME_CSTS_SHST_MASK) != 0)
		return;
	st->csts |= NVME_CSTS_SHST_BUSY;
	nvme_flush_begin(ctrl);
}

void nvme_shutdown_flushed(struct nvme_ctrl *ctrl)
{
	uint32_t csts = ctrl->state->csts & ~NVME_CSTS_SHST_MASK;

	if ((ctrl->state->csts & NVME_CSTS_SHST_MASK) == NVME_CSTS_SHST_BUSY)
		ctrl->state->csts = csts | NVME_CSTS_SHST_DONE;
}

void nvme_cc_changed(struct nvme_ctrl *ctrl, uint32_t old)
{
	uint32_t cc = ctrl->state->cc;

	if (!(cc & NVME_CC_EN) && (old & NVME_CC_EN)) {
		nvme_drain(ctrl);
		return;
	}
	/* While a drain is on, its end looks at CC again. */
	if (ctrl->draining)
		return;
	if ((cc & NVME_CC_EN) && !(old & NVME_CC_EN))
		regs_enable(ctrl);
	if (NVME_CC_SHN(cc) != 0 && NVME_CC_SHN(old) == 0)
		regs_shutdown(ctrl);
	else if (NVME_CC_SHN(cc) == 0 && !(cc & NVME_CC_EN))
		ctrl->state->csts &= ~NVME_CSTS_SHST_MASK;
}

static void regs_write32(struct nvme_ctrl *ctrl, uint64_t offset, uint32_t value)
{
	struct nvme_state *st = ctrl->state;
	uint32_t old = st->cc;
	/* Not while a drain is on: the guest may prepare the next life once CSTS.RDY is 0, and the
	 * queues of the last one have their addresses in their own states. */
	bool frozen = st->cc & NVME_CC_EN;

	switch (offset) {
	case NVME_REG_INTMS:
		st->intms |= value;
		nvme_irq_update(ctrl);
		break;
	case NVME_REG_INTMC:
		st->intms &= ~value;
		nvme_irq_update(ctrl);
		break;
	case NVME_REG_CC:
		/* The configuration is fixed while enabled. */
		if (old & value & NVME_CC_EN)
			st->cc = (old & ~NVME_CC_SHN_MASK & ~0xff0000u) |
				 (value & (NVME_CC_SHN_MASK | 0xff0000u));
		else
			st->cc = value & NVME_CC_WRITABLE;
		nvme_cc_changed(ctrl, old);
		nvme_turn(ctrl);
		break;
	case NVME_REG_AQA:
		st->aqa = frozen ? st->aqa : value & 0x0fff0fffu;
		break;
	case NVME_REG_ASQ:
		st->asq = frozen ? st->asq : (st->asq & ~0xffffffffull) | (value & 0xfffff000u);
		break;
	case NVME_REG_ASQ + 4:
		st->asq = frozen ? st->asq : (st->asq & 0xffffffffull) | (uint64_t)value << 32;
		break;
	case NVME_REG_ACQ:
		st->acq = frozen ? st->acq : (st->acq & ~0xffffffffull) | (value & 0xfffff000u);
		break;
	case NVME_REG_ACQ + 4:
		st->acq = frozen ? st->acq : (st->acq & 0xffffffffull) | (uint64_t)value << 32;
		break;
	default:
		break;
	}
}

int nvme_region_write(void *mdev_priv, uint32_t bar, uint64_t offset, const void *buf, uint32_t len)
{
	struct nvme_ctrl *ctrl = mdev_priv;
	uint32_t words[2];

	nvme_state_go(ctrl, false);
	/* Registers are of 4 and 8 bytes; narrower writes have no effect (3.1). */
	if (bar != 0 || (len != 4 && len != 8))
		return 0;
	memcpy(words, buf, len);
	for (uint32_t i = 0; i < len / 4; i++, offset += 4) {
		if (offset >= NVME_DOORBELLS)
			nvme_doorbell_write(ctrl, offset, words[i]);
		else
			regs_write32(ctrl, offset, words[i]);
	}
	return 0;
}
