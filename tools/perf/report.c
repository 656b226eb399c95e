/* SPDX-License-Identifier: BSD-3-Clause */
/* Reports. The JSON members are described in umdev-perf(1), which must agree. See report.h. */
#include "report.h"

#include <errno.h>
#include <jansson.h>

#include "util/clock.h"

static double report_per_second(uint64_t n, uint64_t window_ns)
{
	return window_ns ? (double)n * 1e9 / (double)window_ns : 0;
}

static json_t *report_latency(const struct stats_histogram *h)
{
	struct stats_summary s;

	stats_summarize(h, &s);
	return json_pack("{s:I, s:f, s:I, s:I, s:I, s:I, s:I}", "min", (json_int_t)s.min, "mean",
			 s.mean, "p50", (json_int_t)s.p50, "p90", (json_int_t)s.p90, "p99",
			 (json_int_t)s.p99, "p999", (json_int_t)s.p999, "max", (json_int_t)s.max);
}

/* Percent of a core, null when it is unknown. */
static json_t *report_cpu(double percent)
{
	return percent < 0 ? json_null() : json_real(percent);
}

static json_t *report_op(const struct stats_histogram *h, uint64_t bytes, uint64_t window_ns)
{
	return json_pack("{s:I, s:f, s:f, s:o}", "commands", (json_int_t)h->count, "iops",
			 report_per_second(h->count, window_ns), "bw_bytes",
			 report_per_second(bytes, window_ns), "lat_ns", report_latency(h));
}

/* What an open loop has besides. */
static void report_pace_json(json_t *root, const struct perf_options *options,
			     const struct load_result *result)
{
	json_object_set_new(root, "rate", json_real(options->rate));
	json_object_set_new(root, "arrival", json_string(options->poisson ? "poisson" : "fixed"));
	json_object_set_new(root, "held", json_integer((json_int_t)result->held));
	json_object_set_new(root, "late_ns", report_latency(&result->late));
	json_object_set_new(root, "response_ns", report_latency(&result->response));
}

static json_t *report_load_json(const struct perf_options *options, const struct nvme_ctrl *ctrl,
				const struct load_result *result, const struct stats_histogram *all,
				uint64_t bytes)
{
	json_t *operations = json_object();
	json_t *root = json_pack(
		"{s:s, s:i, s:i, s:i, s:s, s:s, s:b, s:I, s:I, s:f, s:f, s:o, s:I, s:I, s:I, s:I}",
		"rw", options_pattern_name(options->pattern), "bs", (int)options->block_bytes,
		"depth", (int)options->depth, "queues", (int)options->queues, "doorbells",
		options_doorbells_name(ctrl->doorbells), "interrupts",
		nvme_interrupts_name(ctrl->interrupts), "poll", (int)options->poll, "runtime_ns",
		(json_int_t)result->window_ns, "commands", (json_int_t)all->count, "iops",
		report_per_second(all->count, result->window_ns), "bw_bytes",
		report_per_second(bytes, result->window_ns), "lat_ns", report_latency(all),
		"errors", (json_int_t)result->errors, "mismatches", (json_int_t)result->mismatches,
		"verified_blocks", (json_int_t)result->verified_blocks, "doorbell_writes",
		(json_int_t)result->doorbell_writes);

	if (!root || !operations) {
		json_decref(root);
		json_decref(operations);
		return NULL;
	}
	json_object_set_new(root, "begin_ns", json_integer((json_int_t)result->begin_ns));
	json_object_set_new(root, "end_ns",
			    json_integer((json_int_t)(result->begin_ns + result->window_ns)));
	if (options->rate > 0)
		report_pace_json(root, options, result);
	json_object_set_new(root, "total_commands", json_integer((json_int_t)result->commands));
	json_object_set_new(root, "client_cpu", report_cpu(result->cpu.client));
	json_object_set_new(root, "server_cpu", report_cpu(result->cpu.server));
	for (unsigned op = 0; op < LOAD_OP_COUNT; op++) {
		if (result->latency[op].count)
			json_object_set_new(operations, load_op_name(op),
					    report_op(&result->latency[op], result->bytes[op],
						      result->window_ns));
	}
	json_object_set_new(root, "operations", operations);
	json_object_set_new(root, "model", json_string(ctrl->id.model));
	json_object_set_new(root, "serial", json_string(ctrl->id.serial));
	return root;
}

static int report_json(FILE *out, json_t *root)
{
	int r;

	if (!root)
		return -ENOMEM;
	r = json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	json_decref(root);
	fputc('\n', out);
	return r < 0 ? -EIO : 0;
}

/* A rate with three digits that matter: 812, 41.3k, 1.17M. */
static void report_rate(FILE *out, double rate)
{
	if (rate >= 1e6)
		fprintf(out, "%.2fM", rate / 1e6);
	else if (rate >= 1e3)
		fprintf(out, "%.1fk", rate / 1e3);
	else
		fprintf(out, "%.0f", rate);
}

static void report_times(FILE *out, const char *name, const struct stats_histogram *h)
{
	struct stats_summary s;

	stats_summarize(h, &s);
	fprintf(out,
		"  %-12s us: min %.1f, mean %.1f, p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f, "
		"max %.1f\n",
		name, (double)s.min / 1e3, s.mean / 1e3, (double)s.p50 / 1e3, (double)s.p90 / 1e3,
		(double)s.p99 / 1e3, (double)s.p999 / 1e3, (double)s.max / 1e3);
}

static void report_line(FILE *out, const char *name, const struct stats_histogram *h,
			uint64_t bytes, uint64_t window_ns)
{
	fprintf(out, "  %-12s IOPS ", name);
	report_rate(out, report_per_second(h->count, window_ns));
	fprintf(out, ", %.1f MiB/s, %llu commands\n",
		report_per_second(bytes, window_ns) / (1024 * 1024), (unsigned long long)h->count);
	report_times(out, "", h);
}

static void report_cpu_text(FILE *out, const char *name, double percent)
{
	if (percent < 0)
		fprintf(out, "%s unknown", name);
	else
		fprintf(out, "%s %.0f %%", name, percent);
}

static void report_load_text(FILE *out, const struct perf_options *options,
			     const struct nvme_ctrl *ctrl, const struct load_result *result,
			     const struct stats_histogram *all, uint64_t bytes)
{
	unsigned kinds = 0;

	fprintf(out, "%s: %u bytes, depth %u, %u queue%s, doorbells %s, completions %s, %.3f s\n",
		options_pattern_name(options->pattern), options->block_bytes, options->depth,
		options->queues, options->queues == 1 ? "" : "s",
		options_doorbells_name(ctrl->doorbells), nvme_interrupts_name(ctrl->interrupts),
		(double)result->window_ns / 1e9);
	for (unsigned op = 0; op < LOAD_OP_COUNT; op++) {
		if (result->latency[op].count == 0)
			continue;
		kinds++;
		report_line(out, load_op_name(op), &result->latency[op], result->bytes[op],
			    result->window_ns);
	}
	if (kinds != 1)
		report_line(out, "all", all, bytes, result->window_ns);
	if (options->rate > 0) {
		report_times(out, "since due", &result->response);
		report_times(out, "client late", &result->late);
		fprintf(out, "  held         %llu commands by the depth; wanted are %g a second\n",
			(unsigned long long)result->held, options->rate);
	}
	fputs("  cpu          ", out);
	report_cpu_text(out, "client", result->cpu.client);
	report_cpu_text(out, ", server", result->cpu.server);
	fprintf(out, " of a core; %llu doorbell writes\n",
		(unsigned long long)result->doorbell_writes);
	fprintf(out, "  errors %llu", (unsigned long long)result->errors);
	if (options->verify)
		fprintf(out, ", mismatches %llu in %llu blocks verified, %llu commands in all",
			(unsigned long long)result->mismatches,
			(unsigned long long)result->verified_blocks,
			(unsigned long long)result->commands);
	fputc('\n', out);
}

int report_load(FILE *out, const struct perf_options *options, const struct nvme_ctrl *ctrl,
		const struct load_result *result)
{
	static struct stats_histogram all;
	uint64_t bytes = 0;

	all = (struct stats_histogram){0};
	for (unsigned op = 0; op < LOAD_OP_COUNT; op++) {
		stats_merge(&all, &result->latency[op]);
		bytes += result->bytes[op];
	}
	if (options->json)
		return report_json(out, report_load_json(options, ctrl, result, &all, bytes));
	report_load_text(out, options, ctrl, result, &all, bytes);
	return 0;
}

int report_memcpy(FILE *out, const struct perf_options *options, uint64_t copies,
		  uint64_t window_ns)
{
	double rate = report_per_second(copies, window_ns);
	double bytes = rate * options->block_bytes;

	if (options->json)
		return report_json(out,
				   json_pack("{s:s, s:i, s:I, s:I, s:f, s:f}", "rw", "memcpy", "bs",
					     (int)options->block_bytes, "runtime_ns",
					     (json_int_t)window_ns, "commands", (json_int_t)copies,
					     "iops", rate, "bw_bytes", bytes));
	fprintf(out, "memcpy: %u bytes at random, one core, %.3f s\n  copies/s     ",
		options->block_bytes, (double)window_ns / 1e9);
	report_rate(out, rate);
	fprintf(out, ", %.1f MiB/s\n", bytes / (1024 * 1024));
	return 0;
}
