/* SPDX-License-Identifier: BSD-3-Clause */
/* The test of a page that an earlier process left: each rule broken alone. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

#define RW (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)

static struct vfio_page *page;
static struct vfio_device_info info;

/* A page in the middle of everything: two files, three maps, interrupts, a request, a reply. */
static int page_setup(void **state)
{
	page = mmap(NULL, vfio_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	assert_true(page != MAP_FAILED);
	assert_int_equal(vfio_page_check(page, &info), -ENODATA);
	vfio_page_reset(page, true);
	assert_int_equal(vfio_page_check(page, &info), 0);
	info.irq_counts[VFIO_IRQ_INTX] = 1;
	info.irq_counts[VFIO_IRQ_MSIX] = 8;
	page->state = VFIO_STATE_BUSY;
	page->files_used = 2;
	page->files[0] = (struct vfio_page_file){.size = 0x10000, .writable = 1, .valid = 1};
	page->files[1] = (struct vfio_page_file){.size = 0x1000, .valid = 1};
	page->maps_used = 4;
	page->maps[0] = (struct vfio_page_map){0x10000, 0x10000, 0, 0, RW, 0, 1};
	page->maps[1] = (struct vfio_page_map){0x1000, 0x1000, 0, 1, WIRE_DMA_MAP_READ, 0, 1};
	page->maps[3] =
		(struct vfio_page_map){UINT64_MAX - 4095, 0x1000, 0, VFIO_MAP_NO_FILE, RW, 0, 1};
	page->irqs_used[VFIO_IRQ_MSIX] = 8;
	page->irqs[VFIO_IRQ_MSIX][7] = 1;
	page->irqs_used[VFIO_IRQ_INTX] = 2;
	page->irqs[VFIO_IRQ_INTX][1] = 1;
	page->rx.header = (struct wire_header){1, WIRE_DEVICE_RESET, 16, 0, 0};
	page->rx.take.before = 16;
	page->tx.header = (struct wire_header){1, WIRE_DEVICE_RESET, 40, 1, 0};
	page->tx.len = 40;
	page->tx.send.before = 20;
	page->messages[3] = (struct vfio_page_message){VFIO_MESSAGE_WAITING, 67, WIRE_DMA_READ, 0,
						       WIRE_TRANSFER_MAX};
	return 0;
}

static int page_teardown(void **state)
{
	return munmap(page, vfio_page_size());
}

/* Breaks one field, expects the refusal, mends it. */
#define REFUSED(field, value)                                                                      \
	do {                                                                                       \
		__typeof__(page->field) saved = page->field;                                       \
                                                                                                   \
		page->field = (value);                                                             \
		assert_int_equal(vfio_page_check(page, &info), -EBADMSG);                          \
		page->field = saved;                                                               \
		assert_int_equal(vfio_page_check(page, &info), 0);                                 \
	} while (0)

static void test_rules(void **state)
{
	assert_int_equal(vfio_page_check(page, &info), 0);
	REFUSED(magic, 0);
	REFUSED(magic, VFIO_PAGE_MAGIC + 1);
	REFUSED(version, 0);
	REFUSED(version, VFIO_PAGE_VERSION + 1);
	REFUSED(size, sizeof(*page) - 1);
	REFUSED(state, VFIO_STATE_COUNT);
	REFUSED(files_used, VFIO_SLOT_MEMORY_MAX + 1);
	REFUSED(maps_used, WIRE_DMA_MAPS_MAX + 1);
	REFUSED(maps_used, UINT32_MAX);
	REFUSED(tries, VFIO_TRIES_MAX + 1);
	REFUSED(answer_tries, VFIO_TRIES_MAX + 1);
	REFUSED(peer.major, 1);
	REFUSED(peer.minor, WIRE_MINOR + 1);
	REFUSED(peer.flags, 16);
	REFUSED(intx.level, 2);
	REFUSED(intx.masked, 4);
	REFUSED(files[0].size, 0);
	REFUSED(files[0].size, UINT64_MAX);
	REFUSED(files[0].valid, 2);
	REFUSED(files[0].valid, 0); /* a map needs it */
	REFUSED(files[0].writable, 0);
	REFUSED(files[0].checked, 2);
	REFUSED(irqs_used[VFIO_IRQ_MSIX], 9);
	REFUSED(irqs_used[VFIO_IRQ_MSI], 1);
	REFUSED(irqs_used[VFIO_IRQ_INTX], 3);
	REFUSED(irqs[VFIO_IRQ_MSIX][0], 2);
}

static void test_maps(void **state)
{
	REFUSED(maps[0].valid, 2);
	REFUSED(maps[0].addr, 0x10001);
	REFUSED(maps[0].size, 0);
	REFUSED(maps[0].size, 0x10001);
	REFUSED(maps[0].size, 0x11000);
	REFUSED(maps[0].offset, 0x1000);
	REFUSED(maps[0].offset, UINT64_MAX - 4095);
	REFUSED(maps[0].file, 2);
	REFUSED(maps[0].file, UINT32_MAX - 1);
	REFUSED(maps[0].access, 0);
	REFUSED(maps[0].access, 4);
	REFUSED(maps[3].size, 0x2000);
	REFUSED(maps[1].addr, 0x10000);
	REFUSED(maps[1].addr, 0x1f000);
	REFUSED(maps[0].addr, 0);
	/* neighbours do not overlap */
	page->maps[1].addr = 0xf000;
	assert_int_equal(vfio_page_check(page, &info), 0);
}

static void test_messages(void **state)
{
	REFUSED(rx.take.before, 15);
	REFUSED(rx.take.before, 17);
	REFUSED(rx.take.before, UINT32_MAX);
	REFUSED(rx.header.size, WIRE_MESSAGE_MAX + 1);
	REFUSED(rx.header.size, 8);
	REFUSED(rx.header.flags, 2);
	REFUSED(rx.flags, 4);
	REFUSED(rx.fd_count, WIRE_FDS_MAX + 1);
	REFUSED(rx.multi_count, 2);
	REFUSED(rx.flags, VFIO_RX_PEEKED | VFIO_RX_TAKING);
	REFUSED(rx.flags, VFIO_RX_PEEKED);
	REFUSED(rx.take.moved, 1);
	REFUSED(rx.take.moved, UINT32_MAX);
	REFUSED(rx.number, 1);
	REFUSED(served, 2);
	REFUSED(tx.send.moved, 21);
	REFUSED(tx.send.moved, UINT32_MAX);
	REFUSED(tx.len, WIRE_MESSAGE_MAX + 1);
	REFUSED(tx.len, 39);
	REFUSED(tx.send.before, 41);
	REFUSED(tx.region, VFIO_REGION_COUNT + 1);
	REFUSED(messages[3].state, VFIO_MESSAGE_STATE_COUNT);
	REFUSED(messages[3].count, WIRE_TRANSFER_MAX + 1);
	REFUSED(messages[3].command, WIRE_DMA_MAP);
}

/* Any single byte changed in the head and the rows: an answer, whichever, and no access outside. */
static void test_any_byte(void **state)
{
	uint8_t *bytes = (uint8_t *)page;
	size_t ranges[][2] = {
		{0, offsetof(struct vfio_page, files) + 3 * sizeof(struct vfio_page_file)},
		{offsetof(struct vfio_page, rx), offsetof(struct vfio_page, rx) + 64},
		{offsetof(struct vfio_page, tx), offsetof(struct vfio_page, tx) + 64},
		{offsetof(struct vfio_page, maps),
		 offsetof(struct vfio_page, maps) + 5 * sizeof(struct vfio_page_map)},
	};

	for (size_t r = 0; r < ARRAY_SIZE(ranges); r++) {
		for (size_t i = ranges[r][0]; i < ranges[r][1]; i++) {
			uint8_t saved = bytes[i];

			for (int bit = 0; bit < 8; bit++) {
				bytes[i] = (uint8_t)(saved ^ (1 << bit));
				(void)!vfio_page_check(page, &info);
			}
			bytes[i] = saved;
		}
	}
	assert_int_equal(vfio_page_check(page, &info), 0);
}

/* A bad page is cleared, a good one forgets its client; both serve. */
static void test_reset(void **state)
{
	page->maps_used = UINT32_MAX;
	page->intx.level = 1;
	vfio_page_reset(page, false);
	assert_int_equal(vfio_page_check(page, &info), 0);
	assert_int_equal(page->maps[0].valid, 0);
	assert_int_equal(page->intx.level, 0);
	page_teardown(NULL);
	page_setup(NULL);
	page->intx.level = 1;
	vfio_page_reset(page, true);
	assert_int_equal(vfio_page_check(page, &info), 0);
	assert_int_equal(page->state, VFIO_STATE_IDLE);
	assert_int_equal(page->maps[3].valid, 0);
	assert_int_equal(page->irqs[VFIO_IRQ_MSIX][7], 0);
	assert_int_equal(page->intx.level, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, page_setup, page_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_rules),    TEST(test_maps),  TEST(test_messages),
		TEST(test_any_byte), TEST(test_reset),
	};

	return cmocka_run_group_tests_name("vfio/page", tests, NULL, NULL);
}
