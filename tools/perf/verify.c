/* SPDX-License-Identifier: BSD-3-Clause */
/* Model and contents of verified blocks. See verify.h. */
#include "verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

/*
 * The state of a block: 0 unknown, 1 zeros, else generation + 1; the top bit says that the block
 * was deallocated since and may be zeros instead.
 */
#define VERIFY_UNKNOWN	   0u
#define VERIFY_ZEROS	   1u
#define VERIFY_DEALLOCATED (1u << 31)
#define VERIFY_STATE(g)	   ((g) + 1)
#define VERIFY_LAST	   (VERIFY_DEALLOCATED - 2) /* the highest generation */

#define VERIFY_WRITER	   255u

/* Where things stand in a block, in 8-byte words; the checksum is the last. */
#define VERIFY_WORD_LBA	  0u
#define VERIFY_WORD_WRITE 1u /* run << 32 | generation */
#define VERIFY_WORD_DATA  2u

static uint64_t verify_word(const uint8_t *block, size_t index)
{
	uint64_t word;

	memcpy(&word, block + index * sizeof(word), sizeof(word));
	return word;
}

static void verify_set_word(uint8_t *block, size_t index, uint64_t word)
{
	memcpy(block + index * sizeof(word), &word, sizeof(word));
}

/* Depends on every word and its place: four lanes, so that the multiplications overlap. */
static uint64_t verify_checksum(const uint8_t *block, size_t words)
{
	uint64_t lanes[4] = {1, 2, 3, 4};
	size_t i = 0;

	for (; i + 4 <= words; i += 4) {
		for (size_t l = 0; l < 4; l++)
			lanes[l] = (lanes[l] ^ verify_word(block, i + l)) * 0x9e3779b97f4a7c15ULL;
	}
	for (; i < words; i++)
		lanes[i % 4] = (lanes[i % 4] ^ verify_word(block, i)) * 0x9e3779b97f4a7c15ULL;
	for (size_t l = 0; l < 4; l++)
		lanes[l] = random_mix(lanes[l] + l);
	return random_mix(lanes[0] ^ (lanes[1] << 1 | lanes[1] >> 63) ^
			  (lanes[2] << 2 | lanes[2] >> 62) ^ (lanes[3] << 3 | lanes[3] >> 61));
}

int verify_init(struct verify_model *m, uint64_t first_lba, uint64_t blocks, uint32_t block_bytes,
		uint32_t run)
{
	memset(m, 0, sizeof(*m));
	if (blocks > VERIFY_BLOCKS_MAX)
		return -E2BIG;
	m->states = calloc(blocks, sizeof(*m->states));
	m->locks = calloc(blocks, sizeof(*m->locks));
	if (!m->states || !m->locks) {
		verify_done(m);
		return -ENOMEM;
	}
	m->first_lba = first_lba;
	m->blocks = blocks;
	m->block_bytes = block_bytes;
	m->run = run;
	return 0;
}

void verify_done(struct verify_model *m)
{
	free(m->states);
	free(m->locks);
	m->states = NULL;
	m->locks = NULL;
}

bool verify_lock(struct verify_model *m, uint64_t block, uint32_t count, bool write)
{
	for (uint32_t i = 0; i < count; i++) {
		uint8_t lock = m->locks[block + i];

		if (write ? lock != 0 : lock >= VERIFY_WRITER - 1)
			return false;
	}
	for (uint32_t i = 0; i < count; i++)
		m->locks[block + i] = write ? VERIFY_WRITER : (uint8_t)(m->locks[block + i] + 1);
	return true;
}

void verify_unlock(struct verify_model *m, uint64_t block, uint32_t count, bool write)
{
	for (uint32_t i = 0; i < count; i++)
		m->locks[block + i] = write ? 0 : (uint8_t)(m->locks[block + i] - 1);
}

bool verify_known(const struct verify_model *m, uint64_t block, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (m->states[block + i] == VERIFY_UNKNOWN)
			return false;
	}
	return true;
}

uint64_t verify_next_known(const struct verify_model *m, uint64_t block)
{
	while (block < m->blocks && m->states[block] == VERIFY_UNKNOWN)
		block++;
	return block;
}

uint32_t verify_fill(struct verify_model *m, uint64_t block, uint32_t count, uint8_t *buf)
{
	size_t words = m->block_bytes / sizeof(uint64_t);
	uint64_t write;

	m->generation = m->generation == VERIFY_LAST ? 1 : m->generation + 1;
	write = (uint64_t)m->run << 32 | m->generation;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t lba = m->first_lba + block + i;
		uint64_t word = random_mix(lba ^ (write << 20 | write >> 44));

		verify_set_word(buf, VERIFY_WORD_LBA, lba);
		verify_set_word(buf, VERIFY_WORD_WRITE, write);
		for (size_t w = VERIFY_WORD_DATA; w < words - 1; w++) {
			verify_set_word(buf, w, word);
			word = word * 0xd6e8feb86659fd93ULL + 0xa0761d6478bd642fULL;
		}
		verify_set_word(buf, words - 1, verify_checksum(buf, words - 1));
		buf += m->block_bytes;
	}
	return m->generation;
}

static void verify_set(struct verify_model *m, uint64_t block, uint32_t count, uint32_t state)
{
	for (uint32_t i = 0; i < count; i++)
		m->states[block + i] = state;
}

void verify_wrote(struct verify_model *m, uint64_t block, uint32_t count, uint32_t generation)
{
	verify_set(m, block, count, VERIFY_STATE(generation));
}

void verify_zeroed(struct verify_model *m, uint64_t block, uint32_t count)
{
	verify_set(m, block, count, VERIFY_ZEROS);
}

void verify_deallocated(struct verify_model *m, uint64_t block, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (m->states[block + i] > VERIFY_ZEROS)
			m->states[block + i] |= VERIFY_DEALLOCATED;
	}
}

void verify_forget(struct verify_model *m, uint64_t block, uint32_t count)
{
	verify_set(m, block, count, VERIFY_UNKNOWN);
}

static bool verify_is_zero(const uint8_t *block, size_t bytes)
{
	return verify_word(block, 0) == 0 && memcmp(block, block + 8, bytes - 8) == 0;
}

/* What is wrong with @buf as the contents of @lba, of which *@ret_mismatch holds the generation. */
static enum verify_fault verify_compare(const struct verify_model *m, uint64_t lba,
					const uint8_t *buf, struct verify_mismatch *ret_mismatch)
{
	size_t words = m->block_bytes / sizeof(uint64_t);
	uint64_t write = verify_word(buf, VERIFY_WORD_WRITE);
	uint64_t checksum = verify_word(buf, words - 1);

	ret_mismatch->found_lba = verify_word(buf, VERIFY_WORD_LBA);
	ret_mismatch->found = (uint32_t)write;
	if (verify_checksum(buf, words - 1) != checksum)
		return verify_is_zero(buf, m->block_bytes) ? VERIFY_FAULT_ZEROS
							   : VERIFY_FAULT_DAMAGED;
	if (write >> 32 != m->run)
		return VERIFY_FAULT_OTHER_RUN;
	if (ret_mismatch->found_lba != lba)
		return VERIFY_FAULT_MISPLACED;
	return (uint32_t)write == ret_mismatch->expected ? VERIFY_FAULT_NONE : VERIFY_FAULT_STALE;
}

/* Checks one block and settles what deallocation left open. */
static enum verify_fault verify_block(struct verify_model *m, uint64_t block, const uint8_t *buf,
				      struct verify_mismatch *ret_mismatch)
{
	uint32_t *state = &m->states[block];
	uint32_t held = *state & ~VERIFY_DEALLOCATED;
	enum verify_fault fault;

	ret_mismatch->lba = m->first_lba + block;
	ret_mismatch->expected = held == VERIFY_ZEROS ? 0 : held - 1;
	if (held == VERIFY_ZEROS) {
		if (verify_is_zero(buf, m->block_bytes))
			return VERIFY_FAULT_NONE;
		fault = verify_compare(m, ret_mismatch->lba, buf, ret_mismatch);
		return fault == VERIFY_FAULT_STALE ? VERIFY_FAULT_NOT_ZEROS : fault;
	}
	fault = verify_compare(m, ret_mismatch->lba, buf, ret_mismatch);
	if (fault == VERIFY_FAULT_ZEROS && *state & VERIFY_DEALLOCATED) {
		held = VERIFY_ZEROS;
		fault = VERIFY_FAULT_NONE;
	}
	if (fault == VERIFY_FAULT_NONE && *state != held)
		*state = held;
	return fault;
}

uint32_t verify_check(struct verify_model *m, uint64_t block, uint32_t count, const uint8_t *buf,
		      uint64_t *checked, struct verify_mismatch *ret_mismatch)
{
	struct verify_mismatch mismatch;
	uint32_t bad = 0;

	for (uint32_t i = 0; i < count; i++, buf += m->block_bytes) {
		if (m->states[block + i] == VERIFY_UNKNOWN)
			continue;
		++*checked;
		mismatch.fault = verify_block(m, block + i, buf, &mismatch);
		if (mismatch.fault != VERIFY_FAULT_NONE && bad++ == 0)
			*ret_mismatch = mismatch;
	}
	return bad;
}

void verify_describe(const struct verify_mismatch *mismatch, char *text, size_t size)
{
	unsigned long long lba = mismatch->lba;
	unsigned long long found_lba = mismatch->found_lba;
	char expected[48];

	if (mismatch->expected)
		snprintf(expected, sizeof(expected), "generation %u", mismatch->expected);
	else
		snprintf(expected, sizeof(expected), "zeros");
	switch (mismatch->fault) {
	case VERIFY_FAULT_ZEROS:
		snprintf(text, size, "LBA %llu: expected %s, got zeros", lba, expected);
		break;
	case VERIFY_FAULT_DAMAGED:
		snprintf(text, size,
			 "LBA %llu: expected %s, got data whose checksum is wrong "
			 "(LBA %llu, generation %u by its own words)",
			 lba, expected, found_lba, mismatch->found);
		break;
	case VERIFY_FAULT_OTHER_RUN:
		snprintf(text, size, "LBA %llu: expected %s, got data of an earlier run", lba,
			 expected);
		break;
	case VERIFY_FAULT_MISPLACED:
		snprintf(text, size, "LBA %llu: expected %s, got LBA %llu, generation %u", lba,
			 expected, found_lba, mismatch->found);
		break;
	default:
		snprintf(text, size, "LBA %llu: expected %s, got generation %u", lba, expected,
			 mismatch->found);
		break;
	}
}
