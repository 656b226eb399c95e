/* SPDX-License-Identifier: BSD-3-Clause */
/* The part of NVM Express 1.4 that a host needs here. Little endian, as this machine must be. */
#pragma once

#include <assert.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "NVMe structures are little endian");

/* Registers in BAR 0. */
#define NVME_REG_CAP		0x00u
#define NVME_REG_VS		0x08u
#define NVME_REG_CC		0x14u
#define NVME_REG_CSTS		0x1cu
#define NVME_REG_AQA		0x24u
#define NVME_REG_ASQ		0x28u
#define NVME_REG_ACQ		0x30u
#define NVME_REG_DOORBELLS	0x1000u

#define NVME_CC_ENABLE		1u
#define NVME_CC_SHUTDOWN	(1u << 14)
#define NVME_CC_SHUTDOWN_MASK	(3u << 14)
#define NVME_CC_ENTRY_SIZES	((6u << 16) | (4u << 20)) /* 64 and 16 bytes */
#define NVME_CSTS_READY		1u
#define NVME_CSTS_FATAL		2u
#define NVME_CSTS_SHUTDOWN_MASK (3u << 2)
#define NVME_CSTS_SHUTDOWN_DONE (2u << 2)

enum nvme_admin_opcode {
	NVME_ADMIN_DELETE_SQ = 0x00,
	NVME_ADMIN_CREATE_SQ = 0x01,
	NVME_ADMIN_DELETE_CQ = 0x04,
	NVME_ADMIN_CREATE_CQ = 0x05,
	NVME_ADMIN_IDENTIFY = 0x06,
	NVME_ADMIN_SET_FEATURES = 0x09,
	NVME_ADMIN_DOORBELL_BUFFER = 0x7c,
};

enum nvme_io_opcode {
	NVME_IO_FLUSH = 0x00,
	NVME_IO_WRITE = 0x01,
	NVME_IO_READ = 0x02,
	NVME_IO_WRITE_ZEROES = 0x08,
	NVME_IO_DATASET = 0x09,
};

#define NVME_FEATURE_QUEUES	7u
#define NVME_OACS_DOORBELLS	(1u << 8)
#define NVME_ONCS_DATASET	(1u << 2)
#define NVME_ONCS_WRITE_ZEROES	(1u << 3)
#define NVME_DATASET_DEALLOCATE (1u << 2)
#define NVME_FORCE_UNIT_ACCESS	(1u << 30)
#define NVME_COMMAND_SGL	0x40u /* data described by an SGL segment in the command */

struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2;
	uint32_t cdw3;
	uint64_t metadata;
	uint64_t data[2]; /* PRP entry 1 and 2, or one SGL descriptor */
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
};
static_assert(sizeof(struct nvme_command) == 64, "NVMe layout");

struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status; /* bit 0: phase */
};
static_assert(sizeof(struct nvme_completion) == 16, "NVMe layout");

struct nvme_dataset_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t lba;
};
static_assert(sizeof(struct nvme_dataset_range) == 16, "NVMe layout");
