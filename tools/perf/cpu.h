/* SPDX-License-Identifier: BSD-3-Clause */
/* CPU time of this process and of the server it talks to. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct cpu_meter {
	pid_t server; /* 0: unknown */
	uint64_t wall_ns;
	uint64_t client_ns;
	uint64_t server_ns;
};

/* Percent of one core; negative: unknown. */
struct cpu_usage {
	double client;
	double server;
};

/*
 * The process that serves the other end of the connected socket @sock: the one that listened
 * there, or that of its children named umdev-host that holds the connection. 0 when it cannot be
 * told.
 */
pid_t cpu_find_server(int sock);

/* Takes the reading that cpu_read() subtracts. @server may be 0. */
void cpu_start(struct cpu_meter *meter, pid_t server);

/* What was used since. */
void cpu_read(const struct cpu_meter *meter, struct cpu_usage *ret_usage);
