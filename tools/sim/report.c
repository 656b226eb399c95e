/* SPDX-License-Identifier: BSD-3-Clause */
/* Printing of results. See report.h. */
#include "report.h"

#include <errno.h>
#include <inttypes.h>

#include "util/clock.h"

#define REPORT_SHARE 9 /* decimals */
#define REPORT_US    3

/* What is being printed. */
struct report {
	FILE *out;
	bool pretty;
	bool first; /* nothing yet in the innermost object or array */
	unsigned depth;
};

static void report_line(struct report *r)
{
	if (!r->pretty)
		return;
	fputc('\n', r->out);
	for (unsigned i = 0; i < r->depth; i++)
		fputs("  ", r->out);
}

/* Goes to the next member, or element when @key is NULL. */
static void report_key(struct report *r, const char *key)
{
	if (!r->first)
		fputc(',', r->out);
	if (r->depth > 0)
		report_line(r);
	r->first = false;
	/* Keys are ours; texts of scenarios have no characters that need another form. */
	if (key)
		fprintf(r->out, r->pretty ? "\"%s\": " : "\"%s\":", key);
}

static void report_open(struct report *r, const char *key, char bracket)
{
	report_key(r, key);
	fputc(bracket, r->out);
	r->depth++;
	r->first = true;
}

static void report_close(struct report *r, char bracket)
{
	r->depth--;
	if (!r->first)
		report_line(r);
	fputc(bracket, r->out);
	r->first = false;
}

static void report_u64(struct report *r, const char *key, uint64_t value)
{
	report_key(r, key);
	fprintf(r->out, "%" PRIu64, value);
}

static void report_i64(struct report *r, const char *key, int64_t value)
{
	report_key(r, key);
	fprintf(r->out, "%" PRId64, value);
}

static void report_real(struct report *r, const char *key, double value, int decimals)
{
	report_key(r, key);
	fprintf(r->out, "%.*f", decimals, value);
}

/* Whole nanoseconds as microseconds. */
static void report_us(struct report *r, const char *key, uint64_t ns)
{
	report_key(r, key);
	fprintf(r->out, "%" PRIu64 ".%03u", (uint64_t)(ns / NS_PER_US), (unsigned)(ns % NS_PER_US));
}

static void report_signed_us(struct report *r, const char *key, int64_t ns)
{
	uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;

	report_key(r, key);
	fprintf(r->out, "%s%" PRIu64 ".%03u", ns < 0 ? "-" : "", (uint64_t)(size / NS_PER_US),
		(unsigned)(size % NS_PER_US));
}

static void report_mdev(struct report *r, const struct scenario_mdev *scenario,
			const struct sim_mdev_result *mdev)
{
	report_open(r, NULL, '{');
	report_key(r, "name");
	fprintf(r->out, "\"%s\"", scenario->name);
	report_real(r, "share", mdev->share, REPORT_SHARE);
	report_u64(r, "jobs", mdev->jobs);
	report_u64(r, "ended", mdev->ended);
	report_u64(r, "dropped", mdev->dropped);
	report_real(r, "owned_us", mdev->owned_ns / NS_PER_US, REPORT_US);
	report_open(r, "wait_us", '{');
	report_us(r, "p50", mdev->wait_p50);
	report_us(r, "p99", mdev->wait_p99);
	report_us(r, "p999", mdev->wait_p999);
	report_us(r, "max", mdev->wait_max);
	report_real(r, "mean", mdev->wait_mean / NS_PER_US, REPORT_US);
	report_close(r, '}');
	report_open(r, "wait_by_cause_us", '{');
	for (unsigned cause = 0; cause < QOS_CAUSE_COUNT; cause++)
		report_us(r, qos_cause_name(cause), mdev->wait_by_cause[cause]);
	report_close(r, '}');
	report_us(r, "wait_total_us", mdev->wait_total);
	report_signed_us(r, "wait_error_us", mdev->wait_error);
	report_close(r, '}');
}

static void report_window(struct report *r, const struct sim_window_result *window)
{
	char key[40];
	unsigned rest = (unsigned)(window->length_ns % NS_PER_US);
	int n = snprintf(key, sizeof(key), "%" PRIu64, (uint64_t)(window->length_ns / NS_PER_US));

	if (rest > 0) {
		n += snprintf(key + n, sizeof(key) - (size_t)n, ".%03u", rest);
		while (key[n - 1] == '0')
			key[--n] = 0;
	}
	if (window->seen) {
		report_real(r, key, window->points, REPORT_SHARE);
		return;
	}
	report_key(r, key);
	fputs("null", r->out);
}

int report_result(FILE *out, const struct scenario *scenario, const struct sim_result *result,
		  bool pretty)
{
	struct report r = {.out = out, .pretty = pretty, .first = true};

	report_open(&r, NULL, '{');
	report_open(&r, "mdevs", '[');
	for (uint32_t i = 0; i < scenario->mdev_count; i++)
		report_mdev(&r, &scenario->mdevs[i], &result->mdevs[i]);
	report_close(&r, ']');
	report_u64(&r, "wall_ns", result->wall_ns);
	report_u64(&r, "busy_ns", result->busy_ns);
	report_u64(&r, "idle_with_work_ns", result->idle_with_work_ns);
	report_u64(&r, "ended", result->ended);
	report_u64(&r, "decisions", result->decisions);
	report_us(&r, "longest_job_us", result->longest_job_ns);
	report_real(&r, "longest_charge_us", result->longest_charge_ns / NS_PER_US, REPORT_US);
	report_real(&r, "lag_max", result->lag_max, REPORT_SHARE);
	report_u64(&r, "fair_mdevs", result->fair_mdevs);
	report_real(&r, "jain", result->jain, REPORT_SHARE);
	report_real(&r, "share_error_max_percent", result->share_error_percent, REPORT_SHARE);
	report_open(&r, "cap_overshoot_points", '{');
	for (uint32_t i = 0; i < result->window_count; i++)
		report_window(&r, &result->windows[i]);
	report_close(&r, '}');
	report_i64(&r, "charge_error_ns", result->charge_error_ns);
	report_real(&r, "owned_error_max_ns", result->owned_error_ns, REPORT_US);
	report_close(&r, '}');
	fputc('\n', out);
	return ferror(out) ? -EIO : 0;
}
