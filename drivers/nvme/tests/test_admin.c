/* SPDX-License-Identifier: BSD-3-Clause */
/* Admin commands: what they answer, and the status of every wrong field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "guest.h"
#include "identify.h"

static int up(void **state)
{
	fake_up(&(struct fake_options){.size = 64u << 20});
	guest_enable(32);
	return 0;
}

static int down(void **state)
{
	fake_down();
	return 0;
}

static uint32_t run(uint8_t opcode, uint32_t nsid, uint32_t cdw10, uint32_t cdw11)
{
	struct nvme_sqe sqe = guest_command(opcode, nsid);

	sqe.prp1 = GUEST_BUFFER;
	sqe.cdw10 = cdw10;
	sqe.cdw11 = cdw11;
	return guest_run(0, sqe, NULL);
}

static uint32_t feature(uint32_t nsid, uint32_t cdw10, uint32_t cdw11, uint32_t *ret_value)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_GET_FEATURES, nsid);

	sqe.cdw10 = cdw10;
	sqe.cdw11 = cdw11;
	return guest_run(0, sqe, ret_value);
}

static const uint8_t *data(void)
{
	return fake.memory + GUEST_BUFFER;
}

static uint32_t word(uint32_t offset, uint32_t size)
{
	uint32_t value = 0;

	memcpy(&value, data() + offset, size);
	return value;
}

/* Offsets as the specification prints them, not as our structs have them. */
static void test_identify_controller(void **state)
{
	assert_int_equal(run(NVME_ADMIN_IDENTIFY, 0, NVME_CNS_CONTROLLER, 0), NVME_OK);
	assert_memory_equal(data() + 4, "c0ffee0012344abc8def", 20);
	assert_memory_equal(data() + 24, "umdev NVMe                              ", 40);
	assert_memory_equal(data() + 64, UMDEV_VERSION "   ", 8);
	assert_int_equal(word(77, 1), 8);
	assert_int_equal(word(80, 4), 0x10400);
	assert_int_equal(word(111, 1), 1);
	assert_int_equal(word(256, 2), 0x100);
	assert_int_equal(word(258, 1), 3);
	assert_int_equal(word(259, 1), 3);
	assert_int_equal(word(260, 1), 3);
	assert_int_equal(word(261, 1), 7);
	assert_int_equal(word(262, 1), 63);
	assert_int_equal(word(266, 2), 343);
	assert_int_equal(word(512, 1), 0x66);
	assert_int_equal(word(513, 1), 0x44);
	assert_int_equal(word(516, 4), 1);
	assert_int_equal(word(520, 2), 0x1c);
	assert_int_equal(word(525, 1), 7);
	assert_int_equal(word(536, 4), 1);
	assert_string_equal((const char *)data() + 768,
			    "nqn.2014-08.org.nvmexpress:uuid:" FAKE_UUID);
}

static void test_identify_namespace(void **state)
{
	uint64_t blocks;

	assert_int_equal(run(NVME_ADMIN_IDENTIFY, 1, NVME_CNS_NAMESPACE, 0), NVME_OK);
	memcpy(&blocks, data(), sizeof(blocks));
	assert_int_equal(blocks, (64u << 20) / 512);
	assert_memory_equal(data(), data() + 8, 8);
	assert_int_equal(word(25, 1), 0);
	assert_int_equal(word(33, 1), 9);
	assert_int_equal(word(64, 2), 7);
	assert_int_equal(word(130, 1), 9);
	/* The same identity in both places. */
	uint8_t nguid[16], eui[8];
	memcpy(nguid, data() + 104, 16);
	memcpy(eui, data() + 120, 8);
	assert_int_equal(run(NVME_ADMIN_IDENTIFY, 1, NVME_CNS_DESCRIPTORS, 0), NVME_OK);
	assert_memory_equal(data(), ((uint8_t[]){1, 8, 0, 0}), 4);
	assert_memory_equal(data() + 4, eui, 8);
	assert_memory_equal(data() + 12, ((uint8_t[]){2, 16, 0, 0}), 4);
	assert_memory_equal(data() + 16, nguid, 16);
	assert_memory_equal(data() + 32, ((uint8_t[]){3, 16, 0, 0, 0xc0, 0xff, 0xee, 0x00}), 8);
	assert_int_equal(word(52, 4), 0);
}

static void test_identify_others(void **state)
{
	assert_int_equal(run(NVME_ADMIN_IDENTIFY, 0, NVME_CNS_ACTIVE_LIST, 0), NVME_OK);
	assert_int_equal(word(0, 4), 1);
	assert_int_equal(word(4, 4), 0);
	assert_int_equal(run(NVME_ADMIN_IDENTIFY, 1, NVME_CNS_ACTIVE_LIST, 0), NVME_OK);
	assert_int_equal(word(0, 4), 0);
	assert_int_equal(run(NVME_ADMIN_IDENTIFY, 0xfffffffe, NVME_CNS_ACTIVE_LIST, 0),
			 NVME_BAD_NAMESPACE);
	assert_int_equal(run(NVME_ADMIN_IDENTIFY, 0, NVME_CNS_NAMESPACE, 0), NVME_BAD_NAMESPACE);
	assert_int_equal(run(NVME_ADMIN_IDENTIFY, 2, NVME_CNS_NAMESPACE, 0), NVME_BAD_NAMESPACE);
	assert_int_equal(run(NVME_ADMIN_IDENTIFY, NVME_NSID_ALL, NVME_CNS_NAMESPACE, 0),
			 NVME_BAD_NAMESPACE);
	assert_int_equal(run(NVME_ADMIN_IDENTIFY, 7, NVME_CNS_DESCRIPTORS, 0), NVME_BAD_NAMESPACE);
	for (uint32_t cns = 4; cns < 0x20; cns++)
		assert_int_equal(run(NVME_ADMIN_IDENTIFY, 1, cns, 0), NVME_BAD_FIELD);
}

static void test_opcodes(void **state)
{
	static const uint8_t bad[] = {0x03, 0x07, 0x0b, 0x10, 0x11, 0x14,
				      0x18, 0x80, 0x81, 0x84, 0xc0};
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_IDENTIFY, 0);

	for (uint32_t i = 0; i < sizeof(bad); i++)
		assert_int_equal(run(bad[i], 0, 0, 0), NVME_BAD_OPCODE);
	sqe.flags = 0x40; /* SGLs are not for admin commands */
	assert_int_equal(guest_run(0, sqe, NULL), NVME_BAD_FIELD);
	sqe.flags = 1; /* fused */
	assert_int_equal(guest_run(0, sqe, NULL), NVME_BAD_FIELD);
}

static uint32_t create_cq(uint32_t qid, uint32_t size0, uint32_t cdw11, uint64_t at)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_CREATE_CQ, 0);

	sqe.prp1 = at;
	sqe.cdw10 = size0 << 16 | qid;
	sqe.cdw11 = cdw11;
	return guest_run(0, sqe, NULL);
}

static uint32_t create_sq(uint32_t qid, uint32_t size0, uint32_t cdw11, uint64_t at)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_CREATE_SQ, 0);

	sqe.prp1 = at;
	sqe.cdw10 = size0 << 16 | qid;
	sqe.cdw11 = cdw11;
	return guest_run(0, sqe, NULL);
}

static void test_create_cq(void **state)
{
	assert_int_equal(create_cq(0, 15, 3, GUEST_RINGS), NVME_BAD_QID);
	assert_int_equal(create_cq(65, 15, 3, GUEST_RINGS), NVME_BAD_QID);
	assert_int_equal(create_cq(1, 0, 3, GUEST_RINGS), NVME_BAD_QUEUE_SIZE);
	assert_int_equal(create_cq(1, 1024, 3, GUEST_RINGS), NVME_BAD_QUEUE_SIZE);
	assert_int_equal(create_cq(1, 15, 2, GUEST_RINGS), NVME_BAD_FIELD);
	assert_int_equal(create_cq(1, 15, 3, GUEST_RINGS + 8), NVME_PRP_BAD_OFFSET);
	assert_int_equal(create_cq(1, 15, 3, ~0xfffull),
			 NVME_OK); /* ends at the last byte: fatal later */
	assert_int_equal(create_cq(2, 1023, 3, ~0xfffull), NVME_BAD_FIELD);
	assert_int_equal(create_cq(2, 15, 65u << 16 | 3, GUEST_RINGS), NVME_BAD_VECTOR);
	assert_int_equal(create_cq(2, 15, 64u << 16 | 3, GUEST_RINGS), NVME_OK);
	assert_int_equal(create_cq(2, 15, 3, GUEST_RINGS), NVME_BAD_QID);
	assert_int_equal(create_cq(3, 1023, 3, GUEST_RINGS), NVME_OK);
	assert_int_equal(create_cq(64, 1, 3, GUEST_RINGS), NVME_OK);
}

static void test_create_sq(void **state)
{
	assert_int_equal(create_cq(1, 15, 3, GUEST_RINGS), NVME_OK);
	assert_int_equal(create_sq(0, 15, 1u << 16 | 1, GUEST_RINGS), NVME_BAD_QID);
	assert_int_equal(create_sq(65, 15, 1u << 16 | 1, GUEST_RINGS), NVME_BAD_QID);
	assert_int_equal(create_sq(1, 0, 1u << 16 | 1, GUEST_RINGS), NVME_BAD_QUEUE_SIZE);
	assert_int_equal(create_sq(1, 1024, 1u << 16 | 1, GUEST_RINGS), NVME_BAD_QUEUE_SIZE);
	assert_int_equal(create_sq(1, 15, 1u << 16, GUEST_RINGS), NVME_BAD_FIELD);
	assert_int_equal(create_sq(1, 15, 1u << 16 | 1, GUEST_RINGS + 64), NVME_PRP_BAD_OFFSET);
	assert_int_equal(create_sq(1, 15, 1, GUEST_RINGS), NVME_BAD_QID);
	assert_int_equal(create_sq(1, 15, 65u << 16 | 1, GUEST_RINGS), NVME_BAD_QID);
	assert_int_equal(create_sq(1, 15, 2u << 16 | 1, GUEST_RINGS), NVME_BAD_CQ);
	assert_int_equal(create_sq(1, 15, 1u << 16 | 1, GUEST_RINGS), NVME_OK);
	assert_int_equal(create_sq(1, 15, 1u << 16 | 1, GUEST_RINGS), NVME_BAD_QID);
}

static void test_delete(void **state)
{
	assert_int_equal(run(NVME_ADMIN_DELETE_SQ, 0, 0, 0), NVME_BAD_QID);
	assert_int_equal(run(NVME_ADMIN_DELETE_SQ, 0, 1, 0), NVME_BAD_QID);
	assert_int_equal(run(NVME_ADMIN_DELETE_SQ, 0, 0xffff, 0), NVME_BAD_QID);
	assert_int_equal(run(NVME_ADMIN_DELETE_CQ, 0, 0, 0), NVME_BAD_QID);
	assert_int_equal(run(NVME_ADMIN_DELETE_CQ, 0, 1, 0), NVME_BAD_QID);
	guest_create_pair(1, 16);
	assert_int_equal(run(NVME_ADMIN_DELETE_CQ, 0, 1, 0), NVME_BAD_DELETION);
	assert_int_equal(run(NVME_ADMIN_DELETE_SQ, 0, 1, 0), NVME_OK);
	assert_int_equal(run(NVME_ADMIN_DELETE_SQ, 0, 1, 0), NVME_BAD_QID);
	assert_int_equal(run(NVME_ADMIN_DELETE_CQ, 0, 1, 0), NVME_OK);
	guest_create_pair(1, 32);
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
}

static void test_features_get(void **state)
{
	static const struct {
		uint32_t id;
		uint32_t value;
	} defaults[] = {{NVME_FEAT_ARBITRATION, 0},
			{NVME_FEAT_POWER, 0},
			{NVME_FEAT_TEMPERATURE, 343},
			{NVME_FEAT_WRITE_CACHE, 1},
			{NVME_FEAT_QUEUES, 63u << 16 | 63},
			{NVME_FEAT_COALESCING, 0},
			{NVME_FEAT_VECTOR, 0},
			{NVME_FEAT_ATOMICITY, 0},
			{NVME_FEAT_ASYNC_EVENTS, 0}};
	uint32_t value;

	for (uint32_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		for (uint32_t select = 0; select < 3; select++) {
			assert_int_equal(feature(0, select << 8 | defaults[i].id, 0, &value),
					 NVME_OK);
			assert_int_equal(value, defaults[i].value);
		}
		assert_int_equal(feature(0, 3u << 8 | defaults[i].id, 0, &value), NVME_OK);
		assert_int_equal(value, 4);
		assert_int_equal(feature(0, 4u << 8 | defaults[i].id, 0, &value), NVME_BAD_FIELD);
	}
	assert_int_equal(feature(0, NVME_FEAT_RECOVERY, 0, &value), NVME_BAD_NAMESPACE);
	assert_int_equal(feature(1, 3u << 8 | NVME_FEAT_RECOVERY, 0, &value), NVME_OK);
	assert_int_equal(value, 6);
	assert_int_equal(feature(0, NVME_FEAT_VECTOR, 65, &value), NVME_BAD_FIELD);
	assert_int_equal(feature(0, 0x03, 0, &value), NVME_BAD_FIELD);
	assert_int_equal(feature(0, 0x0c, 0, &value), NVME_BAD_FIELD);
	assert_int_equal(feature(0, 0xff, 0, &value), NVME_BAD_FIELD);
}

static uint32_t set(uint32_t nsid, uint32_t cdw10, uint32_t cdw11)
{
	return run(NVME_ADMIN_SET_FEATURES, nsid, cdw10, cdw11);
}

static void test_features_set(void **state)
{
	uint32_t value;

	assert_int_equal(set(0, 0x80000000u | NVME_FEAT_WRITE_CACHE, 0), NVME_NOT_SAVEABLE);
	assert_int_equal(set(1, NVME_FEAT_WRITE_CACHE, 0), NVME_NOT_NS_SPECIFIC);
	assert_int_equal(set(5, NVME_FEAT_WRITE_CACHE, 0), NVME_BAD_NAMESPACE);
	assert_int_equal(set(0, NVME_FEAT_WRITE_CACHE, 1), NVME_OK);
	assert_int_equal(fake.io.total, 0);
	assert_int_equal(set(0, NVME_FEAT_WRITE_CACHE, 0), NVME_OK);
	assert_int_equal(fake.io.total, 1); /* what was in the cache is flushed */
	assert_int_equal(set(0, NVME_FEAT_WRITE_CACHE, 0), NVME_OK);
	assert_int_equal(fake.io.total, 1);
	assert_int_equal(fake.state->smart.flushes + fake.state->smart.others, 0);
	assert_int_equal(feature(0, NVME_FEAT_WRITE_CACHE, 0, &value), NVME_OK);
	assert_int_equal(value, 0);
	assert_int_equal(feature(0, 1u << 8 | NVME_FEAT_WRITE_CACHE, 0, &value), NVME_OK);
	assert_int_equal(value, 1);
	assert_int_equal(set(0, NVME_FEAT_POWER, 1), NVME_BAD_FIELD);
	assert_int_equal(set(1, NVME_FEAT_RECOVERY, 0x10000), NVME_BAD_FIELD);
	assert_int_equal(set(0, NVME_FEAT_RECOVERY, 5), NVME_BAD_NAMESPACE);
	assert_int_equal(set(1, NVME_FEAT_RECOVERY, 5), NVME_OK);
	assert_int_equal(set(0, NVME_FEAT_VECTOR, 65), NVME_BAD_FIELD);
	assert_int_equal(set(0, NVME_FEAT_VECTOR, 1u << 16 | 64), NVME_OK);
	assert_int_equal(feature(0, NVME_FEAT_VECTOR, 64, &value), NVME_OK);
	assert_int_equal(value, 1u << 16 | 64);
	assert_int_equal(set(0, NVME_FEAT_QUEUES, 0xffff), NVME_BAD_FIELD);
	assert_int_equal(set(0, NVME_FEAT_QUEUES, 0xffff0000), NVME_BAD_FIELD);
	assert_int_equal(set(0, NVME_FEAT_QUEUES, 200u << 16 | 1), NVME_OK);
	assert_int_equal(feature(0, NVME_FEAT_QUEUES, 0, &value), NVME_OK);
	assert_int_equal(value, 63u << 16 | 1);
	assert_int_equal(create_cq(1, 15, 3, GUEST_RINGS), NVME_OK);
	assert_int_equal(create_sq(3, 15, 1u << 16 | 1, GUEST_RINGS), NVME_BAD_QID);
	assert_int_equal(set(0, NVME_FEAT_QUEUES, 1), NVME_BAD_SEQUENCE);
	assert_int_equal(set(0, 0x0e, 0), NVME_BAD_FIELD);
	assert_int_equal(set(0, NVME_FEAT_TEMPERATURE, 1u << 16 | 300), NVME_BAD_FIELD);
	assert_int_equal(set(0, NVME_FEAT_TEMPERATURE, 2u << 20 | 300), NVME_BAD_FIELD);
}

static uint32_t log_page(uint32_t nsid, uint32_t page, uint32_t bytes, uint64_t offset)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_GET_LOG, nsid);

	memset(fake.memory + GUEST_BUFFER, 0xaa, 8192);
	sqe.prp1 = GUEST_BUFFER;
	sqe.prp2 = GUEST_BUFFER + 4096;
	sqe.cdw10 = (bytes / 4 - 1) << 16 | page;
	sqe.cdw12 = (uint32_t)offset;
	sqe.cdw13 = (uint32_t)(offset >> 32);
	return guest_run(0, sqe, NULL);
}

static void test_logs(void **state)
{
	uint64_t count;

	assert_int_equal(log_page(NVME_NSID_ALL, NVME_LOG_SMART, 512, 0), NVME_OK);
	assert_int_equal(word(0, 1), 0);
	assert_int_equal(word(1, 2), 313);
	assert_int_equal(word(3, 1), 100);
	assert_int_equal(word(112, 4), 1); /* power cycles */
	assert_int_equal(log_page(2, NVME_LOG_SMART, 512, 0), NVME_BAD_NAMESPACE);
	assert_int_equal(log_page(0, NVME_LOG_FIRMWARE, 512, 0), NVME_OK);
	assert_int_equal(word(0, 1), 1);
	assert_memory_equal(data() + 8, UMDEV_VERSION "   ", 8);
	assert_int_equal(log_page(0, NVME_LOG_EFFECTS, 4096, 0), NVME_OK);
	assert_int_equal(word(NVME_ADMIN_IDENTIFY * 4, 4), 1);
	assert_int_equal(word(1024 + NVME_IO_WRITE * 4, 4), 3);
	assert_int_equal(word(1024 + 5 * 4, 4), 0);
	assert_int_equal(log_page(0, 0x04, 4096, 0), NVME_BAD_LOG_PAGE);
	assert_int_equal(log_page(0, 0x70, 512, 0), NVME_BAD_LOG_PAGE);
	assert_int_equal(log_page(0, NVME_LOG_SMART, 512, 512), NVME_BAD_FIELD);
	assert_int_equal(log_page(0, NVME_LOG_SMART, 512, 1ull << 40), NVME_BAD_FIELD);
	assert_int_equal(log_page(0, NVME_LOG_SMART, 512, 2), NVME_BAD_FIELD);
	/* The newest of those is the first entry. */
	assert_int_equal(log_page(0, NVME_LOG_ERROR, 64, 0), NVME_OK);
	memcpy(&count, data(), sizeof(count));
	assert_int_equal(count, 6);
	assert_int_equal(word(8, 2), 0);
	assert_int_equal(word(12, 2) >> 1 & ~NVME_MORE, NVME_BAD_FIELD);
	assert_int_equal(word(14, 2), 48);
	assert_int_equal(word(64, 4), 0xaaaaaaaau); /* not more than asked for */
	/* From an offset, and no further than the page goes. */
	assert_int_equal(log_page(0, NVME_LOG_ERROR, 128, 64 * 5), NVME_OK);
	memcpy(&count, data(), sizeof(count));
	assert_int_equal(count, 1);
	assert_int_equal(word(64, 4), 0);
	assert_int_equal(log_page(0, NVME_LOG_SMART, 4096, 0), NVME_OK);
	assert_int_equal(word(512, 4), 0xaaaaaaaau);
	assert_int_equal(word(176, 4), 6);
}

static void test_log_wraps(void **state)
{
	uint64_t count;

	for (uint32_t i = 0; i < 70; i++)
		assert_int_equal(run(0xc0, i, 0, 0), NVME_BAD_OPCODE);
	assert_int_equal(log_page(0, NVME_LOG_ERROR, 4096, 0), NVME_OK);
	for (uint32_t i = 0; i < 64; i++) {
		memcpy(&count, data() + i * 64, sizeof(count));
		assert_int_equal(count, 70 - i);
		assert_int_equal(word(i * 64 + 24, 4), 69 - i);
	}
}

static void test_abort(void **state)
{
	uint32_t result;
	struct nvme_cqe cqe;
	uint16_t cid;
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_ABORT, 0);

	sqe.cdw10 = 77u << 16 | 9;
	assert_int_equal(guest_run(0, sqe, &result), NVME_OK);
	assert_int_equal(result, 1);
	guest_create_pair(1, 16);
	fake.io.stopped = true;
	cid = guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	sqe.cdw10 = (uint32_t)cid << 16 | 1;
	assert_int_equal(guest_run(0, sqe, &result), NVME_OK);
	assert_int_equal(result, 0);
	cqe = guest_wait(1);
	assert_int_equal(cqe.cid, cid);
	assert_int_equal(cqe.status >> 1, NVME_ABORTED);
	/* An event request can be aborted too. */
	cid = guest_post(0, guest_command(NVME_ADMIN_ASYNC_EVENT, 0));
	sqe.cdw10 = (uint32_t)cid << 16;
	sqe.cid = guest.next_cid++;
	guest_post(0, sqe);
	cqe = guest_wait(0);
	assert_int_equal(cqe.cid, cid);
	assert_int_equal(cqe.status >> 1, NVME_ABORTED);
	cqe = guest_wait(0);
	assert_int_equal(cqe.cid, sqe.cid);
	assert_int_equal(cqe.result, 0);
}

static void test_events(void **state)
{
	struct nvme_cqe cqe;
	uint16_t cids[4];

	for (uint32_t i = 0; i < 4; i++)
		cids[i] = guest_post(0, guest_command(NVME_ADMIN_ASYNC_EVENT, 0));
	assert_int_equal(run(NVME_ADMIN_ASYNC_EVENT, 0, 0, 0), NVME_EVENT_LIMIT);
	/* A doorbell of a queue that does not exist, then a tail that does not. */
	guest_write32(NVME_DOORBELLS + 5 * 8, 1);
	cqe = guest_wait(0);
	assert_int_equal(cqe.cid, cids[0]);
	assert_int_equal(cqe.result, 0x010000);
	guest_write32(NVME_DOORBELLS, 4000);
	fake_settle(10);
	assert_false(guest_reap(0, &cqe)); /* masked until the log was read */
	assert_int_equal(log_page(0, NVME_LOG_ERROR, 64, 0), NVME_OK);
	guest_write32(NVME_DOORBELLS + 4, 31); /* a head that passes the tail */
	cqe = guest_wait(0);
	assert_int_equal(cqe.cid, cids[1]);
	assert_int_equal(cqe.result, 0x010100);
	/* Temperature, if asked for. */
	assert_int_equal(set(0, NVME_FEAT_TEMPERATURE, 310), NVME_OK);
	assert_int_equal(set(0, NVME_FEAT_TEMPERATURE, 343), NVME_OK);
	assert_int_equal(set(0, NVME_FEAT_ASYNC_EVENTS, 0xff), NVME_OK);
	guest_post(0, (struct nvme_sqe){.opcode = NVME_ADMIN_SET_FEATURES,
					.cid = 999,
					.cdw10 = NVME_FEAT_TEMPERATURE,
					.cdw11 = 310});
	cqe = guest_wait(0);
	assert_int_equal(cqe.cid, cids[2]);
	assert_int_equal(cqe.result, 0x020101);
	assert_int_equal(guest_wait(0).cid, 999);
	assert_int_equal(log_page(0, NVME_LOG_SMART, 512, 0), NVME_OK);
	assert_int_equal(word(0, 1), 2);
	/* A warning that stands when it is asked for. */
	assert_int_equal(set(0, NVME_FEAT_ASYNC_EVENTS, 0), NVME_OK);
	guest_post(0, (struct nvme_sqe){.opcode = NVME_ADMIN_SET_FEATURES,
					.cid = 998,
					.cdw10 = NVME_FEAT_ASYNC_EVENTS,
					.cdw11 = 2});
	assert_int_equal(guest_wait(0).cid, cids[3]);
	assert_int_equal(guest_wait(0).cid, 998);
}

static void test_doorbell_buffer(void **state)
{
	static const uint64_t bad[][2] = {{0, GUEST_EVENTIDX},
					  {GUEST_SHADOW, 0},
					  {GUEST_SHADOW + 8, GUEST_EVENTIDX},
					  {GUEST_SHADOW, GUEST_EVENTIDX + 4},
					  {GUEST_SHADOW, GUEST_SHADOW},
					  {FAKE_MEMORY, GUEST_EVENTIDX},
					  {GUEST_SHADOW, FAKE_MEMORY}};
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_DOORBELL_BUF, 0);

	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		sqe.prp1 = bad[i][0];
		sqe.prp2 = bad[i][1];
		assert_int_equal(guest_run(0, sqe, NULL), NVME_BAD_FIELD);
	}
	guest_shadow();
}

static void test_prp_of_replies(void **state)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_IDENTIFY, 0);

	sqe.cdw10 = NVME_CNS_CONTROLLER;
	sqe.prp1 = GUEST_BUFFER + 2048;
	sqe.prp2 = GUEST_BUFFER + 0x10000;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	assert_memory_equal(data() + 2048 + 24, "umdev NVMe", 10);
	assert_int_equal(word(0x10000, 1), 0); /* offset 2048: power states */
	sqe.prp1 = GUEST_BUFFER + 2;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_PRP_BAD_OFFSET);
	sqe.prp1 = FAKE_MEMORY - 2048;
	sqe.prp2 = FAKE_MEMORY;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_DATA_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_identify_controller, up, down),
		cmocka_unit_test_setup_teardown(test_identify_namespace, up, down),
		cmocka_unit_test_setup_teardown(test_identify_others, up, down),
		cmocka_unit_test_setup_teardown(test_opcodes, up, down),
		cmocka_unit_test_setup_teardown(test_create_cq, up, down),
		cmocka_unit_test_setup_teardown(test_create_sq, up, down),
		cmocka_unit_test_setup_teardown(test_delete, up, down),
		cmocka_unit_test_setup_teardown(test_features_get, up, down),
		cmocka_unit_test_setup_teardown(test_features_set, up, down),
		cmocka_unit_test_setup_teardown(test_logs, up, down),
		cmocka_unit_test_setup_teardown(test_log_wraps, up, down),
		cmocka_unit_test_setup_teardown(test_abort, up, down),
		cmocka_unit_test_setup_teardown(test_events, up, down),
		cmocka_unit_test_setup_teardown(test_doorbell_buffer, up, down),
		cmocka_unit_test_setup_teardown(test_prp_of_replies, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
