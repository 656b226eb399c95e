/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state page: all that a guest can see of its ports, and what is on its way to it.
 *
 * It holds two images of them. A process works on a copy of its own; where a callback ends, and
 * around each transfer, that becomes the image that is not current, and one store makes it the
 * current one. So what a successor finds is what was true at one moment, whenever the process
 * before it died: a callback happened wholly, or not at all and is made again. An access of the
 * guest has a number, which stands in the image beside what was read: one that is repeated, because
 * nobody knows whether its answer was sent, is answered from there.
 *
 * What is on the line stands in rx_wire[] and tx_wire[], between the FIFOs and the backend, until
 * its time there is over and the other side has taken it. It also means that a FIFO can be filled,
 * or read, while the burst before or after is on the line.
 *
 * Bytes that go to the backend or come from it are in two places for a moment, or in none. The
 * image says that a transfer was begun; how far it came the kernel has written down (carry.c).
 *
 * A change of layout is a new SERIAL_STATE_VERSION.
 */
#pragma once

#include <assert.h>
#include <stdint.h>
#include <sys/socket.h>

#include "uart.h"

#define SERIAL_STATE_VERSION 2u
#define SERIAL_PORTS_MAX     2u

/* Interrupt causes that are events, not levels. */
#define SERIAL_PENDING_THRE    1u /* the transmitter has become empty */
#define SERIAL_PENDING_TIMEOUT 2u /* characters lie in the FIFO below its trigger level */

/* How far a mark has come in (parent option breaks=marks). */
#define SERIAL_MARK_NONE  0u
#define SERIAL_MARK_BEGUN 1u /* 0xff */
#define SERIAL_MARK_ZERO  2u /* 0xff 0x00 */

/* The transfer that was begun. */
#define SERIAL_CARRY_NONE  0u
#define SERIAL_CARRY_OUT   1u /* of tx_wire[] */
#define SERIAL_CARRY_BREAK 2u /* of a mark for a break */
#define SERIAL_CARRY_IN	   3u
#define SERIAL_CARRY_PULL  4u /* out of the pipe, after IN: pseudo terminals only */

struct serial_state_port {
	uint8_t ier;
	uint8_t fcr; /* UART_FCR_KEPT */
	uint8_t lcr;
	uint8_t mcr;
	uint8_t msr;
	uint8_t scr;
	uint8_t dll;
	uint8_t dlm;
	uint8_t overrun; /* UART_LSR_OE or 0 */
	uint8_t pending; /* SERIAL_PENDING_* */
	uint8_t rx_head; /* index of the oldest character */
	uint8_t rx_count;
	uint8_t tx_head;
	uint8_t tx_count;
	uint8_t tx_written; /* bytes that were written already of what tx_wire[0] or a break becomes
			     */
	uint8_t break_queued;
	uint8_t rx_wire_count;
	uint8_t tx_wire_count;
	uint8_t mark; /* SERIAL_MARK_* */
	uint8_t reserved[5];
	uint8_t rx[UART_FIFO];
	uint8_t rx_error[UART_FIFO]; /* UART_LSR_PE, _BI of each */
	uint8_t tx[UART_FIFO];
	uint8_t rx_wire[UART_FIFO];
	uint8_t rx_wire_error[UART_FIFO];
	uint8_t tx_wire[UART_FIFO];

	/* Since its creation; a reset leaves them. */
	uint64_t rx_bytes;
	uint64_t tx_bytes;
	uint64_t lost_bytes;
	uint64_t overruns;
	uint64_t breaks_in;
	uint64_t breaks_out;
};
static_assert(sizeof(struct serial_state_port) == 168, "no holes");

struct serial_image {
	struct serial_state_port ports[SERIAL_PORTS_MAX];
	uint64_t interrupts;

	/* The last access that was carried out. */
	uint64_t access_id;
	uint8_t access_value[8];

	uint8_t carry; /* SERIAL_CARRY_* */
	uint8_t carry_port;
	uint8_t carry_count; /* bytes that were to be moved; IN: unknown */
	uint8_t reserved[5];
};
static_assert(sizeof(struct serial_image) == 368, "no holes");

struct serial_state {
	struct serial_image images[2];
	uint32_t current; /* index */
	uint32_t reserved;

	/* Written by the kernel: of a transfer with a socket msg_len says how many bytes it moved,
	 * and what came in lies in carried[]. Nothing else of it is ever read. */
	struct mmsghdr message;
	uint8_t carried[UART_FIFO];
};
static_assert(sizeof(struct serial_state) == 824, "no holes");
