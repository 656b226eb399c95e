/* SPDX-License-Identifier: BSD-3-Clause */
/* The split of waiting by cause. See causes.h. */
#include "ctl/causes.h"

#include <stdio.h>
#include <string.h>

#include "util/clock.h"

const char *const cause_words[CAUSE_COUNT] = {"cap", "turn", "priority", "engine"};

static const char *const cause_labels[CAUSE_COUNT] = {
	"its own cap",
	"others' turn",
	"higher priority",
	"its own jobs in front",
};

bool causes_read(const json_t *qos, struct causes *ret_causes)
{
	const json_t *by_cause = json_object_get(qos, "wait_by_cause_ns");
	struct causes causes = {0};

	for (int i = 0; i < CAUSE_COUNT; i++) {
		const json_t *ns = json_object_get(by_cause, cause_words[i]);

		if (!json_is_integer(ns) || json_integer_value(ns) < 0 ||
		    __builtin_add_overflow(causes.sum, json_integer_value(ns), &causes.sum))
			return false;
		causes.ns[i] = json_integer_value(ns);
	}
	*ret_causes = causes;
	return true;
}

bool causes_subtract(const struct causes *later, const struct causes *earlier,
		     struct causes *ret_causes)
{
	struct causes causes = {0};

	if (later->sum < earlier->sum)
		return false;
	for (int i = 0; i < CAUSE_COUNT; i++) {
		causes.ns[i] = later->ns[i] > earlier->ns[i] ? later->ns[i] - earlier->ns[i] : 0;
		causes.sum += causes.ns[i]; /* at most later->sum */
	}
	*ret_causes = causes;
	return true;
}

void causes_split(const struct causes *causes, unsigned ret_tenths[CAUSE_COUNT])
{
	double rest[CAUSE_COUNT] = {0};
	unsigned left = 1000;

	memset(ret_tenths, 0, CAUSE_COUNT * sizeof(*ret_tenths));
	if (causes->sum <= 0)
		return;
	for (int i = 0; i < CAUSE_COUNT; i++) {
		double part = 1000.0 * (double)causes->ns[i] / (double)causes->sum;
		unsigned whole = (unsigned)part;

		whole = whole > left ? left : whole;
		rest[i] = part - whole;
		ret_tenths[i] = whole;
		left -= whole;
	}
	/* What rounding down left goes where it took most. */
	for (; left > 0; left--) {
		int most = 0;

		for (int i = 1; i < CAUSE_COUNT; i++)
			most = rest[i] > rest[most] ? i : most;
		ret_tenths[most]++;
		rest[most] -= 1.0;
	}
}

void causes_print(const struct causes *causes)
{
	unsigned tenths[CAUSE_COUNT];

	causes_split(causes, tenths);
	for (int i = 0; i < CAUSE_COUNT; i++) {
		char time[CAUSES_TEXT_SIZE];

		causes_time(causes->ns[i], time);
		printf("  %-22s %3u.%u %%  %s\n", cause_labels[i], tenths[i] / 10, tenths[i] % 10,
		       time);
	}
}

void causes_time(json_int_t ns, char ret_text[CAUSES_TEXT_SIZE])
{
	if (ns >= (json_int_t)NS_PER_S)
		snprintf(ret_text, CAUSES_TEXT_SIZE, "%.2f s", (double)ns / NS_PER_S);
	else if (ns >= (json_int_t)NS_PER_MS)
		snprintf(ret_text, CAUSES_TEXT_SIZE, "%.1f ms", (double)ns / NS_PER_MS);
	else if (ns >= (json_int_t)NS_PER_US)
		snprintf(ret_text, CAUSES_TEXT_SIZE, "%.1f us", (double)ns / NS_PER_US);
	else
		snprintf(ret_text, CAUSES_TEXT_SIZE, "%lld ns", (long long)ns);
}

void causes_cap(const json_t *cap, char ret_text[CAUSES_TEXT_SIZE])
{
	double percent = json_number_value(cap);

	snprintf(ret_text, CAUSES_TEXT_SIZE, "%.6g %%%s", percent,
		 percent >= 100 ? " (no bound)" : "");
}
