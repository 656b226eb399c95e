/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The serial vendor driver: PCI 16550A UARTs whose lines end in pseudo terminals or Unix sockets of
 * this machine.
 *
 * This file is the driver's face: its tables and its entry. The parent is in parent.c, a device in
 * device.c, its registers in uart.c, the bursts on the line in line.c, the other end in backend.c
 * and carry.c, what outlives the process in state.c.
 */
#include "core.h"

const struct umdev_host_ops *serial_host;

static const struct umdev_option serial_options[] = {
	[SERIAL_OPT_PORTS] = {.name = "ports",
			      .description = "ports to share out",
			      .default_value = "16",
			      .min = 1,
			      .max = SERIAL_POOL_MAX,
			      .kind = UMDEV_KIND_U64},
	[SERIAL_OPT_BACKEND] = {.name = "backend",
				.description = "what a port ends in on this machine",
				.default_value = "pty",
				.choices = "pty unix",
				.kind = UMDEV_KIND_ENUM},
	[SERIAL_OPT_RATE] = {.name = "rate",
			     .description = "bytes a second that all ports together carry; 0: as "
					    "fast as can be",
			     .default_value = "0",
			     .max = 1000000000,
			     .kind = UMDEV_KIND_U64},
	[SERIAL_OPT_BREAKS] = {.name = "breaks",
			       .description = "dropped, or told as termios' PARMRK marks them",
			       .default_value = "drop",
			       .choices = "drop marks",
			       .kind = UMDEV_KIND_ENUM},
	[SERIAL_OPT_COUNT] = {.name = NULL},
};

static const struct umdev_stat serial_stats[] = {
	[SERIAL_STAT_RX_BYTES] = {"rx_bytes", "bytes that the guest was given"},
	[SERIAL_STAT_TX_BYTES] = {"tx_bytes", "bytes of the guest that the other end took"},
	[SERIAL_STAT_LOST_BYTES] = {"lost_bytes", "bytes that the guest sent to nobody"},
	[SERIAL_STAT_OVERRUNS] = {"overruns", "bytes lost because the guest did not read them"},
	[SERIAL_STAT_BREAKS_IN] = {"breaks_in", "breaks that the guest was given"},
	[SERIAL_STAT_BREAKS_OUT] = {"breaks_out", "breaks that the guest sent"},
	[SERIAL_STAT_INTERRUPTS] = {"interrupts", "interrupts raised"},
	[SERIAL_STAT_PEERS] = {"peers", "ports that have a program at their other end now"},
	[SERIAL_STAT_COUNT] = {NULL, NULL},
};

static const struct umdev_need serial_needs[] = {
	{UMDEV_NEED_STREAMS, "moves bytes between ports and the sockets that they end in"},
	{UMDEV_NEED_TERMINALS, "sets the speed of terminals, and is told who opens them"},
	{NULL, NULL},
};

UMDEV_REGISTER_DRIVER(serial_host, .name = "serial",
		      .description = "serial ports that end in pseudo terminals or sockets",
		      .version = UMDEV_VERSION, .options = serial_options, .stats = serial_stats,
		      .thread_model = UMDEV_THREAD_DEVICE, .state_version = SERIAL_STATE_VERSION,
		      .state_size = sizeof(struct serial_state), .parent_open = serial_parent_open,
		      .parent_close = serial_parent_close, .mdev_create = serial_mdev_create,
		      .mdev_remove = serial_mdev_remove, .region_read = serial_region_read,
		      .region_write = serial_region_write, .reset = serial_reset,
		      .job_start = serial_job_start, .stats_get = serial_stats_get,
		      .quiesce = serial_quiesce, .needs = serial_needs)
