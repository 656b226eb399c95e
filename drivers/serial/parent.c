/* SPDX-License-Identifier: BSD-3-Clause */
/* The parent: a pool of ports and one line that carries what they say. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "core.h"

static const struct umdev_type_attr serial_one_port[] = {{"ports", "1"}, {NULL, NULL}};
static const struct umdev_type_attr serial_two_ports[] = {{"ports", "2"}, {NULL, NULL}};

static const struct umdev_type serial_types[SERIAL_PORTS_MAX] = {
	{
		.id = "1",
		.name = "umdev serial, 1 port",
		.description = "PCI 16550A UART with one port",
		.attrs = serial_one_port,
		.cost = 1,
		.endpoint_count = 1,
	},
	{
		.id = "2",
		.name = "umdev serial, 2 ports",
		.description = "PCI 16550A UARTs with two ports",
		.attrs = serial_two_ports,
		.cost = 2,
		.endpoint_count = 2,
	},
};

/* ---- Who opens a pseudo terminal ---- */

/* The directory is watched, not each terminal: for those of other users there is no right to. */
#define PARENT_TERMINALS "/dev/pts"

static void parent_look(struct serial_parent *p, int terminal, bool all)
{
	for (struct serial_mdev *m = p->mdevs; m; m = m->next) {
		for (uint32_t i = 0; i < m->port_count; i++) {
			if (all || m->ports[i].terminal == terminal)
				backend_look(&m->ports[i]);
		}
	}
}

/* The number that is a terminal's name, or -1. */
static int parent_terminal(const char *name, size_t size)
{
	unsigned number;
	char end;
	char text[16];

	if (size == 0)
		return -1;
	snprintf(text, sizeof(text), "%.*s", (int)strnlen(name, size), name);
	return sscanf(text, "%u%c", &number, &end) == 1 && number <= INT_MAX ? (int)number : -1;
}

static void parent_opened(void *arg, uint32_t events)
{
	struct serial_parent *p = arg;
	union {
		struct inotify_event event;
		char bytes[4096];
	} buffer;
	ssize_t n = read(p->inotify, &buffer, sizeof(buffer));
	ssize_t at = 0;

	while (n - at >= (ssize_t)sizeof(struct inotify_event)) {
		struct inotify_event event;

		memcpy(&event, buffer.bytes + at, sizeof(event));
		parent_look(p,
			    parent_terminal(buffer.bytes + at + sizeof(event),
					    event.mask & IN_ISDIR ? 0 : event.len),
			    event.mask & IN_Q_OVERFLOW);
		at += (ssize_t)(sizeof(event) + event.len);
	}
}

static void parent_inotify(struct serial_parent *p)
{
	p->inotify = -1;
	if (p->backend != SERIAL_BACKEND_PTY)
		return;
	p->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (p->inotify >= 0 && inotify_add_watch(p->inotify, PARENT_TERMINALS, IN_OPEN) >= 0 &&
	    serial_host->fd_watch(p->handle, p->inotify, POLLIN, parent_opened, p) == 0)
		return;
	serial_host->log(UMDEV_LOG_INFO,
			 "inotify is refused (%s): who opens a terminal is looked for",
			 strerror(errno));
	if (p->inotify >= 0)
		close(p->inotify);
	p->inotify = -1;
}

/* ---- Life ---- */

static void parent_describe(struct serial_parent *p, uint64_t ports,
			    struct umdev_parent_info *ret_info)
{
	const char *name = p->backend == SERIAL_BACKEND_PTY ? "pseudo terminals" : "Unix sockets";
	int len = snprintf(p->description, sizeof(p->description), "%llu ports on %s",
			   (unsigned long long)ports, name);

	if (p->rate > 0)
		snprintf(p->description + len, sizeof(p->description) - (size_t)len,
			 ", %llu bytes a second in all", (unsigned long long)p->rate);
	p->engine = (struct umdev_engine){.name = "line", .parallelism = 1};
	memcpy(p->types, serial_types, sizeof(p->types));
	for (uint32_t i = 0; i < SERIAL_PORTS_MAX; i++) {
		p->types[i].class_name = "serial";
		p->types[i].group_scope = UMDEV_GROUP_DRIVER;
		p->types[i].group_hotplug = 1;
		p->types[i].qos = UMDEV_QOS_CAP | UMDEV_QOS_WEIGHT | UMDEV_QOS_PRIORITY;
		p->types[i].endpoint_name = "port";
		p->types[i].endpoint_kind =
			p->backend == SERIAL_BACKEND_PTY ? UMDEV_ENDPOINT_PTY : UMDEV_ENDPOINT_UNIX;
	}
	ret_info->types = p->types;
	/* Of a single port there are no devices with two. */
	ret_info->type_count = ports < SERIAL_PORTS_MAX ? 1 : SERIAL_PORTS_MAX;
	ret_info->engines = &p->engine;
	ret_info->engine_count = 1;
	ret_info->pool_units = ports;
	ret_info->pool_unit = "ports";
	ret_info->description = p->description;
}

int serial_parent_open(struct umdev_parent *handle, const struct umdev_parent_args *args,
		       struct umdev_parent_info *ret_info, void **ret_priv)
{
	struct serial_parent *p = calloc(1, sizeof(*p));

	if (!p)
		return serial_host->fail(ENOMEM, "out of memory for a parent");
	p->handle = handle;
	p->backend = (uint32_t)args->values[SERIAL_OPT_BACKEND].number;
	p->breaks = (uint32_t)args->values[SERIAL_OPT_BREAKS].number;
	p->rate = args->values[SERIAL_OPT_RATE].number;
	parent_inotify(p);
	parent_describe(p, args->values[SERIAL_OPT_PORTS].number, ret_info);
	*ret_priv = p;
	return 0;
}

void serial_parent_close(void *parent_priv)
{
	struct serial_parent *p = parent_priv;

	if (p->inotify >= 0) {
		serial_host->fd_unwatch(p->handle, p->inotify);
		close(p->inotify);
	}
	free(p);
}
