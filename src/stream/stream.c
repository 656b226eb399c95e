/* SPDX-License-Identifier: BSD-3-Clause */
/* See stream.h. */
#include "stream/stream.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/crc32c.h"

#define STREAM_MAGIC   "umdevsav"
#define STREAM_HEADER  48u
#define STREAM_SECTION 24u
#define STREAM_SUM     8u
#define STREAM_ALIGN   8u
/* No part of a device is larger; sums of them cannot overflow. */
#define STREAM_SIZE_MAX (1ull << 40)

static void put_32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static void put_64(uint8_t *at, uint64_t value)
{
	put_32(at, (uint32_t)value);
	put_32(at + 4, (uint32_t)(value >> 32));
}

static uint32_t get_32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static uint64_t get_64(const uint8_t *at)
{
	return get_32(at) | (uint64_t)get_32(at + 4) << 32;
}

static uint64_t stream_padded(uint64_t size)
{
	return (size + STREAM_ALIGN - 1) & ~(uint64_t)(STREAM_ALIGN - 1);
}

/* ---- Writing */

void stream_add(struct stream *stream, uint32_t kind, const void *data, uint64_t size)
{
	const uint8_t *bytes = data;
	uint64_t stored = size;

	assert(stream->count < STREAM_SECTIONS_MAX && size <= STREAM_SIZE_MAX);
	while (stored > 0 && bytes[stored - 1] == 0)
		stored--;
	stream->sections[stream->count++] =
		(struct stream_section){.kind = kind, .data = data, .stored = stored, .size = size};
}

int64_t stream_write(const struct stream *stream, void *buf, uint64_t room)
{
	uint64_t size = STREAM_HEADER + STREAM_SUM;
	uint8_t *at = buf;

	for (uint32_t i = 0; i < stream->count; i++)
		size += STREAM_SECTION + stream_padded(stream->sections[i].stored);
	if (size > room)
		return -ENOSPC;
	memset(at, 0, STREAM_HEADER);
	memcpy(at, STREAM_MAGIC, 8);
	put_32(at + 8, STREAM_VERSION);
	put_32(at + 12, stream->count);
	put_64(at + 16, size);
	at += STREAM_HEADER;
	for (uint32_t i = 0; i < stream->count; i++) {
		const struct stream_section *s = &stream->sections[i];
		uint64_t padded = stream_padded(s->stored);

		put_32(at, s->kind);
		put_32(at + 4, 0);
		put_64(at + 8, s->size);
		put_64(at + 16, s->stored);
		at += STREAM_SECTION;
		memset(at, 0, padded);
		memcpy(at, s->data, s->stored);
		at += padded;
	}
	put_32(at, crc32c(0, buf, size - STREAM_SUM));
	put_32(at + 4, 0);
	return (int64_t)size;
}

/* ---- Reading */

static int stream_bad(struct umdev_error *err, const char *what)
{
	return error_set(err, ERROR_INVALID, "this is no saved state of a device: %s", what);
}

static bool stream_all_zero(const uint8_t *bytes, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++) {
		if (bytes[i])
			return false;
	}
	return true;
}

/* What can be told of the first @len bytes, however few. */
static int stream_check_magic(const uint8_t *bytes, uint64_t len, struct umdev_error *err)
{
	if (memcmp(bytes, STREAM_MAGIC, MIN(len, (uint64_t)8)) != 0)
		return stream_bad(err, "it does not begin like one");
	if (len >= 12 && get_32(bytes + 8) != STREAM_VERSION)
		return error_set(err, ERROR_INVALID,
				 "the saved state has format %" PRIu32 ", only %u is known here",
				 get_32(bytes + 8), STREAM_VERSION);
	return 0;
}

static bool stream_header_ok(const uint8_t *bytes)
{
	uint32_t count = get_32(bytes + 12);

	return count > 0 && count <= STREAM_SECTIONS_MAX &&
	       stream_all_zero(bytes + 24, STREAM_HEADER - 24);
}

static int stream_bad_length(const uint8_t *bytes, uint64_t len, struct umdev_error *err)
{
	return error_set(err, ERROR_INVALID,
			 "the saved state is cut or has something behind it: it says that it has "
			 "%" PRIu64 " bytes, and there are %" PRIu64,
			 get_64(bytes + 16), len);
}

static int stream_read_header(const uint8_t *bytes, uint64_t len, uint32_t *ret_count,
			      struct umdev_error *err)
{
	int r;

	if (len < STREAM_HEADER)
		return stream_bad(err, "it does not begin like one");
	r = stream_check_magic(bytes, len, err);
	if (r < 0)
		return r;
	if (get_64(bytes + 16) != len || len < STREAM_HEADER + STREAM_SUM)
		return stream_bad_length(bytes, len, err);
	if (get_32(bytes + len - STREAM_SUM) != crc32c(0, bytes, len - STREAM_SUM))
		return error_set(err, ERROR_INVALID,
				 "the saved state is damaged: its checksum is wrong");
	if (!stream_header_ok(bytes) || get_32(bytes + len - 4) != 0)
		return stream_bad(err, "its header breaks a rule");
	*ret_count = get_32(bytes + 12);
	return 0;
}

static bool stream_kind_ok(const struct stream *stream, uint32_t kind)
{
	bool known = (kind >= STREAM_COMPAT && kind <= STREAM_DRIVER) ||
		     (kind >= STREAM_BAR && kind < STREAM_KIND_END);

	return known && (kind == STREAM_COMPAT) == (stream->count == 0) &&
	       !stream_find(stream, kind);
}

/* Lines of a key, a space and a value, without anything that is not to be shown. */
static bool stream_text_ok(const struct stream_section *s)
{
	const uint8_t *text = s->data;

	if (s->stored == 0 || s->stored != s->size || text[s->stored - 1] != '\n')
		return false;
	for (uint64_t i = 0; i < s->stored; i++) {
		if ((text[i] < 0x20 && text[i] != '\n') || text[i] == 0x7f)
			return false;
	}
	return true;
}

static struct stream_section stream_section(const uint8_t *at)
{
	return (struct stream_section){.kind = get_32(at),
				       .data = at + STREAM_SECTION,
				       .size = get_64(at + 8),
				       .stored = get_64(at + 16)};
}

int stream_begin(const void *bytes, uint64_t len, struct stream *ret_stream, uint64_t *ret_size,
		 struct umdev_error *err)
{
	const uint8_t *at = (const uint8_t *)bytes + STREAM_HEADER;
	struct stream_section s;
	uint64_t size;
	int r = stream_check_magic(bytes, len, err);

	if (r < 0 || len < STREAM_HEADER)
		return r;
	size = get_64((const uint8_t *)bytes + 16);
	if (size < MAX(len, (uint64_t)STREAM_HEADER + STREAM_SECTION + STREAM_SUM))
		return stream_bad_length(bytes, len, err);
	if (!stream_header_ok(bytes))
		return stream_bad(err, "its header breaks a rule");
	if (len < STREAM_HEADER + STREAM_SECTION)
		return 0;
	s = stream_section(at);
	if (s.kind != STREAM_COMPAT || get_32(at + 4) != 0)
		return stream_bad(err, "a section is of a kind that does not belong there");
	if (s.stored > size - STREAM_HEADER - STREAM_SECTION - STREAM_SUM)
		return stream_bad(err, "a section is larger than what there is");
	if (s.stored > len - STREAM_HEADER - STREAM_SECTION)
		return 0;
	if (!stream_text_ok(&s))
		return stream_bad(err, "its compatibility text is no text");
	*ret_stream = (struct stream){.sections = {s}, .count = 1};
	*ret_size = size;
	return 1;
}

int stream_read(const void *bytes, uint64_t len, struct stream *ret_stream, struct umdev_error *err)
{
	const uint8_t *at = (const uint8_t *)bytes + STREAM_HEADER;
	struct stream stream = {0};
	uint64_t left;
	uint32_t count = 0;
	int r = stream_read_header(bytes, len, &count, err);

	if (r < 0)
		return r;
	left = len - STREAM_HEADER - STREAM_SUM;
	for (uint32_t i = 0; i < count; i++) {
		struct stream_section s;
		uint64_t padded;

		if (left < STREAM_SECTION)
			return stream_bad(err, "a section is cut");
		s = stream_section(at);
		if (!stream_kind_ok(&stream, s.kind) || get_32(at + 4) != 0)
			return stream_bad(err, "a section is of a kind that does not belong there");
		left -= STREAM_SECTION;
		if (s.size > STREAM_SIZE_MAX || s.stored > s.size || stream_padded(s.stored) > left)
			return stream_bad(err, "a section is larger than what there is");
		padded = stream_padded(s.stored);
		if (!stream_all_zero((const uint8_t *)s.data + s.stored, padded - s.stored))
			return stream_bad(err, "there is something between two sections");
		stream.sections[stream.count++] = s;
		at += STREAM_SECTION + padded;
		left -= padded;
	}
	if (left > 0)
		return stream_bad(err, "there is something behind the last section");
	if (!stream_text_ok(&stream.sections[0]))
		return stream_bad(err, "its compatibility text is no text");
	*ret_stream = stream;
	return 0;
}

const struct stream_section *stream_find(const struct stream *stream, uint32_t kind)
{
	for (uint32_t i = 0; i < stream->count; i++) {
		if (stream->sections[i].kind == kind)
			return &stream->sections[i];
	}
	return NULL;
}

bool stream_unpack(const struct stream_section *section, void *to, uint64_t size)
{
	if (section->size != size)
		return false;
	memcpy(to, section->data, section->stored);
	memset((uint8_t *)to + section->stored, 0, size - section->stored);
	return true;
}

/* ---- The compatibility text */

/* The length of the line that begins at @at, without its end. */
static size_t stream_line(const char *at, const char *end)
{
	const char *stop = memchr(at, '\n', (size_t)(end - at));

	return (size_t)((stop ? stop : end) - at);
}

/* The length of the key at the beginning of a line. */
static size_t stream_key(const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);

	return space ? (size_t)(space - line) : len;
}

/* At most this much of a line is told. */
#define STREAM_TOLD 120

int stream_compare(const char *is, size_t is_len, const char *want, size_t want_len,
		   struct umdev_error *err)
{
	const char *is_end = is + is_len;
	const char *want_end = want + want_len;

	while (is < is_end || want < want_end) {
		size_t a = is < is_end ? stream_line(is, is_end) : 0;
		size_t b = want < want_end ? stream_line(want, want_end) : 0;

		if (a != b || memcmp(is, want, a) != 0)
			return error_set_key(err, ERROR_TYPE_MISMATCH, "compatibility",
					     "the saved state does not fit: it is of '%.*s', the "
					     "device here is '%.*s'",
					     (int)MIN(a, (size_t)STREAM_TOLD), is,
					     (int)MIN(b, (size_t)STREAM_TOLD), want);
		is += MIN(a + 1, (size_t)(is_end - is));
		want += MIN(b + 1, (size_t)(want_end - want));
	}
	return 0;
}

bool stream_compat(const struct stream *stream, const char *key, char *value, size_t size)
{
	const struct stream_section *s = stream_find(stream, STREAM_COMPAT);
	const char *at = s ? s->data : NULL;
	const char *end = s ? at + s->stored : NULL;

	while (at < end) {
		size_t len = stream_line(at, end);
		size_t key_len = stream_key(at, len);

		if (key_len == strlen(key) && memcmp(at, key, key_len) == 0 && key_len < len &&
		    len - key_len - 1 < size && !memchr(at, 0, len)) {
			memcpy(value, at + key_len + 1, len - key_len - 1);
			value[len - key_len - 1] = '\0';
			return true;
		}
		at += MIN(len + 1, (size_t)(end - at));
	}
	return false;
}
