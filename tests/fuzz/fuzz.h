/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the fuzz targets share: an input that is used up from its front, and checks that hold
 * whatever the build.
 *
 * A target is one file fuzz_<what>.c with the entry that libFuzzer calls. It is deterministic: no
 * waiting, no clock but a made-up one, nothing left from one input to the next. The same file is a
 * unit test where replay.c calls it with every file of its corpus.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The entry. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/* Ends the run: what was promised does not hold. */
#define fuzz_check(ok)                                                                             \
	do {                                                                                       \
		if (!(ok)) {                                                                       \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #ok);                   \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The next @bytes (8 at most) as a little-endian number; what is missing is zero. */
static inline uint64_t fuzz_take(struct fuzz_input *in, size_t bytes)
{
	uint64_t value = 0;

	bytes = bytes < in->left ? bytes : in->left;
	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)in->at[i] << (8 * i);
	in->at += bytes;
	in->left -= bytes;
	return value;
}

/* One byte. */
static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
	return (uint8_t)fuzz_take(in, 1);
}

/* A number below @count. */
static inline uint32_t fuzz_pick(struct fuzz_input *in, uint32_t count)
{
	return (uint32_t)fuzz_take(in, count > 256 ? 4 : 1) % count;
}

/* The next @size bytes into @to, zeros where they are missing. Returns how many there were. */
static inline size_t fuzz_copy(struct fuzz_input *in, void *to, size_t size)
{
	size_t n = size < in->left ? size : in->left;

	memset(to, 0, size);
	if (n > 0)
		memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
	return n;
}

/* What comes up to the byte @end, or up to the end, as a new text of its own length. */
static inline char *fuzz_text(struct fuzz_input *in, uint8_t end)
{
	const uint8_t *stop = in->left > 0 ? memchr(in->at, end, in->left) : NULL;
	size_t len = stop ? (size_t)(stop - in->at) : in->left;
	char *text = malloc(len + 1);

	fuzz_check(text);
	if (len > 0)
		memcpy(text, in->at, len);
	text[len] = '\0';
	in->at += stop ? len + 1 : len;
	in->left -= stop ? len + 1 : len;
	return text;
}

/* As above, without the byte behind it that a text has: a buffer that ends where its bytes do, so
 * that reading beyond is seen. */
static inline uint8_t *fuzz_chunk(struct fuzz_input *in, size_t len, size_t *ret_len)
{
	size_t n = len < in->left ? len : in->left;
	uint8_t *chunk = malloc(n > 0 ? n : 1);

	fuzz_check(chunk);
	*ret_len = fuzz_copy(in, chunk, n);
	return chunk;
}

/* Reads every one of @len bytes, which are all said to be there. */
static inline void fuzz_touch(const void *bytes, size_t len)
{
	volatile uint8_t sink = 0;

	for (size_t i = 0; i < len; i++)
		sink = ((const uint8_t *)bytes)[i];
	(void)sink;
}
