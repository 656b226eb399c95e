/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl events: what happened, and with --follow what happens. One line per event. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "util/clock.h"

static void events_print(const struct ctl *ctl, const json_t *event)
{
	json_int_t time_ns = json_integer_value(json_object_get(event, "time_ns"));
	time_t seconds = (time_t)(time_ns / (json_int_t)NS_PER_S);
	const char *object = ctl_text(event, "uuid");
	struct tm tm = {0};
	char text[64];

	if (ctl->json) {
		ctl_print_json_line(event);
		return;
	}
	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	if (!object[0])
		object = ctl_text(event, "group");
	if (!object[0])
		object = ctl_text(event, "parent");
	printf("%s.%03d %s %s %s\n", text, (int)(time_ns / (json_int_t)NS_PER_MS % 1000),
	       ctl_text(event, "event"), object[0] ? object : "-", ctl_text(event, "message"));
}

/* Events are for one mdev when --uuid is given. The daemon sends all to a watcher. */
static bool events_wanted(const json_t *event, const char *uuid)
{
	return !uuid[0] || strcmp(ctl_text(event, "uuid"), uuid) == 0;
}

static int events_follow(struct ctl *ctl, const char *uuid, json_t *params)
{
	int r = ctl_call(ctl, "event.watch", params, NULL);

	while (r == CTL_OK) {
		char *text = NULL;
		json_t *event;
		int got = umdev_client_next_event(ctl->client, -1, &text);

		if (got == 0)
			continue;
		if (got < 0)
			return ctl_fail_word(ctl, ERROR_UNREACHABLE, "%s",
					     umdev_client_error_message(ctl->client));
		event = json_loads(text, 0, NULL);
		umdev_client_free_text(text);
		if (events_wanted(event, uuid))
			events_print(ctl, event);
		json_decref(event);
		if (fflush(stdout) != 0)
			return CTL_FAILED;
	}
	return r;
}

int ctl_events(struct ctl *ctl)
{
	char uuid[CTL_UUID_STRING] = "";
	json_t *result = NULL;
	json_t *params;
	json_t *event;
	uint64_t since = 0;
	uint64_t limit = 0;
	size_t i;
	int r;

	r = ctl_conflict(ctl, "follow", "limit");
	if (r == CTL_OK)
		r = ctl_get_uuid(ctl, "uuid", uuid);
	if (r == CTL_OK)
		r = ctl_get_number(ctl, "since", INT64_MAX, &since);
	if (r == CTL_OK)
		r = ctl_get_number(ctl, "limit", INT64_MAX, &limit);
	if (r != CTL_OK)
		return r;
	params = json_object();
	if (ctl_has(ctl, "since"))
		json_object_set_new(params, "since", json_integer((json_int_t)since));
	if (ctl_has(ctl, "follow"))
		return events_follow(ctl, uuid, params);
	if (ctl_has(ctl, "limit"))
		json_object_set_new(params, "limit", json_integer((json_int_t)limit));
	ctl_put_text(params, "uuid", uuid[0] ? uuid : NULL);
	r = ctl_call(ctl, "event.list", params, &result);
	if (r != CTL_OK)
		return r;
	json_array_foreach (json_object_get(result, "events"), i, event) {
		events_print(ctl, event);
	}
	json_decref(result);
	return CTL_OK;
}
