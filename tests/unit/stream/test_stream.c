/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams of state: what is written is read again, and nothing that was changed is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stream/stream.h"
#include "util/base64.h"
#include "util/crc32c.h"

#define COMPAT "driver nvme\nstate 1\ntype umdev NVMe 1 GiB\nsize 1073741824\n"

static uint8_t pci[4096];
static uint8_t driver[100000];

static size_t write_one(uint8_t *buf, size_t room)
{
	struct stream stream = {0};
	int64_t len;

	memset(pci, 7, 100);
	memset(driver + 10, 9, 1001);
	stream_add(&stream, STREAM_COMPAT, COMPAT, strlen(COMPAT));
	stream_add(&stream, STREAM_ABOUT, "{}", 2);
	stream_add(&stream, STREAM_PCI, pci, sizeof(pci));
	stream_add(&stream, STREAM_DRIVER, driver, sizeof(driver));
	stream_add(&stream, STREAM_BAR + 5, driver, 8);
	len = stream_write(&stream, buf, room);
	assert_true(len > 0 && len % 8 == 0);
	return (size_t)len;
}

static void test_round_trip(void **state)
{
	static uint8_t buf[8192];
	static uint8_t back[sizeof(driver)];
	struct umdev_error err = {0};
	struct stream stream;
	char value[32];
	size_t len = write_one(buf, sizeof(buf));

	/* Zeros at the end of a part take no room. */
	assert_true(len < 100 + 1011 + 600);
	assert_int_equal(stream_read(buf, len, &stream, &err), 0);
	assert_int_equal(stream.count, 5);
	assert_null(stream_find(&stream, STREAM_BAR));
	assert_true(stream_unpack(stream_find(&stream, STREAM_PCI), back, sizeof(pci)));
	assert_memory_equal(back, pci, sizeof(pci));
	memset(back, 1, sizeof(back));
	assert_true(stream_unpack(stream_find(&stream, STREAM_DRIVER), back, sizeof(driver)));
	assert_memory_equal(back, driver, sizeof(driver));
	assert_false(stream_unpack(stream_find(&stream, STREAM_DRIVER), back, sizeof(driver) - 1));
	assert_true(stream_compat(&stream, "type", value, sizeof(value)));
	assert_string_equal(value, "umdev NVMe 1 GiB");
	assert_false(stream_compat(&stream, "typ", value, sizeof(value)));
	assert_false(stream_compat(&stream, "type", value, 16));
	assert_true(stream_compat(&stream, "state", value, 2));
}

static void test_no_room(void **state)
{
	static uint8_t buf[8192];
	size_t len = write_one(buf, sizeof(buf));
	struct stream stream = {0};

	stream_add(&stream, STREAM_COMPAT, COMPAT, strlen(COMPAT));
	assert_int_equal(stream_write(&stream, buf, 10), -ENOSPC);
	assert_int_equal(write_one(buf, len), len);
}

/* Every byte changed, every length: an error with a reason, never a read beyond the end. */
static void test_every_change(void **state)
{
	static uint8_t buf[8192];
	size_t len = write_one(buf, sizeof(buf));
	struct umdev_error err = {0};
	struct stream stream;

	for (size_t i = 0; i < len; i++) {
		uint8_t *copy = malloc(len);

		memcpy(copy, buf, len);
		for (unsigned bit = 0; bit < 8; bit++) {
			copy[i] = (uint8_t)(buf[i] ^ 1u << bit);
			err.message[0] = '\0';
			assert_true(stream_read(copy, len, &stream, &err) < 0);
			assert_true(err.message[0]);
		}
		free(copy);
	}
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *copy = malloc(cut + 1);

		memcpy(copy, buf, cut);
		assert_true(stream_read(copy, cut, &stream, &err) < 0);
		free(copy);
	}
	assert_true(stream_read(buf, len + 8, &stream, &err) < 0);
}

/* Sums up what was changed, so that the rules behind the checksum are reached. */
static void seal(uint8_t *buf, size_t len)
{
	uint32_t sum = crc32c(0, buf, len - 8);

	memcpy(buf + len - 8, &sum, sizeof(sum));
}

/* The same with a checksum that is right: what still reads keeps every rule of the format. */
static void test_every_change_sealed(void **state)
{
	static uint8_t buf[8192];
	size_t len = write_one(buf, sizeof(buf));

	for (size_t i = 0; i < len - 8; i++) {
		uint8_t *copy = malloc(len);

		for (unsigned value = 0; value < 256; value += 5) {
			struct stream stream = {0};

			memcpy(copy, buf, len);
			copy[i] = (uint8_t)value;
			seal(copy, len);
			if (stream_read(copy, len, &stream, NULL) < 0)
				continue;
			for (uint32_t n = 0; n < stream.count; n++) {
				const struct stream_section *s = &stream.sections[n];

				assert_true(s->stored <= s->size);
				assert_true((const uint8_t *)s->data >= copy &&
					    (const uint8_t *)s->data + s->stored <= copy + len - 8);
			}
		}
		free(copy);
	}
}

static void test_versions(void **state)
{
	static uint8_t buf[8192];
	size_t len = write_one(buf, sizeof(buf));
	struct umdev_error err = {0};
	struct stream stream;

	buf[8] = 2;
	seal(buf, len);
	assert_int_equal(stream_read(buf, len, &stream, &err), -EINVAL);
	assert_non_null(strstr(err.message, "format 2, only 1"));
}

/* Of every beginning: more is needed, until the text is there; a change that shows is refused then,
 * and none that the whole allows. */
static void test_begin(void **state)
{
	static uint8_t buf[8192];
	const size_t text = 72 + strlen(COMPAT);
	size_t len = write_one(buf, sizeof(buf));
	struct umdev_error err = {0};
	struct stream stream;
	uint64_t size = 0;

	for (size_t n = 0; n <= len; n++) {
		uint8_t *part = malloc(n + 1);

		memcpy(part, buf, n);
		assert_int_equal(stream_begin(part, n, &stream, &size, &err), n >= text);
		free(part);
	}
	assert_int_equal(size, len);
	assert_int_equal(stream.count, 1);
	assert_int_equal(stream_begin(buf, len + 1, &stream, &size, &err), -EINVAL);
	for (size_t i = 0; i < 72; i++) {
		int first = 0;

		buf[i] ^= 0x81;
		for (size_t n = 0; n <= len && first == 0; n++)
			first = stream_begin(buf, n, &stream, &size, &err) < 0 ? (int)n : 0;
		/* The number of sections and the length may be others. */
		if (i < 12)
			assert_in_range(first, i < 8 ? i + 1 : 12, 12);
		else if (i != 12 && (i < 16 || i > 23))
			assert_in_range(first, 48, len);
		buf[i] ^= 0x81;
	}
	buf[text - 1] = ' ';
	assert_int_equal(stream_begin(buf, text - 1, &stream, &size, &err), 0);
	assert_int_equal(stream_begin(buf, text, &stream, &size, &err), -EINVAL);
	assert_non_null(strstr(err.message, "is no text"));
}

static void check_compare(const char *is, const char *want, const char *says)
{
	struct umdev_error err = {0};
	int r = stream_compare(is, strlen(is), want, strlen(want), &err);

	assert_int_equal(r, says ? -EINVAL : 0);
	if (says)
		assert_non_null(strstr(err.message, says));
}

static void test_compare(void **state)
{
	check_compare(COMPAT, COMPAT, NULL);
	check_compare("a 1\nb 2\n", "a 1\nb 3\n", "of 'b 2', the device here is 'b 3'");
	check_compare("a 1\n", "a 1\nb 3\n", "of '', the device here is 'b 3'");
	check_compare("a 1\nb 2\n", "a 1\n", "of 'b 2', the device here is ''");
	check_compare("a 1\n", "a 12\n", "of 'a 1', the device here is 'a 12'");
}

static void test_crc32c(void **state)
{
	static const uint8_t zeros[32];

	/* RFC 3720, appendix B.4, and the check value of the polynomial. */
	assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void check_base64(const char *data, const char *text)
{
	umdev_autofree char *encoded = base64_encode(data, strlen(data));
	umdev_autofree void *decoded = NULL;
	size_t len = 0;

	assert_string_equal(encoded, text);
	assert_int_equal(base64_decode(text, strlen(text), &decoded, &len), 0);
	assert_int_equal(len, strlen(data));
	assert_memory_equal(decoded, data, len);
}

static void test_base64(void **state)
{
	static const char *const bad[] = {"A",	  "AA",	  "AAA",      "A===", "====", "AA=A",
					  "AB==", "AAB=", "AA==AAAA", "AA A", "AA-_", "\n"};
	void *none = NULL;
	size_t len;

	check_base64("", "");
	check_base64("f", "Zg==");
	check_base64("fo", "Zm8=");
	check_base64("foo", "Zm9v");
	check_base64("foobar", "Zm9vYmFy");
	check_base64("\xff\xfe\xfd", "//79");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(base64_decode(bad[i], strlen(bad[i]), &none, &len), -EINVAL);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_every_change), cmocka_unit_test(test_every_change_sealed),
		cmocka_unit_test(test_versions),     cmocka_unit_test(test_begin),
		cmocka_unit_test(test_compare),	     cmocka_unit_test(test_crc32c),
		cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
