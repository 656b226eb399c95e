/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a disk must hold: a model of every block of a region, and the contents that go with it.
 *
 * A written block says which block it is, which run and which write of it filled it, carries data
 * that depends on all of these, and ends in a checksum. So a read tells a stale block, one from
 * elsewhere and a damaged one apart.
 *
 * A block is unknown until it is written, zeroed or checked, and again after a command on it
 * failed. A deallocated block may read as zeros or, as deallocation is a hint, as what it held; the
 * first read after it decides.
 *
 * Commands in flight lock their blocks: any number of readers, or one writer. Pure; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/error.h"

#define VERIFY_BLOCKS_MAX (1ULL << 28)

struct verify_model {
	uint64_t first_lba;
	uint64_t blocks;
	uint32_t block_bytes;
	uint32_t run;	     /* differs from run to run, so that old contents never pass for new */
	uint32_t generation; /* of the last write */
	uint32_t *states;
	uint8_t *locks;
};

enum verify_fault {
	VERIFY_FAULT_NONE,
	VERIFY_FAULT_ZEROS,	/* zeros where data was written */
	VERIFY_FAULT_NOT_ZEROS, /* data where zeros must be */
	VERIFY_FAULT_DAMAGED,	/* the checksum does not fit */
	VERIFY_FAULT_OTHER_RUN, /* intact, from an earlier run */
	VERIFY_FAULT_MISPLACED, /* intact, of another block */
	VERIFY_FAULT_STALE,	/* intact, of this block, from another write */
	VERIFY_FAULT_COUNT
};

/* The first bad block of a read. */
struct verify_mismatch {
	enum verify_fault fault;
	uint64_t lba;
	uint64_t found_lba;
	uint32_t expected; /* generation; 0: zeros */
	uint32_t found;
};

/* A model of @blocks unknown blocks from @first_lba on. Returns 0, -ENOMEM or -E2BIG. */
int verify_init(struct verify_model *m, uint64_t first_lba, uint64_t blocks, uint32_t block_bytes,
		uint32_t run) umdev_warn_unused;

/* Frees what the model holds; also after a failed verify_init(). */
void verify_done(struct verify_model *m);

/* Blocks are numbered from the beginning of the region from here on. */

/* Locks @count blocks for reading or writing. False, and nothing locked, when one is taken. */
bool verify_lock(struct verify_model *m, uint64_t block, uint32_t count, bool write);
void verify_unlock(struct verify_model *m, uint64_t block, uint32_t count, bool write);

/* Whether the contents of all @count blocks are known. */
bool verify_known(const struct verify_model *m, uint64_t block, uint32_t count);

/* The first block from @block on whose contents are known; the number of blocks when none is. */
uint64_t verify_next_known(const struct verify_model *m, uint64_t block);

/* Fills @buf (8-byte words, any alignment) with what a new write of @count blocks puts there.
 * Returns its generation. */
uint32_t verify_fill(struct verify_model *m, uint64_t block, uint32_t count, uint8_t *buf);

/* What a completed command did to its blocks. */
void verify_wrote(struct verify_model *m, uint64_t block, uint32_t count, uint32_t generation);
void verify_zeroed(struct verify_model *m, uint64_t block, uint32_t count);
void verify_deallocated(struct verify_model *m, uint64_t block, uint32_t count);
/* A command that may have changed them failed, or never ended. */
void verify_forget(struct verify_model *m, uint64_t block, uint32_t count);

/*
 * Compares what was read with what must be there; unknown blocks pass. Adds the blocks compared to
 * *@checked. Returns how many are wrong, the first of them in *@ret_mismatch.
 */
uint32_t verify_check(struct verify_model *m, uint64_t block, uint32_t count, const uint8_t *buf,
		      uint64_t *checked, struct verify_mismatch *ret_mismatch);

/* Writes one line about @mismatch. */
void verify_describe(const struct verify_mismatch *mismatch, char *text, size_t size);

/*
 * Keeps the model in a file, or takes it from there (then @m must be initialised for the same
 * region). A file that does not exist leaves the model as it is. Return 0 or -errno with @err.
 */
int verify_save(const struct verify_model *m, const char *path,
		struct umdev_error *err) umdev_warn_unused;
int verify_load(struct verify_model *m, const char *path,
		struct umdev_error *err) umdev_warn_unused;
