/* SPDX-License-Identifier: BSD-3-Clause */
/* What umdevctl blame says to a person: the causes, the main one in a sentence with the way out,
 * and who owned the device meanwhile. */
#include <stdio.h>
#include <string.h>

#include "ctl/blame.h"
#include "ctl/ctl.h"

#define BLAME_NAMED   3	  /* peers named in a sentence */
#define BLAME_MATTERS 100 /* parts of a thousand from which another cause is told of, too */

static json_int_t text_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* Whether that peer can be what @cause means. */
static bool text_concerns(const struct blame *blame, const struct blame_peer *peer,
			  enum cause cause)
{
	bool higher = text_number(peer->peer, "priority") > text_number(blame->mdev, "priority");

	return peer->owned_ns > 0 && higher == (cause == CAUSE_PRIORITY);
}

/* Names those who owned the device meanwhile, with the knob that made them. */
static void text_name_peers(const struct blame *blame, enum cause cause)
{
	const char *knob = cause == CAUSE_PRIORITY ? "priority" : "weight";
	size_t total = 0;
	size_t named = 0;

	for (size_t i = 0; i < blame->n_peers; i++)
		total += text_concerns(blame, &blame->peers[i], cause);
	for (size_t i = 0; i < blame->n_peers && named < BLAME_NAMED; i++) {
		const struct blame_peer *p = &blame->peers[i];

		if (!text_concerns(blame, p, cause))
			continue;
		printf("%s%s (%s %lld) owned %.1f %%",
		       named == 0	    ? ""
		       : named + 1 == total ? " and "
					    : ", ",
		       ctl_text(p->peer, "uuid"), knob, (long long)text_number(p->peer, knob),
		       100 * p->share);
		named++;
	}
	if (total > named)
		printf(" and %zu more some of it", total - named);
	if (total == 0)
		printf("they are gone by now");
}

static void text_cap(const struct blame *blame)
{
	const char *uuid = ctl_text(blame->mdev, "uuid");
	double cap = json_number_value(json_object_get(blame->mdev, "cap"));

	if (cap >= 100) {
		printf("a cap that it does not have any more held it back.\n");
		return;
	}
	printf("its own cap of %.6g %% held it back: raise its cap: umdevctl qos %s --cap %.6g\n",
	       cap, uuid, cap >= 50 ? 100 : 2 * cap);
}

static void text_turn(const struct blame *blame)
{
	json_int_t weight = text_number(blame->mdev, "weight");

	printf("others had their turn (its weight is %lld): ", (long long)weight);
	text_name_peers(blame, CAUSE_TURN);
	if (weight < 10000)
		printf("; raise its weight: umdevctl qos %s --weight %lld\n",
		       ctl_text(blame->mdev, "uuid"),
		       (long long)(weight > 5000 ? 10000 : 2 * weight));
	else
		printf("; its weight is the highest there is: lower theirs\n");
}

static void text_priority(const struct blame *blame)
{
	json_int_t highest = text_number(blame->mdev, "priority") + 1;

	printf("mdevs of higher priority went first: ");
	text_name_peers(blame, CAUSE_PRIORITY);
	for (size_t i = 0; i < blame->n_peers; i++) {
		json_int_t priority = text_number(blame->peers[i].peer, "priority");

		if (blame->peers[i].owned_ns > 0 && priority > highest)
			highest = priority;
	}
	if (highest <= 7)
		printf("; raise its priority: umdevctl qos %s --priority %lld\n",
		       ctl_text(blame->mdev, "uuid"), (long long)highest);
	else
		printf("\n");
}

static void text_cause(const struct blame *blame, enum cause cause)
{
	switch (cause) {
	case CAUSE_CAP:
		text_cap(blame);
		break;
	case CAUSE_TURN:
		text_turn(blame);
		break;
	case CAUSE_PRIORITY:
		text_priority(blame);
		break;
	default:
		printf("its own jobs were in front: it asks for more than the device gives.\n");
	}
}

/* The main cause, and others that matter and that a knob can change. */
static void text_causes(const struct blame *blame)
{
	enum cause main_cause = blame_main_cause(blame);
	unsigned tenths[CAUSE_COUNT];

	causes_split(&blame->waits, tenths);
	printf("It waited %sbecause ", tenths[main_cause] == 1000 ? "" : "mostly ");
	text_cause(blame, main_cause);
	for (int i = 0; i < CAUSE_ENGINE; i++) {
		if (i == (int)main_cause || tenths[i] < BLAME_MATTERS)
			continue;
		printf("It waited also because ");
		text_cause(blame, (enum cause)i);
	}
}

static void text_row(const json_t *mdev, double share, const char *note)
{
	char cap[CAUSES_TEXT_SIZE];
	char percent[CAUSES_TEXT_SIZE];

	snprintf(cap, sizeof(cap), "%.6g %%", json_number_value(json_object_get(mdev, "cap")));
	snprintf(percent, sizeof(percent), "%.1f %%", 100 * share);
	printf("  %-36s %8s %7lld %8s %9lld%s\n", ctl_text(mdev, "uuid"), percent,
	       (long long)text_number(mdev, "weight"), cap,
	       (long long)text_number(mdev, "priority"), note);
}

static void text_owners(const struct blame *blame)
{
	bool told = false;

	printf("\n  %-36s %8s %7s %8s %9s\n", "mdev", "share", "weight", "cap", "priority");
	for (size_t i = 0; i < blame->n_peers; i++) {
		const struct blame_peer *p = &blame->peers[i];

		if (!told && blame->share >= p->share) {
			text_row(blame->mdev, blame->share, "  (this one)");
			told = true;
		}
		text_row(p->peer, p->share, "");
	}
	if (!told)
		text_row(blame->mdev, blame->share, "  (this one)");
}

void blame_print(const struct blame *blame)
{
	char owned[CAUSES_TEXT_SIZE];
	char waited[CAUSES_TEXT_SIZE];

	causes_time(blame->owned_ns, owned);
	causes_time(blame->waits.sum, waited);
	printf("%s on %s %s %.2f s%s: %lld jobs started, it owned %s (%.1f %%), its jobs waited %s "
	       "in all\n",
	       ctl_text(blame->mdev, "uuid"), ctl_text(blame->snapshot, "parent"),
	       blame->whole ? "since it was started" : "during", blame->seconds,
	       blame->whole ? " ago" : "", (long long)blame->jobs, owned, 100 * blame->share,
	       waited);
	if (blame->waits.sum > 0) {
		causes_print(&blame->waits);
		printf("\n");
		text_causes(blame);
	} else {
		printf("\nNone of its jobs waited.\n");
	}
	if (json_is_true(json_object_get(blame->snapshot, "hardware")))
		printf("The device schedules by itself: what waits inside it is not seen here.\n");
	text_owners(blame);
}
