/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many operations a storage works on at once: 4 KiB random reads at depths 1, 2, 4, ... for a
 * few milliseconds each, in several rounds since others disturb single ones. The smallest depth
 * that comes near the best rate is taken: more would queue inside of the storage, where nobody's
 * turn counts.
 *
 * Storage that answers within the submission, as the page cache does, works on one thing at a time
 * whatever the depth. There the number only bounds how many are handed over together, and a batch
 * of NVME_BATCH costs nobody a wait that can be felt.
 *
 * All of it is bounded: by MEASURE_NS in time, after which what is known counts. Reads that have
 * not ended by then may do so later; their memory stays until nvme_measure_end().
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "driver.h"

#define BLOCK_BYTES	4096u
#define DEPTHS		9u /* 1 .. NVME_MEASURE_MAX */
#define ROUNDS		3u
#define MEASURE_NS	150000000ull
#define STEP_MIN_NS	4000000ull
#define STEP_MAX_NS	15000000ull
#define STEP_TURNS	4u /* reads of each place before a step may end early */
#define DRAIN_NS	20000000ull
#define END_NS		5000000000ull
#define GOOD_PERCENT	95u
#define AT_ONCE_PERCENT 90u
#define UNKNOWN		32u /* when nothing could be measured: what most queues have */

struct measure_read {
	struct nvme_io io;
	struct iovec iov;
	struct nvme_measure *measure;
};

struct nvme_measure {
	struct nvme_backend *backend;
	uint8_t *buffers; /* NVME_MEASURE_MAX of BLOCK_BYTES */
	uint64_t blocks;
	uint64_t random;
	uint64_t ended;
	uint64_t at_once; /* of them, within the submission */
	uint64_t end_ns;
	uint32_t in_flight;
	uint32_t idle_count;
	bool failed;
	uint64_t rates[DEPTHS]; /* reads a second; 0: unknown */
	struct measure_read *idle[NVME_MEASURE_MAX];
	struct measure_read reads[NVME_MEASURE_MAX];
};

static void measure_ended(struct nvme_io *io, int error)
{
	struct measure_read *read =
		(struct measure_read *)((char *)io - offsetof(struct measure_read, io));
	struct nvme_measure *m = read->measure;

	if (error < 0)
		m->failed = true;
	m->ended++;
	m->in_flight--;
	m->idle[m->idle_count++] = read;
}

/* xorshift64: where to read matters, not how well it is chosen. */
static uint64_t measure_random(struct nvme_measure *m)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random;
}

static void measure_start(struct nvme_measure *m)
{
	struct measure_read *read = m->idle[--m->idle_count];
	size_t index = (size_t)(read - m->reads);

	read->measure = m;
	read->iov = (struct iovec){.iov_base = m->buffers + index * BLOCK_BYTES,
				   .iov_len = BLOCK_BYTES};
	read->io = (struct nvme_io){.op = NVME_OP_READ,
				    .offset = measure_random(m) % m->blocks * BLOCK_BYTES,
				    .length = BLOCK_BYTES,
				    .iov = &read->iov,
				    .iov_count = 1,
				    .done = measure_ended};
	m->in_flight++;
	m->backend->ops->start(m->backend, &read->io);
}

/* One round as the host has them: fill up, hand over, look. */
static void measure_turn(struct nvme_measure *m, uint32_t depth)
{
	uint32_t started = 0;
	uint64_t before = m->ended;

	while (m->in_flight < depth && m->idle_count > 0 && started < depth) {
		measure_start(m);
		started++;
	}
	if (started > 0)
		m->backend->ops->flush(m->backend);
	m->backend->ops->reap(m->backend);
	if (m->ended == before)
		sched_yield(); /* threads may need this core */
	else if (started > 0)
		m->at_once += m->ended - before < started ? m->ended - before : started;
}

/* Waits until no more than @count are in flight. Returns whether that came about by @end_ns. */
static bool measure_wait(struct nvme_measure *m, uint32_t count, uint64_t end_ns)
{
	while (m->in_flight > count) {
		if (nvme_host->now_ns() >= end_ns)
			return false;
		if (m->backend->ops->reap(m->backend) == 0)
			sched_yield();
	}
	return true;
}

/* Reads at one depth for a while. Returns the rate a second, 0 when there was no time. */
static uint64_t measure_step(struct nvme_measure *m, uint32_t depth)
{
	uint64_t start_ns, elapsed_ns, first;

	if (!measure_wait(m, depth, m->end_ns))
		return 0;
	start_ns = nvme_host->now_ns();
	first = m->ended;
	do {
		measure_turn(m, depth);
		elapsed_ns = nvme_host->now_ns() - start_ns;
	} while (!m->failed && start_ns + elapsed_ns < m->end_ns && elapsed_ns < STEP_MAX_NS &&
		 (elapsed_ns < STEP_MIN_NS || m->ended - first < (uint64_t)depth * STEP_TURNS));
	return elapsed_ns > 0 ? (m->ended - first) * 1000000000u / elapsed_ns : 0;
}

/* Whether the storage answers within the submission, as far as depth 1 can tell. */
static bool measure_at_once(const struct nvme_measure *m)
{
	return m->ended > 0 && m->at_once * 100 >= m->ended * AT_ONCE_PERCENT;
}

/* The smallest depth that comes near the best rate. */
static uint32_t measure_choose(const struct nvme_measure *m)
{
	uint64_t best = 0;

	for (uint32_t i = 0; i < DEPTHS; i++)
		best = m->rates[i] > best ? m->rates[i] : best;
	if (m->failed || best == 0)
		return UNKNOWN;
	for (uint32_t i = 0; i < DEPTHS; i++) {
		if (m->rates[i] * 100 >= best * GOOD_PERCENT)
			return 1u << i;
	}
	return UNKNOWN;
}

static uint32_t measure_rounds(struct nvme_measure *m)
{
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < DEPTHS && 1u << i <= m->backend->most; i++) {
			uint64_t before = m->ended;
			uint64_t rate;

			if (m->failed || nvme_host->now_ns() >= m->end_ns)
				return measure_choose(m);
			rate = measure_step(m, 1u << i);
			m->rates[i] = rate > m->rates[i] ? rate : m->rates[i];
			if (round == 0 && i == 0 && !m->failed && measure_at_once(m))
				return NVME_BATCH;
			/* Slow: from here on reads would only queue up, for seconds perhaps. */
			if (m->ended - before < 1u << i)
				break;
		}
	}
	return measure_choose(m);
}

static void measure_log(const struct nvme_measure *m, uint32_t depth)
{
	char text[DEPTHS * 24] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < DEPTHS && m->rates[i] > 0; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %u:%llu", 1u << i,
					(unsigned long long)m->rates[i]);
	nvme_host->log(UMDEV_LOG_INFO, "%u at once; reads a second at each depth:%s%s", depth,
		       len > 0 ? text : " unknown", m->failed ? " (reads fail)" : "");
}

static void measure_free(struct nvme_measure *m)
{
	munmap(m->buffers, (size_t)NVME_MEASURE_MAX * BLOCK_BYTES);
	free(m);
}

uint32_t nvme_measure(struct nvme_backend *backend, uint64_t size, struct nvme_measure **ret_late)
{
	struct nvme_measure *m = calloc(1, sizeof(*m));
	uint32_t depth;

	if (!m)
		return UNKNOWN < backend->most ? UNKNOWN : backend->most;
	m->buffers = mmap(NULL, (size_t)NVME_MEASURE_MAX * BLOCK_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->buffers == MAP_FAILED) {
		free(m);
		return UNKNOWN < backend->most ? UNKNOWN : backend->most;
	}
	m->backend = backend;
	m->blocks = size / BLOCK_BYTES;
	m->end_ns = nvme_host->now_ns() + MEASURE_NS;
	m->random = m->end_ns | 1u;
	for (uint32_t i = 0; i < NVME_MEASURE_MAX; i++)
		m->idle[m->idle_count++] = &m->reads[i];
	depth = measure_rounds(m);
	depth = depth < backend->most ? depth : backend->most;
	measure_log(m, depth);
	if (measure_wait(m, 0, nvme_host->now_ns() + DRAIN_NS))
		measure_free(m);
	else
		*ret_late = m;
	return depth;
}

bool nvme_measure_end(struct nvme_measure *m)
{
	if (!m)
		return true;
	if (!measure_wait(m, 0, nvme_host->now_ns() + END_NS))
		return false;
	measure_free(m);
	return true;
}
