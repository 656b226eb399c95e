/* SPDX-License-Identifier: BSD-3-Clause */
/* See fault.h. Compiled in builds for tests alone. */
#include "util/fault.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"

/* Steps of the data path are passed thousands of times a second, others a few times in all. */
#define FAULT_PASSES_MAX 3000u
#define FAULT_LATEST_NS	 (700 * NS_PER_MS)
#define FAULT_SPARED_NS	 (2 * NS_PER_S)

static struct {
	bool read;
	char label[64];
	uint32_t passes;   /* left */
	uint64_t armed_ns; /* passes count from then on */
	bool meant;	   /* by UMDEV_FAULT_VALUE */
} fault;

static uint32_t fault_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

static void fault_choose(const char *text)
{
	const char *labels = text + strcspn(text, " ");
	bool at_once = labels > text && labels[-1] == '!';
	uint64_t state = strtoull(text, NULL, 10) * 1000003u + (uint64_t)getpid();
	uint32_t count = 0;
	uint32_t chosen;

	for (const char *p = labels; *p; p++)
		count += p[0] == ' ' && p[1] != ' ' && p[1] != '\0';
	if (count == 0)
		return;
	(void)fault_random(&state);
	chosen = fault_random(&state) % count;
	/* Mostly the first one, else small numbers as often as large ones. */
	fault.passes = 1;
	if (fault_random(&state) % 2)
		fault.passes += fault_random(&state) % (1u << fault_random(&state) % 12);
	if (fault.passes > FAULT_PASSES_MAX)
		fault.passes = FAULT_PASSES_MAX;
	/* One in four at once, while it takes over; the others when they have served for a while.
	 */
	if (!at_once && fault_random(&state) % 4)
		fault.armed_ns = clock_now_ns() + fault_random(&state) % FAULT_LATEST_NS;
	for (const char *p = labels; *p; p++) {
		if (p[0] != ' ' || p[1] == ' ' || p[1] == '\0' || chosen-- > 0)
			continue;
		snprintf(fault.label, sizeof(fault.label), "%.*s", (int)strcspn(p + 1, " "), p + 1);
		return;
	}
}

static void fault_die(const char *label)
{
	char line[96];

	snprintf(line, sizeof(line), "fault: %s\n", label);
	(void)!write(STDERR_FILENO, line, strlen(line));
	raise(SIGKILL);
}

static void fault_read(void)
{
	const char *text;

	if (fault.read)
		return;
	fault.read = true;
	text = getenv("UMDEV_FAULTS");
	if (text)
		fault_choose(text);
}

void umdev_fault_point(const char *label)
{
	fault_read();
	if (strcmp(label, fault.label) != 0 || clock_now_ns() < fault.armed_ns ||
	    --fault.passes > 0)
		return;
	fault_die(label);
}

void umdev_fault_spare(void)
{
	uint64_t until_ns = clock_now_ns() + FAULT_SPARED_NS;

	fault_read();
	if (!fault.meant && fault.armed_ns < until_ns)
		fault.armed_ns = until_ns;
}

void umdev_fault_value(const char *label, uint64_t value)
{
	const char *text = getenv("UMDEV_FAULT_VALUE");
	size_t len = strlen(label);
	char *end;

	if (!text || strncmp(text, label, len) != 0 || text[len] != ' ' ||
	    strtoull(text + len, &end, 10) != value)
		return;
	if (*end != ' ')
		fault_die(label);
	fault.read = true;
	fault.meant = true;
	fault.passes = 1;
	fault.armed_ns = 0;
	snprintf(fault.label, sizeof(fault.label), "%s", end + 1);
}
