/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What NVM Express Base Specification 1.4 defines and this driver uses: registers, commands, status
 * codes. Section numbers are those of revision 1.4c. Everything is little-endian, as is every
 * machine this is built for. The data structures that commands return are in identify.h.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "NVMe structures are used in place");

/* ---- 3.1 Controller registers ---- */
#define NVME_REG_CAP	    0x00u
#define NVME_REG_VS	    0x08u
#define NVME_REG_INTMS	    0x0cu
#define NVME_REG_INTMC	    0x10u
#define NVME_REG_CC	    0x14u
#define NVME_REG_CSTS	    0x1cu
#define NVME_REG_AQA	    0x24u
#define NVME_REG_ASQ	    0x28u
#define NVME_REG_ACQ	    0x30u
#define NVME_DOORBELLS	    0x1000u
#define NVME_VERSION	    0x00010400u

#define NVME_CAP_MQES(n)    ((uint64_t)(n))	  /* 0-based */
#define NVME_CAP_CQR	    (1ull << 16)	  /* queues are contiguous */
#define NVME_CAP_TO(n)	    ((uint64_t)(n) << 24) /* of 500 ms */
#define NVME_CAP_CSS_NVM    (1ull << 37)
#define NVME_CAP_MPSMAX(n)  ((uint64_t)(n) << 52)

#define NVME_CC_EN	    1u
#define NVME_CC_CSS(cc)	    (((cc) >> 4) & 7u)
#define NVME_CC_MPS(cc)	    (((cc) >> 7) & 15u)
#define NVME_CC_AMS(cc)	    (((cc) >> 11) & 7u)
#define NVME_CC_SHN(cc)	    (((cc) >> 14) & 3u)
#define NVME_CC_IOSQES(cc)  (((cc) >> 16) & 15u)
#define NVME_CC_IOCQES(cc)  (((cc) >> 20) & 15u)
#define NVME_CC_WRITABLE    0x00fffff1u
#define NVME_CC_SHN_MASK    0x0000c000u

#define NVME_CSTS_RDY	    1u
#define NVME_CSTS_CFS	    2u
#define NVME_CSTS_SHST_MASK 0xcu
#define NVME_CSTS_SHST_BUSY 0x4u
#define NVME_CSTS_SHST_DONE 0x8u

/* ---- 4.2, 4.6 Queue entries ---- */
struct nvme_sqe {
	uint8_t opcode;
	uint8_t flags; /* FUSE 1:0, PSDT 7:6 */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2;
	uint32_t cdw3;
	uint64_t metadata;
	uint64_t prp1; /* or the first half of SGL1 */
	uint64_t prp2;
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
};
static_assert(sizeof(struct nvme_sqe) == 64, "4.2");

#define NVME_FUSE(flags) ((flags)&3u)
#define NVME_PSDT(flags) ((flags) >> 6)

struct nvme_cqe {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sqid;
	uint16_t cid;
	uint16_t status; /* status field << 1 | phase */
};
static_assert(sizeof(struct nvme_cqe) == 16, "4.6");

/* 4.4 SGL descriptor */
struct nvme_sgl {
	uint64_t address;
	uint32_t length;
	uint8_t reserved[3];
	uint8_t type; /* type 7:4, sub type 3:0 */
};
static_assert(sizeof(struct nvme_sgl) == 16, "4.4");
#define NVME_SGL_DATA	      0x00u
#define NVME_SGL_SEGMENT      0x20u
#define NVME_SGL_LAST_SEGMENT 0x30u

/* ---- 5 Admin commands ---- */
#define NVME_ADMIN_DELETE_SQ	0x00u
#define NVME_ADMIN_CREATE_SQ	0x01u
#define NVME_ADMIN_GET_LOG	0x02u
#define NVME_ADMIN_DELETE_CQ	0x04u
#define NVME_ADMIN_CREATE_CQ	0x05u
#define NVME_ADMIN_IDENTIFY	0x06u
#define NVME_ADMIN_ABORT	0x08u
#define NVME_ADMIN_SET_FEATURES 0x09u
#define NVME_ADMIN_GET_FEATURES 0x0au
#define NVME_ADMIN_ASYNC_EVENT	0x0cu
#define NVME_ADMIN_DOORBELL_BUF 0x7cu

/* ---- 6 NVM commands ---- */
#define NVME_IO_FLUSH	     0x00u
#define NVME_IO_WRITE	     0x01u
#define NVME_IO_READ	     0x02u
#define NVME_IO_WRITE_ZEROES 0x08u
#define NVME_IO_DATASET	     0x09u

#define NVME_CDW12_FUA	     (1u << 30)
#define NVME_CDW12_DEAC	     (1u << 25)
#define NVME_DSM_DEALLOCATE  4u

/* 6.7 one range of Dataset Management */
struct nvme_dsm_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t first;
};
static_assert(sizeof(struct nvme_dsm_range) == 16, "6.7");

#define NVME_NSID_ALL 0xffffffffu

/* ---- 5.21 Features ---- */
#define NVME_FEAT_ARBITRATION  0x01u
#define NVME_FEAT_POWER	       0x02u
#define NVME_FEAT_TEMPERATURE  0x04u
#define NVME_FEAT_RECOVERY     0x05u
#define NVME_FEAT_WRITE_CACHE  0x06u
#define NVME_FEAT_QUEUES       0x07u
#define NVME_FEAT_COALESCING   0x08u
#define NVME_FEAT_VECTOR       0x09u
#define NVME_FEAT_ATOMICITY    0x0au
#define NVME_FEAT_ASYNC_EVENTS 0x0bu

/* ---- 5.14 Log pages ---- */
#define NVME_LOG_ERROR	  0x01u
#define NVME_LOG_SMART	  0x02u
#define NVME_LOG_FIRMWARE 0x03u
#define NVME_LOG_EFFECTS  0x05u

/* ---- 5.2 Asynchronous events ---- */
#define NVME_EVENT_ERROR	      0u
#define NVME_EVENT_SMART	      1u
#define NVME_EVENT_TYPES	      2u
#define NVME_EVENT_ERROR_BAD_REGISTER 0u
#define NVME_EVENT_ERROR_BAD_VALUE    1u
#define NVME_EVENT_ERROR_TRANSIENT    4u
#define NVME_EVENT_SMART_TEMPERATURE  1u

/* ---- 4.6.1 Status: SC 7:0, SCT 10:8, more 13, do not retry 14 ---- */
#define NVME_MORE		0x2000u
#define NVME_DNR		0x4000u

#define NVME_OK			0x000u
#define NVME_BAD_OPCODE		(0x001u | NVME_DNR)
#define NVME_BAD_FIELD		(0x002u | NVME_DNR)
#define NVME_DATA_ERROR		0x004u
#define NVME_INTERNAL		0x006u
#define NVME_INTERNAL_NO_RETRY	(0x006u | NVME_DNR)
#define NVME_ABORTED		0x007u
#define NVME_ABORTED_SQ_DELETED 0x008u
#define NVME_BAD_NAMESPACE	(0x00bu | NVME_DNR)
#define NVME_BAD_SEQUENCE	(0x00cu | NVME_DNR)
#define NVME_SGL_BAD_SEGMENT	(0x00du | NVME_DNR)
#define NVME_SGL_BAD_COUNT	(0x00eu | NVME_DNR)
#define NVME_SGL_BAD_LENGTH	(0x00fu | NVME_DNR)
#define NVME_SGL_BAD_TYPE	(0x011u | NVME_DNR)
#define NVME_PRP_BAD_OFFSET	(0x013u | NVME_DNR)
#define NVME_LBA_RANGE		(0x080u | NVME_DNR)
#define NVME_CAPACITY		0x081u
#define NVME_BAD_CQ		(0x100u | NVME_DNR)
#define NVME_BAD_QID		(0x101u | NVME_DNR)
#define NVME_BAD_QUEUE_SIZE	(0x102u | NVME_DNR)
#define NVME_EVENT_LIMIT	(0x105u | NVME_DNR)
#define NVME_BAD_VECTOR		(0x108u | NVME_DNR)
#define NVME_BAD_LOG_PAGE	(0x109u | NVME_DNR)
#define NVME_BAD_DELETION	(0x10cu | NVME_DNR)
#define NVME_NOT_SAVEABLE	(0x10du | NVME_DNR)
#define NVME_NOT_CHANGEABLE	(0x10eu | NVME_DNR)
#define NVME_NOT_NS_SPECIFIC	(0x10fu | NVME_DNR)
#define NVME_WRITE_FAULT	0x280u
#define NVME_READ_ERROR		0x281u
