/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors that an earlier host had kept: the broker gives them back before it asks for the
 * device, in as many messages as it takes, and they wait here for that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/given.h"
#include "util/fd.h"

/* As many as a device can have kept. */
#define GIVEN_MAX LINK_SLOT_COUNT

struct host_given *host_given_find(struct umdev_parent *parent, const char *uuid, bool staged)
{
	struct host_given *given;

	list_for_each (given, &parent->given, link) {
		if (strcmp(given->uuid, uuid) == 0 && staged == (given->create != NULL))
			return given;
	}
	return NULL;
}

static struct host_given *given_get(struct umdev_parent *parent, const char *uuid)
{
	struct host_given *given = host_given_find(parent, uuid, false);

	if (given)
		return given;
	given = calloc(1, sizeof(*given));
	if (!given)
		return NULL;
	snprintf(given->uuid, sizeof(given->uuid), "%s", uuid);
	list_add_tail(&parent->given, &given->link);
	return given;
}

static int given_add(struct host_given *given, uint32_t slot, int *fd)
{
	struct vfio_kept *rows;

	if (given->count == GIVEN_MAX)
		return -ENOSPC;
	if (given->count == given->room) {
		size_t room = given->room ? given->room * 2 : 16;

		rows = reallocarray(given->rows, room, sizeof(*rows));
		if (!rows)
			return -ENOMEM;
		given->rows = rows;
		given->room = room;
	}
	given->rows[given->count++] = (struct vfio_kept){.slot = slot, .fd = umdev_steal_fd(fd)};
	return 0;
}

void host_given_take(struct umdev_parent *parent, json_t *params, int *fds, size_t nfds)
{
	const char *uuid = json_string_value(json_object_get(params, "uuid"));
	json_t *slots = json_object_get(params, "slots");
	struct host_given *given;

	if (!uuid || strlen(uuid) != UMDEV_UUID_STRING - 1 || json_array_size(slots) != nfds)
		return;
	given = given_get(parent, uuid);
	for (size_t i = 0; given && i < nfds; i++) {
		json_int_t slot = json_integer_value(json_array_get(slots, i));

		/* What is missing is noticed by who needs it. */
		if (slot >= 0 && slot < LINK_SLOT_COUNT &&
		    given_add(given, (uint32_t)slot, &fds[i]) < 0)
			return;
	}
}

int host_given_put(struct umdev_parent *parent, const char *uuid, uint32_t slot, int *fd)
{
	struct host_given *given = given_get(parent, uuid);

	return given ? given_add(given, slot, fd) : -ENOMEM;
}

int host_given_stage(struct umdev_parent *parent, json_t *params, int *fds, size_t nfds)
{
	const char *uuid = json_string_value(json_object_get(params, "uuid"));
	struct host_given *given;

	if (!uuid || strlen(uuid) != UMDEV_UUID_STRING - 1 || nfds == 0 || nfds > HOST_CREATE_FDS)
		return -EINVAL;
	given = given_get(parent, uuid);
	if (!given)
		return -ENOMEM;
	/* Until here the one before counts: whoever gives may die on the way. */
	host_given_free(host_given_claim(parent, uuid, true));
	given->create = json_incref(params);
	for (size_t i = 0; i < nfds; i++)
		given->fds[given->nfds++] = umdev_steal_fd(&fds[i]);
	return 0;
}

struct host_given *host_given_claim(struct umdev_parent *parent, const char *uuid, bool staged)
{
	struct host_given *given = host_given_find(parent, uuid, staged);

	if (given)
		list_del(&given->link);
	return given;
}

int *host_given_slot(struct host_given *given, uint32_t slot)
{
	for (size_t i = 0; given && i < given->count; i++) {
		if (given->rows[i].slot == slot && given->rows[i].fd >= 0)
			return &given->rows[i].fd;
	}
	return NULL;
}

void host_given_free(struct host_given *given)
{
	if (!given)
		return;
	for (size_t i = 0; i < given->count; i++)
		fd_close(&given->rows[i].fd);
	fd_close_all(given->fds, given->nfds);
	json_decref(given->create);
	free(given->rows);
	free(given);
}

void host_given_free_all(struct umdev_parent *parent)
{
	while (!list_empty(&parent->given)) {
		struct host_given *given = list_first(&parent->given, struct host_given, link);

		list_del(&given->link);
		host_given_free(given);
	}
}
