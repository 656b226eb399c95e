/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a decision of the scheduler costs: submit, pick and complete of one job, while every flow
 * keeps two jobs outstanding and jobs differ in what they take. Also what a join costs among many,
 * and how much memory of a flow the jobs touch.
 *
 * Time is the thread's own, and of several repetitions the fastest counts: what others do on the
 * machine only ever adds. Usage: bench-qos-decision [--json]
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "qos/qos.h"

#define BENCH_REPETITIONS 11
#define BENCH_DECISIONS	  300000u /* in a repetition, at least */
#define BENCH_ROUNDS	  4u	  /* as often is each flow served in one, at least */
#define BENCH_JOBS	  2	  /* of a flow, outstanding */
#define BENCH_FLOWS_MAX	  100000u
#define BENCH_JOINS	  1000u
#define BENCH_K_MAX	  8u
#define BENCH_LINE	  64 /* of the cache */

/* A flow and its jobs, as a queue of a device would hold them. */
struct bench_flow {
	struct qos_flow flow;
	/* Each in a line of its own, as in a driver that cares. */
	struct qos_job jobs[BENCH_JOBS] __attribute__((aligned(BENCH_LINE)));
} __attribute__((aligned(BENCH_LINE)));

#define BENCH_HOT_BYTES offsetof(struct qos_flow, bucket)
static_assert(BENCH_HOT_BYTES <= 2 * (size_t)BENCH_LINE, "jobs touch two lines of their flow");

static const uint32_t bench_flows[] = {1, 1000, 10000, BENCH_FLOWS_MAX};
static const uint32_t bench_k[] = {1, BENCH_K_MAX};

struct bench_results {
	double decision[ARRAY_SIZE(bench_flows)][ARRAY_SIZE(bench_k)];
	double join;
};

static uint64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void bench_fail(const char *what)
{
	fprintf(stderr, "bench-qos-decision: %s\n", what);
	exit(1);
}

static void bench_join(struct qos_engine *engine, struct bench_flow *flows, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct qos_knobs knobs = {.cap = QOS_CAP_NONE, .weight = 100u << i % 4};

		if (qos_flow_join(engine, NULL, &flows[i].flow, &knobs, 0) < 0)
			bench_fail("a flow cannot join: out of memory");
	}
}

static struct qos_engine *bench_engine(uint32_t k)
{
	struct qos_config config = {.parallelism = k};
	struct qos_engine *engine = qos_engine_new(&config, 0);

	if (!engine)
		bench_fail("no engine: out of memory");
	return engine;
}

/* Zeroed and touched, so that no page is new to the loops. */
static struct bench_flow *bench_memory(uint32_t count)
{
	struct bench_flow *flows = aligned_alloc(BENCH_LINE, count * sizeof(*flows));

	if (!flows)
		bench_fail("no flows: out of memory");
	memset(flows, 0, count * sizeof(*flows));
	return flows;
}

/* What the loop of bench_decisions() itself takes each time round, which is nobody's decision. */
static double bench_loop(void)
{
	struct qos_job jobs[BENCH_K_MAX] = {0};
	uint64_t best = UINT64_MAX;
	uint64_t now_ns = 1000;
	uint32_t random = 1;
	uint32_t next = 0;

	for (int r = 0; r < BENCH_REPETITIONS; r++) {
		uint64_t begin_ns = bench_now_ns();

		for (uint32_t i = 0; i < BENCH_DECISIONS; i++) {
			random = random * 1664525u + 1013904223u;
			now_ns += 1000 + (random >> 22);
			__asm__ volatile("" : : "r"(&jobs[next]), "r"(now_ns) : "memory");
			next = next + 1 == BENCH_K_MAX ? 0 : next + 1;
		}
		best = MIN(best, bench_now_ns() - begin_ns);
	}
	return (double)best / BENCH_DECISIONS;
}

/* Nanoseconds a decision, at best. */
static double bench_decisions(uint32_t count, uint32_t k)
{
	uint32_t in_flight = MIN(k, count * BENCH_JOBS);
	uint32_t decisions = MAX(BENCH_DECISIONS, count * BENCH_ROUNDS);
	struct bench_flow *flows = bench_memory(count);
	struct qos_engine *engine = bench_engine(k);
	struct qos_job *running[BENCH_K_MAX];
	uint64_t best = UINT64_MAX;
	uint64_t now_ns = 1000;
	uint32_t random = 1;
	uint32_t next = 0;

	bench_join(engine, flows, count);
	for (uint32_t i = 0; i < count * BENCH_JOBS; i++) {
		struct bench_flow *f = &flows[i / BENCH_JOBS];

		qos_submit(&f->flow, &f->jobs[i % BENCH_JOBS], now_ns);
	}
	for (uint32_t i = 0; i < in_flight; i++)
		running[i] = qos_pick(engine, now_ns);
	for (int r = 0; r < BENCH_REPETITIONS; r++) {
		uint64_t begin_ns = bench_now_ns();

		for (uint32_t i = 0; i < decisions; i++) {
			struct qos_job *job = running[next];
			struct qos_flow *flow = job->flow;

			random = random * 1664525u + 1013904223u;
			now_ns += 1000 + (random >> 22);
			qos_complete(job, now_ns);
			qos_submit(flow, job, now_ns);
			running[next] = qos_pick(engine, now_ns);
			next = next + 1 == in_flight ? 0 : next + 1;
		}
		best = MIN(best, bench_now_ns() - begin_ns);
	}
	qos_engine_free(engine);
	free(flows);
	return (double)best / decisions - bench_loop();
}

/* Nanoseconds a join among many who have joined, at best. */
static double bench_joins(void)
{
	struct bench_flow *flows = bench_memory(BENCH_FLOWS_MAX + BENCH_JOINS);
	struct bench_flow *more = flows + BENCH_FLOWS_MAX;
	struct qos_engine *engine = bench_engine(1);
	uint64_t best = UINT64_MAX;

	bench_join(engine, flows, BENCH_FLOWS_MAX);
	for (int r = 0; r < BENCH_REPETITIONS; r++) {
		uint64_t begin_ns = bench_now_ns();

		bench_join(engine, more, BENCH_JOINS);
		best = MIN(best, bench_now_ns() - begin_ns);
		for (uint32_t i = 0; i < BENCH_JOINS; i++)
			qos_flow_leave(&more[i].flow);
		memset(more, 0, BENCH_JOINS * sizeof(*more));
	}
	qos_engine_free(engine);
	free(flows);
	return (double)best / BENCH_JOINS;
}

static void bench_print_json(const struct bench_results *r)
{
	printf("{\n  \"scheduler\": \"%s\",\n  \"decision_ns\": [\n", BENCH_SCHEDULER);
	for (size_t i = 0; i < ARRAY_SIZE(bench_flows) * ARRAY_SIZE(bench_k); i++) {
		size_t flows = i / ARRAY_SIZE(bench_k);
		size_t k = i % ARRAY_SIZE(bench_k);

		printf("%s    {\"flows\": %u, \"parallelism\": %u, \"ns\": %.1f}",
		       i > 0 ? ",\n" : "", bench_flows[flows], bench_k[k], r->decision[flows][k]);
	}
	printf("\n  ],\n  \"join_ns\": %.1f,\n  \"hot_bytes\": %zu,\n  \"flow_bytes\": %zu,\n"
	       "  \"job_bytes\": %zu\n}\n",
	       r->join, (size_t)BENCH_HOT_BYTES, sizeof(struct qos_flow), sizeof(struct qos_job));
}

static void bench_print(const struct bench_results *r)
{
	printf("%s: ns a decision (submit, pick, complete)\n%10s", BENCH_SCHEDULER, "flows");
	for (size_t k = 0; k < ARRAY_SIZE(bench_k); k++)
		printf("%7s%u", "K=", bench_k[k]);
	printf("\n");
	for (size_t i = 0; i < ARRAY_SIZE(bench_flows); i++) {
		printf("%10u", bench_flows[i]);
		for (size_t k = 0; k < ARRAY_SIZE(bench_k); k++)
			printf("%8.1f", r->decision[i][k]);
		printf("\n");
	}
	printf("a join among %u: %.1f ns\n", BENCH_FLOWS_MAX, r->join);
	printf("bytes: flow %zu, of them touched by jobs %zu; job %zu\n", sizeof(struct qos_flow),
	       (size_t)BENCH_HOT_BYTES, sizeof(struct qos_job));
}

int main(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	struct bench_results results;

	if (argc > 1 && !json) {
		fprintf(stderr, "usage: bench-qos-decision [--json]\n");
		return 2;
	}
	for (size_t i = 0; i < ARRAY_SIZE(bench_flows); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(bench_k); k++)
			results.decision[i][k] = bench_decisions(bench_flows[i], bench_k[k]);
	}
	results.join = bench_joins();
	if (json)
		bench_print_json(&results);
	else
		bench_print(&results);
	return 0;
}
