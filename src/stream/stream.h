/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a device as a stream of bytes: what umdevctl save writes to a file and what a client
 * reads by MIG_DATA_READ.
 *
 *   header | section, section, ... | checksum
 *
 *   header   48 bytes: magic "umdevsav", u32 format version, u32 number of sections, u64 bytes of
 *            the whole, zeros
 *   section  24 bytes: u32 kind, u32 zero, u64 bytes of the content, u64 bytes that are stored;
 *            then these, then zeros to a multiple of 8. What is not stored is zero.
 *   checksum 8 bytes: u32 CRC-32C of all before it, u32 zero
 *
 * Numbers are little-endian. The first section is the compatibility text: lines of a key and a
 * value that must be the same, line by line, for the device that is to go on. It says whether the
 * rest can be of use before any of that is looked at.
 *
 * Pure. A stream comes from a file or a client, so everything in it is checked here, but for what
 * the contents mean.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/error.h"

#define STREAM_VERSION	    1u
#define STREAM_SECTIONS_MAX 16u
/* Of one that passes through the daemon's control socket. */
#define STREAM_FILE_MAX (704u * 1024)

enum stream_kind {
	STREAM_COMPAT = 1, /* the compatibility text */
	STREAM_ABOUT = 2,  /* JSON: uuid, parent and definition; not in a migration */
	STREAM_PCI = 3,	   /* the PCI part of the state page */
	STREAM_DRIVER = 4, /* the driver's part */
	STREAM_BAR = 16,   /* + number: memory of a BAR that clients map */
};
#define STREAM_KIND_END (STREAM_BAR + 6)

struct stream_section {
	uint32_t kind;
	const void *data;
	uint64_t stored; /* bytes at @data */
	uint64_t size;	 /* bytes of the content; those beyond @stored are zero */
};

struct stream {
	struct stream_section sections[STREAM_SECTIONS_MAX];
	uint32_t count;
};

/* Adds @size bytes as the next section, without the zeros at their end. @data is borrowed. */
void stream_add(struct stream *stream, uint32_t kind, const void *data, uint64_t size);

/* Writes the stream to @buf. Returns its length, or -ENOSPC. */
int64_t stream_write(const struct stream *stream, void *buf, uint64_t room) umdev_warn_unused;

/*
 * Reads @len bytes, which stay where they are. ERROR_INVALID with one line that says what is wrong:
 * no stream, another version, cut, damaged, or a section that breaks a rule above.
 */
int stream_read(const void *bytes, uint64_t len, struct stream *ret_stream,
		struct umdev_error *err) umdev_warn_unused;

/*
 * Looks at the first @len bytes of a stream of which more may come. Returns 1 once its
 * compatibility text is there, which is then the one section of @ret_stream, and *@ret_size what
 * the whole says its length is; 0 while that is not there; ERROR_INVALID as stream_read() when this
 * is the beginning of no stream.
 */
int stream_begin(const void *bytes, uint64_t len, struct stream *ret_stream, uint64_t *ret_size,
		 struct umdev_error *err) umdev_warn_unused;

/* The section of that kind, or NULL. */
const struct stream_section *stream_find(const struct stream *stream, uint32_t kind);

/* Copies the content to @to, of @size bytes. Whether it is of that size. */
bool stream_unpack(const struct stream_section *section, void *to, uint64_t size) umdev_warn_unused;

/*
 * Whether the compatibility text @is allows what @want says; ERROR_TYPE_MISMATCH naming the first
 * line that differs. Both end with a line end; neither has a NUL.
 */
int stream_compare(const char *is, size_t is_len, const char *want, size_t want_len,
		   struct umdev_error *err) umdev_warn_unused;

/* The value of line @key of the compatibility text of @stream into @value. Whether there is one
 * that fits. */
bool stream_compat(const struct stream *stream, const char *key, char *value,
		   size_t size) umdev_warn_unused;
