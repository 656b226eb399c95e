/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See image.h. What is in it: the PCI part and the driver's part of the state page, and the memory
 * of BARs that clients map. The session's part is not: a connection, guest memory and eventfds
 * cannot go along. Nor is what the parent holds: it belongs to whoever moves that.
 */
#include "host/image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "host/values.h"
#include "pci/pci-page.h"
#include "util/parse.h"

#define IMAGE_ABOUT_MAX 131072u
/* Headers of the stream and of its sections, with padding. */
#define IMAGE_OVERHEAD 1024u
/* What of a stream is looked at before all of it is there: more than any of our texts. */
#define IMAGE_BEGIN_MAX 65536u

/* ---- The compatibility text */

/* @text on one line; what cannot stand there as %XX. */
static void compat_put(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f || c == '%')
			fprintf(out, "%%%02x", c);
		else
			fputc(c, out);
	}
}

/* What may not change while a guest runs is part of what it sees. */
static int compat_attrs(FILE *out, const struct umdev_mdev *mdev)
{
	const struct host_driver *driver = &mdev->parent->driver;
	struct umdev_value *values = NULL;
	int r = host_attr_values(driver, mdev->attrs, &values, NULL);

	for (uint32_t i = 0; r == 0 && i < driver->attr_count; i++) {
		const struct umdev_attr *a = driver_attr(driver, i);

		if (a->when == UMDEV_WHEN_LIVE)
			continue;
		fprintf(out, "%s/%s ", driver->table.name, a->name);
		if (a->kind == UMDEV_KIND_U64 || a->kind == UMDEV_KIND_BYTES ||
		    a->kind == UMDEV_KIND_BOOL)
			fprintf(out, "%" PRIu64, values[i].number);
		else if (values[i].text)
			compat_put(out, values[i].text);
		fputc('\n', out);
	}
	host_values_free(values, driver->attr_count);
	return r;
}

/* The text of @mdev if its state were of @version, which the caller frees; NULL when out of memory.
 */
static char *compat_text(const struct umdev_mdev *mdev, uint32_t version, size_t *ret_len)
{
	const struct umdev_parent *parent = mdev->parent;
	const struct umdev_driver *table = &parent->driver.table;
	const struct umdev_type *type =
		driver_type(&parent->driver, &parent->info, mdev->type_index);
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);
	int r;

	if (!out)
		return NULL;
	fprintf(out, "driver %s\nstate %u\ntype ", table->name, version);
	compat_put(out, type ? type->name : "");
	fprintf(out, "\nsize %" PRIu64 "\npci %" PRIu32 "\n", mdev->piece_size, pci_page_version());
	r = compat_attrs(out, mdev);
	if (fclose(out) != 0 || r < 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- Writing */

uint64_t image_max(const struct umdev_mdev *mdev)
{
	const struct umdev_driver *table = &mdev->parent->driver.table;
	/* A state of an older version may be longer. */
	uint64_t max = IMAGE_OVERHEAD + IMAGE_ABOUT_MAX + pci_page_size() +
		       (table->convert ? DRIVER_STATE_MAX : table->state_size);
	size_t len = 0;

	free(compat_text(mdev, UINT32_MAX, &len));
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		if (mdev->bar_memory[i])
			max += mdev->pci.device.bars[i].size;
	}
	return max + len;
}

int64_t image_write(struct umdev_mdev *mdev, int fd, const char *about, uint64_t about_len,
		    struct umdev_error *err)
{
	size_t compat_len = 0;
	umdev_autofree char *compat =
		compat_text(mdev, mdev->parent->driver.table.state_version, &compat_len);
	struct stream stream = {0};
	struct stat st;
	int64_t size;
	void *map;

	if (!compat)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	stream_add(&stream, STREAM_COMPAT, compat, compat_len);
	if (about)
		stream_add(&stream, STREAM_ABOUT, about, about_len);
	stream_add(&stream, STREAM_PCI, mdev->page.pci, pci_page_size());
	stream_add(&stream, STREAM_DRIVER, mdev->page.driver,
		   mdev->parent->driver.table.state_size);
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		if (mdev->bar_memory[i])
			stream_add(&stream, STREAM_BAR + i, mdev->bar_memory[i],
				   mdev->pci.device.bars[i].size);
	}
	if (fstat(fd, &st) < 0 || st.st_size <= 0)
		return error_set(err, ERROR_INTERNAL, "no room for the state was given");
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return error_set(err, ERROR_NO_MEMORY, "the stream cannot be mapped: %s",
				 strerror(errno));
	size = stream_write(&stream, map, (uint64_t)st.st_size);
	munmap(map, (size_t)st.st_size);
	if (size < 0)
		return error_set(err, ERROR_LIMIT,
				 "the state of %s is longer than %lld bytes, the most there is "
				 "room for",
				 mdev->uuid, (long long)st.st_size);
	return size;
}

/* ---- Reading */

static int image_too_long(struct umdev_error *err)
{
	return error_set(err, ERROR_INVALID, "the saved state is longer than any of such a device");
}

/* The version of the driver's part: its own, or one that it converts. One that is neither is told
 * by the comparison of the texts. */
static uint32_t image_version(const struct umdev_mdev *mdev, const struct stream *stream)
{
	const struct host_driver *driver = &mdev->parent->driver;
	char text[16];
	uint64_t version;

	if (stream_compat(stream, "state", text, sizeof(text)) && parse_u64(text, &version) == 0 &&
	    version <= UINT32_MAX && driver_converts(driver, (uint32_t)version))
		return (uint32_t)version;
	return driver->table.state_version;
}

/* Whether the compatibility text of @stream is that of @mdev, with a state of @version. */
static int image_fits(const struct umdev_mdev *mdev, const struct stream *stream, uint32_t version,
		      struct umdev_error *err)
{
	const struct stream_section *is = stream_find(stream, STREAM_COMPAT);
	size_t want_len = 0;
	umdev_autofree char *want = compat_text(mdev, version, &want_len);

	if (!want)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	return stream_compare(is->data, is->stored, want, want_len, err);
}

int image_begin(const struct umdev_mdev *mdev, int fd, uint64_t size, struct umdev_error *err)
{
	uint64_t len = MIN(size, (uint64_t)IMAGE_BEGIN_MAX);
	umdev_autofree void *bytes = malloc(len + 1);
	struct stream stream;
	uint64_t all = 0;
	int r;

	if (!bytes)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (pread(fd, bytes, len, 0) != (ssize_t)len)
		return error_set(err, ERROR_INTERNAL, "the saved state cannot be read");
	r = stream_begin(bytes, len, &stream, &all, err);
	if (r <= 0)
		return r;
	if (all > image_max(mdev))
		return image_too_long(err);
	r = image_fits(mdev, &stream, image_version(mdev, &stream), err);
	return r < 0 ? r : 1;
}

int image_read(const struct umdev_mdev *mdev, int fd, uint64_t size, struct image *ret_image,
	       struct umdev_error *err)
{
	int r;

	if (size > image_max(mdev))
		return image_too_long(err);
	ret_image->bytes = malloc(size + 1);
	if (!ret_image->bytes)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (pread(fd, ret_image->bytes, size, 0) != (ssize_t)size)
		return error_set(err, ERROR_INTERNAL, "the saved state cannot be read");
	r = stream_read(ret_image->bytes, size, &ret_image->stream, err);
	if (r < 0)
		return r;
	ret_image->version = image_version(mdev, &ret_image->stream);
	return image_fits(mdev, &ret_image->stream, ret_image->version, err);
}

void image_free(struct image *image)
{
	free(image->bytes);
	image->bytes = NULL;
}

static int image_part(const struct image *image, uint32_t kind, void *to, uint64_t size,
		      struct umdev_error *err)
{
	const struct stream_section *section = stream_find(&image->stream, kind);

	if (section && stream_unpack(section, to, size))
		return 0;
	return error_set(err, ERROR_INVALID, "the saved state %s: it is of another device",
			 section ? "has a part of another size" : "lacks a part");
}

/* The driver's part is of a version that has to be converted. */
static int image_convert(struct umdev_mdev *mdev, const struct image *image,
			 struct umdev_error *err)
{
	const struct stream_section *section = stream_find(&image->stream, STREAM_DRIVER);
	uint64_t size = section ? MIN(section->size, (uint64_t)DRIVER_STATE_MAX) : 0;
	umdev_autofree void *state = malloc(size + 1);
	int r;

	if (!state)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	r = image_part(image, STREAM_DRIVER, state, size, err);
	if (r < 0)
		return r;
	memset(mdev->page.driver, 0, mdev->parent->driver.table.state_size);
	return driver_convert(&mdev->parent->driver, image->version, state, size, mdev->page.driver,
			      err);
}

int image_load_driver(struct umdev_mdev *mdev, const struct image *image, struct umdev_error *err)
{
	if (image->version != mdev->parent->driver.table.state_version)
		return image_convert(mdev, image, err);
	return image_part(image, STREAM_DRIVER, mdev->page.driver,
			  mdev->parent->driver.table.state_size, err);
}

int image_load_rest(struct umdev_mdev *mdev, const struct image *image, struct umdev_error *err)
{
	umdev_autofree struct pci_page *pci = malloc(sizeof(*pci));
	int r;

	if (!pci)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	r = image_part(image, STREAM_PCI, pci, sizeof(*pci), err);
	for (uint32_t i = 0; r == 0 && i < UMDEV_BAR_COUNT; i++) {
		if (mdev->bar_memory[i])
			r = image_part(image, STREAM_BAR + i, mdev->bar_memory[i],
				       mdev->pci.device.bars[i].size, err);
		else if (stream_find(&image->stream, STREAM_BAR + i))
			r = error_set(err, ERROR_INVALID,
				      "the saved state has memory of BAR %" PRIu32
				      ", which is not there",
				      i);
	}
	if (r == 0)
		pci_load(&mdev->pci, pci);
	return r;
}
