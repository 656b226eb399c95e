/* SPDX-License-Identifier: BSD-3-Clause */
/* Parents: options, types, slices, wiping; and attributes of mdevs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"

static void test_types(void **state)
{
	const struct umdev_type *t;

	fake_up(&(struct fake_options){.size = 64u << 20, .types = "512m,1g,1536m,2t,rest"});
	t = fake.info.types;
	assert_int_equal(fake.info.type_count, 5);
	assert_string_equal(t[0].id, "512m");
	assert_string_equal(t[0].name, "umdev NVMe 512 MiB");
	assert_string_equal(t[1].name, "umdev NVMe 1 GiB");
	assert_string_equal(t[1].description, "NVMe drive of 1 GiB, 512-byte blocks");
	assert_int_equal(t[1].cost, 1ull << 30);
	assert_string_equal(t[2].name, "umdev NVMe 1536 MiB");
	assert_string_equal(t[3].name, "umdev NVMe 2 TiB");
	assert_string_equal(t[4].id, "rest");
	assert_string_equal(t[4].name, "umdev NVMe rest");
	assert_int_equal(t[4].flags, UMDEV_TYPE_REST);
	assert_int_equal(t[4].cost, 1u << 20);
	assert_string_equal(t[0].attrs[0].name, "capacity");
	assert_null(t[0].attrs[0].value);
	assert_string_equal(t[0].attrs[1].value, "512");
	assert_null(t[0].attrs[2].name);
	assert_int_equal(fake.info.pool_units, 64u << 20);
	assert_int_equal(fake.info.pool_align, 1u << 20);
	fake_down();
	fake_up(&(struct fake_options){.size = 64u << 20, .types = "1g", .block_size_index = 1});
	assert_string_equal(fake.info.types[0].id, "1g");
	assert_string_equal(fake.info.types[0].name, "umdev NVMe 1 GiB, 4 KiB blocks");
	assert_string_equal(fake.info.types[0].attrs[1].value, "4096");
	fake_down();
}

static void test_bad_types(void **state)
{
	static const char *const bad[][2] = {
		{"", "''"},
		{"1g,", "''"},
		{"1", "'1'"},
		{"g", "'g'"},
		{"0g", "'0g'"},
		{"1k", "'1k'"},
		{"-1g", "'-1g'"},
		{"1g,1024m", "repeats"},
		{"rest,rest", "repeats"},
		{"99999999999t", "is not a size"},
		{"1g, 2g", "' 2g'"},
		{"01g", "'01g'"},
		{"Rest", "'Rest'"},
		{"9999999t", "is not a size"},
	};

	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(fake_open(&(struct fake_options){.types = bad[i][0]}), -EINVAL);
		assert_non_null(strstr(fake.failed, "types: "));
		assert_non_null(strstr(fake.failed, bad[i][1]));
		fake_down();
	}
	assert_int_equal(
		fake_open(&(struct fake_options){
			.types = "1m,2m,3m,4m,5m,6m,7m,8m,9m,10m,11m,12m,13m,14m,15m,16m,17m,18m,"
				 "19m,20m,21m,22m,23m,24m,25m,26m,27m,28m,29m,30m,31m,32m,33m"}),
		-EINVAL);
	assert_string_equal(fake.failed, "types: more than 32 of them");
	fake_down();
}

static void test_small(void **state)
{
	struct fake_options options = {.size = 0};

	options.path = guest_file((1u << 20) - 1);
	assert_int_equal(fake_open(&options), -EINVAL);
	assert_non_null(strstr(fake.failed, "smaller than 1 MiB"));
	assert_non_null(strstr(fake.failed, options.path));
	fake_down();
	unlink(options.path);
	options.path = guest_file(1u << 20);
	fake_up(&options);
	assert_int_equal(fake.info.pool_units, 1u << 20);
	fake_down();
	unlink(options.path);
}

static void test_attributes(void **state)
{
	assert_int_equal(fake_open(&(struct fake_options){.size = 1u << 20}), 0);
	assert_int_equal(fake_create(&(struct fake_options){.serial = "tab\there"}, 0), -EINVAL);
	assert_non_null(strstr(fake.failed, "serial"));
	assert_int_equal(fake_create(&(struct fake_options){.serial = "123456789012345678901"}, 0),
			 -EINVAL);
	assert_int_equal(fake_create(&(struct fake_options){.model = "\xc3\xa4"}, 0), -EINVAL);
	assert_non_null(strstr(fake.failed, "model"));
	assert_int_equal(fake_create(&(struct fake_options){.piece_start = 1u << 20}, 0), -EINVAL);
	assert_int_equal(fake_create(&(struct fake_options){.interrupts = 2, .queues = 1}, 0), 0);
	assert_int_equal(fake.device.msix_vectors, 0);
	assert_int_equal(fake.device.msi_vectors, 0);
	assert_int_equal(fake.device.interrupt_pin, 1);
	guest_enable(4);
	fake_down();
	fake_up(&(struct fake_options){.size = 1u << 20});
	assert_int_equal(fake.device.class_code, 0x010802);
	assert_int_equal(fake.device.msix_vectors, 65);
	assert_int_equal(fake.device.bars[0].size, 0x4000);
	assert_int_equal(fake.device.bars[0].flags, UMDEV_BAR_64);
	assert_int_equal(fake.device.bars[0].mmap[0].size, 0);
	fake_down();
}

/* A drive in the middle of a file touches nothing outside of its piece. */
static void test_slice(void **state)
{
	struct fake_options options = {.piece_start = 8u << 20, .piece_size = 4u << 20};
	uint8_t *edge = malloc(4096);
	int fd;

	options.path = guest_file(32u << 20);
	fd = open(options.path, O_RDWR | O_CLOEXEC);
	memset(edge, 0x11, 4096);
	assert_int_equal(pwrite(fd, edge, 4096, (8u << 20) - 4096), 4096);
	assert_int_equal(pwrite(fd, edge, 4096, 12u << 20), 4096);
	fake_up(&options);
	guest_enable(32);
	guest_create_pair(1, 16);
	memset(fake.memory + GUEST_BUFFER, 0x99, 1u << 20);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(
			guest_run(1, guest_transfer(NVME_IO_WRITE, i * 2048ull, 2048, GUEST_BUFFER),
				  NULL),
			NVME_OK);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, 8192, 1, GUEST_BUFFER), NULL),
			 NVME_LBA_RANGE);
	assert_int_equal(pread(fd, edge, 4096, (8u << 20) - 4096), 4096);
	assert_int_equal(edge[4095], 0x11);
	assert_int_equal(pread(fd, edge, 4096, 12u << 20), 4096);
	assert_int_equal(edge[0], 0x11);
	assert_int_equal(pread(fd, edge, 4096, (12u << 20) - 4096), 4096);
	assert_int_equal(edge[4095], 0x99);
	/* Wiped, and only there. */
	assert_int_equal(fake.driver->discard(fake.parent, 8u << 20, 4u << 20), -EINPROGRESS);
	assert_int_equal(fake.driver->discard(fake.parent, 0, 1u << 20), -EBUSY);
	for (uint32_t i = 0; i < 2000000 && fake.discards_done == 0; i++)
		fake_turn();
	assert_int_equal(fake.discards_done, 1);
	assert_int_equal(fake.discard_status, 0);
	assert_int_equal(pread(fd, edge, 4096, (12u << 20) - 4096), 4096);
	assert_int_equal(edge[0] | edge[4095], 0);
	assert_int_equal(pread(fd, edge, 4096, 12u << 20), 4096);
	assert_int_equal(edge[0], 0x11);
	assert_int_equal(pread(fd, edge, 4096, (8u << 20) - 4096), 4096);
	assert_int_equal(edge[4095], 0x11);
	assert_int_equal(fake.driver->discard(fake.parent, 31u << 20, 2u << 20), -EINVAL);
	assert_int_equal(fake.driver->discard(fake.parent, ~0ull, 2), -EINVAL);
	close(fd);
	free(edge);
	fake_down();
	unlink(options.path);
}

static void test_wipe_ram(void **state)
{
	fake_up(&(struct fake_options){.size = 16u << 20});
	guest_enable(32);
	guest_create_pair(1, 16);
	memset(fake.memory + GUEST_BUFFER, 0x99, 4096);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, 0, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
	assert_int_equal(fake.driver->discard(fake.parent, 0, 16u << 20), -EINPROGRESS);
	for (uint32_t i = 0; i < 2000000 && fake.discards_done == 0; i++)
		fake_turn();
	assert_int_equal(fake.discard_status, 0);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
	assert_int_equal(fake.memory[GUEST_BUFFER] | fake.memory[GUEST_BUFFER + 4095], 0);
	fake_down();
}

/* Storage that fails: the file was cut short behind our back. */
static void short_file(struct fake_options options)
{
	struct nvme_state_smart *smart;

	options.path = guest_file(16u << 20);
	fake_up(&options);
	guest_enable(32);
	guest_create_pair(1, 16);
	assert_return_code(truncate(options.path, 1u << 20), errno);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 8192, 8, GUEST_BUFFER), NULL),
			 NVME_READ_ERROR);
	smart = &fake.state->smart;
	assert_int_equal(smart->media_errors, 1);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
	fake_down();
	unlink(options.path);
}

static void test_short_file(void **state)
{
	short_file((struct fake_options){.io = 1});
	short_file((struct fake_options){.io = 2});
}

/* fallocate() says what it says for a part of a block of the device. Comes after test_refused(),
 * whose filter lets this one in. */
static void test_part_of_block(void **state)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = 4, .filter = code};
	struct fake_options options = {.io = 2, .path = guest_file(16u << 20)};
	struct nvme_dsm_range range = {.first = 1, .blocks = 2};
	struct nvme_sqe sqe;

	assert_return_code(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), errno);
	fake_up(&options);
	guest_enable(32);
	guest_create_pair(1, 16);
	memset(fake.memory + GUEST_BUFFER, 0x77, 4096);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, 0, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE_ZEROES, 3, 2, 0), NULL),
			 NVME_OK);
	sqe = guest_command(NVME_IO_DATASET, 1);
	sqe.cdw11 = NVME_DSM_DEALLOCATE;
	sqe.prp1 = GUEST_BUFFER + 8192;
	memcpy(fake.memory + sqe.prp1, &range, sizeof(range));
	assert_int_equal(guest_run(1, sqe, NULL), NVME_OK);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
	for (uint32_t i = 0; i < 4096; i++)
		assert_int_equal(fake.memory[GUEST_BUFFER + i],
				 i / 512 == 3 || i / 512 == 4 ? 0 : 0x77);
	fake_down();
	unlink(options.path);
}

/* The kernel refuses io_uring, as many sandboxes do. The filter stays, so this test is nearly the
 * last. */
static void test_refused(void **state)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = 4, .filter = code};
	struct fake_options options = {.io = 1};

	assert_return_code(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), errno);
	assert_return_code(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), errno);
	options.path = guest_file(16u << 20);
	assert_int_equal(fake_open(&options), -EPERM);
	assert_non_null(strstr(fake.failed, "use io=auto or io=threads"));
	fake_down();
	options.io = 0;
	fake_up(&options);
	assert_non_null(strstr(fake.info.description, "by threads"));
	guest_enable(32);
	guest_create_pair(1, 16);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, 0, 64, GUEST_BUFFER), NULL),
			 NVME_OK);
	fake_down();
	unlink(options.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),	      cmocka_unit_test(test_bad_types),
		cmocka_unit_test(test_small),	      cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_slice),	      cmocka_unit_test(test_wipe_ram),
		cmocka_unit_test(test_short_file),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_part_of_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
