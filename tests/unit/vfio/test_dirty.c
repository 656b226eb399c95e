/* SPDX-License-Identifier: BSD-3-Clause */
/* DMA logging: what the device writes is reported, once; what it is still writing is waited for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "vfio/session-internal.h"

#define BASE   0x100000u
#define PAGES  128u
#define LOG    (WIRE_FEATURE_LOG_START | WIRE_FEATURE_SET)
#define REPORT (WIRE_FEATURE_LOG_REPORT | WIRE_FEATURE_GET)
#define WORDS  (PAGES / 64)

struct start {
	struct wire_feature feature;
	struct wire_logging_start start;
	struct wire_logging_range ranges[2];
} __attribute__((packed));

struct report {
	struct wire_feature feature;
	struct wire_logging_report report;
	uint64_t bitmap[WORDS];
} __attribute__((packed));

static int start(struct fixture *fx, uint64_t page_size, uint32_t ranges, uint64_t iova,
		 uint64_t length)
{
	struct start body = {{sizeof(body), LOG}, {page_size, ranges, 0}, {{iova, length}, {0, 0}}};

	return client_call(fx, WIRE_DEVICE_FEATURE, BODY(&body, sizeof(body)), NULL, 0, NULL);
}

static int stop(struct fixture *fx)
{
	struct wire_feature body = {8, WIRE_FEATURE_LOG_STOP | WIRE_FEATURE_SET};
	uint32_t reply[2];

	return client_call(fx, WIRE_DEVICE_FEATURE, BODY(&body, sizeof(body)), reply, sizeof(reply),
			   NULL);
}

static struct report report_of(uint64_t iova, uint64_t length, uint64_t page_size)
{
	return (struct report){.feature = {sizeof(struct report), REPORT},
			       .report = {iova, length, page_size}};
}

/* The errno of a report, with its bits in @bitmap. */
static int report(struct fixture *fx, uint64_t iova, uint64_t length, uint64_t page_size,
		  uint64_t bitmap[WORDS])
{
	struct report body = report_of(iova, length, page_size);
	struct report reply;
	size_t len = 0;
	int r = client_call(fx, WIRE_DEVICE_FEATURE,
			    BODY(&body, sizeof(body) - sizeof(body.bitmap)), &reply, sizeof(reply),
			    &len);

	if (r == 0) {
		size_t size = (length / page_size + 63) / 64 * 8;

		assert_int_equal(len, sizeof(reply) - sizeof(reply.bitmap) + size);
		assert_int_equal(reply.feature.argsz, len);
		memcpy(bitmap, reply.bitmap, size);
	}
	return r;
}

static uint64_t one(struct fixture *fx)
{
	uint64_t bitmap[WORDS] = {0};

	assert_int_equal(report(fx, BASE, 64 * 4096, 4096, bitmap), 0);
	return bitmap[0];
}

static void write_at(struct fixture *fx, uint64_t page, uint64_t at, uint64_t len)
{
	static uint8_t bytes[65536];

	assert_int_equal(
		vfio_dma_write(fx->session, BASE + page * 4096 + at, bytes, len, NULL, NULL), 0);
}

static int join(struct fixture *fx)
{
	int fd = memory_new(PAGES * 4096, 0);

	client_join_crate(fx);
	assert_int_equal(client_map(fx, BASE, PAGES * 4096, 0, 3, fd), 0);
	return fd;
}

static void test_reported_once(void **state)
{
	struct fixture *fx = *state;
	uint64_t bitmap[WORDS] = {0};
	uint8_t bytes[16];
	struct iovec iov;
	int fd = join(fx);

	write_at(fx, 1, 0, 16); /* before: nobody asked */
	assert_int_equal(report(fx, BASE, 64 * 4096, 4096, bitmap), EINVAL);
	assert_int_equal(start(fx, 4096, 0, 0, 0), 0);
	assert_int_equal(start(fx, 4096, 0, 0, 0), EINVAL);
	assert_int_equal(one(fx), 0);
	write_at(fx, 3, 0, 1);
	write_at(fx, 5, 4095, 2);
	write_at(fx, 63, 4095, 1);
	assert_int_equal(vfio_dma_read(fx->session, BASE + 9 * 4096, bytes, 16, NULL, NULL), 0);
	assert_int_equal(vfio_dma_translate(fx->session, BASE + 10 * 4096, 16, WIRE_DMA_MAP_READ,
					    &iov, 1),
			 1);
	assert_int_equal(vfio_dma_translate(fx->session, BASE + 11 * 4096, 8192, WIRE_DMA_MAP_WRITE,
					    &iov, 1),
			 1);
	assert_int_equal(one(fx), 1ull << 3 | 3ull << 5 | 1ull << 63 | 3ull << 11);
	assert_int_equal(one(fx), 0);
	/* Only what the report covers is forgotten by it. */
	write_at(fx, 70, 0, 4096);
	write_at(fx, 7, 0, 1);
	assert_int_equal(one(fx), 1u << 7);
	assert_int_equal(report(fx, BASE, PAGES * 4096, 4096, bitmap), 0);
	assert_int_equal(bitmap[0], 0);
	assert_int_equal(bitmap[1], 1u << 6);
	/* Larger pages of the client's. */
	write_at(fx, 17, 0, 1);
	assert_int_equal(report(fx, BASE, 64 * 4096, 65536, bitmap), 0);
	assert_int_equal(bitmap[0], 1u << 1);
	assert_int_equal(stop(fx), 0);
	assert_int_equal(stop(fx), 0);
	assert_int_equal(fx->page->logging.page_size, 0);
	close(fd);
}

/* Anything that was written shows in one of the reports, whatever their ranges. */
static void test_random(void **state)
{
	struct fixture *fx = *state;
	uint8_t want[PAGES] = {0};
	int fd = join(fx);

	srand(7);
	assert_int_equal(start(fx, 4096, 1, BASE, PAGES * 4096), 0);
	for (int turn = 0; turn < 2000; turn++) {
		uint64_t bitmap[WORDS] = {0};
		uint32_t page = (uint32_t)rand() % PAGES;
		uint32_t pages = 1 + (uint32_t)rand() % (PAGES - page);

		if (rand() % 3) {
			uint32_t n = MIN(pages, 1u + (uint32_t)rand() % 4);

			write_at(fx, page, 0, n * 4096ull);
			memset(want + page, 1, n);
			continue;
		}
		assert_int_equal(report(fx, BASE + page * 4096ull, pages * 4096ull, 4096, bitmap),
				 0);
		for (uint32_t i = 0; i < pages; i++)
			assert_int_equal(bitmap[i / 64] >> i % 64 & 1, want[page + i]);
		memset(want + page, 0, pages);
	}
	close(fd);
}

static void test_waits_for_holds(void **state)
{
	struct fixture *fx = *state;
	struct report body = report_of(BASE, 64 * 4096, 4096);
	struct start begin = {{sizeof(begin), LOG}, {4096, 0, 0}, {{0, 0}, {0, 0}}};
	struct wire_header header;
	struct report reply;
	struct iovec iov;
	uint32_t old;
	uint32_t token;
	int fd = join(fx);

	/* What is under way at the start is over before the start is answered. */
	old = vfio_dma_hold(fx->session);
	client_send(fx, WIRE_DEVICE_FEATURE, 0, BODY(&begin, sizeof(begin)));
	assert_true(client_silent(fx));
	vfio_dma_release(fx->session, old);
	(void)client_recv(fx, &header, &begin, sizeof(begin), NULL);
	assert_int_equal(header.error, 0);

	assert_int_equal(vfio_dma_translate(fx->session, BASE, 1, WIRE_DMA_MAP_WRITE, &iov, 1), 1);
	old = vfio_dma_hold(fx->session);
	client_send(fx, WIRE_DEVICE_FEATURE, 0, BODY(&body, sizeof(body) - sizeof(body.bitmap)));
	assert_true(client_silent(fx));
	/* Translated meanwhile, and still being written when the report is answered. */
	assert_int_equal(
		vfio_dma_translate(fx->session, BASE + 8192, 1, WIRE_DMA_MAP_WRITE, &iov, 1), 1);
	token = vfio_dma_hold(fx->session);
	vfio_dma_release(fx->session, old);
	(void)client_recv(fx, &header, &reply, sizeof(reply), NULL);
	assert_int_equal(header.error, 0);
	assert_int_equal(reply.bitmap[0], 1);
	vfio_dma_release(fx->session, token);
	assert_int_equal(one(fx), 4);
	assert_int_equal(one(fx), 0);
	close(fd);
}

/* After a death all is reported once. */
static void test_after_death(void **state)
{
	struct fixture *fx = *state;
	uint64_t bitmap[WORDS] = {0};
	int fd = join(fx);

	assert_int_equal(start(fx, 4096, 0, 0, 0), 0);
	dirty_free(fx->session);
	assert_int_equal(dirty_resume(fx->session), 0);
	assert_int_equal(report(fx, BASE, 32 * 4096, 4096, bitmap), 0);
	assert_int_equal(bitmap[0], UINT32_MAX);
	write_at(fx, 4, 0, 1);
	assert_int_equal(one(fx), 0xffffffffull << 32 | 1u << 4);
	assert_int_equal(one(fx), 0);
	close(fd);
}

static void test_refused(void **state)
{
	static const struct {
		uint64_t iova, length, page_size;
	} bad[] = {
		{BASE, 0, 4096},
		{BASE, 4096, 0},
		{BASE, 4096, 1},
		{BASE, 4096, 2048},
		{BASE, 4096, 4097},
		{BASE, 4096, 12288},
		{BASE, 4095, 4096},
		{BASE + 1, 4096, 4096},
		{BASE, 4096, 8192},
		{BASE, 4u << 20, 4u << 20},
		{UINT64_MAX - 4095, 8192, 4096},
		{0, 1ull << 63, 4096},
		{0, 1ull << 63, 2u << 20},
		{BASE, 1ull << 40, 4096},
	};
	struct fixture *fx = *state;
	uint64_t bitmap[WORDS] = {0};
	struct report body = report_of(BASE, 64 * 4096, 4096);
	struct report reply;
	size_t len = 0;
	int fd = join(fx);

	assert_int_equal(start(fx, 0, 0, 0, 0), EINVAL);
	assert_int_equal(start(fx, 2048, 0, 0, 0), EINVAL);
	assert_int_equal(start(fx, 4096, 3, 0, 0), EINVAL);
	assert_int_equal(start(fx, 4096, UINT32_MAX, 0, 0), EINVAL);
	assert_int_equal(start(fx, 4096, 1, 0, 0), EINVAL);
	assert_int_equal(start(fx, 4096, 1, 1, 4096), EINVAL);
	assert_int_equal(start(fx, 4096, 1, UINT64_MAX - 4095, 8192), EINVAL);
	assert_int_equal(start(fx, 4096, 1, UINT64_MAX - 4095, 4096), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(report(fx, bad[i].iova, bad[i].length, bad[i].page_size, bitmap),
				 EINVAL);
	for (uint32_t n = 8; n < 32; n++)
		assert_int_equal(client_call(fx, WIRE_DEVICE_FEATURE, BODY(&body, n), NULL, 0,
					     NULL),
				 EINVAL);
	/* No room: the size, and nothing is forgotten. */
	write_at(fx, 2, 0, 1);
	body.feature.argsz = 32;
	assert_int_equal(client_call(fx, WIRE_DEVICE_FEATURE, BODY(&body, 32), &reply,
				     sizeof(reply), &len),
			 0);
	assert_int_equal(len, 32);
	assert_int_equal(reply.feature.argsz, 40);
	assert_int_equal(one(fx), 4);
	client_leave(fx);
	assert_int_equal(fx->page->logging.page_size, 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_moved, fixture_teardown)
		TEST(test_reported_once), TEST(test_random),  TEST(test_waits_for_holds),
		TEST(test_after_death),	  TEST(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
