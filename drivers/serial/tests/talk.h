/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that works by interrupts alone and programs that talk to it, on both ports of a device,
 * with bytes at random in both directions, 0xff more often than others, and breaks where marks are
 * spoken. Whatever happens to the process between them, each of the bytes has to arrive once and in
 * order, the carrier must not change, and no interrupt must be missed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fake_host.h"

/* How the guest comes to its device. */
struct talk_ops {
	/* One access that is sure to happen once; returns what was read. */
	uint8_t (*access)(uint32_t port, uint32_t reg, bool write, uint8_t value);
	/* The level of the interrupt. */
	bool (*level)(void);
};

/* Brings up a device with two ports and opens both at both ends. Seed: that of rand(). */
void talk_begin(const struct fake_options *options, const struct talk_ops *ops);
/* Each program says something, perhaps, and hears what there is. */
void talk_programs(void);
/* The guest does what interrupts ask it to. */
void talk_guest(void);
/* Whether all has arrived. */
bool talk_done(void);
/* Fails, saying how far all came. */
void talk_stuck(void);
/* Nothing more has arrived, and the counters say what was; programs leave. */
void talk_end(void);
