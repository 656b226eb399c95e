/* SPDX-License-Identifier: BSD-3-Clause */
/* The map of a pool as JSON. See pool.h. */
#include <errno.h>
#include <string.h>

#include "model/pool.h"

static int pool_map_append(json_t *pieces, uint64_t start, uint64_t size, const char *uuid)
{
	return json_array_append_new(pieces,
				     json_pack("{s:I,s:I,s:s?,s:s}", "start", (json_int_t)start,
					       "size", (json_int_t)size, "uuid", uuid, "state",
					       uuid ? "held" : "dirty"));
}

json_t *pool_map_print(const struct pool *pool)
{
	json_t *pieces = json_array();
	int r = pieces ? 0 : -1;

	for (size_t i = 0; r == 0 && i < pool->piece_count; i++)
		r = pool_map_append(pieces, pool->pieces[i].start, pool->pieces[i].size,
				    pool->pieces[i].uuid);
	for (size_t i = 0; r == 0 && i < pool->dirty_count; i++)
		r = pool_map_append(pieces, pool->dirty[i].start, pool->dirty[i].size, NULL);
	if (r < 0) {
		json_decref(pieces);
		return NULL;
	}
	return json_pack("{s:I,s:I,s:o}", "units", (json_int_t)pool->units, "align",
			 (json_int_t)pool->align, "pieces", pieces);
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
