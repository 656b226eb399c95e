/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The knobs by which an operator says how much of its parent an mdev gets, and how soon: the
 * attributes mdev/cap, mdev/weight and mdev/priority as numbers.
 *
 * A definition says them as text, or not at all; then the defaults count. A type honours all, some
 * or none of them; what it does not honour may stand there with its default only. Pure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/error.h"

#define KNOBS_ATTR_CAP	     "mdev/cap"
#define KNOBS_ATTR_WEIGHT    "mdev/weight"
#define KNOBS_ATTR_PRIORITY  "mdev/priority"
#define KNOBS_ATTR_MIN_SHARE "mdev/min_share" /* no knob: the scheduler knows nothing of it */

#define KNOBS_CAP_MIN	     1u
#define KNOBS_CAP_NONE	     10000u
#define KNOBS_WEIGHT_MIN     1u
#define KNOBS_WEIGHT_MAX     10000u
#define KNOBS_WEIGHT_DEFAULT 100u
#define KNOBS_PRIORITY_MAX   7u

#define KNOBS_TEXT_SIZE	     32
#define KNOBS_PERCENT_SIZE   16

struct definition;
struct type;

struct knobs {
	uint32_t cap; /* hundredths of a percent; KNOBS_CAP_NONE: no bound */
	uint32_t weight;
	uint32_t priority;
};

/* What @definition says; the default where it says nothing or nothing that can be read. */
void knobs_read(const struct definition *definition, struct knobs *ret_knobs);

/* The share that @definition is promised, in hundredths of a percent; 0: none. */
uint32_t knobs_min_share(const struct definition *definition);

/* Whether all three are the same. */
bool knobs_equal(const struct knobs *a, const struct knobs *b);

/*
 * Makes @definition say @text of the knob whose attribute is @name: in place of what it said, or at
 * the end. Nothing is changed when it means that already. INVALID, LIMIT or NO_MEMORY otherwise.
 */
int knobs_write(struct definition *definition, const char *name, const char *text,
		struct umdev_error *err) umdev_warn_unused;

/* The same with a JSON number, as it comes over the RPC. */
int knobs_put(struct definition *definition, const char *name, const json_t *value,
	      struct umdev_error *err) umdev_warn_unused;

/*
 * INVALID when mdev @uuid of @type would have a knob that the type does not honour and that is not
 * at its default; the message says which, and what the type honours.
 */
int knobs_check(const struct definition *definition, const struct type *type, const char *uuid,
		struct umdev_error *err) umdev_warn_unused;

/* The same for numbers. */
int knobs_check_values(const struct knobs *knobs, const struct type *type, const char *uuid,
		       struct umdev_error *err) umdev_warn_unused;

/* A number as the text of a knob. */
void knobs_text(const json_t *value, char ret_text[KNOBS_TEXT_SIZE]);

/* Hundredths of a percent as text without needless zeros, "12.5"; and as a JSON number. */
void knobs_percent(uint32_t hundredths, char ret_text[KNOBS_PERCENT_SIZE]);
json_t *knobs_percent_json(uint32_t hundredths);
