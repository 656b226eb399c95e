/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Identify (NVM Express 1.4c, 5.15). Names derive from the UUID of the mdev, so that they are the
 * same wherever and whenever it starts.
 */
#include <stdio.h>
#include <string.h>

#include "core.h"

#ifndef UMDEV_VERSION
#error "the build says which version this is"
#endif

#define WARNING_KELVIN	343u
#define CRITICAL_KELVIN 353u

/* A locally administered range: no vendor's. */
static const uint8_t identify_oui[3] = {0x52, 0x54, 0x00};

void nvme_text(char *to, size_t size, const char *text)
{
	size_t len = strnlen(text, size);

	memset(to, ' ', size);
	memcpy(to, text, len);
}

/* 40 bits of FNV-1a of the UUID behind the OUI. */
static void identify_eui64(const struct nvme_ctrl *ctrl, uint8_t ret_eui[8])
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (uint32_t i = 0; i < sizeof(ctrl->uuid); i++)
		hash = (hash ^ ctrl->uuid[i]) * 0x100000001b3ull;
	memcpy(ret_eui, identify_oui, sizeof(identify_oui));
	for (uint32_t i = 3; i < 8; i++)
		ret_eui[i] = (uint8_t)(hash >> (8 * (i - 3)));
}

/* The UUID with the OUI where the format of EUI-64 wants one. */
static void identify_nguid(const struct nvme_ctrl *ctrl, uint8_t ret_nguid[16])
{
	memcpy(ret_nguid, ctrl->uuid, 16);
	memcpy(ret_nguid + 8, identify_oui, sizeof(identify_oui));
}

static void identify_controller(const struct nvme_ctrl *ctrl, struct nvme_id_ctrl *id)
{
	id->vid = 0x4e58;
	id->ssvid = 0x4e58;
	nvme_text(id->sn, sizeof(id->sn), ctrl->serial);
	nvme_text(id->mn, sizeof(id->mn), ctrl->model);
	nvme_text(id->fr, sizeof(id->fr), UMDEV_VERSION);
	id->rab = 4;
	for (uint32_t i = 0; i < 3; i++)
		id->ieee[i] = identify_oui[2 - i];
	id->mdts = NVME_MDTS;
	id->ver = NVME_VERSION;
	id->cntrltype = 1;		       /* I/O controller */
	id->oacs = ctrl->shared ? 0 : 1u << 8; /* Doorbell Buffer Config */
	id->acl = 3;
	id->aerl = NVME_EVENTS_MAX - 1;
	id->frmw = 0x03; /* one slot, read-only */
	id->lpa = 0x07;	 /* SMART per namespace, effects, offsets */
	id->elpe = NVME_ERRORS - 1;
	id->wctemp = WARNING_KELVIN;
	id->cctemp = CRITICAL_KELVIN;
	id->sqes = 0x66;
	id->cqes = 0x44;
	id->nn = 1;
	id->oncs = 1u << 2 | 1u << 3 | 1u << 4; /* dataset, write zeroes, save and select */
	id->vwc = 0x07;				/* present; flush of all namespaces */
	id->sgls = 1;				/* supported, no alignment needed */
	snprintf(id->subnqn, sizeof(id->subnqn), "nqn.2014-08.org.nvmexpress:uuid:%s",
		 ctrl->uuid_text);
}

static void identify_namespace(const struct nvme_ctrl *ctrl, struct nvme_id_ns *id)
{
	uint16_t page_blocks = (uint16_t)(NVME_PAGE_BYTES >> ctrl->block_shift);

	id->nsze = ctrl->blocks;
	id->ncap = ctrl->blocks;
	id->nuse = ctrl->blocks;
	id->nsfeat = 1u << 4; /* the preferred sizes below are valid */
	id->dlfeat = 0x09;    /* deallocated blocks read as zeros, also by Write Zeroes */
	id->npwg = (uint16_t)(page_blocks - 1);
	id->npwa = (uint16_t)(page_blocks - 1);
	id->npdg = (uint16_t)(page_blocks - 1);
	id->npda = (uint16_t)(page_blocks - 1);
	id->nows = (uint16_t)(page_blocks - 1);
	identify_nguid(ctrl, id->nguid);
	identify_eui64(ctrl, id->eui64);
	id->lbaf[0].lbads = (uint8_t)ctrl->block_shift;
}

static uint8_t *identify_descriptor(uint8_t *at, uint8_t type, uint8_t length)
{
	at[0] = type;
	at[1] = length;
	return at + 4;
}

static void identify_descriptors(const struct nvme_ctrl *ctrl, uint8_t *at)
{
	at = identify_descriptor(at, NVME_NIDT_EUI64, 8);
	identify_eui64(ctrl, at);
	at = identify_descriptor(at + 8, NVME_NIDT_NGUID, 16);
	identify_nguid(ctrl, at);
	at = identify_descriptor(at + 16, NVME_NIDT_UUID, 16);
	memcpy(at, ctrl->uuid, 16);
}

static void identify_fill(struct nvme_request *req)
{
	const struct nvme_sqe *sqe = &req->cmd->sqe;
	uint32_t first = 1;

	memset(req->buffer, 0, NVME_PAGE_BYTES);
	switch (sqe->cdw10 & 0xffu) {
	case NVME_CNS_NAMESPACE:
		identify_namespace(req->ctrl, (struct nvme_id_ns *)(void *)req->buffer);
		break;
	case NVME_CNS_CONTROLLER:
		identify_controller(req->ctrl, (struct nvme_id_ctrl *)(void *)req->buffer);
		break;
	case NVME_CNS_ACTIVE_LIST:
		if (sqe->nsid < first)
			memcpy(req->buffer, &first, sizeof(first));
		break;
	default:
		identify_descriptors(req->ctrl, req->buffer);
		break;
	}
	nvme_admin_reply(req, NVME_PAGE_BYTES);
}

void nvme_identify(struct nvme_request *req)
{
	const struct nvme_sqe *sqe = &req->cmd->sqe;

	req->location = 4;
	switch (sqe->cdw10 & 0xffu) {
	case NVME_CNS_NAMESPACE:
	case NVME_CNS_DESCRIPTORS:
		if (sqe->nsid != 1) {
			nvme_finish(req, NVME_BAD_NAMESPACE);
			return;
		}
		break;
	case NVME_CNS_CONTROLLER:
		break;
	case NVME_CNS_ACTIVE_LIST:
		if (sqe->nsid >= 0xfffffffeu) {
			nvme_finish(req, NVME_BAD_NAMESPACE);
			return;
		}
		break;
	default:
		req->location = 40;
		nvme_finish(req, NVME_BAD_FIELD);
		return;
	}
	nvme_admin_send(req, NVME_PAGE_BYTES, identify_fill);
}
