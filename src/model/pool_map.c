/* SPDX-License-Identifier: BSD-3-Clause */
/* The map of a pool as JSON. See pool.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/pool.h"

/* Text that grows; data is NULL once there was no memory for it. */
struct pool_map_text {
	char *data;
	size_t len;
	size_t room;
};

#define POOL_MAP_LINE 256 /* more than what is added at once, but for backings */

static void pool_map_room(struct pool_map_text *text, size_t more)
{
	char *data;

	if (!text->data || text->room - text->len > more)
		return;
	text->room = 2 * text->room + more;
	data = realloc(text->data, text->room);
	if (!data)
		free(text->data);
	text->data = data;
}

static void __attribute__((format(printf, 2, 3)))
pool_map_add(struct pool_map_text *text, const char *fmt, ...)
{
	va_list args;
	int n;

	pool_map_room(text, POOL_MAP_LINE);
	if (!text->data)
		return;
	va_start(args, fmt);
	n = vsnprintf(text->data + text->len, text->room - text->len, fmt, args);
	va_end(args);
	text->len += n > 0 ? (size_t)n : 0;
}

static void pool_map_append(struct pool_map_text *text, const char *lead, uint64_t start,
			    uint64_t size, const char *uuid)
{
	pool_map_add(text, "%s\n    {\"start\": %" PRIu64 ", \"size\": %" PRIu64, lead, start,
		     size);
	if (uuid) /* of hex digits and dashes */
		pool_map_add(text, ", \"uuid\": \"%s\"", uuid);
	pool_map_add(text, ", \"state\": \"%s\"}", uuid ? "held" : "dirty");
}

/* Written as text at once: it is written anew for every piece that is given or taken, and thousands
 * of objects only to be printed cost more than all else in a start. */
char *pool_map_print(const struct pool *pool, const json_t *backings)
{
	umdev_autofree char *last = backings ? json_dumps(backings, JSON_COMPACT) : NULL;
	struct pool_map_text text = {.data = malloc(POOL_MAP_LINE), .room = POOL_MAP_LINE};
	size_t n = 0;

	if (backings && !last) {
		free(text.data);
		return NULL;
	}
	pool_map_add(&text,
		     "{\n  \"units\": %" PRIu64 ",\n  \"align\": %" PRIu64 ",\n  \"pieces\": [",
		     pool->units, pool->align);
	for (size_t i = 0; i < pool->piece_count; i++)
		pool_map_append(&text, n++ ? "," : "", pool->pieces[i].start, pool->pieces[i].size,
				pool->pieces[i].uuid);
	for (size_t i = 0; i < pool->dirty_count; i++)
		pool_map_append(&text, n++ ? "," : "", pool->dirty[i].start, pool->dirty[i].size,
				NULL);
	pool_map_add(&text, "%s]", n ? "\n  " : "");
	if (last) {
		pool_map_room(&text, strlen(last) + POOL_MAP_LINE);
		pool_map_add(&text, ",\n  \"backings\": %s", last);
	}
	pool_map_add(&text, "\n}\n");
	return text.data;
}

static int pool_map_entry(struct pool *pool, const json_t *entry, struct umdev_error *err)
{
	char uuid[IDENT_UUID_SIZE];
	const char *text = NULL;
	const char *state = NULL;
	json_int_t start = -1;
	json_int_t size = -1;
	struct pool_range range;
	uint64_t end;
	int r;

	if (json_unpack((json_t *)(uintptr_t)entry, "{s:I,s:I,s:s}", "start", &start, "size", &size,
			"state", &state) < 0 ||
	    start < 0 || size <= 0)
		return error_set(err, ERROR_INVALID, "a piece is malformed");
	range = (struct pool_range){.start = (uint64_t)start, .size = (uint64_t)size};
	if (__builtin_add_overflow(range.start, range.size, &end) || end > pool->units)
		return error_set(err, ERROR_INVALID,
				 "the piece at %llu of size %llu is beyond the %llu units that the "
				 "parent has",
				 (unsigned long long)range.start, (unsigned long long)range.size,
				 (unsigned long long)pool->units);
	if (strcmp(state, "dirty") == 0) {
		if (pool_dirty_next(pool, &range, &range))
			return error_set(err, ERROR_INVALID, "dirty pieces overlap at %llu",
					 (unsigned long long)range.start);
		r = pool_mark_dirty(pool, &range);
	} else {
		text = json_string_value(json_object_get(entry, "uuid"));
		if (strcmp(state, "held") != 0 || ident_uuid_parse(text, uuid) < 0)
			return error_set(err, ERROR_INVALID, "a piece has no state or no uuid");
		if (pool_find(pool, uuid))
			return error_set(err, ERROR_INVALID, "%s holds two pieces", uuid);
		r = pool_hold(pool, uuid, &range);
		if (r == -EINVAL)
			return error_set(err, ERROR_INVALID,
					 "the piece of %s overlaps another or is not aligned",
					 uuid);
	}
	return r < 0 ? error_set(err, error_word_from_errno(r), "cannot load a piece: %s",
				 strerror(-r))
		     : 0;
}

int pool_map_parse(struct pool *pool, const json_t *map, struct umdev_error *err)
{
	const json_t *pieces = json_object_get(map, "pieces");
	int r = 0;

	if (!json_is_array(pieces))
		return error_set(err, ERROR_INVALID, "no list of pieces");
	for (size_t i = 0; r == 0 && i < json_array_size(pieces); i++)
		r = pool_map_entry(pool, json_array_get(pieces, i), err);
	if (r < 0) {
		pool->piece_count = 0;
		pool->dirty_count = 0;
	}
	return r;
}
