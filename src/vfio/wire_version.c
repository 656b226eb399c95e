/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VERSION message: two numbers and a JSON object of capabilities that a client may leave out.
 *
 * The answer stays below 200 bytes: QEMU takes it into a buffer of the size of its own request and
 * loses the connection when it does not fit.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "vfio/wire.h"

#define WIRE_VERSION_HEAD 4 /* major and minor, before the JSON */

/* The protocol's defaults for what a client does not say. */
#define WIRE_DEFAULT_FDS      1
#define WIRE_DEFAULT_TRANSFER 1048576

/* An integer member of @caps within @min..@max; absent leaves *@value alone. */
static int wire_capability(const json_t *caps, const char *name, int64_t min, int64_t max,
			   int64_t *value)
{
	const json_t *member = json_object_get(caps, name);

	if (!member)
		return 0;
	if (!json_is_integer(member))
		return -EINVAL;
	if (json_integer_value(member) < min || json_integer_value(member) > max)
		return -EINVAL;
	*value = json_integer_value(member);
	return 0;
}

static int wire_capabilities(const json_t *root, struct wire_client *client)
{
	const json_t *caps;
	const json_t *multiple;
	const json_t *migration;
	int64_t fds = WIRE_DEFAULT_FDS;
	int64_t transfer = WIRE_DEFAULT_TRANSFER;
	int64_t maps = WIRE_DMA_MAPS_MAX;
	int64_t pages = WIRE_PAGE_SIZE;

	if (!json_is_object(root))
		return -EINVAL;
	caps = json_object_get(root, "capabilities");
	if (!caps)
		return 0;
	if (!json_is_object(caps))
		return -EINVAL;
	if (wire_capability(caps, "max_msg_fds", 0, UINT32_MAX, &fds) < 0 ||
	    wire_capability(caps, "max_data_xfer_size", 1, INT64_MAX, &transfer) < 0 ||
	    wire_capability(caps, "max_dma_maps", 0, INT64_MAX, &maps) < 0 ||
	    wire_capability(caps, "pgsizes", 1, INT64_MAX, &pages) < 0)
		return -EINVAL;
	multiple = json_object_get(caps, "write_multiple");
	if (multiple && !json_is_boolean(multiple))
		return -EINVAL;
	migration = json_object_get(caps, "migration");
	if (migration && !json_is_object(migration))
		return -EINVAL;
	client->migration = migration != NULL;
	client->max_msg_fds = (uint32_t)fds;
	client->max_data_xfer = (uint64_t)transfer;
	client->write_multiple = json_is_true(multiple);
	return 0;
}

int wire_version_decode(const void *body, size_t len, struct wire_client *ret_client)
{
	struct wire_client client = {
		.max_msg_fds = WIRE_DEFAULT_FDS,
		.max_data_xfer = WIRE_DEFAULT_TRANSFER,
	};
	const char *text = (const char *)body + WIRE_VERSION_HEAD;
	size_t text_len;
	json_t *root;
	int r;

	if (len < WIRE_VERSION_HEAD)
		return -EINVAL;
	memcpy(&client.major, body, sizeof(client.major));
	memcpy(&client.minor, (const uint8_t *)body + 2, sizeof(client.minor));
	if (client.major != 0)
		return -EPROTONOSUPPORT;
	if (len > WIRE_VERSION_HEAD) {
		text_len = strnlen(text, len - WIRE_VERSION_HEAD);
		if (text_len == len - WIRE_VERSION_HEAD || text_len > WIRE_JSON_MAX)
			return -EINVAL;
		root = json_loadb(text, text_len, 0, NULL);
		if (!root)
			return -EINVAL;
		client.has_json = true;
		r = wire_capabilities(root, &client);
		json_decref(root);
		if (r < 0)
			return r;
	}
	*ret_client = client;
	return 0;
}

int wire_version_encode(const struct wire_client *client, void *buf, size_t size)
{
	uint16_t version[2] = {0, MIN(client->minor, (uint16_t)WIRE_MINOR)};
	char *text = (char *)buf + WIRE_VERSION_HEAD;
	char migration[80] = "";
	int n;

	if (size < WIRE_VERSION_HEAD)
		return -ENOSPC;
	if (client->migration)
		snprintf(migration, sizeof(migration),
			 ",\"migration\":{\"pgsize\":%u,\"max_bitmap_size\":%u}", WIRE_PAGE_SIZE,
			 WIRE_BITMAP_MAX);
	memcpy(buf, version, sizeof(version));
	n = snprintf(text, size - WIRE_VERSION_HEAD,
		     "{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,"
		     "\"max_dma_maps\":%u,\"pgsizes\":%u%s%s}}",
		     WIRE_FDS_OFFERED, WIRE_TRANSFER_MAX, WIRE_DMA_MAPS_MAX, WIRE_PAGE_SIZE,
		     client->write_multiple ? ",\"write_multiple\":true" : "", migration);
	if (n < 0 || (size_t)n >= size - WIRE_VERSION_HEAD)
		return -ENOSPC;
	return WIRE_VERSION_HEAD + n + 1;
}
