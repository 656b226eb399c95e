/* SPDX-License-Identifier: BSD-3-Clause */
/* Caps over sliding windows. See window.h. */
#include "window.h"

#include <errno.h>

#define WINDOW_SIZE_MIN 16u

static struct window_point *window_at(const struct window_track *track, uint64_t number)
{
	return &track->points[number & (track->size - 1)];
}

void window_restart(struct window_track *track, struct window_set *set, uint32_t cap)
{
	set->points -= (size_t)(track->end - track->first);
	track->first = track->end;
	for (uint32_t i = 0; i < SCENARIO_WINDOWS_MAX; i++) {
		track->from[i] = track->end;
		track->to[i] = track->end;
	}
	track->cap = cap;
}

static int window_grow(struct window_track *track)
{
	size_t size = MAX(2 * track->size, (size_t)WINDOW_SIZE_MIN);
	struct window_point *points = calloc(size, sizeof(*points));

	if (!points)
		return -ENOMEM;
	for (uint64_t i = track->first; i < track->end; i++)
		points[i & (size - 1)] = *window_at(track, i);
	free(track->points);
	track->points = points;
	track->size = size;
	return 0;
}

/* What was owned from @from to @time_ns, which lies between points @number and the next. */
static double window_between(const struct window_track *track, uint64_t number, uint64_t time_ns,
			     meter_time from)
{
	const struct window_point *a = window_at(track, number);
	const struct window_point *b = window_at(track, number + 1);
	double part = (double)(time_ns - a->time_ns) / (double)(b->time_ns - a->time_ns);
	double before =
		a->owned >= from ? meter_real_ns(a->owned - from) : -meter_real_ns(from - a->owned);

	return before + part * meter_real_ns(b->owned - a->owned);
}

static void window_look(const struct window_track *track, struct window_set *set, uint32_t index,
			double owned_ns)
{
	double excess = 100 * owned_ns / (double)set->lengths_ns[index] - track->cap / 100.0;

	if (!set->seen[index] || excess > set->worst[index])
		set->worst[index] = excess;
	set->seen[index] = true;
}

/* Windows of one length that the newest point, @last, completes. */
static void window_check(struct window_track *track, struct window_set *set, uint32_t index,
			 uint64_t last)
{
	uint64_t length = set->lengths_ns[index];
	const struct window_point *end = window_at(track, last);
	const struct window_point *begin = window_at(track, track->from[index]);

	/* Those that begin at a point and end between the last two. */
	while (track->from[index] < last && end->time_ns - begin->time_ns >= length) {
		window_look(track, set, index,
			    window_between(track, last - 1, begin->time_ns + length, begin->owned));
		begin = window_at(track, ++track->from[index]);
	}
	/* That which ends at the point: it begins at or after the point numbered to. */
	if (end->time_ns - window_at(track, track->to[index])->time_ns < length)
		return;
	while (end->time_ns - window_at(track, track->to[index] + 1)->time_ns >= length)
		track->to[index]++;
	window_look(track, set, index,
		    -window_between(track, track->to[index], end->time_ns - length, end->owned));
}

/* Forgets what no window reaches back to. */
static void window_trim(struct window_track *track, struct window_set *set)
{
	uint64_t first = track->end - 1;

	for (uint32_t i = 0; i < set->count; i++) {
		first = MIN(first, track->from[i]);
		first = MIN(first, track->to[i]);
	}
	set->points -= (size_t)(first - track->first);
	track->first = first;
}

int window_point(struct window_track *track, struct window_set *set, uint64_t time_ns,
		 meter_time owned)
{
	uint64_t last = track->end;

	if (last > track->first && window_at(track, last - 1)->time_ns == time_ns)
		return 0;
	if (last - track->first == track->size) {
		int r = window_grow(track);

		if (r < 0)
			return r;
	}
	if (set->points >= WINDOW_POINTS_MAX)
		return -EDQUOT;
	*window_at(track, last) = (struct window_point){.time_ns = time_ns, .owned = owned};
	track->end++;
	set->points++;
	for (uint32_t i = 0; i < set->count && last > track->first; i++)
		window_check(track, set, i, last);
	window_trim(track, set);
	return 0;
}

void window_done(struct window_track *track, struct window_set *set)
{
	set->points -= (size_t)(track->end - track->first);
	free(track->points);
	*track = (struct window_track){0};
}
