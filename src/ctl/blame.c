/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdevctl blame: why the jobs of an mdev wait. It looks twice and tells the difference, or, for
 * all the time since the mdev was started, once.
 */
#include "ctl/blame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "util/clock.h"
#include "util/parse.h"

#define BLAME_SECONDS_MAX 86400

static json_int_t blame_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* The peer of that UUID, or NULL. */
static const json_t *blame_find_peer(const json_t *snapshot, const char *uuid)
{
	const json_t *peers = json_object_get(snapshot, "peers");

	for (size_t i = 0; i < json_array_size(peers); i++) {
		if (strcmp(ctl_text(json_array_get(peers, i), "uuid"), uuid) == 0)
			return json_array_get(peers, i);
	}
	return NULL;
}

/* What @peer of the later snapshot owned since @from_ns; all of it where it began after that. */
static struct blame_peer blame_one_peer(const json_t *peer, const json_t *earlier,
					json_int_t from_ns, json_int_t time_ns)
{
	const json_t *was = earlier ? blame_find_peer(earlier, ctl_text(peer, "uuid")) : NULL;
	struct blame_peer one = {.peer = peer, .owned_ns = blame_number(peer, "owned_ns")};

	if (!earlier)
		from_ns = blame_number(peer, "since_ns");
	if (was && blame_number(was, "since_ns") == blame_number(peer, "since_ns") &&
	    blame_number(was, "owned_ns") <= one.owned_ns)
		one.owned_ns -= blame_number(was, "owned_ns");
	if (time_ns > from_ns)
		one.share = (double)one.owned_ns / (double)(time_ns - from_ns);
	return one;
}

static int blame_compare_peers(const void *a, const void *b)
{
	const struct blame_peer *x = a;
	const struct blame_peer *y = b;

	if (x->share < y->share || x->share > y->share)
		return x->share < y->share ? 1 : -1;
	return strcmp(ctl_text(x->peer, "uuid"), ctl_text(y->peer, "uuid"));
}

enum cause blame_main_cause(const struct blame *blame)
{
	int most = 0;

	for (int i = 1; i < CAUSE_COUNT; i++)
		most = blame->waits.ns[i] > blame->waits.ns[most] ? i : most;
	return blame->waits.sum > 0 ? (enum cause)most : CAUSE_COUNT;
}

/* Fills in the numbers of the mdev itself. Returns what is wrong with them, or NULL. */
static const char *blame_own(struct blame *blame, const json_t *earlier, json_int_t from_ns)
{
	const json_t *was = json_object_get(earlier, "mdev");
	json_int_t wall_ns = blame_number(blame->snapshot, "time_ns") - from_ns;
	struct causes before = {0};
	struct causes after;

	if (!causes_read(blame->mdev, &after) || (was && !causes_read(was, &before)))
		return "does not say what it used";
	if ((was && blame_number(was, "since_ns") != blame_number(blame->mdev, "since_ns")) ||
	    !causes_subtract(&after, &before, &blame->waits) || wall_ns <= 0)
		return "was replaced meanwhile";
	blame->jobs = blame_number(blame->mdev, "jobs") - blame_number(was, "jobs");
	blame->owned_ns = blame_number(blame->mdev, "owned_ns") - blame_number(was, "owned_ns");
	if (blame->jobs < 0)
		return "was replaced meanwhile";
	blame->owned_ns = MAX(blame->owned_ns, 0);
	blame->seconds = (double)wall_ns / NS_PER_S;
	blame->share = (double)blame->owned_ns / (double)wall_ns;
	return NULL;
}

/* The difference of two snapshots; @earlier NULL: since the mdev was started. */
static int blame_fill(const struct ctl *ctl, struct blame *blame, const json_t *earlier,
		      const json_t *later)
{
	const json_t *peers = json_object_get(later, "peers");
	json_int_t time_ns = blame_number(later, "time_ns");
	json_int_t from_ns;
	const char *wrong;

	blame->snapshot = later;
	blame->mdev = json_object_get(later, "mdev");
	blame->whole = !earlier;
	from_ns =
		earlier ? blame_number(earlier, "time_ns") : blame_number(blame->mdev, "since_ns");
	wrong = blame_own(blame, earlier, from_ns);
	if (wrong)
		return ctl_fail_word(ctl, ERROR_HOST_FAILED, "the host of %s %s: try again",
				     ctl_text(later, "parent"), wrong);
	blame->peers = calloc(json_array_size(peers) + 1, sizeof(*blame->peers));
	if (!blame->peers)
		return ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for the peers");
	for (size_t i = 0; i < json_array_size(peers); i++)
		blame->peers[blame->n_peers++] =
			blame_one_peer(json_array_get(peers, i), earlier, from_ns, time_ns);
	qsort(blame->peers, blame->n_peers, sizeof(*blame->peers), blame_compare_peers);
	return CTL_OK;
}

static json_t *blame_json(const struct blame *blame)
{
	enum cause cause = blame_main_cause(blame);
	json_t *by_cause = json_object();
	json_t *peers = json_array();

	for (int i = 0; i < CAUSE_COUNT; i++)
		json_object_set_new(by_cause, cause_words[i], json_integer(blame->waits.ns[i]));
	for (size_t i = 0; i < blame->n_peers; i++) {
		const struct blame_peer *p = &blame->peers[i];

		json_array_append_new(peers,
				      json_pack("{s:s,s:I,s:f,s:O?,s:O?,s:O?}", "uuid",
						ctl_text(p->peer, "uuid"), "owned_ns", p->owned_ns,
						"owned_share", p->share, "weight",
						json_object_get(p->peer, "weight"), "cap",
						json_object_get(p->peer, "cap"), "priority",
						json_object_get(p->peer, "priority")));
	}
	return json_pack("{s:s,s:f,s:I,s:o,s:s?,s:I,s:f,s:o}", "uuid",
			 ctl_text(blame->mdev, "uuid"), "seconds", blame->seconds, "wait_ns",
			 blame->waits.sum, "wait_by_cause_ns", by_cause, "main_cause",
			 cause == CAUSE_COUNT ? NULL : cause_words[cause], "owned_ns",
			 blame->owned_ns, "owned_share", blame->share, "peers", peers);
}

static int blame_snapshot(struct ctl *ctl, const char *uuid, json_t **ret_snapshot)
{
	json_t *params = json_object();

	ctl_put_text(params, "uuid", uuid);
	return ctl_call(ctl, "mdev.blame", params, ret_snapshot);
}

static void blame_sleep(uint64_t ns)
{
	struct timespec left = {.tv_sec = (time_t)(ns / NS_PER_S),
				.tv_nsec = (long)(ns % NS_PER_S)};

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

/* How long to look, in hundredths of a second. */
static int blame_seconds(const struct ctl *ctl, uint64_t *ret_hundredths)
{
	const char *text = ctl_get(ctl, "seconds");
	uint64_t hundredths = 100;

	if (text &&
	    (parse_hundredths(text, &hundredths) < 0 || hundredths > BLAME_SECONDS_MAX * 100))
		return ctl_usage(ctl,
				 "--seconds: '%s' is not a number from 0 to %d with at most two "
				 "decimals",
				 text, BLAME_SECONDS_MAX);
	*ret_hundredths = hundredths;
	return CTL_OK;
}

int ctl_blame(struct ctl *ctl)
{
	char uuid[CTL_UUID_STRING] = "";
	struct blame blame = {0};
	uint64_t hundredths = 0;
	json_t *earlier = NULL;
	json_t *later = NULL;
	int r;

	if (!ctl_uuid_parse(ctl->operands[0], uuid))
		return ctl_usage(ctl, "'%s' is not a UUID", ctl->operands[0]);
	r = blame_seconds(ctl, &hundredths);
	if (r == CTL_OK && hundredths > 0) {
		r = blame_snapshot(ctl, uuid, &earlier);
		if (r == CTL_OK)
			blame_sleep(hundredths * (NS_PER_S / 100));
	}
	if (r == CTL_OK)
		r = blame_snapshot(ctl, uuid, &later);
	if (r == CTL_OK)
		r = blame_fill(ctl, &blame, earlier, later);
	if (r == CTL_OK && ctl->json) {
		json_t *json = blame_json(&blame);

		ctl_print_json(json, "\n");
		json_decref(json);
	} else if (r == CTL_OK) {
		blame_print(&blame);
	}
	free(blame.peers);
	json_decref(earlier);
	json_decref(later);
	return r;
}
