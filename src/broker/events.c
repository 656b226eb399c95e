/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring of events. See events.h. */
#include "broker/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker/broker.h"
#include "util/clock.h"
#include "util/log.h"

#define EVENT_MESSAGE_MAX 512

void events_init(struct events *events)
{
	memset(events, 0, sizeof(*events));
	events->next = 1;
}

void events_done(struct events *events)
{
	for (size_t i = 0; i < EVENTS_KEPT; i++)
		json_decref(events->ring[i]);
	memset(events, 0, sizeof(*events));
}

static const char *event_level_name(int level)
{
	return level <= LOG_ERR ? "error" : level <= LOG_WARNING ? "warning" : "info";
}

static json_t *event_print(const struct event *event, uint64_t seq, const char *message)
{
	json_t *e = json_pack("{s:I,s:I,s:s,s:s,s:s*,s:s*,s:s*,s:s}", "seq", (json_int_t)seq,
			      "time_ns", (json_int_t)clock_wall_ns(), "event", event->name, "level",
			      event_level_name(event->level), "parent", event->parent, "uuid",
			      event->uuid, "group", event->group, "message", message);

	if (e && event->has_peer) {
		json_object_set_new(e, "pid", json_integer(event->pid));
		json_object_set_new(e, "uid", json_integer(event->uid));
	}
	return e;
}

/* Bytes that are no UTF-8 would keep a message from being JSON at all. */
static void event_ascii(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
			*text = '?';
	}
}

void broker_event(struct broker *broker, const struct event *event, const char *fmt, ...)
{
	struct events *events = &broker->events;
	char message[EVENT_MESSAGE_MAX];
	json_t **slot = &events->ring[events->next % EVENTS_KEPT];
	json_t *e;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	umdev_log(event->level,
		  event->uuid	  ? event->uuid
		  : event->group  ? event->group
		  : event->parent ? event->parent
				  : "umdevd",
		  event->name, "%s", message);
	e = event_print(event, events->next, message);
	if (!e) {
		event_ascii(message);
		e = event_print(event, events->next, message);
	}
	if (!e)
		return;
	events->next++;
	json_decref(*slot);
	*slot = e;
	if (events->publish)
		events->publish(events->data, e);
}

static bool event_fits(const json_t *event, uint64_t since, const char *uuid)
{
	const char *of = json_string_value(json_object_get(event, "uuid"));

	if (!event || (uint64_t)json_integer_value(json_object_get(event, "seq")) < since)
		return false;
	return !uuid || (of && strcmp(of, uuid) == 0);
}

json_t *events_list(const struct events *events, uint64_t since, const char *uuid, size_t limit)
{
	uint64_t first = events->next > EVENTS_KEPT ? events->next - EVENTS_KEPT : 1;
	size_t fitting = 0;
	json_t *list = json_array();

	for (uint64_t n = first; n < events->next; n++)
		fitting += event_fits(events->ring[n % EVENTS_KEPT], since, uuid);
	for (uint64_t n = first; list && n < events->next; n++) {
		json_t *e = events->ring[n % EVENTS_KEPT];

		if (event_fits(e, since, uuid) && fitting-- <= limit &&
		    json_array_append(list, e) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}
