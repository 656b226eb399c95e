/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libFuzzer: streams of state. The input is one as it is; and, since nothing finds a checksum by
 * chance, one whose length, count and checksum are put right first.
 */
#include <stdlib.h>
#include <string.h>

#include "stream/stream.h"
#include "util/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_check(bool ok)
{
	if (!ok)
		abort();
}

/* What was read can be used, and is written again as it was. */
static void fuzz_use(const uint8_t *bytes, size_t len, const struct stream *stream)
{
	uint8_t *again = malloc(len);
	struct stream begin;
	uint64_t size = 0;
	char value[16];

	for (uint32_t i = 0; i < stream->count; i++) {
		const struct stream_section *s = &stream->sections[i];
		const uint8_t *at = s->data;

		fuzz_check(at >= bytes && s->stored <= s->size &&
			   s->stored <= (uint64_t)(bytes + len - at));
		fuzz_check(stream_find(stream, s->kind) == s);
		if (s->size < 1u << 20) {
			uint8_t *to = malloc(s->size + 1);

			fuzz_check(stream_unpack(s, to, s->size));
			fuzz_check(!stream_unpack(s, to, s->size + 1));
			free(to);
		}
	}
	fuzz_check(stream_begin(bytes, len, &begin, &size, NULL) == 1 && size == len);
	fuzz_check(begin.sections[0].data == stream->sections[0].data &&
		   begin.sections[0].stored == stream->sections[0].stored);
	(void)!stream_compat(stream, "type", value, sizeof(value));
	(void)!stream_compare(stream->sections[0].data, stream->sections[0].stored, "a 1\n", 4,
			      NULL);
	fuzz_check(stream_write(stream, again, len) == (int64_t)len);
	fuzz_check(memcmp(bytes, again, len) == 0);
	free(again);
}

/* What is refused at some length stays so, and what fits stays so until it is longer than it says.
 */
static void fuzz_begin(const uint8_t *bytes, size_t len)
{
	struct umdev_error err = {0};
	struct stream stream;
	uint64_t size = 0;
	int before = 0;

	for (size_t n = 0; n <= len; n += 1 + n / 64) {
		uint8_t *part = malloc(n + 1);
		int r;

		memcpy(part, bytes, n);
		r = stream_begin(part, n, &stream, &size, &err);
		fuzz_check((r < 0) == (err.message[0] != 0));
		fuzz_check(before >= 0 ? r >= before || r < 0 : r < 0);
		fuzz_check(r != 1 || (size >= n && stream.sections[0].stored <= n));
		before = r;
		free(part);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct umdev_error err = {0};
	struct stream stream;
	uint64_t size = len;
	uint8_t *bytes;
	uint32_t sum;

	fuzz_begin(data, len);
	if (stream_read(data, len, &stream, &err) == 0)
		fuzz_use(data, len, &stream);
	else
		fuzz_check(err.message[0] != 0);
	if (len < 56)
		return 0;
	bytes = malloc(len);
	memcpy(bytes, data, len);
	memcpy(bytes, "umdevsav\1\0\0", 12);
	memcpy(bytes + 16, &size, sizeof(size));
	memset(bytes + 24, 0, 24);
	sum = crc32c(0, bytes, len - 8);
	memcpy(bytes + len - 8, &sum, sizeof(sum));
	memset(bytes + len - 4, 0, 4);
	if (stream_read(bytes, len, &stream, NULL) == 0)
		fuzz_use(bytes, len, &stream);
	free(bytes);
	return 0;
}
