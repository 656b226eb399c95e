/* SPDX-License-Identifier: BSD-3-Clause */
/* See record.h. */
#include "broker/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/fd.h"

#define RECORD_MAGIC  0x64726f636572756dULL /* "murecord" */
#define RECORD_COPY   (RECORD_MAX + 4096u)
#define RECORD_COPIES 2u

struct record_header {
	uint64_t magic;
	uint64_t number; /* the highest counts */
	uint64_t size;	 /* of the text behind it */
};

int record_new(void)
{
	return fd_memfd("umdev-record", (uint64_t)RECORD_COPY * RECORD_COPIES);
}

bool record_is(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	/* Only a file in memory has seals. */
	return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0 &&
	       st.st_size == (off_t)RECORD_COPY * RECORD_COPIES;
}

static bool record_header(int fd, unsigned copy, struct record_header *ret)
{
	return pread(fd, ret, sizeof(*ret), (off_t)RECORD_COPY * copy) == sizeof(*ret) &&
	       ret->magic == RECORD_MAGIC && ret->size > 0 && ret->size <= RECORD_MAX;
}

/* The copy that counts, or -1. */
static int record_newest(int fd, struct record_header *ret)
{
	struct record_header h;
	int newest = -1;

	for (unsigned copy = 0; copy < RECORD_COPIES; copy++) {
		if (record_header(fd, copy, &h) && (newest < 0 || h.number > ret->number)) {
			*ret = h;
			newest = (int)copy;
		}
	}
	return newest;
}

static int record_put(int fd, const void *data, size_t len, off_t at)
{
	ssize_t n = pwrite(fd, data, len, at);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int record_write(int fd, const json_t *json)
{
	umdev_autofree char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	struct record_header h = {0};
	off_t at;
	int r;

	if (!text)
		return -ENOMEM;
	/* Without one that counts, the first. */
	at = record_newest(fd, &h) == 0 ? (off_t)RECORD_COPY : 0;
	h = (struct record_header){RECORD_MAGIC, h.number + 1, strlen(text)};
	if (h.size > RECORD_MAX)
		return -EFBIG;
	r = record_put(fd, text, h.size, at + (off_t)sizeof(h));
	return r == 0 ? record_put(fd, &h, sizeof(h), at) : r;
}

json_t *record_read(int fd)
{
	umdev_autofree char *text = NULL;
	struct record_header h = {0};
	int copy = record_is(fd) ? record_newest(fd, &h) : -1;
	json_t *json;

	if (copy < 0)
		return NULL;
	text = malloc(h.size);
	if (!text || pread(fd, text, h.size, (off_t)RECORD_COPY * copy + (off_t)sizeof(h)) !=
			     (ssize_t)h.size)
		return NULL;
	json = json_loadb(text, h.size, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(json))
		return json;
	json_decref(json);
	return NULL;
}
