/* SPDX-License-Identifier: BSD-3-Clause */
/* The memcpy baseline. See copy.h. */
#include "copy.h"

#include <string.h>

#include "arena.h"
#include "random.h"
#include "util/clock.h"

#define COPY_BATCH 64u

int copy_run(const struct perf_options *options, const volatile sig_atomic_t *stop,
	     uint64_t *ret_copies, uint64_t *ret_window_ns, struct umdev_error *err)
{
	uint64_t bs = options->block_bytes;
	uint64_t size = options->size_bytes ? options->size_bytes : COPY_SIZE_DEFAULT;
	uint64_t blocks = size / bs;
	struct arena source = ARENA_INIT;
	struct arena target = ARENA_INIT;
	uint64_t rng = random_mix(options->seed);
	uint64_t limit = options->count ? options->count : UINT64_MAX;
	uint64_t start_ns;
	uint64_t now_ns;
	uint64_t copies = 0;
	uint32_t at = 0;
	int r;

	if (blocks == 0)
		return error_set_key(err, ERROR_INVALID, "size", "--size is less than one block");
	r = arena_init(&source, 0, blocks * bs, err);
	if (r == 0)
		r = arena_init(&target, 0, options->depth * bs, err);
	if (r < 0) {
		arena_done(&source);
		return r;
	}
	/* Pages that were never written may share one frame and would all be in the cache. */
	for (uint64_t i = 0; i < source.size; i += sizeof(uint64_t)) {
		uint64_t word = random_next(&rng);

		memcpy(source.base + i, &word, sizeof(word));
	}
	start_ns = clock_now_ns();
	do {
		for (uint32_t i = 0; i < COPY_BATCH && copies < limit; i++) {
			memcpy(target.base + at * bs, source.base + random_below(&rng, blocks) * bs,
			       bs);
			at = at + 1 == options->depth ? 0 : at + 1;
			copies++;
		}
		now_ns = clock_now_ns();
	} while (!*stop && copies < limit &&
		 (!options->runtime_ns || now_ns - start_ns < options->runtime_ns));
	arena_done(&source);
	arena_done(&target);
	*ret_copies = copies;
	*ret_window_ns = now_ns - start_ns;
	return 0;
}
