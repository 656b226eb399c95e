/* SPDX-License-Identifier: BSD-3-Clause */
/* The wire codec alone: limits at and beyond, and any bytes at all. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static void test_header(void **state)
{
	struct wire_header h = {7, WIRE_DMA_MAP, 16, 0, 0};
	struct wire_header r;

	assert_int_equal(wire_header_check(&h), 0);
	h.size = 15;
	assert_int_equal(wire_header_check(&h), -EPROTO);
	h.size = WIRE_MESSAGE_MAX;
	assert_int_equal(wire_header_check(&h), 0);
	h.size = WIRE_MESSAGE_MAX + 1;
	assert_int_equal(wire_header_check(&h), -EMSGSIZE);
	h.size = 16;
	for (uint32_t type = 2; type < 16; type++) {
		h.flags = type;
		assert_int_equal(wire_header_check(&h), -EPROTO);
	}
	h.flags = WIRE_TYPE_REPLY | WIRE_FLAG_ERROR;
	assert_int_equal(wire_header_check(&h), 0);
	r = wire_reply_header(&h, 24, 0);
	assert_int_equal(r.id, 7);
	assert_int_equal(r.command, WIRE_DMA_MAP);
	assert_int_equal(r.size, 40);
	assert_int_equal(r.flags, 1);
	r = wire_reply_header(&h, 0, EINVAL);
	assert_int_equal(r.flags, 0x21);
	assert_int_equal(r.error, EINVAL);
}

static int version_decode(uint16_t major, uint16_t minor, const char *json, struct wire_client *c)
{
	size_t len = 4 + (json ? strlen(json) + 1 : 0);
	uint8_t *body = malloc(len);
	int r;

	assert_non_null(body);
	memcpy(body, &major, 2);
	memcpy(body + 2, &minor, 2);
	if (json)
		memcpy(body + 4, json, strlen(json) + 1);
	r = wire_version_decode(body, len, c);
	free(body);
	return r;
}

static void test_version(void **state)
{
	struct wire_client c;
	char reply[200];
	int len;

	assert_int_equal(version_decode(0, 0, QEMU_JSON, &c), 0);
	assert_true(c.has_json && c.write_multiple);
	assert_int_equal(c.max_msg_fds, 16);
	assert_int_equal(c.max_data_xfer, 1048576);
	len = wire_version_encode(&c, reply, sizeof(reply));
	assert_in_range(len, 5, 184);
	assert_int_equal(reply[len - 1], 0);
	assert_int_equal(strlen(reply + 4), len - 5);
	assert_non_null(strstr(reply + 4, "\"write_multiple\":true"));
	assert_int_equal(wire_version_encode(&c, reply, (size_t)len), len);
	assert_int_equal(wire_version_encode(&c, reply, (size_t)len - 1), -ENOSPC);
	assert_int_equal(wire_version_encode(&c, reply, 3), -ENOSPC);

	/* what is not said has the protocol's defaults; no more is answered than was asked */
	assert_int_equal(version_decode(0, 5, NULL, &c), 0);
	assert_false(c.has_json || c.write_multiple);
	assert_int_equal(c.max_msg_fds, 1);
	assert_int_equal(c.max_data_xfer, 1048576);
	len = wire_version_encode(&c, reply, sizeof(reply));
	assert_null(strstr(reply + 4, "write_multiple"));
	assert_int_equal(reply[2], WIRE_MINOR);
	assert_int_equal(version_decode(0, 0, "{}", &c), 0);
	assert_int_equal(version_decode(0, 0,
					"{\"capabilities\":{\"write_multiple\":false,"
					"\"twin_socket\":{\"supported\":true},\"new\":[1]}}",
					&c),
			 0);
	assert_false(c.write_multiple);
	assert_int_equal(version_decode(0, 0, "{\"capabilities\":{\"max_msg_fds\":4294967296}}",
					&c),
			 -EINVAL);
	assert_int_equal(version_decode(2, 0, NULL, &c), -EPROTONOSUPPORT);
	assert_int_equal(wire_version_decode("\0\0\0", 3, &c), -EINVAL);
}

static void test_dma_map(void **state)
{
	struct wire_dma_map m = {32, 3, 0, 0, 4096};
	struct wire_dma_map r;

	assert_int_equal(wire_dma_map_decode(&m, 32, 0, &r), 0);
	assert_int_equal(wire_dma_map_decode(&m, 32, 1, &r), 0);
	assert_int_equal(wire_dma_map_decode(&m, 32, 2, &r), -EINVAL);
	assert_int_equal(wire_dma_map_decode(&m, 31, 0, &r), -EINVAL);
	/* up to 2^64 and not beyond */
	m.addr = UINT64_MAX - 4095;
	assert_int_equal(wire_dma_map_decode(&m, 32, 0, &r), 0);
	m.size = 8192;
	assert_int_equal(wire_dma_map_decode(&m, 32, 0, &r), -EINVAL);
	m.addr = 0;
	m.size = UINT64_MAX - 4095;
	assert_int_equal(wire_dma_map_decode(&m, 32, 0, &r), 0);
	/* the offset matters only with a descriptor */
	m.offset = 12345;
	assert_int_equal(wire_dma_map_decode(&m, 32, 0, &r), 0);
	assert_int_equal(r.offset, 0);
	assert_int_equal(wire_dma_map_decode(&m, 32, 1, &r), -EINVAL);
}

static void test_dma_unmap(void **state)
{
	struct wire_dma_unmap u = {24, 0, 0xfef00000, 0xffffffff01100000};
	struct wire_dma_unmap r;

	assert_int_equal(wire_dma_unmap_decode(&u, 24, &r), 0);
	u.size++;
	assert_int_equal(wire_dma_unmap_decode(&u, 24, &r), -EINVAL);
	u = (struct wire_dma_unmap){24, WIRE_DMA_UNMAP_ALL, 0, 0};
	assert_int_equal(wire_dma_unmap_decode(&u, 24, &r), 0);
}

static void test_multi(void **state)
{
	uint8_t body[8 + 2 * 24] = {2};
	struct wire_multi_entry e;
	uint64_t count;

	body[8 + 24] = 0x11;
	assert_int_equal(wire_multi_decode(body, sizeof(body), &count), 0);
	assert_int_equal(count, 2);
	wire_multi_entry(body, 1, &e);
	assert_int_equal(e.offset, 0x11);
	assert_int_equal(wire_multi_decode(body, sizeof(body) - 1, &count), -EINVAL);
	body[0] = 3;
	assert_int_equal(wire_multi_decode(body, sizeof(body), &count), -EINVAL);
	memset(body, 0xff, 8);
	assert_int_equal(wire_multi_decode(body, sizeof(body), &count), -EINVAL);
	memset(body, 0, 8);
	assert_int_equal(wire_multi_decode(body, 8, &count), 0);
}

/* Small numbers, page multiples and extremes, as a fuzzer would like them. */
static uint64_t random_number(unsigned *seed)
{
	static const uint64_t nice[] = {0,
					1,
					4,
					8,
					16,
					20,
					24,
					32,
					4096,
					8192,
					UINT32_MAX,
					1ull << 63,
					UINT64_MAX - 4095,
					UINT64_MAX};

	if (rand_r(seed) % 2)
		return nice[(unsigned)rand_r(seed) % ARRAY_SIZE(nice)];
	return (uint64_t)rand_r(seed) % 64;
}

static bool range_ok(uint64_t start, uint64_t size)
{
	uint64_t last;

	return size > 0 && !__builtin_add_overflow(start, size - 1, &last);
}

/* Whatever stands in a body of whatever length: no byte beyond it is read (sanitizers look), and
 * what is accepted keeps the rules. */
static void test_any_bytes(void **state)
{
	unsigned seed = 42;
	uint32_t accepted = 0;

	printf("seed %u\n", seed);
	for (int round = 0; round < 200000; round++) {
		size_t len = (size_t)rand_r(&seed) % 64;
		uint8_t *body = malloc(len + 1);
		size_t nfds = (size_t)rand_r(&seed) % 3;
		struct wire_dma_map map;
		struct wire_dma_unmap unmap;
		struct wire_set_irqs irqs;
		struct wire_region_access access;
		struct wire_feature feature;
		struct wire_client client;
		const uint8_t *bools;
		uint64_t count;

		assert_non_null(body);
		body = realloc(body, len ? len : 1);
		for (size_t at = 0; at + 8 <= len; at += 8) {
			uint64_t low = random_number(&seed);

			/* 32-bit fields need small numbers in both halves */
			if (rand_r(&seed) % 2)
				low = (uint32_t)low | random_number(&seed) << 32;
			memcpy(body + at, &low, 8);
		}
		if (wire_dma_map_decode(body, len, nfds, &map) == 0) {
			assert_true(range_ok(map.addr, map.size) && range_ok(map.offset, map.size));
			assert_true((map.addr | map.size | map.offset) % 4096 == 0);
			assert_true(len >= 32 && nfds <= 1 && (map.flags & 3));
			accepted++;
		}
		if (wire_dma_unmap_decode(body, len, &unmap) == 0) {
			assert_true(unmap.flags ? !unmap.addr && !unmap.size
						: range_ok(unmap.addr, unmap.size));
			accepted++;
		}
		if (wire_set_irqs_decode(body, len, nfds, &irqs, &bools) == 0) {
			if (bools)
				assert_true(bools + irqs.count <= body + len);
			if (irqs.flags & WIRE_IRQ_DATA_FDS)
				assert_true(nfds == 0 || nfds == irqs.count);
			accepted++;
		}
		if (wire_region_access_decode(body, len, true, &access) == 0) {
			assert_true(access.count > 0 && access.count <= len - 16);
			accepted++;
		}
		if (wire_multi_decode(body, len, &count) == 0)
			assert_true(count <= (len - 8) / 24);
		(void)!wire_feature_decode(body, len, &feature);
		(void)!wire_version_decode(body, len, &client);
		free(body);
	}
	/* the numbers above are nice enough to get through now and then */
	assert_true(accepted > 100);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),	cmocka_unit_test(test_version),
		cmocka_unit_test(test_dma_map), cmocka_unit_test(test_dma_unmap),
		cmocka_unit_test(test_multi),	cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests_name("vfio/wire", tests, NULL, NULL);
}
