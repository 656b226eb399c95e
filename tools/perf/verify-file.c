/* SPDX-License-Identifier: BSD-3-Clause */
/* A model kept between runs. See verify.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "util/fd.h"
#include "verify.h"

static const char verify_magic[8] = "umdvrfy1";

/* The file: this, then one state per block. */
struct verify_header {
	char magic[8];
	uint64_t first_lba;
	uint64_t blocks;
	uint32_t block_bytes;
	uint32_t run;
	uint32_t generation;
	uint32_t reserved;
	uint64_t checksum; /* of the states */
};

static uint64_t verify_states_checksum(const struct verify_model *m)
{
	uint64_t sum = m->blocks;

	for (uint64_t i = 0; i < m->blocks; i++)
		sum = (sum ^ m->states[i]) * 0x9e3779b97f4a7c15ULL;
	return random_mix(sum);
}

int verify_save(const struct verify_model *m, const char *path, struct umdev_error *err)
{
	struct verify_header header = {
		.first_lba = m->first_lba,
		.blocks = m->blocks,
		.block_bytes = m->block_bytes,
		.run = m->run,
		.generation = m->generation,
		.checksum = verify_states_checksum(m),
	};
	size_t bytes = m->blocks * sizeof(*m->states);
	umdev_autofree char *data = malloc(sizeof(header) + bytes);
	int r;

	if (!data)
		return error_set(err, ERROR_NO_MEMORY, "%s: out of memory", path);
	memcpy(header.magic, verify_magic, sizeof(verify_magic));
	memcpy(data, &header, sizeof(header));
	memcpy(data + sizeof(header), m->states, bytes);
	r = fd_write_file_atomic(AT_FDCWD, path, data, sizeof(header) + bytes, 0600);
	if (r < 0)
		return error_set(err, ERROR_INTERNAL, "%s: %s", path, strerror(-r));
	return 0;
}

int verify_load(struct verify_model *m, const char *path, struct umdev_error *err)
{
	struct verify_header header;
	size_t bytes = m->blocks * sizeof(*m->states);
	umdev_autofree char *data = NULL;
	size_t len;
	int r = fd_read_file(AT_FDCWD, path, sizeof(header) + bytes, &data, &len);

	if (r == -ENOENT)
		return 0;
	if (r == -EFBIG || (r == 0 && len != sizeof(header) + bytes))
		return error_set_key(err, ERROR_INVALID, "state",
				     "%s: is the state of a region of another size", path);
	if (r < 0)
		return error_set_key(err, ERROR_INTERNAL, "state", "%s: %s", path, strerror(-r));
	memcpy(&header, data, sizeof(header));
	if (memcmp(header.magic, verify_magic, sizeof(verify_magic)) != 0)
		return error_set_key(err, ERROR_INVALID, "state", "%s: is no state of umdev-perf",
				     path);
	if (header.first_lba != m->first_lba || header.blocks != m->blocks ||
	    header.block_bytes != m->block_bytes)
		return error_set_key(err, ERROR_INVALID, "state",
				     "%s: is the state of another region; give the same --offset "
				     "and --size",
				     path);
	memcpy(m->states, data + sizeof(header), bytes);
	m->run = header.run;
	m->generation = header.generation;
	if (verify_states_checksum(m) != header.checksum)
		return error_set_key(err, ERROR_INVALID, "state", "%s: is damaged", path);
	return 0;
}
