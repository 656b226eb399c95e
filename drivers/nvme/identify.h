/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data structures that Identify and Get Log Page return (NVM Express 1.4c, sections 5.15 and
 * 5.14). Fields this driver leaves zero are folded into reserved space; offsets are pinned.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define NVME_PAGE_BYTES 4096u /* of every identify structure */

/* Identify CNS values */
#define NVME_CNS_NAMESPACE   0x00u
#define NVME_CNS_CONTROLLER  0x01u
#define NVME_CNS_ACTIVE_LIST 0x02u
#define NVME_CNS_DESCRIPTORS 0x03u

/* figure 249 */
struct nvme_id_ns {
	uint64_t nsze;
	uint64_t ncap;
	uint64_t nuse;
	uint8_t nsfeat;
	uint8_t nlbaf;
	uint8_t flbas;
	uint8_t reserved27[6];
	uint8_t dlfeat;
	uint8_t reserved34[30];
	uint16_t npwg;
	uint16_t npwa;
	uint16_t npdg;
	uint16_t npda;
	uint16_t nows;
	uint8_t reserved74[30];
	uint8_t nguid[16];
	uint8_t eui64[8];
	struct {
		uint16_t ms;
		uint8_t lbads;
		uint8_t rp;
	} lbaf[16];
	uint8_t reserved192[3904];
};
static_assert(sizeof(struct nvme_id_ns) == NVME_PAGE_BYTES, "");
static_assert(offsetof(struct nvme_id_ns, dlfeat) == 33, "");
static_assert(offsetof(struct nvme_id_ns, npwg) == 64, "");
static_assert(offsetof(struct nvme_id_ns, nguid) == 104, "");
static_assert(offsetof(struct nvme_id_ns, lbaf) == 128, "");

/* figure 251 */
struct nvme_id_ctrl {
	uint16_t vid;
	uint16_t ssvid;
	char sn[20];
	char mn[40];
	char fr[8];
	uint8_t rab;
	uint8_t ieee[3];
	uint8_t cmic;
	uint8_t mdts;
	uint16_t cntlid;
	uint32_t ver;
	uint8_t reserved84[27];
	uint8_t cntrltype;
	uint8_t reserved112[144];
	uint16_t oacs;
	uint8_t acl;
	uint8_t aerl;
	uint8_t frmw;
	uint8_t lpa;
	uint8_t elpe;
	uint8_t npss;
	uint8_t reserved264[2];
	uint16_t wctemp;
	uint16_t cctemp;
	uint8_t reserved270[242];
	uint8_t sqes;
	uint8_t cqes;
	uint16_t maxcmd;
	uint32_t nn;
	uint16_t oncs;
	uint16_t fuses;
	uint8_t fna;
	uint8_t vwc;
	uint8_t reserved526[10];
	uint32_t sgls;
	uint8_t reserved540[228];
	char subnqn[256];
	uint8_t reserved1024[1024];
	struct {
		uint16_t mp;
		uint8_t reserved[30];
	} psd[32];
	uint8_t vendor[1024];
};
static_assert(sizeof(struct nvme_id_ctrl) == NVME_PAGE_BYTES, "");
static_assert(offsetof(struct nvme_id_ctrl, mdts) == 77, "");
static_assert(offsetof(struct nvme_id_ctrl, cntrltype) == 111, "");
static_assert(offsetof(struct nvme_id_ctrl, oacs) == 256, "");
static_assert(offsetof(struct nvme_id_ctrl, wctemp) == 266, "");
static_assert(offsetof(struct nvme_id_ctrl, sqes) == 512, "");
static_assert(offsetof(struct nvme_id_ctrl, oncs) == 520, "");
static_assert(offsetof(struct nvme_id_ctrl, sgls) == 536, "");
static_assert(offsetof(struct nvme_id_ctrl, subnqn) == 768, "");
static_assert(offsetof(struct nvme_id_ctrl, psd) == 2048, "");

/* figure 253 */
#define NVME_NIDT_EUI64 1u
#define NVME_NIDT_NGUID 2u
#define NVME_NIDT_UUID	3u

/* figure 196 */
struct nvme_log_error {
	uint64_t error_count;
	uint16_t sqid;
	uint16_t cid;
	uint16_t status; /* status field << 1 */
	uint16_t location;
	uint64_t lba;
	uint32_t nsid;
	uint8_t vendor;
	uint8_t trtype;
	uint8_t reserved30[34];
};
static_assert(sizeof(struct nvme_log_error) == 64, "");

/* figure 197; counters of 128 bits have their upper half reserved here */
struct nvme_log_smart {
	uint8_t critical_warning;
	uint8_t temperature[2];
	uint8_t available_spare;
	uint8_t spare_threshold;
	uint8_t percentage_used;
	uint8_t reserved6[26];
	uint64_t data_units_read[2];
	uint64_t data_units_written[2];
	uint64_t read_commands[2];
	uint64_t write_commands[2];
	uint64_t busy_minutes[2];
	uint64_t power_cycles[2];
	uint64_t power_on_hours[2];
	uint64_t unsafe_shutdowns[2];
	uint64_t media_errors[2];
	uint64_t error_entries[2];
	uint32_t warning_temp_minutes;
	uint32_t critical_temp_minutes;
	uint16_t sensors[8];
	uint8_t reserved216[296];
};
static_assert(sizeof(struct nvme_log_smart) == 512, "");
static_assert(offsetof(struct nvme_log_smart, error_entries) == 176, "");
static_assert(offsetof(struct nvme_log_smart, sensors) == 200, "");

/* figure 200 */
struct nvme_log_firmware {
	uint8_t afi;
	uint8_t reserved1[7];
	char slots[7][8];
	uint8_t reserved64[448];
};
static_assert(sizeof(struct nvme_log_firmware) == 512, "");

/* figure 202; one word per opcode */
struct nvme_log_effects {
	uint32_t admin[256];
	uint32_t io[256];
	uint8_t reserved[2048];
};
static_assert(sizeof(struct nvme_log_effects) == 4096, "");
#define NVME_EFFECT_SUPPORTED	1u
#define NVME_EFFECT_LBA_CHANGED 2u
