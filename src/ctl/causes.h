/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why jobs waited, as qos and blame show it: the split by cause, and numbers for a person.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* The order is that of the words below. */
enum cause {
	CAUSE_CAP,
	CAUSE_TURN,
	CAUSE_PRIORITY,
	CAUSE_ENGINE,
	CAUSE_COUNT,
};

/* The causes as the RPC calls them. */
extern const char *const cause_words[CAUSE_COUNT];

/* Nanoseconds by cause, and their sum. */
struct causes {
	json_int_t ns[CAUSE_COUNT];
	json_int_t sum;
};

#define CAUSES_TEXT_SIZE 32

/* Reads wait_by_cause_ns of a QOS object. False when it is not there. */
bool causes_read(const json_t *qos, struct causes *ret_causes);

/*
 * @later less @earlier. False when the sum would be negative: they do not belong together. One
 * cause alone may fall a little, where a job's end was noticed late; it counts as nothing then.
 */
bool causes_subtract(const struct causes *later, const struct causes *earlier,
		     struct causes *ret_causes);

/* Parts of a thousand, rounded so that they add up to 1000; all 0 when there is no wait. */
void causes_split(const struct causes *causes, unsigned ret_tenths[CAUSE_COUNT]);

/* Prints one line for each cause: what it is called for a person, percent, time. */
void causes_print(const struct causes *causes);

/* Nanoseconds as "1.50 s", "12.0 ms", "3.5 us" or "17 ns". */
void causes_time(json_int_t ns, char ret_text[CAUSES_TEXT_SIZE]);

/* A cap in percent as "20 %" or "100 % (no bound)". */
void causes_cap(const json_t *cap, char ret_text[CAUSES_TEXT_SIZE]);
