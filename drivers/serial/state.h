/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state page: all that a guest can see of its ports, and what is on its way to it.
 *
 * What is on the line stands in rx_wire[] and tx_wire[], between the FIFOs and the backend, until
 * its time there is over and the other side has taken it. So a process that dies takes no byte
 * along. (One that dies between a write and noting it down leads to that burst being written
 * again.) It also means that a FIFO can be filled, or read, while the burst before or after is on
 * the line.
 *
 * A change of layout is a new SERIAL_STATE_VERSION.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "uart.h"

#define SERIAL_STATE_VERSION 1u
#define SERIAL_PORTS_MAX     2u

/* Interrupt causes that are events, not levels. */
#define SERIAL_PENDING_THRE    1u /* the transmitter has become empty */
#define SERIAL_PENDING_TIMEOUT 2u /* characters lie in the FIFO below its trigger level */

/* How far a mark has come in (parent option breaks=marks). */
#define SERIAL_MARK_NONE  0u
#define SERIAL_MARK_BEGUN 1u /* 0xff */
#define SERIAL_MARK_ZERO  2u /* 0xff 0x00 */

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

struct serial_state {
	struct serial_state_port ports[SERIAL_PORTS_MAX];
	uint64_t interrupts;
};
