/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happened: a ring of the last events, each also written to the log and published to the
 * clients that watch. Numbers count up by one from 1 for as long as the daemon runs.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define EVENTS_KEPT	4096
#define EVENTS_LINE_MAX 256

struct broker;

struct events {
	json_t *ring[EVENTS_KEPT];
	uint64_t next; /* the number of the event to come */
	void (*publish)(void *data, json_t *event);
	void *data;
};

/* What one event is about; zero what it is not about. */
struct event {
	const char *name; /* a stable id such as "mdev.started" */
	int level;	  /* LOG_ERR, LOG_WARNING, LOG_INFO */
	const char *parent;
	const char *uuid;
	const char *group;
	pid_t pid; /* of a client */
	uid_t uid;
	bool has_peer;
};

/* An empty ring; frees what is in it. */
void events_init(struct events *events);
void events_done(struct events *events);

/* Records one event with a line for people. An event that finds no memory is logged only. */
void broker_event(struct broker *broker, const struct event *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The kept events with number @since or later, of mdev @uuid (NULL: of all), at most the last
 * @limit of them, as a list. NULL when out of memory. */
json_t *events_list(const struct events *events, uint64_t since, const char *uuid, size_t limit);
